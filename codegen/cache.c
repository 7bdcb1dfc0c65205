/* Compiled kernels on disk: one file per kernel, named by the hash of everything its code depends on, so an entry is
 * never stale and never rewritten. A file is a header with length and checksum, then the object. Writers use a
 * temporary name, fsync and rename: several processes may share the directory, and a torn or damaged file reads as
 * missing. All failures are silent; the kernel is then compiled. */
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <llvm-c/blake3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char magic[8];
    uint64_t length;
    uint8_t sum[16];
} Header;

static const char magic[8] = "HDKERN1";

static void checksum(const void *data, size_t n, uint8_t out[16])
{
    llvm_blake3_hasher h;
    llvm_blake3_hasher_init(&h);
    llvm_blake3_hasher_update(&h, data, n);
    llvm_blake3_hasher_finalize(&h, out, 16);
}

bool cache_read(const char *dir, const char *name, LLVMMemoryBufferRef *out)
{
    if (!dir) {
        return false;
    }
    Text path = {0};
    text_printf(&path, "%s/%s.o", dir, name);
    FILE *f = fopen(path.s, "rb");
    text_free(&path);
    if (!f) {
        return false;
    }
    Header h;
    bool ok = false;
    char *data = NULL;
    if (fread(&h, sizeof h, 1, f) == 1 && memcmp(h.magic, magic, sizeof magic) == 0 && h.length < (1u << 28)) {
        data = malloc((size_t)h.length + 1);
        uint8_t sum[16];
        if (data && fread(data, 1, (size_t)h.length, f) == h.length) {
            checksum(data, (size_t)h.length, sum);
            ok = memcmp(sum, h.sum, sizeof sum) == 0;
        }
    }
    if (ok) {
        *out = LLVMCreateMemoryBufferWithMemoryRangeCopy(data, (size_t)h.length, name);
    }
    free(data);
    fclose(f);
    return ok;
}

static void make_directories(const char *dir)
{
    char *path = strdup(dir);
    if (!path) {
        return;
    }
    for (char *p = path + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0777);
            *p = '/';
        }
    }
    mkdir(path, 0777);
    free(path);
}

static bool write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t m = write(fd, p, n);
        if (m < 0 && errno == EINTR) {
            continue;
        }
        if (m <= 0) {
            return false;
        }
        p += m;
        n -= (size_t)m;
    }
    return true;
}

void cache_write(const char *dir, const char *name, const void *data, size_t n)
{
    if (!dir) {
        return;
    }
    Header h = {.length = n};
    memcpy(h.magic, magic, sizeof magic);
    checksum(data, n, h.sum);
    Text temp = {0}, path = {0};
    text_printf(&temp, "%s/%s.%ld.tmp", dir, name, (long)getpid());
    text_printf(&path, "%s/%s.o", dir, name);
    int fd = open(temp.s, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == ENOENT) {
        make_directories(dir);
        fd = open(temp.s, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (fd >= 0) {
        bool ok = write_all(fd, &h, sizeof h) && write_all(fd, data, n) && fsync(fd) == 0;
        ok = close(fd) == 0 && ok;
        if (!ok || rename(temp.s, path.s) != 0) {
            unlink(temp.s);
        }
    }
    text_free(&temp);
    text_free(&path);
}
