/* Of `_simd.h`: sums over rows, of products and of the rows themselves. */

/* What gram has near: strips of the columns of x, which stay in the second cache, and a
   panel of y in the first; and how many panels come nearer in one go. */
#define GRAM_STRIPS ((int)(528 * sizeof(float) / sizeof(REAL) / ROWS))
#define GRAM_PANELS 4

static int NAME(count_strips)(const minigrad_left *left, int n_left)
{
    int n = 0;
    for (int i = 0; i < n_left; i++) {
        n += (left[i].k + ROWS - 1) / ROWS;
    }
    return n;
}

static size_t NAME(gram_scratch)(ptrdiff_t rows, const minigrad_left *left, int n_left)
{
    int strips = NAME(count_strips)(left, n_left);
    strips = strips < GRAM_STRIPS ? strips : GRAM_STRIPS;
    return rows * (strips * ROWS + PANEL) * sizeof(REAL);
}

/* Panels of `size` columns of x: each has all rows of it, a row after the other. Eight
   panels at a time, lest all of them be written in the same few places of a cache. */
INLINE void NAME(regroup)(
    const REAL *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t size,
    REAL *out)
{
    for (ptrdiff_t j = 0; j < n; j += 8 * size) {
        ptrdiff_t end = n - j < 8 * size ? n : j + 8 * size;
        for (ptrdiff_t r = 0; r < rows; r++) {
            ptrdiff_t c = j;
            for (; c + size <= end; c += size) {
                memcpy(out + c * rows + r * size, x + r * stride + c, size * sizeof(REAL));
            }
            for (ptrdiff_t i = 0; c < end && i < size; i++) {
                out[c * rows + r * size + i] = c + i < end ? x[r * stride + c + i] : 0;
            }
        }
    }
}

/* The sums of a panel's columns: of sum_rows, whose bits they have. */
INLINE void NAME(put_sums)(const VECTOR *sum, ptrdiff_t columns, int add, REAL *out)
{
    for (ptrdiff_t c = 0; c < columns && c < PANEL; c++) {
        REAL one = sum[c / LANES][c % LANES];
        out[c] = add ? out[c] + one : one;
    }
}

static void NAME(gram)(
    const minigrad_left *left, int n_left, const void *right, ptrdiff_t y_stride,
    ptrdiff_t out_stride, void *sums, ptrdiff_t rows, ptrdiff_t n, int add, void *scratch,
    minigrad_ahead *ahead)
{
    const REAL *y = right;
    REAL *total = sums, *ys = scratch, *xs = ys + rows * PANEL;
    int strips = NAME(count_strips)(left, n_left);
    int turns = (strips + GRAM_STRIPS - 1) / GRAM_STRIPS;
    int most = turns ? (strips + turns - 1) / turns : 0;
    ptrdiff_t done = 0; /* columns of the first of those on the left */
    for (int turn = 0; turn < turns; turn++) {
        const REAL *x[GRAM_STRIPS];
        ptrdiff_t step[GRAM_STRIPS];
        REAL *out[GRAM_STRIPS];
        int height[GRAM_STRIPS], here = 0;
        while (here < most && n_left) {
            ptrdiff_t rest = left->k - done, room = (most - here) * ROWS;
            ptrdiff_t k = rest < room ? rest : room;
            const REAL *from = (const REAL *)left->x + done;
            /* As in `product`: rows so far apart are copied. By itself that took 1 %. */
            int copied = left->stride * sizeof(REAL) % 4096 == 0;
            if (copied) {
                NAME(regroup)(
                    from, left->stride, rows, k, ROWS, xs + here * ROWS * rows);
            }
            for (ptrdiff_t i = 0; i < k; i += ROWS, here++) {
                x[here] = copied ? xs + here * ROWS * rows : from + i;
                step[here] = copied ? ROWS : left->stride;
                out[here] = (REAL *)left->out + (done + i) * out_stride;
                height[here] = k - i < ROWS ? k - i : ROWS;
            }
            done += k;
            if (done == left->k) {
                left++, n_left--, done = 0;
            }
        }
        for (ptrdiff_t j = 0; j < n; j += GRAM_PANELS * PANEL) {
            ptrdiff_t width = n - j < GRAM_PANELS * PANEL ? n - j : GRAM_PANELS * PANEL;
            /* Meanwhile the columns of the next turn come nearer, or what is ahead. */
            ptrdiff_t others = n - j - width < width ? n - j - width : width;
            minigrad_span span;
            minigrad_ahead after = {&span, &span, 0}, *near = others ? &after : ahead;
            minigrad_add(
                &after, &span + 1, y + j + width, others * sizeof(REAL),
                y_stride * sizeof(REAL), rows);
            ptrdiff_t tiles = (width + PANEL - 1) / PANEL * here;
            ptrdiff_t bursts = (near->bursts + tiles - 1) / tiles;
            for (ptrdiff_t c = j; c < j + width; c += PANEL) {
                /* The first strip's tile copies the panel and adds it up: by themselves
                   these took 4 %. The columns that are over are copied before. */
                VECTOR sum[2] = {{0}};
                int copied = n - c < PANEL;
                if (copied) {
                    NAME(regroup)(y + c, y_stride, rows, n - c, PANEL, ys);
                }
                for (int i = 0; i < here; i++) {
                    int first = !copied && i == 0;
                    NAME(column_tile)(
                        x[i], step[i], first ? y + c : ys, first ? y_stride : PANEL,
                        i ? NULL : ys, sum, rows, out[i] + c, out_stride, n - c, add, near,
                        bursts, height[i]);
                }
                if (total && turn == 0) {
                    NAME(put_sums)(sum, n - c, add, total + c);
                }
            }
        }
    }
}

#define SUMS 32

static void NAME(sum_rows)(
    const void *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, int add, void *to)
{
    const REAL *x = from;
    REAL *out = to;
    ptrdiff_t j = 0;
    /* Of many columns, so that the machine sees what comes next; four rows at a time, so
       that the sums, in the nearest cache, are not all that it is busy with. */
    for (; j + LANES <= n; j += SUMS * LANES) {
        ptrdiff_t vectors = (n - j) / LANES < SUMS ? (n - j) / LANES : SUMS, r = 0;
        VECTOR sum[SUMS] = {{0}};
        for (; r + 4 <= rows; r += 4) {
            const REAL *at = x + r * stride + j;
            for (ptrdiff_t i = 0; i < vectors; i++, at += LANES) {
                sum[i] = sum[i] + NAME(load)(at) + NAME(load)(at + stride)
                    + NAME(load)(at + 2 * stride) + NAME(load)(at + 3 * stride);
            }
        }
        for (; r < rows; r++) {
            for (ptrdiff_t i = 0; i < vectors; i++) {
                sum[i] += NAME(load)(x + r * stride + j + i * LANES);
            }
        }
        for (ptrdiff_t i = 0; i < vectors; i++) {
            REAL *at = out + j + i * LANES;
            NAME(store)(at, add ? NAME(load)(at) + sum[i] : sum[i]);
        }
    }
    j = n / LANES * LANES;
    if (j < n) {
        VECTOR sum = {0};
        for (ptrdiff_t r = 0; r < rows; r++) {
            sum += NAME(load_part)(x + r * stride + j, n - j, 0);
        }
        sum = add ? NAME(load_part)(out + j, n - j, 0) + sum : sum;
        NAME(store_part)(out + j, n - j, sum);
    }
}
