"""Commands by order: the time and updates, with whose right, in what company, and what is refused."""

import pytest

from firmware.substation import order_frame, registers
from firmware.substation.boots import Boots
from firmware.substation.clock import MOVED_MOST_S, STEADY
from firmware.substation.commands import EARLIEST_S
from firmware.substation.order_frame import (
    ACCEPTED,
    REFUSED_LIMIT,
    REFUSED_REGISTER,
    REFUSED_RIGHT,
    REFUSED_STATE,
    STANDBY,
    SUPERVISOR,
    TECHNICIAN,
    UTILITY,
)
from firmware.substation.persistence import Persistence

from .order_rig import OrderRig

NOW_S = 1_790_000_000
DIGEST = {f"update_digest_{k}_code": k * 0x01020304 for k in range(1, 5)}
OPENING = {"update_size_b": 69_040, **DIGEST, "update_command_number": 1}


@pytest.fixture
def rig(ticks):
    return OrderRig(ticks)


def result(rig, pairs, **how):
    receipt = rig.order(pairs, lease_s=0, **how)
    return receipt.result, receipt.detail


def address(name):
    return registers.BY_NAME[name].address


@pytest.mark.parametrize("slot", [SUPERVISOR, STANDBY])
def test_the_time_is_told_by_order_and_goes_on(rig, slot):
    assert rig.clock.unix_s() is None
    assert result(rig, {"unix_time_set_s": NOW_S}, slot=slot) == (ACCEPTED, 0)
    rig.step(120)
    assert rig.clock.unix_s() == NOW_S + 120


def moved(rig, by_s, **how):
    return result(rig, {"unix_time_set_s": rig.clock.unix_s() + by_s}, **how)


@pytest.mark.parametrize("slot", [SUPERVISOR, STANDBY])
def test_a_known_time_is_moved_by_no_more_than_a_quartz_explains(rig, slot):
    """Else a stolen key would hold a house in its night, and would not touch the deficit budget."""
    refused = (REFUSED_STATE, address("unix_time_set_s"))
    assert result(rig, {"unix_time_set_s": NOW_S})[0] == ACCEPTED
    assert moved(rig, 1, slot=slot) == refused
    rig.step(60 * STEADY)
    for by_s in (-86_400, -61, 61, 7 * 86_400):
        assert moved(rig, by_s, slot=slot) == refused
    assert moved(rig, -60, slot=slot)[0] == ACCEPTED
    assert moved(rig, 1, slot=slot) == refused
    rig.step(30 * STEADY)
    assert moved(rig, 31, slot=slot) == refused
    assert moved(rig, 30, slot=slot)[0] == ACCEPTED
    rig.step(86_400 * 3)
    assert moved(rig, MOVED_MOST_S + 1, slot=slot) == refused  # it does not grow for ever
    assert moved(rig, -MOVED_MOST_S, slot=slot)[0] == ACCEPTED


def test_the_technician_at_the_device_and_a_new_owner_set_the_time_anew(rig):
    assert result(rig, {"unix_time_set_s": NOW_S})[0] == ACCEPTED
    rig.service.step(True, rig.uptime.advance())
    assert moved(rig, 5 * 86_400, slot=TECHNICIAN)[0] == ACCEPTED
    assert moved(rig, 86_400)[0] == REFUSED_STATE
    assert moved(rig, -86_400, epoch=2)[0] == ACCEPTED
    assert moved(rig, 86_400, epoch=2)[0] == REFUSED_STATE


def test_a_restart_of_its_own_leaves_the_time_known(tmp_path):
    persistence = Persistence(str(tmp_path))
    Boots(persistence, False).plan(NOW_S)
    second = Boots(persistence, False)
    assert second.time_kept() == NOW_S
    third = Boots(persistence, False)  # the second run ended nobody knows when
    assert third.time_kept() is None
    third.plan(None)
    assert Boots(persistence, False).time_kept() is None


def test_a_time_that_cannot_be_meant_is_refused(rig):
    where = address("unix_time_set_s")
    words = registers.words_of_raw(registers.BY_NAME["unix_time_set_s"], EARLIEST_S - 1)
    assert result(rig, ((where, words),)) == (REFUSED_LIMIT, where)
    assert result(rig, ((where, (0xFFFF, 0xFFFF)),)) == (REFUSED_LIMIT, where)
    assert rig.clock.unix_s() is None


def test_an_update_is_opened_by_its_size_and_digest(rig):
    assert result(rig, OPENING) == (ACCEPTED, 0)
    digest = b"".join(value.to_bytes(4, "big") for value in DIGEST.values())
    assert rig.updating.told == [(69_040, digest, False)]
    assert result(rig, {"update_command_number": 2}) == (ACCEPTED, 0)
    assert rig.updating.told[-1] == 2


def test_a_limit_bundle_is_opened_as_an_image_is(rig):
    assert result(rig, {**OPENING, "update_command_number": 5}) == (ACCEPTED, 0)
    digest = b"".join(value.to_bytes(4, "big") for value in DIGEST.values())
    assert rig.updating.told == [(69_040, digest, True)]
    assert result(rig, {"update_command_number": 5})[0] == REFUSED_REGISTER


@pytest.mark.parametrize("left_out", list(OPENING)[:-1])
def test_an_opening_that_lacks_a_part_is_refused(rig, left_out):
    pairs = {name: value for name, value in OPENING.items() if name != left_out}
    assert result(rig, pairs) == (REFUSED_REGISTER, address("update_size_b"))
    assert rig.updating.told == []


def test_other_commands_come_alone(rig):
    for number in (2, 3, 4):
        assert result(rig, {**OPENING, "update_command_number": number})[0] == REFUSED_REGISTER
    assert result(rig, DIGEST)[0] == REFUSED_REGISTER
    assert rig.updating.told == []


def test_a_command_without_meaning_now_is_refused(rig):
    rig.updating.allowed = {1}
    assert result(rig, {"update_command_number": 2}) == (REFUSED_STATE, address("update_command_number"))
    for number in (0, 6, 65535):
        where = address("update_command_number")
        assert result(rig, ((where, (number,)),)) == (REFUSED_LIMIT, where)


def test_commands_and_setpoints_never_share_an_order(rig):
    assert result(rig, {"unix_time_set_s": NOW_S, "curve_shift_sp_k": 0})[0] == REFUSED_REGISTER
    assert result(rig, {"curve_shift_sp_k": 0, "unix_time_set_s": NOW_S})[0] == REFUSED_REGISTER
    assert rig.clock.unix_s() is None


def test_twice_the_same_command_is_refused(rig):
    row = registers.BY_NAME["unix_time_set_s"]
    pair = (row.address, registers.words_of_raw(row, NOW_S))
    assert result(rig, (pair, pair)) == (REFUSED_REGISTER, row.address)


def test_the_utility_commands_nothing_and_the_technician_only_in_service_mode(rig):
    assert result(rig, {"unix_time_set_s": NOW_S}, slot=UTILITY)[0] == REFUSED_RIGHT
    assert result(rig, OPENING, slot=TECHNICIAN)[0] == REFUSED_RIGHT
    rig.service.step(True, rig.uptime.advance())
    assert rig.service.active
    assert result(rig, OPENING, slot=TECHNICIAN)[0] == ACCEPTED


def test_a_safe_start_takes_the_time_and_an_update_but_no_setpoint(ticks):
    rig = OrderRig(ticks, valve_stroke_s=1)
    assert result(rig, {"unix_time_set_s": NOW_S})[0] == ACCEPTED
    assert result(rig, OPENING)[0] == ACCEPTED
    assert rig.order({"curve_shift_sp_k": 0}).result == REFUSED_STATE


def test_a_foreign_key_commands_nothing(rig):
    assert rig.order({"unix_time_set_s": NOW_S}, lease_s=0, key=order_frame.slot_key(bytes(32), 0, 1)) is None
    assert rig.clock.unix_s() is None


def test_no_time_may_be_set_behind_the_end_of_the_own_certificate(ticks):
    rig = OrderRig(ticks)
    rig.commands.latest_s = NOW_S + 10
    assert result(rig, {"unix_time_set_s": NOW_S + 11})[0] == REFUSED_LIMIT
    assert result(rig, {"unix_time_set_s": NOW_S + 10})[0] == ACCEPTED
