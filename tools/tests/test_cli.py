"""The command line as a whole: its rooms, its exit statuses, errors that scripts can read."""

from pathlib import Path

import pytest

from tools.cli import assemble, command_names, rooms

from .processes import toplovod


def test_every_room_registers_its_commands_and_none_is_broken():
    app, broken = assemble()
    assert broken == {}
    assert [room.name for room in rooms()] == ["core_ext", "hil_tests", "supervisor", "tools"]
    assert command_names(app) >= {
        "demo", "emulate", "serve", "site", "solve", "balance", "registers", "read", "order", "build",
        "flash", "provision", "commission", "keys", "doctor", "user", "audit",
    }  # fmt: skip


def test_a_room_that_cannot_be_imported_costs_only_its_own_commands(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['supervisor.commands'] = None\n")
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    lost = toplovod("serve", "site.toml", env=env)
    assert lost.status == 1
    assert "room_not_loaded" in lost.err and "supervisor" in lost.err and "Nothing was changed" in lost.err
    assert toplovod("registers", "--json", env=env).status == 0


def test_a_room_with_a_broken_command_costs_only_its_own_commands(tmp_path: Path):
    """A signature is read when the command line is put together, after the import went well."""
    (tmp_path / "sitecustomize.py").write_text(
        "import hil_tests.commands as room\n"
        "@room.app.command()\n"
        "def broken(out: 'NoSuchName' = None) -> None: ...\n"
    )
    env = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"}
    assert toplovod("registers", "--json", env=env).status == 0
    lost = toplovod("emulate", env=env)
    assert lost.status == 1 and "room_not_loaded" in lost.err and "NoSuchName" in lost.err


def test_an_unknown_command_is_wrong_use():
    assert toplovod("levitate").status == 2


def test_an_error_has_a_code_and_no_traceback():
    said = toplovod("read", "127.0.0.1:1", "--timeout", "0.5")
    assert said.status == 3
    assert said.err.startswith("unreachable: 127.0.0.1:1 unit 1")
    assert "Traceback" not in said.err and "nothing was changed" in said.err


def test_an_error_as_json_says_whether_anything_was_changed():
    said = toplovod("read", "127.0.0.1:1", "--timeout", "0.5", "--json")
    assert said.status == 3
    assert said.json["code"] == "unreachable" and said.json["changed"] is False


@pytest.mark.parametrize("text", ["", ":502", "a:b", "house:0", "house:70000"])
def test_a_bad_address_is_wrong_use(text: str):
    said = toplovod("read", text, "--json")
    assert (said.status, said.json["code"]) == (2, "bad_address")


def test_help_is_printed_without_starting_anything():
    said = toplovod("--help")
    assert said.status == 0
    assert "commission" in said.out


def test_an_unexpected_failure_keeps_its_traceback(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import tools.register_table as t\n"
        "def broken(profile): raise ZeroDivisionError('of a bug')\n"
        "t.as_rows = broken\n"
    )
    said = toplovod("registers", env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"})
    assert said.status == 1
    assert "ZeroDivisionError: of a bug" in said.err
