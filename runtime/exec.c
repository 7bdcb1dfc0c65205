/* Runs the steps of a plan on a bound batch. How a call is cut into tasks follows from the plan and the batch alone;
 * threads only decide when a task runs:
 *
 *   BATCH, ROWS, FIXED   tasks of `grain` items write disjoint cells
 *   KEYS                 the same, but the number of tasks follows the threads: no sum depends on it
 *   REDUCE               chunk k adds into its own zeroed copy; the copies are added to the result in the order of k,
 *                        in parallel over its elements. Copies are made a wave at a time, which changes no sum
 *   scan                 a task is a few examples with all their positions, so positions need no barrier
 *   levels               the steps inside run on the examples of one level after another; each cuts them as above */
#include "../ir/fault.h"
#include "../ir/random.h"
#include "session_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ZERO_BLOCK = 1 << 18, FOLD_BLOCK = 1 << 12, WAVE_BYTES = 1 << 26, MAX_WAVE = 256 };

/* Of the profile. With one thread its own time, which other programs on the machine do not lengthen. */
double profile_now(const Session *s)
{
    struct timespec t;
    clock_gettime(pool_threads(s->pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- zeroing ---------------------------------------------------------------------------------------------- */

typedef struct {
    char *data;
    int64_t bytes;
} Zero;

static void zero_block(void *ctx, int64_t block)
{
    const Zero *z = ctx;
    int64_t at = block * ZERO_BLOCK, n = z->bytes - at < ZERO_BLOCK ? z->bytes - at : ZERO_BLOCK;
    memset(z->data + at, 0, (size_t)n);
}

void zero_tensor(Session *s, int tensor)
{
    Zero z = {.data = s->data[tensor], .bytes = tensor_bytes(&s->shapes, tensor)};
    if (z.bytes > 0) {
        pool_run(s->pool, (z.bytes + ZERO_BLOCK - 1) / ZERO_BLOCK, zero_block, &z);
    }
}

bool zeroes_examples(const Session *s, int tensor)
{
    bool in_levels = s->from > 0 || s->to < s->shapes.batch; /* then the first level zeroes for all */
    return s->is_fresh && s->plan->tensors[tensor].per_example && !in_levels;
}

void zero_examples(const Session *s, int tensor, int64_t lo, int64_t hi)
{
    int64_t size = (int64_t)dtype_size[s->plan->tensors[tensor].dtype];
    int64_t from = tensor_base(&s->shapes, tensor, lo) * size, to = tensor_base(&s->shapes, tensor, hi) * size;
    if (to > from && !FAULT(44)) {
        memset((char *)s->data[tensor] + from, 0, (size_t)(to - from));
    }
}

/* ---- one call --------------------------------------------------------------------------------------------- */

/* Number of the first item of example b; of the batch's end: how many there are. */
static int64_t item_of(const Session *s, const PlanCall *c, int64_t b)
{
    switch (c->split) {
    case SPLIT_NONE:
        return b > 0;
    case SPLIT_FIXED:
    case SPLIT_KEYS:
        return b > 0 ? c->nitems : 0;
    case SPLIT_BATCH:
        return b;
    default:
        return c->rows_of >= 0 ? s->shapes.offsets[c->rows_of][b] : b;
    }
}

/* Items per task: the plan's hint, else what makes a task worth handing out (tens of microseconds). */
static int64_t call_grain(const PlanCall *c, int64_t items)
{
    int64_t grain = c->grain;
    if (grain <= 0) {
        grain = c->flop_per_item > 0 ? (int64_t)(1e5 / c->flop_per_item) : items / 32;
    }
    return grain < 1 ? 1 : grain;
}

/* Keys per task: some threads have the popular ones, so two tasks for each, unless one does all the work. */
static int64_t key_grain(const Session *s, int64_t keys)
{
    int64_t n = pool_threads(s->pool) == 1 ? 1 : 2 * (int64_t)pool_threads(s->pool);
    return keys / n + 1;
}

typedef struct {
    const Session *s;
    const PlanCall *call;
    KernelArgs args;
    int64_t from, items, grain; /* items from .. from + items - 1, `grain` to a task */
    bool zeroes;                /* a task zeroes its examples' results first */
    char *scratch;              /* of the first thread, or NULL */
    int64_t scratch_bytes;      /* of each */
} Job;

/* Memory that a call wants for itself, of each thread. */
static int64_t scratch_bytes(const Session *s, const PlanCall *c)
{
    return c->scratch <= 0 ? 0 : with_slack(c->scratch + c->scratch_row * s->shapes.longest[c->scratch_of]);
}

static void *scratch_of(const Job *j)
{
    return j->scratch ? j->scratch + pool_worker() * j->scratch_bytes : NULL;
}

static void run_task(void *ctx, int64_t task)
{
    const Job *j = ctx;
    KernelArgs a = j->args;
    int64_t lo = task * j->grain, hi = lo + j->grain < j->items ? lo + j->grain : j->items;
    a.lo = j->from + lo;
    a.hi = j->from + hi;
    a.kept = scratch_of(j);
    if (j->zeroes) {
        zero_examples(j->s, j->call->tensors[0], a.lo, a.hi);
    }
    j->call->fn(&a);
}

static int64_t tasks(int64_t items, int64_t grain)
{
    return items / grain + (items % grain != 0);
}

/* ---- reductions ------------------------------------------------------------------------------------------- */

typedef struct {
    Job job;
    char *copies;       /* a wave of private copies of tensors[0] */
    int64_t copy_bytes; /* distance between two */
    void **pointers;    /* per copy: the call's tensors, with the copy in place of the first */
    int64_t first;      /* chunk of the first copy */
    bool in_place;      /* chunk 0 adds straight into the result, which is still zero */
    int64_t bytes, count, ncopies;
    void *out;
    DType type;
} Reduction;

static void reduce_chunk(void *ctx, int64_t i)
{
    const Reduction *r = ctx;
    const PlanCall *c = r->job.call;
    int64_t chunk = r->first + i;
    KernelArgs a = r->job.args;
    int64_t lo = chunk * r->job.grain, hi = lo + r->job.grain < r->job.items ? lo + r->job.grain : r->job.items;
    a.lo = r->job.from + lo;
    a.hi = r->job.from + hi;
    a.kept = scratch_of(&r->job);
    if (!(chunk == 0 && r->in_place)) {
        void **tensors = r->pointers + i * c->ntensors;
        memcpy(tensors, r->job.args.tensors, (size_t)c->ntensors * sizeof *tensors);
        tensors[0] = r->copies + i * r->copy_bytes;
        memset(tensors[0], 0, (size_t)r->bytes);
        a.tensors = tensors;
    }
    c->fn(&a);
}

#define FOLD(TYPE, OP)                                                                                                 \
    do {                                                                                                               \
        TYPE *restrict to = (TYPE *)out + at;                                                                          \
        const TYPE *restrict from = (const TYPE *)copy + at;                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            to[i] = (TYPE)(to[i] OP from[i]);                                                                          \
        }                                                                                                              \
    } while (0)

void fold_copy(DType type, void *out, const void *copy, int64_t at, int64_t n)
{
    switch (type) {
    case DT_F32:
        FOLD(float, +);
        break;
    case DT_F64:
        FOLD(double, +);
        break;
    case DT_I32:
        FOLD(int32_t, +);
        break;
    case DT_I64:
        FOLD(int64_t, +);
        break;
    case DT_BOOL:
        FOLD(uint8_t, |);
        break;
    }
}

static void fold_block(void *ctx, int64_t block)
{
    const Reduction *r = ctx;
    int64_t at = block * FOLD_BLOCK, n = r->count - at < FOLD_BLOCK ? r->count - at : FOLD_BLOCK;
    for (int64_t k = 0; k < r->ncopies; k++) {
        if (r->first + k == 0 && r->in_place && !FAULT(33)) {
            continue;
        }
        fold_copy(r->type, r->out, r->copies + k * r->copy_bytes, at, n);
    }
}

static bool run_reduction(Session *s, Job job, bool is_zero, Error *e)
{
    const PlanCall *c = job.call;
    int out = c->tensors[0];
    int64_t chunks = tasks(job.items, job.grain);
    Reduction r = {.job = job,
                   .bytes = tensor_bytes(&s->shapes, out),
                   .count = tensor_count(&s->shapes, out),
                   .in_place = is_zero,
                   .out = job.args.tensors[0],
                   .type = s->plan->tensors[out].dtype};
    r.copy_bytes = with_slack(r.bytes);
    int64_t wave = WAVE_BYTES / r.copy_bytes, least = 2 * pool_threads(s->pool);
    wave = wave < least ? least : wave > MAX_WAVE ? MAX_WAVE : wave;
    wave = wave > chunks ? chunks : wave;
    int64_t kept = job.scratch_bytes * pool_threads(s->pool);
    if (chunks > (is_zero ? 1 : 0) || kept > 0) {
        int64_t bytes;
        if (!size_mul(wave, r.copy_bytes, &bytes) || !memory_scratch(s, bytes + kept, wave * c->ntensors, e)) {
            return error_set(e, EXIT_RESOURCES, "no memory for private sums of '%s' (%lld copies of %.1f MiB)",
                             s->plan->tensors[out].name, (long long)wave, (double)r.bytes / 1048576);
        }
    }
    r.job.scratch = kept > 0 ? s->scratch : NULL;
    r.copies = s->scratch + kept;
    r.pointers = s->scratch_tensors;
    for (r.first = 0; r.first < chunks; r.first += wave) {
        r.ncopies = chunks - r.first < wave ? chunks - r.first : wave;
        pool_run(s->pool, r.ncopies, reduce_chunk, &r);
        if (r.ncopies > 1 || r.first > 0 || !r.in_place) {
            pool_run(s->pool, (r.count + FOLD_BLOCK - 1) / FOLD_BLOCK, fold_block, &r);
        }
    }
    return true;
}

static KernelArgs call_args(const Session *s, const CallArgs *a)
{
    return (KernelArgs){.tensors = a->tensors, .offsets = a->offsets, .keys = a->keys, .batch = s->shapes.batch};
}

static bool run_call(Session *s, const PlanCall *c, const CallArgs *a, int64_t t, int64_t last, bool is_first, Error *e)
{
    Job job = {.s = s, .call = c, .args = call_args(s, a), .from = item_of(s, c, s->from)};
    job.items = item_of(s, c, s->to) - job.from;
    job.grain = c->split == SPLIT_KEYS ? key_grain(s, job.items) : call_grain(c, job.items);
    job.args.t = t;
    job.args.last = last;
    is_first = is_first && s->is_fresh;
    bool is_zero = c->zero && is_first;
    job.zeroes = is_zero && c->split == SPLIT_BATCH && zeroes_examples(s, c->tensors[0]);
    if (is_zero && !job.zeroes && !tables_keep_zero(s, c->tensors[0])) {
        zero_tensor(s, c->tensors[0]);
    }
    job.scratch_bytes = scratch_bytes(s, c);
    if (c->split == SPLIT_REDUCE) {
        return run_reduction(s, job, is_zero, e);
    }
    if (job.scratch_bytes > 0) {
        if (!memory_scratch(s, job.scratch_bytes * pool_threads(s->pool), 0, e)) {
            return false;
        }
        job.scratch = s->scratch;
    }
    pool_run(s->pool, tasks(job.items, job.grain), run_task, &job);
    return true;
}

/* ---- scans ------------------------------------------------------------------------------------------------ */

typedef struct {
    const Session *s;
    const PlanStep *step;
    const CallArgs *args;
    int64_t longest, grain;
} Scan;

static void run_positions(const Scan *n, int64_t lo, int64_t hi, int64_t t)
{
    for (int i = 0; i < n->step->ncalls; i++) {
        KernelArgs a = call_args(n->s, &n->args[i]);
        a.lo = lo;
        a.hi = hi;
        a.t = t;
        a.last = n->longest;
        n->step->calls[i].fn(&a);
    }
}

static void scan_task(void *ctx, int64_t task)
{
    const Scan *n = ctx;
    const Shapes *shapes = &n->s->shapes;
    int64_t lo = n->s->from + task * n->grain, hi = lo + n->grain < n->s->to ? lo + n->grain : n->s->to;
    int64_t longest = 0;
    for (int64_t b = lo; b < hi; b++) {
        int64_t size = shapes_axis_size(shapes, n->step->scan_axis, b);
        longest = size > longest ? size : longest;
    }
    for (int i = 0; i < n->step->ncalls; i++) {
        if (n->step->calls[i].zero && zeroes_examples(n->s, n->step->calls[i].tensors[0])) {
            zero_examples(n->s, n->step->calls[i].tensors[0], lo, hi);
        }
    }
    for (int64_t k = 0; k < longest - FAULT(34); k++) {
        run_positions(n, lo, hi, n->step->backwards ? longest - 1 - k : k);
    }
}

static bool run_scan(Session *s, const PlanStep *step, const CallArgs *args, Error *e)
{
    Scan n = {.s = s, .step = step, .args = args, .longest = s->shapes.longest[step->scan_axis]};
    bool by_example = true;
    double flop = 0;
    for (int i = 0; i < step->ncalls; i++) {
        by_example = by_example && step->calls[i].split == SPLIT_BATCH;
        flop += step->calls[i].flop_per_item;
    }
    if (!by_example) { /* a barrier after each call of each position */
        for (int64_t k = 0; k < n.longest; k++) {
            for (int i = 0; i < step->ncalls; i++) {
                int64_t t = step->backwards ? n.longest - 1 - k : k;
                if (!run_call(s, &step->calls[i], &args[i], t, n.longest, k == 0, e)) {
                    return false;
                }
            }
        }
        return true;
    }
    for (int i = 0; i < step->ncalls; i++) {
        int dst = step->calls[i].tensors[0];
        if (step->calls[i].zero && s->is_fresh && !zeroes_examples(s, dst)) {
            zero_tensor(s, dst);
        }
    }
    /* A few examples share what a position reads of the params; a task costs more than its start. */
    enum { FEW = 8, TASK_FLOP = 4000000 };
    int64_t grain = (int64_t)(TASK_FLOP / (flop * (double)n.longest + 1)) / FEW * FEW;
    n.grain = grain < FEW ? FEW : grain;
    pool_run(s->pool, tasks(s->to - s->from, n.grain), scan_task, &n);
    return true;
}

/* ---- all steps -------------------------------------------------------------------------------------------- */

static void prepare_calls(Session *s)
{
    for (int k = 0; k < s->plan->nsteps; k++) {
        const PlanCall *calls;
        int n = step_calls(&s->plan->steps[k], &calls);
        for (int i = 0; i < n; i++) {
            const PlanCall *c = &calls[i];
            CallArgs *a = &s->calls[s->call_of[k] + i];
            for (int j = 0; j < c->ntensors; j++) {
                a->tensors[j] = s->data[c->tensors[j]];
            }
            for (int j = 0; j < c->noffsets; j++) {
                a->offsets[j] = s->shapes.offsets[c->offsets[j]];
            }
            for (int j = 0; j < c->nkeys; j++) {
                a->keys[j] = random_key(s->seed, s->step, c->keys[j]);
            }
        }
    }
}

static double step_flop(const Session *s, const PlanStep *step)
{
    const PlanCall *calls;
    int n = step_calls(step, &calls);
    double flop = 0;
    for (int i = 0; i < n; i++) {
        int64_t items = item_of(s, &calls[i], s->to) - item_of(s, &calls[i], s->from);
        double times = step->kind == STEP_SCAN ? (double)s->shapes.longest[step->scan_axis] : 1;
        flop += calls[i].flop_per_item * (double)items * times;
    }
    return flop;
}

static bool run_profiled(Session *s, int k, Error *e);

/* Rows 0 .. n-1 of one level become those of another. */
static void carry(Session *s, const PlanCarry *c, int64_t from, int64_t to, int64_t n)
{
    int64_t row = tensor_bytes(&s->shapes, c->from) / s->shapes.batch;
    memcpy((char *)s->data[c->to] + to * row, (const char *)s->data[c->from] + from * row, (size_t)(n * row));
}

/* The steps after k, level by level. */
static bool run_levels(Session *s, int k, Error *e)
{
    const PlanStep *step = &s->plan->steps[k];
    bool good = true;
    for (int64_t i = 0; i < s->nlevels && good; i++) {
        int64_t level = step->backwards ? s->nlevels - 1 - i : i, ran = step->backwards ? level + 1 : level - 1;
        s->from = s->levels[level];
        s->to = s->levels[level + 1];
        s->is_fresh = i == 0;
        for (int c = 0; i > 0 && c < step->ncarries; c++) {
            int64_t most = s->levels[ran + 1] - s->levels[ran], n = s->to - s->from;
            carry(s, &step->carries[c], s->levels[ran], s->from, n < most ? n : most);
        }
        for (int j = 1; j <= step->nsteps && good; j++) {
            good = run_profiled(s, k + j, e);
        }
    }
    s->from = 0;
    s->to = s->shapes.batch;
    s->is_fresh = true;
    return good;
}

static bool run_step(Session *s, int k, Error *e)
{
    const PlanStep *step = &s->plan->steps[k];
    const CallArgs *args = &s->calls[s->call_of[k]];
    bool good = true;
    tables_before(s, k);
    if (tables_update(s, k)) {
        return true;
    }
    if (step->kind == STEP_CALL) {
        good = run_call(s, &step->call, args, 0, 0, true, e);
    } else if (step->kind == STEP_SCAN) {
        good = run_scan(s, step, args, e);
    } else if (step_is_tiled(step)) {
        good = run_tiles(s, k, args, &s->profile[s->row_of[k]], e);
    } else if (step->kind == STEP_LEVELS) {
        return run_levels(s, k, e);
    } else {
        extern_run(&s->externs[k], s, s->from, s->to, s->is_fresh);
    }
    for (int i = 0; good && i < s->ngiven; i++) {
        if (s->writer[s->given[i]] == k) {
            good = bind_draw(s, s->given[i], e);
        }
    }
    return good;
}

void profile_add(StepProfile *row, double seconds, double flop)
{
    row->least = row->runs == 0 || seconds < row->least ? seconds : row->least;
    row->runs++;
    row->seconds += seconds;
    row->flop += flop;
}

static bool run_profiled(Session *s, int k, Error *e)
{
    if (!s->is_profiled) {
        return run_step(s, k, e);
    }
    double start = profile_now(s);
    if (!run_step(s, k, e)) {
        return false;
    }
    const PlanStep *step = &s->plan->steps[k];
    if (step->kind != STEP_LEVELS && !step_is_tiled(step)) { /* those inside count for themselves */
        profile_add(&s->profile[s->row_of[k]], profile_now(s) - start, step_flop(s, step));
    }
    return true;
}

/* ---- values that are no numbers ---------------------------------------------------------------------------- */

/* First element of a tensor that is NaN (or, if asked, infinite); -1: none. */
static int64_t find_bad(const Session *s, int t, bool infinite)
{
    int64_t n = tensor_count(&s->shapes, t);
    for (int64_t i = 0; s->data[t] && i < n; i++) {
        double v = s->plan->tensors[t].dtype == DT_F32   ? ((const float *)s->data[t])[i]
                   : s->plan->tensors[t].dtype == DT_F64 ? ((const double *)s->data[t])[i]
                                                         : 0;
        if (infinite ? isinf(v) : isnan(v)) {
            return i;
        }
    }
    return -1;
}

/* The loss is not a number: the steps run once more, looking at each result, to name the equation where it began.
 * Inputs are bound again, because later results may lie in the memory of those that had been read. */
static bool report_nonfinite(Session *s, double loss, Error *e)
{
    const Plan *p = s->plan;
    const char *what = isnan(loss) ? "not a number" : "infinite";
    int end = s->writer[p->loss];
    for (int t = 0; t < p->ntensors; t++) {
        if (s->kept[t] && p->tensors[t].role == PT_PARAM && (find_bad(s, t, false) >= 0 || find_bad(s, t, true) >= 0)) {
            return error_set(e, EXIT_NONFINITE,
                             "the loss is %s at step %llu: param '%s' already holds a value that is no finite number; "
                             "resume from an earlier checkpoint with a lower learning rate",
                             what, (unsigned long long)s->step, p->tensors[t].name);
        }
    }
    if (!bind_inputs(s, s->batch, e)) {
        return false;
    }
    int inside = 0; /* steps that have run already, level by level */
    for (int k = 0; k <= end; k++, inside--) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        if (inside <= 0 && !run_step(s, k, e)) {
            return false;
        }
        inside = p->steps[k].kind == STEP_LEVELS ? p->steps[k].nsteps + 1 : inside;
        for (int i = 0; i < n; i++) {
            int t = calls[i].tensors[0];
            int64_t at = find_bad(s, t, isinf(loss) && t == p->loss);
            if (at >= 0) {
                const PlanTensor *x = &p->tensors[t];
                return error_set(
                    e, EXIT_NONFINITE,
                    "the loss is %s at step %llu: it begins in '%s' (%s%sline %d), element %lld; lower the "
                    "learning rate, or guard a division, log or sqrt there",
                    what, (unsigned long long)s->step, x->name, x->file ? x->file : "", x->file ? ", " : "",
                    x->line ? x->line : calls[i].line, (long long)at);
            }
        }
    }
    return error_set(e, EXIT_NONFINITE, "the loss is %s at step %llu: lower the learning rate", what,
                     (unsigned long long)s->step);
}

bool exec_steps(Session *s, Error *e)
{
    const Plan *p = s->plan;
    s->from = 0;
    s->to = s->shapes.batch;
    s->is_fresh = true;
    prepare_calls(s);
    if (!tables_begin(s, e)) {
        return false;
    }
    for (int t = 0; t < p->ntensors; t++) {
        if (p->tensors[t].role == PT_OUTPUT && s->writer[t] < 0 && s->root[t] == t && s->data[t]) {
            zero_tensor(s, t);
        }
    }
    for (int k = 0; k < p->nsteps; k++) {
        if (!run_profiled(s, k, e)) {
            return false;
        }
        k += p->steps[k].kind == STEP_LEVELS ? p->steps[k].nsteps : 0;
        if (p->loss >= 0 && s->writer[p->loss] == k && p->tensors[p->loss].ndim == 0) {
            double loss = p->tensors[p->loss].dtype == DT_F64 ? *(const double *)s->data[p->loss]
                                                              : *(const float *)s->data[p->loss];
            if (!isfinite(loss)) {
                return report_nonfinite(s, loss, e);
            }
        }
    }
    for (int i = 0; i < s->nupdated; i++) {
        int t = s->updated[i], to = p->tensors[t].alias;
        memcpy(s->data[to], s->data[t], (size_t)tensor_bytes(&s->shapes, t));
    }
    tables_end(s);
    return true;
}
