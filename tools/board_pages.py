"""Writes docs/boards.md from the firmware's pin maps, its table of chips, and what was measured of the build.

It refuses a pin or a limit of its own: they come from where the firmware has them.
"""

import runpy
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from .board_report import BoardNeed, SiteHeap
from .build import Bundle, firmware_folder

HEAD = """# Boards

Made by `toplovod build --report --page docs/boards.md` (part of `make docs`) from `firmware/boards/*_pins.py` and
`firmware/board_facts.py`; edit those, not this page.

**None of these boards has run this firmware yet.** Pins and limits are from data sheets and from MicroPython's own
board definitions, the drivers are type-checked against each port's stubs and run against doubles, and the logic runs in
the VM. What only a board can prove stands at the end; until a board's run record exists, take nothing here for proven.

| board in `site.json` | hardware | processor | network | floats | beyond one heating circuit, or one pump |
|---|---|---|---|---|---|
"""
NETWORK = {
    "w5500_evb_pico": "W5500 over SPI", "w5500_evb_pico2": "W5500 over SPI",
    "olimex_esp32_poe": "LAN8720 over RMII", "nucleo_h743": "LAN8742 over RMII",
}  # fmt: skip

NEEDS = """
What a board has no pins for is a mistake of `site.json`, named with key and board when the controller is provisioned
and at every start; the controller then heats on with the rest and takes no orders. `emulated` is the bench's board: the
outputs of the W5500's carrier, and the host's network.

## Memory

`toplovod build --report` measures anew. The bundle is bytecode without machine code, compiled for 31-bit small integers:
the same bytes run on every board, and `--board` or `--arch` changes none of them (a test compiles for each and compares).

| board | architecture | program | on its file system once | with both slots | file system | verdict |
|---|---|---:|---:|---:|---:|---|
"""
VERDICTS = {
    "all": "fits, with both slots for updates",
    "first": "fits with one slot: the first update over the network goes in, the next is refused for want of room before a file of it is written, and the house is heated on. From then on by USB, unless MicroPython is built with a larger file system",
    "one": "fits once, no slots: updates by USB only, unless MicroPython is built with a larger file system",
    "none": "**does not run as shipped**; `toplovod build --board` refuses",
}
FLASH_NOTE = """
The verdict is what happened when a LittleFS of each board's size, of 4 KiB blocks and with its port's units, was filled as a
controller does it: program, settings, keys, limit bundles, every record in two generations at its longest, an event log that is
full, images with their heads where the firmware's own check lets them in; and then all of that written anew, the old standing
until the new was whole (`tools/board_files.py`). The sizes are what that takes up where there is room enough. Sources of the
last but one column:
"""
FROZEN = """
**The NUCLEO-H743 does not carry the program as shipped.** Its file system of 96 KiB takes no copy. Freezing is no way out yet:
`firmware/manifest.py` only lists the files, and freezes nothing (MicroPython's manifests call `module`,
`package` or `freeze`); and a frozen program could not start, because it reads its own files for the digest that a reader
identifies it by (`image.paths`). What it takes is a MicroPython with a larger LittleFS, on a flash chip outside, for which
there is neither a build nor a wiring here. Its pin map and driver are held against data sheet and stubs like the others'.
With it goes the only real board meant for TLS ([security](security.md#tls-with-roles)): that is shown on the emulated board alone.
"""
HEAPS = """
| site | measured in the 64-bit VM: in use | at the peak of the start | bytecode in it | on a 32-bit chip, at the peak [estimate] |
|---|---:|---:|---:|---:|
"""
HEAP_NOTE = """
The conversion: bytecode is as large on either; everything else is made of pointers and is half as large (100 small
dictionaries take 7 488 B in the 64-bit VM and 3 776 B in a 32-bit one); what is held during the start only is counted
whole. It leaves out what the network stack takes of a chip's memory, which no published figure tells.

| board | free heap, published | largest site it carries | needs [estimate] | left |
|---|---:|---|---:|---:|
"""

NUMBERS = """
## Numbers on a 32-bit chip

Three things are different there from the 64-bit VM, and each is simulated by tests:

- **Small integers have 31 bits.** What is larger is an object on the heap. `firmware/tests/test_small_integers.py` watches
  every operation of the control steps through a day, with sites near the upper ends of what a site may be; what leaves
  31 bits is named there with its reason: Unix time, and the window of a capacity tariff above 298 kW. The watch reaches
  `firmware/substation` as the control loops use it; Modbus, orders and signatures reckon with larger numbers as they must.
- **Floats are single**, but on the STM32H743. Floats stand at the edges alone; `firmware/tests/test_single_precision.py`
  runs each kind of site in both and bounds the difference.
- **The tick counter wraps at 2^30 ms**, after 12.4 days. It does so in the VM as well. `firmware/tests/test_tick_wrap.py`
  and `hil_tests/test_tick_wrap.py` let it wrap within a story, and through the middle of its range: outputs, bus bytes and
  readings are the same to the last bit as without; but for the figures of the heap, which follow every address.
"""

WIRING = """
## Wiring that all have in common

```text
 mains 230 V ──┬── safety thermostat EN 14597 ── actuator's supply ── valve with spring return
               │        (own sensor in the supply, or in the DHW; its contact is in no pin's path)
               ├── relay "open"  ─┐
               ├── relay "close" ─┴─ actuator of the primary valve
               ├── relay "pump"  ─── circulation pump
               └── 24 V supply ───── board, relays, 4-20 mA loops, RS-485, level converter of the M-Bus

 Pt1000 ───┐                                         ┌── RS-485 transceiver, automatic direction ── Modbus RTU
 4-20 mA ──┼── ADS1115 × 2 (to 4) ── I2C ── board ───┼── M-Bus level converter (master), 24 to 42 V ── heat meters
 0-10 V ───┘                                  │      └── 0-10 V amplifiers (PWM) ── pump speed, positioners
                                         Ethernet ── switch in the cellar
```

**The independent thermostat comes first (S5).** On every board, in every circuit whose supply can exceed what the house
or the tap bears, a safety thermostat of EN 14597 with its own sensor cuts the supply of a valve actuator with spring
return, which then closes with no help from the controller. It is in series with the actuator, behind no relay of the
board, and the board has no pin that could bridge it. An actuator without spring return stays where it is when its supply
is cut: it needs a second valve, or a thermostat that drives it shut. Software is never the only scald protection.

| terminal | what is wired | how |
|---|---|---|
| sensor channels 0 to 5 | Pt1000 to ground | 1500.0 Ω (0.02 %) to the 3.3 V reference, on the carrier |
| sensor channels 6, 7 | 4-20 mA: differential pressure, flow | 150 Ω to ground; two-wire transmitter at 24 V |
| sensor channels 8 to 14 | as `site.json` says | a third and a fourth ADS1115; 0-10 V through a divider of 1 to 4 |
| valve | two relays, or one 0-10 V | never both relays on, in software; a relay pair with contacts that exclude each other is better |
| pumps | one relay each; of a pump station one, the drives' enable, closed while they turn | the pump's own contactor above 1 A [estimate] |
| circulation pump by pulses | the relay's pin, 1 kHz, for pumps with a PWM input of profile heating or solar (`pump_pwm`) | a driver \
that does not invert, 4 to 24 V, below 10 mA, low while the pin floats: a heating pump then turns at its fastest, a solar one rests |
| its feedback | 75 Hz from the pump's open collector, up to 70 V | pull-up to the carrier's own 3.3 V behind an optocoupler; the duty as \
the pump means it, not inverted |
| 0-10 V | PWM of 1 kHz | low pass and amplifier × 3 on the carrier; the input must be 0 V while the pin floats |
| service button | to ground, inside the housing | opens service mode for 15 min; on two boards it is the board's own |
| RS-485 | A, B, common | transceiver that turns its direction by itself; 120 Ω at both ends of the line |
| M-Bus | two wires, any polarity | see [mbus.md](mbus.md) |
| Ethernet | RJ45 on the board | fixed address in `site.json`; no DHCP |

The converters are outside the chip on every board: 12 bits behind the divider are 0.26 K a step, the ADS1115's 0.04 K.
What one of them does not answer counts as a lost sensor, whatever the kind of the input.
Every output has a resistor to 0 V on the carrier, so that relays and amplifiers are off while a chip starts.

What stands in a cell under *pump station* replaces what the pin is in a substation.
"""

UNPROVEN = """
## What is unproven until a board's run record exists

A run record is written by the bench ([bench.md](bench.md)); the report of `toplovod commission` and the figures below stand
beside it. There is none yet.

- that the firmware starts on the board at all, and how much heap it leaves beside the network stack
- that outputs stay off through power-on, reset, watchdog and a brown-out
- the converters' noise and the temperatures read against a reference resistor
- pauses of the garbage collector, and a control step's time, on the real clock rate
- that the watchdog resets the board and the valve stands meanwhile; the cause that the chip then tells
- that `toplovod flash` and `provision` keep the watchdog of a controller that ran fed: by a timer on the board, through the
  soft reset that precedes them; seen on the emulated board only
- LittleFS on the board's flash through power cuts (simulated: every operation; on a chip: none); it has to be LittleFS,
  because FAT, which a port may put there by itself, is not whole after one
- that the network comes back after a pulled cable, and what a flood does to the control period
- direction change of the RS-485 transceiver after the last bit; on the NUCLEO, the wait while a frame is sent
- DS18B20 and pulse input: their drivers have run against doubles only
- on the ESP32: the state of GPIO4, 32 and 33 in the first milliseconds, at the relay
- on the NUCLEO: machine.PWM, which is new in its port
"""


def _table(rows: Iterable[Iterable[Any]]) -> str:
    return "".join("| " + " | ".join(str(cell) for cell in row) + " |\n" for row in rows)


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def pin_map(board: str) -> SimpleNamespace:
    """Return a board's pin map, read as a file."""
    folder = firmware_folder() / "boards"
    file = folder / f"{board}_pins.py"
    pins = runpy.run_path(str(file if file.is_file() else folder / "w5500_evb_pins.py"))
    return SimpleNamespace(**{name: value for name, value in pins.items() if name.isupper()})


def _name(board: str, pin: Any) -> str:
    """The pin as the board's print calls it."""
    if isinstance(pin, str):
        return pin
    return f"GPIO{pin}" if "esp32" in board else f"GP{pin}"


def _pins_of(board: str, facts: Any, uses: Any) -> str:
    pins = pin_map(board)
    stations = {pin: what for what, pin, _ in uses(pins, "pump_station")}
    rows, seen = [], set()
    for what, pin, _ in uses(pins, "substation"):
        seen.add(pin)
        other = stations.get(pin, "free")
        rows.append((_name(board, pin), what, "the same" if other == what else other))
    rows += [(_name(board, pin), "free", what) for pin, what in stations.items() if pin not in seen]
    text = f"\n## {facts.title}\n\n| pin | substation | pump station |\n|---|---|---|\n" + _table(rows)
    text += "| no pin | safety thermostat EN 14597 in the actuator's supply | the plant's own limiter |\n"
    taken = ", ".join(f"{_name(board, pin)} {what}" for pin, what in facts.reserved.items())
    text += f"\nNot to be used: {taken}."
    for label, which in (
        ("Can only be read, and have no pull-up", facts.inputs & facts.pins),
        ("High or pulsing while the chip starts: no relay", facts.unsteady & facts.pins),
        ("Decide how the chip starts: no relay, no bus", facts.strapping & facts.pins),
        ("Reached by the chip's own converter, unused", facts.analog),
    ):
        if which:
            text += f" {label}: {', '.join(_name(board, pin) for pin in sorted(which))}."
    return text + f"\n\nSources: {facts.sources}.\n"


def page(bundle: Bundle, heaps: list[SiteHeap], needs: list[BoardNeed]) -> str:
    """Return docs/boards.md."""
    table = runpy.run_path(str(firmware_folder() / "board_facts.py"))
    boards = table["BOARDS"]
    text = HEAD + _table(
        (f"`{name}`", f.title, f.chip, NETWORK[name], f"{f.float_bits} bits",
         ", ".join(what for what in ("second circuit", "DHW", "second pump", "DS18B20") if what in f.carries)
         or "nothing")
        for name, f in boards.items()
    )  # fmt: skip
    text += NEEDS + _table(
        (f"`{n.board}`", f"{n.architecture}", _spaced(n.image_b), _spaced(n.one_copy_b), _spaced(n.all_copies_b),
         _spaced(n.flash_b), VERDICTS[n.flash_verdict])
        for n in needs
    )  # fmt: skip
    text += FLASH_NOTE + "; ".join(f"{n.chip}: {n.flash_source}" for n in needs) + ".\n" + FROZEN
    text += HEAPS + _table(
        (h.site, _spaced(h.in_use_64_b), _spaced(h.peak_64_b), _spaced(h.bytecode_b), _spaced(h.peak_32_b))
        for h in heaps
    )
    text += HEAP_NOTE + _table(
        (f"`{n.board}`", _spaced(n.heap_b), n.site, _spaced(n.heap_need_b), _spaced(n.heap_b - n.heap_need_b))
        for n in needs
    )
    text += f"\nPublished: {needs[0].heap_source}.\n"
    text += NUMBERS + WIRING
    pairs: dict[str, list[str]] = {}
    for name, facts in boards.items():
        pairs.setdefault(_pins_of(name, facts, table["uses"]).split("\n", 2)[2], []).append(name)
    for body, names in pairs.items():
        text += f"\n## {' and '.join(boards[name].title for name in names)}\n{body}"
    return text + UNPROVEN
