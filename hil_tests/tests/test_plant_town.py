"""Town and weather files are read whole or refused by row and name; the example's sizes follow its rules."""

import json
from pathlib import Path

import numpy as np
import pytest

from core_ext.solver import HydraulicSolver
from hil_tests.bench.plant import BadTown, BadWeather, Town, Weather, sizing

SCHUTTERWALD = Path(__file__).resolve().parents[2] / "examples" / "schutterwald"


@pytest.fixture(scope="module")
def town():
    return Town.load(SCHUTTERWALD)


def test_the_example_has_its_44_consumers_and_a_winter_week(town):
    assert len(town.substations) == 44
    assert set(town.substations.area) == {"north", "south"}
    weather = town.weather()
    assert weather.duration_s == 8 * 86400
    week = weather.temp_c[24:192]
    assert week.mean() == pytest.approx(-3.26, abs=0.01) and week.min() == -9.3


def test_every_pipe_has_the_smallest_size_within_the_limit(town):
    result = HydraulicSolver(town.network).solve()
    flows = np.abs(result.mass_flow_kg_s["pipes"])
    inner = {size[1]: row for row, size in enumerate(sizing.DN_SERIES)}
    limit = sizing.PRESSURE_LOSS_LIMIT_PA_M
    for flow, diameter in zip(flows, town.network.pipes["inner_diameter_m"], strict=True):
        row = inner[diameter]
        assert sizing.pressure_loss_pa_m(flow, diameter, sizing.PRIMARY_SUPPLY_C) <= limit * (1 + 1e-4)
        if row > 0:
            smaller = sizing.DN_SERIES[row - 1][1]
            assert sizing.pressure_loss_pa_m(flow, smaller, sizing.PRIMARY_SUPPLY_C) > limit * (1 - 1e-4)


def test_the_index_consumer_has_its_pressure_at_design_flow(town):
    net = town.network
    result = HydraulicSolver(net).solve()
    row = {name: i for i, name in enumerate(net.nodes.ids)}
    dp = np.array(
        [
            result.pressure_pa[row[a]] - result.pressure_pa[row[b]]
            for a, b in zip(net.consumers["supply_node"], net.consumers["return_node"], strict=True)
        ]
    )
    assert dp.min() == pytest.approx(sizing.INDEX_DP_PA, rel=0.01)


def test_open_valves_take_at_least_half_of_their_circuit(town):
    rows = json.loads((SCHUTTERWALD / "town.json").read_text(encoding="utf-8"))["substations"]
    assert min(row["valve_authority"] for row in rows) >= 0.5
    for row in rows:
        series = 1.0 / np.sqrt(1.0 / row["valve_kvs_m3_h"] ** 2 + 1.0 / row["exchanger_kv_m3_h"] ** 2)
        assert series >= sizing.kv_m3_h(row["design_flow_kg_s"], sizing.INDEX_DP_PA, sizing.PRIMARY_SUPPLY_C)


def copy_of(folder, change):
    data = json.loads((SCHUTTERWALD / "town.json").read_text(encoding="utf-8"))
    change(data)
    (folder / "town.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "network.json").write_bytes((SCHUTTERWALD / "network.json").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="other/1"), "its format is not toplovod-town/1"),
        (lambda d: d["substations"][3].pop("valve_stroke_s"), "house-04 lacks valve_stroke_s"),
        (lambda d: d["substations"][5].update(building_mass_j_k=-1.0), "house-06: building_mass_j_k is -1.0"),
        (lambda d: d["substations"].reverse(), "not the consumers of network.json in the same order"),
        (lambda d: d["pump_station"].update(pump_dp_pa=[1.0, 2.0, 3.0]), "heads that do not rise"),
        (lambda d: d["pump_station"].update(supply_node="s9999"), "s9999, which network.json lacks"),
        (lambda d: d.pop("ground_temp_c"), "ground_temp_c is missing"),
        (lambda d: d["pipe_wall_j_mk"].pop("rp0007"), "rp0007 is missing"),
    ],
)
def test_a_broken_town_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(BadTown, match=message) as caught:
        Town.load(copy_of(tmp_path, change))
    assert caught.value.code == "bad-town"


def test_weather_interpolates_and_refuses_to_invent(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("utc,outdoor_temp_c\n2026-01-01T00:00:00+00:00,0\n2026-01-01T01:00:00+00:00,-6\n")
    weather = Weather.read(path)
    assert weather.outdoor_temp_c(600.0) == pytest.approx(-1.0)
    for time_s in (-1.0, 3601.0, float("nan")):
        with pytest.raises(BadWeather, match="outside the weather file"):
            weather.outdoor_temp_c(time_s)


def test_weather_can_be_repeated_without_a_jump(town):
    once = town.weather()
    twice = once.repeated(86400.0, 2)
    assert twice.duration_s == once.duration_s + 2 * (once.duration_s - 86400.0)
    seam = once.duration_s
    times = np.arange(0.0, twice.duration_s, 600.0)
    temps = np.array([twice.outdoor_temp_c(t) for t in times])
    steepest = np.abs(np.diff([once.outdoor_temp_c(t) for t in times if t <= seam])).max()
    assert np.abs(np.diff(temps)).max() <= steepest
    later = 3 * 86400.0
    assert twice.outdoor_temp_c(seam + later - 86400.0) == once.outdoor_temp_c(later)
    with pytest.raises(BadWeather, match="Repeat from an earlier time"):
        once.repeated(once.duration_s, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("utc,outdoor_temp_c\n2026-01-01T00:00:00+00:00,cold\n", "row 1 cannot be read"),
        ("utc,temp\n2026-01-01T00:00:00+00:00,1\n", "row 1 cannot be read"),
        ("utc,outdoor_temp_c\n2026-01-01T00:00:00,1\n", "without its zone"),
        ("utc,outdoor_temp_c\n2026-01-01T00:00:00+00:00,1\n", "two are the least"),
        (
            "utc,outdoor_temp_c\n2026-01-01T01:00:00+00:00,1\n2026-01-01T00:00:00+00:00,1\n",
            "the times do not rise",
        ),
    ],
)
def test_broken_weather_is_refused_with_its_row(tmp_path, text, message):
    path = tmp_path / "w.csv"
    path.write_text(text)
    with pytest.raises(BadWeather, match=message):
        Weather.read(path)
