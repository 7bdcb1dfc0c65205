/* The cases. Meanings are the C library in long double, or the formula where there is none. Bounds in ulp: operations
 * that hardware rounds correctly are at 0.51, elementary functions at what codegen/math.c states for them. */
#include "cases.h"
#include <math.h>

#define MEANING(name, value)                                                                                           \
    static long double name(long double a, long double b, long double c)                                               \
    {                                                                                                                  \
        (void)a, (void)b, (void)c;                                                                                     \
        return value;                                                                                                  \
    }

MEANING(add, a + b)
MEANING(sub, a - b)
MEANING(mul, a *b)
MEANING(quotient, a / b)
MEANING(neg, -a)
MEANING(greater, a > b ? a : b)
MEANING(smaller, a < b ? a : b)
MEANING(absolute, fabsl(a))
MEANING(exponential, expl(a))
MEANING(logarithm, logl(a))
MEANING(root, sqrtl(a))
MEANING(inverse_root, 1 / sqrtl(a))
MEANING(power, powl(a, b))
MEANING(tangent, tanhl(a))
MEANING(logistic, 1 / (1 + expl(-a)))
MEANING(error_function, erfl(a))
MEANING(sine, sinl(a))
MEANING(cosine, cosl(a))
MEANING(down, floorl(a))
MEANING(toward_zero, truncl(a))
MEANING(nearest_even, rintl(a))
MEANING(idiv, floorl(a / b))
MEANING(mod, a - b * floorl(a / b))
MEANING(lt, a < b)
MEANING(le, a <= b)
MEANING(eq, a == b)
MEANING(ne, a != b)
MEANING(both, a != 0 && b != 0)
MEANING(either, a != 0 || b != 0)
MEANING(not, a == 0)
MEANING(choice, a != 0 ? b : c)
MEANING(same, a)
MEANING(single, (long double)(float)a)

/* Distances from kinks. */
MEANING(from_zero, fabsl(a))
MEANING(from_tie, fabsl(a - b))
MEANING(from_integer, fabsl(a - rintl(a)))
MEANING(from_half, fabsl(a - floorl(a) - 0.5L))

/* Rounding to float is a staircase of steps too small to see: the derivative is 1 by definition, not by differences. */
MEANING(everywhere, 0)

const Case cases[] = {
    {OP_add, "rr", 'r', {-9, -9}, {9, 9}, .meaning = add, 0.51, 0.51},
    {OP_add, "ii", 'i', {-4e12, -4e12}, {4e12, 4e12}, .meaning = add},
    {OP_sub, "rr", 'r', {-9, -9}, {9, 9}, .meaning = sub, 0.51, 0.51},
    {OP_sub, "ii", 'i', {-4e12, -4e12}, {4e12, 4e12}, .meaning = sub},
    {OP_mul, "rr", 'r', {-9, -9}, {9, 9}, .meaning = mul, 0.51, 0.51},
    {OP_mul, "ii", 'i', {-9e7, -9e7}, {9e7, 9e7}, .meaning = mul},
    {OP_div, "rr", 'r', {-9, 0.1}, {9, 9}, .meaning = quotient, 0.51, 0.51},
    {OP_div, "rr", 'r', {-9, -9}, {9, -0.1}, .meaning = quotient, 0.51, 0.51},
    {OP_neg, "r", 'r', {-9}, {9}, .meaning = neg},
    {OP_neg, "i", 'i', {-4e12}, {4e12}, .meaning = neg},
    {OP_max, "rr", 'r', {-2, -2}, {2, 2}, .meaning = greater, 0, 0, from_tie, 2, {{1, 1}, {-3, -3}}, {{0, 1}, {0, 1}}},
    {OP_max, "ii", 'i', {-5, -5}, {5, 5}, .meaning = greater},
    {OP_min, "rr", 'r', {-2, -2}, {2, 2}, .meaning = smaller, 0, 0, from_tie, 2, {{1, 1}, {-3, -3}}, {{0, 1}, {0, 1}}},
    {OP_min, "ii", 'i', {-5, -5}, {5, 5}, .meaning = smaller},
    {OP_abs, "r", 'r', {-3}, {3}, .meaning = absolute, 0, 0, from_zero, 1, {{0}}, {{0}}},
    {OP_abs, "i", 'i', {-4e12}, {4e12}, .meaning = absolute},
    {OP_exp, "r", 'r', {-20}, {5}, .meaning = exponential, 1, 1},
    {OP_log, "r", 'r', {0.05}, {30}, .meaning = logarithm, 1, 1},
    {OP_log, "r", 'r', {0.9}, {1.1}, .meaning = logarithm, 1, 1},
    {OP_sqrt, "r", 'r', {0.05}, {100}, .meaning = root, 0.51, 0.51},
    {OP_rsqrt, "r", 'r', {0.05}, {100}, .meaning = inverse_root, 1.6, 1.6},
    {OP_pow, "rr", 'r', {0.1, -3}, {5, 3}, .meaning = power, 200, 1},
    {OP_tanh, "r", 'r', {-6}, {6}, .meaning = tangent, 3, 3},
    {OP_tanh, "r", 'r', {-0.1}, {0.1}, .meaning = tangent, 3, 3},
    {OP_sigmoid, "r", 'r', {-20}, {20}, .meaning = logistic, 3, 3},
    {OP_erf, "r", 'r', {-4}, {4}, .meaning = error_function, 3, 1},
    {OP_sin, "r", 'r', {-30}, {30}, .meaning = sine, 2, 1},
    {OP_cos, "r", 'r', {-30}, {30}, .meaning = cosine, 2, 1},
    {OP_floor, "r", 'r', {-50}, {50}, .meaning = down, 0, 0, from_integer},
    {OP_trunc, "r", 'i', {-1e6}, {1e6}, .meaning = toward_zero, 0, 0, from_integer},
    {OP_round, "r", 'i', {-50}, {50}, .meaning = nearest_even, 0, 0, from_half},
    {OP_idiv, "ii", 'i', {-60, 1}, {60, 9}, .meaning = idiv},
    {OP_idiv, "ii", 'i', {-4e12, -9}, {4e12, -1}, .meaning = idiv},
    {OP_mod, "ii", 'i', {-60, 1}, {60, 9}, .meaning = mod},
    {OP_mod, "ii", 'i', {-4e12, -9}, {4e12, -1}, .meaning = mod},
    {OP_lt, "rr", 'b', {-2, -2}, {2, 2}, .meaning = lt, 0, 0, from_tie},
    {OP_lt, "ii", 'b', {-3, -3}, {3, 3}, .meaning = lt},
    {OP_le, "rr", 'b', {-2, -2}, {2, 2}, .meaning = le, 0, 0, from_tie},
    {OP_le, "ii", 'b', {-3, -3}, {3, 3}, .meaning = le},
    {OP_eq, "rr", 'b', {-2, -2}, {2, 2}, .meaning = eq, 0, 0, from_tie},
    {OP_eq, "ii", 'b', {-3, -3}, {3, 3}, .meaning = eq},
    {OP_ne, "rr", 'b', {-2, -2}, {2, 2}, .meaning = ne, 0, 0, from_tie},
    {OP_ne, "ii", 'b', {-3, -3}, {3, 3}, .meaning = ne},
    {OP_and, "bb", 'b', {0, 0}, {1, 1}, .meaning = both},
    {OP_or, "bb", 'b', {0, 0}, {1, 1}, .meaning = either},
    {OP_not, "b", 'b', {0}, {1}, .meaning = not },
    {OP_select, "brr", 'r', {0, -9, -9}, {1, 9, 9}, .meaning = choice},
    {OP_select, "bii", 'i', {0, -4e12, -4e12}, {1, 4e12, 4e12}, .meaning = choice},
    {OP_real, "i", 'r', {-4e12}, {4e12}, .meaning = same, 0, 0.51},
    {OP_real, "r", 'r', {-9}, {9}, .meaning = same},
    {OP_f32, "r", 'r', {-9}, {9}, .meaning = single, 0, 0, everywhere, 1, {{0.3}}, {{1}}},
    {OP_stop, "r", 'r', {-9}, {9}, .meaning = same, 0, 0, everywhere, 1, {{0.3}}, {{0}}},
};
const int ncases = (int)(sizeof cases / sizeof *cases);
