"""Linked modules: one name for each thing, the same program, and no site that loads what it does without."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..build import build_bundle, firmware_folder
from ..errors import ToolError
from ..linking import GROUPS, leads, link
from ..unused import without_unused

GROUP = {"substation/loop": ("valve", "loop")}
VALVE = """\
RECORD = "valve"

def build(n):
    return [RECORD, n, min(n, 2)]
"""


def linked(loop: str, valve: str = VALVE, **others: str) -> dict[str, str]:
    sources = {"substation/valve.py": valve, "substation/loop.py": loop}
    return link({**sources, **{f"substation/{name}.py": text for name, text in others.items()}}, GROUP)


def run(text: str, expression: str) -> object:
    names: dict[str, object] = {}
    exec(compile(text, "linked", "exec"), names)
    return eval(expression, names)


def test_two_modules_become_one_that_does_the_same() -> None:
    loop = "from .valve import build\nRECORD = 'loop'\ndef run(min):\n    return build(min), RECORD, min\n"
    out = linked(loop)
    assert set(out) == {"substation/loop.py"}
    assert run(out["substation/loop.py"], "run(7)") == (["valve", 7, 2], "loop", 7)


def test_a_builtin_of_one_is_no_function_of_the_other() -> None:
    loop = "from .valve import build\ndef min(n):\n    return 'mine'\n"
    loop += "def run():\n    return build(7), min(7)\n"
    assert run(linked(loop)["substation/loop.py"], "run()") == (["valve", 7, 2], "mine")


def test_imports_in_functions_and_of_modules_are_seen_through() -> None:
    loop = (
        "from . import valve as v\ndef run():\n    from .valve import build as b\n    return b(1), v.RECORD\n"
    )
    assert run(linked(loop)["substation/loop.py"], "run()") == (["valve", 1, 1], "valve")


def test_whoever_reads_from_a_member_reads_from_its_lead() -> None:
    other = "from . import valve\nfrom .valve import RECORD as R\nx = valve.build(R)\n"
    text = linked("RECORD = 1\n", other=other)["substation/other.py"]
    assert re.fullmatch(
        r"from . import loop as valve\nfrom .loop import RECORD\d as R\nx = valve.build\(R\)", text
    )


@pytest.mark.parametrize(
    ("loop", "why"),
    [
        ("from . import valve\nprint(valve)\n", "used as a value"),
        ("from .valve import nothing\n", "not substation/valve.py's own"),
    ],
)
def test_what_it_cannot_see_through_ends_the_build(loop: str, why: str) -> None:
    with pytest.raises(ToolError, match=why) as caught:
        linked(loop)
    assert caught.value.code == "cannot_link"


def test_a_source_that_is_no_python_is_left_to_the_compiler() -> None:
    broken = {"substation/valve.py": "def f(:\n", "substation/loop.py": "x = 1\n"}
    assert link(broken, GROUP) == broken


def test_every_member_is_there_and_in_one_group() -> None:
    members = [name for names in GROUPS.values() for name in names]
    assert len(members) == len(set(members))
    assert all((firmware_folder() / f"{path}.py").is_file() for path in leads())
    assert all(lead.rpartition("/")[2] == names[-1] or lead in leads() for lead, names in GROUPS.items())


def test_what_nobody_mentions_is_left_out_and_what_a_word_may_mean_stays() -> None:
    text = (
        "def used(): return 1\ndef dead(): return dying() + dead()\ndef dying(): return 2\n"
        "class A:\n    def m(self): return used()\n    def gone(self): return 2\n"
        "    def _frost(self): return 3\n"
        "a = A().m\nRANKS = ('frost',)\nprint(a, RANKS)\n"
    )
    out = without_unused({"substation/a.py": text}, {})["substation/a.py"]
    assert "def used" in out and "_frost" in out and "gone" not in out and "dead" not in out
    assert "dying" not in out


def test_every_name_of_the_bundle_is_bound(tmp_path: Path) -> None:
    """A name left out, or renamed in one place alone, would be found where it is used: maybe years later."""
    import ast
    import builtins

    from ..build import SOURCE_AT_ROOT, _prepared, source_digest
    from ..scopes import scopes_of

    content, _ = _prepared(firmware_folder(), source_digest(firmware_folder()))
    tops = {}
    for path, text in content.items():
        for scope in scopes_of(ast.parse(text)):
            if scope.outer is None:
                tops[path] = scope.bound
            for node in scope.nodes:
                if isinstance(node, ast.Name):
                    known = (
                        scope.owner(node.id)
                        or node.id in dir(builtins)
                        or node.id in ("const", "__file__", "__name__")
                    )
                    assert known, f"{path}: {node.id}"
    for path, text in content.items():
        if path in SOURCE_AT_ROOT:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                target = f"{path.rpartition('/')[0]}/{node.module}.py"
                assert {alias.name for alias in node.names} <= tops[target], (path, node.module)


def test_every_module_of_the_bundle_loads_by_itself(tmp_path: Path) -> None:
    """Each is asked for in a VM of its own, whatever was loaded before."""
    bundle = build_bundle()
    stems = sorted({lead.rpartition("/")[2] for lead in leads().values()})
    for stem in stems:
        program = f"import sys; sys.path[:] = [{str(bundle.folder)!r}, '.frozen']\nimport substation.{stem}\n"
        done = subprocess.run(
            [sys.executable, "-m", "micropython", "-X", "heapsize=192k", "-c", program],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0 and not done.stderr, stem + done.stdout + done.stderr
