/* recompute: which forward values the adjoints compute again and which are kept. Needs: differentiate.
 *
 *  - A map of one stored value by a few cheap operations is inlined into the adjoints that read it: they load its
 *    operand instead, and the map itself need not outlive the forward pass.
 *  - A random mask, rand(..) < p, that several equations need is kept as a value of its own: one byte is cheaper
 *    than drawing again. */
#include "uses.h"

#include <string.h>

/* ---- random masks ---- */

typedef struct {
    const Scalar *rand, *mask; /* the first mask of a stream */
    const Equation *e;         /* where it was met */
    int equations;             /* how many equations have it */
    const Equation *last;
    Tensor *kept;
} Mask;

typedef struct {
    Graph *g;
    Mask *masks;
    int n;
    Equation *e;
    bool found;      /* in e */
    Equation **with; /* equations that have one */
    int nwith;
} Masks;

static bool is_mask(const Scalar *s)
{
    return s->op == OP_lt && s->args[0]->op == OP_RAND && s->args[1]->op == OP_CONST;
}

static Mask *find_mask(const Masks *m, const Scalar *s)
{
    for (int i = 0; i < m->n; i++) {
        const Mask *k = &m->masks[i];
        if (!strcmp(k->rand->name, s->args[0]->name) && k->rand->nargs == s->args[0]->nargs &&
            k->mask->args[1] == s->args[1]) {
            return &m->masks[i];
        }
    }
    return NULL;
}

static void note_mask(const Scalar *s, void *ctx)
{
    Masks *m = ctx;
    if (!is_mask(s)) {
        return;
    }
    Mask *k = find_mask(m, s);
    if (!k) {
        Mask fresh = {.rand = s->args[0], .mask = s, .e = m->e};
        ARENA_PUSH(m->g->arena, m->masks, m->n, fresh);
        k = &m->masks[m->n - 1];
    }
    m->found = true;
    k->equations += k->last != m->e;
    k->last = m->e;
}

/* The letter behind an index of the draw: the row of an example stands for the example. */
static int index_letter(const Graph *g, const Scalar *index)
{
    if (index->op == OP_LOAD && index->tensor == g->row) {
        index = index->args[0];
    }
    return index->op == OP_LETTER ? (int)index->inum : -1;
}

/* mask[b, i, d] = rand(row[b], i, d) < p, if its indices are distinct letters of the first equation that has it. */
static void keep_mask(Graph *g, Mask *k)
{
    int n = k->rand->nargs, letters[MAX_DIMS];
    unsigned seen = 0;
    if (n > MAX_DIMS || n == 0) {
        return;
    }
    Tensor proto = {.elem = ELEM_BOOL,
                    .role = ROLE_VALUE,
                    .ndim = n,
                    .lo = 0,
                    .hi = -1,
                    .span = k->e->span,
                    .per_example = !k->rand->by_step};
    for (int i = 0; i < n; i++) {
        int l = letters[i] = index_letter(g, k->rand->args[i]);
        if (l < 0 || seen >> l & 1) {
            return;
        }
        seen |= 1u << l;
        proto.dims[i] = k->e->letters[l].axis;
    }
    if (proto.per_example != (proto.dims[0] == g->batch)) {
        return;
    }
    proto.name = arena_printf(g->arena, "%s.mask", k->rand->name);
    for (int i = 2; graph_find(g, proto.name); i++) {
        proto.name = arena_printf(g->arena, "%s.mask%d", k->rand->name, i);
    }
    Draft d = draft_from(g, k->e);
    d.e.op = RED_NONE;
    d.conds = NULL;
    d.nconds = 0;
    d.e.body = g->scalars[k->mask->id];
    for (int l = 0; l < d.e.nletters; l++) {
        int parent = d.e.letters[l].parent;
        d.gone[l] = !(seen >> l & 1);
        if (!d.gone[l] && parent >= 0 && !(seen >> parent & 1)) {
            return;
        }
    }
    for (int i = 0; i < n; i++) {
        d.e.lhs[i] = sc_letter(g, letters[i]);
    }
    d.e.dst = k->kept = graph_tensor(g, proto);
    draft_commit(&d);
}

static Scalar *load_mask(Graph *g, Scalar *s, void *ctx)
{
    const Masks *m = ctx;
    const Mask *k = is_mask(s) ? find_mask(m, s) : NULL;
    if (!k || !k->kept) {
        return s;
    }
    Scalar *args[MAX_DIMS];
    for (int i = 0; i < k->kept->ndim; i++) {
        args[i] = s->args[0]->args[i];
        if (i == 0 && k->kept->per_example) { /* any other use of the stream is at some example's row, too */
            if (args[0]->op != OP_LOAD || args[0]->tensor != g->row) {
                return s;
            }
            args[0] = args[0]->args[0];
        }
    }
    return sc_load(g, k->kept, k->kept->ndim, args);
}

static void walk_equation(Equation *e, Masks *m)
{
    m->e = e;
    m->found = false;
    sc_walk(e->body, note_mask, m);
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], note_mask, m);
    }
    if (m->found) {
        ARENA_PUSH(m->g->arena, m->with, m->nwith, e);
    }
}

static void keep_masks(Graph *g)
{
    Masks m = {.g = g};
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        walk_equation(g->equations[i], &m);
    }
    bool any = false;
    for (int i = 0; i < m.n; i++) {
        if (m.masks[i].equations > 1) {
            keep_mask(g, &m.masks[i]);
            any |= m.masks[i].kept != NULL;
        }
    }
    for (int i = 0; i < m.nwith && any; i++) {
        equation_rewrite(g, m.with[i], load_mask, &m);
    }
    if (any) {
        graph_reorder(g);
    }
}

/* ---- cheap maps ---- */

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
    keep_masks(g);
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
