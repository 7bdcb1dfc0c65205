/* What is in memory anyway is loaded, not computed again, where it takes more than a few cheap operations: the adjoint
 * of z = sigmoid(a + b) asks for sigmoid(a + b), and z is stored because others read it. Then a and b need not be
 * there. Only values that are surely stored count: with one list at most, or fuse-stream may keep them out of memory.
 */
#include "uses.h"

#include <string.h>

typedef struct {
    int nscalars;     /* when the pass began */
    Equation **owner; /* by scalar id: the stored value with this body, or NULL */
    const Order *order;
    const Equation *reader;
    const Scalar *found; /* in the reader, the outermost first: made after what is inside it */
} Reuse;

static bool is_worth_keeping(const Equation *e)
{
    int lists = 0;
    for (int d = 0; d < e->dst->ndim; d++) {
        lists += axis_is_ragged(e->dst->dims[d]);
    }
    return e->op == RED_NONE && e->nconds == 0 && lists <= 1 && e->body->type == TYPE_REAL && e->body->nargs > 0 &&
           e->body->op > OP_STEP && !(op_info[e->body->op].flags & CHEAP) && e->dst->elem == ELEM_REAL &&
           equation_covers(e) && !equation_is_extern(e);
}

/* The letters of e mean the same in the reader, and e does not wait for it. */
static bool fits(const Reuse *r, const Equation *e)
{
    const Equation *x = r->reader;
    if (e == x || e->nletters > x->nletters || r->order->component[e->id] >= r->order->component[x->id]) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        if (e->letters[l].axis != x->letters[l].axis || e->letters[l].parent != x->letters[l].parent) {
            return false;
        }
    }
    return true;
}

static void look(const Scalar *s, void *ctx)
{
    Reuse *r = ctx;
    const Equation *e = s->id < r->nscalars ? r->owner[s->id] : NULL;
    if (e && fits(r, e) && (!r->found || s->id > r->found->id)) {
        r->found = s;
    }
}

static Scalar *load_instead(Graph *g, Scalar *s, void *ctx)
{
    const Reuse *r = ctx;
    Equation *e = s == r->found ? r->owner[s->id] : NULL;
    return e ? sc_load(g, e->dst, e->dst->ndim, e->lhs) : s;
}

void reuse_stored(Graph *g)
{
    Order order = order_equations(g);
    Equation ***defs = equations_by_tensor(g);
    Reuse r = {.order = &order, .nscalars = g->nscalars};
    r.owner = arena_alloc(g->arena, (size_t)(g->nscalars + 1) * sizeof *r.owner);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = order.order[i];
        if (is_worth_keeping(e) && !defs[e->dst->id][1] && !r.owner[e->body->id]) {
            r.owner[e->body->id] = e;
        }
    }
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = g->equations[i];
        r.reader = e;
        do {
            r.found = NULL;
            sc_walk(e->body, look, &r);
            if (r.found) {
                e->body = sc_rewrite(g, e->body, load_instead, &r);
            }
        } while (r.found);
    }
}
