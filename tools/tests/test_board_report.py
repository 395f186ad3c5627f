"""What the firmware needs of each board: one program for all, honest figures, and a page that keeps up."""

import json
import re

import pytest

from tools.board_pages import page, pin_map
from tools.board_report import BoardNeed, SiteHeap, board_facts, report
from tools.build import SMALL_INT_BITS, build_bundle, read_bundle
from tools.errors import ToolError

from .processes import ROOT, toplovod

ARCHITECTURES = sorted({facts.architecture for facts in board_facts().values()})
NUMBER = re.compile(r"\d+(?: \d{3})+")
KEEPS_UP_PCT = 5  # the page is written anew when a figure has moved by more


@pytest.fixture(scope="module")
def told():
    return report()


def test_there_is_an_architecture_for_each_kind_of_chip():
    assert ARCHITECTURES == ["armv6m", "armv7emdp", "armv7emsp", "xtensawin"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_bundle_is_the_same_for_every_chip(architecture, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing may come from an earlier build
    bundle = build_bundle(architecture=architecture)
    assert bundle.sha256 == build_bundle().sha256
    assert bundle.folder != build_bundle().folder


def test_every_module_is_bytecode_for_31_bit_integers_without_machine_code():
    bundle = build_bundle()
    compiled = [bundle.folder / file.path for file in bundle.files if file.path.endswith(".mpy")]
    assert len(compiled) > 50
    for path in compiled:
        letter, _, flags, bits = path.read_bytes()[:4]
        assert (chr(letter), flags >> 2, bits) == ("M", 0, SMALL_INT_BITS), path.name


def test_a_board_by_name_gives_the_same_program(tmp_path):
    for choice in (("--board", "w5500_evb_pico"), ("--arch", "xtensawin")):
        said = toplovod("build", "--out", tmp_path / choice[1], *choice, "--json")
        assert said.status == 0, said.err
        assert read_bundle(tmp_path / choice[1]).sha256 == said.json["sha256"] == build_bundle().sha256


@pytest.mark.parametrize(
    ("choice", "status", "words"),
    [
        (("--board", "toaster"), 2, "w5500_evb_pico, w5500_evb_pico2, olimex_esp32_poe, nucleo_h743"),
        (("--board", "nucleo_h743"), 1, "the board has 98304"),
        (("--arch", "z80"), 1, "arch"),
        (("--board", "w5500_evb_pico", "--arch", "armv6m"), 2, "one of the two"),
    ],
)
def test_what_cannot_be_built_is_refused_and_leaves_nothing(tmp_path, choice, status, words):
    said = toplovod("build", "--out", tmp_path / "bundle", *choice)
    assert said.status == status
    assert words in said.err
    assert not (tmp_path / "bundle").exists()


def test_without_a_folder_there_must_be_a_report():
    said = toplovod("build")
    assert said.status == 2 and "--out" in said.err


def test_the_report_has_every_board_and_its_sums_are_right(told):
    bundle, heaps, needs = told
    assert [need.board for need in needs] == list(board_facts())
    size = sum(file.bytes for file in bundle.files)
    for need in needs:
        assert need.image_b == size < need.one_copy_b < need.all_copies_b < 3 * need.one_copy_b
        assert need.heap_need_b < need.heap_b, need.board
        assert need.heap_need_b == max(h.peak_32_b for h in heaps if h.site == need.site)
    assert [need.flash_verdict for need in needs] == ["all", "all", "first", "none"]
    for heap in heaps:
        # a 32-bit chip needs more than half, because bytecode stays as large, and less than the whole
        assert heap.in_use_64_b / 2 < heap.in_use_32_b < heap.peak_32_b < heap.peak_64_b
        assert 30_000 < heap.bytecode_b < heap.in_use_64_b / 2
    assert max(heaps, key=lambda h: h.in_use_64_b).site == "the same with instantaneous DHW"


def test_the_conversion_leaves_bytecode_as_it_is():
    heap = SiteHeap("a site", peak_64_b=1_200, in_use_64_b=1_000, bytecode_b=400)
    assert (heap.in_use_32_b, heap.peak_32_b) == (700, 900)


@pytest.mark.parametrize(
    ("copies", "heap", "verdict", "fits"),
    [
        (3, 5, "all", True), (2, 5, "first", True), (1, 5, "one", True), (0, 5, "none", False),
        (3, 7, "all", False),
    ],
)  # fmt: skip
def test_a_verdict_is_about_flash_and_heap(copies, heap, verdict, fits):
    need = BoardNeed("b", "c", "a", 32, 1, 10, 30, copies, 30, "", 6, "", "s", heap)
    assert (need.flash_verdict, need.fits) == (verdict, fits)


def test_the_report_as_json_is_the_same(told):
    said = toplovod("build", "--report", "--json")
    assert said.status == 0, said.err
    bundle, heaps, needs = told
    assert said.json["sha256"] == bundle.sha256
    assert [site["site"] for site in said.json["sites"]] == [heap.site for heap in heaps]
    assert [(board["board"], board["fits"]) for board in said.json["boards"]] == [
        (n.board, n.fits) for n in needs
    ]
    assert json.dumps(said.json)


def numbers(text):
    return [int(found.replace(" ", "")) for found in NUMBER.findall(text)]


def test_the_page_on_boards_keeps_up(told):
    written = (ROOT / "docs" / "boards.md").read_text()
    anew = page(*told)
    assert NUMBER.sub("N", written) == NUMBER.sub("N", anew), "run: make docs"
    was, now = numbers(written), numbers(anew)
    assert len(now) > 40
    for old, new in zip(was, now, strict=True):
        assert abs(new - old) * 100 <= KEEPS_UP_PCT * new, f"{old} on the page is {new} now; run: make docs"


def test_every_wiring_plan_has_the_independent_thermostat(told):
    """S5: software is never the only protection against scalding."""
    text = page(*told)
    plans = re.split(r"^## ", text, flags=re.M)
    pins = [plan for plan in plans if "| pin | substation |" in plan]
    assert len(pins) == 3
    for plan in pins:
        assert "| no pin | safety thermostat EN 14597 in the actuator's supply |" in plan
    assert "series with the actuator" in text


def test_the_page_names_every_pin_of_every_board(told):
    text = page(*told)
    for board in board_facts():
        for line in (pin_map(board).RS485, pin_map(board).MBUS):
            for pin in line[1:]:
                assert re.search(rf"\| (GP|GPIO)?{pin} \|", text), (board, pin)


def test_a_broken_vm_is_told(monkeypatch):
    monkeypatch.setattr("tools.board_report.HEAP", "20k")
    with pytest.raises(ToolError, match="one heating circuit") as caught:
        report()
    assert caught.value.code == "vm_failed"
