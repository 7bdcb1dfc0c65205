/* Reverse mode inside one expression. Each node's adjoint is a list of terms (guard, value): a select, a max or a
 * min on the path becomes a guard, never a factor 0, so that what was not chosen is not evaluated and 0 * inf cannot
 * arise. Derivatives come from the table (ir/scalar.def), read by the parser of the text form; a derivative that is
 * itself a select splits the term. */
#include "adjoint.h"
#include "fault.h"

#include "ptrmap.h"

#include <stdlib.h>

typedef struct {
    Scalar *guard, *value;
} Term;

typedef struct {
    const Scalar *node;
    Term *terms;
    int nterms;
} Node;

typedef struct {
    Graph *g;
    const Activity *activity;
    PtrMap place; /* node -> Node */
    Node **nodes; /* args before users */
    int n;
} Tape;

/* The derivative rows hold no spaces that matter: NULL means that nothing flows. */
static bool flows(const Scalar *s, int arg)
{
    if (s->op == OP_EXTERN) {
        return s->ext->gradient != NULL;
    }
    return s->op > OP_STEP && (s->type == TYPE_REAL || s->type == TYPE_F32) && op_info[s->op].derivative[arg] &&
           (s->args[arg]->type == TYPE_REAL || s->args[arg]->type == TYPE_F32);
}

bool scalar_is_active(const Activity *a, const Scalar *s)
{
    signed char *known = &a->scalar[s->id];
    if (!*known) {
        bool active = s->op == OP_LOAD && a->tensor[s->tensor->id] && (s->type == TYPE_REAL || s->type == TYPE_F32);
        for (int i = 0; i < s->nargs && !active; i++) {
            active = flows(s, i) && scalar_is_active(a, s->args[i]);
        }
        *known = active ? 1 : -1;
    }
    return *known > 0;
}

void scalar_reach(const Activity *a, const Scalar *s, void (*f)(const Scalar *load, void *ctx), void *ctx)
{
    if (a->reached[s->id] || !scalar_is_active(a, s)) {
        return;
    }
    a->reached[s->id] = true;
    if (s->op == OP_LOAD) {
        f(s, ctx);
        return;
    }
    for (int i = 0; i < s->nargs; i++) {
        if (flows(s, i)) {
            scalar_reach(a, s->args[i], f, ctx);
        }
    }
}

static void record(const Scalar *s, void *ctx)
{
    Tape *t = ctx;
    if (!scalar_is_active(t->activity, s)) {
        return;
    }
    Node *node = arena_alloc(t->g->arena, sizeof *node);
    node->node = s;
    *ptrmap_at(&t->place, s) = node;
    ARENA_PUSH(t->g->arena, t->nodes, t->n, node);
}

static void add_term(Graph *g, Node *node, Scalar *guard, Scalar *value)
{
    for (int i = 0; i < node->nterms; i++) {
        if (node->terms[i].guard == guard) {
            node->terms[i].value = FAULT(3) ? value : fold_op2(g, OP_add, node->terms[i].value, value);
            return;
        }
    }
    Term term = {guard, value};
    ARENA_PUSH(g->arena, node->terms, node->nterms, term);
}

/* node += guard ? value * factor : 0. splits: a select at the top of the factor is the derivative's own. */
static void add_product(Graph *g, Node *node, Scalar *guard, Scalar *value, Scalar *factor, bool splits)
{
    if (sc_is_const(factor, 0) || (guard->op == OP_CONST && !guard->inum)) {
        return;
    }
    if (factor->op == OP_real && factor->args[0]->op == OP_select) { /* select(c, 1, 0) over integers */
        Scalar *s = factor->args[0];
        factor = fold_op3(g, OP_select, s->args[0], sc_op(g, OP_real, s->args[1]), sc_op(g, OP_real, s->args[2]));
    }
    if (factor->op == OP_select && splits) {
        Scalar *c = factor->args[0], *other = FAULT(2) ? c : fold_op1(g, OP_not, c);
        add_product(g, node, fold_op2(g, OP_and, guard, c), value, factor->args[1], true);
        add_product(g, node, fold_op2(g, OP_and, guard, other), value, factor->args[2], true);
        return;
    }
    if (factor->type != TYPE_REAL) {
        factor = sc_op(g, OP_real, factor);
    }
    Scalar *product;
    if (factor->op == OP_div && sc_is_const(factor->args[0], 1)) {
        product = fold_op2(g, OP_div, value, factor->args[1]);
    } else {
        product = fold_op2(g, OP_mul, value, factor);
    }
    add_term(g, node, guard, product);
}

static Scalar *derivative(Graph *g, const Scalar *s, int arg)
{
    static const char *const names[] = {"a", "b", "c", "y"};
    Scalar *values[4] = {0};
    const char *given[4];
    int n = 0;
    for (int i = 0; i < s->nargs; i++) {
        given[n] = names[i];
        values[n++] = s->args[i];
    }
    given[n] = names[3];
    values[n++] = g->scalars[s->id];
    const char *text = FAULT(1) && s->op == OP_cos ? "sin(a)" : op_info[s->op].derivative[arg];
    Scalar *d = scalar_parse(g, text, n, given, values);
    if (!d) {
        bug("the derivative of %s by argument %d does not parse: %s", op_info[s->op].name, arg, text);
    }
    return fold(g, d);
}

/* Terms as one value: the guards need not exclude each other, so each term is chosen on its own. */
static LoadAdjoint collect(Graph *g, const Node *node)
{
    LoadAdjoint out = {.load = node->node, .guard = node->terms[0].guard, .value = node->terms[0].value};
    if (node->nterms == 1) {
        return out;
    }
    if (node->nterms == 2 && conds_are_opposite(node->terms[0].guard, node->terms[1].guard)) {
        out.value = fold_op3(g, OP_select, node->terms[0].guard, node->terms[0].value, node->terms[1].value);
        out.guard = sc_bool(g, true);
        return out;
    }
    out.value = NULL;
    for (int i = 0; i < node->nterms; i++) {
        const Term *t = &node->terms[i];
        Scalar *chosen = fold_op3(g, OP_select, t->guard, t->value, sc_real(g, 0));
        out.value = out.value ? fold_op2(g, OP_add, out.value, chosen) : chosen;
        out.guard = i ? fold_op2(g, OP_or, out.guard, t->guard) : t->guard;
    }
    return out;
}

LoadAdjoints scalar_adjoints(Graph *g, Scalar *body, Scalar *adjoint, const Activity *activity)
{
    Tape t = {.g = g, .activity = activity};
    LoadAdjoints out = {0};
    if (!scalar_is_active(activity, body)) {
        return out;
    }
    sc_walk(body, record, &t);
    add_term(g, *ptrmap_at(&t.place, body), sc_bool(g, true), adjoint);
    for (int i = t.n - 1; i >= 0; i--) {
        Node *node = t.nodes[i];
        const Scalar *s = node->node;
        if (!node->nterms) {
            continue;
        }
        if (s->op == OP_LOAD) {
            LoadAdjoint item = collect(g, node);
            ARENA_PUSH(g->arena, out.items, out.n, item);
            continue;
        }
        for (int k = 0; k < s->nargs; k++) {
            Node *arg = flows(s, k) ? *ptrmap_at(&t.place, s->args[k]) : NULL;
            if (!arg) {
                continue;
            }
            Scalar *d = derivative(g, s, k);
            bool splits = s->op != OP_mul; /* the other factor is a number, chosen or not, as if it had a name */
            for (int j = 0; j < node->nterms; j++) {
                add_product(g, arg, node->terms[j].guard, node->terms[j].value, d, splits);
            }
        }
    }
    ptrmap_free(&t.place);
    return out;
}
