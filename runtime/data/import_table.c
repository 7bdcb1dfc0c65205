/* One line at a time: split, check every declared field, and only then append to the columns, so that a bad row leaves
 * no trace: neither half a row nor a name in a vocabulary. */
#include "import_row.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void import_bad(Importer *im, const char *path, int64_t line, const char *fmt, ...)
{
    ImportReport *r = im->report;
    r->bad++;
    if (r->nshown < IMPORT_SHOWN) {
        char *to = r->shown[r->nshown++];
        size_t room = sizeof r->shown[0];
        int n = snprintf(to, room, "%s:%lld: ", import_base(path), (long long)line);
        va_list args;
        va_start(args, fmt);
        if (n >= 0 && (size_t)n < room) {
            vsnprintf(to + n, room - (size_t)n, fmt, args);
        }
        va_end(args);
        /* What is quoted comes from a file: keep it one printable line. */
        for (; *to; to++) {
            *to = (unsigned char)*to < 0x20 || *to == 0x7f ? '?' : *to;
        }
    }
}

const char *import_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *import_find(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 8;
    char *path = malloc(n);
    for (int gz = 0; path && gz < 2; gz++) {
        snprintf(path, n, "%s/%s%s", dir, name, gz ? ".gz" : "");
        if (access(path, F_OK) == 0) {
            return path;
        }
    }
    free(path);
    return NULL;
}

/* ---- splitting --------------------------------------------------------------------------------------------- */

static bool add_part(Reader *r, char *s, size_t n)
{
    if (r->nparts == r->room) {
        int room = r->room ? 2 * r->room : 64;
        Part *parts = realloc(r->parts, (size_t)room * sizeof *parts);
        if (!parts) {
            return error_set(r->im->e, EXIT_RESOURCES, "no memory for line %lld of %s", (long long)r->line, r->path);
        }
        r->parts = parts;
        r->room = room;
    }
    r->parts[r->nparts++] = (Part){s, n};
    return true;
}

/* Takes "a ""quoted"" field" at s apart in place; NULL if the quote does not close before a separator or the end. */
static char *unquote(char *s, const char *separator, size_t nsep, size_t *n)
{
    char *to = s, *from = s + 1;
    for (;; from++) {
        if (*from == 0) {
            return NULL;
        }
        if (*from == '"') {
            if (from[1] != '"') {
                break;
            }
            from++;
        }
        *to++ = *from;
    }
    *n = (size_t)(to - s);
    from++;
    return *from == 0 || strncmp(from, separator, nsep) == 0 ? from : NULL;
}

/* False: no memory. *why: what is wrong with the line, if anything. */
static bool split(Reader *r, char *line, size_t length, const char **why)
{
    const char *separator = r->decl->separator;
    size_t nsep = strlen(separator);
    r->nparts = 0;
    *why = NULL;
    if (memchr(line, 0, length)) {
        *why = "the line holds a NUL byte";
        return true;
    }
    for (char *at = line;;) {
        size_t n = 0;
        char *start = at, *end;
        if (r->decl->quoted && *at == '"') {
            end = unquote(at, separator, nsep, &n);
            if (!end) {
                *why = "a quote does not close";
                return true;
            }
            at = *end ? end : NULL;
        } else {
            at = strstr(at, separator);
            n = at ? (size_t)(at - start) : strlen(start);
        }
        if (!add_part(r, start, n)) {
            return false;
        }
        if (!at) {
            return true;
        }
        at += nsep;
    }
}

/* ---- the header -------------------------------------------------------------------------------------------- */

static bool no_such_column(Reader *r, const char *name)
{
    char have[512] = "";
    size_t used = 0;
    for (int i = 0; i < r->nparts && used + 64 < sizeof have; i++) {
        int n = snprintf(have + used, sizeof have - used, "%s%.*s", i ? ", " : "",
                         (int)(r->parts[i].n > 40 ? 40 : r->parts[i].n), r->parts[i].s);
        used += n > 0 ? (size_t)n : 0;
    }
    return error_set(r->im->e, EXIT_DATA, "%s has no column '%.64s'; its header has: %s", r->path, name, have);
}

static bool read_header(Reader *r)
{
    char *line;
    size_t length;
    const char *why;
    int got = lines_next(r->lines, &line, &length, r->im->e);
    if (got <= 0) {
        return got == 0 ? error_set(r->im->e, EXIT_DATA, "%s is empty; a header line was expected", r->path) : false;
    }
    if (!split(r, line, length, &why)) {
        return false;
    }
    if (why) {
        return error_set(r->im->e, EXIT_DATA, "%s:1: %s", r->path, why);
    }
    for (int f = 0; f < r->decl->nfields; f++) {
        const char *source = r->decl->fields[f].source;
        if (!source) {
            continue;
        }
        r->position[f] = -1;
        for (int i = 0; i < r->nparts; i++) {
            if (r->parts[i].n == strlen(source) && memcmp(r->parts[i].s, source, r->parts[i].n) == 0) {
                if (r->position[f] >= 0) {
                    return error_set(r->im->e, EXIT_DATA, "%s has two columns '%.64s'; rename one", r->path, source);
                }
                r->position[f] = i;
            }
        }
        if (r->position[f] < 0) {
            return no_such_column(r, source);
        }
    }
    return true;
}

/* ---- a row ------------------------------------------------------------------------------------------------- */

/* Checks and appends what the line holds; false only if nothing more can be done. */
static bool read_row(Reader *r, char *line, size_t length)
{
    const TableDecl *t = r->decl;
    const char *why;
    if (!split(r, line, length, &why)) {
        return false;
    }
    if (why) {
        import_bad(r->im, r->path, r->line, "%s", why);
        return true;
    }
    int need = t->width;
    for (int f = 0; f < t->nfields; f++) {
        const FieldDecl *d = &t->fields[f];
        int last = r->position[f] + (d->type == FIELD_FLAGS ? d->nnames : d->span > 0 ? d->span : 1);
        need = last > need ? last : need;
    }
    if (r->nparts < need || (t->width > 0 && !t->sequence && r->nparts != t->width)) {
        import_bad(r->im, r->path, r->line, "expected %d fields, found %d", need, r->nparts);
        return true;
    }
    int first = r->item >= 0 ? r->position[r->item] : 0, last = t->sequence ? r->nparts : first + 1;
    for (int pass = 0; pass < 2; pass++) { /* first all checks, then all rows */
        for (int at = first; at < last; at++) {
            if (t->sequence) {
                r->position[r->item] = at;
            }
            for (int f = 0; pass == 0 && f < t->nfields; f++) {
                if (!row_check_field(r, f)) {
                    goto done;
                }
            }
            Part user = r->user >= 0 ? r->parts[r->position[r->user]] : (Part){0};
            Part item = r->item >= 0 ? r->parts[r->position[r->item]] : (Part){0};
            bool is_side = t->table == TABLE_USER || t->table == TABLE_ITEM;
            if (pass == 0 && is_side) {
                Part key = t->table == TABLE_USER ? user : item;
                int field = t->table == TABLE_USER ? r->user : r->item;
                if (names_find(builder_names(r->im->builder, r->vocab[field]), key.s, key.n) >= 0) {
                    import_bad(r->im, r->path, r->line, "%s '%.*s' is there a second time", t->fields[field].name,
                               row_shown(key.n), key.s);
                    goto done;
                }
            } else if (pass == 0 &&
                       (row_is_unknown(r, r->user, TABLE_USER, user) || row_is_unknown(r, r->item, TABLE_ITEM, item))) {
                goto done;
            } else if (pass == 1 && !row_put(r)) {
                return false;
            }
        }
    }
done:
    if (t->sequence) {
        r->position[r->item] = first;
    }
    return true;
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

/* The key of a side table is its row number, the user of an event is where the event stands: neither is a column. */
static bool is_key(const TableDecl *t, const FieldDecl *d, DataForm form)
{
    return (t->table == TABLE_USER && d->role == ROLE_USER) || (t->table == TABLE_ITEM && d->role == ROLE_ITEM) ||
           (t->table == TABLE_MAIN && d->role == ROLE_USER && form == DATA_LOG);
}

static bool make_columns(Reader *r, DataForm form)
{
    const TableDecl *t = r->decl;
    static const DataShape shapes[] = {
        [FIELD_BUCKET] = SHAPE_SCALAR, [FIELD_IDS] = SHAPE_LIST,   [FIELD_INTS] = SHAPE_LIST,
        [FIELD_REALS] = SHAPE_LIST,    [FIELD_FLAGS] = SHAPE_LIST, [FIELD_TEXT] = SHAPE_TEXT,
        [FIELD_TIME] = SHAPE_SCALAR};
    for (int f = 0; f < t->nfields; f++) {
        const FieldDecl *d = &t->fields[f];
        r->position[f] = d->position;
        r->column[f] = r->vocab[f] = -1;
        if (d->role == ROLE_USER) {
            r->user = f;
        } else if (d->role == ROLE_ITEM) {
            r->item = f;
        }
        r->rule[f] = d->vocab ? import_rule(r->im, d->vocab) : NULL;
        if (d->vocab && (r->vocab[f] = builder_vocab(r->im->builder, d->vocab, r->im->e)) < 0) {
            return false;
        }
        if (r->im->scanning) {
            continue;
        }
        for (int i = 0; i < d->nnames && !r->rule[f]; i++) {
            if (row_intern(r, f, d->names[i], strlen(d->names[i])) < 0) {
                return false;
            }
        }
        DType dtype = d->vocab ? DT_I32 : d->type == FIELD_TIME ? DT_I64 : d->dtype;
        if (is_key(t, d, form)) {
            continue;
        }
        r->column[f] = r->im->again ? builder_find(r->im->builder, t->table, d->name)
                                    : builder_column(r->im->builder, t->table, d->name, shapes[d->type], dtype,
                                                     r->vocab[f], r->im->e);
        if (r->column[f] < 0) {
            return false;
        }
        if (d->outcome && !r->im->again) {
            r->im->outcomes = r->im->outcomes ? r->im->outcomes : cJSON_CreateArray();
            cJSON_AddItemToArray(r->im->outcomes, cJSON_CreateString(d->name));
        }
    }
    return true;
}

bool import_table(Importer *im, const TableDecl *decl, const char *path)
{
    size_t n = (size_t)decl->nfields + 1;
    Reader r = {.im = im, .decl = decl, .path = path, .user = -1, .item = -1};
    bool good = false;
    r.position = calloc(n, sizeof *r.position);
    r.column = calloc(n, sizeof *r.column);
    r.vocab = calloc(n, sizeof *r.vocab);
    r.rule = calloc(n, sizeof *r.rule);
    r.ints = calloc(n, sizeof *r.ints);
    r.reals = calloc(n, sizeof *r.reals);
    if (!r.position || !r.column || !r.vocab || !r.rule || !r.ints || !r.reals) {
        error_set(im->e, EXIT_RESOURCES, "no memory to read %s", path);
        goto done;
    }
    r.lines = lines_open(path, decl->latin1, im->e);
    if (!r.lines || !make_columns(&r, im->report->is_log ? DATA_LOG : DATA_ROWS) ||
        (decl->header && !read_header(&r))) {
        goto done;
    }
    char *line;
    size_t length;
    int got;
    while ((got = lines_next(r.lines, &line, &length, im->e)) > 0) {
        r.line = lines_number(r.lines);
        if (length == 0) {
            continue; /* an empty line holds nothing, whoever wrote it */
        }
        im->report->read++;
        if (!read_row(&r, line, length) || builder_failed(im->builder)) {
            got = -1;
            break;
        }
        if (im->options->progress && r.line % 100000 == 0) {
            im->options->progress(im->options->ctx, import_base(path), r.line);
        }
    }
    good = got == 0 || builder_failed(im->builder); /* a full disk is reported by builder_finish */
    if (good && (decl->table == TABLE_USER || decl->table == TABLE_ITEM)) {
        im->known[decl->table] = true;
    }
done:
    lines_close(r.lines);
    free(r.parts);
    free(r.position);
    free(r.column);
    free(r.vocab);
    free(r.rule);
    free(r.ints);
    free(r.reals);
    return good;
}

/* ---- rules and parts --------------------------------------------------------------------------------------- */

VocabRule *import_rule(Importer *im, const char *vocab)
{
    for (int i = 0; i < im->nrules; i++) {
        if (strcmp(im->rules[i].vocab, vocab) == 0) {
            return &im->rules[i];
        }
    }
    return NULL;
}

VocabRule *import_add_rule(Importer *im, const char *vocab, int64_t min_count, const char *unknown)
{
    VocabRule *more = realloc(im->rules, (size_t)(im->nrules + 1) * sizeof *more);
    if (!more) {
        error_set(im->e, EXIT_RESOURCES, "no memory for vocabulary %s", vocab);
        return NULL;
    }
    im->rules = more;
    VocabRule *rule = &more[im->nrules];
    *rule = (VocabRule){.vocab = strdup(vocab), .unknown = unknown ? strdup(unknown) : NULL, .min_count = min_count};
    names_init(&rule->names);
    if (!rule->vocab || (unknown && !rule->unknown)) {
        error_set(im->e, EXIT_RESOURCES, "no memory for vocabulary %s", vocab);
        rule_free(rule);
        return NULL;
    }
    im->nrules++;
    return rule;
}

/* Whether a column waits for the first pass, or only for the names that are listed. */
static bool needs_scan(Importer *im, const TableDecl *decl)
{
    bool scan = false;
    for (int f = 0; f < decl->nfields; f++) {
        const FieldDecl *d = &decl->fields[f];
        const VocabRule *rule = d->vocab ? import_rule(im, d->vocab) : NULL;
        scan |= (rule && !rule->listed) || (d->number && d->number->standardise);
    }
    return scan;
}

static bool scan(Importer *im, const TableDecl *decl, int npaths, const char *const *paths)
{
    ImportReport report = *im->report; /* bad rows are reported when they are read for good */
    bool good = true;
    im->scanning = true;
    for (int i = 0; good && i < npaths; i++) {
        good = import_table(im, decl, paths[i]);
    }
    im->scanning = false;
    *im->report = report;
    for (int f = 0; good && f < decl->nfields; f++) {
        const NumberRule *rule = decl->fields[f].number;
        if (rule && rule->standardise) {
            im->numbers = im->numbers ? im->numbers : cJSON_CreateObject();
            cJSON *json = cJSON_AddObjectToObject(im->numbers, decl->fields[f].name);
            cJSON_AddNumberToObject(json, "mean", rule->mean);
            cJSON_AddNumberToObject(json, "deviation", number_deviation(rule));
        }
    }
    return good;
}

static bool settle_rules(Importer *im)
{
    for (int i = 0; i < im->nrules; i++) {
        int vocab = builder_vocab(im->builder, im->rules[i].vocab, im->e);
        if (vocab < 0) {
            return false;
        }
        if (builder_names(im->builder, vocab)->n > 0) {
            return error_set(im->e, EXIT_DATA,
                             "vocabulary %s has names already (from a side table), so it cannot have a rule of its own",
                             im->rules[i].vocab);
        }
        if (!rule_settle(&im->rules[i], builder_names(im->builder, vocab))) {
            return error_set(im->e, EXIT_RESOURCES, "no memory for vocabulary %s", im->rules[i].vocab);
        }
    }
    return true;
}

static bool make_parts(Importer *im)
{
    static const char *const names[] = {"train", "valid", "test"};
    int vocab = builder_vocab(im->builder, "part", im->e);
    for (int i = 0; vocab >= 0 && i < 3; i++) {
        names_add(builder_names(im->builder, vocab), names[i], strlen(names[i]));
    }
    im->part_column =
        vocab < 0 ? -1 : builder_column(im->builder, TABLE_MAIN, "part", SHAPE_SCALAR, DT_I32, vocab, im->e);
    snprintf(im->recipe, sizeof im->recipe, "%s,part=part", im->report->is_log ? "events" : "rows");
    return im->part_column >= 0;
}

bool import_settle(Importer *im)
{
    return settle_rules(im) && (!(im->options->valid || im->options->test) || make_parts(im));
}

bool import_parts(Importer *im, const TableDecl *decl, int npaths, const char *const *paths)
{
    const char *const others[] = {im->options->valid, im->options->test};
    if ((needs_scan(im, decl) && !scan(im, decl, npaths, paths)) || !import_settle(im)) {
        return false;
    }
    for (int i = 0; i < npaths; i++) {
        im->again = i > 0;
        if (!import_table(im, decl, paths[i])) {
            return false;
        }
    }
    for (int i = 0; i < 2; i++) {
        im->again = true;
        im->part = i + 1;
        if (others[i] && !import_table(im, decl, others[i])) {
            return false;
        }
    }
    return true;
}
