"""Three-point control valves: a motor that runs while a relay is on, a stem with play, a curve of kv.

All valves of a town at once. It knows positions and kv, not pressures or flows, and has no feedback signal:
the controllers it serves have none either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .column import Column, FloatArray


class Valves:
    """Motor and stem positions, 0 closed to 1 open, moved in whole steps.

    `stroke_s`: time from end to end. `backlash`: play between motor and stem as a share of the stroke.
    `rangeability`: kvs over the smallest kv of the equal-percentage curve. `leakage`: closed kv over kvs.
    """

    kvs_m3_h, stroke_s, backlash, leakage, _log_range = Column(), Column(), Column(), Column(), Column()
    motor = Column()
    """Where the motor stands, 0..1."""
    position = Column()
    """Where the stem stands, 0..1."""
    stuck = Column()
    """1 for stems that no longer follow their motor (a fault to inject)."""
    direction = Column()
    """-1 where the motor's two wires are exchanged (a fault to inject)."""
    slip = Column()
    """Share of each movement that is lost between motor and spindle (a fault to inject)."""
    overrun = Column()
    """How far the motor runs on beyond its ends, as a share of the stroke: its end switches have failed
    and a spring takes what the seat does not (a fault to inject)."""
    travel = Column()
    """Motor travel so far, strokes: what wears the actuator."""

    def __init__(
        self,
        kvs_m3_h: ArrayLike,
        stroke_s: ArrayLike,
        backlash: ArrayLike,
        leakage: ArrayLike,
        rangeability: ArrayLike,
        position: ArrayLike = 0.0,
    ) -> None:
        self.kvs_m3_h = kvs_m3_h
        count = len(self.kvs_m3_h)
        self.stroke_s = np.broadcast_to(stroke_s, (count,))
        self.backlash = np.broadcast_to(backlash, (count,))
        self.leakage = np.broadcast_to(leakage, (count,))
        self._log_range = np.log(np.broadcast_to(np.asarray(rangeability, float), (count,)))
        self.motor = np.broadcast_to(position, (count,))
        self.position = self.motor
        self.stuck = self.slip = self.overrun = self.travel = np.zeros(count)
        self.direction = np.ones(count)

    def step(self, open_s: FloatArray, close_s: FloatArray) -> FloatArray:
        """Run the motors for the relays' times and return the stems' positions, written in place."""
        before = self.motor
        run = (open_s - close_s) / self.stroke_s * self.direction * (1.0 - self.slip)
        motor = np.clip(before + run, -self.overrun, 1.0 + self.overrun)
        self.travel += np.abs(motor - before)
        self.motor = motor
        # The stem rests anywhere within the play behind the motor; end stops press it home.
        half = 0.5 * self.backlash
        low = np.where(motor >= 1.0, 1.0, motor - half)
        high = np.where(motor <= 0.0, 0.0, motor + half)
        moved = np.clip(np.minimum(np.maximum(self.position, low), high), 0.0, 1.0)
        self.position = np.where(self.stuck != 0.0, self.position, moved)
        return self.position

    def kv_m3_h(self) -> FloatArray:
        """kv at the stems' positions: equal percentage above the seat, leakage below it.

        Near the seat the equal-percentage curve would not close (1/rangeability of kvs is left); the curve is
        therefore lowered by that rest and stretched, so that it starts at the leakage and ends at kvs.
        """
        floor = np.exp(-self._log_range)
        curve = (np.exp(self._log_range * (self.position - 1.0)) - floor) / (1.0 - floor)
        kv: FloatArray = self.kvs_m3_h * (self.leakage + (1.0 - self.leakage) * curve)
        return kv
