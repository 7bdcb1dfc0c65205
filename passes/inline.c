/* An equation in place of the loads of its tensor. Where the reader cannot be shown to read present cells only, the
 * conditions come along: an absent cell holds 0. */
#include "fault.h"
#include "intervals.h"
#include "uses.h"

enum { MAX_NODES = 120, MAX_LOADS = 14 };

typedef struct {
    const Equation *e;
    Prover *facts; /* of the reader; NULL: prove nothing */
} Inlining;

static Scalar *zero_of(Graph *g, Type type)
{
    return type == TYPE_BOOL  ? sc_bool(g, false)
           : type == TYPE_INT ? sc_int(g, 0)
           : type == TYPE_F32 ? sc_f32(g, 0)
                              : sc_real(g, 0);
}

static Scalar *inline_load(Graph *g, Scalar *s, void *ctx)
{
    const Inlining *in = ctx;
    const Equation *e = in->e;
    if (s->op != OP_LOAD || s->tensor != e->dst) {
        return fold_node(g, s);
    }
    Scalar *map[MAX_LETTERS] = {0};
    for (int k = 0; k < s->nargs; k++) {
        map[e->lhs[k]->inum] = s->args[k];
    }
    Scalar *body = fold_substitute(g, e->body, e->nletters, map), *all = NULL;
    for (int i = 0; i < e->nconds; i++) {
        Scalar *c = fold_substitute(g, e->conds[i], e->nletters, map);
        if ((!in->facts || !prover_holds(in->facts, c)) && !FAULT(14)) {
            all = all ? sc_op(g, OP_and, all, c) : c;
        }
    }
    return all ? fold_op3(g, OP_select, all, body, zero_of(g, body->type)) : body;
}

bool inline_into(const Uses *u, const Equation *e, Equation *reader)
{
    Graph *g = u->g;
    Draft d = draft_from(g, reader);
    d.conds = NULL;
    d.nconds = 0;
    Inlining in = {.e = e, .facts = prover_new(g, reader, 0)};
    for (int i = 0; i < reader->nconds; i++) {
        draft_cond(&d, sc_rewrite(g, reader->conds[i], inline_load, &in));
        prover_assume(in.facts, reader->conds[i], true);
    }
    for (int k = 0; k < reader->dst->ndim; k++) {
        d.e.lhs[k] = sc_rewrite(g, reader->lhs[k], inline_load, &in);
    }
    d.e.body = sc_rewrite(g, reader->body, inline_load, &in);
    prover_free(in.facts);
    Cost before = cost_of(reader->body), after = cost_of(d.e.body);
    if ((after.nodes > MAX_NODES && after.nodes > before.nodes) ||
        (after.loads > MAX_LOADS && after.loads > before.loads)) {
        return false;
    }
    if (reader->op == RED_SUM && d.e.body->op == OP_select && sc_is_const(d.e.body->args[2], 0)) {
        draft_cond(&d, d.e.body->args[0]); /* the producer's domain becomes the sum's */
        d.e.body = d.e.body->args[1];
    }
    draft_store(&d, reader);
    return true;
}
