"""The tick counter wraps at 2**30: every loop does across the wrap what it does without one."""

import pytest

from .dhw_rig import INSTANTANEOUS, STORAGE, TWO_CIRCUITS, FunctionRig
from .loop_rig import STATION_INPUTS, StationRig

WRAP = 1 << 30
HALF = 1 << 29  # where the difference of two ticks changes its sign
SUPPLY = "secondary_supply_temp_sp_c"


def house(ticks, changes):
    """Two hours with an order, draws of hot water and a lost sensor; what is on the terminals each minute."""
    rig = FunctionRig(ticks, **changes)
    rig.clock.at_zero_s -= ticks.now_ms // 1000  # the time of day is the same, wherever the ticks stand
    seen = []
    for minute in range(120):
        if minute == 20:
            assert rig.order({SUPPLY: 45.0}, lease_s=600)
        rig.house.lost = {7} if 50 <= minute < 55 else set()
        rig.exchanger.draw_kg_s = rig.tank.tap_kg_s = 0.2 if minute % 30 < 8 else 0.0
        rig.step(60)
        seen.append(
            (rig.board.moved_ms, rig.board.switches, dict(rig.board.pumps), rig.board.others[2].moved_ms,
             rig.read("secondary_supply_temp_effective_c"), rig.read("valve_position_out_pct"),
             rig.loop._energy._wh, rig.alarms.bits, rig.uptime.advance())
        )  # fmt: skip
    return seen


def station(ticks, changes):
    rig = StationRig(ticks, **changes)
    seen = []
    for minute in range(120):
        rig.suction_bar = 0.2 if 60 <= minute < 62 else 2.0
        rig.step(60)
        seen.append(
            (list(rig.board.speeds_bp), dict(rig.board.pumps), rig.read("plant_dp_effective_bar"),
             rig.alarms.bits, rig.uptime.advance())
        )  # fmt: skip
    return seen


@pytest.mark.parametrize(
    "first",
    [WRAP - 3_600_000, WRAP - 1_234_567, HALF - 3_600_000],
    ids=["after an hour", "off the second", "half"],
)
@pytest.mark.parametrize(
    ("run", "changes"),
    [
        (house, {}), (house, TWO_CIRCUITS), (house, INSTANTANEOUS), (house, STORAGE),
        (station, {"pumps": 2, "inputs": STATION_INPUTS, "suction_pressure_minimum_bar": 1.0,
                   "dry_run_pressure_bar": 0.5}),
    ],
    ids=["one circuit", "two circuits", "instantaneous", "storage", "station"],
)  # fmt: skip
def test_the_wrap_changes_nothing(ticks, first, run, changes):
    plain = run(ticks, changes)
    ticks.now_ms = first
    assert run(ticks, changes) == plain
    assert first < WRAP <= ticks.now_ms or first < HALF <= ticks.now_ms  # the run went through it
    assert plain[30] != plain[90]  # and something moved
