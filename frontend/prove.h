/* Dependence of tensors on one source, for `prove`: prove.c finds it, prove_report.c explains it. Private.
 *
 * The source x is any tensor; what it is computed from does not count. Let the positions of a tensor be its indices
 * over the axis of the statement. For a tensor y a set D of positions is a bound if every cell of y depends on no
 * cell of x that is later than all of its own indices in D: for `causal` a bound of x itself is every set with x's own
 * position in it. The empty set is a bound of what depends on no cell of x at all, so `independent` is the same
 * question without an axis. The first element of the axis is one more position, which every tensor has: a bound that
 * holds only this says that nothing later than the first element is depended on.
 *
 *   s[i,j] = q[i] * k[j]          bounds {i,j}: not later than the later of both
 *   o[i] = sum[j where j <= i] s[i,j] * v[j]      bounds {i}, since i <= i and j <= i
 *
 * Over a sum of axes every source, and every member of an axis of members, is a case of its own: a letter is replaced
 * by "position p of source k" for each k in turn, which decides the conditions of a rel, and a tensor has one family
 * of bounds per choice. Families only shrink, so recurrences settle; what they settle on holds for every cell, by
 * induction over the order in which cells are computed. */
#ifndef HEDDLE_PROVE_H
#define HEDDLE_PROVE_H

#include "elab.h"

enum { MAX_ALONG = 6, MAX_CHOICES = 4096, FIRST = -1 };

typedef uint64_t Bounds; /* bit D: the set D of positions (bit k: position k) is a bound */

/* The positions of a tensor in one choice of sources for its dimensions: dim[0] is FIRST, then its dimensions over the
 * axis. None at all (independence, too many choices or too many positions): only the empty set can be a bound. */
typedef struct {
    int n;
    int dim[MAX_ALONG];
} Along;

typedef struct {
    Elab *E;
    Graph *g;
    const Axis *axis; /* NULL: independence */
    const Tensor *source;
    int own;         /* causal: the dimension of the source that is meant */
    Bounds **bounds; /* per tensor, per choice */
} Proof;

/* One way in which a case of an equation depends on something: on the cells of t that a load may read, or on the
 * lengths of the lists of one element of x (t is then the source). */
typedef struct {
    const Equation *eq;
    int to; /* choice of eq->dst */
    const Tensor *t;
    int choice;
    Along along, out;          /* positions of t and of eq->dst */
    unsigned below[MAX_ALONG]; /* per position of t: positions of eq->dst that are proven not to be before it */
    Scalar *index[MAX_ALONG];  /* per position of t: the index there, NULL if it is any */
    Scalar *at[MAX_ALONG];     /* per position of eq->dst: the index there */
    const Conds *conds;        /* what holds where it is read */
    Scalar *const *map;        /* what letters stand for in this case */
    Ctx *c;
} Use;

int prove_choices(const Tensor *t);
void prove_ways(const Tensor *t, int choice, int *way); /* the source or member that each dimension is of */
Along prove_along(const Proof *p, const Tensor *t, int choice);
/* The positions of u->t that lie below some position in `set` of the equation's result. */
unsigned prove_cover(const Use *u, unsigned set);
bool prove_bound(const Proof *p, const Tensor *t, int choice, unsigned set);
/* Calls f for every dependence of the equation on the source. */
void prove_uses(Proof *p, const Equation *eq, void (*f)(const Use *, void *), void *ctx);

/* Reports that the cells of `to` in that choice are not bounded by `set`. */
void prove_report(Proof *p, const Stmt *stmt, const Tensor *to, int choice, unsigned set);
const char *prove_text(Elab *E, const Stmt *stmt); /* as a user writes it */

#endif
