/* For every equation that defines the tensor, one that assigns true under those of its conditions that speak of output
 * letters alone. */
#include "defined.h"
#include <string.h>

static bool only_outputs(const Equation *e, const Scalar *cond)
{
    for (int k = 0; k < e->nletters; k++) {
        if (!equation_is_output(e, k) && sc_uses_letter(cond, k)) {
            return false;
        }
    }
    return true;
}

bool graph_add_defined(Graph *g, const char *name)
{
    Tensor *t = graph_find(g, name);
    if (!t || t->role != ROLE_VALUE) {
        return false;
    }
    Tensor proto = *t;
    proto.name = arena_printf(g->arena, "%s.defined", name);
    proto.elem = ELEM_BOOL;
    proto.is_output = true;
    proto.is_draw = false;
    Tensor *d = graph_tensor(g, proto);
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        const Equation *e = g->equations[i];
        if (e->dst != t) {
            continue;
        }
        Equation q = *e;
        Scalar *conds[64];
        int outputs = 0;
        q.dst = d;
        q.op = RED_NONE;
        q.body = sc_bool(g, true);
        q.conds = conds;
        q.nconds = 0;
        while (outputs < e->nletters && equation_is_output(e, outputs)) {
            outputs++; /* they come first */
        }
        q.nletters = outputs;
        for (int c = 0; c < e->nconds && q.nconds < 64; c++) {
            if (only_outputs(e, e->conds[c])) {
                conds[q.nconds++] = e->conds[c];
            }
        }
        graph_equation(g, q);
    }
    return true;
}
