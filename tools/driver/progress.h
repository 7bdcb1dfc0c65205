/* Progress on a terminal: one line that is rewritten; plain lines otherwise. */
#ifndef HEDDLE_PROGRESS_H
#define HEDDLE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool terminal;
    double start, last;
    int64_t done0; /* steps that were done before this process */
} Progress;

void progress_start(Progress *p, bool terminal, int64_t done);
/* Shows `what`, the loss, the throughput and the time that remains; at most a few times a second, and on a plain
 * stream only when `force` is set. */
void progress_step(Progress *p, int64_t done, int64_t total, double examples_per_s, double loss, int64_t epoch,
                   bool force);
void progress_clear(Progress *p);

#endif
