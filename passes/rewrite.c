/* Drafts of equations and the small questions that several passes ask about one. */
#include "rewrite.h"

#include "ptrmap.h"

#include <string.h>

Draft draft_new(Graph *g, Tensor *dst, Reduce op, Span span)
{
    Draft d = {.graph = g};
    d.e.dst = dst;
    d.e.op = op;
    d.e.span = span;
    return d;
}

Draft draft_from(Graph *g, const Equation *e)
{
    Draft d = {.graph = g, .e = *e};
    for (int i = 0; i < e->nconds; i++) {
        draft_cond(&d, e->conds[i]);
    }
    return d;
}

int draft_letter(Draft *d, Letter letter)
{
    if (d->e.nletters == MAX_LETTERS) {
        bug("an equation for '%s' needs more than %d letters", d->e.dst ? d->e.dst->name : "?", MAX_LETTERS);
    }
    d->e.letters[d->e.nletters] = letter;
    d->gone[d->e.nletters] = false;
    return d->e.nletters++;
}

void draft_cond(Draft *d, Scalar *cond)
{
    if (cond->op == OP_and) {
        draft_cond(d, cond->args[0]);
        draft_cond(d, cond->args[1]);
        return;
    }
    if (cond->op == OP_CONST && cond->inum) {
        return;
    }
    for (int i = 0; i < d->nconds; i++) {
        if (d->conds[i] == cond) {
            return;
        }
    }
    ARENA_PUSH(d->graph->arena, d->conds, d->nconds, cond);
}

void draft_cond_first(Draft *d, Scalar *cond)
{
    if (cond->op == OP_and) {
        draft_cond_first(d, cond->args[1]);
        draft_cond_first(d, cond->args[0]);
        return;
    }
    if (cond->op == OP_CONST && cond->inum) {
        return;
    }
    int at = 0;
    while (at < d->nconds && d->conds[at] != cond) {
        at++;
    }
    if (at == d->nconds) {
        ARENA_PUSH(d->graph->arena, d->conds, d->nconds, cond);
    }
    memmove(d->conds + 1, d->conds, (size_t)at * sizeof *d->conds);
    d->conds[0] = cond;
}

void draft_replace(Draft *d, int letter, Scalar *by)
{
    Graph *g = d->graph;
    Scalar *map[MAX_LETTERS] = {0};
    map[letter] = by;
    for (int k = 0; k < d->e.dst->ndim; k++) {
        if (d->e.lhs[k]) {
            d->e.lhs[k] = fold_substitute(g, d->e.lhs[k], d->e.nletters, map);
        }
    }
    Scalar **old = d->conds;
    int n = d->nconds;
    d->conds = NULL;
    d->nconds = 0;
    for (int i = 0; i < n; i++) {
        draft_cond(d, fold_substitute(g, old[i], d->e.nletters, map));
    }
    if (d->e.body) {
        d->e.body = fold_substitute(g, d->e.body, d->e.nletters, map);
    }
    d->gone[letter] = true;
}

bool draft_is_parent(const Draft *d, int letter)
{
    for (int k = 0; k < d->e.nletters; k++) {
        if (!d->gone[k] && d->e.letters[k].parent == letter) {
            return true;
        }
    }
    return false;
}

/* Puts letter k behind its parent in order[]; output letters come in lhs order, so a parent that is itself an
 * output letter already stands before it. */
static void order_letter(const Draft *d, int k, int *order, int *n, bool *done)
{
    if (done[k] || d->gone[k]) {
        return;
    }
    int parent = d->e.letters[k].parent;
    if (parent >= 0) {
        if (d->gone[parent]) {
            bug("letter '%s' of an equation for '%s' lost its parent", d->e.letters[k].name, d->e.dst->name);
        }
        order_letter(d, parent, order, n, done);
    }
    done[k] = true;
    order[(*n)++] = k;
}

static void renumber(Draft *d, Equation *out)
{
    Graph *g = d->graph;
    int order[MAX_LETTERS], n = 0;
    bool done[MAX_LETTERS] = {0};
    for (int k = 0; k < d->e.dst->ndim; k++) {
        int l = lhs_letter(d->e.lhs[k]);
        if (l >= 0 && !done[l]) {
            done[l] = true;
            order[n++] = l;
        }
    }
    for (int k = 0; k < d->e.nletters; k++) {
        order_letter(d, k, order, &n, done);
    }
    int number[MAX_LETTERS];
    Scalar *map[MAX_LETTERS] = {0};
    bool moved = n != d->e.nletters;
    for (int i = 0; i < n; i++) {
        number[order[i]] = i;
        map[order[i]] = sc_letter(g, i);
        moved |= order[i] != i;
    }
    Equation e = d->e;
    e.nletters = n;
    for (int i = 0; i < n; i++) {
        e.letters[i] = d->e.letters[order[i]];
        if (e.letters[i].parent >= 0) {
            e.letters[i].parent = number[e.letters[i].parent];
        }
    }
    Scalar **conds = arena_alloc(g->arena, (size_t)(d->nconds + 1) * sizeof *conds);
    for (int i = 0; i < d->nconds; i++) {
        conds[i] = moved ? sc_substitute(g, d->conds[i], d->e.nletters, map) : d->conds[i];
    }
    e.conds = conds;
    e.nconds = d->nconds;
    if (moved) {
        for (int k = 0; k < e.dst->ndim; k++) {
            e.lhs[k] = sc_substitute(g, e.lhs[k], d->e.nletters, map);
        }
        e.body = sc_substitute(g, e.body, d->e.nletters, map);
    }
    *out = e;
}

Equation *draft_commit(Draft *d)
{
    Equation e;
    renumber(d, &e);
    return graph_equation(d->graph, e);
}

void draft_store(Draft *d, Equation *into)
{
    Equation e;
    renumber(d, &e);
    e.id = into->id;
    *into = e;
}

void draft_store_cases(Equation *into, int n, Draft *d)
{
    for (int i = 1; i < n; i++) {
        draft_commit(&d[i]);
    }
    draft_store(&d[0], into);
}

Draft draft_settle(Draft *d)
{
    Equation e;
    renumber(d, &e);
    return draft_from(d->graph, &e);
}

/* ---- questions ---- */

typedef struct {
    bool (*asks)(const Scalar *s, int letter);
    int letter;
    bool found;
} Question;

static void ask(const Scalar *s, void *ctx)
{
    Question *q = ctx;
    q->found = q->found || q->asks(s, q->letter);
}

bool sc_asks(const Scalar *s, bool (*asks)(const Scalar *s, int letter), int letter)
{
    Question q = {asks, letter, false};
    sc_walk(s, ask, &q);
    return q.found;
}

int lhs_letter(const Scalar *index)
{
    if (index->op == OP_LETTER) {
        return (int)index->inum;
    }
    if (index->op == OP_INJECT && index->args[0]->op == OP_LETTER) {
        return (int)index->args[0]->inum;
    }
    return -1;
}

bool equation_covers(const Equation *e)
{
    bool used[MAX_LETTERS] = {0};
    for (int k = 0; k < e->dst->ndim; k++) {
        if (e->lhs[k]->op != OP_LETTER) {
            return false;
        }
        int l = (int)e->lhs[k]->inum;
        if (used[l] || e->letters[l].axis != e->dst->dims[k]) {
            return false;
        }
        used[l] = true;
    }
    return true;
}

bool has_load(const Scalar *s)
{
    for (int k = 0; k < s->nargs; k++) {
        if (has_load(s->args[k])) {
            return true;
        }
    }
    return s->op == OP_LOAD;
}

bool equation_has_keyed_lhs(const Equation *e)
{
    for (int k = 0; k < e->dst->ndim; k++) {
        if (e->lhs[k]->op != OP_CONST && lhs_letter(e->lhs[k]) < 0 &&
            !(e->lhs[k]->op == OP_INJECT && e->lhs[k]->args[0]->op == OP_CONST)) {
            return true;
        }
    }
    return false;
}

bool axis_needs_parent(const Axis *a)
{
    return a->kind == AXIS_TABLE || axis_is_ragged(a);
}

Scalar *letter_size(Graph *g, const Letter *letters, int k)
{
    const Axis *a = letters[k].axis;
    if (!axis_needs_parent(a)) {
        int64_t n = axis_bound(a);
        return n >= 0 ? sc_int(g, n) : sc_size(g, letters[k].axis, 0, NULL);
    }
    Scalar *args[MAX_LETTERS];
    int chain[MAX_LETTERS], n = 0;
    for (int l = letters[k].parent; l >= 0; l = letters[l].parent) {
        chain[n++] = l;
    }
    for (int i = 0; i < n; i++) {
        args[i] = sc_letter(g, chain[n - 1 - i]);
    }
    return sc_size(g, letters[k].axis, n, args);
}

int parent_dim(const Tensor *t, int k)
{
    const Axis *a = t->dims[k];
    if (!axis_needs_parent(a)) {
        return -1;
    }
    if (a->kind != AXIS_SUM && a->parent) {
        for (int m = 0; m < t->ndim; m++) {
            if (m != k && t->dims[m] == a->parent) {
                return m;
            }
        }
        return -1;
    }
    return t->per_example && k > 0 ? 0 : -1;
}

/* ---- rewriting ---- */

typedef struct {
    Graph *g;
    Rewriter f;
    void *ctx;
    PtrMap done;
} Rewriting;

static Scalar *rewrite_node(Rewriting *r, Scalar *s)
{
    void **known = ptrmap_at(&r->done, s);
    if (*known) {
        return *known;
    }
    Scalar *out = s;
    if (s->nargs) {
        Scalar *args[MAX_LETTERS + 2];
        if (s->nargs > MAX_LETTERS + 2) {
            bug("%s has %d arguments", op_info[s->op].name, s->nargs);
        }
        for (int i = 0; i < s->nargs; i++) {
            args[i] = rewrite_node(r, s->args[i]);
        }
        out = sc_rebuild(r->g, s, args);
    }
    out = r->f(r->g, out, r->ctx);
    *ptrmap_at(&r->done, s) = out;
    return out;
}

Scalar *sc_rewrite(Graph *g, Scalar *s, Rewriter f, void *ctx)
{
    Rewriting r = {g, f, ctx, {0}};
    Scalar *out = rewrite_node(&r, s);
    ptrmap_free(&r.done);
    return out;
}

typedef struct {
    const Scalar *from;
    Scalar *to;
} Swap;

static Scalar *swap_node(Graph *g, Scalar *s, void *ctx)
{
    const Swap *w = ctx;
    (void)g;
    return s == w->from ? w->to : s;
}

Scalar *sc_swap(Graph *g, Scalar *s, const Scalar *from, Scalar *to)
{
    Swap w = {from, to};
    return sc_rewrite(g, s, swap_node, &w);
}

void equation_rewrite(Graph *g, Equation *e, Rewriter f, void *ctx)
{
    for (int k = 0; k < e->dst->ndim; k++) {
        e->lhs[k] = sc_rewrite(g, e->lhs[k], f, ctx);
    }
    Scalar **conds = arena_alloc(g->arena, (size_t)(e->nconds + 1) * sizeof *conds);
    for (int i = 0; i < e->nconds; i++) {
        conds[i] = sc_rewrite(g, e->conds[i], f, ctx);
    }
    e->conds = conds;
    e->body = sc_rewrite(g, e->body, f, ctx);
}

typedef struct {
    void (*f)(const Scalar *, void *);
    void *ctx;
} LoadVisit;

static void visit_load(const Scalar *s, void *ctx)
{
    LoadVisit *v = ctx;
    if (s->op == OP_LOAD) {
        v->f(s, v->ctx);
    }
}

void equation_loads(const Equation *e, void (*f)(const Scalar *load, void *ctx), void *ctx)
{
    LoadVisit v = {f, ctx};
    for (int k = 0; k < e->dst->ndim; k++) {
        sc_walk(e->lhs[k], visit_load, &v);
    }
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], visit_load, &v);
    }
    sc_walk(e->body, visit_load, &v);
}
