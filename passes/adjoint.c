/* Reverse mode inside one expression. Each node's adjoint is a list of terms (guard, value): a select, a max or a
 * min on the path becomes a guard, never a factor 0, so that what was not chosen is not evaluated and 0 * inf cannot
 * arise. Derivatives come from the table (ir/scalar.def), read by the parser of the text form; a derivative that is
 * itself a select splits the term. */
#include "adjoint.h"

#include "ptrmap.h"

#include <stdlib.h>

typedef struct {
    Scalar *guard, *value;
} Term;

typedef struct {
    const Scalar *node;
    bool active;
    Term *terms;
    int nterms;
} Node;

typedef struct {
    Graph *g;
    const bool *active_tensor;
    PtrMap place; /* node -> Node */
    Node **nodes; /* args before users */
    int n;
} Tape;

/* The derivative rows hold no spaces that matter: NULL means that nothing flows. */
static bool flows(const Scalar *s, int arg)
{
    return s->op > OP_STEP && (s->type == TYPE_REAL || s->type == TYPE_F32) && op_info[s->op].derivative[arg] &&
           (s->args[arg]->type == TYPE_REAL || s->args[arg]->type == TYPE_F32);
}

static void record(const Scalar *s, void *ctx)
{
    Tape *t = ctx;
    Node *node = arena_alloc(t->g->arena, sizeof *node);
    node->node = s;
    if (s->op == OP_LOAD) {
        node->active = t->active_tensor[s->tensor->id] && (s->type == TYPE_REAL || s->type == TYPE_F32);
    }
    for (int i = 0; i < s->nargs && !node->active; i++) {
        node->active = flows(s, i) && ((Node *)*ptrmap_at(&t->place, s->args[i]))->active;
    }
    *ptrmap_at(&t->place, s) = node;
    ARENA_PUSH(t->g->arena, t->nodes, t->n, node);
}

void scalar_active_loads(Graph *g, Scalar *body, const bool *active_tensor, void (*f)(const Scalar *, void *), void *ctx)
{
    Tape t = {.g = g, .active_tensor = active_tensor};
    sc_walk(body, record, &t);
    /* Going down from the root along active nodes alone: a load under a stop is not reached. */
    Node *root = *ptrmap_at(&t.place, body);
    root->nterms = root->active;
    for (int i = t.n - 1; i >= 0; i--) {
        Node *node = t.nodes[i];
        if (!node->active || !node->nterms) {
            continue;
        }
        if (node->node->op == OP_LOAD) {
            f(node->node, ctx);
        }
        for (int k = 0; k < node->node->nargs; k++) {
            if (flows(node->node, k)) {
                ((Node *)*ptrmap_at(&t.place, node->node->args[k]))->nterms = 1;
            }
        }
    }
    ptrmap_free(&t.place);
}

static void add_term(Graph *g, Node *node, Scalar *guard, Scalar *value)
{
    for (int i = 0; i < node->nterms; i++) {
        if (node->terms[i].guard == guard) {
            node->terms[i].value = fold_op2(g, OP_add, node->terms[i].value, value);
            return;
        }
    }
    Term term = {guard, value};
    ARENA_PUSH(g->arena, node->terms, node->nterms, term);
}

/* node += guard ? value * factor : 0 */
static void add_product(Graph *g, Node *node, Scalar *guard, Scalar *value, Scalar *factor)
{
    if (sc_is_const(factor, 0) || (guard->op == OP_CONST && !guard->inum)) {
        return;
    }
    if (factor->op == OP_real && factor->args[0]->op == OP_select) { /* select(c, 1, 0) over integers */
        Scalar *s = factor->args[0];
        factor = fold_op3(g, OP_select, s->args[0], sc_op(g, OP_real, s->args[1]), sc_op(g, OP_real, s->args[2]));
    }
    if (factor->op == OP_select) {
        Scalar *c = factor->args[0];
        add_product(g, node, fold_op2(g, OP_and, guard, c), value, factor->args[1]);
        add_product(g, node, fold_op2(g, OP_and, guard, fold_op1(g, OP_not, c)), value, factor->args[2]);
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
    const char *text = op_info[s->op].derivative[arg];
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

LoadAdjoints scalar_adjoints(Graph *g, Scalar *body, Scalar *adjoint, const bool *active_tensor)
{
    Tape t = {.g = g, .active_tensor = active_tensor};
    sc_walk(body, record, &t);
    Node *root = *ptrmap_at(&t.place, body);
    LoadAdjoints out = {0};
    if (root->active) {
        add_term(g, root, sc_bool(g, true), adjoint);
    }
    for (int i = t.n - 1; i >= 0; i--) {
        Node *node = t.nodes[i];
        if (!node->active || !node->nterms) {
            continue;
        }
        const Scalar *s = node->node;
        if (s->op == OP_LOAD) {
            LoadAdjoint item = collect(g, node);
            ARENA_PUSH(g->arena, out.items, out.n, item);
            continue;
        }
        for (int k = 0; k < s->nargs; k++) {
            Node *arg = *ptrmap_at(&t.place, s->args[k]);
            if (!arg->active || !flows(s, k)) {
                continue;
            }
            Scalar *d = derivative(g, s, k);
            for (int j = 0; j < node->nterms; j++) {
                add_product(g, arg, node->terms[j].guard, node->terms[j].value, d);
            }
        }
    }
    ptrmap_free(&t.place);
    return out;
}
