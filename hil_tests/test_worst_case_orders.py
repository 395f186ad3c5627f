"""With a valid key and the worst will, days at -10 degC of valid orders leave no room below its floor.

Three houses, three ways to take as much heat as the controller lets anyone take. A fourth is left alone:
what the attack costs is the difference to it. Half a day stands in the suite, two days are `make worst-case`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from firmware.substation import order_frame

from .acceptance import limit
from .bench.controller import Controller
from .bench.station import Bench

OUTDOOR_C = -10.0
SETTLE_H = 6
ATTACK_H = int(os.environ.get("TOPLOVOD_ATTACK_HOURS", "12"))
EVERY_S = 300

Attack = Callable[[Controller, int], dict[str, float]]


def lowest_supply(controller: Controller, turn: int) -> dict[str, float]:
    return {"secondary_supply_temp_sp_c": controller.read("supply_temp_minimum_c")}


def curve_down(controller: Controller, turn: int) -> dict[str, float]:
    return {"curve_shift_sp_k": -15.0}


def no_flow(controller: Controller, turn: int) -> dict[str, float]:
    return {"primary_flow_limit_sp_m3_h": 0.0}


def cold_return(controller: Controller, turn: int) -> dict[str, float]:
    return {"primary_return_limit_sp_c": 20.0}


def everything(controller: Controller, turn: int) -> dict[str, float]:
    return {
        **lowest_supply(controller, turn),
        **curve_down(controller, turn),
        **no_flow(controller, turn),
        **cold_return(controller, turn),
    }


def in_turns(controller: Controller, turn: int) -> dict[str, float]:
    """Another point every time, so that no single one shows a long hold."""
    ways = (lowest_supply, curve_down, no_flow, cold_return)
    return ways[turn % len(ways)](controller, turn)


SUNDAY_NIGHT_S = 1_798_941_600  # 3 January 2027, 2:00 UTC
DAYS = {"mon-fri": ["05:00-23:00"], "sat": ["05:00-23:00"]}


# The lowest supply temperature alone takes no more than everything at once, of which it is a part.
ATTACKS: tuple[Attack, ...] = (no_flow, everything, in_turns)


@pytest.mark.street(houses=2)
def test_who_tells_the_time_again_and_again_keeps_no_house_in_its_night(bench: Bench) -> None:
    """The set-back lies in the own curve, so the deficit budget does not see it."""
    bench.plant.outdoor_temp_c = OUTDOOR_C
    attacked, left_alone = controllers = bench.start_controllers(schedule=DAYS)
    monday_s = SUNDAY_NIGHT_S + 86_400
    for controller in controllers:
        assert controller.order(unix_time_set_s=monday_s, lease_s=0).result == order_frame.ACCEPTED
    bench.run_for(3600)
    for _ in range(ATTACK_H * 3):
        receipt = attacked.order(unix_time_set_s=SUNDAY_NIGHT_S, lease_s=0)
        assert receipt.result == order_frame.REFUSED_STATE
        bench.run_for(600)
    rooms = bench.plant.room_temp_c
    assert attacked.read("local_time_number") == left_alone.read("local_time_number")
    assert rooms.min() >= limit("room-floor")
    assert rooms[1] - rooms[0] <= limit("attack-cost")


@pytest.mark.slow
@pytest.mark.timeout(2400)  # 54,000 ticks of four controllers: a minute alone, more in company
@pytest.mark.street(houses=len(ATTACKS) + 1)
def test_days_of_worst_case_orders_leave_every_room_above_its_floor(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = OUTDOOR_C
    controllers = bench.start_controllers()
    bench.run_for(SETTLE_H * 3600)
    lowest = np.full(len(controllers), np.inf)
    taken = dict.fromkeys(order_frame.RESULTS, 0)
    for turn in range(ATTACK_H * 3600 // EVERY_S):
        for controller, attack in zip(controllers, ATTACKS, strict=False):
            frame = controller.order_words(attack(controller, turn), lease_s=order_frame.LEASE_MAX_S)
            receipt = controller.write_order(frame)
            taken[order_frame.RESULTS[receipt.result]] += 1
        bench.run_for(EVERY_S)
        lowest = np.minimum(lowest, bench.plant.room_temp_c)
    left_alone = lowest[-1]
    cost = dict(zip([attack.__name__ for attack in ATTACKS], left_alone - lowest, strict=False))
    print(f"\n{ATTACK_H} h: lowest room {lowest.min():.2f} degC, untouched {left_alone:.2f} degC; cost in K:",
          {name: round(float(kelvin), 2) for name, kelvin in cost.items()}, taken)  # fmt: skip
    assert taken["accepted"] > 0
    assert taken["refused_budget"] > 0, "the budget never stopped anyone: this was not the worst case"
    assert lowest.min() >= limit("room-floor"), cost
    assert max(cost.values()) <= limit("attack-cost"), cost
    for controller in controllers:
        assert bench.fleet.resets(controller.position) == []
