"""The numeric kernel against plain numpy: the element laws and the whole Newton iteration."""

from __future__ import annotations

import numpy as np
import pytest

from .. import simd
from ..layout import IMPOSED
from ..network import Network
from ..solver import HydraulicSolver
from .made_networks import WATER_75, district, looped_mesh


@pytest.fixture(params=simd.SUPPORTED)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every instruction level that this processor runs; a new solver takes it."""
    monkeypatch.setattr(simd, "LEVEL", request.param)
    return str(request.param)


def numpy_friction(form: str, re: float, rough: float) -> float:
    """Darcy friction factor; rough is roughness / (3.7 D)."""

    def swamee_jain(r: float) -> float:
        return float(0.25 / np.log10(rough + 5.74 / r**0.9) ** 2)

    def colebrook(r: float) -> float:
        f = swamee_jain(r)
        for _ in range(200):
            f = float(1.0 / (-2.0 * np.log10(rough + 2.51 / (r * np.sqrt(f)))) ** 2)
        return f

    if form == "pandapipes":
        return swamee_jain(re) if re > 64 else swamee_jain(64.0) * 64.0 / re
    if form == "nikuradse":
        return 64.0 / re + float(1.0 / (2.0 * np.log10(rough * 3.7 / 3.71)) ** 2)
    turbulent = colebrook if form == "colebrook" else swamee_jain
    if re <= 2000:
        return 64.0 / re
    if re >= 4000:
        return turbulent(re)
    # cubic Hermite on [2000, 4000]; the derivative at 4000 by a central difference
    end, step = turbulent(4000.0), 1e-2
    slope = (turbulent(4000.0 + step) - turbulent(4000.0 - step)) / (2 * step) * 2000.0
    t = re / 2000.0 - 1.0
    h00, h10 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
    h01, h11 = -2 * t**3 + 3 * t**2, t**3 - t**2
    return h00 * 0.032 + h10 * -0.032 + h01 * end + h11 * slope


def one_pipe(roughness: float = 2e-4, loss: float = 1.5, **more: float) -> Network:
    return Network(
        nodes={"id": ["a", "b"], "fixed_pressure_pa": [1e5, 0.0]},
        pipes={
            "id": ["p"],
            "from_node": ["a"],
            "to_node": ["b"],
            "length_m": 120.0,
            "inner_diameter_m": 0.1,
            "roughness_m": roughness,
            "loss_coefficient": loss,
            **{k: [v] for k, v in more.items()},
        },
        fluid=WATER_75,
    )


RE = [0.5, 30.0, 63.9, 64.1, 500.0, 1999.9, 2000.1, 2500.0, 3999.0, 4001.0, 1e4, 1e5, 3e6]


@pytest.mark.parametrize("form", ["swamee-jain", "colebrook", "pandapipes", "nikuradse"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_pipe_law_is_the_named_formula(form: str, sign: float, level: str) -> None:
    net = one_pipe()
    kernel = HydraulicSolver(net, friction=form)._kernel
    area = np.pi * 0.1**2 / 4
    for re in RE:
        flow = re * WATER_75.viscosity_pa_s * area / 0.1
        f = numpy_friction(form, re, 2e-4 / (3.7 * 0.1))
        expected = (f * 120.0 / 0.1 + 1.5) * flow**2 / (2 * WATER_75.density_kg_m3 * area**2)
        drop, slope = kernel.drops([sign * flow])
        assert drop[0] == pytest.approx(sign * expected, rel=1e-9 if 2000 < re < 4000 else 1e-13)
        step = flow * 1e-6
        high, low = kernel.drops([sign * flow + step])[0], kernel.drops([sign * flow - step])[0]
        if abs(re - 2000) > 1 and abs(re - 4000) > 2 and abs(re - 64) > 1:
            assert slope[0] == pytest.approx((high[0] - low[0]) / (2 * step), rel=1e-5)
        assert slope[0] > 0.0


def test_epanet_form_differs_by_its_constants_only() -> None:
    ours = HydraulicSolver(one_pipe(), friction="swamee-jain")._kernel.drops([3.0])[0][0]
    theirs = HydraulicSolver(one_pipe(), friction="epanet")._kernel.drops([3.0])[0][0]
    assert 0 < abs(theirs / ours - 1) < 2e-4


def test_hazen_williams_law() -> None:
    net = one_pipe(hazen_williams_c=130.0)
    flow = 4.0
    q = flow / WATER_75.density_kg_m3
    # SI form of the same formula: 10.667 L q^1.852 / (C^1.852 d^4.871), 4 digits as usually printed
    head = 10.667 * 120.0 * q**1.852 / (130.0**1.852 * 0.1**4.871)
    area = np.pi * 0.1**2 / 4
    minor = 1.5 * flow**2 / (2 * WATER_75.density_kg_m3 * area**2)
    drop = HydraulicSolver(net, friction="hazen-williams")._kernel.drops([flow])[0][0]
    expected = head * WATER_75.density_kg_m3 * WATER_75.gravity_m_s2 + minor
    assert drop == pytest.approx(expected, rel=2e-4)


def numpy_newton(net: Network, friction: str = "swamee-jain") -> tuple[np.ndarray, np.ndarray]:
    """Flows of all links and pressures: the same equations, dense and slow, for networks without limits."""
    solver = HydraulicSolver(net, friction=friction)
    kernel = solver._kernel
    first, second, fixed = solver._ends
    links, nodes = len(first), len(fixed)
    free = np.flatnonzero(~fixed)
    incidence = np.zeros((nodes, links))
    incidence[first, np.arange(links)] = -1.0
    incidence[second, np.arange(links)] += 1.0
    imposed = solver._kind >= IMPOSED
    flow = np.full(links, 1.0)
    flow[solver._slices["consumers"]] = np.where(
        net.consumers["mode"] == "flow", net.consumers["mass_flow_kg_s"], 1.0
    )
    weight = solver.fluid.density_kg_m3 * solver.fluid.gravity_m_s2
    height = net.nodes["elevation_m"]
    offset = weight * (height[second] - height[first])
    pressure = np.nan_to_num(net.nodes["fixed_pressure_pa"])
    row_of = {name: row for row, name in enumerate(net.nodes.ids)}
    for name, given in zip(net.sources["return_node"], net.sources["return_pressure_pa"], strict=True):
        pressure[row_of[name]] = given
    for _ in range(200):
        drop, slope = kernel.drops(flow)
        conductance = np.where(imposed, 0.0, 1.0 / np.maximum(slope, 1e-6))
        error = np.where(imposed, 0.0, -incidence.T @ pressure - offset - drop)
        laplace = (incidence * conductance) @ incidence.T
        rhs = net.nodes["mass_injection_kg_s"] + incidence @ (flow + conductance * error)
        change = np.zeros(nodes)
        change[free] = np.linalg.solve(laplace[np.ix_(free, free)], rhs[free])
        flow = flow + conductance * (error - incidence.T @ change)
        pressure += change
        if np.abs(error).max() < 5e-9:
            break
    return flow, pressure


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [looped_mesh, district])
def test_newton_agrees_with_numpy(make: object, seed: int, level: str) -> None:
    net = make(seed)  # type: ignore[operator]
    flow, pressure = numpy_newton(net)
    # both far below the certified 1e-5 Pa: in flat loops that much is more than 1e-9 of the flow
    result = HydraulicSolver(net).solve(tol=5e-9)
    assert np.abs(result._flow - flow).max() <= 1e-9 * np.abs(flow).max()
    assert np.abs(result.pressure_pa - pressure).max() <= 1e-9 * np.abs(pressure).max()
