/* What all pipes do in a step, several at a time, for one instruction level; included by _transport.h.
 *
 * LEVEL is the level, FN(name) the name of a function at it. Arrays are padded to a multiple of eight; pads
 * are pipes without content in which nothing moves. Lanes that do not fit the common case (more than one
 * parcel, or too much clock in one piece) are computed again by _transport.h, one at a time.
 */
#include "_vectors_body.h"

/* Mean of u exp(2 z u) for u in -1/2..1/2, with the terms of `flat`. */
ALWAYS_INLINE V FN(slope)(V z, int terms) {
    static const double c[9] = {1.0 / 10, 1.0 / 28, 1.0 / 54, 1.0 / 88, 1.0 / 130, 1.0 / 180, 1.0 / 238,
                                1.0 / 304, 1.0 / 378};
    const V s = z * z;
    V sum = SPLAT(1.0);
    for (int i = terms - 2; i >= 0; --i) {
        sum = FMA(s * SPLAT(c[i]), sum, SPLAT(1.0));
    }
    return z * SPLAT(1.0 / 6) * sum;
}

/* What follows from flows and step length alone.
 *
 * A wall node of capacity `wall` takes part in the share e of the water that passes: what comes in at T leaves
 * at (1 - e) T + e w, and w follows T at the rate flow e / wall besides cooling at the pipe's rate. Its mean
 * over the step is linear in T and its old w. Because a mixed node cools less than a plug in the same time,
 * the plug's clock runs faster by just as much, so that a steady pipe cools by the exact exponential; the
 * correction fades out where water needs so long that nothing is left of its heat. */
static void FN(prepare)(Pipes *n) {
    const V one = SPLAT(1.0), zero = SPLAT(0.0), dt = SPLAT(n->dt);
    for (int32_t p = 0; p < n->padded; p += WIDTH) {
        const V speed = FN(absolute)(FN(load)(n->flow + p)), plug = FN(load)(n->plug_kg + p);
        const V wall = FN(load)(n->wall_kg + p), share = FN(load)(n->share + p);
        const V aged = FN(load)(n->rate + p) * dt, held = FN(load)(n->held_kg + p);
        const M flows = (M)(speed >= SPLAT(STANDING_KG_S)), walled = (M)(wall > zero);
        const V moved = FN(pick)(flows, speed * dt, zero), mass = FN(pick)(flows, moved, one);
        const V gone = FN(lesser)(moved, plug), part = gone / mass;
        const V wall_or_one = FN(pick)(walled, wall, one);
        const V taken = moved * share / wall_or_one, rates = taken + aged;
        const V still = FN(mean_decay)(rates);
        const V follows = FN(pick)((M)(rates > zero), taken / FN(pick)((M)(rates > zero), rates, one), zero);
        const V pass_in = (one - share) + share * follows * (one - still);
        FN(store)(n->moved + p, moved);
        FN(store)(n->gone + p, gone);
        FN(store)(n->part + p, part);
        FN(store)(n->filled + p, gone / FN(pick)((M)(plug > zero), plug, one));
        FN(store)(n->pass_in + p, FN(pick)(walled, pass_in, one));
        FN(store)(n->pass_old + p, FN(pick)(walled, share * still, zero));
        FN(store)(n->take_in + p, FN(pick)(walled, taken * still, zero));
        FN(store)(n->take_old + p, one - rates * still);
        /* steady: a node passes on 1 - share y / (1 + y) of the excess; the logarithm by atanh's series */
        const V y = FN(lesser)(aged * wall / (mass * share), SPLAT(100.0));
        const V q = share * y / (SPLAT(2.0) + (SPLAT(2.0) - share) * y), s = q * q;
        V sum = SPLAT(1.0 / 17);
        for (int i = 15; i > 0; i -= 2) {
            sum = FMA(sum, s, SPLAT(1.0 / i));
        }
        const V plug_or_one = FN(pick)((M)(plug > zero), plug, one);
        const V full = (aged * held - SPLAT(4.0) * q * sum * mass) / plug_or_one;
        const V fade = FN(greater)(FN(lesser)(SPLAT(2.0) - SPLAT(0.5) * y, one), zero);
        V clock = FN(pick)(flows, FMA(fade, full - aged, aged), aged);
        clock = FN(pick)((M)(plug > zero), clock, zero);
        const V span = clock * part, half = FN(decays)(SPLAT(0.5) * span);
        FN(store)(n->clock_step + p, clock);
        FN(store)(n->keep + p, FN(decays)(clock));
        FN(store)(n->half + p, one / FN(greater)(half, SPLAT(1e-150)));
        FN(store)(n->through + p, (one - part) * half * half);
        FN(store)(n->fresh + p, FN(mean_decay)(span));
    }
}

/* What each pipe delivers: offset + gain * (temperature fed), kg degC, and what stays in its plug, kg K. */
static void FN(deliver)(Pipes *n) {
    const V one = SPLAT(1.0), half = SPLAT(0.5);
    for (int32_t p = 0; p < n->padded; p += WIDTH) {
        const V gone = FN(load)(n->gone + p), part = FN(load)(n->part + p);
        const V span = FN(load)(n->clock_step + p) * part;
        const V tag = FN(load)(n->tag + p), rise = FN(load)(n->rise + p);
        const V xo = FN(load)(n->x_out + p), width = FN(load)(n->x_in + p) - xo;
        const V f = FN(load)(n->filled + p);
        const V piece = FMA(half * rise, f - one, tag), tilt = rise * f, wide = width * f;
        const V before_z = half * wide, out_z = half * (wide - span);
        const V heat = FN(decays)(FN(load)(n->clock + p) - out_z - xo);
        const V most_z = FN(greater)(FN(absolute)(before_z), FN(absolute)(out_z));
        V out, before;
        if (!FN(bits)((M)(most_z > SPLAT(0.02)))) {
            out = FMA(piece, FN(flat)(out_z, 3), tilt * FN(slope)(out_z, 3));
            before = FMA(piece, FN(flat)(before_z, 3), tilt * FN(slope)(before_z, 3));
        } else {
            out = FMA(piece, FN(flat)(out_z, 6), tilt * FN(slope)(out_z, 6));
            before = FMA(piece, FN(flat)(before_z, 6), tilt * FN(slope)(before_z, 6));
        }
        out *= heat;
        before *= heat * FN(load)(n->half + p);
        const unsigned bits = FN(bits)(FN(load_mask)(n->ringed + p) | (M)(most_z > SPLAT(0.25)));
        V delivered = out;
        FN(store)(n->retained + p, FN(load)(n->energy + p) - gone * before);
        FN(store)(n->delivered + p, out);
        if (bits) {
            for (int l = 0; l < WIDTH; ++l) {
                if (bits >> l & 1) {
                    leave(n, p + l);
                }
            }
            delivered = FN(load)(n->delivered + p);
        }
        const V base = FN(load)(n->base + p), through = FN(load)(n->through + p);
        const V pass_in = FN(load)(n->pass_in + p), pass_old = FN(load)(n->pass_old + p);
        const V first = pass_old * FN(load)(n->w_in + p);
        const V plug_out = FMA(through, first, part * delivered);
        const V excess = FMA(pass_in, plug_out, pass_old * FN(load)(n->w_out + p));
        const V gain = pass_in * pass_in * through;
        const V moved = FN(load)(n->moved + p);
        FN(store)(n->offset + p, moved * FMA(base, one - gain, excess));
        FN(store)(n->gain + p, moved * gain);
    }
}

/* Let in what the nodes feed, and return the heat lost to the ground, kg K. */
static double FN(fill)(Pipes *n) {
    const V one = SPLAT(1.0), half = SPLAT(0.5), two = SPLAT(2.0), zero = SPLAT(0.0);
    const V tolerance = SPLAT(n->merge_k);
    const int tie = (n->steps++ & 15) == 0;
    V lost = zero;
    for (int32_t p = 0; p < n->padded; p += WIDTH) {
        const V fed = FN(load)(n->fed + p), base = FN(load)(n->base + p);
        const V pass_in = FN(load)(n->pass_in + p), pass_old = FN(load)(n->pass_old + p);
        const V take_in = FN(load)(n->take_in + p), take_old = FN(load)(n->take_old + p);
        const V w_in = FN(load)(n->w_in + p), w_out = FN(load)(n->w_out + p);
        const V part = FN(load)(n->part + p), moved = FN(load)(n->moved + p), gone = FN(load)(n->gone + p);
        const V excess = FN(pick)((M)(moved > zero), fed - base, zero);
        const V first = FMA(pass_in, excess, pass_old * w_in);
        const V second = FMA(FN(load)(n->through + p), first, part * FN(load)(n->delivered + p));
        const V out = FMA(pass_in, second, pass_old * w_out);
        const V next_in = FMA(take_in, excess, take_old * w_in);
        const V next_out = FMA(take_in, second, take_old * w_out);
        const V energy = FN(load)(n->energy + p);
        const V next = FMA(FN(load)(n->retained + p), FN(load)(n->keep + p), gone * first * FN(load)(n->fresh + p));
        const V walls = (next_in - w_in) + (next_out - w_out);
        lost += moved * (excess - out) - (next - energy) - FN(load)(n->wall_kg + p) * walls;
        FN(store)(n->w_in + p, next_in);
        FN(store)(n->w_out + p, next_out);
        FN(store)(n->energy + p, next);
        const V step = FN(load)(n->clock_step + p), now = FN(load)(n->clock + p) + step;
        FN(store)(n->clock + p, now);

        /* one straight profile for what stayed and what came in */
        const V tag = FN(load)(n->tag + p), rise = FN(load)(n->rise + p);
        const V x_in = FN(load)(n->x_in + p), x_out = FN(load)(n->x_out + p), edge = now - step * part;
        const V f = FN(load)(n->filled + p), rest = one - f;
        const M enters = (M)(gone > zero), stays = (M)(rest > zero);
        const V kept = FN(pick)(stays, FMA(half * rise, f, tag), first), tilt = FN(pick)(stays, rise * rest, zero);
        const V kept_in = FMA(half, tilt, kept), kept_out = FMA(SPLAT(-0.5), tilt, kept);
        const V low = FN(lesser)(first, FN(lesser)(kept_in, kept_out));
        const V high = FN(greater)(first, FN(greater)(kept_in, kept_out));
        const V mean = FMA(rest, kept - first, first);
        const V xo = FN(pick)(stays, FMA(x_in - x_out, f, x_out), edge), wide = now - xo;
        const V clock = FMA(-wide, f, now);
        const V late = FN(greater)(FN(absolute)(clock - edge), FN(pick)(stays, FN(absolute)(clock - x_in), zero));
        const V clock_error = late * FN(greater)(FN(absolute)(low), FN(absolute)(high));
        const V range = high - low;
        V settled = mean, slant = tilt, error = range + clock_error;
        /* where nothing changes there is nothing to fit; the tag is tied to the energy now and then */
        if (tie || FN(bits)(enters & (M)(error > SPLAT(NOTHING_K)))) {
            const V room = two * FN(greater)(FN(lesser)(high - mean, mean - low), zero);
            slant = FMA(SPLAT(6.0) * f * rest, first - kept, rest * rest * tilt);
            slant = FN(greater)(FN(lesser)(slant, room), -room);
            const V middle = FMA(slant, half - f, mean);
            const V shape = FN(greater)(
                FN(greater)(FN(absolute)(FMA(slant, half, mean) - first), FN(absolute)(middle - first)),
                FN(greater)(FN(absolute)(middle - kept_in), FN(absolute)(FMA(slant, SPLAT(-0.5), mean) - kept_out)));
            error = FN(greater)(FN(pick)(stays, shape, zero), clock_error);
            const V z = half * FN(greater)(FN(lesser)(wide, SPLAT(LONGEST_SPAN)), SPLAT(-LONGEST_SPAN));
            const V heat = FN(decays)(z), plug = FN(load)(n->plug_kg + p);
            settled = (next - slant * FN(slope)(z, 10) * heat * plug) /
                      (FN(flat)(z, 10) * heat * FN(pick)((M)(plug > zero), plug, one));
        }
        const M ringed = FN(load_mask)(n->ringed + p);
        const M joins = enters & ~ringed & (M)(error <= tolerance) & (M)(FN(absolute)(wide) <= SPLAT(LONGEST_SPAN));
        FN(store)(n->tag + p, FN(pick)(joins, settled, tag));
        FN(store)(n->rise + p, FN(pick)(joins, slant, rise));
        FN(store)(n->x_in + p, FN(pick)(joins, now, x_in));
        FN(store)(n->x_out + p, FN(pick)(joins, xo, x_out));
        const unsigned bits = FN(bits)(enters & ~joins);
        if (bits) {
            for (int l = 0; l < WIDTH; ++l) {
                if (bits >> l & 1) {
                    enter(n, p + l, first[l], now[l]);
                }
            }
        }
    }
    double sum = 0.0;
    for (int l = 0; l < WIDTH; ++l) {
        sum += lost[l];
    }
    return sum;
}

#include "_vectors_end.h"
