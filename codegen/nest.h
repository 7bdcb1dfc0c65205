/* The shape of the loop nest of one equation: decided from the equation alone, before any IR exists. */
#ifndef HEDDLE_NEST_H
#define HEDDLE_NEST_H

#include "ends.h"
#include "lanes.h"

enum { MAX_TESTS = 256 };

/* MAP stores each value; REGISTER sums into a register and stores once per cell; MEMORY has an output letter inside
 * and adds into the row of dst; KEYED adds into a cell computed from the tuple; LIST stores value behind value. */
typedef enum { NEST_MAP, NEST_REGISTER, NEST_MEMORY, NEST_KEYED, NEST_LIST } NestMode;

typedef struct {
    const Scalar *s; /* a condition that is no conjunction */
    int level;       /* loop in which it is tested: after it, all its letters are bound */
    int bound;       /* loop whose range it narrows instead, or -1 */
    bool lower, upper;
    int coef; /* of that letter in a - b */
    bool strict;
    const Scalar *a, *b; /* a - b <= 0, or < 0 if strict, or both bounds: == 0 */
} Test;

typedef struct {
    NestMode mode;
    unsigned outputs; /* letters that stand bare, or inside an inject, on the left-hand side */
    int n;
    int order[MAX_LETTERS]; /* letters, outermost loop first */
    int pos[MAX_LETTERS];
    int nouter;  /* REGISTER: loops over outputs; MEMORY: loops outside the initialising loop */
    bool dense;  /* MAP: every cell of the innermost range is written, 0 where the conds fail */
    bool covers; /* every cell of dst is written */
    /* What rows.c emits; rows_choose decides it last. */
    int lanes; /* the innermost loop is spelled out in vectors of so many lanes; 0: LLVM's vectoriser makes them */
    bool sums; /* REGISTER: the innermost loop makes a sum that is added to a cell which the loops around it choose */
    bool dots; /* REGISTER: the sums of neighbouring cells are made together, one per lane */
    bool lists_keys; /* KEYED in ranges of keys: the tuples of a range are listed first */
    int ntests;
    Test tests[MAX_TESTS];
    bool too_many; /* more than MAX_TESTS conditions */
    /* LIST: in place of the innermost loop, ends_emit.c lists the ends of the runs of ends.step, which is where
     * ends.cond holds. */
    bool by_runs;
    RunEnds ends;
    int64_t block; /* it holds at the last position of every block of so many, too; 0: there are none */
    int ntails;
    Test tails[MAX_ENDS]; /* and from such a position on */
} Nest;

/* Whether a call of the equation's kernel does packed rows lo <= row < hi, which its item counts with the example: the
 * example is then the outermost loop. */
bool loops_by_rows(const KernelInfo *k);
void nest_choose(const KernelInfo *k, Nest *n);
bool nest_tests_ends(const Equation *e, const Nest *n,
                     const Test *t); /* by_runs: of what is listed, a test is asked, too */
void rows_choose(const KernelInfo *k, bool plain, Nest *n);

#endif
