"""Both languages say everything, and say it with the same facts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from firmware.substation import registers

from .. import orders
from ..alarms import RECORDS
from ..alarms.states import STATES
from ..coordinator import MODES
from ..field.blocks import BLOCKS, FUNCTIONS, METER_NUMBERS, METERS, VALUE_BLOCKS
from ..hmi import catalogue
from ..hmi.pages import PAGES
from ..latest import Link, Quality
from ..setpoints import LEASE_OWNERS

HMI = Path(catalogue.__file__).parent
SUPERVISOR = HMI.parent
SCRIPTS = sorted((HMI / "static" / "js").glob("*.js"))
TEMPLATES = sorted((HMI / "templates").glob("*.html"))
SL, EN = catalogue.strings("sl"), catalogue.strings("en")

# What only the command line or the start can say never reaches a screen.
NOT_OVER_HTTP = ("commands.py", "settings.py")
REFUSALS = {
    "Refusal", "NotLoggedIn", "NotAllowed", "NotFound", "Conflict", "Refused", "TooMany", "Unavailable",
}  # fmt: skip


def test_the_languages_have_the_same_keys_and_holes() -> None:
    assert set(SL) == set(EN)
    different = [key for key in SL if catalogue.holes(SL[key]) != catalogue.holes(EN[key])]
    assert not different
    assert not [key for key in SL if not SL[key].strip() or not EN[key].strip()]


def test_the_files_are_sorted_so_that_two_changes_rarely_meet() -> None:
    assert list(SL) == sorted(SL) and list(EN) == sorted(EN)


@pytest.mark.parametrize("path", SCRIPTS + TEMPLATES, ids=lambda path: path.name)
def test_every_text_a_page_asks_for_exists(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    plain = set(re.findall(r"\b(?:t|known)\(\s*[\"']([\w.]+)[\"']\s*[,)]", content))
    assert not sorted(plain - set(SL))
    # a key put together at run time: at least its beginning and its end must exist
    for start, end in re.findall(r"\b(?:t|known)\(\s*`([\w.]*)\$\{[^`]*?\}([\w.]*)`", content):
        assert any(key.startswith(start) and key.endswith(end) for key in SL), f"{start}…{end}"
    for start in re.findall(r"\bt\(\s*'([\w.]+\.)'\s*~", content):
        assert any(key.startswith(start) for key in SL), start


def test_no_text_is_left_over() -> None:
    used = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS + TEMPLATES)
    used += "\n".join(
        path.read_text() for path in SUPERVISOR.rglob("*.py") if "node_modules" not in path.parts
    )
    # beginnings of keys that are put together at run time
    built = set(re.findall(r"[`'\"]([a-z_.]+\.)(?:\$\{|\{|' ~)", used))
    built |= {"point.", "short.", "value.", "error.", "code.", "alarm.", "coordinator.why."}
    left = [key for key in SL if key not in used and not any(key.startswith(start) for start in built)]
    assert not left


def test_every_register_that_is_shown_has_a_name() -> None:
    for profile in registers.PROFILES:
        for block in VALUE_BLOCKS[profile]:
            for point in BLOCKS[profile][block].points:
                assert f"point.{point}" in SL, point
    for name in registers.ALARM_BITS:
        assert f"bit.{name}" in SL
    for name in registers.METER_BITS:
        assert f"meter.bit.{name}" in SL
    for lease in registers.LEASES:
        assert f"short.{lease.setpoint}" in SL
    for number in range(len(registers.REFUSALS)):
        assert f"value.last_refusal_number.{number}" in SL
    for number in range(len(LEASE_OWNERS)):
        assert f"value.lease_owner.{number}" in SL


def test_the_screen_of_a_station_shows_every_function_that_is_read() -> None:
    page = (SUPERVISOR / "hmi" / "static" / "js" / "substation_page.js").read_text(encoding="utf-8")
    listed = page.split("const FUNCTIONS = {")[1].split("};")[0]
    for profile in registers.PROFILES:
        (of_profile,) = re.findall(rf"  {profile}: \[(.*?)\]", listed, re.S)
        shown = re.findall(r'"(\w+)"', of_profile)
        assert sorted(shown) == sorted(BLOCKS[profile][FUNCTIONS].points)


def test_the_screen_of_a_station_shows_all_that_its_heat_meters_tell() -> None:
    page = (SUPERVISOR / "hmi" / "static" / "js" / "meters_panel.js").read_text(encoding="utf-8")
    shown = [
        name
        for listed in re.findall(r"^const [A-Z]+ = \[(.*)\]", page, re.M)
        for name in re.findall(r'"(\w+)"', listed)
    ]
    points = BLOCKS[registers.SUBSTATION][METERS].points
    assert sorted(f"meter{number}_{name}" for number in METER_NUMBERS for name in shown) == sorted(points)


def test_every_state_a_screen_can_meet_has_words() -> None:
    wanted = [f"quality.{q.name}" for q in Quality if q] + [f"quality.{q.name}.mark" for q in Quality if q]
    wanted += [f"link.{link.name}" for link in Link]
    states = (*orders.ACTIVE, *orders.ENDED)
    wanted += [f"state.{state}" for state in states] + [f"state.{state}.meaning" for state in states]
    wanted += [f"alarm.state.{state}" for state in STATES]
    wanted += [f"mode.{mode}" for mode in MODES] + [f"coordinator.ask.{mode}" for mode in MODES]
    wanted += [f"page.{name}" for _, _, name in PAGES]
    for record in RECORDS.values():
        wanted += [record.text_key, record.action_key, record.consequence_key]
    assert not [key for key in wanted if key not in SL]


def test_every_reason_of_the_coordinator_has_a_sentence() -> None:
    source = "".join(path.read_text() for path in (SUPERVISOR / "coordinator").glob("*.py"))
    reasons = {"index_low", "index_high", "index_held", "at_maximum", "at_minimum", "frozen", "over_share"}
    for reason in reasons:
        assert f'"{reason}"' in source and f"coordinator.why.{reason}" in SL
    named = set(re.findall(r"^    expected\[\"(\w+)\"\]|^\s+\"(\w+)\": round\(picture", source, re.M))
    assert named


def test_every_refusal_has_words_and_what_now() -> None:
    codes = {
        "device_lost": 503, "device_timeout": 504, "device_refused": 422, "unknown_map": 422,
        "bad_request": 422, "no_such_address": 404, "wrong_method": 405, "internal_error": 500,
    }  # fmt: skip
    from .. import errors

    for path in SUPERVISOR.rglob("*.py"):
        if "tests" in path.parts or "node_modules" in path.parts or path.name in NOT_OVER_HTTP:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in REFUSALS
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                codes[str(node.args[0].value)] = getattr(errors, node.func.id).http_status
    assert len(codes) > 50
    assert not sorted(code for code in codes if f"error.{code}" not in SL)
    without = [
        code
        for code, status in codes.items()
        if f"error.{code}.now" not in SL and f"error.status.{status}.now" not in SL
    ]
    assert not without


def test_every_end_of_an_order_has_words() -> None:
    source = (SUPERVISOR / "courier.py").read_text()
    codes = set(re.findall(r"_set\(\s*\w+, [A-Z]+, \"(\w+)\"", source))
    assert {"superseded", "lease_ended", "not_effective"} <= codes
    assert not sorted(code for code in codes if f"code.{code}" not in SL)


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        ("en", "sl", "en"),
        (None, "en-GB,en;q=0.9", "en"),
        (None, "de-DE,de;q=0.9,sl;q=0.5,en;q=0.3", "sl"),
        (None, "en;q=0.2, sl;q=0.9", "sl"),
        (None, "de, fr", "sl"),
        ("xx", "", "sl"),
        (None, ";q=x,,*", "sl"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers(
    cookie: str | None, header: str, language: str
) -> None:
    assert catalogue.choose(cookie, header) == language
