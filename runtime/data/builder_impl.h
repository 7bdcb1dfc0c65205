/* Inside the writer: builder.c takes the rows, builder_finish.c makes the directory of them. */
#ifndef HEDDLE_DATA_BUILDER_IMPL_H
#define HEDDLE_DATA_BUILDER_IMPL_H

#include "builder.h"
#include "schema.h"

#include <stdio.h>

/* A file that only grows. */
typedef struct {
    FILE *file;
    int64_t n;
    uint32_t crc;
} Spool;

typedef struct {
    char *name;
    DataTable table;
    DataShape shape;
    DType dtype;
    int vocab;
    size_t each;
    Spool values, offsets;
    int64_t row_start; /* values before the current row */
    int64_t width;     /* LIST: the length that all rows share, -1: they differ, -2: no row yet */
} Column;

typedef struct {
    char *name;
    Names names;
} Vocab;

typedef struct {
    char *group;
    int column;
    bool safe;
} Field;

struct Builder {
    char *out, *dir; /* where it shall be, and the temporary directory beside it */
    DataForm form;
    bool replace;
    int ncolumns, nvocabs, nfields;
    Column *columns;
    Vocab *vocabs;
    Field *fields;
    Spool users; /* LOG: the user of every event, i32 */
    int64_t rows[TABLE_COUNT];
    int failed; /* errno of the first write that failed */
};

/* Name of a column's file inside the directory; raw: before the events are ordered. */
void column_file(char *to, size_t n, const Builder *b, const Column *c, bool raw, bool offsets);
bool spool_open(Builder *b, Spool *s, const char *name, Error *e);
void spool_write(Builder *b, Spool *s, const void *data, size_t bytes);
void spool_close(Builder *b, Spool *s, bool keep); /* keep: after the bytes have reached the disk */
void remove_tree(const char *dir);
void builder_free(Builder *b); /* the memory only */

#endif
