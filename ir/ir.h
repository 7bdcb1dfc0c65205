/* The intermediate representation: everything a model computes is a list of equations over tensors.
 *
 *   Graph
 *    ├── Axis      what an index ranges over: a number, a ragged list per example, the batch, a sum of axes
 *    ├── Tensor    a named partial function of indices: input, param, state or value
 *    └── Equation  defines (part of) one tensor:
 *
 *        dst[lhs...]  op=  body          for every tuple of letters that satisfies all conds
 *
 *        o[b, i, h, f] sum=  a[b,h,i,j] * val[b,j,h,f]    over b, i, h, f, j   where j <= i
 *        │             │     └ body: a DAG of Scalars     │                    └ conds
 *        └ lhs         └ op (none: plain assignment)      └ letters
 *
 * One node does all the work. A letter that stands bare on the left-hand side, or alone inside an inject there, is an
 * output letter, every other letter is reduced. A left-hand index may also be a constant (`a[b, 1, h, i, j]`: one case
 * of a tensor that several equations define on disjoint cells), an inject (one source of a sum of axes) or, with op
 * sum, any integer expression: a keyed sum, which is what the gradient of a gather is.
 *
 * Meaning, exactly (ir/interp.c is the executable form of this paragraph):
 *  - letter k runs over 0 .. size-1 of its axis; the size of a ragged axis is read at its parent letter;
 *  - conds are evaluated in order, each one only where those before it hold; body only where all of them hold;
 *    select, and, or evaluate only the operand that decides. So a load may rely on conds for being in range;
 *  - a cell of dst that no tuple reaches holds 0 (false) and is "absent"; a sum over nothing is 0. max, min and
 *    argmax are never read where nothing was reached: the front end has proven it or tests a count first;
 *  - a recurrence is a tensor that an equation reads at a shifted index and that depends on it: a strongly connected
 *    component of equations along one axis. There is no scan node: the order is found by the plan pass.
 *
 * Before pass_batch the graph speaks of one example: per-example tensors have no batch dimension and the example is
 * implicit. After it, dims[0] of every per-example tensor is the batch axis and loads carry its index as argument 0.
 *
 * Memory: a Graph owns one arena; everything below lives and dies with it. Pointers are stable, ids are dense.
 * Scalars are hash-consed: equal expressions are the same pointer, so comparison is ==. */
#ifndef HEDDLE_IR_H
#define HEDDLE_IR_H

#include "arena.h"
#include "diag.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_DIMS = 8, MAX_LETTERS = 12, MAX_PARTS = 16 };

/* ---- types ------------------------------------------------------------------------------------------------ */

/* Type of a scalar expression. REAL is the precision of the run (f32 or f64); F32 stays f32 in an f64 run too:
 * every operation on it is rounded to f32 (bucket edges need that). INT is 64 bit. */
typedef enum { TYPE_BOOL, TYPE_INT, TYPE_REAL, TYPE_F32 } Type;

/* How a tensor's elements lie in memory. A load widens: I32, I64 -> INT; REAL -> REAL. */
typedef enum { ELEM_BOOL, ELEM_I32, ELEM_I64, ELEM_REAL, ELEM_F32 } Elem;

Type elem_type(Elem e);

/* ---- axes ------------------------------------------------------------------------------------------------- */

typedef enum {
    AXIS_FIXED,  /* size known when the graph is built: numbers, named members, vocabularies */
    AXIS_BATCH,  /* the examples of the step */
    AXIS_RAGGED, /* a list per element of the parent axis; parent == NULL: per example */
    AXIS_TABLE,  /* a size per position of a fixed parent axis, known now: the vocabulary of each field */
    AXIS_SUM     /* parts laid one after another; ragged if a part is */
} AxisKind;

typedef struct Axis Axis;
struct Axis {
    int id;
    const char *name;
    AxisKind kind;
    int64_t size;         /* FIXED: the size (-1: a vocabulary not known yet). RAGGED: the bound. TABLE: the sum */
    int64_t min;          /* RAGGED: declared minimum length */
    Axis *parent;         /* RAGGED (may be NULL: the example), TABLE */
    const int64_t *sizes; /* TABLE: size per position of the parent */
    int nparts;           /* SUM */
    Axis *parts[MAX_PARTS];
    bool is_distance;   /* FIXED: counts how far two positions of a list are apart; pass_convolve */
    const char *vocab;  /* FIXED: name of the vocabulary this axis enumerates, or NULL */
    const char *fields; /* FIXED, TABLE: the group of the data's fields it enumerates, or NULL */
    int nmembers;       /* FIXED with named members */
    const char *const *members;
    Span span;
};

bool axis_is_ragged(const Axis *a); /* its size differs between examples: RAGGED, or SUM with such a part */
bool axis_is_plain(const Axis *a);  /* no part of it has a size per element of another axis */
int64_t axis_bound(const Axis *a);  /* largest possible size; -1 if unknown (batch) */
/* How many indices of ancestors its size depends on, besides the example's: OP_SIZE of a has that many args, after
 * pass_batch one more in front (the example's index) if a is ragged. */
int axis_nparents(const Axis *a);

/* ---- scalars ---------------------------------------------------------------------------------------------- */

/* Leaves and structural operators first, then the functions of scalar.def. */
typedef enum {
    OP_CONST,  /* num (REAL, F32) or inum (INT, BOOL) */
    OP_LETTER, /* inum: number of the letter in its equation */
    OP_LOAD,   /* tensor[args...]; before pass_batch `at` marks a load whose args[0] names the example (x@b) */
    OP_SIZE,   /* length of axis at its parents: args = indices of the ancestors, outermost first (after batch: b first)
                */
    OP_PART,   /* args[0] = index into the sum axis (+ b): number of the part it falls in */
    OP_LOCAL,  /* args[0] = index into the sum axis (+ b): position inside that part */
    OP_INJECT, /* inum = part, args[0] = position inside the part (+ b): index into the sum axis */
    OP_RAND, /* uniform in [0,1): stream `name`, keyed by args (INT); after batch args[0] is the row id, unless by_step
              */
    OP_SELF, /* the example's own index in the batch; pass_batch replaces it by the letter b */
    OP_EXTERN, /* the whole body of an equation that output inum of a user's C function `ext` defines; args: see Extern
                */
    OP_STEP,   /* number of thresholds table[0..ntable) that are <= args[0]: a monotone step function of an integer */
#define OP(name, ...) OP_##name,
#include "scalar.def"
#undef OP
    OP_COUNT
} Op;

typedef enum {
    RULE_ARITH,
    RULE_REAL,
    RULE_TRUNC,
    RULE_INT,
    RULE_COMPARE,
    RULE_BOOL,
    RULE_SELECT,
    RULE_TO_REAL,
    RULE_TO_F32,
    RULE_SAME
} TypeRule;
enum { COMMUTES = 1, MONOTONE = 2, CHEAP = 4 };

typedef struct {
    const char *name;
    int nargs;
    TypeRule rule;
    const char *derivative[3];
    int flags;
} OpInfo;
extern const OpInfo op_info[OP_COUNT]; /* rows of the structural operators have a name and nargs -1 */

typedef struct Tensor Tensor;
typedef struct Equation Equation;

typedef struct Scalar Scalar;
struct Scalar {
    int id; /* dense in the graph, args before users */
    Op op;
    Type type;
    int nargs;
    bool at;      /* LOAD */
    bool by_step; /* RAND: the same for every example of the step */
    Scalar *const *args;
    union {
        double num;
        int64_t inum;
        Tensor *tensor;
    };
    Axis *axis;           /* SIZE, PART, LOCAL, INJECT */
    struct Extern *ext;   /* EXTERN */
    const char *name;     /* RAND: the stream's path */
    const int64_t *table; /* STEP, ascending */
    int ntable;
    Span span; /* of the first place that built it; not part of its identity */
};

/* ---- tensors and equations -------------------------------------------------------------------------------- */

typedef enum {
    ROLE_INPUT, /* given with each batch */
    ROLE_PARAM, /* learned; initialised by `init` */
    ROLE_STATE, /* lives from step to step: optimizer moments, running averages. `next` holds its value afterwards */
    ROLE_VALUE  /* defined by equations */
} Role;

typedef struct {
    const char *text; /* as written, for reports */
    enum { INIT_CONST, INIT_NORMAL, INIT_UNIFORM, INIT_TRUNC_NORMAL, INIT_ORTHOGONAL } kind;
    /* mean and std (normal), radius (uniform), value (const): expressions over the letters of the param's dims
     * (OP_LETTER k = dim k), so that an initialiser may depend on the index; constants usually */
    Scalar *a, *b;
    Scalar *cond; /* the param's own domain over the same letters, or NULL: cells outside are 0 and stay 0 */
} Init;

struct Tensor {
    int id;
    const char *name; /* unique in the graph: the path a user sees, layer.0.Wq */
    Elem elem;
    Role role;
    bool per_example;  /* differs between examples; after pass_batch dims[0] is the batch axis */
    bool is_output;    /* wanted by the caller: never inlined, never dropped */
    bool is_ascending; /* INPUT of integers: along its last dim, a list, no value is less than the one before it */
    bool is_draw;      /* a random draw by name: never inlined; a batch may give its values instead */
    /* VALUE of a cluster (see Equation): the dim that is worked on a tile of positions at a time, so that only a tile
     * of its cells exists at any moment; 0: all of it does. */
    int tile_dim;
    bool is_list; /* VALUE that an NTH defines: its dims lie in memory in the order in which they are declared, and
                     nobody reads cells behind the last of a list, which may hold anything */
    int ndim;
    Axis *dims[MAX_DIMS];
    Init *init;              /* PARAM, STATE */
    const char *const *tags; /* PARAM: @nodecay ...; NULL-terminated or NULL */
    const char *vocab;       /* INPUT of ids: its vocabulary, or NULL */
    bool is_label;           /* INPUT: known only after the answer */
    int64_t lo, hi;          /* INT tensors: range of values, lo > hi means unknown */
    Tensor *next;            /* STATE: the value after the step. PARAM: after the optimizer's update */
    Tensor *grad;            /* set by pass_differentiate */
    bool is_carried;         /* STATE per example: a step may hold several examples of one key one after another, and
                                then the state of each is `next` of the one before. It is the schedule's business
                                (passes.h); equations see a state that is given, so the graph has no cycle here */
    Tensor *pull;            /* carried: what the later examples add to the gradient of `next`; a state, 0 at first */
    Span span;
};

/* Cells of one example, or of all of a tensor that is no example's own, lists as long as they may be, at one position
 * of dim `but` (-1: of all). INT64_MAX: unknown, or more. */
int64_t tensor_cells(const Tensor *t, int but);

typedef enum { RED_NONE, RED_SUM, RED_MAX, RED_MIN, RED_ARGMAX, RED_ANY, RED_NTH } Reduce;
/* ARGMAX yields the first reduced index (INT) that attains the maximum of the body; one reduced letter only.
 * NTH lists: with r the letter that stands first on the left (behind the example's), alone and nowhere else, the cell
 * gets the body (INT) at the r-th tuple, from 1, that satisfies the conds; one reduced letter only, in ascending order.
 * Cell 0 holds how many are listed: those for which there is a cell. dst is a list. (First, so that in memory the lists
 * of neighbours lie side by side.)
 *
 * mean is a sum divided by a count, count a sum of 1, draw a RAND or an ARGMAX: they are gone in the graph. */
extern const char *const reduce_name[];

typedef struct {
    Axis *axis;
    const char *name;
    /* Number of the letter at which a ragged or table axis is read; -1: none, or the implicit example. After pass_batch
     * the chain of a ragged axis ends at a letter over the batch: so a letter over a fixed axis that has a list per
     * element has the example's letter as its parent. */
    int parent;
} Letter;

struct Equation {
    int id;
    Tensor *dst;
    Scalar *lhs[MAX_DIMS]; /* one per dst dimension */
    Reduce op;
    int nletters;
    Letter letters[MAX_LETTERS]; /* output letters first, in lhs order, then reduced ones */
    int nconds;
    Scalar *const *conds; /* BOOL, all must hold */
    Scalar *body;
    /* Equations of one cluster (numbered from 1; 0: none) run together: for each example, for each tile of positions,
     * each equation in order. `tile` is the position that is cut: a letter, or an inject of one into the sum of axes
     * whose positions the cluster tiles; or an inject of a constant: then the equation runs in the one tile that holds
     * this position. What the equations mean does not change; pass_fuse_stream forms clusters. */
    int cluster;
    Scalar *tile;
    /* Of a cluster by rows: a tile is so many rows of the batch, the lists of its examples one after another, and
     * `tile` the letter that counts them, with the example's letter as its parent, or that letter itself.
     * pass_fuse_rows. */
    bool by_rows;
    /* Adds to what the other equations of its tensor, those that do not, have set; they come first, in the same
     * cluster. A SUM. pass_add_up. */
    bool adds;
    Span span;
};

/* An equation that adds depends on another one of its tensor. */
bool equation_adds_to(const Equation *e, const Equation *other);

/* The letter stands bare on the left-hand side, or alone inside an inject there. */
bool equation_is_output(const Equation *e, int letter);
/* The letters of a set (bit k: letter k), and those that they are read at. */
unsigned equation_with_parents(const Equation *e, unsigned letters);
/* Other letters are read at this one. */
bool equation_is_parent(const Equation *e, int letter);
/* NTH: the letter that counts; -1: there is none where it belongs. */
int equation_rank_letter(const Equation *e);
/* The letter whose positions the cluster cuts into tiles (-1: in no cluster, or at one position), and the letter of the
 * example (-1: in no cluster). */
int equation_tile_letter(const Equation *e);
int equation_example_letter(const Equation *e);

/* A call of a user's C function, once per example, on whole tensors. Each output is a tensor with one equation
 *
 *     y[b, i, d] = extern(0, 0; x[b, 0, 0], w[0])
 *
 * whose args are the inputs: one load of each, which stands for all of the example's cells; its indices after the
 * example's mean nothing. So whoever asks what an equation reads gets the right answer; passes that rewrite bodies
 * leave this one alone, and what it reads and writes is stored. Two calls are never one. */
enum { MAX_EXTERN_INPUTS = 8 }; /* of a function; its gradient has one more */

typedef struct Extern Extern;
struct Extern {
    int id;
    const char *library, *symbol;
    const char *gradient; /* symbol of the function for its adjoints, or NULL: none flows */
    int nout;
    Tensor *out[MAX_EXTERN_INPUTS];
    Span span;
};

/* How params are updated: a row of passes/optimizer.def with its values; group[] overrides values for params that
 * carry a tag. lr is not here: it is an input of the step, "opt.lr". */
typedef struct {
    const char *name;
    double value;
} NamedValue;

typedef struct {
    const char *rule;
    int nvalues;
    NamedValue *values;
    int ngroups;
    struct {
        const char *tag;
        int nvalues;
        NamedValue *values;
    } * groups;
    double clip; /* bound on the global gradient norm; 0: none */
} Optimizer;

struct Graph {
    Arena *arena;
    Diag *diag;
    const char *name;
    bool batched; /* pass_batch has run */
    Axis *batch;  /* the batch axis (always exists) */
    Tensor *row;  /* INPUT int64 per example: id of the row, the same wherever the example turns up */
    Axis **axes;
    int naxes;
    Tensor **tensors;
    int ntensors;
    Equation **equations;
    int nequations; /* in an order in which values are defined before use, recurrences aside */
    Scalar **scalars;
    int nscalars;
    Extern **externs;
    int nexterns;
    struct StoredTensor { /* tensors that would better not be stored, and why they are: for reports */
        const Tensor *tensor;
        const char *reason;
    } * stored;
    int nstored;
    struct StoredTensor *dense; /* sums over a list that would better be sums over runs (pass_prefix), and why not */
    int ndense;
    Tensor *loss;         /* or NULL */
    Optimizer *optimizer; /* or NULL */
    struct ScalarTable *table;
};
typedef struct Graph Graph;

/* ---- construction (graph.c). Builders check types and call bug() on misuse: an ill-typed scalar cannot exist. ---- */

Graph *graph_new(Arena *arena, Diag *diag, const char *name);
Axis *graph_axis(Graph *g, Axis proto);       /* copies proto, assigns id */
Tensor *graph_tensor(Graph *g, Tensor proto); /* copies proto, assigns id; bug() if the name is taken */
Tensor *graph_find(const Graph *g, const char *name);
Extern *graph_extern(Graph *g, Extern proto); /* copies proto, assigns id; its outputs may be set afterwards */
/* The equation of output k: dst is a tensor over plain axes, the args one load per input. */
Equation *graph_extern_output(Graph *g, Extern *x, int k, int n, Scalar *const *args);
bool equation_is_extern(const Equation *e);
void graph_drop_externs(Graph *g);                  /* those that no equation calls; the rest is numbered anew */
Equation *graph_equation(Graph *g, Equation proto); /* copies proto and its conds array, appends, verifies it */

Scalar *sc_real(Graph *g, double v);
Scalar *sc_f32(Graph *g, double v); /* rounded to float */
Scalar *sc_int(Graph *g, int64_t v);
Scalar *sc_bool(Graph *g, bool v);
Scalar *sc_letter(Graph *g, int k);
Scalar *sc_load(Graph *g, Tensor *t, int n, Scalar *const *args);
Scalar *sc_size(Graph *g, Axis *a, int n, Scalar *const *args);
Scalar *sc_axis_op(Graph *g, Op op, Axis *a, int part, int n, Scalar *const *args); /* PART, LOCAL, INJECT */
Scalar *sc_rand(Graph *g, const char *stream, bool by_step, int n, Scalar *const *args);
Scalar *sc_self(Graph *g);
Scalar *sc_extern(Graph *g, Extern *x, int k, int n, Scalar *const *args);
Scalar *sc_step(Graph *g, int n, const int64_t *table, Scalar *arg);
Scalar *sc_op(Graph *g, Op op, ...); /* nargs Scalar* follow; INT promotes to REAL where mixed */
Scalar *sc_opv(Graph *g, Op op, int n, Scalar *const *args);
const char *sc_check(Op op, int n, Scalar *const *args); /* NULL, or why sc_opv would not take these */
/* The same node with other arguments (types are derived again). */
Scalar *sc_rebuild(Graph *g, const Scalar *s, Scalar *const *args);
Scalar *sc_with_span(Graph *g, Scalar *s, Span span); /* sets the span if it has none yet */

/* Replaces letter k by map[k] (NULL: leaves it) everywhere in s. */
Scalar *sc_substitute(Graph *g, Scalar *s, int n, Scalar *const *map);
/* Calls f on every node of s once, args before users. */
void sc_walk(const Scalar *s, void (*f)(const Scalar *, void *), void *ctx);
void equation_walk(const Equation *e, void (*f)(const Scalar *, void *), void *ctx); /* body, conds, left-hand side */
unsigned sc_letters(const Scalar *s); /* those it uses; bit k: letter k */
bool sc_uses_letter(const Scalar *s, int k);
bool sc_is_const(const Scalar *s, double v); /* REAL or INT constant equal to v */
/* Value of a closed expression (no letters, loads): REAL by double arithmetic, F32 rounded after each operation. */
bool sc_evaluate(const Scalar *s, double *out);

/* ---- text form, verifier, oracle -------------------------------------------------------------------------- */

void graph_print(const Graph *g, Text *out);                                      /* canonical; ir/ir.md */
Graph *graph_parse(Arena *arena, Diag *diag, const char *file, const char *text); /* NULL after an error */
/* Parses one scalar expression over the given names (letters, args a b c y ...): names[i] stands for values[i]. */
Scalar *scalar_parse(Graph *g, const char *text, int n, const char *const *names, Scalar *const *values);
/* Numbers the strongly connected components of equations (one that reads itself or a cycle of them is a recurrence):
 * component[id of equation]; what a component depends on has smaller numbers. Returns how many there are. */
int graph_components(const Graph *g, int *component);
bool equation_verify(const Graph *g, const Equation *e, Text *why); /* one equation alone; graph_equation asks it */
bool graph_verify(const Graph *g, Text *why); /* the invariants of this header; false: why says which is broken */

/* random.h: the definition of RAND, shared by the interpreter, the generated code and the runtime. */

#endif
