"""The house of the year: plain numbers are the arrays', heat adds up, taps and weather are the sources'."""

from __future__ import annotations

import random
from importlib.resources import files

import numpy as np
import pytest

from hil_tests.bench.board_io import BoardOutputs
from hil_tests.bench.plant.draw_offs import DAY_S, KWH_PER_KG, PROFILE_M, DrawOffs
from hil_tests.bench.plant.houses import Houses
from hil_tests.bench.plant.scalar import Circuit
from hil_tests.bench.plant.weather import BadWeather
from hil_tests.bench.plant.whole_house import WholeHouse, rows
from hil_tests.bench.plant.year_weather import HOURS, YearWeather

DT_S = 2.0


def test_one_house_in_plain_numbers_is_the_house_in_arrays() -> None:
    """Valves driven to and fro, pumps switched, supply and weather jumping: 4 000 steps of both."""
    data, chance = rows(), random.Random(3)
    arrays, circuits = Houses(data, 4.0), [Circuit(data, row, 4.0) for row in range(2)]
    opens, closes, pumps = np.zeros(2), np.zeros(2), np.ones(2)
    supply, outdoor = 75.0, 4.0
    for step in range(4_000):
        if step % 40 == 0:
            opens = np.array([chance.choice((0.0, 0.0, DT_S)) for _ in range(2)])
            closes = np.array([chance.choice((0.0, 0.0, 0.7)) for _ in range(2)])
            pumps = np.array([chance.choice((0.0, 1.0, 1.0)) for _ in range(2)])
            supply, outdoor = chance.uniform(20.0, 90.0), chance.uniform(-15.0, 25.0)
        kv = arrays.move_valves(opens, closes)
        own_kv = [circuit.move(float(opens[i]), float(closes[i])) for i, circuit in enumerate(circuits)]
        assert own_kv == pytest.approx(kv.tolist(), rel=1e-12)
        flow = kv * 0.2
        back = arrays.step(DT_S, flow, np.full(2, supply), pumps, outdoor)
        own_back = [
            circuit.step(DT_S, float(flow[i]), supply, float(pumps[i]), outdoor)
            for i, circuit in enumerate(circuits)
        ]
        assert own_back == pytest.approx(back.tolist(), abs=1e-7)
    assert [c.room_c for c in circuits] == pytest.approx(arrays.buildings.room_c.tolist(), abs=1e-7)
    assert [c.exchanger.out_2_c for c in circuits] == pytest.approx(
        arrays.exchangers.secondary_out_c.tolist(), abs=1e-7
    )


def stored_j(house: WholeHouse) -> float:
    """Heat in the water and metal of both circuits, counted from 0 degC."""
    total = 0.0
    for circuit in house.circuits:
        exchanger = circuit.exchanger
        total += sum(circuit.cell_c) * circuit.cell_j_k
        total += exchanger.primary_j_k * exchanger.out_1_c + exchanger.secondary_j_k * exchanger.out_2_c
    return total


def test_what_the_network_gives_is_what_rooms_and_taps_take_and_water_keeps() -> None:
    """A morning with valves partly open."""
    house = WholeHouse(YearWeather.read(), 20.25 * DAY_S)
    outputs = BoardOutputs.idle(1)
    outputs.pump_on_s[:] = DT_S
    before = stored_j(house)
    for step in range(4 * 3600 // int(DT_S)):
        outputs.open_s[:] = DT_S if step < 25 else 0.0
        house.take_relays((2000 * (step < 25), 0, 2000 * (step < 2), 0, 2000, 2000), (0,) * 9)
        house.step(DT_S, outputs)
    count = house.count
    kept = stored_j(house) - before
    assert count.plant_j > 10 * 3.6e6 and abs(kept) > 0.01 * count.plant_j
    # an exchanger that would overshoot takes its step another way, and that is short by a trifle
    assert count.plant_j == pytest.approx(count.heating_j + count.dhw_j + kept, rel=1e-6)
    assert count.draws > 5 and count.draw_s > 300


def test_a_day_is_profile_m() -> None:
    assert len(PROFILE_M) == 23 and sum(kwh for _, kwh in PROFILE_M) == pytest.approx(5.845)  # [hil.md 2.1]
    taps = DrawOffs(1)
    for day in (0, 200):
        drawn = sum(taps.flow_kg_s(day * DAY_S + second) for second in range(DAY_S))
        assert drawn * KWH_PER_KG == pytest.approx(5.845, rel=0.01)
    assert taps.of_day(0) != taps.of_day(1)
    assert DrawOffs(1).of_day(7) == taps.of_day(7) != DrawOffs(2).of_day(7)


def test_the_weather_is_that_of_the_source() -> None:
    pytest.importorskip("demandlib")
    file = files("demandlib.vdi") / "resources_weather" / "TRY2010_12_Jahr.dat"
    text = file.read_text(encoding="latin-1")
    theirs = [float(line.split()[8]) for line in text.split("***")[1].splitlines() if line.strip()]
    assert YearWeather.read().hourly_c == theirs


def test_the_weather_goes_around_and_is_a_whole_year() -> None:
    weather = YearWeather.read()
    assert weather.outdoor_c(3600.0) == weather.hourly_c[0]
    assert weather.outdoor_c(0.0) == weather.hourly_c[-1] == weather.outdoor_c(HOURS * 3600.0)
    assert weather.outdoor_c(5400.0) == pytest.approx((weather.hourly_c[0] + weather.hourly_c[1]) / 2.0)
    assert weather.outdoor_c(-7200.0) == weather.hourly_c[-3]
    with pytest.raises(BadWeather, match="a whole year"):
        YearWeather([1.0] * 24)
