"""A million bent frames for a controller's stack, and the oracle's verdict on every byte it says.

Every twentieth batch ends with an honest order, so that a stack that had stopped acting would be noticed
as well as one that acts on something else: what an order may change is digested after each batch. It
refuses to be random without a seed: a finding is repeated by its seed and its number.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware.substation import order_frame, registers

from .modbus_cases import cases, runs, words
from .modbus_oracle import Device, Oracle, crc16, reads_event_log
from .provisioning import KEY_EPOCH, firmware_bundle
from .provisioning import Device as Provisioned

FEEDER = Path(__file__).parent / "vm" / "modbus_feeder.py"
LOOPBACK = 0x7F000001
PIPE_BYTES = 1 << 20
BATCH = 100
ORDER_EVERY = 20  # batches
EDGES = (
    0,
    1,
    2,
    7,
    8,
    123,
    124,
    125,
    126,
    127,
    128,
    255,
    256,
    1000,
    1080,
    1100,
    2000,
    0x7FFF,
    0x8000,
    0xFFFF,
)
ORDERED = registers.BY_NAME["secondary_supply_temp_sp_c"]


def objects_of(board: str, profile: str, revision: str) -> tuple[tuple[int, bytes], ...]:
    """Return what FC 43/14 must tell of a controller."""
    kind = profile.replace("_", " ")
    texts = ("Toplovod", f"toplovod-{profile.replace('_', '-')}", revision,
             f"District heating {kind} controller", board)  # fmt: skip
    return tuple(zip((0, 1, 2, 4, 5), (text.encode() for text in texts), strict=True))


class FrameMaker:
    """Bent frames without end; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._templates = [pdu for _, pdu in cases()]

    def pdu(self) -> bytes:
        """Return one request of 1 to 253 bytes, most of them almost right."""
        draw = self._random.random
        below = self._random.randrange
        what = below(16)
        template = self._templates[int(draw() * len(self._templates))]
        if what < 3:
            return template
        if what == 3:
            return self._random.randbytes(1 + below(24 if draw() < 0.95 else 253))
        bent = bytearray(template)
        if what < 9:
            for _ in range(1 + below(3)):
                bent[below(len(bent))] ^= 1 << below(8)
        elif what < 11:
            bent[below(len(bent))] = below(256)
        elif what < 13:
            if len(bent) > 2:
                at = 1 + 2 * below((len(bent) - 1) // 2)
                bent[at : at + 2] = EDGES[below(len(EDGES))].to_bytes(2, "big")
        elif what == 13:
            del bent[1 + below(len(bent)) :]
        elif what == 14:
            bent += self._random.randbytes(1 + below(8))
        else:
            bent[0] = below(256)
        return template if reads_event_log(bytes(bent[:253])) else bytes(bent[:253])

    def tcp(self) -> bytes:
        """Return a frame with its header, one in sixteen with a bent header."""
        pdu = self.pdu()
        below = self._random.randrange
        tid, protocol, length, unit = below(65536), 0, len(pdu) + 1, 1
        what = below(64)
        if what == 0:
            protocol = below(65536)
        elif what == 1:
            length = EDGES[below(len(EDGES))]
        elif what == 2:
            unit = below(256)
        elif what == 3:
            unit = 0 if below(2) else 255
        return struct.pack(">HHHB", tid, protocol, length, unit) + pdu

    def rtu(self, unit: int) -> bytes:
        """Return a frame with its CRC, one in eight broken, foreign, cut or to everyone."""
        below = self._random.randrange
        what = below(64)
        if what == 0:
            unit = 0
        elif what == 1:
            unit = below(256)
        frame = bytes((unit,)) + self.pdu()
        frame += crc16(frame)
        if what == 2:
            return self._random.randbytes(1 + below(40))
        if what in (3, 4):
            return frame[: below(len(frame)) or 1]
        if what in (5, 6):
            at = below(len(frame))
            return frame[:at] + bytes((frame[at] ^ 1 << below(8),)) + frame[at + 1 :]
        return frame


@dataclass
class Tally:
    """What a run came to."""

    frames: int = 0
    answered_bytes: int = 0
    wrong: int = 0
    escaped: int = 0
    changed: int = 0
    """Batches without an honest order after which a setpoint, lease, key or counter was another."""
    orders: int = 0


class Feeder:
    """The VM with the whole application, fed without sockets. bundle: what it runs; shipped when None."""

    def __init__(
        self, device: Provisioned, console: Path, heap: str = "1m", bundle: Path | None = None
    ) -> None:
        manifest = (bundle or firmware_bundle(console.parent / "bundle")) / "manifest.json"
        read_in, self._to = os.pipe()
        self._from, write_out = os.pipe()
        for handle in (self._to, self._from):
            fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._console = console.open("wb")
        self.console = console
        self._process = subprocess.Popen(
            [sys.executable, "-m", "micropython", "-X", f"heapsize={heap}", str(FEEDER),
             str(device.board.flash.resolve()), str(read_in), str(write_out), str(manifest)],
            stdin=subprocess.DEVNULL, stdout=self._console, stderr=subprocess.STDOUT,
            pass_fds=(read_in, write_out),
        )  # fmt: skip
        os.close(read_in)
        os.close(write_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        os.close(self._to)
        os.close(self._from)
        self._process.wait(30)
        self._console.close()

    def send(self, kind: bytes, frames: list[bytes]) -> None:
        body = b"".join(len(frame).to_bytes(2, "little") + frame for frame in frames)
        os.write(self._to, struct.pack("<BxHI", kind[0], len(frames), len(body)) + body)

    def receive(self) -> tuple[bytes, bytes, int]:
        """Return (responses, digest of what orders may change, escaped exceptions) of the oldest batch."""
        size = struct.unpack("<I", self._exactly(4))[0]
        rest = self._exactly(size + 36)
        return rest[:size], rest[size : size + 32], struct.unpack("<I", rest[size + 32 :])[0]

    def _exactly(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = os.read(self._from, count - len(parts))
            if not part:
                raise RuntimeError(f"the VM ended: {self.console.read_text(errors='replace')[-2000:]}")
            parts += part
        return parts

    def ask(self, kind: bytes, frames: list[bytes]) -> tuple[bytes, bytes, int]:
        self.send(kind, frames)
        return self.receive()

    def ask_pdu(self, pdu: bytes) -> bytes:
        """Send one request as Modbus TCP to unit 1; return the response PDU."""
        return self.ask(b"T", [struct.pack(">HHHB", 0, 0, len(pdu) + 1, 1) + pdu])[0][7:]


def state_of(provisioned: Provisioned, board: str, revision: str, ask: Callable[[bytes], bytes]) -> Device:
    """Return the oracle's device as the real one stands, freshly booted. ask: request PDU to response PDU."""
    device = Device({}, {}, objects_of(board, provisioned.profile, revision))
    device.slot_keys = {slot: provisioned.slot_key(slot) for slot in range(4)}
    read_again(device, provisioned.profile, ask)
    device.boot = device.get("boot_count")
    return device


def read_again(device: Device, profile: str, ask: Callable[[bytes], bytes]) -> None:
    """Bring the oracle's registers up to date after time has passed; each reading counts as a request."""
    for function, space, store in (
        (4, registers.INPUT, device.input), (3, registers.HOLDING, device.holding)
    ):  # fmt: skip
        for first, count in runs(space, profile):
            for at in range(first, first + count, 125):
                size = min(125, first + count - at)
                answer = ask(bytes((function,)) + words(at, size))
                if answer[0] != function:
                    raise RuntimeError(f"registers {at} to {at + size - 1} cannot be read: {answer.hex()}")
                store.update(enumerate(struct.unpack(f">{size}H", answer[2:]), at))
                device.seen += 1
                device.own += 1


def honest_order(device: Device, provisioned: Provisioned, temp_c: float) -> bytes:
    """Return the PDU (FC 23) of an order for the supply temperature and its receipt."""
    counter = device.order_counter[order_frame.SUPERVISOR] + 1
    raw = registers.words_of_raw(ORDERED, registers.to_raw(ORDERED, temp_c))
    order = order_frame.Order(
        order_frame.SUPERVISOR,
        KEY_EPOCH,
        counter,
        device.get("uptime_s") + 30,
        1800,
        ((ORDERED.address, raw),),
    )
    frame: bytes = order_frame.encode_order(
        provisioned.slot_key(order_frame.SUPERVISOR), device.block("device_id_high_code", 4),
        device.get("map_hash_code"), device.block("boot_count", 6), order,
    )  # fmt: skip
    count = len(frame) // 2
    head = words(registers.RECEIPTS, registers.RECEIPT_WORDS, registers.ORDER_MAILBOX, count)
    return b"\x17" + head + bytes((2 * count,)) + frame


def fuzz_in_process(
    feeder: Feeder, oracle: Oracle, provisioned: Provisioned, kind: bytes, frames: int, seed: int,
    progress: Callable[[int], None] | None = None,
) -> Tally:  # fmt: skip
    """Feed so many bent frames, kind b"T" (Modbus TCP) or b"R" (RTU); judge every answer.

    The VM works on one batch while the oracle judges the one before.
    """
    maker = FrameMaker(seed)
    tally = Tally()
    device = oracle.device
    _, before, _ = feeder.ask(kind, [])
    waiting: tuple[list[bytes], bytes, bool] | None = None
    number = 0
    while tally.frames < frames or waiting is not None:
        fresh = None
        if tally.frames < frames:
            make = maker.tcp if kind == b"T" else lambda: maker.rtu(device.rtu_unit)
            batch = [make() for _ in range(min(BATCH, frames - tally.frames))]
            ordering = number % ORDER_EVERY == 1
            if ordering:
                batch[-1] = framed(
                    kind, honest_order(device, provisioned, 40.0 + number // ORDER_EVERY % 20), device
                )
            feeder.send(kind, batch)
            expected = b"".join(verdict(oracle, kind, frame) for frame in batch)
            fresh = (batch, expected, ordering)
            tally.frames += len(batch)
            number += 1
        if waiting is not None:
            batch, expected, ordering = waiting
            got, digest, escaped = feeder.receive()
            tally.escaped += escaped
            tally.answered_bytes += len(got)
            tally.orders += ordering
            if got != expected:
                tally.wrong += 1
                raise AssertionError(_first_difference(batch, expected, got, kind, seed, tally.frames))
            if (digest != before) != ordering:
                tally.changed += 1
            before = digest
            if progress:
                progress(tally.frames)
        waiting = fresh
    return tally


def framed(kind: bytes, pdu: bytes, device: Device) -> bytes:
    if kind == b"T":
        return struct.pack(">HHHB", 1, 0, len(pdu) + 1, device.unit) + pdu
    frame = bytes((device.rtu_unit,)) + pdu
    return frame + crc16(frame)


def verdict(oracle: Oracle, kind: bytes, frame: bytes) -> bytes:
    if kind == b"T":
        return oracle.tcp(frame, LOOPBACK)[0]
    return oracle.rtu_stream(frame, LOOPBACK)[0]


def _first_difference(
    batch: list[bytes], expected: bytes, got: bytes, kind: bytes, seed: int, frames: int
) -> str:
    at = next((k for k, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b),
              min(len(expected), len(got)))  # fmt: skip
    return (
        f"kind {kind!r}, seed {seed}, in the {len(batch)} frames before number {frames}: byte {at} of "
        f"{len(expected)} expected, {len(got)} came; expected {expected[max(0, at - 12) : at + 24].hex()}, "
        f"got {got[max(0, at - 12) : at + 24].hex()}"
    )
