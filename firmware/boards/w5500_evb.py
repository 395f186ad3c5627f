"""W5500-EVB-Pico (RP2040) or W5500-EVB-Pico2 (RP2350), with a W5500 network chip on the board.

The two boards have the same pins and differ in memory and speed. Inputs: see `converters`. RS-485 over a
transceiver that turns its direction by itself; M-Bus over a level converter (master) that supplies the bus.
Service button to ground. The watchdog takes at most 8 388 ms. Never run on real hardware so far: pins and
limits are from the data sheets. It refuses DHCP: see fixed_address.
"""

import machine
import network

from . import w5500_evb_pins as pins
from .converters import Converters, fixed_address

SPI_HZ = 20_000_000


class Board(Converters):
    def __init__(self):
        data, clock = pins.CONVERTERS
        super().__init__(
            pins,
            machine.Pin(pins.BUTTON, machine.Pin.IN, machine.Pin.PULL_UP),
            machine.I2C(0, sda=machine.Pin(data), scl=machine.Pin(clock), freq=400_000),
        )
        self._nic = None

    def start_network(self, settings):
        """Bring the network chip up with the fixed address of site.json."""
        address = fixed_address(settings)
        if self._nic is None:
            clock, out, in_, select, reset, _ = pins.NETWORK
            spi = machine.SPI(0, SPI_HZ, mosi=machine.Pin(out), miso=machine.Pin(in_), sck=machine.Pin(clock))
            self._nic = network.WIZNET5K(spi, machine.Pin(select), machine.Pin(reset))
        self._nic.active(True)
        self._nic.ifconfig(address)
