/* Left-hand sides of equations: between equation.c and lhs.c. */
#ifndef HEDDLE_LHS_H
#define HEDDLE_LHS_H

#include "elab.h"

/* One place of a left-hand side: a letter, perhaps with the sources it runs over, or a member. */
typedef struct {
    const char *letter; /* NULL: a member */
    int nsources;
    const char *const *sources;
    const char *member;
    Span span;
    Slot *slot; /* of the letter */
} Place;

/* The places of one left-hand side, starred letters expanded; their number, or -1 after an error. */
int places_of(Env *env, const Lhs *l, Place *out);
/* The axes of a name from the places of all its cases. */
bool find_dims(Elab *E, const Entity *e, Env **envs, Place (*places)[MAX_DIMS], int ndim, Axis **dims);
/* Binds the letters and says which cells the case defines; source: what a letter with several sources runs over now. */
bool bind_places(Env *env, const Sym *sym, const Place *places, const char *source, Case *k, Scalar **lhs);

#endif
