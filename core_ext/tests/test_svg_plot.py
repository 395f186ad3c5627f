"""The picture: what it says for whom, that grey print loses nothing, that it stays well formed and small."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ..network import FloatArray, Network
from ..pressure_path import dp_margin, index_consumer, path_to
from ..solver import HydraulicSolver
from ..svg_plot import SHADES, SHORT, NothingToDraw, nice_steps, picture
from .made_networks import district
from .test_plants import town

SVG = "{http://www.w3.org/2000/svg}"
SCHUTTERWALD = Path(__file__).parents[2] / "examples" / "schutterwald" / "network.json"


def placed(net: Network) -> Network:
    half = net.nodes.rows // 2
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.0, 900.0, half), rng.uniform(0.0, 500.0, half)
    return net.changed(nodes_x_m=np.tile(x, 2), nodes_y_m=np.tile(y, 2))


def drawn(net: Network, margin_pa: FloatArray | None = None, **more: float) -> ElementTree.Element:
    solver = HydraulicSolver(net)
    result = solver.solve()
    margin = dp_margin(net, result, solver.fluid) if margin_pa is None else margin_pa
    worst = index_consumer(margin)
    path = path_to(net, result, worst, solver.fluid) if worst >= 0 else None
    text = picture(net, path, margin, "A <town> & its pressures", "remark", **more)
    assert "nan" not in text and "inf" not in text
    return ElementTree.fromstring(text)


def words(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_shades_stay_apart_in_grey() -> None:
    light = [luminance(shade) + 0.05 for shade in SHADES]
    assert all(b / a > 1.5 for a, b in pairwise(light))


def test_both_parts_with_their_words() -> None:
    root = drawn(placed(town(3, plants=2)))
    text = words(root)
    assert text[0] == "A <town> & its pressures"
    assert any(re.fullmatch(r"Gauge pressure, bar, from source plant\d to consumer c\d+", t) for t in text)
    assert {"supply", "return", "pumps at rest", "bar to spare", "plant0", "plant1"} <= set(text)
    assert any(re.fullmatch(r"Distance along the supply pipes, \d+ m in all.*", t) for t in text)
    assert any(re.fullmatch(r"[\d.]+ m", t) for t in text), "a length to measure by"


def test_every_consumer_is_there_with_its_figure() -> None:
    net = placed(district(3, mode="flow"))
    margin = np.linspace(0.0, 2e5, net.consumers.rows)
    margin[4] = -3e4
    margin[7] = np.nan
    root = drawn(net, margin)
    titles = [e.text or "" for e in root.iter(f"{SVG}title")][1:]
    assert len(titles) == net.consumers.rows
    assert "c5: -0.300 bar above its minimum" in titles and "c8: takes nothing" in titles
    # short is another shape, not only another colour
    crosses = [e for e in root.iter(f"{SVG}path") if e.get("fill") == SHORT and len(e)]
    assert len(crosses) == 1
    assert "below its minimum (1, down to -0.30 bar)" in words(root) and "takes nothing (1)" in words(root)
    # the least is darkest, the most is lightest
    shade = {(e[0].text or "").split(":")[0]: e.get("fill") for e in root.iter(f"{SVG}circle") if len(e)}
    assert (shade["c1"], shade["c29"], shade["c8"]) == (SHADES[0], SHADES[-1], "#fff")
    light = [luminance(str(shade[f"c{i}"])) for i in range(9, 30)]
    assert light == sorted(light)


def test_a_balanced_index_consumer_is_not_short() -> None:
    net = placed(district(3, mode="flow"))
    margin = np.linspace(-1e-6, 1e5, net.consumers.rows)
    root = drawn(net, margin)
    assert not any("below its minimum (" in t for t in words(root))
    assert not [e for e in root.iter(f"{SVG}path") if e.get("fill") == SHORT]


def test_limits_that_are_near_are_drawn_and_others_told() -> None:
    net = placed(town(3, plants=1, supply_temp_c=[130.0]))
    near = words(drawn(net, highest_pa=5e5))
    assert "boils at 130 °C" in near and "highest allowed" in near
    far = words(drawn(Network.read(SCHUTTERWALD), highest_pa=90e5))
    assert "highest allowed" not in far and "boils at 80 °C" not in far
    assert any("Water of 80 °C boils below -0.54 bar" in t for t in far)


def test_closed_pipes_are_dashed_and_two_in_one_place_drawn_once() -> None:
    net = placed(district(3, streets=12, loops=4))
    is_open = np.ones(net.pipes.rows, np.bool_)
    is_open[[-1, net.pipes.rows // 2 - 1]] = False
    # the last street's end lies where its beginning does: nothing to be seen of that pipe
    x, y = net.nodes["x_m"].copy(), net.nodes["y_m"].copy()
    last = net.pipes.rows // 2 - 2
    for column in (x, y):
        for side in ("s", "r"):
            ends = [net.nodes.row(side + net.pipes[end][last][1:]) for end in ("from_node", "to_node")]
            column[ends[1]] = column[ends[0]]
    root = drawn(net.changed(pipes_open=is_open, nodes_x_m=x, nodes_y_m=y))
    pipes = [e for e in root.iter(f"{SVG}path") if e.get("stroke-linecap")]
    lines = [line for e in pipes for line in (e.get("d") or "").split("M") if line]
    assert len(lines) == net.pipes.rows // 2 - 1
    dashed = [
        line for e in pipes if e.get("stroke-dasharray") for line in (e.get("d") or "").split("M") if line
    ]
    assert len(dashed) == 1


def test_nothing_lies_outside_the_page() -> None:
    root = drawn(Network.read(SCHUTTERWALD))
    _, _, wide, tall = (float(v) for v in (root.get("viewBox") or "").split())
    for element in root.iter():
        for name, most in (("x", wide), ("cx", wide), ("x1", wide), ("x2", wide), ("y", tall), ("cy", tall)):
            value = element.get(name)
            if value is not None:
                assert 0.0 <= float(value) <= most, (element.tag, name, value)
    for element in root.iter(f"{SVG}text"):
        # sans-serif is at most 0.62 of its size wide on average
        size = float(element.get("font-size", 12.0))
        length = 0.62 * size * len(element.text or "")
        x, anchor = float(element.get("x", 0.0)), element.get("text-anchor", "start")
        left = x - (length if anchor == "end" else length / 2 if anchor == "middle" else 0.0)
        assert left > -12.0 and left + length < wide + 12.0, element.text


def test_the_way_back_may_be_longer() -> None:
    net = district(2, streets=8, loops=0, mode="flow")
    length = net.pipes["length_m"].copy()
    length[net.pipes.rows // 2 :] *= 1.5
    said = " ".join(words(drawn(net.changed(pipes_length_m=length))))
    assert re.search(r"the way back is \d+ m long, drawn to the same length", said)


def test_nothing_to_draw() -> None:
    net = district(1, mode="flow", mass_flow_kg_s=0.0)
    with pytest.raises(NothingToDraw, match="no node has coordinates"):
        picture(net, None, np.full(net.consumers.rows, np.nan), "empty")
    # a map alone will do
    assert "bar to spare" not in words(drawn(placed(net)))


@pytest.mark.parametrize(
    ("low", "high", "most", "steps"),
    [
        (0.0, 1.0, 5, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (2.7, 6.1, 7, [2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5]),
        (0.0, 1247.0, 9, [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0]),
        (-0.3, -0.3, 4, [-0.3, -0.3 + 5e-10]),
    ],
)
def test_round_steps(low: float, high: float, most: int, steps: list[float]) -> None:
    found = nice_steps(low, high, most)
    if high > low:
        assert found == pytest.approx(steps)
    assert found[0] <= low + 1e-9 and found[-1] >= high - 1e-9 and len(found) >= 2
