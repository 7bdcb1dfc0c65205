/* Equal equations: two values defined by the same letters, conditions and body are one value. Scalars are
 * hash-consed, so "the same" is a comparison of pointers; equations are met in order of definition and their loads
 * are redirected first, so one round finds chains of equal values. Repeated sub-expressions of a user's text, and the
 * same derivative needed by two contributions, end here. */
#include "fault.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Tensor **same; /* by tensor id: the tensor that stands for it, or NULL */
    bool *fixed;   /* by tensor id: must keep its own storage */
} Merging;

static Scalar *redirect(Graph *g, Scalar *s, void *ctx)
{
    const Merging *m = ctx;
    if (s->op == OP_LOAD && m->same[s->tensor->id]) {
        return sc_with_span(g, sc_load(g, m->same[s->tensor->id], s->nargs, s->args), s->span);
    }
    return s;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t hash(const Equation *e)
{
    uint64_t h = mix((uint64_t)e->op, (uint64_t)e->body->id);
    h = mix(h, (uint64_t)e->nconds * 64 + (uint64_t)e->dst->elem);
    for (int i = 0; i < e->nconds && !FAULT(13); i++) {
        h = mix(h, (uint64_t)e->conds[i]->id);
    }
    for (int k = 0; k < e->dst->ndim; k++) {
        h = mix(h, (uint64_t)e->lhs[k]->id);
    }
    for (int l = 0; l < e->nletters; l++) {
        h = mix(h, (uint64_t)e->letters[l].axis->id);
    }
    return h;
}

static bool equal(const Equation *a, const Equation *b)
{
    const Tensor *s = a->dst, *t = b->dst;
    if (a->op != b->op || a->body != b->body || a->nconds != b->nconds || a->nletters != b->nletters ||
        s->elem != t->elem || s->ndim != t->ndim || s->per_example != t->per_example ||
        memcmp(s->dims, t->dims, (size_t)s->ndim * sizeof *s->dims) != 0 ||
        memcmp(a->lhs, b->lhs, (size_t)s->ndim * sizeof *a->lhs) != 0) {
        return false;
    }
    for (int i = 0; i < a->nconds; i++) {
        if (a->conds[i] != b->conds[i] && !FAULT(13)) {
            return false;
        }
    }
    for (int l = 0; l < a->nletters; l++) {
        if (a->letters[l].axis != b->letters[l].axis || a->letters[l].parent != b->letters[l].parent) {
            return false;
        }
    }
    return true;
}

static bool *find_fixed(const Graph *g)
{
    bool *fixed = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *fixed);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        fixed[i] |= t->is_output || t->is_draw || t == g->loss;
        if (t->next) {
            fixed[t->next->id] = true;
        }
    }
    return fixed;
}

bool merge_equal_equations(Graph *g)
{
    size_t slots = 16;
    while (slots < 2 * (size_t)g->nequations) {
        slots *= 2;
    }
    Equation **table = calloc(slots, sizeof *table);
    if (!table) {
        bug("out of memory while merging equations");
    }
    Equation ***defs = equations_by_tensor(g);
    Order order = order_equations(g);
    Merging m = {.same = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof(Tensor *)), .fixed = find_fixed(g)};
    bool any = false;
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = order.order[i];
        if (any) {
            equation_rewrite(g, e, redirect, &m);
        }
        if (defs[e->dst->id][1]) {
            continue;
        }
        size_t at = (size_t)hash(e) & (slots - 1);
        while (table[at] && !equal(table[at], e)) {
            at = (at + 1) & (slots - 1);
        }
        if (!table[at]) {
            table[at] = e;
        } else if (!m.fixed[e->dst->id]) {
            m.same[e->dst->id] = table[at]->dst;
            any = true;
        }
    }
    free(table);
    if (!any) {
        return false;
    }
    bool *keep = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *keep);
    for (int i = 0; i < g->nequations; i++) {
        keep[i] = !m.same[g->equations[i]->dst->id];
        if (keep[i]) { /* a recurrence may read what was merged after it was met */
            equation_rewrite(g, g->equations[i], redirect, &m);
        }
    }
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (t->grad && m.same[t->grad->id]) {
            t->grad = m.same[t->grad->id];
        }
    }
    graph_drop_equations(g, keep);
    graph_reorder(g);
    return true;
}
