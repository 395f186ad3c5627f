"""Limiters of the substation: by outdoor temperature, by heat, by the returns' difference, by tariff."""

import pytest

from firmware.substation import precedence
from firmware.substation.capacity import Window
from firmware.substation.register_bank import RegisterBank

from .dhw_rig import DHW_SUPPLY, INSTANTANEOUS, STORAGE, TWO_CIRCUITS, FunctionRig
from .loop_rig import FLOW, PRIMARY_RETURN, PRIMARY_SUPPLY

LIMITER = "active_limiter_number"
OWN_C = 61.36


LIMITERS = {
    precedence.HEAT: {"contract_heat_limit_kw": 8.0},
    precedence.FLOW: {"contract_flow_limit_m3_h": 0.2},
    precedence.RETURN: {"return_limit_temp_c": 40},
    precedence.DIFFERENCE: {"return_difference_limit_k": 2.0},
    precedence.CAPACITY: {"capacity_heat_limit_kw": 8.0, "capacity_window_s": 900},
}
VALVES = {
    "small": lambda opening: 0.4 * opening,
    "usual": lambda opening: 0.8 * opening,
    "five times too large": lambda opening: 4.0 * opening,
    "equal percentage": lambda opening: 1.6 * 50 ** (opening - 1) if opening else 0.0,
}


@pytest.mark.parametrize("valve", VALVES)
@pytest.mark.parametrize("number", LIMITERS)
def test_no_limiter_hunts_whatever_the_valve(ticks, number, valve):
    rig = FunctionRig(ticks, **LIMITERS[number])
    rig.house.kv_m3_h = VALVES[valve]
    rig.step(2 * 3600)
    before = rig.board.switches
    bitten = 0
    for _ in range(1800):
        rig.step(2)
        bitten += rig.read(LIMITER) == number
    assert bitten > 900
    assert rig.board.switches - before < 60  # starts of the motor in an hour


def test_the_return_limit_follows_the_weather(ticks):
    rig = FunctionRig(ticks, return_limit_points=[[-10, 50], [0, 38], [10, 34]])
    rig.house.outdoor_c = 0.0
    rig.step(2 * 3600)
    assert rig.read("primary_return_limit_effective_c") == 38.0
    assert rig.read(LIMITER) == precedence.RETURN
    assert rig.house.return_c + 3 == pytest.approx(38.0, abs=1.0)
    rig.house.outdoor_c = -10.0
    rig.step(60)
    assert rig.read("primary_return_limit_effective_c") == 50.0


def test_the_flow_limit_is_a_line_below_the_contract(ticks):
    rig = FunctionRig(ticks, flow_limit_points=[[-10, 3.0], [10, 0.1]])
    rig.house.outdoor_c = -10.0
    rig.step(4)
    assert rig.read("primary_flow_limit_effective_m3_h") == 2.0
    rig.house.outdoor_c = 8.0
    rig.step(3600)
    assert rig.read("primary_flow_limit_effective_m3_h") == pytest.approx(0.39, abs=0.01)


def test_the_heat_limit_bites_and_lets_go(ticks):
    rig = FunctionRig(ticks, contract_heat_limit_kw=8.0)
    rig.step(3600)
    assert rig.read(LIMITER) == precedence.HEAT
    heat = []
    for _ in range(300):
        rig.step(2)
        heat.append(rig.read("primary_heat_kw"))
    assert max(heat) < 8.0 * 1.15
    assert sum(heat) / len(heat) == pytest.approx(8.0, rel=0.05)
    rig.house.outdoor_c = 12.0
    rig.step(3600)
    assert rig.read(LIMITER) == precedence.NO_LIMITER


def test_the_heat_limit_is_a_line_too(ticks):
    rig = FunctionRig(ticks, contract_heat_limit_kw=20.0, heat_limit_points=[[-10, 15], [10, 5]])
    rig.house.outdoor_c = 0.0
    rig.step(3600)
    assert rig.read("primary_heat_limit_effective_kw") == 10.0


@pytest.mark.parametrize("lost", [FLOW, PRIMARY_RETURN, PRIMARY_SUPPLY])
def test_s1_the_heat_limit_is_off_without_its_sensors(ticks, lost):
    rig = FunctionRig(ticks, contract_heat_limit_kw=6.0)
    rig.step(3600)
    assert rig.house.supply_c < OWN_C - 3
    rig.house.lost.add(lost)
    rig.step(3600)
    assert rig.house.supply_c == pytest.approx(OWN_C, abs=1.0)
    rig.house.lost.clear()
    rig.step(3600)
    assert rig.read(LIMITER) == precedence.HEAT


def test_the_difference_of_the_returns_is_limited(ticks):
    rig = FunctionRig(ticks, return_difference_limit_k=2.0)
    rig.step(3600)  # the house's exchanger sends the primary back 3 K warmer than the secondary
    assert rig.read(LIMITER) == precedence.DIFFERENCE
    assert rig.house.supply_c < OWN_C - 3


@pytest.mark.parametrize(
    ("limit", "number"),
    [
        ({"return_limit_temp_c": 25}, precedence.RETURN),
        ({"return_difference_limit_k": 2.0}, precedence.DIFFERENCE),
    ],
)
def test_a_return_that_nothing_lowers_does_not_shut_the_valve_for_good(ticks, limit, number):
    """Water that stands in the pipe, or that DHW let through, stays warm however far heating closes."""
    rig = FunctionRig(ticks, **limit)
    rig.house.lost.add(PRIMARY_RETURN)
    rig.step(600)  # the end stop is sure, the limit off
    rig.house.lost.clear()
    rig.house.show = lambda show=rig.house.show: (show(), rig.board.set_temp(PRIMARY_RETURN, 60.0))
    positions = []
    for _ in range(60):
        rig.step(60)
        positions.append(rig.house.valve)
    assert rig.read(LIMITER) == number
    assert min(positions) == pytest.approx(0.05, abs=0.011)  # a twentieth, within the dead band


def test_while_dhw_takes_heat_the_difference_of_the_returns_tells_nothing(ticks):
    """One sensor sees what comes back from both; only the heating circuit's own return is set against it."""
    rig = FunctionRig(ticks, return_difference_limit_k=2.0, **INSTANTANEOUS)
    rig.exchanger.draw_kg_s = 0.1
    rig.step(3600)
    assert rig.read("dhw_state_number") == 1  # heating
    assert rig.read(LIMITER) == precedence.NO_LIMITER
    assert rig.read("dhw_active_limiter_number") == precedence.NO_LIMITER
    assert rig.house.supply_c == pytest.approx(OWN_C, abs=1.0)
    rig.exchanger.draw_kg_s = 0.0
    rig.step(1800)
    for _ in range(60):  # the exchanger is kept warm for a few seconds now and then
        if rig.read("dhw_state_number") == 0 and rig.read(LIMITER):
            break
        rig.step(2)
    assert rig.read("dhw_state_number") == 0
    assert rig.read(LIMITER) == precedence.DIFFERENCE


def test_dhw_that_sends_warm_water_back_does_not_shut_heating(ticks):
    """Scale on the DHW's exchanger: what it sends back is warmer than the limit, whatever heating does."""
    rig = FunctionRig(ticks, return_limit_temp_c=50, **INSTANTANEOUS)
    rig.step(1800)  # the end stop is sure, the house warm
    assert rig.read(LIMITER) == precedence.NO_LIMITER
    open_before = rig.house.valve
    rig.exchanger.draw_kg_s = 0.2
    rig.step(4)
    show = rig.house.show
    rig.house.show = lambda: (show(), rig.board.set_temp(PRIMARY_RETURN, 62.0))
    lowest_c = lowest_supply_c(rig, 1800)
    assert lowest_c > OWN_C - 1.0
    assert rig.read("dhw_state_number") == 1  # heating
    assert rig.read("dhw_active_limiter_number") == precedence.RETURN  # DHW's own valve answers for it
    assert rig.house.valve == pytest.approx(open_before, abs=0.03)
    rig.exchanger.draw_kg_s = 0.0
    rig.step(40)
    rig.house.show = show  # nothing warm comes back any more, a little later than the draw-off ends
    assert lowest_supply_c(rig, 600) > OWN_C - 1.0


def test_hot_water_that_cannot_run_leaves_heating_its_return_limit(ticks):
    """Its sensor is lost, its valve shut: what comes back is heating's alone, for as long as that lasts."""
    rig = FunctionRig(ticks, return_limit_temp_c=41, **INSTANTANEOUS)
    rig.dhw_lost.add(DHW_SUPPLY)
    rig.step(3600)
    assert rig.read("dhw_state_number") == 4  # lost
    assert rig.read(LIMITER) == precedence.RETURN
    assert rig.house.return_c + 3.0 < 42.0  # as the rig sends the primary back


def test_what_the_return_limit_holds_back_it_holds_while_dhw_takes_heat(ticks):
    """A draw-off neither shuts heating further nor lets it off its own limit."""
    rig = FunctionRig(ticks, return_limit_temp_c=41, **INSTANTANEOUS)
    rig.step(3600)
    assert rig.read(LIMITER) == precedence.RETURN
    held = rig.house.valve
    rig.exchanger.draw_kg_s = 0.05
    rig.step(4)
    show = rig.house.show
    rig.house.show = lambda: (show(), rig.board.set_temp(PRIMARY_RETURN, 55.0))
    rig.step(1200)
    assert rig.read("dhw_state_number") == 1  # heating
    assert rig.read(LIMITER) == precedence.RETURN
    assert rig.house.valve == pytest.approx(held, abs=0.03)


def test_the_capacity_window_keeps_its_mean(ticks):
    rig = FunctionRig(ticks, capacity_heat_limit_kw=7.0, capacity_window_s=900)
    rig.step(900)
    means = []
    for _ in range(8):
        heat = []
        for _ in range(450):
            rig.step(2)
            heat.append(rig.read("primary_heat_kw"))
        means.append(sum(heat) / len(heat))
    assert max(means[1:]) < 7.0 * 1.03
    assert rig.read(LIMITER) == precedence.CAPACITY


def test_the_window_never_allows_less_than_half(ticks):
    window = Window(RegisterBank("substation"), 900_000, 10_000)
    assert window.step(10_000, 0, 2_000) <= 10_000
    for second in range(2, 400, 2):
        allowed_w = window.step(40_000, second, 2_000)
    assert allowed_w == 5_000
    assert window.step(0, 900, 2_000) == pytest.approx(10_000, abs=25)


def test_creeping_is_stopped_and_the_return_limit_goes_before_it(ticks):
    rig = FunctionRig(ticks, primary_flow_minimum_m3_h=0.06)
    rig.house.outdoor_c = 16.5
    rig.house.supply_c = 33.0
    rig.step(3 * 3600)
    crept = longest = 0
    for _ in range(1800):
        rig.step(2)
        crept = crept + 2 if 0.0 < rig.house.flow_m3_h < 0.06 else 0
        longest = max(longest, crept)
    assert longest < 60 + 2 * 120  # the valve's own way to the end stop and back


def test_a_higher_return_limit_rules_while_dhw_takes_heat(ticks):
    rig = FunctionRig(ticks, **STORAGE, return_limit_temp_c=45, dhw_return_limit_temp_c=60)
    rig.tank.top_c = rig.tank.bottom_c = 40.0
    rig.step(120)
    assert rig.read("primary_return_limit_effective_c") == 45.0
    assert rig.loop._limits.return_mc == 60_000
    rig.step(2 * 3600)
    assert rig.loop._limits.return_mc == 45_000


def test_s2_the_owners_comfort_band_bounds_the_shift(ticks):
    from firmware.substation import order_frame as of

    rig = FunctionRig(ticks, curve_shift_minimum_k=-4, curve_shift_maximum_k=2)
    rig.step(4)
    assert rig.order({"curve_shift_sp_k": -5.0}).result == of.REFUSED_LIMIT
    assert rig.order({"curve_shift_sp_k": 3.0}).result == of.REFUSED_LIMIT
    assert rig.order({"curve_shift_sp_k": -4.0}).result == of.ACCEPTED


def test_two_circuits_share_the_flow(ticks):
    rig = FunctionRig(ticks, **TWO_CIRCUITS, contract_flow_limit_m3_h=0.25)
    rig.step(2 * 3600)
    assert precedence.FLOW in (rig.read(LIMITER), rig.read("active2_limiter_number"))
    for _ in range(300):
        rig.step(2)
        assert rig.flow_m3_h() < 0.25 * 1.15


def lowest_supply_c(rig, seconds):
    lowest_c = rig.house.supply_c
    for _ in range(seconds // 2):
        rig.step(2)
        lowest_c = min(lowest_c, rig.house.supply_c)
    return lowest_c


def test_s8_a_house_on_its_return_limit_stays_warm_through_a_reset(ticks):
    rig = FunctionRig(ticks, return_limit_temp_c=44, contract_flow_limit_m3_h=10, reset_cause=3)
    rig.house.outdoor_c, rig.house.supply_c, rig.house.return_c, rig.house.valve = -10.0, 60.0, 42.0, 0.38
    assert lowest_supply_c(rig, 1800) > 55.0


def test_a_return_sensor_that_comes_back_above_its_limit_shuts_no_valve(ticks):
    rig = FunctionRig(ticks, return_limit_temp_c=44, contract_flow_limit_m3_h=10)
    rig.house.outdoor_c = 14.0
    rig.step(7200)
    rig.house.lost.add(2)
    rig.house.outdoor_c = -6.0
    rig.step(7200)
    before_c = rig.house.supply_c
    rig.house.lost.clear()
    assert lowest_supply_c(rig, 1800) > before_c - 10.0
    assert rig.read(LIMITER) == precedence.RETURN
