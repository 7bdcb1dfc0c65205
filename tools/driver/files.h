/* Small files as text: specs, manifests. Large data is memory-mapped by its own readers. */
#ifndef HEDDLE_FILES_H
#define HEDDLE_FILES_H

#include "arena.h"
#include "runtime.h"

char *file_read(const char *path, Error *e); /* malloc'ed, NUL-terminated; NULL after an error */
bool file_write(const char *path, const char *text, size_t n, Error *e); /* atomic: temporary name, fsync, rename */
bool dir_make(const char *path, Error *e);                               /* with its parents; existing is fine */
bool file_exists(const char *path);
void json_string(Text *out, const char *s); /* with quotes and escapes */

#endif
