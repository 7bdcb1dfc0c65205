/* differentiate: reverse mode, equations to equations. Needs: batch. Keeps: every forward equation (a max over
 * several letters is split into maxima over one each). Sets: param->grad and the grad of every value on the way.
 *
 * One rule. An equation with adjoint g reads T[f] in its body; T's adjoint receives, for every tuple of letters,
 * g * d body / d T[f] at the element f:
 *
 *     dst[lhs] sum= body | conds      gives      grad.T[f] sum= grad.dst[lhs] * d body / d T[f] | conds, guards
 *
 * adjoint.c computes the value and the guards, invert.c the left-hand side. max and min pass the adjoint where the
 * letter equals an argmax. Contributions to one tensor that write disjoint cells are cases of one tensor, the rest
 * are added by a map equation. In a recurrence the adjoints simply refer to each other as the values do: the
 * gradient of a cycle is a cycle running the other way, and the plan pass orders it like any other.
 *
 * A carried state u gets a gradient like a param, one per example, and the gradient of its next value one more
 * contribution: pull.u, a state that the schedule fills with the gradient of u of the example that follows. */
#include "adjoint.h"
#include "fault.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Draft *drafts;
    int n;
} Contributions;

typedef struct {
    Graph *g;
    int ntensors;      /* before we added any */
    bool *active;      /* by tensor id: depends differentiably on a param */
    bool *needed;      /* and the loss depends on it */
    Contributions *to; /* by tensor id */
    Activity activity;
    bool changed;
} Diff;

/* ---- which tensors take part ---- */

static bool passes_gradient(const Equation *e)
{
    return e->op == RED_NONE || e->op == RED_SUM || e->op == RED_MAX || e->op == RED_MIN;
}

static void mark_needed(const Scalar *load, void *ctx)
{
    Diff *d = ctx;
    if (!d->needed[load->tensor->id]) {
        d->needed[load->tensor->id] = d->changed = true;
    }
}

static void find_active(Diff *d)
{
    Graph *g = d->g;
    memset(d->active, 0, (size_t)g->ntensors * sizeof *d->active);
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        d->active[i] = (t->role == ROLE_PARAM || t->is_carried) && (t->elem == ELEM_REAL || t->elem == ELEM_F32);
    }
    do { /* twice through, unless recurrences reach further */
        d->changed = false;
        memset(d->activity.scalar, 0, (size_t)g->nscalars);
        for (int i = 0; i < g->nequations; i++) {
            Equation *e = g->equations[i];
            if (!d->active[e->dst->id] && passes_gradient(e) && scalar_is_active(&d->activity, e->body)) {
                d->active[e->dst->id] = d->changed = true;
            }
        }
    } while (d->changed);
}

static void find_needed(Diff *d)
{
    Graph *g = d->g;
    d->needed[g->loss->id] = true;
    for (int i = 0; i < d->ntensors; i++) { /* of the examples that follow */
        const Tensor *t = g->tensors[i];
        if (t->is_carried && d->active[t->next->id]) {
            d->needed[t->next->id] = true;
        }
    }
    do {
        d->changed = false;
        for (int i = g->nequations - 1; i >= 0; i--) {
            Equation *e = g->equations[i];
            if (d->needed[e->dst->id] && passes_gradient(e)) {
                scalar_reach(&d->activity, e->body, mark_needed, d);
            }
        }
    } while (d->changed);
}

/* ---- maxima over several letters ---- */

static int reduced_letters(const Equation *e, int *first)
{
    bool output[MAX_LETTERS] = {0};
    for (int k = 0; k < e->dst->ndim; k++) {
        int l = lhs_letter(e->lhs[k]);
        if (l >= 0) {
            output[l] = true;
        }
    }
    int n = 0;
    *first = -1;
    for (int k = 0; k < e->nletters; k++) {
        if (output[k]) {
            continue;
        }
        n++;
        int parent = e->letters[k].parent;
        if (*first < 0 && (parent < 0 || output[parent])) {
            *first = k;
        }
    }
    return n;
}

/* dst[lhs] max[r, ...] body  becomes  inner[out, r] max[...] body  and  dst[lhs] max[r where any] inner[out, r]. */
static void split_extremum(Graph *g, Equation *e)
{
    int r;
    while (reduced_letters(e, &r) > 1) {
        bool batch = e->letters[r].axis == g->batch;
        Tensor proto = {.elem = e->dst->elem,
                        .role = ROLE_VALUE,
                        .per_example = e->dst->per_example || batch,
                        .span = e->dst->span,
                        .lo = 0,
                        .hi = -1};
        int letters[MAX_DIMS], n = 0;
        if (batch) {
            letters[n++] = r;
        }
        for (int k = 0; k < e->dst->ndim; k++) {
            int l = lhs_letter(e->lhs[k]);
            if (l >= 0) {
                letters[n++] = l;
            }
        }
        if (!batch) {
            if (n == MAX_DIMS) {
                bug("a maximum in '%s' has too many indices", e->dst->name);
            }
            letters[n++] = r;
        }
        Scalar *index[MAX_DIMS];
        for (int k = 0; k < n; k++) {
            proto.dims[k] = e->letters[letters[k]].axis;
            index[k] = sc_letter(g, letters[k]);
        }
        proto.ndim = n;
        proto.name = arena_printf(g->arena, "%s.over%d", e->dst->name, e->id);
        for (int k = 1; graph_find(g, proto.name); k++) {
            proto.name = arena_printf(g->arena, "%s.over%d.%d", e->dst->name, e->id, k);
        }
        Tensor *inner = graph_tensor(g, proto);
        proto.name = arena_printf(g->arena, "%s.any", inner->name);
        proto.elem = ELEM_BOOL;
        Tensor *any = graph_tensor(g, proto);
        Draft max = draft_from(g, e), there = draft_from(g, e), outer = draft_from(g, e);
        max.e.dst = inner;
        there.e.dst = any;
        there.e.op = RED_ANY;
        there.e.body = sc_bool(g, true);
        memcpy(max.e.lhs, index, sizeof index);
        memcpy(there.e.lhs, index, sizeof index);
        draft_commit(&there);
        draft_commit(&max);
        outer.conds = NULL;
        outer.nconds = 0;
        for (int k = 0; k < e->nletters; k++) {
            outer.gone[k] = true;
        }
        for (int k = 0; k < n; k++) {
            outer.gone[letters[k]] = false;
        }
        draft_cond(&outer, sc_load(g, any, n, index));
        outer.e.body = sc_load(g, inner, n, index);
        draft_store(&outer, e);
    }
}

static void split_extrema(Diff *d)
{
    Graph *g = d->g;
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        if ((e->op == RED_MAX || e->op == RED_MIN) && d->active[e->dst->id]) {
            split_extremum(g, e);
        }
    }
    if (g->nequations != n) {
        graph_reorder(g);
    }
}

/* ---- contributions ---- */

static Scalar *load_at_lhs(Graph *g, Tensor *t, const Equation *e)
{
    return sc_load(g, t, e->dst->ndim, e->lhs);
}

/* The first reduced index that attains the extremum, as a tensor beside the equation's own. */
static Tensor *argmax_of(Graph *g, const Equation *e)
{
    Tensor proto = *e->dst;
    proto.elem = ELEM_I32;
    proto.is_output = proto.is_draw = false;
    proto.lo = 0;
    proto.hi = -1;
    proto.next = proto.grad = NULL;
    proto.name = arena_printf(g->arena, "%s.argmax", e->dst->name);
    for (int k = 1; graph_find(g, proto.name); k++) {
        proto.name = arena_printf(g->arena, "%s.argmax.%d", e->dst->name, k);
    }
    Draft d = draft_from(g, e);
    d.e.dst = graph_tensor(g, proto);
    d.e.op = RED_ARGMAX;
    if (e->op == RED_MIN && !FAULT(7)) {
        d.e.body = fold_op1(g, OP_neg, e->body);
    }
    return draft_commit(&d)->dst;
}

/* What a call's gradient function wrote for one input goes to its adjoint; what is the same for all examples gets
 * the sum over them. */
static void place_extern(Diff *diff, Tensor *t, Tensor *out)
{
    Graph *g = diff->g;
    bool sums = out->per_example && !t->per_example;
    Draft d = draft_new(g, t->grad, sums ? RED_SUM : RED_NONE, out->span);
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < t->ndim; k++) {
        int parent = parent_dim(t, k);
        draft_letter(&d, (Letter){.axis = t->dims[k], .name = arena_printf(g->arena, "%c", 'p' + k), .parent = parent});
        d.e.lhs[k] = index[k + sums] = sc_letter(g, k);
    }
    if (sums) {
        index[0] = sc_letter(g, draft_letter(&d, (Letter){.axis = g->batch, .name = "b", .parent = -1}));
    }
    d.e.body = sc_load(g, out, out->ndim, index);
    ARENA_PUSH(g->arena, diff->to[t->id].drafts, diff->to[t->id].n, d);
}

/* The gradient of a call is a call: of its inputs and the adjoint of its result, for the adjoints of its inputs. */
static void contribute_extern(Diff *diff, const Equation *e)
{
    Graph *g = diff->g;
    const Extern *x = e->body->ext;
    int n = e->body->nargs;
    Scalar *args[MAX_EXTERN_INPUTS + 1], *index[MAX_DIMS];
    if (n > MAX_EXTERN_INPUTS || x->nout != 1) {
        bug("extern '%s' has %d inputs and %d results", x->symbol, n, x->nout);
    }
    for (int k = 0; k < e->dst->ndim; k++) {
        index[k] = k == 0 && e->dst->per_example ? sc_letter(g, 0) : sc_int(g, 0);
    }
    memcpy(args, e->body->args, (size_t)n * sizeof *args);
    args[n] = sc_load(g, e->dst->grad, e->dst->ndim, index);
    Extern *back = graph_extern(g, (Extern){.library = x->library, .symbol = x->gradient, .nout = n, .span = x->span});
    for (int k = 0; k < n; k++) {
        const Tensor *t = e->body->args[k]->tensor;
        int lead = e->dst->per_example && !t->per_example;
        if (t->ndim + lead > MAX_DIMS) {
            bug("'%s' has too many axes for extern '%s'", t->name, x->symbol);
        }
        Tensor proto = {.elem = ELEM_REAL,
                        .role = ROLE_VALUE,
                        .per_example = e->dst->per_example,
                        .lo = 0,
                        .hi = -1,
                        .ndim = t->ndim + lead,
                        .span = x->span};
        proto.name = arena_printf(g->arena, "%s.%d", e->dst->grad->name, k);
        for (int m = 1; graph_find(g, proto.name); m++) {
            proto.name = arena_printf(g->arena, "%s.%d.%d", e->dst->grad->name, k, m);
        }
        proto.dims[0] = g->batch;
        memcpy(proto.dims + lead, t->dims, (size_t)t->ndim * sizeof *proto.dims);
        back->out[k] = graph_tensor(g, proto);
    }
    for (int k = 0; k < n; k++) {
        Tensor *t = e->body->args[k]->tensor;
        graph_extern_output(g, back, k, n + 1, args);
        if (diff->needed[t->id]) {
            place_extern(diff, t, back->out[k]);
        }
    }
}

static void contribute(Diff *diff, const Equation *e)
{
    Graph *g = diff->g;
    if (equation_is_extern(e)) {
        if (scalar_is_active(&diff->activity, e->body)) {
            contribute_extern(diff, e);
        }
        return;
    }
    Scalar *adjoint = load_at_lhs(g, e->dst->grad, e);
    LoadAdjoints loads = scalar_adjoints(g, e->body, adjoint, &diff->activity);
    Scalar *attained = NULL;
    if (loads.n && (e->op == RED_MAX || e->op == RED_MIN)) {
        int r;
        if (reduced_letters(e, &r) == 1) {
            attained = fold_op2(g, OP_eq, sc_letter(g, r), load_at_lhs(g, argmax_of(g, e), e));
        }
    }
    for (int i = 0; i < loads.n; i++) {
        LoadAdjoint *a = &loads.items[i];
        Tensor *t = a->load->tensor;
        if (!diff->needed[t->id]) {
            continue;
        }
        Draft d = draft_from(g, e);
        d.e.body = a->value;
        d.e.span = a->load->span.source ? a->load->span : e->span;
        if (attained) {
            draft_cond(&d, attained);
        }
        draft_cond(&d, a->guard);
        contribution_place(&d, a->load, t->grad);
        ARENA_PUSH(g->arena, diff->to[t->id].drafts, diff->to[t->id].n, d);
    }
}

/* Two contributions that can never write the same cell: some index is a different constant or part. */
static bool are_disjoint(const Draft *a, const Draft *b)
{
    for (int k = 0; k < a->e.dst->ndim; k++) {
        const Scalar *x = a->e.lhs[k], *y = b->e.lhs[k];
        if (x->op == y->op && (x->op == OP_CONST || x->op == OP_INJECT) && x->inum != y->inum) {
            return true;
        }
    }
    return false;
}

/* Two maps over the same letters and the same domain. */
static bool same_domain(const Draft *a, const Draft *b)
{
    bool same = a->e.op == RED_NONE && b->e.op == RED_NONE && a->e.nletters == b->e.nletters &&
                a->nconds == b->nconds && !memcmp(a->e.lhs, b->e.lhs, (size_t)a->e.dst->ndim * sizeof *a->e.lhs);
    for (int l = 0; l < a->e.nletters && same; l++) {
        same = a->e.letters[l].axis == b->e.letters[l].axis && a->e.letters[l].parent == b->e.letters[l].parent;
    }
    for (int i = 0; i < a->nconds && same; i++) {
        same = draft_has_cond(b, a->conds[i]);
    }
    return same;
}

/* Contributions that are maps over one domain become one map: their bodies are added. */
static void add_equal_domains(Graph *g, Contributions *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        Draft d = draft_settle(&c->drafts[i]);
        int j = 0;
        while (j < n && !same_domain(&c->drafts[j], &d)) {
            j++;
        }
        if (j < n) {
            c->drafts[j].e.body = FAULT(6) ? d.e.body : fold_op2(g, OP_add, c->drafts[j].e.body, d.e.body);
        } else {
            c->drafts[n++] = d;
        }
    }
    c->n = n;
}

/* What the gradient of a carried state's next value gets from the examples that follow. */
static void contribute_pull(Diff *diff, Tensor *t)
{
    Graph *g = diff->g;
    Init *zero = arena_alloc(g->arena, sizeof *zero);
    *zero = (Init){.text = "0", .kind = INIT_CONST, .a = sc_real(g, 0)};
    Tensor proto = {.name = arena_printf(g->arena, "pull.%s", t->name),
                    .elem = ELEM_REAL,
                    .role = ROLE_STATE,
                    .per_example = true,
                    .ndim = t->ndim,
                    .init = zero,
                    .lo = 0,
                    .hi = -1,
                    .span = t->span};
    memcpy(proto.dims, t->dims, sizeof proto.dims);
    t->pull = graph_tensor(g, proto);
    Draft d = draft_new(g, t->next->grad, RED_NONE, t->span);
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < t->ndim; k++) {
        draft_letter(
            &d,
            (Letter){.axis = t->dims[k], .name = arena_printf(g->arena, "%c", 'p' + k), .parent = parent_dim(t, k)});
        d.e.lhs[k] = index[k] = sc_letter(g, k);
    }
    d.e.body = sc_load(g, t->pull, t->ndim, index);
    ARENA_PUSH(g->arena, diff->to[t->next->id].drafts, diff->to[t->next->id].n, d);
}

static Tensor *contribution_tensor(Graph *g, const Tensor *grad, int k)
{
    Tensor proto = *grad;
    proto.name = arena_printf(g->arena, "%s.part%d", grad->name, k);
    return graph_tensor(g, proto);
}

static void finish_gradient(Diff *diff, Tensor *t)
{
    Graph *g = diff->g;
    Contributions *c = &diff->to[t->id];
    add_equal_domains(g, c);
    int *group = arena_alloc(g->arena, (size_t)(c->n + 1) * sizeof *group), ngroups = 0;
    for (int i = 0; i < c->n; i++) { /* the first group all of whose members write elsewhere */
        bool fits = false;
        for (group[i] = 0; group[i] < ngroups && !fits; group[i] += !fits) {
            fits = !equation_has_keyed_lhs(&c->drafts[i].e);
            for (int j = 0; j < i && fits; j++) {
                fits = group[j] != group[i] || are_disjoint(&c->drafts[i], &c->drafts[j]);
            }
        }
        ngroups += group[i] == ngroups;
    }
    Draft sum = draft_new(g, t->grad, RED_NONE, t->span);
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < t->ndim; k++) {
        int parent = parent_dim(t, k);
        draft_letter(&sum,
                     (Letter){.axis = t->dims[k], .name = arena_printf(g->arena, "%c", 'p' + k), .parent = parent});
        sum.e.lhs[k] = index[k] = sc_letter(g, k);
    }
    sum.e.body = ngroups ? NULL : sc_real(g, t == g->loss ? 1 : 0);
    for (int n = 0; n < ngroups; n++) {
        Tensor *part = ngroups == 1 ? t->grad : contribution_tensor(g, t->grad, n + 1);
        for (int i = 0; i < c->n; i++) {
            if (group[i] == n) {
                c->drafts[i].e.dst = part;
                draft_commit(&c->drafts[i]);
            }
        }
        Scalar *load = sc_load(g, part, t->ndim, index);
        sum.e.body = sum.e.body ? fold_op2(g, OP_add, sum.e.body, load) : load;
    }
    if (ngroups != 1) {
        draft_commit(&sum);
    }
}

void pass_differentiate(Graph *g)
{
    if (!g->loss || g->loss->grad) {
        return;
    }
    if (!g->batched || g->loss->per_example || g->loss->ndim || g->loss->elem != ELEM_REAL) {
        bug("the loss '%s' is not one number for the whole batch", g->loss->name);
    }
    Diff d = {.g = g};
    for (int split = 1; split >= 0; split--) {
        d.ntensors = g->ntensors;
        d.active = arena_alloc(g->arena, (size_t)d.ntensors * sizeof *d.active);
        d.activity = (Activity){.tensor = d.active,
                                .scalar = arena_alloc(g->arena, (size_t)g->nscalars),
                                .reached = arena_alloc(g->arena, (size_t)g->nscalars * sizeof(bool))};
        find_active(&d);
        if (split) {
            split_extrema(&d);
        }
    }
    d.needed = arena_alloc(g->arena, (size_t)d.ntensors * sizeof *d.needed);
    d.to = arena_alloc(g->arena, (size_t)d.ntensors * sizeof *d.to);
    find_needed(&d);
    for (int i = 0; i < d.ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (d.needed[i]) {
            Tensor proto = {.name = arena_printf(g->arena, "grad.%s", t->name),
                            .elem = ELEM_REAL,
                            .role = ROLE_VALUE,
                            .per_example = t->per_example,
                            .ndim = t->ndim,
                            .lo = 0,
                            .hi = -1,
                            .span = t->span};
            memcpy(proto.dims, t->dims, sizeof proto.dims);
            t->grad = graph_tensor(g, proto);
        }
    }
    for (int i = g->nequations - 1; i >= 0; i--) {
        Equation *e = g->equations[i];
        if (d.needed[e->dst->id] && passes_gradient(e)) {
            contribute(&d, e);
        }
    }
    for (int i = 0; i < d.ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (t->is_carried && t->grad && t->next->grad) {
            contribute_pull(&d, t);
        }
    }
    for (int i = d.ntensors - 1; i >= 0; i--) {
        if (d.needed[i]) {
            finish_gradient(&d, g->tensors[i]);
            g->tensors[i]->grad->is_output |= g->tensors[i]->is_carried; /* no equation reads it */
        }
    }
    graph_reorder(g);
}
