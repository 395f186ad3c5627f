"""What the data sheets say of each board's pins, memory and processor, and what a pin map may not do with them.

For tests, docs/boards.md and `toplovod build --report`; no part of the bundle. It refuses a fact without a
source: [R] read there, [K] general knowledge, to be checked on the board.
"""

from collections import namedtuple

# pins: all that are brought out. reserved: {pin: what has it}. inputs: can only be read, without a pull-up.
# analog: the chip's own converter is on them. pwm: they can carry 0-10 V. unsteady: high, or pulsing, while the
# chip starts; strapping: their level then decides how it starts. serial: (UART, transmit, receive) that are
# wired together; empty: any pin. bus: the same of (data, clock). carries: what it has pins for beyond a heating
# circuit, or a pump station with one pump. heap_b: free after the start. files_b: for
# the file system. architecture: as mpy-cross calls it.
Facts = namedtuple(
    "Facts",
    (
        "title", "chip", "architecture", "float_bits", "pins", "reserved", "inputs", "analog", "pwm", "unsteady",
        "strapping", "serial", "bus", "carries", "heap_b", "heap_source", "files_b", "files_source", "sources",
    ),
)  # fmt: skip

EVERYTHING = frozenset(("second circuit", "DHW", "second pump", "DS18B20"))
HEAP_SOURCE = "MicroPython 1.23/1.24, published with shaoziyang's benchmarks, network not started"

_W5500_RESERVED = {
    16: "W5500 MISO", 17: "W5500 chip select", 18: "W5500 SCK", 19: "W5500 MOSI", 20: "W5500 reset",
    21: "W5500 interrupt", 24: "USB voltage sense", 25: "LED", 29: "a third of the supply voltage",
}  # fmt: skip
_RP2_SERIAL = tuple((0, t, t + 1) for t in (0, 12)) + tuple((1, t, t + 1) for t in (4, 8))
_RP2_BUS = tuple((t, t + 1) for t in (0, 4, 8, 12))  # I2C0, pins below the W5500's
_RP2_PINS = frozenset(range(23)) | {26, 27, 28}
_W5500_SOURCES = (
    "WIZnet W5500-EVB-Pico: GPIO16 to 21 W5500, 24 USB sense, 25 LED, 29 VSYS/3 [R docs.wiznet.io]; MicroPython "
    "ports/rp2/boards/W5500_EVB_PICO/mpconfigboard.h [R]; RP2040 and RP2350 data sheets: converter on GPIO26 to "
    "29, functions of each pin [K]"
)

BOARDS = {
    "w5500_evb_pico": Facts(
        "W5500-EVB-Pico", "RP2040", "armv6m", 32, _RP2_PINS, _W5500_RESERVED, frozenset(), frozenset((26, 27, 28)),
        _RP2_PINS, frozenset(), frozenset(), _RP2_SERIAL, _RP2_BUS, EVERYTHING,
        233_024, HEAP_SOURCE, 1408 * 1024, "MICROPY_HW_FLASH_STORAGE_BYTES of the board's definition", _W5500_SOURCES,
    ),
    "w5500_evb_pico2": Facts(
        "W5500-EVB-Pico2", "RP2350", "armv7emsp", 32, _RP2_PINS, _W5500_RESERVED, frozenset(),
        frozenset((26, 27, 28)), _RP2_PINS, frozenset(), frozenset(), _RP2_SERIAL, _RP2_BUS, EVERYTHING,
        486_784, HEAP_SOURCE, 1408 * 1024, "as the W5500-EVB-Pico, which has the same 2 MiB [R micropython discussion 18260; the split: estimate]",
        _W5500_SOURCES,
    ),
    "olimex_esp32_poe": Facts(
        "Olimex ESP32-POE, ESP32-POE-ISO", "ESP32", "xtensawin", 32,
        frozenset((0, 1, 2, 3, 4, 5, 13, 14, 15, 16, 32, 33, 34, 35, 36, 39)),
        {
            **{pin: "flash" for pin in range(6, 12)},
            0: "start from flash or by cable", 1: "console by USB", 3: "console by USB",
            12: "power of the network chip", 17: "RMII clock", 18: "MDIO", 19: "RMII TXD0", 21: "RMII TX_EN",
            22: "RMII TXD1", 23: "MDC", 25: "RMII RXD0", 26: "RMII RXD1", 27: "RMII CRS_DV",
        },
        frozenset((34, 35, 36, 37, 38, 39)), frozenset((32, 33, 34, 35, 36, 39)),
        frozenset((2, 4, 5, 13, 14, 15, 16, 32, 33)), frozenset((1, 3, 5, 14, 15)), frozenset((0, 2, 5, 12, 15)),
        (), (), frozenset(),
        166_592, HEAP_SOURCE, 0xF0000, "vfs in ports/esp32/partitions-4MiB.csv [R]",
        "Pins brought out, rev. B: EXT1 GPIO0 to 5, EXT2 GPIO13 to 16, 32 to 36, 39 [R Olimex's data sheet as cited "
        "by users]; RMII clock out on GPIO17 [R MicroPython OLIMEX_ESP32_POE/sdkconfig.board]; strapping pins 0, 2, "
        "5, 12, 15, flash on 6 to 11, inputs only from 34 on, converter 1 on 32 to 39 [R ESP-IDF GPIO page]; high "
        "or pulsing at the start: 1, 3, 5, 14, 15 [R measured by users]; BUT1 on 34, power of the LAN8720 on 12, "
        "MDC 23, MDIO 18 [K]",
    ),
    "nucleo_h743": Facts(
        "NUCLEO-H743ZI, NUCLEO-H743ZI2", "STM32H743", "armv7emdp", 64,
        frozenset(
            ["PA0", "PA3", "PA4", "PA5", "PA6", "PA15", "PB1", "PB2", "PB3", "PB4", "PB5", "PB6", "PB8", "PB9", "PB10", "PB11", "PB12", "PB15", "PC0", "PC2", "PC3", "PC6", "PC7", "PC8", "PC9", "PC10", "PC11", "PC12", "PC13", "PD0", "PD1", "PD2", "PD3", "PD4", "PD5", "PD6", "PD7", "PD11", "PD12", "PD13", "PD14", "PD15", "PE0", "PE2", "PE3", "PE4", "PE5", "PE6", "PE7", "PE8", "PE9", "PE10", "PE11", "PE12", "PE13", "PE14", "PE15", "PF0", "PF1", "PF2", "PF3", "PF4", "PF5", "PF6", "PF7", "PF8", "PF9", "PF10", "PF14", "PF15", "PG0", "PG1", "PG2", "PG3", "PG12", "PG14"]
        ),
        {
            "PA1": "RMII clock", "PA2": "MDIO", "PC1": "MDC", "PA7": "RMII CRS_DV", "PC4": "RMII RXD0",
            "PC5": "RMII RXD1", "PG11": "RMII TX_EN", "PG13": "RMII TXD0", "PB13": "RMII TXD1", "PA9": "USB",
            "PA10": "USB", "PA11": "USB", "PA12": "USB", "PG6": "USB power", "PG7": "USB overcurrent",
            "PA13": "debugger", "PA14": "debugger", "PB0": "LED", "PB7": "LED", "PE1": "LED of the ZI2",
            "PB14": "LED", "PD8": "console by the debugger's cable", "PD9": "console by the debugger's cable",
        },
        frozenset(), frozenset(["PA3", "PB1", "PC0", "PC2", "PC3", "PF3", "PF4", "PF5", "PF6", "PF7", "PF8", "PF9", "PF10"]),
        frozenset(["PC8", "PC9", "PD12", "PD13", "PD14", "PD15"]), frozenset(), frozenset(),
        ((2, "PD5", "PD6"), (6, "PC6", "PC7")), (("PF0", "PF1"),), EVERYTHING - {"DS18B20"},
        460_480, HEAP_SOURCE, 96 * 1024, "FLASH_FS in NUCLEO_H743ZI/stm32h743.ld [R]",
        "MicroPython ports/stm32/boards/NUCLEO_H743ZI: pins.csv, mpconfigboard.h, stm32h743.ld [R]; "
        "ports/stm32/machine_pwm.c takes a pin's second timer channel [R]; timers and converters of each pin: "
        "STM32H743 data sheet [K]",
    ),
}  # fmt: skip

SUBSTATION, PUMP_STATION = "substation", "pump_station"
VALVE_WORDS = ("heating circuit", "second circuit", "DHW")
PUMP_WORDS = ("heating circuit", "second circuit", "DHW charging", "DHW circulation")


def uses(pins, profile):
    """Return (what for, pin, kind) of every pin that a controller of this profile may claim at most.

    pins: a board's pin map. kind: relay, voltage (by a timer, or a relay), contact, wire, transmit, receive, bus.
    """
    rows = []
    if profile == SUBSTATION:
        for place, (opens, closes) in enumerate(pins.VALVES):
            rows += [
                ("valve, %s: open, or 0-10 V" % VALVE_WORDS[place], opens, "voltage"),
                ("valve, %s: close" % VALVE_WORDS[place], closes, "relay"),
            ]
        for place, pin in enumerate(pins.PUMPS):
            pulses = place < pins.PWM_PUMPS
            what = "pump, %s%s" % (PUMP_WORDS[place], ": relay, or pulses" if pulses else "")
            rows.append((what, pin, "voltage" if pulses else "relay"))
        rows += [
            ("feedback of the pump, %s" % PUMP_WORDS[place], pin, "receive")
            for place, pin in enumerate(pins.PUMP_FEEDBACK)
        ]
    else:
        rows.append(("pumps: enable", pins.PUMPS[0], "relay"))
        rows += [("speed of pump %d, 0-10 V" % (n + 1), pin, "voltage") for n, pin in enumerate(pins.SPEEDS)]
        rows.append(("supply temperature asked of the plant, 0-10 V", pins.DEMAND, "voltage"))
    if pins.ONE_WIRE is not None:
        rows.append(("1-Wire bus of DS18B20", pins.ONE_WIRE, "wire"))
    if pins.PULSES is not None:
        rows.append(("pulses of a meter (channel 12)", pins.PULSES, "contact"))
    rows.append(("service button", pins.BUTTON, "receive"))
    for pin, what in zip(pins.CONVERTERS, ("data", "clock")):
        rows.append(("converters, I2C %s" % what, pin, "bus"))
    for what, line in (("RS-485", pins.RS485), ("M-Bus", pins.MBUS)):
        rows += [
            ("%s, UART %d: transmit" % (what, line[0]), line[1], "transmit"),
            ("%s, UART %d: receive" % (what, line[0]), line[2], "receive"),
        ]
    # none of our boards reads a sensor by the chip's own converter; one that did would name its pins here
    rows += [("analog input", pin, "analog") for pin in getattr(pins, "ANALOG", ())]
    return rows


def misuses(pins, facts, profile):
    """Return a sentence for each thing in a pin map that the board cannot do; an empty list is right."""
    wrong, taken = [], {}
    for what, pin, kind in uses(pins, profile):
        said = "%s on %s: " % (what, pin)
        if pin in taken:
            wrong.append(said + "%s has it already" % taken[pin])
        taken[pin] = what
        if pin in facts.reserved:
            wrong.append(said + "it belongs to %s" % facts.reserved[pin])
        elif pin not in facts.pins:
            wrong.append(said + "it is not brought out")
        if pin in facts.inputs and kind not in ("receive", "analog"):
            wrong.append(said + "it can only be read, and has no pull-up")
        if pin in facts.unsteady and kind in ("relay", "voltage"):
            wrong.append(said + "it is high or pulses while the chip starts")
        if pin in facts.strapping and kind in ("relay", "voltage", "wire"):
            wrong.append(said + "its level decides how the chip starts")
        if kind == "voltage" and pin not in facts.pwm:
            wrong.append(said + "no timer reaches it")
        if kind == "analog" and pin not in facts.analog:
            wrong.append(said + "no converter reaches it")
    for line in (pins.RS485, pins.MBUS):
        if facts.serial and line not in facts.serial:
            wrong.append("UART %d is not on %s and %s" % line)
    if facts.bus and pins.CONVERTERS not in facts.bus:
        wrong.append("no I2C on %s and %s" % pins.CONVERTERS)
    return wrong
