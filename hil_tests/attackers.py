"""What hostile and helping hands do to many stations by Modbus: plain writes, stolen keys, mass restore.

The plain writes follow the published pattern of January 2024: a target list, function codes 3, 6 and 16,
pauses, falsified readings, older firmware. Each walks its list in the clock's own time and counts what it was
answered. It knows nothing of a key it was not given and reaches into no controller.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.errors import ModbusException
from .bench.provisioning import KEY_EPOCH

FALSIFIED = ("outdoor_temp_c", "primary_supply_temp_c", "secondary_supply_temp_c", "primary_return_temp_c")
FALSE_READING = 9_000  # 90 degC where it should be freezing
SETPOINTS = (
    "secondary_supply_temp_sp_c",
    "primary_flow_limit_sp_m3_h",
    "primary_return_limit_sp_c",
    "curve_shift_sp_k",
)
# A supply that is no use in frost, and no flow at all. A set-point that was walked down comes back at
# 2 K/min, so what is written here decides how long a restore takes.
WANTED = {"secondary_supply_temp_sp_c": 3_500, "primary_flow_limit_sp_m3_h": 0}
IMAGE_PIECE_WORDS = 100
CHALLENGE = b"restore?"


def words(*values: int) -> bytes:
    """Return 16-bit words as they stand on the line."""
    return struct.pack(f">{len(values)}H", *values)


def plain_writes() -> Iterator[bytes]:
    """Yield the requests of one visit: false readings, set-points singly and together, older firmware."""
    for name in FALSIFIED:
        yield b"\x06" + words(registers.BY_NAME[name].address, FALSE_READING)
    for name, value in WANTED.items():
        yield b"\x06" + words(registers.BY_NAME[name].address, value)
    first = registers.BY_NAME["secondary_supply_temp_sp_c"].address
    yield b"\x10" + words(first, len(WANTED)) + bytes([2 * len(WANTED)]) + words(*WANTED.values())
    for row in registers.BY_PROFILE[registers.SUBSTATION][:4]:
        yield b"\x06" + words(row.address, 1)
    for record in range(0, 4 * IMAGE_PIECE_WORDS, IMAGE_PIECE_WORDS):
        piece = b"toplovod-image/1 " + bytes(2 * IMAGE_PIECE_WORDS - 17)
        yield b"\x15" + bytes([7 + len(piece)]) + b"\x06" + words(1, record, IMAGE_PIECE_WORDS) + piece


@dataclass
class Counted:
    """What requests were answered."""

    sent: int = 0
    refused: int = 0
    taken: int = 0
    by_result: dict[str, int] = field(default_factory=dict)

    @property
    def refused_share(self) -> float | None:
        return self.refused / self.sent if self.sent else None


Visit = Callable[[Controller], None]


class Walk:
    """Visits every target in turn, `delay_s` apart, and begins again every `again_s`."""

    def __init__(self, targets: Sequence[Controller], visit: Visit, delay_s: float, again_s: float) -> None:
        self._targets, self._visit = targets, visit
        self._delay_s, self._again_s = delay_s, again_s
        self._walk = self._next = 0

    def until(self, now_s: float) -> None:
        """Make the visits that are due; now_s counts from the walk's beginning."""
        while True:
            due_s = self._walk * max(self._again_s, self._delay_s * len(self._targets))
            due_s += self._next * self._delay_s
            if due_s > now_s:
                return
            target = self._targets[self._next]
            self._visit(target)
            target.disconnect()  # a script comes, writes and goes; so many lines would not stay open
            self._next += 1
            if self._next == len(self._targets):
                self._walk, self._next = self._walk + 1, 0


class PlainWriter:
    """Writes without a key; reads first, as the script did."""

    def __init__(self) -> None:
        self.counted = Counted()
        self._requests = tuple(plain_writes())

    def visit(self, station: Controller) -> None:
        client = station.client()
        client.read_holding(registers.BY_NAME["secondary_supply_temp_sp_c"].address, 4)
        for request in self._requests:
            answer = client.exchange(request)
            self.counted.sent += 1
            if answer[0] & 0x80:
                self.counted.refused += 1
            else:
                self.counted.taken += 1


class KeyThief:
    """Sends valid orders that take as much heat as any may; another point each time."""

    def __init__(self, epoch: int = KEY_EPOCH) -> None:
        self.counted = Counted()
        self._epoch = epoch
        self._turn: dict[str, int] = {}

    def visit(self, station: Controller) -> None:
        turn = self._turn[station.name] = self._turn.get(station.name, -1) + 1
        points = {
            "secondary_supply_temp_sp_c": float(station.read("supply_temp_minimum_c")),
            "primary_flow_limit_sp_m3_h": 0.0,
            "curve_shift_sp_k": float(station.read("curve_shift_minimum_k")),
            "primary_return_limit_sp_c": 20.0,
        }
        name = tuple(points)[turn % len(points)]
        self.counted.sent += 1
        try:
            receipt = station.write_order(
                station.order_words({name: points[name]}, lease_s=order_frame.LEASE_MAX_S, epoch=self._epoch)
            )
        except ModbusException:
            self.counted.refused += 1
            return
        result = order_frame.RESULTS[receipt.result]
        self.counted.by_result[result] = self.counted.by_result.get(result, 0) + 1
        if receipt.result == order_frame.ACCEPTED:
            self.counted.taken += 1
        else:
            self.counted.refused += 1


def restore_order(stations: Sequence[Controller]) -> list[Controller]:
    """Return the stations in an order that follows from their ids and from nothing else."""
    return sorted(stations, key=lambda s: hashlib.sha256(b"restore" + s.device.device_id).digest())


def release_under_new_keys(station: Controller, epoch: int) -> bool:
    """Order everything back to the station's own curve with keys of a later epoch; True when it was taken.

    The epoch proves itself by the order's MAC and shuts the older keys out for good.
    """
    slot = order_frame.SUPERVISOR
    key = station.device.slot_key(slot, epoch)
    values = {name: float(registers.BY_NAME[name].low) for name in SETPOINTS}
    frame = station.order_words(values, lease_s=0, epoch=epoch, key=key)
    read = station.client().read_write(
        registers.RECEIPTS + registers.RECEIPT_WORDS * slot,
        registers.RECEIPT_WORDS,
        registers.ORDER_MAILBOX,
        frame,
    )
    receipt = order_frame.decode_receipt(
        key, station.device.device_id, station.identity().boot_nonce, words(*read)
    )
    return bool(receipt.result == order_frame.ACCEPTED)


def proven_status(station: Controller, epoch: int = KEY_EPOCH) -> Any:
    """Return the challenged order_frame.Status, its MAC checked. BadFrame when somebody else answers."""
    slot = order_frame.SUPERVISOR
    length = order_frame.status_words(len(registers.STATUS_POINTS[station.device.profile]))
    challenge = struct.unpack(">4H", CHALLENGE)
    read = station.client().read_write(
        registers.STATUS_BLOCK, length, registers.CHALLENGE_MAILBOX, (slot, *challenge)
    )
    key = station.device.slot_key(slot, epoch)
    return order_frame.decode_status(key, station.device.device_id, CHALLENGE, words(*read))


# The counter-check: a firmware that takes plain writes, without limits and without a budget. Built for a run
# that must go wrong, signed by nobody and left in no bundle that is shipped.
UNPROTECTED_CHANGES = (
    (
        "modbus_server.py",
        "        if address != self._order_mailbox or count > self._order_words or broadcast:\n"
        "            return self._plain_write(frame, pdu, 6, address, count, broadcast, out, source)\n",
        "        if address != self._order_mailbox:\n"
        "            for k in range(count):\n"
        "                at = pdu + 6 + 2 * k\n"
        "                if not self._mailbox.plain(address + k, (frame[at] << 8) | frame[at + 1]):\n"
        "                    return -ILLEGAL_ADDRESS\n"
        "            out[8:12] = frame[pdu + 1 : pdu + 5]\n"
        "            return 5\n"
        "        if address != self._order_mailbox or count > self._order_words or broadcast:\n"
        "            return self._plain_write(frame, pdu, 6, address, count, broadcast, out, source)\n",
    ),
    (
        "modbus_server.py",
        "        elif function == 6:\n            whole = size == 5\n",
        "        elif function == 6:\n            whole = size == 5\n"
        "            if whole and self._mailbox.plain(\n"
        "                (frame[pdu + 1] << 8) | frame[pdu + 2], (frame[pdu + 3] << 8) | frame[pdu + 4]\n"
        "            ):\n"
        "                out[8:12] = frame[pdu + 1 : pdu + 5]\n"
        "                return 5\n",
    ),
    (
        "orders.py",
        "    def seal(self, slot, challenge):\n",
        "    def plain(self, address, value):\n"
        "        influence = self._by_address.get(address)\n"
        "        if influence is None:\n"
        "            return False\n"
        "        influence.grant(\n"
        "            1, self._value(influence, (value,)), self._uptime.advance() + 86400\n"
        "        )\n"
        "        return True\n\n"
        "    def seal(self, slot, challenge):\n",
    ),
    ("deficit.py", "            self.spent = True\n", "            self.spent = False\n"),
)

# The counter-check to an end of leases that no network notices: without the spread by device id, and without
# the ramp of 2 K/min, all stations are back at their own curve in the same period.
IN_STEP_CHANGES = (
    ("leases.py", "    return spread % EXPIRY_SPREAD_S\n", "    return 0\n"),
    ("leases.py", "        reach = budget // 60_000\n", "        reach = budget\n"),
    ("leases.py", "        self._residue = budget - reach * 60_000\n", ""),
)
