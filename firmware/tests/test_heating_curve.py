"""The heating curve: two points, a straight line, flat ends."""

import pytest

from firmware.substation.heating_curve import line, of_slope

CURVE = (-15_000, 75_000, 18_000, 30_000)


@pytest.mark.parametrize(
    ("outdoor_mc", "supply_mc"),
    [(-40_000, 75_000), (-15_000, 75_000), (1_500, 52_500), (18_000, 30_000), (35_000, 30_000)],
)
def test_points_and_ends(outdoor_mc, supply_mc):
    assert line(CURVE, outdoor_mc) == supply_mc


def test_colder_outside_is_never_cooler_inside():
    supplies = [line(CURVE, outdoor_mc) for outdoor_mc in range(-30_000, 30_000, 7)]
    assert supplies == sorted(supplies, reverse=True)


def test_the_vm_gives_the_same_curve(in_vm):
    printed = in_vm(
        "from substation.heating_curve import line\n"
        "print([line((-15000, 75000, 18000, 30000), o) for o in range(-30000, 30000, 701)])\n"
    )
    assert printed.strip() == str([line(CURVE, o) for o in range(-30_000, 30_000, 701)])


FOUR = (-15_000, 75_000, -5_000, 62_000, 5_000, 48_000, 18_000, 30_000)


@pytest.mark.parametrize(
    ("outdoor_mc", "supply_mc"),
    [(-20_000, 75_000), (-15_000, 75_000), (-10_000, 68_500), (-5_000, 62_000), (0, 55_000), (5_000, 48_000),
     (11_500, 39_000), (18_000, 30_000), (30_000, 30_000)],
)  # fmt: skip
def test_four_points(outdoor_mc, supply_mc):
    assert line(FOUR, outdoor_mc) == supply_mc


def test_a_slope_and_a_level_are_a_line_too():
    """Slope 1.8, Samson's setting as delivered: 1.8 K of supply for each kelvin outside."""
    curve = of_slope(1_800, 0)
    assert line(curve, 20_000) == 20_000
    assert line(curve, 0) == 56_000
    assert line(curve, -10_000) == 74_000
    assert line(of_slope(1_800, -5_000), 0) == 51_000
    assert line(curve, -40_000) == line(curve, -25_000)
