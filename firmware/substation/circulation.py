"""The DHW circulation pump: by its own schedule, and always while legionella are being killed.

It refuses to rest without knowing the time: water that stands still breeds.
"""

from .local_time import Week
from .pump import Pump

WHICH = 3  # the board's number of the pump


class Circulation:
    def __init__(self, board, bank, settings, spread_s, local_time):
        week = settings.schedule(3)
        self._week = Week(week, ()) if week else None
        self._local = local_time
        self.pump = Pump(board, WHICH, bank, bank.point("circulation_pump_out_number"), spread_s)

    def step(self, killing, dt_ms):
        """killing: a run against legionella is on."""
        week = self._week
        wanted = killing or week is None or not self._local.valid or week.end_of_period(self._local) > 0
        self.pump.wanted(wanted, dt_ms)
