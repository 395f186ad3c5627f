"""A small town that really runs: emulated controllers with the shipped firmware and `toplovod serve`.

For tests of HTTP and screens. It refuses shortcuts: everything is a process of its own and reached over its
sockets, as an operator's browser would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from core_ext import Network

from ..access import EVERYWHERE, OPERATOR, VIEWER, Access
from ..audit import Audit
from ..clock import WallClock
from ..settings import Settings
from ..site import Site
from ..state import open_state

PASSWORDS = {
    "marta": "seven blue kettles hum",
    "bojan": "orange tram in the rain",
    "vesna": "quiet river under snow",
    "north-only": "nine lanterns on a wall",
}
ROLES = {
    "marta": {EVERYWHERE: OPERATOR},
    "bojan": {EVERYWHERE: OPERATOR},
    "vesna": {EVERYWHERE: VIEWER},
    "north-only": {"north": OPERATOR, "south": VIEWER},
}
HOUSES = 3
START_WITHIN_S = 90.0
BACK_OFF_DEADLINE_S = 60.0


class RunningTown:
    """Three houses, the last with DHW and a second circuit, and a pump station, polled every two seconds.

    `lose` takes a house off the bus.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.base = ""
        self._emulators: list[subprocess.Popen[str]] = []
        self._server: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start controllers and server, and wait until all are live."""
        self.data.mkdir(mode=0o700)
        # one process each, so that one house can be taken away
        facts = [self._emulate("--profile", "substation") for _ in range(HOUSES - 1)]
        facts += [self._emulate("--whole-house"), self._emulate("--profile", "pump_station")]
        self._write_site(facts)
        asyncio.run(self._add_people())
        self.serve()
        with self.client() as client:
            until(lambda: client.get("/healthz").json()["devices_live"] == HOUSES + 1, START_WITHIN_S)

    def serve(self) -> None:
        """Start the server; again after `kill`."""
        with (self.folder / "serve.log").open("a") as log:
            self._server = subprocess.Popen(
                [
                    sys.executable, "-m", "tools.cli", "serve", str(self.folder / "site.toml"),
                    "--data", str(self.data), "--port", "0", "--json",
                ],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, (self.folder / "serve.log").read_text()
        self.base = json.loads(line)["address"]

    def freeze(self) -> None:
        """Stop the server's process where it stands: its sockets stay open and silent."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def lose(self, house: int) -> None:
        """Take a house off the bus: its controller falls silent with its connections open."""
        self._emulators[house - 1].send_signal(signal.SIGTERM)
        self._emulators[house - 1].communicate(timeout=60)

    def stop(self) -> None:
        """End everything that was started here."""
        if self._server is not None:
            self.thaw()
            self._server.send_signal(signal.SIGTERM)
            self._server.communicate(timeout=60)
        for process in self._emulators:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)

    @contextlib.contextmanager
    def client(self, user: str = "") -> Iterator[httpx.Client]:
        """Yield an HTTP client, logged in as user, with the CSRF header set."""
        with httpx.Client(base_url=self.base, timeout=30.0, headers={"Accept-Language": "en"}) as client:
            if user:
                login = {"name": user, "password": PASSWORDS[user]}
                deadline = time.monotonic() + BACK_OFF_DEADLINE_S
                while (answer := client.post("/api/v1/login", json=login)).status_code == 429:
                    # a test before this one guessed passwords: a person waits, and so does this one
                    assert time.monotonic() < deadline, answer.text
                assert answer.status_code == 200, answer.text
                client.headers["X-Toplovod-CSRF"] = answer.json()["csrf"]
            yield client

    def _emulate(self, *options: str) -> dict[str, Any]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "emulate", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._emulators.append(process)
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        facts: dict[str, Any] = json.loads(line)
        return facts

    def _write_site(self, facts: list[dict[str, Any]]) -> None:
        keys: dict[str, str] = {}
        text = (
            '[site]\nname = "Preskus"\ntimezone = "Europe/Ljubljana"\nnetwork = "network.json"\n'
            "[poll]\ncycle_s = 2.0\nfast_s = 1.0\n[alarms]\nlost_communication_s = 1\n"
            '[[area]]\nid = "north"\nname = "Sever"\n[[area]]\nid = "south"\nname = "Jug"\n'
        )
        for number, fact in enumerate(facts, 1):
            keys |= json.loads(Path(fact["key_file"]).read_text())["devices"]
            plant = number > HOUSES
            area = "south" if number == HOUSES else "north"
            text += (
                f"\n[[{'pump_station' if plant else 'substation'}]]\n"
                f'id = "{"plant" if plant else f"house-{number:02d}"}"\n'
                f'name = "{"Toplarna" if plant else f"Hiša {number}"}"\narea = "{area}"\n'
                f'node = "s{0 if plant else number}"\nreturn_node = "r{0 if plant else number}"\n'
                f'address = "{fact["address"]}"\ndevice_id = "{fact["device_id"]}"\n'
                f"x_m = {0.0 if plant else 100.0 * number}\ny_m = {0.0 if plant else 20.0 * number}\n"
            )
            if not plant:
                text += "limits = { supply_temp_minimum_c = 20.0, supply_temp_maximum_c = 70.0 }\n"
        (self.folder / "site.toml").write_text(text, encoding="utf-8")
        _network().write(self.folder / "network.json")
        key_file = self.data / "keys.json"
        key_file.touch(mode=0o600)
        key_file.write_text(
            json.dumps({"format": "toplovod-keys/1", "slot": "supervisor", "epoch": 1, "devices": keys})
        )

    async def _add_people(self) -> None:
        site = Site.load(self.folder / "site.toml")
        state = open_state(self.data)
        audit = Audit(self.data, Settings(self.data).witness_folder, WallClock())
        await audit.open()
        access = Access(state, audit, site.areas)
        for name, roles in ROLES.items():
            await access.add_user(name, PASSWORDS[name], roles, by="test")
        await audit.close()
        state.close()


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for a condition; AssertionError when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def _network() -> Network:
    places = [(0.0, 0.0), *((100.0 * n, 20.0 * n) for n in range(1, HOUSES + 1))]
    ids = [f"{side}{n}" for side in "sr" for n in range(HOUSES + 1)]
    return Network(
        nodes={
            "id": ids,
            "x_m": [x for x, _ in places] * 2,
            "y_m": [y for _, y in places] * 2,
        },
        pipes={
            "id": [f"p{side}{n}" for side in "sr" for n in range(HOUSES)],
            "from_node": [f"s{n}" for n in range(HOUSES)] + [f"r{n + 1}" for n in range(HOUSES)],
            "to_node": [f"s{n + 1}" for n in range(HOUSES)] + [f"r{n}" for n in range(HOUSES)],
            "length_m": [102.0] * (2 * HOUSES),
            "inner_diameter_m": [0.05, 0.04, 0.032, 0.05, 0.04, 0.032],
        },
        consumers={
            "id": [f"house-{n:02d}" for n in range(1, HOUSES + 1)],
            "supply_node": [f"s{n}" for n in range(1, HOUSES + 1)],
            "return_node": [f"r{n}" for n in range(1, HOUSES + 1)],
            "mode": ["heat"] * HOUSES,
            "heat_w": [12_000.0] * HOUSES,
            "supply_temp_c": [80.0] * HOUSES,
            "return_temp_c": [45.0] * HOUSES,
        },
        sources={
            "id": ["plant"],
            "return_node": ["r0"],
            "supply_node": ["s0"],
            "dp_pa": [100_000.0],
            "supply_temp_c": [80.0],
        },
    )
