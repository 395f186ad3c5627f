"""Writes what a kept year came to into docs/year.md, between two marks; the prose around them is by hand.

`python -m hil_tests.year_page [year.json]` (part of `make docs`) takes the year that is kept beside it, or
keeps another first. It refuses to call a part of the year a year, and a year of other firmware today's.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

from .bench import kept
from .year import DAYS, FORMAT, YEAR_FILE, day_name, total
from .year_report import ROWS, checks_of, digest_of

KEPT = Path(__file__).parent / YEAR_FILE
PAGE = Path(__file__).parents[1] / "docs" / "year.md"
BEGIN, END = "<!-- what a year came to: begin -->\n", "<!-- what a year came to: end -->\n"
SEVERAL = 100.0  # from here on decimals say nothing


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= SEVERAL or value == int(value):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}"


def markdown(year: dict[str, Any]) -> str:
    """Return the section of a kept year."""
    spans = sorted([int(part) for part in key.split("+")] for key in year["slices"])
    if any(first + days > then for (first, days), (then, _) in itertools.pairwise(spans)):
        raise ValueError("slices of the kept year overlap; the page was not written")
    kpi = total(list(year["slices"].values()))
    origin = year["provenance"]
    days = kpi["days"]
    ran = "The whole year" if days >= DAYS else f"**{days:g} of {DAYS} days: not a year**"
    checks = checks_of(kpi)
    lines = [
        f"{ran}; firmware `{origin['firmware_sha256'][:8]}`, seed {origin['seed']}, slices of "
        f"{origin['slice_days']:g} days, tick {origin['tick_ms'] / 1000:g} s, heap {origin['heap']}; digest "
        f"of all that controller and plant did `{digest_of(year)[:16]}`. "
        f"{sum(check.passed for check in checks)} of {len(checks)} limits are kept.",
        "",
    ]
    if days < DAYS:
        lines += ["Days: " + ", ".join(_span(key) for key in sorted(year["slices"])) + ".", ""]
    lines += ["| judged | measured | limit | unit | |", "|---|---:|---:|---|---|"]
    lines += [
        f"| {check.name} | {_number(check.value)} | {check.relation} {check.limit:g} | {check.unit} | "
        f"{'' if check.passed else '**missed**'} |"
        for check in checks
    ]
    lines += ["", "| measured | | unit | |", "|---|---:|---|---|"]
    lines += [f"| {name} | {_number(kpi.get(key))} | {unit} | {note} |" for key, name, unit, note in ROWS]
    lines += [
        f"| Alarm `{name}` | {_number(100.0 * share)} | % | of looks, one every ten minutes |"
        for name, share in sorted(kpi["alarm_share"].items())
    ]
    return "\n".join(lines) + "\n"


def _span(key: str) -> str:
    first, days = (int(part) for part in key.split("+"))
    return day_name(first) if days == 1 else f"{day_name(first)} to {day_name(first + days - 1)}"


def page(text: str, section: str) -> str:
    """Return the page with the section put between its marks. ValueError where they are not there once."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"{PAGE.name} does not hold the two marks of a kept year once; it was not written")
    return before + begin + section + end + after


def main(arguments: list[str] | None = None) -> int:
    """Keep a year if one is named, and write the page; 0 done, 2 wrong use."""
    parser = argparse.ArgumentParser(description="Write what a kept year came to into docs/year.md.")
    parser.add_argument("year", type=Path, nargs="?", help="keep this year.json first")
    given = parser.parse_args(arguments)
    year = kept.load(given.year or KEPT, FORMAT)
    if year is None or not year.get("slices"):
        print(f"{given.year or KEPT}: no year of format {FORMAT}; nothing was written", file=sys.stderr)
        return 2
    PAGE.write_text(page(PAGE.read_text(), markdown(year)))
    if given.year:
        kept.save(KEPT, year)
    return 0


if __name__ == "__main__":
    sys.exit(main())
