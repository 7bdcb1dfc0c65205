/* Reading safetensors files:
 *
 *   u64 n │ n bytes of JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...} │ data
 *
 * The header is written by someone else, so it is checked completely before any of it is used: lengths against the
 * file, every tensor's bytes against its shape and type, and the tensors together against the data, which they must
 * cover without overlap or hole. Then nothing later can read outside the file. */
#include "safetensors.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_MAX = 100000000 };

typedef enum {
    ST_BOOL,
    ST_U8,
    ST_I8,
    ST_I16,
    ST_U16,
    ST_F16,
    ST_BF16,
    ST_I32,
    ST_U32,
    ST_F32,
    ST_I64,
    ST_U64,
    ST_F64,
    ST_COUNT
} FileType;

static const struct {
    const char *name;
    int size;
    DType as;    /* what it is read as */
    bool direct; /* the same bytes */
} types[ST_COUNT] = {
    [ST_BOOL] = {"BOOL", 1, DT_BOOL, true}, [ST_U8] = {"U8", 1, DT_I32, false},   [ST_I8] = {"I8", 1, DT_I32, false},
    [ST_I16] = {"I16", 2, DT_I32, false},   [ST_U16] = {"U16", 2, DT_I32, false}, [ST_F16] = {"F16", 2, DT_F32, false},
    [ST_BF16] = {"BF16", 2, DT_F32, false}, [ST_I32] = {"I32", 4, DT_I32, true},  [ST_U32] = {"U32", 4, DT_I64, false},
    [ST_F32] = {"F32", 4, DT_F32, true},    [ST_I64] = {"I64", 8, DT_I64, true},  [ST_U64] = {"U64", 8, DT_I64, false},
    [ST_F64] = {"F64", 8, DT_F64, true},
};

typedef struct {
    FileType type;
    int64_t begin, end, count;
    void *converted;
    Array array;
} Entry;

struct TensorFile {
    const unsigned char *bytes;
    size_t size;
    bool is_mapped;
    size_t data; /* offset of the data */
    cJSON *header;
    const cJSON *metadata;
    int n;
    Entry *entries;
};

/* ---- header ----------------------------------------------------------------------------------------------- */

static bool whole_number(const cJSON *v, int64_t *out)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= 0x1p53) ||
        floor(v->valuedouble) != v->valuedouble) {
        return false;
    }
    *out = (int64_t)v->valuedouble;
    return true;
}

static bool read_entry(const char *file, const cJSON *v, Entry *x, int64_t data_size, Error *e)
{
    const char *name = v->string;
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(v, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(v, "shape");
    const cJSON *range = cJSON_GetObjectItemCaseSensitive(v, "data_offsets");
    if (!cJSON_IsObject(v) || !cJSON_IsString(type) || !cJSON_IsArray(shape) || !cJSON_IsArray(range)) {
        return error_set(e, EXIT_DATA, "%s: tensor '%s' lacks dtype, shape or data_offsets: the header is damaged",
                         file, name);
    }
    x->type = ST_COUNT;
    for (int k = 0; k < ST_COUNT; k++) {
        x->type = strcmp(types[k].name, type->valuestring) == 0 ? (FileType)k : x->type;
    }
    if (x->type == ST_COUNT) {
        return error_set(e, EXIT_DATA,
                         "%s: tensor '%s' has type %.20s: write it as F32, F64, BF16, F16, BOOL or an integer type",
                         file, name, type->valuestring);
    }
    x->array = (Array){.name = name, .dtype = types[x->type].as};
    x->count = 1;
    const cJSON *dim;
    cJSON_ArrayForEach(dim, shape)
    {
        int64_t size;
        if (!whole_number(dim, &size)) {
            return error_set(e, EXIT_DATA, "%s: tensor '%s' has a size that is no whole number in its shape", file,
                             name);
        }
        if (x->array.ndim == PLAN_DIMS) {
            return error_set(e, EXIT_DATA, "%s: tensor '%s' has more than %d dims: reshape it", file, name, PLAN_DIMS);
        }
        x->array.dims[x->array.ndim++] = size;
        if (__builtin_mul_overflow(x->count, size, &x->count)) {
            return error_set(e, EXIT_DATA, "%s: tensor '%s' has a shape of more than 2^63 elements", file, name);
        }
    }
    int64_t bytes;
    if (cJSON_GetArraySize(range) != 2 || !whole_number(range->child, &x->begin) ||
        !whole_number(range->child->next, &x->end) || x->end < x->begin || x->end > data_size) {
        return error_set(
            e, EXIT_DATA,
            "%s: tensor '%s' has data_offsets outside the file's %lld data bytes: the file is truncated or "
            "damaged, fetch it again",
            file, name, (long long)data_size);
    }
    if (__builtin_mul_overflow(x->count, types[x->type].size, &bytes) || bytes != x->end - x->begin) {
        return error_set(e, EXIT_DATA, "%s: tensor '%s' has %lld bytes, its shape and type %s ask for %lld elements",
                         file, name, (long long)(x->end - x->begin), types[x->type].name, (long long)x->count);
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const Entry *const *)a)->array.name, (*(const Entry *const *)b)->array.name);
}

static int by_begin(const void *a, const void *b)
{
    const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->end > y->end) - (x->end < y->end);
}

/* Names differ, and the tensors cover the data exactly. */
static bool check_together(const char *file, const TensorFile *f, int64_t data_size, Error *e)
{
    const Entry **order = malloc(((size_t)f->n + 1) * sizeof *order);
    if (!order) {
        return error_set(e, EXIT_RESOURCES, "%s: no memory for its header", file);
    }
    for (int i = 0; i < f->n; i++) {
        order[i] = &f->entries[i];
    }
    bool good = true;
    qsort(order, (size_t)f->n, sizeof *order, by_name);
    for (int i = 1; good && i < f->n; i++) {
        if (strcmp(order[i - 1]->array.name, order[i]->array.name) == 0) {
            good = error_set(e, EXIT_DATA, "%s: tensor '%s' stands twice in the header", file, order[i]->array.name);
        }
    }
    qsort(order, (size_t)f->n, sizeof *order, by_begin);
    int64_t at = 0;
    for (int i = 0; good && i < f->n; i++) {
        if (order[i]->begin != at) {
            good = error_set(e, EXIT_DATA, "%s: tensor '%s' %s: the header is damaged", file, order[i]->array.name,
                             order[i]->begin < at ? "overlaps another one" : "leaves a hole before its data");
        }
        at = order[i]->end;
    }
    free(order);
    if (good && at != data_size) {
        good = error_set(e, EXIT_DATA, "%s: %lld bytes after the last tensor belong to none: the file is damaged", file,
                         (long long)(data_size - at));
    }
    return good;
}

static bool check_metadata(const char *file, const cJSON *m, Error *e)
{
    bool good = cJSON_IsObject(m);
    const cJSON *v;
    cJSON_ArrayForEach(v, m)
    {
        good = good && cJSON_IsString(v);
    }
    return good || error_set(e, EXIT_DATA, "%s: __metadata__ is not a table of strings", file);
}

static bool read_header(const char *file, TensorFile *f, Error *e)
{
    uint64_t length = 0;
    if (f->size < 8) {
        return error_set(e, EXIT_DATA, "%s: %zu bytes are too few for a safetensors file", file, f->size);
    }
    for (int i = 0; i < 8; i++) {
        length |= (uint64_t)f->bytes[i] << (8 * i);
    }
    if (length > f->size - 8 || length > HEADER_MAX) {
        return error_set(e, EXIT_DATA,
                         "%s: its header claims %llu bytes of a file of %zu: not a safetensors file, or truncated",
                         file, (unsigned long long)length, f->size);
    }
    const char *text = (const char *)f->bytes + 8, *end = NULL;
    if (length < 2 || text[0] != '{') {
        return error_set(e, EXIT_DATA, "%s: no header: not a safetensors file", file);
    }
    f->header = cJSON_ParseWithLengthOpts(text, (size_t)length, &end, false);
    while (f->header && end < text + length && (*end == ' ' || *end == '\n' || *end == '\t' || *end == '\r')) {
        end++;
    }
    if (!f->header || !cJSON_IsObject(f->header) || end != text + length) {
        return error_set(e, EXIT_DATA, "%s: its header is not a JSON object: the file is damaged", file);
    }
    f->data = 8 + (size_t)length;
    int64_t data_size = (int64_t)(f->size - f->data);
    const cJSON *v;
    int n = 0;
    cJSON_ArrayForEach(v, f->header)
    {
        n++;
    }
    f->entries = calloc((size_t)n + 1, sizeof *f->entries);
    if (!f->entries) {
        return error_set(e, EXIT_RESOURCES, "%s: no memory for its header", file);
    }
    cJSON_ArrayForEach(v, f->header)
    {
        if (strcmp(v->string, "__metadata__") == 0) {
            if (f->metadata) {
                return error_set(e, EXIT_DATA, "%s: __metadata__ stands twice in the header", file);
            }
            f->metadata = v;
            if (!check_metadata(file, v, e)) {
                return false;
            }
        } else if (!read_entry(file, v, &f->entries[f->n++], data_size, e)) {
            return false;
        }
    }
    return check_together(file, f, data_size, e);
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static TensorFile *new_file(const char *name, const void *bytes, size_t size, bool is_mapped, Error *e)
{
    TensorFile *f = calloc(1, sizeof *f);
    if (!f) {
        error_set(e, EXIT_RESOURCES, "%s: no memory to read it", name);
        if (is_mapped) {
            munmap((void *)(uintptr_t)bytes, size);
        }
        return NULL;
    }
    f->bytes = bytes;
    f->size = size;
    f->is_mapped = is_mapped;
    if (!read_header(name, f, e)) {
        tensor_file_close(f);
        return NULL;
    }
    return f;
}

TensorFile *tensor_file_from_memory(const char *name, const void *bytes, size_t size, Error *e)
{
    return new_file(name, bytes, size, false, e);
}

TensorFile *tensor_file_open(const char *path, Error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set(e, EXIT_DATA, "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < 8) {
        error_set(e, EXIT_DATA, S_ISREG(st.st_mode) ? "%s: too short for a safetensors file" : "%s: not a plain file",
                  path);
        close(fd);
        return NULL;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        error_set(e, EXIT_RESOURCES, "%s: cannot be mapped: %s", path, strerror(errno));
        return NULL;
    }
    return new_file(path, map, (size_t)st.st_size, true, e);
}

void tensor_file_close(TensorFile *f)
{
    if (!f) {
        return;
    }
    for (int i = 0; i < f->n; i++) {
        free(f->entries[i].converted);
    }
    free(f->entries);
    cJSON_Delete(f->header);
    if (f->is_mapped) {
        munmap((void *)(uintptr_t)f->bytes, f->size);
    }
    free(f);
}

int tensor_file_count(const TensorFile *f)
{
    return f->n;
}

const char *tensor_file_metadata(const TensorFile *f, const char *key)
{
    const cJSON *v = f->metadata ? cJSON_GetObjectItemCaseSensitive(f->metadata, key) : NULL;
    return v ? v->valuestring : NULL;
}

/* ---- elements --------------------------------------------------------------------------------------------- */

static float half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 0    ? ldexp(fraction, -24)
               : exponent == 31 ? (fraction ? NAN : INFINITY)
                                : ldexp(1024 + fraction, exponent - 25);
    return (float)(h & 0x8000 ? -v : v);
}

static uint64_t load_bytes(const unsigned char *at, int size)
{
    uint64_t v = 0;
    for (int k = 0; k < size; k++) {
        v |= (uint64_t)at[k] << (8 * k);
    }
    return v;
}

static void convert_element(FileType type, const unsigned char *at, void *out, int64_t i)
{
    uint64_t v = load_bytes(at, types[type].size);
    uint32_t bits;
    switch (type) {
    case ST_U8:
    case ST_U16:
        ((int32_t *)out)[i] = (int32_t)v;
        break;
    case ST_I8:
        ((int32_t *)out)[i] = (int32_t)(v ^ 0x80) - 0x80; /* v is one byte: its sign extended */
        break;
    case ST_I16:
        ((int32_t *)out)[i] = (int16_t)v;
        break;
    case ST_U32:
        ((int64_t *)out)[i] = (int64_t)v;
        break;
    case ST_U64: /* beyond int64: the largest value, which every range check refuses */
        ((int64_t *)out)[i] = v > INT64_MAX ? INT64_MAX : (int64_t)v;
        break;
    case ST_F16:
        ((float *)out)[i] = half_value((uint16_t)v);
        break;
    case ST_BF16:
        bits = (uint32_t)v << 16;
        memcpy((float *)out + i, &bits, sizeof bits);
        break;
    default: /* a type that is read as it is but lies at an odd address */
        memcpy((char *)out + i * types[type].size, at, (size_t)types[type].size);
        break;
    }
}

const Array *tensor_file_array(TensorFile *f, int i)
{
    if (i < 0 || i >= f->n) {
        return NULL;
    }
    Entry *x = &f->entries[i];
    const unsigned char *at = f->bytes + f->data + x->begin;
    if (x->array.data) {
        return &x->array;
    }
    if (types[x->type].direct && (uintptr_t)at % (uintptr_t)types[x->type].size == 0) {
        x->array.data = (void *)(uintptr_t)at;
        return &x->array;
    }
    x->converted = malloc((size_t)x->count * dtype_size[x->array.dtype] + 1);
    if (!x->converted) {
        return NULL;
    }
    for (int64_t k = 0; k < x->count; k++) {
        convert_element(x->type, at + k * types[x->type].size, x->converted, k);
    }
    x->array.data = x->converted;
    return &x->array;
}

const Array *tensor_file_find(TensorFile *f, const char *name)
{
    for (int i = 0; i < f->n; i++) {
        if (strcmp(f->entries[i].array.name, name) == 0) {
            return tensor_file_array(f, i);
        }
    }
    return NULL;
}
