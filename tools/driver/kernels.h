/* The kernels of a schedule as reports speak of them: what runs together, of which lines of the spec, what it reads and
 * writes, how much work it is, and why it is not part of something larger. */
#ifndef HEDDLE_KERNELS_H
#define HEDDLE_KERNELS_H

#include "../../passes/passes.h"
#include "../../runtime/plan.h"

typedef struct {
    const char *kind;   /* cluster, product, convolve, map, rows, scatter, scan, extern */
    const char *reason; /* why it is not a better kind, or NULL */
    const Axis *axis;   /* cluster: whose positions are tiled; scan: whose positions it runs along */
    bool by_rows;       /* cluster: positions of all examples one after another; or axis is the batch itself */
    int n;
    Equation *const *members; /* in the order in which they run */
} KernelFacts;

typedef struct {
    Graph *g;
    int real_bytes;
    int64_t batch;
    const int64_t *lengths; /* of every ragged axis, per example */
    int n;
    KernelFacts *kernels;
    int *of;                /* by equation id: the kernel it runs in, -1: none */
    bool *is_virtual;       /* by tensor id: computed tile by tile, never whole */
    const char **why;       /* by equation id: why its values are in memory, or NULL */
    const PlanCall **calls; /* by equation id: its call, or NULL; see kernels_plan */
} Kernels;

/* In the order of execution; in the graph's arena. */
Kernels kernels_of(const Schedule *s, int real_bytes, int64_t batch, const int64_t *lengths);
/* Notes what the compiled plan of that schedule does with each equation. */
void kernels_plan(Kernels *k, const Plan *p);
/* Kind of one equation that runs by itself or inside another kernel: product, convolve, map, rows, scatter, extern. */
const char *kernel_kind(const Graph *g, const Equation *e, const char **reason);

/* A list of names, each once. */
typedef struct {
    int n;
    const Tensor **tensors;
} TensorList;
TensorList kernel_virtual(const Kernels *k, const KernelFacts *x); /* computed tile by tile, never whole */
TensorList kernel_sources(const Kernels *k, const KernelFacts *x); /* read, and not made inside */
TensorList kernel_sinks(const Kernels *k, const KernelFacts *x);   /* written */

/* Lines of the spec: of the members (own), and of what was inlined into their bodies (others). At most `max` go to
 * out, ascending; lines of other files than the members' are left out. Returns their number. */
int kernel_lines(const KernelFacts *x, bool own, int max, int *out);

/* "34", or "norms:3" where it is a line of another file than the spec's. */
void kernel_place(Span at, const char *spec, Text *out);

double kernel_flop(const Kernels *k, const KernelFacts *x);
double kernel_stored(const Kernels *k, const KernelFacts *x); /* bytes of what it writes */
/* Bytes it has to move at least: what it writes, and of what it reads each element once, at most as many as it has
 * tuples where a table is gathered from. */
double kernel_bytes(const Kernels *k, const KernelFacts *x);
bool load_is_by_data(const Scalar *load); /* an index of it is loaded, too */
/* Bytes that an equation asks of tables too large for the first cache, at places that data decides, and where it asks
 * for an element at every tuple: each comes from where the table is. *table: bytes of the largest of them. */
double kernel_gathered(const Kernels *k, const Equation *e, double *table);

#endif
