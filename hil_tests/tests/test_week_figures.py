"""The figures of the kept week stand in docs/bench.md as they were measured."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_docs_tell_the_week_as_it_was_measured() -> None:
    week = json.loads((ROOT / "examples" / "schutterwald" / "week.json").read_text(encoding="utf-8"))
    ours, rival = week["coordinated"]["kpi"], week["lowest_constant_dp"]["kpi"]
    page = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    for line in (
        f"lowest constant pressure, {week['lowest_constant_dp']['plant_dp_bar']:.3f} bar",
        f"| {ours['pump_energy_kwh']:.1f} kWh | {rival['pump_energy_kwh']:.1f} kWh |",
        f"| {ours['index_dp_minimum_bar']:.3f} bar | {rival['index_dp_minimum_bar']:.3f} bar |",
        f"| {ours['index_dp_mean_bar']:.3f} bar | {rival['index_dp_mean_bar']:.3f} bar |",
        f"| {ours['index_dp_below_alarm_share']:.1%} | {rival['index_dp_below_alarm_share']:.1%} |".replace(
            "%", " %"
        ),
        f"| {ours['return_temp_flow_weighted_c']:.1f} °C | {rival['return_temp_flow_weighted_c']:.1f} °C |",
        f"| {ours['coldest_room_temp_c']:.2f} °C | {rival['coldest_room_temp_c']:.2f} °C |",
        f"| polls lost | {ours['polls_lost']} of {ours['polls_due']:,} |".replace(",", " "),
        f"saves {1 - ours['pump_energy_kwh'] / rival['pump_energy_kwh']:.0%}".replace("%", " %"),
    ):
        assert line in " ".join(page.split()), line
