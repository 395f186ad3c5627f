"""What a circulation pump says of itself, and what is done when it does not turn. Loaded where it is wired.

Without flow the supply sensor sees nothing of what the exchanger becomes, so the valve closes. It refuses to
act on silence: a line that is cut says nothing about the pump.
"""

RUNS, STANDBY, WARNING, ELECTRICAL, BLOCKED = range(1, 6)  # as boards.pump_pwm counts them
# A pump that starts tells standby until it turns; one that is blocked tries again by itself [estimate].
STOPPED_FOR_MS = 30_000


class PumpFeedback:
    """pump: gets to know whether it is told to run and stands."""

    def __init__(self, board, bank, which, pump):
        self._board = board
        self._bank = bank
        self._which = which
        self._pump = pump
        self._point = bank.point("pump2_feedback_number" if which else "pump_feedback_number")
        self._stands_ms = 0

    def step(self, dt_ms):
        state = self._board.pump_state(self._which)
        self._bank.put(self._point, state)
        pump = self._pump
        if pump.on and state in (STANDBY, ELECTRICAL, BLOCKED):
            self._stands_ms = min(self._stands_ms + dt_ms, STOPPED_FOR_MS)
        else:
            self._stands_ms = 0
        pump.stands = self._stands_ms >= STOPPED_FOR_MS
