/* Times of convolve and correlate, one thread: microseconds, and GFLOP/s counted as the dense sum would be. */
#include "convolve_variants.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N = 1600, COLUMNS = 50 };
static double weight[N], x[N * COLUMNS + 8], y[N * COLUMNS + 8];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The least of several: what disturbs only adds. */
static double seconds(void (*run)(const ConvolveArgs *c), const ConvolveArgs *c)
{
    double least = 1;
    for (int round = 0; round < 20; round++) {
        int calls = (int)(4000000 / (c->n * c->n)) + 4;
        double start = now();
        for (int i = 0; i < calls; i++) {
            run(c);
        }
        double one = (now() - start) / calls;
        least = one < least ? one : least;
    }
    return least;
}

static void fill(double *p, int64_t count, bool wide)
{
    for (int64_t i = 0; i < count; i++) {
        double value = (double)rand() / RAND_MAX - 0.5;
        if (wide) {
            p[i] = value;
        } else {
            ((float *)p)[i] = (float)value;
        }
    }
}

int main(void)
{
    void *scratch = aligned_alloc(64, (size_t)(N * convolve_scratch_row(COLUMNS) + CONVOLVE_SCRATCH));
    for (int v = 0; scratch && v < VARIANTS; v++) {
        if (!runs_here(&variants[v])) {
            continue;
        }
        fill(weight, N, variants[v].wide);
        fill(x, N * COLUMNS, variants[v].wide);
        fill(y, N * COLUMNS, variants[v].wide);
        for (int64_t n = 100; n <= N; n *= 2) {
            ConvolveArgs c = {n, COLUMNS, 0, weight, 1, x, COLUMNS, y, COLUMNS, scratch};
            double flops = (double)(n * n * COLUMNS);
            double correlate = seconds(variants[v].correlate, &c), convolve = seconds(variants[v].convolve, &c);
            printf("%s n %4d  convolve %8.2f us %7.1f GFLOP/s  correlate %8.2f us %7.1f GFLOP/s\n", variants[v].name,
                   (int)n, convolve * 1e6, flops / convolve * 1e-9, correlate * 1e6, flops / correlate * 1e-9);
        }
    }
    free(scratch);
    return 0;
}
