/* Batches for random programs. Some rows have length 0, 1 and the bound. */
#include "../../ir/random.h"
#include "generate.h"
#include <string.h>

static double uniform(uint64_t *state)
{
    *state = random_mix(*state + RANDOM_STEP);
    return random_uniform(*state);
}

static Array array(Arena *arena, const char *name, DType type, int ndim, int64_t d0, int64_t d1)
{
    Array a = {.name = name, .dtype = type, .ndim = ndim, .dims = {d0, d1}};
    int64_t n = d0 * (ndim > 1 ? d1 : 1);
    a.data = arena_alloc(arena, (size_t)(n + 1) * 8);
    return a;
}

/* Lists with ascending times, some of them equal; returns how many arrays there are now. */
static int add_times(Arena *arena, uint64_t *state, int64_t batch, Array *out, int n)
{
    Array offsets = array(arena, "L.offsets", DT_I64, 1, batch + 1, 0);
    int64_t *at = offsets.data;
    for (int64_t b = 0; b < batch; b++) {
        at[b + 1] = at[b] + (int64_t)(uniform(state) * (LONG_BOUND + 1));
    }
    Array ts = array(arena, "ts", DT_I64, 1, at[batch], 0), h = array(arena, "h", DT_F64, 2, at[batch], LONG_ROW);
    int64_t now = 0;
    for (int64_t i = 0; i < at[batch]; i++) {
        now += (int64_t)(uniform(state) * uniform(state) * 8);
        ((int64_t *)ts.data)[i] = now;
    }
    for (int64_t i = 0; i < at[batch] * LONG_ROW; i++) {
        ((double *)h.data)[i] = 2 * uniform(state) - 1;
    }
    out[n++] = offsets;
    out[n++] = ts;
    out[n++] = h;
    return n;
}

Batch generate_batch(Arena *arena, const Graph *g, uint64_t seed, int64_t *seen)
{
    uint64_t state = random_mix(seed ^ UINT64_C(0x5bd1e995));
    int64_t batch = 1 + (int64_t)(uniform(&state) * 4);
    if (uniform(&state) < 0.04) { /* sums over it are cut into chunks */
        batch = 17 + (int64_t)(uniform(&state) * 16);
        seen[SEEN_LARGE_BATCH]++;
    }
    int64_t asize = graph_find(g, "mat")->dims[0]->size;
    Array toff = array(arena, "T.offsets", DT_I64, 1, batch + 1, 0);
    Array uoff = array(arena, "U.offsets", DT_I64, 1, batch + 1, 0);
    int64_t *t = toff.data, *u = uoff.data;
    for (int64_t b = 0; b < batch; b++) {
        int64_t len = (int64_t)(uniform(&state) * (BOUND + 1));
        seen[SEEN_LENGTH_0] += len == 0;
        seen[SEEN_LENGTH_1] += len == 1;
        seen[SEEN_LENGTH_MAX] += len == BOUND;
        t[b + 1] = t[b] + len;
        u[b + 1] = u[b] + (int64_t)(uniform(&state) * 5);
    }
    int64_t rows = t[batch];
    Array yoff = array(arena, "Y.offsets", DT_I64, 1, rows + 1, 0);
    int64_t *y = yoff.data;
    for (int64_t i = 0; i < rows; i++) {
        y[i + 1] = y[i] + (int64_t)(uniform(&state) * 4);
    }
    Array x = array(arena, "x", DT_F64, 2, rows, asize), yy = array(arena, "y", DT_F64, 1, u[batch], 0);
    Array item = array(arena, "item", DT_I32, 1, rows, 0), one = array(arena, "one", DT_I32, 1, batch, 0);
    Array tag = array(arena, "tag", DT_F64, 1, y[rows], 0);
    for (int64_t i = 0; i < rows * asize; i++) {
        ((double *)x.data)[i] = 2 * uniform(&state) - 1;
    }
    for (int64_t i = 0; i < u[batch]; i++) {
        ((double *)yy.data)[i] = 2 * uniform(&state) - 1;
    }
    for (int64_t i = 0; i < y[rows]; i++) {
        ((double *)tag.data)[i] = 2 * uniform(&state) - 1;
    }
    for (int64_t i = 0; i < rows; i++) {
        ((int32_t *)item.data)[i] = (int32_t)(uniform(&state) * VOCAB);
    }
    for (int64_t b = 0; b < batch; b++) {
        ((int32_t *)one.data)[b] = (int32_t)(uniform(&state) * VOCAB);
    }
    Array all[11] = {toff, uoff, yoff, x, yy, item, one, tag};
    Batch out = {.n = 8, .arrays = arena_alloc(arena, sizeof all), .batch = batch};
    memcpy(out.arrays, all, sizeof all);
    if (graph_find(g, "ts")) {
        out.n = add_times(arena, &state, batch, out.arrays, out.n);
    }
    return out;
}
