/* Proofs: to show that a linear form is >= 0 its atoms are bounded by their intervals; if that does not suffice, a fact
 * that cancels an atom is subtracted and the rest is tried, a few times deep. */
#include "prover.h"

static Lin lin_of(Prover *f, const Scalar *s)
{
    Lin l = {0};
    prover_linearize(f, &l, 1, s);
    return l;
}

static Interval meet(Interval a, Interval b)
{
    Interval m = {fmax(a.lo, b.lo), fmin(a.hi, b.hi)};
    return m.lo <= m.hi ? m : a; /* a contradiction: the place is never reached, any answer is right */
}

static Interval lin_interval(Prover *f, const Lin *l)
{
    Interval sum = {(double)l->c, (double)l->c};
    for (int i = 0; i < l->n; i++) {
        Interval a = interval_product((Interval){(double)l->t[i].k, (double)l->t[i].k}, prover_bounds(f, l->t[i].atom));
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
    if (f->nothing) {
        return true;
    }
    Lin l = {.c = -d};
    prover_linearize(f, &l, 1, a);
    prover_linearize(f, &l, -1, b);
    if (f->nested++ == 0) {
        f->tries = 0;
    }
    bool proven = false;
    for (int depth = 0; depth <= f->max_depth && !proven && f->tries <= MAX_TRIES; depth++) { /* short proofs first */
        proven = prove(f, &l, depth);
    }
    f->nested--;
    return proven;
}

Interval prover_interval(Prover *f, const Scalar *s)
{
    if (f->depth > 8) {
        return anything;
    }
    f->depth++;
    Interval i = prover_bounds(f, s);
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
    if (f->nothing) {
        return true;
    }
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

/* A vocabulary whose size the data will tell, or a sum of axes with one among its parts: the front end has proven
 * what is an id of it by its kind alone. */
static bool size_is_unknown(const Axis *a)
{
    for (int p = 0; a->kind == AXIS_SUM && p < a->nparts; p++) {
        if (size_is_unknown(a->parts[p])) {
            return true;
        }
    }
    return a->kind == AXIS_FIXED && a->size < 0;
}

/* A letter of the axis, this example of the batch, or either as a token of a sum of axes. */
static bool in_range_by_kind(const Prover *f, const Scalar *index, const Axis *a)
{
    switch (index->op) {
    case OP_LETTER:
        return f->letters && f->letters[index->inum].axis == a && !axis_needs_parent(a);
    case OP_SELF:
        return a->kind == AXIS_BATCH;
    case OP_INJECT:
        return index->axis == a && in_range_by_kind(f, index->args[0], a->parts[index->inum]);
    default:
        return false;
    }
}

bool prover_in_range(Prover *f, const Scalar *load, int *which)
{
    for (int k = 0; k < load->tensor->ndim; k++) {
        const Scalar *index = load->args[k + load->at];
        const Axis *a = load->tensor->dims[k];
        Scalar *size = dim_size(f, load, k);
        /* An id in a table of vocabularies is checked when it is loaded. */
        bool unknown =
            size_is_unknown(a) || (a->kind == AXIS_TABLE && index->op == OP_LOAD && index->tensor->role == ROLE_INPUT);
        if (unknown || in_range_by_kind(f, index, a)) {
            continue;
        }
        *which = k;
        if (!size || !prover_at_least(f, index, sc_int(f->g, 0), 0) || !prover_at_least(f, size, index, 1)) {
            return false;
        }
    }
    return true;
}

bool prover_is_safe(Prover *f, const Scalar *s)
{
    for (int i = 0; i < s->nargs; i++) {
        bool guarded = i && (s->op == OP_select || s->op == OP_and || s->op == OP_or);
        ProverMark mark = prover_mark(f);
        if (guarded) {
            prover_assume(f, s->args[0], s->op == OP_select ? i == 1 : s->op == OP_and);
        }
        bool ok = prover_is_safe(f, s->args[i]);
        if (guarded) {
            prover_release(f, mark);
        }
        if (!ok) {
            return false;
        }
    }
    int which;
    return s->op != OP_LOAD || prover_in_range(f, s, &which);
}
