"""The fallback table: one row for each input of both profiles; each is lost here, told, and taken up again.

What each loop does meanwhile is asserted by the reaction beside each name; the finer points stand with the
loops' own tests.
"""

import pytest

from firmware import function_tables
from firmware.substation import dhw, precedence, site, site_functions

from .dhw_rig import INSTANTANEOUS, STORAGE, TWO_CIRCUITS, FunctionRig
from .loop_rig import STATION_INPUTS, StationRig

ROWS = {(profile, name): (reaction, source) for profile, name, reaction, source in function_tables.FALLBACKS}
OWN_C = 61.36


def inputs_of(profile):
    standard = site.SUBSTATION_INPUTS if profile == "substation" else site.PUMP_STATION_INPUTS
    return [row[0] for row in standard] + list(site_functions.MORE_INPUTS[profile])


def test_s1_every_input_has_one_row_and_every_row_an_input():
    wanted = [(profile, name) for profile in ("substation", "pump_station") for name in inputs_of(profile)]
    assert sorted(ROWS) == sorted(wanted)
    assert len(ROWS) == len(function_tables.FALLBACKS)


def heats(rig):
    return rig.house.supply_c == pytest.approx(OWN_C, abs=1.5) and rig.board.pumps[0]


def no_heat_is_counted(rig):
    return rig.read("primary_heat_kw") is None and heats(rig)


# profile and input -> (settings of a site that has it, what must be so 20 minutes after it was lost)
REACTIONS = {
    ("substation", "outdoor_temp_c"): (
        {}, lambda rig: rig.read("own_curve_temp_c") == 50.0 and rig.board.pumps[0]
    ),
    ("substation", "secondary_supply_temp_c"): (
        {}, lambda rig: rig.house.valve == pytest.approx(0.30, abs=0.02)
        and rig.read("active_limiter_number") == precedence.FALLBACK,
    ),
    ("substation", "primary_return_temp_c"): ({"return_limit_temp_c": 30}, heats),
    ("substation", "primary_flow_m3_h"): ({"contract_flow_limit_m3_h": 0.15}, no_heat_is_counted),
    ("substation", "primary_supply_temp_c"): ({"contract_heat_limit_kw": 3}, no_heat_is_counted),
    ("substation", "secondary_return_temp_c"): ({"return_difference_limit_k": 1}, heats),
    ("substation", "room_temp_c"): ({"room_influence_pct": 300}, heats),
    ("substation", "primary_dp_bar"): ({}, lambda rig: heats(rig) and not rig.alarm("LOW_DP")),
    ("substation", "secondary2_supply_temp_c"): (
        TWO_CIRCUITS, lambda rig: rig.house2.valve == pytest.approx(0.30, abs=0.02) and heats(rig)
    ),
    ("substation", "secondary2_return_temp_c"): (
        TWO_CIRCUITS, lambda rig: rig.house2.supply_c == pytest.approx(38.94, abs=1.0)
    ),
    ("substation", "room2_temp_c"): (
        {**TWO_CIRCUITS, "room2_influence_pct": 300},
        lambda rig: rig.read("own2_curve_temp_c") == pytest.approx(38.94, abs=0.02),
    ),
    ("substation", "dhw_supply_temp_c"): (
        INSTANTANEOUS, lambda rig: rig.dhw_valve == 0.0 and rig.read("dhw_state_number") == dhw.LOST
    ),
    ("substation", "dhw_flow_m3_h"): (
        INSTANTANEOUS, lambda rig: rig.exchanger.out_c == pytest.approx(55.0, abs=3.0)
    ),
    ("substation", "dhw_circulation_temp_c"): (
        STORAGE, lambda rig: rig.board.pumps[3] and rig.read("dhw_state_number") != dhw.LOST
    ),
    ("substation", "dhw_tank_top_temp_c"): (STORAGE, lambda rig: rig.read("dhw_state_number") != dhw.LOST),
    ("substation", "dhw_tank_bottom_temp_c"): (STORAGE, lambda rig: rig.read("dhw_state_number") != dhw.LOST),
    ("pump_station", "outdoor_temp_c"): (
        {}, lambda rig: rig.read("plant_supply_temp_effective_c") == pytest.approx(90.0, abs=0.02)
    ),
    ("pump_station", "plant_supply_temp_c"): ({}, lambda rig: rig.read("plant_heat_kw") is None),
    ("pump_station", "plant_return_temp_c"): ({}, lambda rig: rig.read("plant_heat_kw") is None),
    ("pump_station", "plant_flow_m3_h"): (
        {"plant_flow_minimum_m3_h": 50}, lambda rig: rig.dp_bar == pytest.approx(1.5, abs=0.05)
    ),
    ("pump_station", "plant_dp_bar"): (
        {}, lambda rig: rig.board.speed_bp == 5_000
        and rig.read("active_limiter_number") == precedence.FALLBACK,
    ),
    ("pump_station", "index_dp_bar"): (
        {"index_dp_own_bar": 0.9, "inputs": STATION_INPUTS},
        lambda rig: rig.dp_bar == pytest.approx(1.5, abs=0.05),
    ),
    ("pump_station", "suction_pressure_bar"): (
        {"dry_run_pressure_bar": 0.3, "inputs": STATION_INPUTS},
        lambda rig: rig.dp_bar == pytest.approx(1.5, abs=0.05) and not rig.alarm("DRY_RUN"),
    ),
}  # fmt: skip


class Lossy:
    """A board whose one channel can be torn off, whatever a test's rig puts on it."""

    def __init__(self, board):
        self.lost = None
        self._ohm, self._ua = board.resistance_mohm, board.current_ua
        board.resistance_mohm = lambda channel: 1_000_000_000 if channel == self.lost else self._ohm(channel)
        board.current_ua = lambda channel: 0 if channel == self.lost else self._ua(channel)


@pytest.mark.parametrize(("profile", "name"), sorted(ROWS))
def test_s1_each_is_lost_told_and_taken_up_again(ticks, profile, name):
    settings, reacted = REACTIONS[profile, name]
    rig = StationRig(ticks, **settings) if profile == "pump_station" else FunctionRig(ticks, **settings)
    rig.room_c = 21.0 if name == "room_temp_c" else 20.0
    if settings is INSTANTANEOUS:
        rig.exchanger.draw_kg_s = 0.15
    rig.step(1800)
    assert not rig.alarm("SENSOR_LOST")
    assert rig.read(name) is not None
    channel = next(row[1] for row in rig.settings.inputs if row[0] == name)
    board = Lossy(rig.board)
    board.lost = channel
    rig.step(4)
    assert not rig.alarm("SENSOR_LOST")  # a loose contact is bridged
    rig.step(6)
    assert rig.alarm("SENSOR_LOST")
    rig.step(1200)
    assert rig.read(name) is None
    assert rig.read("sensor_fault_bits") == 1 << channel
    assert reacted(rig), function_tables.FALLBACKS
    board.lost = None
    rig.step(8)
    assert rig.alarm("SENSOR_LOST")  # trusted again only after a while
    rig.step(8)
    assert not rig.alarm("SENSOR_LOST")
    assert rig.read("sensor_fault_bits") == 0
    assert rig.read(name) is not None


def test_in_summer_a_lost_supply_sensor_lets_no_network_water_into_a_standing_circuit(ticks):
    rig = FunctionRig(ticks)
    rig.house.outdoor_c = 25.0
    rig.step(3600)
    rig.house.lost.add(3)
    rig.step(1200)
    assert rig.house.valve == 0.0
    rig.house.outdoor_c = 5.0
    rig.step(1200)
    assert rig.house.valve == pytest.approx(0.30, abs=0.02)
    assert rig.board.pumps[0]
