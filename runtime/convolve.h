/* Sums along a list that weigh by distance, and the gradient of the weights, in O(n * n / 32) instead of O(n * n):
 *
 *   convolve    y[i, c] = sum over j <= i - first: w(i - j) * x[j, c]
 *   correlate   w(lag) += sum over i, c: y[i, c] * x[i - lag, c]                    for lag >= first
 *
 * The list is cut into blocks of 32 positions. Between blocks both are products of Fourier transforms of 64 points;
 * inside a block convolve adds term by term. So no rounding, and no value that is no number, goes from a position to
 * one before it, and y[i] is the same whatever comes behind i. Errors are some units in the last place of the largest
 * sum of a block, not of each. Behind a value that is no number, in later blocks, it also reaches the column that it is
 * transformed together with, a vector away, and rounding of the one depends on the other.
 *
 * Against the list's direction (y[j] = sum over i >= j + first: w(i - j) * x[i]) they run from its other end: x and y
 * point at the last position, and the steps are negative. */
#ifndef HEDDLE_CONVOLVE_H
#define HEDDLE_CONVOLVE_H

#include <stdbool.h>
#include <stdint.h>

/* Counted in elements; all fields have eight bytes, as generated code writes them. */
typedef struct {
    int64_t n, columns;
    int64_t first; /* the smallest distance that counts: 0 or more */
    void *weight;  /* w(lag) = weight[lag * weight_step] for first <= lag < n; others are not touched */
    int64_t weight_step;
    const void *x; /* x[i, c] = x[i * x_step + c]; up to 64 bytes behind a row may be read, not used */
    int64_t x_step;
    void *y; /* convolve writes the columns of y and nothing beside them */
    int64_t y_step;
    void *scratch; /* n * convolve_scratch_row(columns) + CONVOLVE_SCRATCH bytes, aligned to 64 */
} ConvolveArgs;

enum { CONVOLVE_SCRATCH = 1 << 16 };
int64_t convolve_scratch_row(int64_t columns);

/* Operations for one list, of its columns alone. */
double convolve_operations(int64_t n, int64_t columns, bool is_gradient);

/* The same in f32 and f64, for the CPUs of x86-64-v4 (AVX-512), x86-64-v3 (AVX2) and x86-64. */
#define CONVOLVE_VARIANTS(X) X(f32_v4) X(f32_v3) X(f32_v1) X(f64_v4) X(f64_v3) X(f64_v1)
#define CONVOLVE_DECLARE(variant)                                                                                      \
    void convolve_##variant(const ConvolveArgs *c);                                                                    \
    void correlate_##variant(const ConvolveArgs *c);
CONVOLVE_VARIANTS(CONVOLVE_DECLARE)

#endif
