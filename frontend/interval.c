/* Bounds: which values an expression can take, and whether an index stays inside its axis.
 *
 * Two tools. Intervals over doubles, by structure: they see clamp, min, max, div, mod, the sizes of axes and the
 * declared ranges of data. Linear forms over integers: c0 + sum of c_k * atom_k >= 0 is proven by bounding the atoms,
 * after a letter of a ragged axis may have been replaced by the length - 1, and after one known inequality may have
 * been subtracted. That is enough for `len(S) - 1 - i`, `N - 1 + j - i` and `w[i - j]` where j <= i. */
#include "elab.h"

#include <math.h>

static const double BIG = 9.3e18; /* beyond every int64 */

static Interval any_value(const Scalar *s)
{
    switch (s->type) {
    case TYPE_BOOL:
        return (Interval){0, 1};
    case TYPE_INT:
        return (Interval){-BIG, BIG};
    default:
        return (Interval){-INFINITY, INFINITY};
    }
}

static Interval hull4(double a, double b, double c, double d)
{
    return (Interval){fmin(fmin(a, b), fmin(c, d)), fmax(fmax(a, b), fmax(c, d))};
}

static double times(double a, double b)
{
    return a == 0 || b == 0 ? 0 : a * b;
}

static Interval product(Interval a, Interval b)
{
    return hull4(times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi));
}

static Interval axis_positions(const Axis *a)
{
    int64_t n = axis_bound(a);
    return (Interval){0, n < 0 ? BIG : n > 0 ? (double)(n - 1) : 0};
}

static double axis_least(const Axis *a)
{
    switch (a->kind) {
    case AXIS_RAGGED:
        return (double)a->min;
    case AXIS_FIXED:
        return a->size < 0 ? 1 : (double)a->size;
    case AXIS_SUM: {
        double n = 0;
        for (int k = 0; k < a->nparts; k++) {
            n += axis_least(a->parts[k]);
        }
        return n;
    }
    case AXIS_BATCH:
        return 1;
    default:
        return 0;
    }
}

static Interval monotone(double (*f)(double), Interval a)
{
    return (Interval){f(a.lo), f(a.hi)};
}

Interval interval_of(Ctx *c, const Scalar *s)
{
    Interval a = {0, 0}, b = {0, 0};
    switch (s->op) {
    case OP_CONST: {
        double v = s->type == TYPE_REAL || s->type == TYPE_F32 ? s->num : (double)s->inum;
        return (Interval){v, v};
    }
    case OP_LETTER:
        return s->inum < c->nvars ? axis_positions(c->vars[s->inum].axis) : any_value(s);
    case OP_SIZE: {
        int64_t n = axis_bound(s->axis);
        return (Interval){axis_least(s->axis), n < 0 ? BIG : (double)n};
    }
    case OP_PART:
        return (Interval){0, s->axis->nparts - 1};
    case OP_LOCAL:
    case OP_INJECT:
        return axis_positions(s->axis);
    case OP_RAND:
        return (Interval){0, 1};
    case OP_SELF:
        return (Interval){0, BIG};
    case OP_LOAD:
        if (s->type == TYPE_INT && s->tensor->lo <= s->tensor->hi) {
            return (Interval){(double)s->tensor->lo, (double)s->tensor->hi};
        }
        return any_value(s);
    default:
        break;
    }
    if (s->nargs > 0) {
        a = interval_of(c, s->args[0]);
    }
    if (s->nargs > 1) {
        b = interval_of(c, s->args[1]);
    }
    Interval r = any_value(s);
    switch (s->op) {
    case OP_add:
        r = (Interval){a.lo + b.lo, a.hi + b.hi};
        break;
    case OP_sub:
        r = (Interval){a.lo - b.hi, a.hi - b.lo};
        break;
    case OP_mul:
        r = product(a, b);
        if (s->args[0] == s->args[1]) {
            r.lo = fmax(r.lo, 0);
        }
        break;
    case OP_div:
        if (b.lo > 0 || b.hi < 0) {
            r = hull4(a.lo / b.lo, a.lo / b.hi, a.hi / b.lo, a.hi / b.hi);
        }
        break;
    case OP_neg:
        r = (Interval){-a.hi, -a.lo};
        break;
    case OP_max:
        r = (Interval){fmax(a.lo, b.lo), fmax(a.hi, b.hi)};
        break;
    case OP_min:
        r = (Interval){fmin(a.lo, b.lo), fmin(a.hi, b.hi)};
        break;
    case OP_abs:
        r = (Interval){a.lo > 0 ? a.lo : a.hi < 0 ? -a.hi : 0, fmax(fabs(a.lo), fabs(a.hi))};
        break;
    case OP_exp:
        r = monotone(exp, a);
        break;
    case OP_log:
        r = (Interval){a.lo > 0 ? log(a.lo) : -INFINITY, a.hi > 0 ? log(a.hi) : -INFINITY};
        break;
    case OP_sqrt:
        r = (Interval){a.lo > 0 ? sqrt(a.lo) : 0, a.hi > 0 ? sqrt(a.hi) : 0};
        break;
    case OP_tanh:
        r = (Interval){-1, 1};
        break;
    case OP_sigmoid:
        r = (Interval){0, 1};
        break;
    case OP_erf:
    case OP_sin:
    case OP_cos:
        r = (Interval){-1, 1};
        break;
    case OP_floor:
        r = monotone(floor, a);
        break;
    case OP_trunc:
        r = monotone(trunc, a);
        break;
    case OP_round:
        r = monotone(nearbyint, a);
        break;
    case OP_idiv:
        if (b.lo > 0) {
            r = hull4(floor(a.lo / b.lo), floor(a.lo / b.hi), floor(a.hi / b.lo), floor(a.hi / b.hi));
        }
        break;
    case OP_mod:
        if (b.lo > 0) {
            r = (Interval){0, a.lo >= 0 ? fmin(a.hi, b.hi - 1) : b.hi - 1};
        }
        break;
    case OP_select: {
        Interval d = interval_of(c, s->args[2]);
        r = (Interval){fmin(b.lo, d.lo), fmax(b.hi, d.hi)};
        break;
    }
    case OP_real:
    case OP_f32:
    case OP_stop:
        r = a;
        break;
    case OP_STEP:
        r = (Interval){0, s->ntable};
        break;
    default:
        break;
    }
    if (isnan(r.lo) || isnan(r.hi)) {
        return any_value(s);
    }
    if (s->type == TYPE_INT) {
        r.lo = fmax(r.lo, -BIG);
        r.hi = fmin(r.hi, BIG);
    }
    return r;
}

bool uses_var(const Scalar *s, int var)
{
    return sc_uses_letter(s, var);
}

/* ---- linear forms ------------------------------------------------------------------------------------------- */

enum { MAX_TERMS = 12 };
typedef struct {
    bool ok;
    int64_t c;
    int n;
    const Scalar *atom[MAX_TERMS];
    int64_t k[MAX_TERMS];
} Lin;

static void lin_add(Lin *l, const Scalar *atom, int64_t k)
{
    for (int t = 0; t < l->n; t++) {
        if (l->atom[t] == atom) {
            l->k[t] += k;
            if (l->k[t] == 0) {
                l->n--;
                l->atom[t] = l->atom[l->n];
                l->k[t] = l->k[l->n];
            }
            return;
        }
    }
    if (l->n == MAX_TERMS) {
        l->ok = false;
        return;
    }
    l->atom[l->n] = atom;
    l->k[l->n++] = k;
}

static void lin_of(Lin *l, const Scalar *s, int64_t k)
{
    if (!l->ok || k == 0) {
        return;
    }
    if (k > (INT64_C(1) << 40) || k < -(INT64_C(1) << 40)) {
        l->ok = false;
        return;
    }
    switch (s->op) {
    case OP_CONST:
        if (s->inum > (INT64_C(1) << 40) || s->inum < -(INT64_C(1) << 40)) {
            l->ok = false;
            return;
        }
        if (__builtin_mul_overflow(k, s->inum, &k) || __builtin_add_overflow(l->c, k, &l->c)) {
            l->ok = false;
        }
        return;
    case OP_add:
        lin_of(l, s->args[0], k);
        lin_of(l, s->args[1], k);
        return;
    case OP_sub:
        lin_of(l, s->args[0], k);
        lin_of(l, s->args[1], -k);
        return;
    case OP_neg:
        lin_of(l, s->args[0], -k);
        return;
    case OP_mul:
        for (int a = 0; a < 2; a++) {
            const Scalar *f = s->args[a];
            if (f->op == OP_CONST && f->inum < (INT64_C(1) << 20) && f->inum > -(INT64_C(1) << 20) &&
                k < (INT64_C(1) << 20) && k > -(INT64_C(1) << 20)) {
                lin_of(l, s->args[1 - a], k * f->inum);
                return;
            }
        }
        lin_add(l, s, k);
        return;
    default:
        lin_add(l, s, k);
    }
}

static double lin_least(Ctx *c, const Lin *l)
{
    double least = (double)l->c;
    for (int t = 0; t < l->n; t++) {
        Interval a = interval_of(c, l->atom[t]);
        least += l->k[t] > 0 ? times((double)l->k[t], a.lo) : times((double)l->k[t], a.hi);
    }
    return least;
}

/* With the term k * atom replaced by k * by. */
static Lin lin_with(const Lin *l, const Scalar *atom, int64_t k, const Scalar *by)
{
    Lin r = *l;
    lin_add(&r, atom, -k);
    lin_of(&r, by, k);
    return r;
}

/* As it stands; or with letters that count downwards replaced by the last position of their ragged axis; or with a
 * min that counts downwards (a max upwards) replaced by one of its arguments, which is no less (no more). */
static bool lin_nonneg(Ctx *c, const Lin *l, int depth)
{
    if (!l->ok) {
        return false;
    }
    if (lin_least(c, l) >= 0) {
        return true;
    }
    Lin r = *l;
    bool changed = false;
    for (int t = 0; t < l->n; t++) {
        const Scalar *a = l->atom[t];
        if (a->op == OP_LETTER && l->k[t] < 0 && a->inum < c->nvars && axis_is_ragged(c->vars[a->inum].axis)) {
            const Scalar *size = axis_size(c, c->vars[a->inum].axis, c->vars[a->inum].parent);
            if (size == NULL) {
                continue;
            }
            int64_t k = l->k[t];
            lin_add(&r, a, -k);
            lin_add(&r, size, k);
            r.c -= k;
            changed = true;
        }
    }
    if (changed && r.ok && lin_least(c, &r) >= 0) {
        return true;
    }
    for (int t = 0; t < l->n && depth > 0; t++) {
        const Scalar *a = l->atom[t];
        for (int m = 0; m < 2 && ((a->op == OP_min && l->k[t] < 0) || (a->op == OP_max && l->k[t] > 0)); m++) {
            Lin with = lin_with(l, a, l->k[t], a->args[m]);
            if (lin_nonneg(c, &with, depth - 1)) {
                return true;
            }
        }
    }
    return false;
}

/* fact as a linear form that is >= 0; up to two. */
static int lin_facts(const Scalar *s, Lin *out)
{
    if (s->nargs != 2 || s->args[0]->type != TYPE_INT || s->args[1]->type != TYPE_INT ||
        (s->op != OP_le && s->op != OP_lt && s->op != OP_eq)) {
        return 0;
    }
    int n = 0;
    for (int way = 0; way < (s->op == OP_eq ? 2 : 1); way++) {
        Lin l = {.ok = true, .c = s->op == OP_lt ? -1 : 0};
        lin_of(&l, s->args[1 - way], 1);
        lin_of(&l, s->args[way], -1);
        if (l.ok) {
            out[n++] = l;
        }
    }
    return n;
}

/* q - fact >= 0 for some known fact >= 0, or that minus another one. */
static bool with_facts(Ctx *c, const Lin *q, const Conds *known, int depth)
{
    int nknown = known != NULL ? known->n : 0;
    for (int k = 0; k < c->facts.n + nknown; k++) {
        Lin f[2];
        int n = lin_facts(k < c->facts.n ? c->facts.v[k] : known->v[k - c->facts.n], f);
        for (int m = 0; m < n; m++) {
            Lin r = *q;
            r.c -= f[m].c;
            bool shares = false;
            for (int t = 0; t < f[m].n; t++) {
                for (int u = 0; u < q->n; u++) {
                    shares = shares || q->atom[u] == f[m].atom[t];
                }
                lin_add(&r, f[m].atom[t], -f[m].k[t]);
            }
            if (shares && r.ok && (lin_nonneg(c, &r, 3) || (depth > 0 && with_facts(c, &r, known, depth - 1)))) {
                return true;
            }
        }
    }
    return false;
}

bool proves_nonneg(Ctx *c, Scalar *a, const Conds *known)
{
    if (interval_of(c, a).lo >= 0) {
        return true;
    }
    Lin q = {.ok = true};
    lin_of(&q, a, 1);
    return q.ok && (lin_nonneg(c, &q, 3) || with_facts(c, &q, known, 1));
}

Scalar *axis_size(Ctx *c, const Axis *axis, int parent_var)
{
    Graph *g = c->E->g;
    Scalar *args[MAX_DIMS];
    int n = axis_nparents(axis);
    int v = parent_var;
    for (int k = n; k-- > 0;) {
        if (v < 0) {
            return NULL;
        }
        args[k] = sc_letter(g, v);
        v = c->vars[v].parent;
    }
    return sc_size(g, g->axes[axis->id], n, args);
}

bool index_in_range(Ctx *c, Scalar *index, const Axis *axis, const Conds *known, bool *low_ok, bool *high_ok)
{
    Graph *g = c->E->g;
    *low_ok = proves_nonneg(c, index, known);
    *high_ok = false;
    Scalar *size = axis_nparents(axis) == 0 ? sc_size(g, g->axes[axis->id], 0, NULL) : NULL;
    if (size != NULL) {
        Scalar *room = sc_op(g, OP_sub, sc_op(g, OP_sub, size, sc_int(g, 1)), index);
        *high_ok = proves_nonneg(c, room, known);
    }
    return *low_ok && *high_ok;
}
