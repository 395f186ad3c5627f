"""The bundle: complete, reproducible, provable, and the same program that the sources describe."""

import ast
import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.substation import registers
from tools import on_board
from tools.build import build_bundle, firmware_folder, read_bundle, without_row_texts, write_bundle
from tools.errors import ToolError

from .processes import DEADLINE_S, ROOT, toplovod


def files_in(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A firmware of a few files, for what does not hang on which and how many they are."""
    folder = tmp_path / "firmware"
    for path in ("boot.py", "main.py", "substation/registers.py", "substation/valve.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(firmware_folder() / path, folder / path)
    return folder


def test_the_bundle_holds_the_files_that_the_firmware_names(tmp_path: Path):
    named = runpy.run_path(str(firmware_folder() / "manifest.py"))["FILES"]
    bundle = write_bundle(tmp_path / "bundle")
    leads = json.loads((tmp_path / "bundle" / "manifest.json").read_text())["linked"]
    linked = {f"{leads.get(path.removesuffix('.py'), path.removesuffix('.py'))}.py" for path in named}
    assert {file.path.replace(".mpy", ".py") for file in bundle.files} == linked
    assert {f.path for f in bundle.files if f.path.endswith(".py")} == {"boot.py", "main.py"}


def test_the_manifest_tells_every_digest(tmp_path: Path):
    said = toplovod("build", "--out", tmp_path / "bundle", "--json")
    assert said.status == 0, said.err
    content = files_in(tmp_path / "bundle")
    manifest = json.loads(content.pop("manifest.json"))
    assert {f["path"]: f["sha256"] for f in manifest["files"]} == {
        path: hashlib.sha256(data).hexdigest() for path, data in content.items()
    }
    lines = "".join(f"{hashlib.sha256(content[path]).hexdigest()}  {path}\n" for path in sorted(content))
    assert manifest["sha256"] == said.json["sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_another_path_and_another_cache_give_the_same_bytes(tmp_path: Path, cache: Path):
    here = files_in(write_bundle(tmp_path / "one").folder)
    elsewhere = tmp_path / "a folder with another name"
    shutil.copytree(firmware_folder(), elsewhere, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(cache)
    assert files_in(write_bundle(tmp_path / "two", elsewhere).folder) == here


def test_a_changed_source_changes_the_hash_and_a_repeated_build_comes_from_the_cache(
    program: Path, cache: Path
):
    first = build_bundle(program)
    stamp = (first.folder / "manifest.json").stat().st_mtime_ns
    again = build_bundle(program)
    assert again == first and (again.folder / "manifest.json").stat().st_mtime_ns == stamp
    (program / "main.py").write_text((program / "main.py").read_text() + "# one comment more\n")
    assert build_bundle(program).sha256 != first.sha256


def test_a_damaged_cache_entry_is_made_anew(program: Path, cache: Path):
    first = build_bundle(program)
    victim = first.folder / first.files[0].path
    victim.write_bytes(victim.read_bytes() + b"x")
    assert build_bundle(program) == first
    read_bundle(first.folder)


def test_a_damaged_bundle_is_refused_by_name(tmp_path: Path):
    bundle = write_bundle(tmp_path / "bundle")
    (bundle.folder / "main.py").write_text("print('something else')\n")
    with pytest.raises(ToolError, match=r"main\.py") as caught:
        read_bundle(bundle.folder)
    assert caught.value.code == "bundle_damaged"


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    said = toplovod("build", "--out", tmp_path, "--json")
    assert (said.status, said.json["code"]) == (1, "not_a_bundle_folder")
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_firmware_that_does_not_compile_leaves_no_bundle(tmp_path: Path, program: Path, cache: Path):
    (program / "substation" / "valve.py").write_text("def broken(:\n")
    with pytest.raises(ToolError, match=r"substation/valve\.py") as caught:
        write_bundle(tmp_path / "out", program)
    assert caught.value.code == "firmware_does_not_compile"
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    block = tmp_path / "block"
    block.touch()
    said = toplovod("build", "--out", block / "bundle", "--json")
    assert (said.status, said.json["code"], said.json["changed"]) == (2, "cannot_write", False)


def test_builds_at_the_same_time_do_not_disturb_each_other(program: Path, cache: Path):
    """In processes of their own, as several commands would."""
    one = (
        "import pathlib, sys, tools.build; print(tools.build.build_bundle(pathlib.Path(sys.argv[1])).sha256)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", one, program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    digests = {process.communicate(timeout=DEADLINE_S)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert digests == {f"{build_bundle(program).sha256}\n"}


def test_the_register_map_loses_its_texts_and_nothing_else(tmp_path: Path):
    source = (firmware_folder() / "substation" / "registers.py").read_text()
    bare = without_row_texts(source)
    assert bare.count("\n") == source.count("\n")
    assert "Network water arriving" in source and "Network water arriving" not in bare
    rows: dict[str, object] = {}
    exec(compile(bare, "registers.py", "exec"), rows)
    assert [r[:-1] for r in rows["REGISTERS"]] == [tuple(r[:-1]) for r in registers.REGISTERS]  # type: ignore[attr-defined]


def test_the_vm_computes_the_same_map_hash_from_the_bundle(tmp_path: Path):
    bundle = write_bundle(tmp_path / "bundle")
    program = (
        f"import sys; sys.path[:] = [{str(bundle.folder)!r}]\n"
        "from substation import registers\nprint(registers.map_hash())"
    )
    done = subprocess.run(
        [sys.executable, "-m", "micropython", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) == registers.map_hash()


def test_what_the_tools_run_on_a_board_finds_its_names_there():
    names = build_bundle().names
    for program in on_board.PROGRAMS:
        tree = ast.parse(program)
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        called |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert called.isdisjoint(names), called & names.keys()
