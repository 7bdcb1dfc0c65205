/* `prove causal item -> out along T`: no cell out[i] depends on an item[j] with j > i. Proven on the equations, before
 * anything is pruned, for all inputs and all values of the params.
 *
 * For every tensor the set of its dimensions over T along which it is causal: the source's own dimension at first. A
 * load X[.., e, ..] with e at a causal dimension of X makes the equation causal along each of its output letters p
 * with e <= p, proven from the equation's conditions; several loads intersect their sets. An empty set means that
 * the result may depend on everything. Sets only shrink, so recurrences settle.
 *
 * Over a sum of axes every source is a case of its own: a letter is replaced by "position p of source k" for each k in
 * turn, which decides the conditions of a rel, and a tensor has one such set per choice of sources. */
#include "elab.h"

#include <string.h>

typedef struct {
    bool reached;       /* depends on the source */
    unsigned causal;    /* bit d: along dimension d */
    const Tensor *from; /* the load through which it is reached, or through which the set became empty */
    const Equation *eq; /* the equation that did that */
} State;

enum { MAX_CHOICES = 1024 };

typedef struct {
    Elab *E;
    Graph *g;
    State **states; /* per tensor, per choice of sources of its dimensions */
    const Axis *axis;
    const Equation *eq;
    Ctx *c;
    Conds conds;
    bool changed;
    /* of the equation at hand, in the case at hand */
    Scalar *lhs[MAX_DIMS];
    bool reached;
    unsigned causal;
    const Tensor *from;
} Proof;

static int choices_of(const Tensor *t)
{
    int n = 1;
    for (int d = 0; d < t->ndim; d++) {
        n *= t->dims[d]->kind == AXIS_SUM ? t->dims[d]->nparts : 1;
    }
    return n;
}

/* Number of the choice that the indices make, -1 if some index does not say which source it is of. */
static int choice_of(const Tensor *t, Scalar *const *args)
{
    int n = 0;
    for (int d = 0; d < t->ndim; d++) {
        if (t->dims[d]->kind != AXIS_SUM) {
            continue;
        }
        if (args[d]->op != OP_INJECT) {
            return -1;
        }
        n = n * t->dims[d]->nparts + (int)args[d]->inum;
    }
    return n;
}

static bool over_axis(const Proof *p, const Axis *dim, const Scalar *index)
{
    return dim == p->axis || (dim->kind == AXIS_SUM && index->op == OP_INJECT && dim->parts[index->inum] == p->axis);
}

static Scalar *position(Scalar *index)
{
    return index->op == OP_INJECT ? index->args[0] : index;
}

/* What is known of the cells that a load may read. */
static State state_of(const Proof *p, const Tensor *t, Scalar *const *args)
{
    int choice = choice_of(t, args);
    if (choice >= 0) {
        return p->states[t->id][choice];
    }
    State all = {0};
    for (int k = choices_of(t); k-- > 0;) {
        if (p->states[t->id][k].reached) {
            all = p->states[t->id][k];
            all.causal = 0;
        }
    }
    return all;
}

static void visit_load(const Scalar *s, void *ctx)
{
    Proof *p = ctx;
    if (s->op != OP_LOAD || s->at) {
        return;
    }
    State x = state_of(p, s->tensor, s->args);
    if (!x.reached) {
        return;
    }
    unsigned set = 0;
    for (int d = 0; d < s->tensor->ndim && !equation_is_extern(p->eq); d++) { /* C code reads what it likes */
        if (!(x.causal & 1u << d) || !over_axis(p, s->tensor->dims[d], s->args[d])) {
            continue;
        }
        for (int k = 0; k < p->eq->dst->ndim; k++) {
            Scalar *out = position(p->lhs[k]);
            if (over_axis(p, p->eq->dst->dims[k], p->lhs[k]) && out->op == OP_LETTER &&
                proves_nonneg(p->c, sc_op(p->g, OP_sub, out, position(s->args[d])), &p->conds)) {
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

static bool never(const Scalar *s)
{
    return s->op == OP_CONST && s->inum == 0;
}

/* One case of the equation: letters over sums of axes stand for positions in one source each. */
static void visit_case(Proof *p, Scalar *const *map)
{
    const Equation *eq = p->eq;
    p->conds = (Conds){0};
    p->reached = false;
    p->causal = 0;
    p->from = NULL;
    for (int d = 0; d < eq->dst->ndim; d++) {
        p->lhs[d] = substitute_settled(p->g, eq->lhs[d], eq->nletters, map);
    }
    for (int k = 0; k < eq->nconds; k++) {
        Scalar *s = substitute_settled(p->g, eq->conds[k], eq->nletters, map);
        if (never(s)) {
            return;
        }
        conds_push(p->E, &p->conds, s);
    }
    for (int k = 0; k < p->conds.n; k++) { /* a condition may be one of several: only what all of it asks is known */
        sc_walk(p->conds.v[k], visit_load, p);
    }
    sc_walk(substitute_settled(p->g, eq->body, eq->nletters, map), visit_load, p);
    int choice = choice_of(eq->dst, p->lhs);
    if (!p->reached || choice < 0) {
        return;
    }
    State *y = &p->states[eq->dst->id][choice];
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

static void visit_equation(Proof *p, const Equation *eq)
{
    Ctx *c = ctx_new(p->E, p->E->file, NULL, 0, SECTION_MODEL, "");
    int cases = 1;
    for (int k = 0; k < eq->nletters; k++) {
        new_var(c, eq->letters[k].axis, eq->letters[k].name, eq->letters[k].parent);
        cases *= eq->letters[k].axis->kind == AXIS_SUM ? eq->letters[k].axis->nparts : 1;
        cases = cases > MAX_CHOICES ? MAX_CHOICES : cases;
    }
    p->c = c;
    p->eq = eq;
    for (int n = 0; n < cases; n++) {
        Scalar *map[MAX_LETTERS] = {NULL};
        for (int k = 0, rest = n; k < eq->nletters; k++) {
            Axis *axis = eq->letters[k].axis;
            if (axis->kind == AXIS_SUM) {
                int part = rest % axis->nparts;
                rest /= axis->nparts;
                c->vars[k].axis = axis->parts[part];
                Scalar *letter = sc_letter(p->g, k);
                map[k] = sc_axis_op(p->g, OP_INJECT, axis, part, 1, &letter);
            }
        }
        visit_case(p, map);
    }
}

/* The worst that is known of a tensor, for the report. */
static const State *worst(const Proof *p, const Tensor *t)
{
    const State *w = &p->states[t->id][0];
    for (int k = choices_of(t); k-- > 0;) {
        const State *s = &p->states[t->id][k];
        if (s->reached && (!w->reached || s->causal == 0)) {
            w = s;
        }
    }
    return w;
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
    for (const Tensor *t = target; t != NULL && n < 64; t = worst(p, t)->from) {
        bool seen = false;
        for (int k = 0; k < n; k++) {
            seen = seen || path[k] == t;
        }
        if (seen) {
            break;
        }
        path[n++] = t;
        const State *s = worst(p, t);
        if (s->reached && s->causal == 0 && s->from != NULL) {
            culprit = t;
        }
    }
    const Equation *eq = worst(p, culprit)->eq;
    Text t = {0};
    int shown = 0;
    for (int k = n; k-- > 0;) {
        bool part = k > 0 && strstr(path[k]->name, user_name(E, path[k - 1])) == path[k]->name &&
                    sym_of_tensor(E, path[k]) == NULL; /* of the next name: x.1 of x */
        bool long_way = n > 10 && k > 3 && shown > 4 && path[k] != culprit;
        if (!part && !long_way) {
            text_printf(&t, "%s%s", user_name(E, path[k]), k > 0 ? " -> " : "");
            shown++;
        } else if (long_way && shown > 0 && (t.n < 5 || strcmp(t.s + t.n - 4, "... ") != 0)) {
            text_printf(&t, "... ");
        }
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

/* Whether the choice of sources has a position along the axis; other tokens are free to read everything. */
static bool concerns(const Proof *p, const Tensor *t, int choice)
{
    for (int d = t->ndim; d-- > 0;) {
        if (t->dims[d] == p->axis) {
            return true;
        }
        if (t->dims[d]->kind == AXIS_SUM) {
            if (t->dims[d]->parts[choice % t->dims[d]->nparts] == p->axis) {
                return true;
            }
            choice /= t->dims[d]->nparts;
        }
    }
    return false;
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
    unsigned own = 0;
    for (int d = 0; d < from->ndim; d++) {
        own |= from->dims[d] == axis->axis ? 1u << d : 0;
    }
    if (own == 0) {
        mistake(E, "E0401", stmt->span, NULL, "'%s' has no axis %s", stmt->from, stmt->along);
        return;
    }
    Proof p = {.E = E, .g = g, .axis = axis->axis};
    p.states = arena_alloc(E->arena, (size_t)g->ntensors * sizeof *p.states);
    for (int k = 0; k < g->ntensors; k++) {
        p.states[k] = arena_alloc(E->arena, (size_t)choices_of(g->tensors[k]) * sizeof **p.states);
    }
    p.states[from->t->id][0] = (State){.reached = true, .causal = own};
    do {
        p.changed = false;
        for (int k = 0; k < g->nequations; k++) {
            if (g->equations[k]->dst != from->t) {
                visit_equation(&p, g->equations[k]);
            }
        }
    } while (p.changed);
    /* Cells that have no position along the axis, such as a pooled result, depend on everything they depend on. */
    for (int k = choices_of(to->t); k-- > 0;) {
        const State *end = &p.states[to->t->id][k];
        bool positioned = false;
        for (int c = choices_of(to->t); c-- > 0;) {
            positioned = positioned || concerns(&p, to->t, c);
        }
        if (end->reached && end->causal == 0 && (!positioned || concerns(&p, to->t, k))) {
            report(&p, stmt, to->t);
            return;
        }
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
