/* The user's library of the tests: each function once for float and once for double. */
#define REAL    float
#define NAME(f) f
#include "smooth.h"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(f) f##_f64
#include "smooth.h"
