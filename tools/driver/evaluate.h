/* Metrics of a rank section over a feed. */
#ifndef HEDDLE_EVALUATE_H
#define HEDDLE_EVALUATE_H

#include "feed.h"

/* One figure, "hr@10" and its value. */
typedef struct {
    char name[32];
    double value;
} Figure;
enum { MAX_FIGURES = 32 };

/* Runs the compiled rank section (the session's plan) over all rows of a feed, `batch` at a time; returns how many
 * figures there are, -1 after an error. */
int evaluate(const Project *p, Session *s, Feed *feed, int64_t batch, Figure *figures, Error *e);

#endif
