"""Hydraulics and heat together: houses get their heat at the temperature that arrives, nothing gets lost."""

from __future__ import annotations

import numpy as np
import pytest

from ..coupled_network import CoupledNetwork
from ..network import BadNetwork, HydraulicFluid, Network
from ..solver import HydraulicSolver
from ..thermal import ThermalTransport

GROUND_C, SOURCE_C, RETURN_C = 8.0, 85.0, 45.0


def street(houses: int = 4, heat_w: float = 30_000.0, fluid: HydraulicFluid | None = None) -> Network:
    """Supply pipes s0-s1-..., return pipes r1-r0, a consumer at every node, a plant at s0."""
    rows = range(houses)
    return Network(
        nodes={
            "id": [f"{side}{i}" for side in "sr" for i in range(houses + 1)],
            "fixed_pressure_pa": [np.nan] * (houses + 1) + [2e5] + [np.nan] * houses,
        },
        pipes={
            "id": [f"s{i}" for i in rows] + [f"r{i}" for i in rows],
            "from_node": [f"s{i}" for i in rows] + [f"r{i + 1}" for i in rows],
            "to_node": [f"s{i + 1}" for i in rows] + [f"r{i}" for i in rows],
            "length_m": [60.0] * (2 * houses),
            "inner_diameter_m": [0.0545] * (2 * houses),
            "linear_loss_w_mk": [0.25] * (2 * houses),
        },
        consumers={
            "id": [f"h{i}" for i in rows],
            "supply_node": [f"s{i + 1}" for i in rows],
            "return_node": [f"r{i + 1}" for i in rows],
            "mode": ["heat"] * houses,
            "heat_w": [heat_w] * houses,
            "supply_temp_c": [SOURCE_C] * houses,
            "return_temp_c": [RETURN_C] * houses,
        },
        sources={
            "id": ["plant"],
            "return_node": ["r0"],
            "supply_node": ["s0"],
            "dp_pa": [2e5],
            "supply_temp_c": [SOURCE_C],
        },
        fluid=fluid,
    )


def coupled(net: Network, initial_temp_c: float = 70.0, **options: object) -> CoupledNetwork:
    transport = ThermalTransport(net, initial_temp_c=initial_temp_c, ground_temp_c=GROUND_C)
    return CoupledNetwork(HydraulicSolver(net), transport, **options)  # type: ignore[arg-type]


def test_one_house_settles_at_the_closed_form() -> None:
    """m cp (Ts - Tr) = Q with Ts = Tg + (T0 - Tg) exp(-U L/(m cp)), solved here by bisection."""
    net = street(1, 40_000.0)
    network = coupled(net)
    for _ in range(400):
        step = network.step(60.0)
    cp = network.transport.heat_capacity_j_kgk

    def surplus(flow: float) -> float:
        arrives = GROUND_C + (SOURCE_C - GROUND_C) * np.exp(-0.25 * 60.0 / (flow * cp))
        return float(flow * cp * (arrives - RETURN_C)) - 40_000.0

    low, high = 0.05, 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if surplus(middle) < 0.0 else (low, middle)
    assert step.hydraulics.mass_flow_kg_s["consumers"][0] == pytest.approx(low, rel=1e-9)
    assert step.consumer_heat_w[0] == pytest.approx(40_000.0, rel=1e-9)
    plant_return_c = GROUND_C + (RETURN_C - GROUND_C) * np.exp(-0.25 * 60.0 / (low * cp))
    assert step.node_temp_c[net.nodes.row("r0")] == pytest.approx(plant_return_c, abs=1e-8)
    assert step.source_heat_w[0] == pytest.approx(low * cp * (SOURCE_C - plant_return_c), rel=1e-9)


def test_every_house_gets_its_heat_and_the_energy_closes() -> None:
    network = coupled(street(), initial_temp_c=50.0)
    before, turned_over, residual = network.transport.stored_j, 0.0, 0.0
    random = np.random.default_rng(4)
    for k in range(300):
        step = network.step(
            30.0,
            source_temp_c=80.0 + 8.0 * np.sin(k / 20.0),
            consumers_heat_w=random.uniform(0.0, 40_000.0, 4),
        )
        given = step.source_heat_w.sum() - step.consumer_heat_w.sum() + step.node_heat_w - step.loss_w
        residual += 30.0 * given
        turned_over += 30.0 * step.source_heat_w.sum()
    assert residual == pytest.approx(network.transport.stored_j - before, abs=1e-9 * turned_over)
    # a closed network: nothing comes or goes through nodes but the solver's residual
    assert abs(step.node_heat_w) <= 1e-6 * step.source_heat_w.sum()
    for _ in range(300):
        step = network.step(60.0, source_temp_c=SOURCE_C, consumers_heat_w=np.full(4, 30_000.0))
    assert step.consumer_heat_w == pytest.approx(np.full(4, 30_000.0), rel=1e-8)
    assert step.source_heat_w.sum() == pytest.approx(120_000.0 + step.loss_w, rel=1e-8)


def test_cold_water_does_not_ask_for_endless_flow() -> None:
    network = coupled(street(), initial_temp_c=20.0)
    step = network.step(60.0)
    assert step.limited.all()
    cp = network.transport.heat_capacity_j_kgk
    most = 30_000.0 / (cp * 5.0)
    assert step.hydraulics.mass_flow_kg_s["consumers"].max() <= most * (1.0 + 1e-9)
    # water colder than the set return comes back as cold as it came
    assert step.consumer_return_temp_c == pytest.approx(np.full(4, 20.0), abs=1e-9)


def test_the_solver_is_told_the_temperatures_of_the_pipes() -> None:
    """Hotter water is thinner: with the same flow the supply loses less pressure after it has warmed up."""
    net = street().changed(consumers_heat_w=np.full(4, 60_000.0))
    warm, never = coupled(net, 60.0, properties_every_s=60.0), coupled(net, 60.0, properties_every_s=None)
    for _ in range(200):
        told, untold = warm.step(60.0), never.step(60.0)
    at = [net.nodes.row(name) for name in ("r4", "r0")]
    drop = told.hydraulics.pressure_pa[at[0]] - told.hydraulics.pressure_pa[at[1]]
    other = untold.hydraulics.pressure_pa[at[0]] - untold.hydraulics.pressure_pa[at[1]]
    # the return runs at 45 degC; the solver's own guess is 75 degC, where water is thinner
    assert drop > 1.01 * other
    assert told.consumer_heat_w == pytest.approx(np.full(4, 60_000.0), rel=1e-8)


def test_bad_input_is_refused_by_name() -> None:
    net = street()
    solver, transport = HydraulicSolver(net), ThermalTransport(net)
    with pytest.raises(BadNetwork, match="Build both from one network"):
        CoupledNetwork(solver, ThermalTransport(street(3)))
    with pytest.raises(BadNetwork, match="source plant"):
        CoupledNetwork(solver, transport, source_temp_c=np.nan)
    network = CoupledNetwork(solver, transport)
    with pytest.raises(BadNetwork, match="carried here"):
        network.step(60.0, consumers_supply_temp_c=np.full(4, 80.0))
    with pytest.raises(BadNetwork, match="shape"):
        network.step(60.0, source_temp_c=[80.0, 80.0])
    before = transport.stored_j
    with pytest.raises(BadNetwork, match="return_temp_c is not given"):
        network.step(60.0, consumers_return_temp_c=[40.0, np.nan, 40.0, 40.0])
    assert transport.stored_j == before and network.time_s == 0.0
