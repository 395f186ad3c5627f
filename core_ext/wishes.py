"""What a balance is asked for: targets of the consumers and limits of everything, checked, one array each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import fluid
from .network import BadNetwork, FloatArray

if TYPE_CHECKING:
    from .solver import HydraulicSolver

TARGET_KEYS = (
    "mass_flow_kg_s",
    "heat_w",
    "supply_temp_c",
    "return_temp_c",
    "min_supply_temp_c",
    "max_supply_temp_c",
    "min_dp_pa",
    "max_flow_kg_s",
    "priority",
)
SOURCE_LIMITS = ("max_dp_pa", "max_heat_w", "max_flow_kg_s", "pump_efficiency")
NODE_LIMITS = ("max_pressure_pa", "min_pressure_pa")
SCALARS = ("boiling_margin_pa", "ground_temp_c", "electricity_per_mwh", "heat_per_mwh")
LIMIT_KEYS = (*SOURCE_LIMITS, "kvs_m3_h", *NODE_LIMITS, *SCALARS, "pump_max_dp_pa")


def column_of(given: Mapping[str, Any], key: str, rows: int, default: Any) -> FloatArray:
    """One value per row, from what was given or the default, which nobody writes to."""
    if key not in given and isinstance(default, np.ndarray):
        return default
    try:
        values = np.array(given.get(key, default), dtype=np.float64)
    except (TypeError, ValueError):
        raise BadNetwork(
            key, "not numbers", "Give one number per row or one for all.", "not_a_number"
        ) from None
    if values.ndim == 0:
        values = np.full(rows, float(values))
    if values.shape != (rows,):
        raise BadNetwork(
            key,
            f"shape {values.shape} for {rows} rows",
            "Give one value per row or one for all.",
            "wrong_length",
        )
    return values


def _check_keys(given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in known:
            raise BadNetwork(what, f"unknown key {key!r}", f"Known: {', '.join(known)}.", "unknown_key")


class Wishes:
    """Targets and limits of one balance, checked, one array each."""

    def __init__(
        self, solver: HydraulicSolver, targets: Mapping[str, Any] | None, limits: Mapping[str, Any] | None
    ) -> None:
        net = solver.net
        targets, limits = targets or {}, limits or {}
        _check_keys(targets, TARGET_KEYS, "targets")
        _check_keys(limits, LIMIT_KEYS, "limits")
        self.net, self.cp = net, solver.fluid.cp_j_kgk
        self.density = solver.fluid.density_kg_m3
        consumers, now = net.consumers.rows, solver._columns
        self.supply_temp = column_of(targets, "supply_temp_c", consumers, now["consumers_supply_temp_c"])
        self.return_temp = column_of(targets, "return_temp_c", consumers, now["consumers_return_temp_c"])
        self.heat_given = self._heat(solver, targets)
        self.target = self._target_flow(solver, targets)
        self.min_dp = column_of(targets, "min_dp_pa", consumers, now["consumers_min_dp_pa"])
        self.most = column_of(targets, "max_flow_kg_s", consumers, now["consumers_max_flow_kg_s"])
        self.priority = column_of(targets, "priority", consumers, now["consumers_priority"])
        self.kvs = column_of(limits, "kvs_m3_h", consumers, np.nan)
        self.has_kvs = "kvs_m3_h" in limits
        if self.has_kvs and (self.kvs <= 0.0).any():
            row = int(np.argmax(self.kvs <= 0.0))
            raise BadNetwork(
                f"consumer {net.consumers['id'][row]}",
                f"its whole valve has a kvs_m3_h of {self.kvs[row]:g}",
                "Give one above 0, or NaN where none is known.",
                "bad_kvs",
            )
        sources = net.sources.rows
        self.max_dp = self._upper(limits, "max_dp_pa", sources, np.nan)
        self.max_flow = self._upper(limits, "max_flow_kg_s", sources, np.nan)
        self.max_heat = self._upper(limits, "max_heat_w", sources, now["sources_max_heat_w"])
        self.efficiency = column_of(limits, "pump_efficiency", sources, 1.0)
        if "pump_efficiency" in limits and not ((self.efficiency > 0.0) & (self.efficiency <= 1.0)).all():
            raise BadNetwork(
                "pump_efficiency", "not all lie above 0 and up to 1", "Give a share.", "bad_efficiency"
            )
        self.pump_max_dp = self._upper(limits, "pump_max_dp_pa", net.pumps.rows, np.nan)
        # a town has few sources: asking each number costs less than asking NumPy about the few
        self.sources_limited = any(
            map(math.isfinite, (*self.max_dp.tolist(), *self.max_flow.tolist(), *self.max_heat.tolist()))
        )
        self.limits = limits
        self.bounded = any(key in limits for key in (*NODE_LIMITS, "boiling_margin_pa"))
        self._heat_w: FloatArray | None = None

    @staticmethod
    def _upper(limits: Mapping[str, Any], key: str, rows: int, default: Any) -> FloatArray:
        if key not in limits and not isinstance(default, np.ndarray):
            return np.full(rows, np.inf)
        values = column_of(limits, key, rows, default)
        return np.where(np.isnan(values), np.inf, values)

    def _heat(self, solver: HydraulicSolver, targets: Mapping[str, Any]) -> FloatArray | None:
        """Heat per consumer where the target is heat."""
        rows, now = self.net.consumers.rows, solver._columns
        if "mass_flow_kg_s" in targets:
            return None
        if "heat_w" in targets:
            return column_of(targets, "heat_w", rows, 0.0)
        by_heat = solver._by_heat | np.isnan(now["consumers_mass_flow_kg_s"])
        return now["consumers_heat_w"] if rows and by_heat.all() else None

    def _target_flow(self, solver: HydraulicSolver, targets: Mapping[str, Any]) -> FloatArray:
        """Flow per consumer: given flow, else given heat, else what the consumer's own mode says."""
        now, rows = solver._columns, self.net.consumers.rows
        own_flow = now["consumers_mass_flow_kg_s"]
        if "mass_flow_kg_s" in targets:
            flow = column_of(targets, "mass_flow_kg_s", rows, 0.0)
        elif "heat_w" not in targets and not solver._by_heat.any() and not np.isnan(own_flow).any():
            flow = own_flow
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                per_kg = self.cp * (self.supply_temp - self.return_temp)
                if "heat_w" in targets:
                    flow = column_of(targets, "heat_w", rows, 0.0) / per_kg
                else:
                    by_heat = now["consumers_heat_w"] / per_kg
                    flow = np.where(solver._by_heat | np.isnan(own_flow), by_heat, own_flow)
        # one look at all is enough where all is well; infinity and NaN fail it too
        if rows and not (float(flow.min()) >= 0.0 and float(flow.max()) < np.inf):
            bad = ~(np.isfinite(flow) & (flow >= 0.0))
            row = int(np.argmax(bad))
            raise BadNetwork(
                f"consumer {self.net.consumers['id'][row]}",
                f"its target flow is {flow[row]:g} kg/s",
                "Give mass_flow_kg_s, or heat_w with supply_temp_c above return_temp_c.",
                "bad_target",
            )
        return flow

    def heat(self) -> FloatArray:
        """Heat of the whole target, W; consumers without temperatures count none."""
        if self._heat_w is None:
            heat = self.target * (self.cp * (self.supply_temp - self.return_temp))
            heat[np.isnan(heat)] = 0.0
            self._heat_w = heat
        return self._heat_w

    def need_dp(self, flow: FloatArray) -> FloatArray:
        """What each consumer must keep: its minimum, and what its whole valve needs for the flow."""
        if not self.has_kvs:
            return self.min_dp
        through_valve = 1e5 * 3600.0**2 * flow**2 / (1000.0 * self.density * self.kvs**2)
        return np.fmax(self.min_dp, through_valve)

    def need_slope(self, flow: FloatArray) -> FloatArray:
        """Derivative of need_dp by the flow."""
        if not self.has_kvs:
            return np.zeros_like(flow)
        factor = 1e5 * 3600.0**2 / (1000.0 * self.density * self.kvs**2)
        return np.where(factor * flow**2 > self.min_dp, 2.0 * factor * flow, 0.0)

    def node_limits(self, lift: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest gauge pressure of every node, -inf and inf where nothing is said."""
        rows = self.net.nodes.rows
        low = column_of(self.limits, "min_pressure_pa", rows, np.nan)
        high = column_of(self.limits, "max_pressure_pa", rows, np.nan)
        if "boiling_margin_pa" in self.limits:
            margin = float(self.limits["boiling_margin_pa"])
            boils = self._boiling_pressure(lift) + margin
            low = np.fmax(low, boils)
        return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

    def _boiling_pressure(self, lift: FloatArray | None) -> FloatArray:
        """Gauge pressure at which the hottest supply boils, and on the return side the hottest return."""
        temps = [self.net.sources["supply_temp_c"], self.supply_temp]
        hottest = np.nanmax(np.concatenate(temps)) if any(np.isfinite(t).any() for t in temps) else np.nan
        if not np.isfinite(hottest):
            raise BadNetwork(
                "boiling_margin_pa", "no supply temperature is known", "Give supply_temp_c.", "missing_value"
            )
        back = np.nanmax(self.return_temp) if np.isfinite(self.return_temp).any() else hottest
        at = np.full(self.net.nodes.rows, hottest)
        if lift is not None:
            at[lift <= 0.0] = back
        return fluid.saturation_pressure_pa(at) - fluid.ATMOSPHERE_PA
