"""Random and closed-form networks for the tests of the core; it solves nothing and reads no files."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..network import HydraulicFluid, Network

WATER_75 = HydraulicFluid(density_kg_m3=974.8, viscosity_pa_s=3.8e-4, cp_j_kgk=4193.0)

# inner diameters of steel pipes DN 25 to DN 200, m
DIAMETERS_M = (0.0285, 0.0372, 0.0431, 0.0545, 0.0703, 0.0825, 0.1071, 0.1325, 0.1603, 0.2101)


def looped_mesh(seed: int, nodes: int = 40, loops: int = 12, reservoirs: int = 2) -> Network:
    """One zone: random tree plus extra links, demands at nodes, heights, minor losses, two reservoirs."""
    rng = np.random.default_rng(seed)
    ids = [f"n{i}" for i in range(nodes)]
    pressure = np.full(nodes, np.nan)
    height = rng.uniform(0.0, 30.0, nodes)
    # equal heads up to a few metres, so that reservoirs neither drain each other nor sit idle
    for i in range(reservoirs):
        pressure[i] = 974.8 * 9.80665 * (60.0 + rng.uniform(0.0, 3.0) - height[i])
    injection = -rng.uniform(0.0, 1.5, nodes)
    injection[rng.random(nodes) < 0.2] = 0.0
    injection[:reservoirs] = 0.0
    ends = [(int(rng.integers(max(0, i - 6), i)), i) for i in range(1, nodes)]
    while len(ends) < nodes - 1 + loops:
        a, b = (int(x) for x in rng.integers(0, nodes, 2))
        if a != b:
            ends.append((a, b))
    swap = rng.random(len(ends)) < 0.5
    ends = [(b, a) if s else (a, b) for (a, b), s in zip(ends, swap, strict=True)]
    count = len(ends)
    return Network(
        nodes={
            "id": ids,
            "elevation_m": height,
            "mass_injection_kg_s": injection,
            "fixed_pressure_pa": pressure,
        },
        pipes={
            "id": [f"p{i}" for i in range(count)],
            "from_node": [ids[a] for a, _ in ends],
            "to_node": [ids[b] for _, b in ends],
            "length_m": rng.uniform(5.0, 400.0, count),
            "inner_diameter_m": rng.choice(DIAMETERS_M[3:], count),
            "roughness_m": rng.uniform(1e-5, 5e-4, count),
            "loss_coefficient": rng.choice([0.0, 0.5, 4.0], count),
        },
        fluid=WATER_75,
    )


def district(seed: int, streets: int = 30, loops: int = 4, mode: str = "valve", **consumer: Any) -> Network:
    """Supply and mirrored return, one source, one consumer per street node but the first."""
    rng = np.random.default_rng(seed)
    ends = [(int(rng.integers(max(0, i - 5), i)), i) for i in range(1, streets)]
    while len(ends) < streets - 1 + loops:
        a, b = sorted(int(x) for x in rng.integers(0, streets, 2))
        if a != b:
            ends.append((a, b))
    length = rng.uniform(10.0, 150.0, len(ends))
    diameter = rng.choice(DIAMETERS_M[4:], len(ends))
    height = rng.uniform(0.0, 20.0, streets)
    consumers: dict[str, Any] = {
        "id": [f"c{i}" for i in range(1, streets)],
        "supply_node": [f"s{i}" for i in range(1, streets)],
        "return_node": [f"r{i}" for i in range(1, streets)],
        "mode": mode,
        "kv_m3_h": rng.uniform(0.5, 4.0, streets - 1),
        "mass_flow_kg_s": rng.uniform(0.05, 0.6, streets - 1),
        "min_dp_pa": 3e4,
    }
    consumers.update(consumer)
    return Network(
        nodes={
            "id": [f"s{i}" for i in range(streets)] + [f"r{i}" for i in range(streets)],
            "elevation_m": np.tile(height, 2),
        },
        pipes={
            "id": [f"ps{i}" for i in range(len(ends))] + [f"pr{i}" for i in range(len(ends))],
            "from_node": [f"s{a}" for a, _ in ends] + [f"r{b}" for _, b in ends],
            "to_node": [f"s{b}" for _, b in ends] + [f"r{a}" for a, _ in ends],
            "length_m": np.tile(length, 2),
            "inner_diameter_m": np.tile(diameter, 2),
        },
        consumers=consumers,
        sources={
            "id": ["plant"],
            "return_node": ["r0"],
            "supply_node": ["s0"],
            "dp_pa": [4e5],
            "return_pressure_pa": [2e5],
        },
        fluid=WATER_75,
    )
