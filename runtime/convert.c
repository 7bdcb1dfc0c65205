/* Conversion of elements. Same types are copied; everything else goes element by element through double or int64,
 * both of which hold the values that are accepted exactly. */
#include "convert.h"
#include <math.h>
#include <string.h>

const char *const dtype_name[] = {
    [DT_BOOL] = "bool", [DT_I32] = "i32", [DT_I64] = "i64", [DT_F32] = "f32", [DT_F64] = "f64"};

double element_real(const void *data, DType type, int64_t i)
{
    switch (type) {
    case DT_BOOL:
        return ((const uint8_t *)data)[i];
    case DT_I32:
        return ((const int32_t *)data)[i];
    case DT_I64:
        return (double)((const int64_t *)data)[i];
    case DT_F32:
        return ((const float *)data)[i];
    case DT_F64:
        return ((const double *)data)[i];
    }
    return 0;
}

static ConvertStatus to_int(const void *data, DType type, int64_t i, int64_t *out)
{
    if (type == DT_I64) {
        *out = ((const int64_t *)data)[i];
        return CONVERT_OK;
    }
    double v = element_real(data, type, i);
    if (isnan(v)) {
        return CONVERT_NAN;
    }
    if (!(v >= -0x1p63 && v < 0x1p63)) {
        return CONVERT_RANGE;
    }
    *out = (int64_t)v;
    return (double)*out == v ? CONVERT_OK : CONVERT_FRACTION;
}

static ConvertStatus one(void *to, DType to_type, int64_t at, const void *from, DType from_type, int64_t i)
{
    if (to_type == DT_F32 || to_type == DT_F64) {
        double v = element_real(from, from_type, i);
        if (isnan(v)) {
            return CONVERT_NAN;
        }
        if (to_type == DT_F64) {
            ((double *)to)[at] = v;
        } else {
            ((float *)to)[at] = (float)v;
        }
        return CONVERT_OK;
    }
    int64_t v = 0;
    ConvertStatus status = to_int(from, from_type, i, &v);
    if (status != CONVERT_OK) {
        return status;
    }
    if (to_type == DT_I64) {
        ((int64_t *)to)[at] = v;
    } else if (to_type == DT_I32) {
        if (v < INT32_MIN || v > INT32_MAX) {
            return CONVERT_RANGE;
        }
        ((int32_t *)to)[at] = (int32_t)v;
    } else {
        if (v != 0 && v != 1) {
            return CONVERT_BOOL;
        }
        ((uint8_t *)to)[at] = (uint8_t)v;
    }
    return CONVERT_OK;
}

ConvertStatus convert(void *to, DType to_type, int64_t to_stride, const void *from, DType from_type,
                      int64_t from_stride, int64_t count, int64_t *bad)
{
    if (count <= 0) {
        return CONVERT_OK;
    }
    if ((to_type == DT_I32 || to_type == DT_I64) && to_type == from_type && to_stride == 1 && from_stride == 1) {
        memcpy(to, from, (size_t)count * dtype_size[to_type]);
        return CONVERT_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        ConvertStatus status = one(to, to_type, i * to_stride, from, from_type, i * from_stride);
        if (status != CONVERT_OK) {
            *bad = i;
            return status;
        }
    }
    return CONVERT_OK;
}

const char *convert_text(ConvertStatus s)
{
    switch (s) {
    case CONVERT_FRACTION:
        return "is not a whole number";
    case CONVERT_RANGE:
        return "is out of the range of its type";
    case CONVERT_NAN:
        return "is not a number";
    case CONVERT_BOOL:
        return "is neither 0 nor 1";
    default:
        return "is in order";
    }
}
