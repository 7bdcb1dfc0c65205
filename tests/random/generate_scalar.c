/* Chance and expressions: integers that stay below a size, conditions, numbers that stay moderate, loads with the
 * conditions under which they exist. */
#include "../../ir/random.h"
#include "generate_impl.h"

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

int pick(Gen *r, int n)
{
    return (int)(next(r) % (uint64_t)n);
}

bool chance(Gen *r, int percent)
{
    return pick(r, 100) < percent;
}

const char *fresh(Gen *r, const char *stem)
{
    return arena_printf(r->g->arena, "%s%d", stem, r->names++);
}

Scalar *op1(Gen *r, Op op, Scalar *a)
{
    return sc_op(r->g, op, a);
}

Scalar *op2(Gen *r, Op op, Scalar *a, Scalar *b)
{
    return sc_op(r->g, op, a, b);
}

void add_cond(Frame *f, Scalar *c)
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

int add_letter(Gen *r, Frame *f, Axis *a)
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

int find_letter(Gen *r, const Frame *f, const Axis *a)
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
Scalar *size_of(Gen *r, Axis *a)
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
Scalar *bounded_int(Gen *r, Frame *f, int64_t size)
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

/* Which member a letter is, and what that decides; NULL: none has members. */
static Scalar *member_expr(Gen *r, Frame *f)
{
    int k = pick(r, f->n);
    const Axis *a = f->letters[k].axis;
    if (a->kind != AXIS_FIXED || a->size < 2 || a->size > 16) {
        return NULL;
    }
    Scalar *is = op2(r, chance(r, 70) ? OP_eq : OP_ne, sc_letter(r->g, k), sc_int(r->g, pick(r, (int)a->size)));
    r->seen[SEEN_MEMBER]++;
    return op2(r, chance(r, 70) ? OP_or : OP_and, is, bool_expr(r, f, 0));
}

Scalar *bool_expr(Gen *r, Frame *f, int depth)
{
    Scalar *member = depth > 0 && f->n > 1 && chance(r, 20) ? member_expr(r, f) : NULL;
    if (member) {
        return member;
    }
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

Scalar *real_leaf(Gen *r, Frame *f)
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
Scalar *real_expr(Gen *r, Frame *f, int depth)
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
