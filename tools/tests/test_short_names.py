"""Short names in the bundle: what is renamed, what is left, and no object with two things of one name."""

import ast
from collections.abc import Mapping

import pytest

from .. import constants
from ..build import SOURCE_AT_ROOT, firmware_folder, sources
from ..short_names import shorten

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


def test_attributes_and_parameters_share_short_names_and_functions_keep_theirs() -> None:
    short, names = shorten(
        {"substation/pump.py": PUMP, "substation/station.py": STATION, "substation/clock.py": CLOCK}, {}
    )
    assert short["substation/pump.py"] == (
        "class Pump:\n"
        "    def __init__(self, a, b):\n"
        f"        self.{names['_board']} = a\n"
        f"        self.{names['_speed_pct']} = b\n"
        "\n"
        "    def _turn(self, a):\n"
        f"        return self.{names['_board']}.turn(self.{names['_speed_pct']} * a)\n"
    )
    # one object has the attributes of pump and station; a clock is another
    assert len({names["_board"], names["_speed_pct"], names["_running_s"]}) == 3
    assert names["_now_s"] == "_0"
    assert set(names) == {"_board", "_speed_pct", "_running_s", "_now_s"}


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def f(self, o):\n        return o._io_queue\n",  # another's attribute
        "class A:\n    def f(self, o):\n        o._speed = 1\n        self._speed = 2\n",
        "class A:\n    _speed = 1\n    def f(self):\n        self._speed = 2\n",
        "class A:\n    def _speed(self):\n        self._speed = 2\n",
        "class A:\n    def f(self):\n        self._speed = 2\n        setattr(self, '_speed', 3)\n",
        "class A:\n    def f(self):\n        self.__speed = 2\n        self.speed = 1\n",
        "def f(speed):\n    return speed\nf(speed=2)\n",
        "def f(speed):\n    return lambda: speed\n",
        "def f(speed):\n    def g():\n        return speed\n    return g\n",
        "def f(speed):\n    global level\n    level = speed\n",
        "class A:\n    def f(self):\n        self._speed = f'{self._speed}'\n",
        "def f(*speeds, **levels):\n    return speeds\n",
    ],
)
def test_what_could_be_seen_from_elsewhere_keeps_its_name(text: str) -> None:
    assert only(text) == text


def test_a_parameter_takes_no_name_that_its_function_or_module_knows() -> None:
    text = "import b\na = 1\ndef f(speed):\n    c = b.g(speed)\n    return [d for d in c]\n"
    assert only(text) == "import b\na = 1\ndef f(e):\n    c = b.g(e)\n    return [d for d in c]\n"


def test_what_ships_as_source_is_asked_too() -> None:
    text = "class A:\n    def f(self, speed):\n        self._speed = speed\n"
    beside = {"main.py": "import a\na.A().f(speed=1)\nprint(a.A()._speed)\n"}
    assert shorten({"substation/a.py": text}, beside) == ({"substation/a.py": text}, {})


def test_nothing_is_renamed_when_a_source_is_no_python() -> None:
    broken = {"substation/a.py": PUMP, "substation/b.py": "def f(:\n"}
    assert shorten(broken, {}) == (broken, {})


def family_attributes(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """The private attributes that each class mentions on `self`, with those of the classes above it."""
    own: dict[str, set[str]] = {}
    above: dict[str, set[str]] = {}
    for tree in trees.values():
        for klass in ast.walk(tree):
            if isinstance(klass, ast.ClassDef):
                own.setdefault(klass.name, set()).update(
                    node.attr
                    for node in ast.walk(klass)
                    if isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "self"
                )
                above.setdefault(klass.name, set()).update(
                    base.id for base in klass.bases if isinstance(base, ast.Name)
                )

    def all_of(name: str) -> set[str]:
        return own.get(name, set()).union(*(all_of(base) for base in above.get(name, ())))

    return {name: all_of(name) for name in own}


def test_in_the_firmware_no_class_has_one_name_for_two_attributes() -> None:
    content = {path: file.read_text() for path, file in sources(firmware_folder())}
    modules = {path: text for path, text in content.items() if path not in SOURCE_AT_ROOT}
    folded = constants.fold(modules)
    _, names = shorten(folded, {path: content[path] for path in SOURCE_AT_ROOT})
    classes = family_attributes({path: ast.parse(text) for path, text in folded.items()})
    assert len(names) > 200 and len(set(names.values())) < 60
    assert sum(len(attributes & set(names)) for attributes in classes.values()) > 300
    for name, attributes in classes.items():
        short = [names.get(attribute, attribute) for attribute in attributes]
        assert len(short) == len(set(short)), name
