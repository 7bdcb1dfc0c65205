#define VECTOR_BYTES     64
#define VARIANT(f, type) f##_##type##_v4
#include "variant.h"
