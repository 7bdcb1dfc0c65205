/* The proof behind prefix.c: which sums are weighted by a step function of an ascending list.
 *
 * It asks that the weight depends on j only through one step function, this on j only through lists declared ascending,
 * monotonically or through the distance from somewhere; that the rest does not depend on what else the step function
 * does; and that the domain of a row ends somewhere, and has no gaps that depend on the row. */
#include "intervals.h"
#include "prefix.h"

#include <string.h>

/* LEAST: positions a list may have at least, cells of a row of v at least, for it to pay. */
enum { LEAST_POSITIONS = 64, LEAST_ROW = 8 };

/* ---- expressions ---- */

typedef struct {
    int letter, n;
    const Scalar *step;
} Steps;

static void find_step(const Scalar *s, void *ctx)
{
    Steps *f = ctx;
    if (s->op == OP_STEP && sc_uses_letter(s, f->letter)) {
        f->step = s;
        f->n++;
    }
}

static Steps steps_of(const Scalar *s, int letter)
{
    Steps f = {.letter = letter};
    sc_walk(s, find_step, &f);
    return f;
}

/* Coefficient of j in an integer: -1, 0, 1, or 2 for anything else. */
static int coefficient(const Scalar *s, int j)
{
    if (!sc_uses_letter(s, j)) {
        return 0;
    }
    if (s->op == OP_LETTER) {
        return 1;
    }
    if (s->op != OP_add && s->op != OP_sub) {
        return 2;
    }
    int a = coefficient(s->args[0], j), b = coefficient(s->args[1], j);
    int c = a == 2 || b == 2 ? 2 : s->op == OP_add ? a + b : a - b;
    return c < -1 || c > 1 ? 2 : c;
}

/* How s moves when j does: 1 never falls, -1 never rises, 0 stands still, 2: falls, then rises; 3 anything. */
static int direction(const Scalar *s, int j, const char **why)
{
    if (!sc_uses_letter(s, j)) {
        return 0;
    }
    int a = 3, b = 3;
    switch (s->op) {
    case OP_LOAD: {
        const Scalar *last = s->args[s->nargs - 1];
        for (int d = 0; d < s->nargs - 1; d++) {
            if (sc_uses_letter(s->args[d], j)) {
                return 3;
            }
        }
        if (!s->tensor->is_ascending) {
            *why = "a step function in it is of a list that is not declared ascending";
        }
        return s->tensor->is_ascending && coefficient(last, j) != 2 ? coefficient(last, j) : 3;
    }
    case OP_add:
    case OP_sub:
        a = direction(s->args[0], j, why);
        b = direction(s->args[1], j, why);
        if (a > 1 || b > 1) {
            return 3;
        }
        b = s->op == OP_sub ? -b : b;
        return a == 0 || b == 0 || a == b ? a | b : 3;
    case OP_neg:
        a = direction(s->args[0], j, why);
        return a < 2 ? -a : 3;
    case OP_abs:
        a = direction(s->args[0], j, why);
        return a < 2 ? 2 : 3;
    case OP_max:
    case OP_min:
    case OP_mul:
    case OP_idiv:
        if (s->args[1]->op == OP_CONST && s->args[1]->type == TYPE_INT &&
            (s->op == OP_max || s->op == OP_min || s->args[1]->inum > 0)) {
            return direction(s->args[0], j, why);
        }
        return 3;
    default:
        return 3;
    }
}

/* ---- definitions ---- */

/* The index expressions of a load in place of the letters of a definition; *peel: a dim that the definition has for one
 * member only and the load for all, or -1. */
static bool match_definition(const Sum *s, const Scalar *load, const Equation *def, Scalar **map, int *peel)
{
    *peel = -1;
    memset(map, 0, MAX_LETTERS * sizeof *map);
    if (def->op != RED_NONE || s->p->in_cycle[def->id]) {
        return false;
    }
    for (int d = 0; d < load->nargs; d++) {
        Scalar *at = load->args[d];
        const Scalar *lhs = def->lhs[d];
        if (lhs->op == OP_LETTER && !map[lhs->inum]) {
            map[lhs->inum] = at;
        } else if (lhs->op == OP_CONST && at->op == OP_LETTER && *peel < 0) {
            *peel = d;
        } else if (lhs->op != OP_CONST || at->op != OP_CONST || lhs->inum != at->inum) {
            return false;
        }
    }
    for (int l = 0; l < def->nletters; l++) {
        if (!map[l]) {
            return false;
        }
    }
    return true;
}

static bool holds_there(const Sum *s, const Equation *def, Scalar **map)
{
    Graph *g = s->p->g;
    Prover *facts = prover_new(g, s->e, s->e->nconds);
    bool ok = true;
    for (int i = 0; i < def->nconds && ok; i++) {
        Scalar *c = fold_substitute(g, def->conds[i], def->nletters, map);
        for (int k = 0; k < s->e->nconds; k++) {
            ok = ok && c != s->e->conds[k];
        }
        ok = !ok || prover_holds(facts, c);
    }
    prover_free(facts);
    return ok;
}

static Scalar *resolve(Sum *s, Scalar *x, int depth);

static Scalar *look_up(Sum *s, const Scalar *load, const Equation *def, int depth, int *peel)
{
    Scalar *map[MAX_LETTERS];
    const Tensor *t = load->tensor;
    if (depth > 6 || t->role != ROLE_VALUE || t->is_draw || load->at || !match_definition(s, load, def, map, peel) ||
        !holds_there(s, def, map)) {
        return NULL;
    }
    return resolve(s, fold_substitute(s->p->g, def->body, def->nletters, map), depth + 1);
}

/* Named parts of a weight in place of their names, where a step function of j hides behind them. */
static Scalar *resolve(Sum *s, Scalar *x, int depth)
{
    if (!x->nargs || !sc_uses_letter(x, s->j)) {
        return x;
    }
    Scalar *args[MAX_LETTERS + 2];
    for (int i = 0; i < x->nargs; i++) {
        args[i] = resolve(s, x->args[i], depth);
    }
    x = sc_rebuild(s->p->g, x, args);
    if (x->op != OP_LOAD || x->tensor->role != ROLE_VALUE || x->tensor->id >= s->p->ntensors) {
        return x;
    }
    Equation **defs = s->p->defs[x->tensor->id];
    for (int k = 0; defs && defs[k]; k++) {
        int peel;
        Scalar *found = look_up(s, x, defs[k], depth, &peel);
        if (found && peel < 0 && steps_of(found, s->j).n > 0) {
            return found;
        }
    }
    return x;
}

Scalar *prefix_look_up(Sum *s, const Scalar *load, const Equation *def, int *peel)
{
    return look_up(s, load, def, 0, peel);
}

/* ---- the proof ---- */

static bool stands_bare_on_the_left(const Equation *e, int l)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        if (e->lhs[d]->op == OP_LETTER && e->lhs[d]->inum == l) {
            return true;
        }
    }
    return false;
}

bool prefix_take_factors(Sum *s, Scalar *x)
{
    if (x->op == OP_mul && x->type == TYPE_REAL) {
        return prefix_take_factors(s, x->args[0]) && prefix_take_factors(s, x->args[1]);
    }
    if (s->n == MAX_FACTORS) {
        return false;
    }
    s->factor[s->n++] = x;
    return true;
}

/* A condition that holds for j if it holds for j + 1. */
static bool ends_somewhere(const Scalar *c, int j)
{
    bool negated = c->op == OP_not;
    const Scalar *x = negated ? c->args[0] : c;
    if ((x->op != OP_lt && x->op != OP_le) || x->args[0]->type != TYPE_INT || x->args[1]->type != TYPE_INT) {
        return false;
    }
    int a = coefficient(x->args[0], j), b = coefficient(x->args[1], j);
    return a != 2 && b != 2 && (negated ? b - a : a - b) == 1;
}

bool prefix_is_of_row(const Sum *s, const Scalar *c)
{
    return sc_letters(c) & s->rows;
}

/* v: the other factors that use j, under the conditions on j alone. Sets s->row. */
static bool check_values(Sum *s)
{
    const Equation *e = s->e;
    unsigned own = 1u << s->example | 1u << s->j;
    double cells = 1;
    s->row = 0;
    for (int i = 0; i < s->n; i++) {
        if (i != s->which && sc_uses_letter(s->factor[i], s->j)) {
            s->row |= sc_letters(s->factor[i]) & ~own;
        }
    }
    for (int l = 0; l < e->nletters; l++) {
        if (s->row >> l & 1) {
            const Axis *a = e->letters[l].axis;
            if (a->kind != AXIS_FIXED || e->letters[l].parent >= 0 || equation_is_parent(e, l)) {
                return false;
            }
            cells *= (double)(a->size > 0 ? a->size : 0);
        }
    }
    return !(s->row & s->rows) && cells >= LEAST_ROW;
}

static bool check_domain(Sum *s)
{
    const Equation *e = s->e;
    for (int i = 0; i < e->nconds; i++) {
        const Scalar *c = e->conds[i];
        unsigned set = sc_letters(c), own = 1u << s->example | 1u << s->j;
        if (!(set >> s->j & 1)) {
            continue;
        }
        if (prefix_is_of_row(s, c) ? !ends_somewhere(c, s->j) || set & ~(own | s->rows) : set & ~(own | s->row)) {
            s->why = "the terms that a row sums are not all up to some position";
            return false;
        }
    }
    return true;
}

/* Whether the weight, in which names are resolved, is what the proof asks for. */
static bool check_weight(Sum *s, Scalar *weight)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    Steps f = steps_of(weight, s->j);
    if (f.n != 1 || weight->type != TYPE_REAL ||
        sc_uses_letter(fold(g, sc_swap(g, weight, f.step, sc_int(g, 0))), s->j)) {
        return false;
    }
    s->weight = weight;
    s->step = f.step;
    s->rows = sc_letters(f.step) & ~(1u << s->example | 1u << s->j);
    for (int i = 0; i < e->nconds; i++) { /* rows may also differ in where they end */
        unsigned set = sc_letters(e->conds[i]);
        s->rows |= set >> s->j & 1 && ends_somewhere(e->conds[i], s->j) ? set & ~(1u << s->example | 1u << s->j) : 0;
    }
    int nrows = 0;
    for (int l = 0; l < e->nletters; l++) {
        bool used = s->rows >> l & 1;
        nrows += used;
        if (used && (l == s->peeled || equation_is_parent(e, l) ||
                     (axis_needs_parent(e->letters[l].axis) && e->letters[l].parent != s->example))) {
            return false;
        }
    }
    if (!(sc_letters(f.step) & s->rows) || nrows + 2 > MAX_DIMS || !check_values(s)) {
        return false;
    }
    int d = direction(f.step->args[0], s->j, &s->why);
    if (d == 3) {
        s->why =
            s->why ? s->why : "a step function in it is of a value that is not seen to rise or fall along the list";
        return false;
    }
    s->pieces = d == 2 ? 2 : 1;
    return check_domain(s);
}

bool prefix_take_case(Sum *s, const Scalar *load, const Equation *def, int dim)
{
    const Equation *e = s->e;
    int l = (int)load->args[dim]->inum;
    s->peeled = l;
    s->member = def->lhs[dim]->inum;
    if (e->letters[l].axis->kind != AXIS_FIXED || !stands_bare_on_the_left(e, l) || equation_is_parent(e, l)) {
        return false;
    }
    for (int i = 0; i < e->nconds; i++) {
        if (e->conds[i]->op == OP_ne && e->conds[i]->args[0] == load->args[dim] &&
            sc_is_const(e->conds[i]->args[1], (double)s->member)) {
            return false;
        }
    }
    return true;
}

static bool look_at_factor(Sum *s, int which)
{
    Scalar *x = s->factor[which];
    s->which = which;
    s->peeled = -1;
    if (!sc_uses_letter(x, s->j)) {
        return false;
    }
    if (check_weight(s, resolve(s, x, 0))) {
        return true;
    }
    Equation **defs = x->op == OP_LOAD && x->tensor->id < s->p->ntensors ? s->p->defs[x->tensor->id] : NULL;
    for (int k = 0; defs && defs[k]; k++) {
        int peel;
        Scalar *found = look_up(s, x, defs[k], 0, &peel);
        if (!found || peel < 0) {
            continue;
        }
        if (prefix_take_case(s, x, defs[k], peel) && check_weight(s, found)) {
            return true;
        }
    }
    return false;
}

bool prefix_find_sum(Prefix *p, const Equation *e, Sum *s)
{
    *s = (Sum){.p = p, .e = e};
    if (e->op != RED_SUM || e->dst->elem != ELEM_REAL || e->body->type != TYPE_REAL || !e->dst->per_example ||
        e->lhs[0]->op != OP_LETTER || equation_has_keyed_lhs(e) || p->in_cycle[e->id] ||
        !prefix_take_factors(s, e->body) || e->nletters == MAX_LETTERS) {
        return false;
    }
    s->example = (int)e->lhs[0]->inum;
    for (s->j = 0; s->j < e->nletters; s->j++) {
        const Letter *l = &e->letters[s->j];
        if (equation_is_output(e, s->j) || l->axis->kind != AXIS_RAGGED || l->axis->parent || l->parent != s->example ||
            equation_is_parent(e, s->j) || axis_bound(l->axis) < LEAST_POSITIONS) {
            continue;
        }
        for (int i = 0; i < s->n; i++) {
            if (look_at_factor(s, i)) {
                return true;
            }
        }
    }
    return false;
}
