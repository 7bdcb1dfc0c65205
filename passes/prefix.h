/* Sums that a step function of an ascending list weighs: prefix_proof.c finds them, prefix.c takes them apart; and what
 * it takes to make an equation of its own of one case of a sum, which convolve.c does with those weighed by distance.
 */
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

Prefix prefix_start(Graph *g);
bool prefix_take_factors(Sum *s, Scalar *x); /* appends those of a product; false: they are too many */
/* What a definition says at the load, or NULL; *peel: the dim that it has for one member only, or -1. */
Scalar *prefix_look_up(Sum *s, const Scalar *load, const Equation *def, int *peel);
/* Sets the case that this definition is for. False: it cannot be taken out of the equation, or was before. */
bool prefix_take_case(Sum *s, const Scalar *load, const Equation *def, int dim);
/* The equation without the case that was taken out of it. */
void prefix_keep_other_members(const Sum *s, Equation *e);
/* Drops cases of definitions that nobody reads any more, and equations whose cases are all gone. */
void prefix_drop_unread_cases(Prefix *p);
/* Of this kind and size, one for all sums; its name gets the size behind it. */
Axis *prefix_axis(Prefix *p, Axis proto);
/* A value named after the sum; of each example if the first dim is the batch. */
Tensor *prefix_tensor(const Sum *s, const char *suffix, Elem elem, int64_t lo, int64_t hi, int ndim, Axis **dims);

#endif
