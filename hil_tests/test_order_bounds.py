"""How far an authentic order reaches: within the budget, no faster than the slew limit, to setpoints."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.station import Bench

SLEW_K_PER_MIN = 2.0
RESOLUTION_K = 0.011  # of a reading, and a little for what it is rounded from
ILLEGAL_ADDRESS = 2
MEASURED = [row for row in registers.BY_PROFILE["substation"] if row.access == registers.MEASUREMENT]
SETTINGS = [row for row in registers.BY_PROFILE["substation"] if row.access == registers.CONFIG]


def heating(bench: Bench, **settings: Any) -> Controller:
    """A controller that heats in the frost and has seen its valve's end stop."""
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller(**settings)
    bench.run_for(600)
    return controller


def test_a_spent_budget_gives_the_house_its_own_curve_back(bench: Bench) -> None:
    """S2: the order is valid and renewed, and holds no longer than the deficit budget lasts."""
    house = heating(bench, deficit_budget_kh=4)
    lowest_c = house.read("supply_temp_minimum_c")
    receipt = house.order(secondary_supply_temp_sp_c=lowest_c, lease_s=order_frame.LEASE_MAX_S)
    assert receipt.result == order_frame.ACCEPTED
    bench.run_for(300)
    assert house.read("secondary_supply_temp_effective_c") < house.read("own_curve_temp_c") - 5.0
    bench.run_until(
        lambda: house.read("secondary_supply_temp_effective_c") == house.read("own_curve_temp_c"),
        within_s=2_400,
    )
    assert house.read("secondary_supply_temp_lease_number") == order_frame.SUPERVISOR + 1
    assert house.order(secondary_supply_temp_sp_c=lowest_c).result == order_frame.REFUSED_BUDGET
    assert house.read("deficit_used_kh") <= house.read("deficit_budget_kh") + 0.1


def test_an_order_moves_the_setpoint_no_faster_than_the_slew_limit(bench: Bench) -> None:
    """S3: down by an order, up by its release, never more than 2 K in a minute."""
    house = heating(bench)
    own_c = house.read("own_curve_temp_c")
    before_c = own_c
    for down in (True, False):
        if down:
            assert house.order(secondary_supply_temp_sp_c=own_c - 5.0).result == order_frame.ACCEPTED
        else:
            assert house.release("secondary_supply_temp_sp_c").result == order_frame.ACCEPTED
        for _ in range(18):
            bench.run_for(10)
            now_c = house.read("secondary_supply_temp_effective_c")
            assert abs(now_c - before_c) <= SLEW_K_PER_MIN / 6.0 + RESOLUTION_K
            before_c = now_c
        assert now_c == pytest.approx(own_c - 5.0 if down else own_c, abs=RESOLUTION_K)


def test_neither_a_write_nor_an_order_reaches_a_measurement_or_a_setting(bench: Bench) -> None:
    """S6: all are tried with FC 6 and FC 16; settings, which share the setpoints' space, by order as well."""
    house = heating(bench)
    rows = MEASURED + SETTINGS
    before = {row.name: house.read(row.name) for row in rows}
    for row in rows:
        raw = registers.words_of_raw(row, registers.to_raw(row, row.low))
        body = struct.pack(f">HHB{len(raw)}H", row.address, len(raw), 2 * len(raw), *raw)
        assert house.client().exchange(b"\x10" + body) == bytes((0x90, ILLEGAL_ADDRESS)), row.name
        body = struct.pack(">HH", row.address, raw[0])
        assert house.client().exchange(b"\x06" + body) == bytes((0x86, ILLEGAL_ADDRESS)), row.name
        if row.access == registers.CONFIG and len(raw) == 1:  # an unknown address has one word in an order
            receipt = house.order(curve_shift_sp_k=0.0, **{row.name: row.low})
            assert receipt.result == order_frame.REFUSED_REGISTER, row.name
    assert {row.name: house.read(row.name) for row in rows} == before
    assert house.read("curve_shift_lease_number") == 0  # nor was the pair taken that went along
