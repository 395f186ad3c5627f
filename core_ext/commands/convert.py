"""`toplovod convert`: a network from one file format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..network import BadNetwork, Network
from .arguments import ForceOption, NetworkFile, check_free
from .printing import counted, explained, print_json, say

# what a file may end in; `.pandapipes.json` is one of them
WRITTEN = (".json", ".geojson", ".inp")


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
        if out.suffix.lower() not in WRITTEN:
            raise BadNetwork(
                f"file {out}", "its ending names no format that can be written; nothing was written",
                f"Known: {', '.join(WRITTEN)}, .pandapipes.json.", "unknown_format",
            )  # fmt: skip
        check_free(out, force, network)
        net = Network.read(network)
        net.write(out)
    counts = {name: table.rows for name, table in net.tables.items() if table.rows}
    if json:
        print_json({"format": "toplovod-conversion/1", "network": net.name, "file": str(out), "rows": counts})
    else:
        say(f"{out}: {counted(counts)}")
