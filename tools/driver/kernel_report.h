/* heddle explain --kernels: where the time of a step went, kernel by kernel, beside what the machine could do. */
#ifndef HEDDLE_KERNEL_REPORT_H
#define HEDDLE_KERNEL_REPORT_H

#include "driver.h"
#include "kernels.h"

/* What the machine can do, measured on all threads of the run. */
typedef struct {
    double gflops;       /* multiply-adds, two operations each */
    double bf16;         /* those of bf16 products; 0 where none are wanted */
    double memory, near; /* bytes per ns, read from memory and from the core's own caches */
    int threads;
} Machine;

typedef struct {
    int64_t steps;  /* that the session's profile covers */
    double seconds; /* of one of them, all told */
    const char *spec;
    Machine machine;
} KernelRun;

/* The rows of the profile are the kernels' times; what is left of the step's is the line `other`. Slowest first. */
void kernel_report(const Kernels *k, const Session *s, const KernelRun *run, bool json, Text *out);

#endif
