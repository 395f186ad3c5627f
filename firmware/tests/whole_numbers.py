"""Watches every whole number that the firmware's sources reckon with.

`python -m firmware.tests.whole_numbers HOURS [SITE]` steps one of SITES, or each, through so many hours.

Each operation and each call in firmware/substation is wrapped before it is compiled, so that intermediate
results are seen as well. What does not fit 31 bits is an object on the heap of a 32-bit chip: slower by two
orders, and garbage in every control step. Prints one JSON object {site: {"file:line": largest}} of what was
met in the control steps; what happens while starting is left out.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.util
import json
import sys
from pathlib import Path

SUBSTATION = Path(__file__).parent.parent / "substation"
LOW, HIGH = -(1 << 30), (1 << 30) - 1  # what a 31-bit small integer holds
met: dict[str, int] = {}
stepping = [False]  # only what the control steps reckon with counts: an order's signature is no such thing


def seen(value, place):
    """Take note of a number that is too large; return it unchanged."""
    if stepping[0] and type(value) is int and not LOW <= value <= HIGH and abs(value) > met.get(place, 0):
        met[place] = abs(value)
    return value


builtins.__seen__ = seen


class Wrapped(ast.NodeTransformer):
    """Puts seen() around whatever makes a number."""

    def __init__(self, name):
        self.name = name

    def _call(self, node):
        place = ast.Constant(f"{self.name}:{node.lineno}")
        call = ast.Call(ast.Name("__seen__", ast.Load()), [node, place], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def _around(self, node):
        return self._call(self.generic_visit(node))

    visit_BinOp = visit_UnaryOp = visit_Call = _around

    def visit_Constant(self, node):
        return self._call(node) if type(node.value) is int and not LOW <= node.value <= HIGH else node

    def visit_AugAssign(self, node):
        place = ast.unparse(node.target)
        self.generic_visit(node)
        look = ast.parse(f"__seen__({place}, {self.name + ':' + str(node.lineno)!r})").body[0]
        return [node, ast.fix_missing_locations(ast.copy_location(look, node))]


class Loader(importlib.abc.SourceLoader):
    def __init__(self, path):
        self.path = path

    def get_filename(self, fullname):
        return str(self.path)

    def get_data(self, path):
        return Path(path).read_bytes()

    def source_to_code(self, data, path, *, _optimization=-1):
        return compile(Wrapped(Path(path).stem + ".py").visit(ast.parse(data)), path, "exec")


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        room, _, name = fullname.rpartition(".")
        if room != "firmware.substation":
            return None
        file = SUBSTATION / f"{name}.py"
        return importlib.util.spec_from_loader(fullname, Loader(file))


if __name__ == "__main__":  # before anything of the firmware is imported, and only here
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Finder())
from . import conftest, dhw_rig, loop_rig  # noqa: E402


def day_of(rig, weather, hours):
    """Step a rig through hours of control; return what was met."""
    met.clear()
    for minute in range(60 * hours):
        weather(rig, minute)
        stepping[0] = True
        rig.step(60)
        stepping[0] = False
    return dict(met)


def house(rig, minute):
    """A day of winter: hot water at the full hour, a sensor lost for a while, an order now and then."""
    rig.house.outdoor_c = -12.0 + 16.0 * (minute % 1440) / 1440
    rig.exchanger.draw_kg_s = rig.tank.tap_kg_s = 0.2 if minute % 60 < 8 else 0.0
    rig.house.lost = {7} if 300 <= minute % 1440 < 310 else set()
    if minute % 360 == 30:
        rig.order({"secondary_supply_temp_sp_c": 50.0 + minute % 7}, lease_s=3600)


def station(rig, minute):
    """A large plant whose pressure breaks down for a while."""
    rig.outdoor_c = -12.0 + 16.0 * (minute % 1440) / 1440
    rig.full_dp_bar = 0.5 if 600 <= minute % 1440 < 610 else 6.0
    rig.temps = (rig.outdoor_c, 118.0, 45.0)
    rig.flow_m3_h = lambda: 480.0


COMFORT = {
    "schedule": {"mon-sun": ["06:00-22:00"]}, "room_influence_pct": 200, "room_adaptation_maximum_k": 3,
    "optimum_start_maximum_s": 7200, "contract_heat_limit_kw": 5000, "capacity_heat_limit_kw": 4000,
    "return_limit_points": [[-10, 50], [10, 40]], "valve_starts_hour_maximum_count": 200,
    "valve_stroke_s": 600,
}  # fmt: skip
# Near the upper ends of what a site may be: the numbers are largest there.
SITES = {
    "one circuit": {},
    "one circuit, everything of it": COMFORT,
    "two circuits": {**dhw_rig.TWO_CIRCUITS, **COMFORT},
    "instantaneous DHW": dhw_rig.INSTANTANEOUS,
    "DHW in a tank": dhw_rig.STORAGE,
    "pump station": {
        "index_dp_own_bar": 0.8, "suction_pressure_minimum_bar": 1.0, "dry_run_pressure_bar": 0.5, "pumps": 2,
        "plant_flow_minimum_m3_h": 10, "inputs": loop_rig.STATION_INPUTS,
    },
}  # fmt: skip


def main(hours, names):
    found = {}
    for name in names:
        ticks = conftest._ticks
        ticks.now_ms = 0
        if name == "pump station":
            found[name] = day_of(loop_rig.StationRig(ticks, **SITES[name]), station, hours)
        else:
            found[name] = day_of(dhw_rig.FunctionRig(ticks, **SITES[name]), house, hours)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] or SITES)
