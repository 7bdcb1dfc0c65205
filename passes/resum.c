/* resum: a sum over more letters takes a sum over fewer of the very same body, or a value that is the body, instead of
 * forming the body again:
 *
 *     gz[i,g] = sum[d] dy[i,d] * W[d,g] * act'(z[i,g])
 *     gb[g]   = sum[i,d] dy[i,d] * W[d,g] * act'(z[i,g])        =>  gb[g] = sum[i] gz[i,g]
 *
 *     gs[i,j]      = ga[i,j] * act'(s[i,j] + w[j - i])
 *     gw[j - i]    = sum[i,j] ga[i,j] * act'(s[i,j] + w[j - i]) =>  gw[j - i] = sum[i,j] gs[i,j]
 *
 * The gradient of every bias, gain or table that stands beside a product in the model is such a sum. Needs: letters
 * that the finer sum has summed are in no condition, so that each of its cells holds the sum over all of them, and
 * nothing else. Keeps: the values, up to the order of summation. Bodies are compared with their letters numbered in the
 * order in which the body reads them. */
#include "fault.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Equation *e;
    Scalar *body;            /* letters renumbered */
    int number[MAX_LETTERS]; /* of each letter there, -1: not in the body */
    unsigned outputs;        /* the new numbers of the output letters */
    unsigned used;           /* of those that the indices of the result use */
    bool is_keyed;           /* some index of the result is no letter: a cell is not of one value of each */
} Sum;

static void number_letters(const Scalar *s, void *ctx)
{
    Sum *x = ctx;
    if (s->op == OP_LETTER && x->number[s->inum] < 0) {
        int n = 0;
        for (int l = 0; l < x->e->nletters; l++) {
            n += x->number[l] >= 0;
        }
        x->number[s->inum] = n;
    }
}

static Scalar *renumbered(Graph *g, const Sum *x, Scalar *s)
{
    Scalar *map[MAX_LETTERS];
    for (int l = 0; l < x->e->nletters; l++) {
        map[l] = sc_letter(g, x->number[l]);
    }
    return sc_substitute(g, s, x->e->nletters, map);
}

/* False: the equation is no sum of this kind, and no value that is the body of one. */
static bool sum_of(Graph *g, Equation *e, Sum *x)
{
    *x = (Sum){.e = e, .is_keyed = equation_has_keyed_lhs(e)};
    if ((e->op != RED_SUM && (e->op != RED_NONE || x->is_keyed)) || e->body->type != TYPE_REAL || e->body->nargs == 0 ||
        e->body->op == OP_LOAD || e->dst->elem != ELEM_REAL || equation_is_extern(e)) {
        return false;
    }
    memset(x->number, -1, sizeof x->number);
    sc_walk(e->body, number_letters, x);
    for (int l = 0; l < e->nletters; l++) {
        if (x->number[l] < 0) {
            return false; /* counted, not read: the body is repeated */
        }
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        int l = lhs_letter(e->lhs[d]);
        if (l >= 0 && x->outputs >> x->number[l] & 1) {
            return false;
        }
        x->outputs |= l >= 0 ? 1u << x->number[l] : 0;
        for (int k = 0; k < e->nletters; k++) {
            x->used |= sc_uses_letter(e->lhs[d], k) ? 1u << x->number[k] : 0;
        }
    }
    x->body = renumbered(g, x, e->body);
    return true;
}

static int letter_numbered(const Sum *x, int number)
{
    int l = 0;
    while (x->number[l] != number) {
        l++;
    }
    return l;
}

static bool same_letters(const Sum *a, const Sum *b)
{
    for (int l = 0; l < a->e->nletters; l++) {
        const Letter *p = &a->e->letters[l], *q = &b->e->letters[letter_numbered(b, a->number[l])];
        if (p->axis != q->axis || (p->parent < 0) != (q->parent < 0) ||
            (p->parent >= 0 && a->number[p->parent] != b->number[q->parent])) {
            return false;
        }
    }
    return true;
}

static bool same_conditions(Graph *g, const Sum *a, const Sum *b)
{
    for (int i = 0; i < a->e->nconds && !FAULT(40); i++) {
        if (renumbered(g, a, a->e->conds[i]) != renumbered(g, b, b->e->conds[i])) {
            return false;
        }
    }
    return true;
}

/* Letters that `fine` has summed: fixed for the whole domain, so that it has a value wherever `coarse` asks. */
static bool sums_all(const Sum *fine)
{
    const Equation *e = fine->e;
    for (int l = 0; l < e->nletters; l++) {
        if (fine->outputs >> fine->number[l] & 1) {
            continue;
        }
        for (int i = 0; i < e->nconds; i++) {
            if (sc_uses_letter(e->conds[i], l)) {
                return false;
            }
        }
        for (int k = 0; k < e->nletters; k++) {
            if (e->letters[k].parent == l && fine->outputs >> fine->number[k] & 1) {
                return false;
            }
        }
    }
    return true;
}

/* Whether an equation may read all of a tensor that holds its body: of the others that define cells of it none waits
 * for the equation, as all stand before it. */
static bool may_read(const Order *o, Equation *const *defs, const Equation *e)
{
    for (int i = 0; defs[1] && defs[i]; i++) {
        if (o->component[defs[i]->id] >= o->component[e->id]) {
            return false;
        }
    }
    return true;
}

static bool is_finer(Graph *g, const Sum *fine, const Sum *coarse)
{
    return fine->body == coarse->body && !fine->is_keyed && coarse->e->op == RED_SUM &&
           fine->e->nletters == coarse->e->nletters && fine->e->nconds == coarse->e->nconds &&
           (fine->outputs & coarse->used) == coarse->used && fine->outputs != coarse->outputs &&
           same_letters(fine, coarse) && same_conditions(g, fine, coarse) && sums_all(fine);
}

static void take(Graph *g, const Sum *fine, const Sum *coarse)
{
    Equation *e = coarse->e;
    Scalar *map[MAX_LETTERS], *index[MAX_DIMS];
    for (int l = 0; l < fine->e->nletters; l++) {
        map[l] = sc_letter(g, letter_numbered(coarse, fine->number[l]));
    }
    for (int d = 0; d < fine->e->dst->ndim; d++) {
        index[d] = sc_substitute(g, fine->e->lhs[d], fine->e->nletters, map);
    }
    Draft d = draft_from(g, e);
    d.e.body = sc_load(g, fine->e->dst, fine->e->dst->ndim, index);
    for (int l = 0; l < e->nletters; l++) {
        d.gone[l] = !(fine->outputs >> coarse->number[l] & 1);
    }
    draft_store(&d, e);
}

static int by_body(const void *a, const void *b)
{
    const Sum *x = a, *y = b;
    return x->body->id != y->body->id ? (x->body->id > y->body->id) - (x->body->id < y->body->id)
                                      : (x->e->id > y->e->id) - (x->e->id < y->e->id);
}

static int letters_in(unsigned set)
{
    int n = 0;
    for (; set; set &= set - 1) {
        n++;
    }
    return n;
}

void pass_resum(Graph *g)
{
    Sum *sums = malloc((size_t)(g->nequations + 1) * sizeof *sums);
    int n = 0;
    if (!sums) {
        bug("out of memory while looking for equal sums");
    }
    Order order = order_equations(g);
    Equation ***defs = equations_by_tensor(g);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = g->equations[i];
        n += !order.in_cycle[e->id] && sum_of(g, e, &sums[n]);
    }
    qsort(sums, (size_t)n, sizeof *sums, by_body);
    for (int first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && sums[end].body == sums[first].body; end++) {
        }
        for (int i = first; i < end; i++) { /* the finer sum with the fewest cells */
            int best = -1;
            for (int k = first; k < end; k++) {
                if (is_finer(g, &sums[k], &sums[i]) && may_read(&order, defs[sums[k].e->dst->id], sums[i].e) &&
                    (best < 0 || letters_in(sums[k].outputs) < letters_in(sums[best].outputs))) {
                    best = k;
                }
            }
            if (best >= 0) {
                take(g, &sums[best], &sums[i]);
                sums[i].outputs = 0; /* it has another body now */
                sums[i].body = NULL;
            }
        }
    }
    free(sums);
    graph_reorder(g);
}
