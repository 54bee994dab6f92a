/* A part of `_array.h`: a step of Adam. */

/* options: 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**t), sqrt(1 - beta2**t), eps,
   the factor of a decoupled weight decay, the weight decay in g. */
static void NAME(adam)(
    const void *value, const void *grad, void *mean, void *square, void *most, void *to,
    ptrdiff_t n, const double *o)
{
    const REAL *p = value, *g = grad;
    REAL *m = mean, *v = square, *top = most, *q = to;
    const REAL new_m = (REAL)o[0], old_v = (REAL)o[1], new_v = (REAL)o[2];
    const REAL step = (REAL)o[3], root = (REAL)(1 / o[4]), eps = (REAL)o[5];
    const REAL shrink = (REAL)o[6], decay = (REAL)o[7];
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL x = p[i] * shrink, d = g[i] + decay * p[i];
        m[i] = m[i] + new_m * (d - m[i]);
        v[i] = old_v * v[i] + new_v * d * d;
        REAL s = v[i];
        if (top) {
            s = top[i] >= s || top[i] != top[i] ? top[i] : s;
            top[i] = s;
        }
        q[i] = x - step * m[i] / (SQRT(s) * root + eps);
    }
}
