/* zlib reads plain files as they are, so one path serves both. Bytes come in blocks; a line that crosses a block is
 * completed by moving its beginning to the front of a buffer that grows when one line fills it. */
#include "lines.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { BLOCK = 1 << 18, LINE_MAX_BYTES = 64 << 20 };

struct LineReader {
    gzFile file;
    char *path;
    char *buffer; /* [begin, end) is what has been read and not handed out */
    size_t room, begin, end;
    bool latin1, at_end;
    char *utf8;
    size_t utf8_room;
    int64_t number;
};

LineReader *lines_open(const char *path, bool latin1, Error *e)
{
    LineReader *r = calloc(1, sizeof *r);
    if (!r) {
        error_set(e, EXIT_RESOURCES, "no memory to read %s", path);
        return NULL;
    }
    r->path = strdup(path);
    r->room = BLOCK;
    r->buffer = malloc(r->room + 1);
    r->latin1 = latin1;
    errno = 0;
    r->file = gzopen(path, "rb");
    if (!r->file) {
        error_set(e, EXIT_DATA, "cannot open %s: %s", path, errno ? strerror(errno) : "no memory");
        lines_close(r);
        return NULL;
    }
    if (!r->path || !r->buffer) {
        error_set(e, EXIT_RESOURCES, "no memory to read %s", path);
        lines_close(r);
        return NULL;
    }
    gzbuffer(r->file, BLOCK);
    return r;
}

void lines_close(LineReader *r)
{
    if (!r) {
        return;
    }
    if (r->file) {
        gzclose(r->file);
    }
    free(r->path);
    free(r->buffer);
    free(r->utf8);
    free(r);
}

int64_t lines_number(const LineReader *r)
{
    return r->number;
}

static bool fill(LineReader *r, Error *e)
{
    if (r->begin > 0) {
        memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
    }
    if (r->end == r->room) {
        if (r->room >= LINE_MAX_BYTES) {
            return error_set(e, EXIT_DATA, "%s:%lld: the line is longer than %d MiB; is this a text file?", r->path,
                             (long long)r->number + 1, LINE_MAX_BYTES >> 20);
        }
        char *more = realloc(r->buffer, 2 * r->room + 1);
        if (!more) {
            return error_set(e, EXIT_RESOURCES, "no memory for line %lld of %s", (long long)r->number + 1, r->path);
        }
        r->buffer = more;
        r->room *= 2;
    }
    int got = gzread(r->file, r->buffer + r->end, (unsigned)(r->room - r->end));
    if (got <= 0) {
        int code = Z_OK;
        const char *why = gzerror(r->file, &code);
        if (code == Z_ERRNO) {
            return error_set(e, EXIT_DATA, "cannot read %s: %s", r->path, strerror(errno));
        }
        if (got < 0 || code == Z_BUF_ERROR) {
            return error_set(e, EXIT_DATA, "%s is a damaged or truncated gzip file (%s); fetch it again", r->path,
                             code == Z_BUF_ERROR ? "it ends early" : why);
        }
        r->at_end = true;
        return true;
    }
    r->end += (size_t)got;
    return true;
}

/* Every ISO 8859-1 byte is the code point of the same number. */
static bool to_utf8(LineReader *r, char **line, size_t *n, Error *e)
{
    if (2 * *n + 1 > r->utf8_room) {
        char *more = realloc(r->utf8, 2 * *n + 256);
        if (!more) {
            return error_set(e, EXIT_RESOURCES, "no memory for line %lld of %s", (long long)r->number, r->path);
        }
        r->utf8 = more;
        r->utf8_room = 2 * *n + 256;
    }
    size_t to = 0;
    for (size_t i = 0; i < *n; i++) {
        unsigned char c = (unsigned char)(*line)[i];
        if (c < 0x80) {
            r->utf8[to++] = (char)c;
        } else {
            r->utf8[to++] = (char)(0xc0 | c >> 6);
            r->utf8[to++] = (char)(0x80 | (c & 0x3f));
        }
    }
    r->utf8[to] = 0;
    *line = r->utf8;
    *n = to;
    return true;
}

int lines_next(LineReader *r, char **line, size_t *length, Error *e)
{
    size_t searched = 0;
    char *end;
    for (;;) {
        char *from = r->buffer + r->begin;
        end = memchr(from + searched, '\n', r->end - r->begin - searched);
        if (end || r->at_end) {
            break;
        }
        searched = r->end - r->begin;
        if (!fill(r, e)) {
            return -1;
        }
    }
    char *from = r->buffer + r->begin;
    if (!end && r->begin == r->end) {
        return 0;
    }
    size_t n = end ? (size_t)(end - from) : r->end - r->begin;
    r->begin += n + (end != NULL);
    r->number++;
    if (r->number == 1 && n >= 3 && memcmp(from, "\xef\xbb\xbf", 3) == 0) {
        from += 3; /* the byte order mark that some programs write */
        n -= 3;
    }
    if (n > 0 && from[n - 1] == '\r') {
        n--;
    }
    from[n] = 0; /* overwrites the end of the line, or the byte kept free behind the buffer */
    *line = from;
    *length = n;
    if (r->latin1 && !to_utf8(r, line, length, e)) {
        return -1;
    }
    return 1;
}

bool text_to_int(const char *s, size_t n, int64_t *out)
{
    bool negative = n > 0 && s[0] == '-';
    size_t i = negative;
    uint64_t value = 0;
    if (i == n) {
        return false;
    }
    for (; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (value > (INT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

bool text_to_real(const char *s, size_t n, double *out)
{
    char copy[64];
    if (n == 0 || n >= sizeof copy) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '+' || s[i] == '.' || s[i] == 'e' ||
              s[i] == 'E')) {
            return false;
        }
    }
    memcpy(copy, s, n);
    copy[n] = 0;
    char *end;
    *out = strtod(copy, &end);
    return *end == 0 && end != copy && isfinite(*out);
}

bool text_is_clean(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x80) {
            if (c < 0x20 && c != '\t') {
                return false;
            }
            i++;
            continue;
        }
        size_t more = c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c >= 0xf5 || more >= n - i) {
            return false;
        }
        for (size_t k = 1; k <= more; k++) {
            if (((unsigned char)s[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}
