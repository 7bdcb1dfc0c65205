/* Where a contribution goes. An equation reads T[f] for every tuple of its letters; the adjoint of T receives the sum
 * over all tuples that read an element. The left-hand side of that sum is f itself; each index of it is brought into
 * the plainest form that is the same set of pairs (tuple, element):
 *
 *   T[i]              over the letter's own axis       output letter i
 *   T[i] again, or over another axis                   a new output letter r, i := r, where r is a position of i
 *   T[i + c]          c constant                       r, i := r - c, where r - c is a position of i
 *   T[local(a)]       a over a sum of axes, in part p  r over the part, a := inject(p, r)
 *   T[inject(p, ..)]                                   one part of the result: inject(p, inverse of ..)
 *   T[3]                                               a constant: one case of the result
 *   anything else                                      a keyed sum: the index stays an expression of reduced letters
 *
 * An inverted shift keeps the adjoint of a recurrence a recurrence, running the other way. */
#include "adjoint.h"
#include "fault.h"

typedef struct {
    Draft *d;
    bool placed[MAX_DIMS];
    bool needs_letter[MAX_DIMS]; /* a ragged or table dim of the tensor is read at this one */
    bool taken[MAX_LETTERS];     /* already an output letter */
} Placing;

/* index = sign * base + shift, base a letter or the local part of one */
typedef struct {
    const Scalar *base;
    int sign;
    int64_t shift;
} Affine;

static bool is_base(const Scalar *s)
{
    return s->op == OP_LETTER || (s->op == OP_LOCAL && s->args[0]->op == OP_LETTER);
}

static bool match_affine(const Scalar *s, Affine *out)
{
    if (is_base(s)) {
        *out = (Affine){s, 1, 0};
        return true;
    }
    if ((s->op != OP_add && s->op != OP_sub) || s->type != TYPE_INT) {
        return false;
    }
    const Scalar *a = s->args[0], *b = s->args[1];
    if (is_base(a) && b->op == OP_CONST && b->inum != INT64_MIN) {
        *out = (Affine){a, 1, s->op == OP_add ? b->inum : -b->inum};
        return true;
    }
    if (is_base(b) && a->op == OP_CONST) {
        *out = (Affine){b, s->op == OP_add ? 1 : -1, a->inum};
        return true;
    }
    return false;
}

/* The part p for which the conditions say part(letter) == p, or exclude all others; -1 if they do not. */
static int known_part(const Draft *d, const Scalar *local)
{
    unsigned possible = (1u << local->axis->nparts) - 1;
    for (int i = 0; i < d->nconds; i++) {
        const Scalar *c = d->conds[i];
        for (int side = 0; side < 2 && (c->op == OP_eq || c->op == OP_ne); side++) {
            const Scalar *x = c->args[side], *y = c->args[1 - side];
            if (x->op == OP_PART && x->axis == local->axis && x->args[0] == local->args[0] && y->op == OP_CONST &&
                y->inum >= 0 && y->inum < local->axis->nparts) {
                possible &= c->op == OP_eq ? 1u << y->inum : ~(1u << y->inum);
            }
        }
    }
    return possible && !(possible & (possible - 1)) ? __builtin_ctz(possible) : -1;
}

static Scalar *inject(Graph *g, Axis *sum, int part, Scalar *position, Scalar *example)
{
    Scalar *args[2] = {position, example};
    return sc_axis_op(g, OP_INJECT, sum, part, example && axis_is_ragged(sum) ? 2 : 1, args);
}

/* base := an expression of the new letter r. False if the old letter has to stay. */
static bool invert(Placing *p, const Affine *f, int r)
{
    Draft *d = p->d;
    Graph *g = d->graph;
    Scalar *letter = f->base->op == OP_LETTER ? g->scalars[f->base->id] : f->base->args[0];
    int old = (int)letter->inum;
    if (p->taken[old] || draft_is_parent(d, old)) {
        return false;
    }
    Scalar *size, *shift = sc_int(g, f->shift);
    Scalar *position = f->sign > 0 ? fold_op2(g, FAULT(4) ? OP_add : OP_sub, sc_letter(g, r), shift)
                                   : fold_op2(g, OP_sub, shift, sc_letter(g, r));
    Scalar *value = position;
    if (f->base->op == OP_LETTER) {
        size = letter_size(g, d->e.letters, old);
    } else {
        int part = known_part(d, f->base);
        if (part < 0) {
            return false;
        }
        Scalar *example = f->base->nargs > 1 ? f->base->args[1] : NULL;
        Letter over = {.axis = f->base->axis->parts[part], .name = "", .parent = -1};
        if (axis_needs_parent(over.axis)) {
            size = sc_size(g, over.axis, 1, &example);
        } else {
            size = letter_size(g, &over, 0);
        }
        value = inject(g, f->base->axis, part, position, example);
    }
    bool same_range = f->shift == 0 && f->sign > 0 && d->e.letters[r].axis->kind == AXIS_FIXED &&
                      size->op == OP_CONST && size->inum >= d->e.letters[r].axis->size;
    draft_replace(d, old, value);
    if (!same_range) {
        draft_cond_first(d, fold_op2(g, OP_lt, position, size));
    }
    if ((f->shift != 0 || f->sign < 0) && !FAULT(5)) {
        draft_cond_first(d, fold_op2(g, OP_le, sc_int(g, 0), position));
    }
    return true;
}

static void place(Placing *p, int k)
{
    if (p->placed[k]) {
        return;
    }
    p->placed[k] = true;
    Draft *d = p->d;
    Graph *g = d->graph;
    Tensor *t = d->e.dst;
    int parent = -1, m = parent_dim(t, k);
    if (m >= 0) {
        place(p, m);
        parent = lhs_letter(d->e.lhs[m]);
    }
    Axis *axis = t->dims[k];
    Scalar *index = d->e.lhs[k], *inner = index;
    int part = -1;
    if (index->op == OP_INJECT && index->axis == axis) {
        part = (int)index->inum;
        inner = index->args[0];
        axis = axis->parts[part];
        parent = axis_needs_parent(axis) ? parent : -1;
    }
    if (inner->op == OP_CONST && !p->needs_letter[k]) {
        return;
    }
    if (inner->op == OP_LETTER) {
        int l = (int)inner->inum;
        if (!p->taken[l] && d->e.letters[l].axis == axis && d->e.letters[l].parent == parent) {
            p->taken[l] = true;
            return;
        }
    }
    Affine f = {0};
    bool affine = match_affine(inner, &f);
    if (!affine && !p->needs_letter[k]) {
        return; /* keyed */
    }
    const char *name = affine && f.base->op == OP_LETTER ? d->e.letters[f.base->inum].name : "r";
    int r = draft_letter(d, (Letter){.axis = axis, .name = name, .parent = parent});
    if (!affine || !invert(p, &f, r)) {
        if (inner->op != OP_LETTER && !p->needs_letter[k]) {
            d->gone[r] = true; /* not needed after all: keyed */
            return;
        }
        draft_cond(d, fold_op2(g, OP_eq, sc_letter(g, r), inner));
    }
    p->taken[r] = true;
    Scalar *out = sc_letter(g, r);
    if (part >= 0) {
        out = inject(g, t->dims[k], part, out, t->per_example && axis_is_ragged(t->dims[k]) ? d->e.lhs[0] : NULL);
    }
    d->e.lhs[k] = out;
}

void contribution_place(Draft *d, const Scalar *load, Tensor *dst)
{
    Placing p = {.d = d};
    d->e.dst = dst;
    d->e.op = RED_SUM;
    for (int k = 0; k < dst->ndim; k++) {
        d->e.lhs[k] = load->args[k];
        int m = parent_dim(dst, k);
        if (m >= 0) {
            p.needs_letter[m] = true;
        }
    }
    for (int k = 0; k < dst->ndim; k++) {
        place(&p, k);
    }
    int outputs = 0, live = 0;
    for (int l = 0; l < d->e.nletters; l++) {
        outputs += p.taken[l];
        live += !d->gone[l];
    }
    if (outputs == live && !equation_has_keyed_lhs(&d->e)) {
        d->e.op = RED_NONE;
    }
}
