/* A part of `_array.h`: a pass over one array or two. */

#define MAP(name, expression) \
    static void NAME(map_##name)( \
        const void *left, const void *right, void *to, ptrdiff_t n, double p, double q) \
    { \
        const REAL *x = left, *y = right; \
        REAL *out = to; \
        const REAL low = (REAL)p, high = (REAL)q; \
        (void)low, (void)high; \
        for (ptrdiff_t i = 0; i < n; i++) { \
            REAL a = x[i], b = y[i]; \
            (void)b; \
            out[i] = (REAL)(expression); \
        } \
    }

/* One operand, as a vector. */
#define MAP_VECTOR(name) \
    static void NAME(map_##name)( \
        const void *left, const void *right, void *to, ptrdiff_t n, double p, double q) \
    { \
        char *const at[4] = {to, (char *)left, (char *)left, (char *)left}; \
        const ptrdiff_t stride[4] = {0}; \
        (void)right, (void)p, (void)q; \
        NAME(op_##name)(at, stride, 1, n); \
    }

/* An expression of a vector, a, of the first array, and of b, of the second. */
#define MAP_EACH(name, expression) \
    static void NAME(map_##name)( \
        const void *left, const void *right, void *to, ptrdiff_t n, double p, double q) \
    { \
        const REAL *x = left, *y = right; \
        REAL *out = to; \
        const REAL low = (REAL)p, high = (REAL)q; \
        (void)y, (void)low, (void)high; \
        EACH_PART(n) \
        { \
            VECTOR a = NAME(some)(x + i, k, 0), b = NAME(some)(y + i, k, 0); \
            (void)b; \
            NAME(put)(out + i, k, expression); \
        } \
    }

/* An expression of a vector, a, for numbers s of which is_near holds. That is looked at
   once for many: `follow`
   brings the one of them that is furthest off into `seen`. `rare` computes the others,
   infinity and NaN among them. */
#define MAP_NEAR(name, start, follow, is_near, expression, rare) \
    static void NAME(map_##name)( \
        const void *left, const void *right, void *to, ptrdiff_t n, double p, double q) \
    { \
        const REAL *x = left; \
        REAL *out = to; \
        (void)right, (void)p, (void)q; \
        for (ptrdiff_t done = 0; done < n; done += 512, x += 512, out += 512) { \
            const ptrdiff_t count = n - done < 512 ? n - done : 512; \
            VECTOR seen = NAME(all)(start), odd = {0}; \
            ptrdiff_t near = 1; \
            EACH_PART(count) \
            { \
                VECTOR a = NAME(some)(x + i, k, 1); \
                seen = follow; \
                odd += a * 0; /* NaN from infinity on */ \
                NAME(put)(out + i, k, expression); \
            } \
            for (ptrdiff_t i = 0; i < LANES; i++) { \
                REAL s = seen[i] + odd[i]; \
                near &= is_near; \
            } \
            for (ptrdiff_t i = 0; !near && i < count; i++) { \
                REAL s = x[i]; \
                double a = x[i]; \
                if (!(is_near)) { \
                    out[i] = (REAL)(rare); \
                } \
            } \
        } \
    }

MAP_VECTOR(sign)
MAP_VECTOR(exp)
MAP_VECTOR(tanh)
MAP_VECTOR(sigmoid)
MAP_VECTOR(relu)
MAP_VECTOR(softsign)
MAP(neg, -a)
MAP(abs, (REAL)fabs(a))
MAP(sqrt, SQRT(a))
MAP(rsqrt, 1 / SQRT(a))
MAP(square, a * a)
MAP(reciprocal, 1 / a)
#if !DOUBLE

/* The logarithm of a normal number, and of what its rounding lost. x = 2**n (1 + f), with
   1 + f between sqrt(1/2) and sqrt(2); log(1 + f) is f - f**2 / 2 + f**3 P(f). */
INLINE VECTOR NAME(log)(VECTOR x, VECTOR lost, int is_sum)
{
    BITS above = (BITS)x - 0x3f3504f3; /* sqrt(1/2) */
    MASK exponent = (MASK)above >> 23;
    VECTOR f = (VECTOR)((BITS)x - ((BITS)exponent << 23)) - 1;
    VECTOR n = __builtin_convertvector(exponent, VECTOR);
    if (is_sum) { /* it counts where the sum is near 1 */
        MASK near = exponent < 25;
        f += NAME(pick)(near, lost * (VECTOR)((BITS)(127 - exponent) << 23), (VECTOR){0});
    }
    VECTOR z = f * f, w = z * z;
    VECTOR y = (f * -0.25000009f + 0.33333313f) + z * (f * -0.16668005f + 0.20002124f)
        + w * ((f * -0.12405343f + 0.14219451f) + z * (f * -0.11677505f + 0.11888709f)
               + w * 0.067476921f);
    return f + (n * -2.12194440e-4f - 0.5f * z + y * f * z) + n * 0.693359375f;
}

INLINE VECTOR NAME(log1p)(VECTOR x)
{
    VECTOR sum = x + 1;
    return NAME(log)(sum, x - (sum - 1), 1);
}

INLINE VECTOR NAME(expm1)(VECTOR x)
{
    MASK n;
    VECTOR lost, rest = NAME(reduced)(x, &n, &lost), power = NAME(power_of_2)((BITS)n);
    return rest * power + (power - 1);
}

#if FUSED
/* x = n pi/2 + r, and the sine or cosine of r; `quarters` more of a turn. */
INLINE VECTOR NAME(sin)(VECTOR x, int quarters)
{
    VECTOR shifted = x * 0.636619772f + ROUNDER_OF_FLOAT, n = shifted - ROUNDER_OF_FLOAT;
    VECTOR r = x - n * 1.57080078f; /* 17 bits of pi/2, then the rest */
    r = r + n * 4.454455e-6f;
    r = r + n * 1.6513996e-13f;
    VECTOR z = r * r;
    VECTOR odd = r + r * z * (-1.6666655e-1f + z * (8.33216e-3f + z * -1.9515217e-4f));
    VECTOR even = 1 - 0.5f * z
        + z * z * (4.1666646e-2f + z * (-1.3887315e-3f + z * 2.4433082e-5f));
    MASK turn = (MASK)shifted + quarters;
    VECTOR y = NAME(pick)((turn & 1) != 0, even, odd);
    return (VECTOR)((MASK)y ^ ((turn & 2) << 30));
}
#endif

#define NORMAL s >= 0x1p-126f && s < INFINITY
#define ABOVE_MINUS_1 s > -0.999f && s < 1e30f && s != 0
MAP_NEAR(log, 1, NAME(least)(a, seen), (NORMAL), NAME(log)(a, a, 0), log(a))
MAP_NEAR(log1p, 1, NAME(least)(a, seen), (ABOVE_MINUS_1), NAME(log1p)(a), log1p(a))
#define MODERATE (s < 30000 && s > -30000)
#define FARTHER NAME(most)(NAME(magnitude)(a), seen)
#if FUSED
MAP_NEAR(sin, 0, FARTHER, MODERATE, NAME(sin)(a, 0), sin(a))
MAP_NEAR(cos, 0, FARTHER, MODERATE, NAME(sin)(a, 1), cos(a))
#else
MAP(sin, sin(a))
MAP(cos, cos(a))
#endif
#define IN_RANGE (s < 87 && s > -87 && s != 0) /* -0 stays */
#define FARTHEST NAME(most)(NAME(pick)(a == 0, NAME(all)(100), NAME(magnitude)(a)), seen)
MAP_NEAR(expm1, 1, FARTHEST, IN_RANGE, NAME(expm1)(a), expm1(a))
/* Far below 0, e**x has lost digits that x e**x has. */
#define ABOVE (s > -86 && s < INFINITY)
MAP_NEAR(silu, 1, NAME(least)(a, seen), ABOVE, a * NAME(sigmoid)(a), minigrad_silu(a))

/* log(1 + e**x), from e**-|x|; x beyond the threshold. */
INLINE VECTOR NAME(softplus)(VECTOR x, REAL threshold)
{
    VECTOR lost, e = NAME(decay)(x, &lost), sum = e + 1;
    VECTOR y = NAME(log)(sum, (e - (sum - 1)) + lost, 1) + NAME(most)((VECTOR){0}, x);
    return NAME(pick)(x > threshold, x, y);
}

MAP_EACH(softplus_of_1, NAME(softplus)(a, high))
MAP(softplus_of_any, minigrad_wide_softplus(a, p, q))

static void NAME(map_softplus)(
    const void *x, const void *y, void *out, ptrdiff_t n, double beta, double threshold)
{
    (beta == 1 ? NAME(map_softplus_of_1) : NAME(map_softplus_of_any))(
        x, y, out, n, beta, threshold);
}

/* softplus(x) - x t; its two terms have one sign, where t is between 0 and 1. */
INLINE VECTOR NAME(logit_loss)(VECTOR x, VECTOR t)
{
    VECTOR lost, e = NAME(decay)(x, &lost), sum = e + 1;
    return NAME(pick)(x > 0, x * (1 - t), -x * t)
        + NAME(log)(sum, (e - (sum - 1)) + lost, 1);
}

MAP_EACH(logit_loss, NAME(logit_loss)(a, b))
MAP_EACH(logit_loss_grad, NAME(sigmoid)(a) - b)

/* sigmoid(x) (1 + x sigmoid(-x)) */
INLINE VECTOR NAME(silu_slope)(VECTOR x)
{
    VECTOR lost, e = NAME(decay)(x, &lost), large = 1 / (e + 1), small = e * large;
    VECTOR gate = NAME(pick)(x < 0, small, large);
    return gate + x * (small * large);
}

MAP_EACH(silu_grad, a * NAME(silu_slope)(b))
MAP_EACH(
    softplus_grad,
    NAME(pick)(b * low > high, a, a * NAME(sigmoid)(b * low)))
#endif
/* As PyTorch, the high end after the low one, and NaN where an end is NaN. */
#define RAISED(a) ((a) < low || low != low ? low : (a))
MAP(clip, RAISED(a) > high || high != high ? high : RAISED(a))
#undef RAISED
MAP(leaky_relu, a > 0 ? a : a * low)
/* Cut before the sum, which rounds some numbers next to 3 to the kink. */
MAP(hardsigmoid, ((a < -3 ? -3 : a > 3 ? 3 : a) + 3) / 6)
/* Gradients: a is the cotangent, b the output, or the input where it is named so. */
MAP(relu_grad, b <= 0 ? 0 : a)
MAP(tanh_grad, (a + a * b) * (1 - b))
MAP(sigmoid_grad, a * b * (1 - b))
MAP(abs_grad, a * (REAL)((b > 0) - (b < 0)))
MAP(clip_grad, b <= low || b >= high ? 0 : a)
MAP(leaky_relu_grad, b > 0 ? a : a * low)
MAP(hardsigmoid_grad, b <= -3 || b >= 3 ? 0 : a / 6)

#define NAMED(name) {#name, NAME(map_##name)},

static const minigrad_named_map NAME(maps)[] = {
    NAMED(neg) NAMED(abs) NAMED(sign) NAMED(exp) NAMED(tanh) NAMED(sigmoid) NAMED(relu)
    NAMED(softsign) NAMED(sqrt) NAMED(rsqrt) NAMED(square) NAMED(reciprocal) NAMED(clip)
    NAMED(relu_grad) NAMED(tanh_grad) NAMED(sigmoid_grad) NAMED(abs_grad)
    NAMED(clip_grad) NAMED(leaky_relu) NAMED(leaky_relu_grad) NAMED(hardsigmoid)
    NAMED(hardsigmoid_grad)
#if !DOUBLE
    NAMED(log) NAMED(log1p) NAMED(silu) NAMED(sin) NAMED(cos) NAMED(expm1)
    NAMED(softplus) NAMED(softplus_grad) NAMED(silu_grad) NAMED(logit_loss)
    NAMED(logit_loss_grad)
#endif
    {0, 0}
};

/* Of bytes that are 0 or 1: x and y for 0, x or y for 1, not x for 2. */
static void NAME(logic)(
    int kind, const unsigned char *x, const unsigned char *y, unsigned char *out,
    ptrdiff_t n)
{
    for (ptrdiff_t i = 0; kind == 0 && i < n; i++) {
        out[i] = x[i] & y[i];
    }
    for (ptrdiff_t i = 0; kind == 1 && i < n; i++) {
        out[i] = x[i] | y[i];
    }
    for (ptrdiff_t i = 0; kind == 2 && i < n; i++) {
        out[i] = x[i] == 0;
    }
}

/* A loop each, as the compiler uses vectors where the steps are known. */
static void NAME(select)(
    const char *c, const void *left, ptrdiff_t step_x, const void *right,
    ptrdiff_t step_y, void *to, ptrdiff_t n)
{
    const REAL *x = left, *y = right, a = n ? *x : 0, b = n ? *y : 0;
    REAL *out = to;
    for (ptrdiff_t i = 0; step_x && step_y && i < n; i++) {
        REAL p = x[i], q = y[i];
        out[i] = c[i] ? p : q;
    }
    for (ptrdiff_t i = 0; step_x && !step_y && i < n; i++) {
        REAL p = x[i];
        out[i] = c[i] ? p : b;
    }
    for (ptrdiff_t i = 0; !step_x && i < n; i++) {
        REAL q = step_y ? y[i] : b;
        out[i] = c[i] ? a : q;
    }
}

static void NAME(bounds)(const int64_t *x, ptrdiff_t n, int64_t *least, int64_t *most)
{
    int64_t low = *least, high = *most;
    for (ptrdiff_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *least = low;
    *most = high;
}
