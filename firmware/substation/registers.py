"""Register map of the controller: the one place an address is written.

MicroPython serves these rows, CPython polls them, names the screens after them and prints
docs/registers.md from them. The file therefore imports nothing of ours and stays inside the
language that both interpreters share. It refuses to hold behaviour: only rows and the
conversions between a raw word and an engineering value.

A row is a line of a table below: name, address, type, scale, low, high, then two spaces and the text. On
the controller lines become rows one at a time: all at once they would cost it 35 kB of heap.

Addresses are zero-based. Raw -32768 in a signed register and 65535 in an unsigned one mean
"no valid reading" (i32: -2**31, u32: 2**32 - 1). Two-register values are big-endian.
"""

import sys
from collections import namedtuple

MAP_VERSION = 3  # raise it whenever a deployed poller could notice the change

INPUT = "input"  # the controller measured it or reports it: read only
HOLDING = "holding"  # what the controller was told: readable, written by orders alone
COIL = "coil"
DISCRETE = "discrete"

I16 = "i16"
U16 = "u16"
I32 = "i32"
U32 = "u32"

MEASUREMENT = "measurement"
SETPOINT = "setpoint"
CONFIG = "config"
COMMAND = "command"
DIAGNOSTIC = "diagnostic"

SUBSTATION = "substation"
PUMP_STATION = "pump_station"
PROFILES = (SUBSTATION, PUMP_STATION)  # the profile register holds the index + 1

NO_READING = -32768
NO_VALUE = {I16: -32768, U16: 65535, I32: -2147483648, U32: 4294967295}

# Mailboxes and blocks that are not values; their layout stands in order_frame.py.
ORDER_MAILBOX = 1000  # holding, FC16 or FC23, exactly one order frame
ORDER_MAILBOX_WORDS = 64
CHALLENGE_MAILBOX = 1080  # holding, FC23 only: key slot, then four words of challenge
CHALLENGE_MAILBOX_WORDS = 5
RECEIPTS = 1000  # input, one block of RECEIPT_WORDS for each key slot
RECEIPT_WORDS = 16
STATUS_BLOCK = 1100  # input, read with the challenge in one FC23
LOG_SEAL = 1200  # input, likewise: what proves the event log
LOG_SEAL_WORDS = 55

IDENTITY_MAGIC = 0x5456
IDENTITY_WORDS = 26  # input 0..25: this block never moves, whatever the map version

Register = namedtuple(
    "Register", ("name", "space", "address", "type", "scale", "low", "high", "access", "text")
)

ON_CONTROLLER = sys.implementation.name == "micropython"
TEXT_AT = 6  # words of a line before its text


def _number(word):
    return float(word) if "." in word else int(word)


class Rows:
    """Rows that are made anew, one at a time, whenever somebody goes through them.

    tables: of (space, access, lines).
    """

    def __init__(self, tables):
        self._tables = tables

    def __iter__(self):
        for space, access, lines in self._tables:
            start = 0
            while start < len(lines):
                end = lines.find("\n", start)
                words = lines[start:end].split(None, TEXT_AT)
                start = end + 1
                if words:
                    name, address, form, scale, low, high = words[:TEXT_AT]
                    yield Register(
                        name, space, int(address), form, _number(scale), _number(low), _number(high),
                        access, words[TEXT_AT] if len(words) > TEXT_AT else "",
                    )  # fmt: skip

    def __add__(self, others):
        return Rows(self._tables + others._tables)


def rows_of(space, access, lines):
    """Return the rows of a table: a tuple, or on the controller something that is gone through like one."""
    rows = Rows(((space, access, lines),))
    return rows if ON_CONTROLLER else tuple(rows)


# fmt: off
IDENTITY = rows_of(INPUT, DIAGNOSTIC, """
identity_magic_code 0 u16 1 0 65534  Always 21590 (0x5456)
map_version_number 1 u16 1 1 65534  Version of this register map
map_hash_code 2 u32 1 0 4294967295  SHA-256 of the map, first 32 bits
device_id_high_code 4 u32 1 0 4294967295  Device identity, upper half
device_id_low_code 6 u32 1 0 4294967295  Device identity, lower half
profile_number 8 u16 1 1 2  1 substation, 2 pump station
boot_count 9 u32 1 0 4294967294  Boots so far, kept in flash
boot_random_high_code 11 u32 1 0 4294967295  Boot nonce, upper half
boot_random_low_code 13 u32 1 0 4294967295  Boot nonce, lower half
uptime_s 15 u32 1 0 4294967294  Seconds since this boot
firmware_hash_code 17 u32 1 0 4294967295  Digest of the running firmware, first 32 bits
limits_hash_code 19 u32 1 0 4294967295  Digest of the limits in force, first 32 bits
firmware_version_number 21 u16 1 0 65534  Major x 256 + minor
supervisor_key_epoch_number 22 u16 1 0 65534  Lowest epoch still accepted
standby_key_epoch_number 23 u16 1 0 65534  Lowest epoch still accepted
technician_key_epoch_number 24 u16 1 0 65534  Lowest epoch still accepted
utility_key_epoch_number 25 u16 1 0 65534  Lowest epoch still accepted
""")

# Input 26..39 on every profile, behind the identity: which program runs, and how far an update is.
IMAGE = rows_of(INPUT, DIAGNOSTIC, """
image_slot_number 26 u16 1 0 2  0 the program that came over USB, 1 slot A, 2 slot B
image_state_number 27 u16 1 0 3  0 confirmed, 1 on trial, 2 provisional, 3 confirmed after another was given up
image_version_number 28 u32 1 0 4294967294  Version of the image that runs, 0 over USB
image_floor_number 30 u32 1 0 4294967294  Nothing older than this version is taken
update_state_number 32 u16 1 0 5  0 none, 1 head comes, 2 verifying, 3 files come, 4 ready, 5 failed
update_cause_number 33 u16 1 0 10  1 malformed, 2 signature, 3 older than the floor, 4 no room, 5 a file differs, 6 flash, 7 not the image that was ordered, 8 no key to verify by, 9 another device's limits, 10 limits that this site refuses
update_next_b 34 u32 1 0 4294967294  The byte of the image that is wanted next
unix_time_s 36 u32 1 0 4294967294  The time as an order told it; no value while it is not known
limits_version_number 38 u32 1 0 4294967294  Version of the limit bundle in force, 0 for site.json alone
""")

# Input 40..77 on every profile, without gaps: one read.
STATUS = rows_of(INPUT, MEASUREMENT, """
outdoor_temp_c 40 i16 0.01 -40 60  Outdoor air
""") + rows_of(INPUT, DIAGNOSTIC, """
control_mode_number 41 u16 1 0 9  0 own curve, 1 order, 2 manual, 3 service, 4 safe start, 5 unauthenticated value (legacy mode)
active_limiter_number 42 u16 1 0 10  0 none, 1 return, 2 flow, 3 frost, 4 supply maximum, 5 sensor fallback, 6 heat, 7 difference of returns, 8 tariff window, 9 DHW first, 10 pump does not turn
sensor_fault_bits 43 u16 1 0 65534  One bit for each sensor input, in the board's order
alarm_bits 44 u16 1 0 65534  See ALARM_BITS
deficit_used_kh 45 u16 0.01 0 655  Kelvin-hours taken below the own curve in 24 h
deficit_budget_kh 46 u16 0.01 0 655  Kelvin-hours remote influence may take in 24 h
refused_function_count 47 u32 1 0 4294967294  Writes outside the order mailbox
refused_malformed_count 49 u32 1 0 4294967294  Frames that could not be parsed
refused_mac_count 51 u32 1 0 4294967294  Orders whose MAC did not verify
refused_replay_count 53 u32 1 0 4294967294  Orders with a used or jumping counter
refused_late_count 55 u32 1 0 4294967294  Orders after their not-after, or with one too far ahead
refused_order_count 57 u32 1 0 4294967294  Authentic orders refused by limits, rights, budget or state
accepted_order_count 59 u32 1 0 4294967294  Orders applied since boot
broadcast_count 61 u32 1 0 4294967294  Broadcast frames, all without effect
client_count 63 u16 1 0 64  Modbus clients connected
loop_time_max_ms 64 u16 1 0 65534  Longest control step since boot
heap_used_b 65 u32 1 0 4294967294  Heap in use after the last collection
heap_free_b 67 u32 1 0 4294967294  Heap free after the last collection
reset_cause_number 69 u16 1 0 9  1 power on, 2 hard, 3 watchdog, 4 deep sleep, 5 soft
watchdog_reset_count 70 u16 1 0 65534  Watchdog resets, kept in flash
task_restart_count 71 u16 1 0 65534  Communication task restarts since boot
service_seconds_left_s 72 u16 1 0 900  Service mode ends in
last_refusal_number 73 u16 1 0 99  Cause of the newest refusal, see REFUSALS
last_refusal_uptime_s 74 u32 1 0 4294967294  Uptime of the newest refusal
last_refusal_source_code 76 u32 1 0 4294967295  IPv4 address of the newest refusal
""")

# Input 78..102, without gaps and next to the status: one read covers both.
SUBSTATION_INPUTS = rows_of(INPUT, MEASUREMENT, """
primary_supply_temp_c 78 i16 0.01 -40 150  Network water arriving
primary_return_temp_c 79 i16 0.01 -40 150  Network water leaving
secondary_supply_temp_c 80 i16 0.01 -40 150  Heating circuit supply
secondary_return_temp_c 81 i16 0.01 -40 150  Heating circuit return
room_temp_c 82 i16 0.01 -40 60  Reference room
primary_dp_bar 83 u16 0.001 0 16  Differential pressure here
primary_flow_m3_h 84 u16 0.001 0 60  Network water flow
primary_heat_kw 85 u16 0.1 0 6000  Heat taken from the network
primary_energy_kwh 86 u32 0.1 0 400000000  Heat taken so far
valve_position_out_pct 88 u16 0.01 0 100  Estimated position of the control valve
secondary_pump_out_number 89 u16 1 0 1  Circulation pump: 0 off, 1 on
own_curve_temp_c 90 i16 0.01 0 110  What the own heating curve asks for
secondary_supply_temp_effective_c 91 i16 0.01 0 110  Setpoint the loop follows now, after ramps and limits
primary_flow_limit_effective_m3_h 92 u16 0.001 0 60  Flow limit in force
primary_return_limit_effective_c 93 i16 0.01 0 110  Return limit in force
curve_shift_effective_k 94 i16 0.01 -30 30  Shift of the curve in force
""") + rows_of(INPUT, DIAGNOSTIC, """
secondary_supply_temp_lease_number 95 u16 1 0 5  Owner: 0 nobody, else key slot + 1; 5 unauthenticated (legacy mode)
secondary_supply_temp_lease_s 96 u16 1 0 3600  Seconds left
primary_flow_limit_lease_number 97 u16 1 0 5  Owner: 0 nobody, else key slot + 1; 5 unauthenticated (legacy mode)
primary_flow_limit_lease_s 98 u16 1 0 3600  Seconds left
primary_return_limit_lease_number 99 u16 1 0 5  Owner: 0 nobody, else key slot + 1; 5 unauthenticated (legacy mode)
primary_return_limit_lease_s 100 u16 1 0 3600  Seconds left
curve_shift_lease_number 101 u16 1 0 5  Owner: 0 nobody, else key slot + 1; 5 unauthenticated (legacy mode)
curve_shift_lease_s 102 u16 1 0 3600  Seconds left
""")

# Input 103..142, without gaps and next to the inputs: one read covers status, inputs and these. What a site
# does not have shows no valid reading.
SUBSTATION_FUNCTIONS = rows_of(INPUT, MEASUREMENT, """
secondary2_supply_temp_c 103 i16 0.01 -40 150  Second heating circuit supply
secondary2_return_temp_c 104 i16 0.01 -40 150  Second heating circuit return
room2_temp_c 105 i16 0.01 -40 60  Reference room of the second circuit
valve2_position_out_pct 106 u16 0.01 0 100  Estimated position of the second circuit's valve
secondary2_pump_out_number 107 u16 1 0 1  Second circulation pump: 0 off, 1 on
own2_curve_temp_c 108 i16 0.01 0 110  What the second circuit's own curve asks for
secondary2_supply_temp_effective_c 109 i16 0.01 0 110  Setpoint the second circuit follows now
active2_limiter_number 110 u16 1 0 10  As active_limiter_number, of the second circuit
schedule_mode_number 111 u16 1 0 5  0 comfort, 1 set-back, 2 holiday, 3 early start, 4 early stop, 5 comfort for lack of time
schedule2_mode_number 112 u16 1 0 5  As schedule_mode_number, of the second circuit
room_shift_k 113 i16 0.01 -30 30  What room influence and adaptation add to the curve
room2_shift_k 114 i16 0.01 -30 30  As room_shift_k, of the second circuit
dhw_supply_temp_c 115 i16 0.01 -40 150  DHW leaving the exchanger, or the charging line
dhw_tank_top_temp_c 116 i16 0.01 -40 150  DHW tank, top
dhw_tank_bottom_temp_c 117 i16 0.01 -40 150  DHW tank, bottom
dhw_circulation_temp_c 118 i16 0.01 -40 150  DHW circulation coming back
dhw_flow_m3_h 119 u16 0.001 0 60  DHW flow
dhw_temp_effective_c 120 i16 0.01 0 110  DHW temperature wanted now
dhw_valve_position_out_pct 121 u16 0.01 0 100  Estimated position of the DHW valve
dhw_pump_out_number 122 u16 1 0 1  Charging pump: 0 off, 1 on
circulation_pump_out_number 123 u16 1 0 1  DHW circulation pump: 0 off, 1 on
dhw_state_number 124 u16 1 0 5  0 at rest, 1 heating, 2 killing legionella, 3 scald limit, 4 sensor fallback, 5 kept warm
dhw_active_limiter_number 125 u16 1 0 9  As active_limiter_number, of the DHW valve
legionella_result_number 126 u16 1 0 4  0 never run, 1 running, 2 passed, 3 temperature not held in time, 4 sensor lost
legionella_held_s 127 u16 1 0 65534  How long the coldest place was hot enough, without a break
legionella_minimum_temp_c 128 i16 0.01 -40 150  The coldest seen in that time
legionella_started_age_s 129 u32 1 0 4294967294  Seconds of running since the last run began
legionella_passed_age_s 131 u32 1 0 4294967294  Seconds of running since a run passed
primary_heat_limit_effective_kw 133 u16 0.1 0 6000  Heat limit in force
window_heat_mean_kw 134 u16 0.1 0 6000  Mean heat of the tariff's window so far
valve_starts_hour_count 135 u16 1 0 65534  Starts of the heating valve's motor in the last hour
valve_starts_day_count 136 u16 1 0 65534  Starts of the heating valve's motor in the last 24 hours
valve2_starts_hour_count 137 u16 1 0 65534  As valve_starts_hour_count, of the second circuit
valve2_starts_day_count 138 u16 1 0 65534  As valve_starts_day_count, of the second circuit
dhw_valve_starts_hour_count 139 u16 1 0 65534  As valve_starts_hour_count, of the DHW valve
dhw_valve_starts_day_count 140 u16 1 0 65534  As valve_starts_day_count, of the DHW valve
sensor_doubt_bits 141 u16 1 0 65534  One bit for each input that contradicts another, in the board's order
local_time_number 142 u16 1 0 1439  Minute of the local day; no value while the time is not known
""")

# Input 400..474, without gaps: one read. Fifteen words for each heat meter on the M-Bus, in the order of
# site.json; a meter that is not there shows no value.
METERS = 5  # as many as Danfoss ECL takes [firmware.md R14]
_METER = """
energy_kwh u32 0.1 0 400000000  Heat counted, by the meter itself
volume_m3 u32 0.01 0 40000000  Water counted
flow_m3_h u16 0.001 0 60  Flow
heat_kw u16 0.1 0 6000  Power
supply_temp_c i16 0.01 -40 200  Supply
return_temp_c i16 0.01 -40 200  Return
age_s u32 1 0 4294967294  Seconds since the last good reading
status_bits u16 1 0 65534  See METER_BITS
number_code u32 1 0 4294967295  Fabrication number, 0 while not known
question_count u32 1 0 4294967294  Answers it was asked for since boot: what its battery feels
"""


def _meters(address):
    rows = rows_of(INPUT, MEASUREMENT, "")
    for number in range(1, METERS + 1):
        lines = "\n"
        for line in _METER.split("\n")[1:-1]:
            name, form, rest = line.split(None, 2)
            lines += "meter%d_%s %d %s %s\n" % (number, name, address, form, rest)
            address += 2 if form == U32 else 1
        rows += rows_of(INPUT, MEASUREMENT, lines)
    return rows


HEAT_METERS = _meters(400)

# Input 480..485, on every profile, without gaps: what acts beside orders.
BESIDE_ORDERS = rows_of(INPUT, DIAGNOSTIC, """
manual_seconds_left_s 480 u16 1 0 1800  Manual operation ends in; 0 in automatic
legacy_mode_number 481 u16 1 0 2  Writes without a proof: 0 all refused, 1 some taken from the serial line, 2 some from one address
legacy_write_count 482 u32 1 0 4294967294  Writes without a proof taken since boot
pump_feedback_number 484 u16 1 0 6  Circulation pump by its own word: 0 not wired, 1 runs, 2 standby, 3 warning, 4 electrical fault, 5 blocked, 6 no signal
pump2_feedback_number 485 u16 1 0 6  As pump_feedback_number, of the second circuit
""")

# Input 200..214, without gaps: one read.
PUMP_STATION_INPUTS = rows_of(INPUT, MEASUREMENT, """
plant_supply_temp_c 200 i16 0.01 -40 150  Water leaving the plant
plant_return_temp_c 201 i16 0.01 -40 150  Water coming back
plant_dp_bar 202 u16 0.001 0 16  Differential pressure across the plant
plant_flow_m3_h 203 u16 0.01 0 600  Network flow
plant_heat_kw 204 u16 1 0 60000  Heat sent into the network
plant_energy_kwh 205 u32 0.1 0 400000000  Heat sent so far
pump_speed_out_pct 207 u16 0.01 0 100  Pump speed
plant_supply_temp_out_c 208 i16 0.01 0 130  Temperature demanded from the heat source
plant_dp_effective_bar 209 u16 0.001 0 16  Differential pressure the loop follows now
plant_supply_temp_effective_c 210 i16 0.01 0 130  Supply temperature the loop follows now
""") + rows_of(INPUT, DIAGNOSTIC, """
plant_dp_lease_number 211 u16 1 0 5  Owner: 0 nobody, else key slot + 1; 5 unauthenticated (legacy mode)
plant_dp_lease_s 212 u16 1 0 3600  Seconds left
plant_supply_temp_lease_number 213 u16 1 0 5  Owner: 0 nobody, else key slot + 1; 5 unauthenticated (legacy mode)
plant_supply_temp_lease_s 214 u16 1 0 3600  Seconds left
""")

# Input 215..226, without gaps and next to the inputs: one read covers both.
PUMP_STATION_FUNCTIONS = rows_of(INPUT, MEASUREMENT, """
index_dp_bar 215 u16 0.001 0 16  Differential pressure at the index consumer
suction_pressure_bar 216 u16 0.001 0 25  Pressure before the pumps
pump2_speed_out_pct 217 u16 0.01 0 100  Speed of the second pump
lead_pump_number 218 u16 1 1 2  Which pump leads
pump_run_s 219 u32 1 0 4294967294  Running time of the first pump, kept in flash
pump2_run_s 221 u32 1 0 4294967294  Running time of the second pump, kept in flash
pump_state_number 223 u16 1 0 3  0 in order, 1 held back by suction pressure, 2 stopped against running dry, 3 suction sensor lost
plant_flow_minimum_bites_number 224 u16 1 0 1  1 while the speed is raised for the least flow
index_dp_correction_bar 225 i16 0.001 -16 16  What the index consumer adds to the pressure held
dp_reserve_bar 226 i16 0.001 -16 16  Index pressure above what it must have
""")

# Holding: the value last ordered (no value while nobody holds a lease). Orders name these addresses.
SUBSTATION_SETPOINTS = rows_of(HOLDING, SETPOINT, """
secondary_supply_temp_sp_c 100 i16 0.01 20 90  Heating circuit supply
primary_flow_limit_sp_m3_h 101 u16 0.001 0 60  Most network water this house may take
primary_return_limit_sp_c 102 i16 0.01 20 70  Warmest return this house may send
curve_shift_sp_k 103 i16 0.01 -15 15  Parallel shift of the own heating curve
""")
PUMP_STATION_SETPOINTS = rows_of(HOLDING, SETPOINT, """
plant_dp_sp_bar 200 u16 0.001 0.2 10  Differential pressure across the plant
plant_supply_temp_sp_c 201 i16 0.01 40 130  Water leaving the plant
""")

# Holding, read only over every network path: engineering values and limits, changed at the device or by a signed bundle.
SUBSTATION_CONFIG = rows_of(HOLDING, CONFIG, """
curve_cold_outdoor_temp_c 300 i16 0.01 -40 20  Cold point of the heating curve
curve_cold_supply_temp_c 301 i16 0.01 20 90  Supply at the cold point
curve_warm_outdoor_temp_c 302 i16 0.01 -20 40  Warm point of the heating curve
curve_warm_supply_temp_c 303 i16 0.01 15 90  Supply at the warm point
supply_temp_minimum_c 304 i16 0.01 5 90  Lower engineering limit of the supply
supply_temp_maximum_c 305 i16 0.01 20 95  Upper engineering limit of the supply
contract_flow_limit_m3_h 306 u16 0.001 0 60  Flow of the supply contract
return_limit_temp_c 307 i16 0.01 20 90  Own return limit
valve_stroke_s 308 u16 1 5 600  Time of the valve from end to end
frost_outdoor_temp_c 309 i16 0.01 -20 10  Below this the pump never rests
frost_supply_temp_c 310 i16 0.01 5 30  The supply never falls below this
curve_shift_minimum_k 311 i16 0.01 -15 0  The owner's comfort band: the lowest shift anybody may order
curve_shift_maximum_k 312 i16 0.01 0 15  The owner's comfort band: the highest shift anybody may order
""")

# Holding 340..387, without gaps: what optional functions add. A function that is not used shows no value.
COMFORT_CONFIG = rows_of(HOLDING, CONFIG, """
curve_setback_k 340 i16 0.01 0 40  By how much the schedule lowers the supply outside comfort periods
summer_outdoor_temp_c 341 i16 0.01 5 40  Above this nothing is heated; without it the curve's warm point
room_comfort_temp_c 342 i16 0.01 5 30  Room temperature of the comfort periods
room_influence_pct 343 u16 1 0 1000  Supply per kelvin of room error: 100 % is 1 K/K
room_shift_maximum_k 344 i16 0.01 0 15  Most that room influence adds or takes
room_adaptation_maximum_k 345 i16 0.01 0 10  Most that adaptation of the curve adds or takes
optimum_start_maximum_s 346 u16 1 0 28800  Longest time before a comfort period that heating begins
optimum_stop_maximum_s 347 u16 1 0 14400  Longest time before the end of a comfort period that heating ends
""")
CIRCUIT2_CONFIG = rows_of(HOLDING, CONFIG, """
curve2_cold_outdoor_temp_c 348 i16 0.01 -40 20  Cold point of the second curve
curve2_cold_supply_temp_c 349 i16 0.01 20 90  Supply at the cold point
curve2_warm_outdoor_temp_c 350 i16 0.01 -20 40  Warm point of the second curve
curve2_warm_supply_temp_c 351 i16 0.01 15 90  Supply at the warm point
supply2_temp_minimum_c 352 i16 0.01 5 90  Lower engineering limit of the second supply
supply2_temp_maximum_c 353 i16 0.01 20 95  Upper engineering limit of the second supply
valve2_stroke_s 354 u16 1 5 600  Time of the second valve from end to end
curve2_setback_k 355 i16 0.01 0 40  As curve_setback_k
summer2_outdoor_temp_c 356 i16 0.01 5 40  As summer_outdoor_temp_c
room2_comfort_temp_c 357 i16 0.01 5 30  As room_comfort_temp_c
room2_influence_pct 358 u16 1 0 1000  As room_influence_pct
room2_shift_maximum_k 359 i16 0.01 0 15  As room_shift_maximum_k
room2_adaptation_maximum_k 360 i16 0.01 0 10  As room_adaptation_maximum_k
optimum2_start_maximum_s 361 u16 1 0 28800  As optimum_start_maximum_s
optimum2_stop_maximum_s 362 u16 1 0 14400  As optimum_stop_maximum_s
""")
LIMITER_CONFIG = rows_of(HOLDING, CONFIG, """
contract_heat_limit_kw 363 u16 0.1 0 6000  Heat of the supply contract
return_difference_limit_k 364 i16 0.01 0.5 50  Most by which the primary return may exceed the secondary
primary_flow_minimum_m3_h 365 u16 0.001 0 60  Less than this is not let creep through: the valve closes
capacity_heat_limit_kw 366 u16 0.1 0 6000  Most mean heat in a window of the capacity tariff
capacity_window_s 367 u16 1 900 3600  Window of the capacity tariff
valve_starts_hour_maximum_count 368 u16 1 10 1800  Travel budget: beyond it the dead band widens, and an alarm tells
""")
DHW_CONFIG = rows_of(HOLDING, CONFIG, """
dhw_comfort_temp_c 369 i16 0.01 30 70  DHW temperature of the comfort periods
dhw_setback_temp_c 370 i16 0.01 10 70  DHW temperature outside them
dhw_floor_temp_c 371 i16 0.01 10 65  DHW is never wanted colder than this
dhw_scald_limit_temp_c 372 i16 0.01 40 90  Above this the DHW valve closes and the pump stops
dhw_return_limit_temp_c 373 i16 0.01 20 90  Return limit while DHW takes heat, where it is higher
dhw_valve_stroke_s 374 u16 1 5 600  Time of the DHW valve from end to end
dhw_valve_flow_m3_h 375 u16 0.001 0.1 60  Flow of the open DHW valve at 1 bar: its kv
dhw_hysteresis_k 376 i16 0.01 1 20  Charging begins so far below the setpoint
dhw_charging_excess_k 377 i16 0.01 0 30  The charging line is so much hotter than the tank shall be
dhw_heating_setback_k 378 i16 0.01 0 40  Priority by set-back: heating gives up so much while DHW takes heat
dhw_priority_maximum_s 379 u16 1 60 14400  Longest time without a break that DHW goes before heating
legionella_temp_c 380 i16 0.01 55 90  Temperature that kills legionella
legionella_hold_s 381 u16 1 60 43200  How long the coldest place must hold it
legionella_duration_maximum_s 382 u16 1 600 43200  Longest run
legionella_interval_s 383 u32 1 86400 2592000  Between two runs, where the time is not known
legionella_day_number 385 u16 1 0 7  0 Monday to 6 Sunday, 7 every day
legionella_start_number 386 u16 1 0 1439  Minute of the local day it begins at
""")
PUMP_STATION_CONFIG = rows_of(HOLDING, CONFIG, """
own_plant_dp_bar 320 u16 0.001 0.2 10  Differential pressure held without orders
plant_dp_minimum_bar 321 u16 0.001 0.1 10  Lower engineering limit
plant_dp_maximum_bar 322 u16 0.001 0.2 16  Upper engineering limit
plant_supply_temp_minimum_c 323 i16 0.01 30 130  Lower engineering limit
plant_supply_temp_maximum_c 324 i16 0.01 40 130  Upper engineering limit
pump_speed_minimum_pct 325 u16 0.01 0 100  The pump never turns slower
plant_curve_cold_outdoor_temp_c 326 i16 0.01 -40 20  Cold point of the plant's own curve
plant_curve_cold_supply_temp_c 327 i16 0.01 40 130  Plant supply at the cold point
plant_curve_warm_outdoor_temp_c 328 i16 0.01 -20 40  Warm point of the plant's own curve
plant_curve_warm_supply_temp_c 329 i16 0.01 30 130  Plant supply at the warm point
""")
PUMP_STATION_OPTIONS = rows_of(HOLDING, CONFIG, """
index_dp_own_bar 330 u16 0.001 0.1 10  Differential pressure the index consumer must have
suction_pressure_minimum_bar 331 u16 0.001 0 25  Below this the speed is held back: cavitation
dry_run_pressure_bar 332 u16 0.001 0 25  Below this the pumps stop
plant_flow_minimum_m3_h 333 u16 0.01 0 600  Least flow of the heat source
pump_change_s 334 u32 1 3600 2592000  Difference of running time at which the pumps change places
""")

# Holding 120..138: what an order may command. They are told, not kept, and read as no value, but for what is by hand.
COMMANDS = rows_of(HOLDING, COMMAND, """
unix_time_set_s 120 u32 1 1767225600 4294967294  The time now, seconds since 1970 in UTC
update_size_b 122 u32 1 1 4294967294  Bytes of the image that shall be taken in
update_digest_1_code 124 u32 1 0 4294967295  SHA-256 of the image's head, first 32 bits
update_digest_2_code 126 u32 1 0 4294967295  Its next 32 bits
update_digest_3_code 128 u32 1 0 4294967295  Its next 32 bits
update_digest_4_code 130 u32 1 0 4294967295  Its next 32 bits
update_command_number 132 u16 1 1 5  1 open an image, 2 activate and restart, 3 drop, 4 go back to the program before, 5 open a limit bundle
manual_valve_pct 133 u16 0.01 0 100  A technician's: the valve by hand; reads no value in automatic
manual_valve2_pct 134 u16 0.01 0 100  As manual_valve_pct, of the second circuit
manual_dhw_valve_pct 135 u16 0.01 0 100  As manual_valve_pct, of the DHW valve
manual_pump_pct 136 u16 0.01 0 100  As manual_valve_pct: circulation pump, 0 off and all else on; of a pump station its speed
manual_pump2_pct 137 u16 0.01 0 100  As manual_pump_pct, of the second circuit
manual_end_number 138 u16 1 1 1  1: everything back to automatic
""")
COMMON = IDENTITY + IMAGE + STATUS + BESIDE_ORDERS + COMMANDS

_OF_SUBSTATION = (
    SUBSTATION_INPUTS + SUBSTATION_FUNCTIONS + HEAT_METERS + SUBSTATION_SETPOINTS
    + SUBSTATION_CONFIG + COMFORT_CONFIG + CIRCUIT2_CONFIG + LIMITER_CONFIG + DHW_CONFIG
)
_OF_PUMP_STATION = (
    PUMP_STATION_INPUTS + PUMP_STATION_FUNCTIONS + PUMP_STATION_SETPOINTS
    + PUMP_STATION_CONFIG + PUMP_STATION_OPTIONS
)
BY_PROFILE = {SUBSTATION: COMMON + _OF_SUBSTATION, PUMP_STATION: COMMON + _OF_PUMP_STATION}
REGISTERS = COMMON + _OF_SUBSTATION + _OF_PUMP_STATION
BY_NAME = {} if ON_CONTROLLER else {register.name: register for register in REGISTERS}  # there: row_of()

# A setpoint, the effective value beside it, where its lease is read, and the engineering values that
# bound it at this site (None: the map's own bound).
Lease = namedtuple("Lease", ("setpoint", "effective", "owner", "seconds_left", "low_limit", "high_limit"))
LEASES = (
    Lease("secondary_supply_temp_sp_c", "secondary_supply_temp_effective_c", "secondary_supply_temp_lease_number", "secondary_supply_temp_lease_s", "supply_temp_minimum_c", "supply_temp_maximum_c"),
    Lease("primary_flow_limit_sp_m3_h", "primary_flow_limit_effective_m3_h", "primary_flow_limit_lease_number", "primary_flow_limit_lease_s", None, "contract_flow_limit_m3_h"),
    Lease("primary_return_limit_sp_c", "primary_return_limit_effective_c", "primary_return_limit_lease_number", "primary_return_limit_lease_s", None, "return_limit_temp_c"),
    Lease("curve_shift_sp_k", "curve_shift_effective_k", "curve_shift_lease_number", "curve_shift_lease_s", "curve_shift_minimum_k", "curve_shift_maximum_k"),
    Lease("plant_dp_sp_bar", "plant_dp_effective_bar", "plant_dp_lease_number", "plant_dp_lease_s", "plant_dp_minimum_bar", "plant_dp_maximum_bar"),
    Lease("plant_supply_temp_sp_c", "plant_supply_temp_effective_c", "plant_supply_temp_lease_number", "plant_supply_temp_lease_s", "plant_supply_temp_minimum_c", "plant_supply_temp_maximum_c"),
)

# fmt: on

# Readings carried by the authenticated status block, in this order.
STATUS_POINTS = {
    SUBSTATION: (
        "outdoor_temp_c", "primary_supply_temp_c", "primary_return_temp_c", "secondary_supply_temp_c",
        "secondary_supply_temp_effective_c", "primary_dp_bar", "primary_flow_m3_h", "valve_position_out_pct",
    ),
    PUMP_STATION: (
        "outdoor_temp_c", "plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar",
        "plant_dp_effective_bar", "plant_supply_temp_effective_c", "plant_flow_m3_h", "pump_speed_out_pct",
    ),
}  # fmt: skip

ALARM_BITS = (
    "sensor_lost", "refused_writes", "manual", "watchdog_reset", "deficit_budget_spent", "config_rejected",
    "frost_protection", "valve_not_following", "low_dp", "legionella_failed", "scald_limit", "sensor_doubt",
    "travel_budget", "dry_run", "meter_lost", "meter_doubt",
)  # fmt: skip
METER_BITS = (
    "silent", "refused", "application", "power_low", "permanent", "temporary", "error_flags",
    "contradicts_power", "contradicts_sensors", "swapped", "stuck", "negative_flow", "replaced",
)  # fmt: skip
UPDATE_STATES = ("none", "head", "verifying", "files", "ready", "failed")
UPDATE_CAUSES = (
    "none", "malformed", "signature", "version", "space", "content", "flash", "digest", "no_key", "device",
    "settings",
)  # fmt: skip
REFUSALS = (
    "none", "function", "malformed", "mac", "replay", "late", "limit", "right", "budget", "state",
    "register", "lease", "epoch", "broadcast", "map", "tls",
)  # fmt: skip


def row_of(name):
    """Return the row called name; KeyError where there is none."""
    for row in REGISTERS:
        if row.name == name:
            return row
    raise KeyError(name)


def words_of(register):
    """Return how many 16-bit registers the value takes: 1 or 2."""
    return 2 if register.type in (I32, U32) else 1


def to_raw(register, value):
    """Return the integer on the wire for an engineering value; None becomes "no valid reading".

    Raises ValueError where the type cannot hold the value.
    """
    if value is None:
        return NO_VALUE[register.type]
    raw = int(round(value / register.scale))
    bits = 32 if register.type in (I32, U32) else 16
    signed = register.type in (I16, I32)
    low = -(1 << (bits - 1)) + 1 if signed else 0
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    # only codes may use the all-ones pattern; elsewhere it means "no valid reading"
    if not signed and not register.name.endswith("_code"):
        high -= 1
    if not low <= raw <= high:
        raise ValueError("%s: %s does not fit %s" % (register.name, value, register.type))
    return raw


def from_raw(register, raw):
    """Return the engineering value of an integer as read, or None for "no valid reading"."""
    if raw == NO_VALUE[register.type] and not register.name.endswith("_code"):
        return None
    return raw * register.scale if register.scale != 1 else raw


def raw_of_words(register, words):
    """Return the integer of one or two words, high word first, signed where the type is."""
    raw = words[0] if len(words) == 1 else (words[0] << 16) | words[1]
    if register.type == I16 and raw > 32767:
        raw -= 65536
    elif register.type == I32 and raw > 2147483647:
        raw -= 4294967296
    return raw


def words_of_raw(register, raw):
    """Return the tuple of one or two words, high word first, that carries the integer."""
    if register.type in (I32, U32):
        raw &= 0xFFFFFFFF
        return (raw >> 16, raw & 0xFFFF)
    return (raw & 0xFFFF,)


def map_hash():
    """Return the first 32 bits of the SHA-256 over every row but its text, as an integer.

    Numbers enter as integers (thousandths), so that both interpreters and every float width agree.
    """
    import hashlib

    digest = hashlib.sha256(b"toplovod map %d" % MAP_VERSION)
    for r in REGISTERS:
        line = "%s|%s|%d|%s|%d|%d|%d|%s\n" % (
            r.name, r.space, r.address, r.type, int(round(r.scale * 1000)),
            int(r.low) * 1000 + int(round((r.low - int(r.low)) * 1000)),
            int(r.high) * 1000 + int(round((r.high - int(r.high)) * 1000)), r.access,
        )  # fmt: skip
        digest.update(line.encode())
    return int.from_bytes(digest.digest()[:4], "big")
