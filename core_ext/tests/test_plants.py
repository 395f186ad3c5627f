"""Several plants and pumps: merit order, least power, pressure limits, temperature, relief, oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .. import fluid
from ..balancing import Balance, balance, balanced_network
from ..network import BadNetwork, FloatArray, Network
from ..solver import HydraulicSolver
from ..supply_temperature import hourly_cost
from .made_networks import WATER_75, district
from .test_balancing import fork
from .test_newton import numpy_friction

BAR = 1e5


def town(seed: int, plants: int = 2, streets: int = 24, loops: int = 5, **sources: Any) -> Network:
    """A district with plants at both ends (and in the middle); every consumer has temperatures."""
    net = district(seed, streets=streets, loops=loops, mode="flow")
    at = [0, streets - 1, streets // 2][:plants]
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    tables["consumers"] |= {
        "supply_temp_c": np.full(streets - 1, 80.0),
        "return_temp_c": np.full(streets - 1, 45.0),
    }
    tables["sources"] = {
        "id": [f"plant{i}" for i in range(plants)],
        "return_node": [f"r{i}" for i in at],
        "supply_node": [f"s{i}" for i in at],
        "dp_pa": [2e5] * plants,
        "return_pressure_pa": [2e5] + [np.nan] * (plants - 1),
        "supply_temp_c": [85.0] * plants,
        **sources,
    }
    return Network(tables, fluid=net.fluid)


def demand_w(net: Network) -> float:
    return float(np.sum(net.consumers["mass_flow_kg_s"]) * WATER_75.cp_j_kgk * 35.0)


# -- merit order ----------------------------------------------------------------------------------


def test_the_cheapest_plant_gives_all_it_can() -> None:
    net = town(3, plants=3, cost_per_mwh=[60.0, 20.0, 40.0])
    total = demand_w(net)
    limits = {"max_heat_w": [np.inf, 0.3 * total, 0.45 * total]}
    found = balance(net, limits=limits)
    assert found.method.startswith("merit order by cost")
    share = found.source_mass_flow_kg_s / found.source_mass_flow_kg_s.sum()
    assert share == pytest.approx([0.25, 0.30, 0.45], abs=1e-9)
    assert found.feasible
    assert found.dp_margin_pa.min() == pytest.approx(0.0, abs=1e-3)
    # set so, every consumer and every plant has its flow
    solved = HydraulicSolver(balanced_network(net, found)).solve()
    assert solved.mass_flow_kg_s["consumers"] == pytest.approx(found.mass_flow_kg_s, rel=1e-8)
    assert solved.mass_flow_kg_s["sources"] == pytest.approx(found.source_mass_flow_kg_s, rel=1e-7)


def test_by_emissions_the_order_is_another() -> None:
    net = town(3, cost_per_mwh=[20.0, 60.0], co2_per_mwh=[330.0, 20.0])
    limits = {"max_heat_w": 0.7 * demand_w(net)}
    by_cost, by_co2 = balance(net, limits=limits), balance(net, limits=limits, objective="co2")
    cost_share = by_cost.source_mass_flow_kg_s / by_cost.source_mass_flow_kg_s.sum()
    co2_share = by_co2.source_mass_flow_kg_s / by_co2.source_mass_flow_kg_s.sum()
    assert cost_share == pytest.approx([0.7, 0.3], abs=1e-9)
    assert co2_share == pytest.approx([0.3, 0.7], abs=1e-9)


def test_a_cool_plant_gives_what_the_hot_one_can_warm_up() -> None:
    # 60 degC costs nothing, yet consumers ask for 80: mixed with 100 degC as m1 (60 - 80) + m2 (100 - 80) = 0
    net = town(3, supply_temp_c=[60.0, 100.0], cost_per_mwh=[0.0, 50.0])
    found = balance(net)
    heat = found.source_mass_flow_kg_s * (np.array([60.0, 100.0]) - 45.0)
    total = heat.sum()
    # equal flows: 15 to 55 parts of the heat
    assert heat / total == pytest.approx([15.0 / 70.0, 55.0 / 70.0], rel=1e-6)
    assert found.feasible
    # with a weak hot plant not even that is there, and nobody is told otherwise
    weak = balance(net, limits={"max_heat_w": [np.inf, 0.1 * demand_w(net)]})
    assert not weak.feasible
    assert weak.delivered_fraction.max() < 0.2
    assert {o.code for o in weak.obstacles} == {"source_max_heat_w"}


def test_too_little_heat_goes_to_the_first_priority() -> None:
    net = town(4, cost_per_mwh=[20.0, 40.0])
    priority = np.where(np.arange(net.consumers.rows) < 10, 1, 2)
    heat = net.consumers["mass_flow_kg_s"] * WATER_75.cp_j_kgk * 35.0
    first = float(heat[priority == 1].sum())
    limits = {"max_heat_w": 0.5 * (first + 0.25 * float(heat[priority == 2].sum()))}
    found = balance(net, {"priority": priority}, limits)
    assert found.delivered_fraction[priority == 1] == pytest.approx(np.ones(10), rel=1e-9)
    assert found.delivered_fraction[priority == 2] == pytest.approx(np.full(13, 0.25), rel=1e-6)


def test_merit_order_without_prices_or_temperatures_is_refused() -> None:
    with pytest.raises(BadNetwork, match="cost_per_mwh is not given"):
        balance(town(3), objective="cost")
    cold = town(3, cost_per_mwh=[1.0, 2.0], supply_temp_c=[30.0, 85.0])
    with pytest.raises(BadNetwork, match="supply temperatures above"):
        balance(cold)
    with pytest.raises(BadNetwork, match="is none"):
        balance(town(3), objective="best")


# -- least power ----------------------------------------------------------------------------------


def power_at(net: Network, difference_pa: float) -> float:
    """Least power with the second plant's head this much above the first's, all raised together."""
    dp = np.array([2e5, 2e5 + difference_pa])
    found = balance(net.changed(sources_dp_pa=dp), objective="keep")
    return found.pump_power_w


@pytest.mark.parametrize("seed", range(4))
def test_two_plants_are_set_for_the_least_power_a_search_finds(seed: int) -> None:
    net = town(seed)
    found = balance(net, objective="power")
    assert found.dp_margin_pa.min() == pytest.approx(0.0, abs=1e-3)
    grid = np.linspace(-1.5e5, 1.5e5, 61)
    searched = [power_at(net, d) for d in grid]
    at = int(np.argmin(searched))
    fine = np.linspace(grid[max(at - 1, 0)], grid[min(at + 1, 60)], 41)
    best = min(power_at(net, d) for d in fine)
    assert found.pump_power_w <= best * (1.0 + 1e-4)
    assert found.pump_power_w < balance(net, objective="keep").pump_power_w * (1.0 + 1e-9)
    solved = HydraulicSolver(balanced_network(net, found)).solve()
    assert solved.mass_flow_kg_s["consumers"] == pytest.approx(found.mass_flow_kg_s, rel=1e-7)


def boosted(**pump: Any) -> Network:
    """One long street: a pump half way may help the far end, so that near houses need no high head."""
    streets = 9
    ids = [f"{side}{i}" for side in "sr" for i in range(streets)] + ["b"]
    pipes = [(f"s{i}", f"s{i + 1}") for i in range(streets - 1)] + [
        (f"r{i + 1}", f"r{i}") for i in range(streets - 1)
    ]
    pipes[3] = ("b", "s4")
    return Network(
        nodes={"id": ids},
        pipes={
            "id": [f"p{i}" for i in range(len(pipes))],
            "from_node": [a for a, _ in pipes],
            "to_node": [b for _, b in pipes],
            "length_m": 200.0,
            "inner_diameter_m": 0.0703,
        },
        pumps={"id": ["boost"], "from_node": ["s3"], "to_node": ["b"], **pump},
        curves={"id": ["c", "c", "c"], "mass_flow_kg_s": [0.0, 3.0, 6.0], "dp_pa": [2.4e5, 2.0e5, 1.0e5]}
        if "curve" in pump
        else {},
        consumers={
            "id": [f"c{i}" for i in range(1, streets)],
            "supply_node": [f"s{i}" for i in range(1, streets)],
            "return_node": [f"r{i}" for i in range(1, streets)],
            "mode": "flow",
            "mass_flow_kg_s": 0.5,
            "min_dp_pa": 3e4,
        },
        sources={"id": ["plant"], "return_node": ["r0"], "supply_node": ["s0"], "dp_pa": [3e5],
                 "return_pressure_pa": [2e5]},
        fluid=WATER_75,
    )  # fmt: skip


@pytest.mark.parametrize(
    "pump", [{"fixed_dp_pa": [1e4]}, {"curve": ["c"], "speed": [0.3]}], ids=["fixed", "curve"]
)
def test_a_booster_takes_over_what_only_the_far_end_needs(pump: dict[str, Any]) -> None:
    net = boosted(**pump)
    before, found = balance(net, objective="keep"), balance(net, objective="power")
    assert found.pump_power_w < 0.95 * before.pump_power_w
    assert found.source_dp_pa[0] < before.source_dp_pa[0]
    assert found.pump_dp_pa[0] > before.pump_dp_pa[0]
    # the way of the water is settled: at the optimum both sides of the booster have an index consumer
    near, far = found.dp_margin_pa[:3].min(), found.dp_margin_pa[3:].min()
    assert far == pytest.approx(0.0, abs=1.0)
    # a curve cannot give more than at full speed
    full = "curve" in pump and found.pump_speed[0] == pytest.approx(1.0)
    assert near == pytest.approx(0.0, abs=1.0) or full
    solved = HydraulicSolver(balanced_network(net, found)).solve()
    assert solved.mass_flow_kg_s["consumers"] == pytest.approx(found.mass_flow_kg_s, rel=1e-7)


def test_a_balance_leaves_no_trace_in_the_next() -> None:
    solver = HydraulicSolver(boosted(fixed_dp_pa=[1e4]))
    first = solver.balance(objective="keep")
    solver.balance(objective="power")
    again = solver.balance(objective="keep")
    assert again.kv_m3_h == pytest.approx(first.kv_m3_h, rel=1e-12)
    assert again.source_dp_pa == pytest.approx(first.source_dp_pa, rel=1e-12)


def test_a_pumps_own_limit_holds() -> None:
    found = balance(boosted(fixed_dp_pa=[1e4]), limits={"pump_max_dp_pa": 3e4}, objective="power")
    assert found.pump_dp_pa[0] == pytest.approx(3e4, abs=1.0)


# -- pressure limits ------------------------------------------------------------------------------


def test_nodes_outside_their_limits_are_named_with_the_shift_that_mends_them() -> None:
    net = town(3, plants=1)
    plain = balance(net)
    low, high = plain.result.pressure_pa.min(), plain.result.pressure_pa.max()
    fine = balance(net, limits={"max_pressure_pa": high + 1e4, "min_pressure_pa": low - 2e4})
    assert fine.feasible
    assert fine.static_shift_pa == pytest.approx((-2e4, 1e4), abs=1e-3)
    # the return side is below what it must keep, whatever flows: nobody is curtailed for it
    odd = balance(net, limits={"min_pressure_pa": low + 3e4})
    assert not odd.feasible
    assert (odd.delivered_fraction == 1.0).all()
    assert {o.code for o in odd.obstacles} == {"node_min_pressure"}
    assert odd.static_shift_pa[0] == pytest.approx(3e4, abs=1e-3)


def test_a_highest_pressure_curtails_like_a_head_does() -> None:
    net = fork("row")
    plain = balance(net)
    most = 1e5 + 0.7 * (plain.result.pressure_pa.max() - 1e5)
    by_node = balance(net, limits={"max_pressure_pa": most})
    by_head = balance(net, limits={"max_dp_pa": most - 1e5})
    assert not by_node.feasible
    assert by_node.delivered_fraction == pytest.approx(by_head.delivered_fraction, abs=1e-9)
    assert all("node s0" in o.limit for o in by_node.obstacles)


def test_water_must_not_boil() -> None:
    net = town(3, plants=1, supply_temp_c=[120.0])
    margin = 5e4
    boils = float(fluid.saturation_pressure_pa(120.0)) - fluid.ATMOSPHERE_PA + margin
    found = balance(net, limits={"boiling_margin_pa": margin})
    supply = [i for i, name in enumerate(net.nodes.ids) if name.startswith("s")]
    lowest = found.result.pressure_pa[supply].min()
    assert found.feasible == (lowest >= boils)
    cold = balance(net.changed(sources_return_pressure_pa=[2e4]), limits={"boiling_margin_pa": margin})
    assert not cold.feasible
    assert cold.static_shift_pa[0] > 0.0


# -- supply temperature ---------------------------------------------------------------------------


def heated(loss: float) -> Network:
    net = town(5, plants=1)
    heat = net.consumers["mass_flow_kg_s"] * WATER_75.cp_j_kgk * 35.0
    return net.changed(
        consumers_mode=["heat"] * net.consumers.rows,
        consumers_heat_w=heat,
        pipes_linear_loss_w_mk=np.full(net.pipes.rows, loss),
    )


def test_the_temperature_between_cheap_pumping_and_little_loss() -> None:
    net = heated(0.35)
    wanted: dict[str, Any] = {"min_supply_temp_c": 60.0, "max_supply_temp_c": 110.0}
    solver = HydraulicSolver(net)
    found = solver.balance(wanted)

    def cost(temp: float) -> float:
        there = solver.balance({"heat_w": net.consumers["heat_w"], "supply_temp_c": temp})
        return hourly_cost(solver, there, temp, {})

    grid = np.linspace(60.0, 110.0, 101)
    best = grid[int(np.argmin([cost(float(t)) for t in grid]))]
    assert found.supply_temp_c == pytest.approx(best, abs=0.6)
    assert cost(found.supply_temp_c) <= min(cost(float(t)) for t in grid) * (1.0 + 1e-4)
    assert found.heat_w == pytest.approx(net.consumers["heat_w"], rel=1e-9)


def test_bounds_of_the_temperature() -> None:
    leaky = HydraulicSolver(heated(50.0)).balance({"min_supply_temp_c": 65.0, "max_supply_temp_c": 100.0})
    assert leaky.supply_temp_c == 65.0 and "lowest bound" in leaky.method
    tight = HydraulicSolver(heated(0.0)).balance({"min_supply_temp_c": 65.0, "max_supply_temp_c": 100.0})
    assert tight.supply_temp_c == 100.0 and "highest bound" in tight.method
    with pytest.raises(BadNetwork, match="bears"):
        needs = np.full(23, 60.0)
        needs[4] = 95.0
        HydraulicSolver(heated(0.3)).balance({"min_supply_temp_c": needs, "max_supply_temp_c": 90.0})
    # what cannot be pumped cool is pumped hot
    short = HydraulicSolver(heated(50.0))
    cool = short.balance({"heat_w": heated(50.0).consumers["heat_w"], "supply_temp_c": 65.0})
    limit = {"max_dp_pa": 3e4 + 0.5 * (float(cool.source_dp_pa[0]) - 3e4)}
    hot = short.balance({"min_supply_temp_c": 65.0, "max_supply_temp_c": 110.0}, limit)
    assert hot.feasible and 66.0 < hot.supply_temp_c < 110.0


# -- relief and the oracle ------------------------------------------------------------------------


def relief_of(found: Balance, element: str) -> Any:
    return next(r for r in found.relief if r.element == element)


def test_the_value_of_relieving_is_what_more_of_it_brings() -> None:
    net = fork("row")
    head = 1e4 + 0.6 * (balance(net).source_dp_pa[0] - 1e4)
    found = balance(net, limits={"max_dp_pa": head})
    relief = relief_of(found, "source plant")
    assert relief.limit == "max_dp_pa"
    more = balance(net, limits={"max_dp_pa": head + 10.0})
    gained = (more.delivered_fraction - found.delivered_fraction) / 10.0
    assert gained == pytest.approx(np.full(3, relief.fraction_per_unit), rel=1e-3)
    assert (more.heat_w.sum() - found.heat_w.sum()) / 10.0 == pytest.approx(relief.heat_w_per_unit, rel=1e-3)
    # every pipe of the row stands in the way; shorter, it would let more through
    pipes = [r.element for r in found.relief if r.limit == "pressure_loss_pa"]
    assert sorted(pipes) == sorted(f"pipe {name}" for name in net.pipes.ids)
    loss = 0.01 * net.pipes["length_m"][0]
    length = net.pipes["length_m"].copy()
    length[0] -= loss
    eased = balance(net.changed(pipes_length_m=length), limits={"max_dp_pa": head})
    per_metre = relief_of(found, "pipe ps0").value / net.pipes["length_m"][0]
    want = relief_of(found, "pipe ps0").fraction_per_unit * per_metre * loss
    assert eased.delivered_fraction - found.delivered_fraction == pytest.approx(np.full(3, want), rel=2e-2)


@pytest.mark.parametrize("limit", ["max_heat_w", "max_flow_kg_s"])
def test_the_value_of_more_heat_or_flow(limit: str) -> None:
    net = fork("star")
    flow = float(net.consumers["mass_flow_kg_s"].sum())
    value = 0.6 * flow * (WATER_75.cp_j_kgk * 30.0 if limit == "max_heat_w" else 1.0)
    found, step = balance(net, limits={limit: value}), 1e-3 * value
    more = balance(net, limits={limit: value + step})
    relief = relief_of(found, "source plant")
    gained = (more.heat_w.sum() - found.heat_w.sum()) / step
    assert gained == pytest.approx(relief.heat_w_per_unit, rel=1e-5)
    assert found.fraction_bound == pytest.approx(0.6, abs=1e-9)


class Tree:
    """Plain formulas of a random tree with one plant: what head the flows need. Not the core's code."""

    def __init__(self, seed: int, consumers: int) -> None:
        rng = np.random.default_rng(seed)
        self.upstream = [int(rng.integers(-1, i)) for i in range(consumers)]
        self.length = rng.uniform(50.0, 300.0, consumers)
        self.diameter = rng.choice([0.0285, 0.0372, 0.0431, 0.0545], consumers)
        self.target = rng.uniform(0.2, 1.2, consumers)
        self.priority = rng.integers(1, 4, consumers)
        self.own = np.where(rng.random(consumers) < 0.2, 0.5 * self.target, np.nan)

    def network(self) -> Network:
        n = len(self.target)
        name = [f"{u + 1}" for u in self.upstream]
        return Network(
            nodes={"id": [f"s{i}" for i in range(n + 1)] + [f"r{i}" for i in range(n + 1)]},
            pipes={
                "id": [f"ps{i}" for i in range(n)] + [f"pr{i}" for i in range(n)],
                "from_node": [f"s{u}" for u in name] + [f"r{i + 1}" for i in range(n)],
                "to_node": [f"s{i + 1}" for i in range(n)] + [f"r{u}" for u in name],
                "length_m": np.tile(self.length, 2),
                "inner_diameter_m": np.tile(self.diameter, 2),
            },
            consumers={
                "id": [f"c{i}" for i in range(n)],
                "supply_node": [f"s{i + 1}" for i in range(n)],
                "return_node": [f"r{i + 1}" for i in range(n)],
                "mode": "flow", "mass_flow_kg_s": self.target, "priority": self.priority, "min_dp_pa": 1e4,
                "supply_temp_c": 80.0, "return_temp_c": 50.0, "max_flow_kg_s": self.own,
            },
            sources={"id": ["plant"], "return_node": ["r0"], "supply_node": ["s0"], "dp_pa": [1e5],
                     "return_pressure_pa": [1e5]},
            fluid=WATER_75,
        )  # fmt: skip

    def needed(self, flow: FloatArray) -> float:
        carried = flow.copy()
        for i in range(len(flow) - 1, -1, -1):
            if self.upstream[i] >= 0:
                carried[self.upstream[i]] += carried[i]
        lost = np.zeros(len(flow))
        for i, up in enumerate(self.upstream):
            area = np.pi * self.diameter[i] ** 2 / 4
            speed = carried[i] / area
            drop = 0.0
            if speed > 0.0:
                reynolds = speed * self.diameter[i] / WATER_75.viscosity_pa_s
                f = numpy_friction("swamee-jain", reynolds, 1e-4 / (3.7 * self.diameter[i]))
                drop = 2 * f * self.length[i] / self.diameter[i] * speed**2 / (2 * WATER_75.density_kg_m3)
            lost[i] = drop + (lost[up] if up >= 0 else 0.0)
        return float(np.max(np.where(flow > 0, lost + 1e4, 0.0)))

    def best(self, head: float, flow: float) -> FloatArray:
        """By definition: each level as high as it goes; held is who cannot rise alone while the rest stay.

        More flow anywhere never lessens what is needed, so the rest at their level is the best case for one.
        """
        ceiling = np.where(np.isnan(self.own), 1.0, np.minimum(self.own / self.target, 1.0))
        fraction = np.zeros(len(self.target))

        def fits(trial: FloatArray) -> bool:
            return self.needed(trial * self.target) <= head and float(np.sum(trial * self.target)) <= flow

        for level in sorted(set(self.priority.tolist())):
            rising = [i for i in range(len(self.target)) if self.priority[i] == level]
            while rising:
                low, high = 0.0, 1.0

                def at(
                    height: float, rising: list[int] = rising, fraction: FloatArray = fraction
                ) -> FloatArray:
                    trial = fraction.copy()
                    trial[rising] = np.minimum(height, ceiling[rising])
                    return trial

                if fits(at(1.0)):
                    fraction = at(1.0)
                    break
                for _ in range(50):
                    middle = 0.5 * (low + high)
                    low, high = (middle, high) if fits(at(middle)) else (low, middle)
                fraction = at(low)
                held = []
                for i in rising:
                    trial = fraction.copy()
                    trial[i] += 1e-6
                    if fraction[i] >= ceiling[i] or not fits(trial):
                        held.append(i)
                rising = [i for i in rising if i not in held]
        return fraction


@pytest.mark.parametrize("seed", range(40))
def test_curtailment_is_what_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    tree = Tree(seed, int(rng.integers(2, 9)))
    head = 1e4 + rng.uniform(0.05, 0.9) * (tree.needed(tree.target) - 1e4)
    flow = rng.uniform(0.3, 1.2) * float(tree.target.sum())
    want = tree.best(head, flow)
    found = balance(tree.network(), limits={"max_dp_pa": head, "max_flow_kg_s": flow})
    assert found.delivered_fraction == pytest.approx(want, abs=2e-6)
    assert found.feasible == bool((want >= 1.0).all())
    assert {o.consumer for o in found.obstacles} == {
        f"c{i}" for i in range(len(want)) if want[i] < 1.0 - 1e-9
    }


def test_a_bridged_network_is_curtailed_too() -> None:
    net = fork("row")
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    tables["valves"] = {"id": ["bypass"], "from_node": ["s3"], "to_node": ["r3"], "kv_m3_h": [0.8]}
    bridged = Network(tables, fluid=net.fluid)
    plain = balance(bridged)
    assert plain.feasible and plain.source_dp_pa[0] > balance(net).source_dp_pa[0]
    head = 0.7 * plain.source_dp_pa[0]
    found = balance(bridged, limits={"max_dp_pa": head})
    assert found.source_dp_pa[0] == pytest.approx(head, rel=1e-6)
    assert np.ptp(found.delivered_fraction) <= 1e-6 and 0.3 < found.delivered_fraction[0] < 1.0
    # nobody could have more: the same a little higher does not fit
    more = balance(bridged, {"mass_flow_kg_s": found.mass_flow_kg_s * (1.0 + 1e-5)}, {"max_dp_pa": head})
    assert not more.feasible
