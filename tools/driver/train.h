/* Training and evaluation: the loops around a session. */
#ifndef HEDDLE_TRAIN_H
#define HEDDLE_TRAIN_H

#include "driver.h"
#include "evaluate.h"

typedef struct {
    const char *data, *out, *record, *recipe;
    int nmaps;
    const char *const *maps;
    int64_t steps, epochs, batch; /* -1: what the spec says */
    int64_t checkpoint_steps, eval_every, record_steps;
    bool resume, validate, terminal;
    bool whole_updates; /* for comparison: session_update_whole */
    bool json;          /* figures on standard output as one object per evaluation */
    uint64_t seed;
    int threads;
    int argc;
    char **argv; /* for the manifest */
} TrainOptions;

/* Examples per step and epochs of a run: what the options say, else the spec (s may be NULL), else 128 and 1. */
int64_t train_batch(const TrainOptions *o, const TrainSettings *s);
int64_t train_epochs(const TrainOptions *o, const TrainSettings *s);

/* What a finished run comes to. Figures are those of the last step, then, where the run was evaluated on its way, the
 * best value of the first of them ("best hr@10") and its epoch ("best epoch"); rates are of this process. */
typedef struct {
    int64_t steps, params;
    double flop;           /* operations of the training equations as written, a training example on average */
    double examples_per_s; /* of the steps alone; NaN if there was none */
    int nfigures;          /* 0: the spec has no metrics */
    Figure figures[MAX_FIGURES];
} TrainResult;

/* Trains; writes RUN/weights.safetensors, checkpoint.safetensors, metrics.jsonl, manifest.json. False after an error:
 * in *report (diagnostics of the spec) or *e. result may be NULL. */
bool train(Project *p, const TrainOptions *o, TrainResult *result, Text *report, Error *e);

#endif
