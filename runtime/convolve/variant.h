/* Both element types for one size of vectors: VECTOR_BYTES and VARIANT(name, type) come from the includer. */
#include "../convolve.h"
#include <stdbool.h>
#include <string.h>
#if VECTOR_BYTES == 64
#include <immintrin.h>
#endif

#ifndef __clang__
/* It would keep weights in registers as scalars, and broadcast them again for each term. */
#pragma GCC optimize("no-predictive-commoning")
#endif

#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 32, POINTS = 64, GROUP = 8 }; /* GROUP rows of a block are summed at once */
#define LANES       (VECTOR_BYTES / (int)sizeof(REAL))
#define SPECTRA_PAD (64 / (int)sizeof(REAL))

/* Blocks of a frequency that are, four registers each: of 32, or of 16. */
#define ROWS (VECTOR_BYTES == 64 ? 4 : 2)

#if VECTOR_BYTES == 64
#define STORE_SOME_f32(to, count, v) _mm512_mask_storeu_ps(to, (__mmask16)((1U << (count)) - 1), (__m512)(v))
#define STORE_SOME_f64(to, count, v) _mm512_mask_storeu_pd(to, (__mmask8)((1U << (count)) - 1), (__m512d)(v))
#endif

/* 0, 1, 2 .. in the lanes */
#if VECTOR_BYTES == 64
#define IOTA_f64 0, 1, 2, 3, 4, 5, 6, 7
#define IOTA_f32 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif VECTOR_BYTES == 32
#define IOTA_f64 0, 1, 2, 3
#define IOTA_f32 0, 1, 2, 3, 4, 5, 6, 7
#else
#define IOTA_f64 0, 1
#define IOTA_f32 0, 1, 2, 3
#endif

#define REAL       float
#define INTEGER    int32_t
#define IOTA       IOTA_f32
#define NAME(f)    VARIANT(f, f32)
#define STORE_SOME STORE_SOME_f32
#include "body.h"
#undef REAL
#undef INTEGER
#undef IOTA
#undef STORE_SOME
#undef NAME

#define REAL       double
#define INTEGER    int64_t
#define IOTA       IOTA_f64
#define NAME(f)    VARIANT(f, f64)
#define STORE_SOME STORE_SOME_f64
#include "body.h"
