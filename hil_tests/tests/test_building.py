"""Radiators give their rated heat, buildings keep the energy and cool with their time constant."""

import numpy as np
import pytest

from hil_tests.bench.plant.building import Buildings, Radiators, radiator_conductance_w_kn, thermostat_share

CP = 4180.0


def house(**changes):
    columns = {
        "air_to_outdoor_w_k": [190.0],
        "air_to_mass_w_k": [3750.0],
        "mass_to_outdoor_w_k": [304.0],
        "air_j_k": [1.5e7],
        "mass_j_k": [1.35e8],
        "gain_w": [0.0],
        "room_temp_c": [20.0],
        "outdoor_temp_c": -5.0,
    }
    return Buildings(**{**columns, **changes})


def test_a_radiator_gives_its_rated_heat_at_55_40_20():
    heat, flow = np.array([15e3, 40e3]), np.array([15e3, 40e3]) / (15.0 * CP)
    radiators = Radiators(radiator_conductance_w_kn(heat, flow, CP, 55.0, 20.0), 1e6, CP, 30.0)
    for _ in range(4000):
        given = radiators.step(10.0, flow, np.full(2, 55.0), np.full(2, 20.0))
    assert given == pytest.approx(heat, rel=1e-6)
    assert radiators.return_c == pytest.approx([40.0, 40.0], abs=1e-4)


def test_half_the_excess_temperature_gives_the_heat_of_the_exponent():
    # plenty of flow keeps the cells at one temperature, so that heat goes with the excess to the power 1.3
    radiators = Radiators([100.0], 1e8, CP, 30.0)
    heats = []
    for supply in (60.0, 40.0):
        for _ in range(200):
            heat = radiators.step(2.0, np.array([1000.0]), np.array([supply]), np.array([20.0]))
        heats.append(heat[0])
    assert heats[1] / heats[0] == pytest.approx(0.5**1.3, rel=1e-3)


def test_a_radiator_that_cannot_give_the_heat_is_refused():
    with pytest.raises(ValueError, match="Raise its flow"):
        radiator_conductance_w_kn(np.array([20e3]), np.array([0.05]), CP, 55.0, 20.0)


def test_a_step_that_outruns_the_radiator_is_refused():
    radiators = Radiators([100.0], 1e6, CP, 30.0)
    with pytest.raises(ValueError, match="a shorter step"):
        radiators.step(2.0, np.array([50.0]), np.array([60.0]), np.array([20.0]))
    assert np.all(radiators.cell_c == 30.0)


def test_heat_of_radiators_and_buildings_balances():
    random = np.random.default_rng(2)
    buildings = house()
    radiators = Radiators([150.0], 6e5, CP, 30.0)
    lost = gained = 0.0
    before = buildings.stored_j() + radiators.stored_j()
    for _ in range(5000):
        flow = np.array([random.choice([0.0, 0.1, 0.25])])
        supply = random.uniform(20.0, 60.0, 1)
        gained += 2.0 * CP * float(flow[0] * (supply[0] - radiators.return_c[0]))
        heat = radiators.step(2.0, flow, supply, buildings.room_c)
        buildings.step(2.0, heat, float(random.uniform(-10.0, 5.0)))
        lost += 2.0 * float(buildings.loss_w[0])
    stored = buildings.stored_j() + radiators.stored_j() - before
    assert gained - lost - stored == pytest.approx(0.0, abs=1e-9 * (abs(gained) + abs(lost)))


def test_the_steady_room_loses_what_it_is_given():
    buildings = house()
    loss = buildings.loss_coefficient_w_k
    for _ in range(3000):
        room = buildings.step(3600.0, loss * 25.0, -5.0)
    assert room == pytest.approx([20.0], abs=1e-6)
    assert buildings.loss_w == pytest.approx(loss * 25.0)


def test_an_unheated_house_cools_with_its_time_constant():
    buildings = house()
    air, mass, inner, outer, direct = 1.5e7, 1.35e8, 3750.0, 304.0, 190.0
    matrix = np.array([[-(inner + direct) / air, inner / air], [inner / mass, -(inner + outer) / mass]])
    slow_s = -1.0 / np.linalg.eigvals(matrix).max()
    assert 80.0 < slow_s / 3600.0 < 95.0
    for _ in range(720):  # the first hours belong to the air alone
        start = float(buildings.step(60.0, np.zeros(1), -5.0)[0])
    for _ in range(round(slow_s / 60.0)):
        room = buildings.step(60.0, np.zeros(1), -5.0)
    assert (room[0] + 5.0) / (start + 5.0) == pytest.approx(np.exp(-1.0), rel=1e-3)


def test_thermostats_close_over_their_band():
    rooms = np.array([18.0, 19.0, 20.0, 20.5, 21.0, 25.0])
    share = thermostat_share(rooms, np.full(6, 20.0), np.full(6, 2.0))
    assert share == pytest.approx([1.0, 1.0, 0.5, 0.25, 0.05, 0.05])
    assert thermostat_share(rooms, np.full(6, 20.0), np.zeros(6)) == pytest.approx(np.ones(6))
