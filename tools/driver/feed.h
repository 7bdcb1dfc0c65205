/* Batches of a data set for a program: what its inputs are called decides which columns are read. */
#ifndef HEDDLE_FEED_H
#define HEDDLE_FEED_H

#include "data/loader.h"
#include "driver.h"

typedef struct Feed Feed;

typedef struct {
    const char *recipe; /* how the data is cut into examples (runtime/data/loader.h); NULL: what suits the data */
    bool held_back;     /* without a recipe: keep a validation event between training and test */
    int nmaps;
    const char *const *maps; /* input=column */
} FeedOptions;

/* The data set fills the project's inputs from now on: its recipe, the sizes of all vocabularies, the fields of groups.
 * Before anything is compiled. */
bool project_use_data(Project *p, const DataSet *ds, const FeedOptions *o, Error *e);

Feed *feed_open(const Project *p, const Program *prog, DataPart part, Error *e);
void feed_close(Feed *f);
int64_t feed_rows(const Feed *f); /* examples of one epoch */
const char *feed_report(Feed *f); /* one line on skipped and cut rows */

/* The order from now on: shuffled by (seed, epoch), or as in the data. */
void feed_order(Feed *f, bool shuffle, uint64_t seed, int64_t epoch);
/* Examples first .. first + n - 1 of the order; valid until the next call. */
bool feed_batch(Feed *f, int64_t first, int64_t n, Batch *out, Error *e);
/* Those examples, numbered as in the data. */
bool feed_examples(Feed *f, int64_t n, const int64_t *examples, Batch *out, Error *e);
/* Of one example: the value of an input that is a key, the time of its target, its part. */
bool feed_key(Feed *f, const char *input, int64_t example, int64_t *key, Error *e);
int64_t feed_time(const Feed *f, int64_t example);
DataPart feed_part(const Feed *f, int64_t example);
/* The example of one user, by dense id; false with an error if it has none. */
bool feed_user(Feed *f, int64_t user, Batch *out, Error *e);

#endif
