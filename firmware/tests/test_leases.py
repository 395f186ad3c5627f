"""Leases: gentle on the way in, gentle on the way out, and never all together."""

import hashlib

import pytest

from firmware.substation import leases

from .order_rig import OrderRig

SUPPLY = "secondary_supply_temp_sp_c"
EFFECTIVE = "secondary_supply_temp_effective_c"


@pytest.fixture
def rig(ticks):
    return OrderRig(ticks)


def test_s3_the_effective_value_moves_by_the_slew_limit(rig):
    rig.order({SUPPLY: 40.0})
    last = rig.read(EFFECTIVE)
    assert last == 60.0
    for _ in range(400):
        rig.step(2)
        now = rig.read(EFFECTIVE)
        assert last - now <= 2.0 * 2 / 60 + 0.011  # 2 K/min, and the register's step
        last = now
    assert last == 40.0


def test_s3_a_storm_of_orders_moves_no_faster(rig):
    last = 60_000
    for k in range(300):
        rig.order({SUPPLY: 20.0 if k % 2 else 85.0})
        rig.step(2)
        now = rig.influences[SUPPLY].effective
        assert abs(now - last) <= 67
        last = now


def test_the_slew_has_a_residue(rig):
    """2 K/min in steps of 2 s are 66.67 mK: without the residue 40 K would take 12 s longer."""
    rig.order({SUPPLY: 20.0}, lease_s=3600)
    rig.step(600)
    assert rig.influences[SUPPLY].effective == 60_000 - 20_000


def test_s4_expiry_is_bumpless_delayed_and_ends_at_the_own_curve(rig):
    delay_s = leases.expiry_delay_s(rig.device_id, False)
    rig.order({SUPPLY: 45.0}, lease_s=600)
    rig.step(600)
    assert rig.read("secondary_supply_temp_lease_s") == 0
    for _ in range(delay_s // 2 - 1):
        rig.step(2)
        assert rig.read(EFFECTIVE) == 45.0
    assert rig.read("secondary_supply_temp_lease_number") == 1
    last = 45_000
    rig.step(4)
    for _ in range(1000):
        now = rig.influences[SUPPLY].effective
        assert 0 <= now - last <= 67 * 3
        last = now
        rig.step(2)
    assert rig.read(EFFECTIVE) == 60.0
    assert rig.read(SUPPLY) is None
    assert rig.read("secondary_supply_temp_lease_number") == 0
    assert not rig.influences[SUPPLY].away


def test_a_renewal_keeps_the_value_without_a_break(rig):
    for _ in range(6):
        assert rig.order({SUPPLY: 50.0}, lease_s=1800)
        rig.step(900)
    assert rig.read(EFFECTIVE) == 50.0
    assert rig.read("secondary_supply_temp_lease_s") == 900


def test_a_release_goes_back_at_once_but_gently(rig):
    rig.order({SUPPLY: 50.0})
    rig.step(600)
    rig.order({SUPPLY: 50.0}, lease_s=0)
    rig.step(60)
    assert rig.read(EFFECTIVE) == pytest.approx(52.0, abs=0.07)


def test_v10_a_town_does_not_move_in_step():
    """500 houses: the expiry delays fill the ten minutes evenly, and no second sees more than a few."""
    delays = [
        leases.expiry_delay_s(hashlib.sha256(bytes((k >> 8, k & 255))).digest()[:8], False)
        for k in range(500)
    ]
    assert min(delays) >= 0
    assert max(delays) < 600
    for minute in range(10):
        assert 25 <= sum(60 * minute <= d < 60 * minute + 60 for d in delays) <= 75
    assert max(delays.count(d) for d in set(delays)) <= 6


def test_a_pump_station_holds_until_the_last_house_has_moved(ticks):
    rig = OrderRig(ticks, profile="pump_station")
    rig.order({"plant_dp_sp_bar": 3.0}, lease_s=600)
    rig.step(600 + 600 + 120)
    assert rig.read("plant_dp_effective_bar") == 3.0
    rig.step(300 + 60 + 900)
    assert rig.read("plant_dp_effective_bar") == 1.5


def test_own_value_is_followed_without_delay_when_nobody_asks(rig):
    rig.own[SUPPLY] = 63_000
    rig.step(2)
    assert rig.read(EFFECTIVE) == 63.0


def test_s2_with_the_budget_spent_an_order_can_only_raise(rig):
    rig.order({SUPPLY: 40.0})
    rig.step(900)
    assert rig.read(EFFECTIVE) == 40.0
    rig.step(900, only_raise=True)
    assert rig.read(EFFECTIVE) == 60.0


def test_s3_every_point_has_a_slew_limit(ticks):
    for profile in ("substation", "pump_station"):
        for name, influence in OrderRig(ticks, profile=profile).influences.items():
            assert influence._slew > 0, name
            full_range_min = (influence.high - influence.low) / influence._slew
            assert full_range_min >= 5, name
