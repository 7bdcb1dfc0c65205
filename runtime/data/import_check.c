/* Whether the fields of a line are what their declarations say. Nothing is appended here: a bad row leaves no trace. */
#include "import_row.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* An empty element is left out, unless the declaration says what stands for it: then lists stay in step. */
static bool element(Reader *r, int field, char *s, size_t n, Each fn)
{
    const FieldDecl *d = &r->decl->fields[field];
    bool kept = n > 0 || (d->type == FIELD_IDS && d->optional) || (d->number && d->number->has_missing);
    bool absent = d->absent && n == strlen(d->absent) && memcmp(s, d->absent, n) == 0;
    return !kept || absent || fn(r, field, s, n);
}

/* Calls for every element of a list; the empty text is the empty list. */
bool row_each_element(Reader *r, int field, Part part, Each fn)
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

int row_shown(size_t n)
{
    return n > 60 ? 60 : (int)n;
}

bool row_bad(Reader *r, int field, const char *expected, Part p)
{
    import_bad(r->im, r->path, r->line, "%s: expected %s, found '%.*s'", r->decl->fields[field].name, expected,
               row_shown(p.n), p.s);
    return false;
}

bool row_parse_int(Reader *r, int field, char *s, size_t n)
{
    const FieldDecl *d = &r->decl->fields[field];
    int64_t *v = &r->ints[field];
    if (!text_to_int(s, n, v)) {
        return row_bad(r, field, "a whole number", (Part){s, n});
    }
    if (d->dtype == DT_I32 && (*v < INT32_MIN || *v > INT32_MAX)) {
        return row_bad(r, field, "a number of 32 bits (declare type i64)", (Part){s, n});
    }
    if (d->limited && (*v < d->lo || *v > d->hi)) {
        char range[80];
        snprintf(range, sizeof range, "%lld to %lld", (long long)d->lo, (long long)d->hi);
        return row_bad(r, field, range, (Part){s, n});
    }
    return true;
}

bool row_parse_real(Reader *r, int field, char *s, size_t n)
{
    double *v = &r->reals[field];
    if (n == 0 && r->decl->fields[field].number && r->decl->fields[field].number->has_missing) {
        *v = r->decl->fields[field].number->missing;
        return true;
    }
    if (!text_to_real(s, n, v) || (r->decl->fields[field].dtype == DT_F32 && fabs(*v) > (double)FLT_MAX)) {
        return row_bad(r, field, "a number", (Part){s, n});
    }
    return true;
}

static bool parse_time(Reader *r, int field, Part p)
{
    double unit = r->decl->fields[field].unit, v;
    if (unit == 1 && text_to_int(p.s, p.n, &r->ints[field])) {
        return r->ints[field] > INT64_MIN / 4 && r->ints[field] < INT64_MAX / 4
                   ? true
                   : row_bad(r, field, "a time in seconds", p);
    }
    if (!text_to_real(p.s, p.n, &v) || fabs(v * unit) > 0x1p53) {
        return row_bad(r, field, "a time as a number", p);
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
        return row_bad(r, field, rule->listed ? "a name of its list" : "a name that is frequent enough", (Part){s, n});
    }
    if (d->closed && names_find(builder_names(r->im->builder, r->vocab[field]), s, n) < 0) {
        return row_bad(r, field, "one of the declared names", (Part){s, n});
    }
    return true;
}

static bool parse_flags(Reader *r, int field)
{
    const FieldDecl *d = &r->decl->fields[field];
    for (int k = 0; k < d->nnames; k++) {
        Part p = r->parts[r->position[field] + k];
        if (p.n != 1 || (p.s[0] != '0' && p.s[0] != '1')) {
            return row_bad(r, field, "0 or 1", p);
        }
    }
    return true;
}

/* The name of the bucket of the cell p, empty for an empty cell. */
Part row_bucket_name(Reader *r, int field, Part p, char *buffer)
{
    return (Part){buffer, p.n == 0 ? 0 : number_bucket(r->decl->fields[field].number, r->reals[field], buffer)};
}

static bool check_bucket(Reader *r, int field)
{
    char name[BUCKET_NAME];
    Part p = row_bucket_name(r, field, r->parts[r->position[field]], name);
    return parse_name(r, field, p.s, p.n);
}

bool row_check_field(Reader *r, int field)
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
        return row_parse_int(r, field, p.s, p.n);
    case FIELD_REAL:
        return row_parse_real(r, field, p.s, p.n);
    case FIELD_BUCKET:
        return p.n == 0 || (row_parse_real(r, field, p.s, p.n) && check_bucket(r, field));
    case FIELD_TIME:
        return parse_time(r, field, p);
    case FIELD_ID:
    case FIELD_TEXT:
        return parse_name(r, field, p.s, p.n);
    case FIELD_IDS:
        return row_each_element(r, field, p, parse_name);
    case FIELD_INTS:
        return row_each_element(r, field, p, row_parse_int);
    case FIELD_REALS:
        return row_each_element(r, field, p, row_parse_real);
    case FIELD_FLAGS:
        return parse_flags(r, field);
    }
    return false;
}
