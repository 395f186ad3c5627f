"""The emulated heat meter: its telegrams byte by byte, its errors against EN 1434, its manners on the bus."""

from __future__ import annotations

import pytest

from ..bench.meter_bus import ACK, FAULTS, MeterBus, Slave, frames
from ..bench.plant import heat_meter
from ..bench.plant.heat_meter import HeatMeter
from ..bench.serial_line import MeterLine

NKE = bytes.fromhex("10 40 07 47 16")
ASK = bytes.fromhex("10 7B 07 82 16")
ASK_OTHER_BIT = bytes.fromhex("10 5B 07 62 16")


def test_records_are_as_the_standard_writes_them() -> None:
    """EN 13757-3, coded by hand: 12 565 kWh, 23.5 degC, 113 l/h, and -59 degC in BCD."""
    integer, decimal = heat_meter.integer, heat_meter.decimal
    assert integer(4, heat_meter.ENERGY_WH, 3, 12_565_000.0) == bytes.fromhex("04 06 15310000")
    assert integer(2, heat_meter.SUPPLY_C, -1, 23.5) == bytes.fromhex("02 5A EB00")
    assert integer(2, heat_meter.FLOW_M3_H, -3, -0.1) == bytes.fromhex("02 3B 9CFF")
    assert integer(4, heat_meter.ENERGY_WH, 3, 1_000.0, storage=1) == bytes.fromhex("44 06 01000000")
    assert integer(4, heat_meter.ENERGY_WH, 3, 1_000.0, storage=2) == bytes.fromhex("84 01 06 01000000")
    assert decimal(0x0A, heat_meter.FLOW_M3_H, -3, 0.113) == bytes.fromhex("0A 3B 1301")
    assert decimal(0x0A, heat_meter.RETURN_C, 0, -59.0) == bytes.fromhex("0A 5F 59F0")
    with pytest.raises(ValueError, match="no power of ten"):
        integer(2, heat_meter.SUPPLY_C, 1, 20.0)


def test_a_telegram_begins_with_number_maker_and_medium() -> None:
    meter = HeatMeter(number=12_345_678)
    head = meter.telegrams()[0][:13]
    assert head == bytes.fromhex("72 78563412 1652 01 0C 01 00 0000")


@pytest.mark.parametrize("seed", range(20))
def test_errors_stay_within_class_2(seed: int) -> None:
    meter = HeatMeter(seed=seed, refresh_s=0.0)
    for flow, supply, back in ((1.5, 90.0, 45.0), (0.05, 80.0, 70.0), (0.3, 60.0, 56.0)):
        before_wh, before_true_wh = meter.energy_wh, meter.true_energy_wh
        meter.step(3600.0, flow, supply, back)
        limits = meter.permissible_pct(flow, supply - back)
        assert abs(meter.flow_m3_h / flow - 1.0) * 100.0 <= limits[0] + 1e-9
        counted = (meter.energy_wh - before_wh) / (meter.true_energy_wh - before_true_wh)
        assert abs(counted - 1.0) * 100.0 <= sum(limits) * 1.02  # products of small errors
    assert meter.energy_wh != meter.true_energy_wh


def test_the_limits_of_class_2_are_those_of_the_standard() -> None:
    meter = HeatMeter(qp_m3_h=1.5)
    assert meter.permissible_pct(1.5, 30.0) == pytest.approx((2.02, 0.8, 0.6))
    assert meter.permissible_pct(0.015, 3.0) == pytest.approx((4.0, 3.5, 1.5))
    assert meter.permissible_pct(0.001, 3.0)[0] == 5.0


def test_below_its_least_flow_it_counts_nothing() -> None:
    meter = HeatMeter(qp_m3_h=1.5)
    meter.step(3600.0, 0.014, 90.0, 40.0)
    assert meter.energy_wh == 0.0
    assert meter.true_energy_wh > 500.0


def slave(**changes: str) -> Slave:
    meter = HeatMeter(seed=1, dialect=changes.pop("dialect", "integer"))
    meter.step(8.0, 1.0, 80.0, 50.0)
    return Slave(meter, 7, lambda: (1.0, 80.0, 50.0), **changes)  # type: ignore[arg-type]


def test_a_slave_acknowledges_answers_and_repeats() -> None:
    one = slave()
    assert one.answer(NKE) == ACK
    first = one.answer(ASK)
    assert first[0] == first[3] == 0x68
    assert first[4:6] == bytes((0x08, 7))
    assert sum(first[4:-2]) & 0xFF == first[-2]
    assert one.answer(ASK) == first  # the same frame count bit: it was not received
    second = one.answer(ASK_OTHER_BIT)
    assert second != first  # the access number has risen
    assert one.reads == 3
    assert one.answer(bytes.fromhex("10 7B 08 83 16")) == b""
    assert one.reads == 3


def test_a_slave_is_selected_by_its_number() -> None:
    one = slave()
    chosen = bytes.fromhex("68 0B 0B 68 73 FD 52 78563412 FFFFFFFF D2 16")
    other = bytes.fromhex("68 0B 0B 68 73 FD 52 79563412 FFFFFFFF D3 16")
    ask = bytes.fromhex("10 7B FD 78 16")
    assert one.answer(ask) == b""
    assert one.answer(chosen) == ACK
    assert one.answer(ask)[4] == 0x08
    assert one.answer(other) == b""
    assert one.answer(ask) == b""
    assert one.answer(chosen) == ACK
    one.answer(bytes.fromhex("10 40 FD 3D 16"))
    assert one.answer(ask) == b""


def test_two_telegrams_come_in_turn() -> None:
    one = slave(dialect="two telegrams")
    assert one.answer(NKE) == ACK
    assert one.answer(ASK)[-3] == heat_meter.MORE_FOLLOWS
    assert one.answer(ASK_OTHER_BIT)[-3] != heat_meter.MORE_FOLLOWS
    assert one.answer(ASK)[-3] == heat_meter.MORE_FOLLOWS


def test_each_fault_is_seen_on_the_line() -> None:
    good = slave().answer(ASK)
    assert slave(fault="checksum").answer(ASK)[-2] == (good[-2] + 1) & 0xFF
    assert slave(fault="wrong address").answer(ASK)[5] == 8
    assert slave(fault="application error").answer(ASK)[6:8] == b"\x70\x08"
    line = MeterLine()
    with pytest.raises(ValueError, match="no fault of a meter"):
        MeterBus(line, [slave(fault="tired")])
    line.close()
    assert "tired" not in FAULTS


def test_noise_between_frames_is_passed_over() -> None:
    whole, rest = frames(b"\x00\x16" + NKE + b"\x10\x68" + ASK + ASK[:3])
    assert whole == [NKE, ASK]
    assert rest == ASK[:3]
