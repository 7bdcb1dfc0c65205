/* Import: files as users have them -> a data set (dataset.h).
 *
 *   movielens  a directory with ratings.dat, movies.dat, users.dat (1M) or u.data, u.item, u.user (100K)
 *   text       delimited files with a declaration of their columns in JSON (import_text.c)
 *   libsvm     rows of a label and numbered features, also libfm (import_libsvm.c)
 *   criteo     rows of a label, 13 numbers and 26 categories (import_criteo.c)
 *   recbole    NAME.inter with NAME.user and NAME.item beside it, typed headers
 *
 * Any file may be gzip. Ids are dense from 0: in the order of the side table where there is one, else of first
 * appearance. A row that cannot be read is a bad row: never used in part, counted, and an error unless skip_bad. */
#ifndef HEDDLE_DATA_IMPORT_H
#define HEDDLE_DATA_IMPORT_H

#include "../runtime.h"

#include <stdio.h>

typedef struct {
    bool skip_bad;     /* leave bad rows out and go on */
    bool drop_unknown; /* leave out events whose user or item is not in the side table; else they are bad rows */
    bool replace;      /* replace a data set that stands at `out` */
    bool has_missing;  /* an empty number is this value; else a bad row */
    double missing;
    const char *valid, *test; /* files of the other parts, the paths being the training part; NULL: there are none */
    int64_t min_count; /* libsvm, criteo: names rarer than that in the training part are unknown; 0: the format's own */
    bool fields;       /* libsvm: the k-th feature of a row is the value of its field k */
    const char *schema; /* text: path of the declaration */
    /* recbole: which fields are the user, the item, the time and the label; NULL: user_id, item_id, timestamp, label */
    const char *user_field, *item_field, *time_field, *label_field;
    void (*progress)(void *ctx, const char *file, int64_t rows); /* or NULL; about every 100,000 rows */
    void *ctx;
} ImportOptions;

enum { IMPORT_SHOWN = 10, IMPORT_LINE = 256 };

typedef struct {
    char format[16];
    bool is_log;
    int64_t rows, users, items; /* in the data set */
    int64_t read, bad, unknown; /* lines read in all files; bad ones; left out because user or item is unknown */
    bool has_time;
    int64_t time_min, time_max;
    int nshown;
    char shown[IMPORT_SHOWN][IMPORT_LINE]; /* the first bad rows, "file:line: reason" */
    double seconds;
} ImportReport;

/* format: "movielens", "text", "recbole", "libsvm", "criteo", or NULL to tell by the files. After an error nothing
 * stands at `out`, and the report holds what was counted so far. */
bool data_import(const char *format, int npaths, const char *const *paths, const char *out, const ImportOptions *o,
                 ImportReport *report, Error *e);

void import_report_print(const ImportReport *r, FILE *f);
char *import_report_json(const ImportReport *r); /* one line; free() it */

#endif
