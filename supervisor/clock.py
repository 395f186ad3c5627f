"""Tell the time and hold every waiting task of the supervisor: by the wall, or in lockstep with a bench.

Code that waits asks a Clock and nothing else, so that the same poller, desk and coordinator run in real
time and in a simulated winter. This module refuses to let a task die in silence: a task started by
`spawn` that ends with an error ends the process, because a supervisor that has quietly stopped polling
looks exactly like one that polls.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

# Tasks due at the same instant run in this order, each group only after the one before has come to rest.
PRIORITY_FIELD = 0
PRIORITY_DESK = 10
PRIORITY_TIME = 15
PRIORITY_ALARMS = 20
PRIORITY_COORDINATOR = 30
PRIORITY_SCREENS = 40

# Hand-overs between callbacks that asyncio needs from `event.set()` to the waiting task's next step.
SETTLE_PASSES = 6
CANCEL_AGAIN_S = 0.5
STALL_S = 120.0  # real seconds: far above any device deadline, short enough to explain a hung run

Death = Callable[[str, BaseException], None]

_inside = contextvars.ContextVar("toplovod_clock_task", default="")


class Clock(Protocol):
    """What every waiting part of the supervisor may ask of time."""

    def utc(self) -> datetime:
        """Return the aware UTC time used in records; virtual in lockstep."""

    def monotonic(self) -> float:
        """Return seconds that never go back; virtual in lockstep. Leases and ages count in these."""

    async def sleep_until(self, due: float, priority: int = 0) -> None:
        """Wait until monotonic() reaches due, in seconds; lower priority numbers run first."""

    async def wait(self, event: asyncio.Event, due: float | None = None) -> bool:
        """Wait for the event, at most until due; True when the event came. The caller counts as idle."""

    def spawn(self, name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that may wait on this clock; if it dies of an error, the process ends (V11)."""

    async def close(self) -> None:
        """Cancel every spawned task and wait until they have ended."""


class LockstepStalled(RuntimeError):
    """A task neither finished nor waited on the clock, so virtual time cannot go on."""

    code = "lockstep_stalled"


def end_process(name: str, error: BaseException) -> None:
    """End the process at once with status 1, naming the task that died; acknowledged writes are on disk."""
    log.critical("task %r died; ending the process, nothing else was changed", name, exc_info=error)
    sys.stderr.flush()
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(1)


class _Spawner:
    """Keeps the spawned tasks and reports the one that dies."""

    def __init__(self, on_death: Death) -> None:
        self._on_death = on_death
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        context = contextvars.copy_context()
        context.run(_inside.set, name)
        task = asyncio.create_task(coro, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._on_death(task.get_name(), error)

    async def close(self) -> None:
        here = asyncio.current_task()
        # Until Python 3.12 wait_for() swallows a cancellation that meets its answer, and the task lives on:
        # seen once in some twenty stops of a poller under load. So it is told again until it ends.
        while tasks := {task for task in self._tasks if task is not here and not task.done()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)


class WallClock(_Spawner):
    """Real time. Priorities have no meaning here: the loop runs what is due."""

    def __init__(self, *, on_death: Death = end_process) -> None:
        super().__init__(on_death)

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, due: float, priority: int = 0) -> None:
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def wait(self, event: asyncio.Event, due: float | None = None) -> bool:
        if event.is_set():
            return True
        if due is None:
            await event.wait()
            return True
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


@dataclass(order=True)
class _Sleeper:
    due: float
    priority: int
    name: str
    sequence: int
    future: asyncio.Future[bool] = field(compare=False)
    task: asyncio.Task[Any] | None = field(compare=False)


class LockstepClock(_Spawner):
    """Virtual time that moves only in `advance`, and only when every spawned task waits on this clock.

    A spawned task is busy from the moment it is woken until it waits here again, so socket traffic,
    writer threads and computations inside a step take no virtual time, however long they really take.
    Therefore a spawned task must never await something that another sleeping task has to release: that
    stands still, and `advance` raises LockstepStalled with the names after `stall_s` real seconds.
    Tasks that the clock did not spawn (a web request) may sleep here too; nobody waits for them.
    """

    def __init__(
        self,
        epoch_utc: datetime,
        now_s: float = 0.0,
        *,
        stall_s: float = STALL_S,
        on_death: Death = end_process,
    ) -> None:
        super().__init__(on_death)
        if epoch_utc.tzinfo is None:
            raise ValueError("epoch_utc needs a time zone; nothing was started")
        self._epoch = epoch_utc.astimezone(UTC)
        self._now = now_s
        self._stall_s = stall_s
        self._sleepers: list[_Sleeper] = []
        self._sequence = 0
        self._busy: set[asyncio.Task[Any]] = set()
        self._calm = asyncio.Event()
        self._calm.set()
        self._advancing = False

    def utc(self) -> datetime:
        return self._epoch + timedelta(seconds=self._now)

    def monotonic(self) -> float:
        return self._now

    def spawn(self, name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = super().spawn(name, coro)
        self._set_busy(task)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._set_idle(task)
        super()._ended(task)

    def _set_busy(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None and task in self._tasks:
            self._busy.add(task)
            self._calm.clear()

    def _set_idle(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            self._busy.discard(task)
        if not self._busy:
            self._calm.set()

    def _member(self) -> asyncio.Task[Any] | None:
        task = asyncio.current_task()
        if task is not None and task in self._tasks:
            return task
        if _inside.get():
            raise RuntimeError(
                f"a child of task {_inside.get()!r} may not wait on the lockstep clock: its parent counts "
                f"as busy and time would stand still; start it with clock.spawn instead"
            )
        return None

    def _push(self, due: float, priority: int, task: asyncio.Task[Any] | None) -> _Sleeper:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        current = asyncio.current_task()
        self._sequence += 1
        name = current.get_name() if task is not None and current is not None else ""
        sleeper = _Sleeper(due, priority, name, self._sequence, future, task)
        heapq.heappush(self._sleepers, sleeper)
        return sleeper

    async def sleep_until(self, due: float, priority: int = 0) -> None:
        task = self._member()
        if task is None and due <= self._now:
            await asyncio.sleep(0)
            return
        sleeper = self._push(due, priority, task)
        self._set_idle(task)
        try:
            await sleeper.future
        finally:
            sleeper.future.cancel()
            self._set_busy(task)

    async def wait(self, event: asyncio.Event, due: float | None = None) -> bool:
        if event.is_set():
            return True
        task = self._member()
        sleeper = self._push(due, 0, task) if due is not None else None
        future = sleeper.future if sleeper else asyncio.get_running_loop().create_future()

        def came(_: asyncio.Task[Any]) -> None:
            if not future.done():
                self._set_busy(task)
                future.set_result(True)

        watcher = asyncio.ensure_future(event.wait())
        watcher.add_done_callback(came)
        self._set_idle(task)
        try:
            return await future or event.is_set()
        finally:
            watcher.remove_done_callback(came)
            watcher.cancel()
            future.cancel()
            self._set_busy(task)

    async def advance(self, t: float) -> None:
        """Bring virtual time to t, in seconds, waking sleepers by (due, priority) until nothing is due.

        Sleepers of one due time and priority wake together, in the order of their names; the next group
        wakes when all spawned tasks wait again. Raises LockstepStalled when that never happens, and
        ValueError for a t in the past.
        """
        if self._advancing:
            raise RuntimeError("advance() is running already; nothing was changed")
        if t < self._now:
            raise ValueError(
                f"virtual time is {self._now} s and cannot go back to {t} s; nothing was changed"
            )
        self._advancing = True
        try:
            await self._come_to_rest()
            while self._sleepers and self._sleepers[0].due <= t:
                due, priority = self._sleepers[0].due, self._sleepers[0].priority
                self._now = max(self._now, due)
                while self._sleepers and (self._sleepers[0].due, self._sleepers[0].priority) == (
                    due,
                    priority,
                ):
                    sleeper = heapq.heappop(self._sleepers)
                    if not sleeper.future.done():
                        self._set_busy(sleeper.task)
                        sleeper.future.set_result(False)
                await self._come_to_rest()
            self._now = t
        finally:
            self._advancing = False

    async def _come_to_rest(self) -> None:
        calm_passes = 0
        while calm_passes < SETTLE_PASSES:
            if self._busy:
                calm_passes = 0
                try:
                    async with asyncio.timeout(self._stall_s):
                        await self._calm.wait()
                except TimeoutError:
                    names = ", ".join(sorted(task.get_name() for task in self._busy))
                    raise LockstepStalled(
                        f"lockstep stands still at {self._now:.3f} s: after {self._stall_s:g} s of real time "
                        f"these tasks neither ended nor waited on the clock: {names}"
                    ) from None
                continue  # between the signal and here a task may have been woken again
            await asyncio.sleep(0)
            calm_passes += 1
