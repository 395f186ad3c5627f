"""The technician's commands: what `toplovod` can do to firmware, keys and controllers.

It refuses to do the work itself: each command reads its arguments, calls one module and prints.
"""

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def _print_json(result: Any) -> None:
    typer.echo(json_format.dumps(result, ensure_ascii=False))


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder for the bundle; a bundle that is there is replaced.")],
    json: AsJson = False,
) -> None:
    """Compile the firmware into a bundle of portable bytecode with a SHA-256 for every file."""
    from .build import write_bundle

    bundle = write_bundle(out)
    if json:
        _print_json({"folder": str(bundle.folder), **bundle.manifest()})
        return
    size = sum(file.bytes for file in bundle.files)
    typer.echo(f"{bundle.folder}: {len(bundle.files)} files, {size} bytes, sha256 {bundle.sha256}")
