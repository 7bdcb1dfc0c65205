/* A matrix that every position of a recurrence multiplies by, and whose summed index lies along memory, is turned once,
 * before the recurrence, instead of by the product at every position:
 *
 *     gp[b,i,k1] sum= gz[b,i,k] * U[k1,k]      =>      U.turned[k,k1] = U[k1,k],  gp sum= gz * U.turned[k,k1]
 *
 * The gradient of a recurrence reads the other way round what the recurrence reads the right way. */
#include "contract.h"
#include "uses.h"

/* Its indices are distinct letters over fixed axes, the last of them summed, some other one not. */
static bool lies_across(const Equation *e, const Contraction *c, const Scalar *w)
{
    unsigned seen = 0;
    bool has_column = false;
    for (int d = 0; d < w->nargs; d++) {
        const Scalar *at = w->args[d];
        if (at->op != OP_LETTER || seen >> at->inum & 1 || e->letters[at->inum].axis->kind != AXIS_FIXED ||
            e->letters[at->inum].axis != w->tensor->dims[d]) {
            return false;
        }
        seen |= 1u << at->inum;
        has_column |= c->role[at->inum] != CONTRACT_K;
    }
    return has_column && c->role[w->args[w->nargs - 1]->inum] == CONTRACT_K;
}

/* w with its summed indices first. */
static Scalar *turned(Graph *g, const Equation *e, const Contraction *c, const Scalar *w)
{
    Tensor proto = {.elem = ELEM_REAL, .role = ROLE_VALUE, .ndim = w->nargs, .span = e->span, .lo = 0, .hi = -1};
    proto.name = arena_printf(g->arena, "%s.turned", w->tensor->name);
    for (int k = 2; graph_find(g, proto.name); k++) {
        proto.name = arena_printf(g->arena, "%s.turned%d", w->tensor->name, k);
    }
    Scalar *index[MAX_DIMS];
    int n = 0;
    for (int summed = 1; summed >= 0; summed--) {
        for (int d = 0; d < w->nargs; d++) {
            if ((c->role[w->args[d]->inum] == CONTRACT_K) == summed) {
                proto.dims[n] = w->tensor->dims[d];
                index[n++] = w->args[d];
            }
        }
    }
    Draft d = draft_from(g, e);
    d.conds = NULL;
    d.nconds = 0;
    d.e.op = RED_NONE;
    d.e.body = g->scalars[w->id];
    unsigned used = 0;
    for (int k = 0; k < n; k++) {
        d.e.lhs[k] = index[k];
        used |= 1u << index[k]->inum;
    }
    for (int l = 0; l < e->nletters; l++) {
        d.gone[l] = !(used >> l & 1);
    }
    d.e.dst = graph_tensor(g, proto);
    draft_commit(&d);
    return sc_load(g, d.e.dst, n, index);
}

void turn_operands(Graph *g)
{
    Order order = order_equations(g);
    Equation ***defs = equations_by_tensor(g);
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        Contraction c;
        if (!order.in_cycle[e->id] || !contract_match(g, e, &c)) {
            continue;
        }
        for (int side = 0; side < 2; side++) {
            const Scalar *w = side ? c.b : c.a, *other = side ? c.a : c.b;
            bool changes = w->tensor->per_example;
            for (int k = 0; defs[w->tensor->id] && defs[w->tensor->id][k]; k++) {
                changes |= order.component[defs[w->tensor->id][k]->id] == order.component[e->id];
            }
            if (!changes && lies_across(e, &c, w)) {
                Scalar *t = turned(g, e, &c, w), *x = g->scalars[other->id];
                e->body = e->body->args[0] == w ? sc_op(g, OP_mul, t, x) : sc_op(g, OP_mul, x, t);
                break;
            }
        }
    }
}
