"""The rarer sensors: NTC, 0-10 V, DS18B20, pulses; damping; and readings that no water can give."""

import math

import pytest

from firmware.substation import sensor_kinds, sensors, site
from firmware.substation.damping import Damping
from firmware.substation.register_bank import RegisterBank

from .board_double import BoardDouble
from .dhw_rig import FunctionRig


def test_the_ntc_is_within_a_tenth_of_a_kelvin():
    ntc = sensor_kinds.Ntc()
    for temp_mc in range(-39_900, 149_900, 317):
        exact = 10_000_000 * math.exp(3977 * (1 / (temp_mc / 1000 + 273.15) - 1 / 298.15))
        assert abs(ntc.mc(int(exact)) - temp_mc) <= 100


@pytest.mark.parametrize("mohm", [0, 100, 1_000_000_000])
def test_an_open_or_shorted_ntc_is_no_reading(mohm):
    assert sensor_kinds.Ntc().mc(mohm) is None


class Other(BoardDouble):
    def __init__(self, ticks):
        super().__init__(ticks)
        self.mv = 0
        self.mc = 21_000
        self.pulses = None

    def voltage_mv(self, channel):
        return self.mv

    def one_wire_mc(self, channel):
        return self.mc

    def pulse_count(self, channel):
        return self.pulses


ROWS = (
    ("primary_dp_bar", 8, sensors.VOLTAGE, 10_000),
    ("room_temp_c", 9, sensors.ONE_WIRE, 0),
    ("primary_flow_m3_h", 12, sensors.PULSES, 2_500),
    ("outdoor_temp_c", 10, sensors.NTC, 0),
)


@pytest.fixture
def read(ticks):
    board = Other(ticks)
    board.mohm[10] = sensor_kinds.ntc_mohm(-5_000)
    reader = sensors.Sensors(board, RegisterBank("substation"), ROWS)
    reader.board = board
    return reader


def test_a_voltage_is_a_share_of_its_span_and_a_fault_far_above(read):
    for mv, mbar in ((0, 0), (5_000, 5_000), (10_400, 10_400)):
        read.board.mv = mv
        read.read()
        assert read.value[0] == mbar
    read.board.mv = 11_000
    for _ in range(3):
        read.read()
    assert read.value[0] is None


def test_one_wire_and_ntc(read):
    read.read()
    assert read.value[1] == 21_000
    assert read.value[3] == pytest.approx(-5_000, abs=100)
    read.board.mc = None
    for _ in range(3):
        read.read()
    assert read.value[1] is None
    assert read.fault_bits & 1 << 9


def test_pulses_give_the_flow_and_their_silence_none(read, ticks):
    read.board.pulses = 100
    for second in range(0, 600, 2):
        read.board.pulses = 100 + second // 10  # 2.5 l in 10 s
        read.read()
        ticks.now_ms += 2_000
    assert read.value[2] == pytest.approx(900, rel=0.15)
    for _ in range(80):
        read.read()
        ticks.now_ms += 2_000
    assert read.value[2] == 0
    read.board.pulses = None
    for _ in range(3):
        read.read()
    assert read.value[2] is None


def test_a_counter_that_begins_anew_is_no_flow(read, ticks):
    read.board.pulses = 5_000
    read.read()
    ticks.now_ms += 20_000
    read.board.pulses = 3
    read.read()
    assert read.value[2] == 0


def test_a_jump_is_bridged_and_a_lasting_one_is_believed(ticks):
    board = BoardDouble(ticks)
    for channel in range(6):
        board.set_temp(channel, 20.0)
    board.set_loop(6, 1.0)
    board.set_loop(7, 0.5)
    read = sensors.Sensors(board, RegisterBank("substation"), site.SUBSTATION_INPUTS)
    for _ in range(3):
        read.read()
    board.set_temp(3, 90.0)  # a glitch of one sample
    read.read()
    assert read.value[3] == pytest.approx(20_000, abs=5)
    board.set_temp(3, 20.0)
    for _ in range(2):
        read.read()
        assert read.value[3] == pytest.approx(20_000, abs=5)
    board.set_temp(3, 90.0)
    read.read()
    read.read()
    assert read.value[3] == pytest.approx(90_000, abs=5)


def test_damping_is_first_order_loses_nothing_and_lets_none_through():
    damp = Damping(["outdoor_temp_c", "room_temp_c"], {"outdoor_temp_c": 600_000})
    assert damp.step(1, 12_345) == 12_345
    assert damp.step(0, 10_000) == 10_000
    for _ in range(300):
        value = damp.step(0, 20_000)
    assert value == pytest.approx(20_000 - 10_000 * math.exp(-1), abs=20)
    for _ in range(30_000):
        value = damp.step(0, 20_001)
    assert value == 20_001  # a float in single precision would stand still here
    assert damp.step(0, None) is None
    assert damp.step(0, 5_000) == 5_000


def test_a_damped_outdoor_sensor_moves_the_curve_gently(ticks):
    rig = FunctionRig(ticks, inputs={"outdoor_temp_c": {"damping_s": 3600}})
    rig.step(60)
    rig.house.outdoor_c = 5.0
    rig.step(60)
    assert rig.read("outdoor_temp_c") < -4.5
    rig.step(8 * 3600)
    assert rig.read("outdoor_temp_c") == pytest.approx(5.0, abs=0.1)


def test_an_input_that_is_not_wired_is_no_fault(ticks):
    rig = FunctionRig(ticks, inputs={"room_temp_c": None, "primary_dp_bar": None})
    rig.step(60)
    assert rig.read("room_temp_c") is None
    assert not rig.alarm("SENSOR_LOST")


def test_swapped_sensors_are_told_and_forgiven(ticks):
    rig = FunctionRig(ticks)
    rig.step(3600)
    straight = rig.show

    def swapped():
        straight()
        board = rig.board
        board.mohm[3], board.mohm[4] = board.mohm[4], board.mohm[3]

    rig.show = swapped
    rig.step(1700)
    assert not rig.alarm("SENSOR_DOUBT")
    rig.step(400)
    assert rig.alarm("SENSOR_DOUBT")
    assert rig.read("sensor_doubt_bits") == 1 << 3 | 1 << 4
    rig.show = straight
    rig.step(20)
    assert not rig.alarm("SENSOR_DOUBT")
