"""Who opens a tap, when: the tapping profile M of the labelling of water heaters, day after day.

Regulation (EU) 812/2013, annex VII, table 3: 23 draw-offs, 5.845 kWh a day. That sum and their number are
checked; the times and parts were written down without the regulation at hand [estimate]. Each day moves
every draw-off by up to ten minutes, drawn by seed, so that nothing falls in step with the controller.
"""

from __future__ import annotations

from random import Random

COLD_C, HOT_C = 10.0, 55.0
KWH_PER_KG = 4.18 * (HOT_C - COLD_C) / 3600.0
SHIFT_S = 600
DAY_S = 86_400
SMALL, DISHES, SUPPER, SHOWER = 0.105, 0.315, 0.735, 1.4  # kWh
FLOW_KG_S = {SMALL: 0.05, DISHES: 0.067, SUPPER: 0.067, SHOWER: 0.1}  # 3, 4 and 6 l/min
PROFILE_M = (
    ("07:00", SMALL), ("07:05", SHOWER), ("07:30", SMALL), ("08:01", SMALL),
    ("08:15", SMALL), ("08:30", SMALL), ("08:45", SMALL), ("09:00", SMALL),
    ("09:30", SMALL), ("10:30", SMALL), ("11:30", SMALL), ("11:45", SMALL),
    ("12:45", DISHES), ("14:30", SMALL), ("15:30", SMALL), ("16:30", SMALL),
    ("18:00", SMALL), ("18:15", SMALL), ("18:30", SMALL), ("19:00", SMALL),
    ("20:30", SUPPER), ("21:15", SMALL), ("21:30", SHOWER),
)  # fmt: skip


class DrawOffs:
    """What is drawn at any second of the year; times may only be asked for in rising order within a day."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._day = -(10**9)
        self._events: list[tuple[float, float, float]] = []
        self._running: list[tuple[float, float]] = []

    def of_day(self, day: int) -> list[tuple[float, float, float]]:
        """Return (second of the day at which it begins, seconds, kg/s) of each, in order."""
        random = Random(f"{self._seed} {day}")
        events = []
        for clock, kwh in PROFILE_M:
            begin = 3600 * int(clock[:2]) + 60 * int(clock[3:]) + random.randint(-SHIFT_S, SHIFT_S)
            flow = FLOW_KG_S[kwh]
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
