/* Sizes and addresses for one batch: the arithmetic of plan.h's layout in one place. */
#include "layout.h"
#include <stdlib.h>
#include <string.h>

bool size_mul(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* ---- shapes ----------------------------------------------------------------------------------------------- */

static bool is_ragged(const Plan *p, int axis, int depth)
{
    const PlanAxis *a = &p->axes[axis];
    if (a->kind == PAX_RAGGED) {
        return true;
    }
    for (int i = 0; a->kind == PAX_SUM && i < a->nparts; i++) {
        if (depth < p->naxes && is_ragged(p, a->parts[i], depth + 1)) {
            return true;
        }
    }
    return false;
}

static bool is_over_batch(const Plan *p, int axis, int depth)
{
    const PlanAxis *a = &p->axes[axis];
    for (int i = 0; a->kind == PAX_SUM && i < a->nparts; i++) {
        if (depth < p->naxes && is_over_batch(p, a->parts[i], depth + 1)) {
            return true;
        }
    }
    return a->kind == PAX_BATCH;
}

bool shapes_new(Shapes *s, const Plan *plan, Error *e)
{
    size_t n = (size_t)plan->naxes + 1, k = (size_t)plan->noffsets + 1;
    *s = (Shapes){.plan = plan,
                  .ragged = calloc(n, sizeof *s->ragged),
                  .rows = calloc(n, sizeof *s->rows),
                  .lists = calloc(n, sizeof *s->lists),
                  .longest = calloc(n, sizeof *s->longest),
                  .offsets = calloc(k, sizeof *s->offsets)};
    if (!s->ragged || !s->rows || !s->lists || !s->longest || !s->offsets) {
        shapes_free(s);
        return error_set(e, EXIT_RESOURCES, "no memory for the axes of '%s'", plan->name);
    }
    for (int i = 0; i < plan->naxes; i++) {
        s->ragged[i] = is_ragged(plan, i, 0);
    }
    return true;
}

void shapes_begin(Shapes *s, int64_t batch)
{
    s->batch = batch;
    for (int i = 0; i < s->plan->naxes; i++) {
        free(s->rows[i]);
        free(s->lists[i]);
        s->rows[i] = s->lists[i] = NULL;
        s->longest[i] = 0;
    }
    for (int i = 0; i < s->plan->noffsets; i++) {
        if (s->plan->offsets[i].kind == OFF_SIGNATURE) {
            free(s->offsets[i]);
        }
        s->offsets[i] = NULL;
    }
}

void shapes_free(Shapes *s)
{
    if (s->rows && s->lists && s->longest && s->offsets) {
        shapes_begin(s, 0);
    }
    free(s->ragged);
    free(s->rows);
    free(s->lists);
    free(s->longest);
    free(s->offsets);
    *s = (Shapes){0};
}

int64_t shapes_axis_size(const Shapes *s, int axis, int64_t example)
{
    const PlanAxis *a = &s->plan->axes[axis];
    if (s->ragged[axis]) {
        return s->rows[axis] ? s->rows[axis][example + 1] - s->rows[axis][example] : 0;
    }
    if (a->kind == PAX_BATCH) {
        return s->batch;
    }
    if (a->kind == PAX_SUM) {
        int64_t sum = 0;
        for (int i = 0; i < a->nparts; i++) {
            sum += shapes_axis_size(s, a->parts[i], example);
        }
        return sum;
    }
    return a->size;
}

int64_t shapes_bound(const Shapes *s, int axis)
{
    const PlanAxis *a = &s->plan->axes[axis];
    int64_t bound = a->size;
    if (a->kind == PAX_SUM) {
        bound = 0;
        for (int i = 0; i < a->nparts; i++) {
            bound += shapes_bound(s, a->parts[i]);
        }
    } else if (a->kind == PAX_RAGGED && a->parent >= 0) {
        size_mul(a->size, shapes_bound(s, a->parent), &bound);
    } else if (a->kind == PAX_BATCH) {
        bound = s->batch;
    }
    return bound;
}

/* First row of an example on an axis whose rows lie example after example. */
static int64_t first_row(const Shapes *s, int axis, int64_t example)
{
    return s->ragged[axis] ? s->rows[axis][example] : example * shapes_axis_size(s, axis, 0);
}

/* Fills rows of one ragged axis from its lists or parts, theirs first. An axis without given offsets has no rows. */
static bool fill_rows(Shapes *s, int axis, Error *e)
{
    const PlanAxis *a = &s->plan->axes[axis];
    if (!s->ragged[axis] || s->rows[axis]) {
        return true;
    }
    int64_t *rows = calloc((size_t)s->batch + 1, sizeof *rows);
    if (!rows) {
        return error_set(e, EXIT_RESOURCES, "no memory for the row offsets of axis '%s'", a->name);
    }
    if (a->kind == PAX_RAGGED && a->parent >= 0 && s->lists[axis]) {
        if (!fill_rows(s, a->parent, e)) {
            free(rows);
            return false;
        }
        for (int64_t b = 0; b <= s->batch; b++) {
            rows[b] = s->lists[axis][first_row(s, a->parent, b)];
        }
    } else if (a->kind == PAX_SUM) {
        for (int i = 0; i < a->nparts; i++) {
            if (!fill_rows(s, a->parts[i], e)) {
                free(rows);
                return false;
            }
            for (int64_t b = 0; b <= s->batch; b++) {
                rows[b] += first_row(s, a->parts[i], b);
            }
        }
    }
    s->rows[axis] = rows;
    return true;
}

bool shapes_finish(Shapes *s, Error *e)
{
    const Plan *p = s->plan;
    for (int i = 0; i < p->naxes; i++) {
        if (!fill_rows(s, i, e)) {
            return false;
        }
    }
    for (int i = 0; i < p->naxes; i++) {
        for (int64_t b = 0; b < s->batch; b++) {
            int64_t size = shapes_axis_size(s, i, b);
            s->longest[i] = size > s->longest[i] ? size : s->longest[i];
        }
    }
    for (int k = 0; k < p->noffsets; k++) {
        const PlanOffsets *o = &p->offsets[k];
        if (o->kind == OFF_ROWS) {
            s->offsets[k] = s->lists[o->axes[0]];
            continue;
        }
        int64_t *sums = malloc(((size_t)s->batch + 1) * sizeof *sums);
        if (!sums) {
            return error_set(e, EXIT_RESOURCES, "no memory for the offsets of a batch of %lld examples",
                             (long long)s->batch);
        }
        s->offsets[k] = sums;
        sums[0] = 0;
        for (int64_t b = 0; b < s->batch; b++) {
            int64_t cells = 1;
            bool fits = true;
            for (int i = 0; i < o->naxes; i++) {
                fits = fits && size_mul(cells, shapes_axis_size(s, o->axes[i], b), &cells);
            }
            if (!fits || __builtin_add_overflow(sums[b], cells, &sums[b + 1])) {
                return error_set(e, EXIT_RESOURCES, "example %lld is too large: its cells cannot be counted in 64 bits",
                                 (long long)b);
            }
        }
    }
    return true;
}

/* ---- layout ----------------------------------------------------------------------------------------------- */

/* The dim of which dim d is a list or a vocabulary, in the same tensor; -1: none. */
static int parent_dim(const Plan *p, const PlanTensor *t, int d)
{
    const PlanAxis *a = &p->axes[t->dims[d]];
    if ((a->kind != PAX_RAGGED && a->kind != PAX_TABLE) || a->parent < 0) {
        return -1;
    }
    for (int q = d - 1; q >= 0; q--) { /* the nearest one before it, else one after it */
        if (t->dims[q] == a->parent) {
            return q;
        }
    }
    for (int q = d + 1; q < t->ndim; q++) {
        if (t->dims[q] == a->parent) {
            return q;
        }
    }
    return -1;
}

bool layout_of(const Shapes *s, int tensor, Layout *out, Error *e)
{
    const Plan *p = s->plan;
    const PlanTensor *t = &p->tensors[tensor];
    int first = t->per_example ? 1 : 0;
    int group_of[PLAN_DIMS];
    *out = (Layout){.lead = -1};
    for (int d = first; d < t->ndim; d++) {
        group_of[d] = -1;
    }
    for (int d = first; d < t->ndim; d++) { /* one group per dim that is nested in no other */
        if (parent_dim(p, t, d) < 0) {
            group_of[d] = out->n;
            out->groups[out->n++] = (Group){.dim = d, .axis = t->dims[d], .outer = t->dims[d]};
        }
    }
    for (int round = 0; round < PLAN_DIMS; round++) { /* nested dims join their parent's group, innermost last */
        for (int d = first; d < t->ndim; d++) {
            int q = parent_dim(p, t, d);
            if (group_of[d] < 0 && q >= first && group_of[q] >= 0) {
                group_of[d] = group_of[q];
                out->groups[group_of[d]].axis = t->dims[d];
            }
        }
    }
    for (int i = 0; i < out->n; i++) {
        Group *g = &out->groups[i];
        if (s->ragged[g->axis]) {
            g->kind = GROUP_RAGGED;
            g->size = shapes_bound(s, g->axis);
            out->lead = out->lead < 0 && t->per_example ? i : out->lead;
        } else {
            g->kind = p->axes[g->axis].kind == PAX_BATCH ? GROUP_BATCH : GROUP_FIXED;
            g->size = shapes_axis_size(s, g->axis, 0);
        }
    }
    int n = 0;
    bool placed[PLAN_DIMS] = {false};
    for (int k = 0; k < t->ndim; k++) {
        int d = t->order[k];
        if (d < first || d >= t->ndim || group_of[d] < 0 || placed[group_of[d]]) {
            continue;
        }
        placed[group_of[d]] = true;
        out->order[n++] = group_of[d];
    }
    if (n != out->n) {
        return error_set(e, EXIT_SPEC,
                         "internal error: the memory order of tensor '%s' is not a permutation of its dims", t->name);
    }
    return true;
}

/* Elements per unit of the signature. */
static bool block_factor(const Shapes *s, const PlanTensor *t, int64_t *factor)
{
    *factor = t->fixed;
    for (int d = t->per_example ? 1 : 0; d < t->ndim && t->batch_dims > 0; d++) {
        if (is_over_batch(s->plan, t->dims[d], 0) && !size_mul(*factor, shapes_axis_size(s, t->dims[d], 0), factor)) {
            return false;
        }
    }
    return true;
}

int64_t tensor_count(const Shapes *s, int tensor)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int64_t count;
    if (!block_factor(s, t, &count)) {
        return -1;
    }
    if (t->per_example && !size_mul(count, s->offsets[t->offsets][s->batch], &count)) {
        return -1;
    }
    return count;
}

int64_t tensor_bytes(const Shapes *s, int tensor)
{
    int64_t bytes, count = tensor_count(s, tensor);
    return count >= 0 && size_mul(count, (int64_t)dtype_size[s->plan->tensors[tensor].dtype], &bytes) ? bytes : -1;
}

int64_t tensor_base(const Shapes *s, int tensor, int64_t example)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int64_t factor = 0;
    if (!t->per_example || !block_factor(s, t, &factor)) {
        return 0;
    }
    return s->offsets[t->offsets][example] * factor;
}

void layout_strides(const Shapes *s, const Layout *l, int64_t example, int64_t *sizes, int64_t *strides)
{
    int64_t stride = 1;
    for (int k = l->n - 1; k >= 0; k--) {
        int i = l->order[k];
        const Group *g = &l->groups[i];
        sizes[i] = g->kind == GROUP_RAGGED ? shapes_axis_size(s, g->axis, example) : g->size;
        strides[i] = stride;
        stride *= sizes[i];
    }
}

int64_t layout_address(const Shapes *s, int tensor, const Layout *l, int64_t example, const int64_t *index)
{
    int64_t sizes[PLAN_DIMS], strides[PLAN_DIMS];
    layout_strides(s, l, example, sizes, strides);
    int64_t at = tensor_base(s, tensor, example);
    for (int i = 0; i < l->n; i++) {
        at += index[i] * strides[i];
    }
    return at;
}

/* ---- packed form ------------------------------------------------------------------------------------------ */

bool packed_dims(const Shapes *s, int tensor, int *ndim, int64_t *dims, Error *e)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    Layout l;
    if (!layout_of(s, tensor, &l, e)) {
        return false;
    }
    int n = 0;
    if (t->per_example) {
        dims[n++] = l.lead >= 0 ? s->rows[l.groups[l.lead].axis][s->batch] : s->batch;
    }
    for (int i = 0; i < l.n; i++) {
        if (i != l.lead) {
            dims[n++] = l.groups[i].size;
        }
    }
    *ndim = n;
    return true;
}

bool packed_is_own(const Shapes *s, int tensor, const Layout *l)
{
    (void)s;
    (void)tensor;
    int next = 0;
    for (int k = 0; k < l->n; k++) {
        int i = l->order[k];
        if (i == l->lead) {
            if (k != 0) {
                return false;
            }
            continue;
        }
        if (l->groups[i].kind == GROUP_RAGGED) {
            return false;
        }
        next += next == l->lead;
        if (i != next++) {
            return false;
        }
    }
    return true;
}

bool packed_walk(const Shapes *s, int tensor, const Layout *l,
                 bool (*f)(void *ctx, int64_t own, int64_t own_stride, int64_t packed, int64_t count), void *ctx)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int64_t total = tensor_count(s, tensor);
    if (packed_is_own(s, tensor, l)) {
        return f(ctx, 0, 1, 0, total);
    }
    /* Loop order: the leading group, then the others as declared; the last of them is one run. */
    int loops[PLAN_DIMS], n = 0;
    if (l->lead >= 0) {
        loops[n++] = l->lead;
    }
    for (int i = 0; i < l->n; i++) {
        if (i != l->lead) {
            loops[n++] = i;
        }
    }
    int64_t packed_strides[PLAN_DIMS], row = 1;
    for (int k = n - 1; k >= 0; k--) {
        packed_strides[loops[k]] = row;
        row *= k == 0 && l->lead >= 0 ? 1 : l->groups[loops[k]].size;
    }
    int64_t examples = t->per_example ? s->batch : 1, packed_base = 0;
    for (int64_t b = 0; b < examples; b++) {
        int64_t sizes[PLAN_DIMS], strides[PLAN_DIMS], index[PLAN_DIMS] = {0};
        layout_strides(s, l, b, sizes, strides);
        int64_t base = tensor_base(s, tensor, b);
        bool empty = false;
        for (int i = 0; i < l->n; i++) {
            empty = empty || sizes[i] == 0;
        }
        int last = loops[n - 1]; /* n > 0: a tensor without groups is its own packed form */
        while (!empty) {
            int64_t own = base, packed = packed_base;
            for (int k = 0; k < n - 1; k++) {
                own += index[loops[k]] * strides[loops[k]];
                packed += index[loops[k]] * packed_strides[loops[k]];
            }
            /* With one group left, and that the leading one, packed neighbours are one row apart. */
            if (packed_strides[last] == 1) {
                if (!f(ctx, own, strides[last], packed, sizes[last])) {
                    return false;
                }
            } else {
                for (int64_t i = 0; i < sizes[last]; i++) {
                    if (!f(ctx, own + i * strides[last], 1, packed + i * packed_strides[last], 1)) {
                        return false;
                    }
                }
            }
            int k = n - 2;
            while (k >= 0 && ++index[loops[k]] == sizes[loops[k]]) {
                index[loops[k--]] = 0;
            }
            empty = k < 0;
        }
        packed_base += l->lead >= 0 ? sizes[l->lead] * packed_strides[l->lead] : row;
    }
    return true;
}
