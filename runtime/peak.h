/* The machine's multiply-add peak, measured: what a benchmark's figure is set beside. */
#ifndef HEDDLE_PEAK_H
#define HEDDLE_PEAK_H

#include "runtime.h"

/* Floating-point operations per second (two per multiply-add) / 1e9 that all threads of the pool reach together, with
 * operands in registers and the widest vectors the CPU has. Takes about `seconds`. */
double peak_gflops(Pool *pool, DType real, double seconds);
/* The same of bf16 products with f32 sums, on tile registers that are loaded already. 0: there is no AMX. */
double peak_bf16_gflops(Pool *pool, double seconds);
/* The clock in GHz at which the threads of the pool, working together, run vector code: the fastest one's. */
double peak_clock_ghz(Pool *pool, double seconds);
/* Bytes per ns that the threads, each at its best, read together from an array of `bytes` each: from memory if it is
 * large, from the caches of their cores if it is small. 0: no memory for it. */
double peak_read_gbs(Pool *pool, int64_t bytes, double seconds);
const char *peak_instructions(void); /* "avx512", "avx2", "sse2" or "generic" */

#endif
