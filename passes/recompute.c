/* recompute: forward values that the adjoints read and that are cheaper to compute again than to keep. A map of one
 * stored value by a few cheap operations is inlined into the adjoints that read it: they load its operand instead,
 * and the map itself need not outlive the forward pass. Needs: differentiate. */
#include "uses.h"

#include <string.h>

static void note_adjoint(const Scalar *load, void *ctx)
{
    const bool *adjoint = ((void **)ctx)[0];
    bool *found = ((void **)ctx)[1];
    *found |= adjoint[load->tensor->id];
}

/* By tensor id: depends on the adjoint of the loss. */
static bool *find_adjoints(const Graph *g, const Uses *u)
{
    bool *adjoint = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *adjoint);
    adjoint[g->loss->grad->id] = true;
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = u->order.order[i];
        bool found = adjoint[e->dst->id];
        const void *ctx[2] = {adjoint, &found};
        equation_loads(e, note_adjoint, ctx);
        adjoint[e->dst->id] = found;
    }
    return adjoint;
}

static bool is_cheaper_again(const Equation *e)
{
    Cost c = cost_of(e->body);
    return c.heavy == 0 && c.gathers == 0 && c.loads <= 1 && c.ops <= 3 && e->nconds == 0;
}

void pass_recompute(Graph *g)
{
    if (!g->loss || !g->loss->grad) {
        return;
    }
    Uses u = uses_of(g);
    const bool *adjoint = find_adjoints(g, &u);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = u.order.order[i];
        if (adjoint[e->dst->id] || !can_inline(&u, e) || !is_cheaper_again(e)) {
            continue;
        }
        int n = u.nreaders[e->dst->id];
        for (int k = 0; k < n; k++) {
            Equation *reader = u.readers[e->dst->id][k];
            if (adjoint[reader->dst->id] && pays_to_inline(&u, e, reader) && inline_into(&u, e, reader)) {
                uses_add(&u, reader);
            }
        }
    }
    drop_dead_equations(g);
    graph_reorder(g);
}
