"""Two small SVG pictures of a solved network: the map coloured by value, the pressures to one consumer.

Plain text, no library, no scripts, readable in print; it draws what it is given and computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from .network import LINK_ENDS, FloatArray, Network

WIDTH, HEIGHT, EDGE = 900.0, 640.0, 50.0
# red where there is nothing to spare, grey in the middle, blue where there is plenty
_LOW, _MIDDLE, _HIGH = (178, 24, 43), (205, 205, 205), (33, 102, 172)


def _colour(share: float) -> str:
    share = min(max(share, 0.0), 1.0)
    a, b, t = (_LOW, _MIDDLE, 2.0 * share) if share < 0.5 else (_MIDDLE, _HIGH, 2.0 * share - 1.0)
    return "#" + "".join(f"{round(x + (y - x) * t):02x}" for x, y in zip(a, b, strict=True))


def _page(title: str, body: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" font-size="12"'
    return "\n".join(
        [
            f'{head} font-family="sans-serif">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="{EDGE:g}" y="24" font-size="16">{escape(title)}</text>',
            *body,
            "</svg>\n",
        ]
    )


def network_map(net: Network, consumer_value: FloatArray, title: str, unit: str) -> str:
    """Map of the pipes with a dot per consumer coloured by its value; ValueError without coordinates."""
    x, y = net.nodes["x_m"], net.nodes["y_m"]
    placed = np.isfinite(x) & np.isfinite(y)
    if not placed.any():
        raise ValueError("no node has coordinates (x_m, y_m), so there is no map to draw")
    scale = min(
        (WIDTH - 2 * EDGE) / max(float(np.ptp(x[placed])), 1e-9),
        (HEIGHT - 3 * EDGE) / max(float(np.ptp(y[placed])), 1e-9),
    )
    if not math.isfinite(scale) or scale > 1e6:
        scale = 1.0
    px = EDGE + (x - float(x[placed].min())) * scale
    py = HEIGHT - EDGE - (y - float(y[placed].min())) * scale
    body = []
    row_of = {name: row for row, name in enumerate(net.nodes.ids)}
    widest = float(net.pipes["inner_diameter_m"].max(initial=0.1))
    for row in range(net.pipes.rows):
        a, b = (row_of[net.pipes[end][row]] for end in LINK_ENDS["pipes"])
        if placed[a] and placed[b]:
            width = 0.6 + 3.0 * float(net.pipes["inner_diameter_m"][row]) / widest
            dash = "" if net.pipes["open"][row] else ' stroke-dasharray="4 3"'
            body.append(
                f'<line x1="{px[a]:.1f}" y1="{py[a]:.1f}" x2="{px[b]:.1f}" y2="{py[b]:.1f}" stroke="#777" '
                f'stroke-width="{width:.2f}"{dash}/>'
            )
    finite = consumer_value[np.isfinite(consumer_value)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    for row, name in enumerate(net.consumers.ids):
        node = row_of[net.consumers["supply_node"][row]]
        if not placed[node]:
            continue
        value = float(consumer_value[row])
        share = (value - low) / (high - low) if high > low else 0.5
        body.append(
            f'<circle cx="{px[node]:.1f}" cy="{py[node]:.1f}" r="5" fill="{_colour(share)}" stroke="#333" '
            f'stroke-width="0.6"><title>{escape(name)}: {value:.3g} {escape(unit)}</title></circle>'
        )
    for step in range(11):
        body.append(
            f'<rect x="{WIDTH - EDGE - 220 + 20 * step:g}" y="14" width="20" height="10" '
            f'fill="{_colour(step / 10)}"/>'
        )
    body.append(f'<text x="{WIDTH - EDGE - 220:g}" y="38">{low:.3g} {escape(unit)}</text>')
    body.append(f'<text x="{WIDTH - EDGE:g}" y="38" text-anchor="end">{high:.3g} {escape(unit)}</text>')
    return _page(title, body)


def pressure_profile(distance_m: FloatArray, supply_pa: FloatArray, return_pa: FloatArray, title: str) -> str:
    """Supply and return pressure, bar, over the way from the source to one consumer."""
    both = np.r_[supply_pa, return_pa] / 1e5
    low, high = float(np.floor(both.min())), float(np.ceil(both.max()))
    high = high if high > low else low + 1.0
    far = float(distance_m.max()) or 1.0

    def at(metres: float, bar: float) -> str:
        x = EDGE + metres / far * (WIDTH - 2 * EDGE)
        y = HEIGHT - EDGE - (bar - low) / (high - low) * (HEIGHT - 2.5 * EDGE)
        return f"{x:.1f},{y:.1f}"

    body = []
    for bar in np.linspace(low, high, 6):
        y = at(0.0, float(bar)).split(",")[1]
        body.append(f'<line x1="{EDGE:g}" x2="{WIDTH - EDGE:g}" y1="{y}" y2="{y}" stroke="#e4e4e4"/>')
        body.append(f'<text x="{EDGE - 6:g}" y="{y}" text-anchor="end">{bar:.1f}</text>')
    for values, colour, name in ((supply_pa, "#b2182b", "supply"), (return_pa, "#2166ac", "return")):
        points = " ".join(at(float(d), float(p) / 1e5) for d, p in zip(distance_m, values, strict=True))
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = at(far, float(values[-1]) / 1e5).split(",")
        body.append(f'<text x="{x}" y="{y}" dy="-6" text-anchor="end" fill="{colour}">{name}, bar</text>')
    body.append(
        f'<text x="{WIDTH - EDGE:g}" y="{HEIGHT - EDGE + 20:g}" text-anchor="end">'
        f"{far:.0f} m from the source</text>"
    )
    return _page(title, body)
