"""The register map: no address twice, no gap in a polled block, the same hash in both interpreters."""

import pytest

from firmware.substation import alarms, meter_doubt, refusals, registers
from firmware.substation.registers import BY_NAME, BY_PROFILE, REGISTERS


@pytest.mark.parametrize("profile", registers.PROFILES)
@pytest.mark.parametrize("space", [registers.INPUT, registers.HOLDING])
def test_no_address_is_given_twice(profile, space):
    taken = [
        row.address + word
        for row in BY_PROFILE[profile]
        if row.space == space
        for word in range(registers.words_of(row))
    ]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize(
    ("rows", "first", "last"),
    [
        (registers.IDENTITY, 0, registers.IDENTITY_WORDS - 1),
        (registers.STATUS, 40, 77),
        (registers.SUBSTATION_INPUTS, 78, 102),
        (registers.PUMP_STATION_INPUTS, 200, 214),
        (registers.HEAT_METERS, 400, 474),
        (registers.BESIDE_ORDERS, 480, 485),
    ],
)
def test_polled_blocks_have_no_gap(rows, first, last):
    address = first
    for row in rows:
        assert row.address == address, row.name
        address += registers.words_of(row)
    assert address == last + 1


def test_names_are_unique_and_end_in_a_unit():
    assert len(BY_NAME) == len(REGISTERS)
    units = ("_c", "_k", "_kh", "_bar", "_m3_h", "_kw", "_kwh", "_m3", "_pct", "_s", "_ms", "_b", "_number",
             "_code", "_count", "_bits")  # fmt: skip
    assert [row.name for row in REGISTERS if not row.name.endswith(units)] == []


def test_every_range_fits_its_type():
    for row in REGISTERS:
        for value in (row.low, row.high):
            raw = registers.to_raw(row, value)
            words = registers.words_of_raw(row, raw)
            assert len(words) == registers.words_of(row)
            assert registers.raw_of_words(row, words) == raw
            assert registers.from_raw(row, raw) == pytest.approx(value, abs=row.scale / 2), row.name


def test_no_reading_survives_the_wire():
    for row in REGISTERS:
        if not row.name.endswith("_code"):
            words = registers.words_of_raw(row, registers.to_raw(row, None))
            assert registers.from_raw(row, registers.raw_of_words(row, words)) is None, row.name


def test_leases_and_status_points_name_rows_of_one_profile():
    for lease in registers.LEASES:
        profiles = [p for p in registers.PROFILES if all(BY_NAME[n] in BY_PROFILE[p] for n in lease if n)]
        assert len(profiles) == 1, lease
    for profile, names in registers.STATUS_POINTS.items():
        for name in names:
            assert BY_NAME[name] in BY_PROFILE[profile]
            assert registers.words_of(BY_NAME[name]) == 1


def test_bits_and_causes_are_numbered_as_the_map_names_them():
    for position, name in enumerate(registers.ALARM_BITS):
        assert getattr(alarms, name.upper()) == position
    for position, name in enumerate(registers.METER_BITS):
        assert getattr(meter_doubt, name.upper()) == position
    for position, name in enumerate(registers.REFUSALS):
        assert getattr(refusals, name.upper()) == position


def test_s6_no_measurement_or_setting_is_a_setpoint():
    """Measurements and calibration are not writable: the setpoints of the map are the leased points alone."""
    setpoints = {row.name for row in REGISTERS if row.access == registers.SETPOINT}
    assert setpoints == {lease.setpoint for lease in registers.LEASES}
    assert all(BY_NAME[name].space == registers.HOLDING for name in setpoints)


def test_both_interpreters_agree_on_the_map(in_vm):
    printed = in_vm(
        "from substation import registers as r\n"
        "print(r.map_hash())\n"
        "print([r.to_raw(x, x.low) for x in r.REGISTERS])\n"
        "print([r.to_raw(x, None) for x in r.REGISTERS])\n"
    ).splitlines()
    assert int(printed[0]) == registers.map_hash()
    assert printed[1] == str([registers.to_raw(row, row.low) for row in REGISTERS])
    assert printed[2] == str([registers.to_raw(row, None) for row in REGISTERS])
