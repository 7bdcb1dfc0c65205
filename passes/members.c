/* members: a reduction whose conditions ask which member of a small axis a letter is becomes one equation per member,
 * each with a domain of its own. Needs: batch. Before differentiate, so that gradients have those domains, too.
 *
 *     o[b,i,c,f] sum= a[b,c,i,j] * v[b,j,f]    where j <= i, c == 2 and i - j < 64 or (c == 0 or c == 1)
 *
 *         =>  o[b,i,2,f] sum= a[b,2,i,j] * v[b,j,f]    where j <= i, i - j < 64
 *             o[b,i,0,f] sum= a[b,0,i,j] * v[b,j,f]    where j <= i     and for 1 the same */
#include "fault.h"
#include "rewrite.h"

enum { MOST_MEMBERS = 16 };

static bool compares(const Scalar *s, int letter)
{
    bool found = false;
    for (int i = 0; (s->op == OP_eq || s->op == OP_ne) && i < 2; i++) {
        const Scalar *a = s->args[i];
        found |= a->op == OP_LETTER && a->inum == letter && s->args[1 - i]->op == OP_CONST;
    }
    return found;
}

static bool asks_for_member(const Equation *e, int letter)
{
    const Axis *a = e->letters[letter].axis;
    bool bare = false, found = false;
    for (int d = 0; d < e->dst->ndim; d++) {
        bare |= e->lhs[d]->op == OP_LETTER && e->lhs[d]->inum == letter;
    }
    if (!bare || a->kind != AXIS_FIXED || a->size > MOST_MEMBERS || equation_is_parent(e, letter)) {
        return false;
    }
    for (int i = 0; i < e->nconds; i++) {
        found |= sc_asks(e->conds[i], compares, letter);
    }
    return found;
}

/* The equation keeps the first member; the others become equations behind it. Where the conditions of one never hold it
 * stays as it is: cells of that member, which hold 0, would have no equation. */
static void take_members(Graph *g, Equation *e, int letter, StepTables *tables)
{
    Draft of[MOST_MEMBERS];
    int n = (int)e->letters[letter].axis->size;
    for (int m = 0; m < n; m++) {
        of[m] = draft_from(g, e);
        draft_replace(&of[m], letter, sc_int(g, m));
        of[m] = draft_settle(&of[m]);
        if (!simplify_draft(&of[m], tables)) {
            return;
        }
    }
    if (n > 0) {
        draft_store_cases(e, n - FAULT(47), of);
    }
}

void pass_members(Graph *g)
{
    Order order = order_equations(g);
    StepTables tables = {0};
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        for (int l = 0; l < e->nletters && e->op != RED_NONE && !order.in_cycle[i]; l++) {
            if (asks_for_member(e, l)) {
                take_members(g, e, l, &tables);
                break;
            }
        }
    }
    if (g->nequations != n) {
        graph_reorder(g);
    }
}
