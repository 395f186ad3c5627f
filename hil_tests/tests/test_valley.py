"""The synthetic valley says that it is synthetic, keeps its totals, and can be supplied."""

import json

import numpy as np
import pytest

from core_ext.solver import HydraulicSolver
from examples.valley.make_valley import PEAK_W, PUBLISHED_CONSUMERS, TRENCH_M, main, make_valley
from hil_tests.bench.board_io import BoardOutputs
from hil_tests.bench.plant import Town, TownPlant, sizing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("valley")
    make_valley(200, 3, folder)
    return folder


def test_every_file_says_that_it_is_synthetic(folder):
    town = json.loads((folder / "town.json").read_text(encoding="utf-8"))
    assert town["synthetic"] is True and town["about"].startswith("SYNTHETIC")
    assert json.loads((folder / "network.json").read_text(encoding="utf-8"))["name"].startswith("Synthetic")
    assert "synthetic = true" in (folder / "site.toml").read_text(encoding="utf-8")
    assert (folder / "weather.csv").read_text(encoding="utf-8").startswith("# SYNTHETIC")


def test_totals_are_the_share_of_the_valleys(folder):
    town = Town.load(folder)
    share = 200 / PUBLISHED_CONSUMERS
    pipes = town.network.pipes["length_m"]
    assert pipes.sum() / 2 == pytest.approx(TRENCH_M * share, rel=0.01)
    assert town.substations.design_heat_w.sum() == pytest.approx(PEAK_W * share, rel=0.01)
    assert town.weather().temp_c.min() == -13.6


def index_dp_pa(network):
    result = HydraulicSolver(network).solve()
    row = {name: i for i, name in enumerate(network.nodes.ids)}
    ends = zip(network.consumers["supply_node"], network.consumers["return_node"], strict=True)
    return min(result.pressure_pa[row[a]] - result.pressure_pa[row[b]] for a, b in ends)


@pytest.mark.parametrize("consumers", [2, 45, 120])
def test_everybody_has_the_least_dp_at_design_flow(tmp_path, consumers):
    figures = make_valley(consumers, 1, tmp_path)
    town = Town.load(tmp_path)
    assert len(town.substations) == consumers
    # the network file counts the buoyancy of the warm supply on the slopes, which the sizing rule does not
    assert index_dp_pa(town.network) > 0.97 * sizing.INDEX_DP_PA
    assert figures["plant_dp_design_bar"] <= 8.0


def test_the_plant_runs_on_it(folder):
    town = Town.load(folder)
    plant = TownPlant(town, town.weather(), seed=1)
    outputs = BoardOutputs.idle(plant.devices)
    outputs.pump_on_s[:] = 2.0
    outputs.pump_speed[-1] = 1.0
    outputs.heat_demand[-1] = 80.0 / 130.0
    for step in range(400):
        outputs.open_s[:-1] = 2.0 if step < 48 else 0.0  # to 80 % of the stroke
        plant.step(2.0, outputs)
    share = plant.primary_flow_kg_s / town.substations.design_flow_kg_s
    assert share.min() > 0.4
    assert plant.index_dp_pa > sizing.INDEX_DP_PA
    assert abs(plant.energy_balance_error_j()) <= 1e-6 * plant.source_energy_j


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        main(["--consumers", "45", "--seed", str(seed), "--out", str(tmp_path / name)])
    for file in ("network.json", "town.json", "site.toml", "weather.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    networks = [(tmp_path / name / "network.json").read_bytes() for name in "ac"]
    assert networks[0] != networks[1]


@pytest.mark.parametrize("arguments", [["--consumers", "1", "--out", "x"], ["--consumers", "6000", "x"], []])
def test_an_impossible_wish_is_refused_before_anything_is_written(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_coordinates_stay_finite_and_apart(folder):
    town = Town.load(folder)
    points = np.column_stack([town.substations.x_m, town.substations.y_m])
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == 200
