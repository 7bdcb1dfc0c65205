/* What a recipe makes of a data set: how many targets each part has, from when to when, and what training sees of the
 * time in which it is evaluated. */
#ifndef HEDDLE_DATA_SPLIT_REPORT_H
#define HEDDLE_DATA_SPLIT_REPORT_H

#include "loader.h"

#include <stdio.h>

typedef struct {
    int64_t targets, users;  /* users: -1 where targets have none */
    int64_t first, last;     /* time of the targets, if has_time */
    int64_t before_training; /* VALID, TEST: targets earlier than the last training target of anybody */
} PartReport;

typedef struct {
    bool has_time;
    PartReport parts[3]; /* by DataPart */
    int64_t leaks;       /* training targets later than an evaluated one of the same user */
} SplitReport;

/* The recipe's leak=allow is taken as given: leaks are counted, not refused. */
bool split_report(const DataSet *ds, const DataRecipe *r, SplitReport *report, Error *e);
void split_report_print(const SplitReport *report, FILE *f);
char *split_report_json(const SplitReport *report); /* one line; free() it */

#endif
