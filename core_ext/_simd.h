/* Instruction levels of the kernels: which there are, and how a function of one is called.
 *
 * A kernel's body is included once for each level by _levels.h; DISPATCH calls the function of a level by the
 * number that core_ext.simd.LEVEL stands for. Nothing here looks at the machine that compiles. Elsewhere than on
 * x86-64 there is the baseline alone.
 */
#ifndef TOPLOVOD_SIMD_H
#define TOPLOVOD_SIMD_H

#define LEVEL_BASELINE 0
#define LEVEL_AVX2 1
#define LEVEL_AVX512 2

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)
#define TOPLOVOD_X86 1
#include <immintrin.h>
#define DISPATCH(level, function, ...) \
    ((level) == LEVEL_AVX512 ? function##_avx512(__VA_ARGS__) \
     : (level) == LEVEL_AVX2 ? function##_avx2(__VA_ARGS__) \
                             : function##_baseline(__VA_ARGS__))
#else
#define TOPLOVOD_X86 0
#define DISPATCH(level, function, ...) function##_baseline(__VA_ARGS__)
#endif

static inline int highest_level(void) {
#if TOPLOVOD_X86
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) {
        return LEVEL_BASELINE;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
        return LEVEL_AVX512;
    }
    return LEVEL_AVX2;
#else
    return LEVEL_BASELINE;
#endif
}

#endif
