/* safetensors: a round trip through every element type, and a table of damaged files, each refused with its reason. */
#include "safetensors.h"
#include "test.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static unsigned char buffer[1 << 16];

/* A file with this header and `data` bytes 0, 1, 2 ... */
static size_t make(const char *header, size_t data)
{
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++) {
        buffer[i] = (unsigned char)(n >> (8 * i));
    }
    memcpy(buffer + 8, header, n);
    for (size_t i = 0; i < data; i++) {
        buffer[8 + n + i] = (unsigned char)i;
    }
    return 8 + n + data;
}

static void round_trip(const char *path)
{
    Error e;
    float f[] = {1.5f, -2, 3e38f, 0, NAN, 1e-40f};
    double d[] = {M_PI, -1e300};
    int64_t i64[] = {INT64_MIN, 7, INT64_MAX};
    int32_t i32[] = {-5, 6};
    uint8_t b[] = {0, 1, 1};
    Array arrays[] = {{"flags", DT_BOOL, 1, {3}, b},          {"f", DT_F32, 2, {2, 3}, f},
                      {"scalar", DT_F64, 0, {0}, d},          {"d", DT_F64, 3, {1, 2, 1}, d},
                      {"l\"\xc3\xbc\n", DT_I64, 1, {3}, i64}, {"i", DT_I32, 1, {2}, i32},
                      {"empty", DT_F32, 2, {0, 4}, NULL}};
    const char *meta[] = {"note", "a \"quoted\" one", "step", "12", NULL};
    CHECK(tensor_file_write(path, 7, arrays, meta, &e));
    TensorFile *t = tensor_file_open(path, &e);
    CHECK(t != NULL);
    if (!t) {
        printf("%s\n", e.text);
        return;
    }
    CHECK(tensor_file_count(t) == 7);
    CHECK(strcmp(tensor_file_metadata(t, "note"), meta[1]) == 0 && !tensor_file_metadata(t, "none"));
    for (int i = 0; i < 7; i++) {
        const Array *a = tensor_file_find(t, arrays[i].name);
        CHECK(a && a->dtype == arrays[i].dtype && a->ndim == arrays[i].ndim);
        size_t bytes = dtype_size[a->dtype];
        for (int k = 0; k < a->ndim; k++) {
            CHECK(a->dims[k] == arrays[i].dims[k]);
            bytes *= (size_t)a->dims[k];
        }
        CHECK(bytes == 0 || memcmp(a->data, arrays[i].data, bytes) == 0);
        CHECK((uintptr_t)a->data % dtype_size[a->dtype] == 0);
    }
    tensor_file_close(t);
}

static void foreign_types(void)
{
    Error e;
    const char *header = "{\"h\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[6,8]},"
                         "\"u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]},"
                         "\"s\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[9,10]},"
                         "\"f\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[10,14]}}  \n";
    size_t n = make(header, 14);
    const unsigned char data[] = {0x00, 0x3c, 0x01, 0x80, 0x00, 0xfc, 0xc0, 0x3f, 200, 200, 0, 0, 0x80, 0x3f};
    memcpy(buffer + 8 + strlen(header), data, sizeof data);
    TensorFile *t = tensor_file_from_memory("memory", buffer, n, &e);
    CHECK(t != NULL);
    const float *h = tensor_file_find(t, "h")->data;
    CHECK(h[0] == 1 && h[1] == -0x1p-24f && isinf(h[2]) && h[2] < 0);
    CHECK(*(float *)tensor_file_find(t, "b")->data == 1.5f);
    CHECK(*(int32_t *)tensor_file_find(t, "u")->data == 200);
    CHECK(*(int32_t *)tensor_file_find(t, "s")->data == -56);
    CHECK(*(float *)tensor_file_find(t, "f")->data == 1); /* lies at an odd address: copied */
    tensor_file_close(t);
}

static const struct {
    const char *header;
    size_t data;
    const char *words;
} damaged[] = {
    {"", 0, "no header"},
    {"[]", 0, "no header"},
    {"{", 0, "no header"},
    {"{\"a\":", 0, "not a JSON object"},
    {"{} x", 0, "not a JSON object"},
    {"{\"a\":1}", 0, "lacks dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "lacks dtype"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "has type F8_E4M3"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "no whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "no whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,4]}}", 4, "no whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 8 dims"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4, "2^63 elements"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0, "no whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "ask for 2 elements"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "truncated"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[\"0\",4]}}", 4, "data_offsets outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "stands twice"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
     6, "overlaps"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "overlaps"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "leaves a hole"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 9, "5 bytes after the last tensor"},
    {"{\"__metadata__\":[1]}", 0, "not a table of strings"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "not a table of strings"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "stands twice"},
};

static void damage(const char *path)
{
    Error e;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        size_t n = make(damaged[i].header, damaged[i].data);
        CHECK_ERROR(tensor_file_from_memory("memory", buffer, n, &e) != NULL, e, EXIT_DATA, damaged[i].words);
    }
    size_t n = make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    TensorFile *t = tensor_file_from_memory("memory", buffer, n, &e);
    CHECK(t != NULL);
    tensor_file_close(t);
    for (size_t cut = 0; cut < n; cut++) {     /* truncated anywhere */
        unsigned char *copy = malloc(cut + 1); /* its own block, so that a read beyond the end is seen */
        memcpy(copy, buffer, cut);
        CHECK(tensor_file_from_memory("memory", copy, cut, &e) == NULL && e.code == EXIT_DATA);
        free(copy);
    }
    memset(buffer, 0xff, 8); /* a header of 2^64 - 1 bytes */
    CHECK_ERROR(tensor_file_from_memory("memory", buffer, n, &e) != NULL, e, EXIT_DATA, "claims 18446744073709551615");
    char nowhere[600];
    snprintf(nowhere, sizeof nowhere, "%s.missing/x", path);
    CHECK_ERROR(tensor_file_open(nowhere, &e) != NULL, e, EXIT_DATA, "No such file");
    CHECK_ERROR(tensor_file_open("/", &e) != NULL, e, EXIT_DATA, "not a plain file");
    CHECK_ERROR(tensor_file_write(nowhere, 0, NULL, NULL, &e), e, EXIT_RESOURCES, "cannot be written");
    float x = 1;
    Array twice[] = {{"a", DT_F32, 1, {1}, &x}, {"a", DT_F32, 1, {1}, &x}};
    CHECK_ERROR(tensor_file_write(path, 2, twice, NULL, &e), e, EXIT_USAGE, "two arrays are called 'a'");
}

/* No room: the file that was there stays, and nothing is left lying about. */
static void full_disk(const char *path)
{
    Error e;
    float old = 42;
    static float large[1 << 16];
    Array a = {"a", DT_F32, 1, {1}, &old}, b = {"a", DT_F32, 1, {1 << 16}, large};
    CHECK(tensor_file_write(path, 1, &a, NULL, &e));
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 1 << 12;
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK_ERROR(tensor_file_write(path, 1, &b, NULL, &e), e, EXIT_RESOURCES, "cannot be written");
    setrlimit(RLIMIT_FSIZE, &before);
    TensorFile *t = tensor_file_open(path, &e);
    CHECK(t && *(float *)tensor_file_find(t, "a")->data == 42);
    tensor_file_close(t);
    char temporary[600];
    snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    CHECK(access(temporary, F_OK) != 0);
}

int main(void)
{
    char path[] = "safetensors-test-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0) {
        return 1;
    }
    close(fd);
    signal(SIGXFSZ, SIG_IGN);
    round_trip(path);
    foreign_types();
    damage(path);
    full_disk(path);
    unlink(path);
    return report("safetensors");
}
