"""A year of real weather for one house, in slices: the shipped firmware in its VM, closed loop with the
plant.

Two circuits, instantaneous DHW and its circulation (`bench/plant/whole_house.py`), the controller by itself
on its own curves; somebody tells it the time once a day. A slice is some days of the calendar behind a
warm-up of its own, so slices run side by side, a run that is cut goes on with those it lacks, and the order
spreads them over the seasons: half a run is half of every season. It refuses to add slices of different
firmware, weather or seed.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core_ext.simd import LEVEL
from firmware.substation import registers

from .acceptance import limit
from .bench import kept
from .bench.beside import Beside, BesideFailed
from .bench.controller import Controller
from .bench.ending import run_folder, signals_as_ctrl_c
from .bench.house_fleet import HouseFleet
from .bench.lockstep import TICK_MS, Lockstep
from .bench.plant.draw_offs import DAY_S, DrawOffs
from .bench.plant.whole_house import PUMPS, RELAYS, SAMPLE_S, SERIES, VALVES, WholeHouse, settings
from .bench.plant.year_weather import HOURS, SOURCE, YearWeather
from .bench.plant_version import plant_version
from .bench.provisioning import Ports, firmware_bundle, firmware_sha256, provision

YEAR = 2027  # ours: the weather has none; its 1 January is a Friday, and it is no leap year
DAYS = HOURS // 24
SLICE_DAYS = 14
WARM_UP_S = 12 * 3600
LOOK_S = 600  # between two looks at the controller's registers
SETTLE_S = 20.0  # after power-on, before the time is told
# More than the 192k of the project's goal: everything at once does not boot in that (docs/memory.md).
HEAP = "240k"
FORMAT = "toplovod-year/1"
YEAR_FILE = "year.json"
UNIX_S = (
    int((date(YEAR, 1, 1) - date(1970, 1, 1)) / timedelta(seconds=1)) - 3600
)  # 0:00 Central European Time
COMFORT = (("06:00", "22:00"), ("07:00", "23:00"))  # working days, weekend: as in the house's settings
ROOM_C = 20.0  # what both circuits' rooms are set to
COLD_BELOW_C, WARM_ABOVE_C = ROOM_C - limit("control-accuracy"), ROOM_C + limit("control-accuracy")
SEASONS = {
    "winter": (0, 59),
    "spring": (59, 151),
    "summer": (151, 243),
    "autumn": (243, 334),
}  # days of the year
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is run: everything that decides the result, but for how it is cut off."""

    seed: int = 1
    slice_days: float = SLICE_DAYS
    warm_up_s: int = WARM_UP_S
    tick_ms: int = TICK_MS
    draw_offs: str = "M"
    """The load profile of the taps: S, M, L or XL."""
    heap: str = HEAP


def pieces(first_day: int, days: int, slice_days: int = SLICE_DAYS) -> list[tuple[int, int]]:
    """Return (first day, days) of each slice, in the order in which they are run.

    A slice's place in the order is its number with the bits turned around: 0, middle, quarters, eighths.
    """
    if slice_days < 1:
        raise ValueError(
            f"slices of {slice_days} days; nothing was started. Ask for at least one day: --slice-days 1"
        )
    if not 0 <= first_day < DAYS or not 1 <= days <= DAYS - first_day:
        raise ValueError(
            f"{days} days from day {first_day}: a year has days 0 to {DAYS - 1}; nothing was started. "
            f"Ask for at most {DAYS - max(0, min(first_day, DAYS - 1))} days from there"
        )
    starts = list(range(first_day, first_day + days, slice_days))
    bits = max(1, math.ceil(math.log2(len(starts))))
    order = sorted(range(len(starts)), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [(starts[i], min(slice_days, first_day + days - starts[i])) for i in order]


def day_of(text: str) -> int:
    """Return the day of the year, from 0, of MM-DD. ValueError when it is none."""
    try:
        month, day = text.split("-")
        return (date(YEAR, int(month), int(day)) - date(YEAR, 1, 1)).days
    except ValueError:
        raise ValueError(
            f"{text!r} is no day of the year; nothing was started. Write month and day, as 03-21"
        ) from None


def day_name(day: int) -> str:
    """Return MM-DD of a day of the year."""
    return (date(YEAR, 1, 1) + timedelta(days=day)).strftime("%m-%d")


def season_weeks(weather: YearWeather) -> dict[str, int]:
    """Return the first day of a representative week of each season.

    The coldest of winter and the warmest of summer; of spring and autumn the one whose mean is nearest the
    season's.
    """
    daily = np.array(weather.hourly_c).reshape(-1, 24).mean(axis=1)
    chosen = {}
    for name, (first, end) in SEASONS.items():
        weeks = {day: float(daily[day : day + 7].mean()) for day in range(first, end - 6)}
        wanted = {"winter": -math.inf, "summer": math.inf}.get(name, float(daily[first:end].mean()))
        if math.isinf(wanted):
            chosen[name] = (min if wanted < 0 else max)(weeks, key=lambda day, of=weeks: of[day])  # type: ignore[misc]
        else:
            chosen[name] = min(weeks, key=lambda day, of=weeks: abs(of[day] - wanted))  # type: ignore[misc]
    return chosen


def comfort_now(local_s: float) -> bool:
    """Say whether the house's schedule has comfort at a second of the year."""
    day, second = divmod(local_s, DAY_S)
    begin, end = COMFORT[(date(YEAR, 1, 1).weekday() + int(day)) % 7 >= 5]
    return _second(begin) <= second < _second(end)


def _second(clock: str) -> int:
    return 3600 * int(clock[:2]) + 60 * int(clock[3:])


def run_slice(
    plan: Plan,
    first_s: float,
    span_s: float,
    keep: Path | None = None,
    bundle: Path | None = None,
    told: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Run span_s from a second of the year, behind the warm-up, and return its figures.

    keep: where the samples go. told: is given the share done, about every ten virtual minutes.
    """
    began, cpu_began = time.monotonic(), os.times()
    taps = DrawOffs(plan.seed, plan.draw_offs)
    house = WholeHouse(YearWeather.read(), first_s - plan.warm_up_s, plan.seed, taps=taps)
    with run_folder("year") as folder, contextlib.ExitStack() as stack:
        ports = Ports()
        stack.callback(ports.close)
        device = provision(
            folder / "devices", bundle or firmware_bundle(folder / "bundle"), "house", registers.SUBSTATION,
            ports.take(), seed=plan.seed, settings=settings(house),
        )  # fmt: skip
        fleet = HouseFleet(device.board, house, seed=plan.seed, heap=plan.heap)
        clock = stack.enter_context(Lockstep(house, fleet, tick_ms=plan.tick_ms))
        clock.power_on()
        controller = Controller(device, 0, clock.note_bus)
        stack.callback(controller.disconnect)
        clock.run_for(SETTLE_S)
        tell_time(controller, house)
        clock.run_for(plan.warm_up_s - house.time_s)
        house.begin()
        heap_start = _heap(clock)
        energy_start = float(controller.read("primary_energy_kwh"))
        alarm_looks = dict.fromkeys(registers.ALARM_BITS, 0)
        looks = 0
        end_s = house.time_s + span_s
        while house.time_s < end_s:
            clock.run_for(min(LOOK_S, end_s - house.time_s))
            looks += 1
            bits = int(controller.read("alarm_bits"))
            for bit, name in enumerate(registers.ALARM_BITS):
                alarm_looks[name] += bits >> bit & 1
            if house.local_s % DAY_S < LOOK_S:
                tell_time(controller, house)
            told(1.0 - (end_s - house.time_s) / span_s)
        result = _figures(house, first_s)
        result |= {
            "first_s": first_s,
            "span_s": span_s,
            "controller_kwh": float(controller.read("primary_energy_kwh")) - energy_start,
            "legionella_result": int(controller.read("legionella_result_number")),
            "alarm_looks": {name: count for name, count in alarm_looks.items() if count},
            "looks": looks,
            "heap_start_b": heap_start,
            "heap_end_b": _heap(clock),
            "resets": len(fleet.resets(0)),
            "task_restarts": int(controller.read("task_restart_count")),
            "simd_level": LEVEL,  # decides the last bits
            "loop_time_max_ms": int(controller.read("loop_time_max_ms")),
            "sha256": clock.outputs_sha256,
            "bus_and_outputs_sha256": clock.sha256,
            "relays_sha256": fleet.further_sha256,
        }
    used = os.times()
    result["wall_s"] = round(time.monotonic() - began, 1)
    result["cpu_s"] = round(sum(used[:4]) - sum(cpu_began[:4]), 1)
    if keep is not None:
        np.savez_compressed(keep, series=np.array(house.series, dtype=np.float32))
    return result


def tell_time(controller: Controller, house: WholeHouse) -> None:
    """Tell the controller what the house's calendar says. RuntimeError where it does not take it."""
    receipt = controller.order(lease_s=0, unix_time_set_s=UNIX_S + int(house.local_s))
    if receipt.result != 1:
        raise RuntimeError(f"the time was not taken: {receipt}")


def _heap(clock: Lockstep) -> int:
    clock.step(measure_heap=True)
    return int(clock.fleet.heap_b[0])


def _figures(house: WholeHouse, first_s: float) -> dict[str, Any]:
    """Everything of the plant's that adds up over slices, and the extremes."""
    count = house.count
    series = np.array(house.series)
    columns = {name: series[:, i] for i, name in enumerate(SERIES)}
    # a sample is what was at the end of its ten minutes
    comfort = np.array([comfort_now(first_s + SAMPLE_S * (i + 1)) for i in range(len(series))])
    sample_h = SAMPLE_S / 3600.0
    heated = columns["outdoor_c"] < 15.0  # the circuits' summer cut-off
    rooms = {}
    for name in ("room_c", "room2_c"):
        room = columns[name]
        rooms[name] = {
            "cold_kh": float(np.maximum(COLD_BELOW_C - room, 0.0)[comfort].sum() * sample_h),
            "cold_h": float((room < COLD_BELOW_C)[comfort].sum() * sample_h),
            "warm_kh": float(np.maximum(room - WARM_ABOVE_C, 0.0)[heated].sum() * sample_h),
            "coldest_c": float(room.min()),
            "warmest_heated_c": float(room[heated].max()) if heated.any() else None,
        }
    strokes = house.strokes()
    starts = dict(zip(RELAYS, count.starts, strict=True))
    return {
        "outdoor_kh": float(columns["outdoor_c"].sum() * sample_h),
        "comfort_h": float(comfort.sum() * sample_h),
        "heated_h": float(heated.sum() * sample_h),
        "rooms": rooms,
        "volume_m3": count.volume_m3,
        "return_m3_k": count.return_m3_k,
        "plant_kwh": count.plant_j / 3.6e6,
        "heating_kwh": count.heating_j / 3.6e6,
        "dhw_kwh": count.dhw_j / 3.6e6,
        "meter_kwh": house.meter.energy_wh / 1e3,
        "draws": count.draws,
        "draw_s": count.draw_s,
        "below_45_s": count.below_45_s,
        "below_50_s": count.below_50_s,
        "coldest_drawn_c": count.coldest_drawn_c if count.draw_s else None,
        "over_65_s": count.over_65_s,
        "over_65_longest_s": count.over_65_longest_s,
        "strokes": strokes,
        "motor_starts": {name: sum(starts[RELAYS[i]] for i in pair) for name, pair in VALVES.items()},
        "pump_starts": {name: starts[RELAYS[i]] for name, i in PUMPS.items()},
        "relay_starts": starts,
        "starts_hour_most": count.starts_hour,
        "pump_h": {name: seconds / 3600.0 for name, seconds in count.pump_s.items()},
    }


def total(slices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add slices up: sums, extremes, and per-year figures of what was run. ValueError for none."""
    if not slices:
        raise ValueError("no slice has been run; there is nothing to add up")

    def added(*path: str) -> float:
        values: list[Any] = list(slices)
        for key in path:
            values = [value[key] for value in values]
        return float(sum(values))

    def most(values: Sequence[float | None], choose: Callable[[Sequence[float]], float]) -> float | None:
        known = [value for value in values if value is not None]
        return choose(known) if known else None

    days = added("span_s") / DAY_S
    meant = added("plant_kwh")
    kpi: dict[str, Any] = {
        "days": days,
        "outdoor_mean_c": added("outdoor_kh") / (24.0 * days),
        "return_by_volume_c": added("return_m3_k") / added("volume_m3"),
        "plant_kwh": meant,
        "heating_kwh": added("heating_kwh"),
        "dhw_kwh": added("dhw_kwh"),
        "meter_kwh": added("meter_kwh"),
        "controller_kwh": added("controller_kwh"),
        "meter_error_pct": 100.0 * (added("meter_kwh") / meant - 1.0),
        "controller_error_pct": 100.0 * (added("controller_kwh") / meant - 1.0),
        "draws": added("draws"),
        "dhw_below_45_pct": 100.0 * added("below_45_s") / max(1.0, added("draw_s")),
        "dhw_below_50_pct": 100.0 * added("below_50_s") / max(1.0, added("draw_s")),
        "dhw_coldest_c": most([s["coldest_drawn_c"] for s in slices], min),
        "dhw_over_65_s": added("over_65_s"),
        "dhw_over_65_longest_s": max(s["over_65_longest_s"] for s in slices),
        "alarm_share": {},
        "heap_largest_b": max(max(s["heap_start_b"], s["heap_end_b"]) for s in slices),
        "heap_growth_b": max(s["heap_end_b"] - s["heap_start_b"] for s in slices),
        "resets": added("resets"),
        "task_restarts": added("task_restarts"),
        "cpu_s": added("cpu_s"),
        "wall_s": added("wall_s"),
    }
    for name in ("room_c", "room2_c"):
        kpi |= {
            f"{name}_cold_pct": 100.0 * added("rooms", name, "cold_h") / max(1e-9, added("comfort_h")),
            f"{name}_cold_kh": added("rooms", name, "cold_kh"),
            f"{name}_warm_kh": added("rooms", name, "warm_kh"),
            f"{name}_coldest": most([s["rooms"][name]["coldest_c"] for s in slices], min),
        }
    for name in VALVES:
        starts = added("motor_starts", name)
        kpi |= {
            f"{name}_strokes_day": added("strokes", name) / days,
            f"{name}_starts_hour_most": max(s["starts_hour_most"][name] for s in slices),
            f"{name}_starts_day": starts / days,
            f"{name}_starts_year": starts / days * DAYS,
        }
    for name in PUMPS:
        kpi[f"{name}_starts_year"] = added("pump_starts", name) / days * DAYS
        kpi[f"{name}_running_pct"] = 100.0 * added("pump_h", name) / (24.0 * days)
    looks = added("looks")
    for s in slices:
        for name, count in s["alarm_looks"].items():
            kpi["alarm_share"][name] = kpi["alarm_share"].get(name, 0.0) + count / looks
    return kpi


def only(year: dict[str, Any], wanted: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a kept year with these of its slices alone, as far as they have been run."""
    slices = year["slices"]
    return {**year, "slices": {key: slices[key] for key in map(_key, wanted) if key in slices}}


def provenance(plan: Plan, firmware_sha256: str) -> dict[str, Any]:
    """Name everything that slices must have in common to be added up."""
    return {
        **asdict(plan),
        "firmware_sha256": firmware_sha256,
        "map_hash": f"{registers.map_hash():08x}",
        "plant_version": plant_version(),
        "weather": SOURCE,
        "year": YEAR,
    }


def load(path: Path) -> dict[str, Any] | None:
    """Return a kept year, None where there is none that can be read."""
    return kept.load(path, FORMAT)


def run(
    plan: Plan, wanted: Sequence[tuple[int, int]], folder: Path, progress: Progress, workers: int = 2
) -> dict[str, Any]:
    """Run the slices that folder lacks, `workers` at a time, and return year.json's content.

    Ctrl-C, SIGTERM and SIGHUP end it with KeyboardInterrupt; every slice that had ended is kept. Slices of
    other firmware, plant, weather, seed or plan are put aside under another name and not used. BesideFailed
    where a slice fails, when those beside it have ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / YEAR_FILE
    with run_folder("year") as scratch, signals_as_ctrl_c():
        bundle = firmware_bundle(scratch / "bundle")
        origin = provenance(plan, firmware_sha256(bundle))
        year = kept.resumed(path, FORMAT, origin, progress)
        year.setdefault("slices", {})
        left = [piece for piece in wanted if _key(piece) not in year["slices"]]
        clock = _Eta(sum(days for _, days in wanted), sum(days for _, days in left))
        queue = list(left)
        failed: BesideFailed | None = None
        running: list[tuple[tuple[int, int], Path, Beside, contextlib.ExitStack]] = []
        with contextlib.ExitStack() as everything:
            while queue or running:
                while queue and len(running) < workers:
                    piece = queue.pop(0)
                    mark = scratch / f"{_key(piece)}.share"
                    own = everything.enter_context(contextlib.ExitStack())
                    samples = folder / f"{_key(piece)}.npz"
                    beside = Beside(f"days {_key(piece)}", _slice_beside, plan, piece, samples, bundle, mark)
                    running.append((piece, mark, own.enter_context(beside), own))
                ended = next((row for row in running if row[2].wait(1.0 / len(running))), None)
                if ended is not None:
                    running.remove(ended)
                    try:
                        with ended[3]:
                            year["slices"][_key(ended[0])] = ended[2].result()
                        kept.save(path, year)
                    except BesideFailed as error:  # those beside it end first: they are worth an hour
                        failed = failed or error
                        queue.clear()
                progress(clock.line(
                    sum(days for first, days in left if _key((first, days)) in year["slices"])
                    + sum(piece[1] * _share(mark) for piece, mark, _, _ in running)
                ))  # fmt: skip
    if failed is not None:
        raise failed
    return year


class _Eta:
    def __init__(self, days: float, left: float) -> None:
        self._days, self._left, self._began = days, left, time.monotonic()

    def line(self, done: float) -> str:
        """One line of progress, with the time left once something can be said of it."""
        passed = time.monotonic() - self._began
        whole = self._days - self._left + done
        line = f"{whole:.1f} of {self._days:g} days"
        if done < 0.02:
            return line + ", time left not known yet"
        left_min = passed * (self._left - done) / done / 60.0
        return line + f", {left_min:.0f} min left, {done * DAY_S / passed:.0f} times life"


def _slice_beside(plan: Plan, piece: tuple[int, int], keep: Path, bundle: Path, mark: Path) -> dict[str, Any]:
    def told(share: float) -> None:
        mark.write_text(f"{share:.4f}")

    return run_slice(plan, piece[0] * DAY_S, piece[1] * DAY_S, keep, bundle, told)


def _share(mark: Path) -> float:
    try:
        return float(mark.read_text())
    except (OSError, ValueError):
        return 0.0


def _key(piece: tuple[int, int]) -> str:
    return f"{piece[0]:03d}+{piece[1]}"
