/* Writing safetensors files, atomically: everything goes to a temporary name beside the target, is forced to disk,
 * and takes the target's name in one rename. Whoever reads sees the old file or the new one, whole. */
#include "safetensors.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const type_names[] = {
    [DT_BOOL] = "BOOL", [DT_I32] = "I32", [DT_I64] = "I64", [DT_F32] = "F32", [DT_F64] = "F64"};

static bool array_bytes(const Array *a, int64_t *bytes)
{
    *bytes = (int64_t)dtype_size[a->dtype];
    for (int i = 0; i < a->ndim; i++) {
        if (a->dims[i] < 0 || __builtin_mul_overflow(*bytes, a->dims[i], bytes)) {
            return false;
        }
    }
    return true;
}

static bool write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size < 1 << 30 ? size : 1 << 30);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* The header's text; arrays lie in the file by falling element size, so that each is aligned. NULL: no memory. */
static char *make_header(int n, const Array *arrays, const char *const *meta)
{
    cJSON *root = cJSON_CreateObject();
    bool good = root != NULL;
    if (good && meta && meta[0]) {
        cJSON *m = cJSON_AddObjectToObject(root, "__metadata__");
        for (int i = 0; good && meta[i]; i += 2) {
            good = cJSON_AddStringToObject(m, meta[i], meta[i + 1]) != NULL;
        }
    }
    int64_t at = 0;
    for (int size = 8; size > 0; size--) {
        for (int i = 0; good && i < n; i++) {
            int64_t bytes;
            if ((int)dtype_size[arrays[i].dtype] != size || !array_bytes(&arrays[i], &bytes)) {
                continue;
            }
            cJSON *x = cJSON_AddObjectToObject(root, arrays[i].name);
            good = x && cJSON_AddStringToObject(x, "dtype", type_names[arrays[i].dtype]);
            cJSON *shape = good ? cJSON_AddArrayToObject(x, "shape") : NULL;
            for (int d = 0; good && d < arrays[i].ndim; d++) {
                good = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)arrays[i].dims[d]));
            }
            cJSON *range = good ? cJSON_AddArrayToObject(x, "data_offsets") : NULL;
            good = good && cJSON_AddItemToArray(range, cJSON_CreateNumber((double)at)) &&
                   cJSON_AddItemToArray(range, cJSON_CreateNumber((double)(at + bytes)));
            at += bytes;
        }
    }
    char *text = good ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

static bool write_file(int fd, int n, const Array *arrays, const char *header)
{
    size_t length = strlen(header), padded = (length + 8 + 63) / 64 * 64 - 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) {
        prefix[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    }
    char blanks[64];
    memset(blanks, ' ', sizeof blanks);
    if (!write_all(fd, prefix, 8) || !write_all(fd, header, length) || !write_all(fd, blanks, padded - length)) {
        return false;
    }
    for (int size = 8; size > 0; size--) {
        for (int i = 0; i < n; i++) {
            int64_t bytes;
            if ((int)dtype_size[arrays[i].dtype] == size && array_bytes(&arrays[i], &bytes) &&
                !write_all(fd, arrays[i].data, (size_t)bytes)) {
                return false;
            }
        }
    }
    return fsync(fd) == 0;
}

/* A rename is on disk once its directory is. */
static void sync_directory(const char *path)
{
    char *copy = strdup(path);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    if (slash) {
        slash[slash == copy] = '\0';
    }
    int fd = copy ? open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

bool tensor_file_write(const char *path, int n, const Array *arrays, const char *const *meta, Error *e)
{
    for (int i = 0; i < n; i++) {
        int64_t bytes;
        if (!array_bytes(&arrays[i], &bytes)) {
            return error_set(e, EXIT_USAGE, "%s: array '%s' has an impossible shape", path, arrays[i].name);
        }
        for (int k = 0; k < i; k++) {
            if (strcmp(arrays[k].name, arrays[i].name) == 0 || strcmp(arrays[i].name, "__metadata__") == 0) {
                return error_set(e, EXIT_USAGE, "%s: two arrays are called '%s'", path, arrays[i].name);
            }
        }
    }
    char *header = make_header(n, arrays, meta);
    size_t room = strlen(path) + 40;
    char *temporary = malloc(room);
    if (!header || !temporary) {
        cJSON_free(header);
        free(temporary);
        return error_set(e, EXIT_RESOURCES, "%s: no memory for its header", path);
    }
    snprintf(temporary, room, "%s.tmp.%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = fd >= 0 && write_file(fd, n, arrays, header);
    int status = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        status = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        status = errno;
    }
    if (good) {
        sync_directory(path);
    } else {
        if (fd >= 0) {
            unlink(temporary);
        }
        error_set(e, EXIT_RESOURCES, "%s: cannot be written: %s%s", path, strerror(status),
                  status == ENOSPC ? "; the file that was there before is unchanged" : "");
    }
    cJSON_free(header);
    free(temporary);
    return good;
}
