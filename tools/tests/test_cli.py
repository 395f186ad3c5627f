"""The command line as a whole: its rooms, its exit statuses, errors that scripts can read."""

from importlib import metadata
from pathlib import Path

import pytest

from tools.cli import assemble, command_names, rooms

from .processes import free_port, toplovod


def test_every_room_registers_its_commands_and_none_is_broken():
    app, broken = assemble()
    assert broken == {}
    assert [room.name for room in rooms()] == ["core_ext", "hil_tests", "supervisor", "tools"]
    assert command_names(app) >= {
        "demo", "emulate", "serve", "site", "solve", "balance", "outages", "convert", "registers", "read",
        "order", "build", "flash", "provision", "commission", "keys", "restore", "doctor", "user", "audit",
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


def test_an_unreachable_controller_is_told_apart_by_cause():
    refused = toplovod("read", f"127.0.0.1:{free_port()}", "--json")
    assert (refused.status, refused.json["code"]) == (3, "unreachable")
    assert "nothing listens" in refused.json["message"]
    unnamed = toplovod("read", "no-such-host.invalid", "--json")
    assert (unnamed.status, unnamed.json["code"]) == (3, "unreachable")
    assert "no such host name" in unnamed.json["message"]


def test_the_version_is_that_of_the_distribution():
    assert toplovod("--version").out.strip() == metadata.version("toplovod")


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


@pytest.mark.parametrize(
    "refusal",
    [
        "OSError(28, 'No space left on device', '/data/part')",
        "shutil.Error([('/a', '/data/part', '[Errno 28] No space left on device: x')])",
    ],
)
def test_what_the_system_refuses_is_one_sentence(tmp_path: Path, refusal: str):
    (tmp_path / "sitecustomize.py").write_text(
        "import shutil\n"
        "import tools.register_table as t\n"
        f"def broken(profile): raise {refusal}\n"
        "t.as_rows = broken\n"
    )
    env = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"}
    said = toplovod("registers", env=env)
    assert said.status == 1
    assert said.err.startswith("system_refused: /data/part: ") and "No space left on device" in said.err
    assert "Traceback" not in said.err
    assert toplovod("registers", "--json", env=env).json["changed"] is None
    assert "Traceback" in toplovod("registers", env={**env, "TOPLOVOD_TRACEBACK": "1"}).err


def test_ctrl_c_while_the_rooms_load_is_silent(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import typer\ndef ctrl_c(app): raise KeyboardInterrupt\ntyper.main.get_command = ctrl_c\n"
    )
    said = toplovod("registers", env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"})
    assert (said.status, said.out, said.err) == (130, "", "")
