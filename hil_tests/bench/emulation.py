"""Controllers for anyone who wants to talk to one: started in one call, run until told to stop.

It refuses a heap, profile or port it cannot give, before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from firmware.substation import registers

from .ending import ended_by_signal, run_folder
from .errors import PortTaken, WrongUse
from .fleet import Fleet
from .house_fleet import HouseFleet
from .lockstep import EPOCH_UTC, TICK_MS, Lockstep, Plant
from .meter_bus import MeterBus, Slave
from .plant.heat_meter import HeatMeter
from .plant.whole_house import WholeHouse
from .plant.whole_house import settings as house_settings
from .plant.year_weather import YearWeather
from .provisioning import Device, Ports, firmware_bundle, provision, write_key_file
from .serial_line import RTU_BAUD
from .street import controller_settings, street
from .wiring import Stack, WiredPlant

HEAP = re.compile(r"[1-9][0-9]{0,8}[km]?")
STREET_HEAP = "192k"
HOUSE_HEAP = "240k"  # its heat meter is more than 192k hold beside all the rest: docs/memory.md
LAST_PORT = 65_535
HOUSE_BEGINS_S = 11 * 86_400.0 + 5.5 * 3_600.0  # half past five on a winter morning: before the first showers
HOUSE_METER = {"address": 1, "battery": False}
HOUSE_METER_BAUD = 2_400
HOUSES_BEHIND_A_PLANT = 3
OPENING_BEHIND_A_PLANT = 0.4  # of the valve's stroke
# An RTU answer comes after 3.5 characters of silence, and silence passes with the clock: at the usual
# 2 s a tick a client would have given up long before.
RTU_TICK_MS = 20


def emulate(
    *,
    count: int,
    port: int,
    rtu: bool,
    heap: str | None,
    profile: str,
    seed: int | None,
    speed: float | None,
    announce: Callable[[dict[str, str]], None],
    whole_house: bool = False,
) -> None:
    """Start `count` controllers, announce each, and run them until SIGINT or SIGTERM.

    port: of the first one, the next ones follow; 0 = chosen by the system. rtu: a serial line each as well,
    whose path is announced. whole_house: one controller with all that it can have, see WholeHouse. Raises
    WrongUse, BenchError.
    """
    if profile not in registers.PROFILES:
        raise WrongUse(
            f"--profile {profile}: no such profile; nothing was started. Known: "
            + ", ".join(registers.PROFILES)
        )
    if heap is None:
        heap = HOUSE_HEAP if whole_house else STREET_HEAP
    if not HEAP.fullmatch(heap):
        raise WrongUse(f"--heap {heap}: give bytes like 192k; nothing was started")
    if whole_house and (count > 1 or profile != registers.SUBSTATION):
        raise WrongUse(
            "--whole-house is one substation; nothing was started. Leave --count and --profile out, and "
            "start it again for another one"
        )
    last = port + count - 1
    if port and last > LAST_PORT:
        raise WrongUse(
            f"--port {port} --count {count}: the last one would be port {last}, and there are {LAST_PORT}; "
            "nothing was started. Begin lower, or leave --port out"
        )
    with run_folder("emulate") as folder, ended_by_signal():
        wanted_settings: list[tuple[str, dict[str, Any]]]
        house = WholeHouse(YearWeather.read(), HOUSE_BEGINS_S, seed or 1) if whole_house else None
        if house is not None:
            metered = {"mbus_meters": [HOUSE_METER], "mbus_baud": HOUSE_METER_BAUD}
            wanted_settings = [("house-01", {**house_settings(house), **metered})]
        else:
            plants = _plants(folder, count, profile, seed)
            wanted_settings = [
                (name, controller_settings(plant.town, name, profile))
                for plant in plants
                for name in _names(plant, profile)
            ]
            if profile == registers.PUMP_STATION and count > 1:
                wanted_settings = [
                    (f"{name}-{number:03d}", settings)
                    for number, (name, settings) in enumerate(wanted_settings, start=1)
                ]
        bundle = firmware_bundle(folder / "bundle")
        ports = Ports()
        devices: list[Device] = []
        for number, (name, settings) in enumerate(wanted_settings):
            wanted = port + number if port else 0
            try:
                chosen = ports.take(wanted)
            except OSError as error:
                raise PortTaken(
                    f"port {wanted}: {error.strerror}; nothing was started. Choose another --port, or leave "
                    "it out and read the address from the output"
                ) from None
            if rtu:
                settings["rtu_baud"] = RTU_BAUD
            devices.append(
                provision(folder / "devices", bundle, name, profile, chosen, seed=seed, settings=settings)
            )
        boards = [device.board for device in devices]
        plant: Plant
        fleet: Fleet
        recorders: list[Callable[[Lockstep], None]] = []
        if house is not None:
            plant = house
            fleet = HouseFleet(boards[0], house, seed=seed, heap=heap, serial=rtu, meters=True)
            meter = HeatMeter(qp_m3_h=1.5, seed=seed or 1)
            slave = Slave(meter, HOUSE_METER["address"], lambda: house.in_the_pipe)
            recorders.append(MeterBus(fleet.meter_lines[0], [slave], HOUSE_METER_BAUD).advance)
        else:
            plant, fleet = Stack(plants), Fleet(boards, seed=seed, heap=heap, serial=rtu)
        tick_ms = RTU_TICK_MS if rtu else TICK_MS
        with Lockstep(plant, fleet, tick_ms=tick_ms, speed=speed) as clock:
            clock.recorders.extend(recorders)
            clock.power_on()
            for position, device in enumerate(devices):
                line = fleet.serial_lines[position].path if rtu else ""
                key_file = write_key_file(device.board.console.parent / "keys.json", [device])
                announce(
                    {
                        "address": device.address,
                        "device_id": device.device_id.hex(),
                        "key_file": str(key_file),
                        "profile": profile,
                        **({"serial": line, "baud": str(RTU_BAUD)} if rtu else {}),
                    }
                )
            while True:
                clock.step()
                clock.pace()


def _plants(folder: Path, count: int, profile: str, seed: int | None) -> list[WiredPlant]:
    """One street with a house for each substation, or a short street behind each pump station."""
    if profile == registers.SUBSTATION:
        streets = [street(folder / "town", count)]
        opening = 0.0
    else:
        streets = [street(folder / "town", HOUSES_BEHIND_A_PLANT)] * count
        opening = OPENING_BEHIND_A_PLANT
    plants = [WiredPlant(town, (seed or 0) + number, EPOCH_UTC) for number, town in enumerate(streets)]
    for plant in plants:
        plant.wire(_names(plant, profile), opening)
    return plants


def _names(plant: WiredPlant, profile: str) -> Sequence[str]:
    if profile == registers.SUBSTATION:
        return plant.town.substations.id
    return (plant.town.pump_station.id,)
