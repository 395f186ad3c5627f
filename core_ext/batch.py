"""Many scenarios of one network at once: on all cores, without the GIL, one certificate each.

Every scenario begins at the same solution, so that neither the order nor the number of workers changes a
digit. It shares the topology between the workers and never touches the solver it was asked by.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from ._batch import BAD_ROW, LANES, NEEDS_LAYOUT, Scenarios
from .columns import BINDABLE, checked_change, suspect_rows
from .network import BadNetwork, FloatArray
from .result import Certificate, HydraulicResult, NotConverged

if TYPE_CHECKING:
    from .solver import HydraulicSolver

Progress = Callable[[int, int], None]
# tolerances of pressure (Pa), mass (kg/s) and of the share flows change by, most steps
Limits = tuple[float, float, float, int]
Outcome = HydraulicResult | NotConverged | BadNetwork

# scenarios a worker takes at once: few enough to share out evenly, many enough to keep the GIL out of it
LARGEST_SHARE = 32
NOT_RUN = -1


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# page that Linux has beside those of 4 kB: results filled for the first time cost one fault for each
LARGE_PAGE = 1 << 21


def zeroed(count: int) -> npt.NDArray[np.uint8]:
    """Zeros, in large pages where they are many and the system has such.

    Measured for 64 scenarios of 10 000 links: first use of the results took 140 us per scenario in pages of
    4 kB, a fifth of the solve.
    """
    if count < LARGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(count, np.uint8)
    room = mmap.mmap(-1, count + LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # a wish: a system that knows no large pages refuses it, and small ones do as well
    with contextlib.suppress(OSError):
        room.madvise(mmap.MADV_HUGEPAGE)
    # the array keeps the mapping alive
    array = np.frombuffer(room, np.uint8)
    begin = -array.ctypes.data % LARGE_PAGE
    return array[begin : begin + count]


class Buffers:
    """Results of a number of scenarios, row by row; as the kernel writes them."""

    def __init__(self, rows: int, links: int, nodes: int) -> None:
        room, at = zeroed(rows * (8 * (links + 2 * nodes) + nodes + links)), 0

        def part(columns: int, dtype: type) -> npt.NDArray[Any]:
            nonlocal at
            begin, at = at, at + rows * columns * np.dtype(dtype).itemsize
            return room[begin:at].view(dtype).reshape(rows, columns)

        self.flow = part(links, np.float64)
        self.pressure, self.inflow = part(nodes, np.float64), part(nodes, np.float64)
        self.known, self.marks = part(nodes, np.int8), part(links, np.uint8)
        self.status = np.full(rows, NOT_RUN, np.int32)
        self.iterations, self.robust = np.zeros(rows, np.int32), np.zeros(rows, np.int8)
        self.residual = np.zeros((rows, 2))

    def all(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.flow, self.pressure, self.inflow, self.known, self.marks, self.status, self.iterations,
            self.robust, self.residual,
        )  # fmt: skip


class BatchResult(Sequence[Outcome]):
    """One outcome per scenario, in order: a result with its certificate, or the error it ended with.

    The same as arrays over all S scenarios: `mass_flow_kg_s[table]` (S, rows), `pressure_pa`,
    `node_inflow_kg_s` and `pressure_known` (S, nodes), `iterations`, `residual_pressure_pa`,
    `residual_mass_kg_s` and `converged` (S,). Rows of scenarios that failed are 0.0 and not known.
    """

    def __init__(
        self, solver: HydraulicSolver, buffers: Buffers, errors: Mapping[int, BadNetwork | NotConverged]
    ) -> None:
        self._solver, self._buffers, self.errors = solver, buffers, dict(errors)
        self.converged: npt.NDArray[np.bool_] = buffers.status == 0
        failed = ~self.converged
        if failed.any():
            for array in (buffers.flow, buffers.pressure, buffers.inflow, buffers.known):
                array[failed] = 0
        self.mass_flow_kg_s: dict[str, FloatArray] = {
            table: buffers.flow[:, part] for table, part in solver._slices.items()
        }
        self.pressure_pa, self.node_inflow_kg_s = buffers.pressure, buffers.inflow
        self.pressure_known = buffers.known.view(np.bool_)
        self.iterations = buffers.iterations
        self.residual_pressure_pa, self.residual_mass_kg_s = buffers.residual[:, 0], buffers.residual[:, 1]

    def __len__(self) -> int:
        return len(self.converged)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        if row in self.errors:
            return self.errors[row]
        b = self._buffers
        result = HydraulicResult.over(
            self._solver._slices, b.flow[row], b.pressure[row], b.inflow[row], b.known[row]
        )
        result.iterations = int(b.iterations[row])
        result.residual_pressure_pa, result.residual_mass_kg_s = (float(r) for r in b.residual[row])
        result._make_certificate = lambda: certificate(self._solver, b, row)
        return result

    def __iter__(self) -> Iterator[Outcome]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<BatchResult: {len(self)} scenarios, {len(self.errors)} failed>"


def certificate(solver: HydraulicSolver, buffers: Buffers, row: int) -> Certificate:
    """What is proven about one scenario."""
    marks = buffers.marks[row]
    converged = bool(buffers.status[row] == 0)
    if converged and not marks.any():
        return solver._plain_certificate()
    return solver._certify(converged, marks, buffers.known[row].astype(np.bool_), bool(buffers.robust[row]))


def solve_batch(
    solver: HydraulicSolver,
    changes: Mapping[str, Any],
    limits: Limits,
    warm_start: bool,
    workers: int | None,
    progress: Progress | None,
) -> BatchResult:
    """Solve every row of the stacked changes; the caller holds the solver's lock."""
    stacks, errors = _checked(solver, changes)
    count = len(next(iter(stacks.values())))
    base = Base(solver, stacks, limits, warm_start)
    buffers = Buffers(count, solver._links, solver._nodes)
    wanted = [i for i in range(count) if i not in errors]

    def make() -> Worker:
        return Worker(base, stacks, limits)

    def run(worker: Worker, begin: int, end: int) -> None:
        for i in range(begin, end):
            if i in errors:
                worker.run(begin, i, buffers)
                begin = i + 1
        worker.run(begin, end, buffers)

    share_out(count, run, make, workers, progress)
    for i in wanted:
        if buffers.status[i] == BAD_ROW:
            errors[i] = base.why(stacks, i)
        elif buffers.status[i]:
            errors[i] = solver._not_converged(
                certificate(solver, buffers, i), int(buffers.iterations[i]), *map(float, buffers.residual[i])
            )
    return BatchResult(solver, buffers, errors)


class Base:
    """The solution all scenarios begin at, in a solver laid out for all of them."""

    def __init__(
        self, solver: HydraulicSolver, stacks: Mapping[str, FloatArray], limits: Limits, warm_start: bool
    ) -> None:
        self.solver = solver.copy()
        most = stacks.get("consumers_max_flow_kg_s")
        if most is not None:
            # laid out once with every limit that any scenario has
            present = np.where(np.isnan(most), -1.0, most).max(axis=0)
            values = np.where(present < 0.0, np.nan, present)
            if (values[np.isfinite(values)] >= 0.0).all():
                self.solver._write({"consumers_max_flow_kg_s": values})
        self.warm = False
        if warm_start:
            if solver._kernel.solved and solver._layout is self.solver._layout:
                self.solver._kernel.begin_at(solver._kernel)
                self.solver._refresh_all()
            result = HydraulicResult(solver)
            self.warm = self.solver._run(result, limits, True) == 0

    def why(self, stacks: Mapping[str, FloatArray], scenario: int) -> BadNetwork:
        """Why the values of a scenario have no meaning."""
        try:
            self.solver.copy()._write({key: stack[scenario] for key, stack in stacks.items()})
        except BadNetwork as error:
            return error
        raise AssertionError(f"scenario {scenario} was refused without a reason")


class Worker:
    """One thread's own copy of the network. Columns that need more than new numbers go the long way."""

    def __init__(
        self, base: Base, stacks: Mapping[str, FloatArray], limits: Limits, single: Any = None
    ) -> None:
        self.base, self.stacks, self.limits = base, stacks, limits
        self.solver = base.solver.copy()
        regulated = bool(self.solver._regulators)
        self.long = [
            key for key in stacks if key not in BINDABLE or (regulated and key.startswith("valves_"))
        ]
        self.short = [key for key in stacks if key not in self.long]
        self.single = single
        self.scenarios = self._scenarios()

    def _scenarios(self) -> Scenarios:
        solver = self.solver
        columns = [(solver._own(key), self.stacks[key]) for key in self.short]
        tables = dict.fromkeys(key.partition("_")[0] for key in self.short)
        single = None
        if self.single is not None:
            key, rows, values = self.single
            column = solver._own(key)
            single = (column, solver._refreshers[key.partition("_")[0]], rows, values)
        laws = [solver._refreshers[table] for table in tables]
        # the long way is cold: what is not filled in by table would be taken from the base
        same = self.base.warm and not self.long and solver._layout is self.base.solver._layout
        return Scenarios(
            solver._kernel, self.base.solver._kernel if same else None, columns, laws, single, not self.long
        )

    def run(self, begin: int, end: int, buffers: Buffers, at: int = 0) -> None:
        """Solve scenarios begin to end into the rows from begin - at on."""
        if not self.long:
            self._run(begin, end, buffers, at)
            redo = [i for i in range(begin, end) if buffers.status[i - at] == NEEDS_LAYOUT]
        else:
            redo = list(range(begin, end))
        for i in redo:
            self._run_long(i, buffers, at)

    def _run_long(self, i: int, buffers: Buffers, at: int) -> None:
        try:
            self.solver._write({key: self.stacks[key][i] for key in self.long or self.short})
        except BadNetwork:
            buffers.status[i - at] = BAD_ROW
            self.solver = self.base.solver.copy()
            self.scenarios = self._scenarios()
            return
        self.scenarios = self._scenarios()
        self._run(i, i + 1, buffers, at)

    def _run(self, begin: int, end: int, buffers: Buffers, at: int) -> None:
        self.scenarios.run(begin, end, *self.limits, *buffers.all(), at=at)


def share_out(
    count: int,
    run: Callable[[Worker, int, int], None],
    make: Callable[[], Worker],
    workers: int | None,
    progress: Progress | None,
) -> None:
    """Run(worker, begin, end) for shares that cover the count, each worker in a thread of its own."""
    if workers is not None and workers < 1:
        raise ValueError(f"{workers} workers; at least one is needed")
    threads = min(workers or cores(), max(count, 1))
    # whole lanes where there are enough for every thread: eight scenarios side by side take the time of one
    share = max(1, min(LARGEST_SHARE, -(-count // (4 * threads))))
    share = min(-(-share // LANES) * LANES, -(-count // threads)) if count else share
    shares = [(begin, min(begin + share, count)) for begin in range(0, count, share)]
    done = 0
    if threads == 1:
        worker = make()
        for begin, end in shares:
            run(worker, begin, end)
            done += end - begin
            if progress is not None:
                progress(done, count)
        return
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for _ in range(threads):
        idle.put(make())

    def work(begin: int, end: int) -> int:
        worker = idle.get()
        try:
            run(worker, begin, end)
        finally:
            idle.put(worker)
        return end - begin

    pool = ThreadPoolExecutor(threads, thread_name_prefix="scenarios")
    try:
        left: set[Future[int]] = {pool.submit(work, begin, end) for begin, end in shares}
        while left:
            finished, left = wait(left, return_when=FIRST_COMPLETED)
            done += sum(future.result() for future in finished)
            if progress is not None:
                progress(done, count)
    finally:
        pool.shutdown(cancel_futures=True)


def _checked(
    solver: HydraulicSolver, changes: Mapping[str, Any]
) -> tuple[dict[str, FloatArray], dict[int, BadNetwork | NotConverged]]:
    """Stacks as float arrays, and what is wrong with single scenarios."""
    stacks: dict[str, FloatArray] = {}
    for key, values in changes.items():
        try:
            stacks[key] = np.ascontiguousarray(values, np.float64)
        except (TypeError, ValueError):
            raise BadNetwork(
                key, "not a stack of columns of numbers", "Give an array (scenarios, rows).", "not_a_number"
            ) from None
    counts = {len(stack) for stack in stacks.values() if stack.ndim == 2}
    if len(counts) != 1 or any(stack.ndim != 2 for stack in stacks.values()):
        raise BadNetwork(
            "batch",
            "changes must all have shape (scenarios, rows)",
            "Stack one full column per scenario.",
            "wrong_length",
        )
    errors: dict[int, BadNetwork | NotConverged] = {}
    for key, stack in stacks.items():
        for i in np.flatnonzero(suspect_rows(solver.net, solver._columns, key, stack)).tolist():
            try:
                checked_change(solver.net, solver._columns, key, stack[i])
            except BadNetwork as error:
                errors.setdefault(i, error)
    return stacks, errors
