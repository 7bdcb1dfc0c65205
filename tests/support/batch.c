/* Batches whose every value is a hash of (input's name, row id, position): the same row is the same example in
 * whatever company. */
#include "model.h"
#include "random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const Plan *plan;
    const Graph *graph;
    const int64_t *rows;
    Batch b;
} Maker;

static double uniform(const char *name, int64_t row, int64_t i)
{
    return random_uniform(random_fold(random_fold(random_key(23, 0, name), row), i));
}

static Array *add(Maker *m, const char *name, DType type)
{
    Array *grown = realloc(m->b.arrays, (size_t)(m->b.n + 1) * sizeof *grown);
    if (!grown) {
        exit(2);
    }
    m->b.arrays = grown;
    Array *a = &m->b.arrays[m->b.n++];
    *a = (Array){.name = strdup(name), .dtype = type};
    return a;
}

static void allocate(Array *a)
{
    a->data = calloc((size_t)array_count(a) + 1, dtype_size[a->dtype]);
    if (!a->data) {
        exit(2);
    }
}

/* ---- lists ---- */

static int64_t between(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static int64_t length_of(const PlanAxis *a, int64_t row)
{
    if (row < 3) {
        return between(row == 0 ? 0 : row == 1 ? 1 : a->size, a->min, a->size);
    }
    return a->min + (int64_t)(uniform(a->name, row, 0) * (double)(a->size - a->min + 1));
}

static int64_t nested_length(const PlanAxis *a, int64_t row, int64_t list)
{
    int64_t n = (int64_t)(uniform(a->name, row, list + 1) * 4); /* 0 .. 3, as far as is allowed */
    return between(n, a->min, a->size);
}

/* How many lists of an axis example `row` has, and how many elements they have together. */
static int64_t lists_of(const Plan *p, const PlanAxis *a, int64_t row)
{
    if (a->parent < 0) {
        return 1;
    }
    const PlanAxis *parent = &p->axes[a->parent];
    return parent->kind == PAX_RAGGED ? length_of(parent, row) : parent->size;
}

static int64_t elements_of(const Plan *p, const PlanAxis *a, int64_t row)
{
    if (a->parent < 0) {
        return length_of(a, row);
    }
    int64_t n = 0;
    for (int64_t k = 0; k < lists_of(p, a, row); k++) {
        n += nested_length(a, row, k);
    }
    return n;
}

static void add_offsets(Maker *m, const PlanAxis *a)
{
    char name[256];
    snprintf(name, sizeof name, "%s.offsets", a->name);
    Array *o = add(m, name, DT_I64);
    o->ndim = 1;
    o->dims[0] = 1;
    for (int64_t b = 0; b < m->b.batch; b++) {
        o->dims[0] += lists_of(m->plan, a, m->rows[b]);
    }
    allocate(o);
    int64_t *data = o->data;
    for (int64_t b = 0, k = 0; b < m->b.batch; b++) {
        for (int64_t l = 0; l < lists_of(m->plan, a, m->rows[b]); l++, k++) {
            data[k + 1] = data[k] + (a->parent < 0 ? length_of(a, m->rows[b]) : nested_length(a, m->rows[b], l));
        }
    }
}

/* ---- values ---- */

/* Field of element i of an example's lists over the fields. */
static int64_t field_of(const PlanAxis *list, int64_t row, int64_t i)
{
    int64_t f = 0;
    for (int64_t n = nested_length(list, row, 0); n <= i; n += nested_length(list, row, f)) {
        f++;
    }
    return f;
}

/* Position along the fields of cell i of an example's array, which has no list in it. */
static int64_t place_of(const Plan *p, const char *name, int fields, int64_t i)
{
    const PlanTensor *x = &p->tensors[plan_find(p, name)];
    int64_t behind = 1;
    for (int d = x->ndim - 1; d > 0 && x->dims[d] != fields; d--) {
        behind *= p->axes[x->dims[d]].size;
    }
    return i / behind % p->axes[fields].size;
}

/* Ids run up to the size of their vocabulary, or of their field's. */
static int64_t id_bound(const Maker *m, const Tensor *t, const PlanAxis *list, int64_t row, int64_t i)
{
    for (int k = 0; k < m->plan->naxes; k++) {
        const PlanAxis *a = &m->plan->axes[k];
        if (t->vocab && a->vocab && strcmp(a->vocab, t->vocab) == 0) {
            return a->size;
        }
        bool per_field = a->kind == PAX_TABLE && t->vocab && strcmp(a->name, t->vocab) == 0;
        if (per_field && (!list || a->parent == list->parent)) {
            int64_t f = list ? field_of(list, row, i) : place_of(m->plan, t->name, a->parent, i);
            return a->rows[f + 1] - a->rows[f];
        }
    }
    return t->lo <= t->hi ? t->hi + 1 : 2;
}

static double value_of(const Maker *m, const Tensor *t, int64_t row, int64_t i, const PlanAxis *list)
{
    double u = uniform(t->name, row, i);
    switch (elem_type(t->elem)) {
    case TYPE_BOOL:
        return u < 0.6;
    case TYPE_INT:
        if (t->elem == ELEM_I64 && !t->vocab) { /* seconds: gaps from none to a few days, later ones after the list */
            double time = 1.5e9 + (double)row * 1e5;
            for (int64_t k = 0; list && k <= i; k++) {
                double gap = uniform(t->name, row, k);
                time += floor(gap * gap * gap * 300000);
            }
            return list ? time : time + 1e7 + floor(u * 1e5);
        }
        return floor(u * (double)id_bound(m, t, list, row, i));
    default:
        return t->is_label ? u < 0.5 : 2 * u - 1;
    }
}

/* Shape without its first dim, which counts examples or rows; returns the list it is laid out by, or NULL. */
static const PlanAxis *inner_shape(const Plan *p, const PlanTensor *x, Array *a)
{
    const PlanAxis *list = NULL;
    for (int d = 0; d < x->ndim; d++) {
        list = p->axes[x->dims[d]].kind == PAX_RAGGED ? &p->axes[x->dims[d]] : list;
    }
    for (int d = x->per_example ? 1 : 0; d < x->ndim; d++) {
        const PlanAxis *axis = &p->axes[x->dims[d]];
        bool joined = axis->kind == PAX_RAGGED; /* a list, its parent, a field in front of its table: one dim */
        for (int k = d + 1; k < x->ndim; k++) {
            joined |= p->axes[x->dims[k]].parent == x->dims[d];
        }
        if (!joined) {
            a->dims[a->ndim++] = axis->size;
        }
    }
    return list;
}

static void add_input(Maker *m, const Tensor *t)
{
    const PlanTensor *x = &m->plan->tensors[plan_find(m->plan, t->name)];
    Array *a = add(m, t->name, x->dtype);
    if (x->per_example) {
        a->ndim = 1;
        a->dims[0] = 0;
    }
    const PlanAxis *list = inner_shape(m->plan, x, a);
    int64_t inner = 1;
    for (int d = x->per_example ? 1 : 0; d < a->ndim; d++) {
        inner *= a->dims[d];
    }
    for (int64_t b = 0; x->per_example && b < m->b.batch; b++) {
        a->dims[0] += list ? elements_of(m->plan, list, m->rows[b]) : 1;
    }
    allocate(a);
    for (int64_t b = 0, k = 0; b < (x->per_example ? m->b.batch : 1); b++) {
        int64_t row = x->per_example ? m->rows[b] : 0;
        int64_t n = inner * (list ? elements_of(m->plan, list, row) : 1);
        for (int64_t i = 0; i < n; i++, k++) {
            array_set(a, k, t == m->graph->row ? (double)row : value_of(m, t, row, i, list));
        }
    }
}

/* What later examples add to a gradient: nothing, unless a test says so. */
static bool is_pull(const Graph *g, const Tensor *t)
{
    for (int i = 0; i < g->ntensors; i++) {
        if (g->tensors[i]->pull == t) {
            return true;
        }
    }
    return false;
}

Batch batch_of(const Model *model, int64_t n, const int64_t *rows)
{
    Maker m = {.plan = model->plan, .graph = model->plain, .rows = rows, .b = {.batch = n}};
    for (int i = 0; i < m.plan->naxes; i++) {
        if (m.plan->axes[i].kind == PAX_RAGGED) {
            add_offsets(&m, &m.plan->axes[i]);
        }
    }
    for (int i = 0; i < m.graph->ntensors; i++) {
        const Tensor *t = m.graph->tensors[i];
        bool given = t->role == ROLE_INPUT || (t->role == ROLE_STATE && t->per_example && !is_pull(m.graph, t));
        if (given && plan_find(m.plan, t->name) >= 0 && strncmp(t->name, "opt.", 4) != 0) {
            add_input(&m, t);
        }
    }
    return m.b;
}

void batch_drop(Batch *b)
{
    for (int i = 0; i < b->n; i++) {
        free((char *)b->arrays[i].name);
        free(b->arrays[i].data);
    }
    free(b->arrays);
    *b = (Batch){0};
}
