"""The catalogue is whole, its page is its own, and a run of it can be stopped and taken up."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hil_tests.bench.ending import signals_as_ctrl_c
from hil_tests.bench.errors import WrongUse
from hil_tests.bench.faults.both import TOGETHER_S, Both, both
from hil_tests.bench.faults.case import MET, NOT_MET, Plan, Result
from hil_tests.bench.plant_version import plant_version
from hil_tests.faults.catalogue import TYPES, cases, chosen
from hil_tests.faults.page import PAGE, RUN, markdown
from hil_tests.faults.pairs import chosen_pairs, pairs
from hil_tests.faults.run import RESULT, run_faults

# hil.md 4.1
COUNTS = {"sensors": 10, "actuators": 8, "hydraulics": 7, "meter": 3, "serial": 8, "tcp": 6, "time": 3,
          "power": 7, "memory": 4}  # fmt: skip
NAMED = re.compile(r"own|docs/|hil\.md|firmware\.md|domain\.md|Samson|Siemens|EN \d+|\bS\d+\b|design|as open")


def test_every_type_stands_at_every_point_in_both_severities() -> None:
    assert Counter(kind.group for kind in TYPES) == COUNTS
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) == 336


def test_every_type_says_how_it_is_proved_what_must_happen_and_why() -> None:
    for kind in TYPES:
        assert all((kind.injector, kind.mild, kind.severe, kind.probe, kind.reaction)), kind.name
        assert NAMED.search(kind.source), f"{kind.name}: {kind.source} names no source"


def test_every_case_waits_for_something() -> None:
    """A plan without any expectation but safety is allowed only where its text says so."""
    for case in cases():
        plan = case.type.plan(case.point, case.severe)
        assert isinstance(plan, Plan)
        waits = plan.detect or plan.reacts or plan.holds
        assert waits or "nobody inside one house can tell" in case.type.reaction, case.name


def test_a_case_is_found_by_name_type_or_group() -> None:
    assert len(chosen(["sensors"])) == 60
    assert len(chosen(["sensors.open"])) == 6
    assert [case.name for case in chosen(["serial.noise/winter/severe"])] == ["serial.noise/winter/severe"]
    assert len(chosen(["sensors.open", "sensors.open/summer"])) == 6


def test_every_two_types_are_a_pair_and_each_type_meets_every_point_in_both_severities() -> None:
    every = pairs()
    assert len({pair.name for pair in every}) == len(every) == len(TYPES) * (len(TYPES) - 1) // 2 == 1540
    met = {
        (case.type.name, case.type.group, case.point, case.severity)
        for pair in every
        for case in (pair.first, pair.second)
    }
    assert len(met) == 6 * len(TYPES)
    for pair in every:
        plans = pair.first.plan(), pair.second.plan()
        plan = pair.plan()  # ValueError where two rigs cannot be one
        assert plan.wiring.keys() == plans[0].wiring.keys() | plans[1].wiring.keys()
        assert plan.span_s == max(TOGETHER_S, min(one.span_s for one in plans))


def test_pairs_whose_rigs_contradict_each_other_are_refused() -> None:
    def plan(**wiring: Any) -> Plan:
        return Plan(lambda rig: Both(rig, (plan(), plan())), wiring=wiring)

    joined = both(plan(settings={"dhw": 1}, rtu=True), plan(settings={"schedule": 2})).wiring
    assert joined == {"settings": {"dhw": 1, "schedule": 2}, "rtu": True}
    with pytest.raises(ValueError, match="first_tick is 1 for one fault and 2 for the other"):
        both(plan(first_tick=1), plan(first_tick=2))


def test_a_pair_is_found_by_its_name_or_its_first_type() -> None:
    assert len(chosen_pairs(["sensors.open"])) == len(TYPES) - 1
    (pair,) = chosen_pairs(["hydraulics.dp-surge+tcp.pipelining"])
    assert pair.name.startswith("hydraulics.dp-surge+tcp.pipelining/")
    with pytest.raises(WrongUse, match=r"no such fault case; nothing was started\. Near: .*\+tcp.pipelining"):
        chosen_pairs(["hydraulics.dp-surge+tcp.pipelinin"])


def test_a_folder_of_pairs_is_none_of_cases(tmp_path: Path, bundle: Path) -> None:
    folder, name = tmp_path / "run", "sensors.open+sensors.short"
    done = run_faults([name], folder, lambda _: None, bundle=bundle, runner=Script(), in_pairs=True)
    assert done["passed"] and len(done["cases"]) == 1
    again = Script()
    run_faults([name], folder, lambda _: None, bundle=bundle, runner=again, in_pairs=True)
    assert again.names == []
    cases_only = run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=Script())
    assert len(cases_only["cases"]) == 6


def test_an_unknown_case_is_refused_with_what_is_near() -> None:
    with pytest.raises(
        WrongUse, match=r"sensors\.opem: no such fault case; nothing was started\..*sensors\.open"
    ):
        chosen(["sensors.opem"])


def test_the_page_is_made_from_catalogue_and_run() -> None:
    assert PAGE.read_text() == markdown(json.loads(RUN.read_text())), "run python -m hil_tests.faults.page"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"sha256": "ab" * 32}))
    return folder


class Script:
    """Stands for the bench: gives a verdict for each case, and may be interrupted."""

    def __init__(self, stop_at: int | None = None, verdict: str = MET) -> None:
        self.names: list[str] = []
        self._stop_at, self._verdict = stop_at, verdict

    def __call__(self, name: str, *_: Any) -> Result:
        if len(self.names) == self._stop_at:
            raise KeyboardInterrupt
        self.names.append(name)
        return Result(name, self._verdict, plant_version=plant_version())


def test_a_stopped_run_is_kept_marked_partial_and_taken_up(tmp_path: Path, bundle: Path) -> None:
    folder, said = tmp_path / "run", list[str]()
    stopped = run_faults(["sensors.open"], folder, said.append, bundle=bundle, runner=Script(stop_at=4))
    kept = json.loads((folder / RESULT).read_text())
    assert (kept["partial"], kept["passed"], len(kept["cases"])) == (True, False, 4)
    assert stopped == kept
    assert "Partial" in (folder / "report.html").read_text()
    rest = Script()
    done = run_faults(["sensors.open"], folder, said.append, bundle=bundle, runner=rest)
    assert rest.names == ["sensors.open/winter/mild", "sensors.open/winter/severe"]
    assert (done["partial"], done["passed"], done["kpi"]["met"]) == (False, True, 6)


@pytest.mark.parametrize("text", ["[]", "", '{"format": "toplovod-fault-run/1"}'])
def test_what_is_no_run_is_put_aside(tmp_path: Path, bundle: Path, text: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / RESULT).write_text(text)
    done = run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=Script())
    assert done["kpi"]["met"] == 6 and (folder / "faults-unknown.json").read_text() == text


def test_which_signal_broke_a_run_off_is_told(tmp_path: Path, bundle: Path) -> None:
    def ended(name: str, *_: Any) -> Result:
        os.kill(os.getpid(), signal.SIGTERM)
        return Result(name, MET)

    said: list[str] = []
    with signals_as_ctrl_c():
        run_faults(["sensors.open"], tmp_path, said.append, bundle=bundle, runner=ended)
    assert said[-1].startswith("Broken off (SIGTERM): 0 of 6 cases are done and kept, marked partial")


def test_a_run_that_was_killed_is_taken_up_and_what_it_left_does_not_stand_in_the_way(
    tmp_path: Path, bundle: Path
) -> None:
    """A machine that stops in the middle of a case leaves that case's flash behind, of each worker one."""
    folder = tmp_path / "run"
    for place in ("case-00", "case-01"):
        (folder / place / "devices" / "house-01").mkdir(parents=True)

    def new_house(name: str, _plan: Any, _point: Any, into: Path, *_: Any) -> Result:
        (into / "devices" / "house-01").mkdir(parents=True)
        shutil.rmtree(into)
        return Result(name, MET, plant_version=plant_version())

    done = run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=new_house, workers=2)
    assert (done["kpi"]["met"], done["passed"]) == (6, True), [row["why"] for row in done["cases"].values()]


def test_cases_side_by_side_come_to_the_same_and_one_that_dies_loses_no_other(
    tmp_path: Path, bundle: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run_faults(["sensors.open"], one, lambda _: None, bundle=bundle, runner=Script())
    beside = run_faults(["sensors.open"], two, lambda _: None, bundle=bundle, runner=Script(), workers=2)
    assert beside["sha256"] == alone["sha256"]

    def dies(name: str, *rest: Any) -> Result:
        if name.endswith("winter/severe"):
            os._exit(3)
        return Result(name, MET)

    done = run_faults(["sensors.short"], two, lambda _: None, bundle=bundle, runner=dies, workers=2)
    assert (done["kpi"]["met"], done["kpi"]["errors"], done["passed"]) == (5, 1, False)
    assert done["cases"]["sensors.short/winter/severe"]["why"].endswith(
        "ended with status 3; the run stopped there"
    )
    again = run_faults(["sensors.short"], two, lambda _: None, bundle=bundle, runner=Script())
    assert again["passed"] and again["kpi"]["met"] == 6


def test_another_plant_is_run_again_and_another_seed_puts_the_first_aside(
    tmp_path: Path, bundle: Path
) -> None:
    folder, once = tmp_path / "run", "sensors.open/winter/mild"
    run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=Script())
    kept = json.loads((folder / RESULT).read_text())
    kept["cases"][once]["plant_version"] = "another"
    (folder / RESULT).write_text(json.dumps(kept))
    again = Script()
    run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=again)
    assert again.names == [once]
    for seed in (2, 3):
        run_faults([once], folder, lambda _: None, bundle=bundle, runner=Script(), seed=seed)
    aside = [json.loads((folder / f"faults-abababab{n}.json").read_text()) for n in ("", "-2")]
    assert [(run["seed"], len(run["cases"])) for run in aside] == [(1, 6), (2, 1)]


def test_another_firmware_begins_anew(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "run"
    run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=Script())
    (bundle / "manifest.json").write_text(json.dumps({"sha256": "cd" * 32}))
    again = Script(verdict=NOT_MET)
    done = run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=again)
    assert len(again.names) == 6
    assert not done["passed"]
