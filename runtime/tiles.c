/* Steps of tiles: equations that run together, a tile of positions of an example at a time, because some of what they
 * compute is too large to exist at once.
 *
 *     example b:   rows 0..47          48..95        96..n           each tile: call 0, call 1, ... in order
 *                  ┌──────────────┐    ┌─────────
 *     a[b,i,h,j]   │ one tile     │    │              a tiled tensor: memory of the thread, used again by the next tile
 *                  └──────────────┘    └─────────
 *     o[b,i,..]    its rows            its rows       written tile by tile into the whole tensor
 *     gk[b,j,..]   += all rows         += all rows    added into by every tile of the example, in order
 *     gw[r]        += into a copy                     one copy per group of examples, folded in the order of groups
 *     kept         filled once per example            operands packed for all its tiles, sums of all of them that are
 *                                                     written at its end: memory of the thread, per call
 *
 * Of a step that is_whole, tile after tile: example 0, 1, ... one after another; its results are cut like the tiles.
 *
 * A kernel addresses a tiled tensor as if all of it existed: it gets a pointer that lies before the thread's memory by
 * as much as the example and the first row of the tile lie behind the start. How many positions a tile has depends on
 * the example alone.
 *
 * Steps of rows are the same with the rows of the whole batch in place of an example's positions: nothing is added into
 * from several tiles but sums over the rows, of which each group of tiles has a copy. */
#include "../ir/fault.h"
#include "session_impl.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TILE_BYTES = 1 << 20,
    MIN_POSITIONS = 16,
    WHOLE_ROWS = 24, /* 6, 8 and 12 rows are one of a product's own tiles (product_gemm.h) */
    BLOCK = 32,
    GROUP = 4,
    FOLD_BLOCK = 1 << 12,
    WAVE_BYTES = 1 << 26,
    MAX_WAVE = 64
};

/* MATRIX_BYTES: of what all tiles multiply by, that a tile may take as well. WHOLE_TILES: enough for all threads. */
enum { MATRIX_BYTES = 1 << 23, WHOLE_TILES = 32 };

/* Of steps of rows. */
enum { LEAST_GROUP = 48, MOST_GROUP = 512, EVEN_GROUPS = 16, MOST_ROWS = 192 };

typedef struct {
    int tensor;
    int first, last; /* the calls that use it */
    int64_t bytes;   /* of one position, in the example at hand */
    int64_t at;      /* in the thread's memory, where it lies beside those that live at the same time */
} Tiled;

typedef struct {
    int tensor;
    int64_t at; /* in a copy of all of them */
} Shared;

/* How a result that is not tiled and wants zeros gets them: all before the step; or, unless the examples come in
 * levels, an example before its first tile, or the rows of a tile before the call that writes them. */
typedef enum { ZERO_NONE, ZERO_ALL, ZERO_EXAMPLE, ZERO_ROWS } Zeroing;

/* What a step needs whatever the batch is. */
struct TileStep {
    Zeroing *zeroing; /* per call */
    int npointers;    /* tensors of all calls */
    int *tiled_at;    /* per pointer: number of the tiled tensor, or -1 */
    int ntiled;
    Tiled *tiled; /* bytes and places: of no example yet */
    int nshared;  /* results that are the same for all examples */
    Shared *shared;
    int64_t copy_bytes; /* of all shared results */
    bool keeps, ends;   /* some call does */
    int64_t matrices;   /* bytes of the tensors that products of every tile read, and that are no example's own */
    bool by_tile;       /* tiles are tasks of their own: none adds to what another writes */
};

typedef struct {
    Session *s;
    const PlanStep *step;
    const struct TileStep *fixed;
    const CallArgs *args;
    int64_t first;        /* group of the first copy */
    int64_t ncopies;      /* in this wave */
    char *copies;         /* a wave of private copies of the shared results */
    char *memory;         /* thread w: memory + w * thread_bytes */
    int64_t thread_bytes; /* the largest tile, then what each call keeps */
    int64_t *kept_at;     /* per call: where in a thread's memory */
    int64_t *ready;       /* thread w: the example for which the calls keep something, or -1 */
    void **pointers;      /* thread w: pointers + w * npointers */
    Tiled *tiled;         /* thread w: tiled + w * ntiled, for its example */
    int64_t row, rows;    /* of a step of rows: the first, and how many */
    int64_t tile, group;  /* rows of a tile, and of the tiles that share a copy */
    int64_t *tile_of;     /* number of the first tile of each example from s->from on */
    int64_t positions;    /* of a step that is_whole: of its tiles */
    double *seconds;      /* thread w: seconds + w * ncalls, spent in each call */
} Tiles;

/* Bytes of one position of a tiled tensor in example b, whose axis of positions has `n` of them. */
static int64_t position_bytes(const Session *s, int tensor, int64_t b, int64_t n)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int64_t elements = tensor_base(&s->shapes, tensor, b + 1) - tensor_base(&s->shapes, tensor, b);
    return n > 0 ? elements / n * (int64_t)dtype_size[t->dtype] : 0;
}

/* Places the tiled tensors for tiles of so many positions: each as low as those allow that live at the same time.
 * Returns the bytes that all of them take. */
static int64_t place_tiled(Tiled *tiled, int n, int64_t positions)
{
    int64_t end = 0;
    for (int i = 0; i < n; i++) {
        tiled[i].at = 0;
        for (int k = 0; k < i; k++) {
            bool meets = tiled[k].first <= tiled[i].last && tiled[i].first <= tiled[k].last;
            int64_t after = tiled[k].at + with_slack(positions * tiled[k].bytes);
            if (meets && tiled[i].at < after && tiled[k].at < tiled[i].at + with_slack(positions * tiled[i].bytes)) {
                tiled[i].at = after;
                k = -1; /* it may meet another one there */
            }
        }
        int64_t after = tiled[i].at + with_slack(positions * tiled[i].bytes);
        end = after > end ? after : end;
    }
    return end;
}

/* Positions of a tile of example b, which has n: as many as keep the tile in the cache, or make it as large as matrices
 * that do not stay there and are read for each tile; in equal shares, rounded to what products are quick with. Products
 * in bf16 sum blocks of 32 values: where those are positions, no tile may begin inside one. */
static int64_t tile_positions(const Tiles *x, Tiled *tiled, int64_t b, int64_t n)
{
    int ntiled = x->fixed->ntiled;
    for (int i = 0; i < ntiled; i++) {
        tiled[i].bytes = position_bytes(x->s, tiled[i].tensor, b, n);
    }
    int64_t bytes = place_tiled(tiled, ntiled, MIN_POSITIONS) / MIN_POSITIONS;
    int64_t most = bytes > 0 ? (x->fixed->matrices > TILE_BYTES ? x->fixed->matrices : TILE_BYTES) / bytes : n;
    most = most < WHOLE_ROWS ? MIN_POSITIONS : most / WHOLE_ROWS * WHOLE_ROWS;
    most = x->s->tile_limit > 0 && x->s->tile_limit < most ? x->s->tile_limit : most;
    int64_t tiles = (n + most - 1) / most;
    int64_t share = tiles > 0 ? (n + tiles - 1) / tiles : 1;
    int64_t whole = (share + WHOLE_ROWS - 1) / WHOLE_ROWS * WHOLE_ROWS;
    share = whole <= most && whole < n ? whole : share;
    int64_t blocks = (share + BLOCK - 1) / BLOCK * BLOCK < n ? (share + BLOCK - 1) / BLOCK * BLOCK : n;
    return x->s->plan->products == PRODUCTS_F32 || n == 0 ? share : blocks;
}

/* Cheap: no call into the system. Of the calls' times only their shares count. */
static double clock_now(const Tiles *x)
{
    struct timespec t;
    if (!x->s->is_profiled) {
        return 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one tile --------------------------------------------------------------------------------------------- */

static KernelArgs call_args(const Tiles *x, int c, void **tensors, int64_t b)
{
    return (KernelArgs){.tensors = tensors,
                        .offsets = x->args[c].offsets,
                        .keys = x->args[c].keys,
                        .batch = x->s->shapes.batch,
                        .t = b};
}

static void *kept_by(const Tiles *x, int c)
{
    return x->memory + pool_worker() * x->thread_bytes + x->kept_at[c];
}

/* Lets the calls fill what they keep for example b, or write what became of it. No operand of theirs in this is tiled.
 */
static void run_phase(const Tiles *x, void **tensors, int64_t b, int64_t phase)
{
    double *seconds = x->seconds + pool_worker() * x->step->ncalls;
    for (int c = 0; c < x->step->ncalls; c++) {
        const PlanCall *call = &x->step->calls[c];
        if (phase == PHASE_BEGIN ? call->keeps : call->ends) {
            double start = clock_now(x);
            KernelArgs a = call_args(x, c, tensors, b);
            a.kept = kept_by(x, c);
            a.phase = phase;
            call->fn(&a);
            seconds[c] += clock_now(x) - start;
        }
        tensors += call->ntensors;
    }
    x->ready[pool_worker()] = b;
}

static Zeroing zeroing(const Tiles *x, int c)
{
    Zeroing z = x->fixed->zeroing[c];
    return z > ZERO_ALL && !zeroes_examples(x->s, x->step->calls[c].tensors[0]) ? ZERO_ALL : z;
}

static void zero_rows(const Tiles *x, int c, int64_t b, int64_t lo, int64_t hi)
{
    int tensor = x->step->calls[c].tensors[0];
    int64_t bytes = position_bytes(x->s, tensor, b, shapes_axis_size(&x->s->shapes, x->step->tile_axis, b));
    int64_t base = tensor_base(&x->s->shapes, tensor, b) * (int64_t)dtype_size[x->s->plan->tensors[tensor].dtype];
    memset((char *)x->s->data[tensor] + base + lo * bytes, 0, (size_t)((hi - lo) * bytes));
}

/* One tile of example b: positions lo .. hi - 1. `tensors`: the thread's pointers, shared results set. */
static void run_tile(const Tiles *x, void **tensors, const Tiled *tiled, int64_t b, int64_t lo, int64_t hi)
{
    const Session *s = x->s;
    char *memory = x->memory + pool_worker() * x->thread_bytes;
    double *seconds = x->seconds + pool_worker() * x->step->ncalls, start = clock_now(x);
    const int *tiled_at = x->fixed->tiled_at;
    for (int c = 0; c < x->step->ncalls; c++) {
        const PlanCall *call = &x->step->calls[c];
        for (int j = 0; j < call->ntensors; j++) {
            if (tiled_at[j] < 0) {
                continue;
            }
            const Tiled *t = &tiled[tiled_at[j]];
            int64_t before =
                tensor_base(&s->shapes, t->tensor, b) * (int64_t)dtype_size[s->plan->tensors[t->tensor].dtype];
            uintptr_t at = (uintptr_t)(memory + t->at) - (uintptr_t)(before + lo * t->bytes);
            memcpy(&tensors[j], &at, sizeof at);
            if (j == 0 && call->zero && !FAULT(37)) {
                memset(memory + t->at, 0, (size_t)((hi - lo) * t->bytes));
            }
        }
        if (zeroing(x, c) == ZERO_ROWS && !FAULT(45)) {
            zero_rows(x, c, b, lo, hi);
        }
        KernelArgs a = call_args(x, c, tensors, b);
        a.lo = lo;
        a.hi = hi;
        a.kept = kept_by(x, c);
        call->fn(&a);
        tensors += call->ntensors;
        tiled_at += call->ntensors;
        double end = clock_now(x);
        seconds[c] += end - start;
        start = end;
    }
}

/* The thread's pointers; shared results point into copy number `copy`. */
static void **thread_tensors(const Tiles *x, int64_t copy)
{
    void **all = x->pointers + pool_worker() * x->fixed->npointers, **tensors = all;
    for (int c = 0; c < x->step->ncalls; c++) {
        const PlanCall *call = &x->step->calls[c];
        memcpy(tensors, x->args[c].tensors, (size_t)call->ntensors * sizeof *tensors);
        for (int i = 0; i < x->fixed->nshared; i++) {
            if (x->fixed->shared[i].tensor == call->tensors[0]) {
                tensors[0] = x->copies + copy * x->fixed->copy_bytes + x->fixed->shared[i].at;
            }
        }
        tensors += call->ntensors;
    }
    return all;
}

/* Tiles first <= k < end of example b. */
static void run_example(const Tiles *x, void **tensors, int64_t b, int64_t first, int64_t end)
{
    Tiled *tiled = x->tiled + pool_worker() * x->fixed->ntiled;
    int64_t n = shapes_axis_size(&x->s->shapes, x->step->tile_axis, b), positions = tile_positions(x, tiled, b, n);
    place_tiled(tiled, x->fixed->ntiled, positions);
    for (int c = 0; c < x->step->ncalls && first == 0; c++) {
        if (zeroing(x, c) == ZERO_EXAMPLE) {
            zero_examples(x->s, x->step->calls[c].tensors[0], b, b + 1);
        }
    }
    int64_t *ready = &x->ready[pool_worker()];
    if (x->fixed->keeps && *ready != b && first * positions < n && (*ready < 0 || !FAULT(41))) {
        run_phase(x, tensors, b, PHASE_BEGIN);
    }
    for (int64_t k = first; k < end && k * positions < n; k++) {
        int64_t hi = (k + 1) * positions;
        run_tile(x, tensors, tiled, b, k * positions, hi < n ? hi : n - FAULT(38));
    }
    if (x->fixed->ends && n > 0) { /* then one thread does all tiles of an example */
        run_phase(x, tensors, b, PHASE_END);
    }
}

static void tile_task(void *ctx, int64_t task)
{
    const Tiles *x = ctx;
    int64_t lo = 0, hi = x->s->to - x->s->from; /* the example with tile_of[lo] <= task < tile_of[lo + 1] */
    while (hi - lo > 1) {
        int64_t mid = (lo + hi) / 2;
        *(x->tile_of[mid] <= task ? &lo : &hi) = mid;
    }
    int64_t k = task - x->tile_of[lo];
    run_example(x, thread_tensors(x, 0), x->s->from + lo, k, k + 1);
}

static void example_task(void *ctx, int64_t i)
{
    const Tiles *x = ctx;
    run_example(x, thread_tensors(x, 0), x->s->from + i, 0, INT64_MAX);
}

static void group_task(void *ctx, int64_t i)
{
    const Tiles *x = ctx;
    int64_t from = x->s->from + (x->first + i) * GROUP, to = from + GROUP < x->s->to ? from + GROUP : x->s->to;
    memset(x->copies + i * x->fixed->copy_bytes, 0, (size_t)x->fixed->copy_bytes);
    void **tensors = thread_tensors(x, i);
    for (int64_t b = from; b < to; b++) {
        run_example(x, tensors, b, 0, INT64_MAX);
    }
}

/* Tile k of all examples. */
static void whole_task(void *ctx, int64_t k)
{
    const Tiles *x = ctx;
    Tiled *tiled = x->tiled + pool_worker() * x->fixed->ntiled;
    void **tensors = thread_tensors(x, 0);
    for (int64_t b = x->s->from; b < x->s->to; b++) {
        int64_t n = shapes_axis_size(&x->s->shapes, x->step->tile_axis, b), hi = (k + 1) * x->positions;
        for (int i = 0; i < x->fixed->ntiled; i++) {
            tiled[i].bytes = position_bytes(x->s, tiled[i].tensor, b, n);
        }
        place_tiled(tiled, x->fixed->ntiled, x->positions);
        if (x->fixed->keeps && x->ready[pool_worker()] != b) {
            run_phase(x, tensors, b, PHASE_BEGIN);
        }
        run_tile(x, tensors, tiled, b, k * x->positions, hi < n ? hi : n);
    }
}

/* Rows lo .. hi - 1 of a step of rows, counted from its first, tile by tile. */
static void run_rows(const Tiles *x, void **tensors, int64_t lo, int64_t hi)
{
    for (; lo < hi; lo += x->tile) {
        int64_t end = lo + x->tile < hi ? lo + x->tile : hi - FAULT(38);
        run_tile(x, tensors, x->tiled, 0, x->row + lo, x->row + end);
    }
}

static void rows_task(void *ctx, int64_t task)
{
    const Tiles *x = ctx;
    int64_t lo = task * x->tile;
    run_rows(x, thread_tensors(x, 0), lo, lo + x->tile < x->rows ? lo + x->tile : x->rows);
}

static void rows_group_task(void *ctx, int64_t i)
{
    const Tiles *x = ctx;
    int64_t lo = (x->first + i) * x->group;
    memset(x->copies + i * x->fixed->copy_bytes, 0, (size_t)x->fixed->copy_bytes);
    run_rows(x, thread_tensors(x, i), lo, lo + x->group < x->rows ? lo + x->group : x->rows);
}

/* ---- the step --------------------------------------------------------------------------------------------- */

static int note_tiled(struct TileStep *t, int tensor, int call)
{
    int i = 0;
    while (i < t->ntiled && t->tiled[i].tensor != tensor) {
        i++;
    }
    if (i == t->ntiled) {
        t->tiled[t->ntiled++] = (Tiled){.tensor = tensor, .first = call};
    }
    t->tiled[i].last = call;
    return i;
}

static void note_shared(const Session *s, struct TileStep *t, int tensor)
{
    for (int i = 0; i < t->nshared; i++) {
        if (t->shared[i].tensor == tensor) {
            return;
        }
    }
    t->shared[t->nshared++] = (Shared){tensor, t->copy_bytes};
    t->copy_bytes += with_slack(tensor_bytes(&s->shapes, tensor));
}

/* Adds the tensors that call c, a product, reads of those that are no example's own, unless an earlier one does. */
static void note_matrices(const Session *s, const PlanStep *step, int c, int64_t *bytes)
{
    for (int j = 1; j < step->calls[c].ntensors && step->calls[c].is_product; j++) {
        int t = step->calls[c].tensors[j];
        bool known = s->plan->tensors[t].per_example || s->plan->tensors[t].batch_dims > 0;
        for (int k = 0; k < c && !known; k++) {
            for (int i = 1; i < step->calls[k].ntensors; i++) {
                known = known || (step->calls[k].is_product && step->calls[k].tensors[i] == t);
            }
        }
        *bytes += known ? 0 : tensor_bytes(&s->shapes, t);
    }
    *bytes = *bytes < MATRIX_BYTES ? *bytes : MATRIX_BYTES;
}

static Zeroing choose_zeroing(const Plan *p, const PlanStep *step, const PlanCall *call, bool by_tile)
{
    const PlanTensor *t = &p->tensors[call->tensors[0]];
    if (!call->zero || is_tiled(t)) {
        return ZERO_NONE;
    }
    if (step->kind == STEP_ROWS || step->is_whole || !t->per_example) {
        return ZERO_ALL;
    }
    return call->own_rows ? ZERO_ROWS : by_tile ? ZERO_ALL : ZERO_EXAMPLE;
}

static struct TileStep *tile_step_new(const Session *s, const PlanStep *step)
{
    const Plan *p = s->plan;
    struct TileStep *t = calloc(1, sizeof *t);
    size_t n = 1;
    for (int c = 0; c < step->ncalls; c++) {
        n += (size_t)step->calls[c].ntensors;
    }
    if (t) {
        t->tiled_at = calloc(n, sizeof *t->tiled_at);
        t->tiled = calloc(n, sizeof *t->tiled);
        t->shared = calloc(n, sizeof *t->shared);
        t->zeroing = calloc((size_t)step->ncalls + 1, sizeof *t->zeroing);
    }
    if (!t || !t->tiled_at || !t->tiled || !t->shared || !t->zeroing) {
        tile_step_free(t);
        return NULL;
    }
    t->by_tile = true;
    for (int c = 0; c < step->ncalls; c++) {
        const PlanCall *call = &step->calls[c];
        int dst = call->tensors[0];
        t->keeps = t->keeps || call->keeps;
        t->ends = t->ends || call->ends;
        note_matrices(s, step, c, &t->matrices);
        for (int j = 0; j < call->ntensors; j++) {
            bool tiled = is_tiled(&p->tensors[call->tensors[j]]);
            t->tiled_at[t->npointers++] = tiled ? note_tiled(t, call->tensors[j], c) : -1;
        }
        if (is_tiled(&p->tensors[dst])) {
            continue;
        }
        t->by_tile = t->by_tile && !call->adds;
        if (!p->tensors[dst].per_example && !step->is_whole) {
            note_shared(s, t, dst);
        }
    }
    for (int c = 0; c < step->ncalls; c++) {
        t->zeroing[c] = choose_zeroing(p, step, &step->calls[c], t->by_tile);
    }
    return t;
}

void tile_step_free(struct TileStep *t)
{
    if (t) {
        free(t->tiled_at);
        free(t->tiled);
        free(t->shared);
        free(t->zeroing);
        free(t);
    }
}

bool tiles_init(Session *s, Error *e)
{
    s->tiles = calloc((size_t)s->plan->nsteps + 1, sizeof *s->tiles);
    for (int k = 0; s->tiles && k < s->plan->nsteps; k++) {
        const PlanStep *step = &s->plan->steps[k];
        if (step_is_tiled(step) && !(s->tiles[k] = tile_step_new(s, step))) {
            return error_set(e, EXIT_RESOURCES, "no memory for the steps of '%s'", s->plan->name);
        }
    }
    return s->tiles || error_set(e, EXIT_RESOURCES, "no memory for the steps of '%s'", s->plan->name);
}

/* Adds one block of every shared result's copies, in the order of the groups. */
static void fold_block(void *ctx, int64_t block)
{
    const Tiles *x = ctx;
    const Session *s = x->s;
    for (int i = 0; i < x->fixed->nshared; i++) {
        const Shared *r = &x->fixed->shared[i];
        int64_t at = block * FOLD_BLOCK, left = tensor_count(&s->shapes, r->tensor) - at;
        for (int64_t k = 0; k < x->ncopies && left > 0; k++) {
            fold_copy(s->plan->tensors[r->tensor].dtype, s->data[r->tensor],
                      x->copies + k * x->fixed->copy_bytes + r->at, at, left < FOLD_BLOCK ? left : FOLD_BLOCK);
        }
    }
}

static void run_groups(Tiles *x, int64_t groups, int64_t wave, void (*task)(void *, int64_t))
{
    int64_t most = 0;
    for (int i = 0; i < x->fixed->nshared; i++) {
        int64_t n = tensor_count(&x->s->shapes, x->fixed->shared[i].tensor);
        most = n > most ? n : most;
    }
    for (; x->first < groups; x->first += wave) {
        x->ncopies = groups - x->first < wave ? groups - x->first : wave;
        pool_run(x->s->pool, x->ncopies, task, x);
        pool_run(x->s->pool, (most + FOLD_BLOCK - 1) / FOLD_BLOCK, fold_block, x);
    }
}

/* Where in a thread's memory each call keeps what it needs for the example that needs most, behind the largest tile. */
static void place_kept(Tiles *x)
{
    int64_t end = with_slack(x->thread_bytes);
    for (int c = 0; c < x->step->ncalls; c++) {
        int64_t most = 0;
        x->kept_at[c] = end;
        for (int64_t b = x->s->from; b < x->s->to && x->step->calls[c].keeps; b++) {
            int64_t bytes = 0;
            KernelArgs a = call_args(x, c, x->args[c].tensors, b);
            a.kept = &bytes;
            a.phase = PHASE_SIZE;
            x->step->calls[c].fn(&a);
            most = bytes > most ? bytes : most;
        }
        end += most > 0 ? with_slack(most) : 0;
    }
    x->thread_bytes = end;
}

static void cut_examples(Tiles *x)
{
    int ntiled = x->fixed->ntiled;
    x->tile_of[0] = 0;
    for (int64_t i = 0; i < x->s->to - x->s->from; i++) {
        int64_t b = x->s->from + i, size = shapes_axis_size(&x->s->shapes, x->step->tile_axis, b);
        int64_t positions = tile_positions(x, x->tiled, b, size), tile = place_tiled(x->tiled, ntiled, positions);
        x->tile_of[i + 1] = x->tile_of[i] + (size + positions - 1) / positions;
        x->thread_bytes = tile > x->thread_bytes ? tile : x->thread_bytes;
    }
}

/* Tiles that go through all examples: enough of them, and as many positions as fit in the cache for every example. */
static void cut_whole(Tiles *x)
{
    int64_t n = shapes_axis_size(&x->s->shapes, x->step->tile_axis, x->s->from);
    int64_t most = (n + WHOLE_TILES - 1) / WHOLE_TILES;
    x->positions = (most + 15) / 16 * 16;
    for (int64_t b = x->s->from; b < x->s->to; b++) {
        int64_t fit = tile_positions(x, x->tiled, b, n);
        x->positions = fit < x->positions ? fit : x->positions;
    }
    for (int64_t b = x->s->from; b < x->s->to; b++) {
        tile_positions(x, x->tiled, b, n);
        int64_t tile = place_tiled(x->tiled, x->fixed->ntiled, x->positions);
        x->thread_bytes = tile > x->thread_bytes ? tile : x->thread_bytes;
    }
}

/* Copies that are made at a time, of so many groups. */
static int64_t wave_of(const Tiles *x, int64_t groups)
{
    if (x->fixed->nshared == 0) {
        return 0;
    }
    int64_t least = 2 * pool_threads(x->s->pool), wave = WAVE_BYTES / x->fixed->copy_bytes;
    wave = wave < least ? least : wave > MAX_WAVE ? MAX_WAVE : wave;
    return wave < groups ? wave : groups;
}

static bool reserve_lists(Tiles *x, Error *e)
{
    int64_t n = x->s->to - x->s->from, threads = pool_threads(x->s->pool);
    const struct TileStep *f = x->fixed;
    x->tile_of = malloc(((size_t)n + 1) * sizeof *x->tile_of);
    x->seconds = calloc((size_t)(threads * x->step->ncalls) + 1, sizeof *x->seconds);
    x->tiled = malloc((size_t)(threads * f->ntiled + 1) * sizeof *x->tiled);
    x->kept_at = calloc((size_t)x->step->ncalls + (size_t)threads, sizeof *x->kept_at);
    if (!x->tile_of || !x->seconds || !x->tiled || !x->kept_at) {
        return error_set(e, EXIT_RESOURCES, "no memory for the tiles of a step");
    }
    x->ready = x->kept_at + x->step->ncalls;
    for (int64_t w = 0; w < threads; w++) {
        memcpy(x->tiled + w * f->ntiled, f->tiled, (size_t)f->ntiled * sizeof *f->tiled);
        x->ready[w] = -1;
    }
    return true;
}

static bool reserve_memory(Tiles *x, int64_t wave, Error *e)
{
    const struct TileStep *f = x->fixed;
    int64_t threads = pool_threads(x->s->pool), bytes = wave * f->copy_bytes + threads * x->thread_bytes;
    if (!memory_scratch(x->s, bytes > 0 ? bytes : TENSOR_ALIGN, threads * f->npointers, e)) {
        return false;
    }
    x->copies = x->s->scratch;
    x->memory = x->s->scratch + wave * f->copy_bytes;
    x->pointers = x->s->scratch_tensors;
    return true;
}

static bool reserve(Tiles *x, int64_t wave, Error *e)
{
    if (!reserve_lists(x, e)) {
        return false;
    }
    if (x->step->is_whole) {
        cut_whole(x);
    } else {
        cut_examples(x);
    }
    place_kept(x);
    return reserve_memory(x, wave, e);
}

/* wall: seconds of the whole step, which its calls share as the threads spent theirs. items: positions or rows. */
static void add_to_profile(const Tiles *x, double wall, int64_t items, StepProfile *rows)
{
    double all = 0;
    if (!x->s->is_profiled) {
        return;
    }
    int threads = pool_threads(x->s->pool);
    for (int i = 0; i < threads * x->step->ncalls; i++) {
        all += x->seconds[i];
    }
    for (int c = 0; c < x->step->ncalls; c++) {
        double seconds = 0;
        for (int w = 0; w < threads; w++) {
            seconds += x->seconds[w * x->step->ncalls + c];
        }
        profile_add(&rows[c], all > 0 ? wall * seconds / all : wall / x->step->ncalls,
                    x->step->calls[c].flop_per_item * (double)items);
    }
}

static void zero_results(const Tiles *x)
{
    Session *s = x->s;
    for (int c = 0; c < x->step->ncalls && s->is_fresh; c++) {
        if (zeroing(x, c) == ZERO_ALL) {
            zero_tensor(s, x->step->calls[c].tensors[0]);
        }
    }
}

static void release(const Tiles *x)
{
    free(x->tile_of);
    free(x->seconds);
    free(x->tiled);
    free(x->kept_at);
}

static bool run_lists(Tiles *x, StepProfile *rows, Error *e)
{
    Session *s = x->s;
    double start = profile_now(s);
    int64_t examples = s->to - s->from, groups = (examples + GROUP - 1) / GROUP, wave = wave_of(x, groups);
    if (!reserve(x, wave, e)) {
        return false;
    }
    zero_results(x);
    if (x->fixed->nshared > 0) {
        run_groups(x, groups, wave, group_task);
    } else if (x->step->is_whole) {
        int64_t n = examples > 0 ? shapes_axis_size(&s->shapes, x->step->tile_axis, s->from) : 0;
        pool_run(s->pool, (n + x->positions - 1) / x->positions, whole_task, x);
    } else {
        bool by_tile = x->fixed->by_tile;
        pool_run(s->pool, by_tile ? x->tile_of[examples] : examples, by_tile ? tile_task : example_task, x);
    }
    int64_t positions = 0;
    for (int64_t b = s->from; b < s->to; b++) {
        positions += shapes_axis_size(&s->shapes, x->step->tile_axis, b);
    }
    add_to_profile(x, profile_now(s) - start, positions, rows);
    return true;
}

/* Products in bf16 sum blocks of 32 rows; no tile may begin inside one. */
static int64_t whole_blocks(const Session *s, int64_t rows)
{
    return s->plan->products == PRODUCTS_F32 ? rows : (rows + BLOCK - 1) / BLOCK * BLOCK;
}

/* How many rows share a copy of the sums: enough to be worth one, few enough to share the work out evenly. limit: rows
 * of a tile that a test wants, or 0. */
static int64_t rows_per_group(int64_t rows, int64_t limit)
{
    if (limit > 0) {
        return 2 * limit;
    }
    int64_t n = (rows + LEAST_GROUP - 1) / LEAST_GROUP, most = (rows + MOST_GROUP - 1) / MOST_GROUP;
    n = n < EVEN_GROUPS ? n : most > EVEN_GROUPS ? (most + EVEN_GROUPS - 1) / EVEN_GROUPS * EVEN_GROUPS : EVEN_GROUPS;
    return n > 0 ? (rows + n - 1) / n : 1;
}

/* Rows of a tile, of at most n: as many as keep what its calls touch of them in the cache, in equal shares. */
static int64_t rows_per_tile(const Tiles *x, int64_t n)
{
    const Session *s = x->s;
    int64_t bytes = place_tiled(x->tiled, x->fixed->ntiled, MIN_POSITIONS) / MIN_POSITIONS;
    int64_t most = bytes > 0 && TILE_BYTES / bytes < MOST_ROWS ? TILE_BYTES / bytes : MOST_ROWS;
    most = most < LEAST_GROUP ? LEAST_GROUP : most;
    most = s->tile_limit > 0 && s->tile_limit < most ? s->tile_limit : most;
    int64_t tiles = (n + most - 1) / most;
    return tiles > 0 ? (n + tiles - 1) / tiles : 1;
}

static bool run_rows_step(Tiles *x, StepProfile *profile, Error *e)
{
    Session *s = x->s;
    double start = profile_now(s);
    int of = x->step->calls[0].rows_of;
    x->row = of >= 0 ? s->shapes.offsets[of][s->from] : s->from;
    x->rows = (of >= 0 ? s->shapes.offsets[of][s->to] : s->to) - x->row;
    x->group = whole_blocks(s, rows_per_group(x->rows, s->tile_limit));
    int64_t groups = (x->rows + x->group - 1) / x->group, wave = wave_of(x, groups);
    if (!reserve_lists(x, e)) {
        return false;
    }
    for (int i = 0; i < x->fixed->ntiled && x->rows > 0; i++) {
        x->tiled[i].bytes = tensor_bytes(&s->shapes, x->tiled[i].tensor) / x->rows;
    }
    x->tile = whole_blocks(s, rows_per_tile(x, x->fixed->nshared > 0 ? x->group : x->rows));
    x->thread_bytes = place_tiled(x->tiled, x->fixed->ntiled, x->tile);
    if (!reserve_memory(x, wave, e)) {
        return false;
    }
    zero_results(x);
    if (x->fixed->nshared > 0) {
        run_groups(x, groups, wave, rows_group_task);
    } else {
        pool_run(s->pool, (x->rows + x->tile - 1) / x->tile, rows_task, x);
    }
    add_to_profile(x, profile_now(s) - start, x->rows, profile);
    return true;
}

bool run_tiles(Session *s, int k, const CallArgs *args, StepProfile *rows, Error *e)
{
    Tiles x = {.s = s, .step = &s->plan->steps[k], .fixed = s->tiles[k], .args = args};
    bool good = x.step->kind == STEP_ROWS ? run_rows_step(&x, rows, e) : run_lists(&x, rows, e);
    release(&x);
    return good;
}
