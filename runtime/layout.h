/* Where a cell of a tensor lies, for one batch. See plan.h for the layout itself.
 *
 *   Shapes   sizes that a batch fixes: packed row offsets of each ragged axis, lists of nested ones, signatures
 *   Layout   a tensor's dims as groups: a dim and the dims nested in it count as one, since they are stored as one */
#ifndef HEDDLE_LAYOUT_H
#define HEDDLE_LAYOUT_H

#include "runtime.h"

/* Bytes that a tensor takes up, with what kernels may read behind it. */
static inline int64_t with_slack(int64_t bytes)
{
    return (bytes + TENSOR_SLACK + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
}

typedef struct {
    const Plan *plan;
    int64_t batch;
    bool *ragged;      /* per axis: its size differs between examples */
    int64_t **rows;    /* per ragged axis: batch + 1 packed row offsets; NULL where the batch gave none */
    int64_t **lists;   /* per nested ragged axis: first row of each parent row's list, parent rows + 1 entries */
    int64_t *longest;  /* per axis: largest size in this batch */
    int64_t **offsets; /* per Plan.offsets; OFF_ROWS borrows from lists */
} Shapes;

bool shapes_new(Shapes *s, const Plan *plan, Error *e);
void shapes_free(Shapes *s);
/* Forgets the last batch. Afterwards `rows` of the plain ragged axes and `lists` of the nested ones are filled in by
 * the caller (they are freed here), then shapes_finish derives sums of axes, longest sizes and signatures. */
void shapes_begin(Shapes *s, int64_t batch);
bool shapes_finish(Shapes *s, Error *e);
int64_t shapes_axis_size(const Shapes *s, int axis, int64_t example);
/* Upper bound that holds for every batch. */
int64_t shapes_bound(const Shapes *s, int axis);

/* Checked product of two sizes; false on overflow. */
bool size_mul(int64_t a, int64_t b, int64_t *out);

typedef struct {
    enum { GROUP_FIXED, GROUP_BATCH, GROUP_RAGGED } kind;
    int dim;      /* first of its dims */
    int axis;     /* axis of its innermost dim: its size is the group's */
    int outer;    /* axis of its first dim */
    int64_t size; /* FIXED: its size. RAGGED: the bound to which it is padded where it does not lead */
} Group;

typedef struct {
    int n;
    Group groups[PLAN_DIMS]; /* in declared order, without the batch dim in front */
    int order[PLAN_DIMS];    /* numbers of groups, outermost in memory first */
    int lead;                /* the group whose rows lead the packed form: the first ragged one, or -1 */
} Layout;

bool layout_of(const Shapes *s, int tensor, Layout *out, Error *e);
/* Elements of a tensor in this batch, or -1 after an overflow. */
int64_t tensor_count(const Shapes *s, int tensor);
int64_t tensor_bytes(const Shapes *s, int tensor); /* without slack; -1 after an overflow */
/* First element of an example's block. */
int64_t tensor_base(const Shapes *s, int tensor, int64_t example);
/* Sizes and strides of the groups inside an example's block, in declared order. */
void layout_strides(const Shapes *s, const Layout *l, int64_t example, int64_t *sizes, int64_t *strides);
/* Element number of the cell at `index` (one per group, in declared order) of an example. */
int64_t layout_address(const Shapes *s, int tensor, const Layout *l, int64_t example, const int64_t *index);

/* The packed form: what files and fetches hold. Rows of the leading ragged group (or the examples) first, then the
 * other dims in declared order; ragged ones among these are padded to their bound with 0. */
bool packed_dims(const Shapes *s, int tensor, int *ndim, int64_t *dims, Error *e);
/* True if the packed form and the tensor's own form are the same sequence of elements. */
bool packed_is_own(const Shapes *s, int tensor, const Layout *l);
/* Calls f for every run of cells: `count` cells whose elements are `own`, own + own_stride ... in the tensor and
 * `packed`, packed + 1 ... in the packed form. Stops and returns false when f does. */
bool packed_walk(const Shapes *s, int tensor, const Layout *l,
                 bool (*f)(void *ctx, int64_t own, int64_t own_stride, int64_t packed, int64_t count), void *ctx);

#endif
