/* Of `_simd.h`: products with packed weights. */

static void NAME(pack)(
    const void *weight, ptrdiff_t row, ptrdiff_t column, ptrdiff_t k, ptrdiff_t n,
    void *packed)
{
    const REAL *w = weight;
    REAL *out = packed;
    for (ptrdiff_t j = 0; j < n; j += PANEL) {
        ptrdiff_t columns = n - j < PANEL ? n - j : PANEL;
        if (column == 1 && columns == PANEL) {
            for (ptrdiff_t i = 0; i < k; i++) {
                memcpy(out + i * PANEL, w + i * row + j, PANEL * sizeof(REAL));
            }
        }
        else {
            ptrdiff_t i = 0;
            for (; row == 1 && columns == PANEL && i + 4 <= k; i += 4) {
                for (ptrdiff_t c = 0; c < PANEL; c += 4) {
                    TURN(w + (j + c) * column + i, column, out + i * PANEL + c, PANEL);
                }
            }
            for (; i < k; i++) {
                for (ptrdiff_t c = 0; c < PANEL; c++) {
                    out[i * PANEL + c] = c < columns ? w[i * row + (j + c) * column] : 0;
                }
            }
        }
        out += k * PANEL;
    }
}

/* What is added to a product, from a row and a column of it on; NULL if that is nothing. */
INLINE const minigrad_added *NAME(added_at)(
    const minigrad_added *more, ptrdiff_t row, ptrdiff_t column, minigrad_added *here)
{
    const REAL *rows, *first, *second;
    if (!more) {
        return NULL;
    }
    rows = more->rows, first = more->first, second = more->second;
    here->rows = rows ? rows + row * more->stride + column : NULL;
    here->stride = more->stride;
    here->first = first ? first + column : NULL;
    here->second = second ? second + column : NULL;
    return here;
}

/* y, and what is added to it. */
#define WITH_MORE(load, y, more, c) \
    if ((more).rows) { \
        VECTOR z = load((const REAL *)(more).rows + (c)); \
        y = ((more).first ? z + load((const REAL *)(more).first + (c)) : z) + y; \
    } \
    else if ((more).first) { \
        y = load((const REAL *)(more).first + (c)) + y; \
    } \
    if ((more).second) { \
        y = y + load((const REAL *)(more).second + (c)); \
    }

/* The first n lanes of a sum to where they belong, or all if there are not so many. */
INLINE void NAME(put_sum)(
    REAL *to, ptrdiff_t n, VECTOR y, int add, const minigrad_added *more, ptrdiff_t column)
{
    if (n >= LANES) {
        y = add ? NAME(load)(to) + y : y;
        WITH_MORE(NAME(load), y, *more, column)
        NAME(store)(to, y);
    }
    else {
#define PART(p) NAME(load_part)(p, n, 0)
        y = add ? PART(to) + y : y;
        WITH_MORE(PART, y, *more, column)
        NAME(store_part)(to, n, y);
#undef PART
    }
}

/* What is known of a pointer is forgotten. Else the addresses of all rows of a tile are
   computed at its start and kept on the stack: 32x128 times 128x512 reached 109 of
   116 GFLOP/s, and without 112.5. */
#define HIDE(pointer) __asm__("" : "+r"(pointer));

/* The rows of a panel from there on come nearer, to be written if that is 1. */
#define FETCH_TILE(from, apart, written) \
    do { \
        const REAL *at = (from); \
        HIDE(at) \
        UNROLL \
        for (int r = 0; r < rows; r++, at += (apart)) { \
            __builtin_prefetch(at, written); \
            __builtin_prefetch(at + PANEL - 1, written); \
        } \
    } while (0)

/* What a tile multiplies: an element of x stands at x[r * row + k * step], and row k of a
   weight's panel at w + k * next, that of the panel after it `panel` further on. */
typedef struct {
    const REAL *x;
    ptrdiff_t row, step;
    const REAL *w;
    ptrdiff_t next, panel, inner;
    REAL *keep; /* where the rows of the panel are copied, one after the other, or NULL */
    VECTOR *sum; /* and where these rows are added up */
} NAME(factors);

/* A tile of a product: `rows` of x times `vectors` of a weight, all in registers. rows and
   vectors are known when this is compiled, so that the loops over them unroll. */
INLINE void NAME(tile)(
    NAME(factors) of, REAL *out, ptrdiff_t stride, ptrdiff_t columns, int add,
    const minigrad_added *more, minigrad_ahead *ahead, ptrdiff_t bursts, int rows,
    int vectors)
{
    minigrad_added added = {NULL, 0, NULL, NULL};
    VECTOR sum[2 * ROWS] = {{0}}, w[8], total[8] = {{0}};
    /* Three rows from each of these: an instruction adds a distance once or twice, so that
       rows are read where they are. Copied to where the distances are known, those of a
       character model took 2 % of its step. */
    const REAL *x[(ROWS + 2) / 3];
    if (more) {
        added = *more;
    }
    UNROLL
    for (int r = 0; r < rows; r += 3) {
        x[r / 3] = of.x + r * of.row;
    }
    /* After each stretch but the last comes a burst. */
    ptrdiff_t stretch = bursts ? of.inner / (bursts + 1) : STRETCH;
    stretch = stretch < BRIEF ? BRIEF : stretch < STRETCH ? stretch : STRETCH;
    int fetched = 0;
    for (ptrdiff_t k = 0;;) {
        ptrdiff_t end = of.inner - k < 2 * stretch ? of.inner : k + stretch;
        for (; k < end; k++) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                w[v] = NAME(load)(of.w + v / 2 * of.panel + v % 2 * LANES);
            }
            UNROLL
            for (int r = 0; r < rows; r++) {
                REAL factor = x[r / 3][r % 3 * of.row];
                UNROLL
                for (int v = 0; v < vectors; v++) {
                    sum[r * vectors + v] += factor * w[v];
                }
            }
            if (of.keep) {
                UNROLL
                for (int v = 0; v < vectors; v++) {
                    /* Eight rows ahead: from row to row is too far for the machine. */
                    __builtin_prefetch(of.w + 8 * of.next + v * LANES);
                    NAME(store)(of.keep + v * LANES, w[v]);
                    total[v] += w[v];
                }
                of.keep += PANEL;
            }
            UNROLL
            for (int r = 0; r < rows; r += 3) {
                x[r / 3] += of.step;
                HIDE(x[r / 3])
            }
            of.w += of.next;
        }
        if (end == of.inner) {
            break;
        }
        if (bursts) {
            minigrad_fetch(ahead);
        }
        /* Where the result goes is fetched before the end: 8 % of a large gram, and 10 %
           of a product of many rows. And what is added to it: 6 % of an LSTM's forward,
           (64,32,128,128). */
        if (of.inner - k < 2 * STRETCH && !fetched) {
            fetched = 1;
            FETCH_TILE(out, stride, 1);
            if (added.rows) {
                FETCH_TILE(added.rows, added.stride, 0);
            }
        }
    }
    HIDE(out)
    if (of.keep) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            of.sum[v] = total[v];
        }
    }
    if (columns >= vectors * LANES && !more) { /* which is not asked for each vector */
        UNROLL
        for (int r = 0; r < rows; r++, out += stride) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                REAL *to = out + v * LANES;
                VECTOR y = sum[r * vectors + v];
                NAME(store)(to, add ? NAME(load)(to) + y : y);
            }
        }
        return;
    }
    UNROLL
    for (int r = 0; r < rows; r++, out += stride) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            VECTOR y = sum[r * vectors + v];
            if (columns >= vectors * LANES) {
                NAME(put_sum)(out + v * LANES, LANES, y, add, &added, v * LANES);
            }
            else if (columns > v * LANES) {
                NAME(put_sum)(
                    out + v * LANES, columns - v * LANES, y, add, &added, v * LANES);
            }
        }
        if (added.rows) {
            added.rows = (const REAL *)added.rows + added.stride;
        }
    }
}

/* The tiles of every number of rows. */
#define TILE(n) \
    case n: \
        NAME(tile)(of, out, stride, columns, add, more, ahead, bursts, n, vectors); \
        break;

#if ROWS > 6
#define TILES \
    TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) \
    TILE(11) TILE(12)
#else
#define TILES TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#endif

/* Of a panel, or of half of one: of 65 columns, the last alone took as long as 32. */
#define TILES_OF(columns) \
    if ((columns) > LANES) { \
        enum { vectors = 2 }; \
        switch (rows) { TILES } \
    } \
    else { \
        enum { vectors = 1 }; \
        switch (rows) { TILES } \
    }

static void NAME(row_tile)(
    const REAL *x, ptrdiff_t row, const REAL *w, ptrdiff_t inner, REAL *out,
    ptrdiff_t stride, ptrdiff_t columns, int add, const minigrad_added *more,
    minigrad_ahead *ahead, ptrdiff_t bursts, ptrdiff_t rows)
{
    const NAME(factors) of = {x, row, 1, w, PANEL, 0, inner, NULL, NULL};
    TILES_OF(columns)
}

static void NAME(column_tile)(
    const REAL *x, ptrdiff_t step, const REAL *w, ptrdiff_t next, REAL *keep, VECTOR *sum,
    ptrdiff_t inner, REAL *out, ptrdiff_t stride, ptrdiff_t columns, int add,
    minigrad_ahead *ahead, ptrdiff_t bursts, ptrdiff_t rows)
{
    const NAME(factors) of = {x, 1, step, w, next, 0, inner, keep, sum};
    const minigrad_added *more = NULL;
    TILES_OF(columns)
}

#undef TILE
#undef TILES
#undef TILES_OF

/* One to three rows: waiting for memory and for the sums, so several panels at once. */
INLINE void NAME(narrow)(
    NAME(factors) of, REAL *out, ptrdiff_t stride, ptrdiff_t columns, int add,
    const minigrad_added *more, ptrdiff_t rows, ptrdiff_t panels)
{
#define NARROW(r, p) \
    if (rows == r && panels == p) { \
        NAME(tile)(of, out, stride, columns, add, more, NULL, 0, r, 2 * p); \
    }
    NARROW(1, 4) else NARROW(1, 2) else NARROW(1, 1)
    else NARROW(2, 2) else NARROW(2, 1)
    else NARROW(3, 2) else NARROW(3, 1)
#undef NARROW
}

/* Cuts of a product whose rows are at hand at one time. */
#define CUTS 8

static size_t NAME(product_scratch)(ptrdiff_t rows, ptrdiff_t inner)
{
    ptrdiff_t cuts = (inner + MINIGRAD_CUT - 1) / MINIGRAD_CUT;
    size_t bytes = (cuts < CUTS ? cuts : CUTS) * rows * APART * sizeof(REAL);
    return rows < 4 ? 0 : bytes < MINIGRAD_SCRATCH ? bytes : MINIGRAD_SCRATCH;
}

/* Rows 1 to 3, where they stand. */
static void NAME(thin)(
    const REAL *x, ptrdiff_t x_stride, const REAL *w, REAL *out, ptrdiff_t stride,
    ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t width, int add, const minigrad_added *more)
{
    ptrdiff_t panels;
    for (ptrdiff_t j = 0; j < width; j += panels * PANEL) {
        ptrdiff_t left = (width - j + PANEL - 1) / PANEL;
        panels = left < 2 ? 1 : left < 4 || rows > 1 ? 2 : 4;
        for (ptrdiff_t k = 0; k < inner; k += MINIGRAD_CUT) {
            ptrdiff_t cut = inner - k < MINIGRAD_CUT ? inner - k : MINIGRAD_CUT;
            const REAL *from = w + j * inner + k * PANEL;
            const NAME(factors) of = {
                x + k, x_stride, 1, from, PANEL, inner * PANEL, cut, NULL, NULL};
            minigrad_added here;
            NAME(narrow)(
                of, out + j, stride, width - j, add || k,
                NAME(added_at)(k + cut == inner ? more : NULL, 0, j, &here), rows, panels);
        }
    }
}

static void NAME(product)(
    const void *left, ptrdiff_t x_stride, const void *packed, void *result,
    ptrdiff_t out_stride, ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t width, int add,
    const minigrad_added *more, void *scratch, minigrad_ahead *ahead)
{
    const REAL *x = left, *w = packed;
    REAL *out = result, *hand = scratch;
    /* Else all the rows were in the same few places of the nearest cache, which repeat
       every 4096 bytes. */
    int copied = x_stride * sizeof(REAL) % 4096 == 0;
    if (inner == 0 && !add) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            memset(out + r * out_stride, 0, width * sizeof(REAL));
        }
    }
    if (rows < 4) {
        if (rows) {
            NAME(thin)(x, x_stride, w, out, out_stride, rows, inner, width, add, more);
        }
        return;
    }
    for (ptrdiff_t first = 0; first < inner; first += CUTS * MINIGRAD_CUT) {
        ptrdiff_t last = inner - first < CUTS * MINIGRAD_CUT ? inner
                                                             : first + CUTS * MINIGRAD_CUT;
        ptrdiff_t cuts = (last - first + MINIGRAD_CUT - 1) / MINIGRAD_CUT;
        ptrdiff_t most = MINIGRAD_SCRATCH / (cuts * APART * (ptrdiff_t)sizeof(REAL));
        most = most / ROWS * ROWS;
        for (ptrdiff_t top = 0; top < rows; top += most) {
            ptrdiff_t n = rows - top < most ? rows - top : most;
            ptrdiff_t blocks = (n + ROWS - 1) / ROWS;
            /* What comes nearer meanwhile: the rows after these, or what is ahead. Rows that
               aren't far apart the machine guesses by itself, quicker by 2 %. */
            ptrdiff_t others = rows - top - n < most ? rows - top - n : most;
            others = copied ? others : 0;
            minigrad_span span;
            minigrad_ahead after = {&span, &span, 0}, *near = others ? &after : ahead;
            minigrad_add(
                &after, &span + 1, x + (top + n) * x_stride + first,
                (last - first) * sizeof(REAL), x_stride * sizeof(REAL), others);
            ptrdiff_t tiles = (width + PANEL - 1) / PANEL * blocks * cuts;
            ptrdiff_t bursts = (near->bursts + tiles - 1) / tiles;
            for (ptrdiff_t c = 0; c < cuts && copied; c++) {
                ptrdiff_t k = first + c * MINIGRAD_CUT;
                ptrdiff_t cut = last - k < MINIGRAD_CUT ? last - k : MINIGRAD_CUT;
                for (ptrdiff_t r = 0; r < n; r++) {
                    memcpy(
                        hand + (c * n + r) * APART, x + (top + r) * x_stride + k,
                        cut * sizeof(REAL));
                }
            }
            for (ptrdiff_t j = 0; j < width; j += PANEL) {
                for (ptrdiff_t c = 0; c < cuts; c++) {
                    ptrdiff_t k = first + c * MINIGRAD_CUT;
                    ptrdiff_t cut = last - k < MINIGRAD_CUT ? last - k : MINIGRAD_CUT;
                    const REAL *from = w + j * inner + k * PANEL;
                    const minigrad_added *then = k + cut == inner ? more : NULL;
                    for (ptrdiff_t b = 0, r = 0; b < blocks; b++) {
                        /* Blocks alike: 32 rows are 11, 11 and 10, not 12, 12 and 8. */
                        ptrdiff_t height = n / blocks + (b < n % blocks);
                        const REAL *at = copied ? hand + (c * n + r) * APART
                                                : x + (top + r) * x_stride + k;
                        minigrad_added here;
                        NAME(row_tile)(
                            at, copied ? APART : x_stride, from, cut,
                            out + (top + r) * out_stride + j, out_stride, width - j,
                            add || k, NAME(added_at)(then, top + r, j, &here), near,
                            bursts, height);
                        r += height;
                    }
                }
            }
        }
    }
}
