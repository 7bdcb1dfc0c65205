#define VECTOR_BYTES     32
#define VARIANT(f, type) f##_##type##_v3
#include "variant.h"
