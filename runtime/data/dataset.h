/* A data set: a directory of columns, memory-mapped.
 *
 *   schema.json              form, counts, columns, vocabularies, field groups, checksums, where it came from
 *   columns/event.item.i32   one little-endian file per column: the events of all users, user after user, in time order
 *   columns/user.offsets.i64 events of user u: rows offsets[u] .. offsets[u + 1] - 1      (form "log")
 *   columns/user.gender.i32  a column of a side table, by user id or by item id
 *   columns/candidate.history.i64  rows that point into the events of their user (docs/data.md)
 *   columns/item.genre.i32 + columns/item.genre.offsets.i64     several values per row (a list), or a text
 *   vocab/item.txt           raw ids in the order of the dense ids, one per line
 *
 * Form "log" is an event log by user; form "rows" has rows that stand alone (label and fields), in file order, in a
 * table called "row". Conventional names: column and vocabulary `item`, vocabulary `user`, column `ts` (int64
 * seconds), column `lab` (f32). docs/data.md is the reference of the format. */
#ifndef HEDDLE_DATA_DATASET_H
#define HEDDLE_DATA_DATASET_H

#include "../runtime.h"

enum { DATA_VERSION = 1 };

typedef enum { DATA_LOG, DATA_ROWS } DataForm;
/* MAIN: the events, or the rows. CANDIDATE, of a log: rows about a user at some time, with a column `history` that says
 * how many of the user's events came before; nothing of the history is copied. */
typedef enum { TABLE_MAIN, TABLE_USER, TABLE_ITEM, TABLE_CANDIDATE, TABLE_COUNT } DataTable;
typedef enum { SHAPE_SCALAR, SHAPE_LIST, SHAPE_TEXT } DataShape;

const char *data_table_name(DataForm form, DataTable table); /* event or row, user, item, candidate */

typedef struct {
    const char *name;
    DataTable table;
    DataShape shape;
    DType dtype;
    const char *vocab;    /* the values are ids of this vocabulary; NULL: numbers */
    int64_t rows, values; /* values = rows for a scalar */
    const void *data;
    const int64_t *offsets; /* LIST, TEXT: rows + 1 entries, checked to ascend from 0 to values; else NULL */
} DataColumn;

typedef struct {
    const char *name, *text;
    int64_t size;
    size_t bytes;
} DataVocab;

/* One field of a group that a spec reads with `axis F : fields(GROUP)`. */
typedef struct {
    const DataColumn *column;
    int64_t width; /* numbers: how many values each row has */
    bool safe;     /* may be seen by the events */
} DataField;

typedef struct {
    const char *name;
    int nfields;
    DataField *fields;
} DataGroup;

typedef struct DataSet {
    DataForm form;
    int64_t users, items, rows, candidates; /* 0: there is no such table; rows: of the main table */
    const int64_t *user_offsets;            /* LOG: users + 1 entries, checked; else NULL */
    int ncolumns, nvocabs, ngroups;
    DataColumn *columns;
    DataVocab *vocabs;
    DataGroup *groups;
    char fingerprint[9]; /* of schema.json, hence of all checksums: names the data in a manifest */
    char *dir;
    struct cJSON *schema; /* the whole of schema.json, for what has no place above ("best", "source") */
    struct DataMap *maps;
    int nmaps;
} DataSet;

/* Opens and checks everything that reading relies on: version, sizes, offsets, vocabulary lengths. `verify` reads
 * all files and compares the checksums. NULL: the Error says which file is wrong. */
DataSet *data_open(const char *dir, bool verify, Error *e);
void data_close(DataSet *ds);

const DataColumn *data_column(const DataSet *ds, DataTable table, const char *name); /* or NULL */
const DataVocab *data_vocab(const DataSet *ds, const char *name);
const DataGroup *data_group(const DataSet *ds, const char *name);

/* Raw id -> dense id (-1: unknown), and back: the text is not terminated. */
int64_t data_find(const DataSet *ds, const char *vocab, const char *raw);
const char *data_name(const DataSet *ds, const char *vocab, int64_t id, size_t *n);
/* Text of a column of shape TEXT, such as an item's title. */
const char *data_text(const DataColumn *c, int64_t row, size_t *n);

/* Value of a number or id column, by index into its packed values. */
int64_t data_int(const DataColumn *c, int64_t at);
double data_real(const DataColumn *c, int64_t at);

/* Best possible value of a metric ("hr@10", "auc"), which generated data knows; false: unknown. `expected`: the mean
 * over fresh targets instead of the value that the best ranker reaches on these. */
bool data_best(const DataSet *ds, const char *metric, bool expected, double *value);

/* What the data has, one line per table, for error messages and `heddle data show`; free() it. */
char *data_describe(const DataSet *ds);

#endif
