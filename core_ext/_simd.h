/* Instruction levels of the kernels: which there are, and how a function is built for one.
 *
 * A kernel's body is an always-inline function; for each level a wrapper with the level's target attribute
 * calls it, and the caller picks the wrapper by the number that core_ext.simd.LEVEL stands for. Nothing here
 * looks at the machine that compiles. Elsewhere than on x86-64 there is the baseline alone.
 */
#ifndef TOPLOVOD_SIMD_H
#define TOPLOVOD_SIMD_H

#define LEVEL_BASELINE 0
#define LEVEL_AVX2 1
#define LEVEL_AVX512 2

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)
#define TOPLOVOD_X86 1
#define TARGET_BASELINE
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define TARGET_AVX512 \
    __attribute__((target("avx2,fma,avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")))
#else
#define TOPLOVOD_X86 0
#define TARGET_BASELINE
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
