"""The sockets of the Modbus server, in the real VM: pipelining, fragments, crowds and floods."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parent.parent

SERVER = """
import sys
sys.path[:0] = %(paths)r
import asyncio, gc
from substation.modbus_diagnostics import Diagnostics
from substation.modbus_rtu import Rtu
from substation.modbus_server import ModbusServer
from substation.modbus_tcp import ModbusTcp
from substation.progress import Progress
from substation.register_bank import RegisterBank
bank = RegisterBank("substation")
bank.put(bank.point("outdoor_temp_c"), -5000)
steps = bank.point("uptime_s")
class Mailbox:
    def take(self, frame, source): return False
    def status(self, slot, challenge): return b""
class Tally:
    def note(self, cause, source): pass
progress = Progress(("control",), (6000,))
class Records:
    def read(self, file, record, count, out, at): return False
identity = Diagnostics(((0, b"V"), (1, b"P"), (2, b"R")), 1)
server = ModbusServer(bank, Mailbox(), Tally(), 1, lambda: None, identity, Records())
tcp = ModbusTcp(((%(port)d, server), (%(rtu_port)d, Rtu(server, 17))), "127.0.0.1", bank,
    bank.point("client_count"), progress)
async def control():
    n = 0
    while True:
        n += 1
        bank.put(steps, n)
        await asyncio.sleep_ms(10)
async def main():
    asyncio.create_task(control())
    await tcp.run()
asyncio.run(main())
"""

READ = struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 40, 1)
REPLY = struct.pack(">HHHBBBH", 7, 0, 5, 1, 4, 2, 65036)
REPLY_BYTES = len(REPLY)
READ_STEPS = struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 15, 2)
READ_CLIENTS = struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 63, 1)
DEADLINE_S = 20.0


@pytest.fixture
def ports(tmp_path):
    """The TCP port and the RTU-over-TCP port of a running server."""
    with socket.create_server(("127.0.0.1", 0)) as chosen, socket.create_server(("127.0.0.1", 0)) as other:
        number, rtu_number = chosen.getsockname()[1], other.getsockname()[1]
    script = tmp_path / "server.py"
    script.write_text(SERVER % {"paths": [str(FIRMWARE)], "port": number, "rtu_port": rtu_number})
    process = subprocess.Popen(
        [sys.executable, "-m", "micropython", "-X", "heapsize=256k", str(script)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(2):
        assert "listening" in process.stdout.readline()
    yield number, rtu_number
    assert process.poll() is None, process.stdout.read()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def port(ports):
    return ports[0]


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client, count):
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        assert part, f"closed after {len(data)} of {count} bytes"
        data += part
    return data


def ask(client, request=READ, size=REPLY_BYTES):
    client.sendall(request)
    return receive(client, size)


def number(reply):
    return int.from_bytes(reply[9:], "big")


def closed(client):
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_pipelined_requests_are_all_answered_in_order(port):
    with connect(port) as client:
        requests = b"".join(struct.pack(">HHHBBHH", n, 0, 6, 1, 4, 40, 1) for n in range(16))
        client.sendall(requests)
        replies = receive(client, 16 * len(REPLY))
    assert replies == b"".join(struct.pack(">HHHBBBH", n, 0, 5, 1, 4, 2, 65036) for n in range(16))


def test_hundreds_of_pipelined_requests_are_all_answered(port):
    with connect(port) as client:
        client.sendall(READ * 500)
        assert receive(client, 500 * len(REPLY)) == REPLY * 500


@pytest.mark.parametrize("cut", range(1, len(READ)))
def test_a_request_in_two_pieces_is_answered_once_whole(port, cut):
    with connect(port) as client, connect(port) as other:
        client.sendall(READ[:cut])
        assert ask(other) == REPLY  # the server has seen the first piece and is not stuck in it
        client.sendall(READ[cut:])
        assert receive(client, len(REPLY)) == REPLY


def test_byte_by_byte(port):
    with connect(port) as client:
        for byte in READ + READ:
            client.sendall(bytes((byte,)))
        assert receive(client, 2 * len(REPLY)) == REPLY * 2


def test_the_largest_frames(port):
    with connect(port) as client:
        pdu = bytes((16, 3, 232, 0, 123, 246)) + bytes(246)
        request = struct.pack(">HHHB", 9, 0, len(pdu) + 1, 1) + pdu
        client.sendall(request * 4 + READ)
        refused = struct.pack(">HHHBBB", 9, 0, 3, 1, 0x90, 2)
        assert receive(client, 4 * len(refused) + len(REPLY)) == refused * 4 + REPLY


def test_a_lost_stream_is_closed_and_others_are_not(port):
    with connect(port) as bad, connect(port) as good:
        assert ask(good) == REPLY
        bad.sendall(READ + bytes.fromhex("0001 0000 ffff 01 04 0028 0001"))
        assert receive(bad, len(REPLY)) == REPLY
        assert closed(bad)
        assert ask(good) == REPLY


def test_four_masters_are_served_and_a_fifth_takes_the_longest_idle(port):
    masters = [connect(port) for _ in range(4)]
    try:
        for client in masters:
            assert ask(client) == REPLY
        for client in masters[1:]:
            assert ask(client) == REPLY
        with connect(port) as fifth:
            assert ask(fifth) == REPLY
            assert closed(masters[0])
            for client in masters[1:]:
                assert ask(client) == REPLY
    finally:
        for client in masters:
            client.close()


def test_s12_a_silent_crowd_pushes_out_only_itself(port):
    masters = [connect(port) for _ in range(4)]
    crowd = []
    try:
        for client in masters:
            assert ask(client) == REPLY
        for _ in range(30):
            crowd.append(connect(port))
        for client in masters:
            assert ask(client) == REPLY
        gone = 0
        for client in crowd[:20]:
            gone += closed(client)
        assert gone == 20
        assert number(ask(masters[0], READ_CLIENTS)) <= 6
    finally:
        for client in masters + crowd:
            client.close()


def test_s12_a_flood_costs_no_control_cycle(port):
    """While one client floods without reading and another without pause, the control task keeps its pace."""
    with connect(port) as deaf, connect(port) as loud, connect(port) as watcher:
        first = number(ask(watcher, READ_STEPS, 13))
        began = time.monotonic()
        deaf.setblocking(False)
        rounds = 0
        while number(ask(watcher, READ_STEPS, 13)) < first + 100:
            try:
                while deaf.send(READ * 200):
                    pass
            except (BlockingIOError, ConnectionError):
                pass
            loud.sendall(READ * 16)
            receive(loud, 16 * len(REPLY))
            rounds += 1
            assert time.monotonic() - began < DEADLINE_S, "the control task starved"
        assert rounds > 100  # the flood was on all the time
        assert ask(watcher) == REPLY


def test_clients_that_leave_free_their_places(port):
    for _ in range(50):
        with connect(port) as client:
            assert ask(client) == REPLY
    with connect(port) as client:
        until = time.monotonic() + DEADLINE_S
        while number(ask(client, READ_CLIENTS)) != 1:
            assert time.monotonic() < until


def test_a_reset_in_the_middle_of_a_frame(port):
    with connect(port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(READ[:5])
    with connect(port) as client:
        assert ask(client) == REPLY
