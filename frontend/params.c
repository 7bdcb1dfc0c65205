/* Inputs, params and states: what a model is given, what it learns and what it keeps. */
#include "elab.h"

#include <string.h>

Sym *decl_sym(Elab *E, const char *name, const char *path, Span span, SectionKind section)
{
    Sym *s = arena_alloc(E->arena, sizeof *s);
    *s = (Sym){.name = name, .path = path, .span = span, .section = section};
    return s;
}

bool decl_dims(Elab *E, Scope *scope, const Decl *d, Sym *sym)
{
    for (int k = 0; k < d->ndims; k++) {
        int n = axes_of_expr(E, scope, d->dims[k], sym->dims + sym->ndim, MAX_DIMS - sym->ndim);
        if (n < 0) {
            return false;
        }
        sym->ndim += n;
    }
    return true;
}

bool path_is_free(Elab *E, const char *path, Span span)
{
    return graph_find(E->g, path) == NULL ||
           mistake(E, "E0120", span, "use another name", "'%s' is defined twice", path);
}

/* ---- inputs ------------------------------------------------------------------------------------------------- */

static bool input_range(Elab *E, const InputDecl *d, Tensor *t)
{
    int64_t lo = 0, hi = -1;
    bool has_lo = false, has_hi = false;
    for (int k = 0; k < d->nargs; k++) {
        const Arg *a = &d->args[k];
        bool low = a->name != NULL && strcmp(a->name, "min") == 0,
             high = a->name != NULL && strcmp(a->name, "max") == 0;
        if ((!low && !high) || !spec_eval_int(E->spec, NULL, a->value, low ? &lo : &hi)) {
            return mistake(E, "E0151", a->span, "write int64(min = 0, max = 9)",
                           "a range has the integers min and max");
        }
        has_lo = has_lo || low;
        has_hi = has_hi || high;
    }
    if (has_lo && has_hi) {
        t->lo = lo;
        t->hi = hi;
    }
    return true;
}

Sym *make_input(Elab *E, Stmt *s)
{
    const InputDecl *d = s->input;
    Sym *sym = decl_sym(E, s->name, s->name, s->span, SECTION_MODEL);
    sym->bad = true;
    if (!decl_dims(E, E->file, s->decl, sym)) {
        return sym;
    }
    Tensor t = {.name = s->name,
                .role = ROLE_INPUT,
                .per_example = !d->is_const,
                .is_label = d->is_label,
                .is_ascending = d->is_ascending,
                .ndim = sym->ndim,
                .lo = 0,
                .hi = -1,
                .span = s->span};
    memcpy(t.dims, sym->dims, sizeof sym->dims);
    const char *type = d->type;
    if (strcmp(type, "int64") == 0 || strcmp(type, "int32") == 0 || strcmp(type, "int8") == 0) {
        t.elem = strcmp(type, "int64") == 0 ? ELEM_I64 : ELEM_I32;
        if (!input_range(E, d, &t)) {
            return sym;
        }
    } else if (strcmp(type, "f32") == 0 || strcmp(type, "f64") == 0 || strcmp(type, "bf16") == 0) {
        t.elem = ELEM_REAL;
    } else if (strcmp(type, "bool") == 0) {
        t.elem = ELEM_BOOL;
    } else {
        if (strcmp(type, "vocab") == 0 && d->nargs == 1 && d->args[0].value->kind == EX_NAME) {
            sym->values = axis_of_vocab(E, d->args[0].value->name);
        } else {
            AxisInfo *a = axis_lookup(E, E->file, type);
            if (a == NULL || a->axis == NULL || a->axis->kind == AXIS_SUM || axis_is_ragged(a->axis)) {
                if (a == NULL || a->axis != NULL) {
                    mistake(E, "E0125", d->type_span, "types are int64, f32, bool, vocab(NAME) and axes",
                            "'%s' is no type of an input", type);
                }
                return sym;
            }
            sym->values = a->axis;
        }
        int64_t n = axis_bound(sym->values);
        t.elem = ELEM_I32;
        t.vocab = sym->values->kind == AXIS_TABLE ? sym->values->name : sym->values->vocab;
        if (n > 0) {
            t.hi = n - 1;
        }
    }
    if (!path_is_free(E, s->name, s->span)) {
        return sym;
    }
    const Axis *list = sym->ndim == 1 ? sym->dims[0] : NULL;
    if (d->is_ascending &&
        (elem_type(t.elem) != TYPE_INT || t.vocab || !list || list->kind != AXIS_RAGGED || list->parent)) {
        mistake(E, "E0124", s->span, "say it of int64 along a ragged axis: ts[T] : int64 ascending",
                "'%s' is no list of integers, so it cannot be ascending", s->name);
        return sym;
    }
    for (int k = 0; k < sym->ndim; k++) {
        if (d->is_const && axis_is_ragged(sym->dims[k])) {
            mistake(E, "E0126", s->span, NULL, "a const input has no ragged axis: %s differs between examples",
                    sym->dims[k]->name);
            return sym;
        }
    }
    sym->t = graph_tensor(E->g, t);
    name_tensor(E, sym->t, sym);
    sym->bad = false;
    if (d->is_label) {
        sym->tainted_by = sym;
    }
    return sym;
}

/* ---- initialisers ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    int nargs;
    int kind;
} InitKind;

static const InitKind init_kinds[] = {
    {"normal", 2, INIT_NORMAL},
    {"uniform", 1, INIT_UNIFORM},
    {"trunc_normal", 1, INIT_TRUNC_NORMAL},
    {"orthogonal", 0, INIT_ORTHOGONAL},
};

/* The usual scaled ones, for specs whose library does not define them. */
static const struct {
    const char *name;
    int kind;
    double gain; /* standard deviation or radius is (gain / (fanin + fanout))^0.5 */
} scaled[] = {{"xavier_uniform", INIT_UNIFORM, 6}, {"xavier_normal", INIT_NORMAL, 2}};

static Thunk *add_value(Env *env, const char *name, Scalar *v)
{
    Thunk *t = arena_alloc(env->ctx->E->arena, sizeof *t);
    *t = (Thunk){.name = name, .value = v, .next = env->thunks};
    env->thunks = t;
    return t;
}

static Scalar *init_arg(Env *env, const Expr *e)
{
    Val v = force(env->ctx, elab(env, e));
    if (v.bad) {
        return NULL;
    }
    if (v.s->type == TYPE_BOOL || v.conds.n > 0) {
        mistake(env->ctx->E, "E0127", e->span, NULL, "an initialiser needs numbers known for every index");
        return NULL;
    }
    return sc_op(env->ctx->E->g, OP_real, v.s);
}

static bool init_of(Env *env, const Expr *e, Init *init, int depth)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    const char *name = e->kind == EX_CALL || (e->kind == EX_NAME && !e->has_bracket) ? e->name : NULL;
    int nargs = e->kind == EX_CALL ? e->nargs : 0;
    for (size_t k = 0; name != NULL && k < sizeof init_kinds / sizeof *init_kinds; k++) {
        if (strcmp(init_kinds[k].name, name) != 0) {
            continue;
        }
        if (nargs != init_kinds[k].nargs) {
            return mistake(E, "E0142", e->op_span, NULL, "%s takes %d argument%s, not %d", name, init_kinds[k].nargs,
                           init_kinds[k].nargs == 1 ? "" : "s", nargs);
        }
        init->kind = init_kinds[k].kind;
        init->a = nargs > 0 ? init_arg(env, e->args[0].value) : NULL;
        init->b = nargs > 1 ? init_arg(env, e->args[1].value) : NULL;
        return (nargs < 1 || init->a != NULL) && (nargs < 2 || init->b != NULL);
    }
    Stmt *fn = name != NULL ? spec_find(E->spec, ST_FN, name) : NULL;
    if (fn != NULL && fn->is_init && depth < 20) {
        Env *inner = env_new(c, E->file);
        inner->is_fn = true;
        inner->site = e;
        inner->caller = env;
        if (nargs > fn->nparams) {
            return mistake(E, "E0142", e->op_span, NULL, "%s takes %d arguments, not %d", name, fn->nparams, nargs);
        }
        for (const Thunk *t = env->thunks; t != NULL; t = t->next) { /* fanin, fanout */
            if (t->value != NULL) {
                add_value(inner, t->name, t->value);
            }
        }
        for (int k = 0; k < fn->nparams; k++) {
            const Expr *value = k < nargs ? e->args[k].value : fn->params[k].value;
            if (value == NULL) {
                return mistake(E, "E0142", e->op_span, NULL, "argument '%s' of %s is missing", fn->params[k].name,
                               name);
            }
            Thunk *t = add_value(inner, fn->params[k].name, NULL);
            t->e = value;
            t->env = k < nargs ? env : inner;
        }
        return init_of(inner, fn->value, init, depth + 1);
    }
    for (size_t k = 0; name != NULL && k < sizeof scaled / sizeof *scaled; k++) {
        if (strcmp(scaled[k].name, name) != 0) {
            continue;
        }
        Scalar *in = NULL, *out = NULL;
        for (const Thunk *t = env->thunks; t != NULL; t = t->next) {
            in = strcmp(t->name, "fanin") == 0 ? t->value : in;
            out = strcmp(t->name, "fanout") == 0 ? t->value : out;
        }
        if (in == NULL || out == NULL) {
            return mistake(E, "E0127", e->op_span, "write param W[D -> H]", "%s needs an arrow in the shape", name);
        }
        Scalar *v = sc_op(g, OP_div, sc_real(g, scaled[k].gain), sc_op(g, OP_add, in, out));
        v = sc_op(g, OP_sqrt, v);
        init->kind = scaled[k].kind;
        init->a = init->kind == INIT_NORMAL ? sc_real(g, 0) : v;
        init->b = init->kind == INIT_NORMAL ? v : NULL;
        return true;
    }
    if (name != NULL && (e->kind == EX_CALL || spec_hyper(E->spec, name) == NULL)) {
        const char *names[16];
        int n = 0;
        for (size_t k = 0; k < sizeof init_kinds / sizeof *init_kinds; k++) {
            names[n++] = init_kinds[k].name;
        }
        for (size_t k = 0; k < sizeof scaled / sizeof *scaled; k++) {
            names[n++] = scaled[k].name;
        }
        for (int k = 0; k < E->spec->items.n && n < 16; k++) {
            if (E->spec->items.v[k]->kind == ST_FN && E->spec->items.v[k]->is_init) {
                names[n++] = E->spec->items.v[k]->name;
            }
        }
        const char *near = nearest(name, n, names);
        return mistake(E, "E0128", e->op_span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL,
                       "there is no initialiser '%s'", name);
    }
    init->kind = INIT_CONST;
    init->a = init_arg(env, e);
    return init->a != NULL;
}

static Scalar *product_of(Elab *E, const Sym *sym, int from, int to)
{
    Scalar *n = sc_real(E->g, 1);
    for (int k = from; k < to; k++) {
        Axis *a = sym->dims[k];
        Scalar *size = a->kind == AXIS_TABLE ? sc_int(E->g, a->size > 0 ? a->size : 1) : sc_size(E->g, a, 0, NULL);
        n = sc_op(E->g, OP_mul, n, size);
    }
    return n;
}

Init *decl_init(Elab *E, Env *env, const Decl *d, const Sym *sym)
{
    Init *init = arena_alloc(E->g->arena, sizeof *init);
    Text text = {0};
    expr_print(d->value, &text);
    init->text = arena_strdup(E->g->arena, text.s);
    text_free(&text);
    /* Axes before the semicolon select; those before the arrow are summed, those after it result. Without an arrow the
     * first of several axes is taken as the one that is summed. */
    int narrow = d->narrow >= 0 ? d->narrow : sym->ndim > d->nselect + 1 ? d->nselect + 1 : sym->ndim;
    add_value(env, "fanin", product_of(E, sym, d->nselect, narrow));
    add_value(env, "fanout", product_of(E, sym, narrow < sym->ndim ? narrow : d->nselect, sym->ndim));
    return init_of(env, d->value, init, 0) ? init : NULL;
}

/* ---- params ------------------------------------------------------------------------------------------------- */

/* A param declared by letters may have a domain and an initialiser that depends on the index. */
static bool dims_or_letters(Elab *E, Scope *scope, const Decl *d, Sym *sym, Env *env)
{
    for (int k = 0; k < d->ndims; k++) {
        const Expr *e = d->dims[k];
        if (e->kind == EX_NAME && !e->has_bracket && axis_lookup(E, scope, e->name) == NULL &&
            spec_hyper(E->spec, e->name) == NULL && letter_lookup(E, scope, e->name).found) {
            int n;
            Slot **slots, *s = env_slots(env, e->name, &n, &slots);
            if (s == NULL || n != 1 || s->axis == NULL || sym->ndim == MAX_DIMS) {
                return mistake(E, "E0154", e->span, NULL, "'%s' stands for no single axis here", e->name);
            }
            if (s->bound) {
                return mistake(E, "E0105", e->span, fmt(E, "write %s1", e->name), "index '%s' is already bound",
                               e->name);
            }
            s->bound = true;
            s->var = new_var(env->ctx, s->axis, s->name, -1);
            env->ctx->live[s->var] = true;
            sym->dims[sym->ndim++] = s->axis;
            continue;
        }
        int before = sym->ndim;
        int n = axes_of_expr(E, scope, e, sym->dims + sym->ndim, MAX_DIMS - sym->ndim);
        if (n < 0) {
            return false;
        }
        sym->ndim += n;
        for (int m = before; m < sym->ndim; m++) {
            new_var(env->ctx, sym->dims[m], "_", -1);
        }
    }
    return true;
}

/* In a block, an axis that a starred parameter has taken may have been meant for another one, which has none. */
static const char *ragged_remedy(Elab *E, const Scope *scope, const Axis *axis)
{
    for (const Scope *s = scope; s != NULL && s->block != NULL; s = s->parent) {
        bool taken = false;
        const AxisBinding *empty = NULL;
        for (const AxisBinding *b = s->axes; b != NULL; b = b->next) {
            empty = b->star && b->n == 0 && empty == NULL ? b : empty;
            for (int k = 0; k < b->n; k++) {
                taken = taken || (b->star && b->axes[k] == axis);
            }
        }
        if (taken && empty != NULL) {
            return fmt(E, "to apply the block to each row of %s, write %s<%s = %s>(...)", axis->name, s->block->name,
                       empty->name, axis->name);
        }
    }
    return "use a number: the bound of the axis is T.max";
}

Sym *make_param(Elab *E, Scope *scope, Stmt *s, SectionKind section)
{
    const Decl *d = s->decl;
    Sym *sym = decl_sym(E, s->name, join_path(E, scope->path, s->name), s->span, section);
    sym->bad = true;
    Ctx *c = ctx_new(E, scope, s, 0, section, sym->path);
    Env *env = env_new(c, scope);
    if (!dims_or_letters(E, scope, d, sym, env)) {
        return sym;
    }
    for (int k = 0; k < sym->ndim; k++) {
        if (axis_is_ragged(sym->dims[k]) || sym->dims[k]->kind == AXIS_BATCH) {
            mistake(E, "E0126", s->span, ragged_remedy(E, scope, sym->dims[k]),
                    "a param has no axis that differs between examples: %s of '%s'", sym->dims[k]->name, s->name);
            return sym;
        }
    }
    Conds domain = {0};
    if (d->where != NULL && !elab_conds(env, d->where, &domain)) {
        return sym;
    }
    Init *init = decl_init(E, env, d, sym);
    if (init == NULL || !path_is_free(E, sym->path, s->span)) {
        return sym;
    }
    init->cond = domain.n > 0 ? conds_all(c, &domain) : NULL;
    Tensor t = {.name = sym->path,
                .elem = ELEM_REAL,
                .role = ROLE_PARAM,
                .ndim = sym->ndim,
                .init = init,
                .lo = 0,
                .hi = -1,
                .span = s->span};
    memcpy(t.dims, sym->dims, sizeof sym->dims);
    if (s->ntags > 0) {
        const char **tags = arena_alloc(E->g->arena, (size_t)(s->ntags + 1) * sizeof *tags);
        for (int k = 0; k < s->ntags; k++) {
            tags[k] = arena_strdup(E->g->arena, s->tags[k]);
        }
        t.tags = tags;
    }
    if (domain.n > 0) {
        Case k = {.conds = domain, .span = s->span};
        ARENA_PUSH(E->arena, sym->cases, sym->ncases, k);
    }
    sym->t = graph_tensor(E->g, t);
    name_tensor(E, sym->t, sym);
    sym->bad = false;
    return sym;
}
