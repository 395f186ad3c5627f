/* What all pipes do in a step, several at a time, for one instruction level; included by _transport.h.
 *
 * LEVEL is the level, FN(name) the name of a function at it. Arrays are padded to a multiple of eight; pads
 * are pipes without content in which nothing moves, and nodes through which nothing enters or leaves. Lanes
 * that do not fit the common case (more than one parcel, or too much clock in one piece) are computed again by
 * _transport.h, one at a time.
 */
#include "_vectors_body.h"
#include "_decay_body.h"

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
    for (int32_t s = 0; s < n->pipes; ++s) {
        AT(moved, s) = n->flow[n->pipe[s]];
    }
    for (int32_t at = 0; at < n->padded; at += WIDTH) {
        Eight *e = n->eight + (at >> 3);
        const EightGiven *given = n->eight_given + (at >> 3);
        const int l = at & 7;
        const V speed = FN(absolute)(FN(load)(e->moved + l)), plug = FN(load)(e->plug_kg + l);
        const V wall = FN(load)(e->wall_kg + l), share = FN(load)(given->share + l);
        const V aged = FN(load)(given->rate + l) * dt, held = FN(load)(given->held_kg + l);
        const M flows = GE(speed, SPLAT(STANDING_KG_S)), walled = GT(wall, zero);
        const V moved = FN(pick)(flows, speed * dt, zero), mass = FN(pick)(flows, moved, one);
        const V gone = FN(lesser)(moved, plug), part = gone / mass;
        const V wall_or_one = FN(pick)(walled, wall, one);
        const V taken = moved * share / wall_or_one, rates = taken + aged;
        const V still = FN(mean_decay)(rates);
        const V follows = FN(pick)(GT(rates, zero), taken / FN(pick)(GT(rates, zero), rates, one), zero);
        const V pass_in = (one - share) + share * follows * (one - still);
        FN(store)(e->moved + l, moved);
        FN(store)(e->gone + l, gone);
        FN(store)(e->part + l, part);
        FN(store)(e->filled + l, gone / FN(pick)(GT(plug, zero), plug, one));
        FN(store)(e->pass_in + l, FN(pick)(walled, pass_in, one));
        FN(store)(e->pass_old + l, FN(pick)(walled, share * still, zero));
        FN(store)(e->take_in + l, FN(pick)(walled, taken * still, zero));
        FN(store)(e->take_old + l, one - rates * still);
        /* steady: a node passes on 1 - share y / (1 + y) of the excess; the logarithm by atanh's series */
        const V y = FN(lesser)(aged * wall / (mass * share), SPLAT(100.0));
        const V q = share * y / (SPLAT(2.0) + (SPLAT(2.0) - share) * y), s = q * q;
        V sum = SPLAT(1.0 / 17);
        for (int i = 15; i > 0; i -= 2) {
            sum = FMA(sum, s, SPLAT(1.0 / i));
        }
        const V plug_or_one = FN(pick)(GT(plug, zero), plug, one);
        const V full = (aged * held - SPLAT(4.0) * q * sum * mass) / plug_or_one;
        const V fade = FN(greater)(FN(lesser)(SPLAT(2.0) - SPLAT(0.5) * y, one), zero);
        V clock = FN(pick)(flows, FMA(fade, full - aged, aged), aged);
        clock = FN(pick)(GT(plug, zero), clock, zero);
        const V span = clock * part, half = FN(decays)(SPLAT(0.5) * span);
        FN(store)(e->clock_step + l, clock);
        FN(store)(e->keep + l, FN(decays)(clock));
        FN(store)(e->half + l, one / FN(greater)(half, SPLAT(1e-150)));
        FN(store)(e->through + l, (one - part) * half * half);
        FN(store)(e->fresh + l, FN(mean_decay)(span));
    }
}

/* What the pipes from place `first` up to `end` deliver, and what stays in their plugs, kg K. */
ALWAYS_INLINE void FN(deliver)(Pipes *n, int32_t first_place, int32_t end) {
    const V one = SPLAT(1.0), half = SPLAT(0.5);
    double *delivered_to = n->delivered - n->origin, *retained_to = n->retained - n->origin;
    for (int32_t at = first_place; at < end; at += WIDTH) {
        Eight *e = n->eight + (at >> 3);
        const int l = at & 7;
        const V gone = FN(load)(e->gone + l), part = FN(load)(e->part + l);
        const V span = FN(load)(e->clock_step + l) * part;
        const V tag = FN(load)(e->tag + l), rise = FN(load)(e->rise + l);
        const V xo = FN(load)(e->x_out + l), width = FN(load)(e->x_in + l) - xo;
        const V f = FN(load)(e->filled + l);
        const V piece = FMA(half * rise, f - one, tag), tilt = rise * f, wide = width * f;
        const V before_z = half * wide, out_z = half * (wide - span);
        const V heat = FN(decays)(FN(load)(e->clock + l) - out_z - xo);
        const V most_z = FN(greater)(FN(absolute)(before_z), FN(absolute)(out_z));
        V out, before;
        if (!FN(bits)(GT(most_z, SPLAT(0.02)))) {
            out = FMA(piece, FN(flat)(out_z, 3), tilt * FN(slope)(out_z, 3));
            before = FMA(piece, FN(flat)(before_z, 3), tilt * FN(slope)(before_z, 3));
        } else {
            out = FMA(piece, FN(flat)(out_z, 6), tilt * FN(slope)(out_z, 6));
            before = FMA(piece, FN(flat)(before_z, 6), tilt * FN(slope)(before_z, 6));
        }
        out *= heat;
        before *= heat * FN(load)(e->half + l);
        const unsigned bits = FN(bits)(FN(load_mask)(e->ringed + l) | GT(most_z, SPLAT(0.25)));
        V delivered = out;
        FN(store)(retained_to + at, FN(load)(e->energy + l) - gone * before);
        FN(store)(delivered_to + at, out);
        if (bits) {
            for (int i = 0; i < WIDTH; ++i) {
                if (bits >> i & 1) {
                    leave(n, at + i);
                }
            }
            delivered = FN(load)(delivered_to + at);
        }
        const V base = FN(load)(e->base + l), through = FN(load)(e->through + l);
        const V pass_in = FN(load)(e->pass_in + l), pass_old = FN(load)(e->pass_old + l);
        const V first = pass_old * FN(load)(e->w_in + l);
        const V plug_out = FMA(through, first, part * delivered);
        const V excess = FMA(pass_in, plug_out, pass_old * FN(load)(e->w_out + l));
        const V gain = pass_in * pass_in * through;
        const V moved = FN(load)(e->moved + l);
        FN(store)(n->offset + at, moved * FMA(base, one - gain, excess));
        FN(store)(n->gain + at, moved * gain);
    }
}

/* Let in what the nodes feed from place `first_place` up to `end`; adds the heat lost to the ground, kg K. */
ALWAYS_INLINE V FN(fill)(Pipes *n, int32_t first_place, int32_t end, const int tie, V lost) {
    const V one = SPLAT(1.0), half = SPLAT(0.5), two = SPLAT(2.0), zero = SPLAT(0.0);
    const V tolerance = SPLAT(n->merge_k);
    const double *delivered = n->delivered - n->origin, *retained = n->retained - n->origin;
    const double *temp = n->fed - n->origin;
    for (int32_t at = first_place; at < end; at += WIDTH) {
        Eight *e = n->eight + (at >> 3);
        const int l = at & 7;
        const V fed = FN(load)(temp + at), base = FN(load)(e->base + l);
        const V pass_in = FN(load)(e->pass_in + l), pass_old = FN(load)(e->pass_old + l);
        const V take_in = FN(load)(e->take_in + l), take_old = FN(load)(e->take_old + l);
        const V w_in = FN(load)(e->w_in + l), w_out = FN(load)(e->w_out + l);
        const V part = FN(load)(e->part + l), moved = FN(load)(e->moved + l), gone = FN(load)(e->gone + l);
        const V excess = FN(pick)(GT(moved, zero), fed - base, zero);
        const V first = FMA(pass_in, excess, pass_old * w_in);
        const V second = FMA(FN(load)(e->through + l), first, part * FN(load)(delivered + at));
        const V out = FMA(pass_in, second, pass_old * w_out);
        const V next_in = FMA(take_in, excess, take_old * w_in);
        const V next_out = FMA(take_in, second, take_old * w_out);
        const V energy = FN(load)(e->energy + l);
        const V next = FMA(FN(load)(retained + at), FN(load)(e->keep + l), gone * first * FN(load)(e->fresh + l));
        const V walls = (next_in - w_in) + (next_out - w_out);
        lost += moved * (excess - out) - (next - energy) - FN(load)(e->wall_kg + l) * walls;
        FN(store)(e->w_in + l, next_in);
        FN(store)(e->w_out + l, next_out);
        FN(store)(e->energy + l, next);
        const V step = FN(load)(e->clock_step + l), now = FN(load)(e->clock + l) + step;
        FN(store)(e->clock + l, now);

        /* one straight profile for what stayed and what came in */
        const V tag = FN(load)(e->tag + l), rise = FN(load)(e->rise + l);
        const V x_in = FN(load)(e->x_in + l), x_out = FN(load)(e->x_out + l), edge = now - step * part;
        const V f = FN(load)(e->filled + l), rest = one - f;
        const M enters = GT(gone, zero), stays = GT(rest, zero);
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
        if (tie || FN(bits)(enters & GT(error, SPLAT(NOTHING_K)))) {
            const V room = two * FN(greater)(FN(lesser)(high - mean, mean - low), zero);
            slant = FMA(SPLAT(6.0) * f * rest, first - kept, rest * rest * tilt);
            slant = FN(greater)(FN(lesser)(slant, room), -room);
            const V middle = FMA(slant, half - f, mean);
            const V shape = FN(greater)(
                FN(greater)(FN(absolute)(FMA(slant, half, mean) - first), FN(absolute)(middle - first)),
                FN(greater)(FN(absolute)(middle - kept_in), FN(absolute)(FMA(slant, SPLAT(-0.5), mean) - kept_out)));
            error = FN(greater)(FN(pick)(stays, shape, zero), clock_error);
            const V z = half * FN(greater)(FN(lesser)(wide, SPLAT(LONGEST_SPAN)), SPLAT(-LONGEST_SPAN));
            const V heat = FN(decays)(z), plug = FN(load)(e->plug_kg + l);
            settled = (next - slant * FN(slope)(z, 10) * heat * plug) /
                      (FN(flat)(z, 10) * heat * FN(pick)(GT(plug, zero), plug, one));
        }
        const M ringed = FN(load_mask)(e->ringed + l);
        const M joins = enters & ~ringed & LE(error, tolerance) & LE(FN(absolute)(wide), SPLAT(LONGEST_SPAN));
        FN(store)(e->tag + l, FN(pick)(joins, settled, tag));
        FN(store)(e->rise + l, FN(pick)(joins, slant, rise));
        FN(store)(e->x_in + l, FN(pick)(joins, now, x_in));
        FN(store)(e->x_out + l, FN(pick)(joins, xo, x_out));
        const unsigned bits = FN(bits)(enters & ~joins);
        if (bits) {
            for (int i = 0; i < WIDTH; ++i) {
                if (bits >> i & 1) {
                    enter(n, at + i, first[i], now[i]);
                }
            }
        }
    }
    return lost;
}

/* One step of all pipes and nodes; returns the heat lost to the ground, kg K.
 *
 * Block by block where no water goes round in circles: a node is fed by pipes at places before those of the
 * pipes it feeds, so once a block has delivered, every node that its pipes begin at can be mixed. */
static double FN(advance)(Pipes *n) {
    const int tie = (n->steps++ & 15) == 0;
    V lost = SPLAT(0.0);
    n->origin = 0;
    if (n->back_edges) {
        FN(deliver)(n, 0, n->padded);
        mix_circles(n);
        lost = FN(fill)(n, 0, n->padded, tie, lost);
    } else {
        int32_t mixed = 0;
        n->entered = 0.0;
        for (int32_t begin = 0; begin < n->padded; begin += BLOCK) {
            const int32_t end = begin + BLOCK < n->padded ? begin + BLOCK : n->padded;
            const int32_t last = end < n->pipes ? end : n->pipes, reached = n->up_at[last - 1] + 1;
            n->origin = begin;
            FN(deliver)(n, begin, end);
            if (mixed < reached) {
                sweep(n, mixed, reached, 0, 1.0);
                mixed = reached;
            }
            const int32_t *up_at = n->up_at + begin;
            const double *temp = n->temp;
            double *fed = n->fed;
#pragma GCC unroll 8
            for (int32_t s = 0; s < end - begin; ++s) {
                fed[s] = temp[up_at[s]];
            }
            lost = FN(fill)(n, begin, end, tie, lost);
        }
        sweep(n, mixed, n->nodes, 0, 1.0);
    }
    V entered = SPLAT(0.0), left = SPLAT(0.0);
    for (int32_t k = 0; k < n->nodes; k += WIDTH) {
        const V temp = FN(load)(n->temp + k);
        entered = FMA(FN(load)(n->enters_kg + k), temp, entered);
        left = FMA(FN(load)(n->leaves_kg + k), temp, left);
    }
    double sum = 0.0;
    n->left = 0.0;
    for (int l = 0; l < WIDTH; ++l) {
        sum += lost[l];
        n->entered += entered[l];
        n->left += left[l];
    }
    return sum;
}

#include "_vectors_end.h"
