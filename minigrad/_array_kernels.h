/* The kernels of one instruction set and one dtype: see `_array.h`. */

#if DOUBLE
#define REAL double
#define SQRT sqrt
#else
#define REAL float
#define SQRT sqrtf
#endif
#define LANES ((ptrdiff_t)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))
#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define BITS NAME(bits)
/* Columns that go down together. */
#define WIDE (8 * LANES)
/* How many numbers of a row, and rows of a column, are added up by themselves: one long
   sum in float32 drifts. */
#define CUT (32 * LANES)
#define ROWS_CUT 32
#define C(x) NAME(all)(x)
#define ROUNDER_OF_FLOAT 12582912.0f /* 1.5 * 2**23: rounds what it is added to */

INLINE VECTOR NAME(some)(const REAL *x, ptrdiff_t n, REAL other)
{
    return n == LANES ? NAME(load)(x) : NAME(load_part)(x, n, other);
}

INLINE void NAME(put)(REAL *x, ptrdiff_t n, VECTOR y)
{
    if (n == LANES) {
        NAME(store)(x, y);
    }
    else {
        NAME(store_part)(x, n, y);
    }
}

#define EACH_PART(n) \
    for (ptrdiff_t i = 0, k __attribute__((unused)); k = n - i < LANES ? n - i : LANES, i < n; i += LANES)

#include "_array_maps.h"
#include "_array_pairs.h"
#include "_array_reductions.h"
#include "_array_factors.h"
#include "_array_softmax.h"
#include "_array_product.h"
#include "_array_norm.h"
#include "_array_training.h"

static const minigrad_array NAME(array) = {
    NAME(maps),
    NAME(pairs),
    NAME(select),
    NAME(logic),
    NAME(bounds),
    NAME(softmax),
    NAME(log_softmax),
    NAME(logsumexp),
    NAME(sum),
    NAME(prod),
    NAME(amax),
    NAME(amin),
    NAME(cumsum),
    NAME(softmax_grad),
    NAME(log_softmax_grad),
    NAME(prod_grad),
    NAME(places),
    NAME(variance),
    NAME(variance_grad),
    NAME(label_loss),
    NAME(label_loss_grad),
    NAME(few_product),
    NAME(layer_norm),
    NAME(layer_norm_grad_x),
    NAME(layer_norm_grad_weight),
    NAME(adam),
    NAME(sgd),
    NAME(square_sum),
};

#undef REAL
#undef SQRT
#undef LANES
#undef INLINE
#undef VECTOR
#undef MASK
#undef BITS
#undef WIDE
#undef CUT
#undef ROWS_CUT
#undef ROUNDER_OF_FLOAT
#undef C
#undef MAP
#undef MAP_VECTOR
#undef MAP_EACH
#undef MAP_NEAR
#undef NORMAL
#undef ABOVE_MINUS_1
#undef MODERATE
#undef FARTHER
#undef IN_RANGE
#undef FARTHEST
#undef ABOVE
#undef NAMED
#undef PAIR
#undef PAIRED
#undef FOLD
#undef SUM_OF
#undef EACH_PART
#undef BEST
#undef BETTER_most
#undef BETTER_least
#undef EXTREME
#undef EXTREME_ROWS
#undef GRADIENT
#undef DOUBLE
