"""The heat meters inside the whole controller, in the real VM and its 192 kB heap."""

from __future__ import annotations

import ast

from .test_app import device, program  # noqa: F401 - fixtures
from .test_mbus import ANSWER

VM = """
import gc, machine, time
from substation import mbus_link
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
print([heap, (gc.mem_alloc() - before) // 40, meter.questions, c.meters.flow_l_h()])
"""


def test_in_the_vm_the_heap_does_not_grow_and_a_look_costs_little(device):
    """The whole controller with one meter that answers before the next look, in the 192 kB heap."""
    device.site(mbus_meters=[{"address": 7, "battery": False}])
    printed = device.script(VM % ANSWER.hex())
    heap, look_b, questions, flow_l_h = ast.literal_eval(printed.splitlines()[-1])
    print(printed.splitlines()[-1])
    assert heap[2] <= heap[1]
    assert heap[1] - heap[0] <= 256
    assert look_b < 2_000
    assert questions > 100
    assert flow_l_h == 1_234
