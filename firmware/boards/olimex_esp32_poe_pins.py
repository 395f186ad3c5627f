"""Pins of the Olimex ESP32-POE and -POE-ISO: what its Ethernet, flash and start-up leave over.

It refuses to put a relay on a pin that is high or pulses while the chip starts, or decides how it starts.
GPIO numbers. None: no such pin.
"""

VALVES = ((32, 33),)  # (open, close); one moved by 0-10 V takes its opening pin
PUMPS = (4,)
PWM_PUMPS = 1  # so many circulation pumps may be commanded by pulses in place of a relay
PUMP_FEEDBACK = (39,)  # without a pull-up of its own
SPEEDS = (32,)  # a pump station has no valve: its pins are taken over
DEMAND = 33
ONE_WIRE = None  # only GPIO2 is left, and the bus's pull-up there would keep the chip from being flashed
PULSES = 15  # pulled up at the start, which is what a contact wants
CHANNELS = 15  # inputs of the converters
BUTTON = 34  # on the board, with its own pull-up
CONVERTERS = (13, 16)  # I2C: data, clock; the board's UEXT connector, with pull-ups
RS485 = (1, 5, 36)  # UART, transmit, receive
MBUS = (2, 14, 35)
NETWORK = (23, 18, 12, 17)  # management clock, data, power of the network chip, its clock: on the board
