"""The report of a fault run: whole, small enough to send, readable to machines, true of what was not run."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from hil_tests.bench.faults.case import ERROR, MET, NOT_MET, Result
from hil_tests.bench.faults.trace import COLUMNS, ROWS_KEPT, Trace
from hil_tests.bench.plant_version import plant_origin
from hil_tests.faults import report
from hil_tests.faults.catalogue import Case, cases, chosen
from hil_tests.faults.pairs import Pair, pairs
from hil_tests.faults.run import FORMER_PAGE, RESULT, run_faults

NAME = "sensors.open/winter/severe"
LONG = [
    [10.0 * k, 80.1234, 0.6123, 0.3456, 40.0 + k % 7, 55.0 + k % 11, 0.15, 20.1234] for k in range(ROWS_KEPT)
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"sha256": "ab" * 32}))
    return folder


def result(name: str, verdict: str = MET, why: str = "") -> Result:
    return Result(
        name, verdict, "converter at 65535", why, 6.0, 86.0, 536.0, 4.0, 2, 19.32, 38.4, "cd" * 32, 4.0,
        600.0,
        "67db126a77797b9e", trace=LONG, **plant_origin(),
    )  # fmt: skip


def run(
    folder: Path, bundle: Path, names: list[str], verdict: str = MET, why: str = "", **more: Any
) -> dict[str, Any]:
    def bench(name: str, *_: Any) -> Result:
        return result(name, verdict, why)

    return run_faults(names, folder, lambda _: None, bundle=bundle, runner=bench, seed=3, **more)


def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_says_all_that_a_laboratory_asks_for(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "run"
    run(folder, bundle, ["sensors.open"])
    text = page(folder)
    (case,) = chosen([NAME])
    origin = plant_origin()
    for wanted in (
        "6 of 6 cases met", "67db126a77797b9e", "ab" * 32, "map hash", origin["plant_version"],
        origin["simd_level"],
        case.type.probe, case.type.source, "converter at 65535", "safety thermostat acted 2 times",
        "drawn above 65 °C for 4 s", "≤ 1800", "What this does not cover", "power.voltage",
        f"toplovod hil run faults --seed 3 --report again --case {NAME}",
        "toplovod hil run faults --seed 3 --report again --case sensors.open</code>",
        'aria-label="P 4 s, D 6 s, R 86 s, M 600 s, W 1136 s"',
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "http://" not in text and "https://" not in text and "<script" not in text
    with (folder / "trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * ROWS_KEPT and set(rows[0]) == {"case", *COLUMNS}
    assert {row["case"] for row in rows} == {case.name for case in chosen(["sensors.open"])}


@pytest.mark.parametrize(("verdict", "counted"), [(NOT_MET, ("1", "0")), (ERROR, ("0", "1"))])
def test_not_met_is_a_failure_and_a_bench_that_could_not_judge_an_error(
    tmp_path: Path, bundle: Path, verdict: str, counted: tuple[str, str]
) -> None:
    folder = tmp_path / "run"
    run(folder, bundle, [NAME], verdict, "it was <not> so")
    (suite,) = ET.parse(folder / "junit.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == counted
    (case,) = suite
    assert (case.get("classname"), case.get("name")) == ("faults.sensors.open", "winter/severe")
    assert case[0].get("message") == "it was <not> so"
    assert "Not met, and errors" in page(folder) and "it was &lt;not&gt; so" in page(folder)


def test_a_stopped_run_names_what_was_not_run(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / FORMER_PAGE).write_text("of an older bench")

    def stops(name: str, *_: Any) -> Result:
        if name.endswith("transition/mild"):
            raise KeyboardInterrupt
        return Result(name, MET)

    assert run_faults(["sensors.open"], folder, lambda _: None, bundle=bundle, runner=stops)["partial"]
    assert "Partial, it was stopped or goes on: 2 of 6 cases met" in page(folder)
    (suite,) = ET.parse(folder / "junit.xml").getroot()
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["7", "0", "1", "4"]
    assert not (folder / FORMER_PAGE).exists()  # it would tell another story


def test_rows_of_an_older_bench_are_shown_with_what_they_hold(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "run"
    run(folder, bundle, [NAME])
    kept = json.loads((folder / RESULT).read_text())
    for key in ("proven_s", "mended_s", "device_id", "simd_level"):
        del kept["cases"][NAME][key]
    (folder / RESULT).write_text(json.dumps(kept))
    assert run(folder, bundle, [NAME], ERROR)["kpi"]["met"] == 1  # not run again
    assert 'aria-label="D 6 s, R 86 s"' in page(folder) and "<code>not kept</code>" in page(folder)


def test_an_earlier_try_leaves_no_trace_to_a_later_one_that_has_none(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "run"
    run(folder, bundle, [NAME], ERROR)
    stopped = run_faults([NAME], folder, lambda _: None, bundle=bundle, runner=interrupted, seed=3)
    assert stopped["kpi"]["errors"] == 1  # the earlier try's
    assert len((folder / "trace.csv").read_text().splitlines()) == 1


def interrupted(*_: Any) -> Result:
    raise KeyboardInterrupt


def test_a_long_case_is_kept_more_coarsely_and_from_its_beginning() -> None:
    class House:
        """As much of a rig as a trace looks at."""

        now_s = 100.0
        recorders: ClassVar[list[Any]] = []
        plant = SimpleNamespace(
            primary_supply_temp_c=[80.0], primary_dp_pa=[6e4], valve_position=[0.5],
            secondary_supply_temp_c=[40.0], room_temp_c=[20.0],
        )  # fmt: skip
        tap = SimpleNamespace(tap_c=55.0, draw_kg_s=0.15)

    house: Any = House()
    rows = Trace(house).rows
    for _ in range(5_000):
        house.now_s += 2.0
        house.recorders[0]()
    assert rows[0] == [0.0, 80.0, 0.6, 0.5, 40.0, 55.0, 0.15, 20.0] and rows[-1][0] > 9_900.0
    assert ROWS_KEPT // 2 <= len(rows) <= ROWS_KEPT
    assert len({b[0] - a[0] for a, b in pairwise(rows)}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("every", [cases(), pairs()], ids=["cases", "pairs"])
def test_a_page_of_everything_stays_below_five_megabytes(
    tmp_path: Path, every: Sequence[Case | Pair]
) -> None:
    """The longest traces there can be, and more that were not met than get a picture."""
    rows = {}
    for number, case in enumerate(every):
        bad = number < report.PAIR_CHARTS + 20
        rows[case.name] = result(case.name, NOT_MET if bad else MET, "a reason " * 8 if bad else "").as_row()
        report.keep_trace(tmp_path, case.name, LONG)
    kpi = dict.fromkeys(("asked", "done", "proven", "met", "not_met", "errors"), len(every))
    ran = {"cases": rows, "kpi": kpi, "firmware_sha256": "ab" * 32, "seed": 1, "partial": False,
    "passed": False,
           "sha256": "ef" * 32}  # fmt: skip
    report.write(tmp_path, ran, [], every, every)
    text = page(tmp_path)
    assert len(text.encode()) < 5_000_000
    assert text.count('class="moments"') == len(every) + report.PAIR_CHARTS + 20  # not met: shown twice
    assert text.count("heating supply</text>") == (len(every) if every == cases() else report.PAIR_CHARTS)
