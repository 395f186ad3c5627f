"""The second heating circuit: its own curve, valve, pump and sensors; what is shared is shared."""

import pytest

from firmware.substation import precedence

from .dhw_rig import RETURN2, ROOM2, SUPPLY2, TWO_CIRCUITS, FunctionRig

OWN2_C = 45 - 20 * 10 / 33  # 45 degC at -15, 25 at 18


@pytest.fixture
def rig(ticks):
    rig = FunctionRig(ticks, **TWO_CIRCUITS, supply_temp_maximum_c=85)
    rig.step(3600)
    return rig


def test_each_holds_its_own_curve(rig):
    assert rig.house.supply_c == pytest.approx(61.36, abs=1.0)
    assert rig.house2.supply_c == pytest.approx(OWN2_C, abs=1.0)
    assert rig.read("own2_curve_temp_c") == pytest.approx(OWN2_C, abs=0.02)
    assert rig.read("secondary2_supply_temp_c") == pytest.approx(rig.house2.supply_c, abs=0.2)
    assert rig.read("valve2_position_out_pct") / 100 == pytest.approx(rig.house2.valve, abs=0.03)
    assert rig.read("secondary2_pump_out_number") == 1


def test_an_ordered_shift_moves_both_and_the_deprived_one_is_counted(rig):
    rig.order({"curve_shift_sp_k": -6.0}, lease_s=3600)
    rig.step(1200)
    assert rig.read("secondary2_supply_temp_effective_c") == pytest.approx(OWN2_C - 6, abs=0.02)
    assert rig.read("secondary_supply_temp_effective_c") == pytest.approx(61.36 - 6, abs=0.02)
    used = rig.read("deficit_used_kh")
    rig.step(600)
    assert rig.read("deficit_used_kh") - used == pytest.approx(1.0, abs=0.05)


def test_an_ordered_supply_moves_the_first_alone(rig):
    rig.order({"secondary_supply_temp_sp_c": 50.0}, lease_s=3600)
    rig.step(900)
    assert rig.read("secondary_supply_temp_effective_c") == 50.0
    assert rig.read("secondary2_supply_temp_effective_c") == pytest.approx(OWN2_C, abs=0.02)


def test_s5_the_second_maximum_closes_the_second_valve(rig):
    rig.house2.supply_c = 62.0  # above 55 and 5
    rig.step(2)
    assert rig.read("active2_limiter_number") == precedence.MAXIMUM
    assert rig.board.others[1].direction == -1
    assert rig.read("active_limiter_number") != precedence.MAXIMUM


def test_s5_frost_in_the_second_circuit(rig):
    rig.house2.supply_c = 8.0
    rig.house2.return_c = 6.0
    rig.step(20)
    assert rig.alarm("FROST_PROTECTION")
    assert rig.read("active2_limiter_number") == precedence.FROST
    assert rig.read("active_limiter_number") != precedence.FROST


def test_s1_the_second_supply_lost_puts_its_valve_to_30_percent_and_comes_back(rig):
    rig.dhw_lost.add(SUPPLY2)
    rig.step(900)
    assert rig.house2.valve == pytest.approx(0.30, abs=0.02)
    assert rig.read("active2_limiter_number") == precedence.FALLBACK
    assert rig.alarm("SENSOR_LOST")
    assert rig.read("sensor_fault_bits") == 1 << SUPPLY2
    assert rig.house.supply_c == pytest.approx(61.36, abs=1.0)
    rig.dhw_lost.clear()
    rig.step(3600)
    assert rig.house2.supply_c == pytest.approx(OWN2_C, abs=1.0)
    assert not rig.alarm("SENSOR_LOST")


@pytest.mark.parametrize("lost", [RETURN2, ROOM2])
def test_s1_other_losses_are_told_and_the_second_heats_on(rig, lost):
    rig.dhw_lost.add(lost)
    rig.step(1200)
    assert rig.alarm("SENSOR_LOST")
    assert rig.house2.supply_c == pytest.approx(OWN2_C, abs=1.0)
    rig.dhw_lost.clear()
    rig.step(60)
    assert not rig.alarm("SENSOR_LOST")


def test_two_curves_of_different_form(ticks):
    rig = FunctionRig(
        ticks, **TWO_CIRCUITS, curve_points=[[-15, 75], [-5, 60], [5, 45], [18, 30]],
        curve2_slope={"slope": 0.6, "level_k": 2},
    )  # fmt: skip
    rig.step(4)
    assert rig.read("own_curve_temp_c") == 60.0
    assert rig.read("own2_curve_temp_c") == pytest.approx(20 + 2 + 0.6 * 25, abs=0.01)


def test_valves_are_stopped_each_at_its_own_time(rig):
    for board in (rig.board, rig.board.others[1]):
        board.valve(0)
    before = [rig.house.valve, rig.house2.valve]
    rig.house.outdoor_c = -15.0
    rig.step(1800)
    assert rig.house.valve > before[0]
    for number, house in enumerate((rig.house, rig.house2)):
        assert rig.loop.circuits[number].valve.position_bp / 10_000 == pytest.approx(house.valve, abs=0.02)


def test_an_analog_valve_holds_the_curve_too(ticks):
    rig = FunctionRig(ticks, valve_kind="analog", proportional_band_k=120)
    volts = rig.board.volts_bp

    def plant(dt_s):
        wanted = volts[0] / 10_000
        rig.house.valve += max(-dt_s / 60, min(dt_s / 60, wanted - rig.house.valve))
        rig.house.step(dt_s)

    rig.plant = plant
    rig.step(2 * 3600)
    assert rig.house.supply_c == pytest.approx(61.36, abs=1.5)
    assert rig.read("valve_position_out_pct") == pytest.approx(volts[0] / 100, abs=0.01)
