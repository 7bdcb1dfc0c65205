/* Finds the params that are updated by rows: PlanTable of plan.h says what that is, runtime/table.c what it is good
 * for.
 *
 *   x[b,i,d] = emb[item[b,i],d]                                 every load of the param is a gather by id, or
 *   grad.emb[item[b,i],d] sum= ..                               (its gradient: keyed sums, cut by keys)
 *   opt.m.emb'[p,q] = 0.9 * opt.m.emb[p,q] + 0.1 * grad.emb[p,q]
 *   emb'[p,q] = emb[p,q] - opt.lr * opt.m.emb'[p,q]             belongs to the update: row p from row p alone
 *
 * Whatever is not of this form is updated as a whole; nothing here knows an optimizer. */
#include "plan_build.h"
#include <math.h>
#include <string.h>

enum { MIN_ROWS = 256 };

typedef struct {
    Build *b;
    Tensor *param;
    PlanTable *t;
    bool *in_update;   /* per call */
    bool *is_state;    /* per graph tensor: params and states whose rows the update reads and writes */
    bool *is_gradient; /* per graph tensor: keyed sums */
    bool *is_value;    /* per graph tensor: made of rows of the gradient in the update */
    bool *is_watched;  /* per graph tensor: such a value that others read, too, as a whole */
    bool good;
} Search;

/* ---- the update ---- */

static bool has_rows(const Search *s, const Tensor *t)
{
    Layout l;
    const char *why;
    return !t->per_example && t->ndim > 0 && axis_same(t->dims[0], s->param->dims[0]) && tensor_layout(t, &l, &why) &&
           l.order[0] == 0 && l.batch_dims == 0;
}

static void add_int(Search *s, int *n, int **list, int v)
{
    for (int i = 0; i < *n; i++) {
        if ((*list)[i] == v) {
            return;
        }
    }
    ARENA_PUSH(s->b->arena, *list, *n, v);
}

static void need(Search *s, Tensor *t);

typedef struct {
    Search *s;
    const Scalar *row;
} Loads;

/* The state that t is the next value of, or NULL. */
static Tensor *before(const Search *s, const Tensor *t)
{
    const Graph *g = s->b->schedule->graph;
    for (int i = 0; i < g->ntensors; i++) {
        if (g->tensors[i]->next == t && g->tensors[i] != t) {
            return g->tensors[i];
        }
    }
    return NULL;
}

/* A param or state whose next value the update makes, over its own storage. */
static void need_state(Search *s, Tensor *t)
{
    if (s->is_state[t->id]) {
        return;
    }
    Build *b = s->b;
    if (!t->next || t->next == t || b->alias[t->next->id] != t->id || !has_rows(s, t->next)) {
        s->good = false;
        return;
    }
    s->is_state[t->id] = true;
    if (t != s->param) {
        add_int(s, &s->t->nstates, &s->t->states, b->tensor[t->id]);
    }
    need(s, t->next);
}

static void look(const Scalar *v, void *ctx)
{
    Loads *l = ctx;
    Search *s = l->s;
    if (v->op == OP_RAND || v->op == OP_EXTERN) {
        s->good = false;
    }
    if (v->op != OP_LOAD || !s->good) {
        return;
    }
    Tensor *t = v->tensor;
    if (t->ndim == 0) {
        add_int(s, &s->t->nscalars, &s->t->scalars, s->b->tensor[t->id]);
    } else if (!has_rows(s, t) || v->args[0] != l->row) {
        s->good = false;
    } else if (t->role == ROLE_PARAM || t->role == ROLE_STATE) {
        s->good = s->good && (t == s->param || t->role == ROLE_STATE);
        if (s->good) {
            need_state(s, t);
        }
    } else {
        need(s, t);
    }
}

/* The rows of t are made in a step, by the update or as a gradient. */
static void need(Search *s, Tensor *t)
{
    Build *b = s->b;
    if (s->is_gradient[t->id] || s->is_value[t->id] || !s->good) {
        return;
    }
    int writers = 0, keyed = 0, call = -1;
    for (int i = 0; i < b->ncalls; i++) {
        if (b->calls[i].e->dst == t) {
            writers++;
            keyed += b->calls[i].info.split == SPLIT_KEYS && b->calls[i].info.key_dim == 0;
            call = i;
        }
    }
    if (t->role != ROLE_VALUE || t->is_output || writers == 0) {
        s->good = false;
        return;
    }
    Tensor *old = before(s, t);
    if (keyed == writers && !old) {
        s->is_gradient[t->id] = true;
        add_int(s, &s->t->nvalues, &s->t->values, b->tensor[t->id]);
        return;
    }
    const Equation *e = b->calls[call].e;
    const KernelInfo *k = &b->calls[call].info;
    if (writers != 1 || e->op != RED_NONE || e->nconds > 0 || k->split != SPLIT_FIXED || k->item < 0 ||
        e->lhs[0]->op != OP_LETTER || e->lhs[0]->inum != k->item || b->plan->steps[b->step[call]].kind != STEP_CALL) {
        s->good = false;
        return;
    }
    s->is_value[t->id] = true;
    s->in_update[call] = true;
    if (old) {
        need_state(s, old);
    } else {
        add_int(s, &s->t->nvalues, &s->t->values, b->tensor[t->id]);
    }
    Loads l = {s, e->lhs[0]};
    for (int d = 1; d < e->dst->ndim; d++) {
        sc_walk(e->lhs[d], look, &l);
    }
    sc_walk(e->body, look, &l);
}

/* ---- everything else that reads the rows ---- */

/* The row of a gather: an id that a tensor holds, or one shifted by a constant. */
static bool read_key(const Scalar *key, const Tensor **ids, int64_t *add)
{
    *add = 0;
    if ((key->op == OP_add || key->op == OP_sub) && key->args[1]->op == OP_CONST) {
        *add = key->op == OP_add ? key->args[1]->inum : -key->args[1]->inum;
        key = key->args[0];
    }
    *ids = key->op == OP_LOAD ? key->tensor : NULL;
    return *ids && ((*ids)->elem == ELEM_I32 || (*ids)->elem == ELEM_I64);
}

static int last_writer(const Search *s, const Tensor *t)
{
    int last = -1;
    for (int i = 0; i < s->b->ncalls; i++) {
        if (s->b->calls[i].e->dst == t && s->b->step[i] > last) {
            last = s->b->step[i];
        }
    }
    return last;
}

/* A row needs to be named once, and once more when sums into it begin: ids do not change between readers. */
static void add_key(Search *s, const Scalar *key, int step, bool sums)
{
    const Tensor *ids;
    PlanKeys k = {.step = step, .sums = sums};
    if (!read_key(key, &ids, &k.add) || last_writer(s, ids) >= step) {
        s->good = false;
        return;
    }
    k.ids = s->b->tensor[ids->id];
    for (int i = 0; i < s->t->nkeys; i++) {
        const PlanKeys *x = &s->t->keys[i];
        if (x->step <= step && x->ids == k.ids && x->add == k.add && (x->sums || !sums)) {
            return;
        }
    }
    ARENA_PUSH(s->b->arena, s->t->keys, s->t->nkeys, k);
}

typedef struct {
    Search *s;
    int step;
} Reader;

static void look_outside(const Scalar *v, void *ctx)
{
    const Reader *r = ctx;
    Search *s = r->s;
    if (v->op != OP_LOAD) {
        return;
    }
    const Tensor *t = v->tensor;
    if (t == s->param && v->nargs == t->ndim) {
        add_key(s, v->args[0], r->step, false);
    } else if (s->is_state[t->id] || (s->is_value[t->id] && before(s, t))) {
        s->good = false; /* as a whole, or what it will be after the step */
    } else if (s->is_value[t->id]) {
        s->is_watched[t->id] = true;
    }
}

static void search(Search *s)
{
    Build *b = s->b;
    need_state(s, s->param);
    for (int i = 0; i < b->ncalls && s->good; i++) {
        const Equation *e = b->calls[i].e;
        if (s->in_update[i]) {
            continue;
        }
        if (s->is_gradient[e->dst->id]) {
            add_key(s, e->lhs[0], b->step[i], true);
        }
        Reader r = {s, b->step[i]};
        for (int d = 0; d < e->dst->ndim; d++) {
            sc_walk(e->lhs[d], look_outside, &r);
        }
        for (int c = 0; c < e->nconds; c++) {
            sc_walk(e->conds[c], look_outside, &r);
        }
        sc_walk(e->body, look_outside, &r);
    }
    for (int i = 0; i < b->ncalls; i++) { /* in the order of the steps */
        if (s->in_update[i]) {
            ARENA_PUSH(b->arena, s->t->steps, s->t->nsteps, b->step[i]);
        }
    }
}

/* ---- what an update without a gradient does ---- */

/* Zeros keep their sign, or p + 0 would turn a p of -0. SAME: the value of the param or state before the step. */
typedef enum { V_OTHER, V_PLUS, V_MINUS, V_POSITIVE, V_SAME } Kind;

typedef struct {
    Kind kind;
    const Tensor *of; /* SAME */
} Value;

typedef struct {
    const Search *s;
    bool at_zero;
    Value *made; /* per graph tensor: what the update makes of it */
} Rest;

static bool is_zero(Value v)
{
    return v.kind == V_PLUS || v.kind == V_MINUS;
}

static Value zero(bool minus)
{
    return (Value){minus ? V_MINUS : V_PLUS, NULL};
}

static Value negative(Value v)
{
    return is_zero(v) ? zero(v.kind == V_PLUS) : (Value){V_OTHER, NULL};
}

static Value sum(Value a, Value b)
{
    if (is_zero(a) && is_zero(b)) {
        return zero(a.kind == V_MINUS && b.kind == V_MINUS);
    }
    if (is_zero(a)) {
        Value t = a;
        a = b;
        b = t;
    }
    /* A state begins at +0 and no sum makes -0 of it; a param may have any value. */
    if (a.kind == V_SAME && is_zero(b)) {
        return b.kind == V_MINUS || a.of->role == ROLE_STATE ? a : (Value){V_OTHER, NULL};
    }
    bool positive = (a.kind == V_POSITIVE && (b.kind == V_POSITIVE || is_zero(b)));
    return (Value){positive ? V_POSITIVE : V_OTHER, NULL};
}

static Value product(Value a, Value b)
{
    if (is_zero(a) && is_zero(b)) {
        return zero(a.kind != b.kind);
    }
    if ((is_zero(a) && b.kind == V_POSITIVE) || (is_zero(b) && a.kind == V_POSITIVE)) {
        return is_zero(a) ? a : b;
    }
    return (Value){a.kind == V_POSITIVE && b.kind == V_POSITIVE ? V_POSITIVE : V_OTHER, NULL};
}

/* Rates and corrections are numbers above 0. */
static Value value(const Rest *r, const Scalar *v)
{
    Value other = {V_OTHER, NULL};
    switch (v->op) {
    case OP_CONST:
        return v->type != TYPE_REAL ? other
               : v->num == 0        ? zero(signbit(v->num))
               : v->num > 0         ? (Value){V_POSITIVE, NULL}
                                    : other;
    case OP_LOAD: {
        const Tensor *t = v->tensor;
        if (t->ndim == 0) {
            return t->elem == ELEM_REAL ? (Value){V_POSITIVE, NULL} : other;
        }
        if (r->s->is_gradient[t->id]) {
            return zero(false);
        }
        if (r->s->is_state[t->id]) {
            return r->at_zero && t->role == ROLE_STATE ? zero(false) : (Value){V_SAME, t};
        }
        return r->made[t->id];
    }
    case OP_add:
        return sum(value(r, v->args[0]), value(r, v->args[1]));
    case OP_sub:
        return sum(value(r, v->args[0]), negative(value(r, v->args[1])));
    case OP_neg:
        return negative(value(r, v->args[0]));
    case OP_mul:
        return product(value(r, v->args[0]), value(r, v->args[1]));
    case OP_div: {
        Value a = value(r, v->args[0]), b = value(r, v->args[1]);
        return b.kind == V_POSITIVE && (is_zero(a) || a.kind == V_POSITIVE) ? a : other;
    }
    case OP_sqrt: {
        Value a = value(r, v->args[0]);
        bool guarded = v->args[0]->op == OP_add && value(r, v->args[0]->args[1]).kind == V_POSITIVE; /* sqrt(s + eps) */
        return is_zero(a) ? zero(false) : a.kind == V_POSITIVE || guarded ? (Value){V_POSITIVE, NULL} : other;
    }
    default:
        return other;
    }
}

/* Values of the update that are read as a whole must be 0 in rows that are left out. */
static bool are_watched_zero(const Search *s, const Value *made)
{
    for (int i = 0; i < s->b->schedule->graph->ntensors; i++) {
        if (s->is_watched[i] && made[i].kind != V_PLUS) {
            return false;
        }
    }
    return true;
}

static Value *make_all(const Search *s, bool at_zero)
{
    const Build *b = s->b;
    Rest r = {s, at_zero, arena_alloc(b->arena, (size_t)(b->schedule->graph->ntensors + 1) * sizeof *r.made)};
    for (int i = 0; i < b->ncalls; i++) {
        if (s->in_update[i]) {
            r.made[b->calls[i].e->dst->id] = value(&r, b->calls[i].e->body);
        }
    }
    return r.made;
}

static bool rests(const Search *s, bool at_zero)
{
    const Graph *g = s->b->schedule->graph;
    const Value *made = make_all(s, at_zero);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (s->is_state[i]) {
            Value v = made[t->next->id];
            bool zeroed = at_zero && t->role == ROLE_STATE;
            if (zeroed ? v.kind != V_PLUS : v.kind != V_SAME || v.of != t) {
                return false;
            }
        }
    }
    return true;
}

/* ---- all params ---- */

void build_tables(Build *b)
{
    const Graph *g = b->schedule->graph;
    Plan *p = b->plan;
    for (int k = 0; k < p->nsteps; k++) {
        if (p->steps[k].kind == STEP_LEVELS) {
            return; /* steps run several times */
        }
    }
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (t->role != ROLE_PARAM || !t->next || t->next == t || t->ndim < 1 || t->elem != ELEM_REAL ||
            t->dims[0]->kind != AXIS_FIXED || t->dims[0]->size < MIN_ROWS || t->dims[0]->size > INT32_MAX) {
            continue;
        }
        PlanTable table = {.param = b->tensor[t->id], .rows = t->dims[0]->size};
        size_t n = (size_t)g->ntensors + 1;
        Search s = {.b = b,
                    .param = t,
                    .t = &table,
                    .in_update = arena_alloc(b->arena, (size_t)b->ncalls + 1),
                    .is_state = arena_alloc(b->arena, n),
                    .is_gradient = arena_alloc(b->arena, n),
                    .is_value = arena_alloc(b->arena, n),
                    .is_watched = arena_alloc(b->arena, n),
                    .good = has_rows(&(Search){.param = t}, t)};
        search(&s);
        if (s.good && table.nkeys > 0 && table.nvalues > 0 && are_watched_zero(&s, make_all(&s, false))) {
            table.rest = rests(&s, false) ? REST_ALWAYS : rests(&s, true) ? REST_AT_ZERO : REST_NEVER;
            ARENA_PUSH(b->arena, p->tables, p->ntables, table);
        }
    }
}
