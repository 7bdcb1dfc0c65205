/* convolve: sums over a list that weigh by distance alone become equations of their own, which a kernel computes by
 * transforms (convolution.h). Needs: batch. Before differentiate, so that gradients are such equations, too.
 *
 *     a[b,0,i,j]   = w[N - 1 + j - i]                          where j <= i
 *     o[b,i,c,f]   sum= a[b,c,i,j] * v[b,j,f]    over j        where j <= i
 *
 *         =>  by[l]        = w[N - 1 - l]                      one for each distance
 *             o[b,i,0,f]   sum= by[i - j] * v[b,j,f]           where j <= i
 *             o[b,i,c,f]   sum= a[b,c,i,j] * v[b,j,f]          where c != 0, j <= i
 *
 * A weight is by distance if all that it reads of the two positions are differences of them. Values that are not one
 * load, and domains that are more than a direction, stay dense: windows, because a transform would let what lies
 * outside change the last bit of what lies inside. */
#include "convolution.h"
#include "prefix.h"
#include "prover.h"

#include <string.h>

enum { MOST_CASES = 64 };

typedef struct {
    Sum s;
    int i, later, earlier;
    int64_t first;
    Scalar *weight, *value;
} Candidate;

/* Whether a - b of two letters, or none of them, is all that an integer has of them. */
static bool is_difference(const Candidate *c, const Scalar *x)
{
    Prover *f = prover_new(c->s.p->g, c->s.e, 0);
    Lin l = {0};
    prover_linearize(f, &l, 1, x);
    prover_free(f);
    int64_t sum = 0;
    for (int k = 0; k < l.n && !l.bad; k++) {
        const Scalar *atom = l.t[k].atom;
        bool is_position = atom->op == OP_LETTER && (atom->inum == c->later || atom->inum == c->earlier);
        sum += is_position ? l.t[k].k : 0;
        l.bad = !is_position && (sc_uses_letter(atom, c->later) || sc_uses_letter(atom, c->earlier));
    }
    return !l.bad && sum == 0;
}

static bool is_by_distance(const Candidate *c, const Scalar *x)
{
    if (!sc_uses_letter(x, c->later) && !sc_uses_letter(x, c->earlier)) {
        return x->op != OP_LOAD || !x->tensor->per_example;
    }
    if (x->type == TYPE_INT && is_difference(c, x)) {
        return true;
    }
    if (x->nargs == 0 || x->op == OP_RAND || (x->op == OP_LOAD && x->tensor->per_example)) {
        return false;
    }
    for (int k = 0; k < x->nargs; k++) {
        if (!is_by_distance(c, x->args[k])) {
            return false;
        }
    }
    return true;
}

/* The condition that says which position is later, and no other one on them. */
static bool take_domain(Candidate *c)
{
    const Equation *e = c->s.e;
    int found = 0;
    for (int k = 0; k < e->nconds; k++) {
        if (!sc_uses_letter(e->conds[k], c->s.j)) {
            continue;
        }
        found++;
        if (!distance_condition(c->s.p->g, e, e->conds[k], &c->later, &c->earlier, &c->first)) {
            return false;
        }
    }
    c->i = c->later == c->s.j ? c->earlier : c->later;
    if (found != 1 || !equation_is_output(e, c->i) || e->letters[c->i].axis != e->letters[c->s.j].axis) {
        return false;
    }
    for (int k = 0; k < e->nconds; k++) {
        if (sc_uses_letter(e->conds[k], c->i) && !sc_uses_letter(e->conds[k], c->s.j)) {
            return false;
        }
    }
    return true;
}

/* The weight of distance l: later stands l positions behind the first. */
static Scalar *at_distance(const Candidate *c, Scalar *l)
{
    Scalar *map[MAX_LETTERS] = {0};
    map[c->later] = l;
    map[c->earlier] = sc_int(c->s.p->g, 0);
    return fold_substitute(c->s.p->g, c->weight, c->s.e->nletters, map);
}

static void check_load(const Scalar *load, void *ctx)
{
    Prover *f = ((void **)ctx)[0];
    bool *ok = ((void **)ctx)[1];
    int which;
    *ok = *ok && prover_in_range(f, load, &which);
}

static bool loads_are_in_range(Graph *g, const Equation *e)
{
    bool ok = true;
    Prover *f = prover_new(g, e, e->nconds);
    void *ctx[2] = {f, &ok};
    equation_loads(e, check_load, ctx);
    prover_free(f);
    return ok;
}

/* The equation that a draft would be. */
static Equation equation_of(Draft *d)
{
    Draft settled = draft_settle(d);
    settled.e.conds = settled.conds;
    settled.e.nconds = settled.nconds;
    return settled.e;
}

/* The weights as a tensor of their own, read at the distance; NULL: some would lie outside of what they read. */
static Scalar *make_weights(Candidate *c)
{
    Graph *g = c->s.p->g;
    const Equation *e = c->s.e;
    unsigned set = sc_letters(c->weight) & ~(1u << c->later | 1u << c->earlier);
    Axis *dims[MAX_DIMS];
    Scalar *index[MAX_DIMS];
    int n = 0;
    Draft d = draft_new(g, NULL, RED_NONE, e->span);
    d.e.nletters = e->nletters;
    memcpy(d.e.letters, e->letters, sizeof d.e.letters);
    for (int l = 0; l < e->nletters; l++) {
        d.gone[l] = !(set >> l & 1);
        if (set >> l & 1) {
            dims[n] = e->letters[l].axis;
            index[n++] = sc_letter(g, l);
        }
    }
    Axis distances = {.name = "distances", .kind = AXIS_FIXED, .is_distance = true};
    distances.size = axis_bound(e->letters[c->s.j].axis);
    dims[n] = prefix_axis(c->s.p, distances);
    index[n] = sc_letter(g, draft_letter(&d, (Letter){dims[n], "l", -1}));
    memcpy(d.e.lhs, index, (size_t)(n + 1) * sizeof *index);
    if (c->first > 0) {
        draft_cond(&d, sc_op(g, OP_le, sc_int(g, c->first), index[n]));
    }
    d.e.body = at_distance(c, index[n]);
    d.e.dst = prefix_tensor(&c->s, "weights", ELEM_REAL, 0, -1, n + 1, dims);
    Equation made = equation_of(&d);
    if (!loads_are_in_range(g, &made)) {
        return NULL;
    }
    draft_commit(&d);
    index[n] = sc_op(g, OP_sub, sc_letter(g, c->later), sc_letter(g, c->earlier));
    return sc_load(g, d.e.dst, n + 1, index);
}

/* Makes the equation of the case, or of the whole sum. False: it is no convolution after all. */
static bool rewrite(Candidate *c, Equation *e)
{
    Graph *g = c->s.p->g;
    Scalar *weight = make_weights(c);
    if (!weight) {
        return false;
    }
    Draft d = draft_from(g, e);
    d.e.body = sc_op(g, OP_mul, weight, c->value);
    if (c->s.peeled >= 0) {
        draft_replace(&d, c->s.peeled, sc_int(g, c->s.member));
    }
    Equation made = equation_of(&d);
    Convolution match;
    if (!convolution_match(g, &made, &match)) {
        return false;
    }
    if (c->s.peeled >= 0) {
        draft_commit(&d);
        prefix_keep_other_members(&c->s, e);
    } else {
        draft_store(&d, e);
    }
    return true;
}

/* The last index of what is summed and of the sum is one letter, with enough columns, that moves no weight. */
static bool has_columns(const Candidate *c, const Equation *e)
{
    const Scalar *column = e->lhs[e->dst->ndim - 1], *v = c->value;
    return column->op == OP_LETTER && v->op == OP_LOAD && v->nargs > 0 && v->args[v->nargs - 1] == column &&
           axis_bound(e->letters[column->inum].axis) >= CONVOLUTION_COLUMNS &&
           !sc_uses_letter(c->weight, (int)column->inum);
}

static bool try_weight(Candidate *c, Equation *e, Scalar *weight)
{
    c->weight = weight;
    bool uses = sc_uses_letter(weight, c->later) && sc_uses_letter(weight, c->earlier);
    return uses && weight->type == TYPE_REAL && has_columns(c, e) && is_by_distance(c, weight) && rewrite(c, e);
}

/* The factor as the weight: as it stands, or as it is defined for one member. */
static bool try_factor(Candidate *c, Equation *e, int which)
{
    Prefix *p = c->s.p;
    Scalar *x = c->s.factor[which];
    c->s.which = which;
    c->s.peeled = -1;
    c->value = c->s.factor[!which];
    if (try_weight(c, e, x)) {
        return true;
    }
    Equation **defs = x->op == OP_LOAD && x->tensor->id < p->ntensors ? p->defs[x->tensor->id] : NULL;
    for (int k = 0; defs && defs[k]; k++) {
        int peel;
        Scalar *found = prefix_look_up(&c->s, x, defs[k], &peel);
        c->s.peeled = -1;
        if (found && (peel < 0 || prefix_take_case(&c->s, x, defs[k], peel)) && try_weight(c, e, found)) {
            return true;
        }
    }
    return false;
}

static bool convolve(Prefix *p, Equation *e)
{
    Candidate c = {.s = {.p = p, .e = e}};
    Convolution done;
    if (convolution_match(p->g, e, &done) || e->op != RED_SUM || e->dst->elem != ELEM_REAL ||
        e->body->type != TYPE_REAL || !e->dst->per_example || e->lhs[0]->op != OP_LETTER || equation_has_keyed_lhs(e) ||
        p->in_cycle[e->id] || !prefix_take_factors(&c.s, e->body) || c.s.n != 2 || e->nletters == MAX_LETTERS) {
        return false;
    }
    c.s.example = (int)e->lhs[0]->inum;
    int reduced = 0;
    for (int l = 0; l < e->nletters; l++) {
        if (!equation_is_output(e, l)) {
            reduced++;
            c.s.j = l;
        }
    }
    if (reduced != 1 || axis_bound(e->letters[c.s.j].axis) < CONVOLUTION_POSITIONS || !take_domain(&c)) {
        return false;
    }
    return try_factor(&c, e, 0) || try_factor(&c, e, 1);
}

void pass_convolve(Graph *g)
{
    Prefix p = prefix_start(g);
    int n = g->nequations;
    bool any = false;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        for (int cases = 0; cases < MOST_CASES && !p.gone[i] && convolve(&p, e); cases++) {
            any = true;
        }
    }
    if (any) {
        prefix_drop_unread_cases(&p);
        graph_reorder(g);
    }
}
