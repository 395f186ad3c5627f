"""The week's machinery on a short span: the rival is found by running, figures are the run's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from examples.valley.make_valley import make_valley

from .bench.plant.weather import Weather
from .demo_report import week_section, write_week_report
from .week import (
    RESULT_FORMAT,
    WEEK_FILE,
    Coldest,
    Plan,
    coldest_hour,
    later,
    load_week,
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
