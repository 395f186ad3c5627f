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


RUN = "do: run\n        for_min: 5"
SOURCE = "do: source\n        share_of_need: 1\n        for_min: 5"
CYCLE = (
    "do: cycle_source\n        low_share_of_need: 0.5\n        high_share_of_need: 1\n"
    "        period_min: 10\n        for_min: 5"
)
LEAK = "do: leak\n        side: supply\n        share_of_flow: 0.1\n        for_min: 5"
ORDER = "do: order\n        secondary_supply_temp_sp_c: 40\n        lease_min: 30"

RESTORE = "do: mass_restore\n        over_min: 9\n        within_min: 3"
FAILURE = "do: power_failure\n        off_min: 1\n        for_min: 5"
STEPS_BEGIN = "    steps:\n      - do: run"
DARK = '    powered: "no"\n'


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
        (RUN, SOURCE, 12, "source takes the need from what was recorded before it, and nothing was. Put"),
        (RUN, CYCLE, 12, "cycle_source takes the need from what was recorded"),
        (RUN, f"{ORDER}\n      - {SOURCE}", 15, "source takes the need"),
        (STEPS_BEGIN, f"    suction: watched\n    steps:\n      - {LEAK}\n      - do: run", 13,
         "leak takes the usual flow"),
        (RUN, RESTORE, 13, "over_min is 9: the last stations would be given back after within_min, 3"),
        (STEPS_BEGIN, f"{DARK}    steps:\n      - {ORDER}\n      - do: run", 13, "order needs stations with"),
        (STEPS_BEGIN, f"{DARK}    steps:\n      - {FAILURE}\n      - do: run", 13, "Put a step switch_on"),
        ("toplovod-scenario/1", "toplovod-scenario/9", 1, "its format is not toplovod-scenario/1"),
        ("title: A short one", "title: [", 4, "Mend this line"),
        ("title: A short one", "title: 2024-13-45", 2, "2024-13-45 is no date and no number"),
        ("title: A short one", "title: !!bool maybe", 2, "words belong in quotes"),
        ("title: A short one", "title: 2024", 2, "title is 2024. Give words"),
        ("do: run", "do: [weather]", 12, "do is ['weather']. Give one of run"),
        ("do: run", "do: {a: 1}", 12, "do is {'a': 1}. Give one of run"),
        (STEPS_BEGIN, "    powered: no\n" + STEPS_BEGIN, 11, "powered is false: that is how YAML"),
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
    with pytest.raises(WrongUse, match=r"Known: week, year, seasons, dhw, faults, l-2024, .*, or a file"):
        scenario_file.find("l-2025")
    with pytest.raises(BadFile, match="Check the name"):
        scenario_file.read(scenario_file.find(str(tmp_path / "missing.yaml")))


def test_brackets_without_end_are_told(tmp_path):
    (tmp_path / "deep.yaml").write_text(GOOD.replace("A short one", "[" * 9_000))
    with pytest.raises(BadFile, match=r"deep\.yaml: .*nothing was started"):
        scenario_file.read(tmp_path / "deep.yaml")
