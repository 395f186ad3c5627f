"""The commands of the bench: what a run does not take is refused, before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from .. import commands, scenario_run
from ..scenario_file import LONG_RUNS

VALUES = {
    "site": "valley", "devices": "7", "days": "3", "from": "03-21", "slice-days": "3", "draw-offs": "M",
    "case": "sensors.open", "jobs": "2",
}  # fmt: skip
FOR_ALL = {"seed", "speed", "report", "json"}
NOT_TAKEN = [
    (run, option)
    for option, takers in commands.TAKEN_BY.items()
    for run in (*LONG_RUNS, "v-gt")
    if (run if run in LONG_RUNS else commands.A_FILE) not in takers
]


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(commands.app, ["hil", "run", *arguments])


def hil_run() -> Any:
    group: Any = typer.main.get_command(commands.app)
    return group.commands["hil"].commands["run"]


def test_of_every_option_is_known_who_takes_it() -> None:
    options = {max(parameter.opts, key=len).lstrip("-") for parameter in hil_run().params}
    assert options - {"scenario"} == set(commands.TAKEN_BY) | FOR_ALL


@pytest.mark.parametrize(("run", "option"), NOT_TAKEN)
def test_an_option_that_a_run_does_not_take_is_refused(tmp_path: Path, run: str, option: str) -> None:
    value = [VALUES[option]] if option in VALUES else []
    done = invoked(run, f"--{option}", *value, "--report", str(tmp_path / "report"))
    told = str(done.exception)
    assert f"--{option}: {run} does not take it, only " in told and "nothing was started" in told
    assert getattr(done.exception, "exit_status", None) == 2
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing.yaml", "--devices", "3"), "missing.yaml: No such file"),
        (
            ("year", "--from", "13-01", "--days", "3", "--slice-days", "3", "--draw-offs", "M"),
            "no day of the",
        ),
        (("faults", "--case", "nosuch", "--pairs", "--jobs", "2"), "nosuch: no such"),
        (("dhw", "--case", "nosuch"), "nosuch: no such case"),
    ],
)
def test_what_a_run_takes_is_taken(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    assert told in str(invoked(*arguments, "--report", str(tmp_path / "report")).exception)


def test_a_name_that_is_none_is_told_before_its_options(tmp_path: Path) -> None:
    done = invoked("nosuch", "--site", "valley", "--report", str(tmp_path / "report"))
    assert "nosuch: no such scenario; nothing was started. Known: week, year, seasons, dhw, faults" in str(
        done.exception
    )


@pytest.mark.parametrize("run", [*LONG_RUNS, "v-gt"])
def test_a_seed_below_nought_is_refused(tmp_path: Path, run: str) -> None:
    done = invoked(run, "--seed", "-1", "--report", str(tmp_path / "report"))
    assert done.exit_code == 2 and "--seed" in done.output
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("command", ["emulate", "demo"])
def test_so_is_that_of_a_street_and_of_a_town(command: str) -> None:
    assert CliRunner().invoke(commands.app, [command, "--seed", "-1"]).exit_code == 2


def test_a_run_that_is_broken_off_while_booting_leaves_the_former_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = '{"sha256": "abcdef0123", "provenance": {"scenario": "v-gt"}, "kpi": {"a": {"1 run": {"x": 1}}}}'
    (tmp_path / "report.json").write_text(former)
    (tmp_path / "report.html").write_text("the good one")
    monkeypatch.setattr(
        scenario_run,
        "run_scenario",
        lambda folder, plan, **_: [scenario_run.RunResult(plan.runs[0], stopped_by="Ctrl-C")],
    )
    done = invoked("v-gt", "--devices", "1", "--report", str(tmp_path))
    assert done.exit_code == 1 and "The former report lies in" in done.output
    assert json.loads((tmp_path / "report.json").read_text())["partial"] is True
    aside = tmp_path / "former-abcdef01"
    assert (aside / "report.json").read_text() == former
    assert (aside / "report.html").read_text() == "the good one"


@pytest.mark.parametrize(("run", "held"), [("v-gt", "faults.json"), ("faults", "week.json")])
def test_a_folder_of_another_run_is_refused(tmp_path: Path, run: str, held: str) -> None:
    (tmp_path / held).write_text("{}")
    done = invoked(run, "--report", str(tmp_path))
    assert getattr(done.exception, "exit_status", None) == 2
    assert "nothing was started. Name another folder" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == [held]
