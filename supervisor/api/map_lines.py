"""The pipes as lines for the overview map: read once, drawn once for supply and return together.

It refuses to know hydraulics: coordinates and diameters only.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any


async def map_lines(network_path: Path | None) -> list[list[float]]:
    """Return [x0, y0, x1, y1 in m, inner diameter in m] of each stretch; none without a network."""
    if network_path is None:
        return []
    return await asyncio.to_thread(_lines, network_path)


@lru_cache(maxsize=4)
def _lines(network_path: Path) -> list[list[float]]:
    content: dict[str, Any] = json.loads(network_path.read_text(encoding="utf-8"))
    nodes, pipes = content["nodes"], content["pipes"]
    place = {
        name: (round(float(x), 2), round(float(y), 2))
        for name, x, y in zip(nodes["id"], nodes["x_m"], nodes["y_m"], strict=True)
        if x is not None and y is not None
    }
    widest: dict[tuple[tuple[float, float], tuple[float, float]], float] = {}
    for start, end, diameter in zip(
        pipes["from_node"], pipes["to_node"], pipes["inner_diameter_m"], strict=True
    ):
        if start not in place or end not in place or place[start] == place[end]:
            continue
        a, b = sorted((place[start], place[end]))
        widest[a, b] = max(widest.get((a, b), 0.0), round(float(diameter), 4))
    return [[*a, *b, diameter] for (a, b), diameter in widest.items()]
