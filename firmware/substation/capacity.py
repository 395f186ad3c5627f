"""The window of a capacity tariff: the mean heat of a quarter of an hour or an hour is what is paid for.

It allows, for the rest of the window, what is left of it, spread evenly. It refuses to cut below half of the
limit: at the end of a window that began badly the house must not be shut off.

Windows begin with the hour of the device's uptime: whoever wants the meter's own windows sets the meter by
the same clock [ours].
"""

LEAST_SHARE_PCT = 50
ALLOWED_HIGH_W = 100_000_000  # just before the end what is left would be any number: no house takes so much
W_MS_PER_WS = 1_000


class Window:
    def __init__(self, bank, window_ms, limit_w):
        self._bank = bank
        self._window_s = window_ms // 1000
        self._limit_w = limit_w
        self._point = bank.point("window_heat_mean_kw")
        self._number = 0
        self._used_ws = 0
        self._residue = 0

    def step(self, heat_w, now_s, dt_ms):
        """Book dt_ms of heat_w (None: unknown, counts as the limit); return the heat allowed now, W."""
        number = now_s // self._window_s
        if number != self._number:
            self._number = number
            self._used_ws = 0
        gathered = (self._limit_w if heat_w is None else heat_w) * dt_ms + self._residue
        whole = gathered // W_MS_PER_WS
        self._residue = gathered - whole * W_MS_PER_WS
        self._used_ws += whole
        passed_s = now_s - number * self._window_s
        self._bank.put(self._point, self._used_ws // max(1, passed_s))
        left_s = self._window_s - passed_s
        allowed_w = (self._limit_w * self._window_s - self._used_ws) // left_s
        return min(max(allowed_w, self._limit_w * LEAST_SHARE_PCT // 100), ALLOWED_HIGH_W)
