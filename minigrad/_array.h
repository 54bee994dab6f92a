/* The kernels of `_kernels.pyx`: one pass over an array where numpy needs several, or
   where it has no vector instructions for it.

   Built as `_simd.h` is, whose functions of a vector it uses: this file includes itself
   once for each instruction set and each dtype. Rows are contiguous; `inner` numbers
   stand side by side where a reduction goes down a column. */

#ifndef MINIGRAD_ARRAY_H
#define MINIGRAD_ARRAY_H

#include "_array_wide.h"
#include "_simd.h"

/* p and q: numbers that an operation may want, such as the ends of an interval. */
typedef void (*minigrad_map)(
    const void *a, const void *b, void *out, ptrdiff_t n, double p, double q);

typedef struct {
    const char *name;
    minigrad_map run;
} minigrad_named_map;

/* The larger number of numbers is a multiple of the smaller one. */
typedef void (*minigrad_pair)(
    const void *x, ptrdiff_t n_x, const void *y, ptrdiff_t n_y, void *out);

typedef struct {
    const char *name;
    minigrad_pair run;
} minigrad_named_pair;

/* y of x, which is (outer, n, inner): of the same shape, or (outer, inner). */
typedef void (*minigrad_reduction)(
    const void *x, void *y, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner);

/* The cotangent of x from that of y, and y. */
typedef void (*minigrad_gradient)(
    const void *g, const void *y, void *out, ptrdiff_t outer, ptrdiff_t n,
    ptrdiff_t inner);

typedef struct {
    const minigrad_named_map *maps;
    const minigrad_named_pair *pairs;
    /* x or y, whichever c says; a step of 0 repeats one number. */
    void (*select)(
        const char *c, const void *x, ptrdiff_t step_x, const void *y, ptrdiff_t step_y,
        void *out, ptrdiff_t n);
    void (*bounds)(const int64_t *x, ptrdiff_t n, int64_t *least, int64_t *most);
    minigrad_reduction softmax, log_softmax, logsumexp, sum, prod, amax, amin, cumsum;
    minigrad_gradient softmax_grad, log_softmax_grad;
    void (*prod_grad)(
        const void *g, const void *x, const void *y, void *dx, ptrdiff_t outer,
        ptrdiff_t n, ptrdiff_t inner);
    /* Of each row, the first place of its extreme. */
    void (*places)(
        const void *x, const void *best, int64_t *y, ptrdiff_t rows, ptrdiff_t n);
    void (*variance)(
        const void *x, void *y, ptrdiff_t rows, ptrdiff_t n, double freedom, int centred);
    void (*variance_grad)(
        const void *g, const void *x, void *dx, ptrdiff_t rows, ptrdiff_t n,
        double freedom);
    void (*label_loss)(
        const void *x, const int64_t *labels, int64_t ignored, int whole, void *y,
        ptrdiff_t rows, ptrdiff_t n);
    void (*label_loss_grad)(
        const void *g, ptrdiff_t step, const void *x, const int64_t *labels,
        int64_t ignored, double count, void *dx, ptrdiff_t rows, ptrdiff_t n);
    /* (m, k) by (k, n), each with a stride from row to row and from column to column. */
    void (*few_product)(
        const void *x, const ptrdiff_t *x_strides, const void *y,
        const ptrdiff_t *y_strides, void *out, ptrdiff_t m, ptrdiff_t k, ptrdiff_t n);
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
#define FUSED 1
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
#undef FUSED

#define SET avx2
#define FUSED 1
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
#undef FUSED

#endif /* x86 */

#define SET baseline
#ifdef __aarch64__
#define FUSED 1
#else
#define FUSED 0
#endif
#define BYTES 16
#define DOUBLE 0
#include "_array.h"
#define DOUBLE 1
#include "_array.h"
#undef SET
#undef BYTES
#undef FUSED

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
#define BITS NAME(bits)
/* Columns that go down together. */
#define WIDE (8 * LANES)
/* How many numbers of a row, and rows of a column, are added up by themselves: one long
   sum in float32 drifts. */
#define CUT (32 * LANES)
#define ROWS_CUT 32
#define C(x) NAME(all)(x)
#define ROUNDER_OF_FLOAT 12582912.0f /* 1.5 * 2**23: rounds what it is added to */

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

#include "_array_maps.h"
#include "_array_pairs.h"
#include "_array_reductions.h"
#include "_array_factors.h"
#include "_array_softmax.h"
#include "_array_product.h"
#include "_array_norm.h"
#include "_array_adam.h"

static const minigrad_array NAME(array) = {
    NAME(maps),
    NAME(pairs),
    NAME(select),
    NAME(bounds),
    NAME(softmax),
    NAME(log_softmax),
    NAME(logsumexp),
    NAME(sum),
    NAME(prod),
    NAME(amax),
    NAME(amin),
    NAME(cumsum),
    NAME(softmax_grad),
    NAME(log_softmax_grad),
    NAME(prod_grad),
    NAME(places),
    NAME(variance),
    NAME(variance_grad),
    NAME(label_loss),
    NAME(label_loss_grad),
    NAME(few_product),
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
#undef BITS
#undef WIDE
#undef CUT
#undef ROWS_CUT
#undef ROUNDER_OF_FLOAT
#undef C
#undef MAP
#undef MAP_VECTOR
#undef MAP_EACH
#undef MAP_NEAR
#undef NORMAL
#undef ABOVE_MINUS_1
#undef MODERATE
#undef FARTHER
#undef IN_RANGE
#undef FARTHEST
#undef ABOVE
#undef NAMED
#undef PAIR
#undef PAIRED
#undef SUM_OF
#undef EACH_PART
#undef BEST
#undef BETTER_most
#undef BETTER_least
#undef EXTREME
#undef EXTREME_ROWS
#undef GRADIENT
#undef DOUBLE

#endif
