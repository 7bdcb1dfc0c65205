/* Domains: conjunctions of conditions, in the order in which they may be evaluated. A condition that follows from the
 * ones before it, or from what the statement knows (its left-hand `where`), is left out, so that what later passes
 * see is `j <= i` and nothing else. */
#include "elab.h"

void conds_push(Elab *E, Conds *c, Scalar *s)
{
    ARENA_PUSH(E->arena, c->v, c->n, s);
}

bool conds_has(const Conds *c, const Scalar *s)
{
    for (int k = 0; k < c->n; k++) {
        if (c->v[k] == s) {
            return true;
        }
    }
    return false;
}

bool conds_false(const Conds *c)
{
    for (int k = 0; k < c->n; k++) {
        if (c->v[k]->op == OP_CONST && c->v[k]->inum == 0) {
            return true;
        }
    }
    return false;
}

static bool nonneg_difference(Ctx *c, Scalar *big, Scalar *small, int64_t slack, const Conds *known)
{
    Graph *g = c->E->g;
    Scalar *d = sc_op(g, OP_sub, big, small);
    return proves_nonneg(c, slack != 0 ? sc_op(g, OP_sub, d, sc_int(g, slack)) : d, known);
}

bool follows(Ctx *c, const Scalar *s, const Conds *known)
{
    if (known != NULL && conds_false(known)) {
        return true; /* where nothing is, anything holds */
    }
    if (s->op == OP_CONST) {
        return s->inum != 0;
    }
    if (conds_has(&c->facts, s) || (known != NULL && conds_has(known, s))) {
        return true;
    }
    bool ints = s->nargs == 2 && s->args[0]->type == TYPE_INT && s->args[1]->type == TYPE_INT;
    switch (s->op) {
    case OP_le:
        return ints && nonneg_difference(c, s->args[1], s->args[0], 0, known);
    case OP_lt:
        return ints && nonneg_difference(c, s->args[1], s->args[0], 1, known);
    case OP_eq:
        return ints && s->args[0] == s->args[1];
    case OP_ne:
        return ints && (nonneg_difference(c, s->args[1], s->args[0], 1, known) ||
                        nonneg_difference(c, s->args[0], s->args[1], 1, known));
    case OP_and:
        return follows(c, s->args[0], known) && follows(c, s->args[1], known);
    case OP_or:
        return follows(c, s->args[0], known) || follows(c, s->args[1], known);
    case OP_LOAD:
        return nonempty_of(c->E, s) != NULL && range_not_empty(c, s, known);
    default:
        return false;
    }
}

void conds_add(Ctx *c, Conds *list, Scalar *s)
{
    if (s->op == OP_and) {
        conds_add(c, list, s->args[0]);
        conds_add(c, list, s->args[1]);
        return;
    }
    if (!follows(c, s, list)) {
        conds_push(c->E, list, s);
    }
}

void conds_join(Ctx *c, Conds *list, const Conds *more)
{
    for (int k = 0; k < more->n; k++) {
        conds_add(c, list, more->v[k]);
    }
}

Scalar *conds_all(Ctx *c, const Conds *conds)
{
    Graph *g = c->E->g;
    Scalar *all = sc_bool(g, true);
    for (int k = conds->n; k-- > 0;) {
        all = sc_op(g, OP_and, conds->v[k], all);
    }
    return all;
}

Scalar *negate(Elab *E, Scalar *s)
{
    switch (s->op) {
    case OP_not:
        return s->args[0];
    case OP_lt:
        return s->args[0]->type == TYPE_INT ? sc_op(E->g, OP_le, s->args[1], s->args[0]) : sc_op(E->g, OP_not, s);
    case OP_le:
        return s->args[0]->type == TYPE_INT ? sc_op(E->g, OP_lt, s->args[1], s->args[0]) : sc_op(E->g, OP_not, s);
    case OP_eq:
        return sc_op(E->g, OP_ne, s->args[0], s->args[1]);
    case OP_ne:
        return sc_op(E->g, OP_eq, s->args[0], s->args[1]);
    default:
        return sc_op(E->g, OP_not, s);
    }
}

/* ---- facts: what holds wherever the expression at hand is read ---------------------------------------------- */

static void find_real(const Scalar *s, void *ctx)
{
    if ((s->op == OP_LOAD && s->type != TYPE_INT && s->type != TYPE_BOOL) || s->op == OP_RAND) {
        *(bool *)ctx = true;
    }
}

bool loads_real(const Scalar *s)
{
    bool found = false;
    sc_walk(s, find_real, &found);
    return found;
}

int conds_mark(const Ctx *c)
{
    return c->facts.n;
}

/* Conditions on real values are no facts: a reduction inside would have to be computed again for each of them. */
void facts_push(Ctx *c, const Conds *conds)
{
    for (int k = 0; k < conds->n; k++) {
        if (conds->v[k]->op != OP_CONST && !loads_real(conds->v[k]) && nonempty_of(c->E, conds->v[k]) == NULL &&
            !conds_has(&c->facts, conds->v[k])) {
            conds_push(c->E, &c->facts, conds->v[k]);
        }
    }
}

void facts_reset(Ctx *c, int mark)
{
    c->facts.n = mark;
}
