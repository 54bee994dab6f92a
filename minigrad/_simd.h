/* The kernels of `_loop.pyx`, in the vector extensions that gcc and clang share.

   One source for all: `_simd_sets.h` includes `_simd_kernels.h` once for each instruction
   set and each dtype. A set's kernels stand in a table of type minigrad_kernels; which
   table serves is chosen when the module is imported.

   Bits: an element of a product, of a sum or of an elementwise result is computed by
   the same operations in the same order whatever stands beside it. Edges run the same
   code on fewer rows or on a padded vector, never another formula. */

#ifndef MINIGRAD_SIMD_H
#define MINIGRAD_SIMD_H

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_transpose.h"

/* A product adds up this many terms in one accumulator, then starts the next: one long
   chain is less accurate, and so many rows of a panel stay in the nearest cache. */
#define MINIGRAD_CUT 256

/* How much memory a product wants at hand for its rows; half of a second-level cache. */
#define MINIGRAD_SCRATCH (384 << 10)

/* Of the loops whose bounds are known when this is compiled: without it an array of
   vectors would not become registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

/* at: where the result and three operands start. stride: bytes from row to row. */
typedef void (*minigrad_opcode)(
    char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width);

typedef struct {
    const char *name;
    minigrad_opcode run;
} minigrad_named;

/* Memory that is read or written soon: rows of so many bytes. While a product computes,
   it comes nearer, a few lines of a cache at a time: more at once would have to wait. */
typedef struct {
    const char *at;
    ptrdiff_t bytes, stride, rows, done;
} minigrad_span;

typedef struct {
    minigrad_span *span, *end;
    ptrdiff_t bursts; /* in all */
} minigrad_ahead;

/* Bytes that come nearer in one go, eight lines of a cache: a character model took 1 %
   longer with four at a time, and 2 % longer with all that a tile has to fetch. */
#define MINIGRAD_BURST 512

/* The next burst. No call: in the middle of a tile, one would store its sums and load them
   again. */
static inline void minigrad_fetch(minigrad_ahead *ahead)
{
    minigrad_span *span = ahead->span;
    const char *at;
    if (span == ahead->end) {
        return;
    }
    at = span->at + span->done;
    UNROLL
    for (int i = 0; i < MINIGRAD_BURST; i += 64) {
        __builtin_prefetch(at + i, 0, 2);
    }
    span->done += MINIGRAD_BURST;
    if (span->done >= span->bytes) {
        span->at += span->stride;
        span->done = 0;
        ahead->span += --span->rows == 0;
    }
}

/* One more span, if there is room before `last`. */
static inline void minigrad_add(
    minigrad_ahead *ahead, const minigrad_span *last, const void *at, ptrdiff_t bytes,
    ptrdiff_t stride, ptrdiff_t rows)
{
    if (bytes == stride) { /* one row after the other is one row */
        bytes *= rows, rows = rows > 0;
    }
    if (ahead->end < last && rows > 0 && bytes > 0) {
        *ahead->end++ = (minigrad_span){at, bytes, stride, rows, 0};
        ahead->bursts += (bytes + MINIGRAD_BURST - 1) / MINIGRAD_BURST * rows;
    }
}

/* What a sum of products has on its left: rows of x, (rows, k), and where the products of
   its columns with those of the right are added up, (k, n). */
typedef struct {
    const char *x;
    ptrdiff_t stride, k;
    char *out;
} minigrad_left;

/* What is added to a product where it is made: rows + first, and then second. NULL stands
   for what there is not. */
typedef struct {
    const void *rows;
    ptrdiff_t stride;
    const void *first, *second;
} minigrad_added;

/* Strides count elements, pointers are to elements of the table's dtype. */
typedef struct {
    /* Columns of a panel of packed weights. */
    ptrdiff_t panel;
    /* out: for each panel, all k rows of it, a row after the other. */
    void (*pack)(
        const void *weight, ptrdiff_t row, ptrdiff_t column, ptrdiff_t k, ptrdiff_t n,
        void *out);
    /* How many bytes of scratch a product wants. */
    size_t (*product_scratch)(ptrdiff_t rows, ptrdiff_t inner);
    void (*product)(
        const void *x, ptrdiff_t x_stride, const void *packed, void *out,
        ptrdiff_t out_stride, ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t width, int add,
        const minigrad_added *more, void *scratch, minigrad_ahead *ahead);
    size_t (*gram_scratch)(ptrdiff_t rows, const minigrad_left *left, int n_left);
    /* sums: of the columns of y, or NULL. */
    void (*gram)(
        const minigrad_left *left, int n_left, const void *y, ptrdiff_t y_stride,
        ptrdiff_t out_stride, void *sums, ptrdiff_t rows, ptrdiff_t n, int add,
        void *scratch, minigrad_ahead *ahead);
    void (*sum_rows)(
        const void *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, int add, void *out);
    /* Of rows that are one-hot vectors, or zeros: see `_simd_one_hot.h`. */
    int (*ones)(
        const void *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t k, int32_t *ones);
    int (*all_finite)(const void *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n);
    void (*lookup)(
        const int32_t *ones, ptrdiff_t rows, const void *packed, ptrdiff_t inner,
        void *out, ptrdiff_t out_stride, ptrdiff_t width);
    void (*lookup_gram)(
        const int32_t *ones, ptrdiff_t rows, const void *y, ptrdiff_t y_stride,
        ptrdiff_t n, ptrdiff_t first, ptrdiff_t last, int add, void *out,
        ptrdiff_t out_stride, int32_t *after, int32_t *top);
    const minigrad_named *opcodes;
} minigrad_kernels;

/* silu in double: see ops.py, from which the cases come. */
static inline double minigrad_silu(double x)
{
    double rest = exp(-x), total = 1 + rest, y = x / total;
    if (x < -700) {
        return x * exp(x + 37) * 8.533047625744066e-17; /* e**-37 */
    }
    return x < 0 ? y - y * ((1 - (total - rest)) / total) : y;
}

/* minigrad_exp_avx512_float */
#define MINIGRAD_PASTE(a, b, c) minigrad_##a##_##b##_##c
#define MINIGRAD_NAME(a, b, c) MINIGRAD_PASTE(a, b, c)
#define NAME(a) MINIGRAD_NAME(a, SET, REAL)

#define KERNELS "_simd_kernels.h"
#include "_simd_sets.h"
#undef KERNELS

/* The sets that this build has, the best first, and whether this machine has them. */
typedef struct {
    const char *name;
    const minigrad_kernels *of_float, *of_double;
} minigrad_set;

static const minigrad_set minigrad_sets[] = {
#if defined(__x86_64__) || defined(__i386__)
    {"avx512", &minigrad_kernels_avx512_float, &minigrad_kernels_avx512_double},
    {"avx2", &minigrad_kernels_avx2_float, &minigrad_kernels_avx2_double},
#endif
    {"baseline", &minigrad_kernels_baseline_float, &minigrad_kernels_baseline_double},
};

enum { MINIGRAD_SETS = sizeof minigrad_sets / sizeof *minigrad_sets };

static int minigrad_supported(int i)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (i == 0) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("fma");
    }
    if (i == 1) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
#endif
    (void)i;
    return 1;
}

#endif
