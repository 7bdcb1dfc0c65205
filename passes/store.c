/* What is kept in memory: the one decision, and the costs it weighs. A value that is not stored is computed again at
 * every use, so that is done where it is nearly free (a few cheap operations), or where there is one use that reads
 * each element once. Products are never disturbed: what they read is stored. */
#include "contract.h"
#include "convolution.h"
#include "uses.h"

enum { CHEAP_OPS = 5, CHEAP_LOADS = 3 };

/* ---- who reads what ---- */

static void add_reader(const Scalar *load, void *ctx)
{
    Uses *u = ((void **)ctx)[0];
    const Equation *reader = ((void **)ctx)[1];
    int t = load->tensor->id;
    for (int i = 0; i < u->nreaders[t]; i++) {
        if (u->readers[t][i] == reader) {
            return;
        }
    }
    ARENA_PUSH(u->g->arena, u->readers[t], u->nreaders[t], u->g->equations[reader->id]);
}

void uses_add(Uses *u, const Equation *reader)
{
    const void *ctx[2] = {u, reader};
    equation_loads(reader, add_reader, ctx);
}

static void remove_reader(const Scalar *load, void *ctx)
{
    Uses *u = ((void **)ctx)[0];
    const Equation *reader = ((void **)ctx)[1];
    int t = load->tensor->id, n = 0;
    for (int i = 0; i < u->nreaders[t]; i++) {
        if (u->readers[t][i] != reader) {
            u->readers[t][n++] = u->readers[t][i];
        }
    }
    u->nreaders[t] = n;
}

void uses_remove(Uses *u, const Equation *reader)
{
    const void *ctx[2] = {u, reader};
    equation_loads(reader, remove_reader, ctx);
}

Uses uses_of(Graph *g)
{
    size_t n = (size_t)g->ntensors + 1;
    Uses u = {.g = g, .defs = equations_by_tensor(g), .order = order_equations(g)};
    u.readers = arena_alloc(g->arena, n * sizeof *u.readers);
    u.nreaders = arena_alloc(g->arena, n * sizeof *u.nreaders);
    u.pinned = arena_alloc(g->arena, n * sizeof *u.pinned);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        u.pinned[i] |= t->is_output || t->is_draw || t == g->loss;
        if (t->next) {
            u.pinned[t->next->id] = true;
        }
    }
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = g->equations[i];
        uses_add(&u, e);
        for (int k = 0; equation_is_extern(e) && k < e->body->nargs; k++) {
            u.pinned[e->body->args[k]->tensor->id] = u.pinned[e->dst->id] = true;
        }
    }
    return u;
}

/* ---- costs ---- */

bool is_heavy(const Scalar *s)
{
    return s->op == OP_RAND || s->op == OP_STEP || (s->op > OP_STEP && !(op_info[s->op].flags & CHEAP));
}

static void add_cost(const Scalar *s, void *ctx)
{
    Cost *c = ctx;
    c->nodes++;
    switch (s->op) {
    case OP_CONST:
    case OP_LETTER:
    case OP_SIZE:
        return;
    case OP_LOAD:
        c->loads += s->tensor->ndim > 0;
        for (int i = 0; i < s->nargs; i++) {
            if (has_load(s->args[i])) {
                c->gathers++;
                return;
            }
        }
        return;
    default:
        *(is_heavy(s) ? &c->heavy : &c->ops) += 1;
    }
}

Cost cost_of(const Scalar *s)
{
    Cost c = {0};
    sc_walk(s, add_cost, &c);
    return c;
}

/* ---- decisions ---- */

bool can_inline(const Uses *u, const Equation *e)
{
    const Tensor *t = e->dst;
    return e->op == RED_NONE && !u->pinned[t->id] && !u->defs[t->id][1] && !u->order.in_cycle[e->id] &&
           equation_covers(e);
}

typedef struct {
    const Tensor *t;
    const Equation *reader;
    unsigned letters; /* of the reader, that the index of some load uses */
    bool any, repeats;
} LoadLetters;

static void look_at_index(const Scalar *load, void *ctx)
{
    LoadLetters *l = ctx;
    if (load->tensor != l->t) {
        return;
    }
    unsigned used = 0;
    for (int i = 0; i < load->nargs; i++) {
        used |= sc_letters(load->args[i]);
    }
    for (int k = 0; k < l->reader->nletters; k++) {
        const Axis *a = l->reader->letters[k].axis;
        l->repeats |= !(used >> k & 1) && (axis_needs_parent(a) || axis_bound(a) != 1);
    }
}

/* Each element is read once for every value of a letter that the index does not use. */
static bool reads_repeatedly(const Tensor *t, const Equation *reader)
{
    LoadLetters l = {.t = t, .reader = reader};
    equation_loads(reader, look_at_index, &l);
    return l.repeats;
}

/* Another name, or another order of indices, for what is stored already. */
static bool is_copy(const Equation *e)
{
    if (e->body->op != OP_LOAD || e->nconds) {
        return false;
    }
    for (int i = 0; i < e->body->nargs; i++) {
        if (e->body->args[i]->op != OP_LETTER && e->body->args[i]->op != OP_CONST) {
            return false;
        }
    }
    return true;
}

/* Of a product or convolution, which a kernel of its own computes from stored values alone. */
static bool is_operand(const Graph *g, const Equation *reader, const Tensor *t)
{
    Contraction c;
    Convolution v;
    return (contract_match(g, reader, &c) && (c.a->tensor == t || c.b->tensor == t)) ||
           (convolution_match(g, reader, &v) && (v.x->tensor == t || v.weights == t || (v.y && v.y->tensor == t)));
}

bool pays_to_inline(const Uses *u, const Equation *e, const Equation *reader)
{
    if (is_copy(e)) {
        return true; /* also in a product: a load stays a load */
    }
    if (is_operand(u->g, reader, e->dst)) {
        return false;
    }
    Cost cost = cost_of(e->body);
    for (int i = 0; i < e->nconds; i++) {
        Cost more = cost_of(e->conds[i]);
        cost.ops += more.ops;
        cost.heavy += more.heavy;
        cost.loads += more.loads;
        cost.gathers += more.gathers;
    }
    if (cost.loads == 0 && cost.heavy == 0) {
        return true; /* constants and positions: nothing to load instead */
    }
    if (reads_repeatedly(e->dst, reader)) {
        return cost.heavy == 0 && cost.gathers == 0 && cost.ops <= 1 && cost.loads <= 1;
    }
    if (u->nreaders[e->dst->id] == 1) {
        return true;
    }
    return cost.heavy == 0 && cost.gathers == 0 && cost.ops <= CHEAP_OPS && cost.loads <= CHEAP_LOADS;
}

static const char *why_not_inlined(const Uses *u, const Equation *e)
{
    const Tensor *t = e->dst;
    if (u->order.in_cycle[e->id]) {
        return "part of a recurrence";
    }
    if (u->pinned[t->id]) {
        return t->is_draw ? "a draw that a batch may give" : t->is_output ? "an output" : "wanted after the step";
    }
    if (e->op != RED_NONE) {
        return "a reduction is done once, not at every use";
    }
    if (u->defs[t->id][1]) {
        return "several equations define it, part by part";
    }
    if (!equation_covers(e)) {
        return "it is defined only where its conditions hold";
    }
    for (int i = 0; i < u->nreaders[t->id]; i++) {
        const Equation *reader = u->readers[t->id][i];
        if (pays_to_inline(u, e, reader)) {
            continue;
        }
        if (is_operand(u->g, reader, t)) {
            return "a matrix product or a convolution reads it";
        }
        return reads_repeatedly(t, reader) ? "a reader needs each value several times, and it is not free to compute"
                                           : "several kernels read it, and it is not cheap to compute";
    }
    return NULL;
}

const char **why_stored(Graph *g)
{
    Uses u = uses_of(g);
    const char **why = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *why);
    for (int i = 0; i < g->nequations; i++) {
        why[i] = why_not_inlined(&u, g->equations[i]);
    }
    return why;
}
