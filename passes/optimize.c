/* optimize: the optimizer's rule (optimizer.def) as equations. Needs: differentiate. Makes the input opt.lr
 * (set for each step), states opt.NAME (shared by all params with the same values) and opt.NAME.PATH
 * (moments), and sets `next` of every param that has a gradient and of every state made here.
 *
 * Clipping by the global norm: all gradients are scaled by clip / max(norm, clip), norm over all params together. */
#include "rewrite.h"

#include <string.h>

typedef enum { ROW_VALUE, ROW_SHARED, ROW_LET, ROW_MOMENT, ROW_RESULT } RowKind;

typedef struct {
    RowKind kind;
    const char *name, *unless_zero, *rule, *otherwise;
    double value;
} Row;

enum { MAX_ROWS = 12, MAX_NAMES = 32 };

typedef struct {
    const char *name;
    Row values[MAX_ROWS], steps[MAX_ROWS]; /* a row without name or rule ends them */
} Rule;

#define VALUE(n, v)               {.kind = ROW_VALUE, .name = n, .value = v},
#define SHARED(n, r)              {.kind = ROW_SHARED, .name = n, .rule = r},
#define LET(n, r)                 {.kind = ROW_LET, .name = n, .rule = r},
#define MOMENT(n, zero, r, other) {.kind = ROW_MOMENT, .name = n, .unless_zero = zero, .rule = r, .otherwise = other},
#define RESULT(r)                 {.kind = ROW_RESULT, .name = "p", .rule = r},
#define OPTIMIZER(n, v, s)        {.name = n, .values = {v}, .steps = {s}},
static const Rule rules[] = {
#include "optimizer.def"
};
#undef OPTIMIZER
enum { NRULES = sizeof rules / sizeof *rules };

/* What the names in a rule stand for, for one param. */
typedef struct {
    int n;
    const char *names[MAX_NAMES];
    Scalar *values[MAX_NAMES];
} Names;

static void bind(Names *names, const char *name, Scalar *value)
{
    for (int i = 0; i < names->n; i++) {
        if (!strcmp(names->names[i], name)) {
            names->values[i] = value;
            return;
        }
    }
    if (names->n == MAX_NAMES) {
        bug("an optimizer's rule has more than %d names", MAX_NAMES);
    }
    names->names[names->n] = name;
    names->values[names->n++] = value;
}

/* decay = 0 is no decay: every number here is finite, so 0 times it is 0. */
static Scalar *drop_zeros(Graph *g, Scalar *s, void *ctx)
{
    (void)ctx;
    if (s->op == OP_mul && s->type == TYPE_REAL && (sc_is_const(s->args[0], 0) || sc_is_const(s->args[1], 0))) {
        return sc_real(g, 0);
    }
    return fold_node(g, s);
}

static Scalar *parse(Graph *g, const char *text, const Names *names)
{
    Scalar *s = scalar_parse(g, text, names->n, names->names, names->values);
    if (!s) {
        bug("an optimizer's rule does not parse: %s", text);
    }
    return sc_rewrite(g, fold(g, s), drop_zeros, NULL);
}

static Scalar *as_real(Graph *g, Scalar *s)
{
    return s->type == TYPE_REAL ? s : sc_op(g, OP_real, s);
}

/* ---- tensors ---- */

static Tensor *input(Graph *g, const char *name, Elem elem)
{
    Tensor *t = graph_find(g, name);
    return t ? t : graph_tensor(g, (Tensor){.name = name, .elem = elem, .role = ROLE_INPUT, .lo = 0, .hi = -1});
}

static Tensor *state(Graph *g, const char *name, const Tensor *like)
{
    Init *zero = arena_alloc(g->arena, sizeof *zero);
    *zero = (Init){.text = "0", .kind = INIT_CONST, .a = sc_real(g, 0)};
    Tensor proto = {.name = name, .elem = ELEM_REAL, .role = ROLE_STATE, .init = zero, .lo = 0, .hi = -1};
    if (like) {
        proto.ndim = like->ndim;
        memcpy(proto.dims, like->dims, sizeof proto.dims);
        proto.span = like->span;
    }
    return graph_tensor(g, proto);
}

/* A letter per dim, and the load of a tensor of that shape at them. */
static Draft map_draft(Graph *g, Tensor *dst, Reduce op, const Tensor *shape, Scalar **index)
{
    Draft d = draft_new(g, dst, op, shape->span);
    for (int k = 0; k < shape->ndim; k++) {
        draft_letter(&d, (Letter){.axis = shape->dims[k],
                                  .name = arena_printf(g->arena, "%c", 'p' + k),
                                  .parent = parent_dim(shape, k)});
        index[k] = sc_letter(g, k);
        if (dst->ndim) {
            d.e.lhs[k] = index[k];
        }
    }
    return d;
}

/* t->next := value, one equation over t's shape. Returns the load of the new value. */
static Scalar *set_next(Graph *g, Tensor *t, Scalar *value)
{
    Scalar *index[MAX_DIMS];
    Tensor proto = *t;
    proto.name = arena_printf(g->arena, "%s'", t->name);
    proto.role = ROLE_VALUE;
    proto.init = NULL;
    proto.tags = NULL;
    proto.grad = NULL;
    proto.is_output = false;
    t->next = graph_tensor(g, proto);
    Draft d = map_draft(g, t->next, RED_NONE, t, index);
    d.e.body = t->elem == ELEM_F32 ? sc_op(g, OP_f32, value) : as_real(g, value);
    draft_commit(&d);
    return sc_load(g, t->next, t->ndim, index);
}

/* ---- clipping ---- */

static Tensor *number(Graph *g, const char *name)
{
    return graph_tensor(g, (Tensor){.name = name, .elem = ELEM_REAL, .role = ROLE_VALUE, .lo = 0, .hi = -1});
}

static Scalar *set_number(Graph *g, const char *name, Scalar *value)
{
    Draft d = draft_new(g, number(g, name), RED_NONE, (Span){0});
    d.e.body = value;
    draft_commit(&d);
    return sc_load(g, d.e.dst, 0, NULL);
}

static Scalar *clip_factor(Graph *g, double clip)
{
    Scalar *total = NULL;
    for (int i = 0, n = g->ntensors; i < n; i++) {
        const Tensor *p = g->tensors[i];
        if (p->role != ROLE_PARAM || !p->grad) {
            continue;
        }
        Scalar *index[MAX_DIMS];
        Draft d = map_draft(g, number(g, arena_printf(g->arena, "opt.squares.%s", p->name)),
                            p->ndim ? RED_SUM : RED_NONE, p->grad, index);
        Scalar *load = sc_load(g, p->grad, p->ndim, index);
        d.e.body = sc_op(g, OP_mul, load, load);
        draft_commit(&d);
        Scalar *squares = sc_load(g, d.e.dst, 0, NULL);
        total = total ? sc_op(g, OP_add, total, squares) : squares;
    }
    if (!total) {
        return NULL;
    }
    Scalar *bound = sc_real(g, clip), *norm = set_number(g, "opt.norm", sc_op(g, OP_sqrt, total));
    return set_number(g, "opt.clip", sc_op(g, OP_div, bound, sc_op(g, OP_max, norm, bound)));
}

/* ---- values ---- */

static const Row *find_value(const Rule *rule, const char *name)
{
    for (const Row *v = rule->values; v->name; v++) {
        if (!strcmp(v->name, name)) {
            return v;
        }
    }
    return NULL;
}

static bool check_values(Graph *g, const Rule *rule, int n, const NamedValue *values)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(values[i].name, "lr") != 0 && !find_value(rule, values[i].name)) {
            Text known = {0};
            for (const Row *v = rule->values; v->name; v++) {
                text_printf(&known, ", %s", v->name);
            }
            diag_report(g->diag, DIAG_ERROR, "E0512", (Span){0}, NULL, "optimizer %s has no value '%s'; it has lr%s",
                        rule->name, values[i].name, known.s ? known.s : "");
            text_free(&known);
            return false;
        }
    }
    return true;
}

static const Rule *find_rule(Graph *g)
{
    const Optimizer *o = g->optimizer;
    for (int i = 0; i < NRULES; i++) {
        if (!strcmp(rules[i].name, o->rule)) {
            bool ok = check_values(g, &rules[i], o->nvalues, o->values);
            for (int k = 0; k < o->ngroups; k++) {
                ok = ok && check_values(g, &rules[i], o->groups[k].nvalues, o->groups[k].values);
            }
            return ok ? &rules[i] : NULL;
        }
    }
    Text known = {0};
    for (int i = 0; i < NRULES; i++) {
        text_printf(&known, "%s%s", i ? ", " : "", rules[i].name);
    }
    diag_report(g->diag, DIAG_ERROR, "E0511", (Span){0}, NULL, "there is no optimizer '%s'; there are %s", o->rule,
                known.s);
    text_free(&known);
    return NULL;
}

static bool has_tag(const Tensor *p, const char *tag)
{
    tag += *tag == '@';
    for (const char *const *t = p->tags; t && *t; t++) {
        if (!strcmp(*t + (**t == '@'), tag)) {
            return true;
        }
    }
    return false;
}

static double value_of(const char *name, double otherwise, int n, const NamedValue *values)
{
    for (int i = 0; i < n; i++) {
        if (!strcmp(values[i].name, name)) {
            return values[i].value;
        }
    }
    return otherwise;
}

/* Defaults, then the optimizer's own values, then those of every group whose tag the param carries. A group's lr is
 * a rate beside the optimizer's: the step's rate is scaled by their ratio. */
static Names values_for(Graph *g, const Rule *rule, const Tensor *p)
{
    const Optimizer *o = g->optimizer;
    Names names = {0};
    double base = value_of("lr", 1, o->nvalues, o->values), lr = base;
    for (const Row *v = rule->values; v->name; v++) {
        double x = value_of(v->name, v->value, o->nvalues, o->values);
        for (int k = 0; k < o->ngroups; k++) {
            if (has_tag(p, o->groups[k].tag)) {
                x = value_of(v->name, x, o->groups[k].nvalues, o->groups[k].values);
            }
        }
        bind(&names, v->name, sc_real(g, x));
    }
    for (int k = 0; k < o->ngroups; k++) {
        if (has_tag(p, o->groups[k].tag)) {
            lr = value_of("lr", lr, o->groups[k].nvalues, o->groups[k].values);
        }
    }
    Scalar *rate = sc_load(g, graph_find(g, "opt.lr"), 0, NULL);
    bind(&names, "lr", lr == base || base == 0 ? rate : sc_op(g, OP_mul, rate, sc_real(g, lr / base)));
    return names;
}

/* ---- the update ---- */

/* Params with the same values share the state: found again by the text of its rule's constants. */
static Scalar *shared_state(Graph *g, const Row *row, Names *names)
{
    for (int k = 0;; k++) {
        const char *name =
            k ? arena_printf(g->arena, "opt.%s.%d", row->name, k) : arena_printf(g->arena, "opt.%s", row->name);
        Tensor *t = graph_find(g, name);
        bool fresh = !t;
        if (fresh) {
            t = state(g, name, NULL);
        }
        bind(names, row->name, sc_load(g, t, 0, NULL));
        Scalar *value = parse(g, row->rule, names);
        if (fresh) {
            return set_next(g, t, value);
        }
        for (int i = g->nequations - 1; i >= 0; i--) {
            if (g->equations[i]->dst == t->next && g->equations[i]->body == value) {
                return sc_load(g, t->next, 0, NULL);
            }
        }
    }
}

static bool is_left_out(const Row *row, const Names *names)
{
    for (int i = 0; row->unless_zero && i < names->n; i++) {
        if (!strcmp(names->names[i], row->unless_zero)) {
            return sc_is_const(names->values[i], 0);
        }
    }
    return false;
}

static void update(Graph *g, const Rule *rule, Tensor *p, Scalar *clip)
{
    Names names = values_for(g, rule, p);
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < p->ndim; k++) {
        index[k] = sc_letter(g, k);
    }
    Scalar *grad = sc_load(g, p->grad, p->ndim, index);
    bind(&names, "p", sc_load(g, p, p->ndim, index));
    bind(&names, "g", clip ? sc_op(g, OP_mul, grad, clip) : grad);
    for (const Row *row = rule->steps; row->rule; row++) {
        switch (row->kind) {
        case ROW_SHARED:
            bind(&names, row->name, shared_state(g, row, &names));
            break;
        case ROW_LET:
            bind(&names, row->name, parse(g, row->rule, &names));
            break;
        case ROW_MOMENT:
            if (is_left_out(row, &names)) {
                bind(&names, row->name, parse(g, row->otherwise, &names));
            } else {
                Tensor *m = state(g, arena_printf(g->arena, "opt.%s.%s", row->name, p->name), p);
                bind(&names, row->name, sc_load(g, m, m->ndim, index));
                bind(&names, row->name, set_next(g, m, parse(g, row->rule, &names)));
            }
            break;
        case ROW_RESULT:
            set_next(g, p, parse(g, row->rule, &names));
            break;
        case ROW_VALUE:
            break;
        }
    }
}

void pass_optimize(Graph *g)
{
    if (!g->optimizer || !g->loss || !g->loss->grad) {
        return;
    }
    const Rule *rule = find_rule(g);
    bool pending = false;
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *p = g->tensors[i];
        pending |= p->role == ROLE_PARAM && p->grad && !p->next;
    }
    if (!rule || !pending) {
        return;
    }
    input(g, "opt.lr", ELEM_REAL);
    Scalar *clip = g->optimizer->clip > 0 ? clip_factor(g, g->optimizer->clip) : NULL;
    for (int i = 0, n = g->ntensors; i < n; i++) {
        Tensor *p = g->tensors[i];
        if (p->role == ROLE_PARAM && p->grad && !p->next) {
            update(g, rule, p, clip);
        }
    }
    graph_reorder(g);
}
