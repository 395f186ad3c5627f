"""A winter week of a whole town: coordinated by the supervisor, beside the lowest constant pressure.

Both runs use the same shipped firmware, seed, weather and plant in lockstep; a day of warm-up is
discarded. The rival is chosen fairly: the *lowest* constant differential pressure at which every house
still gets what its own heating curve asks for in the coldest hour, found by running that hour. Results
are kept with what they were made from, so that a report may show them only with their origin.
"""

from __future__ import annotations

import contextlib
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.substation import registers

from .acceptance import limit
from .bench import kept
from .bench.beside import Beside
from .bench.controller import Controller
from .bench.ending import run_folder, signals_as_ctrl_c
from .bench.lockstep import TICK_MS, Lockstep
from .bench.plant.town import Town
from .bench.plant.weather import Weather
from .bench.plant_version import plant_version
from .bench.provisioning import firmware_bundle, firmware_sha256
from .bench.recording import SAMPLE_S, Recording
from .bench.town_run import TownRun
from .demo import EXAMPLES, Demo, Supervisor, held_port, town_folder

WARM_UP_S = 86_400.0
WEEK_S = 7 * 86_400.0
HOUR_S = 3_600.0
BEFORE_COLDEST_HOUR_S = 6 * HOUR_S  # lets exchangers, pipes and valves settle from their start values
SERVED_WITHIN_K = limit("control-accuracy")
ROOM_DROP_K = limit("room-drop")
DP_RESOLUTION_BAR = 0.02
RESULT_FORMAT = "toplovod-week/1"
WEEK_FILE = "week.json"
RIVAL_FILE = "constant.json"
PARTIAL_FILE = "coordinated-partial.json"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is run: everything that decides the result."""

    town: str = "schutterwald"
    seed: int = 1
    warm_up_s: float = WARM_UP_S
    span_s: float = WEEK_S
    tick_ms: int = TICK_MS


@dataclass(frozen=True)
class Coldest:
    """How the coldest hour went at one constant pressure."""

    plant_dp_bar: float
    worst_shortfall_k: float
    worst_house: str
    index_dp_bar: float

    @property
    def served(self) -> bool:
        """Whether every house had its supply temperature within the accuracy limit, on average."""
        return self.worst_shortfall_k <= SERVED_WITHIN_K


def later(weather: Weather, by_s: float) -> Weather:
    """Return the same weather with its clock started `by_s` later."""
    kept = np.concatenate(([by_s], weather.time_s[weather.time_s > by_s]))
    temps = np.array([weather.outdoor_temp_c(float(t)) for t in kept])
    begin = weather.start.timestamp() + by_s
    return Weather(type(weather.start).fromtimestamp(begin, weather.start.tzinfo), kept - by_s, temps)


def coldest_hour(plan: Plan, weather: Weather) -> float:
    """Return the second at which the coldest hour of the judged span begins."""
    starts = np.arange(plan.warm_up_s, plan.warm_up_s + plan.span_s - HOUR_S + 1.0, HOUR_S)
    means = [(weather.outdoor_temp_c(t) + weather.outdoor_temp_c(t + HOUR_S)) / 2.0 for t in starts.tolist()]
    return float(starts[int(np.argmin(means))])


def constant_settings(town: Town, plant_dp_bar: float) -> dict[str, dict[str, float]]:
    """Settings of a pump station that holds this pressure, within its limits, whatever happens."""
    return {town.pump_station.id: {"own_plant_dp_bar": plant_dp_bar}}


def run_coldest_hour(plan: Plan, plant_dp_bar: float) -> Coldest:
    """Run the coldest hour, and six before it, at a constant pressure; no supervisor takes part."""
    with run_folder("coldest") as folder:
        source = town_folder(plan.town, folder)
        town = Town.load(source)
        weather = town.weather()
        begin = max(0.0, coldest_hour(plan, weather) - BEFORE_COLDEST_HOUR_S)
        settle_s = coldest_hour(plan, weather) - begin
        with TownRun(
            folder / "run",
            source,
            seed=plan.seed,
            weather=later(weather, begin),
            tick_ms=plan.tick_ms,
            settings=constant_settings(town, plant_dp_bar),
        ) as run:
            run.power_on()
            run.clock.run_for(settle_s)
            noted = run.clock.note_bus
            houses = [
                Controller(device, row, noted)
                for row, device in enumerate(run.devices[: len(town.substations)])
            ]
            shortfalls, pressures = [], []
            for _ in range(round(HOUR_S / 60.0)):
                run.clock.run_for(60.0)
                shortfalls.append([_shortfall_k(house) for house in houses])
                pressures.append(float(run.plant.primary_dp_pa.min()) / 1e5)
            for house in houses:
                house.disconnect()
            mean = np.mean(np.array(shortfalls), axis=0)
            worst = int(mean.argmax())
            return Coldest(plant_dp_bar, float(mean[worst]), houses[worst].name, float(np.min(pressures)))


def _shortfall_k(house: Controller) -> float:
    """How far the supply is below what the own curve asks for; 0 when it is not."""
    wanted, measured = house.read("own_curve_temp_c"), house.read("secondary_supply_temp_c")
    return max(0.0, float(wanted) - float(measured))


def lowest_constant_dp(
    plan: Plan,
    low_bar: float,
    high_bar: float,
    progress: Progress,
    *,
    near_bar: float | None = None,
    hour: Callable[[Plan, float], Coldest] = run_coldest_hour,
) -> list[Coldest]:
    """Search the lowest pressure that serves every house in the coldest hour; return every try.

    The last served try with the lowest pressure is the answer. near_bar: where an earlier search ended; the
    answer is looked for from there outwards, in steps that double, and narrowed down by halves.
    hour: runs one try. ValueError when even high_bar does not serve.
    """
    tries: list[Coldest] = []

    def serves(bar: float) -> bool:
        tries.append(hour(plan, round(bar, 3)))
        progress(_try_line(tries[-1]))
        return tries[-1].served

    top_bar = high_bar
    step_bar = 2.0 * DP_RESOLUTION_BAR
    if near_bar is not None and low_bar < near_bar < high_bar:
        if serves(near_bar):
            high_bar = near_bar
            while high_bar - step_bar > low_bar:
                if not serves(high_bar - step_bar):
                    low_bar = high_bar - step_bar
                    break
                high_bar -= step_bar
                step_bar *= 2.0
        else:
            low_bar = near_bar
            while low_bar + step_bar < top_bar:
                if serves(low_bar + step_bar):
                    high_bar = low_bar + step_bar
                    break
                low_bar += step_bar
                step_bar *= 2.0
    if high_bar == top_bar and not serves(top_bar):
        raise ValueError(
            f"{top_bar:g} bar does not serve {tries[-1].worst_house}: {tries[-1].worst_shortfall_k:.1f} K "
            "short in the coldest hour; no constant pressure can be the rival"
        )
    while high_bar - low_bar > DP_RESOLUTION_BAR:
        middle = round((low_bar + high_bar) / 2.0, 3)
        if serves(middle):
            high_bar = middle
        else:
            low_bar = middle
    return tries


def _try_line(result: Coldest) -> str:
    verdict = "served" if result.served else "not served"
    return (
        f"constant {result.plant_dp_bar:.3f} bar: coldest hour {verdict}, "
        f"worst {result.worst_house} {result.worst_shortfall_k:.2f} K short, "
        f"lowest dp {result.index_dp_bar:.2f} bar"
    )


def run_constant(plan: Plan, plant_dp_bar: float, keep: Path | None = None) -> dict[str, Any]:
    """Run the span at a constant pressure, houses on their own curves, and return figures and digest."""
    with run_folder("constant") as folder:
        source = town_folder(plan.town, folder)
        town = Town.load(source)
        with TownRun(
            folder / "run", source, seed=plan.seed, tick_ms=plan.tick_ms,
            settings=constant_settings(town, plant_dp_bar),
        ) as run:  # fmt: skip
            recording = record(run.clock, run, plan.warm_up_s)
            heaps = Heaps(run.clock, plan.warm_up_s)
            started = time.monotonic()
            run.power_on()
            end_ms = round((plan.warm_up_s + plan.span_s) * 1000)
            while run.clock.now_ms < end_ms:
                run.clock.step(measure_heap=heaps.due())
                heaps.note()
            return _result(recording, heaps, started, keep)


def run_coordinated(plan: Plan, keep: Path | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Run the span with the supervisor coordinating every area by itself; return figures and digest."""
    with run_folder("coordinated") as folder, contextlib.ExitStack() as stack:
        source = town_folder(plan.town, folder)
        run = stack.enter_context(
            TownRun(folder / "run", source, seed=plan.seed, tick_ms=plan.tick_ms, speed=None)
        )
        _coordinate_by_itself(run.site_path)
        data = folder / "data"
        run.write_keys(data)
        port = stack.enter_context(held_port(0))
        supervisor = Supervisor(run.site_path, data, port, folder / "supervisor.log")
        stack.callback(supervisor.stop)
        demo = Demo(run, supervisor, lambda line: None)
        recording = record(run.clock, run, plan.warm_up_s)
        heaps = Heaps(run.clock, plan.warm_up_s)
        started = time.monotonic()
        demo.start()
        end_ms = round((plan.warm_up_s + plan.span_s) * 1000)
        lost_before = None
        next_line = 0.0
        if keep is not None:
            stack.enter_context(_kept_when_broken_off(recording, keep.with_name(PARTIAL_FILE), plan))
        while run.clock.now_ms < end_ms:
            demo.tick(measure_heap=heaps.due())
            heaps.note()
            if lost_before is None and run.clock.now_ms >= plan.warm_up_s * 1000:
                lost_before = polls(supervisor)
            if progress is not None and time.monotonic() >= next_line:
                next_line = time.monotonic() + 30.0
                share = run.clock.now_ms / end_ms
                left_s = (time.monotonic() - started) * (1.0 - share) / max(share, 1e-6)
                # the start is slow, and a guess from it frightens people away
                left = f"about {left_s / 60:.0f} min left" if share >= 0.01 else "time left not known yet"
                progress(f"coordinated week: {share:.0%} done, {left}")
        result = _result(recording, heaps, started, keep)
        after = polls(supervisor)
        result["kpi"] |= {name: after[name] - (lost_before or {}).get(name, 0) for name in after}
        return result


@contextlib.contextmanager
def _kept_when_broken_off(recording: Recording, path: Path, plan: Plan) -> Iterator[None]:
    """Write the figures of the hours until then into path when the block is broken off; else remove them."""
    try:
        yield
    except BaseException:
        content = {"provenance": asdict(plan), "of_h": plan.span_s / HOUR_S, "kpi": recording.kpi()}
        kept.save(path, {"format": RESULT_FORMAT, **content})
        raise
    path.unlink(missing_ok=True)


class Heaps:
    """Live heap of every controller once an hour, after a collection; the warm-up is discarded."""

    def __init__(self, clock: Lockstep, since_s: float) -> None:
        self.clock = clock
        self._since_ms = round(since_s * 1000)
        self._live_b: list[NDArray[np.int64]] = []
        self._asked = False

    def due(self) -> bool:
        """Say whether the tick that comes now ends a full hour."""
        next_ms = self.clock.now_ms + self.clock.tick_ms
        self._asked = next_ms >= self._since_ms and next_ms % round(HOUR_S * 1000) < self.clock.tick_ms
        return self._asked

    def note(self) -> None:
        """Keep what the last tick measured, if it was asked to."""
        if self._asked:
            self._live_b.append(self.clock.fleet.heap_b.copy())

    def kpi(self) -> dict[str, Any]:
        """Largest live heap of any controller, and the most that any grew from the first to the last day."""
        if len(self._live_b) < 2:
            return {}
        live = np.array(self._live_b)
        day = min(24, len(live) // 2)
        growth = live[-day:].max(axis=0) - live[:day].max(axis=0)
        return {"heap_live_largest_b": int(live.max()), "heap_growth_largest_b": int(growth.max())}


def record(clock: Lockstep, run: TownRun, since_s: float) -> Recording:
    """Attach a recording to the clock; what happens before since_s is discarded."""
    recording = Recording(tuple(run.town.substations.id), since_s=since_s)
    dt_s = clock.tick_ms / 1000.0
    clock.recorders.append(lambda c: recording.tick(c.now_ms / 1000.0, dt_s, run.plant))
    return recording


def polls(supervisor: Supervisor) -> dict[str, int]:
    """Return the supervisor's own count of poll slots due, lost and missed, summed over its controllers."""
    with urllib.request.urlopen(f"{supervisor.address}/metrics", timeout=30.0) as answer:
        lines = answer.read().decode().splitlines()
    sums = dict.fromkeys(("due", "lost", "missed"), 0)
    for line in lines:
        for name in sums:
            if line.startswith(f"toplovod_field_{name}_total{{"):
                sums[name] += round(float(line.rsplit(" ", 1)[1]))
    return {f"polls_{name}": count for name, count in sums.items()}


def _coordinate_by_itself(site: Path) -> None:
    """Set the coordinator of the run's own site file to automatic."""
    text = site.read_text(encoding="utf-8")
    if "[coordinator]" not in text:
        text += "\n[coordinator]\n"
    lines = [line for line in text.splitlines() if not line.startswith("mode = ")]
    lines.insert(lines.index("[coordinator]") + 1, 'mode = "automatic"')
    site.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _result(recording: Recording, heaps: Heaps, started: float, keep: Path | None) -> dict[str, Any]:
    if keep is not None:
        recording.save(keep)
    return {
        "kpi": recording.kpi() | heaps.kpi(),
        "sha256": heaps.clock.sha256,
        "wall_s": round(time.monotonic() - started, 1),
    }


def bundle_digest() -> str:
    """Return the digest of the firmware bundle as it would be shipped now."""
    with run_folder("digest") as folder:
        return firmware_sha256(firmware_bundle(folder / "bundle"))


def provenance(plan: Plan) -> dict[str, Any]:
    """Name everything a result was made from, so that it can be told from another."""
    return {
        **asdict(plan),
        "firmware_sha256": bundle_digest(),
        "map_hash": f"{registers.map_hash():08x}",
        "plant_version": plant_version(),
        "command": f"toplovod hil run week --site {plan.town} --seed {plan.seed}",
    }


def run_week(plan: Plan, folder: Path, progress: Progress) -> dict[str, Any]:
    """Search the rival, run both weeks side by side on two cores, and write week.json into folder.

    A finished part is kept in folder and not run again while everything it was made from is the same.
    Raises KeyboardInterrupt on SIGTERM and SIGHUP too; then neither week runs on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    origin = provenance(plan)
    path = folder / WEEK_FILE
    week = kept.resumed(path, RESULT_FORMAT, origin, progress)
    with contextlib.ExitStack() as stack:
        stack.enter_context(signals_as_ctrl_c())
        rival = None
        if "lowest_constant_dp" not in week:
            rival = stack.enter_context(Beside("the week at constant pressure", _rival, plan, folder, origin))
        if "coordinated" not in week:
            week["coordinated"] = run_coordinated(plan, folder / "coordinated.npz", progress)
            kept.save(path, week)
        if rival is not None:
            progress("waiting for the week at constant pressure")
            week["lowest_constant_dp"] = rival.result()
            kept.save(path, week)
    if "rooms_beside" not in week:
        week["rooms_beside"] = rooms_beside(folder / "coordinated.npz", folder / "constant.npz")
        kept.save(path, week)
    return week


def rooms_beside(coordinated: Path, constant: Path) -> dict[str, Any]:
    """Compare every room of the coordinated week with the same room of the other, from the kept samples.

    A room that stays at the level its own curve gives is in comfort, wherever that level is; what counts is
    what coordination took from it. Return the mean difference, the largest loss in K with its house and its
    hour, and the house-hours that any room was more than the limit `room-drop` colder.
    """
    with np.load(coordinated) as ours, np.load(constant) as rival:
        if ours["houses"].tolist() != rival["houses"].tolist():
            raise ValueError(f"{coordinated} and {constant} are of different houses")
        size = min(ours["time_s"].size, rival["time_s"].size)
        lost_k = rival["house_room_temp_c"][:size] - ours["house_room_temp_c"][:size]
        at, house = np.unravel_index(int(lost_k.argmax()), lost_k.shape)
        sample_h = SAMPLE_S / 3600.0
        return {
            "room_mean_difference_k": -float(lost_k.mean(dtype=float)),
            "room_lost_largest_k": float(lost_k[at, house]),
            "room_lost_house": str(ours["houses"][house]),
            "room_lost_hour": float(ours["time_s"][at] - ours["time_s"][0]) / 3600.0,
            "room_lost_limit_k": ROOM_DROP_K,
            "house_hours_lost": float((lost_k > ROOM_DROP_K).sum()) * sample_h,
        }


def _rival(plan: Plan, folder: Path, origin: dict[str, Any]) -> dict[str, Any]:
    # the coordinated week waits for one answer after another; this one fills what that leaves of both cores
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return kept_rival(
        folder / RIVAL_FILE,
        origin,
        lambda: _search(plan),
        lambda bar: run_constant(plan, bar, folder / "constant.npz"),
    )


def kept_rival(
    path: Path,
    origin: dict[str, Any],
    search: Callable[[], list[Coldest]],
    run: Callable[[float], dict[str, Any]],
    say: Progress = lambda line: None,
) -> dict[str, Any]:
    """Search and run the rival; each is kept in path, and not done again while its origin is the same."""
    part = kept.resumed(path, RESULT_FORMAT, origin, say)
    if "search" not in part:
        part["search"] = [asdict(t) | {"served": t.served} for t in search()]
        kept.save(path, part)
    if "run" not in part:
        lowest = min(t["plant_dp_bar"] for t in part["search"] if t["served"])
        part["run"] = {**run(lowest), "plant_dp_bar": lowest}
        kept.save(path, part)
    return {**part["run"], "search": part["search"]}


def _search(plan: Plan) -> list[Coldest]:
    with run_folder("limits") as scratch:
        config = Town.load(town_folder(plan.town, scratch)).controller_config
    limits = next(values for values in config.values() if "plant_dp_maximum_bar" in values)
    before = (load_week(EXAMPLES / plan.town / WEEK_FILE) or {}).get("lowest_constant_dp", {})
    return lowest_constant_dp(
        plan,
        limits["plant_dp_minimum_bar"],
        limits["plant_dp_maximum_bar"],
        lambda line: None,
        near_bar=before.get("plant_dp_bar"),
    )


def load_week(path: Path) -> dict[str, Any] | None:
    """Return a kept result, None where there is none that can be read."""
    return kept.load(path, RESULT_FORMAT)
