"""The docs: every link leads somewhere, every command and make target they name exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from tools.checks.shown_output import renewed, without_rounding
from tools.cli import assemble, command_names

from .processes import ROOT

SKIP = {".venv", "node_modules", "build", ".git", ".pytest_cache"}
PAGES = sorted(p for p in ROOT.rglob("*.md") if not SKIP & set(p.relative_to(ROOT).parts))
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


def links(page: Path) -> list[str]:
    text = CODE.sub("", page.read_text())
    return [a or b for a, b in LINK.findall(text) if not re.match(r"[a-z]+:", a or b)]


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)} points to {link}"
        if anchor:
            assert anchor in headings(target), f"{page.relative_to(ROOT)} points to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_named_exists(page: Path):
    app, broken = assemble()
    assert broken == {}
    named = set(re.findall(r"^\s*toplovod ([a-z]+)|`toplovod ([a-z]+)", page.read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= command_names(app)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_shown_can_be_given_like_that(page: Path):
    """Arguments and options only are read, nothing runs: what is missing or unknown is an error here."""
    app, _ = assemble()
    whole = typer.main.get_command(app)
    for block in CODE.findall(page.read_text()):
        for line in re.findall(r"^toplovod (.*)$", block, re.MULTILINE):
            command, words = whole, shlex.split(line, comments=True)
            while hasattr(command, "commands"):
                assert words and words[0] in command.commands, line
                command = command.commands[words.pop(0)]
            command.make_context(line, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_make_target_named_exists(page: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^\s*make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert {a or b for a, b in named} <= targets


def test_the_outputs_shown_are_those_of_the_commands():
    page = (ROOT / "docs" / "networks.md").read_text()
    text, pictures = renewed(page)
    assert without_rounding(text) == without_rounding(page), "run: make docs"
    assert text.count("$ toplovod") == page.count("$ toplovod") >= 8
    for name, drawn in pictures.items():
        assert (ROOT / "docs" / "images" / name).read_text() == drawn, "run: make docs"
        assert f"images/{name}" in page


def test_a_shown_output_that_is_old_is_found():
    page = "```console\n$ toplovod solve nowhere.json\nall is well\n```\n"
    text, _ = renewed(page)
    assert "No such file or directory" in text and text.endswith("[exit status 2]\n```\n")
    assert without_rounding(text) != without_rounding(page)
    with pytest.raises(ValueError, match="only toplovod is run"):
        renewed("```console\n$ rm -rf nothing\n```\n")


def test_every_decision_is_in_the_list():
    folder = ROOT / "docs" / "decisions"
    listed = set(links(folder / "README.md"))
    assert listed == {p.name for p in folder.glob("0*.md")}


def test_the_architecture_names_files_that_exist():
    """A journey by file and function is worth nothing when the file has moved."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    missing = []
    room = ""
    for line in text.splitlines():
        heading = re.match(r"## .*?: `(\w+)/", line)
        if heading:
            room = heading.group(1)
        for name in re.findall(r"`([\w/]+\.py)`", line):
            if not any((ROOT / base / name).exists() for base in ("", room, "supervisor", "firmware")):
                missing.append(name)
    assert missing == []


def test_every_module_says_what_it_is_for_and_what_it_refuses():
    silent = []
    for room in ("tools",):
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text()
            if path.name == "__init__.py" or "tests" in path.parts:
                continue
            if not text.startswith('"""') or "refuse" not in text.split('"""')[1]:
                silent.append(path.name)
    assert silent == []


def test_the_ladder_of_precedence_has_every_rank_with_its_number() -> None:
    """The diagram and the lists below it are made from the same declarations."""
    page = (ROOT / "docs" / "firmware.md").read_text()
    ladder = page.split("### The ladder")[1].split("```")[1]
    found = sorted(re.findall(r"\b\d+ [a-z_]+\b", ladder))
    listed = re.findall(r"^\| (\d+) \| `([a-z_]+)` \|", page, flags=re.M)
    assert len(listed) > 20 and found == sorted(f"{number} {rank}" for number, rank in listed)
