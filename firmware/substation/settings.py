"""What the loops take from site.json after it was checked: values, lines, weeks, wiring.

It refuses to check: `site` has done so, and is let go of before the loops are loaded.
"""

from .fixed_point import per_unit

PUMP_STATION = "pump_station"


class Settings:
    """Plain attributes, set by `site`; read while booting only."""

    pump_pwm = ()  # (circuit, profile, speed in basis points, feedback) of pumps commanded by pulses
    legacy = None  # (source, addresses, lease in s) of who may write without a proof

    def __init__(self):
        self.profile = self.dhw = self.priority = self.summer_time = ""
        self.circuits = self.pumps = self.utc_offset_min = 0
        self.holidays = self.inputs = self.mbus_meters = ()
        self.mbus_baud = self.tls_port = 0
        self.tls_alone = False
        self.limits = (
            0,
            False,
            0,
        )  # version of the limit bundle in force, on trial, why the last was given up
        self.damping = {}
        self._value = {}
        self._lines = {}
        self._kinds = {}
        self._weeks = [None, None, None, None]
        self._controllers = []

    def copy(self):
        """Return the same settings without the code that checked them."""
        plain = Settings()
        for name, value in self.__dict__.items():
            setattr(plain, name, value)
        return plain

    def fixed(self, name):
        """Return a CONFIG register's value in fixed_point's units; KeyError where it is unused."""
        return int(round(self._value[name] * per_unit(name)))

    def option(self, name):
        """Return a CONFIG register of an optional function like fixed(), or None where it is not used."""
        return self.fixed(name) if name in self._value else None

    def names(self):
        """Return the CONFIG registers that this site has."""
        return self._value.keys()

    def points(self, key):
        """Return the points of a line as one tuple of integers, or None where the file has none."""
        return self._lines.get(key)

    def curve(self, number):
        """Return the points of heating curve 0 or 1, or of the plant's own curve."""
        two = "2" if number else ""
        points = self._lines.get("curve%s_points" % two)
        if points:
            return points
        prefix = "plant_curve" if self.profile == PUMP_STATION else "curve" + two
        ends = ("cold_outdoor_temp_c", "cold_supply_temp_c", "warm_outdoor_temp_c", "warm_supply_temp_c")
        return tuple(self.fixed("%s_%s" % (prefix, end)) for end in ends)

    def schedule(self, number):
        """Return the week of circuit 0 or 1, of the DHW (2) or its circulation (3), or None."""
        return self._weeks[number]

    def kind(self, name):
        """Return the kind of a valve, one of site_functions.VALVE_KINDS."""
        return self._kinds[name]

    def controller(self, number):
        """Return (proportional band in 0.001 K, integral time in ms) of a heating circuit."""
        return self._controllers[number]

    @property
    def uses_time(self):
        """Whether any function asks for the time of day."""
        return self.dhw != "none" or any(week is not None for week in self._weeks)
