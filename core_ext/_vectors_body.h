/* Several doubles at a time for one instruction level: what the compiler's vectors lack.
 *
 * Included by the bodies of kernels, which define LEVEL and FN before and include _vectors_end.h last.
 */
#if LEVEL == LEVEL_AVX512
#define WIDTH 8
typedef __m512d FN(TV);
typedef __mmask8 FN(TM);
#define FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define LT(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define LE(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)
#define GT(a, b) _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ)
#define GE(a, b) _mm512_cmp_pd_mask(a, b, _CMP_GE_OQ)
#define NE(a, b) _mm512_cmp_pd_mask(a, b, _CMP_NEQ_UQ)
#elif LEVEL == LEVEL_AVX2
#define WIDTH 4
typedef __m256d FN(TV);
#define FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#else
#define WIDTH 2
typedef double FN(TV) __attribute__((vector_size(16)));
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#define V FN(TV)
typedef unsigned long long FN(TB) __attribute__((vector_size(8 * WIDTH)));
#if LEVEL != LEVEL_AVX512
typedef long long FN(TM) __attribute__((vector_size(8 * WIDTH)));
#define LT(a, b) ((M)((a) < (b)))
#define LE(a, b) ((M)((a) <= (b)))
#define GT(a, b) ((M)((a) > (b)))
#define GE(a, b) ((M)((a) >= (b)))
#define NE(a, b) ((M)((a) != (b)))
#endif
#define B FN(TB) /* bits of lanes: shifts are logical */
#define M FN(TM) /* what a comparison gives: a bit for each lane, or all ones or nothing in it */

ALWAYS_INLINE V FN(splat)(double x) {
    V v;
    for (int l = 0; l < WIDTH; ++l) {
        v[l] = x;
    }
    return v;
}
#define SPLAT(x) FN(splat)(x)

ALWAYS_INLINE V FN(load)(const double *p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE M FN(load_mask)(const int64_t *p) {
#if LEVEL == LEVEL_AVX512
    return _mm512_movepi64_mask(_mm512_loadu_si512(p));
#else
    M v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
#endif
}

ALWAYS_INLINE void FN(store)(double *p, V v) { __builtin_memcpy(p, &v, sizeof v); }

ALWAYS_INLINE V FN(pick)(M mask, V yes, V no) {
#if LEVEL == LEVEL_AVX512
    return _mm512_mask_blend_pd(mask, no, yes);
#elif LEVEL == LEVEL_AVX2
    return _mm256_blendv_pd(no, yes, (__m256d)mask);
#else
    return (V)(((B)mask & (B)yes) | (~(B)mask & (B)no));
#endif
}

/* v where the mask is set, 0 elsewhere. */
ALWAYS_INLINE V FN(keep)(M mask, V v) {
#if LEVEL == LEVEL_AVX512
    return _mm512_maskz_mov_pd(mask, v);
#else
    return (V)((B)mask & (B)v);
#endif
}

ALWAYS_INLINE V FN(absolute)(V v) { return (V)((B)v & ~(B)SPLAT(-0.0)); }

ALWAYS_INLINE V FN(greater)(V a, V b) {
#if LEVEL == LEVEL_AVX512
    return _mm512_max_pd(a, b);
#elif LEVEL == LEVEL_AVX2
    return _mm256_max_pd(a, b);
#else
    return FN(pick)(GT(a, b), a, b);
#endif
}

ALWAYS_INLINE V FN(lesser)(V a, V b) {
#if LEVEL == LEVEL_AVX512
    return _mm512_min_pd(a, b);
#elif LEVEL == LEVEL_AVX2
    return _mm256_min_pd(a, b);
#else
    return FN(pick)(LT(a, b), a, b);
#endif
}

ALWAYS_INLINE unsigned FN(bits)(M mask) {
#if LEVEL == LEVEL_AVX512
    return mask;
#elif LEVEL == LEVEL_AVX2
    return (unsigned)_mm256_movemask_pd((__m256d)mask);
#else
    return (unsigned)((mask[0] & 1) | (mask[1] & 2));
#endif
}

ALWAYS_INLINE V FN(root)(V v) {
#if LEVEL == LEVEL_AVX512
    return _mm512_sqrt_pd(v);
#elif LEVEL == LEVEL_AVX2
    return _mm256_sqrt_pd(v);
#else
    for (int l = 0; l < WIDTH; ++l) {
        v[l] = sqrt(v[l]);
    }
    return v;
#endif
}
