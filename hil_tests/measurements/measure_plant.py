"""Speed of the emulated plant in steps of all substations. It judges nothing: that depends on the machine."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hil_tests.bench.board_io import BoardOutputs
from hil_tests.bench.plant import SinglePlant, Town, TownPlant
from hil_tests.bench.plant.houses import Houses, PlainHouses
from hil_tests.bench.plant.single import substations
from hil_tests.bench.plant.town import Substations
from hil_tests.bench.plant.water_heater import WaterHeaters
from hil_tests.bench.street import district

SCHUTTERWALD = Path(__file__).parents[2] / "examples" / "schutterwald"
DT_S = 2.0
COUNTS = (44, 500, 5_000)
SETTLE_STEPS = 300  # of a town: by then the first warm water has come through most pipes


def street(count: int) -> Substations:
    return substations(count, np.random.default_rng(1).uniform(5e3, 200e3, count))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["plain", "1 thread", "2 threads"])
def test_houses(benchmark: Any, count: int, kind: str) -> None:
    """Valve, exchanger, radiators and rooms; nothing of network and sensors."""
    rows = street(count)
    houses = PlainHouses(rows, 0.0) if kind == "plain" else Houses(rows, 0.0, threads=int(kind[0]))
    still, flow = np.zeros(count), 0.6 * np.asarray(rows.design_flow_kg_s)
    supply, pumps = np.full(count, 75.0), np.ones(count)

    def step() -> None:
        houses.move_valves(still, still)
        houses.step(DT_S, flow, supply, pumps, 0.0)

    benchmark(step)


@pytest.mark.parametrize("count", COUNTS)
def test_water_heaters(benchmark: Any, count: int) -> None:
    """Valve and exchanger of the hot water."""
    heaters = WaterHeaters(count, 0.15, 72.0, 25.0, 1.6)
    still, draws = np.zeros(count), np.random.default_rng(2).choice([0.0, 0.15], count)

    def step() -> None:
        heaters.move_valves(still, still)
        heaters.step(DT_S, 0.1, 70.0, draws, 10.0)

    benchmark(step)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_substations_with_sensors(benchmark: Any, count: int, threads: int) -> None:
    """All but the network: relays in, ohms and milliamperes out."""
    plant = SinglePlant(count, houses=street(count), threads=threads)
    outputs = BoardOutputs.idle(count)
    outputs.pump_on_s[:] = DT_S
    benchmark(plant.step, DT_S, outputs)


@pytest.mark.parametrize("count", COUNTS)
def test_town(benchmark: Any, tmp_path: Path, count: int) -> None:
    """The same with hydraulics solved in every step and heat carried through every pipe."""
    town = Town.load(SCHUTTERWALD) if count == COUNTS[0] else district(tmp_path, count)
    plant = TownPlant(town, -2.0)
    devices, random = plant.devices, np.random.default_rng(1)
    outputs = BoardOutputs.idle(devices)
    outputs.pump_on_s[:], outputs.pump_speed[:], outputs.heat_demand[:] = DT_S, 0.8, 0.6

    def step() -> None:
        # a quarter of the valves opens and another closes for 0.3 s, which no step of a real town outdoes
        outputs.open_s[:] = random.choice((0.0, 0.0, 0.0, 0.3), devices)
        outputs.close_s[:] = random.choice((0.0, 0.0, 0.0, 0.3), devices)
        plant.step(DT_S, outputs)

    outputs.open_s[:] = 60.0
    plant.step(DT_S, outputs)
    for _ in range(SETTLE_STEPS):
        step()
    benchmark(step)
