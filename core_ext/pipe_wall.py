"""Heat capacity of a pipe's wall, and how strongly it blurs a temperature front that passes.

A wall of capacity C (J/(m K)) behind a film of conductance G (W/(m K)) delays a front by C L/(m cp) and
spreads it by the variance 2 N (C/G)^2, N = G L/(m cp) being its transfer units. Both moments are met by two
mixed nodes at the ends of the pipe and the rest of the wall riding with the water. It knows no axial
conduction and no insulation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import fluid

FloatArray = NDArray[np.float64]

# Steel wall over inner diameter of common pre-insulated pipe, for networks that do not say theirs.
_STEEL_INNER_M = (0.0216, 0.0545, 0.1071, 0.2101, 0.3127, 0.4954, 0.994)
_STEEL_WALL_M = (0.00265, 0.0029, 0.0036, 0.0045, 0.0056, 0.0063, 0.011)
_STEEL_J_M3K = 7850.0 * 470.0
_LAMINAR_NUSSELT = 3.66  # developed, wall of one temperature
_LAMINAR_BELOW, _TURBULENT_ABOVE = 2300.0, 4000.0


def steel_capacity_j_mk(inner_diameter_m: FloatArray) -> FloatArray:
    """Heat capacity of a steel wall of the usual thickness, J/(m K), one value per diameter."""
    thickness = np.interp(inner_diameter_m, _STEEL_INNER_M, _STEEL_WALL_M)
    return np.asarray(np.pi * thickness * (inner_diameter_m + thickness) * _STEEL_J_M3K)


def film_w_m2k(inner_diameter_m: FloatArray, velocity_m_s: FloatArray, temp_c: float) -> FloatArray:
    """Heat transfer coefficient from water to wall, W/(m2 K): Gnielinski above Re 4000, 3.66 k/D below 2300.

    Between both it is interpolated by Re. Source: V. Gnielinski, Int. Chem. Eng. 16 (1976) 359, with the
    friction factor (0.79 ln Re - 1.64)^-2 of Petukhov.
    """
    conductivity = float(fluid.conductivity_w_mk(temp_c))
    viscosity = float(fluid.viscosity_pa_s(temp_c))
    prandtl = viscosity * float(fluid.heat_capacity_j_kgk(temp_c)) / conductivity
    reynolds = velocity_m_s * inner_diameter_m * float(fluid.density_kg_m3(temp_c)) / viscosity
    turbulent = np.maximum(reynolds, _TURBULENT_ABOVE)
    eighth = (0.79 * np.log(turbulent) - 1.64) ** -2 / 8.0
    nusselt = eighth * (turbulent - 1000.0) * prandtl
    nusselt /= 1.0 + 12.7 * np.sqrt(eighth) * (prandtl ** (2.0 / 3.0) - 1.0)
    way = np.clip((reynolds - _LAMINAR_BELOW) / (_TURBULENT_ABOVE - _LAMINAR_BELOW), 0.0, 1.0)
    nusselt = _LAMINAR_NUSSELT + way * (nusselt - _LAMINAR_NUSSELT)
    return np.asarray(nusselt * conductivity / inner_diameter_m)


def wall_nodes(
    length_m: FloatArray,
    inner_diameter_m: FloatArray,
    wall_kg: FloatArray,
    velocity_m_s: FloatArray,
    temp_c: float,
) -> tuple[FloatArray, FloatArray]:
    """What each of the two nodes of a pipe holds, and the share of the passing water that takes part in it.

    All arrays have one value per pipe. `wall_kg` is the whole wall in kg of water of the same heat capacity;
    the first result is in the same unit and at most half of it. Above four transfer units (N) a node holds
    wall/sqrt(N) and all water takes part; below, half the wall with the share 2 N/(N + 4). A node's capacity
    changes with velocity^0.1 only, because the film coefficient grows with velocity^0.8: it is taken at one
    velocity and kept.
    """
    capacity = float(fluid.density_kg_m3(temp_c) * fluid.heat_capacity_j_kgk(temp_c))
    with np.errstate(invalid="ignore", divide="ignore"):
        film = film_w_m2k(inner_diameter_m, velocity_m_s, temp_c)
        units = 4.0 * film * length_m / (velocity_m_s * capacity * inner_diameter_m)
        units = np.where(np.isfinite(units) & (units > 0.0), units, 0.0)
        node = wall_kg / np.sqrt(np.maximum(units, 4.0))
    share = np.where(units >= 4.0, 1.0, np.maximum(2.0 * units / (units + 4.0), 1e-3))
    return np.where(wall_kg > 0.0, node, 0.0), share
