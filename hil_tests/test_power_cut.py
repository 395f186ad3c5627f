"""A controller that loses its power comes back by itself, on its own curve, and says so."""

from __future__ import annotations

import pytest

from firmware.substation import order_frame

from .acceptance import limit
from .bench.station import Bench


@pytest.mark.needs("power.cut")
def test_after_a_power_cut_the_house_is_on_its_own_curve(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(3_600)
    assert controller.order(secondary_supply_temp_sp_c=40.0).result == order_frame.ACCEPTED
    bench.run_for(900)
    boots = controller.read("boot_count")

    bench.cut(controller)
    held = float(bench.plant.valve_position[0])
    bench.run_for(600)
    assert float(bench.plant.valve_position[0]) == held  # a three-point valve stays where it is
    bench.power(controller)

    assert controller.read("boot_count") == boots + 1
    assert controller.read("reset_cause_number") == 1
    assert controller.read("secondary_supply_temp_lease_number") == 0
    assert controller.read("secondary_supply_temp_sp_c") is None
    bench.run_until(
        lambda: abs(controller.read("secondary_supply_temp_c") - controller.read("own_curve_temp_c")) < 1.0,
        within_s=1_800,
    )


@pytest.mark.slow
@pytest.mark.needs("power.cut")
def test_energy_and_deficit_survive_a_power_cut(bench: Bench) -> None:
    """A restart gives no budget back, and costs no more than an hour's worth of the energy counter."""
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(1_800)
    controller.order(secondary_supply_temp_sp_c=20.0, lease_s=3600)
    bench.run_for(3 * 3_600)
    used, energy = controller.read("deficit_used_kh"), controller.read("primary_energy_kwh")
    budget = controller.read("deficit_budget_kh")
    assert used > 5.0
    bench.cut(controller)
    bench.power(controller)
    bench.run_for(10)
    assert controller.read("deficit_used_kh") >= used - budget / 50 - 0.01
    assert controller.read("primary_energy_kwh") >= energy - limit("cut-energy")


def test_ten_cuts_in_half_a_minute_leave_it_whole(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    for _ in range(10):
        bench.run_for(2)
        bench.cut(controller)
        bench.power(controller)
    assert controller.read("boot_count") == 11
    assert controller.read("alarm_bits") == 0
    bench.run_for(1_200)
    assert controller.order(curve_shift_sp_k=-2.0).result == order_frame.ACCEPTED
