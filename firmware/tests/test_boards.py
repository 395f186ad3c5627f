"""The boards: one interface, pins within their limits, relays that exclude each other, and readings that
survive a dead converter."""

import ast
import json
from types import SimpleNamespace

import pytest

from firmware import boards
from firmware.board_facts import BOARDS, PUMP_STATION, SUBSTATION, Facts, misuses, uses
from firmware.boards import NAMES

from .order_rig import SITE

REAL = [name for name in NAMES if name != "emulated"]

FAKES = """
import machine, sys
class I2C:
    def __init__(self, *a, **k):
        self.microvolts = {}
        self.channel = {}
        self.dead = set()
        self.refused = set()  # (chip, channel) whose start is not acknowledged
        self.mute = set()  # chips that take a start and give no answer
        self.asked = (a, k)
    def writeto_mem(self, chip, register, data):
        if chip in self.dead or (chip, data[0] >> 4 & 3) in self.refused: raise OSError(5)
        self.channel[chip] = (data[0] >> 4) & 3
        assert data[0] & 0xCE == 0xC2 and data[1] == 0xA3
    def readfrom_mem_into(self, chip, register, data):
        if chip in self.dead or chip in self.mute: raise OSError(5)
        count = self.microvolts.get((chip, self.channel[chip]), 0) // 125
        data[0] = count >> 8; data[1] = count & 255
class Nic:
    def __init__(self, *a, **k): self.up = None; self.how = k
    def active(self, on): self.on = on
    def ifconfig(self, what): self.up = what
class SPI:
    def __init__(self, *a, **k): pass
class Line:
    def __init__(self, id, baud, **how): self.id = id; self.baud = baud; self.how = how
machine.I2C = I2C; machine.SPI = SPI; machine.UART = Line
class network: WIZNET5K = Nic; LAN = Nic; PHY_LAN8720 = 1
sys.modules["network"] = network
import boards
class Station: circuits = 0; dhw = 'none'; pumps = 1; inputs = pump_pwm = ()
"""

INTERFACE = (
    "sample", "resistance_mohm", "current_ua", "valve", "pump", "pump_speed", "heat_demand", "button_pressed",
    "start_network", "serial_line", "meter_line", "watchdog", "reset", "reset_cause", "device_id",
)  # fmt: skip


def relays_of(name):
    """The pins that every site of this board claims, off."""
    pins = boards.pin_map(name)
    return [*pins.VALVES[0], pins.PUMPS[0]]


@pytest.mark.parametrize("name", NAMES)
def test_every_board_has_the_interface_and_starts_with_everything_off(in_vm, name):
    printed = in_vm(
        FAKES + f"b = boards.open_board({name!r})\n"
        f"print([n for n in {INTERFACE!r} if not hasattr(b, n)], machine.pins)\n"
        "b.equip(Station)\n"
        "print(machine.duties)\n"
    ).splitlines()
    pins = boards.pin_map(name)
    assert printed[0].startswith("[] ")
    assert ast.literal_eval(printed[0][3:]) == dict.fromkeys(relays_of(name), 0)
    assert ast.literal_eval(printed[1]) == {pins.SPEEDS[0]: 0, pins.DEMAND: 0}


@pytest.mark.parametrize("name", NAMES)
def test_s5_the_pumps_relay_closes_before_a_speed_and_opens_with_the_last(in_vm, name):
    """The pin that docs/boards.md calls "pumps: enable", by the part of the firmware that runs the pumps."""
    pins = boards.pin_map(name)
    printed = in_vm(
        FAKES + "from substation.plant_pumps import PlantPumps\n"
        "class Flash:\n"
        "    def load(self, name): return None\n"
        "class Bank:\n"
        "    def point(self, name): return 0\n"
        "    def put(self, point, value): pass\n"
        "Station.option = lambda self, name: 3600\n"
        f"b = boards.open_board({name!r})\n"
        "b.equip(Station())\n"
        "turn = machine.PWM.duty_u16\n"
        "def watched(self, duty):\n"
        f"    assert not duty or machine.pins[{pins.PUMPS[0]!r}]\n"
        "    turn(self, duty)\n"
        "machine.PWM.duty_u16 = watched\n"
        "p = PlantPumps(b, Bank(), Station(), Flash())\n"
        "seen = []\n"
        "for bp in (0, 5000, 5000, 0, 2500, None):\n"
        "    p.stop() if bp is None else p.step(bp, 2000)\n"
        f"    seen.append((machine.pins[{pins.PUMPS[0]!r}], machine.duties[{pins.SPEEDS[0]!r}]))\n"
        "print(seen)\n"
    )
    assert ast.literal_eval(printed) == [(0, 0), (1, 32767), (1, 32767), (0, 0), (1, 16383), (0, 0)]


@pytest.mark.parametrize("name", NAMES)
def test_the_two_relays_are_never_on_together(in_vm, name):
    opens, closes = boards.pin_map(name).VALVES[0]
    printed = in_vm(
        FAKES + "set_pin = machine.Pin.value\n"
        "def watched(self, level=None):\n"
        "    result = set_pin(self, level)\n"
        f"    assert not (machine.pins.get({opens!r}) and machine.pins.get({closes!r}))\n"
        "    return result\n"
        "machine.Pin.value = watched\n"
        f"b = boards.open_board({name!r})\n"
        "seen = []\n"
        "for d in (1, -1, 1, 0, -1, 0, 1):\n"
        f"    b.valve(d); seen.append((machine.pins[{opens!r}], machine.pins[{closes!r}]))\n"
        "print(seen)\n"
    )
    assert printed.strip() == "[(1, 0), (0, 1), (1, 0), (0, 0), (0, 1), (0, 0), (1, 0)]"


@pytest.mark.parametrize("name", REAL)
def test_the_serial_lines_are_on_the_pins_of_the_map_and_never_wait(in_vm, name):
    printed = in_vm(
        FAKES + f"b = boards.open_board({name!r})\n"
        "for l in (b.serial_line(19200, 'none', 2), b.meter_line(300)):\n"
        "    h = l.how\n"
        "    print([l.id, l.baud, h['bits'], h['parity'], h['stop'], h['timeout'],\n"
        "        h['tx'].id if 'tx' in h else None, h['rx'].id if 'rx' in h else None])\n"
    )
    pins = boards.pin_map(name)
    told = [ast.literal_eval(line) for line in printed.splitlines()]
    wired = [line if "nucleo" not in name else (line[0], None, None) for line in (pins.RS485, pins.MBUS)]
    assert told == [
        [wired[0][0], 19200, 8, None, 2, 0, *wired[0][1:]], [wired[1][0], 300, 8, 0, 1, 0, *wired[1][1:]],
    ]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_the_service_button_is_told_by_its_own_level(in_vm, name):
    printed = in_vm(
        FAKES + f"b = boards.open_board({name!r})\n"
        "for level in (0, 1):\n"
        "    machine.pins[b._button.id] = level; print(b._button.id, b.button_pressed())\n"
    ).splitlines()
    button = boards.pin_map(name).BUTTON
    pressed = [True, False] if name != "nucleo_h743" else [False, True]
    assert printed == [f"{button} {told}" for told in pressed]


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


@pytest.mark.parametrize("name", REAL)
def test_the_real_board_reads_through_its_converters_and_survives_a_dead_one(in_vm, name):
    printed = in_vm(
        FAKES + "from substation.sensors import pt1000_mc, loop_value\n"
        f"b = boards.open_board({name!r})\n"
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


@pytest.mark.parametrize("name", REAL)
def test_s1_what_a_converter_does_not_answer_is_lost_whatever_the_kind_of_input(in_vm, name):
    """0 V is a good reading of a 0-10 V input: it stopped the pumps, or drove them to full pressure."""
    printed = in_vm(
        FAKES + "from substation.sensors import Sensors\n"
        "from substation.register_bank import RegisterBank\n"
        "Station.inputs = (('plant_supply_temp_c', 8, 2, 0), ('plant_return_temp_c', 11, 0, 0),\n"
        "    ('plant_dp_bar', 9, 3, 16000), ('plant_flow_m3_h', 10, 1, 500000))\n"
        f"b = boards.open_board({name!r})\n"
        "b.equip(Station())\n"
        "i = b._i2c\n"
        "for c, uv in enumerate((2800000, 1250000, 1800000, 1400000)): i.microvolts[(0x4A, c)] = uv\n"
        "s = Sensors(b, RegisterBank('pump_station'), Station.inputs)\n"
        "def look():\n"
        "    for _ in range(8): s.read()\n"
        "    print([v is None for v in s.value[:4]], s.value[2], s.fault_bits)\n"
        "look()\n"
        "i.dead.add(0x4A); look()\n"
        "i.dead.clear(); look()\n"
        "i.mute.add(0x4A); look()\n"
        "i.mute.clear(); look()\n"
        "i.refused.update([(0x4A, 1), (0x4A, 2)]); look()\n",
        heap="400k",
    )
    lost = "[True, True, True, True] None 3840"
    good = "[False, False, False, False] 8000 0"
    # a start that is not acknowledged: the register still holds the channel before
    refused = "[False, False, True, True] None 1536"
    assert printed.splitlines() == [good, lost, good, lost, good, refused]


@pytest.mark.parametrize("name", REAL)
def test_the_real_boards_network_needs_a_fixed_address(in_vm, name):
    printed = in_vm(
        FAKES + f"b = boards.open_board({name!r})\n"
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
        pump_pwm = ()
    Settings.inputs = inputs
    return Settings
def number(rom): return int.from_bytes(rom, "big")
"""


@pytest.mark.parametrize("name", [name for name in NAMES if boards.pin_map(name).ONE_WIRE is not None])
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


@pytest.mark.parametrize(
    ("platform", "machine", "name"),
    [
        ("linux", "", "emulated"),
        ("rp2", "W5500-EVB-Pico with RP2040", "w5500_evb_pico"),
        ("rp2", "W5500-EVB-Pico2 with RP2350", "w5500_evb_pico2"),
        ("esp32", "Olimex ESP32 POE with ESP32", "olimex_esp32_poe"),
        ("pyboard", "NUCLEO_H743ZI with STM32H743", "nucleo_h743"),
    ],
)
def test_a_board_that_the_file_does_not_name_goes_by_the_chip(monkeypatch, platform, machine, name):
    system = SimpleNamespace(platform=platform, implementation=SimpleNamespace(_machine=machine))
    monkeypatch.setattr(boards, "sys", system)
    assert boards.default_name() == name


@pytest.mark.parametrize("profile", [SUBSTATION, PUMP_STATION])
@pytest.mark.parametrize("name", REAL)
def test_no_function_of_a_board_is_on_a_pin_that_cannot_have_it(name, profile):
    """Reserved, not brought out, taken twice, read-only, unsteady at the start, out of a timer's reach."""
    pins, facts = boards.pin_map(name), BOARDS[name]
    assert len(uses(pins, profile)) >= 11
    assert misuses(pins, facts, profile) == []
    assert set(pins.NETWORK) <= facts.reserved.keys()
    assert facts.inputs & facts.pwm == frozenset()


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("w5500_evb_pico2", {"PUMPS": (16,)}, "belongs to W5500 MISO"),
        ("w5500_evb_pico", {"ONE_WIRE": 25}, "belongs to LED"),
        ("w5500_evb_pico", {"PULSES": 23}, "not brought out"),
        ("w5500_evb_pico", {"PUMPS": (10,)}, "valve, heating circuit: open, or 0-10 V has it already"),
        ("w5500_evb_pico", {"ANALOG": (15,)}, "no converter reaches it"),
        ("w5500_evb_pico", {"MBUS": (0, 4, 5)}, "UART 0 is not on 4 and 5"),
        ("w5500_evb_pico", {"CONVERTERS": (2, 3)}, "no I2C on 2 and 3"),
        ("olimex_esp32_poe", {"PUMPS": (36,)}, "can only be read"),
        ("olimex_esp32_poe", {"PUMPS": (15,)}, "high or pulses"),
        ("olimex_esp32_poe", {"PUMPS": (2,)}, "decides how the chip starts"),
        ("olimex_esp32_poe", {"ONE_WIRE": 2}, "decides how the chip starts"),
        ("olimex_esp32_poe", {"PUMPS": (17,)}, "belongs to RMII clock"),
        ("olimex_esp32_poe", {"PULSES": 9}, "belongs to flash"),
        ("nucleo_h743", {"VALVES": (("PE3", "PE2"),)}, "no timer reaches it"),
        ("nucleo_h743", {"PULSES": "PA11"}, "belongs to USB"),
        ("nucleo_h743", {"ANALOG": ("PG1",)}, "no converter reaches it"),
        ("nucleo_h743", {"PUMPS": ("D8",)}, "not brought out"),
    ],
)
def test_a_wrong_pin_map_is_found(name, change, told):
    right = {key: value for key, value in vars(boards.pin_map(name)).items() if key.isupper()}
    wrong = misuses(SimpleNamespace(**{**right, **change}), BOARDS[name], SUBSTATION)
    assert any(told in sentence for sentence in wrong), wrong


def test_every_board_has_its_facts_and_each_tells_its_source():
    assert list(BOARDS) == REAL
    for facts in BOARDS.values():
        assert isinstance(facts, Facts)
        assert "[R" in facts.sources and facts.heap_source and facts.files_source


@pytest.mark.parametrize("name", REAL)
def test_what_the_facts_say_a_board_carries_is_what_its_pins_are_for(name):
    pins = boards.pin_map(name)
    there = {
        "second circuit": len(pins.VALVES) >= 2 and len(pins.PUMPS) >= 2,
        "DHW": len(pins.VALVES) >= 3 and len(pins.PUMPS) >= 4,
        "second pump": len(pins.SPEEDS) >= 2,
        "DS18B20": pins.ONE_WIRE is not None,
    }
    assert BOARDS[name].carries == {what for what, has in there.items() if has}


def site_mistakes(in_vm, tmp_path, name, **changes):
    """What the device says of a site file, and what it does then."""
    (tmp_path / "site.json").write_text(json.dumps({**SITE, "board": name, **changes}))
    printed = in_vm(
        FAKES + ONE_WIRE + "from substation import site\n"
        "s = site.read('site.json', bytes(8), boards)\n"
        "b = boards.open_board(s.board)\n"
        "b.equip(s)\n"
        "print([[list(m) for m in s.mistakes], s.circuits, s.dhw, s.pumps, len(s.inputs)])\n",
        heap="400k",  # the sources are compiled in the same heap
    )
    return ast.literal_eval(printed.splitlines()[-1])


FULL_SITE = {
    "heating_circuits": 2, "dhw": "instantaneous",
    "inputs": {
        "secondary2_supply_temp_c": {"channel": 8, "kind": "pt1000"},
        "dhw_supply_temp_c": {"channel": 9, "kind": "ds18b20"},
        "dhw_flow_m3_h": {"channel": 12, "kind": "pulses", "span": 0.25},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_a_board_does_not_carry_is_told_with_key_and_board_and_the_rest_goes_on(in_vm, tmp_path, name):
    mistakes, circuits, dhw, _, inputs = site_mistakes(in_vm, tmp_path, name, **FULL_SITE)
    told = [f"{key}: {sentence}" for key, sentence in mistakes]
    if name == "olimex_esp32_poe":
        assert (circuits, dhw, inputs) == (1, "none", 10)
        for key, words in (
            ("heating_circuits", "1 used"),
            ("dhw", "'none' used"),
            ("inputs", "no 1-Wire bus"),
        ):
            assert any(t.startswith(key) and words in t and name in t for t in told), told
    elif name == "nucleo_h743":
        assert (circuits, dhw, inputs) == (2, "instantaneous", 10)
        assert "no 1-Wire bus" in told[0] and "dhw_supply_temp_c" in told[0]
    else:
        assert (told, circuits, dhw, inputs) == ([], 2, "instantaneous", 11)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_pump_needs_a_second_speed(in_vm, tmp_path, name):
    plain = {key: value for key, value in SITE.items() if key in ("format", "device_id", "epochs", "name")}
    (tmp_path / "site.json").write_text(
        json.dumps({**plain, "profile": "pump_station", "board": name, "pumps": 2})
    )
    printed = in_vm(
        FAKES + ONE_WIRE + "from substation import site\n"
        "s = site.read('site.json', bytes(8), boards)\n"
        "b = boards.open_board(s.board)\n"
        "b.equip(s)\n"
        "print([[list(m) for m in s.mistakes], s.pumps, machine.duties])\n",
        heap="400k",
    )
    mistakes, pumps, duties = ast.literal_eval(printed.splitlines()[-1])
    pins = boards.pin_map(name)
    if name == "olimex_esp32_poe":
        assert pumps == 1 and [key for key, _ in mistakes] == ["pumps"] and name in mistakes[0][1]
    else:
        assert (mistakes, pumps) == ([], 2)
    assert duties == {pin: 0 for pin in (*pins.SPEEDS[:pumps], pins.DEMAND)}
