/* The rank section of a spec, compiled and filled with weights, over a data set: what eval and rank share. */
#ifndef HEDDLE_RANKER_H
#define HEDDLE_RANKER_H

#include "stream.h"

typedef struct {
    const char *data, *weights;
    FeedOptions feed;
    int threads;
    uint64_t seed;
} RankerOptions;

typedef struct {
    DataSet *ds;
    Program *program;
    Pool *pool;
    Session *session;
} Ranker;

/* False after an error: in *report (diagnostics of the spec, the exit code in e->code) or *e. Close it either way. */
bool ranker_open(Ranker *r, Project *p, const RankerOptions *o, Text *report, Error *e);
void ranker_close(Ranker *r);

/* Runs the session on what comes after a user's whole history; states by key are what a replay of the user's examples
 * makes of them. */
bool ranker_user(Ranker *r, const Project *p, int64_t user, Error *e);

#endif
