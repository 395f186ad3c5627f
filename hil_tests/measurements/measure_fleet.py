"""What a fleet of controllers costs by the virtual hour. It judges nothing.

Run it as `python -m hil_tests.measurements.measure_fleet [--devices N] [--hours H] [--asked-by bench]`: a
district of real firmware in closed loop with its plant, as fast as the machine can. Every controller is
polled over Modbus every ten virtual seconds, by the whole supervisor or by a client of the bench alone.
Processor time stands beside real time, because other work on the machine takes from the latter only.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from firmware.substation import registers
from hil_tests.bench.controller import Controller
from hil_tests.bench.provisioning import firmware_bundle
from hil_tests.bench.street import district
from hil_tests.bench.town_run import TownRun
from hil_tests.demo import Demo, Supervisor, held_port
from hil_tests.scenario_run import pss_mb

FROST_C = -5.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
TELL_S = 600  # of virtual time between two lines of progress
SUPERVISOR, BENCH = "supervisor", "bench"
POLL_S = 10.0  # the supervisor's usual cycle
BOOT_TICKS = 30


def stretch(first: Any, last: Any) -> tuple[int, int]:
    """Return address and words of the input registers from one row to another."""
    return first.address, last.address + registers.words_of(last) - first.address


_CLOCK, _STATUS = registers.BY_NAME["unix_time_s"], registers.STATUS[-1]
POLLED = {  # in every cycle
    registers.SUBSTATION: (stretch(_CLOCK, registers.SUBSTATION_FUNCTIONS[-1]),),
    registers.PUMP_STATION: (
        stretch(_CLOCK, _STATUS),
        stretch(registers.PUMP_STATION_INPUTS[0], registers.PUMP_STATION_FUNCTIONS[-1]),
    ),
}


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


class PollingClient:
    """Reads of every controller what a supervisor reads in each cycle, a share of them after every tick."""

    def __init__(self, run: TownRun) -> None:
        self._clock = run.clock
        noted = run.clock.note_bus
        self._controllers = [Controller(device, row, noted) for row, device in enumerate(run.devices)]
        self._shares = round(POLL_S * 1000.0 / run.clock.tick_ms)
        self._tick = 0
        self.answers = 0

    def tick(self) -> None:
        """Let one tick pass, and poll those whose turn it is. Raises where one does not answer."""
        self._clock.step()
        self._tick += 1
        for controller in self._controllers[self._tick % self._shares :: self._shares]:
            for address, count in POLLED[controller.device.profile]:
                controller.client().read_input(address, count)
            self.answers += 1

    def live(self) -> int:
        """Return how many answer now."""
        return sum(controller.identity().uptime_s > 0 for controller in self._controllers)


def measure(
    folder: Path, devices: int, hours: float, bundle: Path | None = None, asked_by: str = SUPERVISOR
) -> dict[str, Any]:
    """Run `devices` controllers, the pump station among them, for some virtual hours after all are live.

    asked_by: "supervisor", a process of its own, or "bench".
    """
    district(folder / "district", devices - 1)
    weather = "".join(f"2026-01-{day}T00:00:00+00:00,{FROST_C}\n" for day in ("12", "31"))
    (folder / "district" / "weather.csv").write_text("utc,outdoor_temp_c\n" + weather)
    with contextlib.ExitStack() as stack:
        bundle = bundle or firmware_bundle(folder / "bundle")
        run = stack.enter_context(TownRun(folder / "run", folder / "district", bundle=bundle, seed=1))
        begin = time.monotonic()
        master: Demo | PollingClient
        supervisor_pids: list[int] = []
        if asked_by == SUPERVISOR:
            run.write_keys(folder / "data")
            port = stack.enter_context(held_port(0))
            supervisor = Supervisor(run.site_path, folder / "data", port, folder / "supervisor.log")
            stack.callback(supervisor.stop)
            master = Demo(run, supervisor, lambda _: None)
            master.start()
            assert supervisor.process is not None
            supervisor_pids = [supervisor.process.pid]
        else:
            run.power_on()
            master = PollingClient(run)
            for _ in range(BOOT_TICKS):
                master.tick()
        booted_s, boards = time.monotonic() - begin, run.clock.fleet.process_ids()
        live_at_ms = run.clock.now_ms

        def so_far() -> tuple[float, float, float]:
            return sum(cpu_s(pid) for pid in boards), time.process_time(), sum(map(cpu_s, supervisor_pids))

        before, begin, told_s = so_far(), time.monotonic(), 0.0
        while (passed_s := (run.clock.now_ms - live_at_ms) / 1000.0) < hours * 3600.0:
            master.tick()
            if passed_s - told_s >= TELL_S:
                told_s = passed_s
                print(f"{passed_s:.0f} virtual s in {time.monotonic() - begin:.0f} s", file=sys.stderr)
        real_s = time.monotonic() - begin
        firmware_s, bench_s, supervisor_s = (b - a for a, b in zip(before, so_far(), strict=True))
        return {
            "devices": devices, "asked_by": asked_by, "live": master.live(), "virtual_s": passed_s,
            "until_live_s": round(booted_s, 1),
            "real_s": round(real_s, 1), "times_real_time": round(passed_s / real_s, 1),
            "firmware_cpu_s": round(firmware_s, 1), "bench_cpu_s": round(bench_s, 1),
            "supervisor_cpu_s": round(supervisor_s, 1),
            "least_s_on_two_cores": round((firmware_s + bench_s + supervisor_s) / 2.0, 1),
            "memory_mb_each": round(sum(map(pss_mb, boards)) / devices, 2),
            "coldest_room_c": round(float(run.plant.room_temp_c.min()), 2), "sha256": run.clock.sha256,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=100, help="controllers, the pump station among them")
    parser.add_argument("--hours", type=float, default=1.0, help="virtual hours")
    parser.add_argument("--asked-by", choices=(SUPERVISOR, BENCH), default=SUPERVISOR, help="who polls them")
    given = parser.parse_args()
    if given.devices < 2 or not given.hours > 0.0:
        parser.error("a fleet has a pump station and at least one house, and runs for more than no time")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.devices, given.hours, asked_by=given.asked_by)))


if __name__ == "__main__":
    main()
