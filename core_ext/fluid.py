"""Properties of liquid water between 5 and 150 degC, fitted once and cheap to evaluate.

The polynomials were fitted to IAPWS-97 at 10 bar (made with the iapws package 1.5.5; largest errors
stated at each function). It refuses temperatures outside the fitted range instead of extrapolating, knows no
steam, no glycol and no pressure dependence (water compressibility: below 0.1 % from 1 to 25 bar).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOWEST_TEMP_C = 5.0
HIGHEST_TEMP_C = 150.0


class TemperatureOutOfRange(ValueError):
    """A temperature outside the range in which the water properties were fitted."""

    code = "water-temperature-out-of-range"


def density_kg_m3(temp_c: ArrayLike) -> NDArray[np.float64]:
    """Density, kg/m3; largest error of the fit 0.04 %. Raises TemperatureOutOfRange."""
    t = _checked(temp_c)
    return 1001.17368254 + t * (-0.0490265525555 + t * (-0.00447112474417 + t * 7.21448857e-06))


def heat_capacity_j_kgk(temp_c: ArrayLike) -> NDArray[np.float64]:
    """Specific heat capacity, J/(kg K); largest error 0.054 %. Raises TemperatureOutOfRange."""
    t = _checked(temp_c)
    kilojoule = 4.20662996742 + t * (
        -0.0016972279018 + t * (2.86559668e-05 + t * (-1.55379447e-07 + t * 4.67723e-10))
    )
    return 1000.0 * kilojoule


def viscosity_pa_s(temp_c: ArrayLike) -> NDArray[np.float64]:
    """Dynamic viscosity, Pa s; largest error 0.51 %. Raises TemperatureOutOfRange."""
    t = _checked(temp_c)
    logarithm = -6.340562486 + t * (
        -0.0322107957 + t * (2.2275477e-04 + t * (-1.06771846e-06 + t * 2.28984356e-09))
    )
    return np.asarray(np.exp(logarithm), dtype=np.float64)


def conductivity_w_mk(temp_c: ArrayLike) -> NDArray[np.float64]:
    """Thermal conductivity, W/(m K); largest error 0.19 %. Raises TemperatureOutOfRange."""
    t = _checked(temp_c)
    return 0.5587856663 + t * (2.19726163e-03 + t * (-1.18893148e-05 + t * 1.8068149e-08))


def _checked(temp_c: ArrayLike) -> NDArray[np.float64]:
    t = np.asarray(temp_c, dtype=np.float64)
    outside = ~((t >= LOWEST_TEMP_C) & (t <= HIGHEST_TEMP_C))  # true for NaN as well
    if outside.any():
        worst = t[outside].flat[0]
        raise TemperatureOutOfRange(
            f"{outside.sum()} of {t.size} water temperatures, the first {worst:g} degC, lie outside "
            f"{LOWEST_TEMP_C:g} to {HIGHEST_TEMP_C:g} degC, where the properties were fitted; nothing was "
            "computed. Check the temperatures of the pipes and of the sources"
        )
    return t


# coefficients of the saturation line, IAPWS-IF97 region 4 (IAPWS R7-97(2012), table 34)
_LINE = (
    0.11670521452767e4, -0.72421316703206e6, -0.17073846940092e2, 0.12020824702470e5, -0.32325550322333e7,
    0.14915108613530e2, -0.48232657361591e4, 0.40511340542057e6, -0.23855557567849, 0.65017534844798e3,
)  # fmt: skip
ATMOSPHERE_PA = 101325.0


def saturation_pressure_pa(temp_c: ArrayLike) -> NDArray[np.float64]:
    """Absolute pressure at which water boils, Pa, by IAPWS-IF97 region 4. Raises TemperatureOutOfRange."""
    kelvin = _checked(temp_c) + 273.15
    n1, n2, n3, n4, n5, n6, n7, n8, n9, n10 = _LINE
    theta = kelvin + n9 / (kelvin - n10)
    a = theta * (theta + n1) + n2
    b = theta * (n3 * theta + n4) + n5
    c = theta * (n6 * theta + n7) + n8
    return np.asarray(1e6 * (2.0 * c / (-b + np.sqrt(b * b - 4.0 * a * c))) ** 4, dtype=np.float64)
