"""What a fleet of controllers with its supervisor costs by the virtual hour. It judges nothing.

Run it as `python -m hil_tests.measurements.measure_fleet [--devices N] [--hours H]`: a district of real
firmware in closed loop with its plant, polled over Modbus by the supervisor, as fast as the machine can.
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

from hil_tests.bench.provisioning import firmware_bundle
from hil_tests.bench.street import district
from hil_tests.bench.town_run import TownRun
from hil_tests.demo import Demo, Supervisor, held_port

FROST_C = -5.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
TELL_S = 600  # of virtual time between two lines of progress


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def measure(folder: Path, devices: int, hours: float, bundle: Path | None = None) -> dict[str, Any]:
    """Run `devices` controllers, the pump station among them, for some virtual hours after all are live."""
    district(folder / "district", devices - 1)
    weather = "".join(f"2026-01-{day}T00:00:00+00:00,{FROST_C}\n" for day in ("12", "31"))
    (folder / "district" / "weather.csv").write_text("utc,outdoor_temp_c\n" + weather)
    with contextlib.ExitStack() as stack:
        bundle = bundle or firmware_bundle(folder / "bundle")
        run = stack.enter_context(TownRun(folder / "run", folder / "district", bundle=bundle, seed=1))
        run.write_keys(folder / "data")
        port = stack.enter_context(held_port(0))
        supervisor = Supervisor(run.site_path, folder / "data", port, folder / "supervisor.log")
        stack.callback(supervisor.stop)
        demo = Demo(run, supervisor, lambda _: None)
        begin = time.monotonic()
        demo.start()
        assert supervisor.process is not None
        booted_s, boards = time.monotonic() - begin, run.clock.fleet.process_ids()
        live_at_ms = run.clock.now_ms

        def so_far() -> tuple[float, float, float]:
            assert supervisor.process is not None
            return sum(cpu_s(pid) for pid in boards), time.process_time(), cpu_s(supervisor.process.pid)

        before, begin, told_s = so_far(), time.monotonic(), 0.0
        while (passed_s := (run.clock.now_ms - live_at_ms) / 1000.0) < hours * 3600.0:
            demo.tick()
            if passed_s - told_s >= TELL_S:
                told_s = passed_s
                print(f"{passed_s:.0f} virtual s in {time.monotonic() - begin:.0f} s", file=sys.stderr)
        real_s = time.monotonic() - begin
        firmware_s, bench_s, supervisor_s = (b - a for a, b in zip(before, so_far(), strict=True))
        return {
            "devices": devices, "live": demo.live(), "virtual_s": passed_s,
            "until_live_s": round(booted_s, 1),
            "real_s": round(real_s, 1), "times_real_time": round(passed_s / real_s, 1),
            "firmware_cpu_s": round(firmware_s, 1), "bench_cpu_s": round(bench_s, 1),
            "supervisor_cpu_s": round(supervisor_s, 1),
            "least_s_on_two_cores": round((firmware_s + bench_s + supervisor_s) / 2.0, 1),
            "coldest_room_c": round(float(run.plant.room_temp_c.min()), 2), "sha256": run.clock.sha256,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=100, help="controllers, the pump station among them")
    parser.add_argument("--hours", type=float, default=1.0, help="virtual hours")
    given = parser.parse_args()
    if given.devices < 2 or not given.hours > 0.0:
        parser.error("a fleet has a pump station and at least one house, and runs for more than no time")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.devices, given.hours)))


if __name__ == "__main__":
    main()
