"""Heat meters in the loop: what the registers show, what the flow limit goes by, and every doubt."""

from __future__ import annotations

import pytest

from firmware import function_tables
from firmware.substation import heat_meters, loop_maker, meter_doubt, registers
from firmware.substation import mbus_link as link
from firmware.substation import mbus_records as records

from .loop_rig import FLOW, PRIMARY_SUPPLY, LoopRig
from .test_mbus import Line

HOUR_S = 3_600


class WaterMeter:
    """What a meter in the rig's house tells: frames as bytes, numbers as a test wants them."""

    def __init__(self, house, address=1):
        self.house = house
        self.address = address
        self.silent = False
        self.broken = False
        self.status = 0
        self.number = 12_345_678
        self.energy_wh = 4_000_000
        self.changes = {}

    def numbers(self):
        supply_c = self.house.primary_supply_c
        return_c = self.house.return_c + 3.0
        flow_l_h = self.house.flow_m3_h * 1000
        power_w = 1.147 * flow_l_h * (supply_c - return_c)
        plain = {"flow": flow_l_h, "power": power_w, "supply": supply_c, "return": return_c}
        return {**plain, "energy": self.energy_wh, **self.changes}

    def answer(self, frame):
        if self.silent:
            return b""
        if frame[1] == link.SND_NKE:
            return b"\xe5"
        told = self.numbers()
        body = bytes((0x08, self.address, 0x72)) + bytes.fromhex("%08d" % self.number)[::-1]
        body += bytes((0x2D, 0x2C, 0x1B, 0x0C, 0x01, self.status, 0, 0))
        body += b"\x04\x06" + int(told["energy"] / 1000).to_bytes(4, "little")
        for dif_vif, value in (
            (b"\x04\x3b", round(told["flow"])),
            (b"\x04\x2b", round(told["power"])),
            (b"\x02\x59", round(told["supply"] * 100)),
            (b"\x02\x5d", round(told["return"] * 100)),
        ):
            body += dif_vif + value.to_bytes(4 if dif_vif[0] == 4 else 2, "little", signed=True)
        check = sum(body) + (1 if self.broken else 0) & 0xFF
        return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((check, 0x16))


class MeterRig(LoopRig):
    """A house with its meter; every period the loop steps, then the M-Bus is looked at."""

    def __init__(self, ticks, interval_s=10, battery=False, **changes):
        self.meters = None
        super().__init__(ticks, **changes)
        self.meter = WaterMeter(self.house)
        self.line = Line()
        points = tuple(self.bank.point("meter1_" + name) for name in loop_maker.METER_POINTS)
        self.meters = heat_meters.HeatMeters(
            self.line, ((1, None, interval_s, battery),), self.bank, points, self.loop._sensors, self.alarms
        )
        self.loop.use_meters(self.meters)

    def step(self, seconds, only_raise=False):
        for _ in range(max(1, seconds // 2)):
            super().step(2)
            if self.meters is not None:
                numbers = self.meter.numbers()
                self.meter.energy_wh += max(0, numbers["power"]) * 2 / 3600
                self.meters.look()
                for frame in self.line.sent:
                    self.line.waiting += self.meter.answer(frame)
                self.line.sent.clear()

    def bits(self):
        return self.read("meter1_status_bits")


@pytest.fixture
def rig(ticks):
    made = MeterRig(ticks)
    made.step(HOUR_S)
    assert made.bits() == 0
    return made


def named(*names):
    return sum(1 << getattr(meter_doubt, name) for name in names)


def test_the_registers_show_what_the_meter_tells(rig):
    told = rig.meter.numbers()
    assert rig.read("meter1_supply_temp_c") == pytest.approx(told["supply"], abs=0.01)
    assert rig.read("meter1_return_temp_c") == pytest.approx(told["return"], abs=0.1)
    assert rig.read("meter1_flow_m3_h") == pytest.approx(told["flow"] / 1000, abs=0.02)
    assert rig.read("meter1_heat_kw") == pytest.approx(told["power"] / 1000, rel=0.05)
    assert rig.read("meter1_energy_kwh") == pytest.approx(told["energy"] / 1000, abs=1.1)
    assert rig.read("meter1_number_code") == 12_345_678
    assert rig.read("meter1_age_s") <= 14
    assert rig.read("meter1_volume_m3") is None  # this one does not tell it
    assert rig.read("meter1_question_count") == pytest.approx(HOUR_S / 10, abs=3)
    assert rig.read("meter2_status_bits") is None
    assert rig.read("meter2_energy_kwh") is None


def test_the_flow_limit_goes_by_the_meter_where_there_is_no_sensor(ticks):
    rig = MeterRig(ticks, contract_flow_limit_m3_h=0.15, inputs={"primary_flow_m3_h": None})
    rig.step(2 * HOUR_S)
    assert rig.house.flow_m3_h == pytest.approx(0.15, abs=0.01)
    assert rig.read("active_limiter_number") == 2
    assert rig.read("primary_flow_m3_h") == pytest.approx(0.15, abs=0.01)
    assert rig.read("primary_heat_kw") == pytest.approx(rig.meter.numbers()["power"] / 1000, rel=0.03)
    assert not rig.alarm("METER_LOST")
    # lost: heat before tariff, and what is not measured is not counted
    counted = rig.read("primary_energy_kwh")
    rig.meter.silent = True
    rig.step(24)
    assert rig.alarm("METER_LOST")
    rig.step(120)
    assert rig.read("primary_flow_m3_h") is None
    assert rig.read("primary_heat_kw") is None
    before = rig.read("primary_energy_kwh")
    rig.step(2 * HOUR_S)
    assert rig.read("primary_energy_kwh") == before
    assert before - counted < 1
    assert rig.house.flow_m3_h > 0.2
    assert rig.house.supply_c == pytest.approx(61.36, abs=1.5)
    assert rig.read("meter1_age_s") > 2 * HOUR_S
    # and back
    rig.meter.silent = False
    rig.step(2 * HOUR_S)
    assert not rig.alarm("METER_LOST")
    assert rig.house.flow_m3_h == pytest.approx(0.15, abs=0.01)


def test_a_lost_meter_leaves_the_limit_to_the_flow_sensor(ticks):
    rig = MeterRig(ticks, contract_flow_limit_m3_h=0.15)
    rig.meter.silent = True
    rig.step(2 * HOUR_S)
    assert rig.alarm("METER_LOST")
    assert rig.bits() == named("SILENT")
    assert rig.house.flow_m3_h == pytest.approx(0.15, abs=0.01)
    assert rig.read("meter1_age_s") is None  # it never told anything


def test_the_meter_bridges_a_lost_flow_sensor(ticks):
    rig = MeterRig(ticks, contract_flow_limit_m3_h=0.15)
    rig.house.lost = {FLOW}
    rig.step(2 * HOUR_S)
    assert rig.alarm("SENSOR_LOST")
    assert rig.house.flow_m3_h == pytest.approx(0.15, abs=0.01)
    assert rig.read("primary_heat_kw") is not None


def test_a_broken_answer_is_told_apart_from_silence(rig):
    rig.meter.broken = True
    rig.step(60)
    assert rig.bits() == named("REFUSED")
    assert rig.alarm("METER_LOST")
    rig.meter.broken = False
    rig.step(80)
    assert rig.bits() == 0
    assert not rig.alarm("METER_LOST")


def test_an_old_reading_limits_nothing(ticks):
    rig = MeterRig(ticks, interval_s=HOUR_S, battery=True, contract_flow_limit_m3_h=0.15,
                   inputs={"primary_flow_m3_h": None})  # fmt: skip
    rig.step(3 * HOUR_S)
    assert rig.read("meter1_question_count") == 3
    assert not rig.alarm("METER_LOST")
    assert rig.meters.flow_l_h() is None
    assert rig.read("primary_heat_kw") is None
    assert rig.house.supply_c == pytest.approx(61.36, abs=1.5)


def test_what_is_a_week_old_never_becomes_fresh_again(ticks):
    """The counter of milliseconds comes round every 12.4 days."""
    rig = MeterRig(ticks)
    rig.step(120)
    assert rig.meters.flow_l_h() is not None
    rig.meter.silent = True
    for _ in range(14 * 12):
        ticks.now_ms += 2 * HOUR_S * 1000
        rig.meters.look()
        rig.meters.look()
        assert rig.meters.flow_l_h() is None
    assert rig.read("meter1_age_s") >= heat_meters.OLDEST_MS // 1000


STATUS = [
    (0x01, "APPLICATION"), (0x02, "APPLICATION"), (0x03, "APPLICATION"), (0x04, "POWER_LOW"),
    (0x08, "PERMANENT"), (0x10, "TEMPORARY"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "name"), STATUS)
def test_what_the_meter_says_of_itself_is_told(rig, status, name):
    rig.meter.status = status
    rig.step(20)
    assert rig.bits() == named(name)
    assert rig.alarm("METER_DOUBT")
    assert not rig.alarm("METER_LOST")
    assert (rig.meters.flow_l_h() is None) == (name != "POWER_LOW")
    rig.meter.status = 0
    rig.step(20)
    assert rig.bits() == 0
    assert not rig.alarm("METER_DOUBT")


def test_a_flow_backwards_is_told_and_limits_nothing(rig):
    rig.meter.changes = {"flow": -200}
    rig.step(20)
    assert rig.bits() == named("NEGATIVE_FLOW")
    assert rig.read("meter1_flow_m3_h") == 0
    assert rig.meters.flow_l_h() is None


@pytest.mark.parametrize(
    ("factor", "doubted"), [(1.0, False), (1.09, False), (0.91, False), (1.5, True), (0.5, True), (0.0, True)]
)
def test_power_must_fit_flow_and_temperatures(rig, factor, doubted):
    """A meter of class 2 may be off by 9 % here, water's heat coefficient included; not by 50 %."""
    plain = {"flow": 600, "supply": 90.0, "return": rig.meter.numbers()["return"]}
    plain["power"] = factor * 1.147 * 600 * (90.0 - plain["return"])
    rig.meter.changes = plain
    rig.step(20)
    assert rig.bits() == 0  # one reading proves nothing
    rig.step(40)
    assert rig.bits() == (named("CONTRADICTS_POWER") if doubted else 0)
    assert rig.alarm("METER_DOUBT") == doubted


def test_power_is_not_judged_below_the_least_temperature_difference():
    class Reading:
        value = [None] * 9
        step = [0] * 9
        status = 0
        identity = None

    judge = meter_doubt.Judge()
    Reading.value[2:6] = 900, 1_000, 50_000, 47_100
    for _ in range(5):
        assert judge.step(Reading, None, None) == 0
    Reading.value[5] = 46_000
    Reading.value[2] = 9_000
    assert [judge.step(Reading, None, None) for _ in range(3)][-1] == named("CONTRADICTS_POWER")


def test_temperatures_must_fit_the_own_sensors(rig):
    rig.meter.changes = {"supply": 84.0, "power": 1.147 * rig.house.flow_m3_h * 1000 * 40}
    rig.step(60)
    assert rig.bits() & named("CONTRADICTS_SENSORS")
    rig.meter.changes = {}
    rig.step(20)
    assert rig.bits() == 0
    rig.house.lost = {PRIMARY_SUPPLY}  # nothing to compare with
    rig.meter.changes = {"supply": 84.0, "power": 1.147 * rig.house.flow_m3_h * 1000 * 40}
    rig.step(60)
    assert not rig.bits() & named("CONTRADICTS_SENSORS")


def test_swapped_temperature_sensors_are_named(rig):
    told = rig.meter.numbers()
    rig.meter.changes = {"supply": told["return"], "return": told["supply"], "power": 0}
    rig.step(60)
    assert rig.bits() == named("SWAPPED")
    assert rig.alarm("METER_DOUBT")


def test_a_meter_that_repeats_itself_while_the_water_changes_is_stuck(rig):
    rig.meter.changes = {**rig.meter.numbers(), "energy": 4_100_000}
    rig.step(120)
    assert not rig.bits() & named("STUCK")  # steady water is no fault
    rig.house.primary_supply_c -= 4.0
    rig.step(120)
    assert not rig.bits() & named("STUCK")
    rig.house.primary_supply_c -= 2.0
    rig.step(60)
    assert rig.bits() & named("STUCK")
    assert rig.meters.flow_l_h() is None
    rig.meter.changes = {}
    rig.step(60)
    assert not rig.bits() & named("STUCK")


def test_a_meter_that_tells_no_temperature_is_not_taken_for_stuck():
    reading = records.Reading()
    reading.value[records.ENERGY] = 1_000_000
    judge = meter_doubt.Judge()
    assert [judge.step(reading, 80_000 - 2_000 * step, 50_000) for step in range(10)] == [0] * 10


def test_a_sum_that_does_not_rise_is_stuck(rig):
    power_kw = rig.read("meter1_heat_kw")
    assert power_kw > 8
    rig.meter.changes = {"energy": rig.meter.energy_wh}
    rig.step(int(25 / power_kw * HOUR_S))
    assert rig.bits() == 0
    rig.step(int(10 / power_kw * HOUR_S))
    assert rig.bits() == named("STUCK")


def told(energy, power, flow_l_h=6_000):
    """Return the reading of a large meter; energy and power as records, 90 and 40 degC."""
    text = energy + power + b"\x04\x3b" + flow_l_h.to_bytes(4, "little") + b"\x02\x59\x28\x23\x02\x5d\xa0\x0f"
    data = b"\x78" + text
    reading = records.Reading()
    assert records.decode(data, 0, len(data), reading) == records.OK
    assert reading.whole
    return reading


STEPS_WH = {b"\x04\xfb\x00": 100_000, b"\x04\xfb\x01": 1_000_000, b"\x04\xfb\x09": 1e9 / 3600}


@pytest.mark.parametrize("energy", STEPS_WH)
def test_a_large_meter_counts_in_large_steps_and_is_not_taken_for_stuck(ticks, energy):
    judge = meter_doubt.Judge()
    power_w = 345_000
    hours = 6 * STEPS_WH[energy] / power_w
    counted_wh = 0.0

    def minutes(number, counts):
        nonlocal counted_wh
        bits = 0
        for _ in range(number):
            counted_wh += counts * power_w / 60
            count = energy + int(counted_wh / STEPS_WH[energy]).to_bytes(4, "little")
            bits |= judge.step(told(count, b"\x04\x2b" + power_w.to_bytes(4, "little")), None, None)
            ticks.now_ms += 60_000
        return bits

    assert minutes(int(60 * hours), True) == 0
    assert minutes(int(60 * hours), False) == named("STUCK")


@pytest.mark.parametrize(("tenths_mw", "wrong"), [(2, True), (3, False), (4, False), (6, True)])
def test_power_in_large_steps_is_judged_by_its_step(ticks, tenths_mw, wrong):
    judge = meter_doubt.Judge()
    for _ in range(5):
        ticks.now_ms += 10_000
        reading = told(b"\x04\x06\x10\x27\0\0", b"\x04\xfb\x28" + tenths_mw.to_bytes(4, "little"))
        bits = judge.step(reading, None, None)
    assert bits == (named("CONTRADICTS_POWER") if wrong else 0)


@pytest.mark.parametrize("change", [{"number": 87_654_321}, {"energy_wh": 12_000}])
def test_another_meter_is_noticed_and_its_readings_are_taken(rig, change):
    for name, value in change.items():
        setattr(rig.meter, name, value)
    rig.step(20)
    assert rig.bits() == named("REPLACED")
    assert rig.alarm("METER_DOUBT")
    assert rig.meters.flow_l_h() is not None
    assert rig.read("meter1_number_code") == rig.meter.number


def test_every_bit_has_its_row_and_the_row_says_what_happens():
    """The published table against the masks that the loop goes by."""
    assert [row[0] for row in function_tables.METER_FALLBACKS] == list(registers.METER_BITS)
    for place, (name, _, limits, source) in enumerate(function_tables.METER_FALLBACKS):
        stops = (meter_doubt.LOST | meter_doubt.DOUBTFUL) >> place & 1
        assert bool(stops) != limits, name
        assert source


def test_numbers_and_points_stand_in_the_order_of_the_map():
    names = [row.name for row in registers.HEAT_METERS[: heat_meters.POINTS]]
    assert names == ["meter1_" + name for name in loop_maker.METER_POINTS]
    assert loop_maker.METER_POINTS.index("age_s") == heat_meters.AGE
    assert loop_maker.METER_POINTS.index("question_count") == heat_meters.QUESTIONS
