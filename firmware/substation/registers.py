"""Register map of the controller: the one place an address is written.

MicroPython serves these rows, CPython polls them, names the screens after them and prints
docs/registers.md from them. The file therefore imports nothing of ours and stays inside the
language that both interpreters share. It refuses to hold behaviour: only rows and the
conversions between a raw word and an engineering value.

Addresses are zero-based. Raw -32768 in a signed register and 65535 in an unsigned one mean
"no valid reading" (i32: -2**31, u32: 2**32 - 1). Two-register values are big-endian.
"""

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

IDENTITY_MAGIC = 0x5456
IDENTITY_WORDS = 26  # input 0..25: this block never moves, whatever the map version

Register = namedtuple(
    "Register", ("name", "space", "address", "type", "scale", "low", "high", "access", "text")
)

# fmt: off
IDENTITY = (
    Register("identity_magic_code", INPUT, 0, U16, 1, 0, 65534, DIAGNOSTIC, "Always 21590 (0x5456)"),
    Register("map_version_number", INPUT, 1, U16, 1, 1, 65534, DIAGNOSTIC, "Version of this register map"),
    Register("map_hash_code", INPUT, 2, U32, 1, 0, 4294967295, DIAGNOSTIC, "SHA-256 of the map, first 32 bits"),
    Register("device_id_high_code", INPUT, 4, U32, 1, 0, 4294967295, DIAGNOSTIC, "Device identity, upper half"),
    Register("device_id_low_code", INPUT, 6, U32, 1, 0, 4294967295, DIAGNOSTIC, "Device identity, lower half"),
    Register("profile_number", INPUT, 8, U16, 1, 1, 2, DIAGNOSTIC, "1 substation, 2 pump station"),
    Register("boot_count", INPUT, 9, U32, 1, 0, 4294967294, DIAGNOSTIC, "Boots so far, kept in flash"),
    Register("boot_random_high_code", INPUT, 11, U32, 1, 0, 4294967295, DIAGNOSTIC, "Boot nonce, upper half"),
    Register("boot_random_low_code", INPUT, 13, U32, 1, 0, 4294967295, DIAGNOSTIC, "Boot nonce, lower half"),
    Register("uptime_s", INPUT, 15, U32, 1, 0, 4294967294, DIAGNOSTIC, "Seconds since this boot"),
    Register("firmware_hash_code", INPUT, 17, U32, 1, 0, 4294967295, DIAGNOSTIC, "Digest of the running firmware, first 32 bits"),
    Register("limits_hash_code", INPUT, 19, U32, 1, 0, 4294967295, DIAGNOSTIC, "Digest of the limits in force, first 32 bits"),
    Register("firmware_version_number", INPUT, 21, U16, 1, 0, 65534, DIAGNOSTIC, "Major x 256 + minor"),
    Register("supervisor_key_epoch_number", INPUT, 22, U16, 1, 0, 65534, DIAGNOSTIC, "Lowest epoch still accepted"),
    Register("standby_key_epoch_number", INPUT, 23, U16, 1, 0, 65534, DIAGNOSTIC, "Lowest epoch still accepted"),
    Register("technician_key_epoch_number", INPUT, 24, U16, 1, 0, 65534, DIAGNOSTIC, "Lowest epoch still accepted"),
    Register("utility_key_epoch_number", INPUT, 25, U16, 1, 0, 65534, DIAGNOSTIC, "Lowest epoch still accepted"),
)

# Input 26..37 on every profile, behind the identity: which program runs, and how far an update is.
IMAGE = (
    Register("image_slot_number", INPUT, 26, U16, 1, 0, 2, DIAGNOSTIC, "0 the program that came over USB, 1 slot A, 2 slot B"),
    Register("image_state_number", INPUT, 27, U16, 1, 0, 3, DIAGNOSTIC, "0 confirmed, 1 on trial, 2 provisional, 3 confirmed after another was given up"),
    Register("image_version_number", INPUT, 28, U32, 1, 0, 4294967294, DIAGNOSTIC, "Version of the image that runs, 0 over USB"),
    Register("image_floor_number", INPUT, 30, U32, 1, 0, 4294967294, DIAGNOSTIC, "Nothing older than this version is taken"),
    Register("update_state_number", INPUT, 32, U16, 1, 0, 5, DIAGNOSTIC, "0 none, 1 head comes, 2 verifying, 3 files come, 4 ready, 5 failed"),
    Register("update_cause_number", INPUT, 33, U16, 1, 0, 8, DIAGNOSTIC, "1 malformed, 2 signature, 3 older than the floor, 4 no room, 5 a file differs, 6 flash, 7 not the image that was ordered, 8 no release key"),
    Register("update_next_b", INPUT, 34, U32, 1, 0, 4294967294, DIAGNOSTIC, "The byte of the image that is wanted next"),
    Register("unix_time_s", INPUT, 36, U32, 1, 0, 4294967294, DIAGNOSTIC, "The time as an order told it; no value while it is not known"),
)

# Input 40..77 on every profile, without gaps: one read.
STATUS = (
    Register("outdoor_temp_c", INPUT, 40, I16, 0.01, -40, 60, MEASUREMENT, "Outdoor air"),
    Register("control_mode_number", INPUT, 41, U16, 1, 0, 9, DIAGNOSTIC, "0 own curve, 1 order, 2 manual, 3 service, 4 safe start"),
    Register("active_limiter_number", INPUT, 42, U16, 1, 0, 9, DIAGNOSTIC, "0 none, 1 return, 2 flow, 3 frost, 4 supply maximum, 5 sensor fallback, 6 heat, 7 difference of returns, 8 tariff window, 9 DHW first"),
    Register("sensor_fault_bits", INPUT, 43, U16, 1, 0, 65534, DIAGNOSTIC, "One bit for each sensor input, in the board's order"),
    Register("alarm_bits", INPUT, 44, U16, 1, 0, 65534, DIAGNOSTIC, "See ALARM_BITS"),
    Register("deficit_used_kh", INPUT, 45, U16, 0.01, 0, 655, DIAGNOSTIC, "Kelvin-hours taken below the own curve in 24 h"),
    Register("deficit_budget_kh", INPUT, 46, U16, 0.01, 0, 655, DIAGNOSTIC, "Kelvin-hours remote influence may take in 24 h"),
    Register("refused_function_count", INPUT, 47, U32, 1, 0, 4294967294, DIAGNOSTIC, "Writes outside the order mailbox"),
    Register("refused_malformed_count", INPUT, 49, U32, 1, 0, 4294967294, DIAGNOSTIC, "Frames that could not be parsed"),
    Register("refused_mac_count", INPUT, 51, U32, 1, 0, 4294967294, DIAGNOSTIC, "Orders whose MAC did not verify"),
    Register("refused_replay_count", INPUT, 53, U32, 1, 0, 4294967294, DIAGNOSTIC, "Orders with a used or jumping counter"),
    Register("refused_late_count", INPUT, 55, U32, 1, 0, 4294967294, DIAGNOSTIC, "Orders after their not-after, or with one too far ahead"),
    Register("refused_order_count", INPUT, 57, U32, 1, 0, 4294967294, DIAGNOSTIC, "Authentic orders refused by limits, rights, budget or state"),
    Register("accepted_order_count", INPUT, 59, U32, 1, 0, 4294967294, DIAGNOSTIC, "Orders applied since boot"),
    Register("broadcast_count", INPUT, 61, U32, 1, 0, 4294967294, DIAGNOSTIC, "Broadcast frames, all without effect"),
    Register("client_count", INPUT, 63, U16, 1, 0, 64, DIAGNOSTIC, "Modbus clients connected"),
    Register("loop_time_max_ms", INPUT, 64, U16, 1, 0, 65534, DIAGNOSTIC, "Longest control step since boot"),
    Register("heap_used_b", INPUT, 65, U32, 1, 0, 4294967294, DIAGNOSTIC, "Heap in use after the last collection"),
    Register("heap_free_b", INPUT, 67, U32, 1, 0, 4294967294, DIAGNOSTIC, "Heap free after the last collection"),
    Register("reset_cause_number", INPUT, 69, U16, 1, 0, 9, DIAGNOSTIC, "1 power on, 2 hard, 3 watchdog, 4 deep sleep, 5 soft"),
    Register("watchdog_reset_count", INPUT, 70, U16, 1, 0, 65534, DIAGNOSTIC, "Watchdog resets, kept in flash"),
    Register("task_restart_count", INPUT, 71, U16, 1, 0, 65534, DIAGNOSTIC, "Communication task restarts since boot"),
    Register("service_seconds_left_s", INPUT, 72, U16, 1, 0, 900, DIAGNOSTIC, "Service mode ends in"),
    Register("last_refusal_number", INPUT, 73, U16, 1, 0, 99, DIAGNOSTIC, "Cause of the newest refusal, see REFUSALS"),
    Register("last_refusal_uptime_s", INPUT, 74, U32, 1, 0, 4294967294, DIAGNOSTIC, "Uptime of the newest refusal"),
    Register("last_refusal_source_code", INPUT, 76, U32, 1, 0, 4294967295, DIAGNOSTIC, "IPv4 address of the newest refusal"),
)

# Input 78..102, without gaps and next to the status: one read covers both.
SUBSTATION_INPUTS = (
    Register("primary_supply_temp_c", INPUT, 78, I16, 0.01, -40, 150, MEASUREMENT, "Network water arriving"),
    Register("primary_return_temp_c", INPUT, 79, I16, 0.01, -40, 150, MEASUREMENT, "Network water leaving"),
    Register("secondary_supply_temp_c", INPUT, 80, I16, 0.01, -40, 150, MEASUREMENT, "Heating circuit supply"),
    Register("secondary_return_temp_c", INPUT, 81, I16, 0.01, -40, 150, MEASUREMENT, "Heating circuit return"),
    Register("room_temp_c", INPUT, 82, I16, 0.01, -40, 60, MEASUREMENT, "Reference room"),
    Register("primary_dp_bar", INPUT, 83, U16, 0.001, 0, 16, MEASUREMENT, "Differential pressure here"),
    Register("primary_flow_m3_h", INPUT, 84, U16, 0.001, 0, 60, MEASUREMENT, "Network water flow"),
    Register("primary_heat_kw", INPUT, 85, U16, 0.1, 0, 6000, MEASUREMENT, "Heat taken from the network"),
    Register("primary_energy_kwh", INPUT, 86, U32, 0.1, 0, 400000000, MEASUREMENT, "Heat taken so far"),
    Register("valve_position_out_pct", INPUT, 88, U16, 0.01, 0, 100, MEASUREMENT, "Estimated position of the control valve"),
    Register("secondary_pump_out_number", INPUT, 89, U16, 1, 0, 1, MEASUREMENT, "Circulation pump: 0 off, 1 on"),
    Register("own_curve_temp_c", INPUT, 90, I16, 0.01, 0, 110, MEASUREMENT, "What the own heating curve asks for"),
    Register("secondary_supply_temp_effective_c", INPUT, 91, I16, 0.01, 0, 110, MEASUREMENT, "Setpoint the loop follows now, after ramps and limits"),
    Register("primary_flow_limit_effective_m3_h", INPUT, 92, U16, 0.001, 0, 60, MEASUREMENT, "Flow limit in force"),
    Register("primary_return_limit_effective_c", INPUT, 93, I16, 0.01, 0, 110, MEASUREMENT, "Return limit in force"),
    Register("curve_shift_effective_k", INPUT, 94, I16, 0.01, -30, 30, MEASUREMENT, "Shift of the curve in force"),
    Register("secondary_supply_temp_lease_number", INPUT, 95, U16, 1, 0, 4, DIAGNOSTIC, "Owner: 0 nobody, else key slot + 1"),
    Register("secondary_supply_temp_lease_s", INPUT, 96, U16, 1, 0, 3600, DIAGNOSTIC, "Seconds left"),
    Register("primary_flow_limit_lease_number", INPUT, 97, U16, 1, 0, 4, DIAGNOSTIC, "Owner: 0 nobody, else key slot + 1"),
    Register("primary_flow_limit_lease_s", INPUT, 98, U16, 1, 0, 3600, DIAGNOSTIC, "Seconds left"),
    Register("primary_return_limit_lease_number", INPUT, 99, U16, 1, 0, 4, DIAGNOSTIC, "Owner: 0 nobody, else key slot + 1"),
    Register("primary_return_limit_lease_s", INPUT, 100, U16, 1, 0, 3600, DIAGNOSTIC, "Seconds left"),
    Register("curve_shift_lease_number", INPUT, 101, U16, 1, 0, 4, DIAGNOSTIC, "Owner: 0 nobody, else key slot + 1"),
    Register("curve_shift_lease_s", INPUT, 102, U16, 1, 0, 3600, DIAGNOSTIC, "Seconds left"),
)

# Input 103..142, without gaps and next to the inputs: one read covers status, inputs and these. What a site
# does not have shows no valid reading.
SUBSTATION_FUNCTIONS = (
    Register("secondary2_supply_temp_c", INPUT, 103, I16, 0.01, -40, 150, MEASUREMENT, "Second heating circuit supply"),
    Register("secondary2_return_temp_c", INPUT, 104, I16, 0.01, -40, 150, MEASUREMENT, "Second heating circuit return"),
    Register("room2_temp_c", INPUT, 105, I16, 0.01, -40, 60, MEASUREMENT, "Reference room of the second circuit"),
    Register("valve2_position_out_pct", INPUT, 106, U16, 0.01, 0, 100, MEASUREMENT, "Estimated position of the second circuit's valve"),
    Register("secondary2_pump_out_number", INPUT, 107, U16, 1, 0, 1, MEASUREMENT, "Second circulation pump: 0 off, 1 on"),
    Register("own2_curve_temp_c", INPUT, 108, I16, 0.01, 0, 110, MEASUREMENT, "What the second circuit's own curve asks for"),
    Register("secondary2_supply_temp_effective_c", INPUT, 109, I16, 0.01, 0, 110, MEASUREMENT, "Setpoint the second circuit follows now"),
    Register("active2_limiter_number", INPUT, 110, U16, 1, 0, 9, MEASUREMENT, "As active_limiter_number, of the second circuit"),
    Register("schedule_mode_number", INPUT, 111, U16, 1, 0, 5, MEASUREMENT, "0 comfort, 1 set-back, 2 holiday, 3 early start, 4 early stop, 5 comfort for lack of time"),
    Register("schedule2_mode_number", INPUT, 112, U16, 1, 0, 5, MEASUREMENT, "As schedule_mode_number, of the second circuit"),
    Register("room_shift_k", INPUT, 113, I16, 0.01, -30, 30, MEASUREMENT, "What room influence and adaptation add to the curve"),
    Register("room2_shift_k", INPUT, 114, I16, 0.01, -30, 30, MEASUREMENT, "As room_shift_k, of the second circuit"),
    Register("dhw_supply_temp_c", INPUT, 115, I16, 0.01, -40, 150, MEASUREMENT, "DHW leaving the exchanger, or the charging line"),
    Register("dhw_tank_top_temp_c", INPUT, 116, I16, 0.01, -40, 150, MEASUREMENT, "DHW tank, top"),
    Register("dhw_tank_bottom_temp_c", INPUT, 117, I16, 0.01, -40, 150, MEASUREMENT, "DHW tank, bottom"),
    Register("dhw_circulation_temp_c", INPUT, 118, I16, 0.01, -40, 150, MEASUREMENT, "DHW circulation coming back"),
    Register("dhw_flow_m3_h", INPUT, 119, U16, 0.001, 0, 60, MEASUREMENT, "DHW flow"),
    Register("dhw_temp_effective_c", INPUT, 120, I16, 0.01, 0, 110, MEASUREMENT, "DHW temperature wanted now"),
    Register("dhw_valve_position_out_pct", INPUT, 121, U16, 0.01, 0, 100, MEASUREMENT, "Estimated position of the DHW valve"),
    Register("dhw_pump_out_number", INPUT, 122, U16, 1, 0, 1, MEASUREMENT, "Charging pump: 0 off, 1 on"),
    Register("circulation_pump_out_number", INPUT, 123, U16, 1, 0, 1, MEASUREMENT, "DHW circulation pump: 0 off, 1 on"),
    Register("dhw_state_number", INPUT, 124, U16, 1, 0, 5, MEASUREMENT, "0 at rest, 1 heating, 2 killing legionella, 3 scald limit, 4 sensor fallback, 5 kept warm"),
    Register("dhw_active_limiter_number", INPUT, 125, U16, 1, 0, 9, MEASUREMENT, "As active_limiter_number, of the DHW valve"),
    Register("legionella_result_number", INPUT, 126, U16, 1, 0, 4, MEASUREMENT, "0 never run, 1 running, 2 passed, 3 temperature not held in time, 4 sensor lost"),
    Register("legionella_held_s", INPUT, 127, U16, 1, 0, 65534, MEASUREMENT, "How long the coldest place was hot enough, without a break"),
    Register("legionella_minimum_temp_c", INPUT, 128, I16, 0.01, -40, 150, MEASUREMENT, "The coldest seen in that time"),
    Register("legionella_started_age_s", INPUT, 129, U32, 1, 0, 4294967294, MEASUREMENT, "Seconds of running since the last run began"),
    Register("legionella_passed_age_s", INPUT, 131, U32, 1, 0, 4294967294, MEASUREMENT, "Seconds of running since a run passed"),
    Register("primary_heat_limit_effective_kw", INPUT, 133, U16, 0.1, 0, 6000, MEASUREMENT, "Heat limit in force"),
    Register("window_heat_mean_kw", INPUT, 134, U16, 0.1, 0, 6000, MEASUREMENT, "Mean heat of the tariff's window so far"),
    Register("valve_starts_hour_count", INPUT, 135, U16, 1, 0, 65534, MEASUREMENT, "Starts of the heating valve's motor in the last hour"),
    Register("valve_starts_day_count", INPUT, 136, U16, 1, 0, 65534, MEASUREMENT, "Starts of the heating valve's motor in the last 24 hours"),
    Register("valve2_starts_hour_count", INPUT, 137, U16, 1, 0, 65534, MEASUREMENT, "As valve_starts_hour_count, of the second circuit"),
    Register("valve2_starts_day_count", INPUT, 138, U16, 1, 0, 65534, MEASUREMENT, "As valve_starts_day_count, of the second circuit"),
    Register("dhw_valve_starts_hour_count", INPUT, 139, U16, 1, 0, 65534, MEASUREMENT, "As valve_starts_hour_count, of the DHW valve"),
    Register("dhw_valve_starts_day_count", INPUT, 140, U16, 1, 0, 65534, MEASUREMENT, "As valve_starts_day_count, of the DHW valve"),
    Register("sensor_doubt_bits", INPUT, 141, U16, 1, 0, 65534, MEASUREMENT, "One bit for each input that contradicts another, in the board's order"),
    Register("local_time_number", INPUT, 142, U16, 1, 0, 1439, MEASUREMENT, "Minute of the local day; no value while the time is not known"),
)

# Input 400..474, without gaps: one read. Fifteen words for each heat meter on the M-Bus, in the order of
# site.json; a meter that is not there shows no value.
METERS = 5  # as many as Danfoss ECL takes [firmware.md R14]
_METER = (
    ("energy_kwh", U32, 0.1, 0, 400000000, "Heat counted, by the meter itself"),
    ("volume_m3", U32, 0.01, 0, 40000000, "Water counted"),
    ("flow_m3_h", U16, 0.001, 0, 60, "Flow"),
    ("heat_kw", U16, 0.1, 0, 6000, "Power"),
    ("supply_temp_c", I16, 0.01, -40, 200, "Supply"),
    ("return_temp_c", I16, 0.01, -40, 200, "Return"),
    ("age_s", U32, 1, 0, 4294967294, "Seconds since the last good reading"),
    ("status_bits", U16, 1, 0, 65534, "See METER_BITS"),
    ("number_code", U32, 1, 0, 4294967295, "Fabrication number, 0 while not known"),
    ("question_count", U32, 1, 0, 4294967294, "Answers it was asked for since boot: what its battery feels"),
)


def _meters(address):
    rows = []
    for number in range(1, METERS + 1):
        for name, form, scale, low, high, text in _METER:
            name = "meter%d_%s" % (number, name)
            rows.append(Register(name, INPUT, address, form, scale, low, high, MEASUREMENT, text))
            address += 2 if form == U32 else 1
    return tuple(rows)


HEAT_METERS = _meters(400)

# Input 200..214, without gaps: one read.
PUMP_STATION_INPUTS = (
    Register("plant_supply_temp_c", INPUT, 200, I16, 0.01, -40, 150, MEASUREMENT, "Water leaving the plant"),
    Register("plant_return_temp_c", INPUT, 201, I16, 0.01, -40, 150, MEASUREMENT, "Water coming back"),
    Register("plant_dp_bar", INPUT, 202, U16, 0.001, 0, 16, MEASUREMENT, "Differential pressure across the plant"),
    Register("plant_flow_m3_h", INPUT, 203, U16, 0.01, 0, 600, MEASUREMENT, "Network flow"),
    Register("plant_heat_kw", INPUT, 204, U16, 1, 0, 60000, MEASUREMENT, "Heat sent into the network"),
    Register("plant_energy_kwh", INPUT, 205, U32, 0.1, 0, 400000000, MEASUREMENT, "Heat sent so far"),
    Register("pump_speed_out_pct", INPUT, 207, U16, 0.01, 0, 100, MEASUREMENT, "Pump speed"),
    Register("plant_supply_temp_out_c", INPUT, 208, I16, 0.01, 0, 130, MEASUREMENT, "Temperature demanded from the heat source"),
    Register("plant_dp_effective_bar", INPUT, 209, U16, 0.001, 0, 16, MEASUREMENT, "Differential pressure the loop follows now"),
    Register("plant_supply_temp_effective_c", INPUT, 210, I16, 0.01, 0, 130, MEASUREMENT, "Supply temperature the loop follows now"),
    Register("plant_dp_lease_number", INPUT, 211, U16, 1, 0, 4, DIAGNOSTIC, "Owner: 0 nobody, else key slot + 1"),
    Register("plant_dp_lease_s", INPUT, 212, U16, 1, 0, 3600, DIAGNOSTIC, "Seconds left"),
    Register("plant_supply_temp_lease_number", INPUT, 213, U16, 1, 0, 4, DIAGNOSTIC, "Owner: 0 nobody, else key slot + 1"),
    Register("plant_supply_temp_lease_s", INPUT, 214, U16, 1, 0, 3600, DIAGNOSTIC, "Seconds left"),
)

# Input 215..226, without gaps and next to the inputs: one read covers both.
PUMP_STATION_FUNCTIONS = (
    Register("index_dp_bar", INPUT, 215, U16, 0.001, 0, 16, MEASUREMENT, "Differential pressure at the index consumer"),
    Register("suction_pressure_bar", INPUT, 216, U16, 0.001, 0, 25, MEASUREMENT, "Pressure before the pumps"),
    Register("pump2_speed_out_pct", INPUT, 217, U16, 0.01, 0, 100, MEASUREMENT, "Speed of the second pump"),
    Register("lead_pump_number", INPUT, 218, U16, 1, 1, 2, MEASUREMENT, "Which pump leads"),
    Register("pump_run_s", INPUT, 219, U32, 1, 0, 4294967294, MEASUREMENT, "Running time of the first pump, kept in flash"),
    Register("pump2_run_s", INPUT, 221, U32, 1, 0, 4294967294, MEASUREMENT, "Running time of the second pump, kept in flash"),
    Register("pump_state_number", INPUT, 223, U16, 1, 0, 3, MEASUREMENT, "0 in order, 1 held back by suction pressure, 2 stopped against running dry, 3 suction sensor lost"),
    Register("plant_flow_minimum_bites_number", INPUT, 224, U16, 1, 0, 1, MEASUREMENT, "1 while the speed is raised for the least flow"),
    Register("index_dp_correction_bar", INPUT, 225, I16, 0.001, -16, 16, MEASUREMENT, "What the index consumer adds to the pressure held"),
    Register("dp_reserve_bar", INPUT, 226, I16, 0.001, -16, 16, MEASUREMENT, "Index pressure above what it must have"),
)

# Holding: the value last ordered (no value while nobody holds a lease). Orders name these addresses.
SUBSTATION_SETPOINTS = (
    Register("secondary_supply_temp_sp_c", HOLDING, 100, I16, 0.01, 20, 90, SETPOINT, "Heating circuit supply"),
    Register("primary_flow_limit_sp_m3_h", HOLDING, 101, U16, 0.001, 0, 60, SETPOINT, "Most network water this house may take"),
    Register("primary_return_limit_sp_c", HOLDING, 102, I16, 0.01, 20, 70, SETPOINT, "Warmest return this house may send"),
    Register("curve_shift_sp_k", HOLDING, 103, I16, 0.01, -15, 15, SETPOINT, "Parallel shift of the own heating curve"),
)
PUMP_STATION_SETPOINTS = (
    Register("plant_dp_sp_bar", HOLDING, 200, U16, 0.001, 0.2, 10, SETPOINT, "Differential pressure across the plant"),
    Register("plant_supply_temp_sp_c", HOLDING, 201, I16, 0.01, 40, 130, SETPOINT, "Water leaving the plant"),
)

# Holding, read only over every network path: engineering values and limits, changed at the device or by a signed bundle.
SUBSTATION_CONFIG = (
    Register("curve_cold_outdoor_temp_c", HOLDING, 300, I16, 0.01, -40, 20, CONFIG, "Cold point of the heating curve"),
    Register("curve_cold_supply_temp_c", HOLDING, 301, I16, 0.01, 20, 90, CONFIG, "Supply at the cold point"),
    Register("curve_warm_outdoor_temp_c", HOLDING, 302, I16, 0.01, -20, 40, CONFIG, "Warm point of the heating curve"),
    Register("curve_warm_supply_temp_c", HOLDING, 303, I16, 0.01, 15, 90, CONFIG, "Supply at the warm point"),
    Register("supply_temp_minimum_c", HOLDING, 304, I16, 0.01, 5, 90, CONFIG, "Lower engineering limit of the supply"),
    Register("supply_temp_maximum_c", HOLDING, 305, I16, 0.01, 20, 95, CONFIG, "Upper engineering limit of the supply"),
    Register("contract_flow_limit_m3_h", HOLDING, 306, U16, 0.001, 0, 60, CONFIG, "Flow of the supply contract"),
    Register("return_limit_temp_c", HOLDING, 307, I16, 0.01, 20, 90, CONFIG, "Own return limit"),
    Register("valve_stroke_s", HOLDING, 308, U16, 1, 5, 600, CONFIG, "Time of the valve from end to end"),
    Register("frost_outdoor_temp_c", HOLDING, 309, I16, 0.01, -20, 10, CONFIG, "Below this the pump never rests"),
    Register("frost_supply_temp_c", HOLDING, 310, I16, 0.01, 5, 30, CONFIG, "The supply never falls below this"),
    Register("curve_shift_minimum_k", HOLDING, 311, I16, 0.01, -15, 0, CONFIG, "The owner's comfort band: the lowest shift anybody may order"),
    Register("curve_shift_maximum_k", HOLDING, 312, I16, 0.01, 0, 15, CONFIG, "The owner's comfort band: the highest shift anybody may order"),
)

# Holding 340..387, without gaps: what optional functions add. A function that is not used shows no value.
COMFORT_CONFIG = (
    Register("curve_setback_k", HOLDING, 340, I16, 0.01, 0, 40, CONFIG, "By how much the schedule lowers the supply outside comfort periods"),
    Register("summer_outdoor_temp_c", HOLDING, 341, I16, 0.01, 5, 40, CONFIG, "Above this nothing is heated; without it the curve's warm point"),
    Register("room_comfort_temp_c", HOLDING, 342, I16, 0.01, 5, 30, CONFIG, "Room temperature of the comfort periods"),
    Register("room_influence_pct", HOLDING, 343, U16, 1, 0, 1000, CONFIG, "Supply per kelvin of room error: 100 % is 1 K/K"),
    Register("room_shift_maximum_k", HOLDING, 344, I16, 0.01, 0, 15, CONFIG, "Most that room influence adds or takes"),
    Register("room_adaptation_maximum_k", HOLDING, 345, I16, 0.01, 0, 10, CONFIG, "Most that adaptation of the curve adds or takes"),
    Register("optimum_start_maximum_s", HOLDING, 346, U16, 1, 0, 28800, CONFIG, "Longest time before a comfort period that heating begins"),
    Register("optimum_stop_maximum_s", HOLDING, 347, U16, 1, 0, 14400, CONFIG, "Longest time before the end of a comfort period that heating ends"),
)
CIRCUIT2_CONFIG = (
    Register("curve2_cold_outdoor_temp_c", HOLDING, 348, I16, 0.01, -40, 20, CONFIG, "Cold point of the second curve"),
    Register("curve2_cold_supply_temp_c", HOLDING, 349, I16, 0.01, 20, 90, CONFIG, "Supply at the cold point"),
    Register("curve2_warm_outdoor_temp_c", HOLDING, 350, I16, 0.01, -20, 40, CONFIG, "Warm point of the second curve"),
    Register("curve2_warm_supply_temp_c", HOLDING, 351, I16, 0.01, 15, 90, CONFIG, "Supply at the warm point"),
    Register("supply2_temp_minimum_c", HOLDING, 352, I16, 0.01, 5, 90, CONFIG, "Lower engineering limit of the second supply"),
    Register("supply2_temp_maximum_c", HOLDING, 353, I16, 0.01, 20, 95, CONFIG, "Upper engineering limit of the second supply"),
    Register("valve2_stroke_s", HOLDING, 354, U16, 1, 5, 600, CONFIG, "Time of the second valve from end to end"),
    Register("curve2_setback_k", HOLDING, 355, I16, 0.01, 0, 40, CONFIG, "As curve_setback_k"),
    Register("summer2_outdoor_temp_c", HOLDING, 356, I16, 0.01, 5, 40, CONFIG, "As summer_outdoor_temp_c"),
    Register("room2_comfort_temp_c", HOLDING, 357, I16, 0.01, 5, 30, CONFIG, "As room_comfort_temp_c"),
    Register("room2_influence_pct", HOLDING, 358, U16, 1, 0, 1000, CONFIG, "As room_influence_pct"),
    Register("room2_shift_maximum_k", HOLDING, 359, I16, 0.01, 0, 15, CONFIG, "As room_shift_maximum_k"),
    Register("room2_adaptation_maximum_k", HOLDING, 360, I16, 0.01, 0, 10, CONFIG, "As room_adaptation_maximum_k"),
    Register("optimum2_start_maximum_s", HOLDING, 361, U16, 1, 0, 28800, CONFIG, "As optimum_start_maximum_s"),
    Register("optimum2_stop_maximum_s", HOLDING, 362, U16, 1, 0, 14400, CONFIG, "As optimum_stop_maximum_s"),
)
LIMITER_CONFIG = (
    Register("contract_heat_limit_kw", HOLDING, 363, U16, 0.1, 0, 6000, CONFIG, "Heat of the supply contract"),
    Register("return_difference_limit_k", HOLDING, 364, I16, 0.01, 0.5, 50, CONFIG, "Most by which the primary return may exceed the secondary"),
    Register("primary_flow_minimum_m3_h", HOLDING, 365, U16, 0.001, 0, 60, CONFIG, "Less than this is not let creep through: the valve closes"),
    Register("capacity_heat_limit_kw", HOLDING, 366, U16, 0.1, 0, 6000, CONFIG, "Most mean heat in a window of the capacity tariff"),
    Register("capacity_window_s", HOLDING, 367, U16, 1, 900, 3600, CONFIG, "Window of the capacity tariff"),
    Register("valve_starts_hour_maximum_count", HOLDING, 368, U16, 1, 10, 1800, CONFIG, "Travel budget: beyond it the dead band widens, and an alarm tells"),
)
DHW_CONFIG = (
    Register("dhw_comfort_temp_c", HOLDING, 369, I16, 0.01, 30, 70, CONFIG, "DHW temperature of the comfort periods"),
    Register("dhw_setback_temp_c", HOLDING, 370, I16, 0.01, 10, 70, CONFIG, "DHW temperature outside them"),
    Register("dhw_floor_temp_c", HOLDING, 371, I16, 0.01, 10, 65, CONFIG, "DHW is never wanted colder than this"),
    Register("dhw_scald_limit_temp_c", HOLDING, 372, I16, 0.01, 40, 90, CONFIG, "Above this the DHW valve closes and the pump stops"),
    Register("dhw_return_limit_temp_c", HOLDING, 373, I16, 0.01, 20, 90, CONFIG, "Return limit while DHW takes heat, where it is higher"),
    Register("dhw_valve_stroke_s", HOLDING, 374, U16, 1, 5, 600, CONFIG, "Time of the DHW valve from end to end"),
    Register("dhw_valve_flow_m3_h", HOLDING, 375, U16, 0.001, 0.1, 60, CONFIG, "Flow of the open DHW valve at 1 bar: its kv"),
    Register("dhw_hysteresis_k", HOLDING, 376, I16, 0.01, 1, 20, CONFIG, "Charging begins so far below the setpoint"),
    Register("dhw_charging_excess_k", HOLDING, 377, I16, 0.01, 0, 30, CONFIG, "The charging line is so much hotter than the tank shall be"),
    Register("dhw_heating_setback_k", HOLDING, 378, I16, 0.01, 0, 40, CONFIG, "Priority by set-back: heating gives up so much while DHW takes heat"),
    Register("dhw_priority_maximum_s", HOLDING, 379, U16, 1, 60, 14400, CONFIG, "Longest time without a break that DHW goes before heating"),
    Register("legionella_temp_c", HOLDING, 380, I16, 0.01, 55, 90, CONFIG, "Temperature that kills legionella"),
    Register("legionella_hold_s", HOLDING, 381, U16, 1, 60, 43200, CONFIG, "How long the coldest place must hold it"),
    Register("legionella_duration_maximum_s", HOLDING, 382, U16, 1, 600, 43200, CONFIG, "Longest run"),
    Register("legionella_interval_s", HOLDING, 383, U32, 1, 86400, 2592000, CONFIG, "Between two runs, where the time is not known"),
    Register("legionella_day_number", HOLDING, 385, U16, 1, 0, 7, CONFIG, "0 Monday to 6 Sunday, 7 every day"),
    Register("legionella_start_number", HOLDING, 386, U16, 1, 0, 1439, CONFIG, "Minute of the local day it begins at"),
)
PUMP_STATION_CONFIG = (
    Register("own_plant_dp_bar", HOLDING, 320, U16, 0.001, 0.2, 10, CONFIG, "Differential pressure held without orders"),
    Register("plant_dp_minimum_bar", HOLDING, 321, U16, 0.001, 0.1, 10, CONFIG, "Lower engineering limit"),
    Register("plant_dp_maximum_bar", HOLDING, 322, U16, 0.001, 0.2, 16, CONFIG, "Upper engineering limit"),
    Register("plant_supply_temp_minimum_c", HOLDING, 323, I16, 0.01, 30, 130, CONFIG, "Lower engineering limit"),
    Register("plant_supply_temp_maximum_c", HOLDING, 324, I16, 0.01, 40, 130, CONFIG, "Upper engineering limit"),
    Register("pump_speed_minimum_pct", HOLDING, 325, U16, 0.01, 0, 100, CONFIG, "The pump never turns slower"),
    Register("plant_curve_cold_outdoor_temp_c", HOLDING, 326, I16, 0.01, -40, 20, CONFIG, "Cold point of the plant's own curve"),
    Register("plant_curve_cold_supply_temp_c", HOLDING, 327, I16, 0.01, 40, 130, CONFIG, "Plant supply at the cold point"),
    Register("plant_curve_warm_outdoor_temp_c", HOLDING, 328, I16, 0.01, -20, 40, CONFIG, "Warm point of the plant's own curve"),
    Register("plant_curve_warm_supply_temp_c", HOLDING, 329, I16, 0.01, 30, 130, CONFIG, "Plant supply at the warm point"),
)
PUMP_STATION_OPTIONS = (
    Register("index_dp_own_bar", HOLDING, 330, U16, 0.001, 0.1, 10, CONFIG, "Differential pressure the index consumer must have"),
    Register("suction_pressure_minimum_bar", HOLDING, 331, U16, 0.001, 0, 25, CONFIG, "Below this the speed is held back: cavitation"),
    Register("dry_run_pressure_bar", HOLDING, 332, U16, 0.001, 0, 25, CONFIG, "Below this the pumps stop"),
    Register("plant_flow_minimum_m3_h", HOLDING, 333, U16, 0.01, 0, 600, CONFIG, "Least flow of the heat source"),
    Register("pump_change_s", HOLDING, 334, U32, 1, 3600, 2592000, CONFIG, "Difference of running time at which the pumps change places"),
)

# Holding 120..132: what an order may command. They are told, not kept, and read as no value.
COMMANDS = (
    Register("unix_time_set_s", HOLDING, 120, U32, 1, 1767225600, 4294967294, COMMAND, "The time now, seconds since 1970 in UTC"),
    Register("update_size_b", HOLDING, 122, U32, 1, 1, 4294967294, COMMAND, "Bytes of the image that shall be taken in"),
    Register("update_digest_1_code", HOLDING, 124, U32, 1, 0, 4294967295, COMMAND, "SHA-256 of the image's head, first 32 bits"),
    Register("update_digest_2_code", HOLDING, 126, U32, 1, 0, 4294967295, COMMAND, "Its next 32 bits"),
    Register("update_digest_3_code", HOLDING, 128, U32, 1, 0, 4294967295, COMMAND, "Its next 32 bits"),
    Register("update_digest_4_code", HOLDING, 130, U32, 1, 0, 4294967295, COMMAND, "Its next 32 bits"),
    Register("update_command_number", HOLDING, 132, U16, 1, 1, 4, COMMAND, "1 open, 2 activate and restart, 3 drop, 4 go back to the program before"),
)
COMMON = IDENTITY + IMAGE + STATUS + COMMANDS

BY_PROFILE = {
    SUBSTATION: (
        COMMON + SUBSTATION_INPUTS + SUBSTATION_FUNCTIONS + HEAT_METERS + SUBSTATION_SETPOINTS
        + SUBSTATION_CONFIG + COMFORT_CONFIG + CIRCUIT2_CONFIG + LIMITER_CONFIG + DHW_CONFIG
    ),
    PUMP_STATION: (
        COMMON + PUMP_STATION_INPUTS + PUMP_STATION_FUNCTIONS + PUMP_STATION_SETPOINTS
        + PUMP_STATION_CONFIG + PUMP_STATION_OPTIONS
    ),
}
REGISTERS = BY_PROFILE[SUBSTATION] + BY_PROFILE[PUMP_STATION][len(COMMON) :]
BY_NAME = {register.name: register for register in REGISTERS}

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
    "none", "malformed", "signature", "version", "space", "content", "flash", "digest", "no_key",
)  # fmt: skip
REFUSALS = (
    "none", "function", "malformed", "mac", "replay", "late", "limit", "right", "budget", "state",
    "register", "lease", "epoch", "broadcast", "map",
)  # fmt: skip


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
