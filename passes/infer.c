/* infer: value ranges of integer tensors, and the proof that every load is in range. The front end has proven the
 * same with the user's words; here it is checked again on the equations themselves, so that a mistake in lowering
 * (or a graph written by hand) is E0210 with a place, not a wild read. Sets lo and hi of INT values. */
#include "intervals.h"
#include "rewrite.h"

#include <math.h>

typedef struct {
    Graph *g;
    const Equation *e;
    Prover *facts;
    bool is_silent; /* who asks has another way */
    bool failed;
} Check;

static void report(Check *c, const Scalar *load, int k)
{
    if (c->failed) {
        return; /* one mistake, one message */
    }
    c->failed = true;
    if (c->is_silent) {
        return;
    }
    const Axis *a = load->tensor->dims[k];
    Span at = load->span.source ? load->span : c->e->span;
    int64_t n = axis_bound(a);
    Interval i = prover_interval(c->facts, load->args[k + load->at]);
    const char *range = "";
    if (!isinf(i.lo) && !isinf(i.hi)) {
        range = arena_printf(c->g->arena, " (here %.0f to %.0f)", i.lo, i.hi);
    }
    if (n >= 0 && !axis_needs_parent(a)) {
        diag_report(c->g->diag, DIAG_ERROR, "E0210", at, "clamp it, or say in a where that it is in range",
                    "an index of '%s' may leave axis %s, which has 0 to %lld%s", load->tensor->name, a->name,
                    (long long)n - 1, range);
    } else {
        diag_report(c->g->diag, DIAG_ERROR, "E0210", at, "clamp it, or say in a where that it is in range",
                    "an index of '%s' may leave axis %s%s", load->tensor->name, a->name, range);
    }
}

/* Every load below s, each under the conditions that hold where it is evaluated. Nodes may be visited several times
 * under different conditions: they are proven for each. */
static void check_scalar(Check *c, const Scalar *s)
{
    if (c->failed || !s->nargs) {
        return;
    }
    check_scalar(c, s->args[0]);
    if (s->op == OP_select || s->op == OP_and || s->op == OP_or) {
        ProverMark mark = prover_mark(c->facts);
        prover_assume(c->facts, s->args[0], s->op != OP_or);
        check_scalar(c, s->args[1]);
        prover_release(c->facts, mark);
        if (s->op == OP_select) {
            prover_assume(c->facts, s->args[0], false);
            check_scalar(c, s->args[2]);
            prover_release(c->facts, mark);
        }
    } else {
        for (int i = 1; i < s->nargs; i++) {
            check_scalar(c, s->args[i]);
        }
    }
    int which = 0;
    if (s->op == OP_LOAD && !prover_in_range(c->facts, s, &which)) {
        report(c, s, which);
    }
}

/* The facts are then those of all conditions. */
static void check_equation(Check *c)
{
    const Equation *e = c->e;
    c->facts = prover_new(c->g, e, 0);
    for (int k = 0; k < e->nconds; k++) {
        check_scalar(c, e->conds[k]);
        prover_assume(c->facts, e->conds[k], true);
    }
    for (int k = 0; k < e->dst->ndim; k++) {
        check_scalar(c, e->lhs[k]);
    }
    if (!equation_is_extern(e)) {
        check_scalar(c, e->body);
    }
}

bool equation_in_range(Graph *g, const Equation *e)
{
    Check c = {.g = g, .e = e, .is_silent = true};
    check_equation(&c);
    prover_free(c.facts);
    return !c.failed;
}

static int64_t rounded(double v)
{
    return v <= -0x1p62 ? INT64_MIN : v >= 0x1p62 ? INT64_MAX : (int64_t)v;
}

static void widen(Tensor *t, Interval i, bool first)
{
    int64_t lo = rounded(i.lo), hi = rounded(i.hi);
    if (!first && t->lo <= t->hi) {
        lo = t->lo < lo ? t->lo : lo;
        hi = t->hi > hi ? t->hi : hi;
    }
    t->lo = lo;
    t->hi = hi;
}

/* The values an equation gives its cells. Cells that none reaches hold 0, but nobody reads them. */
static Interval value_range(Check *c)
{
    const Equation *e = c->e;
    Interval body = prover_interval(c->facts, e->body);
    double n = 1;
    switch (e->op) {
    case RED_ARGMAX: {
        int64_t size = axis_bound(e->letters[e->nletters - 1].axis);
        return (Interval){0, size < 0 ? INFINITY : (double)size - 1};
    }
    case RED_SUM:
        for (int k = 0; k < e->nletters; k++) {
            bool output = false;
            for (int d = 0; d < e->dst->ndim; d++) {
                output |= lhs_letter(e->lhs[d]) == k;
            }
            int64_t size = axis_bound(e->letters[k].axis);
            n *= output ? 1 : size < 0 ? INFINITY : (double)size;
        }
        return (Interval){body.lo < 0 ? body.lo * n : 0, body.hi > 0 ? body.hi * n : 0};
    default:
        return body;
    }
}

void pass_infer(Graph *g)
{
    Equation ***defs = equations_by_tensor(g);
    bool *seen = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *seen);
    Order order = order_equations(g);
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = order.order[i];
        Check c = {.g = g, .e = e};
        check_equation(&c);
        Tensor *t = e->dst;
        if (elem_type(t->elem) == TYPE_INT && defs[t->id] && !order.in_cycle[e->id]) {
            widen(t, value_range(&c), !seen[t->id]);
            seen[t->id] = true;
        }
        prover_free(c.facts);
    }
}
