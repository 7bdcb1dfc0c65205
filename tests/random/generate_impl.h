/* Inside the generator of random programs. Domains are tracked the way the front end tracks them: reading a tensor adds
 * the conditions under which its cells exist.
 *
 *   generate_scalar.c  chance, letters, expressions over what a frame holds
 *   generate_kinds.c   one equation or a few of each kind
 *   generate.c         the program: leaves, which kinds, the loss */
#ifndef HEDDLE_GENERATE_IMPL_H
#define HEDDLE_GENERATE_IMPL_H

#include "generate.h"

enum { MAX_VALUES = 40 };

/* A tensor with its domain: conditions over letters 0.. = its dims. */
typedef struct {
    Tensor *t;
    Scalar *conds[4];
    int nconds;
} Value;

typedef struct {
    Graph *g;
    uint64_t state;
    int64_t *seen;
    Axis *A, *B, *V, *T, *U, *Y, *Z;
    Value values[MAX_VALUES];
    int nvalues;
    int names;
} Gen;

/* An equation under construction. */
typedef struct {
    Letter letters[MAX_LETTERS];
    int n;
    Scalar *conds[16];
    int nconds;
    bool splits; /* the body chooses by the part of a letter, so no condition may exclude one */
} Frame;

/* ---- generate_scalar.c ---- */

int pick(Gen *r, int n); /* 0 .. n-1 */
bool chance(Gen *r, int percent);
const char *fresh(Gen *r, const char *stem); /* a new name */
Scalar *op1(Gen *r, Op op, Scalar *a);
Scalar *op2(Gen *r, Op op, Scalar *a, Scalar *b);
void add_cond(Frame *f, Scalar *c);                     /* unless the frame has it */
int add_letter(Gen *r, Frame *f, Axis *a);              /* its number; of a nested axis with its parent */
int find_letter(Gen *r, const Frame *f, const Axis *a); /* some letter over the axis, or -1 */
Scalar *size_of(Gen *r, Axis *a);
/* Expressions of the frame's letters; loads add their conditions to it. */
Scalar *bounded_int(Gen *r, Frame *f, int64_t size); /* 0 .. size-1 */
Scalar *real_expr(Gen *r, Frame *f, int depth);
Scalar *real_leaf(Gen *r, Frame *f);
Scalar *bool_expr(Gen *r, Frame *f, int depth);

/* ---- generate_kinds.c: each appends equations to the program ---- */

void any_equation(Gen *r);
void extremum(Gen *r);
void recurrence(Gen *r);
void cases(Gen *r);
void keyed(Gen *r);
void attention(Gen *r);
void twins(Gen *r);
void shared(Gen *r);
void powers(Gen *r);
void double_product(Gen *r);
void looked_up(Gen *r);
void bucketed(Gen *r);

#endif
