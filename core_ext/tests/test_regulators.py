"""Valves that regulate a pressure: closed forms, complementarity in random networks, EPANET beside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..network import BadNetwork, Network
from ..solver import HydraulicResult, HydraulicSolver
from .made_networks import WATER_75, looped_mesh

BAR = 1e5


def line(
    kind: str, setting: float, far_pressure: float = np.nan, demand: float = 2.0, **valve: Any
) -> Network:
    """Reservoir 6 bar - pipe - (u) valve (d) - pipe - (far), which takes water or has a pressure."""
    return Network(
        nodes={
            "id": ["r", "u", "d", "far"],
            "fixed_pressure_pa": [6 * BAR, np.nan, np.nan, far_pressure],
            "mass_injection_kg_s": [0.0, 0.0, 0.0, -demand if np.isnan(far_pressure) else 0.0],
        },
        pipes={
            "id": ["p1", "p2"],
            "from_node": ["r", "d"],
            "to_node": ["u", "far"],
            "length_m": [200.0, 200.0],
            "inner_diameter_m": [0.0703, 0.0703],
        },
        valves={
            "id": ["v"], "from_node": ["u"], "to_node": ["d"], "kind": [kind], "kv_m3_h": [40.0],
            "setting": [setting], **{name: [value] for name, value in valve.items()},
        },
        fluid=WATER_75,
    )  # fmt: skip


def pressures(net: Network) -> tuple[HydraulicResult, dict[str, float]]:
    result = HydraulicSolver(net).solve()
    return result, dict(zip(net.nodes.ids, result.pressure_pa.tolist(), strict=True))


def test_a_reducing_valve_holds_the_pressure_behind_it() -> None:
    result, p = pressures(line("pressure_reducing", 2 * BAR))
    assert p["d"] == pytest.approx(2 * BAR, abs=1e-4)
    assert p["u"] > 5 * BAR
    assert result.mass_flow_kg_s["valves"][0] == pytest.approx(2.0, abs=1e-9)
    assert result.certificate.method == "newton-active-set"
    assert result.certificate.unique == "unknown"
    assert result.certificate.active_limits == ("valve v",)


def test_a_reducing_valve_is_open_where_there_is_nothing_to_reduce() -> None:
    result, p = pressures(line("pressure_reducing", 8 * BAR))
    _plain, q = pressures(line("throttle", np.nan))
    assert result.certificate.active_limits == ()
    assert p == pytest.approx(q, abs=1e-3)


def test_a_reducing_valve_shuts_against_a_higher_pressure_behind_it() -> None:
    result, p = pressures(line("pressure_reducing", 2 * BAR, far_pressure=3 * BAR))
    assert result.mass_flow_kg_s["valves"][0] == 0.0
    assert p["d"] == pytest.approx(3 * BAR, abs=1e-3)
    assert result.certificate.active_limits == ("valve v",)
    backwards, _ = pressures(line("pressure_reducing", 2 * BAR, far_pressure=9 * BAR))
    assert backwards.mass_flow_kg_s["valves"][0] == 0.0


def test_a_reducing_valve_feeds_a_lower_pressure_behind_it() -> None:
    result, p = pressures(line("pressure_reducing", 2 * BAR, far_pressure=1 * BAR))
    assert p["d"] == pytest.approx(2 * BAR, abs=1e-4)
    assert result.mass_flow_kg_s["valves"][0] > 0.0


def test_a_sustaining_valve_holds_the_pressure_before_it() -> None:
    result, p = pressures(line("pressure_sustaining", 5.5 * BAR, far_pressure=1 * BAR))
    assert p["u"] == pytest.approx(5.5 * BAR, abs=1e-4)
    assert result.mass_flow_kg_s["valves"][0] > 0.0
    unable, p = pressures(line("pressure_sustaining", 7 * BAR, far_pressure=1 * BAR))
    assert unable.mass_flow_kg_s["valves"][0] == pytest.approx(0.0, abs=1e-9)
    assert p["u"] == pytest.approx(6 * BAR, abs=1.0)


def test_it_may_sense_elsewhere() -> None:
    result, p = pressures(line("pressure_reducing", 2 * BAR, sense_to="far"))
    assert p["far"] == pytest.approx(2 * BAR, abs=1e-4)
    assert p["d"] > 2 * BAR
    assert result.certificate.converged


def heights(net: Network, high: float) -> Network:
    return net.changed(nodes_elevation_m=np.array([0.0, 0.0, high, high]))


@pytest.mark.parametrize("high", [-20.0, 15.0])
def test_settings_are_gauge_pressures_at_their_height(high: float) -> None:
    _, p = pressures(heights(line("pressure_reducing", 1.5 * BAR), high))
    assert p["d"] == pytest.approx(1.5 * BAR, abs=1e-4)


def branch(setting: float, kv: float = 2.0, **more: Any) -> Network:
    """A plant, a neighbour, and a house behind a differential-pressure controller in its supply."""
    return Network(
        nodes={
            "id": ["s0", "s1", "s2", "r0", "r1"],
            "fixed_pressure_pa": [5 * BAR, *[np.nan] * 2, 2 * BAR, np.nan],
        },
        pipes={
            "id": ["ps", "pr"],
            "from_node": ["s0", "r1"],
            "to_node": ["s1", "r0"],
            "length_m": [150.0, 150.0],
            "inner_diameter_m": [0.0545, 0.0545],
        },
        valves={
            "id": ["dpc"], "from_node": ["s1"], "to_node": ["s2"], "kind": ["dp_control"], "kv_m3_h": [10.0],
            "setting": [setting], "sense_from": ["s2"], "sense_to": ["r1"],
        },
        consumers={
            "id": ["house", "neighbour"], "supply_node": ["s2", "s1"], "return_node": ["r1", "r1"],
            "mode": "valve", "kv_m3_h": [kv, 4.0],
        },
        fluid=WATER_75,
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("kv", [0.1, 1.0, 2.0, 6.3])
def test_a_differential_pressure_controller_holds_what_it_senses(kv: float) -> None:
    result, p = pressures(branch(0.5 * BAR, kv))
    assert p["s2"] - p["r1"] == pytest.approx(0.5 * BAR, abs=1e-4)
    flow = kv / 3600.0 * 974.8 * np.sqrt(0.5 * 1000.0 / 974.8)
    assert result.mass_flow_kg_s["consumers"][0] == pytest.approx(flow, rel=1e-8)


def test_a_tick_moves_a_controller_between_its_states() -> None:
    solver = HydraulicSolver(branch(0.5 * BAR))
    (setting,) = solver.bind("valves_setting")
    for bar in (0.5, 9.0, 0.2, 1.0):
        setting[0] = bar * BAR
        result = solver.tick()
        p = dict(zip(solver.net.nodes.ids, result.pressure_pa.tolist(), strict=True))
        if bar == 9.0:
            assert result.certificate.active_limits == ()
        else:
            assert p["s2"] - p["r1"] == pytest.approx(bar * BAR, abs=1e-4)


def test_many_controllers_at_once() -> None:
    rng = np.random.default_rng(5)
    houses = 40
    net = Network(
        nodes={
            "id": ["S", "R", *[f"{k}{i}" for k in "sdr" for i in range(houses)]],
            "fixed_pressure_pa": [6 * BAR, 2 * BAR, *[np.nan] * (3 * houses)],
        },
        pipes={
            "id": [f"{k}{i}" for k in ("ps", "pr") for i in range(houses)],
            "from_node": ["S", *[f"s{i}" for i in range(houses - 1)], *[f"r{i}" for i in range(houses)]],
            "to_node": [*[f"s{i}" for i in range(houses)], "R", *[f"r{i}" for i in range(houses - 1)]],
            "length_m": 20.0,
            "inner_diameter_m": 0.1071,
        },
        valves={
            "id": [f"v{i}" for i in range(houses)],
            "from_node": [f"s{i}" for i in range(houses)],
            "to_node": [f"d{i}" for i in range(houses)],
            "kind": "dp_control",
            "kv_m3_h": 6.3,
            "setting": rng.uniform(0.1, 2.0, houses) * BAR,
            "sense_from": [f"d{i}" for i in range(houses)],
            "sense_to": [f"r{i}" for i in range(houses)],
        },
        consumers={
            "id": [f"c{i}" for i in range(houses)],
            "supply_node": [f"d{i}" for i in range(houses)],
            "return_node": [f"r{i}" for i in range(houses)],
            "mode": "valve",
            "kv_m3_h": rng.uniform(0.4, 4.0, houses),
        },
        fluid=WATER_75,
    )
    result, p = pressures(net)
    active = set(result.certificate.active_limits)
    assert 0 < len(active) < houses
    for i in range(houses):
        sensed = p[f"d{i}"] - p[f"r{i}"]
        if f"valve v{i}" in active:
            assert sensed == pytest.approx(net.valves["setting"][i], abs=1e-3)
        else:
            assert sensed <= net.valves["setting"][i] + 1e-3


def with_reducers(seed: int) -> Network:
    """A looped zone in which three pipes carry a reducing valve at their end."""
    rng = np.random.default_rng(seed)
    plain = looped_mesh(seed, nodes=40, loops=6, reservoirs=1)
    free = HydraulicSolver(plain).solve()
    rows = rng.choice(plain.pipes.rows, 3, replace=False)
    ids, ends = list(plain.nodes.ids), {k: list(plain.pipes[k]) for k in ("from_node", "to_node")}
    valves: dict[str, Any] = {
        k: [] for k in ("id", "from_node", "to_node", "kind", "setting", "loss_coefficient", "diameter_m")
    }
    extra = []
    height = dict(zip(ids, plain.nodes["elevation_m"].tolist(), strict=True))
    for k, row in enumerate(rows.tolist()):
        a, b = ends["from_node"][row], ends["to_node"][row]
        if free.mass_flow_kg_s["pipes"][row] < 0.0:
            a, b = b, a
            ends["from_node"][row], ends["to_node"][row] = a, b
        middle = f"m{k}"
        extra.append((middle, height[b]))
        ends["to_node"][row] = middle
        free_pressure = free.pressure_pa[plain.nodes.row(b)]
        valves["id"].append(f"v{k}")
        valves["from_node"].append(middle)
        valves["to_node"].append(b)
        valves["kind"].append("pressure_reducing")
        valves["setting"].append(free_pressure * rng.uniform(0.7, 1.1))
        valves["loss_coefficient"].append(2.0)
        valves["diameter_m"].append(0.1)
    tables = {name: dict(plain.tables[name]) for name in ("nodes", "pipes")}
    nodes = tables["nodes"]
    return Network(
        nodes={
            "id": [*ids, *[name for name, _ in extra]],
            "elevation_m": np.r_[nodes["elevation_m"], [h for _, h in extra]],
            "mass_injection_kg_s": np.r_[nodes["mass_injection_kg_s"], np.zeros(len(extra))],
            "fixed_pressure_pa": np.r_[nodes["fixed_pressure_pa"], np.full(len(extra), np.nan)],
        },
        pipes={**tables["pipes"], **ends},
        valves=valves,
        fluid=WATER_75,
    )


@pytest.mark.parametrize("seed", range(40))
def test_reducing_valves_in_looped_networks_keep_their_promise(seed: int) -> None:
    net = with_reducers(seed)
    result, p = pressures(net)
    flow = result.mass_flow_kg_s["valves"]
    active = set(result.certificate.active_limits)
    known = dict(zip(net.nodes.ids, result.pressure_known.tolist(), strict=True))
    for k in range(3):
        if not (known[net.valves["from_node"][k]] and known[net.valves["to_node"][k]]):
            # nothing flows in a part that nobody draws from, and the valve's check shuts it off
            assert flow[k] == 0.0
            continue
        up, down = p[net.valves["from_node"][k]], p[net.valves["to_node"][k]]
        setting = net.valves["setting"][k]
        assert flow[k] >= -1e-9
        if flow[k] > 1e-9:
            assert down <= setting + 1e-3
            assert up >= down - 1e-3
            # it throttles only as far as it must
            if f"valve v{k}" in active:
                assert down == pytest.approx(setting, abs=1e-3)
        else:
            assert down >= setting - 1e-3 or up <= down + 1e-3


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="owa-epanet has wheels up to Python 3.12 only")
def test_reducing_valves_agree_with_epanet(tmp_path: Path) -> None:
    """Wherever EPANET balances; where it only warns, ours is held to its promise by the test above."""
    from .regulators_in_epanet import epanet_pressures

    compared = 0
    for seed in range(40):
        net = with_reducers(seed)
        result, _ = pressures(net)
        theirs = epanet_pressures(net, tmp_path)
        if theirs is None:
            continue
        compared += 1
        head = result.pressure_pa / (WATER_75.density_kg_m3 * WATER_75.gravity_m_s2)
        known = result.pressure_known
        # 4e-5: EPANET's minor losses and cubic foot are rounded
        assert np.abs(head - theirs)[known].max() <= 4e-5 * np.ptp(theirs), seed
    assert compared >= 20


def test_bad_regulators_are_refused_by_name() -> None:
    with pytest.raises(BadNetwork, match="valve v: setting is not given"):
        line("pressure_reducing", np.nan)
    net = branch(0.5 * BAR).changed(valves_sense_to=[""])
    with pytest.raises(BadNetwork, match="valve dpc: kind dp_control senses nothing"):
        HydraulicSolver(net)
