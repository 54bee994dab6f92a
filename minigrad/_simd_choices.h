/* Of `_simd.h`: signs of vectors, and choices between two. */

INLINE VECTOR NAME(pick)(MASK which, VECTOR x, VECTOR y)
{
    return (VECTOR)((which & (MASK)x) | (~which & (MASK)y));
}

INLINE VECTOR NAME(magnitude)(VECTOR x)
{
    return (VECTOR)((BITS)x & ((BITS)(MASK){0} - 1) >> 1);
}

INLINE VECTOR NAME(with_sign)(VECTOR x, VECTOR sign)
{
    BITS rest = ((BITS)(MASK){0} - 1) >> 1;
    return (VECTOR)(((BITS)x & rest) | ((BITS)sign & ~rest));
}

/* 1 where the mask holds, else 0. */
INLINE VECTOR NAME(truth)(MASK which)
{
    return (VECTOR)(which & (MASK)NAME(all)(1));
}

INLINE VECTOR NAME(larger)(VECTOR x, VECTOR y)
{
    return NAME(pick)((x >= y) | (x != x), x, y);
}

INLINE VECTOR NAME(smaller)(VECTOR x, VECTOR y)
{
    return NAME(pick)((x <= y) | (x != x), x, y);
}

/* The largest and the smallest, an instruction each where the compilers' vectors need
   five. The second operand if one is NaN. */

#if BYTES == 64 && DOUBLE
#define BOTH(name, x, y) (VECTOR)_mm512_##name##_pd((__m512d)(x), (__m512d)(y))
#elif BYTES == 64
#define BOTH(name, x, y) (VECTOR)_mm512_##name##_ps((__m512)(x), (__m512)(y))
#elif BYTES == 32 && DOUBLE
#define BOTH(name, x, y) (VECTOR)_mm256_##name##_pd((__m256d)(x), (__m256d)(y))
#elif BYTES == 32
#define BOTH(name, x, y) (VECTOR)_mm256_##name##_ps((__m256)(x), (__m256)(y))
#endif

INLINE VECTOR NAME(most)(VECTOR x, VECTOR y)
{
#ifdef BOTH
    return BOTH(max, x, y);
#else
    return NAME(pick)(x > y, x, y);
#endif
}

INLINE VECTOR NAME(least)(VECTOR x, VECTOR y)
{
#ifdef BOTH
    return BOTH(min, x, y);
#else
    return NAME(pick)(x < y, x, y);
#endif
}

/* Whether the mask holds anywhere. */
INLINE int NAME(any)(MASK which)
{
#if BYTES == 64
    return _mm512_test_epi32_mask((__m512i)which, (__m512i)which) != 0;
#elif BYTES == 32
    return !_mm256_testz_si256((__m256i)which, (__m256i)which);
#else
    int64_t parts[2];
    memcpy(parts, &which, sizeof parts);
    return (parts[0] | parts[1]) != 0;
#endif
}

#undef BOTH
