"""The bench file: which boards a laboratory has, and what is wired to each. One YAML, checked line by line.

The same file may be a labgrid environment: labgrid reads its own keys and leaves ours, this module does the
reverse. It refuses to open anything.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from .bench.board_target import Wiring, split_address
from .bench.errors import WrongUse
from .reading_yaml import Number, Reader, Rows, Text, Wanted

FORMAT = "toplovod-bench/1"
LABGRID_KEYS = ("targets", "imports", "options", "images", "paths", "tools", "features")
BOARDS = ("w5500_evb_pico", "w5500_evb_pico2", "olimex_esp32_poe", "nucleo_h743")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
FIRMWARE = re.compile(r"[0-9a-f]{8,64}")
BUILT_IN = ("vm", "emulated")

BENCH: Wanted = {"format": Text(), "boards": Rows()}
BOARD: Wanted = {
    "name": Text(),
    "board": Text(among=BOARDS),
    "serial": Text(optional=True),
    "modbus": Text(optional=True),
    "unit": Number(1, 247, whole=True, optional=True),
    "rtu": Text(optional=True),
    "rtu_baud": Number(1200, 115_200, whole=True, optional=True),
    "keys": Text(optional=True),
    "firmware": Text(optional=True),
    "power_on": Text(optional=True),
    "power_off": Text(optional=True),
    "labgrid_power": Text(optional=True),
    "labgrid_console": Text(optional=True),
}


def read(path: Path) -> dict[str, Wiring]:
    """Return the boards of a bench file by name. BadFile names file, line and remedy."""
    reader = Reader(path)
    content = reader.load(FORMAT, foreign_tags=True)
    ours = type(content)()
    ours.line, ours.lines = content.line, content.lines
    ours.update({key: value for key, value in content.items() if key not in LABGRID_KEYS})
    reader.check(ours, BENCH, "a bench file", 1)
    targets = content.get("targets") if isinstance(content.get("targets"), dict) else {}
    found: dict[str, Wiring] = {}
    for row in ours["boards"]:
        line = getattr(row, "line", ours.lines["boards"])
        rows = reader.check(row, BOARD, "a board", line)
        wiring = _wiring(reader, rows, path, set(targets or {}))
        if wiring.name in found:
            raise reader.bad(rows.lines["name"], f"{wiring.name} stands here a second time. Rename one")
        found[wiring.name] = wiring
    return found


def _wiring(reader: Reader, row: Any, path: Path, targets: set[str]) -> Wiring:
    def bad(key: str, what: str) -> Exception:
        return reader.bad(row.lines.get(key, row.line), what)

    name = row["name"]
    if not NAME.fullmatch(name) or name in BUILT_IN:
        raise bad("name", f"name is {name}. Give small letters, digits and dashes, and not vm or emulated")
    if "firmware" in row and not FIRMWARE.fullmatch(row["firmware"]):
        raise bad("firmware", "firmware is no digest. Give 8 to 64 hexadecimal digits in quotes, as "
                  "`toplovod build` prints them")  # fmt: skip
    for one, other in (("power_on", "power_off"), ("power_off", "power_on")):
        if one in row and other not in row:
            raise bad(one, f"{one} without {other}. Give both commands")
        try:
            shlex.split(row.get(one, ""))
        except ValueError as error:
            raise bad(one, f"{one} is no command: {error}. Close what is open") from None
    for one, other in (("power_on", "labgrid_power"), ("serial", "labgrid_console")):
        if one in row and other in row:
            raise bad(other, f"{other} and {one} both. Leave one out")
    for key in ("labgrid_power", "labgrid_console"):
        if key in row and row[key] not in targets:
            raise bad(key, f"{key} is {row[key]}, no labgrid target of this file. Add it under `targets`")
    if not any(key in row for key in ("serial", "modbus", "labgrid_console")):
        raise bad("name", f"{name} has neither serial nor modbus. Add one, or nobody can speak to it")
    if "modbus" in row:
        try:
            split_address(row["modbus"])
        except WrongUse:
            raise bad("modbus", f"modbus is {row['modbus']}. Give HOST or HOST:PORT") from None
    keys = {key: row[key] for key in BOARD if key in row and key != "keys"}
    folder = path.resolve().parent
    return Wiring(**keys, keys=folder / row["keys"] if "keys" in row else None, file=path.resolve())


def wiring_of(spec: str, bench_file: Path | None) -> Wiring:
    """Return what `board:PORT`, `board:HOST[:PORT]` or a name of the bench file means. WrongUse."""
    if spec.startswith("board:"):
        at = spec.removeprefix("board:")
        if "/" in at:
            return Wiring(serial=at)
        split_address(at)
        return Wiring(modbus=at)
    if bench_file is None:
        raise WrongUse(
            f"--bench-target {spec}: no such target; nothing was started. Give vm, emulated, "
            "board:/dev/ttyACM0, board:10.0.3.17, or a board's name with --bench-file"
        )
    boards = read(bench_file)
    if spec not in boards:
        raise WrongUse(
            f"--bench-target {spec}: {bench_file.name} has no such board; nothing was started. It has "
            + ", ".join(boards)
        )
    return boards[spec]
