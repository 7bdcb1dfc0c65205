/* The inside of the interpreter: interp.c runs equations, interp_data.c knows sizes and holds values. */
#ifndef HEDDLE_INTERP_PRIVATE_H
#define HEDDLE_INTERP_PRIVATE_H

#include "interp.h"
#include "value.h"

/* Who wrote a cell: an equation's id + 1, or one of these. */
enum { CELL_UNKNOWN = 0, CELL_COMPUTING = -1, CELL_ABSENT = -2, CELL_GIVEN = -3 };

typedef struct {
    int64_t ncells, size[MAX_DIMS], stride[MAX_DIMS]; /* padded to the longest list, row-major */
    Value *values;
    int32_t *owner;
    int parent[MAX_DIMS]; /* the dimension whose list the list of this one stands in, or -1 */
    bool given, total;
} Cells;

typedef struct Nest Nest; /* interp.c: how an equation's loops are nested */

struct Interp {
    const Graph *g;
    int64_t batch;
    uint64_t seed, step;
    bool strict;
    int64_t **offsets; /* by axis: of its lists, or NULL */
    int64_t *nlists;
    int64_t *size;                      /* by axis: FIXED; -1 unknown */
    Cells *cells;                       /* by tensor */
    int *component, *first, *following; /* equations: component, and by tensor the list of those that define it */
    int ncomponents, running;           /* the component being computed on demand, or -1 */
    uint64_t *stamp;                    /* by scalar: the evaluation its memo belongs to */
    Value *memo;
    uint64_t clock;
    Nest **nests;          /* by equation, or NULL */
    int depth;             /* cells of a recurrence being computed inside one another */
    bool failed, deferred; /* deferred: the recursion became too deep; the cell is tried again from elsewhere */
    Text error;
    InterpExtern call; /* or NULL */
    void *call_ctx;
};

void interp_run_extern(Interp *in, const Equation *e); /* interp_extern.c */
void interp_free_nests(Interp *in);
/* Records an error; the first one is kept. */
void interp_fail(Interp *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Length of an axis at its parents (indices of the ancestors, outermost first) in example b; -1 after an error. */
int64_t interp_length(Interp *in, const Axis *a, int64_t b, int n, const int64_t *parents);
/* Length of dimension d of t, where the indices of the other dimensions are given. */
int64_t interp_dim(Interp *in, const Tensor *t, int d, const int64_t *index);
/* The largest length of an axis in this batch. */
int64_t interp_longest(Interp *in, const Axis *a);
/* Makes the array of a tensor if it is not there. */
bool interp_allocate(Interp *in, const Tensor *t);
/* The cell at these indices; NULL and an error if it does not exist. */
bool interp_locate(Interp *in, const Tensor *t, const int64_t *index, int64_t *cell);

#endif
