"""The tables of ranks: each rank is a method that the loops call, in that order; the page is made of them."""

import importlib
import inspect
from pathlib import Path

import pytest

from firmware import documentation, function_tables, manifest

ORDER = [
    function_tables.HARDWARE, function_tables.SAFETY, function_tables.MANUAL, function_tables.LIMITER,
    function_tables.DHW, function_tables.LEASE, function_tables.SCHEDULE,
]  # fmt: skip


def class_of(where):
    module, name = where.split(".")
    return getattr(importlib.import_module("firmware.substation." + module), name)


@pytest.mark.parametrize(("actuator", "where", "ranks", "texts"), function_tables.RANKS)
def test_every_rank_is_a_method_with_its_text(actuator, where, ranks, texts):
    assert set(ranks) == set(texts)
    made = class_of(where)
    for rank in ranks:
        assert callable(getattr(made, "_" + rank)), rank
        assert texts[rank][0] in ORDER


@pytest.mark.parametrize("name", ["dhw_instantaneous.InstantaneousDhw", "dhw_storage.StorageDhw"])
def test_each_kind_of_dhw_answers_every_rank(name):
    from firmware.substation import precedence

    for rank in precedence.DHW_VALVE:
        method = getattr(class_of(name), "_" + rank)
        assert "raise NotImplementedError" not in inspect.getsource(method)


def test_safety_stands_above_everything_that_opens():
    for _, _, ranks, texts in function_tables.RANKS:
        classes = [texts[rank][0] for rank in ranks]
        opening = [k for k, c in enumerate(classes) if c in (function_tables.LIMITER, function_tables.LEASE)]
        protecting = [
            k for k, c in enumerate(classes) if c in (function_tables.HARDWARE, function_tables.SAFETY)
        ]
        assert not opening or not protecting or max(protecting) < min(opening)


def test_manual_stands_above_limiters_and_leases_and_below_what_protects():
    """But for the end stop of a heating valve, which manual itself waits for."""
    for _, _, ranks, texts in function_tables.RANKS:
        if "manual" in ranks:
            above, below = ranks[: ranks.index("manual")], ranks[ranks.index("manual") + 1 :]
            assert {texts[r][0] for r in above} <= {function_tables.HARDWARE, function_tables.SAFETY}
            assert not [r for r in below if texts[r][0] == function_tables.SAFETY and r != "end_stop"]


def test_a_pump_asks_its_ranks_in_order():
    from firmware.substation import precedence, pump

    body = inspect.getsource(pump.Pump.wanted)
    places = [body.index(f"self._{rank}(") for rank in precedence.PUMP]
    assert places == sorted(places)


def test_the_page_is_made_of_the_tables():
    assert Path(documentation.PAGE).read_text(encoding="utf-8") == documentation.page(), "run: make docs"


def test_the_page_and_its_tables_are_no_part_of_the_bundle():
    assert not [path for path in manifest.FILES if "documentation" in path or "function_tables" in path]


def test_every_module_of_the_firmware_is_in_the_bundle():
    folder = Path(documentation.__file__).parent
    shipped = set(manifest.FILES)
    for part in ("boards", "substation"):
        for path in (folder / part).glob("*.py"):
            assert f"{part}/{path.name}" in shipped
