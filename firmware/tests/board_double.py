"""A board whose terminals a test sets in engineering values, and whose outputs it can read."""

from __future__ import annotations

from firmware.substation.sensors import resistance_mohm

OPEN_MOHM = 1_000_000_000

SUBSTATION_SPANS = {6: 16.0, 7: 20.0}
PUMP_STATION_SPANS = {6: 16.0, 7: 500.0}


class BoardDouble:
    """Keeps account of the time the valve's relays were on, by the counter given."""

    reset_cause = 1
    device_id = bytes(8)

    def __init__(self, ticks, spans=SUBSTATION_SPANS):
        self._ticks = ticks
        self._spans = spans
        self.mohm = [OPEN_MOHM] * 15
        self.ua = [0] * 15
        self.volts_bp = {}
        self.direction = 0
        self._since = 0
        self.moved_ms = 0  # opening counts up, closing down
        self.switches = 0
        self.pumps = {}
        self.speeds_bp = [0, 0]
        self.demand_bp = 0
        self.pressed = False
        self.samples = 0
        self.pulses = {}  # channel -> counted since boot
        self.others = {}  # number of a further valve -> the board double that keeps account of it

    def set_temp(self, channel, temp_c):
        self.mohm[channel] = OPEN_MOHM if temp_c is None else resistance_mohm(temp_c)

    def set_loop(self, channel, value):
        self.ua[channel] = 0 if value is None else round(4000 + 16000 * value / self._spans[channel])

    def sample(self):
        self.samples += 1

    def resistance_mohm(self, channel):
        return self.mohm[channel]

    def current_ua(self, channel):
        return self.ua[channel]

    def pulse_count(self, channel):
        return self.pulses.get(channel)

    def valve(self, direction, which=0):
        if which:
            return self.others[which].valve(direction)
        self.moved_ms += self.direction * (self._ticks.now_ms - self._since)
        self._since = self._ticks.now_ms
        if direction and direction != self.direction:
            self.switches += 1
        self.direction = direction

    def valve_voltage(self, bp, which=0):
        self.volts_bp[which] = bp

    def pump(self, on, which=0):
        self.pumps[which] = on

    @property
    def pump_is_on(self):
        return self.pumps.get(0, False)

    def pump_speed(self, bp, which=0):
        self.speeds_bp[which] = bp

    @property
    def speed_bp(self):
        return self.speeds_bp[0]

    def heat_demand(self, bp):
        self.demand_bp = bp

    def button_pressed(self):
        return self.pressed
