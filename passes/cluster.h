/* Forming clusters: what fuse_stream.c (which tensors, which dim) and cluster.c (which equations) share. */
#ifndef HEDDLE_CLUSTER_H
#define HEDDLE_CLUSTER_H

#include "uses.h"

enum { MAX_CLUSTERS = 1024, CLUSTER_WORDS = MAX_CLUSTERS / 64 };

/* A set of clusters. */
typedef struct {
    uint64_t word[CLUSTER_WORDS];
} ClusterSet;

/* Positions of a list count along a sum of axes that it is part of: where some tensors have a dim over the sum and
 * others one over the part, the sum is tiled, and the part's positions are those of the sum that fall in it. */
struct Lift {
    Axis *sum; /* NULL: the dim is over what is tiled */
    int part;
};

typedef struct {
    Uses u;
    const Scalar ***loads; /* by equation id: what it loads, NULL-terminated */
    bool *is_candidate;    /* by tensor id: might be virtual; its equations are drawn into no cluster */
    bool *is_virtual;      /* by tensor id */
    int *dim;              /* by tensor id: the dim that is tiled, of virtual ones */
    struct Lift *lift;     /* by tensor id, of virtual ones */
    const char **why;      /* by tensor id: why it is stored although it should not be, or NULL */
    int *member;           /* by equation id: the cluster it is a sink of, 0: none */
    Scalar **tile;         /* by equation id: of members and of definitions of virtual tensors */
    int nclusters;         /* numbered from 1 */
    ClusterSet *needs;     /* by cluster: those that have to run before it, directly */
    ClusterSet *avail;     /* by tensor id: those that have to run before it is there, directly */
    bool **holds;          /* by cluster, by tensor id: virtual tensors that it computes */
    bool *is_whole;        /* by cluster: its results are sums over the batch, too large to keep copies of, cut by the
                              positions that are tiled: a tile goes through all examples */
    int ntensors;
} Clusters;

/* c->u is set, and the graph stays as it is until clusters are formed. */
void clusters_init(Clusters *c);

/* Makes every equation that reads a virtual tensor of the group the member of a cluster, earlier ones staying as they
 * are. Returns NULL, or the tensor for which it cannot be done, with the reason in *why: it has to be stored. */
const Tensor *clusters_form(Clusters *c, const bool *group, const char **why);

/* `at` in a dim that is lifted, as a position of the sum, in the example `b`. */
Scalar *lift_index(Graph *g, const struct Lift *l, Scalar *at, Scalar *b);

/* columns.c: tensors that sums over the batch, cut by their rows, get definitions of their own of. */
typedef struct {
    struct ColumnCopy {
        Tensor *of, *copy;
    } * pairs;
    int n;
} Columns;

/* Makes the copies for candidates (is_virtual) of c; true if there are any: c is then out of date. */
bool columns_copy(Clusters *c, Columns *made);
bool columns_are_virtual(const Clusters *c, const Columns *made);
/* The copies are dead again. */
void columns_undo(Graph *g, const Columns *made);

#endif
