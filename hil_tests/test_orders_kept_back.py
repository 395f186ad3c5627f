"""An order that came too late, from another boot, or for another house: kept frames are worth nothing."""

from __future__ import annotations

import pytest

from firmware.substation import order_frame

from .bench.controller import Controller
from .bench.station import Bench
from .test_only_orders_act import HONEST_C, refused_as


@pytest.fixture
def ordered(bench: Bench) -> Controller:
    """A controller with an honest order in force and its ramp done."""
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(600)
    assert controller.order(secondary_supply_temp_sp_c=HONEST_C, lease_s=3600).result == order_frame.ACCEPTED
    bench.run_until(
        lambda: controller.read("secondary_supply_temp_effective_c") == pytest.approx(HONEST_C), within_s=900
    )
    return controller


@pytest.mark.street(houses=2)
def test_another_house_cannot_be_given_this_houses_order(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    mine, other = bench.start_controllers()
    bench.run_for(60)
    frame = other.order_words({"secondary_supply_temp_sp_c": 30.0})
    refused_as(mine, "refused_mac_count", frame)
    assert other.write_order(frame).result == order_frame.ACCEPTED


def test_an_order_held_back_for_a_minute_is_refused(bench: Bench, ordered: Controller) -> None:
    frame = ordered.order_words(
        {"secondary_supply_temp_sp_c": 30.0},
        not_after_s=ordered.identity().uptime_s + order_frame.NOT_AFTER_AHEAD_S,
    )
    bench.run_for(order_frame.NOT_AFTER_AHEAD_S + bench.clock.tick_ms / 1000)
    refused_as(ordered, "refused_late_count", frame)


def test_a_replay_after_a_power_cut_is_refused(bench: Bench, ordered: Controller) -> None:
    """Uptime and counters begin anew, the boot nonce does not repeat: the recorded frame is worthless."""
    used = ordered.order_words({"secondary_supply_temp_sp_c": 40.0})
    kept = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    assert ordered.write_order(used).result == order_frame.ACCEPTED
    before = ordered.identity()
    bench.cut(ordered)
    bench.run_for(120)
    bench.power(ordered)
    after = ordered.identity()
    assert after.boot_count == before.boot_count + 1
    # so late that not-after and counter alone would let the kept frame through
    bench.run_until(lambda: ordered.identity().uptime_s >= before.uptime_s, within_s=before.uptime_s + 60)
    assert ordered.read("secondary_supply_temp_sp_c") is None  # a lease does not outlive its power
    refused_as(ordered, "refused_mac_count", used)
    refused_as(ordered, "refused_mac_count", kept)
