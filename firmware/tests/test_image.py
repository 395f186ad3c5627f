"""The digest of the running program, and the list of its files."""

import hashlib
from pathlib import Path

from firmware import manifest
from firmware.substation import image

FIRMWARE = Path(__file__).parent.parent


def test_the_manifest_lists_every_file_of_the_program():
    program = {
        path.relative_to(FIRMWARE).as_posix()
        for path in FIRMWARE.rglob("*.py")
        if not {"tests", "__pycache__"} & set(path.relative_to(FIRMWARE).parts)
    } - {"__init__.py", "board_facts.py", "documentation.py", "function_tables.py", "manifest.py"}
    assert sorted(manifest.FILES) == sorted(program)


def test_the_digest_covers_names_and_contents(tmp_path):
    for folder in image.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "boot.py").write_text("1")
    (tmp_path / "main.py").write_text("2")
    (tmp_path / "substation" / "app.mpy").write_bytes(bytes(2000))
    (tmp_path / "substation" / "notes.txt").write_text("not program")
    (tmp_path / "site.json").write_text("not program")
    root = f"{tmp_path}/"
    lines = "".join(
        f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("boot.py", "main.py", "substation/app.mpy")
    )
    assert image.digest(root) == hashlib.sha256(lines.encode()).digest()
    before = image.digest(root)
    (tmp_path / "substation" / "app.mpy").rename(tmp_path / "boards" / "app.mpy")
    assert image.digest(root) != before


def test_the_vm_computes_the_same_digest(in_vm):
    printed = in_vm(f"from substation import image\nprint(list(image.digest({str(FIRMWARE) + '/'!r})))\n")
    assert printed.strip() == str(list(image.digest(f"{FIRMWARE}/")))
