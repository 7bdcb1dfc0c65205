/* The inside of loops.c that rows.c works with: the state of one nest while it is emitted, and the steps of a level. */
#ifndef HEDDLE_LOOPS_H
#define HEDDLE_LOOPS_H

#include "nest.h"
#include "spread.h"

enum { MAX_CHUNKS = 16 }; /* vectors of an innermost loop that is spelled out */

typedef struct {
    Emit *x;
    Nest n;
    Type type;     /* of what is stored */
    int key_level; /* loop in which the key is compared with [lo, hi), or -2 */
    LLVMValueRef acc, reached, best;
    LLVMValueRef first_example, end_example; /* of the rows of the call */
    const Spread *spread;                    /* of the innermost loop, or NULL */
    /* rows.c */
    int nchunks;
    LLVMValueRef accs[MAX_CHUNKS]; /* MEMORY: the row of the cell, in locals */
    LLVMValueRef *known;           /* per chunk and node: a vector that no inner loop changes, or NULL */
    int *known_level;              /* and the level at which it was made */
    bool is_listed[MAX_TESTS];     /* tests that the list of tuples has already seen to */
} Loops;

void loops_level(Loops *s, int level);                                       /* the loops from this one inwards */
void loops_range(Loops *s, int level, LLVMValueRef *from, LLVMValueRef *to); /* positions of its letter, narrowed */
void loops_require(Loops *s, int level, LLVMBasicBlockRef skip);             /* branches to skip where a test fails */
void loops_hoist(Loops *s, int level);
LLVMValueRef loops_destination(Loops *s);                       /* address of the cell */
void loops_list(Loops *s, LLVMValueRef at, LLVMValueRef value); /* LIST: stores into a cell of the list at hand */
/* Of a condition that bounds this loop: the first position at which it holds, if it holds from one on. */
LLVMValueRef loops_lower_bound(Loops *s, int level, const Test *t);

void ends_level(Loops *s, int level); /* ends_emit.c, in place of the innermost loop: LIST */

void rows_start(Loops *s);             /* once, in the entry block's scope */
void rows_finish(Loops *s);            /* frees */
void rows_hoist(Loops *s, int level);  /* vectors that the letters bound so far decide */
void rows_forget(Loops *s, int level); /* at the end of the loop that bound the level's letter */
void rows_start_cell(Loops *s);        /* MEMORY */
void rows_finish_cell(Loops *s);
void rows_statement(Loops *s);         /* in place of the innermost loop: MEMORY, KEYED */
void rows_dots(Loops *s, int level);   /* in place of the two innermost loops: REGISTER */
void rows_listed(Loops *s, int level); /* in place of the loop outside the innermost one: KEYED */

#endif
