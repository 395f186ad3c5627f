"""A log is called whole only when every record follows from the one before, and genuine only by its seal."""

import ast
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from firmware.substation import order_frame, registers
from supervisor.field.event_log import FIRST_FILE, KINDS
from tools.event_log import words_of
from tools.key_file import KeyFile

from .processes import ROOT, toplovod
from .test_controller import DEVICE, identity

KEY = bytes(range(32))
ID = bytes.fromhex(DEVICE)
POINT = registers.BY_NAME["curve_shift_sp_k"].address
SOURCE = 0x0A000301
# uptime, unix, kind, who, what, value, source
TOLD = (
    (0, 0, "boot", 0, 1, 5, 0xF1F2F3F4),
    (0, 0, "program", 0, 0, 0, 0x11223344),
    (60, 0, "order", 1 | 1 << 4, POINT, 0x10000 - 200, SOURCE),
    (3_700, 1_800_000_000, "refused", 0, 3, 1, 1),
    (0, 0, "boot", 0, 0x103, 6, 0xF1F2F3F4),
    (0, 0, "program", 0x0, 0x303, 7, 0x11223355),
    *((100 + k, 1_800_000_100 + k, "alarm_on", 0, k % 16, 0, 0) for k in range(20)),
)


def genesis(device: bytes) -> bytes:
    return hashlib.sha256(b"toplovod log 1" + device).digest()


class Log:
    """A log as a controller serves it; what is wrong with it is up to the test."""

    def __init__(self, first: int = 0, device: bytes = ID, key: bytes = KEY) -> None:
        self.first, self.key = first, key
        self.base = chain = genesis(device) if first == 0 else bytes(range(32))
        self.records: list[bytes] = []
        for number, (uptime, unix, kind, who, what, value, source) in enumerate(TOLD):
            body = struct.pack(
                ">IIIBBHII", first + number, uptime, unix, KINDS.index(kind), who, what, value, source
            )
            chain = hashlib.sha256(chain + body).digest()
            self.records.append(body + chain[:8])
        self.head = chain
        self.stale = False
        self.asked: list[int] = []

    def answer(self, pdu: bytes) -> bytes:
        self.asked.append(pdu[0])
        if pdu == struct.pack(">BHH", 4, 0, registers.IDENTITY_WORDS):
            words = identity()
            return struct.pack(f">BB{len(words)}H", 4, 2 * len(words), *words)
        if pdu[0] == 23 and struct.unpack(">HH", pdu[1:5]) == (
            registers.LOG_SEAL, registers.LOG_SEAL_WORDS,
        ):  # fmt: skip
            slot, challenge = pdu[11], bytes(8) if self.stale else pdu[12:20]
            count = len(self.records)
            body = bytes((1, slot)) + challenge
            body += struct.pack(">5I", 9_000, self.first, self.first + count, self.first + count - 2, 0)
            body += self.base + self.head
            mac: bytes = order_frame.hmac_sha256(self.key, b"TVL1" + ID + body)[:16]
            return bytes((23, len(body) + 16)) + body + mac
        if pdu[0] == 20:
            file, record, count = struct.unpack(">HHH", pdu[3:9])
            at = (file - FIRST_FILE) * 20_000 + 2 * record
            data = b"".join(self.records)[at : at + 2 * count]
            if file >= FIRST_FILE and len(data) == 2 * count:
                return bytes((20, len(data) + 2, len(data) + 1, 6)) + data
        return bytes((pdu[0] | 0x80, 2))


@contextmanager
def served(log: Log) -> Iterator[str]:
    def serve(listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                while header := line.recv(7, socket.MSG_WAITALL):
                    number, _, length, unit = struct.unpack(">HHHB", header)
                    answer = log.answer(line.recv(length - 1, socket.MSG_WAITALL))
                    line.sendall(struct.pack(">HHHB", number, 0, len(answer) + 1, unit) + answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.fixture
def keys(tmp_path):
    KeyFile(order_frame.TECHNICIAN, 1, {DEVICE: KEY}).write(tmp_path / "keys.json")
    return tmp_path / "keys.json"


def test_a_whole_log_is_told_calmly_and_nothing_is_written(keys):
    log = Log()
    with served(log) as address:
        said = toplovod("log", address, "--keys", keys)
        short = toplovod("log", address, "--since", 24)
        judged = toplovod("log", address, "--verify")
    assert said.status == short.status == judged.status == 0
    lines = said.out.splitlines()
    assert lines[1].split("  ")[0] == "0"
    assert "start 5 after power on, firmware f1f2f3f4" in lines[1]
    assert "the program over USB, confirmed, limits 11223344" in lines[2]
    assert "supervisor 10.0.3.1" in lines[3] and "ordered curve_shift_sp_k = -2 K and 1 more" in lines[3]
    assert "start 5 + 0:01:00" in lines[3]
    assert "2027-01-15T08:00:00Z" in lines[4] and "nobody serial line" in lines[4]
    assert "refused, no order: mac, 1 since the start" in lines[4]
    assert "rescued by the watchdog" in lines[5]
    assert "version 7, confirmed; the one before it controlled worse, limits 11223355 (changed)" in lines[6]
    assert "sealed by this controller" in lines[-1] and lines[-2].startswith("25*")
    assert [line.split("*")[0] for line in short.out.splitlines()[1:-1]] == ["24", "25"]
    assert len(judged.out.splitlines()) == 1 and "--keys FILE proves" in judged.out
    assert set(log.asked) == {4, 20, 23}


def test_json_has_every_record_and_the_verdict(keys):
    with served(Log(first=126)) as address:
        said = toplovod("log", address, "--json", "--keys", keys)
    assert said.status == 0
    assert (said.json["whole"], said.json["genuine"], said.json["broken"]) == (True, True, None)
    assert (said.json["oldest"], said.json["next"], said.json["in_flash"]) == (126, 126 + 26, 24)
    order = said.json["records"][2]
    assert order == {
        "sequence": 128, "boot": 5, "uptime_s": 60, "time": None, "kind": "order", "who": "supervisor",
        "source": "10.0.3.1", "text": "ordered curve_shift_sp_k = -2 K and 1 more", "in_flash": True,
    }  # fmt: skip


def test_any_altered_byte_breaks_the_chain():
    for at in range(0, 32 * len(TOLD), 13):
        log = Log()
        content = bytearray(b"".join(log.records))
        content[at] ^= 4
        log.records = [bytes(content[k : k + 32]) for k in range(0, len(content), 32)]
        with served(log) as address:
            said = verdict(address)
        assert not said["whole"], at
        assert f"record {at // 32} " in said["broken"]


def verdict(address: str, *more: Any) -> Any:
    """Judge in this process: one process for each byte would take minutes."""
    from typer.testing import CliRunner

    from tools.commands import app

    done = CliRunner().invoke(app, ["log", address, "--json", "--verify", *map(str, more)])
    said = json.loads(done.stdout)
    assert done.exit_code == (0 if said["whole"] else 1)
    return said


def test_a_record_left_out_moved_or_added_breaks_it():
    for change in (
        lambda r: r[:5] + r[6:],
        lambda r: [*r[:5], r[6], r[5], *r[7:]],
        lambda r: [*r[:5], r[5], *r[5:]],
        lambda r: r[:-1],
    ):
        log = Log()
        log.records = change(log.records)
        with served(log) as address:
            assert verdict(address)["broken"]


def test_another_devices_log_is_no_log_of_this_one():
    with served(Log(device=bytes(8))) as address:
        assert "begin" in verdict(address)["broken"]


def test_a_log_rewritten_on_the_way_is_whole_but_not_genuine(keys):
    """Who answers in the controller's place can make a chain, but no seal; nor can it show an old one."""
    with served(Log(key=bytes(32))) as address:
        assert verdict(address)["whole"]
        said = verdict(address, "--keys", keys)
        told = toplovod("log", address, "--keys", keys)
    assert (said["whole"], said["genuine"], said["broken"]) == (False, False, None)
    assert told.status == 1 and "NOT GENUINE" in told.err
    old = Log()
    old.stale = True
    with served(old) as address:
        assert verdict(address, "--keys", keys)["genuine"] is False


def test_a_broken_chain_is_said_with_status_1():
    log = Log()
    log.records[7] = bytes(32)
    with served(log) as address:
        said = toplovod("log", address)
    assert said.status == 1
    assert "BROKEN: record 7 does not follow" in said.err
    assert said.out.count("\n") == len(TOLD) + 1  # what is there is shown


def test_errors_are_those_of_the_other_commands(keys):
    from .test_controller import stranger

    with stranger(identity()) as (address, _):
        said = toplovod("log", address, "--json")
    assert (said.status, said.json["code"], said.json["changed"]) == (1, "no_such_block", False)
    with stranger(identity(map_hash_code=0xDEADBEEF)) as (address, asked):
        said = toplovod("log", address, "--json")
    assert (said.status, said.json["code"]) == (1, "unknown_map")
    assert {pdu[0] for pdu in asked} == {4}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert toplovod("log", address).status == 3
    assert toplovod("log", "127.0.0.1", "--since", "-1").status == 2


def test_the_kinds_are_those_of_the_firmware():
    source = (ROOT / "firmware" / "substation" / "event_log.py").read_text()
    kinds = next(
        node.targets[0] for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)
    )  # fmt: skip
    assert isinstance(kinds, ast.Tuple)
    assert tuple(name.id.lower() for name in kinds.elts if isinstance(name, ast.Name)) == KINDS


@pytest.mark.parametrize("kind", [*KINDS, "kind 99"])
def test_every_kind_has_words_whatever_its_numbers_are(kind):
    for who in (0, 1, 5, 9, 0x31):
        for number in (0, 1, 7, 300, 0xFFFF):
            assert words_of(kind, who, number, number, 0xFFFFFFFF, registers.SUBSTATION)
