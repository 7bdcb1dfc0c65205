/* Random programs: graphs of one example, before pass_batch, valid by construction. Every program has inputs, params,
 * a handful of equations and a loss over the batch; what it contains is counted, so that a run can show that no kind
 * of equation goes untested. */
#ifndef HEDDLE_GENERATE_H
#define HEDDLE_GENERATE_H

#include "ir.h"
#include "runtime.h"

/* Bound of axis T, size of the vocabulary: programs and their batches agree on them. */
enum { BOUND = 6, VOCAB = 7, LONG_BOUND = 72, LONG_ROW = 8 };

typedef enum {
    SEEN_SUM,
    SEEN_MAX,
    SEEN_MIN,
    SEEN_ARGMAX,
    SEEN_ANY,
    SEEN_MAP,
    SEEN_CAUSAL,
    SEEN_WINDOW,
    SEEN_SHIFT,
    SEEN_DATA_COND,
    SEEN_PART_COND,
    SEEN_NO_COND,
    SEEN_GATHER_PARAM,
    SEEN_GATHER_VALUE,
    SEEN_KEYED,
    SEEN_RECURRENCE,
    SEEN_BACKWARD_RECURRENCE,
    SEEN_SUM_AXIS,
    SEEN_CASES,
    SEEN_RAND,
    SEEN_STEP,
    SEEN_PRODUCT,
    SEEN_NESTED,
    SEEN_BATCH_REDUCTION,
    SEEN_ATTENTION,
    SEEN_BUCKET,
    SEEN_TWINS,
    SEEN_OR,
    SEEN_MEMBER,
    SEEN_ZERO_CHOICE,
    SEEN_LOCAL,
    SEEN_POINT,
    SEEN_DOUBLE_PRODUCT,
    SEEN_SHARED,
    SEEN_POWERS,
    SEEN_ROW_PICKED,
    SEEN_ROW_SUMMED,
    SEEN_TIMES,
    SEEN_LENGTH_0,
    SEEN_LENGTH_1,
    SEEN_LENGTH_MAX,
    SEEN_LARGE_BATCH,
    SEEN_COUNT
} Seen;
extern const char *const seen_name[SEEN_COUNT];

Graph *generate_graph(Arena *arena, Diag *diag, uint64_t seed, int64_t *seen);
/* A batch for it: arrays live in the arena. Some rows have length 0, 1 and the bound. */
Batch generate_batch(Arena *arena, const Graph *g, uint64_t seed, int64_t *seen);

#endif
