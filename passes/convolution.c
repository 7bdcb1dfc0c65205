/* Recognises convolutions along lists; see convolution.h. */
#include "convolution.h"
#include "prover.h"

/* For questions that make scalars on the way, and change nothing. */
static Graph *graph_of(const Graph *g)
{
    return (Graph *)(uintptr_t)g;
}

/* s as c + sum of letters times their coefficients. */
static bool linear(const Graph *g, const Equation *e, const Scalar *s, int64_t *coefficient, int64_t *c)
{
    Prover *f = prover_new(graph_of(g), e, 0);
    Lin l = {0};
    prover_linearize(f, &l, 1, s);
    prover_free(f);
    for (int k = 0; k < e->nletters; k++) {
        coefficient[k] = 0;
    }
    bool is_linear = !l.bad;
    for (int i = 0; i < l.n && is_linear; i++) {
        is_linear = l.t[i].atom->op == OP_LETTER;
        if (is_linear) {
            coefficient[l.t[i].atom->inum] = l.t[i].k;
        }
    }
    *c = l.c;
    return is_linear;
}

/* a - b and nothing else, a and b letters; the constant is added to *c. */
static bool difference(const Graph *g, const Equation *e, const Scalar *s, int *a, int *b, int64_t *c)
{
    int64_t k[MAX_LETTERS];
    *a = *b = -1;
    if (s->type != TYPE_INT || !linear(g, e, s, k, c)) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        int *end = k[l] == 1 ? a : k[l] == -1 ? b : NULL;
        if (k[l] != 0 && (!end || *end >= 0)) {
            return false;
        }
        if (end) {
            *end = l;
        }
    }
    return *a >= 0 && *b >= 0;
}

bool distance_condition(const Graph *g, const Equation *e, const Scalar *cond, int *later, int *earlier, int64_t *first)
{
    bool negated = cond->op == OP_not;
    const Scalar *x = negated ? cond->args[0] : cond;
    if ((x->op != OP_lt && x->op != OP_le) || x->args[0]->type != TYPE_INT || x->args[1]->type != TYPE_INT) {
        return false;
    }
    int64_t c;
    Scalar *side[2] = {x->args[negated], x->args[!negated]}; /* side[0] <= side[1], or < */
    if (!difference(g, e, sc_op(graph_of(g), OP_sub, side[1], side[0]), later, earlier, &c)) {
        return false;
    }
    *first = (x->op == OP_lt) != negated ? 1 - c : -c;
    return *first >= 0;
}

static bool is_list_of(const Equation *e, int l, int example)
{
    const Axis *a = e->letters[l].axis;
    return a->kind == AXIS_RAGGED && !a->parent && e->letters[l].parent == example && !equation_is_parent(e, l);
}

/* A load of the example's values at position `at`, all other indices being letters of fixed axes or constants, and the
 * last one a letter. */
static bool is_row(const Equation *e, const Scalar *load, const Convolution *c, int at)
{
    const Tensor *t = load->tensor;
    if (load->op != OP_LOAD || load->type != TYPE_REAL || t->elem != ELEM_REAL || !t->per_example || load->at) {
        return false;
    }
    int found = 0;
    for (int d = 1; d < load->nargs; d++) {
        const Scalar *index = load->args[d];
        int l = index->op == OP_LETTER ? (int)index->inum : -1;
        found += l == at;
        if (l != at && index->op != OP_CONST && (l < 0 || e->letters[l].axis->kind != AXIS_FIXED)) {
            return false;
        }
    }
    const Scalar *last = load->args[load->nargs - 1];
    return found == 1 && load->args[0]->op == OP_LETTER && load->args[0]->inum == c->example && last->op == OP_LETTER &&
           last->inum == c->column && c->column != at && t->dims[load->nargs - 1] == e->letters[c->column].axis;
}

/* Indices of the weights: one is the distance, the others letters of fixed axes or constants. */
static bool is_by_distance(const Graph *g, const Equation *e, const Tensor *t, Scalar *const *index, Convolution *c)
{
    c->dim = -1;
    if (t->elem != ELEM_REAL || t->per_example) {
        return false;
    }
    for (int d = 0; d < t->ndim; d++) {
        int a, b;
        int64_t shift;
        unsigned used = sc_letters(index[d]);
        if (used >> c->column & 1 || used >> c->example & 1) {
            return false;
        }
        if (!(used & (1u << c->later | 1u << c->earlier))) {
            if (index[d]->op != OP_LETTER && index[d]->op != OP_CONST) {
                return false;
            }
        } else if (c->dim >= 0 || !difference(g, e, index[d], &a, &b, &shift) || (a != c->later && a != c->earlier) ||
                   (b != c->later && b != c->earlier)) {
            return false;
        } else {
            if (!t->dims[d]->is_distance) {
                return false;
            }
            c->dim = d;
            c->sign = a == c->later ? 1 : -1;
        }
    }
    c->weight = index;
    c->weights = t;
    return c->dim >= 0;
}

static bool match_gradient(const Graph *g, const Equation *e, Convolution *c)
{
    const Scalar *a = e->body->args[0], *b = e->body->args[1];
    c->is_gradient = true;
    if (a->op != OP_LOAD || b->op != OP_LOAD || a->nargs == 0 || a->args[0]->op != OP_LETTER ||
        a->args[a->nargs - 1]->op != OP_LETTER) {
        return false;
    }
    c->example = (int)a->args[0]->inum;
    c->column = (int)a->args[a->nargs - 1]->inum;
    bool swapped = !is_row(e, a, c, c->earlier);
    c->x = swapped ? b : a;
    c->y = swapped ? a : b;
    return is_row(e, c->x, c, c->earlier) && is_row(e, c->y, c, c->later) && is_by_distance(g, e, e->dst, e->lhs, c);
}

static bool match_sum(const Graph *g, const Equation *e, Convolution *c)
{
    const Tensor *t = e->dst;
    const Scalar *last = e->lhs[t->ndim - 1];
    if (!t->per_example || t->ndim < 3 || e->lhs[0]->op != OP_LETTER || last->op != OP_LETTER ||
        t->dims[t->ndim - 1] != e->letters[last->inum].axis) {
        return false;
    }
    c->example = (int)e->lhs[0]->inum;
    c->column = (int)last->inum;
    c->to = equation_is_output(e, c->later) ? c->later : c->earlier;
    int from = c->to == c->later ? c->earlier : c->later, found = 0;
    for (int d = 1; d < t->ndim; d++) {
        if (e->lhs[d]->op != OP_LETTER && e->lhs[d]->op != OP_CONST) {
            return false;
        }
        found += e->lhs[d]->op == OP_LETTER && e->lhs[d]->inum == c->to;
    }
    if (found != 1 || equation_is_output(e, from)) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        if (l != from && !equation_is_output(e, l)) {
            return false;
        }
    }
    for (int k = 0; k < 2; k++) {
        const Scalar *w = e->body->args[k];
        c->x = e->body->args[!k];
        if (w->op == OP_LOAD && !w->at && is_row(e, c->x, c, from) && is_by_distance(g, e, w->tensor, w->args, c)) {
            return true;
        }
    }
    return false;
}

static bool has_distances(const Tensor *t)
{
    bool found = false;
    for (int d = 0; d < t->ndim; d++) {
        found |= t->dims[d]->is_distance;
    }
    return found;
}

/* What nearly all equations fail at, asked first, as every sum is asked many times. */
static bool touches_distances(const Equation *e)
{
    const Scalar *a = e->body->args[0], *b = e->body->args[1];
    return has_distances(e->dst) || (a->op == OP_LOAD && has_distances(a->tensor)) ||
           (b->op == OP_LOAD && has_distances(b->tensor));
}

bool convolution_match(const Graph *g, const Equation *e, Convolution *c)
{
    *c = (Convolution){.to = -1};
    if (e->op != RED_SUM || e->body->op != OP_mul || !touches_distances(e)) {
        return false;
    }
    if (e->dst->elem != ELEM_REAL || e->nconds != 1 || e->dst->ndim == 0 ||
        !distance_condition(g, e, e->conds[0], &c->later, &c->earlier, &c->first)) {
        return false;
    }
    if (!(e->dst->per_example ? match_sum(g, e, c) : match_gradient(g, e, c))) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        bool is_position = l == c->later || l == c->earlier;
        if (is_position ? !is_list_of(e, l, c->example)
                        : l != c->example && (e->letters[l].axis->kind != AXIS_FIXED || e->letters[l].parent >= 0 ||
                                              equation_is_parent(e, l))) {
            return false;
        }
    }
    const Axis *list = e->letters[c->later].axis;
    return list == e->letters[c->earlier].axis && e->letters[c->example].axis == g->batch &&
           axis_bound(list) >= CONVOLUTION_POSITIONS && axis_bound(e->letters[c->column].axis) >= CONVOLUTION_COLUMNS;
}

double convolution_lists(const Equation *e, const Convolution *c)
{
    double lists = 1;
    for (int l = 0; l < e->nletters; l++) {
        bool is_outer = l != c->example && l != c->later && l != c->earlier && l != c->column;
        lists *= is_outer ? (double)e->letters[l].axis->size : 1;
    }
    return lists;
}
