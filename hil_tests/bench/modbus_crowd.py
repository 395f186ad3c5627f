"""A controller in a crowd of clients that come, talk, break off and go; every byte to each is foreseen.

Frames are the oracle's business, who may stay is `Places`'. Each move ends when the controller has looked at
all that was sent, so that what comes next is the next move's. It refuses to take anything for granted: a
byte too many, a connection that ends or stays against the rule, and a register that moved are failures.
"""

from __future__ import annotations

import copy
import select
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware.substation import order_frame, registers

from .modbus_cases import runs, words
from .modbus_fuzz import LOOPBACK, framed, read_again, state_of
from .modbus_line import JudgedSerial
from .modbus_oracle import RING_ENTRY, Device, Oracle
from .provisioning import KEY_EPOCH, Ports
from .provisioning import Device as Provisioned
from .station import Bench

MASTERS, LOBBY = 4, 2  # docs/modbus.md
RECEIVE_BYTES = 260  # what the controller takes in one reading: only RTU over TCP can tell
SERIAL_CHUNK_BYTES = 32
PIECES_STAY_MS = 1_000  # a piece of RTU over TCP that is older belongs to nothing
LONGEST_DELAY_S = 600  # how long a value is held behind the end of its lease, by device id
STEP_S = 2
SILENCE_MS = 10  # enough for every answer, and it keeps seconds from passing in mid-frame
LONG_MS = 60_000
ANSWER_DEADLINE_S = 5.0  # of real time
BUDGET_KH = 600.0  # never spent: the oracle knows no deficit
SAVED_BY_S = 62  # the first refusals of a boot
GAP_MS = 2  # more than 1.5 characters at 19200 baud, less than 3.5
LEASES = tuple(lease for lease in registers.LEASES if not lease.setpoint.startswith("plant_"))
RECEIPT_RANGE = range(registers.RECEIPTS, registers.RECEIPTS + 4 * registers.RECEIPT_WORDS)
COUNTED = tuple(
    row.name
    for row in registers.BY_PROFILE[registers.SUBSTATION]
    if row.name.startswith("refused_") or row.name in ("accepted_order_count", "broadcast_count")
)
READS = [
    bytes((function,)) + words(at, min(125, first + size - at))
    for function, space in ((4, registers.INPUT), (3, registers.HOLDING))
    for first, size in runs(space)
    for at in range(first, first + size, 125)
]
DIAGNOSTICS = [b"\x08" + words(sub, 0) for sub in (12, 13, 14, 15, 11)]
RING_AT_ONCE = 11  # entries in an answer
# What time alone does not move. The leases' registers are judged by what was ordered.
STANDING = frozenset(
    row.name
    for row in registers.BY_PROFILE[registers.SUBSTATION]
    if row.space == registers.HOLDING
    or row.name.startswith(
        ("boot_", "broadcast_", "client_", "device_id_", "firmware_", "identity_", "image_", "last_refusal_",
         "legacy_", "limits_", "map_", "profile_", "refused_", "reset_", "task_restart_", "update_",
         "watchdog_")
    )
    or row.name.endswith(("_key_epoch_number", "_lease_number"))
    or row.name == "accepted_order_count"
)  # fmt: skip


def everything(device: Device) -> list[bytes]:
    """Return the requests whose answers tell all that a client can know: registers, counters, refusals."""
    entries = len(device.ring)
    files = [
        b"\x14\x07\x06" + words(1, 10 * at, 10 * min(RING_AT_ONCE, entries - at))
        for at in range(0, entries, RING_AT_ONCE)
    ]
    return READS + DIAGNOSTICS + files


@dataclass(eq=False)
class Guest:
    """One connection. rtu: its frames are RTU.

    rest: what the controller keeps of an unfinished frame. to_say: what the client has yet to say of it.
    """

    link: socket.socket
    rtu: bool = False
    rest: bytes = b""
    rest_ms: int = 0
    to_say: bytes = b""
    spoke: bool = False
    heard: int = 0


class Places:
    """Who may stay connected, read from docs/modbus.md: each call returns who has to go, or None."""

    def __init__(self) -> None:
        self.inside: list[Guest] = []
        self._turn = 0

    def come(self, guest: Guest) -> Guest | None:
        out = None
        if len(self.inside) == MASTERS + LOBBY:
            out = self._silent_longest(spoke=False) or self._silent_longest(spoke=True)
            self.leave(out)
        self.inside.append(guest)
        self._hear(guest)
        return out

    def speak(self, guest: Guest) -> Guest | None:
        """One whole frame came from the guest."""
        out = None
        if not guest.spoke and sum(other.spoke for other in self.inside) == MASTERS:
            out = self._silent_longest(spoke=True)
            self.leave(out)
        guest.spoke = True
        self._hear(guest)
        return out

    def leave(self, guest: Guest | None) -> None:
        if guest in self.inside:
            self.inside.remove(guest)

    def _hear(self, guest: Guest) -> None:
        self._turn += 1
        guest.heard = self._turn

    def _silent_longest(self, *, spoke: bool) -> Guest | None:
        return min((g for g in self.inside if g.spoke == spoke), key=lambda g: g.heard, default=None)


@dataclass
class OrderPlan:
    """What an order asks for, honest or not; the defaults are honest.

    pairs: (register, raw value), or (register, its words) where the register has several.
    """

    pairs: Sequence[tuple[int, int | tuple[int, ...]]]
    slot: int = order_frame.SUPERVISOR
    counter_ahead: int = 1
    not_after_ahead_s: int = 30
    lease_s: int = 1800
    function: int = 23
    epoch_ahead: int = 0

    def pdu(self, device: Device, provisioned: Provisioned) -> bytes:
        """Return the request, signed for the device as it stands."""
        order = order_frame.Order(
            self.slot,
            KEY_EPOCH + self.epoch_ahead,
            max(0, device.order_counter[self.slot] + self.counter_ahead),
            max(0, device.get("uptime_s") + self.not_after_ahead_s),
            self.lease_s,
            tuple((at, raw if isinstance(raw, tuple) else (raw & 0xFFFF,)) for at, raw in self.pairs),
        )
        frame: bytes = order_frame.encode_order(
            provisioned.slot_key(self.slot), device.block("device_id_high_code", 4),
            device.get("map_hash_code"), device.block("boot_count", 6), order,
        )  # fmt: skip
        count = len(frame) // 2
        body = words(registers.ORDER_MAILBOX, count) + bytes((2 * count,)) + frame
        if self.function == 16:
            return b"\x10" + body
        receipt = registers.RECEIPTS + self.slot * registers.RECEIPT_WORDS
        return b"\x17" + words(receipt, registers.RECEIPT_WORDS) + body


@dataclass
class Tally:
    """What a run came to, over all its crowds."""

    crowds: int = 0
    frames: int = 0
    acted: int = 0
    refused: int = 0
    restarts: int = 0
    pushed_out: int = 0
    leases_ended: int = 0


class Crowd:
    """One freshly started controller, and the clients around it.

    oracle: its class, so that a wrong one can be held beside a right controller. tally: is counted on.
    site: more rows of the controller's site.json.
    """

    def __init__(self, folder: Path, bundle: Path, revision: str, *, seed: int = 1,
                 oracle: type[Oracle] = Oracle, tally: Tally | None = None,
                 site: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        self.tally = Tally() if tally is None else tally
        self.tally.crowds += 1
        self._revision = revision
        self._oracle_class = oracle
        self._ports = Ports()
        self._rtu_port = self._ports.take()
        self.bench = Bench(folder, bundle=bundle, rtu=True, seed=seed)
        self.guests: list[Guest] = []
        self.orders: list[tuple[bytes, int]] = []
        """(request, boot count) of every order made."""
        self.controller = self.bench.start_controller(
            rtu_tcp_port=self._rtu_port, deficit_budget_kh=BUDGET_KH, **(site or {})
        )
        self.provisioned = self.controller.device
        self._meet()
        self._serial = JudgedSerial(self.bench.fleet.serial_lines[0].path, self.oracle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def _count(self, device: Device) -> None:
        self.tally.acted += device.acted
        self.tally.refused += sum(device.get(name) for name in COUNTED if name != "accepted_order_count")

    def close(self) -> None:
        self._count(self.device)
        for guest in self.guests:
            guest.link.close()
        self._plain.close()
        with self._serial:
            self.bench.close()
        self._ports.close()

    def _meet(self) -> None:
        """Connect the one client that always stays, and learn how the controller stands after a start."""
        self.places = Places()
        self._plain = self.controller.connect()
        self._standing = Guest(self._plain.socket)
        self.places.come(self._standing)
        self.device = state_of(self.provisioned, "emulated", self._revision, self._ask)
        self.oracle = self._oracle_class(self.device)

    # clients

    def come(self, *, rtu: bool = False) -> Guest:
        """Let a client connect, to the port for RTU or the usual one."""
        port = self._rtu_port if rtu else self.provisioned.port
        link = socket.create_connection((self.provisioned.host, port), timeout=ANSWER_DEADLINE_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        guest = Guest(link, rtu)
        self.guests.append(guest)
        out = self.places.come(guest)
        self._settle()
        self._must_make_room(out)
        return guest

    def say(self, guest: Guest, data: bytes) -> None:
        """Send the bytes in one segment; the foreseen answers come, or the foreseen end, and no byte more."""
        assert data, "nothing is no segment"
        out: list[Guest | None] = []
        expected, closed = self._foresee(guest, data, out)
        if closed:
            self.places.leave(guest)
        self.tally.frames += 1
        self.bench.clock.note_bus(data, True)
        guest.link.sendall(data)
        got = self._receive(guest, len(expected))  # before others speak, whose requests count as well
        self._settle(turns=len(data) // RECEIVE_BYTES)
        self.bench.clock.note_bus(got, False)
        assert got == expected, _difference(data, expected, got)
        if closed:
            self._must_be_over(guest, f"after {data.hex()}")
        for other in out:
            self._must_make_room(other)

    def leave(self, guest: Guest, *, reset: bool = False) -> None:
        """Let a client close its connection, or reset it, whatever it has begun to say."""
        if reset:
            guest.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        guest.link.close()
        self.guests.remove(guest)
        self.places.leave(guest)
        self._settle()

    def look(self) -> None:
        """Let a fresh client read all there is; nobody else may have got a byte or lost a place."""
        fresh = self.come()
        self.say(fresh, b"".join(framed(b"T", pdu, self.device) for pdu in everything(self.device)))
        self.leave(fresh)
        for link in select.select([guest.link for guest in self.guests], [], [], 0)[0]:
            more = link.recv(1024)
            raise AssertionError(f"nobody foresaw {more.hex() or 'the end of a connection'}")

    def _settle(self, turns: int = 0) -> None:
        """Wait until the controller has looked at everything. turns: what it needs besides to read it all.

        In one turn it may first have to accept a client, in the next it reads what that sent, and the third
        answer is given when both are over.
        """
        self.device.put("client_count", len(self.places.inside))
        for _ in range(3 + turns):
            self._ask(b"\x08\0\0\0\0")
            self.device.seen += 1
            self.device.own += 1

    def _must_make_room(self, guest: Guest | None) -> None:
        if guest is not None:
            self.tally.pushed_out += 1
            self._must_be_over(guest, "to make room")

    def _must_be_over(self, guest: Guest, why: str) -> None:
        try:
            end = guest.link.recv(1)
        except TimeoutError:
            raise AssertionError(f"a connection should be over, {why}") from None
        except ConnectionError:
            end = b""
        assert end == b"", f"a connection should be over, {why}"
        guest.link.close()
        self.guests.remove(guest)

    def _foresee(self, guest: Guest, data: bytes, out: list[Guest | None]) -> tuple[bytes, bool]:
        expected, device = b"", self.device
        if guest.rest and guest.rtu and self.bench.clock.now_ms - guest.rest_ms > PIECES_STAY_MS:
            guest.rest = b""
            device.broken += 1
        while data:
            room = RECEIVE_BYTES - len(guest.rest)
            stream, data = guest.rest + data[:room], data[room:]
            while stream:
                # whoever speaks has a place before its answer is made: the answer may tell how many have one
                if self._is_whole_frame(guest, stream):
                    out.append(self.places.speak(guest))
                    device.put("client_count", len(self.places.inside))
                if guest.rtu:
                    answer, used = self.oracle.rtu_stream(stream, LOOPBACK)
                    closed = False
                else:
                    answer, used, closed = self.oracle.tcp(stream, LOOPBACK)
                if closed:
                    return expected, True
                if not used:
                    break
                expected += answer
                stream = stream[used:]
            guest.rest = stream
            guest.rest_ms = self.bench.clock.now_ms
        return expected, False

    def _is_whole_frame(self, guest: Guest, stream: bytes) -> bool:
        """Say whether the stream begins with a frame, whoever it is for, and not with noise or a piece."""
        if not guest.rtu:
            length = int.from_bytes(stream[4:6], "big")
            return len(stream) >= 6 and 2 <= length <= 254 and len(stream) >= 6 + length
        trial = copy.deepcopy(self.oracle)
        used = trial.rtu_stream(stream, LOOPBACK)[1]
        return used > 0 and trial.device.broken == self.device.broken

    def _receive(self, guest: Guest, count: int) -> bytes:
        got = b""
        while len(got) < count:
            try:
                part = guest.link.recv(count - len(got))
            except (TimeoutError, ConnectionError):
                break  # what is missing shows in the comparison
            if not part:
                break
            got += part
        return got

    def _ask(self, pdu: bytes) -> bytes:
        self.places.speak(self._standing)
        return self._plain.exchange(pdu)

    # the serial line

    def serial(self, pieces: Sequence[tuple[bytes, int]]) -> None:
        """Send each piece and let the line be silent so many ms behind it: 0, 2 (a gap) or 50 (an end)."""
        clock = self.bench.clock
        between, gap, broken = b"", False, False
        for data, silence_ms in pieces:
            if data:
                broken = broken or gap
                between += data
                self._serial.send(data)
                clock.note_bus(data, True)
                self._settle(turns=len(data) // SERIAL_CHUNK_BYTES)
            if silence_ms == GAP_MS:
                gap = gap or bool(between)
                self._pass_ms(GAP_MS)
            elif silence_ms:
                self._silence(between, broken, silence_ms)
                between, gap, broken = b"", False, False
        self._silence(between, broken, SILENCE_MS)

    def _silence(self, between: bytes, broken: bool, silence_ms: int) -> None:
        expected = b""
        if broken:
            self.device.broken += 1
        elif between:
            expected = self.oracle.rtu(between)
        # to the next full 10 ms: no second, and no control period, ends between a frame and its answer
        self._pass_ms(silence_ms + -(self.bench.clock.now_ms + silence_ms) % SILENCE_MS)
        got = self._serial.received()
        self.bench.clock.note_bus(got, False)
        assert got == expected, "serial line: " + _difference(between, expected, got)
        self._catch_up()

    def _pass_ms(self, ms: int) -> None:
        """Let only the controller's time pass; the plant stands still meanwhile."""
        clock = self.bench.clock
        clock.now_ms += ms
        clock.outputs = clock.fleet.exchange(clock.now_ms, clock.inputs)

    # time and power

    def pass_ticks(self, ticks: int) -> None:
        for _ in range(ticks):
            self.bench.clock.step()
        self._catch_up()

    def let_stand(self, seconds: int) -> None:
        """Let a long time pass in which the plant stands still."""
        for _ in range(-(-seconds * 1000 // LONG_MS)):
            self._pass_ms(LONG_MS)
        self._catch_up()

    def restart(self, off_ticks: int) -> None:
        """Pull the plug, wait, give power again: what was said and begun is over, what must last has."""
        before = self.device
        self._count(before)
        self.tally.restarts += 1
        for guest in self.guests:
            guest.link.close()
        self.guests.clear()
        self._plain.close()
        self.bench.cut(self.controller)
        for _ in range(off_ticks):
            self.bench.clock.step()
        self.bench.power(self.controller)
        self._meet()
        device = self.device
        assert device.boot == before.boot + 1
        assert device.block("boot_random_high_code", 4) != before.block("boot_random_high_code", 4)
        for name in COUNTED:
            assert device.get(name) == 0, f"{name} after a restart: {device.get(name)}"
        for lease in LEASES:
            self._assert_free(lease)
        device.ring = self._kept_refusals(before)

    def _kept_refusals(self, before: Device) -> list[list[int]]:
        """Read the refusals of earlier boots: nothing that was not, and something that was."""
        kept: list[list[int]] = []
        while True:
            pdu = b"\x14\x07\x06" + words(1, 10 * len(kept), 10)
            answer = self._ask(pdu)
            self.device.seen += 1
            self.device.own += 1
            if answer[0] != pdu[0]:
                self.device.exceptions += 1
                break
            kept.append(list(struct.unpack(RING_ENTRY, answer[4:])))
        known = {tuple(entry[:3]): entry for entry in before.pushed_out + before.ring}
        for entry in kept:
            was = known.get(tuple(entry[:3]))
            assert was is not None and was[3] >= entry[3] and was[4] <= entry[4], f"{entry} was never refused"
        fresh = [entry for entry in before.ring if entry[2] == before.boot & 0xFFFF]
        if fresh and before.get("uptime_s") - min(entry[4] for entry in fresh) > SAVED_BY_S:
            assert any(entry[2] == before.boot & 0xFFFF for entry in kept), "no refusal outlived the power"
        return kept

    def _catch_up(self) -> None:
        """Learn what time has moved; nothing else may have, but for leases whose time was up."""
        device = self.device
        before = {name: device.get(name) for name in STANDING}
        receipts = [device.input[address] for address in RECEIPT_RANGE]
        read_again(device, self.provisioned.profile, self._ask)
        now_s = device.get("uptime_s")
        for lease in LEASES:
            ends_s = device.ends.get(lease.setpoint)
            if ends_s is None:
                continue
            if before[lease.owner] and not device.get(lease.owner):
                assert now_s >= ends_s, f"{lease.setpoint}: its lease ended {ends_s - now_s} s too early"
                self._assert_free(lease)
                self.tally.leases_ended += 1
                del device.ends[lease.setpoint], before[lease.owner], before[lease.setpoint]
            else:
                late_s = now_s - ends_s
                assert late_s <= LONGEST_DELAY_S + STEP_S, f"{lease.setpoint}: held {late_s} s too long"
        for name, value in before.items():
            assert device.get(name) == value, f"{name}: {value} became {device.get(name)} by itself"
        assert receipts == [device.input[address] for address in RECEIPT_RANGE], "a receipt changed"

    def _assert_free(self, lease: registers.Lease) -> None:
        held = tuple(self.device.get(name) for name in (lease.owner, lease.setpoint, lease.seconds_left))
        none = registers.NO_VALUE[registers.BY_NAME[lease.setpoint].type] & 0xFFFF
        assert held == (0, none, 0), f"{lease.setpoint}: owner, value and seconds left are {held}"


def _difference(sent: bytes, expected: bytes, got: bytes) -> str:
    pairs = enumerate(zip(expected, got, strict=False))
    at = next((k for k, (one, other) in pairs if one != other), min(len(expected), len(got)))
    from_, to = max(0, at - 12), at + 24
    return (
        f"to {sent.hex()}: byte {at} of {len(expected)} expected, {len(got)} came; expected "
        f"{expected[from_:to].hex()}, got {got[from_:to].hex()}"
    )
