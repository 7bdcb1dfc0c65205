/* The inside of a session, shared by the files that make one up:
 *
 *   session.c   creation, params and states       memory.c  liveness and the arena
 *   bind.c      a batch's sizes, inputs, draws    exec.c    the steps          fetch.c   results
 *   bind_values.c  one array into its tensor      tiles.c   steps of tiles     extern.c  a user's C functions
 *   table.c     params updated by rows */
#ifndef HEDDLE_SESSION_IMPL_H
#define HEDDLE_SESSION_IMPL_H

#include "layout.h"

typedef struct {
    void **tensors;
    const int64_t **offsets;
    uint64_t *keys;
} CallArgs;

typedef struct {
    const PlanExtern *plan;
    void (*fn)(void);
    void *library; /* to be closed, or NULL */
    void *cif;     /* prepared call */
    void **types;
    int naxes; /* ragged axes whose sizes are passed, in order of first appearance */
    int axes[PLAN_DIMS * PLAN_PARTS];
} Extern;

typedef struct {
    int64_t at, size;
} Hole;

typedef struct Table Table;

struct Session {
    const Plan *plan;
    Pool *pool;
    uint64_t seed;
    Shapes shapes;
    Layout *layouts; /* per tensor */

    /* Storage. root[t]: the tensor whose storage t uses. kept[root]: storage that outlives a step (params, states,
     * scalar inputs). data[t]: where t lies in this run. */
    int *root;
    void **kept;
    int64_t *kept_bytes;
    void **data;
    bool *is_set; /* scalar inputs that have a value */
    int *given;   /* draws whose values this batch gives */
    int ngiven;
    int *updated; /* tensors that are copied into the param they alias at the end of a step */
    int nupdated;

    /* Liveness: a root in the arena lives from before step `first` to after step `last`. */
    int *first, *last;      /* first > last: never touched */
    bool *is_read;          /* inputs that a step reads: the others may be missing */
    int *writer;            /* last step that writes a tensor, or -1 */
    int *births, *birth_of; /* births[birth_of[k] .. birth_of[k + 1]): tensors born before step k */
    int *deaths, *death_of;
    int64_t *sizes, *places; /* per tensor: bytes with slack, offset in the arena */
    Hole *holes;
    char *arena;
    int64_t arena_bytes, kept_total, private_bytes, peak;
    char *scratch; /* private accumulators */
    void **scratch_tensors;
    int64_t scratch_ntensors;

    /* Per step: first of its calls in `calls`. */
    int *call_of;
    int ncalls;
    CallArgs *calls;
    Extern *externs;    /* per step; only those of STEP_EXTERN are used */
    int *row_of, nrows; /* of the profile: per step its first row; steps of tiles have one per call, others one */
    StepProfile *profile;
    bool is_profiled;
    int64_t *levels, nlevels; /* where the examples of each level begin, nlevels + 1 entries */
    int64_t from, to;         /* the examples that the steps now running work on */
    bool is_fresh;            /* they are the first to: results have not been zeroed yet */
    struct TileStep **tiles;  /* per step; only those of STEP_TILES and STEP_ROWS are set */
    int64_t tile_limit;       /* positions of a tile, or 0 */
    Table *tables;            /* params that are updated by rows */
    int ntables;
    const Batch *batch;
    uint64_t step;
    bool ran;
};

/* Arrays of calls of a step, uniform over its kinds. */
int step_calls(const PlanStep *step, const PlanCall **calls);

bool memory_init(Session *s, Error *e);    /* aliases and liveness; once */
bool memory_reserve(Session *s, Error *e); /* the arena for this batch */
void memory_free(Session *s);
bool outlives_step(const Plan *p, int t); /* it keeps its memory */
bool is_tiled(const PlanTensor *t);       /* only a tile of it exists at a time, in memory of the thread */
void *memory_new(int64_t bytes);          /* zeroed, aligned, with slack; NULL if there is no memory */
bool memory_scratch(Session *s, int64_t bytes, int64_t npointers, Error *e);

bool bind_sizes(Session *s, const Batch *b, Error *e);                /* offsets; which arrays there are */
bool bind_inputs(Session *s, const Batch *b, Error *e);               /* values, once there is memory for them */
bool bind_copy(Session *s, int tensor, const Array *given, Error *e); /* one array, converted and checked */
bool bind_draw(Session *s, int tensor, Error *e);                     /* puts the given values of a draw in place */

/* "[3, 4]" in `out`; elements of an array, or -1 if its shape is impossible. */
const char *shape_text(int ndim, const int64_t *dims, char *out, size_t size);
int64_t array_elements(const Array *a);

bool exec_steps(Session *s, Error *e);
void zero_tensor(Session *s, int tensor);
/* Results of examples lo .. hi - 1, for the task that is about to write them: then it has them in its cache, where
 * otherwise they come from memory twice. zeroes_examples: whether tasks do so for a tensor, in place of zero_tensor. */
bool zeroes_examples(const Session *s, int tensor);
void zero_examples(const Session *s, int tensor, int64_t lo, int64_t hi);
/* out[at .. at + n) += copy[at .. at + n), or |= of booleans. */
void fold_copy(DType type, void *out, const void *copy, int64_t at, int64_t n);

double profile_now(const Session *s); /* seconds */
void profile_add(StepProfile *row, double seconds, double flop);
bool tiles_init(Session *s, Error *e); /* once */
void tile_step_free(struct TileStep *t);
/* Step k of tiles, or of rows, on examples s->from .. s->to - 1; rows: of the profile, one per call. */
bool run_tiles(Session *s, int k, const CallArgs *args, StepProfile *rows, Error *e);

/* table.c. A step: begin; before each step of the plan, and in place of one where tables_update is true; end. */
bool tables_new(Session *s, Error *e); /* after aliases and storage are known */
void tables_free(Session *s);
bool tables_begin(Session *s, Error *e);
void tables_before(Session *s, int step);
bool tables_update(Session *s, int step);
void tables_end(Session *s);
void tables_settle(Session *s);                      /* before params or states are read or written from outside */
bool tables_keep_zero(const Session *s, int tensor); /* it is 0 at the beginning of a step already */

bool extern_open(Extern *x, const Session *s, const PlanExtern *plan, Error *e);
void extern_close(Extern *x);
/* For examples from .. to - 1; is_fresh: the results have not been zeroed yet. */
void extern_run(const Extern *x, Session *s, int64_t from, int64_t to, bool is_fresh);

#endif
