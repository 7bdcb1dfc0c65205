/* Lines of a text file, plain or gzip, one after another: memory is bounded by the longest line. */
#ifndef HEDDLE_DATA_LINES_H
#define HEDDLE_DATA_LINES_H

#include "../runtime.h"

typedef struct LineReader LineReader;

/* latin1: the file is ISO 8859-1 and the lines are handed out as UTF-8. */
LineReader *lines_open(const char *path, bool latin1, Error *e);
void lines_close(LineReader *r);

/* 1: *line is the next line, terminated, without its end (\n or \r\n), valid and writable until the next call.
 * 0: end of the file. -1: a read error, a truncated gzip file or a line of more than 64 MiB. */
int lines_next(LineReader *r, char **line, size_t *length, Error *e);
int64_t lines_number(const LineReader *r); /* of the line handed out last, from 1 */

/* Text as numbers, strictly: the whole text, no blanks, no hexadecimal, no infinity. */
bool text_to_int(const char *s, size_t n, int64_t *out);
bool text_to_real(const char *s, size_t n, double *out);
/* Whether the bytes are valid UTF-8 without control characters but tab. */
bool text_is_clean(const char *s, size_t n);

#endif
