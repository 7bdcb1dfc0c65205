/* Groups of a schedule become kernels; see kernels.h. */
#include "kernels.h"
#include "../../passes/contract.h"
#include "../../passes/convolution.h"
#include "count.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_keyed(const Equation *e)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *s = e->lhs[d];
        if (s->op != OP_LETTER && s->op != OP_CONST && s->op != OP_INJECT) {
            return true;
        }
    }
    return false;
}

const char *kernel_kind(const Graph *g, const Equation *e, const char **reason)
{
    Contraction product;
    Convolution by_distance;
    *reason = NULL;
    if (equation_is_extern(e)) {
        return "extern";
    }
    if (convolution_match(g, e, &by_distance)) {
        return "convolve";
    }
    if (is_keyed(e)) {
        *reason = "the cell that is written depends on data or on several letters";
        return "scatter";
    }
    if (contract_match(g, e, &product)) {
        return "product";
    }
    if (e->op == RED_NONE) {
        return "map";
    }
    *reason = e->op == RED_SUM ? "the body is not a product of two loads" : "not a sum";
    return "rows";
}

typedef struct {
    const Kernels *k;
    int kernel;
    int *user; /* by tensor id: the only kernel that uses it + 1; -1: several do */
} Users;

static void note_use(const Users *u, const Tensor *t)
{
    int *user = &u->user[t->id];
    *user = *user == 0 || *user == u->kernel + 1 ? u->kernel + 1 : -1;
}

static void note_load(const Scalar *s, void *ctx)
{
    if (s->op == OP_LOAD) {
        note_use(ctx, s->tensor);
    }
}

/* Tiled by position; or made by rows, in a cluster that alone reads it and whose rows are all it has lists of. */
static void find_virtual(Kernels *k)
{
    Graph *g = k->g;
    Users u = {.k = k, .user = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof(int))};
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = g->equations[i];
        u.kernel = k->of[i];
        equation_walk(e, note_load, &u);
        note_use(&u, e->dst);
    }
    k->is_virtual = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *k->is_virtual);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        int lists = 0, user = u.user[i];
        for (int d = 1; d < t->ndim; d++) {
            lists += axis_is_ragged(t->dims[d]);
        }
        bool in_rows = user > 0 && k->kernels[user - 1].by_rows && t->role == ROLE_VALUE && t->per_example &&
                       !t->is_output && !t->is_draw && lists == axis_is_ragged(k->kernels[user - 1].axis);
        k->is_virtual[i] = t->tile_dim > 0 || in_rows;
    }
}

Kernels kernels_of(const Schedule *s, int real_bytes, int64_t batch, const int64_t *lengths)
{
    Graph *g = s->graph;
    Kernels k = {.g = g, .real_bytes = real_bytes, .batch = batch, .lengths = lengths, .why = why_stored(g)};
    k.of = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *k.of);
    for (int i = 0; i < g->nequations; i++) {
        k.of[i] = -1;
    }
    for (int i = 0; i < s->ngroups; i++) {
        const Group *group = &s->groups[i];
        bool together = group->is_scan || group->is_cluster;
        for (int j = 0; j < group->n; j += together ? group->n : 1) {
            KernelFacts x = {.n = together ? group->n : 1, .members = &group->equations[j]};
            if (group->is_cluster) {
                x.kind = "cluster";
                x.axis = group->axis;
                x.by_rows = group->by_rows;
            } else if (group->is_scan) {
                x.kind = "scan";
                x.axis = group->axis;
                x.reason = "a recurrence: runs position by position";
            } else {
                x.kind = kernel_kind(g, x.members[0], &x.reason);
            }
            for (int m = 0; m < x.n; m++) {
                k.of[x.members[m]->id] = k.n;
            }
            ARENA_PUSH(g->arena, k.kernels, k.n, x);
        }
    }
    find_virtual(&k);
    return k;
}

void kernels_plan(Kernels *k, const Plan *p)
{
    k->calls = arena_alloc(k->g->arena, (size_t)(k->g->nequations + 1) * sizeof *k->calls);
    for (int i = 0; i < k->g->nequations; i++) {
        k->calls[i] = NULL;
    }
    for (int i = 0; i < p->nsteps; i++) {
        const PlanStep *step = &p->steps[i];
        bool one = step->kind == STEP_CALL, many = step->kind == STEP_SCAN || step_is_tiled(step);
        for (int j = 0; j < (one ? 1 : many ? step->ncalls : 0); j++) {
            const PlanCall *call = one ? &step->call : &step->calls[j];
            if (call->equation >= 0 && call->equation < k->g->nequations) {
                k->calls[call->equation] = call;
            }
        }
    }
}

/* ---- what it reads and writes ---- */

static void add_tensor(Arena *arena, TensorList *l, const Tensor *t)
{
    for (int i = 0; i < l->n; i++) {
        if (l->tensors[i] == t) {
            return;
        }
    }
    ARENA_PUSH(arena, l->tensors, l->n, t);
}

static TensorList written(const Kernels *k, const KernelFacts *x, bool tiled)
{
    TensorList l = {0};
    for (int i = 0; i < x->n; i++) {
        if (k->is_virtual[x->members[i]->dst->id] == tiled) {
            add_tensor(k->g->arena, &l, x->members[i]->dst);
        }
    }
    return l;
}

TensorList kernel_virtual(const Kernels *k, const KernelFacts *x)
{
    return written(k, x, true);
}

TensorList kernel_sinks(const Kernels *k, const KernelFacts *x)
{
    return written(k, x, false);
}

typedef struct {
    Arena *arena;
    TensorList list;
} Collect;

static void collect(const Scalar *s, void *ctx)
{
    Collect *c = ctx;
    if (s->op == OP_LOAD) {
        add_tensor(c->arena, &c->list, s->tensor);
    }
}

static TensorList reads_of(const Kernels *k, const Equation *e)
{
    Collect c = {.arena = k->g->arena};
    sc_walk(e->body, collect, &c);
    for (int d = 0; d < e->dst->ndim; d++) {
        sc_walk(e->lhs[d], collect, &c);
    }
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], collect, &c);
    }
    return c.list;
}

static bool writes(const KernelFacts *x, const Tensor *t)
{
    for (int i = 0; i < x->n; i++) {
        if (x->members[i]->dst == t) {
            return true;
        }
    }
    return false;
}

TensorList kernel_sources(const Kernels *k, const KernelFacts *x)
{
    TensorList all = {0};
    for (int i = 0; i < x->n; i++) {
        TensorList l = reads_of(k, x->members[i]);
        for (int j = 0; j < l.n; j++) {
            if (!writes(x, l.tensors[j])) {
                add_tensor(k->g->arena, &all, l.tensors[j]);
            }
        }
    }
    return all;
}

/* ---- lines ---- */

typedef struct {
    const Source *source;
    int n, max, *out;
} Lines;

static void add_line(Lines *l, Span at)
{
    int i = l->n;
    if (at.line <= 0 || at.source != l->source) {
        return;
    }
    for (int k = 0; k < l->n; k++) {
        if (l->out[k] == at.line) {
            return;
        }
    }
    if (l->n == l->max) {
        return;
    }
    for (; i > 0 && l->out[i - 1] > at.line; i--) {
        l->out[i] = l->out[i - 1];
    }
    l->out[i] = at.line;
    l->n++;
}

static void add_node_line(const Scalar *s, void *ctx)
{
    if (s->op > OP_LOAD && s->op != OP_LETTER) { /* loads, constants and positions were not computed elsewhere */
        add_line(ctx, s->span);
    }
}

int kernel_lines(const KernelFacts *x, bool own, int max, int *out)
{
    Lines l = {.source = x->members[0]->span.source, .max = max, .out = out};
    int mine[256], n = own ? 0 : kernel_lines(x, true, 256, mine);
    for (int i = 0; i < x->n; i++) {
        if (own) {
            add_line(&l, x->members[i]->span);
        } else {
            sc_walk(x->members[i]->body, add_node_line, &l);
        }
    }
    for (int i = 0; i < n; i++) { /* without its own */
        for (int k = 0; k < l.n; k++) {
            if (out[k] == mine[i]) {
                l.n--;
                for (; k < l.n; k++) {
                    out[k] = out[k + 1];
                }
            }
        }
    }
    return l.n;
}

void kernel_place(Span at, const char *spec, Text *out)
{
    const char *path = at.source ? source_path(at.source) : NULL;
    if (path && strcmp(path, spec) != 0) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        text_printf(out, "%.*s:", (int)strcspn(name, "."), name);
    }
    text_printf(out, "%d", at.line);
}

/* ---- work ---- */

static int elem_bytes(const Tensor *t, int real_bytes)
{
    switch (t->elem) {
    case ELEM_BOOL:
        return 1;
    case ELEM_I64:
        return 8;
    case ELEM_REAL:
        return real_bytes;
    case ELEM_I32:
    case ELEM_F32:
        break;
    }
    return 4;
}

static double tensor_bytes(const Kernels *k, const Tensor *t)
{
    return count_cells(k->g, t, k->batch, k->lengths) * elem_bytes(t, k->real_bytes);
}

double kernel_flop(const Kernels *k, const KernelFacts *x)
{
    double flop = 0;
    for (int i = 0; i < x->n; i++) {
        flop += count_equation(k->g, x->members[i], k->batch, k->lengths);
    }
    return flop;
}

double kernel_stored(const Kernels *k, const KernelFacts *x)
{
    TensorList sinks = kernel_sinks(k, x);
    double bytes = 0;
    for (int i = 0; i < sinks.n; i++) {
        bytes += tensor_bytes(k, sinks.tensors[i]);
    }
    return bytes;
}

double kernel_bytes(const Kernels *k, const KernelFacts *x)
{
    TensorList sources = kernel_sources(k, x);
    double bytes = kernel_stored(k, x), tuples = 0;
    for (int i = 0; i < x->n; i++) {
        tuples += count_tuples(k->g, x->members[i], k->batch, k->lengths);
    }
    for (int i = 0; i < sources.n; i++) {
        bytes += fmin(tensor_bytes(k, sources.tensors[i]), tuples * elem_bytes(sources.tensors[i], k->real_bytes));
    }
    return bytes;
}

static void find_load(const Scalar *s, void *ctx)
{
    *(bool *)ctx |= s->op == OP_LOAD;
}

bool load_is_by_data(const Scalar *load)
{
    bool found = false;
    for (int i = 0; i < load->nargs; i++) {
        sc_walk(load->args[i], find_load, &found);
    }
    return found;
}

typedef struct {
    const Kernels *k;
    unsigned letters; /* all of the equation's */
    double cells, table;
} Gathers;

static void note_gather(const Scalar *s, void *ctx)
{
    enum { FIRST_CACHE = 1 << 15 };
    Gathers *found = ctx;
    if (s->op != OP_LOAD || !load_is_by_data(s) || sc_letters(s) != found->letters) {
        return;
    }
    double bytes = tensor_bytes(found->k, s->tensor);
    if (bytes > FIRST_CACHE) {
        found->cells += elem_bytes(s->tensor, found->k->real_bytes);
        found->table = fmax(found->table, bytes);
    }
}

double kernel_gathered(const Kernels *k, const Equation *e, double *table)
{
    Gathers found = {.k = k, .letters = (1u << e->nletters) - 1};
    sc_walk(e->body, note_gather, &found);
    *table = found.table;
    return found.cells > 0 ? found.cells * count_tuples(k->g, e, k->batch, k->lengths) : 0;
}
