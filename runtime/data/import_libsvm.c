/* Rows of libsvm and libfm: `label index:value index:value ...`, blanks between, `#` begins a comment.
 *
 * Without --fields a row has two lists of one length, `feature` (ids) and `value` (numbers), and the label `lab`. With
 * it, for data in which every row has one feature per field, always in the same order and with the value 1, the k-th
 * feature is the value of the categorical field `fk`; ids are then numbered field by field.
 *
 * With files for validation or test, indices that the training part lacks (or has less than min_count times) are the
 * entry <unknown>. Labels of 1 and -1 alone make the recipe read `label=lab>0`. */
#include "import_table.h"

#include "lines.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *s;
    size_t n;
    double value;
} Feature;

typedef struct {
    Importer *im;
    const char *path;
    int64_t line;
    int nfields, room, nfeatures; /* nfields: of --fields, once known; 0: not, or without it */
    Feature *features;            /* of the line at hand */
    double label;
    int label_column, value_column;
    int *columns, *vocabs; /* one, `feature`, or one per field */
    VocabRule **rules;     /* of those; NULL entries: every index is taken */
    bool other_labels;     /* than 1 and -1 */
} Sparse;

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool no_memory(Sparse *s)
{
    return error_set(s->im->e, EXIT_RESOURCES, "no memory to read %s", s->path);
}

/* ---- one line ----------------------------------------------------------------------------------------------- */

static bool add_feature(Sparse *s, Feature f)
{
    if (s->nfeatures == s->room) {
        int room = s->room ? 2 * s->room : 64;
        Feature *more = realloc(s->features, (size_t)room * sizeof *more);
        if (!more) {
            return no_memory(s);
        }
        s->features = more;
        s->room = room;
    }
    s->features[s->nfeatures++] = f;
    return true;
}

static int shown(size_t n)
{
    return n > 60 ? 60 : (int)n;
}

/* The next word of the line: its length, 0 at the end. */
static size_t word(const char **at, const char *end)
{
    while (*at < end && blank(**at)) {
        ++*at;
    }
    const char *s = *at;
    while (s < end && !blank(*s)) {
        s++;
    }
    return (size_t)(s - *at);
}

/* *good: the line has a label and features; else it has been reported. False: no memory. */
static bool parse(Sparse *s, const char *line, size_t length, bool *good)
{
    const char *at = line, *hash = memchr(line, '#', length), *end = hash ? hash : line + length;
    size_t n = word(&at, end);
    *good = false;
    s->nfeatures = 0;
    if (!text_to_real(at, n, &s->label) || fabs(s->label) > (double)FLT_MAX) {
        import_bad(s->im, s->path, s->line, "expected a label, a number, found '%.*s'", shown(n), at);
        return true;
    }
    for (at += n; (n = word(&at, end)) > 0; at += n) {
        const char *colon = memchr(at, ':', n);
        Feature f = {.s = at, .n = colon ? (size_t)(colon - at) : n};
        int64_t index;
        if (!colon || !text_to_int(f.s, f.n, &index) || index < 0 || !text_to_real(colon + 1, n - f.n - 1, &f.value) ||
            fabs(f.value) > (double)FLT_MAX) {
            import_bad(s->im, s->path, s->line, "expected index:value, found '%.*s'", shown(n), at);
            return true;
        }
        if (s->im->options->fields && f.value != 1) {
            import_bad(s->im, s->path, s->line,
                       "feature %d, '%.*s': the value of a field's entry is 1 (without --fields "
                       "values may differ)",
                       s->nfeatures + 1, shown(n), at);
            return true;
        }
        if (!add_feature(s, f)) {
            return false;
        }
    }
    if (s->im->options->fields && s->nfeatures == 0) {
        import_bad(s->im, s->path, s->line, "the row has no features, which --fields counts");
        return true;
    }
    if (s->nfields > 0 && s->nfeatures != s->nfields) {
        import_bad(s->im, s->path, s->line, "expected %d features, one per field, found %d", s->nfields, s->nfeatures);
        return true;
    }
    *good = true;
    return true;
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

static const char *vocab_name(const Sparse *s, int k, char *buffer, size_t room)
{
    snprintf(buffer, room, "f%d", k + 1);
    return s->im->options->fields ? buffer : "feature";
}

static bool make_rules(Sparse *s)
{
    const ImportOptions *o = s->im->options;
    int n = o->fields ? s->nfields : 1;
    char name[24];
    s->rules = calloc((size_t)n + 1, sizeof *s->rules);
    if (!s->rules) {
        return no_memory(s);
    }
    bool limited = o->valid || o->test || o->min_count > 0, ok = true;
    for (int k = 0; k < n && limited && ok; k++) {
        ok = import_add_rule(s->im, vocab_name(s, k, name, sizeof name), o->min_count > 0 ? o->min_count : 1,
                             "<unknown>");
    }
    for (int k = 0; k < n && limited && ok; k++) { /* after the last was added: adding moves them */
        s->rules[k] = import_rule(s->im, vocab_name(s, k, name, sizeof name));
    }
    return ok;
}

static bool make_columns(Sparse *s)
{
    Builder *b = s->im->builder;
    bool fields = s->im->options->fields;
    int n = fields ? s->nfields : 1;
    s->columns = calloc((size_t)n + 1, sizeof *s->columns);
    s->vocabs = calloc((size_t)n + 1, sizeof *s->vocabs);
    if (!s->columns || !s->vocabs) {
        return no_memory(s);
    }
    s->label_column = builder_column(b, TABLE_MAIN, "lab", SHAPE_SCALAR, DT_F32, -1, s->im->e);
    for (int k = 0; k < n; k++) {
        char name[24];
        const char *vocab = vocab_name(s, k, name, sizeof name);
        s->vocabs[k] = builder_vocab(b, vocab, s->im->e);
        s->columns[k] = s->vocabs[k] < 0 ? -1
                                         : builder_column(b, TABLE_MAIN, vocab, fields ? SHAPE_SCALAR : SHAPE_LIST,
                                                          DT_I32, s->vocabs[k], s->im->e);
        if (s->columns[k] < 0 || (fields && !builder_field(b, "cat", s->columns[k], false, s->im->e))) {
            return false;
        }
    }
    s->value_column = fields ? -1 : builder_column(b, TABLE_MAIN, "value", SHAPE_LIST, DT_F32, -1, s->im->e);
    return s->label_column >= 0 && (fields || s->value_column >= 0);
}

static bool take_row(Sparse *s)
{
    Builder *b = s->im->builder;
    bool fields = s->im->options->fields;
    for (int k = 0; k < s->nfeatures; k++) {
        const Feature *f = &s->features[k];
        int at = fields ? k : 0;
        VocabRule *rule = s->rules[at];
        if (s->im->scanning) {
            if (rule && !rule_count(rule, f->s, f->n)) {
                return no_memory(s);
            }
            continue;
        }
        Names *names = builder_names(b, s->vocabs[at]);
        int64_t id = rule ? names_find(names, f->s, f->n) : names_add(names, f->s, f->n);
        if (id < 0 && !rule) {
            return no_memory(s);
        }
        builder_int(b, s->columns[at], id < 0 ? 0 : id);
        if (!fields) {
            builder_real(b, s->value_column, f->value);
        }
    }
    if (!s->im->scanning) {
        s->other_labels |= s->label != 1 && s->label != -1;
        builder_real(b, s->label_column, s->label);
        if (s->im->part_column >= 0) {
            builder_int(b, s->im->part_column, s->im->part);
        }
        builder_row(b, TABLE_MAIN, -1);
    }
    return true;
}

/* Reads one file; with `first` only its first good row, to count the fields. */
static bool read_file(Sparse *s, const char *path, bool first)
{
    LineReader *lines = lines_open(path, false, s->im->e);
    char *line;
    size_t length;
    int got = lines ? 1 : -1;
    s->path = path;
    while (got > 0 && (got = lines_next(lines, &line, &length, s->im->e)) > 0) {
        bool good;
        const char *at = line;
        s->line = lines_number(lines);
        if (word(&at, line + length) == 0 || *at == '#') {
            continue;
        }
        s->im->report->read++;
        if (!parse(s, line, length, &good) || (good && !first && !take_row(s)) || builder_failed(s->im->builder)) {
            got = -1;
        } else if (good && first) {
            s->nfields = s->nfeatures;
            break;
        }
        if (got > 0 && s->im->options->progress && s->line % 100000 == 0) {
            s->im->options->progress(s->im->options->ctx, import_base(path), s->line);
        }
    }
    lines_close(lines);
    return got >= 0 || builder_failed(s->im->builder); /* a full disk is reported by builder_finish */
}

/* The first passes: how many fields, which names. What is bad is reported when it is read for good. */
static bool look_ahead(Sparse *s, int npaths, const char *const *paths)
{
    ImportReport report = *s->im->report;
    char bad[IMPORT_LINE] = "none";
    bool good = true;
    s->im->scanning = true;
    for (int i = 0; good && s->im->options->fields && s->nfields == 0 && i < npaths; i++) {
        good = read_file(s, paths[i], true);
        if (s->im->report->nshown > 0) {
            snprintf(bad, sizeof bad, "%s", s->im->report->shown[0]);
        }
    }
    if (good && s->im->options->fields && s->nfields == 0) {
        *s->im->report = report;
        return error_set(s->im->e, EXIT_DATA,
                         "%s has no row that can be read, so its fields cannot be counted; the first bad one: %s",
                         paths[0], bad);
    }
    good = good && make_rules(s);
    for (int i = 0; good && s->im->nrules > 0 && i < npaths; i++) {
        good = read_file(s, paths[i], false);
    }
    s->im->scanning = false;
    *s->im->report = report;
    return good;
}

bool import_libsvm(Importer *im, int npaths, const char *const *paths, const char *out)
{
    Sparse s = {.im = im, .value_column = -1};
    im->report->is_log = false;
    im->builder = builder_new(out, DATA_ROWS, im->options->replace, im->e);
    bool good = im->builder && look_ahead(&s, npaths, paths) && import_settle(im) && make_columns(&s);
    for (int i = 0; good && i < npaths; i++) {
        good = read_file(&s, paths[i], false);
    }
    const char *const others[] = {im->options->valid, im->options->test};
    for (int i = 0; good && i < 2; i++) {
        im->part = i + 1;
        good = !others[i] || read_file(&s, others[i], false);
    }
    if (good && !s.other_labels) {
        size_t n = strlen(im->recipe);
        snprintf(im->recipe + n, sizeof im->recipe - n, "%slabel=lab>0", n ? "," : "rows,");
    }
    if (good) {
        im->outcomes = cJSON_CreateArray();
        cJSON_AddItemToArray(im->outcomes, cJSON_CreateString("lab"));
    }
    free(s.features);
    free(s.columns);
    free(s.vocabs);
    free(s.rules);
    return good;
}
