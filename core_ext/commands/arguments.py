"""Arguments that several commands of the core take, and the one way to give values row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..fluid import ATMOSPHERE_PA
from ..network import SINGULAR, BadNetwork, FloatArray, Network, Table
from ..solver import FRICTION_FORMS, HydraulicSolver

Friction = StrEnum("Friction", {name.replace("-", "_"): name for name in FRICTION_FORMS})  # type: ignore[misc]

# what a network file may end in; `.pandapipes.json` is one of them
WRITTEN = (".json", ".geojson", ".inp")
# no gauge pressure is lower, bar
VACUUM_BAR = -ATMOSPHERE_PA / 1e5

NetworkFile = Annotated[
    Path,
    typer.Argument(
        metavar="NETWORK",
        help="Network file: toplovod-network/1 JSON, GeoJSON, EPANET .inp or pandapipes JSON.",
    ),
]
FrictionOption = Annotated[
    Friction | None,
    typer.Option(help="Friction form; default swamee-jain, hazen-williams for files made for it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
PlotOption = Annotated[
    Path | None, typer.Option(metavar="FILE.svg", help="Draw pressures and map into this SVG file.")
]
RowsOption = Annotated[int, typer.Option(min=0, help="Rows to print per table; 0 prints all.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the file.")]


def solver_of(net: Network, friction: Friction | None) -> HydraulicSolver:
    """A solver with the friction form asked for, or the one the network was made for."""
    if friction is not None:
        return HydraulicSolver(net, friction=str(friction.value))
    made_for_hazen = net.pipes.rows > 0 and bool(np.isnan(net.pipes["roughness_m"]).all())
    return HydraulicSolver(net, friction="hazen-williams" if made_for_hazen else "swamee-jain")


def check_picture(path: Path | None) -> None:
    """Only SVG is drawn, into a folder that is there; told before any work is done."""
    if path is None:
        return
    if path.suffix.lower() != ".svg":
        raise typer.BadParameter(f"{path} does not end in .svg; nothing was written", param_hint="--plot")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path.parent} is no folder; nothing was written", param_hint="--plot")


def check_out(path: Path, force: bool, source: Path) -> None:
    """A network file to be written: of a known ending, not the one that is read, not there without --force.

    Raises BadNetwork, before any work is done.
    """
    if path.suffix.lower() not in WRITTEN:
        raise BadNetwork(
            f"file {path}", "its ending names no format that can be written; nothing was written",
            f"Known: {', '.join(WRITTEN)}, .pandapipes.json.", "unknown_format",
        )  # fmt: skip
    if not path.parent.is_dir():
        raise BadNetwork(
            f"file {path}", f"{path.parent} is no folder; nothing was written", "Make it first.", "no_folder"
        )
    if path.exists():
        if source.exists() and path.samefile(source):
            raise BadNetwork(
                f"file {path}",
                "is the network that is read; nothing was written",
                "Give another name.",
                "same_file",
            )
        if not force:
            raise BadNetwork(
                f"file {path}",
                "is there already; nothing was written",
                "Add --force to overwrite it.",
                "file_exists",
            )


def per_row(
    option: str,
    given: Sequence[str],
    table: Table,
    default: FloatArray | float,
    unit: float = 1.0,
    lowest: float = 0.0,
) -> FloatArray | None:
    """One value per row of a table from words VALUE (for all rows) and ID=VALUE (for one), later ones first.

    unit: what one of the user's units is in SI; lowest: the least value that has a meaning, in the user's
    unit. None where nothing was given. Raises typer.BadParameter, and BadNetwork for an id that the table
    does not have.
    """
    if not given:
        return None
    values = np.array(np.broadcast_to(np.asarray(default, dtype=np.float64), table.rows))
    for word in given:
        name, _, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= lowest):
            raise typer.BadParameter(
                f"{word!r} is not a number from {lowest:g} on; give VALUE for all or ID=VALUE for one",
                param_hint=option,
            )
        if not name:
            values[:] = value * unit
            continue
        try:
            values[table.row(name)] = value * unit
        except KeyError:
            raise BadNetwork(
                f"{option} {word}", f"the network has no {SINGULAR[table.name]} {name!r}",
                f"Known: {_first(table.ids)}.", "unknown_id",
            ) from None  # fmt: skip
    return values


def _first(ids: Sequence[str]) -> str:
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "") if ids else "none"
