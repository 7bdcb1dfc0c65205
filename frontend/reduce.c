/* Reductions. The conditions of the body that mention a bound letter restrict the range; the others pass outward and
 * become conditions of the result (rule 5). A reduction that is not the whole right-hand side becomes an equation of
 * its own, once for equal ones in a statement. */
#include "elab.h"

#include <string.h>

/* ---- binding ------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    Env *env;
    const Axis *parent_axis;
    int parent; /* found: Var */
    Axis *instance;
} Search;

static void search_expr(Search *s, const Expr *e);

static void search_idx(Search *s, int n, const Idx *idx, const Expr *of)
{
    for (int k = 0; k < n; k++) {
        if (is_index_name(&idx[k], s->name)) {
            if (k > 0 && s->parent_axis != NULL && idx[k - 1].e->kind == EX_NAME) {
                int m;
                Slot **slots, *p = env_slots(s->env, idx[k - 1].e->name, &m, &slots);
                if (p != NULL && m == 1 && p->bound && p->axis == s->parent_axis && p->part == NULL) {
                    s->parent = p->var;
                }
            }
            if (of != NULL && s->parent_axis == NULL && s->instance == NULL) {
                Entity *ent = scope_find(s->env->scope, of->prime ? fmt(s->env->ctx->E, "%s'", of->name) : of->name,
                                         s->env->ctx->pos);
                if (ent != NULL && ent->ndims > k) {
                    s->instance = ent->dims[k];
                } else if (ent != NULL) {
                    Sym *sym = ent->status == BUSY ? ent->sym : entity_sym(s->env->ctx->E, ent);
                    if (sym != NULL && !sym->bad && k < sym->ndim && sym->dims[k]->kind == AXIS_SUM) {
                        s->instance = sym->dims[k];
                    }
                }
            }
        }
        search_expr(s, idx[k].e);
    }
}

static void search_expr(Search *s, const Expr *e)
{
    if (e == NULL) {
        return;
    }
    search_expr(s, e->a);
    search_expr(s, e->b);
    search_expr(s, e->where);
    search_idx(s, e->nidx, e->idx, e->kind == EX_NAME ? e : NULL);
    for (int k = 0; k < e->nargs; k++) {
        search_expr(s, e->args[k].value);
    }
    for (Thunk *t = e->kind == EX_NAME && !e->has_bracket ? s->env->thunks : NULL; t != NULL; t = t->next) {
        if (strcmp(t->name, e->name) == 0 && t->e != NULL && t->env != s->env) {
            Env *here = s->env;
            s->env = t->env;
            search_expr(s, t->e);
            s->env = here;
        }
    }
}

Axis *infer_instance(Env *env, const Expr *body, const char *letter)
{
    Search s = {.name = letter, .env = env, .parent = -1};
    search_expr(&s, body);
    if (s.instance == NULL && env->scope->instance != NULL) {
        s.instance = env->scope->instance->axis;
    }
    return s.instance;
}

bool bind_slot(Env *env, Slot *s, const Expr *body, Span at)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    if (s->axis == NULL && s->family != NULL) {
        s->axis = infer_instance(env, body, s->name);
        if (s->axis == NULL) {
            return mistake(E, "E0154", at, NULL, "cannot tell which %s<...> the letter '%s' ranges over",
                           s->family->name, s->name);
        }
    }
    if (s->axis == NULL) {
        return false;
    }
    int parent = -1;
    if (axis_nparents(s->axis) > 0) {
        Search find = {.name = s->name, .env = env, .parent_axis = s->axis->parent, .parent = -1};
        search_expr(&find, body);
        parent = find.parent;
        for (int v = c->nvars; parent < 0 && v-- > 0;) {
            if (c->live[v] && c->vars[v].axis == s->axis->parent) {
                parent = v;
            }
        }
        if (parent < 0) {
            return mistake(E, "E0139", at, NULL, "a letter of %s stands only beside a letter of %s: none is bound here",
                           s->axis->name, s->axis->parent->name);
        }
    }
    int var = new_var(c, s->axis, s->name, parent);
    if (var < 0) {
        return false;
    }
    s->bound = true;
    s->var = var;
    s->part = NULL;
    s->local = NULL;
    c->live[var] = true;
    return true;
}

/* ---- the operators ------------------------------------------------------------------------------------------ */

typedef struct {
    int n;
    Slot *slots[MAX_LETTERS];
    Slot saved[MAX_LETTERS];
    const Idx *choice; /* the binder with several sources, or NULL */
    Slot *choice_slot;
} Binders;

static const char *reduce_text(Elab *E, const Expr *e)
{
    Text t = {0};
    text_printf(&t, "%s[", ast_reduce_name[e->red]);
    for (int k = 0; k < e->nidx; k++) {
        text_printf(&t, "%s", k > 0 ? "," : "");
        for (int m = 0; m < e->idx[k].nsources; m++) {
            text_printf(&t, "%s%s", e->idx[k].sources[m], m + 1 < e->idx[k].nsources ? "|" : " ");
        }
        text_printf(&t, "%s", e->idx[k].e->kind == EX_NAME ? e->idx[k].e->name : "?");
    }
    text_printf(&t, "]");
    const char *s = arena_strdup(E->arena, t.s);
    text_free(&t);
    return s;
}

static bool open_binders(Env *env, const Expr *e, Binders *b)
{
    Elab *E = env->ctx->E;
    for (int k = 0; k < e->nidx; k++) {
        const Idx *x = &e->idx[k];
        if (x->e->kind != EX_NAME || x->e->has_bracket) {
            return mistake(E, "E0103", x->span, NULL, "%s binds letters; this is an expression",
                           ast_reduce_name[e->red]);
        }
        int n;
        Slot **slots, *first = env_slots(env, x->e->name, &n, &slots);
        if (first == NULL) {
            return mistake(E, "E0103", x->span, "letters are declared with their axis: axis D = 50 over d",
                           "no axis has the letter '%s'", x->e->name);
        }
        bool is_param = false; /* a function's bracketed letter is bound by its caller and may be bound again inside */
        for (const Group *g = env->groups; env->is_fn && g != NULL; g = g->next) {
            is_param = is_param || (strcmp(g->name, x->e->name) == 0 && n > 0 && slots[0]->name != x->e->name);
        }
        for (int m = 0; m < n; m++) {
            if (slots[m]->bound && !env->is_fn) {
                return mistake(E, "E0105", x->span, fmt(E, "write %s1", x->e->name), "index '%s' is already bound",
                               x->e->name);
            }
            if (b->n == MAX_LETTERS) {
                return mistake(E, "E0137", x->span, NULL, "more than %d letters", MAX_LETTERS);
            }
            b->saved[b->n] = *slots[m];
            b->slots[b->n++] = slots[m];
        }
        (void)is_param;
        if (x->nsources > 0) {
            if (n != 1) {
                return mistake(E, "E0103", x->span, NULL, "a source needs one letter");
            }
            b->choice = b->choice == NULL ? x : b->choice;
            b->choice_slot = first;
        }
    }
    return true;
}

static void close_binders(Ctx *c, Binders *b)
{
    for (int k = b->n; k-- > 0;) {
        if (b->slots[k]->bound && b->slots[k]->part == NULL && b->slots[k]->var < MAX_VARS) {
            c->live[b->slots[k]->var] = false;
        }
        Slot *next = b->slots[k]->next;
        *b->slots[k] = b->saved[k];
        b->slots[k]->next = next;
    }
}

/* A function that reduces a letter which is bound outside runs over what that letter is restricted to (rule 4):
 * p[i, j where j <= i] = softmax[j](s[i,j]) is over j <= i. */
static void again_in_range(Env *env, const Binders *b, Conds *range)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    Scalar *map[MAX_VARS] = {NULL};
    bool any = false;
    for (int k = 0; k < b->n; k++) {
        const Slot *old = &b->saved[k], *now = b->slots[k];
        if (old->bound && old->local == NULL && now->bound && now->local == NULL && old->axis == now->axis) {
            map[old->var] = sc_letter(g, now->var);
            any = true;
        }
    }
    for (int k = 0; any && k < c->letter_conds.n; k++) {
        Scalar *s = sc_substitute(g, c->letter_conds.v[k], c->nvars, map);
        if (s != c->letter_conds.v[k]) {
            conds_push(c->E, range, s);
        }
    }
}

/* Binds all letters, the one with a source to `source`, and elaborates the range and the body. */
static bool elab_range(Env *env, const Expr *e, Binders *b, const char *source, Pending *p, Val *outward)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    Expr both = {.kind = EX_BINARY, .op = BIN_AND, .a = e->a, .b = e->where, .span = e->span, .op_span = e->op_span};
    const Expr *scan = e->a == NULL ? e->where : e->where == NULL ? e->a : &both;
    int bound[MAX_LETTERS], nbound = 0;
    for (int k = 0; k < b->n; k++) {
        Slot *s = b->slots[k];
        s->bound = false;
        if (source != NULL && s == b->choice_slot) {
            int member = -1;
            AxisInfo *a = axis_lookup(E, env->scope, source);
            Axis *axis = a != NULL ? a->axis : member_lookup(E, env->scope, source, &member);
            if (axis == NULL) {
                return mistake(E, "E0101", b->choice->span, NULL, "there is no axis '%s'", source);
            }
            if (member >= 0) {
                s->bound = true;
                s->part = axis;
                s->local = sc_int(g, member);
                continue;
            }
            Slot fresh = *s;
            fresh.axis = axis;
            fresh.family = NULL;
            if (!bind_slot(env, &fresh, scan, e->idx[0].span)) {
                return false;
            }
            bound[nbound++] = fresh.var;
            s->bound = true;
            s->var = fresh.var;
            s->part = axis;
            s->local = NULL;
            continue;
        }
        if (!bind_slot(env, s, scan, e->idx[0].span)) {
            if (s->axis == NULL && s->family == NULL) {
                mistake(E, "E0103", e->op_span, NULL, "the letter '%s' has no axis", s->name);
            }
            return false;
        }
        bound[nbound++] = s->var;
    }
    int mark = conds_mark(c);
    Conds outer = {0};
    for (int k = 0; k < mark; k++) {
        conds_push(E, &outer, c->facts.v[k]);
    }
    Conds range = {0};
    again_in_range(env, b, &range);
    facts_push(c, &range);
    bool ok = e->where == NULL || elab_conds(env, e->where, &range);
    int letters = c->letter_conds.n;
    for (int k = 0; k < range.n; k++) {
        conds_push(E, &c->letter_conds, range.v[k]);
    }
    Val v = {0};
    if (e->a != NULL) {
        v = force(c, elab(env, e->a));
    } else {
        v.s = e->red == AST_ANY ? sc_bool(g, true) : sc_int(g, 1);
    }
    facts_reset(c, mark);
    c->letter_conds.n = letters;
    if (!ok || v.bad) {
        return false;
    }
    if (v.part != NULL || (e->a != NULL && v.s->type == TYPE_BOOL)) {
        return mistake(E, "E0140", e->a->span, v.part == NULL ? "write count[... where P]" : NULL,
                       "%s needs numbers, this is a %s", ast_reduce_name[e->red],
                       v.part != NULL ? "token" : "condition");
    }
    Conds all = {0};
    conds_join(c, &all, &range);
    conds_join(c, &all, &v.conds);
    p->nvars = nbound;
    memcpy(p->vars, bound, sizeof bound);
    p->conds = all;
    p->inherited = outer;
    p->body = v.s;
    bool over_batch = false;
    for (int k = 0; k < nbound; k++) {
        over_batch = over_batch || c->vars[bound[k]].axis == g->batch;
    }
    if (over_batch) { /* what holds for this example says nothing about the others */
        p->inherited = (Conds){0};
    }
    outward->home = v.home;
    for (int k = 0; k < all.n; k++) {
        bool mentions = false;
        for (int m = 0; m < nbound; m++) {
            mentions = mentions || uses_var(all.v[k], bound[m]);
        }
        Conds one = {.n = 1, .v = &all.v[k]};
        mentions = mentions || (over_batch && depends_on_example(c, RED_NONE, 0, NULL, &one, all.v[k]));
        if (!mentions) {
            conds_add(c, &outward->conds, all.v[k]);
        }
    }
    return true;
}

static Scalar *known_count(Ctx *c, const Pending *p)
{
    Graph *g = c->E->g;
    if (p->conds.n > 0) {
        return NULL;
    }
    Scalar *n = sc_int(g, 1);
    for (int k = 0; k < p->nvars; k++) {
        const Var *v = &c->vars[p->vars[k]];
        if (v->axis == g->batch || (p->nvars > 1 && axis_is_ragged(v->axis))) {
            return NULL;
        }
        Scalar *size = axis_size(c, v->axis, v->parent);
        if (size == NULL) {
            return NULL;
        }
        n = k == 0 ? size : sc_op(g, OP_mul, n, size);
    }
    return n;
}

static Scalar *count_of(Ctx *c, const Pending *p, Span span)
{
    Scalar *n = known_count(c, p);
    if (n != NULL) {
        return n;
    }
    Pending count = *p;
    count.op = RED_SUM;
    count.body = sc_int(c->E->g, 1);
    return emit_pending(c, &count, span);
}

static Val uniform_draw(Ctx *c, const Pending *p)
{
    Graph *g = c->E->g;
    const Var *v = &c->vars[p->vars[0]];
    Scalar *args[MAX_DIMS];
    for (int k = 0; k < c->nout; k++) {
        args[k] = sc_letter(g, c->out[k]);
    }
    Scalar *size = axis_size(c, v->axis, v->parent);
    Scalar *u = sc_rand(g, c->base, c->by_step, c->nout, args);
    Scalar *at = sc_op(g, OP_trunc, sc_op(g, OP_mul, u, size));
    Val r = plain_val(sc_op(g, OP_min, at, sc_op(g, OP_sub, size, sc_int(g, 1))));
    r.home = v->axis;
    return r;
}

/* Whether the weights are the same for all cells of the left-hand side, which are several. */
static bool draws_share_weights(const Ctx *c, const Pending *p)
{
    const Axis *axis = c->vars[p->vars[0]].axis;
    for (int k = 0; k < c->nout; k++) {
        bool used = uses_var(p->body, c->out[k]);
        for (int m = 0; m < p->conds.n; m++) {
            used = used || uses_var(p->conds.v[m], c->out[k]);
        }
        if (used) {
            return false;
        }
    }
    return c->nout > 0 && axis->kind != AXIS_SUM;
}

/* Weights are added up once, upto[v] = upto[v - 1] + weight[v]; a cell takes the first v with upto[v] >= x for an x
 * uniform in (0, total]. It has a weight above 0, and there is one, however the sums are rounded. */
static Val draw_by_sums(Ctx *c, const Pending *p, Scalar *u, Span span)
{
    Graph *g = c->E->g;
    int v = p->vars[0];
    Axis *axis = c->vars[v].axis;
    Scalar *at = sc_letter(g, v), *one = sc_int(g, 1), *before = sc_op(g, OP_sub, at, one);
    Scalar *weight[] = {conds_all(c, &p->conds), sc_op(g, OP_real, p->body), sc_real(g, 0)};
    bool per = axis_is_ragged(axis) || depends_on_example(c, RED_NONE, 0, NULL, &p->conds, p->body);
    Tensor *upto = value_tensor(c->E, fresh_name(c->E, c->base, ""), ELEM_REAL, 1, &axis, per, span);
    Scalar *old[] = {sc_op(g, OP_le, one, at), sc_load(g, upto, 1, &before), sc_real(g, 0)};
    Scalar *sum = sc_op(g, OP_add, sc_opv(g, OP_select, 3, old), sc_opv(g, OP_select, 3, weight));
    emit(c, upto, &at, 1, &v, RED_NONE, 0, NULL, &(Conds){0}, sum, span);
    Scalar *last = sc_op(g, OP_sub, sc_size(g, axis, 0, NULL), one);
    Scalar *x = sc_op(g, OP_mul, sc_op(g, OP_sub, sc_real(g, 1), u), sc_load(g, upto, 1, &last));
    Pending below = {.op = RED_SUM, .nvars = 1, .vars = {v}, .body = one};
    conds_push(c->E, &below.conds, sc_op(g, OP_lt, sc_load(g, upto, 1, &at), x));
    Val r = plain_val(sc_op(g, OP_min, emit_pending(c, &below, span), last));
    r.home = axis;
    return r;
}

static Val elab_draw(Env *env, const Expr *e, Pending *p, Val r)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    if (p->nvars != 1 || axis_nparents(c->vars[p->vars[0]].axis) > 0) {
        mistake(c->E, "E0171", e->op_span, NULL, "a draw picks one letter");
        return bad_val();
    }
    Axis *axis = c->vars[p->vars[0]].axis;
    need_not_empty(c, p, AST_DRAW, reduce_text(c->E, e), e->op_span, &r.conds);
    c->is_draw = true;
    if (p->conds.n == 0 && p->body->op == OP_CONST) {
        Val u = uniform_draw(c, p);
        u.conds = r.conds;
        return u;
    }
    Scalar *args[MAX_DIMS + 1];
    for (int k = 0; k < c->nout; k++) {
        args[k] = sc_letter(g, c->out[k]);
    }
    if (draws_share_weights(c, p)) {
        Val v = draw_by_sums(c, p, sc_rand(g, c->base, c->by_step, c->nout, args), e->op_span);
        v.conds = r.conds;
        return v;
    }
    args[c->nout] = sc_letter(g, p->vars[0]);
    Scalar *u = sc_rand(g, c->base, c->by_step, c->nout + 1, args);
    Scalar *race = sc_op(g, OP_log, sc_op(g, OP_sub, sc_real(g, 1), u));
    Pending *draw = arena_alloc(c->E->arena, sizeof *draw);
    *draw = *p;
    draw->op = RED_ARGMAX;
    draw->body = sc_is_const(p->body, 1) ? race : sc_op(g, OP_div, race, p->body);
    r.pending = draw;
    r.home = axis;
    r.s = NULL;
    return r;
}

static Val finish(Env *env, const Expr *e, Pending *p, Val r)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    r.s = NULL;
    Axis *home = r.home;
    r.home = NULL;
    if (p->nvars == 0) { /* members only: nothing to bind */
        conds_join(c, &r.conds, &p->conds);
        r.s = p->body;
        return r;
    }
    switch (e->red) {
    case AST_SUM:
        p->op = RED_SUM;
        break;
    case AST_MAX:
    case AST_MIN:
        need_not_empty(c, p, e->red, reduce_text(c->E, e), e->op_span, &r.conds);
        p->op = e->red == AST_MAX ? RED_MAX : RED_MIN;
        r.home = home;
        break;
    case AST_ANY:
        p->op = RED_ANY;
        break;
    case AST_COUNT:
        r.s = known_count(c, p);
        if (r.s != NULL) {
            return r;
        }
        p->op = RED_SUM;
        break;
    case AST_MEAN: {
        bool over_batch = false;
        for (int k = 0; k < p->nvars; k++) {
            over_batch = over_batch || c->vars[p->vars[k]].axis == g->batch;
        }
        Conds own = {0};
        conds_join(c, &own, &r.conds);
        need_not_empty(c, p, e->red, reduce_text(c->E, e), e->op_span, &own);
        bool certain = own.n == r.conds.n;
        p->op = RED_SUM;
        Scalar *sum = emit_pending(c, p, e->op_span);
        Scalar *count = count_of(c, p, e->op_span);
        if (over_batch) { /* a step in which no row counts has the mean 0: nothing else can be said of it */
            count = certain ? count : sc_op(g, OP_max, count, sc_int(g, 1));
        } else {
            r.conds = own;
        }
        r.s = sc_op(g, OP_div, sum, count);
        return r;
    }
    case AST_DRAW:
        return elab_draw(env, e, p, r);
    }
    Pending *kept = arena_alloc(c->E->arena, sizeof *kept);
    *kept = *p;
    r.pending = kept;
    return r;
}

/* A letter over several sources: a reduction per source, put together. */
static Val over_sources(Env *env, const Expr *e, Binders *b)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    const Idx *x = b->choice;
    Scalar *value = NULL, *count = NULL, *some = NULL;
    Val r = {0};
    for (int k = 0; k < x->nsources; k++) {
        Pending p = {0};
        Val v = {0};
        if (!elab_range(env, e, b, x->sources[k], &p, &v)) {
            return bad_val();
        }
        if (conds_false(&p.conds)) {
            close_binders(c, b);
            continue;
        }
        if (e->red == AST_DRAW) {
            mistake(c->E, "E0171", e->op_span, NULL, "a draw picks one letter of one source");
            return bad_val();
        }
        conds_join(c, &r.conds, &v.conds);
        Conds own = {0};
        if (e->red == AST_MAX || e->red == AST_MIN || e->red == AST_MEAN) {
            if (p.nvars > 0) {
                need_not_empty(c, &p, e->red, reduce_text(c->E, e), e->op_span, &own);
            } else {
                conds_join(c, &own, &p.conds);
            }
        }
        Scalar *here = conds_all(c, &own), *one, *n = sc_int(g, 1);
        p.op = e->red == AST_MAX ? RED_MAX : e->red == AST_MIN ? RED_MIN : e->red == AST_ANY ? RED_ANY : RED_SUM;
        if (p.nvars > 0) {
            one = emit_pending(c, &p, e->op_span);
            n = e->red == AST_MEAN ? count_of(c, &p, e->op_span) : NULL;
        } else {
            Scalar *holds = conds_all(c, &p.conds);
            Scalar *zero = e->red == AST_ANY ? sc_bool(g, false) : sc_int(g, 0);
            one = sc_op(g, OP_select, holds, p.body, zero);
            n = sc_op(g, OP_select, holds, n, sc_int(g, 0));
        }
        if (value == NULL) {
            value = one;
            count = n;
            some = here;
        } else if (e->red == AST_ANY) {
            value = sc_op(g, OP_or, value, one);
        } else if (e->red == AST_MAX || e->red == AST_MIN) {
            Scalar *best = sc_op(g, e->red == AST_MAX ? OP_max : OP_min, value, one);
            value = sc_op(g, OP_select, some, sc_op(g, OP_select, here, best, value), one);
            some = sc_op(g, OP_or, some, here);
        } else {
            value = sc_op(g, OP_add, value, one);
            count = e->red == AST_MEAN ? sc_op(g, OP_add, count, n) : NULL;
            some = sc_op(g, OP_or, some, here);
        }
        close_binders(c, b);
    }
    if (value == NULL) {
        conds_push(c->E, &r.conds, sc_bool(g, false));
        r.s = e->red == AST_ANY ? sc_bool(g, false) : sc_int(g, 0);
        return r;
    }
    if (some != NULL && (e->red == AST_MAX || e->red == AST_MIN || e->red == AST_MEAN)) {
        conds_add(c, &r.conds, some);
    }
    r.s = e->red == AST_MEAN ? sc_op(g, OP_div, value, count) : value;
    return r;
}

Val elab_reduce(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    if (e->red == AST_DRAW && c->draw != e) {
        mistake(E, "E0170", e->op_span, "give it an equation of its own: n[i] = draw[v] 1",
                "a draw is the whole right-hand side of a named equation");
        return bad_val();
    }
    Binders b = {0};
    Val r = {0};
    if (!open_binders(env, e, &b)) {
        return bad_val();
    }
    if (b.n == 0) { /* R* stands for no axis here */
        if (e->a == NULL) {
            mistake(E, "E0103", e->op_span, NULL, "%s binds no letter here", ast_reduce_name[e->red]);
            return bad_val();
        }
        return elab(env, e->a);
    }
    if (b.choice != NULL && b.choice->nsources > 1) {
        r = over_sources(env, e, &b);
        close_binders(c, &b);
        return r;
    }
    Pending p = {0};
    bool ok = elab_range(env, e, &b, b.choice != NULL ? b.choice->sources[0] : NULL, &p, &r);
    if (ok) {
        r = finish(env, e, &p, r);
    }
    close_binders(c, &b);
    return ok ? r : bad_val();
}
