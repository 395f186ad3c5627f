"""A whole town on the bench: every controller of a site, its plant, its keys and its site file.

The site file is the template of the town with the run's addresses and device ids filled in; nothing
else in it is touched. Keys are random for each run unless the run is seeded, and stay in its folder.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware.substation import registers

from .errors import WrongUse
from .fleet import HEAP, Fleet
from .lockstep import TICK_MS, Lockstep
from .plant.town import Town
from .plant.town_plant import TownPlant
from .plant.weather import Weather
from .provisioning import Device, Ports, firmware_bundle, provision, site_rows, write_key_file

NEEDED_FILES = ("site.toml", "network.json", "town.json")
TOWN_FILES = (*NEEDED_FILES, "weather.csv")
TABLE = re.compile(r"^\s*\[\[?\s*([A-Za-z_]+)\s*\]\]?\s*$")
ADDRESS = re.compile(r"^\s*address\s*=")
ID = re.compile(r'^\s*id\s*=\s*"([^"]*)"')
DEVICE_TABLES = {"substation": registers.SUBSTATION, "pump_station": registers.PUMP_STATION}


class TownRun:
    """One run of a town in `folder`. Power comes with `power_on()`, time with `clock`.

    town_folder: holds site.toml, network.json, town.json and, unless `weather` is given, weather.csv.
    """

    def __init__(
        self,
        folder: Path,
        town_folder: Path,
        *,
        bundle: Path | None = None,
        seed: int | None = None,
        weather: Weather | None = None,
        speed: float | None = None,
        tick_ms: int = TICK_MS,
        heap: str = HEAP,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.site_path = _copy_town(town_folder, folder)
        self.town = Town.load(folder)
        self.weather = weather or self.town.weather()
        self.plant = TownPlant(self.town, self.weather, seed or 0)
        self._ports = Ports()
        budgets = _deficit_budgets(self.site_path)
        bundle = bundle or firmware_bundle(folder / "bundle")
        self.devices: list[Device] = []
        """Substations in site order, the pump station last: the rows of every array."""
        station = self.town.pump_station.id
        for name in (*self.town.substations.id, station):
            profile = registers.PUMP_STATION if name == station else registers.SUBSTATION
            own = site_rows(profile, self.town.controller_config[name])
            if name in budgets:
                own["deficit_budget_kh"] = budgets[name]
            own.update((settings or {}).get(name, {}))
            self.devices.append(
                provision(
                    folder / "devices", bundle, name, profile, self._ports.take(), seed=seed, settings=own
                )
            )
        self._fill_in_addresses()
        fleet = Fleet([device.board for device in self.devices], seed=seed, heap=heap)
        self.clock = Lockstep(self.plant, fleet, tick_ms=tick_ms, speed=speed, epoch_utc=self.weather.start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def power_on(self) -> None:
        """Switch every controller on at the start of the weather."""
        self.clock.power_on()

    def write_keys(self, data: Path) -> Path:
        """Write the supervisor slot's keys into its data folder, readable by the owner alone."""
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return write_key_file(data / "keys.json", self.devices)

    def _fill_in_addresses(self) -> None:
        """Put address and device id of this run into the copy of the site file, line by line."""
        by_name = {device.name: device for device in self.devices}
        lines: list[str] = []
        table, name, found = "", "", set()
        for line in self.site_path.read_text(encoding="utf-8").splitlines():
            if head := TABLE.match(line):
                table, name = head.group(1), ""
            elif table in DEVICE_TABLES and (own := ID.match(line)):
                name = own.group(1)
                found.add(name)
            if table in DEVICE_TABLES and ADDRESS.match(line) and name in by_name:
                device = by_name[name]
                line = f'address = "{device.address}"\ndevice_id = "{device.device_id.hex()}"'
            lines.append(line)
        if missing := sorted(set(by_name) - found):
            raise WrongUse(
                f"{self.site_path.name}: {', '.join(missing)} of town.json are missing in it; nothing was "
                "started. Each table needs its id before its address"
            )
        self.site_path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def close(self) -> None:
        self.clock.close()
        self._ports.close()


def require_town_files(source: Path, *, site_file: str = "site.toml") -> None:
    """Raise WrongUse naming what a folder lacks to be a town with an emulated plant."""
    needed = [site_file if name == "site.toml" else name for name in NEEDED_FILES]
    if missing := [name for name in needed if not (source / name).is_file()]:
        raise WrongUse(
            f"{source}: {', '.join(missing)} missing, so this town has no emulated plant; nothing was "
            f"started. The folder needs {', '.join(TOWN_FILES)}"
        )


def _copy_town(source: Path, folder: Path) -> Path:
    require_town_files(source)
    for name in TOWN_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, folder / name)
    return folder / "site.toml"


def _deficit_budgets(site: Path) -> dict[str, float]:
    """Return deficit_budget_kh by id, for the substations whose table gives one."""
    tables = tomllib.loads(site.read_text(encoding="utf-8")).get("substation", [])
    return {t["id"]: float(t["deficit_budget_kh"]) for t in tables if "deficit_budget_kh" in t}
