/* prefix: sums weighted by a step function of an ascending list become sums over its runs. Needs: batch. Before
 * differentiate, so that gradients follow by the ordinary rule.
 *
 *     o[b,i,f] sum= w[step(t[b,i] - t[b,j])] * v[b,j,f]    over j    where j <= i
 *
 * Along an ascending t the step function stands still for many neighbours j, and in such a run only a sum of v is
 * wanted. With Q the sums of v up to a position, w(j) the weight there and 0 behind the domain,
 *
 *     sum over j: w(j) * v[j]  =  sum over ends of runs j: (w(j) - w(j + 1)) * Q[j]
 *
 * which is n times as many terms as there are runs instead of n * n / 2. The equations that are made:
 *
 *     runs[b,u,i]  nth= (j + 1) * K + step(..)     the ends of runs, one behind the other; depends on no param, so it
 * is made once for all layers count[b,i]   sum= 1 where 0 < runs[b,u,i] Q[b,j,f]     = v[b,j,f] + select(0 < j,
 * Q[b,j-1,f], 0) o[b,i,f]     sum= (w[..runs[b,u,i]..] - select(u + 1 < count[b,i], w[..runs[b,u + 1,i]..], 0)) *
 * Q[b,..runs[b,u,i]..,f] where u < count[b,i]
 *
 * Sums start again after every BLOCK positions (then w(j + 1) counts as 0), so that differences of them stay as exact
 * as the sums that they replace, and a NaN in v reaches nobody whose domain ends before its block.
 *
 * The proof asks that w depends on j only through one step function, this on j only through lists declared ascending,
 * monotonically or through the distance from somewhere; that v does not depend on what else the step function does; and
 * that the domain of a row ends somewhere, and has no gaps that depend on the row. Conditions on j alone go into v.
 * Where it fails the sum stays what it was, and the reason is kept for reports. */
#include "intervals.h"
#include "rewrite.h"

#include <string.h>

/* LEAST: positions a list may have at least, cells of a row of v at least, for it to pay. */
enum { BLOCK = 256, LEAST_POSITIONS = 64, LEAST_ROW = 8, MAX_FACTORS = 8, MAX_RESOLVED = 64 };

typedef struct {
    Graph *g;
    Equation ***defs;
    const bool *in_cycle;     /* by equation id */
    int nequations, ntensors; /* that these know */
    bool *gone;               /* by equation id: all its cases were taken out */
    Axis **sizes;             /* axes made here, by size */
    int nsizes;
} Prefix;

/* One sum, and what is found out about it. */
typedef struct {
    Prefix *p;
    const Equation *e;
    int j, example;
    int peeled; /* letter that is a constant in the case at hand, or -1 */
    int64_t member;
    int n;
    Scalar *factor[MAX_FACTORS];
    int which; /* the factor that is the weight */
    Scalar *weight;
    const Scalar *step;
    unsigned rows; /* letters that the runs depend on, without the example and j */
    unsigned row;  /* letters of v, without the example and j */
    int pieces;    /* on each of which the step function's argument is monotone in j */
    const char *why;
} Sum;

/* ---- expressions ---- */

static void add_letter(const Scalar *s, void *ctx)
{
    if (s->op == OP_LETTER) {
        *(unsigned *)ctx |= 1u << s->inum;
    }
}

static unsigned letters_of(const Scalar *s)
{
    unsigned set = 0;
    sc_walk(s, add_letter, &set);
    return set;
}

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

typedef struct {
    const Scalar *from;
    Scalar *to;
} Swap;

static Scalar *swap_node(Graph *g, Scalar *s, void *ctx)
{
    const Swap *w = ctx;
    (void)g;
    return s == w->from ? w->to : s;
}

static Scalar *swap(Graph *g, Scalar *s, const Scalar *from, Scalar *to)
{
    Swap w = {from, to};
    return fold(g, sc_rewrite(g, s, swap_node, &w));
}

static Scalar *with_letter(Graph *g, Scalar *s, int nletters, int letter, Scalar *by)
{
    Scalar *map[MAX_LETTERS] = {0};
    map[letter] = by;
    return fold_substitute(g, s, nletters, map);
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

/* What the definition says at the load, or NULL. */
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

/* ---- the proof ---- */

static bool is_output_letter(const Equation *e, int l)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        if (e->lhs[d]->op == OP_LETTER && e->lhs[d]->inum == l) {
            return true;
        }
    }
    return false;
}

static bool is_parent(const Equation *e, int l)
{
    for (int k = 0; k < e->nletters; k++) {
        if (e->letters[k].parent == l) {
            return true;
        }
    }
    return false;
}

static bool take_factors(Sum *s, Scalar *x)
{
    if (x->op == OP_mul && x->type == TYPE_REAL) {
        return take_factors(s, x->args[0]) && take_factors(s, x->args[1]);
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

static bool is_of_row(const Sum *s, const Scalar *c)
{
    return letters_of(c) & s->rows;
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
            s->row |= letters_of(s->factor[i]) & ~own;
        }
    }
    for (int l = 0; l < e->nletters; l++) {
        if (s->row >> l & 1) {
            const Axis *a = e->letters[l].axis;
            if (a->kind != AXIS_FIXED || e->letters[l].parent >= 0 || is_parent(e, l)) {
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
        unsigned set = letters_of(c), own = 1u << s->example | 1u << s->j;
        if (!(set >> s->j & 1)) {
            continue;
        }
        if (is_of_row(s, c) ? !ends_somewhere(c, s->j) || set & ~(own | s->rows) : set & ~(own | s->row)) {
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
    if (f.n != 1 || weight->type != TYPE_REAL || sc_uses_letter(swap(g, weight, f.step, sc_int(g, 0)), s->j)) {
        return false;
    }
    s->weight = weight;
    s->step = f.step;
    s->rows = letters_of(f.step) & ~(1u << s->example | 1u << s->j);
    for (int i = 0; i < e->nconds; i++) { /* rows may also differ in where they end */
        unsigned set = letters_of(e->conds[i]);
        s->rows |= set >> s->j & 1 && ends_somewhere(e->conds[i], s->j) ? set & ~(1u << s->example | 1u << s->j) : 0;
    }
    int nrows = 0;
    for (int l = 0; l < e->nletters; l++) {
        bool used = s->rows >> l & 1;
        nrows += used;
        if (used && (l == s->peeled || is_parent(e, l) ||
                     (axis_needs_parent(e->letters[l].axis) && e->letters[l].parent != s->example))) {
            return false;
        }
    }
    if (!(letters_of(f.step) & s->rows) || nrows + 2 > MAX_DIMS || !check_values(s)) {
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

static bool look_at_factor(Sum *s, int which)
{
    const Equation *e = s->e;
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
        int l = (int)x->args[peel]->inum;
        s->peeled = l;
        s->member = defs[k]->lhs[peel]->inum;
        if (e->letters[l].axis->kind != AXIS_FIXED || !is_output_letter(e, l) || is_parent(e, l)) {
            continue;
        }
        bool is_done = false;
        for (int i = 0; i < e->nconds; i++) {
            is_done |= e->conds[i]->op == OP_ne && e->conds[i]->args[0] == x->args[peel] &&
                       sc_is_const(e->conds[i]->args[1], (double)s->member);
        }
        if (!is_done && check_weight(s, found)) {
            return true;
        }
    }
    return false;
}

static bool find_sum(Prefix *p, const Equation *e, Sum *s)
{
    *s = (Sum){.p = p, .e = e};
    if (e->op != RED_SUM || e->dst->elem != ELEM_REAL || e->body->type != TYPE_REAL || !e->dst->per_example ||
        e->lhs[0]->op != OP_LETTER || equation_has_keyed_lhs(e) || p->in_cycle[e->id] || !take_factors(s, e->body) ||
        e->nletters == MAX_LETTERS) {
        return false;
    }
    s->example = (int)e->lhs[0]->inum;
    for (s->j = 0; s->j < e->nletters; s->j++) {
        const Letter *l = &e->letters[s->j];
        if (equation_is_output(e, s->j) || l->axis->kind != AXIS_RAGGED || l->axis->parent || l->parent != s->example ||
            is_parent(e, s->j) || axis_bound(l->axis) < LEAST_POSITIONS) {
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

/* ---- the equations ---- */

static Axis *axis_of_size(Prefix *p, int64_t n)
{
    for (int i = 0; i < p->nsizes; i++) {
        if (p->sizes[i]->size == n) {
            return p->sizes[i];
        }
    }
    Axis *a = graph_axis(
        p->g, (Axis){.name = arena_printf(p->g->arena, "runs%lld", (long long)n), .kind = AXIS_FIXED, .size = n});
    ARENA_PUSH(p->g->arena, p->sizes, p->nsizes, a);
    return a;
}

static Tensor *new_tensor(const Sum *s, const char *suffix, Elem elem, int64_t lo, int64_t hi, int ndim, Axis **dims)
{
    Graph *g = s->p->g;
    Tensor t = {
        .elem = elem, .role = ROLE_VALUE, .per_example = true, .ndim = ndim, .span = s->e->span, .lo = lo, .hi = hi};
    memcpy(t.dims, dims, (size_t)ndim * sizeof *dims);
    t.name = arena_printf(g->arena, "%s.%s", s->e->dst->name, suffix);
    for (int k = 2; graph_find(g, t.name); k++) {
        t.name = arena_printf(g->arena, "%s.%s%d", s->e->dst->name, suffix, k);
    }
    return graph_tensor(g, t);
}

/* A draft with e's letters, of which those outside the set are gone. */
static Draft part_draft(const Sum *s, Tensor *dst, Reduce op, unsigned letters)
{
    Draft d = draft_new(s->p->g, dst, op, s->e->span);
    d.e.nletters = s->e->nletters;
    memcpy(d.e.letters, s->e->letters, sizeof d.e.letters);
    for (int l = 0; l < s->e->nletters; l++) {
        d.gone[l] = !(letters >> l & 1);
    }
    return d;
}

/* The example, room for one index if it is asked for, then the letters of a set: as dims, and as indices. Returns how
 * many. */
static int list_letters(const Sum *s, unsigned set, int room, Axis **dims, Scalar **index)
{
    int n = 0;
    dims[n] = s->p->g->batch;
    index[n++] = sc_letter(s->p->g, s->example);
    n += room;
    for (int l = 0; l < s->e->nletters; l++) {
        if (set >> l & 1) {
            dims[n] = s->e->letters[l].axis;
            index[n++] = sc_letter(s->p->g, l);
        }
    }
    return n;
}

static bool has_blocks(const Sum *s)
{
    return axis_bound(s->e->letters[s->j].axis) > BLOCK;
}

/* Where a run ends: behind j the domain ends, or a block does, or the step function changes. */
static Scalar *end_of_run(const Sum *s)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    Scalar *j = sc_letter(g, s->j), *next = sc_op(g, OP_add, j, sc_int(g, 1)), *end = sc_bool(g, false);
    Prover *facts = prover_new(g, e, 0);
    for (int i = 0; i < e->nconds; i++) {
        if (is_of_row(s, e->conds[i]) && sc_uses_letter(e->conds[i], s->j)) {
            Scalar *c = with_letter(g, e->conds[i], e->nletters, s->j, next);
            end = fold_op2(g, OP_or, end, fold_op1(g, OP_not, c));
            prover_assume(facts, c, true);
        }
    }
    Scalar *inside = sc_op(g, OP_lt, next, letter_size(g, e->letters, s->j));
    if (!prover_holds(facts, inside)) {
        end = fold_op2(g, OP_or, fold_op1(g, OP_not, inside), end);
    }
    prover_free(facts);
    if (has_blocks(s)) {
        Scalar *in_block = sc_op(g, OP_mod, next, sc_int(g, BLOCK));
        end = fold_op2(g, OP_or, end, sc_op(g, OP_eq, in_block, sc_int(g, 0)));
    }
    Scalar *here = g->scalars[s->step->id];
    return fold_op2(g, OP_or, end, sc_op(g, OP_ne, here, with_letter(g, here, e->nletters, s->j, next)));
}

/* The lists of ends and their lengths; *most: ends there may be. Returns false if they are too many to number. */
static bool make_runs(const Sum *s, Tensor **runs, Tensor **count, int64_t *most)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    int64_t bound = axis_bound(e->letters[s->j].axis), values = s->step->ntable + 1;
    *most = s->pieces * values + (has_blocks(s) ? (bound + BLOCK - 1) / BLOCK : 0);
    *most = *most < bound ? *most : bound;
    if (bound >= INT32_MAX / values - 1) {
        return false;
    }
    Axis *dims[MAX_DIMS];
    Scalar *index[MAX_DIMS];
    int n = list_letters(s, s->rows, 1, dims, index);
    unsigned set = 1u << s->example | s->rows;
    dims[1] = axis_of_size(s->p, *most + 1); /* the last cell is always 0 */
    *runs = new_tensor(s, "runs", ELEM_I32, 0, (bound + 1) * values, n, dims);
    (*runs)->in_order = true; /* neighbours have their ends in the same few places: their lists side by side */
    Draft d = part_draft(s, *runs, RED_NTH, set | 1u << s->j);
    index[1] = sc_letter(g, draft_letter(&d, (Letter){dims[1], "u", -1}));
    memcpy(d.e.lhs, index, (size_t)n * sizeof *index);
    for (int i = 0; i < e->nconds; i++) {
        unsigned used = letters_of(e->conds[i]);
        if (used >> s->j & 1 ? is_of_row(s, e->conds[i]) : !(used & ~set)) {
            draft_cond(&d, e->conds[i]);
        }
    }
    draft_cond(&d, end_of_run(s));
    Scalar *next = sc_op(g, OP_add, sc_letter(g, s->j), sc_int(g, 1));
    d.e.body = sc_op(g, OP_add, sc_op(g, OP_mul, next, sc_int(g, values)), g->scalars[s->step->id]);
    draft_commit(&d);

    Axis *longest = dims[1];
    n = list_letters(s, s->rows, 0, dims, index);
    *count = new_tensor(s, "nruns", ELEM_I32, 0, *most, n, dims);
    d = part_draft(s, *count, RED_SUM, set);
    memcpy(d.e.lhs, index, (size_t)n * sizeof *index);
    n = list_letters(s, s->rows, 1, dims, index);
    index[1] = sc_letter(g, draft_letter(&d, (Letter){longest, "u", -1}));
    draft_cond(&d, sc_op(g, OP_lt, sc_int(g, 0), sc_load(g, *runs, n, index)));
    d.e.body = sc_int(g, 1);
    draft_commit(&d);
    return true;
}

/* Q: sums of v up to a position, from the beginning of its block. */
static Tensor *make_sums(const Sum *s)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    Axis *dims[MAX_DIMS];
    Scalar *index[MAX_DIMS], *v = NULL, *j = sc_letter(g, s->j);
    int n = list_letters(s, s->row, 1, dims, index);
    dims[1] = e->letters[s->j].axis;
    index[1] = j;
    for (int i = 0; i < s->n; i++) {
        if (i != s->which && sc_uses_letter(s->factor[i], s->j)) {
            v = v ? fold_op2(g, OP_mul, v, s->factor[i]) : s->factor[i];
        }
    }
    for (int i = e->nconds - 1; i >= 0; i--) {
        if (sc_uses_letter(e->conds[i], s->j) && !is_of_row(s, e->conds[i])) {
            v = fold_op3(g, OP_select, e->conds[i], v, sc_real(g, 0));
        }
    }
    Tensor *t = new_tensor(s, "prefix", ELEM_REAL, 0, -1, n, dims);
    Draft d = part_draft(s, t, RED_NONE, 1u << s->example | 1u << s->j | s->row);
    memcpy(d.e.lhs, index, (size_t)n * sizeof *index);
    index[1] = sc_op(g, OP_sub, j, sc_int(g, 1));
    Scalar *before = sc_op(g, OP_lt, sc_int(g, 0), j);
    if (has_blocks(s)) {
        before = fold_op2(g, OP_and, before, sc_op(g, OP_lt, sc_int(g, 0), sc_op(g, OP_mod, j, sc_int(g, BLOCK))));
    }
    Scalar *sum = fold_op3(g, OP_select, before, sc_load(g, t, n, index), sc_real(g, 0));
    d.e.body = sc_op(g, OP_add, v, sum);
    draft_commit(&d);
    return t;
}

/* The equation without the case that was taken out of it. */
static void keep_other_members(const Sum *s, Equation *e)
{
    Graph *g = s->p->g;
    Draft d = draft_from(g, e);
    Scalar *c = sc_letter(g, s->peeled);
    draft_cond_first(&d, sc_op(g, OP_ne, c, sc_int(g, s->member)));
    int64_t left = 0, last = 0;
    for (int64_t m = 0; m < e->letters[s->peeled].axis->size; m++) {
        bool out = false;
        for (int i = 0; i < d.nconds; i++) {
            out |= d.conds[i]->op == OP_ne && d.conds[i]->args[0] == c && sc_is_const(d.conds[i]->args[1], (double)m);
        }
        left += !out;
        last = out ? last : m;
    }
    s->p->gone[e->id] = left == 0;
    if (left == 1) {
        draft_replace(&d, s->peeled, sc_int(g, last));
    }
    draft_store(&d, e);
}

/* Takes the sum, or the case of it that the weight is for, apart. False: it cannot be done after all. */
static bool rewrite_sum(const Sum *s, Equation *e)
{
    Graph *g = s->p->g;
    Tensor *runs, *count;
    int64_t most, values = s->step->ntable + 1;
    if (!make_runs(s, &runs, &count, &most)) {
        return false;
    }
    Tensor *sums = make_sums(s);
    Draft d = draft_from(g, e);
    d.conds = NULL;
    d.nconds = 0;
    Scalar *u = sc_letter(g, draft_letter(&d, (Letter){axis_of_size(s->p, most), "u", -1}));
    Scalar *after = sc_op(g, OP_add, u, sc_int(g, 1)), *index[MAX_DIMS];
    Axis *dims[MAX_DIMS];
    int n = list_letters(s, s->rows, 0, dims, index);
    Scalar *length = sc_load(g, count, n, index);
    n = list_letters(s, s->rows, 1, dims, index);
    index[1] = u;
    Scalar *run = sc_load(g, runs, n, index);
    index[1] = after;
    Scalar *other = sc_load(g, runs, n, index), *k = sc_int(g, values);
    Scalar *end = sc_op(g, OP_idiv, run, k), *goes_on = sc_op(g, OP_lt, after, length);
    if (has_blocks(s)) {
        Scalar *in_block = sc_op(g, OP_lt, sc_int(g, 0), sc_op(g, OP_mod, end, sc_int(g, BLOCK)));
        goes_on = fold_op2(g, OP_and, goes_on, in_block);
    }
    Scalar *here = swap(g, s->weight, s->step, sc_op(g, OP_mod, run, k));
    Scalar *next = swap(g, s->weight, s->step, sc_op(g, OP_mod, other, k));
    Scalar *body = fold_op2(g, OP_sub, here, fold_op3(g, OP_select, goes_on, next, sc_real(g, 0)));
    for (int i = 0; i < s->n; i++) {
        body = i == s->which || sc_uses_letter(s->factor[i], s->j) ? body : fold_op2(g, OP_mul, s->factor[i], body);
    }
    n = list_letters(s, s->row, 1, dims, index);
    index[1] = sc_op(g, OP_sub, end, sc_int(g, 1));
    d.e.body = fold_op2(g, OP_mul, body, sc_load(g, sums, n, index));
    d.gone[s->j] = true;
    for (int i = 0; i < e->nconds; i++) {
        if (!sc_uses_letter(e->conds[i], s->j)) {
            draft_cond(&d, e->conds[i]);
        }
    }
    draft_cond(&d, sc_op(g, OP_lt, u, length));
    if (s->peeled < 0) {
        draft_store(&d, e);
        return true;
    }
    draft_replace(&d, s->peeled, sc_int(g, s->member));
    draft_commit(&d);
    keep_other_members(s, e);
    return true;
}

/* ---- cases that nobody reads any more ---- */

typedef struct {
    const Equation *reader, *def;
    bool reads;
} Reads;

static void look_at_load(const Scalar *load, void *ctx)
{
    Reads *r = ctx;
    bool other = load->tensor != r->def->dst;
    for (int d = 0; d < load->nargs && !other; d++) {
        const Scalar *at = load->args[d], *member = r->def->lhs[d];
        if (member->op != OP_CONST) {
            continue;
        }
        other = at->op == OP_CONST && at->inum != member->inum;
        for (int i = 0; i < r->reader->nconds; i++) {
            const Scalar *c = r->reader->conds[i];
            other |= c->op == OP_ne && c->args[0] == at && sc_is_const(c->args[1], (double)member->inum);
        }
    }
    r->reads |= !other;
}

static void drop_unread_cases(Prefix *p)
{
    Graph *g = p->g;
    bool *keep = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *keep);
    for (int i = 0; i < g->nequations; i++) {
        const Equation *def = g->equations[i];
        Reads r = {.def = def};
        bool is_case =
            def->dst->role == ROLE_VALUE && !def->dst->is_output && !def->dst->is_draw && def->op == RED_NONE;
        int constants = 0;
        for (int d = 0; d < def->dst->ndim; d++) {
            constants += def->lhs[d]->op == OP_CONST;
        }
        for (int k = 0; k < g->nequations && is_case && constants && !r.reads; k++) {
            r.reader = g->equations[k];
            equation_loads(r.reader, look_at_load, &r);
        }
        keep[i] = (!is_case || !constants || r.reads) && !(i < p->nequations && p->gone[i]);
    }
    graph_drop_equations(g, keep);
}

void pass_prefix(Graph *g)
{
    Order order = order_equations(g);
    Prefix p = {.g = g, .defs = equations_by_tensor(g), .in_cycle = order.in_cycle};
    int n = g->nequations;
    bool any = false;
    p.nequations = n;
    p.ntensors = g->ntensors;
    p.gone = arena_alloc(g->arena, (size_t)(n + 1) * sizeof *p.gone);
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        Sum s;
        for (int cases = 0; cases < MAX_RESOLVED && find_sum(&p, e, &s) && rewrite_sum(&s, e); cases++) {
            any = true;
            s.why = NULL;
            if (s.peeled < 0 || p.gone[i]) {
                break;
            }
        }
        if (s.why) {
            ARENA_PUSH(g->arena, g->dense, g->ndense, ((struct StoredTensor){e->dst, s.why}));
        }
    }
    if (any) {
        drop_unread_cases(&p);
        graph_reorder(g);
    }
}
