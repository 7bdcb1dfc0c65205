/* levels: which groups of a schedule run level by level (passes.h, Levels). Between a carried state u and its next
 * value lies what depends on the one and leads to the other; everything else runs once, for all examples:
 *
 *     leads to a next value │ depends on u and leads to u' │ the rest: losses, ...
 *                 once      │        level by level        │ once
 *
 * and the same again between pull.u and grad.u, backwards. The middle is closed under "lies between", so the order
 * within each part stays as it was. Sums over the batch are not in the middle: the front end has refused those that
 * feed a state, and no adjoint that leads to grad.u is one. */
#include "rewrite.h"

#include <string.h>

typedef struct {
    const Schedule *s;
    bool *below, *above;  /* by tensor: depends on a start; leads to an end (or is one) */
    bool *inside, *leads; /* by group */
    bool found;
} Between;

static void look_below(const Scalar *load, void *ctx)
{
    Between *b = ctx;
    b->found |= b->below[load->tensor->id];
}

static void mark_above(const Scalar *load, void *ctx)
{
    ((Between *)ctx)->above[load->tensor->id] = true;
}

/* Sets `inside` and `leads` for the starts and ends that are marked. */
static void look(Between *b)
{
    for (int i = 0; i < b->s->ngroups; i++) {
        const Group *group = &b->s->groups[i];
        b->found = false;
        for (int j = 0; j < group->n; j++) {
            equation_loads(group->equations[j], look_below, b);
        }
        for (int j = 0; j < group->n; j++) {
            b->below[group->equations[j]->dst->id] |= b->found;
        }
        b->inside[i] = b->found;
    }
    for (int i = b->s->ngroups; i-- > 0;) {
        const Group *group = &b->s->groups[i];
        bool leads = false;
        for (int j = 0; j < group->n; j++) {
            leads |= b->above[group->equations[j]->dst->id];
        }
        for (int j = 0; j < group->n && leads; j++) {
            equation_loads(group->equations[j], mark_above, b);
        }
        b->leads[i] = leads;
        b->inside[i] &= leads;
    }
}

static Between between(const Schedule *s)
{
    size_t tensors = (size_t)s->graph->ntensors + 1, groups = (size_t)s->ngroups + 1;
    Arena *a = s->graph->arena;
    return (Between){.s = s,
                     .below = arena_alloc(a, tensors),
                     .above = arena_alloc(a, tensors),
                     .inside = arena_alloc(a, groups),
                     .leads = arena_alloc(a, groups)};
}

/* What leads to the ends, what lies between, the rest. */
static Levels move(Schedule *s, const Between *b, bool backwards)
{
    Group *groups = arena_alloc(s->graph->arena, (size_t)(s->ngroups + 1) * sizeof *groups);
    Levels found = {.backwards = backwards};
    int n = 0;
    for (int part = 0; part < 3; part++) {
        found.first = part == 1 ? n : found.first;
        for (int i = 0; i < s->ngroups; i++) {
            if (part == (b->inside[i] ? 1 : b->leads[i] ? 0 : 2)) {
                groups[n++] = s->groups[i];
            }
        }
        found.n = part == 1 ? n - found.first : found.n;
    }
    s->groups = groups;
    return found;
}

void schedule_levels(Schedule *s)
{
    const Graph *g = s->graph;
    Between forwards = between(s);
    bool any = false, pulled = false;
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->is_carried) {
            forwards.below[t->id] = forwards.above[t->next->id] = any = true;
            pulled |= t->pull && t->grad;
        }
    }
    if (!any) {
        return;
    }
    look(&forwards);
    s->levels[0] = move(s, &forwards, false);
    s->nlevels = 1;
    if (!pulled) {
        return;
    }
    Between backwards = between(s);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->is_carried && t->pull && t->grad) {
            backwards.below[t->pull->id] = backwards.above[t->grad->id] = true;
        }
        if (t->is_carried) {
            backwards.above[t->next->id] = true; /* so the way forwards stays in front, where it is */
        }
    }
    look(&backwards);
    s->levels[1] = move(s, &backwards, true);
    s->nlevels = 2;
}
