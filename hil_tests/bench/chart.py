"""Line charts as SVG text for reports that open offline.

It draws bands, lines and limits over one time axis, and refuses everything else: no axes of its
own on the right, no legends over the data, no scripts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 920, 230
LEFT, RIGHT, TOP, BOTTOM = 62, 150, 14, 30
MARK_NAME_WIDTH = 14
MAX_POINTS = 700  # a line of more points than pixels says nothing more


@dataclass(frozen=True)
class Line:
    """One named curve; colour is any CSS colour, dashes an SVG stroke-dasharray."""

    name: str
    values: ArrayLike
    colour: str = "#1f4e79"
    dashes: str = ""
    width: float = 1.6


@dataclass(frozen=True)
class Band:
    """The area between a lower and an upper curve."""

    name: str
    low: ArrayLike
    high: ArrayLike
    colour: str = "#9db8d2"


@dataclass(frozen=True)
class Limit:
    """A horizontal line that something is judged by."""

    name: str
    value: float
    colour: str = "#b3261e"


@dataclass
class Chart:
    """What one picture shows: hours on the x axis, one unit on the y axis."""

    title: str
    unit: str
    hours: ArrayLike
    lines: Sequence[Line] = ()
    bands: Sequence[Band] = ()
    limits: Sequence[Limit] = field(default_factory=tuple)
    from_zero: bool = False
    marks: Sequence[tuple[float, str]] = ()
    """(hour, short name) of events: a thin upright line each, named at its top."""

    def svg(self) -> str:
        """Return the picture as one <svg> element; a chart without a finite value says so in words."""
        hours = np.asarray(self.hours, dtype=float)
        curves = [np.asarray(line.values, dtype=float) for line in self.lines]
        edges = [np.asarray(edge, dtype=float) for band in self.bands for edge in (band.low, band.high)]
        finite = [values[np.isfinite(values)] for values in (*curves, *edges)]
        finite = [values for values in finite if values.size]
        if not finite or hours.size < 2:
            return f"<p class='nodata'>{escape(self.title)}: no values were recorded.</p>"
        low = min([float(v.min()) for v in finite] + [limit.value for limit in self.limits])
        high = max([float(v.max()) for v in finite] + [limit.value for limit in self.limits])
        if self.from_zero:
            low = min(low, 0.0)
        step = _nice_step(max(high - low, 1e-9) / 4)
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        if high <= low:
            high = low + step
        x_low, x_high = float(hours[0]), float(hours[-1])

        def x(hour: float) -> float:
            return LEFT + (hour - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

        def y(value: float) -> float:
            return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.title)} in {escape(self.unit)}">'
        ]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        for k in range(round((high - low) / step) + 1):
            value = low + k * step
            parts.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                f'class="grid"/>'
                f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" class="tick end">{value:.{decimals}f}</text>'
            )
        hour_step = _nice_hours((x_high - x_low) / 7)
        tick = math.ceil(x_low / hour_step - 1e-9) * hour_step
        while tick <= x_high + 1e-9:
            label = f"{tick:g} h" if x_high - x_low >= 2 else f"{tick * 60:.0f} min"
            parts.append(
                f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{HEIGHT - BOTTOM}" '
                f'y2="{HEIGHT - BOTTOM + 4}" class="axis"/>'
                f'<text x="{x(tick):.1f}" y="{HEIGHT - 10}" class="tick mid">{label}</text>'
            )
            tick += hour_step
        parts.append(
            f'<text x="10" y="{TOP + 2}" class="unit" transform="rotate(-90 10 {TOP + 2})">'
            f"{escape(self.unit)}</text>"
        )
        rows: list[tuple[float, str, str]] = []
        for band, lower, upper in zip(self.bands, edges[::2], edges[1::2], strict=True):
            points = [f"{x(h):.1f},{y(v):.1f}" for h, v in _finite(_thin(hours, upper, "max"))]
            points += [f"{x(h):.1f},{y(v):.1f}" for h, v in reversed(_finite(_thin(hours, lower, "min")))]
            parts.append(f'<polygon points="{" ".join(points)}" fill="{band.colour}" fill-opacity="0.55"/>')
            rows.append((y(_last(upper) / 2 + _last(lower) / 2), band.name, "#4a6a8a"))
        for limit in self.limits:
            parts.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(limit.value):.1f}" y2="{y(limit.value):.1f}" '
                f'stroke="{limit.colour}" stroke-dasharray="2 3"/>'
            )
            rows.append((y(limit.value), limit.name, limit.colour))
        named_x = -math.inf
        for hour, name in self.marks:
            at = x(min(max(hour, x_low), x_high))
            parts.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
            )
            if at - named_x >= MARK_NAME_WIDTH:  # names that would cover each other are left to the table
                parts.append(f'<text x="{at - 3:.1f}" y="{TOP + 10}" class="tick end">{escape(name)}</text>')
                named_x = at
        for line, values in zip(self.lines, curves, strict=True):
            for run in _runs(_thin(hours, values, "mean")):
                points = [f"{x(h):.1f},{y(v):.1f}" for h, v in run]
                dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
                parts.append(
                    f'<polyline points="{" ".join(points)}" fill="none" stroke="{line.colour}" '
                    f'stroke-width="{line.width}"{dashes}/>'
                )
            rows.append((y(_last(values)), line.name, line.colour))
        for label_y, name, colour in _spread(rows):
            parts.append(
                f'<text x="{WIDTH - RIGHT + 8}" y="{label_y + 4:.1f}" class="name" '
                f'fill="{colour}">{escape(name)}</text>'
            )
        parts.append("</svg>")
        return "".join(parts)


def _nice_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next((m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999), 10 * power)


def _nice_hours(rough: float) -> float:
    for hours in (1 / 60, 2 / 60, 5 / 60, 10 / 60, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168):
        if hours >= rough * 0.999:
            return hours
    return 24.0 * math.ceil(rough / 24.0)


def _thin(
    hours: NDArray[np.float64], values: NDArray[np.float64], keep: Literal["min", "max", "mean"]
) -> list[tuple[float, float]]:
    """Return at most MAX_POINTS points: of each bin its min, max or mean; an empty bin is NaN."""
    size = max(1, math.ceil(hours.size / MAX_POINTS))
    points = []
    for start in range(0, hours.size, size):
        part = values[start : start + size]
        part = part[np.isfinite(part)]
        value = float(getattr(part, keep)()) if part.size else math.nan
        points.append((float(hours[start : start + size].mean()), value))
    return points


def _finite(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in points if math.isfinite(point[1])]


def _runs(points: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _last(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else 0.0


def _spread(rows: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Move labels apart so that none covers another, keeping their order from top to bottom."""
    placed: list[tuple[float, str, str]] = []
    for label_y, name, colour in sorted(rows):
        floor = placed[-1][0] + 14 if placed else TOP
        placed.append((max(label_y, floor), name, colour))
    overshoot = placed[-1][0] - (HEIGHT - BOTTOM) if placed else 0.0
    return [(y - max(0.0, overshoot), name, colour) for y, name, colour in placed]
