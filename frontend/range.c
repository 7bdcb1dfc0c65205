/* Reductions as equations of their own, and the proof that a range is not empty.
 *
 * max, min, mean and draw have no value over nothing. "The range is not empty" is a condition like any other: a load
 * of a boolean tensor, any over the same range, made at once and pruned when nothing reads it in the end. It is
 * proven by a witness: a letter that is bound outside, or the first element of an axis that cannot be empty, for
 * which all conditions of the range hold. So softmax's max, read at some j of the range, is never over nothing. */
#include "elab.h"

#include <math.h>
#include <string.h>

/* ---- equations of their own --------------------------------------------------------------------------------- */

static void collect_vars(const Scalar *s, void *ctx)
{
    bool *used = ctx;
    if (s->op == OP_LETTER && s->inum < MAX_VARS) {
        used[s->inum] = true;
    }
}

static bool within(const Scalar *s, const bool *vars)
{
    bool used[MAX_VARS] = {false};
    sc_walk(s, collect_vars, used);
    for (int k = 0; k < MAX_VARS; k++) {
        if (used[k] && !vars[k]) {
            return false;
        }
    }
    return true;
}

static bool same_conds(const Conds *a, const Conds *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (int k = 0; k < a->n; k++) {
        if (a->v[k] != b->v[k]) {
            return false;
        }
    }
    return true;
}

static bool subset(const Conds *a, const Conds *b)
{
    for (int k = 0; k < a->n; k++) {
        if (!conds_has(b, a->v[k])) {
            return false;
        }
    }
    return true;
}

static Conds renumber(Ctx *c, const Conds *conds, Scalar *const *map)
{
    Conds r = {0};
    for (int k = 0; k < conds->n; k++) {
        conds_push(c->E, &r, sc_substitute(c->E->g, conds->v[k], c->nvars, map));
    }
    return r;
}

static Elem reduced_elem(const Pending *p)
{
    if (p->op == RED_ARGMAX) {
        return ELEM_I64;
    }
    switch (p->body->type) {
    case TYPE_BOOL:
        return ELEM_BOOL;
    case TYPE_INT:
        return ELEM_I64;
    case TYPE_F32:
        return ELEM_F32;
    default:
        return ELEM_REAL;
    }
}

Scalar *emit_pending(Ctx *c, Pending *p, Span span)
{
    Elab *E = c->E;
    Graph *g = E->g;
    bool used[MAX_VARS] = {false}, red[MAX_VARS] = {false};
    sc_walk(p->body, collect_vars, used);
    for (int k = 0; k < p->conds.n; k++) {
        sc_walk(p->conds.v[k], collect_vars, used);
    }
    for (int k = 0; k < p->nvars; k++) {
        red[p->vars[k]] = true;
        used[p->vars[k]] = true;
    }
    for (int v = c->nvars; v-- > 0;) { /* a nested axis needs the letter it is read at */
        for (int u = v; used[u] && c->vars[u].parent >= 0; u = c->vars[u].parent) {
            used[c->vars[u].parent] = true;
        }
    }
    int nout = 0, out[MAX_LETTERS];
    for (int v = 0; v < c->nvars; v++) {
        if (used[v] && !red[v]) {
            if (nout == MAX_DIMS) {
                mistake(E, "E0137", span, NULL, "this depends on more than %d letters", MAX_DIMS);
                return p->body->type == TYPE_BOOL ? sc_bool(g, false) : sc_int(g, 0);
            }
            out[nout++] = v;
        }
    }
    Scalar *map[MAX_VARS] = {NULL}, *args[MAX_DIMS];
    Axis *dims[MAX_DIMS];
    for (int k = 0; k < nout; k++) {
        map[out[k]] = sc_letter(g, k);
        args[k] = sc_letter(g, out[k]);
        dims[k] = c->vars[out[k]].axis;
    }
    for (int k = 0; k < p->nvars; k++) {
        map[p->vars[k]] = sc_letter(g, nout + k);
    }
    Conds inherited = {0};
    for (int k = 0; k < p->inherited.n; k++) {
        bool outs[MAX_VARS] = {false};
        for (int m = 0; m < nout; m++) {
            outs[out[m]] = true;
        }
        if (within(p->inherited.v[k], outs)) {
            conds_push(E, &inherited, p->inherited.v[k]);
        }
    }
    Conds own = renumber(c, &p->conds, map), more = renumber(c, &inherited, map);
    Scalar *body = sc_substitute(g, p->body, c->nvars, map);
    for (int k = 0; k < c->nsubs; k++) {
        const Sub *s = &c->subs[k];
        bool same = s->eq->op == p->op && s->eq->nletters == nout + p->nvars && s->t->ndim == nout &&
                    s->eq->body == body && same_conds(&s->own, &own) && subset(&s->inherited, &more);
        for (int m = 0; same && m < nout + p->nvars; m++) {
            int v = m < nout ? out[m] : p->vars[m - nout];
            same = s->eq->letters[m].axis == c->vars[v].axis;
        }
        if (same) {
            return sc_load(g, s->t, nout, args);
        }
    }
    Conds all = {0};
    for (int k = 0; k < inherited.n; k++) {
        conds_push(E, &all, inherited.v[k]);
    }
    for (int k = 0; k < p->conds.n; k++) {
        if (!conds_has(&all, p->conds.v[k])) {
            conds_push(E, &all, p->conds.v[k]);
        }
    }
    bool per = depends_on_example(c, p->op, p->nvars, p->vars, &all, p->body);
    for (int k = 0; k < nout; k++) {
        per = per || axis_is_ragged(dims[k]);
    }
    Tensor *t = value_tensor(E, fresh_name(E, c->base, ""), reduced_elem(p), nout, dims, per, span);
    Scalar *lhs[MAX_DIMS];
    for (int k = 0; k < nout; k++) {
        lhs[k] = args[k];
    }
    if (t->elem == ELEM_I64 && p->op != RED_ARGMAX) { /* bounds of a count */
        Interval b = interval_of(c, p->body);
        double n = 1;
        for (int k = 0; k < p->nvars; k++) {
            int64_t size = axis_bound(c->vars[p->vars[k]].axis);
            n = size < 0 ? 1e18 : n * (double)size;
        }
        if (p->op == RED_SUM && b.lo >= 0 && b.hi * n < 1e15) {
            t->lo = 0;
            t->hi = (int64_t)(b.hi * n);
        } else if (p->op != RED_SUM && b.lo > -1e15 && b.hi < 1e15) {
            t->lo = (int64_t)fmin(b.lo, 0);
            t->hi = (int64_t)fmax(b.hi, 0);
        }
    }
    Equation *eq = emit(c, t, lhs, nout, out, p->op, p->nvars, p->vars, &all, p->body, span);
    if (eq == NULL) {
        return sc_load(g, t, nout, args);
    }
    ARENA_PUSH(E->arena, c->subs, c->nsubs, ((Sub){.t = t, .eq = eq, .own = own, .inherited = more}));
    return sc_load(g, t, nout, args);
}

/* ---- ranges that are not empty ------------------------------------------------------------------------------ */

const NonEmpty *nonempty_of(Elab *E, const Scalar *cond)
{
    for (int k = 0; cond->op == OP_LOAD && cond->type == TYPE_BOOL && k < E->nnonempty; k++) {
        if (E->nonempty[k].any == cond->tensor && !E->nonempty[k].accepted) {
            return &E->nonempty[k];
        }
    }
    return NULL;
}

static bool never_empty(const Axis *a)
{
    if (a->kind == AXIS_SUM) {
        for (int k = 0; k < a->nparts; k++) {
            if (never_empty(a->parts[k])) {
                return true;
            }
        }
        return false;
    }
    return a->kind == AXIS_BATCH || (a->kind == AXIS_FIXED && a->size != 0) || (a->kind == AXIS_RAGGED && a->min > 0);
}

/* Elements of `axis` that exist for certain. */
static int witnesses(Ctx *c, Axis *axis, Scalar **out, int max)
{
    Graph *g = c->E->g;
    int n = 0;
    for (int v = c->nvars; v-- > 0 && n < max;) {
        if (c->live[v] && c->vars[v].axis == axis) {
            out[n++] = sc_letter(g, v);
        }
    }
    if (axis->kind == AXIS_SUM) {
        for (int p = 0; p < axis->nparts; p++) {
            Scalar *inner[4];
            int m = witnesses(c, axis->parts[p], inner, 4);
            for (int k = 0; k < m && n < max; k++) {
                out[n++] = sc_axis_op(g, OP_INJECT, axis, p, 1, &inner[k]);
            }
        }
    } else if (never_empty(axis) && n < max) {
        out[n++] = sc_int(g, 0);
    }
    return n;
}

static bool try_witnesses(Ctx *c, int n, Axis *const *axes, int at, Scalar **map, int nmap, const Conds *range,
                          const Conds *known, int base, int *budget)
{
    if (at == n) {
        for (int k = 0; k < range->n; k++) {
            Scalar *s = substitute_settled(c->E->g, range->v[k], nmap, map);
            if (!follows(c, s, known)) {
                return false;
            }
        }
        return true;
    }
    Scalar *w[12];
    int m = witnesses(c, axes[at], w, 12);
    for (int k = 0; k < m && (*budget)-- > 0; k++) {
        map[base + at] = w[k];
        if (try_witnesses(c, n, axes, at + 1, map, nmap, range, known, base, budget)) {
            return true;
        }
    }
    return false;
}

bool range_not_empty(Ctx *c, const Scalar *cond, const Conds *known)
{
    const NonEmpty *ne = nonempty_of(c->E, cond);
    if (ne == NULL || c->proving > 3) {
        return false;
    }
    const Equation *eq = ne->sub->eq;
    int nout = ne->any->ndim, nred = eq->nletters - nout, budget = 300;
    Scalar *map[MAX_LETTERS];
    Axis *axes[MAX_LETTERS];
    for (int k = 0; k < nout; k++) {
        map[k] = cond->args[k];
    }
    for (int k = 0; k < nred; k++) {
        axes[k] = eq->letters[nout + k].axis;
    }
    c->proving++;
    bool ok = try_witnesses(c, nred, axes, 0, map, eq->nletters, &ne->sub->own, known, nout, &budget);
    c->proving--;
    return ok;
}

static bool directly_not_empty(Ctx *c, const Pending *p, const Conds *known)
{
    Scalar *map[MAX_VARS] = {NULL};
    Axis *axes[MAX_LETTERS];
    Scalar *shifted[MAX_LETTERS];
    int budget = 300;
    /* The bound letters are numbered after all others for the search. */
    for (int k = 0; k < p->nvars; k++) {
        axes[k] = c->vars[p->vars[k]].axis;
        shifted[k] = sc_letter(c->E->g, MAX_VARS - MAX_LETTERS + k);
        map[p->vars[k]] = shifted[k];
    }
    Conds range = renumber(c, &p->conds, map);
    Scalar *fill[MAX_VARS] = {NULL};
    c->proving++;
    bool ok = try_witnesses(c, p->nvars, axes, 0, fill, MAX_VARS, &range, known, MAX_VARS - MAX_LETTERS, &budget);
    c->proving--;
    return ok;
}

void need_not_empty(Ctx *c, const Pending *range, AstReduce red, const char *what, Span span, Conds *out)
{
    Elab *E = c->E;
    bool live[MAX_LETTERS];
    for (int k = 0; k < range->nvars; k++) { /* a bound letter is no witness of itself */
        live[k] = c->live[range->vars[k]];
        c->live[range->vars[k]] = false;
    }
    if (!directly_not_empty(c, range, out)) {
        Pending any = *range;
        any.op = RED_ANY;
        any.body = sc_bool(E->g, true);
        Scalar *cond = emit_pending(c, &any, span);
        const NonEmpty *known = nonempty_of(E, cond);
        if (known == NULL && cond->op == OP_LOAD) {
            Sub *sub = arena_alloc(E->arena, sizeof *sub);
            for (int k = 0; k < c->nsubs; k++) {
                if (c->subs[k].t == cond->tensor) {
                    *sub = c->subs[k];
                }
            }
            if (sub->eq != NULL) {
                ARENA_PUSH(E->arena, E->nonempty, E->nnonempty,
                           ((NonEmpty){.any = cond->tensor,
                                       .sub = sub,
                                       .span = span,
                                       .red = red,
                                       .what = what,
                                       .axis = c->vars[range->vars[0]].axis}));
            }
        }
        conds_add(c, out, cond);
    }
    for (int k = 0; k < range->nvars; k++) {
        c->live[range->vars[k]] = live[k];
    }
}
