/* The sweeps of the hydraulic solver for one instruction level; included once for each by _newton.h.
 *
 * LEVEL is the level, FN(name) the name of a function at it. Groups hold eight columns; a sweep works on
 * WIDTH of them at a time. Nothing is checked here: _program lays everything out, _newton.h drives.
 */
#include "_vectors_body.h"

ALWAYS_INLINE int FN(any)(M mask) {
#if LEVEL == LEVEL_AVX512
    return mask != 0;
#elif LEVEL == LEVEL_AVX2
    return _mm256_movemask_pd((__m256d)mask) != 0;
#else
    return (mask[0] | mask[1]) != 0;
#endif
}

/* Lane l of the result is all ones where bit (lane + l) of the byte is set. */
ALWAYS_INLINE M FN(lanes)(unsigned byte, int lane) {
#if LEVEL == LEVEL_AVX512
    return (M)(byte >> lane);
#else
    B bit, all;
    for (int l = 0; l < WIDTH; ++l) {
        bit[l] = 1ull << l;
        all[l] = (unsigned long long)(byte >> lane);
    }
    return (M)((all & bit) == bit);
#endif
}

ALWAYS_INLINE double FN(sum)(V v) {
    double s = 0.0;
    for (int l = 0; l < WIDTH; ++l) {
        s += v[l];
    }
    return s;
}

ALWAYS_INLINE double FN(largest)(V v) {
    double s = v[0];
    for (int l = 1; l < WIDTH; ++l) {
        s = v[l] > s ? v[l] : s;
    }
    return s;
}

/* What follows works on HALVES vectors at once, step by step: each is a long chain of operations, and two
 * chains side by side keep the processor busy. */
#define HALVES (8 / WIDTH)
#define EACH for (int i = 0; i < HALVES; ++i)

/* Natural logarithm of positive normal numbers, to 3e-15 of itself; exponent gets the power of two taken out
 * first. Minimax polynomial of degree 16 for (ln(1 + t) - t + t^2/2)/t^3 on [sqrt(1/2), sqrt(2)). */
ALWAYS_INLINE void FN(log_of_mantissa)(const V *x, V *log, V *exponent) {
    static const double c[17] = {
        0.031747664418753561434, -0.066258999694591843805, 0.069090868362469395258, -0.062785268692526098154,
        0.065167167755464073699, -0.071207959146617750082, 0.077029032239047547972, -0.083354890852121590118,
        0.090905095141292364548, -0.099999058963150171579, 0.11111119102867427221,  -0.12500001981631628122,
        0.14285714207833116333,  -0.16666666648764888835,  0.20000000000296591307,  -0.25000000000046087497,
        0.33333333333333130878};
    V t[HALVES], u[HALVES], even[HALVES], odd[HALVES];
    EACH {
        B bits = (B)x[i], zero = bits ^ bits;
        B e = (bits + (zero + 0x3FF0000000000000ull) - (zero + 0x3FE6A09E667F3BCDull)) >> 52;
        exponent[i] = (V)(e | (zero + 0x4330000000000000ull)) - SPLAT(4503599627370496.0 + 1023.0);
        t[i] = (V)(bits - (e << 52) + (zero + 0x3FF0000000000000ull)) - SPLAT(1.0);
        u[i] = t[i] * t[i];
        even[i] = SPLAT(c[0]);
        odd[i] = SPLAT(c[1]);
    }
#pragma GCC unroll 8
    for (int k = 2; k < 16; k += 2) {
        EACH even[i] = FMA(even[i], u[i], SPLAT(c[k]));
        EACH odd[i] = FMA(odd[i], u[i], SPLAT(c[k + 1]));
    }
    EACH even[i] = FMA(even[i], u[i], SPLAT(c[16]));
    EACH even[i] = FMA(odd[i], t[i], even[i]);
    EACH log[i] = FMA(t[i] * u[i], even[i], FMA(u[i], SPLAT(-0.5), t[i]));
}

ALWAYS_INLINE void FN(log)(const V *x, V *log) {
    V e[HALVES], m[HALVES];
    FN(log_of_mantissa)(x, m, e);
    /* ln 2 in two parts: the first is exact when multiplied by an exponent */
    EACH log[i] = FMA(e[i], SPLAT(0.693147180369123816490), FMA(e[i], SPLAT(1.90821492927058770002e-10), m[i]));
}

/* 2^x for |x| < 1000, to 2e-16: degree 10 polynomial on [-1/2, 1/2]. */
ALWAYS_INLINE void FN(exp2)(const V *x, V *power) {
    static const double c[11] = {4.4549605981865183938e-10, 7.0725859492692236999e-9, 1.0178062445845773521e-7,
                                 1.3215442587921689653e-6,  0.000015252733829836118394, 0.00015403530441736050155,
                                 0.001333355814641693531,   0.0096181291076068885273,   0.055504108664821594339,
                                 0.2402265069591009822,     0.69314718055994530942};
    V shifted[HALVES], r[HALVES], u[HALVES], even[HALVES], odd[HALVES];
    EACH {
        shifted[i] = x[i] + SPLAT(6755399441055744.0);
        r[i] = x[i] - (shifted[i] - SPLAT(6755399441055744.0));
        u[i] = r[i] * r[i];
        even[i] = SPLAT(c[0]);
        odd[i] = SPLAT(c[1]);
    }
#pragma GCC unroll 8
    for (int k = 2; k < 10; k += 2) {
        EACH even[i] = FMA(even[i], u[i], SPLAT(c[k]));
        EACH odd[i] = FMA(odd[i], u[i], SPLAT(c[k + 1]));
    }
    EACH even[i] = FMA(even[i], u[i], SPLAT(c[10]));
    EACH even[i] = FMA(odd[i], r[i], even[i]);
    EACH power[i] = (V)(((B)shifted[i] << 52) + (B)SPLAT(1.0)) * FMA(r[i], even[i], SPLAT(1.0));
}

/* Swamee and Jain's friction factor at Re >= 64, and its derivative by Re times Re. */
ALWAYS_INLINE void FN(swamee_jain)(const V *re, const V *rough, V *f, V *re_slope) {
    V e[HALVES], m[HALVES], y[HALVES], inside[HALVES], x[HALVES];
    FN(log_of_mantissa)(re, m, e);
    EACH m[i] = SPLAT(-0.9) * FMA(m[i], SPLAT(1.4426950408889634074), e[i]);
    FN(exp2)(m, y);
    EACH {
        y[i] = SPLAT(5.74) * y[i];
        inside[i] = rough[i] + y[i];
    }
    FN(log)(inside, x);
    EACH {
        x[i] = SPLAT(-2.0 / LN10) * x[i];
        V inverse = SPLAT(1.0) / (x[i] * x[i] * inside[i]);
        f[i] = inside[i] * inverse;
        re_slope[i] = SPLAT(-3.6 / LN10) * f[i] * y[i] * x[i] * inverse;
    }
}

/* Colebrook's, exactly: Newton on x + 2/ln 10 ln(rough + 2.51 x/Re) = 0 from Swamee and Jain's value; three
 * steps reach rounding. */
ALWAYS_INLINE void FN(colebrook)(const V *re, const V *rough, V *f, V *re_slope) {
    V b[HALVES], x[HALVES], inside[HALVES], l[HALVES], a = SPLAT(2.0 / LN10);
    FN(swamee_jain)(re, rough, f, re_slope);
    EACH {
        b[i] = SPLAT(2.51) / re[i];
        x[i] = SPLAT(1.0) / FN(root)(f[i]);
    }
    for (int trial = 0; trial < 3; ++trial) {
        EACH inside[i] = FMA(b[i], x[i], rough[i]);
        FN(log)(inside, l);
        EACH x[i] = x[i] - FMA(a, l[i], x[i]) / (SPLAT(1.0) + a * b[i] / inside[i]);
    }
    EACH {
        inside[i] = FMA(b[i], x[i], rough[i]);
        f[i] = SPLAT(1.0) / (x[i] * x[i]);
        V slope = a * b[i] / inside[i];
        re_slope[i] = SPLAT(-2.0) * f[i] * slope / (SPLAT(1.0) + slope);
    }
}

/* -- the same in single precision ----------------------------------------------------------------------- */

#define F FN(F)
#define W FN(W)
#define FLOATS 8
#define FLOAT F
#define WORD W
#define FF(name) FN(name)
#if LEVEL == LEVEL_BASELINE
#define FMAF(a, b, c) ((a) * (b) + (c))
#else
#define FMAF(a, b, c) _mm256_fmadd_ps(a, b, c)
#endif
#define FUSED FMAF
#include "_floats_body.h"
#if LEVEL == LEVEL_AVX512
#define FLOATS 16
#define FLOAT FN(F16)
#define WORD FN(W16)
#define FF(name) FN(name##_16)
#define FUSED(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "_floats_body.h"
#endif
#define SPLATF(x) FN(splat_f)(x)

ALWAYS_INLINE F FN(narrow)(const V *v) {
#if LEVEL == LEVEL_AVX512
    return _mm512_cvtpd_ps(v[0]);
#elif LEVEL == LEVEL_AVX2
    return _mm256_set_m128(_mm256_cvtpd_ps(v[1]), _mm256_cvtpd_ps(v[0]));
#else
    F f;
    for (int l = 0; l < 8; ++l) {
        f[l] = (float)v[l / WIDTH][l % WIDTH];
    }
    return f;
#endif
}

ALWAYS_INLINE void FN(widen)(F f, V *v) {
#if LEVEL == LEVEL_AVX512
    v[0] = _mm512_cvtps_pd(f);
#elif LEVEL == LEVEL_AVX2
    v[0] = _mm256_cvtps_pd(_mm256_castps256_ps128(f));
    v[1] = _mm256_cvtps_pd(_mm256_extractf128_ps(f, 1));
#else
    for (int l = 0; l < 8; ++l) {
        v[l / WIDTH][l % WIDTH] = f[l];
    }
#endif
}

#define TWICE for (int i = 0; i < 2; ++i)

/* Friction factors of two vectors, and their derivatives by Re times Re; of Colebrook or of Swamee and Jain. */
ALWAYS_INLINE void FN(quick_friction)(int form, const F *re, const F *rough, F *f, F *re_slope) {
#if LEVEL == LEVEL_AVX512
    FN(F16) re_16 = _mm512_insertf32x8(_mm512_castps256_ps512(re[0]), re[1], 1);
    FN(F16) rough_16 = _mm512_insertf32x8(_mm512_castps256_ps512(rough[0]), rough[1], 1);
    FN(F16) f_16, slope_16;
    if (form == COLEBROOK) {
        FN(quick_colebrook_16)(&re_16, &rough_16, &f_16, &slope_16);
    } else {
        FN(quick_swamee_jain_16)(&re_16, &rough_16, &f_16, &slope_16);
    }
    f[0] = _mm512_castps512_ps256(f_16);
    f[1] = _mm512_extractf32x8_ps(f_16, 1);
    re_slope[0] = _mm512_castps512_ps256(slope_16);
    re_slope[1] = _mm512_extractf32x8_ps(slope_16, 1);
#else
    if (form == COLEBROOK) {
        FN(quick_colebrook)(re, rough, f, re_slope);
    } else {
        FN(quick_swamee_jain)(re, rough, f, re_slope);
    }
#endif
}

/* Least Re at which the turbulent formula of a form is evaluated. */
#define LEAST_RE(form) ((form) == SWAMEE_JAIN_EVERYWHERE ? RE_LINEAR : RE_TURBULENT)

/* Drop of a pipe and its derivative by the flow, from the turbulent friction factor at max(Re, LEAST_RE) and
 * its derivative by Re times Re. p: Re per flow, coefficient, minor loss, roughness / 3.7 D. */
ALWAYS_INLINE V FN(pipe_law)(int form, V m, V p0, V p1, V p2, V f, V df, V *slope) {
    V am = FN(absolute)(m), re = p0 * am;
    V r = FMA(f, p1, p2) * am;
    V drop = r * m;
    V s = FMA(am * p1, df, r + r);
    M low = LT(re, SPLAT(LEAST_RE(form)));
    if (FN(any)(low)) {
        if (form == SWAMEE_JAIN_EVERYWHERE) {
            V linear = SPLAT(RE_LINEAR) * f * p1 / p0;
            drop = FN(pick)(low, m * FMA(p2, am, linear), drop);
            s = FN(pick)(low, FMA(p2 + p2, am, linear), s);
        } else {
            /* the cubic in t = Re/2000 - 1 that leaves 64/Re and meets the turbulent formula, values and
             * slopes: f = 0.032 - 0.032 t + c t^2 + d t^3 */
            V t = re * SPLAT(1.0 / RE_LAMINAR) - SPLAT(1.0), end = f, end_slope = SPLAT(0.5) * df;
            V c = SPLAT(3.0) * (end - SPLAT(0.032)) + SPLAT(0.064) - end_slope;
            V d = end_slope - SPLAT(0.032) - SPLAT(2.0) * (end - SPLAT(0.032));
            V ft = FMA(t, FMA(t, FMA(t, d, c), SPLAT(-0.032)), SPLAT(0.032));
            V st = FMA(t, FMA(t, SPLAT(3.0) * d, c + c), SPLAT(-0.032)) * SPLAT(1.0 / RE_LAMINAR);
            V rt = FMA(ft, p1, p2) * am;
            V slope_t = FMA(st * p0 * p1 * am, am, rt + rt);
            V linear = SPLAT(64.0) * p1 / p0;
            M laminar = LE(re, SPLAT(RE_LAMINAR));
            V lower = FN(pick)(laminar, m * FMA(p2, am, linear), rt * m);
            V lower_s = FN(pick)(laminar, FMA(p2 + p2, am, linear), slope_t);
            drop = FN(pick)(low, lower, drop);
            s = FN(pick)(low, lower_s, s);
        }
    }
    *slope = s;
    return drop;
}

/* Root of a positive number with the sign of another. */
ALWAYS_INLINE V FN(signed_root)(V v, V sign) { return (V)((B)FN(root)(v) | ((B)sign & (B)SPLAT(-0.0))); }

/* Flow to evaluate a law at: what lies in w. After the chord step REFIT takes the flow that a square law
 * with the chord's slope has at the new pressures: that is the geometric mean of the old flow and the new. */
ALWAYS_INLINE V FN(flow_at)(const Net *n, int mode, int32_t at) {
    V m = FN(load)(n->w + at);
    if (mode == REFIT) {
        m = FN(signed_root)(FN(absolute)(m * FN(load)(n->q + at)), m);
    }
    return m;
}

/* What a step makes of drops and slopes; mode says which of the passes this is. */
typedef struct {
    V worst, total, along;
} FN(Tally);

ALWAYS_INLINE void FN(finish)(Net *n, int mode, int32_t at, M active, V m, V drop, V slope,
                              FN(Tally) *tally) {
    if (mode == LAWS) {
        FN(store)(n->w + at, drop);
        FN(store)(n->y + at, slope);
        return;
    }
    m = FN(keep)(active, m);
    V dp = FN(load)(n->y + at), y, w;
    if (mode == CHORD) {
        /* the first step from cold: through the origin, so that the guessed direction has no say */
        y = FN(keep)(active, FN(absolute)(m) / FN(greater)(FN(absolute)(drop), SPLAT(1e-290)));
        w = y * dp;
    } else {
        V x = FN(keep)(active, dp - drop);
        y = FN(keep)(active, SPLAT(1.0) / FN(greater)(slope, SPLAT(LEAST_SLOPE)));
        w = FMA(y, x, m);
        if (tally != NULL) {
            V ax = FN(absolute)(x);
            tally->along = tally->along - (m - FN(load)(n->q + at)) * x;
            tally->worst = FN(greater)(ax, tally->worst);
            tally->total = tally->total + ax;
        }
    }
    FN(store)(n->q + at, m);
    FN(store)(n->w + at, w);
    FN(store)(n->y + at, y);
}

/* Pipe blocks from..to, an even number of them. quick: friction factors in single precision. */
ALWAYS_INLINE void FN(pipes)(Net *n, int form, int mode, int quick, int32_t from, int32_t to, FN(Tally) *tally) {
    const double *p = n->pipe + 32 * (int64_t)(from - (from >= n->peeled_pipe_at ? n->peeled_pipe_shift : 0));
    for (int32_t b = from; b < to; b += 2, p += 64) {
        V m[2][HALVES], f[2][HALVES], df[2][HALVES], re[2][HALVES], rough[2][HALVES];
        for (int k = 0; k < 2; ++k) {
            EACH {
                m[k][i] = FN(flow_at)(n, mode, 8 * (b + k) + WIDTH * i);
                re[k][i] = FN(greater)(FN(load)(p + 32 * k + WIDTH * i) * FN(absolute)(m[k][i]), SPLAT(LEAST_RE(form)));
                rough[k][i] = FN(load)(p + 32 * k + 24 + WIDTH * i);
            }
        }
        if (form != NIKURADSE && mode != CHORD) {
            if (quick) {
                F re_f[2], rough_f[2], value[2], slope[2];
                TWICE {
                    re_f[i] = FN(narrow)(re[i]);
                    rough_f[i] = FN(narrow)(rough[i]);
                }
                FN(quick_friction)(form, re_f, rough_f, value, slope);
                TWICE {
                    FN(widen)(value[i], f[i]);
                    FN(widen)(slope[i], df[i]);
                }
            } else {
                for (int k = 0; k < 2; ++k) {
                    if (form == COLEBROOK) {
                        FN(colebrook)(re[k], rough[k], f[k], df[k]);
                    } else {
                        FN(swamee_jain)(re[k], rough[k], f[k], df[k]);
                    }
                }
            }
        }
        for (int k = 0; k < 2; ++k) {
            EACH {
                const int h = WIDTH * i;
                const double *c = p + 32 * k + h;
                V slope, drop, am = FN(absolute)(m[k][i]), p0 = FN(load)(c), p1 = FN(load)(c + 8);
                V p2 = FN(load)(c + 16);
                if (form == NIKURADSE) {
                    /* f = 64/Re + rough term (in p3): a linear and a quadratic part */
                    V linear = SPLAT(64.0) * p1 / p0, square = FMA(rough[k][i], p1, p2);
                    drop = m[k][i] * FMA(square, am, linear);
                    slope = FMA(square + square, am, linear);
                } else if (mode == CHORD) {
                    /* rough is good enough to begin with */
                    slope = FMA(SPLAT(0.02), p1, p2);
                    drop = slope * am * m[k][i];
                } else {
                    drop = FN(pipe_law)(form, m[k][i], p0, p1, p2, f[k][i], df[k][i], &slope);
                }
                FN(finish)(n, mode, 8 * (b + k) + h, FN(lanes)(n->mask[b + k], h), m[k][i], drop, slope, tally);
            }
        }
    }
}

ALWAYS_INLINE void FN(pipes_of)(Net *n, int mode, int quick, int32_t from, int32_t to, FN(Tally) *tally) {
    switch (n->form) {
    case SWAMEE_JAIN:
        FN(pipes)(n, SWAMEE_JAIN, mode, quick, from, to, tally);
        break;
    case COLEBROOK:
        FN(pipes)(n, COLEBROOK, mode, quick, from, to, tally);
        break;
    case SWAMEE_JAIN_EVERYWHERE:
        FN(pipes)(n, SWAMEE_JAIN_EVERYWHERE, mode, quick, from, to, tally);
        break;
    default:
        FN(pipes)(n, NIKURADSE, mode, quick, from, to, tally);
    }
}

ALWAYS_INLINE void FN(quadratics)(Net *n, int mode, FN(Tally) *tally) {
    for (int32_t b = n->quad_at; b < n->limited_at; ++b) {
        const double *p = n->quad + 16 * (int64_t)(b - n->quad_at);
        for (int h = 0; h < 8; h += WIDTH) {
            int32_t at = 8 * b + h;
            V m = FN(flow_at)(n, mode, at), am = FN(absolute)(m), k = FN(load)(p + h), lin = FN(load)(p + 8 + h);
            V r = k * FN(greater)(am, lin);
            V slope = FN(pick)(LT(am, lin), r, r + r);
            FN(finish)(n, mode, at, FN(lanes)(n->mask[b], h), m, r * m, slope, tally);
        }
    }
}

/* Quadratic links with limits. Where the flow has run beyond one it stops there; where the pressure says
 * that a limit no longer holds it is let go. Stiff walls instead of limits when wall > 0. */
ALWAYS_INLINE void FN(limited)(Net *n, int mode, double wall, FN(Tally) *tally) {
    for (int32_t b = n->limited_at; b < n->other_at; ++b) {
        const double *p = n->limited + 32 * (int64_t)(b - n->limited_at);
        uint8_t *bits = n->at_limit + 2 * (int64_t)(b - n->limited_at);
        unsigned high_bits = 0, low_bits = 0;
        for (int h = 0; h < 8; h += WIDTH) {
            int32_t at = 8 * b + h;
            M active = FN(lanes)(n->mask[b], h);
            V m = FN(flow_at)(n, mode, at), k = FN(load)(p + h), lin = FN(load)(p + 8 + h);
            V low = FN(load)(p + 16 + h), high = FN(load)(p + 24 + h);
            M at_high = FN(lanes)(bits[0], h), at_low = FN(lanes)(bits[1], h), held = at_high | at_low;
            m = FN(pick)(at_high, high, FN(pick)(at_low, low, m));
            V edge = m;
            if (mode == NORMAL || mode == REFIT) {
                M over = GT(m, high) & active & ~held, under = LT(m, low) & active & ~held & ~over;
                edge = FN(pick)(over, high, FN(pick)(under, low, m));
                if (wall <= 0.0) {
                    m = edge;
                    at_high |= over;
                    at_low |= under;
                    n->clipped += FN(any)(over | under);
                }
            }
            V am = FN(absolute)(edge), r = k * FN(greater)(am, lin), drop = r * edge;
            V slope = FN(pick)(LT(am, lin), r, r + r);
            if (mode != NORMAL && mode != REFIT) {
                FN(finish)(n, mode, at, active, m, drop, slope, tally);
                high_bits |= FN(bits)(at_high) << h;
                low_bits |= FN(bits)(at_low) << h;
                continue;
            }
            if (wall > 0.0) {
                M beyond = NE(edge, m);
                drop = FN(pick)(beyond, FMA(SPLAT(wall), m - edge, drop), drop);
                slope = FN(pick)(beyond, SPLAT(wall), slope);
            }
            V dp = FN(load)(n->y + at), x = FN(keep)(active, dp - drop);
            M loose = held & (((at_high) & LT(x, SPLAT(-n->slack))) | (at_low & GT(x, SPLAT(n->slack))));
            if (FN(any)(loose)) {
                /* a law flat at its limit would throw the next step far beyond: where the limit is zero
                 * flow, begin at the flow that fits */
                M shut = loose & LE(FN(absolute)(m), lin);
                V fit = FN(signed_root)(FN(absolute)(dp) / k, dp);
                fit = FN(pick)(GT(fit, high), high, FN(pick)(LT(fit, low), low, fit));
                m = FN(pick)(shut, fit, m);
                am = FN(absolute)(m);
                r = k * FN(greater)(am, lin);
                drop = FN(pick)(shut, r * m, drop);
                slope = FN(pick)(shut, FN(pick)(LT(am, lin), r, r + r), slope);
                x = FN(keep)(active, dp - drop);
                at_high &= ~loose;
                at_low &= ~loose;
                n->released += 1;
                n->clipped += FN(any)(shut);
            }
            M free_ = ~(at_high | at_low);
            V y = FN(pick)(free_, SPLAT(1.0) / FN(greater)(slope, SPLAT(LEAST_SLOPE)), SPLAT(1.0 / LIMIT_SLOPE));
            y = FN(keep)(active, y);
            V w = FN(pick)(free_, FMA(y, x, m), m);
            V miss = FN(pick)(free_, FN(absolute)(x), FN(pick)(at_high, FN(greater)(-x, SPLAT(0.0)),
                                                                FN(greater)(x, SPLAT(0.0))));
            tally->along = tally->along - FN(keep)(free_, (m - FN(load)(n->q + at)) * x);
            tally->worst = FN(greater)(miss, tally->worst);
            tally->total = tally->total + miss;
            FN(store)(n->q + at, m);
            FN(store)(n->w + at, FN(keep)(active, w));
            FN(store)(n->y + at, y);
            high_bits |= FN(bits)(at_high) << h;
            low_bits |= FN(bits)(at_low) << h;
        }
        bits[0] = (uint8_t)high_bits;
        bits[1] = (uint8_t)low_bits;
    }
}

/* One pass over the laws of every core link. NORMAL: w holds flows and y pressure differences on entry; flow
 * plus conductance times error, and conductance, on return; q keeps the flow. RESUMED: pipes have been through
 * it already. */
static void FN(evaluate)(Net *n, int mode, double wall) {
    FN(Tally) tally = {SPLAT(0.0), SPLAT(0.0), SPLAT(0.0)};
    n->clipped = 0;
    n->released = 0;
    if (mode == RESUMED) {
        mode = NORMAL;
        tally.worst = SPLAT(n->pipes_worst);
        tally.total[0] = n->pipes_total;
        FN(quadratics)(n, NORMAL, &tally);
    } else if (n->quick) {
        /* nothing is judged by it, so nothing is counted */
        FN(pipes_of)(n, mode, 1, 0, n->quad_at, NULL);
        FN(quadratics)(n, mode, NULL);
    } else {
        FN(pipes_of)(n, mode, 0, 0, n->quad_at, &tally);
        n->pipes_worst = FN(largest)(tally.worst);
        n->pipes_total = FN(sum)(tally.total);
        FN(quadratics)(n, mode, &tally);
    }
    FN(limited)(n, mode, wall, &tally);
    n->worst = FN(largest)(tally.worst);
    n->total = FN(sum)(tally.total); /* NaN, which comparisons pass over, stays in a sum */
    n->along = FN(sum)(tally.along);
    others(n, mode, wall);
}

/* Drops of peeled pipes at the flows in w, into w. */
static void FN(peeled_laws)(Net *n) { FN(pipes_of)(n, LAWS, 0, n->peeled_pipe_at, n->peeled_other_at, NULL); }

/* Drops of peeled pipes at the flows in q, into w; only where a flow of their block has changed. */
static void FN(peeled_drops)(Net *n) {
    for (int32_t b = n->peeled_pipe_at; b < n->peeled_other_at; b += 2) {
        uint8_t *stale = n->stale + (b - n->peeled_pipe_at);
        if (stale[0] | stale[1]) {
            stale[0] = stale[1] = 0;
            memcpy(n->w + 8 * (int64_t)b, n->q + 8 * (int64_t)b, 16 * sizeof(double));
            FN(pipes_of)(n, LAWS, 0, b, b + 2, NULL);
        }
    }
}

#if LEVEL == LEVEL_AVX512
/* Four pairs of doubles, sixteen bytes each, side by side. Sixteen bytes at a time throughout: that is how pairs
 * are written, and a wider load would wait until they have left the store buffer. */
ALWAYS_INLINE V FN(four_pairs)(const double *a, const double *b, const double *c, const double *d) {
    V v = _mm512_castpd128_pd512(_mm_loadu_pd(a));
    v = _mm512_mask_broadcast_f64x2(v, 0x0C, _mm_loadu_pd(b));
    v = _mm512_mask_broadcast_f64x2(v, 0x30, _mm_loadu_pd(c));
    return _mm512_mask_broadcast_f64x2(v, 0xC0, _mm_loadu_pd(d));
}
#endif

/* Two neighbouring fields of WIDTH records that lie one after the other. */
ALWAYS_INLINE void FN(load_pairs)(const double *p, V *first, V *second) {
#if LEVEL == LEVEL_AVX2
    __m128d a = _mm_loadu_pd(p), b = _mm_loadu_pd(p + 4), c = _mm_loadu_pd(p + 8), d = _mm_loadu_pd(p + 12);
    __m256d ac = _mm256_insertf128_pd(_mm256_castpd128_pd256(a), c, 1);
    __m256d bd = _mm256_insertf128_pd(_mm256_castpd128_pd256(b), d, 1);
    *first = _mm256_unpacklo_pd(ac, bd);
    *second = _mm256_unpackhi_pd(ac, bd);
#elif LEVEL == LEVEL_AVX512
    V even = FN(four_pairs)(p, p + 8, p + 16, p + 24), odd = FN(four_pairs)(p + 4, p + 12, p + 20, p + 28);
    *first = _mm512_unpacklo_pd(even, odd);
    *second = _mm512_unpackhi_pd(even, odd);
#else
    for (int l = 0; l < WIDTH; ++l) {
        (*first)[l] = p[4 * l];
        (*second)[l] = p[4 * l + 1];
    }
#endif
}

ALWAYS_INLINE void FN(store_pairs)(double *p, V first, V second) {
#if LEVEL == LEVEL_AVX2
    __m256d ac = _mm256_unpacklo_pd(first, second), bd = _mm256_unpackhi_pd(first, second);
    _mm_storeu_pd(p, _mm256_castpd256_pd128(ac));
    _mm_storeu_pd(p + 4, _mm256_castpd256_pd128(bd));
    _mm_storeu_pd(p + 8, _mm256_extractf128_pd(ac, 1));
    _mm_storeu_pd(p + 12, _mm256_extractf128_pd(bd, 1));
#elif LEVEL == LEVEL_AVX512
    V even = _mm512_unpacklo_pd(first, second), odd = _mm512_unpackhi_pd(first, second);
    _mm_storeu_pd(p, _mm512_castpd512_pd128(even));
    _mm_storeu_pd(p + 4, _mm512_castpd512_pd128(odd));
    _mm_storeu_pd(p + 8, _mm512_extractf64x2_pd(even, 1));
    _mm_storeu_pd(p + 12, _mm512_extractf64x2_pd(odd, 1));
    _mm_storeu_pd(p + 16, _mm512_extractf64x2_pd(even, 2));
    _mm_storeu_pd(p + 20, _mm512_extractf64x2_pd(odd, 2));
    _mm_storeu_pd(p + 24, _mm512_extractf64x2_pd(even, 3));
    _mm_storeu_pd(p + 28, _mm512_extractf64x2_pd(odd, 3));
#else
    for (int l = 0; l < WIDTH; ++l) {
        p[4 * l] = first[l];
        p[4 * l + 1] = second[l];
    }
#endif
}

/* Fields `field` and the next of the columns named by index (four times their number). */
ALWAYS_INLINE void FN(gather_pairs)(const Column *c, const int32_t *index, int field, V *first, V *second) {
    const double *base = (const double *)c + field;
#if LEVEL == LEVEL_AVX2
    __m256d ac = _mm256_insertf128_pd(
        _mm256_castpd128_pd256(_mm_loadu_pd(base + index[0])), _mm_loadu_pd(base + index[2]), 1);
    __m256d bd = _mm256_insertf128_pd(
        _mm256_castpd128_pd256(_mm_loadu_pd(base + index[1])), _mm_loadu_pd(base + index[3]), 1);
    *first = _mm256_unpacklo_pd(ac, bd);
    *second = _mm256_unpackhi_pd(ac, bd);
#elif LEVEL == LEVEL_AVX512
    V even = FN(four_pairs)(base + index[0], base + index[2], base + index[4], base + index[6]);
    V odd = FN(four_pairs)(base + index[1], base + index[3], base + index[5], base + index[7]);
    *first = _mm512_unpacklo_pd(even, odd);
    *second = _mm512_unpackhi_pd(even, odd);
#else
    for (int l = 0; l < WIDTH; ++l) {
        (*first)[l] = base[index[l]];
        (*second)[l] = base[index[l] + 1];
    }
#endif
}

/* Add a pair to the first two fields of each named column, one after the other: two may be the same. */
ALWAYS_INLINE void FN(push_pairs)(Column *c, const int32_t *index, V first, V second) {
#if LEVEL == LEVEL_AVX2
    __m256d ac = _mm256_unpacklo_pd(first, second), bd = _mm256_unpackhi_pd(first, second);
    double *p = (double *)c;
    double *a = p + index[0];
    _mm_store_pd(a, _mm_add_pd(_mm_load_pd(a), _mm256_castpd256_pd128(ac)));
    a = p + index[1];
    _mm_store_pd(a, _mm_add_pd(_mm_load_pd(a), _mm256_castpd256_pd128(bd)));
    a = p + index[2];
    _mm_store_pd(a, _mm_add_pd(_mm_load_pd(a), _mm256_extractf128_pd(ac, 1)));
    a = p + index[3];
    _mm_store_pd(a, _mm_add_pd(_mm_load_pd(a), _mm256_extractf128_pd(bd, 1)));
#elif LEVEL == LEVEL_AVX512
    double pairs[16] __attribute__((aligned(64)));
    _mm512_store_pd(pairs, _mm512_unpacklo_pd(first, second));
    _mm512_store_pd(pairs + 8, _mm512_unpackhi_pd(first, second));
    for (int l = 0; l < WIDTH; ++l) {
        double *a = (double *)c + index[l];
        _mm_store_pd(a, _mm_add_pd(_mm_load_pd(a), _mm_load_pd(pairs + 8 * (l & 1) + 2 * (l >> 1))));
    }
#else
    for (int l = 0; l < WIDTH; ++l) {
        double *a = (double *)c + index[l];
        a[0] += first[l];
        a[1] += second[l];
    }
#endif
}

/* Eliminate all columns: conductances of the links and what was pushed here go out to later columns.
 *
 * Invariant: entry holds the magnitudes of the couplings among the columns not yet eliminated, excess what
 * each of them is coupled to fixed pressures with; both only ever grow by terms that are not negative. On
 * return entry holds multipliers, excess the inverse pivots (0 where nothing holds the pressure) and rhs the
 * right-hand sides over the pivots. */
ALWAYS_INLINE void FN(eliminate_group)(const Arrays n, const int32_t g, const Group *group, const int d) {
    const int blocks = group->blocks;
    const int32_t *links = n.link + group->link_at;
    for (int h = 0; h < group->lanes; h += WIDTH) {
        const int32_t *rows = n.row + 8 * (int64_t)group->row_at + h;
        const int32_t *target = n.target + 8 * (int64_t)group->target_at + h;
        double *entry = n.entry + 8 * (int64_t)group->entry_at + h;
        double *column = (double *)(n.column + 8 * (int64_t)g + h);
        V *carried = (V *)n.scratch, ex, t, zero = SPLAT(0.0);
        FN(load_pairs)(column, &ex, &t);
        for (int a = 0; a < d; ++a) {
            carried[a] = zero;
        }
        for (int i = 0; i < blocks; ++i) {
            const int32_t at = links[2 * i] + h, a = links[2 * i + 1];
            V y = FN(load)(n.y + at), w = FN(load)(n.w + at);
            t = t - w;
            if (a < d) {
                FN(store)(entry + 8 * a, FN(load)(entry + 8 * a) + y);
                carried[a] = carried[a] + w;
            } else {
                ex = ex + y;
            }
        }
        V sum = ex;
        for (int a = 0; a < d; ++a) {
            sum = sum + FN(load)(entry + 8 * a);
        }
        V inverse = FN(keep)(GT(sum, zero), SPLAT(1.0) / sum);
        for (int a = 0; a < d; ++a) {
            V s = FN(load)(entry + 8 * a) * inverse;
            FN(push_pairs)(n.column, rows + 8 * a, s * ex, FMA(s, t, carried[a]));
            for (int b = a + 1; b < d; ++b) {
                V v = s * FN(load)(entry + 8 * b);
                for (int l = 0; l < WIDTH; ++l) {
                    n.entry[target[l]] += v[l];
                }
                target += 8;
            }
            FN(store)(entry + 8 * a, s);
        }
        FN(store_pairs)(column, inverse, t * inverse);
    }
}

static void FN(eliminate)(Net *n) {
    memset(n->entry, 0, sizeof(double) * (size_t)n->entries);
    begin_sums(n);
    const Arrays arrays = arrays_of(n);
    const Group *groups = n->group;
    for (int32_t g = 0, count = n->alias_group; g < count; ++g) {
        const Group *group = groups + g;
        switch (group->entries) {
        case 1:
            FN(eliminate_group)(arrays, g, group, 1);
            break;
        case 2:
            FN(eliminate_group)(arrays, g, group, 2);
            break;
        case 3:
            FN(eliminate_group)(arrays, g, group, 3);
            break;
        case 4:
            FN(eliminate_group)(arrays, g, group, 4);
            break;
        default:
            FN(eliminate_group)(arrays, g, group, group->entries);
        }
    }
}

/* Columns of aliases take no part in the elimination: their change of pressure stays zero. */

/* From the last column to the first: changes of pressure, then new flows of the links (in w) and new
 * pressure differences (in y). Tells the sums of changes and of flows. */
ALWAYS_INLINE void FN(substitute_group)(const Arrays n, const int32_t g, const Group *group, const int d,
                                        V *changed, V *total) {
    const int blocks = group->blocks, rows_in_all = d + group->ground;
    const int32_t *links = n.link + group->link_at;
    for (int h = 0; h < group->lanes; h += WIDTH) {
        const int32_t *rows = n.row + 8 * (int64_t)group->row_at + h;
        const double *entry = n.entry + 8 * (int64_t)group->entry_at + h;
        double *column = (double *)(n.column + 8 * (int64_t)g + h);
        V *dx = (V *)n.scratch, *pr = dx + n.widest, x, p, unused;
        FN(load_pairs)(column, &unused, &x);
        for (int a = 0; a < d; ++a) {
            FN(gather_pairs)(n.column, rows + 8 * a, 1, &dx[a], &pr[a]);
            x = FMA(FN(load)(entry + 8 * a), dx[a], x);
        }
        for (int a = d; a < rows_in_all; ++a) {
            FN(gather_pairs)(n.column, rows + 8 * a, 1, &dx[a], &pr[a]);
        }
        FN(load_pairs)(column + 2, &p, &unused);
        p = p + x;
        FN(store_pairs)(column + 1, x, p);
        for (int i = 0; i < blocks; ++i) {
            const int32_t at = links[2 * i] + h, a = links[2 * i + 1];
            V m = FMA(FN(load)(n.y + at), x - dx[a], FN(load)(n.w + at));
            *changed = *changed + FN(absolute)(m - FN(load)(n.q + at));
            *total = *total + FN(absolute)(m);
            FN(store)(n.w + at, m);
            V drop = p - pr[a];
            if (n.offset != NULL) {
                drop = drop - FN(load)(n.offset + at);
            }
            FN(store)(n.y + at, drop);
        }
    }
}

static void FN(substitute)(Net *n) {
    V changed = SPLAT(0.0), total = SPLAT(0.0);
    const Arrays arrays = arrays_of(n);
    const Group *groups = n->group;
    for (int32_t g = n->groups - 1; g >= 0; --g) {
        const Group *group = groups + g;
        switch (group->entries) {
        case 1:
            FN(substitute_group)(arrays, g, group, 1, &changed, &total);
            break;
        case 2:
            FN(substitute_group)(arrays, g, group, 2, &changed, &total);
            break;
        case 3:
            FN(substitute_group)(arrays, g, group, 3, &changed, &total);
            break;
        case 4:
            FN(substitute_group)(arrays, g, group, 4, &changed, &total);
            break;
        default:
            FN(substitute_group)(arrays, g, group, group->entries, &changed, &total);
        }
    }
    n->changed = FN(sum)(changed);
    n->carried = FN(sum)(total);
}

/* Pressure differences of core links into y, from the pressures as they stand: of those from slot `from` on. */
static void FN(differences)(Net *n, int32_t from) {
    for (int32_t g = 0; g < n->groups; ++g) {
        const Group *group = n->group + g;
        const int32_t *links = n->link + group->link_at, *rows = n->row + 8 * (int64_t)group->row_at;
        for (int h = 0; h < group->lanes; h += WIDTH) {
            V p, pr = SPLAT(0.0), unused;
            FN(load_pairs)((double *)(n->column + 8 * (int64_t)g + h) + 2, &p, &unused);
            for (int i = 0; i < group->blocks; ++i) {
                const int32_t at = links[2 * i] + h;
                if (at < from) {
                    continue;
                }
                FN(gather_pairs)(n->column, rows + 8 * links[2 * i + 1] + h, 1, &unused, &pr);
                V drop = p - pr;
                if (n->offset != NULL) {
                    drop = drop - FN(load)(n->offset + at);
                }
                FN(store)(n->y + at, drop);
            }
        }
    }
}

/* What is missing to balance at every place, into rhs, from the flows in q: largest of the columns, or NaN where
 * a flow or a pressure is no finite number. */
static double FN(imbalance)(Net *n) {
    V worst = SPLAT(0.0), finite = SPLAT(0.0);
    begin_sums(n);
    for (int32_t g = 0; g < n->groups; ++g) {
        const Group *group = n->group + g;
        const int32_t *links = n->link + group->link_at, *rows = n->row + 8 * (int64_t)group->row_at;
        for (int h = 0; h < group->lanes; h += WIDTH) {
            double *column = (double *)(n->column + 8 * (int64_t)g + h);
            V unused, t, p, zero = SPLAT(0.0);
            FN(load_pairs)(column, &unused, &t);
            FN(load_pairs)(column + 2, &p, &unused);
            for (int i = 0; i < group->blocks; ++i) {
                V m = FN(load)(n->q + links[2 * i] + h);
                t = t - m;
                FN(push_pairs)(n->column, rows + 8 * links[2 * i + 1] + h, zero, m);
            }
            FN(store_pairs)(column, zero, t);
            /* a comparison passes over NaN, a sum does not */
            finite = finite + (t - t) + (p - p);
            if (g < n->alias_group) {
                worst = FN(greater)(FN(absolute)(t), worst);
            }
        }
    }
    return FN(largest)(worst) + FN(sum)(finite);
}

/* Flow of every link that has a slot, in its own direction, in the caller's order. */
static void FN(publish_flows)(const Net *n, double *flow) {
    int32_t e = 0;
#if LEVEL == LEVEL_AVX512
    for (const __m256i none = _mm256_setzero_si256(); e + 8 <= n->links; e += 8) {
        __m256i code = _mm256_max_epi32(_mm256_loadu_si256((const __m256i *)(n->slot + e)), none);
        __m512i sign = _mm512_slli_epi64(_mm512_cvtepi32_epi64(code), 63);
        __m512d m = _mm512_i32gather_pd(_mm256_srli_epi32(code, 1), n->q, 8);
        _mm512_storeu_pd(flow + e, _mm512_castsi512_pd(_mm512_xor_si512(_mm512_castpd_si512(m), sign)));
    }
#elif LEVEL == LEVEL_AVX2
    for (const __m128i none = _mm_setzero_si128(); e + 4 <= n->links; e += 4) {
        __m128i code = _mm_max_epi32(_mm_loadu_si128((const __m128i *)(n->slot + e)), none);
        __m256i sign = _mm256_slli_epi64(_mm256_cvtepi32_epi64(code), 63);
        __m256d m = _mm256_i32gather_pd(n->q, _mm_srli_epi32(code, 1), 8);
        _mm256_storeu_pd(flow + e, _mm256_xor_pd(m, _mm256_castsi256_pd(sign)));
    }
#endif
    for (; e < n->links; ++e) {
        int32_t code = n->slot[e] > 0 ? n->slot[e] : 0; /* the caller fills in what has no slot */
        uint64_t bits;
        __builtin_memcpy(&bits, n->q + (code >> 1), sizeof bits);
        /* no branch: the directions of links are not to be foreseen */
        bits ^= (uint64_t)(code & 1) << 63;
        __builtin_memcpy(flow + e, &bits, sizeof bits);
    }
}

/* Pressure of every node, and what flows in there from outside, in the caller's order. */
static void FN(publish_nodes)(const Net *n, const double *outside, double *pressure, double *inflow) {
    int32_t k = 0;
#if LEVEL == LEVEL_AVX512
    for (; k + 8 <= n->nodes; k += 8) {
        __m256i at = _mm256_loadu_si256((const __m256i *)(n->place + k));
        _mm512_storeu_pd(pressure + k, _mm512_i32gather_pd(_mm256_slli_epi32(at, 2), &n->column->pressure, 8));
        _mm512_storeu_pd(inflow + k, _mm512_i32gather_pd(at, outside, 8));
    }
#endif
    for (; k < n->nodes; ++k) {
        pressure[k] = n->column[n->place[k]].pressure;
        inflow[k] = outside[n->place[k]];
    }
}

#include "_lanes_body.h"

#undef SPLATF
#undef HALVES
#undef EACH
#undef TWICE
#undef FMAF
#undef F
#undef W
#undef LEAST_RE
#include "_vectors_end.h"
