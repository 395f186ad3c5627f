"""The bench as a test holds it: a plant, controllers under power, and a clock that waits for nobody.

Everything is public hands: sensors are changed in the plant, controllers are asked over Modbus. It
refuses to reach into a controller.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .controller import Controller
from .errors import BenchError
from .fleet import BREAKABLE, HEAP, Fleet
from .lockstep import EPOCH_UTC, TICK_MS, Lockstep
from .provisioning import Device, Ports, firmware_bundle, provision
from .serial_line import METER_BAUD, RTU_BAUD
from .street import controller_settings, street
from .wiring import WiredPlant

SUBSTATION = "substation"
PUMP_STATION = "pump_station"


def breakable(bundle: Path) -> list[str]:
    """Return what BREAKABLE is called in this bundle, whose names are short."""
    names = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["names"]
    return [names.get(name, name) for name in BREAKABLE]


class Bench:
    """One street of `houses`, its controllers, and the clock.

    seed: fixes keys, ids and every random draw; two benches with one seed give one digest. rtu: the
    controllers also serve Modbus RTU, each on a line of its own (`fleet.serial_lines`). meters: each has a
    line to its heat meters (`fleet.meter_lines`). mischief: they can be broken from inside.
    """

    def __init__(self, folder: Path, *, bundle: Path | None = None, houses: int = 1, seed: int | None = 1,
                 heap: str = HEAP, tick_ms: int = TICK_MS, rtu: bool = False,
                 meters: bool = False, first_tick: int = 0, mischief: bool = False) -> None:  # fmt: skip
        self.folder = folder
        self._first_tick = first_tick
        self._mischief = mischief
        self._rtu = rtu
        self._meters = meters
        self.seed = seed
        self.town = street(folder / "town", houses)
        self.plant = WiredPlant(self.town, seed or 0, EPOCH_UTC)
        self.controllers: list[Controller] = []
        self._bundle = bundle
        self._heap = heap
        self._tick_ms = tick_ms
        self._ports = Ports()
        self._clock: Lockstep | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    @property
    def clock(self) -> Lockstep:
        """The clock driver. BenchError before the first controller is started."""
        if self._clock is None:
            raise BenchError("no controller is started yet; call start_controller() first")
        return self._clock

    @property
    def fleet(self) -> Fleet:
        return self.clock.fleet

    @property
    def now_s(self) -> float:
        return 0.0 if self._clock is None else self._clock.now_ms / 1000.0

    # controllers

    def start_controller(self, **settings: Any) -> Controller:
        """Start the controller of the first house; the plant behind it runs at fixed outputs.

        settings: rows of its site.json that shall differ from the town's.
        """
        return self.start_controllers(1, **settings)[0]

    def start_controllers(self, count: int | None = None, **settings: Any) -> list[Controller]:
        """Start the controllers of the first `count` houses, all when None."""
        names = self.town.substations.id[:count]
        return self.start([(name, SUBSTATION, settings) for name in names])

    def start(self, wanted: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Controller]:
        """Provision and power these (name, profile, settings) together. Once for each bench."""
        self.prepare(wanted)
        self.clock.power_on()
        return self.controllers

    def prepare(self, wanted: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Controller]:
        """As `start`, and none of them has power yet: `clock.power_on()` gives it."""
        if self._clock is not None:
            raise BenchError("the controllers of a bench start together; make another bench for more")
        bundle = self._bundle or firmware_bundle(self.folder / "bundle")
        devices: list[Device] = []
        sites: list[dict[str, Any]] = []
        for name, profile, settings in wanted:
            own = {"rtu_baud": RTU_BAUD} if self._rtu else {}
            whole = {**controller_settings(self.town, name, profile), **own, **settings}
            sites.append(whole)
            devices.append(
                provision(self.folder / "devices", bundle, name, profile, self._ports.take(),
                          seed=self.seed, settings=whole)
            )  # fmt: skip
        self.plant.wire([name for name, _, _ in wanted])
        fleet = Fleet([device.board for device in devices], seed=self.seed, heap=self._heap,
                      first_tick=self._first_tick,
                      serial=self._rtu, meters=self._meters,
                      mischief=breakable(bundle) if self._mischief else ())  # fmt: skip
        for site, serial_line in zip(sites, fleet.serial_lines, strict=bool(fleet.serial_lines)):
            serial_line.baud, serial_line.parity = site["rtu_baud"], site.get("rtu_parity", "even")
        for site, meter_line in zip(sites, fleet.meter_lines, strict=bool(fleet.meter_lines)):
            meter_line.baud = site.get("mbus_baud") or METER_BAUD
        self._clock = Lockstep(self.plant, fleet, tick_ms=self._tick_ms, epoch_utc=self.plant.start)
        self.controllers = [Controller(device, i, self._clock.note_bus) for i, device in enumerate(devices)]
        return self.controllers

    # time

    def run_for(self, seconds: float) -> None:
        """Run virtual seconds, rounded up to whole ticks."""
        self.clock.run_for(seconds)

    def run_until(self, condition: Callable[[], bool], within_s: float) -> None:
        """Run until the condition holds. ConditionNotMet after `within_s` virtual seconds."""
        self.clock.run_until(condition, within_s)

    @property
    def sha256(self) -> str:
        return self.clock.sha256

    # power and hands

    def cut(self, controller: Controller) -> None:
        """Pull the plug of one controller."""
        controller.disconnect()
        self.fleet.cut([controller.position])

    def power(self, controller: Controller) -> None:
        """Give it power again; it has booted when this returns."""
        self.fleet.on([controller.position])

    def press_button(self, controller: Controller, down: bool = True) -> None:
        self.plant.button[self.plant.wired[controller.position]] = down

    def measure_heap(self) -> list[int]:
        """Run one tick and return each controller's live heap in bytes, after a collection of its own."""
        self.clock.step(measure_heap=True)
        return [int(b) for b in self.fleet.heap_b]

    def close(self) -> None:
        for controller in self.controllers:
            controller.disconnect()
        if self._clock is not None:
            self._clock.close()
        self._ports.close()
