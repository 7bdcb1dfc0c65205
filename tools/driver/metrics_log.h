/* metrics.jsonl, the log of a run: a line per step, {"step":..,"epoch":..,"loss":..,"lr":..}, and a line per
 * evaluation,
 * {"epoch":..,"step":..,"split":..,"METRIC":value,..}. */
#ifndef HEDDLE_METRICS_LOG_H
#define HEDDLE_METRICS_LOG_H

#include "driver.h"

/* Cuts the log behind the last line of the step, or before that step's evaluation where it is still due. */
bool metrics_cut(const char *path, int64_t step, bool due, Error *e);
/* The best value of a metric over all evaluations, and the epoch of the first that has it. False, without an error:
 * there is none. */
bool metrics_best(const char *path, const char *metric, double *value, int64_t *epoch, Error *e);

#endif
