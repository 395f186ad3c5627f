"""The boards this firmware runs on: pins, converters, network chip, watchdog.

A board file knows electronics and nothing of heat. It refuses to interpret a reading: sensors do.

Every board offers: equip(settings), sample(), resistance_mohm(channel), current_ua(channel),
voltage_mv(channel), one_wire_mc(channel), pulse_count(channel), valve(direction, which), valve_voltage(bp,
which), pump(on, which), pump_speed(bp, which), heat_demand(bp), button_pressed(), start_network(settings),
serial_line(baud, parity, stop_bits), meter_line(baud), watchdog(timeout_ms), reset(), reset_cause, device_id.

Which valve: 0 and 1 heating circuits, 2 DHW. Which pump: 0 and 1 heating circuits, 2 DHW charging, 3 DHW
circulation; of a pump station 0 and 1. Pins beyond the first circuit's are claimed by equip(), off.
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
