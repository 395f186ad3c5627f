"""Sensors between plant and pins: Pt1000, two-wire transmitters, their lag, tolerance and faults.

A sensor here turns the truth into ohms and milliamperes the way its type does, with an error drawn once by
seed. It converts nothing back: that is the controller's work, and a second conversion would hide the first
one's errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core_ext.substations import follow

from ..board_io import (
    CURRENT_CHANNELS,
    DIFFERENTIAL_PRESSURE,
    DP_RANGE_BAR,
    OUTDOOR,
    PT1000_CHANNELS,
    ROOM,
    VOLUME_FLOW,
    BoardInputs,
)

FloatArray = NDArray[np.float64]

# IEC 60751: R = R0 (1 + A t + B t^2 + C (t - 100) t^3), C = 0 above 0 degC; class B +-(0.3 + 0.005 |t|) K
R0_OHM = 1000.0
A_PER_K = 3.9083e-3
B_PER_K2 = -5.775e-7
C_PER_K4 = -4.183e-12
BAND_K, BAND_SHARE = 0.3, 0.005

POCKET_LAG_S = 8.0  # sensor in a pocket in the pipe (estimate)
AIR_LAG_S = 300.0  # sensor in air: outdoor and room (estimate)
CURRENT_LAG_S = 1.0  # damping of the transmitters (estimate)
TOLERANCE_SHARE = 0.5  # of class B: uniform within half the band (estimate: makers deliver well inside)
DP_ZERO_BAR = 0.01  # zero error of the dp transmitter (estimate)
DP_SPAN_SHARE = 0.005  # span error of the dp transmitter (estimate)
FLOW_SHARE = 0.02  # heat meter class 2 (EN 1434)

FAULTS = ("open", "short", "offset", "stuck")


def pt1000_ohm(temp_c: ArrayLike) -> FloatArray:
    """Resistance of a Pt1000 by IEC 60751, ohm; valid from -200 to 850 degC."""
    t = np.asarray(temp_c, dtype=np.float64)
    cold = np.minimum(t, 0.0)
    ohm: FloatArray = R0_OHM * (1.0 + t * (A_PER_K + t * B_PER_K2) + C_PER_K4 * (cold - 100.0) * cold**3)
    return ohm


def current_ma(value: FloatArray, full_range: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """4..20 mA over 0..full range, saturating at 3.8 and 20.5 mA as transmitters do (NAMUR NE 43)."""
    if out is None:
        out = np.empty(np.broadcast(value, full_range).shape)
    np.multiply(value, 16.0, out=out)
    np.divide(out, full_range, out=out)
    np.add(out, 4.0, out=out)
    np.maximum(out, 3.8, out=out)
    np.minimum(out, 20.5, out=out)
    return out


class Sensors:
    """Every sensor of `devices` boards. Channels that `connected` marks False stay open circuits."""

    def __init__(
        self,
        devices: int,
        flow_range_m3_h: ArrayLike,
        seed: int,
        connected: NDArray[np.bool_] | None = None,
        tolerance_share: float = TOLERANCE_SHARE,
    ) -> None:
        random = np.random.default_rng([seed, 0x5E])
        shape = (devices, PT1000_CHANNELS)
        self.error_share: FloatArray = random.uniform(-1.0, 1.0, shape) * tolerance_share
        """Error of each Pt1000 as a share of the class B band."""
        scale = tolerance_share / TOLERANCE_SHARE
        self.dp_zero_bar: FloatArray = random.uniform(-DP_ZERO_BAR, DP_ZERO_BAR, devices) * scale
        self.dp_gain: FloatArray = 1.0 + random.uniform(-DP_SPAN_SHARE, DP_SPAN_SHARE, devices) * scale
        self.flow_gain: FloatArray = 1.0 + random.uniform(-FLOW_SHARE, FLOW_SHARE, devices) * scale
        self._range = np.empty((devices, CURRENT_CHANNELS))
        self._range[:, DIFFERENTIAL_PRESSURE] = DP_RANGE_BAR
        self._range[:, VOLUME_FLOW] = flow_range_m3_h
        self._lag = np.full(PT1000_CHANNELS, POCKET_LAG_S)
        self._lag[[OUTDOOR, ROOM]] = AIR_LAG_S
        self._temp: FloatArray | None = None
        self._current: FloatArray = np.zeros((devices, CURRENT_CHANNELS))
        self._signal = np.empty_like(self._current)
        self._fault_ohm: dict[tuple[int, int], float] = {}
        self._sound: FloatArray = np.zeros(shape) if connected is None else np.where(connected, 0.0, np.nan)
        """What adds to each Pt1000 without a fault: nothing, or NaN for an open circuit."""
        self._offset = self._sound.copy()
        self._fault_ma: dict[tuple[int, int], float] = {}

    def step(
        self, dt_s: float, temp_c: FloatArray, dp_bar: FloatArray, flow_m3_h: FloatArray, inputs: BoardInputs
    ) -> None:
        """Advance by dt_s towards the truth and write what the pins see into `inputs`."""
        signal = self._signal
        np.multiply(dp_bar, self.dp_gain, out=signal[:, DIFFERENTIAL_PRESSURE])
        signal[:, DIFFERENTIAL_PRESSURE] += self.dp_zero_bar
        np.multiply(flow_m3_h, self.flow_gain, out=signal[:, VOLUME_FLOW])
        if self._temp is None:
            self._temp = temp_c.copy()
            self._current[:] = signal
            self._shares = (0.0, np.zeros_like(self._lag), 0.0)
        if self._shares[0] != dt_s:
            self._shares = (dt_s, -np.expm1(-dt_s / self._lag), float(-np.expm1(-dt_s / CURRENT_LAG_S)))
        signal -= self._current
        signal *= self._shares[2]
        self._current += signal
        follow(
            self._temp, temp_c, self._shares[1], self.error_share, self._offset, R0_OHM, A_PER_K, B_PER_K2,
            C_PER_K4, BAND_K, BAND_SHARE, inputs.resistance_ohm,
        )  # fmt: skip
        current_ma(self._current, self._range, inputs.current_ma)
        for (device, channel), ohm in self._fault_ohm.items():
            inputs.resistance_ohm[device, channel] = ohm
        for (device, channel), milliampere in self._fault_ma.items():
            inputs.current_ma[device, channel] = milliampere

    def fail(self, device: int, channel: int, kind: str, value: float = 0.0) -> None:
        """Break a Pt1000: "open", "short", "offset" by value kelvin, or "stuck" at value degC.

        Raises ValueError for another kind; nothing is changed then.
        """
        if kind not in FAULTS:
            raise ValueError(f"{kind!r} is no sensor fault; known: {', '.join(FAULTS)}. Nothing was changed")
        self.repair(device, channel)
        if kind == "offset":
            self._offset[device, channel] += value
        else:
            ohm = {"open": np.nan, "short": 0.0}.get(kind, float(pt1000_ohm(value)))
            self._fault_ohm[device, channel] = ohm

    def fail_current(self, device: int, channel: int, milliampere: float) -> None:
        """Hold a current loop at a value, mA; 0 = broken wire."""
        self._fault_ma[device, channel] = milliampere

    def repair(self, device: int, channel: int) -> None:
        """Undo a fault of a Pt1000 or, for channels 0 and 1, of a current loop as well."""
        self._fault_ohm.pop((device, channel), None)
        self._offset[device, channel] = self._sound[device, channel]
        self._fault_ma.pop((device, channel), None)
