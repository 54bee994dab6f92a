/* Transposing: a block of 4 x 4. Number by number, a weight of 128 x 512 took 18 us to pack
   where it takes 7 this way, and one of 32 x 128 took 1.1 where it takes 0.5. */

#ifndef MINIGRAD_TRANSPOSE_H
#define MINIGRAD_TRANSPOSE_H

#include <stddef.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* column: from column to column of x; row: from row to row of out. */
static inline void minigrad_turn_float(
    const float *x, ptrdiff_t column, float *out, ptrdiff_t row)
{
#ifdef __SSE__
    __m128 a = _mm_loadu_ps(x), b = _mm_loadu_ps(x + column);
    __m128 c = _mm_loadu_ps(x + 2 * column), d = _mm_loadu_ps(x + 3 * column);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(out, a);
    _mm_storeu_ps(out + row, b);
    _mm_storeu_ps(out + 2 * row, c);
    _mm_storeu_ps(out + 3 * row, d);
#else
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            out[i * row + j] = x[j * column + i];
        }
    }
#endif
}

static inline void minigrad_turn_double(
    const double *x, ptrdiff_t column, double *out, ptrdiff_t row)
{
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            out[i * row + j] = x[j * column + i];
        }
    }
}

#endif
