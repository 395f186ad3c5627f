"""The heat meters inside the whole controller, in the real VM."""

from __future__ import annotations

import ast

import pytest

from firmware.substation.meter_doubt import CONTRADICTS_SENSORS

from . import test_app
from .test_mbus import ANSWER

device = test_app.device
program = test_app.program

VM = """
import gc, machine, time
c = app.Controller(boards)
gc.collect()
uart = machine.UART
meter = c.meters.master.meters[0]
whole = bytes.fromhex(%r)
def talk(count):
    for _ in range(count):
        meter.due = time.ticks_ms()
        c.meters.look()
        for frame in uart.sent:
            uart.waiting[0] += b"\\xe5" if frame[1] == 0x40 else whole
        uart.sent.clear()
        if c.step(): c._loop.hold()
    gc.collect()
    return gc.mem_alloc()
heap = [talk(100), talk(1000), talk(1000)]
gc.collect()
gc.disable()
before = gc.mem_alloc()
for _ in range(40):
    meter.due = time.ticks_ms()
    c.meters.look()
    for frame in uart.sent:
        uart.waiting[0] = whole
    uart.sent.clear()
print([heap, (gc.mem_alloc() - before) // 40, meter.questions, c.meters._shown[0].bits])
"""


def test_in_the_vm_the_heap_does_not_grow_and_a_look_costs_little(device):
    """The whole controller with one meter that answers before the next look; the script itself needs room."""
    device.site(mbus_meters=[{"address": 7, "battery": False}])
    printed = device.script(VM % ANSWER.hex(), heap="256k")
    heap, look_b, questions, bits = ast.literal_eval(printed.splitlines()[-1])
    print(printed.splitlines()[-1])
    assert heap[2] <= heap[1]
    assert heap[1] - heap[0] <= 256
    assert look_b < 2_000
    assert questions > 100
    assert bits == 1 << CONTRADICTS_SENSORS  # this board's own sensors say 90 and 45 degC


@pytest.mark.parametrize("count", [1, 5])
def test_a_house_with_meters_starts_in_192_kb(device, count):
    device.site(mbus_meters=[{"address": 1 + place} for place in range(count)])
    assert "m-bus: %d meters at 2400 baud" % count in device.start()
    assert device.read("meter1_status_bits") == 0
    assert device.read("meter1_question_count") == 0
    assert device.read("meter1_energy_kwh") is None
    print(device.read("heap_used_b"), device.read("heap_free_b"))


DYING = """
app.SERVER_PAUSE_MS = 20
c = app.Controller(boards)
from substation import heat_meters
heat_meters.LOOK_MS = 20
looks = [0]
stock = c.meters.look
def look():
    looks[0] += 1
    if looks[0] in (2, 4):
        raise ValueError("nothing foresaw this")
    stock()
c.meters.look = look
async def main():
    task = asyncio.create_task(c.serve_line(c.meters))
    control = asyncio.create_task(c.guarded_control())
    while looks[0] < 8:
        await asyncio.sleep_ms(10)
    print([c._progress.restarts, control.done(), c._progress.standing()])
asyncio.run(main())
"""


def test_s8_a_meter_task_that_dies_is_begun_again_and_control_goes_on(device):
    device.take_sources()
    device.site(mbus_meters=[{"address": 7, "battery": False}])
    printed = device.script(DYING, heap="1m")
    assert printed.count("nothing foresaw this") == 2
    assert printed.splitlines()[-1] == "[2, False, -1]"
