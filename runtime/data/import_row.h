/* One line of a table on its way in: split by import_table.c, checked field by field (import_check.c), then appended
 * (import_put.c). */
#ifndef HEDDLE_IMPORT_ROW_H
#define HEDDLE_IMPORT_ROW_H

#include "import_table.h"
#include "lines.h"

typedef struct {
    char *s;
    size_t n;
} Part;

typedef struct {
    Importer *im;
    const TableDecl *decl;
    const char *path;
    LineReader *lines;
    int64_t line;
    Part *parts; /* the fields of the current line */
    int nparts, room;
    int *position, *column, *vocab; /* by declared field */
    VocabRule **rule;
    int64_t *ints;
    double *reals;
    int user, item; /* declared fields with these roles, or -1 */
} Reader;

typedef bool (*Each)(Reader *r, int field, char *s, size_t n);

/* Calls fn for every element of a list; the empty text is the empty list. False as soon as fn is. */
bool row_each_element(Reader *r, int field, Part part, Each fn);
/* How much of a text of n bytes a message quotes. */
int row_shown(size_t n);
/* Reports the field; false. */
bool row_bad(Reader *r, int field, const char *expected, Part p);
/* Into ints[field] or reals[field]. */
bool row_parse_int(Reader *r, int field, char *s, size_t n);
bool row_parse_real(Reader *r, int field, char *s, size_t n);
/* The name of the bucket a number falls in, in `buffer` (32 bytes at least), or the text itself. */
Part row_bucket_name(Reader *r, int field, Part p, char *buffer);
/* Whether the field of the current line is what its declaration says; else it is reported. */
bool row_check_field(Reader *r, int field);

/* The id of a name, new or known; -1 without memory. */
int64_t row_intern(Reader *r, int field, const char *s, size_t n);
/* Whether the user or item of an event is in no side table that lists them. */
bool row_is_unknown(Reader *r, int field, DataTable table, Part p);
/* Appends the row of the current line (of a sequence: the event with the item at `item`), or counts it in a scan. */
bool row_put(Reader *r);

#endif
