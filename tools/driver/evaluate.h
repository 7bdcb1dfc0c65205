/* Metrics of a rank section over a part of the data. */
#ifndef HEDDLE_EVALUATE_H
#define HEDDLE_EVALUATE_H

#include "stream.h"

/* One figure, "hr@10" and its value. */
typedef struct {
    char name[32];
    double value;
} Figure;
enum { MAX_FIGURES = 32 };

/* How a part is gone through, `batch` examples at a time. With states by key each key's earlier examples are replayed
 * first, in time order from the initial state; or, `stored` (weights or a checkpoint), the states are read from there
 * and the training part is passed over. */
typedef struct Exam Exam;
Exam *exam_open(const Project *p, const Program *rank, DataPart part, int64_t batch, const char *stored, Error *e);
void exam_close(Exam *x);

/* Runs the compiled rank section (the session's plan); returns how many figures there are, -1 after an error. */
int exam_run(Exam *x, Session *s, Figure *figures, Error *e);

#endif
