"""Heat from flow and two temperatures, and its sum in whole Wh with a residue, kept in flash.

It refuses floats: a float kWh counter at steps of a second is 1 % low after 11 days in single
precision. Saved once an hour: a power cut loses at most an hour's count, and flash sees 24 writes a day.
"""

W_MS_PER_WH = 3_600_000
SAVE_EVERY_S = 3600
RECORD = "energy"
RECORD_BYTES = 8

# Water at 50 degC: 988.0 kg/m3 x 4180 J/(kg K) = 1.147 Wh/(l K); so W = l/h x (0.01 K) / 87.18.
DIVISOR = 8718


def heat_w(flow_l_h, supply_mc, return_mc):
    """Return the heat in W, or None where a reading is missing. Never negative."""
    if flow_l_h is None or supply_mc is None or return_mc is None or supply_mc <= return_mc:
        return 0 if flow_l_h is not None and supply_mc is not None and return_mc is not None else None
    # flow x difference x 100 // DIVISOR, by parts that stay small integers on a 32-bit chip
    difference = (supply_mc - return_mc) // 10
    parts = flow_l_h // DIVISOR
    rest = (flow_l_h - parts * DIVISOR) * difference
    more = rest // DIVISOR
    return (parts * difference + more) * 100 + (rest - more * DIVISOR) * 100 // DIVISOR


class Energy:
    def __init__(self, persistence, bank, power_point, energy_point):
        self._persistence = persistence
        self._bank = bank
        self._power_point = power_point
        self._energy_point = energy_point
        saved = persistence.load(RECORD)
        self._wh = int.from_bytes(saved, "big") if saved and len(saved) == RECORD_BYTES else 0
        self._residue = 0
        self._saved_wh = self._wh
        self._saved_s = 0
        bank.put(energy_point, self._wh)

    def step(self, power_w, dt_ms):
        """Book dt_ms at power_w; None books nothing."""
        self._bank.put(self._power_point, power_w)
        if power_w:
            # power x time, by parts that stay small integers: 3 600 W for 1 ms are a thousandth of a Wh
            parts = power_w // 3600
            thousandths = parts * dt_ms
            whole = thousandths // 1000
            gathered = (thousandths - whole * 1000) * 3600 + (power_w - parts * 3600) * dt_ms + self._residue
            more = gathered // W_MS_PER_WH
            self._residue = gathered - more * W_MS_PER_WH
            whole += more
            if whole:
                self._wh += whole
                self._bank.put(self._energy_point, self._wh)

    def save_when_due(self, now_s):
        if now_s - self._saved_s >= SAVE_EVERY_S and self._wh != self._saved_wh:
            self._saved_s = now_s
            self._saved_wh = self._wh
            self._persistence.save(RECORD, self._wh.to_bytes(RECORD_BYTES, "big"))
