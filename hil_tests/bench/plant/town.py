"""A town as the plant sees it: its network, its substations, buildings and heat plant, read from one folder.

`town.json` holds what a controller cannot know (buildings, exchangers, valves, the pump), `network.json`
the pipes, `weather.csv` the winter. It checks what it reads and names the row that is wrong; it simulates
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_ext.network import Network

from .weather import Weather

FloatArray = NDArray[np.float64]
FORMAT = "toplovod-town/1"


class BadTown(ValueError):
    """A town folder that cannot be used. Nothing was changed."""

    code = "bad-town"


@dataclass(frozen=True)
class Substations:
    """One column per quantity, one row per substation, in the order of the site file."""

    id: tuple[str, ...]
    name: tuple[str, ...]
    area: tuple[str, ...]
    priority: tuple[int, ...]
    supply_node: tuple[str, ...]
    return_node: tuple[str, ...]
    x_m: FloatArray
    y_m: FloatArray
    design_heat_w: FloatArray
    design_flow_kg_s: FloatArray
    valve_kvs_m3_h: FloatArray
    valve_stroke_s: FloatArray
    valve_rangeability: FloatArray
    valve_leakage: FloatArray
    valve_backlash: FloatArray
    exchanger_kv_m3_h: FloatArray
    exchanger_ua_w_k: FloatArray
    exchanger_primary_water_kg: FloatArray
    exchanger_secondary_water_kg: FloatArray
    exchanger_metal_j_k: FloatArray
    secondary_flow_kg_s: FloatArray
    radiator_heat_w: FloatArray
    radiator_capacity_j_k: FloatArray
    building_air_to_outdoor_w_k: FloatArray
    building_air_to_mass_w_k: FloatArray
    building_mass_to_outdoor_w_k: FloatArray
    building_air_j_k: FloatArray
    building_mass_j_k: FloatArray
    internal_gain_w: FloatArray
    thermostat_setpoint_c: FloatArray
    thermostat_band_k: FloatArray

    def __len__(self) -> int:
        return len(self.id)


TEXT_COLUMNS = ("id", "name", "area", "supply_node", "return_node")


@dataclass(frozen=True)
class PumpStation:
    """The heat plant and its pump."""

    id: str
    name: str
    supply_node: str
    return_node: str
    holding_pressure_pa: float
    pump_flow_kg_s: FloatArray
    pump_dp_pa: FloatArray
    pump_efficiency: float
    source_max_heat_w: float
    source_lag_s: float


@dataclass(frozen=True)
class Town:
    """Everything the emulated plant needs to know of a town."""

    name: str
    synthetic: bool
    about: str
    substations: Substations
    pump_station: PumpStation
    network: Network
    ground_temp_c: float
    pipe_wall_j_mk: FloatArray
    controller_config: Mapping[str, Mapping[str, float]]
    """Engineering values of each controller by its id, named like the config rows of the register map."""
    folder: Path | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Town:
        """Read `town.json` and `network.json` of a folder. Raises BadTown, BadNetwork and OSError."""
        folder = Path(folder)
        path = folder / "town.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise BadTown(
                f"{path.name}: not JSON ({error}). Restore the file or make the town again"
            ) from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise BadTown(f"{path.name}: its format is not {FORMAT}. Make the town again with this version")
        return cls.build(data, Network.read(folder / "network.json"), folder)

    @classmethod
    def build(cls, data: Mapping[str, Any], network: Network, folder: Path | None = None) -> Town:
        """A town from the content of `town.json` and its network. Raises BadTown."""
        try:
            rows = data["substations"]
            substations = substation_columns(rows)
            station = _pump_station(data["pump_station"])
            config = {row["id"]: row["controller_config"] for row in [*rows, data["pump_station"]]}
            wall = data["pipe_wall_j_mk"]
            town = cls(
                name=str(data["name"]),
                synthetic=bool(data["synthetic"]),
                about=str(data["about"]),
                substations=substations,
                pump_station=station,
                network=network,
                ground_temp_c=float(data["ground_temp_c"]),
                pipe_wall_j_mk=np.array([wall[pipe] for pipe in network.pipes.ids], dtype=np.float64),
                controller_config=config,
                folder=folder,
            )
        except KeyError as error:
            raise BadTown(f"town.json: {error.args[0]} is missing. Make the town again or add it") from None
        town._check()
        return town

    def weather(self) -> Weather:
        """The weather shipped with the town. Raises BadTown without a folder, BadWeather, OSError."""
        if self.folder is None:
            raise BadTown(f"{self.name}: it has no folder, so no weather of its own. Pass a Weather instead")
        return Weather.read(self.folder / "weather.csv")

    def _check(self) -> None:
        nodes = set(self.network.nodes.ids)
        consumers = self.network.consumers
        if consumers.ids != list(self.substations.id):
            raise BadTown(
                "town.json: its substations are not the consumers of network.json in the same order. "
                "Make both files again together"
            )
        for row, identifier in enumerate(self.substations.id):
            for node in (self.substations.supply_node[row], self.substations.return_node[row]):
                if node not in nodes:
                    raise BadTown(f"town.json: {identifier} stands at node {node}, which network.json lacks")
        for node in (self.pump_station.supply_node, self.pump_station.return_node):
            if node not in nodes:
                raise BadTown(
                    f"town.json: {self.pump_station.id} stands at node {node}, which network.json lacks"
                )


def substation_columns(rows: Sequence[Mapping[str, Any]]) -> Substations:
    """Columns from the rows of `substations` in town.json. Raises BadTown."""
    columns: dict[str, Any] = {}
    for field in fields(Substations):
        name = field.name
        values = []
        for number, row in enumerate(rows):
            if name not in row:
                raise BadTown(f"town.json: substation {row.get('id', number)} lacks {name}. Add it")
            values.append(row[name])
        if name in TEXT_COLUMNS:
            columns[name] = tuple(str(value) for value in values)
        elif name == "priority":
            columns[name] = tuple(int(value) for value in values)
        else:
            array = np.array(values, dtype=np.float64)
            if not np.isfinite(array).all() or (name not in ("x_m", "y_m") and (array < 0.0).any()):
                row_number = int(np.argmax(~np.isfinite(array) | (array < 0.0)))
                raise BadTown(
                    f"town.json: substation {rows[row_number]['id']}: {name} is {values[row_number]}. "
                    "Give a finite number that is not negative"
                )
            columns[name] = array
    return Substations(**columns)


def _pump_station(row: Mapping[str, Any]) -> PumpStation:
    flow = np.array(row["pump_flow_kg_s"], dtype=np.float64)
    dp = np.array(row["pump_dp_pa"], dtype=np.float64)
    if len(flow) != len(dp) or len(flow) < 2 or np.any(np.diff(flow) <= 0) or np.any(np.diff(dp) > 0):
        raise BadTown("town.json: the pump curve needs rising flows with heads that do not rise. Correct it")
    return PumpStation(
        id=str(row["id"]),
        name=str(row["name"]),
        supply_node=str(row["supply_node"]),
        return_node=str(row["return_node"]),
        holding_pressure_pa=float(row["holding_pressure_pa"]),
        pump_flow_kg_s=flow,
        pump_dp_pa=dp,
        pump_efficiency=float(row["pump_efficiency"]),
        source_max_heat_w=float(row["source_max_heat_w"]),
        source_lag_s=float(row["source_lag_s"]),
    )
