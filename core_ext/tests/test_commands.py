"""The commands as a person or a script meets them: tables, JSON, files, exit status, what they refuse."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ..balancing import balance, balanced_network
from ..commands import app
from ..commands.printing import give_up
from ..network import Network
from ..pressure_path import path_to
from ..solver import HydraulicSolver
from .made_networks import district, looped_mesh
from .test_plants import boosted, demand_w, heated, town

RUN = CliRunner()
ROOT = Path(__file__).parents[2]
SCHUTTERWALD = ROOT / "examples" / "schutterwald" / "network.json"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net.json"
    district(3, mode="flow").write(path)
    return path


def said(*words: Any) -> tuple[int, str, str]:
    done = RUN.invoke(app, [str(w) for w in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def as_json(*words: Any) -> tuple[int, dict[str, Any]]:
    status, out, _ = said(*words, "--json")
    assert out.count("\n") == 1
    return status, json.loads(out, parse_constant=lambda w: pytest.fail(f"{w} is no JSON"))


def saved(net: Network, tmp_path: Path) -> Path:
    path = tmp_path / "saved.json"
    net.write(path)
    return path


# -- solve ----------------------------------------------------------------------------------------


def test_solve_prints_tables_and_json(network: Path) -> None:
    status, out, _ = said("solve", network, "--rows", 3)
    assert status == 0
    assert "57 more rows; --rows 0 prints all" in out
    assert "method newton-content, unique true" in out
    status, body = as_json("solve", network)
    assert status == 0
    assert body["certificate"]["converged"] is True
    assert len(body["pipes"]["mass_flow_kg_s"]) == 66
    assert body["nodes"]["pressure_known"] == [True] * 60
    margin = body["consumers"]["dp_margin_pa"]
    assert body["index_consumer"] == body["consumers"]["id"][int(np.argmin(margin))]
    assert np.subtract(body["consumers"]["dp_pa"], margin) == pytest.approx(np.full(29, 3e4), abs=1e-6)
    assert f"index consumer {body['index_consumer']}: " in out


def test_a_part_without_pressure_is_named_and_has_no_dp(tmp_path: Path) -> None:
    path = saved(district(1).changed(sources_return_pressure_pa=[np.nan]), tmp_path)
    status, out, _ = said("solve", path)
    assert status == 0
    assert "nothing fixes the pressure of: " in out
    _, body = as_json("solve", path)
    assert body["index_consumer"] == "" and set(body["consumers"]["dp_pa"]) == {None}


def test_no_solution_leaves_with_1(tmp_path: Path) -> None:
    net = district(1)
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    tables["pumps"] = {
        "id": ["u", "v"],
        "from_node": ["s0"] * 2,
        "to_node": ["s1"] * 2,
        "fixed_dp_pa": [1e5, 2e5],
    }
    path = saved(Network(tables, fluid=net.fluid), tmp_path)
    for command in ("solve", "outages"):
        status, body = as_json(command, path)
        assert (status, body["code"], body["certificate"]["converged"]) == (1, "not_converged", False)


# -- balance --------------------------------------------------------------------------------------


def test_balance_reports_and_fails_when_it_curtails(network: Path) -> None:
    status, body = as_json("balance", network)
    assert status == 0 and body["feasible"] and body["index_consumer"] in body["consumers"]["id"]
    assert body["verdict"].startswith("every consumer gets its target; index consumer")
    head = body["sources"]["dp_pa"][0] / 1e5
    status, body = as_json("balance", network, "--max-dp-bar", 0.9 * head)
    assert status == 1 and not body["feasible"] and body["obstacles"]
    least = min(body["consumers"]["delivered_fraction"])
    assert f"down to {100 * least:.2f} %" in body["verdict"]
    assert body["relief"][0]["element"] == "source plant" and body["relief"][0]["limit"] == "max_dp_pa"
    status, out, _ = said("balance", network, "--max-dp-bar", 0.9 * head)
    assert status == 1
    assert "What stands in the way" in out
    assert f"source plant: head at most {0.9 * head:.4g} bar" in out
    step = 100 * body["relief"][0]["fraction_per_unit"] * 1e4
    assert f"+0.1 bar {step:+.3f}" in " ".join(out.split())


def test_the_worst_placed_come_first(network: Path) -> None:
    _, body = as_json("balance", network)
    _, out, _ = said("balance", network, "--rows", 3)
    order = np.argsort(body["consumers"]["dp_margin_pa"])
    table = out.split("Sources")[0].splitlines()
    shown = [line.split()[0] for line in table if line.strip().startswith("c") and "more" not in line]
    assert shown == [body["consumers"]["id"][row] for row in order[:3]]


def test_values_for_all_and_for_one(network: Path) -> None:
    _, body = as_json("balance", network, "--min-dp-bar", 0.2, "--min-dp-bar", "c5=0.9")
    consumers = body["consumers"]
    need = np.subtract(consumers["dp_pa"], consumers["dp_margin_pa"])
    assert need == pytest.approx([9e4 if name == "c5" else 2e4 for name in consumers["id"]], rel=1e-9)
    # one alone: the rest keep what the file says
    _, body = as_json("balance", network, "--min-dp-bar", "c5=0.9")
    consumers = body["consumers"]
    need = np.subtract(consumers["dp_pa"], consumers["dp_margin_pa"])
    assert need == pytest.approx([9e4 if name == "c5" else 3e4 for name in consumers["id"]], rel=1e-9)


def test_the_whole_valve_gives_openings(network: Path) -> None:
    _, body = as_json("balance", network, "--kvs-m3-h", 25)
    assert body["consumers"]["opening"] == pytest.approx(np.divide(body["consumers"]["kv_m3_h"], 25.0))
    _, out, _ = said("balance", network, "--kvs-m3-h", 25)
    assert "opening %" in out
    assert "opening %" not in said("balance", network)[1]


def test_priorities_and_own_limits(network: Path) -> None:
    _, free = as_json("balance", network)
    head = 0.8 * free["sources"]["dp_pa"][0] / 1e5
    last = free["index_consumer"]
    status, body = as_json(
        "balance", network, "--max-dp-bar", head, "--priority", 2, "--priority", f"{last}=1"
    )
    fraction = dict(zip(body["consumers"]["id"], body["consumers"]["delivered_fraction"], strict=True))
    assert status == 1 and fraction[last] == 1.0 and min(fraction.values()) < 1.0
    status, body = as_json("balance", network, "--max-flow-kg-s", "c3=0.01")
    assert status == 1
    assert [o["code"] for o in body["obstacles"]] == ["consumer_max_flow"]


def test_several_plants_by_cost_and_by_emissions(tmp_path: Path) -> None:
    net = town(3, cost_per_mwh=[20.0, 60.0], co2_per_mwh=[330.0, 20.0])
    path, total = saved(net, tmp_path), demand_w(net) / 1e3
    by_cost = as_json("balance", path, "--max-heat-kw", 0.7 * total)[1]
    by_co2 = as_json("balance", path, "--max-heat-kw", 0.7 * total, "--objective", "co2")[1]
    assert by_cost["method"] == "merit order by cost" and by_co2["method"] == "merit order by co2"
    heat = np.array([by_cost["sources"]["heat_w"], by_co2["sources"]["heat_w"]]) / demand_w(net)
    assert heat == pytest.approx(np.array([[0.7, 0.3], [0.3, 0.7]]), abs=1e-6)
    # a plant's own limit, and one on its flow
    one = as_json("balance", path, "--max-heat-kw", f"plant0={0.2 * total}")[1]
    assert one["sources"]["heat_w"][0] == pytest.approx(0.2 * demand_w(net), rel=1e-6)
    most = 0.25 * sum(by_cost["sources"]["mass_flow_kg_s"])
    flow = as_json("balance", path, "--max-source-flow-kg-s", f"plant0={most}")[1]
    assert flow["sources"]["mass_flow_kg_s"][0] == pytest.approx(most, rel=1e-6)


def test_a_cool_plant_gives_less_heat_for_its_flow(tmp_path: Path) -> None:
    # equal flows of 60 and 100 degC make 80; above a return of 45 that is 15 parts of heat to 55
    path = saved(town(3, supply_temp_c=[60.0, 100.0], cost_per_mwh=[0.0, 50.0]), tmp_path)
    sources = as_json("balance", path)[1]["sources"]
    assert np.divide(sources["heat_w"], sum(sources["heat_w"])) == pytest.approx([15 / 70, 55 / 70], rel=1e-6)


def test_the_return_temperature_asked_for_is_the_one_that_counts(tmp_path: Path) -> None:
    net = town(3, supply_temp_c=[60.0, 100.0], cost_per_mwh=[0.0, 50.0])
    heat = net.consumers["mass_flow_kg_s"] * HydraulicSolver(net).fluid.cp_j_kgk * 35.0
    path, out = saved(net.changed(consumers_heat_w=heat), tmp_path), tmp_path / "set.json"
    # as above, but over a return of 40: 20 parts of heat to 60
    sources = as_json("balance", path, "--return-temp-c", 40, "--out", out)[1]["sources"]
    assert np.divide(sources["heat_w"], sum(sources["heat_w"])) == pytest.approx([0.25, 0.75], rel=1e-6)
    again = Network.read(out).consumers
    assert again["return_temp_c"].tolist() == [40.0] * net.consumers.rows
    assert again["supply_temp_c"].tolist() == net.consumers["supply_temp_c"].tolist()
    shown = " ".join(said("balance", path, "--return-temp-c", 40)[1].split())
    assert f" {sources['heat_w'][1] / 1e3:.1f} " in shown
    # both at once, where either alone would leave a consumer without a drop
    words = ("--supply-temp-c", 45, "--return-temp-c", 30, "--objective", "keep", "--out", out, "--force")
    assert as_json("balance", saved(heated(0.35), tmp_path), *words)[0] == 0
    again = Network.read(out).consumers
    assert set(again["supply_temp_c"]) == {45.0} and set(again["return_temp_c"]) == {30.0}


def test_plants_that_seem_colder_than_the_return_share_the_heat_by_flow(tmp_path: Path) -> None:
    path = saved(heated(0.35), tmp_path)
    body = as_json("balance", path, "--supply-temp-c", 110, "--return-temp-c", 90)[1]
    assert sum(body["sources"]["heat_w"]) == pytest.approx(sum(body["consumers"]["heat_w"]), rel=1e-12)


def test_power_of_a_booster_and_its_limit(tmp_path: Path) -> None:
    path = saved(boosted(fixed_dp_pa=[1e4]), tmp_path)
    keep = as_json("balance", path, "--objective", "keep")[1]
    power = as_json("balance", path, "--objective", "power", "--pump-efficiency", 0.5)[1]
    assert power["pump_power_w"] < 0.95 * keep["pump_power_w"]
    plant = power["sources"]
    assert plant["electric_power_w"][0] == pytest.approx(2.0 * plant["pump_power_w"][0])
    assert power["electric_power_w"] - power["pump_power_w"] == pytest.approx(plant["pump_power_w"][0])
    bound = as_json("balance", path, "--objective", "power", "--pump-max-dp-bar", 0.3)[1]
    assert bound["pumps"]["dp_pa"][0] == pytest.approx(3e4, abs=1.0)
    assert "electric kW" in said("balance", path, "--pump-efficiency", "plant=0.6")[1]


def test_pressure_limits_and_the_shift_that_mends_them(tmp_path: Path) -> None:
    path = saved(town(3, plants=1), tmp_path)
    known = as_json("solve", path)[1]["nodes"]["pressure_pa"]
    status, body = as_json("balance", path, "--min-pressure-bar", 3.0)
    assert status == 1 and {o["code"] for o in body["obstacles"]} == {"node_min_pressure"}
    assert body["static_shift_pa"][0] > 0.0
    status, out, _ = said("balance", path, "--min-pressure-bar", 3.0)
    assert "the pressure holding may be shifted by +" in out
    assert "every consumer gets its target, but " in out and "pressure limits" in out
    assert as_json("balance", path, "--max-pressure-bar", 25)[0] == 0
    lowest = int(np.argmin(known))
    one = as_json(
        "balance", path, "--min-pressure-bar", f"{as_json('solve', path)[1]['nodes']['id'][lowest]}=9"
    )[1]
    assert len(one["obstacles"]) == 1
    boils = as_json("balance", path, "--boiling-margin-bar", 40)
    assert boils[0] == 1 and {o["code"] for o in boils[1]["obstacles"]} == {"node_min_pressure"}
    assert as_json("balance", path, "--boiling-margin-bar", 0.5)[0] == 0
    # a gauge pressure may lie below the air's, as far as there is any
    assert as_json("balance", path, "--min-pressure-bar", -0.3, "--max-pressure-bar", 25)[0] == 0
    status, _, err = said("balance", path, "--min-pressure-bar", "s1=-1.1")
    assert status == 2 and "'s1=-1.1' is not a number from -1.01325 on" in " ".join(err.split())


def test_the_supply_temperature_is_chosen_or_given(tmp_path: Path) -> None:
    path = saved(heated(0.35), tmp_path)
    words = ("balance", path, "--min-supply-temp-c", 60, "--max-supply-temp-c", 110, "--heat-per-mwh", 20)
    assert as_json(*words, "--electricity-per-mwh", 20)[1]["supply_temp_c"] == 60.0
    dear = (*words, "--electricity-per-mwh", 900)
    chosen = as_json(*dear)[1]
    assert 60.0 < chosen["supply_temp_c"] < 110.0
    # every kelvin of supply loses the same, whatever the ground: the choice stays
    assert as_json(*dear, "--ground-temp-c", 15)[1]["supply_temp_c"] == pytest.approx(
        chosen["supply_temp_c"], abs=0.1
    )
    out = tmp_path / "set.json"
    assert f"supply temperature {chosen['supply_temp_c']:.2f} degC" in said(*dear, "--out", out)[1]
    assert Network.read(out).sources["supply_temp_c"][0] == pytest.approx(chosen["supply_temp_c"])
    given = as_json("balance", path, "--supply-temp-c", 95, "--return-temp-c", 60)[1]
    net = Network.read(path)
    per_kg = HydraulicSolver(net).fluid.cp_j_kgk * 35.0
    assert given["consumers"]["mass_flow_kg_s"] == pytest.approx(net.consumers["heat_w"] / per_kg, rel=1e-9)


def test_the_network_with_the_settings_found_does_what_was_found(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "balanced.json"
    status, words, _ = said("balance", network, "--out", out)
    assert status == 0 and f"{out}: the network with these settings" in words
    net = Network.read(network)
    assert Network.read(out) == balanced_network(net, balance(net))
    _, body = as_json("solve", out)
    assert body["consumers"]["mass_flow_kg_s"] == pytest.approx(net.consumers["mass_flow_kg_s"], rel=1e-8)
    before = network.read_bytes(), out.read_bytes()
    assert as_json("balance", network, "--out", out)[1]["code"] == "file_exists"
    assert as_json("balance", network, "--out", network, "--force")[1]["code"] == "same_file"
    status, body = as_json("balance", network, "--out", tmp_path / "net.xlsx")
    assert (status, body["code"]) == (2, "unknown_format") and not (tmp_path / "net.xlsx").exists()
    assert (network.read_bytes(), out.read_bytes()) == before
    assert said("balance", network, "--out", out, "--force", "--min-dp-bar", 1)[0] == 0
    assert out.read_bytes() != before[1]


# -- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("command", ["solve", "balance"])
def test_pictures_are_well_formed(network: Path, tmp_path: Path, placed: bool, command: str) -> None:
    if placed:
        net = district(3, mode="flow")
        rng = np.random.default_rng(0)
        x, y = rng.uniform(0, 900, 60), rng.uniform(0, 400, 60)
        net.changed(nodes_x_m=x, nodes_y_m=y).write(network)
    picture = tmp_path / "out.svg"
    assert said(command, network, "--plot", picture)[0] == 0
    root = ElementTree.parse(picture).getroot()
    kinds = {element.tag.split("}")[1] for element in root.iter()}
    assert "polyline" in kinds and ("circle" in kinds) == placed
    assert "nan" not in picture.read_text()


def test_a_picture_is_svg_and_shows_something(network: Path, tmp_path: Path) -> None:
    status, _, err = said("solve", network, "--plot", tmp_path / "out.png")
    assert status == 2 and "does not end in .svg; nothing was written" in err
    status, _, err = said("balance", network, "--plot", tmp_path / "nowhere" / "out.svg")
    assert status == 2 and "is no folder; nothing was written" in " ".join(err.split())
    path = saved(district(1, mode="flow", mass_flow_kg_s=0.0), tmp_path)
    status, body = as_json("solve", path, "--plot", tmp_path / "out.svg")
    assert (status, body["code"]) == (2, "nothing_to_draw")
    assert not (tmp_path / "out.svg").exists()


def test_the_limit_that_is_drawn_is_one_of_the_nodes_that_are_drawn(network: Path, tmp_path: Path) -> None:
    net, picture = Network.read(network), tmp_path / "out.svg"
    found = balance(net)
    fluid = HydraulicSolver(net).fluid
    path = path_to(net, found.result, net.consumers.row(found.index_consumer), fluid)
    assert path is not None
    on = {*path.supply.nodes, *path.back.nodes}
    elsewhere = next(node for node in net.nodes.ids if node not in on)
    least = float(found.result.pressure_pa.max()) / 1e5 + 0.1
    for node, drawn in ((path.supply.nodes[-1], True), (path.back.nodes[0], True), (elsewhere, False)):
        assert said("balance", network, "--plot", picture, "--max-pressure-bar", f"{node}={least}")[0] == 0
        assert ("highest allowed" in picture.read_text()) == drawn, node


def test_a_refused_file_leaves_the_picture_undrawn(network: Path, tmp_path: Path) -> None:
    floating = saved(Network.read(network).changed(sources_return_pressure_pa=[np.nan]), tmp_path)
    picture, out = tmp_path / "out.svg", tmp_path / "out.inp"
    status, body = as_json("balance", floating, "--plot", picture, "--out", out)
    assert (status, body["code"], body["changed"]) == (2, "source_refused", False)
    assert not picture.exists() and not out.exists()


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_changes_nothing(
    network: Path, tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tmp_path / "out.svg", tmp_path / "out.json"]
    for path in names:
        path.write_text("mine")
    before, synced = sorted(tmp_path.iterdir()), iter(range(1, 3))

    def full(_: int) -> None:
        if next(synced) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, body = as_json("balance", network, "--plot", names[0], "--out", names[1], "--force")
    assert (status, body["code"], body["changed"]) == (2, "file", False)
    assert body["message"].startswith(f"{names[failing - 1]}: No space left on device; nothing was changed")
    assert [path.read_text() for path in names] == ["mine", "mine"]
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_in_the_place_of_a_file_is_named(network: Path, tmp_path: Path) -> None:
    picture, folder = tmp_path / "out.svg", tmp_path / "out.json"
    folder.mkdir()
    status, body = as_json("balance", network, "--plot", picture, "--out", folder, "--force")
    assert status == 2 and body["message"].startswith(f"{folder}: Is a directory; nothing was changed")
    assert not picture.exists()


def test_an_error_of_the_disk_without_a_name_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        give_up(OSError(errno.EIO, "Input/output error"), False)
    assert capsys.readouterr().err == "file: Input/output error; nothing was changed.\n"


# -- outages --------------------------------------------------------------------------------------


def test_outages_the_worst_first(tmp_path: Path) -> None:
    path = saved(district(4, streets=12, loops=3, supply_temp_c=80.0, return_temp_c=45.0), tmp_path)
    status, body = as_json("outages", path)
    net = Network.read(path)
    assert status == 1 and body["borne"] is False and body["studied"] == net.pipes.rows + 1
    worst = next(one for one in body["outages"] if one["table"] == "sources")
    assert (worst["id"], worst["verdict"]) == ("plant", "cut off")
    assert worst["without_supply"] == 11 and worst["delivered_share"] == 0.0
    flow = HydraulicSolver(net).solve().mass_flow_kg_s["consumers"].sum()
    heat = flow * HydraulicSolver(net).fluid.cp_j_kgk * 35.0
    assert worst["heat_not_served_w"] == pytest.approx(heat, rel=1e-9)
    shares = [one["delivered_share"] for one in body["outages"]]
    assert shares == sorted(shares)
    status, out, err = said("outages", path, "--top", 2)
    assert status == 1
    assert "pipe ps0 " in out and f"... {net.pipes.rows - 1} more outages; --top 0 prints all" in out
    unborne = sum(one["verdict"] != "harmless" for one in body["outages"])
    assert (
        f"{unborne} of {body['studied']} outages leave somebody short ({net.pipes.rows} pipes, 1 source"
        in out
    )
    assert err.splitlines()[-1] == f"{body['studied']} of {body['studied']} outages"


def test_only_some_outages_and_all_borne(tmp_path: Path) -> None:
    # a small pump beside the first pipe, which carries all when it stands
    net = district(4, streets=6, mode="flow")
    tables: dict[str, Any] = dict(net.tables)
    tables["pumps"] = {"id": ["aid"], "from_node": ["s0"], "to_node": ["s1"], "fixed_dp_pa": [1e3]}
    path = saved(Network(tables, fluid=net.fluid), tmp_path)
    status, body = as_json("outages", path, "--only", "pumps")
    assert status == 0 and body["borne"] is True and [one["table"] for one in body["outages"]] == ["pumps"]
    status, out, _ = said("outages", path, "--only", "pumps")
    assert status == 0 and "every outage can be borne (1 pump studied one at a time)" in out
    status, _, err = said("outages", path, "--only", "pumps,houses")
    assert status == 2 and "'houses' is none of pipes, pumps, sources" in err
    assert said("outages", path, "--only", ",")[0] == 2
    status, out, _ = said("outages", saved(district(4, streets=6), tmp_path), "--only", "pumps")
    assert status == 0 and "nothing can fail" in out
    status, out, _ = said("outages", saved(looped_mesh(1), tmp_path))
    assert status == 0 and "the network has no consumers, so nobody can be left short" in out


# -- convert --------------------------------------------------------------------------------------


def test_convert_there_and_back(network: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "net.geojson", tmp_path / "back.json"
    status, out, _ = said("convert", network, there)
    assert (status, out) == (0, f"{there}: 60 nodes, 66 pipes, 29 consumers, 1 source\n")
    status, body = as_json("convert", there, back)
    assert status == 0 and body["rows"] == {"nodes": 60, "pipes": 66, "consumers": 29, "sources": 1}
    assert Network.read(back) == Network.read(network)


def test_convert_for_pandapipes(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pandapipes.json"
    assert said("convert", network, out)[0] == 0
    assert json.loads(out.read_text())["_class"] == "pandapipesNet"
    there = as_json("solve", out)[1]["consumers"]["mass_flow_kg_s"]
    assert there == pytest.approx(as_json("solve", network)[1]["consumers"]["mass_flow_kg_s"])


def test_convert_refuses_by_name_and_overwrites_nothing(network: Path, tmp_path: Path) -> None:
    inp = tmp_path / "net.inp"
    floating = Network.read(network).changed(sources_return_pressure_pa=[np.nan])
    status, body = as_json("convert", saved(floating, tmp_path), inp)
    assert (status, body["code"]) == (2, "source_refused") and "source plant" in body["message"]
    assert not inp.exists()
    status, body = as_json("convert", network, tmp_path / "net.xlsx")
    assert (status, body["code"]) == (2, "unknown_format") and ".geojson" in body["message"]
    other = tmp_path / "there.json"
    other.write_text("mine")
    assert as_json("convert", network, other)[1]["code"] == "file_exists"
    assert as_json("convert", network, network)[1]["code"] == "same_file"
    assert other.read_text() == "mine"
    status, body = as_json("convert", network, tmp_path / "nowhere" / "net.json")
    assert (status, body["code"]) == (2, "no_folder")
    assert said("convert", network, other, "--force")[0] == 0
    assert Network.read(other) == Network.read(network)


# -- what is refused ------------------------------------------------------------------------------


def test_wrong_use_and_bad_networks_leave_with_2(network: Path, tmp_path: Path) -> None:
    status, body = as_json("solve", tmp_path / "none.json")
    assert (status, body["code"], body["changed"]) == (2, "file", False)
    assert body["message"].startswith(f"{tmp_path / 'none.json'}: No such file or directory; nothing was")
    document = json.loads(network.read_text())
    document["tables"]["pipes"]["length_m"][0] = 0.0
    network.write_text(json.dumps(document))
    for command in ("solve", "balance", "outages"):
        status, body = as_json(command, network)
        assert (status, body["code"]) == (2, "not_positive")
        assert "ps0" in body["message"]
    status, out, err = said("solve", network)
    assert status == 2 and out == "" and err.startswith("not_positive: pipe ps0: length_m is 0")
    assert said("solve", network, "--friction", "magic")[0] == 2


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--min-dp-bar", "much"), "'much' is not a number from 0 on"),
        (("--min-dp-bar", "c1=-1"), "'c1=-1' is not a number from 0 on"),
        (("--max-dp-bar", "nan"), "'nan' is not a number from 0 on"),
        (("--max-dp-bar", "plnat=3"), "the network has no source 'plnat'. Known: plant."),
        (("--pump-max-dp-bar", "p=1"), "the network has no pump 'p'. Known: none."),
        (("--max-pressure-bar", "x=1"), "Known: s0, s1, s2, s3, s4, s5, s6, s7 and 52 more."),
        (("--max-supply-temp-c", "90"), "needs --min-supply-temp-c as well"),
        (("--min-supply-temp-c", "60", "--supply-temp-c", "80"), "give the temperature or have it chosen"),
        (("--pump-efficiency", "1.5"), "not all lie above 0 and up to 1"),
        (("--objective", "cost"), "cost_per_mwh is not given"),
        (("--supply-temp-c", "80", "--return-temp-c", "50"), "consumer c1: its target flow is nan kg/s"),
    ],
)
def test_a_mistyped_value_is_explained(network: Path, words: tuple[str, ...], why: str) -> None:
    status, out, err = said("balance", network, *words)
    assert status == 2 and out == ""
    assert why in " ".join(err.split())


# -- the real command line ------------------------------------------------------------------------


def toplovod(*words: Any) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *(str(w) for w in words)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_newcomers_first_five_minutes(tmp_path: Path) -> None:
    status, out, _ = toplovod("solve", "--help")
    assert status == 0 and "NETWORK" in out and "Exit status: 0 solved" in out and "EPANET .inp" in out
    status, _, err = toplovod("slove", SCHUTTERWALD)
    assert status == 2 and "Did you mean 'solve'" in err
    status, _, err = toplovod("solve")
    assert status == 2 and "Missing argument 'NETWORK'" in err
    status, _, err = toplovod("solve", SCHUTTERWALD, "--polt", "a.svg")
    assert status == 2 and "--plot" in err
    status, _, err = toplovod("balance", tmp_path / "town.json")
    assert status == 2
    assert err == (
        f"file: {tmp_path / 'town.json'}: No such file or directory; nothing was changed. "
        "Check its path and its rights.\n"
    )
    cut = tmp_path / "cut.json"
    cut.write_bytes(SCHUTTERWALD.read_bytes()[:20000])
    status, _, err = toplovod("solve", cut)
    assert status == 2 and err.startswith(f"not_json: file {cut}: line ") and err.count("\n") == 1
    status, out, _ = toplovod("balance", SCHUTTERWALD, "--rows", 3)
    assert status == 0 and "index consumer: house-11" in out


def test_a_pipe_folds_no_line(network: Path) -> None:
    """A script that reads the table finds an outage on one line, whatever the names."""
    lines = [
        line for line in said("outages", network, "--top", 0)[1].splitlines() if line.startswith(" pipe")
    ]
    assert len(lines) == 66
    assert {len(re.split(r"  +", line.strip())) for line in lines} == {8}
