/* A part of `_array.h`: a product of few numbers, which BLAS takes longer to begin. */

static void NAME(few_product)(
    const void *left, const ptrdiff_t *x_strides, const void *right,
    const ptrdiff_t *y_strides, void *to, ptrdiff_t m, ptrdiff_t k, ptrdiff_t n)
{
    const REAL *x = left, *y = right;
    REAL *out = to;
    const ptrdiff_t row = x_strides[0], column = x_strides[1];
    for (ptrdiff_t r = 0; r < m; r++, x += row, out += n) {
        if (y_strides[1] != 1) { /* transposed: each sum by itself */
            for (ptrdiff_t j = 0; j < n; j++) {
                const REAL *w = y + j * y_strides[1];
                VECTOR sum = {0};
                REAL rest = 0;
                ptrdiff_t i = 0;
                if (column == 1 && y_strides[0] == 1) {
                    for (; i + LANES <= k; i += LANES) {
                        sum += NAME(load)(x + i) * NAME(load)(w + i);
                    }
                }
                for (; i < k; i++) {
                    rest += x[i * column] * w[i * y_strides[0]];
                }
                out[j] = k < LANES ? rest : NAME(total)(sum) + rest;
            }
            continue;
        }
        ptrdiff_t j = 0;
        for (; j + 4 * LANES <= n; j += 4 * LANES) {
            VECTOR sum[4] = {{0}};
            for (ptrdiff_t i = 0; i < k; i++) {
                VECTOR a = NAME(all)(x[i * column]);
                const REAL *w = y + i * y_strides[0] + j;
                sum[0] += a * NAME(load)(w);
                sum[1] += a * NAME(load)(w + LANES);
                sum[2] += a * NAME(load)(w + 2 * LANES);
                sum[3] += a * NAME(load)(w + 3 * LANES);
            }
            for (ptrdiff_t v = 0; v < 4; v++) {
                NAME(store)(out + j + v * LANES, sum[v]);
            }
        }
        while (n >= LANES && j < n) {
            VECTOR sum = {0};
            j = j + LANES <= n ? j : n - LANES; /* the last vector: some once more */
            for (ptrdiff_t i = 0; i < k; i++) {
                sum += NAME(all)(x[i * column]) * NAME(load)(y + i * y_strides[0] + j);
            }
            NAME(store)(out + j, sum);
            j += LANES;
        }
        for (; j < n; j++) {
            REAL sum = 0;
            for (ptrdiff_t i = 0; i < k; i++) {
                sum += x[i * column] * y[i * y_strides[0] + j];
            }
            out[j] = sum;
        }
    }
}
