"""The demo's entry: lockstep membership, the people of the run, and a login link that works once."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import registers

from .modbus_server import Controller, Server, write_site

pytestmark = pytest.mark.slow  # each test starts processes of its own


class Bench:
    """The other end of the clock, and the town's controllers (pymodbus servers)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = [
            Server(Controller("house-01")),
            Server(Controller("house-02")),
            Server(Controller("plant", registers.PUMP_STATION)),
        ]
        self.now_ms = 0
        self.process: asyncio.subprocess.Process | None = None
        self._joined: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def open(self) -> None:
        for server in self.servers:
            await server.start()
        write_site(self.folder, self.servers)
        self._door = await asyncio.start_server(self._let_in, "127.0.0.1", 0)

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._joined.put((reader, writer))

    async def start(self, data: Path) -> None:
        """Start the supervisor and let it join."""
        self.token_file = data / "login-link"
        port = self._door.sockets[0].getsockname()[1]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "supervisor.demo", str(self.folder / "site.toml"), "--data", str(data),
            "--lockstep", f"127.0.0.1:{port}", "--login-token-file", str(self.token_file),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            self.reader, self.writer = await self._joined.get()
            assert json.loads(await self.reader.readline()) == {"member": "supervisor"}
        self.say({"epoch_utc": "2026-01-12T00:00:00Z", "now_ms": self.now_ms})

    def say(self, message: dict[str, Any]) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def run(self, seconds: int) -> str:
        """Advance in ticks of two seconds; return the last digest of the bus."""
        for _ in range(seconds // 2):
            self.now_ms += 2000
            self.say({"advance_ms": self.now_ms})
            async with asyncio.timeout(60):
                answer = json.loads(await self.reader.readline())
            assert answer["done_ms"] == self.now_ms
        digest: str = answer["bus_sha256"]
        return digest

    async def leave(self) -> tuple[int, str]:
        """Close the clock's line; return the supervisor's exit status and what it wrote."""
        assert self.process is not None
        self.writer.close()
        async with asyncio.timeout(60):
            _, errors = await self.process.communicate()
        return int(self.process.returncode or 0), errors.decode()

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self._door.close()
        for server in self.servers:
            await server.stop()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    await bench.open()
    yield bench
    await bench.close()


class Browser:
    def __init__(self) -> None:
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    async def get(self, url: str) -> tuple[int, str]:
        def get() -> tuple[int, str]:
            try:
                with self.opener.open(url, timeout=30) as answer:
                    return int(answer.status), answer.read().decode()
            except urllib.error.HTTPError as error:
                return int(error.code), error.read().decode()

        return await asyncio.to_thread(get)


async def test_the_supervisor_moves_with_the_bench_and_ends_with_it(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    await bench.start(data)
    await bench.run(20)
    address, _, _ = bench.token_file.read_text().partition("/login/link/")
    status, text = await Browser().get(f"{address}/healthz")
    health = json.loads(text)
    assert (status, health["devices_live"], health["devices"]) == (200, 3, 3)
    assert health["simulated"] and health["utc"] == "2026-01-12T00:00:20+00:00"

    exit_status, errors = await bench.leave()
    assert exit_status == 0, errors
    assert "Traceback" not in errors


async def test_the_login_link_works_once_and_its_files_are_private(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    await bench.start(data)
    await bench.run(2)
    link = bench.token_file.read_text().strip()
    assert link.startswith("http://127.0.0.1:")
    for file in (bench.token_file, data / "demo-people.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    address = link.partition("/login/")[0]

    wrong, _ = await Browser().get(link[:-1] + ("A" if link[-1] != "A" else "B"))
    assert wrong == 404
    browser = Browser()
    assert (await browser.get(link))[0] == 200
    status, text = await browser.get(f"{address}/api/v1/me")
    assert status == 200 and json.loads(text)["user"]["roles"] == {"*": "operator"}
    thief = Browser()
    status, text = await thief.get(link)
    assert status == 404
    assert json.loads(text)["code"] == "login_link_ended"
    assert "predstavitev" in json.loads(text)["what_now"]  # how to get a new one, not "check the address"
    assert (await thief.get(f"{address}/api/v1/me"))[0] == 401

    people = json.loads((data / "demo-people.json").read_text())
    assert {name: person["roles"] for name, person in people.items()} == {
        "demo": {"*": "operator"},
        "viewer-north": {"north": "viewer"},
        "operator-north": {"north": "operator"},
    }
    assert len({person["password"] for person in people.values()}) == 3


async def test_a_killed_supervisor_joins_again_with_its_data(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    await bench.start(data)
    await bench.run(20)
    assert bench.process is not None
    bench.process.kill()
    await bench.process.wait()
    bench.now_ms += 600_000  # ten minutes of silence

    await bench.start(data)
    await bench.run(20)
    address, _, _ = bench.token_file.read_text().partition("/login/link/")
    _, text = await Browser().get(f"{address}/healthz")
    assert json.loads(text)["devices_live"] == 3
    assert (await bench.leave())[0] == 0


async def test_two_equal_runs_put_the_same_bytes_on_the_bus(tmp_path: Path) -> None:
    digests = []
    for run in ("a", "b"):
        bench = Bench(tmp_path)
        await bench.open()
        await bench.start(tmp_path / run)
        digests.append(await bench.run(40))
        await bench.leave()
        await bench.close()
    assert digests[0] == digests[1]


def test_serve_does_not_know_the_demo() -> None:
    """The route without a password cannot exist where its module is not even loaded."""
    program = (
        "import sys, supervisor.commands, supervisor.app, supervisor.station, tools.cli; "
        "sys.exit('supervisor.demo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
