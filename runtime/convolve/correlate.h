/* The sum over the lanes of 2 ROWS vectors at once: a step adds two halves of lanes and puts two vectors into one. Bit
 * `step` of a lane of the result says whose sum it is, a's or b's; so the sums come out in order. */
static const Lanes NAME(lane) = {IOTA};

INLINE Vec NAME(shuffle)(Vec a, Vec b, Lanes from)
{
#ifdef __clang__
    Vec lanes = a;
    for (int lane = 0; lane < LANES; lane++) {
        lanes[lane] = from[lane] < LANES ? a[from[lane]] : b[from[lane] - LANES];
    }
    return lanes;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

INLINE Vec NAME(fold)(Vec a, Vec b, INTEGER step)
{
    Lanes own = NAME(lane) + (((NAME(lane) & step) != 0) & LANES);
    return NAME(shuffle)(a, b, own) + NAME(shuffle)(a, b, own ^ step);
}

typedef REAL Sums __attribute__((vector_size(ROWS * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

INLINE void NAME(sum_lanes)(Vec *v)
{
    int count = 2 * ROWS;
#pragma GCC unroll 4
    for (int step = 1; step < LANES; step *= 2) {
        if (count > 1) {
            count /= 2;
#pragma GCC unroll 4
            for (int i = 0; i < count; i++) {
                v[i] = NAME(fold)(v[2 * i], v[2 * i + 1], (INTEGER)step);
            }
        } else {
            v[0] += NAME(shuffle)(v[0], v[0], NAME(lane) ^ (INTEGER)step);
        }
    }
}

/* Of one frequency: sum[k] (re), sum[ROWS + k] (im) += conj(x[i - D - k]) * y[i] for k < rows; back: its conjugate. The
 * second factor's parts have sums of their own, for shorter chains. */
INLINE void NAME(correlate_block)(Vec *sum, Vec *turned, const Point *x, const Point *y, int rows, bool back)
{
    Vec b_re = y->re, b_im = y->im;
#pragma GCC unroll 4
    for (int k = 0; k < rows; k++) {
        Vec re = x[-k].re, im = x[-k].im;
        __asm__("" : "+v"(re), "+v"(im)); /* once from memory: loads are the bottleneck */
        sum[k] += re * b_re;
        turned[k] += im * b_im;
        if (back) {
            sum[ROWS + k] -= re * b_im;
            turned[ROWS + k] += im * b_re;
        } else {
            sum[ROWS + k] += re * b_im;
            turned[ROWS + k] -= im * b_re;
        }
    }
}

/* Weights are real, so of a spectrum only what f and -f have in common counts: to[f][part][D] for f = 0..32. */
static __attribute__((noinline)) void NAME(correlate_spectra)(REAL *to, int64_t width, const Point *x, const Point *y,
                                                              int64_t stride, int64_t blocks)
{
    for (int f = 0; f <= POINTS / 2; f++, to += 2 * width) {
        int64_t back = ((POINTS - f) & (POINTS - 1)) * stride - f * stride;
        const Point *xf = x + f * stride, *yf = y + f * stride;
        for (int64_t distance = 0; distance < blocks; distance += ROWS, yf += ROWS) {
            Vec sum[2 * ROWS], turned[2 * ROWS];
#pragma GCC unroll 8
            for (int k = 0; k < 2 * ROWS; k++) {
                sum[k] = turned[k] = (Vec){0};
            }
#pragma GCC unroll 4
            for (int m = 0; m < ROWS - 1; m++) {
                if (distance + m < blocks) {
                    NAME(correlate_block)(sum, turned, xf + m, yf + m, m + 1, false);
                    NAME(correlate_block)(sum, turned, xf + m + back, yf + m + back, m + 1, true);
                }
            }
            const Point *a = xf + ROWS - 1, *b = yf + ROWS - 1;
            for (int64_t i = distance + ROWS - 1; i < blocks; i++, a++, b++) {
                NAME(correlate_block)(sum, turned, a, b, ROWS, false);
                NAME(correlate_block)(sum, turned, a + back, b + back, ROWS, true);
            }
#pragma GCC unroll 8
            for (int k = 0; k < 2 * ROWS; k++) {
                sum[k] += turned[k];
            }
            NAME(sum_lanes)(sum);
            *(Sums *)(to + distance) += ((const Sums *)sum)[0];
            *(Sums *)(to + width + distance) += ((const Sums *)sum)[1];
        }
    }
}

/* lags[0 .. 32 blocks) from the spectra: a lag has a part from the blocks D = lag / 32 apart and one from D + 1. */
static void NAME(lags_of)(REAL *lags, const REAL *spectra, int64_t width, int64_t blocks)
{
    Point spectrum[POINTS], sums[POINTS];
    memset(lags, 0, (size_t)(blocks * BLOCK) * sizeof(REAL));
    for (int64_t distance = 0; distance < blocks; distance += LANES) {
        for (int f = 0; f <= POINTS / 2; f++) {
            const REAL *re = spectra + 2 * f * width + distance;
            Point p = {*(const Loose *)re * (REAL)(0.5 / POINTS), *(const Loose *)(re + width) * (REAL)(0.5 / POINTS)};
            spectrum[(POINTS - f) & (POINTS - 1)] = (Point){p.re, -p.im};
            spectrum[f] = p;
        }
        NAME(inverse_all)(sums, spectrum, 1);
        for (int64_t lane = 0; lane < LANES && distance + lane < blocks; lane++) {
            const REAL *column = (const REAL *)sums + lane;
            REAL *to = lags + (distance + lane) * BLOCK;
            for (int64_t t = distance + lane > 0 ? 1 - BLOCK : 0; t < BLOCK; t++) {
                to[t] += column[(t & (POINTS - 1)) * 2 * LANES];
            }
        }
    }
}

static void NAME(read_spectra)(Point *to, int64_t stride, const REAL *from, int64_t step, int64_t n, const Pair *p)
{
    for (int64_t row = 0; row < n; row += BLOCK) {
        NAME(forward_block)(to++, stride, from + row * step, step, n - row, p);
    }
}

void NAME(correlate)(const ConvolveArgs *c)
{
    int64_t blocks = (c->n + BLOCK - 1) / BLOCK, stride = blocks | 1;
    int64_t width = (blocks + SPECTRA_PAD - 1) / SPECTRA_PAD * SPECTRA_PAD;
    if (c->n <= 0) {
        return;
    }
    Point *x = c->scratch, *y = x + POINTS * stride;
    REAL *spectra = (REAL *)(y + POINTS * stride), *lags = (REAL *)x;
    memset(spectra, 0, (size_t)((POINTS + 2) * width) * sizeof(REAL));
    for (int64_t column = 0; column < c->columns; column += 2 * LANES) {
        Pair p = NAME(pair_of)(c->columns - column);
        NAME(read_spectra)(x, stride, (const REAL *)c->x + column, c->x_step, c->n, &p);
        NAME(read_spectra)(y, stride, (const REAL *)c->y + column, c->y_step, c->n, &p);
        NAME(correlate_spectra)(spectra, width, x, y, stride, blocks);
    }
    NAME(lags_of)(lags, spectra, width, blocks); /* the columns' spectra have served */
    REAL *weight = c->weight;
    for (int64_t lag = c->first; lag < c->n; lag++) {
        weight[lag * c->weight_step] += lags[lag];
    }
}
