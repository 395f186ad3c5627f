"""Sensors: IEC 60751, NAMUR NE 43, and a loose contact that is not a lost sensor."""

import math

import pytest

from firmware.substation import sensors, site
from firmware.substation.register_bank import RegisterBank

from .board_double import BoardDouble

# IEC 60751 table values of a Pt100, times ten
IEC_TABLE_OHM = {-40: 842.7, -20: 921.6, 0: 1000.0, 10: 1039.0, 50: 1194.0, 100: 1385.1, 150: 1573.3}


@pytest.mark.parametrize(("temp_c", "ohm"), IEC_TABLE_OHM.items())
def test_pt1000_has_the_resistance_of_the_standard(temp_c, ohm):
    assert sensors.resistance_mohm(temp_c) / 1000 == pytest.approx(
        ohm, abs=0.051
    )  # the table has one decimal


def test_pt1000_inversion_is_within_half_a_millikelvin():
    worst = 0.0
    for tenth in range(-399, 1499):
        exact_c = tenth / 10 + 0.0123
        worst = max(worst, abs(sensors.pt1000_mc(sensors.resistance_mohm(exact_c)) / 1000 - exact_c))
    assert worst <= 0.0005 + 0.001  # the result has steps of 1 mK, the resistance of 0.26 mK


@pytest.mark.parametrize("mohm", [0, 500_000, 800_000, 1_700_000, 1_000_000_000])
def test_open_short_or_out_of_range_is_no_reading(mohm):
    assert sensors.pt1000_mc(mohm) is None


@pytest.mark.parametrize(
    ("ua", "value"),
    [(0, None), (3599, None), (3600, 0), (3999, 0), (4000, 0), (12000, 8000), (20000, 16000), (20500, 16500),
     (21000, 17000), (21001, None), (22000, None)],
)  # fmt: skip
def test_loop_limits_are_those_of_namur(ua, value):
    assert sensors.loop_value(ua, 16_000) == value


def test_conversions_are_the_same_in_the_vm(in_vm):
    printed = in_vm(
        "from substation import sensors as s\n"
        "print([s.resistance_mohm(t) for t in range(-40, 151)])\n"
        "print([s.pt1000_mc(m) for m in range(800000, 1700000, 997)])\n"
        "print([s.loop_value(u, 20000) for u in range(3000, 22000, 13)])\n"
    ).splitlines()
    assert printed[0] == str([sensors.resistance_mohm(t) for t in range(-40, 151)])
    assert printed[1] == str([sensors.pt1000_mc(m) for m in range(800000, 1700000, 997)])
    assert printed[2] == str([sensors.loop_value(u, 20000) for u in range(3000, 22000, 13)])


def test_knots_survive_single_precision():
    """The knots are computed in floats at boot: a 24-bit mantissa moves none by more than a millikelvin."""

    def single(x):
        return math.ldexp(round(math.ldexp(x, 24 - math.frexp(x)[1])), math.frexp(x)[1] - 24) if x else 0.0

    for knot in range(sensors.KNOTS):
        temp_c = (sensors.KNOT_FIRST_MC + knot * sensors.KNOT_STEP_MC) // 1000
        ratio = single(1 + single(sensors.A * temp_c))
        ratio = single(ratio + single(single(sensors.B * temp_c) * temp_c))
        if temp_c < 0:
            ratio = single(ratio + single(sensors.C * (temp_c - 100) * temp_c**3))
        assert abs(sensors.R0_MOHM * ratio - sensors.resistance_mohm(temp_c)) < 3.85 / 2


@pytest.fixture
def board(ticks):
    board = BoardDouble(ticks)
    for channel in range(6):
        board.set_temp(channel, 20.0)
    board.set_loop(6, 1.0)
    board.set_loop(7, 0.5)
    return board


@pytest.fixture
def read(board):
    return sensors.Sensors(board, RegisterBank("substation"), site.SUBSTATION_INPUTS)


def test_a_loose_contact_is_bridged_and_a_lost_sensor_is_not(board, read):
    read.read()
    assert read.value[0] == pytest.approx(20_000, abs=1)
    board.set_temp(0, None)
    for _ in range(sensors.PATIENCE - 1):
        read.read()
        assert read.value[0] == pytest.approx(20_000, abs=1)
    read.read()
    assert read.value[0] is None
    assert read.fault_bits == 1


def test_a_sensor_is_trusted_again_only_after_a_while(board, read):
    board.set_temp(3, None)
    for _ in range(5):
        read.read()
    assert read.fault_bits == 1 << 3
    board.set_temp(3, 55.0)
    for _ in range(sensors.RECOVERY - 1):
        read.read()
        assert read.value[3] is None
    read.read()
    assert read.value[3] == pytest.approx(55_000, abs=1)
    assert read.fault_bits == 0


def test_a_sensor_that_is_lost_from_the_start_is_lost_at_once(board, read):
    board.set_loop(6, None)
    read.read()
    assert read.value[6] is None
    assert read.fault_bits == 1 << 6


def test_inputs_are_rows_of_the_map():
    for inputs, profile in (
        (site.SUBSTATION_INPUTS, "substation"),
        (site.PUMP_STATION_INPUTS, "pump_station"),
    ):
        bank = RegisterBank(profile)
        for name, _, _, _ in inputs:
            bank.point(name)
