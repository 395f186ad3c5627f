"""Speed of the core on the district of Schutterwald. It judges nothing: the numbers depend on the machine."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core_ext import HydraulicSolver, Network, balance

NETWORK = Path(__file__).parents[2] / "examples" / "schutterwald" / "network.json"
WATER_J_KG_K = 4186.0
DROP_K = 30.0  # supply minus return, enough to turn a flow into a heat


@pytest.fixture(scope="module")
def net() -> Network:
    return Network.read(NETWORK)


def test_solve_cold(benchmark: Any, net: Network) -> None:
    solver = HydraulicSolver(net)
    result = benchmark(solver.solve, warm_start=False)
    assert result.certificate.converged


def test_solve_after_a_small_change(benchmark: Any, net: Network) -> None:
    solver = HydraulicSolver(net)
    solver.solve()
    roughness_m = np.asarray(net.pipes["roughness_m"])
    factors = itertools.cycle((1.0, 1.001))

    def change() -> Any:
        return solver.solve(pipes_roughness_m=roughness_m * next(factors))

    assert benchmark(change).certificate.converged


def test_balance(benchmark: Any, net: Network) -> None:
    flow_kg_s = HydraulicSolver(net).solve().mass_flow_kg_s["consumers"]
    targets = {"heat_w": np.abs(flow_kg_s) * WATER_J_KG_K * DROP_K}
    benchmark(balance, net, targets, {})
