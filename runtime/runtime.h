/* The runtime: runs a Plan on batches. Knows nothing of the language, the IR or LLVM.
 *
 * Every fallible call returns false (or NULL) and leaves a sentence in the Error, with the remedy in it. */
#ifndef HEDDLE_RUNTIME_H
#define HEDDLE_RUNTIME_H

#include "plan.h"

typedef struct {
    int code; /* exit code it stands for: EXIT_DATA, EXIT_RESOURCES ... */
    char text[1024];
} Error;
enum {
    EXIT_FALSE = 1,
    EXIT_USAGE = 2,
    EXIT_SPEC = 3,
    EXIT_DATA = 4,
    EXIT_RESOURCES = 5,
    EXIT_NONFINITE = 6,
    EXIT_INTERRUPTED = 130
};
bool error_set(Error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4))); /* returns false */

/* ---- named arrays: what files, loaders and sessions exchange ---------------------------------------------- */

/* Row-major array. A ragged input T comes as "T.offsets" (int64, batch + 1) and its columns packed: dims[0] is the
 * number of packed rows. A list per event Y in S has "Y.offsets" with one entry per row of S, plus one. */
typedef struct {
    const char *name;
    DType dtype;
    int ndim;
    int64_t dims[PLAN_DIMS];
    void *data;
} Array;

typedef struct {
    int n;
    Array *arrays;
    int64_t batch; /* number of examples */
} Batch;
const Array *batch_find(const Batch *b, const char *name);

/* ---- threads (threads.c) ---------------------------------------------------------------------------------- */

typedef struct Pool Pool;
/* 0: as many as the process may run on. One region at a time: sessions that run at once need pools of their own. */
Pool *pool_new(int threads, Error *e);
void pool_free(Pool *p);
int pool_threads(const Pool *p);
int pool_worker(void); /* inside pool_run: number of the thread that runs the item, below pool_threads */
/* Runs fn(ctx, item) for 0 <= item < n, in any order, on all threads; returns when all are done. Flushes denormals
 * inside (MXCSR). */
void pool_run(Pool *p, int64_t n, void (*fn)(void *ctx, int64_t item), void *ctx);

/* ---- session (session.c): params, states and the memory of one step ---------------------------------------- */

typedef struct Session Session;
Session *session_new(const Plan *plan, Pool *pool, uint64_t seed, Error *e); /* params initialised from the seed */
void session_free(Session *s);

/* At most so many positions to a tile of a list; 0 (as at first): as many as keep a tile in the cache. No result
 * depends on it: tests make tiles small. */
void session_limit_tiles(Session *s, int64_t positions);

/* Storage of params and states, row-major in dims order, in the plan's real type. NULL: no such tensor. */
void *session_param(Session *s, const char *name, int64_t *count);

/* Runs all steps on one batch. `step` keys the random draws. Inputs are checked: a missing, extra or misshaped one,
 * an id outside its vocabulary, offsets that do not ascend or exceed the axis's bound are errors naming it.
 * A random draw may be given by its name. */
bool session_run(Session *s, const Batch *b, uint64_t step, Error *e);

/* After a run: value of any output tensor as a freshly allocated Array, packed rows first and then the axes as on
 * the left-hand side (free with free(a.data)). dtype as stored. */
bool session_fetch(Session *s, const char *name, Array *out, Error *e);
double session_scalar(Session *s, const char *name);             /* a tensor without dims, as double */
bool session_set_scalar(Session *s, const char *name, double v); /* an input without dims: lr, step count */

/* Updates all rows of all params in every step from now on, instead of those that the step names (which gives the same
 * bits): for comparison. */
void session_update_whole(Session *s);

int64_t session_peak_bytes(const Session *s);
const Plan *session_plan(const Session *s);
uint64_t session_seed(const Session *s);

/* Copies params and states that both sessions have (a training and a ranking plan of one spec). */
bool session_adopt(Session *s, Session *from, Error *e);

/* Where the time went: one row per step of the plan, per call in steps of tiles, added up over all runs since
 * session_profile_begin, before which nothing is timed: the clock is read for each tile and call of it. The rows of a
 * step of tiles share the step's time as the threads spent theirs. */
typedef struct {
    const char *label; /* the equation's name; a scan has that of its first call */
    int line;
    int step;     /* of the plan */
    int equation; /* PlanCall's, of a scan its first call's; -1: no call */
    int64_t runs;
    double seconds, least, flop; /* least: the fastest run, which other work on the machine disturbed least */
} StepProfile;
int session_profile(const Session *s, const StepProfile **rows);
void session_profile_begin(Session *s);

/* ---- safetensors (safetensors.c) --------------------------------------------------------------------------- */

typedef struct TensorFile TensorFile;
TensorFile *tensor_file_open(const char *path, Error *e); /* memory-mapped; header checked completely */
void tensor_file_close(TensorFile *f);
int tensor_file_count(const TensorFile *f);
/* Array i; BF16, F16 and the other types are converted to the nearest of DType on access (the file keeps the memory).
 */
const Array *tensor_file_array(TensorFile *f, int i);
const char *tensor_file_metadata(const TensorFile *f, const char *key);
/* Writes atomically: temporary name, fsync, rename. meta: NULL-terminated key, value pairs or NULL. */
bool tensor_file_write(const char *path, int n, const Array *arrays, const char *const *meta, Error *e);

#endif
