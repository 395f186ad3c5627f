"""No order switches protection off (S5): each is tried against the worst valid orders in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firmware.substation import order_frame, registers

from .bench.board_io import SECONDARY_RETURN, SECONDARY_SUPPLY
from .bench.controller import Controller
from .bench.electronics import DIVIDER_OHM, FULL_SCALE, REFERENCE_V, SHUNT_OHM
from .bench.plant.sensors import pt1000_ohm
from .bench.station import Bench

if TYPE_CHECKING:
    from .bench.target import IO, Clock

FROST, MAXIMUM = 3, 4  # active_limiter_number
SCALD = 3  # dhw_state_number
NOTICED_WITHIN_S = 60.0
DHW_SUPPLY, DHW_FLOW, DHW_FLOW_SPAN_M3_H = 10, 11, 4.0


def worst_orders(controller: Controller) -> None:
    """Take all the heat that orders can take: no flow, the coldest return, the lowest supply and curve."""
    receipt = controller.order(
        primary_flow_limit_sp_m3_h=0.0,
        primary_return_limit_sp_c=20.0,
        secondary_supply_temp_sp_c=controller.read("supply_temp_minimum_c"),
        curve_shift_sp_k=controller.read("curve_shift_minimum_k"),
        lease_s=order_frame.LEASE_MAX_S,
    )
    assert receipt.result == order_frame.ACCEPTED


def ohm(temp_c: float) -> float:
    return float(pt1000_ohm(temp_c))


@pytest.mark.needs("io.sensors", "orders")
def test_a_house_near_frost_is_heated_whatever_is_ordered(
    controller: Controller, io: IO, clock: Clock
) -> None:
    worst_orders(controller)
    for channel in (SECONDARY_SUPPLY, SECONDARY_RETURN):
        io.set_resistance(channel, ohm(4.0))
    clock.run_until(lambda: controller.read("active_limiter_number") == FROST, NOTICED_WITHIN_S)
    clock.run_until(lambda: controller.read("valve_position_out_pct") > 20.0, 600.0)
    assert controller.read("secondary_pump_out_number") == 1
    assert controller.read("secondary_supply_temp_effective_c") >= controller.read("frost_supply_temp_c")


@pytest.mark.needs("io.sensors", "orders")
def test_far_above_its_maximum_the_supply_is_shut_off_whatever_is_ordered(
    controller: Controller, io: IO, clock: Clock
) -> None:
    most_c = controller.read("supply_temp_maximum_c")
    receipt = controller.order(secondary_supply_temp_sp_c=most_c, lease_s=order_frame.LEASE_MAX_S)
    assert receipt.result == order_frame.ACCEPTED
    io.set_resistance(SECONDARY_SUPPLY, ohm(most_c + 8.0))
    clock.run_until(lambda: controller.read("active_limiter_number") == MAXIMUM, NOTICED_WITHIN_S)
    clock.run_until(lambda: controller.read("valve_position_out_pct") == 0.0, 600.0)


def test_above_the_scald_limit_hot_water_is_shut_off_while_it_is_drawn(bench: Bench) -> None:
    """No order reaches hot water at all; this is what then stands between the network and the tap."""
    house = bench.start_controller(
        dhw="instantaneous",
        inputs={
            "dhw_supply_temp_c": {"channel": DHW_SUPPLY, "kind": "pt1000"},
            "dhw_flow_m3_h": {"channel": DHW_FLOW, "kind": "4-20ma", "span": DHW_FLOW_SPAN_M3_H},
        },
    )
    counts = bench.fleet.own_counts

    def tap(temp_c: float, draw_m3_h: float) -> None:
        counts[0, DHW_SUPPLY] = round(FULL_SCALE * ohm(temp_c) / (ohm(temp_c) + DIVIDER_OHM))
        milliampere = 4.0 + 16.0 * draw_m3_h / DHW_FLOW_SPAN_M3_H
        counts[0, DHW_FLOW] = round(FULL_SCALE * milliampere * SHUNT_OHM / 1000.0 / REFERENCE_V)

    tap(45.0, 0.6)
    bench.run_until(lambda: house.read("dhw_valve_position_out_pct") > 10.0, within_s=600)
    tap(house.read("dhw_scald_limit_temp_c") + 4.0, 0.6)
    bench.run_until(lambda: house.read("dhw_state_number") == SCALD, within_s=NOTICED_WITHIN_S)
    assert house.read("alarm_bits") & 1 << registers.ALARM_BITS.index("scald_limit")
    bench.run_until(lambda: house.read("dhw_valve_position_out_pct") == 0.0, within_s=120)
