"""The scenario L-2024 on a few stations: the script moves nothing, and where it may, it stops them all.

The same file as at full size, only shorter: the counter-check must fail there as well. `make scenarios` runs
all of it.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from .acceptance import limit
from .scenario_file import Run, Scenario, find, read
from .scenario_report import write_scenario_report
from .scenario_run import RunResult, run_scenario

# Minutes of each step but the restores, run by run: long enough for a shut flow to be told from a small one
# where it is shut, and for a house without heat to leave its comfort band.
SHORTER = ((8, 80, 5), (10, 14, 15, 80), (8, 150), (8, 150))
STATIONS = 3


def shortened(scenario: Scenario) -> Scenario:
    """The same steps in less time, for few houses near the plant."""

    def run(whole: Run, for_min: tuple[int, ...]) -> Run:
        steps = []
        minutes = iter(for_min)
        for step in whole.steps:
            values = dict(step.values)
            if "for_min" in values:
                values["for_min"] = next(minutes)
            # a few stations begin within any minute or two, whatever is done; it takes many to be in step
            expect = tuple(row for row in step.expect if row.figure != "begun_share_in_a_minute")
            steps.append(dataclasses.replace(step, values=values, expect=expect))
        return dataclasses.replace(whole, steps=tuple(steps))

    runs = tuple(run(whole, minutes) for whole, minutes in zip(scenario.runs, SHORTER, strict=True))
    return dataclasses.replace(scenario, runs=runs)


@pytest.mark.slow
def test_l_2024_keeps_every_limit_on_a_few_stations(tmp_path: Path, firmware_bundle: Path) -> None:
    """One run for all that is said of it: as a module's fixture it was made by every worker anew."""
    scenario = shortened(read(find("l-2024")))
    results = run_scenario(
        tmp_path / "run", scenario, stations=STATIONS, seed=1, say=lambda line: None, shipped=firmware_bundle
    )
    _keeps_every_limit(results)
    _report_is_whole_and_opens_offline(tmp_path / "whole", scenario, results)
    _what_is_broken_off_is_marked_partial(tmp_path / "half", scenario, results)


def _keeps_every_limit(results: list[RunResult]) -> None:
    assert [result.stopped_by for result in results] == [""] * 4
    checks = [check for result in results for check in result.checks]
    assert [(check.name, check.value) for check in checks if not check.passed] == []
    shipped, unprotected, with_budget, without_budget = results
    walk = shipped.steps[1]
    assert walk.counts["writes_sent"] > 0 and walk.counts["writes_taken"] == 0
    assert shipped.steps[2].counts["orders_taken"] > 0, "the stolen keys opened nothing: no attack at all"
    # the counter-check: the very same script, and not one station goes on
    assert unprotected.steps[1].counts["writes_taken"] > 0
    assert unprotected.steps[1].figures["stopped_share"] == 1.0
    assert shipped.firmware_sha256 != unprotected.firmware_sha256
    assert unprotected.steps[2].counts == {"stopped_before": STATIONS, "restored": STATIONS}
    # as long as the shipped firmware bore it, and every room is cold
    assert unprotected.steps[4].figures["out_of_comfort"] == STATIONS
    assert walk.to_s - walk.from_s == unprotected.steps[4].to_s - unprotected.steps[4].from_s
    # and the same keys for as long
    kept, lost = with_budget.steps[1], without_budget.steps[1]
    assert kept.to_s - kept.from_s == lost.to_s - lost.from_s
    assert (kept.figures["lowest_room_c"] or 0.0) > limit("room-floor")
    assert (lost.figures["lowest_room_c"] or 99.0) < limit("room-floor")


def _report_is_whole_and_opens_offline(folder: Path, scenario: Scenario, results: list[RunResult]) -> None:
    said = write_scenario_report(
        folder, scenario, results, stations=STATIONS, seed=1, command="toplovod hil run l-2024"
    )
    assert said["passed"] and not said["partial"]
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(html) < 5_000_000
    assert "http://" not in html and "https://" not in html and "<script" not in html
    for result in results:
        assert result.firmware_sha256 in html
    ids = [str(row["device_id"]) for row in results[0].stations]
    for wanted in (
        "toplovod hil run l-2024", "F:103-7", "Own figure:", "map hash", "plant version", "simd level", *ids,
        f"{STATIONS} stations, from house-001 (device id {ids[0]}) to", results[0].plant_device_id,
        "No station has hot water here", "up to 25 % off", "Nothing electrical",
    ):  # fmt: skip
        assert wanted in html, wanted
    suites = ET.parse(folder / "junit.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["0"] * 4
    assert (
        sum(len(suite) for suite in suites)
        == json.loads((folder / "report.json").read_text())["checks_total"]
    )
    with (folder / "trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {run.name for run in scenario.runs}
    assert all(float(row["room_temp_c_least"]) >= limit("room-in-use") for row in rows)
    with (folder / "stations.csv").open() as file:
        assert len({row["device_id"] for row in csv.DictReader(file)}) == STATIONS


def _what_is_broken_off_is_marked_partial(folder: Path, scenario: Scenario, results: list[RunResult]) -> None:
    half = [dataclasses.replace(results[0], whole=False, stopped_by="Ctrl-C", steps=results[0].steps[:2])]
    said = write_scenario_report(folder, scenario, half, stations=STATIONS, seed=1, command="toplovod")
    assert said["partial"] and not said["passed"]
    assert "Partial, broken off before its end" in (folder / "report.html").read_text(encoding="utf-8")
    assert [suite.get("errors") for suite in ET.parse(folder / "junit.xml").getroot()] == ["1"]


RESTORED_TOO_LATE = """format: toplovod-scenario/1
title: Too late
story: The second station is not reached in time.
facts:
  - {fact: short, source: this test}
stations: 2
runs:
  - name: only
    firmware: shipped
    outdoor_temp_c: -5
    steps:
      - {do: run, for_min: 2}
      - do: mass_restore
        over_min: 2
        within_min: 2
        expect:
          - {figure: restored_share, limit: restored}
      - {do: plain_writes, for_min: 0.1, again_min: 1, delay_s: 0}
"""


@pytest.mark.slow
def test_a_station_that_a_restore_has_not_reached_is_counted_and_stops_nothing(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    plan = tmp_path / "late.yaml"
    plan.write_text(RESTORED_TOO_LATE)
    late = few_minutes(read(plan), ({}, {"over_min": 8}, {}))
    (result,) = run_scenario(
        tmp_path / "run", late, stations=2, seed=1, say=lambda line: None, shipped=firmware_bundle
    )
    assert result.whole, result.stopped_by
    restore = result.steps[1]
    assert not restore.checks[0].passed and restore.figures["restored_share"] != 1.0
    assert restore.figures["altered"] == 1  # it proved nothing under the new keys
    assert result.steps[2].counts["writes_taken"] == 0


def silent(whole: Scenario) -> Scenario:
    """The same steps with the shortest lease, and hours instead of days."""
    minutes = iter((30, 4, 40, 10))
    run = whole.runs[0]
    steps = []
    for step in run.steps:
        values = dict(step.values)
        if step.do == "order":
            values["lease_min"] = 5
        else:
            values["for_min"] = next(minutes)
        steps.append(dataclasses.replace(step, values=values))
    return dataclasses.replace(whole, runs=(dataclasses.replace(run, steps=tuple(steps)),))


@pytest.mark.slow
def test_a_dead_supervisor_leaves_no_house_cold(tmp_path: Path, firmware_bundle: Path) -> None:
    """`make scenarios` lets it be dead for the whole 48 h, with twenty houses."""
    (result,) = run_scenario(
        tmp_path,
        silent(read(find("supervisor-silent"))),
        stations=2,
        seed=1,
        say=lambda line: None,
        shipped=firmware_bundle,
    )
    assert result.whole, result.stopped_by
    assert [(check.name, check.value) for check in result.checks if not check.passed] == []
    assert len(result.checks) == 8
    # it was colder than the curve asks for while the order held, so that there was a way back to go
    off_k = result.steps[2].figures["supply_off_k"]
    assert off_k is not None and off_k > limit("ordered-off-curve")


LEAKS = ((12, 1, 3, 7, 9, 2, 1, 10, 1, 10), (12, 1, 14))  # minutes of each step, run by run


def leaking(whole: Scenario) -> Scenario:
    """The same steps in less time."""
    runs = []
    for run, minutes in zip(whole.runs, LEAKS, strict=True):
        steps = [
            dataclasses.replace(step, values={**step.values, "for_min": spent})
            for step, spent in zip(run.steps, minutes, strict=True)
        ]
        runs.append(dataclasses.replace(run, steps=tuple(steps)))
    return dataclasses.replace(whole, runs=tuple(runs))


@pytest.mark.slow
def test_two_leaks_are_survived_and_no_pump_runs_dry(tmp_path: Path, firmware_bundle: Path) -> None:
    """`make scenarios` gives each step its hour, with twenty houses."""
    results = run_scenario(
        tmp_path,
        leaking(read(find("v-leak"))),
        stations=1,
        seed=1,
        say=lambda line: None,
        shipped=firmware_bundle,
    )
    assert [result.stopped_by for result in results] == ["", ""]
    checks = [check for result in results for check in result.checks]
    assert [(check.name, check.value) for check in checks if not check.passed] == []
    # what is judged here is judged in the file: each run has its leaks, the last one without protection
    assert [len(result.checks) for result in results] == [28, 2]
    unprotected = results[-1].steps[-1].figures
    assert unprotected["pump_state_number"] == 0  # nobody told it what is too low


@pytest.mark.slow
def test_ctrl_c_ends_every_controller_and_keeps_the_partial_report(tmp_path: Path) -> None:
    plan = tmp_path / "long.yaml"
    plan.write_text(
        "format: toplovod-scenario/1\ntitle: Long\nstory: It takes days.\n"
        "facts:\n  - {fact: long, source: this test}\nstations: 1\n"
        "runs:\n  - name: long\n    firmware: shipped\n"
        "    outdoor_temp_c: -5\n    steps:\n      - do: run\n        for_min: 20000\n"
        "        expect:\n          - {figure: lowest_room_c, limit: room-floor}\n"
    )
    report = tmp_path / "report"
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "hil", "run", str(plan), "--report", str(report), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "times real time" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert json.loads(out)["partial"] is True
    assert "marked partial" in err
    assert "Ctrl-C" in (report / "report.html").read_text(encoding="utf-8")
    assert list(tmp_path.glob("toplovod-scenario-*")) == []  # flash, keys and consoles are gone


TWO_RUNS = """format: toplovod-scenario/1
title: Two
story: The second one fails.
facts:
  - {fact: short, source: this test}
stations: 1
runs:
"""
ONE_RUN = """  - name: %s
    firmware: shipped
    outdoor_temp_c: -5
    steps:
      - do: run
        for_min: 2
        expect:
          - {figure: lowest_room_c, limit: room-floor}
      - do: run
        for_min: 2
        expect:
          - {figure: lowest_room_c, limit: room-floor}
"""


def children() -> list[int]:
    """The processes that this one has started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
def test_a_station_that_dies_in_a_later_run_takes_nothing_that_was_measured(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    plan = tmp_path / "two.yaml"
    plan.write_text(TWO_RUNS + ONE_RUN % "first" + ONE_RUN % "second")
    scenario = read(plan)
    before = set(children())

    def kill_one_in_the_second_step(line: str) -> None:
        if line.startswith("second: run, 0 of"):
            steps.append(line)
            if len(steps) == 2:
                os.kill(min(set(children()) - before), signal.SIGKILL)

    steps: list[str] = []
    kept: list[list[str]] = []
    first, second = run_scenario(
        tmp_path / "run", scenario, stations=1, seed=1, say=kill_one_in_the_second_step,
        shipped=firmware_bundle, between=lambda results: kept.append([row.run.name for row in results]),
    )  # fmt: skip
    assert kept == [["first"]]  # written before the second one began
    assert first.whole and [check.passed for check in first.checks] == [True, True]
    assert not second.whole and "its process ended with status -9" in second.stopped_by
    assert [step.do for step in second.steps] == ["run", "run, broken off"]
    assert [check.passed for check in second.checks] == [True]  # half a step is not judged, and told
    assert second.steps[1].figures["lowest_room_c"] is not None
    assert second.sha256 and len(second.stations) == 1 and set(children()) <= before
    report = tmp_path / "report"
    said = write_scenario_report(report, scenario, [first, second], stations=1, seed=1, command="toplovod")
    assert said["partial"] and not said["passed"]
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "Partial, broken off before its end" in html and "its process ended with status -9" in html
    assert [suite.get("errors") for suite in ET.parse(report / "junit.xml").getroot()] == ["0", "1"]


@pytest.mark.slow
def test_a_run_whose_stations_do_not_start_is_told_beside_the_one_before(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    bundle = shutil.copytree(firmware_bundle, tmp_path / "bundle")
    plan = tmp_path / "two.yaml"
    plan.write_text(TWO_RUNS + ONE_RUN % "first" + ONE_RUN % "second")

    def take_the_program_away(line: str) -> None:
        (bundle / "main.py").unlink(missing_ok=True)

    before = set(children())
    first, second = run_scenario(
        tmp_path / "run", read(plan), stations=1, seed=1, say=take_the_program_away, shipped=bundle
    )
    assert first.whole and len(first.checks) == 2
    assert not second.whole and "house-001" in second.stopped_by and set(children()) <= before
    said = write_scenario_report(
        tmp_path / "report", read(plan), [first, second], stations=1, seed=1, command="toplovod"
    )
    assert said["partial"] and not said["passed"]


@pytest.mark.slow
def test_ctrl_c_keeps_the_fault_cases_that_are_done(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "hil", "run", "faults", "--case", "sensors.open", "--jobs", "1",
         "--report", str(tmp_path / "report")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("1/6"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Broken off (Ctrl-C): 1 of 6 cases are done and kept, marked partial" in err
    kept = json.loads((tmp_path / "report" / "faults.json").read_text())
    assert kept["partial"] and len(kept["cases"]) == 1


MANY_TO_START = 14  # of ten, six may begin within one minute by their ids alone


def few_minutes(whole: Scenario, *minutes: tuple[dict[str, float], ...]) -> Scenario:
    """The same with other times in each step of each run."""
    runs = []
    for run, times in zip(whole.runs, minutes, strict=True):
        steps = [
            dataclasses.replace(step, values={**step.values, **spent})
            for step, spent in zip(run.steps, times, strict=True)
        ]
        runs.append(dataclasses.replace(run, steps=tuple(steps)))
    return dataclasses.replace(whole, runs=tuple(runs))


@pytest.mark.slow
def test_who_begins_in_one_minute_is_told_from_who_is_spaced(tmp_path: Path, firmware_bundle: Path) -> None:
    """Flows are counted, not switches: the operator spaces the first ones, the controllers those that power
    comes back to, and nobody those whose spread was taken out."""
    result, in_step = run_scenario(
        tmp_path,
        few_minutes(
            read(find("v-2018-09")),
            ({"over_min": 12}, {"for_min": 5}, {"for_min": 1}, {"off_min": 5, "for_min": 10}),
            ({"for_min": 8}, {"off_min": 5, "for_min": 10}),
        ),
        stations=MANY_TO_START,
        seed=1,
        say=lambda line: None,
        shipped=firmware_bundle,
    )
    assert result.whole, result.stopped_by
    checks = [check for run in (result, in_step) for check in run.checks]
    assert [(check.name, check.value) for check in checks if not check.passed] == []
    spaced, failure = result.steps[0], result.steps[-1]
    assert result.cost["pss_sum_mb"] > MANY_TO_START * 2.0  # though none had power at the beginning
    assert spaced.counts == {"switched_on": MANY_TO_START, "begun": MANY_TO_START}
    assert failure.counts == {"begun": MANY_TO_START} and len(failure.checks) == 5
    assert in_step.steps[-1].counts == {"begun": MANY_TO_START}
    assert in_step.steps[-1].figures["begun_share_in_a_minute"] == 1.0


@pytest.mark.slow
def test_leases_that_end_together_end_apart_and_in_step_where_nothing_spreads_them(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    """`make scenarios` lets 324 leases of half an hour end in one second."""
    whole = read(find("v-leases"))
    runs = []
    for run in whole.runs:
        steps = [
            dataclasses.replace(step, values={**step.values, **spent})
            for step, spent in zip(run.steps, LEASES, strict=True)
        ]
        runs.append(dataclasses.replace(run, steps=tuple(steps)))
    results = run_scenario(
        tmp_path, dataclasses.replace(whole, runs=tuple(runs)), stations=4, seed=1, say=lambda line: None,
        shipped=firmware_bundle,
    )  # fmt: skip
    assert [result.stopped_by for result in results] == ["", ""]
    checks = [check for result in results for check in result.checks]
    assert [(check.name, check.value) for check in checks if not check.passed] == []
    assert [len(result.checks) for result in results] == [7, 2]
    # the same limit that the shipped firmware kept: without what spreads the way back it is not kept
    jump = results[1].steps[-1].figures["flow_rise_share"]
    assert jump is not None and jump > limit("flow-rise")


# 40 degC, for five minutes
LEASES: tuple[dict[str, float], ...] = ({"for_min": 20}, {"lease_min": 5}, {"for_min": 5}, {"for_min": 24})
