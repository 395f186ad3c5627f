"""What the plant of a case did from the injection on, for the picture and for trace.csv.

The plant's own truth, never what the controller tells. It refuses to grow: a long case is kept more coarsely.
"""

from __future__ import annotations

from .rig import FaultRig

COLUMNS = (
    "time_s", "primary_supply_c", "primary_dp_bar", "valve_position", "supply_c", "dhw_c", "dhw_draw_kg_s",
    "room_c",
)  # fmt: skip
EVERY_S = 10.0
ROWS_KEPT = 240  # rows of a case; then every second one goes


class Trace:
    """Takes a row now and then while its rig runs; `rows` are in the order of COLUMNS."""

    def __init__(self, rig: FaultRig) -> None:
        self.rows: list[list[float]] = []
        self._rig = rig
        self._begun_s = rig.now_s
        self._every_s = EVERY_S
        rig.recorders.append(self._look)
        self._look()

    def count_from(self, begun_s: float) -> list[list[float]]:
        """Count time from this moment of the bench's clock on; what was before has times below nought."""
        for row in self.rows:
            row[0] = round(row[0] + self._begun_s - begun_s, 4)
        self._begun_s = begun_s
        return self.rows

    def _look(self) -> None:
        rig = self._rig
        after = rig.now_s - self._begun_s
        if self.rows and after < self.rows[-1][0] + self._every_s:
            return
        plant, tap = rig.plant, rig.tap
        values = (
            after, plant.primary_supply_temp_c[0], plant.primary_dp_pa[0] / 1e5, plant.valve_position[0],
            plant.secondary_supply_temp_c[0], tap.tap_c, tap.draw_kg_s, plant.room_temp_c[0],
        )  # fmt: skip
        self.rows.append([round(float(value), 4) for value in values])
        if len(self.rows) > ROWS_KEPT:
            del self.rows[1::2]
            self._every_s *= 2.0
