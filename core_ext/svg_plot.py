"""One SVG picture of a solved network: pressures on the way to the index consumer, and the map by dp margin.

Plain text, no library, no scripts; colours grow darker towards trouble, and what falls short has another
shape, so that a grey print says the same. It draws what it is given and computes nothing hydraulic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from .network import FloatArray, Network
from .pressure_path import PressurePath

Flags = npt.NDArray[np.bool_]
Scale = Callable[[float], float]
BAR = 1e5
WIDTH, LEFT, RIGHT = 900.0, 64.0, 36.0
PROFILE_HEIGHT, GROUND_HEIGHT = 280.0, 46.0
MAP_LEAST, MAP_MOST = 260.0, 620.0
INK, FAINT, RULE = "#222", "#666", "#e2e2e2"
SUPPLY, RETURN = "#9c2a20", "#2a5783"
# from little to spare to plenty: each lighter than the one before, so they stay apart in grey
SHADES = ("#14284b", "#2f5580", "#5f8aa6", "#9dbcbf", "#dde3cf")
SHORT = "#9c2a20"
# above this many consumers nobody hovers over one of them, and the titles would be most of the file
MOST_TITLES = 3000


class NothingToDraw(ValueError):
    """There are neither coordinates for a map nor a consumer that takes anything."""

    code = "nothing_to_draw"


def picture(
    net: Network,
    path: PressurePath | None,
    margin_pa: FloatArray,
    title: str,
    remark: str = "",
    highest_pa: float = math.nan,
) -> str:
    """The whole picture as SVG text.

    path: of the index consumer, None to leave the pressures out; margin_pa per consumer (NaN: takes nothing);
    highest_pa: a limit to show, gauge. Without coordinates (x_m, y_m) the map is left out. Raises
    NothingToDraw when neither part can be drawn.
    """
    placed = np.isfinite(net.nodes["x_m"]) & np.isfinite(net.nodes["y_m"])
    if path is None and not placed.any():
        raise NothingToDraw(
            "no node has coordinates (x_m, y_m) and no consumer away from a plant takes any "
            "flow; nothing was written. Give the nodes coordinates, or the consumers a flow"
        )
    body, y = [f'<text x="{LEFT:g}" y="30" font-size="17">{escape(title)}</text>'], 40.0
    if remark:
        body.append(f'<text x="{LEFT:g}" y="50" fill="{FAINT}">{escape(remark)}</text>')
        y = 62.0
    if path is not None:
        part, y = _profile(path, highest_pa, y)
        body += part
    if placed.any():
        part, y = _map(net, path, margin_pa, y)
        body += part
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {y:g}" font-size="12"'
    return "\n".join(
        [
            f'{head} font-family="sans-serif" fill="{INK}">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def nice_steps(low: float, high: float, most: int) -> FloatArray:
    """Round values (1, 2 or 5 times a power of ten apart) from at or below low to at or above high."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0, 20.0) if span / (s * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return np.arange(first, max(last, first + 1) + 1, dtype=np.float64) * np.float64(step)


def _digits(values: FloatArray) -> int:
    """Decimals that tell neighbouring round values apart."""
    step = float(values[1] - values[0]) if len(values) > 1 else 1.0
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = INK, halo: bool = False) -> str:
    behind = ' paint-order="stroke" stroke="#fff" stroke-width="4" stroke-linejoin="round"' if halo else ""
    colour = "" if fill == INK else f' fill="{fill}"'
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{side}{colour}{behind}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1.0, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


# -- pressures ------------------------------------------------------------------------------------


def _profile(path: PressurePath, highest_pa: float, top: float) -> tuple[list[str], float]:
    """Supply and return pressure over the distance from the plant, and the ground below."""
    far = float(path.supply.distance_m[-1])
    shown = [path.supply.pressure_pa, path.back.pressure_pa]
    if path.static_pa is not None:
        shown.append(path.static_pa)
    low, high = (float(f(np.concatenate(shown))) / BAR for f in (np.min, np.max))
    span = max(high - low, 0.1)
    # a limit belongs into the picture when it is near enough not to squeeze the lines flat
    boiling, most = path.boiling_pa / BAR, highest_pa / BAR
    near = {
        "boiling": math.isfinite(boiling) and boiling > low - 0.6 * span,
        "most": math.isfinite(most) and most < high + 0.6 * span,
    }
    low, high = (
        min([low, *([boiling] if near["boiling"] else [])]),
        max([high, *([most] if near["most"] else [])]),
    )
    bars = nice_steps(low, high, 7)
    metres = nice_steps(0.0, far, 9)
    bottom = top + 24.0 + PROFILE_HEIGHT

    def px(distance: float) -> float:
        return LEFT + distance / max(far, 1e-9) * (WIDTH - LEFT - RIGHT - 110.0)

    def py(bar: float) -> float:
        return bottom - (bar - float(bars[0])) / float(bars[-1] - bars[0]) * PROFILE_HEIGHT

    end = px(far)
    plant = f"source {path.source}" if path.source else "where the water comes from"
    body = [_text(LEFT, top + 12.0, f"Gauge pressure, bar, from {plant} to consumer {path.consumer}")]
    for bar in bars:
        body.append(_line(LEFT, py(bar), end, py(bar), RULE))
        body.append(_text(LEFT - 8.0, py(bar) + 4.0, f"{bar:.{_digits(bars)}f}", "end", FAINT))
    labels: list[tuple[float, str, str]] = []
    if path.static_pa is not None:
        body.append(_polyline(path.supply.distance_m, path.static_pa, px, py, FAINT, 1.4, "7 4"))
        labels.append((float(path.static_pa[-1]) / BAR, "pumps at rest", FAINT))
    for word, at, name in (
        ("boiling", boiling, f"boils at {path.hottest_c:g} °C"), ("most", most, "highest allowed"),
    ):  # fmt: skip
        if near[word]:
            body.append(_line(LEFT, py(at), end, py(at), INK, 1.2, "2 3"))
            labels.append((at, name, INK))
    # both lines end at the consumer; where the ways differ in length the return is drawn to the supply's
    back = path.back.distance_m * (far / max(float(path.back.distance_m[-1]), 1e-9))
    body.append(_polyline(path.supply.distance_m, path.supply.pressure_pa, px, py, SUPPLY, 2.6))
    body.append(_polyline(back, path.back.pressure_pa, px, py, RETURN, 2.6))
    labels.append((float(path.supply.pressure_pa[-1]) / BAR, "supply", SUPPLY))
    labels.append((float(path.back.pressure_pa[-1]) / BAR, "return", RETURN))
    body += _end_labels(labels, end, py)
    for x, side, supply, other in (
        (LEFT, 8.0, path.supply.pressure_pa[0], path.back.pressure_pa[0]),
        (end, -8.0, path.supply.pressure_pa[-1], path.back.pressure_pa[-1]),
    ):
        upper, lower = py(float(supply) / BAR), py(float(other) / BAR)
        body.append(_line(x, upper, x, lower, INK, 1.0))
        dp = f"{(float(supply) - float(other)) / BAR:.2f} bar"
        body.append(_text(x + side, (upper + lower) / 2 + 4.0, dp, "start" if side > 0 else "end", halo=True))
    part, bottom = _ground(path, px, bottom)
    body += part
    for metre in metres[metres <= far]:
        body.append(_line(px(metre), bottom, px(metre), bottom + 4.0, FAINT))
        body.append(_text(px(metre), bottom + 17.0, f"{metre:g}", "middle", FAINT))
    body.append(_line(LEFT, bottom, end, bottom, FAINT))
    body.append(_text(end + 8.0, bottom + 17.0, "m", fill=FAINT))
    words = f"Distance along the supply pipes, {far:.0f} m in all"
    longest = float(path.back.distance_m[-1])
    if abs(longest - far) > 0.01 * far:
        words += f"; the way back is {longest:.0f} m long, drawn to the same length"
    if math.isfinite(boiling) and not near["boiling"]:
        words += f". Water of {path.hottest_c:g} °C boils below {boiling:.2f} bar"
    body.append(_text(LEFT, bottom + 36.0, words, fill=FAINT))
    return body, bottom + 56.0


def _polyline(
    distance_m: FloatArray, pressure_pa: FloatArray, px: Scale, py: Scale, stroke: str, width: float,
    dash: str = "",
) -> str:  # fmt: skip
    points = " ".join(
        f"{px(float(d)):.1f},{py(float(p) / BAR):.1f}" for d, p in zip(distance_m, pressure_pa, strict=True)
    )
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
        f'stroke-linejoin="round"{dashed}/>'
    )


def _end_labels(labels: list[tuple[float, str, str]], end: float, py: Scale) -> list[str]:
    """Names at the right end of the lines, pushed apart where they would lie on each other."""
    out, last = [], -math.inf
    for bar, name, colour in sorted(labels, reverse=True):
        y = max(float(py(bar)), last + 14.0)
        last = y
        out.append(_text(end + 8.0, y + 4.0, name, fill=colour))
    return out


def _ground(path: PressurePath, px: Scale, top: float) -> tuple[list[str], float]:
    """A strip with the elevation of the supply line; nothing on level ground."""
    height = path.supply.elevation_m
    low, high = float(height.min()), float(height.max())
    if high - low < 0.1:
        return [], top + 10.0
    base = top + 14.0 + GROUND_HEIGHT

    def py(metres: float) -> float:
        return base - 4.0 - (metres - low) / (high - low) * (GROUND_HEIGHT - 10.0)

    points = " ".join(
        f"{px(float(d)):.1f},{py(float(h)):.1f}" for d, h in zip(path.supply.distance_m, height, strict=True)
    )
    end = px(float(path.supply.distance_m[-1]))
    return [
        f'<polygon points="{LEFT:.1f},{base:.1f} {points} {end:.1f},{base:.1f}" fill="#ececea"/>',
        f'<polyline points="{points}" fill="none" stroke="{FAINT}" stroke-width="1"/>',
        _text(LEFT - 8.0, py(float(height[0])) + 4.0, f"{height[0]:.0f} m", "end", FAINT),
        _text(end + 8.0, py(float(height[-1])) + 4.0, f"{height[-1]:.0f} m elevation", fill=FAINT),
    ], base


# -- map ------------------------------------------------------------------------------------------


def _map(
    net: Network, path: PressurePath | None, margin_pa: FloatArray, top: float
) -> tuple[list[str], float]:
    """Pipes by diameter, consumers by margin, plants, and the way to the index consumer."""
    x, y = net.nodes["x_m"], net.nodes["y_m"]
    placed = np.isfinite(x) & np.isfinite(y)
    wide, tall = max(float(np.ptp(x[placed])), 1e-9), max(float(np.ptp(y[placed])), 1e-9)
    room = WIDTH - LEFT - RIGHT
    scale = room / wide
    if tall * scale > MAP_MOST:
        scale = MAP_MOST / tall
    if not scale < 1e6:
        scale = 1.0
    height = max(tall * scale, min(MAP_LEAST, room * 0.3)) if tall > 1e-6 else 60.0
    top += 34.0
    px = LEFT + (room - wide * scale) / 2 + (x - float(x[placed].min())) * scale
    py = top + (height + tall * scale) / 2 - (y - float(y[placed].min())) * scale
    body = [_text(LEFT, top - 18.0, "What every consumer has above its minimum differential pressure")]
    body += _ruler(scale, top - 18.0)
    body += _pipes(net, placed, px, py)
    if path is not None:
        for line in (path.supply, path.back):
            way = [net.nodes.row(n) for n in line.nodes if placed[net.nodes.row(n)]]
            points = " ".join(f"{px[n]:.1f},{py[n]:.1f}" for n in way)
            body.append(f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.6"/>')
    steps, words = _classes(margin_pa)
    body += _dots(net, margin_pa, steps, placed, px, py)
    body += _plants(net, placed, px, py)
    if path is not None:
        node = net.nodes.row(str(net.consumers["supply_node"][net.consumers.row(path.consumer)]))
        if placed[node]:
            body.append(
                f'<circle cx="{px[node]:.1f}" cy="{py[node]:.1f}" r="10" fill="none" stroke="{INK}" '
                'stroke-width="1.6"/>'
            )
            side, anchor = (14.0, "start") if px[node] < WIDTH - 140.0 else (-14.0, "end")
            body.append(_text(px[node] + side, py[node] + 4.0, path.consumer, anchor, halo=True))
    part, bottom = _legend(words, margin_pa, path is not None, top + height + 34.0)
    return body + part, bottom


def _pipes(net: Network, placed: Flags, px: FloatArray, py: FloatArray) -> list[str]:
    """One path per width; supply and return that lie on each other are drawn once, closed pipes dashed."""
    widest = float(net.pipes["inner_diameter_m"].max(initial=0.1))
    groups: dict[tuple[int, bool], dict[str, None]] = {}
    for row in range(net.pipes.rows):
        ends = sorted(net.nodes.row(str(net.pipes[end][row])) for end in ("from_node", "to_node"))
        if not (placed[ends[0]] and placed[ends[1]]):
            continue
        places = sorted((round(float(px[n]), 1), round(float(py[n]), 1)) for n in ends)
        if places[0] == places[1]:
            continue
        key = (
            1 + round(4.0 * float(net.pipes["inner_diameter_m"][row]) / widest),
            bool(net.pipes["open"][row]),
        )
        (ax, ay), (bx, by) = places
        groups.setdefault(key, {})[f"M{ax:g} {ay:g}L{bx:g} {by:g}"] = None
    return [
        f'<path d="{"".join(lines)}" fill="none" stroke="#b4b4b0" stroke-width="{0.9 * width:.1f}" '
        f'stroke-linecap="round"{"" if is_open else dashes}/>'
        for (width, is_open), lines in sorted(groups.items())
        for dashes in [' stroke-dasharray="4 4"']
    ]


def _classes(margin_pa: FloatArray) -> tuple[FloatArray, list[str]]:
    """Borders of the shades in bar, round numbers, and a name for each shade."""
    enough = margin_pa[np.isfinite(margin_pa) & (margin_pa >= _ROUNDING_PA * -1)] / BAR
    if not len(enough):
        return np.zeros(0), []
    low, high = max(float(enough.min()), 0.0), float(enough.max())
    steps = nice_steps(low, max(high, low + 1e-3), len(SHADES))
    if len(steps) - 1 > len(SHADES):
        steps = nice_steps(low, high, len(SHADES) - 1)
    digits = _digits(steps)
    return steps, [f"{a:.{digits}f} – {b:.{digits}f}" for a, b in itertools.pairwise(steps)]


# a balance leaves the index consumer exactly at its minimum: rounding must not make it short
_ROUNDING_PA = 1.0


def _shade(step: int, count: int) -> str:
    """Darkest for the least; few classes are spread over the whole range."""
    return SHADES[round(step * (len(SHADES) - 1) / max(count - 1, 1))]


def _dots(
    net: Network, margin_pa: FloatArray, steps: FloatArray, placed: Flags, px: FloatArray, py: FloatArray
) -> list[str]:
    count = max(len(steps) - 1, 1)
    radius = 6.0 if net.consumers.rows <= 150 else 4.0 if net.consumers.rows <= 1500 else 2.2
    body = []
    # plenty first, so that trouble lies on top
    for row in np.argsort(-np.where(np.isfinite(margin_pa), margin_pa, np.inf), kind="stable").tolist():
        node = net.nodes.row(str(net.consumers["supply_node"][row]))
        if not placed[node]:
            continue
        value = float(margin_pa[row]) / BAR
        name = f"{net.consumers['id'][row]}: "
        name += f"{value:.3f} bar above its minimum" if math.isfinite(value) else "takes nothing"
        title = f"<title>{escape(name)}</title>" if net.consumers.rows <= MOST_TITLES else ""
        if not math.isfinite(value):
            body.append(_mark(px[node], py[node], 0.6 * radius, "#fff", title))
        elif value * BAR < -_ROUNDING_PA:
            body.append(_cross(px[node], py[node], radius, title))
        else:
            step = min(max(int(np.searchsorted(steps, value, side="right")) - 1, 0), count - 1)
            body.append(_mark(px[node], py[node], radius, _shade(step, count), title))
    return body


def _mark(x: float, y: float, radius: float, fill: str, title: str = "") -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="#444" stroke-width="0.8">'
        f"{title}</circle>"
    )


def _cross(x: float, y: float, radius: float, title: str = "") -> str:
    """A square with a cross: short of its minimum, in grey as in colour."""
    r = radius + 1.0
    return (
        f'<path d="M{x - r:.1f} {y - r:.1f}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z" fill="{SHORT}">{title}</path>'
        f'<path d="M{x - r:.1f} {y - r:.1f}l{2 * r:g} {2 * r:g}m0 {-2 * r:g}l{-2 * r:g} {2 * r:g}" '
        'stroke="#fff" stroke-width="1.6"/>'
    )


def _plants(net: Network, placed: Flags, px: FloatArray, py: FloatArray) -> list[str]:
    body = []
    for name, supply in zip(net.sources.ids, net.sources["supply_node"], strict=True):
        node = net.nodes.row(str(supply))
        if placed[node]:
            x, y = float(px[node]), float(py[node])
            body.append(
                f'<path d="M{x - 8:.1f} {y + 7:.1f}v-9l8 -7l8 7v9z" fill="#fff" stroke="{INK}" '
                'stroke-width="1.6"/>'
            )
            side, anchor = (13.0, "start") if x < WIDTH - 140.0 else (-13.0, "end")
            body.append(_text(x + side, y + 4.0, name, anchor, halo=True))
    return body


def _ruler(scale: float, y: float) -> list[str]:
    """A length to measure by, at the right."""
    metres = float(nice_steps(0.0, 90.0 / scale, 1)[1])
    if metres * scale > 160.0:
        metres /= 2.0
    end = WIDTH - RIGHT
    return [
        _line(end - metres * scale, y - 4.0, end, y - 4.0, INK, 2.0),
        _text(end - metres * scale - 6.0, y, f"{metres:g} m", "end"),
    ]


def _legend(
    words: Sequence[str], margin_pa: FloatArray, with_path: bool, top: float
) -> tuple[list[str], float]:
    """Shades with their borders and unit, and what the signs mean."""
    body, x = [], LEFT + 6.0
    for step, word in enumerate(words):
        body.append(_mark(x, top - 4.0, 6.0, _shade(step, len(words))))
        body.append(_text(x + 11.0, top, word))
        x += 11.0 + 7.0 * len(word) + 18.0
    if words:
        body.append(_text(x - 12.0, top, "bar to spare"))
    top += 22.0
    x = LEFT + 6.0
    short = margin_pa[np.isfinite(margin_pa) & (margin_pa < -_ROUNDING_PA)]
    if len(short):
        word = f"below its minimum ({len(short)}, down to {float(short.min()) / BAR:.2f} bar)"
        body += [_cross(x, top - 4.0, 5.0), _text(x + 11.0, top, word)]
        x += 11.0 + 6.4 * len(word) + 18.0
    idle = int(np.sum(~np.isfinite(margin_pa)))
    if idle:
        word = f"takes nothing ({idle})"
        body += [_mark(x, top - 4.0, 3.6, "#fff"), _text(x + 11.0, top, word)]
        x += 11.0 + 6.4 * len(word) + 18.0
    if with_path:
        word = "index consumer and its way"
        body.append(
            f'<circle cx="{x:.1f}" cy="{top - 4:.1f}" r="6" fill="none" stroke="{INK}" stroke-width="1.6"/>'
        )
        body.append(_text(x + 11.0, top, word))
    return body, top + 24.0
