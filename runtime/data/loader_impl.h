/* Inside the loader: what an input is filled from. loader_bind.c decides it once, loader.c fills batches with it. */
#ifndef HEDDLE_DATA_LOADER_IMPL_H
#define HEDDLE_DATA_LOADER_IMPL_H

#include "loader.h"

/* Whose row of its table a column is read at, for one example. */
typedef enum {
    AT_HISTORY,      /* each event of the history */
    AT_HISTORY_ITEM, /* the item of each event of the history */
    AT_TARGET,       /* the target event, or the row */
    AT_TARGET_ITEM,  /* its item */
    AT_USER,         /* the user of the example */
} Where;

typedef enum {
    FILL_COLUMN, /* values of a column */
    FILL_USER,   /* the user's id */
    FILL_NOW,    /* the target's time */
    FILL_LABEL,  /* the label expression */
    FILL_GROUP,  /* the fields of a group */
    FILL_CONST,  /* the same for all examples */
} Fill;

typedef struct {
    Fill fill;
    Where where;
    const DataColumn *column;
    const DataGroup *group;
    int axis, nested;            /* ragged axes of its first and second dim: numbers in Loader.axes, -1: none */
    int64_t width;               /* values per packed row (FIXED dim, widths of a group), 1 */
    DataInput input;             /* its names are owned by the loader */
    void *data;                  /* the array's values */
    size_t room;                 /* bytes */
    int64_t count;               /* values in it */
    int64_t lists, nested_lists; /* of its axes, so far in this batch */
} Source;

typedef struct {
    char *name, *offsets_name;
    int parent; /* number of the axis it is nested in; -1: the example; -2: the fields of a group */
    int64_t min, bound;
    bool is_history; /* top level in a log: the events */
    int64_t *offsets;
    size_t room;
    int64_t lists;       /* so far in this batch */
    const Source *first; /* the input that fills it in this batch; the others must agree */
} RaggedAxis;

struct Loader {
    const DataSet *ds;
    DataRecipe recipe;
    DataPart part;
    DataTable targets; /* the table whose rows are the targets: the candidates, else the main one */
    int64_t ntargets;
    const DataColumn *item;                     /* of the events, or NULL */
    const DataColumn *cand, *ts, *user, *label; /* of the targets, or NULL: item, time, user (not of events), label */
    const DataColumn *before;                   /* of candidates: how many events of the user came before */
    enum { LABEL_VALUE, LABEL_GE, LABEL_GT, LABEL_LE, LABEL_LT, LABEL_EQ } label_op;
    double label_bound;
    int nsources, naxes;
    Source *sources;
    RaggedAxis *axes;
    int64_t *starts;               /* log: examples of the users before user u, users + 1 entries */
    int64_t *chosen;               /* rows, and events with a part of their own: row of each example; else NULL */
    const DataColumn *parts;       /* the column of the recipe's part=, or NULL */
    int64_t valid_from, test_from; /* by time */
    int64_t count;
    LoaderStats stats;
    int64_t dropped;
    bool shuffled;
    uint64_t keys[4]; /* of the permutation */
    int64_t *rows;    /* the array "row" */
    size_t rows_room;
    Array *arrays;
    int64_t *positions;
    size_t positions_room;
    char **texts; /* copies of names */
    int ntexts;
};

/* Decides what every input is filled from. */
bool loader_bind(Loader *l, int ninputs, const DataInput *inputs, Error *e);
/* Which examples the part has, for the lengths that the axes ask for. loader_split.c. */
bool loader_split(Loader *l, Error *e);
/* Of a user with that many events: those before the result belong to training (without part= or by=). */
int64_t loader_train_events(const Loader *l, int64_t events);
/* Whether every row has a part of its own, and which. loader_part.c: the first call finds columns and times. */
bool loader_parts(Loader *l, Error *e);
bool loader_has_parts(const Loader *l);
DataPart loader_part_of_row(const Loader *l, int64_t row, int64_t user);
/* The user of a target row (-1: of rows), and how many of its events came before. u: the user of the row before it, 0
 * for the first. */
int64_t loader_user_of(const Loader *l, int64_t row, int64_t u, int64_t *before);
/* Training targets that are later than a target of another part of the same user (rows of a log are in time order); -1
 * after an error. */
int64_t loader_leaks(const Loader *l, Error *e);

/* Where an example lies: its user (-1: none), its target row (-1: none, serving) and the rows of its history. */
typedef struct {
    int64_t user, target, lo, hi;
} Example;
Example loader_locate(const Loader *l, int64_t example);
bool loader_has_time(const Loader *l);

/* Fills the const inputs; after the examples are known. loader_const.c. */
bool loader_constants(Loader *l, Error *e);
/* Append values to an input's array, converted to its type. */
bool source_put_int(Source *s, int64_t value, Error *e);
bool source_put_real(Source *s, double value, Error *e);
bool source_put(Source *s, const DataColumn *c, int64_t from, int64_t n, Error *e);

bool buffer_grow(void **data, size_t *room, size_t bytes, Error *e);

#endif
