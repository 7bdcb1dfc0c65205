/* The kinds of equations a random program is made of. */
#include "generate_impl.h"
#include <string.h>

/* A param of a program's own. */
static Tensor *weights(Gen *r, int ndim, Axis *const *dims)
{
    Graph *g = r->g;
    Tensor t = {.name = fresh(r, "w"), .elem = ELEM_REAL, .role = ROLE_PARAM, .ndim = ndim};
    memcpy(t.dims, dims, (size_t)ndim * sizeof *dims);
    t.init = arena_alloc(g->arena, sizeof *t.init);
    *t.init = (Init){.text = "normal(0, 0.5)", .kind = INIT_NORMAL, .a = sc_real(g, 0), .b = sc_real(g, 0.5)};
    return graph_tensor(g, t);
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
void any_equation(Gen *r)
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
void extremum(Gen *r)
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
void recurrence(Gen *r)
{
    Graph *g = r->g;
    bool back = chance(r, 40);
    Tensor *w = weights(r, 2, (Axis *[]){r->A, r->A});
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
void cases(Gen *r)
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
void keyed(Gen *r)
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

/* s[i,j] = sum[a] q[i,a] * k[j,a], o[i,a] = sum[j] s[i,j] * v[j,a], the domain causal, a window, a window
 * and what is far away, or all. */
void attention(Gen *r)
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
    int domain = pick(r, 5);
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
        if (domain == 4) {
            Scalar *near = op2(r, OP_lt, op2(r, OP_sub, li, lj), sc_int(g, 1));
            add_cond(&f, op2(r, OP_or, near, op2(r, OP_lt, lj, sc_int(g, 2))));
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
    r->seen[domain >= 3 ? SEEN_WINDOW : domain ? SEEN_CAUSAL : SEEN_NO_COND]++;
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
void double_product(Gen *r)
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
void shared(Gen *r)
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
void twins(Gen *r)
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

/* Two sums over one power of each pair of positions, perhaps over domains of their own. */
void powers(Gen *r)
{
    Graph *g = r->g;
    Tensor *x = g->tensors[graph_find(g, "x")->id], *vec = g->tensors[graph_find(g, "vec")->id], *score = NULL;
    bool causal = chance(r, 60);
    int near = pick(r, 4);
    for (int step = 0; step < 3; step++) {
        Frame f = {0};
        Scalar *i = sc_letter(g, add_letter(r, &f, r->T)), *j = sc_letter(g, add_letter(r, &f, r->T));
        if (causal) {
            add_cond(&f, op2(r, OP_le, j, i));
        }
        if (step == 0) {
            Scalar *a = sc_letter(g, add_letter(r, &f, r->A));
            Scalar *product =
                op2(r, OP_mul, sc_load(g, x, 2, (Scalar *[]){i, a}), sc_load(g, x, 2, (Scalar *[]){j, a}));
            score = define(r, "score", &f, 2, RED_SUM, product, false)->t;
            continue;
        }
        if (near >> (step - 1) & 1) {
            add_cond(&f, op2(r, OP_le, op2(r, OP_sub, i, j), sc_int(g, 1)));
        }
        Scalar *base = op2(r, OP_add, sc_real(g, 1.25), op1(r, OP_sigmoid, sc_load(g, score, 2, (Scalar *[]){i, j})));
        Scalar *power = op2(r, OP_pow, base, sc_load(g, vec, 1, (Scalar *[]){sc_int(g, 0)}));
        Scalar *value = sc_load(g, x, 2, (Scalar *[]){j, sc_int(g, 0)});
        Scalar *body = op2(r, step == 1 ? OP_mul : OP_add, power, op2(r, OP_mul, value, value));
        define(r, "powers", &f, 1, RED_SUM, body, false);
    }
    r->seen[SEEN_POWERS]++;
    r->seen[SEEN_PRODUCT]++;
}

/* s[i,j] = sum[a,b] q[i,a,b] * (k[j,a,b] +- w[key,a,b]), or o[i,a,b] = sum[j] p[i,j] * (k[j,a,b] +- w[key,a,b]): rows
 * of a small table that two positions pick. */
void looked_up(Gen *r)
{
    Graph *g = r->g;
    Axis *rows = graph_axis(g, (Axis){.name = fresh(r, "W"), .kind = AXIS_FIXED, .size = 2});
    Tensor *w = weights(r, 3, (Axis *[]){rows, r->A, r->B});
    bool is_summed = chance(r, 50); /* the position that is looked up */
    Frame f = {0};
    Scalar *i = sc_letter(g, add_letter(r, &f, r->T)), *j = NULL;
    if (!is_summed) {
        j = sc_letter(g, add_letter(r, &f, r->T));
    }
    Scalar *a = sc_letter(g, add_letter(r, &f, r->A)), *b = sc_letter(g, add_letter(r, &f, r->B));
    if (is_summed) {
        j = sc_letter(g, add_letter(r, &f, r->T));
    }
    int domain = pick(r, 3);
    if (domain > 0) {
        add_cond(&f, op2(r, OP_le, j, i));
    }
    if (domain > 1) {
        add_cond(&f, op2(r, OP_le, op2(r, OP_sub, i, j), sc_int(g, 2)));
    }
    Tensor *item = g->tensors[graph_find(g, "item")->id];
    Scalar *pair = op2(r, OP_add, sc_load(g, item, 1, &i), sc_load(g, item, 1, &j));
    Scalar *row = sc_load(g, w, 3, (Scalar *[]){op2(r, OP_mod, pair, sc_int(g, 2)), a, b});
    Scalar *k = plain_value(r, "k", 3, (Axis *[]){r->T, r->A, r->B}, (Scalar *[]){j, a, b});
    Scalar *by = is_summed ? plain_value(r, "p", 2, (Axis *[]){r->T, r->T}, (Scalar *[]){i, j})
                           : plain_value(r, "q", 3, (Axis *[]){r->T, r->A, r->B}, (Scalar *[]){i, a, b});
    Scalar *sum = op2(r, chance(r, 50) ? OP_add : OP_sub, k, row);
    define(r, "seen", &f, is_summed ? 3 : 2, RED_SUM, op2(r, OP_mul, by, sum), false);
    r->seen[is_summed ? SEEN_ROW_SUMMED : SEEN_ROW_PICKED]++;
}

/* Weights of pairs by the bucket of the time between them, and a sum that they weigh, over a list of its own that is
 * long enough for whole vectors and for sums by runs. */
void bucketed(Gen *r)
{
    static const int64_t table[] = {-9, -4, -1, 0, 1, 2, 3, 5, 8, 12, 17, 23, 30, 38};
    enum { THRESHOLDS = sizeof table / sizeof *table };
    Graph *g = r->g;
    Axis *list = graph_axis(g, (Axis){.name = "L", .kind = AXIS_RAGGED, .size = LONG_BOUND});
    Axis *row = graph_axis(g, (Axis){.name = "E", .kind = AXIS_FIXED, .size = LONG_ROW});
    Tensor times = {.name = "ts", .role = ROLE_INPUT, .elem = ELEM_I64, .ndim = 1, .dims = {list}, .per_example = true};
    times.hi = -1;
    times.is_ascending = chance(r, 70);
    Tensor values = {
        .name = "h", .role = ROLE_INPUT, .elem = ELEM_REAL, .ndim = 2, .dims = {list, row}, .per_example = true};
    Axis *buckets = graph_axis(g, (Axis){.name = "K", .kind = AXIS_FIXED, .size = THRESHOLDS + 1});
    Tensor *ts = graph_tensor(g, times), *h = graph_tensor(g, values), *w = weights(r, 1, &buckets);
    int domain = pick(r, 3);
    for (int sum = 0; sum < 2; sum++) {
        Frame f = {0};
        Scalar *i = sc_letter(g, add_letter(r, &f, list)), *e = sum ? sc_letter(g, add_letter(r, &f, row)) : NULL;
        Scalar *j = sc_letter(g, add_letter(r, &f, list));
        if (domain > 0) {
            add_cond(&f, op2(r, OP_le, j, i));
        }
        if (domain > 1) {
            add_cond(&f, op2(r, OP_lt, op2(r, OP_sub, i, j), sc_int(g, 24)));
        }
        Scalar *passed = op2(r, OP_sub, sc_load(g, ts, 1, &i), sc_load(g, ts, 1, &j));
        Scalar *weight = sc_load(g, w, 1, (Scalar *[]){sc_step(g, THRESHOLDS, table, passed)});
        Scalar *other = sc_load(g, h, 2, (Scalar *[]){j, sum ? e : sc_int(g, 0)});
        Scalar *body = sum ? op2(r, OP_mul, weight, other) : op1(r, OP_sigmoid, op2(r, OP_add, weight, other));
        define(r, sum ? "weighed" : "weight", &f, 2, sum ? RED_SUM : RED_NONE, body, false);
    }
    r->seen[SEEN_TIMES]++;
}
