"""Speed of the kernels on a generated district of 10 000 links. It judges nothing: that is `bench core`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core_ext import HydraulicSolver, ThermalTransport
from core_ext.bench.districts import District, make_district


@pytest.fixture(scope="module")
def district() -> District:
    return make_district(10_000, 0.05)


@pytest.mark.parametrize("variant", ["imposed", "valves"])
def test_solve_cold(benchmark: Any, district: District, variant: str) -> None:
    solver = HydraulicSolver(getattr(district, variant)())
    out = solver.solve()
    benchmark(solver.solve, warm_start=False, out=out)
    assert out.certificate.converged


@pytest.mark.parametrize("variant", ["imposed", "valves"])
def test_tick(benchmark: Any, district: District, variant: str) -> None:
    solver = HydraulicSolver(getattr(district, variant)())
    (column,) = solver.bind("consumers_mass_flow_kg_s" if variant == "imposed" else "consumers_kv_m3_h")
    base, rng = column.copy(), np.random.default_rng(1)

    def change() -> tuple[tuple[()], dict[str, Any]]:
        chosen = rng.choice(len(base), len(base) // 20, replace=False)
        column[chosen] = base[chosen] * rng.uniform(0.9, 1.1, len(chosen))
        return (), {}

    assert benchmark.pedantic(solver.tick, setup=change, rounds=200).certificate.converged


def test_balance(benchmark: Any, district: District) -> None:
    solver = HydraulicSolver(district.imposed())
    found = benchmark(solver.balance, {"mass_flow_kg_s": district.flow_kg_s, "min_dp_pa": 0.6e5})
    assert found.feasible


def test_transport_step(benchmark: Any, district: District) -> None:
    net = district.imposed()
    flow = HydraulicSolver(net).solve().mass_flow_kg_s["pipes"]
    transport = ThermalTransport(net, initial_temp_c=60.0)
    inflow = np.full(net.nodes.rows, 55.0)
    inflow[district.plants] = 90.0
    temps = benchmark(transport.step, 60.0, flow, inflow)
    assert np.isfinite(temps).all()
