"""A network with reducing valves, solved by EPANET 2.3; for tests, where owa-epanet has a wheel."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from epanet import toolkit as en

from ..network import Network
from ..solver import EPANET_GRAVITY_M_S2, FOOT_M

EPANET_VISCOSITY_FT2_S = 1.1e-5


def number(value: Any) -> str:
    return repr(float(value))


def epanet_pressures(net: Network, folder: Path) -> np.ndarray | None:
    """Pressure of every node in metres of water at 9.80665 m/s2, or None when EPANET does not balance."""
    fluid = net.fluid
    assert fluid is not None
    weight = fluid.density_kg_m3 * fluid.gravity_m_s2
    ratio = fluid.viscosity_pa_s / fluid.density_kg_m3 / FOOT_M**2 / EPANET_VISCOSITY_FT2_S
    nodes, pipes, valves = net.nodes, net.pipes, net.valves
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
    # EPANET's g is 32.2 ft/s2: lengths make up for it, so that heads fall alike
    correction = EPANET_GRAVITY_M_S2 / fluid.gravity_m_s2
    for row in range(pipes.rows):
        loss = number(pipes["loss_coefficient"][row] * correction)
        lines.append(
            f"{pipes['id'][row]} {pipes['from_node'][row]} {pipes['to_node'][row]} "
            f"{number(pipes['length_m'][row] * correction)} {number(pipes['inner_diameter_m'][row] * 1000)} "
            f"{number(pipes['roughness_m'][row] * 1000)} {loss} Open"
        )
    lines.append("[VALVES]")
    for row in range(valves.rows):
        lines.append(
            f"{valves['id'][row]} {valves['from_node'][row]} {valves['to_node'][row]} "
            f"{number(valves['diameter_m'][row] * 1000)} PRV {number(valves['setting'][row] / weight)} "
            f"{number(valves['loss_coefficient'][row] * correction)}"
        )
    lines += [
        "[OPTIONS]",
        "UNITS LPS",
        "PRESSURE METERS",
        "HEADLOSS D-W",
        f"VISCOSITY {ratio!r}",
        "TRIALS 500",
    ]
    lines += ["UNBALANCED STOP", "[TIMES]", "DURATION 0", "[REPORT]", "STATUS NO", "[END]"]
    (folder / "net.inp").write_text("\n".join(lines))
    project: Any = en.createproject()
    try:
        try:
            en.open(project, str(folder / "net.inp"), str(folder / "net.rpt"), str(folder / "net.out"))
        except Exception:  # the wrapper's own type; EPANET refuses valves that share a node
            return None
        en.setoption(project, en.ACCURACY, 1e-7)
        en.openH(project)
        en.initH(project, en.INITFLOW)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            en.runH(project)
        if told:
            return None
        head = [en.getnodevalue(project, en.getnodeindex(project, i), en.HEAD) for i in nodes["id"]]
        en.closeH(project)
    finally:
        en.close(project)
        en.deleteproject(project)
    return np.array(head) - nodes["elevation_m"]
