"""Every controller in double and in rounded single precision: where floats occur, and how far apart they end.

Floats occur at the edges alone: the sensors' characteristics and the numbers of site.json. Both are rounded
to 24 bits of mantissa here, as a chip without doubles has them; everything between is whole numbers. The
bound is printed and asserted.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

from firmware.substation import sensor_kinds, sensors, settings
from firmware.substation.fixed_point import per_unit

from .dhw_rig import INSTANTANEOUS, STORAGE, TWO_CIRCUITS, FunctionRig
from .loop_rig import STATION_INPUTS, StationRig

SUBSTATION = Path(settings.__file__).parent
# Modules that may hold a float: the edges. Each is covered below or by its own test.
EDGES = {"sensors.py", "sensor_kinds.py", "site.py", "site_functions.py", "registers.py", "fixed_point.py"}


def f32(x):
    return float(np.float32(x))


def pt1000_single(temp_c):
    t = np.float32(temp_c)
    ratio = np.float32(1) + np.float32(sensors.A) * t + np.float32(sensors.B) * t * t
    if temp_c < 0:
        ratio += np.float32(sensors.C) * (t - np.float32(100)) * t * t * t
    return int(np.rint(np.float32(sensors.R0_MOHM) * np.float32(ratio)))


def ntc_single(temp_mc):
    kelvin = np.float32(temp_mc) / np.float32(1000) + np.float32(273.15)
    power = np.float32(3977) * (np.float32(1) / kelvin - np.float32(1 / 298.15))
    return int(np.rint(np.float32(1e7) * np.float32(sensor_kinds.E) ** power))


@pytest.fixture
def single(monkeypatch):
    """Switch what is a float to single precision."""

    def switch():
        knots = [
            pt1000_single((sensors.KNOT_FIRST_MC + i * sensors.KNOT_STEP_MC) // 1000)
            for i in range(sensors.KNOTS)
        ]
        assert knots != sensors._knots  # or nothing was rounded
        monkeypatch.setattr(sensors, "_knots", knots)
        monkeypatch.setattr(
            settings.Settings,
            "fixed",
            lambda self, name: int(round(f32(f32(self._value[name]) * per_unit(name)))),
        )
        monkeypatch.setattr(sensor_kinds, "ntc_mohm", ntc_single)

    return switch


def test_no_float_is_reckoned_with_between_the_edges():
    found = []
    for path in sorted(SUBSTATION.glob("*.py")):
        if path.name in EDGES:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                found.append(f"{path.name}:{node.lineno} {node.value}")
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                found.append(f"{path.name}:{node.lineno} division")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
                found.append(f"{path.name}:{node.lineno} float()")
    assert found == []


def readings_of(rig):
    """Return the names of the readings as the loops take them, and of the place of what is not wired."""
    return [row[0] + "_thousandths" for row in rig.settings.inputs] + ["unwired_thousandths"]


def house(ticks, **changes):
    rig = FunctionRig(ticks, curve_cold_supply_temp_c=71.37, return_limit_temp_c=47.13, **changes)
    watched = ["secondary_supply_temp_effective_c", "valve_position_out_pct", "primary_heat_kw"]
    if rig.settings.dhw == "instantaneous":
        rig.exchanger.draw_kg_s = 0.17
        watched += ["dhw_valve_position_out_pct", "dhw_supply_temp_c"]
    elif rig.settings.dhw != "none":
        watched += ["dhw_tank_top_temp_c"]
    elif rig.settings.circuits == 2:
        watched += ["secondary2_supply_temp_effective_c", "valve2_position_out_pct"]
    seen = []
    for minute in range(120):
        rig.house.outdoor_c = -8.0 + minute / 10
        rig.step(60)
        seen.append([rig.read(name) for name in watched] + rig.loop._value)
    return watched + [row[0] + "_in_thousandths" for row in rig.settings.inputs] + [
        "none_thousandths"
    ], np.array(seen, dtype=float)


def station(ticks):
    rig = StationRig(
        ticks, index_dp_own_bar=0.83, suction_pressure_minimum_bar=1.07, inputs=STATION_INPUTS, pumps=2
    )
    watched = [
        "pump_speed_out_pct",
        "plant_dp_effective_bar",
        "plant_supply_temp_effective_c",
        "plant_heat_kw",
    ]
    seen = []
    for minute in range(120):
        rig.outdoor_c = -8.0 + minute / 10
        rig.index_share = 0.3 + minute / 600
        rig.step(60)
        seen.append([rig.read(name) for name in watched] + rig.loop._value)
    return watched + [row[0] + "_in_thousandths" for row in rig.settings.inputs] + [
        "none_thousandths"
    ], np.array(seen, dtype=float)


# Within these the runs agree: a step of the valve's dead band, a count of the register elsewhere.
BOUND = {"_thousandths": 5, "_pct": 2.0, "_c": 0.05, "_kw": 0.5, "_bar": 0.005}


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("one circuit", house),
        ("one circuit, room and limits", lambda ticks: house(
            ticks, room_influence_pct=150, contract_heat_limit_kw=11.3,
            return_limit_points=[[-7.3, 49.1], [3.1, 41.7]])),
        ("two circuits", lambda ticks: house(ticks, **TWO_CIRCUITS)),
        ("instantaneous DHW", lambda ticks: house(ticks, **INSTANTANEOUS)),
        ("DHW in a tank", lambda ticks: house(ticks, **STORAGE)),
        ("pump station", station),
    ],
)  # fmt: skip
def test_single_and_double_precision_stay_together(ticks, single, name, run):
    watched, double = run(ticks)
    single()
    ticks.now_ms = 0
    _, rounded = run(ticks)
    apart = np.nan_to_num(np.abs(double - rounded)).max(axis=0)
    print(
        f"{name}: " + ", ".join(f"{point} {worst:.3g}" for point, worst in zip(watched, apart, strict=True))
    )
    for point, worst in zip(watched, apart, strict=True):
        assert worst <= BOUND["_" + point.rsplit("_", 1)[1]], point


def test_the_characteristics_in_single_precision_are_within_a_few_millikelvin():
    worst = max(abs(pt1000_single(t) - sensors.resistance_mohm(t)) / 3.85 for t in range(-40, 151))
    print(f"Pt1000 knots: {worst:.2f} mK apart")
    assert worst < 1.0
    apart = 0.0
    for t in range(-40_000, 150_000, 2_500):
        exact = sensor_kinds.ntc_mohm(t)
        apart = max(apart, abs(ntc_single(t) - exact) / (0.03 * exact))  # 3 % in a kelvin, at least
    print(f"NTC knots: {1000 * apart:.2f} mK apart")
    assert apart < 0.01
