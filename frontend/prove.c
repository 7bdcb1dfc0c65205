/* Statements about the model: `prove causal x -> y along T` (no cell y[i] depends on an x[j] with j > i) and `prove y
 * independent of x`. Decided on the equations, before anything is pruned, for all inputs and all values of the params;
 * prove.h says how. A dependence is whatever an equation reads where its conditions hold: loads of the body and of the
 * conditions alike, and, along an axis, the lengths of x's lists within its elements. The number of elements belongs
 * to the axis and is no part of x. */
#include "prove.h"

#include "../ir/ptrmap.h"
#include <string.h>

/* ---- choices ------------------------------------------------------------------------------------------------ */

static int ways(const Axis *a)
{
    return a->kind == AXIS_SUM ? a->nparts : a->kind == AXIS_FIXED && a->nmembers > 0 ? a->nmembers : 1;
}

/* 1 where there are too many to tell apart. */
int prove_choices(const Tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++) {
        n *= ways(t->dims[d]);
    }
    return n <= MAX_CHOICES ? (int)n : 1;
}

static bool coarse(const Tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++) {
        n *= ways(t->dims[d]);
    }
    return n > MAX_CHOICES;
}

/* Which way each dimension goes. */
void prove_ways(const Tensor *t, int choice, int *way)
{
    for (int d = t->ndim; d-- > 0;) {
        way[d] = choice % ways(t->dims[d]);
        choice /= ways(t->dims[d]);
    }
}

static int way_of(const Axis *dim, const Scalar *index) /* -1: open */
{
    if (dim->kind == AXIS_SUM) {
        return index->op == OP_INJECT ? (int)index->inum : -1;
    }
    return ways(dim) == 1 ? 0 : index->op == OP_CONST ? (int)index->inum : -1;
}

static bool possible(const Tensor *t, int choice, Scalar *const *args)
{
    int way[MAX_DIMS];
    prove_ways(t, choice, way);
    for (int d = 0; d < t->ndim && !coarse(t); d++) {
        int w = way_of(t->dims[d], args[d]);
        if (w >= 0 && w != way[d]) {
            return false;
        }
    }
    return true;
}

Along prove_along(const Proof *p, const Tensor *t, int choice)
{
    Along a = {0};
    int way[MAX_DIMS];
    prove_ways(t, choice, way);
    if (p->axis != NULL && !coarse(t)) {
        a.dim[a.n++] = FIRST;
    }
    for (int d = 0; d < t->ndim && a.n > 0; d++) {
        const Axis *dim = t->dims[d];
        if (dim != p->axis && !(dim->kind == AXIS_SUM && dim->parts[way[d]] == p->axis)) {
            continue;
        }
        if (a.n == MAX_ALONG) {
            return (Along){0};
        }
        a.dim[a.n++] = d;
    }
    return a;
}

/* The index along the axis at dimension d; NULL: it may be any. */
static Scalar *position(const Proof *p, const Tensor *t, int d, Scalar *const *args)
{
    if (d == FIRST) {
        return sc_int(p->g, 0);
    }
    return t->dims[d]->kind != AXIS_SUM ? args[d] : args[d]->op == OP_INJECT ? args[d]->args[0] : NULL;
}

unsigned prove_cover(const Use *u, unsigned set)
{
    unsigned cover = 0;
    for (int d = 0; d < u->along.n; d++) {
        cover |= (u->below[d] & set) != 0 ? 1u << d : 0;
    }
    return cover;
}

bool prove_bound(const Proof *p, const Tensor *t, int choice, unsigned set)
{
    return (p->bounds[t->id][choice] >> set & 1) != 0;
}

/* ---- what an equation depends on ------------------------------------------------------------------------------ */

enum { MAX_VISITS = 20000 };

typedef struct {
    Proof *p;
    const Equation *eq;
    Ctx *c;
    Conds conds;
    Scalar *lhs[MAX_DIMS];
    Scalar *const *map;
    int visits; /* after too many of them the conditions of a select are no longer used */
    void (*f)(const Use *, void *);
    void *ctx;
} Visit;

/* Tells f of the use for every choice of the result that this case of the equation defines. */
static void tell(Visit *k, Use *u)
{
    const Tensor *dst = k->eq->dst;
    u->eq = k->eq;
    u->conds = &k->conds;
    u->map = k->map;
    u->c = k->c;
    for (u->to = 0; u->to < prove_choices(dst); u->to++) {
        if (!possible(dst, u->to, k->lhs)) {
            continue;
        }
        u->out = prove_along(k->p, dst, u->to);
        for (int o = 0; o < u->out.n; o++) {
            u->at[o] = position(k->p, dst, u->out.dim[o], k->lhs);
        }
        for (int d = 0; d < u->along.n; d++) {
            u->below[d] = 0;
            for (int o = 0; o < u->out.n && u->index[d] != NULL; o++) {
                Scalar *room = u->at[o] != NULL ? sc_op(k->p->g, OP_sub, u->at[o], u->index[d]) : NULL;
                u->below[d] |= room != NULL && proves_nonneg(k->c, room, &k->conds) ? 1u << o : 0;
            }
        }
        k->f(u, k->ctx);
    }
}

static void tell_load(Visit *k, const Scalar *s)
{
    const Tensor *t = s->tensor;
    Scalar *const *args = s->args + s->at; /* of another example, too */
    bool all = equation_is_extern(k->eq);  /* C code reads what it likes */
    for (int n = 0; n < prove_choices(t); n++) {
        if (prove_bound(k->p, t, n, 0) || (!all && !possible(t, n, args))) {
            continue;
        }
        Use u = {.t = t, .choice = n, .along = prove_along(k->p, t, n)};
        for (int d = 0; d < u.along.n && !all; d++) {
            u.index[d] = position(k->p, t, u.along.dim[d], args);
        }
        tell(k, &u);
    }
}

/* The length of a list within element `at` of the axis, where x has such lists, is part of x. */
static void tell_length(Visit *k, const Axis *list, Scalar *at)
{
    const Proof *p = k->p;
    bool has = false;
    for (int d = 0; d < p->source->ndim; d++) {
        has = has || p->source->dims[d] == list;
    }
    if (p->axis == NULL || list->kind != AXIS_RAGGED || list->parent != p->axis || !has) {
        return;
    }
    for (int n = 0; n < prove_choices(p->source); n++) {
        Use u = {.t = p->source, .choice = n, .along = prove_along(p, p->source, n)};
        for (int d = 0; d < u.along.n; d++) {
            u.index[d] = u.along.dim[d] == FIRST ? sc_int(p->g, 0) : u.along.dim[d] == p->own ? at : NULL;
        }
        tell(k, &u);
    }
}

/* Everything below s, each with the conditions under which it is evaluated. */
static void visit(Visit *k, const Scalar *s, PtrMap *seen)
{
    void **mark = ptrmap_at(seen, s);
    if (*mark != NULL) {
        return;
    }
    *mark = k;
    bool split = s->op == OP_select || s->op == OP_and || s->op == OP_or;
    for (int n = 0; n < s->nargs; n++) {
        if (!split || n == 0 || k->visits++ > MAX_VISITS) {
            visit(k, s->args[n], seen);
            continue;
        }
        bool holds = s->op == OP_select ? n == 1 : s->op == OP_and;
        int before = k->conds.n;
        PtrMap inside = {0};
        Scalar *cond = s->args[0];
        while (holds && cond->op == OP_and) {
            conds_push(k->p->E, &k->conds, cond->args[1]);
            cond = cond->args[0];
        }
        conds_push(k->p->E, &k->conds, holds ? cond : negate(k->p->E, cond));
        visit(k, s->args[n], &inside);
        ptrmap_free(&inside);
        k->conds.n = before;
    }
    if (s->op == OP_LOAD) {
        tell_load(k, s);
    } else if (s->op == OP_SIZE && s->nargs > 0) {
        tell_length(k, s->axis, s->args[s->nargs - 1]);
    }
}

static bool never(const Scalar *s)
{
    return s->op == OP_CONST && s->inum == 0;
}

/* One case of the equation: letters over sums of axes stand for positions in one source each, those over members for
 * one member. All of its conditions hold for whatever counts, so also what a condition reads is read under all. */
static void visit_case(Visit *k)
{
    Proof *p = k->p;
    const Equation *eq = k->eq;
    for (int d = 0; d < eq->dst->ndim; d++) {
        k->lhs[d] = substitute_settled(p->g, eq->lhs[d], eq->nletters, k->map);
    }
    for (int n = 0; n < eq->nconds; n++) {
        Scalar *s = substitute_settled(p->g, eq->conds[n], eq->nletters, k->map);
        if (never(s)) {
            return;
        }
        for (; s->op == OP_and; s = s->args[0]) {
            conds_push(p->E, &k->conds, s->args[1]);
        }
        conds_push(p->E, &k->conds, s);
    }
    PtrMap seen = {0};
    for (int n = 0, last = k->conds.n; n < last; n++) {
        visit(k, k->conds.v[n], &seen);
    }
    visit(k, substitute_settled(p->g, eq->body, eq->nletters, k->map), &seen);
    ptrmap_free(&seen);
    for (int n = 0; n < eq->nletters; n++) {
        int parent = eq->letters[n].parent;
        if (parent >= 0) {
            tell_length(k, eq->letters[n].axis, k->map[parent] != NULL ? k->map[parent] : sc_letter(p->g, parent));
        }
    }
}

static void find_reached(const Scalar *s, void *ctx)
{
    Visit *k = ctx;
    for (int n = 0; s->op == OP_LOAD && n < prove_choices(s->tensor) && !k->visits; n++) {
        k->visits = !prove_bound(k->p, s->tensor, n, 0);
    }
    k->visits |= s->op == OP_SIZE && s->nargs > 0;
}

/* Most equations read nothing that depends on the source. */
static bool concerned(Proof *p, const Equation *eq)
{
    Visit k = {.p = p};
    equation_walk(eq, find_reached, &k);
    for (int n = 0; n < eq->nletters && p->axis != NULL; n++) {
        k.visits |= eq->letters[n].axis->kind == AXIS_RAGGED && eq->letters[n].axis->parent == p->axis;
    }
    return k.visits != 0;
}

void prove_uses(Proof *p, const Equation *eq, void (*f)(const Use *, void *), void *ctx)
{
    if (eq->dst == p->source || !concerned(p, eq)) {
        return;
    }
    Ctx *c = ctx_new(p->E, p->E->file, NULL, 0, SECTION_MODEL, "");
    int64_t cases = 1;
    for (int k = 0; k < eq->nletters; k++) {
        new_var(c, eq->letters[k].axis, eq->letters[k].name, eq->letters[k].parent);
        cases *= ways(eq->letters[k].axis);
    }
    bool apart = cases <= MAX_CHOICES;
    for (int n = 0; n < (apart ? (int)cases : 1); n++) {
        Scalar *map[MAX_LETTERS] = {NULL};
        for (int k = 0, rest = n; k < eq->nletters && apart; k++) {
            Axis *axis = eq->letters[k].axis;
            int way = rest % ways(axis);
            rest /= ways(axis);
            if (axis->kind == AXIS_SUM) {
                c->vars[k].axis = axis->parts[way];
                Scalar *letter = sc_letter(p->g, k);
                map[k] = sc_axis_op(p->g, OP_INJECT, axis, way, 1, &letter);
            } else if (ways(axis) > 1) {
                map[k] = sc_int(p->g, way);
            }
        }
        Visit k = {.p = p, .eq = eq, .c = c, .map = map, .f = f, .ctx = ctx};
        visit_case(&k);
    }
}

/* ---- the statements --------------------------------------------------------------------------------------------- */

typedef struct {
    Proof *p;
    bool changed;
} Settle;

static void weaken(const Use *u, void *ctx)
{
    Settle *s = ctx;
    Bounds *b = &s->p->bounds[u->eq->dst->id][u->to];
    for (unsigned set = 0; set < 1u << u->out.n; set++) {
        if ((*b >> set & 1) != 0 && !prove_bound(s->p, u->t, u->choice, prove_cover(u, set))) {
            *b &= ~((Bounds)1 << set);
            s->changed = true;
        }
    }
}

/* The source's cells in that choice have an index over the axis at its own dimension. */
static bool placed(const Proof *p, int choice)
{
    int way[MAX_DIMS] = {0};
    prove_ways(p->source, choice, way);
    const Axis *dim = p->source->dims[p->own];
    return dim == p->axis || coarse(p->source) || dim->parts[way[p->own]] == p->axis;
}

static void settle(Proof *p)
{
    Graph *g = p->g;
    p->bounds = arena_alloc(p->E->arena, (size_t)g->ntensors * sizeof *p->bounds);
    for (int k = 0; k < g->ntensors; k++) {
        int n = prove_choices(g->tensors[k]);
        p->bounds[k] = arena_alloc(p->E->arena, (size_t)n * sizeof **p->bounds);
        for (int m = 0; m < n; m++) {
            p->bounds[k][m] = ~(Bounds)0;
        }
    }
    for (int m = 0; m < prove_choices(p->source); m++) {
        Along a = prove_along(p, p->source, m);
        Bounds *b = &p->bounds[p->source->id][m];
        if (p->axis != NULL && !placed(p, m)) { /* cells that have no place on the axis are never later */
            continue;
        }
        *b = 0;
        for (int k = 0; k < a.n; k++) {
            for (unsigned set = 0; a.dim[k] == p->own && set < 1u << a.n; set++) {
                *b |= (set >> k & 1) != 0 ? (Bounds)1 << set : 0;
            }
        }
    }
    Settle s = {.p = p};
    do {
        s.changed = false;
        for (int k = 0; k < g->nequations; k++) {
            prove_uses(p, g->equations[k], weaken, &s);
        }
    } while (s.changed);
}

static Sym *named(Elab *E, const Stmt *s, const char *name)
{
    Entity *e = scope_find(E->file, name, 1 << 30);
    if (e == NULL) {
        const char *near =
            suggest_name(E, env_new(ctx_new(E, E->file, NULL, 1 << 30, SECTION_MODEL, ""), E->file), name);
        mistake(E, "E0401", s->span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL,
                "'%s' of the statement is not defined", name);
        return NULL;
    }
    Sym *sym = entity_sym(E, e);
    return sym != NULL && !sym->bad && sym->t != NULL ? sym : NULL;
}

/* Every cell of `to` that has a place on the axis is bounded by the first of its positions; if none has one, no cell
 * may depend on x: it comes at no time that x could be later than. */
static bool holds(Proof *p, const Stmt *stmt, const Tensor *to)
{
    bool any = false;
    for (int k = prove_choices(to); k-- > 0;) {
        any = any || prove_along(p, to, k).n > 1;
    }
    for (int k = 0; k < prove_choices(to); k++) {
        unsigned set = any ? 3 : 0; /* the first element and the first position */
        if ((any && prove_along(p, to, k).n <= 1) || prove_bound(p, to, k, set)) {
            continue;
        }
        prove_report(p, stmt, to, k, set);
        return false;
    }
    return true;
}

const char *prove_text(Elab *E, const Stmt *s)
{
    return s->along != NULL ? fmt(E, "prove causal %s -> %s along %s", s->from, s->to, s->along)
                            : fmt(E, "prove %s independent of %s", s->to, s->from);
}

/* Notes what became of a statement; one that fails in any mode is false. */
static void note(Elab *E, const Stmt *s, bool ok)
{
    Spec *spec = E->spec;
    const char *text = prove_text(E, s);
    for (int k = 0; k < spec->nstatements; k++) {
        if (spec->statements[k].line == s->span.line && strcmp(spec->statements[k].text, text) == 0) {
            spec->statements[k].holds &= ok;
            return;
        }
    }
    Statement new = {.text = text, .from = s->from, .to = s->to, .along = s->along, .line = s->span.line, .holds = ok};
    ARENA_PUSH(spec->arena, spec->statements, spec->nstatements, new);
}

int spec_statements(const Spec *s, const Statement **statements)
{
    *statements = s->statements;
    return s->nstatements;
}

static void check_independent(Elab *E, const Stmt *stmt)
{
    Sym *from = named(E, stmt, stmt->from), *to = named(E, stmt, stmt->to);
    if (from == NULL || to == NULL) {
        return;
    }
    Proof p = {.E = E, .g = E->g, .source = from->t, .own = -1};
    settle(&p);
    note(E, stmt, holds(&p, stmt, to->t));
}

static void check_causal(Elab *E, const Stmt *stmt)
{
    Sym *from = named(E, stmt, stmt->from), *to = named(E, stmt, stmt->to);
    AxisInfo *axis = axis_lookup(E, E->file, stmt->along);
    if (axis == NULL || axis->axis == NULL) {
        mistake(E, "E0401", stmt->span, "name the axis of time, as in along T", "there is no axis '%s'", stmt->along);
        return;
    }
    if (from == NULL || to == NULL) {
        return;
    }
    int n = 0;
    bool ok = true;
    for (int d = 0; d < from->ndim && ok; d++) { /* x[i,j]: later in either */
        bool along = from->dims[d] == axis->axis;
        for (int k = 0; from->dims[d]->kind == AXIS_SUM && k < from->dims[d]->nparts; k++) {
            along = along || from->dims[d]->parts[k] == axis->axis;
        }
        if (along) {
            Proof p = {.E = E, .g = E->g, .axis = axis->axis, .source = from->t, .own = d};
            settle(&p);
            ok = holds(&p, stmt, to->t);
            n++;
        }
    }
    if (n == 0) {
        mistake(E, "E0401", stmt->span,
                fmt(E, "along one of its axes, or prove %s independent of %s", stmt->to, stmt->from),
                "'%s' has no axis %s", stmt->from, stmt->along);
        return;
    }
    note(E, stmt, ok);
}

void check_proofs(Elab *E)
{
    for (int k = 0; k < SECTION_COUNT; k++) {
        const Stmt *section = E->spec->sections[k];
        bool there = k != SECTION_TRAIN && k != SECTION_RANK ? true : (k == SECTION_RANK) == (E->mode == MODE_RANK);
        for (int m = 0; section != NULL && there && m < section->body.n; m++) {
            const Stmt *s = section->body.v[m];
            if (s->kind == ST_PROVE) {
                (s->along != NULL ? check_causal : check_independent)(E, s);
            }
        }
    }
}
