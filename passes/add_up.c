/* add-up: values that nobody reads but added to one another are not stored apart; the later ones are added to the cells
 * of the first:
 *
 *     of1[i,f]  = sum[j] a[i,j] * v[j,f]   where j <= i and i - j < 64
 *     of2[i,f]  = sum[j] a[i,j] * v[j,f]   where j < 4 and i - j >= 64            =>  of1[i,f] += ...
 *     z[i,f]    = (of1[i,f] + of2[i,f]) * u[i,f]                                  =>  z[i,f] = of1[i,f] * u[i,f]
 *
 * split leaves such parts of a sum behind, and differentiate one for each use of a value. A part costs a whole result
 * in memory, which each of its readers reads again. Needs: fuse-rows and share, so that nobody rewrites equations
 * afterwards; parts of one cluster, in which a cell is set before anything is added to it. */
#include "rewrite.h"

typedef struct {
    Graph *g;
    Equation ***defs;
    const Tensor **partner; /* by tensor id: what it is added to where it is read; NULL: nobody has read it yet */
    bool *apart;            /* by tensor id: or read otherwise */
    const Tensor **into;    /* by tensor id: the tensor to whose cells its own are added; NULL: it stands for itself */
} AddUp;

/* x + y of the same cell of two tensors. */
static bool is_pair(const Scalar *s)
{
    if (s->op != OP_add || s->args[0]->op != OP_LOAD || s->args[1]->op != OP_LOAD) {
        return false;
    }
    const Scalar *x = s->args[0], *y = s->args[1];
    bool same = x->tensor != y->tensor && x->nargs == y->nargs && !x->at && !y->at;
    for (int d = 0; same && d < x->nargs; d++) {
        same = x->args[d] == y->args[d];
    }
    return same;
}

static void note_root(AddUp *x, const Scalar *s)
{
    if (s->op == OP_LOAD) {
        x->apart[s->tensor->id] = true;
    }
}

static void note_reads(const Scalar *s, void *ctx)
{
    AddUp *x = ctx;
    bool pair = is_pair(s);
    for (int i = 0; i < s->nargs; i++) {
        if (!pair) {
            note_root(x, s->args[i]);
            continue;
        }
        const Tensor *t = s->args[i]->tensor, *other = s->args[1 - i]->tensor;
        x->apart[t->id] |= x->partner[t->id] && x->partner[t->id] != other;
        x->partner[t->id] = other;
    }
}

static bool is_plain(const Tensor *t)
{
    return t->role == ROLE_VALUE && t->per_example && t->elem == ELEM_REAL && !t->is_output && !t->is_draw &&
           !t->is_list && !t->next && !t->grad && !t->pull;
}

static bool are_alike(const Tensor *a, const Tensor *b)
{
    bool same = is_plain(a) && is_plain(b) && a->ndim == b->ndim && a->tile_dim == b->tile_dim;
    for (int d = 0; same && d < a->ndim; d++) {
        same = a->dims[d] == b->dims[d];
    }
    return same;
}

/* The dim at which an equation writes cells of its own tile alone; -1: it adds to cells in every tile. */
static int tile_dim(const Equation *e)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        if (e->lhs[d] == e->tile) {
            return d;
        }
    }
    return -1;
}

/* Whether an equation that adds would find all cells set: both do theirs in the same tile, or all are 0 before the
 * first, and so many tiles add to them. */
static bool is_set_before(const Equation *set, const Equation *adds)
{
    int d = tile_dim(set), letter = equation_tile_letter(set);
    if (adds->op != RED_SUM || equation_has_keyed_lhs(adds) || set->cluster != adds->cluster ||
        set->by_rows != adds->by_rows) {
        return false;
    }
    if (d >= 0) {
        return tile_dim(adds) == d;
    }
    return set->op == RED_SUM && letter >= 0 && !equation_is_output(set, letter);
}

static bool can_take(const AddUp *x, const Tensor *to, const Tensor *from)
{
    Equation **set = x->defs[to->id], **adds = x->defs[from->id];
    if (!are_alike(to, from) || !set || !adds) {
        return false;
    }
    for (; *set; set++) {
        if ((*set)->cluster == 0 || equation_is_extern(*set) || equation_has_keyed_lhs(*set)) {
            return false;
        }
        for (int i = 0; adds[i]; i++) {
            if (!is_set_before(*set, adds[i])) {
                return false;
            }
        }
    }
    return true;
}

static Scalar *read_sum(Graph *g, Scalar *s, void *ctx)
{
    const AddUp *x = ctx;
    (void)g;
    if (!is_pair(s)) {
        return s;
    }
    for (int i = 0; i < 2; i++) {
        if (x->into[s->args[1 - i]->tensor->id] == s->args[i]->tensor) {
            return s->args[i];
        }
    }
    return s;
}

static void take(AddUp *x, Tensor *to, Tensor *from)
{
    for (Equation **e = x->defs[from->id]; *e; e++) {
        (*e)->dst = to;
        (*e)->adds = true;
    }
    x->into[from->id] = to;
}

/* One round: a sum of three is one of two after it. */
static bool add_pairs(Graph *g)
{
    AddUp x = {.g = g, .defs = equations_by_tensor(g)};
    bool found = false;
    x.partner = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *x.partner);
    x.apart = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *x.apart);
    x.into = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *x.into);
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = g->equations[i];
        equation_walk(e, note_reads, &x);
        note_root(&x, e->body);
        for (int c = 0; c < e->nconds; c++) {
            note_root(&x, e->conds[c]);
        }
    }
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        const Tensor *other = x.partner[i];
        if (!other || other->id < i || x.apart[i] || x.apart[other->id] || x.partner[other->id] != t) {
            continue;
        }
        Tensor *u = g->tensors[other->id];
        if (can_take(&x, t, u)) {
            take(&x, t, u);
        } else if (can_take(&x, u, t)) {
            take(&x, u, t);
        } else {
            continue;
        }
        found = true;
    }
    for (int i = 0; i < g->nequations && found; i++) {
        equation_rewrite(g, g->equations[i], read_sum, &x);
    }
    return found;
}

/* y[i,f] = x[i,f]: the tensor x, of which y is a copy; else NULL. */
static Tensor *copied(const Equation *e)
{
    bool is_copy = e->cluster && e->op == RED_NONE && e->nconds == 0 && e->body->op == OP_LOAD && !e->body->at &&
                   e->body->nargs == e->dst->ndim && equation_covers(e) && are_alike(e->dst, e->body->tensor);
    for (int d = 0; is_copy && d < e->dst->ndim; d++) {
        is_copy = e->lhs[d] == e->body->args[d];
    }
    return is_copy ? e->body->tensor : NULL;
}

static void count_read(const Scalar *load, void *ctx)
{
    ((int *)ctx)[load->tensor->id]++;
}

/* What was a sum of parts may now be a copy of the first: the parts go to its cells instead. */
static void drop_copies(Graph *g)
{
    Equation ***defs = equations_by_tensor(g);
    int *reads = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *reads);
    bool *keep = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *keep);
    for (int i = 0; i < g->nequations; i++) {
        equation_loads(g->equations[i], count_read, reads);
    }
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = g->equations[i];
        Tensor *x = copied(e);
        keep[i] = !x || reads[x->id] != 1 || !defs[x->id] || defs[e->dst->id][1];
        for (int k = 0; !keep[i] && defs[x->id][k]; k++) {
            keep[i] = defs[x->id][k]->cluster != e->cluster;
        }
        for (int k = 0; !keep[i] && defs[x->id][k]; k++) {
            defs[x->id][k]->dst = e->dst;
        }
        if (!keep[i]) { /* and may be copied once more */
            defs[e->dst->id] = defs[x->id];
        }
    }
    graph_drop_equations(g, keep);
}

void pass_add_up(Graph *g)
{
    bool found = false;
    while (add_pairs(g)) {
        found = true;
    }
    if (found) {
        drop_copies(g);
        graph_reorder(g);
    }
}
