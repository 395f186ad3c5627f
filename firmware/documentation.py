"""Writes docs/firmware.md from the tables and the code: `python -m firmware.documentation`.

It refuses a number of its own: ranks, fallbacks, ranges and defaults come from where the firmware has them. No
part of the bundle.
"""

from . import function_tables as tables
from .substation import registers, site, site_functions, site_legacy, site_meters

PAGE = __file__.rsplit("firmware", 1)[0] + "docs/firmware.md"

HEAD = """# What the controller does

Made from `firmware/` by `python -m firmware.documentation` (part of `make docs`); edit the tables there, not this page.

A controller is a substation or a pump station. A substation has one or two heating circuits and, if it wants, DHW;
what `site.json` does not name is not loaded. Every number a loop reckons with is a whole one, in thousandths of a
kelvin, a bar or a kilowatt; integrators keep the residue of every division, so the float width of the chip changes
nothing.

## Functions

| function | file | switched on by | sources |
|---|---|---|---|"""

FUNCTIONS = (
    ("Heating circuit: curve of 2 to 4 points, or slope and level", "heating_circuit.py, heating_curve.py",
     "always; `curve_points` or `curve_slope`", "Samson 557x: slope 0.2 to 3.2, level -30 to 30 K, four points"),
    ("Second heating circuit", "heating_circuit.py", "`heating_circuits: 2`", ""),
    ("Weekly schedule, holidays, set-back", "comfort.py, local_time.py", "`schedule`, `schedule2`, `holidays`",
     "without valid time: comfort (S11)"),
    ("Early start and stop", "comfort.py", "`optimum_start_maximum_s`, `optimum_stop_maximum_s`", ""),
    ("Room influence and adaptation", "room.py", "`room_influence_pct`, `room_adaptation_maximum_k`",
     "Samson: ends at 2 K too warm, begins again at 1 K"),
    ("Summer cut-off", "heating_circuit.py", "always; `summer_outdoor_temp_c`", ""),
    ("Frost protection", "heating_circuit.py", "always", "supply, return and room; beats every order"),
    ("Exercise of pumps and valves", "pump.py, heating_circuit.py", "always",
     "Samson 5573: pumps after 24 h; spread by device id"),
    ("Circulation pump by PWM, with its feedback", "pump_pwm.py, pump_feedback.py", "`pump_pwm`, `pump2_pwm`",
     "Grundfos UPM3 data sheet: profiles A and C, feedback"),
    ("Instantaneous DHW with flow feed-forward", "dhw_instantaneous.py", "`dhw: instantaneous`",
     "Siemens RVL481, bench study of the feed-forward"),
    ("DHW in a tank: coil, or exchanger outside", "dhw_storage.py", "`dhw: storage`, `dhw: storage_charging`", ""),
    ("Priority of DHW: none, absolute, sliding, by set-back", "dhw.py", "`dhw_priority`", "Samson 5500"),
    ("Scald limit", "dhw.py", "always with DHW", "independent thermostat besides: EN 14597"),
    ("Legionella runs with proof", "legionella.py", "always with DHW", "Samson 5573, 5579"),
    ("DHW circulation", "circulation.py", "`circulation_schedule`; else always on", ""),
    ("Return limit, fixed or by outdoor temperature", "limiters.py", "always; `return_limit_points`", "Samson, Siemens"),
    ("Limit of the difference of the returns", "limiters.py", "`return_difference_limit_k`", "Siemens RVL481: 0.5 to 50 K"),
    ("Flow limit", "limiters.py", "always; `flow_limit_points`", "Danfoss: a line over the outdoors"),
    ("Heat limit", "limiters.py", "`contract_heat_limit_kw`, `heat_limit_points`", "Danfoss"),
    ("Capacity tariff", "capacity.py", "`capacity_heat_limit_kw`, `capacity_window_s`", ""),
    ("No creeping below the meter's least flow", "limiters.py", "`primary_flow_minimum_m3_h`",
     "the return limit goes before it: Siemens"),
    ("Travel budget of the valves", "travel.py", "`valve_starts_hour_maximum_count`", ""),
    ("Valves that do not follow", "following.py", "always", ""),
    ("Sensors that contradict each other", "doubt.py", "always", ""),
    ("Heat meters by M-Bus", "mbus.py, mbus_records.py, heat_meters.py, meter_doubt.py", "`mbus_meters`",
     "EN 13757-2/-3; up to 5, 300 to 2400 Bd: Danfoss"),
    ("Plant pressure, or that of the index consumer", "pump_station.py", "always; `index_dp_own_bar`", ""),
    ("Two pumps: lead, lag, equal running time", "plant_pumps.py", "`pumps: 2`", ""),
    ("Least flow of the heat source", "pump_station.py", "`plant_flow_minimum_m3_h`", ""),
    ("Cavitation and dry-run protection", "pump_station.py",
     "`suction_pressure_minimum_bar`, `dry_run_pressure_bar`", ""),
)  # fmt: skip

PRECEDENCE = """
## Who decides

In all the project the same order: hardware safety, software safety, manual at the device, limiters, DHW and
legionella, lease, schedule and curve. For each actuator it becomes a list of ranks, walked from above; of a valve the
first rank that answers decides. Each rank is a method of the class named, and a test holds the list against the code.
Where DHW or a schedule stands above a limiter, it closes or rests, and the limiter would have nothing to add.

Among limiters there is no rank: the smallest position wins. The return limit and the limit of the difference are
suspended while legionella are killed; while DHW takes heat the higher of the two return limits rules, and the limit of
the difference rests, because what comes back is then not heating's alone. The return limit then holds heating where it
is and closes it no further; DHW's valve answers for what DHW sends back. Neither of them closes a valve further than to
5 %: a return that this valve does not make must not keep the house cold. What others may ask of flow and return binds the
heating circuits alone: DHW keeps the site's own limits (S5).
"""

SETPOINT = """
### What a heating circuit follows, the last word first

| class | what |
|---|---|"""

FALLBACKS = """
## When a sensor is lost

Every loss sets the alarm `sensor_lost` and the input's bit in `sensor_fault_bits` after 3 bad samples (6 s). A reading
that jumps by 40 K between two samples counts as bad. The sensor is trusted again after 5 good samples (10 s), and
what it decided is taken up without a bump. Each row has a test that loses the sensor and sees it come back.

| profile | input | what is done | source |
|---|---|---|---|"""

METERS = """
### When a heat meter is lost or in doubt

Each row is a bit of `meter1_status_bits` to `meter5_status_bits`. The first two set the alarm `meter_lost`, the others
`meter_doubt`. Where the flow limit does not go by the meter it goes by the flow sensor; without one it is off, and heat is
not counted. More in [mbus.md](mbus.md).

| bit | when | limits still | source |
|---|---|---|---|"""

SITE = """
## Settings beyond the registers

Every CONFIG register of docs/registers.md is a key of `site.json` of the same name. A mistake is told with its key and
the allowed range; the controller then heats on defaults and takes no orders. Beside them:

| key | values |
|---|---|"""

KEYS = (
    ("epochs", "`{slot: 0 to 65534}`: the lowest epoch still taken of %s; 1 where none is given" % ", ".join(site.SLOTS)),
    ("heating_circuits", "1 or 2; a second one needs `inputs.secondary2_supply_temp_c`"),
    ("dhw", " · ".join(site_functions.DHW_KINDS)),
    ("dhw_priority", " · ".join(site_functions.PRIORITIES)),
    ("valve_kind, valve2_kind, dhw_valve_kind", " · ".join(site_functions.VALVE_KINDS)),
    ("curve_points, curve2_points", "2 to 4 points `[outdoor, supply]`; colder outside is never cooler inside"),
    ("curve_slope, curve2_slope", "`{\"slope\": 0.2 to 3.2, \"level_k\": -30 to 30}`"),
    ("return_limit_points, flow_limit_points, heat_limit_points", "2 to 4 points `[outdoor, limit]`"),
    ("schedule, schedule2, dhw_schedule, circulation_schedule",
     "`{\"mon-fri\": [\"06:00-09:00\", \"16:00-22:00\"], \"sat\": [...]}`, at most %d periods a day"
     % site_functions.PERIODS_HIGH),
    ("holidays", "`[[\"2026-12-24\", \"2027-01-02\"], ...]`, both days included"),
    ("utc_offset_min, summer_time", "minutes, and %s" % " or ".join(site_functions.SUMMER_TIMES)),
    ("inputs", "`{register: {\"channel\": 0 to 14, \"kind\": ..., \"span\": ..., \"damping_s\": ...}}`, or `null` for an "
     "input that is not wired; kinds: " + ", ".join(site_functions.KINDS) + ". Channels 0 to 5 take resistances, 6 and 7 "
     "4-20 mA, 12 alone pulses (of the DHW flow at most %d ml each); from 8 on everything else as well. `damping_s` up to 86400 for outdoors and rooms, up to "
     "%d elsewhere. Several ds18b20 are told apart by `\"rom\"`, 16 hexadecimal digits: the controller tells on its "
     "console which it finds. No substation goes without `secondary_supply_temp_c`, no pump station without "
     "`plant_dp_bar`; " % (site_functions.DHW_PULSE_HIGH_ML, site_functions.DAMPING_HIGH_S)
     + ", ".join("`%s` needs `%s`" % row for row in site_functions.NEEDS)),
    ("mbus_baud", " · ".join(str(baud) for baud in site_meters.BAUDS)),
    ("mbus_meters", "at most %d of `{\"address\": 1 to 250, \"battery\": true, \"interval_s\": %d}`, or `\"number\"` for the "
     "address: [mbus.md](mbus.md)" % (site_meters.METERS_HIGH, site_meters.BATTERY_INTERVAL_S)),
    ("legacy", "`{\"from\": \"rtu\" or an IPv4 address, \"registers\": [setpoints], \"lease_s\": %d to %d}`: "
     "[legacy mode](security.md#legacy-mode)" % site_legacy.LEASE_S),
    ("pump_pwm, pump2_pwm", "`{\"profile\": \"heating\" or \"solar\", \"speed_pct\": 1 to 100, \"feedback\": true}`: a circulation pump "
     "commanded by pulses of 1 kHz in place of the relay: [boards](boards.md)"),
    ("pumps", "1 or 2 (pump station)"),
    ("proportional_band_k, integral_time_s", "of the first circuit; `proportional2_band_k`, `integral2_time_s`"),
)  # fmt: skip

LIMITS_HASH = """
`limits_hash_code` covers every CONFIG register the site has, in map order, the deficit budget, and each line over the
outdoors with its name; see `Site._digest`.

## Defaults of optional functions

| register | default | range |
|---|---:|---|"""


LADDER = """
### The ladder

From above; the number is the rank in the actuator's own list below. A number that is out of turn in its column is a rank that
an actuator has above its class, or below it.

```text"""
ORDER = (
    tables.HARDWARE, tables.SAFETY, tables.MANUAL, tables.LIMITER, tables.DHW, tables.LEASE, tables.SCHEDULE,
)  # fmt: skip
COLUMNS = ("heating valve", "DHW valve", "pumps", "plant's pumps")  # of RANKS, in their order


def ladder():
    """Return the lines of the diagram: a step for each class of the common order, an actuator a column."""
    columns = []
    for head, (_, _, ranks, texts) in zip(COLUMNS, tables.RANKS):
        steps = [
            ["%d %s" % (place, rank) for place, rank in enumerate(ranks, 1) if texts[rank][0] == step]
            for step in ORDER
        ]
        columns.append((max(len(cell) for cells in [[head]] + steps for cell in cells), head, steps))
    left = max(len(step) for step in ORDER)
    rule = "-+-".join(["-" * left] + ["-" * wide for wide, _, _ in columns])
    lines = [" | ".join([" " * left] + [head.ljust(wide) for wide, head, _ in columns]).rstrip(), rule]
    for number, step in enumerate(ORDER):
        for row in range(max(1, max(len(steps[number]) for _, _, steps in columns))):
            cells = [(step if row == 0 else "").ljust(left)]
            cells += [
                (steps[number][row] if row < len(steps[number]) else "").ljust(wide)
                for wide, _, steps in columns
            ]
            lines.append(" | ".join(cells).rstrip())
        lines.append(rule)
    return lines[:-1]


def page():
    """Return the text of docs/firmware.md."""
    lines = [HEAD]
    lines += ["| %s | %s | %s | %s |" % row for row in FUNCTIONS]
    lines.append(PRECEDENCE.rstrip("\n"))
    lines += [LADDER] + ladder() + ["```", ""]
    for actuator, where, ranks, texts in tables.RANKS:
        lines += [
            "### %s" % actuator,
            "",
            "`%s`" % where,
            "",
            "| | rank | class | what |",
            "|---:|---|---|---|",
        ]
        lines += [
            "| %d | `%s` | %s | %s |" % (place, rank, *texts[rank]) for place, rank in enumerate(ranks, 1)
        ]
        lines.append("")
    lines[-1] = SETPOINT.strip("\n")
    lines += ["| %s | %s |" % row for row in tables.SETPOINT]
    lines.append(FALLBACKS)
    lines += ["| %s | `%s` | %s | %s |" % row for row in tables.FALLBACKS]
    lines.append(METERS)
    lines += [
        "| `%s` | %s | %s | %s |" % (bit, when, "yes" if limits else "no", source)
        for bit, when, limits, source in tables.METER_FALLBACKS
    ]
    lines.append(SITE)
    lines += [
        "| %s | %s |" % (", ".join("`%s`" % key for key in keys.split(", ")), text) for keys, text in KEYS
    ]
    lines.append(LIMITS_HASH)
    defaults = {**site.DEFAULTS, **site_functions.OPTION_DEFAULTS}
    for row in registers.REGISTERS:
        if row.access == registers.CONFIG and row.name not in site.DEFAULTS:
            default = defaults.get(row.name, "off")
            lines.append("| `%s` | %s | %s to %s |" % (row.name, default, row.low, row.high))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page())
