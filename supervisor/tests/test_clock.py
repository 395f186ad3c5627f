"""The clock: order of waking, rest before time moves, repeatability, and the end that a dead task brings."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from ..clock import LockstepClock, LockstepStalled, WallClock

EPOCH = datetime(2026, 1, 12, tzinfo=UTC)


class Deaths:
    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.names.append(f"{name}: {error}")


async def test_sleepers_wake_by_due_time_then_priority_then_name() -> None:
    clock = LockstepClock(EPOCH)
    woken: list[str] = []

    async def sleeper(name: str, due: float, priority: int) -> None:
        await clock.sleep_until(due, priority)
        woken.append(f"{name}@{clock.monotonic():g}")

    clock.spawn("d", sleeper("d", 2.0, 5))
    clock.spawn("c", sleeper("c", 2.0, 0))
    clock.spawn("b", sleeper("b", 2.0, 0))
    clock.spawn("a", sleeper("a", 1.0, 9))
    clock.spawn("z", sleeper("z", 9.0, 0))
    await clock.advance(4.0)

    assert woken == ["a@1", "b@2", "c@2", "d@2"]
    assert clock.monotonic() == 4.0
    assert clock.utc() == datetime(2026, 1, 12, 0, 0, 4, tzinfo=UTC)
    await clock.close()


async def test_time_stands_still_while_a_task_talks_to_a_real_socket() -> None:
    """A step that needs real network time takes no virtual time, and the later priority waits for it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            await asyncio.sleep(0.02)  # the device is slow in real time
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = LockstepClock(EPOCH)
    events: list[tuple[str, float]] = []

    async def poll() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for due in (1.0, 2.0, 3.0):
            await clock.sleep_until(due)
            writer.write(b"x")
            await reader.readexactly(1)
            events.append(("polled", clock.monotonic()))
        writer.close()

    async def coordinate() -> None:
        for due in (1.0, 2.0, 3.0):
            await clock.sleep_until(due, priority=5)
            events.append(("coordinated", clock.monotonic()))

    clock.spawn("coordinate", coordinate())
    clock.spawn("poll", poll())
    await clock.advance(10.0)

    assert events == [(what, t) for t in (1.0, 2.0, 3.0) for what in ("polled", "coordinated")]
    server.close()
    await clock.close()


async def test_an_event_wakes_its_waiter_before_time_moves_on() -> None:
    clock = LockstepClock(EPOCH)
    event = asyncio.Event()
    seen: list[tuple[str, float]] = []

    async def waiter() -> None:
        assert await clock.wait(event, due=50.0)
        seen.append(("woken", clock.monotonic()))

    async def setter() -> None:
        await clock.sleep_until(3.0)
        event.set()

    async def later() -> None:
        await clock.sleep_until(3.0, priority=1)
        seen.append(("later", clock.monotonic()))

    for name, coro in (("waiter", waiter()), ("setter", setter()), ("later", later())):
        clock.spawn(name, coro)
    await clock.advance(10.0)

    assert seen == [("woken", 3.0), ("later", 3.0)]
    await clock.close()


async def test_a_wait_that_nobody_ends_ends_at_its_due_time() -> None:
    clock = LockstepClock(EPOCH)
    outcome: list[tuple[bool, float]] = []

    async def waiter() -> None:
        outcome.append((await clock.wait(asyncio.Event(), due=7.5), clock.monotonic()))

    clock.spawn("waiter", waiter())
    await clock.advance(7.0)
    assert outcome == []
    await clock.advance(8.0)
    assert outcome == [(False, 7.5)]
    await clock.close()


async def test_the_same_tasks_give_the_same_history_whatever_the_real_delays() -> None:
    async def run(seed: int) -> list[tuple[float, str]]:
        delays = random.Random(seed)
        clock = LockstepClock(EPOCH)
        history: list[tuple[float, str]] = []

        async def member(name: str, period: float) -> None:
            due = period
            while True:
                await clock.sleep_until(due)
                history.append((clock.monotonic(), name))
                await asyncio.sleep(delays.uniform(0, 0.002))
                due += period

        for name, period in (("one", 0.5), ("two", 0.75), ("three", 1.0)):
            clock.spawn(name, member(name, period))
        for t in range(1, 7):
            await clock.advance(float(t))
        await clock.close()
        return history

    first = await run(1)
    assert len(first) == 12 + 8 + 6
    assert await run(2) == first


async def test_a_task_that_never_rests_is_named() -> None:
    clock = LockstepClock(EPOCH, stall_s=0.05)

    async def stuck() -> None:
        await asyncio.Event().wait()

    clock.spawn("stuck-one", stuck())
    with pytest.raises(LockstepStalled, match="stuck-one"):
        await clock.advance(1.0)
    await clock.close()


async def test_a_child_of_a_spawned_task_may_not_sleep_in_lockstep() -> None:
    deaths = Deaths()
    clock = LockstepClock(EPOCH, on_death=deaths)

    async def parent() -> None:
        await asyncio.gather(clock.sleep_until(1.0))

    clock.spawn("parent", parent())
    await clock.advance(2.0)
    assert deaths.names and "clock.spawn" in deaths.names[0]


async def test_a_stranger_may_sleep_but_nobody_waits_for_it() -> None:
    clock = LockstepClock(EPOCH)
    stranger = asyncio.create_task(clock.sleep_until(5.0))
    await asyncio.sleep(0)
    await clock.advance(4.0)
    assert not stranger.done()
    await clock.advance(6.0)
    await asyncio.wait_for(stranger, 5)


async def test_a_cancelled_sleeper_neither_wakes_nor_blocks() -> None:
    clock = LockstepClock(EPOCH)
    task = clock.spawn("sleeper", clock.sleep_until(5.0))
    await clock.advance(1.0)
    task.cancel()
    await clock.advance(10.0)
    assert task.cancelled()


async def test_time_does_not_go_back() -> None:
    clock = LockstepClock(EPOCH, now_s=10.0)
    with pytest.raises(ValueError, match="cannot go back"):
        await clock.advance(9.0)


async def test_the_wall_clock_waits_and_gives_up() -> None:
    clock = WallClock()
    event = asyncio.Event()
    assert not await clock.wait(event, clock.monotonic() + 0.01)
    event.set()
    assert await clock.wait(event)
    before = clock.monotonic()
    await clock.sleep_until(before + 0.02)
    assert clock.monotonic() >= before + 0.02
    assert clock.utc().tzinfo is UTC


@pytest.mark.parametrize("kind", ["WallClock()", "LockstepClock(datetime(2026, 1, 1, tzinfo=UTC))"])
def test_a_dead_task_ends_the_process(kind: str) -> None:
    program = f"""
import asyncio
from datetime import UTC, datetime
from supervisor.clock import LockstepClock, WallClock

async def main():
    clock = {kind}
    async def dies():
        raise OSError("the bus is gone")
    clock.spawn("poller of house-17", dies())
    await asyncio.sleep(60)
    print("still alive")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert "poller of house-17" in done.stderr and "the bus is gone" in done.stderr
    assert "still alive" not in done.stdout


async def test_a_task_whose_answer_meets_its_cancellation_still_ends() -> None:
    clock = WallClock(on_death=Deaths())
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def polls_for_ever() -> None:
        await asyncio.wait_for(answer, 60.0)  # until Python 3.12 this may swallow the cancellation
        await asyncio.Event().wait()

    task = clock.spawn("poller of house-17", polls_for_ever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answer.set_result(None)
    async with asyncio.timeout(20):
        await clock.close()
    assert task.done()
