/* Expressions: each becomes a Val, an IR scalar together with the conditions under which it is defined (rules 2 to 4
 * of the language). `a else b` is a select on the conditions of a; what is left over are conditions of the result. */
#include "elab.h"

#include <string.h>

Val bad_val(void)
{
    return (Val){.bad = true};
}

Val plain_val(Scalar *s)
{
    return (Val){.s = s};
}

Val force(Ctx *c, Val v)
{
    if (!v.bad && v.pending != NULL) {
        v.s = emit_pending(c, v.pending, v.span);
        v.pending = NULL;
    }
    return v;
}

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

static Entity *find_entity(Env *env, const char *name)
{
    Entity *e = scope_find(env->scope, name, env->ctx->pos);
    if (e == NULL && env->scope != env->ctx->E->file) { /* a block or a function sees the file's const inputs */
        Entity *f = scope_find(env->ctx->E->file, name, 0);
        e = f != NULL && f->kind == ENT_SYM && f->sym != NULL && f->sym->t->role == ROLE_INPUT &&
                    !f->sym->t->per_example
                ? f
                : NULL;
    }
    if (e != NULL && env->is_fn && !(e->kind == ENT_SYM && e->sym != NULL && e->sym->t->role == ROLE_INPUT)) {
        return NULL;
    }
    return e;
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
    if (e->where != NULL) {
        mistake(E, "E0136", e->where->span, "write e where P",
                "a condition may stand in the index of a left-hand side only");
        return bad_val();
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
            mistake(E, "E0130", e->op_span, NULL, "'%s' has the axes [%s] and is used without an index", e->name, t.s);
            text_free(&t);
        } else {
            mistake(E, "E0130", e->op_span, NULL, "'%s' has %d ax%s and is read with %d ind%s", e->name, sym->ndim,
                    sym->ndim == 1 ? "is" : "es", n, n == 1 ? "ex" : "ices");
        }
        return bad_val();
    }
    return load_sym(c, sym, n, args, has_at ? &at : NULL, e->op_span, spans);
}

static bool is_letter_name(Env *env, const char *name)
{
    return find_group(env, name) != NULL;
}

static Val name_val(Env *env, const Expr *e)
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
        mistake(E, "E0143", e->op_span, NULL, "'%s' is a %s: call it%s", name, fn != NULL ? "function" : "block",
                fn != NULL ? "" : " after :=");
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

static Val source_val(Env *env, const char *source, const Expr *e, Span span)
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

/* The declared sum of axes that has both as sources, or NULL. */
static Axis *common_sum(Elab *E, const Axis *a, const Axis *b)
{
    for (AxisInfo *i = E->axes; i != NULL; i = i->next) {
        if (i->axis == NULL || i->axis->kind != AXIS_SUM) {
            continue;
        }
        bool has_a = false, has_b = false;
        for (int k = 0; k < i->axis->nparts; k++) {
            has_a = has_a || i->axis->parts[k] == a;
            has_b = has_b || i->axis->parts[k] == b;
        }
        if (has_a && has_b) {
            return i->axis;
        }
    }
    return NULL;
}

Val token_to(Ctx *c, Val v, Axis *axis)
{
    const Axis *part = v.part != NULL ? v.part : v.home;
    for (int k = 0; k < axis->nparts; k++) {
        if (axis->parts[k] == part) {
            v.s = sc_axis_op(c->E->g, OP_INJECT, axis, k, 1, &v.s);
            v.part = NULL;
            v.home = axis;
            return v;
        }
    }
    return bad_val();
}

/* ---- operators ---------------------------------------------------------------------------------------------- */

static const char *thing_of(Elab *E, const Axis *a)
{
    const AxisInfo *i = axis_info(E, a);
    if (i == NULL) {
        return a->name;
    }
    switch (i->kind) {
    case AC_RAGGED:
        return fmt(E, "an event of %s", a->name);
    case AC_VOCAB:
        return fmt(E, "an item of %s", a->name);
    case AC_MEMBERS:
        return fmt(E, "a member of %s", a->name);
    case AC_BATCH:
        return "an example of the batch";
    default:
        return fmt(E, "an index of %s", a->name);
    }
}

static const char *letters_of(Elab *E, const Axis *a)
{
    const AxisInfo *i = axis_info(E, a);
    if (i == NULL || i->stmt == NULL || i->stmt->axis->nletters == 0) {
        return NULL;
    }
    AxisDecl *d = i->stmt->axis;
    return d->letters[d->nletters - 1];
}

/* Letters of two axes do not mix (rule 2). */
static bool same_home(Ctx *c, const Expr *e, const Val *a, const Val *b)
{
    Elab *E = c->E;
    if (a->home == NULL || b->home == NULL || a->home == b->home || axis_is_number(E, a->home) ||
        axis_is_number(E, b->home)) {
        return true;
    }
    const char *verb = e->kind == EX_BINARY && e->op == BIN_SUB ? "subtracted" : "compared";
    const char *letter = letters_of(E, b->home);
    Text ta = {0}, tb = {0};
    expr_print(e->a, &ta);
    expr_print(e->b, &tb);
    mistake(E, "E0131", e->span,
            letter != NULL && e->a->kind == EX_NAME ? fmt(E, "did you mean %s (axis %s)?", letter, b->home->name)
                                                    : NULL,
            "axes differ: '%s' is %s, '%s' is %s; they cannot be %s", ta.s, thing_of(E, a->home), tb.s,
            thing_of(E, b->home), verb);
    text_free(&ta);
    text_free(&tb);
    return false;
}

static bool operand_ok(Ctx *c, const Expr *e, const Val *v, bool boolean)
{
    if (v->part != NULL) {
        mistake(c->E, "E0132", e->span, NULL, "a token of a sum of axes is no number");
        return false;
    }
    if ((v->s->type == TYPE_BOOL) != boolean) {
        mistake(c->E, "E0140", e->span, boolean ? NULL : "write 1 where P else 0",
                boolean ? "a condition is needed here, this is a number"
                        : "a number is needed here, this is a condition");
        return false;
    }
    return true;
}

static Scalar *power(Elab *E, Scalar *a, Scalar *b)
{
    Graph *g = E->g;
    if (a->op != OP_CONST) {
        if (sc_is_const(b, 1)) {
            return a;
        }
        if (sc_is_const(b, 2)) {
            return sc_op(g, OP_mul, a, a);
        }
        if (sc_is_const(b, 3)) {
            return sc_op(g, OP_mul, sc_op(g, OP_mul, a, a), a);
        }
        if (sc_is_const(b, -1)) {
            return sc_op(g, OP_div, sc_real(g, 1), a);
        }
        if (sc_is_const(b, 0.5)) {
            return sc_op(g, OP_sqrt, a);
        }
        if (sc_is_const(b, -0.5)) {
            return sc_op(g, OP_rsqrt, a);
        }
    }
    return sc_op(g, OP_pow, a, b);
}

/* Which axis the sum or difference of two integers belongs to. */
static void shift_home(Ctx *c, BinaryOp op, const Val *a, const Val *b, Val *r)
{
    Elab *E = c->E;
    const Val *keep = NULL;
    bool an = a->home != NULL && a->letter, bn = b->home != NULL && b->letter;
    if (an && !(bn && !axis_is_number(E, b->home))) {
        keep = a;
    } else if (bn && op == BIN_ADD) {
        keep = b;
    }
    if (an && bn && axis_is_number(E, a->home) && axis_is_number(E, b->home)) {
        keep = NULL;
    }
    if (keep != NULL && (op == BIN_ADD || keep == a)) {
        r->home = keep->home;
        r->letter = true;
    }
}

static Val binary_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    if (e->op == BIN_AND || e->op == BIN_OR) {
        int mark = conds_mark(c);
        Val a = force(c, elab(env, e->a));
        Val b = force(c, elab(env, e->b));
        facts_reset(c, mark);
        if (a.bad || b.bad || !operand_ok(c, e->a, &a, true) || !operand_ok(c, e->b, &b, true)) {
            return bad_val();
        }
        Op op = e->op == BIN_AND ? OP_and : OP_or;
        Op dual = e->op == BIN_AND ? OP_or : OP_and;
        (void)dual;
        Scalar *da = conds_all(c, &a.conds), *db = conds_all(c, &b.conds);
        Scalar *ta = sc_op(g, OP_and, da, a.s), *tb = sc_op(g, OP_and, db, b.s);
        Val r = plain_val(sc_op(g, op, ta, tb));
        if (a.conds.n > 0 || b.conds.n > 0) {
            Scalar *fa = sc_op(g, OP_and, da, negate(E, a.s)), *fb = sc_op(g, OP_and, db, negate(E, b.s));
            Scalar *decided = e->op == BIN_AND ? sc_op(g, OP_or, r.s, sc_op(g, OP_or, fa, fb))
                                               : sc_op(g, OP_or, r.s, sc_op(g, OP_and, fa, fb));
            conds_add(c, &r.conds, decided);
        }
        return r;
    }
    Val a = force(c, elab(env, e->a));
    Val b = force(c, elab(env, e->b));
    if (a.bad || b.bad) {
        return bad_val();
    }
    bool compares = e->op >= BIN_EQ && e->op <= BIN_GE;
    Val r = {0};
    if (compares && (a.part != NULL || b.part != NULL)) { /* c != B self */
        Axis *sum = a.part != NULL && b.part != NULL ? common_sum(E, a.part, b.part) : a.part != NULL ? b.home : a.home;
        if (sum != NULL && sum->kind == AXIS_SUM) {
            a = a.part != NULL ? token_to(c, a, sum) : a;
            b = b.part != NULL ? token_to(c, b, sum) : b;
        }
        if (a.bad || b.bad) {
            mistake(E, "E0131", e->span, NULL, "axes differ: the two tokens belong to no common sum of axes");
            return bad_val();
        }
    }
    bool bools = compares && (e->op == BIN_EQ || e->op == BIN_NE) && a.s->type == TYPE_BOOL && b.s->type == TYPE_BOOL;
    if (!operand_ok(c, e->a, &a, bools) || !operand_ok(c, e->b, &b, bools)) {
        return bad_val();
    }
    if ((compares || e->op == BIN_SUB) && !same_home(c, e, &a, &b)) {
        return bad_val();
    }
    conds_join(c, &r.conds, &a.conds);
    conds_join(c, &r.conds, &b.conds);
    switch (e->op) {
    case BIN_ADD:
        r.s = sc_op(g, OP_add, a.s, b.s);
        shift_home(c, e->op, &a, &b, &r);
        break;
    case BIN_SUB:
        r.s = sc_op(g, OP_sub, a.s, b.s);
        shift_home(c, e->op, &a, &b, &r);
        break;
    case BIN_MUL:
        r.s = sc_op(g, OP_mul, a.s, b.s);
        break;
    case BIN_DIV:
        r.s = sc_op(g, OP_div, a.s, b.s);
        break;
    case BIN_POW:
        r.s = power(E, a.s, b.s);
        break;
    case BIN_EQ:
        r.s = sc_op(g, OP_eq, a.s, b.s);
        break;
    case BIN_NE:
        r.s = sc_op(g, OP_ne, a.s, b.s);
        break;
    case BIN_LT:
        r.s = sc_op(g, OP_lt, a.s, b.s);
        break;
    case BIN_LE:
        r.s = sc_op(g, OP_le, a.s, b.s);
        break;
    case BIN_GT:
        r.s = sc_op(g, OP_lt, b.s, a.s);
        break;
    case BIN_GE:
        r.s = sc_op(g, OP_le, b.s, a.s);
        break;
    default:
        break;
    }
    if (r.s->type != TYPE_INT) {
        r.home = NULL;
        r.letter = false;
    }
    return r;
}

/* ---- where, else -------------------------------------------------------------------------------------------- */

static Scalar *truth(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Conds conds = {0};
    int mark = conds_mark(c);
    bool ok = elab_conds(env, e, &conds);
    facts_reset(c, mark);
    return ok ? conds_all(c, &conds) : NULL;
}

bool elab_conds(Env *env, const Expr *e, Conds *out)
{
    Ctx *c = env->ctx;
    if (e->kind == EX_BINARY && e->op == BIN_AND) {
        bool ok = elab_conds(env, e->a, out);
        return elab_conds(env, e->b, out) && ok;
    }
    if (e->kind == EX_BINARY && e->op == BIN_OR) {
        Scalar *a = truth(env, e->a), *b = truth(env, e->b);
        if (a == NULL || b == NULL) {
            return false;
        }
        conds_add(c, out, sc_op(c->E->g, OP_or, a, b));
        facts_push(c, out);
        return true;
    }
    Val v = force(c, elab(env, e));
    if (v.bad || !operand_ok(c, e, &v, true)) {
        return false;
    }
    conds_join(c, out, &v.conds);
    conds_add(c, out, v.s);
    facts_push(c, out);
    return true;
}

static Val where_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Conds conds = {0};
    int mark = conds_mark(c);
    bool ok = elab_conds(env, e->b, &conds);
    Val v = force(c, elab(env, e->a));
    facts_reset(c, mark);
    if (!ok || v.bad) {
        return bad_val();
    }
    Conds all = {0};
    conds_join(c, &all, &conds);
    conds_join(c, &all, &v.conds);
    v.conds = all;
    v.bare = false;
    return v;
}

/* Two alternatives as one: their common type and axis. */
static Val choose(Ctx *c, const Expr *e, Scalar *cond, Val a, Val b)
{
    Elab *E = c->E;
    Axis *home = a.home == b.home ? a.home : NULL;
    if (a.part != b.part ||
        (a.home != b.home && (a.part != NULL || b.part != NULL || (a.home != NULL && b.home != NULL)))) {
        const Axis *pa = a.part != NULL ? a.part : a.home, *pb = b.part != NULL ? b.part : b.home;
        Axis *sum = pa != NULL && pb != NULL ? common_sum(E, pa, pb) : NULL;
        if (pa != NULL && pa->kind == AXIS_SUM && b.part != NULL) {
            sum = a.home;
        }
        if (sum != NULL) {
            a = a.home == sum ? a : token_to(c, a, sum);
            b = b.home == sum ? b : token_to(c, b, sum);
            home = sum;
        } else if (pa != NULL && pb != NULL && pa != pb && !axis_is_number(E, pa) && !axis_is_number(E, pb)) {
            mistake(E, "E0131", e->span, NULL, "axes differ: one side is %s, the other %s", thing_of(E, pa),
                    thing_of(E, pb));
            return bad_val();
        }
    }
    if (a.bad || b.bad) {
        return bad_val();
    }
    Scalar *args[] = {cond, a.s, b.s};
    if (sc_check(OP_select, 3, args) != NULL) {
        mistake(E, "E0140", e->span, NULL, "one side is a condition and the other a number");
        return bad_val();
    }
    Val r = plain_val(sc_opv(E->g, OP_select, 3, args));
    r.home = r.s->type == TYPE_INT ? home : NULL;
    r.part = a.part != NULL && a.part == b.part ? a.part : NULL;
    return r;
}

static Val else_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Val a = force(c, elab(env, e->a));
    Val b = force(c, elab(env, e->b));
    if (a.bad || b.bad) {
        return bad_val();
    }
    if (a.conds.n == 0) {
        return a;
    }
    if (conds_false(&a.conds)) {
        return b;
    }
    Scalar *defined = conds_all(c, &a.conds);
    Val r = choose(c, e, defined, a, b);
    if (!r.bad && b.conds.n > 0) {
        conds_add(c, &r.conds, sc_op(c->E->g, OP_or, defined, conds_all(c, &b.conds)));
    }
    return r;
}

/* ---- all expressions ---------------------------------------------------------------------------------------- */

static Val elab_any(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    switch (e->kind) {
    case EX_NUM:
        return plain_val(e->is_int ? sc_int(g, (int64_t)e->num) : sc_real(g, e->num));
    case EX_NAME:
        return name_val(env, e);
    case EX_CALL:
        return elab_call(env, e);
    case EX_REDUCE:
        return elab_reduce(env, e);
    case EX_BINARY:
        return binary_val(env, e);
    case EX_WHERE:
        return where_val(env, e);
    case EX_ELSE:
        return else_val(env, e);
    case EX_SOURCE:
        return source_val(env, e->name, e->a, e->op_span);
    case EX_NEG: {
        Val v = force(c, elab(env, e->a));
        if (v.bad || !operand_ok(c, e->a, &v, false)) {
            return bad_val();
        }
        v.s = sc_op(g, OP_neg, v.s);
        v.home = NULL;
        v.letter = v.bare = false;
        return v;
    }
    case EX_NOT: {
        Val v = force(c, elab(env, e->a));
        if (v.bad || !operand_ok(c, e->a, &v, true)) {
            return bad_val();
        }
        v.s = negate(c->E, v.s);
        return v;
    }
    case EX_LIST:
        mistake(c->E, "E0135", e->span, NULL, "a list stands for axes or hypers only");
        return bad_val();
    case EX_AXIS:
        mistake(c->E, "E0135", e->span, NULL, "an axis is no number");
        return bad_val();
    }
    return bad_val();
}

Val elab(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    if (c->E->depth > 2000) {
        mistake(c->E, "E0161", e->span, NULL, "the expression is nested too deeply");
        return bad_val();
    }
    c->E->depth++;
    Val v = elab_any(env, e);
    c->E->depth--;
    if (!v.bad) {
        if (v.s != NULL) {
            v.s = sc_with_span(c->E->g, v.s, e->op_span);
        }
        if (v.span.source == NULL || e->kind == EX_REDUCE) {
            v.span = e->op_span;
        }
    }
    return v;
}
