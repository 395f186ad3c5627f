"""Reads .inp files, solves them at t = 0 and compares every flow with EPANET 2.3 live.

    python -m core_ext.bench.epanet_files FOLDER [FOLDER ...]

EPANET runs each file at ACCURACY 1e-8, the solver with friction "epanet"; `independent_check` judges every
answer of the solver. One line per file: agrees (to 1e-8 of the largest flow), agrees to what EPANET's own
flows miss, refused (with the reason), differs, contradicts itself, or no answer of one of the two. Exit
status 0 unless a file differs, is answered wrongly or is not answered without a reason. It changes no file.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.epanet_inp import CHECK_SUFFIX, PER_CFS, US_UNITS
from ..network import LINK_ENDS, BadNetwork, FloatArray, Network
from ..solver import (
    CERTIFIED_MASS_KG_S,
    EPANET_CUBIC_FOOT_M3,
    EPANET_GRAVITY_M_S2,
    EPANET_LINEAR_SLOPE,
    FOOT_M,
    HAZEN_EXPONENT,
    HydraulicResult,
    HydraulicSolver,
    NotConverged,
)
from .independent_check import check, is_contradictory

ACCURACY = 1e-8
CLOSED_SLOPE = 1e8  # EPANET's CBIG, feet per cubic foot per second
TRIALS = 1000
TIGHTER = 1e-11
TIGHT_PA = 1e-9
BAR = 1e-8  # of the largest flow: reference/hydraulics.md section 4
AGREES, REFUSED, DIFFERS = "agrees", "refused", "differs"
NEAR = "agrees to EPANET's own error"
CONTRADICTS, NO_ANSWER, WRONG = "contradicts itself", "no answer", "wrong"
EPANET_FAILS = "EPANET has no answer"


@dataclass
class EpanetAnswer:
    """EPANET's state at t = 0: flows by link id in kg/s at the given density, and how it ended.

    `relative_error` is the last change of flows over their sum.
    `stray_kg_s` is what EPANET's flows miss in all: what it lets through closed links and past flow limits,
    which it solves with a slope of 1e8 feet per cubic foot per second, and what does not add up at its
    junctions, which is rounding beside links of little resistance. A flow brought in somewhere changes no
    flow elsewhere by more than itself, so flows are right to that at best.
    """

    flow_kg_s: dict[str, float]
    head: dict[str, float]
    stray_kg_s: float
    relative_error: float
    trials: int


class EpanetRefuses(RuntimeError):
    """EPANET does not open or solve the file."""

    code = "epanet_refuses"


def epanet_answer(path: Path, density_kg_m3: float = 1000.0) -> EpanetAnswer:
    """Let EPANET solve the first moment of a file. Heads are in the file's unit. Raises EpanetRefuses."""
    from epanet import toolkit as en

    project: Any = en.createproject()
    opened = False
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of negative pressures and the like: statistics tell the rest
        try:
            en.open(project, str(path), f"{folder}/report", f"{folder}/out")
            opened = True
            en.setoption(project, en.ACCURACY, ACCURACY)
            en.setoption(project, en.TRIALS, TRIALS)
            en.setoption(project, en.UNBALANCED, -1)
            en.openH(project)
            answers = []
            # ACCURACY cannot be set below 1e-8: what is left is taken by a bound on the change of every flow
            for bound in (0.0, TIGHTER):
                links = range(1, en.getcount(project, en.LINKCOUNT) + 1)
                most = max((abs(en.getlinkvalue(project, i, en.FLOW)) for i in links), default=0.0)
                en.setoption(project, en.FLOWCHANGE, bound * most)
                en.initH(project, en.INITFLOW)
                en.runH(project)
                answers.append(_state(en, project, density_kg_m3))
            return min(answers, key=lambda answer: answer.relative_error)
        except Exception as error:  # the wrapper raises the bare class
            raise EpanetRefuses(str(error)) from error
        finally:
            if opened:
                en.close(project)
            en.deleteproject(project)


def _state(en: Any, project: Any, density_kg_m3: float) -> EpanetAnswer:
    units = list(PER_CFS)[en.getflowunits(project)]
    factor = density_kg_m3 * EPANET_CUBIC_FOOT_M3
    feet = 1.0 if units in US_UNITS else 1.0 / FOOT_M
    nodes = range(1, en.getcount(project, en.NODECOUNT) + 1)
    links = range(1, en.getcount(project, en.LINKCOUNT) + 1)
    head = [en.getnodevalue(project, i, en.HEAD) for i in nodes]
    flow = [en.getlinkvalue(project, i, en.FLOW) * factor / PER_CFS[units] for i in links]
    missing = [en.getnodevalue(project, i, en.DEMAND) * factor / PER_CFS[units] for i in nodes]
    leaks = 0.0
    for i in links:
        first, second = (node - 1 for node in en.getlinknodes(project, i))
        leak = (head[first] - head[second]) * feet / CLOSED_SLOPE * factor
        closed = en.getlinkvalue(project, i, en.STATUS) == 0.0
        if closed or en.getlinktype(project, i) == en.FCV:
            leaks += abs(leak)
        leak *= closed  # of a closed link no flow is given; that of a flow limit holds its leak
        missing[first] += flow[i - 1] + leak
        missing[second] -= flow[i - 1] + leak
    junction = [en.getnodetype(project, i) == en.JUNCTION for i in nodes]
    return EpanetAnswer(
        {en.getlinkid(project, i): flow[i - 1] for i in links},
        {en.getnodeid(project, i): value for i, value in zip(nodes, head, strict=True)},
        leaks + sum(abs(rest) for rest, counts in zip(missing, junction, strict=True) if counts),
        en.getstatistic(project, en.RELATIVEERROR),
        int(en.getstatistic(project, en.ITERATIONS)),
    )


def flows_by_id(net: Network, result: HydraulicResult) -> dict[str, float]:
    """Flow of every link under its id; without links of a part that no pressure is known of.

    The check valve that the reader puts into a pipe carries the pipe's flow and is left out.
    """
    known = dict(zip(net.nodes.ids, result.pressure_known.tolist(), strict=True))
    out: dict[str, float] = {}
    for table, (first, second) in LINK_ENDS.items():
        columns = net.tables[table]
        for row, name in enumerate(columns.ids):
            if name.endswith(CHECK_SUFFIX) and name in known:
                continue
            if known[columns[first][row]] and known[columns[second][row]]:
                out[name] = float(result.mass_flow_kg_s[table][row])
    return out


@dataclass
class Comparison:
    """One file: how it ended, in words, and the largest difference over the largest flow where there is."""

    path: Path
    outcome: str
    words: str
    difference: float = float("nan")


def compare(path: Path) -> Comparison:
    """Solve a file with both and compare all flows."""
    try:
        net = Network.read(path)
        solver = HydraulicSolver(net, friction="epanet")
    except BadNetwork as error:
        return Comparison(path, REFUSED, f"{error.code}: {error.reason}")
    try:
        result = solve_tightly(solver)
    except NotConverged as error:
        if is_contradictory(net, "epanet", solver.fluid):
            return Comparison(
                path, CONTRADICTS, "no flows meet its demands within its one-way links and limits"
            )
        return Comparison(path, NO_ANSWER, str(error))
    judged = check(net, "epanet", solver.fluid, result)
    if judged.problems:
        return Comparison(path, WRONG, "; ".join(judged.problems[:3]))
    try:
        theirs = epanet_answer(path, solver.fluid.density_kg_m3)
    except EpanetRefuses as error:
        return Comparison(path, EPANET_FAILS, str(error))
    ours = flows_by_id(net, result)
    names = list(ours)
    ours_flow: FloatArray = np.array([ours[name] for name in names])
    their_flow: FloatArray = np.array([theirs.flow_kg_s[name] for name in names])
    most = float(np.abs(their_flow).max(initial=0.0))
    apart = np.abs(ours_flow - their_flow)
    worst, farthest = int(np.argmax(apart)) if names else -1, float(apart.max(initial=0.0))
    difference = farthest / (most or 1.0)
    words = (
        f"{len(names)} links, largest flow {most:.6g} kg/s, EPANET's error {theirs.relative_error:.1e} "
        f"in {theirs.trials} trials"
    )
    lost = sum(map(len, result.certificate.islands))
    if lost:
        words += f", {lost} nodes named as cut off"
    bar = BAR * most
    if most <= CERTIFIED_MASS_KG_S:
        # nothing flows: the bar is what the tolerance lets flow where EPANET's slope is least
        bar = (
            TIGHT_PA
            * HAZEN_EXPONENT
            * EPANET_CUBIC_FOOT_M3
            / (EPANET_LINEAR_SLOPE * EPANET_GRAVITY_M_S2 * FOOT_M)
        )
    if farthest <= bar:
        return Comparison(path, AGREES, words, difference)
    words += (
        f", {theirs.stray_kg_s:.1e} kg/s astray there; {names[worst]}: {ours_flow[worst]:.9g} here, "
        f"{their_flow[worst]:.9g} there"
    )
    if not theirs.relative_error <= ACCURACY:
        return Comparison(path, EPANET_FAILS, words, difference)
    return Comparison(path, NEAR if farthest <= bar + theirs.stray_kg_s else DIFFERS, words, difference)


def solve_tightly(solver: HydraulicSolver) -> HydraulicResult:
    """The solver's best answer: where slopes are small, flows follow from the last digits of pressure."""
    for tol in (TIGHT_PA, 100.0 * TIGHT_PA):
        with contextlib.suppress(NotConverged):
            return solver.solve(tol=tol)
    return solver.solve()


def main(argv: Sequence[str] | None = None) -> int:
    """Compare all files below some folders; 0 unless one differs."""
    parser = argparse.ArgumentParser(prog="python -m core_ext.bench.epanet_files", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    paths = [
        path
        for folder in parser.parse_args(argv).folders
        for path in ([folder] if folder.is_file() else sorted(folder.rglob("*.[iI][nN][pP]")))
    ]
    counts: Counter[str] = Counter()
    for path in paths:
        found = compare(path)
        counts[found.outcome] += 1
        print(f"{found.outcome:20} {found.difference:8.1e} {path.name}: {found.words}", flush=True)
    print(f"{len(paths)} files: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts[DIFFERS] + counts[WRONG] + counts[NO_ANSWER] else 0


if __name__ == "__main__":
    sys.exit(main())
