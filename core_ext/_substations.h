/* Substations and the houses behind them, as columns of doubles: control valve, plate exchanger, radiators, rooms.
 *
 * The matrix has a row for each quantity in COLUMNS and a column for each house, padded to a multiple of eight
 * by copies of the last house. Houses do not see each other, so any range of whole groups of eight may be
 * stepped by any thread, and the bits are the same. What the models mean and where their constants come from is
 * told beside their plain twins; nothing is checked and nothing allocated here.
 */
#ifndef TOPLOVOD_SUBSTATIONS_H
#define TOPLOVOD_SUBSTATIONS_H

#include <math.h>
#include <stdint.h>

#include "_simd.h"

#define GROUP 8
#define CELLS 3 /* of a radiator */

/* valve; series resistance; exchanger; radiators; building; house; what a step is given */
#define COLUMNS(X) \
    X(kvs_m3_h) X(stroke_s) X(backlash) X(leakage) X(log_range) X(motor) X(position) X(stuck) X(direction) \
    X(slip) X(overrun) X(travel) X(fixed_kv_m3_h) X(throttled) X(kv_m3_h) \
    X(ua_w_k) X(fouling) X(primary_j_k) X(secondary_j_k) X(primary_design_kg_s) X(secondary_design_kg_s) \
    X(primary_out_c) X(secondary_out_c) X(primary_return_c) X(secondary_supply_c) \
    X(conductance_w_kn) X(cell_j_k) X(cell_0_c) X(cell_1_c) X(cell_2_c) \
    X(air_to_outdoor_w_k) X(air_to_mass_w_k) X(mass_to_outdoor_w_k) X(air_j_k) X(mass_j_k) X(gain_w) X(room_c) \
    X(mass_c) X(loss_w) X(thermostat_setpoint_c) X(thermostat_band_k) X(heat_to_building_w) X(primary_heat_w) \
    X(open_s) X(close_s) X(primary_kg_s) X(primary_in_c) X(secondary_kg_s) X(secondary_in_c) X(pump_share)

#define AS_ENUM(name) C_##name,
enum { COLUMNS(AS_ENUM) COLUMN_COUNT };
#undef AS_ENUM

#define AS_TEXT(name) #name,
static const char *const column_names[] = {COLUMNS(AS_TEXT)};
#undef AS_TEXT

typedef struct {
    double *columns;
    int64_t padded;
    int32_t level;
    /* constants of the models, told once by their plain twins */
    double cp_j_kgk, flow_exponent, radiator_exponent, least_share, primary_pull, secondary_pull, overshoot;
    double least_flow_kg_s;
} Houses;

#define BODY "_substations_body.h"
#include "_levels.h"

static void houses_move(const Houses *h, int64_t begin, int64_t end) { DISPATCH(h->level, move, h, begin, end); }

static void houses_exchange(const Houses *h, double dt, int64_t begin, int64_t end) {
    DISPATCH(h->level, exchange_all, h, dt, begin, end);
}

/* What the pumps give through the thermostats; the first house whose last radiator cell a step would replace,
 * or -1. */
static int64_t houses_pump(const Houses *h, double dt, int64_t begin, int64_t end) {
    return DISPATCH(h->level, pump, h, dt, begin, end);
}

static void houses_heat(const Houses *h, double dt, double outdoor_c, int64_t begin, int64_t end) {
    DISPATCH(h->level, heat, h, dt, outdoor_c, begin, end);
}

#endif
