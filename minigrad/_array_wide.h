/* Functions of one number, in double, for float results: to about 1e-10, without a branch
   or a call, so that compilers vectorise loops over them; the float that is made of it is
   the nearest one, but for ties. */

#ifndef MINIGRAD_ARRAY_WIDE_H
#define MINIGRAD_ARRAY_WIDE_H

#include <math.h>
#include <stdint.h>

typedef union {
    double number;
    int64_t bits;
} minigrad_word;

/* x = n log 2 + r, for |x| <= 200: gives e**r - 1 and 2**n. */
static inline double minigrad_wide_reduced(double x, double *power)
{
    minigrad_word shifted = {x * 1.4426950408889634 + 6755399441055744.0}, scale;
    double r = x - (shifted.number - 6755399441055744.0) * 0.6931471805599453;
    scale.bits = (int64_t)((uint64_t)(shifted.bits + 1023) << 52);
    *power = scale.number;
    return r * (1.0 + r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120
        + r * (1.0 / 720 + r * (1.0 / 5040 + r / 40320)))))));
}

static inline double minigrad_wide_cut(double x)
{
    x = x < -200.0 ? -200.0 : x; /* far outside float; NaN stays */
    return x > 200.0 ? 200.0 : x;
}

static inline double minigrad_wide_exp(double x)
{
    double power, rest = minigrad_wide_reduced(minigrad_wide_cut(x), &power);
    return rest * power + power;
}

static inline double minigrad_wide_expm1(double x)
{
    double power, rest = minigrad_wide_reduced(minigrad_wide_cut(x), &power);
    return rest * power + (power - 1.0);
}

/* x = 2**n m with m between sqrt(1/2) and sqrt(2); log m is a series in (m-1) / (m+1). */
static inline double minigrad_wide_log(double x)
{
    minigrad_word word = {x}, whole;
    int64_t above = word.bits - 0x3fe6a09e667f3bcd; /* of sqrt(1/2) */
    whole.bits = (above >> 52) + 0x4338000000000000;
    double n = whole.number - 6755399441055744.0;
    word.bits -= (int64_t)((uint64_t)above & 0xfff0000000000000);
    double s = (word.number - 1.0) / (word.number + 1.0), z = s * s;
    double y = 2.0 * s * (1.0 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7
        + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13 + z / 15)))))));
    y = y + n * 0.6931471805599453;
    y = x == 0.0 ? (double)-INFINITY : y;
    y = x < INFINITY ? y : x; /* infinity and NaN stay */
    return x < 0.0 ? (double)NAN : y;
}

/* What rounding the sum lost counts where the sum is near 1. */
static inline double minigrad_wide_log1p(double x)
{
    double sum = 1.0 + x, lost = x - (sum - 1.0);
    return minigrad_wide_log(sum) + (x < 1.0 ? lost : 0.0);
}

/* The sigmoid. */
static inline double minigrad_wide_gate(double x)
{
    return 1.0 / (1.0 + minigrad_wide_exp(-x));
}

static inline double minigrad_wide_softplus(double x, double beta, double threshold)
{
    double z = x * beta, size = z < 0 ? -z : z;
    double y = ((z > 0 ? z : 0) + minigrad_wide_log1p(minigrad_wide_exp(-size))) * (1 / beta);
    y = z == z ? y : z;
    return z > threshold ? x : y;
}

#endif
