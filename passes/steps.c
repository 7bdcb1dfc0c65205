/* Step functions of an integer become tables. clamp(trunc(log(f32(max(abs(dt), 1))) / 0.301), 0, 128) depends on one
 * integer, |dt|, never falls when it grows, and has 129 values: it is the number of thresholds that are <= |dt|.
 * Each threshold is found by bisection with the exact meaning of the expression (value_apply: F32 rounds after every
 * operation), so the table is the function, the same in every run whatever the machine's logarithm does.
 *
 * A chain is tabulated if it holds a function that is not cheap; abs, differences and the like end it and are the
 * table's argument. */
#include "fault.h"
#include "intervals.h"
#include "rewrite.h"
#include "value.h"

#include <math.h>

enum { MAX_STEPS = 512, MAX_CHAIN = 24 };

/* Whether s = f(arg) with f non-decreasing, all else in it constant; returns that arg or NULL. */
static const Scalar *monotone_arg(const Scalar *s)
{
    if (s->op <= OP_STEP) {
        return NULL;
    }
    if (s->nargs == 1) {
        return op_info[s->op].flags & MONOTONE || s->op == OP_stop ? s->args[0] : NULL;
    }
    if (s->nargs != 2) {
        return NULL;
    }
    const Scalar *a = s->args[0], *b = s->args[1];
    double c = b->op != OP_CONST ? 0 : b->type == TYPE_INT ? (double)b->inum : b->num;
    switch (s->op) {
    case OP_add:
    case OP_max:
    case OP_min:
        return b->op == OP_CONST ? a : a->op == OP_CONST ? b : NULL;
    case OP_sub:
        return b->op == OP_CONST ? a : NULL;
    case OP_mul:
    case OP_div:
    case OP_idiv:
        return b->op == OP_CONST && c > 0 ? a : NULL;
    default:
        return NULL;
    }
}

typedef struct {
    const Scalar *base;             /* INT */
    const Scalar *nodes[MAX_CHAIN]; /* outermost first */
    int n;
    bool pays;
} Chain;

static bool find_chain(const Scalar *s, Chain *c)
{
    *c = (Chain){0};
    int last = 0; /* nodes above the innermost integer */
    for (const Scalar *x = s, *arg; c->n < MAX_CHAIN && (arg = monotone_arg(x)); x = arg) {
        c->nodes[c->n++] = x;
        c->pays |= !(op_info[x->op].flags & CHEAP) && x->op != OP_stop;
        if (arg->type == TYPE_INT) {
            c->base = arg;
            last = c->n;
        }
    }
    c->n = last;
    return c->base && c->pays;
}

static bool apply(const Chain *c, int64_t x, int64_t *out)
{
    Value v = {.inum = x};
    const Scalar *below = c->base;
    for (int i = c->n - 1; i >= 0; i--) {
        const Scalar *s = c->nodes[i];
        Value args[2] = {{0}};
        for (int k = 0; k < s->nargs; k++) {
            const Scalar *a = s->args[k];
            if (a == below) {
                args[k] = v;
            } else if (a->type == TYPE_INT) {
                args[k].inum = a->inum;
            } else {
                args[k].num = a->num;
            }
        }
        if (value_apply(s, args, &v)) {
            return false;
        }
        below = s;
    }
    *out = v.inum;
    return true;
}

/* The same chain stands in many layers: its table is made once. */
static Scalar **known_table(Graph *g, StepTables *tables, const Chain *c, int64_t lo, int64_t hi)
{
    for (int i = 0; i < tables->n; i++) {
        StepTable *t = &tables->tables[i];
        if (t->chain == c->nodes[0] && t->base == c->base && t->lo == lo && t->hi == hi) {
            return &t->result;
        }
    }
    StepTable fresh = {c->nodes[0], c->base, lo, hi, NULL};
    ARENA_PUSH(g->arena, tables->tables, tables->n, fresh);
    return &tables->tables[tables->n - 1].result;
}

static Scalar *tabulate(Graph *g, StepTables *tables, Prover *facts, Scalar *s)
{
    Chain c;
    if (s->type != TYPE_INT || !find_chain(s, &c)) {
        return NULL;
    }
    Interval values = prover_interval(facts, s), domain = prover_interval(facts, c.base);
    if (isinf(values.lo) || isinf(values.hi) || values.hi - values.lo > MAX_STEPS) {
        return NULL;
    }
    int64_t lo = domain.lo < -0x1p60 ? -(INT64_C(1) << 60) : (int64_t)domain.lo;
    int64_t hi = domain.hi > 0x1p60 ? INT64_C(1) << 60 : (int64_t)domain.hi;
    Scalar **result = known_table(g, tables, &c, lo, hi);
    if (*result) {
        return *result;
    }
    int64_t first, last, table[MAX_STEPS + 1];
    if (!apply(&c, lo, &first) || !apply(&c, hi, &last) || last < first || last - first > MAX_STEPS) {
        return NULL;
    }
    int n = 0;
    int64_t from = lo;
    for (int64_t v = first + 1; v <= last; v++) { /* smallest x with f(x) >= v */
        int64_t below = from, above = hi, y;      /* f(below) < v <= f(above), or below itself reaches v */
        if (!apply(&c, below, &y)) {
            return NULL;
        }
        if (y >= v) {
            table[n++] = below;
            continue;
        }
        while (above - below > 1) {
            int64_t mid = below + (above - below) / 2;
            if (!apply(&c, mid, &y)) {
                return NULL;
            }
            if (y >= v) {
                above = mid;
            } else {
                below = mid;
            }
        }
        table[n++] = above + FAULT(15);
        from = above;
    }
    return *result = fold_op2(g, OP_add, sc_step(g, n, table, g->scalars[c.base->id]), sc_int(g, first));
}

/* Outermost first, so that the longest chain is taken; what lies below its base is looked at again. */
static Scalar *replace(Graph *g, StepTables *tables, Prover *facts, Scalar *s)
{
    if (!s->nargs) {
        return s;
    }
    Scalar *table = tabulate(g, tables, facts, s);
    if (table) {
        return sc_with_span(g, replace(g, tables, facts, table), s->span);
    }
    Scalar *args[MAX_LETTERS + 2];
    for (int i = 0; i < s->nargs; i++) {
        args[i] = replace(g, tables, facts, s->args[i]);
    }
    return sc_rebuild(g, s, args);
}

static void look_for_chain(const Scalar *s, void *ctx)
{
    Chain c;
    *(bool *)ctx = *(bool *)ctx || (s->type == TYPE_INT && find_chain(s, &c));
}

Scalar *tabulate_steps(Graph *g, StepTables *tables, const Equation *e, Scalar *s)
{
    bool any = false;
    sc_walk(s, look_for_chain, &any);
    if (!any) {
        return s;
    }
    Prover *facts = prover_new(g, e, 0);
    Scalar *out = replace(g, tables, facts, s);
    prover_free(facts);
    return out;
}
