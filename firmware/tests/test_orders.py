"""Orders: who may, when, what; and everything that must change nothing."""

import pytest

from firmware.substation import order_frame as of
from firmware.substation import registers
from firmware.substation.keys import Keys

from .memory_flash import MemoryFlash
from .order_rig import DEVICE_ID, MAP_HASH, ROOT_KEY, OrderRig

SUPPLY = "secondary_supply_temp_sp_c"
FLOW = "primary_flow_limit_sp_m3_h"
RETURN = "primary_return_limit_sp_c"
SHIFT = "curve_shift_sp_k"


@pytest.fixture
def rig(ticks):
    return OrderRig(ticks)


def state(rig):
    """Everything an order can change, as it reads from outside."""
    return {
        name: rig.read(name)
        for lease in registers.LEASES
        for name in lease
        if name and registers.BY_NAME[name] in registers.BY_PROFILE[rig.settings.profile]
    } | {"accepted": rig.read("accepted_order_count")}


def test_an_order_is_accepted_receipted_and_readable(rig):
    receipt = rig.order({SUPPLY: 45.0})
    assert receipt == of.Receipt(0, 1, of.ACCEPTED, 0, rig.uptime.advance(), 1800)
    assert rig.read(SUPPLY) == 45.0
    assert rig.read("secondary_supply_temp_lease_number") == of.SUPERVISOR + 1
    rig.step(2)
    assert rig.read("secondary_supply_temp_lease_s") == 1798
    assert rig.read("accepted_order_count") == 1


def test_before_the_first_order_the_receipt_says_none(rig):
    for slot in range(4):
        assert rig.receipt(slot) == of.Receipt(slot, 0, of.NONE, 0, 0, 0)


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ({"key": bytes(32)}, "refused_mac_count"),
        ({"device_id": bytes(8)}, "refused_mac_count"),
        ({"map_hash": MAP_HASH ^ 1}, "refused_mac_count"),
        ({"nonce": b"\0\0\0\2aaaaaaaa"}, "refused_mac_count"),
        ({"nonce": b"\0\0\0\1aaaaaaab"}, "refused_mac_count"),
        ({"epoch": 0}, "refused_mac_count"),
        ({"epoch": 1 + of.EPOCH_JUMP + 1}, "refused_mac_count"),
        ({"epoch": 2, "key": of.slot_key(ROOT_KEY, 0, 1)}, "refused_mac_count"),
        ({"slot": 1, "key": of.slot_key(ROOT_KEY, 0, 1)}, "refused_mac_count"),
        ({"counter": 0}, "refused_replay_count"),
        ({"counter": of.COUNTER_JUMP + 1}, "refused_replay_count"),
        ({"ahead_s": -1}, "refused_late_count"),
        ({"ahead_s": 61}, "refused_late_count"),
    ],
)  # fmt: skip
def test_s7_what_does_not_authenticate_changes_nothing(rig, how, counted):
    rig.step(100)
    before, receipt = state(rig), rig.receipt()
    assert rig.order({SUPPLY: 45.0}, **how) is None
    assert state(rig) == before
    assert rig.receipt() == receipt
    assert rig.read(counted) == 1


def test_s7_no_flipped_bit_is_obeyed(rig):
    frame = rig.frame({SUPPLY: 45.0})
    before, receipt = state(rig), rig.receipt()
    for bit in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        assert not rig.take(bytes(changed))
    assert state(rig) == before
    assert rig.receipt() == receipt
    assert rig.take(frame)


def test_a_replay_is_refused(rig):
    frame = rig.frame({SUPPLY: 45.0})
    assert rig.take(frame)
    assert not rig.take(frame)
    assert rig.read("refused_replay_count") == 1
    assert rig.receipt().counter == 1


def test_a_frame_kept_back_is_refused_once_overtaken(rig):
    kept = rig.frame({SUPPLY: 25.0})
    assert rig.order({SUPPLY: 45.0}).result == of.ACCEPTED
    assert not rig.take(kept)
    assert rig.read(SUPPLY) == 45.0


def test_an_order_too_early_cannot_be_delivered_when_its_time_has_come(rig):
    frame = rig.frame({SUPPLY: 25.0}, ahead_s=120)
    assert not rig.take(frame)
    rig.step(90)
    assert not rig.take(frame)
    assert rig.read("refused_replay_count") == 1


def test_a_frame_does_not_survive_a_restart(ticks):
    rig = OrderRig(ticks)
    frame = rig.frame({SUPPLY: 45.0})
    again = OrderRig(ticks, nonce=b"\0\0\0\2bbbbbbbb")
    assert not again.take(frame)
    assert again.read("refused_mac_count") == 1


def test_counters_of_slots_are_apart(rig):
    assert rig.order({SUPPLY: 45.0}, counter=60_000).result == of.ACCEPTED
    assert rig.order({SUPPLY: 46.0}, slot=of.STANDBY, counter=1).result == of.ACCEPTED


@pytest.mark.parametrize(
    ("pairs", "lease_s", "result", "detail"),
    [
        ({SUPPLY: 85.01}, 1800, of.REFUSED_LIMIT, 100),
        ({SUPPLY: 19.99}, 1800, of.REFUSED_LIMIT, 100),
        ({SUPPLY: None}, 1800, of.REFUSED_LIMIT, 100),
        ({FLOW: 2.001}, 1800, of.REFUSED_LIMIT, 101),
        ({RETURN: 65.01}, 1800, of.REFUSED_LIMIT, 102),
        ({SHIFT: -15.01}, 1800, of.REFUSED_LIMIT, 103),
        ({SHIFT: 15.01}, 1800, of.REFUSED_LIMIT, 103),
        (((300, (4500,)),), 1800, of.REFUSED_REGISTER, 300),
        (((200, (2000,)),), 1800, of.REFUSED_REGISTER, 200),
        (((40, (4500,)),), 1800, of.REFUSED_REGISTER, 40),
        (((100, (4500,)), (100, (4600,))), 1800, of.REFUSED_REGISTER, 100),
        ({SUPPLY: 45.0}, 299, of.REFUSED_LEASE, 0),
        ({SUPPLY: 45.0}, 3601, of.REFUSED_LEASE, 0),
        ({SUPPLY: 45.0}, 1, of.REFUSED_LEASE, 0),
    ],
)
def test_s2_limits_are_the_devices_own(rig, pairs, lease_s, result, detail):
    before = state(rig)
    receipt = rig.order(pairs, lease_s=lease_s)
    assert (receipt.result, receipt.detail) == (result, detail)
    assert state(rig) == before
    assert rig.read("refused_order_count") == 1


@pytest.mark.parametrize(("low", "high"), [(20.0, 85.0)])
def test_s2_the_limits_themselves_are_allowed(rig, low, high):
    assert rig.order({SUPPLY: low}).result == of.ACCEPTED
    assert rig.order({SUPPLY: high}).result == of.ACCEPTED


@pytest.mark.parametrize("bad", [{FLOW: 2.5}, {RETURN: 15.0}, {SHIFT: 20.0}])
@pytest.mark.parametrize("bad_first", [True, False])
def test_all_pairs_apply_or_none(rig, bad, bad_first):
    good = {SUPPLY: 45.0}
    before = state(rig)
    assert rig.order({**bad, **good} if bad_first else {**good, **bad}).result == of.REFUSED_LIMIT
    assert state(rig) == before
    assert rig.order({SUPPLY: 45.0, FLOW: 1.0, RETURN: 50.0, SHIFT: -2.0}).result == of.ACCEPTED
    assert [rig.read(name) for name in (SUPPLY, FLOW, RETURN, SHIFT)] == [45.0, 1.0, 50.0, -2.0]


def test_lease_zero_releases_the_named_points_only(rig):
    rig.order({SUPPLY: 45.0, FLOW: 1.0})
    assert rig.order({SUPPLY: 20.0}, lease_s=0).result == of.ACCEPTED
    assert rig.read(SUPPLY) is None
    assert rig.read("secondary_supply_temp_lease_number") == 0
    assert rig.read(FLOW) == 1.0


def test_release_always_works_even_of_a_value_out_of_limits(rig):
    rig.order({SUPPLY: 45.0})
    assert rig.order({SUPPLY: None}, lease_s=0).result == of.ACCEPTED
    assert rig.order({SUPPLY: 20.0}, lease_s=0).result == of.ACCEPTED


def test_the_technician_needs_the_button(rig):
    assert rig.order({SUPPLY: 45.0}, slot=of.TECHNICIAN).result == of.REFUSED_RIGHT
    rig.service.step(True, rig.uptime.advance())
    assert rig.order({SUPPLY: 45.0}, slot=of.TECHNICIAN).result == of.ACCEPTED
    rig.step(900)
    assert rig.order({SUPPLY: 46.0}, slot=of.TECHNICIAN).result == of.REFUSED_RIGHT


def test_the_utility_may_limit_flow_and_shift_but_not_set_temperatures(rig):
    assert rig.order({FLOW: 1.0, SHIFT: -3.0}, slot=of.UTILITY).result == of.ACCEPTED
    refused = rig.order({SUPPLY: 45.0}, slot=of.UTILITY)
    assert (refused.result, refused.detail) == (of.REFUSED_RIGHT, 100)


def test_a_lease_is_displaced_by_the_same_rank_or_higher(rig):
    rig.service.step(True, rig.uptime.advance())
    assert rig.order({FLOW: 1.0}, slot=of.UTILITY).result == of.ACCEPTED
    assert rig.order({FLOW: 1.1}, slot=of.SUPERVISOR).result == of.ACCEPTED
    assert rig.order({FLOW: 1.2}, slot=of.UTILITY).result == of.REFUSED_LEASE
    assert rig.order({FLOW: 1.2}, slot=of.STANDBY).result == of.ACCEPTED
    assert rig.order({FLOW: 1.3}, slot=of.SUPERVISOR).result == of.ACCEPTED
    assert rig.order({FLOW: 1.4}, slot=of.TECHNICIAN).result == of.ACCEPTED
    assert rig.order({FLOW: 1.5}, slot=of.SUPERVISOR).result == of.REFUSED_LEASE
    assert rig.order({FLOW: 1.5}, slot=of.SUPERVISOR, lease_s=0).result == of.REFUSED_LEASE
    assert rig.read(FLOW) == pytest.approx(1.4)


def test_a_spent_budget_admits_only_what_takes_no_heat(rig):
    rig.deficit.spent = True
    assert rig.order({SUPPLY: 59.9}).result == of.REFUSED_BUDGET
    assert rig.order({FLOW: 1.9}).result == of.REFUSED_BUDGET
    assert rig.order({RETURN: 64.0}).result == of.REFUSED_BUDGET
    assert rig.order({SHIFT: -0.1}).result == of.REFUSED_BUDGET
    assert rig.order({SUPPLY: 60.1, SHIFT: 1.0}).result == of.ACCEPTED
    assert rig.order({SUPPLY: 20.0}, lease_s=0).result == of.ACCEPTED


def test_a_safe_start_obeys_nobody(ticks):
    rig = OrderRig(ticks, valve_stroke_s=0)
    assert rig.settings.mistakes
    assert rig.order({SUPPLY: 45.0}).result == of.REFUSED_STATE


def test_without_a_root_key_nothing_verifies(ticks):
    rig = OrderRig(ticks, root_key=None)
    assert not rig.take(rig.frame({SUPPLY: 45.0}))
    assert rig.mailbox.status(0, bytes(8)) == b""


def test_a_later_epoch_proves_itself_and_shuts_out_the_earlier_for_good(ticks):
    flash = MemoryFlash()
    rig = OrderRig(ticks, flash=flash)
    assert rig.order({SUPPLY: 45.0}, epoch=3).result == of.ACCEPTED
    assert rig.read("supervisor_key_epoch_number") == 3
    assert rig.read("standby_key_epoch_number") == 1
    assert rig.order({SUPPLY: 46.0}, epoch=1) is None
    assert rig.order({SUPPLY: 46.0}, epoch=2) is None
    again = OrderRig(ticks, flash=flash)
    assert again.order({SUPPLY: 46.0}, epoch=2) is None
    assert again.order({SUPPLY: 46.0}, epoch=3).result == of.ACCEPTED


def test_s1_a_new_epoch_counts_anew_and_its_owner_can_read_the_receipt(ticks):
    rig = OrderRig(ticks)
    for number in range(1, 301):
        assert rig.order({SUPPLY: 45.0 + number % 2}).counter == number
    assert rig.take(rig.frame({SUPPLY: 44.0}, epoch=2, counter=1))
    assert rig.read("accepted_order_count") == 301
    # whoever begins too far ahead is refused, and its own receipt tells where the count stands
    assert not rig.take(rig.frame({SUPPLY: 43.0}, epoch=3, counter=of.COUNTER_JUMP + 1))
    receipt = rig.receipt(epoch=3)
    assert (receipt.counter, receipt.result) == (0, of.NONE)
    # the old owner has no word any more, whatever it counts
    assert not rig.take(rig.frame({SUPPLY: 46.0}, epoch=2, counter=2))


def test_an_epoch_that_cannot_be_kept_is_not_accepted(ticks):
    flash = MemoryFlash()
    rig = OrderRig(ticks, flash=flash)
    flash.broken = True
    assert rig.order({SUPPLY: 45.0}, epoch=2) is None
    assert rig.order({SUPPLY: 45.0}, epoch=1).result == of.ACCEPTED


def test_the_site_file_cannot_lower_a_floor_kept_in_flash(ticks):
    flash = MemoryFlash()
    OrderRig(ticks, flash=flash).order({SUPPLY: 45.0}, epoch=5)
    rig = OrderRig(ticks, flash=flash, epochs=dict.fromkeys(of.SLOTS, 2))
    assert [rig.read(f"{slot}_key_epoch_number") for slot in of.SLOTS] == [5, 2, 2, 2]


def test_slot_keys_are_derived_once(ticks, monkeypatch):
    derived = []
    real = of.slot_key
    monkeypatch.setattr("firmware.substation.keys.slot_key", lambda *a: derived.append(a) or real(*a))
    rig = OrderRig(ticks)
    for _ in range(5):
        rig.order({SUPPLY: 45.0})
    assert len(derived) == 4  # one for each slot's first receipt
    assert isinstance(rig.keys, Keys)


def test_the_status_block_answers_the_challenge(rig):
    rig.bank.put(rig.bank.point("outdoor_temp_c"), -5_000)
    block = rig.mailbox.status(of.STANDBY, b"12345678")
    key = of.slot_key(ROOT_KEY, of.STANDBY, 1)
    status = of.decode_status(key, bytes.fromhex(DEVICE_ID), b"12345678", block)
    assert status.map_hash == MAP_HASH
    assert status.limits_hash == rig.settings.limits_hash
    assert status.boot_nonce == rig.nonce
    assert status.words[0] == 65_036
    assert len(status.words) == len(registers.STATUS_POINTS["substation"])
    assert len(block) // 2 == of.status_words(8)


def test_pump_station_orders(ticks):
    rig = OrderRig(ticks, profile="pump_station")
    assert rig.order({"plant_dp_sp_bar": 2.0, "plant_supply_temp_sp_c": 95.0}).result == of.ACCEPTED
    assert rig.order({"plant_dp_sp_bar": 6.5}).result == of.REFUSED_LIMIT
    assert rig.order({"plant_dp_sp_bar": 1.0}, slot=of.UTILITY).result == of.REFUSED_RIGHT
    assert rig.order({SUPPLY: 45.0}).result == of.REFUSED_REGISTER
