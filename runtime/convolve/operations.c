#include "../convolve.h"

/* Spectra of one pair of vectors of columns, x and y: 64 points of two vectors of 64 bytes for 32 rows; behind them
 * what is known of the weights, 16 bytes a row for correlate. Convolve needs less: one spectrum and at most 72 bytes.
 */
int64_t convolve_scratch_row(int64_t columns)
{
    (void)columns;
    return 2 * 64 * 2 * 64 / 32 + 17;
}

double convolve_operations(int64_t n, int64_t columns, bool is_gradient)
{
    enum { BLOCK = 32, POINTS = 2 * BLOCK };
    const double transform = 5. * POINTS * 6 / 2; /* of one column: two go through one transform */
    double blocks = (double)((n + BLOCK - 1) / BLOCK), pairs = blocks * (blocks + (is_gradient ? 1 : -1)) / 2;
    double within = is_gradient ? 0 : (2 * blocks - 1) * BLOCK * (BLOCK + 1); /* a block's own, and with the first */
    return (double)columns * (2 * blocks * transform + pairs * POINTS * 4 + within);
}
