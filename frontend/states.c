/* States: what outlives an example.
 *
 *     state u[D] = u0 by user     u is u.now = u where u.known else u0; u and u.known are given with each example
 *     state mu[K] = 0 by model    one for all, initialised once, like a param
 *
 * Where `stream by user chunk n` puts several examples of one key into a step, a keyed state is carried (ir.h): the
 * schedule runs the step level by level. That is possible only if nothing that u' is made of looks at other examples.
 */
#include "elab.h"

#include <string.h>

/* `u` is the value before. A keyed state is given with each example, together with whether its key was met before;
 * where it was not, u0 stands. A state of the model is initialised once, like a param. */
Sym *make_state(Elab *E, Scope *scope, Stmt *s, int pos, SectionKind section)
{
    Graph *g = E->g;
    const Decl *d = s->decl;
    Sym *sym = decl_sym(E, s->name, join_path(E, scope->path, s->name), s->span, section);
    sym->bad = true;
    if (s->by == NULL) {
        mistake(E, "E0172", s->span, "write by user (one per key) or by model", "state '%s' does not say whose it is",
                s->name);
        return sym;
    }
    bool keyed = strcmp(s->by, "model") != 0;
    if (keyed && spec_find(E->spec, ST_INPUT, s->by) == NULL) {
        mistake(E, "E0172", s->span, "write by and an input of the example, or by model", "'%s' is no input", s->by);
        return sym;
    }
    if (!decl_dims(E, scope, d, sym) || !path_is_free(E, sym->path, s->span)) {
        return sym;
    }
    for (int k = 0; k < sym->ndim; k++) {
        if (axis_is_ragged(sym->dims[k])) {
            mistake(E, "E0126", s->span, NULL, "a state has no ragged axis: %s", sym->dims[k]->name);
            return sym;
        }
    }
    Ctx *c = ctx_new(E, scope, s, pos, section, sym->path);
    Tensor t = {.name = sym->path,
                .elem = ELEM_REAL,
                .role = ROLE_STATE,
                .per_example = keyed,
                .ndim = sym->ndim,
                .lo = 0,
                .hi = -1,
                .span = s->span};
    memcpy(t.dims, sym->dims, sizeof sym->dims);
    if (!keyed) {
        t.init = decl_init(E, env_new(c, scope), d, sym);
        if (t.init == NULL) {
            return sym;
        }
        sym->t = graph_tensor(g, t);
        name_tensor(E, sym->t, sym);
        sym->bad = false;
        return sym;
    }
    Tensor *state = graph_tensor(g, t);
    Tensor *known = graph_tensor(g, (Tensor){.name = fmt(E, "%s.known", sym->path),
                                             .elem = ELEM_BOOL,
                                             .role = ROLE_INPUT,
                                             .per_example = true,
                                             .lo = 0,
                                             .hi = -1,
                                             .span = s->span});
    Env *env = env_new(c, scope);
    Scalar *args[MAX_DIMS];
    for (int k = 0; k < sym->ndim; k++) {
        c->out[c->nout++] = new_var(c, sym->dims[k], fmt(E, "k%d", k), -1);
        c->live[k] = true;
        args[k] = sc_letter(g, k);
    }
    Scalar *first = NULL;
    Entity *init = d->value->kind == EX_NAME && !d->value->has_bracket ? scope_find(scope, d->value->name, pos) : NULL;
    Sym *of = init != NULL ? entity_sym(E, init) : NULL;
    if (of != NULL && !of->bad && of->ndim == sym->ndim &&
        memcmp(of->dims, sym->dims, (size_t)of->ndim * sizeof *of->dims) == 0) {
        first = sc_load(g, of->t, of->ndim, args); /* state u[D] = u0: a param of the same shape */
    } else if (of == NULL || !of->bad) {
        Val v = force(c, elab(env, d->value));
        if (v.bad) {
            return sym;
        }
        first = sc_op(g, OP_real, v.s);
    }
    if (first == NULL) {
        return sym;
    }
    Scalar *body = sc_op(g, OP_select, sc_load(g, known, 0, NULL), sc_load(g, state, sym->ndim, args), first);
    sym->t = value_tensor(E, fmt(E, "%s.now", sym->path), ELEM_REAL, sym->ndim, sym->dims, true, s->span);
    name_tensor(E, sym->t, sym);
    Conds none = {0};
    emit(c, sym->t, args, c->nout, c->out, RED_NONE, 0, NULL, &none, body, s->span);
    sym->bad = false;
    return sym;
}

void link_state(Elab *E, Scope *scope, Stmt *s)
{
    if (s->by != NULL && strcmp(s->by, "model") == 0 && !E->training) {
        return; /* running averages move in training only */
    }
    Tensor *state = graph_find(E->g, join_path(E, scope->path, s->name));
    Entity *after = scope_find(scope, fmt(E, "%s'", s->name), 1 << 30);
    Sym *next = after != NULL ? entity_sym(E, after) : NULL;
    if (state == NULL || state->role != ROLE_STATE || next == NULL || next->bad) {
        return;
    }
    if (next->ndim != state->ndim || memcmp(next->dims, state->dims, (size_t)state->ndim * sizeof *state->dims) != 0 ||
        next->t->elem != state->elem) {
        mistake(E, "E0173", next->span, NULL, "'%s'' has other axes than the state '%s'", s->name, s->name);
        return;
    }
    if (next->t->per_example != state->per_example) {
        mistake(E, "E0173", next->span, state->per_example ? NULL : "reduce over the batch: mean[batch] ...",
                "'%s'' %s", s->name,
                state->per_example ? "does not depend on the example" : "differs between examples");
        return;
    }
    if (!state->per_example) {
        state->next = next->t;
        return;
    }
    const char *name = fmt(E, "%s'", state->name);
    output_as(E, next, name, next->span);
    state->next = graph_find(E->g, name);
}

/* ---- states whose examples come several to a step ------------------------------------------------------------------
 */

static void look_for_others(const Scalar *s, void *ctx)
{
    bool *found = ctx;
    *found = *found || (s->op == OP_LOAD && s->at);
}

/* An equation that looks at the other examples of the step: a reduction over the batch, or x@b. */
static bool sees_others(const Elab *E, const Equation *e)
{
    bool found = false;
    for (int k = 0; k < e->nletters; k++) {
        found = found || e->letters[k].axis == E->g->batch;
    }
    equation_walk(e, look_for_others, &found);
    return found;
}

typedef struct {
    bool *reached;
    bool changed;
} Back;

static void reach_load(const Scalar *s, void *ctx)
{
    Back *b = ctx;
    if (s->op == OP_LOAD && !b->reached[s->tensor->id]) {
        b->reached[s->tensor->id] = b->changed = true;
    }
}

static void check_carried(Elab *E, const Tensor *state, Span span)
{
    Graph *g = E->g;
    Back b = {.reached = arena_alloc(E->arena, (size_t)g->ntensors), .changed = true};
    b.reached[state->next->id] = true;
    while (b.changed) {
        b.changed = false;
        for (int i = g->nequations; i-- > 0;) {
            if (b.reached[g->equations[i]->dst->id]) {
                equation_walk(g->equations[i], reach_load, &b);
            }
        }
    }
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = g->equations[i];
        if (b.reached[e->dst->id] && sees_others(E, e)) {
            mistake(
                E, "E0174", e->span, "write chunk 1, or keep it out of the next value",
                "this looks at all examples of the step and leads to '%s'', whose examples follow each other within "
                "the step",
                state->name);
            diag_also(E->diag, "state '%s', line %d", state->name, span.line);
            return;
        }
    }
}

void check_streams(Elab *E)
{
    const TrainSettings *train = spec_train(E->spec);
    for (int k = 0; k < E->nstates && train != NULL && E->mode != MODE_RANK; k++) {
        const Stmt *s = E->states[k].stmt;
        Tensor *state = graph_find(E->g, join_path(E, E->states[k].scope->path, s->name));
        if (s->by == NULL || state == NULL || state->role != ROLE_STATE || !state->per_example || state->next == NULL) {
            continue;
        }
        if (train->stream_by == NULL || strcmp(train->stream_by, s->by) != 0) {
            mistake(E, "E0175", s->span, fmt(E, "write stream by %s chunk 16 in train", s->by),
                    "'%s' is kept by %s, and the examples come %s", s->name, s->by,
                    train->stream_by != NULL ? fmt(E, "by %s", train->stream_by) : "in any order");
        } else if (train->chunk > 1) {
            state->is_carried = true;
            check_carried(E, state, s->span);
        }
    }
}
