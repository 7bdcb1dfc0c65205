#define VECTOR_BYTES     16
#define VARIANT(f, type) f##_##type##_v1
#include "variant.h"
