"""The time line of one broken and mended thing, as SVG text.

When the fault was proven, noticed, met, mended and over, in seconds on a straight scale from the injection
on. It refuses to draw what was not measured: a moment that is missing has no mark, and a line without its
repair ends where the last mark stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 380, 44
LEFT, RIGHT = 6, 6
BAR_TOP, BAR = 17, 10
APART = 13  # letters closer than this would cover each other
BROKEN, MENDING, ALLOWED = "#d9a9a4", "#e6d3a3", "#cfdccf"
MARKS = (("proven_s", "P"), ("detected_s", "D"), ("reacted_s", "R"))
LEGEND = (
    "Seconds from the injection at the left end. Red: the fault is there; yellow: mended, not yet as before. "
    "P proven from outside, D detected by the controller, R reacted as expected, M mended, W well again. The "
    "green strip below is what recovery may take."
)


def timeline(moments: Mapping[str, float | None]) -> str:
    """Return the picture as one <svg> element; words where nothing was measured.

    moments: proven_s, detected_s, reacted_s, mended_s after the injection; recovered_s and recover_limit_s
    after the repair. None or absent: not measured.
    """
    at = {letter: moments.get(name) for name, letter in MARKS}
    mended = moments.get("mended_s")
    recovered, allowed = moments.get("recovered_s"), moments.get("recover_limit_s")
    if mended is not None:
        at["M"] = mended
        if recovered is not None:
            at["W"] = mended + recovered
    known = {letter: value for letter, value in at.items() if value is not None}
    if not known:
        return "<span class='nodata'>no time line was kept</span>"
    end = max(known.values())
    if mended is not None and recovered is None:
        end = mended + (allowed or 0.0)  # it was waited for that long
    scale = (WIDTH - LEFT - RIGHT) / max(end, 1e-9)

    def x(seconds: float) -> float:
        return LEFT + seconds * scale

    told = ", ".join(f"{letter} {value:g} s" for letter, value in known.items())
    broken_until = end if mended is None else mended
    parts = [
        f'<svg class="moments" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">',
        _bar(x(0.0), x(broken_until), BAR_TOP, BAR, BROKEN),
    ]
    if mended is not None:
        parts.append(_bar(x(mended), x(end), BAR_TOP, BAR, MENDING))
        if allowed is not None:
            parts.append(
                _bar(x(mended), min(x(mended + allowed), WIDTH - RIGHT), BAR_TOP + BAR + 1, 3, ALLOWED)
            )
    ordered = sorted(known.items(), key=lambda row: row[1])
    for (letter, value), named_x in zip(ordered, _apart([x(value) for _, value in ordered]), strict=True):
        place = x(value)
        parts.append(
            f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{BAR_TOP - 3}" y2="{BAR_TOP + BAR}" class="axis"/>'
        )
        parts.append(f'<text x="{named_x:.1f}" y="{BAR_TOP - 5}" class="mid">{letter}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 3}">0</text>')
    if mended is not None and LEFT + 30 < x(mended) < WIDTH - 70:
        parts.append(f'<text x="{x(mended):.1f}" y="{HEIGHT - 3}" class="mid">{mended:.0f}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" class="end">{end:.0f} s</text></svg>')
    return "".join(parts)


def _apart(places: Sequence[float]) -> list[float]:
    """Move names apart so that none covers another or leaves the picture, keeping their order."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + APART) if moved else place)
    most = WIDTH - 5.0
    for k in range(len(moved) - 1, -1, -1):
        moved[k] = min(moved[k], most)
        most = moved[k] - APART
    return moved


def _bar(left: float, right: float, top: float, height: float, colour: str) -> str:
    width = max(right - left, 0.0)
    return f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
