"""The town closes its balances, keeps its rooms warm under simple controllers, and repeats itself."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from hil_tests.bench.board_io import (
    DIFFERENTIAL_PRESSURE,
    PRIMARY_SUPPLY,
    SECONDARY_SUPPLY,
    VOLUME_FLOW,
    BoardInputs,
    BoardOutputs,
)
from hil_tests.bench.plant import SinglePlant, SinglePumpStation, Town, TownPlant, Weather
from hil_tests.bench.plant.sensors import pt1000_ohm
from hil_tests.bench.street import street

SCHUTTERWALD = Path(__file__).resolve().parents[2] / "examples" / "schutterwald"
DT_S = 2.0


@pytest.fixture(scope="module")
def town():
    return Town.load(SCHUTTERWALD)


class IdealControllers:
    """PI on every valve by the true supply temperature and a pump holding the index dp: no firmware."""

    def __init__(self, devices, index_dp_bar=0.65):
        self.houses = devices - 1
        self.outputs = BoardOutputs.idle(devices)
        self.outputs.pump_on_s[:] = DT_S
        self._last = np.zeros(self.houses)
        self._debt_s = np.zeros(self.houses)
        self._index_dp_bar = index_dp_bar

    def __call__(self, plant):
        outdoor = plant.outdoor_temp_c
        error = np.interp(outdoor, [-12.0, 15.0], [55.0, 30.0]) - plant.secondary_supply_temp_c
        self._debt_s += 120.0 / 60.0 * (error - self._last + error * DT_S / 30.0)
        self._last = error
        run = np.where(np.abs(self._debt_s) >= 0.3, np.clip(self._debt_s, -DT_S, DT_S), 0.0)
        self._debt_s = np.clip(self._debt_s - run, -3.0, 3.0)
        self.outputs.open_s[: self.houses] = np.maximum(run, 0.0)
        self.outputs.close_s[: self.houses] = np.maximum(-run, 0.0)
        missing = self._index_dp_bar - plant.index_dp_pa / 1e5
        speed = self.outputs.pump_speed[self.houses] + 0.01 * missing
        self.outputs.pump_speed[self.houses] = np.clip(speed, 0.25, 1.0)
        self.outputs.heat_demand[self.houses] = np.interp(outdoor, [-12.0, 15.0], [80.0, 65.0]) / 130.0
        return self.outputs


def run(plant, hours, controllers=None):
    controllers = controllers or IdealControllers(plant.devices)
    outputs = controllers.outputs
    for _ in range(round(hours * 3600 / DT_S)):
        inputs = plant.step(DT_S, outputs)
        outputs = controllers(plant)
    return inputs


@pytest.mark.slow
def test_rooms_stay_warm_and_the_index_house_has_its_pressure(town):
    weather = town.weather()
    coldest_s = float(weather.time_s[np.argmin(weather.temp_c)])
    plant = TownPlant(town, weather, seed=1, start_s=coldest_s - 4 * 3600.0)
    controllers = IdealControllers(plant.devices)
    run(plant, 1.5, controllers)
    lowest_dp, worst_error = np.inf, 0.0
    for _ in range(round(3.0 * 3600 / DT_S)):
        plant.step(DT_S, controllers(plant))
        lowest_dp = min(lowest_dp, plant.index_dp_pa)
        wanted = np.interp(plant.outdoor_temp_c, [-12.0, 15.0], [55.0, 30.0])
        worst_error = max(worst_error, float(np.abs(plant.secondary_supply_temp_c - wanted).max()))
    assert plant.outdoor_temp_c < -8.0
    assert plant.room_temp_c.min() > 19.0 and plant.room_temp_c.max() < 21.0
    assert lowest_dp > 0.6e5
    assert worst_error < 1.0
    assert plant.pump_speed < 1.0
    assert 0.5 < plant.valve_position.max() < 1.0


def test_the_energy_balance_closes(town):
    plant = TownPlant(town, town.weather(), seed=1)
    controllers = IdealControllers(plant.devices)
    buildings = plant.houses.buildings
    before, lost = buildings.stored_j(), 0.0
    outputs = controllers.outputs
    for step in range(2400):
        plant.pump_tripped = 900 <= step < 1100  # standing water, then a restart
        plant.step(DT_S, outputs)
        outputs = controllers(plant)
        lost += DT_S * float(buildings.loss_w.sum())
    assert abs(plant.energy_balance_error_j()) <= 1e-6 * plant.source_energy_j
    change = buildings.stored_j() - before
    assert plant.building_energy_j - lost - change == pytest.approx(0.0, abs=1e-9 * plant.source_energy_j)


def test_pump_energy_is_hydraulic_over_efficiency(town):
    plant = TownPlant(town, 0.0, seed=1)
    run(plant, 0.5)
    station = town.pump_station
    hydraulic = plant.plant_flow_kg_s * plant.plant_dp_pa / 983.2
    assert plant.pump_power_w == pytest.approx(hydraulic / station.pump_efficiency, rel=1e-3)
    # affinity laws on the quadratic curve through the station's points
    fall = station.pump_dp_pa[0] - station.pump_dp_pa[1]
    head = plant.pump_speed**2 * station.pump_dp_pa[0]
    head -= fall * (plant.plant_flow_kg_s / station.pump_flow_kg_s[1]) ** 2
    assert plant.plant_dp_pa == pytest.approx(head, rel=1e-4)
    assert plant.plant_flow_kg_s == pytest.approx(plant.primary_flow_kg_s.sum(), rel=1e-6)


def digest_of_run(town, seed):
    plant = TownPlant(town, town.weather(), seed=seed)
    controllers = IdealControllers(plant.devices)
    digest = hashlib.sha256()
    outputs = controllers.outputs
    for _ in range(400):
        inputs = plant.step(DT_S, outputs)
        outputs = controllers(plant)
        digest.update(inputs.resistance_ohm.tobytes() + inputs.current_ma.tobytes())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bits(town):
    assert digest_of_run(town, 5) == digest_of_run(town, 5)
    assert digest_of_run(town, 5) != digest_of_run(town, 6)


def test_unpowered_boards_leave_a_cold_standing_town(town):
    plant = TownPlant(town, -5.0, seed=1)
    outputs = BoardOutputs.idle(plant.devices)
    first = plant.step(0.0, outputs)
    assert plant.time_s == 0.0 and np.isfinite(first.resistance_ohm[:-1]).all()
    before = plant.supply_pipes.stored_j
    for _ in range(600):
        inputs = plant.step(DT_S, outputs)
    assert plant.plant_flow_kg_s == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(inputs.current_ma).all() and np.isnan(inputs.resistance_ohm[-1, 3:]).all()
    assert plant.supply_pipes.stored_j < before
    assert plant.room_temp_c.max() < 20.0


def test_closing_every_valve_but_one_leaves_it_most_of_the_pump(town):
    plant = TownPlant(town, 0.0, seed=1)
    outputs = BoardOutputs.idle(plant.devices)
    outputs.pump_on_s[-1], outputs.pump_speed[-1] = DT_S, 0.5
    outputs.open_s[10] = DT_S  # house-11, the index house
    for _ in range(120):
        plant.step(DT_S, outputs)
    assert plant.primary_flow_kg_s[10] > 20.0 * np.delete(plant.primary_flow_kg_s, 10).max()
    assert plant.primary_dp_pa[10] > 0.8 * plant.plant_dp_pa
    shutoff = 0.25 * town.pump_station.pump_dp_pa[0]
    assert plant.plant_dp_pa == pytest.approx(shutoff, rel=0.01)


def test_a_short_source_cannot_hold_its_temperature(town):
    plant = TownPlant(town, -9.0, seed=1)
    controllers = IdealControllers(plant.devices)
    run(plant, 0.75, controllers)
    full_w = plant.source_heat_w
    plant.source_available = 0.4
    run(plant, 0.5, controllers)
    limit_w = 0.4 * town.pump_station.source_max_heat_w
    assert limit_w < full_w
    assert plant.source_heat_w <= limit_w * 1.02  # the limit uses the return of the step before
    assert plant.plant_supply_temp_c < 70.0


def test_outputs_of_another_town_are_refused(town):
    plant = TownPlant(town, 0.0)
    with pytest.raises(ValueError, match="44 boards, this town has 45"):
        plant.step(DT_S, BoardOutputs.idle(44))
    with pytest.raises(ValueError, match="backwards"):
        plant.step(-1.0, BoardOutputs.idle(45))
    assert plant.time_s == 0.0


def test_a_single_house_follows_its_valve_and_its_settable_supply():
    plant = SinglePlant(count=3, seed=4, tolerance_share=0.0)
    plant.primary_dp_bar = np.array([0.6, 0.6, 0.0])
    outputs = BoardOutputs.idle(3)
    outputs.pump_on_s[:] = DT_S
    outputs.open_s[:] = [DT_S, 0.0, DT_S]
    for _ in range(300):
        inputs = plant.step(DT_S, outputs)
    assert plant.secondary_supply_temp_c[0] > 50.0
    assert plant.secondary_supply_temp_c[1] < 30.0 and plant.secondary_supply_temp_c[2] < 30.0
    assert plant.primary_flow_kg_s[2] == 0.0
    # at 0.6 bar an open valve passes at least the design flow, at most a size more
    assert 1.0 <= plant.primary_flow_kg_s[0] / plant.substations.design_flow_kg_s[0] < 1.6
    shown = inputs.resistance_ohm[:, SECONDARY_SUPPLY]
    assert shown == pytest.approx(pt1000_ohm(plant.secondary_supply_temp_c), abs=0.5)
    assert inputs.current_ma[0, DIFFERENTIAL_PRESSURE] == pytest.approx(4.0 + 0.6)
    flow_m3_h = plant.primary_flow_kg_s[0] * 3.6 / 0.98323
    assert inputs.current_ma[0, VOLUME_FLOW] == pytest.approx(4.0 + 16.0 * flow_m3_h / 20.0, rel=1e-4)
    plant.primary_supply_temp_c = 40.0
    plant.button = True
    plant.sensors.fail(0, PRIMARY_SUPPLY, "open")
    for _ in range(120):
        inputs = plant.step(DT_S, outputs)
    assert plant.secondary_supply_temp_c[0] < 40.0
    assert np.isnan(inputs.resistance_ohm[0, PRIMARY_SUPPLY]) and inputs.button.all()


def test_a_single_pump_station_turns_speed_into_pressure():
    plant = SinglePumpStation(seed=1)
    outputs = BoardOutputs.idle(1)
    outputs.pump_on_s[:], outputs.pump_speed[:] = DT_S, 0.5
    outputs.heat_demand[:] = 80.0 / 130.0
    inputs = BoardInputs.unconnected(1)
    for _ in range(600):
        inputs = plant.step(DT_S, outputs)
    assert plant.plant_dp_pa[0] == pytest.approx(2e5 * 0.25 * 1.5 / 1.3)
    assert plant.supply_temp_c[0] == pytest.approx(80.0, abs=0.01)
    assert inputs.current_ma[0, DIFFERENTIAL_PRESSURE] == pytest.approx(
        4.0 + plant.plant_dp_pa[0] / 1e5, abs=0.02
    )
    assert np.isnan(inputs.resistance_ohm[0, 3:]).all()


@pytest.mark.parametrize("make", [lambda town: SinglePumpStation(seed=1), lambda town: TownPlant(town, 0.0)])
def test_a_pump_without_its_enable_stands_whatever_speed_it_is_told(town, make):
    plant = make(town)
    outputs = BoardOutputs.idle(plant.devices)
    outputs.pump_speed[-1] = 0.5
    outputs.open_s[:-1] = DT_S
    for on_s, turns in ((0.0, False), (DT_S, True), (0.0, False)):
        outputs.pump_on_s[-1] = on_s
        for _ in range(60):
            plant.step(DT_S, outputs)
        assert (np.max(plant.pump_speed), np.max(plant.plant_flow_kg_s) > 0.01) == (0.5 * turns, turns)


def test_any_weather_can_start_anywhere_within_itself(town):
    weather = Weather.constant(-3.0)
    assert TownPlant(town, weather, start_s=1e6).outdoor_temp_c == -3.0


# -- lost water ------------------------------------------------------------------------------------


@pytest.fixture
def leaking(tmp_path):
    """A street of three houses at rest, -5 degC, its pump at a steady speed."""
    plant = TownPlant(street(tmp_path, 3), -5.0, seed=1)
    steady = BoardOutputs.idle(plant.devices)
    steady.pump_on_s[:] = DT_S
    steady.pump_speed[3], steady.heat_demand[3] = 0.8, 80.0 / 130.0
    steady.open_s[:3] = DT_S
    for _ in range(15):
        plant.step(DT_S, steady)
    steady.open_s[:3] = 0.0

    def go(seconds):
        for _ in range(round(seconds / DT_S)):
            plant.step(DT_S, steady)
            assert np.isfinite([plant.plant_return_temp_c, plant.plant_supply_temp_c]).all()

    go(600)
    return plant, go, steady


@pytest.mark.parametrize("side", ["supply_node", "return_node"])
def test_lost_water_is_missing_where_it_comes_back_and_takes_its_heat_along(leaking, side):
    plant, go, _ = leaking
    node = getattr(plant.town.substations, side)[0]
    before_c = plant.plant_return_temp_c
    assert plant.plant_flow_kg_s == pytest.approx(plant.plant_back_flow_kg_s, rel=1e-6)
    plant.holding.make_up_kg_s = 1.0
    plant.leak(node, 0.1)
    begin = plant.energy_balance_error_j()
    go(600)
    bar = plant.node_pressure_pa(node) / 1e5
    out_kg_s = 0.1 * np.sqrt(bar * 1000.0 * plant._density) / 3600.0
    assert plant.plant_flow_kg_s - plant.plant_back_flow_kg_s == pytest.approx(out_kg_s, rel=1e-4)
    assert out_kg_s > 0.2 * plant.primary_flow_kg_s.sum()
    # what make-up replaces costs no pressure, but heat: it comes cold
    assert plant.suction_pressure_pa == pytest.approx(3e5, rel=1e-6)
    assert plant.plant_return_temp_c < before_c - 3.0
    lost_j = plant.lost_energy_j
    assert lost_j > 0.0
    assert abs(plant.energy_balance_error_j() - begin) < 1e-4 * lost_j


def test_without_enough_make_up_the_pressure_falls_until_no_more_is_lost_and_comes_back(leaking):
    plant, go, _ = leaking
    node = plant.town.substations.return_node[0]
    plant.holding.make_up_kg_s = 0.02
    plant.leak(node, 0.1)
    lows = []
    for _ in range(6):
        go(600)
        lows.append(plant.suction_pressure_pa)
    assert lows == sorted(lows, reverse=True) and lows[0] < 2.5e5
    lost = plant.plant_flow_kg_s - plant.plant_back_flow_kg_s
    assert lost == pytest.approx(0.02, rel=0.01)
    plant.leak(node, 0.0)
    go(3600)
    assert plant.suction_pressure_pa == pytest.approx(3e5, rel=1e-3)
    assert plant.plant_flow_kg_s == pytest.approx(plant.plant_back_flow_kg_s, rel=1e-6)


def test_nothing_runs_out_where_the_pipe_has_no_pressure_and_a_standing_pump_keeps_the_balance(leaking):
    plant, go, steady = leaking
    plant.holding.make_up_kg_s = 0.0
    node = plant.town.substations.return_node[0]
    plant.leak(node, 0.5)
    steady.pump_speed[3] = 0.0
    begin = plant.energy_balance_error_j()
    go(3600)
    assert abs(plant.node_pressure_pa(node)) < 0.01e5
    assert -plant.plant_back_flow_kg_s < 1e-3
    assert abs(plant.energy_balance_error_j() - begin) < 1e-4 * plant.lost_energy_j


def test_a_leak_that_cannot_be_is_told(leaking):
    plant, _, _ = leaking
    for node, kv, told in (
        ("s9999", 1.0, "no node"),
        ("s0001", -1.0, "cannot be"),
        ("s0001", np.nan, "cannot be"),
    ):
        with pytest.raises(ValueError, match=told):
            plant.leak(node, kv)
    assert plant._leaks == {}
