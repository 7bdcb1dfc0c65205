/* Appends a checked row to the columns, its names to the vocabularies; or counts what it holds, where rules are learnt
 * from a first reading. */
#include "import_row.h"

int64_t row_intern(Reader *r, int field, const char *s, size_t n)
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
    int64_t id = row_intern(r, field, s, n);
    if (id >= 0) {
        builder_int(r->im->builder, r->column[field], id);
    }
    return id >= 0;
}

static bool put_int(Reader *r, int field, char *s, size_t n)
{
    row_parse_int(r, field, s, n); /* has been checked */
    builder_int(r->im->builder, r->column[field], r->ints[field]);
    return true;
}

static bool put_real(Reader *r, int field, char *s, size_t n)
{
    const NumberRule *rule = r->decl->fields[field].number;
    row_parse_real(r, field, s, n);
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
        Part bucket = row_bucket_name(r, field, p, name);
        return put_name(r, field, bucket.s, bucket.n);
    }
    case FIELD_ID:
        return put_name(r, field, p.s, p.n);
    case FIELD_TEXT:
        builder_text(b, column, p.s, p.n);
        return true;
    case FIELD_IDS:
        return row_each_element(r, field, p, put_name);
    case FIELD_INTS:
        return row_each_element(r, field, p, put_int);
    case FIELD_REALS:
        return row_each_element(r, field, p, put_real);
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
bool row_is_unknown(Reader *r, int field, DataTable table, Part p)
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
                   row_shown(p.n), p.s, table == TABLE_USER ? "user" : "item");
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
    row_parse_real(r, field, s, n);
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
            good = row_each_element(r, f, p, note_number);
        } else if (r->rule[f] && r->rule[f]->listed) {
            continue;
        } else if (r->rule[f] && d->type == FIELD_IDS) {
            good = row_each_element(r, f, p, count_name);
        } else if (r->rule[f]) {
            p = d->type == FIELD_BUCKET ? row_bucket_name(r, f, p, name) : p;
            good = count_name(r, f, p.s, p.n);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

/* Appends the row of the current line (of a sequence: the event with the item at `item`). */
bool row_put(Reader *r)
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
            user = row_intern(r, f, p.s, p.n);
            if (user < 0) {
                return false;
            }
        }
    }
    builder_row(r->im->builder, t->table, user);
    return true;
}
