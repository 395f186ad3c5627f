"""What this one device is: site.json, checked once at boot.

Every mistake is named with its key, value and allowed range, and its key falls back to a default
that keeps the house warm; the device then runs as a safe start that accepts no orders. It refuses
to let a bad file stop the heating.
"""

import hashlib

from .sensors import LOOP, PT1000
from .settings import Settings

FORMAT = "toplovod-device/2"
SUBSTATION = "substation"
PUMP_STATION = "pump_station"
SLOTS = (
    "supervisor",
    "standby",
    "technician",
    "utility",
)  # of keys, as in order_frame, which is loaded later

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
RTU_BAUDS = (0, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)  # 0: no serial line
RTU_PARITIES = ("even", "odd", "none")

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


DP_SPAN_MBAR = 16_000
SUBSTATION_FLOW_SPAN_L_H = 20_000
PUMP_STATION_FLOW_SPAN_L_H = 500_000

# (register, board channel, kind, span of a loop or voltage or ml per pulse). These are wired unless site.json
# says otherwise; more inputs are wired by it alone.
SUBSTATION_INPUTS = (
    ("outdoor_temp_c", 0, PT1000, 0),
    ("primary_supply_temp_c", 1, PT1000, 0),
    ("primary_return_temp_c", 2, PT1000, 0),
    ("secondary_supply_temp_c", 3, PT1000, 0),
    ("secondary_return_temp_c", 4, PT1000, 0),
    ("room_temp_c", 5, PT1000, 0),
    ("primary_dp_bar", 6, LOOP, DP_SPAN_MBAR),
    ("primary_flow_m3_h", 7, LOOP, SUBSTATION_FLOW_SPAN_L_H),
)
PUMP_STATION_INPUTS = (
    ("outdoor_temp_c", 0, PT1000, 0),
    ("plant_supply_temp_c", 1, PT1000, 0),
    ("plant_return_temp_c", 2, PT1000, 0),
    ("plant_dp_bar", 6, LOOP, DP_SPAN_MBAR),
    ("plant_flow_m3_h", 7, LOOP, PUMP_STATION_FLOW_SPAN_L_H),
)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Site(Settings):
    """The checked settings. mistakes lists (key, sentence); empty means the file was taken whole."""

    def __init__(self, content, board_device_id, boards, default_board, pin_map=None):
        """content: the parsed JSON, or a string saying why there is none. boards: the names there are.
        pin_map: from a board's name to its pins; without it nothing is held against them."""
        from . import registers  # not kept: see register_bank

        super().__init__()
        self.mistakes = []
        if not isinstance(content, dict):
            self._mistake("site.json", content if isinstance(content, str) else "is not an object")
            content = {}
        elif content.get("format") != FORMAT:
            self._mistake("format", "is %r, must be %r" % (content.get("format"), FORMAT))
        self._content = content
        self._known = {"format", "network", "name", "device_id", "epochs", "modbus_address"}
        taken = content.get
        number = self.number

        self.profile = self.choice("profile", SUBSTATION, (SUBSTATION, PUMP_STATION))
        self.board = self.choice("board", default_board, boards)
        self.name = str(taken("name", "unnamed"))[:32]
        self.device_id = self._device_id(taken("device_id"), board_device_id)
        self.modbus_port = int(number("modbus_port", 502, 1, 65535, whole=True))
        self.modbus_unit = int(number("modbus_unit", 1, 1, 247, whole=True))
        self.modbus_address = str(taken("modbus_address", "0.0.0.0"))
        # another TCP port where RTU frames are spoken, for gateways that only pass bytes on; 0: none
        self.rtu_tcp_port = int(number("rtu_tcp_port", 0, 0, 65535, whole=True))
        if self.rtu_tcp_port == self.modbus_port:
            self._mistake("rtu_tcp_port", "%d is modbus_port already; 0 used" % self.rtu_tcp_port)
            self.rtu_tcp_port = 0
        if "tls_port" in content or "tls_alone" in content:
            from . import site_tls

            site_tls.read(self)
        self.rtu_baud = self.choice("rtu_baud", 0, RTU_BAUDS)
        self.rtu_parity = self.choice("rtu_parity", "even", RTU_PARITIES)
        # a character has 11 bits whatever the parity: serial line guide V1.02, 2.5.1
        self.rtu_stop_bits = self.choice("rtu_stop_bits", 2 if self.rtu_parity == "none" else 1, (1, 2))
        self.rtu_unit = int(number("rtu_unit", self.modbus_unit, 1, 247, whole=True))
        self.network = taken("network") if isinstance(taken("network"), dict) else {}
        self.epochs = self._epochs(taken("epochs", {}))
        self.deficit_budget_mkh = int(number("deficit_budget_kh", DEFICIT_BUDGET_KH, 0, 655) * 1000)
        if "legacy" in content:
            from . import site_legacy

            site_legacy.read(self, registers)
        proportional_band_mk = int(number("proportional_band_k", PROPORTIONAL_BAND_K, 5, 300) * 1000)
        integral_time_ms = int(number("integral_time_s", INTEGRAL_TIME_S, 5, 3600) * 1000)
        self._controllers = [(proportional_band_mk, integral_time_ms)] * 2
        substation = self.profile == SUBSTATION
        self.inputs = SUBSTATION_INPUTS if substation else PUMP_STATION_INPUTS
        base = registers.SUBSTATION_CONFIG if substation else registers.PUMP_STATION_CONFIG
        used = {row.name for row in base}
        defaults = dict(DEFAULTS)
        ordered = ORDERED
        if substation and ("mbus_baud" in content or "mbus_meters" in content):
            # not with the other functions: their names would stay in the heap
            from . import site_meters

            site_meters.read(self)
        by_pulses = substation and ("pump_pwm" in content or "pump2_pwm" in content)
        if by_pulses:
            self._known.update(("pump_pwm", "pump2_pwm"))
        if self._plain(used):
            self.circuits, self.pumps = (1, 0) if substation else (0, 1)
            self.dhw = "none"
            self._kinds = {"valve_kind": "three_point"}
        else:
            from . import site_functions

            pins = pin_map(self.board) if pin_map else None
            used = site_functions.read(self, registers, content, used, pins)
            defaults.update(site_functions.OPTION_DEFAULTS)
            ordered += site_functions.OPTION_ORDERED
        if by_pulses:
            from . import site_pumps

            site_pumps.read(self, pin_map(self.board) if pin_map else None)
        rows = [
            row
            for row in registers.BY_PROFILE[self.profile]
            if row.access == registers.CONFIG and self._takes(row.name, used)
        ]
        value = {r.name: number(r.name, defaults.get(r.name), r.low, r.high) for r in rows}
        rows = [r for r in rows if value[r.name] is not None]
        value = {r.name: value[r.name] for r in rows}
        for low, high in ordered:
            if low in value and high in value and value[low] >= value[high]:
                self._mistake(
                    low, "%s must be below %s = %s; defaults used for both" % (value[low], high, value[high])
                )
                if low in defaults and high in defaults:
                    value[low], value[high] = defaults[low], defaults[high]
                else:
                    value[low] = value[high]
        for key in content:
            if key not in self._known:
                self._mistake(key, "is not a setting of a %s" % self.profile)
        self._value = value
        self.limits_hash = self._digest(rows, registers)
        self._content = self._known = None

    def _plain(self, base):
        """Say whether the file names nothing beyond the base: then the functions' checks are not loaded."""
        return all(key in self._known or key in base for key in self._content)

    def _takes(self, name, used):
        """Say whether the CONFIG register is one of this site's; a value for another is a mistake."""
        if name in used:
            return True
        if name in self._content:
            self._known.add(name)
            self._mistake(name, "is a setting of a function that this site does not have")
        return False

    def choice(self, key, default, allowed):
        """Return the setting when it is one of those allowed, else the default, with a mistake."""
        self._known.add(key)
        value = self._content.get(key, default)
        if value in allowed and not isinstance(value, bool):
            return value
        known_ones = ", ".join(str(one) for one in allowed)
        self._mistake(key, "%r is none of %s; %r used" % (value, known_ones, default))
        return default

    def number(self, key, default, low, high, whole=False):
        """Return the setting when it is a number from low to high, else the default, with a mistake."""
        self._known.add(key)
        value = self._content.get(key, default)
        if _is_number(value) and low <= value <= high and (not whole or value == int(value)):
            return value
        kind = "a whole number" if whole else "a number"
        instead = "left out" if default is None else "%s used" % default
        self._mistake(key, "%r must be %s between %s and %s; %s" % (value, kind, low, high, instead))
        return default

    def checked(self, key, check, *how):
        """Return what check makes of the setting, or None where there is none or a wrong one."""
        self._known.add(key)
        if key not in self._content:
            return None
        try:
            return check(self._content[key], *how)
        except ValueError as error:
            self._mistake(key, "%s; left out" % error)
            return None

    def _mistake(self, key, sentence):
        self.mistakes.append((key, sentence))

    def _device_id(self, text, board_device_id):
        try:
            device_id = bytes(int(text[i : i + 2], 16) for i in range(0, 16, 2))
            if len(text) == 16:
                return device_id
        except (KeyError, TypeError, ValueError):
            pass
        self._mistake("device_id", "%r must be 16 hexadecimal digits; the chip's own identity used" % (text,))
        return (bytes(board_device_id) + bytes(8))[:8]

    def _epochs(self, epochs):
        """Return the lowest epoch of each slot, in the order of the slots. epochs: {slot: number}."""
        floors = [1] * 4
        try:
            for slot, epoch in epochs.items():
                if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch <= 65534:
                    raise ValueError(epoch)
                floors[SLOTS.index(slot)] = epoch
            return floors
        except (AttributeError, ValueError):
            pass
        # the highest floor: with a damaged key setting nobody gives orders
        self._mistake(
            "epochs",
            "%r must be an object with whole numbers between 0 and 65534 for any of %s; no order is accepted"
            % (epochs, ", ".join(SLOTS)),
        )
        return [65534] * 4

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


def read(path, board_device_id, boards, persistence=None):
    """Return the Site of the file at path; prints each mistake on the console. boards: their package.

    persistence: where a limit bundle may be noted that is laid over it; None for the file alone.
    """
    import json

    try:
        with open(path) as file:
            content = json.load(file)
    except OSError as error:
        content = "cannot be read (%s)" % error
    except ValueError:
        content = "is not valid JSON"
    if isinstance(content, dict) and content.get("format") != FORMAT:
        from .site_migrations import taken

        content = taken(path, content, FORMAT, persistence is not None)

    def make(settings):
        try:
            return Site(settings, board_device_id, boards.names_for(settings), *how)
        except Exception as error:  # what no check has thought of: never a house without a program
            return Site("cannot be taken (%r)" % error, board_device_id, boards.NAMES, *how)

    how = (boards.default_name(), boards.pin_map)

    if persistence is not None and isinstance(content, dict) and persistence.load("limits") is not None:
        from .bundled_limits import settle

        site = settle(persistence, content, make)
    else:
        site = make(content)
    for key, sentence in site.mistakes:
        print("site.json: %s: %s" % (key, sentence))
    if site.mistakes:
        print(
            "site.json: safe start on defaults; heating goes on, orders are refused (alarm config_rejected)"
        )
    return site
