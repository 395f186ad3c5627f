"""A year of weather for one house: its machinery, and a morning of each season with limits that can fail.

A whole week of each season is `make seasons`, the year is `make year`; here is an hour and a half of the
middle day of each of those weeks, when the night's set-back ends and most is drawn.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from . import year, year_report
from .bench.plant.draw_offs import DAY_S
from .bench.plant.year_weather import YearWeather
from .commands import app

MORNING = year.Plan(warm_up_s=1_800)
FROM_S, SPAN_S = 6 * 3600 + 1800, 3600 + 1800
WEEKS = year.season_weeks(YearWeather.read())


def test_slices_cover_what_was_asked_for_once_and_spread_over_the_seasons() -> None:
    order = year.pieces(0, year.DAYS)
    days = sorted(day for first, length in order for day in range(first, first + length))
    assert days == list(range(year.DAYS))
    assert [first // 91 for first, _ in order[:4]] == [0, 2, 1, 3]  # a quarter run is a day of each season
    assert year.pieces(300, 20, 14) == [(300, 14), (314, 6)]
    with pytest.raises(ValueError, match="at most 65 days"):
        year.pieces(300, 66)


def test_days_have_names_and_the_schedule_knows_them() -> None:
    assert year.day_of("03-01") == 59 and year.day_name(59) == "03-01"
    with pytest.raises(ValueError, match="02-30"):
        year.day_of("02-30")
    assert year.comfort_now(6.5 * 3600)  # 1 January 2027 is a Friday
    assert not year.comfort_now(DAY_S + 6.5 * 3600)  # on Saturday comfort begins at seven


def test_the_weeks_are_of_their_seasons() -> None:
    daily = YearWeather.read().hourly_c
    means = {name: sum(daily[24 * day : 24 * (day + 7)]) / 168.0 for name, day in WEEKS.items()}
    assert means["winter"] < 0.0 < means["autumn"] < means["summer"]
    assert means["spring"] == pytest.approx(10.8, abs=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("season", WEEKS)
def test_a_morning_of_each_season(season: str, firmware_bundle: Path, tmp_path: Path) -> None:
    """Rooms warm, taps hot, valves calm, the return cool, and the heap as it was."""
    first_s = (WEEKS[season] + 3) * DAY_S + FROM_S
    done = year.run_slice(MORNING, first_s, SPAN_S, tmp_path / "morning.npz", firmware_bundle)
    kpi = year.total([done])
    failed = {check.name for check in year_report.checks_of(kpi) if not check.passed}
    # the day's liveliest hour and a half, times 5840, is no year
    failed = {name for name in failed if not name.endswith("strokes in a year")}
    assert failed == set()
    assert kpi["draws"] >= 2
    heats = season != "summer"
    assert (done["heating_kwh"] > 1.0) == heats
    assert done["dhw_kwh"] > 1.0
    assert (done["motor_starts"]["valve"] > 0) == heats
    assert done["alarm_looks"] == {}


@pytest.mark.slow
def test_a_run_against_legionella_passes_where_the_circulation_comes_back(
    firmware_bundle: Path, tmp_path: Path
) -> None:
    """A Saturday in March at two o'clock: the loop loses 1 K, and its sensor has to see the whole 65 degC."""
    first_s = year.day_of("03-06") * DAY_S + 6_600
    done = year.run_slice(MORNING, first_s, 4_800, None, firmware_bundle)
    assert done["legionella_result"] == 2  # passed
    assert done["alarm_looks"] == {}


def test_a_cold_room_a_cool_tap_and_a_restless_valve_are_not_passed() -> None:
    kpi = year.total([slice_of(1.0)])
    assert all(check.passed for check in year_report.checks_of(kpi))
    for path, worse in (
        (("rooms", "room_c", "cold_h"), 5.0),
        (("below_45_s",), 100.0),
        (("over_65_longest_s",), 12.0),
        (("return_m3_k",), 60.0),
        (("meter_kwh",), 60.0),
        (("strokes", "valve2"), 30.0),
        (("starts_hour_most", "valve"), 61),
        (("resets",), 1),
        (("heap_end_b",), 200_000),
    ):
        bad = slice_of(1.0)
        place = bad
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = worse
        checks = year_report.checks_of(year.total([bad]))
        assert [check.passed for check in checks].count(False) == 1, path


def test_slices_add_up() -> None:
    kpi = year.total([slice_of(1.0), slice_of(3.0)])
    assert kpi["days"] == 2.0
    assert kpi["plant_kwh"] == 200.0 and kpi["return_by_volume_c"] == 35.0
    assert kpi["valve_strokes_day"] == 2.0 and kpi["valve_starts_year"] == 2.0 * 365
    assert kpi["valve_starts_hour_most"] == 3
    with pytest.raises(ValueError, match="no slice"):
        year.total([])


def test_a_part_is_not_called_a_year(tmp_path: Path) -> None:
    content = {"provenance": {"weather": "here"}, "slices": {"000+1": slice_of(1.0), "200+1": slice_of(1.0)}}
    passed, page, _ = year_report.write(tmp_path, content, ["toplovod"], [(day, 1) for day in range(365)])
    html = page.read_text()
    assert not passed
    assert "2 of 365 days: not a year" in html and "Partial, broken off" in html and "07-20" in html
    assert "http://" not in html and "https://" not in html  # opens offline
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert {case.get("name") for case in suite} >= {"Radiators: comfort hours too cold", "the run is whole"}
    passed, _, _ = year_report.write(tmp_path, content, ["toplovod"], [(200, 1), (0, 1)])
    assert passed
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("errors") == "0" and len(suite) == len(
        year_report.checks_of(year.total([slice_of(1.0)]))
    )


def test_what_else_a_folder_keeps_makes_nothing_whole(tmp_path: Path) -> None:
    """Days of another question, or the same days in other slices, are neither counted nor added twice."""
    kept = {f"{day:03d}+1": slice_of(1.0) for day in (0, 1, 2)} | {"000+3": slice_of(1.0)}
    content = {"provenance": {"weather": "here"}, "slices": kept}
    passed, page, kpi = year_report.write(tmp_path, content, ["toplovod"], [(1, 1), (9, 1)])
    assert not passed and kpi["days"] == 1.0
    assert "Partial, broken off" in page.read_text() and "01-01" not in page.read_text()


@pytest.mark.slow
def test_a_run_that_was_cut_goes_on_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices that are there are not run again; those of another seed are put aside."""

    def quick(plan: Any, piece: tuple[int, int], *_: Any) -> dict[str, Any]:
        return slice_of(1.0)

    monkeypatch.setattr(year, "_slice_beside", quick)
    lines: list[str] = []
    wanted = year.pieces(0, 3, 1)
    first = year.run(year.Plan(), wanted[:1], tmp_path, lines.append)
    assert list(first["slices"]) == ["000+1"]
    monkeypatch.setattr(year, "_slice_beside", lambda plan, piece, *_: {**quick(plan, piece), "piece": piece})
    again = year.run(year.Plan(), wanted, tmp_path, lines.append)
    ran = [tuple(s["piece"]) for s in again["slices"].values() if "piece" in s]
    assert sorted(ran) == [(1, 1), (2, 1)]
    other = year.run(year.Plan(seed=2), wanted[:1], tmp_path, lines.append)
    assert list(other["slices"]) == ["000+1"] and any("made otherwise" in line for line in lines)
    assert len(list(tmp_path.glob("year-*.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "week", "--days", "3"], "--days: week does not take it, only year;"),
        (["run", "year", "--from", "13-01"], "no day of the year"),
        (["run", "year", "--from", "12-01", "--days", "40"], "at most 31 days"),
        (["run", "year", "--speed", "5"], "unpaced"),
    ],
)
def test_wrong_use_is_told_and_starts_nothing(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["hil", *arguments])
    assert done.exit_code != 0
    assert said in str(done.exception) and "nothing was started" in str(done.exception)


def slice_of(size: float) -> dict[str, Any]:
    """A day that keeps every limit; size: of what a slice may differ in."""
    rooms = {"cold_kh": 0.0, "cold_h": 0.0, "warm_kh": 0.0, "coldest_c": 19.0, "warmest_heated_c": 21.0}
    names, pumps = ("valve", "valve2", "dhw_valve"), ("pump", "pump2", "circulation_pump")
    return {
        "first_s": 0.0, "span_s": float(DAY_S), "outdoor_kh": 0.0, "comfort_h": 16.0, "heated_h": 24.0,
        "rooms": {"room_c": dict(rooms), "room2_c": dict(rooms)},
        "volume_m3": 1.0, "return_m3_k": 35.0, "plant_kwh": 100.0, "heating_kwh": 90.0, "dhw_kwh": 9.0,
        "meter_kwh": 101.0, "controller_kwh": 102.0, "draws": 23, "draw_s": 1_000.0, "below_45_s": 1.0,
        "below_50_s": 2.0, "coldest_drawn_c": 44.0, "over_65_s": 0.0, "over_65_longest_s": 0.0,
        "strokes": dict.fromkeys(names, size), "motor_starts": dict.fromkeys(names, round(size)),
        "pump_starts": dict.fromkeys(pumps, 1), "relay_starts": {},
        "starts_hour_most": dict.fromkeys((*names, *pumps), round(size)),
        "pump_h": dict.fromkeys(pumps, 24.0),
        "looks": 144, "alarm_looks": {}, "heap_start_b": 150_000, "heap_end_b": 150_100, "resets": 0,
        "task_restarts": 0, "cpu_s": 40.0, "wall_s": 40.0, "sha256": "a", "relays_sha256": "b",
    }  # fmt: skip
