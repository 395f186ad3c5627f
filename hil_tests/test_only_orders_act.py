"""Whatever is written to a controller, only an authentic, timely, fresh order changes anything.

All of it comes from the address the supervisor itself would use. Each attack is tried while an honest
order is in force, so that "nothing changed" is a statement about a value somebody might want to change.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.errors import ModbusException
from .bench.station import Bench

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2

SETPOINT = registers.BY_NAME["secondary_supply_temp_sp_c"]
HONEST_C = 45.0
COUNTERS = [row.name for row in registers.BY_PROFILE["substation"] if row.name.startswith("refused_")]


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


WRITES = {
    "FC 5 write coil": (5, words(0, 0xFF00)),
    "FC 6 write register": (6, words(SETPOINT.address, 9000)),
    "FC 15 write coils": (15, words(0, 8) + b"\x01\xff"),
    "FC 16 write setpoint": (16, words(SETPOINT.address, 1) + b"\x02" + words(9000)),
    "FC 16 write configuration": (16, words(305, 1) + b"\x02" + words(9500)),
    "FC 21 write file": (21, b"\x09\x06" + words(1, 0, 1) + words(0xBEEF)),
    "FC 22 mask write": (22, words(SETPOINT.address, 0, 9000)),
    "FC 23 write setpoint": (23, words(40, 1, SETPOINT.address, 1) + b"\x02" + words(9000)),
    "FC 8/1 restart": (8, words(1, 0)),
    "FC 8/4 listen only": (8, words(4, 0)),
    "FC 8/10 clear counters": (8, words(10, 0)),
}


def influence(controller: Controller) -> dict[str, Any]:
    """Return everything of the controller that others may want to move, and who holds it."""
    names = [row.name for row in registers.BY_PROFILE["substation"] if row.access != registers.MEASUREMENT]
    volatile = ("uptime_s", "heap_used_b", "heap_free_b", "loop_time_max_ms", "last_refusal")
    kept = [n for n in names if not n.startswith(("refused_", "broadcast_", "alarm_bits", *volatile))]
    return {name: controller.read(name) for name in kept}


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


@pytest.mark.parametrize("attack", WRITES)
def test_a_plain_write_is_refused_counted_and_without_effect(
    bench: Bench, ordered: Controller, attack: str
) -> None:
    function, body = WRITES[attack]
    before = influence(ordered)
    counted = ordered.read("refused_function_count")
    answer = ordered.client().exchange(bytes([function]) + body)
    assert answer == bytes([function | 0x80, ILLEGAL_ADDRESS])
    assert ordered.read("refused_function_count") == counted + 1
    after = influence(ordered)
    assert after == before
    bench.run_for(60)
    assert ordered.read("secondary_supply_temp_effective_c") == pytest.approx(HONEST_C)
    assert ordered.read("alarm_bits") & (1 << registers.ALARM_BITS.index("refused_writes"))


def test_functions_the_controller_lacks_are_answered_with_exception_01(
    bench: Bench, ordered: Controller
) -> None:
    known = {1, 2, 3, 4, 5, 6, 8, 15, 16, 17, 20, 21, 22, 23, 24, 43}
    before = influence(ordered)
    for function in sorted(set(range(1, 128)) - known):
        answer = ordered.client().exchange(bytes([function]) + words(0, 1))
        assert answer == bytes([function | 0x80, ILLEGAL_FUNCTION]), function
    assert influence(ordered) == before


@pytest.mark.parametrize("attack", WRITES)
def test_a_broadcast_never_acts(bench: Bench, ordered: Controller, attack: str) -> None:
    function, body = WRITES[attack]
    before = influence(ordered)
    counted = ordered.read("broadcast_count")
    ordered.client().exchange(bytes([function]) + body, unit=0)
    assert ordered.read("broadcast_count") == counted + 1
    assert influence(ordered) == before


def test_an_honest_order_sent_as_a_broadcast_never_acts(bench: Bench, ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    before = influence(ordered)
    body = words(registers.ORDER_MAILBOX, len(frame)) + bytes([2 * len(frame)]) + words(*frame)
    ordered.client().exchange(bytes([16]) + body, unit=0)
    assert influence(ordered) == before
    assert ordered.read("broadcast_count") == 1


def refused_as(controller: Controller, counter: str, frame: tuple[int, ...]) -> None:
    """Write the frame; it must be refused with 02, counted under that name, and change nothing else."""
    before = influence(controller)
    counts = {name: controller.read(name) for name in COUNTERS}
    receipts = controller.client().read_input(
        registers.RECEIPTS, len(order_frame.SLOTS) * registers.RECEIPT_WORDS
    )
    with pytest.raises(ModbusException) as caught:
        controller.write_order(frame)
    assert caught.value.exception == ILLEGAL_ADDRESS
    counts[counter] += 1
    assert {name: controller.read(name) for name in COUNTERS} == counts
    assert influence(controller) == before
    assert receipts == controller.client().read_input(
        registers.RECEIPTS, len(order_frame.SLOTS) * registers.RECEIPT_WORDS
    )


def test_every_single_flipped_bit_spoils_an_order(bench: Bench, ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    before = influence(ordered)
    refused = 0
    for bit in range(16 * len(frame)):
        spoiled = list(frame)
        spoiled[bit // 16] ^= 1 << (bit % 16)
        with pytest.raises(ModbusException) as caught:
            ordered.write_order(tuple(spoiled))
        assert caught.value.exception == ILLEGAL_ADDRESS
        refused += 1
    assert influence(ordered) == before
    assert sum(ordered.read(name) for name in COUNTERS) == refused
    assert ordered.write_order(frame).result == order_frame.ACCEPTED  # unspoiled, it is still good


def test_a_truncated_or_lengthened_order_is_malformed(bench: Bench, ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    refused_as(ordered, "refused_malformed_count", frame[:-1])
    refused_as(ordered, "refused_malformed_count", frame[:12])
    refused_as(ordered, "refused_malformed_count", (*frame, 0))


@pytest.mark.street(houses=2)
def test_another_house_cannot_be_given_this_houses_order(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    mine, other = bench.start_controllers()
    bench.run_for(60)
    frame = other.order_words({"secondary_supply_temp_sp_c": 30.0})
    refused_as(mine, "refused_mac_count", frame)
    assert other.write_order(frame).result == order_frame.ACCEPTED


@pytest.mark.parametrize(
    ("counter", "make"),
    [
        ("refused_mac_count", lambda c: c.order_words({"curve_shift_sp_k": -15.0}, key=bytes(32))),
        ("refused_mac_count", lambda c: c.order_words({"curve_shift_sp_k": -15.0}, epoch=0)),
        ("refused_late_count", lambda c: c.order_words({"curve_shift_sp_k": -15.0}, not_after_s=1)),
        (
            "refused_late_count",
            lambda c: c.order_words(
                {"curve_shift_sp_k": -15.0},
                not_after_s=c.identity().uptime_s + order_frame.NOT_AFTER_AHEAD_S + 1,
            ),
        ),
        ("refused_replay_count", lambda c: c.order_words({"curve_shift_sp_k": -15.0}, counter=1)),
        (
            "refused_replay_count",
            lambda c: c.order_words({"curve_shift_sp_k": -15.0}, counter=2 + order_frame.COUNTER_JUMP),
        ),
    ],
    ids=["wrong-key", "revoked-epoch", "too-late", "too-early", "used-counter", "jumping-counter"],
)
def test_an_order_that_is_not_ours_fresh_and_timely_is_refused(
    bench: Bench, ordered: Controller, counter: str, make: Callable[[Controller], tuple[int, ...]]
) -> None:
    refused_as(ordered, counter, make(ordered))


def test_an_order_held_back_for_a_minute_is_refused(bench: Bench, ordered: Controller) -> None:
    frame = ordered.order_words(
        {"secondary_supply_temp_sp_c": 30.0},
        not_after_s=ordered.identity().uptime_s + order_frame.NOT_AFTER_AHEAD_S,
    )
    bench.run_for(order_frame.NOT_AFTER_AHEAD_S + bench.clock.tick_ms / 1000)
    refused_as(ordered, "refused_late_count", frame)


def test_a_replay_in_the_same_boot_is_refused(bench: Bench, ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 40.0})
    assert ordered.write_order(frame).result == order_frame.ACCEPTED
    refused_as(ordered, "refused_replay_count", frame)


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


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ({"secondary_supply_temp_sp_c": 66.0}, "refused_limit"),
        ({"curve_shift_sp_k": -5.0, "secondary_supply_temp_sp_c": 66.0}, "refused_limit"),
    ],
    ids=["beyond-the-limit", "all-or-none"],
)
def test_an_authentic_order_beyond_the_limits_is_refused_whole(
    bench: Bench, ordered: Controller, values: dict[str, float], result: str
) -> None:
    before = influence(ordered)
    counted = ordered.read("refused_order_count")
    receipt = ordered.write_order(ordered.order_words(values))
    assert order_frame.RESULTS[receipt.result] == result
    assert ordered.read("refused_order_count") == counted + 1
    assert influence(ordered) == before
