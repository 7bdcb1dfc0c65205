/* Reading and writing small files. */
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *file_read(const char *path, Error *e)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        error_set(e, EXIT_DATA, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    size_t n = 0, cap = 1 << 14;
    char *s = malloc(cap);
    while (s) {
        n += fread(s + n, 1, cap - n - 1, f);
        if (n + 1 < cap) {
            break;
        }
        char *grown = realloc(s, cap *= 2);
        if (!grown) {
            free(s);
        }
        s = grown;
    }
    bool bad = ferror(f) != 0;
    fclose(f);
    if (!s || bad) {
        error_set(e, s ? EXIT_DATA : EXIT_RESOURCES, "cannot read %s: %s", path, s ? strerror(errno) : "out of memory");
        free(s);
        return NULL;
    }
    s[n] = '\0';
    return s;
}

bool file_write(const char *path, const char *text, size_t n, Error *e)
{
    char temp[4096];
    if (snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof temp) {
        return error_set(e, EXIT_USAGE, "the path %s is too long", path);
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool ok = fd >= 0;
    for (size_t at = 0; ok && at < n;) {
        ssize_t k = write(fd, text + at, n - at);
        ok = k > 0;
        at += ok ? (size_t)k : 0;
    }
    ok = ok && fsync(fd) == 0;
    int saved = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (ok && rename(temp, path) == 0) {
        return true;
    }
    saved = ok ? errno : saved;
    unlink(temp);
    return error_set(e, EXIT_RESOURCES, "cannot write %s: %s", path, strerror(saved));
}

bool dir_make(const char *path, Error *e)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
        return error_set(e, EXIT_USAGE, "the path %s is too long", path);
    }
    for (char *s = part + 1;; s++) {
        if (*s == '/' || *s == '\0') {
            char c = *s;
            *s = '\0';
            if (mkdir(part, 0777) != 0 && errno != EEXIST) {
                return error_set(e, EXIT_RESOURCES, "cannot make directory %s: %s", part, strerror(errno));
            }
            *s = c;
            if (c == '\0') {
                return true;
            }
        }
    }
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

void json_string(Text *out, const char *s)
{
    text_append(out, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            text_printf(out, "\\%c", c);
        } else if (c < 0x20) {
            text_printf(out, "\\u%04x", c);
        } else {
            text_append(out, s, 1);
        }
    }
    text_append(out, "\"", 1);
}
