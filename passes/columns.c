/* Virtual tensors for sums that are cut the other way. A catalogue's scores are tiled by positions, which suits all
 * that is kept per position; the gradient of the catalogue's table sums over all positions of all examples and is too
 * large to keep copies of. So it gets definitions of its own, equal to the others, to be tiled by the table's rows:
 *
 *     logit[b,i,v], gl[b,i,v]             tiled along i, for max, sum and go[b,i,d] sum= gl * emb
 *     logit.cols[b,i,v], gl.cols[b,i,v]   tiled along v, for     ge[v,d]   sum= gl.cols * out
 *
 * Computing them twice costs a product more, and nothing of the catalogue's size times positions is stored. */
#include "cluster.h"

#include <string.h>

typedef struct {
    Clusters *c;
    bool *reads;   /* by tensor id: candidates that the sum reads, or one of these */
    Tensor **copy; /* by tensor id: of them, or NULL */
} Copies;

static void note_candidate(const Scalar *load, void *ctx)
{
    Copies *x = ctx;
    int t = load->tensor->id;
    if (x->c->is_virtual[t] && !x->reads[t]) {
        x->reads[t] = true;
        for (int k = 0; x->c->u.defs[t][k]; k++) {
            equation_loads(x->c->u.defs[t][k], note_candidate, x);
        }
    }
}

/* Somebody else reads one of them, who may want it tiled the other way. */
static bool are_shared(const Copies *x, const Equation *e)
{
    for (int t = 0; t < x->c->ntensors; t++) {
        for (int k = 0; x->reads[t] && k < x->c->u.nreaders[t]; k++) {
            const Equation *reader = x->c->u.readers[t][k];
            if (reader != e && !x->reads[reader->dst->id]) {
                return true;
            }
        }
    }
    return false;
}

static void make_copies(Copies *x)
{
    Graph *g = x->c->u.g;
    for (int t = 0; t < x->c->ntensors; t++) {
        if (x->reads[t]) {
            Tensor proto = *g->tensors[t];
            proto.name = unused_name(g, g->tensors[t]->name, "cols");
            proto.grad = NULL;
            x->copy[t] = graph_tensor(g, proto);
        }
    }
}

static Scalar *load_copy(Graph *g, Scalar *s, void *ctx)
{
    const Copies *x = ctx;
    Tensor *t = s->op == OP_LOAD && s->tensor->id < x->c->ntensors ? x->copy[s->tensor->id] : NULL;
    return t ? sc_load(g, t, s->nargs, s->args) : s;
}

typedef struct {
    const Clusters *c;
    const Equation *e;
    bool by_row; /* it reads candidates, each at a row of its result */
    bool any;
} Rows;

static void look_at_rows(const Scalar *load, void *ctx)
{
    Rows *r = ctx;
    if (!r->c->is_virtual[load->tensor->id]) {
        return;
    }
    bool found = false;
    for (int d = 1; d < load->nargs; d++) {
        for (int k = 0; k < r->e->dst->ndim; k++) {
            found |= load->args[d]->op == OP_LETTER && load->args[d] == r->e->lhs[k];
        }
    }
    r->any = true;
    r->by_row &= found;
}

static bool is_cut_by_rows(const Clusters *c, const Equation *e)
{
    if (e->op != RED_SUM || e->dst->per_example || !is_too_large_to_copy(e->dst)) {
        return false;
    }
    Rows r = {.c = c, .e = e, .by_row = true};
    equation_loads(e, look_at_rows, &r);
    return r.any && r.by_row;
}

bool columns_copy(Clusters *c, Columns *made)
{
    Graph *g = c->u.g;
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        if (!is_cut_by_rows(c, e)) {
            continue;
        }
        size_t size = (size_t)c->ntensors + 1;
        Copies x = {.c = c,
                    .reads = arena_alloc(g->arena, size * sizeof *x.reads),
                    .copy = arena_alloc(g->arena, size * sizeof *x.copy)};
        equation_loads(e, note_candidate, &x);
        if (!are_shared(&x, e)) {
            continue;
        }
        make_copies(&x);
        equation_rewrite(g, e, load_copy, &x);
        for (int t = 0; t < c->ntensors; t++) {
            for (int k = 0; x.copy[t] && c->u.defs[t][k]; k++) {
                Equation def = *c->u.defs[t][k];
                def.dst = x.copy[t];
                equation_rewrite(g, graph_equation(g, def), load_copy, &x);
            }
            if (x.copy[t]) {
                ARENA_PUSH(g->arena, made->pairs, made->n, ((struct ColumnCopy){g->tensors[t], x.copy[t]}));
            }
        }
    }
    return made->n > 0;
}

bool columns_are_virtual(const Clusters *c, const Columns *made)
{
    for (int i = 0; i < made->n; i++) {
        if (!c->is_virtual[made->pairs[i].copy->id]) {
            return false;
        }
    }
    return true;
}

static Scalar *load_original(Graph *g, Scalar *s, void *ctx)
{
    const Columns *made = ctx;
    for (int i = 0; s->op == OP_LOAD && i < made->n; i++) {
        if (s->tensor == made->pairs[i].copy) {
            return sc_load(g, made->pairs[i].of, s->nargs, s->args);
        }
    }
    return s;
}

void columns_undo(Graph *g, const Columns *made)
{
    for (int i = 0; i < g->nequations; i++) {
        equation_rewrite(g, g->equations[i], load_original, (void *)(uintptr_t)made);
    }
}
