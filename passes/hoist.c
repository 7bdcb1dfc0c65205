/* Work that does not change in the inner loops is written so that it can leave them: in a product, the factors that
 * use fewer letters than the whole are multiplied first, and a division by such a factor is a multiplication by its
 * reciprocal. x[b,i,d] / sqrt(m[b,i]) * 0.5 becomes x[b,i,d] * (1 / sqrt(m[b,i]) * 0.5): one multiplication per d.
 * Rounding changes in the last place, as it does for any other way to write the product. */
#include "rewrite.h"

enum { MAX_FACTORS = 16 };

typedef struct {
    Graph *g;
    unsigned whole; /* letters of the product */
    Scalar *inner, *outer;
    int n, nouter;
    bool changed, negative;
} Factors;

static void multiply(Graph *g, Scalar **product, Scalar *s)
{
    *product = *product ? fold_op2(g, OP_mul, *product, s) : s;
}

static void take_apart(Factors *f, Scalar *s)
{
    if (s->op == OP_mul && s->type == TYPE_REAL) {
        take_apart(f, s->args[0]);
        take_apart(f, s->args[1]);
        return;
    }
    if (s->op == OP_neg && s->type == TYPE_REAL) {
        f->negative = !f->negative;
        take_apart(f, s->args[0]);
        return;
    }
    if (s->op == OP_div && s->type == TYPE_REAL && !sc_is_const(s->args[0], 1) && sc_letters(s->args[1]) != f->whole) {
        take_apart(f, s->args[0]);
        multiply(f->g, &f->outer, fold_op2(f->g, OP_div, sc_real(f->g, 1), s->args[1]));
        f->nouter++;
        f->changed = true;
        f->n++;
        return;
    }
    f->n++;
    if (sc_letters(s) == f->whole) {
        multiply(f->g, &f->inner, s);
    } else {
        multiply(f->g, &f->outer, s);
        f->nouter++;
    }
}

static Scalar *hoist_node(Graph *g, Scalar *s, void *ctx)
{
    (void)ctx;
    if (s->type != TYPE_REAL || (s->op != OP_mul && s->op != OP_div)) {
        return s;
    }
    Factors f = {.g = g, .whole = sc_letters(s)};
    take_apart(&f, s);
    if (!f.inner || !f.outer || f.n > MAX_FACTORS || (!f.changed && f.nouter < 2)) {
        return s;
    }
    Scalar *product = fold_op2(g, OP_mul, f.inner, f.outer);
    return f.negative ? fold_op1(g, OP_neg, product) : product;
}

void hoist_factors(Graph *g, Equation *e)
{
    e->body = sc_rewrite(g, e->body, hoist_node, NULL);
}
