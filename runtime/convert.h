/* Elements of one type into another, as a batch or a file gives them. */
#ifndef HEDDLE_CONVERT_H
#define HEDDLE_CONVERT_H

#include "runtime.h"

typedef enum { CONVERT_OK, CONVERT_FRACTION, CONVERT_RANGE, CONVERT_NAN, CONVERT_BOOL } ConvertStatus;

/* Element i of an array as double or as int64. */
double element_real(const void *data, DType type, int64_t i);

/* Converts `count` elements, writing every `stride`-th one. Integers are never rounded and never wrap; a bool takes 0
 * and 1. On failure *bad is the number of the element that does not fit. */
ConvertStatus convert(void *to, DType to_type, int64_t to_stride, const void *from, DType from_type,
                      int64_t from_stride, int64_t count, int64_t *bad);
const char *convert_text(ConvertStatus s); /* "is not a number" ... */
extern const char *const dtype_name[];

#endif
