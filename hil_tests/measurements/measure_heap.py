"""Heap of the firmware as it ships, module by module and of whole sites, in the 64-bit VM. It judges nothing.

Run it as `python -m hil_tests.measurements.measure_heap [--markdown FILE]`. A module's figure is what is in
use more after its import, with what it imports first; names that the interpreter keeps for ever are in it,
and so is the table of names where it grows. Half of it stands for a 32-bit chip [firmware.md 5].
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MACHINE = ROOT / "firmware" / "tests" / "vm" / "machine.py"
HEAP = "400k"
LATE = ("app", "startup", "site", "site_functions", "registers", "image", "precedence")

EACH = """
import gc, sys
def used():
    gc.collect()
    return gc.mem_alloc()
for name in {names!r}:
    before = used()
    __import__(name)
    print(name, used() - before)
"""
WHOLE = """
import gc, sys, boards
from substation import app, let_go
peak = [0]
drop = let_go.let_go_of_constructors
def look(*names):
    gc.collect()
    peak[0] = max(peak[0], gc.mem_alloc())
    drop(*names)
let_go.let_go_of_constructors = look
controller = app.Controller(boards)
del let_go, drop, look
for k in range(200):
    hold_ms = controller.step()
    while hold_ms:
        hold_ms = controller._loop.hold()
gc.collect()
import micropython
print("peak", peak[0], "in use", gc.mem_alloc())
micropython.qstr_info()
"""

BASE = {
    "format": "toplovod-device/2", "device_id": "0011223344556677", "board": "emulated",
    "epochs": {},
}  # fmt: skip
PT = {"kind": "pt1000"}
WEEK = {"mon-fri": ["06:00-22:00"]}
SECOND = {
    "secondary2_supply_temp_c": {"channel": 8, **PT},
    "secondary2_return_temp_c": {"channel": 9, **PT},
}
DHW = {
    "dhw_supply_temp_c": {"channel": 10, **PT},
    "dhw_flow_m3_h": {"channel": 11, "kind": "4-20ma", "span": 4},
}
TWO = {
    "heating_circuits": 2, "schedule": WEEK, "schedule2": WEEK, "room_influence_pct": 200,
    "contract_heat_limit_kw": 20, "return_difference_limit_k": 10,
}  # fmt: skip
SITES = {
    "one circuit": {},
    "two circuits, schedules, room, limits": {**TWO, "inputs": SECOND},
    "the same with instantaneous DHW": {**TWO, "dhw": "instantaneous", "inputs": {**SECOND, **DHW}},
    "one circuit, one heat meter": {"mbus_baud": 2400, "mbus_meters": [{"address": 1}]},
    "pump station, two pumps": {"profile": "pump_station", "pumps": 2},
}
# The converter of the tests has seven channels more here: Pt1000 at some 60 degC.
CHANNELS = ("13107]", "13107] + [29609] * 7")
LARGEST = """
low, high = 0, gc.mem_free() // 64 + 1
while high - low > 1:
    middle = (low + high) // 2
    try:
        bytearray(middle * 64)
        low = middle
    except MemoryError:
        high = middle
print("largest", low * 64)
"""
GIVEN_KB = 192


def in_vm(folder: Path, script: str, heap: str = HEAP) -> str:
    """Return what the script prints in the VM, where the program's attributes have shorter names."""
    names = json.loads((folder / "manifest.json").read_text())["names"]
    script = re.sub(r"(?<=\.)[A-Za-z_]\w*", lambda m: names.get(m[0], m[0]), script)
    (folder / "measure.py").write_text(script)
    shutil.rmtree(folder / "state", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "micropython", "-X", f"heapsize={heap}", "measure.py"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Site:
    """Bytes, but for smallest_kb, the least heap that boots. largest_free_b: of GIVEN_KB, or None."""

    name: str
    peak_b: int
    live_b: int
    smallest_kb: int
    largest_free_b: int | None


def measure_site(folder: Path, name: str, changes: dict[str, Any]) -> Site:
    """Boot a site in heaps of several sizes. folder: of the bundle, with the machine module in it."""
    (folder / "site.json").write_text(json.dumps({**BASE, **changes}))
    words = re.search(r"peak (\d+) in use (\d+)", in_vm(folder, WHOLE))
    if words is None:
        raise SystemExit(f"{name}: does not boot\n{in_vm(folder, WHOLE)}")
    low, high = 64, 400
    while high - low > 1:
        middle = (low + high) // 2
        if "in use" in in_vm(folder, WHOLE, f"{middle}k"):
            high = middle
        else:
            low = middle
    largest = re.search(r"largest (\d+)", in_vm(folder, WHOLE + LARGEST, f"{GIVEN_KB}k"))
    return Site(name, int(words[1]), int(words[2]), high, int(largest[1]) if largest else None)


def measure_modules(folder: Path) -> dict[str, int]:
    """Return what the import of each module adds, in bytes, in the order of import."""
    names = ["machine", "boards"] + [
        f"boards.{p.stem}"
        for p in sorted((folder / "boards").glob("*.mpy"))
        if p.stem in ("emulated", "outputs")
    ]
    stems = [p.stem for p in sorted((folder / "substation").glob("*.mpy")) if p.stem != "__init__"]
    names += [f"substation.{stem}" for stem in stems if stem not in LATE]
    names += [f"substation.{stem}" for stem in LATE]
    printed = in_vm(folder, EACH.format(names=names))
    rows = [line.split() for line in printed.splitlines()]
    if [row[0] for row in rows] != names:
        raise SystemExit(printed)
    return {row[0]: int(row[1]) for row in rows}


def page(modules: dict[str, int], sites: list[Site]) -> str:
    """Return docs/memory.md."""
    lines = [
        "# Memory of the controller",
        "",
        "Generated by `python -m hil_tests.measurements.measure_heap --markdown docs/memory.md`; not edited.",
        "The heap of the 64-bit VM, the shipped bundle, no bench around it; on a 32-bit chip an object takes",
        "about half [estimate].",
        "",
        "| site | live after boot, kB | highest at the end of boot, kB | least heap that boots, KiB | "
        f"largest free block of {GIVEN_KB} KiB, kB |",
        "|---|---|---|---|---|",
    ]
    for site in sites:
        free = "does not boot" if site.largest_free_b is None else f"{site.largest_free_b / 1000:.1f}"
        lines.append(
            f"| {site.name} | {site.live_b / 1000:.1f} | {site.peak_b / 1000:.1f} | {site.smallest_kb} "
            f"| {free} |"
        )
    lines += [
        "",
        "The goals are 160 kB live and a free block of 16 kB for two circuits with hot water. Weeks of",
        "service with four masters: `make soak`. An open update takes some 15 kB more.",
        "",
        "## Module by module",
        "",
        "What the import of each adds, with whatever it is the first to import.",
        "",
        "| module | B |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {size} |" for name, size in modules.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Build the bundle, measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--markdown", type=Path, help="write the page here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        subprocess.run(
            [sys.executable, "-m", "tools.cli", "build", "--out", str(folder)],
            check=True,
            capture_output=True,
        )
        (folder / "machine.py").write_text(MACHINE.read_text().replace(*CHANNELS))
        text = page(measure_modules(folder), [measure_site(folder, name, c) for name, c in SITES.items()])
    if given.markdown:
        given.markdown.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
