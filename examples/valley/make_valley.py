"""Make a SYNTHETIC district heating town in the shape and size of the Šaleška valley.

Streets, houses, demands and weather are drawn by seed so that their totals agree with published and estimated
figures of the valley's system (README.md lists them). No real pipe, address or consumer is in it, and nothing
it shows may be read as a statement about the real network.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hil_tests.bench.plant.town_maker import Consumer, Layout, TownTexts, write_town

FloatArray = NDArray[np.float64]

PUBLISHED_CONSUMERS = 5070  # consumption points, January 2017 (operator)
PEAK_W = 100e6  # plant peak of 85 to 115 MW, from 265 to 320 GWh/a (our estimate)
TRENCH_M = 162_500.0  # 135 to 190 km, from the published loss of 26.4 % (our estimate)
DESIGN_OUTDOOR_C = -13.0  # coldest hour on record there: -13.6 degC
GROUND_C = 6.0  # 8 degC +- 6 K over the year, early January
LARGEST_PLANT_DP_PA = 800e3  # pump head 4 to 8 bar (our estimate)
VALLEY_ASPECT = 3.0  # length over width of the settled floor (our estimate)
FLOOR_M, HILL_M = 365.0, 55.0  # valley floor 360 to 420 m, hills up to 60 m higher

INDUSTRIAL_SHARE = 650 / 5070  # published number of industrial users
BLOCK_SHARE = 0.02  # our estimate, chosen so that the mean demand agrees with the peak


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make_valley", description=__doc__)
    parser.add_argument("--consumers", type=int, default=45, help="how many, 2 to 5070 (default 45)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same town (default 1)")
    parser.add_argument("folder", type=Path, nargs="?", help="folder for the files")
    parser.add_argument("--out", type=Path, help="the same, by name")
    given = parser.parse_args(arguments)
    folder = given.out or given.folder
    if folder is None:
        parser.error("give a folder for the files; nothing was written")
    if not 2 <= given.consumers <= PUBLISHED_CONSUMERS:
        parser.error(f"--consumers must lie between 2 and {PUBLISHED_CONSUMERS}; nothing was written")
    figures = make_valley(given.consumers, given.seed, folder)
    sys.stdout.write("".join(f"{key}: {value}\n" for key, value in figures.items()))


def make_valley(consumers: int, seed: int, folder: Path) -> dict[str, float]:
    """Write network.json, town.json, site.toml and weather.csv into `folder`; returns the main figures."""
    texts = TownTexts(
        name=f"Synthetic valley, {consumers} consumers",
        about=(
            f"SYNTHETIC. Drawn with seed {seed} by examples/valley/make_valley.py; only its totals follow "
            "published and estimated figures of the Šaleška valley. It describes no real pipe or consumer."
        ),
        synthetic=True,
        timezone="Europe/Ljubljana",
        design_outdoor_c=DESIGN_OUTDOOR_C,
        ground_temp_c=GROUND_C,
        areas={"west": "West", "east": "East"},
    )
    figures = write_town(
        valley_layout(consumers, seed), texts, folder, largest_plant_dp_pa=LARGEST_PLANT_DP_PA
    )
    write_weather(folder / "weather.csv")
    return figures


def valley_layout(consumers: int, seed: int) -> Layout:
    """Plant at the western end, consumers scattered over the floor, the shortest tree between them."""
    random = np.random.default_rng(seed)
    x = np.concatenate([[0.0], random.uniform(0.0, VALLEY_ASPECT, consumers)])
    # denser along the axis of the valley than on its slopes
    y = np.concatenate([[0.0], random.triangular(-0.5, 0.0, 0.5, consumers)])
    from_row, to_row, length = shortest_tree(x, y)
    # the published trench length for each consumer decides the scale
    scale = TRENCH_M / PUBLISHED_CONSUMERS * consumers / float(length.sum())
    elevation = FLOOR_M + HILL_M * (2.0 * y) ** 2
    heat = demands_w(consumers, random)
    width = max(2, len(str(consumers)))
    houses = [
        Consumer(
            id=f"tp-{number:0{width}d}",
            name=f"Consumer {number}",
            node=number,
            design_heat_w=round(float(heat[number - 1]), -1),
            area="west" if x[number] < VALLEY_ASPECT / 2.0 else "east",
            priority=1 if heat[number - 1] >= 50e3 else 2,
            time_constant_h=float(random.uniform(60.0, 120.0)),
            radiator_reserve=float(random.uniform(1.05, 1.25)),
        )
        for number in range(1, consumers + 1)
    ]
    return Layout(
        x_m=x * scale,
        y_m=y * scale,
        elevation_m=elevation,
        from_row=from_row,
        to_row=to_row,
        length_m=np.maximum(length * scale, 0.5),
        root=0,
        consumers=houses,
    )


def demands_w(consumers: int, random: np.random.Generator) -> FloatArray:
    """Houses of 8 to 20 kW, blocks of 50 to 400 kW, industrial users from 20 kW; the sum follows the peak."""
    kind = random.uniform(0.0, 1.0, consumers)
    houses = random.uniform(8e3, 20e3, consumers)
    blocks = np.exp(random.uniform(math.log(50e3), math.log(400e3), consumers))
    industrial = np.clip(25e3 * np.exp(0.5 * random.standard_normal(consumers)), 20e3, 2e6)
    heat = np.where(kind < INDUSTRIAL_SHARE, industrial, houses)
    heat = np.where(kind > 1.0 - BLOCK_SHARE, blocks, heat)
    # the sum may miss the share of the peak by the luck of few draws; a third up or down is let be
    wanted = PEAK_W / PUBLISHED_CONSUMERS * consumers
    result: FloatArray = heat * np.clip(wanted / heat.sum(), 0.75, 1.33)
    return result


def shortest_tree(x: FloatArray, y: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Minimum spanning tree of the points, grown from point 0 (Prim): ends and lengths of its edges."""
    count = len(x)
    nearest = np.zeros(count, dtype=np.int64)
    distance = np.hypot(x - x[0], y - y[0])
    distance[0] = np.inf
    outside = np.ones(count, dtype=np.bool_)
    outside[0] = False
    from_row, to_row, length = [], [], []
    for _ in range(count - 1):
        point = int(np.argmin(distance))
        from_row.append(int(nearest[point]))
        to_row.append(point)
        length.append(float(distance[point]))
        outside[point] = False
        distance[point] = np.inf
        fresh = np.hypot(x - x[point], y - y[point])
        closer = outside & (fresh < distance)
        distance[closer] = fresh[closer]
        nearest[closer] = point
    return np.array(from_row), np.array(to_row), np.array(length)


def write_weather(path: Path) -> None:
    """A made-up cold spell with the marks of January 2017: mean, coldest day, coldest hour."""
    days = [-2.9, -2.9, -4.0, -5.5, -7.6, -7.6, -5.5, -4.0, -2.9, -2.9]
    start = datetime(2026, 1, 5, tzinfo=UTC)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(
            "# SYNTHETIC weather: daily means from the mean of January 2017 in the valley (-2.9 degC) to\n"
            "# its coldest day (-7.6 degC), daily swing 6 K: the coldest hour is -13.6 degC as published.\n"
            "# First day: warm-up. The year number is ours.\n"
        )
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["utc", "outdoor_temp_c"])
        for hour in range(8 * 24 + 1):
            mean = float(np.interp(hour / 24.0 + 0.5, np.arange(len(days)), days))
            swing = 6.0 * math.cos(2.0 * math.pi * (hour - 16) / 24.0)
            out.writerow([(start + timedelta(hours=hour)).isoformat(), round(mean + swing, 1)])


if __name__ == "__main__":
    main()
