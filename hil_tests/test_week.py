"""The week's machinery on a short span: the rival is found by running, figures are the run's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.valley.make_valley import make_valley

from .bench.plant.weather import Weather
from .demo_report import week_section, write_partial_week, write_week_report
from .week import (
    DP_RESOLUTION_BAR,
    PARTIAL_FILE,
    RESULT_FORMAT,
    WEEK_FILE,
    Coldest,
    Plan,
    coldest_hour,
    kept_rival,
    later,
    load_week,
    lowest_constant_dp,
    rooms_beside,
    run_constant,
    run_coordinated,
)

WARM_UP_S = SPAN_S = 600.0
HOUSES = 6


def test_the_coldest_hour_is_found_after_the_warm_up() -> None:
    hours = np.arange(0.0, 30 * 3600.0, 3600.0)
    temps = np.where(hours == 2 * 3600.0, -20.0, 5.0)  # the coldest of all lies in the warm-up
    temps[20], temps[21] = -8.0, -8.0
    weather = Weather(Weather.constant(0.0).start, hours, temps)
    plan = Plan(warm_up_s=10 * 3600.0, span_s=19 * 3600.0)
    assert coldest_hour(plan, weather) == 20 * 3600.0
    moved = later(weather, 14.5 * 3600.0)
    assert moved.outdoor_temp_c(0.0) == weather.outdoor_temp_c(14.5 * 3600.0)
    assert moved.outdoor_temp_c(6 * 3600.0) == weather.outdoor_temp_c(20.5 * 3600.0)


def test_a_house_short_of_heat_is_not_served() -> None:
    assert Coldest(1.0, 1.4, "house-01", 0.5).served
    assert not Coldest(1.0, 1.41, "house-01", 0.5).served


@pytest.mark.parametrize("near_bar", [None, 0.45, 1.5, 1.85, 1.867, 1.88, 3.0, 4.6, 9.0])
def test_the_lowest_pressure_is_the_same_wherever_the_search_begins(near_bar: float | None) -> None:
    """The least that serves is 1.86 bar, looked for from every side; each try costs seven hours of town."""

    def hour(plan: Plan, bar: float) -> Coldest:
        return Coldest(bar, 0.0 if bar >= 1.86 else 2.0, "house-11", 0.3)

    tries = lowest_constant_dp(Plan(), 0.4, 4.62, lambda line: None, near_bar=near_bar, hour=hour)
    lowest = min(t.plant_dp_bar for t in tries if t.served)
    highest_short = max(t.plant_dp_bar for t in tries if not t.served)
    assert 1.86 <= lowest < 1.86 + DP_RESOLUTION_BAR
    assert lowest - highest_short <= DP_RESOLUTION_BAR
    assert len(tries) <= (5 if near_bar in (1.85, 1.867, 1.88) else 14)


def test_no_rival_where_no_pressure_serves() -> None:
    def hour(plan: Plan, bar: float) -> Coldest:
        return Coldest(bar, 9.0, "house-11", 0.3)

    for near_bar in (None, 1.8, 4.61):
        with pytest.raises(ValueError, match=r"4\.62 bar does not serve house-11: 9\.0 K short"):
            lowest_constant_dp(Plan(), 0.4, 4.62, lambda line: None, near_bar=near_bar, hour=hour)


def test_what_is_kept_of_the_rival_is_not_done_again(tmp_path: Path) -> None:
    """Interrupted after the search, then after the run, then made from another firmware."""
    done: list[str] = []

    def search() -> list[Coldest]:
        done.append("search")
        return [Coldest(1.8, 2.0, "house-11", 0.3), Coldest(1.9, 0.0, "house-11", 0.4)]

    def run(bar: float) -> dict[str, Any]:
        done.append(f"run at {bar}")
        if len(done) == 2:
            raise KeyboardInterrupt
        return {"sha256": "00", "kpi": {}}

    path, origin = tmp_path / "constant.json", {"firmware_sha256": "aa"}
    with pytest.raises(KeyboardInterrupt):
        kept_rival(path, origin, search, run)
    assert done == ["search", "run at 1.9"]
    rival = kept_rival(path, origin, search, run)
    assert done[2:] == ["run at 1.9"]
    assert rival["plant_dp_bar"] == 1.9 and [t["served"] for t in rival["search"]] == [False, True]
    assert kept_rival(path, origin, search, run) == rival
    assert done[3:] == []
    kept_rival(path, {"firmware_sha256": "bb"}, search, run)
    assert done[3:] == ["search", "run at 1.9"]


def test_rooms_are_judged_beside_the_same_rooms_of_the_other_week(tmp_path: Path) -> None:
    times = np.arange(0.0, 600.0, 60.0)
    rival = np.full((10, 3), 19.5, dtype=np.float32)
    ours = rival + np.float32(0.1)
    ours[4:7, 1] = 18.25  # 1.25 K lost for three minutes
    for name, rooms in (("coordinated", ours), ("constant", rival)):
        np.savez(
            tmp_path / f"{name}.npz", houses=np.array(["a", "b", "c"]), time_s=times, house_room_temp_c=rooms
        )
    beside = rooms_beside(tmp_path / "coordinated.npz", tmp_path / "constant.npz")
    assert beside["room_lost_largest_k"] == pytest.approx(1.25)
    assert beside["room_lost_house"] == "b"
    assert beside["room_lost_hour"] == pytest.approx(4 / 60)
    assert beside["house_hours_lost"] == pytest.approx(3 / 60)
    assert beside["room_mean_difference_k"] == pytest.approx((27 * 0.1 - 3 * 1.25) / 30, abs=1e-6)


def test_a_week_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert load_week(tmp_path / "missing.json") is None
    (tmp_path / WEEK_FILE).write_text("{")
    assert load_week(tmp_path / WEEK_FILE) is None


@pytest.mark.slow
def test_both_runs_give_figures_and_a_report(tmp_path: Path) -> None:
    """The same plan twice: with the supervisor and without; the report shows both and where they are from."""
    make_valley(HOUSES, 1, tmp_path / "valley")
    plan = Plan(str(tmp_path / "valley" / "site.toml"), warm_up_s=WARM_UP_S, span_s=SPAN_S)
    ours = run_coordinated(plan, tmp_path / "coordinated.npz")
    rival = run_constant(plan, 2.0, tmp_path / "constant.npz")
    assert ours["kpi"]["polls_due"] > 0 and ours["kpi"]["polls_lost"] == 0
    assert ours["kpi"]["simulated_h"] == rival["kpi"]["simulated_h"] == pytest.approx(1 / 6)
    assert 0 < ours["kpi"]["pump_energy_kwh"] < rival["kpi"]["pump_energy_kwh"]  # it lowers the pressure
    assert rival["kpi"]["index_dp_mean_bar"] < 2.0
    week = {
        "format": RESULT_FORMAT,
        "provenance": {"town": plan.town, "seed": 1, "warm_up_s": WARM_UP_S, "firmware_sha256": "other"},
        "coordinated": ours,
        "lowest_constant_dp": {
            **rival,
            "plant_dp_bar": 2.0,
            "search": [{"plant_dp_bar": 2.0, "index_dp_bar": 1.5, "served": True}],
        },
    }
    (tmp_path / WEEK_FILE).write_text(json.dumps(week))
    section, _ = week_section(tmp_path / WEEK_FILE, "this firmware")
    assert section is not None and section["content"]["same_firmware"] is False
    assert "Made with other firmware (other…)" in section["section"]["intro"][-1]
    _, page = write_week_report(tmp_path, week, ["toplovod", "hil", "run", "week"])
    html = page.read_text()
    assert "http://" not in html and "https://" not in html  # opens offline
    assert html.count("<svg") == 6


@pytest.mark.slow
def test_the_hours_of_a_week_that_is_broken_off_are_kept_and_shown(tmp_path: Path) -> None:
    make_valley(HOUSES, 1, tmp_path / "valley")
    plan = Plan(str(tmp_path / "valley" / "site.toml"), warm_up_s=0.0, span_s=SPAN_S)

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_coordinated(plan, tmp_path / "coordinated.npz", stop)
    kept = load_week(tmp_path / PARTIAL_FILE)
    assert kept is not None and kept["kpi"]["simulated_h"] > 0.0
    page = write_partial_week(tmp_path, "Ctrl-C", ["toplovod", "hil", "run", "week"])
    html = page.read_text(encoding="utf-8")
    assert "Partial, broken off before its end" in html and "Broken off: Ctrl-C" in html
    assert "coordinated, 0.0 of 0 h" in html and "Pump energy" in html
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is False


@pytest.mark.slow
def test_ctrl_c_ends_a_week_with_a_partial_page(tmp_path: Path) -> None:
    make_valley(HOUSES, 1, tmp_path / "valley")
    command = [sys.executable, "-m", "tools.cli", "hil", "run", "week", "--site"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "valley" / "site.toml"), "--report", str(tmp_path / "report")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("coordinated week:"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Broken off (Ctrl-C)" in err and "Report, marked partial: " in out
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Partial, broken off before its end" in html and "Nothing of the judged week" in html
    assert list(tmp_path.glob("toplovod-*")) == []  # flash, keys and consoles are gone
