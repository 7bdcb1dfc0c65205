/* Elementary functions as straight-line IR over float, double or vectors of them: polynomials and selects, no calls
 * and no branches, so that the loop vectoriser takes them as they stand; but with AVX-512, exp, tanh, sigmoid and pow
 * of f32 are calls that it widens (wide.h). Coefficients: interpolation at Chebyshev nodes in 60 digits, rounded. f32
 * sin, cos and, without AVX-512, pow go through f64.
 *
 * Largest errors, in units in the last place of the result, measured by tests/codegen/math_test.c over all
 * exponents (results below the smallest normal number are flushed):
 *
 *             f32  f64             f32  f64              f32  f64
 *   exp       1    1       tanh    3    3       erf      1    3
 *   log       1    1       sigmoid 3    3       pow      1    200
 *   sin, cos  1    2  (|x| <= 1e6)
 *
 * NaN goes through every one. Arguments are tested with ordered comparisons that leave a NaN in the "other" arm;
 * float to integer conversion of a NaN would be poison, so integers come from adding 1.5 * 2^p ("magic"). */
#include "num.h"
#include <math.h>

LLVMValueRef math_fma(Emit *x, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d)
{
    LLVMTypeRef t = LLVMTypeOf(a);
    return emit_intrinsic(x, "llvm.fmuladd", 1, &t, 3, (LLVMValueRef[]){a, b, d});
}

/* ---- exp ---- */

/* v = k ln 2 + r, |r| <= ln 2 / 2: k, as a number and as an integer, and expm1(r) = r + r^2 P(r). */
typedef struct {
    LLVMValueRef k, whole, expm1;
} Reduced;

static Reduced reduce(const Num *n, LLVMValueRef v, bool exact)
{
    static const double p32[] = {0.50000000142862234,   0.16666666682534356,   0.041666456809677876,
                                 0.0083333100242252924, 0.0013934541928270264, 0.0001989198131397769};
    static const double p64[] = {0.5,
                                 0.16666666666666667,
                                 0.041666666666666678,
                                 0.0083333333333333341,
                                 0.0013888888888878269,
                                 0.00019841269841262763,
                                 2.4801587338565346e-5,
                                 2.7557319248633826e-6,
                                 2.7557261029343769e-7,
                                 2.5052069594795685e-8,
                                 2.0918961837795778e-9,
                                 1.6087177234380782e-10};
    LLVMValueRef magic = c(n, n->is_double ? 0x1.8p52 : 0x1.8p23);
    LLVMValueRef t = fma3(n, v, c(n, 1.4426950408889634), magic), k = sub(n, t, magic);
    LLVMValueRef whole = LLVMBuildSub(n->x->b, bits(n, t), ci(n, n->is_double ? 0x4338000000000000 : 0x4b400000), "");
    if (n->is_double) { /* ln 2 in two parts, the first short enough that k times it is exact */
        LLVMValueRef r = fma3(n, k, c(n, -6.93147180369123816490e-01), v);
        r = fma3(n, k, c(n, -1.90821492927058770002e-10), r);
        return (Reduced){k, whole, fma3(n, mul(n, r, r), polynomial(n, 12, p64, r), r)};
    }
    /* What limits these loops is how many steps wait for one another. So P is summed by pairs, and what ln 2 has beyond
     * a float comes in last, unless the result is to be exact: for large v that costs a unit in the last place. */
    bool fma = n->x->target->fma; /* else the first part has to be short, and the second is no trifle */
    LLVMValueRef near = fma3(n, k, c(n, fma ? -0.693147182464599609375 : -0.693359375), v);
    LLVMValueRef beyond = fma3(n, k, c(n, fma ? 1.904654299957768e-9 : 2.12194440054690583e-4), near);
    LLVMValueRef r = exact || !fma ? beyond : near, r2 = mul(n, r, r), pair[3];
    for (int i = 0; i < 3; i++) {
        pair[i] = fma3(n, r, c(n, p32[2 * i + 1]), c(n, p32[2 * i]));
    }
    LLVMValueRef p = fma3(n, fma3(n, pair[2], r2, pair[1]), r2, pair[0]);
    return (Reduced){k, whole, fma3(n, r2, p, beyond)};
}

/* 2^k for a k that is an exponent of a normal number. */
static LLVMValueRef power_of_two(const Num *n, LLVMValueRef k)
{
    LLVMValueRef biased = LLVMBuildAdd(n->x->b, k, ci(n, n->is_double ? 1023 : 127), "");
    return number(n, LLVMBuildShl(n->x->b, biased, ci(n, n->is_double ? 52 : 23), ""));
}

/* The function that body makes, at v. */
static LLVMValueRef made(Emit *x, const char *name, WideBody *body, LLVMValueRef v)
{
    return wide_can(x, v) ? wide_value(x, name, body, 1, &v) : body(x, &v);
}

static LLVMValueRef exp_body(Emit *x, const LLVMValueRef *args)
{
    LLVMValueRef v = args[0];
    Num n = num(x, v);
    LLVMValueRef high = c(&n, n.is_double ? 720 : 90), low = c(&n, n.is_double ? -750 : -105);
    v = if_less(&n, high, v, high, v);
    v = if_less(&n, v, low, low, v);
    Reduced r = reduce(&n, v, true);
    LLVMValueRef e = add(&n, r.expm1, c(&n, 1));
    if (n.wide) {
        return wide_scale(x, e, r.k);
    }
    /* two factors, so that results near both ends of the range come out right */
    LLVMValueRef half = LLVMBuildAShr(x->b, r.whole, ci(&n, 1), "");
    e = mul(&n, e, power_of_two(&n, half));
    return mul(&n, e, power_of_two(&n, LLVMBuildSub(x->b, r.whole, half, "")));
}

LLVMValueRef math_exp(Emit *x, LLVMValueRef v)
{
    return made(x, "exp", exp_body, v);
}

static LLVMValueRef two_to_k(const Num *n, const Reduced *r)
{
    return n->wide ? wide_scale(n->x, c(n, 1), r->k) : power_of_two(n, r->whole);
}

/* 1 / d for 1 <= d < 2^128 in f32, in less time than a division: from the instruction's guess, or from one of the bits
 * that is off by 0.051 at most; then each step cubes that, times 2^32 on the way, so that nothing is below the smallest
 * normal number. */
static LLVMValueRef reciprocal(const Num *n, LLVMValueRef d)
{
    if (n->wide) {
        LLVMValueRef y = wide_reciprocal(n->x, d), e = fma3(n, LLVMBuildFNeg(n->x->b, d, ""), y, c(n, 1));
        return fma3(n, y, e, y);
    }
    LLVMValueRef y = number(n, LLVMBuildSub(n->x->b, ci(n, 0x8ef311c7), bits(n, d), "")),
                 less = mul(n, d, c(n, -0x1p-32));
    for (int i = 0; i < 2; i++) {
        LLVMValueRef e = fma3(n, less, y, c(n, 1));
        y = fma3(n, y, fma3(n, e, e, e), y);
    }
    return mul(n, y, c(n, 0x1p-32));
}

/* 1 / (1 + exp(-v)). f64: exp may be inf, which gives 0. f32: cut off where exp(-v) is lost beside 1, and where the
 * result is below the smallest normal number; v is tested beside the way from it to the result, which is long as it is.
 */
static LLVMValueRef sigmoid_body(Emit *x, const LLVMValueRef *args)
{
    LLVMValueRef v = args[0];
    static const double large = 88.3;
    Num n = num(x, v);
    LLVMValueRef one = c(&n, 1), u = LLVMBuildFNeg(x->b, v, "");
    if (n.is_double) {
        return quotient(&n, one, add(&n, math_exp(x, u), one));
    }
    Reduced r = reduce(&n, u, false);
    LLVMValueRef scale = two_to_k(&n, &r);
    LLVMValueRef y = reciprocal(&n, fma3(&n, r.expm1, scale, add(&n, scale, one)));
    return if_less(&n, v, c(&n, -large), c(&n, 0), if_less(&n, c(&n, large), v, one, y));
}

LLVMValueRef math_sigmoid(Emit *x, LLVMValueRef v)
{
    return made(x, "sigmoid", sigmoid_body, v);
}

/* With m = expm1(2|v|): m / (m + 2). No cancellation near 0, no overflow: beyond the clamp the result is 1. */
static LLVMValueRef tanh_body(Emit *x, const LLVMValueRef *args)
{
    LLVMValueRef v = args[0];
    Num n = num(x, v);
    LLVMValueRef a = unary(&n, "llvm.fabs", v), limit = c(&n, n.is_double ? 20 : 10);
    a = if_less(&n, limit, a, limit, a);
    Reduced r = reduce(&n, add(&n, a, a), false);
    LLVMValueRef scale = two_to_k(&n, &r), m = fma3(&n, r.expm1, scale, sub(&n, scale, c(&n, 1)));
    LLVMValueRef d = add(&n, m, c(&n, 2));
    return copysign3(&n, n.wide ? mul(&n, m, reciprocal(&n, d)) : quotient(&n, m, d), v);
}

LLVMValueRef math_tanh(Emit *x, LLVMValueRef v)
{
    return made(x, "tanh", tanh_body, v);
}

/* ---- log ---- */

/* v = 2^k (1 + f) with 1 + f in [2/3, 4/3) or [sqrt 1/2, sqrt 2). Gives f and k as a number. */
static LLVMValueRef split_exponent(const Num *n, LLVMValueRef v, LLVMValueRef *k)
{
    int64_t base = n->is_double ? 0x3fe6a09e667f3bcd : 0x3f2aaaab, mask = n->is_double ? 0xfffffffffffff : 0x7fffff;
    LLVMBuilderRef b = n->x->b;
    LLVMValueRef i = LLVMBuildSub(b, bits(n, v), ci(n, base), "");
    LLVMValueRef e = LLVMBuildAShr(b, i, ci(n, n->is_double ? 52 : 23), "");
    LLVMValueRef m = LLVMBuildAdd(b, LLVMBuildAnd(b, i, ci(n, mask), ""), ci(n, base), "");
    *k = LLVMBuildSIToFP(b, e, n->type, "");
    return sub(n, number(n, m), c(n, 1));
}

LLVMValueRef math_log(Emit *x, LLVMValueRef v)
{
    static const double p32[] = {0.33333333660263706, -0.25000000304312746, 0.19999853165964859, -0.16666529993282073,
                                 0.14296178997151419, -0.12509739663345786, 0.10853287900440186, -0.097600898359971352,
                                 0.11612164612011674, -0.10678317289038481};
    static const double q64[] = {0.66666666666666666, 0.40000000000000877, 0.28571428570803612, 0.22222222391713917,
                                 0.18181795640132906, 0.15386239702814658, 0.13268773138656885, 0.13086626147840102};
    Num n = num(x, v);
    LLVMValueRef k, y, f = split_exponent(&n, v, &k);
    if (n.is_double) {
        /* s = f / (2 + f): log(1 + f) = f - (h - s (h + s^2 Q(s^2))), h = f^2 / 2 */
        LLVMValueRef s = quotient(&n, f, add(&n, f, c(&n, 2)));
        LLVMValueRef z = mul(&n, s, s), h = mul(&n, mul(&n, f, f), c(&n, 0.5));
        LLVMValueRef r = mul(&n, s, add(&n, h, mul(&n, z, polynomial(&n, 8, q64, z))));
        r = fma3(&n, k, c(&n, 1.90821492927058770002e-10), r);
        y = sub(&n, f, sub(&n, h, r));
        y = fma3(&n, k, c(&n, 6.93147180369123816490e-01), y);
    } else {
        LLVMValueRef f2 = mul(&n, f, f);
        LLVMValueRef r = mul(&n, mul(&n, f2, f), polynomial(&n, 10, p32, f));
        r = fma3(&n, k, c(&n, -2.12194440054690583e-4), r);
        r = fma3(&n, f2, c(&n, -0.5), r);
        y = fma3(&n, k, c(&n, 0.693359375), add(&n, f, r));
    }
    /* inf and NaN stay, zero (and what is flushed to it) is -inf, negative is NaN */
    LLVMValueRef smallest = c(&n, n.is_double ? 0x1p-1022 : 0x1p-126);
    LLVMValueRef tiny = if_less(&n, v, c(&n, n.is_double ? -0x1p-1023 : -0x1p-127), c(&n, NAN), c(&n, -INFINITY));
    y = if_less(&n, v, smallest, tiny, y);
    return if_less(&n, v, c(&n, INFINITY), y, v);
}

/* ---- erf ---- */

static LLVMValueRef widen(Emit *x, LLVMValueRef v)
{
    return LLVMBuildFPExt(x->b, v, like(LLVMTypeOf(v), x->f64), "");
}

static LLVMValueRef narrow(Emit *x, LLVMValueRef v)
{
    return LLVMBuildFPTrunc(x->b, v, like(LLVMTypeOf(v), x->f32), "");
}

/* |v| < 1: v + v P(v^2). Else 1 - exp(L(|v|)), where L is the logarithm of the complement on 1 to 4; 1 beyond. */
static LLVMValueRef erf_f32(const Num *n, LLVMValueRef v)
{
    static const double p[] = {0.1283791658483509,    -0.37612626666720331, 0.11283594715160218,
                               -0.026854212010626412, 0.005189087423433974, -0.00080168642871658695,
                               7.8758750626854883e-5};
    static const double l[] = {0.00032013804967769884, -1.130233434841994,     -0.63182605155916301,
                               -0.11008008294882025,   0.026421136005663897,   -0.0047595962932662646,
                               0.00059680562566077971, -4.6058042689189779e-5, 1.6371514145936436e-6};
    LLVMValueRef a = unary(n, "llvm.fabs", v), four = c(n, 4);
    a = if_less(n, four, a, four, a);
    LLVMValueRef near = fma3(n, a, polynomial(n, 7, p, mul(n, a, a)), a);
    LLVMValueRef far = sub(n, c(n, 1), math_exp(n->x, polynomial(n, 9, l, a)));
    return copysign3(n, if_less(n, a, c(n, 1), near, far), v);
}

/* |v| < 1: v P(v^2). Else 1 - exp(-v^2) R(u), where R is the scaled complement exp(v^2) erfc(v) over 1 / (v + 3). */
LLVMValueRef math_erf(Emit *x, LLVMValueRef v)
{
    static const double p[] = {1.1283791670955126,     -0.37612638903183748,   0.11283791670954879,
                               -0.026866170645076793,  0.0052239776248180145,  -0.00085483269808337899,
                               0.00012055331111642711, -1.4925595266831182e-5, 1.6461000484121368e-6,
                               -1.6350312701054695e-7, 1.4659775274047436e-8,  -1.1372848856791674e-9,
                               5.9571761477489114e-11};
    static const double r[] = {0.20938359861939767,     0.15666776170602635,     0.050954069550735077,
                               0.013153696549860345,    0.0025858149476702898,   0.00034798010308247848,
                               2.0486183048562083e-5,   -2.6260575338337632e-6,  -5.9507714011674953e-7,
                               6.0224262782293094e-9,   1.243597307238541e-8,    2.6028850488941494e-10,
                               -2.882717538994398e-10,  -5.8275272674657229e-12, 7.6085523469635867e-12,
                               -3.1623653042148103e-14, -1.9202741844207831e-13};
    Num n = num(x, v);
    if (!n.is_double) {
        return erf_f32(&n, v);
    }
    LLVMValueRef a = unary(&n, "llvm.fabs", v), six = c(&n, 6);
    a = if_less(&n, six, a, six, a);
    LLVMValueRef z = mul(&n, a, a);
    LLVMValueRef near = mul(&n, a, polynomial(&n, 13, p, z));
    LLVMValueRef t = quotient(&n, c(&n, 1), add(&n, a, c(&n, 3)));
    LLVMValueRef u = mul(&n, sub(&n, t, c(&n, 0.18118369625907314)), c(&n, 14.270916334661355));
    LLVMValueRef e = math_exp(x, LLVMBuildFNeg(x->b, z, ""));
    LLVMValueRef far = sub(&n, c(&n, 1), mul(&n, e, polynomial(&n, 17, r, u)));
    return copysign3(&n, if_less(&n, a, c(&n, 1), near, far), v);
}

/* ---- sin, cos ---- */

/* v = k pi/2 + r; pi/2 in three parts of 33 bits. quarter: 0 for sin, 1 for cos. */
static LLVMValueRef sine(Emit *x, LLVMValueRef v, int quarter)
{
    static const double s[] = {-0.16666666666666667,   0.0083333333333333313,  -0.00019841269841264566,
                               2.7557319218954762e-6,  -2.5052106100255989e-8, 1.6058510875319195e-10,
                               -7.5854864852359381e-13};
    static const double cs[] = {0.041666666666666667,   -0.0013888888888888888, 2.4801587301584369e-5,
                                -2.7557319221189104e-7, 2.0876755717584404e-9,  -1.1470449354466773e-11,
                                4.7451988072028758e-14};
    Num n = num(x, v);
    if (!n.is_double) {
        return narrow(x, sine(x, widen(x, v), quarter));
    }
    LLVMValueRef magic = c(&n, 0x1.8p52);
    LLVMValueRef t = fma3(&n, v, c(&n, 0.63661977236758134), magic);
    LLVMValueRef kf = sub(&n, t, magic), k = LLVMBuildAdd(x->b, bits(&n, t), ci(&n, quarter), "");
    LLVMValueRef r = fma3(&n, kf, c(&n, -1.57079632673412561417e+00), v);
    r = fma3(&n, kf, c(&n, -6.07710050630396597660e-11), r);
    r = fma3(&n, kf, c(&n, -2.02226624879595063154e-21), r);
    LLVMValueRef z = mul(&n, r, r);
    LLVMValueRef sin_r = fma3(&n, mul(&n, z, r), polynomial(&n, 7, s, z), r);
    LLVMValueRef cos_r = fma3(&n, z, c(&n, -0.5), mul(&n, mul(&n, z, z), polynomial(&n, 7, cs, z)));
    cos_r = add(&n, cos_r, c(&n, 1));
    LLVMValueRef odd = LLVMBuildAnd(x->b, k, ci(&n, 1), "");
    LLVMValueRef y = LLVMBuildSelect(x->b, LLVMBuildICmp(x->b, LLVMIntNE, odd, ci(&n, 0), ""), cos_r, sin_r, "");
    LLVMValueRef sign = LLVMBuildShl(x->b, LLVMBuildAnd(x->b, k, ci(&n, 2), ""), ci(&n, 62), "");
    return number(&n, LLVMBuildXor(x->b, bits(&n, y), sign, ""));
}

LLVMValueRef math_sin(Emit *x, LLVMValueRef v)
{
    return sine(x, v, 0);
}

LLVMValueRef math_cos(Emit *x, LLVMValueRef v)
{
    return sine(x, v, 1);
}

/* ---- pow ---- */

/* a^b of floats, a not negative, as f64: 35 bits of the logarithm and of the power, as b log a may be large, instead of
 * all that f64 has, and no division. log(1 + f) = s (2 + s^2 P(s^2)) with s = f / (2 + f). */
static LLVMValueRef power_of_floats(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    static const double p[] = {2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11, 2. / 13};
    static const double q[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320};
    a = widen(x, a);
    b = widen(x, b);
    Num n = num(x, a);
    LLVMValueRef k, f = split_exponent(&n, a, &k), d = add(&n, f, c(&n, 2)), rough = narrow(x, d);
    Num short_n = num(x, rough);
    LLVMValueRef y = widen(x, reciprocal(&short_n, rough));
    y = fma3(&n, y, fma3(&n, LLVMBuildFNeg(x->b, d, ""), y, c(&n, 1)), y);
    LLVMValueRef s = mul(&n, f, y), z = mul(&n, s, s);
    LLVMValueRef log_m = mul(&n, s, fma3(&n, z, polynomial(&n, 6, p, z), c(&n, 2)));
    LLVMValueRef log_a = fma3(&n, log_m, c(&n, 1.4426950408889634), k);
    log_a = if_less(&n, a, c(&n, 0x1p-1022), c(&n, -INFINITY), log_a);
    log_a = if_less(&n, a, c(&n, INFINITY), log_a, a);
    LLVMValueRef t = mul(&n, b, log_a), high = c(&n, 200), low = c(&n, -200), magic = c(&n, 0x1.8p52);
    t = if_less(&n, high, t, high, t);
    t = if_less(&n, t, low, low, t);
    LLVMValueRef shifted = add(&n, t, magic), rest = sub(&n, t, sub(&n, shifted, magic));
    LLVMValueRef whole = LLVMBuildSub(x->b, bits(&n, shifted), ci(&n, 0x4338000000000000), "");
    LLVMValueRef e = polynomial(&n, 9, q, mul(&n, rest, c(&n, 0.69314718055994531)));
    return mul(&n, e, power_of_two(&n, whole));
}

/* exp(b log |a|), then the cases: b = 0 or a = 1 gives 1; a negative base needs an integer exponent, odd ones keep
 * the sign. */
LLVMValueRef math_pow(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    if (wide_can(x, a)) {
        return wide_pow(x, a, b);
    }
    Num n = num(x, a);
    LLVMValueRef one = c(&n, 1), zero = c(&n, 0), magnitude = unary(&n, "llvm.fabs", a);
    LLVMValueRef y =
        n.is_double ? math_exp(x, mul(&n, b, math_log(x, magnitude))) : narrow(x, power_of_floats(x, magnitude, b));
    LLVMValueRef half = mul(&n, b, c(&n, 0.5));
    LLVMValueRef whole = LLVMBuildFCmp(x->b, LLVMRealOEQ, unary(&n, "llvm.floor", b), b, "");
    LLVMValueRef even = LLVMBuildFCmp(x->b, LLVMRealOEQ, unary(&n, "llvm.floor", half), half, "");
    LLVMValueRef signed_y = LLVMBuildSelect(x->b, even, y, copysign3(&n, y, a), "");
    LLVMValueRef negative = LLVMBuildSelect(x->b, whole, signed_y, c(&n, NAN), "");
    LLVMValueRef zero_or_infinite = LLVMBuildFCmp(x->b, LLVMRealOEQ, mul(&n, a, c(&n, 0.5)), a, "");
    negative = LLVMBuildSelect(x->b, zero_or_infinite, LLVMBuildSelect(x->b, whole, signed_y, y, ""), negative, "");
    LLVMValueRef sign_bit = LLVMBuildICmp(x->b, LLVMIntSLT, bits(&n, a), ci(&n, 0), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(x->b, LLVMRealUNO, a, a, "");
    y = LLVMBuildSelect(x->b, sign_bit, LLVMBuildSelect(x->b, is_nan, y, negative, ""), y, "");
    y = LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealOEQ, a, one, ""), one, y, "");
    return LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealOEQ, b, zero, ""), one, y, "");
}
