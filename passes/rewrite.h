/* Tools that the passes share: drafts of equations, folding scalar constructors, replacement of loads, order.
 *
 * A Draft is an equation under construction: letters and conds may be added, a letter may be replaced by an
 * expression, and committing it renumbers the letters into the order that ir.h asks for (output letters first). */
#ifndef HEDDLE_REWRITE_H
#define HEDDLE_REWRITE_H

#include "passes.h"

typedef struct {
    Graph *graph;
    Equation e; /* e.conds is unused while drafting */
    Scalar **conds;
    int nconds;
    bool gone[MAX_LETTERS]; /* letters that were substituted away */
} Draft;

Draft draft_new(Graph *g, Tensor *dst, Reduce op, Span span);
Draft draft_from(Graph *g, const Equation *e);
int draft_letter(Draft *d, Letter letter);            /* returns its number */
void draft_cond(Draft *d, Scalar *cond);              /* appended; `and` is split, true and repeated ones skipped */
void draft_cond_first(Draft *d, Scalar *cond);        /* the same, evaluated before all others */
void draft_replace(Draft *d, int letter, Scalar *by); /* letter := by, everywhere; the letter is gone */
bool draft_is_parent(const Draft *d, int letter);     /* some other letter is read at this one */
Equation *draft_commit(Draft *d);                     /* appends the equation to the graph */
void draft_store(Draft *d, Equation *into);           /* overwrites an existing equation */
void draft_store_cases(Equation *into, int n,
                       Draft *d); /* the first of several overwrites it, the others are appended */
Draft draft_settle(Draft *d);     /* the same with its letters in their final order */

/* The letter that a left-hand index stands for: bare, or inside an inject; -1 if it is anything else. */
int lhs_letter(const Scalar *index);
/* An equation that assigns every cell of its tensor once: distinct bare letters over the tensor's own axes. */
bool equation_covers(const Equation *e);
bool equation_has_keyed_lhs(const Equation *e);

/* Number of positions of letter k: a constant where known, else a SIZE at its ancestors. */
Scalar *letter_size(Graph *g, const Letter *letters, int k);
/* True if a letter over this axis has to know its parent letter (ragged, table, ragged sum). */
bool axis_needs_parent(const Axis *a);
/* Which dim of t an index of dim k is read at: the batch dim or the parent axis's dim; -1 if none. */
int parent_dim(const Tensor *t, int k);

/* ---- folding (fold.c): the same values as the sc_ builders, simplified where that is exact ---- */
Scalar *fold_node(Graph *g, Scalar *s); /* simplifies the root; its args are taken as simplified */
Scalar *fold(Graph *g, Scalar *s);      /* the whole expression */
Scalar *fold_op1(Graph *g, Op op, Scalar *a);
Scalar *fold_op2(Graph *g, Op op, Scalar *a, Scalar *b);
Scalar *fold_op3(Graph *g, Op op, Scalar *a, Scalar *b, Scalar *c);
bool conds_are_opposite(const Scalar *a, const Scalar *b); /* a == not b, as far as can be seen at once */
Scalar *fold_substitute(Graph *g, Scalar *s, int n, Scalar *const *map);

/* Rebuilds s bottom-up; f may replace a node whose args are already rebuilt (return it unchanged to keep it). */
typedef Scalar *(*Rewriter)(Graph *g, Scalar *s, void *ctx);
Scalar *sc_rewrite(Graph *g, Scalar *s, Rewriter f, void *ctx);
void equation_rewrite(Graph *g, Equation *e, Rewriter f, void *ctx);  /* lhs, conds and body */
Scalar *sc_swap(Graph *g, Scalar *s, const Scalar *from, Scalar *to); /* `to` in place of a node of s; not folded */

/* Calls f on every load of the equation (lhs, conds, body), each distinct one at least once. */
void equation_loads(const Equation *e, void (*f)(const Scalar *load, void *ctx), void *ctx);

/* Whether a node of s asks something of a letter. */
bool sc_asks(const Scalar *s, bool (*asks)(const Scalar *s, int letter), int letter);

/* Whether data decide the value: there is a load in it. */
bool has_load(const Scalar *s);

/* The letter that counts the rows of the batch which e works on one by one, or sums up: over a list of each example, or
 * the examples themselves; -1: there is none (fuse_rows.c). */
int equation_row_letter(const Graph *g, const Equation *e);
/* Whether a load is of the very row, counted by that letter, at which its reader stands. */
bool loads_own_row(const Equation *reader, const Scalar *load, int row);

/* ---- order (order.c) ---- */

/* Strongly connected components of the equations, dependencies first. component[e->id] numbers them from 0;
 * in_cycle tells whether the equation depends on itself. Arrays live in the graph's arena. */
typedef struct {
    int n;            /* components */
    int *first;       /* first[c] .. first[c + 1]: range in order */
    Equation **order; /* all equations, component by component */
    int *component;   /* by equation id */
    bool *in_cycle;   /* by equation id */
} Order;
Order order_equations(const Graph *g);
void graph_reorder(Graph *g); /* sorts g->equations that way and renumbers them */
/* defs[t->id]: the equations that define tensor t, NULL-terminated; NULL if none. */
Equation ***equations_by_tensor(const Graph *g);
/* Drops equations for which keep[e->id] is false, renumbers the rest. */
void graph_drop_equations(Graph *g, const bool *keep);

/* ---- a part of an equation as one of its own (part.c) ---- */

/* How many tuples a set of letters stands for, roughly: a ragged axis counts half its bound. */
double letters_extent(const Equation *e, unsigned set);
/* Lists the letters of a set as dims: the example, its lists, then the others. -1: that is no tensor. */
int letters_as_dims(const Equation *e, unsigned set, int *dims);
/* NAME.SUFFIX, with a number behind it if there is such a tensor. */
const char *unused_name(Graph *g, const char *name, const char *suffix);
bool draft_has_cond(const Draft *d, const Scalar *cond);
/* Gives the draft those of e's conditions that speak of these letters alone. Whether body is safe under them. */
bool draft_keep_conds(Draft *d, const Equation *e, unsigned letters, const Scalar *body);

/* ---- parts of passes that others use ---- */

/* Tables made so far, so that a chain that stands in many layers is tabulated once. */
typedef struct {
    const Scalar *chain, *base;
    int64_t lo, hi; /* of the base */
    Scalar *result;
} StepTable;
typedef struct {
    StepTable *tables;
    int n;
} StepTables;
Scalar *tabulate_steps(Graph *g, StepTables *tables, const Equation *e, Scalar *s); /* steps.c */
bool simplify_draft(Draft *d, StepTables *tables);   /* simplify.c; false: its conditions never hold */
bool merge_equal_equations(Graph *g);                /* cse.c */
bool equation_in_range(Graph *g, const Equation *e); /* infer.c: its loads are, as far as can be proven */
bool drop_dead_equations(Graph *g);                  /* dce.c */
void hoist_factors(Graph *g, Equation *e);           /* hoist.c, the end of fuse-map */

#endif
