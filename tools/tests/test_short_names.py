"""Short names in the bundle: what is renamed, what is left, and no object with two things of one name."""

import array
import ast
import asyncio
import binascii
import gc
import hashlib
import io
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping

import pytest

from .. import constants
from ..build import SOURCE_AT_ROOT, firmware_folder, sources
from ..short_names import shorten, shorten_tops

PUMP = """\
class Pump:
    def __init__(self, board, speed_pct):
        self._board = board
        self._speed_pct = speed_pct

    def _turn(self, seconds):
        return self._board.turn(self._speed_pct * seconds)
"""
STATION = """\
from .pump import Pump

class Station(Pump):
    def __init__(self, board):
        Pump.__init__(self, board, 40)
        self._running_s = 0
"""
CLOCK = """\
class Clock:
    def __init__(self, now_s):
        self._now_s = now_s
"""


def only(text: str) -> str:
    return shorten({"substation/a.py": text}, {})[0]["substation/a.py"]


def test_attributes_methods_and_parameters_share_short_names() -> None:
    short, names = shorten(
        {"substation/pump.py": PUMP, "substation/station.py": STATION, "substation/clock.py": CLOCK}, {}
    )
    assert short["substation/pump.py"] == (
        "class Pump:\n"
        "\n"
        "    def __init__(self, a, b):\n"
        f"        self.{names['_board']} = a\n"
        f"        self.{names['_speed_pct']} = b\n"
        "\n"
        f"    def {names['_turn']}(self, a):\n"
        f"        return self.{names['_board']}.turn(self.{names['_speed_pct']} * a)"
    )
    # one object has the attributes of pump and station; a clock is another
    assert len({names["_board"], names["_speed_pct"], names["_turn"], names["_running_s"]}) == 4
    assert names["_now_s"] == "_0"
    assert set(names) == {"_board", "_speed_pct", "_turn", "_running_s", "_now_s"}


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n\n    def f(self, o):\n        return o._io_queue",  # another's attribute
        "class A:\n\n    def f(self, o):\n        o._speed = 1\n        self._speed = 2",
        "class A:\n    _speed = 1\n\n    def f(self):\n        self._speed = 2",
        "class A:\n\n    def f(self):\n        self._speed = 2\n        setattr(self, '_speed', 3)",
        "class A:\n\n    def f(self):\n        self.__speed = 2",
        "class A:\n\n    def f(self):\n        return self\n\ndef speed():\n    return A().speed",
        "class A:\n\n    def append(self):\n        return []",  # a list has that as well
        "def f(speed):\n    return speed\nf(speed=2)",
        "def f(speed):\n    return lambda: speed",
        "def f(speed):\n\n    def g():\n        return speed\n    return g",
        "def f(speed):\n    global level\n    level = speed",
        "def f(*speeds, **levels):\n    return speeds",
    ],
)
def test_what_could_be_seen_from_elsewhere_keeps_its_name(text: str) -> None:
    assert only(text).replace("_0(self", "f(self") == text


def test_a_rank_is_looked_up_by_its_word() -> None:
    ranks = {"substation/precedence.py": "VALVE = ('frost',)\n"}
    text = "class A:\n\n    def _frost(self):\n        return 1"
    assert shorten({"substation/a.py": text, **ranks}, {})[0]["substation/a.py"] == text
    assert "_frost" not in only(text)


def test_only_ranks_are_looked_up_as_methods() -> None:
    for path, file in sources(firmware_folder()):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr"):
                assert path.startswith("substation/"), path
                allowed = ("dhw", "pump_station", "heating_circuit", "let_go", "settings")
                assert path.partition("/")[2].removesuffix(".py") in allowed, path


def test_no_name_of_an_interpreters_type_is_taken_from_it() -> None:
    kinds = (
        str, bytes, bytearray, memoryview, list, dict, set, tuple, int, float, range, io.FileIO, io.BytesIO,
        io.TextIOWrapper, socket.socket, array.array, type(select.poll()), type(hashlib.sha256()),
        asyncio.Task, asyncio.Event, socket, select, struct, hashlib, os, time, gc, json, sys, binascii,
    )  # fmt: skip
    known = {name for kind in kinds for name in dir(kind) if not name.startswith("_")}
    content = {path: file.read_text() for path, file in sources(firmware_folder())}
    modules = {path: text for path, text in content.items() if path not in SOURCE_AT_ROOT}
    _, names = shorten(modules, {path: content[path] for path in SOURCE_AT_ROOT})
    assert not known & set(names)


def test_tops_are_renamed_with_their_importers_and_locals_are_let_be() -> None:
    valve = "class Valve:\n    pass\n\ndef stroke_of(valve):\n    return Valve\n"
    loop = "from .valve import Valve\n\ndef run(stroke_of):\n    from .valve import stroke_of as s\n"
    loop += "    return Valve(stroke_of, s)\n\ndef lazy():\n    from .valve import Valve\n    return Valve\n"
    short, names = shorten_tops({"substation/valve.py": valve, "substation/loop.py": loop}, {})
    assert set(names) == {"Valve", "stroke_of", "lazy"} | ({"run"} & set(names))
    new = names["Valve"]
    assert f"from .valve import {new}\n" in short["substation/loop.py"]
    assert f"return {new}(stroke_of, s)" in short["substation/loop.py"]
    assert f"    from .valve import {new}\n    return {new}" in short["substation/loop.py"]
    assert f"class {new}:" in short["substation/valve.py"]


def test_a_parameter_takes_no_name_that_its_function_or_module_knows() -> None:
    text = "import b\na = 1\ndef f(speed):\n    c = b.g(speed)\n    return [d for d in c]\n"
    assert only(text) == "import b\na = 1\n\ndef f(e):\n    c = b.g(e)\n    return [d for d in c]"


def test_what_ships_as_source_is_asked_too() -> None:
    text = "class A:\n\n    def f(self, speed):\n        self._speed = speed"
    beside = {"main.py": "import a\na.A().f(speed=1)\nprint(a.A()._speed)\n"}
    assert shorten({"substation/a.py": text}, beside) == ({"substation/a.py": text}, {})


def test_nothing_is_renamed_when_a_source_is_no_python() -> None:
    broken = {"substation/a.py": PUMP, "substation/b.py": "def f(:\n"}
    assert shorten(broken, {}) == (broken, {})


def family_attributes(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """The attributes and methods of each class, with those of the classes above it."""
    own: dict[str, set[str]] = {}
    above: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for klass in ast.walk(tree):
            if isinstance(klass, ast.ClassDef):
                own.setdefault(f"{path}:{klass.name}", set()).update(
                    node.attr
                    for node in ast.walk(klass)
                    if isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "self"
                )
                own[f"{path}:{klass.name}"].update(
                    node.name for node in klass.body if isinstance(node, ast.FunctionDef)
                )
                above.setdefault(f"{path}:{klass.name}", set()).update(
                    base.id for base in klass.bases if isinstance(base, ast.Name)
                )

    def all_of(name: str) -> set[str]:
        bases = (key for base in above[name] for key in own if key.endswith(f":{base}"))
        return own[name].union(*(all_of(base) for base in bases))

    return {name: all_of(name) for name in own}


def test_in_the_firmware_no_class_has_one_name_for_two_attributes() -> None:
    content = {path: file.read_text() for path, file in sources(firmware_folder())}
    modules = {path: text for path, text in content.items() if path not in SOURCE_AT_ROOT}
    folded = constants.fold(modules)
    _, names = shorten(folded, {path: content[path] for path in SOURCE_AT_ROOT})
    classes = family_attributes({path: ast.parse(text) for path, text in folded.items()})
    assert len(names) > 200 and len(set(names.values())) < 90
    assert sum(len(attributes & set(names)) for attributes in classes.values()) > 300
    for name, attributes in classes.items():
        short = [names.get(attribute, attribute) for attribute in attributes]
        assert len(short) == len(set(short)), name
