"""The house of the year: heat adds up, taps and weather are the sources'."""

from __future__ import annotations

from importlib.resources import files

import pytest

from hil_tests.bench.board_io import BoardOutputs
from hil_tests.bench.plant.draw_offs import DAY_S, KWH_PER_KG, PROFILES, DrawOffs
from hil_tests.bench.plant.weather import BadWeather
from hil_tests.bench.plant.whole_house import WholeHouse
from hil_tests.bench.plant.year_weather import HOURS, YearWeather

DT_S = 2.0


def stored_j(house: WholeHouse) -> float:
    """Heat in the water and metal of both circuits, counted from 0 degC."""
    return house.circuits.exchangers.stored_j() + house.circuits.radiators.stored_j()


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
    # by volume in the return, as EN 1434 counts; the plant takes one cp for all
    assert house.meter.true_energy_wh * 3600.0 == pytest.approx(count.plant_j, rel=1e-3)


# number of draw-offs and reference energy, kWh, as the CARNOT toolbox repeats them from EU 812/2013
@pytest.mark.parametrize(
    ("profile", "number", "kwh"), [("S", 11, 2.1), ("M", 23, 5.845), ("L", 24, 11.655), ("XL", 30, 19.07)]
)
def test_a_day_is_the_load_profile(profile: str, number: int, kwh: float) -> None:
    rows = PROFILES[profile]
    assert len(rows) == number and sum(tap[0] for _, tap in rows) == pytest.approx(kwh)
    taps = DrawOffs(1, profile)
    for day in (0, 200):
        drawn = sum(taps.flow_kg_s(day * DAY_S + second) for second in range(DAY_S))
        assert drawn * KWH_PER_KG == pytest.approx(kwh, rel=0.02)  # it is asked second by second
    assert taps.of_day(0) != taps.of_day(1)
    assert DrawOffs(1, profile).of_day(7) == taps.of_day(7) != DrawOffs(2, profile).of_day(7)


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
