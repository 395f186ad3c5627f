"""The boards this firmware runs on: pins, converters, network chip, watchdog.

A board file knows electronics and nothing of heat. It refuses to interpret a reading: sensors do.

Every board offers: equip(settings), sample(), resistance_mohm(channel), current_ua(channel),
voltage_mv(channel), one_wire_mc(channel), pulse_count(channel), valve(direction, which), valve_voltage(bp,
which), pump(on, which), pump_state(which), pump_speed(bp, which), heat_demand(bp), button_pressed(),
start_network(settings), serial_line(baud, parity, stop_bits), meter_line(baud), watchdog(timeout_ms),
reset(), reset_cause, device_id.

Which valve: 0 and 1 heating circuits, 2 DHW. Which pump: 0 and 1 heating circuits, 2 DHW charging, 3 DHW
circulation; of a pump station 0 and 1. Pins beyond the first circuit's are claimed by equip(), off.

A board is two files: <board>_pins.py says which pin does what, in plain data that the host reads as well, and
is None where the board has no such pin; <board>.py drives them. What a site asks beyond its board's pins is a
mistake of site.json. The limits of each chip's pins, with their sources: firmware/board_facts.py.
"""

import sys

PARITY = {"even": 0, "odd": 1, "none": None}  # as machine.UART wants it

NAMES = ("emulated", "w5500_evb_pico", "w5500_evb_pico2", "olimex_esp32_poe", "nucleo_h743")


def default_name():
    """Return the board to assume when the site file names none."""
    platform = sys.platform
    if platform == "rp2":
        # both boards have the same pins; the name differs because their memories do
        return "w5500_evb_pico" if "RP2040" in sys.implementation._machine else "w5500_evb_pico2"
    return {"esp32": "olimex_esp32_poe", "pyboard": "nucleo_h743"}.get(platform, "emulated")


def _module(name):
    """Import a module of this package by its name."""
    return __import__(__name__ + "." + name, None, None, ("*",))


def pin_map(name):
    """Return the module of constants that says which pins the board called name has for what."""
    # the emulated board stands for the W5500's carrier
    wired_alike = name == "emulated" or name.startswith("w5500_evb")
    return _module(("w5500_evb" if wired_alike else name) + "_pins")


def names_for(content):
    """Return the names a site file may give here: one whose chip this is not cannot be opened, nor heat."""
    wanted = content.get("board") if isinstance(content, dict) else None
    if wanted in NAMES and not _is_here(wanted):
        return tuple(name for name in NAMES if name != wanted)
    return NAMES


def _is_here(name):
    try:
        return name == default_name() or bool(_driver(name))
    except ImportError:
        return False


def _driver(name):
    return _module("w5500_evb" if name.startswith("w5500_evb") else name)


def open_board(name):
    """Return the board called name with every output off. ValueError for a name that is not in NAMES."""
    if name not in NAMES:
        raise ValueError("no board %r; there are: %s" % (name, ", ".join(NAMES)))
    return _driver(name).Board()
