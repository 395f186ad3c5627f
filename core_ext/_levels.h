/* Includes BODY, the name of a header, once for each instruction level that the compiler's target knows.
 *
 * The body finds LEVEL, the level, and FN(name), the name of a function at it. BODY is taken back afterwards, so
 * that the next kernel may say its own. No guard: it is meant to be included again.
 */
#define LEVEL LEVEL_BASELINE
#define FN(name) name##_baseline
#include BODY
#undef FN
#undef LEVEL

#if TOPLOVOD_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LEVEL LEVEL_AVX2
#define FN(name) name##_avx2
#include BODY
#undef FN
#undef LEVEL
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")
#define LEVEL LEVEL_AVX512
#define FN(name) name##_avx512
#include BODY
#undef FN
#undef LEVEL
#pragma GCC pop_options
#endif
#undef BODY
