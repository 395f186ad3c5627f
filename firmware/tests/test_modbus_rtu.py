"""RTU frames: CRC, length by function, units, and several frames between two silences."""

import pytest

from firmware.substation.modbus_diagnostics import Diagnostics
from firmware.substation.modbus_rtu import DROP, WAIT, Rtu, crc, crc_holds, request_length

UNIT = 17
SOURCE = 1


class ServerDouble:
    """Answers every PDU with its function and AA, and remembers what it was asked."""

    def __init__(self):
        self.diagnostics = Diagnostics(((0, b"V"), (1, b"P"), (2, b"R")), 1)
        self.asked = []
        self.broadcasts = 0

    def respond(self, frame, pdu, size, out, broadcast, source):
        assert not broadcast
        self.asked.append(bytes(frame[pdu : pdu + size]))
        out[7] = frame[pdu]
        out[8] = 0xAA
        return 2

    def broadcast(self, source):
        self.broadcasts += 1


@pytest.fixture
def server():
    return ServerDouble()


@pytest.fixture
def rtu(server):
    return Rtu(server, UNIT)


def adu(pdu, unit=UNIT):
    frame = bytes((unit,)) + bytes.fromhex(pdu)
    value = crc(frame, 0, len(frame))
    return frame + bytes((value & 0xFF, value >> 8))


def answer(rtu, between):
    """Return the answer to what came between two silences."""
    out = bytearray(262)
    at = rtu.find_last(between, len(between), SOURCE)
    if at < 0:
        return b""
    size = rtu.answer(between, at, len(between) - at, out, SOURCE)
    return bytes(out[rtu.response_begins : rtu.response_begins + size])


READ = "04 0028 0001"
ECHO_OF_THREE = "08 0000 1111 2222 3333"


def test_the_crc_of_the_guides_example():
    """Serial line guide V1.02, appendix B: 02 07 gives 12 41 on the wire."""
    assert crc(bytes((0x02, 0x07)), 0, 2) == 0x1241
    assert crc_holds(bytes((0x02, 0x07, 0x41, 0x12)), 0, 4)
    assert not crc_holds(bytes((0x02, 0x07, 0x12, 0x41)), 0, 4)


LENGTHS = [
    ("01 0000 0001", 8), ("02 0000 0001", 8), ("03 0000 0001", 8), (READ, 8), ("05 0000 ff00", 8),
    ("06 0000 0001", 8), ("07", 4), ("08 0000 1234", 8), ("0b", 4), ("0c", 4), ("0f 0000 0008 01 ff", 10),
    ("10 0000 0002 04 00010002", 13), ("11", 4), ("14 07 06 0001 0000 0001", 12),
    ("15 09 06 0001 0000 0001 0000", 14), ("16 0000 0000 0000", 10),
    ("17 0000 0001 0000 0001 02 0000", 15), ("18 0000", 6), ("2b 0e 01 00", 7),
]  # fmt: skip


@pytest.mark.parametrize(("pdu", "length"), LENGTHS, ids=[row[0] for row in LENGTHS])
def test_the_length_by_the_function_is_the_length_of_the_frame(rtu, server, pdu, length):
    frame = adu(pdu)
    assert request_length(frame, 0, len(frame)) == length == len(frame)
    assert rtu.frame_length(frame, 0, len(frame)) == length
    for cut in range(1, length):
        assert rtu.frame_length(frame, 0, cut) == WAIT
    assert answer(rtu, frame) == adu(pdu[:2] + "aa")
    assert server.asked == [frame[1:-2]]


@pytest.mark.parametrize("pdu", [row[0] for row in LENGTHS])
def test_s7_a_matching_crc_is_not_enough(rtu, server, pdu):
    """Cut anywhere, or with a byte more, and given a new CRC: no frame of any of these functions."""
    whole = bytes.fromhex(pdu)
    for size in [*range(1, len(whole)), len(whole) + 1]:
        broken = adu((whole + b"\0")[:size].hex())
        if request_length(broken, 0, len(broken)) == len(broken):
            continue  # cut into the whole frame of another length, byte count included
        assert answer(rtu, broken) == b"", size
        assert rtu.frame_length(broken, 0, len(broken)) in (WAIT, DROP)
    assert server.asked == []


@pytest.mark.parametrize("pdu", ["64", "64 00 01 02", "2b 0d 00 00", "83 02", ECHO_OF_THREE])
def test_without_a_rule_a_frame_is_as_long_as_the_silence_says(rtu, server, pdu):
    frame = adu(pdu)
    assert answer(rtu, frame) == adu(pdu[:2] + "aa")
    assert rtu.frame_length(frame, 0, len(frame)) == len(frame)


def test_every_flipped_bit_is_noise(rtu, server):
    frame = adu(READ)
    for bit in range(8 * len(frame)):
        spoiled = bytearray(frame)
        spoiled[bit // 8] ^= 1 << (bit % 8)
        assert answer(rtu, bytes(spoiled)) == b"", bit
    assert server.asked == []
    assert rtu.diagnostics.broken == 8 * len(frame)


def test_s7_a_broadcast_is_counted_and_goes_no_further(rtu, server):
    for pdu in (READ, "06 0064 1194", "10 03e8 0001 02 0000", "64"):
        assert answer(rtu, adu(pdu, unit=0)) == b""
    assert server.asked == []
    assert server.broadcasts == 4


@pytest.mark.parametrize("unit", [1, 16, 18, 247, 248, 255])
def test_another_units_talk_is_not_ours(rtu, server, unit):
    for pdu in (READ, "04 02 1194", "84 02", "10 0064 0001", "2b 0e 01 82 00 00 01 00 01 41"):
        assert answer(rtu, adu(pdu, unit)) == b""
    assert server.asked == []
    assert rtu.diagnostics.frames == 5
    assert rtu.diagnostics.broken == 0


def test_of_several_frames_between_two_silences_the_last_is_answered(rtu, server):
    earlier = adu(READ, 3) + adu("04 04 1122 3344", 3) + adu("06 0064 1194") + adu(READ, 0)
    assert answer(rtu, earlier + adu("11")) == adu("11 aa")
    assert server.asked == [b"\x11"]
    assert server.broadcasts == 1
    assert rtu.diagnostics.frames == 5


def test_what_stands_behind_a_frame_and_is_none_spoils_it(rtu, server):
    for noise in (b"\x11", b"\0\0\0", bytes(range(40))):
        assert answer(rtu, adu(READ) + noise) == b""
    assert server.asked == []


def test_too_long_or_too_short_is_noise(rtu, server):
    for between in (b"\x11", b"\x11\x04", adu(READ)[:3], adu("64" + "00" * 253), bytes(512)):
        assert answer(rtu, between) == b""
    assert server.asked == []


def test_silences_follow_the_baud_rate(in_vm):
    """Serial line guide V1.02, 2.5.1.1: 1.5 and 3.5 characters of 11 bits, fixed above 19 200 baud."""
    printed = in_vm(
        "from substation.modbus_serial import silences_us\n"
        "print([silences_us(b) for b in (1200, 9600, 19200, 38400, 115200)])\n"
    )
    assert printed.strip() == "[(13750, 32084), (1719, 4011), (860, 2006), (750, 1750), (750, 1750)]"
