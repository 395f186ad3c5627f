"""Pins of the W5500-EVB-Pico (RP2040) and -Pico2 (RP2350), and of the carrier board that takes either.

It refuses to know what a chip can do with a pin: see firmware/board_facts.py. GP numbers. None: no such pin.
"""

VALVES = ((10, 11), (6, 7), (13, 15))  # (open, close); one moved by 0-10 V takes its opening pin
PUMPS = (12, 2, 26, 27)
PWM_PUMPS = 2  # so many circulation pumps, from the first on, may be commanded by pulses in place of a relay
PUMP_FEEDBACK = (14,)  # of the first; a pump station has another use for it
SPEEDS = (13, 6)  # of a pump station, 0-10 V by PWM and amplifier; it has no second valve and no DHW
DEMAND = 14
ONE_WIRE = 28
PULSES = 3
CHANNELS = 15  # inputs of the converters
BUTTON = 22
CONVERTERS = (4, 5)  # I2C: data, clock
RS485 = (1, 8, 9)  # UART, transmit, receive
MBUS = (0, 0, 1)
NETWORK = (18, 19, 16, 17, 20, 21)  # SPI clock, out, in, chip select, reset, interrupt: on the board
