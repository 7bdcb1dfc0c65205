/* Filling batches. Every input appends its values example by example to a buffer that lives as long as the loader; the
 * arrays of the batch point into these buffers. */
#include "loader_impl.h"

#include "../../ir/random.h"

#include <stdlib.h>
#include <string.h>

static const size_t type_bytes[] = {[DT_BOOL] = 1, [DT_I32] = 4, [DT_I64] = 8, [DT_F32] = 4, [DT_F64] = 8};

/* ---- values ------------------------------------------------------------------------------------------------ */

bool buffer_grow(void **data, size_t *room, size_t bytes, Error *e)
{
    if (bytes <= *room && *data) {
        return true;
    }
    size_t more = bytes + bytes / 2 + 64;
    void *p = realloc(*data, more);
    if (!p) {
        return error_set(e, EXIT_RESOURCES, "no memory for a batch (%zu bytes)", more);
    }
    *data = p;
    *room = more;
    return true;
}

static bool too_large(const Source *s, int64_t value, Error *e)
{
    return error_set(e, EXIT_DATA, "input '%s': %lld does not fit in 32 bits; declare it int64", s->input.name,
                     (long long)value);
}

bool source_put_int(Source *s, int64_t v, Error *e)
{
    if (!buffer_grow(&s->data, &s->room, (size_t)(s->count + 1) * type_bytes[s->input.dtype], e)) {
        return false;
    }
    switch (s->input.dtype) {
    case DT_BOOL:
        ((uint8_t *)s->data)[s->count++] = v != 0;
        return true;
    case DT_I32:
        ((int32_t *)s->data)[s->count++] = (int32_t)v;
        return v == (int32_t)v || too_large(s, v, e);
    case DT_I64:
        ((int64_t *)s->data)[s->count++] = v;
        return true;
    case DT_F32:
        ((float *)s->data)[s->count++] = (float)v;
        return true;
    case DT_F64:
        ((double *)s->data)[s->count++] = (double)v;
        return true;
    }
    return false;
}

bool source_put_real(Source *s, double v, Error *e)
{
    if (s->input.dtype != DT_F32 && s->input.dtype != DT_F64) {
        return source_put_int(s, (int64_t)v, e);
    }
    if (!buffer_grow(&s->data, &s->room, (size_t)(s->count + 1) * type_bytes[s->input.dtype], e)) {
        return false;
    }
    if (s->input.dtype == DT_F32) {
        ((float *)s->data)[s->count++] = (float)v;
    } else {
        ((double *)s->data)[s->count++] = v;
    }
    return true;
}

bool source_put(Source *s, const DataColumn *c, int64_t from, int64_t n, Error *e)
{
    size_t each = type_bytes[s->input.dtype];
    if (!buffer_grow(&s->data, &s->room, (size_t)(s->count + n) * each, e)) {
        return false;
    }
    if (c->dtype == s->input.dtype) {
        memcpy((char *)s->data + (size_t)s->count * each, (const char *)c->data + (size_t)from * each,
               (size_t)n * each);
        s->count += n;
        return true;
    }
    bool is_real = c->dtype == DT_F32 || c->dtype == DT_F64;
    for (int64_t i = from; i < from + n; i++) {
        if (!(is_real ? source_put_real(s, data_real(c, i), e) : source_put_int(s, data_int(c, i), e))) {
            return false;
        }
    }
    return true;
}

/* ---- lists ------------------------------------------------------------------------------------------------- */

/* One more list of that length on the axis. The first input on an axis makes its offsets, the others must agree. */
static bool push_list(Loader *l, Source *s, int axis, int64_t *number, int64_t length, Error *e)
{
    RaggedAxis *a = &l->axes[axis];
    if (!a->first) {
        a->first = s;
    }
    if (a->first != s) {
        int64_t have = *number < a->lists ? a->offsets[*number + 1] - a->offsets[*number] : -1;
        (*number)++;
        return have == length ||
               error_set(e, EXIT_DATA,
                         "inputs '%s' and '%s' share axis %s, but a list has %lld values in one and %lld in "
                         "the other; give them axes of their own",
                         a->first->input.name, s->input.name, a->name, (long long)have, (long long)length);
    }
    if (!buffer_grow((void **)&a->offsets, &a->room, (size_t)(a->lists + 2) * sizeof *a->offsets, e)) {
        return false;
    }
    a->offsets[0] = 0;
    a->offsets[a->lists + 1] = (a->lists ? a->offsets[a->lists] : 0) + length;
    a->lists++;
    (*number)++;
    return true;
}

/* The list of one row: of exactly `width` values, or on a ragged axis (a list of an example keeps its last values, as
 * a history does; a list of an event or a field its first). */
static bool put_list(Loader *l, Source *s, const DataColumn *c, int64_t row, int axis, int64_t *number, bool last,
                     Error *e)
{
    bool is_list = c->shape == SHAPE_LIST;
    int64_t lo = is_list ? c->offsets[row] : row, n = is_list ? c->offsets[row + 1] - lo : 1;
    if (axis < 0) {
        return n == s->width ? source_put(s, c, lo, n, e)
                             : error_set(e, EXIT_DATA, "input '%s' wants %lld values of %s, row %lld has %lld",
                                         s->input.name, (long long)s->width, c->name, (long long)row, (long long)n);
    }
    int64_t bound = l->axes[axis].bound;
    if (n > bound) {
        l->dropped += n - bound;
        lo += last ? n - bound : 0;
        n = bound;
    }
    return push_list(l, s, axis, number, n, e) && source_put(s, c, lo, n, e);
}

/* ---- one input of one example ------------------------------------------------------------------------------ */

/* Row of the item that an event is about. */
static bool item_of(Loader *l, const DataColumn *column, int64_t event, int64_t *item, Error *e)
{
    *item = data_int(column, event);
    return (*item >= 0 && *item < l->ds->items) ||
           error_set(e, EXIT_DATA, "%s: event %lld has item %lld, and there are %lld; import the data again",
                     l->ds->dir, (long long)event, (long long)*item, (long long)l->ds->items);
}

static bool row_of(Loader *l, Where where, const Example *x, int64_t *row, Error *e)
{
    if (where == AT_USER) {
        *row = x->user;
        return (x->user >= 0 && x->user < l->ds->users) ||
               error_set(e, EXIT_DATA, "%s: row %lld has user %lld, and there are %lld; import the data again",
                         l->ds->dir, (long long)x->target, (long long)x->user, (long long)l->ds->users);
    }
    *row = x->target;
    return where == AT_TARGET || item_of(l, l->cand, x->target, row, e);
}

static bool put_history(Loader *l, Source *s, const Example *x, Error *e)
{
    const RaggedAxis *a = &l->axes[s->axis];
    int64_t lo = x->hi - x->lo > a->bound ? x->hi - a->bound : x->lo;
    if (!push_list(l, s, s->axis, &s->lists, x->hi - lo, e)) {
        return false;
    }
    if (s->where == AT_HISTORY && s->column->shape == SHAPE_SCALAR) {
        return source_put(s, s->column, lo, x->hi - lo, e);
    }
    for (int64_t event = lo; event < x->hi; event++) {
        int64_t row = event;
        if (s->where == AT_HISTORY_ITEM && !item_of(l, l->item, event, &row, e)) {
            return false;
        }
        if (s->column->shape == SHAPE_SCALAR ? !source_put(s, s->column, row, 1, e)
                                             : !put_list(l, s, s->column, row, s->nested, &s->nested_lists, false, e)) {
            return false;
        }
    }
    return true;
}

/* Serving: nobody knows the target, and nothing that matters asks. Zeros, or an empty list. */
static bool put_nothing(Loader *l, Source *s, int64_t width, Error *e)
{
    if (s->axis >= 0) {
        return push_list(l, s, s->axis, &s->lists, 0, e);
    }
    for (int64_t i = 0; i < width; i++) {
        if (!source_put_int(s, 0, e)) {
            return false;
        }
    }
    return true;
}

static bool put_group(Loader *l, Source *s, const Example *x, Error *e)
{
    for (int f = 0; f < s->group->nfields; f++) {
        const DataColumn *c = s->group->fields[f].column;
        Where where = c->table == l->targets ? AT_TARGET : c->table == TABLE_USER ? AT_USER : AT_TARGET_ITEM;
        int64_t row;
        if (x->target < 0 && where != AT_USER) {
            if (!put_nothing(l, s, s->group->fields[f].width, e)) {
                return false;
            }
            continue;
        }
        if (!row_of(l, where, x, &row, e)) {
            return false;
        }
        if (s->axis >= 0) {
            if (!put_list(l, s, c, row, s->axis, &s->lists, false, e)) {
                return false;
            }
            continue;
        }
        int64_t width = s->group->fields[f].width, lo = c->shape == SHAPE_LIST ? c->offsets[row] : row;
        int64_t n = c->shape == SHAPE_LIST ? c->offsets[row + 1] - lo : 1;
        if (n != width) {
            return error_set(e, EXIT_DATA, "%s: field %s has %lld values in row %lld, not %lld; import the data again",
                             l->ds->dir, c->name, (long long)n, (long long)row, (long long)width);
        }
        if (!source_put(s, c, lo, n, e)) {
            return false;
        }
    }
    return true;
}

static bool put_label(Loader *l, Source *s, const Example *x, Error *e)
{
    double v = data_real(l->label, x->target), to = l->label_bound;
    switch (l->label_op) {
    case LABEL_VALUE:
        return source_put_real(s, v, e);
    case LABEL_GE:
        return source_put_int(s, v >= to, e);
    case LABEL_GT:
        return source_put_int(s, v > to, e);
    case LABEL_LE:
        return source_put_int(s, v <= to, e);
    case LABEL_LT:
        return source_put_int(s, v < to, e);
    case LABEL_EQ:
        return source_put_int(s, v == to, e);
    }
    return false;
}

static bool put_now(Loader *l, Source *s, const Example *x, Error *e)
{
    if (x->target >= 0) {
        return source_put(s, l->ts, x->target, 1, e);
    }
    if (l->recipe.has_now) {
        return source_put_int(s, l->recipe.now, e);
    }
    return x->hi > x->lo ? source_put(s, l->ts, x->hi - 1, 1, e) : source_put_int(s, 0, e);
}

static bool put_example(Loader *l, Source *s, const Example *x, Error *e)
{
    bool at_target =
        s->fill == FILL_LABEL || (s->fill == FILL_COLUMN && (s->where == AT_TARGET || s->where == AT_TARGET_ITEM));
    if (at_target && x->target < 0) {
        return put_nothing(l, s, s->width, e);
    }
    int64_t row;
    switch (s->fill) {
    case FILL_USER:
        return source_put_int(s, x->user, e);
    case FILL_NOW:
        return put_now(l, s, x, e);
    case FILL_LABEL:
        return put_label(l, s, x, e);
    case FILL_GROUP:
        return put_group(l, s, x, e);
    case FILL_CONST:
        return true;
    case FILL_COLUMN:
        if (s->where == AT_HISTORY || s->where == AT_HISTORY_ITEM) {
            return put_history(l, s, x, e);
        }
        return row_of(l, s->where, x, &row, e) &&
               (s->column->shape == SHAPE_SCALAR ? source_put(s, s->column, row, 1, e)
                                                 : put_list(l, s, s->column, row, s->axis, &s->lists, true, e));
    }
    return false;
}

/* ---- batches ----------------------------------------------------------------------------------------------- */

static Array array_of(const Source *s, int64_t n)
{
    Array a = {.name = s->input.name, .dtype = s->input.dtype, .ndim = 1, .dims = {s->count}, .data = s->data};
    int64_t width = s->width;
    bool is_table = s->fill == FILL_GROUP && s->axis < 0;
    bool has_width = is_table || (s->input.ndim > 0 && s->input.dims[s->input.ndim - 1].kind == DIM_FIXED);
    if (s->fill != FILL_CONST && has_width) {
        a.ndim = 2;
        a.dims[0] = is_table || s->axis < 0 ? n : s->count / (width > 0 ? width : 1);
        a.dims[1] = width;
    }
    return a;
}

static bool fill(Loader *l, int64_t n, const int64_t *examples, Batch *out, Error *e)
{
    for (int i = 0; i < l->naxes; i++) {
        l->axes[i].first = NULL;
        l->axes[i].lists = 0;
    }
    if (!buffer_grow((void **)&l->rows, &l->rows_room, (size_t)n * sizeof *l->rows, e)) {
        return false;
    }
    for (int i = 0; i < l->nsources; i++) {
        Source *s = &l->sources[i];
        if (s->fill != FILL_CONST) {
            s->count = s->lists = s->nested_lists = 0;
        }
        if (!buffer_grow(&s->data, &s->room, 64, e)) {
            return false;
        }
    }
    for (int64_t k = 0; k < n; k++) {
        if (examples[k] < 0 || examples[k] >= l->count) {
            return error_set(e, EXIT_DATA, "there is no example %lld: there are %lld", (long long)examples[k],
                             (long long)l->count);
        }
        Example x = loader_locate(l, examples[k]);
        l->rows[k] = l->recipe.kind == RECIPE_NEXT ? x.user : x.target;
        for (int i = 0; i < l->nsources; i++) {
            if (!put_example(l, &l->sources[i], &x, e)) {
                return false;
            }
        }
    }
    int count = 0;
    for (int i = 0; i < l->nsources; i++) {
        l->arrays[count++] = array_of(&l->sources[i], n);
    }
    for (int i = 0; i < l->naxes; i++) {
        RaggedAxis *a = &l->axes[i];
        if (!buffer_grow((void **)&a->offsets, &a->room, 2 * sizeof *a->offsets, e)) {
            return false;
        }
        a->offsets[0] = 0;
        l->arrays[count++] = (Array){a->offsets_name, DT_I64, 1, {a->lists + 1}, a->offsets};
    }
    l->arrays[count++] = (Array){"row", DT_I64, 1, {n}, l->rows};
    *out = (Batch){count, l->arrays, n};
    return true;
}

/* A permutation of 0 .. count-1 without a table: a Feistel network over the next even power of two, applied until
 * the result falls inside (on average less than four times). */
static int64_t permuted(const Loader *l, int64_t at)
{
    int half = 1;
    while (half < 31 && INT64_C(1) << 2 * half < l->count) {
        half++;
    }
    uint64_t mask = (UINT64_C(1) << half) - 1, x = (uint64_t)at;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (int round = 0; round < 4; round++) {
            uint64_t next = left ^ (random_fold(l->keys[round], (int64_t)right) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)l->count);
    return (int64_t)x;
}

void loader_shuffle(Loader *l, uint64_t seed, int64_t epoch)
{
    uint64_t key = random_key(seed, (uint64_t)epoch, "order of examples");
    for (int i = 0; i < 4; i++) {
        l->keys[i] = random_fold(key, i);
    }
    l->shuffled = l->count > 1;
}

void loader_in_order(Loader *l)
{
    l->shuffled = false;
}

bool loader_examples(Loader *l, int64_t n, const int64_t *examples, Batch *out, Error *e)
{
    return fill(l, n, examples, out, e);
}

bool loader_batch(Loader *l, int64_t first, int64_t n, Batch *out, Error *e)
{
    if (n < 1 || first < 0 || first > l->count - n) {
        return error_set(e, EXIT_DATA, "there are no examples %lld to %lld: there are %lld", (long long)first,
                         (long long)(first + n - 1), (long long)l->count);
    }
    if (!buffer_grow((void **)&l->positions, &l->positions_room, (size_t)n * sizeof *l->positions, e)) {
        return false;
    }
    for (int64_t k = 0; k < n; k++) {
        l->positions[k] = l->shuffled ? permuted(l, first + k) : first + k;
    }
    return fill(l, n, l->positions, out, e);
}

/* ---- the loader -------------------------------------------------------------------------------------------- */

Loader *loader_new(const DataSet *ds, const DataRecipe *r, DataPart part, int ninputs, const DataInput *inputs,
                   Error *e)
{
    Loader *l = calloc(1, sizeof *l);
    if (!l) {
        error_set(e, EXIT_RESOURCES, "no memory for a loader");
        return NULL;
    }
    l->ds = ds;
    l->recipe = *r;
    l->part = part;
    if (!loader_bind(l, ninputs, inputs, e) || !loader_split(l, e) || !loader_constants(l, e)) {
        loader_free(l);
        return NULL;
    }
    l->arrays = calloc((size_t)(l->nsources + l->naxes) + 1, sizeof *l->arrays);
    if (!l->arrays) {
        error_set(e, EXIT_RESOURCES, "no memory for a loader");
        loader_free(l);
        return NULL;
    }
    return l;
}

void loader_free(Loader *l)
{
    if (!l) {
        return;
    }
    for (int i = 0; i < l->nsources; i++) {
        free(l->sources[i].data);
    }
    for (int i = 0; i < l->naxes; i++) {
        free(l->axes[i].offsets);
    }
    for (int i = 0; i < l->ntexts; i++) {
        free(l->texts[i]);
    }
    free(l->texts);
    free(l->sources);
    free(l->axes);
    free(l->starts);
    free(l->chosen);
    free(l->rows);
    free(l->arrays);
    free(l->positions);
    free(l);
}

int64_t loader_count(const Loader *l)
{
    return l->count;
}

LoaderStats loader_stats(const Loader *l)
{
    return l->stats;
}

int64_t loader_dropped_values(const Loader *l)
{
    return l->dropped;
}

int64_t loader_example_of(const Loader *l, int64_t user)
{
    bool there = l->starts && user >= 0 && user < l->ds->users && l->starts[user + 1] > l->starts[user];
    return there ? l->starts[user] : -1;
}

int64_t loader_user(const Loader *l, int64_t example)
{
    return example >= 0 && example < l->count ? loader_locate(l, example).user : -1;
}

int64_t loader_row(const Loader *l, int64_t example)
{
    if (example < 0 || example >= l->count) {
        return -1;
    }
    Example x = loader_locate(l, example);
    return l->recipe.kind == RECIPE_NEXT ? x.user : x.target;
}

int64_t loader_time(const Loader *l, int64_t example)
{
    Example x = loader_locate(l, example);
    return l->ts && x.target >= 0 ? data_int(l->ts, x.target) : 0;
}

bool loader_key(Loader *l, const char *input, int64_t example, int64_t *key, Error *e)
{
    for (int i = 0; i < l->nsources; i++) {
        const Source *s = &l->sources[i];
        if (strcmp(s->input.name, input) != 0) {
            continue;
        }
        Example x = loader_locate(l, example);
        int64_t row;
        if (s->fill == FILL_USER) {
            *key = x.user;
            return true;
        }
        if (s->fill == FILL_COLUMN && s->input.ndim == 0 && s->where != AT_HISTORY && s->where != AT_HISTORY_ITEM) {
            if (!row_of(l, s->where, &x, &row, e)) {
                return false;
            }
            *key = data_int(s->column, row);
            return true;
        }
    }
    return error_set(e, EXIT_SPEC, "input '%s' is no key: the data gives one whole number per example for ids alone",
                     input);
}
