/* Spectra of the weights between blocks, many distances at once in lanes.
 *
 * Between blocks that are D apart the distances are 32 D - 31 .. 32 D + 31. With the first block, whose distances are
 * the largest there are, only those below 32 D go by spectrum: the others may be n or more for some rows and not for
 * others, and would let a row's rounding depend on n. So there are two kinds of spectra: all of D, and the near half.
 */
/* w[0 .. 32 blocks) with zeros where there is none. */
static void NAME(read_weights)(REAL *w, const ConvolveArgs *c, int64_t blocks)
{
    const REAL *from = c->weight;
    int64_t lag = 0, step = c->weight_step;
    for (; lag < c->first && lag < c->n; lag++) {
        w[lag] = 0;
    }
    from += lag * step;
    for (; lag < c->n; lag++, from += step) {
        w[lag] = *from;
    }
    for (; lag < blocks * BLOCK; lag++) {
        w[lag] = 0;
    }
}

/* Of D = 1.. all in to[f][part][D - 1], the near half in to[f][part][blocks - 1 + D - 1]; 1 / 64 is folded in. */
static void NAME(transform_weights)(REAL *to, int64_t width, const REAL *w, int64_t blocks)
{
    Point buffer[POINTS], spectrum[POINTS];
    REAL scale = (REAL)(1.0 / POINTS);
    for (int64_t q = 0; q < 2 * (blocks - 1); q += LANES) {
        memset(buffer, 0, sizeof buffer);
        for (int64_t lane = 0; lane < LANES && q + lane < 2 * (blocks - 1); lane++) {
            bool near = q + lane >= blocks - 1;
            const REAL *at = w + (q + lane + 1 - (near ? blocks - 1 : 0)) * BLOCK;
            REAL *column = (REAL *)buffer + lane;
            for (int t = 1; t < BLOCK; t++) {
                column[(POINTS - t) * 2 * LANES] = at[-t];
            }
            for (int t = 0; t < (near ? 0 : BLOCK); t++) {
                column[t * 2 * LANES] = at[t];
            }
        }
        NAME(forward_all)(spectrum, 1, buffer);
        for (int f = 0; f < POINTS; f++) {
            *(Loose *)(to + 2 * f * width + q) = spectrum[f].re * scale;
            *(Loose *)(to + (2 * f + 1) * width + q) = spectrum[f].im * scale;
        }
    }
}
