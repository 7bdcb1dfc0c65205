/* Generated data with known structure, so that a first run needs no download and its best possible metric is known.
 *
 *   sequence  items form a Markov chain whose transitions depend on the time since the last event, periodically: six
 *             hours later another cluster follows, a day later the same one as at once
 *   xor       a conversion label that is the exclusive-or of an attribute of one event of the history and one
 *             feature of the request, with noise
 *
 * What the best ranker reaches on the test targets is written into schema.json as "best", and the mean over fresh
 * targets as "best.expected". Everything depends on the seed alone. */
#ifndef HEDDLE_DATA_SYNTH_H
#define HEDDLE_DATA_SYNTH_H

#include "../runtime.h"

typedef struct {
    int64_t users, items, mean_length, clusters; /* 0: 2000, 500, 40, 10 (xor: topics, 1) */
    double noise; /* share of random steps (at least 0.001) or flipped labels; < 0: 0.1 */
    uint64_t seed;
    bool replace;
} SynthOptions;

typedef struct {
    int nbest;
    struct {
        const char *name;
        double value, expected;
    } best[4];
    int64_t users, items, events;
} SynthReport;

bool data_synth(const char *kind, const char *out, const SynthOptions *o, SynthReport *report, Error *e);

/* ---- the generator of `sequence`, for tests and analysis ---------------------------------------------------- */

typedef struct {
    int64_t items, clusters;
    double noise;
    uint64_t seed;
} Chain;

/* Phase of the day, 0 to 3, that lies `gap` seconds later. */
int chain_phase(int64_t gap);
/* Probabilities of all items after `item` and a gap, without regard to the history; they add up to 1. */
void chain_next(const Chain *c, int64_t item, int64_t gap, double *p);

typedef struct {
    double hr10, hr50, ndcg10, mrr;
} RankMetrics;
/* Metrics of a target at that rank (1 + above + ties / 2). */
RankMetrics rank_metrics(double rank);

#endif
