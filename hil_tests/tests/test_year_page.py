"""The page of the year holds what the kept year came to, and no part of it passes for a whole one."""

from __future__ import annotations

import json

import pytest

from hil_tests.year_page import BEGIN, END, KEPT, PAGE, markdown, page

from ..test_year import slice_of

ORIGIN = {"firmware_sha256": "ab" * 32, "seed": 1, "slice_days": 1, "tick_ms": 2000, "heap": "240k"}


def kept(*keys: str) -> dict[str, object]:
    return {"provenance": ORIGIN, "slices": {key: slice_of(1.0) for key in keys}}


def test_the_page_is_made_from_the_kept_year() -> None:
    text = PAGE.read_text()
    section = text.partition(BEGIN)[2].partition(END)[0]
    assert page(text, section) == text
    if KEPT.exists():
        assert section == markdown(json.loads(KEPT.read_text())), "run python -m hil_tests.year_page"


def test_a_part_says_so_and_names_its_days() -> None:
    text = markdown(kept("000+1", "200+1"))
    assert "**2 of 365 days: not a year**" in text and "Days: 01-01, 07-20." in text
    assert "16 of 16 limits are kept" in text and "| DHW: strokes in a year |" in text


def test_slices_that_overlap_are_not_added_up() -> None:
    with pytest.raises(ValueError, match="overlap; the page was not written"):
        markdown(kept("000+3", "002+1"))


def test_a_page_without_its_marks_is_left_alone() -> None:
    for text in ("no marks", BEGIN + "only one", BEGIN + END + BEGIN + END):
        with pytest.raises(ValueError, match="two marks"):
            page(text, "new")
    assert page("a\n" + BEGIN + "old\n" + END + "z\n", "new\n") == "a\n" + BEGIN + "new\n" + END + "z\n"
