/* What water keeps of its heat on its way, several at a time; included by bodies behind _vectors_body.h. */
/* exp(-x) for -700 < x, to 3e-16 of itself; 0 beyond 700. Taylor's series: to degree 13 on half an ln 2, to
 * degree 8 where all lanes are within 0.05, which is where most water is when it leaves a pipe. */
ALWAYS_INLINE V FN(decays)(V x) {
    static const double c[14] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040,
                                 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800,
                                 1.0 / 479001600, 1.0 / 6227020800.0};
    if (!FN(bits)(GT(FN(absolute)(x), SPLAT(0.05)))) {
        const V s = x * x, even = FMA(FMA(FMA(FMA(SPLAT(c[8]), s, SPLAT(c[6])), s, SPLAT(c[4])), s, SPLAT(c[2])), s,
                                      SPLAT(1.0));
        return FMA(-x, FMA(FMA(FMA(SPLAT(c[7]), s, SPLAT(c[5])), s, SPLAT(c[3])), s, SPLAT(1.0)), even);
    }
    const V bounded = FN(lesser)(x, SPLAT(700.0)), magic = SPLAT(6755399441055744.0);
    const V shifted = FMA(bounded, SPLAT(-1.4426950408889634074), magic), k = shifted - magic;
    /* ln 2 in two parts: the first is exact when multiplied by a power */
    const V r = FMA(k, SPLAT(-1.90821492927058770002e-10), FMA(k, SPLAT(-0.693147180369123816490), -bounded));
    const V s = r * r, q = s * s;
    V p[7];
    for (int i = 0; i < 7; ++i) {
        p[i] = FMA(SPLAT(c[2 * i + 1]), r, SPLAT(c[2 * i]));
    }
    const V low = FMA(p[1], s, p[0]), middle = FMA(p[3], s, p[2]), high = FMA(p[5], s, p[4]);
    const V sum = FMA(FMA(FMA(p[6], q, high), q, middle), q, low);
    const V power = (V)(((B)shifted << 52) + (B)SPLAT(1.0)) * sum;
    return FN(pick)(LT(x, SPLAT(700.0)), power, SPLAT(0.0));
}

/* Mean of exp(2 z u) for u in -1/2..1/2, for |z| <= 1/50 (three terms), 1/4 (six) or 1 (ten). */
ALWAYS_INLINE V FN(flat)(V z, int terms) {
    static const double c[9] = {1.0 / 6, 1.0 / 20, 1.0 / 42, 1.0 / 72, 1.0 / 110, 1.0 / 156, 1.0 / 210,
                                1.0 / 272, 1.0 / 342};
    const V s = z * z;
    V sum = SPLAT(1.0);
    for (int i = terms - 2; i >= 0; --i) {
        sum = FMA(s * SPLAT(c[i]), sum, SPLAT(1.0));
    }
    return sum;
}

/* (1 - exp(-x)) / x. */
ALWAYS_INLINE V FN(mean_decay)(V x) {
    const V half = SPLAT(0.5) * FN(lesser)(x, SPLAT(2.0));
    const V series = FN(decays)(half) * FN(flat)(half, 10);
    return FN(pick)(LT(x, SPLAT(2.0)), series, (SPLAT(1.0) - FN(decays)(x)) / x);
}
