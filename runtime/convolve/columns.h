/* The columns of one pair of vectors: reading a block of rows, writing one. Lanes without a column are read as zeros,
 * because what lies there is not ours and may be no number. */
typedef struct {
    int64_t count[2]; /* columns in each vector */
    Lanes mask[2];
} Pair;

INLINE Pair NAME(pair_of)(int64_t columns)
{
    Pair p;
    for (int v = 0; v < 2; v++) {
        int64_t count = columns - v * LANES;
        p.count[v] = count < 0 ? 0 : count < LANES ? count : LANES;
        INTEGER lanes[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] = lane < count ? -1 : 0;
        }
        memcpy(&p.mask[v], lanes, sizeof lanes);
    }
    return p;
}

INLINE Point NAME(read_row)(const REAL *from, const Pair *p)
{
    const REAL *second = p->count[1] > 0 ? from + LANES : from;
    return (Point){(Vec)((Lanes) * (const Loose *)from & p->mask[0]),
                   (Vec)((Lanes) * (const Loose *)second & p->mask[1])};
}

/* `wanted` rows, zeros for those that there are not. */
INLINE void NAME(read_rows)(Point *to, const REAL *from, int64_t step, int64_t rows, int64_t wanted, const Pair *p)
{
    int64_t r = 0;
    for (; r < rows && r < wanted; r++) {
        to[r] = NAME(read_row)(from + r * step, p);
    }
    for (; r < wanted; r++) {
        to[r] = (Point){(Vec){0}, (Vec){0}};
    }
}

/* Asks for what both vectors of a row or of a point lie in. A row that is not there costs nothing. */
INLINE void NAME(prefetch)(const void *from, bool aligned)
{
    for (int at = 0; at < 2 * VECTOR_BYTES; at += 64) {
        __builtin_prefetch((const char *)from + at);
    }
    if (!aligned) {
        __builtin_prefetch((const char *)from + 2 * VECTOR_BYTES - 1);
    }
}

INLINE void NAME(write_lanes)(REAL *to, Vec v, int64_t count)
{
    if (count == LANES) {
        *(Loose *)to = v;
        return;
    }
#if VECTOR_BYTES == 64
    STORE_SOME(to, count, v);
#else
    REAL lanes[LANES];
    const REAL *from = lanes;
    memcpy(lanes, &v, sizeof lanes);
    for (int half = LANES / 2; half > 0; half /= 2) {
        if (count & half) {
            memcpy(to, from, (size_t)half * sizeof(REAL));
            to += half;
            from += half;
        }
    }
#endif
}

/* GROUP rows plus terms inside two blocks, each row in the same order: row r gets w[r - s] * x[s] for s <= r - first.
 * All rows have those of s <= row - first; the others are a triangle. */
INLINE void NAME(add_square)(Point *sum, const REAL *w, const Point *x, int64_t row, int64_t first)
{
    w += row;
    for (int64_t s = 0; s <= row - first; s++) {
#pragma GCC unroll 8
        for (int k = 0; k < GROUP; k++) {
            sum[k].re += w[k - s] * x[s].re;
            sum[k].im += w[k - s] * x[s].im;
        }
    }
}

INLINE void NAME(add_triangle)(Point *sum, const REAL *w, const Point *x, int64_t row, int64_t first)
{
    w += first;
#pragma GCC unroll 8
    for (int m = 1; m < GROUP; m++) {
        int64_t s = row - first + m;
        if (s >= 0) {
#pragma GCC unroll 8
            for (int k = m; k < GROUP; k++) {
                sum[k].re += w[k - m] * x[s].re;
                sum[k].im += w[k - m] * x[s].im;
            }
        }
    }
}
