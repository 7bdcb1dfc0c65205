/* Runs the steps of a plan on a bound batch. How a call is cut into tasks follows from the plan and the batch alone;
 * threads only decide when a task runs:
 *
 *   BATCH, ROWS, FIXED   tasks of `grain` items write disjoint cells
 *   REDUCE               chunk k adds into its own zeroed copy; the copies are added to the result in the order of k,
 *                        in parallel over its elements. Copies are made a wave at a time, which changes no sum
 *   scan                 a task is a few examples with all their positions, so positions need no barrier */
#include "../ir/fault.h"
#include "../ir/random.h"
#include "session_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ZERO_BLOCK = 1 << 18, FOLD_BLOCK = 1 << 12, WAVE_BYTES = 1 << 26, MAX_WAVE = 256 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
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

static void zero_tensor(Session *s, int tensor)
{
    Zero z = {.data = s->data[tensor], .bytes = tensor_bytes(&s->shapes, tensor)};
    if (z.bytes > 0) {
        pool_run(s->pool, (z.bytes + ZERO_BLOCK - 1) / ZERO_BLOCK, zero_block, &z);
    }
}

/* ---- one call --------------------------------------------------------------------------------------------- */

static int64_t call_items(const Session *s, const PlanCall *c)
{
    switch (c->split) {
    case SPLIT_NONE:
        return 1;
    case SPLIT_FIXED:
        return c->nitems;
    case SPLIT_BATCH:
        return s->shapes.batch;
    default:
        return c->rows_of >= 0 ? s->shapes.offsets[c->rows_of][s->shapes.batch] : s->shapes.batch;
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

typedef struct {
    const PlanCall *call;
    KernelArgs args;
    int64_t items, grain;
} Job;

static void run_task(void *ctx, int64_t task)
{
    const Job *j = ctx;
    KernelArgs a = j->args;
    a.lo = task * j->grain;
    a.hi = a.lo + j->grain < j->items ? a.lo + j->grain : j->items;
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
    a.lo = chunk * r->job.grain;
    a.hi = a.lo + r->job.grain < r->job.items ? a.lo + r->job.grain : r->job.items;
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
        TYPE *restrict out = (TYPE *)r->out + at;                                                                      \
        const TYPE *restrict in = (const TYPE *)(r->copies + k * r->copy_bytes) + at;                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            out[i] = (TYPE)(out[i] OP in[i]);                                                                          \
        }                                                                                                              \
    } while (0)

static void fold_block(void *ctx, int64_t block)
{
    const Reduction *r = ctx;
    int64_t at = block * FOLD_BLOCK, n = r->count - at < FOLD_BLOCK ? r->count - at : FOLD_BLOCK;
    for (int64_t k = 0; k < r->ncopies; k++) {
        if (r->first + k == 0 && r->in_place && !FAULT(33)) {
            continue;
        }
        switch (r->type) {
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
    r.copy_bytes = (r.bytes + TENSOR_SLACK + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    int64_t wave = WAVE_BYTES / r.copy_bytes, least = 2 * pool_threads(s->pool);
    wave = wave < least ? least : wave > MAX_WAVE ? MAX_WAVE : wave;
    wave = wave > chunks ? chunks : wave;
    if (chunks > (is_zero ? 1 : 0)) {
        int64_t bytes;
        if (!size_mul(wave, r.copy_bytes, &bytes) || !memory_scratch(s, bytes, wave * c->ntensors, e)) {
            return error_set(e, EXIT_RESOURCES, "no memory for private sums of '%s' (%lld copies of %.1f MiB)",
                             s->plan->tensors[out].name, (long long)wave, (double)r.bytes / 1048576);
        }
    }
    r.copies = s->scratch;
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
    Job job = {.call = c, .args = call_args(s, a), .items = call_items(s, c)};
    job.grain = call_grain(c, job.items);
    job.args.t = t;
    job.args.last = last;
    if (c->zero && is_first) {
        zero_tensor(s, c->tensors[0]);
    }
    if (c->split == SPLIT_REDUCE) {
        return run_reduction(s, job, c->zero && is_first, e);
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
    int64_t level; /* scans over the batch */
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
    int64_t lo = task * n->grain, hi = lo + n->grain < shapes->batch ? lo + n->grain : shapes->batch;
    int64_t longest = 0;
    for (int64_t b = lo; b < hi; b++) {
        int64_t size = shapes_axis_size(shapes, n->step->scan_axis, b);
        longest = size > longest ? size : longest;
    }
    for (int64_t k = 0; k < longest - FAULT(34); k++) {
        run_positions(n, lo, hi, n->step->backwards ? longest - 1 - k : k);
    }
}

/* Examples of one level do not depend on each other. */
static void level_task(void *ctx, int64_t b)
{
    const Scan *n = ctx;
    if (n->s->levels[b] == n->level) {
        run_positions(n, b, b + 1, n->level);
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
        n.grain = step->calls[i].grain > n.grain ? step->calls[i].grain : n.grain;
    }
    if (s->plan->axes[step->scan_axis].kind == PAX_BATCH) {
        for (int64_t b = 0; b < s->shapes.batch; b++) {
            n.longest = s->levels[b] + 1 > n.longest || b == 0 ? s->levels[b] + 1 : n.longest;
        }
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
        if (step->calls[i].zero) {
            zero_tensor(s, step->calls[i].tensors[0]);
        }
    }
    if (s->plan->axes[step->scan_axis].kind == PAX_BATCH) {
        for (int64_t k = 0; k < n.longest; k++) {
            n.level = step->backwards ? n.longest - 1 - k : k;
            pool_run(s->pool, s->shapes.batch, level_task, &n);
        }
        return true;
    }
    if (n.grain <= 0) {
        n.grain = (s->shapes.batch + 31) / 32;
    }
    pool_run(s->pool, tasks(s->shapes.batch, n.grain), scan_task, &n);
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
        double times = step->kind == STEP_SCAN ? (double)s->shapes.longest[step->scan_axis] : 1;
        flop += calls[i].flop_per_item * (double)call_items(s, &calls[i]) * times;
    }
    return flop;
}

static bool run_step(Session *s, int k, Error *e)
{
    const PlanStep *step = &s->plan->steps[k];
    const CallArgs *args = &s->calls[s->call_of[k]];
    bool good = true;
    if (step->kind == STEP_CALL) {
        good = run_call(s, &step->call, args, 0, 0, true, e);
    } else if (step->kind == STEP_SCAN) {
        good = run_scan(s, step, args, e);
    } else {
        extern_run(&s->externs[k], s);
    }
    for (int i = 0; good && i < s->ngiven; i++) {
        if (s->writer[s->given[i]] == k) {
            good = bind_draw(s, s->given[i], e);
        }
    }
    return good;
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

/* The loss is not a number: the steps run once more, looking at each result, to name the equation where it began. */
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
    for (int k = 0; k <= end; k++) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        if (!run_step(s, k, e)) {
            return false;
        }
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
    prepare_calls(s);
    for (int t = 0; t < p->ntensors; t++) {
        if (p->tensors[t].role == PT_OUTPUT && s->writer[t] < 0 && s->root[t] == t && s->data[t]) {
            zero_tensor(s, t);
        }
    }
    double start = seconds_now();
    for (int k = 0; k < p->nsteps; k++) {
        if (!run_step(s, k, e)) {
            return false;
        }
        double end = seconds_now();
        StepProfile *row = &s->profile[k];
        row->least = row->runs == 0 || end - start < row->least ? end - start : row->least;
        row->runs++;
        row->seconds += end - start;
        row->flop += step_flop(s, &p->steps[k]);
        start = end;
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
    return true;
}
