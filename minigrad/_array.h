/* The kernels of `_kernels.pyx`: one pass over an array where numpy needs several, or
   where it has no vector instructions for it.

   Built as `_simd.h` is, whose functions of a vector it uses. Rows are contiguous; `inner`
   numbers stand side by side where a reduction goes down a column. */

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
    void (*logic)(
        int kind, const unsigned char *x, const unsigned char *y, unsigned char *out,
        ptrdiff_t n);
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
    /* q is what p becomes; buffer: of the momentum, or NULL. */
    void (*sgd)(
        const void *p, const void *g, void *buffer, void *q, ptrdiff_t n,
        const double *options);
    double (*square_sum)(const void *x, ptrdiff_t n);
} minigrad_array;

#define KERNELS "_array_kernels.h"
#include "_simd_sets.h"
#undef KERNELS

/* As minigrad_sets, in its order. */
static const minigrad_array *const minigrad_arrays[][2] = {
#if defined(__x86_64__) || defined(__i386__)
    {&minigrad_array_avx512_float, &minigrad_array_avx512_double},
    {&minigrad_array_avx2_float, &minigrad_array_avx2_double},
#endif
    {&minigrad_array_baseline_float, &minigrad_array_baseline_double},
};

#endif
