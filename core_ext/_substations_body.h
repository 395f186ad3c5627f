/* One step of substations for one instruction level; included by _substations.h.
 *
 * LEVEL is the level, FN(name) the name of a function at it. A vector is WIDTH neighbouring houses.
 */
#include "_vectors_body.h"
#include "_decay_body.h"

#define AT(name) (h->columns + C_##name * h->padded + i)
#define LOAD(name) FN(load)(AT(name))
#define STORE(name, v) FN(store)(AT(name), v)

ALWAYS_INLINE V FN(within)(V v, V low, V high) { return FN(lesser)(FN(greater)(v, low), high); }

/* Logarithm of positive normal numbers, to 4e-16 or an ulp of it: with m in [sqrt(1/2), sqrt(2)) and
 * s = (m - 1)/(m + 1) it is 2 artanh s, whose series is cut where |s| <= 0.172 leaves 1e-17. */
ALWAYS_INLINE V FN(log)(V x) {
    const B bits = (B)x, zero = bits ^ bits, one = (B)SPLAT(1.0);
    const B e = (bits + one - (zero + 0x3FE6A09E667F3BCDull)) >> 52;
    const V exponent = (V)(e | (zero + 0x4330000000000000ull)) - SPLAT(4503599627370496.0 + 1023.0);
    const V m = (V)(bits - (e << 52) + one);
    const V s = (m - SPLAT(1.0)) / (m + SPLAT(1.0)), u = s * s;
    V sum = SPLAT(1.0 / 21);
#pragma GCC unroll 10
    for (int k = 19; k > 1; k -= 2) {
        sum = FMA(sum, u, SPLAT(1.0 / k));
    }
    const V twice = s + s;
    /* ln 2 in two parts: the first is exact when multiplied by an exponent */
    const V low = FMA(exponent, SPLAT(1.90821492927058770002e-10), twice * (u * sum));
    return FMA(exponent, SPLAT(0.693147180369123816490), twice + low);
}

/* x to the power of a positive number; 0 below the least normal number. */
ALWAYS_INLINE V FN(power)(V x, V exponent) {
    const M normal = GE(x, SPLAT(2.3e-308));
    const V y = FN(decays)(-(exponent * FN(log)(FN(pick)(normal, x, SPLAT(1.0)))));
    return FN(pick)(normal, y, SPLAT(0.0));
}

static void FN(move)(const Houses *h, int64_t begin, int64_t end) {
    const V zero = SPLAT(0.0), one = SPLAT(1.0), half = SPLAT(0.5);
    for (int64_t i = begin; i < end; i += WIDTH) {
        const V before = LOAD(motor), over = LOAD(overrun), play = half * LOAD(backlash), at = LOAD(position);
        const V run = (LOAD(open_s) - LOAD(close_s)) / LOAD(stroke_s) * LOAD(direction) * (one - LOAD(slip));
        const V motor = FN(within)(before + run, -over, one + over);
        STORE(travel, LOAD(travel) + FN(absolute)(motor - before));
        STORE(motor, motor);
        const V low = FN(pick)(GE(motor, one), one, motor - play);
        const V high = FN(pick)(LE(motor, zero), zero, motor + play);
        const V moved = FN(within)(FN(within)(at, low, high), zero, one);
        const V stem = FN(pick)(NE(LOAD(stuck), zero), at, moved);
        STORE(position, stem);
        const V range = LOAD(log_range), floor = FN(decays)(range), leak = LOAD(leakage);
        const V curve = (FN(decays)(range * (one - stem)) - floor) / (one - floor);
        const V valve = LOAD(kvs_m3_h) * FMA(one - leak, curve, leak);
        const V ratio = valve / (LOAD(fixed_kv_m3_h) * LOAD(throttled));
        STORE(kv_m3_h, valve / FN(root)(FMA(ratio, ratio, one)));
    }
}

/* One side alone on its way to its steady temperature. */
ALWAYS_INLINE void FN(relax)(V dt, V flow, V store, V steady, V out, V *end, V *mean) {
    const M flowing = GT(flow, SPLAT(0.0));
    const V x = FN(pick)(flowing, flow, SPLAT(1.0)) * dt / store, part = FN(mean_decay)(x);
    *end = FN(pick)(flowing, FMA(steady - out, x * part, out), out);
    *mean = FN(pick)(flowing, FMA(out - steady, part, steady), out);
}

/* Both outlets of an exchanger over a step; returns its secondary supply, mean of the step. */
ALWAYS_INLINE V FN(exchange)(const Houses *h, double dt_s, int64_t i, V kg_1, V in_1, V kg_2, V in_2, V *return_c) {
    const V zero = SPLAT(0.0), one = SPLAT(1.0), half = SPLAT(0.5), dt = SPLAT(dt_s), cp = SPLAT(h->cp_j_kgk);
    const M runs_1 = GT(kg_1, SPLAT(h->least_flow_kg_s)), runs_2 = GT(kg_2, SPLAT(h->least_flow_kg_s));
    const V f1 = FN(pick)(runs_1, kg_1, zero) * cp, f2 = FN(pick)(runs_2, kg_2, zero) * cp;
    const V c1 = LOAD(primary_j_k), c2 = LOAD(secondary_j_k);
    V ua = LOAD(ua_w_k) * LOAD(fouling);
    if (h->flow_exponent > 0.0) {
        /* both film coefficients in series: 2 u v / (u + v), here by their inverses */
        const V e = SPLAT(h->flow_exponent), least = SPLAT(1e-4);
        const V film_1 = FN(decays)(e * FN(log)(FN(greater)(kg_1 / LOAD(primary_design_kg_s), least)));
        const V film_2 = FN(decays)(e * FN(log)(FN(greater)(kg_2 / LOAD(secondary_design_kg_s), least)));
        ua = ua * (SPLAT(2.0) / (film_1 + film_2));
    }
    const V less = FN(lesser)(f1, f2), more = FN(greater)(f1, f2);
    const M flowing = GT(less, zero);
    const V safe_less = FN(pick)(flowing, less, one), ntu = ua / safe_less;
    const V ratio = safe_less / FN(pick)(flowing, more, one), apart = FN(pick)(flowing, one - ratio, one);
    const V decay = FN(decays)(FN(lesser)(ntu * apart, SPLAT(699.0)));
    const M unequal = GT(apart, SPLAT(1e-7));
    const V above = FN(pick)(unequal, one - decay, ntu);
    const V below = FN(pick)(unequal, one - (one - apart) * decay, one + ntu);
    const V heat = FN(pick)(flowing, above / below, zero) * less * (in_1 - in_2);
    const V out_1 = LOAD(primary_out_c), out_2 = LOAD(secondary_out_c);
    const V rest = (c1 * out_1 + c2 * out_2) / (c1 + c2);
    const V steady_1 = FN(pick)(runs_1, in_1 - heat / FN(pick)(runs_1, f1, one), FN(pick)(runs_2, in_2, rest));
    const V steady_2 = FN(pick)(runs_2, in_2 + heat / FN(pick)(runs_2, f2, one), FN(pick)(runs_1, in_1, rest));
    const V x1 = out_1 - steady_1, x2 = out_2 - steady_2;
    const V a = SPLAT(h->primary_pull) * ua, b = SPLAT(h->secondary_pull) * ua;
    const V over_1 = one / c1, over_2 = one / c2;
    const V p = (f1 + a) * over_1, q = b * over_1, r = a * over_2, s = (f2 + b) * over_2;
    const V middle = -half * (p + s), apart_by = half * (p - s);
    const V root = FN(root)(FMA(apart_by, apart_by, q * r));
    const V slow = FN(decays)(-(middle + root) * dt), fast = FN(decays)(-(middle - root) * dt);
    const V cosine = half * (slow + fast), sine = half * (slow - fast) / root;
    const V end_1 = FMA(cosine - apart_by * sine, x1, q * sine * x2);
    const V end_2 = FMA(cosine + apart_by * sine, x2, r * sine * x1);
    /* the time integrals follow from the heat balance of each side, so that heat is conserved to rounding */
    const V change_1 = c1 * (x1 - end_1), change_2 = c2 * (x2 - end_2);
    const V determinant = FMA(f1, f2, FMA(f1, b, f2 * a));
    const V over = one / (FN(pick)(GT(determinant, zero), determinant, one) * dt);
    const V mean_1 = FMA(f2 + b, change_1, b * change_2) * over, mean_2 = FMA(f1 + a, change_2, a * change_1) * over;
    V new_1 = steady_1 + end_1, new_2 = steady_2 + end_2;
    V back = FN(pick)(runs_1, steady_1 + mean_1, new_1), supply = FN(pick)(runs_2, steady_2 + mean_2, new_2);
    const V lowest = FN(lesser)(FN(lesser)(in_1, in_2), FN(lesser)(out_1, out_2));
    const V highest = FN(greater)(FN(greater)(in_1, in_2), FN(greater)(out_1, out_2));
    const V margin = FMA(SPLAT(h->overshoot), highest - lowest, SPLAT(1e-9));
    const V least = FN(lesser)(FN(lesser)(new_1, new_2), FN(lesser)(back, supply));
    const V most = FN(greater)(FN(greater)(new_1, new_2), FN(greater)(back, supply));
    const M beyond = LT(least, lowest - margin) | GT(most, highest + margin);
    if (FN(bits)(beyond)) {
        V plain_1, plain_back, plain_2, plain_supply;
        FN(relax)(dt, f1, c1, steady_1, out_1, &plain_1, &plain_back);
        FN(relax)(dt, f2, c2, steady_2, out_2, &plain_2, &plain_supply);
        new_1 = FN(pick)(beyond, plain_1, new_1);
        back = FN(pick)(beyond, plain_back, back);
        new_2 = FN(pick)(beyond, plain_2, new_2);
        supply = FN(pick)(beyond, plain_supply, supply);
    }
    STORE(primary_out_c, new_1);
    STORE(secondary_out_c, new_2);
    STORE(primary_return_c, back);
    STORE(secondary_supply_c, supply);
    *return_c = back;
    return supply;
}

static void FN(exchange_all)(const Houses *h, double dt_s, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += WIDTH) {
        V back;
        FN(exchange)(h, dt_s, i, LOAD(primary_kg_s), LOAD(primary_in_c), LOAD(secondary_kg_s), LOAD(secondary_in_c),
                     &back);
    }
}

static int64_t FN(pump)(const Houses *h, double dt_s, int64_t begin, int64_t end) {
    const V zero = SPLAT(0.0), one = SPLAT(1.0), half = SPLAT(0.5), scale = SPLAT(h->cp_j_kgk * dt_s);
    for (int64_t i = begin; i < end; i += WIDTH) {
        const V band = LOAD(thermostat_band_k), room = LOAD(room_c);
        const M there = GT(band, zero);
        const V safe = FN(pick)(there, band, one);
        const V open = (FMA(half, safe, LOAD(thermostat_setpoint_c)) - room) / safe;
        const V share = FN(pick)(there, FN(within)(open, SPLAT(h->least_share), one), one);
        const V flow = LOAD(secondary_design_kg_s) * LOAD(pump_share) * share;
        STORE(secondary_kg_s, flow);
        const unsigned bad = FN(bits)(GT(flow * scale, LOAD(cell_j_k)));
        if (bad) {
            return i + __builtin_ctz(bad);
        }
    }
    return -1;
}

static void FN(heat)(const Houses *h, double dt_s, double outdoor_c, int64_t begin, int64_t end) {
    const V cp = SPLAT(h->cp_j_kgk), per_s = SPLAT(1.0 / dt_s), outdoor = SPLAT(outdoor_c);
    const V exponent = SPLAT(h->radiator_exponent - 1.0);
    for (int64_t i = begin; i < end; i += WIDTH) {
        const V flow = LOAD(secondary_kg_s), room = LOAD(room_c), supply_in = LOAD(primary_in_c);
        const V primary = LOAD(primary_kg_s), capacity = flow * cp;
        V back, given = SPLAT(0.0);
        /* water leaves at the temperature the last cell had before the step */
        V inlet = FN(exchange)(h, dt_s, i, primary, supply_in, flow, LOAD(cell_2_c), &back);
        STORE(primary_heat_w, primary * cp * (supply_in - back));
        const V rate = LOAD(cell_j_k) * per_s, conductance = LOAD(conductance_w_kn);
#pragma GCC unroll 3
        for (int cell = 0; cell < CELLS; ++cell) {
            double *const at = AT(cell_0_c) + cell * h->padded;
            const V temp = FN(load)(at);
            const V share = FN(power)(FN(absolute)(temp - room), exponent) * conductance;
            V after;
            if (cell < CELLS - 1) {
                after = FMA(rate, temp, FMA(capacity, inlet, share * room)) / (rate + capacity + share);
            } else {
                after = FMA(rate, temp, FMA(capacity, inlet - temp, share * room)) / (rate + share);
            }
            given = FMA(share, after - room, given);
            FN(store)(at, after);
            inlet = after;
        }
        STORE(heat_to_building_w, given);
        const V air = LOAD(air_j_k) * per_s, mass = LOAD(mass_j_k) * per_s;
        const V inside = LOAD(air_to_mass_w_k), outside = LOAD(mass_to_outdoor_w_k), direct = LOAD(air_to_outdoor_w_k);
        const V air_side = air + inside + direct, mass_side = mass + inside + outside;
        const V air_in = FMA(air, room, FMA(direct, outdoor, given + LOAD(gain_w)));
        const V mass_in = FMA(mass, LOAD(mass_c), outside * outdoor);
        const V determinant = air_side * mass_side - inside * inside;
        const V new_room = FMA(air_in, mass_side, inside * mass_in) / determinant;
        const V new_mass = FMA(mass_in, air_side, inside * air_in) / determinant;
        STORE(room_c, new_room);
        STORE(mass_c, new_mass);
        STORE(loss_w, FMA(direct, new_room - outdoor, outside * (new_mass - outdoor)));
    }
}

#undef AT
#undef LOAD
#undef STORE
#include "_vectors_end.h"
