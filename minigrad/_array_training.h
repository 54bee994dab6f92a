/* A part of `_array.h`: steps of optimisers, and what a norm needs. */

/* options: 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**t), sqrt(1 - beta2**t), eps,
   the factor of a decoupled weight decay, the weight decay in g.
   decays: whether there is one in g. Where there is none, 0 times infinity would be
   NaN; asked in the loop, it takes five times as long. */
INLINE void NAME(adam_steps)(
    const void *value, const void *grad, void *mean, void *square, void *most, void *to,
    ptrdiff_t n, const double *o, const int decays)
{
    const REAL *p = value, *g = grad;
    REAL *m = mean, *v = square, *top = most, *q = to;
    const REAL new_m = (REAL)o[0], old_v = (REAL)o[1], new_v = (REAL)o[2];
    const REAL step = (REAL)o[3], root = (REAL)(1 / o[4]), eps = (REAL)o[5];
    const REAL shrink = (REAL)o[6], decay = (REAL)o[7];
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL x = p[i] * shrink, d = decays ? g[i] + decay * p[i] : g[i];
        /* From the nearer end, as PyTorch: all of d, if beta1 is 0. */
        m[i] = new_m < 0.5f ? m[i] + new_m * (d - m[i]) : d - (1 - new_m) * (d - m[i]);
        v[i] = old_v * v[i] + new_v * d * d;
        REAL s = v[i];
        if (top) {
            s = top[i] >= s || top[i] != top[i] ? top[i] : s;
            top[i] = s;
        }
        q[i] = x - step * m[i] / (SQRT(s) * root + eps);
    }
}

static void NAME(adam)(
    const void *value, const void *grad, void *mean, void *square, void *most, void *to,
    ptrdiff_t n, const double *o)
{
    if (o[7] != 0) {
        NAME(adam_steps)(value, grad, mean, square, most, to, n, o, 1);
    } else {
        NAME(adam_steps)(value, grad, mean, square, most, to, n, o, 0);
    }
}

/* options: lr, weight decay, momentum, 1 - dampening, whether nesterov, whether the
   buffer is the first. Without momentum there is none. It rounds where PyTorch does,
   whose product of a float and a momentum is never fused with the sum. */
static void NAME(sgd)(
    const void *value, const void *grad, void *buffer, void *to, ptrdiff_t n,
    const double *o)
{
    const REAL *p = value, *g = grad;
    REAL *b = buffer, *q = to;
    const REAL lr = (REAL)o[0], decay = (REAL)o[1], momentum = (REAL)o[2];
    const REAL keep = (REAL)o[3];
    const int nesterov = o[4] != 0, first = o[5] != 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL d = decay != 0 ? g[i] + decay * p[i] : g[i];
        if (b) {
            REAL old = (REAL)((double)momentum * b[i]);
            b[i] = first ? d : old + keep * d;
            d = nesterov ? d + momentum * b[i] : b[i];
        }
        q[i] = p[i] - lr * d;
    }
}

/* In double, whatever the numbers are: no square of a float is too large then. */
static double NAME(square_sum)(const void *from, ptrdiff_t n)
{
    const REAL *x = from;
    double sums[16] = {0}, sum = 0;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int k = 0; k < 16; k++) {
            sums[k] += (double)x[i + k] * (double)x[i + k];
        }
    }
    for (; i < n; i++) {
        sums[i % 16] += (double)x[i] * (double)x[i];
    }
    for (int k = 0; k < 16; k++) {
        sum += sums[k];
    }
    return sum;
}
