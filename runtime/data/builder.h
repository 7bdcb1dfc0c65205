/* Writes a data set row by row, whatever its size: columns go to files as they come; at the end the events are
 * grouped by user and ordered by time (equal times keep the order of the file), and the directory appears under its
 * name in one rename. Until then nothing is there, and after a failure nothing remains. */
#ifndef HEDDLE_DATA_BUILDER_H
#define HEDDLE_DATA_BUILDER_H

#include "dataset.h"
#include "names.h"

typedef struct Builder Builder;

/* replace: a data set that stands at `out` is replaced; else it is an error. */
Builder *builder_new(const char *out, DataForm form, bool replace, Error *e);

/* Number of the vocabulary of that name, made if new; -1 after an error. Names are added by whoever reads the data. */
int builder_vocab(Builder *b, const char *name, Error *e);
Names *builder_names(Builder *b, int vocab);

/* Number of a new column; vocab -1: numbers. -1 after an error: the name is taken in that table, no memory, or the file
 * cannot be made. */
int builder_column(Builder *b, DataTable table, const char *name, DataShape shape, DType dtype, int vocab, Error *e);
int builder_find(const Builder *b, DataTable table, const char *name); /* or -1 */

/* One value of the current row: exactly one of a scalar, any number of a list. Write errors are kept for the end. */
void builder_int(Builder *b, int column, int64_t value);
void builder_real(Builder *b, int column, double value);
void builder_text(Builder *b, int column, const char *s, size_t n);
/* Ends a row of the table. Rows of a side table come in the order of their ids. user: of an event; else ignored. */
void builder_row(Builder *b, DataTable table, int64_t user);

/* The field groups that schema.json will name. Without any, `cat` gets every id column beside the events and the
 * items themselves, and `num` every f32 column that is not the label. */
bool builder_field(Builder *b, const char *group, int column, bool safe, Error *e);

bool builder_failed(const Builder *b); /* a write failed: stop early */
int64_t builder_rows(const Builder *b, DataTable table);
int64_t builder_count(const Builder *b, DataTable table); /* users, items: with or without a side table */

/* Finishes and frees b in any case. `extra` (taken) holds more members for schema.json: source, best ... */
bool builder_finish(Builder *b, struct cJSON *extra, Error *e);
void builder_abort(Builder *b);

#endif
