"""What this one device is: site.json, checked once at boot.

Every mistake is named with its key, value and allowed range, and its key falls back to a default
that keeps the house warm; the device then runs as a safe start that accepts no orders. It refuses
to let a bad file stop the heating.
"""

import hashlib

from .settings import Settings

FORMAT = "toplovod-device/1"
SUBSTATION = "substation"
PUMP_STATION = "pump_station"

# Defaults for a file without the key. Estimates, chosen so that any of them keeps a house warm.
DEFAULTS = {
    "curve_cold_outdoor_temp_c": -15, "curve_cold_supply_temp_c": 75,
    "curve_warm_outdoor_temp_c": 18, "curve_warm_supply_temp_c": 30,
    "supply_temp_minimum_c": 20, "supply_temp_maximum_c": 85,
    "contract_flow_limit_m3_h": 20, "return_limit_temp_c": 65, "valve_stroke_s": 120,
    "frost_outdoor_temp_c": 3, "frost_supply_temp_c": 10,
    "curve_shift_minimum_k": -15, "curve_shift_maximum_k": 15,
    "own_plant_dp_bar": 1.5, "plant_dp_minimum_bar": 0.4, "plant_dp_maximum_bar": 6,
    "plant_supply_temp_minimum_c": 65, "plant_supply_temp_maximum_c": 120, "pump_speed_minimum_pct": 20,
    "plant_curve_cold_outdoor_temp_c": -15, "plant_curve_cold_supply_temp_c": 105,
    "plant_curve_warm_outdoor_temp_c": 15, "plant_curve_warm_supply_temp_c": 75,
}  # fmt: skip
DEFICIT_BUDGET_KH = 48  # 2 K below the own curve the whole day: about 1 K in the room [estimate]
PROPORTIONAL_BAND_K = 80  # Danfoss ECL 110: Xp 80 K, Tn 30 s, for a valve of 35 s
INTEGRAL_TIME_S = 60

# (lower key, higher key): the first must be below the second
ORDERED = (
    ("curve_cold_outdoor_temp_c", "curve_warm_outdoor_temp_c"),
    ("curve_warm_supply_temp_c", "curve_cold_supply_temp_c"),
    ("supply_temp_minimum_c", "supply_temp_maximum_c"),
    ("frost_supply_temp_c", "supply_temp_maximum_c"),
    ("plant_dp_minimum_bar", "plant_dp_maximum_bar"),
    ("plant_supply_temp_minimum_c", "plant_supply_temp_maximum_c"),
    ("plant_curve_cold_outdoor_temp_c", "plant_curve_warm_outdoor_temp_c"),
    ("plant_curve_warm_supply_temp_c", "plant_curve_cold_supply_temp_c"),
)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Site(Settings):
    """The checked settings. mistakes lists (key, sentence); empty means the file was taken whole."""

    def __init__(self, content, board_device_id, boards, default_board):
        """content: the parsed JSON, or a string saying why there is none."""
        from . import registers  # not kept: see register_bank
        from . import site_functions as functions

        super().__init__()
        self.mistakes = []
        if not isinstance(content, dict):
            self._mistake("site.json", content if isinstance(content, str) else "is not an object")
            content = {}
        elif content.get("format") != FORMAT:
            self._mistake("format", "is %r, must be %r" % (content.get("format"), FORMAT))
        known = {"format", "network"}
        taken = content.get

        def choice(key, default, allowed):
            known.add(key)
            value = taken(key, default)
            if value in allowed:
                return value
            self._mistake(key, "%r is none of %s; %r used" % (value, ", ".join(allowed), default))
            return default

        def number(key, default, low, high, whole=False):
            known.add(key)
            value = taken(key, default)
            if _is_number(value) and low <= value <= high and (not whole or value == int(value)):
                return value
            self._mistake(
                key,
                "%r must be %s between %s and %s; %s"
                % (
                    value,
                    "a whole number" if whole else "a number",
                    low,
                    high,
                    "left out" if default is None else "%s used" % default,
                ),
            )
            return default

        self.profile = choice("profile", SUBSTATION, (SUBSTATION, PUMP_STATION))
        self.board = choice("board", default_board, boards)
        self.name = str(taken("name", "unnamed"))[:32]
        self.device_id = self._device_id(taken("device_id"), board_device_id)
        known.update(("name", "device_id", "epochs"))
        self.modbus_port = int(number("modbus_port", 502, 1, 65535, whole=True))
        self.modbus_unit = int(number("modbus_unit", 1, 1, 247, whole=True))
        self.modbus_address = str(taken("modbus_address", "0.0.0.0"))
        known.add("modbus_address")
        self.network = taken("network") if isinstance(taken("network"), dict) else {}
        self.epochs = self._epochs(taken("epochs", [1, 1, 1, 1]))
        self.deficit_budget_mkh = int(number("deficit_budget_kh", DEFICIT_BUDGET_KH, 0, 655) * 1000)
        self.proportional_band_mk = int(number("proportional_band_k", PROPORTIONAL_BAND_K, 5, 300) * 1000)
        self.integral_time_ms = int(number("integral_time_s", INTEGRAL_TIME_S, 5, 3600) * 1000)

        def checked(key, check, *how):
            """Return what check makes of the setting, or None where there is none or a wrong one."""
            known.add(key)
            if key not in content:
                return None
            try:
                return check(content[key], *how)
            except ValueError as error:
                self._mistake(key, "%s; left out" % error)
                return None

        substation = self.profile == SUBSTATION
        self.circuits = int(number("heating_circuits", 1, 1, 2, whole=True)) if substation else 0
        self.dhw = choice("dhw", "none", functions.DHW_KINDS) if substation else "none"
        self.pumps = 0 if substation else int(number("pumps", 1, 1, 2, whole=True))
        used = self._used(registers, content)
        self._controllers = [(self.proportional_band_mk, self.integral_time_ms)] * 2
        if substation:
            self._read_functions(content, functions, choice, number, checked)
        else:
            self.utc_offset_min, self.summer_time, self.priority = 0, "none", "parallel"
        wired = checked("inputs", functions.inputs, self.profile)
        self.inputs, self.damping = wired or (functions.standard_inputs(self.profile), {})

        rows = [r for r in registers.BY_PROFILE[self.profile] if r.access == registers.CONFIG]
        unused = [r.name for r in rows if r.name not in used and r.name in content]
        for key in unused:
            self._mistake(key, "is a setting of a function that this site does not have")
        known.update(unused)
        rows = [r for r in rows if r.name in used]
        defaults = dict(DEFAULTS)
        defaults.update(functions.OPTION_DEFAULTS)
        value = {r.name: number(r.name, defaults.get(r.name), r.low, r.high) for r in rows}
        rows = [r for r in rows if value[r.name] is not None]
        value = {r.name: value[r.name] for r in rows}
        for low, high in ORDERED + functions.OPTION_ORDERED:
            if low in value and high in value and value[low] >= value[high]:
                self._mistake(
                    low, "%s must be below %s = %s; defaults used for both" % (value[low], high, value[high])
                )
                if low in defaults and high in defaults:
                    value[low], value[high] = defaults[low], defaults[high]
                else:
                    value[low] = value[high]
        self._need_inputs()
        for key in content:
            if key not in known:
                self._mistake(key, "is not a setting of a %s" % self.profile)
        self._value = value
        self.limits_hash = self._digest(rows, registers)

    def _mistake(self, key, sentence):
        self.mistakes.append((key, sentence))

    def _device_id(self, text, board_device_id):
        try:
            device_id = bytes(int(text[i : i + 2], 16) for i in range(0, 16, 2))
            if len(text) == 16:
                return device_id
        except (TypeError, ValueError):
            pass
        self._mistake("device_id", "%r must be 16 hexadecimal digits; the chip's own identity used" % (text,))
        return (bytes(board_device_id) + bytes(8))[:8]

    def _epochs(self, epochs):
        if (
            isinstance(epochs, list)
            and len(epochs) == 4
            and all(isinstance(e, int) and not isinstance(e, bool) and 0 <= e <= 65534 for e in epochs)
        ):
            return epochs
        # the highest floor: with a damaged key setting nobody gives orders
        self._mistake(
            "epochs", "%r must be four whole numbers between 0 and 65534; no order is accepted" % (epochs,)
        )
        return [65534] * 4

    def _used(self, registers, content):
        """Return the names of the CONFIG rows that this site's functions have."""
        from .site_functions import SWITCHES

        if self.profile == PUMP_STATION:
            used = {r.name for r in registers.PUMP_STATION_CONFIG}
            if self.pumps == 2:
                used.add("pump_change_s")
            switches = {r.name for r in registers.PUMP_STATION_OPTIONS}
        else:
            used = {r.name for r in registers.SUBSTATION_CONFIG + registers.COMFORT_CONFIG}
            used.add("valve_starts_hour_maximum_count")
            if self.circuits == 2:
                used.update(r.name for r in registers.CIRCUIT2_CONFIG)
            if self.dhw != "none":
                used.update(r.name for r in registers.DHW_CONFIG)
            if "capacity_heat_limit_kw" in content:
                used.add("capacity_window_s")
            switches = used | {r.name for r in registers.LIMITER_CONFIG}
        for name in SWITCHES:
            used.discard(name)
            if name in content and name in switches:
                used.add(name)
        return used

    def _need_inputs(self):
        """Name the inputs without which a function of this site has nothing to go by."""
        needed = []
        if self.circuits == 2:
            needed.append(("heating_circuits", "secondary2_supply_temp_c"))
        if self.dhw != "none":
            needed.append(("dhw", "dhw_supply_temp_c"))
        if self.dhw in ("storage", "storage_charging"):
            needed.append(("dhw", "dhw_tank_top_temp_c"))
        wired = [row[0] for row in self.inputs]
        for key, name in needed:
            if name not in wired:
                self._mistake(key, "needs the input %s; it counts as lost" % name)

    def _read_functions(self, content, functions, choice, number, checked):
        """Take the settings of a substation's optional functions that are no single CONFIG register."""
        self.priority = "parallel"
        if self.dhw != "none":
            self.priority = choice("dhw_priority", "parallel", functions.PRIORITIES)
            self._kinds["dhw_valve_kind"] = choice("dhw_valve_kind", "three_point", functions.VALVE_KINDS)
            self._weeks[2] = checked("dhw_schedule", functions.week)
            self._weeks[3] = checked("circulation_schedule", functions.week)
        for circuit in range(self.circuits):
            two = "2" if circuit else ""
            kind = "valve%s_kind" % two
            self._kinds[kind] = choice(kind, "three_point", functions.VALVE_KINDS)
            self._weeks[circuit] = checked("schedule" + two, functions.week)
            slope = checked("curve%s_slope" % two, functions.slope)
            if slope and "curve%s_points" % two in content:
                self._mistake("curve%s_slope" % two, "is given beside curve%s_points, which are used" % two)
            elif slope:
                self._lines["curve%s_points" % two] = slope
            if circuit:
                self._controllers[1] = (
                    int(number("proportional2_band_k", PROPORTIONAL_BAND_K, 5, 300) * 1000),
                    int(number("integral2_time_s", INTEGRAL_TIME_S, 5, 3600) * 1000),
                )
        for row in functions.LINES:
            if row[0] != "curve2_points" or self.circuits == 2:
                line = checked(row[0], functions.points, *row[1:])
                if line:
                    self._lines[row[0]] = line
        self.holidays = checked("holidays", functions.holidays) or ()
        self.utc_offset_min = int(number("utc_offset_min", 60, -720, 840, whole=True))
        self.summer_time = choice("summer_time", "eu", functions.SUMMER_TIMES)

    def _digest(self, rows, registers):
        """Return the first 32 bits of SHA-256 over b"toplovod limits 1", the raw words of each CONFIG
        register the site has, in map order, the deficit budget in 0.01 K h as one word, and each line over
        the outdoors the site has, in the order of their names: the name, every number as four bytes."""
        digest = hashlib.sha256(b"toplovod limits 1")
        for row in rows:
            for word in registers.words_of_raw(row, registers.to_raw(row, self._value[row.name])):
                digest.update(word.to_bytes(2, "big"))
        digest.update((self.deficit_budget_mkh // 10).to_bytes(2, "big"))
        for key in sorted(self._lines):
            digest.update(key.encode())
            for number in self._lines[key]:
                digest.update((number & 0xFFFFFFFF).to_bytes(4, "big"))
        return int.from_bytes(digest.digest()[:4], "big")


def read(path, board_device_id, boards, default_board):
    """Return the Site of the file at path; prints each mistake on the console."""
    import json

    try:
        with open(path) as file:
            content = json.load(file)
    except OSError as error:
        content = "cannot be read (%s)" % error
    except ValueError:
        content = "is not valid JSON"
    site = Site(content, board_device_id, boards, default_board)
    for key, sentence in site.mistakes:
        print("site.json: %s: %s" % (key, sentence))
    if site.mistakes:
        print(
            "site.json: safe start on defaults; heating goes on, orders are refused (alarm config_rejected)"
        )
    return site
