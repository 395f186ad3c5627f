"""Heap of the firmware as it ships, module by module and of whole sites, in the 64-bit VM. It judges nothing.

Run it as `python -m hil_tests.measurements.measure_heap`; a bundle is built anew for it. A module's figure is
what is in use more after its import, with what it imports first; names that the interpreter keeps for ever
are in it, and so is the table of names where it grows. Half of it stands for a 32-bit chip [firmware.md 5].
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MACHINE = ROOT / "firmware" / "tests" / "vm" / "machine.py"
HEAP = "400k"
LATE = ("app", "startup", "site", "site_functions", "registers", "image", "fallbacks", "precedence")

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
    "format": "toplovod-device/1", "device_id": "0011223344556677", "board": "emulated",
    "epochs": [1, 1, 1, 1],
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
    "pump station, two pumps": {"profile": "pump_station", "pumps": 2},
}


def in_vm(folder: Path, script: str) -> str:
    """Return what the script prints in the VM; a failure ends the measurement with the VM's words."""
    (folder / "measure.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-m", "micropython", "-X", f"heapsize={HEAP}", "measure.py"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def main() -> None:
    """Build the bundle, and print the tables."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        subprocess.run(
            [sys.executable, "-m", "tools.cli", "build", "--out", str(folder)],
            check=True,
            capture_output=True,
        )
        machine = MACHINE.read_text().replace("13107]", "13107] + [29609] * 7")
        (folder / "machine.py").write_text(machine)
        names = ["machine", "boards"] + [
            f"boards.{p.stem}" for p in sorted((folder / "boards").glob("[eo]*.mpy"))
        ]
        names += [
            f"substation.{p.stem}"
            for p in sorted((folder / "substation").glob("*.mpy"))
            if p.stem not in LATE
        ]
        names += [f"substation.{name}" for name in LATE]
        names = [name for name in names if not name.endswith(("__init__", "one_wire"))]
        print(in_vm(folder, EACH.format(names=names)))
        for name, changes in SITES.items():
            (folder / "site.json").write_text(json.dumps({**BASE, **changes}))
            shutil.rmtree(folder / "state", ignore_errors=True)
            print(f"{name}: " + " ".join(in_vm(folder, WHOLE).splitlines()[-2:]))


if __name__ == "__main__":
    main()
