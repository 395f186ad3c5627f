"""Move a valve by a voltage of 0-10 V: its own positioner does the rest, so its position is its setpoint.

It refuses to send every small change: a dead band spares the positioner. It has the interface of a
three-point valve; an end stop has no meaning for it.
"""

from .fixed_point import FULL_BP

DEAD_BAND_BP = 50  # half a percent: 50 mV, about the resolution of the usual positioners [estimate]


class AnalogValve:
    """stroke_ms: time from end to end, for the record. position_bp: where it is told to stand at the start.
    which: the board's number."""

    def __init__(self, board, stroke_ms, position_bp, which=0):
        self._board = board
        self._which = which
        self.stroke_ms = stroke_ms
        self.position_bp = position_bp
        self.starts = 0
        self.spared = False
        self.synced = True
        board.valve_voltage(position_bp, which)

    def recentre(self):
        """The position is never in doubt."""

    reassure = recentre

    def move_to(self, target_bp, period_ms):
        """Set the voltage; always 0, because nothing has to be stopped."""
        target_bp = max(0, min(FULL_BP, target_bp))
        change_bp = target_bp - self.position_bp
        band_bp = 2 * DEAD_BAND_BP if self.spared else DEAD_BAND_BP
        ends = target_bp in (0, FULL_BP) and change_bp
        if ends or not -band_bp < change_bp < band_bp:
            self.position_bp = target_bp
            self.starts += 1
            self._board.valve_voltage(target_bp, self._which)
        return 0

    def hold(self):
        """Nothing moves by itself."""
