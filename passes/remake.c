/* remake: what a cluster of rows can make of what it reads anyway is not stored for it. Needs: fuse-rows. Breaks:
 * nothing may rewrite equations afterwards.
 *
 *     forward     z[b,i,f] = u[b,i,f] * o[b,i,f] / sqrt(n[b,i])       y[b,i,d] = sum[f] z W
 *     backward    gW[f,d] = sum[b,i] z gy           gu, go = gz with u, o and n
 *
 * The gradient of z needs u, o and n, which are stored. So the backward cluster makes z again, a tile at a time, and
 * nobody stores it: memory is written and read more slowly than a few operations take. Only maps, read by clusters of
 * rows alone and there at their own row, and only from values that another member of the cluster makes or reads. */
#include "uses.h"

/* LEAST_CELLS: of a row of the result; a single number is not worth a kernel. MOST_CELLS: of a param that is read
 * beside the row. */
enum { LEAST_CELLS = 2, MOST_CELLS = 4096 };

/* What was made again: in a cluster, in place of a tensor. */
typedef struct {
    int cluster;
    const Tensor *of;
    Tensor *by;
} Remade;

typedef struct {
    Graph *g;
    Uses *uses;
    Remade *remade;
    int nremade;
    /* at hand */
    const Equation *e;      /* that may be made again */
    const Equation *reader; /* or a member of the cluster */
    int cluster;
    bool good;
} Remake;

static Tensor *remade(const Remake *x, const Tensor *t, int cluster)
{
    for (int i = 0; i < x->nremade; i++) {
        if (x->remade[i].cluster == cluster && x->remade[i].of == t) {
            return x->remade[i].by;
        }
    }
    return NULL;
}

static void look_at_use(const Scalar *load, void *ctx)
{
    Remake *x = ctx;
    if (load->tensor == x->e->dst) {
        x->good = x->good && loads_own_row(x->reader, load, (int)x->reader->tile->inum);
    }
}

/* Whether t is in the cluster without e: made by it, or read by a member that does not go away with e. */
static bool is_at_hand(const Remake *x, const Tensor *t)
{
    if (remade(x, t, x->cluster)) {
        return true;
    }
    for (int i = 0; i < x->uses->nreaders[t->id]; i++) {
        if (x->uses->readers[t->id][i]->cluster == x->cluster) {
            return true;
        }
    }
    for (Equation **def = x->uses->defs[t->id]; def && *def; def++) { /* NULL: an input */
        if ((*def)->cluster == x->cluster) {
            return true;
        }
    }
    return false;
}

static void look_at_operand(const Scalar *load, void *ctx)
{
    Remake *x = ctx;
    const Tensor *t = load->tensor;
    for (int d = 0; d < load->nargs; d++) {
        x->good = x->good && !has_load(load->args[d]);
    }
    bool own = t->per_example && loads_own_row(x->e, load, (int)x->e->tile->inum);
    x->good = x->good && (t->per_example ? own && is_at_hand(x, t) : tensor_cells(t, -1) <= MOST_CELLS);
}

static int64_t cells_of_row(const Equation *e)
{
    int d = 0;
    while (d < e->dst->ndim && e->lhs[d] != e->tile) {
        d++;
    }
    return tensor_cells(e->dst, d);
}

/* An exp of every cell takes about as long as writing and reading it; one of the row is nothing. */
static void look_for_functions(const Scalar *s, void *ctx)
{
    Remake *x = ctx;
    unsigned letters = sc_letters(s) & ~(1u << x->e->tile->inum);
    for (int k = 0; k < x->e->nletters; k++) {
        letters &= ~(x->e->letters[k].axis->kind == AXIS_BATCH ? 1u << k : 0);
    }
    x->good = x->good && !(is_heavy(s) && letters);
}

static bool may_be_remade(Remake *x, const Equation *e)
{
    const Tensor *t = e->dst;
    x->e = e;
    x->good = e->by_rows && e->cluster && e->tile->op == OP_LETTER && t->role == ROLE_VALUE && t->per_example &&
              t->elem == ELEM_REAL && e->nconds == 0 && can_inline(x->uses, e) && cells_of_row(e) >= LEAST_CELLS;
    if (x->good) {
        sc_walk(e->body, look_for_functions, x);
    }
    return x->good;
}

/* Whether each cluster that reads the result of e, which is at hand, could make it. */
static bool all_can_make(Remake *x, const Equation *e)
{
    const Tensor *t = e->dst;
    bool elsewhere = false;
    for (int i = 0; i < x->uses->nreaders[t->id] && x->good; i++) {
        x->reader = x->uses->readers[t->id][i];
        x->cluster = x->reader->cluster;
        x->good = x->reader->by_rows && x->reader->tile->op == OP_LETTER;
        if (x->good) {
            equation_loads(x->reader, look_at_use, x);
        }
        if (x->good && x->cluster != e->cluster) {
            elsewhere = true;
            equation_loads(e, look_at_operand, x);
        }
    }
    return x->good && elsewhere;
}

static Scalar *load_remade(Graph *g, Scalar *s, void *ctx)
{
    const Remake *x = ctx;
    Tensor *by = s->op == OP_LOAD ? remade(x, s->tensor, x->cluster) : NULL;
    return by ? sc_load(g, by, s->nargs, s->args) : s;
}

static void make_in(Remake *x, const Equation *e, int cluster)
{
    Tensor t = *e->dst;
    t.grad = t.next = NULL;
    t.name = unused_name(x->g, e->dst->name, "again");
    Tensor *by = graph_tensor(x->g, t);
    Equation copy = *e;
    x->cluster = cluster;
    copy.dst = by;
    copy.cluster = cluster;
    Equation *made = graph_equation(x->g, copy);
    equation_rewrite(x->g, made, load_remade, x);
    Remade r = {.cluster = cluster, .of = e->dst, .by = by};
    ARENA_PUSH(x->g->arena, x->remade, x->nremade, r);
}

void pass_remake(Graph *g)
{
    Uses u = uses_of(g);
    Remake x = {.g = g, .uses = &u};
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        const Equation *e = u.order.order[i];
        if (!may_be_remade(&x, e) || !all_can_make(&x, e)) {
            continue;
        }
        for (int k = 0; k < u.nreaders[e->dst->id]; k++) {
            int cluster = u.readers[e->dst->id][k]->cluster;
            if (cluster != e->cluster && !remade(&x, e->dst, cluster)) {
                make_in(&x, e, cluster);
            }
        }
    }
    for (int i = 0; i < n && x.nremade > 0; i++) {
        x.cluster = g->equations[i]->cluster;
        if (x.cluster) {
            equation_rewrite(g, g->equations[i], load_remade, &x);
        }
    }
    if (x.nremade > 0) {
        drop_dead_equations(g); /* what only other clusters read */
        graph_reorder(g);
    }
}
