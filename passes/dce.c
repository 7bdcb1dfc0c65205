/* Dead equations: those from which no output, loss, next state or updated param can be reached. Values that lost
 * their equations leave the graph with them. */
#include "rewrite.h"

#include <stdlib.h>

typedef struct {
    Equation ***defs;
    bool *live; /* by tensor id */
    Tensor **work;
    int nwork;
} Live;

static void need(Live *l, Tensor *t)
{
    if (t && !l->live[t->id]) {
        l->live[t->id] = true;
        l->work[l->nwork++] = t;
    }
}

static void need_load(const Scalar *load, void *ctx)
{
    need(ctx, load->tensor);
}

/* Renumbers the tensors that stay. Inputs, params and states always do: they are the graph's face. */
static void drop_tensors(Graph *g, const bool *live)
{
    int n = 0, old = g->ntensors;
    for (int i = 0; i < old; i++) {
        Tensor *t = g->tensors[i];
        if (t->grad && !live[t->grad->id]) {
            t->grad = NULL;
        }
    }
    for (int i = 0; i < old; i++) {
        Tensor *t = g->tensors[i];
        if (live[i]) {
            g->tensors[n] = t;
            t->id = n++;
        }
    }
    g->ntensors = n;
}

bool drop_dead_equations(Graph *g)
{
    size_t n = (size_t)g->ntensors + 1;
    Live l = {.defs = equations_by_tensor(g), .live = calloc(n, sizeof(bool)), .work = calloc(n, sizeof(Tensor *))};
    if (!l.live || !l.work) {
        bug("out of memory while dropping dead equations");
    }
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (t->is_output || t == g->loss || t == g->row || t->role != ROLE_VALUE) {
            need(&l, t);
        }
        need(&l, t->next);
    }
    while (l.nwork) {
        const Tensor *t = l.work[--l.nwork];
        for (Equation **e = l.defs[t->id]; e && *e; e++) {
            equation_loads(*e, need_load, &l);
            for (int k = 0; equation_is_extern(*e) && k < (*e)->body->ext->nout; k++) {
                need(&l, (*e)->body->ext->out[k]); /* one call writes them all */
            }
        }
    }
    bool *keep = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *keep), dropped = false;
    for (int i = 0; i < g->nequations; i++) {
        keep[i] = l.live[g->equations[i]->dst->id];
        dropped |= !keep[i];
    }
    graph_drop_equations(g, keep);
    drop_tensors(g, l.live);
    free(l.live);
    free(l.work);
    return dropped;
}
