/* Proofs about integers. An INT expression is brought into a linear form c + sum k * atom over atoms: letters, sizes,
 * loads and whatever is not linear. Known inequalities are linear forms >= 0: from letters (0 <= i < size), sizes,
 * min, max, idiv, mod, value ranges, and the conditions that hold. To prove L >= 0 the prover bounds L by the
 * intervals of its atoms; if that fails it subtracts a fact that cancels an atom and tries again, a few times deep. */
#include "intervals.h"

#include "rewrite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TERMS = 10, MAX_DEPTH = 5, MAX_TRIES = 4000 };

typedef struct {
    int64_t k;
    const Scalar *atom;
} LinTerm;

typedef struct {
    int64_t c;
    int n;
    LinTerm t[MAX_TERMS];
    bool bad; /* overflow or too many terms: says nothing */
} Lin;

typedef struct {
    const Scalar *cond;
    bool value;
} Known;

struct Prover {
    Graph *g;
    const Equation *e; /* may be NULL */
    const Letter *letters;
    int batch_letter; /* before pass_batch: the letter that reduces over the batch; -1: none */
    Lin *facts; /* each is >= 0 */
    int nfacts;
    const Scalar **atoms; /* whose own facts are in */
    int natoms;
    Known *known;
    int nknown;
    int tries;
    int depth; /* of nested interval questions */
};

/* ---- linear forms ---- */

static void lin_add(Lin *l, int64_t k, const Scalar *atom)
{
    for (int i = 0; i < l->n; i++) {
        if (l->t[i].atom == atom) {
            l->bad |= __builtin_add_overflow(l->t[i].k, k, &l->t[i].k);
            if (l->t[i].k == 0) {
                l->t[i] = l->t[--l->n];
            }
            return;
        }
    }
    if (k == 0) {
        return;
    }
    if (l->n == MAX_TERMS) {
        l->bad = true;
        return;
    }
    l->t[l->n++] = (LinTerm){k, atom};
}

/* l += k * m */
static void lin_add_lin(Lin *l, int64_t k, const Lin *m)
{
    int64_t c;
    l->bad |= m->bad || __builtin_mul_overflow(k, m->c, &c) || __builtin_add_overflow(l->c, c, &l->c);
    for (int i = 0; i < m->n && !l->bad; i++) {
        int64_t x;
        if (__builtin_mul_overflow(k, m->t[i].k, &x)) {
            l->bad = true;
            return;
        }
        lin_add(l, x, m->t[i].atom);
    }
}

static void know_atom(Prover *f, const Scalar *atom);

static Scalar *part_size(Graph *g, Axis *part, const Scalar *op)
{
    /* The example's index: last arg of part, local and inject, first of size. */
    Scalar *example = NULL;
    if (op->op == OP_SIZE) {
        example = op->nargs ? op->args[0] : NULL;
    } else {
        example = op->nargs > 1 ? op->args[1] : NULL;
    }
    return sc_size(g, part, example && axis_is_ragged(part) ? 1 : 0, &example);
}

/* Before the batch comes in, an equation that sums over it speaks of the same example whether its letter is named or
 * not: both spellings of a size are one atom. */
static const Scalar *without_example(const Prover *f, const Scalar *s)
{
    const Equation *e = f->e;
    if (f->g->batched || !e || e->dst->per_example || s->nargs <= axis_nparents(s->axis) ||
        s->args[0]->op != OP_LETTER || e->letters[s->args[0]->inum].axis != f->g->batch) {
        return s;
    }
    return sc_size(f->g, s->axis, s->nargs - 1, s->args + 1);
}

/* l += k * s */
static void linearize(Prover *f, Lin *l, int64_t k, const Scalar *s)
{
    int64_t x;
    switch (s->op) {
    case OP_CONST:
        l->bad |= __builtin_mul_overflow(k, s->inum, &x) || __builtin_add_overflow(l->c, x, &l->c);
        return;
    case OP_add:
        linearize(f, l, k, s->args[0]);
        linearize(f, l, k, s->args[1]);
        return;
    case OP_sub:
        linearize(f, l, k, s->args[0]);
        linearize(f, l, -k, s->args[1]);
        return;
    case OP_neg:
        linearize(f, l, -k, s->args[0]);
        return;
    case OP_stop:
        linearize(f, l, k, s->args[0]);
        return;
    case OP_mul:
        for (int i = 0; i < 2; i++) {
            if (s->args[i]->op == OP_CONST) {
                if (__builtin_mul_overflow(k, s->args[i]->inum, &x)) {
                    l->bad = true;
                    return;
                }
                linearize(f, l, x, s->args[1 - i]);
                return;
            }
        }
        break;
    case OP_SIZE:
        if (s->axis->kind == AXIS_SUM) {
            for (int p = 0; p < s->axis->nparts; p++) {
                linearize(f, l, k, part_size(f->g, s->axis->parts[p], s));
            }
            return;
        }
        s = without_example(f, s);
        break;
    case OP_INJECT:
        for (int p = 0; p < s->inum; p++) {
            linearize(f, l, k, part_size(f->g, s->axis->parts[p], s));
        }
        linearize(f, l, k, s->args[0]);
        return;
    default:
        break;
    }
    lin_add(l, k, s);
    know_atom(f, s);
}

static Lin lin_of(Prover *f, const Scalar *s)
{
    Lin l = {0};
    linearize(f, &l, 1, s);
    return l;
}

/* ---- what is known ---- */

static void add_fact(Prover *f, const Lin *l)
{
    if (l->bad || !l->n) {
        return;
    }
    f->facts = realloc(f->facts, (size_t)(f->nfacts + 1) * sizeof *f->facts);
    if (!f->facts) {
        bug("out of memory while proving");
    }
    f->facts[f->nfacts++] = *l;
}

/* a - b >= d is known */
static void know_at_least(Prover *f, const Scalar *a, const Scalar *b, int64_t d)
{
    Lin l = {.c = -d};
    linearize(f, &l, 1, a);
    if (b) {
        linearize(f, &l, -1, b);
    }
    add_fact(f, &l);
}

/* The part of a sum axis that this index is known to lie in: said so, or all others excluded; -1 if unknown. */
static int known_part(const Prover *f, const Scalar *local)
{
    unsigned possible = (1u << local->axis->nparts) - 1;
    for (int i = 0; i < f->nknown; i++) {
        const Scalar *c = f->known[i].cond;
        if (c->op != OP_eq && c->op != OP_ne) {
            continue;
        }
        for (int side = 0; side < 2; side++) {
            const Scalar *x = c->args[side], *y = c->args[1 - side];
            if (x->op != OP_PART || x->axis != local->axis || x->args[0] != local->args[0] || y->op != OP_CONST ||
                y->inum < 0 || y->inum >= local->axis->nparts) {
                continue;
            }
            unsigned part = 1u << y->inum;
            possible &= f->known[i].value == (c->op == OP_eq) ? part : ~part;
        }
    }
    bool one = possible && !(possible & (possible - 1));
    return one ? __builtin_ctz(possible) : -1;
}

static const Scalar *real_of_int(const Scalar *s) /* the integer under a conversion, or NULL */
{
    return (s->op == OP_real || s->op == OP_f32) && s->args[0]->type == TYPE_INT ? s->args[0] : NULL;
}

/* The index lies in this part: its position there is below the part's size. */
static void know_part(Prover *f, const Scalar *op, int part)
{
    if (part < 0 || part >= op->axis->nparts) {
        return;
    }
    Scalar *local = sc_axis_op(f->g, OP_LOCAL, op->axis, 0, op->nargs, op->args);
    know_at_least(f, part_size(f->g, op->axis->parts[part], op), local, 1);
}

static void know_atom(Prover *f, const Scalar *s)
{
    for (int i = 0; i < f->natoms; i++) {
        if (f->atoms[i] == s) {
            return;
        }
    }
    f->atoms = realloc(f->atoms, (size_t)(f->natoms + 1) * sizeof *f->atoms);
    if (!f->atoms) {
        bug("out of memory while proving");
    }
    f->atoms[f->natoms++] = s;
    Graph *g = f->g;
    switch (s->op) {
    case OP_LETTER:
        if (f->letters) {
            know_at_least(f, s, NULL, 0);
            know_at_least(f, letter_size(g, f->letters, (int)s->inum), s, 1);
        }
        break;
    case OP_min:
        know_at_least(f, s->args[0], s, 0);
        know_at_least(f, s->args[1], s, 0);
        break;
    case OP_max:
        know_at_least(f, s, s->args[0], 0);
        know_at_least(f, s, s->args[1], 0);
        break;
    case OP_idiv:
        if (s->args[1]->op == OP_CONST && s->args[1]->inum > 0) {
            int64_t c = s->args[1]->inum;
            Lin l = {0}; /* a - c * q >= 0 and c * q + c - 1 - a >= 0 */
            linearize(f, &l, 1, s->args[0]);
            lin_add(&l, -c, s);
            add_fact(f, &l);
            Lin m = {.c = c - 1};
            linearize(f, &m, -1, s->args[0]);
            lin_add(&m, c, s);
            add_fact(f, &m);
        }
        break;
    case OP_mod:
        if (prover_interval(f, s->args[1]).lo > 0) {
            know_at_least(f, s, NULL, 0);
            know_at_least(f, s->args[1], s, 1);
        }
        break;
    case OP_LOCAL: {
        know_at_least(f, s, NULL, 0);
        know_at_least(f, s->args[0], s, 0);
        int part = known_part(f, s);
        if (part >= 0) {
            know_part(f, s, part);
        }
        break;
    }
    case OP_abs:
        know_at_least(f, s, s->args[0], 0);
        know_at_least(f, s, NULL, 0);
        break;
    case OP_trunc: { /* trunc(rand * n) < n, also in f32: rand <= 1 - 2^-24 and the product is rounded once */
        const Scalar *x = s->args[0];
        for (int i = 0; i < 2 && x->op == OP_mul; i++) {
            const Scalar *n = real_of_int(x->args[1 - i]);
            if (x->args[i]->op == OP_RAND && n) {
                know_at_least(f, n, s, 1);
                know_at_least(f, s, NULL, 0);
            }
        }
        break;
    }
    default:
        break;
    }
}

static void assume_compare(Prover *f, const Scalar *c, bool value)
{
    const Scalar *a = c->args[0], *b = c->args[1];
    if (a->type != TYPE_INT || b->type != TYPE_INT) {
        return;
    }
    switch (c->op) {
    case OP_lt:
        value ? know_at_least(f, b, a, 1) : know_at_least(f, a, b, 0);
        break;
    case OP_le:
        value ? know_at_least(f, b, a, 0) : know_at_least(f, a, b, 1);
        break;
    case OP_eq:
    case OP_ne:
        if (a->op == OP_PART && known_part(f, a) >= 0) {
            know_part(f, a, known_part(f, a));
        }
        if (value == (c->op == OP_eq)) {
            know_at_least(f, a, b, 0);
            know_at_least(f, b, a, 0);
        } else if (prover_at_least(f, a, b, 0)) { /* different, and not below */
            know_at_least(f, a, b, 1);
        } else if (prover_at_least(f, b, a, 0)) {
            know_at_least(f, b, a, 1);
        }
        break;
    default:
        break;
    }
}

void prover_assume(Prover *f, const Scalar *cond, bool value)
{
    f->known = realloc(f->known, (size_t)(f->nknown + 1) * sizeof *f->known);
    if (!f->known) {
        bug("out of memory while proving");
    }
    f->known[f->nknown++] = (Known){cond, value};
    switch (cond->op) {
    case OP_not:
        prover_assume(f, cond->args[0], !value);
        break;
    case OP_and:
    case OP_or:
        if (value == (cond->op == OP_and)) {
            prover_assume(f, cond->args[0], value);
            prover_assume(f, cond->args[1], value);
        }
        break;
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
        assume_compare(f, cond, value);
        break;
    default:
        break;
    }
}

ProverMark prover_mark(const Prover *f)
{
    return (ProverMark){f->nknown, f->nfacts, f->natoms};
}

/* Atoms met since the mark are forgotten with their facts, which may have rested on what was assumed. */
void prover_release(Prover *f, ProverMark mark)
{
    f->nknown = mark.known;
    f->nfacts = mark.facts;
    f->natoms = mark.atoms;
}

Prover *prover_new(Graph *g, const Equation *e, int nconds)
{
    Prover *f = calloc(1, sizeof *f);
    if (!f) {
        bug("out of memory while proving");
    }
    f->g = g;
    f->e = e;
    f->letters = e ? e->letters : NULL;
    f->batch_letter = -1;
    for (int k = 0; e && !g->batched && k < e->nletters; k++) {
        f->batch_letter = e->letters[k].axis == g->batch ? k : f->batch_letter;
    }
    for (int i = 0; i < nconds; i++) {
        prover_assume(f, e->conds[i], true);
    }
    return f;
}

void prover_free(Prover *f)
{
    free(f->facts);
    free(f->atoms);
    free(f->known);
    free(f);
}

/* ---- intervals ---- */

static const Interval anything = {-INFINITY, INFINITY};

static Interval hull(Interval a, Interval b)
{
    return (Interval){fmin(a.lo, b.lo), fmax(a.hi, b.hi)};
}

static Interval meet(Interval a, Interval b)
{
    Interval m = {fmax(a.lo, b.lo), fmin(a.hi, b.hi)};
    return m.lo <= m.hi ? m : a; /* a contradiction: the place is never reached, any answer is right */
}

static double times(double a, double b)
{
    return a == 0 || b == 0 ? 0 : a * b;
}

static Interval product(Interval a, Interval b)
{
    double p[4] = {times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi)};
    return (Interval){fmin(fmin(p[0], p[1]), fmin(p[2], p[3])), fmax(fmax(p[0], p[1]), fmax(p[2], p[3]))};
}

static Interval map_monotone(Interval a, double (*f)(double), double lowest)
{
    return (Interval){isinf(a.lo) && a.lo < 0 ? lowest : f(a.lo), f(a.hi)};
}

static double log_or_low(double x)
{
    return x > 0 ? log(x) : -INFINITY;
}

static double sqrt_or_zero(double x)
{
    return x > 0 ? sqrt(x) : 0;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double to_float(double x)
{
    return (double)(float)x;
}

static Interval interval_of(Prover *f, const Scalar *s);

static Interval interval_of_load(const Tensor *t)
{
    if (t->elem == ELEM_BOOL) {
        return (Interval){0, 1};
    }
    if ((t->elem == ELEM_I32 || t->elem == ELEM_I64) && t->lo <= t->hi) {
        return (Interval){t->lo == INT64_MIN ? -INFINITY : (double)t->lo,
                          t->hi == INT64_MAX ? INFINITY : (double)t->hi};
    }
    if (t->elem == ELEM_I32) {
        return (Interval){INT32_MIN, INT32_MAX};
    }
    return anything;
}

static Interval interval_of_size(const Scalar *s)
{
    const Axis *a = s->axis;
    double lo = 0, bound = (double)axis_bound(a);
    if (a->kind == AXIS_RAGGED) {
        lo = (double)a->min;
    } else if (a->kind == AXIS_TABLE) {
        lo = bound;
        for (int64_t i = 0; i < a->parent->size; i++) {
            lo = fmin(lo, (double)a->sizes[i]);
        }
    } else if (a->kind == AXIS_FIXED) {
        lo = bound < 0 ? 1 : bound;
    } else if (a->kind == AXIS_BATCH) {
        lo = 1;
    }
    return (Interval){lo, bound < 0 ? INFINITY : bound};
}

static Interval interval_of_function(Prover *f, const Scalar *s)
{
    Interval a = interval_of(f, s->args[0]);
    Interval b = s->nargs > 1 && s->op != OP_select ? interval_of(f, s->args[1]) : a;
    switch (s->op) {
    case OP_add:
        return (Interval){a.lo + b.lo, a.hi + b.hi};
    case OP_sub:
        return (Interval){a.lo - b.hi, a.hi - b.lo};
    case OP_mul:
        if (s->args[0] == s->args[1]) { /* a square */
            double x = fmax(fabs(a.lo), fabs(a.hi)), y = a.lo <= 0 && a.hi >= 0 ? 0 : fmin(fabs(a.lo), fabs(a.hi));
            return (Interval){times(y, y), times(x, x)};
        }
        return product(a, b);
    case OP_div:
        return b.lo > 0 || b.hi < 0 ? product(a, (Interval){1 / b.hi, 1 / b.lo}) : anything;
    case OP_neg:
        return (Interval){-a.hi, -a.lo};
    case OP_max:
        return (Interval){fmax(a.lo, b.lo), fmax(a.hi, b.hi)};
    case OP_min:
        return (Interval){fmin(a.lo, b.lo), fmin(a.hi, b.hi)};
    case OP_abs:
        if (a.lo >= 0) {
            return a;
        }
        return (Interval){a.hi < 0 ? -a.hi : 0, fmax(-a.lo, a.hi)};
    case OP_exp:
        return map_monotone(a, exp, 0);
    case OP_log:
        return map_monotone(a, log_or_low, -INFINITY);
    case OP_sqrt:
        return map_monotone(a, sqrt_or_zero, 0);
    case OP_tanh:
        return map_monotone(a, tanh, -1);
    case OP_erf:
        return map_monotone(a, erf, -1);
    case OP_sigmoid:
        return map_monotone(a, sigmoid, 0);
    case OP_sin:
    case OP_cos:
        return (Interval){-1, 1};
    case OP_floor:
        return map_monotone(a, floor, -INFINITY);
    case OP_trunc:
        return map_monotone(a, trunc, -INFINITY);
    case OP_round:
        return map_monotone(a, nearbyint, -INFINITY);
    case OP_idiv:
        if (b.lo > 0) {
            double q[4] = {floor(a.lo / b.lo), floor(a.lo / b.hi), floor(a.hi / b.lo), floor(a.hi / b.hi)};
            for (int i = 0; i < 4; i++) {
                if (isnan(q[i])) {
                    return anything;
                }
            }
            return (Interval){fmin(q[0], q[1]), fmax(q[2], q[3])};
        }
        return anything;
    case OP_mod:
        return b.lo > 0 ? (Interval){0, a.lo >= 0 ? fmin(a.hi, b.hi - 1) : b.hi - 1} : anything;
    case OP_select: {
        if (s->type == TYPE_BOOL) {
            return (Interval){0, 1};
        }
        ProverMark mark = prover_mark(f);
        prover_assume(f, s->args[0], true);
        Interval x = interval_of(f, s->args[1]);
        prover_release(f, mark);
        prover_assume(f, s->args[0], false);
        Interval y = interval_of(f, s->args[2]);
        prover_release(f, mark);
        return hull(x, y);
    }
    case OP_real:
    case OP_stop:
        return a;
    case OP_f32:
        return map_monotone(a, to_float, -INFINITY);
    default:
        return s->type == TYPE_BOOL ? (Interval){0, 1} : anything;
    }
}

static Interval interval_of(Prover *f, const Scalar *s)
{
    switch (s->op) {
    case OP_CONST: {
        double v = s->type == TYPE_INT || s->type == TYPE_BOOL ? (double)s->inum : s->num;
        return isnan(v) ? anything : (Interval){v, v};
    }
    case OP_LETTER: {
        if (!f->letters) {
            return (Interval){0, INFINITY};
        }
        int64_t n = axis_bound(f->letters[s->inum].axis);
        return (Interval){0, n < 0 ? INFINITY : (double)(n > 0 ? n - 1 : 0)};
    }
    case OP_LOAD:
        return interval_of_load(s->tensor);
    case OP_SIZE:
        return interval_of_size(s);
    case OP_PART:
        return (Interval){0, s->axis->nparts - 1};
    case OP_LOCAL: {
        int part = known_part(f, s);
        int64_t n = 0;
        for (int p = 0; p < s->axis->nparts && n >= 0; p++) {
            int64_t size = axis_bound(s->axis->parts[p]);
            if (part < 0 || p == part) {
                n = size < 0 ? -1 : size > n ? size : n;
            }
        }
        return (Interval){0, n < 0 ? INFINITY : (double)(n > 0 ? n - 1 : 0)};
    }
    case OP_RAND:
        return (Interval){0, 1 - 0x1p-24};
    case OP_STEP:
        return (Interval){0, s->ntable};
    case OP_SELF:
    case OP_INJECT: {
        int64_t n = s->op == OP_INJECT ? axis_bound(s->axis) : -1;
        return (Interval){0, n < 0 ? INFINITY : (double)(n > 0 ? n - 1 : 0)};
    }
    default:
        break;
    }
    Interval i = interval_of_function(f, s);
    return isnan(i.lo) || isnan(i.hi) ? anything : i;
}

/* ---- proofs ---- */

static Interval lin_interval(Prover *f, const Lin *l)
{
    Interval sum = {(double)l->c, (double)l->c};
    for (int i = 0; i < l->n; i++) {
        Interval a = product((Interval){(double)l->t[i].k, (double)l->t[i].k}, interval_of(f, l->t[i].atom));
        sum.lo += a.lo;
        sum.hi += a.hi;
    }
    return isnan(sum.lo) || isnan(sum.hi) ? anything : sum;
}

static bool prove(Prover *f, const Lin *l, int depth)
{
    if (l->bad) {
        return false;
    }
    if (lin_interval(f, l).lo >= 0) {
        return true;
    }
    if (!depth || ++f->tries > MAX_TRIES) {
        return false;
    }
    for (int i = 0; i < l->n; i++) {
        for (int j = 0; j < f->nfacts; j++) {
            Lin fact = f->facts[j]; /* a copy: linear forms of new atoms may move the array */
            for (int t = 0; t < fact.n; t++) {
                int64_t k = l->t[i].k, kf = fact.t[t].k;
                if (fact.t[t].atom != l->t[i].atom || (k > 0) != (kf > 0) || k % kf) {
                    continue;
                }
                Lin rest = *l;
                lin_add_lin(&rest, -(k / kf), &fact);
                if (prove(f, &rest, depth - 1)) {
                    return true;
                }
            }
        }
    }
    return false;
}

bool prover_at_least(Prover *f, const Scalar *a, const Scalar *b, int64_t d)
{
    Lin l = {.c = -d};
    linearize(f, &l, 1, a);
    linearize(f, &l, -1, b);
    f->tries = 0;
    for (int depth = 0; depth <= MAX_DEPTH; depth++) { /* short proofs first */
        if (prove(f, &l, depth)) {
            return true;
        }
        if (f->tries > MAX_TRIES) {
            return false;
        }
    }
    return false;
}

Interval prover_interval(Prover *f, const Scalar *s)
{
    if (f->depth > 8) {
        return anything;
    }
    f->depth++;
    Interval i = interval_of(f, s);
    if (s->type == TYPE_INT && s->op != OP_CONST) { /* the linear form may cancel what the tree does not */
        Lin l = lin_of(f, s);
        if (!l.bad) {
            i = meet(i, lin_interval(f, &l));
        }
    }
    f->depth--;
    return i;
}

static bool decided(Prover *f, const Scalar *c, bool value)
{
    for (int i = 0; i < f->nknown; i++) {
        if (f->known[i].cond == c && f->known[i].value == value) {
            return true;
        }
    }
    switch (c->op) {
    case OP_CONST:
        return (c->inum != 0) == value;
    case OP_not:
        return decided(f, c->args[0], !value);
    case OP_and:
    case OP_or:
        if (value == (c->op == OP_and)) {
            return decided(f, c->args[0], value) && decided(f, c->args[1], value);
        }
        return decided(f, c->args[0], value) || decided(f, c->args[1], value);
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
        break;
    default:
        return false;
    }
    const Scalar *a = c->args[0], *b = c->args[1];
    if (a->type != TYPE_INT || b->type != TYPE_INT) {
        return false;
    }
    switch (c->op) {
    case OP_lt:
        return value ? prover_at_least(f, b, a, 1) : prover_at_least(f, a, b, 0);
    case OP_le:
        return value ? prover_at_least(f, b, a, 0) : prover_at_least(f, a, b, 1);
    default:
        if (value == (c->op == OP_eq)) {
            return prover_at_least(f, a, b, 0) && prover_at_least(f, b, a, 0);
        }
        return prover_at_least(f, a, b, 1) || prover_at_least(f, b, a, 1);
    }
}

bool prover_holds(Prover *f, const Scalar *cond)
{
    return decided(f, cond, true);
}

bool prover_fails(Prover *f, const Scalar *cond)
{
    return decided(f, cond, false);
}

/* The size of dim k of a tensor where a load reads it. */
static Scalar *dim_size(const Prover *f, const Scalar *load, int k)
{
    Graph *g = f->g;
    const Tensor *t = load->tensor;
    Axis *a = t->dims[k];
    if (!axis_needs_parent(a)) {
        return sc_size(g, a, 0, NULL);
    }
    Scalar *args[MAX_DIMS + 1];
    int n = 0, chain[MAX_DIMS], nchain = 0;
    bool batched = g->batched && t->per_example;
    if (axis_is_ragged(a) && (batched || load->at)) {
        args[n++] = load->args[0];
    } else if (axis_is_ragged(a) && f->batch_letter >= 0) {
        args[n++] = sc_letter(g, f->batch_letter);
    }
    for (const Axis *p = a; (p->kind == AXIS_RAGGED || p->kind == AXIS_TABLE) && p->parent; p = p->parent) {
        int m = 0;
        while (m < t->ndim && t->dims[m] != p->parent) {
            m++;
        }
        if (m == t->ndim) {
            return NULL;
        }
        chain[nchain++] = m;
    }
    while (nchain) {
        args[n++] = load->args[chain[--nchain] + load->at];
    }
    return sc_size(g, a, n, args);
}

bool prover_in_range(Prover *f, const Scalar *load, int *which)
{
    for (int k = 0; k < load->tensor->ndim; k++) {
        const Scalar *index = load->args[k + load->at];
        const Axis *a = load->tensor->dims[k];
        Scalar *size = dim_size(f, load, k);
        /* A vocabulary whose size the data will tell; an id in a table of vocabularies, checked when it is loaded. */
        bool unknown = (a->kind == AXIS_FIXED && a->size < 0) ||
                       (a->kind == AXIS_TABLE && index->op == OP_LOAD && index->tensor->role == ROLE_INPUT);
        bool checked = index->op == OP_LETTER && f->letters && f->letters[index->inum].axis == a &&
                       !axis_needs_parent(a);
        if (checked || unknown) {
            continue;
        }
        *which = k;
        if (!size || !prover_at_least(f, index, sc_int(f->g, 0), 0) || !prover_at_least(f, size, index, 1)) {
            return false;
        }
    }
    return true;
}
