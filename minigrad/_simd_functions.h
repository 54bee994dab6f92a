/* Of `_simd.h`: functions of a vector. */

#if DOUBLE
#define LEAST -746.0 /* e**x is 0 from here on */
#define MOST 710.0 /* and infinite */
#define TANH_MOST 22.0 /* tanh x is 1 */
#define ROUNDER 6755399441055744.0
#define LIFT 512 /* of an exponent, to keep the number a normal one */
#define LOG_2 6.93147180369123816490e-01
#define LOG_2_REST 1.90821492927058770002e-10
#else
#define LEAST -104.0f
#define MOST 89.0f
#define TANH_MOST 10.0f
#define ROUNDER 12582912.0f
#define LIFT 64
#define LOG_2 0.693359375f
#define LOG_2_REST -2.12194440e-4f
#endif
/* ROUNDER is 1.5 * 2**DIGITS: what is added to it is rounded to a whole number, in its
   last bits. LOG_2 has so few digits that a product of it and an exponent is exact, with
   a fused multiply-add or without; LOG_2_REST is what it lacks. */

#define C(x) NAME(all)(x)

/* x = n log 2 + r: gives e**r - 1, what rounding it lost, and n. The coefficients are
   those of the polynomial through (e**r - 1 - r) / r**2 at the Chebyshev nodes, whose
   error is 0.004 ulp of e**r in float and 0.08 in double. */
INLINE VECTOR NAME(reduced)(VECTOR x, MASK *n, VECTOR *lost)
{
    VECTOR shifted = x * NAME(all)((REAL)1.4426950408889634) + NAME(all)(ROUNDER);
    VECTOR whole = shifted - NAME(all)(ROUNDER);
    VECTOR r = x - whole * NAME(all)(LOG_2) - whole * NAME(all)(LOG_2_REST);
    /* In pairs: waiting for each other, the terms took half of the time. */
    VECTOR s = r * r;
#if DOUBLE
    VECTOR y = C(5.00000000000000104e-1) + C(1.66666666666666675e-1) * r
        + s * (C(4.16666666666234768e-2) + C(8.33333333333001176e-3) * r);
    VECTOR z = C(1.38888889175382958e-3) + C(1.98412698633032233e-4) * r
        + s * (C(2.48015207925726928e-5) + C(2.75572680728900983e-6) * r
               + s * (C(2.76203274282682382e-7) + C(2.51005692758136826e-8) * r));
    y = y + (s * s) * z;
#else
    VECTOR y = C(5.00000001362013868e-1f) + C(1.66666666817946252e-1f) * r
        + s * (C(4.16664633863395269e-2f) + C(8.33331075457689252e-3f) * r
               + s * (C(1.39338204897760193e-3f) + C(1.98911801582821424e-4f) * r));
#endif
    *n = (MASK)((BITS)shifted - (BITS)NAME(all)(ROUNDER));
    VECTOR more = s * y, rest = r + more;
    *lost = more - (rest - r);
    return rest;
}

INLINE VECTOR NAME(power_of_2)(BITS n)
{
    return (VECTOR)((n + BIAS) << DIGITS);
}

#if FUSED && !DOUBLE
#include "_simd_functions_float.h"
#else

/* e**x, and what rounding it lost. Where the result is subnormal this is three times as
   slow, 0.4 ns a number, on the machine that it was measured on: no stall that would be
   worth the loss of these numbers. */
INLINE VECTOR NAME(exp_parts)(VECTOR x, VECTOR *lost)
{
    VECTOR least = NAME(all)(LEAST), most = NAME(all)(MOST);
    MASK n;
    x = NAME(pick)(x < least, least, x); /* NaN stays */
    x = NAME(pick)(x > most, most, x);
    VECTOR none, rest = NAME(reduced)(x, &n, &none), y = rest + NAME(all)(1);
    /* In two halves, as 2**n alone may be out of range where the result isn't. */
    BITS half = (((BITS)n + 2048) >> 1) - 1024;
    VECTOR one = NAME(power_of_2)(half), other = NAME(power_of_2)((BITS)n - half);
    *lost = (rest - (y - NAME(all)(1))) * one * other;
    return y * one * other;
}

INLINE VECTOR NAME(exp)(VECTOR x)
{
    VECTOR lost;
    return NAME(exp_parts)(x, &lost);
}

/* What top lacks of y * total, whose rounding it has to know. */
INLINE VECTOR NAME(lacking)(VECTOR top, VECTOR y, VECTOR total)
{
#if FUSED
    return top - y * total;
#else
    /* In halves, whose products are exact; T. Dekker (1971), doi:10.1007/BF01397083. */
    VECTOR split = NAME(all)((REAL)(((NATURAL)1 << (DIGITS / 2 + 1)) + 1));
    VECTOR a = y * split, b = total * split, product = y * total;
    a = a - (a - y), b = b - (b - total);
    VECTOR rest = a * b - product + a * (total - b) + (y - a) * b;
    return top - product - (rest + (y - a) * (total - b));
#endif
}

/* min(|x|, most); NaN stays. */
INLINE VECTOR NAME(bounded)(VECTOR x, VECTOR most)
{
    VECTOR a = NAME(magnitude)(x);
    return NAME(pick)(a > most, most, a);
}

/* (top + top_lost) / (total + lost), where what rounding lost of both is known, and what it
   loses of the quotient is given back: 2.4 ulp are about 1 then, which shows in the
   gradients of gates, where terms cancel. */
INLINE VECTOR NAME(quotient)(VECTOR top, VECTOR top_lost, VECTOR total, VECTOR lost)
{
    VECTOR inverse = NAME(all)(1) / total, y = top * inverse;
    VECTOR rest = NAME(lacking)(top, y, total) + (top_lost - y * lost);
    return y + rest * inverse;
}

/* 1 / (1 + e) or e / (1 + e) of e = e**-|x|, so that nothing overflows. */
INLINE VECTOR NAME(sigmoid)(VECTOR x)
{
    VECTOR one = NAME(all)(1), zero = {0};
    MASK negative = x < 0, n;
    VECTOR none, rest = NAME(reduced)(-NAME(bounded)(x, NAME(all)(-LEAST)), &n, &none);
    /* 2**n in two steps, as it may be subnormal. */
    VECTOR power = NAME(power_of_2)((BITS)n + LIFT) * NAME(power_of_2)((BITS)zero - LIFT);
    VECTOR sum = rest + one, e = sum * power, total = e + one;
    VECTOR lost = (rest - (sum - one)) * power;
    return NAME(quotient)(
        NAME(pick)(negative, e, one), NAME(pick)(negative, lost, zero), total,
        (e - (total - one)) + lost);
}

/* d / (d + 2) of d = e**2|x| - 1, which small numbers go into unrounded. */
INLINE VECTOR NAME(tanh)(VECTOR x)
{
    MASK n;
    VECTOR one = NAME(all)(1), a = NAME(bounded)(x, NAME(all)(TANH_MOST)), lost;
    VECTOR rest = NAME(reduced)(a + a, &n, &lost), power = NAME(power_of_2)((BITS)n);
    VECTOR part = power * rest, less = power - one, more = power + one;
    VECTOR d = part + less, total = part + more;
    lost = lost * power;
    VECTOR total_lost = (part - (total - more)) + (one - (more - power)) + lost;
    VECTOR y = NAME(quotient)(d, part - (d - less) + lost, total, total_lost);
    return NAME(with_sign)(y, x);
}

/* e**-|x|, and what rounding it lost. */
INLINE VECTOR NAME(decay)(VECTOR x, VECTOR *lost)
{
    return NAME(exp_parts)(-NAME(magnitude)(x), lost);
}

#endif
