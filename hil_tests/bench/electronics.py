"""What the emulated board's converters make of the plant's resistances and currents.

Twin of the input circuits named in `firmware/boards/emulated.py`. It adds no noise and hides no
fault: an open or shorted sensor arrives as the count a real divider would give.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .board_io import CURRENT_CHANNELS, PT1000_CHANNELS, BoardInputs

DRIVEN = PT1000_CHANNELS + CURRENT_CHANNELS
# The plant drives channels 0 to 7. The others are bridged to these, so that a second circuit and DHW have
# live readings: secondary supply and return, supply again, flow, primary supply and return, dp.
BRIDGED = (2, 3, 2, 7, 0, 1, 6)
CHANNELS = DRIVEN + len(BRIDGED)
DIVIDER_OHM = 1500.0  # from the reference to the Pt1000, which goes to ground
SHUNT_OHM = 150.0
REFERENCE_V = 3.3
FULL_SCALE = 65535


def adc_counts(inputs: BoardInputs) -> NDArray[np.uint16]:
    """Return the (devices, 15) 16-bit readings of ADC 0..14.

    NaN ohm is an open circuit and reads full scale; NaN mA is a cut loop and reads 0.
    """
    share = np.empty((len(inputs.button), CHANNELS))
    ohm = inputs.resistance_ohm
    # of a number and NaN, fmin and fmax take the number
    share[:, :PT1000_CHANNELS] = np.fmax(np.fmin(ohm / (ohm + DIVIDER_OHM), 1.0), 0.0)
    of_reference = inputs.current_ma * (SHUNT_OHM / 1000.0 / REFERENCE_V)
    share[:, PT1000_CHANNELS:DRIVEN] = np.fmin(np.fmax(of_reference, 0.0), 1.0)
    share[:, DRIVEN:] = share[:, BRIDGED]
    return np.rint(share * FULL_SCALE).astype(np.uint16)
