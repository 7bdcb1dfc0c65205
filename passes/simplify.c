/* simplify: the same values from less. Needs nothing, keeps every output. Per equation: constants and identities
 * (fold.c), conditions that always hold, step functions (steps.c), and
 *
 *     dst sum= select(c, x, 0) | conds      becomes      dst sum= x | conds, c
 *
 * (also for `any`: its body becomes a condition). Then equal equations are merged (cse.c) and dead ones dropped
 * (dce.c). Once the loss is differentiated, stop has done its work and goes. */
#include "fault.h"
#include "intervals.h"
#include "rewrite.h"

typedef struct {
    Prover *facts;
    bool drop_stops;
} Simplifying;

/* A condition where the prover's assumptions hold; the right side of and, or is asked only where the left one does
 * not decide: a == 0 or (a == 1 and c) is a == 0 or c where a is 0 or 1. */
static Scalar *simplify_condition(Graph *g, Prover *facts, Scalar *s)
{
    if (prover_holds(facts, s)) {
        return sc_bool(g, true);
    }
    if (prover_fails(facts, s)) {
        return sc_bool(g, false);
    }
    if (s->op != OP_and && s->op != OP_or) {
        return s;
    }
    Scalar *left = simplify_condition(g, facts, s->args[0]);
    ProverMark mark = prover_mark(facts);
    prover_assume(facts, left, s->op == OP_and || FAULT(10));
    Scalar *right = simplify_condition(g, facts, s->args[1]);
    prover_release(facts, mark);
    return fold_op2(g, s->op, left, right);
}

static Scalar *simplify_node(Graph *g, Scalar *s, void *ctx)
{
    const Simplifying *x = ctx;
    s = fold_node(g, s);
    if (s->op == OP_and || s->op == OP_or) {
        return simplify_condition(g, x->facts, s);
    }
    if (s->op == OP_stop && x->drop_stops) {
        return s->args[0];
    }
    if (s->op == OP_select && s->args[0]->op != OP_CONST) {
        if (prover_holds(x->facts, s->args[0])) {
            return s->args[1];
        }
        if (prover_fails(x->facts, s->args[0])) {
            return s->args[2];
        }
    }
    return s;
}

static bool is_zero(const Scalar *s)
{
    return sc_is_const(s, 0);
}

/* The equation reaches no cell: it says what a cell that nobody reaches holds. */
static void make_empty(Draft *d)
{
    Type type = elem_type(d->e.dst->elem);
    d->e.body = type == TYPE_BOOL  ? sc_bool(d->graph, false)
                : type == TYPE_INT ? sc_int(d->graph, 0)
                : type == TYPE_F32 ? sc_f32(d->graph, 0)
                                   : sc_real(d->graph, 0);
    d->e.op = RED_NONE;
    d->nconds = 0;
    bool output[MAX_LETTERS] = {0};
    for (int k = 0; k < d->e.dst->ndim; k++) {
        int l = lhs_letter(d->e.lhs[k]);
        if (l >= 0) {
            output[l] = true;
        }
    }
    for (int l = 0; l < d->e.nletters; l++) {
        d->gone[l] = !output[l];
    }
}

/* Moves a choice at the top of a sum's body into its domain. */
static void lift_choices(Draft *d)
{
    Graph *g = d->graph;
    while (d->e.op == RED_SUM && d->e.body->op == OP_select) {
        Scalar *c = d->e.body->args[0], *x = d->e.body->args[1], *y = d->e.body->args[2];
        if (is_zero(y)) {
            draft_cond(d, c);
            d->e.body = x;
        } else if (is_zero(x)) {
            draft_cond(d, FAULT(9) ? c : fold_op1(g, OP_not, c));
            d->e.body = y;
        } else {
            return;
        }
    }
    if (d->e.op == RED_ANY && d->e.body->op != OP_CONST) {
        draft_cond(d, d->e.body);
        d->e.body = sc_bool(g, true);
    }
}

/* A reduction over no letter is an assignment. An `any` whose conditions do not mention a letter that has positions
 * need not run over it. */
static void drop_reduction(Draft *d)
{
    bool output[MAX_LETTERS] = {0},
         needed = equation_has_keyed_lhs(&d->e) || d->e.op == RED_ARGMAX || d->e.op == RED_NTH;
    for (int k = 0; k < d->e.dst->ndim; k++) {
        int l = lhs_letter(d->e.lhs[k]);
        if (l >= 0) {
            output[l] = true;
        }
    }
    for (int l = d->e.nletters - 1; l >= 0; l--) {
        if (output[l] || d->gone[l]) {
            continue;
        }
        bool used = d->e.op != RED_ANY || axis_needs_parent(d->e.letters[l].axis) ||
                    axis_bound(d->e.letters[l].axis) < 1 || draft_is_parent(d, l);
        for (int i = 0; i < d->nconds && !used; i++) {
            used = sc_uses_letter(d->conds[i], l);
        }
        d->gone[l] = !used;
        needed |= used;
    }
    if (!needed) {
        d->e.op = RED_NONE;
    }
}

bool simplify_draft(Draft *d, StepTables *tables)
{
    Graph *g = d->graph;
    Simplifying ctx = {.drop_stops = g->loss && g->loss->grad, .facts = prover_new(g, &d->e, 0)};
    Scalar **conds = d->conds;
    int nconds = d->nconds;
    bool empty = false;
    d->conds = NULL;
    d->nconds = 0;
    for (int i = 0; i < nconds; i++) {
        Scalar *c = sc_rewrite(g, tabulate_steps(g, tables, &d->e, conds[i]), simplify_node, &ctx);
        if (prover_holds(ctx.facts, c)) {
            continue;
        }
        empty |= prover_fails(ctx.facts, c);
        draft_cond(d, c);
        prover_assume(ctx.facts, c, true);
    }
    for (int k = 0; k < d->e.dst->ndim; k++) {
        d->e.lhs[k] = sc_rewrite(g, tabulate_steps(g, tables, &d->e, d->e.lhs[k]), simplify_node, &ctx);
    }
    d->e.body = sc_rewrite(g, tabulate_steps(g, tables, &d->e, d->e.body), simplify_node, &ctx);
    prover_free(ctx.facts);
    lift_choices(d);
    if (d->e.op != RED_NONE && (d->e.op != RED_ANY || d->e.body->inum)) {
        drop_reduction(d);
    }
    return !empty;
}

static void simplify_equation(Graph *g, StepTables *tables, Equation *e)
{
    Draft d = draft_from(g, e);
    if (!simplify_draft(&d, tables) && !equation_has_keyed_lhs(e)) {
        make_empty(&d);
    }
    draft_store(&d, e);
}

void pass_simplify(Graph *g)
{
    StepTables tables = {0};
    for (int i = 0; i < g->nequations; i++) {
        simplify_equation(g, &tables, g->equations[i]);
    }
    merge_equal_equations(g);
    drop_dead_equations(g);
}
