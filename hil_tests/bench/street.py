"""A street: a few equal houses along one trench behind a small heat plant, for tests and `emulate`.

It is a town like any other, made by the same rules, only short. Its houses are 15 kW at -12 degC
(own choice); it stands for no real place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from firmware.substation import registers

from .plant.town import Town
from .plant.town_maker import DEFICIT_BUDGET_KH, Consumer, Layout, TownTexts, write_town
from .provisioning import site_rows

HOUSE_HEAT_W = 15_000.0
TIME_CONSTANT_H = 80.0  # a house of middling mass [estimate]
RADIATOR_RESERVE = 1.15  # [estimate]
DESIGN_OUTDOOR_C = -12.0
GROUND_C = 8.0
TO_FIRST_HOUSE_M = 40.0
BETWEEN_HOUSES_M = 20.0


def street(folder: Path, houses: int) -> Town:
    """Write and load a street town: `house-01` … in order from the plant, all in area `street`."""
    count = houses + 1
    x_m = np.concatenate(([0.0], TO_FIRST_HOUSE_M + BETWEEN_HOUSES_M * np.arange(houses)))
    layout = Layout(
        x_m=x_m,
        y_m=np.zeros(count),
        elevation_m=np.zeros(count),
        from_row=np.arange(houses),
        to_row=np.arange(1, count),
        length_m=np.diff(x_m),
        root=0,
        consumers=[
            Consumer(
                id=f"house-{number:02d}",
                name=f"House {number}",
                node=number,
                design_heat_w=HOUSE_HEAT_W,
                area="street",
                priority=2,
                time_constant_h=TIME_CONSTANT_H,
                radiator_reserve=RADIATOR_RESERVE,
            )
            for number in range(1, count)
        ],
    )
    texts = TownTexts(
        name="Street",
        about="A synthetic street for tests of controllers.",
        synthetic=True,
        timezone="UTC",
        design_outdoor_c=DESIGN_OUTDOOR_C,
        ground_temp_c=GROUND_C,
        areas={"street": "Street"},
    )
    write_town(layout, texts, folder)
    return Town.load(folder)


HOUSES_IN_A_STREET = 18


def district(folder: Path, houses: int) -> Town:
    """Write and load a district: streets of at most 18 houses across one trunk, the plant at its end.

    Houses are those of the street, `house-001` … street by street; every street is an area of its own.
    """
    streets = -(-houses // HOUSES_IN_A_STREET)
    x_m, y_m, from_row, to_row, consumers = [0.0], [0.0], [], [], []
    crossing = 0
    for number in range(1, streets + 1):
        from_row.append(crossing)
        crossing = len(x_m)
        to_row.append(crossing)
        x_m.append(TO_FIRST_HOUSE_M * number)
        y_m.append(0.0)
        before, side = crossing, 1.0 if number % 2 else -1.0
        first = (number - 1) * HOUSES_IN_A_STREET
        for k in range(min(HOUSES_IN_A_STREET, houses - first)):
            from_row.append(before)
            before = len(x_m)
            to_row.append(before)
            x_m.append(TO_FIRST_HOUSE_M * number)
            y_m.append(side * BETWEEN_HOUSES_M * (k + 1))
            consumers.append(
                Consumer(
                    id=f"house-{first + k + 1:03d}",
                    name=f"House {first + k + 1}",
                    node=before,
                    design_heat_w=HOUSE_HEAT_W,
                    area=f"street-{number:02d}",
                    priority=2,
                    time_constant_h=TIME_CONSTANT_H,
                    radiator_reserve=RADIATOR_RESERVE,
                )
            )
    ends = np.array(from_row), np.array(to_row)
    place = np.array(x_m), np.array(y_m)
    layout = Layout(
        x_m=place[0],
        y_m=place[1],
        elevation_m=np.zeros(len(x_m)),
        from_row=ends[0],
        to_row=ends[1],
        length_m=np.hypot(place[0][ends[1]] - place[0][ends[0]], place[1][ends[1]] - place[1][ends[0]]),
        root=0,
        consumers=consumers,
    )
    texts = TownTexts(
        name="District",
        about="A synthetic district for scenarios of many controllers.",
        synthetic=True,
        timezone="UTC",
        design_outdoor_c=DESIGN_OUTDOOR_C,
        ground_temp_c=GROUND_C,
        areas={f"street-{number:02d}": f"Street {number}" for number in range(1, streets + 1)},
    )
    write_town(layout, texts, folder)
    return Town.load(folder)


def controller_settings(town: Town, name: str, profile: str) -> dict[str, Any]:
    """Return the rows of one controller's site.json that a street decides, by register name."""
    settings = site_rows(profile, town.controller_config[name])
    if profile == registers.SUBSTATION:
        settings["deficit_budget_kh"] = DEFICIT_BUDGET_KH
    return settings
