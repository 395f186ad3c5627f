"""How hot the tap is while it is opened, changed and shut: the shipped firmware on an emulated water heater.

A house in summer without circulation, so that nothing but the controller keeps its exchanger warm. The taps
go through the steps of the study (0.1, 0.2, 0.1, 0.3, 0.15 l/s), then rest for a night, and open once more.
Each actuator meets each tuning: the flow sensor with the right valve data, with wrong data, and no flow
sensor. The plant's own truth is judged, not what the controller measures. It refuses to add runs of different
firmware.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.substation import registers

from ..acceptance import limit
from ..bench import kept
from ..bench.ending import run_folder
from ..bench.errors import WrongUse
from ..bench.house_fleet import HouseFleet
from ..bench.lockstep import Lockstep
from ..bench.plant.whole_house import RELAYS, WholeHouse, settings
from ..bench.plant.year_weather import HOURS, YearWeather
from ..bench.plant_version import plant_version
from ..bench.provisioning import Ports, firmware_bundle, firmware_sha256, provision
from ..year import HEAP

FORMAT = "toplovod-dhw/1"
RESULT = "dhw.json"
OUTDOOR_C = 20.0  # the network's supply is 70 degC then [domain.md 4.2]
HEATER_KG_S = 0.3  # the largest step of the sequence
PLATES = 1.9  # 56 kW beside the 30 kW that the exchanger's masses are given for
SETTLE_S = 1_800.0  # from power on: end stop found, exchanger warm
STEP_S = 180.0
FLOWS_KG_S = (0.1, 0.2, 0.1, 0.3, 0.15)  # [hil.md 3]
REST_S = 600.0
NIGHT_S = 8 * 3_600.0  # [hil.md A2]
MORNING_KG_S, MORNING_S = 0.1, 120.0
WANTED_C = 55.0  # the firmware's default
TICK_MS = 200
TRACE_S = 1.0
REPORT_S = 300.0
END_S = 30.0  # what is called the end of a step
STROKES_S = (30, 60, 120)
# The valve's flow that the controller is told, beside what it has; None: it is not told what is drawn
TUNINGS: dict[str, float | None] = {
    "calibrated": 1.0,
    "valve_flow_25_pct_high": 1.25,
    "valve_flow_25_pct_low": 0.75,
    "no_flow_sensor": None,
}
LEVELS = {"III": limit("dhw-band-3"), "II": limit("dhw-band-2"), "I": limit("dhw-band-1")}
"""Deviation at the tap, K."""
USEFUL_S = {"III": limit("dhw-useful-3"), "II": limit("dhw-useful-2"), "I": limit("dhw-useful-1")}
"""Until the temperature of use, s: bath and shower."""
BATH_C, KITCHEN_C, SCALD_C = limit("dhw-use-bath"), limit("dhw-use-kitchen"), limit("dhw-hot")

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What decides a result, beside actuator and tuning."""

    seed: int = 1
    tick_ms: int = TICK_MS
    heap: str = HEAP
    night_s: float = NIGHT_S


class StepTaps:
    """Shut, the steps, shut for a while and a night, open once more; the first step begins at `first_s`."""

    def __init__(self, first_s: float, night_s: float) -> None:
        self.first_s = first_s
        self.shut_s = first_s + STEP_S * len(FLOWS_KG_S)
        self.morning_s = self.shut_s + REST_S + night_s
        self.end_s = self.morning_s + MORNING_S

    def flow_kg_s(self, local_s: float) -> float:
        """Return what is drawn at a second."""
        if self.first_s <= local_s < self.shut_s:
            return FLOWS_KG_S[int((local_s - self.first_s) // STEP_S)]
        return MORNING_KG_S if self.morning_s <= local_s < self.end_s else 0.0


class Trace:
    """What left the heater at every tick, and what its valve did for it."""

    def __init__(self, house: WholeHouse) -> None:
        self._house = house
        self._rows: list[tuple[float, ...]] = []

    def note(self, _clock: object) -> None:
        """Keep this tick."""
        house = self._house
        starts = house.count.starts
        self._rows.append(
            (
                house.local_s, house.drawn_kg_s, house.dhw_supply_c, float(house.dhw.valves.position[0]),
                float(house.dhw.valves.travel[0]), starts[_OPEN] + starts[_CLOSE],
            )
        )  # fmt: skip

    def columns(self) -> dict[str, FloatArray]:
        """Return time_s, drawn_kg_s, tap_c, position, travel and starts, each by tick."""
        names = ("time_s", "drawn_kg_s", "tap_c", "position", "travel", "starts")
        return dict(zip(names, np.array(self._rows).T, strict=True))


_OPEN, _CLOSE = RELAYS.index("dhw_open"), RELAYS.index("dhw_close")


def run_case(
    stroke_s: int, tuning: str, plan: Plan, bundle: Path, told: Callable[[float], None] = lambda _: None
) -> dict[str, Any]:
    """Run one actuator with one tuning. told: is given the share done, every five virtual minutes."""
    taps = StepTaps(SETTLE_S, plan.night_s)
    house = WholeHouse(
        YearWeather([OUTDOOR_C] * HOURS), 0.0, plan.seed, taps=taps, dhw_kg_s=HEATER_KG_S,
        dhw_stroke_s=float(stroke_s), plates=PLATES, loop_kg_s=0.0,
    )  # fmt: skip
    trace = Trace(house)
    with run_folder("dhw") as folder, contextlib.ExitStack() as stack:
        ports = Ports()
        stack.callback(ports.close)
        device = provision(
            folder / "devices", bundle, "house", registers.SUBSTATION, ports.take(), seed=plan.seed,
            settings=site(house, TUNINGS[tuning]),
        )  # fmt: skip
        fleet = HouseFleet(device.board, house, seed=plan.seed, heap=plan.heap)
        clock = stack.enter_context(Lockstep(house, fleet, tick_ms=plan.tick_ms))
        clock.recorders.append(trace.note)
        clock.power_on()
        while taps.end_s - house.time_s > plan.tick_ms / 2000.0:
            clock.run_for(min(REPORT_S, taps.end_s - house.time_s))
            told(house.time_s / taps.end_s)
        result = figures(trace.columns(), taps)
        return result | {
            "stroke_s": stroke_s, "tuning": tuning, "sha256": clock.sha256,
            "relays_sha256": fleet.further_sha256, "resets": len(fleet.resets(0)),
        }  # fmt: skip


def site(house: WholeHouse, told_share: float | None) -> dict[str, Any]:
    """The house's settings without circulation, and of the limiters with the primary return's alone.

    told_share: the valve's flow that the controller is told over what it has; None takes its flow sensor.
    """
    chosen = settings(house)
    for name in ("contract_flow_limit_m3_h", "contract_heat_limit_kw", "return_difference_limit_k"):
        del chosen[name]
    inputs = dict(chosen["inputs"])
    del inputs["dhw_circulation_temp_c"]
    if told_share is None:
        del inputs["dhw_flow_m3_h"]
    else:
        chosen["dhw_valve_flow_m3_h"] = round(house.dhw_kvs_m3_h * told_share, 3)
    return chosen | {"inputs": inputs}


def figures(columns: dict[str, FloatArray], taps: StepTaps) -> dict[str, Any]:
    """Every step, what the rest and the night did, the opening after it, and the level that was reached."""
    time_s = columns["time_s"]
    edges = [taps.first_s + STEP_S * i for i in range(len(FLOWS_KG_S) + 1)]
    steps = [
        _step(columns, FLOWS_KG_S[i - 1] if i else 0.0, FLOWS_KG_S[i], edges[i], edges[i + 1])
        for i in range(len(FLOWS_KG_S))
    ]
    shut = _between(columns, taps.shut_s, taps.morning_s)
    changes = steps[1:]
    every = max(1, round(TRACE_S / float(time_s[1] - time_s[0])))
    drawn = _between(columns, taps.first_s - 30.0, taps.shut_s + 60.0)
    return {
        "steps": steps,
        "morning": _opening(columns, taps.morning_s, taps.end_s),
        "rest_strokes_day": float(shut["travel"][-1] - shut["travel"][0])
        / (taps.morning_s - taps.shut_s) * 86_400.0,
        "rest_starts_h": float(shut["starts"][-1] - shut["starts"][0])
        / (taps.morning_s - taps.shut_s) * 3_600.0,
        "hottest_c": max(step["hottest_c"] for step in steps),
        "over_65_longest_s": _longest(
            (columns["tap_c"] > SCALD_C) & (columns["drawn_kg_s"] > 0.0), float(time_s[1] - time_s[0])
        ),
        "dip_k": max(step["dip_k"] for step in changes),
        "rise_k": max(step["rise_k"] for step in changes),
        "level_never_left": _level({name: [step["outside_s"][name] for step in changes] for name in LEVELS},
                                   dict.fromkeys(LEVELS, 0.0)),
        "level_back_in_time": _level({name: [step["settled_s"][name] for step in changes] for name in LEVELS},
                                     USEFUL_S),
        "trace": {
            "time_s": np.round(drawn["time_s"][::every] - taps.first_s, 1).tolist(),
            "tap_c": np.round(drawn["tap_c"][::every], 2).tolist(),
            "position": np.round(drawn["position"][::every], 3).tolist(),
        },
    }  # fmt: skip


def _between(columns: dict[str, FloatArray], begin_s: float, end_s: float) -> dict[str, FloatArray]:
    # the tick that ends where the draw changes has run with the new draw
    inside = (columns["time_s"] >= begin_s - 1e-6) & (columns["time_s"] < end_s - 1e-6)
    return {name: values[inside] for name, values in columns.items()}


def _before(columns: dict[str, FloatArray], name: str, begin_s: float) -> float:
    return float(columns[name][columns["time_s"] < begin_s - 1e-6][-1])


def _step(
    columns: dict[str, FloatArray], before: float, flow: float, begin_s: float, end_s: float
) -> dict[str, Any]:
    part = _between(columns, begin_s, end_s)
    off = part["tap_c"] - WANTED_C
    dt_s = float(part["time_s"][1] - part["time_s"][0])
    return {
        "from_kg_s": before,
        "to_kg_s": flow,
        "dip_k": float(max(0.0, -off.min())),
        "rise_k": float(max(0.0, off.max())),
        "hottest_c": float(part["tap_c"].max()),
        "outside_s": {name: float((np.abs(off) > band).sum()) * dt_s for name, band in LEVELS.items()},
        "settled_s": {
            name: _last(part["time_s"] - begin_s + dt_s, np.abs(off) > band) for name, band in LEVELS.items()
        },
        "end_off_k": float(off[part["time_s"] > end_s - END_S].mean()),
        "strokes": float(part["travel"][-1] - _before(columns, "travel", begin_s)),
        "motor_starts": int(part["starts"][-1] - _before(columns, "starts", begin_s)),
        **({} if before else _opening(columns, begin_s, end_s)),
    }


def _opening(columns: dict[str, FloatArray], begin_s: float, end_s: float) -> dict[str, Any]:
    """How soon it is hot for good, from rest."""
    part = _between(columns, begin_s, end_s)
    since = part["time_s"] - begin_s + float(part["time_s"][1] - part["time_s"][0])
    return {
        "rested_c": _before(columns, "tap_c", begin_s),
        "coldest_c": float(part["tap_c"].min()),
        "hottest_c": float(part["tap_c"].max()),
        "bath_s": _last(since, part["tap_c"] < BATH_C),
        "kitchen_s": _last(since, part["tap_c"] < KITCHEN_C),
    }


def _last(since_s: FloatArray, bad: NDArray[np.bool_]) -> float:
    """When it was so for the last time, 0 for never."""
    return float(since_s[bad][-1]) if bad.any() else 0.0


def _longest(bad: NDArray[np.bool_], dt_s: float) -> float:
    """For how long it was so without a break."""
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False].astype(np.int8)))
    return float((edges[1::2] - edges[::2]).max()) * dt_s if edges.size else 0.0


def _level(seconds: dict[str, list[float]], allowed_s: dict[str, float]) -> str:
    """The best level whose seconds are all allowed, "none" when none is."""
    return next((name for name in LEVELS if max(seconds[name]) <= allowed_s[name]), "none")


def chosen(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return (tuning, stroke in s) of these cases, a tuning's name for all its; all for none. WrongUse."""
    every = [(tuning, stroke) for tuning in TUNINGS for stroke in STROKES_S]
    for name in names:
        if not any(name in (tuning, f"{tuning}/{stroke}") for tuning, stroke in every):
            known = ", ".join(TUNINGS)
            raise WrongUse(
                f"{name}: no such case; nothing was started. Known: {known}, each alone or with a stroke, "
                f"such as {every[0][0]}/{every[0][1]}"
            )
    return [(t, s) for t, s in every if not names or t in names or f"{t}/{s}" in names]


def run(
    plan: Plan, wanted: Sequence[tuple[str, int]], folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run cases of `chosen`; each is kept in `folder`/dhw.json as soon as it is done.

    What is kept there of the same firmware and plan is not run again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bundle = firmware_bundle(folder / "bundle")
    origin = {
        **asdict(plan),
        "firmware_sha256": firmware_sha256(bundle),
        "plant_version": plant_version(),
        "command": f"toplovod hil run dhw --seed {plan.seed}",
    }
    content = kept.resumed(folder / RESULT, FORMAT, origin, say)
    content.setdefault("cases", {})
    for number, (tuning, stroke) in enumerate(wanted, start=1):
        name = f"{tuning}/{stroke}"
        if name in content["cases"]:
            continue

        def told(share: float, number: int = number, name: str = name) -> None:
            say(f"{number}/{len(wanted)} {name}: {share:.0%}")

        content["cases"][name] = run_case(stroke, tuning, plan, bundle, told)
        kept.save(folder / RESULT, content)
    return content


def digest_of(content: dict[str, Any]) -> str:
    """One digest for all that the controllers and their plants did."""
    text = "".join(
        f"{name} {case['sha256']} {case['relays_sha256']}\n"
        for name, case in sorted(content["cases"].items())
    )
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> dict[str, Any] | None:
    """Return a kept result, None where there is none that can be read."""
    return kept.load(path, FORMAT)
