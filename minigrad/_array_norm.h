/* A part of `_array.h`: layer norm. */

static void NAME(layer_norm)(
    const void *from, const void *weight, const void *bias, void *to, void *moments,
    ptrdiff_t rows, ptrdiff_t n, double eps)
{
    const REAL *x = from, *w = weight, *b = bias;
    REAL *y = to, *m = moments;
    for (ptrdiff_t r = 0; r < rows; r++, x += n, y += n, m += 2) {
        REAL mean = NAME(sum_of)(x, n) / (REAL)n;
        VECTOR centre = NAME(all)(mean), squares = {0}, others = {0};
        EACH_PART(n)
        {
            VECTOR d = NAME(some)(x + i, k, mean) - centre;
            if (i / LANES % 2) {
                others += d * d;
            }
            else {
                squares += d * d;
            }
        }
        REAL variance = NAME(total)(squares + others) / (REAL)n;
        m[0] = mean;
        m[1] = (REAL)(1 / sqrt((double)variance + eps));
        VECTOR scale = NAME(all)(m[1]);
        EACH_PART(n)
        {
            VECTOR z = (NAME(some)(x + i, k, 0) - centre) * scale;
            z = z * NAME(some)(w + i, k, 0) + NAME(some)(b + i, k, 0);
            NAME(put)(y + i, k, z);
        }
    }
}

/* With z = (x - mean) scale and h = g weight: (h - mean(h) - z mean(h z)) scale. */
static void NAME(layer_norm_grad_x)(
    const void *cotangent, const void *from, const void *weight, const void *moments,
    void *to, ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *g = cotangent, *x = from, *w = weight, *m = moments;
    REAL *out = to;
    for (ptrdiff_t r = 0; r < rows; r++, g += n, x += n, out += n, m += 2) {
        VECTOR centre = NAME(all)(m[0]), scale = NAME(all)(m[1]), sum = {0}, dot = {0};
        EACH_PART(n)
        {
            VECTOR h = NAME(some)(g + i, k, 0) * NAME(some)(w + i, k, 0);
            VECTOR z = (NAME(some)(x + i, k, m[0]) - centre) * scale;
            sum += h;
            dot += h * z;
        }
        VECTOR of_sum = NAME(all)(NAME(total)(sum) / (REAL)n);
        VECTOR of_dot = NAME(all)(NAME(total)(dot) / (REAL)n);
        EACH_PART(n)
        {
            VECTOR h = NAME(some)(g + i, k, 0) * NAME(some)(w + i, k, 0);
            VECTOR z = (NAME(some)(x + i, k, m[0]) - centre) * scale;
            NAME(put)(out + i, k, (h - of_sum - z * of_dot) * scale);
        }
    }
}

/* The sum of g z over the rows. */
static void NAME(layer_norm_grad_weight)(
    const void *cotangent, const void *from, const void *moments, void *to,
    ptrdiff_t rows, ptrdiff_t n)
{
    const REAL *g = cotangent, *x = from, *m = moments;
    REAL *out = to;
    for (ptrdiff_t r = 0; r < rows; r++, g += n, x += n, m += 2) {
        VECTOR centre = NAME(all)(m[0]), scale = NAME(all)(m[1]);
        EACH_PART(n)
        {
            VECTOR z = (NAME(some)(x + i, k, m[0]) - centre) * scale;
            VECTOR h = NAME(some)(g + i, k, 0) * z;
            NAME(put)(out + i, k, NAME(some)(out + i, k, 0) + h);
        }
    }
}
