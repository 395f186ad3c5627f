"""Whatever is written to a controller, only an authentic, timely, fresh order changes anything.

All of it comes from the address the supervisor itself would use. Each attack is tried while an honest
order is in force, so that "nothing changed" is a statement about a value somebody might want to change.
They run on any target (`--bench-target`); what takes more time than a board has is in test_orders_kept_back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.errors import ModbusException
from .bench.target import Clock, Target

pytestmark = [pytest.mark.on_targets("vm"), pytest.mark.needs("bus.tcp", "orders")]
anywhere = pytest.mark.on_targets("vm", "emulated")  # of the rest `--bench-target emulated` takes two minutes

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2

SETPOINT = registers.BY_NAME["secondary_supply_temp_sp_c"]
HONEST_C = 45.0
FOLLOWS_ORDERS = 1  # control_mode_number, docs/registers.md
AT_WORK_S = 30.0  # the most that a test itself may take on a machine with other work
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


def unmoved(controller: Controller, before: dict[str, Any], passed_s: float = 0.0) -> None:
    """Assert that all of `influence` is as it was; leases run on as time does, and may not grow."""
    after = influence(controller)
    changed = {name: (before[name], after[name]) for name in before if after[name] != before[name]}
    for name in [name for name in changed if name.endswith("_lease_s")]:
        was_s, is_s = changed.pop(name)
        assert was_s - passed_s - AT_WORK_S <= is_s < was_s, name
    assert changed == {}


@pytest.fixture
def ordered(target: Target) -> Controller:
    """A controller with an honest order in force and its ramp done.

    In virtual time it is an order that the house would not give itself. On the wall a ramp takes minutes, so
    there it is what the house's own curve wants: held by the supervisor, and no longer its own.
    """
    controller: Controller = target.controller
    honest_c = HONEST_C
    if target.clock.mode == "wall":
        own_c, lowest_c = controller.read("own_curve_temp_c"), controller.read("supply_temp_minimum_c")
        honest_c = max(own_c, lowest_c)
    before_s = controller.read("secondary_supply_temp_lease_s")  # of an earlier test's, until it is told anew
    receipt = controller.order(secondary_supply_temp_sp_c=honest_c, lease_s=3600)
    assert receipt.result == order_frame.ACCEPTED
    target.clock.run_until(
        lambda: (
            controller.read("secondary_supply_temp_effective_c") == pytest.approx(honest_c)
            and controller.read("control_mode_number") == FOLLOWS_ORDERS
            and controller.read("secondary_supply_temp_lease_s") != before_s
        ),
        within_s=900,
    )
    return controller


@pytest.mark.parametrize("attack", WRITES)
def test_a_plain_write_is_refused_counted_and_without_effect(
    clock: Clock, ordered: Controller, attack: str
) -> None:
    function, body = WRITES[attack]
    before = influence(ordered)
    counted = ordered.read("refused_function_count")
    answer = ordered.client().exchange(bytes([function]) + body)
    assert answer == bytes([function | 0x80, ILLEGAL_ADDRESS])
    assert ordered.read("refused_function_count") == counted + 1
    unmoved(ordered, before)
    passes_s = 60.0 if clock.mode == "virtual" else 4.0
    clock.advance(passes_s)
    unmoved(ordered, before, passes_s)
    assert ordered.read("alarm_bits") & (1 << registers.ALARM_BITS.index("refused_writes"))


def test_functions_the_controller_lacks_are_answered_with_exception_01(ordered: Controller) -> None:
    known = {1, 2, 3, 4, 5, 6, 8, 15, 16, 17, 20, 21, 22, 23, 24, 43}
    before = influence(ordered)
    for function in sorted(set(range(1, 128)) - known):
        answer = ordered.client().exchange(bytes([function]) + words(0, 1))
        assert answer == bytes([function | 0x80, ILLEGAL_FUNCTION]), function
    unmoved(ordered, before)


@pytest.mark.parametrize("attack", WRITES)
def test_a_broadcast_never_acts(ordered: Controller, attack: str) -> None:
    function, body = WRITES[attack]
    before = influence(ordered)
    counted = ordered.read("broadcast_count")
    ordered.client().exchange(bytes([function]) + body, unit=0)
    assert ordered.read("broadcast_count") == counted + 1
    unmoved(ordered, before)


def test_an_honest_order_sent_as_a_broadcast_never_acts(ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    before, counted = influence(ordered), ordered.read("broadcast_count")
    body = words(registers.ORDER_MAILBOX, len(frame)) + bytes([2 * len(frame)]) + words(*frame)
    ordered.client().exchange(bytes([16]) + body, unit=0)
    unmoved(ordered, before)
    assert ordered.read("broadcast_count") == counted + 1


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
    unmoved(controller, before)
    assert receipts == controller.client().read_input(
        registers.RECEIPTS, len(order_frame.SLOTS) * registers.RECEIPT_WORDS
    )


@anywhere
def test_every_single_flipped_bit_spoils_an_order(ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    before = influence(ordered)
    refused = sum(ordered.read(name) for name in COUNTERS)
    for bit in range(16 * len(frame)):
        spoiled = list(frame)
        spoiled[bit // 16] ^= 1 << (bit % 16)
        with pytest.raises(ModbusException) as caught:
            ordered.write_order(tuple(spoiled))
        assert caught.value.exception == ILLEGAL_ADDRESS
        refused += 1
    unmoved(ordered, before)
    assert sum(ordered.read(name) for name in COUNTERS) == refused
    assert ordered.write_order(frame).result == order_frame.ACCEPTED  # unspoiled, it is still good


@anywhere
def test_a_truncated_or_lengthened_order_is_malformed(ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 30.0})
    refused_as(ordered, "refused_malformed_count", frame[:-1])
    refused_as(ordered, "refused_malformed_count", frame[:12])
    refused_as(ordered, "refused_malformed_count", (*frame, 0))


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
            lambda c: c.order_words(
                {"curve_shift_sp_k": -15.0},
                counter=c.next_counter(order_frame.SUPERVISOR, c.identity().boot_nonce)
                + order_frame.COUNTER_JUMP,
            ),
        ),
    ],
    ids=["wrong-key", "revoked-epoch", "too-late", "too-early", "used-counter", "jumping-counter"],
)
def test_an_order_that_is_not_ours_fresh_and_timely_is_refused(
    ordered: Controller, counter: str, make: Callable[[Controller], tuple[int, ...]]
) -> None:
    refused_as(ordered, counter, make(ordered))


@anywhere
def test_a_replay_in_the_same_boot_is_refused(ordered: Controller) -> None:
    frame = ordered.order_words({"secondary_supply_temp_sp_c": 40.0})
    assert ordered.write_order(frame).result == order_frame.ACCEPTED
    refused_as(ordered, "refused_replay_count", frame)


@anywhere
@pytest.mark.parametrize("more", [{}, {"curve_shift_sp_k": -5.0}], ids=["beyond-the-limit", "all-or-none"])
def test_an_authentic_order_beyond_the_limits_is_refused_whole(
    ordered: Controller, more: dict[str, float]
) -> None:
    before = influence(ordered)
    counted = ordered.read("refused_order_count")
    highest_c = ordered.read("supply_temp_maximum_c")
    receipt = ordered.write_order(ordered.order_words({**more, "secondary_supply_temp_sp_c": highest_c + 1}))
    assert order_frame.RESULTS[receipt.result] == "refused_limit"
    assert ordered.read("refused_order_count") == counted + 1
    unmoved(ordered, before)
