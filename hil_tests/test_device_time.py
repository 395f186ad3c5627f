"""No house keeps its clock through a power cut: the supervisor tells it the time, and its schedule goes on.

The order that does so is like any other: audited with its intent first, proved by a receipt, and worth
nothing to whoever has kept a copy of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .attended_town import AttendedTown, Operator
from .bench.errors import ModbusException

WORKDAYS = {"mon-fri": ["06:00-09:00"]}  # the attended town's weather begins on a Monday, midnight UTC
HOUSE = "house-01"
CYCLE_S = 10  # of polling
TOLD_WITHIN_S = 9 * CYCLE_S  # a poll that finds out, its turn within six cycles, one that shows it; and slack
LEASE_S = 600
SET_BACK, NO_TIME = 1, 5  # schedule_mode_number


def told(operator: Operator) -> list[dict[str, Any]]:
    """Return the orders by which the house was told the time, newest first."""
    orders = operator.orders().values()
    return [o for o in orders if (o["device_id"], o["point"]) == (HOUSE, "unix_time_set_s")]


@pytest.mark.needs("power.cut")
def test_after_a_power_cut_the_house_is_told_the_time_and_keeps_its_schedule(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    settings = {HOUSE: {"schedule": WORKDAYS}}
    with AttendedTown(tmp_path, firmware_bundle, 1, tapped=(0,), settings=settings) as town:
        operator = town.start()
        clock, house, relay = town.run.clock, town.houses[0], town.relays[0]

        def knows() -> bool:
            return house.read("unix_time_s") is not None

        clock.run_until(knows, within_s=TOLD_WITHIN_S)
        clock.run_for(2 * CYCLE_S)
        first = told(operator)
        assert [order["state"] for order in first] == ["done"]
        assert (first[0]["user"], first[0]["proof"], first[0]["old"]) == ("supervisor clock", "receipt", None)
        kept = relay.orders[-1]  # the thief's copy

        house.disconnect()
        clock.fleet.cut([0])
        clock.run_for(30)
        clock.fleet.on([0])
        assert house.read("unix_time_s") is None
        assert house.read("schedule_mode_number") == NO_TIME
        comfort_c = house.read("secondary_supply_temp_effective_c")

        with pytest.raises(ModbusException):  # of another boot
            house.write_order(kept)
        assert house.read("unix_time_s") is None

        clock.run_until(knows, within_s=TOLD_WITHIN_S)
        clock.run_for(2 * CYCLE_S)
        assert abs(house.read("unix_time_s") - clock.utc.timestamp()) <= 2
        assert len(told(operator)) == 2
        facts = operator.get(f"substations/{HOUSE}")["clock"]
        assert facts["state"] == "right" and abs(facts["off_s"]) <= 2

        # midnight: the house is set back now, and the owner's curve falls with it
        assert house.read("schedule_mode_number") == SET_BACK
        assert house.read("secondary_supply_temp_effective_c") < comfort_c - 5.0

        with pytest.raises(ModbusException):  # of this boot, but its counter is used
            house.write_order(relay.orders[-1])
        clock.run_for(120)
        assert abs(house.read("unix_time_s") - clock.utc.timestamp()) <= 2

        # a setpoint goes on as ever beside it
        order = operator.order(HOUSE, "curve_shift_sp_k", -1.0, LEASE_S)
        clock.run_until(lambda: operator.orders()[order["id"]]["state"] == "effective", within_s=60)

        done = town.audit("export")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        mine = [row for row in rows if row["device"] == HOUSE and row["actor"] == "supervisor clock"]
        assert [row["kind"] for row in mine] == ["intent", "result"] * 2
        assert town.audit("verify").returncode == 0
