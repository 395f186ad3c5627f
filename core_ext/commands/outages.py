"""`toplovod outages`: what becomes of the consumers when any one pipe, pump or plant fails."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..contingency import STUDIED, Contingencies
from ..network import Network
from .arguments import FrictionOption, NetworkFile, solver_of
from .printing import FAILED, counted, explained, figure, print_json, print_table, say


def outages(
    network: NetworkFile,
    only: Annotated[
        str, typer.Option(help="Which to study: pipes, pumps, sources, commas between; all when left out.")
    ] = ",".join(STUDIED),
    top: Annotated[int, typer.Option(min=0, help="Outages to print, the worst first; 0 prints all.")] = 20,
    friction: FrictionOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document with all outages instead of a table.")
    ] = False,
) -> None:
    """Take every pipe, pump and plant of NETWORK out, one at a time (N-1), and say who is left short.

    Valves and set-points stay as they are: it is what happens before anybody reacts. Balance first
    (`toplovod balance NETWORK --out FILE`) to study valves that are set; consumers whose file gives a flow
    take that flow however little pressure they have.
    Exit status: 0 every outage can be borne, 1 some leave a consumer short or without supply, or the network
    has no solution, 2 wrong use or a bad network.
    """
    tables = tuple(word.strip() for word in only.split(",") if word.strip())
    for table in tables:
        if table not in STUDIED:
            raise typer.BadParameter(f"{table!r} is none of {', '.join(STUDIED)}", param_hint="--only")
    if not tables:
        raise typer.BadParameter(f"give at least one of {', '.join(STUDIED)}", param_hint="--only")
    progress, finish = _progress()
    with explained(json):
        net = Network.read(network)
        study = solver_of(net, friction).contingencies(tables, progress=progress)
    finish()
    unborne = sum(study.verdict(i) != "harmless" for i in range(len(study)))
    if json:
        print_json(_document(net, str(network), study, unborne))
    else:
        _print(net, study, unborne, top)
    if unborne:
        raise typer.Exit(FAILED)


def _progress() -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """One living line on a terminal, a line at every tenth part elsewhere; and what ends it."""
    told = 0
    living = sys.stderr.isatty()

    def progress(done: int, of: int) -> None:
        nonlocal told
        tenth = 10 * done // max(of, 1)
        if living:
            typer.echo(f"\r\x1b[K{done} of {of} outages", err=True, nl=False)
        elif tenth > told:
            told = tenth
            typer.echo(f"{done} of {of} outages", err=True)

    def finish() -> None:
        if living:
            typer.echo("\r\x1b[K", err=True, nl=False)

    return progress, finish


def _worst(net: Network, study: Contingencies, outage: int) -> str:
    row = int(study.worst_consumer[outage])
    return "" if row < 0 else str(net.consumers["id"][row])


def _document(net: Network, name: str, study: Contingencies, unborne: int) -> dict[str, Any]:
    return {
        "format": "toplovod-outages/1",
        "network": net.name or name,
        "borne": not unborne,
        "studied": len(study),
        "unborne": unborne,
        "outages": [
            {
                "table": study.table[i],
                "id": str(net.tables[study.table[i]]["id"][study.row[i]]),
                "verdict": study.verdict(i),
                "without_supply": study.cut_off[i],
                "below_min_dp": study.short[i],
                "delivered_share": study.delivered_share[i],
                "heat_not_served_w": study.heat_not_served_w[i],
                "worst_consumer": _worst(net, study, i),
                "worst_margin_pa": study.worst_margin_pa[i] if study.worst_consumer[i] >= 0 else math.nan,
                "highest_pressure_pa": study.highest_pressure_pa[i] if study.converged[i] else math.nan,
            }
            for i in study.ranked()
        ],
    }


def _print(net: Network, study: Contingencies, unborne: int, top: int) -> None:
    ranked = study.ranked()
    shown = ranked if top == 0 else ranked[:top]
    lines = [
        [
            study.label(i),
            study.verdict(i),
            str(study.cut_off[i]),
            str(study.short[i]),
            figure(float(study.heat_not_served_w[i]) / 1e3, 1),
            f"{100.0 * study.delivered_share[i]:.1f}",
            _worst(net, study, i),
            f"{study.worst_margin_pa[i] / 1e5:.3f}" if study.worst_consumer[i] >= 0 else "-",
        ]
        for i in shown.tolist()
    ]
    print_table(
        "Outages, the worst first",
        ["fails", "then", "no supply", "low dp", "heat lost kW", "flow left %", "worst placed", "margin bar"],
        lines,
        0,
    )  # fmt: skip
    if len(shown) < len(ranked):
        say(f"... {len(ranked) - len(shown)} more outages; --top 0 prints all")
    counts = counted({table: study.table.count(table) for table in STUDIED})
    if not len(study):
        say("nothing of that kind is in service, so nothing can fail")
    elif not net.consumers.rows:
        say(f"the network has no consumers, so nobody can be left short ({counts} studied one at a time)")
    elif unborne:
        say(f"{unborne} of {len(study)} outages leave somebody short ({counts} studied one at a time)")
    else:
        say(f"every outage can be borne ({counts} studied one at a time)")
