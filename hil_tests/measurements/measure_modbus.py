"""Requests per second of one controller, the whole firmware running, and what that costs the control task.

It judges nothing. The controller runs in the host's time with its control period of 2 s; the master is
compiled C, so that what is measured is the controller.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import registers

from ..bench.modbus import ModbusTcp
from ..bench.provisioning import Ports, provision

TEN_REGISTERS = 10  # as in the anchors that other implementations were measured with
REQUESTS = 20_000
PACED = Path(__file__).parents[1] / "bench" / "vm_board" / "paced.py"
SOURCE = Path(__file__).parent / "modbus_master.c"
PERIODS = 10


@dataclass
class Running:
    """A controller in the host's time."""

    port: int
    process: subprocess.Popen[str]


def start(folder: Path, bundle: Path, periods: int) -> Running:
    ports = Ports()
    device = provision(folder, bundle, "paced", "substation", ports.take(), seed=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "micropython", "-X", "heapsize=192k", str(PACED), str(device.board.flash),
         str(periods)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "listening" in line:
            return Running(device.port, process)
    raise RuntimeError("the controller did not start")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("master") / "master"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("controller"), firmware_bundle, 1_000_000)
    yield running
    running.process.kill()
    running.process.wait()


def ask(master: Path, port: int, function: int, address: int, count: int, requests: int) -> list[float]:
    """Return [seconds, p50, p99] of one run; latencies in us."""
    done = subprocess.run(
        [str(master), *map(str, (port, function, address, count, requests))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize(
    ("function", "name", "count"),
    [
        (3, "curve_cold_outdoor_temp_c", TEN_REGISTERS),
        (4, "outdoor_temp_c", TEN_REGISTERS),
        (4, "outdoor_temp_c", 63),
    ],
    ids=["FC 3 x 10", "FC 4 x 10", "FC 4 x 63"],
)
def test_a_c_master_asks_without_pause(
    benchmark: Any, master: Path, controller: Running, function: int, name: str, count: int
) -> None:
    address = registers.BY_NAME[name].address
    runs: list[list[float]] = []

    def once() -> None:
        runs.append(ask(master, controller.port, function, address, count, REQUESTS))

    benchmark.pedantic(once, rounds=5, iterations=1, warmup_rounds=1)
    best = min(runs)
    benchmark.extra_info.update(requests_s=round(REQUESTS / best[0]), p50_us=best[1], p99_us=best[2])
    print(f"\n{count} registers by FC {function}: {benchmark.extra_info}")


def test_the_control_period_under_a_c_master(
    benchmark: Any, master: Path, tmp_path: Path, firmware_bundle: Path
) -> None:
    """The period of the control task, its longest and shortest, while a master asks without pause."""
    running = start(tmp_path, firmware_bundle, PERIODS)
    address = registers.BY_NAME["curve_cold_outdoor_temp_c"].address
    asked = 0
    seconds = 0.0

    def until_the_end() -> None:
        nonlocal asked, seconds
        while running.process.poll() is None:
            try:
                seconds += ask(master, running.port, 3, address, TEN_REGISTERS, REQUESTS)[0]
                asked += REQUESTS
            except subprocess.CalledProcessError:
                break  # the controller has ended in the middle of a run

    benchmark.pedantic(until_the_end, rounds=1, iterations=1)
    assert running.process.stdout is not None
    told = json.loads(running.process.stdout.read().splitlines()[-1])
    running.process.wait()
    benchmark.extra_info.update(
        requests_s=round(asked / seconds), shortest_ms=min(told["periods_ms"]),
        longest_ms=max(told["periods_ms"]), heap_b=told["heap_b"],
    )  # fmt: skip
    print(f"\ncontrol period of 2 s over {PERIODS} periods: {benchmark.extra_info}")


def test_read_ten_registers_by_python(benchmark: Any, controller: Running) -> None:
    first = registers.BY_NAME["outdoor_temp_c"].address
    with ModbusTcp("127.0.0.1", controller.port) as client:
        assert len(benchmark(client.read_input, first, TEN_REGISTERS)) == TEN_REGISTERS
