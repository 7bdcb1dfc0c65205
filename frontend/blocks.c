/* Block calls. A block is an equation macro: its body is entered into a scope of its own under the call's path, its
 * arguments are other names for the caller's tensors, its axis parameters are bound by matching the signature with
 * what the arguments are (`x[Z<A>, D]` against a tensor over Z<S>, D binds A = S), or by <K = n / 2>. */
#include "elab.h"

#include <string.h>

static AxisBinding *find_param(Scope *s, const char *name)
{
    for (AxisBinding *b = s->axes; b != NULL; b = b->next) {
        if (strcmp(b->name, name) == 0) {
            return b;
        }
    }
    return NULL;
}

static void bind_axes(Elab *E, AxisBinding *b, int n, Axis *const *axes)
{
    b->axes = arena_alloc(E->arena, (size_t)(n + 1) * sizeof *b->axes);
    memcpy(b->axes, axes, (size_t)n * sizeof *axes);
    b->n = n;
    b->bound = true;
}

static const char *dims_text(Elab *E, int n, Axis *const *dims)
{
    Text t = {0};
    text_printf(&t, "[");
    for (int k = 0; k < n; k++) {
        text_printf(&t, "%s%s", k > 0 ? "," : "", dims[k]->name);
    }
    text_printf(&t, "]");
    const char *s = arena_strdup(E->arena, t.s);
    text_free(&t);
    return s;
}

static const char *decl_text(Elab *E, const Decl *d)
{
    Text t = {0};
    text_printf(&t, "[");
    for (int k = 0; k < d->ndims; k++) {
        text_printf(&t, "%s", k > 0 ? "," : "");
        expr_print(d->dims[k], &t);
    }
    text_printf(&t, "]");
    const char *s = arena_strdup(E->arena, t.s);
    text_free(&t);
    return s;
}

static bool mismatch(Elab *E, const Call *call, const Decl *d, const Sym *sym, Span at)
{
    return mistake(E, "E0156", at, NULL, "%s takes %s%s, '%s' has the axes %s", call->stmt->call->name, d->name,
                   decl_text(E, d), sym->name, dims_text(E, sym->ndim, sym->dims));
}

/* Binds the open axis parameters of one argument. */
static bool match_dims(Elab *E, Call *call, Scope *inner, const Decl *d, const Sym *sym, Span at)
{
    int fixed = 0, open = 0, taken = 0;
    AxisBinding *last_open = NULL;
    for (int k = 0; k < d->ndims; k++) {
        AxisBinding *b = d->dims[k]->kind == EX_NAME ? find_param(inner, d->dims[k]->name) : NULL;
        if (b == NULL || !b->star) {
            fixed++;
        } else if (b->bound) {
            taken += b->n;
        } else {
            open++;
            last_open = b;
        }
    }
    int rest = sym->ndim - fixed - taken;
    if (rest < 0 || (open == 0 && rest != 0)) {
        return mismatch(E, call, d, sym, at);
    }
    for (int k = 0, m = 0; k < d->ndims; k++) {
        const Expr *e = d->dims[k];
        AxisBinding *b = e->kind == EX_NAME ? find_param(inner, e->name) : NULL;
        Axis *const *have = &sym->dims[m];
        if (b != NULL && b->star) {
            int n = b->bound ? b->n : b == last_open ? rest : 0;
            if (b->bound) {
                for (int j = 0; j < n; j++) {
                    if (b->axes[j] != have[j]) {
                        return mismatch(E, call, d, sym, at);
                    }
                }
            } else {
                bind_axes(E, b, n, have);
            }
            m += n;
            continue;
        }
        m++;
        if (b != NULL) {
            if (!b->bound) {
                bind_axes(E, b, 1, have);
            } else if (b->axes[0] != have[0]) {
                return mismatch(E, call, d, sym, at);
            }
            continue;
        }
        if (e->kind == EX_AXIS) {
            const AxisInfo *info = axis_info(E, have[0]);
            AxisBinding *p = find_param(inner, e->at);
            if (info == NULL || info->family == NULL || strcmp(info->family->name, e->name) != 0) {
                return mismatch(E, call, d, sym, at);
            }
            if (p != NULL && !p->bound) {
                bind_axes(E, p, 1, (Axis *const *)&info->param);
            }
        }
        Axis *want[1];
        if (axes_of_expr(E, inner, e, want, 1) != 1) {
            return false;
        }
        if (want[0] != have[0]) {
            bool numbers = axis_is_number(E, want[0]) && axis_is_number(E, have[0]) && want[0]->size == have[0]->size;
            const AxisInfo *a = axis_info(E, want[0]), *h = axis_info(E, have[0]);
            if (!numbers || (a->stmt != NULL && h->stmt != NULL)) {
                return mismatch(E, call, d, sym, at);
            }
        }
    }
    return true;
}

static bool is_fn_name(Elab *E, Scope *scope, const Expr *e, const char **fn)
{
    if (e->kind != EX_NAME || e->has_bracket) {
        return false;
    }
    for (const Scope *s = scope; s != NULL; s = s->parent) {
        for (const FnBinding *b = s->fns; b != NULL; b = b->next) {
            if (strcmp(b->name, e->name) == 0) {
                *fn = b->fn;
                return true;
            }
        }
    }
    static const char *const primitives[] = {"exp", "log", "sqrt", "tanh", "sigmoid", "erf", "sin", "cos", "abs"};
    *fn = e->name;
    for (size_t k = 0; k < sizeof primitives / sizeof *primitives; k++) {
        if (strcmp(primitives[k], e->name) == 0) {
            return true;
        }
    }
    return spec_find(E->spec, ST_FN, e->name) != NULL && spec_hyper(E->spec, e->name) == NULL;
}

static bool bind_hyper(Elab *E, Scope *inner, const Decl *d, Scope *from, const Expr *value)
{
    const char *fn;
    if (is_fn_name(E, from, value, &fn)) {
        FnBinding *b = arena_alloc(E->arena, sizeof *b);
        *b = (FnBinding){.name = d->name, .fn = fn, .next = inner->fns};
        inner->fns = b;
        return true;
    }
    Binding *b = arena_alloc(E->arena, sizeof *b);
    const Expr *bad = NULL;
    *b = (Binding){.name = d->name, .next = inner->values};
    if (!spec_eval(E->spec, from->values, value, &b->value, &bad)) {
        return mistake(E, "E0157", bad != NULL ? bad->span : value->span,
                       "tensors are passed by position and without a default",
                       "argument '%s' must be a constant or a function", d->name);
    }
    inner->values = b;
    return true;
}

static Sym *arg_sym(Elab *E, Call *call, const Arg *a)
{
    const Expr *e = a->value;
    if (e->kind != EX_NAME || e->has_bracket || e->at != NULL) {
        mistake(E, "E0157", e->span, "name it first: e[i,d] = ...", "an argument of %s is the name of a tensor",
                call->ext != NULL ? "an extern" : "a block");
        return NULL;
    }
    const char *name = e->prime ? fmt(E, "%s'", e->name) : e->name;
    Entity *ent = scope_find(call->scope, name, call->pos);
    if (ent == NULL && call->scope->block != NULL) {
        Entity *f = scope_find(E->file, name, 0); /* a block sees the file's const inputs */
        bool input = f != NULL && f->kind == ENT_SYM && f->sym != NULL;
        ent = input && (f->sym->bad || (f->sym->t->role == ROLE_INPUT && !f->sym->t->per_example)) ? f : NULL;
    }
    if (ent == NULL) {
        Ctx *c = ctx_new(E, call->scope, call->stmt, call->pos, call->section, "");
        const char *near = suggest_name(E, env_new(c, call->scope), name);
        mistake(E, "E0100", e->op_span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL, "'%s' is not defined",
                name);
        return NULL;
    }
    Sym *sym = entity_sym(E, ent);
    if (sym != NULL && sym->busy && call->ext != NULL) {
        mistake(E, "E0194", e->span, "write the step of the recurrence as equations",
                "'%s' depends on this call: an extern takes whole tensors and cannot be part of a recurrence", name);
        return NULL;
    }
    if (sym != NULL && sym->busy) { /* a recurrence through a block */
        mistake(E, "E0231", e->span, NULL, "'%s' is defined by itself", name);
        return NULL;
    }
    return sym != NULL && !sym->bad ? sym : NULL;
}

static bool bind_args(Elab *E, Call *call, Scope *inner, const Stmt *block, Sym **given)
{
    const BlockCall *bc = call->stmt->call;
    bool *has = arena_alloc(E->arena, (size_t)(block->nparams + 1) * sizeof *has);
    int next = 0;
    bool ok = true;
    for (int k = 0; k < bc->nargs; k++) {
        const Arg *a = &bc->args[k];
        int p = a->name == NULL ? next++ : -1;
        for (int m = 0; a->name != NULL && m < block->nparams; m++) {
            p = strcmp(block->params[m].name, a->name) == 0 ? m : p;
        }
        if (p < 0 || p >= block->nparams) {
            return a->name != NULL
                       ? mistake(E, "E0158", a->span, called_like(E, block), "%s has no argument '%s'", bc->name,
                                 a->name)
                       : mistake(E, "E0158", a->span, called_like(E, block), "%s takes %d argument%s, not %d", bc->name,
                                 block->nparams, block->nparams == 1 ? "" : "s", bc->nargs);
        }
        if (has[p]) {
            return mistake(E, "E0158", a->span, called_like(E, block), "argument '%s' of %s is given twice",
                           block->params[p].name, bc->name);
        }
        has[p] = true;
        const Decl *d = &block->params[p];
        if (d->value != NULL) {
            ok = bind_hyper(E, inner, d, call->scope, a->value) && ok;
            continue;
        }
        given[p] = arg_sym(E, call, a);
        if (given[p] == NULL || !match_dims(E, call, inner, d, given[p], a->value->span)) {
            ok = false;
            continue;
        }
        Entity *e = scope_add(E, inner, ENT_SYM, d->name, 0, d->span);
        e->sym = given[p];
        e->status = DONE;
    }
    for (int p = 0; p < block->nparams && ok; p++) {
        if (!has[p] && block->params[p].value == NULL) {
            return mistake(E, "E0158", bc->span, called_like(E, block), "argument '%s' of %s is missing",
                           block->params[p].name, bc->name);
        }
        if (!has[p]) {
            ok = bind_hyper(E, inner, &block->params[p], inner, block->params[p].value) && ok;
        }
    }
    return ok;
}

static void note_instance(Elab *E, Scope *inner, const Decl *d)
{
    for (int k = 0; k < d->ndims && inner->instance == NULL; k++) {
        Axis *a[1];
        if (d->dims[k]->kind == EX_AXIS && axes_of_expr(E, inner, d->dims[k], a, 1) == 1) {
            inner->instance = axis_info(E, a[0]);
        }
    }
}

static bool bind_params(Elab *E, Call *call, Scope *inner, const Stmt *block)
{
    const BlockCall *bc = call->stmt->call;
    AxisBinding **tail = &inner->axes;
    for (int k = 0; k < block->naxis_params; k++) {
        const AxisParam *p = &block->axis_params[k];
        AxisBinding *b = arena_alloc(E->arena, sizeof *b);
        *b = (AxisBinding){.name = p->name, .star = p->star, .nletters = p->nletters, .letters = p->letters};
        *tail = b;
        tail = &b->next;
    }
    for (int k = 0; k < bc->naxes; k++) {
        AxisBinding *b = find_param(inner, bc->axes[k].name);
        Axis *axes[MAX_DIMS];
        if (b == NULL) {
            return mistake(E, "E0155", bc->axes[k].span, NULL, "%s has no axis parameter %s", bc->name,
                           bc->axes[k].name);
        }
        int n = axes_of_expr(E, call->scope, bc->axes[k].value, axes, MAX_DIMS);
        if (n < 0) {
            return false;
        }
        if (n != 1 && !b->star) {
            return mistake(E, "E0155", bc->axes[k].span, NULL, "%s of %s is one axis", bc->axes[k].name, bc->name);
        }
        bind_axes(E, b, n, axes);
    }
    Sym **given = arena_alloc(E->arena, (size_t)(block->nparams + 1) * sizeof *given);
    if (!bind_args(E, call, inner, block, given)) {
        return false;
    }
    for (AxisBinding *b = inner->axes; b != NULL; b = b->next) {
        if (!b->bound && !b->star) {
            return mistake(E, "E0155", bc->span, fmt(E, "write %s<%s = ...>(...)", bc->name, b->name),
                           "the arguments do not determine the axis %s of %s", b->name, bc->name);
        }
        if (!b->bound) {
            bind_axes(E, b, 0, (Axis *const *)&b->axes);
        }
        if (b->n == 1 && !axis_is_ragged(b->axes[0]) && axis_bound(b->axes[0]) >= 0) {
            Binding *v = arena_alloc(E->arena, sizeof *v);
            *v = (Binding){.name = b->name,
                           .value = {.is_int = true, .num = (double)axis_bound(b->axes[0])},
                           .next = inner->values};
            inner->values = v;
        }
    }
    return true;
}

static int result_dims(Elab *E, Scope *inner, const Decl *d, Axis **dims)
{
    int n = 0;
    for (int k = 0; k < d->ndims; k++) {
        int m = axes_of_expr(E, inner, d->dims[k], dims + n, MAX_DIMS - n);
        if (m < 0) {
            return -1;
        }
        n += m;
    }
    return n;
}

static void call_extern(Elab *E, Call *call)
{
    const Stmt *s = call->ext;
    for (int k = 0; k < s->nparams; k++) {
        if (s->params[k].value != NULL) {
            mistake(E, "E0193", s->params[k].span, NULL, "an extern takes tensors alone: '%s' has a default",
                    s->params[k].name);
            return;
        }
    }
    Scope *inner = scope_new(E, NULL, call->path);
    Sym **given = arena_alloc(E->arena, (size_t)(s->nparams + 1) * sizeof *given);
    if (bind_args(E, call, inner, s, given)) {
        expand_extern(E, call, s->nparams, given);
    }
}

void expand_call(Elab *E, Call *call)
{
    const Stmt *stmt = call->stmt;
    call->status = CALL_BUSY;
    if (call->ext != NULL) {
        call_extern(E, call);
        call->status = CALL_DONE;
        return;
    }
    Stmt *block = spec_find(E->spec, ST_BLOCK, stmt->call->name);
    if (block == NULL) {
        const char **names = NULL;
        int n = 0;
        for (int k = 0; k < E->spec->items.n; k++) {
            if (E->spec->items.v[k]->kind == ST_BLOCK) {
                ARENA_PUSH(E->arena, names, n, E->spec->items.v[k]->name);
            }
        }
        const char *near = nearest(stmt->call->name, n, names);
        mistake(E, "E0109", stmt->call->span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL,
                "there is no block '%s'", stmt->call->name);
        return;
    }
    if (stmt->nlhs != block->nresults) {
        mistake(E, "E0159", stmt->call->span,
                block->nresults == 1 ? "write one name left of :="
                                     : "write as many names, separated by commas, left of :=",
                "%s has %d result%s, %d name%s on the left", block->name, block->nresults,
                block->nresults == 1 ? "" : "s", stmt->nlhs, stmt->nlhs == 1 ? " is" : "s are");
        return;
    }
    if (E->depth > 1000) {
        mistake(E, "E0161", stmt->call->span, "blocks are macros: recursion has no end", "%s is expanded within itself",
                block->name);
        return;
    }
    Scope *inner = scope_new(E, NULL, call->path);
    inner->block = block;
    inner->library = block->from_library;
    call->inner = inner;
    E->depth += 40;
    if (bind_params(E, call, inner, block)) {
        for (int k = 0; k < block->nparams; k++) {
            note_instance(E, inner, &block->params[k]);
        }
        for (int k = 0; k < block->nresults; k++) {
            note_instance(E, inner, &block->results[k]);
        }
        scope_open(E, inner, &block->body, call->section);
        for (int k = 0; k < block->nresults; k++) {
            const Decl *d = &block->results[k];
            Axis *dims[MAX_DIMS];
            int n = result_dims(E, inner, d, dims);
            for (Entity *e = inner->entities; e != NULL && n >= 0; e = e->next) {
                if (strcmp(e->name, d->name) == 0 && e->kind == ENT_EQUATIONS) {
                    e->ndims = n;
                    memcpy(e->dims, dims, sizeof dims);
                }
            }
        }
        for (int k = 0; k < block->nresults; k++) {
            const Decl *d = &block->results[k];
            Entity *e = scope_find(inner, d->name, 1 << 30);
            if (e == NULL) {
                mistake(E, "E0159", d->span, fmt(E, "write an equation %s[...] = ... in its body", d->name),
                        "%s does not define its result '%s'", block->name, d->name);
                continue;
            }
            call->results[k] = entity_sym(E, e);
            Axis *dims[MAX_DIMS];
            int n = result_dims(E, inner, d, dims);
            const Sym *s = call->results[k];
            if (s != NULL && !s->bad && n >= 0 &&
                (s->ndim != n || memcmp(s->dims, dims, (size_t)n * sizeof *dims) != 0)) {
                mistake(E, "E0156", d->span, NULL, "result '%s' of %s is declared over %s and has the axes %s", d->name,
                        block->name, dims_text(E, n, dims), dims_text(E, s->ndim, s->dims));
                call->results[k] = NULL;
            }
        }
        scope_force(E, inner);
    }
    E->depth -= 40;
    call->status = CALL_DONE;
}

Sym *call_result(Elab *E, Call *call, int k)
{
    if (call->status == CALL_TODO) {
        expand_call(E, call);
        call->status = CALL_DONE;
    } else if (call->status == CALL_BUSY && call->ext != NULL) {
        mistake(E, "E0194", call->stmt->call->span, "write the step of the recurrence as equations",
                "the call of %s depends on its own result: an extern cannot be part of a recurrence",
                call->stmt->call->name);
        return NULL;
    } else if (call->status == CALL_BUSY) {
        mistake(E, "E0231", call->stmt->call->span, NULL, "the call of %s depends on its own result",
                call->stmt->call->name);
        return NULL;
    }
    return call->results[k];
}
