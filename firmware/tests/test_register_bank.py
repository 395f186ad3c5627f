"""The register bank: the bytes on the wire, whole values, no gaps, nothing invented."""

import struct

import pytest

from firmware.substation import registers
from firmware.substation.fixed_point import per_unit
from firmware.substation.register_bank import RegisterBank


@pytest.fixture(params=registers.PROFILES)
def profile(request):
    return request.param


def words(bank, function, address, count):
    out = bytearray(2 * count)
    assert bank.read(function, address, count, out, 0)
    return struct.unpack(f">{count}H", out)


def test_every_row_shows_what_was_put(profile):
    bank = RegisterBank(profile)
    for row in registers.BY_PROFILE[profile]:
        function = 4 if row.space == registers.INPUT else 3
        for value in (row.low, (row.low + row.high) / 2, row.high, None):
            steps = None if value is None else round(value * per_unit(row.name))
            bank.put(bank.point(row.name), steps)
            raw = registers.raw_of_words(row, words(bank, function, row.address, registers.words_of(row)))
            if value is None:
                assert raw == registers.NO_VALUE[row.type]
            else:
                assert registers.from_raw(row, raw) == pytest.approx(value, abs=row.scale), row.name


def test_a_value_out_of_range_shows_as_the_end_never_as_another(profile):
    bank = RegisterBank(profile)
    for row in registers.BY_PROFILE[profile]:
        function = 4 if row.space == registers.INPUT else 3
        for steps in (-(1 << 40), 1 << 40):
            bank.put(bank.point(row.name), steps)
            raw = registers.raw_of_words(row, words(bank, function, row.address, registers.words_of(row)))
            assert (raw > 0) == (steps > 0) or raw == 0
            assert raw != registers.NO_VALUE[row.type] or row.name.endswith("_code")


def test_every_address_outside_the_map_is_a_gap(profile):
    bank = RegisterBank(profile)
    mapped = {
        (function, row.address + word)
        for function, space in ((3, registers.HOLDING), (4, registers.INPUT))
        for row in registers.BY_PROFILE[profile]
        if row.space == space
        for word in range(registers.words_of(row))
    } | {(4, registers.RECEIPTS + word) for word in range(4 * registers.RECEIPT_WORDS)}
    out = bytearray(2)
    for function in (3, 4):
        for address in range(1400):
            assert bank.read(function, address, 1, out, 0) == ((function, address) in mapped), address


def test_a_block_that_reaches_over_a_gap_is_not_read(profile):
    bank = RegisterBank(profile)
    out = bytearray(300)
    # identity, image and status, and a house's readings behind them
    polled = 78 if profile == registers.PUMP_STATION else 143
    assert bank.read(4, 0, polled, out, 0)
    assert not bank.read(4, 0, polled + 1, out, 0)
    assert not bank.read(4, polled - 1, 2, out, 0)
    assert not bank.read(4, 199, 2, out, 0)


def test_unread_measurements_show_no_value(profile):
    bank = RegisterBank(profile)
    for row in registers.BY_PROFILE[profile]:
        if row.access == registers.MEASUREMENT:
            raw = registers.raw_of_words(row, words(bank, 4, row.address, registers.words_of(row)))
            assert raw == registers.NO_VALUE[row.type], row.name


def test_the_map_can_be_let_go(profile):
    bank = RegisterBank(profile)
    uptime = bank.point("uptime_s")
    bank.forget_names()
    bank.put(uptime, 70_000)
    assert words(bank, 4, 15, 2) == (1, 4464)
    with pytest.raises(KeyError):
        bank.point("uptime_s")
