/* Sums that a step function of an ascending list weighs: prefix_proof.c finds them, prefix.c takes them apart. */
#ifndef HEDDLE_PREFIX_H
#define HEDDLE_PREFIX_H

#include "rewrite.h"

enum { MAX_FACTORS = 8 };

typedef struct {
    Graph *g;
    Equation ***defs;
    const bool *in_cycle;     /* by equation id */
    int nequations, ntensors; /* that these know */
    bool *gone;               /* by equation id: all its cases were taken out */
    Axis **sizes;             /* axes made here, by size */
    int nsizes;
} Prefix;

/* One sum, and what is found out about it. */
typedef struct {
    Prefix *p;
    const Equation *e;
    int j, example;
    int peeled; /* letter that is a constant in the case at hand, or -1 */
    int64_t member;
    int n;
    Scalar *factor[MAX_FACTORS];
    int which; /* the factor that is the weight */
    Scalar *weight;
    const Scalar *step;
    unsigned rows; /* letters that the runs depend on, without the example and j */
    unsigned row;  /* letters of v, without the example and j */
    int pieces;    /* on each of which the step function's argument is monotone in j */
    const char *why;
} Sum;

/* Whether e is, or has a case that is, such a sum: then all of *s is known. Else s->why may say what is missing. */
bool prefix_find_sum(Prefix *p, const Equation *e, Sum *s);
/* A condition that differs between rows. */
bool prefix_is_of_row(const Sum *s, const Scalar *c);
/* `to` in place of a node of s. */
Scalar *prefix_swap(Graph *g, Scalar *s, const Scalar *from, Scalar *to);

#endif
