/* Sums along a list that weigh by distance alone, and the gradients of such weights, which kernels of their own compute
 * in far fewer operations than there are terms (runtime/convolve.h):
 *
 *     o[b,i,f]  sum= w[i - j] * v[b,j,f]         over j       where j <= i      or where i <= j
 *     gw[i - j] sum= go[b,i,f] * v[b,j,f]        over b,i,j,f where j <= i */
#ifndef HEDDLE_CONVOLUTION_H
#define HEDDLE_CONVOLUTION_H

#include "ir.h"

/* Positions a list may have at least, columns at least, for it to pay. */
enum { CONVOLUTION_POSITIONS = 96, CONVOLUTION_COLUMNS = 8 };

typedef struct {
    int example;           /* letters: the example, */
    int later, earlier;    /* the two positions; later - earlier is the distance */
    int column;            /* the last index of everything but the weights */
    int64_t first;         /* the least distance that counts, 0 or more */
    bool is_gradient;      /* of the weights: what stands on the left are they */
    int to;                /* else: the letter of the position that is written, later or earlier */
    Scalar *const *weight; /* indices of the weights' tensor, of which number `dim` is the distance, */
    int dim, sign;         /* or its negative: sign -1 */
    const Tensor *weights;
    const Scalar *x, *y; /* loads: x of the sum, and at the earlier position; y of the gradient, at the later one */
} Convolution;

/* Whether e is one of those that pass_convolve made, or of their gradients: what the weights are read at is an axis of
 * distances. All other letters are those of fixed axes, without conditions. */
bool convolution_match(const Graph *g, const Equation *e, Convolution *out);

/* How many of them there are in one example: one for each value of the letters that are no position and no column. */
double convolution_lists(const Equation *e, const Convolution *c);

/* A condition that says which of two letters is later, and the least distance between them; false: it is
 * none, or that is negative. */
bool distance_condition(const Graph *g, const Equation *e, const Scalar *cond, int *later, int *earlier,
                        int64_t *first);

#endif
