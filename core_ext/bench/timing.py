"""Times several engines in turns, so that all of them meet the same state of the machine.

It measures with the monotonic clock and judges nothing. A figure is a median with its quartiles.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# a step returns the seconds it took itself, so that preparing it stays out of the time
Step = Callable[[], float]
MOST_ROUNDS = 400


@dataclass(frozen=True)
class Figure:
    """Seconds: median, lower and upper quartile, and of how many rounds."""

    median: float
    low: float
    high: float
    rounds: int

    def row(self, per: float = 1.0) -> dict[str, float]:
        """As numbers for a file, divided by `per`."""
        return {
            "median": self.median / per,
            "low": self.low / per,
            "high": self.high / per,
            "rounds": self.rounds,
        }


def timed(action: Callable[[], object]) -> Step:
    """A step that is all action."""

    def step() -> float:
        began = time.perf_counter()
        action()
        return time.perf_counter() - began

    return step


def interleave(steps: Mapping[str, Step], seconds: float, least: int = 5) -> dict[str, Figure]:
    """Run every step once per round, one after the other, for about `seconds` and at least `least` rounds."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # first use touches memory and caches: not counted
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.perf_counter()
        for round_ in range(MOST_ROUNDS):
            if round_ >= least and time.perf_counter() - began > seconds:
                break
            for name, step in steps.items():
                taken[name].append(step())
    finally:
        if collects:
            gc.enable()
    return {
        name: Figure(
            float(np.median(values)),
            float(np.percentile(values, 25)),
            float(np.percentile(values, 75)),
            len(values),
        )
        for name, values in taken.items()
    }
