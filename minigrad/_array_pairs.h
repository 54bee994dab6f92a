/* A part of `_array.h`: two arrays, number by number, to the bit what numpy gives.

   Whichever has fewer numbers has them again and again: one number, or a row. */

#define PAIR(name, type, expression) \
    static void NAME(pair_##name)( \
        const void *left, ptrdiff_t n_left, const void *right, ptrdiff_t n_right, void *to) \
    { \
        const ptrdiff_t n = n_left > n_right ? n_left : n_right; \
        const ptrdiff_t row = n_left > n_right ? n_right : n_left; \
        const REAL *x = left, *y = right; \
        type *restrict out = to; \
        if (row == 1 && n_left < n) { \
            const REAL a = *x; \
            for (ptrdiff_t i = 0; i < n; i++) { \
                REAL b = y[i]; \
                out[i] = (type)(expression); \
            } \
            return; \
        } \
        if (row == 1 && n_right < n) { \
            const REAL b = *y; \
            for (ptrdiff_t i = 0; i < n; i++) { \
                REAL a = x[i]; \
                out[i] = (type)(expression); \
            } \
            return; \
        } \
        for (ptrdiff_t start = 0; start < n; start += row, out += row) { \
            for (ptrdiff_t i = 0; i < row; i++) { \
                REAL a = x[i], b = y[i]; \
                out[i] = (type)(expression); \
            } \
            x += n_left == n ? row : 0; \
            y += n_right == n ? row : 0; \
        } \
    }

PAIR(add, REAL, a + b)
PAIR(sub, REAL, a - b)
PAIR(mul, REAL, a * b)
PAIR(div, REAL, a / b)
PAIR(maximum, REAL, a >= b || a != a ? a : b)
PAIR(minimum, REAL, a <= b || a != a ? a : b)
PAIR(eq, unsigned char, a == b)
PAIR(ne, unsigned char, a != b)
PAIR(lt, unsigned char, a < b)
PAIR(le, unsigned char, a <= b)
PAIR(gt, unsigned char, a > b)
PAIR(ge, unsigned char, a >= b)

#define PAIRED(name) {#name, NAME(pair_##name)},

static const minigrad_named_pair NAME(pairs)[] = {
    PAIRED(add) PAIRED(sub) PAIRED(mul) PAIRED(div) PAIRED(maximum) PAIRED(minimum)
    PAIRED(eq) PAIRED(ne) PAIRED(lt) PAIRED(le) PAIRED(gt) PAIRED(ge)
    {0, 0}
};
