"""A whole town on this machine: emulated plant, real firmware, the supervisor, one lockstep clock.

It starts the supervisor as its own process and speaks to it as anyone would, over HTTP and the lockstep
line. It refuses to use an old key, a fixed password or a site file of its own making: all three belong
to this run and go with it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bench.ending import ended_by_signal, run_folder
from .bench.errors import BenchError, PortTaken, WrongUse
from .bench.lockstep import Lockstep
from .bench.plant.town import Town
from .bench.provisioning import Ports
from .bench.recording import Recording
from .bench.town_run import TOWN_FILES, TownRun, require_town_files

EXAMPLES = Path(__file__).parent.parent / "examples"
KNOWN_TOWNS = ("schutterwald", "valley")
JOIN_DEADLINE_S = 120.0  # real seconds: imports and an empty data folder on a busy machine
LIVE_WITHIN_S = 600.0  # simulated seconds until every controller must have answered
STOP_DEADLINE_S = 20.0
PROGRESS_S = 2.0
WARM_UP_S = 86_400.0  # the first day of a town's weather; repetitions begin after it
WINTERS = 500  # nine years of the same week, so that no demo outlives its weather
HOST = "127.0.0.1"
SUPERVISOR_LOG_LINES = 20


class SupervisorFailed(BenchError):
    """The supervisor did not start, ended, or does not see the town."""

    code = "demo.supervisor_failed"


Say = Callable[[str], None]


@dataclass
class Supervisor:
    """The supervisor's process, its data folder and its answers over HTTP."""

    site: Path
    data: Path
    port: int
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    token_file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.token_file = self.data / "login-link"

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self, lockstep: tuple[str, int]) -> None:
        """Start the process; it joins the clock by itself."""
        host, port = lockstep
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.demo", str(self.site), "--data", str(self.data),
                 "--port", str(self.port), "--lockstep", f"{host}:{port}",
                 "--login-token-file", str(self.token_file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                process_group=0,  # as the controllers: Ctrl-C is for the bench
            )  # fmt: skip

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """Return the last lines it wrote."""
        if not self.log_path.exists():
            return "(nothing)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-SUPERVISOR_LOG_LINES:])

    def health(self) -> dict[str, Any]:
        """Return /healthz, {} while nothing answers there."""
        try:
            with urllib.request.urlopen(f"{self.address}/healthz", timeout=5.0) as answer:
                content = json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def login_link(self) -> str | None:
        """Return the single-use login link of this run, None when there is none."""
        try:
            text = self.token_file.read_text().strip()
        except OSError:
            return None
        return text if text.startswith("http") else f"{self.address}/login/link/{text}" if text else None

    def kill(self) -> None:
        """End it as a power cut would (-9)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()


def town_folder(site: str, scratch: Path) -> Path:
    """Return the folder of a known town or of a site file given by path. Raises WrongUse."""
    if site in KNOWN_TOWNS:
        folder = EXAMPLES / site
        if (folder / "site.toml").is_file():
            return folder
        maker = folder / f"make_{site}.py"
        if maker.is_file():
            made = scratch / site
            done = subprocess.run(
                [sys.executable, "-m", f"examples.{site}.make_{site}", str(made)],
                cwd=EXAMPLES.parent, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0 and (made / "site.toml").is_file():
                return made
            raise WrongUse(
                f"--site {site}: it could not be generated; nothing was started. {done.stderr[-500:]}"
            )
        raise WrongUse(f"--site {site}: its files are not installed at {folder}; nothing was started")
    path = Path(site)
    if not path.exists():
        raise WrongUse(
            f"--site {site}: no such town or file; nothing was started. Known towns: {', '.join(KNOWN_TOWNS)}"
        )
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name != "site.toml":  # a site file of another name beside the town's files
        require_town_files(folder, site_file=path.name)
        folder = scratch / "own"
        folder.mkdir()
        for file in path.parent.iterdir():
            if file.name in TOWN_FILES:
                shutil.copy(file, folder)
        shutil.copy(path, folder / "site.toml")
    require_town_files(folder)
    return folder


@contextmanager
def held_port(wanted: int) -> Iterator[int]:
    """Keep the wanted port, or a free one for 0, from everybody but the supervisor.

    Raises PortTaken when somebody listens there.
    """
    ports = Ports()
    try:
        port = ports.take(wanted)
    except OSError as error:
        raise PortTaken(
            f"port {wanted}: {error.strerror}; nothing was started. Choose another with --port, or leave "
            "it out and read the address from the output"
        ) from None
    try:
        yield port
    finally:
        ports.close()


@dataclass
class Demo:
    """One running demo. `recording` takes note of every tick from power-on."""

    run: TownRun
    supervisor: Supervisor
    say: Say
    recording: Recording = field(init=False)

    def __post_init__(self) -> None:
        self.recording = Recording(self.run.town.substations.id)
        self.run.clock.recorders.append(self._record)

    def _record(self, clock: Lockstep) -> None:
        self.recording.tick(clock.now_ms / 1000.0, clock.tick_ms / 1000.0, self.run.plant)

    def start(self) -> None:
        """Power the town, start the supervisor, and run until it sees every controller live.

        Raises SupervisorFailed with the supervisor's last lines when it does not come to that.
        """
        clock = self.run.clock
        started = time.monotonic()
        self.run.power_on()
        self.say(
            f"{len(self.run.devices)} controllers run the shipped firmware "
            f"({time.monotonic() - started:.1f} s)"
        )
        self.supervisor.start(clock.open_door())
        if not clock.wait_for_member("supervisor", JOIN_DEADLINE_S, self.supervisor.running):
            raise SupervisorFailed(
                f"the supervisor did not join the clock; the demo stopped. Its last lines:\n"
                f"{self.supervisor.log()}"
            )
        until_ms = clock.now_ms + round(LIVE_WITHIN_S * 1000)
        wanted = len(self.run.devices)
        live = 0
        while live < wanted:
            if clock.now_ms >= until_ms:
                raise SupervisorFailed(
                    f"{live} of {wanted} controllers live after {LIVE_WITHIN_S:g} simulated s; the demo "
                    f"stopped. The supervisor's last lines:\n{self.supervisor.log()}"
                )
            self.tick()
            live = self.live()

    def live(self) -> int:
        """Return how many controllers the supervisor holds for live, by its own word."""
        return int(self.supervisor.health().get("devices_live", 0))

    def tick(self, *, measure_heap: bool = False) -> None:
        """Run one tick. Raises SupervisorFailed when the supervisor has ended."""
        if not self.supervisor.running():
            raise SupervisorFailed(
                f"the supervisor ended; the demo stopped. Its last lines:\n{self.supervisor.log()}"
            )
        self.run.clock.step(measure_heap=measure_heap)
        self.run.clock.pace()


def run_demo(
    *,
    site: str,
    for_s: float | None,
    speed: float | None,
    port: int,
    say: Say,
    progress: Callable[[str], None],
    live: Callable[[Demo], None] | None = None,
    finish: Callable[[Demo, float], dict[str, Any]] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Run the demo until Ctrl-C or for `for_s` real seconds after everybody is live; return its result.

    live: called once every controller is live, to attach recorders. finish: called at the end, the town
    still running, with the real seconds since; what it returns joins the result {passed, sha256, kpi,
    simulated_s, live, devices}.
    """
    with (
        held_port(port) as chosen,
        run_folder("demo") as folder,
        ended_by_signal(),
        contextlib.ExitStack() as stack,
    ):
        source = town_folder(site, folder)
        weather = Town.load(source).weather().repeated(WARM_UP_S, WINTERS)
        run = stack.enter_context(TownRun(folder / "run", source, seed=seed, speed=speed, weather=weather))
        data = folder / "data"
        run.write_keys(data)
        supervisor = Supervisor(run.site_path, data, chosen, folder / "supervisor.log")
        stack.callback(supervisor.stop)
        demo = Demo(run, supervisor, say)
        demo.start()
        houses = len(run.town.substations)
        say(f"{houses} of {houses} substations live, and the pump station")
        say(f"Screens: {supervisor.address}")
        if link := supervisor.login_link():
            say(f"Log in once, within five minutes: {link}")
        say("Ctrl-C ends the demo." if for_s is None else f"It ends by itself after {for_s:g} s.")
        if live is not None:
            live(demo)
        begin = time.monotonic()
        next_line = begin
        with ended_by_signal():
            while for_s is None or time.monotonic() - begin < for_s:
                demo.tick()
                if time.monotonic() >= next_line:
                    next_line = time.monotonic() + PROGRESS_S
                    progress(_progress_line(demo))
        result: dict[str, Any] = {
            "passed": demo.live() == len(run.devices),
            "sha256": run.clock.sha256,
            "kpi": demo.recording.kpi(),
            "simulated_s": run.clock.now_ms / 1000.0,
            "live": demo.live(),
            "devices": len(run.devices),
        }
        if finish is not None:
            result.update(finish(demo, time.monotonic() - begin))
        return result
    raise KeyboardInterrupt  # ended before everybody was live


def _progress_line(demo: Demo) -> str:
    clock, plant = demo.run.clock, demo.run.plant
    return (
        f"{clock.utc:%a %d %b %H:%M} UTC  outdoor {plant.outdoor_temp_c:.1f} °C  "
        f"lowest dp {float(plant.primary_dp_pa.min()) / 1e5:.2f} bar  "
        f"coldest room {float(plant.room_temp_c.min()):.1f} °C  live {demo.live()}/{len(demo.run.devices)}"
    )
