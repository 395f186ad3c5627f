"""Heat meters' telegrams, byte by byte: what is taken, what is passed over, what is refused, and fuzzing."""

from __future__ import annotations

import random

import pytest

from firmware.substation import mbus_records as records
from firmware.substation.mbus_records import Reading, decode

# long header: number 12345678, manufacturer, version, heat in the supply, access, status 0, no encryption
HEAD = "72 78563412 2D2C 1B 0C 2A 00 0000 "
# as a heat meter tells it: 4 512 kWh, 187.42 m3, 1 234 l/h, 43.2 kW, 78.91, 48.03 degC, 30.88 K
WHOLE = (
    "04 06 A0110000  04 14 36490000  04 3B D2040000  04 2D B0010000"
    "  02 59 D31E  02 5D C312  02 61 100C  0C 78 78563412"
)
VALUES = {
    "energy": 4_512_000, "volume": 187_420, "flow": 1_234, "power": 43_200, "supply": 78_910,
    "return": 48_030, "difference": 30_880, "number": 12_345_678,
}  # fmt: skip
NAMES = ("energy", "volume", "power", "flow", "supply", "return", "difference", "number", "flags")


def read(text):
    data = bytes.fromhex(text)
    reading = Reading()
    cause = decode(data, 0, len(data), reading)
    told = {name: value for name, value in zip(NAMES, reading.value, strict=True) if value is not None}
    return cause, told, reading


# a record after the header, and what it says
TAKEN = [
    ("energy in 0.001 Wh", "04 00 10270000", {"energy": 10}),
    ("energy in Wh", "04 03 10270000", {"energy": 10_000}),
    ("energy in kWh", "04 06 01000000", {"energy": 1_000}),
    ("energy in 10 kWh", "04 07 01000000", {"energy": 10_000}),
    ("energy in J", "04 08 20 1C 00 00", {"energy": 2}),
    ("energy in MJ", "04 0E 0A000000", {"energy": 2_778}),
    ("energy in 10 MJ", "04 0F 64000000", {"energy": 277_778}),
    ("energy in 0.1 MWh", "04 FB 00 07000000", {"energy": 700_000}),
    ("energy in MWh", "04 FB 01 07000000", {"energy": 7_000_000}),
    ("energy in 0.1 GJ", "04 FB 08 0A000000", {"energy": 277_778}),
    ("energy in GJ", "04 FB 09 01000000", {"energy": 277_778}),
    ("energy as 8 digits", "0C 06 21436587", {"energy": 87_654_321_000}),
    ("energy as 12 digits", "0E 03 214365870900", {"energy": 987_654_321}),
    ("energy in 48 bits", "06 03 0000000001 00", {"energy": 2**32}),
    ("energy in 64 bits", "07 03 00000000 01000000", {"energy": 2**32}),
    ("energy as a real", "05 06 0000 2042", {"energy": 40_000}),
    ("energy summed while positive", "04 86 3B 01000000", {"energy": 1_000}),
    ("energy, times 1000", "04 83 7D 05000000", {"energy": 5_000}),
    ("energy, times 0.01", "04 86 74 05000000", {"energy": 50}),
    ("energy, corrected twice", "04 83 F7 77 05000000", {"energy": 500}),
    ("volume in 0.001 m3", "04 13 39300000", {"volume": 12_345}),
    ("volume in 0.01 m3, 3 bytes", "03 14 393000", {"volume": 123_450}),
    ("volume in 10 m3", "02 17 0300", {"volume": 30_000}),
    ("volume in 100 m3", "02 FB 10 0300", {"volume": 300_000}),
    ("power in W", "02 2B E803", {"power": 1_000}),
    ("power in 100 W", "02 2D 9BFF", {"power": -10_100}),
    ("power in 10 kW", "02 2F 0200", {"power": 20_000}),
    ("power in 0.1 MW", "02 FB 28 0200", {"power": 200_000}),
    ("power in MJ/h", "02 36 2400", {"power": 10_000}),
    ("power in 0.1 GJ/h", "02 FB 30 2400", {"power": 1_000_000}),
    ("power as 6 digits", "0B 2B 563412", {"power": 123_456}),
    ("flow in l/h", "02 3B 0004", {"flow": 1_024}),
    ("flow in 10 l/h, one byte", "01 3C 7F", {"flow": 1_270}),
    ("flow backwards", "02 3B 9CFF", {"flow": -100}),
    ("flow backwards as digits", "0B 3B 3412F0", {"flow": -1_234}),
    ("flow in 0.001 m3/min", "02 44 6400", {"flow": 6_000}),
    ("flow in l/s", "02 4E 0100", {"flow": 3_600}),
    ("flow as 2 digits", "09 3D 42", {"flow": 4_200}),
    ("flow as 4 digits", "0A 3B 1712", {"flow": 1_217}),
    ("supply in 0.001 degC", "04 58 B0360100", {"supply": 79_536}),
    ("supply in whole degC", "01 5B 4F", {"supply": 79_000}),
    ("supply in 0.1 degC", "02 5A 1603", {"supply": 79_000}),
    ("supply as a real", "05 5B 0000 9E42", {"supply": 79_000}),
    ("supply as a real below zero", "05 5B 0000 40C0", {"supply": -3_000}),
    ("return in 0.01 degC", "02 5D C312", {"return": 48_030}),
    ("difference in 0.001 K, 3 bytes", "03 60 A07800", {"difference": 30_880}),
    ("difference below zero", "02 61 9CFF", {"difference": -1_000}),
    ("a real smaller than the last digit", "05 3B 0000 0030", {"flow": 0}),
    ("error flags", "02 FD 17 0400", {"flags": 4}),
    ("the present value, then that of a due date", "04 06 01000000 44 06 FF000000", {"energy": 1_000}),
    ("the first of two present values", "02 3B 0100 02 3B 0900", {"flow": 1}),
    ("fillers between records", "2F 2F 02 3B 0100 2F 02 2B 0200 2F", {"flow": 1, "power": 2}),
    ("an empty extension", "82 00 3B 0100", {"flow": 1}),
    ("what follows a manufacturer's own value", "02 FF 2C 1234 02 3B 0100", {"flow": 1}),
    ("what follows a text", "0D 78 03 414243 02 3B 0100", {"flow": 1}),
    ("what follows a unit in plain text", "02 7C 03 7A7978 1234 02 3B 0100", {"flow": 1}),
    ("what follows a time point", "04 6D 0B0A D32B 02 3B 0100", {"flow": 1}),
    ("what follows 64 bytes", "0D 7A F6" + "00" * 64 + "02 3B 0100", {"flow": 1}),
    ("what follows a long negative number", "0D 06 D3 123456 02 3B 0100", {"flow": 1}),
    ("before the manufacturer's block", "02 3B 0100 0F 02 5D FFFF", {"flow": 1}),
]
# records that are whole but say nothing of the present
PASSED_OVER = [
    ("a maximum", "12 3B 0004"),
    ("a minimum", "22 3B 0004"),
    ("a value from a time of error", "32 3B 0004"),
    ("storage 1", "42 3B 0004"),
    ("storage 32", "82 10 3B 0004"),
    ("tariff 1", "82 10 3B 0004"),
    ("tariff 2", "82 20 3B 0004"),
    ("subunit 1", "82 40 3B 0004"),
    ("a limit of the flow", "02 BB 40 0004"),
    ("a duration", "02 BB 68 0004"),
    ("flow that the meter could not measure", "02 BB 18 0004"),
    ("flow with an invalid digit", "0A 3B A012"),
    ("flow of nothing but F", "0A 3B FFFF"),
    ("flow of the most negative number", "02 3B 0080"),
    ("flow as an endless real", "05 3B 0000 807F"),
    ("flow as no number", "05 3B 0000 C07F"),
    ("flow as a real beyond everything", "05 3B 0000 007F"),
    ("supply below absolute zero", "02 5B 00FF"),
    ("return of 300 degC", "02 5B 2C01"),
    ("a negative sum of energy", "04 06 FFFFFFFF"),
    ("no data", "00 3B"),
    ("a request for data", "08 3B"),
    ("an unknown unit", "02 7B 0004"),
    ("an unknown unit of the FD table", "02 FD 3A 0004"),
    ("error flags as digits", "0A FD 17 0400"),
    ("flow as text", "0D 3B 02 3132"),
]
REFUSED = [
    ("nothing at all", "", records.TRUNCATED),
    ("an application error", "70 08", records.APPLICATION_ERROR),
    ("an application error without its code", "70", records.APPLICATION_ERROR),
    ("the fixed structure", "73 78563412 0A 00 E97E 01000000 35010000", records.FOREIGN),
    ("most significant byte first", HEAD.replace("72", "76", 1) + WHOLE, records.FOREIGN),
    ("a command", "51 01 7A 05", records.FOREIGN),
    ("a header without its end", "72 78563412 2D2C 1B 0C 2A 00 00", records.TRUNCATED),
    ("a water meter", HEAD.replace(" 0C ", " 07 ") + WHOLE, records.NOT_HEAT),
    ("an electricity meter", HEAD.replace(" 0C ", " 02 ") + WHOLE, records.NOT_HEAT),
    ("encrypted, mode 5", "72 78563412 2D2C 1B 0C 2A 00 3005 " + WHOLE, records.ENCRYPTED),
    ("encrypted, short header", "7A 2A 00 0007 " + WHOLE, records.ENCRYPTED),
    ("a DIF alone", HEAD + "04", records.TRUNCATED),
    ("a DIF without its extension", HEAD + "84", records.TRUNCATED),
    ("a VIF without its extension", HEAD + "04 86", records.TRUNCATED),
    ("the FB table without its code", HEAD + "04 FB", records.TRUNCATED),
    ("half a value", HEAD + "04 06 0100", records.TRUNCATED),
    ("a good record, then half a value", HEAD + "02 3B 0100 04 06 01", records.TRUNCATED),
    ("a text longer than the telegram", HEAD + "0D 78 30 4142", records.TRUNCATED),
    ("a text without its length", HEAD + "0D 78", records.TRUNCATED),
    ("a plain unit without its length", HEAD + "02 7C", records.TRUNCATED),
    ("a plain unit longer than the telegram", HEAD + "02 7C 40 41", records.TRUNCATED),
    ("a plain unit to the last byte, and an extension", HEAD + "02 FC 01 41", records.TRUNCATED),
    ("11 extensions of a DIF", HEAD + "82" + "80" * 10 + "00 3B 0100", records.CHAIN),
    ("endless extensions of a DIF", HEAD + "82" + "80" * 60, records.CHAIN),
    ("11 extensions of a VIF", HEAD + "02 BB" + "BB" * 10 + "3B 0100", records.CHAIN),
    ("endless extensions of a VIF", HEAD + "02" + "FF" * 60, records.CHAIN),
    ("a reserved special function", HEAD + "3F", records.RESERVED),
    ("a request for everything", HEAD + "7F", records.RESERVED),
    ("a reserved variable length", HEAD + "0D 78 FB", records.RESERVED),
    ("a variable number of 15 pairs of digits", HEAD + "0D 06 CF", records.RESERVED),
]  # fmt: skip


def test_a_whole_telegram():
    cause, told, reading = read(HEAD + WHOLE)
    assert cause == records.OK
    assert told == VALUES
    assert reading.whole
    assert reading.status == 0
    assert not reading.more
    assert reading.identity == bytes.fromhex("78563412 2D2C 1B 0C")


@pytest.mark.parametrize(("record", "told"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
@pytest.mark.parametrize("head", [HEAD, "78 ", "7A 2A 00 0000 "], ids=["long", "none", "short"])
def test_taken(head, record, told):
    cause, got, reading = read(head + record)
    assert cause == records.OK
    assert got == told
    assert not reading.whole


@pytest.mark.parametrize("record", [row[1] for row in PASSED_OVER], ids=[row[0] for row in PASSED_OVER])
def test_passed_over(record):
    cause, told, _ = read(HEAD + "02 59 D31E" + record + "02 5D C312")
    assert cause == records.OK
    assert told == {"supply": 78_910, "return": 48_030}  # and no byte lost its place


@pytest.mark.parametrize(("text", "cause"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_and_nothing_of_it_is_kept(text, cause):
    got, told, reading = read(text)
    assert got == cause
    assert told == {}
    assert reading.told == 0
    assert reading.identity is None


def test_an_invalid_value_is_not_replaced_by_a_later_record():
    _, told, reading = read(HEAD + "02 3B 0080 02 3B 0900")
    assert told == {}
    assert reading.told == 1 << records.FLOW


@pytest.mark.parametrize("status", [0x01, 0x04, 0x08, 0x10, 0xE0])
def test_the_status_byte_is_kept(status):
    _, _, reading = read(HEAD.replace(" 00 ", " %02X " % status) + WHOLE)
    assert reading.status == status


def test_the_second_telegram_adds_to_the_first():
    reading = Reading()
    first = bytes.fromhex(HEAD + WHOLE[:14] + " 1F AABB")
    assert decode(first, 0, len(first), reading) == records.OK
    assert reading.more
    assert not reading.whole
    second = bytes.fromhex(HEAD + WHOLE[14:])
    assert decode(second, 0, len(second), reading) == records.OK
    assert not reading.more
    assert reading.whole
    assert dict(zip(NAMES, reading.value, strict=True)) == {**VALUES, "flags": None}


def test_no_byte_outside_the_telegram_counts():
    data = bytes.fromhex("06 99" + HEAD + WHOLE + "16 04 06")
    reading = Reading()
    assert decode(data, 2, len(data) - 3, reading) == records.OK
    assert dict(zip(NAMES, reading.value, strict=True)) == {**VALUES, "flags": None}


def test_100_000_bent_telegrams_raise_nothing_and_stay_in_bounds():
    """Mutations of what is listed above, and noise; what is taken is always whole numbers within bounds."""
    draw = random.Random(1434)
    seeds = [bytes.fromhex(HEAD + record) for _, record, *_ in TAKEN + PASSED_OVER]
    seeds += [bytes.fromhex(text) for _, text, _ in REFUSED] + [bytes.fromhex(HEAD + WHOLE)] * 20
    counts = {}
    reading = Reading()
    for number in range(100_000):
        if number % 10 == 0:
            data = bytearray(draw.randbytes(draw.randrange(252)))
            if number % 20 == 0:
                data[:1] = b"\x78"
        else:
            data = bytearray(draw.choice(seeds))
            for _ in range(draw.randrange(1, 4)):
                what = draw.randrange(3)
                at = draw.randrange(len(data) + 1)
                if what == 0 and at < len(data):
                    data[at] = draw.randrange(256)
                elif what == 1:
                    del data[at : at + draw.randrange(1, 9)]
                else:
                    data[at:at] = draw.randbytes(draw.randrange(1, 5))
        reading.clear()
        cause = decode(data, 0, len(data), reading)
        counts[cause] = counts.get(cause, 0) + 1
        if cause:
            assert reading.told == 0, data.hex()
        for quantity, value in enumerate(reading.value):
            if value is None:
                continue
            assert type(value) is int
            assert reading.told >> quantity & 1
            if quantity in (records.SUPPLY, records.RETURN):
                assert -40_000 <= value <= 200_000
    print(counts)
    assert set(counts) == {0, *range(records.FOREIGN, records.NOT_HEAT + 1)}
    assert min(counts.values()) > 20


@pytest.mark.parametrize(
    ("record", "quantity", "step"),
    [
        ("04 06 10 27 00 00", records.ENERGY, 1_000),
        ("0c 06 78 56 34 12", records.ENERGY, 1_000),
        ("04 03 10 27 00 00", records.ENERGY, 1),
        ("04 00 10 27 00 00", records.ENERGY, 1),  # finer than the unit
        ("04 fb 00 10 27 00 00", records.ENERGY, 100_000),
        ("04 fb 01 10 27 00 00", records.ENERGY, 1_000_000),
        ("04 86 7d 10 27 00 00", records.ENERGY, 1_000_000),  # kWh, times 1000
        ("04 fb 08 10 27 00 00", records.ENERGY, 27_778),  # 0.1 GJ
        ("05 06 00 40 1c 46", records.ENERGY, 0),  # a real has no last digit
        ("04 2b 10 27 00 00", records.POWER, 1),
        ("04 2e 10 00 00 00", records.POWER, 1_000),
        ("04 fb 28 03 00 00 00", records.POWER, 100_000),
    ],
)
def test_what_the_last_digit_is_worth(record, quantity, step):
    reading = Reading()
    data = bytes.fromhex("78" + record)
    assert decode(data, 0, len(data), reading) == records.OK
    assert reading.value[quantity] is not None
    assert reading.step[quantity] == step
    reading.clear()
    assert reading.step[quantity] == 0
