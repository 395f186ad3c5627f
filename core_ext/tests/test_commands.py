"""The commands as a person or a script meets them: tables, JSON, pictures, exit status."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ..commands import app
from .made_networks import district

RUN = CliRunner()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net.json"
    district(3, mode="flow").write(path)
    return path


def as_json(*words: Any) -> tuple[int, dict[str, Any]]:
    done = RUN.invoke(app, [str(w) for w in words] + ["--json"])
    return done.exit_code, json.loads(done.stdout, parse_constant=lambda w: pytest.fail(f"{w} is no JSON"))


def test_solve_prints_tables_and_json(network: Path) -> None:
    done = RUN.invoke(app, ["solve", str(network), "--rows", "3"])
    assert done.exit_code == 0
    assert "solved in" in done.stdout and "27 more rows" not in done.stdout
    status, body = as_json("solve", network)
    assert status == 0
    assert body["certificate"]["converged"] is True
    assert len(body["pipes"]["mass_flow_kg_s"]) == 66
    assert body["nodes"]["pressure_known"] == [True] * 60


def test_balance_reports_and_fails_when_it_curtails(network: Path) -> None:
    status, body = as_json("balance", network)
    assert status == 0 and body["feasible"] and body["index_consumer"] in body["consumers"]["id"]
    head = body["sources"]["dp_pa"][0] / 1e5
    status, body = as_json("balance", network, "--max-dp-bar", 0.9 * head)
    assert status == 1 and not body["feasible"] and body["obstacles"]
    done = RUN.invoke(app, ["balance", str(network), "--max-dp-bar", str(0.9 * head)])
    assert done.exit_code == 1
    assert "What stands in the way" in done.stdout


@pytest.mark.parametrize("placed", [True, False])
def test_pictures_are_well_formed(network: Path, tmp_path: Path, placed: bool) -> None:
    if placed:
        net = district(3, mode="flow")
        rng = np.random.default_rng(0)
        x, y = rng.uniform(0, 900, 60), rng.uniform(0, 400, 60)
        net.changed(nodes_x_m=x, nodes_y_m=y).write(network)
    picture = tmp_path / "out.svg"
    assert RUN.invoke(app, ["balance", str(network), "--plot", str(picture)]).exit_code == 0
    root = ElementTree.parse(picture).getroot()
    kinds = {element.tag.split("}")[1] for element in root.iter()}
    assert "circle" in kinds if placed else "polyline" in kinds
    assert "nan" not in picture.read_text()


def test_wrong_use_and_bad_networks_leave_with_2(network: Path, tmp_path: Path) -> None:
    status, body = as_json("solve", tmp_path / "none.json")
    assert (status, body["changed"]) == (2, False)
    document = json.loads(network.read_text())
    document["tables"]["pipes"]["length_m"][0] = 0.0
    network.write_text(json.dumps(document))
    status, body = as_json("solve", network)
    assert (status, body["code"]) == (2, "not_positive")
    assert "ps0" in body["message"]
    done = RUN.invoke(app, ["solve", str(network)])
    assert done.exit_code == 2 and done.stdout == ""
    assert RUN.invoke(app, ["solve", str(network), "--friction", "magic"]).exit_code == 2


def test_no_solution_leaves_with_1(tmp_path: Path) -> None:
    net = district(1)
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    tables["pumps"] = {
        "id": ["u", "v"],
        "from_node": ["s0"] * 2,
        "to_node": ["s1"] * 2,
        "fixed_dp_pa": [1e5, 2e5],
    }
    path = tmp_path / "net.json"
    type(net)(tables, fluid=net.fluid).write(path)
    status, body = as_json("solve", path)
    assert (status, body["code"], body["certificate"]["converged"]) == (1, "not_converged", False)


def test_islands_are_named(tmp_path: Path) -> None:
    net = district(1).changed(sources_return_pressure_pa=[np.nan])
    path = tmp_path / "net.json"
    net.write(path)
    done = RUN.invoke(app, ["solve", str(path)])
    assert done.exit_code == 0
    assert "nothing fixes the pressure of" in done.stdout


def test_a_file_that_cannot_be_used_is_named_with_its_cause(tmp_path: Path) -> None:
    status, body = as_json("solve", tmp_path / "nowhere.json")
    assert (status, body["code"], body["changed"]) == (2, "file", False)
    assert body["message"].startswith(f"{tmp_path / 'nowhere.json'}: No such file or directory; nothing was")
