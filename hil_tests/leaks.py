"""What a scenario does to the water of a town: leaks in the trunk, make-up, the repair; and what judges them.

Leaks are opened in the plant; what judges them is seen elsewhere: the flows that leave and reach the plant,
the pressure before its pump, what its controller tells over Modbus. It refuses to count a leak that no
balance of water shows.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, Protocol

from core_ext import fluid

from .bench.controller import Controller
from .bench.errors import WrongUse
from .bench.plant.houses import WATER_TEMP_C
from .bench.plant.town import Town
from .bench.suction import DRY_BAR, MINIMUM_BAR

TURNING = 0.01  # share of full speed above which a pump turns


class Watered(Protocol):
    """What is needed of a plant; TownPlant has it."""

    plant_flow_kg_s: float
    plant_back_flow_kg_s: float
    suction_pressure_pa: float
    pump_speed: float
    index_dp_pa: float
    town: Town
    holding: Any

    def leak(self, node: str, kv_m3_h: float) -> None: ...
    def node_pressure_pa(self, node: str) -> float: ...


def trunk_node(town: Town, side: str) -> str:
    """Return the far end of the widest pipe at the plant, on the side of `supply` or `return`."""
    station, pipes = town.pump_station, town.network.pipes
    plant = station.supply_node if side == "supply" else station.return_node
    ends = [
        (float(diameter), str(b if a == plant else a))
        for a, b, diameter in zip(
            pipes["from_node"], pipes["to_node"], pipes["inner_diameter_m"], strict=True
        )
        if plant in (a, b)
    ]
    if not ends:
        raise WrongUse(f"{town.name}: no pipe reaches the plant at {plant}; nothing leaks")
    return max(ends)[1]


class WaterWatch:
    """Figures of a step, seen from outside of what makes the leak; `look` once a tick."""

    def __init__(self, plant: Watered, heat_plant: Controller) -> None:
        self._plant, self._controller = plant, heat_plant
        self.usual_kg_s: float | None = None
        """The plant's flow before the first leak: what shares are shares of."""
        self._opened: list[str] = []
        self.mark()

    def mark(self) -> None:
        """Begin the figures anew."""
        self._lost_kg = self._spent_s = 0.0
        self._lowest_pa = float("inf")
        self._dry_s = self._dry_longest_s = 0.0
        self._low_s: float | None = None  # since the pressure fell below the controller's limit
        self._told_s: float | None = None

    def look(self, dt_s: float) -> None:
        plant = self._plant
        bar = plant.suction_pressure_pa / 1e5
        self._lost_kg += (plant.plant_flow_kg_s - plant.plant_back_flow_kg_s) * dt_s
        self._spent_s += dt_s
        self._lowest_pa = min(self._lowest_pa, plant.suction_pressure_pa)
        dry = bar < DRY_BAR and plant.pump_speed > TURNING
        self._dry_s = self._dry_s + dt_s if dry else 0.0
        self._dry_longest_s = max(self._dry_longest_s, self._dry_s)
        if self._low_s is None and bar < MINIMUM_BAR:
            self._low_s = self._spent_s
        if self._low_s is not None and self._told_s is None and self.pump_state() != 0:
            self._told_s = self._spent_s - self._low_s

    def pump_state(self) -> int:
        """Return what the plant's controller says of its pump, over Modbus."""
        try:
            return int(self._controller.read("pump_state_number"))
        finally:
            self._controller.disconnect()

    def figures(self) -> dict[str, float | None]:
        """Figures since the mark."""
        spent, plant, usual = self._spent_s, self._plant, self.usual_kg_s
        return {
            "lost_share": self._lost_kg / spent / usual if spent and usual else None,
            "suction_bar": self._lowest_pa / 1e5 if spent else None,
            "suction_end_bar": plant.suction_pressure_pa / 1e5,
            "index_dp_end_bar": plant.index_dp_pa / 1e5,
            "dry_turning_s": self._dry_longest_s,
            "state_told_s": self._told_s,
            "pump_state_number": self.pump_state(),
        }

    # -- hands --------------------------------------------------------------------------------------

    def begin(self, flow_kg_s: float) -> float:
        """Take the usual flow from before the first of all leaks, and return it."""
        if self.usual_kg_s is None:
            self.usual_kg_s = flow_kg_s
        return self.usual_kg_s

    def open(self, side: str, share: float) -> tuple[str, float]:
        """Open a leak that loses this share of the usual flow at the pressure that is there now.

        Returns where, and its kv in m3/h.
        """
        assert self.usual_kg_s is not None, "begin() first"
        node = trunk_node(self._plant.town, side)
        bar = self._plant.node_pressure_pa(node) / 1e5
        if bar <= 0.0:
            raise WrongUse(f"{node}: there is no pressure that could drive a leak. Repair the one before it")
        density = float(fluid.density_kg_m3(WATER_TEMP_C))
        kv_m3_h = share * self.usual_kg_s * 3600.0 / sqrt(bar * 1000.0 * density)
        self._plant.leak(node, kv_m3_h)
        self._opened.append(node)
        return node, kv_m3_h

    def make_up(self, share: float) -> float:
        """Let make-up give at most this share of the usual flow; returns it in kg/s."""
        assert self.usual_kg_s is not None, "begin() first"
        most = share * self.usual_kg_s
        self._plant.holding.make_up_kg_s = most
        return most

    def repair(self) -> list[str]:
        """Close every leak; returns where they were."""
        closed, self._opened = self._opened, []
        for node in closed:
            self._plant.leak(node, 0.0)
        return closed
