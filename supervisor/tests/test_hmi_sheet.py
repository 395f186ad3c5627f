"""The sheet's colours can be read, alarm colours mean alarms alone, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..hmi import vendor
from ..hmi.pages import STATIC

SHEET = (STATIC / "css" / "toplovod.css").read_text(encoding="utf-8")
OURS = [
    path
    for folder in (STATIC, STATIC.parent / "templates")
    for path in folder.rglob("*")
    if path.is_file() and "vendor" not in path.parts
]

TEXTS = ("text", "text-muted", "text-live", "stale", "pen-1", "pen-2", "pen-3", "pen-4", "pen-5", "pen-6")
GROUNDS = ("ground", "panel", "raised")
ALARM = ("p1", "p2", "p3")


def palettes() -> dict[str, dict[str, str]]:
    day: dict[str, str] = {}
    night: dict[str, str] = {}
    for selector, body in re.findall(r"(:root(?:\[[^\]]+\])?)\s*\{(.*?)\}", SHEET, re.S):
        found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", body))
        (night if "night" in selector else day).update(found)
    return {"day": day, "night": {**day, **night}}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_of_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the known failing grey


@pytest.mark.parametrize("palette", ["day", "night"])
def test_every_text_can_be_read_on_every_ground(palette: str) -> None:
    colours = palettes()[palette]
    poor = {
        f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2)
        for text in TEXTS
        for ground in GROUNDS
        if contrast(colours[text], colours[ground]) < 4.5
    }
    for text in ("text", "text-muted"):  # heads and bars
        if contrast(colours[text], colours["sunken"]) < 4.5:
            poor[f"{text} on sunken"] = round(contrast(colours[text], colours["sunken"]), 2)
    if contrast(colours["ground"], colours["mark"]) < 4.5:  # the execute button
        poor["ground on mark"] = round(contrast(colours["ground"], colours["mark"]), 2)
    assert not poor


@pytest.mark.parametrize("palette", ["day", "night"])
def test_alarm_symbols_stand_out_and_their_digits_can_be_read(palette: str) -> None:
    colours = palettes()[palette]
    for name in ALARM:
        assert contrast(colours[name], colours[f"on-{name}"]) >= 4.5, name
        # fill or outline must stand off the ground by 3:1 (WCAG 1.4.11)
        for ground in GROUNDS:
            best = max(contrast(colours[name], colours[ground]), contrast(colours["edge"], colours[ground]))
            assert best >= 3.0, (name, ground)
    assert contrast(colours["select"], colours["ground"]) >= 3.0


@pytest.mark.parametrize("palette", ["day", "night"])
def test_grey_is_grey_and_colour_is_kept_for_alarms(palette: str) -> None:
    colours = palettes()[palette]
    for name in (
        "ground",
        "panel",
        "raised",
        "sunken",
        "line",
        "line-strong",
        "pipe",
        "mark",
        "band",
        "hatch",
    ):
        parts = [int(colours[name][i : i + 2], 16) for i in (1, 3, 5)]
        assert max(parts) - min(parts) <= 16, name
    used = re.sub(r":root.*?\}", "", SHEET, flags=re.S)
    for line in used.splitlines():
        if re.search(r"var\(--(on-)?p[123]\)", line):
            assert ".symbol" in line, line


def test_no_file_of_ours_points_to_another_host() -> None:
    for path in OURS:
        for address in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*", path.read_text(encoding="utf-8")):
            assert address.startswith("http://www.w3.org/"), f"{path.name}: {address}"


def test_no_page_needs_what_its_policy_forbids() -> None:
    for path in OURS:
        if path.suffix != ".html":
            continue
        content = path.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*(src=|application/json))", content), path.name
        assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", content), path.name


def test_the_third_party_part_is_the_pinned_one() -> None:
    assert vendor.missing() == []
    lock = (Path(vendor.__file__).parent / "package-lock.json").read_text()
    assert "resolved" not in lock and lock.count('"integrity"') == 2


def test_a_changed_third_party_file_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "uplot"
    (source / "dist").mkdir(parents=True)
    for file, _ in vendor.FILES.values():
        (source / file).write_text("something else")
    monkeypatch.setattr(vendor, "SOURCE", source)
    monkeypatch.setattr(vendor, "TARGET", tmp_path / "vendor")
    with pytest.raises(vendor.VendorError, match="another digest"):
        vendor.copy()
    assert not (tmp_path / "vendor").exists()
