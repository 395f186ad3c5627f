"""Hours of ordinary service: polled, ordered, renewed, and not a byte more on the heap at their end."""

from __future__ import annotations

import os

import pytest

from firmware.substation import order_frame, registers

from .acceptance import limit
from .bench.controller import Controller
from .bench.station import PUMP_STATION, SUBSTATION, Bench

# `make long-run`: a day; a month of everything at once: `make soak`
HOURS = int(os.environ.get("TOPLOVOD_SERVICE_HOURS", "6"))
POLL_S = 10
RENEW_S = 900
LEEWAY_B = limit("heap-growth")


def wanted(controller: Controller) -> dict[str, float]:
    """Return an order inside the limits of this controller."""
    if controller.device.profile == SUBSTATION:
        return {"secondary_supply_temp_sp_c": 50.0}
    return {"plant_dp_sp_bar": 0.8 * controller.read("plant_dp_maximum_bar")}


def poll(controller: Controller) -> None:
    """Read what the supervisor reads in every cycle."""
    client = controller.client()
    client.read_input(0, registers.IDENTITY_WORDS)
    house = controller.device.profile == SUBSTATION
    for rows in (registers.STATUS, registers.SUBSTATION_INPUTS if house else registers.PUMP_STATION_INPUTS):
        client.read_input(rows[0].address, sum(registers.words_of(row) for row in rows))


@pytest.mark.slow
@pytest.mark.needs("heap.measured")
def test_hours_of_service_take_no_more_heap_than_the_first(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    controllers = bench.start([("house-01", SUBSTATION, {}), (bench.town.pump_station.id, PUMP_STATION, {})])
    heap = []
    for hour in range(HOURS):
        for _ in range(3600 // RENEW_S):
            for controller in controllers:
                receipt = controller.write_order(controller.order_words(wanted(controller), lease_s=1800))
                assert receipt.result in (order_frame.ACCEPTED, order_frame.REFUSED_BUDGET)
            for _ in range(RENEW_S // POLL_S):
                bench.run_for(POLL_S)
                for controller in controllers:
                    poll(controller)
        bench.plant.outdoor_temp_c = -5.0 + 5.0 * (hour % 2)
        heap.append(bench.measure_heap())
    print(
        f"\n{HOURS} h, heap at the end of each in B:", *([sample[row] for sample in heap] for row in range(2))
    )
    for row, controller in enumerate(controllers):
        settled = max(sample[row] for sample in heap[:3])
        assert max(sample[row] for sample in heap[3:]) <= settled + LEEWAY_B, [s[row] for s in heap]
        assert bench.fleet.resets(controller.position) == []
        assert controller.read("task_restart_count") == 0
        assert controller.read("watchdog_reset_count") == 0
