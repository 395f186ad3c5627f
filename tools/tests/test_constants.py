"""Constants written into the places that use them: what is folded, what is left, and that lines stay."""

from ..build import firmware_folder, sources
from ..constants import fold

LIMITS = """\
LOW = -5
HIGH = 3 * LOW + 100
FIRST, SECOND = range(2)
(
    RED,
    BLUE,
) = range(10, 12)
LARGE = 1 << 30
SEEN = 7
SHARE = 0.5
"""


def test_a_constant_is_written_out_and_its_name_is_gone() -> None:
    folded = fold({"substation/a.py": "STEP = 2 * 5\nLOW = -STEP\n\ndef f(x):\n    return x + STEP - LOW\n"})
    assert folded["substation/a.py"] == "\n\n\ndef f(x):\n    return x + 10 - (-10)\n"


def test_constants_of_another_module_need_no_import() -> None:
    user = (
        "from . import limits\n"
        "from .limits import (\n    BLUE,\n    HIGH as TOP,\n    SHARE,\n)\n"
        "\n"
        "def f():\n    from .limits import SECOND\n\n"
        "    return SECOND, TOP, BLUE, limits.LOW, SHARE, limits.LARGE\n"
    )
    folded = fold({"substation/limits.py": LIMITS, "substation/user.py": user})
    assert folded["substation/user.py"] == (
        "from . import limits\n"
        "from .limits import SHARE\n\n\n\n\n"
        "\n"
        "def f():\n    pass\n\n    return 1, 85, 11, (-5), SHARE, limits.LARGE\n"
    )
    lines = folded["substation/limits.py"].split("\n")
    assert [line for line in lines if line] == ["LARGE = 1 << 30", "SHARE = 0.5"]
    assert len(lines) == len(LIMITS.split("\n"))


def test_what_could_be_meant_otherwise_is_left_alone() -> None:
    for text in (
        "A = 1\nA = 2\n\ndef f():\n    return A\n",
        "A = 1\n\ndef f(A):\n    return A\n",
        "A = 1\n\ndef f():\n    global A\n    A = 2\n",
        "A = 1\n\ndef f():\n    for A in range(3):\n        pass\n",
        "A = True\n\ndef f():\n    return A\n",
        "A = len('x')\n\ndef f():\n    return A\n",
        "A = 1 // 0\n",
    ):
        assert fold({"substation/a.py": text})["substation/a.py"] == text


def test_a_name_that_may_be_looked_up_at_run_time_stays() -> None:
    folded = fold(
        {
            "substation/a.py": "A = 1\nB = 2\nC = 3\n\ndef f():\n    return A + B + C\n",
            "substation/b.py": "def f(module):\n    return module.A, getattr(module, 'B')\n",
        }
    )
    assert folded["substation/a.py"] == "A = 1\nB = 2\n\n\ndef f():\n    return 1 + 2 + 3\n"


def test_our_own_firmware_keeps_its_lines_and_compiles() -> None:
    modules = {path: file.read_text() for path, file in sources(firmware_folder()) if "/" in path}
    folded = fold(modules)
    changed = 0
    for path, text in folded.items():
        assert text.count("\n") == modules[path].count("\n"), path
        compile(text, path, "exec")
        changed += text != modules[path]
    assert changed > len(modules) // 2
