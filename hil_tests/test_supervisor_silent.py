"""When nobody renews an order, the house returns to its own curve: without a bump, and not in step."""

from __future__ import annotations

import numpy as np
import pytest

from firmware.substation import order_frame

from .acceptance import limit
from .bench.station import Bench

LEASE_S = 300
SPREAD_S = 600
SLEW_K_PER_MIN = 2.0
OWN_CURVE_AT_MINUS_5_C = 30.0 + (55.0 - 30.0) * 20.0 / 27.0  # 30 degC at +15, 55 degC at -12


def test_the_house_returns_to_its_own_curve(bench: Bench) -> None:
    """An order that is not renewed expires, and the controller heats by its curve again."""
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(seconds=3_600)
    assert controller.read("secondary_supply_temp_c") == pytest.approx(
        OWN_CURVE_AT_MINUS_5_C, abs=limit("supply-near")
    )

    controller.order(secondary_supply_temp_sp_c=40.0, lease_s=LEASE_S)
    bench.run_until(lambda: controller.read("secondary_supply_temp_c") < 42.0, within_s=900)
    bench.run_for(seconds=LEASE_S + SPREAD_S + 1_800)  # the lease, at most ten minutes' delay, the way back

    assert controller.read("secondary_supply_temp_sp_c") is None
    assert controller.read("secondary_supply_temp_lease_number") == 0
    assert controller.read("secondary_supply_temp_effective_c") == controller.read("own_curve_temp_c")
    assert controller.read("secondary_supply_temp_c") == pytest.approx(
        OWN_CURVE_AT_MINUS_5_C, abs=limit("supply-near")
    )


@pytest.mark.slow
@pytest.mark.street(houses=20)
def test_a_silent_supervisor_lets_twenty_houses_go_one_by_one_and_gently(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    controllers = bench.start_controllers()
    bench.run_for(seconds=600)
    for controller in controllers:
        receipt = controller.order(secondary_supply_temp_sp_c=40.0, lease_s=LEASE_S)
        assert receipt.result == order_frame.ACCEPTED
    bench.run_for(seconds=LEASE_S)
    effective = []
    for _ in range((SPREAD_S + 900) // 10):
        bench.run_for(seconds=10)
        effective.append([c.read("secondary_supply_temp_effective_c") for c in controllers])
    course = np.array(effective)

    own = [controller.read("own_curve_temp_c") for controller in controllers]
    assert course[-1].tolist() == own
    # bumpless: no faster than the slew limit, whatever two readings 10 s apart are compared
    assert np.abs(np.diff(course, axis=0)).max() <= SLEW_K_PER_MIN / 6.0 + 0.011
    begins = np.argmax(course > course[0] + 0.01, axis=0) * 10
    assert begins.max() - begins.min() > SPREAD_S / 3, "the town moved in step"
    assert len(set(begins.tolist())) >= 10
    assert begins.max() <= SPREAD_S + 20


def test_renewal_keeps_the_value_without_a_step(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(seconds=600)
    seen = set()
    for renewal in range(6):
        assert (
            controller.order(secondary_supply_temp_sp_c=40.0, lease_s=LEASE_S).result == order_frame.ACCEPTED
        )
        for _ in range(15):
            bench.run_for(seconds=10)
            if renewal >= 4:
                seen.add(controller.read("secondary_supply_temp_effective_c"))
    assert seen == {40.0}


def test_a_release_goes_back_at_once(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(seconds=600)
    controller.order(secondary_supply_temp_sp_c=40.0, lease_s=3600)
    bench.run_for(seconds=900)
    assert controller.release("secondary_supply_temp_sp_c").result == order_frame.ACCEPTED
    bench.run_for(seconds=60)
    assert controller.read("secondary_supply_temp_effective_c") == pytest.approx(42.0, abs=0.2)
    assert controller.read("secondary_supply_temp_lease_number") == 0
