/* The kernels of `_kernels.pyx`: one pass over an array where numpy needs several, or
   where it has no vector instructions for it.

   Built as `_simd.h` is, whose functions of a vector it uses: this file includes itself
   once for each instruction set and each dtype. Rows are contiguous; `inner` numbers
   stand side by side where a reduction goes down a column. */

#ifndef MINIGRAD_ARRAY_H
#define MINIGRAD_ARRAY_H

#include "_simd.h"

/* -- functions of one number, in double, for float results ------------------------- */

/* To about 1e-10, without a branch or a call, so that compilers vectorise loops over
   them; the float that is made of it is the nearest one, but for ties. */

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

static inline double minigrad_wide_silu(double x)
{
    return x / (1.0 + (x < -150.0 ? (double)INFINITY : minigrad_wide_exp(-x)));
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

/* p and q: numbers that an operation may want, such as the ends of an interval. */
typedef void (*minigrad_map)(
    const void *a, const void *b, void *out, ptrdiff_t n, double p, double q);

typedef struct {
    const char *name;
    minigrad_map run;
} minigrad_named_map;

/* y of x, which is (outer, n, inner): of the same shape, or (outer, inner). */
typedef void (*minigrad_reduction)(
    const void *x, void *y, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner);

/* The cotangent of x from that of y, and y. */
typedef void (*minigrad_gradient)(
    const void *g, const void *y, void *out, ptrdiff_t outer, ptrdiff_t n,
    ptrdiff_t inner);

typedef struct {
    const minigrad_named_map *maps;
    /* x or y, whichever c says; a step of 0 repeats one number. */
    void (*select)(
        const char *c, const void *x, ptrdiff_t step_x, const void *y, ptrdiff_t step_y,
        void *out, ptrdiff_t n);
    void (*bounds)(const int64_t *x, ptrdiff_t n, int64_t *least, int64_t *most);
    minigrad_reduction softmax, log_softmax, logsumexp, sum, amax, amin, cumsum;
    minigrad_gradient softmax_grad, log_softmax_grad;
    /* Rows of n. moments: the mean and 1 / sqrt(variance + eps) of each. */
    void (*layer_norm)(
        const void *x, const void *weight, const void *bias, void *y, void *moments,
        ptrdiff_t rows, ptrdiff_t n, double eps);
    void (*layer_norm_grad_x)(
        const void *g, const void *x, const void *weight, const void *moments, void *dx,
        ptrdiff_t rows, ptrdiff_t n);
    /* Adds to dw. */
    void (*layer_norm_grad_weight)(
        const void *g, const void *x, const void *moments, void *dw, ptrdiff_t rows,
        ptrdiff_t n);
    /* p <- p - step m / (sqrt(v) / root + eps), after m and v took g in; q is what p
       becomes. most: the largest v, or NULL. */
    void (*adam)(
        const void *p, const void *g, void *m, void *v, void *most, void *q, ptrdiff_t n,
        const double *options);
} minigrad_array;

#if defined(__x86_64__) || defined(__i386__)

#define SET avx512
#define BYTES 64
#ifdef __clang__
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma")
#endif
#define DOUBLE 0
#include "_array.h"
#define DOUBLE 1
#include "_array.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SET
#undef BYTES

#define SET avx2
#define BYTES 32
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define DOUBLE 0
#include "_array.h"
#define DOUBLE 1
#include "_array.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SET
#undef BYTES

#endif /* x86 */

#define SET baseline
#define BYTES 16
#define DOUBLE 0
#include "_array.h"
#define DOUBLE 1
#include "_array.h"
#undef SET
#undef BYTES

/* As minigrad_sets, in its order. */
static const minigrad_array *const minigrad_arrays[][2] = {
#if defined(__x86_64__) || defined(__i386__)
    {&minigrad_array_avx512_float, &minigrad_array_avx512_double},
    {&minigrad_array_avx2_float, &minigrad_array_avx2_double},
#endif
    {&minigrad_array_baseline_float, &minigrad_array_baseline_double},
};

#else /* the kernels of one instruction set and one dtype */

#if DOUBLE
#define REAL double
#define SQRT sqrt
#else
#define REAL float
#define SQRT sqrtf
#endif
#define LANES ((ptrdiff_t)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))
#define VECTOR NAME(vector)
#define MASK NAME(mask)
/* Columns that go down together. */
#define WIDE (8 * LANES)
/* How many numbers of a row, and rows of a column, are added up by themselves: one long
   sum in float32 drifts. */
#define CUT (64 * LANES)
#define ROWS_CUT 32

/* -- a pass over one array or two --------------------------------------------------- */

#define MAP(name, expression) \
    static void NAME(map_##name)( \
        const void *left, const void *right, void *to, ptrdiff_t n, double p, double q) \
    { \
        const REAL *x = left, *y = right; \
        REAL *out = to; \
        const REAL low = (REAL)p, high = (REAL)q; \
        (void)low, (void)high; \
        for (ptrdiff_t i = 0; i < n; i++) { \
            REAL a = x[i], b = y[i]; \
            (void)b; \
            out[i] = (REAL)(expression); \
        } \
    }

/* One operand, as a vector. */
#define MAP_VECTOR(name) \
    static void NAME(map_##name)( \
        const void *left, const void *right, void *to, ptrdiff_t n, double p, double q) \
    { \
        char *const at[4] = {to, (char *)left, (char *)left, (char *)left}; \
        const ptrdiff_t stride[4] = {0}; \
        (void)right, (void)p, (void)q; \
        NAME(op_##name)(at, stride, 1, n); \
    }

MAP_VECTOR(exp)
MAP_VECTOR(tanh)
MAP_VECTOR(sigmoid)
MAP_VECTOR(sign)
MAP_VECTOR(relu)
#if !DOUBLE
MAP(log, minigrad_wide_log(a))
MAP(log1p, minigrad_wide_log1p(a))
MAP(expm1, minigrad_wide_expm1(a))
MAP(silu, minigrad_wide_silu(a))
MAP(softplus, minigrad_wide_softplus(a, p, q))
MAP(softplus_grad, (b * p > q ? 1.0 : minigrad_wide_gate(b * p)) * a)
MAP(silu_grad, minigrad_wide_gate(b) * (1.0 + b * minigrad_wide_gate(-(double)b)) * a)
#endif
MAP(clip, a < low ? low : a > high ? high : a)
/* Gradients: a is the cotangent, b the output, or the input where it is named so. */
MAP(relu_grad, b <= 0 ? 0 : a)
MAP(tanh_grad, (a + a * b) * (1 - b))
MAP(sigmoid_grad, a * b * (1 - b))
MAP(abs_grad, a * (REAL)((b > 0) - (b < 0)))
MAP(clip_grad, b <= low || b >= high ? 0 : a)

#define NAMED(name) {#name, NAME(map_##name)},

static const minigrad_named_map NAME(maps)[] = {
    NAMED(exp) NAMED(tanh) NAMED(sigmoid) NAMED(sign) NAMED(relu) NAMED(clip)
    NAMED(relu_grad) NAMED(tanh_grad) NAMED(sigmoid_grad) NAMED(abs_grad) NAMED(clip_grad)
#if !DOUBLE
    NAMED(log) NAMED(log1p) NAMED(expm1) NAMED(silu) NAMED(softplus)
    NAMED(silu_grad) NAMED(softplus_grad)
#endif
    {0, 0}
};

/* A loop each, as the compiler uses vectors where the steps are known. */
static void NAME(select)(
    const char *c, const void *left, ptrdiff_t step_x, const void *right,
    ptrdiff_t step_y, void *to, ptrdiff_t n)
{
    const REAL *x = left, *y = right, a = n ? *x : 0, b = n ? *y : 0;
    REAL *out = to;
    for (ptrdiff_t i = 0; step_x && step_y && i < n; i++) {
        REAL p = x[i], q = y[i];
        out[i] = c[i] ? p : q;
    }
    for (ptrdiff_t i = 0; step_x && !step_y && i < n; i++) {
        REAL p = x[i];
        out[i] = c[i] ? p : b;
    }
    for (ptrdiff_t i = 0; !step_x && i < n; i++) {
        REAL q = step_y ? y[i] : b;
        out[i] = c[i] ? a : q;
    }
}

static void NAME(bounds)(const int64_t *x, ptrdiff_t n, int64_t *least, int64_t *most)
{
    int64_t low = *least, high = *most;
    for (ptrdiff_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *least = low;
    *most = high;
}

/* -- reductions --------------------------------------------------------------------- */

INLINE REAL NAME(total)(VECTOR x)
{
    REAL all[LANES];
    NAME(store)(all, x);
    for (ptrdiff_t half = LANES / 2; half; half /= 2) {
        for (ptrdiff_t j = 0; j < half; j++) {
            all[j] += all[j + half];
        }
    }
    return all[0];
}

/* `body` sees where a vector starts, i, and makes `part`, of which s is the sum. */
#define SUM_OF(s, n, part) \
    VECTOR s##_left = {0}, s##_right = {0}; \
    ptrdiff_t s##_i = 0; \
    for (; s##_i + 2 * LANES <= n; s##_i += 2 * LANES) { \
        ptrdiff_t i = s##_i; \
        s##_left += part(i, LANES); \
        i += LANES; \
        s##_right += part(i, LANES); \
    } \
    for (; s##_i < n; s##_i += LANES) { \
        s##_left += part(s##_i, (n - s##_i < LANES ? n - s##_i : LANES)); \
    } \
    REAL s = NAME(total)(s##_left + s##_right);

INLINE VECTOR NAME(some)(const REAL *x, ptrdiff_t n, REAL other)
{
    return n == LANES ? NAME(load)(x) : NAME(load_part)(x, n, other);
}

INLINE void NAME(put)(REAL *x, ptrdiff_t n, VECTOR y)
{
    if (n == LANES) {
        NAME(store)(x, y);
    }
    else {
        NAME(store_part)(x, n, y);
    }
}

#define EACH_PART(n) \
    for (ptrdiff_t i = 0, k __attribute__((unused)); k = n - i < LANES ? n - i : LANES, i < n; i += LANES)

/* In pieces, whose sums are added up in pieces again. */
static REAL NAME(sum_of)(const REAL *x, ptrdiff_t n)
{
    if (n <= CUT) {
#define PART(i, k) NAME(some)(x + (i), k, 0)
        SUM_OF(s, n, PART)
#undef PART
        return s;
    }
    REAL parts[CUT];
    ptrdiff_t each = (n + CUT - 1) / CUT, count = 0;
    each = each < CUT ? CUT : (each + LANES - 1) / LANES * LANES;
    for (ptrdiff_t i = 0; i < n; i += each) {
        parts[count++] = NAME(sum_of)(x + i, n - i < each ? n - i : each);
    }
    return NAME(sum_of)(parts, count);
}

static void NAME(sum)(
    const void *from, void *to, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    const REAL *x = from;
    REAL *y = to;
    for (ptrdiff_t o = 0; o < outer; o++, x += n * inner, y += inner) {
        if (inner == 1) {
            *y = NAME(sum_of)(x, n);
            continue;
        }
        memset(y, 0, inner * sizeof(REAL));
        for (ptrdiff_t r = 0; r < n; r += ROWS_CUT) {
            ptrdiff_t rows = n - r < ROWS_CUT ? n - r : ROWS_CUT;
            NAME(sum_rows)(x + r * inner, inner, rows, inner, r > 0, y);
        }
    }
}

/* The one of a row that is best, in four vectors; a NaN if there is one. */
#define BEST(name, is_better) \
    static REAL NAME(name)(const REAL *x, ptrdiff_t n) \
    { \
        REAL best[4 * LANES], odd[4 * LANES]; \
        for (ptrdiff_t j = 0; j < 4 * LANES; j++) { \
            best[j] = odd[j] = x[0]; \
        } \
        ptrdiff_t i = 0; \
        for (; i + 4 * LANES <= n; i += 4 * LANES) { \
            for (ptrdiff_t j = 0; j < 4 * LANES; j++) { \
                best[j] = x[i + j] is_better best[j] ? x[i + j] : best[j]; \
                odd[j] = x[i + j] != x[i + j] ? x[i + j] : odd[j]; \
            } \
        } \
        for (ptrdiff_t j = 0; i < n; i++, j++) { \
            best[j] = x[i] is_better best[j] ? x[i] : best[j]; \
            odd[j] = x[i] != x[i] ? x[i] : odd[j]; \
        } \
        REAL found = best[0]; \
        for (ptrdiff_t j = 0; j < 4 * LANES; j++) { \
            found = best[j] is_better found ? best[j] : found; \
        } \
        for (ptrdiff_t j = 0; j < 4 * LANES; j++) { \
            found = odd[j] != odd[j] ? odd[j] : found; \
        } \
        return found; \
    }

BEST(largest, >)
BEST(smallest, <)

#define EXTREME(name, meet, best_of) \
    static void NAME(name)( \
        const void *from, void *to, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner) \
    { \
        const REAL *x = from; \
        REAL *y = to; \
        for (ptrdiff_t o = 0; inner == 1 && o < outer; o++) { \
            y[o] = NAME(best_of)(x + o * n, n); \
        } \
        if (inner == 1) { \
            return; \
        } \
        for (ptrdiff_t o = 0; o < outer; o++, x += n * inner, y += inner) { \
            for (ptrdiff_t j = 0; j < inner; j += WIDE) { \
                ptrdiff_t width = inner - j < WIDE ? inner - j : WIDE; \
                VECTOR best[8] = {{0}}; \
                for (ptrdiff_t r = 0; r < n; r++) { \
                    EACH_PART(width) \
                    { \
                        VECTOR next = NAME(some)(x + r * inner + j + i, k, 0); \
                        VECTOR *at = best + i / LANES; \
                        *at = r ? NAME(meet)(*at, next) : next; \
                    } \
                } \
                EACH_PART(width) NAME(put)(y + j + i, k, best[i / LANES]); \
            } \
        } \
    }

EXTREME(amax, larger, largest)
EXTREME(amin, smaller, smallest)

static void NAME(cumsum)(
    const void *from, void *to, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    const REAL *x = from;
    REAL *y = to;
    if (inner == 1) { /* four rows at a time, as each waits for its last sum */
        ptrdiff_t o = 0;
        for (; o + 4 <= outer; o += 4) {
            const REAL *a = x + o * n;
            REAL *b = y + o * n;
            double s = 0, t = 0, u = 0, v = 0;
            for (ptrdiff_t i = 0; i < n; i++) {
                b[i] = (REAL)(s += a[i]);
                b[n + i] = (REAL)(t += a[n + i]);
                b[2 * n + i] = (REAL)(u += a[2 * n + i]);
                b[3 * n + i] = (REAL)(v += a[3 * n + i]);
            }
        }
        for (; o < outer; o++) {
            double s = 0;
            for (ptrdiff_t i = 0; i < n; i++) {
                y[o * n + i] = (REAL)(s += x[o * n + i]);
            }
        }
        return;
    }
    for (ptrdiff_t o = 0; o < outer; o++, x += n * inner, y += n * inner) {
        for (ptrdiff_t j = 0; j < inner; j += 128) {
            ptrdiff_t width = inner - j < 128 ? inner - j : 128;
            double sums[128] = {0};
            for (ptrdiff_t r = 0; r < n; r++) {
                for (ptrdiff_t i = 0; i < width; i++) {
                    y[r * inner + j + i] = (REAL)(sums[i] += x[r * inner + j + i]);
                }
            }
        }
    }
}

/* -- softmax and its kin ------------------------------------------------------------ */

/* What is subtracted before exp: the largest, unless that is infinite or NaN. */
INLINE REAL NAME(top)(const REAL *x, ptrdiff_t n)
{
    REAL top = NAME(largest)(x, n);
    return top - top == 0 ? top : 0;
}

/* Up to WIDE columns of n numbers: what is subtracted from each before exp, and the sum of
   those; exp itself goes to exps, if that is not NULL. */
INLINE void NAME(columns_sum)(
    const REAL *x, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t width, VECTOR *top,
    VECTOR *sum, REAL *exps)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        EACH_PART(width)
        {
            VECTOR next = NAME(some)(x + r * inner + i, k, 0);
            VECTOR *at = top + i / LANES;
            *at = r ? NAME(larger)(*at, next) : next;
        }
    }
    for (ptrdiff_t i = 0; i < 8; i++) {
        top[i] = NAME(pick)(top[i] - top[i] == 0, top[i], (VECTOR){0});
    }
    VECTOR part[8] = {{0}};
    for (ptrdiff_t r = 0; r < n; r++) {
        EACH_PART(width)
        {
            VECTOR next = NAME(some)(x + r * inner + i, k, 0);
            next = NAME(exp)(next - top[i / LANES]);
            part[i / LANES] += next;
            if (exps) {
                NAME(put)(exps + r * inner + i, k, next);
            }
        }
        for (ptrdiff_t i = 0; (r % ROWS_CUT == ROWS_CUT - 1 || r == n - 1) && i < 8; i++) {
            sum[i] += part[i];
            part[i] = (VECTOR){0};
        }
    }
}

static void NAME(softmax)(
    const void *from, void *to, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    const REAL *x = from;
    REAL *y = to;
    if (inner == 1) {
        for (ptrdiff_t o = 0; o < outer; o++, x += n, y += n) {
            VECTOR top = NAME(all)(NAME(top)(x, n)), sums = {0};
            EACH_PART(n)
            {
                VECTOR e = NAME(exp)(NAME(some)(x + i, k, -INFINITY) - top);
                sums += e;
                NAME(put)(y + i, k, e);
            }
            VECTOR scale = NAME(all)(1 / NAME(total)(sums));
            EACH_PART(n) NAME(put)(y + i, k, NAME(some)(y + i, k, 0) * scale);
        }
        return;
    }
    for (ptrdiff_t o = 0; o < outer; o++, x += n * inner, y += n * inner) {
        for (ptrdiff_t j = 0; j < inner; j += WIDE) {
            ptrdiff_t width = inner - j < WIDE ? inner - j : WIDE;
            VECTOR top[8] = {{0}}, sum[8] = {{0}};
            NAME(columns_sum)(x + j, n, inner, width, top, sum, y + j);
            for (ptrdiff_t i = 0; i < 8; i++) {
                sum[i] = 1 / sum[i];
            }
            for (ptrdiff_t r = 0; r < n; r++) {
                REAL *at = y + r * inner + j;
                EACH_PART(width)
                NAME(put)(at + i, k, NAME(some)(at + i, k, 0) * sum[i / LANES]);
            }
        }
    }
}

INLINE VECTOR NAME(log_each)(VECTOR x)
{
    REAL all[LANES];
    NAME(store)(all, x);
    for (ptrdiff_t i = 0; i < LANES; i++) {
        all[i] = (REAL)log((double)all[i]);
    }
    return NAME(load)(all);
}

INLINE void NAME(log_sum)(
    const void *from, void *to, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, int whole)
{
    const REAL *x = from;
    REAL *y = to;
    if (inner == 1) {
        for (ptrdiff_t o = 0; o < outer; o++, x += n) {
            VECTOR top = NAME(all)(NAME(top)(x, n)), sums = {0};
            EACH_PART(n) sums += NAME(exp)(NAME(some)(x + i, k, -INFINITY) - top);
            REAL rest = (REAL)log((double)NAME(total)(sums));
            if (!whole) {
                *y++ = top[0] + rest;
                continue;
            }
            VECTOR off = NAME(all)(rest);
            EACH_PART(n) NAME(put)(y + i, k, NAME(some)(x + i, k, 0) - top - off);
            y += n;
        }
        return;
    }
    for (ptrdiff_t o = 0; o < outer; o++, x += n * inner) {
        for (ptrdiff_t j = 0; j < inner; j += WIDE) {
            ptrdiff_t width = inner - j < WIDE ? inner - j : WIDE;
            VECTOR top[8] = {{0}}, sum[8] = {{0}};
            NAME(columns_sum)(x + j, n, inner, width, top, sum, 0);
            EACH_PART(width) sum[i / LANES] = NAME(log_each)(sum[i / LANES]);
            for (ptrdiff_t r = 0; whole && r < n; r++) {
                ptrdiff_t at = r * inner + j;
                EACH_PART(width)
                {
                    VECTOR next = NAME(some)(x + at + i, k, 0);
                    NAME(put)(y + at + i, k, next - top[i / LANES] - sum[i / LANES]);
                }
            }
            if (!whole) {
                EACH_PART(width)
                NAME(put)(y + j + i, k, top[i / LANES] + sum[i / LANES]);
            }
        }
        y += whole ? n * inner : inner;
    }
}

static void NAME(log_softmax)(
    const void *x, void *y, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    NAME(log_sum)(x, y, outer, n, inner, 1);
}

static void NAME(logsumexp)(
    const void *x, void *y, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    NAME(log_sum)(x, y, outer, n, inner, 0);
}

/* softmax: (g - sum(g y)) y. log_softmax: g - e**y sum(g). */
#define GRADIENT(name, term, result) \
    static void NAME(name)( \
        const void *cotangent, const void *output, void *to, ptrdiff_t outer, ptrdiff_t n, \
        ptrdiff_t inner) \
    { \
        const REAL *g = cotangent, *y = output; \
        REAL *out = to; \
        for (ptrdiff_t o = 0; o < outer; o++, g += n * inner, y += n * inner, out += n * inner) { \
            for (ptrdiff_t j = 0; j < inner; j += WIDE) { \
                ptrdiff_t width = inner - j < WIDE ? inner - j : WIDE; \
                VECTOR sum[8] = {{0}}; \
                if (inner == 1) { \
                    EACH_PART(n) \
                    { \
                        VECTOR a = NAME(some)(g + i, k, 0), b = NAME(some)(y + i, k, 0); \
                        (void)b; \
                        sum[i / LANES % 2] += term; \
                    } \
                    VECTOR s = NAME(all)(NAME(total)(sum[0] + sum[1])); \
                    EACH_PART(n) \
                    { \
                        VECTOR a = NAME(some)(g + i, k, 0), b = NAME(some)(y + i, k, 0); \
                        NAME(put)(out + i, k, result); \
                    } \
                    continue; \
                } \
                for (ptrdiff_t r = 0; r < n; r++) { \
                    ptrdiff_t at = r * inner + j; \
                    EACH_PART(width) \
                    { \
                        VECTOR a = NAME(some)(g + at + i, k, 0); \
                        VECTOR b = NAME(some)(y + at + i, k, 0); \
                        (void)b; \
                        sum[i / LANES] += term; \
                    } \
                } \
                for (ptrdiff_t r = 0; r < n; r++) { \
                    ptrdiff_t at = r * inner + j; \
                    EACH_PART(width) \
                    { \
                        VECTOR a = NAME(some)(g + at + i, k, 0), s = sum[i / LANES]; \
                        VECTOR b = NAME(some)(y + at + i, k, 0); \
                        NAME(put)(out + at + i, k, result); \
                    } \
                } \
            } \
        } \
    }

GRADIENT(softmax_grad, a * b, (a - s) * b)
GRADIENT(log_softmax_grad, a, a - NAME(exp)(b) * s)

/* -- layer norm --------------------------------------------------------------------- */

static void NAME(layer_norm)(
    const void *from, const void *weight, const void *bias, void *to, void *moments,
    ptrdiff_t rows, ptrdiff_t n, double eps)
{
    const REAL *x = from, *w = weight, *b = bias;
    REAL *y = to, *m = moments;
    for (ptrdiff_t r = 0; r < rows; r++, x += n, y += n, m += 2) {
        REAL mean = NAME(sum_of)(x, n) / (REAL)n;
        VECTOR centre = NAME(all)(mean), squares = {0}, others = {0};
        EACH_PART(n)
        {
            VECTOR d = NAME(some)(x + i, k, mean) - centre;
            if (i / LANES % 2) {
                others += d * d;
            }
            else {
                squares += d * d;
            }
        }
        REAL variance = NAME(total)(squares + others) / (REAL)n;
        m[0] = mean;
        m[1] = (REAL)(1 / sqrt((double)variance + eps));
        VECTOR scale = NAME(all)(m[1]);
        EACH_PART(n)
        {
            VECTOR z = (NAME(some)(x + i, k, 0) - centre) * scale;
            z = z * NAME(some)(w + i, k, 0) + NAME(some)(b + i, k, 0);
            NAME(put)(y + i, k, z);
        }
    }
}

/* With z = (x - mean) scale and h = g weight: (h - mean(h) - z mean(h z)) scale. */
static void NAME(layer_norm_grad_x)(
    const void *cotangent, const void *from, const void *weight, const void *moments,
    void *to, ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *g = cotangent, *x = from, *w = weight, *m = moments;
    REAL *out = to;
    for (ptrdiff_t r = 0; r < rows; r++, g += n, x += n, out += n, m += 2) {
        VECTOR centre = NAME(all)(m[0]), scale = NAME(all)(m[1]), sum = {0}, dot = {0};
        EACH_PART(n)
        {
            VECTOR h = NAME(some)(g + i, k, 0) * NAME(some)(w + i, k, 0);
            VECTOR z = (NAME(some)(x + i, k, m[0]) - centre) * scale;
            sum += h;
            dot += h * z;
        }
        VECTOR of_sum = NAME(all)(NAME(total)(sum) / (REAL)n);
        VECTOR of_dot = NAME(all)(NAME(total)(dot) / (REAL)n);
        EACH_PART(n)
        {
            VECTOR h = NAME(some)(g + i, k, 0) * NAME(some)(w + i, k, 0);
            VECTOR z = (NAME(some)(x + i, k, m[0]) - centre) * scale;
            NAME(put)(out + i, k, (h - of_sum - z * of_dot) * scale);
        }
    }
}

/* The sum of g z over the rows. */
static void NAME(layer_norm_grad_weight)(
    const void *cotangent, const void *from, const void *moments, void *to,
    ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *g = cotangent, *x = from, *m = moments;
    REAL *out = to;
    for (ptrdiff_t r = 0; r < rows; r++, g += n, x += n, m += 2) {
        VECTOR centre = NAME(all)(m[0]), scale = NAME(all)(m[1]);
        EACH_PART(n)
        {
            VECTOR z = (NAME(some)(x + i, k, m[0]) - centre) * scale;
            VECTOR h = NAME(some)(g + i, k, 0) * z;
            NAME(put)(out + i, k, NAME(some)(out + i, k, 0) + h);
        }
    }
}

/* -- optimisers --------------------------------------------------------------------- */

/* options: 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**t), sqrt(1 - beta2**t), eps,
   the factor of a decoupled weight decay, the weight decay in g. */
static void NAME(adam)(
    const void *value, const void *grad, void *mean, void *square, void *most, void *to,
    ptrdiff_t n, const double *o)
{
    const REAL *p = value, *g = grad;
    REAL *m = mean, *v = square, *top = most, *q = to;
    const REAL new_m = (REAL)o[0], old_v = (REAL)o[1], new_v = (REAL)o[2];
    const REAL step = (REAL)o[3], root = (REAL)(1 / o[4]), eps = (REAL)o[5];
    const REAL shrink = (REAL)o[6], decay = (REAL)o[7];
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL x = p[i] * shrink, d = g[i] + decay * p[i];
        m[i] = m[i] + new_m * (d - m[i]);
        v[i] = old_v * v[i] + new_v * d * d;
        REAL s = v[i];
        if (top) {
            s = top[i] >= s || top[i] != top[i] ? top[i] : s;
            top[i] = s;
        }
        q[i] = x - step * m[i] / (SQRT(s) * root + eps);
    }
}

static const minigrad_array NAME(array) = {
    NAME(maps),
    NAME(select),
    NAME(bounds),
    NAME(softmax),
    NAME(log_softmax),
    NAME(logsumexp),
    NAME(sum),
    NAME(amax),
    NAME(amin),
    NAME(cumsum),
    NAME(softmax_grad),
    NAME(log_softmax_grad),
    NAME(layer_norm),
    NAME(layer_norm_grad_x),
    NAME(layer_norm_grad_weight),
    NAME(adam),
};

#undef REAL
#undef SQRT
#undef LANES
#undef INLINE
#undef VECTOR
#undef MASK
#undef WIDE
#undef CUT
#undef ROWS_CUT
#undef MAP
#undef MAP_VECTOR
#undef NAMED
#undef SUM_OF
#undef EACH_PART
#undef BEST
#undef EXTREME
#undef GRADIENT
#undef DOUBLE

#endif
