"""Modbus, byte for byte: one row is one request and the only answer that is right.

Written by hand from the Modbus application protocol V1.1b3 and the messaging guide V1.0b, with the
project's rules on top: whatever would act is refused with 02, whatever is lacking with 01.
"""

import pytest

from firmware.substation import refusals as causes
from firmware.substation.modbus_diagnostics import Diagnostics
from firmware.substation.modbus_server import CLOSE, WAIT, ModbusServer
from firmware.substation.register_bank import RegisterBank

ORDER_WORDS = 18
SOURCE = 0x0A000301


class Tally:
    def __init__(self):
        self.noted = []

    def note(self, cause, source):
        assert source == SOURCE
        self.noted.append(cause)


class MailboxDouble:
    """Takes frames that begin with 0100 and keeps them."""

    def __init__(self):
        self.taken = []

    def take(self, frame, source):
        assert source == SOURCE
        assert isinstance(frame, bytes)
        self.taken.append(frame)
        return frame[:2] == b"\x01\x00"

    def status(self, slot, challenge):
        return bytes((1, slot)) + challenge + bytes(68)


OBJECTS = ((0, b"Vend"), (1, b"prod"), (2, b"1.2"), (4, b"name"), (5, b"model"))
BASIC = "00 04 56656e64 01 04 70726f64 02 03 312e32"
REST = "04 04 6e616d65 05 05 6d6f64656c"


class RecordsDouble:
    """File 1 has 120 registers; each holds its own number."""

    def read(self, file, record, count, out, at):
        if file != 1 or record + count > 120:
            return False
        for n in range(count):
            out[at + 2 * n : at + 2 * n + 2] = (record + n).to_bytes(2, "big")
        return True


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def mailbox():
    return MailboxDouble()


@pytest.fixture
def bank():
    bank = RegisterBank("substation")
    bank.put(bank.point("identity_magic_code"), 0x5456)
    bank.put(bank.point("outdoor_temp_c"), -5_000)
    bank.put(bank.point("primary_supply_temp_c"), 90_120)
    bank.put(bank.point("secondary_supply_temp_sp_c"), 45_000)
    bank.put_receipt(1, bytes(range(32)))
    return bank


@pytest.fixture
def server(bank, mailbox, tally):
    return ModbusServer(bank, mailbox, tally, 1, lambda: None, Diagnostics(OBJECTS, 1), RecordsDouble())


def adu(pdu, unit=1, transaction=0x1234, protocol=0, length=None):
    pdu = bytes.fromhex(pdu)
    size = len(pdu) + 1 if length is None else length
    return (
        transaction.to_bytes(2, "big")
        + protocol.to_bytes(2, "big")
        + size.to_bytes(2, "big")
        + bytes((unit,))
        + pdu
    )


def answer(server, frame):
    out = bytearray(260)
    length = server.frame_length(frame, 0, len(frame))
    assert length == len(frame)
    return bytes(out[: server.answer(frame, 0, length, out, SOURCE)])


ORDER = "0100" + "00" * (2 * ORDER_WORDS - 2)
BAD_ORDER = "0200" + "00" * (2 * ORDER_WORDS - 2)
CHALLENGE = "0001" + "a1a2a3a4a5a6a7a8"

# (name, request PDU, response PDU, cause noted)
ROWS = [
    ("read one input", "04 0028 0001", "04 02 fe0c", None),
    ("read two inputs", "04 004e 0002", "04 04 2334 8000", None),
    ("read a holding register", "03 0064 0001", "03 02 1194", None),
    ("read the identity", "04 0000 0001", "04 02 5456", None),
    ("read a receipt", "04 1f40 0001".replace("1f40", "03f8"), "04 02 0001", None),
    ("read 0 inputs", "04 0028 0000", "84 03", None),
    ("read 126 inputs", "04 0028 007e", "84 03", None),
    ("read 125 over a gap", "04 0028 007d", "84 02", None),
    ("read 65535 inputs", "04 0028 ffff", "84 03", None),
    ("read 0 holding", "03 0064 0000", "83 03", None),
    ("read 126 holding", "03 0064 007e", "83 03", None),
    ("read past the block", "04 008e 0002", "84 02", None),
    ("read before the block", "04 018f 0002", "84 02", None),
    ("read the last address", "04 ffff 0001", "84 02", None),
    ("read beyond the last address", "04 ffff 0002", "84 02", None),
    ("read an input by FC 3", "03 0028 0001", "83 02", None),
    ("read a holding register by FC 4", "04 012c 0001", "84 02", None),
    ("read the mailbox", "03 03e8 0001", "83 02", None),
    ("read the status block plainly", "04 044c 0001", "84 02", None),
    ("read with a short PDU", "04 0028", "84 03", None),
    ("read with a long PDU", "04 0028 0001 00", "84 03", None),
    ("a function and nothing else", "03", "83 03", None),
    ("coils: none in the map", "01 0000 0001", "81 02", None),
    ("coils: quantity 0", "01 0000 0000", "81 03", None),
    ("coils: quantity 2001", "01 0000 07d1", "81 03", None),
    ("coils: short", "01 0000", "81 03", None),
    ("discrete inputs: none in the map", "02 0000 07d0", "82 02", None),
    ("discrete inputs: quantity 2001", "02 0000 07d1", "82 03", None),
    ("write a coil", "05 0000 ff00", "85 02", causes.FUNCTION),
    ("write a coil, short", "05 0000 ff", "85 03", causes.MALFORMED),
    ("write a register", "06 0064 1194", "86 02", causes.FUNCTION),
    ("write the mailbox by FC 6", "06 03e8 0100", "86 02", causes.FUNCTION),
    ("write a register, long", "06 0064 1194 00", "86 03", causes.MALFORMED),
    ("write coils", "0f 0000 0008 01 ff", "8f 02", causes.FUNCTION),
    ("write coils, wrong count", "0f 0000 0009 01 ff", "8f 03", causes.MALFORMED),
    ("write coils, quantity 0", "0f 0000 0000 00", "8f 03", causes.MALFORMED),
    ("mask write", "16 0064 ffff 0000", "96 02", causes.FUNCTION),
    ("mask write, short", "16 0064 ffff 00", "96 03", causes.MALFORMED),
    ("write file record", "15 09 06 0001 0000 0001 0000", "95 02", causes.FUNCTION),
    ("write file record, wrong count", "15 08 06 0001 0000 0001 0000", "95 03", causes.MALFORMED),
    ("restart communications", "08 0001 0000", "88 02", causes.FUNCTION),
    ("restart and clear the log", "08 0001 ff00", "88 02", causes.FUNCTION),
    ("force listen only", "08 0004 0000", "88 02", causes.FUNCTION),
    ("clear counters", "08 000a 0000", "88 02", causes.FUNCTION),
    ("force listen only, short", "08 0004", "88 03", causes.MALFORMED),
    ("clear the overrun counter", "08 0014 0000", "88 02", causes.FUNCTION),
    ("change the delimiter", "08 0003 0a00", "88 02", causes.FUNCTION),
    ("return query data", "08 0000 1234", "08 0000 1234", None),
    ("return three words of query data", "08 0000 1234 5678 9abc", "08 0000 1234 5678 9abc", None),
    ("return query data, none", "08 0000", "88 03", None),
    ("return query data, half a word", "08 0000 12", "88 03", None),
    ("diagnostic register", "08 0002 0000", "08 0002 0000", None),
    ("diagnostic register, data", "08 0002 0001", "88 03", None),
    ("frames seen", "08 000b 0000", "08 000b 0001", None),
    ("frames broken", "08 000c 0000", "08 000c 0000", None),
    ("exceptions", "08 000d 0000", "08 000d 0000", None),
    ("frames for this unit", "08 000e 0000", "08 000e 0001", None),
    ("frames unanswered", "08 000f 0000", "08 000f 0000", None),
    ("NAK count", "08 0010 0000", "08 0010 0000", None),
    ("busy count", "08 0011 0000", "08 0011 0000", None),
    ("overrun count", "08 0012 0000", "08 0012 0000", None),
    ("frames seen, with data", "08 000b 0001", "88 03", None),
    ("sub-function 5", "08 0005 0000", "88 01", None),
    ("sub-function 19", "08 0013 0000", "88 01", None),
    ("sub-function 65535", "08 ffff 0000", "88 01", None),
    ("FC 8 alone", "08", "88 03", None),
    ("read exception status: lacking", "07", "87 01", None),
    ("event counter: lacking", "0b", "8b 01", None),
    ("event log: lacking", "0c", "8c 01", None),
    ("server id", "11", "11 0a 01 ff 70726f64 20 312e32", None),
    ("server id, too long", "11 00", "91 03", None),
    ("file record", "14 07 06 0001 0002 0003", "14 08 07 06 000200030004", None),
    ("two file records", "14 0e 06 0001 0000 0001 06 0001 0077 0001", "14 08 03 06 0000 03 06 0077", None),
    ("file record past the end", "14 07 06 0001 0077 0002", "94 02", None),
    ("file record of no file", "14 07 06 0002 0000 0001", "94 02", None),
    ("file record, reference type 5", "14 07 05 0001 0000 0001", "94 02", None),
    ("file record, no registers", "14 07 06 0001 0000 0000", "94 02", None),
    ("file record, 120 registers", "14 07 06 0001 0000 0078",
     "14 f2 f1 06" + "".join(f"{n:04x}" for n in range(120)), None),
    ("file record, more than a response holds", "14 07 06 0001 0000 007d", "94 03", None),
    ("two file records, more than a response holds",
     "14 0e 06 0001 0000 003e 06 0001 0000 003e", "94 03", None),
    ("file record, byte count off", "14 08 06 0001 0000 0001", "94 03", None),
    ("file record, half a group", "14 0a 06 0001 0000 0001 06 0001", "94 03", None),
    ("file record, header alone", "14", "94 03", None),
    ("FIFO queue", "18 0000", "98 02", None),
    ("FIFO queue, short", "18 00", "98 03", None),
    ("identification, basic", "2b 0e 01 00", "2b 0e 01 82 00 00 03" + BASIC, None),
    ("identification, regular", "2b 0e 02 00", "2b 0e 02 82 00 00 05" + BASIC + REST, None),
    ("identification, extended", "2b 0e 03 00", "2b 0e 03 82 00 00 05" + BASIC + REST, None),
    ("identification from object 4", "2b 0e 02 04", "2b 0e 02 82 00 00 02" + REST, None),
    ("identification from no object", "2b 0e 02 03", "2b 0e 02 82 00 00 05" + BASIC + REST, None),
    ("basic identification from object 4", "2b 0e 01 04", "2b 0e 01 82 00 00 03" + BASIC, None),
    ("one object", "2b 0e 04 05", "2b 0e 04 82 00 00 01 05 05 6d6f64656c", None),
    ("one object that is not there", "2b 0e 04 03", "ab 02", None),
    ("identification, code 0", "2b 0e 00 00", "ab 03", None),
    ("identification, code 5", "2b 0e 05 00", "ab 03", None),
    ("identification, short", "2b 0e 01", "ab 03", None),
    ("FC 43 alone", "2b", "ab 03", None),
    ("CANopen", "2b 0d 00 00", "ab 01", None),
    ("write a coil, neither on nor off", "05 0000 1234", "85 03", causes.MALFORMED),
    ("write file record, nothing", "15 07 06 0001 0000 0000", "95 03", causes.MALFORMED),
    ("write file record, data missing", "15 09 06 0001 0000 0002 0000", "95 03", causes.MALFORMED),
    ("FC 0", "00", "80 01", None),
    ("FC 100, for users", "64 00", "e4 01", None),
    ("FC 0x83, an exception as request", "83 02", "83 01", None),
    ("FC 255", "ff", "ff 01", None),
    ("write an order", "10 03e8 0012 24" + ORDER, "10 03e8 0012", None),
    ("write no order", "10 03e8 0012 24" + BAD_ORDER, "90 02", None),
    ("write beside the mailbox", "10 03e9 0012 24" + ORDER, "90 02", causes.FUNCTION),
    ("write a setpoint", "10 0064 0001 02 1194", "90 02", causes.FUNCTION),
    ("write a setting", "10 012c 0001 02 1194", "90 02", causes.FUNCTION),
    ("write the receipts' address", "10 03f8 0001 02 1194", "90 02", causes.FUNCTION),
    ("write 65 words", "10 03e8 0041 82" + "01" * 130, "90 02", causes.FUNCTION),
    ("write 0 registers", "10 03e8 0000 00", "90 03", causes.MALFORMED),
    ("write 124 registers", "10 03e8 007c f8" + "01" * 246, "90 03", causes.MALFORMED),
    ("write, byte count off", "10 03e8 0001 03 119400", "90 03", causes.MALFORMED),
    ("write, data missing", "10 03e8 0002 04 1194", "90 03", causes.MALFORMED),
    ("write, header alone", "10", "90 03", causes.MALFORMED),
    ("order and receipt in one", "17 03f8 0002 03e8 0012 24" + ORDER, "17 04 00010203", None),
    ("no order, so no receipt", "17 03f8 0002 03e8 0012 24" + BAD_ORDER, "97 02", None),
    ("order and a measurement in one", "17 0028 0001 03e8 0012 24" + ORDER, "97 02", causes.FUNCTION),
    ("order and beyond the receipts", "17 0418 0011 03e8 0012 24" + ORDER, "97 02", causes.FUNCTION),
    ("FC 23 on a setpoint", "17 0064 0001 0064 0001 02 1194", "97 02", causes.FUNCTION),
    ("FC 23 reading 0", "17 03f8 0000 03e8 0012 24" + ORDER, "97 03", causes.MALFORMED),
    ("FC 23 reading 126", "17 03f8 007e 03e8 0012 24" + ORDER, "97 03", causes.MALFORMED),
    ("FC 23 writing 0", "17 03f8 0001 03e8 0000 00", "97 03", causes.MALFORMED),
    ("FC 23, byte count off", "17 03f8 0001 03e8 0012 23" + ORDER, "97 03", causes.MALFORMED),
    ("FC 23, short", "17 03f8 0001 03e8", "97 03", causes.MALFORMED),
    ("challenge", "17 044c 0027 0438 0005 0a" + CHALLENGE, "17 4e 0101" + CHALLENGE[4:] + "00" * 68, None),
    ("challenge, block too short", "17 044c 0026 0438 0005 0a" + CHALLENGE, "97 02", None),
    ("challenge, four words", "17 044c 0027 0438 0004 08" + CHALLENGE[:16], "97 03", None),
    ("challenge for slot 4", "17 044c 0027 0438 0005 0a 0004" + CHALLENGE[4:], "97 03", None),
    ("challenge, reading elsewhere", "17 03f8 0001 0438 0005 0a" + CHALLENGE, "97 02", causes.FUNCTION),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_pdu", "response", "cause"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_exact_bytes(server, mailbox, tally, request_pdu, response, cause):
    assert answer(server, adu(request_pdu)) == adu(response)
    assert tally.noted == ([] if cause is None else [cause])
    if cause is not None:
        assert mailbox.taken == []


@pytest.mark.parametrize("unit", [0, 1, 255])
def test_reads_are_answered_for_our_units(server, unit):
    assert answer(server, adu("04 0028 0001", unit=unit)) == adu("04 02 fe0c", unit=unit)


@pytest.mark.parametrize("unit", [2, 17, 247, 254])
def test_another_unit_is_not_answered(server, tally, unit):
    assert answer(server, adu("04 0028 0001", unit=unit)) == b""
    assert answer(server, adu("06 0064 1194", unit=unit)) == b""
    assert tally.noted == []


@pytest.mark.parametrize(
    "request_pdu",
    [row[1] for row in ROWS if row[3] == causes.FUNCTION]
    + ["10 03e8 0012 24" + ORDER, "17 03f8 0002 03e8 0012 24" + ORDER],
)
def test_s7_broadcast_acts_on_nothing(server, mailbox, tally, request_pdu):
    frame = adu(request_pdu, unit=0)
    reply = answer(server, frame)
    assert reply == adu(f"{frame[7] | 0x80:02x} 02", unit=0)
    assert mailbox.taken == []
    assert tally.noted == [causes.BROADCAST]


def test_another_protocol_is_not_answered(server, mailbox, tally):
    assert answer(server, adu("10 03e8 0012 24" + ORDER, protocol=1)) == b""
    assert mailbox.taken == []
    assert tally.noted == [causes.MALFORMED]


@pytest.mark.parametrize("length", [0, 1, 255, 256, 0xFFFF])
def test_an_impossible_length_loses_the_stream(server, length):
    frame = adu("04 0028 0001", length=length)
    assert server.frame_length(frame, 0, len(frame)) == CLOSE
    assert server.frame_length(frame, 0, 6) == CLOSE


@pytest.mark.parametrize("cut", range(12))
def test_a_frame_is_waited_for_at_every_byte(server, cut):
    frame = adu("04 0028 0001")
    assert server.frame_length(frame, 0, cut) == WAIT
    assert server.frame_length(frame, 0, len(frame)) == len(frame)


def test_frames_are_told_apart_in_one_buffer(server):
    stream = b"".join(adu("04 0028 0001", transaction=n) for n in range(16))
    at, replies, out = 0, [], bytearray(260)
    while (length := server.frame_length(stream, at, len(stream))) > 0:
        replies.append(bytes(out[: server.answer(stream, at, length, out, SOURCE)]))
        at += length
    assert replies == [adu("04 02 fe0c", transaction=n) for n in range(16)]
    assert at == len(stream)


def test_s7_no_random_frame_acts_or_escapes(server, mailbox, tally):
    """Every function with every short body: an answer or silence, never an exception, never an act."""
    state = 12345
    out = bytearray(260)
    for count in range(20_000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        size = 1 + (state >> 8) % 30
        pdu = bytes((state >> (k % 24)) & 0xFF if k else count & 0xFF for k in range(size))
        frame = adu(pdu.hex())
        reply = server.answer(frame, 0, len(frame), out, SOURCE)
        assert 9 <= reply <= 260
        assert (out[4] << 8 | out[5]) == reply - 6
    assert all(frame[:2] != b"\x01\x00" for frame in mailbox.taken)
