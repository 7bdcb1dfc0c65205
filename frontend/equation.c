/* Statements become equations: left-hand letters are bound to Vars, the right-hand side is elaborated, the conditions
 * that are left over become the domain of the name, and the letters are numbered for the graph. */
#include "lhs.h"

#include <string.h>

Ctx *ctx_new(Elab *E, Scope *s, Stmt *stmt, int pos, SectionKind section, const char *base)
{
    Ctx *c = arena_alloc(E->arena, sizeof *c);
    c->E = E;
    c->scope = s;
    c->stmt = stmt;
    c->pos = pos;
    c->section = section;
    c->base = base;
    return c;
}

int new_var(Ctx *c, Axis *a, const char *name, int parent)
{
    if (c->nvars >= MAX_VARS - MAX_LETTERS) {
        mistake(c->E, "E0137", c->stmt != NULL ? c->stmt->span : (Span){0}, "name intermediate results",
                "the statement binds more than %d letters", MAX_VARS - MAX_LETTERS);
        return -1;
    }
    c->vars[c->nvars] = (Var){.axis = a, .name = name, .parent = parent};
    return c->nvars++;
}

Tensor *value_tensor(Elab *E, const char *path, Elem elem, int ndim, Axis *const *dims, bool per_example, Span span)
{
    Tensor t = {.name = path,
                .elem = elem,
                .role = ROLE_VALUE,
                .per_example = per_example,
                .ndim = ndim,
                .lo = 0,
                .hi = -1,
                .span = span};
    memcpy(t.dims, dims, (size_t)ndim * sizeof *dims);
    return graph_tensor(E->g, t);
}

/* ---- emitting ----------------------------------------------------------------------------------------------- */

Equation *emit(Ctx *c, Tensor *dst, Scalar *const *lhs, int nout, const int *out, Reduce op, int nred, const int *red,
               const Conds *conds, Scalar *body, Span span)
{
    Elab *E = c->E;
    Graph *g = E->g;
    if (nout + nred > MAX_LETTERS) {
        mistake(E, "E0137", span, "name an intermediate result", "the equation has more than %d letters", MAX_LETTERS);
        return NULL;
    }
    Equation eq = {.dst = dst, .op = op, .nletters = nout + nred, .span = span};
    Scalar *map[MAX_VARS] = {NULL};
    int at[MAX_VARS], batch = -1;
    for (int v = 0; v < MAX_VARS; v++) {
        at[v] = -1;
    }
    for (int k = 0; k < nout + nred; k++) {
        int v = k < nout ? out[k] : red[k - nout];
        at[v] = k;
        map[v] = sc_letter(g, k);
        batch = c->vars[v].axis == g->batch && batch < 0 ? k : batch;
    }
    for (int k = 0; k < nout + nred; k++) {
        const Var *v = &c->vars[k < nout ? out[k] : red[k - nout]];
        int parent = v->parent >= 0 ? at[v->parent] : axis_is_ragged(v->axis) ? batch : -1;
        eq.letters[k] = (Letter){.axis = v->axis, .name = v->name, .parent = parent};
    }
    for (int d = 0; d < dst->ndim; d++) {
        eq.lhs[d] = sc_substitute(g, lhs[d], c->nvars, map);
    }
    Conds renamed = {0};
    for (int k = 0; k < conds->n; k++) {
        conds_push(E, &renamed, sc_substitute(g, conds->v[k], c->nvars, map));
    }
    eq.conds = renamed.v;
    eq.nconds = renamed.n;
    eq.body = sc_substitute(g, body, c->nvars, map);
    return graph_equation(g, eq);
}

typedef struct {
    Ctx *c;
    bool found;
} Dependence;

static void look_at(const Scalar *s, void *ctx)
{
    Dependence *d = ctx;
    switch (s->op) {
    case OP_LOAD:
        d->found = d->found || (s->tensor->per_example && !s->at);
        break;
    case OP_SIZE:
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
        d->found = d->found || axis_is_ragged(s->axis);
        break;
    case OP_LETTER:
        d->found = d->found || (s->inum < d->c->nvars && axis_is_ragged(d->c->vars[s->inum].axis));
        break;
    case OP_RAND:
        d->found = d->found || !s->by_step;
        break;
    case OP_SELF:
        d->found = true;
        break;
    default:
        break;
    }
}

bool depends_on_example(Ctx *c, Reduce op, int nred, const int *red, const Conds *conds, const Scalar *body)
{
    (void)op;
    for (int k = 0; k < nred; k++) {
        if (c->vars[red[k]].axis == c->E->g->batch) {
            return false;
        }
    }
    Dependence d = {.c = c};
    for (int k = 0; k < nred; k++) {
        d.found = d.found || axis_is_ragged(c->vars[red[k]].axis);
    }
    sc_walk(body, look_at, &d);
    for (int k = 0; k < conds->n; k++) {
        sc_walk(conds->v[k], look_at, &d);
    }
    return d.found;
}

void read_by(Ctx *c, Sym *sym)
{
    if (c->section != SECTION_MODEL && sym->section == SECTION_MODEL) {
        sym->read_outside = true;
    }
    if (c->sym != NULL && c->sym->tainted_by == NULL && sym->tainted_by != NULL) {
        c->sym->tainted_by = sym;
    }
}

/* ---- cases ------------------------------------------------------------------------------------------------- */

typedef struct {
    Ctx *c;
    Scalar *lhs[MAX_DIMS];
    Conds where, conds;
    Reduce op;
    int nred, red[MAX_LETTERS];
    Scalar *body;
    Axis *home;
    Case kase;
    Span span;
    bool absent;
} Result;

static void report_empty(Ctx *c, const NonEmpty *ne)
{
    Elab *E = c->E;
    const char *why = ne->axis->kind == AXIS_RAGGED && ne->axis->min == 0
                          ? fmt(E, "%s can have length 0", ne->axis->name)
                          : fmt(E, "no element of %s is certain to meet its conditions", ne->axis->name);
    const char *remedy = ne->axis->kind == AXIS_RAGGED && ne->axis->min == 0
                             ? fmt(E, "write %s ... else value, or ragged(min = 1, ...)", ne->what)
                             : fmt(E, "write %s ... else value", ne->what);
    mistake(E, "E0221", ne->span, remedy, "%s may be over nothing: %s", ne->what, why);
}

/* Conditions that must have been proven by now. */
static bool settle_nonempty(Ctx *c, const Conds *conds, Conds *out)
{
    bool ok = true;
    for (int k = 0; k < conds->n; k++) {
        const NonEmpty *ne = nonempty_of(c->E, conds->v[k]);
        if (ne != NULL && ne->red == AST_DRAW && !range_not_empty(c, conds->v[k], conds)) {
            for (int m = 0; m < c->E->nnonempty; m++) {
                c->E->nonempty[m].accepted = c->E->nonempty[m].accepted || c->E->nonempty[m].any == ne->any;
            }
            ne = NULL; /* there is nothing to draw: the name is absent */
        }
        if (ne != NULL && !range_not_empty(c, conds->v[k], conds)) {
            report_empty(c, ne);
            ok = false;
        }
        if (ne == NULL) {
            conds_push(c->E, out, conds->v[k]);
        }
    }
    return ok;
}

/* A shift's condition in words: where it holds, and where it does not. */
static void cond_words(Ctx *c, const Scalar *s, const char **holds, const char **fails)
{
    const Scalar *a = s->args[0], *b = s->args[1];
    *holds = *fails = NULL;
    if (s->op == OP_lt && b->op == OP_SIZE && a->op == OP_add && a->args[0]->op == OP_LETTER &&
        a->args[1]->op == OP_CONST) {
        const char *letter = c->vars[a->args[0]->inum].name;
        long long k = (long long)a->args[1]->inum;
        *holds = k == 1 ? fmt(c->E, "%s < last(%s)", letter, b->axis->name)
                        : fmt(c->E, "%s + %lld <= last(%s)", letter, k, b->axis->name);
        *fails = k == 1 ? fmt(c->E, "%s = last(%s)", letter, b->axis->name)
                        : fmt(c->E, "%s + %lld > last(%s)", letter, k, b->axis->name);
    } else if (s->op == OP_le && a->op == OP_CONST && b->op == OP_LETTER) {
        const char *letter = c->vars[b->inum].name;
        *holds = fmt(c->E, "%s >= %lld", letter, (long long)a->inum);
        *fails = a->inum == 1 ? fmt(c->E, "%s = 0", letter) : fmt(c->E, "%s < %lld", letter, (long long)a->inum);
    }
}

static void warn_smaller(Ctx *c, Sym *sym, const Lhs *l, const Conds *extra)
{
    Elab *E = c->E;
    for (int k = 0; k < c->nshifts && !sym->provisional; k++) {
        const struct Shift *shift = &c->shifts[k];
        if (!conds_has(extra, shift->cond) || shift->index == NULL) {
            continue;
        }
        const char *holds, *fails;
        cond_words(c, shift->cond, &holds, &fails);
        const char *index = expr_text(E, shift->index);
        Text lhs = {0};
        text_printf(&lhs, "%s[", sym->name);
        for (int m = 0; m < l->nidx; m++) {
            text_printf(&lhs, "%s", m > 0 ? ", " : "");
            for (int j = 0; j < l->idx[m].nsources; j++) {
                text_printf(&lhs, "%s%s", l->idx[m].sources[j], j + 1 < l->idx[m].nsources ? "|" : " ");
            }
            expr_print(l->idx[m].e, &lhs);
        }
        caution(E, "W0203", l->span,
                fmt(E, "write %s where %s] to say so, or %s[%s] else ...", lhs.s, holds != NULL ? holds : "...",
                    shift->name, index),
                "'%s' is smaller than axis %s: %s[%s] does not exist%s%s", sym->name, shift->axis->name, shift->name,
                index, fails != NULL ? " where " : " everywhere", fails != NULL ? fails : "");
        text_free(&lhs);
        return;
    }
}

static bool elab_case(Elab *E, Entity *e, Sym *sym, int k, Env *env, const Place *places, const char *source, Result *r)
{
    Ctx *c = env->ctx;
    const Lhs *l = &e->cases[k]->lhs[e->case_lhs[k]];
    Stmt *stmt = e->cases[k];
    r->c = c;
    r->span = stmt->value->span;
    r->kase.span = l->span;
    for (int d = 0; d < MAX_DIMS; d++) {
        r->kase.local[d] = -1;
    }
    if (!bind_places(env, sym, places, source, &r->kase, r->lhs)) {
        return false;
    }
    if (l->where != NULL && !elab_conds(env, l->where, &r->where)) {
        return false;
    }
    Conds where = {0};
    if (!settle_nonempty(c, &r->where, &where)) {
        return false;
    }
    r->where = where;
    /* A recurrence reads the name while its body is elaborated: as far as its `where` says. */
    Scalar *to_dim[MAX_VARS] = {NULL};
    int at = 0;
    for (int d = 0; d < sym->ndim; d++) {
        if (r->kase.kind[d] == CASE_BARE || (r->kase.kind[d] == CASE_PART && r->kase.local[d] < 0)) {
            to_dim[c->out[at++]] = sc_letter(E->g, d);
        }
    }
    for (int m = 0; m < where.n; m++) {
        conds_push(E, &r->kase.conds, sc_substitute(E->g, where.v[m], c->nvars, to_dim));
    }
    facts_push(c, &where);
    for (int m = 0; m < where.n; m++) {
        conds_push(E, &c->letter_conds, where.v[m]);
    }
    ARENA_PUSH(E->arena, sym->cases, sym->ncases, r->kase);
    c->draw = stmt->value;
    Val v = elab(env, stmt->value);
    facts_reset(c, 0);
    if (v.bad) {
        return false;
    }
    if (v.pending != NULL && c->nout + v.pending->nvars > MAX_LETTERS) {
        v = force(c, v);
    }
    Conds all = {0}, range = {0};
    conds_join(c, &all, &where);
    conds_join(c, &all, &v.conds);
    if (!settle_nonempty(c, &all, &r->conds)) {
        return false;
    }
    Conds extra = {0};
    for (int m = where.n; m < r->conds.n; m++) {
        conds_push(E, &extra, r->conds.v[m]);
    }
    warn_smaller(c, sym, l, &extra);
    r->kase.conds = (Conds){0};
    r->absent = conds_false(&r->conds);
    for (int m = 0; m < r->conds.n; m++) {
        conds_push(E, &r->kase.conds, sc_substitute(E->g, r->conds.v[m], c->nvars, to_dim));
    }
    if (v.part != NULL) {
        v.home = v.part; /* a token on its own: an id of its source */
    }
    r->home = v.home;
    if (v.pending != NULL) {
        r->op = v.pending->op;
        r->nred = v.pending->nvars;
        memcpy(r->red, v.pending->vars, sizeof r->red);
        r->body = v.pending->body;
        Conds both = {0};
        conds_join(c, &both, &r->conds);
        conds_join(c, &both, &v.pending->conds);
        if (!settle_nonempty(c, &both, &range)) {
            return false;
        }
        r->conds = range;
        return true;
    }
    r->op = RED_NONE;
    r->body = v.s;
    c->is_draw = c->is_draw || v.s->op == OP_RAND; /* the whole right-hand side: a batch may give its values */
    return true;
}

/* ---- the name ------------------------------------------------------------------------------------------------- */

static Elem small_elem(const Interval *i)
{
    return i->lo >= -2147483648.0 && i->hi <= 2147483647.0 ? ELEM_I32 : ELEM_I64;
}

static Interval result_range(Result *r)
{
    Interval i = interval_of(r->c, r->body);
    if (r->op == RED_SUM) {
        double n = 1;
        for (int k = 0; k < r->nred; k++) {
            int64_t size = axis_bound(r->c->vars[r->red[k]].axis);
            n = size < 0 ? 1e19 : n * (double)size;
        }
        i.lo = i.lo < 0 ? i.lo * n : 0;
        i.hi = i.hi > 0 ? i.hi * n : 0;
    }
    if (r->op == RED_ARGMAX) {
        int64_t size = axis_bound(r->c->vars[r->red[0]].axis);
        i = (Interval){0, size < 0 ? 9e18 : (double)(size - 1)};
    }
    return i;
}

static Type result_type(const Result *r)
{
    return r->op == RED_ARGMAX ? TYPE_INT : r->op == RED_ANY ? TYPE_BOOL : r->body->type;
}

static bool overlap(const Sym *sym, const Case *a, const Case *b)
{
    for (int d = 0; d < sym->ndim; d++) {
        if (a->kind[d] == CASE_BARE || b->kind[d] == CASE_BARE) {
            continue;
        }
        if (a->which[d] != b->which[d] || (a->local[d] >= 0 && b->local[d] >= 0 && a->local[d] != b->local[d])) {
            return false;
        }
    }
    return true;
}

static bool check_cases(Elab *E, const Sym *sym, int n, const Result *r)
{
    for (int k = 0; k < n; k++) {
        for (int m = 0; m < k; m++) {
            if (overlap(sym, &r[k].kase, &r[m].kase)) {
                return mistake(E, "E0120", r[k].kase.span,
                               "cases must be disjoint: other members or sources; or use :=", "'%s' is defined twice",
                               sym->name);
            }
        }
    }
    return true;
}

static bool finish(Elab *E, Entity *e, Sym *sym, int n, Result *r)
{
    Graph *g = E->g;
    int bools = 0, reals = 0, f32s = 0;
    bool per_example = sym->provisional, draw = false;
    Interval range = {1e300, -1e300};
    Axis *home = r[0].home;
    for (int k = 0; k < n; k++) {
        Type t = result_type(&r[k]);
        bools += t == TYPE_BOOL;
        reals += t == TYPE_REAL;
        f32s += t == TYPE_F32;
        per_example = per_example || depends_on_example(r[k].c, r[k].op, r[k].nred, r[k].red, &r[k].conds, r[k].body);
        for (int d = 0; d < sym->ndim; d++) {
            bool over_batch = false;
            for (int m = 0; m < r[k].nred; m++) {
                over_batch = over_batch || r[k].c->vars[r[k].red[m]].axis == g->batch;
            }
            per_example = per_example || (axis_is_ragged(sym->dims[d]) && !over_batch);
        }
        draw = draw || r[k].c->is_draw;
        home = r[k].home == home ? home : NULL;
        if (t == TYPE_INT) {
            Interval i = result_range(&r[k]);
            range.lo = i.lo < range.lo ? i.lo : range.lo;
            range.hi = i.hi > range.hi ? i.hi : range.hi;
        }
    }
    if (bools > 0 && bools < n) {
        return mistake(E, "E0140", r[0].kase.span, NULL, "some cases of '%s' are conditions and some are numbers",
                       sym->name);
    }
    bool all_int = bools == 0 && reals == 0 && f32s == 0;
    Interval stored = {range.lo < 0 ? range.lo : 0, range.hi > 0 ? range.hi : 0}; /* absent cells hold 0 */
    Elem elem = bools > 0 ? ELEM_BOOL : all_int ? small_elem(&stored) : reals == 0 && f32s == n ? ELEM_F32 : ELEM_REAL;
    if (sym->t == NULL) {
        sym->t = value_tensor(E, sym->path, elem, sym->ndim, sym->dims, per_example, sym->span);
        name_tensor(E, sym->t, sym);
    } else if (elem != ELEM_REAL) {
        if (elem == ELEM_BOOL) {
            return mistake(E, "E0232", sym->span, NULL, "the recurrence '%s' must be over real numbers", sym->name);
        }
    }
    Tensor *t = sym->t;
    t->is_draw = draw;
    if (all_int && stored.lo > -9e18 && stored.hi < 9e18 && t->elem != ELEM_REAL) {
        t->lo = (int64_t)stored.lo;
        t->hi = (int64_t)stored.hi;
    }
    sym->values = home != NULL && all_int && !axis_is_number(E, home) ? home : NULL;
    if (sym->values != NULL && t->elem == ELEM_I64 && sym->values->size < 0) {
        t->elem = ELEM_I32; /* ids of a vocabulary whose size is not known yet */
    }
    sym->ncases = 0;
    sym->cases = NULL;
    bool partial = false;
    for (int k = 0; k < n; k++) {
        bool split = r[k].kase.conds.n > 0;
        for (int d = 0; d < sym->ndim; d++) {
            split = split || r[k].kase.kind[d] != CASE_BARE;
        }
        partial = partial || split;
        if (r[k].absent) {
            continue;
        }
        Scalar *body = r[k].body;
        if (r[k].op != RED_ARGMAX && r[k].op != RED_ANY && body->type != elem_type(t->elem)) {
            body = sc_op(g, t->elem == ELEM_F32 ? OP_f32 : OP_real, body);
        }
        emit(r[k].c, t, r[k].lhs, r[k].c->nout, r[k].c->out, r[k].op, r[k].nred, r[k].red, &r[k].conds, body,
             r[k].span);
    }
    for (int k = 0; partial && k < n; k++) {
        ARENA_PUSH(E->arena, sym->cases, sym->ncases, r[k].kase);
    }
    (void)e;
    return true;
}

static bool domain_as_assumed(Elab *E, const Sym *sym, int n, const Result *r)
{
    for (int k = 0; sym->provisional && k < n; k++) {
        if (r[k].conds.n > 0 && r[k].kase.conds.n > r[k].where.n) {
            return mistake(E, "E0233", r[k].kase.span,
                           "say the conditions in its where, or give the other cells with else",
                           "the recurrence '%s' is smaller than its left-hand side says", sym->name);
        }
    }
    return true;
}

/* h := e without indices, where e has axes: from here on h is another name for e. NULL: it is no such statement. */
static Sym *other_name(Elab *E, Entity *e)
{
    const Stmt *stmt = e->cases[0];
    const Expr *x = stmt->value;
    if (e->ncases != 1 || !e->rebinds || stmt->lhs[0].has_bracket || stmt->by != NULL || x->kind != EX_NAME ||
        x->has_bracket || x->at != NULL) {
        return NULL;
    }
    Entity *named = scope_find(e->home, x->prime ? fmt(E, "%s'", x->name) : x->name, e->pos);
    Sym *sym = named != NULL && named != e ? entity_sym(E, named) : NULL;
    return sym != NULL && (sym->bad || sym->ndim > 0) ? sym : NULL;
}

Sym *elab_equations(Elab *E, Entity *e)
{
    if (e->status == BUSY) {
        if (e->sym == NULL || !e->sym->busy) {
            mistake(E, "E0231", e->span, NULL, "'%s' is defined by itself", e->name);
            return NULL;
        }
        return e->sym;
    }
    e->status = BUSY;
    Sym *sym = other_name(E, e);
    if (sym != NULL) {
        e->status = DONE;
        e->sym = sym;
        return sym;
    }
    sym = arena_alloc(E->arena, sizeof *sym);
    *sym = (Sym){.name = e->name, .span = e->span, .section = e->section, .bad = true};
    ARENA_PUSH(E->arena, E->syms, E->nsyms, sym);
    const char *path = join_path(E, e->home->path, e->name);
    bool rebound = false; /* the plain name is for the last value */
    for (const Entity *o = e->scope->entities; o != NULL; o = o->next) {
        rebound = rebound || (strcmp(o->name, e->name) == 0 && o->pos > e->pos);
    }
    sym->path = rebound || graph_find(E->g, path) != NULL ? fresh_name(E, path, "") : path;
    Ctx *outer = E->ctx;
    Place(*places)[MAX_DIMS] = arena_alloc(E->arena, (size_t)e->ncases * sizeof *places);
    Ctx **ctxs = arena_alloc(E->arena, (size_t)e->ncases * sizeof *ctxs);
    Env **envs = arena_alloc(E->arena, (size_t)e->ncases * sizeof *envs);
    bool ok = true;
    for (int k = 0; k < e->ncases && ok; k++) {
        Stmt *stmt = e->cases[k];
        ctxs[k] = ctx_new(E, e->home, stmt, e->pos, e->section, sym->path);
        ctxs[k]->sym = sym;
        ctxs[k]->by_step = stmt->by != NULL;
        envs[k] = env_new(ctxs[k], e->home);
        int n = places_of(envs[k], &stmt->lhs[e->case_lhs[k]], places[k]);
        if (n < 0) {
            ok = false;
        } else if (k > 0 && n != sym->ndim) {
            ok = mistake(E, "E0123", stmt->lhs[e->case_lhs[k]].span, NULL,
                         "'%s' has %d axes in one case and %d in another", e->name, sym->ndim, n);
        } else if (e->ndims >= 0 && n != e->ndims) {
            ok = mistake(E, "E0123", stmt->lhs[e->case_lhs[k]].span, NULL,
                         "'%s' has %d axes here and %d where it is declared", e->name, n, e->ndims);
        } else {
            sym->ndim = n;
        }
    }
    ok = ok && find_dims(E, e, envs, places, sym->ndim, sym->dims);
    if (!ok) {
        e->status = DONE;
        e->sym = sym;
        return sym;
    }
    e->sym = sym;
    sym->bad = false;
    sym->busy = true;
    Result *r = NULL;
    int n = 0;
    for (int k = 0; k < e->ncases; k++) {
        const Place *multi = NULL;
        for (int d = 0; d < sym->ndim; d++) {
            multi = places[k][d].nsources > 1 ? &places[k][d] : multi;
        }
        for (int s = 0; s < (multi != NULL ? multi->nsources : 1); s++) {
            Env *env = envs[k];
            if (s > 0) { /* the same equation for another source, with letters of its own */
                Ctx *c = ctx_new(E, e->home, e->cases[k], e->pos, e->section, sym->path);
                c->sym = sym;
                c->by_step = ctxs[k]->by_step;
                env = env_new(c, e->home);
                places_of(env, &e->cases[k]->lhs[e->case_lhs[k]], places[k]);
                for (int d = 0; d < sym->ndim; d++) {
                    multi = places[k][d].nsources > 1 ? &places[k][d] : multi;
                }
            }
            E->ctx = env->ctx;
            Result one = {0};
            bool good = elab_case(E, e, sym, k, env, places[k], multi != NULL ? multi->sources[s] : NULL, &one);
            ok = ok && good;
            ARENA_PUSH(E->arena, r, n, one);
        }
    }
    E->ctx = outer;
    sym->busy = false;
    ok = ok && check_cases(E, sym, n, r) && domain_as_assumed(E, sym, n, r) && finish(E, e, sym, n, r);
    sym->bad = !ok;
    e->status = DONE;
    return sym;
}
