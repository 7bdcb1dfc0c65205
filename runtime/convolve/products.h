/* Output blocks first .. first + rows - 1 of one frequency, in place: block I lands on I - 1, which no block before it
 * reads. Each is its own chains of sums from block 0 on, so that it does not matter how many go together. Products with
 * the weights' imaginary parts have chains of their own: one chain for both would wait for each addition. */
INLINE void NAME(multiply_rows)(Point *z, int64_t first, int rows, const REAL *w, int64_t width, int64_t blocks)
{
    const REAL *re = w + first - 1, *im = re + width, *near_re = re + blocks - 1, *near_im = im + blocks - 1;
    Point sum[ROWS], turned[ROWS];
#pragma GCC unroll 4
    for (int k = 0; k < rows; k++) {
        sum[k] = turned[k] = (Point){(Vec){0}, (Vec){0}};
    }
#define TERM(k, a, b, j)                                                                                               \
    do {                                                                                                               \
        sum[k].re += (a)*z[j].re;                                                                                      \
        sum[k].im += (a)*z[j].im;                                                                                      \
        turned[k].re += (b)*z[j].im;                                                                                   \
        turned[k].im += (b)*z[j].re;                                                                                   \
    } while (0)
#pragma GCC unroll 4
    for (int k = 0; k < rows; k++) {
        TERM(k, near_re[k], near_im[k], 0);
    }
    for (int64_t j = 1; j < first; j++) {
#pragma GCC unroll 4
        for (int k = 0; k < rows; k++) {
            TERM(k, re[k - j], im[k - j], j);
        }
    }
#pragma GCC unroll 4
    for (int m = 0; m < rows - 1; m++) {
#pragma GCC unroll 4
        for (int k = m + 1; k < rows; k++) {
            TERM(k, re[k - first - m], im[k - first - m], first + m);
        }
    }
#undef TERM
#pragma GCC unroll 4
    for (int k = 0; k < rows; k++) {
        z[first - 1 + k] = (Point){sum[k].re - turned[k].re, sum[k].im + turned[k].im};
    }
}

static __attribute__((noinline)) void NAME(multiply)(Point *z, int64_t stride, const REAL *w, int64_t width,
                                                     int64_t blocks)
{
    int64_t rest = (blocks - 1) % ROWS, whole = blocks - 1 - rest;
    for (int f = 0; f < POINTS; f++, z += stride, w += 2 * width) {
        if (rest == 1) {
            NAME(multiply_rows)(z, whole + 1, 1, w, width, blocks);
        } else if (ROWS > 2 && rest == 2) {
            NAME(multiply_rows)(z, whole + 1, 2, w, width, blocks);
        } else if (ROWS > 3 && rest == 3) {
            NAME(multiply_rows)(z, whole + 1, 3, w, width, blocks);
        }
        for (int64_t first = whole - ROWS + 1; first > 0; first -= ROWS) {
            NAME(multiply_rows)(z, first, ROWS, w, width, blocks);
        }
    }
}

/* y of one block: what came from the blocks before (none: NULL), plus the terms with block 0 that go by no spectrum,
 * plus the block's own. */
static __attribute__((noinline)) void NAME(finish_block)(const ConvolveArgs *c, const REAL *x, REAL *y, const Pair *p,
                                                         const REAL *w, const Point *x0, const Point *before,
                                                         int64_t row0)
{
    Point own[BLOCK];
    int64_t rows = c->n - row0, first0 = c->first > row0 ? c->first - row0 : 0;
    for (int64_t row = 0; row < rows && row < BLOCK; row += GROUP) {
        Point sum[GROUP], done[GROUP];
        NAME(read_rows)(own + row, x + (row0 + row) * c->x_step, c->x_step, rows - row, GROUP, p);
#pragma GCC unroll 8
        for (int k = 0; k < GROUP; k++) {
            sum[k] = before ? before[row + k] : (Point){(Vec){0}, (Vec){0}};
        }
        if (before) {
            NAME(add_triangle)(sum, w + row0, x0, row, first0);
            NAME(add_square)(sum, w + row0, x0, row, first0);
        }
        NAME(add_square)(sum, w, own, row, c->first);
        NAME(add_triangle)(sum, w, own, row, c->first);
#pragma GCC unroll 8
        for (int k = 0; k < GROUP; k++) {
            done[k] = sum[k];
        }
        REAL *to = y + (row0 + row) * c->y_step;
        for (int k = 0; k < GROUP && row + k < rows; k++, to += c->y_step) {
            NAME(write_lanes)(to, done[k].re, p->count[0]);
            if (p->count[1] > 0) {
                NAME(write_lanes)(to + LANES, done[k].im, p->count[1]);
            }
        }
    }
}

static void NAME(convolve_pair)(const ConvolveArgs *c, const REAL *x, REAL *y, const Pair *p, const REAL *w,
                                const REAL *spectra, int64_t width, Point *z, int64_t blocks)
{
    Point x0[BLOCK], before[BLOCK];
    int64_t stride = (blocks - 1) | 1;
    NAME(read_rows)(x0, x, c->x_step, c->n, BLOCK, p);
    for (int64_t j = 0; j < blocks - 1; j++) {
        NAME(forward_rows)(z + j, stride, x + j * BLOCK * c->x_step, c->x_step, p);
    }
    NAME(multiply)(z, stride, spectra, width, blocks);
    NAME(finish_block)(c, x, y, p, w, NULL, NULL, 0);
    for (int64_t i = 1; i < blocks; i++) {
        NAME(inverse_block)(before, z + i - 1, stride);
        NAME(finish_block)(c, x, y, p, w, x0, before, i * BLOCK);
    }
}

void NAME(convolve)(const ConvolveArgs *c)
{
    int64_t blocks = (c->n + BLOCK - 1) / BLOCK;
    int64_t width = (2 * (blocks - 1) + SPECTRA_PAD - 1) / SPECTRA_PAD * SPECTRA_PAD;
    if (c->n <= 0) {
        return;
    }
    REAL *spectra = c->scratch;
    Point *z = (Point *)(void *)(spectra + 2 * POINTS * width);
    REAL *w = (REAL *)(z + POINTS * ((blocks - 1) | 1));
    NAME(read_weights)(w, c, blocks);
    NAME(transform_weights)(spectra, width, w, blocks);
    for (int64_t column = 0; column < c->columns; column += 2 * LANES) {
        Pair p = NAME(pair_of)(c->columns - column);
        NAME(convolve_pair)(c, (const REAL *)c->x + column, (REAL *)c->y + column, &p, w, spectra, width, z, blocks);
    }
}
