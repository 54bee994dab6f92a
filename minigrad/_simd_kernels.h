/* The kernels of one instruction set and one dtype: see `_simd.h`. What they are is in the
   headers included here: products, sums, those of one-hot rows, functions, opcodes. */

#include "_simd_vectors.h"
#include "_simd_products.h"
#include "_simd_sums.h"
#include "_simd_choices.h"
#include "_simd_one_hot.h"
#include "_simd_functions.h"
#include "_simd_opcodes.h"

#define NAMED(name) {#name, NAME(op_##name)},

static const minigrad_named NAME(opcodes)[] = {
    NAMED(add) NAMED(sub) NAMED(mul) NAMED(div) NAMED(neg) NAMED(pow) NAMED(abs)
    NAMED(square) NAMED(reciprocal) NAMED(sign) NAMED(exp) NAMED(expm1) NAMED(log)
    NAMED(log1p) NAMED(sqrt) NAMED(rsqrt) NAMED(sin) NAMED(cos) NAMED(tanh)
    NAMED(sigmoid) NAMED(relu) NAMED(silu) NAMED(softsign) NAMED(maximum) NAMED(minimum)
    NAMED(eq) NAMED(ne) NAMED(lt) NAMED(le) NAMED(gt) NAMED(ge) NAMED(logical_and)
    NAMED(logical_or) NAMED(logical_not) NAMED(where)
    NAMED(muladd) NAMED(add3) NAMED(mulrest) NAMED(mulmulrest) NAMED(muladdrest)
    NAMED(copy) NAMED(spread) NAMED(sum) NAMED(amax) NAMED(amin) NAMED(rstd)
    NAMED(standardize) NAMED(standardize_grad) {0, 0}
};

static const minigrad_kernels NAME(kernels) = {
    PANEL,
    NAME(pack),
    NAME(product_scratch),
    NAME(product),
    NAME(gram_scratch),
    NAME(gram),
    NAME(sum_rows),
    NAME(ones),
    NAME(all_finite),
    NAME(lookup),
    NAME(lookup_gram),
    NAME(opcodes),
};

#undef LANES
#undef PANEL
#undef APART
#undef BRIEF
#undef STRETCH
#undef INLINE
#undef VECTOR
#undef MASK
#undef BITS
#undef WITH_MORE
#undef HIDE
#undef FETCH_TILE
#undef CUTS
#undef GRAM_STRIPS
#undef GRAM_PANELS
#undef SUMS
#undef DIGITS
#undef BIAS
#undef C
#undef LEAST
#undef MOST
#undef TANH_MOST
#undef ROUNDER
#undef LIFT
#undef LOG_2
#undef LOG_2_REST
#undef TAKE_TURNS
#undef OPERANDS
#undef EACH
#undef EACH_ALONE
#undef MEET
#undef ALONG
#undef REDUCE
#undef SUM
#undef ALL_OF
#undef NAMED
#undef REAL
#undef TURN
#undef WHOLE
#undef NATURAL
#undef DOUBLE
