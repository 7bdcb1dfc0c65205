/* lookup: where a sum reads rows of a small table that data, or a distance, pick, it is formed once with every row, and
 * what was picked among rows is picked among sums, or sums are sorted by row first. Needs: batch. Keeps: the values, up
 * to the order of summation. Before differentiate: gradients are products and sums by key, too.
 *
 *  - The picked index is none of those that are summed (relative positions or times in keys):
 *        s[b,i,j] sum= q[b,i,e] * (k[b,j,e] + t[at(i,j),e])       =>  r[b,i,v] sum= q[b,i,e] * t[v,e]
 *                                                                     s.rest   sum= q[b,i,e] * k[b,j,e]
 *                                                                     s[b,i,j] = s.rest[b,i,j] + r[b,i,at(i,j)]
 *  - It is, and what is multiplied with the row is one number for all of it (the same in values):
 *        o[b,i,f] sum= a[b,i,j] * (u[b,j,f] + t[at(i,j),f])       =>  h[b,i,at(i,j)] sum= a[b,i,j]
 *                                                                     o.rest   sum= a[b,i,j] * u[b,j,f]
 *                                                                     o.of     sum= h[b,i,v] * t[v,f]
 *                                                                     o[b,i,f] = o.rest[b,i,f] + o.of[b,i,f]
 *
 * Both by size: r and h grow with the list, as q and o do, and a pair costs one access instead of a row. Only params
 * are such tables, because their rows are numbers, also those that nobody asks for: here they meet factors of 0. A
 * value that stands for the row is looked through. gather does the contrary where tables are much larger than what is
 * picked from them; no table is both. */
#include "fault.h"
#include "intervals.h"
#include "rewrite.h"

#include <string.h>

/* Costs, forwards and backwards, measured in terms of a sum that is a loop: what a gathered row costs besides; a term
 * of a product; one of a product with a small table, whose result is stored; a cell that is picked. A row of sums has
 * MOST_ROWS cells at most, and MOST_PER_KEY for each that is asked. */
static const double GATHERED_ROW = 4, PRODUCT_TERM = 0.125, TABLE_TERM = 0.5, PICKED_CELL = 6;
enum { MOST_ROWS = 512, MOST_PER_KEY = 4, MOST_LOADS = 16 };

typedef struct {
    Graph *g;
    Equation ***defs;
    Order order;
    int ntensors, nequations; /* that these know */
} Tables;

/* body = by * load + rest; NULL: 0. */
typedef struct {
    Tables *x;
    Equation *e;
    Scalar *load, *by, *rest;
    unsigned reduced;
    unsigned keys, row, others; /* letters that pick the row, those along it, those of `by` */
    int nkeys;
    double rows;
} Term;

/* ---- terms ---- */

/* An index of a table that neither goes along a row nor is the same for all. */
static bool is_key(const Scalar *index)
{
    return lhs_letter(index) < 0 && sc_letters(index);
}

static bool is_picked_row(const Scalar *s)
{
    if (s->op != OP_LOAD || s->tensor->role != ROLE_PARAM || s->tensor->elem != ELEM_REAL || s->tensor->per_example) {
        return false;
    }
    bool any = false;
    for (int d = 0; d < s->nargs; d++) {
        const Axis *a = s->tensor->dims[d];
        if (is_key(s->args[d])) {
            any = true;
            if (a->kind != AXIS_FIXED || a->size <= 0) {
                return false;
            }
        }
    }
    return any;
}

static void look_for(const Scalar *s, void *ctx)
{
    const Scalar **found = ctx;
    found[1] = s == found[0] ? s : found[1];
}

static bool contains(const Scalar *s, const Scalar *node)
{
    const Scalar *found[2] = {node, NULL};
    sc_walk(s, look_for, found);
    return found[1];
}

static Scalar *plus(Graph *g, Op op, Scalar *a, Scalar *b)
{
    return !b ? a : a ? fold_op2(g, op, a, b) : op == OP_add ? b : fold_op1(g, OP_neg, b);
}

static Scalar *times(Graph *g, Op op, Scalar *a, Scalar *b)
{
    return a && b ? fold_op2(g, op, a, b) : NULL;
}

/* s = *by * load + *rest. False: it is not of this form. */
static bool take_out(Graph *g, Scalar *s, const Scalar *load, Scalar **by, Scalar **rest)
{
    Scalar *b[2], *r[2];
    *by = *rest = NULL;
    if (s == load) {
        *by = sc_real(g, 1);
        return true;
    }
    if (!contains(s, load)) {
        *rest = s;
        return true;
    }
    switch (s->op) {
    case OP_neg:
        if (!take_out(g, s->args[0], load, &b[0], &r[0])) {
            return false;
        }
        *by = fold_op1(g, OP_neg, b[0]);
        *rest = r[0] ? fold_op1(g, OP_neg, r[0]) : NULL;
        return true;
    case OP_add:
    case OP_sub:
        if (!take_out(g, s->args[0], load, &b[0], &r[0]) || !take_out(g, s->args[1], load, &b[1], &r[1])) {
            return false;
        }
        *by = plus(g, FAULT(50) ? OP_add : s->op, b[0], b[1]);
        *rest = plus(g, s->op, r[0], r[1]);
        return true;
    case OP_mul:
    case OP_div: {
        int k = contains(s->args[0], load) ? 0 : 1;
        if (contains(s->args[!k], load) || (s->op == OP_div && k) || !take_out(g, s->args[k], load, &b[k], &r[k])) {
            return false;
        }
        b[!k] = r[!k] = s->args[!k];
        *by = times(g, s->op, b[0], b[1]);
        *rest = times(g, s->op, r[0], r[1]);
        return true;
    }
    default:
        return false;
    }
}

static bool term_of(Tables *x, Equation *e, Scalar *body, Scalar *load, Term *t)
{
    *t = (Term){.x = x, .e = e, .load = load, .rows = 1};
    if (!is_picked_row(load) || !take_out(x->g, body, load, &t->by, &t->rest) || !t->by) {
        return false;
    }
    for (int l = 0; l < e->nletters; l++) {
        t->reduced |= equation_is_output(e, l) ? 0 : 1u << l;
    }
    for (int d = 0; d < load->nargs; d++) {
        bool key = is_key(load->args[d]);
        t->rows *= key ? (double)load->tensor->dims[d]->size : 1;
        t->nkeys += key;
        *(key ? &t->keys : &t->row) |= equation_with_parents(e, sc_letters(load->args[d]));
    }
    t->others = equation_with_parents(e, sc_letters(t->by));
    return true;
}

/* ---- whether it pays ---- */

/* What the term costs as it is: in a loop, or, where a row is read by many, as a value that a product reads. */
static double cost_before(const Term *t)
{
    unsigned all = (1u << t->e->nletters) - 1;
    double whole = letters_extent(t->e, all), made = letters_extent(t->e, t->keys | t->row);
    double row = letters_extent(t->e, t->row & ~(t->keys | (t->others & ~t->reduced)));
    if (2 * made <= whole) {
        return 2 * made + (t->rest ? 0 : PRODUCT_TERM * whole);
    }
    return whole * (1 + GATHERED_ROW / row);
}

/* kept: letters of r or h; along: those that the product has besides; picked: those that go over all that is picked. */
static bool pays(const Term *t, unsigned kept, unsigned along, unsigned picked)
{
    double cells = letters_extent(t->e, kept), keys = letters_extent(t->e, picked);
    return t->rows <= MOST_ROWS && cells * t->rows <= MOST_PER_KEY * keys &&
           TABLE_TERM * t->rows * letters_extent(t->e, kept | along) + PICKED_CELL * keys < cost_before(t);
}

/* ---- equations ---- */

/* The load with letters v.. over all rows in place of what picks one, which are added to the draft; or with row 0. */
static Scalar *every_row(const Term *t, Draft *d)
{
    Graph *g = t->x->g;
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < t->load->nargs; k++) {
        Letter v = {t->load->tensor->dims[k], "v", -1};
        index[k] = !is_key(t->load->args[k]) ? t->load->args[k] : d ? sc_letter(g, draft_letter(d, v)) : sc_int(g, 0);
    }
    return sc_load(g, t->load->tensor, t->load->nargs, index);
}

/* Every condition is where it belongs: of the first draft those on what is summed, of the other the rest. */
static bool all_conds(const Term *t, const Draft *summed, const Draft *outside)
{
    const Equation *e = t->e;
    for (int i = 0; i < e->nconds; i++) {
        bool is_summed = equation_with_parents(e, sc_letters(e->conds[i])) & t->reduced;
        if (!draft_has_cond(is_summed ? summed : outside, e->conds[i])) {
            return false;
        }
    }
    return true;
}

/* A value over letters of the equation, and one for each row behind them. */
static Tensor *value_by_row(const Term *t, const char *suffix, int n, const int *letters)
{
    Graph *g = t->x->g;
    const Equation *e = t->e;
    Tensor proto = {.elem = ELEM_REAL, .role = ROLE_VALUE, .span = e->span, .lo = 0, .hi = -1};
    proto.name = unused_name(g, e->dst->name, suffix);
    for (; proto.ndim < n; proto.ndim++) {
        proto.dims[proto.ndim] = e->letters[letters[proto.ndim]].axis;
    }
    for (int d = 0; d < t->load->nargs; d++) {
        if (is_key(t->load->args[d])) {
            proto.dims[proto.ndim++] = t->load->tensor->dims[d];
        }
    }
    proto.per_example = n > 0 && proto.dims[0] == g->batch;
    return graph_tensor(g, proto);
}

/* Indices of such a value: the letters, and behind them what stands in the table's load where ours has a key. */
static void index_by_row(const Term *t, int n, const int *letters, const Scalar *rows, Scalar **index)
{
    for (int k = 0; k < n; k++) {
        index[k] = sc_letter(t->x->g, letters[k]);
    }
    for (int d = 0; d < t->load->nargs; d++) {
        if (is_key(t->load->args[d])) {
            index[n++] = rows->args[d];
        }
    }
}

static void keep_letters(Draft *d, const Equation *e, unsigned set)
{
    for (int l = 0; l < e->nletters; l++) {
        d->gone[l] = !(set >> l & 1);
    }
}

/* Another tensor of the kind that the equation defines, at the same cells. */
static Tensor *like_result(const Term *t, const char *suffix)
{
    Tensor proto = *t->e->dst;
    proto.is_output = proto.is_draw = false;
    proto.next = proto.grad = NULL;
    proto.name = unused_name(t->x->g, proto.name, suffix);
    return graph_tensor(t->x->g, proto);
}

static bool rewrite(Tables *x, Equation *e);

/* What is left of the sum becomes one of its own, and the equation, for which d stands, value and that. */
static void add_rest(const Term *t, Draft *d, Scalar *value)
{
    Graph *g = t->x->g;
    Equation *rest = NULL;
    if (t->rest) {
        Draft r = draft_from(g, t->e);
        r.e.body = t->rest;
        r.e.dst = like_result(t, "rest");
        value = fold_op2(g, OP_add, sc_load(g, r.e.dst, r.e.dst->ndim, t->e->lhs), value);
        rest = draft_commit(&r);
    }
    d->e.op = RED_NONE;
    d->e.body = value;
    keep_letters(d, t->e, ~t->reduced);
    draft_store(d, t->e);
    if (rest) {
        rewrite(t->x, rest);
    }
}

/* Sums with every row, of which the equation picks. */
static bool sum_with_rows(const Term *t)
{
    Graph *g = t->x->g;
    const Equation *e = t->e;
    unsigned all = (1u << e->nletters) - 1, kept = (t->row | t->others) & ~t->reduced;
    int letters[MAX_DIMS], n = letters_as_dims(e, kept, letters);
    Scalar *index[MAX_DIMS];
    Draft sum = draft_from(g, e), map = draft_from(g, e);
    if (t->keys & t->reduced || t->reduced & ~(t->row & t->others) || n < 0 || n + t->nkeys > MAX_DIMS ||
        e->nletters + t->nkeys > MAX_LETTERS || !pays(t, kept, t->reduced, all & ~t->reduced) ||
        !draft_keep_conds(&sum, e, kept | t->reduced, fold_op2(g, OP_mul, t->by, every_row(t, NULL))) ||
        !draft_keep_conds(&map, e, ~t->reduced, t->load) || !all_conds(t, &sum, &map)) {
        return false;
    }
    Scalar *rows = every_row(t, &sum);
    keep_letters(&sum, e, kept | t->reduced);
    index_by_row(t, n, letters, rows, sum.e.lhs);
    sum.e.body = fold_op2(g, OP_mul, t->by, rows);
    sum.e.dst = value_by_row(t, "rows", n, letters);
    index_by_row(t, n, letters, t->load, index);
    Scalar *value = sc_load(g, sum.e.dst, sum.e.dst->ndim, index);
    draft_commit(&sum);
    add_rest(t, &map, value);
    return true;
}

/* Sums by row, which are multiplied with the table. */
static bool sort_by_row(const Term *t)
{
    Graph *g = t->x->g;
    Equation *e = t->e;
    unsigned all = (1u << e->nletters) - 1, kept = (t->keys | t->others) & ~t->reduced;
    int letters[MAX_DIMS], n = letters_as_dims(e, kept, letters);
    Scalar *index[MAX_DIMS];
    Draft sorted = draft_from(g, e), sum = draft_from(g, e), map = draft_from(g, e);
    if (t->row & t->reduced || t->reduced & ~(t->keys | t->others) || all & ~(kept | t->row | t->reduced) || n < 0 ||
        n + t->nkeys > MAX_DIMS || e->nletters + t->nkeys > MAX_LETTERS || !pays(t, kept, t->row, kept | t->reduced) ||
        !draft_keep_conds(&sorted, e, kept | t->reduced, fold_op2(g, OP_mul, t->by, t->load)) ||
        !draft_keep_conds(&sum, e, ~t->reduced, every_row(t, NULL)) || !all_conds(t, &sorted, &sum)) {
        return false;
    }
    sorted.nconds = FAULT(51) ? 0 : sorted.nconds;
    keep_letters(&sorted, e, kept | t->reduced);
    index_by_row(t, n, letters, t->load, sorted.e.lhs);
    sorted.e.body = t->by;
    sorted.e.dst = value_by_row(t, "by_row", n, letters);
    Scalar *rows = every_row(t, &sum);
    keep_letters(&sum, e, ~t->reduced);
    index_by_row(t, n, letters, rows, index);
    sum.e.body = fold_op2(g, OP_mul, sc_load(g, sorted.e.dst, sorted.e.dst->ndim, index), rows);
    draft_keep_conds(&map, e, ~t->reduced, NULL);
    draft_commit(&sorted);
    if (!t->rest) {
        draft_store(&sum, e);
        return true;
    }
    sum.e.dst = like_result(t, "of_rows");
    draft_commit(&sum);
    add_rest(t, &map, sc_load(g, sum.e.dst, sum.e.dst->ndim, e->lhs));
    return true;
}

/* ---- sums ---- */

typedef struct {
    Scalar *load[MOST_LOADS];
    int n;
} Loads;

static void note_load(const Scalar *s, void *ctx)
{
    Loads *l = ctx;
    if (s->op == OP_LOAD && s->type == TYPE_REAL && l->n < MOST_LOADS) {
        l->load[l->n++] = (Scalar *)(uintptr_t)s;
    }
}

static bool try_rows(Tables *x, Equation *e, Scalar *body)
{
    Loads loads = {.n = 0};
    Term t;
    sc_walk(body, note_load, &loads);
    for (int i = 0; i < loads.n; i++) {
        if (term_of(x, e, body, loads.load[i], &t) && (sum_with_rows(&t) || sort_by_row(&t))) {
            return true;
        }
    }
    return false;
}

/* What the cell is defined as, in the equation's letters; NULL: it is none that can stand for rows of a table. */
static Scalar *look_through(Tables *x, const Equation *e, const Scalar *load)
{
    Equation **defs = load->tensor->id < x->ntensors ? x->defs[load->tensor->id] : NULL;
    if (!defs || defs[1] || defs[0]->op != RED_NONE || load->tensor->is_draw || equation_is_extern(defs[0]) ||
        !equation_covers(defs[0]) || x->order.in_cycle[defs[0]->id]) {
        return NULL;
    }
    const Equation *def = defs[0];
    Scalar *map[MAX_LETTERS];
    for (int d = 0; d < load->nargs; d++) {
        map[def->lhs[d]->inum] = load->args[d];
    }
    Prover *facts = prover_new(x->g, e, e->nconds);
    bool holds = true;
    for (int i = 0; i < def->nconds && holds; i++) {
        holds = prover_holds(facts, fold_substitute(x->g, def->conds[i], def->nletters, map));
    }
    prover_free(facts);
    return holds ? fold_substitute(x->g, def->body, def->nletters, map) : NULL;
}

static bool rewrite(Tables *x, Equation *e)
{
    if (e->op != RED_SUM || e->dst->elem != ELEM_REAL || e->body->type != TYPE_REAL || equation_has_keyed_lhs(e) ||
        (e->id < x->nequations && x->order.in_cycle[e->id])) {
        return false;
    }
    bool done = try_rows(x, e, e->body);
    Loads loads = {.n = 0};
    sc_walk(e->body, note_load, &loads);
    for (int i = 0; i < loads.n && !done; i++) {
        Scalar *value = look_through(x, e, loads.load[i]);
        done = value && try_rows(x, e, fold(x->g, sc_swap(x->g, e->body, loads.load[i], value)));
    }
    return done;
}

void pass_lookup(Graph *g)
{
    if (!g->batched) {
        return;
    }
    Tables x = {.g = g, .defs = equations_by_tensor(g), .order = order_equations(g)};
    x.ntensors = g->ntensors;
    int n = x.nequations = g->nequations;
    bool changed = false;
    for (int i = 0; i < n; i++) {
        changed |= rewrite(&x, g->equations[i]);
    }
    if (changed) {
        graph_reorder(g);
        merge_equal_equations(g);
        drop_dead_equations(g);
    }
}
