"""A technician in the cellar puts the valve by hand, and forgets it (S13)."""

from __future__ import annotations

import pytest

from firmware.substation import order_frame, registers

from .acceptance import limit
from .bench.station import Bench

MANUAL, SERVICE = 2, 3  # control_mode_number
LASTS_S = 1_800
ALARM = 1 << registers.ALARM_BITS.index("manual")
TECHNICIAN = order_frame.TECHNICIAN


def test_a_valve_put_by_hand_stands_out_and_goes_back_to_the_house_by_itself(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    house = bench.start_controller()
    bench.run_for(1_800)
    warm = house.read("secondary_supply_temp_c")
    # no button, no manual: not even with the technician's key
    assert house.order(manual_valve_pct=5.0, lease_s=0, slot=TECHNICIAN).result == order_frame.REFUSED_RIGHT
    bench.press_button(house)
    bench.run_for(4)
    bench.press_button(house, down=False)
    assert house.order(manual_valve_pct=5.0, lease_s=0).result == order_frame.REFUSED_RIGHT  # supervisor
    receipt = house.order(manual_valve_pct=5.0, lease_s=0, slot=TECHNICIAN)
    assert receipt.result == order_frame.ACCEPTED
    bench.run_for(120)
    assert house.read("valve_position_out_pct") == pytest.approx(5.0, abs=limit("valve-by-hand"))
    assert house.read("control_mode_number") == MANUAL
    assert house.read("alarm_bits") & ALARM
    assert house.read("manual_seconds_left_s") == pytest.approx(LASTS_S - 120, abs=8)
    # another's order is taken, told what stands above it, and not lost
    receipt = house.order(curve_shift_sp_k=-1.0, lease_s=3_600)
    assert receipt.result == order_frame.ACCEPTED
    assert receipt.detail == registers.BY_NAME["manual_valve_pct"].address
    bench.run_for(LASTS_S)
    assert house.read("control_mode_number") != MANUAL
    assert not house.read("alarm_bits") & ALARM
    assert house.read("manual_valve_pct") is None
    assert house.read("curve_shift_lease_number") == order_frame.SUPERVISOR + 1
    bench.run_until(lambda: house.read("secondary_supply_temp_c") > warm - 4.0, within_s=1_800)


@pytest.mark.needs("power.cut")
def test_a_restart_ends_it(bench: Bench) -> None:
    house = bench.start_controller()
    bench.press_button(house)
    bench.run_for(4)
    bench.press_button(house, down=False)
    assert house.order(manual_pump_pct=0.0, lease_s=0, slot=TECHNICIAN).result == order_frame.ACCEPTED
    bench.run_for(4)
    assert house.read("control_mode_number") == MANUAL
    bench.cut(house)
    bench.run_for(60)
    bench.power(house)
    bench.run_for(10)
    assert house.read("control_mode_number") not in (MANUAL, SERVICE)
    assert not house.read("alarm_bits") & ALARM
    print("heap free", house.read("heap_free_b"))
