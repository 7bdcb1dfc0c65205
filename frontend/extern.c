/* Calls of a user's C function: y := smooth(x, w). The signature's axes are those of the file, the arguments are whole
 * tensors by name, and the call becomes an Extern of the graph. That the library is there and exports the functions is
 * asked here, where the spec can be pointed at; it is opened again when the model runs. */
#include "elab.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

/* ---- the library ---------------------------------------------------------------------------------------------- */

/* A file beside the spec; a bare name that is not there is left to the system's search. NULL: neither can be. */
static const char *library_path(Elab *E, const Stmt *s)
{
    const char *spec = s->span.source != NULL ? source_path(s->span.source) : "", *slash = strrchr(spec, '/');
    if (*s->from == '/') {
        return access(s->from, R_OK) == 0 ? s->from : NULL;
    }
    const char *beside =
        slash != NULL ? fmt(E, "%.*s/%s", (int)(slash - spec), spec, s->from) : fmt(E, "./%s", s->from);
    if (access(beside, R_OK) == 0) {
        return beside;
    }
    return strchr(s->from, '/') == NULL ? s->from : NULL;
}

static bool has_symbol(Elab *E, const Stmt *s, void *library, const char *symbol)
{
    if (dlsym(library, symbol) == NULL) {
        return mistake(E, "E0192", s->span, "export it, without `static`", "library '%s' has no function '%s'", s->from,
                       symbol);
    }
    return true;
}

static const char *find_library(Elab *E, const Stmt *s)
{
    const char *path = library_path(E, s);
    void *library = path != NULL ? dlopen(path, RTLD_LAZY | RTLD_LOCAL) : NULL;
    if (library == NULL && path != NULL && access(path, R_OK) == 0) {
        mistake(E, "E0191", s->span, NULL, "library '%s' cannot be loaded: %s", s->from, dlerror());
        return NULL;
    }
    if (library == NULL) {
        mistake(E, "E0191", s->span, "its path is relative to the spec's file", "there is no library '%s'", s->from);
        return NULL;
    }
    bool good = has_symbol(E, s, library, s->name) && (s->to == NULL || has_symbol(E, s, library, s->to));
    dlclose(library);
    return good ? path : NULL;
}

/* ---- arguments and result ------------------------------------------------------------------------------------- */

static bool check_axes(Elab *E, const Stmt *s, const Decl *d, int n, Axis *const *dims)
{
    for (int k = 0; k < n; k++) {
        if (!axis_is_plain(dims[k])) {
            return mistake(E, "E0193", d->span, "pass a tensor whose axes have one size per example",
                           "'%s' of %s has axis %s, whose size differs between positions", d->name, s->name,
                           dims[k]->name);
        }
    }
    return true;
}

/* The load that stands for all of a tensor. */
static Scalar *whole(Elab *E, Tensor *t)
{
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < t->ndim; k++) {
        index[k] = sc_int(E->g, 0);
    }
    return sc_load(E->g, t, t->ndim, index);
}

/* Integers are passed as real numbers, by way of a tensor of their own. */
static Tensor *as_real(Elab *E, const Sym *sym, const char *path, const Decl *d)
{
    Tensor *t = sym->t;
    if (t->elem == ELEM_REAL) {
        return t;
    }
    Tensor *real = value_tensor(E, fresh_name(E, join_path(E, path, d->name), ""), ELEM_REAL, t->ndim, t->dims,
                                t->per_example, sym->span);
    Equation e = {.dst = real, .op = RED_NONE, .nletters = t->ndim, .span = sym->span};
    for (int k = 0; k < t->ndim; k++) {
        e.letters[k] = (Letter){.axis = t->dims[k], .name = "i", .parent = -1};
        e.lhs[k] = sc_letter(E->g, k);
    }
    e.body = sc_op(E->g, OP_real, sc_load(E->g, t, t->ndim, e.lhs));
    graph_equation(E->g, e);
    return real;
}

static const char *result_path(Elab *E, const Call *call, const char *name)
{
    const char *path = join_path(E, call->scope->path, name);
    bool rebound = graph_find(E->g, path) != NULL; /* the plain name is for the last value */
    for (const Scope *s = call->scope; s != NULL; s = s->parent) {
        for (const Entity *e = s->entities; e != NULL; e = e->next) {
            rebound = rebound || (strcmp(e->name, name) == 0 && e->pos > call->pos);
        }
    }
    return rebound ? fresh_name(E, path, "") : path;
}

void expand_extern(Elab *E, Call *call, int nargs, Sym **given)
{
    const Stmt *stmt = call->stmt, *s = call->ext;
    const Decl *out = &s->results[0];
    Scope *scope = E->file;
    const char *path = result_path(E, call, stmt->lhs[0].name), *library = find_library(E, s);
    Axis *dims[MAX_DIMS];
    int ndim = 0;
    bool per_example = false, ok = library != NULL;
    for (int k = 0; k < out->ndims && ndim >= 0; k++) {
        int n = axes_of_expr(E, scope, out->dims[k], dims + ndim, MAX_DIMS - ndim);
        ndim = n < 0 ? -1 : ndim + n;
    }
    if (!ok || ndim < 0 || !check_axes(E, s, out, ndim, dims)) {
        return;
    }
    if (nargs < 1 || nargs > MAX_EXTERN_INPUTS) {
        mistake(E, "E0193", s->span, NULL, "an extern takes 1 to %d tensors", MAX_EXTERN_INPUTS);
        return;
    }
    Sym *sym = arena_alloc(E->arena, sizeof *sym);
    *sym = (Sym){
        .name = stmt->lhs[0].name, .path = path, .ndim = ndim, .span = stmt->lhs[0].span, .section = call->section};
    memcpy(sym->dims, dims, sizeof dims);
    Ctx *c = ctx_new(E, call->scope, call->stmt, call->pos, call->section, path);
    c->sym = sym;
    Scalar *args[MAX_EXTERN_INPUTS];
    for (int k = 0; k < nargs; k++) {
        Tensor *t = given[k]->t;
        if (t->elem == ELEM_BOOL) {
            mistake(E, "E0193", stmt->call->args[k].value->span, "name it as a number: x[i] = 1 where ... else 0",
                    "'%s' holds conditions, and %s takes numbers", given[k]->name, s->name);
            return;
        }
        if (!check_axes(E, s, &s->params[k], t->ndim, t->dims)) {
            return;
        }
        read_by(c, given[k]);
        per_example = per_example || t->per_example;
        args[k] = whole(E, as_real(E, given[k], path, &s->params[k]));
    }
    for (int k = 0; k < ndim; k++) {
        per_example = per_example || axis_is_ragged(dims[k]);
    }
    sym->t = value_tensor(E, path, ELEM_REAL, ndim, dims, per_example, sym->span);
    name_tensor(E, sym->t, sym);
    ARENA_PUSH(E->arena, E->syms, E->nsyms, sym);
    Extern *x = graph_extern(
        E->g, (Extern){.library = library, .symbol = s->name, .gradient = s->to, .nout = 1, .span = stmt->call->span});
    x->out[0] = sym->t;
    graph_extern_output(E->g, x, 0, nargs, args);
    call->results[0] = sym;
}
