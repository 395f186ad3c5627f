"""The VM's clock, asyncio and watchdog obey the bench, to the millisecond."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..bench.board_io import BoardInputs, BoardOutputs
from ..bench.errors import DeviceFailed
from ..bench.fleet import Board, Fleet
from ..bench.lockstep import Lockstep

WATCHDOG_RESET = 3


class Nothing:
    """A plant with nothing in it: every sensor open."""

    def __init__(self, boards: int = 1) -> None:
        self.boards = boards

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        return self.sense()

    def sense(self) -> BoardInputs:
        return BoardInputs.unconnected(self.boards)


class Bare:
    """Lockstep over boards that run one small program each."""

    def __init__(self, folder: Path, programs: list[str], seed: int | None = 7, first_tick: int = 0) -> None:
        boards = []
        for i, program in enumerate(programs):
            flash = folder / f"flash-{i}"
            flash.mkdir(parents=True)
            (flash / "main.py").write_text(program)
            boards.append(Board(f"board-{i}", bytes([i] * 8), flash, folder / f"console-{i}.log"))
        self.fleet = Fleet(boards, seed=seed, deadline_s=20.0, first_tick=first_tick)
        self.clock = Lockstep(Nothing(len(boards)), self.fleet)

    def lines(self, index: int = 0) -> list[str]:
        return self.fleet.console(index, lines=1000).splitlines()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[list[Bare]]:
    made: list[Bare] = []
    yield made
    for each in made:
        each.clock.close()


def run(made: list[Bare], folder: Path, program: str, seconds: float) -> Bare:
    bare = Bare(folder, [program])
    made.append(bare)
    bare.clock.power_on()
    bare.clock.run_for(seconds)
    return bare


ASYNC = """
import asyncio
from time import ticks_ms

async def main():
    {body}

asyncio.run(main())
while True:
    pass_the_time = __import__("time").sleep(3600)
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            """
    for ms in (0, 1, 999, 1000, 2500):
        await asyncio.sleep_ms(ms)
        print(ticks_ms())
""",
            ["0", "1", "1000", "2000", "4500"],
        ),
        (
            """
    try:
        await asyncio.wait_for_ms(value_after(9000), 3210)
    except asyncio.TimeoutError:
        print("timeout", ticks_ms())
    print(await asyncio.wait_for(value_after(700), 3), ticks_ms())
""",
            ["timeout 3210", "700 3910"],
        ),
        (
            """
    event = asyncio.Event()
    waiter = asyncio.create_task(wait(event))
    await asyncio.sleep_ms(1234)
    event.set()
    await waiter
""",
            ["set 1234"],
        ),
        (
            """
    task = asyncio.create_task(sleeper())
    await asyncio.sleep_ms(4321)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled", ticks_ms())
""",
            ["cleanup 4321", "cancelled 4321"],
        ),
        (
            """
    lock = asyncio.Lock()
    async def hold(name, ms):
        async with lock:
            await asyncio.sleep_ms(ms)
            print(name, ticks_ms())
    await asyncio.gather(hold("a", 300), hold("b", 200), hold("c", 100))
""",
            ["a 300", "b 500", "c 600"],
        ),
        (
            """
    task = asyncio.create_task(fails())
    try:
        await task
    except ValueError as error:
        print(error, ticks_ms())
    task = asyncio.create_task(wait(asyncio.Event()))
    await asyncio.sleep_ms(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("left the event's queue", ticks_ms())
""",
            ["broken 50", "left the event's queue 50"],
        ),
    ],
    ids=["sleep", "wait_for", "event", "cancel", "lock-and-gather", "exception"],
)
def test_asyncio_counts_virtual_milliseconds(
    bare: list[Bare], tmp_path: Path, body: str, expected: list[str]
) -> None:
    program = """
async def value_after(ms):
    await asyncio.sleep_ms(ms)
    return ms

async def wait(event):
    await event.wait()
    print("set", ticks_ms())

async def sleeper():
    try:
        await asyncio.sleep(100)
    finally:
        print("cleanup", ticks_ms())

async def fails():
    await asyncio.sleep_ms(50)
    raise ValueError("broken")
"""
    whole = ASYNC.format(body=body).replace("async def main", program + "\nasync def main", 1)
    board = run(bare, tmp_path, whole, 20)
    assert board.lines() == expected


def test_blocking_sleep_takes_virtual_time_over_many_ticks(bare: list[Bare], tmp_path: Path) -> None:
    board = run(
        bare,
        tmp_path,
        "import time\nprint(time.time())\ntime.sleep(7.5)\nprint(time.ticks_ms(), time.time())\n"
        "time.sleep(9999)",
        10,
    )
    assert board.lines() == ["1609459200", "7500 1609459207"]


def test_ticks_wrap_as_on_a_32_bit_board(bare: list[Bare], tmp_path: Path) -> None:
    board = run(
        bare,
        tmp_path,
        "from time import *\n"
        "last = (1 << 30) - 1\n"
        "print(ticks_add(last, 11), ticks_diff(ticks_add(last, 11), last), ticks_diff(last, 10))\n"
        "sleep(9999)",
        2,
    )
    assert board.lines() == ["10 11 -11"]


def test_an_unfed_watchdog_bites_at_its_time_and_the_board_starts_there(
    bare: list[Bare], tmp_path: Path
) -> None:
    program = """
import machine, time
print("cause", machine.reset_cause())
dog = machine.WDT(timeout=5000)
time.sleep(3)
dog.feed()
time.sleep(3600)
"""
    board = run(bare, tmp_path, program, 30)
    bites = [8_000, 16_000, 24_000]
    assert board.fleet.resets(0) == [(at, WATCHDOG_RESET) for at in bites]
    assert board.lines() == ["cause 1", "cause 3", "cause 3", "cause 3"]


def test_a_fed_watchdog_never_bites(bare: list[Bare], tmp_path: Path) -> None:
    program = """
import asyncio, machine
async def main():
    dog = machine.WDT(timeout=5000)
    while True:
        await asyncio.sleep_ms(5000)
        dog.feed()
asyncio.run(main())
"""
    board = run(bare, tmp_path, program, 600)
    assert board.fleet.resets(0) == []


def test_the_watchdog_is_no_longer_than_the_chip_allows(bare: list[Bare], tmp_path: Path) -> None:
    program = """
import machine, time
try:
    machine.WDT(timeout=8389)
except ValueError:
    print("refused")
time.sleep(9999)
"""
    assert run(bare, tmp_path, program, 2).lines() == ["refused"]


def test_reset_ends_the_program_at_once_and_runs_no_handler(bare: list[Bare], tmp_path: Path) -> None:
    program = """
import machine, time
if machine.reset_cause() == machine.WDT_RESET:
    print("again", time.ticks_ms())
    time.sleep(9999)
try:
    time.sleep_ms(1700)
    machine.reset()
except BaseException:
    print("caught")
finally:
    print("finally")
"""
    board = run(bare, tmp_path, program, 10)
    assert board.fleet.resets(0) == [(1_700, WATCHDOG_RESET)]  # as an RP2040 tells of machine.reset()
    assert board.lines() == ["again 0"]


def test_relay_time_is_counted_to_the_millisecond(bare: list[Bare], tmp_path: Path) -> None:
    program = """
import asyncio
from machine import Pin
async def main():
    relay = Pin(10, Pin.OUT, value=0)
    await asyncio.sleep_ms(1500)
    relay.on()
    await asyncio.sleep_ms(3100)
    relay.off()
    await asyncio.sleep(9999)
asyncio.run(main())
"""
    board = Bare(tmp_path, [program])
    bare.append(board)
    board.clock.power_on()
    times = []
    for _ in range(4):
        board.clock.step()
        times.append(float(board.clock.outputs.open_s[0]))
    assert times == [0.5, 2.0, 0.6, 0.0]


def test_a_program_that_ends_without_a_watchdog_stops_the_run_with_its_last_words(
    bare: list[Bare], tmp_path: Path
) -> None:
    with pytest.raises(DeviceFailed) as caught:
        run(bare, tmp_path, "print('one')\nraise ValueError('no such pin')", 4)
    assert "board-0" in str(caught.value)
    assert "no such pin" in str(caught.value)
    assert caught.value.code == "bench.device_failed"


def test_a_hung_board_is_named_with_its_last_words(bare: list[Bare], tmp_path: Path) -> None:
    board = Bare(tmp_path, ["import time\ntime.sleep(3)\nprint('going in')\nwhile True:\n    pass"])
    board.fleet._deadline_s = 1.0
    bare.append(board)
    board.clock.power_on()
    with pytest.raises(DeviceFailed, match=r"(?s)board-0.*did not finish.*going in"):
        board.clock.run_for(4)


def test_sockets_are_served_while_time_stands(bare: list[Bare], tmp_path: Path) -> None:
    """A hundred questions between two ticks are all answered at the same virtual instant."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    program = f"""
import asyncio
from time import ticks_ms
async def serve(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            return
        writer.write(b"%d " % ticks_ms() + line)
        await writer.drain()
async def main():
    await asyncio.start_server(serve, "127.0.0.1", {port})
    while True:
        await asyncio.sleep_ms(333)
asyncio.run(main())
"""
    board = run(bare, tmp_path, program, 6)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        answers = line.makefile("rb")
        for i in range(100):
            line.sendall(b"%d\n" % i)
            assert answers.readline() == b"6000 %d\n" % i
        board.clock.step()
        line.sendall(b"on\n")
        assert answers.readline() == b"8000 on\n"


BUSY = """
import asyncio, os, random
from machine import ADC, Pin, PWM
async def jitter(pin):
    relay = Pin(pin, Pin.OUT)
    while True:
        relay.toggle()
        await asyncio.sleep_ms(1 + os.urandom(1)[0] + random.randrange(700))
async def duty():
    out = PWM(Pin(13))
    while True:
        await asyncio.sleep_ms(500)
        out.duty_u16((out.duty_u16() + ADC(0).read_u16() + random.getrandbits(8)) & 0xFFFF)
async def main():
    await asyncio.gather(jitter(10), jitter(11), jitter(12), duty())
asyncio.run(main())
"""


def test_same_seed_same_digest_three_times_and_another_seed_another(bare: list[Bare], tmp_path: Path) -> None:
    digests = []
    for attempt, seed in enumerate((7, 7, 7, 8)):
        board = Bare(tmp_path / str(attempt), [BUSY] * 4, seed=seed)
        bare.append(board)
        board.clock.power_on()
        board.clock.run_for(600)
        digests.append(board.clock.sha256)
        board.clock.close()
    assert digests[0] == digests[1] == digests[2]
    assert digests[3] != digests[0]


def test_without_a_seed_no_two_boots_draw_the_same(bare: list[Bare], tmp_path: Path) -> None:
    program = "import os, machine, time\nprint(os.urandom(16).hex())\ntime.sleep(1)\nmachine.reset()"
    board = Bare(tmp_path, [program], seed=None)
    bare.append(board)
    board.clock.power_on()
    board.clock.run_for(6)
    assert len(board.lines()) == len(set(board.lines())) >= 6


def test_cut_off_and_on(bare: list[Bare], tmp_path: Path) -> None:
    """A cut stops the process where it stands and its outputs; the flash keeps what was written."""
    program = """
import os, time
from machine import Pin
boots = len([name for name in os.listdir() if name.startswith("boot-")])
open("boot-%d" % boots, "w").close()
print("boot", boots, time.ticks_ms())
Pin(12, Pin.OUT).on()
time.sleep(99999)
"""
    board = Bare(tmp_path, [program, program])
    bare.append(board)
    board.clock.power_on()
    board.clock.run_for(4)
    assert board.clock.outputs.pump_on_s.tolist() == [2.0, 2.0]
    killed = board.fleet.process_ids()[1]
    board.fleet.cut([1])
    assert not Path(f"/proc/{killed}").exists()
    board.clock.run_for(4)
    assert board.clock.outputs.pump_on_s.tolist() == [2.0, 0.0]
    board.fleet.on([1])
    board.clock.step()
    assert board.clock.outputs.pump_on_s.tolist() == [2.0, 2.0]
    board.fleet.off([0])
    assert not board.fleet.powered(0)
    assert board.lines(0) == ["boot 0 0"]
    assert board.lines(1) == ["boot 0 0", "boot 1 0"]


def test_the_pool_of_a_heap_is_what_its_blocks_share(bare: list[Bare], tmp_path: Path) -> None:
    """What a measured live heap is taken from, to know what is free."""
    program = "import gc\nprint('pool', gc.mem_alloc() + gc.mem_free())\nwhile True: pass_time()\n"
    program = program.replace("pass_time()", "__import__('time').sleep(60)")
    made = run(bare, tmp_path, program, 2)
    (told,) = [int(line.split()[1]) for line in made.lines() if line.startswith("pool ")]
    assert made.fleet.pool_b == pytest.approx(told, abs=512)
