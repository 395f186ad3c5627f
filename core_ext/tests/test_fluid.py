"""The fits give the listed IAPWS-97 values and refuse what they were not fitted to."""

import numpy as np
import pytest

from core_ext import fluid

# temp degC, density kg/m3, heat capacity kJ/(kg K), viscosity Pa s; IAPWS-97 at 10 bar
CHECK_POINTS = [
    (40.0, 992.62, 4.1763, 6.5285e-4),
    (70.0, 978.17, 4.1861, 4.0379e-4),
    (90.0, 965.73, 4.2030, 3.1442e-4),
    (120.0, 943.51, 4.2443, 2.3225e-4),
]


@pytest.mark.parametrize(("temp_c", "density", "heat_capacity", "viscosity"), CHECK_POINTS)
def test_the_fits_stay_within_their_stated_errors(temp_c, density, heat_capacity, viscosity):
    assert fluid.density_kg_m3(temp_c) == pytest.approx(density, rel=0.0004)
    assert fluid.heat_capacity_j_kgk(temp_c) == pytest.approx(1000 * heat_capacity, rel=0.00054)
    assert fluid.viscosity_pa_s(temp_c) == pytest.approx(viscosity, rel=0.0051)


def test_conductivity_agrees_with_a_text_book_value():
    # 0.663 W/(m K) at 70 degC, saturated water
    assert fluid.conductivity_w_mk(70.0) == pytest.approx(0.663, rel=0.005)


def test_arrays_keep_their_shape():
    temps = np.linspace(5.0, 150.0, 12).reshape(3, 4)
    for function in (
        fluid.density_kg_m3,
        fluid.heat_capacity_j_kgk,
        fluid.viscosity_pa_s,
        fluid.conductivity_w_mk,
    ):
        values = function(temps)
        assert values.shape == (3, 4)
        assert values[1, 2] == function(temps[1, 2])
    assert np.all(np.diff(fluid.density_kg_m3(temps).ravel()) < 0)
    assert np.all(np.diff(fluid.viscosity_pa_s(temps).ravel()) < 0)


@pytest.mark.parametrize("temp_c", [4.99, 150.01, float("nan"), -13.0])
def test_a_temperature_outside_the_fit_is_refused_by_name(temp_c):
    with pytest.raises(fluid.TemperatureOutOfRange, match="outside 5 to 150 degC") as caught:
        fluid.density_kg_m3([60.0, temp_c])
    assert caught.value.code == "water-temperature-out-of-range"


@pytest.mark.parametrize(("temp_c", "bar"), [(100.0, 1.0142), (120.0, 1.99), (130.0, 2.70), (140.0, 3.62)])
def test_water_boils_where_the_steam_tables_say(temp_c: float, bar: float) -> None:
    # domain.md names 1.99, 2.70 and 3.62 bar, rounded
    assert fluid.saturation_pressure_pa(temp_c) / 1e5 == pytest.approx(bar, abs=0.006)


def test_the_saturation_line_meets_its_own_check_points() -> None:
    # IAPWS R7-97(2012), table 35: 300 K; 500 K lies outside the range of the other fits
    assert float(fluid.saturation_pressure_pa(26.85)) == pytest.approx(0.353658941e4, rel=1e-8)
