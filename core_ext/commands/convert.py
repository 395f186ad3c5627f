"""`toplovod convert`: a network from one file format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..network import Network
from .arguments import ForceOption, NetworkFile, check_out
from .printing import counted, explained, print_json, say


def convert(
    network: NetworkFile,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="File to write; ends in .json, .geojson, .inp or .pandapipes.json."
        ),
    ],
    force: ForceOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read NETWORK in any known format and write it as OUT. What OUT cannot hold is refused by name.

    Exit status: 0 written, 2 wrong use, a bad network or one that the format cannot hold; nothing is written
    then.
    """
    with explained(json):
        check_out(out, force, network)
        net = Network.read(network)
        net.write(out)
    counts = {name: table.rows for name, table in net.tables.items() if table.rows}
    if json:
        print_json({"format": "toplovod-conversion/1", "network": net.name, "file": str(out), "rows": counts})
    else:
        say(f"{out}: {counted(counts)}")
