/* The kernels of `_loop.pyx`, in the vector extensions that gcc and clang share.

   One source for all: this file includes itself once for each instruction set and each
   dtype, with SET, BYTES (of a vector), ROWS (of a product's tile) and DOUBLE defined.
   A set's kernels stand in a table of type minigrad_kernels; which table serves is chosen
   when the module is imported.

   Bits: an element of a product, of a sum or of an elementwise result is computed by
   the same operations in the same order whatever stands beside it. Edges run the same
   code on fewer rows or on a padded vector, never another formula. */

#ifndef MINIGRAD_SIMD_H
#define MINIGRAD_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A product adds up this many terms in one accumulator, then starts the next: one long
   chain is less accurate, and so many rows of a panel stay in the nearest cache. */
#define MINIGRAD_CUT 256

/* How much memory a product wants at hand for its rows; half of a second-level cache. */
#define MINIGRAD_SCRATCH (384 << 10)

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
    ptrdiff_t lines; /* in all, roughly */
} minigrad_ahead;

static inline void minigrad_fetch(minigrad_ahead *ahead, ptrdiff_t lines)
{
    while (ahead->span < ahead->end) {
        minigrad_span *span = ahead->span;
        while (span->rows > 0) {
            if (!lines--) {
                return;
            }
            __builtin_prefetch(span->at + span->done, 0, 2);
            span->done += 64;
            if (span->done >= span->bytes) {
                span->at += span->stride;
                span->done = 0;
                span->rows--;
            }
        }
        ahead->span++;
    }
}

/* One more span, if there is room before `last`. */
static inline void minigrad_add(
    minigrad_ahead *ahead, const minigrad_span *last, const void *at, ptrdiff_t bytes,
    ptrdiff_t stride, ptrdiff_t rows)
{
    if (ahead->end < last && rows > 0 && bytes > 0) {
        *ahead->end++ = (minigrad_span){at, bytes, stride, rows, 0};
        ahead->lines += (bytes + 63) / 64 * rows;
    }
}

/* What a sum of products has on its left: rows of x, (rows, k), and where the products of
   its columns with those of the right are added up, (k, n). */
typedef struct {
    const char *x;
    ptrdiff_t stride, k;
    char *out;
} minigrad_left;

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
        void *scratch, minigrad_ahead *ahead);
    size_t (*gram_scratch)(ptrdiff_t rows, const minigrad_left *left, int n_left);
    /* sums: of the columns of y, or NULL. */
    void (*gram)(
        const minigrad_left *left, int n_left, const void *y, ptrdiff_t y_stride,
        ptrdiff_t out_stride, void *sums, ptrdiff_t rows, ptrdiff_t n, int add,
        void *scratch, minigrad_ahead *ahead);
    void (*sum_rows)(
        const void *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, int add, void *out);
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

/* Of the loops whose bounds are known when this is compiled: without it an array of
   vectors would not become registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

/* minigrad_exp_avx512_float */
#define MINIGRAD_PASTE(a, b, c) minigrad_##a##_##b##_##c
#define MINIGRAD_NAME(a, b, c) MINIGRAD_PASTE(a, b, c)
#define NAME(a) MINIGRAD_NAME(a, SET, REAL)

#if defined(__x86_64__) || defined(__i386__)

#define SET avx512
#define BYTES 64
#define ROWS 12
#define FUSED 1 /* a multiply-add rounds once */
#ifdef __clang__
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma")
#endif
#define DOUBLE 0
#include "_simd.h"
#define DOUBLE 1
#include "_simd.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SET
#undef BYTES
#undef ROWS
#undef FUSED

#define SET avx2
#define BYTES 32
#define ROWS 6
#define FUSED 1
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define DOUBLE 0
#include "_simd.h"
#define DOUBLE 1
#include "_simd.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SET
#undef BYTES
#undef ROWS
#undef FUSED

#endif /* x86 */

#define SET baseline
#define BYTES 16
#ifdef __aarch64__
#define ROWS 12 /* of 32 registers; SSE2 has 16 */
#define FUSED 1
#else
#define ROWS 6
#define FUSED 0
#endif
#define DOUBLE 0
#include "_simd.h"
#define DOUBLE 1
#include "_simd.h"
#undef SET
#undef BYTES
#undef ROWS
#undef FUSED

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

#else /* the kernels of one instruction set and one dtype */

#if DOUBLE
#define REAL double
#define WHOLE int64_t
#define NATURAL uint64_t
#define DIGITS 52 /* of a number, after the first */
#define BIAS 1023 /* of its exponent */
#else
#define REAL float
#define WHOLE int32_t
#define NATURAL uint32_t
#define DIGITS 23
#define BIAS 127
#endif

#define LANES ((ptrdiff_t)(BYTES / sizeof(REAL)))
#define PANEL (2 * LANES)
/* From row to row of the rows at hand: more than a cut, as powers of two would put all
   the rows in the same few places of a cache. */
#define APART (MINIGRAD_CUT + 16)
#define STRETCH 48 /* of a tile's products, between two looks at what comes next */
#define INLINE static inline __attribute__((always_inline))

typedef REAL NAME(vector) __attribute__((vector_size(BYTES)));
typedef WHOLE NAME(mask) __attribute__((vector_size(BYTES)));
typedef NATURAL NAME(bits) __attribute__((vector_size(BYTES)));
typedef REAL NAME(anywhere)
    __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define BITS NAME(bits)

INLINE VECTOR NAME(load)(const REAL *p)
{
    return *(const NAME(anywhere) *)p;
}

INLINE void NAME(store)(REAL *p, VECTOR x)
{
    *(NAME(anywhere) *)p = x;
}

INLINE VECTOR NAME(all)(REAL x)
{
    return x - (VECTOR){0}; /* minus: -0 + 0 is 0 */
}

/* n < LANES numbers, the rest `other`. */
INLINE VECTOR NAME(load_part)(const REAL *p, ptrdiff_t n, REAL other)
{
    REAL part[LANES];
    for (ptrdiff_t i = 0; i < LANES; i++) {
        part[i] = i < n ? p[i] : other;
    }
    return NAME(load)(part);
}

INLINE void NAME(store_part)(REAL *p, ptrdiff_t n, VECTOR x)
{
    REAL part[LANES];
    NAME(store)(part, x);
    for (ptrdiff_t i = 0; i < n; i++) {
        p[i] = part[i];
    }
}

/* -- products --------------------------------------------------------------------- */

static void NAME(pack)(
    const void *weight, ptrdiff_t row, ptrdiff_t column, ptrdiff_t k, ptrdiff_t n,
    void *packed)
{
    const REAL *w = weight;
    REAL *out = packed;
    for (ptrdiff_t j = 0; j < n; j += PANEL) {
        ptrdiff_t columns = n - j < PANEL ? n - j : PANEL;
        if (column == 1 && columns == PANEL) {
            for (ptrdiff_t i = 0; i < k; i++) {
                memcpy(out + i * PANEL, w + i * row + j, PANEL * sizeof(REAL));
            }
        }
        else {
            /* A few rows at a time, so that a transposed weight is read by the line. */
            for (ptrdiff_t i = 0; i < k; i += LANES) {
                ptrdiff_t end = k - i < LANES ? k : i + LANES;
                for (ptrdiff_t c = 0; c < PANEL; c++) {
                    for (ptrdiff_t r = i; r < end; r++) {
                        out[r * PANEL + c] =
                            c < columns ? w[r * row + (j + c) * column] : 0;
                    }
                }
            }
        }
        out += k * PANEL;
    }
}

/* A tile of a product: `rows` of x times `panels` of a weight, all in registers. An
   element of x stands at x[r * row + k * step]. rows, panels, row and step are known
   when this is compiled, so that the loops over them unroll. */
INLINE void NAME(tile)(
    const REAL *x, ptrdiff_t row, ptrdiff_t step, const REAL *w, ptrdiff_t panel,
    ptrdiff_t inner, REAL *out, ptrdiff_t stride, ptrdiff_t columns, int add,
    minigrad_ahead *ahead, ptrdiff_t lines, int rows, int panels)
{
    VECTOR sum[2 * ROWS] = {{0}};
    for (ptrdiff_t k = 0;;) {
        ptrdiff_t end = inner - k < 2 * STRETCH ? inner : k + STRETCH;
        for (; k < end; k++) {
            UNROLL
            for (int p = 0; p < panels; p++) {
                VECTOR left = NAME(load)(w + p * panel + k * PANEL);
                VECTOR right = NAME(load)(w + p * panel + k * PANEL + LANES);
                UNROLL
                for (int r = 0; r < rows; r++) {
                    REAL factor = x[r * row + k * step];
                    sum[2 * (r * panels + p)] += factor * left;
                    sum[2 * (r * panels + p) + 1] += factor * right;
                }
            }
        }
        if (end == inner) {
            break;
        }
        if (lines) {
            minigrad_fetch(ahead, lines);
        }
        /* What is there already is fetched before the end: 8 % of a large gram. */
        if (add && inner - k < 2 * STRETCH) {
            UNROLL
            for (int r = 0; r < rows; r++) {
                __builtin_prefetch(out + r * stride, 1);
                __builtin_prefetch(out + r * stride + PANEL - 1, 1);
            }
        }
    }
    if (columns >= panels * PANEL) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int c = 0; c < 2 * panels; c++) {
                REAL *to = out + r * stride + c * LANES;
                VECTOR y = sum[2 * r * panels + c];
                NAME(store)(to, add ? NAME(load)(to) + y : y);
            }
        }
    }
    else {
        UNROLL
        for (int r = 0; r < rows; r++) {
            REAL all[8 * LANES];
            UNROLL
            for (int c = 0; c < 2 * panels; c++) {
                NAME(store)(all + c * LANES, sum[2 * r * panels + c]);
            }
            for (ptrdiff_t c = 0; c < columns; c++) {
                REAL *to = out + r * stride + c;
                *to = add ? *to + all[c] : all[c];
            }
        }
    }
}

/* The tiles of every number of rows. Two of them at least are needed to keep the
   multipliers busy; with fewer rows, several panels at once. */
#define PANELS(rows) ((rows) == 1 ? 4 : (rows) < 4 ? 2 : 1)

#define TILE(n) \
    case n: \
        NAME(tile)( \
            x, row, step, w, panel, inner, out, stride, columns, add, ahead, lines, n, 1); \
        break;

#if ROWS > 6
#define TILES \
    TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) \
    TILE(11) TILE(12)
#else
#define TILES TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#endif

static void NAME(row_tile)(
    const REAL *x, const REAL *w, ptrdiff_t inner, REAL *out, ptrdiff_t stride,
    ptrdiff_t columns, int add, minigrad_ahead *ahead, ptrdiff_t lines, ptrdiff_t rows)
{
    const ptrdiff_t row = APART, step = 1, panel = 0;
    switch (rows) {
        TILES
    }
}

static void NAME(column_tile)(
    const REAL *x, const REAL *w, ptrdiff_t inner, REAL *out, ptrdiff_t stride,
    ptrdiff_t columns, int add, minigrad_ahead *ahead, ptrdiff_t lines, ptrdiff_t rows)
{
    const ptrdiff_t row = 1, step = ROWS, panel = 0;
    switch (rows) {
        TILES
    }
}

#undef TILE
#undef TILES

/* A few rows: waiting for memory and for the sums, so several panels at once. */
static void NAME(narrow)(
    const REAL *x, ptrdiff_t row, const REAL *w, ptrdiff_t panel, ptrdiff_t inner,
    REAL *out, ptrdiff_t stride, ptrdiff_t columns, int add, ptrdiff_t rows)
{
    switch (rows) {
    case 1:
        NAME(tile)(
            x, 0, 1, w, panel, inner, out, stride, columns, add, NULL, 0, 1, PANELS(1));
        break;
    case 2:
        NAME(tile)(
            x, row, 1, w, panel, inner, out, stride, columns, add, NULL, 0, 2, PANELS(2));
        break;
    default:
        NAME(tile)(
            x, row, 1, w, panel, inner, out, stride, columns, add, NULL, 0, 3, PANELS(3));
    }
}

/* Cuts of a product whose rows are at hand at one time. */
#define CUTS 8

static size_t NAME(product_scratch)(ptrdiff_t rows, ptrdiff_t inner)
{
    ptrdiff_t cuts = (inner + MINIGRAD_CUT - 1) / MINIGRAD_CUT;
    size_t bytes = (cuts < CUTS ? cuts : CUTS) * rows * APART * sizeof(REAL);
    return rows < 4 ? 0 : bytes < MINIGRAD_SCRATCH ? bytes : MINIGRAD_SCRATCH;
}

/* Rows 1 to 3, where they stand. */
static void NAME(thin)(
    const REAL *x, ptrdiff_t x_stride, const REAL *w, REAL *out, ptrdiff_t stride,
    ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t width, int add)
{
    ptrdiff_t panels = rows == 1 ? PANELS(1) : rows == 2 ? PANELS(2) : PANELS(3);
    ptrdiff_t panel = inner * PANEL;
    for (ptrdiff_t j = 0; j < width; ) {
        for (ptrdiff_t k = 0; k < inner; k += MINIGRAD_CUT) {
            ptrdiff_t cut = inner - k < MINIGRAD_CUT ? inner - k : MINIGRAD_CUT;
            const REAL *from = w + j * inner + k * PANEL;
            if (width - j > (panels - 1) * PANEL) {
                NAME(narrow)(
                    x + k, x_stride, from, panel, cut, out + j, stride, width - j,
                    add || k, rows);
            }
            else { /* a panel alone; the rows one by one */
                for (ptrdiff_t r = 0; r < rows; r++) {
                    NAME(tile)(
                        x + r * x_stride + k, 0, 1, from, panel, cut,
                        out + r * stride + j, stride, width - j, add || k, NULL, 0, 1, 1);
                }
            }
        }
        j += width - j > (panels - 1) * PANEL ? panels * PANEL : PANEL;
    }
}

static void NAME(product)(
    const void *left, ptrdiff_t x_stride, const void *packed, void *result,
    ptrdiff_t out_stride, ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t width, int add,
    void *scratch, minigrad_ahead *ahead)
{
    const REAL *x = left, *w = packed;
    REAL *out = result, *hand = scratch;
    if (inner == 0 && !add) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            memset(out + r * out_stride, 0, width * sizeof(REAL));
        }
    }
    if (rows < 4) {
        if (rows) {
            NAME(thin)(x, x_stride, w, out, out_stride, rows, inner, width, add);
        }
        return;
    }
    for (ptrdiff_t first = 0; first < inner; first += CUTS * MINIGRAD_CUT) {
        ptrdiff_t last = inner - first < CUTS * MINIGRAD_CUT ? inner
                                                             : first + CUTS * MINIGRAD_CUT;
        ptrdiff_t cuts = (last - first + MINIGRAD_CUT - 1) / MINIGRAD_CUT;
        ptrdiff_t most = MINIGRAD_SCRATCH / (cuts * APART * (ptrdiff_t)sizeof(REAL));
        most = most / ROWS * ROWS;
        for (ptrdiff_t top = 0; top < rows; top += most) {
            ptrdiff_t n = rows - top < most ? rows - top : most;
            ptrdiff_t blocks = (n + ROWS - 1) / ROWS;
            /* What comes nearer meanwhile: the rows after these, if there are any. */
            ptrdiff_t others = rows - top - n < most ? rows - top - n : most;
            minigrad_span span;
            minigrad_ahead after = {&span, &span, 0}, *near = others ? &after : ahead;
            minigrad_add(
                &after, &span + 1, x + (top + n) * x_stride + first,
                (last - first) * sizeof(REAL), x_stride * sizeof(REAL), others);
            ptrdiff_t stretches = (width + PANEL - 1) / PANEL * blocks
                * ((last - first) / STRETCH + 1);
            ptrdiff_t lines = (near->lines + stretches - 1) / stretches;
            /* Copied: from here a row stands at a distance known to the compiler. */
            for (ptrdiff_t c = 0; c < cuts; c++) {
                ptrdiff_t k = first + c * MINIGRAD_CUT;
                ptrdiff_t cut = last - k < MINIGRAD_CUT ? last - k : MINIGRAD_CUT;
                for (ptrdiff_t r = 0; r < n; r++) {
                    memcpy(
                        hand + (c * n + r) * APART, x + (top + r) * x_stride + k,
                        cut * sizeof(REAL));
                }
            }
            for (ptrdiff_t j = 0; j < width; j += PANEL) {
                for (ptrdiff_t c = 0; c < cuts; c++) {
                    ptrdiff_t k = first + c * MINIGRAD_CUT;
                    ptrdiff_t cut = last - k < MINIGRAD_CUT ? last - k : MINIGRAD_CUT;
                    const REAL *from = w + j * inner + k * PANEL;
                    for (ptrdiff_t b = 0, r = 0; b < blocks; b++) {
                        /* Blocks alike: 32 rows are 11, 11 and 10, not 12, 12 and 8. */
                        ptrdiff_t height = n / blocks + (b < n % blocks);
                        NAME(row_tile)(
                            hand + (c * n + r) * APART, from, cut,
                            out + (top + r) * out_stride + j, out_stride, width - j,
                            add || k, near, lines, height);
                        r += height;
                    }
                }
            }
        }
    }
}

/* What gram has at hand: strips of the columns of x, which stay in the second cache, and
   panels of y, those of the turn in the first. */
#define GRAM_STRIPS ((int)(528 * sizeof(float) / sizeof(REAL) / ROWS))
#define GRAM_PANELS 4

static int NAME(count_strips)(const minigrad_left *left, int n_left)
{
    int n = 0;
    for (int i = 0; i < n_left; i++) {
        n += (left[i].k + ROWS - 1) / ROWS;
    }
    return n;
}

static size_t NAME(gram_scratch)(ptrdiff_t rows, const minigrad_left *left, int n_left)
{
    int strips = NAME(count_strips)(left, n_left);
    strips = strips < GRAM_STRIPS ? strips : GRAM_STRIPS;
    return rows * (strips * ROWS + GRAM_PANELS * PANEL) * sizeof(REAL);
}

/* Panels of `size` columns of x: each has all rows of it, a row after the other. Eight
   panels at a time, lest all of them be written in the same few places of a cache. */
INLINE void NAME(regroup)(
    const REAL *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t size,
    REAL *out)
{
    for (ptrdiff_t j = 0; j < n; j += 8 * size) {
        ptrdiff_t end = n - j < 8 * size ? n : j + 8 * size;
        for (ptrdiff_t r = 0; r < rows; r++) {
            ptrdiff_t c = j;
            for (; c + size <= end; c += size) {
                memcpy(out + c * rows + r * size, x + r * stride + c, size * sizeof(REAL));
            }
            for (ptrdiff_t i = 0; c < end && i < size; i++) {
                out[c * rows + r * size + i] = c + i < end ? x[r * stride + c + i] : 0;
            }
        }
    }
}

/* The sums of a panel's columns: of sum_rows, whose bits they have. */
INLINE void NAME(sum_panel)(
    const REAL *y, ptrdiff_t rows, ptrdiff_t columns, int add, REAL *out)
{
    VECTOR sum[2] = {{0}};
    for (ptrdiff_t r = 0; r < rows; r++) {
        sum[0] += NAME(load)(y + r * PANEL);
        sum[1] += NAME(load)(y + r * PANEL + LANES);
    }
    for (ptrdiff_t c = 0; c < columns && c < PANEL; c++) {
        REAL one = sum[c / LANES][c % LANES];
        out[c] = add ? out[c] + one : one;
    }
}

static void NAME(gram)(
    const minigrad_left *left, int n_left, const void *right, ptrdiff_t y_stride,
    ptrdiff_t out_stride, void *sums, ptrdiff_t rows, ptrdiff_t n, int add, void *scratch,
    minigrad_ahead *ahead)
{
    const REAL *y = right;
    REAL *total = sums, *ys = scratch, *xs = ys + rows * GRAM_PANELS * PANEL;
    int strips = NAME(count_strips)(left, n_left);
    int turns = (strips + GRAM_STRIPS - 1) / GRAM_STRIPS;
    int most = turns ? (strips + turns - 1) / turns : 0;
    ptrdiff_t done = 0; /* columns of the first of those on the left */
    for (int turn = 0; turn < turns; turn++) {
        REAL *out[GRAM_STRIPS];
        int height[GRAM_STRIPS], here = 0;
        while (here < most && n_left) {
            ptrdiff_t rest = left->k - done, room = (most - here) * ROWS;
            ptrdiff_t k = rest < room ? rest : room;
            NAME(regroup)(
                (const REAL *)left->x + done, left->stride, rows, k, ROWS,
                xs + here * ROWS * rows);
            for (ptrdiff_t i = 0; i < k; i += ROWS, here++) {
                out[here] = (REAL *)left->out + (done + i) * out_stride;
                height[here] = k - i < ROWS ? k - i : ROWS;
            }
            done += k;
            if (done == left->k) {
                left++, n_left--, done = 0;
            }
        }
        for (ptrdiff_t j = 0; j < n; j += GRAM_PANELS * PANEL) {
            ptrdiff_t width = n - j < GRAM_PANELS * PANEL ? n - j : GRAM_PANELS * PANEL;
            NAME(regroup)(y + j, y_stride, rows, width, PANEL, ys);
            /* Meanwhile the columns of the next turn come nearer, or what is ahead. */
            ptrdiff_t others = n - j - width < width ? n - j - width : width;
            minigrad_span span;
            minigrad_ahead after = {&span, &span, 0}, *near = others ? &after : ahead;
            minigrad_add(
                &after, &span + 1, y + j + width, others * sizeof(REAL),
                y_stride * sizeof(REAL), rows);
            ptrdiff_t stretches =
                (width + PANEL - 1) / PANEL * here * (rows / STRETCH + 1);
            ptrdiff_t lines = (near->lines + stretches - 1) / stretches;
            for (ptrdiff_t c = 0; c < width; c += PANEL) {
                if (total && turn == 0) {
                    NAME(sum_panel)(ys + c * rows, rows, width - c, add, total + j + c);
                }
                for (int i = 0; i < here; i++) {
                    NAME(column_tile)(
                        xs + i * ROWS * rows, ys + c * rows, rows, out[i] + j + c,
                        out_stride, width - c, add, near, lines, height[i]);
                }
            }
        }
    }
}

#define SUMS 32

static void NAME(sum_rows)(
    const void *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, int add, void *to)
{
    const REAL *x = from;
    REAL *out = to;
    ptrdiff_t j = 0;
    /* Of many columns, so that the machine sees what comes next; four rows at a time, so
       that the sums, in the nearest cache, are not all that it is busy with. */
    for (; j + LANES <= n; j += SUMS * LANES) {
        ptrdiff_t vectors = (n - j) / LANES < SUMS ? (n - j) / LANES : SUMS, r = 0;
        VECTOR sum[SUMS] = {{0}};
        for (; r + 4 <= rows; r += 4) {
            const REAL *at = x + r * stride + j;
            for (ptrdiff_t i = 0; i < vectors; i++, at += LANES) {
                sum[i] = sum[i] + NAME(load)(at) + NAME(load)(at + stride)
                    + NAME(load)(at + 2 * stride) + NAME(load)(at + 3 * stride);
            }
        }
        for (; r < rows; r++) {
            for (ptrdiff_t i = 0; i < vectors; i++) {
                sum[i] += NAME(load)(x + r * stride + j + i * LANES);
            }
        }
        for (ptrdiff_t i = 0; i < vectors; i++) {
            REAL *at = out + j + i * LANES;
            NAME(store)(at, add ? NAME(load)(at) + sum[i] : sum[i]);
        }
    }
    for (j = n / LANES * LANES; j < n; j++) {
        REAL sum = 0;
        for (ptrdiff_t r = 0; r < rows; r++) {
            sum += x[r * stride + j];
        }
        out[j] = add ? out[j] + sum : sum;
    }
}

/* -- functions of a vector -------------------------------------------------------- */

INLINE VECTOR NAME(pick)(MASK which, VECTOR x, VECTOR y)
{
    return (VECTOR)((which & (MASK)x) | (~which & (MASK)y));
}

INLINE VECTOR NAME(magnitude)(VECTOR x)
{
    return (VECTOR)((BITS)x & ((BITS)(MASK){0} - 1) >> 1);
}

INLINE VECTOR NAME(with_sign)(VECTOR x, VECTOR sign)
{
    BITS rest = ((BITS)(MASK){0} - 1) >> 1;
    return (VECTOR)(((BITS)x & rest) | ((BITS)sign & ~rest));
}

/* 1 where the mask holds, else 0. */
INLINE VECTOR NAME(truth)(MASK which)
{
    return (VECTOR)(which & (MASK)NAME(all)(1));
}

INLINE VECTOR NAME(larger)(VECTOR x, VECTOR y)
{
    return NAME(pick)((x >= y) | (x != x), x, y);
}

INLINE VECTOR NAME(smaller)(VECTOR x, VECTOR y)
{
    return NAME(pick)((x <= y) | (x != x), x, y);
}

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

/* -- opcodes ---------------------------------------------------------------------- */

/* An opcode that makes a vector of up to three: a, b and c. The last vector of a row may
   share columns with the one before: it is made first, as its operands may stand where
   the result goes. */
#define EACH(name, expression) \
    static void NAME(op_##name)( \
        char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width) \
    { \
        const ptrdiff_t last = width - LANES, rest = width % LANES; \
        for (ptrdiff_t r = 0; r < rows; r++) { \
            REAL *out = (REAL *)(at[0] + r * stride[0]); \
            const REAL *x = (const REAL *)(at[1] + r * stride[1]); \
            const REAL *y = (const REAL *)(at[2] + r * stride[2]); \
            const REAL *z = (const REAL *)(at[3] + r * stride[3]); \
            VECTOR end = {0}; \
            if (rest && last < 0) { \
                VECTOR a = NAME(load_part)(x, rest, 0), b = NAME(load_part)(y, rest, 0); \
                VECTOR c = NAME(load_part)(z, rest, 0); \
                (void)b, (void)c; \
                NAME(store_part)(out, rest, expression); \
                continue; \
            } \
            if (rest) { \
                VECTOR a = NAME(load)(x + last), b = NAME(load)(y + last); \
                VECTOR c = NAME(load)(z + last); \
                (void)b, (void)c; \
                end = expression; \
            } \
            for (ptrdiff_t i = 0; i <= last; i += LANES) { \
                VECTOR a = NAME(load)(x + i), b = NAME(load)(y + i); \
                VECTOR c = NAME(load)(z + i); \
                (void)b, (void)c; \
                NAME(store)(out + i, expression); \
            } \
            if (rest) { \
                NAME(store)(out + last, end); \
            } \
        } \
    }

EACH(add, a + b)
EACH(sub, a - b)
EACH(mul, a * b)
EACH(div, a / b)
EACH(neg, -a)
EACH(abs, NAME(magnitude)(a))
EACH(sign, NAME(truth)(a > 0) - NAME(truth)(a < 0))
EACH(exp, NAME(exp)(a))
EACH(tanh, NAME(tanh)(a))
EACH(sigmoid, NAME(sigmoid)(a))
EACH(relu, NAME(larger)(a, (VECTOR){0}))
EACH(softsign, a / (NAME(magnitude)(a) + 1))
EACH(maximum, NAME(larger)(a, b))
EACH(minimum, NAME(smaller)(a, b))
EACH(eq, NAME(truth)(a == b))
EACH(ne, NAME(truth)(a != b))
EACH(lt, NAME(truth)(a < b))
EACH(le, NAME(truth)(a <= b))
EACH(gt, NAME(truth)(a > b))
EACH(ge, NAME(truth)(a >= b))
EACH(logical_and, NAME(truth)((a != 0) & (b != 0)))
EACH(logical_or, NAME(truth)((a != 0) | (b != 0)))
EACH(logical_not, NAME(truth)(a == 0))
EACH(where, NAME(pick)(a != 0, b, c))
EACH(muladd, a * b + c)
EACH(add3, a + b + c)
EACH(mulrest, a * (C(1) - b))
EACH(copy, a)

/* An opcode that the library of C computes, in double, one number after the other. */
#define EACH_ALONE(name, expression) \
    static void NAME(op_##name)( \
        char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width) \
    { \
        for (ptrdiff_t r = 0; r < rows; r++) { \
            REAL *out = (REAL *)(at[0] + r * stride[0]); \
            const REAL *x = (const REAL *)(at[1] + r * stride[1]); \
            const REAL *y = (const REAL *)(at[2] + r * stride[2]); \
            for (ptrdiff_t i = 0; i < width; i++) { \
                double a = x[i], b = y[i]; \
                (void)b; \
                out[i] = (REAL)(expression); \
            } \
        } \
    }

EACH_ALONE(pow, pow(a, b))
EACH_ALONE(expm1, expm1(a))
EACH_ALONE(log, log(a))
EACH_ALONE(log1p, log1p(a))
EACH_ALONE(sqrt, sqrt(a))
EACH_ALONE(sin, sin(a))
EACH_ALONE(cos, cos(a))
EACH_ALONE(silu, minigrad_silu(a))

static void NAME(op_spread)(
    char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        REAL *out = (REAL *)(at[0] + r * stride[0]);
        REAL x = *(const REAL *)(at[1] + r * stride[1]);
        for (ptrdiff_t i = 0; i < width; i++) {
            out[i] = x;
        }
    }
}

INLINE VECTOR NAME(plus)(VECTOR x, VECTOR y)
{
    return x + y;
}

/* Two vectors of partial results, which meet in an order that depends on nothing. */
#define MEET(result, meet, alone, left, right) \
    do { \
        REAL all[LANES]; \
        NAME(store)(all, NAME(meet)(left, right)); \
        for (ptrdiff_t half = LANES / 2; half; half /= 2) { \
            for (ptrdiff_t j = 0; j < half; j++) { \
                REAL a = all[j], b = all[j + half]; \
                all[j] = alone; \
            } \
        } \
        result = all[0]; \
    } while (0)

/* What a row comes to: `expression` of its vectors a, and of those of another row, b.
   Past the end they are `pad`, which changes no result. */
#define ALONG(result, meet, alone, start, pad, expression) \
    do { \
        VECTOR left = NAME(all)(start), right = left, a = left, b = left; \
        ptrdiff_t i = 0; \
        (void)b; \
        for (; i + 2 * LANES <= width; i += 2 * LANES) { \
            a = NAME(load)(x + i), b = NAME(load)(y + i); \
            left = NAME(meet)(left, expression); \
            a = NAME(load)(x + i + LANES), b = NAME(load)(y + i + LANES); \
            right = NAME(meet)(right, expression); \
        } \
        if (i + LANES <= width) { \
            a = NAME(load)(x + i), b = NAME(load)(y + i); \
            left = NAME(meet)(left, expression); \
            i += LANES; \
        } \
        if (i < width) { \
            a = NAME(load_part)(x + i, width - i, pad); \
            b = NAME(load_part)(y + i, width - i, pad); \
            right = NAME(meet)(right, expression); \
        } \
        MEET(result, meet, alone, left, right); \
    } while (0)

/* An opcode that makes one number of a row. */
#define REDUCE(name, meet, alone, start) \
    static void NAME(op_##name)( \
        char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width) \
    { \
        for (ptrdiff_t r = 0; r < rows; r++) { \
            const REAL *x = (const REAL *)(at[1] + r * stride[1]), *y = x; \
            REAL result; \
            ALONG(result, meet, alone, start, start, a); \
            *(REAL *)(at[0] + r * stride[0]) = result; \
        } \
    }

REDUCE(sum, plus, a + b, 0)
REDUCE(amax, larger, a >= b || a != a ? a : b, x[0])
REDUCE(amin, smaller, a <= b || a != a ? a : b, x[0])

#define SUM(result, pad, expression) ALONG(result, plus, a + b, 0, pad, expression)

/* 1 / sqrt(variance + eps) */
static void NAME(op_rstd)(
    char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        const REAL *x = (const REAL *)(at[1] + r * stride[1]), *y = x;
        REAL mean, total;
        SUM(mean, 0, a);
        mean /= width;
        SUM(total, mean, (a - NAME(all)(mean)) * (a - NAME(all)(mean)));
        total = total / width + *(const REAL *)(at[2] + r * stride[2]);
        *(REAL *)(at[0] + r * stride[0]) = 1 / (REAL)sqrt(total);
    }
}

/* A vector of a row at a time, the last one perhaps in part; a is of x and b of y. */
#define ALL_OF(expression) \
    do { \
        VECTOR a = {0}, b = a; \
        ptrdiff_t i = 0; \
        (void)b; \
        for (; i + LANES <= width; i += LANES) { \
            a = NAME(load)(x + i), b = NAME(load)(y + i); \
            NAME(store)(out + i, expression); \
        } \
        if (i < width) { \
            a = NAME(load_part)(x + i, width - i, 0); \
            b = NAME(load_part)(y + i, width - i, 0); \
            NAME(store_part)(out + i, width - i, expression); \
        } \
    } while (0)

/* (x - mean) * scale */
static void NAME(op_standardize)(
    char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        REAL *out = (REAL *)(at[0] + r * stride[0]);
        const REAL *x = (const REAL *)(at[1] + r * stride[1]), *y = x;
        const REAL scale = *(const REAL *)(at[2] + r * stride[2]);
        REAL mean;
        SUM(mean, 0, a);
        mean /= width;
        ALL_OF((a - NAME(all)(mean)) * NAME(all)(scale));
    }
}

/* scale * (x - mean(x) - y * mean(x * y)) */
static void NAME(op_standardize_grad)(
    char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        REAL *out = (REAL *)(at[0] + r * stride[0]);
        const REAL *x = (const REAL *)(at[1] + r * stride[1]);
        const REAL *y = (const REAL *)(at[2] + r * stride[2]);
        const REAL scale = *(const REAL *)(at[3] + r * stride[3]);
        REAL mean, slope;
        SUM(mean, 0, a);
        SUM(slope, 0, a * b);
        mean /= width, slope /= width;
        ALL_OF(NAME(all)(scale) * (a - NAME(all)(mean) - b * NAME(all)(slope)));
    }
}

#define NAMED(name) {#name, NAME(op_##name)},

static const minigrad_named NAME(opcodes)[] = {
    NAMED(add) NAMED(sub) NAMED(mul) NAMED(div) NAMED(neg) NAMED(pow) NAMED(abs)
    NAMED(sign) NAMED(exp) NAMED(expm1) NAMED(log) NAMED(log1p) NAMED(sqrt) NAMED(sin)
    NAMED(cos) NAMED(tanh) NAMED(sigmoid) NAMED(relu) NAMED(silu) NAMED(softsign)
    NAMED(maximum) NAMED(minimum) NAMED(eq) NAMED(ne) NAMED(lt) NAMED(le) NAMED(gt)
    NAMED(ge) NAMED(logical_and) NAMED(logical_or) NAMED(logical_not) NAMED(where)
    NAMED(muladd) NAMED(add3) NAMED(mulrest) NAMED(copy) NAMED(spread) NAMED(sum)
    NAMED(amax) NAMED(amin) NAMED(rstd) NAMED(standardize) NAMED(standardize_grad) {0, 0}
};

static const minigrad_kernels NAME(kernels) = {
    PANEL,
    NAME(pack),
    NAME(product_scratch),
    NAME(product),
    NAME(gram_scratch),
    NAME(gram),
    NAME(sum_rows),
    NAME(opcodes),
};

#undef LANES
#undef PANEL
#undef APART
#undef STRETCH
#undef INLINE
#undef VECTOR
#undef MASK
#undef BITS
#undef PANELS
#undef CUTS
#undef GRAM_STRIPS
#undef GRAM_PANELS
#undef SUMS
#undef DIGITS
#undef BIAS
#undef C
#undef LEAST
#undef MOST
#undef TANH_MOST
#undef ROUNDER
#undef LIFT
#undef LOG_2
#undef LOG_2_REST
#undef EACH
#undef EACH_ALONE
#undef MEET
#undef ALONG
#undef REDUCE
#undef SUM
#undef ALL_OF
#undef NAMED
#undef REAL
#undef WHOLE
#undef NATURAL
#undef DOUBLE

#endif
