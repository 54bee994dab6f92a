/* A part of `_array.h`: softmax and its kin. */

/* What is subtracted before exp: the largest. An infinite one makes NaN of a softmax, as it
   is to be, but not of a logsumexp: that is infinite, too, and 0 is subtracted. */
INLINE REAL NAME(top)(const REAL *x, ptrdiff_t n, int finite)
{
    REAL odd, top = NAME(largest)(x, n, &odd);
    return !finite || top - top == 0 ? top : 0;
}

/* Up to WIDE columns of n numbers: what is subtracted from each before exp, and the sum of
   those; exp itself goes to exps, if that is not NULL. */
INLINE void NAME(columns_sum)(
    const REAL *x, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t width, int finite, VECTOR *top,
    VECTOR *sum, REAL *exps)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        EACH_PART(width)
        {
            VECTOR next = NAME(some)(x + r * inner + i, k, 0);
            VECTOR *at = top + i / LANES;
            *at = r ? NAME(most)(next, *at) : next;
        }
    }
    for (ptrdiff_t i = 0; finite && i < 8; i++) {
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
            VECTOR top = NAME(all)(NAME(top)(x, n, 0)), sums = {0};
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
            NAME(columns_sum)(x + j, n, inner, width, 0, top, sum, y + j);
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
            VECTOR top = NAME(all)(NAME(top)(x, n, !whole)), sums = {0};
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
            NAME(columns_sum)(x + j, n, inner, width, !whole, top, sum, 0);
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

/* -- the loss of a label: log(sum(e**x)) - x[label] ----------------------------------- */

/* Its sum over the rows, or each. A row whose label is to be ignored has none. */
static void NAME(label_loss)(
    const void *from, const int64_t *labels, int64_t ignored, int whole, void *to,
    ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *x = from;
    REAL *y = to;
    double sum = 0;
    for (ptrdiff_t r = 0; r < rows; r++, x += n) {
        REAL loss = 0;
        if (labels[r] != ignored) {
            VECTOR top = NAME(all)(NAME(top)(x, n, 0)), sums = {0};
            EACH_PART(n) sums += NAME(exp)(NAME(some)(x + i, k, -INFINITY) - top);
            loss = (REAL)log((double)NAME(total)(sums)) - (x[labels[r]] - top[0]);
        }
        sum += (double)loss;
        if (whole) {
            y[r] = loss;
        }
    }
    if (!whole) {
        *y = (REAL)sum;
    }
}

/* (softmax(x) - 1 at the label) g / count. step: from row to row of g. */
static void NAME(label_loss_grad)(
    const void *cotangent, ptrdiff_t step, const void *from, const int64_t *labels,
    int64_t ignored, double count, void *to, ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *g = cotangent, *x = from;
    REAL *out = to;
    for (ptrdiff_t r = 0; r < rows; r++, x += n, out += n, g += step) {
        VECTOR top = NAME(all)(NAME(top)(x, n, 0)), sums = {0};
        EACH_PART(n)
        {
            VECTOR e = NAME(exp)(NAME(some)(x + i, k, -INFINITY) - top);
            sums += e;
            NAME(put)(out + i, k, e);
        }
        const int counts = labels[r] != ignored;
        const REAL share = counts ? (REAL)((double)*g / count) : 0;
        VECTOR scale = NAME(all)(share / NAME(total)(sums));
        EACH_PART(n) NAME(put)(out + i, k, NAME(some)(out + i, k, 0) * scale);
        if (counts) {
            out[labels[r]] -= share;
        }
    }
}
