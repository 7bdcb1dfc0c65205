/* Recipes as text, and what a spec may ask of the data before anything is loaded: sizes of vocabularies and fields. */
#include "lines.h"
#include "loader.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool copy_text(char *to, size_t room, const char *s, size_t n, const char *what, Error *e)
{
    if (n == 0 || n >= room) {
        return error_set(e, EXIT_USAGE, "%s '%.*s' is empty or longer than %zu letters", what, (int)(n > 80 ? 80 : n),
                         s, room - 1);
    }
    memcpy(to, s, n);
    to[n] = 0;
    return true;
}

static bool number(const char *key, const char *s, size_t n, double lo, double hi, double *out, Error *e)
{
    return (text_to_real(s, n, out) && *out >= lo && *out <= hi) ||
           error_set(e, EXIT_USAGE, "recipe: %s is a number from %g to %g, not '%.*s'", key, lo, hi, (int)n, s);
}

static bool whole(const char *key, const char *s, size_t n, int64_t lo, int64_t *out, Error *e)
{
    return (text_to_int(s, n, out) && *out >= lo) ||
           error_set(e, EXIT_USAGE, "recipe: %s is a whole number from %lld, not '%.*s'", key, (long long)lo, (int)n,
                     s);
}

static bool option(DataRecipe *r, const char *key, size_t nkey, const char *s, size_t n, Error *e)
{
#define IS(name) (nkey == strlen(name) && strncmp(key, name, nkey) == 0)
    if (IS("hold") && r->kind == RECIPE_NEXT) {
        return whole("hold", s, n, 1, &r->hold, e) &&
               (r->hold <= 2 || error_set(e, EXIT_USAGE, "recipe: hold is 1 (test) or 2 (validation and test)"));
    }
    if (IS("first") && r->kind == RECIPE_EVENTS) {
        return whole("first", s, n, 0, &r->first, e);
    }
    if (IS("most") && r->kind == RECIPE_EVENTS) {
        return whole("most", s, n, 1, &r->most, e);
    }
    if (IS("valid") && r->kind != RECIPE_NEXT) {
        return number("valid", s, n, 0, 1, &r->valid, e);
    }
    if (IS("test") && r->kind != RECIPE_NEXT) {
        return number("test", s, n, 0, 1, &r->test, e);
    }
    if (IS("by") && r->kind != RECIPE_NEXT) {
        r->by = n == 4 && strncmp(s, "user", n) == 0   ? BY_USER
                : n == 4 && strncmp(s, "time", n) == 0 ? BY_TIME
                                                       : BY_SHARE;
        return r->by != BY_SHARE || error_set(e, EXIT_USAGE, "recipe: by is user or time, not '%.*s'", (int)n, s);
    }
    if (IS("valid_from") && r->kind != RECIPE_NEXT) {
        r->has_valid_from = true;
        return whole("valid_from", s, n, INT64_MIN, &r->valid_from, e);
    }
    if (IS("test_from") && r->kind != RECIPE_NEXT) {
        r->has_test_from = true;
        return whole("test_from", s, n, INT64_MIN, &r->test_from, e);
    }
    if (IS("leak") && r->kind != RECIPE_NEXT) {
        r->allow_leak = n == 5 && strncmp(s, "allow", n) == 0;
        return r->allow_leak || error_set(e, EXIT_USAGE, "recipe: leak is allow or not there, not '%.*s'", (int)n, s);
    }
    if (IS("part") && r->kind != RECIPE_NEXT) {
        return copy_text(r->part, sizeof r->part, s, n, "the column", e);
    }
    if (IS("label")) {
        return copy_text(r->label, sizeof r->label, s, n, "the label", e);
    }
    if (IS("now")) {
        r->has_now = true;
        return whole("now", s, n, INT64_MIN, &r->now, e);
    }
#undef IS
    static const char *const known[] = {"hold, label, now",
                                        "first, most, valid, test, by, valid_from, test_from, part, leak, label, now",
                                        "valid, test, by, valid_from, test_from, part, leak, label, now",
                                        "valid, test, by, valid_from, test_from, part, leak, label, now"};
    return error_set(e, EXIT_USAGE, "recipe: there is no '%.*s' here; known: %s", (int)(nkey > 40 ? 40 : nkey), key,
                     known[r->kind]);
}

bool recipe_parse(const char *text, DataRecipe *r, Error *e)
{
    static const char *const kinds[] = {"next", "events", "rows", "candidates"};
    *r = (DataRecipe){.kind = RECIPE_NEXT, .hold = 1, .valid = 0.1, .test = 0.1};
    if (!text || !*text) {
        return true;
    }
    size_t n = strcspn(text, ",");
    int kind = -1;
    for (int i = 0; i < 4; i++) {
        kind = n == strlen(kinds[i]) && strncmp(text, kinds[i], n) == 0 ? i : kind;
    }
    if (kind < 0) {
        return error_set(e, EXIT_USAGE, "there is no recipe '%.*s'; choose next, events, rows or candidates",
                         (int)(n > 40 ? 40 : n), text);
    }
    r->kind = (RecipeKind)kind;
    for (const char *at = text + n; *at; at += n) {
        at++; /* the comma */
        n = strcspn(at, ",");
        const char *equals = memchr(at, '=', n);
        if (!equals) {
            return error_set(e, EXIT_USAGE, "recipe: expected key=value, found '%.*s'", (int)(n > 40 ? 40 : n), at);
        }
        size_t nkey = (size_t)(equals - at);
        if (!option(r, at, nkey, equals + 1, n - nkey - 1, e)) {
            return false;
        }
    }
    if (r->has_valid_from || r->has_test_from) {
        if (r->by == BY_USER) {
            return error_set(e, EXIT_USAGE, "recipe: valid_from and test_from are times, and by=user splits users");
        }
        r->by = BY_TIME;
    }
    if (*r->part && r->by != BY_SHARE) {
        return error_set(e, EXIT_USAGE, "recipe: part=%s says what each row is for, so there is no by", r->part);
    }
    if (r->most > 0 && (*r->part || r->by != BY_SHARE)) {
        return error_set(e, EXIT_USAGE,
                         "recipe: most counts the targets of parts that are shares of a user's events, so "
                         "there is no by or part");
    }
    if (r->has_valid_from && !r->has_test_from) {
        return error_set(e, EXIT_USAGE, "recipe: valid_from needs test_from");
    }
    if (r->has_valid_from && r->valid_from > r->test_from) {
        return error_set(e, EXIT_USAGE, "recipe: valid_from is later than test_from");
    }
    return r->valid + r->test < 1 ||
           error_set(e, EXIT_USAGE, "recipe: valid and test leave nothing to train on; make them smaller");
}

bool recipe_map(DataRecipe *r, const char *text, Error *e)
{
    const char *equals = strchr(text, '=');
    if (!equals) {
        return error_set(e, EXIT_USAGE, "a map is written INPUT=COLUMN, not '%.80s'", text);
    }
    if (r->nmaps == RECIPE_MAPS) {
        return error_set(e, EXIT_USAGE, "there are more than %d maps", RECIPE_MAPS);
    }
    size_t n = (size_t)(equals - text);
    if (!copy_text(r->maps[r->nmaps].name, sizeof r->maps[0].name, text, n, "the input", e) ||
        !copy_text(r->maps[r->nmaps].column, sizeof r->maps[0].column, equals + 1, strlen(equals + 1), "the column",
                   e)) {
        return false;
    }
    r->nmaps++;
    return true;
}

void recipe_default(const DataSet *ds, DataRecipe *r)
{
    const char *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(ds->schema, "recipe"));
    bool labelled = data_column(ds, TABLE_MAIN, "lab") != NULL;
    if (own && recipe_parse(own, r, NULL)) {
        return;
    }
    recipe_parse(ds->form == DATA_ROWS ? "rows"
                 : ds->candidates > 0  ? "candidates"
                 : labelled            ? "events"
                                       : "next",
                 r, NULL);
}

int64_t recipe_vocab_size(const DataSet *ds, const DataRecipe *r, const char *vocab)
{
    for (int i = 0; r && i < r->nmaps; i++) {
        if (strcmp(r->maps[i].name, vocab) == 0) {
            const char *dot = strchr(r->maps[i].column, '.');
            const char *to = dot ? dot + 1 : r->maps[i].column;
            const DataVocab *v = data_vocab(ds, to);
            if (v) {
                return v->size;
            }
            for (int c = 0; c < ds->ncolumns; c++) { /* the map named a column: its vocabulary */
                if (strcmp(ds->columns[c].name, to) == 0 && ds->columns[c].vocab) {
                    return data_vocab(ds, ds->columns[c].vocab)->size;
                }
            }
        }
    }
    const DataVocab *v = data_vocab(ds, vocab);
    return v ? v->size : -1;
}

int64_t recipe_fields(const DataSet *ds, const char *group, const char ***names, int64_t **sizes)
{
    const DataGroup *g = data_group(ds, group);
    if (!g) {
        return -1;
    }
    *names = malloc(((size_t)g->nfields + 1) * sizeof **names);
    *sizes = malloc(((size_t)g->nfields + 1) * sizeof **sizes);
    if (!*names || !*sizes) {
        free(*names);
        free(*sizes);
        return -1;
    }
    for (int i = 0; i < g->nfields; i++) {
        const DataColumn *c = g->fields[i].column;
        (*names)[i] = c->name;
        (*sizes)[i] = c->vocab ? data_vocab(ds, c->vocab)->size : g->fields[i].width;
    }
    return g->nfields;
}
