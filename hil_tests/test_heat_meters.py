"""Heat meters on the M-Bus of a running controller: read, judged, lost and found again, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core_ext import fluid
from firmware.substation import registers

from .acceptance import limit
from .bench import board_io
from .bench.controller import Controller
from .bench.meter_bus import MeterBus, Slave
from .bench.plant.heat_meter import HeatMeter
from .bench.station import Bench

MAINS = {"address": 1, "battery": False}
HOUR_S = 3_600.0
CP_KJ_KGK = 4.18  # of water at 50 degC


def bit(name: str) -> int:
    return 1 << registers.METER_BITS.index(name)


def alarm(controller: Controller, name: str) -> bool:
    return bool(int(controller.read("alarm_bits") or 0) >> registers.ALARM_BITS.index(name) & 1)


class Metered:
    """A house with its controller and one heat meter in the network's pipe, settled for half an hour."""

    def __init__(self, bench: Bench, wired: list[dict[str, Any]], baud: int = 2400, dialect: str = "integer",
                 fault: str = "", **settings: Any) -> None:  # fmt: skip
        self.bench = bench
        bench.plant.outdoor_temp_c = -5.0
        self.controller = bench.start_controller(mbus_meters=wired, mbus_baud=baud, **settings)
        self.density = float(fluid.density_kg_m3(50.0))
        self.meter = HeatMeter(seed=7, dialect=dialect)
        self.slave = Slave(self.meter, 1, self.truth, fault)
        self.bus = MeterBus(bench.fleet.meter_lines[0], [self.slave], baud, seed=7)
        bench.clock.recorders.append(self.bus.advance)

    def truth(self) -> tuple[float, float, float]:
        plant = self.bench.plant
        flow_m3_h = float(plant.primary_flow_kg_s[0]) * 3600.0 / self.density
        supply_c = float(plant.primary_supply_temp_c[0])
        return flow_m3_h, supply_c, float(plant.houses.exchangers.primary_out_c[0])

    def read(self, name: str) -> float:
        value = self.controller.read(name)
        assert value is not None, name
        return float(value)

    def bits(self) -> int:
        return int(self.read("meter1_status_bits"))


@pytest.fixture
def make(tmp_path: Path, firmware_bundle: Path) -> Iterator[Callable[..., Metered]]:
    benches: list[Bench] = []

    def made(wired: list[dict[str, Any]], **changes: Any) -> Metered:
        folder = tmp_path / str(len(benches))
        benches.append(Bench(folder, bundle=firmware_bundle, meters=True))
        return Metered(benches[-1], wired, **changes)

    yield made
    for bench in benches:
        bench.close()


def judge_readings(house: Metered) -> None:
    """Readings in the registers are what the meter measured, and the meter is right within its class."""
    flow, supply, back = house.truth()
    assert house.read("meter1_flow_m3_h") == pytest.approx(house.meter.flow_m3_h, abs=0.02)
    assert house.read("meter1_supply_temp_c") == pytest.approx(house.meter.supply_c, abs=0.3)
    assert house.read("meter1_return_temp_c") == pytest.approx(house.meter.return_c, abs=0.5)
    assert house.read("meter1_heat_kw") == pytest.approx(house.meter.power_w / 1000.0, rel=0.05, abs=0.2)
    assert house.read("meter1_energy_kwh") == pytest.approx(house.meter.energy_wh / 1000.0, abs=1.5)
    assert house.read("meter1_volume_m3") == pytest.approx(house.meter.volume_m3, abs=0.03)
    assert house.read("meter1_number_code") == 12_345_678
    assert house.read("meter1_age_s") <= 16
    limit_pct = sum(house.meter.permissible_pct(flow, supply - back))
    error_pct = 100.0 * (house.meter.energy_wh / house.meter.true_energy_wh - 1.0)
    assert 0.0 < abs(error_pct) <= limit_pct


@pytest.mark.parametrize("dialect", ["integer", "decimal", "two telegrams"])
def test_every_dialect_is_read(make: Callable[..., Metered], dialect: str) -> None:
    house = make([MAINS], dialect=dialect)
    house.bench.run_for(HOUR_S / 2)
    judge_readings(house)
    assert house.bits() == 0
    assert not alarm(house.controller, "meter_lost")
    assert not alarm(house.controller, "meter_doubt")


def test_at_300_baud_a_telegram_takes_seconds_and_is_read(make: Callable[..., Metered]) -> None:
    house = make([MAINS], baud=300)
    house.bench.run_for(HOUR_S / 2)
    judge_readings(house)
    assert house.bits() == 0
    assert HOUR_S / 2 / 15.0 < house.slave.reads <= HOUR_S / 2 / 10.0 + 1


def test_a_meter_is_found_by_the_number_on_its_label(make: Callable[..., Metered]) -> None:
    house = make([{"number": "12345678", "battery": False}])
    house.bench.run_for(HOUR_S / 2)
    judge_readings(house)


def test_a_battery_meter_is_read_once_an_hour_whatever_the_power_does(make: Callable[..., Metered]) -> None:
    """Hourly reads are free (Kamstrup 302); six power cuts, 4 minutes apart, add none."""
    house = make([{"address": 1}])
    house.bench.run_for(2 * HOUR_S)
    assert house.slave.reads == 2
    assert house.read("meter1_question_count") == 2
    assert house.read("meter1_age_s") < HOUR_S + 20.0
    for _ in range(6):
        house.bench.cut(house.controller)
        house.bench.power(house.controller)
        house.bench.run_for(240.0)
    assert house.slave.reads == 2


def test_a_lost_meter_is_told_and_the_flow_limit_ends_with_it(make: Callable[..., Metered]) -> None:
    """Without a flow sensor the limit goes by the meter; lost, heat comes before tariff."""
    limit = 0.18
    house = make([MAINS], contract_flow_limit_m3_h=limit, inputs={"primary_flow_m3_h": None})
    house.bench.run_for(1.5 * HOUR_S)
    assert house.truth()[0] == pytest.approx(limit, rel=0.06)
    assert house.read("active_limiter_number") == 2
    cold_c = house.read("secondary_supply_temp_c")
    house.slave.fault = "silent"
    house.bench.run_for(20.0)
    assert house.bits() == bit("silent")
    assert alarm(house.controller, "meter_lost")
    house.bench.run_for(HOUR_S)
    assert house.controller.read("primary_heat_kw") is None
    assert house.controller.read("primary_flow_m3_h") is None
    assert house.truth()[0] > 1.2 * limit
    assert house.read("secondary_supply_temp_c") > cold_c + 3.0
    house.slave.fault = ""
    house.bench.run_for(HOUR_S)
    assert not alarm(house.controller, "meter_lost")
    assert house.bits() == 0
    assert house.truth()[0] == pytest.approx(limit, rel=0.06)


def permissible_pct(flow_m3_h: float, difference_k: float, qp_m3_h: float = 1.5) -> float:
    """What class 2 allows a whole meter, by the limits of acceptance.yaml and not by the plant's own."""
    ratio = limit("meter-difference") / difference_k
    flow = limit("meter-flow") + limit("meter-flow-slope") * qp_m3_h / flow_m3_h
    sensors = limit("meter-sensors") + limit("meter-sensors-slope") * ratio
    calculator = limit("meter-calculator") + limit("meter-calculator-slope") * ratio
    return min(flow, limit("meter-flow-most")) + sensors + calculator


def test_a_meter_within_class_2_is_believed_at_every_flow(make: Callable[..., Metered]) -> None:
    """From mild to the coldest day the register is right within the class, and nothing is doubted."""
    house = make([MAINS])
    flows = []
    for outdoor_c in (8.0, -2.0, -12.0):
        house.bench.plant.outdoor_temp_c = outdoor_c
        house.bench.run_for(HOUR_S / 2)
        told, true, water = [], [], []
        for _ in range(30):
            house.bench.run_for(16.0)
            told.append(house.read("meter1_heat_kw"))
            flow, supply, back = house.truth()
            water.append((flow, supply - back))
            true.append(house.density * CP_KJ_KGK * flow / 3_600.0 * (supply - back))
            assert house.bits() == 0
        flow, difference = (sum(column) / len(water) for column in zip(*water, strict=True))
        off_pct = 100.0 * abs(sum(told) / sum(true) - 1.0)
        assert off_pct <= permissible_pct(flow, difference), outdoor_c
        assert not alarm(house.controller, "meter_doubt")
        flows.append(flow)
    assert flows[2] > 2.0 * flows[0]


FAULTS = [
    ("silent", "silent"), ("garbage", "refused"), ("checksum", "refused"), ("wrong address", "refused"),
    ("application error", "refused"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "name"), FAULTS)
def test_each_fault_of_the_line_is_told_and_ends(make: Callable[..., Metered], fault: str, name: str) -> None:
    house = make([MAINS])
    house.bench.run_for(600.0)
    assert house.bits() == 0
    house.slave.fault = fault
    house.bench.run_for(120.0)
    assert house.bits() == bit(name)
    assert alarm(house.controller, "meter_lost")
    assert house.read("meter1_age_s") >= 100
    house.slave.fault = ""
    house.bench.run_for(120.0)
    assert house.bits() == 0
    assert not alarm(house.controller, "meter_lost")
    judge_readings(house)


def test_a_noisy_line_costs_repetitions_and_never_a_wrong_number(make: Callable[..., Metered]) -> None:
    house = make([MAINS], fault="noisy")
    house.bench.run_for(600.0)
    seen = 0
    for _ in range(30):
        house.bench.run_for(60.0)
        if house.controller.read("meter1_age_s") is None:
            continue
        seen += 1
        assert abs(house.read("meter1_supply_temp_c") - house.truth()[1]) < 20.0
        assert house.read("meter1_flow_m3_h") < 3.0
        assert house.read("meter1_number_code") == 12_345_678
    assert seen > 20
    repeated = [frame for _, frame in house.bus.asked]
    assert len(repeated) > house.slave.reads > 60


DOUBTS: list[tuple[str, Callable[[Metered], None], str]] = [
    ("status byte", lambda house: setattr(house.meter, "status", 0x08), "permanent"),
    ("battery", lambda house: setattr(house.meter, "status", 0x04), "power_low"),
    ("calculator", lambda house: setattr(house.meter, "power_factor", 0.6), "contradicts_power"),
    ("supply sensor", lambda house: setattr(house.meter, "supply_offset_k", -9.0), "contradicts_sensors"),
    ("swapped sensors", lambda house: setattr(house.meter, "swapped", True), "swapped"),
    ("backwards", lambda house: setattr(house.meter, "backwards", True), "negative_flow"),
    ("another meter", lambda house: setattr(house.meter, "number", 55_555_555), "replaced"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "name"), [row[1:] for row in DOUBTS], ids=[row[0] for row in DOUBTS])
def test_a_meter_in_doubt_is_told_and_heating_goes_on(
    make: Callable[..., Metered], spoil: Callable[[Metered], None], name: str
) -> None:
    house = make([MAINS])
    house.bench.run_for(HOUR_S / 4)
    assert house.bits() == 0
    spoil(house)
    house.bench.run_for(limit("fault-meter-told"))
    assert house.bits() & bit(name)
    assert alarm(house.controller, "meter_doubt")
    assert not alarm(house.controller, "meter_lost")
    house.bench.run_for(HOUR_S / 4)
    own_c = house.read("own_curve_temp_c")
    assert house.read("secondary_supply_temp_c") == pytest.approx(own_c, abs=limit("supply-near"))


def test_a_frozen_meter_is_found_when_the_network_changes(make: Callable[..., Metered]) -> None:
    house = make([MAINS])
    house.bench.run_for(HOUR_S / 4)
    house.meter.frozen = True
    house.bench.plant.unwired.heat_demand[-1] -= 0.1  # the plant sends 13 K less
    house.bench.run_for(HOUR_S)
    assert house.bits() & bit("stuck")
    house.meter.frozen = False
    house.bench.run_for(120.0)
    assert house.bits() == 0


def test_the_meter_names_the_controllers_own_sensor_that_lies(make: Callable[..., Metered]) -> None:
    house = make([MAINS])
    house.bench.run_for(HOUR_S / 2)
    house.bench.plant.sensors.fail(0, board_io.PRIMARY_RETURN, "offset", 12.0)
    house.bench.run_for(300.0)
    assert house.bits() == bit("contradicts_sensors")
    house.bench.plant.sensors.repair(0, board_io.PRIMARY_RETURN)
    house.bench.run_for(300.0)
    assert house.bits() == 0


def test_two_runs_are_the_same_to_the_byte(make: Callable[..., Metered]) -> None:
    told = []
    for _ in range(2):
        house = make([MAINS], fault="noisy")
        house.bench.run_for(HOUR_S / 2)
        told.append((house.bench.sha256, tuple(house.bus.asked)))
    assert told[0] == told[1]
    assert len(told[0][1]) > 100
