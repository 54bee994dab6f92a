/* Of `_simd.h`: opcodes, which make rows of rows. */

/* tanh of two vectors at a time takes 0.34 ns a number if their instructions take turns, and
   0.37 if one follows the other: more than the machine looks ahead. Not for all that is
   compiled: the largest of 512x512 numbers takes 13 us without it, and 15 with it. */
#if BYTES == 64 && !defined(__clang__)
#define TAKE_TURNS __attribute__((optimize("schedule-insns")))
#else
#define TAKE_TURNS
#endif

/* Vectors of the operands, from a column on. */
#define OPERANDS(at) \
    VECTOR a = NAME(load)(x + (at)), b = NAME(load)(y + (at)), c = NAME(load)(z + (at)); \
    (void)b, (void)c;

/* An opcode that makes a vector of up to three: a, b and c, two at a time, as one has to wait
   for its own results. Rows that follow each other everywhere are one. The last vector of a
   row may share columns with the one before: it is made first, as its operands may stand
   where the result goes. */
#define EACH(name, expression) \
    TAKE_TURNS static void NAME(op_##name)( \
        char *const *at, const ptrdiff_t *stride, ptrdiff_t rows, ptrdiff_t width) \
    { \
        const ptrdiff_t row = width * sizeof(REAL); \
        if (rows > 1 && stride[0] == row && stride[1] == row && stride[2] == row \
            && stride[3] == row) { \
            width *= rows, rows = 1; \
        } \
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
                OPERANDS(last) \
                end = expression; \
            } \
            ptrdiff_t i = 0; \
            for (VECTOR one, two; i <= last - LANES; i += 2 * LANES) { \
                { \
                    OPERANDS(i) \
                    one = expression; \
                } \
                { \
                    OPERANDS(i + LANES) \
                    two = expression; \
                } \
                NAME(store)(out + i, one), NAME(store)(out + i + LANES, two); \
            } \
            if (i <= last) { \
                OPERANDS(i) \
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
EACH(square, a * a)
EACH(reciprocal, C(1) / a)
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
EACH(mulmulrest, a * b * (C(1) - b))
EACH(muladdrest, (a * b + a) * (C(1) - b))
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
EACH_ALONE(rsqrt, 1 / sqrt(a))
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
