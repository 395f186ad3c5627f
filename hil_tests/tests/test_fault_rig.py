"""What the bench of a fault case shows its controller and its meter is what the house really does."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest

from ..bench import board_io
from ..bench.faults.injector import NotProven
from ..bench.faults.rig import POINTS, TICK_S, FaultRig, temp_c
from ..bench.plant.water_heater import COLD_C
from ..faults.catalogue import Case, cases


@pytest.fixture(scope="module")
def summer(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> list[tuple[float, ...]]:
    """Each tick of half an hour in which hot water alone runs.

    What the taps took (J), flow of hot water and of heating (kg/s), return of hot water, the shared pipe's as
    the terminals show it (degC), what an errorless meter counted since (Wh).
    """
    rows: list[tuple[float, ...]] = []
    with FaultRig(tmp_path_factory.mktemp("rig"), firmware_bundle, POINTS["summer"], meters=True) as rig:
        rig.bench.run_for(600.0)
        counted_wh = rig.meter.true_energy_wh

        def note() -> None:
            tap = rig.tap
            rows.append(
                (
                    tap.draw_kg_s * TICK_S * tap.heater.cp_j_kgk * (tap.tap_c - COLD_C),
                    tap.primary_kg_s,
                    float(rig.plant.primary_flow_kg_s[0]),
                    float(tap.exchangers.primary_return_c[0]),
                    temp_c(rig.resistance_ohm(board_io.PRIMARY_RETURN)),
                    rig.meter.true_energy_wh - counted_wh,
                )
            )

        rig.recorders.append(note)
        rig.bench.run_for(1_800.0)
    return rows


def test_the_meter_counts_what_hot_water_takes(summer: list[tuple[float, ...]]) -> None:
    """A meter without errors; 2 %: the exchanger's heat content, and densities of two temperatures."""
    drawn_wh = sum(row[0] for row in summer) / 3_600.0
    assert drawn_wh > 2_000.0
    assert summer[-1][5] == pytest.approx(drawn_wh, rel=0.02)


def test_the_return_sensor_feels_what_comes_back_from_the_tap(summer: list[tuple[float, ...]]) -> None:
    """At the end of each draw, 20 lags after its beginning: class B of a Pt1000 and what still moves."""
    ends = [now for now, then in itertools.pairwise(summer) if now[0] > 0.0 and then[0] == 0.0]
    assert len(ends) == 6
    for _, tap_kg_s, heating_kg_s, back_c, shown_c, _ in ends:
        assert tap_kg_s > 20.0 * heating_kg_s
        assert shown_c == pytest.approx(back_c, abs=1.0)


# Of which nothing is left once they are taken away: a client's connections are the fault itself, a heap in
# pieces stays so, and a meter that was replaced is another one.
GROUPS, LASTS = ("sensors", "actuators", "hydraulics", "meter", "serial"), ("meter.replaced",)


def _wirings() -> list[list[Case]]:
    """Cases whose fault lasts as long as it is there, in one severity, by the wiring of their rig."""
    found: dict[str, list[Case]] = {}
    for case in cases():
        plan = case.plan()
        named = f"{case.type.group}.{case.type.name}"
        if case.type.group not in GROUPS or plan.once or named in LASTS:
            continue
        if (case.point, case.severity) == ("winter", "mild"):
            found.setdefault(repr(sorted(plan.wiring.items())), []).append(case)
    return list(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("wired", _wirings(), ids=lambda wired: wired[0].type.group)
def test_no_probe_sees_a_fault_that_was_taken_away_at_once(
    wired: list[Case], tmp_path: Path, firmware_bundle: Path
) -> None:
    """A probe that looks at what was asked for, or at what any house shows, would call it proven."""
    first = wired[0].plan()
    seen = []
    with FaultRig(tmp_path / "rig", firmware_bundle, POINTS["winter"], **first.wiring) as rig:
        rig.settle()
        for case in wired:
            plan = case.plan()
            injector = plan.inject(rig)
            rig.recorders.append(injector.each_tick)
            injector.inject()
            injector.remove()
            rig.bench.run_for(plan.prove_s + 60.0)
            with contextlib.suppress(NotProven):
                seen.append(f"{case.name}: {injector.prove()}")
            rig.recorders.remove(injector.each_tick)
    assert not seen, seen
