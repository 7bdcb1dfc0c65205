/* Recognises conditions that hold at the ends of runs. */
#include "ends.h"

/* b is a with the letter moved on by one. */
static bool is_next(const Scalar *a, const Scalar *b, int letter)
{
    if (a->op == OP_LETTER && a->inum == letter) {
        for (int i = 0; i < 2 && b->op == OP_add; i++) {
            if (b->args[i] == a && sc_is_const(b->args[1 - i], 1)) {
                return true;
            }
        }
        return false;
    }
    if (a == b) {
        return !sc_uses_letter(a, letter);
    }
    bool same =
        a->op == b->op && a->nargs == b->nargs && a->nargs > 0 && a->axis == b->axis && a->at == b->at &&
        a->ntable == b->ntable &&
        (a->op == OP_STEP || (a->op == OP_LOAD && a->tensor == b->tensor) || (a->op > OP_STEP && a->op < OP_COUNT));
    for (int i = 0; same && a->op == OP_STEP && i < a->ntable; i++) {
        same = a->table[i] == b->table[i];
    }
    for (int i = 0; same && i < a->nargs; i++) {
        same = is_next(a->args[i], b->args[i], letter);
    }
    return same;
}

/* Deals the terms of a disjunction: one comparison of neighbours, and the others. */
static bool deal(const Equation *e, const Scalar *s, RunEnds *r)
{
    if (s->op == OP_or) {
        return deal(e, s->args[0], r) && deal(e, s->args[1], r);
    }
    if (s->op == OP_ne && !r->step && s->args[0]->op == OP_STEP && s->args[1]->op == OP_STEP) {
        for (int l = 0; l < e->nletters; l++) {
            for (int i = 0; i < 2; i++) {
                const Scalar *a = s->args[i], *b = s->args[1 - i];
                if (a != b && sc_uses_letter(a, l) && is_next(a, b, l)) {
                    r->letter = l;
                    r->step = a;
                    return true;
                }
            }
        }
    }
    if (r->nothers == MAX_ENDS) {
        return false;
    }
    r->others[r->nothers++] = s;
    return true;
}

bool equation_run_ends(const Equation *e, RunEnds *out)
{
    for (int i = 0; i < e->nconds; i++) {
        *out = (RunEnds){.cond = i};
        if (deal(e, e->conds[i], out) && out->step) {
            return true;
        }
    }
    return false;
}
