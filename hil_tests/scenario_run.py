"""Runs a scenario: real firmware in real VMs, one plant, one clock, step by step, and judges each step.

Plant and outdoor air are changed from here, stations are asked and written over Modbus only. It refuses to go
on without a controller, and keeps what was measured when it is stopped: a broken-off run is marked partial.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firmware.substation import order_frame

from .acceptance import limit
from .attackers import (
    IN_STEP_CHANGES,
    UNPROTECTED_CHANGES,
    KeyThief,
    PlainWriter,
    Walk,
    proven_status,
    release_under_new_keys,
    restore_order,
)
from .bench.controller import Controller
from .bench.ending import why
from .bench.errors import ModbusException, ModbusSilent, WrongUse
from .bench.fleet import HEAP, Fleet
from .bench.lockstep import EPOCH_UTC, TICK_MS, Lockstep
from .bench.provisioning import KEY_EPOCH, Device, Ports, altered_bundle, firmware_bundle, provision
from .bench.recording import Recording
from .bench.report import Check, judged
from .bench.street import controller_settings, district
from .bench.suction import SuctionTransmitter
from .bench.suction import settings as suction_settings
from .bench.wiring import WiredPlant
from .leaks import WaterWatch
from .scenario_file import IN_STEP, PROTECTED, SHIPPED, UNPROTECTED, Expectation, Run, Scenario, Step

FloatArray = NDArray[np.float64]
SUBSTATION, PUMP_STATION = "substation", "pump_station"
# Firmware that must go wrong, built for its run alone.
COUNTER_CHECKS = {UNPROTECTED: UNPROTECTED_CHANGES, IN_STEP: IN_STEP_CHANGES}
BATCH = 24  # boards that are switched on together: on a busy machine the last of 324 would seem hung
DEADLINE_S = 300.0  # real time for one tick of all stations, machine busy
FLOW_MEAN_S = 120.0
SURVEY_S = 60.0
OWN_CONTROL = 0  # of control_mode_number
PROGRESS_S = 2.0
TO_FIRST_FLOW_MIN = 10  # from power: the valve's way to its end stop and back [estimate]
USUAL_SAMPLES = 10  # minutes whose mean is the usual flow

Progress = Callable[[str], None]


@dataclass
class StepResult:
    """What a step gave; `checks` judge its figures."""

    do: str
    because: str
    from_s: float
    to_s: float
    figures: dict[str, float | None]
    counts: dict[str, Any]
    checks: list[Check]


@dataclass
class RunResult:
    """What a run gave; `whole` is False when it was broken off."""

    run: Run
    steps: list[StepResult] = field(default_factory=list)
    recording: Recording | None = None
    events: list[tuple[float, str]] = field(default_factory=list)
    stations: list[dict[str, Any]] = field(default_factory=list)
    plant_device_id: str = ""
    cost: dict[str, Any] = field(default_factory=dict)
    firmware_sha256: str = ""
    sha256: str = ""
    whole: bool = False
    stopped_by: str = ""

    @property
    def checks(self) -> list[Check]:
        return [check for step in self.steps for check in step.checks]


class Stations:
    """The stations of one run, the heat plant's controller last, and the hands on plant and weather."""

    def __init__(self, folder: Path, run: Run, count: int, seed: int, say: Progress,
                 shipped: Path | None = None, result: RunResult | None = None) -> None:  # fmt: skip
        self.run, self.say = run, say
        self.result = result or RunResult(run)
        self._ports = Ports()
        self.houses: list[Controller] = []
        self.clock: Lockstep | None = None
        self.water: WaterWatch | None = None
        self.epoch = KEY_EPOCH
        """Of the keys that the stations take; a mass restore raises it."""
        try:
            self._build(folder, run, count, seed, shipped)
        except BaseException:
            self.close()
            raise

    def _build(self, folder: Path, run: Run, count: int, seed: int, shipped: Path | None) -> None:
        started = time.monotonic()
        town = district(folder / "town", count)
        if run.firmware == SHIPPED:
            bundle = shipped or firmware_bundle(folder / "bundle")
        else:
            bundle = altered_bundle(folder / run.firmware, COUNTER_CHECKS[run.firmware])
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        self.result.firmware_sha256 = str(manifest["sha256"])
        names = [*town.substations.id, town.pump_station.id]
        devices: list[Device] = []
        for name in names:
            profile = PUMP_STATION if name == town.pump_station.id else SUBSTATION
            settings = controller_settings(town, name, profile)
            if profile == PUMP_STATION and run.suction:
                settings |= suction_settings(protected=run.suction == PROTECTED)
            devices.append(
                provision(folder / "devices", bundle, name, profile, self._ports.take(), seed=seed,
                          settings=settings)
            )  # fmt: skip
        self.result.plant_device_id = devices[-1].device_id.hex()
        # what pipes and pump of the town are sized for, all houses at the design temperature outside
        self.design_flow_kg_s = float(town.substations.design_flow_kg_s.sum())
        self.plant = WiredPlant(town, seed, EPOCH_UTC, run.outdoor_temp_c)
        self.plant.wire(names)
        fleet = Fleet([device.board for device in devices], seed=seed, heap=HEAP, deadline_s=DEADLINE_S)
        self.clock = clock = Lockstep(self.plant, fleet, tick_ms=TICK_MS, epoch_utc=EPOCH_UTC)
        clock.inputs = self.plant.sense()
        if run.suction:
            transmitter = SuctionTransmitter(fleet, len(names) - 1, self.plant, seed, TICK_MS / 1000.0)
            transmitter(clock.inputs)
            clock.adjust_inputs.append(transmitter)
            self.water = WaterWatch(self.plant.inner, Controller(devices[-1], len(names) - 1, clock.note_bus))
        wanted = list(range(len(names))) if run.powered else [len(names) - 1]
        for first in range(0, len(wanted), BATCH):
            fleet.on(wanted[first : first + BATCH], inputs=clock.inputs)
            self.say(f"{run.name}: {min(first + BATCH, len(wanted))} of {len(names)} controllers have booted")
        self.houses = [Controller(device, row, clock.note_bus) for row, device in enumerate(devices[:-1])]
        self.recording = Recording(tuple(town.substations.id))
        self.result.recording = self.recording
        self.result.cost["boot_s"] = time.monotonic() - started
        self._flow = np.zeros(count)
        self.mark()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        for house in self.houses:
            house.disconnect()
        if self.clock is not None:
            self.clock.close()
        self._ports.close()

    @property
    def now_s(self) -> float:
        assert self.clock is not None
        return self.clock.now_ms / 1000.0

    def note(self, text: str) -> None:
        """Put an event on the time line."""
        self.result.events.append((self.now_s, text))

    def mark(self) -> None:
        """Remember rooms and flows as they are: what follows is compared with them."""
        self.room_before = self.plant.room_temp_c.copy()
        self.flow_before = self._flow.copy()
        self.lowest_room = self.room_before.copy()
        self._heat_j = np.zeros(len(self.room_before))
        self._spent_s = 0.0
        self.lowest_dp_pa = self.lowest_plant_dp_pa = np.inf
        self.highest_flow_kg_s = self.highest_rise_kg_s = 0.0
        self._minute_flows: deque[float] = deque(maxlen=1 + 60_000 // TICK_MS)
        if self.water is not None:
            self.water.mark()

    def run_for(
        self,
        minutes: float,
        each_tick: Callable[[float], None] | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        """Let minutes pass, fewer when `until` holds; each_tick gets the seconds passed after every tick."""
        clock = self.clock
        assert clock is not None
        begin_ms, end_ms = clock.now_ms, clock.now_ms + round(minutes * 60_000)
        wall, next_line = time.monotonic(), 0.0
        while clock.now_ms < end_ms and not until():
            clock.step()
            self._look(clock.tick_ms / 1000.0)
            if each_tick is not None:
                each_tick((clock.now_ms - begin_ms) / 1000.0)
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + PROGRESS_S
                passed_s = (clock.now_ms - begin_ms) / 1000.0
                speed = passed_s / max(time.monotonic() - wall, 1e-3)
                self.say(
                    f"{self.run.name}: {self.step_name}, {passed_s / 60:.0f} of {minutes:g} min, "
                    f"{speed:.0f} times real time; coldest room {self.plant.room_temp_c.min():.1f} degC, "
                    f"{int(self.stopped().sum())} of {len(self.houses)} stopped"
                )

    step_name = ""

    def _look(self, dt_s: float) -> None:
        plant = self.plant
        self.recording.tick(self.now_s, dt_s, plant)
        self._flow += (plant.primary_flow_kg_s - self._flow) * min(1.0, dt_s / FLOW_MEAN_S)
        np.minimum(self.lowest_room, plant.room_temp_c, out=self.lowest_room)
        self._heat_j += plant.primary_heat_w * dt_s
        self._spent_s += dt_s
        self.lowest_dp_pa = min(self.lowest_dp_pa, float(plant.primary_dp_pa.min()))
        self.lowest_plant_dp_pa = min(self.lowest_plant_dp_pa, plant.plant_dp_pa)
        flow_kg_s = float(plant.plant_flow_kg_s)
        self._minute_flows.append(flow_kg_s)
        self.highest_flow_kg_s = max(self.highest_flow_kg_s, flow_kg_s)
        self.highest_rise_kg_s = max(self.highest_rise_kg_s, flow_kg_s - min(self._minute_flows))
        if self.water is not None:
            self.water.look(dt_s)

    def stopped(self) -> NDArray[np.bool_]:
        """Which stations take less than a tenth of the flow they took at the mark."""
        stopped: NDArray[np.bool_] = self._flow < limit("stopped-below") * self.flow_before
        return stopped

    def always(self) -> dict[str, float | None]:
        """Figures since the mark that every step gives."""
        return {
            **self.seen(),
            "supply_off_k": self._supply_off(),
            "own_control_share": self._own_control_share(),
        }

    def seen(self) -> dict[str, float | None]:
        """Those of them that no controller must be asked for."""
        heat = self._heat_j
        mean = float(heat.mean())
        cold = self.room_before - self.lowest_room > limit("room-drop")
        return {
            "lowest_room_c": float(self.lowest_room.min()),
            "out_of_comfort": int(cold.sum()),
            "out_of_comfort_share": float(cold.mean()),
            "stopped_share": float(self.stopped().mean()),
            "least_heat_share": float(heat.min()) / mean if mean > 0.0 else None,
            "index_dp_bar": self.lowest_dp_pa / 1e5 if self._spent_s else None,
            "plant_dp_bar": self.lowest_plant_dp_pa / 1e5 if self._spent_s else None,
            "peak_flow_share": self.highest_flow_kg_s / self.design_flow_kg_s if self._spent_s else None,
            "flow_rise_share": self.highest_rise_kg_s / self.design_flow_kg_s if self._spent_s else None,
        }

    def _own_control_share(self) -> float | None:
        """Share of the powered stations that follow nobody's order, nor are on their way back from one."""
        assert self.clock is not None
        alone = []
        for row, house in enumerate(self.houses):
            if self.clock.fleet.powered(row):
                alone.append(int(house.read("control_mode_number")) == OWN_CONTROL)
                house.disconnect()
        return sum(alone) / len(alone) if alone else None

    def _supply_off(self) -> float | None:
        """Largest distance of any powered station's true supply from its own curve, as it is now."""
        assert self.clock is not None
        off = [
            abs(float(self.plant.secondary_supply_temp_c[k]) - float(house.read("own_curve_temp_c")))
            for k, house in enumerate(self.houses)
            if self.clock.fleet.powered(k)
        ]
        for house in self.houses:
            house.disconnect()
        return max(off) if off else None

    def digests(self) -> list[tuple[int, int] | None]:
        """Return the authenticated limits and firmware hash of every station.

        None for one that does not prove itself under the keys in force: a mass restore has not reached it.
        """
        found: list[tuple[int, int] | None] = []
        for house in self.houses:
            try:
                status = proven_status(house, self.epoch)
                found.append((status.limits_hash, status.firmware_hash))
            except order_frame.BadFrame:
                found.append(None)
            finally:
                house.disconnect()
        return found

    def memory(self) -> dict[str, float]:
        """Proportional share of memory of the controllers' processes, MB: mean, largest, sum."""
        assert self.clock is not None
        pss = [pss_mb(pid) for pid in self.clock.fleet.process_ids()]
        return {
            "pss_mean_mb": float(np.mean(pss)),
            "pss_largest_mb": max(pss),
            "pss_sum_mb": float(np.sum(pss)),
        }


def pss_mb(pid: int) -> float:
    """Read /proc; 0 where the process has just ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024.0
    except OSError:
        pass
    return 0.0


# -- the steps: each returns its own figures and counts --------------------------------------------------

Given = tuple[dict[str, float | None], dict[str, Any]]


def _run(stations: Stations, v: dict[str, Any]) -> Given:
    stations.run_for(v["for_min"])
    return {}, {}


def _weather(stations: Stations, v: dict[str, Any]) -> Given:
    begin_c, end_c, over_s = stations.plant.outdoor_temp_c, float(v["outdoor_temp_c"]), v["over_min"] * 60.0

    def change(passed_s: float) -> None:
        if passed_s % 60.0 < TICK_MS / 1000.0 or passed_s >= over_s:
            stations.plant.outdoor_temp_c = begin_c + (end_c - begin_c) * min(1.0, passed_s / over_s)

    stations.note(f"outdoor air goes from {begin_c:g} to {end_c:g} degC in {v['over_min']:g} min")
    stations.run_for(v["over_min"], change)
    return {}, {"outdoor_temp_c": end_c}


def _need_w(stations: Stations) -> float:
    """Heat that the source gave before it was first changed: the mean of the half hour then."""
    cost = stations.result.cost
    if "need_w" not in cost:
        heat = stations.recording.town("source_heat_w")
        need_w = float(heat[-30:].mean()) if heat.size else 0.0
        if need_w <= 0.0:
            raise WrongUse(
                "the source has given no heat until now, so there is no need to take a share of; the run "
                "stopped here. Give the step run before it more minutes, or colder air"
            )
        cost["need_w"] = need_w
    return float(cost["need_w"])


def _limit_source(stations: Stations, share_of_need: float, need_w: float) -> None:
    station = stations.plant.town.pump_station
    stations.plant.inner.source_available = share_of_need * need_w / station.source_max_heat_w


def _source(stations: Stations, v: dict[str, Any]) -> Given:
    need_w = _need_w(stations)
    _limit_source(stations, v["share_of_need"], need_w)
    stations.note(f"the source gives at most {v['share_of_need']:.0%} of the need of {need_w / 1e3:.0f} kW")
    stations.run_for(v["for_min"])
    return {}, {"need_kw": need_w / 1e3}


def _cycle_source(stations: Stations, v: dict[str, Any]) -> Given:
    need_w = _need_w(stations)
    half_s = v["period_min"] * 30.0
    low, high = v["low_share_of_need"], v["high_share_of_need"]

    def change(passed_s: float) -> None:
        _limit_source(stations, low if int(passed_s // half_s) % 2 else high, need_w)

    stations.note(
        f"the source cycles between {low:.0%} and {high:.0%} of the need every {v['period_min']:g} min"
    )
    stations.run_for(v["for_min"], change)
    return {}, {"need_kw": need_w / 1e3}


def _order(stations: Stations, v: dict[str, Any]) -> Given:
    taken = 0
    for house in stations.houses:
        receipt = house.order(
            secondary_supply_temp_sp_c=v["secondary_supply_temp_sp_c"], lease_s=round(v["lease_min"] * 60)
        )
        taken += receipt.result == order_frame.ACCEPTED
        house.disconnect()
    stations.note(
        f"{taken} stations take {v['secondary_supply_temp_sp_c']:g} degC for {v['lease_min']:g} min"
    )
    return {"ordered_share": taken / len(stations.houses)}, {"taken": taken}


def _switch_on(stations: Stations, v: dict[str, Any]) -> Given:
    clock = stations.clock
    assert clock is not None
    order = [
        house.position for house in restore_order(stations.houses) if not clock.fleet.powered(house.position)
    ]
    gap_s = v["over_min"] * 60.0 / max(1, len(order))
    onsets = Onsets(stations)
    on = 0

    def change(passed_s: float) -> None:
        nonlocal on
        due = min(len(order), int(passed_s / gap_s) + 1)
        if due > on:
            clock.fleet.on(order[on:due])
            on = due
        onsets.look(passed_s)

    stations.note(f"{len(order)} stations are switched on within {v['over_min']:g} min")
    last_min = v["over_min"] + TO_FIRST_FLOW_MIN
    stations.run_for(last_min, change, until=lambda: on == len(order) == len(onsets.begun_s))
    return onsets.figures(), {"switched_on": on, "begun": len(onsets.begun_s)}


def _power_failure(stations: Stations, v: dict[str, Any]) -> Given:
    clock = stations.clock
    assert clock is not None
    rows = [house.position for house in stations.houses]
    clock.fleet.cut(rows)
    stations.note(f"{len(rows)} stations lose their power for {v['off_min']:g} min")
    stations.run_for(v["off_min"])
    onsets = Onsets(stations)
    for first in range(0, len(rows), BATCH):
        clock.fleet.on(rows[first : first + BATCH], inputs=clock.inputs)
    stations.note("power comes back to all of them in one tick")
    stations.run_for(v["for_min"], onsets.look)
    return onsets.figures(), {"begun": len(onsets.begun_s)}


class Onsets:
    """When the flow of each station began, having stood: the controllers' doing, not the bench's."""

    def __init__(self, stations: Stations) -> None:
        self._plant = stations.plant
        self._stands_below_kg_s = limit("stopped-below") * stations.plant.town.substations.design_flow_kg_s
        self._stood = np.zeros(len(stations.houses), dtype=np.bool_)
        self.begun_s: dict[int, float] = {}

    def look(self, passed_s: float) -> None:
        stands = self._plant.primary_flow_kg_s < self._stands_below_kg_s
        for row in np.flatnonzero(self._stood & ~stands):
            self.begun_s.setdefault(int(row), passed_s)
        self._stood |= stands

    def figures(self) -> dict[str, float | None]:
        share = _share_in_a_minute(list(self.begun_s.values()), len(self._stood))
        return {"begun_share_in_a_minute": share}


def _share_in_a_minute(begun: list[float], of: int) -> float | None:
    """Largest share that begins within any minute; None when nothing began."""
    if not begun or not of:
        return None
    times = np.sort(np.array(begun))
    return float(max(np.searchsorted(times, times + 60.0, "left") - np.arange(times.size)) / of)


def _altered(before: list[tuple[int, int] | None], after: list[tuple[int, int] | None]) -> int:
    """How many do not prove now what they proved before."""
    return sum(now is None or was != now for was, now in zip(before, after, strict=True))


def _plain_writes(stations: Stations, v: dict[str, Any]) -> Given:
    before = stations.digests()
    writer = PlainWriter()
    walk = Walk(stations.houses, writer.visit, v["delay_s"], v["again_min"] * 60.0)
    stations.note(f"a script without keys begins to write to {len(stations.houses)} stations")
    stations.run_for(v["for_min"], walk.until)
    after = stations.digests()
    counted = writer.counted
    altered = _altered(before, after)
    stations.note(f"the script ends after {counted.sent} writes, {counted.refused} of them refused")
    return (
        {"refused_share": counted.refused_share, "altered": altered},
        {"writes_sent": counted.sent, "writes_refused": counted.refused, "writes_taken": counted.taken},
    )


def _stolen_keys(stations: Stations, v: dict[str, Any]) -> Given:
    before = stations.digests()
    thief = KeyThief()
    again_s = v["again_min"] * 60.0
    walk = Walk(stations.houses, thief.visit, again_s / len(stations.houses) / 2.0, again_s)
    stations.note("somebody with the supervisor's keys begins to send the worst valid orders")
    stations.run_for(v["for_min"], walk.until)
    altered = _altered(before, stations.digests())
    stations.note(f"{thief.counted.taken} of {thief.counted.sent} such orders were taken")
    return (
        {"altered": altered},
        {"orders_sent": thief.counted.sent, "orders_taken": thief.counted.taken, **thief.counted.by_result},
    )


def _mass_restore(stations: Stations, v: dict[str, Any]) -> Given:
    houses = restore_order(stations.houses)
    was_stopped = stations.stopped()
    before = stations.digests()
    gap_s = v["over_min"] * 60.0 / len(houses)
    released: list[Controller] = []
    taken: list[Controller] = []
    back_s: dict[str, float] = {}
    begun: dict[int, float] = {}
    old_keys = KeyThief(stations.epoch)
    stations.epoch += 1

    def change(passed_s: float) -> None:
        while len(released) < len(houses) and passed_s >= len(released) * gap_s:
            house = houses[len(released)]
            if release_under_new_keys(house, stations.epoch):
                taken.append(house)
            house.disconnect()
            released.append(house)
        flows = stations.plant.primary_flow_kg_s > 0.3 * stations.flow_before
        for row in np.flatnonzero(was_stopped & flows):
            begun.setdefault(int(row), passed_s)
        if passed_s % SURVEY_S < TICK_MS / 1000.0:
            for house in taken:  # all of them, each time: one that was back may leave again
                if not _is_back(stations, house, before[house.position]):
                    back_s.pop(house.name, None)
                else:
                    back_s.setdefault(house.name, passed_s)

    stations.note(f"mass restore begins: the keys' epoch rises, {len(houses)} stations are given back")
    begin_s = stations.now_s
    stations.run_for(v["within_min"], change, until=lambda: len(back_s) == len(houses))
    spent_min = (stations.now_s - begin_s) / 60.0
    off_k = max(_off_attainable_k(stations, house) for house in houses)
    for house in houses:
        old_keys.visit(house)
        house.disconnect()
    altered = _altered(before, stations.digests())
    stations.note(f"{len(back_s)} of {len(houses)} stations are back after {spent_min:.0f} min")
    return (
        {
            "restored_share": len(back_s) / len(houses),
            "restore_min": max(back_s.values()) / 60.0 if len(back_s) == len(houses) else None,
            "worst_supply_off_k": off_k,
            "begun_share_in_a_minute": _share_in_a_minute(list(begun.values()), len(houses)),
            "altered": altered,
            "old_keys_refused_share": old_keys.counted.refused_share,
        },
        {"stopped_before": int(was_stopped.sum()), "restored": len(back_s)},
    )


def _off_attainable_k(stations: Stations, house: Controller) -> float:
    """How far the true supply is off what the own curve asks for and the network can give."""
    row = house.position
    attainable_c = min(
        float(house.read("own_curve_temp_c")), float(stations.plant.primary_supply_temp_c[row])
    )
    house.disconnect()
    return abs(attainable_c - float(stations.plant.secondary_supply_temp_c[row]))


def _is_back(stations: Stations, house: Controller, wanted: tuple[int, int] | None) -> bool:
    """Limits and firmware proven as before, own control, water flowing, supply near what is attainable."""
    try:
        status = proven_status(house, stations.epoch)
    except (ModbusException, ModbusSilent):
        return False
    finally:
        house.disconnect()
    own_control = status.control_mode == OWN_CONTROL
    same = (status.limits_hash, status.firmware_hash) == wanted
    flows = not stations.stopped()[house.position]
    return own_control and same and flows and _off_attainable_k(stations, house) <= limit("restore-supply")


def _water(stations: Stations) -> WaterWatch:
    """The watch over the plant's water, which knows the flow from before the first leak."""
    assert stations.water is not None, "the file's reader asks for suction"
    flow = stations.recording.town("plant_flow_kg_s")
    if not flow.size:
        raise WrongUse("a leak needs a run before it, which shows the usual flow; the run stopped here")
    usual = stations.water.begin(float(flow[-USUAL_SAMPLES:].mean()))
    stations.result.cost["usual_flow_kg_s"] = usual
    return stations.water


def _leak(stations: Stations, v: dict[str, Any]) -> Given:
    water = _water(stations)
    node, kv_m3_h = water.open(v["side"], v["share_of_flow"])
    stations.note(f"the trunk's {v['side']} breaks at {node}: {v['share_of_flow']:.0%} of the flow runs out")
    stations.run_for(v["for_min"])
    return water.figures(), {"node": node, "kv_m3_h": kv_m3_h}


def _make_up(stations: Stations, v: dict[str, Any]) -> Given:
    water = _water(stations)
    most_kg_s = water.make_up(v["share_of_flow"])
    stations.note(f"make-up gives at most {v['share_of_flow']:.0%} of the usual flow")
    stations.run_for(v["for_min"])
    return water.figures(), {"make_up_kg_s": most_kg_s}


def _repair(stations: Stations, v: dict[str, Any]) -> Given:
    water = _water(stations)
    closed = water.repair()
    stations.note(f"{len(closed)} leaks are closed")
    stations.run_for(v["for_min"])
    return water.figures(), {"closed": len(closed)}


STEPS: dict[str, Callable[[Stations, dict[str, Any]], Given]] = {
    "run": _run,
    "weather": _weather,
    "source": _source,
    "cycle_source": _cycle_source,
    "order": _order,
    "switch_on": _switch_on,
    "power_failure": _power_failure,
    "plain_writes": _plain_writes,
    "stolen_keys": _stolen_keys,
    "mass_restore": _mass_restore,
    "leak": _leak,
    "make_up": _make_up,
    "repair": _repair,
}
BROKEN_OFF = "{}, broken off"
KEEPS_THE_MARK = ("mass_restore",)  # it is judged against what was before the attack


def judge(expectation: Expectation, figures: dict[str, float | None]) -> Check:
    """Return the check of one expected figure."""
    name = f"{expectation.figure} ({expectation.limit.id})"
    return judged(name, figures.get(expectation.figure), expectation.limit)


def _take(stations: Stations, step: Step) -> None:
    stations.step_name = step.do
    if step.do not in KEEPS_THE_MARK:
        stations.mark()
    from_s = stations.now_s
    try:
        own, counts = STEPS[step.do](stations, step.values)
        figures = {**stations.always(), **own}
    except BaseException:  # nothing is judged by half a step, but what it showed is told
        stations.result.steps.append(
            StepResult(
                BROKEN_OFF.format(step.do), step.because, from_s, stations.now_s, stations.seen(), {}, []
            )
        )
        raise
    checks = [judge(expectation, figures) for expectation in step.expect]
    stations.result.steps.append(
        StepResult(step.do, step.because, from_s, stations.now_s, figures, counts, checks)
    )


def run_one(
    folder: Path, run: Run, count: int, seed: int, say: Progress, shipped: Path | None = None
) -> RunResult:
    """Run one run with `count` stations in `folder`.

    Whatever ends it early, an error or Ctrl-C, while booting too: its controllers have ended, and what was
    measured is returned with the reason in `stopped_by`.
    """
    began = time.monotonic()
    result = RunResult(run)
    try:
        with Stations(folder, run, count, seed, say, shipped, result) as stations:
            booted = time.monotonic()
            try:
                result.cost |= stations.memory()
                for step in run.steps:
                    _take(stations, step)
                result.cost |= stations.memory()  # now all have power that get any
            finally:
                _close_the_books(stations, began, booted)
            result.whole = True
    except (Exception, KeyboardInterrupt) as error:
        result.whole = False
        result.stopped_by = why(error)
        result.cost.setdefault("wall_s", time.monotonic() - began)
    shutil.rmtree(folder / "devices", ignore_errors=True)
    return result


def _close_the_books(stations: Stations, began: float, booted: float) -> None:
    """Keep digest, cost and the state of every station: what needs no answer from a controller."""
    clock, result = stations.clock, stations.result
    assert clock is not None
    count = len(stations.houses)
    wall_s = max(time.monotonic() - booted, 1e-3)
    result.sha256 = clock.sha256
    result.cost |= {
        "wall_s": time.monotonic() - began,
        "virtual_min": stations.now_s / 60.0,
        "times_real_time": stations.now_s / wall_s,
        "device_ticks_per_s": (count + 1) * clock.now_ms / clock.tick_ms / wall_s,
    }
    stopped = stations.stopped()
    for house in stations.houses:
        result.stations.append(
            {
                "station": house.name,
                "device_id": house.device.device_id.hex(),
                "room_c": round(float(stations.plant.room_temp_c[house.position]), 3),
                "lowest_room_c": round(float(stations.lowest_room[house.position]), 3),
                "stopped": int(stopped[house.position]),
            }
        )


def run_scenario(
    folder: Path,
    scenario: Scenario,
    *,
    stations: int | None,
    seed: int,
    say: Progress,
    shipped: Path | None = None,
    between: Callable[[list[RunResult]], object] = lambda results: None,
) -> list[RunResult]:
    """Run every run of a scenario, one after the other; a broken-off one is the last.

    shipped: the bundle to use for shipped firmware, built when None. between: is given what there is before
    the next run begins, so that not even a bench that is killed takes it away.
    """
    results: list[RunResult] = []
    for run in scenario.runs:
        if results:
            between(results)
        own = folder / f"run-{len(results) + 1}"
        results.append(run_one(own, run, stations or scenario.stations, seed, say, shipped))
        if not results[-1].whole:
            break
    return results
