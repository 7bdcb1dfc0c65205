/* The passes: each one function on the graph, in its own file, dumpable and testable alone.
 *
 *   lower (front end) ─► infer ─► simplify ─► batch ─► gather ─► members ─► prefix ─► convolve ─► lookup
 *        ─► differentiate ─► optimize ─► clean ─► split ─► recompute ─► resum ─► contract ─► fuse-map
 *        ─► fuse-stream ─► fuse-sums ─► fuse-rows ─► remake ─► share ─► add-up ─► plan ─► code generation
 *
 * A pass never frees a node; it rewrites equations in place or appends. Rewrites go one way: front passes expand,
 * later ones shrink. pipeline.c is the table of them. */
#ifndef HEDDLE_PASSES_H
#define HEDDLE_PASSES_H

#include "ir.h"

/* infer: proves every load in range by interval analysis over letters, sizes, conds and declared value ranges;
 * an unprovable one is E0210 at its span. */
void pass_infer(Graph *g);

/* simplify: constants folded, equal equations merged, dead equations dropped, select under a sum into its domain,
 * integer step functions of one integer into OP_STEP tables. */
void pass_simplify(Graph *g);

/* batch: the spec speaks of one example; here the examples come in. Per-example tensors get dims[0] = batch, every
 * equation that defines one gets the letter b, loads get their example, sizes their parent, random draws their row. */
void pass_batch(Graph *g);

/* gather: rows that are the same for all examples are gathered once; cells that ids pick out of a large value are
 * computed where they are read. Needs batch. */
void pass_gather(Graph *g);

/* members: reductions that ask which member of a small axis a letter is become one equation per member. */
void pass_members(Graph *g);

/* prefix: sums over a list, weighted by a step function of an ascending input, become sums over its runs. */
void pass_prefix(Graph *g);

/* convolve: sums over a list that weigh by distance alone become equations of their own, with kernels of their own. */
void pass_convolve(Graph *g);

/* lookup: sums with rows of a small param that data pick are formed once with each of its rows. */
void pass_lookup(Graph *g);

/* differentiate: reverse mode from g->loss to every real PARAM; sets param->grad and appends adjoint equations. Needs
 * batch. */
void pass_differentiate(Graph *g);

/* optimize: g->optimizer's rule as equations: param->next and moments (STATE tensors "opt.m.PATH" ...) from
 * param->grad and the input opt.lr. Needs differentiate. */
void pass_optimize(Graph *g);

/* split: equations that ask in which part of a sum of axes an index falls become one equation per part. */
void pass_split(Graph *g);

/* recompute: forward values that the adjoints read and that are cheaper to compute again than to keep are inlined
 * there. */
void pass_recompute(Graph *g);

/* resum: a sum over more letters adds up a sum over fewer of the same body (the gradient of a bias: that of what stands
 * beside it). */
void pass_resum(Graph *g);

/* contract: rewrites sums of products so that as many as pay are matrix products of two stored tensors, which
 * contract_match (contract.h) recognises: constant and outer factors move behind the sum, other factors become
 * values of their own. */
void pass_contract(Graph *g);

/* fuse-map: pointwise producers into their consumers. */
void pass_fuse_map(Graph *g);

/* fuse-stream: forms clusters, equations that run together tile by tile, so that tensors which grow with the square of
 * a list are never stored. Last: nothing may rewrite equations afterwards. */
void pass_fuse_stream(Graph *g);

/* fuse-sums: sums over the positions of a cluster join it, and what nobody else reads is a tile at a time. */
void pass_fuse_sums(Graph *g);

/* fuse-rows: forms clusters of what runs one after another on the same rows of the batch, so that what one equation
 * writes is still in the cache when the next one reads it, and need not be stored where no other group does. */
void pass_fuse_rows(Graph *g);

/* remake: what a cluster of rows can make again of what it reads anyway is not stored for it. */
void pass_remake(Graph *g);

/* share: what several equations of one cluster compute alike is computed once, by an equation of its own in it. */
void pass_share(Graph *g);

/* add-up: values of a cluster that nobody reads but added to one another add to the cells of the first of them. */
void pass_add_up(Graph *g);

/* A result of a cluster that is a sum over the batch: whether it is larger than what is kept once per group of
 * examples. Then the cluster's tiles go through all examples, each adding to the cells at its positions. */
bool is_too_large_to_copy(const Tensor *t);

/* Whether all that equations[0..n), which hold all definitions and readers of t, read of it are cells that are defined
 * (present.c). */
bool reads_present_cells(Graph *g, const Tensor *t, int n, Equation *const *equations);

/* Why the values of each equation are kept in memory instead of being computed where they are read: by equation id,
 * NULL where nothing keeps them there. For reports, of a graph after fuse-map; in the graph's arena. */
const char **why_stored(Graph *g);

typedef struct {
    const char *name;
    void (*run)(Graph *g);
    const char *why; /* why it stands where it stands */
} Pass;
extern const Pass pipeline[];
extern const int npasses;

typedef struct {
    bool training;          /* differentiate and update */
    const char *stop;       /* run up to and including this pass (explain --after), or NULL */
    const char *skip;       /* comma-separated names of passes to leave out, or NULL */
    bool grads_are_outputs; /* every param's gradient is wanted by name */
    bool verify;            /* verify the graph after every pass */
    void (*dump)(void *ctx, const char *pass, const Graph *g);
    void *ctx;
} PipelineOptions;
/* Runs the table; false after a user's error (in g->diag). */
bool pipeline_run(Graph *g, const PipelineOptions *o);

/* ---- plan: the order of execution --------------------------------------------------------------------------- */

typedef struct {
    bool is_scan; /* a recurrence: equations[0..n) run once for each position of `axis`, in this order */
    bool backwards;
    bool is_cluster; /* equations[0..n) run once for each tile of positions of `axis`, in this order */
    bool by_rows;    /* and a tile is so many rows of the batch, as `axis` (perhaps the batch's) counts them */
    Axis *axis;
    int n;
    Equation **equations;
    int *scan_letter; /* per equation: its letter over the scan axis; of a cluster: of the example. Or -1 */
} Group;

/* Groups that run once for each level of the step. A step with carried states has its examples in levels: the first
 * example of every key in it, then the second of those keys that have one, and so on; example r of a level follows
 * example r of the level before. Forwards, the states of a level are the next values of the level before; backwards,
 * the pull of a level is the gradient of the states of the level after. */
typedef struct {
    int first, n; /* groups */
    bool backwards;
} Levels;

typedef struct {
    Graph *graph;
    int ngroups;
    Group *groups;
    int nlevels; /* 0, or 1: forwards, or 2: and then backwards */
    Levels levels[2];
} Schedule;

/* Moves groups so that what lies between carried states and their next values is one run of groups, and so is what lies
 * between pulls and gradients of carried states; pass_plan does it. */
void schedule_levels(Schedule *s);

/* plan: strongly connected components of equations become scans, clusters stay together, the rest is ordered so that
 * values are used soon
 * after they are made. NULL after an error (a recurrence that is not along one axis: E0230). */
Schedule *pass_plan(Graph *g);

#endif
