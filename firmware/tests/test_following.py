"""Valves that do not follow are told, and healthy ones never are."""

from __future__ import annotations

import pytest

from firmware.substation.alarms import VALVE_NOT_FOLLOWING

from .loop_rig import FLOW, PRIMARY_RETURN, LoopRig


@pytest.fixture
def rig(ticks):
    rig = LoopRig(ticks)
    rig.step(2400)
    assert not told(rig)
    assert abs(rig.house.supply_c - rig.loop.circuits[0].setpoint_mc / 1000) < 1.0
    assert 0.05 < rig.house.valve < 0.6
    return rig


def told(rig):
    return bool(rig.alarms.bits >> VALVE_NOT_FOLLOWING & 1)


def jam(rig, at):
    """Hold the stem; the board's relays go on. Returns how to free it: it stands where it was jammed."""
    move = rig.house.step

    def step(dt_s):
        rig.house.valve = at
        rig.house._moved_ms = rig.board.moved_ms
        move(dt_s)

    rig.house.step = step
    return lambda: setattr(rig.house, "step", move)


def test_a_valve_jammed_open_is_told_and_taken_back_when_it_follows(rig):
    rig.house.lost.add(FLOW)  # by the temperatures alone
    free = jam(rig, rig.house.valve)
    rig.house.outdoor_c = 8.0
    rig.step(1800)
    assert told(rig)
    free()
    rig.step(1800)
    assert not told(rig)


def test_a_valve_jammed_shut_is_told(rig):
    free = jam(rig, 0.0)
    rig.step(900)
    assert told(rig)
    free()
    rig.step(1800)
    assert not told(rig)


def test_a_valve_jammed_half_way_is_told_when_opening_brings_nothing(rig):
    jam(rig, rig.house.valve)
    rig.house.outdoor_c = -15.0
    rig.step(1800)
    assert told(rig)


def test_a_valve_left_elsewhere_is_driven_to_its_stop_and_control_goes_on(rig):
    """The estimate is at the closing stop while the stem is wide open: nobody else would move it."""
    rig.house.lost.add(FLOW)
    free = jam(rig, 1.0)
    rig.step(1200)
    assert rig.loop.valve.position_bp == 0
    free()
    rig.step(1800)
    assert abs(rig.house.supply_c - rig.loop.circuits[0].setpoint_mc / 1000) < 2.0
    assert not told(rig)


def test_what_hot_water_sends_back_between_draws_puts_no_mending_off(rig):
    """Each time the return limit takes the valve from its stop for a minute: the time against it stands."""
    show, mend, mended = rig.house.show, rig.loop.valve.reassure, []

    def warm_now_and_then():
        show()
        if rig.uptime.advance() % 240 < 60:
            rig.board.set_temp(PRIMARY_RETURN, 80.0)

    def reassure():
        mended.append(rig.uptime.advance())
        mend()

    rig.house.show, rig.loop.valve.reassure = warm_now_and_then, reassure
    jam(rig, 0.05)
    positions = set()
    for _ in range(180):
        rig.step(10)
        positions.add(rig.loop.valve.position_bp)
    assert 10_000 in positions and min(positions) < 10_000
    assert mended


def test_what_the_valve_has_not_made_is_not_told(rig):
    """Dirt leaves a tenth of the flow, or the network is cold, or without pressure: the valve has no part."""
    whole = rig.house.kv_m3_h
    rig.house.kv_m3_h = lambda opening: 0.1 * whole(opening)
    rig.step(1800)
    assert not told(rig)
    rig.house.kv_m3_h = whole
    rig.house.primary_supply_c = 45.0
    rig.step(1800)
    assert not told(rig)
    rig.house.primary_supply_c = 90.0
    rig.house.dp_bar = 0.0
    rig.step(1800)
    assert not told(rig)


def test_a_setback_and_its_end_are_not_told(rig):
    for outdoor_c in (12.0, -12.0, 12.0, -12.0):
        rig.house.outdoor_c = outdoor_c
        rig.step(1800)
        assert not told(rig)


def test_exchanged_network_sensors_are_told_and_keep_no_house_cold(rig):
    """The return limit would go by the supply, shut the valve, and leave nothing to judge by."""
    show = rig.house.show

    def exchanged():
        show()
        rig.board.set_temp(1, rig.house.return_c + 3.0)
        rig.board.set_temp(2, rig.house.primary_supply_c)

    rig.house.show = exchanged
    rig.step(1860)
    assert abs(rig.house.supply_c - rig.loop.circuits[0].setpoint_mc / 1000) < 2.0
    assert rig.alarm("SENSOR_DOUBT")


def motor_share(rig, hours):
    on = 0
    for _ in range(hours * 1800):
        rig.step(2)
        on += rig.board.direction != 0
    return on / (hours * 1800)


@pytest.mark.parametrize("stroke_s", [120, 240])
def test_a_leak_that_no_drive_mends_keeps_no_motor_running(ticks, stroke_s):
    rig = LoopRig(ticks, valve_stroke_s=stroke_s)
    rig.house.stroke_ms = stroke_s * 1000
    rig.house.outdoor_c = 25.0
    move = rig.house.step

    def leaking(dt_s):
        move(dt_s)
        rig.house.flow_m3_h += 0.15

    rig.house.step = leaking
    rig.step(4 * 3600)
    assert told(rig)
    assert motor_share(rig, 6) < 0.1


def test_a_house_without_pressure_keeps_no_motor_running(ticks):
    rig = LoopRig(ticks, valve_stroke_s=240)
    rig.house.stroke_ms = 240_000
    rig.house.outdoor_c = -15.0
    rig.house.dp_bar = 0.1
    rig.step(3600)
    assert rig.house.valve == 1.0
    assert motor_share(rig, 6) < 0.01
