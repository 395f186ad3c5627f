"""What a folder holds: no run overwrites one of another kind, and a former report is moved, not lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..bench import kept
from ..bench.errors import WrongUse
from ..dhw import steps
from ..faults import run as fault_run
from ..week import WEEK_FILE
from ..year import YEAR_FILE

FILES = ("report.json", "report.html", "trace.csv")


def report_in(folder: Path, **content: object) -> None:
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).write_text(name)
    (folder / kept.REPORT).write_text(json.dumps(content))


def test_each_run_is_known_by_the_file_that_it_goes_on_from() -> None:
    assert {
        WEEK_FILE: "week",
        YEAR_FILE: "year",
        steps.RESULT: "dhw",
        fault_run.RESULT: "faults",
    } == kept.GOES_ON_FROM


@pytest.mark.parametrize("name", kept.GOES_ON_FROM)
def test_a_folder_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    kind = kept.GOES_ON_FROM[name]
    kept.refuse_other_kind(tmp_path, kind)
    (tmp_path / name).write_text("[]")
    kept.refuse_other_kind(tmp_path, kind)
    with pytest.raises(WrongUse, match=f"holds a run of {kind}, and this is a scenario; nothing was started"):
        kept.refuse_other_kind(tmp_path, kept.SCENARIO)


def test_so_is_a_scenarios_for_every_other_run(tmp_path: Path) -> None:
    report_in(tmp_path, provenance={"scenario": "v-gt"})
    kept.refuse_other_kind(tmp_path, kept.SCENARIO)
    with pytest.raises(WrongUse, match="holds a run of a scenario, and this is faults"):
        kept.refuse_other_kind(tmp_path, "faults")
    report_in(tmp_path, provenance=[])
    assert kept.held_by(tmp_path) == ""


def test_a_former_report_is_moved_below_and_the_next_one_beside_it(tmp_path: Path) -> None:
    for expected in ("former-abcdef01", "former-abcdef01-2"):
        report_in(tmp_path, sha256="abcdef0123", kpi={"run": {"1 run": {"lowest_room_c": 19.0}}})
        aside = kept.put_aside(tmp_path, (*FILES, "stations.csv"))
        assert aside is not None and aside.name == expected
        assert sorted(path.name for path in aside.iterdir()) == sorted(FILES)
        assert not any((tmp_path / name).exists() for name in FILES)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kpi": {"run": {}}}', '{"kpi": []}'])
def test_where_nothing_was_measured_nothing_is_moved(tmp_path: Path, text: str) -> None:
    (tmp_path / kept.REPORT).write_text(text)
    assert kept.put_aside(tmp_path, FILES) is None and [*tmp_path.iterdir()] == [tmp_path / kept.REPORT]
