/* The data of the interpreter: how long lists are, dense arrays, and the packed form in which values come and go. */
#include "interp_private.h"

#include <stdlib.h>
#include <string.h>

static const int64_t max_cells = INT64_C(1) << 28;

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);
    if (p == NULL) {
        bug("the interpreter is out of memory for %zu cells", n);
    }
    return p;
}

/* The nearest dimension before d over the axis that d's lists stand in, and that no other dimension took. */
static int parent_dim(const Tensor *t, int d, const int *parent)
{
    for (int p = axis_nparents(t->dims[d]) > 0 ? d - 1 : -1; p >= 0; p--) {
        bool taken = t->dims[p] != t->dims[d]->parent;
        for (int o = 0; o < d; o++) {
            taken = taken || parent[o] == p;
        }
        if (!taken) {
            return p;
        }
    }
    return -1;
}

Interp *interp_new(const Graph *g, int64_t batch)
{
    Interp *in = allocate(1, sizeof *in);
    size_t naxes = (size_t)g->naxes, ntensors = (size_t)g->ntensors, nequations = (size_t)g->nequations;
    in->g = g;
    in->batch = batch;
    in->running = -1;
    in->offsets = allocate(naxes, sizeof *in->offsets);
    in->nlists = allocate(naxes, sizeof *in->nlists);
    in->size = allocate(naxes, sizeof *in->size);
    in->cells = allocate(ntensors, sizeof *in->cells);
    in->component = allocate(nequations, sizeof *in->component);
    in->following = allocate(nequations, sizeof *in->following);
    in->first = allocate(ntensors, sizeof *in->first);
    in->stamp = allocate((size_t)g->nscalars, sizeof *in->stamp);
    in->memo = allocate((size_t)g->nscalars, sizeof *in->memo);
    in->nests = allocate(nequations, sizeof *in->nests);
    in->ncomponents = graph_components(g, in->component);
    for (int k = 0; k < g->naxes; k++) {
        in->size[k] = g->axes[k]->kind == AXIS_FIXED ? g->axes[k]->size : -1;
    }
    for (int k = 0; k < g->ntensors; k++) {
        in->first[k] = -1;
        for (int d = 0; d < g->tensors[k]->ndim; d++) {
            in->cells[k].parent[d] = parent_dim(g->tensors[k], d, in->cells[k].parent);
        }
        in->cells[k].total = strncmp(g->tensors[k]->name, "grad.", 5) == 0;
    }
    for (int k = g->nequations - 1; k >= 0; k--) {
        const Equation *e = g->equations[k];
        in->following[k] = in->first[e->dst->id];
        in->first[e->dst->id] = k;
        for (int d = 0; d < e->dst->ndim; d++) { /* a keyed sum: nobody can know which keys come */
            const Scalar *x = e->lhs[d]->op == OP_INJECT ? e->lhs[d]->args[0] : e->lhs[d];
            in->cells[e->dst->id].total = in->cells[e->dst->id].total || (x->op != OP_LETTER && x->op != OP_CONST);
        }
    }
    return in;
}

static void drop_cells(Cells *c)
{
    free(c->values);
    free(c->owner);
    c->values = NULL;
    c->owner = NULL;
    c->given = false;
}

void interp_free(Interp *in)
{
    if (in == NULL) {
        return;
    }
    for (int k = 0; k < in->g->naxes; k++) {
        free(in->offsets[k]);
    }
    for (int k = 0; k < in->g->ntensors; k++) {
        drop_cells(&in->cells[k]);
    }
    interp_free_nests(in);
    free(in->offsets);
    free(in->nlists);
    free(in->size);
    free(in->cells);
    free(in->component);
    free(in->following);
    free(in->first);
    free(in->stamp);
    free(in->memo);
    text_free(&in->error);
    free(in);
}

const char *interp_error(const Interp *in)
{
    return in->error.s != NULL ? in->error.s : "";
}

void interp_fail(Interp *in, const char *fmt, ...)
{
    if (in->failed) {
        return;
    }
    in->failed = true;
    text_free(&in->error);
    va_list ap;
    va_start(ap, fmt);
    text_vprintf(&in->error, fmt, ap);
    va_end(ap);
}

void interp_strict(Interp *in, bool strict)
{
    in->strict = strict;
}

void interp_total(Interp *in, const Tensor *t)
{
    in->cells[t->id].total = true;
}

void interp_seed(Interp *in, uint64_t seed, uint64_t step)
{
    in->seed = seed;
    in->step = step;
}

void interp_unset(Interp *in, const Tensor *t)
{
    drop_cells(&in->cells[t->id]);
}

/* ---- sizes ------------------------------------------------------------------------------------------------ */

static int64_t fixed_size(Interp *in, const Axis *a)
{
    if (in->size[a->id] < 0) {
        interp_fail(in, "the size of axis %s is not known", a->name);
    }
    return in->size[a->id];
}

/* Row of element i of the axis that a ragged axis stands in: which of its lists is meant. */
static int64_t list_of(Interp *in, const Axis *a, int64_t b, int n, const int64_t *parents)
{
    const Axis *p = a->parent;
    if (p == NULL) {
        return b;
    }
    int64_t i = n > 0 ? parents[n - 1] : -1;
    int64_t length = n > 0 ? interp_length(in, p, b, n - 1, parents) : -1;
    if (in->failed) {
        return -1;
    }
    if (i < 0 || i >= length) {
        interp_fail(in, "a list of %s is wanted at %s = %lld of %lld", a->name, p->name, (long long)i,
                    (long long)length);
        return -1;
    }
    if (p->kind == AXIS_FIXED) {
        return b * length + i;
    }
    if (p->kind != AXIS_RAGGED) {
        interp_fail(in, "axis %s stands in %s, which is neither fixed nor ragged", a->name, p->name);
        return -1;
    }
    int64_t list = list_of(in, p, b, n - 1, parents);
    return in->failed ? -1 : in->offsets[p->id][list] + i;
}

int64_t interp_length(Interp *in, const Axis *a, int64_t b, int n, const int64_t *parents)
{
    switch (a->kind) {
    case AXIS_BATCH:
        return in->batch;
    case AXIS_FIXED:
        return fixed_size(in, a);
    case AXIS_RAGGED: {
        int64_t list = list_of(in, a, b, n, parents);
        if (!in->failed && (in->offsets[a->id] == NULL || list < 0 || list >= in->nlists[a->id])) {
            interp_fail(in, "axis %s has no list %lld", a->name, (long long)list);
        }
        return in->failed ? -1 : in->offsets[a->id][list + 1] - in->offsets[a->id][list];
    }
    case AXIS_TABLE:
        if (n < 1 || parents[n - 1] < 0 || parents[n - 1] >= fixed_size(in, a->parent)) {
            interp_fail(in, "axis %s has no size at this position of %s", a->name, a->parent->name);
            return -1;
        }
        return a->sizes[parents[n - 1]];
    case AXIS_SUM: {
        int64_t sum = 0;
        for (int k = 0; k < a->nparts && !in->failed; k++) {
            sum += interp_length(in, a->parts[k], b, 0, NULL);
        }
        return in->failed ? -1 : sum;
    }
    }
    return -1;
}

int64_t interp_longest(Interp *in, const Axis *a)
{
    int64_t most = 0;
    switch (a->kind) {
    case AXIS_RAGGED:
        if (in->offsets[a->id] == NULL) {
            interp_fail(in, "the lists of axis %s are not given", a->name);
            return 0;
        }
        for (int64_t k = 0; k < in->nlists[a->id]; k++) {
            int64_t n = in->offsets[a->id][k + 1] - in->offsets[a->id][k];
            most = n > most ? n : most;
        }
        return most;
    case AXIS_TABLE:
        return axis_bound(a);
    case AXIS_SUM:
        for (int k = 0; k < a->nparts; k++) {
            most += interp_longest(in, a->parts[k]);
        }
        return most;
    default:
        return interp_length(in, a, 0, 0, NULL);
    }
}

int64_t interp_dim(Interp *in, const Tensor *t, int d, const int64_t *index)
{
    const Axis *a = t->dims[d];
    int64_t b = t->per_example ? index[0] : 0;
    int64_t parents[MAX_DIMS];
    int n = axis_nparents(a), at = d;
    for (int k = n - 1; k >= 0; k--) {
        at = in->cells[t->id].parent[at];
        if (at < 0) {
            interp_fail(in, "tensor %s has axis %s without what it stands in before it", t->name, a->name);
            return -1;
        }
        parents[k] = index[at];
    }
    return interp_length(in, a, b, n, parents);
}

/* Arrays that were made for other sizes. */
static void drop_sized(Interp *in)
{
    for (int k = 0; k < in->g->ntensors; k++) {
        const Tensor *t = in->g->tensors[k];
        bool sized = false;
        for (int d = 0; d < t->ndim; d++) {
            const Axis *a = t->dims[d];
            sized = sized || axis_is_ragged(a) || a->kind == AXIS_SUM || (a->kind == AXIS_FIXED && a->size < 0);
        }
        if (sized) {
            drop_cells(&in->cells[k]);
        }
    }
}

bool interp_offsets(Interp *in, const Axis *a, int64_t n, const int64_t *offsets)
{
    in->failed = false;
    const Axis *p = a->parent;
    int64_t want = in->batch;
    if (a->kind != AXIS_RAGGED) {
        interp_fail(in, "axis %s has no lists", a->name);
        return false;
    }
    if (p != NULL && p->kind == AXIS_FIXED) {
        want = in->batch * fixed_size(in, p);
    } else if (p != NULL && in->offsets[p->id] == NULL) {
        interp_fail(in, "the lists of axis %s come after those of %s", a->name, p->name);
    } else if (p != NULL) {
        want = in->offsets[p->id][in->nlists[p->id]];
    }
    if (n != want) {
        interp_fail(in, "axis %s has %lld lists instead of %lld", a->name, (long long)n, (long long)want);
    }
    for (int64_t k = 0; k < n && !in->failed; k++) {
        int64_t length = offsets[k + 1] - offsets[k];
        if (offsets[0] != 0 || length < a->min || length > a->size) {
            interp_fail(in, "list %lld of axis %s has %lld elements; %lld to %lld are allowed", (long long)k, a->name,
                        (long long)length, (long long)a->min, (long long)a->size);
        }
    }
    if (in->failed) {
        return false;
    }
    drop_sized(in);
    free(in->offsets[a->id]);
    in->offsets[a->id] = allocate((size_t)n + 1, sizeof *offsets);
    in->nlists[a->id] = n;
    if (n > 0) {
        memcpy(in->offsets[a->id], offsets, ((size_t)n + 1) * sizeof *offsets);
    }
    return true;
}

bool interp_size(Interp *in, const Axis *a, int64_t size)
{
    in->failed = false;
    if (a->kind != AXIS_FIXED || size < 0 || (a->size >= 0 && a->size != size)) {
        interp_fail(in, "axis %s cannot have the size %lld", a->name, (long long)size);
        return false;
    }
    drop_sized(in);
    in->size[a->id] = size;
    return true;
}

/* ---- cells ------------------------------------------------------------------------------------------------ */

bool interp_allocate(Interp *in, const Tensor *t)
{
    Cells *c = &in->cells[t->id];
    if (c->values != NULL) {
        return true;
    }
    int64_t n = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        c->stride[d] = n;
        c->size[d] = interp_longest(in, t->dims[d]);
        if (in->failed || __builtin_mul_overflow(n, c->size[d], &n) || n > max_cells) {
            interp_fail(in, "tensor %s is too large for the interpreter", t->name);
            return false;
        }
    }
    c->ncells = n;
    c->values = allocate((size_t)n, sizeof *c->values);
    c->owner = allocate((size_t)n, sizeof *c->owner);
    return true;
}

bool interp_locate(Interp *in, const Tensor *t, const int64_t *index, int64_t *cell)
{
    *cell = 0;
    for (int d = 0; d < t->ndim; d++) {
        int64_t length = interp_dim(in, t, d, index);
        if (in->failed) {
            return false;
        }
        if (index[d] < 0 || index[d] >= length) {
            interp_fail(in, "%s: index %d (axis %s) is %lld, outside 0 to %lld", t->name, d, t->dims[d]->name,
                        (long long)index[d], (long long)length - 1);
            return false;
        }
        *cell += index[d] * in->cells[t->id].stride[d];
    }
    return true;
}

/* ---- packed form ------------------------------------------------------------------------------------------ */

/* Memory order of the dimensions, see interp.h: groups of dimensions that stand in one another, the ragged one first
 * if there is one. */
static void packed_order(const Interp *in, const Tensor *t, int *order)
{
    int group[MAX_DIMS] = {0}, nragged = 0, n = 0;
    bool ragged[MAX_DIMS] = {false};
    for (int d = 0; d < t->ndim; d++) {
        int p = in->cells[t->id].parent[d];
        group[d] = p >= 0 ? group[p] : d;
        ragged[group[d]] = ragged[group[d]] || axis_is_ragged(t->dims[d]);
    }
    for (int d = 0; d < t->ndim; d++) {
        nragged += group[d] == d && ragged[d];
    }
    int batch = t->per_example ? 1 : 0;
    if (batch) {
        order[n++] = 0;
    }
    for (int pass = nragged == 1 ? 0 : 1; pass < 2; pass++) {
        for (int d = batch; d < t->ndim; d++) {
            bool here = pass == 0 ? ragged[d] : nragged != 1 || !ragged[d];
            for (int e = d; group[d] == d && here && e < t->ndim; e++) {
                if (group[e] == d) {
                    order[n++] = e;
                }
            }
        }
    }
}

typedef struct {
    Interp *in;
    const Tensor *t;
    int order[MAX_DIMS];
    int64_t index[MAX_DIMS], n, limit;
    void (*cell)(void *ctx, int64_t at, int64_t cell);
    void *ctx;
} Packed;

static void each_packed(Packed *p, int k)
{
    if (k == p->t->ndim) {
        int64_t cell;
        if (p->cell != NULL && p->n < p->limit && interp_locate(p->in, p->t, p->index, &cell)) {
            p->cell(p->ctx, p->n, cell);
        }
        p->n++;
        return;
    }
    int d = p->order[k];
    int64_t length = interp_dim(p->in, p->t, d, p->index);
    for (p->index[d] = 0; p->index[d] < length && !p->in->failed; p->index[d]++) {
        each_packed(p, k + 1);
    }
}

static bool walk_packed(Interp *in, const Tensor *t, int64_t n, void (*f)(void *, int64_t, int64_t), void *ctx)
{
    in->failed = false;
    Packed p = {.in = in, .t = t, .limit = n, .cell = f, .ctx = ctx};
    packed_order(in, t, p.order);
    if (!interp_allocate(in, t)) {
        return false;
    }
    each_packed(&p, 0);
    if (!in->failed && p.n != n) {
        interp_fail(in, "%s has %lld values, not %lld", t->name, (long long)p.n, (long long)n);
    }
    return !in->failed;
}

int64_t interp_count(Interp *in, const Tensor *t)
{
    in->failed = false;
    Packed p = {.in = in, .t = t};
    packed_order(in, t, p.order);
    each_packed(&p, 0);
    return in->failed ? -1 : p.n;
}

typedef struct {
    Cells *cells;
    Type type;
    Elem elem;
    double *reals;
    int64_t *ints;
} Copy;

static void put(void *ctx, int64_t at, int64_t cell)
{
    Copy *c = ctx;
    Value *v = &c->cells->values[cell];
    if (c->type == TYPE_REAL || c->type == TYPE_F32) {
        v->num = c->reals != NULL ? c->reals[at] : (double)c->ints[at];
        v->num = c->type == TYPE_F32 ? (double)(float)v->num : v->num;
    } else {
        v->inum = c->ints != NULL ? c->ints[at] : (int64_t)c->reals[at];
        v->inum = c->type == TYPE_BOOL ? v->inum != 0 : v->inum;
    }
    c->cells->owner[cell] = CELL_GIVEN;
}

static void take(void *ctx, int64_t at, int64_t cell)
{
    Copy *c = ctx;
    Value v = c->cells->values[cell];
    bool real = c->type == TYPE_REAL || c->type == TYPE_F32;
    bool present = c->cells->owner[cell] > 0 || c->cells->owner[cell] == CELL_GIVEN;
    if (c->reals != NULL) {
        c->reals[at] = !present ? 0 : real ? v.num : (double)v.inum;
    } else {
        c->ints[at] = !present ? 0 : real ? (int64_t)v.num : v.inum;
    }
}

static bool set(Interp *in, const Tensor *t, int64_t n, Copy c)
{
    interp_unset(in, t);
    c.cells = &in->cells[t->id];
    c.type = elem_type(t->elem);
    c.cells->given = walk_packed(in, t, n, put, &c);
    return c.cells->given;
}

bool interp_set(Interp *in, const Tensor *t, int64_t n, const double *values)
{
    return set(in, t, n, (Copy){.reals = (double *)values});
}

bool interp_set_int(Interp *in, const Tensor *t, int64_t n, const int64_t *values)
{
    return set(in, t, n, (Copy){.ints = (int64_t *)values});
}

bool interp_get(Interp *in, const Tensor *t, int64_t n, double *values)
{
    Copy c = {.cells = &in->cells[t->id], .type = elem_type(t->elem), .reals = values};
    return walk_packed(in, t, n, take, &c);
}

bool interp_get_int(Interp *in, const Tensor *t, int64_t n, int64_t *values)
{
    Copy c = {.cells = &in->cells[t->id], .type = elem_type(t->elem), .ints = values};
    return walk_packed(in, t, n, take, &c);
}

bool interp_cell(Interp *in, const Tensor *t, const int64_t *index, double *value, bool *present)
{
    in->failed = false;
    int64_t cell;
    if (!interp_allocate(in, t) || !interp_locate(in, t, index, &cell)) {
        return false;
    }
    const Cells *c = &in->cells[t->id];
    bool there = c->owner[cell] > 0 || c->owner[cell] == CELL_GIVEN;
    Type type = elem_type(t->elem);
    *value = type == TYPE_REAL || type == TYPE_F32 ? c->values[cell].num : (double)c->values[cell].inum;
    *value = there ? *value : 0;
    if (present != NULL) {
        *present = there;
    }
    return true;
}

bool interp_advance(Interp *in)
{
    in->failed = false;
    for (int k = 0; k < in->g->ntensors; k++) {
        const Tensor *t = in->g->tensors[k];
        if (t->next == NULL) {
            continue;
        }
        const Cells *from = &in->cells[t->next->id];
        Cells *to = &in->cells[t->id];
        if (from->values == NULL || !interp_allocate(in, t) || from->ncells != to->ncells) {
            interp_fail(in, "%s has no next value yet", t->name);
            return false;
        }
        for (int64_t c = 0; c < to->ncells; c++) { /* absent cells of a partial param stay 0 */
            to->values[c] = from->values[c];
            to->owner[c] = CELL_GIVEN;
        }
        to->given = true;
    }
    return true;
}
