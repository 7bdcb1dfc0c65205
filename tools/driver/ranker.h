/* The rank section of a spec, compiled and filled with weights, over a part of a data set: what eval and rank share. */
#ifndef HEDDLE_RANKER_H
#define HEDDLE_RANKER_H

#include "feed.h"

typedef struct {
    const char *data, *weights;
    FeedOptions feed;
    FeedSplit split;
    int threads;
    uint64_t seed;
} RankerOptions;

typedef struct {
    DataSet *ds;
    Program *program;
    Pool *pool;
    Session *session;
    Feed *feed;
} Ranker;

/* False after an error: in *report (diagnostics of the spec, the exit code in e->code) or *e. Close it either way. */
bool ranker_open(Ranker *r, Project *p, const RankerOptions *o, Text *report, Error *e);
void ranker_close(Ranker *r);

#endif
