"""What a network refuses, by name, and what it lets through."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from ..network import BadNetwork, HydraulicFluid, Network
from .made_networks import district

NODES = {"id": ["a", "b"]}
PIPE = {"id": ["p"], "from_node": ["a"], "to_node": ["b"], "length_m": [10.0], "inner_diameter_m": [0.1]}
VALVE = {"id": ["v"], "from_node": ["a"], "to_node": ["b"]}
CONSUMER = {"id": ["c"], "supply_node": ["a"], "return_node": ["b"]}
SOURCE = {"id": ["s"], "return_node": ["a"], "supply_node": ["b"]}


@pytest.mark.parametrize(
    ("tables", "element", "code"),
    [
        ({"nodes": NODES, "tubes": {}}, "table tubes", "unknown_table"),
        ({"nodes": {**NODES, "colour": ["x", "y"]}}, "table nodes", "unknown_column"),
        ({"nodes": {"elevation_m": [1.0]}}, "table nodes", "missing_column"),
        ({"nodes": {"id": ["a", "a"]}}, "node a", "duplicate_id"),
        ({"nodes": {"id": ["a", ""]}}, "table nodes row 1", "empty_id"),
        ({"nodes": {**NODES, "elevation_m": [1.0]}}, "table nodes", "wrong_length"),
        ({"nodes": {**NODES, "elevation_m": [1.0, math.nan]}}, "node b", "not_a_number"),
        ({"nodes": {**NODES, "elevation_m": [1.0, "high"]}}, "node b", "not_a_number"),
        ({"nodes": {**NODES, "fixed_pressure_pa": [math.inf, 0.0]}}, "node a", "not_a_number"),
        ({"nodes": NODES, "pipes": {**PIPE, "length_m": [0.0]}}, "pipe p", "not_positive"),
        ({"nodes": NODES, "pipes": {**PIPE, "length_m": [-5.0]}}, "pipe p", "not_positive"),
        ({"nodes": NODES, "pipes": {**PIPE, "length_m": [math.nan]}}, "pipe p", "not_a_number"),
        ({"nodes": NODES, "pipes": {**PIPE, "inner_diameter_m": [0.0]}}, "pipe p", "not_positive"),
        ({"nodes": NODES, "pipes": {**PIPE, "roughness_m": [-1e-4]}}, "pipe p", "too_low"),
        ({"nodes": NODES, "pipes": {**PIPE, "roughness_m": [math.nan]}}, "pipe p", "missing_value"),
        ({"nodes": NODES, "pipes": {**PIPE, "open": [2]}}, "pipe p", "not_a_flag"),
        ({"nodes": NODES, "pipes": {**PIPE, "to_node": ["z"]}}, "pipe p", "unknown_node"),
        ({"nodes": NODES, "pipes": {**PIPE, "to_node": ["a"]}}, "pipe p", "self_loop"),
        ({"nodes": NODES, "pipes": {"id": ["p"]}}, "table pipes", "missing_column"),
        ({"nodes": NODES, "valves": VALVE}, "valve v", "missing_value"),
        ({"nodes": NODES, "valves": {**VALVE, "kind": ["magic"]}}, "valve v", "unknown_kind"),
        ({"nodes": NODES, "valves": {**VALVE, "kv_m3_h": [1.0], "opening": [1.5]}}, "valve v", "too_high"),
        ({"nodes": NODES, "valves": {**VALVE, "kind": ["curve"]}}, "valve v", "missing_curve"),
        (
            {"nodes": NODES, "valves": {**VALVE, "kv_m3_h": [1.0], "kind": ["flow_limit"]}},
            "valve v",
            "missing_value",
        ),
        ({"nodes": NODES, "pumps": VALVE}, "pump v", "pump_without_head"),
        ({"nodes": NODES, "pumps": {**VALVE, "curve": ["nope"]}}, "pump v", "unknown_curve"),
        ({"nodes": NODES, "consumers": CONSUMER}, "consumer c", "missing_value"),
        ({"nodes": NODES, "consumers": {**CONSUMER, "mode": ["valve"]}}, "consumer c", "missing_value"),
        (
            {
                "nodes": NODES,
                "consumers": {
                    **CONSUMER,
                    "mode": ["heat"],
                    "heat_w": [1e4],
                    "supply_temp_c": [50.0],
                    "return_temp_c": [50.0],
                },
            },
            "consumer c",
            "no_temperature_drop",
        ),
        ({"nodes": NODES, "sources": SOURCE}, "source s", "source_not_determined"),
        (
            {"nodes": NODES, "sources": {**SOURCE, "dp_pa": [1e5], "mass_flow_kg_s": [1.0]}},
            "source s",
            "source_not_determined",
        ),
        (
            {"nodes": NODES, "sources": {**SOURCE, "supply_pressure_pa": [1e5]}},
            "source s",
            "source_not_determined",
        ),
        (
            {
                "nodes": {**NODES, "fixed_pressure_pa": [1e5, math.nan]},
                "sources": {**SOURCE, "dp_pa": [1e5], "return_pressure_pa": [2e5]},
            },
            "source s",
            "pressure_fixed_twice",
        ),
        (
            {
                "nodes": NODES,
                "pumps": {**VALVE, "curve": ["k"]},
                "curves": {"id": ["k", "k"], "mass_flow_kg_s": [0.0, 1.0], "dp_pa": [1e5, 2e5]},
            },
            "curve k",
            "pump_curve_rises",
        ),
        (
            {"nodes": NODES, "curves": {"id": ["k", "k"], "mass_flow_kg_s": [1.0, 1.0], "dp_pa": [2e5, 1e5]}},
            "curve k",
            "curve_order",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(tables: dict[str, Any], element: str, code: str) -> None:
    with pytest.raises(BadNetwork) as caught:
        Network(tables)
    assert (caught.value.element, caught.value.code) == (element, code)
    assert caught.value.reason and caught.value.remedy
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_columns_are_read_only_and_defaults_are_filled() -> None:
    net = Network(nodes=NODES, pipes={**PIPE, "open": [False]})
    with pytest.raises(ValueError, match="read-only"):
        net.pipes["length_m"][0] = 5.0
    assert net.pipes["roughness_m"][0] == 1e-4
    assert not net.pipes["open"][0]
    assert net.nodes.row("b") == 1
    assert math.isnan(net.nodes["fixed_pressure_pa"][0])


def test_curves_come_as_points_or_as_lists() -> None:
    points = {"id": ["k", "k"], "mass_flow_kg_s": [0.0, 2.0], "dp_pa": [2e5, 1e5]}
    lists = {"id": ["k"], "mass_flow_kg_s": [[0.0, 2.0]], "dp_pa": [[2e5, 1e5]]}
    assert Network(nodes=NODES, curves=points) == Network(nodes=NODES, curves=lists)


def test_changed_makes_a_new_checked_network() -> None:
    net = district(1)
    other = net.changed(consumers_kv_m3_h=np.full(29, 2.0))
    assert net != other
    assert net.changed(consumers_kv_m3_h=net.consumers["kv_m3_h"]) == net
    with pytest.raises(BadNetwork):
        net.changed(consumers_kv_m3_h=np.full(29, -2.0))


def test_a_fluid_must_be_one() -> None:
    with pytest.raises(BadNetwork) as caught:
        HydraulicFluid(0.0, 1e-3)
    assert caught.value.code == "bad_fluid"
    water = HydraulicFluid.water(20.0)
    assert water.density_kg_m3 == pytest.approx(998.2, rel=1e-3)
    assert water.viscosity_pa_s == pytest.approx(1.002e-3, rel=1e-2)
