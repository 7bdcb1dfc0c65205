/* Metrics, added up value by value. A metric's name is what a spec's `metrics` says:
 *
 *   from ranks    HR@K   share of ranks <= K              NDCG@K   mean of [rank <= K] / log2(rank + 1)
 *                 MRR    mean of 1 / rank                 MRR@K    the same, 0 beyond K
 *   from logits   AUC    area under the ROC curve, ties count one half
 *                 gAUC   AUC per group, weighted by the group's size; groups of one class are left out
 *                 logloss      mean binary cross-entropy, natural logarithm
 *                 calibration  mean predicted probability / share of positives
 *                 mse          mean squared difference of two numbers
 *
 * A rank is 1 + (scored above) + (tied) / 2 and may be fractional. */
#ifndef HEDDLE_METRICS_H
#define HEDDLE_METRICS_H

#include "runtime.h"

typedef struct Metric Metric;

Metric *metric_new(const char *name, Error *e);
void metric_free(Metric *m);
const char *metric_name(const Metric *m); /* canonical spelling */
bool metric_takes_ranks(const Metric *m); /* else logits with labels */
bool metric_add_rank(Metric *m, double rank, Error *e);
/* value: the label, 1 or 0 (mse: what the logit is compared with). */
bool metric_add_logit(Metric *m, double logit, double value, int64_t group, Error *e);
bool metric_result(const Metric *m, double *out, Error *e);
/* What of two values of the metric of that name is the better one has the larger merit. */
double metric_merit(const char *name, double value);
int64_t metric_count(const Metric *m);
void metric_reset(Metric *m);

#endif
