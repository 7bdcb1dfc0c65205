/* One call per equation: whether it is the only one that writes its tensor, where the scan around it stands, who
 * zeroes first; and for params that an update cannot overwrite in place, a copy at the end of the step. */
#include "fault.h"
#include "plan_build.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    const Tensor *param, *next;
    const Equation *e;
    bool elsewhere; /* the update reads the param at another cell than the one it writes */
} Update;

static void look_for_param(const Scalar *s, void *ctx)
{
    Update *u = ctx;
    if (s->op != OP_LOAD || s->tensor != u->param) {
        return;
    }
    for (int d = 0; d < u->param->ndim; d++) {
        u->elsewhere = u->elsewhere || s->args[d] != u->e->lhs[d];
    }
}

/* Whether `next` may be written over `param` while its only equation runs. */
static bool in_place(const Tensor *param, const Tensor *next, const Equation *e, int writers)
{
    Update u = {.param = param, .next = next, .e = e};
    if (writers != 1 || e->op != RED_NONE || e->nconds > 0 || next->ndim != param->ndim || next->elem != param->elem) {
        return false;
    }
    unsigned seen = 0;
    for (int d = 0; d < param->ndim; d++) {
        if (next->dims[d] != param->dims[d] || e->lhs[d]->op != OP_LETTER || (seen >> e->lhs[d]->inum & 1)) {
            return false;
        }
        seen |= 1u << e->lhs[d]->inum;
    }
    sc_walk(e->body, look_for_param, &u);
    return !u.elsewhere;
}

static Equation *copy_equation(Graph *g, Tensor *from)
{
    Tensor proto = {.name = arena_printf(g->arena, "%s.stored", from->name),
                    .elem = from->elem,
                    .role = ROLE_VALUE,
                    .ndim = from->ndim,
                    .lo = 1,
                    .hi = 0};
    Equation e = {.op = RED_NONE, .nletters = from->ndim};
    for (int d = 0; d < from->ndim; d++) {
        proto.dims[d] = from->dims[d];
        e.letters[d] = (Letter){.axis = from->dims[d], .name = "i", .parent = -1};
        for (int q = 0; q < d; q++) {
            if (from->dims[d]->parent && from->dims[q] == from->dims[d]->parent) {
                e.letters[d].parent = q;
            }
        }
        e.lhs[d] = sc_letter(g, d);
    }
    e.body = sc_load(g, from, from->ndim, e.lhs);
    e.dst = graph_tensor(g, proto);
    return graph_equation(g, e);
}

static int count_equations(const Schedule *s)
{
    int n = 0;
    for (int i = 0; i < s->ngroups; i++) {
        n += s->groups[i].n;
    }
    return n;
}

/* letter: of the scan, or of a cluster's example; -1: neither. */
static void choose(Build *b, Call *c, int writers, int adders, bool unread, int letter)
{
    KernelInfo *k = &c->info;
    if (equation_is_extern(c->e)) {
        return; /* the user's code */
    }
    k->e = c->e;
    k->g = b->schedule->graph;
    k->real = b->o->real;
    k->asked = b->o->real == DT_F32 ? b->o->products : PRODUCTS_F32;
    k->target = b->target;
    k->scan = letter;
    k->tile = c->e->cluster && !c->e->by_rows ? c->e->tile : NULL;
    k->row = c->e->by_rows ? equation_tile_letter(c->e) : -1;
    k->sole = writers == 1;
    k->alone = writers - adders == 1;
    k->unread = unread;
    k->item = k->key_dim = -1;
    if (!convolve_choose(k) && !product_choose(k)) {
        loops_choose(k);
    }
    k->adds_tiles = k->tile && k->accumulate;
    if (c->e->adds) {
        k->accumulate = !FAULT(54);
        k->zero = false;
    }
}

/* Whether a call may leave anything in cells of its tensor that are not its own: those that it has set before keep
 * their values, and later ones of the group set all of theirs. */
static bool is_loose(const Call *calls, int n, int at)
{
    const Tensor *t = calls[at].e->dst;
    for (int i = 0; i < n && calls[at].info.unread; i++) {
        if (calls[i].e->dst == t && (i < at || calls[i].info.accumulate) && i != at) {
            return false;
        }
    }
    return calls[at].info.unread;
}

static bool describe(const Group *group, Call *calls, bool *touched, const Target *target, Text *why)
{
    for (int i = 0; i < group->n; i++) {
        KernelInfo *k = &calls[i].info;
        k->loose = is_loose(calls, group->n, i);
        if (!equation_is_extern(calls[i].e) && !kernel_describe(k, touched, target, why)) {
            return false;
        }
        for (int t = 0; t < k->ntensors; t++) {
            touched[k->tensors[t]->id] = true;
        }
    }
    return true;
}

/* Of a tensor that a group keeps a tile of; found once for all equations that define it. */
static bool is_unread(Graph *g, const Group *group, const Tensor *t, signed char *known)
{
    if (known[t->id] == 0 && t->tile_dim > 0) {
        known[t->id] = reads_present_cells(g, t, group->n, group->equations) ? 1 : -1;
    }
    return known[t->id] > 0;
}

bool build_calls(Build *b, Text *why)
{
    const Schedule *s = b->schedule;
    Graph *g = s->graph;
    int n = count_equations(s), ntensors = g->ntensors;
    int *writers = arena_alloc(b->arena, (size_t)(ntensors + 1) * sizeof *writers);
    int *adders = arena_alloc(b->arena, (size_t)(ntensors + 1) * sizeof *adders);
    const Equation **writer = arena_alloc(b->arena, (size_t)(ntensors + 1) * sizeof *writer);
    for (int i = 0; i < s->ngroups; i++) {
        for (int j = 0; j < s->groups[i].n; j++) {
            const Equation *e = s->groups[i].equations[j];
            writers[e->dst->id]++;
            adders[e->dst->id] += e->adds;
            writer[e->dst->id] = e;
        }
    }
    /* Updates that cannot run in place are written elsewhere and copied when the step is done. */
    Equation **copies = arena_alloc(b->arena, (size_t)(ntensors + 1) * sizeof *copies);
    Tensor **owner = arena_alloc(b->arena, (size_t)(ntensors + 1) * sizeof *owner);
    int ncopies = 0;
    for (int i = 0; i < ntensors; i++) {
        Tensor *t = g->tensors[i], *next = t->per_example ? NULL : t->next; /* a state that is given stays as it is */
        if (next && next != t && writers[next->id] > 0 && !in_place(t, next, writer[next->id], writers[next->id])) {
            owner[ncopies] = t;
            copies[ncopies++] = copy_equation(g, next);
        }
    }
    b->alias = arena_alloc(b->arena, (size_t)(g->ntensors + 1) * sizeof *b->alias);
    for (int i = 0; i < g->ntensors; i++) {
        b->alias[i] = -1;
    }
    for (int i = 0; i < ntensors; i++) {
        if (g->tensors[i]->next && g->tensors[i]->next != g->tensors[i] && !g->tensors[i]->per_example) {
            b->alias[g->tensors[i]->next->id] = i;
        }
    }
    for (int i = 0; i < ncopies; i++) {
        b->alias[owner[i]->next->id] = -1;
        b->alias[copies[i]->dst->id] = owner[i]->id;
    }

    b->calls = arena_alloc(b->arena, (size_t)(n + ncopies + 1) * sizeof *b->calls);
    bool *wants = arena_alloc(b->arena, (size_t)(g->ntensors + 1) * sizeof *wants);
    signed char *unread = arena_alloc(b->arena, (size_t)(g->ntensors + 1) * sizeof *unread);
    bool *touched = arena_alloc(b->arena, (size_t)(g->ntensors + 1) * sizeof *touched);
    for (int i = 0; i < s->ngroups; i++) {
        const Group *group = &s->groups[i];
        memset(touched, 0, (size_t)g->ntensors * sizeof *touched);
        Call *calls = &b->calls[b->ncalls];
        for (int j = 0; j < group->n; j++) {
            Call *c = &b->calls[b->ncalls++];
            c->e = group->equations[j];
            const Tensor *t = c->e->dst;
            bool skips = adders[t->id] == 0 && is_unread(g, group, t, unread);
            choose(b, c, writers[t->id], adders[t->id], skips, group->scan_letter[j]);
            wants[t->id] = wants[t->id] || c->info.zero;
        }
        if (!describe(group, calls, touched, b->target, why)) {
            return false;
        }
    }
    for (int i = 0; i < ncopies; i++) {
        Call *c = &b->calls[b->ncalls++];
        c->e = copies[i];
        memset(touched, 0, (size_t)g->ntensors * sizeof *touched);
        choose(b, c, 1, 0, false, -1);
        if (!kernel_describe(&c->info, touched, b->target, why)) {
            return false;
        }
    }
    for (int i = 0; i < b->ncalls; i++) { /* the first writer zeroes for all */
        bool *w = &wants[b->calls[i].e->dst->id];
        b->calls[i].zero = *w;
        *w = false;
    }
    return true;
}
