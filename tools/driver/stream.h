/* Streams: examples key by key, each key's in time order, several keys side by side (`stream by user chunk 16`). And
 * the states by key that go with them.
 *
 *     Stream *t = stream_open(feed, "user", 16, 512, PART_TRAIN, PART_ALL, e);     States *s = states_open(plan, e);
 *     steps = stream_begin(t, true, seed, epoch)
 *     x = stream_step(t, k);  feed_examples(feed, x->n, x->examples, &data, e);
 *     states_give(s, x, &data, &batch, e);  session_run(...);  states_take(s, x, session, e);
 *
 * A step holds whole pieces: up to `chunk` examples of a key, that follow the key's last piece; at most one of a key.
 */
#ifndef HEDDLE_STREAM_H
#define HEDDLE_STREAM_H

#include "feed.h"
#include "keystate.h"

typedef struct Stream Stream;

/* The examples of one step, level by level (passes.h): level k holds the k-th example of every piece that has one. */
typedef struct {
    int64_t n;
    const int64_t *examples, *keys; /* as the feed numbers them; of each */
    const bool *first, *last;       /* of its key in this epoch; of its key in this step */
    int64_t nlevels;
    const int64_t *levels; /* where each begins, nlevels + 1 entries */
} StreamStep;

/* from: the first part whose examples are taken. until: keys without an example of that part are left out, and of the
 * others the examples behind the last of that part; PART_ALL: nothing is. */
Stream *stream_open(Feed *f, const char *key, int64_t chunk, int64_t batch, DataPart from, DataPart until, Error *e);
void stream_close(Stream *t);
/* Lays out an epoch: the order of keys from (seed, epoch), or as in the data. Returns the number of steps, -1 after an
 * error. */
int64_t stream_begin(Stream *t, bool shuffle, uint64_t seed, int64_t epoch, Error *e);
const StreamStep *stream_step(Stream *t, int64_t step); /* valid until the next call */

/* ---- states by key (states.c) ------------------------------------------------------------------------------- */

typedef struct States States;

States *states_open(const Plan *plan, Error *e); /* none: still a States, with no tables */
void states_close(States *s);
int states_tables(const States *s, KeyState *const **tables);
void states_clear(States *s);
/* The data's batch with the states of its keys and the levels. A key's first example begins anew, unless `resume`. */
bool states_give(States *s, const StreamStep *x, bool resume, const Batch *data, Batch *out, Error *e);
/* After the run: the next value of each key's last example is its state from now on. */
bool states_take(States *s, const StreamStep *x, Session *session, Error *e);

#endif
