/* Where a tensor's elements lie: plan.h tells what the layout means, this file chooses it. A dim whose size is read
 * at a position of another dim follows that dim directly (together they count rows of one list); if exactly one
 * ragged group remains it comes right after the example, so that all rows of a batch lie densely one after another; so
 * does a dim that is worked on in tiles, so that a tile is one stretch. Otherwise, and where a tensor asks for it, the
 * declared order stays. */
#include "internal.h"
#include <string.h>

bool axis_same(const Axis *a, const Axis *b)
{
    return a == b || (a->kind == AXIS_FIXED && b->kind == AXIS_FIXED && a->size == b->size);
}

int64_t axis_static_size(const Axis *a)
{
    switch (a->kind) {
    case AXIS_FIXED:
        return a->size;
    case AXIS_SUM: {
        int64_t n = 0;
        for (int i = 0; i < a->nparts; i++) {
            int64_t m = axis_static_size(a->parts[i]);
            if (m < 0) {
                return -1;
            }
            n += m;
        }
        return n;
    }
    default:
        return -1;
    }
}

bool axis_over_batch(const Axis *a)
{
    for (int i = 0; a->kind == AXIS_SUM && i < a->nparts; i++) {
        if (axis_over_batch(a->parts[i])) {
            return true;
        }
    }
    return a->kind == AXIS_BATCH;
}

static void place(const Tensor *t, Layout *l, int dim, int *n)
{
    l->order[(*n)++] = dim;
    for (int d = 0; d < t->ndim; d++) {
        if (l->parent[d] == dim) {
            place(t, l, d, n);
        }
    }
}

static bool has_child(const Tensor *t, const Layout *l, int dim)
{
    for (int d = 0; d < t->ndim; d++) {
        if (l->parent[d] == dim) {
            return true;
        }
    }
    return false;
}

/* The deepest ragged axis below dim, or NULL: what the signature lists for the group that starts at dim. */
static const Axis *group_axis(const Tensor *t, const Layout *l, int dim)
{
    const Axis *axis = axis_is_ragged(t->dims[dim]) ? t->dims[dim] : NULL;
    for (int d = 0; d < t->ndim; d++) {
        if (l->parent[d] == dim) {
            const Axis *below = group_axis(t, l, d);
            axis = below ? below : axis;
        }
    }
    return axis;
}

/* Elements of the group that starts at dim, where its size is known now. */
static int64_t group_size(const Tensor *t, const Layout *l, int dim)
{
    for (int d = 0; d < t->ndim; d++) {
        if (l->parent[d] == dim) {
            return t->dims[d]->kind == AXIS_TABLE ? t->dims[d]->size : -1;
        }
    }
    return axis_static_size(t->dims[dim]);
}

bool tensor_layout(const Tensor *t, Layout *l, const char **why)
{
    memset(l, 0, sizeof *l);
    l->fixed = 1;
    for (int d = 0; d < MAX_DIMS; d++) {
        l->parent[d] = -1;
    }
    int groups = 0, group = -1;
    for (int d = 0; d < t->ndim; d++) {
        const Axis *a = t->dims[d];
        if ((a->kind == AXIS_RAGGED || a->kind == AXIS_TABLE) && a->parent) {
            for (int p = d - 1; p >= 0 && l->parent[d] < 0; p--) {
                if (t->dims[p] == a->parent && !has_child(t, l, p)) {
                    l->parent[d] = p;
                }
            }
            if (l->parent[d] < 0) {
                *why = "a list per element needs the index of its element among the indices of the tensor";
                return false;
            }
        }
        if (a->kind == AXIS_TABLE && l->parent[d] > 0 && l->parent[l->parent[d]] >= 0) {
            *why = "a size per member inside a list per element is not supported";
            return false;
        }
    }
    for (int d = t->per_example ? 1 : 0; d < t->ndim; d++) {
        const Axis *a = t->dims[d];
        if (l->parent[d] >= 0) {
            continue;
        }
        const Axis *ragged = group_axis(t, l, d);
        if (axis_over_batch(a)) {
            if (ragged) {
                *why = "an index ranges over examples and over a list of each of them";
                return false;
            }
            l->batch_dims++;
            continue;
        }
        if (ragged) {
            if (!t->per_example) {
                *why = "a tensor that is the same for all examples has an index whose size differs between them";
                return false;
            }
            if (l->nsig == PLAN_SIG) {
                *why = "more than four indices whose sizes differ between examples";
                return false;
            }
            int i = l->nsig++;
            for (; i > 0 && l->sig[i - 1]->id > ragged->id; i--) {
                l->sig[i] = l->sig[i - 1];
            }
            l->sig[i] = ragged;
            groups++;
            group = d;
        } else {
            int64_t n = group_size(t, l, d);
            if (n < 0 || __builtin_mul_overflow(l->fixed, n, &l->fixed)) {
                *why = n < 0 ? "the size of an index is not known: its vocabulary has not been read"
                             : "it has more elements than can be counted";
                return false;
            }
        }
    }
    int n = 0;
    if (t->per_example) {
        l->order[n++] = 0;
    }
    group = t->tile_dim > 0 ? t->tile_dim : groups == 1 && !t->is_list ? group : -1;
    if (group >= 0) {
        place(t, l, group, &n);
    }
    for (int d = t->per_example ? 1 : 0; d < t->ndim; d++) {
        if (l->parent[d] < 0 && d != group) {
            place(t, l, d, &n);
        }
    }
    return true;
}
