"""Modbus over real sockets and a serial line, with the whole firmware running: every byte is foreseen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench.modbus_cases import cases
from .bench.modbus_fuzz import FrameMaker, framed, honest_order
from .bench.modbus_line import JudgedController
from .bench.modbus_oracle import crc16
from .bench.provisioning import Ports
from .bench.station import Bench

FUZZED = int(os.environ.get("TOPLOVOD_FUZZ_LINE_FRAMES", "30_000"))  # over each line
SEED = int(os.environ.get("TOPLOVOD_FUZZ_SEED", "1"))
REVISION = "0.1"
SETTLED_S = 900.0  # the valve stands still by then
READ = bytes.fromhex("04 0028 0003")


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> Iterator[JudgedController]:
    ports = Ports()
    with (
        Bench(tmp_path_factory.mktemp("lines"), bundle=firmware_bundle, rtu=True) as bench,
        JudgedController(bench, ports.take(), REVISION) as made,
    ):
        bench.run_for(SETTLED_S)
        yield made
    ports.close()


@pytest.fixture
def judged(settled: JudgedController) -> JudgedController:
    """The one controller of this file, and the oracle as it stands after the tests before."""
    settled.read_again()
    settled.device.acted = 0
    return settled


def test_every_case_over_tcp(judged: JudgedController) -> None:
    with judged.tcp() as line:
        judged.read_again()  # one more client
        for _, pdu in cases():
            line.exchange(framed(b"T", pdu, judged.device))
        line.exchange(
            framed(b"T", honest_order(judged.device, judged.controller.device, 45.0), judged.device)
        )
    assert judged.device.acted == 1


def test_every_case_over_rtu_over_tcp(judged: JudgedController) -> None:
    with judged.rtu_over_tcp() as line:
        judged.read_again()
        for _, pdu in cases():
            line.exchange(framed(b"R", pdu, judged.device))
            line.settle()
        judged.read_again()
        line.exchange(
            framed(b"R", honest_order(judged.device, judged.controller.device, 45.0), judged.device)
        )
    assert judged.device.acted == 1


def test_every_case_over_the_serial_line(judged: JudgedController) -> None:
    with judged.serial() as line:
        for _, pdu in cases():
            judged.exchange_serial(line, framed(b"R", pdu, judged.device))
        order = honest_order(judged.device, judged.controller.device, 45.0)
        judged.exchange_serial(line, framed(b"R", order, judged.device))
    assert judged.device.acted == 1


@pytest.mark.slow
def test_s7_bent_frames_over_tcp(judged: JudgedController) -> None:
    maker = FrameMaker(SEED)
    with judged.tcp() as line:
        judged.read_again()
        for number in range(FUZZED):
            line.exchange(maker.tcp())
            if number % 1000 == 999:
                judged.pass_silence()
                line.settle()
                judged.read_again()
        closed = line.closed
    assert judged.device.acted == 0
    assert closed > FUZZED // 500  # lengths that no frame may have were among them


@pytest.mark.slow
def test_s7_bent_frames_over_the_serial_line(judged: JudgedController) -> None:
    maker = FrameMaker(SEED)
    with judged.serial() as line:
        for number in range(FUZZED):
            frame = maker.rtu(judged.device.rtu_unit)
            expected = line.expected(frame)
            line.send(frame)
            judged.pass_silence()
            got = line.received()
            assert got == expected, f"{number}: {frame.hex()}: {expected.hex()}, got {got.hex()}"
            if judged.bench.clock.now_ms % 1000 == 0:
                judged.read_again()
        judged.exchange_serial(line, framed(b"R", READ, judged.device))
    assert judged.device.acted == 0


# The serial line's own rules


def rtu(pdu: bytes, unit: int = 1) -> bytes:
    return bytes((unit,)) + pdu + crc16(bytes((unit,)) + pdu)


def test_a_frame_in_two_pieces_without_a_gap_is_answered(judged: JudgedController) -> None:
    frame = rtu(READ)
    with judged.serial() as line:
        for cut in range(1, len(frame)):
            line.send(frame[:cut])
            judged.wait_until_seen()
            line.send(frame[cut:])
            judged.pass_silence()
            assert line.received() == judged.oracle.rtu(frame)
            judged.read_again()


def test_a_gap_of_more_than_one_and_a_half_characters_breaks_the_frame(judged: JudgedController) -> None:
    frame = rtu(READ)
    with judged.serial() as line:
        for cut in range(1, len(frame)):
            line.send(frame[:cut])
            judged.pass_silence(2)
            line.send(frame[cut:])
            judged.pass_silence()
            assert line.received() == b"", cut
            judged.device.broken += 1
            judged.read_again()
            judged.exchange_serial(line, frame)
        judged.exchange_serial(line, rtu(b"\x08\0\x0c\0\0"))  # FC 8/12 counts each of them


def test_a_gap_of_50_ms_drops_the_piece_and_the_next_frame_is_answered(judged: JudgedController) -> None:
    frame = rtu(READ)
    with judged.serial() as line:
        for cut in range(1, len(frame)):
            line.send(frame[:cut])
            judged.pass_silence(50)
            assert line.received() == b""
            judged.device.broken += 1
            judged.read_again()
            judged.exchange_serial(line, frame)
        judged.exchange_serial(line, rtu(b"\x08\0\x0c\0\0"))


def test_no_answer_before_three_and_a_half_characters_are_over(judged: JudgedController) -> None:
    with judged.serial() as line:
        line.send(rtu(READ))
        judged.pass_silence(2)  # 3.5 characters at 19200 baud are 2.005 ms
        assert line.received() == b""
        judged.pass_silence(2)
        assert line.received() == judged.oracle.rtu(rtu(READ))


def test_s7_a_broadcast_is_silent_counted_and_without_effect(judged: JudgedController) -> None:
    with judged.serial() as line:
        before = judged.device.get("broadcast_count")
        order = honest_order(judged.device, judged.controller.device, 45.0)
        for pdu in (order, READ, b"\x06\0\x64\x11\x94", b"\x10\0\x64\0\1\2\x11\x94", b"\x08\0\1\0\0"):
            judged.exchange_serial(line, rtu(pdu, unit=0))
        judged.exchange_serial(line, rtu(READ))
        assert judged.device.get("broadcast_count") == before + 5
        assert judged.device.acted == 0
        judged.exchange_serial(line, rtu(order))  # the same bytes to our own unit are an order
    assert judged.device.acted == 1


@pytest.mark.parametrize("unit", [2, 17, 247, 248, 255])
def test_another_unit_is_not_answered(judged: JudgedController, unit: int) -> None:
    before = judged.device.get("broadcast_count")
    with judged.serial() as line:
        for pdu in (READ, b"\x06\0\x64\x11\x94", b"\x04\x02\x11\x94", b"\x84\x02", bytes(range(60))):
            judged.exchange_serial(line, rtu(pdu, unit))
        judged.exchange_serial(line, rtu(READ))
    assert judged.device.get("broadcast_count") == before


def test_what_came_while_the_controller_was_busy_is_told_apart(judged: JudgedController) -> None:
    """Another unit's talk, an outdated request of ours and a fresh one in one reading: one answer."""
    foreign = rtu(READ, 17) + rtu(b"\x04\x06\1\2\3\4\5\6", 17)
    with judged.serial() as line:
        line.send(foreign + rtu(READ) + rtu(b"\x08\0\0\xa5\x37"))
        judged.pass_silence()
        assert line.received() == rtu(b"\x08\0\0\xa5\x37")


def test_truncated_frames_with_a_matching_crc_are_no_frames(judged: JudgedController) -> None:
    """The length by the function code must hold as well: 57 of 60 000 truncated frames passed the CRC."""
    with judged.serial() as line:
        for pdu in (
            READ,
            b"\x10\0\x64\0\1\2\x11\x94",
            b"\x17\x03\xe8\0\1\x03\xe8\0\1\2\0\0",
            b"\x16\0\x64\0\0\0\1",
        ):
            for length in range(1, len(pdu)):
                judged.exchange_serial(line, rtu(pdu[:length]))
        judged.exchange_serial(line, rtu(READ))
