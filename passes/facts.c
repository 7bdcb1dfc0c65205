/* What the prover knows: an INT expression is a linear form c + sum k * atom over atoms (letters, sizes, loads and
 * whatever is not linear), and a fact is a linear form >= 0. Facts come from letters (0 <= i < size), sizes, min, max,
 * idiv, mod, value ranges, and from the conditions that hold. */
#include "prover.h"

#include <stdlib.h>
#include <string.h>

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
void lin_add_lin(Lin *l, int64_t k, const Lin *m)
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
void prover_linearize(Prover *f, Lin *l, int64_t k, const Scalar *s)
{
    int64_t x;
    switch (s->op) {
    case OP_CONST:
        l->bad |= __builtin_mul_overflow(k, s->inum, &x) || __builtin_add_overflow(l->c, x, &l->c);
        return;
    case OP_add:
        prover_linearize(f, l, k, s->args[0]);
        prover_linearize(f, l, k, s->args[1]);
        return;
    case OP_sub:
        prover_linearize(f, l, k, s->args[0]);
        prover_linearize(f, l, -k, s->args[1]);
        return;
    case OP_neg:
        prover_linearize(f, l, -k, s->args[0]);
        return;
    case OP_stop:
        prover_linearize(f, l, k, s->args[0]);
        return;
    case OP_mul:
        for (int i = 0; i < 2; i++) {
            if (s->args[i]->op == OP_CONST) {
                if (__builtin_mul_overflow(k, s->args[i]->inum, &x)) {
                    l->bad = true;
                    return;
                }
                prover_linearize(f, l, x, s->args[1 - i]);
                return;
            }
        }
        break;
    case OP_SIZE:
        if (s->axis->kind == AXIS_SUM) {
            for (int p = 0; p < s->axis->nparts; p++) {
                prover_linearize(f, l, k, part_size(f->g, s->axis->parts[p], s));
            }
            return;
        }
        s = without_example(f, s);
        break;
    case OP_INJECT:
        for (int p = 0; p < s->inum; p++) {
            prover_linearize(f, l, k, part_size(f->g, s->axis->parts[p], s));
        }
        prover_linearize(f, l, k, s->args[0]);
        return;
    default:
        break;
    }
    lin_add(l, k, s);
    know_atom(f, s);
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
    prover_linearize(f, &l, 1, a);
    if (b) {
        prover_linearize(f, &l, -1, b);
    }
    add_fact(f, &l);
}

/* The part of a sum axis that this index is known to lie in: said so, or all others excluded; -1 if unknown. */
int prover_known_part(const Prover *f, const Scalar *local)
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
            prover_linearize(f, &l, 1, s->args[0]);
            lin_add(&l, -c, s);
            add_fact(f, &l);
            Lin m = {.c = c - 1};
            prover_linearize(f, &m, -1, s->args[0]);
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
        int part = prover_known_part(f, s);
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
        if (a->op == OP_PART && prover_known_part(f, a) >= 0) {
            know_part(f, a, prover_known_part(f, a));
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

/* A quick look only: it is asked at every choice of every expression. */
static bool contradicts(Prover *f, const Scalar *cond, bool value)
{
    int depth = f->max_depth;
    f->max_depth = 1;
    bool wrong = value ? prover_fails(f, cond) : prover_holds(f, cond);
    f->max_depth = depth;
    return wrong;
}

void prover_assume(Prover *f, const Scalar *cond, bool value)
{
    f->nothing = f->nothing || contradicts(f, cond, value);
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
    return (ProverMark){f->nknown, f->nfacts, f->natoms, f->nothing};
}

/* Atoms met since the mark are forgotten with their facts, which may have rested on what was assumed. */
void prover_release(Prover *f, ProverMark mark)
{
    f->nknown = mark.known;
    f->nfacts = mark.facts;
    f->natoms = mark.atoms;
    f->nothing = mark.nothing;
}

Prover *prover_new(Graph *g, const Equation *e, int nconds)
{
    Prover *f = calloc(1, sizeof *f);
    if (!f) {
        bug("out of memory while proving");
    }
    f->g = g;
    f->max_depth = MAX_DEPTH;
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
