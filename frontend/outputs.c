/* Which tensors a caller gets, and dropping what neither they nor the loss nor a state depends on. */
#include "elab.h"

#include <string.h>

/* ---- outputs -------------------------------------------------------------------------------------------------- */

/* A rebound name (`x := Block(x)`) is a tensor of the last block: it goes out under the user's name as a copy. */
void output_as(Elab *E, Sym *s, const char *name, Span span)
{
    Graph *g = E->g;
    if (strcmp(s->t->name, name) == 0 || s->t->role != ROLE_VALUE) {
        s->t->is_output = s->t->role == ROLE_VALUE;
        return;
    }
    if (graph_find(g, name) != NULL) { /* only a block's own part could have taken it */
        s->t->is_output = true;
        return;
    }
    Ctx *c = ctx_new(E, E->file, NULL, 0, SECTION_MODEL, name);
    Scalar *args[MAX_DIMS];
    int red[1] = {0};
    for (int k = 0; k < s->ndim; k++) {
        int parent = -1;
        for (int m = 0; m < k; m++) {
            parent = s->dims[k]->parent == s->dims[m] ? m : parent;
        }
        c->out[c->nout++] = new_var(c, s->dims[k], fmt(E, "k%d", k), parent);
        args[k] = sc_letter(g, k);
    }
    Tensor *t = value_tensor(E, name, s->t->elem, s->ndim, s->dims, s->t->per_example, span);
    t->lo = s->t->lo;
    t->hi = s->t->hi;
    name_tensor(E, t, s);
    t->is_output = true;
    Conds conds = {0};
    emit(c, t, args, c->nout, c->out, RED_NONE, 0, red, &conds, sc_load(g, s->t, s->ndim, args), span);
}

static bool wants(const Elab *E, const char *name)
{
    for (int k = 0; k < E->o->nwanted; k++) {
        if (strcmp(E->o->wanted[k], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool declared_outputs(Elab *E, SectionKind kind)
{
    Stmt *section = E->spec->sections[kind];
    bool any = false;
    for (int k = 0; section != NULL && k < section->body.n; k++) {
        Stmt *s = section->body.v[k];
        if (s->kind != ST_OUTPUT) {
            continue;
        }
        any = true;
        Entity *e = scope_find(E->file, s->name, 1 << 30);
        if (e == NULL) {
            Ctx *c = ctx_new(E, E->file, s, 1 << 30, kind, "");
            const char *near = suggest_name(E, env_new(c, E->file), s->name);
            mistake(E, "E0100", s->span, near != NULL ? fmt(E, "did you mean %s?", near) : NULL, "'%s' is not defined",
                    s->name);
            continue;
        }
        Sym *sym = entity_sym(E, e);
        if (sym != NULL && !sym->bad) {
            if (sym->t->role != ROLE_VALUE) {
                mistake(E, "E0322", s->span, NULL, "'%s' is no result: it is an input or a param", s->name);
                continue;
            }
            sym->is_output = true;
            output_as(E, sym, s->name, s->span);
        }
    }
    return any;
}

static bool vocabulary_sized(const Sym *s)
{
    for (int k = 0; k < s->ndim; k++) {
        if (s->dims[k]->vocab != NULL || s->dims[k]->kind == AXIS_TABLE) {
            return true;
        }
        for (int p = 0; p < s->dims[k]->nparts; p++) {
            if (s->dims[k]->parts[p]->vocab != NULL) {
                return true;
            }
        }
    }
    return false;
}

void mark_outputs(Elab *E)
{
    bool declared = declared_outputs(E, SECTION_MODEL);
    SectionKind other = E->mode == MODE_RANK ? SECTION_RANK : SECTION_TRAIN;
    declared_outputs(E, other);
    for (Entity *e = E->file->entities; e != NULL; e = e->next) {
        if (e->kind == ENT_SYM || e->kind == ENT_STATE_NEXT || e->sym == NULL || e->sym->bad || e->sym->t == NULL) {
            continue;
        }
        Sym *s = e->sym;
        if (wants(E, e->name)) {
            output_as(E, s, e->name, e->span);
        } else if (!declared && e->section == SECTION_MODEL && s->t->per_example && s->t->role == ROLE_VALUE &&
                   !vocabulary_sized(s) && scope_find(E->file, e->name, 1 << 30) == e && s->tainted_by == NULL) {
            output_as(E, s, e->name, e->span);
        }
    }
    const TrainSettings *train = spec_train(E->spec);
    for (int k = 0; train != NULL && E->mode != MODE_RANK && k < train->nlosses; k++) {
        Entity *e = scope_find(E->file, train->losses[k], 1 << 30);
        if (e != NULL && e->sym != NULL && !e->sym->bad && e->sym->ndim == 0 && e->sym->t->role == ROLE_VALUE) {
            e->sym->t->is_output = true;
        }
    }
    const MetricSetting *metrics = NULL;
    int n = E->mode == MODE_RANK ? spec_metrics(E->spec, &metrics) : 0;
    for (int k = 0; k < n; k++) {
        for (int m = 0; m < metrics[k].ntensors; m++) {
            Entity *e = scope_find(E->file, metrics[k].tensors[m], 1 << 30);
            if (e == NULL) {
                mistake(E, "E0323", E->spec->sections[SECTION_RANK]->span, NULL,
                        "metric %s reads '%s', which is not defined", metrics[k].name, metrics[k].tensors[m]);
                continue;
            }
            Sym *s = entity_sym(E, e);
            if (s != NULL && !s->bad && s->t->role == ROLE_VALUE) {
                if (s->ndim > 0 || !s->t->per_example) {
                    mistake(E, "E0323", s->span, NULL, "metric %s needs one number per example; '%s' %s",
                            metrics[k].name, s->name, s->ndim > 0 ? "has axes" : "is the same for all");
                    continue;
                }
                output_as(E, s, e->name, e->span);
            }
        }
    }
}

/* ---- pruning -------------------------------------------------------------------------------------------------- */

typedef struct {
    Elab *E;
    bool *keep; /* tensors */
    int *work, n;
} Reach;

static void keep_tensor(Reach *r, const Tensor *t)
{
    if (!r->keep[t->id]) {
        r->keep[t->id] = true;
        r->work[r->n++] = t->id;
    }
}

static void reach_loads(const Scalar *s, void *ctx)
{
    if (s->op == OP_LOAD) {
        keep_tensor(ctx, s->tensor);
    }
}

void prune(Elab *E)
{
    Graph *g = E->g;
    Reach r = {.E = E};
    r.keep = arena_alloc(E->arena, (size_t)g->ntensors * sizeof *r.keep);
    r.work = arena_alloc(E->arena, (size_t)g->ntensors * sizeof *r.work);
    int *first = arena_alloc(E->arena, (size_t)g->ntensors * sizeof *first);
    int *following = arena_alloc(E->arena, (size_t)(g->nequations + 1) * sizeof *following);
    for (int t = 0; t < g->ntensors; t++) {
        first[t] = -1;
    }
    for (int e = g->nequations; e-- > 0;) {
        following[e] = first[g->equations[e]->dst->id];
        first[g->equations[e]->dst->id] = e;
    }
    for (int t = 0; t < g->ntensors; t++) {
        const Tensor *x = g->tensors[t];
        if (x->is_output || x->role != ROLE_VALUE || x == g->loss) {
            keep_tensor(&r, x);
        }
        if (x->role == ROLE_STATE && x->next != NULL) {
            keep_tensor(&r, x->next);
        }
    }
    while (r.n > 0) {
        int t = r.work[--r.n];
        for (int e = first[t]; e >= 0; e = following[e]) {
            const Equation *q = g->equations[e];
            sc_walk(q->body, reach_loads, &r);
            for (int k = 0; k < q->nconds; k++) {
                sc_walk(q->conds[k], reach_loads, &r);
            }
            for (int d = 0; d < q->dst->ndim; d++) {
                sc_walk(q->lhs[d], reach_loads, &r);
            }
        }
    }
    int n = 0;
    for (int e = 0; e < g->nequations; e++) {
        Equation *q = g->equations[e];
        if (r.keep[q->dst->id]) {
            q->id = n;
            g->equations[n++] = q;
        }
    }
    g->nequations = n;
    graph_drop_externs(g);
}
