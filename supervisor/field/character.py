"""How a character goes over a serial line: eight data bits, parity and stop bits, eleven bits in all.

Serial line guide V1.02, 2.5.1: even parity is the default, and without parity there are two stop bits. The
firmware keeps to that (`rtu_parity`, `rtu_stop_bits`); pymodbus has no parity where nobody names one.
"""

PARITIES = {"even": "E", "odd": "O", "none": "N"}  # as site files name them, and as pymodbus does


def stop_bits(parity: str) -> int:
    """Return the stop bits that go with a parity."""
    return 2 if parity == "none" else 1
