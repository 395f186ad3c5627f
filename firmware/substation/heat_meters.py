"""The heat meters of a site: asked over M-Bus, judged, shown in the registers, and used for the flow limit.

The first meter stands in the network's pipe; its flow goes before the flow sensor's while it is fresh and not
in doubt. A lost or doubtful meter is told by alarm, and the flow limit goes by the flow sensor, or is off. It
refuses to limit by an old reading, so a meter that is asked once an hour only counts.
"""

import asyncio
from time import ticks_diff, ticks_ms

from . import alarms
from . import mbus_records as records
from .mbus import LOOK_MS, Master
from .mbus_link import SILENT as NO_ANSWER
from .meter_doubt import DOUBTFUL, LOST, REFUSED, SILENT, Judge

# A reading limits for so long: five mains meters take 20 s in turn, and 24 s more while four are silent.
FRESH_MS = 60_000
LIMITING_INTERVAL_S = (
    30  # a meter that is asked less often than this never limits: its flow would come and go
)
OLDEST_MS = 500_000_000  # 5.8 days: before ticks come round, the age stands still
SHOWN = (
    records.ENERGY, records.VOLUME, records.FLOW, records.POWER, records.SUPPLY, records.RETURN,
)  # fmt: skip
AGE, STATUS, NUMBER, QUESTIONS, POINTS = range(6, 11)  # after the quantities, as loop_maker.METER_POINTS


class Shown:
    """One meter as the registers tell it. points: one for each of SHOWN, then those above."""

    def __init__(self, points):
        self.points = points
        self.judge = Judge()
        self.bits = 0
        self.read_at = None  # ticks of the last good reading
        self.flow_l_h = None


class HeatMeters:
    """line: the board's meter line. wired: rows as mbus.Master takes them. points: of all meters in a row."""

    def __init__(self, line, wired, bank, points, sensors, alarm_bits):
        self._bank = bank
        self._value = sensors.value
        self._supply_at = sensors.place("primary_supply_temp_c")
        self._return_at = sensors.place("primary_return_temp_c")
        self._alarms = alarm_bits
        self._limiting = wired[0][2] <= LIMITING_INTERVAL_S
        self._shown = [Shown(points[POINTS * place :][:POINTS]) for place in range(len(wired))]
        for shown in self._shown:
            for which in (STATUS, NUMBER, QUESTIONS):
                bank.put(shown.points[which], 0)
        self.master = Master(line, wired, self._told, self._failed)

    async def run(self):
        """Ask for ever. Whatever ends it, it can be run again."""
        while True:
            self.look()
            await asyncio.sleep_ms(LOOK_MS)

    def look(self):
        """Let the master look once, and bring ages and counts up to date."""
        self.master.look()
        now = ticks_ms()
        for place in range(len(self._shown)):
            shown = self._shown[place]
            self._bank.put(shown.points[QUESTIONS], self.master.meters[place].questions)
            if shown.read_at is not None:
                age_ms = ticks_diff(now, shown.read_at)
                self._bank.put(shown.points[AGE], age_ms // 1000)
                if age_ms > OLDEST_MS:
                    shown.read_at = None

    def flow_l_h(self):
        """Return the first meter's flow in l/h, or None where it is old, unknown or in doubt."""
        first = self._shown[0]
        if not self._limiting or first.read_at is None or first.bits & (LOST | DOUBTFUL):
            return None
        return first.flow_l_h if ticks_diff(ticks_ms(), first.read_at) <= FRESH_MS else None

    def _told(self, place, reading):
        shown = self._shown[place]
        value = reading.value
        for which in range(len(SHOWN)):
            self._bank.put(shown.points[which], value[SHOWN[which]])
        shown.flow_l_h = value[records.FLOW]
        shown.read_at = ticks_ms()
        self._bank.put(shown.points[AGE], 0)
        self._bank.put(shown.points[NUMBER], _number(reading))
        own_supply_mc = own_return_mc = None
        if place == 0:  # the others may hang in another pipe
            own_supply_mc = self._value[self._supply_at]
            own_return_mc = self._value[self._return_at]
        self._say(shown, shown.judge.step(reading, own_supply_mc, own_return_mc))

    def _failed(self, place, cause):
        """A meter was given up for now: what it last told stays shown, with its age, and limits no more."""
        shown = self._shown[place]
        self._say(shown, shown.bits & ~LOST | 1 << (SILENT if cause == NO_ANSWER else REFUSED))

    def _say(self, shown, bits):
        shown.bits = bits
        self._bank.put(shown.points[STATUS], bits)
        together = 0
        for one in self._shown:
            together |= one.bits
        self._alarms.set(alarms.METER_LOST, together & LOST != 0)
        self._alarms.set(alarms.METER_DOUBT, together & ~LOST != 0)


def _number(reading):
    """Return the fabrication number told, or that of the header; 0 where there is none."""
    number = reading.value[records.NUMBER]
    if number is not None:
        return number
    identity = reading.identity
    number = 0
    if identity is not None:
        for i in (3, 2, 1, 0):
            high, low = identity[i] >> 4, identity[i] & 0x0F
            if high > 9 or low > 9:
                return 0
            number = number * 100 + 10 * high + low
    return number


def make_meters(parts):
    """Return the site's meters. parts: what `startup` and `loop_maker` have put together."""
    settings = parts.settings
    print("m-bus: %d meters at %d baud" % (len(settings.mbus_meters), settings.mbus_baud))
    line = parts.board.meter_line(settings.mbus_baud)
    return HeatMeters(line, settings.mbus_meters, parts.bank, parts.meter_points, parts.sensors, parts.alarms)
