/* Values for several neighbouring positions of one letter at once, as vectors: where a short inner loop is better
 * spelled out than left to LLVM's vectoriser, because what surrounds it can then keep vectors in registers (rows.c). */
#ifndef HEDDLE_LANES_H
#define HEDDLE_LANES_H

#include "internal.h"

typedef struct {
    int letter;
    int lanes;
    LLVMValueRef mask;  /* <lanes x i1>: positions there are; NULL: all. Loads outside give 0, other values anything */
    LLVMValueRef *memo; /* per node: vectors known already, or NULL */
} Lanes;

/* How memory is walked when a letter moves by one and all else stands still. */
typedef enum { ACCESS_SAME, ACCESS_ALONG, ACCESS_ACROSS } Access;
Access access_of(const Tensor *t, Scalar *const *index, int letter);    /* along: by one element, up or down */
bool access_ascends(const Tensor *t, Scalar *const *index, int letter); /* along, and up */
/* The coefficient of a letter in an integer expression that is affine in it. */
bool affine_in(const Scalar *s, int letter, int64_t *coef);

/* Whether lanes_value can make s: arithmetic and comparisons of what the letter does not change or walks along. */
bool lanes_can(const Scalar *s, int letter);
bool lanes_can_knowing(const Scalar *s, int letter, const Scalar *known); /* ... and of `known`, in the memo */
/* s at the `lanes` positions from x->letter[letter] on: real as the vector of TYPE_REAL, int i64, bool i1. */
LLVMValueRef lanes_value(Emit *x, const Lanes *l, const Scalar *s);
/* An integer likewise, but as i32 where it is loaded from a tensor of those. */
LLVMValueRef lanes_int(Emit *x, const Lanes *l, const Scalar *s);
/* Elements of tensor argument n from an address on, of reals; no memory is touched where mask is false. */
LLVMValueRef lanes_load(Emit *x, int n, LLVMTypeRef element, LLVMValueRef address, int lanes, LLVMValueRef mask);
void lanes_store(Emit *x, int n, LLVMValueRef v, LLVMValueRef address, LLVMValueRef mask);
LLVMValueRef lanes_splat(Emit *x, LLVMValueRef v, int lanes);
/* <lanes x i1>: i < n, for an i64 n, or constantly. */
LLVMValueRef lanes_below(Emit *x, int lanes, LLVMValueRef n);
/* Lane i of the result is the sum of the lanes of row(ctx, i), which is called once for each i in ascending order.
 * Every sum is made in the same order, whichever lane it goes to. */
typedef LLVMValueRef LanesRow(void *ctx, int i);
LLVMValueRef lanes_sums(Emit *x, int lanes, LanesRow *row, void *ctx);

#endif
