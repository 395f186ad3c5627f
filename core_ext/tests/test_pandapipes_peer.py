"""The solver against the OpenModelica results that pandapipes ships inside its networks.

Bar: pressures to 0.1 %, velocities to 0.005 m/s above Re 4000. Left out: t_cross/valves, versatility and the
pump networks (reference/hydraulics.md section 2), and files named after STANET, whose columns are STANET's.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandapipes
import pytest

from ..formats.pandapipes_json import _rows
from ..network import Network
from ..solver import HydraulicSolver

ROOT = Path(pandapipes.__file__).parent / "networks" / "network_files" / "openmodelica_test_networks"
LEFT_OUT = ("t_cross/valves", "versatility", "pumps", "stanet")
CASES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted(ROOT.glob("water_cases_*/**/*.json"))
    if not any(word in path.relative_to(ROOT).as_posix() for word in LEFT_OUT)
]


def test_there_are_cases() -> None:
    assert len(CASES) >= 18


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_openmodelica(case: str) -> None:
    net = Network.read(ROOT / case)
    assert net.fluid is not None
    content = json.loads((ROOT / case).read_text())["_object"]
    pressure_om = np.array([row["p_om"] for row in _rows(content, "junction")], float)
    velocity_om = np.array([row["v_om"] for row in _rows(content, "pipe")], float)
    result = HydraulicSolver(net, friction="colebrook" if "colebrook" in case else "swamee-jain").solve()
    diameter = net.pipes["inner_diameter_m"]
    flow = result.mass_flow_kg_s["pipes"]
    velocity = flow / (net.fluid.density_kg_m3 * np.pi * diameter**2 / 4)
    reynolds = np.abs(velocity) * diameter * net.fluid.density_kg_m3 / net.fluid.viscosity_pa_s
    fast = (reynolds > 4000) & np.isfinite(velocity_om)
    assert np.abs(velocity - velocity_om)[fast].max(initial=0.0) <= 0.005
    given = np.isfinite(pressure_om)
    # with heights the reference's water is compressible (0.1 % denser at 34 bar), which shifts every static
    # head: there the bar is 0.1 % of the largest pressure
    scale = (
        np.abs(pressure_om[given]).max()
        if np.ptp(net.nodes["elevation_m"]) > 0
        else np.abs(pressure_om)[given]
    )
    assert (np.abs(result.pressure_pa[given] / 1e5 - pressure_om[given]) <= 1e-3 * scale).all()


@pytest.mark.parametrize("case", [c for c in CASES if "swamee" in c and "heights" not in c])
def test_agrees_with_pandapipes_own_formula(case: str) -> None:
    """Form "pandapipes" against pandapipes itself, where every pipe is above Re 4000."""
    theirs = pandapipes.from_json(str(ROOT / case))
    pandapipes.pipeflow(
        theirs, friction_model="swamee-jain", tol_p=1e-10, tol_m=1e-10, tol_res=1e-8, max_iter_hyd=100
    )
    if theirs.res_pipe.reynolds.min() < 4000:
        pytest.skip("a pipe below Re 4000: the two formulas are not meant to agree there")
    net = Network.read(ROOT / case)
    flow = HydraulicSolver(net, friction="pandapipes").solve(tol=1e-7).mass_flow_kg_s["pipes"]
    other = theirs.res_pipe.mdot_from_kg_per_s.to_numpy()
    assert np.abs(flow - other).max() <= 1e-6 * np.abs(other).max()
