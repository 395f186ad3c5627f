"""The optional functions in site.json: which are there, and their settings that are no single number.

Each check returns what the loops take, or raises ValueError with a sentence for the file's author. It
refuses nothing by itself: `site` names the mistake and heats on without the function.
"""

from .fixed_point import per_unit
from .heating_curve import POINTS_HIGH, POINTS_LOW, of_slope

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PERIODS_HIGH = 6  # comfort periods in a day
DAY_MIN = 1440
HOLIDAYS_HIGH = 20  # stretches of holidays

# Which CONFIG rows a site has beside the base: a row without default is a function that is off.
OPTION_DEFAULTS = {
    "curve2_cold_outdoor_temp_c": -15, "curve2_cold_supply_temp_c": 45,
    "curve2_warm_outdoor_temp_c": 18, "curve2_warm_supply_temp_c": 25,
    "supply2_temp_minimum_c": 20, "supply2_temp_maximum_c": 55, "valve2_stroke_s": 120,
    "curve_setback_k": 10, "curve2_setback_k": 10,
    "room_comfort_temp_c": 20, "room2_comfort_temp_c": 20,
    "room_shift_maximum_k": 8, "room2_shift_maximum_k": 8,
    "room_adaptation_maximum_k": 0, "room2_adaptation_maximum_k": 0,
    "optimum_start_maximum_s": 0, "optimum2_start_maximum_s": 0,
    "optimum_stop_maximum_s": 0, "optimum2_stop_maximum_s": 0,
    "capacity_window_s": 3600,
    "dhw_comfort_temp_c": 55, "dhw_setback_temp_c": 50, "dhw_floor_temp_c": 50, "dhw_scald_limit_temp_c": 65,
    "dhw_valve_stroke_s": 35, "dhw_valve_flow_m3_h": 2.5, "dhw_hysteresis_k": 5, "dhw_charging_excess_k": 8,
    "dhw_heating_setback_k": 10, "dhw_priority_maximum_s": 1200,
    "legionella_temp_c": 70, "legionella_hold_s": 600, "legionella_duration_maximum_s": 10800,
    "legionella_interval_s": 604800, "legionella_day_number": 5, "legionella_start_number": 120,
    "pump_change_s": 604800,
}  # fmt: skip
# Given, the function is on; left out, it is off.
SWITCHES = (
    "summer_outdoor_temp_c", "summer2_outdoor_temp_c", "room_influence_pct", "room2_influence_pct",
    "contract_heat_limit_kw", "return_difference_limit_k", "primary_flow_minimum_m3_h",
    "capacity_heat_limit_kw", "dhw_return_limit_temp_c", "index_dp_own_bar", "suction_pressure_minimum_bar",
    "dry_run_pressure_bar", "plant_flow_minimum_m3_h", "valve_starts_hour_maximum_count",
)  # fmt: skip
OPTION_ORDERED = (
    ("curve2_cold_outdoor_temp_c", "curve2_warm_outdoor_temp_c"),
    ("curve2_warm_supply_temp_c", "curve2_cold_supply_temp_c"),
    ("supply2_temp_minimum_c", "supply2_temp_maximum_c"),
    ("dhw_floor_temp_c", "dhw_scald_limit_temp_c"),
    ("dhw_comfort_temp_c", "dhw_scald_limit_temp_c"),
    ("legionella_hold_s", "legionella_duration_maximum_s"),
    ("dry_run_pressure_bar", "suction_pressure_minimum_bar"),
)

# (setting, the input that it goes by): without it a protection would rest and nobody would know
NEEDS = (
    ("dry_run_pressure_bar", "suction_pressure_bar"),
    ("suction_pressure_minimum_bar", "suction_pressure_bar"),
    ("index_dp_own_bar", "index_dp_bar"),
    ("plant_flow_minimum_m3_h", "plant_flow_m3_h"),
)

DHW_KINDS = ("none", "instantaneous", "storage", "storage_charging")
PRIORITIES = ("parallel", "absolute", "sliding", "set_back")
VALVE_KINDS = ("three_point", "analog")
SUMMER_TIMES = ("eu", "none")

# key, unit of x, unit of y, least y, greatest y, whether y must fall with x (None: either way)
LINES = (
    ("curve_points", "_c", "_c", 5, 95, True),
    ("curve2_points", "_c", "_c", 5, 95, True),
    ("return_limit_points", "_c", "_c", 20, 90, None),
    ("flow_limit_points", "_c", "_m3_h", 0, 60, None),
    ("heat_limit_points", "_c", "_kw", 0, 6000, None),
)

KINDS = ("pt1000", "4-20ma", "ntc10k", "0-10v", "ds18b20", "pulses")
# Damped for up to a day. From what protects or is controlled, a filter would hide what happens.
SLOW_INPUTS = ("outdoor_temp_c", "room_temp_c", "room2_temp_c")
DAMPING_HIGH_S = 10
DHW_PULSE_HIGH_ML = 250  # so coarse, a quarter of a minute passes before a closed tap is seen
# Inputs that are wired by site.json alone, and what an input of each unit may be.
MORE_INPUTS = {
    "substation": (
        "secondary2_supply_temp_c", "secondary2_return_temp_c", "room2_temp_c", "dhw_supply_temp_c",
        "dhw_tank_top_temp_c", "dhw_tank_bottom_temp_c", "dhw_circulation_temp_c", "dhw_flow_m3_h",
    ),
    "pump_station": ("index_dp_bar", "suction_pressure_bar"),
}  # fmt: skip


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e9 <= value <= 1e9:
        raise ValueError("%r must be a number" % (value,))
    return value


def points(value, x_unit, y_unit, low, high, falling):
    """Return x0, y0, x1, y1, ... in integers of fixed_point."""
    if not isinstance(value, list) or not POINTS_LOW <= len(value) <= POINTS_HIGH:
        raise ValueError("must be %d to %d points [outdoor, value]" % (POINTS_LOW, POINTS_HIGH))
    flat = []
    for point in value:
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError("%r must be a point [outdoor, value]" % (point,))
        x, y = _number(point[0]), _number(point[1])
        if not -40 <= x <= 40 or not low <= y <= high:
            raise ValueError("%r must lie between [-40, %s] and [40, %s]" % (point, low, high))
        x, y = int(round(x * per_unit(x_unit))), int(round(y * per_unit(y_unit)))
        if flat and x <= flat[-2]:
            raise ValueError("the outdoor temperatures must rise from point to point")
        if flat and falling and y > flat[-1]:
            raise ValueError("colder outside must never be cooler inside: the values must not rise")
        flat += [x, y]
    return tuple(flat)


def slope(value):
    """Return the points of {"slope": 0.2..3.2, "level_k": -30..30} (Samson's ranges [firmware.md R2])."""
    if not isinstance(value, dict) or set(value) - {"slope", "level_k"} or "slope" not in value:
        raise ValueError('must be {"slope": 0.2 to 3.2, "level_k": -30 to 30}')
    steep, level_k = _number(value["slope"]), _number(value.get("level_k", 0))
    if not 0.2 <= steep <= 3.2 or not -30 <= level_k <= 30:
        raise ValueError("%r: the slope must be 0.2 to 3.2 and the level -30 to 30 K" % (value,))
    return of_slope(int(round(steep * 1000)), int(round(level_k * 1000)))


def _minute(text):
    try:
        hour, minute = text.split(":")
        if len(hour) == 2 and len(minute) == 2:
            result = int(hour) * 60 + int(minute)
            if int(minute) < 60 and 0 <= result <= DAY_MIN:
                return result
    except (AttributeError, ValueError):
        pass
    raise ValueError("%r must be a time 00:00 to 24:00" % (text,))


def week(value):
    """Return seven tuples start, end, start, end, ... in minutes of the local day, from Monday on.

    value: {"mon-fri": ["06:00-09:00", "16:00-22:00"], "sat": [...]}; a day that is not named has no period.
    """
    if not isinstance(value, dict):
        raise ValueError('must be {"mon-fri": ["06:00-22:00"], ...}')
    days = [()] * 7
    for key, periods in value.items():
        ends = key.split("-")
        if len(ends) > 2 or not all(end in DAYS for end in ends):
            raise ValueError("%r must be a day or days such as mon-fri" % (key,))
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        if first > last:
            raise ValueError("%r must name the earlier day first" % (key,))
        if not isinstance(periods, list) or len(periods) > PERIODS_HIGH:
            raise ValueError("%s must have at most %d periods" % (key, PERIODS_HIGH))
        flat = []
        for period in periods:
            parts = period.split("-") if isinstance(period, str) else ()
            if len(parts) != 2:
                raise ValueError("%r must be a period such as 06:00-22:00" % (period,))
            start, end = _minute(parts[0]), _minute(parts[1])
            if start >= end or (flat and start < flat[-1]):
                raise ValueError("%r must begin before it ends, and after the period before it" % (period,))
            if flat and start == flat[-1]:
                flat[-1] = end  # two that touch are one: nothing ends in between
            else:
                flat += [start, end]
        for day in range(first, last + 1):
            days[day] = tuple(flat)
    return tuple(days)


def day_number(year, month, day):
    """Return the days since 1970-01-01 of a date of the Gregorian calendar."""
    year -= month < 3
    era_year = year % 400
    year_day = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return year // 400 * 146097 + era_year * 365 + era_year // 4 - era_year // 100 + year_day - 719468


def holidays(value):
    """Return first, last, first, last, ... as days since 1970. value: [["2026-12-24", "2027-01-02"], ...]."""
    if not isinstance(value, list) or len(value) > HOLIDAYS_HIGH:
        raise ValueError("must be at most %d pairs of dates" % HOLIDAYS_HIGH)
    flat = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("%r must be a pair of dates" % (pair,))
        for text in pair:
            try:
                year, month, day = (int(part) for part in text.split("-"))
                if not (2000 <= year <= 2099 and 1 <= month <= 12 and 1 <= day <= 31):
                    raise ValueError(text)
            except (AttributeError, ValueError):
                raise ValueError("%r must be a date such as 2026-12-24" % (text,)) from None
            flat.append(day_number(year, month, day))
        if flat[-2] > flat[-1]:
            raise ValueError("%r must begin before it ends" % (pair,))
    return tuple(flat)


def _carried(site, key, wanted, fits, instead, what):
    """Return wanted where the board's pins suffice for it, else what is done instead, with a mistake."""
    if fits:
        return wanted
    site._mistake(key, "%r: the board %s has no pins for %s; %r used" % (wanted, site.board, what, instead))
    return instead


def _read_pins(site, pins):
    """Hold what the site asks for against the pins of its board; what these do not carry is left out."""
    valves, pumps = len(pins.VALVES), len(pins.PUMPS)
    if site.circuits == 2:
        fits = valves >= 2 and pumps >= 2
        site.circuits = _carried(site, "heating_circuits", 2, fits, 1, "a second circuit")
    if site.dhw != "none":
        # the third valve is that of the DHW, pumps 2 and 3 are charging and circulation
        fits = valves >= 3 and pumps >= 4
        site.dhw = _carried(site, "dhw", site.dhw, fits, "none", "a DHW valve and two pumps")
    if site.pumps == 2:
        site.pumps = _carried(site, "pumps", 2, len(pins.SPEEDS) >= 2, 1, "a second pump")


def _fitting_inputs(site, pins):
    """Return the inputs that the board can read; each other one is a mistake and counts as not wired."""
    rows = []
    for row in site.inputs:
        name, channel, number, _ = row
        kind = KINDS[number]
        if kind == "ds18b20" and pins.ONE_WIRE is None:
            sentence = "the board %s has no 1-Wire bus for a ds18b20" % site.board
        elif kind == "pulses" and pins.PULSES is None:
            sentence = "the board %s has no pulse input" % site.board
        elif channel >= pins.CHANNELS:
            sentence = "channel %d: the board %s has channels 0 to %d" % (
                channel, site.board, pins.CHANNELS - 1,
            )  # fmt: skip
        else:
            rows.append(row)
            continue
        site._mistake("inputs", "%s: %s; it counts as not wired" % (name, sentence))
    return tuple(rows)


def read(site, registers, content, base, pins=None):
    """Take the functions' settings into site; return the names of the CONFIG registers that it has.

    base: the names of the profile's base rows. pins: the board's pin map, or None to hold nothing against it.
    """
    substation = site.profile == "substation"
    used = set(base)
    if substation:
        site.circuits = int(site.number("heating_circuits", 1, 1, 2, whole=True))
        site.dhw = site.choice("dhw", "none", DHW_KINDS)
        if pins:
            _read_pins(site, pins)
        switches = {row.name for row in registers.LIMITER_CONFIG}
        comfort = [row.name for row in registers.COMFORT_CONFIG]
        if site.circuits == 2:
            comfort += [row.name for row in registers.CIRCUIT2_CONFIG]
        if site.circuits == 2 or "schedule" in content or any(name in content for name in comfort):
            used.update(comfort)
        if site.dhw != "none":
            used.update(row.name for row in registers.DHW_CONFIG)
        if "capacity_heat_limit_kw" in content:
            used.add("capacity_window_s")
        _read_substation(site, content)
    else:
        site.dhw = "none"
        site.pumps = int(site.number("pumps", 1, 1, 2, whole=True))
        if pins:
            _read_pins(site, pins)
        switches = {row.name for row in registers.PUMP_STATION_OPTIONS}
        if site.pumps == 2:
            used.add("pump_change_s")
    switches |= used
    for name in SWITCHES:
        used.discard(name)
        if name in content and name in switches:
            used.add(name)
    wired = site.checked("inputs", inputs, site.profile, site.inputs)
    if wired:
        site.inputs, site.damping = wired
        if pins:
            site.inputs = _fitting_inputs(site, pins)
    _need_inputs(site, used)
    return used


def _read_substation(site, content):
    """Take the settings of a substation's functions that are no single CONFIG register."""
    if site.dhw != "none":
        site.priority = site.choice("dhw_priority", "parallel", PRIORITIES)
        site._kinds["dhw_valve_kind"] = site.choice("dhw_valve_kind", "three_point", VALVE_KINDS)
        site._weeks[2] = site.checked("dhw_schedule", week)
        site._weeks[3] = site.checked("circulation_schedule", week)
    for circuit in range(site.circuits):
        two = "2" if circuit else ""
        kind = "valve%s_kind" % two
        site._kinds[kind] = site.choice(kind, "three_point", VALVE_KINDS)
        site._weeks[circuit] = site.checked("schedule" + two, week)
        curve = site.checked("curve%s_slope" % two, slope)
        if curve and "curve%s_points" % two in content:
            site._mistake("curve%s_slope" % two, "is given beside curve%s_points, which are used" % two)
        elif curve:
            site._lines["curve%s_points" % two] = curve
        if circuit:
            site._controllers[1] = (
                int(site.number("proportional2_band_k", 80, 5, 300) * 1000),
                int(site.number("integral2_time_s", 60, 5, 3600) * 1000),
            )
    for row in LINES:
        if row[0] != "curve2_points" or site.circuits == 2:
            line = site.checked(row[0], points, *row[1:])
            if line:
                site._lines[row[0]] = line
    site.holidays = site.checked("holidays", holidays) or ()
    site.utc_offset_min = int(site.number("utc_offset_min", 60, -720, 840, whole=True))
    site.summer_time = site.choice("summer_time", "eu", SUMMER_TIMES)


def _need_inputs(site, used):
    """Name the inputs without which a function of this site has nothing to go by, or the site itself."""
    needed = [row for row in NEEDS if row[0] in used]
    needed.append(("inputs", "secondary_supply_temp_c" if site.circuits else "plant_dp_bar"))
    if site.circuits == 2:
        needed.append(("heating_circuits", "secondary2_supply_temp_c"))
    if site.dhw != "none":
        needed.append(("dhw", "dhw_supply_temp_c"))
    if site.dhw in ("storage", "storage_charging"):
        needed.append(("dhw", "dhw_tank_top_temp_c"))
    wired = [row[0] for row in site.inputs]
    for key, name in needed:
        if name not in wired:
            site._mistake(key, "needs the input %s; it counts as lost" % name)


def _fits(channel, kind):
    """Say whether a channel has the terminals of this kind: see `boards`."""
    if kind == "pulses":
        return channel == 12
    if channel < 6:
        return kind in ("pt1000", "ntc10k")
    return channel > 7 or kind == "4-20ma"


def _rom(text):
    try:
        number = int(text, 16)
        if len(text) == 16 and number >> 56 == 0x28:
            return number
    except (TypeError, ValueError):
        pass
    raise ValueError("rom %r must be the 16 hexadecimal digits of a DS18B20, 28 first" % (text,))


def inputs(value, profile, standard):
    """Return (input rows, {register: damping in ms}).

    value: {register: null} takes an input off; {register: {"channel": 0..14, "kind": ..., "span": ...,
    "damping_s": ..., "rom": ...}} wires one. span: full scale in the register's unit, or litres for each
    pulse; rom: the number of a DS18B20, which stands in its row as the span.
    """
    if not isinstance(value, dict):
        raise ValueError("must be an object of registers")
    rows = {row[0]: row for row in standard}
    damped = {}
    for name, wiring in value.items():
        if name not in rows and name not in MORE_INPUTS[profile]:
            raise ValueError("%s is no input of a %s" % (name, profile))
        if wiring is None:
            rows.pop(name, None)
            continue
        if not isinstance(wiring, dict) or set(wiring) - {"channel", "kind", "span", "damping_s", "rom"}:
            raise ValueError("%s must have channel, kind, span, damping_s and rom only" % name)
        usual = rows.get(name, (name, None, 0, 0))
        channel = wiring.get("channel", usual[1])
        if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel <= 14:
            raise ValueError("%s: channel %r must be 0 to 14" % (name, channel))
        kind = KINDS[usual[2]] if "kind" not in wiring else wiring["kind"]
        if kind not in KINDS:
            raise ValueError("%s: kind %r must be one of %s" % (name, kind, ", ".join(KINDS)))
        if not _fits(channel, kind):
            raise ValueError("%s: a %s cannot be wired to channel %d" % (name, kind, channel))
        temperature = name.endswith("_temp_c")
        if temperature != (kind in ("pt1000", "ntc10k", "ds18b20")):
            raise ValueError("%s cannot be read by a %s" % (name, kind))
        if kind == "pulses" and not name.endswith("_m3_h"):
            raise ValueError("%s cannot be read by pulses" % name)
        span = usual[3]
        if "span" in wiring:
            span = int(round(_number(wiring["span"]) * 1000))
        if not temperature and not 0 < span <= 600_000:
            raise ValueError("%s needs a span above 0: full scale, or litres for each pulse" % name)
        if name == "dhw_flow_m3_h" and kind == "pulses" and span > DHW_PULSE_HIGH_ML:
            raise ValueError("%s: pulses of more than %d ml show a tap too late" % (name, DHW_PULSE_HIGH_ML))
        if kind == "ds18b20":
            span = _rom(wiring["rom"]) if "rom" in wiring else 0
        elif "rom" in wiring:
            raise ValueError("%s: only a ds18b20 has a rom" % name)
        damping_s = _number(wiring.get("damping_s", 0))
        most_s = 86_400 if name in SLOW_INPUTS else DAMPING_HIGH_S
        if not 0 <= damping_s <= most_s:
            raise ValueError("%s: damping_s %r must be 0 to %d" % (name, damping_s, most_s))
        if damping_s:
            damped[name] = int(damping_s * 1000)
        rows[name] = (name, channel, KINDS.index(kind), span)
    taken = {}
    for name, channel, _, _ in rows.values():
        if channel in taken:
            raise ValueError("%s and %s are both on channel %d" % (taken[channel], name, channel))
        taken[channel] = name
    roms = [row[3] for row in rows.values() if KINDS[row[2]] == "ds18b20"]
    if len(roms) > 1 and (0 in roms or len(set(roms)) < len(roms)):
        raise ValueError("of several ds18b20 each needs its own rom: by number alone they are told apart")
    order = [row[0] for row in standard] + list(MORE_INPUTS[profile])
    return tuple(rows[name] for name in order if name in rows), damped
