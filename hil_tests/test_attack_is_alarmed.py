"""Whoever writes to a controller without a right changes nothing, and the operator's alarm list says so.

Every attack comes from the supervisor's own address while its orders are in force and the town runs.
That a controller refuses them is told in test_only_orders_act; here somebody has to hear of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from .acceptance import limit
from .attended_town import AttendedTown, Operator
from .bench.controller import Controller
from .bench.errors import ModbusException
from .demo_report import events_of
from .test_only_orders_act import COUNTERS, ILLEGAL_ADDRESS, WRITES, influence

POINT = "secondary_supply_temp_sp_c"
ORDERED_C = 45.0  # 3.5 K below the houses' own curve at -5 degC
WANTED_BY_THE_THIEF_C = 30.0
LEASE_S = 3600
FRESH_COUNTER = 1000  # far above the supervisor's own, so that no frame is refused as a replay by chance
RESPOND_WITHIN_S = 1800  # supervisor/alarms/records.py
KEPT = (
    "secondary_supply_temp_sp_c", "secondary_supply_temp_effective_c", "secondary_supply_temp_lease_number",
    "primary_return_limit_effective_c", "curve_shift_effective_k", "control_mode_number",
)  # fmt: skip
EVERY_COUNTER = (*COUNTERS, "broadcast_count")

PLAIN = (
    "FC 5 write coil", "FC 6 write register", "FC 15 write coils", "FC 16 write setpoint",
    "FC 21 write file", "FC 22 mask write", "FC 23 write setpoint",
)  # fmt: skip
BROADCAST, FLIPPED, FOREIGN, DELAYED, REPLAYED = range(len(PLAIN), len(PLAIN) + 5)
SPARED = REPLAYED + 1  # the control: nobody attacks it


def plain_write(name: str) -> Callable[[Controller], None]:
    def attack(house: Controller) -> None:
        function, body = WRITES[name]
        assert house.client().exchange(bytes([function]) + body) == bytes([function | 0x80, ILLEGAL_ADDRESS])

    return attack


def broadcast(house: Controller) -> None:
    function, body = WRITES["FC 16 write setpoint"]
    house.client().exchange(bytes([function]) + body, unit=0)


def frame(words: tuple[int, ...]) -> Callable[[Controller], None]:
    def attack(house: Controller) -> None:
        with pytest.raises(ModbusException) as caught:
            house.write_order(words)
        assert caught.value.exception == ILLEGAL_ADDRESS

    return attack


def stolen_order(house: Controller, not_after_s: int | None = None) -> tuple[int, ...]:
    """Return the words of an order that its own house would obey."""
    wanted = {POINT: WANTED_BY_THE_THIEF_C}
    return house.order_words(wanted, counter=FRESH_COUNTER, not_after_s=not_after_s)


@pytest.mark.slow
@pytest.mark.needs("power.cut")
def test_every_attack_on_a_running_town_is_on_the_alarm_list(tmp_path: Path, firmware_bundle: Path) -> None:
    with AttendedTown(tmp_path, firmware_bundle, SPARED + 1, tapped=(REPLAYED,)) as town:
        operator, clock, houses = town.start(), town.run.clock, town.houses
        placed = [operator.order(house.name, POINT, ORDERED_C, LEASE_S)["id"] for house in houses]
        clock.run_until(
            lambda: {operator.orders()[order]["state"] for order in placed} == {"effective"}, within_s=200
        )
        assert alarms_about_writes(operator) == {}

        # what the thief prepares: an order kept back beyond its time, and a recording of one that was obeyed
        kept_back = stolen_order(
            houses[DELAYED], not_after_s=houses[DELAYED].identity().uptime_s + order_frame.NOT_AFTER_AHEAD_S
        )
        place = registers.BY_NAME[POINT].address  # the house was told the time as well
        seen = town.relays[REPLAYED].orders
        (recorded,) = [words for words in seen if words[order_frame.HEADER_WORDS] == place]
        houses[REPLAYED].disconnect()
        clock.fleet.cut([REPLAYED])
        clock.run_for(order_frame.NOT_AFTER_AHEAD_S + clock.tick_ms / 1000)
        clock.fleet.on([REPLAYED])

        flipped = list(stolen_order(houses[FLIPPED]))
        flipped[-1] ^= 1
        attacks = {row: (plain_write(name), "refused_function_count") for row, name in enumerate(PLAIN)}
        attacks[BROADCAST] = broadcast, "broadcast_count"
        attacks[FLIPPED] = frame(tuple(flipped)), "refused_mac_count"
        attacks[FOREIGN] = frame(stolen_order(houses[SPARED])), "refused_mac_count"
        attacks[DELAYED] = frame(kept_back), "refused_late_count"
        attacks[REPLAYED] = frame(recorded), "refused_mac_count"
        assert {house.read(POINT) for house in houses[:REPLAYED]} == {ORDERED_C}
        assert houses[REPLAYED].read(POINT) is None  # a lease does not outlive its power

        kept = {row: {name: house.read(name) for name in KEPT} for row, house in enumerate(houses)}
        for row, (attack, counter) in attacks.items():
            before = influence(houses[row])
            counts = {name: houses[row].read(name) for name in EVERY_COUNTER}
            attack(houses[row])
            assert influence(houses[row]) == before
            counts[counter] += 1
            assert {name: houses[row].read(name) for name in EVERY_COUNTER} == counts

        # the operator hears of each, with what to do and until when, and of no other house
        present = {houses[row].name for row in attacks} - {houses[REPLAYED].name}
        clock.run_until(lambda: present <= set(alarms_about_writes(operator)), within_s=limit("attack-seen"))
        clock.run_until(
            lambda: houses[REPLAYED].name in alarms_about_writes(operator),
            within_s=limit("attack-seen-again"),
        )
        clock.run_for(60)
        listed = alarms_about_writes(operator)
        assert set(listed) == {houses[row].name for row in attacks}
        for alarm in listed.values():
            assert alarm["state"] == "unacknowledged"
            assert alarm["priority"] == 1
            assert alarm["respond_within_s"] == RESPOND_WITHIN_S
            assert alarm["action"] and not alarm["action"].startswith("alarm.")
            assert alarm["where"]
            assert alarm["values"]["total"] == 1
        assert {row: {name: house.read(name) for name in KEPT} for row, house in enumerate(houses)} == kept
        bit = 1 << registers.ALARM_BITS.index("refused_writes")
        assert [bool(house.read("alarm_bits") & bit) for house in houses] == [True] * SPARED + [False]

        # and so does the report of a demo
        told = [event["text"] for event in events_of(town.demo, "")]
        for alarm in listed.values():
            assert (
                f"alarm at {alarm['device']}: Refused attempts to write: 1 (1 in all); unacknowledged" in told
            )


def alarms_about_writes(operator: Operator) -> dict[str, dict[str, Any]]:
    """Return the alarms of refused writes as the screens get them, by house."""
    return {a["device"]: a for a in operator.get("alarms")["alarms"] if a["kind"] == "refused_writes"}
