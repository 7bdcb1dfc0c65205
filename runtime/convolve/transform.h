/* Transforms of 64 points as 8 by 8. Time t = 8 a + b, frequency f = k + 8 l. What is known to be zero, or is not asked
 * for, is left out: `half` says that only the times below 32 count. */
#define QUARTER(s, t)                                                                                                  \
    s 1.0, s 0.9951847266721969, s 0.9807852804032304, s 0.9569403357322088, s 0.9238795325112867,                     \
        s 0.881921264348355, s 0.8314696123025452, s 0.773010453362737, s 0.7071067811865476, s 0.6343932841636455,    \
        s 0.5555702330196023, s 0.4713967368259977, s 0.38268343236508984, s 0.29028467725446233,                      \
        s 0.19509032201612833, s 0.0980171403295606, 0.0, t 0.0980171403295606, t 0.19509032201612833,                 \
        t 0.29028467725446233, t 0.38268343236508984, t 0.4713967368259977, t 0.5555702330196023,                      \
        t 0.6343932841636455, t 0.7071067811865476, t 0.773010453362737, t 0.8314696123025452, t 0.881921264348355,    \
        t 0.9238795325112867, t 0.9569403357322088, t 0.9807852804032304, t 0.9951847266721969

/* cos(2 pi j / 64); 16 entries on is minus the sine. */
static const REAL NAME(cosine)[] = {QUARTER(+, -), QUARTER(-, +), 1.0, 0.9951847266721969};
#undef QUARTER

#define ROOT_HALF ((REAL)0.7071067811865476)

INLINE Point NAME(plus)(Point a, Point b)
{
    return (Point){a.re + b.re, a.im + b.im};
}

INLINE Point NAME(minus)(Point a, Point b)
{
    return (Point){a.re - b.re, a.im - b.im};
}

/* a + scale * b */
INLINE Point NAME(add_scaled)(Point a, REAL scale, Point b)
{
    return (Point){a.re + scale * b.re, a.im + scale * b.im};
}

/* x[k] = sum over a: x[a] * exp(-2 pi i a k / 8); half: x[4..7] are zero. */
INLINE void NAME(forward8)(Point x[8], bool half)
{
    Point a0 = x[0], a1 = x[1], a2 = x[2], a3 = x[3], b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    if (!half) {
        a0 = NAME(plus)(x[0], x[4]), b0 = NAME(minus)(x[0], x[4]);
        a1 = NAME(plus)(x[1], x[5]), b1 = NAME(minus)(x[1], x[5]);
        a2 = NAME(plus)(x[2], x[6]), b2 = NAME(minus)(x[2], x[6]);
        a3 = NAME(plus)(x[3], x[7]), b3 = NAME(minus)(x[3], x[7]);
    }
    Point s = NAME(plus)(a0, a2), d = NAME(minus)(a0, a2), t = NAME(plus)(a1, a3), e = NAME(minus)(a1, a3);
    x[0] = NAME(plus)(s, t);
    x[4] = NAME(minus)(s, t);
    x[2] = (Point){d.re + e.im, d.im - e.re};
    x[6] = (Point){d.re - e.im, d.im + e.re};
    s = (Point){b0.re + b2.im, b0.im - b2.re};
    d = (Point){b0.re - b2.im, b0.im + b2.re};
    Point u = {b1.re + b1.im, b1.im - b1.re}, v = {b3.im - b3.re, b3.re + b3.im}; /* (1 - i) b1, (-1 + i) b3* */
    t = (Point){u.re + v.re, u.im - v.im};
    e = (Point){u.im + v.im, v.re - u.re};
    x[1] = NAME(add_scaled)(s, ROOT_HALF, t);
    x[5] = NAME(add_scaled)(s, -ROOT_HALF, t);
    x[3] = NAME(add_scaled)(d, ROOT_HALF, e);
    x[7] = NAME(add_scaled)(d, -ROOT_HALF, e);
}

/* x[a] = sum over k: x[k] * exp(2 pi i a k / 8); half: x[4..7] are not asked for. */
INLINE void NAME(inverse8)(Point x[8], bool half)
{
    Point s = NAME(plus)(x[0], x[4]), d = NAME(minus)(x[0], x[4]);
    Point t = NAME(plus)(x[2], x[6]), e = NAME(minus)(x[2], x[6]);
    Point a0 = NAME(plus)(s, t), a2 = NAME(minus)(s, t);
    Point a1 = {d.re - e.im, d.im + e.re}, a3 = {d.re + e.im, d.im - e.re};
    s = NAME(plus)(x[1], x[5]), d = NAME(minus)(x[1], x[5]);
    t = NAME(plus)(x[3], x[7]), e = NAME(minus)(x[3], x[7]);
    Point b0 = NAME(plus)(s, t), b2 = NAME(minus)(s, t);
    Point b1 = {d.re - e.im, d.im + e.re}, b3 = {d.re + e.im, d.im - e.re};
    Point u = {b1.re - b1.im, b1.re + b1.im}, v = {b3.re + b3.im, b3.im - b3.re}; /* (1 + i) b1, (1 - i) b3 */
    x[0] = NAME(plus)(a0, b0);
    x[1] = NAME(add_scaled)(a1, ROOT_HALF, u);
    x[2] = (Point){a2.re - b2.im, a2.im + b2.re};
    x[3] = NAME(add_scaled)(a3, -ROOT_HALF, v);
    if (!half) {
        x[4] = NAME(minus)(a0, b0);
        x[5] = NAME(add_scaled)(a1, -ROOT_HALF, u);
        x[6] = (Point){a2.re + b2.im, a2.im - b2.re};
        x[7] = NAME(add_scaled)(a3, ROOT_HALF, v);
    }
}

/* a * exp(-2 pi i j / 64), or its conjugate's turn. */
INLINE Point NAME(turn)(Point a, int j, bool back)
{
    REAL c = NAME(cosine)[j], s = NAME(cosine)[j + 16];
    return back ? (Point){c * a.re + s * a.im, c * a.im - s * a.re} : (Point){c * a.re - s * a.im, c * a.im + s * a.re};
}

INLINE void NAME(turn8)(Point x[8], int b, bool back)
{
    x[1] = NAME(turn)(x[1], b, back);
    x[2] = NAME(turn)(x[2], 2 * b, back);
    x[3] = NAME(turn)(x[3], 3 * b, back);
    x[4] = NAME(turn)(x[4], 4 * b, back);
    x[5] = NAME(turn)(x[5], 5 * b, back);
    x[6] = NAME(turn)(x[6], 6 * b, back);
    x[7] = NAME(turn)(x[7], 7 * b, back);
}

INLINE void NAME(load8)(Point x[8], const Point *from, int64_t step)
{
    x[0] = from[0];
    x[1] = from[step];
    x[2] = from[2 * step];
    x[3] = from[3 * step];
    x[4] = from[4 * step];
    x[5] = from[5 * step];
    x[6] = from[6 * step];
    x[7] = from[7 * step];
}

INLINE void NAME(store8)(Point *to, int64_t step, const Point x[8], bool half)
{
    to[0] = x[0];
    to[step] = x[1];
    to[2 * step] = x[2];
    to[3 * step] = x[3];
    if (!half) {
        to[4 * step] = x[4];
        to[5 * step] = x[5];
        to[6 * step] = x[6];
        to[7 * step] = x[7];
    }
}

/* The second half of both forward transforms: to[f * step] for all f; meanwhile the next block's rows are asked for. */
INLINE void NAME(forward_rest)(Point *to, int64_t step, const Point *between, const REAL *next, int64_t row_step)
{
    Point x[8];
    for (int k = 0; k < 8; k++) {
        NAME(load8)(x, between + k * 8, 1);
        for (int r = 0; next && r < 4; r++, next += row_step) {
            NAME(prefetch)(next, false);
        }
        NAME(forward8)(x, false);
        NAME(store8)(to + k * step, 8 * step, x, false);
    }
}

static __attribute__((noinline)) void NAME(forward_all)(Point *to, int64_t step, const Point *from)
{
    Point between[POINTS], x[8];
    for (int b = 0; b < 8; b++) {
        NAME(load8)(x, from + b, 8);
        NAME(forward8)(x, false);
        NAME(turn8)(x, b, false);
        NAME(store8)(between + b, 8, x, false);
    }
    NAME(forward_rest)(to, step, between, NULL, 0);
}

/* Rows are read where they are used, and what is written is asked for before: both are in the second cache mostly. */
static __attribute__((noinline)) void NAME(forward_rows)(Point *to, int64_t step, const REAL *from, int64_t row_step,
                                                         const Pair *pair)
{
    Point between[POINTS], x[8];
    const Pair p = *pair;
    for (int b = 0; b < 8; b++, from += row_step) {
        x[0] = NAME(read_row)(from, &p);
        x[1] = NAME(read_row)(from + 8 * row_step, &p);
        x[2] = NAME(read_row)(from + 16 * row_step, &p);
        x[3] = NAME(read_row)(from + 24 * row_step, &p);
        for (int l = 0; l < 8; l++) {
            NAME(prefetch)(to + (b + 8 * l) * step, true);
        }
        NAME(forward8)(x, true);
        NAME(turn8)(x, b, false);
        NAME(store8)(between + b, 8, x, false);
    }
    NAME(forward_rest)(to, step, between, from + (BLOCK - 8) * row_step, row_step);
}

/* A block that may be short of rows. */
INLINE void NAME(forward_block)(Point *to, int64_t step, const REAL *from, int64_t row_step, int64_t rows,
                                const Pair *p)
{
    if (rows >= BLOCK) {
        NAME(forward_rows)(to, step, from, row_step, p);
    } else {
        Point block[BLOCK];
        Pair all = NAME(pair_of)(2 * LANES);
        NAME(read_rows)(block, from, row_step, rows, BLOCK, p);
        NAME(forward_rows)(to, step, (const REAL *)block, 2 * LANES, &all);
    }
}

INLINE void NAME(inverse)(Point *to, const Point *from, int64_t step, bool half)
{
    Point between[POINTS], x[8];
    for (int k = 0; k < 8; k++) {
        NAME(load8)(x, from + k * step, 8 * step);
        NAME(inverse8)(x, false);
        NAME(turn8)(x, k, true);
        NAME(store8)(between + k * 8, 1, x, false);
    }
    for (int b = 0; b < 8; b++) {
        NAME(load8)(x, between + b, 8);
        NAME(inverse8)(x, half);
        NAME(store8)(to + b, 8, x, half);
    }
}

static __attribute__((noinline)) void NAME(inverse_block)(Point *to, const Point *from, int64_t step)
{
    NAME(inverse)(to, from, step, true);
}

static __attribute__((noinline)) void NAME(inverse_all)(Point *to, const Point *from, int64_t step)
{
    NAME(inverse)(to, from, step, false);
}
