"""Faults of the Pt1000 sensors, as ohms at the controller's terminals.

The proof measures what the converter gets and compares it with what stands in the pipe.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ..plant.sensors import pt1000_ohm
from .injector import Injector
from .rig import TICK_S, FaultRig, Ohms, temp_c

NOISE_SAMPLES = 100


class TerminalFault(Injector):
    """Changes what lies at the terminals of one channel, or of two."""

    def __init__(self, rig: FaultRig, channel: int) -> None:
        super().__init__(rig)
        self.channel = channel
        self.begun_s = 0.0

    def inject(self) -> None:
        self.begun_s = self.rig.now_s
        self.rig.terminal_faults.append(self.change)

    def remove(self) -> None:
        self.rig.terminal_faults.remove(self.change)

    def change(self, ohm: Ohms) -> None:
        """Put the fault onto the terminals, in place."""
        raise NotImplementedError

    def difference_k(self) -> float:
        """How much warmer the converter sees it than it is."""
        return temp_c(self.rig.resistance_ohm(self.channel)) - temp_c(self.rig.true_ohm[self.channel])


class Open(TerminalFault):
    def change(self, ohm: Ohms) -> None:
        ohm[self.channel] = math.nan

    def prove(self) -> str:
        count = self.rig.fleet.counts(0, self.channel)
        return self.seen(
            math.isnan(self.rig.resistance_ohm(self.channel)),
            f"converter at {count} of 65535: no current flows",
        )


class Short(TerminalFault):
    def change(self, ohm: Ohms) -> None:
        ohm[self.channel] = 0.0

    def prove(self) -> str:
        count = self.rig.fleet.counts(0, self.channel)
        return self.seen(count == 0, f"converter at {count}: no voltage at the terminals")


class Beyond(TerminalFault):
    """A resistance that no temperature in a house has."""

    def __init__(self, rig: FaultRig, channel: int, shown_c: float) -> None:
        super().__init__(rig, channel)
        self._ohm = float(pt1000_ohm(shown_c))

    def change(self, ohm: Ohms) -> None:
        ohm[self.channel] = self._ohm

    def prove(self) -> str:
        measured = self.rig.resistance_ohm(self.channel)
        return self.seen(not 843.0 < measured < 1574.0, f"{measured:.0f} ohm, beyond -40 to 150 °C")


class Stuck(TerminalFault):
    """The resistance of one moment, or of `away_k` beside it, for ever."""

    def __init__(self, rig: FaultRig, channel: int, away_k: float = 0.0) -> None:
        super().__init__(rig, channel)
        self._away_k = away_k
        self._ohm = 0.0
        self._first = (0.0, 0.0)

    def inject(self) -> None:
        self._ohm = float(pt1000_ohm(temp_c(self.rig.true_ohm[self.channel]) + self._away_k))
        super().inject()
        self._first = (self.rig.true_ohm[self.channel], self.rig.resistance_ohm(self.channel))

    def change(self, ohm: Ohms) -> None:
        ohm[self.channel] = self._ohm

    def prove(self) -> str:
        true_ohm, shown_ohm = self.rig.true_ohm[self.channel], self.rig.resistance_ohm(self.channel)
        # the first tick may bring the step; from then on the terminals stand and the pipe does not
        stands = abs(shown_ohm - self._ohm) < 0.2
        moved_k = temp_c(true_ohm) - temp_c(shown_ohm)
        return self.seen(
            stands and abs(moved_k) > 0.15,
            f"{shown_ohm:.1f} ohm at the terminals, the truth {moved_k:+.1f} K beside",
        )


class Drift(TerminalFault):
    def __init__(self, rig: FaultRig, channel: int, k_per_min: float) -> None:
        super().__init__(rig, channel)
        self._k_per_min = k_per_min

    def change(self, ohm: Ohms) -> None:
        away_k = self._k_per_min * (self.rig.now_s + TICK_S - self.begun_s) / 60.0
        ohm[self.channel] = float(pt1000_ohm(temp_c(ohm[self.channel]) + away_k))

    def prove(self) -> str:
        minutes = (self.rig.now_s - self.begun_s) / 60.0
        found = self.difference_k()
        wanted = self._k_per_min * minutes
        return self.seen(
            minutes > 0.4 and abs(found - wanted) < 0.1 and abs(found) > 0.04,
            f"{found:+.2f} K after {minutes:.1f} min",
        )


class Offset(TerminalFault):
    def __init__(self, rig: FaultRig, channel: int, away_k: float) -> None:
        super().__init__(rig, channel)
        self._away_k = away_k

    def change(self, ohm: Ohms) -> None:
        ohm[self.channel] = float(pt1000_ohm(temp_c(ohm[self.channel]) + self._away_k))

    def prove(self) -> str:
        found = self.difference_k()
        return self.seen(abs(found - self._away_k) < 0.1, f"{found:+.2f} K at the terminals")


class Noise(TerminalFault):
    """Independent from tick to tick, so it is faster than anything in a pipe. Judged by the last minutes."""

    def __init__(self, rig: FaultRig, channel: int, sigma_k: float) -> None:
        super().__init__(rig, channel)
        self._sigma_k = sigma_k
        self._seen: deque[float] = deque(maxlen=NOISE_SAMPLES)

    def each_tick(self) -> None:
        self._seen.append(self.difference_k())

    def change(self, ohm: Ohms) -> None:
        away_k = float(self.rig.random.normal(0.0, self._sigma_k))
        ohm[self.channel] = float(pt1000_ohm(temp_c(ohm[self.channel]) + away_k))

    def prove(self) -> str:
        sigma = float(np.std(self._seen)) if len(self._seen) > 1 else 0.0
        return self.seen(
            len(self._seen) >= 10 and 0.5 < sigma / self._sigma_k < 2.0,
            f"sigma {sigma:.2f} K over {len(self._seen)} samples",
        )


class Slow(TerminalFault):
    """A sensor whose pocket is dry: it follows the pipe with a lag of its own."""

    def __init__(self, rig: FaultRig, channel: int, lag_s: float) -> None:
        super().__init__(rig, channel)
        self._share = -math.expm1(-TICK_S / lag_s)
        self._shown_c: float | None = None
        self._first: tuple[float, float] | None = None
        self._best = (0.0, 0.0)

    def each_tick(self) -> None:
        """Keep the moment at which the terminals were furthest behind on the pipe's way."""
        now = (temp_c(self.rig.true_ohm[self.channel]), temp_c(self.rig.resistance_ohm(self.channel)))
        if self._first is None:
            self._first = now
        ways = (now[0] - self._first[0], now[1] - self._first[1])
        if ways[0] * (ways[0] - ways[1]) > 0.0 and abs(ways[0] - ways[1]) > abs(
            self._best[0] - self._best[1]
        ):
            self._best = ways

    def change(self, ohm: Ohms) -> None:
        true_c = temp_c(ohm[self.channel])
        shown_c = true_c if self._shown_c is None else self._shown_c
        self._shown_c = shown_c + (true_c - shown_c) * self._share
        ohm[self.channel] = float(pt1000_ohm(self._shown_c))

    def prove(self) -> str:
        true_k, shown_k = self._best
        return self.seen(
            abs(true_k - shown_k) > 0.05,  # three steps of the converter
            f"the pipe went {true_k:+.2f} K when the terminals had gone {shown_k:+.2f} K",
        )


class Swapped(TerminalFault):
    """The wires of two sensors in each other's terminals."""

    def __init__(self, rig: FaultRig, channel: int, other: int) -> None:
        super().__init__(rig, channel)
        self._other = other

    def change(self, ohm: Ohms) -> None:
        ohm[self.channel], ohm[self._other] = ohm[self._other], ohm[self.channel]

    def prove(self) -> str:
        true_k = temp_c(self.rig.true_ohm[self.channel]) - temp_c(self.rig.true_ohm[self._other])
        shown_k = temp_c(self.rig.resistance_ohm(self.channel)) - temp_c(self.rig.resistance_ohm(self._other))
        return self.seen(
            abs(true_k + shown_k) < 0.2 and abs(true_k) > 0.5,
            f"{shown_k:+.1f} K between the terminals, {true_k:+.1f} K between the pipes",
        )


class Loose(TerminalFault):
    """Open for `open_s` out of every `period_s`."""

    def __init__(self, rig: FaultRig, channel: int, open_s: float, period_s: float) -> None:
        super().__init__(rig, channel)
        self._open_s, self._period_s = open_s, period_s
        self._seen: list[bool] = []

    def each_tick(self) -> None:
        self._seen.append(math.isnan(self.rig.resistance_ohm(self.channel)))

    def change(self, ohm: Ohms) -> None:
        if (self.rig.now_s - self.begun_s) % self._period_s < self._open_s:
            ohm[self.channel] = math.nan

    def prove(self) -> str:
        gone, there = self._seen.count(True), self._seen.count(False)
        return self.seen(gone > 0 and there > 0, f"open in {gone} of {gone + there} samples")
