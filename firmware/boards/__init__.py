"""The boards this firmware runs on: pins, converters, network chip, watchdog.

A board file knows electronics and nothing of heat. It refuses to interpret a reading: sensors do.

Every board offers: sample(), resistance_mohm(channel), current_ua(channel), valve(direction), pump(on),
pump_speed(bp), heat_demand(bp), button_pressed(), start_network(settings),
serial_line(baud, parity, stop_bits), watchdog(timeout_ms), reset(), reset_cause, device_id.
"""

import sys

PARITY = {"even": 0, "odd": 1, "none": None}  # as machine.UART wants it

NAMES = ("emulated", "w5500_evb_pico2")


def default_name():
    """Return the board to assume when the site file names none."""
    return "w5500_evb_pico2" if sys.platform == "rp2" else "emulated"


def open_board(name):
    """Return the board called name with every output off. ValueError for a name that is not in NAMES."""
    if name not in NAMES:
        raise ValueError("no board %r; there are: %s" % (name, ", ".join(NAMES)))
    return __import__(__name__ + "." + name, None, None, ("Board",)).Board()
