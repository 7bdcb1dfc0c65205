/* A matrix that is the same for all examples, that products of a recurrence's positions or of a cluster's tiles
 * multiply by, and whose summed index lies along memory, is turned once, instead of by each of these products:
 *
 *     gp[b,i,k1] sum= gz[b,i,k] * U[k1,k]      =>      U.turned[k,k1] = U[k1,k],  gp sum= gz * U.turned[k,k1]
 *
 * What reads it the right way forwards reads it the other way round backwards. */
#include "contract.h"
#include "uses.h"

#include <string.h>

typedef struct {
    const Tensor *of;
    int ndim, dims[MAX_DIMS]; /* of `of`, in the order of the copy */
    Tensor *copy;
} Turned;

typedef struct {
    Graph *g;
    Turned *made;
    int n;
} Turn;

/* Its indices are distinct letters over fixed axes, the last of them summed, some other one not; none is tiled, or it
 * has the rows of the product, which lie well. */
static bool lies_across(const Equation *e, const Contraction *c, const Scalar *w)
{
    unsigned seen = 0;
    bool has_column = false;
    for (int d = 0; d < w->nargs; d++) {
        const Scalar *at = w->args[d];
        if (at->op != OP_LETTER || seen >> at->inum & 1 || at->inum == equation_tile_letter(e) ||
            e->letters[at->inum].axis->kind != AXIS_FIXED || e->letters[at->inum].axis != w->tensor->dims[d]) {
            return false;
        }
        seen |= 1u << at->inum;
        has_column |= c->role[at->inum] != CONTRACT_K;
    }
    return has_column && c->role[w->args[w->nargs - 1]->inum] == CONTRACT_K;
}

static Tensor *make_copy(Graph *g, const Equation *e, const Scalar *w, const Turned *t)
{
    Tensor proto = {.elem = ELEM_REAL, .role = ROLE_VALUE, .ndim = t->ndim, .span = e->span, .lo = 0, .hi = -1};
    proto.name = unused_name(g, w->tensor->name, "turned");
    Draft d = draft_from(g, e);
    d.conds = NULL;
    d.nconds = 0;
    d.e.op = RED_NONE;
    d.e.body = g->scalars[w->id];
    d.e.cluster = 0;
    d.e.tile = NULL;
    unsigned used = 0;
    for (int k = 0; k < t->ndim; k++) {
        proto.dims[k] = w->tensor->dims[t->dims[k]];
        d.e.lhs[k] = w->args[t->dims[k]];
        used |= 1u << d.e.lhs[k]->inum;
    }
    for (int l = 0; l < e->nletters; l++) {
        d.gone[l] = !(used >> l & 1);
    }
    d.e.dst = graph_tensor(g, proto);
    return draft_commit(&d)->dst;
}

/* w with its summed indices first. */
static Scalar *turned(Turn *x, const Equation *e, const Contraction *c, const Scalar *w)
{
    Turned t = {.of = w->tensor};
    Scalar *index[MAX_DIMS];
    for (int summed = 1; summed >= 0; summed--) {
        for (int d = 0; d < w->nargs; d++) {
            if ((c->role[w->args[d]->inum] == CONTRACT_K) == summed) {
                index[t.ndim] = w->args[d];
                t.dims[t.ndim++] = d;
            }
        }
    }
    for (int i = 0; i < x->n && !t.copy; i++) {
        bool same = x->made[i].of == t.of && !memcmp(x->made[i].dims, t.dims, sizeof t.dims);
        t.copy = same ? x->made[i].copy : NULL;
    }
    if (!t.copy) {
        t.copy = make_copy(x->g, e, w, &t);
        ARENA_PUSH(x->g->arena, x->made, x->n, t);
    }
    return sc_load(x->g, t.copy, t.ndim, index);
}

void turn_operands(Graph *g)
{
    Order order = order_equations(g);
    Equation ***defs = equations_by_tensor(g);
    Turn x = {.g = g};
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        Contraction c;
        if ((!order.in_cycle[e->id] && !e->cluster) || !contract_match(g, e, &c)) {
            continue;
        }
        for (int side = 0; side < 2; side++) {
            const Scalar *w = side ? c.b : c.a, *other = side ? c.a : c.b;
            bool changes = w->tensor->per_example;
            for (int k = 0; defs[w->tensor->id] && defs[w->tensor->id][k]; k++) {
                changes |= order.component[defs[w->tensor->id][k]->id] == order.component[e->id];
            }
            if (!changes && lies_across(e, &c, w)) {
                Scalar *t = turned(&x, e, &c, w), *o = g->scalars[other->id];
                e->body = e->body->args[0] == w ? sc_op(g, OP_mul, t, o) : sc_op(g, OP_mul, o, t);
                break;
            }
        }
    }
}
