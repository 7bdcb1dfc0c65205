/* Inputs declared const: the same for every example, made once. */
#include "loader_impl.h"

#include <stdlib.h>
#include <string.h>

/* How often each item is met in training: as a target, or, where the last events are held out, in any event before. */
static bool fill_support(Loader *l, Source *s, Error *e)
{
    const DataSet *ds = l->ds;
    bool each = ds->form == DATA_ROWS || l->targets == TABLE_CANDIDATE || loader_has_parts(l);
    const DataColumn *items = each ? l->cand : l->item;
    int64_t *counts = calloc((size_t)ds->items + 1, sizeof *counts);
    bool good = counts != NULL || error_set(e, EXIT_RESOURCES, "no memory for %lld items", (long long)ds->items);
    if (good && !items) {
        good = error_set(e, EXIT_DATA, "input 'support' counts items, and the data has no column item");
    }
    int64_t u = 0, before;
    for (int64_t row = 0; good && row < l->ntargets; row++) {
        u = loader_user_of(l, row, u, &before);
        int64_t item = data_int(items, row);
        bool seen = each ? loader_part_of_row(l, row, u) == PART_TRAIN
                         : before < loader_train_events(l, ds->user_offsets[u + 1] - ds->user_offsets[u]);
        if (seen && item >= 0 && item < ds->items) {
            counts[item]++;
        }
    }
    for (int64_t i = 0; good && i < ds->items; i++) {
        good = source_put_int(s, counts[i], e);
    }
    free(counts);
    return good;
}

static bool fill_flags(Loader *l, Source *s, Error *e)
{
    const DataGroup *g = data_group(l->ds, s->input.dims[0].of);
    if (!g) {
        return error_set(e, EXIT_DATA, "input '%s': the data has no group of fields %s", s->input.name,
                         s->input.dims[0].of);
    }
    if (strcmp(s->input.name, "safe") != 0 && strncmp(s->input.name, "safe_", 5) != 0) {
        return error_set(e, EXIT_DATA, "input '%s': the fields have one flag, `safe` (or `safe_num`, `safe_...`)",
                         s->input.name);
    }
    for (int i = 0; i < g->nfields; i++) {
        if (!source_put_int(s, g->fields[i].safe, e)) {
            return false;
        }
    }
    return true;
}

static bool fill_table(Loader *l, Source *s, Error *e)
{
    const DataDim *d = &s->input.dims[0];
    bool of_item = strcmp(d->of, "item") == 0, of_user = strcmp(d->of, "user") == 0;
    const char *name = s->input.name;
    for (int i = 0; i < l->recipe.nmaps; i++) {
        if (strcmp(l->recipe.maps[i].name, name) == 0) {
            name = l->recipe.maps[i].column;
        }
    }
    const char *dot = strchr(name, '.');
    const DataColumn *c =
        of_item || of_user ? data_column(l->ds, of_item ? TABLE_ITEM : TABLE_USER, dot ? dot + 1 : name) : NULL;
    if (!c && of_item && strcmp(name, "support") == 0) {
        return fill_support(l, s, e);
    }
    bool wants_whole = s->input.dtype != DT_F32 && s->input.dtype != DT_F64;
    if (!c || c->shape != SHAPE_SCALAR || (wants_whole && (c->dtype == DT_F32 || c->dtype == DT_F64))) {
        char *have = data_describe(l->ds);
        error_set(e, EXIT_DATA,
                  "input '%s': there is no such column by %s with one value each (of the type wanted); the "
                  "data has %s",
                  s->input.name, d->of, have ? have : "?");
        free(have);
        return false;
    }
    return source_put(s, c, 0, c->rows, e);
}

bool loader_constants(Loader *l, Error *e)
{
    for (int i = 0; i < l->nsources; i++) {
        Source *s = &l->sources[i];
        if (s->fill != FILL_CONST) {
            continue;
        }
        const DataDim *d = s->input.dims;
        bool good = s->input.ndim == 1 && d->of && d->kind == DIM_VOCAB ? fill_table(l, s, e)
                    : s->input.ndim == 1 && d->of && d->kind == DIM_FIELDS
                        ? fill_flags(l, s, e)
                        : error_set(e, EXIT_DATA, "const input '%s': data gives constants by item, by user or by field",
                                    s->input.name);
        if (!good) {
            return false;
        }
    }
    return true;
}
