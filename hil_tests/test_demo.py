"""`toplovod demo`: the whole town comes up, shows itself, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.valley.make_valley import make_valley

from .acceptance import limit

HOUSES = 44
FEW = 5  # houses of a town for what does not hang on how many they are
UP_WITHIN_S = 300  # real seconds on a loaded machine; the product's own figure is measured elsewhere


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The site file of a small town."""
    folder = tmp_path_factory.mktemp("few")
    make_valley(FEW, 1, folder)
    return str(folder / "site.toml")


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], pattern: str) -> tuple[re.Match[str], list[str]]:
    """Read stdout up to the line that matches."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line.rstrip("\n"))
        if match := re.search(pattern, line):
            return match, seen
    error = process.stderr.read() if process.stderr is not None else ""
    raise AssertionError(f"the demo ended before {pattern!r}: {seen} {error}")


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").iterdir():
        found += [int(text) for text in (path / "children").read_text().split()]
    return found


@pytest.mark.slow
def test_the_town_comes_up_and_ends_by_itself_with_its_figures() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "demo", "--for", "5", "--speed", "max", "--json", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=UP_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["passed"] is True
    assert re.fullmatch("[0-9a-f]{64}", result["sha256"])
    assert result["live"] == result["devices"] == HOUSES + 1
    assert result["kpi"]["simulated_h"] == pytest.approx(result["simulated_s"] / 3600.0)
    assert result["kpi"]["coldest_room_temp_c"] >= limit("room-in-use")
    assert f"{HOUSES} of {HOUSES} substations live" in done.stderr


@pytest.mark.slow
def test_the_login_link_opens_one_session_and_ctrl_c_ends_everything(few: str) -> None:
    with running("--speed", "20", "--site", few) as process:
        match, seen = lines_until(process, r"(http://127\.0\.0\.1:\d+/login/link/\S+)")
        assert any(f"{FEW} of {FEW} substations live" in line for line in seen)
        link = match.group(1)
        with urllib.request.urlopen(link, timeout=20) as answer:
            assert answer.status == 200
            assert "toplovod_session=" in answer.headers["Set-Cookie"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(link, timeout=20)
        assert refused.value.code == 404
        family = children_of(process.pid)
        assert len(family) == FEW + 2  # the controllers, the pump station, the supervisor
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
def test_a_supervisor_that_dies_ends_the_demo_with_a_sentence(few: str) -> None:
    with running("--speed", "20", "--site", few) as process:
        lines_until(process, "login/link")
        supervisor = next(
            pid
            for pid in children_of(process.pid)
            if b"supervisor.demo" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        Path(f"/proc/{supervisor}").stat()
        subprocess.run(["kill", "-9", str(supervisor)], check=True)
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert "demo.supervisor_failed" in process.stderr.read()


def refused(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", "demo", *options],
        capture_output=True,
        text=True,
        timeout=UP_WITHIN_S,
        check=False,
    )


def test_a_port_in_use_is_named_and_nothing_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refused("--port", str(port))
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "nothing was started" in done.stderr


def test_an_unknown_town_is_wrong_use(tmp_path: Path) -> None:
    done = refused("--site", str(tmp_path / "nowhere.toml"))
    assert done.returncode == 2
    assert "nowhere.toml" in done.stderr
    assert "schutterwald" in done.stderr


def test_a_site_without_a_town_behind_it_is_wrong_use(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[site]\nname = "Bare"\n')
    done = refused("--site", str(site))
    assert done.returncode == 2
    assert "network.json" in done.stderr
    assert "nothing was started" in done.stderr


def test_a_site_file_of_another_name_is_named_where_it_is(tmp_path: Path) -> None:
    """Not the scratch folder that it would have been copied to."""
    site = tmp_path / "own.toml"
    site.write_text('[site]\nname = "Bare"\n')
    done = refused("--site", str(site))
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench.wrong_use: {tmp_path}: network.json, town.json missing")


@pytest.mark.parametrize("command", [("demo",), ("hil", "run", "week")], ids=" ".join)
def test_a_report_folder_that_cannot_be_is_named_before_anything_runs(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "block").touch()
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *command, "--report", str(tmp_path / "block" / "report")],
        capture_output=True,
        text=True,
        timeout=UP_WITHIN_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "bench.wrong_use: --report" in done.stderr and "nothing was started" in done.stderr
