"""What this one device is: site.json, checked once at boot.

Every mistake is named with its key, value and allowed range, and its key falls back to a default
that keeps the house warm; the device then runs as a safe start that accepts no orders. It refuses
to let a bad file stop the heating.
"""

import hashlib

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


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Site:
    """The checked settings. mistakes lists (key, sentence); empty means the file was taken whole."""

    def __init__(self, content, board_device_id, boards, default_board):
        """content: the parsed JSON, or a string saying why there is none."""
        from . import registers  # not kept: see register_bank

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
            if value in allowed and not isinstance(value, bool):
                return value
            known_ones = ", ".join(str(one) for one in allowed)
            self._mistake(key, "%r is none of %s; %r used" % (value, known_ones, default))
            return default

        def number(key, default, low, high, whole=False):
            known.add(key)
            value = taken(key, default)
            if _is_number(value) and low <= value <= high and (not whole or value == int(value)):
                return value
            self._mistake(
                key,
                "%r must be %s between %s and %s; %s used"
                % (value, "a whole number" if whole else "a number", low, high, default),
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
        # another TCP port where RTU frames are spoken, for gateways that only pass bytes on; 0: none
        self.rtu_tcp_port = int(number("rtu_tcp_port", 0, 0, 65535, whole=True))
        if self.rtu_tcp_port == self.modbus_port:
            self._mistake("rtu_tcp_port", "%d is modbus_port already; 0 used" % self.rtu_tcp_port)
            self.rtu_tcp_port = 0
        self.rtu_baud = choice("rtu_baud", 0, RTU_BAUDS)
        self.rtu_parity = choice("rtu_parity", "even", RTU_PARITIES)
        # a character has 11 bits whatever the parity: serial line guide V1.02, 2.5.1
        self.rtu_stop_bits = choice("rtu_stop_bits", 2 if self.rtu_parity == "none" else 1, (1, 2))
        self.rtu_unit = int(number("rtu_unit", self.modbus_unit, 1, 247, whole=True))
        self.network = taken("network") if isinstance(taken("network"), dict) else {}
        self.epochs = self._epochs(taken("epochs", [1, 1, 1, 1]))
        self.deficit_budget_mkh = int(number("deficit_budget_kh", DEFICIT_BUDGET_KH, 0, 655) * 1000)
        self.proportional_band_mk = int(number("proportional_band_k", PROPORTIONAL_BAND_K, 5, 300) * 1000)
        self.integral_time_ms = int(number("integral_time_s", INTEGRAL_TIME_S, 5, 3600) * 1000)

        rows = [r for r in registers.BY_PROFILE[self.profile] if r.access == registers.CONFIG]
        value = {r.name: number(r.name, DEFAULTS[r.name], r.low, r.high) for r in rows}
        for low, high in ORDERED:
            if low in value and value[low] >= value[high]:
                self._mistake(
                    low, "%s must be below %s = %s; defaults used for both" % (value[low], high, value[high])
                )
                value[low], value[high] = DEFAULTS[low], DEFAULTS[high]
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

    def fixed(self, name):
        """Return a CONFIG register's value in the integer units of fixed_point."""
        from .fixed_point import per_unit

        return int(round(self._value[name] * per_unit(name)))

    def names(self):
        """Return the CONFIG registers of this profile."""
        return self._value.keys()

    def _digest(self, rows, registers):
        """Return the first 32 bits of SHA-256 over b"toplovod limits 1", each CONFIG register's raw word
        in map order, and the deficit budget in 0.01 K h as one word."""
        digest = hashlib.sha256(b"toplovod limits 1")
        for row in rows:
            digest.update((registers.to_raw(row, self._value[row.name]) & 0xFFFF).to_bytes(2, "big"))
        digest.update((self.deficit_budget_mkh // 10).to_bytes(2, "big"))
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
