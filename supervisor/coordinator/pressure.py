"""The differential pressure to ask of the pump station, from that at the index consumer.

It refuses to move inside the dead band, faster than the slew limits, or outside the station's own.

Setpoint 0.6 bar, alarm 0.4 bar (reference/domain.md §4.2). Dead band, gain and slew are own estimates: the
houses' valves hold their flows, so a bar at the plant is about a bar at the house; a gain below one and
a period longer than the valves' 120 s of stroke leave them time. Up is faster than down, because too
little pressure leaves houses cold and too much costs pump energy only.
"""

from __future__ import annotations

from dataclasses import dataclass

INDEX_DP_SP_BAR = 0.6
DEAD_BAND_BAR = 0.03
GAIN = 0.7
UP_BAR = 0.25  # in one evaluation
DOWN_BAR = 0.10
RESOLUTION_BAR = 0.01


@dataclass(frozen=True)
class Step:
    """The pressure to ask for, bar, and why: index_low, index_high, index_held, at_maximum, at_minimum."""

    value_bar: float
    why: str


def next_dp(
    index_bar: float, present_bar: float, low_bar: float, high_bar: float, sp_bar: float = INDEX_DP_SP_BAR
) -> Step:
    """Return the next setpoint for the station, given what is asked of it now; all in bar."""
    error = sp_bar - index_bar
    if abs(error) <= DEAD_BAND_BAR:
        wanted, why = present_bar, "index_held"
    else:
        wanted = present_bar + min(UP_BAR, max(-DOWN_BAR, GAIN * error))
        why = "index_low" if error > 0 else "index_high"
    if wanted > high_bar:
        wanted, why = high_bar, "at_maximum" if error > 0 else why
    elif wanted < low_bar:
        wanted, why = low_bar, "at_minimum" if error < 0 else why
    return Step(round(round(wanted / RESOLUTION_BAR) * RESOLUTION_BAR, 3), why)
