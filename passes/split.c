/* split: letters over a sum of axes become letters over its parts where an equation asks in which part they fall. A
 * relation between tokens of several kinds so becomes blocks, each with conditions of its own (j <= i, a table, none)
 * or none at all, and loops without a test. Needs: clean. Keeps: the values.
 *
 *     s[b, z] = x where part(z) != 0 or z' <= 3     gives     s[b, inject(0, i)] = x where i <= 3
 *                                                             s[b, inject(1, f)] = x
 *
 * An output letter gives cases of the same tensor. A reduced letter gives one equation per part, and their results
 * are put together: sums are added, any by or, maxima of the parts that reach something are compared.
 *
 * A domain that is one interval or another, a window and the first few, becomes two that do not meet in the same way:
 *
 *     o[i] sum= a[i,j] * v[j] where j <= i, i - j < 64 or j < 4
 *                                   gives     o.of1[i] sum= ..  where j <= i, i - j < 64
 *                                             o.of2[i] sum= ..  where j <= i, 64 <= i - j, j < 4 */
#include "fault.h"
#include "rewrite.h"

#include <math.h>
#include <string.h>

static bool is_about_part(const Scalar *s, int letter)
{
    return (s->op == OP_PART || s->op == OP_LOCAL) && s->args[0]->op == OP_LETTER && s->args[0]->inum == letter;
}

/* Whether the equation asks for the part or the local position of this letter. */
static bool asks_for_part(const Equation *e, int letter)
{
    bool found = sc_asks(e->body, is_about_part, letter);
    for (int k = 0; k < e->dst->ndim; k++) {
        found |= sc_asks(e->lhs[k], is_about_part, letter);
    }
    for (int i = 0; i < e->nconds; i++) {
        found |= sc_asks(e->conds[i], is_about_part, letter);
    }
    return found;
}

static bool is_output(const Equation *e, int letter)
{
    for (int k = 0; k < e->dst->ndim; k++) {
        if (lhs_letter(e->lhs[k]) == letter) {
            return true;
        }
    }
    return false;
}

/* The equation where its letter lies in part p. False if that never happens. */
static bool part_of(Graph *g, const Equation *e, int letter, int p, StepTables *tables, Draft *out)
{
    Axis *sum = e->letters[letter].axis, *part = sum->parts[p];
    Draft d = draft_from(g, e);
    int parent = e->letters[letter].parent;
    bool single = part->kind == AXIS_FIXED && part->size == 1;
    Scalar *args[2] = {single ? sc_int(g, 0) : sc_letter(g, letter), parent >= 0 ? sc_letter(g, parent) : NULL};
    draft_replace(&d, letter, sc_axis_op(g, OP_INJECT, sum, p, axis_is_ragged(sum) ? 2 : 1, args));
    if (!single) { /* the letter keeps its place and ranges over the part */
        d.gone[letter] = false;
        d.e.letters[letter].axis = part;
        d.e.letters[letter].parent = axis_needs_parent(part) ? parent : -1;
    }
    *out = draft_settle(&d);
    if (!simplify_draft(out, tables)) {
        return false;
    }
    *out = draft_settle(out);
    return true;
}

static Tensor *partial(Graph *g, const Tensor *dst, int p, const char *what, Elem elem)
{
    Tensor proto = *dst;
    proto.elem = elem;
    proto.is_output = proto.is_draw = false;
    proto.next = proto.grad = NULL;
    proto.name = arena_printf(g->arena, "%s.%s%d", dst->name, what, p + 1);
    for (int k = 2; graph_find(g, proto.name); k++) {
        proto.name = arena_printf(g->arena, "%s.%s%d.%d", dst->name, what, p + 1, k);
    }
    return graph_tensor(g, proto);
}

/* What a part contributes to the whole, at the whole's left-hand side. */
static Scalar *load_partial(Graph *g, const Equation *e, Draft *d, int p)
{
    Tensor *t = partial(g, e->dst, p, "of", e->dst->elem);
    int n = e->dst->ndim;
    Scalar *value = sc_load(g, t, n, e->lhs);
    if (e->op == RED_MAX || e->op == RED_MIN) {
        Draft any = *d;
        any.conds = NULL;
        any.nconds = 0;
        for (int i = 0; i < d->nconds; i++) {
            draft_cond(&any, d->conds[i]);
        }
        any.e.dst = partial(g, e->dst, p, "any", ELEM_BOOL);
        any.e.op = RED_ANY;
        any.e.body = sc_bool(g, true);
        draft_commit(&any);
        Scalar *none = sc_real(g, e->op == RED_MAX ? -INFINITY : INFINITY);
        value = sc_op(g, OP_select, sc_load(g, any.e.dst, n, e->lhs), value, none);
    }
    d->e.dst = t;
    draft_commit(d);
    return value;
}

static bool can_join(const Equation *e)
{
    bool real = e->dst->elem == ELEM_REAL;
    return e->op == RED_SUM || e->op == RED_ANY || ((e->op == RED_MAX || e->op == RED_MIN) && real);
}

/* The conditions on output letters alone stay with the whole: where they fail it is absent. */
static void keep_output_conds(Draft *d, const Equation *e)
{
    for (int i = 0; i < e->nconds; i++) {
        bool inner = false;
        for (int l = 0; l < e->nletters; l++) {
            inner |= !is_output(e, l) && sc_uses_letter(e->conds[i], l);
        }
        if (inner) {
            return; /* the following ones may rely on it */
        }
        draft_cond(d, e->conds[i]);
    }
}

/* Of n parts, which are those of these numbers, tuples are reached by one at most. */
static bool join_reduced(Graph *g, Equation *e, int n, Draft *parts, const int *number)
{
    if (n == 1) {
        draft_store(&parts[0], e);
        return true;
    }
    if (n == 0 || !can_join(e) || equation_has_keyed_lhs(e)) {
        return false; /* nothing reached is what simplify says, too */
    }
    Draft whole = draft_from(g, e);
    whole.conds = NULL;
    whole.nconds = 0;
    keep_output_conds(&whole, e);
    static const Op join[] = {[RED_SUM] = OP_add, [RED_MAX] = OP_max, [RED_MIN] = OP_min, [RED_ANY] = OP_or};
    Scalar *body = NULL;
    for (int i = 0; i < n; i++) {
        Scalar *part = load_partial(g, e, &parts[i], number[i]);
        body = body ? sc_op(g, join[e->op], body, part) : part;
    }
    whole.e.body = body;
    whole.e.op = RED_NONE;
    for (int l = 0; l < e->nletters; l++) {
        whole.gone[l] = !is_output(e, l);
    }
    draft_store(&whole, e);
    return true;
}

static bool split_reduced(Graph *g, Equation *e, int letter, StepTables *tables)
{
    if (e->op == RED_ARGMAX || e->op == RED_NTH) {
        return false; /* its value is an index into the whole axis, or counts along it */
    }
    Draft parts[MAX_PARTS];
    int n = 0, number[MAX_PARTS];
    for (int p = 0; p < e->letters[letter].axis->nparts; p++) {
        number[n] = p;
        n += part_of(g, e, letter, p, tables, &parts[n]);
    }
    return join_reduced(g, e, n, parts, number);
}

/* Cells that the parts define are of one part at most. */
static bool store_parts(Equation *e, int n, Draft *parts)
{
    if (n > 0) {
        draft_store_cases(e, n, parts);
    }
    return n > 0;
}

static bool split_output(Graph *g, Equation *e, int letter, StepTables *tables)
{
    Draft parts[MAX_PARTS];
    int n = 0;
    for (int p = 0; p < e->letters[letter].axis->nparts; p++) {
        n += part_of(g, e, letter, p, tables, &parts[n]);
    }
    return store_parts(e, n, parts);
}

/* ---- one interval or another ---- */

static void look_for_more(const Scalar *s, void *ctx)
{
    *(bool *)ctx |= s->op == OP_LOAD || s->op == OP_PART || s->op == OP_LOCAL || s->op == OP_STEP || s->op == OP_RAND;
}

/* An inequality of letters and sizes. */
static bool is_interval(const Scalar *s)
{
    const Scalar *x = s->op == OP_not ? s->args[0] : s;
    if (x->op == OP_and || x->op == OP_or) {
        return x == s && is_interval(x->args[0]) && is_interval(x->args[1]);
    }
    bool more = false;
    sc_walk(x, look_for_more, &more);
    return (x->op == OP_lt || x->op == OP_le) && x->args[0]->type == TYPE_INT && !more;
}

/* The condition that is one interval or another along a list; -1: there is none. */
static int find_alternative(const Equation *e)
{
    for (int i = 0; i < e->nconds; i++) {
        const Scalar *c = e->conds[i];
        if (c->op != OP_or || !is_interval(c)) {
            continue;
        }
        for (int l = 0; l < e->nletters; l++) {
            if (sc_uses_letter(c, l) && axis_is_ragged(e->letters[l].axis)) {
                return i;
            }
        }
    }
    return -1;
}

/* The equation where the first of the two holds, or where only the other one does. False if that never happens. */
static bool alternative_of(Graph *g, const Equation *e, int cond, int which, StepTables *tables, Draft *out)
{
    *out = draft_from(g, e);
    out->conds = NULL;
    out->nconds = 0;
    for (int i = 0; i < e->nconds; i++) {
        const Scalar *c = e->conds[i];
        if (i != cond) {
            draft_cond(out, e->conds[i]);
        } else if (which == 0) {
            draft_cond(out, c->args[0]);
        } else {
            draft_cond(out, FAULT(46) ? sc_bool(g, true) : fold_op1(g, OP_not, c->args[0]));
            draft_cond(out, c->args[1]);
        }
    }
    if (!simplify_draft(out, tables)) {
        return false;
    }
    *out = draft_settle(out);
    return true;
}

/* A keyed sum, the only definition of its tensor, as two that are added cell by cell. */
static bool join_keyed(Graph *g, Equation *e, int n, Draft *parts)
{
    Draft whole = draft_new(g, e->dst, RED_NONE, e->span);
    Scalar *body = NULL;
    for (int d = 0; d < e->dst->ndim; d++) {
        if (e->dst->dims[d]->kind != AXIS_FIXED) {
            return false;
        }
        whole.e.lhs[d] = sc_letter(g, draft_letter(&whole, (Letter){e->dst->dims[d], "p", -1}));
    }
    for (int i = 0; i < n; i++) {
        Tensor *t = parts[i].e.dst = partial(g, e->dst, i, "of", e->dst->elem);
        Scalar *part = sc_load(g, t, t->ndim, whole.e.lhs);
        draft_commit(&parts[i]);
        body = body ? sc_op(g, OP_add, body, part) : part;
    }
    whole.e.body = body;
    draft_store(&whole, e);
    return true;
}

/* is_sole: no other equation defines cells of its tensor. */
static bool split_alternative(Graph *g, Equation *e, int cond, bool is_sole, StepTables *tables)
{
    static const int number[2] = {0, 1};
    Draft parts[2];
    int n = 0;
    bool is_keyed = equation_has_keyed_lhs(e);
    if ((e->op != RED_NONE && !can_join(e)) || (is_keyed && (e->op != RED_SUM || !is_sole))) {
        return false;
    }
    for (int which = 0; which < 2; which++) {
        n += alternative_of(g, e, cond, which, tables, &parts[n]);
    }
    if (is_keyed) {
        return n == 2 && join_keyed(g, e, n, parts);
    }
    for (int l = 0; l < e->nletters; l++) {
        if (sc_uses_letter(e->conds[cond], l) && !is_output(e, l)) {
            return join_reduced(g, e, n, parts, number);
        }
    }
    /* A kernel that sums can leave out cells of others among its own; one that looks for a maximum cannot. */
    return (e->op == RED_NONE || e->op == RED_SUM) && store_parts(e, n, parts);
}

void pass_split(Graph *g)
{
    Order order = order_equations(g);
    bool *in_cycle = order.in_cycle;
    Equation ***defs = equations_by_tensor(g);
    StepTables tables = {0};
    int first = g->nequations;
    for (int i = 0; i < g->nequations; i++) { /* equations made on the way are looked at in turn */
        Equation *e = g->equations[i];
        bool again = i >= first || !in_cycle[i];
        while (again) {
            again = false;
            for (int l = 0; l < e->nletters && !again; l++) {
                if (e->letters[l].axis->kind == AXIS_SUM && asks_for_part(e, l)) {
                    again = is_output(e, l) ? split_output(g, e, l, &tables) : split_reduced(g, e, l, &tables);
                }
            }
            int cond = again ? -1 : find_alternative(e);
            bool is_sole = cond >= 0 && i < first && !defs[e->dst->id][1];
            again = again || (cond >= 0 && split_alternative(g, e, cond, is_sole, &tables));
        }
    }
    if (g->nequations != first) {
        graph_reorder(g);
        merge_equal_equations(g);
        drop_dead_equations(g);
    }
}
