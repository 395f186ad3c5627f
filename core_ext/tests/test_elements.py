"""The coefficient kernel against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from ..network import Network
from ..solver import HydraulicSolver
from .made_networks import WATER_75


def net_with(valves: dict[str, object] | None = None, **tables: dict[str, object]) -> Network:
    return Network(
        {
            "nodes": {"id": ["a", "b"], "fixed_pressure_pa": [2e5, 1e5]},
            **({"valves": {"id": ["v"], "from_node": ["a"], "to_node": ["b"], **valves}} if valves else {}),
            **tables,
        },
        fluid=WATER_75,
    )


@pytest.mark.parametrize("opening", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("characteristic", ["linear", "equal-percentage"])
def test_throttle_by_kv(opening: float, characteristic: str) -> None:
    net = net_with({"kv_m3_h": [6.3], "opening": [opening], "characteristic": [characteristic]})
    kv = 6.3 * (opening if characteristic == "linear" else 50.0 ** (opening - 1.0))
    flow = HydraulicSolver(net).solve().mass_flow_kg_s["valves"][0]
    # kv is m3/h of water of 1000 kg/m3 at 1 bar
    volume_m3_h = kv * np.sqrt(1e5 / 1e5 * 1000.0 / WATER_75.density_kg_m3)
    assert flow == pytest.approx(volume_m3_h / 3600.0 * WATER_75.density_kg_m3, rel=1e-10)


def test_throttle_by_loss_coefficient() -> None:
    net = net_with({"loss_coefficient": [12.0], "diameter_m": [0.05]})
    flow = HydraulicSolver(net).solve().mass_flow_kg_s["valves"][0]
    velocity = np.sqrt(2 * 1e5 / (12.0 * WATER_75.density_kg_m3))
    assert flow == pytest.approx(velocity * np.pi * 0.05**2 / 4 * WATER_75.density_kg_m3, rel=1e-10)


def test_valve_curve_is_read_between_its_points() -> None:
    net = net_with(
        {"kind": ["curve"], "curve": ["g"]},
        curves={"id": ["g"] * 3, "mass_flow_kg_s": [0.0, 2.0, 4.0], "dp_pa": [0.0, 5e4, 1.5e5]},
    )
    assert HydraulicSolver(net).solve().mass_flow_kg_s["valves"][0] == pytest.approx(3.0, rel=1e-10)


def test_consumer_modes() -> None:
    net = net_with(
        consumers={
            "id": ["f", "v", "h", "m"],
            "supply_node": ["a"] * 4,
            "return_node": ["b"] * 4,
            "mode": ["flow", "valve", "heat", "flow"],
            "mass_flow_kg_s": [0.3, np.nan, np.nan, 0.9],
            "kv_m3_h": [np.nan, 2.0, np.nan, np.nan],
            "heat_w": [np.nan, np.nan, 5e4, np.nan],
            "supply_temp_c": [np.nan, np.nan, 80.0, np.nan],
            "return_temp_c": [np.nan, np.nan, 50.0, np.nan],
            "max_flow_kg_s": [np.nan, np.nan, np.nan, 0.7],
        }
    )
    flow = HydraulicSolver(net).solve().mass_flow_kg_s["consumers"]
    assert flow[0] == 0.3
    assert flow[1] == pytest.approx(2.0 * np.sqrt(1000.0 / 974.8) / 3600.0 * 974.8, rel=1e-10)
    assert flow[2] == pytest.approx(5e4 / (4193.0 * 30.0), rel=1e-14)
    assert flow[3] == 0.7


@pytest.mark.parametrize("speed", [0.4, 1.0, 1.2])
@pytest.mark.parametrize("points", [1, 3, 4])
def test_pump_curves_and_affinity(points: int, speed: float) -> None:
    flows = {1: [5.0], 3: [0.0, 5.0, 8.0], 4: [0.0, 3.0, 6.0, 9.0]}[points]
    gains = {1: [3e5], 3: [4e5, 3e5, 1e5], 4: [4e5, 3.6e5, 2.4e5, 0.4e5]}[points]
    net = Network(
        nodes={"id": ["a", "b"], "fixed_pressure_pa": [1e5, 1.3e5]},
        pumps={"id": ["u"], "from_node": ["a"], "to_node": ["b"], "curve": ["c"], "speed": [speed]},
        curves={"id": ["c"] * points, "mass_flow_kg_s": flows, "dp_pa": gains},
        fluid=WATER_75,
    )
    flow = HydraulicSolver(net).solve().mass_flow_kg_s["pumps"][0]
    scaled = flow / speed
    if points == 1:
        gain = 4e5 - 1e5 * (scaled / 5.0) ** 2
    elif points == 3:
        exponent = np.log(3e5 / 1e5) / np.log(8.0 / 5.0)
        gain = 4e5 - 1e5 * (scaled / 5.0) ** exponent
    else:
        last = gains[-2] + (gains[-1] - gains[-2]) / 3.0 * (scaled - 6.0)
        gain = np.interp(scaled, flows, gains) if scaled <= 9.0 else last
    assert flow > 0.0
    assert speed**2 * gain == pytest.approx(0.3e5, rel=1e-8)
