"""31 ways in which clients go wrong, the kinds that the reference lists, against the whole firmware.

Each row is what a client sends on a fresh connection and the only right answer, written by hand from the
messaging guide V1.0b and the application protocol; then other clients must still be served.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.substation import registers

from .bench.controller import Controller
from .bench.errors import ModbusSilent
from .bench.modbus import ModbusTcp
from .bench.station import Bench

MAGIC = registers.IDENTITY_MAGIC
READ = bytes.fromhex("0001 0000 0006 01 04 0000 0001")
REPLY = struct.pack(">HHHBBBH", 1, 0, 5, 1, 4, 2, MAGIC)
CLOSED = None


def adu(pdu: str, unit: int = 1, protocol: int = 0, length: int | None = None) -> bytes:
    body = bytes.fromhex(pdu)
    return struct.pack(">HHHB", 1, protocol, len(body) + 1 if length is None else length, unit) + body


# name, bytes sent, bytes answered before the read that follows; CLOSED = the connection ends
ROWS: list[tuple[str, bytes, bytes | None]] = [
    ("length field 0", adu("04 0000 0001", length=0), CLOSED),
    ("length field 1", adu("04 0000 0001", length=1), CLOSED),
    ("length field 255", adu("04 0000 0001", length=255), CLOSED),
    ("length field 65535", adu("04 0000 0001", length=0xFFFF), CLOSED),
    ("text of another protocol", b"GET / HTTP/1.1\r\nHost: house\r\n\r\n", CLOSED),
    ("protocol 1", adu("04 0000 0001", protocol=1), b""),
    ("protocol 65535", adu("06 0064 1194", protocol=0xFFFF), b""),
    ("another unit", adu("04 0000 0001", unit=2), b""),
    ("a function alone", adu("04"), adu("84 03")),
    ("a short read", adu("04 0000"), adu("84 03")),
    ("a long read", adu("04 0000 0001 00"), adu("84 03")),
    ("0 registers", adu("04 0000 0000"), adu("84 03")),
    ("126 registers", adu("04 0000 007e"), adu("84 03")),
    ("65535 registers", adu("04 0000 ffff"), adu("84 03")),
    ("120 registers over a gap", adu("04 0064 0078"), adu("84 02")),
    ("beyond the last address", adu("04 ffff 0002"), adu("84 02")),
    ("function 0", adu("00 0000 0001"), adu("80 01")),
    ("function 7", adu("07"), adu("87 01")),
    ("function 0x83, an exception as a request", adu("83 02"), adu("83 01")),
    ("function 0xff", adu("ff"), adu("ff 01")),
    ("a write beyond the map", adu("10 ffff 0001 02 1194"), adu("90 02")),
    ("a write with a wrong byte count", adu("10 0064 0001 03 119400"), adu("90 03")),
    ("a write of 0 registers", adu("10 0064 0000 00"), adu("90 03")),
    ("a write of 124 registers", adu("10 0064 007c f8" + "00" * 246), adu("90 03")),
    ("a coil neither on nor off", adu("05 0000 1234"), adu("85 03")),
    ("a diagnostic that does not exist", adu("08 0005 0000"), adu("88 01")),
]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> Iterator[Controller]:
    with Bench(tmp_path_factory.mktemp("malformed"), bundle=firmware_bundle) as bench:
        yield bench.start_controller()


def connect(controller: Controller) -> ModbusTcp:
    return controller.connect()


def answered(client: ModbusTcp) -> bool:
    """Say whether a read is answered; False where the connection is over or stays silent."""
    try:
        client.send(READ)
        return client.receive(len(REPLY)) == REPLY
    except (ModbusSilent, ConnectionError):
        return False


def served(controller: Controller) -> None:
    with connect(controller) as other:
        assert answered(other)


def is_over(client: ModbusTcp) -> bool:
    try:
        return client.socket.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(("sent", "answer"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_one_wrong_frame(controller: Controller, sent: bytes, answer: bytes | None) -> None:
    with connect(controller) as client:
        client.send(sent)
        if answer is CLOSED:
            assert is_over(client)
        else:
            client.send(READ)
            assert client.receive(len(answer) + len(REPLY)) == answer + REPLY
    served(controller)


def test_a_header_that_stays_short_holds_up_nobody(controller: Controller) -> None:
    with connect(controller) as client:
        client.send(READ[:5])
        served(controller)
        client.send(READ[5:])
        assert client.receive(len(REPLY)) == REPLY


def test_byte_by_byte(controller: Controller) -> None:
    with connect(controller) as client:
        for byte in READ * 2:
            client.send(bytes((byte,)))
        assert client.receive(2 * len(REPLY)) == REPLY * 2


def test_ten_requests_in_one_go(controller: Controller) -> None:
    with connect(controller) as client:
        client.send(READ * 10)
        assert client.receive(10 * len(REPLY)) == REPLY * 10


def test_twenty_idle_clients_and_the_twenty_first(controller: Controller) -> None:
    with contextlib.ExitStack() as stack:
        masters = [stack.enter_context(connect(controller)) for _ in range(4)]
        for client in masters:
            assert answered(client)
        for _ in range(20):
            stack.enter_context(connect(controller))
        served_now = stack.enter_context(connect(controller))
        for client in masters:
            assert answered(client)
        assert answered(served_now)
        assert is_over(masters[0])  # the master that was silent longest made room


def test_a_flooder_that_never_reads(controller: Controller) -> None:
    with connect(controller) as deaf, connect(controller) as other:
        deaf.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 50_000_000:
                sent += deaf.socket.send(READ * 500)
        assert sent < 50_000_000  # the controller stopped reading, as nobody takes its answers
        for _ in range(100):
            assert answered(other)
    served(controller)


def test_the_31_are_31() -> None:
    others = [name for name in globals() if name.startswith("test_")]
    assert len(ROWS) + len(others) - len(("test_one_wrong_frame", "test_the_31_are_31")) == 31
