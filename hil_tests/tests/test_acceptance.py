"""The limits file is whole, and nothing in this room judges by a number that does not stand there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import acceptance
from ..reading_yaml import BadFile

LIMIT = """format: toplovod-acceptance/1
limits:
  - id: cold
    what: a room
    relation: ">="
    value: 18
    unit: degC
    kind: standard
    source: a standard
    edition: "2020"
    clause: "4.2"
"""


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("    source: a standard\n", "", "cold (standard) has no source"),
        ("    clause: \"4.2\"\n", "", "cold (standard) has no clause"),
        ("kind: standard", "kind: own", "cold (own) has no reason"),
        ("unit: degC", "units: degC", "Write unit"),
    ],
)  # fmt: skip
def test_a_limit_without_its_source_is_refused(tmp_path, right, wrong, told):
    path = tmp_path / "limits.yaml"
    path.write_text(LIMIT)
    assert acceptance.read(path).limits["cold"].value == 18.0
    path.write_text(LIMIT.replace(right, wrong))
    with pytest.raises(BadFile) as caught:
        acceptance.read(path)
    assert told in str(caught.value)


def test_each_limit_of_the_bench_says_where_it_is_from_and_what_is_open_is_named():
    known = acceptance.acceptance()
    assert all(row.origin for row in known.limits.values())
    assert {"F:103-7", "EN 12098-1"} <= {row.id for row in known.open}


def test_no_test_asks_for_a_limit_that_the_file_has_not():
    room = Path(acceptance.__file__).parent
    known = set(acceptance.acceptance().limits)
    asked = {}
    for path in room.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id == "limit":
                where = f"{path.name} line {call.lineno}"
                assert isinstance(call.args[0], ast.Constant), f"{where}: name the limit"
                asked[call.args[0].value] = where
            elif getattr(call.func, "id", "") == "judged" and isinstance(call.args[2], ast.Constant):
                asked[call.args[2].value] = f"{path.name} line {call.lineno}"
    assert asked, "no limit is used at all"
    assert {name: where for name, where in asked.items() if name not in known} == {}


# What an own number of a module may not be called, because it judges.
JUDGES = frozenset(
    ("FLOOR", "COST", "LIMIT", "LEAST", "MOST", "WITHIN", "NEAR", "BAND", "LEEWAY", "BELOW", "ABOVE", "GOAL")
)
# ... and these judge nothing of the product: what a host takes, how a plant is sized, what a user may ask.
NO_LIMITS = {
    "attended_town.py": {"ANSWER_WITHIN_S"},  # real time of a host
    "bench/board.py": {"SOUND_WITHIN_S"},
    "bench/board_target.py": {"ANSWERS_WITHIN_S", "REFUSES_WITHIN_S"},
    "bench/emulated_target.py": {"STARTS_WITHIN_S"},
    "bench/modbus_rtu.py": {"ANSWER_WITHIN_S"},
    "demo.py": {"LIVE_WITHIN_S"},
    "test_attack_is_alarmed.py": {"RESPOND_WITHIN_S"},  # what the supervisor's own table says
    "test_demo.py": {"UP_WITHIN_S"},
    "test_protection_stays.py": {"NOTICED_WITHIN_S"},
    "test_update.py": {"COMMANDED_WITHIN_S"},
    "bench/faults/actuator_faults.py": {"LEAST_LEAK_M3_H"},  # whether the valve leaks as asked
    "bench/faults/mischief_faults.py": {"NEAR_B"},  # whether the heap was taken as asked
    "tests/test_board_machine.py": {"WITHIN_S"},
    "tests/test_board_mpremote.py": {"WITHIN_S"},
    "tests/test_rom_loader.py": {"WITHIN_S"},
    "tests/test_uf2_drive.py": {"WITHIN_S"},
    "test_stories_anywhere.py": {"NOTICED_WITHIN_S"},
    "tests/test_beside.py": {"WITHIN_S"},
    "tests/test_board_interrupt.py": {"WITHIN_S"},
    "tests/test_board_watchdog.py": {"WITHIN_S"},
    "bench/plant/building.py": {"LEAST_THERMOSTAT_SHARE"},  # the plant itself
    "bench/plant/exchanger.py": {"LEAST_FLOW_KG_S"},
    "bench/plant/heat_meter.py": {"FLOW_MPE_MOST_PCT"},
    "bench/plant/sensors.py": {"BAND_K", "BAND_SHARE"},
    "bench/plant/sizing.py": {"PRESSURE_LOSS_LIMIT_PA_M", "LOWER_LIMITS_PA_M"},
    "scenario_file.py": {"MOST_STATIONS"},  # what a file may ask for
    "test_power_cuts.py": {"LEAST_CUTS"},  # how much a run must try
}
# Assertions of stories about a quantity that judge nothing: arithmetic, or whether the bench did anything.
FACTS = {
    "test_heat_meters.py": (
        "== pytest.approx(house.meter.",  # a register beside the display it was read from: resolution and age
        "house.truth()[1]) < 20.0",  # a flipped bit would show hundreds
        "house.read('meter1_flow_m3_h') < 3.0",
    ),
    "test_same_seed.py": ("plant_flow_kg_s > 0.1",),  # something moved at all
    "test_supervisor_silent.py": ("== pytest.approx(42.0, abs=0.2)",),  # 40 degC and a minute of slew
    "test_week.py": (
        "room_mean_difference_k'] ==",
        "index_dp_mean_bar'] < 2.0",
    ),  # made up; what it holds
    "test_without_time.py": ("approx(by_curve_c,",),  # the curve's arithmetic, and its resolution
    "test_year.py": ("heating_kwh'] > 1.0", "dhw_kwh'] > 1.0"),  # heat was given at all
}
UNIT = re.compile(r"_(c|k|pct|bar|kw|kwh|m3_h|kg_s)\b")


def number(node: ast.AST) -> bool:
    """Say whether it is a number written down: a literal, or nothing but literals reckoned with."""
    if isinstance(node, ast.UnaryOp):
        return number(node.operand)
    if isinstance(node, ast.BinOp):
        return number(node.left) and number(node.right)
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(number(part) for part in node.elts)
    if isinstance(node, ast.Dict):
        return bool(node.values) and all(number(part) for part in node.values)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def assigned(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Give every name of a module's own level with what it is set to."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                yield target.id, value
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from (
                    (name.id, part)
                    for name, part in zip(target.elts, value.elts, strict=True)
                    if isinstance(name, ast.Name)
                )


def orders(node: ast.AST) -> Iterator[tuple[ast.Compare, list[ast.expr]]]:
    """Give every comparison by size in it, with its sides."""
    for part in ast.walk(node):
        if isinstance(part, ast.Compare) and any(
            isinstance(sign, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for sign in part.ops
        ):
            yield part, [part.left, *part.comparators]


def own_limits(name: str, text: str) -> list[str]:
    """Return what in a module judges by a number of its own; empty where all limits are of the file.

    Looked at: names that say so, the limit of a Check or what it compares with, the judged times of a fault
    case, and in a story (test_*.py of the room itself) assertions about a quantity with a unit.
    """
    tree = ast.parse(text)
    own = {constant for constant, value in assigned(tree) if number(value)}
    allowed = NO_LIMITS.get(name, set())
    found = [
        f"{name}: {constant}" for constant in sorted(own)
        if JUDGES & set(constant.split("_")) and constant not in allowed
    ]  # fmt: skip

    def written(node: ast.AST) -> bool:
        return number(node) or any(isinstance(part, ast.Name) and part.id in own for part in ast.walk(node))

    def tell(node: ast.expr, what: ast.AST) -> None:
        found.append(f"{name} line {node.lineno}: {ast.unparse(what)}")

    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = getattr(call.func, "id", "")
        given = {word.arg: word.value for word in call.keywords if word.arg}
        if called == "Check" and (len(call.args) > 2 or "limit" in given):
            judged_by = given.get("limit") or call.args[2]
            if any(written(part) for part in ast.walk(judged_by)):
                tell(call, judged_by)
        elif called == "Check":
            for compared, sides in orders(call):
                if any(number(side) and ast.unparse(side) not in ("0", "0.0", "1") for side in sides):
                    tell(call, compared)
        elif called == "Plan" and "faults/" in name:
            times = [part for i, part in enumerate(call.args) if i in (2, 4)]
            times += [given[word] for word in ("detect_s", "react_s", "recover_s") if word in given]
            for time in times:
                if written(time):
                    tell(call, time)
    if "/" not in name and name.startswith("test_"):
        for statement in (node for node in ast.walk(tree) if isinstance(node, ast.Assert)):
            said = ast.unparse(statement.test)
            sized = any(
                number(side) and UNIT.search(ast.unparse(compared))
                for compared, sides in orders(statement) for side in sides
                if ast.unparse(side) not in ("0", "0.0")
            )  # fmt: skip
            near = any(
                word.arg in ("abs", "rel") and number(word.value) and UNIT.search(said)
                for call in ast.walk(statement) if isinstance(call, ast.Call) for word in call.keywords
            )  # fmt: skip
            if (sized or near) and not any(fact in said for fact in FACTS.get(name, ())):
                tell(statement.test, statement.test)
    return found


def test_nothing_judges_by_a_number_of_its_own():
    room = Path(acceptance.__file__).parent
    found = []
    for path in sorted(room.rglob("*.py")):
        found += own_limits(path.relative_to(room).as_posix(), path.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("a.py", 'Check("room", 19, 18.0, ">=", "C", "")', 'Check("room", 19, limit("a"), ">=", "C", "")'),
        ("a.py", 'COLD = 18\nCheck("room", 19, limit=COLD, unit="degC")', 'judged("room", 19, "a")'),
        ("a.py", 'Check("dp", 1, -1e5 * 2, "<", "Pa", "")', 'Check("dp", 1, wanted.value, "<", "Pa", "")'),
        ("a.py", 'Check("warm", lambda rig: rig.c >= 18.0)', 'Check("warm", lambda rig: rig.c >= WARM_C)'),
        ("faults/a.py", "SOON_S = 30.0\nPlan(make, detect_s=SOON_S)", "Plan(make, detect_s=limit('a'))"),
        ("faults/a.py", "Plan(make, detect, 30.0, reacts)", "Plan(make, detect, SOON_S, span_s=30.0)"),
        ("bench/a.py", "ROOM_FLOOR_C = 18.0", "ROOM_FLOOR_C = limit('a')"),
        ("bench/a.py", "COLD, ABOVE_C = 18.6, 21.4", "COLD, ABOVE_C = 20.0 - limit('a'), 20.0 + limit('a')"),
        ("bench/a.py", "HEAP_LEEWAY_B: int = 2**10", "THERMOSTAT_B: int = 2**10"),
        ("test_a.py", "assert read('room_temp_c') > 18", "assert read('room_temp_c') > limit('a')"),
        ("test_a.py", "assert room_c == approx(20, abs=2.0)", "assert room_c == approx(20, abs=limit('a'))"),
    ],
)  # fmt: skip
def test_a_number_of_ones_own_is_found(name, wrong, right):
    assert len(own_limits(name, wrong)) == 1
    assert own_limits(name, right) == []
