/* Friction factors in single precision, sixteen at a time: to steer by, never to certify with.
 *
 * FLOATS lie in one vector, FLOAT and WORD are the vectors, FF(name) the name of a function on them and
 * FUSED(a, b, c) is a b + c. Included by _newton_body.h, at AVX-512 once for each of two lengths of vectors.
 */
#define PARTS (16 / FLOATS)
#define EACH_PART for (int i = 0; i < PARTS; ++i)
typedef float FLOAT __attribute__((vector_size(4 * FLOATS)));
typedef unsigned WORD __attribute__((vector_size(4 * FLOATS)));

ALWAYS_INLINE FLOAT FF(splat_f)(float x) {
    FLOAT v;
    for (int l = 0; l < FLOATS; ++l) {
        v[l] = x;
    }
    return v;
}

/* Natural logarithm of the mantissa of sixteen numbers, to 4e-8; degree 7. */
ALWAYS_INLINE void FF(quick_log_of_mantissa)(const FLOAT *x, FLOAT *log, FLOAT *exponent) {
    FLOAT t[PARTS], u[PARTS], even[PARTS], odd[PARTS];
    EACH_PART {
        WORD bits = (WORD)x[i], zero = bits ^ bits;
        WORD e = (bits + (zero + (0x3F800000u - 0x3F3504F3u))) >> 23;
        exponent[i] = (FLOAT)(e | (zero + 0x4B000000u)) - FF(splat_f)(8388608.0f + 127.0f);
        t[i] = (FLOAT)(bits - (e << 23) + (zero + 0x3F800000u)) - FF(splat_f)(1.0f);
        u[i] = t[i] * t[i];
    }
    EACH_PART even[i] = FUSED(FF(splat_f)(0.126223198492f), u[i], FF(splat_f)(0.142144959239f));
    EACH_PART odd[i] = FUSED(FF(splat_f)(-0.0790274377239f), u[i], FF(splat_f)(-0.129981837637f));
    EACH_PART even[i] = FUSED(even[i], u[i], FF(splat_f)(0.200010450942f));
    EACH_PART odd[i] = FUSED(odd[i], u[i], FF(splat_f)(-0.166412814631f));
    EACH_PART even[i] = FUSED(even[i], u[i], FF(splat_f)(0.333333307282f));
    EACH_PART odd[i] = FUSED(odd[i], u[i], FF(splat_f)(-0.250003064226f));
    EACH_PART even[i] = FUSED(odd[i], t[i], even[i]);
    EACH_PART log[i] = FUSED(t[i] * u[i], even[i], FUSED(u[i], FF(splat_f)(-0.5f), t[i]));
}

ALWAYS_INLINE void FF(quick_log)(const FLOAT *x, FLOAT *log) {
    FLOAT e[PARTS], m[PARTS];
    FF(quick_log_of_mantissa)(x, m, e);
    EACH_PART log[i] = FUSED(e[i], FF(splat_f)(0.693147180559945f), m[i]);
}

/* 2^x for |x| < 100, to 8e-9 before rounding; degree 5. */
ALWAYS_INLINE void FF(quick_exp2)(const FLOAT *x, FLOAT *power) {
    FLOAT shifted[PARTS], r[PARTS], p[PARTS];
    EACH_PART {
        shifted[i] = x[i] + FF(splat_f)(12582912.0f);
        r[i] = x[i] - (shifted[i] - FF(splat_f)(12582912.0f));
    }
    EACH_PART p[i] = FUSED(FF(splat_f)(0.000154531629451f), r[i], FF(splat_f)(0.00133908633647f));
    EACH_PART p[i] = FUSED(p[i], r[i], FF(splat_f)(0.00961808255728f));
    EACH_PART p[i] = FUSED(p[i], r[i], FF(splat_f)(0.0555035711422f));
    EACH_PART p[i] = FUSED(p[i], r[i], FF(splat_f)(0.240226507606f));
    EACH_PART p[i] = FUSED(p[i], r[i], FF(splat_f)(0.693147188026f));
    EACH_PART power[i] = (FLOAT)(((WORD)shifted[i] << 23) + (WORD)FF(splat_f)(1.0f)) * FUSED(r[i], p[i], FF(splat_f)(1.0f));
}

ALWAYS_INLINE void FF(quick_swamee_jain)(const FLOAT *re, const FLOAT *rough, FLOAT *f, FLOAT *re_slope) {
    FLOAT e[PARTS], m[PARTS], y[PARTS], inside[PARTS], x[PARTS], inverse[PARTS];
    FF(quick_log_of_mantissa)(re, m, e);
    EACH_PART m[i] = FF(splat_f)(-0.9f) * FUSED(m[i], FF(splat_f)(1.44269504089f), e[i]);
    FF(quick_exp2)(m, y);
    EACH_PART y[i] = FF(splat_f)(5.74f) * y[i];
    EACH_PART inside[i] = rough[i] + y[i];
    FF(quick_log)(inside, x);
    EACH_PART x[i] = FF(splat_f)((float)(-2.0 / LN10)) * x[i];
    EACH_PART inverse[i] = FF(splat_f)(1.0f) / (x[i] * x[i] * inside[i]);
    EACH_PART f[i] = inside[i] * inverse[i];
    EACH_PART re_slope[i] = FF(splat_f)((float)(-3.6 / LN10)) * f[i] * y[i] * x[i] * inverse[i];
}

ALWAYS_INLINE void FF(quick_colebrook)(const FLOAT *re, const FLOAT *rough, FLOAT *f, FLOAT *re_slope) {
    FLOAT x[PARTS], inside[PARTS], l[PARTS], b[PARTS], a = FF(splat_f)((float)(2.0 / LN10));
    FF(quick_swamee_jain)(re, rough, f, re_slope);
    EACH_PART {
        b[i] = FF(splat_f)(2.51f) / re[i];
        for (int k = 0; k < FLOATS; ++k) {
            x[i][k] = 1.0f / sqrtf(f[i][k]);
        }
    }
    for (int trial = 0; trial < 2; ++trial) {
        EACH_PART inside[i] = FUSED(b[i], x[i], rough[i]);
        FF(quick_log)(inside, l);
        EACH_PART x[i] = x[i] - FUSED(a, l[i], x[i]) / (FF(splat_f)(1.0f) + a * b[i] / inside[i]);
    }
    EACH_PART {
        inside[i] = FUSED(b[i], x[i], rough[i]);
        FLOAT slope = a * b[i] / inside[i];
        f[i] = FF(splat_f)(1.0f) / (x[i] * x[i]);
        re_slope[i] = FF(splat_f)(-2.0f) * f[i] * slope / (FF(splat_f)(1.0f) + slope);
    }
}

#undef PARTS
#undef EACH_PART
#undef FLOAT
#undef WORD
#undef FF
#undef FUSED
#undef FLOATS
