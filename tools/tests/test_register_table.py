"""The page docs/registers.md is what the code says, and says all of it."""

from pathlib import Path

from firmware.substation import registers
from supervisor.field.units import unit_of
from tools.controller import blocks
from tools.register_table import SECTIONS, as_markdown

from .processes import ROOT, toplovod


def test_the_page_in_the_docs_is_up_to_date():
    assert (ROOT / "docs" / "registers.md").read_text() == as_markdown(), "run: make docs"


def test_the_page_has_every_register_once():
    shown = [row.name for _, rows in SECTIONS for row in rows]
    assert sorted(shown) == sorted(row.name for row in registers.REGISTERS)
    page = as_markdown()
    assert all(page.count(f"| `{name}` | {unit_of(name)} |") == 1 for name in shown)


def test_the_command_gives_table_json_and_page():
    said = toplovod("registers", "--json", "--profile", "pump_station")
    assert said.json["map_hash"] == f"{registers.map_hash():08x}"
    assert [r["name"] for r in said.json["registers"]] == [
        r.name for r in registers.BY_PROFILE["pump_station"]
    ]
    assert toplovod("registers", "--markdown").out == as_markdown()
    assert "plant_dp_bar" in toplovod("registers").out
    assert toplovod("registers", "--profile", "palace").status == 2


def test_the_page_goes_to_a_file_or_nowhere(tmp_path: Path):
    page, block = tmp_path / "registers.md", tmp_path / "block"
    assert toplovod("registers", "--out", page).status == 0
    assert page.read_text() == as_markdown()
    block.touch()
    said = toplovod("registers", "--out", block / "registers.md", "--json")
    assert (said.status, said.json["code"], said.json["changed"]) == (2, "cannot_write", False)
    assert {file.name for file in tmp_path.iterdir()} == {"registers.md", "block"}


def test_every_value_with_a_unit_shows_it():
    unitless = {row.name.rsplit("_", 1)[1] for row in registers.REGISTERS if unit_of(row.name) == ""}
    assert unitless <= {"code", "number", "count", "bits"}


def test_reads_are_grouped_without_gaps_and_within_one_frame():
    for rows in registers.BY_PROFILE.values():
        groups = list(blocks(rows))
        assert sorted(r.name for group in groups for r in group) == sorted(r.name for r in rows)
        for group in groups:
            address = group[0].address
            for row in group:
                assert (row.space, row.address) == (group[0].space, address)
                address += registers.words_of(row)
            assert address - group[0].address <= 125
