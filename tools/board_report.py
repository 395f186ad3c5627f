"""What the firmware needs of each board beside what the board has: files on its flash, heap in its RAM.

It refuses to call an estimate a measurement: the flash is a file system of the board's size that is really
filled, with program, slots, records and a full event log (`board_files`); the heap is
that of the 64-bit VM, and what a 32-bit chip needs of it is reckoned and marked so. Nothing here was measured
on a board.
"""

import json
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .board_files import COPIES, copies_that_fit, used_b
from .build import Bundle, build_bundle, firmware_folder
from .errors import WRONG_USE, ToolError

HEAP = "400k"  # enough for any site; what is in use does not depend on it

# A pin, a converter and so on that do nothing: what they weigh is small beside the firmware (below 2 kB).
MACHINE = """
class Pin:
    IN = 0; OUT = 1; PULL_UP = 1; IRQ_FALLING = 2
    def __init__(self, id, mode=-1, pull=-1, value=None): self.id = id
    def value(self, level=None): return 1
    def irq(self, handler, edge): pass
class ADC:
    def __init__(self, channel): self.channel = channel
    def read_u16(self): return 29609 if self.channel != 6 and self.channel != 7 else 14000
class PWM:
    def __init__(self, pin, freq=0, duty_u16=0): pass
    def duty_u16(self, duty): pass
def unique_id(): return bytes(8)
def reset_cause(): return 1
"""
# The largest heap that is seen while starting, and what is in use after 200 control periods. The modules that
# are still loaded then tell how much of it is bytecode.
MEASURE = """
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
in_use = gc.mem_alloc()
import json
print("RESULT", json.dumps([max(peak[0], in_use), in_use, list(sys.modules), controller._safe_start]))
"""

_PT = {"kind": "pt1000"}
_SECOND = {
    "heating_circuits": 2,
    "schedule": {"mon-fri": ["06:00-22:00"]}, "schedule2": {"mon-fri": ["06:00-22:00"]},
    "room_influence_pct": 200, "contract_heat_limit_kw": 20, "return_difference_limit_k": 10,
}  # fmt: skip
_SECOND_INPUTS = {
    "secondary2_supply_temp_c": {"channel": 8, **_PT},
    "secondary2_return_temp_c": {"channel": 9, **_PT},
}
_DHW_INPUTS = {
    "dhw_supply_temp_c": {"channel": 10, **_PT},
    "dhw_flow_m3_h": {"channel": 11, "kind": "4-20ma", "span": 4},
}
SITES: dict[str, dict[str, Any]] = {
    "one heating circuit": {},
    "pump station, one pump": {"profile": "pump_station"},
    "pump station, two pumps": {"profile": "pump_station", "pumps": 2},
    "two circuits, schedules, room, limits": {**_SECOND, "inputs": _SECOND_INPUTS},
    "the same with instantaneous DHW": {
        **_SECOND, "dhw": "instantaneous", "inputs": {**_SECOND_INPUTS, **_DHW_INPUTS},
    },
}  # fmt: skip
SMALL_SITES = ("one heating circuit", "pump station, one pump")  # what a board without more pins carries


@dataclass(frozen=True)
class SiteHeap:
    """Heap of one site. `*_64_b` is measured in the 64-bit VM, `*_32_b` reckoned from it for a 32-bit chip.

    Bytecode is as large on either; all else is pointers, and half as large (100 small dicts: 3 776 B for
    7 488 B). What is held at the peak only is counted whole: most of it is bytecode of what is let go of.
    """

    site: str
    peak_64_b: int
    in_use_64_b: int
    bytecode_b: int

    @property
    def peak_32_b(self) -> int:
        return self.in_use_32_b + self.peak_64_b - self.in_use_64_b

    @property
    def in_use_32_b(self) -> int:
        return self.bytecode_b + (self.in_use_64_b - self.bytecode_b + 1) // 2


@dataclass(frozen=True)
class BoardNeed:
    """One board: what it has, and what of it the firmware takes.

    `copies`: how many of the program went into a file system of its size; `*_copy_b`, `*_copies_b`: what they
    take up where there is room enough, with everything that is kept beside them.
    """

    board: str
    chip: str
    architecture: str
    float_bits: int
    image_b: int
    one_copy_b: int
    all_copies_b: int
    copies: int
    flash_b: int
    flash_source: str
    heap_b: int
    heap_source: str
    site: str
    heap_need_b: int

    @property
    def flash_verdict(self) -> str:
        """What fits: all, first (the program and one slot), one (no updates over the network), or none."""
        return ("none", "one", "first", "all")[self.copies]

    @property
    def fits(self) -> bool:
        return self.flash_verdict != "none" and self.heap_need_b <= self.heap_b


def board_facts() -> Mapping[str, Any]:
    """Return the firmware's table of boards by name."""
    facts: Mapping[str, Any] = runpy.run_path(str(firmware_folder() / "board_facts.py"))["BOARDS"]
    return facts


def architecture_of(board: str) -> str:
    """Return the board's architecture as mpy-cross calls it; ToolError unknown_board."""
    facts = board_facts()
    if board not in facts:
        raise ToolError(
            "unknown_board",
            f"there is no board {board!r}; nothing was built. There are: {', '.join(facts)}",
            exit_status=WRONG_USE,
        )
    return str(facts[board].architecture)


def check_fit(board: str) -> None:
    """Raise ToolError does_not_fit when the board's file system cannot take the program even once."""
    facts = board_facts()[board]
    bundle = build_bundle()
    if not copies_that_fit(bundle, facts.chip, facts.files_b):
        raise ToolError(
            "does_not_fit",
            f"{board}: program, settings and records take {used_b(bundle, facts.chip, 1)} bytes of a file "
            f"system, the board has {facts.files_b} ({facts.files_source}); nothing was written. As shipped "
            "nothing runs there: firmware/manifest.py only lists the files, and the program looks for itself "
            "in a file system. What it takes: docs/boards.md, Memory.",
        )


def site_heaps(bundle: Bundle) -> list[SiteHeap]:
    """Start the bundle in the VM for each of SITES and return what it takes there."""
    sizes = {file.path: file.bytes for file in bundle.files}
    heaps = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "device"
        shutil.copytree(bundle.folder, folder)
        (folder / "machine.py").write_text(MACHINE)
        (folder / "measure.py").write_text(bundle.in_its_words(MEASURE))
        for name, changes in SITES.items():
            site = {
                "format": "toplovod-device/2",
                "device_id": "0011223344556677",
                "board": "emulated",
                "epochs": {},  # as `provision` leaves them
                **changes,
            }
            (folder / "site.json").write_text(json.dumps(site))
            shutil.rmtree(folder / "state", ignore_errors=True)
            done = subprocess.run(
                [sys.executable, "-m", "micropython", "-X", f"heapsize={HEAP}", "measure.py"],
                cwd=folder, capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            result = done.stdout.rpartition("RESULT ")[2]
            if done.returncode or result == done.stdout:  # a lack of heap ends the VM with status 0
                raise ToolError(
                    "vm_failed",
                    f"the VM could not run {name!r}; nothing was reported.\n{done.stdout}{done.stderr}",
                )
            peak_b, in_use_b, modules, safe_start = json.loads(result)
            if safe_start:
                raise ToolError("vm_failed", f"the firmware refused the settings of {name!r}:\n{done.stdout}")
            bytecode_b = sum(sizes.get(module.replace(".", "/") + ".mpy", 0) for module in modules)
            heaps.append(SiteHeap(name, peak_b, in_use_b, bytecode_b))
    return heaps


def board_needs(bundle: Bundle, heaps: list[SiteHeap]) -> list[BoardNeed]:
    """Return every board with what the largest site that it carries needs."""
    image_b = sum(file.bytes for file in bundle.files)
    needs = []
    for name, facts in board_facts().items():
        small = not facts.carries
        largest = max(
            (heap for heap in heaps if not small or heap.site in SMALL_SITES), key=lambda heap: heap.peak_32_b
        )
        needs.append(
            BoardNeed(
                name, facts.chip, facts.architecture, facts.float_bits, image_b,
                used_b(bundle, facts.chip, 1), used_b(bundle, facts.chip, COPIES),
                copies_that_fit(bundle, facts.chip, facts.files_b),
                facts.files_b, facts.files_source, facts.heap_b, facts.heap_source, largest.site,
                largest.peak_32_b,
            )
        )  # fmt: skip
    return needs


def report() -> tuple[Bundle, list[SiteHeap], list[BoardNeed]]:
    """Build, measure and compare."""
    bundle = build_bundle()
    heaps = site_heaps(bundle)
    return bundle, heaps, board_needs(bundle, heaps)
