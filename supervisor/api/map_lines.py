"""The pipes as lines for the overview map: read once, drawn once for supply and return together.

It refuses to know hydraulics: coordinates and diameters only.
"""

from __future__ import annotations

import asyncio
import math
from functools import lru_cache
from pathlib import Path

from core_ext import Network


async def map_lines(network_path: Path | None) -> list[list[float]]:
    """Return [x0, y0, x1, y1 in m, inner diameter in m] of each stretch; none without a network."""
    if network_path is None:
        return []
    return await asyncio.to_thread(_lines, network_path)


@lru_cache(maxsize=4)
def _lines(network_path: Path) -> list[list[float]]:
    net = Network.read(network_path)
    place = {
        str(name): (round(float(x), 2), round(float(y), 2))
        for name, x, y in zip(net.nodes["id"], net.nodes["x_m"], net.nodes["y_m"], strict=True)
        if not (math.isnan(x) or math.isnan(y))
    }
    widest: dict[tuple[tuple[float, float], tuple[float, float]], float] = {}
    pipes = net.pipes
    for start, end, diameter in zip(
        pipes["from_node"], pipes["to_node"], pipes["inner_diameter_m"], strict=True
    ):
        a, b = place.get(str(start)), place.get(str(end))
        if a is None or b is None or a == b:
            continue
        line = (a, b) if a <= b else (b, a)
        widest[line] = max(widest.get(line, 0.0), round(float(diameter), 4))
    return [[*a, *b, diameter] for (a, b), diameter in widest.items()]
