/* From a data set to batches: a recipe says how a log is cut into examples, the inputs say what each example needs.
 *
 *   recipe  next     one example per user: the next item after a history, the last events held out
 *           events   every event is an example, with the user's earlier events as its history
 *           rows     every row of a data set of rows is an example
 *           candidates  every candidate of a log, with the events of its user that came before as its history
 *
 * What the inputs of a spec are filled with (`history` = the events before the target event, the last `bound` of them):
 *
 *   item[T], ts[T], act[T]     a column of the history's events, or of the items in them
 *   tag[T, Y in T]             a list column of those
 *   target, cand               the item of the target event;   now: its time;   user: the user's id
 *   x                          a column of the target event, of the user, or of the target event's item
 *   fv[F : fields(cat)], fv[F, O in F], ctx[X : fields(num), I in X : width]      the group's fields
 *   x[V] const                 a column of the items by id; `support`: how often each item occurs in training
 *   safe[F], safe_num[X] const  the flag of the fields: of the user or of the request, so that events may see them
 *
 * A name that the data lacks is looked for by its vocabulary (`did : vocab(action)` is `act` of the target event), and
 * may be mapped (`tag=genre`). What the target event tells is only for inputs declared `label`, except its time and, in
 * the recipes events and rows, what is known before the answer: everything that is not a label of the recipe. */
#ifndef HEDDLE_DATA_LOADER_H
#define HEDDLE_DATA_LOADER_H

#include "dataset.h"

/* ---- recipes ----------------------------------------------------------------------------------------------- */

typedef enum { RECIPE_NEXT, RECIPE_EVENTS, RECIPE_ROWS, RECIPE_CANDIDATES } RecipeKind;
typedef enum { BY_SHARE, BY_USER, BY_TIME } RecipeBy;

/* SERVE: what comes after the whole history; there is no target (labels are 0) and `now` is the recipe's, or the time
 * of the last event. */
typedef enum { PART_TRAIN, PART_VALID, PART_TEST, PART_SERVE, PART_ALL /* train, valid and test */ } DataPart;

enum { RECIPE_MAPS = 16 };

/* Text form: KIND[,key=value...], e.g.  next   next,hold=2   events,label=rating>=4,valid=0.1,test=0.1   rows,part=fold
 *
 *   next    hold=1 (default)  train on e[n-2] after e[0..n-3], test on e[n-1] after e[0..n-2]: there is no validation
 *           hold=2            everything but the test one event earlier: train e[n-3], valid e[n-2], test e[n-1]
 *   events  first=K           the first K events of a user are history only (default 0)
 *           valid=, test=     the last part of each user's events (rounded down), default 0.1 each
 *           most=K            at most K targets of a user in each part, spread evenly over those there are
 *   rows    valid=, test=     by a hash of the row, default 0.1 each
 *   candidates  as rows
 *   all three  by=user           valid=, test= by a hash of the user: all or none of a user's targets
 *           by=time           the latest targets of all users together are test, those before them validation; or from
 *                             valid_from=, test_from=SECONDS on
 *           part=COLUMN       an id column with the names train, valid, test; others are history only
 *           leak=allow        a user may have a training target later than a history that evaluates
 *   all     label=EXPR        what the input `lab` is: a column, or column OP number (OP: >= > <= < ==)
 *           now=SECONDS       the time of a request when serving */
typedef struct DataRecipe {
    RecipeKind kind;
    RecipeBy by;
    int64_t hold, first, most /* 0: all */, now, valid_from, test_from;
    bool has_now, has_valid_from, has_test_from, allow_leak;
    double valid, test;
    char label[64], part[64];
    int nmaps;
    struct {
        char name[64], column[64]; /* input or vocabulary -> column or vocabulary of the data */
    } maps[RECIPE_MAPS];
} DataRecipe;

bool recipe_parse(const char *text, DataRecipe *r, Error *e);             /* NULL or "": next */
bool recipe_map(DataRecipe *r, const char *name_equals_column, Error *e); /* --map tag=genre */
/* The recipe that suits the data when none is asked for: the one in its schema; rows for rows; of a log candidates if
 * there are any, events if it has a label `lab`, else next. */
void recipe_default(const DataSet *ds, DataRecipe *r);

/* Size of a vocabulary that a spec names, -1: the data has none of that name. For LowerOptions.vocab_size. */
int64_t recipe_vocab_size(const DataSet *ds, const DataRecipe *r, const char *vocab);
/* Fields of a group: how many (-1: no such group), their names and sizes (vocabulary size; width of a number), in
 * arrays that the caller frees. For LowerOptions.fields. */
int64_t recipe_fields(const DataSet *ds, const char *group, const char ***names, int64_t **sizes);

/* ---- what a spec wants ------------------------------------------------------------------------------------- */

typedef enum {
    DIM_RAGGED, /* top level: the events; below another dim: the values of a list */
    DIM_FIELDS, /* the fields of a group */
    DIM_WIDTH,  /* below FIELDS: the values of each number field */
    DIM_VOCAB,  /* all ids of a vocabulary (const inputs) */
    DIM_FIXED   /* a known number of values: a list column of exactly that length */
} DimKind;

typedef struct {
    DimKind kind;
    const char *axis;   /* name of the axis: "T" gives the array "T.offsets" */
    int64_t min, bound; /* RAGGED; FIXED, VOCAB: bound is the size (-1: unknown) */
    const char *of;     /* FIELDS: the group; VOCAB: the vocabulary */
} DataDim;

enum { DATA_DIMS = 3 };

typedef struct {
    const char *name;
    DType dtype;       /* as the batch shall hold it */
    const char *vocab; /* or NULL */
    bool label, constant;
    int ndim;
    DataDim dims[DATA_DIMS];
} DataInput;

/* ---- loading ----------------------------------------------------------------------------------------------- */

typedef struct Loader Loader;

typedef struct {
    int64_t examples;      /* of this part */
    int64_t skipped_short; /* users (next) or events (events) without target, or with a history below the minimum */
    int64_t cut;           /* histories longer than the bound: the last events are kept */
    int64_t longest;       /* longest history before cutting */
} LoaderStats;

/* NULL: the Error names the input that the data cannot fill and lists what it has. Everything passed in but the data
 * set is copied. */
Loader *loader_new(const DataSet *ds, const DataRecipe *r, DataPart part, int ninputs, const DataInput *inputs,
                   Error *e);
void loader_free(Loader *l);
int64_t loader_count(const Loader *l);
LoaderStats loader_stats(const Loader *l);

/* The order of the examples from now on: a permutation that depends on (seed, epoch) alone, computed position by
 * position, so that any step of any epoch can be loaded directly. loader_in_order: as in the data. */
void loader_shuffle(Loader *l, uint64_t seed, int64_t epoch);
void loader_in_order(Loader *l);

/* Examples at positions first .. first + n - 1 of the order as a batch that is valid until the next call. Beside the
 * inputs it has "row" (int64): the user's id (next), the event's or the row's number; the same for every order. */
bool loader_batch(Loader *l, int64_t first, int64_t n, Batch *out, Error *e);
/* The given examples, numbered as in the data's order. */
bool loader_examples(Loader *l, int64_t n, const int64_t *examples, Batch *out, Error *e);
/* Example of a user (recipe next), -1: skipped or not there. */
int64_t loader_example_of(const Loader *l, int64_t user);
int64_t loader_user(const Loader *l, int64_t example); /* -1: rows */
int64_t loader_row(const Loader *l, int64_t example);
DataPart loader_part(const Loader *l, int64_t example); /* train, valid or test */
/* The value of an input that is one whole number per example (an id, the user), as a batch would hold it. */
bool loader_key(Loader *l, const char *input, int64_t example, int64_t *key, Error *e);
int64_t loader_time(const Loader *l, int64_t example); /* of the target; 0: it has none */

/* Const inputs only, once: as they are the same for every batch, loader_batch gives them too. */
int64_t loader_dropped_values(const Loader *l); /* list values beyond a list's bound so far: the first are kept */

#endif
