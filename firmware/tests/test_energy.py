"""Heat and energy in whole numbers."""

import pytest

from firmware.substation.energy import Energy, heat_w
from firmware.substation.register_bank import RegisterBank

from .memory_flash import MemoryFlash


@pytest.mark.parametrize(
    ("flow_l_h", "supply_mc", "return_mc", "kw"),
    [(400, 90_000, 45_000, 20.65), (500_000, 110_000, 50_000, 34_420), (1000, 60_000, 59_000, 1.147)],
)
def test_heat_is_flow_times_temperature_difference(flow_l_h, supply_mc, return_mc, kw):
    assert heat_w(flow_l_h, supply_mc, return_mc) / 1000 == pytest.approx(kw, rel=1e-3)


def test_a_missing_reading_is_no_heat_and_no_zero():
    assert heat_w(None, 90_000, 45_000) is None
    assert heat_w(400, None, 45_000) is None
    assert heat_w(400, 90_000, None) is None
    assert heat_w(400, 45_000, 90_000) == 0


def make(flash):
    bank = RegisterBank("substation")
    return Energy(flash, bank, bank.point("primary_heat_kw"), bank.point("primary_energy_kwh"))


def test_s11_a_small_heat_is_counted_exactly_for_a_year():
    """1 W at 1 s steps: a float kWh counter in single precision stops at 16 777 kWh / 2**24 steps."""
    flash = MemoryFlash()
    energy = make(flash)
    for _ in range(100_000):
        energy.step(7, 1_000)
    energy.save_when_due(4_000)
    assert int.from_bytes(flash.records["energy"], "big") == 7 * 100_000 // 3600


def test_it_goes_on_after_a_restart_and_saves_hourly():
    flash = MemoryFlash()
    energy = make(flash)
    for second in range(0, 24 * 3600, 2):
        energy.step(10_000, 2_000)
        energy.save_when_due(second)
    assert flash.saves <= 24
    before = int.from_bytes(flash.records["energy"], "big")
    assert before >= 230_000 - 10_000
    again = make(flash)
    for second in range(0, 3602, 2):
        again.step(10_000, 2_000)
        again.save_when_due(second)
    assert int.from_bytes(flash.records["energy"], "big") == pytest.approx(
        before + 10_005, abs=1
    )  # 1801 steps of 20 kWs
