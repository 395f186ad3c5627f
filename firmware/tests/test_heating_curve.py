"""The heating curve: two points, a straight line, flat ends."""

import pytest

from firmware.substation.heating_curve import supply_setpoint_mc

CURVE = (-15_000, 75_000, 18_000, 30_000)


@pytest.mark.parametrize(
    ("outdoor_mc", "supply_mc"),
    [(-40_000, 75_000), (-15_000, 75_000), (1_500, 52_500), (18_000, 30_000), (35_000, 30_000)],
)
def test_points_and_ends(outdoor_mc, supply_mc):
    assert supply_setpoint_mc(outdoor_mc, *CURVE) == supply_mc


def test_colder_outside_is_never_cooler_inside():
    supplies = [supply_setpoint_mc(outdoor_mc, *CURVE) for outdoor_mc in range(-30_000, 30_000, 7)]
    assert supplies == sorted(supplies, reverse=True)


def test_the_vm_gives_the_same_curve(in_vm):
    printed = in_vm(
        "from substation.heating_curve import supply_setpoint_mc as s\n"
        "print([s(o, -15000, 75000, 18000, 30000) for o in range(-30000, 30000, 701)])\n"
    )
    assert printed.strip() == str([supply_setpoint_mc(o, *CURVE) for o in range(-30_000, 30_000, 701)])
