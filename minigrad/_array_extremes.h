/* A part of `_array.h`: the largest and the smallest of two vectors, an instruction each
   where the compilers' vectors need five. The second operand if one is NaN. And whether a
   mask holds anywhere. */

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
