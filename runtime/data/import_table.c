/* One line at a time: split, check every declared field, and only then append to the columns, so that a bad row leaves
 * no trace: neither half a row nor a name in a vocabulary. */
#include "import_table.h"

#include "lines.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *s;
    size_t n;
} Part;

typedef struct {
    Importer *im;
    const TableDecl *decl;
    const char *path;
    LineReader *lines;
    int64_t line;
    Part *parts; /* the fields of the current line */
    int nparts, room;
    int *position, *column, *vocab; /* by declared field */
    VocabRule **rule;
    int64_t *ints;
    double *reals;
    int user, item; /* declared fields with these roles, or -1 */
} Reader;

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

/* ---- checking a row ---------------------------------------------------------------------------------------- */

typedef bool (*Each)(Reader *r, int field, char *s, size_t n);

/* An empty element is left out, unless the declaration says what stands for it: then lists stay in step. */
static bool element(Reader *r, int field, char *s, size_t n, Each fn)
{
    const FieldDecl *d = &r->decl->fields[field];
    bool kept = n > 0 || (d->type == FIELD_IDS && d->optional) || (d->number && d->number->has_missing);
    bool absent = d->absent && n == strlen(d->absent) && memcmp(s, d->absent, n) == 0;
    return !kept || absent || fn(r, field, s, n);
}

/* Calls for every element of a list; the empty text is the empty list. */
static bool each_element(Reader *r, int field, Part part, Each fn)
{
    const FieldDecl *d = &r->decl->fields[field];
    const char *separator = d->separator;
    size_t nsep = strlen(separator);
    for (int k = 0; k < d->span; k++) {
        Part p = r->parts[r->position[field] + k];
        if (!element(r, field, p.s, p.n, fn)) {
            return false;
        }
    }
    char *end = part.s + part.n;
    for (char *at = part.s; d->span == 0 && part.n > 0;) {
        char *next = at;
        while (next < end && !((size_t)(end - next) >= nsep && memcmp(next, separator, nsep) == 0)) {
            next++;
        }
        if (!element(r, field, at, (size_t)(next - at), fn)) {
            return false;
        }
        if (next >= end) {
            break;
        }
        at = next + nsep;
    }
    return true;
}

static int shown(size_t n)
{
    return n > 60 ? 60 : (int)n;
}

static bool bad(Reader *r, int field, const char *expected, Part p)
{
    import_bad(r->im, r->path, r->line, "%s: expected %s, found '%.*s'", r->decl->fields[field].name, expected,
               shown(p.n), p.s);
    return false;
}

static bool parse_int(Reader *r, int field, char *s, size_t n)
{
    const FieldDecl *d = &r->decl->fields[field];
    int64_t *v = &r->ints[field];
    if (!text_to_int(s, n, v)) {
        return bad(r, field, "a whole number", (Part){s, n});
    }
    if (d->dtype == DT_I32 && (*v < INT32_MIN || *v > INT32_MAX)) {
        return bad(r, field, "a number of 32 bits (declare type i64)", (Part){s, n});
    }
    if (d->limited && (*v < d->lo || *v > d->hi)) {
        char range[80];
        snprintf(range, sizeof range, "%lld to %lld", (long long)d->lo, (long long)d->hi);
        return bad(r, field, range, (Part){s, n});
    }
    return true;
}

static bool parse_real(Reader *r, int field, char *s, size_t n)
{
    double *v = &r->reals[field];
    if (n == 0 && r->decl->fields[field].number && r->decl->fields[field].number->has_missing) {
        *v = r->decl->fields[field].number->missing;
        return true;
    }
    if (!text_to_real(s, n, v) || (r->decl->fields[field].dtype == DT_F32 && fabs(*v) > (double)FLT_MAX)) {
        return bad(r, field, "a number", (Part){s, n});
    }
    return true;
}

static bool parse_time(Reader *r, int field, Part p)
{
    double unit = r->decl->fields[field].unit, v;
    if (unit == 1 && text_to_int(p.s, p.n, &r->ints[field])) {
        return r->ints[field] > INT64_MIN / 4 && r->ints[field] < INT64_MAX / 4 ? true
                                                                                : bad(r, field, "a time in seconds", p);
    }
    if (!text_to_real(p.s, p.n, &v) || fabs(v * unit) > 0x1p53) {
        return bad(r, field, "a time as a number", p);
    }
    r->ints[field] = (int64_t)floor(v * unit);
    return true;
}

static bool parse_name(Reader *r, int field, char *s, size_t n)
{
    const FieldDecl *d = &r->decl->fields[field];
    if (!text_is_clean(s, n)) {
        import_bad(r->im, r->path, r->line, "%s: not valid UTF-8 text (is the encoding latin1?)", d->name);
        return false;
    }
    const VocabRule *rule = r->rule[field];
    if (rule && !r->im->scanning && !rule->unknown && !rule_keeps(rule, s, n)) {
        return bad(r, field, rule->listed ? "a name of its list" : "a name that is frequent enough", (Part){s, n});
    }
    if (d->closed && names_find(builder_names(r->im->builder, r->vocab[field]), s, n) < 0) {
        return bad(r, field, "one of the declared names", (Part){s, n});
    }
    return true;
}

static bool parse_flags(Reader *r, int field)
{
    const FieldDecl *d = &r->decl->fields[field];
    for (int k = 0; k < d->nnames; k++) {
        Part p = r->parts[r->position[field] + k];
        if (p.n != 1 || (p.s[0] != '0' && p.s[0] != '1')) {
            return bad(r, field, "0 or 1", p);
        }
    }
    return true;
}

/* The name of the bucket of the cell p, empty for an empty cell. */
static Part bucket_name(Reader *r, int field, Part p, char *buffer)
{
    return (Part){buffer, p.n == 0 ? 0 : number_bucket(r->decl->fields[field].number, r->reals[field], buffer)};
}

static bool check_bucket(Reader *r, int field)
{
    char name[BUCKET_NAME];
    Part p = bucket_name(r, field, r->parts[r->position[field]], name);
    return parse_name(r, field, p.s, p.n);
}

static bool parse_field(Reader *r, int field)
{
    const FieldDecl *d = &r->decl->fields[field];
    Part p = r->parts[r->position[field]];
    bool is_number = d->type == FIELD_INT || d->type == FIELD_REAL;
    if (p.n == 0 && is_number && d->number && d->number->has_missing) {
        r->reals[field] = d->number->missing;
        return true;
    }
    if (p.n == 0 && is_number && r->im->options->has_missing) {
        r->reals[field] = r->im->options->missing;
        r->ints[field] = (int64_t)r->im->options->missing;
        return true;
    }
    bool may_be_empty = d->type >= FIELD_IDS || ((d->type == FIELD_ID || d->type == FIELD_BUCKET) && d->optional);
    if (p.n == 0 && (!may_be_empty || d->type == FIELD_TIME)) {
        import_bad(r->im, r->path, r->line, "%s is empty%s", d->name,
                   is_number ? " (give a value for missing numbers)" : "");
        return false;
    }
    switch (d->type) {
    case FIELD_INT:
        return parse_int(r, field, p.s, p.n);
    case FIELD_REAL:
        return parse_real(r, field, p.s, p.n);
    case FIELD_BUCKET:
        return p.n == 0 || (parse_real(r, field, p.s, p.n) && check_bucket(r, field));
    case FIELD_TIME:
        return parse_time(r, field, p);
    case FIELD_ID:
    case FIELD_TEXT:
        return parse_name(r, field, p.s, p.n);
    case FIELD_IDS:
        return each_element(r, field, p, parse_name);
    case FIELD_INTS:
        return each_element(r, field, p, parse_int);
    case FIELD_REALS:
        return each_element(r, field, p, parse_real);
    case FIELD_FLAGS:
        return parse_flags(r, field);
    }
    return false;
}

/* ---- appending a row --------------------------------------------------------------------------------------- */

static int64_t intern(Reader *r, int field, const char *s, size_t n)
{
    if (r->rule[field]) { /* settled: what is not there is the unknown entry */
        int64_t id = names_find(builder_names(r->im->builder, r->vocab[field]), s, n);
        return id >= 0 ? id : 0;
    }
    int64_t id = names_add(builder_names(r->im->builder, r->vocab[field]), s, n);
    if (id < 0) {
        error_set(r->im->e, EXIT_RESOURCES, "no memory for the names of %s (or more than 2^31 of them)",
                  r->decl->fields[field].name);
    }
    return id;
}

static bool put_name(Reader *r, int field, char *s, size_t n)
{
    int64_t id = intern(r, field, s, n);
    if (id >= 0) {
        builder_int(r->im->builder, r->column[field], id);
    }
    return id >= 0;
}

static bool put_int(Reader *r, int field, char *s, size_t n)
{
    parse_int(r, field, s, n); /* has been checked */
    builder_int(r->im->builder, r->column[field], r->ints[field]);
    return true;
}

static bool put_real(Reader *r, int field, char *s, size_t n)
{
    const NumberRule *rule = r->decl->fields[field].number;
    parse_real(r, field, s, n);
    builder_real(r->im->builder, r->column[field],
                 rule && n > 0 ? number_apply(rule, r->reals[field]) : r->reals[field]);
    return true;
}

static void note_time(ImportReport *report, int64_t t)
{
    report->time_min = !report->has_time || t < report->time_min ? t : report->time_min;
    report->time_max = !report->has_time || t > report->time_max ? t : report->time_max;
    report->has_time = true;
}

static bool put_field(Reader *r, int field)
{
    const FieldDecl *d = &r->decl->fields[field];
    Builder *b = r->im->builder;
    int column = r->column[field];
    Part p = r->parts[r->position[field]];
    switch (d->type) {
    case FIELD_TIME:
        if (r->decl->table == TABLE_MAIN) {
            note_time(r->im->report, r->ints[field]);
        }
        builder_int(b, column, r->ints[field]);
        return true;
    case FIELD_INT:
        builder_int(b, column, r->ints[field]);
        return true;
    case FIELD_REAL:
        builder_real(b, column, d->number && p.n > 0 ? number_apply(d->number, r->reals[field]) : r->reals[field]);
        return true;
    case FIELD_BUCKET: {
        char name[BUCKET_NAME];
        Part bucket = bucket_name(r, field, p, name);
        return put_name(r, field, bucket.s, bucket.n);
    }
    case FIELD_ID:
        return put_name(r, field, p.s, p.n);
    case FIELD_TEXT:
        builder_text(b, column, p.s, p.n);
        return true;
    case FIELD_IDS:
        return each_element(r, field, p, put_name);
    case FIELD_INTS:
        return each_element(r, field, p, put_int);
    case FIELD_REALS:
        return each_element(r, field, p, put_real);
    case FIELD_FLAGS:
        for (int k = 0; k < d->nnames; k++) {
            if (r->parts[r->position[field] + k].s[0] == '1') {
                builder_int(b, column, k); /* the vocabulary starts with the names in this order */
            }
        }
        return true;
    }
    return false;
}

/* Whether the row's user or item is missing from its side table. */
static bool is_unknown(Reader *r, int field, DataTable table, Part p)
{
    bool main = r->decl->table == TABLE_MAIN || r->decl->table == TABLE_CANDIDATE;
    if (field < 0 || !main || !r->im->known[table] ||
        names_find(builder_names(r->im->builder, r->vocab[field]), p.s, p.n) >= 0) {
        return false;
    }
    if (r->im->options->drop_unknown) {
        r->im->report->unknown++;
    } else {
        import_bad(r->im, r->path, r->line, "%s '%.*s' is not in the table of %ss", r->decl->fields[field].name,
                   shown(p.n), p.s, table == TABLE_USER ? "user" : "item");
    }
    return true;
}

static bool count_name(Reader *r, int field, char *s, size_t n)
{
    return rule_count(r->rule[field], s, n) ||
           error_set(r->im->e, EXIT_RESOURCES, "no memory for the names of %s", r->decl->fields[field].name);
}

static bool note_number(Reader *r, int field, char *s, size_t n)
{
    if (n == 0) {
        return true;
    }
    parse_real(r, field, s, n);
    number_note(r->decl->fields[field].number, r->reals[field]);
    return true;
}

/* The first pass: what the rules want to know of the row. */
static bool count_row(Reader *r)
{
    for (int f = 0; f < r->decl->nfields; f++) {
        const FieldDecl *d = &r->decl->fields[f];
        Part p = r->parts[r->position[f]];
        char name[BUCKET_NAME];
        bool good = true;
        if (d->number && d->type == FIELD_REAL && p.n > 0) {
            number_note(d->number, r->reals[f]);
        } else if (d->number && d->type == FIELD_REALS) {
            good = each_element(r, f, p, note_number);
        } else if (r->rule[f] && r->rule[f]->listed) {
            continue;
        } else if (r->rule[f] && d->type == FIELD_IDS) {
            good = each_element(r, f, p, count_name);
        } else if (r->rule[f]) {
            p = d->type == FIELD_BUCKET ? bucket_name(r, f, p, name) : p;
            good = count_name(r, f, p.s, p.n);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

/* Appends the row of the current line (of a sequence: the event with the item at `item`). */
static bool put_row(Reader *r)
{
    const TableDecl *t = r->decl;
    if (r->im->scanning) {
        return count_row(r);
    }
    if (t->table == TABLE_MAIN && r->im->part_column >= 0) {
        builder_int(r->im->builder, r->im->part_column, r->im->part);
    }
    int64_t user = -1;
    if (t->row_user) {
        char name[24];
        int n = snprintf(name, sizeof name, "%lld", (long long)r->line);
        int vocab = builder_vocab(r->im->builder, "user", r->im->e);
        user = vocab < 0 ? -1 : names_add(builder_names(r->im->builder, vocab), name, (size_t)n);
        if (user < 0) {
            return error_set(r->im->e, EXIT_RESOURCES, "no memory for the names of users");
        }
    }
    for (int f = 0; f < t->nfields; f++) {
        if (r->column[f] >= 0 && !put_field(r, f)) {
            return false;
        }
        if (r->column[f] < 0) { /* the key of a side table, or the user of an event */
            Part p = r->parts[r->position[f]];
            user = intern(r, f, p.s, p.n);
            if (user < 0) {
                return false;
            }
        }
    }
    builder_row(r->im->builder, t->table, user);
    return true;
}

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
                if (!parse_field(r, f)) {
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
                               shown(key.n), key.s);
                    goto done;
                }
            } else if (pass == 0 &&
                       (is_unknown(r, r->user, TABLE_USER, user) || is_unknown(r, r->item, TABLE_ITEM, item))) {
                goto done;
            } else if (pass == 1 && !put_row(r)) {
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
            if (intern(r, f, d->names[i], strlen(d->names[i])) < 0) {
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
