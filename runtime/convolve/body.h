/* Convolve and correlate for REAL in vectors of VECTOR_BYTES; included once an element type.
 *
 * Columns are lanes, and two vectors of them are the real and the imaginary part of one signal: weights are real, so
 * their spectrum multiplies both at once. In the sums of correlate the real part alone is free of products of one
 * with the other. */
#define Vec   NAME(Vec)
#define Loose NAME(Loose)
#define Lanes NAME(Lanes)
#define Pair  NAME(Pair)
#define Point NAME(Point)
#define Sums  NAME(Sums)

typedef REAL Vec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL Loose __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER Lanes __attribute__((vector_size(VECTOR_BYTES)));
typedef struct {
    Vec re, im;
} Point;

#include "columns.h"

#include "transform.h"

#include "weights.h"

#include "products.h"

#include "correlate.h"

#undef Vec
#undef Loose
#undef Lanes
#undef Pair
#undef Point
#undef Sums
