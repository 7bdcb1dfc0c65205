/* Schedule -> Plan. */
#ifndef HEDDLE_PLAN_BUILD_H
#define HEDDLE_PLAN_BUILD_H

#include "internal.h"

typedef struct {
    const Equation *e;
    KernelInfo info;
    bool zero; /* the first call that writes dst, and dst wants zeroing */
} Call;

typedef struct {
    const Schedule *schedule;
    const CodegenOptions *o;
    const Target *target;
    Arena *arena; /* of the plan */
    int ncalls;
    Call *calls; /* in order of the schedule; then the copies */
    int *step;   /* per call: its step in the plan */
    int *tensor; /* plan tensor of a graph tensor, or -1 */
    int *alias;  /* graph tensor whose storage a graph tensor shares, or -1 */
    Plan *plan;
} Build;

/* Describes every equation as a kernel call. */
bool build_calls(Build *b, Text *why);
/* Axes, offsets, tensors and steps. fn: code of each call. */
bool build_plan(Build *b, void **fn, Text *why);
/* The params that are updated by rows (PlanTable), once the steps are there. */
void build_tables(Build *b);

#endif
