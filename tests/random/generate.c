/* The generator of random programs. Domains are tracked the way the front end tracks them: reading a tensor adds the
 * conditions under which its cells exist. */
#include "generate.h"
#include "../../ir/random.h"
#include <math.h>
#include <string.h>

const char *const seen_name[SEEN_COUNT] = {"sum",
                                           "max",
                                           "min",
                                           "argmax",
                                           "any",
                                           "map",
                                           "causal domain",
                                           "window domain",
                                           "shifted load",
                                           "data condition",
                                           "part condition",
                                           "no condition",
                                           "gather of a param",
                                           "gather of a value",
                                           "keyed index",
                                           "recurrence",
                                           "backward recurrence",
                                           "sum of axes",
                                           "cases",
                                           "rand",
                                           "step function",
                                           "matrix product",
                                           "nested list",
                                           "batch reduction",
                                           "attention",
                                           "bucket of an integer",
                                           "twins with different domains",
                                           "either condition",
                                           "choice of zero",
                                           "position in a part",
                                           "one position",
                                           "product over two indices",
                                           "value with two readers",
                                           "rows of length 0",
                                           "rows of length 1",
                                           "rows of full length",
                                           "large batch"};

enum { MAX_VALUES = 40 };

/* A tensor with its domain: conditions over letters 0.. = its dims. */
typedef struct {
    Tensor *t;
    Scalar *conds[4];
    int nconds;
} Value;

typedef struct {
    Graph *g;
    uint64_t state;
    int64_t *seen;
    Axis *A, *B, *V, *T, *U, *Y, *Z;
    Value values[MAX_VALUES];
    int nvalues;
    int names;
} Gen;

/* An equation under construction. */
typedef struct {
    Letter letters[MAX_LETTERS];
    int n;
    Scalar *conds[16];
    int nconds;
    bool splits; /* the body chooses by the part of a letter, so no condition may exclude one */
} Frame;

static void look_for_part(const Scalar *s, void *found)
{
    *(bool *)found |= s->op == OP_PART;
}

static bool asks_for_part(const Scalar *s)
{
    bool found = false;
    sc_walk(s, look_for_part, &found);
    return found;
}

static uint64_t next(Gen *r)
{
    return r->state = random_mix(r->state + RANDOM_STEP);
}

static int pick(Gen *r, int n)
{
    return (int)(next(r) % (uint64_t)n);
}

static bool chance(Gen *r, int percent)
{
    return pick(r, 100) < percent;
}

static const char *fresh(Gen *r, const char *stem)
{
    return arena_printf(r->g->arena, "%s%d", stem, r->names++);
}

static Scalar *op1(Gen *r, Op op, Scalar *a)
{
    return sc_op(r->g, op, a);
}

static Scalar *op2(Gen *r, Op op, Scalar *a, Scalar *b)
{
    return sc_op(r->g, op, a, b);
}

static void add_cond(Frame *f, Scalar *c)
{
    for (int i = 0; i < f->nconds; i++) {
        if (f->conds[i] == c) {
            return;
        }
    }
    if (f->nconds < 16) {
        f->conds[f->nconds++] = c;
    }
}

static int add_letter(Gen *r, Frame *f, Axis *a)
{
    static const char *const names[] = {"i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "u"};
    int parent = -1;
    (void)r;
    if (a->kind == AXIS_RAGGED && a->parent) {
        for (int i = 0; i < f->n; i++) {
            parent = f->letters[i].axis == a->parent ? i : parent;
        }
    }
    f->letters[f->n] = (Letter){a, names[f->n], parent};
    return f->n++;
}

static int find_letter(Gen *r, const Frame *f, const Axis *a)
{
    int found[MAX_LETTERS], n = 0;
    for (int i = 0; i < f->n; i++) {
        if (f->letters[i].axis == a) {
            found[n++] = i;
        }
    }
    return n ? found[pick(r, n)] : -1;
}

/* The size of a ragged axis in this example. */
static Scalar *size_of(Gen *r, Axis *a)
{
    return a->kind == AXIS_FIXED ? sc_int(r->g, a->size) : sc_size(r->g, a, 0, NULL);
}

static Scalar *int_leaf(Gen *r, Frame *f)
{
    if (f->n > 0 && chance(r, 70)) {
        return sc_letter(r->g, pick(r, f->n));
    }
    return sc_int(r->g, pick(r, 9) - 4);
}

static Scalar *load_value(Gen *r, Frame *f, const Value *v, bool *ok);

/* An integer in 0 .. size-1. */
static Scalar *bounded_int(Gen *r, Frame *f, int64_t size)
{
    Scalar *s = int_leaf(r, f);
    if (chance(r, 40)) {
        s = op2(r, chance(r, 50) ? OP_add : OP_mul, s, int_leaf(r, f));
    }
    for (int tries = 0; tries < 4 && chance(r, 50); tries++) {
        const Value *v = &r->values[pick(r, r->nvalues)];
        bool ok = true;
        if (elem_type(v->t->elem) == TYPE_INT) {
            Scalar *l = load_value(r, f, v, &ok);
            if (ok) {
                s = op2(r, OP_sub, s, l);
            }
        }
    }
    if (chance(r, 20)) {
        static const int64_t table[] = {-3, 0, 1, 4};
        r->seen[SEEN_STEP]++;
        s = sc_step(r->g, 4, table, s);
    }
    if (chance(r, 8)) { /* the bucket of a distance: a step function that simplify makes a table of */
        Scalar *far = op2(r, OP_add, op1(r, OP_abs, s), sc_int(r->g, 1));
        Scalar *log = op1(r, OP_log, op1(r, chance(r, 50) ? OP_f32 : OP_real, far));
        r->seen[SEEN_BUCKET]++;
        s = op1(r, OP_trunc, op2(r, OP_div, log, sc_real(r->g, 0.3 + 0.1 * pick(r, 4))));
        return op2(r, OP_max, sc_int(r->g, 0), op2(r, OP_min, s, sc_int(r->g, size - 1)));
    }
    if (chance(r, 50)) {
        return op2(r, OP_mod, s, sc_int(r->g, size));
    }
    return op2(r, OP_max, sc_int(r->g, 0), op2(r, OP_min, s, sc_int(r->g, size - 1)));
}

/* A load of v under f's letters; *ok = false if some dim has no index. Adds v's domain to f's conditions. */
static Scalar *load_value(Gen *r, Frame *f, const Value *v, bool *ok)
{
    Scalar *args[MAX_DIMS] = {0};
    const Tensor *t = v->t;
    Scalar *guard = NULL;
    bool gathered = false;
    for (int d = 0; d < t->ndim; d++) {
        Axis *a = t->dims[d];
        int k = find_letter(r, f, a);
        if (a == r->Y) { /* beside the very letter that stands at the parent's dim */
            bool beside = k >= 0 && d > 0 && args[d - 1]->op == OP_LETTER && args[d - 1]->inum == f->letters[k].parent;
            if (!beside) {
                *ok = false;
                return NULL;
            }
            args[d] = sc_letter(r->g, k);
            r->seen[SEEN_NESTED]++;
        } else if (k >= 0 && (a->kind != AXIS_FIXED || chance(r, 80))) {
            args[d] = sc_letter(r->g, k);
            bool nested_next = d + 1 < t->ndim && t->dims[d + 1] == r->Y;
            if (a == r->T && !guard && !nested_next && chance(r, 15)) { /* x[i - 1], x[i + 1] */
                bool back = chance(r, 60);
                Scalar *at = op2(r, OP_add, args[d], sc_int(r->g, back ? -1 : 1));
                guard = back ? op2(r, OP_le, sc_int(r->g, 0), at) : op2(r, OP_lt, at, size_of(r, a));
                args[d] = at;
                r->seen[SEEN_SHIFT]++;
            }
        } else if (a->kind == AXIS_FIXED) {
            args[d] = bounded_int(r, f, a->size);
            gathered |= args[d]->op != OP_CONST;
        } else {
            *ok = false;
            return NULL;
        }
    }
    Scalar *load = sc_load(r->g, v->t, t->ndim, args);
    if (gathered) {
        r->seen[t->role == ROLE_PARAM ? SEEN_GATHER_PARAM : SEEN_GATHER_VALUE]++;
    }
    for (int i = 0; i < v->nconds; i++) {
        Scalar *c = sc_substitute(r->g, v->conds[i], t->ndim, args);
        guard = guard ? op2(r, OP_and, guard, c) : c;
    }
    if (guard && f->splits && asks_for_part(guard)) {
        *ok = false;
        return NULL;
    }
    if (guard) {
        if (elem_type(t->elem) == TYPE_REAL && chance(r, 70)) {
            return sc_op(r->g, OP_select, guard, load, sc_real(r->g, 0.25));
        }
        add_cond(f, guard);
    }
    return load;
}

static Scalar *real_expr(Gen *r, Frame *f, int depth);

static Scalar *bool_expr(Gen *r, Frame *f, int depth)
{
    if (depth > 0 && f->n > 1 && chance(r, 15)) { /* a comparison the other way round, of two positions */
        Scalar *less =
            op2(r, chance(r, 50) ? OP_lt : OP_le, sc_letter(r->g, pick(r, f->n)), sc_letter(r->g, pick(r, f->n)));
        return op1(r, OP_not, less);
    }
    if (chance(r, 40)) {
        return op2(r, chance(r, 50) ? OP_lt : OP_le, real_expr(r, f, depth - 1), real_expr(r, f, depth - 1));
    }
    if (depth > 0 && f->n > 1 && chance(r, 20)) { /* what the left side says decides the right one */
        Scalar *a = sc_letter(r->g, pick(r, f->n)), *b = sc_letter(r->g, pick(r, f->n));
        r->seen[SEEN_OR]++;
        return op2(r, OP_or, op2(r, chance(r, 50) ? OP_lt : OP_ne, a, b), op2(r, chance(r, 50) ? OP_eq : OP_le, a, b));
    }
    if (depth > 0 && chance(r, 15)) {
        Scalar *left = bool_expr(r, f, 0);
        r->seen[SEEN_OR]++;
        return op2(r, OP_or, left, bool_expr(r, f, 0));
    }
    return op2(r, chance(r, 50) ? OP_ne : OP_eq, bounded_int(r, f, 3), bounded_int(r, f, 3));
}

static Scalar *real_leaf(Gen *r, Frame *f)
{
    if (f->n > 0 && chance(r, 6)) {
        Scalar *keys[2] = {sc_letter(r->g, pick(r, f->n)), int_leaf(r, f)};
        r->seen[SEEN_RAND]++;
        return sc_rand(r->g, fresh(r, "noise"), chance(r, 20), 2, keys);
    }
    int y = find_letter(r, f, r->Y);
    if (y >= 0 && chance(r, 50)) {
        for (int i = 0; i < r->nvalues; i++) {
            if (r->values[i].t->ndim == 2 && r->values[i].t->dims[1] == r->Y) {
                Scalar *at[2] = {sc_letter(r->g, f->letters[y].parent), sc_letter(r->g, y)};
                r->seen[SEEN_NESTED]++;
                return sc_load(r->g, r->values[i].t, 2, at);
            }
        }
    }
    int z = find_letter(r, f, r->Z);
    for (int i = 0; i < f->nconds; i++) {
        z = asks_for_part(f->conds[i]) ? -1 : z;
    }
    if (z >= 0 && chance(r, 30)) { /* what the position in the list or in the fixed part says */
        Scalar *at = sc_letter(r->g, z), *local = sc_axis_op(r->g, OP_LOCAL, r->Z, 0, 1, &at);
        Scalar *list = op2(r, OP_eq, sc_axis_op(r->g, OP_PART, r->Z, 0, 1, &at), sc_int(r->g, 0));
        Scalar *in_list = sc_load(r->g, graph_find(r->g, "x"), 2, (Scalar *[]){local, bounded_int(r, f, r->A->size)});
        Scalar *in_rest = sc_load(r->g, graph_find(r->g, "mat"), 2, (Scalar *[]){local, sc_int(r->g, pick(r, 3))});
        r->seen[SEEN_LOCAL]++;
        f->splits = true;
        return sc_op(r->g, OP_select, list, in_list, in_rest);
    }
    for (int tries = 0; tries < 8; tries++) {
        const Value *v = &r->values[pick(r, r->nvalues)];
        bool ok = true;
        if (elem_type(v->t->elem) == TYPE_REAL) {
            Scalar *s = load_value(r, f, v, &ok);
            if (ok) {
                return s;
            }
        }
    }
    return sc_real(r->g, (double)(pick(r, 17) - 8) / 8);
}

/* Values stay moderate, so that a difference is a difference and not an overflow. */
static Scalar *real_expr(Gen *r, Frame *f, int depth)
{
    if (depth <= 0 || chance(r, 15)) {
        return real_leaf(r, f);
    }
    Scalar *a = real_expr(r, f, depth - 1);
    switch (pick(r, 16)) {
    case 0:
        return op1(r, OP_tanh, a);
    case 1:
        return op1(r, OP_sigmoid, a);
    case 2:
        return op1(r, OP_exp, op1(r, OP_tanh, a));
    case 3:
        return op1(r, OP_log, op2(r, OP_add, sc_real(r->g, 1.5), op2(r, OP_mul, a, a)));
    case 4:
        return op1(r, OP_sqrt, op2(r, OP_add, sc_real(r->g, 0.5), op2(r, OP_mul, a, a)));
    case 5:
        return op1(r, OP_erf, a);
    case 6:
        return op2(r, OP_div, a, op2(r, OP_add, sc_real(r->g, 1), op1(r, OP_abs, real_expr(r, f, depth - 1))));
    case 7:
        return op2(r, OP_max, a, real_expr(r, f, depth - 1));
    case 8:
        return op2(r, OP_min, a, real_expr(r, f, depth - 1));
    case 9:
        return sc_op(r->g, OP_select, bool_expr(r, f, 1), a, real_expr(r, f, depth - 1));
    case 10:
        return op2(r, OP_sub, a, real_expr(r, f, depth - 1));
    case 11:
        return op2(r, OP_mul, a, op1(r, OP_real, bounded_int(r, f, 4)));
    case 12:
        return op1(r, chance(r, 50) ? OP_sin : OP_cos, a);
    case 13:
        return op2(r, OP_pow, op2(r, OP_add, sc_real(r->g, 1.25), op1(r, OP_sigmoid, a)),
                   op1(r, OP_tanh, real_leaf(r, f)));
    case 14:
        return op2(r, OP_add, a, real_expr(r, f, depth - 1));
    default:
        return op2(r, OP_mul, a, real_expr(r, f, depth - 1));
    }
}

/* Defines dst over out axes by body; out letters are 0 .. nout-1 of f. Registers the value with its domain. */
static Value *define(Gen *r, const char *stem, Frame *f, int nout, Reduce op, Scalar *body, bool extra_domain)
{
    Tensor proto = {.name = fresh(r, stem), .role = ROLE_VALUE, .per_example = true, .ndim = nout};
    proto.elem = op == RED_ARGMAX                           ? ELEM_I64
                 : op == RED_ANY || body->type == TYPE_BOOL ? ELEM_BOOL
                 : body->type == TYPE_INT                   ? ELEM_I64
                                                            : ELEM_REAL;
    Equation e = {.op = op, .nletters = f->n, .nconds = f->nconds, .conds = f->conds, .body = body};
    memcpy(e.letters, f->letters, sizeof e.letters);
    for (int i = 0; i < nout; i++) {
        proto.dims[i] = f->letters[i].axis;
        e.lhs[i] = sc_letter(r->g, i);
    }
    Value v = {0};
    for (int i = 0; i < f->nconds && v.nconds < 3; i++) {
        bool inner = false;
        for (int k = nout; k < f->n; k++) {
            inner |= sc_uses_letter(f->conds[i], k);
        }
        if (!inner) {
            v.conds[v.nconds++] = f->conds[i];
        }
    }
    int outer = 0;
    for (int i = 0; i < f->nconds; i++) {
        bool inner = false;
        for (int k = nout; k < f->n; k++) {
            inner |= sc_uses_letter(f->conds[i], k);
        }
        outer += !inner;
    }
    if (outer > 3 || extra_domain) { /* too many to track: nobody reads it but the loss cannot either */
        return NULL;
    }
    v.t = graph_tensor(r->g, proto);
    e.dst = v.t;
    graph_equation(r->g, e);
    r->values[r->nvalues] = v;
    return &r->values[r->nvalues++];
}

static void add_domain(Gen *r, Frame *f)
{
    int i = find_letter(r, f, r->T), j = find_letter(r, f, r->T);
    switch (pick(r, 6)) {
    case 0:
        if (i >= 0 && j != i) {
            bool point = chance(r, 30);
            add_cond(f, op2(r, point ? OP_eq : OP_le, sc_letter(r->g, j), sc_letter(r->g, i)));
            r->seen[point ? SEEN_POINT : SEEN_CAUSAL]++;
        }
        break;
    case 1:
        if (i >= 0 && j != i) {
            add_cond(f, op2(r, OP_lt, op2(r, OP_sub, sc_letter(r->g, i), sc_letter(r->g, j)), sc_int(r->g, 3)));
            add_cond(f, op2(r, OP_le, sc_letter(r->g, j), sc_letter(r->g, i)));
            r->seen[SEEN_WINDOW]++;
        }
        break;
    case 2:
        add_cond(f, bool_expr(r, f, 1));
        r->seen[SEEN_DATA_COND]++;
        break;
    case 3:
        if (i >= 0) {
            Scalar *last = op2(r, OP_sub, size_of(r, r->T), sc_int(r->g, 1));
            add_cond(f, op2(r, OP_lt, sc_letter(r->g, i), last));
            r->seen[SEEN_WINDOW]++;
        }
        break;
    default:
        r->seen[SEEN_NO_COND]++;
    }
}

static Axis *any_axis(Gen *r)
{
    Axis *const axes[] = {r->A, r->B, r->T, r->T, r->T, r->U, r->Z, r->V};
    return axes[pick(r, 8)];
}

/* One ordinary equation: 0 to 3 output letters, 0 to 2 reduced ones. */
static void any_equation(Gen *r)
{
    Frame f = {0};
    int nout = pick(r, 4), nred = pick(r, 3);
    bool big = false;
    for (int i = 0; i < nout; i++) {
        Axis *a = any_axis(r);
        big |= a == r->V;
        add_letter(r, &f, a);
    }
    nout = f.n;
    for (int i = 0; i < nred; i++) {
        add_letter(r, &f, any_axis(r));
        if (f.letters[f.n - 1].axis == r->T && chance(r, 20)) {
            add_letter(r, &f, r->Y);
        }
    }
    nred = f.n - nout;
    add_domain(r, &f);
    Reduce op = nred ? RED_SUM : RED_NONE;
    Scalar *body = NULL;
    if (nred && chance(r, 10)) {
        op = RED_ANY;
        add_cond(&f, bool_expr(r, &f, 1));
        body = sc_bool(r->g, true);
        r->seen[SEEN_ANY]++;
    } else if (nred && chance(r, 25)) {
        body = sc_op(r->g, OP_mul, real_leaf(r, &f), real_leaf(r, &f));
        if (chance(r, 30)) {
            body = op2(r, OP_mul, body, sc_real(r->g, 0.625));
        }
        r->seen[SEEN_PRODUCT]++;
        r->seen[SEEN_SUM]++;
    } else {
        body = real_expr(r, &f, big ? 2 : 3);
        r->seen[nred ? SEEN_SUM : SEEN_MAP]++;
    }
    if (op == RED_SUM && chance(r, 15)) {
        Scalar *c = bool_expr(r, &f, 1), *zero = sc_real(r->g, 0);
        body = chance(r, 50) ? sc_op(r->g, OP_select, c, zero, body) : sc_op(r->g, OP_select, c, body, zero);
        r->seen[SEEN_ZERO_CHOICE]++;
    }
    for (int i = 0; i < f.n; i++) {
        if (f.letters[i].axis == r->Z && !f.splits && chance(r, 40)) {
            Scalar *at = sc_letter(r->g, i);
            add_cond(&f, op2(r, OP_eq, sc_axis_op(r->g, OP_PART, r->Z, 0, 1, &at), sc_int(r->g, pick(r, 2))));
            r->seen[SEEN_PART_COND]++;
        }
    }
    define(r, "v", &f, nout, op, body, false);
}

/* max, min or argmax over a range that is never empty where the result is said to exist. */
static void extremum(Gen *r)
{
    static const Reduce ops[] = {RED_MAX, RED_MIN, RED_ARGMAX};
    static const Seen seen[] = {SEEN_MAX, SEEN_MIN, SEEN_ARGMAX};
    Frame f = {0};
    int which = pick(r, 3);
    if (chance(r, 40)) {
        add_letter(r, &f, r->A);
    }
    bool causal = chance(r, 50);
    if (causal) {
        int i = add_letter(r, &f, r->T);
        int nout = f.n;
        int j = add_letter(r, &f, r->T);
        Scalar *c = op2(r, OP_le, sc_letter(r->g, j), sc_letter(r->g, i));
        Scalar *body = real_expr(r, &f, 2);
        if (f.nconds) { /* its loads restrict the range: it might be empty */
            return;
        }
        add_cond(&f, c);
        r->seen[seen[which]]++;
        r->seen[SEEN_CAUSAL]++;
        define(r, "top", &f, nout, ops[which], body, false);
        return;
    }
    int nout = f.n;
    Axis *over = chance(r, 50) ? r->T : r->B;
    add_letter(r, &f, over);
    Scalar *body = real_expr(r, &f, 2);
    if (f.nconds) {
        return;
    }
    if (over == r->T) {
        add_cond(&f, op2(r, OP_lt, sc_int(r->g, 0), size_of(r, r->T)));
    }
    r->seen[seen[which]]++;
    define(r, "top", &f, nout, ops[which], body, false);
}

/* h[i,a] = tanh(x + sum[b] h[i -+ 1, b] * w), forwards or backwards. */
static void recurrence(Gen *r)
{
    Graph *g = r->g;
    bool back = chance(r, 40);
    Tensor *w = graph_tensor(
        g, (Tensor){.name = fresh(r, "w"), .elem = ELEM_REAL, .role = ROLE_PARAM, .ndim = 2, .dims = {r->A, r->A}});
    w->init = arena_alloc(g->arena, sizeof *w->init);
    *w->init = (Init){.text = "normal(0, 0.5)", .kind = INIT_NORMAL, .a = sc_real(g, 0), .b = sc_real(g, 0.5)};
    Tensor *h = graph_tensor(g, (Tensor){.name = fresh(r, "h"),
                                         .elem = ELEM_REAL,
                                         .role = ROLE_VALUE,
                                         .per_example = true,
                                         .ndim = 2,
                                         .dims = {r->T, r->A}});
    Tensor *m = graph_tensor(g, (Tensor){.name = fresh(r, "hm"),
                                         .elem = ELEM_REAL,
                                         .role = ROLE_VALUE,
                                         .per_example = true,
                                         .ndim = 2,
                                         .dims = {r->T, r->A}});
    Frame f = {0};
    add_letter(r, &f, r->T);
    add_letter(r, &f, r->A);
    Scalar *x = real_expr(r, &f, 2);
    if (f.nconds) {
        x = sc_real(g, 0.5);
        f.nconds = 0;
    }
    Scalar *i = sc_letter(g, 0), *a = sc_letter(g, 1), *b = sc_letter(g, 2);
    Scalar *at = op2(r, OP_add, i, sc_int(g, back ? 1 : -1));
    Scalar *in = back ? op2(r, OP_lt, at, size_of(r, r->T)) : op2(r, OP_le, sc_int(g, 0), at);
    Scalar *prev = sc_op(g, OP_select, in, sc_load(g, h, 2, (Scalar *[]){at, b}), sc_real(g, 0.125));
    Equation product = {.dst = m,
                        .lhs = {i, a},
                        .op = RED_SUM,
                        .nletters = 3,
                        .letters = {{r->T, "i", -1}, {r->A, "a", -1}, {r->A, "b", -1}},
                        .body = op2(r, OP_mul, prev, sc_load(g, w, 2, (Scalar *[]){b, a}))};
    Equation step = {.dst = h,
                     .lhs = {i, a},
                     .nletters = 2,
                     .letters = {{r->T, "i", -1}, {r->A, "a", -1}},
                     .body = op1(r, OP_tanh, op2(r, OP_add, x, sc_load(g, m, 2, (Scalar *[]){i, a})))};
    graph_equation(g, product);
    graph_equation(g, step);
    r->values[r->nvalues++] = (Value){.t = h};
    r->seen[back ? SEEN_BACKWARD_RECURRENCE : SEEN_RECURRENCE]++;
}

/* One tensor, defined part by part (over Z = T | A) or member by member (over B). */
static void cases(Gen *r)
{
    Graph *g = r->g;
    bool sum = chance(r, 50);
    Axis *axis = sum ? r->Z : r->B;
    Tensor *t = graph_tensor(g, (Tensor){.name = fresh(r, sum ? "z" : "c"),
                                         .elem = ELEM_REAL,
                                         .role = ROLE_VALUE,
                                         .per_example = true,
                                         .ndim = 2,
                                         .dims = {axis, r->A}});
    for (int c = 0; c < (sum ? 2 : (int)r->B->size); c++) {
        Frame f = {0};
        Equation e = {.dst = t, .op = RED_NONE};
        if (sum) {
            int k = add_letter(r, &f, c == 0 ? r->T : r->A);
            Scalar *at = sc_letter(g, k);
            e.lhs[0] = sc_axis_op(g, OP_INJECT, r->Z, c, 1, &at);
        } else {
            e.lhs[0] = sc_int(g, c);
        }
        int a = add_letter(r, &f, r->A);
        e.lhs[1] = sc_letter(g, a);
        e.body = real_expr(r, &f, 2);
        if (f.nconds) {
            e.body = sc_real(g, 0.5 + c);
        }
        e.nletters = f.n;
        memcpy(e.letters, f.letters, sizeof e.letters);
        graph_equation(g, e);
    }
    r->values[r->nvalues++] = (Value){.t = t};
    r->seen[sum ? SEEN_SUM_AXIS : SEEN_CASES]++;
}

/* A histogram: out[key(i, j)] = sum of values; the left-hand index is an expression. */
static void keyed(Gen *r)
{
    Graph *g = r->g;
    Frame f = {0};
    add_letter(r, &f, r->T);
    add_letter(r, &f, chance(r, 50) ? r->T : r->A);
    Scalar *key = bounded_int(r, &f, r->V->size);
    if (f.nconds || !(sc_uses_letter(key, 0) || sc_uses_letter(key, 1))) {
        f.nconds = 0;
        key = op2(r, OP_mod, sc_letter(g, 0), sc_int(g, r->V->size));
    }
    Scalar *body = real_expr(r, &f, 2);
    Tensor *t = graph_tensor(g, (Tensor){.name = fresh(r, "hist"),
                                         .elem = ELEM_REAL,
                                         .role = ROLE_VALUE,
                                         .per_example = true,
                                         .ndim = 1,
                                         .dims = {r->V}});
    Equation e = {.dst = t,
                  .lhs = {key},
                  .op = RED_SUM,
                  .nletters = f.n,
                  .nconds = f.nconds,
                  .conds = f.conds,
                  .body = chance(r, 70) ? body : op1(r, OP_stop, body)};
    memcpy(e.letters, f.letters, sizeof e.letters);
    graph_equation(g, e);
    r->values[r->nvalues++] = (Value){.t = t};
    r->seen[SEEN_KEYED]++;
}

/* s[i,j] = sum[a] q[i,a] * k[j,a], o[i,a] = sum[j] s[i,j] * v[j,a], the domain causal, a window, or all. */
static void attention(Gen *r)
{
    Graph *g = r->g;
    const Tensor *x = graph_find(g, "x");
    Tensor *t[3];
    static const char *const stems[] = {"q", "k", "u"};
    for (int i = 0; i < 3; i++) {
        Frame f = {0};
        add_letter(r, &f, r->T);
        add_letter(r, &f, r->A);
        Scalar *body = real_expr(r, &f, 1);
        if (f.nconds) {
            f.nconds = 0;
            body = op2(r, OP_add, sc_load(g, g->tensors[x->id], 2, (Scalar *[]){sc_letter(g, 0), sc_letter(g, 1)}),
                       sc_real(g, 0.25 * i));
        }
        t[i] = define(r, stems[i], &f, 2, RED_NONE, body, false)->t;
    }
    int domain = pick(r, 4);
    for (int step = 0; step < 2; step++) {
        Frame f = {0};
        int i = add_letter(r, &f, r->T), j, a;
        if (step == 0) {
            j = add_letter(r, &f, r->T);
            a = add_letter(r, &f, r->A);
        } else {
            a = add_letter(r, &f, r->A);
            j = add_letter(r, &f, r->T);
        }
        Scalar *li = sc_letter(g, i), *lj = sc_letter(g, j), *la = sc_letter(g, a);
        if (domain != 0) {
            add_cond(&f, op2(r, domain == 2 ? OP_lt : OP_le, lj, li));
        }
        if (domain == 3) {
            add_cond(&f, op2(r, OP_le, op2(r, OP_sub, li, lj), sc_int(g, 2)));
        }
        Scalar *left =
            step == 0 ? sc_load(g, t[0], 2, (Scalar *[]){li, la}) : sc_load(g, t[0], 2, (Scalar *[]){li, lj});
        Scalar *right = sc_load(g, t[step == 0 ? 1 : 2], 2, (Scalar *[]){lj, la});
        Scalar *product = op2(r, OP_mul, left, right);
        if (chance(r, 50)) {
            product = op2(r, OP_mul, product, sc_real(g, 0.375));
        }
        t[0] = define(r, step == 0 ? "score" : "out", &f, 2, RED_SUM, product, false)->t;
    }
    r->seen[SEEN_ATTENTION]++;
    r->seen[SEEN_PRODUCT] += 2;
    r->seen[domain == 3 ? SEEN_WINDOW : domain ? SEEN_CAUSAL : SEEN_NO_COND]++;
}

/* A value without a domain of its own over the given axes. */
static Scalar *plain_value(Gen *r, const char *stem, int n, Axis *const *axes, Scalar *const *at)
{
    Frame f = {0};
    for (int k = 0; k < n; k++) {
        add_letter(r, &f, axes[k]);
    }
    Scalar *body = real_expr(r, &f, 1);
    if (f.nconds) {
        f.nconds = 0;
        body = sc_real(r->g, 0.5);
    }
    for (int k = 0; k < n; k++) { /* every letter counts */
        body = op2(r, OP_add, body, op1(r, OP_sin, op2(r, OP_mul, sc_letter(r->g, k), sc_real(r->g, 0.3 + 0.4 * k))));
    }
    return sc_load(r->g, define(r, stem, &f, n, RED_NONE, body, false)->t, n, at);
}

/* o[i,a] = sum[j,c] w[i,c,j] * u[j,c,a]: two summed indices that do not count as one. */
static void double_product(Gen *r)
{
    Frame f = {0};
    Scalar *i = sc_letter(r->g, add_letter(r, &f, r->T)), *a = sc_letter(r->g, add_letter(r, &f, r->A));
    Scalar *j = sc_letter(r->g, add_letter(r, &f, r->T)), *c = sc_letter(r->g, add_letter(r, &f, r->A));
    Scalar *left = plain_value(r, "w", 3, (Axis *[]){r->T, r->A, r->T}, (Scalar *[]){i, c, j});
    Scalar *right = plain_value(r, "u", 3, (Axis *[]){r->T, r->A, r->A}, (Scalar *[]){j, c, a});
    define(r, "o", &f, 2, RED_SUM, op2(r, OP_mul, left, right), false);
    r->seen[SEEN_DOUBLE_PRODUCT]++;
    r->seen[SEEN_PRODUCT]++;
}

/* A value that two maps over its own cells read. */
static void shared(Gen *r)
{
    Graph *g = r->g;
    const Tensor *t = NULL;
    for (int step = 0; step < 3; step++) {
        Frame f = {0};
        add_letter(r, &f, r->T);
        add_letter(r, &f, r->A);
        Scalar *body = real_expr(r, &f, 1), *at[2] = {sc_letter(g, 0), sc_letter(g, 1)};
        if (f.nconds) {
            f.nconds = 0;
            body = sc_load(g, graph_find(g, "mat"), 2, (Scalar *[]){at[1], sc_int(g, step)});
        }
        if (t) {
            body = op2(r, OP_add, body, op1(r, step == 1 ? OP_tanh : OP_sigmoid, sc_load(g, g->tensors[t->id], 2, at)));
        }
        const Value *v = define(r, step ? "reader" : "shared", &f, 2, RED_NONE, body, false);
        t = t ? t : v->t;
    }
    r->seen[SEEN_SHARED]++;
}

/* Two sums that differ in nothing but their domain, and their difference. */
static void twins(Gen *r)
{
    Graph *g = r->g;
    Frame f = {0};
    add_letter(r, &f, r->A);
    add_letter(r, &f, r->T);
    Scalar *body = real_expr(r, &f, 2);
    if (f.nconds > 2) {
        return;
    }
    Frame other = f;
    Scalar *at = op2(r, OP_mod, sc_letter(g, 1), sc_int(g, 2));
    add_cond(&f, op2(r, OP_eq, at, sc_int(g, 0)));
    add_cond(&other, op2(r, OP_eq, at, sc_int(g, 1)));
    define(r, "twin", &f, 1, RED_SUM, body, false);
    define(r, "twin", &other, 1, RED_SUM, body, false);
    r->seen[SEEN_TWINS]++;
    r->seen[SEEN_SUM] += 2;
}

/* The loss: over the batch and every cell, of a few of the values. */
static void loss(Gen *r)
{
    Graph *g = r->g;
    Scalar *total = sc_real(g, 0);
    int used = 0;
    for (int i = r->nvalues - 1; i >= 0 && used < 5; i--) {
        const Value *v = &r->values[i];
        if ((i >= 5 && chance(r, 30)) || v->t->role != ROLE_VALUE || elem_type(v->t->elem) != TYPE_REAL) {
            continue;
        }
        Tensor *part = graph_tensor(g, (Tensor){.name = fresh(r, "part"), .elem = ELEM_REAL, .role = ROLE_VALUE});
        Equation e = {.dst = part, .op = RED_SUM, .nletters = v->t->ndim + 1, .letters = {{g->batch, "b", -1}}};
        Scalar *args[MAX_DIMS], *conds[4];
        for (int d = 0; d < v->t->ndim; d++) {
            Axis *a = v->t->dims[d];
            static const char *const names[] = {"i", "j", "k", "l"};
            e.letters[d + 1] = (Letter){a, names[d], axis_is_ragged(a) ? 0 : -1};
            args[d] = sc_letter(g, d + 1);
        }
        Scalar *x = op1(r, OP_tanh, sc_load(g, v->t, v->t->ndim, args));
        Scalar *guard = NULL; /* from a condition on that would be one of the part itself; the next may rely on it */
        for (int c = 0; c < v->nconds; c++) {
            Scalar *cond = sc_substitute(g, v->conds[c], v->t->ndim, args);
            bool inner = false;
            for (int d = 0; d <= v->t->ndim; d++) {
                inner |= sc_uses_letter(cond, d);
            }
            if (inner && !guard) {
                conds[e.nconds++] = cond;
            } else {
                guard = guard ? op2(r, OP_and, guard, cond) : cond;
            }
        }
        if (guard) {
            x = sc_op(g, OP_select, guard, x, sc_real(g, 0));
        }
        e.body = op2(r, OP_mul, x, sc_real(g, 0.5 + 0.25 * used));
        e.conds = conds;
        graph_equation(g, e);
        r->seen[SEEN_BATCH_REDUCTION]++;
        total = op2(r, OP_add, total, sc_load(g, part, 0, NULL));
        used++;
    }
    Tensor *l = graph_tensor(g, (Tensor){.name = "loss", .elem = ELEM_REAL, .role = ROLE_VALUE, .is_output = true});
    graph_equation(g, (Equation){.dst = l, .body = total});
    g->loss = l;
}

static void leaf(Gen *r, const char *name, Role role, Elem elem, int ndim, Axis *a, Axis *b)
{
    Tensor *t = graph_tensor(r->g, (Tensor){.name = name,
                                            .role = role,
                                            .elem = elem,
                                            .ndim = ndim,
                                            .dims = {a, b},
                                            .per_example = role == ROLE_INPUT,
                                            .lo = 0,
                                            .hi = elem == ELEM_I32 ? VOCAB - 1 : -1});
    if (role == ROLE_PARAM) {
        t->init = arena_alloc(r->g->arena, sizeof *t->init);
        *t->init =
            (Init){.text = "normal(0, 0.7)", .kind = INIT_NORMAL, .a = sc_real(r->g, 0), .b = sc_real(r->g, 0.7)};
    }
    r->values[r->nvalues++] = (Value){.t = t};
}

Graph *generate_graph(Arena *arena, Diag *diag, uint64_t seed, int64_t *seen)
{
    Graph *g = graph_new(arena, diag, "random");
    Gen gen = {.g = g, .state = random_mix(seed + 1), .seen = seen};
    Gen *r = &gen;
    r->A = graph_axis(g, (Axis){.name = "A", .kind = AXIS_FIXED, .size = 2 + pick(r, 3)});
    r->B = graph_axis(g, (Axis){.name = "B", .kind = AXIS_FIXED, .size = 3});
    r->V = graph_axis(g, (Axis){.name = "V", .kind = AXIS_FIXED, .size = VOCAB, .vocab = "item"});
    r->T = graph_axis(g, (Axis){.name = "T", .kind = AXIS_RAGGED, .size = BOUND});
    r->U = graph_axis(g, (Axis){.name = "U", .kind = AXIS_RAGGED, .size = 4});
    r->Y = graph_axis(g, (Axis){.name = "Y", .kind = AXIS_RAGGED, .size = 3, .parent = r->T});
    r->Z = graph_axis(g, (Axis){.name = "Z", .kind = AXIS_SUM, .nparts = 2, .parts = {r->T, r->A}});
    leaf(r, "x", ROLE_INPUT, ELEM_REAL, 2, r->T, r->A);
    leaf(r, "y", ROLE_INPUT, ELEM_REAL, 1, r->U, NULL);
    leaf(r, "item", ROLE_INPUT, ELEM_I32, 1, r->T, NULL);
    leaf(r, "one", ROLE_INPUT, ELEM_I32, 0, NULL, NULL);
    leaf(r, "tag", ROLE_INPUT, ELEM_REAL, 2, r->T, r->Y);
    leaf(r, "emb", ROLE_PARAM, ELEM_REAL, 2, r->V, r->A);
    leaf(r, "mat", ROLE_PARAM, ELEM_REAL, 2, r->A, r->B);
    leaf(r, "vec", ROLE_PARAM, ELEM_REAL, 1, r->B, NULL);
    if (chance(r, 45)) {
        cases(r);
    }
    if (chance(r, 40)) {
        recurrence(r);
    }
    int n = 2 + pick(r, 3);
    for (int i = 0; i < n; i++) {
        any_equation(r);
        if (chance(r, 30)) {
            extremum(r);
        }
    }
    if (chance(r, 30)) {
        keyed(r);
    }
    if (chance(r, 12)) {
        attention(r);
    }
    if (chance(r, 10)) {
        twins(r);
    }
    if (chance(r, 10)) {
        shared(r);
    }
    if (chance(r, 8)) {
        double_product(r);
    }
    if (chance(r, 30)) {
        any_equation(r);
    }
    loss(r);
    return g;
}
