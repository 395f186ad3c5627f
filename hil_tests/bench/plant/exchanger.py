"""Counter-flow plate exchangers: effectiveness by NTU when steady, two coupled capacities for the delay.

All exchangers of a town at once. The steady part is exact for the given UA. The dynamic part gives each side
one capacity at its outlet, coupled through the plates, so heat is conserved to rounding. It does not resolve
the temperature along the plates: three cells were measured 9 to 12 K wrong, so there are no cells here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .column import Column, FloatArray

# How strongly an outlet's deviation from its steady value pulls on the heat flow, over UA, and the share of
# the secondary side's capacity that moves with its outlet: fitted to rise times of a 40-cell exchanger.
PRIMARY_PULL = 2.0
SECONDARY_PULL = 1.6
SECONDARY_SHARE = 0.9
OVERSHOOT = 0.02  # of the span of the temperatures around an exchanger
LEAST_FLOW_KG_S = 1e-9  # below it a side stands


def effectiveness(ua_w_k: FloatArray, capacity_1_w_k: FloatArray, capacity_2_w_k: FloatArray) -> FloatArray:
    """Share of the largest possible heat that a counter-flow exchanger transfers, 0..1; 0 without flow."""
    least = np.minimum(capacity_1_w_k, capacity_2_w_k)
    most = np.maximum(capacity_1_w_k, capacity_2_w_k)
    flowing = least > 0.0
    safe = np.where(flowing, least, 1.0)
    ntu = ua_w_k / safe
    apart = np.where(flowing, 1.0 - safe / np.where(flowing, most, 1.0), 1.0)
    decay = np.exp(-np.minimum(ntu * apart, 700.0))
    # equal capacities: the limit NTU/(1+NTU); the general form loses digits below 1e-7
    unequal = apart > 1e-7
    general = (1.0 - decay) / np.where(unequal, 1.0 - (1.0 - apart) * decay, 1.0)
    result: FloatArray = np.where(flowing, np.where(unequal, general, ntu / (1.0 + ntu)), 0.0)
    return result


class Exchangers:
    """Outlet temperatures of both sides of each exchanger.

    `ua_w_k` holds at the design flows; elsewhere it follows both film coefficients, each with its flow to
    the power `flow_exponent` (plates: about 0.7; 0 = constant UA). `primary_j_k`, `secondary_j_k`: heat
    capacity of the water held by each side; the metal's is shared half and half.
    """

    ua_w_k, primary_j_k, secondary_j_k = Column(), Column(), Column()
    _primary_design, _secondary_design = Column(), Column()
    primary_out_c = Column()
    """State: temperature at the primary outlet at the end of the step."""
    secondary_out_c = Column()
    """State: temperature at the secondary outlet at the end of the step."""
    primary_return_c = Column()
    """Mean temperature of the primary water that left in the last step."""
    secondary_supply_c = Column()
    """Mean temperature of the secondary water that left in the last step."""
    fouling = Column()
    """Factor on UA (a fault to inject); 1 = clean."""

    def __init__(
        self,
        ua_w_k: ArrayLike,
        primary_j_k: ArrayLike,
        secondary_j_k: ArrayLike,
        metal_j_k: ArrayLike,
        cp_j_kgk: float,
        *,
        primary_design_kg_s: ArrayLike = 1.0,
        secondary_design_kg_s: ArrayLike = 1.0,
        flow_exponent: float = 0.0,
        initial_temp_c: ArrayLike = 20.0,
    ) -> None:
        self.ua_w_k = ua_w_k
        nothing = np.zeros(self.ua_w_k.shape)
        half_metal = 0.5 * np.asarray(metal_j_k, dtype=np.float64)
        self.primary_j_k = np.asarray(primary_j_k, float) + half_metal + nothing
        self.secondary_j_k = SECONDARY_SHARE * (np.asarray(secondary_j_k, float) + half_metal + nothing)
        self.cp_j_kgk = cp_j_kgk
        self._primary_design = np.asarray(primary_design_kg_s, float) + nothing
        self._secondary_design = np.asarray(secondary_design_kg_s, float) + nothing
        self._exponent = flow_exponent
        self.primary_out_c = np.asarray(initial_temp_c, float) + nothing
        self.secondary_out_c = self.primary_return_c = self.secondary_supply_c = self.primary_out_c
        self.fouling = nothing + 1.0

    def step(
        self,
        dt_s: float,
        primary_kg_s: FloatArray,
        primary_in_c: FloatArray,
        secondary_kg_s: FloatArray,
        secondary_in_c: FloatArray,
    ) -> None:
        """Advance by dt_s with constant inlets; exact for any dt_s. Flows must not be negative."""
        f1 = np.where(primary_kg_s > LEAST_FLOW_KG_S, primary_kg_s, 0.0) * self.cp_j_kgk
        f2 = np.where(secondary_kg_s > LEAST_FLOW_KG_S, secondary_kg_s, 0.0) * self.cp_j_kgk
        c1, c2 = self.primary_j_k, self.secondary_j_k
        ua = self.ua_w_k * self.fouling
        if self._exponent > 0.0:
            film_1 = np.maximum(primary_kg_s / self._primary_design, 1e-4) ** self._exponent
            film_2 = np.maximum(secondary_kg_s / self._secondary_design, 1e-4) ** self._exponent
            ua = ua * (2.0 * film_1 * film_2 / (film_1 + film_2))
        heat = effectiveness(ua, f1, f2) * np.minimum(f1, f2) * (primary_in_c - secondary_in_c)
        runs_1, runs_2 = f1 > 0.0, f2 > 0.0
        # a standing side drifts to the inlet of the other; with both standing they share what they hold
        rest = (c1 * self.primary_out_c + c2 * self.secondary_out_c) / (c1 + c2)
        steady_1 = np.where(
            runs_1, primary_in_c - heat / np.where(runs_1, f1, 1.0), np.where(runs_2, secondary_in_c, rest)
        )
        steady_2 = np.where(
            runs_2, secondary_in_c + heat / np.where(runs_2, f2, 1.0), np.where(runs_1, primary_in_c, rest)
        )
        x1, x2 = self.primary_out_c - steady_1, self.secondary_out_c - steady_2
        a, b = PRIMARY_PULL * ua, SECONDARY_PULL * ua
        # d/dt (x1, x2) = ((-p, q), (r, -s)) (x1, x2); both eigenvalues are real because q r > 0
        p, q, r, s = (f1 + a) / c1, b / c1, a / c2, (f2 + b) / c2
        middle, half = -0.5 * (p + s), 0.5 * (p - s)
        root = np.sqrt(half * half + q * r)
        slow, fast = np.exp((middle + root) * dt_s), np.exp((middle - root) * dt_s)
        cosine, sine = 0.5 * (slow + fast), 0.5 * (slow - fast) / root
        end_1 = (cosine - half * sine) * x1 + q * sine * x2
        end_2 = r * sine * x1 + (cosine + half * sine) * x2
        # the time integrals follow from the heat balance of each side, so that heat is conserved to rounding
        change_1, change_2 = c1 * (x1 - end_1), c2 * (x2 - end_2)
        determinant = f1 * f2 + f1 * b + f2 * a
        safe = np.where(determinant > 0.0, determinant, 1.0) * dt_s
        mean_1 = ((f2 + b) * change_1 + b * change_2) / safe
        mean_2 = (a * change_1 + (f1 + a) * change_2) / safe
        out_1, out_2 = steady_1 + end_1, steady_2 + end_2
        return_c = np.where(runs_1, steady_1 + mean_1, out_1)
        supply_c = np.where(runs_2, steady_2 + mean_2, out_2)
        # After a violent change (a pump starting on a cold circuit) the pull can overshoot what any water
        # here has. An exchanger that would by more than OVERSHOOT of the span takes this step without it,
        # which is slower but cannot overshoot; heat is conserved either way.
        known = np.stack([primary_in_c + 0.0 * ua, secondary_in_c + 0.0 * ua, self.primary_out_c])
        low = np.minimum(known.min(axis=0), self.secondary_out_c)
        high = np.maximum(known.max(axis=0), self.secondary_out_c)
        margin = OVERSHOOT * (high - low) + 1e-9
        low, high = low - margin, high + margin
        temps = np.stack([out_1, out_2, return_c, supply_c])
        beyond = ((temps < low) | (temps > high)).any(axis=0)
        if beyond.any():
            slow_1, slow_return = _relax(dt_s, f1, c1, steady_1, self.primary_out_c)
            slow_2, slow_supply = _relax(dt_s, f2, c2, steady_2, self.secondary_out_c)
            out_1, return_c = np.where(beyond, slow_1, out_1), np.where(beyond, slow_return, return_c)
            out_2, supply_c = np.where(beyond, slow_2, out_2), np.where(beyond, slow_supply, supply_c)
        self.primary_out_c, self.secondary_out_c = out_1, out_2
        self.primary_return_c, self.secondary_supply_c = return_c, supply_c

    def stored_j(self) -> float:
        """Heat content of both sides, counted from 0 degC, J."""
        return float(self.primary_j_k @ self.primary_out_c + self.secondary_j_k @ self.secondary_out_c)


def _relax(
    dt_s: float, flow_w_k: FloatArray, store_j_k: FloatArray, steady_c: FloatArray, out_c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """One side alone on its way to its steady temperature: end value and mean over the step."""
    flowing = flow_w_k > 0.0
    x = np.where(flowing, flow_w_k, 1.0) * dt_s / store_j_k
    share = -np.expm1(-x)
    end = np.where(flowing, out_c + (steady_c - out_c) * share, out_c)
    mean = np.where(flowing, steady_c + (out_c - steady_c) * (share / x), out_c)
    return end, mean
