"""Modbus behind TLS in the running application: who gets in, what a role may do, and that heating goes on."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware.substation import order_frame as of
from firmware.substation import registers

from .certificates import Holder, equip
from .order_rig import DEVICE_ID, MAP_HASH, ROOT_KEY, SITE

FIRMWARE = Path(__file__).parent.parent
DEADLINE_S = 20.0
PERIOD_S = 2.0
READER = "reader"


class Town:
    """An authority, and a client of every kind."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = Holder("authority")
        self.device = Holder(DEVICE_ID, self.authority)
        stranger = Holder("authority")  # of the same name, but another key
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        for role in (*of.SLOTS, READER):
            Holder(role, self.authority, role=role).files(folder, role)
        Holder("nobody", self.authority).files(folder, "nobody")
        Holder("x", stranger, role="supervisor").files(folder, "stranger")
        Holder("x", self.authority, role="supervisor", ends=past).files(folder, "expired")
        self.authority.files(folder, "authority")

    def context(self, who):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.load_verify_locations(self.folder / "authority.pem")
        if who is not None:
            made.load_cert_chain(self.folder / f"{who}.pem", self.folder / f"{who}.key")
        return made


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


class Device:
    """The whole application, from its sources."""

    def __init__(self, root, **changes):
        self.root = root
        self.port, self.tls_port = free_port(), free_port()
        self.counter = 0
        for folder in ("boards", "substation"):
            shutil.copytree(FIRMWARE / folder, root / folder)
        shutil.copy(FIRMWARE / "main.py", root)
        shutil.copy(FIRMWARE / "tests" / "vm" / "machine.py", root)
        (root / "keys.bin").write_bytes(ROOT_KEY)
        site = {**SITE, "modbus_port": self.port, "modbus_address": "127.0.0.1", "tls_port": self.tls_port}
        (root / "site.json").write_text(json.dumps({**site, **changes}))
        self.told = (root / "console").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "micropython", "-X", "heapsize=1m", "main.py"],
            cwd=root, stdout=self.told, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait_until_it_says(self, text):
        until = time.monotonic() + DEADLINE_S
        while text not in (told := (self.root / "console").read_text()):
            assert time.monotonic() < until and self.process.poll() is None, told

    def end(self):
        self.process.kill()
        self.process.wait()
        self.told.close()

    def read(self, name):
        """By the plain port."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as client:
            return value_of(client, name)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return Town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def device(town, tmp_path_factory):
    root = tmp_path_factory.mktemp("device")
    equip(root, town.authority, town.device)
    device = Device(root)
    device.wait_until_it_says(f"listening on 127.0.0.1:{device.tls_port}")
    yield device
    told = (root / "console").read_text()
    device.end()
    assert "Traceback" not in told, told


@pytest.fixture
def warm(device):
    """Whatever a test does: meanwhile the control task goes on, and nothing was begun again."""
    before, restarts = device.read("uptime_s"), device.read("task_restart_count")
    yield
    until = time.monotonic() + DEADLINE_S
    while device.read("uptime_s") <= before + PERIOD_S:
        assert time.monotonic() < until
    assert device.read("task_restart_count") == restarts
    assert device.read("control_mode_number") in (0, 1)
    assert device.read("loop_time_max_ms") < 1000 * PERIOD_S


def exchange(client, pdu):
    client.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu)
    reply = b""
    while len(reply) < 6 or len(reply) < 6 + struct.unpack(">H", reply[4:6])[0]:
        part = client.recv(300)
        assert part, reply
        reply += part
    return reply[7:]


def value_of(client, name):
    row = registers.BY_NAME[name]
    words = registers.words_of(row)
    reply = exchange(
        client, struct.pack(">BHH", 4 if row.space == registers.INPUT else 3, row.address, words)
    )
    raw = registers.raw_of_words(row, struct.unpack(f">{words}H", reply[2:]))
    return registers.from_raw(row, raw)


def connect(device, town, who):
    """Return the connection, its handshake done; ssl.SSLError or OSError when that is refused."""
    until = time.monotonic() + DEADLINE_S
    while True:
        plain = socket.create_connection(("127.0.0.1", device.tls_port), timeout=DEADLINE_S)
        try:
            return town.context(who).wrap_socket(plain)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
            # one more handshake than its pace allows; a later one is taken
            plain.close()
            assert time.monotonic() < until


def order(device, client, slot, pairs=((100, (4500,)),), root_key=ROOT_KEY):
    """Return the response to an order of the slot, authentic with the right key, brought by the client."""
    head = exchange(client, struct.pack(">BHH", 4, 0, registers.IDENTITY_WORDS))
    words = struct.unpack(f">{registers.IDENTITY_WORDS}H", head[2:])
    nonce, uptime_s = struct.pack(">6H", *words[9:15]), (words[15] << 16) | words[16]
    device.counter += 1
    frame = of.encode_order(
        of.slot_key(root_key, slot, 1), bytes.fromhex(DEVICE_ID), MAP_HASH, nonce,
        of.Order(slot, 1, device.counter, uptime_s + 30, 1800, pairs),
    )  # fmt: skip
    receipts = registers.RECEIPTS + registers.RECEIPT_WORDS * slot
    request = struct.pack(
        ">BHHHHB", 23, receipts, registers.RECEIPT_WORDS, registers.ORDER_MAILBOX, len(frame) // 2, len(frame)
    )
    return exchange(client, request + frame)


def over(client):
    """Whether the other end has closed the connection without an answer."""
    try:
        return client.recv(300) == b""
    except ConnectionError:
        return True


def refused(device):
    return device.read("refused_mac_count"), registers.REFUSALS[int(device.read("last_refusal_number"))]


def test_a_role_may_bring_the_orders_of_its_slot_and_no_other(device, town, warm):
    with connect(device, town, "supervisor") as client:
        assert value_of(client, "outdoor_temp_c") == pytest.approx(-5.0, abs=0.05)
        before = device.read("accepted_order_count")
        assert order(device, client, of.SUPERVISOR)[:2] == bytes((23, 32))
        assert device.read("accepted_order_count") == before + 1
        count = refused(device)[0]
        assert order(device, client, of.STANDBY) == bytes((0x97, 1))
        assert refused(device) == (count + 1, "tls")
        assert device.read("accepted_order_count") == before + 1


@pytest.mark.parametrize("who", [READER, "nobody", "utility"])
def test_another_role_or_none_only_reads(device, town, who, warm):
    with connect(device, town, who) as client:
        assert value_of(client, "map_version_number") == registers.MAP_VERSION
        before = device.read("accepted_order_count")
        assert order(device, client, of.SUPERVISOR) == bytes((0x97, 1))
        assert exchange(client, struct.pack(">BHHBH", 16, registers.ORDER_MAILBOX, 1, 2, 0)) == bytes(
            (0x90, 1)
        )
        assert exchange(client, bytes((21, 9, 6, 0, 1, 0, 0, 0, 1, 0, 0))) == bytes((0x95, 1))
        challenge = struct.pack(
            ">BHHHHBH", 23, registers.STATUS_BLOCK, of.status_words(8), registers.CHALLENGE_MAILBOX, 5, 10, 0
        )
        assert exchange(client, challenge + b"challeng")[0] == 23
        assert device.read("accepted_order_count") == before


def test_a_role_never_replaces_the_mac(device, town, warm):
    with connect(device, town, "supervisor") as client:
        count, accepted = refused(device)[0], device.read("accepted_order_count")
        order(device, client, of.SUPERVISOR, root_key=bytes(32))
        assert refused(device) == (count + 1, "mac")
        assert exchange(client, struct.pack(">BHH", 6, 100, 4500)) == bytes((0x86, 2))
        assert device.read("accepted_order_count") == accepted


@pytest.mark.parametrize("who", ["stranger", "expired", None])
def test_no_certificate_of_the_authority_gets_in(device, town, who, warm):
    count = refused(device)[0]
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        socket.create_connection(("127.0.0.1", device.tls_port), timeout=DEADLINE_S) as plain,
        town.context(who).wrap_socket(plain) as client,
    ):
        value_of(client, "outdoor_temp_c")
    until = time.monotonic() + DEADLINE_S
    while refused(device) != (count + 1, "tls"):
        assert time.monotonic() < until


def test_no_order_of_the_time_shuts_every_master_out(device, town, warm):
    row = registers.BY_NAME["unix_time_set_s"]
    behind_s = int(town.device.certificate.not_valid_after_utc.timestamp()) + 1
    with connect(device, town, "supervisor") as client:
        reply = order(
            device, client, of.SUPERVISOR, pairs=((row.address, (behind_s >> 16, behind_s & 0xFFFF)),)
        )
        assert reply[0] == 23
    assert (device.read("unix_time_s") or 0) < behind_s
    with connect(device, town, READER) as client:
        assert value_of(client, "map_version_number") == registers.MAP_VERSION


def test_handshakes_are_taken_however_long_ago_the_last_one_was(in_vm):
    printed = in_vm(
        """
from substation import modbus_tls as m
PERIOD = 1 << 30  # as on a 32-bit board
now = 0
m.ticks_ms = lambda: now % PERIOD
m.ticks_add = lambda ticks, delta: (ticks + delta) % PERIOD
m.ticks_diff = lambda later, earlier: (later - earlier + PERIOD // 2) % PERIOD - PERIOD // 2

class Port(m.ModbusTls):
    def __init__(self):
        self._due = 0

for days in (0, 1, 6.1, 6.3, 7, 9, 12, 12.42, 13):
    now = int(days * 86_400_000)
    print(Port()._admitted())
now = 0
port = Port()
print([port._admitted() for _ in range(m.BURST + 3)].count(False))
"""
    )
    assert printed.split() == ["True"] * 9 + ["2"]


def test_a_plain_client_is_no_guest_of_the_tls_port(device, warm):
    count = refused(device)[0]
    with socket.create_connection(("127.0.0.1", device.tls_port), timeout=DEADLINE_S) as client:
        client.sendall(struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 40, 1))
        assert over(client)
    assert refused(device) == (count + 1, "tls")


def test_handshakes_that_stand_still_and_a_flood_of_them_cost_the_others_nothing(device, town, warm):
    count = refused(device)[0]
    with connect(device, town, "supervisor") as client:
        crowd = []
        for _ in range(40):
            one = socket.create_connection(("127.0.0.1", device.tls_port), timeout=DEADLINE_S)
            one.sendall(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a ClientHello, and never the rest
            crowd.append(one)
            assert value_of(client, "outdoor_temp_c") == pytest.approx(-5.0, abs=0.05)
        assert device.read("outdoor_temp_c") == pytest.approx(-5.0, abs=0.05)
        for one in crowd:
            one.close()
    assert refused(device)[0] >= count + 40 - 5 - 6  # all beyond the pace; six places may still stand
    with connect(device, town, "supervisor") as client:
        assert value_of(client, "client_count") >= 1


# In a process of its own: firmware/ imports nothing but itself.
PYMODBUS = """
import ssl, sys, time
from pymodbus.client import ModbusTlsClient
folder, port, address = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.load_verify_locations(folder + "/authority.pem")
context.load_cert_chain(folder + "/reader.pem", folder + "/reader.key")
client = ModbusTlsClient("127.0.0.1", port=port, sslctx=context, timeout=20, retries=0)
until = time.monotonic() + 40
while not client.connect():  # the handshakes before may have used up their pace
    assert time.monotonic() < until
    time.sleep(0.1)
print(client.read_input_registers(address, count=1).registers[0])
"""


def test_pymodbus_reads_through_tls(device, town, warm):
    row = registers.BY_NAME["outdoor_temp_c"]
    with connect(device, town, READER):
        pass  # what the tests before used up of the pace is made good
    done = subprocess.run(
        [sys.executable, "-c", PYMODBUS, str(town.folder), str(device.tls_port), str(row.address)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    raw = registers.raw_of_words(row, (int(done.stdout),))
    assert registers.from_raw(row, raw) == pytest.approx(-5.0, abs=0.05)


def test_no_failed_handshake_keeps_a_socket(device, warm):
    held = Path(f"/proc/{device.process.pid}/fd")
    before = None
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", device.tls_port), timeout=DEADLINE_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert over(client)
        before = before or len(list(held.iterdir()))
    assert len(list(held.iterdir())) <= before


def test_more_than_a_record_of_requests_is_answered_to_the_last(device, town, warm):
    request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 40, 1)
    with connect(device, town, READER) as client:
        client.sendall(request * 100)
        got = b""
        while len(got) < 100 * 11:
            got += client.recv(4096)
    assert len(got) == 100 * 11


def test_without_its_files_the_port_stays_closed_and_the_plain_one_works(tmp_path):
    device = Device(tmp_path)
    try:
        device.wait_until_it_says(f"listening on 127.0.0.1:{device.port}")
        device.wait_until_it_says("tls: tls.crt, tls.key, tls.ca cannot be used")
        assert device.read("map_version_number") == registers.MAP_VERSION
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", device.tls_port), timeout=DEADLINE_S)
    finally:
        device.end()
