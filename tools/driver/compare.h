/* Several models, or variants of one, trained on the same data: same batches, same negatives, equal initial values of
 * params of the same path (they depend on the seed, the step, the row and the name alone). One directory per run:
 *
 *   OUT/NAME/seed-K/   a run as train makes it, settings.txt (what decides its bits), result.json once it is finished
 *   OUT/table.txt, table.csv, table.json     rewritten after every run
 *
 * A run that has a result is not repeated, one that has a checkpoint goes on from it. */
#ifndef HEDDLE_COMPARE_H
#define HEDDLE_COMPARE_H

#include "train.h"

typedef struct {
    const char *name; /* of its row and its directory: hstu, hstu.large */
    const char *spec, *variant;
} Entrant;

typedef struct {
    int n;
    const Entrant *entrants;
    Project *(*open)(void *ctx, const Entrant *who, int *code); /* NULL: reported, the exit code in *code */
    void *ctx;
    const char *out;
    int64_t seeds;        /* o.seed, o.seed + 1, ... */
    TrainOptions train;   /* data, epochs, batch and the like, the same for all */
    const char *settings; /* further text that decides bits: the options of the project */
} CompareOptions;

/* Runs what is missing; each run is a process of its own, so that its peak memory is its own. Returns the exit code: 0,
 * that of the first run that failed, EXIT_NONFINITE if only losses were not finite. *table has what table.txt has,
 * or table.json if o->train.json. */
int compare(const CompareOptions *o, Text *table, Error *e);

/* ---- compare_table.c
 * --------------------------------------------------------------------------------------------------- */

/* One finished run. */
typedef struct {
    bool done, failed; /* failed: a loss was not finite */
    TrainResult result;
    double peak_bytes;
} Outcome;

typedef struct {
    int n; /* rows */
    const Entrant *entrants;
    int64_t seeds, first_seed;
    const Outcome *outcomes; /* row after row, seeds of a row side by side */
} Table;

/* Mean of n values and half the width of its 95 % interval by Student's t (NaN for n < 2). */
void mean_interval(int64_t n, const double *v, double *mean, double *half);

void table_text(const Table *t, Text *out);
void table_csv(const Table *t, Text *out);
void table_json(const Table *t, Text *out);

#endif
