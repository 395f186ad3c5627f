"""What goes wrong on a bench is told with its remedy, ends everything, and leaves the partial record."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tty
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from firmware.substation import order_frame, registers

from ..bench import board_target, serial_console
from ..bench.board_target import BoardTarget, CommandSupply, Hold, Wiring, read_keys
from ..bench.emulated_target import EMULATED_CAPABILITIES
from ..bench.errors import BenchError, ConditionNotMet, WrongUse
from ..bench.lab import LabMissing
from ..bench.provisioning import PROJECT
from ..bench.serial_console import INTERRUPT, RAW, RAW_PROMPT, RUN, SerialStream, StreamConsole
from ..bench.slow_wire import Conditions
from ..bench.station import Bench
from ..bench.target import CAPABILITIES, BoardMissing, BoardSilent, NotOnThisTarget, PortInUse, WrongFirmware
from ..bench.vm_target import VM_CAPABILITIES

DEADLINE_S = 120.0


@contextmanager
def a_pty() -> Iterator[tuple[int, str]]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        yield ours, os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


@contextmanager
def server(answers: dict[int, int] | None) -> Iterator[str]:
    """Serve input registers; None takes connections and says nothing. Yields HOST:PORT."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            held.append(link)
            with suppress(OSError):  # the story is over and its connections are closed
                while answers is not None and len(asked := link.recv(12, socket.MSG_WAITALL)) == 12:
                    first, count = struct.unpack_from(">HH", asked, 8)
                    body = struct.pack(f">{count}H", *(answers.get(first + i, 0) for i in range(count)))
                    link.sendall(asked[:4] + struct.pack(">HBBB", 3 + len(body), 1, 4, len(body)) + body)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for link in held:
            link.close()


def identity(map_hash: int, firmware: int) -> dict[int, int]:
    return {2: map_hash >> 16, 3: map_hash & 0xFFFF, 17: firmware >> 16, 18: firmware & 0xFFFF}


def test_a_port_that_is_not_there():
    with pytest.raises(BoardMissing, match="no such port; no test was run"):
        SerialStream("/dev/no-such-board")


def test_a_port_that_another_program_holds():
    with a_pty() as (_, port):
        first = SerialStream(port)
        with pytest.raises(PortInUse, match="another program holds it; nothing was sent"):
            SerialStream(port)
        first.close()
        SerialStream(port).close()


def test_a_port_that_a_program_has_open_without_a_lock(monkeypatch: pytest.MonkeyPatch):
    with a_pty() as (_, port), Path(port).open("rb", buffering=0) as held:
        monkeypatch.setattr(serial_console, "PTYS", "/dev/no-ptys/")
        holder = subprocess.Popen(["sleep", str(DEADLINE_S)], stdin=held)
        try:
            with pytest.raises(
                PortInUse, match=rf"sleep \(process {holder.pid}\) has it open; nothing was sent"
            ):
                SerialStream(port)
        finally:
            holder.kill()
            holder.wait()
        SerialStream(port).close()


def test_a_board_that_another_user_tested_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Hold("cellar-3").close()
    (lock,) = tmp_path.iterdir()
    lock.chmod(0o444)  # as far as another user may
    first = Hold("cellar-3")
    with pytest.raises(PortInUse, match="another bench on this machine"):
        Hold("cellar-3")
    first.close()


def test_a_console_and_an_address_of_two_controllers(monkeypatch: pytest.MonkeyPatch):
    there = identity(registers.map_hash(), 0x1A2B3C4D)
    with server(there) as address:
        told = {
            "platform": "rp2", "machine": "", "device_id": "8f0b919f00000001", "name": "", "board": "",
            "address": "", "port": 502, "unit": 1, "profile": "substation", "main": True,
        }  # fmt: skip
        monkeypatch.setattr(StreamConsole, "exec", lambda self, program: json.dumps(told))
        monkeypatch.setattr(StreamConsole, "reset", lambda self: None)
        with pytest.raises(
            WrongUse, match=r"two controllers; no test was run\. 8f0b919f00000001 is on the cons"
        ):
            BoardTarget(Wiring(name="cellar-3", board="nucleo_h743", serial="/dev/x", modbus=address))
        Hold(address).close()  # nothing is held after a failure


def test_a_board_that_another_bench_holds():
    with server(identity(registers.map_hash(), 0x1A2B3C4D)) as address:
        board = BoardTarget(Wiring(modbus=address))
        with pytest.raises(PortInUse, match="another bench on this machine"):
            BoardTarget(Wiring(modbus=address))
        board.close()
        BoardTarget(Wiring(modbus=address)).close()


def test_one_board_by_two_addresses():
    with server(identity(registers.map_hash(), 0x1A2B3C4D)) as address:
        board = BoardTarget(Wiring(modbus=address))
        other = address.replace("127.0.0.1", "localhost")
        with pytest.raises(PortInUse, match=r"controller 0{16}: another bench on this machine uses it"):
            BoardTarget(Wiring(modbus=other))
        board.close()
        BoardTarget(Wiring(modbus=other)).close()


def test_consoles_of_one_name_in_two_labgrid_files():
    places = {Wiring(labgrid_console="main", file=Path(name)).place for name in ("a.yaml", "b.yaml")}
    assert len(places) == 2


def test_a_device_that_never_answers_its_console():
    with a_pty() as (_, port):
        console = StreamConsole("cellar-3", lambda: SerialStream(port), lambda: None)
        with pytest.raises(BoardSilent, match="cellar-3: no REPL within 1 s; nothing was changed"):
            console.exec("pass", greeting_s=1.0)
        console.close()


def test_what_a_board_says_before_its_port_is_open_is_read():
    with a_pty() as (board, port):
        os.write(board, b"start 1\r\n")
        console = StreamConsole("cellar-3", lambda: SerialStream(port), lambda: None)
        assert console.read_until("start 1", within_s=1.0) == "start 1"
        console.close()


def test_what_another_test_left_on_the_line_is_forgotten():
    with a_pty() as (board, port):
        console = StreamConsole("cellar-3", lambda: SerialStream(port), lambda: None)
        os.write(board, b"of another test")
        console.begin("mine")
        with pytest.raises(ConditionNotMet, match="It said: ''"):
            console.read_until("of another test", within_s=0.1)
        console.close()


def test_a_board_that_starts_at_once_is_heard_from_its_first_word():
    """Its first words may stand behind the OK of the reset itself, before the port is open again."""

    def answer(board: int, said: bytes) -> None:
        if said.endswith(INTERRUPT):
            os.write(board, b"\r\n>>> ")
        elif said.endswith(RAW):
            os.write(board, RAW_PROMPT)
        elif said.endswith(RUN):
            os.write(board, b"OKstart 2\r\n")

    with a_pty() as (board, port):

        def serve() -> None:
            while b"reset" not in (said := os.read(board, 4096)):
                answer(board, said)
            answer(board, said)

        host = threading.Thread(target=serve, daemon=True)
        host.start()
        console = StreamConsole("cellar-3", lambda: SerialStream(port), lambda: None)
        console.restart()
        host.join(DEADLINE_S)
        assert console.read_until("start 2", within_s=1.0) == "start 2"
        console.close()


@pytest.mark.slow
def test_a_controller_of_another_unit(bench: Bench):
    house = bench.start_controller(modbus_unit=7)
    assert house.order(curve_shift_sp_k=-1.0, lease_s=300).result == order_frame.ACCEPTED
    board = BoardTarget(Wiring(modbus=house.device.address, unit=7))
    assert board.controller.identity().device_id == house.device.device_id
    with board.bus.tcp() as client:
        assert client.read_input(0, 2)
    board.close()


def test_a_device_that_never_answers_its_bus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(board_target, "REFUSES_WITHIN_S", 0.3)
    with server(None) as address, pytest.raises(BoardSilent, match="does not answer"):
        BoardTarget(Wiring(modbus=address))
    with pytest.raises(BoardMissing, match=r"cannot be reached .* toplovod read"):
        BoardTarget(Wiring(modbus=address))
    Hold(address).close()  # nothing is held after a failure


def test_another_firmware():
    ours = registers.map_hash()
    with (
        server(identity(ours ^ 1, 0x1A2B3C4D)) as address,
        pytest.raises(WrongFirmware, match="register map"),
    ):
        BoardTarget(Wiring(modbus=address))
    with server(identity(ours, 0x1A2B3C4D)) as address:
        with pytest.raises(WrongFirmware, match="runs firmware 1a2b3c4d, the bench file says"):
            BoardTarget(Wiring(modbus=address, firmware="99999999"))
        board = BoardTarget(Wiring(name="cellar-3", board="nucleo_h743", modbus=address, firmware="1a2b3c4d"))
        assert board.describe()["kind"] == "unidentified controller"  # nobody asked its chip
        with pytest.raises(NotOnThisTarget, match=r'io\.sensors.*nothing was done.*needs\("io.sensors"\)'):
            board.io.set_resistance(0, 1000.0)
        with pytest.raises(NotOnThisTarget, match=r"power\.cut"):
            board.power.cut()
        with pytest.raises(NotOnThisTarget, match=r"bus\.slow"):
            board.bus.slow(Conditions())
        with pytest.raises(NotOnThisTarget, match="orders"):
            board.controller.order(curve_shift_sp_k=-1.0)
        board.close()


@pytest.mark.parametrize(
    ("platform", "kind"), [("rp2", "board"), ("esp32", "board"), ("linux", "emulated board")]
)
def test_what_a_chip_says_of_itself(monkeypatch: pytest.MonkeyPatch, platform: str, kind: str):
    with server(identity(registers.map_hash(), 0x1A2B3C4D)) as address:
        host, port = address.split(":")
        told = {
            "platform": platform, "machine": "", "device_id": "", "name": "", "board": "", "address": host,
            "port": int(port), "unit": 1, "profile": "substation", "main": True,
        }  # fmt: skip
        monkeypatch.setattr(StreamConsole, "exec", lambda self, program: json.dumps(told))
        monkeypatch.setattr(StreamConsole, "reset", lambda self: None)
        board = BoardTarget(Wiring(name="cellar-3", board="nucleo_h743", serial="/dev/x"))
        assert board.describe()["kind"] == kind
        board.close()
        told["main"] = False
        with pytest.raises(WrongFirmware, match="toplovod flash"):
            BoardTarget(Wiring(name="cellar-3", board="nucleo_h743", serial="/dev/x"))


def test_a_supply_by_commands(tmp_path: Path):
    mark = tmp_path / "on"
    supply = CommandSupply("cellar-3", f"touch {mark}", "false")
    supply.on()
    assert mark.exists()
    with pytest.raises(BenchError, match=r"cellar-3: `false` ended with 1.*bench file"):
        supply.cut()
    with pytest.raises(BenchError, match="correct it in the bench file"):
        CommandSupply("cellar-3", "/no/such/tool", "").on()


def test_labgrid_that_is_not_there_and_one_that_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    file = tmp_path / "bench.yaml"
    monkeypatch.setitem(sys.modules, "labgrid", None)
    with pytest.raises(LabMissing, match=r"pip install 'toplovod\[lab\]'"):
        BoardTarget(Wiring(modbus="127.0.0.1:1", labgrid_power="main", file=file))

    switched: list[str] = []
    driver = types.SimpleNamespace(on=lambda: switched.append("on"), off=lambda: switched.append("off"))
    target = types.SimpleNamespace(get_driver=lambda protocol: driver, activate=lambda which: None)
    environment = types.SimpleNamespace(get_target=lambda name: target if name == "main" else None)
    fake = types.SimpleNamespace(Environment=lambda name: environment)
    monkeypatch.setitem(sys.modules, "labgrid", fake)
    with server(identity(registers.map_hash(), 0x1A2B3C4D)) as address:
        board = BoardTarget(Wiring(modbus=address, labgrid_power="main", file=file))
        board.power.brownout(ms=10)
        board.close()
    assert switched == ["on", "off", "on"]
    with pytest.raises(WrongUse, match="labgrid gives no PowerProtocol"):
        BoardTarget(Wiring(modbus="127.0.0.1:1", labgrid_power="other", file=file))


def test_a_key_file_of_another_device(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_text(
        json.dumps({"format": "toplovod-keys/1", "slot": "supervisor", "epoch": 1, "devices": {}})
    )
    with pytest.raises(WrongUse, match="toplovod keys export"):
        read_keys(path, bytes(8))
    path.write_text("{")
    with pytest.raises(WrongUse, match="no key file"):
        read_keys(path, bytes(8))


def test_a_board_ends_with_its_bench_however_that_ends(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "hil_tests.bench.board", "--flash", str(tmp_path / "flash.img"), "--owned"],
        cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline()
        process.stdin.close()  # what the system does for a bench that was killed
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


CONFTEST = """
import pathlib, pytest
@pytest.fixture(scope="session")
def firmware_bundle():
    return pathlib.Path({bundle!r})
"""
STORY = """
import pathlib, pytest
def test_passes(target):
    assert target.controller.read("boot_count") > 0
@pytest.mark.needs("bus.rtu")
def test_gap(target):
    raise AssertionError("never begun")
@pytest.mark.needs("tea")
def test_unknown(target):
    raise AssertionError("never begun")
def test_waits(target):
    process_id = target.supply.process_id
    pathlib.Path(__file__).with_name("waiting").write_text(
        str(process_id) + " " + pathlib.Path(f"/proc/{process_id}/task/{process_id}/children").read_text())
    target.clock.advance(600)
"""


@contextmanager
def session(folder: Path, *options: str, bundle: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    (folder / "conftest.py").write_text(CONFTEST.format(bundle=str(bundle)))
    (folder / "test_story.py").write_text(STORY)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "hil_tests.plugin",
         "--rootdir", str(folder), "--bench-record", str(folder / "record.json"), *options,
         str(folder / "test_story.py")],
        cwd=PROJECT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_missing_board_ends_the_session_at_once(tmp_path: Path):
    with session(tmp_path, "--bench-target", "board:/dev/no-such-board") as process:
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3, out
    assert "bench.board_missing: /dev/no-such-board: there is no such port" in out and "Traceback" not in out
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["partial"] and "bench.board_missing" in record["why_partial"]
    assert [row["outcome"] for row in record["tests"]] == ["error"]


def test_ctrl_c_in_the_middle_ends_the_board_and_keeps_the_record(tmp_path: Path, firmware_bundle: Path):
    with session(tmp_path, "--bench-target", "emulated", bundle=firmware_bundle) as process:
        deadline = time.monotonic() + DEADLINE_S
        waiting = tmp_path / "waiting"
        while not (waiting.exists() and waiting.read_text().endswith(" ")):
            assert process.poll() is None and time.monotonic() < deadline
            select.select([], [], [], 0.05)
        ends = [os.pidfd_open(int(each)) for each in waiting.read_text().split()]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 2, out
        for end in ends:
            assert select.select([end], [], [], DEADLINE_S)[0], "a process of the board is left"
            os.close(end)
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["partial"], record["why_partial"]) == (True, "interrupted")
    assert {row["test"].split("::")[1]: row["outcome"] for row in record["tests"]} == {
        "test_passes": "passed", "test_gap": "skipped", "test_unknown": "error",
    }  # fmt: skip
    assert list(record["gaps"]) == ["bus.rtu"]
    assert record["targets"][0]["kind"] == "emulated board"
    assert "partial: interrupted" in out and "board-proven" not in out
    page = (tmp_path / "record.html").read_text(encoding="utf-8")
    assert "Partial (interrupted): 1 passed, 1 error, 1 skipped." in page
    assert record["targets"][0]["device_id"] in page and "<code>bus.rtu</code>" in page


def test_the_page_lists_every_capability_and_who_has_it():
    page = (PROJECT / "docs" / "bench.md").read_text(encoding="utf-8")
    table = page[page.index("| capability | vm |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    listed = {name.strip("` "): cells for name, *cells in rows for name in name.split(",")}
    assert set(listed) == set(CAPABILITIES)
    for column, able in ((0, VM_CAPABILITIES), (1, EMULATED_CAPABILITIES)):
        assert {name for name, cells in listed.items() if cells[column] == "yes"} == able
