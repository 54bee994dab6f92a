/* Of `_simd.h`: the types of one instruction set and dtype, and how vectors are read. */

#if DOUBLE
#define REAL double
#define WHOLE int64_t
#define NATURAL uint64_t
#define DIGITS 52 /* of a number, after the first */
#define BIAS 1023 /* of its exponent */
#else
#define REAL float
#define WHOLE int32_t
#define NATURAL uint32_t
#define DIGITS 23
#define BIAS 127
#endif

#define LANES ((ptrdiff_t)(BYTES / sizeof(REAL)))
#define PANEL (2 * LANES)
/* From row to row of the rows at hand: more than a cut, as powers of two would put all
   the rows in the same few places of a cache. */
#define APART (MINIGRAD_CUT + 16)
#define STRETCH 48 /* of a tile's products, between two looks at what comes next */
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

/* n < LANES numbers, the rest `other`. */
INLINE VECTOR NAME(load_part)(const REAL *p, ptrdiff_t n, REAL other)
{
    REAL part[LANES];
    for (ptrdiff_t i = 0; i < LANES; i++) {
        part[i] = i < n ? p[i] : other;
    }
    return NAME(load)(part);
}

INLINE void NAME(store_part)(REAL *p, ptrdiff_t n, VECTOR x)
{
    REAL part[LANES];
    NAME(store)(part, x);
    for (ptrdiff_t i = 0; i < n; i++) {
        p[i] = part[i];
    }
}
