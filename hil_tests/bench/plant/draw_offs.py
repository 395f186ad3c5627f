"""Who opens a tap, when: the load profiles S to XL of the labelling of water heaters, day after day.

Regulation (EU) 812/2013, annex VII, table 3: time, energy and flow of each draw-off, as the CARNOT toolbox
(Solar-Institut Juelich) repeats them; the regulation itself was not read. Number and sum of each profile are
checked against the reference energies given there.
Each day moves every draw-off by up to ten minutes, drawn by seed, so that nothing falls in step with the
controller.
"""

from __future__ import annotations

from random import Random

COLD_C, HOT_C = 10.0, 55.0
KWH_PER_KG = 4.18 * (HOT_C - COLD_C) / 3600.0
SHIFT_S = 600
DAY_S = 86_400
Tap = tuple[float, float]  # kWh, l/min
SMALL, WASH, CLEAN, DISHES, SUPPER = (0.105, 3.0), (0.525, 5.0), (0.42, 4.0), (0.315, 4.0), (0.735, 4.0)
SHOWER, LONG_SHOWER, BATH, LARGE_BATH = (1.4, 6.0), (1.82, 6.0), (3.605, 10.0), (4.42, 10.0)


def _profile(small: str, **others: Tap) -> tuple[tuple[str, Tap], ...]:
    """Return (clock, tap) of a day in order. small: when little is drawn; others: by clock, as t0705."""
    taps = [(clock, SMALL) for clock in small.split()]
    taps += [(f"{name[1:3]}:{name[3:]}", tap) for name, tap in others.items()]
    return tuple(sorted(taps))


PROFILES = {
    "S": _profile(
        "07:00 07:30 08:30 09:30 11:30 11:45 18:00 18:15", t1245=DISHES, t2030=CLEAN, t2130=WASH
    ),
    "M": _profile(
        "07:00 07:30 08:01 08:15 08:30 08:45 09:00 09:30 10:30 11:30 11:45 14:30 15:30 16:30 18:00 18:15 "
        "18:30 19:00 21:15",
        t0705=SHOWER, t1245=DISHES, t2030=SUPPER, t2130=SHOWER,
    ),
    "L": _profile(
        "07:00 07:30 07:45 08:25 08:30 08:45 09:00 09:30 10:30 11:30 11:45 14:30 15:30 16:30 18:00 18:15 "
        "18:30 19:00 21:30",
        t0705=SHOWER, t0805=BATH, t1245=DISHES, t2030=SUPPER, t2100=BATH,
    ),
    "XL": _profile(
        "07:00 07:26 08:01 08:15 08:30 08:45 09:00 09:30 10:00 10:30 11:00 11:30 11:45 14:30 15:00 15:30 "
        "16:00 16:30 17:00 18:00 18:15 18:30 19:00 21:15",
        t0715=LONG_SHOWER, t0745=LARGE_BATH, t1245=SUPPER, t2030=SUPPER, t2046=LARGE_BATH, t2130=LARGE_BATH,
    ),
}  # fmt: skip


class DrawOffs:
    """What is drawn at any second of the year; times may only be asked for in rising order within a day.

    profile: S, M, L or XL; a family of three draws M or L. KeyError for any other.
    """

    def __init__(self, seed: int, profile: str = "M") -> None:
        self._seed = seed
        self._profile = PROFILES[profile]
        self._day = -(10**9)
        self._events: list[tuple[float, float, float]] = []
        self._running: list[tuple[float, float]] = []

    def of_day(self, day: int) -> list[tuple[float, float, float]]:
        """Return (second of the day at which it begins, seconds, kg/s) of each, in order."""
        random = Random(f"{self._seed} {day}")
        events = []
        for clock, (kwh, l_min) in self._profile:
            begin = 3600 * int(clock[:2]) + 60 * int(clock[3:]) + random.randint(-SHIFT_S, SHIFT_S)
            flow = l_min / 60.0  # a litre taken for a kilogram, as the regulation's energies are
            events.append((float(begin), kwh / KWH_PER_KG / flow, flow))
        return sorted(events)

    def flow_kg_s(self, local_s: float) -> float:
        """Return what all open taps together draw."""
        day = int(local_s // DAY_S)
        if day != self._day:
            self._day = day
            self._events = self.of_day(day)
            self._running = []
        second = local_s - day * DAY_S
        events = self._events
        while events and events[0][0] <= second:
            begin, length, flow = events.pop(0)
            self._running.append((begin + length, flow))
        if not self._running:
            return 0.0
        self._running = [event for event in self._running if event[0] > second]
        return sum(flow for _, flow in self._running)
