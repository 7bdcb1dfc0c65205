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
 *
 * A kernel addresses a tiled tensor as if all of it existed: it gets a pointer that lies before the thread's memory by
 * as much as the example and the first row of the tile lie behind the start. How many positions a tile has depends on
 * the example alone, and no result depends on it. */
#include "../ir/fault.h"
#include "session_impl.h"
#include <stdlib.h>
#include <string.h>

enum { TILE_BYTES = 1 << 20, MIN_POSITIONS = 16, GROUP = 4, FOLD_BLOCK = 1 << 12, MAX_TILED = 64 };

typedef struct {
    int tensor;
    int first, last; /* the calls that use it */
    int64_t bytes;   /* of one position, in the example at hand */
    int64_t at;      /* in the thread's memory, where it lies beside those that live at the same time */
} Tiled;

typedef struct {
    Session *s;
    const PlanStep *step;
    const CallArgs *args;
    int ntiled;
    Tiled tiled[MAX_TILED];         /* bytes and places: of no example yet */
    int nshared, shared[MAX_TILED]; /* results that are the same for all examples */
    int64_t shared_at[MAX_TILED], copy_bytes;
    bool by_tile;  /* tiles are tasks of their own: none adds to what another writes */
    int64_t first; /* group of the first copy */
    char *copies;  /* a wave of private copies of the shared results */
    char *memory;  /* thread w: memory + w * thread_bytes */
    int64_t thread_bytes;
    void **pointers; /* thread w: pointers + w * npointers, the tensors of all calls */
    int64_t npointers;
    int64_t *tile_of; /* number of the first tile of each example from s->from on */
    double *seconds;  /* thread w: seconds + w * ncalls, spent in each call */
} Tiles;

static bool contains(const int *list, int n, int x)
{
    for (int i = 0; i < n; i++) {
        if (list[i] == x) {
            return true;
        }
    }
    return false;
}

/* Bytes of one position of a tiled tensor in example b, whose axis of positions has `n` of them. */
static int64_t position_bytes(const Session *s, int tensor, int64_t b, int64_t n)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int64_t elements = tensor_base(&s->shapes, tensor, b + 1) - tensor_base(&s->shapes, tensor, b);
    return n > 0 ? elements / n * (int64_t)dtype_size[t->dtype] : 0;
}

static int64_t aligned(int64_t bytes)
{
    return (bytes + TENSOR_SLACK + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
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
            int64_t after = tiled[k].at + aligned(positions * tiled[k].bytes);
            if (meets && tiled[i].at < after && tiled[k].at < tiled[i].at + aligned(positions * tiled[i].bytes)) {
                tiled[i].at = after;
                k = -1; /* it may meet another one there */
            }
        }
        int64_t after = tiled[i].at + aligned(positions * tiled[i].bytes);
        end = after > end ? after : end;
    }
    return end;
}

/* Positions of a tile of example b, which has n: as many as keep the tile in the cache, in equal shares. */
static int64_t tile_positions(const Tiles *x, Tiled *tiled, int64_t b, int64_t n)
{
    for (int i = 0; i < x->ntiled; i++) {
        tiled[i].bytes = position_bytes(x->s, tiled[i].tensor, b, n);
    }
    int64_t bytes = place_tiled(tiled, x->ntiled, MIN_POSITIONS) / MIN_POSITIONS;
    int64_t most = bytes > 0 ? TILE_BYTES / bytes : n;
    most = most < MIN_POSITIONS ? MIN_POSITIONS : most / 16 * 16;
    most = x->s->tile_limit > 0 && x->s->tile_limit < most ? x->s->tile_limit : most;
    int64_t tiles = (n + most - 1) / most;
    return tiles > 0 ? (n + tiles - 1) / tiles : 1;
}

/* ---- one tile --------------------------------------------------------------------------------------------- */

/* One tile of example b: positions lo .. hi - 1. `tensors`: the thread's pointers, shared results set. */
static void run_tile(const Tiles *x, void **tensors, const Tiled *tiled, int64_t b, int64_t lo, int64_t hi)
{
    const Session *s = x->s;
    char *memory = x->memory + pool_worker() * x->thread_bytes;
    double *seconds = x->seconds + pool_worker() * x->step->ncalls, start = profile_now(s);
    for (int c = 0; c < x->step->ncalls; c++) {
        const PlanCall *call = &x->step->calls[c];
        for (int j = 0; j < call->ntensors; j++) {
            for (int i = 0; i < x->ntiled && s->plan->tensors[call->tensors[j]].tile_dim > 0; i++) {
                if (tiled[i].tensor == call->tensors[j]) {
                    int64_t before = tensor_base(&s->shapes, tiled[i].tensor, b) *
                                     (int64_t)dtype_size[s->plan->tensors[tiled[i].tensor].dtype];
                    uintptr_t at = (uintptr_t)(memory + tiled[i].at) - (uintptr_t)(before + lo * tiled[i].bytes);
                    memcpy(&tensors[j], &at, sizeof at);
                    if (j == 0 && call->zero && !FAULT(37)) {
                        memset(memory + tiled[i].at, 0, (size_t)((hi - lo) * tiled[i].bytes));
                    }
                    break;
                }
            }
        }
        KernelArgs a = {.tensors = tensors,
                        .offsets = x->args[c].offsets,
                        .keys = x->args[c].keys,
                        .batch = s->shapes.batch,
                        .lo = lo,
                        .hi = hi,
                        .t = b};
        call->fn(&a);
        tensors += call->ntensors;
        double end = profile_now(s);
        seconds[c] += end - start;
        start = end;
    }
}

/* The thread's pointers; shared results point into copy number `copy`. */
static void **thread_tensors(const Tiles *x, int64_t copy)
{
    void **all = x->pointers + pool_worker() * x->npointers, **tensors = all;
    for (int c = 0; c < x->step->ncalls; c++) {
        const PlanCall *call = &x->step->calls[c];
        memcpy(tensors, x->args[c].tensors, (size_t)call->ntensors * sizeof *tensors);
        for (int i = 0; i < x->nshared; i++) {
            if (x->shared[i] == call->tensors[0]) {
                tensors[0] = x->copies + copy * x->copy_bytes + x->shared_at[i];
            }
        }
        tensors += call->ntensors;
    }
    return all;
}

/* Tiles first <= k < end of example b. */
static void run_example(const Tiles *x, void **tensors, int64_t b, int64_t first, int64_t end)
{
    Tiled tiled[MAX_TILED];
    memcpy(tiled, x->tiled, sizeof tiled);
    int64_t n = shapes_axis_size(&x->s->shapes, x->step->tile_axis, b), positions = tile_positions(x, tiled, b, n);
    place_tiled(tiled, x->ntiled, positions);
    for (int64_t k = first; k < end && k * positions < n; k++) {
        int64_t hi = (k + 1) * positions;
        run_tile(x, tensors, tiled, b, k * positions, hi < n ? hi : n - FAULT(38));
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
    memset(x->copies + i * x->copy_bytes, 0, (size_t)x->copy_bytes);
    void **tensors = thread_tensors(x, i);
    for (int64_t b = from; b < to; b++) {
        run_example(x, tensors, b, 0, INT64_MAX);
    }
}

/* ---- the step --------------------------------------------------------------------------------------------- */

static bool note_tiled(Tiles *x, int tensor, int call)
{
    int i = 0;
    while (i < x->ntiled && x->tiled[i].tensor != tensor) {
        i++;
    }
    if (i == MAX_TILED) {
        return false;
    }
    if (i == x->ntiled) {
        x->tiled[x->ntiled++] = (Tiled){.tensor = tensor, .first = call};
    }
    x->tiled[i].last = call;
    return true;
}

static bool look_at_calls(Tiles *x, Error *e)
{
    const Plan *p = x->s->plan;
    x->by_tile = true;
    for (int c = 0; c < x->step->ncalls; c++) {
        const PlanCall *call = &x->step->calls[c];
        int dst = call->tensors[0];
        x->npointers += call->ntensors;
        for (int j = 0; j < call->ntensors; j++) {
            if (p->tensors[call->tensors[j]].tile_dim > 0 && !note_tiled(x, call->tensors[j], c)) {
                return error_set(e, EXIT_RESOURCES, "internal error: too many tiled tensors in one step");
            }
        }
        if (p->tensors[dst].tile_dim > 0) {
            continue;
        }
        x->by_tile = x->by_tile && !call->adds;
        if (!p->tensors[dst].per_example && !contains(x->shared, x->nshared, dst)) {
            if (x->nshared == MAX_TILED) {
                return error_set(e, EXIT_RESOURCES, "internal error: too many shared results in one step");
            }
            x->shared_at[x->nshared] = x->copy_bytes;
            x->shared[x->nshared++] = dst;
            x->copy_bytes += aligned(tensor_bytes(&x->s->shapes, dst));
        }
    }
    return true;
}

static void fold_shared(const Tiles *x, int64_t ncopies)
{
    const Session *s = x->s;
    for (int i = 0; i < x->nshared; i++) {
        for (int64_t k = 0; k < ncopies; k++) {
            fold_copy(s->plan->tensors[x->shared[i]].dtype, s->data[x->shared[i]],
                      x->copies + k * x->copy_bytes + x->shared_at[i], 0, tensor_count(&s->shapes, x->shared[i]));
        }
    }
}

static bool reserve(Tiles *x, int64_t wave, Error *e)
{
    int64_t n = x->s->to - x->s->from, threads = pool_threads(x->s->pool), bytes = 0;
    x->tile_of = malloc(((size_t)n + 1) * sizeof *x->tile_of);
    x->seconds = calloc((size_t)(threads * x->step->ncalls) + 1, sizeof *x->seconds);
    if (!x->tile_of || !x->seconds) {
        return error_set(e, EXIT_RESOURCES, "no memory for the tiles of a step");
    }
    x->tile_of[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t b = x->s->from + i, size = shapes_axis_size(&x->s->shapes, x->step->tile_axis, b);
        int64_t positions = tile_positions(x, x->tiled, b, size), tile = place_tiled(x->tiled, x->ntiled, positions);
        x->tile_of[i + 1] = x->tile_of[i] + (size + positions - 1) / positions;
        x->thread_bytes = tile > x->thread_bytes ? tile : x->thread_bytes;
    }
    bytes = wave * x->copy_bytes + threads * x->thread_bytes;
    if (!memory_scratch(x->s, bytes > 0 ? bytes : TENSOR_ALIGN, threads * x->npointers, e)) {
        return false;
    }
    x->copies = x->s->scratch;
    x->memory = x->s->scratch + wave * x->copy_bytes;
    x->pointers = x->s->scratch_tensors;
    return true;
}

/* wall: seconds of the whole step, which its calls share as the threads spent theirs. */
static void add_to_profile(const Tiles *x, double wall, StepProfile *rows)
{
    int64_t positions = 0;
    double all = 0;
    for (int64_t b = x->s->from; b < x->s->to; b++) {
        positions += shapes_axis_size(&x->s->shapes, x->step->tile_axis, b);
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
                    x->step->calls[c].flop_per_item * (double)positions);
    }
}

bool run_tiles(Session *s, const PlanStep *step, const CallArgs *args, StepProfile *rows, Error *e)
{
    enum { MAX_WAVE = 64 };
    Tiles x = {.s = s, .step = step, .args = args};
    double start = profile_now(s);
    int64_t examples = s->to - s->from, groups = (examples + GROUP - 1) / GROUP;
    int64_t wave = groups < MAX_WAVE ? groups : MAX_WAVE;
    bool good = look_at_calls(&x, e) && reserve(&x, wave, e);
    for (int c = 0; c < step->ncalls && good && s->is_fresh; c++) {
        if (step->calls[c].zero && s->plan->tensors[step->calls[c].tensors[0]].tile_dim == 0) {
            zero_tensor(s, step->calls[c].tensors[0]);
        }
    }
    if (good && x.nshared > 0) {
        for (; x.first < groups; x.first += wave) {
            int64_t n = groups - x.first < wave ? groups - x.first : wave;
            pool_run(s->pool, n, group_task, &x);
            fold_shared(&x, n);
        }
    } else if (good) {
        pool_run(s->pool, x.by_tile ? x.tile_of[examples] : examples, x.by_tile ? tile_task : example_task, &x);
    }
    if (good) {
        add_to_profile(&x, profile_now(s) - start, rows);
    }
    free(x.tile_of);
    free(x.seconds);
    return good;
}
