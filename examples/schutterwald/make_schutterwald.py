"""Make the Schutterwald example from pandapipes' street geometry and the German test reference year.

Run once by a developer who has pandapipes and demandlib installed; the files it writes are committed.
It takes geometry, lengths and heights from the data set and nothing else: its diameters are wrong
(800 mm everywhere) and its consumers contradict themselves, see README.md.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from hil_tests.bench.plant.town_maker import Consumer, Layout, TownTexts, write_town

FOLDER = Path(__file__).resolve().parent
SEED = 20260102
MERGE_BELOW_M = 0.1
DESIGN_OUTDOOR_C = -12.0  # Upper Rhine, EN 12831 style design temperature (estimate)
# 8 degC +- 6 K over the year, 1.75 months behind the air: early January at 1 m depth
GROUND_C = 6.0
BLOCKS = 8  # multi-family houses among the consumers
EARTH_RADIUS_M = 6_371_000.0


def main() -> None:
    import pandapipes.networks

    net: Any = pandapipes.networks.schutterwald_heat()
    layout = read_layout(net)
    texts = TownTexts(
        name="Schutterwald",
        about=(
            "Street geometry, pipe lengths and heights from pandapipes.networks.schutterwald_heat() "
            "(BSD-3-Clause, see NOTICE). Diameters, demands, buildings and substations by own rules, "
            "see README.md"
        ),
        synthetic=False,
        timezone="Europe/Berlin",
        design_outdoor_c=DESIGN_OUTDOOR_C,
        ground_temp_c=GROUND_C,
        areas={"north": "North", "south": "South"},
    )
    figures = write_town(layout, texts, FOLDER)
    weather = coldest_week(files("demandlib.vdi") / "resources_weather" / "TRY2010_12_Jahr.dat")
    write_weather(weather, FOLDER / "weather.csv")
    temps = [temp for _, temp in weather]
    figures |= {"weather_hours": len(temps), "coldest_c": min(temps)}
    sys.stdout.write("".join(f"{key}: {value}\n" for key, value in figures.items()))


def read_layout(net: Any) -> Layout:
    """The supply half of the data set as a tree, pieces shorter than 0.1 m and open valves merged."""
    junctions, pipes = net.junction, net.pipe
    parent = {int(j): int(j) for j in junctions.index}

    def top(j: int) -> int:
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        return j

    for row in net.valve.itertuples():
        parent[top(int(row.junction))] = top(int(row.element))
    for row in pipes.itertuples():
        if row.length_km * 1000.0 < MERGE_BELOW_M:
            parent[top(int(row.from_junction))] = top(int(row.to_junction))
    edges = [
        (top(int(r.from_junction)), top(int(r.to_junction)), r.length_km * 1000.0)
        for r in pipes.itertuples()
        if r.length_km * 1000.0 >= MERGE_BELOW_M
    ]
    root = top(int(net.circ_pump_pressure.flow_junction.iloc[0]))
    supply = reachable(root, edges)

    plant = net.substation.geo.iloc[0]["coordinates"]
    x_m, y_m, elevation = {}, {}, {}
    for j in sorted(supply):
        group = [int(i) for i in junctions.index if top(int(i)) == j]
        geo = next((junctions.geo[i] for i in group if junctions.geo[i] is not None), None)
        latitude, longitude = plant if geo is None or j == root else geo["coordinates"]
        x_m[j] = np.radians(longitude - plant[1]) * EARTH_RADIUS_M * np.cos(np.radians(plant[0]))
        y_m[j] = np.radians(latitude - plant[0]) * EARTH_RADIUS_M
        elevation[j] = float(np.mean([junctions.height_m[i] for i in group]))
    order = sorted(supply)
    rows = {j: row for row, j in enumerate(order)}
    kept = [e for e in edges if e[0] in supply]
    houses = [rows[top(int(j))] for j in net.heat_consumer.from_junction]
    y = np.array([y_m[j] for j in order])
    return Layout(
        x_m=np.array([x_m[j] for j in order]),
        y_m=y,
        elevation_m=np.array([elevation[j] for j in order]),
        from_row=np.array([rows[a] for a, _, _ in kept]),
        to_row=np.array([rows[b] for _, b, _ in kept]),
        length_m=np.array([length for _, _, length in kept]),
        root=rows[root],
        consumers=consumers(houses, y),
    )


def reachable(root: int, edges: Iterable[tuple[int, int, float]]) -> set[int]:
    neighbours: dict[int, list[int]] = {}
    for a, b, _ in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    seen, todo = {root}, [root]
    while todo:
        for other in neighbours.get(todo.pop(), []):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def consumers(nodes: list[int], y_m: np.ndarray[Any, Any]) -> list[Consumer]:
    """44 houses: 36 of 8 to 20 kW and 8 blocks of 25 to 60 kW, drawn by seed (own rule, estimates)."""
    random = np.random.default_rng(SEED)
    blocks = set(random.choice(len(nodes), BLOCKS, replace=False).tolist())
    middle = float(np.median(y_m[nodes]))
    result = []
    for number, node in enumerate(nodes):
        block = number in blocks
        heat = random.uniform(25e3, 60e3) if block else random.uniform(8e3, 20e3)
        result.append(
            Consumer(
                id=f"house-{number + 1:02d}",
                name=f"{'Block' if block else 'House'} {number + 1}",
                node=node,
                design_heat_w=round(float(heat), -1),
                area="north" if y_m[node] >= middle else "south",
                priority=1 if block else 2,
                time_constant_h=float(random.uniform(60.0, 120.0)),
                radiator_reserve=float(random.uniform(1.05, 1.25)),
            )
        )
    return result


def coldest_week(path: Any) -> list[tuple[datetime, float]]:
    """The coldest seven calendar days of the test year with the day before them, stamped in 2026 and UTC.

    The year's hours are Central European time (UTC+1), HH = 1..24 being the end of the hour.
    """
    body = path.read_text(encoding="latin-1").split("***")[1]
    rows = [line.split() for line in body.strip().splitlines()]
    temps = np.array([float(r[8]) for r in rows])
    means = [temps[24 * day : 24 * day + 168].mean() for day in range(1, 365 - 7)]
    first = 24 * int(np.argmin(means))  # the day before the week
    start = datetime(2026, int(rows[first][2]), int(rows[first][3]), tzinfo=UTC)
    # the last value closes the last hour
    return [(start + timedelta(hours=h), float(temps[first + h])) for h in range(8 * 24 + 1)]


def write_weather(weather: list[tuple[datetime, float]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(
            "# Air temperature 2 m above ground, coldest week of the test reference year TRY 2010 region 12\n"
            "# (Upper Rhine, lower Neckar; station Mannheim, mean year 1988-2007), Deutscher Wetterdienst,\n"
            "# as shipped with demandlib 0.2.2 (MIT). First day: warm-up. The year number 2026 is ours.\n"
        )
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["utc", "outdoor_temp_c"])
        out.writerows((when.isoformat(), temp) for when, temp in weather)


if __name__ == "__main__":
    main()
