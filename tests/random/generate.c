/* A random program: its leaves, some equations of each kind, the loss. */
#include "../../ir/random.h"
#include "generate_impl.h"

const char *const seen_name[SEEN_COUNT] = {"sum",
                                           "max",
                                           "min",
                                           "argmax",
                                           "any",
                                           "map",
                                           "causal domain",
                                           "window domain",
                                           "shifted load",
                                           "data condition",
                                           "part condition",
                                           "no condition",
                                           "gather of a param",
                                           "gather of a value",
                                           "keyed index",
                                           "recurrence",
                                           "backward recurrence",
                                           "sum of axes",
                                           "cases",
                                           "rand",
                                           "step function",
                                           "matrix product",
                                           "nested list",
                                           "batch reduction",
                                           "attention",
                                           "bucket of an integer",
                                           "twins with different domains",
                                           "either condition",
                                           "condition on a member",
                                           "choice of zero",
                                           "position in a part",
                                           "one position",
                                           "product over two indices",
                                           "value with two readers",
                                           "power of pairs that two sums have",
                                           "row of a table, picked in a sum",
                                           "rows of a table, summed",
                                           "bucket of the time between a pair",
                                           "rows of length 0",
                                           "rows of length 1",
                                           "rows of full length",
                                           "large batch"};

/* The loss: over the batch and every cell, of a few of the values. */
static void loss(Gen *r)
{
    Graph *g = r->g;
    Scalar *total = sc_real(g, 0);
    int used = 0;
    for (int i = r->nvalues - 1; i >= 0 && used < 5; i--) {
        const Value *v = &r->values[i];
        if ((i >= 5 && chance(r, 30)) || v->t->role != ROLE_VALUE || elem_type(v->t->elem) != TYPE_REAL) {
            continue;
        }
        Tensor *part = graph_tensor(g, (Tensor){.name = fresh(r, "part"), .elem = ELEM_REAL, .role = ROLE_VALUE});
        Equation e = {.dst = part, .op = RED_SUM, .nletters = v->t->ndim + 1, .letters = {{g->batch, "b", -1}}};
        Scalar *args[MAX_DIMS], *conds[4];
        for (int d = 0; d < v->t->ndim; d++) {
            Axis *a = v->t->dims[d];
            static const char *const names[] = {"i", "j", "k", "l"};
            e.letters[d + 1] = (Letter){a, names[d], axis_is_ragged(a) ? 0 : -1};
            args[d] = sc_letter(g, d + 1);
        }
        Scalar *x = op1(r, OP_tanh, sc_load(g, v->t, v->t->ndim, args));
        Scalar *guard = NULL; /* from a condition on that would be one of the part itself; the next may rely on it */
        for (int c = 0; c < v->nconds; c++) {
            Scalar *cond = sc_substitute(g, v->conds[c], v->t->ndim, args);
            bool inner = false;
            for (int d = 0; d <= v->t->ndim; d++) {
                inner |= sc_uses_letter(cond, d);
            }
            if (inner && !guard) {
                conds[e.nconds++] = cond;
            } else {
                guard = guard ? op2(r, OP_and, guard, cond) : cond;
            }
        }
        if (guard) {
            x = sc_op(g, OP_select, guard, x, sc_real(g, 0));
        }
        e.body = op2(r, OP_mul, x, sc_real(g, 0.5 + 0.25 * used));
        e.conds = conds;
        graph_equation(g, e);
        r->seen[SEEN_BATCH_REDUCTION]++;
        total = op2(r, OP_add, total, sc_load(g, part, 0, NULL));
        used++;
    }
    Tensor *l = graph_tensor(g, (Tensor){.name = "loss", .elem = ELEM_REAL, .role = ROLE_VALUE, .is_output = true});
    graph_equation(g, (Equation){.dst = l, .body = total});
    g->loss = l;
}

static void leaf(Gen *r, const char *name, Role role, Elem elem, int ndim, Axis *a, Axis *b)
{
    Tensor *t = graph_tensor(r->g, (Tensor){.name = name,
                                            .role = role,
                                            .elem = elem,
                                            .ndim = ndim,
                                            .dims = {a, b},
                                            .per_example = role == ROLE_INPUT,
                                            .lo = 0,
                                            .hi = elem == ELEM_I32 ? VOCAB - 1 : -1});
    if (role == ROLE_PARAM) {
        t->init = arena_alloc(r->g->arena, sizeof *t->init);
        *t->init =
            (Init){.text = "normal(0, 0.7)", .kind = INIT_NORMAL, .a = sc_real(r->g, 0), .b = sc_real(r->g, 0.7)};
    }
    r->values[r->nvalues++] = (Value){.t = t};
}

Graph *generate_graph(Arena *arena, Diag *diag, uint64_t seed, int64_t *seen)
{
    Graph *g = graph_new(arena, diag, "random");
    Gen gen = {.g = g, .state = random_mix(seed + 1), .seen = seen};
    Gen *r = &gen;
    r->A = graph_axis(g, (Axis){.name = "A", .kind = AXIS_FIXED, .size = 2 + pick(r, 3)});
    r->B = graph_axis(g, (Axis){.name = "B", .kind = AXIS_FIXED, .size = 3});
    r->V = graph_axis(g, (Axis){.name = "V", .kind = AXIS_FIXED, .size = VOCAB, .vocab = "item"});
    r->T = graph_axis(g, (Axis){.name = "T", .kind = AXIS_RAGGED, .size = BOUND});
    r->U = graph_axis(g, (Axis){.name = "U", .kind = AXIS_RAGGED, .size = 4});
    r->Y = graph_axis(g, (Axis){.name = "Y", .kind = AXIS_RAGGED, .size = 3, .parent = r->T});
    r->Z = graph_axis(g, (Axis){.name = "Z", .kind = AXIS_SUM, .nparts = 2, .parts = {r->T, r->A}});
    leaf(r, "x", ROLE_INPUT, ELEM_REAL, 2, r->T, r->A);
    leaf(r, "y", ROLE_INPUT, ELEM_REAL, 1, r->U, NULL);
    leaf(r, "item", ROLE_INPUT, ELEM_I32, 1, r->T, NULL);
    leaf(r, "one", ROLE_INPUT, ELEM_I32, 0, NULL, NULL);
    leaf(r, "tag", ROLE_INPUT, ELEM_REAL, 2, r->T, r->Y);
    leaf(r, "emb", ROLE_PARAM, ELEM_REAL, 2, r->V, r->A);
    leaf(r, "mat", ROLE_PARAM, ELEM_REAL, 2, r->A, r->B);
    leaf(r, "vec", ROLE_PARAM, ELEM_REAL, 1, r->B, NULL);
    if (chance(r, 45)) {
        cases(r);
    }
    if (chance(r, 40)) {
        recurrence(r);
    }
    int n = 2 + pick(r, 3);
    for (int i = 0; i < n; i++) {
        any_equation(r);
        if (chance(r, 30)) {
            extremum(r);
        }
    }
    if (chance(r, 30)) {
        keyed(r);
    }
    if (chance(r, 12)) {
        attention(r);
    }
    if (chance(r, 10)) {
        twins(r);
    }
    if (chance(r, 10)) {
        shared(r);
    }
    if (chance(r, 8)) {
        double_product(r);
    }
    if (chance(r, 30)) {
        any_equation(r);
    }
    if (seed % 9 == 4) { /* every other of them has all values in memory (random.c) */
        powers(r);
    }
    if (chance(r, 12)) {
        looked_up(r);
    }
    if (seed % 9 == 7) {
        bucketed(r);
    }
    loss(r);
    return g;
}
