/* Of `_simd.h`: products with rows of zeros in which one number at most is 1, such as the
   one-hot vectors of tokens. They pick rows, with the bits that multiplying would give:
   whatever else is added is 0, as long as nothing is infinite or NaN. */

/* Where the 1 of each row is, -1 if there is none; whether all rows are so. */
static int NAME(ones)(
    const void *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t k, int32_t *ones)
{
    const REAL *x = from;
    for (ptrdiff_t r = 0; r < rows; r++, x += stride) {
        if (x[0] != 0 && x[0] != 1) { /* most rows are told by that */
            return 0;
        }
        ptrdiff_t found = 0;
        for (ptrdiff_t i = 0; i < k; i += LANES) {
            VECTOR y = k - i < LANES ? NAME(load_part)(x + i, k - i, 0) : NAME(load)(x + i);
            for (int c = NAME(any)((MASK)(y != 0)) ? 0 : LANES; c < LANES; c++) {
                if (y[c] != 0) {
                    if (y[c] != 1 || found) {
                        return 0;
                    }
                    found = i + c + 1;
                }
            }
        }
        ones[r] = (int32_t)(found - 1);
    }
    return 1;
}

/* Whether no number of these rows is infinite or NaN. */
static int NAME(all_finite)(
    const void *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *x = from;
    VECTOR none = {0};
    for (ptrdiff_t r = 0; r < rows; r++, x += stride) {
        ptrdiff_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            none += NAME(load)(x + i) * 0;
        }
        if (i < n) {
            none += NAME(load_part)(x + i, n - i, 0) * 0;
        }
    }
    for (int c = 0; c < LANES; c++) {
        if (none[c] != 0) {
            return 0;
        }
    }
    return 1;
}

/* A product: rows of a packed weight. */
static void NAME(lookup)(
    const int32_t *ones, ptrdiff_t rows, const void *packed, ptrdiff_t inner,
    void *result, ptrdiff_t stride, ptrdiff_t width)
{
    REAL *out = result;
    for (ptrdiff_t r = 0; r < rows; r++, out += stride) {
        if (ones[r] < 0) {
            memset(out, 0, width * sizeof(REAL));
            continue;
        }
        const REAL *w = (const REAL *)packed + ones[r] * PANEL;
        for (ptrdiff_t j = 0; j < width; j += PANEL, w += inner * PANEL) {
            for (ptrdiff_t c = j; c < j + PANEL && c < width; c += LANES) {
                VECTOR y = NAME(load)(w + c - j) + 0; /* -0 is 0 in a product's sum */
                if (width - c < LANES) {
                    NAME(store_part)(out + c, width - c, y);
                }
                else {
                    NAME(store)(out + c, y);
                }
            }
        }
    }
}

/* A gram, which adds y to the rows `first` to `last` that are picked; to the others 0 would
   be added, and no sum is -0. after: for each row the next that picks the same one; top:
   for each that can be picked who does so first. */
static void NAME(lookup_gram)(
    const int32_t *ones, ptrdiff_t rows, const void *right, ptrdiff_t y_stride,
    ptrdiff_t n, ptrdiff_t first, ptrdiff_t last, int add, void *result,
    ptrdiff_t out_stride, int32_t *after, int32_t *top)
{
    const REAL *y = right;
    REAL *out = result;
    for (ptrdiff_t k = first; k < last && !add; k++) {
        memset(out + k * out_stride, 0, n * sizeof(REAL));
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        if (ones[r] >= 0) {
            top[ones[r]] = -1;
        }
    }
    for (ptrdiff_t r = rows; r-- > 0;) {
        if (ones[r] >= 0) {
            after[r] = top[ones[r]];
            top[ones[r]] = (int32_t)r;
        }
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        if (ones[r] < first || ones[r] >= last || top[ones[r]] != r) {
            continue;
        }
        for (ptrdiff_t j = 0; j < n; j += SUMS * LANES) {
            ptrdiff_t whole = (n - j) / LANES, i;
            ptrdiff_t vectors = whole < SUMS ? whole : SUMS;
            ptrdiff_t rest = whole < SUMS ? n - j - whole * LANES : 0;
            REAL *to = out + ones[r] * out_stride + j;
            VECTOR sum[SUMS] = {{0}}, part = {0};
            for (i = r; i >= 0; i = after[i]) {
                const REAL *from = y + i * y_stride + j;
                for (ptrdiff_t v = 0; v < vectors; v++) {
                    sum[v] += NAME(load)(from + v * LANES);
                }
                if (rest) {
                    part += NAME(load_part)(from + vectors * LANES, rest, 0);
                }
            }
            for (ptrdiff_t v = 0; v < vectors; v++, to += LANES) {
                NAME(store)(to, NAME(load)(to) + sum[v]);
            }
            if (rest) {
                NAME(store_part)(to, rest, NAME(load_part)(to, rest, 0) + part);
            }
        }
    }
}
