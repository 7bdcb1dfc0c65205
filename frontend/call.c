/* Calls: primitive functions, functions of the language (macros, expanded where they are called), what an example
 * knows about itself (len, first, last), random numbers, and relations between tokens. */
#include "elab.h"

#include <string.h>

typedef struct {
    const char *name;
    Op op;
    int nargs;
} Primitive;

static const Primitive primitives[] = {
    {"exp", OP_exp, 1},   {"log", OP_log, 1},         {"sqrt", OP_sqrt, 1},   {"rsqrt", OP_rsqrt, 1},
    {"tanh", OP_tanh, 1}, {"sigmoid", OP_sigmoid, 1}, {"erf", OP_erf, 1},     {"sin", OP_sin, 1},
    {"cos", OP_cos, 1},   {"floor", OP_floor, 1},     {"trunc", OP_trunc, 1}, {"round", OP_round, 1},
    {"abs", OP_abs, 1},   {"max", OP_max, 2},         {"min", OP_min, 2},     {"div", OP_idiv, 2},
    {"mod", OP_mod, 2},   {"f32", OP_f32, 1},         {"stop", OP_stop, 1},   {"pow", OP_pow, 2},
};
static const char *const specials[] = {"len",  "first", "last", "pos",   "defined",
                                       "rand", "clamp", "ceil", "vocab", "real"};

static const Primitive *find_primitive(const char *name)
{
    for (size_t k = 0; k < sizeof primitives / sizeof *primitives; k++) {
        if (strcmp(primitives[k].name, name) == 0) {
            return &primitives[k];
        }
    }
    return NULL;
}

static bool is_special(const char *name)
{
    for (size_t k = 0; k < sizeof specials / sizeof *specials; k++) {
        if (strcmp(specials[k], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool arity(Ctx *c, const Expr *e, int n)
{
    if (e->nargs != n) {
        return mistake(c->E, "E0142", e->op_span, NULL, "%s takes %d argument%s, not %d", e->name, n, n == 1 ? "" : "s",
                       e->nargs);
    }
    for (int k = 0; k < e->nargs; k++) {
        if (e->args[k].name != NULL) {
            return mistake(c->E, "E0142", e->args[k].span, NULL, "%s has no argument named '%s'", e->name,
                           e->args[k].name);
        }
    }
    return true;
}

static Val primitive_val(Env *env, const Expr *e, const Primitive *p)
{
    Ctx *c = env->ctx;
    if (!arity(c, e, p->nargs)) {
        return bad_val();
    }
    Val r = {0};
    Scalar *args[3];
    Axis *home = NULL;
    bool bad = false;
    for (int k = 0; k < e->nargs; k++) {
        Val v = force(c, elab(env, e->args[k].value));
        bad = bad || v.bad;
        if (v.bad) {
            continue;
        }
        if (v.part != NULL) {
            mistake(c->E, "E0132", e->args[k].span, NULL, "a token of a sum of axes is no number");
            bad = true;
            continue;
        }
        args[k] = v.s;
        conds_join(c, &r.conds, &v.conds);
        home = k == 0 || home == v.home ? v.home : NULL;
    }
    if (bad) {
        return bad_val();
    }
    const char *wrong = sc_check(p->op, e->nargs, args);
    if (wrong != NULL) {
        mistake(c->E, "E0140", e->op_span, NULL, "%s: %s", e->name, wrong);
        return bad_val();
    }
    r.s = sc_opv(c->E->g, p->op, e->nargs, args);
    if (p->op == OP_max || p->op == OP_min || p->op == OP_stop) {
        r.home = home;
    }
    return r;
}

/* ---- len, first, last, pos ---------------------------------------------------------------------------------- */

static Val of_axis(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    if (!arity(c, e, 1)) {
        return bad_val();
    }
    const Expr *a = e->args[0].value;
    Axis *axis[2];
    if (a->kind == EX_NAME && !a->has_bracket && axis_lookup(E, env->scope, a->name) == NULL &&
        letter_lookup(E, env->scope, a->name).found) {
        mistake(E, "E0144", a->span, NULL, "%s takes an axis, '%s' is a letter", e->name, a->name);
        return bad_val();
    }
    int naxes = axes_of_expr(E, env->scope, a, axis, 2);
    if (naxes != 1) {
        if (naxes >= 0) {
            mistake(E, "E0144", a->span, "take one of them by its own name", "%s takes one axis; %s stands for %s here",
                    e->name, a->name, naxes == 0 ? "none" : "several");
        }
        return bad_val();
    }
    if (axis[0] == g->batch) {
        mistake(E, "E0107", e->op_span, "write count[batch]", "the size of the batch is no property of an example");
        return bad_val();
    }
    int parent = -1;
    if (axis_nparents(axis[0]) > 0) {
        for (int v = c->nvars; parent < 0 && v-- > 0;) {
            parent = c->live[v] && c->vars[v].axis == axis[0]->parent ? v : -1;
        }
        if (parent < 0) {
            mistake(E, "E0139", e->op_span, NULL, "%s(%s) is read beside a letter of %s: none is bound here", e->name,
                    axis[0]->name, axis[0]->parent->name);
            return bad_val();
        }
    }
    Scalar *size = axis_size(c, axis[0], parent);
    if (strcmp(e->name, "len") == 0) {
        return plain_val(size);
    }
    bool last = strcmp(e->name, "last") == 0;
    Val v = plain_val(last ? sc_op(g, OP_sub, size, sc_int(g, 1)) : sc_int(g, 0));
    v.home = axis[0];
    conds_add(c, &v.conds, sc_op(g, OP_le, sc_int(g, 1), size));
    return v;
}

/* ---- random numbers ----------------------------------------------------------------------------------------- */

static void collect(const Scalar *s, void *ctx)
{
    bool *used = ctx;
    if (s->op == OP_LETTER && s->inum < MAX_VARS) {
        used[s->inum] = true;
    }
}

/* Streams of one statement are told apart by where rand is written: the chain of macro calls around it. An argument
 * that a macro evaluates several times is the same place every time. */
static int rand_site(Ctx *c, const Env *env, const Expr *e)
{
    const Expr *sites[64];
    int n = 0;
    for (const Env *p = env; p != NULL && p->site != NULL && n < 64; p = p->caller) {
        sites[n++] = p->site;
    }
    for (int k = 0; k < c->nrands; k++) {
        if (c->rands[k].e == e && c->rands[k].nsites == n &&
            memcmp(c->rands[k].sites, sites, (size_t)n * sizeof *sites) == 0) {
            return k;
        }
    }
    RandSite r = {.e = e, .nsites = n, .sites = arena_alloc(c->E->arena, (size_t)(n + 1) * sizeof *sites)};
    memcpy(r.sites, sites, (size_t)n * sizeof *sites);
    ARENA_PUSH(c->E->arena, c->rands, c->nrands, r);
    return c->nrands - 1;
}

static Val rand_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    if (!arity(c, e, 1)) {
        return bad_val();
    }
    Val v = force(c, elab(env, e->args[0].value));
    if (v.bad) {
        return v;
    }
    bool used[MAX_VARS] = {false};
    sc_walk(v.s, collect, used);
    Scalar *args[MAX_VARS];
    int n = 0;
    for (int k = 0; k < c->nvars; k++) {
        if (used[k]) {
            args[n++] = sc_letter(g, k);
        }
    }
    int site = rand_site(c, env, e);
    const char *stream = site == 0 ? c->base : fmt(c->E, "%s.%d", c->base, site);
    Val r = plain_val(sc_rand(g, stream, c->by_step, n, args));
    conds_join(c, &r.conds, &v.conds);
    return r;
}

/* ---- special forms ------------------------------------------------------------------------------------------ */

static Val special_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    if (strcmp(e->name, "rand") == 0) {
        return rand_val(env, e);
    }
    if (strcmp(e->name, "len") == 0 || strcmp(e->name, "first") == 0 || strcmp(e->name, "last") == 0) {
        return of_axis(env, e);
    }
    if (strcmp(e->name, "vocab") == 0) {
        Axis *axis;
        if (axes_of_expr(E, env->scope, e, &axis, 1) != 1) {
            return bad_val();
        }
        return plain_val(sc_size(g, axis, 0, NULL));
    }
    if (!arity(c, e, strcmp(e->name, "clamp") == 0 ? 3 : 1)) {
        return bad_val();
    }
    Val v = force(c, elab(env, e->args[0].value));
    if (strcmp(e->name, "defined") == 0) {
        if (v.bad) {
            return v;
        }
        return plain_val(conds_all(c, &v.conds));
    }
    if (strcmp(e->name, "pos") == 0) {
        if (v.bad) {
            return v;
        }
        if (v.s->type != TYPE_INT) {
            mistake(E, "E0132", e->op_span, NULL, "pos takes a letter or an id");
            return bad_val();
        }
        v.home = v.part = NULL;
        v.letter = v.bare = false;
        return v;
    }
    if (strcmp(e->name, "clamp") == 0) {
        Val lo = force(c, elab(env, e->args[1].value));
        Val hi = force(c, elab(env, e->args[2].value));
        if (v.bad || lo.bad || hi.bad) {
            return bad_val();
        }
        Scalar *args[] = {v.s, lo.s}, *more[] = {v.s, hi.s};
        if (sc_check(OP_max, 2, args) != NULL || sc_check(OP_min, 2, more) != NULL) {
            mistake(E, "E0140", e->op_span, NULL, "clamp needs numbers");
            return bad_val();
        }
        /* max(lo, v): at a tie the gradient goes to v, so clamp passes on its closed interval. */
        v.s = sc_op(g, OP_min, hi.s, sc_op(g, OP_max, lo.s, v.s));
        conds_join(c, &v.conds, &lo.conds);
        conds_join(c, &v.conds, &hi.conds);
        v.home = NULL;
        v.letter = v.bare = false;
        return v;
    }
    if (v.bad) {
        return v;
    }
    if (v.s->type == TYPE_BOOL) {
        mistake(E, "E0140", e->op_span, "write 1 where P else 0", "%s needs a number, this is a condition", e->name);
        return bad_val();
    }
    v.home = NULL;
    v.letter = v.bare = false;
    if (strcmp(e->name, "ceil") == 0) {
        Scalar *n = sc_op(g, OP_neg, sc_op(g, OP_floor, sc_op(g, OP_neg, v.s)));
        v.s = sc_op(g, OP_trunc, n);
        return v;
    }
    v.s = sc_op(g, OP_real, v.s);
    return v;
}

/* ---- functions of the language ------------------------------------------------------------------------------ */

static const char *fn_alias(Env *env, const char *name)
{
    for (const Thunk *t = env->thunks; t != NULL; t = t->next) {
        if (t->fn != NULL && strcmp(t->name, name) == 0) {
            return t->fn;
        }
    }
    for (const Scope *s = env->scope; s != NULL; s = s->parent) {
        for (const FnBinding *b = s->fns; b != NULL; b = b->next) {
            if (strcmp(b->name, name) == 0) {
                return b->fn;
            }
        }
    }
    return name;
}

static bool names_fn(Env *env, const Expr *e, const char **fn)
{
    if (e->kind != EX_NAME || e->has_bracket || e->prime || e->at != NULL) {
        return false;
    }
    *fn = fn_alias(env, e->name);
    if (*fn != e->name) {
        return true;
    }
    return scope_find(env->scope, e->name, env->ctx->pos) == NULL &&
           !letter_lookup(env->ctx->E, env->scope, e->name).found && spec_hyper(env->ctx->E->spec, e->name) == NULL &&
           (spec_find(env->ctx->E->spec, ST_FN, e->name) != NULL || find_primitive(e->name) != NULL);
}

static bool bind_letters(Env *env, Env *inner, const Expr *e, const Stmt *fn)
{
    Elab *E = env->ctx->E;
    if (fn->nletters == 0) {
        return e->nidx == 0 || mistake(E, "E0141", e->op_span, called_like(E, fn), "%s acts along no letter", e->name);
    }
    if (e->nidx < fn->nletters) {
        return mistake(E, "E0141", e->op_span, fmt(E, "write %s[d](...)", e->name),
                       "%s acts along %d letter%s, %d %s given", e->name, fn->nletters, fn->nletters == 1 ? "" : "s",
                       e->nidx, e->nidx == 1 ? "is" : "are");
    }
    int at = 0;
    for (int k = 0; k < fn->nletters; k++) {
        int take = k + 1 < fn->nletters ? 1 : e->nidx - at; /* the last takes all that are left */
        Slot *all[MAX_LETTERS];
        int n = 0;
        for (int m = 0; m < take; m++, at++) {
            const Idx *x = &e->idx[at];
            int count;
            Slot **slots;
            if (x->nsources > 0) {
                return mistake(E, "E0141", x->span, "restrict it with a where",
                               "a function acts along letters, not sources");
            }
            if (x->e->kind != EX_NAME || x->e->has_bracket || env_slots(env, x->e->name, &count, &slots) == NULL) {
                return mistake(E, "E0103", x->span, NULL, "%s acts along letters; this is none", e->name);
            }
            for (int j = 0; j < count && n < MAX_LETTERS; j++) {
                all[n++] = slots[j];
            }
        }
        Group *g = arena_alloc(E->arena, sizeof *g);
        *g = (Group){.name = fn->letters[k], .n = n, .next = inner->groups};
        g->slots = arena_alloc(E->arena, (size_t)(n + 1) * sizeof *g->slots);
        memcpy(g->slots, all, (size_t)n * sizeof *all);
        inner->groups = g;
    }
    return true;
}

static Thunk *add_thunk(Env *inner, const char *name)
{
    Thunk *t = arena_alloc(inner->ctx->E->arena, sizeof *t);
    t->name = name;
    t->next = inner->thunks;
    inner->thunks = t;
    return t;
}

static bool bind_args(Env *env, Env *inner, const Expr *e, const Stmt *fn)
{
    Elab *E = env->ctx->E;
    int next = 0;
    bool given[32] = {false};
    if (fn->nparams > 32) {
        return mistake(E, "E0142", e->op_span, NULL, "%s has too many arguments", e->name);
    }
    for (int k = 0; k < e->nargs; k++) {
        const Arg *a = &e->args[k];
        int p = -1;
        if (a->name == NULL) {
            p = next++;
        } else {
            for (int m = 0; m < fn->nparams; m++) {
                p = strcmp(fn->params[m].name, a->name) == 0 ? m : p;
            }
            if (p < 0) {
                return mistake(E, "E0142", a->span, called_like(E, fn), "%s has no argument '%s'", e->name, a->name);
            }
        }
        if (p >= fn->nparams) {
            return mistake(E, "E0142", a->span, called_like(E, fn), "%s takes %d argument%s, not %d", e->name,
                           fn->nparams, fn->nparams == 1 ? "" : "s", e->nargs);
        }
        if (given[p]) {
            return mistake(E, "E0142", a->span, called_like(E, fn), "argument '%s' of %s is given twice",
                           fn->params[p].name, e->name);
        }
        given[p] = true;
        Thunk *t = add_thunk(inner, fn->params[p].name);
        const char *name;
        if (names_fn(env, a->value, &name)) {
            t->fn = name;
            continue;
        }
        t->e = a->value;
        t->env = env;
        t->restrict_to = p == 0 ? e->where : NULL;
    }
    for (int p = 0; p < fn->nparams; p++) {
        if (!given[p] && fn->params[p].value == NULL) {
            return mistake(E, "E0142", e->op_span, called_like(E, fn), "argument '%s' of %s is missing",
                           fn->params[p].name, e->name);
        }
        if (!given[p]) {
            Thunk *t = add_thunk(inner, fn->params[p].name);
            t->e = fn->params[p].value;
            t->env = inner;
        }
    }
    return true;
}

static Val fn_val(Env *env, const Expr *e, Stmt *fn)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    if (env->depth > 60) {
        mistake(E, "E0161", e->op_span, "functions are macros: recursion has no end", "%s is expanded within itself",
                e->name);
        return bad_val();
    }
    if (fn->is_init) {
        mistake(E, "E0143", e->op_span, NULL, "'%s' is an initialiser: it stands after ~", e->name);
        return bad_val();
    }
    Env *inner = env_new(c, E->file);
    inner->is_fn = true;
    inner->site = e;
    inner->caller = env;
    inner->depth = env->depth + 1;
    if (fn->from_library && !E->file->library) {
        Scope *lib = arena_alloc(E->arena, sizeof *lib);
        *lib = *E->file;
        lib->library = true;
        inner->scope = lib;
    }
    if (!bind_letters(env, inner, e, fn) || !bind_args(env, inner, e, fn)) {
        return bad_val();
    }
    return elab(inner, fn->value);
}

/* ---- relations ---------------------------------------------------------------------------------------------- */

/* Condition that a token comes from one of the sources of a side; the letter of the side, if it has one, then stands
 * for the position in it. NULL: the token is never there. */
static Scalar *side_cond(Env *env, Env *inner, const RelSide *side, Val *token, bool *ok)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    Axis *sum = token->home;
    Scalar *any = NULL;
    for (int k = 0; k < side->nsources; k++) {
        int member = -1, p = -1;
        Axis *part = NULL;
        if (sum != NULL && sum->kind == AXIS_SUM) {
            p = sum_part(E, env->scope, sum, side->sources[k], &member);
            if (p < 0) {
                mistake(E, "E0180", side->span, NULL, "'%s' is no source of %s", side->sources[k], sum->name);
                *ok = false;
                return NULL;
            }
            part = sum->parts[p];
        } else {
            AxisInfo *a = axis_lookup(E, env->scope, side->sources[k]);
            part = a != NULL ? a->axis : member_lookup(E, env->scope, side->sources[k], &member);
        }
        Scalar *cond = NULL, *local = token->s;
        if (sum == NULL) {
            if (token->part != part) {
                continue;
            }
            cond = sc_bool(g, true);
        } else {
            cond = substitute_settled(g, sc_op(g, OP_eq, sc_axis_op(g, OP_PART, sum, 0, 1, &token->s), sc_int(g, p)), 0,
                                      NULL);
            local = substitute_settled(g, sc_axis_op(g, OP_LOCAL, sum, 0, 1, &token->s), 0, NULL);
        }
        if (member >= 0 && part->size != 1) {
            cond = sc_op(g, OP_and, cond, sc_op(g, OP_eq, local, sc_int(g, member)));
        }
        if (side->letter != NULL && side->nsources == 1) {
            Slot *s = arena_alloc(E->arena, sizeof *s);
            *s = (Slot){.name = side->letter, .axis = part, .bound = true, .local = local};
            Group *group = arena_alloc(E->arena, sizeof *group);
            *group = (Group){.name = side->letter, .n = 1, .next = inner->groups};
            group->slots = arena_alloc(E->arena, sizeof *group->slots);
            group->slots[0] = s;
            inner->groups = group;
        }
        any = any == NULL ? cond : sc_op(g, OP_or, any, cond);
    }
    return any;
}

/* All parts of the sum axis at once is no condition. */
static bool all_parts(Env *env, const RelSide *side, const Val *token)
{
    if (token->home == NULL || token->home->kind != AXIS_SUM) {
        return false;
    }
    bool seen[MAX_PARTS] = {false};
    for (int k = 0; k < side->nsources; k++) {
        int member, p = sum_part(env->ctx->E, env->scope, token->home, side->sources[k], &member);
        if (p >= 0 && (member < 0 || token->home->parts[p]->size == 1)) {
            seen[p] = true;
        }
    }
    for (int p = 0; p < token->home->nparts; p++) {
        if (!seen[p]) {
            return false;
        }
    }
    return true;
}

static Val rel_val(Env *env, const Expr *e, const Stmt *rel)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    if (!arity(c, e, 2)) {
        return bad_val();
    }
    Val from = force(c, elab(env, e->args[0].value)), to = force(c, elab(env, e->args[1].value));
    if (from.bad || to.bad) {
        return bad_val();
    }
    for (int k = 0; k < 2; k++) {
        const Val *v = k == 0 ? &from : &to;
        if (v->part == NULL && (v->home == NULL || v->home->kind != AXIS_SUM)) {
            mistake(E, "E0180", e->args[k].span, NULL, "%s relates tokens of a sum of axes; this is none", e->name);
            return bad_val();
        }
    }
    Val r = {0};
    Scalar *any = sc_bool(g, false);
    for (int k = rel->npairs; k-- > 0;) {
        const RelPair *p = &rel->pairs[k];
        Env *inner = env_new(c, env->scope);
        inner->is_fn = true;
        inner->site = e;
        inner->caller = env;
        inner->depth = env->depth + 1;
        bool ok = true;
        Scalar *a = side_cond(env, inner, &p->from, &from, &ok);
        Scalar *b = side_cond(env, inner, &p->to, &to, &ok);
        if (!ok) {
            return bad_val();
        }
        if (a == NULL || b == NULL) {
            continue;
        }
        a = all_parts(env, &p->from, &from) ? sc_bool(g, true) : a;
        b = all_parts(env, &p->to, &to) ? sc_bool(g, true) : b;
        Scalar *pair = sc_op(g, OP_and, a, b);
        if (p->cond != NULL) {
            Conds conds = {0};
            int mark = conds_mark(c);
            bool good = elab_conds(inner, p->cond, &conds);
            facts_reset(c, mark);
            if (!good) {
                return bad_val();
            }
            pair = sc_op(g, OP_and, pair, conds_all(c, &conds));
        }
        any = any->op == OP_CONST && !any->inum ? pair : sc_op(g, OP_or, pair, any);
    }
    r.s = any;
    conds_join(c, &r.conds, &from.conds);
    conds_join(c, &r.conds, &to.conds);
    return r;
}

Val elab_call(Env *env, const Expr *e)
{
    Elab *E = env->ctx->E;
    Expr alias = *e;
    alias.name = fn_alias(env, e->name);
    const Expr *call = alias.name == e->name ? e : NULL;
    if (call == NULL) {
        Expr *copy = arena_alloc(E->arena, sizeof *copy);
        *copy = alias;
        call = copy;
    }
    Stmt *fn = spec_find(E->spec, ST_FN, call->name);
    if (fn != NULL) {
        return fn_val(env, call, fn);
    }
    Stmt *rel = spec_find(E->spec, ST_REL, call->name);
    if (rel != NULL) {
        return rel_val(env, call, rel);
    }
    const Primitive *p = find_primitive(call->name);
    if (call->has_bracket && (p != NULL || is_special(call->name))) {
        mistake(E, "E0141", e->op_span, fmt(E, "write %s(...)", call->name), "%s acts along no letter", call->name);
        return bad_val();
    }
    if (p != NULL) {
        return primitive_val(env, call, p);
    }
    if (is_special(call->name)) {
        return special_val(env, call);
    }
    if (spec_find(E->spec, ST_BLOCK, call->name) != NULL) {
        mistake(E, "E0143", e->op_span, fmt(E, "write y := %s(...)", call->name),
                "%s is a block: it is called only after :=", call->name);
        return bad_val();
    }
    if (spec_find(E->spec, ST_EXTERN, call->name) != NULL) {
        mistake(E, "E0190", e->op_span, fmt(E, "name its arguments and write y := %s(...)", call->name),
                "'%s' is extern: it takes whole tensors and is called only after :=, alone", call->name);
        return bad_val();
    }
    const char **names = NULL;
    int n = 0;
    for (int k = 0; k < E->spec->items.n; k++) {
        if (E->spec->items.v[k]->kind == ST_FN || E->spec->items.v[k]->kind == ST_REL) {
            ARENA_PUSH(E->arena, names, n, E->spec->items.v[k]->name);
        }
    }
    for (size_t k = 0; k < sizeof primitives / sizeof *primitives; k++) {
        ARENA_PUSH(E->arena, names, n, primitives[k].name);
    }
    for (size_t k = 0; k < sizeof specials / sizeof *specials; k++) {
        ARENA_PUSH(E->arena, names, n, specials[k]);
    }
    const char *near = nearest(call->name, n, names);
    mistake(E, "E0108", e->op_span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL, "there is no function '%s'",
            call->name);
    return bad_val();
}
