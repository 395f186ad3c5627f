"""The same clients where more is permitted than reading: legacy mode, and an update that is open.

Every byte is foreseen here too. What is permitted is all that happens: no setpoint moves but what the one
master may write, and no program is ready but the one that was ordered and signed.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from firmware.substation import order_frame, registers

from .bench.modbus_crowd import LEASES, LONGEST_DELAY_S, STEP_S, OrderPlan
from .bench.modbus_fuzz import LOOPBACK, Feeder, framed, read_again
from .bench.modbus_oracle import SERIAL_SOURCE, Device, Oracle
from .bench.modbus_permitted import DIGEST, PREFIX_BYTES, Intake, LegacyOracle, UpdatingOracle
from .bench.updater import (
    DROP,
    FAILED,
    FILES_COME,
    HEAD_COMES,
    OPEN,
    PIECE_BYTES,
    READY,
    RECORDS,
    VERIFYING,
    WRITE_FILE_RECORD,
    opening_of,
)
from .tests.modbus_machines import (
    CROWDS,
    STANDING,
    AmongClients,
    WithoutSockets,
    explore,
    inside,
    kinds,
    numbers,
    of,
    ways,
)

# legacy mode

PERMITTED = ("primary_flow_limit_sp_m3_h", "primary_return_limit_sp_c", "curve_shift_sp_k")
LEASE_S = 300
FOREIGN = "10.9.9.9"


def legacy_from(master: str) -> dict[str, Any]:
    return {"legacy": {"from": master, "registers": list(PERMITTED), "lease_s": LEASE_S}}


class FromLoopback(LegacyOracle):
    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.permit(LOOPBACK, PERMITTED, LEASE_S)


class FromTheLine(LegacyOracle):
    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.permit(SERIAL_SOURCE, PERMITTED, LEASE_S)


@st.composite
def plain_writes(draw: st.DrawFn) -> bytes:
    """FC 6 or 16 to setpoints or beside them, inside the limits or beyond."""
    names = sorted((lease.setpoint for lease in LEASES), key=lambda name: registers.BY_NAME[name].address)
    first = draw(st.integers(0, len(names) - 1))
    count = draw(st.sampled_from((1, 1, 2, 3)))
    address = registers.BY_NAME[names[first]].address + draw(st.sampled_from((0, 0, 0, 0, 1)))
    far = draw(st.booleans())
    values = [
        draw(st.integers(0, 65_535)) if far else inside(draw, names[(first + k) % len(names)]) & 0xFFFF
        for k in range(count)
    ]
    if count == 1 and draw(st.booleans()):
        return struct.pack(">BHH", 6, address, values[0])
    return struct.pack(f">BHHB{count}H", 16, address, count, 2 * count, *values)


@st.composite
def permitted_writes(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(PERMITTED))
    return struct.pack(">BHH", 6, registers.BY_NAME[name].address, inside(draw, name) & 0xFFFF)


class LegacyWithoutSockets(WithoutSockets):
    """A controller in legacy mode, inside its VM."""

    oracle = FromLoopback
    site = legacy_from("127.0.0.1")

    @rule(kind=kinds, write=plain_writes())
    def writes_plainly(self, kind: bytes, write: bytes) -> None:
        self.feed(kind, [framed(kind, write, self.device)])


class LegacyAmongClients(AmongClients):
    """A controller in legacy mode over real sockets and a serial line, in lockstep."""

    oracle: type[Oracle] = FromLoopback
    way = "tcp"
    site = legacy_from("127.0.0.1")

    @rule(way=ways, number=numbers, write=plain_writes())
    def writes_plainly(self, way: str, number: int, write: bytes) -> None:
        self.put(way, number, write)

    @rule(number=numbers, write=permitted_writes())
    def writes_and_never_repeats(self, number: int, write: bytes) -> None:
        """The one master sets a point, and its lease ends while nobody speaks."""
        self.put(self.way, number, write)
        self.crowd.let_stand(LEASE_S + LONGEST_DELAY_S + STEP_S)


class LegacyByTheLine(LegacyAmongClients):
    oracle = FromTheLine
    way = "serial"
    site = legacy_from("rtu")


@pytest.mark.slow
def test_s7_legacy_mode_lets_one_master_write_what_is_named_and_nothing_else(firmware_bundle: Path) -> None:
    machine = of(LegacyWithoutSockets, firmware_bundle, FromLoopback)
    explore(machine, STANDING // 3, 100)
    print(machine.tally)
    assert machine.tally.acted


def test_s7_legacy_mode_is_for_its_master_alone(firmware_bundle: Path) -> None:
    """Without sockets everybody is the loopback; the master is somebody else, so nothing is permitted."""
    machine = of(LegacyWithoutSockets, firmware_bundle, Oracle)
    machine.site = legacy_from(FOREIGN)
    explore(machine, 2, 50)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [LegacyAmongClients, LegacyByTheLine])
def test_s7_legacy_mode_over_the_wire_gives_way_to_every_key(
    firmware_bundle: Path, machine: type[Any]
) -> None:
    made = of(machine, firmware_bundle, machine.oracle)
    explore(made, CROWDS // 2)
    print(made.tally)
    assert made.tally.acted and made.tally.refused and made.tally.leases_ended


class OutranksKeys(FromLoopback):
    """It lets the master without a key write what an order holds."""

    def _judge(self, slot: int, lease_s: int, pairs: Any) -> tuple[str, int]:
        verdict = super()._judge(slot, lease_s, pairs)
        return ("accepted", 0) if verdict[0] == "lease" else verdict


class MayLeaveLimits(FromLoopback):
    def _within(self, lease: registers.Lease, raw: int) -> bool:
        return True


# an update


SIGNED_AS = b"toplovod image1"  # and the SHA-256 of the text


def small_image(key: Ed25519PrivateKey) -> bytes:
    """A signed image of three files, one of them of one byte; nobody will run it."""
    files = {
        "boards/one.py": b"# one\n" * 60,
        "substation/three.py": bytes(range(256)) + b"three",
        "substation/two.py": b"2",
    }
    lines = [b"version 7", b"map %08x" % registers.map_hash()]
    lines += [
        b"%s %d %s" % (hashlib.sha256(content).hexdigest().encode(), len(content), path.encode())
        for path, content in files.items()
    ]
    body = b"".join(line + b"\n" for line in lines)
    text = b"toplovod-image/1 %05d\n" % (PREFIX_BYTES + len(body)) + body
    return text + key.sign(SIGNED_AS + hashlib.sha256(text).digest()) + b"".join(files.values())


KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a release key for tests alone").digest())
IMAGE = small_image(KEY)
OPENS = 8  # at once; time stands here


def records(
    *groups: tuple[int, bytes], reference: int = 6, file: int | None = None, beyond: int = 0
) -> bytes:
    """Return FC 21 with a group for each (place, bytes)."""
    body = b""
    for at, data in groups:
        number, record = divmod(at // 2, RECORDS)
        number = number + 1 if file is None else file
        body += struct.pack(">BHHH", reference, number, record + beyond, len(data) // 2) + data
    return struct.pack(">BB", WRITE_FILE_RECORD, len(body)) + body


class WhileUpdating(WithoutSockets):
    """A controller that takes in an image piece by piece, among all that others say to it meanwhile."""

    oracle = UpdatingOracle
    judge: UpdatingOracle
    reached: set[int]

    def prepare(self, flash: Path) -> None:
        (flash / "release.pub").write_bytes(KEY.public_key().public_bytes_raw())
        self.intake = Intake(IMAGE)

    def started(self) -> Feeder:
        feeder = super().started()
        self.intake.close()
        self.judge.intake = self.intake
        self.opens = 0
        return feeder

    def command(self, number: int, **more: int) -> None:
        """Order a command; what it changes is read again and must be what is foreseen."""
        device = self.device
        rows = [(registers.BY_NAME[name], value) for name, value in more.items()]
        rows.append((registers.BY_NAME["update_command_number"], number))
        pairs = [(row.address, registers.words_of_raw(row, value)) for row, value in rows]
        pdu = OrderPlan(pairs, lease_s=0, function=16).pdu(device, self.provisioned)
        answer, self._digest, escaped = self.feeder.ask(b"T", [framed(b"T", pdu, device)])
        assert answer[7] == pdu[0] and escaped == 0
        device.seen += 1
        device.own += 1
        device.order_counter[order_frame.SUPERVISOR] += 1
        accepted = device.get("accepted_order_count")
        read_again(device, self.provisioned.profile, self.feeder.ask_pdu)
        assert device.get("accepted_order_count") == accepted + 1
        self.compare()

    def compare(self) -> None:
        self.reached.add(self.intake.state)
        told = [self.device.get(f"update_{name}") for name in ("state_number", "cause_number", "next_b")]
        assert told == [self.intake.state, self.intake.cause, self.intake.next]

    @rule()
    def opens_it(self) -> None:
        if self.opens == OPENS:
            self.start_anew()
        self.opens += 1
        self.intake.open()
        self.command(OPEN, **opening_of(IMAGE))

    @precondition(lambda self: self.intake.is_open)
    @rule()
    def drops_it(self) -> None:
        self.intake.close()
        self.command(DROP)

    @precondition(lambda self: self.intake.state == VERIFYING)
    @rule()
    def time_passes(self) -> None:
        """The signature is verified, in between everything else."""
        self.verify()

    def verify(self) -> None:
        self.intake.verified()
        self.judge.show()
        _, digest, escaped = self.feeder.ask(b"V", [])
        assert digest == self._digest and escaped == 0

    def piece(self, at: int, size: int) -> tuple[int, bytes]:
        """Return (place, bytes) of the image from there on, in whole records."""
        at -= at % 2
        data = IMAGE[at : at + max(2, size)]
        return at, data + b"\0" * (len(data) % 2)

    def carry(self, kind: bytes, *groups: tuple[int, bytes], **wrong: int) -> None:
        self.feed(kind, [framed(kind, records(*groups, **wrong), self.device)])
        self.reached.add(self.intake.state)

    @precondition(lambda self: self.intake.state in (HEAD_COMES, FILES_COME))
    @rule(kind=kinds, size=st.integers(1, PIECE_BYTES), times=st.integers(1, 8))
    def goes_on(self, kind: bytes, size: int, times: int) -> None:
        for _ in range(times):
            self.carry(kind, self.piece(self.intake.next, size))

    @precondition(lambda self: self.intake.is_open)
    @rule(
        kind=kinds,
        at=st.integers(0, len(IMAGE) + 10) | st.just(2 * RECORDS),
        size=st.integers(1, PIECE_BYTES),
    )
    def sends_another_piece(self, kind: bytes, at: int, size: int) -> None:
        self.carry(kind, self.piece(at, size))

    @precondition(lambda self: self.intake.is_open)
    @rule(
        kind=kinds,
        sizes=st.lists(st.integers(2, 40), min_size=2, max_size=5),
        gap=st.sampled_from((0, 0, 2, -2)),
    )
    def sends_several_at_once(self, kind: bytes, sizes: list[int], gap: int) -> None:
        at, groups = self.intake.next, []
        for size in sizes:
            groups.append(self.piece(max(0, at), size))
            at += size - size % 2 + gap
        self.carry(kind, *groups)

    @precondition(lambda self: self.intake.state in (HEAD_COMES, FILES_COME))
    @rule(
        kind=kinds, size=st.integers(1, PIECE_BYTES), which=st.integers(0, PIECE_BYTES), by=st.integers(1, 9)
    )
    def exchanges_a_byte(self, kind: bytes, size: int, which: int, by: int) -> None:
        """In the length of the head a digit is exchanged for another: all else there is no number."""
        at, data = self.piece(self.intake.next, size)
        which %= len(data)
        bent = bytearray(data)
        if PREFIX_BYTES - 6 <= at + which < PREFIX_BYTES - 1:
            bent[which] = ord("0") + (bent[which] - ord("0") + by) % 10
        else:
            bent[which] ^= by
        self.carry(kind, (at, bytes(bent)))

    @precondition(lambda self: self.intake.is_open)
    @rule(
        kind=kinds,
        wrong=st.sampled_from(
            ({"reference": 5}, {"reference": 0}, {"file": 0}, {"file": 65_535}, {"beyond": RECORDS})
        ),
    )
    def refers_to_what_is_not_there(self, kind: bytes, wrong: dict[str, int]) -> None:
        self.carry(kind, self.piece(self.intake.next, 20), **wrong)

    @precondition(lambda self: self.intake.state in (HEAD_COMES, VERIFYING, FILES_COME))
    @rule(kind=kinds)
    def is_carried_to_its_end(self, kind: bytes) -> None:
        while self.intake.state in (HEAD_COMES, VERIFYING, FILES_COME):
            if self.intake.state == VERIFYING:
                self.verify()
            else:
                self.carry(kind, self.piece(self.intake.next, PIECE_BYTES))


@pytest.mark.slow
def test_s10_an_update_under_fire_takes_in_what_was_ordered_and_nothing_else(firmware_bundle: Path) -> None:
    machine = of(WhileUpdating, firmware_bundle, UpdatingOracle)
    machine.reached = set()
    explore(machine, STANDING // 2, 100)
    print(machine.tally, sorted(machine.reached))
    assert machine.reached >= {HEAD_COMES, VERIFYING, FILES_COME, READY, FAILED}


# The machines can fail: an oracle that is wrong in one point is found out.


class TakesAnotherHead(UpdatingOracle):
    """It goes on although the head is not the one that was ordered."""

    def show(self) -> None:
        if self.intake.cause == DIGEST:
            self.intake.state, self.intake.cause = VERIFYING, 0
        super().show()


@pytest.mark.parametrize(
    ("machine", "wrong"),
    [
        (LegacyWithoutSockets, OutranksKeys),
        (LegacyWithoutSockets, MayLeaveLimits),
        (WhileUpdating, TakesAnotherHead),
    ],
)
@pytest.mark.slow
def test_an_oracle_that_is_wrong_in_one_point_is_found_out(
    firmware_bundle: Path, machine: type[Any], wrong: type[Oracle]
) -> None:
    made = of(machine, firmware_bundle, wrong)
    made.reached = set()
    with pytest.raises(AssertionError):
        explore(made, CROWDS, 100, phases=[Phase.generate])
