"""Olimex ESP32-POE or ESP32-POE-ISO: an ESP32 with a LAN8720 network chip over RMII.

One heating circuit, or a pump station with one pump; it refuses more, because Ethernet, flash and the pins
that decide how the chip starts leave no others. RMII's clock goes out on GPIO17. The service button is the
board's BUT1. Inputs: see `converters`. Never run on real hardware so far: pins and limits are from the data
sheets.
"""

import machine
import network

from . import olimex_esp32_poe_pins as pins
from .converters import Converters, fixed_address


class Board(Converters):
    def __init__(self):
        data, clock = pins.CONVERTERS
        super().__init__(
            pins,
            machine.Pin(pins.BUTTON, machine.Pin.IN),  # GPIO34 to 39 have no pull-up of their own
            machine.I2C(0, sda=machine.Pin(data), scl=machine.Pin(clock), freq=400_000),
        )
        self._nic = None

    def start_network(self, settings):
        """Bring the network chip up with the fixed address of site.json."""
        address = fixed_address(settings)
        if self._nic is None:
            clock, data, power, reference = pins.NETWORK
            # the port's documentation names these arguments, its stubs only some of them
            self._nic = network.LAN(  # type: ignore[call-arg]
                mdc=machine.Pin(clock), mdio=machine.Pin(data), power=machine.Pin(power),
                phy_type=network.PHY_LAN8720, phy_addr=0,
                ref_clk=machine.Pin(reference), ref_clk_mode=machine.Pin.OUT,
            )  # fmt: skip
        self._nic.active(True)
        self._nic.ifconfig(address)
