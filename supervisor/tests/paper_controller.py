"""A controller on paper behind a real Modbus TCP server: it keeps leases and obeys order frames.

It follows firmware/substation/order_frame.py to the letter, with real MACs, so that the desk is tested
over real sockets; what the shipped firmware does with an order is tested on the bench. It has no loop:
the effective value is the ordered one at once, or after a ramp.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from firmware.substation import order_frame, registers

from .modbus_server import HOLDING_FROM, Controller

INPUT_WORDS = 1200


class PaperController(Controller):
    """`now` gives monotonic seconds; the uptime is counted from 100 s at the last boot."""

    def __init__(
        self, name: str, now: Callable[[], float], profile: str = registers.SUBSTATION, unit: int = 1
    ) -> None:
        self._now = now
        self.root_key = hashlib.sha256(b"root " + name.encode()).digest()
        self.key = order_frame.slot_key(self.root_key, order_frame.SUPERVISOR, 1)
        self._booted_s = 0.0
        self.counter = 0
        self.values: dict[str, float] = {}
        self.ends_s: dict[str, float] = {}
        self.owner: dict[str, int] = {}
        self.ramp_s = 0.0
        self.since_s: dict[str, float] = {}
        self.accepted: list[tuple[int, str, float, int]] = []
        """(counter, point, value, lease_s) of every order obeyed."""
        self.refused_frames = 0
        self.lose_next_orders = 0  # arrives nowhere
        self.swallow_next_answers = 0  # obeyed, but the answer never leaves
        self.refuse_with = order_frame.ACCEPTED
        self._ahead_s: float | None = None  # of its clock, told by order
        self.forge_receipts = False
        super().__init__(name, profile, unit)
        self.input = self.input + [0] * (INPUT_WORDS - len(self.input))

    def boot(self, count: int, uptime_s: int = 100) -> None:
        """Restart: leases and counters are gone, the nonce is new."""
        super().boot(count, uptime_s)
        self.boot_count = count
        self._booted_s = self._now() - uptime_s
        self._ahead_s = None
        self.counter = 0
        self.values.clear()
        self.ends_s.clear()
        self.owner.clear()
        if len(self.input) >= INPUT_WORDS:
            self._file_receipt(
                order_frame.Receipt(order_frame.SUPERVISOR, 0, order_frame.NONE, 0, uptime_s, 0)
            )

    @property
    def nonce(self) -> bytes:
        """Return the boot nonce as the identity block shows it."""
        words = self.input[9:15]
        return b"".join(word.to_bytes(2, "big") for word in words)

    @property
    def uptime_s(self) -> int:
        """Return seconds since the last boot."""
        return int(self._now() - self._booted_s)

    def unix_s(self) -> int | None:
        """Return what its clock shows; None while nobody told it the time."""
        return None if self._ahead_s is None else int(self._ahead_s + self._now())

    def shift_clock(self, seconds: float) -> None:
        """Let its clock go wrong."""
        assert self._ahead_s is not None
        self._ahead_s += seconds

    def own(self, point: str) -> float:
        """Return what the controller wants by itself."""
        return {
            "secondary_supply_temp_sp_c": 55.0,
            "plant_dp_sp_bar": 1.5,
            "plant_supply_temp_sp_c": 90.0,
        }.get(point, 20.0 if point.endswith("_c") else 0.0 if point.endswith("_k") else 3.0)

    def refresh(self) -> None:
        """Bring the served registers to this moment."""
        self.put("uptime_s", self.uptime_s)
        if self._ahead_s is not None:
            self.put("unix_time_s", self.unix_s())
        for lease in registers.LEASES:
            if registers.BY_NAME[lease.setpoint] not in registers.BY_PROFILE[self.profile]:
                continue
            point = lease.setpoint
            left = max(0, int(self.ends_s.get(point, 0.0) - self._now()))
            if self.owner.get(point) and left == 0:
                self.owner[point] = 0
            held = bool(self.owner.get(point))
            arrived = self._now() - self.since_s.get(point, 0.0) >= self.ramp_s
            self.put(lease.owner, self.owner.get(point, 0))
            self.put(lease.seconds_left, left if held else 0)
            self.put(lease.effective, self.values[point] if held and arrived else self.own(point))

    def take(self, words: list[int]) -> bool:
        """Judge a frame as the firmware does; False: not an order."""
        frame = b"".join(word.to_bytes(2, "big") for word in words)
        by_address = {
            r.address: r
            for r in registers.BY_PROFILE[self.profile]
            if r.access == registers.SETPOINT or r.name == "unix_time_set_s"
        }
        try:
            order = order_frame.decode_order(
                frame, lambda a: registers.words_of(by_address[a]) if a in by_address else 0
            )
        except order_frame.BadFrame:
            return False
        authentic = order_frame.order_verifies(
            self.key, self.device_id, registers.map_hash(), self.nonce, frame
        )
        in_time = self.uptime_s <= order.not_after_s <= self.uptime_s + order_frame.NOT_AFTER_AHEAD_S
        rising = self.counter < order.counter <= self.counter + order_frame.COUNTER_JUMP
        if not (authentic and in_time and rising):
            return False
        self.counter = order.counter
        result = self.refuse_with
        if result == order_frame.ACCEPTED:
            for address, value_words in order.pairs:
                row = by_address[address]
                if row.access == registers.COMMAND:
                    self._ahead_s = registers.raw_of_words(row, value_words) - self._now()
                    continue
                if order.lease_s:
                    value = registers.from_raw(row, registers.raw_of_words(row, value_words))
                    if self.values.get(row.name) != value or not self.owner.get(row.name):
                        self.since_s[row.name] = self._now()
                    self.values[row.name] = value
                    self.ends_s[row.name] = self._now() + order.lease_s
                    self.owner[row.name] = order.slot + 1
                else:
                    value = self.own(row.name)
                    self.owner[row.name] = 0
                self.accepted.append((order.counter, row.name, value, order.lease_s))
        self._file_receipt(
            order_frame.Receipt(order.slot, order.counter, result, 0, self.uptime_s, order.lease_s)
        )
        return True

    def _file_receipt(self, receipt: order_frame.Receipt) -> None:
        block = order_frame.encode_receipt(self.key, self.device_id, self.nonce, receipt)
        if self.forge_receipts:
            block = block[:-1] + bytes([block[-1] ^ 1])
        start = registers.RECEIPTS + receipt.slot * registers.RECEIPT_WORDS
        self.input[start : start + registers.RECEIPT_WORDS] = _words(block)

    def _file_status(self, words: list[int]) -> None:
        challenge = b"".join(word.to_bytes(2, "big") for word in words[1:5])
        points = registers.STATUS_POINTS[self.profile]
        shown = [self.input[registers.BY_NAME[name].address] for name in points]
        status = order_frame.Status(
            words[0], challenge, self.uptime_s, registers.map_hash(), 0, 0, self.nonce, 0, 0, 0, shown
        )
        block = _words(order_frame.encode_status(self.key, self.device_id, status))
        self.input[registers.STATUS_BLOCK : registers.STATUS_BLOCK + len(block)] = block

    def sim_device(self) -> SimDevice:
        """Return pymodbus' description of this device."""
        if not self.input[registers.RECEIPTS]:
            self._file_receipt(order_frame.Receipt(0, 0, order_frame.NONE, 0, self.uptime_s, 0))

        async def action(
            function: int,
            start: int,
            address: int,
            count: int,
            current: list[int],
            values: list[int] | list[bool] | None,
        ) -> ExcCodes | None:
            self.requests.append((function, address, count))
            if self.silent:
                await asyncio.Event().wait()
            self.refresh()
            if values is not None and address == registers.ORDER_MAILBOX:
                if self.lose_next_orders:
                    self.lose_next_orders -= 1
                    await asyncio.Event().wait()
                if not self.take([int(value) for value in values]):
                    self.refused_frames += 1
                    return ExcCodes.ILLEGAL_ADDRESS
                if self.swallow_next_answers:
                    self.swallow_next_answers -= 1
                    await asyncio.Event().wait()
            elif values is not None and address == registers.CHALLENGE_MAILBOX:
                self._file_status([int(value) for value in values])
            self.refresh()
            # FC23 reads its answer from the same numbers that it writes to
            for first, count_ in ((registers.RECEIPTS, 64), (registers.STATUS_BLOCK, 64)):
                here = first - HOLDING_FROM
                self.holding[here : here + count_] = self.input[first : first + count_]
            source = self.input if start == 0 else self.holding
            current[: len(source)] = source
            return None

        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        return SimDevice(
            self.unit,
            simdata=(
                bits,
                [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                [SimData(HOLDING_FROM, values=list(self.holding), datatype=DataType.REGISTERS)],
                [SimData(0, values=list(self.input), datatype=DataType.REGISTERS)],
            ),
            action=action,
        )


def write_keys(path: Path, controllers: list[PaperController]) -> None:
    """Write the supervisor's key file for these controllers."""
    content = {
        "format": "toplovod-keys/1",
        "slot": "supervisor",
        "epoch": 1,
        "devices": {controller.device_id.hex(): controller.key.hex() for controller in controllers},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))


def _words(block: bytes) -> list[int]:
    return [(block[i] << 8) | block[i + 1] for i in range(0, len(block), 2)]
