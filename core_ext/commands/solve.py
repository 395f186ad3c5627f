"""`toplovod solve`: flows and pressures of a network as its file describes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import svg_plot
from ..formats import write_whole
from ..network import LINK_ENDS, FloatArray, Network
from ..pressure_path import consumer_dp, dp_margin, index_consumer, path_to
from ..result import HydraulicResult
from .arguments import (
    FrictionOption,
    JsonOption,
    NetworkFile,
    PlotOption,
    RowsOption,
    check_picture,
    solver_of,
)
from .printing import certificate_body, explained, figure, print_certificate, print_json, print_table, say


def solve(
    network: NetworkFile,
    friction: FrictionOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    rows: RowsOption = 20,
) -> None:
    """Solve the hydraulics of NETWORK: mass flow of every element, pressure of every node.

    Exit status: 0 solved, 1 no solution, 2 wrong use or a bad network.
    """
    check_picture(plot)
    with explained(json):
        net = Network.read(network)
        solver = solver_of(net, friction)
        result = solver.solve()
        dp = consumer_dp(net, result.pressure_pa, solver.fluid)
        margin = dp_margin(net, result, solver.fluid)
        worst = index_consumer(margin)
        if plot is not None:
            path = path_to(net, result, worst, solver.fluid) if worst >= 0 else None
            title = f"{net.name or network.name}, as its file describes it"
            remark = _index_sentence(net, worst, dp, margin)
            text = svg_plot.picture(net, path, margin, title, remark)
            write_whole({plot: text})
    if json:
        print_json(_document(net, str(network), result, dp, margin, worst))
        return
    _print_tables(net, result, dp, margin, rows)
    print_certificate(result)
    if worst >= 0:
        say(_index_sentence(net, worst, dp, margin))


def _index_sentence(net: Network, worst: int, dp: FloatArray, margin: FloatArray) -> str:
    """Who is placed worst, and how badly."""
    if worst < 0:
        return "nobody takes any flow"
    above = float(margin[worst]) / 1e5
    if abs(above) < 0.00005:
        return f"index consumer {net.consumers['id'][worst]}: {dp[worst] / 1e5:.4f} bar, just its minimum"
    side = "above" if above > 0.0 else "below"
    name = net.consumers["id"][worst]
    return f"index consumer {name}: {dp[worst] / 1e5:.4f} bar, {abs(above):.4f} bar {side} its minimum"


def _document(
    net: Network, name: str, result: HydraulicResult, dp: FloatArray, margin: FloatArray, worst: int
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "format": "toplovod-solution/1",
        "network": net.name or name,
        "certificate": certificate_body(result),
        "index_consumer": "" if worst < 0 else str(net.consumers["id"][worst]),
        "nodes": {
            "id": net.nodes.ids,
            "pressure_pa": result.pressure_pa,
            "pressure_known": result.pressure_known,
            "node_inflow_kg_s": result.node_inflow_kg_s,
        },
        **{
            table: {"id": net.tables[table].ids, "mass_flow_kg_s": result.mass_flow_kg_s[table]}
            for table in LINK_ENDS
        },
    }
    body["consumers"] |= {"dp_pa": np.where(_served(net, result), dp, math.nan), "dp_margin_pa": margin}
    return body


def _served(net: Network, result: HydraulicResult) -> npt.NDArray[np.bool_]:
    """Where a consumer's differential pressure means anything."""
    known = result.pressure_known
    ends = (net.consumers["supply_node"], net.consumers["return_node"])
    supply, back = (np.array([known[net.nodes.row(n)] for n in end], np.bool_) for end in ends)
    both: npt.NDArray[np.bool_] = supply & back
    return both


def _print_tables(
    net: Network, result: HydraulicResult, dp: FloatArray, margin: FloatArray, rows: int
) -> None:
    print_table(
        "Nodes",
        ["id", "pressure bar", "inflow kg/s"],
        [
            [name, f"{p / 1e5:.4f}" if known else "unknown", f"{m:.4f}"]
            for name, p, m, known in zip(
                net.nodes.ids, result.pressure_pa, result.node_inflow_kg_s, result.pressure_known, strict=True
            )
        ],
        rows,
    )
    served = _served(net, result)
    for table, (first, second) in LINK_ENDS.items():
        columns, flow = net.tables[table], result.mass_flow_kg_s[table]
        if not columns.rows:
            continue
        if table == "consumers":
            lines = [
                [name, f"{flow[row]:.5f}", f"{dp[row] / 1e5:.4f}" if served[row] else "unknown",
                 figure(float(margin[row]) / 1e5, 4)]
                for row, name in enumerate(columns.ids)
            ]  # fmt: skip
            print_table("Consumers", ["id", "mass flow kg/s", "dp bar", "margin bar"], lines, rows)
            continue
        lines = [
            [name, str(columns[first][row]), str(columns[second][row]), f"{flow[row]:.5f}"]
            for row, name in enumerate(columns.ids)
        ]
        print_table(table.capitalize(), ["id", first, second, "mass flow kg/s"], lines, rows)
