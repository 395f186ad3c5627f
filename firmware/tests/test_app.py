"""The whole controller in the real VM, from compiled modules, as a board starts it."""

from __future__ import annotations

import ast
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware.substation import order_frame as of
from firmware.substation import registers

from .order_rig import DEVICE_ID, MAP_HASH, ROOT_KEY, SITE

FIRMWARE = Path(__file__).parent.parent
DEADLINE_S = 20.0
HEAP_GOAL_B = 160_000  # after a collection, in a 192 kB heap of the 64-bit VM

IN_PROCESS = """
import sys
import asyncio, gc, machine
import boards
from substation import app
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The bundle that ships, with a `machine` beside it."""
    root = tmp_path_factory.mktemp("program") / "bundle"
    subprocess.run(
        [sys.executable, "-m", "tools.cli", "build", "--out", str(root)], check=True, capture_output=True
    )
    shutil.copy(FIRMWARE / "tests" / "vm" / "machine.py", root)
    return root


class Device:
    """One device folder, and the VM that runs it."""

    def __init__(self, root, port):
        self.root = root
        self.port = port
        self.process = None
        self.counter = 0
        self.names = json.loads((root / "manifest.json").read_text())["names"]

    def site(self, **changes):
        (self.root / "site.json").write_text(
            json.dumps({**SITE, "modbus_port": self.port, "modbus_address": "127.0.0.1", **changes})
        )

    def script(self, text, heap="192k"):
        """Run a script in the device's folder; return what it printed."""
        # attributes have shorter names in the bundle; those of the test's own machine keep theirs
        text = re.sub(r"(?<=\.)(?<!machine\.)[A-Za-z_]\w*", lambda m: self.names.get(m[0], m[0]), text)
        (self.root / "script.py").write_text(IN_PROCESS + text)
        done = subprocess.run(
            [sys.executable, "-m", "micropython", "-X", "heapsize=" + heap, "script.py"],
            cwd=self.root, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def take_sources(self):
        """Run the sources instead of the bundle, whose constants no test could change."""
        self.names = {}
        for folder in ("boards", "substation"):
            for compiled in (self.root / folder).glob("*.mpy"):
                compiled.unlink()
            for source in (FIRMWARE / folder).glob("*.py"):
                shutil.copy(source, self.root / folder)

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "micropython", "-X", "heapsize=192k", "main.py"],
            cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        told = ""
        while "listening" not in told:
            line = self.process.stdout.readline()
            assert line, told
            told += line
        return told

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def ask(self, pdu, unit=1):
        """Return the response PDU."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as client:
            client.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, unit) + pdu)
            head = client.recv(7, socket.MSG_WAITALL)
            return client.recv(struct.unpack(">HHHB", head)[2] - 1, socket.MSG_WAITALL)

    def words(self, address, count, function=4):
        reply = self.ask(struct.pack(">BHH", function, address, count))
        assert reply[0] == function, reply
        return struct.unpack(f">{count}H", reply[2:])

    def read(self, name):
        row = registers.BY_NAME[name]
        function = 4 if row.space == registers.INPUT else 3
        words = self.words(row.address, registers.words_of(row), function)
        return registers.from_raw(row, registers.raw_of_words(row, words))

    def identity(self):
        words = self.words(0, registers.IDENTITY_WORDS)
        return struct.pack(">6H", *words[9:15]), (words[15] << 16) | words[16]

    def frame(self, pairs, lease_s=1800):
        nonce, uptime_s = self.identity()
        self.counter += 1
        key = of.slot_key(ROOT_KEY, of.SUPERVISOR, 1)
        order = of.Order(of.SUPERVISOR, 1, self.counter, uptime_s + 30, lease_s, pairs)
        return of.encode_order(key, bytes.fromhex(DEVICE_ID), MAP_HASH, nonce, order)

    def deliver(self, frame, unit=1):
        """Write the order and read the receipt in one transaction; return the response PDU."""
        words = len(frame) // 2
        head = struct.pack(
            ">BHHHHB",
            23,
            registers.RECEIPTS,
            registers.RECEIPT_WORDS,
            registers.ORDER_MAILBOX,
            words,
            2 * words,
        )
        return self.ask(head + frame, unit)

    def wait_for(self, name, value):
        until = time.monotonic() + DEADLINE_S
        while self.read(name) != value:
            assert time.monotonic() < until, f"{name} is {self.read(name)}, not {value}"


@pytest.fixture
def device(program, tmp_path):
    root = tmp_path / "device"
    shutil.copytree(program, root)
    (root / "keys.bin").write_bytes(ROOT_KEY)
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    device = Device(root, port)
    device.site()
    yield device
    device.kill()


def test_it_starts_and_tells_who_it_is(device):
    told = device.start()
    assert "house-01: substation, boot 1" in told
    assert device.read("identity_magic_code") == registers.IDENTITY_MAGIC
    assert device.read("map_hash_code") == MAP_HASH
    assert device.read("boot_count") == 1
    assert device.read("profile_number") == 1
    assert device.words(4, 4) == struct.unpack(">4H", bytes.fromhex(DEVICE_ID))
    assert device.read("contract_flow_limit_m3_h") == 2.0
    assert device.read("heap_used_b") < HEAP_GOAL_B


def test_a_pump_station_starts_from_the_same_program(device):
    device.site(profile="pump_station")
    content = json.loads((device.root / "site.json").read_text())
    del content["contract_flow_limit_m3_h"]
    (device.root / "site.json").write_text(json.dumps(content))
    assert "pump_station" in device.start()
    assert device.read("profile_number") == 2
    assert device.read("own_plant_dp_bar") == 1.5
    assert device.read("plant_supply_temp_c") == pytest.approx(90.0, abs=0.05)


def test_an_order_reaches_the_loop_and_its_receipt_proves_it(device):
    device.start()
    reply = device.deliver(device.frame(((100, (4500,)),)))
    assert reply[:2] == bytes((23, 32))
    nonce, _ = device.identity()
    key = of.slot_key(ROOT_KEY, of.SUPERVISOR, 1)
    receipt = of.decode_receipt(key, bytes.fromhex(DEVICE_ID), nonce, reply[2:])
    assert (receipt.result, receipt.counter, receipt.lease_s) == (of.ACCEPTED, 1, 1800)
    assert device.read("secondary_supply_temp_sp_c") == 45.0
    device.wait_for("control_mode_number", 1)
    challenge = b"challeng"
    block = device.ask(
        struct.pack(
            ">BHHHHBH", 23, registers.STATUS_BLOCK, of.status_words(8), registers.CHALLENGE_MAILBOX, 5, 10, 0
        )
        + challenge
    )
    status = of.decode_status(key, bytes.fromhex(DEVICE_ID), challenge, block[2:])
    assert status.control_mode == 1
    assert status.map_hash == MAP_HASH


def test_s7_whatever_else_is_written_changes_nothing(device):
    """FC 5/6/15/16/21/22/23, broadcast, a flipped bit, another house's order, a replay after a power cut."""
    device.start()
    before = (device.words(100, 4, 3), device.words(300, 11, 3))
    frame = device.frame(((100, (4500,)),))
    flipped = bytearray(frame)
    flipped[20] ^= 1
    other_house = of.encode_order(
        of.slot_key(ROOT_KEY, 0, 1), bytes(8), MAP_HASH, device.identity()[0],
        of.Order(0, 1, 5, device.identity()[1] + 30, 1800, ((100, (4500,)),)),
    )  # fmt: skip
    for pdu in (
        bytes.fromhex("05 0000 ff00"), bytes.fromhex("06 0064 1194"), bytes.fromhex("0f 0000 0008 01 ff"),
        bytes.fromhex("10 0064 0001 02 1194"), bytes.fromhex("15 09 06 0001 0000 0001 0000"),
        bytes.fromhex("16 0064 ffff 0000"), bytes.fromhex("17 0064 0001 0064 0001 02 1194"),
        bytes.fromhex("08 0001 0000"),
    ):  # fmt: skip
        assert device.ask(pdu) == bytes((pdu[0] | 0x80, 2))
    assert device.deliver(bytes(flipped)) == bytes((0x97, 2))
    assert device.deliver(other_house) == bytes((0x97, 2))
    assert device.deliver(frame, unit=0) == bytes((0x97, 2))
    assert (device.words(100, 4, 3), device.words(300, 11, 3)) == before
    assert device.read("refused_function_count") == 8
    assert device.read("refused_mac_count") == 2
    assert device.read("broadcast_count") == 1
    assert device.read("last_refusal_source_code") == 0x7F000001
    device.wait_for(
        "alarm_bits", device.read("alarm_bits") | 1 << registers.ALARM_BITS.index("refused_writes")
    )
    kept = device.frame(((100, (4600,)),))
    device.kill()
    device.start()
    assert device.read("boot_count") == 2
    assert device.deliver(kept) == bytes((0x97, 2))
    assert device.words(100, 4, 3) == before[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"valve_stroke_s": 1}, "valve_stroke_s: 1 must be a number between 5 and 600"),
        ({"device_id": "12"}, "device_id: '12' must be 16 hexadecimal digits"),
        ({"boad": "emulated"}, "boad: is not a setting of a substation"),
    ],
)
def test_a_mistake_in_the_site_file_is_a_safe_start(device, changes, told):
    device.site(**changes)
    console = device.start()
    assert told in console
    assert "safe start" in console
    assert device.read("control_mode_number") == 4
    assert device.read("alarm_bits") & 1 << registers.ALARM_BITS.index("config_rejected")
    assert device.read("secondary_pump_out_number") == 1  # it heats


def test_without_files_it_heats_on_defaults(device):
    (device.root / "site.json").unlink()
    (device.root / "keys.bin").write_bytes(b"short")
    printed = device.script(
        "c = app.Controller(boards)\nc.step()\nprint([c._loop.circuits[0].pump.on, machine.pins[12]])\n"
    )
    assert "site.json: cannot be read" in printed
    assert "keys.bin: 5 bytes instead of 32" in printed
    assert printed.splitlines()[-1] == "[True, 1]"


def test_s8_a_dead_control_task_resets_the_board_with_the_valve_held(device):
    printed = device.script(
        "c = app.Controller(boards)\n"
        "c._loop.valve.move_to(1000, 2000)\n"
        "moving = machine.pins[11]\n"
        "def broken(now_s, period_ms): raise ValueError('broken on purpose')\n"
        "c._loop.step = broken\n"
        "try:\n"
        "    asyncio.run(c.guarded_control())\n"
        "    print('it went on')\n"
        "except machine.Reset:\n"
        "    print([moving, machine.pins[10], machine.pins[11]])\n"
    )
    assert "broken on purpose" in printed
    assert printed.splitlines()[-1] == "[1, 0, 0]"
    again = device.script("c = app.Controller(boards)\nprint([c._boots.rescues, c._alarms.bits])\n")
    assert again.splitlines()[-1] == str([1, 1 << registers.ALARM_BITS.index("watchdog_reset")])


def test_s8_a_dead_monitor_resets_the_board_with_the_valve_held(device):
    """Else the relay stays closed until the watchdog bites: 8 s, a fifteenth of the stroke."""
    printed = device.script(
        "c = app.Controller(boards)\n"
        "c._loop.valve.move_to(1000, 2000)\n"
        "moving = machine.pins[11]\n"
        "def broken(): raise MemoryError('broken on purpose')\n"
        "c._keep_house = broken\n"
        "app.Controller = lambda *_: c\n"
        "try:\n"
        "    asyncio.run(app.run(boards))\n"
        "    print('it went on')\n"
        "except machine.Reset:\n"
        "    print([moving, machine.pins[10], machine.pins[11]])\n"
    )
    assert "broken on purpose" in printed and "monitor task died" in printed
    assert printed.splitlines()[-1] == "[1, 0, 0]"
    again = device.script("c = app.Controller(boards)\nprint([c._boots.rescues, c._alarms.bits])\n")
    assert again.splitlines()[-1] == str([1, 1 << registers.ALARM_BITS.index("watchdog_reset")])


def test_whoever_takes_over_by_cable_finds_the_valves_held_and_raises_no_alarm_by_the_reset(device):
    printed = device.script(
        "c = app.Controller(boards)\n"
        "c._loop.valve.move_to(1000, 2000)\n"
        "moving = machine.pins[11]\n"
        "def interrupt(): raise KeyboardInterrupt()\n"
        "c._keep_house = interrupt\n"
        "app.Controller = lambda *_: c\n"
        "try:\n"
        "    import main\n"
        "except KeyboardInterrupt:\n"
        "    print([moving, machine.pins[10], machine.pins[11]])\n"
    )
    assert printed.splitlines()[-1] == "[1, 0, 0]"
    again = device.script(
        "machine.cause[0] = 3\nc = app.Controller(boards)\nprint([c._boots.count, c._boots.rescues])\n"
    )
    assert again.splitlines()[-1] == "[2, 0]"


def test_s8_a_flash_that_refuses_keeps_no_dead_task_from_its_reset(device):
    printed = device.script(
        "c = app.Controller(boards)\n"
        "def broken(*_): raise OSError(28)\n"
        "c._loop.step = c._boots.rescue = broken\n"
        "try:\n"
        "    asyncio.run(c.guarded_control())\n"
        "except machine.Reset:\n"
        "    print('reset')\n"
    )
    assert printed.splitlines()[-1] == "reset"


def test_s8_the_watchdog_is_fed_only_by_progress(device):
    device.take_sources()
    printed = device.script(
        "app.PERIOD_MS = 4\n"
        "app.CONTROL_ALLOWED_MS = 60\n"
        "app.HOUSEKEEPING_EVERY = 1000000\n"
        "c = app.Controller(boards)\n"
        "w = machine.WDT(timeout=8000)\n"
        "async def main():\n"
        "    task = asyncio.create_task(c.guarded_control())\n"
        "    asyncio.create_task(c.monitor(w))\n"
        "    await asyncio.sleep_ms(200)\n"
        "    working = machine.feeds[0]\n"
        "    task.cancel()\n"
        "    await asyncio.sleep_ms(200)\n"
        "    stopped = machine.feeds[0]\n"
        "    await asyncio.sleep_ms(200)\n"
        "    print([working > 10, machine.feeds[0] - stopped])\n"
        "asyncio.run(main())\n",
        heap="1m",
    )
    assert "task 'control' stands still" in printed
    assert printed.splitlines()[-1] == "[True, 0]"


def test_s8_a_dead_server_is_begun_again_and_control_goes_on(device):
    device.take_sources()
    printed = device.script(
        "app.PERIOD_MS = 4\n"
        "app.SERVER_PAUSE_MS = 5\n"
        "app.HOUSEKEEPING_EVERY = 1\n"
        "c = app.Controller(boards)\n"
        "runs = [0]\n"
        "async def broken():\n"
        "    runs[0] += 1\n"
        "    await asyncio.sleep_ms(1)\n"
        "    if runs[0] < 4: raise ValueError('broken on purpose')\n"
        "    await asyncio.sleep_ms(100000)\n"
        "c._tcp.run = broken\n"
        "steps = [0]\n"
        "step = c.step\n"
        "def counted():\n"
        "    steps[0] += 1\n"
        "    return step()\n"
        "c.step = counted\n"
        "w = machine.WDT(timeout=8000)\n"
        "async def main():\n"
        "    asyncio.create_task(c.guarded_control())\n"
        "    asyncio.create_task(c.serve())\n"
        "    asyncio.create_task(c.monitor(w))\n"
        "    await asyncio.sleep_ms(400)\n"
        "    print([runs[0], c._bank.raw(c._restarts_point), steps[0] > 20])\n"
        "asyncio.run(main())\n",
        heap="1m",
    )
    assert printed.splitlines()[-1] == "[4, 3, True]"


def test_the_heap_does_not_grow(device):
    """2 000 steps with a poll, a refused frame and an order frame in each: not a block more is in use."""
    printed = device.script(
        "c = app.Controller(boards)\n"
        "gc.collect()\n"
        "s = c._tcp._ports[0][1]\n"
        "out = bytearray(260)\n"
        "frames = [bytes([0,1,0,0,0,6,1,4,0,40,0,63]), bytes([0,1,0,0,0,6,1,6,0,100,0,25]),\n"
        "    bytes([0,1,0,0,0,43,1,16,3,232,0,18,36]) + bytes([1,0,0,1,0,0,0,1,0,0,0,9,7,8,0,1])\n"
        "    + bytes(20)]\n"
        "def run(n):\n"
        "    for k in range(n):\n"
        "        machine.counts[k % 8] = 25000 + k * 7 % 9000\n"
        "        if c.step(): c._loop.hold()\n"
        "        for f in frames: s.answer(f, 0, len(f), out, 1)\n"
        "        if k % 500 == 0: c._keep_house()\n"
        "    gc.collect()\n"
        "    return gc.mem_alloc()\n"
        "first = run(500)\n"
        "print([first, run(2000), run(2000)])\n"
    )
    used = ast.literal_eval(printed.splitlines()[-1])
    assert used[2] <= used[1]
    assert used[1] - used[0] <= 256  # counters and energies that grew past a small integer
    assert used[2] < HEAP_GOAL_B


EVERYTHING = {
    "heating_circuits": 2, "schedule": {"mon-fri": ["06:00-22:00"]},
    "schedule2": {"mon-sun": ["05:00-23:00"]},
    "room_influence_pct": 200, "room2_influence_pct": 100, "dhw": "instantaneous", "dhw_priority": "sliding",
    "dhw_schedule": {"mon-sun": ["05:00-23:00"]}, "contract_heat_limit_kw": 20, "capacity_heat_limit_kw": 15,
    "return_difference_limit_k": 10, "flow_limit_points": [[-10, 2], [10, 1]],
    "valve_starts_hour_maximum_count": 200,
    "inputs": {
        "secondary2_supply_temp_c": {"channel": 8, "kind": "pt1000"},
        "secondary2_return_temp_c": {"channel": 9, "kind": "ntc10k"},
        "room2_temp_c": {"channel": 10, "kind": "pt1000"},
        "dhw_supply_temp_c": {"channel": 11, "kind": "pt1000"},
        "dhw_circulation_temp_c": {"channel": 12, "kind": "pt1000"},
        "dhw_flow_m3_h": {"channel": 13, "kind": "4-20ma", "span": 4},
        "outdoor_temp_c": {"damping_s": 600},
    },
}  # fmt: skip
EVERYTHING_HEAP = "208k"  # more than one house has: it does not boot in 192k


def test_everything_at_once_runs_and_its_heap_does_not_grow(device):
    device.site(**EVERYTHING)
    printed = device.script(
        "machine.counts += [29609, 27000, 27403, 29000, 28900, 13107, 0]\n"
        "c = app.Controller(boards)\n"
        "c.clock.set(1767571200)\n"
        "def run(n):\n"
        "    for k in range(n):\n"
        "        machine.counts[k % 14] = 25000 + k * 7 % 4000\n"
        "        h = c.step()\n"
        "        while h: h = c._loop.hold()\n"
        "        if k % 250 == 0: c._keep_house()\n"
        "    gc.collect()\n"
        "    return gc.mem_alloc()\n"
        "first = run(200)\n"
        "print([len(c._loop.circuits), c._loop.dhw is not None, c._safe_start])\n"
        "print([first, run(500), run(500)])\n",
        heap=EVERYTHING_HEAP,
    )
    assert "safe start" not in printed
    assert printed.splitlines()[-2] == "[2, True, False]"
    used = ast.literal_eval(printed.splitlines()[-1])
    assert used[2] <= used[1] + 64
    assert used[1] - used[0] <= 512


@pytest.mark.parametrize("kind", ["storage", "storage_charging"])
def test_a_tank_is_loaded_without_the_parts_of_a_tap(device, kind):
    device.site(dhw=kind, inputs={
        "dhw_supply_temp_c": {"channel": 8, "kind": "pt1000"},
        "dhw_tank_top_temp_c": {"channel": 9, "kind": "pt1000"},
    })  # fmt: skip
    printed = device.script(
        "machine.counts += [29609] * 7\n"
        "c = app.Controller(boards)\n"
        "c.step()\n"
        "print(sorted(m for m in sys.modules if 'dhw' in m or 'room' in m or 'comfort' in m))\n",
        heap=EVERYTHING_HEAP,
    )
    assert printed.splitlines()[-1] == "['substation.dhw', 'substation.dhw_storage']"
