"""Run the commands that a page shows, and compare or rewrite what it says they print.

    python -m tools.checks.shown_output [--write] docs/networks.md

A page shows them in blocks marked `console`: a line `$ toplovod ...`, below it the output, `[exit status 1]`
where it is not 0. They run one after the other in an empty folder with the example's network file; what a
command says on standard error is shown only where it was refused (status 2). Pictures they draw belong into
docs/images. It refuses to run anything but `toplovod`, and to compare what rounding decides: residuals and
numbers of steps.
"""

import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from .. import cli

ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "examples" / "schutterwald" / "network.json"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BY_ROUNDING = re.compile(r"\b\d\.\de[-+]\d\d\b|\bin \d+ steps?\b")
COLUMNS = "100"


def renewed(page: str) -> tuple[str, dict[str, str]]:
    """The page with the output of its commands as it is now, and the pictures they drew by name."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), _fixed_width():
        shutil.copy(NETWORK, folder)
        text = BLOCK.sub(lambda block: f"```console\n{_run_all(block[1])}```", page)
        pictures = {
            path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.svg"))
        }
    return text, pictures


def without_rounding(page: str) -> str:
    """The page without the figures that may differ from one processor to the next."""
    return BY_ROUNDING.sub("~", page)


@contextmanager
def _fixed_width() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _run_all(block: str) -> str:
    commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    return "\n".join(f"$ {command}\n{_run(command)}" for command in commands)


def _run(command: str) -> str:
    name, *arguments = shlex.split(command)
    if name != "toplovod":
        raise ValueError(f"{command!r}: only toplovod is run; show other commands in a block of another kind")
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    said = out.getvalue() + (err.getvalue() if status == 2 else "")
    lines = [line.rstrip() for line in said.splitlines()]
    # tables begin and end with an empty line; one is enough
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    if status:
        kept.append(f"[exit status {status}]")
    return "\n".join(kept).strip("\n") + "\n"


def main() -> int:
    """Exit status: 0 everything is as shown (or was written), 1 something differs."""
    words = sys.argv[1:]
    write = "--write" in words
    differs = []
    for path in (Path(word) for word in words if word != "--write"):
        page = path.read_text(encoding="utf-8")
        text, pictures = renewed(page)
        if without_rounding(text) != without_rounding(page):
            differs.append(path)
            if write:
                path.write_text(text, encoding="utf-8")
        for name, drawn in pictures.items():
            picture = ROOT / "docs" / "images" / name
            if not picture.exists() or picture.read_text(encoding="utf-8") != drawn:
                differs.append(picture)
                if write:
                    picture.write_text(drawn, encoding="utf-8")
    for path in differs:
        print(f"{path}: {'written anew' if write else 'is not what the commands print now; run: make docs'}")
    return int(bool(differs) and not write)


if __name__ == "__main__":
    sys.exit(main())
