/* Intervals: bounds of an expression from the bounds of its operands, in double arithmetic. Rounding is monotone, so
 * the bounds of a rounded operation are the rounded bounds. */
#include "prover.h"

static Interval hull(Interval a, Interval b)
{
    return (Interval){fmin(a.lo, b.lo), fmax(a.hi, b.hi)};
}

static double times(double a, double b)
{
    return a == 0 || b == 0 ? 0 : a * b;
}

Interval interval_product(Interval a, Interval b)
{
    double p[4] = {times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi)};
    return (Interval){fmin(fmin(p[0], p[1]), fmin(p[2], p[3])), fmax(fmax(p[0], p[1]), fmax(p[2], p[3]))};
}

static Interval map_monotone(Interval a, double (*f)(double), double lowest)
{
    return (Interval){isinf(a.lo) && a.lo < 0 ? lowest : f(a.lo), f(a.hi)};
}

static double log_or_low(double x)
{
    return x > 0 ? log(x) : -INFINITY;
}

static double sqrt_or_zero(double x)
{
    return x > 0 ? sqrt(x) : 0;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double to_float(double x)
{
    return (double)(float)x;
}

static Interval interval_of_load(const Tensor *t)
{
    if (t->elem == ELEM_BOOL) {
        return (Interval){0, 1};
    }
    if ((t->elem == ELEM_I32 || t->elem == ELEM_I64) && t->lo <= t->hi) {
        return (Interval){t->lo == INT64_MIN ? -INFINITY : (double)t->lo,
                          t->hi == INT64_MAX ? INFINITY : (double)t->hi};
    }
    if (t->elem == ELEM_I32) {
        return (Interval){INT32_MIN, INT32_MAX};
    }
    return anything;
}

static Interval interval_of_size(const Scalar *s)
{
    const Axis *a = s->axis;
    double lo = 0, bound = (double)axis_bound(a);
    if (a->kind == AXIS_RAGGED) {
        lo = (double)a->min;
    } else if (a->kind == AXIS_TABLE) {
        lo = bound;
        for (int64_t i = 0; i < a->parent->size; i++) {
            lo = fmin(lo, (double)a->sizes[i]);
        }
    } else if (a->kind == AXIS_FIXED) {
        lo = bound < 0 ? 1 : bound;
    } else if (a->kind == AXIS_BATCH) {
        lo = 1;
    }
    return (Interval){lo, bound < 0 ? INFINITY : bound};
}

static Interval interval_of_function(Prover *f, const Scalar *s)
{
    Interval a = prover_bounds(f, s->args[0]);
    Interval b = s->nargs > 1 && s->op != OP_select ? prover_bounds(f, s->args[1]) : a;
    switch (s->op) {
    case OP_add:
        return (Interval){a.lo + b.lo, a.hi + b.hi};
    case OP_sub:
        return (Interval){a.lo - b.hi, a.hi - b.lo};
    case OP_mul:
        if (s->args[0] == s->args[1]) { /* a square */
            double x = fmax(fabs(a.lo), fabs(a.hi)), y = a.lo <= 0 && a.hi >= 0 ? 0 : fmin(fabs(a.lo), fabs(a.hi));
            return (Interval){times(y, y), times(x, x)};
        }
        return interval_product(a, b);
    case OP_div:
        return b.lo > 0 || b.hi < 0 ? interval_product(a, (Interval){1 / b.hi, 1 / b.lo}) : anything;
    case OP_neg:
        return (Interval){-a.hi, -a.lo};
    case OP_max:
        return (Interval){fmax(a.lo, b.lo), fmax(a.hi, b.hi)};
    case OP_min:
        return (Interval){fmin(a.lo, b.lo), fmin(a.hi, b.hi)};
    case OP_abs:
        if (a.lo >= 0) {
            return a;
        }
        return (Interval){a.hi < 0 ? -a.hi : 0, fmax(-a.lo, a.hi)};
    case OP_exp:
        return map_monotone(a, exp, 0);
    case OP_log:
        return map_monotone(a, log_or_low, -INFINITY);
    case OP_sqrt:
        return map_monotone(a, sqrt_or_zero, 0);
    case OP_tanh:
        return map_monotone(a, tanh, -1);
    case OP_erf:
        return map_monotone(a, erf, -1);
    case OP_sigmoid:
        return map_monotone(a, sigmoid, 0);
    case OP_sin:
    case OP_cos:
        return (Interval){-1, 1};
    case OP_floor:
        return map_monotone(a, floor, -INFINITY);
    case OP_trunc:
        return map_monotone(a, trunc, -INFINITY);
    case OP_round:
        return map_monotone(a, nearbyint, -INFINITY);
    case OP_idiv:
        if (b.lo > 0) {
            double q[4] = {floor(a.lo / b.lo), floor(a.lo / b.hi), floor(a.hi / b.lo), floor(a.hi / b.hi)};
            for (int i = 0; i < 4; i++) {
                if (isnan(q[i])) {
                    return anything;
                }
            }
            return (Interval){fmin(q[0], q[1]), fmax(q[2], q[3])};
        }
        return anything;
    case OP_mod:
        return b.lo > 0 ? (Interval){0, a.lo >= 0 ? fmin(a.hi, b.hi - 1) : b.hi - 1} : anything;
    case OP_select: {
        if (s->type == TYPE_BOOL) {
            return (Interval){0, 1};
        }
        ProverMark mark = prover_mark(f);
        prover_assume(f, s->args[0], true);
        Interval x = prover_bounds(f, s->args[1]);
        prover_release(f, mark);
        prover_assume(f, s->args[0], false);
        Interval y = prover_bounds(f, s->args[2]);
        prover_release(f, mark);
        return hull(x, y);
    }
    case OP_real:
    case OP_stop:
        return a;
    case OP_f32:
        return map_monotone(a, to_float, -INFINITY);
    default:
        return s->type == TYPE_BOOL ? (Interval){0, 1} : anything;
    }
}

Interval prover_bounds(Prover *f, const Scalar *s)
{
    switch (s->op) {
    case OP_CONST: {
        double v = s->type == TYPE_INT || s->type == TYPE_BOOL ? (double)s->inum : s->num;
        return isnan(v) ? anything : (Interval){v, v};
    }
    case OP_LETTER: {
        if (!f->letters) {
            return (Interval){0, INFINITY};
        }
        int64_t n = axis_bound(f->letters[s->inum].axis);
        return (Interval){0, n < 0 ? INFINITY : (double)(n > 0 ? n - 1 : 0)};
    }
    case OP_LOAD:
        return interval_of_load(s->tensor);
    case OP_SIZE:
        return interval_of_size(s);
    case OP_PART:
        return (Interval){0, s->axis->nparts - 1};
    case OP_LOCAL: {
        int part = prover_known_part(f, s);
        int64_t n = 0;
        for (int p = 0; p < s->axis->nparts && n >= 0; p++) {
            int64_t size = axis_bound(s->axis->parts[p]);
            if (part < 0 || p == part) {
                n = size < 0 ? -1 : size > n ? size : n;
            }
        }
        return (Interval){0, n < 0 ? INFINITY : (double)(n > 0 ? n - 1 : 0)};
    }
    case OP_RAND:
        return (Interval){0, 1 - 0x1p-24};
    case OP_EXTERN:
        return anything;
    case OP_STEP:
        return (Interval){0, s->ntable};
    case OP_SELF:
    case OP_INJECT: {
        int64_t n = s->op == OP_INJECT ? axis_bound(s->axis) : -1;
        return (Interval){0, n < 0 ? INFINITY : (double)(n > 0 ? n - 1 : 0)};
    }
    default:
        break;
    }
    Interval i = interval_of_function(f, s);
    return isnan(i.lo) || isnan(i.hi) ? anything : i;
}
