"""`toplovod emulate`: controllers anyone can talk to, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient

from firmware.substation import registers

from ..bench.modbus import ModbusTcp


@contextmanager
def emulating(*options: str, devices: int) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "emulate", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [json.loads(process.stdout.readline()) for _ in range(devices)]
        finally:
            process.terminate()  # not kill: it takes its folder with it
            process.wait(30)


def identity(line: dict[str, Any]) -> tuple[int, ...]:
    host, port = line["address"].split(":")
    with ModbusTcp(host, int(port)) as client:
        return client.read_input(0, registers.IDENTITY_WORDS)


@pytest.mark.parametrize(("profile", "number"), [("substation", 1), ("pump_station", 2)])
def test_each_controller_answers_with_the_identity_that_was_printed(profile: str, number: int) -> None:
    with emulating("--count", "2", "--profile", profile, devices=2) as (process, lines):
        for line in lines:
            words = identity(line)
            assert words[0] == registers.IDENTITY_MAGIC
            assert b"".join(w.to_bytes(2, "big") for w in words[4:8]).hex() == line["device_id"]
            assert words[8] == number
            assert line["profile"] == profile
            key_file = Path(line["key_file"])
            assert key_file.stat().st_mode & 0o777 == 0o600
            keys = json.loads(key_file.read_text())
            assert list(keys["devices"]) == [line["device_id"]]
            assert len(bytes.fromhex(keys["devices"][line["device_id"]])) == 32
        assert lines[0]["device_id"] != lines[1]["device_id"]
        folder = Path(lines[0]["key_file"]).parents[2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not folder.exists()
        for line in lines:
            host, port = line["address"].split(":")
            with socket.socket() as probe:
                assert probe.connect_ex((host, int(port))) != 0


def test_a_whole_house_shows_what_a_street_s_houses_have_not() -> None:
    with emulating("--whole-house", "--speed", "max", devices=1) as (_, (line,)):
        host, port = line["address"].split(":")
        dhw = registers.BY_NAME["dhw_supply_temp_c"]
        second = registers.BY_NAME["secondary2_supply_temp_c"]
        with ModbusTcp(host, int(port)) as client:
            for row in (dhw, second):
                (raw,) = client.read_input(row.address, 1)
                assert 10.0 < raw * row.scale < 80.0, row.name
            number = registers.BY_NAME["meter1_number_code"]
            deadline = time.monotonic() + 60.0
            while client.read_input(number.address, 2) in ((0, 0), (0xFFFF, 0xFFFF)):
                assert time.monotonic() < deadline, "its heat meter did not answer"


def test_rtu_gives_each_controller_a_serial_line_of_its_own() -> None:
    with emulating("--rtu", "--count", "2", devices=2) as (_, lines):
        assert lines[0]["serial"] != lines[1]["serial"]
        for line in lines:
            with ModbusSerialClient(line["serial"], baudrate=int(line["baud"]), timeout=20) as client:
                words = client.read_input_registers(4, count=4, device_id=1).registers
            assert b"".join(word.to_bytes(2, "big") for word in words).hex() == line["device_id"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "closed terminal"])
def test_ctrl_c_and_a_closed_terminal_end_it_with_status_0(number: signal.Signals) -> None:
    with emulating(devices=1) as (process, lines):
        process.send_signal(number)
        assert process.wait(30) == 0
        assert not Path(lines[0]["key_file"]).parents[2].exists()


def test_a_ctrl_c_while_a_kernel_is_initialised_is_not_lost(tmp_path: Path) -> None:
    """Cython swallows a KeyboardInterrupt there; the signal is sent from inside, where it did."""
    (tmp_path / "sitecustomize.py").write_text(
        "import collections.abc, os, signal\n"
        "class Caught(type(collections.abc.Sequence)):\n"
        "    def register(cls, subclass):\n"
        "        if subclass.__module__.startswith('core_ext'):\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        return super().register(subclass)\n"
        "collections.abc.Sequence.__class__ = Caught\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "emulate"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{root}:{tmp_path}"},
    )
    assert (done.returncode, done.stdout) == (130, "")


def test_a_seed_gives_the_same_controllers() -> None:
    seen = []
    for _ in range(2):
        with emulating("--seed", "5", devices=1) as (_, lines):
            seen.append((lines[0]["device_id"], Path(lines[0]["key_file"]).read_text()))
    assert seen[0] == seen[1]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", "emulate", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_a_port_in_use_is_named_and_nothing_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "nothing was started" in done.stderr
    assert "bench.port_taken" in done.stderr


@pytest.mark.parametrize(
    "options",
    [("--profile", "boiler"), ("--heap", "lots"), ("--speed", "0"), ("--count", "0"),
     ("--port", "65535", "--count", "2"), ("--whole-house", "--count", "2")],
    ids=lambda options: options[0],
)  # fmt: skip
def test_wrong_use_is_status_2_with_a_sentence(options: tuple[str, ...]) -> None:
    done = run(*options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert options[0] in done.stderr
