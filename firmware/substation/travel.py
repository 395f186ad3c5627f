"""Starts of a valve's motor in the last hour and day, and the budget that spares its relays.

It refuses to stop a valve that has spent its budget: small moves are let be until the hour is better, large
ones are made.
"""

HOURS = 24
PARTS = 12  # the last hour in steps of five minutes
PART_MS = 300_000


class Travel:
    """hour_point, day_point: registers of the valve. most: starts allowed in an hour, or None."""

    def __init__(self, bank, valve, hour_point, day_point, most):
        self._bank = bank
        self._valve = valve
        self._hour_point = hour_point
        self._day_point = day_point
        self._most = most
        self._parts = [0] * PARTS
        self._hours = [0] * HOURS
        self._at = 0  # part of the hour, counted on for ever
        self._part_ms = 0
        self._counted = 0
        self.spent = False

    def step(self, dt_ms):
        """Count what the valve has started since the last call."""
        started = self._valve.starts - self._counted
        if started:
            self._counted = self._valve.starts
            self._parts[self._at % PARTS] += started
            self._hours[self._at // PARTS % HOURS] += started
        self._part_ms += dt_ms
        if self._part_ms >= PART_MS:
            self._part_ms -= PART_MS
            self._at += 1
            self._parts[self._at % PARTS] = 0
            if self._at % PARTS == 0:
                self._hours[self._at // PARTS % HOURS] = 0
        hour = sum(self._parts)
        self._bank.put(self._hour_point, hour)
        self._bank.put(self._day_point, sum(self._hours))
        if self._most is not None:
            self.spent = hour > self._most
            self._valve.spared = self.spent
