"""Pins of the NUCLEO-H743ZI and -H743ZI2, all on the ST Zio connectors.

It refuses names such as D12: they are the connector's and lead to other pins. None: no such pin.
"""

VALVES = (("PD12", "PE2"), ("PD13", "PE4"), ("PD14", "PE5"))  # (open, close); PD12 to PD15: timer 4
PUMPS = ("PF3", "PE6", "PE3", "PF8")
PWM_PUMPS = 0  # no timer reaches the pumps' pins
PUMP_FEEDBACK = ()
SPEEDS = ("PC8", "PC9")  # timer 8
DEMAND = "PD15"
ONE_WIRE = None  # the port has no driver of the DS18B20
PULSES = "PF9"
CHANNELS = 15  # inputs of the converters
BUTTON = "PC13"  # B1 on the board, high when pressed
CONVERTERS = ("PF0", "PF1")  # I2C 2: data, clock
RS485 = (2, "PD5", "PD6")  # UART, transmit, receive
MBUS = (6, "PC6", "PC7")
NETWORK = ("PA1", "PA2", "PC1", "PA7", "PC4", "PC5", "PG11", "PG13", "PB13")  # RMII: on the board
