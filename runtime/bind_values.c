/* Values of a batch: each array into its tensor's place, layout and type, and every integer in its range. An id is
 * checked against its vocabulary; with a vocabulary per field, against that of its field. */
#include "convert.h"
#include "session_impl.h"
#include <stdio.h>
#include <string.h>

const char *shape_text(int ndim, const int64_t *dims, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < ndim && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)dims[i]);
    }
    if (at < size) {
        snprintf(out + at, size - at, "]");
    }
    return out;
}

int64_t array_elements(const Array *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->ndim; i++) {
        if (a->dims[i] < 0 || !size_mul(n, a->dims[i], &n)) {
            return -1;
        }
    }
    return n;
}

typedef struct {
    const PlanTensor *tensor;
    const Array *given;
    char *data;
    ConvertStatus status;
    int64_t bad; /* element of the array */
} Copy;

static bool copy_run(void *ctx, int64_t own, int64_t own_stride, int64_t packed, int64_t count)
{
    Copy *c = ctx;
    int64_t bad = 0;
    const char *from = (const char *)c->given->data + packed * (int64_t)dtype_size[c->given->dtype];
    char *to = c->data + own * (int64_t)dtype_size[c->tensor->dtype];
    c->status = convert(to, c->tensor->dtype, own_stride, from, c->given->dtype, 1, count, &bad);
    c->bad = packed + bad;
    return c->status == CONVERT_OK;
}

/* "row 17 (example 3, position 5 on axis 'T')", for element `at` of a packed array. */
static const char *place_text(const Session *s, int t, const Array *a, int64_t at, char *out, size_t size)
{
    int64_t width = 1;
    for (int i = 1; i < a->ndim; i++) {
        width *= a->dims[i];
    }
    int64_t row = width > 0 ? at / width : 0;
    const Layout *l = &s->layouts[t];
    if (!s->plan->tensors[t].per_example) {
        snprintf(out, size, "entry %lld", (long long)at);
    } else if (l->lead < 0) {
        snprintf(out, size, "example %lld%s", (long long)row, width > 1 ? ", in its row" : "");
    } else {
        int axis = l->groups[l->lead].axis;
        const int64_t *rows = s->shapes.rows[axis];
        int64_t b = 0;
        while (b + 1 < s->shapes.batch && rows[b + 1] <= row) {
            b++;
        }
        snprintf(out, size, "row %lld (example %lld, position %lld on axis '%s')", (long long)row, (long long)b,
                 (long long)(row - rows[b]), s->plan->axes[axis].name);
    }
    return out;
}

/* The axis that a vocabulary's name stands for (a vocabulary per field goes by the axis's own name), or -1. */
static int vocab_axis(const Plan *p, const char *vocab)
{
    int found = -1;
    for (int i = 0; i < p->naxes; i++) {
        const char *name = p->axes[i].kind == PAX_TABLE && !p->axes[i].vocab ? p->axes[i].name : p->axes[i].vocab;
        if (name && strcmp(name, vocab) == 0 && p->axes[i].kind != PAX_RAGGED) {
            found = found < 0 || p->axes[i].kind == PAX_FIXED ? i : found;
        }
    }
    return found;
}

typedef struct {
    const Session *s;
    int tensor;
    const Array *given;
    int64_t lo, hi;
    const PlanAxis *table;              /* ids of a vocabulary per position of the table's parent, or NULL */
    int64_t parent_stride, parent_size; /* of that position, in the packed form */
    const int64_t *lists;               /* or: ids lie in lists per position, these are the lists' first rows */
    int64_t width;                      /* elements per packed row */
    Error *e;
} RangeCheck;

/* The list that holds a row: the last one that begins at or before it and is not empty. */
static int64_t list_of(const int64_t *lists, int64_t n, int64_t row)
{
    int64_t lo = 0, hi = n;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (lists[mid] <= row) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool check_range(void *ctx, int64_t own, int64_t own_stride, int64_t packed, int64_t count)
{
    RangeCheck *r = ctx;
    const PlanTensor *t = &r->s->plan->tensors[r->tensor];
    const void *data = r->s->data[r->tensor];
    for (int64_t i = 0; i < count; i++) {
        int64_t at = own + i * own_stride, lo = r->lo, hi = r->hi;
        int64_t v = t->dtype == DT_I32 ? ((const int32_t *)data)[at] : ((const int64_t *)data)[at];
        if (r->table) {
            int64_t f = r->lists ? list_of(r->lists, r->s->shapes.batch * r->parent_size, (packed + i) / r->width)
                                 : (packed + i) / r->parent_stride;
            f %= r->parent_size;
            lo = 0;
            hi = r->table->rows[f + 1] - r->table->rows[f] - 1;
        }
        if (v >= lo && v <= hi) {
            continue;
        }
        char place[200];
        place_text(r->s, r->tensor, r->given, packed + i, place, sizeof place);
        if (t->vocab) {
            return error_set(r->e, EXIT_DATA,
                             "'%s', %s: id %lld is outside vocabulary '%s', which has ids %lld to %lld: import the "
                             "data again, or give the vocabulary its true size",
                             t->name, place, (long long)v, t->vocab, (long long)lo, (long long)hi);
        }
        return error_set(r->e, EXIT_DATA, "'%s', %s: %lld is outside %lld to %lld", t->name, place, (long long)v,
                         (long long)lo, (long long)hi);
    }
    return true;
}

static bool check_order(const Session *s, int tensor, const Array *given, Error *e)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    const int64_t *rows = s->shapes.rows[s->layouts[tensor].groups[s->layouts[tensor].lead].axis];
    const void *data = s->data[tensor];
    for (int64_t b = 0; b < s->shapes.batch; b++) {
        for (int64_t i = rows[b] + 1; i < rows[b + 1]; i++) {
            int64_t v = t->dtype == DT_I32 ? ((const int32_t *)data)[i] : ((const int64_t *)data)[i];
            int64_t before = t->dtype == DT_I32 ? ((const int32_t *)data)[i - 1] : ((const int64_t *)data)[i - 1];
            if (v < before) {
                char place[200];
                return error_set(e, EXIT_DATA,
                                 "'%s', %s: %lld is less than %lld before it, and '%s' is declared ascending: sort the "
                                 "list, or take the word out of the spec",
                                 t->name, place_text(s, tensor, given, i, place, sizeof place), (long long)v,
                                 (long long)before, t->name);
            }
        }
    }
    return true;
}

static bool check_values(const Session *s, int tensor, const Array *given, Error *e)
{
    const Plan *p = s->plan;
    const PlanTensor *t = &p->tensors[tensor];
    if (t->dtype != DT_I32 && t->dtype != DT_I64) {
        return true;
    }
    if (t->is_ascending && !check_order(s, tensor, given, e)) {
        return false;
    }
    RangeCheck r = {.s = s, .tensor = tensor, .given = given, .lo = t->lo, .hi = t->hi, .e = e};
    bool is_bounded = t->is_bounded;
    int axis = t->vocab ? vocab_axis(p, t->vocab) : -1;
    if (axis >= 0 && p->axes[axis].kind == PAX_TABLE) {
        const Layout *l = &s->layouts[tensor];
        int64_t stride = 1;
        for (int i = l->n - 1; i >= 0; i--) {
            int parent = p->axes[axis].parent;
            if (l->groups[i].axis == parent && i != l->lead) {
                r.table = &p->axes[axis];
                r.parent_stride = stride;
                r.parent_size = l->groups[i].size;
            } else if (i == l->lead && l->groups[i].outer == parent && s->shapes.lists[l->groups[i].axis]) {
                r.table = &p->axes[axis];
                r.lists = s->shapes.lists[l->groups[i].axis];
                r.parent_size = p->axes[parent].size;
            }
            stride *= i == l->lead ? 1 : l->groups[i].size;
        }
        r.width = stride;
        is_bounded = true;
        if (!r.table) {
            r.lo = 0;
            r.hi = p->axes[axis].size - 1;
        }
    } else if (axis >= 0 && p->axes[axis].size >= 0) {
        r.lo = 0;
        r.hi = p->axes[axis].size - 1;
        is_bounded = true;
    }
    return !is_bounded || packed_walk(&s->shapes, tensor, &s->layouts[tensor], check_range, &r);
}

bool bind_copy(Session *s, int tensor, const Array *given, Error *e)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int ndim;
    int64_t dims[PLAN_DIMS];
    if (!packed_dims(&s->shapes, tensor, &ndim, dims, e)) {
        return false;
    }
    /* A trailing or leading dim of size 1 more or less is the same array to whoever wrote it only for scalars. */
    bool same = ndim == given->ndim || (ndim == 0 && array_elements(given) == 1);
    for (int i = 0; same && i < ndim; i++) {
        same = dims[i] == given->dims[i];
    }
    if (!same) {
        char got[160], want[160];
        const char *rows = s->layouts[tensor].lead >= 0
                               ? s->plan->axes[s->layouts[tensor].groups[s->layouts[tensor].lead].axis].name
                               : NULL;
        return error_set(e, EXIT_DATA, "'%s' has shape %s and must have %s%s%s%s", t->name,
                         shape_text(given->ndim, given->dims, got, sizeof got),
                         shape_text(ndim, dims, want, sizeof want), rows ? ": one row per row of axis '" : "",
                         rows ? rows : "", rows ? "'" : "");
    }
    Copy c = {.tensor = t, .given = given, .data = s->data[tensor]};
    if (!packed_walk(&s->shapes, tensor, &s->layouts[tensor], copy_run, &c)) {
        char place[200];
        return error_set(e, EXIT_DATA, "'%s', %s: the value %s (wanted: %s)", t->name,
                         place_text(s, tensor, given, c.bad, place, sizeof place), convert_text(c.status),
                         dtype_name[t->dtype]);
    }
    return check_values(s, tensor, given, e);
}
