"""The commands of the bench: what a run does not take is refused, before anything is started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from .. import commands, scenario_run, year
from ..bench import kept
from ..bench.errors import DeviceFailed
from ..bench.kept import SCENARIO
from ..dhw import steps
from ..dhw.page import RUN
from ..run_command import TAKEN_BY
from ..scenario_file import LONG_RUNS
from ..test_year import slice_of

VALUES = {
    "site": "valley", "devices": "7", "days": "3", "from": "03-21", "slice-days": "3", "draw-offs": "M",
    "case": "sensors.open", "jobs": "2",
}  # fmt: skip
FOR_ALL = {"seed", "speed", "report", "json"}
NOT_TAKEN = [
    (run, option)
    for option, takers in TAKEN_BY.items()
    for run in (*LONG_RUNS, "v-gt")
    if (run if run in LONG_RUNS else SCENARIO) not in takers
]


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(commands.app, ["hil", "run", *arguments])


def hil_run() -> Any:
    group: Any = typer.main.get_command(commands.app)
    return group.commands["hil"].commands["run"]


def test_of_every_option_is_known_who_takes_it() -> None:
    options = {max(parameter.opts, key=len).lstrip("-") for parameter in hil_run().params}
    assert options - {"scenario"} == set(TAKEN_BY) | FOR_ALL


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


def broken_off(
    run: str, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> tuple[Result, dict[str, Any]]:
    """One part of the run is whole and lies in folder, then this happens."""

    def one_is_kept(*_: Any) -> None:
        if run == "dhw":
            (folder / steps.RESULT).write_text(RUN.read_text(encoding="utf-8"))
        else:
            content = {"format": year.FORMAT, "provenance": {"weather": "here"}}
            kept.save(folder / year.YEAR_FILE, content | {"slices": {"000+14": slice_of(14.0)}})
        raise error

    monkeypatch.setattr(steps if run == "dhw" else year, "run", one_is_kept)
    monkeypatch.setattr(steps, "chosen", lambda names: [("calibrated", 0)] * 99)
    done = invoked(run, "--report", str(folder), "--json")
    assert done.exit_code == 1
    return done, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("run", ["dhw", "year"])
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyboardInterrupt(), "Ctrl-C"),
        (KeyboardInterrupt("SIGTERM"), "SIGTERM"),
        (DeviceFailed("house", "it did not answer", "a line"), "house: it did not answer"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_breaks_a_long_run_off_stands_in_its_partial_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, error: BaseException, why: str
) -> None:
    done, line = broken_off(run, tmp_path, monkeypatch, error)
    assert f"Broken off ({'OSError: [Errno 28] ' if isinstance(error, OSError) else ''}{why}" in done.stderr
    assert line["partial"] is True and line["passed"] is False and line["kpi"]
    assert line["report"] == str(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Partial, broken off before its end" in html and why in html
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["partial"] is True
    junit = (tmp_path / "junit.xml").read_text(encoding="utf-8")
    assert "the run is whole" in junit and why in junit


@pytest.mark.parametrize("run", ["dhw", "year"])
def test_a_signal_before_anything_is_whole_leaves_nothing_behind(tmp_path: Path, run: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "hil", "run", run, "--json", "--report", str(tmp_path / "r")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline()  # its first progress: a controller runs
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Broken off (SIGTERM). Every controller has ended" in err and "no report was written" in err
    assert "Traceback" not in err
    assert json.loads(out) == {
        "passed": False, "partial": True, "sha256": None, "kpi": {}, "report": None,
    }  # fmt: skip
    assert list(tmp_path.glob("toplovod-*")) == []  # flash, keys and consoles are gone
    assert not (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize(("run", "held"), [("v-gt", "faults.json"), ("faults", "week.json")])
def test_a_folder_of_another_run_is_refused(tmp_path: Path, run: str, held: str) -> None:
    (tmp_path / held).write_text("{}")
    done = invoked(run, "--report", str(tmp_path))
    assert getattr(done.exception, "exit_status", None) == 2
    assert "nothing was started. Name another folder" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == [held]
