/* Reading one delimited file into one table of a data set, by a declaration of its columns: what all formats share. */
#ifndef HEDDLE_DATA_IMPORT_TABLE_H
#define HEDDLE_DATA_IMPORT_TABLE_H

#include "builder.h"
#include "import.h"
#include "import_rules.h"

typedef struct {
    const ImportOptions *options;
    ImportReport *report;
    Builder *builder;
    Error *e;
    bool known[TABLE_COUNT]; /* the side table of users, items has been read: other ids are unknown */
    struct cJSON *outcomes;  /* names of the columns that are outcomes; NULL: none yet */
    bool again;              /* one more file of the table read last: its columns are there */
    bool scanning;           /* the first pass: rows are counted, nothing is written */
    int nrules;
    VocabRule *rules;
    int part, part_column; /* of the rows that are read: train, valid, test; column -1: there are no parts */
    char recipe[96];       /* how the data is cut unless the user says otherwise; "": by its form */
    struct cJSON *numbers; /* what numbers were divided by, for schema.json */
} Importer;

typedef enum {
    FIELD_INT, /* a whole number */
    FIELD_REAL,
    FIELD_BUCKET, /* the name of a number's bucket: an id */
    FIELD_ID,     /* a name of a vocabulary */
    FIELD_IDS,    /* names between separators: a list */
    FIELD_INTS,
    FIELD_REALS,
    FIELD_TEXT,  /* kept as it is */
    FIELD_FLAGS, /* nnames columns of 0 and 1: the list of those that are 1 */
    FIELD_TIME   /* seconds, from a number times `unit` */
} FieldType;

typedef enum { ROLE_NONE, ROLE_USER, ROLE_ITEM } FieldRole;

typedef struct {
    const char *name;   /* of the column in the data set */
    const char *source; /* its name in the file's header; NULL: by `position` */
    int position;       /* from 0 */
    FieldType type;
    FieldRole role;
    DType dtype; /* of numbers as stored */
    const char *vocab;
    const char *separator; /* of lists */
    double unit;           /* TIME: seconds per unit */
    bool optional;         /* ID, IDS: an empty value (element) is an entry of the vocabulary of its own */
    bool limited;          /* INT: from lo to hi */
    int64_t lo, hi;
    int nnames; /* FLAGS; ID, IDS: the vocabulary starts with these names, or has only these if closed */
    const char *const *names;
    bool closed;
    NumberRule *number; /* REAL, REALS, BUCKET; NULL: as it is */
    int span;           /* lists: so many fields of the line are the elements; 0: one field holds them all */
    const char *absent; /* lists: elements with this text are left out; NULL: none */
    bool outcome;       /* known only after the event: an input that reads it of the target event must be a label */
} FieldDecl;

typedef struct {
    DataTable table;
    const char *separator;
    bool header, latin1, quoted;
    bool sequence; /* the last field repeats: user item item item ... */
    bool row_user; /* there is no user column: every line is a user of its own, named by its number */
    int width;     /* fields per line, checked; 0: as in the header, or at least as many as are declared */
    int nfields;
    const FieldDecl *fields;
} TableDecl;

/* Reads the file into the builder; false with e set. Bad rows are no error here: import.c decides at the end. */
bool import_table(Importer *im, const TableDecl *decl, const char *path);

/* Reads all files of the events or rows: `paths`, which are the training part if the options name files of the other
 * parts. Before that, where a column has a rule, a first pass over `paths`. */
bool import_parts(Importer *im, const TableDecl *decl, int npaths, const char *const *paths);

/* Between the passes: the vocabularies with rules get their names; the column of parts, if the options name any. */
bool import_settle(Importer *im);

/* The rule of a vocabulary, or NULL. */
VocabRule *import_rule(Importer *im, const char *vocab);
/* A new one; its texts are copied. NULL: no memory. */
VocabRule *import_add_rule(Importer *im, const char *vocab, int64_t min_count, const char *unknown);

/* Notes a bad row; the reason as for printf. */
void import_bad(Importer *im, const char *path, int64_t line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The file of that name in dir, or with .gz behind it: its path, free() it; NULL if there is neither. */
char *import_find(const char *dir, const char *name);
const char *import_base(const char *path); /* what follows the last slash */

bool import_movielens(Importer *im, const char *dir, const char *out);
bool import_text(Importer *im, int npaths, const char *const *paths, const char *out);
bool import_recbole(Importer *im, const char *path, const char *out);
bool import_libsvm(Importer *im, int npaths, const char *const *paths, const char *out);
bool import_criteo(Importer *im, int npaths, const char *const *paths, const char *out);

#endif
