/* `prove causal item -> out along T`: no cell out[i] depends on an item[j] with j > i. Proven on the equations, before
 * anything is pruned, for all inputs and all values of the params.
 *
 * For every tensor the set of its dimensions over T along which it is causal: the source's own dimension at first. A
 * load X[.., e, ..] with e at a causal dimension of X makes the equation causal along each of its output letters p
 * with e <= p, proven from the equation's conditions; several loads intersect their sets. An empty set means that
 * the result may depend on everything. Sets only shrink, so recurrences settle. */
#include "elab.h"

#include <string.h>

typedef struct {
    bool reached;       /* depends on the source */
    unsigned causal;    /* bit d: along dimension d */
    const Tensor *from; /* the load through which it is reached, or through which the set became empty */
    const Equation *eq; /* the equation that did that */
} State;

typedef struct {
    Elab *E;
    Graph *g;
    State *states;
    const Axis *axis;
    const Equation *eq;
    Ctx *c;
    Conds conds;
    bool changed;
    /* of the equation at hand */
    bool reached;
    unsigned causal;
    const Tensor *from;
} Proof;

static void visit_load(const Scalar *s, void *ctx)
{
    Proof *p = ctx;
    if (s->op != OP_LOAD || !p->states[s->tensor->id].reached) {
        return;
    }
    const State *x = &p->states[s->tensor->id];
    const Equation *eq = p->eq;
    unsigned set = 0;
    for (int d = 0; d < s->tensor->ndim && !s->at; d++) {
        if (!(x->causal & 1u << d)) {
            continue;
        }
        for (int k = 0; k < eq->dst->ndim; k++) {
            Scalar *out = eq->lhs[k];
            if (eq->dst->dims[k] == p->axis && out->op == OP_LETTER &&
                proves_nonneg(p->c, sc_op(p->g, OP_sub, out, s->args[d]), &p->conds)) {
                set |= 1u << k;
            }
        }
    }
    if (!p->reached || (p->causal & set) != p->causal) {
        p->from = s->tensor;
    }
    p->causal = p->reached ? p->causal & set : set;
    p->reached = true;
}

static void visit_equation(Proof *p, const Equation *eq)
{
    Ctx *c = ctx_new(p->E, p->E->file, NULL, 0, SECTION_MODEL, "");
    for (int k = 0; k < eq->nletters; k++) {
        new_var(c, eq->letters[k].axis, eq->letters[k].name, eq->letters[k].parent);
    }
    p->c = c;
    p->eq = eq;
    p->conds = (Conds){.n = eq->nconds, .v = (Scalar **)eq->conds};
    p->reached = false;
    p->causal = 0;
    p->from = NULL;
    sc_walk(eq->body, visit_load, p);
    for (int k = 0; k < eq->nconds; k++) {
        sc_walk(eq->conds[k], visit_load, p);
    }
    if (!p->reached) {
        return;
    }
    State *y = &p->states[eq->dst->id];
    unsigned set = y->reached ? y->causal & p->causal : p->causal;
    if (!y->reached || set != y->causal) {
        if (!y->reached || set == 0) {
            y->from = p->from;
            y->eq = eq;
        }
        y->reached = true;
        y->causal = set;
        p->changed = true;
    }
}

static const char *user_name(Elab *E, const Tensor *t)
{
    const Sym *s = sym_of_tensor(E, t);
    return s != NULL ? s->path != NULL ? s->path : s->name : t->name;
}

static void report(Proof *p, const Stmt *stmt, const Tensor *target)
{
    Elab *E = p->E;
    const Tensor *path[64];
    int n = 0;
    const Tensor *culprit = target;
    for (const Tensor *t = target; t != NULL && n < 64; t = p->states[t->id].from) {
        bool seen = false;
        for (int k = 0; k < n; k++) {
            seen = seen || path[k] == t;
        }
        if (seen) {
            break;
        }
        path[n++] = t;
        const State *s = &p->states[t->id];
        if (s->reached && s->causal == 0 && s->from != NULL) {
            culprit = t;
        }
    }
    const Equation *eq = p->states[culprit->id].eq;
    Text t = {0};
    for (int k = n; k-- > 0;) {
        if (k > 0 && strstr(path[k]->name, user_name(E, path[k - 1])) == path[k]->name &&
            sym_of_tensor(E, path[k]) == NULL) {
            continue; /* a part of the next name: x.1 of x */
        }
        text_printf(&t, "%s%s", user_name(E, path[k]), k > 0 ? " -> " : "");
    }
    mistake(E, "E0402", stmt->span, "restrict what it reads: where j <= i", "'prove %s %s -> %s along %s' is false",
            stmt->name, stmt->from, stmt->to, stmt->along);
    if (eq != NULL) {
        diag_also(E->diag, "line %d: '%s' may read later elements of %s", eq->span.line, user_name(E, culprit),
                  p->axis->name);
    }
    diag_also(E->diag, "path: %s", t.s);
    text_free(&t);
}

static Sym *named(Elab *E, const Stmt *s, const char *name)
{
    Entity *e = scope_find(E->file, name, 1 << 30);
    Sym *sym = e != NULL ? entity_sym(E, e) : NULL;
    if (e == NULL) {
        mistake(E, "E0401", s->span, NULL, "'%s' of the proof is not defined", name);
    }
    return sym != NULL && !sym->bad && sym->t != NULL ? sym : NULL;
}

static void check_causal(Elab *E, const Stmt *stmt)
{
    Graph *g = E->g;
    Sym *from = named(E, stmt, stmt->from), *to = named(E, stmt, stmt->to);
    AxisInfo *axis = axis_lookup(E, E->file, stmt->along);
    if (axis == NULL || axis->axis == NULL) {
        mistake(E, "E0401", stmt->span, NULL, "there is no axis '%s'", stmt->along);
        return;
    }
    if (from == NULL || to == NULL) {
        return;
    }
    unsigned own = 0, target = 0;
    for (int d = 0; d < from->ndim; d++) {
        own |= from->dims[d] == axis->axis ? 1u << d : 0;
    }
    for (int d = 0; d < to->ndim; d++) {
        target |= to->dims[d] == axis->axis ? 1u << d : 0;
    }
    if (own == 0 || target == 0) {
        mistake(E, "E0401", stmt->span, NULL, "'%s' has no axis %s", own == 0 ? stmt->from : stmt->to, stmt->along);
        return;
    }
    Proof p = {.E = E, .g = g, .axis = axis->axis};
    p.states = arena_alloc(E->arena, (size_t)g->ntensors * sizeof *p.states);
    p.states[from->t->id] = (State){.reached = true, .causal = own};
    do {
        p.changed = false;
        for (int k = 0; k < g->nequations; k++) {
            if (g->equations[k]->dst != from->t) {
                visit_equation(&p, g->equations[k]);
            }
        }
    } while (p.changed);
    const State *end = &p.states[to->t->id];
    if (end->reached && (end->causal & target) == 0) {
        report(&p, stmt, to->t);
    }
}

void check_proofs(Elab *E)
{
    for (int k = 0; k < SECTION_COUNT; k++) {
        const Stmt *section = E->spec->sections[k];
        if (section == NULL || k == SECTION_TRAIN || k == SECTION_RANK) {
            continue;
        }
        for (int m = 0; m < section->body.n; m++) {
            const Stmt *s = section->body.v[m];
            if (s->kind == ST_PROVE && strcmp(s->name, "causal") == 0) {
                check_causal(E, s);
            }
        }
    }
}
