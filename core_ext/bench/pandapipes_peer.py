"""pandapipes on the benchmark's districts: the same pipes and valves, its own formula at every Re.

A whole `pipeflow()` is timed, for that is what a user waits for. pandapipes is imported inside functions.
"""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import numpy as np

from ..network import FloatArray, Network
from .epanet_peer import VALVE_DIAMETER_M

TEMP_K = 348.15


def available() -> bool:
    return importlib.util.find_spec("pandapipes") is not None


def has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


class Pandapipes:
    """A district in pandapipes. `solve()` returns its seconds; flows then are those of all pipes."""

    def __init__(self, net: Network, valve: bool) -> None:
        import pandapipes as pp

        fluid = net.fluid
        assert fluid is not None
        self._pp = pp
        self.net: Any = pp.create_empty_network()
        self.net["fluid"] = pp.create_constant_fluid(
            "water75", "liquid", density=fluid.density_kg_m3, viscosity=fluid.viscosity_pa_s,
            heat_capacity=fluid.cp_j_kgk, molar_mass=18.0, compressibility=1.0, der_compressibility=0.0,
        )  # fmt: skip
        row_of = {name: row for row, name in enumerate(net.nodes.ids)}
        pp.create_junctions(self.net, net.nodes.rows, pn_bar=3.0, tfluid_k=TEMP_K)
        pipes, consumers, sources = net.pipes, net.consumers, net.sources
        pp.create_pipes_from_parameters(
            self.net, [row_of[n] for n in pipes["from_node"]], [row_of[n] for n in pipes["to_node"]],
            length_km=pipes["length_m"] / 1e3, inner_diameter_mm=pipes["inner_diameter_m"] * 1e3,
            k_mm=pipes["roughness_m"] * 1e3,
        )  # fmt: skip
        supply = [row_of[n] for n in consumers["supply_node"]]
        back = [row_of[n] for n in consumers["return_node"]]
        self._valve = valve
        if valve:
            area = np.pi * VALVE_DIAMETER_M**2 / 4.0
            k = 2.0 * area**2 * 1e5 * 3600.0**2 / (1000.0 * consumers["kv_m3_h"] ** 2)
            pp.create_valves(
                self.net, supply, back, "ju", inner_diameter_mm=VALVE_DIAMETER_M * 1e3, loss_coefficient=k
            )
        else:
            pp.create_sinks(self.net, supply, mdot_kg_per_s=consumers["mass_flow_kg_s"])
            pp.create_sources(self.net, back, mdot_kg_per_s=consumers["mass_flow_kg_s"])
        for side in ("supply", "return"):
            pp.create_ext_grids(
                self.net, [row_of[n] for n in sources[f"{side}_node"]],
                p_bar=sources[f"{side}_pressure_pa"] / 1e5, t_k=TEMP_K,
            )  # fmt: skip

    def solve(self) -> float:
        began = time.perf_counter()
        self._pp.pipeflow(
            self.net, friction_model="swamee-jain", mode="hydraulics", tol_p=1e-5, tol_m=1e-5, tol_res=1e-3,
            max_iter_hyd=100, use_numba=has_numba(),
        )  # fmt: skip
        return time.perf_counter() - began

    def flows(self) -> FloatArray:
        pipes: FloatArray = self.net.res_pipe.mdot_from_kg_per_s.to_numpy()
        if not self._valve:
            return pipes
        both: FloatArray = np.r_[pipes, self.net.res_valve.mdot_from_kg_per_s.to_numpy()]
        return both
