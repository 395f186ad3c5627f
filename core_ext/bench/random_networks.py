"""Solves random networks by the hundred thousand and judges every answer from outside.

    python -m core_ext.bench.random_networks --count 100000 --seed 0 --out build/random_networks.json

Two processes share the seeds in blocks of 500; a finished block is written at once, so an interrupted run
goes on where it stopped when it is started again with the same file. Exit status 0 when no answer was wrong
and none was missing without a reason, else 1. It repairs nothing: a failing seed is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from .. import simd
from ..network import LINK_ENDS, Network
from ..solver import HydraulicSolver, NotConverged
from .independent_check import HEAD_M, MASS_KG_S, check, is_contradictory
from .random_cases import Case, random_case
from .regulator_oracle import FOUND, NONE, find_state

BLOCK = 500
RIGHT, WRONG, CONTRADICTORY, NO_ANSWER, CRASHED = "right", "wrong", "contradictory", "no answer", "crashed"
# no answer, and the slow search of regulator_oracle found no state either, which proves nothing
UNDECIDED = "undecided"
FAILURES = (WRONG, NO_ANSWER, CRASHED)


def judge_seed(seed: int) -> list[dict[str, Any]]:
    """Solve the case of a seed from cold, then its changes from warm; one record per solve."""
    records: list[dict[str, Any]] = []
    try:
        case = random_case(seed)
        solver = HydraulicSolver(case.net, friction=case.friction)
        records.append(_solve(case, solver, case.net, "cold"))
        if case.changes:
            records.append(_solve(case, solver, case.net.changed(**case.changes), "warm", **case.changes))
    except (
        Exception
    ) as error:  # a crash of any kind is a finding about this seed and must not hide the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        records.append({
            "seed": seed, "outcome": CRASHED,
            "problems": [f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"],
        })  # fmt: skip
    return records


def _solve(case: Case, solver: HydraulicSolver, net: Network, start: str, **changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "seed": case.seed,
        "start": start,
        "family": case.family,
        "friction": case.friction,
        "regulated": case.regulated,
        "links": sum(case.net.tables[table].rows for table in LINK_ENDS),
    }
    try:
        result = solver.solve(**changes)
    except NotConverged as error:
        outcome = _no_answer(case, solver, net)
        return record | {
            "outcome": outcome,
            "problems": [] if outcome == CONTRADICTORY else [str(error)],
        }
    found = check(net, case.friction, solver.fluid, result)
    return record | {
        "outcome": RIGHT if found else WRONG, "problems": found.problems, "head_m": found.head_m,
        "mass_kg_s": found.mass_kg_s, "highest_pressure_pa": found.highest_pressure_pa,
        "iterations": result.iterations, "unique": result.certificate.unique,
    }  # fmt: skip


def _no_answer(case: Case, solver: HydraulicSolver, net: Network) -> str:
    """Whether there was anything to be found."""
    if is_contradictory(net, case.friction, solver.fluid):
        return CONTRADICTORY
    if not case.regulated:
        return NO_ANSWER
    verdict, _drops = find_state(net, case.friction)
    return {FOUND: NO_ANSWER, NONE: CONTRADICTORY}.get(verdict, UNDECIDED)


def judge_block(first: int, count: int) -> dict[str, Any]:
    """Judge `count` seeds from `first` on; counts, largest residuals, and every failure in full."""
    began = time.perf_counter()
    outcomes: Counter[str] = Counter()
    families: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    head = mass = 0.0
    solves = absurd = links = most_links = 0
    for seed in range(first, first + count):
        for record in judge_seed(seed):
            solves += 1
            outcomes[record["outcome"]] += 1
            families[record.get("family", "none")] += record.get("start") == "cold"
            links += record.get("links", 0)
            most_links = max(most_links, record.get("links", 0))
            if record["outcome"] in (*FAILURES, UNDECIDED):
                failures.append(record)
            elif record["outcome"] == RIGHT:
                mass = max(mass, record["mass_kg_s"])
                if record["highest_pressure_pa"] > 1e9:
                    absurd += 1
                else:
                    head = max(head, record["head_m"])
    return {
        "first": first, "count": count, "solves": solves, "outcomes": dict(outcomes),
        "families": dict(families), "failures": failures, "head_m": head, "mass_kg_s": mass,
        "absurd_pressures": absurd, "links": links, "most_links": most_links,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def blocks_of(first: int, count: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, first + count, BLOCK):
        yield begin, min(BLOCK, first + count - begin)


def summary(blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One document of all blocks; `failing_seeds` in order."""
    outcomes: Counter[str] = Counter()
    families: Counter[str] = Counter()
    for block in blocks:
        outcomes.update(block["outcomes"])
        families.update(block["families"])
    failures = sorted((f for b in blocks for f in b["failures"]), key=lambda f: int(f["seed"]))
    seconds = sum(b["seconds"] for b in blocks)
    networks = sum(b["count"] for b in blocks)
    return {
        "networks": networks,
        "solves": sum(b["solves"] for b in blocks),
        "outcomes": dict(sorted(outcomes.items())),
        "families": dict(sorted(families.items())),
        "links": sum(b["links"] for b in blocks),
        "most_links": max((b["most_links"] for b in blocks), default=0),
        "largest_head_residual_m": max((b["head_m"] for b in blocks), default=0.0),
        "largest_mass_residual_kg_s": max((b["mass_kg_s"] for b in blocks), default=0.0),
        "solves_above_1e9_pa": sum(b["absurd_pressures"] for b in blocks),
        "tolerance_head_m": HEAD_M,
        "tolerance_mass_kg_s": MASS_KG_S,
        "failing_seeds": sorted({int(f["seed"]) for f in failures if f["outcome"] in FAILURES}),
        "undecided_seeds": sorted({int(f["seed"]) for f in failures if f["outcome"] == UNDECIDED}),
        "failures": failures,
        "core_seconds": seconds,
        "networks_per_core_second": networks / seconds if seconds else 0.0,
    }


def judge_again(out: Path) -> dict[str, Any]:
    """Judge only the seeds that failed or stayed undecided in `out`, and write down what became of them."""
    before = json.loads(out.read_text(encoding="utf-8"))
    for block in before["blocks"]:
        outcomes, kept = Counter(block["outcomes"]), []
        outcomes.subtract(failure["outcome"] for failure in block["failures"])
        failed = {(failure["seed"], failure.get("start")) for failure in block["failures"]}
        for seed in sorted({seed for seed, _start in failed}):
            for record in judge_seed(seed):
                if (seed, record.get("start")) in failed:
                    outcomes[record["outcome"]] += 1
                    if record["outcome"] in (*FAILURES, UNDECIDED):
                        kept.append(record)
        block["outcomes"], block["failures"] = dict(+outcomes), kept
    summed: dict[str, Any] = _write(out, before["seed"], before["blocks"])["summary"]
    return summed


def run(count: int, seed: int, out: Path, jobs: int, seconds: float | None = None) -> dict[str, Any]:
    """Judge `count` seeds from `seed` on, keep `out` up to date; start no block after `seconds`."""
    done: dict[int, dict[str, Any]] = {}
    if out.exists():
        before = json.loads(out.read_text(encoding="utf-8"))
        done = {b["first"]: b for b in before["blocks"] if before["seed"] == seed}
    began, wanted = time.monotonic(), list(blocks_of(seed, count))
    waiting = [b for b in wanted if done.get(b[0], {}).get("count") != b[1]]
    out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(judge_block, *waiting.pop(0)) for _ in range(min(jobs, len(waiting)))}
        try:
            while running:
                ended = next(as_completed(running))
                running.discard(ended)
                block = ended.result()
                done[block["first"]] = block
                _write(out, seed, [done[b[0]] for b in wanted if b[0] in done])
                if waiting and (seconds is None or time.monotonic() - began < seconds):
                    running.add(pool.submit(judge_block, *waiting.pop(0)))
                _progress([done[b[0]] for b in wanted if b[0] in done], count, began)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    document = _write(out, seed, [done[b[0]] for b in wanted if b[0] in done])
    summed: dict[str, Any] = document["summary"]
    return summed


def _write(out: Path, seed: int, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    document = {
        "format": "toplovod-random-networks/1", "seed": seed, "simd": simd.LEVEL, "numpy": np.__version__,
        "python": platform.python_version(), "summary": summary(blocks), "blocks": blocks,
    }  # fmt: skip
    part = out.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1), encoding="utf-8")
    part.replace(out)
    return document


def _progress(blocks: list[dict[str, Any]], count: int, began: float) -> None:
    summed = summary(blocks)
    rate = summed["networks_per_core_second"]
    print(
        f"{summed['networks']} of {count} networks, {summed['outcomes']}, {rate:.0f}/s per core, "
        f"{time.monotonic() - began:.0f} s",
        file=sys.stderr,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Solve random networks and judge every answer from outside.")
    parser.add_argument("--count", type=int, default=100_000, help="how many networks")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow it")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument(
        "--out", type=Path, default=Path("build/random_networks.json"), help="summary, resumable"
    )
    parser.add_argument("--seconds", type=float, default=None, help="start no block after this long")
    parser.add_argument("--again", action="store_true", help="judge only what failed in the file before")
    parser.add_argument("--into", type=Path, default=None, help="put the summary beside these measurements")
    parser.add_argument("--one", type=int, default=None, help="judge this seed alone and print its records")
    given = parser.parse_args(arguments)
    if given.one is not None:
        records = judge_seed(given.one)
        print(json.dumps(records, indent=1))
        return int(any(record["outcome"] in FAILURES for record in records))
    try:
        if given.again:
            summed = judge_again(given.out)
        else:
            summed = run(given.count, given.seed, given.out, given.jobs, given.seconds)
    except KeyboardInterrupt:
        print("interrupted; run it again with the same file to go on", file=sys.stderr)
        return 1
    if given.into is not None:
        beside = json.loads(given.into.read_text(encoding="utf-8"))
        beside["random_networks"] = {k: v for k, v in summed.items() if k not in ("failures", "core_seconds")}
        given.into.write_text(json.dumps(beside, indent=1) + "\n", encoding="utf-8")
    for failure in summed["failures"]:
        print(f"seed {failure['seed']}: {failure['outcome']}: {failure['problems'][:1]}", file=sys.stderr)
    shown = {key: value for key, value in summed.items() if key != "failures"}
    print(json.dumps(shown, indent=1))
    return int(bool(summed["failing_seeds"]))


if __name__ == "__main__":
    sys.exit(main())
