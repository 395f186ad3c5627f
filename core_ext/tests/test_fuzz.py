"""Whatever a file or a caller hands in: an answer, or an error that names it. Seeds are fixed."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..network import LINK_ENDS, SCHEMA, BadNetwork, Network
from ..solver import HydraulicSolver, NotConverged
from .made_networks import district, looped_mesh
from .test_formats import INP, PANDAPIPES_FILES
from .test_sensitivity import everything

NASTY = (
    b"NaN", b"Infinity", b"-1", b"1e999", b"null", b'""', b"[]", b"{}", b"9" * 400, b"0", b"true", b'"x"',
    b"\x00", b"\xff\xfe", b"-0", b"1e-400", b"[" * 3000, b";", b"*", b" ", b"[1, [2]]",
)  # fmt: skip
TOKEN = re.compile(rb'"[^"]*"|-?[0-9.]+(?:[eE][-+]?[0-9]+)?|[A-Za-z]+')


def samples(folder: Path) -> list[Path]:
    """One file of every format, most of them written from here, and small nets as pandapipes ships them."""
    everything(3).write(folder / "a.json")
    looped_mesh(1, nodes=8, loops=2).write(folder / "b.geojson")
    (folder / "c.inp").write_text(INP)
    looped_mesh(2, nodes=8, loops=2).write(folder / "d.pandapipes.json")
    district(1, streets=6, loops=1).write(folder / "e.inp")
    shipped = sorted(PANDAPIPES_FILES.rglob("*.json"), key=lambda path: path.stat().st_size)[:3]
    return [*sorted(folder.iterdir()), *shipped]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut short, some bytes changed, or some words replaced."""
    how = rng.random()
    if how < 0.25:
        return data[: rng.randrange(len(data))]
    if how < 0.6:
        out = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            out[rng.randrange(len(out))] = rng.randrange(256)
        return bytes(out)
    for _ in range(rng.randint(1, 3)):
        words = [match.span() for match in TOKEN.finditer(data)]
        begin, end = rng.choice(words)
        data = data[:begin] + rng.choice(NASTY) + data[end:]
    return data


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_damaged_files_are_read_or_refused_by_name(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = samples(tmp_path)[seed]
    data = path.read_bytes()
    read = refused = 0
    for _ in range(400):
        broken = tmp_path / f"broken{''.join(path.suffixes)}"
        broken.write_bytes(damaged(data, rng))
        try:
            net = Network.read(broken)
            read += 1
            result = HydraulicSolver(net).solve()
        except BadNetwork as error:
            refused += 1
            assert str(error)
        except NotConverged as error:
            assert not error.certificate.converged
        else:
            assert np.isfinite(result.pressure_pa).all()
            assert all(np.isfinite(result.mass_flow_kg_s[table]).all() for table in LINK_ENDS)
    assert refused > 50 and read > 5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_whatever_was_read_is_written_or_refused_by_name(seed: int, tmp_path: Path) -> None:
    """Into every format; what is written can be read, with as many nodes that nothing was put between."""
    rng = random.Random(100 + seed)
    path = samples(tmp_path)[seed]
    data = path.read_bytes()
    outcomes: Counter[str] = Counter()
    for _ in range(150):
        broken = tmp_path / f"broken{''.join(path.suffixes)}"
        broken.write_bytes(damaged(data, rng))
        try:
            net = Network.read(broken)
        except BadNetwork:
            continue
        for suffix in (".inp", ".pandapipes.json", ".geojson", ".json"):
            target = tmp_path / f"again{suffix}"
            target.unlink(missing_ok=True)
            try:
                net.write(target)
            except BadNetwork as error:
                assert error.element and error.reason and error.remedy
                assert not target.exists()
                outcomes["refused"] += 1
                continue
            again = Network.read(target)
            outcomes["written"] += 1
            between = sum(node.endswith(":check") for node in (*net.nodes.ids, *again.nodes.ids))
            assert abs(again.nodes.rows - net.nodes.rows) <= between
    assert outcomes["written"] >= 10


def nasty_column(rng: np.random.Generator, rows: int) -> Any:
    """Values of every size and shape, most of them wrong."""
    kind = int(rng.integers(0, 9))
    if kind == 0:
        return rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, 1e-308, 1.0], rows)
    if kind == 1:
        return 10.0 ** rng.uniform(-12, 12, rows) * rng.choice([-1.0, 1.0], rows)
    if kind == 2:
        return rng.uniform(0.0, 1.0, int(rng.integers(0, 2 * rows + 2)))
    if kind == 3:
        return rng.choice(np.array(["a", "1", ""], dtype=object), rows)
    if kind == 4:
        return rng.uniform(0.0, 1.0, (rows, 2))
    if kind == 5:
        return [None, 1.0] if rows == 2 else None
    if kind == 6:
        return np.zeros(rows)
    if kind == 7:
        return [[1.0], 2.0]
    return 10.0 ** rng.uniform(-3, 3, rows)


@pytest.mark.parametrize("seed", range(4))
def test_the_solvers_door_refuses_by_name_and_stays_open(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = [everything(3), district(1), looped_mesh(2, nodes=12), district(2, mode="flow")][seed]
    solver = HydraulicSolver(net)
    good = solver.solve().pressure_pa.copy()
    original = {
        f"{table}_{name}": net.tables[table][name].copy()
        for table in ("nodes", *LINK_ENDS)
        for name, column in SCHEMA[table].items()
        if column.kind in ("float", "bool") and net.tables[table].rows
    }
    outcomes = set()
    for _ in range(300):
        key = str(rng.choice([*original, "pipes_id", "nodes_", "curves_dp_pa", "consumers_mode"]))
        rows = len(original.get(key, np.zeros(3)))
        changes: dict[str, Any] = {key: nasty_column(rng, rows)}
        try:
            result = solver.solve(**changes)
        except (BadNetwork, NotConverged) as error:
            outcomes.add(type(error).__name__)
        else:
            outcomes.add("solved")
            assert np.isfinite(result.pressure_pa).all()
            assert all(np.isfinite(result.mass_flow_kg_s[table]).all() for table in LINK_ENDS)
        if key in original:
            back: dict[str, Any] = {key: original[key]}
            solver.solve(**back)
    assert outcomes >= {"BadNetwork", "solved"}
    assert solver.solve(warm_start=False).pressure_pa == pytest.approx(good, rel=1e-9, abs=1e-3)
