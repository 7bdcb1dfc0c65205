/* contract: makes matrix products out of sums of products. Needs: nothing. Keeps: the values, up to the rounding of a
 * constant factor. A sum's body is taken apart into factors; then
 *
 *  - factors of both terms of a body that adds are factors of the body:     a*b*x + a*b*y  =>  a * b * (x + y)
 *  - constant factors move behind the sum:        sum[e] q*k*c       =>  t = sum[e] q*k,  dst = t * c
 *  - the other factors are dealt to two sides so that every reduced letter stands on both sides and each side has
 *    output letters of its own; a side that is not one load becomes a value of its own, with fewer letters than the
 *    sum:                                         sum[d] n[i,d]*r[i]*W[d,h]  =>  a[i,d] = n*r,  sum[d] a*W
 *
 *  - a condition on data that ties rows to the summed index is worked into the side that has both, which is 0 where it
 *    fails; one that ties rows to columns becomes one of a map behind the product:
 *        sum[m if neg[m] != nxt[i]] gs[i,m]*w[m,d]  =>  a[i,m] = gs where neg[m] != nxt[i], sum[m] a[i,m]*w[m,d]
 *
 *  - where there are no such two sides, some of the factors may have them: they are summed first, and the others go
 *    over the result:
 *        sum[j,f] g[i,f]*v[j,f]*p[i,j]              =>  t[i,j] = sum[f] g*v, sum[j] t*p
 *
 * A sum of which no part is such a product stays as it is: a plain loop. */
#include "contract.h"
#include "convolution.h"
#include "fault.h"

#include "intervals.h"
#include "rewrite.h"

#include <string.h>

/* Additions inside additions are taken apart to a depth: terms may share what is below them, again and again. */
enum { MAX_FACTORS = 8, MAX_DEPTH = 3, MOST_TRIED = 4 };

typedef struct {
    Graph *g;
    Equation *e;
    int n;
    Scalar *factor[MAX_FACTORS];
    unsigned letters[MAX_FACTORS]; /* bit l: the factor uses letter l, or a letter read at it */
    double scale;                  /* product of the constants */
    unsigned outputs, reduced;     /* letters of the equation */
    int depth;                     /* additions around it whose terms were taken apart */
    unsigned masks;                /* sides that a condition is worked into: bit 0 the first, bit 1 the other */
    unsigned moved;                /* conditions that are worked into one, */
    unsigned behind;               /* or are those of a map behind the product */
} Factors;

/* ---- letters of an expression ---- */

static unsigned output_letters(const Equation *e)
{
    unsigned set = 0;
    for (int k = 0; k < e->dst->ndim; k++) {
        int l = lhs_letter(e->lhs[k]);
        set |= l >= 0 ? 1u << l : 0;
    }
    return set;
}

/* ---- recognition ---- */

bool contract_match(const Graph *g, const Equation *e, Contraction *out)
{
    (void)g;
    if (e->op != RED_SUM || e->body->op != OP_mul || e->dst->elem != ELEM_REAL || equation_has_keyed_lhs(e)) {
        return false;
    }
    *out = (Contraction){.a = e->body->args[0], .b = e->body->args[1]};
    if (out->a->op != OP_LOAD || out->b->op != OP_LOAD || out->a->type != TYPE_REAL || out->b->type != TYPE_REAL) {
        return false;
    }
    unsigned a = sc_letters(out->a), b = sc_letters(out->b), outputs = output_letters(e);
    for (int l = 0; l < e->nletters; l++) {
        bool in_a = a >> l & 1, in_b = b >> l & 1;
        if (outputs >> l & 1) {
            out->role[l] = in_a && in_b ? CONTRACT_SHARED : in_a ? CONTRACT_M : CONTRACT_N;
            if (!in_a && !in_b) {
                return false;
            }
        } else if (in_a && in_b) {
            out->role[l] = CONTRACT_K;
        } else {
            return false;
        }
        out->nm += out->role[l] == CONTRACT_M;
        out->nn += out->role[l] == CONTRACT_N;
        out->nk += out->role[l] == CONTRACT_K;
        out->nshared += out->role[l] == CONTRACT_SHARED;
    }
    return out->nk > 0;
}

/* ---- factors ---- */

static bool take_apart(Factors *f, Scalar *s);

static Scalar *side_product(const Factors *f, unsigned side);

/* Factors that both terms of x + y or x - y have; what is left of the terms is one more. False: they share none. */
static bool take_common(Factors *f, const Scalar *s)
{
    Factors term[2], common = {.g = f->g, .e = f->e, .scale = 1, .depth = f->depth + 1};
    term[0] = term[1] = common;
    if (f->depth == MAX_DEPTH || !take_apart(&term[0], s->args[0]) || !take_apart(&term[1], s->args[1])) {
        return false;
    }
    unsigned rest[2] = {(1u << term[0].n) - 1, (1u << term[1].n) - 1};
    for (int i = 0; i < term[0].n; i++) {
        for (int k = 0; k < term[1].n; k++) {
            if (term[0].factor[i] == term[1].factor[k] && rest[1] >> k & 1) {
                rest[0] &= ~(1u << i);
                rest[1] &= ~(1u << k);
                common.factor[common.n++] = term[0].factor[i];
                break;
            }
        }
    }
    if (common.n == 0) {
        return false;
    }
    Scalar *left[2];
    for (int t = 0; t < 2; t++) {
        Scalar *c = sc_real(f->g, term[t].scale), *p = side_product(&term[t], rest[t]);
        left[t] = p ? fold_op2(f->g, OP_mul, p, c) : c;
    }
    f->depth++;
    bool ok = take_apart(f, fold_op2(f->g, s->op, left[0], left[1]));
    f->depth--;
    for (int i = 0; i < common.n; i++) {
        ok = ok && take_apart(f, common.factor[i]);
    }
    return ok;
}

static bool take_apart(Factors *f, Scalar *s)
{
    switch (s->op) {
    case OP_mul:
        return take_apart(f, s->args[0]) && take_apart(f, s->args[1]);
    case OP_neg:
        f->scale = -f->scale;
        return take_apart(f, s->args[0]);
    case OP_CONST:
        f->scale *= s->num;
        return true;
    case OP_div:
        if (s->args[1]->op == OP_CONST) {
            f->scale /= s->args[1]->num;
            return take_apart(f, s->args[0]);
        }
        if (s->args[0]->op != OP_CONST) {
            return take_apart(f, s->args[0]) && take_apart(f, fold_op2(f->g, OP_div, sc_real(f->g, 1), s->args[1]));
        }
        break;
    case OP_add:
    case OP_sub: {
        Factors before = *f;
        if (s->type == TYPE_REAL && take_common(f, s)) {
            return true;
        }
        *f = before;
        break;
    }
    default:
        break;
    }
    if (f->n == MAX_FACTORS) {
        return false;
    }
    f->letters[f->n] = equation_with_parents(f->e, sc_letters(s));
    f->factor[f->n++] = s;
    return true;
}

static unsigned side_letters(const Factors *f, unsigned side)
{
    unsigned set = 0;
    for (int i = 0; i < f->n; i++) {
        set |= side >> i & 1 ? f->letters[i] : 0;
    }
    return set;
}

static bool is_bare(const Factors *f, unsigned side)
{
    for (int i = 0; i < f->n; i++) {
        if (side == 1u << i) {
            return f->factor[i]->op == OP_LOAD;
        }
    }
    return false;
}

/* Cost of dealing the factors this way: elements of the values that have to be made. Negative: not a product. */
static double deal_cost(const Factors *f, unsigned side)
{
    unsigned all = (1u << f->n) - 1, other = all & ~side;
    unsigned a = side_letters(f, side), b = side_letters(f, other);
    if ((a & f->reduced) != f->reduced || (b & f->reduced) != f->reduced || ((a | b) & f->outputs) != f->outputs ||
        !(a & f->outputs & ~b) || !(b & f->outputs & ~a)) {
        return -1;
    }
    double whole = letters_extent(f->e, f->outputs | f->reduced), cost = 0;
    for (int i = 0; i < 2; i++) {
        if (!is_bare(f, i ? other : side)) {
            double n = letters_extent(f->e, i ? b : a);
            if (2 * n > whole) {
                return -1; /* making it costs as much as the sum */
            }
            cost += n;
        }
    }
    return cost;
}

/* ---- a side as a value of its own ---- */

static Scalar *side_product(const Factors *f, unsigned side)
{
    Scalar *p = NULL;
    for (int i = 0; i < f->n; i++) {
        if (side >> i & 1) {
            p = p ? fold_op2(f->g, OP_mul, p, f->factor[i]) : f->factor[i];
        }
    }
    return p;
}

typedef struct {
    int order[MAX_LETTERS];
    int n, ndim;
} Read;

/* Letters of loads with so many dims, in the order of the dims. */
static void note_read(const Scalar *s, void *ctx)
{
    Read *r = ctx;
    for (int d = 0; s->op == OP_LOAD && s->nargs == r->ndim && d < s->nargs; d++) {
        const Scalar *at = s->args[d]->op == OP_INJECT ? s->args[d]->args[0] : s->args[d];
        bool is_new = at->op == OP_LETTER;
        for (int k = 0; k < r->n && is_new; k++) {
            is_new = r->order[k] != at->inum;
        }
        if (is_new) {
            r->order[r->n++] = (int)at->inum;
        }
    }
}

static void add_letter(unsigned set, int l, int *letters, int *n)
{
    for (int k = 0; k < *n; k++) {
        if (letters[k] == l) {
            return;
        }
    }
    if (set >> l & 1) {
        letters[(*n)++] = l;
    }
}

/* Lists the letters of a set as dims: the example first, then the letters as they lie in the largest of what body
 * reads, but before them lists of the example that it has not; so equal values of two sums are equal equations,
 * whatever the order of letters there, and a product over several letters finds them next to each other where they were
 * so. */
static int dims_of(const Factors *f, unsigned set, const Scalar *body, int *out)
{
    const Equation *e = f->e;
    int n = 0, letters[MAX_LETTERS], example = -1, largest = 0;
    for (int l = 0; l < e->nletters; l++) {
        if (set >> l & 1 && e->letters[l].axis == f->g->batch) {
            bool is_parent = false;
            for (int k = 0; k < e->nletters; k++) {
                is_parent |= set >> k & 1 && e->letters[k].parent == l;
            }
            example = example < 0 || is_parent ? l : example;
        }
    }
    Read read = {.ndim = MAX_DIMS};
    for (; body && read.ndim > 0; read.ndim--) {
        sc_walk(body, note_read, &read);
        largest = largest ? largest : read.n;
    }
    unsigned has = 0;
    for (int k = 0; k < largest; k++) {
        has |= 1u << read.order[k];
    }
    if (example >= 0) {
        add_letter(set, example, letters, &n);
        for (int l = 0; l < e->nletters; l++) {
            bool is_list = axis_is_ragged(e->letters[l].axis) && e->letters[l].parent == example;
            add_letter(is_list ? set & ~has : 0, l, letters, &n);
        }
    }
    for (int k = 0; k < read.n; k++) {
        add_letter(set, read.order[k], letters, &n);
    }
    for (int l = 0; l < e->nletters; l++) {
        add_letter(set, l, letters, &n);
    }
    memcpy(out, letters, (size_t)(n <= MAX_DIMS ? n : 0) * sizeof *out);
    return n <= MAX_DIMS ? n : -1;
}

/* is_masked: conditions are worked into this side. */
static Scalar *make_side(Factors *f, unsigned side, bool is_masked, const char *suffix)
{
    Graph *g = f->g;
    const Equation *e = f->e;
    Scalar *body = side_product(f, side);
    if (is_bare(f, side) && !is_masked) {
        return body;
    }
    unsigned set = side_letters(f, side);
    int letters[MAX_DIMS], n = dims_of(f, set, body, letters);
    if (n < 0) {
        return NULL;
    }
    Tensor proto = {.elem = ELEM_REAL,
                    .role = ROLE_VALUE,
                    .ndim = n,
                    .span = e->span,
                    .lo = 0,
                    .hi = -1,
                    .per_example = n && e->letters[letters[0]].axis == g->batch};
    proto.name = unused_name(g, e->dst->name, suffix);
    Draft d = draft_from(g, e);
    d.e.op = RED_NONE;
    d.e.body = body;
    if (!draft_keep_conds(&d, e, set, body)) {
        return NULL;
    }
    for (int i = 0; i < e->nconds && is_masked; i++) {
        bool moved = f->moved >> i & 1 && !(equation_with_parents(e, sc_letters(e->conds[i])) & ~set);
        if (moved && !draft_has_cond(&d, e->conds[i])) {
            return NULL;
        }
    }
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < e->nletters; k++) {
        d.gone[k] = !(set >> k & 1);
    }
    for (int k = 0; k < n; k++) {
        proto.dims[k] = e->letters[letters[k]].axis;
        d.e.lhs[k] = index[k] = sc_letter(g, letters[k]);
    }
    d.e.dst = graph_tensor(g, proto);
    draft_commit(&d);
    return sc_load(g, d.e.dst, n, index);
}

/* ---- conditions on data ---- */

static void note_load(const Scalar *s, void *ctx)
{
    *(bool *)ctx |= s->op == OP_LOAD;
}

static bool has_example(const Equation *e, unsigned set)
{
    for (int l = 0; l < e->nletters; l++) {
        if (set >> l & 1 && e->letters[l].axis->kind == AXIS_BATCH) {
            return true;
        }
    }
    return false;
}

/* Decides what becomes of conditions on data that a product cannot have. Where one fails, 0 is multiplied by what the
 * other side holds, which has to be a number: so of the other side's cells each has to be read by others than this
 * example's results, which are no numbers then anyway. */
static void deal_conds(Factors *f, const unsigned *side)
{
    const Equation *e = f->e;
    unsigned letters[2] = {side_letters(f, side[0]), side_letters(f, side[1])};
    unsigned own[2] = {letters[0] & f->outputs & ~letters[1], letters[1] & f->outputs & ~letters[0]};
    double whole = letters_extent(f->e, f->outputs | f->reduced);
    Draft map = draft_from(f->g, e);
    draft_keep_conds(&map, e, f->outputs, NULL);
    for (int i = 0; i < e->nconds; i++) {
        bool loads = false;
        unsigned used = equation_with_parents(e, sc_letters(e->conds[i]));
        sc_walk(e->conds[i], note_load, &loads);
        if (!loads || e->conds[i]->op == OP_and) {
            continue;
        }
        if (!(used & f->reduced)) {
            bool ties = used & own[0] && used & own[1] && draft_has_cond(&map, e->conds[i]);
            f->behind |= ties ? 1u << i : 0;
            continue;
        }
        for (int k = 0; k < 2 && !(f->moved >> i & 1); k++) {
            bool may = !(used & ~letters[k]) && 2 * letters_extent(f->e, letters[k]) <= whole &&
                       !(e->dst->per_example && has_example(e, letters[!k]));
            f->moved |= may ? 1u << i : 0;
            f->masks |= may ? 1u << k : 0;
        }
    }
}

/* The conditions that the product keeps. False: without the others something is not in range. */
static bool keep_rest(const Factors *f, Draft *d, const Scalar *product)
{
    const Equation *e = f->e;
    Prover *facts = prover_new(f->g, e, 0);
    bool ok = true;
    d->conds = NULL;
    d->nconds = 0;
    for (int i = 0; i < e->nconds; i++) {
        if (!((f->moved | f->behind) >> i & 1)) {
            ok = ok && prover_is_safe(facts, e->conds[i]);
            draft_cond(d, e->conds[i]);
            prover_assume(facts, e->conds[i], true);
        }
    }
    ok = ok && prover_is_safe(facts, product);
    prover_free(facts);
    return ok;
}

/* ---- the rewrite ---- */

/* A tensor for the product alone: like dst, or, where the product does not end where dst's conditions do, over the
 * output letters. Returns what stands on its left-hand side, or NULL. */
static Tensor *product_tensor(const Factors *f, Scalar **lhs)
{
    Graph *g = f->g;
    const Equation *e = f->e;
    Tensor proto = *e->dst;
    memcpy(lhs, e->lhs, sizeof e->lhs);
    if (f->behind) {
        int letters[MAX_DIMS];
        proto.ndim = dims_of(f, f->outputs, sc_load(g, e->dst, e->dst->ndim, lhs), letters);
        for (int k = 0; k < proto.ndim; k++) {
            proto.dims[k] = e->letters[letters[k]].axis;
            lhs[k] = sc_letter(g, letters[k]);
        }
        proto.per_example = proto.ndim > 0 && proto.dims[0] == g->batch;
        if (proto.ndim < 0) {
            return NULL;
        }
    }
    proto.is_output = proto.is_draw = false;
    proto.next = proto.grad = NULL;
    proto.name = unused_name(g, e->dst->name, "sum");
    return graph_tensor(g, proto);
}

/* dst[lhs] sum= product * scale  becomes  t[..] sum= product  and  dst[lhs] = t[..] * scale. */
static void move_behind(const Factors *f, Draft *sum)
{
    Graph *g = f->g;
    Equation *e = (Equation *)(uintptr_t)f->e;
    Draft map = draft_from(g, e);
    Tensor *t = product_tensor(f, sum->e.lhs);
    if (!t) {
        return;
    }
    sum->e.dst = t;
    draft_keep_conds(&map, e, f->outputs, NULL);
    for (int l = 0; l < e->nletters; l++) {
        map.gone[l] = !(f->outputs >> l & 1);
    }
    map.e.op = RED_NONE;
    Scalar *value = sc_load(g, t, t->ndim, sum->e.lhs);
    map.e.body = fold_op2(g, OP_mul, value, sc_real(g, FAULT(16) ? 1 : f->scale));
    draft_commit(sum);
    draft_store(&map, e);
}

/* The cheapest way to deal the factors to two sides; -1: there is none. */
static double best_deal(const Factors *f, unsigned *best)
{
    double least = -1;
    for (unsigned side = 1; side < 1u << (f->n - 1); side++) { /* the last factor is always on the other side */
        double cost = deal_cost(f, side);
        if (cost >= 0 && (least < 0 || cost < least)) {
            *best = side;
            least = cost;
        }
    }
    return least;
}

/* The factors that use a letter of `summed`, as a sum of their own over those letters. */
static Factors inner_factors(const Factors *f, unsigned summed)
{
    Factors in = {.g = f->g, .e = f->e, .scale = 1};
    unsigned letters = 0;
    for (int i = 0; i < f->n; i++) {
        if (f->letters[i] & summed) {
            in.factor[in.n] = f->factor[i];
            in.letters[in.n++] = f->letters[i];
            letters |= f->letters[i];
        }
    }
    in.reduced = summed;
    in.outputs = letters & ~summed;
    return in;
}

/* Whether the sum over l always has a term: at the position of another letter that goes over the same list (i for j <=
 * i), or at one of the first of a fixed number, all conditions on l hold. */
static bool is_never_empty(const Factors *f, int l)
{
    const Equation *e = f->e;
    Scalar *at[MAX_LETTERS];
    bool found = false;
    Prover *facts = prover_new(f->g, e, 0);
    for (int k = 0; k < e->nletters; k++) {
        at[k] = sc_letter(f->g, k);
    }
    for (int i = 0; i < e->nconds; i++) {
        if (!sc_uses_letter(e->conds[i], l)) {
            prover_assume(facts, e->conds[i], true);
        }
    }
    int64_t n = e->letters[l].axis->kind == AXIS_FIXED ? e->letters[l].axis->size : 0;
    for (int w = 0; w < e->nletters + (n < MOST_TRIED ? n : MOST_TRIED) && !found; w++) {
        found = w >= e->nletters || (f->outputs >> w & 1 && e->letters[w].axis == e->letters[l].axis &&
                                     e->letters[w].parent == e->letters[l].parent);
        at[l] = w < e->nletters ? sc_letter(f->g, w) : sc_int(f->g, w - e->nletters);
        for (int i = 0; i < e->nconds && found; i++) {
            found = !sc_uses_letter(e->conds[i], l) ||
                    prover_holds(facts, fold_substitute(f->g, e->conds[i], e->nletters, at));
        }
    }
    prover_free(facts);
    return found;
}

/* Reduced letters that can be summed first: always over something, so that no sum over nothing, 0, meets a factor that
 * is infinite there, and nothing is read at them. Of a fixed number and without conditions, or else. */
static unsigned free_letters(const Factors *f, bool is_fixed)
{
    const Equation *e = f->e;
    unsigned set = 0;
    for (int l = 0; l < e->nletters; l++) {
        bool is_free = f->reduced >> l & 1 && e->letters[l].axis->kind == AXIS_FIXED && e->letters[l].axis->size > 0;
        for (int i = 0; i < e->nconds; i++) {
            is_free &= !sc_uses_letter(e->conds[i], l);
        }
        is_free = is_fixed ? is_free : f->reduced >> l & 1 && (is_free || is_never_empty(f, l));
        for (int k = 0; k < e->nletters; k++) {
            is_free &= e->letters[k].parent != l;
        }
        for (int d = 0; d < e->dst->ndim; d++) {
            is_free &= !sc_uses_letter(e->lhs[d], l);
        }
        set |= is_free ? 1u << l : 0;
    }
    return set;
}

/* Those of them whose factors are a product by themselves, at the least cost, or that are in one factor alone; 0: none.
 */
static unsigned summed_first(const Factors *f, unsigned letters, bool is_alone)
{
    unsigned chosen = 0, side;
    double least = -1;
    for (int l = 0; l < f->e->nletters; l++) {
        if (letters >> l & 1) {
            unsigned used[2] = {0, 0}; /* by factors without l, and with it */
            for (int i = 0; i < f->n; i++) {
                used[f->letters[i] >> l & 1] |= f->letters[i];
            }
            unsigned summed = letters & used[1] & ~used[0]; /* with all others that only these factors use */
            Factors in = inner_factors(f, summed);
            if (in.n == f->n || (is_alone ? in.n != 1 : in.n < 2)) {
                continue;
            }
            double cost = is_alone ? 0 : best_deal(&in, &side);
            if (cost >= 0 && (least < 0 || cost < least)) {
                chosen = summed;
                least = cost;
            }
        }
    }
    return chosen;
}

static void contract(Graph *g, Equation *e);

/* sum[j,f] go[i,f] * v[j,f] * p[i,j]  =>  t[i,j] = sum[f] go * v,  sum[j] t * p: where all factors together are no
 * product, those that share a summed letter may be. If nothing is left to sum, the other factors are a map behind it.
 */
static void sum_first(const Factors *f)
{
    Graph *g = f->g;
    Equation *e = (Equation *)(uintptr_t)f->e;
    unsigned fixed = free_letters(f, true), all = free_letters(f, false), chosen = summed_first(f, all, false);
    if (chosen != f->reduced && fixed) { /* what remains is a sum */
        chosen = summed_first(f, fixed, false);
    }
    chosen = chosen ? chosen : summed_first(f, all, true);
    bool is_sum = chosen != f->reduced;
    if (!chosen || (!is_sum && equation_has_keyed_lhs(e))) { /* cells that are chosen are summed into */
        return;
    }
    Factors in = inner_factors(f, chosen);
    unsigned others = 0; /* their product with what is summed first lies side by side with them */
    for (int i = 0; i < f->n; i++) {
        others |= f->letters[i] & chosen ? 0 : 1u << i;
    }
    Scalar *body = side_product(&in, (1u << in.n) - 1), *rest = side_product(f, others), *index[MAX_DIMS];
    int dims[MAX_DIMS], n = dims_of(&in, in.outputs, rest, dims);
    Draft inner = draft_from(g, e), outer = draft_from(g, e);
    if (n < 0 || !draft_keep_conds(&inner, e, in.outputs | chosen, body) ||
        !draft_keep_conds(&outer, e, ~chosen, rest)) {
        return;
    }
    for (int i = 0; i < e->nconds; i++) {
        bool moves = equation_with_parents(e, sc_letters(e->conds[i])) & chosen;
        if (!draft_has_cond(moves ? &inner : &outer, e->conds[i])) {
            return;
        }
    }
    Tensor proto = {.elem = ELEM_REAL, .role = ROLE_VALUE, .ndim = n, .span = e->span, .lo = 0, .hi = -1};
    proto.per_example = n && e->letters[dims[0]].axis == g->batch;
    proto.name = unused_name(g, e->dst->name, "inner");
    for (int k = 0; k < n; k++) {
        proto.dims[k] = e->letters[dims[k]].axis;
        inner.e.lhs[k] = index[k] = sc_letter(g, dims[k]);
    }
    for (int l = 0; l < e->nletters; l++) {
        inner.gone[l] = !((in.outputs | chosen) >> l & 1);
        outer.gone[l] = chosen >> l & 1;
    }
    inner.e.dst = graph_tensor(g, proto);
    inner.e.body = body;
    rest = fold_op2(g, OP_mul, sc_load(g, inner.e.dst, n, index), sc_real(g, f->scale));
    for (int i = 0; i < f->n; i++) {
        rest = f->letters[i] & chosen ? rest : fold_op2(g, OP_mul, rest, f->factor[i]);
    }
    outer.e.op = is_sum ? RED_SUM : RED_NONE;
    outer.e.body = rest;
    Equation *made = draft_commit(&inner);
    draft_store(&outer, e);
    contract(g, made);
    contract(g, e);
}

static void contract(Graph *g, Equation *e)
{
    Convolution c;
    if (e->op != RED_SUM || e->body->type != TYPE_REAL || convolution_match(g, e, &c)) {
        return;
    }
    Factors f = {.g = g, .e = e, .scale = 1, .outputs = output_letters(e)};
    f.reduced = ((1u << e->nletters) - 1) & ~f.outputs;
    if (!take_apart(&f, e->body) || f.n < 2) {
        return;
    }
    unsigned best = 0;
    if (equation_has_keyed_lhs(e) || best_deal(&f, &best) < 0) {
        sum_first(&f);
        return;
    }
    unsigned other = ((1u << f.n) - 1) & ~best; /* sides keep the order in which they were written */
    unsigned side[2] = {best & 1 ? best : other, best & 1 ? other : best};
    deal_conds(&f, side);
    Scalar *a = make_side(&f, side[0], f.masks & 1, "a");
    Scalar *b = a ? make_side(&f, side[1], f.masks & 2, "b") : NULL;
    Draft sum = draft_from(g, e);
    sum.e.body = b ? sc_op(g, OP_mul, a, b) : NULL;
    if (!b || ((f.moved | f.behind) && !keep_rest(&f, &sum, sum.e.body))) {
        return; /* what was made is dead and will be dropped */
    }
    if (f.scale != 1 || f.behind) {
        move_behind(&f, &sum);
    } else {
        draft_store(&sum, e);
    }
}

void pass_contract(Graph *g)
{
    int n = g->nequations;
    for (int i = 0; i < n; i++) {
        contract(g, g->equations[i]);
    }
    graph_reorder(g);
    merge_equal_equations(g);
    drop_dead_equations(g);
}
