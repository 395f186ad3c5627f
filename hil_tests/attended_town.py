"""A street with its supervisor and an operator at the keyboard: for stories that need all three.

Controllers run the shipped firmware, the supervisor is its own process in lockstep, and the operator has
nothing but HTTP. It refuses shortcuts: nothing is asked of the supervisor that a browser could not ask.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .bench.controller import Controller
from .bench.provisioning import MODBUS_HOST, Ports
from .bench.relay import Relay
from .bench.street import street
from .bench.town_run import TownRun
from .demo import JOIN_DEADLINE_S, Demo, Supervisor, SupervisorFailed, held_port

STEADY_FROST = "utc,outdoor_temp_c\n2026-01-12T00:00:00+00:00,-5.0\n2026-01-14T00:00:00+00:00,-5.0\n"
ANSWER_WITHIN_S = 60.0  # real seconds, on a machine that may have other work


class Operator:
    """The demo's operator, logged in over HTTP. Every error answer is an urllib HTTPError."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._base = f"{supervisor.address}/api/v1"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._headers = {"Content-Type": "application/json", "Accept-Language": "en"}
        people = json.loads((supervisor.data / "demo-people.json").read_text())
        session = self.post("login", name="demo", password=people["demo"]["password"])
        self._headers["X-Toplovod-CSRF"] = session["csrf"]

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, **body: Any) -> Any:
        return self._ask("POST", path, body)

    def put(self, path: str, **body: Any) -> Any:
        return self._ask("PUT", path, body)

    def preview(self, house: str, point: str, value: float, lease_s: int) -> str:
        """Preview an order and return what executes it."""
        seen = self.post("orders/preview", substation=house, point=point, value=value, lease_s=lease_s)
        return str(seen["hash"])

    def order(self, house: str, point: str, value: float, lease_s: int) -> dict[str, Any]:
        """Preview and execute an order; return it as it was acknowledged."""
        seen = self.preview(house, point, value, lease_s)
        return dict(self.post("orders/execute", preview_hash=seen, reason="story"))

    def orders(self) -> dict[str, dict[str, Any]]:
        """Return every order the supervisor lists, by id."""
        found = self.get("orders?limit=2000")
        assert found["total"] == len(found["orders"])
        return {order["id"]: order for order in found["orders"]}

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"{self._base}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
            method=method,
        )
        with self._opener.open(request, timeout=ANSWER_WITHIN_S) as answer:
            return json.load(answer)


class AttendedTown:
    """A street of `houses` in steady frost, everybody live. tapped: rows of houses behind a relay.

    behind_tls: rows of houses that answer to nothing but TLS. settings: more of site.json, by the
    controller's name.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        houses: int,
        *,
        tapped: Sequence[int] = (),
        behind_tls: Sequence[int] = (),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._stack = contextlib.ExitStack()
        street(folder / "street", houses)
        (folder / "street" / "weather.csv").write_text(STEADY_FROST)
        ports = Ports()
        self._stack.callback(ports.close)
        tls_ports = {row: ports.take() for row in behind_tls}
        own = {name: dict(rows) for name, rows in (settings or {}).items()}
        for row, port in tls_ports.items():
            own.setdefault(f"house-{row + 1:02d}", {}).update(tls_port=port, tls_alone="yes")
        self.run = self._stack.enter_context(
            TownRun(folder / "run", folder / "street", bundle=bundle, seed=1, settings=own)
        )
        noted = self.run.clock.note_bus
        self.houses = [Controller(device, row, noted) for row, device in enumerate(self.run.devices[:-1])]
        self.relays = {row: self._tap(row) for row in tapped}
        self.data = folder / "data"
        self.run.write_keys(self.data)
        self._authority = folder / "authority"
        if tls_ports:
            self._tls("authority", self._authority)
            self.take_role("supervisor")
        for row, port in tls_ports.items():
            self._put_behind_tls(row, port)
        port = self._stack.enter_context(held_port(0))
        self.supervisor = Supervisor(self.run.site_path, self.data, port, folder / "supervisor.log")
        self._stack.callback(self.supervisor.stop)
        self.demo = Demo(self.run, self.supervisor, lambda _: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        for house in self.houses:
            house.disconnect()
        self._stack.close()

    def _tap(self, row: int) -> Relay:
        """Put a relay between the supervisor and this house."""
        device = self.run.devices[row]
        relay = self._stack.enter_context(Relay(MODBUS_HOST, device.port))
        text = self.run.site_path.read_text(encoding="utf-8")
        assert text.count(f'"{device.address}"') == 1
        self.run.site_path.write_text(text.replace(f'"{device.address}"', f'"{relay.address}"'), "utf-8")
        return relay

    def _put_behind_tls(self, row: int, port: int) -> None:
        """Give this house its certificate, and the site file the port that takes it."""
        device = self.run.devices[row]
        files = self._authority.parent / device.name
        self._tls("device", device.device_id.hex(), files, "--authority", self._authority)
        for file in files.iterdir():
            shutil.copy(file, device.board.flash)
        text = self.run.site_path.read_text(encoding="utf-8")
        line = f'address = "{device.address}"'
        assert text.count(line) == 1
        changed = text.replace(line, f'address = "{MODBUS_HOST}:{port}"\ntls = true')
        self.run.site_path.write_text(changed, "utf-8")

    def take_role(self, role: str) -> None:
        """Give the supervisor a certificate of this role; it is read at its start."""
        folder = self.data / "tls"
        shutil.rmtree(folder, ignore_errors=True)
        self._tls("client", "control room", folder, "--role", role, "--authority", self._authority)

    def _tls(self, *arguments: object) -> None:
        words = [sys.executable, "-m", "tools.cli", "tls", *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> Operator:
        """Power everybody, start the supervisor, run until it sees every controller; log the operator in."""
        self.demo.start()
        return Operator(self.supervisor)

    def restart_supervisor(self) -> Operator:
        """Start the supervisor again on its data folder. The clock stands until somebody runs it."""
        clock = self.run.clock
        self.supervisor.start(clock.open_door())
        if not clock.wait_for_member("supervisor", JOIN_DEADLINE_S, self.supervisor.running):
            raise SupervisorFailed(f"it did not come back. Its last lines:\n{self.supervisor.log()}")
        until = time.monotonic() + ANSWER_WITHIN_S
        while not self.supervisor.health():  # it joins the clock before it answers
            if time.monotonic() > until or not self.supervisor.running():
                raise SupervisorFailed(f"it does not answer. Its last lines:\n{self.supervisor.log()}")
            time.sleep(0.05)
        return Operator(self.supervisor)

    def audit(self, verb: str) -> subprocess.CompletedProcess[str]:
        """Run `toplovod audit VERB` on the data folder."""
        return subprocess.run(
            [sys.executable, "-m", "tools.cli", "audit", verb, "--data", str(self.data)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
