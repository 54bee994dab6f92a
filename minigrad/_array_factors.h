/* A part of `_array.h`: products along an axis, and their gradient. */

static REAL NAME(product_of)(const REAL *x, ptrdiff_t n)
{
    VECTOR part[4], one = NAME(all)(1);
    UNROLL for (ptrdiff_t v = 0; v < 4; v++) {
        part[v] = one;
    }
    ptrdiff_t start = 0;
    for (; start + 4 * LANES <= n; start += 4 * LANES) {
        UNROLL for (ptrdiff_t v = 0; v < 4; v++) {
            part[v] *= NAME(load)(x + start + v * LANES);
        }
    }
    x += start;
    EACH_PART(n - start) part[0] *= NAME(some)(x + i, k, 1);
    return NAME(multiplied)((part[0] * part[1]) * (part[2] * part[3]));
}

static void NAME(prod)(
    const void *from, void *to, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    const REAL *x = from;
    REAL *y = to;
    for (ptrdiff_t o = 0; inner == 1 && o < outer; o++, x += n) {
        y[o] = NAME(product_of)(x, n);
    }
    for (ptrdiff_t o = 0; inner > 1 && o < outer; o++, y += inner) {
        memcpy(y, x, inner * sizeof(REAL));
        x += inner;
        for (ptrdiff_t r = 1; r < n; r++, x += inner) {
            for (ptrdiff_t j = 0; j < inner; j++) {
                y[j] *= x[j];
            }
        }
    }
}

/* g times the product of the others, for each of n numbers that stand `step` apart. */
static void NAME(others)(REAL g, const REAL *x, REAL *out, ptrdiff_t n, ptrdiff_t step)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        out[i * step] = g;
        g *= x[i * step];
    }
    REAL behind = 1;
    for (ptrdiff_t i = n - 1; i >= 0; i--) {
        out[i * step] *= behind;
        behind *= x[i * step];
    }
}

/* y is the product: a quotient is that of the others, unless a number is 0, infinite or
   NaN, or y has lost digits. */
static void NAME(prod_grad)(
    const void *cotangent, const void *from, const void *product, void *to,
    ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
{
    const REAL *g = cotangent, *x = from, *y = product, least = DOUBLE ? 0x1p-1022 : 0x1p-126f;
    REAL *out = to;
    for (ptrdiff_t o = 0; o < outer; o++, g += inner, y += inner) {
        for (ptrdiff_t r = 0; inner > 1 && r < n; r++) {
            for (ptrdiff_t j = 0; j < inner; j++) {
                out[r * inner + j] = g[j] * (y[j] / x[r * inner + j]);
            }
        }
        for (ptrdiff_t i = 0; inner == 1 && i < n; i++) {
            out[i] = *g * (*y / x[i]);
        }
        for (ptrdiff_t j = 0; j < inner; j++) {
            const REAL size = y[j] < 0 ? -y[j] : y[j];
            if (!(size >= least && size < (REAL)INFINITY)) {
                NAME(others)(g[j], x + j, out + j, n, inner);
            }
        }
        x += n * inner;
        out += n * inner;
    }
}
