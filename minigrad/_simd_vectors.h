/* Of `_simd.h`: the types of one instruction set and dtype, and how vectors are read. */

#if DOUBLE
#define REAL double
#define TURN minigrad_turn_double
#define WHOLE int64_t
#define NATURAL uint64_t
#define DIGITS 52 /* of a number, after the first */
#define BIAS 1023 /* of its exponent */
#else
#define REAL float
#define TURN minigrad_turn_float
#define WHOLE int32_t
#define NATURAL uint32_t
#define DIGITS 23
#define BIAS 127
#endif

#define LANES ((ptrdiff_t)(BYTES / sizeof(REAL)))
#define PANEL (2 * LANES)
/* From row to row of those that are copied: more than a cut, as powers of two would put all
   the rows in the same few places of a cache. */
#define APART (MINIGRAD_CUT + 16)
/* Of a tile's products, between two looks at what comes next: at least, and at most. */
#define BRIEF 12
#define STRETCH 48
#define INLINE static inline __attribute__((always_inline))

typedef REAL NAME(vector) __attribute__((vector_size(BYTES)));
typedef WHOLE NAME(mask) __attribute__((vector_size(BYTES)));
typedef NATURAL NAME(bits) __attribute__((vector_size(BYTES)));
typedef REAL NAME(anywhere)
    __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define BITS NAME(bits)

INLINE VECTOR NAME(load)(const REAL *p)
{
    return *(const NAME(anywhere) *)p;
}

INLINE void NAME(store)(REAL *p, VECTOR x)
{
    *(NAME(anywhere) *)p = x;
}

INLINE VECTOR NAME(all)(REAL x)
{
    return x - (VECTOR){0}; /* minus: -0 + 0 is 0 */
}

/* The first n lanes, where they can be read and written by themselves: number by number, a
   row of 17 took six times as long as one of 32. */
#if BYTES == 64
#define SOME(n) ((1u << (n)) - 1)
#if DOUBLE
#define LOAD_SOME(p, n, rest) _mm512_mask_loadu_pd((__m512d)(rest), SOME(n), p)
#define STORE_SOME(p, n, x) _mm512_mask_storeu_pd(p, SOME(n), (__m512d)(x))
#else
#define LOAD_SOME(p, n, rest) _mm512_mask_loadu_ps((__m512)(rest), SOME(n), p)
#define STORE_SOME(p, n, x) _mm512_mask_storeu_ps(p, SOME(n), (__m512)(x))
#endif
#elif BYTES == 32
#if DOUBLE
#define SOME(n) (__m256i)((MASK){0, 1, 2, 3} < (n))
#define LOAD_SOME(p, n, rest) _mm256_blendv_pd( \
    (__m256d)(rest), _mm256_maskload_pd(p, SOME(n)), (__m256d)SOME(n))
#define STORE_SOME(p, n, x) _mm256_maskstore_pd(p, SOME(n), (__m256d)(x))
#else
#define SOME(n) (__m256i)((MASK){0, 1, 2, 3, 4, 5, 6, 7} < (int)(n))
#define LOAD_SOME(p, n, rest) _mm256_blendv_ps( \
    (__m256)(rest), _mm256_maskload_ps(p, SOME(n)), (__m256)SOME(n))
#define STORE_SOME(p, n, x) _mm256_maskstore_ps(p, SOME(n), (__m256)(x))
#endif
#endif

/* n < LANES numbers, the rest `other`. */
INLINE VECTOR NAME(load_part)(const REAL *p, ptrdiff_t n, REAL other)
{
#ifdef SOME
    return (VECTOR)LOAD_SOME(p, n, NAME(all)(other));
#else
    REAL part[LANES];
    for (ptrdiff_t i = 0; i < LANES; i++) {
        part[i] = i < n ? p[i] : other;
    }
    return NAME(load)(part);
#endif
}

INLINE void NAME(store_part)(REAL *p, ptrdiff_t n, VECTOR x)
{
#ifdef SOME
    STORE_SOME(p, n, x);
#else
    REAL part[LANES];
    NAME(store)(part, x);
    for (ptrdiff_t i = 0; i < n; i++) {
        p[i] = part[i];
    }
#endif
}

#undef SOME
#undef LOAD_SOME
#undef STORE_SOME
