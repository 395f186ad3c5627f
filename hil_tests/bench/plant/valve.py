"""Three-point control valves: a motor that runs while a relay is on, a stem with play, a curve of kv.

All valves of a town at once. It knows positions and kv, not pressures or flows, and has no feedback signal:
the controllers it serves have none either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


class Valves:
    """Motor and stem positions, 0 closed to 1 open, moved in whole steps.

    `stroke_s`: time from end to end. `backlash`: play between motor and stem as a share of the stroke.
    `rangeability`: kvs over the smallest kv of the equal-percentage curve. `leakage`: closed kv over kvs.
    """

    def __init__(
        self,
        kvs_m3_h: ArrayLike,
        stroke_s: ArrayLike,
        backlash: ArrayLike,
        leakage: ArrayLike,
        rangeability: ArrayLike,
        position: ArrayLike = 0.0,
    ) -> None:
        self.kvs_m3_h: FloatArray = np.array(kvs_m3_h, dtype=np.float64)
        count = len(self.kvs_m3_h)
        self.stroke_s: FloatArray = np.broadcast_to(np.asarray(stroke_s, float), (count,)).copy()
        self.backlash: FloatArray = np.broadcast_to(np.asarray(backlash, float), (count,)).copy()
        self.leakage: FloatArray = np.broadcast_to(np.asarray(leakage, float), (count,)).copy()
        self._log_range: FloatArray = np.log(np.broadcast_to(np.asarray(rangeability, float), (count,)))
        self.motor: FloatArray = np.broadcast_to(np.asarray(position, float), (count,)).copy()
        """Where the motor stands, 0..1."""
        self.position: FloatArray = self.motor.copy()
        """Where the stem stands, 0..1."""
        self.stuck: NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)
        """Stems that no longer follow their motor (a fault to inject)."""
        self.direction: FloatArray = np.ones(count)
        """-1 where the motor's two wires are exchanged (a fault to inject)."""
        self.slip: FloatArray = np.zeros(count)
        """Share of each movement that is lost between motor and spindle (a fault to inject)."""
        self.overrun: FloatArray = np.zeros(count)
        """How far the motor runs on beyond its ends, as a share of the stroke: its end switches have failed
        and a spring takes what the seat does not (a fault to inject)."""
        self.travel: FloatArray = np.zeros(count)
        """Motor travel so far, strokes: what wears the actuator."""

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
        self.position = np.where(self.stuck, self.position, moved)
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
