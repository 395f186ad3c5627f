"""The solver against EPANET 2.3, live: same network, both driven to full convergence.

Skipped by name where owa-epanet has no wheel (Python 3.13 and later).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..network import HydraulicFluid, Network
from ..solver import EPANET_GRAVITY_M_S2, EPANET_MINOR_LOSS, EXACT_MINOR_LOSS, FOOT_M, HydraulicSolver
from .made_networks import WATER_75, looped_mesh

if sys.version_info >= (3, 13):
    pytest.skip("owa-epanet has wheels up to Python 3.12 only", allow_module_level=True)

from epanet import toolkit as en

FLUID = HydraulicFluid(
    WATER_75.density_kg_m3, WATER_75.viscosity_pa_s, WATER_75.cp_j_kgk, EPANET_GRAVITY_M_S2
)
# EPANET's INP takes viscosity as a ratio to its rounded kinematic viscosity of water at 20 degC
EPANET_VISCOSITY_FT2_S = 1.1e-5


def number(value: Any) -> str:
    return repr(float(value))


def epanet_flows(net: Network, folder: Path, loss_factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Mass flow of every pipe (kg/s) and head of every node (m) by EPANET at ACCURACY 1e-8."""
    fluid = net.fluid
    assert fluid is not None
    ratio = fluid.viscosity_pa_s / fluid.density_kg_m3 / FOOT_M**2 / EPANET_VISCOSITY_FT2_S
    weight = fluid.density_kg_m3 * fluid.gravity_m_s2
    nodes, pipes = net.nodes, net.pipes
    fixed = np.isfinite(nodes["fixed_pressure_pa"])
    lines = ["[JUNCTIONS]"]
    for row in np.flatnonzero(~fixed).tolist():
        litres = -nodes["mass_injection_kg_s"][row] / fluid.density_kg_m3 * 1000.0
        lines.append(f"{nodes['id'][row]} {number(nodes['elevation_m'][row])} {number(litres)}")
    lines.append("[RESERVOIRS]")
    for row in np.flatnonzero(fixed).tolist():
        head = nodes["elevation_m"][row] + nodes["fixed_pressure_pa"][row] / weight
        lines.append(f"{nodes['id'][row]} {number(head)}")
    lines.append("[PIPES]")
    for row in range(pipes.rows):
        size = [
            pipes["length_m"][row],
            pipes["inner_diameter_m"][row] * 1000,
            pipes["roughness_m"][row] * 1000,
        ]
        size.append(pipes["loss_coefficient"][row] * loss_factor)
        lines.append(
            f"{pipes['id'][row]} {pipes['from_node'][row]} {pipes['to_node'][row]} "
            f"{' '.join(map(number, size))} {'Open' if pipes['open'][row] else 'Closed'}"
        )
    lines += ["[OPTIONS]", "UNITS LPS", "HEADLOSS D-W", f"VISCOSITY {ratio!r}", "TRIALS 500"]
    lines += ["UNBALANCED STOP", "[TIMES]", "DURATION 0", "[REPORT]", "STATUS NO", "[END]"]
    (folder / "net.inp").write_text("\n".join(lines))
    project: Any = en.createproject()
    try:
        en.open(project, str(folder / "net.inp"), str(folder / "net.rpt"), str(folder / "net.out"))
        en.setoption(project, en.ACCURACY, 1e-8)
        en.setoption(project, en.TRIALS, 500)
        en.openH(project)
        en.initH(project, en.INITFLOW)
        en.runH(project)
        flow = [en.getlinkvalue(project, en.getlinkindex(project, i), en.FLOW) for i in pipes["id"]]
        head = [en.getnodevalue(project, en.getnodeindex(project, i), en.HEAD) for i in nodes["id"]]
        en.closeH(project)
    finally:
        en.close(project)
        en.deleteproject(project)
    return np.array(flow) * fluid.density_kg_m3 / 1000.0, np.array(head)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("friction", "bar"), [("swamee-jain", 6e-6), ("epanet", 1e-8)])
def test_looped_networks_agree_with_epanet(seed: int, friction: str, bar: float, tmp_path: Path) -> None:
    net = Network(dict(looped_mesh(seed, nodes=60, loops=20).tables), fluid=FLUID)
    # with our constants, EPANET's second rounding (minor losses, 1.2e-4) is taken out of what it is given
    flow, head = epanet_flows(
        net, tmp_path, 1.0 if friction == "epanet" else EXACT_MINOR_LOSS / EPANET_MINOR_LOSS
    )
    result = HydraulicSolver(net, friction=friction).solve()
    ours = result.mass_flow_kg_s["pipes"]
    assert np.abs(ours - flow).max() <= bar * np.abs(flow).max()
    our_head = net.nodes["elevation_m"] + result.pressure_pa / (FLUID.density_kg_m3 * FLUID.gravity_m_s2)
    assert np.abs(our_head - head).max() <= bar * 10 * np.ptp(head)
