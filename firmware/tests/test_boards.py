"""The boards: one interface, relays that exclude each other, and readings that survive a dead converter."""

import ast
import re
from pathlib import Path

import pytest

from firmware.boards import NAMES

BOARDS = Path(__file__).parent.parent / "boards"

FAKES = """
import machine, sys
class I2C:
    def __init__(self, *a, **k):
        self.microvolts = {}
        self.channel = {}
        self.dead = set()
    def writeto_mem(self, chip, register, data):
        if chip in self.dead: raise OSError(5)
        self.channel[chip] = (data[0] >> 4) & 3
        assert data[0] & 0xCE == 0xC2 and data[1] == 0xA3
    def readfrom_mem_into(self, chip, register, data):
        if chip in self.dead: raise OSError(5)
        count = self.microvolts.get((chip, self.channel[chip]), 0) // 125
        data[0] = count >> 8; data[1] = count & 255
class Nic:
    def __init__(self, *a): self.up = None
    def active(self, on): self.on = on
    def ifconfig(self, what): self.up = what
class SPI:
    def __init__(self, *a, **k): pass
machine.I2C = I2C; machine.SPI = SPI
class network: WIZNET5K = Nic
sys.modules["network"] = network
import boards
"""

INTERFACE = (
    "sample", "resistance_mohm", "current_ua", "valve", "pump", "pump_speed", "heat_demand", "button_pressed",
    "start_network", "serial_line", "meter_line", "watchdog", "reset", "reset_cause", "device_id",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_board_has_the_interface_and_starts_with_everything_off(in_vm, name):
    printed = in_vm(
        FAKES + f"b = boards.open_board({name!r})\n"
        f"print([n for n in {INTERFACE!r} if not hasattr(b, n)], sorted(machine.pins.items()))\n"
        "class Station:\n    circuits = 0\n    dhw = 'none'\n    pumps = 1\n    inputs = ()\n"
        "b.equip(Station)\n"
        "print(sorted(machine.duties.items()))\n"
    )
    assert printed.splitlines() == ["[] [(10, 0), (11, 0), (12, 0)]", "[(13, 0), (14, 0)]"]


@pytest.mark.parametrize("name", NAMES)
def test_the_two_relays_are_never_on_together(in_vm, name):
    printed = in_vm(
        FAKES + "set_pin = machine.Pin.value\n"
        "def watched(self, level=None):\n"
        "    result = set_pin(self, level)\n"
        "    assert not (machine.pins.get(10) and machine.pins.get(11))\n"
        "    return result\n"
        "machine.Pin.value = watched\n"
        f"b = boards.open_board({name!r})\n"
        "seen = []\n"
        "for d in (1, -1, 1, 0, -1, 0, 1):\n"
        "    b.valve(d); seen.append((machine.pins[10], machine.pins[11]))\n"
        "print(seen)\n"
    )
    assert printed.strip() == "[(1, 0), (0, 1), (1, 0), (0, 0), (0, 1), (0, 0), (1, 0)]"


def test_the_emulated_board_reads_what_its_circuits_give(in_vm):
    printed = in_vm(
        FAKES + "from substation.sensors import pt1000_mc, loop_value\n"
        "b = boards.open_board('emulated')\n"
        "out = []\n"
        "for ohm in (0, 843, 1000, 1385.055, 1573):\n"
        "    machine.counts[0] = round(65535 * ohm / (ohm + 1500))\n"
        "    out.append(pt1000_mc(b.resistance_mohm(0)))\n"
        "machine.counts[0] = 65535; out.append(pt1000_mc(b.resistance_mohm(0)))\n"
        "for ma in (0, 3.5, 4, 12, 20, 21.5):\n"
        "    machine.counts[6] = round(65535 * ma * 0.15 / 3.3)\n"
        "    out.append(loop_value(b.current_ua(6), 16000))\n"
        "print(out)\n"
    )
    values = ast.literal_eval(printed)
    assert values[0] is None
    assert [values[k] for k in (1, 2, 3, 4)] == pytest.approx([-39_921, 0, 100_000, 149_925], abs=40)
    assert values[5:8] == [None, None, None]
    assert values[8] == pytest.approx(0, abs=2)
    assert values[9:11] == pytest.approx([8_000, 16_000], abs=2)
    assert values[11] is None


def test_the_real_board_reads_through_its_converters_and_survives_a_dead_one(in_vm):
    printed = in_vm(
        FAKES + "from substation.sensors import pt1000_mc, loop_value\n"
        "b = boards.open_board('w5500_evb_pico2')\n"
        "i = b._i2c\n"
        "i.microvolts[(0x48, 1)] = 3300000 * 1000 // 2500\n"
        "i.microvolts[(0x49, 0)] = 3300000 * 1385 // 2885\n"
        "i.microvolts[(0x49, 2)] = 1800000\n"
        "i.microvolts[(0x48, 3)] = 3300000\n"
        "b.sample()\n"
        "out = [pt1000_mc(b.resistance_mohm(c)) for c in (1, 4, 3)] + [loop_value(b.current_ua(6), 16000)]\n"
        "i.dead.add(0x49); b.sample()\n"
        "out += [pt1000_mc(b.resistance_mohm(c)) for c in (1, 4)] + [loop_value(b.current_ua(6), 16000)]\n"
        "print(out)\n"
    )
    values = ast.literal_eval(printed)
    assert values[0] == pytest.approx(0, abs=50)
    assert values[1] == pytest.approx(100_000, abs=100)
    assert values[2] is None
    assert values[3] == pytest.approx(8_000, abs=2)
    assert values[4] == values[0]
    assert values[5:] == [None, None]


def test_the_real_boards_network_needs_a_fixed_address(in_vm):
    printed = in_vm(
        FAKES + "b = boards.open_board('w5500_evb_pico2')\n"
        "try: b.start_network({})\n"
        "except OSError as e: print(e)\n"
        "b.start_network({'address': '10.0.3.17', 'gateway': '10.0.3.1'})\n"
        "print(b._nic.on, b._nic.up)\n"
    ).splitlines()
    assert "network.address is missing" in printed[0]
    assert printed[1] == "True ('10.0.3.17', '255.255.255.0', '10.0.3.1', '10.0.3.1')"


def test_an_unknown_board_is_named(in_vm):
    printed = in_vm(FAKES + "try: boards.open_board('toaster')\nexcept ValueError as e: print(e)\n")
    assert "'toaster'" in printed
    assert "emulated" in printed


ONE_WIRE = """
import sys
class OneWireError(Exception): pass
class OneWire:
    def __init__(self, pin): pass
class Bus:
    here = {}  # number -> sixteenths of a degree, or None for a wrong check sum
    def __init__(self, wire): self.order = 0
    def scan(self): return [bytearray(n) for n in sorted(Bus.here, reverse=True)]
    def convert_temp(self):
        if not Bus.here: raise OneWireError()
    def read_scratch(self, rom):
        count = Bus.here.get(bytes(rom))
        if count is None: raise Exception("CRC error")
        if count == "short": return bytes(9)
        return bytes((count & 255, count >> 8 & 255, 75, 70, 127, 255, 12, 16, 0))
class onewire: pass
onewire.OneWire = OneWire; onewire.OneWireError = OneWireError
class ds18x20: DS18X20 = Bus
sys.modules["onewire"] = onewire; sys.modules["ds18x20"] = ds18x20
A, B, C = (bytes((0x28, 0, 0, 0, 0, 0, 0, n)) for n in (1, 2, 3))
def wired(*inputs):
    class Settings:
        circuits = pumps = 1
        dhw = "none"
    Settings.inputs = inputs
    return Settings
def number(rom): return int.from_bytes(rom, "big")
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_sensor_missing_on_one_wire_moves_no_other(in_vm, name):
    printed = in_vm(
        FAKES + ONE_WIRE + f"b = boards.open_board({name!r})\n"
        "rows = [('x', 8, 4, number(B)), ('y', 9, 4, number(A)), ('z', 10, 4, number(C))]\n"
        "Bus.here = {B: 16 * 20, C: 16 * 30}\n"
        "b.equip(wired(*rows))\n"
        "def look():\n"
        "    b.sample(); b.sample()\n"
        "    print(*[b.one_wire_mc(c) for c in (8, 9, 10, 11)])\n"
        "look()\n"
        "Bus.here[A] = 16 * 10 + 8; look()\n"
        "del Bus.here[B]; look()\n"
        "Bus.here[B] = 0xFFF8; look()\n"
        "Bus.here[C] = 'short'; look()\n"
        "Bus.here.clear(); look()\n"
    )
    assert [line for line in printed.splitlines() if "1-wire" not in line] == [
        "20000 None 30000 None",
        "20000 10500 30000 None",
        "None 10500 30000 None",
        "-500 10500 30000 None",
        "-500 10500 None None",
        "None None None None",
    ]


def test_a_single_sensor_on_one_wire_needs_no_number_and_two_are_no_reading(in_vm):
    printed = in_vm(
        FAKES + ONE_WIRE + "b = boards.open_board('emulated')\n"
        "Bus.here = {}\n"
        "b.equip(wired(('x', 8, 4, 0)))\n"
        "def minute():\n"
        "    for _ in range(32): b.sample()\n"
        "    print(b.one_wire_mc(8))\n"
        "minute()\n"
        "Bus.here[A] = 160; Bus.here[B] = 320; minute()\n"
        "del Bus.here[A]; minute()\n"
        "Bus.here[A] = 160; minute()\n"  # the one it has stays the one it has
    ).splitlines()
    assert [line for line in printed if "1-wire" not in line] == ["None", "None", "20000", "20000"]
    told = [line for line in printed if "1-wire" in line]
    assert "2800000000000001" in told[1]  # the numbers that site.json wants are told on the console
    assert len(told) == 3


def test_eighty_five_degrees_count_once_the_sensor_has_measured(in_vm):
    printed = in_vm(
        FAKES + ONE_WIRE + "b = boards.open_board('emulated')\n"
        "b.equip(wired(('x', 8, 4, number(A))))\n"
        "for c in (85 * 16, 85 * 16, 84 * 16, 85 * 16, 85 * 16, 60 * 16, 85 * 16, 60 * 16, None, 85 * 16):\n"
        "    Bus.here[A] = c; b.sample()\n"
        "    print(b.one_wire_mc(8))\n"
    )
    # the first sample finds nothing converted yet
    assert [line for line in printed.splitlines() if "1-wire" not in line] == [
        "None", "None", "84000", "85000", "85000", "60000", "None", "60000", "None", "None",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_input_that_cannot_be_equipped_reads_as_lost_and_the_board_starts(in_vm, name):
    printed = in_vm(
        FAKES + ONE_WIRE + "del onewire.OneWire\n"
        "class Dead(machine.Pin):\n"
        "    def irq(self, *a): raise OSError(5)\n"
        "machine.Pin = Dead\n"
        f"b = boards.open_board({name!r})\n"
        "b.equip(wired(('x', 8, 4, number(A)), ('y', 12, 5, 1000), ('z', 9, 0, 0)))\n"
        "b.sample()\n"
        "print(b.one_wire_mc(8), b.pulse_count(12), 'mohm', b.resistance_mohm(0) >= 0)\n"
    )
    assert printed.splitlines()[-1] == "None None mohm True"


def test_pulses_are_counted_without_their_bounce(in_vm):
    printed = in_vm(
        FAKES + ONE_WIRE + "import time\n"
        "from boards import pulse_counter\n"
        "now = [0]\n"
        "pulse_counter.ticks_ms = lambda: now[0]\n"
        "b = boards.open_board('emulated')\n"
        "b.equip(wired(('y', 12, 5, 1000)))\n"
        "edge = machine.edges[3]\n"
        "for at in (5, 100, 103, 110, 129, 200, 219, 500):\n"
        "    now[0] = at; edge(None)\n"
        "print(b.pulse_count(12), b.pulse_count(13))\n"
    )
    # 5 comes too soon after the start; 103 to 129 are the bounce of 100, and 219 that of 200
    assert printed.strip() == "3 None"


def pins_of_outputs():
    """The pins by name as outputs.py has them; the module itself needs MicroPython."""
    found = {}
    for statement in ast.parse((BOARDS / "outputs.py").read_text()).body:
        if isinstance(statement, ast.Assign):
            names, values = ast.unparse(statement.targets[0]), ast.unparse(statement.value)
            if "PIN" in names:
                exec(f"{names} = {values}", {}, found)
    return found


def test_no_two_functions_of_a_board_share_a_pin():
    """Every pin that a substation may claim, and every pin of a pump station, once."""
    wired = [int(pin) for pin in re.findall(r"Pin\((\d+)", (BOARDS / "w5500_evb_pico2.py").read_text())]
    pins = pins_of_outputs()
    relays = [pin for pair in pins["VALVE_PINS"] for pin in pair] + list(pins["PUMP_PINS"])
    inputs = [pins["ONE_WIRE_PIN"], *pins["PULSE_PINS"].values()]
    station = [10, 11, 12, pins["SPEED_PIN"], pins["DEMAND_PIN"], pins["SPEED2_PIN"]]
    assert len(wired) >= 12
    for claimed in (wired + relays + inputs, wired + station + inputs):
        assert sorted(claimed) == sorted(set(claimed))
