/* a^b of floats with AVX-512, in floats alone: log2 a as a sum of two floats, exact to 33 bits, because b log2 a may be
 * as large as 128 and its error is the result's relative one. Within one unit in the last place
 * (tests/codegen/math_test.c). Where a polynomial is multiplied by a power of its argument, nodes next to 0 are left
 * out of its interpolation. */
#include "num.h"

/* Rounded once, always: the parts below are exact because of it. */
static LLVMValueRef fused(const Num *n, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d)
{
    LLVMTypeRef t = n->type;
    return emit_intrinsic(n->x, "llvm.fma", 1, &t, 3, (LLVMValueRef[]){a, b, d});
}

typedef struct {
    LLVMValueRef high, low;
} Pair;

/* a = 2^k m, where m, from 47/64 to 47/32, falls in one of 16 intervals around 3/4, 25/32, ..., 1, 17/16, ..., 23/16.
 * For each of them there is a v of so few bits that r = m v - 1 is a float, |r| < 0.0342, and 0 for m = 1; so log2 a =
 * k - log2 v + log2(1 + r). Of - log2 v the first part has 17 bits, so that k can be added to it exactly. */
static Pair log2_of(const Num *n, LLVMValueRef a)
{
    static const double v[16] = {1.34375, 1.28125, 1.21875,  1.1875,  1.15625,  1.09375,  1.0625,  1.03125,
                                 1,       0.9375,  0.890625, 0.84375, 0.796875, 0.765625, 0.71875, 0.6875};
    static const double high[16] = {-0.42626190185546875, -0.35755157470703125, -0.285400390625,
                                    -0.2479248046875,     -0.20944976806640625, -0.12928009033203125,
                                    -0.08746337890625,    -0.04439544677734375, 0,
                                    0.093109130859375,    0.16710662841796875,  0.24510955810546875,
                                    0.32757568359375,     0.38529205322265625,  0.4764404296875,
                                    0.54056549072265625};
    static const double low[16] = {-2.85284662919e-6, -4.29911052443e-7, -1.82823724834e-6,
                                   -2.70875608549e-6, -3.59756254353e-6, -2.92661293521e-6,
                                   5.37655910592e-7,  1.32741889031e-6,  0,
                                   2.73532106471e-7,  3.35741728957e-6,  2.93973106271e-6,
                                   -1.02556524559e-6, -1.89733786446e-6, -2.38574451287e-6,
                                   2.89064004649e-6};
    static const double p[] = {0.33333324225866603, -0.24999992030670005, 0.20023940069399561, -0.16687614830023437};
    LLVMBuilderRef b = n->x->b;
    LLVMValueRef i = LLVMBuildAdd(b, bits(n, a), ci(n, 0x40000 - 0x3f400000), "");
    LLVMValueRef exponent = LLVMBuildAnd(b, i, ci(n, -0x800000), ""), at = LLVMBuildLShr(b, i, ci(n, 19), "");
    LLVMValueRef m = number(n, LLVMBuildSub(b, bits(n, a), exponent, ""));
    LLVMValueRef whole =
        fused(n, LLVMBuildSIToFP(b, exponent, n->type, ""), c(n, 0x1p-23), wide_lookup(n->x, high, at));
    LLVMValueRef r = fused(n, m, wide_lookup(n->x, v, at), c(n, -1));
    /* ln(1 + r) = q + rest: q = r - r^2 / 2, rounded; the rest is what that lost, and r^3 P(r) */
    LLVMValueRef h = mul(n, r, c(n, -0.5)), q = fused(n, h, r, r), r2 = mul(n, r, r);
    LLVMValueRef series = fused(n, fused(n, r, c(n, p[3]), c(n, p[2])), r2, fused(n, r, c(n, p[1]), c(n, p[0])));
    LLVMValueRef rest = fused(n, mul(n, r2, r), series, fused(n, h, r, sub(n, r, q)));
    /* times 1 / ln 2, in two parts; then whole + t, and what that lost */
    LLVMValueRef t = mul(n, q, c(n, 0x1.715476p+0)), lost = fused(n, q, c(n, 0x1.715476p+0), LLVMBuildFNeg(b, t, ""));
    lost = fused(n, rest, c(n, 0x1.715476p+0), fused(n, q, c(n, 0x1.4ae0bfp-26), lost));
    LLVMValueRef sum = add(n, whole, t);
    lost = add(n, lost, sub(n, t, sub(n, sum, whole)));
    return (Pair){sum, add(n, lost, wide_lookup(n->x, low, at))};
}

/* 2 to the power of a pair, the integer next to it taken out. A high part beyond all exponents may come with any low
 * one, even a NaN. */
static LLVMValueRef exp2_of(const Num *n, Pair t)
{
    static const double p[] = {0.69314718246459961,   0.2402265131827274,    0.055504072691227151,
                               0.0096180100285014588, 0.0013335629341948011, 0.0001547414034537818,
                               1.4901501326089709e-5};
    LLVMValueRef k = unary(n, "llvm.rint", add(n, t.high, t.low));
    LLVMValueRef f = wide_unit(n->x, add(n, sub(n, t.high, k), t.low)), f2 = mul(n, f, f), pair[3];
    for (int i = 0; i < 3; i++) {
        pair[i] = fused(n, f, c(n, p[2 * i + 2]), c(n, p[2 * i + 1]));
    }
    LLVMValueRef series = fused(n, fused(n, pair[2], f2, pair[1]), f2, pair[0]);
    series = fused(n, f, series, c(n, p[0]));
    return wide_scale(n->x, fused(n, f, series, c(n, 1)), k);
}

/* a, b, what wide_cases answers for a, and the sign bit if a negative base gives a negative power. */
static LLVMValueRef pow_body(Emit *x, const LLVMValueRef *args)
{
    Num n = num(x, args[0]);
    LLVMValueRef a = unary(&n, "llvm.fabs", args[0]), b = args[1];
    Pair l = log2_of(&n, a), t = {.high = mul(&n, b, l.high)};
    t.low = fused(&n, b, l.low, fused(&n, b, l.high, LLVMBuildFNeg(x->b, t.high, "")));
    LLVMValueRef y = wide_cases(x, exp2_of(&n, t), args[0], args[2]);
    LLVMValueRef sign = LLVMBuildAnd(x->b, bits(&n, args[0]), args[3], "");
    return number(&n, LLVMBuildXor(x->b, bits(&n, y), sign, ""));
}

/* What hangs on b alone is made outside of the call: the loop around it may well have one exponent. b = 0 gives 1
 * whatever a is, a = 1 whatever b is; a negative base needs an integer exponent, odd ones keep the sign. */
LLVMValueRef wide_pow(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    enum { OF_POSITIVE = 0x55a822, OF_NEGATIVE = 0x88a522, OF_NAN = 0xa022, NO_INTEGER = 0x3000000 };
    Num n = num(x, b);
    LLVMValueRef zero = c(&n, 0), half = mul(&n, b, c(&n, 0.5));
    LLVMValueRef whole = LLVMBuildFCmp(x->b, LLVMRealOEQ, unary(&n, "llvm.floor", b), b, "");
    LLVMValueRef uneven = LLVMBuildFCmp(x->b, LLVMRealONE, unary(&n, "llvm.floor", half), half, "");
    LLVMValueRef odd = LLVMBuildSelect(x->b, LLVMBuildAnd(x->b, whole, uneven, ""), ci(&n, INT32_MIN), ci(&n, 0), "");
    LLVMValueRef answers =
        LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealOLT, b, zero, ""), ci(&n, OF_NEGATIVE), ci(&n, OF_NAN), "");
    answers = LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealOGT, b, zero, ""), ci(&n, OF_POSITIVE), answers, "");
    answers = LLVMBuildSelect(x->b, whole, answers, LLVMBuildOr(x->b, answers, ci(&n, NO_INTEGER), ""), "");
    LLVMValueRef is_zero = LLVMBuildFCmp(x->b, LLVMRealOEQ, b, zero, "");
    answers = LLVMBuildSelect(x->b, is_zero, ci(&n, 0xaaaaaaaa), answers, "");
    return wide_value(x, "pow", pow_body, 4, (LLVMValueRef[]){a, b, answers, odd});
}
