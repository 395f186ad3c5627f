"""Commands of the core: `toplovod solve NETWORK`, `toplovod balance NETWORK` and `toplovod bench core`.

The first two read a network file, print a table or one JSON document and write nothing but the picture asked
for; the last measures on networks it makes itself and writes what it is told to.
Exit status: 0 done, 1 the network has no solution or consumers had to be curtailed, 2 wrong use or a bad
network. They never change the network file.
"""

from __future__ import annotations

import json as json_text
import math
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from rich.console import Console
from rich.table import Table as RichTable

from . import svg_plot
from .balancing import Balance
from .network import LINK_ENDS, BadNetwork, FloatArray, Network
from .solver import FRICTION_FORMS, HydraulicResult, HydraulicSolver, NotConverged

app = typer.Typer(no_args_is_help=True, help="Hydraulics of a network file.")

bench = typer.Typer(no_args_is_help=True, help="Measurements, each with its conditions.")
app.add_typer(bench, name="bench")


@bench.callback()
def _bench() -> None:
    """Measurements, each with its conditions."""


DONE, FAILED, WRONG_USE = 0, 1, 2
Friction = StrEnum("Friction", {name.replace("-", "_"): name for name in FRICTION_FORMS})  # type: ignore[misc]

NetworkFile = Annotated[
    Path, typer.Argument(help="toplovod-network/1 JSON, GeoJSON, EPANET .inp or pandapipes JSON.")
]
FrictionOption = Annotated[
    Friction | None,
    typer.Option(help="Friction form; default swamee-jain, hazen-williams for files made for it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
PlotOption = Annotated[Path | None, typer.Option(help="Write an SVG picture to this file.")]
RowsOption = Annotated[int, typer.Option(min=0, help="Rows to print per table; 0 prints all.")]


def _plain(value: Any) -> Any:
    """JSON has no NaN: null stands for it, recursively."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _give_up(error: Exception, json: bool) -> NoReturn:
    """Say what is wrong, and what now, in words or as JSON, and leave with the status that fits."""
    status = FAILED if isinstance(error, NotConverged) else WRONG_USE
    code = getattr(error, "code", "file")
    message = str(error)
    if isinstance(error, OSError):
        message = f"{error.filename}: {error.strerror}; nothing was changed. Check its path and its rights."
    if json:
        body: dict[str, Any] = {"code": code, "message": message, "changed": False}
        if isinstance(error, NotConverged):
            body["certificate"] = {
                "converged": False,
                "islands": error.certificate.islands,
                "active_limits": error.certificate.active_limits,
            }
        typer.echo(json_text.dumps(_plain(body), ensure_ascii=False))
    else:
        Console(stderr=True).print(f"{code}: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(status)


def _solver(net: Network, friction: Friction | None) -> HydraulicSolver:
    if friction is not None:
        return HydraulicSolver(net, friction=str(friction.value))
    made_for_hazen = net.pipes.rows > 0 and bool(np.isnan(net.pipes["roughness_m"]).all())
    return HydraulicSolver(net, friction="hazen-williams" if made_for_hazen else "swamee-jain")


def _print(title: str, head: list[str], rows: list[list[str]], most: int) -> None:
    table = RichTable(title=title, title_justify="left")
    for name in head:
        table.add_column(name, justify="left" if name in ("id", "why") else "right")
    shown = rows if most == 0 else rows[:most]
    for row in shown:
        table.add_row(*row)
    console = Console()
    console.print(table)
    if len(shown) < len(rows):
        console.print(f"... {len(rows) - len(shown)} more rows; --rows 0 prints all", highlight=False)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _certificate(result: HydraulicResult) -> dict[str, Any]:
    certificate = result.certificate
    return {
        "converged": certificate.converged,
        "method": certificate.method,
        "unique": certificate.unique,
        "islands": certificate.islands,
        "active_limits": certificate.active_limits,
        "unserved": certificate.unserved,
        "iterations": result.iterations,
        "residual_pressure_pa": result.residual_pressure_pa,
        "residual_mass_kg_s": result.residual_mass_kg_s,
    }


def _consumer_dp(net: Network, pressure_pa: FloatArray) -> FloatArray:
    row_of = {name: row for row, name in enumerate(net.nodes.ids)}
    supply = [row_of[n] for n in net.consumers["supply_node"]]
    back = [row_of[n] for n in net.consumers["return_node"]]
    drop: FloatArray = pressure_pa[supply] - pressure_pa[back]
    return drop


@app.command()
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
    try:
        net = Network.read(network)
        result = _solver(net, friction).solve()
        if plot is not None:
            dp = _consumer_dp(net, result.pressure_pa) / 1e5
            _write(
                plot,
                svg_plot.network_map(net, dp, f"Differential pressure, {net.name or network.name}", "bar"),
            )
    except (BadNetwork, NotConverged, OSError, ValueError) as error:
        _give_up(error, json)
    if json:
        body = {
            "format": "toplovod-solution/1",
            "network": net.name or str(network),
            "certificate": _certificate(result),
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
        typer.echo(json_text.dumps(_plain(body), ensure_ascii=False))
        return
    _print(
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
    for table, (first, second) in LINK_ENDS.items():
        columns = net.tables[table]
        if columns.rows:
            _print(
                table.capitalize(),
                ["id", first, second, "mass flow kg/s"],
                [
                    [
                        name,
                        columns[first][row],
                        columns[second][row],
                        f"{result.mass_flow_kg_s[table][row]:.5f}",
                    ]
                    for row, name in enumerate(columns.ids)
                ],
                rows,
            )
    _print_certificate(result)


def _print_certificate(result: HydraulicResult) -> None:
    console = Console()
    certificate = result.certificate
    console.print(
        f"solved in {result.iterations} steps; largest residuals {result.residual_pressure_pa:.1e} Pa, "
        f"{result.residual_mass_kg_s:.1e} kg/s",
        highlight=False,
    )
    for part in certificate.islands:
        names = ", ".join(part[:6]) + (f" and {len(part) - 6} more" if len(part) > 6 else "")
        console.print(f"nothing fixes the pressure of: {names}", style="yellow", markup=False)
    for what, names_ in (("at a limit", certificate.active_limits), ("not served", certificate.unserved)):
        if names_:
            more = f" and {len(names_) - 10} more" if len(names_) > 10 else ""
            console.print(f"{what}: {', '.join(names_[:10])}{more}", style="yellow", markup=False)


@app.command()
def balance(
    network: NetworkFile,
    friction: FrictionOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    rows: RowsOption = 20,
    max_dp_bar: Annotated[float | None, typer.Option(min=0.0, help="Most head of every source, bar.")] = None,
    min_dp_bar: Annotated[
        float | None, typer.Option(min=0.0, help="Least dp at every consumer, bar; default from the file.")
    ] = None,
) -> None:
    """Balance NETWORK: kv and flow limit per consumer, head of the sources, index consumer.

    Exit status: 0 every consumer gets its target, 1 some are curtailed or no solution, 2 wrong use.
    """
    try:
        net = Network.read(network)
        limits = {} if max_dp_bar is None else {"max_dp_pa": max_dp_bar * 1e5}
        targets = {} if min_dp_bar is None else {"min_dp_pa": min_dp_bar * 1e5}
        found = _solver(net, friction).balance(targets, limits)
        if plot is not None:
            _write(plot, _balance_picture(net, found, network.name))
    except (BadNetwork, NotConverged, OSError, ValueError) as error:
        _give_up(error, json)
    if json:
        body = {
            "format": "toplovod-balance/1",
            "network": net.name or str(network),
            "feasible": found.feasible,
            "index_consumer": found.index_consumer,
            "pump_power_w": found.pump_power_w,
            "obstacles": [
                {"consumer": o.consumer, "limit": o.limit, "code": o.code} for o in found.obstacles
            ],
            "consumers": {
                "id": net.consumers.ids,
                "kv_m3_h": found.kv_m3_h,
                "flow_limit_kg_s": found.flow_limit_kg_s,
                "dp_pa": found.dp_pa,
                "dp_margin_pa": found.dp_margin_pa,
                "delivered_fraction": found.delivered_fraction,
                "heat_w": found.heat_w,
            },
            "sources": {
                "id": net.sources.ids,
                "dp_pa": found.source_dp_pa,
                "mass_flow_kg_s": found.source_mass_flow_kg_s,
                "supply_temp_c": found.source_supply_temp_c,
            },
            "certificate": _certificate(found.result),
        }
        typer.echo(json_text.dumps(_plain(body), ensure_ascii=False))
    else:
        _print(
            "Consumers",
            ["id", "kv m3/h", "flow limit kg/s", "dp bar", "margin bar", "delivered %"],
            [
                [
                    name,
                    f"{found.kv_m3_h[row]:.4f}",
                    f"{found.flow_limit_kg_s[row]:.4f}",
                    f"{found.dp_pa[row] / 1e5:.4f}",
                    f"{found.dp_margin_pa[row] / 1e5:.4f}",
                    f"{100 * found.delivered_fraction[row]:.2f}",
                ]
                for row, name in enumerate(net.consumers.ids)
            ],
            rows,
        )
        _print(
            "Sources",
            ["id", "head bar", "mass flow kg/s"],
            [
                [name, f"{found.source_dp_pa[row] / 1e5:.4f}", f"{found.source_mass_flow_kg_s[row]:.4f}"]
                for row, name in enumerate(net.sources.ids)
            ],
            rows,
        )
        console = Console()
        console.print(f"index consumer: {found.index_consumer or 'none'}", highlight=False, markup=False)
        console.print(f"hydraulic pump power: {found.pump_power_w / 1e3:.3f} kW", highlight=False)
        if found.obstacles:
            _print(
                "What stands in the way",
                ["id", "why"],
                [[o.consumer, o.limit] for o in found.obstacles],
                rows,
            )
    if not found.feasible:
        raise typer.Exit(FAILED)


def _balance_picture(net: Network, found: Balance, name: str) -> str:
    """The map by dp margin; where no node has coordinates, the pressures on the way to the index consumer."""
    if np.isfinite(net.nodes["x_m"]).any():
        return svg_plot.network_map(net, found.dp_margin_pa / 1e5, f"dp margin, {net.name or name}", "bar")
    if not found.index_consumer:
        raise ValueError("nobody takes any flow, so there is no index consumer to draw the way to")
    row = net.consumers.row(found.index_consumer)
    supply = _way_upstream(net, found.result, str(net.consumers["supply_node"][row]), against=True)
    back = _way_upstream(net, found.result, str(net.consumers["return_node"][row]), against=False)
    if not supply or not back:
        raise ValueError("the index consumer stands at the source itself: there is no way to draw")
    pressure = dict(zip(net.nodes.ids, found.result.pressure_pa, strict=True))
    metres = np.array([d for d, _ in supply])
    return_metres = np.array([d for d, _ in back])
    total = max(float(metres[-1]), float(return_metres[-1]))
    on_return = np.array([pressure[n] for _, n in back])
    at = total - metres[::-1]
    return svg_plot.pressure_profile(
        at,
        np.array([pressure[n] for _, n in supply])[::-1],
        np.interp(at, total - return_metres[::-1], on_return[::-1]),
        f"Pressures to the index consumer {found.index_consumer}, {net.name or name}",
    )


def _way_upstream(net: Network, result: HydraulicResult, node: str, against: bool) -> list[tuple[float, str]]:
    """(metres from the start, node) along the strongest pipe flow, against it or with it, until it ends."""
    flow = result.mass_flow_kg_s["pipes"]
    begin, end = net.pipes["from_node"], net.pipes["to_node"]
    way, seen, metres = [(0.0, node)], {node}, 0.0
    while True:
        best, following = 0.0, ""
        length = 0.0
        for row in range(net.pipes.rows):
            for here, there, signed in ((begin, end, flow[row]), (end, begin, -flow[row])):
                carried = -signed if against else signed
                if here[row] == node and carried > best and there[row] not in seen:
                    best, following, length = carried, str(there[row]), float(net.pipes["length_m"][row])
        if not following:
            return way
        metres += length
        node = following
        seen.add(node)
        way.append((metres, node))


@bench.command("core")
def bench_core(
    sizes: Annotated[
        str,
        typer.Option(
            help="Links of the districts, comma between; default 100 to 100000, or two with --quick."
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option(help="Small districts, the highest level only, short rounds.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the measurements here after each; go on from them if interrupted."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the page (Markdown) to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture of cost over size (SVG) here.")] = None,
    from_json: Annotated[
        bool, typer.Option("--from-json", help="Measure nothing: page and picture from the --json file.")
    ] = False,
) -> None:
    """Measure the core beside EPANET and pandapipes on generated districts; ratios, goals, answers compared.

    Exit status: 0 measured, whatever came out, 1 a measurement failed or was interrupted, 2 wrong use.
    """
    from .bench.report import console_table, markdown, picture
    from .bench.run import QUICK_SIZES, SIZES, run

    try:
        chosen = tuple(int(size) for size in sizes.split(",")) if sizes else QUICK_SIZES if quick else SIZES
    except ValueError:
        raise typer.BadParameter(f"{sizes!r} is not a list of whole numbers", param_hint="--sizes") from None
    if min(chosen) < 50:
        raise typer.BadParameter("a district has at least 50 links", param_hint="--sizes")
    if from_json:
        if json is None or not json.exists():
            raise typer.BadParameter("there is no such file to read", param_hint="--json")
        document = json_text.loads(json.read_text(encoding="utf-8"))
    else:
        try:
            document = run(chosen, quick, json)
        except KeyboardInterrupt:
            typer.echo("interrupted; run it again with the same --json to go on", err=True)
            raise typer.Exit(FAILED) from None
        except RuntimeError as error:
            typer.echo(f"bench_failed: {error}", err=True)
            raise typer.Exit(FAILED) from None
    shown = None
    if plot is not None:
        _write(plot, picture(document))
        shown = Path(os.path.relpath(plot, report.parent)).as_posix() if report is not None else None
    if report is not None:
        _write(report, markdown(document, shown))
    table = RichTable(title="Goals", title_justify="left")
    for name in ("work", "links", "measured", ""):
        table.add_column(name)
    for row in console_table(document):
        table.add_row(*row)
    Console().print(table)
