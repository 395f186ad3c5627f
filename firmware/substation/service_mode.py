"""Fifteen minutes in which somebody stands in front of the device, because the button was pressed.

It refuses to be entered over any network.
"""

LASTS_S = 900


class ServiceMode:
    def __init__(self, bank):
        self._bank = bank
        self._point = bank.point("service_seconds_left_s")
        self._ends_s = 0
        self._was_pressed = False
        self.active = False

    def step(self, pressed, now_s):
        """A press starts the time anew; holding the button does not prolong it."""
        if pressed and not self._was_pressed:
            self._ends_s = now_s + LASTS_S
        self._was_pressed = pressed
        left = self._ends_s - now_s
        self.active = left > 0
        self._bank.put(self._point, left if left > 0 else 0)
