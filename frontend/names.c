/* What a name in an expression means: a letter, an argument of a macro, a tensor, a constant, an axis's length, a
 * member; and the indices in brackets. Letters live in Slots of the statement's environment; a slot that is bound
 * stands for a Var, or for a position in one source of a sum of axes. */
#include "elab.h"

#include <string.h>

Env *env_new(Ctx *c, Scope *s)
{
    Env *env = arena_alloc(c->E->arena, sizeof *env);
    env->ctx = c;
    env->scope = s;
    return env;
}

/* ---- letters ------------------------------------------------------------------------------------------------ */

static Slot *slot_add(Env *env, const char *name, Axis *axis, AxisInfo *family)
{
    Slot *s = arena_alloc(env->ctx->E->arena, sizeof *s);
    *s = (Slot){.name = name, .axis = axis, .family = family, .next = env->slots};
    env->slots = s;
    return s;
}

static Group *group_add(Env *env, const char *name, int n)
{
    Group *g = arena_alloc(env->ctx->E->arena, sizeof *g);
    *g = (Group){.name = name, .n = n, .next = env->groups};
    g->slots = arena_alloc(env->ctx->E->arena, (size_t)(n + 1) * sizeof *g->slots);
    env->groups = g;
    return g;
}

static Group *find_group(Env *env, const char *name)
{
    for (Group *g = env->groups; g != NULL; g = g->next) {
        if (strcmp(g->name, name) == 0) {
            return g;
        }
    }
    return NULL;
}

Slot *env_slots(Env *env, const char *name, int *n, Slot ***out)
{
    static Slot none; /* a letter that stands for no axis: R* over nothing */
    Elab *E = env->ctx->E;
    Group *g = find_group(env, name);
    if (g == NULL) {
        size_t stem = strlen(name);
        while (stem > 0 && name[stem - 1] >= '0' && name[stem - 1] <= '9') {
            stem--;
        }
        Group *base = stem < strlen(name) ? find_group(env, arena_strndup(E->arena, name, stem)) : NULL;
        LetterDecl d = base == NULL ? letter_lookup(E, env->scope, name) : (LetterDecl){0};
        if (base != NULL) {
            g = group_add(env, name, base->n);
            for (int k = 0; k < base->n; k++) {
                g->slots[k] = slot_add(env, name, base->slots[k]->axis, base->slots[k]->family);
            }
        } else if (d.found && (d.family != NULL || d.axes != NULL || d.naxes == 0)) {
            int count = d.family != NULL ? 1 : d.naxes;
            g = group_add(env, name, count);
            for (int k = 0; k < count; k++) {
                g->slots[k] = slot_add(env, k == 0 ? name : fmt(E, "%s%d", name, k),
                                       d.family != NULL ? NULL : d.axes[k], d.family);
            }
        } else {
            return NULL;
        }
    }
    *n = g->n;
    *out = g->slots;
    return g->n > 0 ? g->slots[0] : &none;
}

Val slot_val(Ctx *c, const Slot *s, Span span)
{
    Graph *g = c->E->g;
    Val v = {.span = span, .letter = true, .bare = true};
    if (s->part != NULL) {
        v.part = s->part;
        v.s = s->local != NULL ? s->local : sc_letter(g, s->var);
        return v;
    }
    v.s = s->local != NULL ? s->local : sc_letter(g, s->var);
    v.home = s->axis;
    return v;
}

static Val unbound(Env *env, const Slot *s, const Expr *e)
{
    Elab *E = env->ctx->E;
    for (int k = 0; k < env->ctx->nunbound; k++) {
        if (strcmp(env->ctx->unbound[k], e->name) == 0) {
            return bad_val();
        }
    }
    ARENA_PUSH(E->arena, env->ctx->unbound, env->ctx->nunbound, e->name);
    if (s->axis == NULL) {
        mistake(E, "E0104", e->op_span, NULL, "index '%s' is used but not bound", e->name);
    } else {
        mistake(E, "E0104", e->op_span,
                fmt(E, "'%s' ranges over %s: write sum[%s] ... to reduce it, or put %s on the left", e->name,
                    axis_text(E, s->axis), e->name, e->name),
                "index '%s' is used but not bound", e->name);
    }
    return bad_val();
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static Val number_val(Elab *E, const Value *v)
{
    if (v->is_int && v->num == (double)(int64_t)v->num) {
        return plain_val(sc_int(E->g, (int64_t)v->num));
    }
    return plain_val(sc_real(E->g, v->num));
}

static Thunk *find_thunk(Env *env, const char *name)
{
    for (Thunk *t = env->thunks; t != NULL; t = t->next) {
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

static Val thunk_val(const Thunk *t, Ctx *c, const Expr *e)
{
    if (t->fn != NULL) {
        mistake(c->E, "E0143", e->op_span, NULL, "'%s' is a function here: call it", e->name);
        return bad_val();
    }
    if (t->value != NULL) {
        return plain_val(t->value);
    }
    if (t->restrict_to == NULL) {
        return elab(t->env, t->e);
    }
    Expr where = {
        .kind = EX_WHERE, .span = t->e->span, .op_span = t->e->op_span, .a = (Expr *)t->e, .b = (Expr *)t->restrict_to};
    return elab(t->env, &where);
}

static bool is_input(const Entity *e)
{
    return e->kind == ENT_SYM && e->sym != NULL && (e->sym->t == NULL || e->sym->t->role == ROLE_INPUT);
}

static Entity *find_entity(Env *env, const char *name)
{
    Entity *e = scope_find(env->scope, name, env->ctx->pos);
    if (e == NULL && env->scope != env->ctx->E->file) { /* a block or a function sees the file's const inputs */
        Entity *f = scope_find(env->ctx->E->file, name, 0);
        e = f != NULL && is_input(f) && (f->sym->bad || !f->sym->t->per_example) ? f : NULL;
    }
    if (e != NULL && env->is_fn && !is_input(e)) {
        return NULL;
    }
    return e;
}

/* "write x[i,d]": the name with a letter per axis. */
static const char *read_like(Elab *E, const char *name, const Sym *sym)
{
    Text t = {0};
    text_printf(&t, "write %s", name);
    for (int d = 0; d < sym->ndim; d++) {
        const AxisInfo *info = sym->dims[d] != NULL ? axis_info(E, sym->dims[d]) : NULL;
        int same = 0;
        for (int k = 0; k < d; k++) {
            same += sym->dims[k] == sym->dims[d];
        }
        bool has = info != NULL && info->stmt != NULL && same < info->stmt->axis->nletters;
        text_printf(&t, "%s%s", d == 0 ? "[" : ",", has ? info->stmt->axis->letters[same] : "...");
    }
    const char *text = fmt(E, "%s%s", t.s, sym->ndim > 0 ? "]" : "");
    text_free(&t);
    return text;
}

static Val load_entity(Env *env, const Expr *e, Entity *ent, bool prime)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    (void)prime;
    Sym *sym = entity_sym(E, ent);
    if (sym == NULL || sym->bad) {
        for (int k = 0; k < e->nidx; k++) { /* mistakes inside the index are reported all the same */
            Val v[MAX_DIMS];
            index_vals(env, 1, &e->idx[k], v, MAX_DIMS);
        }
        return bad_val();
    }
    Val args[MAX_DIMS + 1], at = {0};
    Span spans[MAX_DIMS + 1];
    int n = index_vals(env, e->nidx, e->idx, args, MAX_DIMS);
    if (n < 0) {
        return bad_val();
    }
    for (int k = 0; k < n; k++) {
        spans[k] = args[k].span;
    }
    bool has_at = e->at != NULL;
    if (has_at) {
        Expr name = {.kind = EX_NAME, .span = e->span, .op_span = e->op_span, .name = e->at};
        at = force(c, elab(env, &name));
        if (at.bad) {
            return at;
        }
        if (at.home != E->g->batch && at.s->op != OP_SELF) {
            mistake(E, "E0138", e->op_span, "axis B : batch over b",
                    "'@%s' must name an example: a letter over the batch", e->at);
            return bad_val();
        }
    }
    if (n != sym->ndim) {
        if (!e->has_bracket && sym->ndim > 0) {
            Text t = {0};
            for (int k = 0; k < sym->ndim; k++) {
                text_printf(&t, "%s%s", k > 0 ? "," : "", sym->dims[k] != NULL ? sym->dims[k]->name : "?");
            }
            mistake(E, "E0130", e->op_span, read_like(E, e->name, sym),
                    "'%s' has the axes [%s] and is used without an index", e->name, t.s);
            text_free(&t);
        } else {
            mistake(E, "E0130", e->op_span, read_like(E, e->name, sym), "'%s' has %d ax%s and is read with %d ind%s",
                    e->name, sym->ndim, sym->ndim == 1 ? "is" : "es", n, n == 1 ? "ex" : "ices");
        }
        return bad_val();
    }
    return load_sym(c, sym, n, args, has_at ? &at : NULL, e->op_span, spans);
}

static bool is_letter_name(Env *env, const char *name)
{
    return find_group(env, name) != NULL;
}

/* Whether a bare name that is a bound letter could as well be read as a number: a tensor without axes, a hyper. */
static bool also_a_number(Env *env, const char *name)
{
    const Entity *ent = find_entity(env, name);
    if (ent == NULL) {
        return !env->scope->library && spec_hyper(env->ctx->E->spec, name) != NULL;
    }
    return ent->kind == ENT_SYM         ? ent->sym->ndim == 0
           : ent->kind == ENT_EQUATIONS ? !ent->rebinds && ent->cases[0]->lhs[ent->case_lhs[0]].nidx == 0
                                        : false;
}

Val name_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    const char *name = e->prime ? fmt(E, "%s'", e->name) : e->name;
    if (!e->prime && !e->has_bracket && e->at == NULL) {
        Thunk *t = find_thunk(env, name);
        if (t != NULL) {
            return thunk_val(t, c, e);
        }
        if (strcmp(name, "training") == 0 || strcmp(name, "noise") == 0) {
            return plain_val(sc_bool(g, name[0] == 't' ? E->training : E->noise));
        }
        if (strcmp(name, "self") == 0) {
            Val v = plain_val(sc_self(g));
            v.home = g->batch;
            return v;
        }
        if (is_letter_name(env, name)) {
            int n;
            Slot **slots, *first = env_slots(env, name, &n, &slots);
            if (n != 1) {
                mistake(E, "E0106", e->op_span, "it may stand in an index only", "'%s' stands for %d letters here",
                        name, n);
                return bad_val();
            }
            if (first->bound) {
                if (also_a_number(env, name)) {
                    if (E->clash == NULL || strcmp(E->clash, name) != 0) {
                        mistake(E, "E0111", e->op_span, NULL,
                                "'%s' is a letter here, and a number of that name is defined", name);
                        E->clash = name;
                    }
                    return bad_val();
                }
                return slot_val(c, first, e->op_span);
            }
        }
    } else if (find_thunk(env, e->name) != NULL) {
        mistake(E, "E0134", e->op_span, "functions take scalars: index the argument at the call",
                "'%s' is an argument of a function and has no index", e->name);
        return bad_val();
    }
    Entity *ent = find_entity(env, name);
    if (ent != NULL) {
        return load_entity(env, e, ent, e->prime);
    }
    if (!e->has_bracket && !e->prime && e->at == NULL) {
        for (const Binding *b = env->scope->values; b != NULL; b = b->next) {
            if (strcmp(b->name, name) == 0 && !b->value.is_list) {
                return number_val(E, &b->value);
            }
        }
        const Value *h = spec_hyper(E->spec, name);
        if (h != NULL) {
            if (h->is_list) {
                mistake(E, "E0135", e->op_span, NULL, "'%s' is a list, not a number", name);
                return bad_val();
            }
            return number_val(E, h);
        }
        AxisInfo *a = axis_lookup(E, env->scope, name);
        if (a != NULL) {
            if (a->axis == NULL) {
                return bad_val();
            }
            if (axis_is_ragged(a->axis) || a->kind == AC_BATCH || a->axis->kind == AXIS_TABLE) {
                mistake(E, "E0107", e->op_span, fmt(E, "write len(%s)", name), "axis %s has no fixed length", name);
                return bad_val();
            }
            return plain_val(sc_size(g, a->axis, 0, NULL));
        }
        const char *dot = strrchr(name, '.');
        if (dot != NULL && strcmp(dot, ".max") == 0) {
            a = axis_lookup(E, env->scope, arena_strndup(E->arena, name, (size_t)(dot - name)));
            if (a != NULL && a->axis != NULL && axis_bound(a->axis) >= 0) {
                return plain_val(sc_int(g, axis_bound(a->axis)));
            }
        }
        int index;
        Axis *members = member_lookup(E, env->scope, name, &index);
        if (members != NULL) {
            Val v = plain_val(sc_int(g, index));
            v.home = members;
            v.span = e->op_span;
            return v;
        }
        int n;
        Slot **slots, *s = env_slots(env, name, &n, &slots);
        if (s != NULL) {
            return unbound(env, s, e);
        }
    }
    Stmt *fn = spec_find(E->spec, ST_FN, name);
    if (fn != NULL || spec_find(E->spec, ST_BLOCK, name) != NULL) {
        mistake(E, "E0143", e->op_span, fn != NULL ? called_like(E, fn) : NULL, "'%s' is a %s: call it%s", name,
                fn != NULL ? "function" : "block", fn != NULL ? "" : " after :=");
        return bad_val();
    }
    const char *near = suggest_name(E, env, name);
    if (env->scope->block != NULL && scope_find(E->file, name, 1 << 30) != NULL) {
        mistake(E, "E0102", e->op_span, "pass it as an argument",
                "a block sees none of the file's tensors: '%s' is not an argument of %s", name,
                env->scope->block->name);
    } else {
        mistake(E, "E0100", e->op_span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL, "'%s' is not defined",
                name);
    }
    for (int k = 0; k < e->nidx; k++) {
        Val v[MAX_DIMS];
        index_vals(env, 1, &e->idx[k], v, MAX_DIMS);
    }
    return bad_val();
}

/* ---- indices ------------------------------------------------------------------------------------------------ */

bool is_index_name(const Idx *x, const char *name)
{
    return x->nsources == 0 && x->e->kind == EX_NAME && !x->e->has_bracket && strcmp(x->e->name, name) == 0;
}

/* The axis a source name stands for: an axis, or the members it belongs to (then *member is its position). */
static Axis *source_axis(Env *env, const char *name, int *member, Span span)
{
    Elab *E = env->ctx->E;
    *member = -1;
    AxisInfo *a = axis_lookup(E, env->scope, name);
    if (a != NULL && a->axis != NULL) {
        return a->axis;
    }
    Axis *m = a == NULL ? member_lookup(E, env->scope, name, member) : NULL;
    if (m == NULL && a == NULL) {
        mistake(E, "E0101", span, NULL, "there is no axis '%s'", name);
    }
    return m;
}

Val source_val(Env *env, const char *source, const Expr *e, Span span)
{
    Ctx *c = env->ctx;
    int member;
    Axis *axis = source_axis(env, source, &member, span);
    Val v = force(c, elab(env, e));
    if (axis == NULL || v.bad) {
        return bad_val();
    }
    if (v.part != NULL && v.part == axis) {
        return v;
    }
    if (v.s->type != TYPE_INT || v.part != NULL) {
        mistake(c->E, "E0132", span, NULL, "a position in %s must be an integer", source);
        return bad_val();
    }
    if (v.home != axis) {
        if (v.home != NULL) {
            mistake(c->E, "E0133", span, NULL, "this is an index of axis %s, not of %s", v.home->name, axis->name);
            return bad_val();
        }
        bool low, high;
        if (!index_in_range(c, v.s, axis, &v.conds, &low, &high)) {
            mistake(c->E, "E0210", span, NULL, "index may leave axis %s", axis->name);
            return bad_val();
        }
    }
    v.part = axis;
    v.home = NULL;
    return v;
}

int index_vals(Env *env, int nidx, const Idx *idx, Val *out, int max)
{
    Ctx *c = env->ctx;
    int n = 0;
    bool bad = false;
    for (int k = 0; k < nidx; k++) {
        const Idx *x = &idx[k];
        if (x->nsources == 0 && x->e->kind == EX_NAME && !x->e->has_bracket && find_thunk(env, x->e->name) == NULL) {
            Group *g = find_group(env, x->e->name);
            if (g == NULL && scope_find(env->scope, x->e->name, c->pos) == NULL) {
                LetterDecl d = letter_lookup(c->E, env->scope, x->e->name);
                int count;
                Slot **slots;
                if (d.found && d.naxes != 1 && d.family == NULL && env_slots(env, x->e->name, &count, &slots) != NULL) {
                    g = find_group(env, x->e->name);
                }
            }
            if (g != NULL && g->n != 1) {
                for (int m = 0; m < g->n; m++) {
                    if (!g->slots[m]->bound) {
                        unbound(env, g->slots[m], x->e);
                        bad = true;
                    } else if (n < max) {
                        out[n++] = slot_val(c, g->slots[m], x->span);
                    }
                }
                continue;
            }
        }
        Val v;
        if (x->nsources == 1) {
            v = source_val(env, x->sources[0], x->e, x->span);
        } else {
            v = force(c, elab(env, x->e));
        }
        v.span = x->span;
        v.expr = x->e;
        bad = bad || v.bad;
        if (n < max) {
            out[n++] = v;
        } else {
            mistake(c->E, "E0137", x->span, NULL, "more than %d indices", max);
            return -1;
        }
    }
    return bad ? -1 : n;
}
