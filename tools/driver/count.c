/* The domain of an equation is walked over the letters that its conditions mention; the others multiply. Rows of one
 * length are counted once. */
#include "count.h"
#include "../../passes/convolution.h"
#include "../../runtime/convolve.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const Graph *g;
    const Equation *e;
    int64_t batch, length;
    int64_t at[MAX_LETTERS];
    unsigned walked; /* letters that conditions mention */
} Count;

static int64_t axis_length(const Count *c, const Axis *a)
{
    switch (a->kind) {
    case AXIS_BATCH:
        return c->batch;
    case AXIS_RAGGED:
        return c->length < a->size || a->size < 0 ? c->length : a->size;
    case AXIS_SUM: {
        int64_t n = 0;
        for (int i = 0; i < a->nparts; i++) {
            n += axis_length(c, a->parts[i]);
        }
        return n;
    }
    case AXIS_TABLE: /* the mean size: parents are counted separately */
        return a->parent->size > 0 ? (a->size + a->parent->size - 1) / a->parent->size : 0;
    case AXIS_FIXED:
        break;
    }
    return a->size;
}

/* Value of an integer or condition that is a function of letters and lengths alone; false if data decides. */
static bool evaluate(const Count *c, const Scalar *s, double *out)
{
    double v[3] = {0};
    if (s->op == OP_CONST) {
        *out = s->type == TYPE_INT || s->type == TYPE_BOOL ? (double)s->inum : s->num;
        return true;
    }
    if (s->op == OP_LETTER) {
        *out = (double)c->at[s->inum];
        return true;
    }
    if (s->op == OP_SIZE) {
        *out = (double)axis_length(c, s->axis);
        return true;
    }
    if (s->op < OP_add || s->nargs > 3) {
        return false;
    }
    for (int i = 0; i < s->nargs; i++) {
        if (!evaluate(c, s->args[i], &v[i])) {
            return false;
        }
    }
    switch (s->op) {
    case OP_add:
        *out = v[0] + v[1];
        return true;
    case OP_sub:
        *out = v[0] - v[1];
        return true;
    case OP_mul:
        *out = v[0] * v[1];
        return true;
    case OP_neg:
        *out = -v[0];
        return true;
    case OP_max:
        *out = fmax(v[0], v[1]);
        return true;
    case OP_min:
        *out = fmin(v[0], v[1]);
        return true;
    case OP_idiv:
        *out = floor(v[0] / v[1]);
        return v[1] != 0;
    case OP_mod:
        *out = v[0] - v[1] * floor(v[0] / v[1]);
        return v[1] != 0;
    case OP_lt:
        *out = v[0] < v[1];
        return true;
    case OP_le:
        *out = v[0] <= v[1];
        return true;
    case OP_eq:
        *out = v[0] == v[1];
        return true;
    case OP_ne:
        *out = v[0] != v[1];
        return true;
    case OP_and:
        *out = v[0] != 0 && v[1] != 0;
        return true;
    case OP_or:
        *out = v[0] != 0 || v[1] != 0;
        return true;
    case OP_not:
        *out = v[0] == 0;
        return true;
    case OP_select:
        *out = v[0] != 0 ? v[1] : v[2];
        return true;
    default:
        return false;
    }
}

static bool decidable(const Count *c, const Scalar *s)
{
    double v;
    return evaluate(c, s, &v);
}

/* Tuples of the walked letters from letter k on that satisfy all decidable conditions. */
static double walk(Count *c, int k)
{
    const Equation *e = c->e;
    if (k == e->nletters) {
        for (int i = 0; i < e->nconds; i++) {
            double v;
            if (evaluate(c, e->conds[i], &v) && v == 0) {
                return 0;
            }
        }
        return 1;
    }
    if (!(c->walked >> k & 1)) {
        return walk(c, k + 1);
    }
    double n = 0;
    int64_t size = axis_length(c, e->letters[k].axis);
    for (c->at[k] = 0; c->at[k] < size; c->at[k]++) {
        n += walk(c, k + 1);
    }
    c->at[k] = 0;
    return n;
}

static void count_node(const Scalar *s, void *ctx)
{
    double *n = ctx;
    bool real = s->type == TYPE_REAL || s->type == TYPE_F32;
    *n += real && s->op >= OP_add && s->op != OP_real && s->op != OP_f32 && s->op != OP_stop && s->op != OP_select;
}

/* A list whose length data decides (u < count[b,i]) counts as one position: at least that much is done. */
static bool has_counted_length(const Equation *e, int letter)
{
    for (int i = 0; i < e->nconds; i++) {
        const Scalar *c = e->conds[i];
        if (c->op == OP_lt && c->args[0]->op == OP_LETTER && c->args[0]->inum == letter && c->args[1]->op == OP_LOAD) {
            return true;
        }
    }
    return false;
}

/* Tuples of one example (the batch letter stands still). */
static double tuples(Count *c)
{
    const Equation *e = c->e;
    c->walked = 0;
    for (int i = 0; i < e->nconds; i++) {
        for (int k = 0; k < e->nletters; k++) {
            if (sc_uses_letter(e->conds[i], k) && decidable(c, e->conds[i]) && e->letters[k].axis->kind != AXIS_BATCH) {
                c->walked |= 1u << k;
            }
        }
    }
    double n = walk(c, 0);
    int rank = e->op == RED_NTH ? equation_rank_letter(e) : -1; /* picked in one pass over the other letters */
    for (int k = 0; k < e->nletters; k++) {
        if (!(c->walked >> k & 1) && k != rank && e->letters[k].axis != c->g->batch && !has_counted_length(e, k)) {
            n *= (double)axis_length(c, e->letters[k].axis);
        }
    }
    return n;
}

static bool over_batch(const Graph *g, const Equation *e)
{
    for (int k = 0; k < e->nletters; k++) {
        if (e->letters[k].axis == g->batch) {
            return true;
        }
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Tuples over all examples; those of one length are walked once. */
static double tuples_sorted(const Graph *g, const Equation *e, int64_t batch, const int64_t *sorted)
{
    Count c = {.g = g, .e = e, .batch = batch};
    if (!over_batch(g, e)) {
        return tuples(&c);
    }
    double total = 0;
    for (int64_t b = 0; b < batch;) {
        int64_t same = 1;
        while (b + same < batch && sorted[b + same] == sorted[b]) {
            same++;
        }
        c.length = sorted[b];
        total += (double)same * tuples(&c);
        b += same;
    }
    return total;
}

/* Of the kernel that computes it in fewer operations than it has terms. */
static double count_convolution(const Equation *e, const Convolution *c, int64_t batch, const int64_t *lengths)
{
    double total = 0;
    const Axis *list = e->letters[c->later].axis;
    for (int64_t b = 0; b < batch; b++) {
        int64_t n = lengths[b] < list->size ? lengths[b] : list->size;
        total += convolve_operations(n, e->letters[c->column].axis->size, c->is_gradient);
    }
    return convolution_lists(e, c) * total;
}

static double count_sorted(const Graph *g, const Equation *e, int64_t batch, const int64_t *sorted)
{
    Convolution c;
    if (convolution_match(g, e, &c)) {
        return count_convolution(e, &c, batch, sorted);
    }
    double per_tuple = e->op == RED_NONE ? 0 : 1;
    sc_walk(e->body, count_node, &per_tuple);
    return per_tuple == 0 ? 0 : per_tuple * tuples_sorted(g, e, batch, sorted);
}

/* A copy in ascending order; NULL: no memory. */
static int64_t *sorted_copy(int64_t batch, const int64_t *lengths)
{
    int64_t *sorted = malloc((size_t)(batch > 0 ? batch : 1) * sizeof *sorted);
    if (sorted) {
        memcpy(sorted, lengths, (size_t)batch * sizeof *sorted);
        qsort(sorted, (size_t)batch, sizeof *sorted, by_value);
    }
    return sorted;
}

double count_equation(const Graph *g, const Equation *e, int64_t batch, const int64_t *lengths)
{
    int64_t *sorted = sorted_copy(batch, lengths);
    double n = sorted ? count_sorted(g, e, batch, sorted) : NAN;
    free(sorted);
    return n;
}

double count_tuples(const Graph *g, const Equation *e, int64_t batch, const int64_t *lengths)
{
    int64_t *sorted = sorted_copy(batch, lengths);
    double n = sorted ? tuples_sorted(g, e, batch, sorted) : NAN;
    free(sorted);
    return n;
}

double count_cells(const Graph *g, const Tensor *t, int64_t batch, const int64_t *lengths)
{
    double total = 0;
    for (int64_t b = 0; b < (t->per_example ? batch : 1); b++) {
        Count c = {.g = g, .batch = batch, .length = t->per_example ? lengths[b] : 0};
        double n = 1;
        for (int d = 0; d < t->ndim; d++) {
            const Axis *a = t->dims[d]; /* a table and its parent are one dim, as long as the table */
            bool is_parent = a->kind == AXIS_FIXED && d + 1 < t->ndim && t->dims[d + 1]->kind == AXIS_TABLE &&
                             t->dims[d + 1]->parent == a;
            bool is_table = a->kind == AXIS_TABLE && d > 0 && t->dims[d - 1] == a->parent;
            if (!is_parent && !(d == 0 && t->per_example)) {
                n *= (double)(is_table ? a->size : axis_length(&c, a));
            }
        }
        total += n;
    }
    return total;
}

double count_operations(const Graph *g, int64_t batch, const int64_t *lengths)
{
    int64_t *sorted = sorted_copy(batch, lengths);
    double total = sorted ? 0 : NAN;
    for (int i = 0; sorted && i < g->nequations; i++) {
        total += count_sorted(g, g->equations[i], batch, sorted);
    }
    free(sorted);
    return total;
}
