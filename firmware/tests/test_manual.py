"""Manual at the device (S13): who may, what stands above it, how it ends, and that it stands out."""

import pytest

from firmware.substation import commands, dhw, precedence, registers
from firmware.substation.manual import LASTS_S
from firmware.substation.order_frame import (
    ACCEPTED,
    REFUSED_LIMIT,
    REFUSED_REGISTER,
    REFUSED_RIGHT,
    STANDBY,
    SUPERVISOR,
    TECHNICIAN,
    UTILITY,
)

from .dhw_rig import INSTANTANEOUS, FunctionRig
from .loop_rig import LoopRig, StationRig
from .test_app import device, program  # noqa: F401

LEFT = "manual_seconds_left_s"
POSITION = "valve_position_out_pct"


def address(name):
    return registers.BY_NAME[name].address


NAMES = (
    "manual_valve_pct",
    "manual_valve2_pct",
    "manual_dhw_valve_pct",
    "manual_pump_pct",
    "manual_pump2_pct",
)


def served(rig):
    rig.commands.by_hand = (rig.bank, [rig.bank.point(name) for name in (*NAMES, LEFT)], rig.loop.hands())
    return rig


def is_by_hand(rig):
    return rig.commands.manual is not None and rig.commands.manual.active


def test_the_registers_follow_each_other_as_the_code_counts_them():
    rows = [registers.row_of(name) for name in (*NAMES, "manual_end_number")]
    assert len(rows) == commands.MANUAL_WORDS
    assert [row.address for row in rows] == list(range(rows[0].address, rows[0].address + len(rows)))
    assert {registers.words_of(row) for row in rows} == {1}


@pytest.fixture
def rig(ticks):
    """A house whose valve has found its end stop and holds the own curve."""
    rig = served(LoopRig(ticks))
    rig.step(1_800)
    return rig


def run(rig, seconds):
    """Let time pass as the controller does, with a look at what is by hand in every period."""
    for _ in range(seconds // 2):
        if rig.commands.manual is not None:
            rig.commands.manual.step(rig.uptime.advance())
        rig.step(2)


def by_hand(rig, **positions):
    """A technician presses the button and orders."""
    rig.service.step(False, rig.uptime.advance())
    rig.service.step(True, rig.uptime.advance())
    return rig.order(positions, slot=TECHNICIAN, lease_s=0)


def test_a_technician_puts_the_valve_and_it_stays(rig):
    assert by_hand(rig, manual_valve_pct=70).result == ACCEPTED
    run(rig, 300)
    assert rig.read(POSITION) == pytest.approx(70, abs=1)
    assert rig.read("manual_valve_pct") == 70
    assert is_by_hand(rig)


@pytest.mark.parametrize("slot", [SUPERVISOR, STANDBY, UTILITY])
def test_s13_only_a_technician_in_service_mode(rig, slot):
    rig.service.step(True, rig.uptime.advance())
    assert rig.order({"manual_valve_pct": 70}, slot=slot, lease_s=0).result == REFUSED_RIGHT
    rig.service.step(False, rig.uptime.advance() + 100_000)
    assert not rig.service.active
    assert rig.order({"manual_valve_pct": 70}, slot=TECHNICIAN, lease_s=0).result == REFUSED_RIGHT
    assert not is_by_hand(rig)


def test_what_this_site_does_not_have_or_no_position_is_refused(rig):
    for name in ("manual_valve2_pct", "manual_dhw_valve_pct", "manual_pump2_pct"):
        receipt = by_hand(rig, **{name: 10})
        assert (receipt.result, receipt.detail) == (REFUSED_REGISTER, address(name))
    rig.service.step(True, rig.uptime.advance())
    too_wide = ((address("manual_valve_pct"), (10_001,)),)
    assert rig.order(too_wide, slot=TECHNICIAN, lease_s=0).result == REFUSED_LIMIT
    both = {"manual_valve_pct": 10, "manual_end_number": 1}
    assert rig.order(both, slot=TECHNICIAN, lease_s=0).result == REFUSED_LIMIT
    assert not is_by_hand(rig)


def test_s13_it_ends_by_itself_and_leases_have_run_on(rig):
    assert by_hand(rig, manual_valve_pct=10).result == ACCEPTED
    receipt = rig.order({"secondary_supply_temp_sp_c": 65}, lease_s=3600)
    # taken, with a word on what stands above it
    assert (receipt.result, receipt.detail) == (ACCEPTED, address("manual_valve_pct"))
    run(rig, LASTS_S - 20)
    assert is_by_hand(rig)
    assert rig.read(POSITION) == pytest.approx(10, abs=1)
    assert rig.read("secondary_supply_temp_effective_c") == 65
    assert rig.read("secondary_supply_temp_lease_number") == SUPERVISOR + 1
    run(rig, 40)
    assert not is_by_hand(rig)
    assert rig.read("manual_valve_pct") is None
    run(rig, 1_200)
    assert rig.house.supply_c == pytest.approx(65, abs=2)
    assert rig.order({"secondary_supply_temp_sp_c": 65}).detail == 0


def test_each_order_begins_the_time_anew_and_one_ends_it(rig):
    by_hand(rig, manual_valve_pct=10)
    run(rig, LASTS_S - 100)
    by_hand(rig, manual_pump_pct=100)
    run(rig, LASTS_S - 100)
    assert is_by_hand(rig)
    assert by_hand(rig, manual_end_number=1).result == ACCEPTED
    assert not is_by_hand(rig)
    assert rig.read("manual_pump_pct") is None


def test_how_long_it_still_lasts_can_be_read(rig):
    assert rig.read(LEFT) == 0
    by_hand(rig, manual_valve_pct=10)
    assert rig.read(LEFT) == LASTS_S
    run(rig, 600)
    assert rig.read(LEFT) == pytest.approx(LASTS_S - 600, abs=2)
    by_hand(rig, manual_pump_pct=100)
    run(rig, 2)
    assert rig.read(LEFT) == pytest.approx(LASTS_S, abs=2)  # for everything that is by hand
    run(rig, LASTS_S)
    assert rig.read(LEFT) == 0
    by_hand(rig, manual_valve_pct=10)
    by_hand(rig, manual_end_number=1)
    assert rig.read(LEFT) == 0


def test_it_goes_back_without_a_bump(rig):
    by_hand(rig, manual_valve_pct=60)
    run(rig, 120)
    held = rig.read(POSITION)
    by_hand(rig, manual_end_number=1)
    run(rig, 2)
    assert rig.read(POSITION) == pytest.approx(held, abs=3)


def test_s5_protection_stands_above_manual(rig):
    by_hand(rig, manual_valve_pct=100)
    run(rig, 20)
    rig.house.supply_c = 91.0
    run(rig, 2)
    assert rig.read("active_limiter_number") == precedence.MAXIMUM
    assert rig.board.direction == -1
    rig.house.supply_c = 8.0
    rig.house.return_c = 6.0
    rig.house.outdoor_c = -20.0
    by_hand(rig, manual_valve_pct=0, manual_pump_pct=0)
    run(rig, 10)
    assert rig.read("active_limiter_number") == precedence.FROST
    assert rig.board.pump_is_on  # and it never rests in frost


def test_the_pump_by_hand(ticks):
    rig = served(LoopRig(ticks))
    rig.house.outdoor_c = 12.0
    rig.step(600)
    assert rig.board.pump_is_on
    by_hand(rig, manual_pump_pct=0)
    run(rig, 180)
    assert not rig.board.pump_is_on
    by_hand(rig, manual_pump_pct=100)
    run(rig, 4)
    assert rig.board.pump_is_on


def test_before_the_end_stop_is_sure_a_position_waits(ticks):
    rig = served(LoopRig(ticks))
    rig.step(2)
    by_hand(rig, manual_valve_pct=50)
    run(rig, 20)
    assert rig.board.direction == -1
    run(rig, 600)
    assert rig.house.valve == pytest.approx(0.5, abs=0.03)


def test_s5_the_scald_limit_stands_above_manual(ticks):
    rig = served(FunctionRig(ticks, **INSTANTANEOUS))
    rig.exchanger.draw_kg_s = 0.2
    rig.step(300)
    assert by_hand(rig, manual_dhw_valve_pct=100).result == ACCEPTED
    rig.exchanger.out_c = rig.exchanger.seen_c = 80.0
    run(rig, 2)
    assert rig.read("dhw_state_number") == dhw.SCALD
    assert rig.board.others[2].direction == -1


def test_the_speed_of_a_plant_pump_by_hand(ticks):
    rig = served(StationRig(ticks, dry_run_pressure_bar=0.5, inputs={
        "suction_pressure_bar": {"channel": 9, "kind": "4-20ma", "span": 10}}))  # fmt: skip
    rig.step(600)
    before = rig.read("plant_dp_bar")
    assert by_hand(rig, manual_pump_pct=90).result == ACCEPTED
    run(rig, 60)
    assert rig.read("pump_speed_out_pct") == 90
    rig.suction_bar = 0.2
    run(rig, 30)
    assert rig.read("pump_speed_out_pct") == 0  # dry: hardware safety
    rig.suction_bar = 2.0
    by_hand(rig, manual_end_number=1)
    run(rig, 900)
    assert rig.read("plant_dp_bar") == pytest.approx(before, abs=0.05)


def test_s13_in_the_vm_manual_raises_its_alarm_and_ends_at_a_restart(device):  # noqa: F811
    device.take_sources()
    script = (
        "c = app.Controller(boards)\n"
        "c.step()\n"
        "before = c._alarms.bits\n"
        "c._commands._hand().put(0, 5000, 133)\n"
        "c.step()\n"
        "left = c._bank.raw(c._commands.manual._points[-1])\n"
        "print([before, c._alarms.bits, c._bank.raw(c._mode_point), left])\n"
    )
    manual = 1 << registers.ALARM_BITS.index("manual")
    for _ in range(2):
        assert device.script(script, heap="512k").splitlines()[-1] == str([0, manual, 2, LASTS_S])
