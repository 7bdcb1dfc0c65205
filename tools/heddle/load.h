/* What a benchmark runs on: --batch and --lengths. */
#ifndef HEDDLE_LOAD_H
#define HEDDLE_LOAD_H

#include "feed.h"

typedef struct {
    int64_t batch;    /* examples */
    int64_t *lengths; /* of every ragged axis, per example */
    int64_t longest;
    const char *data; /* a data set for the sizes of vocabularies, or NULL */
    DataSet *open;
} Load;

/* Sets lengths of a load whose batch is set. text: full:N, uniform:A:B, or a file with one length per line, used again
 * from its start when it is short. Free with load_free, also after an error. */
bool load_lengths(const char *text, uint64_t seed, Load *load, Error *e);
/* The project's vocabularies and fields are those of load->data from now on, if there is one. */
bool load_sizes(Load *load, Project *p, Error *e);
bool load_fits(const Plan *plan, const Load *load, Error *e); /* within the bounds of the ragged axes */
void load_free(Load *load);

#endif
