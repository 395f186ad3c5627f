"""Scenario files: the bench's own are whole, each mistake is told by line with its remedy."""

from __future__ import annotations

import pytest

from .. import scenario_file
from ..bench.errors import WrongUse
from ..reading_yaml import BadFile
from ..scenario_run import STEPS

GOOD = """format: toplovod-scenario/1
title: A short one
story: Nothing much happens.
facts:
  - {fact: it is short, source: this file}
stations: 2
runs:
  - name: only
    firmware: shipped
    outdoor_temp_c: -5
    steps:
      - do: run
        for_min: 5
        expect:
          - {figure: lowest_room_c, limit: room-floor}
"""


@pytest.mark.parametrize("name", scenario_file.names())
def test_the_scenarios_of_the_bench_can_be_read(name):
    scenario = scenario_file.read(scenario_file.find(name))
    assert scenario.facts and all(source for _, source in scenario.facts)
    assert sum(len(step.expect) for run in scenario.runs for step in run.steps) > 0


def test_every_step_that_a_file_may_name_is_there():
    assert set(STEPS) == set(scenario_file.STEPS)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "told"),
    [
        ("stations: 2", "stations: 0", 6, "Give a whole number from 1 to 500"),
        ("stations: 2", "stations: two", 6, "stations is 'two'"),
        ("stations: 2", "statoins: 2", 6, "Write stations"),
        ("for_min: 5", "for_h: 5", 13, "This is given in min: for_min"),
        ("        for_min: 5\n", "", 12, "step run has no for_min"),
        ("do: run", "do: walk", 12, "do is walk. Give one of run"),
        ("figure: lowest_room_c", "figure: highest_room_c", 15, "run gives no figure highest_room_c"),
        ("limit: room-floor", "limit: room-flor", 15, "acceptance.yaml has no limit room-flor"),
        ("firmware: shipped", "firmware: mine", 9, "Give one of shipped, unprotected"),
        ("    firmware: shipped\n", "", 8, "a run has no firmware"),
        ("outdoor_temp_c: -5", "outdoor_temp_c: -500", 10, "Give a number from -40 to 40"),
        ("stations: 2", "stations: 2\nstations: 3", 7, "a second time"),
        (GOOD[GOOD.index("        expect") :], "", 8, "could not fail"),
        ("do: run", "do: repair", 12, "Give the run suction: protected or watched"),
        ("toplovod-scenario/1", "toplovod-scenario/9", 1, "its format is not toplovod-scenario/1"),
        ("title: A short one", "title: [", 4, "Mend this line"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_scenario_is_told_by_line(tmp_path, right, wrong, line, told):
    path = tmp_path / "mine.yaml"
    assert right in GOOD
    path.write_text(GOOD)
    scenario_file.read(path)
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(BadFile) as caught:
        scenario_file.read(path)
    assert f"mine.yaml line {line}:" in str(caught.value) and told in str(caught.value)
    assert str(caught.value).endswith("nothing was started")


def test_what_is_no_scenario_is_told(tmp_path):
    with pytest.raises(WrongUse, match="Known: week, l-2024"):
        scenario_file.find("l-2025")
    with pytest.raises(BadFile, match="Check the name"):
        scenario_file.read(scenario_file.find(str(tmp_path / "missing.yaml")))
