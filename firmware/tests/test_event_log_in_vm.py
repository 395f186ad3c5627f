"""The event log in the real VM: what the whole controller notes, and what of it outlives a reset."""

from __future__ import annotations

import ast
import hashlib
import struct

from firmware.substation import order_frame as of
from firmware.substation import registers
from firmware.substation.event_log import BOOT, DIED, ORDER, PROGRAM, REFUSED, TASK

from . import test_app
from .order_rig import DEVICE_ID, ROOT_KEY

device = test_app.device
program = test_app.program

CHALLENGE = b"challeng"
SHOWN = (
    "def show(c):\n"
    "    out = bytearray(32)\n"
    "    n = 0\n"
    "    kinds = []\n"
    "    while c._log.read(101, 16 * n, 16, out, 0):\n"
    "        kinds.append((out[12], bytes(out[16:24])))\n"
    "        n += 1\n"
    "    print(kinds)\n"
)


def log_of(device):
    """Return (kind, who, what, value) of every record over Modbus, chain and seal verified."""
    block = device.ask(
        struct.pack(">BHHHHBH", 23, registers.LOG_SEAL, registers.LOG_SEAL_WORDS,
                    registers.CHALLENGE_MAILBOX, 5, 10, of.SUPERVISOR) + CHALLENGE
    )[2:]  # fmt: skip
    key = of.slot_key(ROOT_KEY, of.SUPERVISOR, 1)
    assert block[-16:] == of.hmac_sha256(key, b"TVL1" + bytes.fromhex(DEVICE_ID) + block[:-16])[:16]
    assert block[2:10] == CHALLENGE
    first, behind = struct.unpack(">II", block[14:22])
    chain, found = block[30:62], []
    for number in range(behind - first):
        answer = device.ask(struct.pack(">BBBHHH", 20, 7, 6, 101, 16 * number, 16))
        record = answer[4:]
        assert answer[:4] == bytes((20, 34, 33, 6)) and len(record) == 32
        chain = hashlib.sha256(chain + record[:24]).digest()
        assert record[24:] == chain[:8]
        found.append(struct.unpack(">BBHI", record[12:20]))
    assert chain == block[62:94]
    assert device.ask(struct.pack(">BBBHHH", 20, 7, 6, 101, 16 * (behind - first), 1)) == bytes((0x94, 2))
    return found


def test_the_shipped_program_notes_and_serves_its_log_in_192_kb(device):
    device.start()
    assert device.deliver(device.frame(((100, (4500,)),)))[0] == 23
    assert device.deliver(device.frame(((100, (9000,)),)))[0] == 23
    for _ in range(50):
        assert device.ask(bytes.fromhex("06 0064 1194")) == bytes((0x86, 2))
    log = log_of(device)
    assert log[:2] == [(BOOT, 0, log[0][2], 1), (PROGRAM, 0, 0, 0)]
    assert log[2:] == [(ORDER, 1, 100, 4500), (REFUSED, 1, 6, 100), (REFUSED, 0, 1, 1)]
    assert log_of(device) == log
    used_b = device.read("heap_used_b")
    assert used_b < 160_000, used_b


def test_s8_why_the_control_task_died_is_kept_before_the_reset(device):
    device.take_sources()
    printed = device.script(
        "c = app.Controller(boards)\n"
        "def broken(now_s, period_ms): raise ValueError('broken on purpose')\n"
        "c._loop.step = broken\n"
        "try:\n"
        "    asyncio.run(c.guarded_control())\n"
        "except machine.Reset:\n"
        "    print('reset')\n",
        heap="1m",
    )
    assert printed.splitlines()[-1] == "reset"
    again = device.script(SHOWN + "show(app.Controller(boards))\n", heap="1m")
    kept = ast.literal_eval(again.splitlines()[-1])
    assert [kind for kind, _ in kept] == [BOOT, PROGRAM, DIED, BOOT, PROGRAM]
    assert kept[2][1] == b"ValueErr"


def test_a_server_that_was_begun_again_is_noted(device):
    device.take_sources()
    printed = device.script(
        SHOWN + "app.SERVER_PAUSE_MS = 1\n"
        "c = app.Controller(boards)\n"
        "runs = [0]\n"
        "async def broken():\n"
        "    runs[0] += 1\n"
        "    if runs[0] > 50: await asyncio.sleep_ms(100000)\n"
        "    raise OSError(98)\n"
        "c._tcp.run = broken\n"
        "async def main():\n"
        "    asyncio.create_task(c.serve())\n"
        "    while runs[0] < 50: await asyncio.sleep_ms(1)\n"
        "asyncio.run(main())\n"
        "show(c)\n",
        heap="1m",
    )
    noted = [name for kind, name in ast.literal_eval(printed.splitlines()[-1]) if kind == TASK]
    assert noted == [b"OSError\0"] * 6  # fifty times, and not a record more


def test_a_log_in_flash_that_cannot_be_written_stops_nothing(device):
    """A folder lies where the log's file would: the controller starts, controls and answers."""
    device.take_sources()
    (device.root / "state").mkdir(exist_ok=True)
    for name in ("new", *range(8)):
        (device.root / "state" / f"log.{name}").mkdir()
    printed = device.script(
        "c = app.Controller(boards)\n"
        "for k in range(100):\n"
        "    c._log.note(3, 1, 100, k, 0, True)\n"
        "    c._log.save_when_due(100 + 3600 * k)\n"
        "    c.step()\n"
        "c._keep_house()\n"
        "print('controls')\n",
        heap="1m",
    )
    assert "event log: not kept" in printed
    assert printed.splitlines()[-1] == "controls"


def test_what_only_reading_needs_is_let_go_of(device):
    device.take_sources()
    printed = device.script(
        "c = app.Controller(boards)\n"
        "loaded = lambda: 'substation.log_reading' in sys.modules\n"
        "before = loaded()\n"
        "c._log.read(101, 0, 16, bytearray(40), 0)\n"
        "while_read = loaded()\n"
        "c._keep_house()\n"
        "print([before, while_read, loaded(), 'substation.log_opening' in sys.modules])\n",
        heap="1m",
    )
    assert printed.splitlines()[-1] == "[False, True, False, False]"
