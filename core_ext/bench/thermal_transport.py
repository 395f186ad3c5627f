"""Times the thermal transport beside EPANET's quality engine, in one process and interleaved.

    python -m core_ext.bench.thermal_transport --pipes 3386 --step 60 --hours 24 --out build/thermal.json

One supply half is carried for a day with constant flows by both: EPANET takes the temperature above the
ground as a constituent that decays with 4 U/(rho cp pi D^2). Both are compared with the exact steady state
at the consumers. It also times flows and temperatures that change in every step, which EPANET is not asked
for, and writes everything as one JSON object. EPANET is left out, by name, where owa-epanet has no wheel.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import simd
from ..network import Network
from ..thermal import ThermalTransport

FloatArray = NDArray[np.float64]

GROUND_C, SUPPLY_C = 8.0, 85.0
# inner diameters of pre-insulated steel pipe, m, and their heat loss, W/(m K): usual catalogue figures
DIAMETERS_M = np.array([
    0.0217, 0.0285, 0.0372, 0.0431, 0.0545, 0.0703, 0.0825, 0.1071, 0.1325, 0.1603, 0.2101, 0.263, 0.3127,
    0.3444, 0.3938, 0.4444, 0.4954, 0.5958, 0.695, 0.795, 0.994,
])  # fmt: skip
LOSSES_W_MK = np.linspace(0.12, 0.55, len(DIAMETERS_M))


@dataclass(frozen=True, slots=True)
class District:
    """A supply half: network, flow of each pipe (kg/s, from its from_node on), temperature at the plant."""

    net: Network
    mass_flow_kg_s: FloatArray
    plant: int
    demand_kg_s: FloatArray

    def inflow_temp_c(self, temp_c: float = SUPPLY_C) -> FloatArray:
        values = np.full(self.net.nodes.rows, np.nan)
        values[self.plant] = temp_c
        return values


def make_district(pipes: int, seed: int = 1, loops: float = 0.05) -> District:
    """Nearest-neighbour streets: every new node joins its nearest earlier one, some join a second one too.

    Flows follow the tree; each loop pipe carries a small part of what its downstream end needs.
    """
    random = np.random.default_rng(seed)
    nodes = int(pipes / (1.0 + loops)) + 1
    extra = pipes - (nodes - 1)
    points = random.uniform(0.0, 1.0, (nodes, 2)) * np.sqrt(nodes) * 55.0
    points = points[np.argsort(np.hypot(*(points - points.mean(axis=0)).T))]  # the plant in the middle
    parent = np.zeros(nodes, dtype=np.int64)
    second = np.zeros(nodes, dtype=np.int64)
    for node in range(1, nodes):
        distance = np.hypot(*(points[:node] - points[node]).T)
        nearest = np.argsort(distance)[:2]
        parent[node], second[node] = nearest[0], nearest[-1]
    demand = np.where(random.uniform(size=nodes) < 0.9, random.uniform(0.02, 0.35, nodes), 0.0)
    demand[0] = 0.0
    leaf = np.bincount(parent[1:], minlength=nodes) == 0
    demand[leaf] = np.maximum(demand[leaf], 0.02)
    depth = np.zeros(nodes, dtype=np.int64)
    for node in range(1, nodes):
        depth[node] = depth[parent[node]] + 1
    able = np.flatnonzero((second != parent) & (np.arange(nodes) > 1) & (demand > 0.0))
    joined = random.choice(able, extra, replace=False)
    through_loop = np.zeros(nodes)
    through_loop[joined] = 0.3 * demand[joined]
    need = demand.copy()
    flow = np.zeros(nodes)
    for node in range(nodes - 1, 0, -1):  # children have higher numbers than parents
        flow[node] = need[node] - through_loop[node]
        need[parent[node]] += flow[node]
        need[second[node]] += through_loop[node] if through_loop[node] else 0.0
    children = np.arange(1, nodes)
    from_rows = np.concatenate([parent[1:], second[joined]])
    to_rows = np.concatenate([children, joined])
    mass_flow = np.concatenate([flow[1:], through_loop[joined]])
    lengths = np.maximum(np.hypot(*(points[from_rows] - points[to_rows]).T), 2.0)
    # about 100 Pa/m: v = 0.9 m/s at DN 100, growing with D^0.6
    wanted = (mass_flow / (975.0 * np.pi / 4.0 * 0.9 * 0.1**-0.6)) ** (1.0 / 2.6)
    size = np.minimum(np.searchsorted(DIAMETERS_M, wanted), len(DIAMETERS_M) - 1)
    ids = [f"n{row}" for row in range(nodes)]
    net = Network(
        nodes={"id": ids},
        pipes={
            "id": [f"p{row}" for row in range(len(from_rows))],
            "from_node": [ids[row] for row in from_rows],
            "to_node": [ids[row] for row in to_rows],
            "length_m": lengths,
            "inner_diameter_m": DIAMETERS_M[size],
            "linear_loss_w_mk": LOSSES_W_MK[size],
        },
    )
    return District(net, mass_flow, 0, demand)


def _input_file(district: District, step_s: int, hours: int, density: float, heat_capacity: float) -> str:
    """EPANET input whose flows are the district's own: a very steep pressure-free set of demands on a tree is
    not needed, because quality only sees the flows EPANET finds; those are read back and used for both."""
    pipes = district.net.pipes
    area = np.pi / 4.0 * pipes["inner_diameter_m"] ** 2
    decay_1_d = pipes["linear_loss_w_mk"] / (density * heat_capacity * area) * 86400.0
    lines = ["[JUNCTIONS]"]
    for row, name in enumerate(district.net.nodes.ids):
        if row != district.plant:
            lines.append(f"{name} 0 {float(district.demand_kg_s[row] / density * 1000.0)!r}")
    lines += ["[RESERVOIRS]", f"{district.net.nodes.ids[district.plant]} 5000", "[PIPES]"]
    for row in range(pipes.rows):
        lines.append(
            f"{pipes['id'][row]} {pipes['from_node'][row]} {pipes['to_node'][row]} "
            f"{float(pipes['length_m'][row])!r} {float(pipes['inner_diameter_m'][row] * 1000)!r} 0.1 0 OPEN"
        )
    lines += ["[REACTIONS]", "ORDER BULK 1"]
    lines += [f"BULK {name} {-rate!r}" for name, rate in zip(pipes.ids, decay_1_d.tolist(), strict=True)]
    lines += [
        "[QUALITY]",
        f"{district.net.nodes.ids[district.plant]} {SUPPLY_C - GROUND_C!r}",
        "[OPTIONS]", "UNITS LPS", "HEADLOSS D-W", "ACCURACY 1e-5", "TRIALS 200",
        "QUALITY Chemical mg/L", "DIFFUSIVITY 0", "TOLERANCE 0.01",
        "[TIMES]", f"DURATION {hours}:00", "HYDRAULIC TIMESTEP 24:00",
        f"QUALITY TIMESTEP 0:{step_s // 60:02d}:{step_s % 60:02d}", "REPORT TIMESTEP 24:00", "[END]",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


class EpanetQuality:
    """EPANET's quality engine on a district's supply half."""

    def __init__(
        self, district: District, step_s: int, hours: int, density: float, heat_capacity: float
    ) -> None:
        from epanet import toolkit as en

        self._en = en
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name)
        (path / "d.inp").write_text(_input_file(district, step_s, hours, density, heat_capacity))
        self._project = en.createproject()
        en.open(self._project, str(path / "d.inp"), str(path / "d.rpt"), str(path / "d.out"))
        en.solveH(self._project)
        # flows of the last hydraulic state, kg/s, in the pipes' order
        en.openH(self._project)
        en.initH(self._project, 0)
        en.runH(self._project)
        self.mass_flow_kg_s = np.array([
            en.getlinkvalue(self._project, row + 1, en.FLOW) * density / 1000.0
            for row in range(district.net.pipes.rows)
        ])  # fmt: skip
        en.closeH(self._project)
        en.solveH(self._project)
        self._rows = [en.getnodeindex(self._project, name) for name in district.net.nodes.ids]

    def run(self) -> tuple[float, int]:
        """Carry the whole time; seconds of wall time and number of quality steps."""
        en, project = self._en, self._project
        en.openQ(project)
        en.initQ(project, 0)
        en.runQ(project)
        steps = 0
        began = time.perf_counter()
        while en.stepQ(project) > 0:
            steps += 1
        spent = time.perf_counter() - began
        self.temp_c = np.array([en.getnodevalue(project, row, en.QUALITY) for row in self._rows]) + GROUND_C
        en.closeQ(project)
        return spent, steps + 1


def _carry(
    district: District, flow: FloatArray, step_s: float, steps: int, **options: Any
) -> tuple[float, ThermalTransport]:
    transport = ThermalTransport(district.net, initial_temp_c=GROUND_C, ground_temp_c=GROUND_C, **options)
    inflow = district.inflow_temp_c()
    began = time.perf_counter()
    for _ in range(steps):
        transport.step(step_s, flow, inflow)
    return time.perf_counter() - began, transport


def _carry_changing(district: District, flow: FloatArray, step_s: float, steps: int) -> float:
    """Every flow and the plant's temperature change in every step; seconds of wall time."""
    random = np.random.default_rng(2)
    transport = ThermalTransport(district.net, initial_temp_c=GROUND_C, ground_temp_c=GROUND_C)
    flows = [flow * factor for factor in random.uniform(0.8, 1.2, 24)]
    inflows = [district.inflow_temp_c(SUPPLY_C + 5.0 * np.sin(2 * np.pi * k / 720.0)) for k in range(steps)]
    for k in range(steps // 4):
        transport.step(step_s, flows[k % 24], inflows[k])
    began = time.perf_counter()
    for k in range(steps // 4, steps):
        transport.step(step_s, flows[k % 24], inflows[k])
    return (time.perf_counter() - began) * steps / (steps - steps // 4)


def measure(pipes: int, step_s: int, hours: int, repeats: int, seed: int = 1) -> dict[str, Any]:
    """One row of the table: times per pipe and step in ns, and errors at the consumers in mK."""
    district = make_district(pipes, seed)
    steps = hours * 3600 // step_s
    probe = ThermalTransport(district.net)
    epanet = None
    flow = district.mass_flow_kg_s
    if sys.version_info < (3, 13):
        epanet = EpanetQuality(district, step_s, hours, probe.density_kg_m3, probe.heat_capacity_j_kgk)
        flow = epanet.mass_flow_kg_s
    consumers = district.demand_kg_s > 0.0
    times: dict[str, list[float]] = {"bare": [], "wall": [], "changing": [], "epanet": []}
    for _ in range(repeats):
        spent, bare = _carry(district, flow, step_s, steps, wall_heat_capacity_j_mk=0.0)
        times["bare"].append(spent / steps)
        if epanet is not None:
            spent, taken = epanet.run()
            times["epanet"].append(spent / taken)
        spent, walled = _carry(district, flow, step_s, steps)
        times["wall"].append(spent / steps)
        times["changing"].append(_carry_changing(district, flow, step_s, steps) / steps)
    steady = bare.steady(flow, district.inflow_temp_c()).node_temp_c

    def errors(temp_c: FloatArray) -> dict[str, float]:
        off = 1000.0 * np.abs(temp_c - steady)[consumers]
        return {
            "median_mk": float(np.median(off)),
            "p99_mk": float(np.percentile(off, 99)),
            "max_mk": float(off.max()),
        }

    row: dict[str, Any] = {
        "pipes": district.net.pipes.rows, "step_s": step_s, "hours": hours, "level": simd.LEVEL,
        "ns_per_pipe_step": {
            name: 1e9 * statistics.median(values) / district.net.pipes.rows
            for name, values in times.items() if values
        },
        "error": {"bare": errors(bare.node_temp_c), "wall": errors(walled.node_temp_c)},
    }  # fmt: skip
    if epanet is not None:
        row["error"]["epanet"] = errors(epanet.temp_c)
        row["times_faster_than_epanet"] = {
            name: row["ns_per_pipe_step"]["epanet"] / row["ns_per_pipe_step"][name]
            for name in ("bare", "wall")
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pipes", type=int, default=3386)
    parser.add_argument("--step", type=int, default=60, help="seconds")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    row = measure(given.pipes, given.step, given.hours, given.repeats)
    text = json.dumps(row, indent=1)
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
