"""A scenario as an engineer writes it: what happens to a town, step by step, and what must come of it.

Files lie in `scenarios/`. A scenario has runs, each with stations of its own; a run has steps, each may
expect figures within limits of acceptance.yaml. It refuses a mistake before anything is started, by line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .acceptance import Limit, acceptance
from .bench.errors import WrongUse
from .reading_yaml import Mapped, Number, Reader, Rows, Text, Wanted, Words

FORMAT = "toplovod-scenario/1"
FOLDER = Path(__file__).parent / "scenarios"
LONG_RUNS = ("week", "year", "seasons", "dhw", "faults")  # what `hil run` knows besides these files
MOST_STATIONS = 500
SHIPPED, UNPROTECTED, IN_STEP = "shipped", "unprotected", "in_step"
PROTECTED, WATCHED = "protected", "watched"

FILE: Wanted = {
    "format": Text(),
    "title": Text(),
    "story": Text(),
    "facts": Rows(),
    "left_out": Words(optional=True),
    "stations": Number(1, MOST_STATIONS, whole=True),
    "runs": Rows(),
}
FACT: Wanted = {"fact": Text(), "source": Text()}
RUN: Wanted = {
    "name": Text(),
    "firmware": Text((SHIPPED, UNPROTECTED, IN_STEP)),
    "outdoor_temp_c": Number(-40, 40),
    "powered": Text(("yes", "no"), optional=True),
    "suction": Text((PROTECTED, WATCHED), optional=True),
    "steps": Rows(),
}
EXPECTATION: Wanted = {"figure": Text(), "limit": Text()}
COMMON: Wanted = {"do": Text(), "because": Text(optional=True), "expect": Rows(optional=True)}
MINUTES = Number(0.1, 14 * 1440)
# What each step may say beside `do`, `because` and `expect`, and the figures it gives.
STEPS: dict[str, Wanted] = {
    "run": {"for_min": MINUTES},
    "weather": {"outdoor_temp_c": Number(-40, 40), "over_min": MINUTES},
    "source": {"share_of_need": Number(0, 2), "for_min": MINUTES},
    "cycle_source": {
        "low_share_of_need": Number(0, 2),
        "high_share_of_need": Number(0, 2),
        "period_min": Number(1, 1440),
        "for_min": MINUTES,
    },
    "order": {"secondary_supply_temp_sp_c": Number(20, 90), "lease_min": Number(5, 60)},
    "switch_on": {"over_min": MINUTES},
    "power_failure": {"off_min": MINUTES, "for_min": MINUTES},
    "plain_writes": {"for_min": MINUTES, "again_min": MINUTES, "delay_s": Number(0, 60)},
    "stolen_keys": {"for_min": MINUTES, "again_min": MINUTES},
    "mass_restore": {"over_min": MINUTES, "within_min": MINUTES},
    "leak": {"side": Text(("supply", "return")), "share_of_flow": Number(0.01, 2), "for_min": MINUTES},
    "make_up": {"share_of_flow": Number(0, 5), "for_min": MINUTES},
    "repair": {"for_min": MINUTES},
}
WATER_STEPS = ("leak", "make_up", "repair")
# What these take as usual is what was recorded before them.
MEASURED_BEFORE = {
    "source": "need",
    "cycle_source": "need",
    **dict.fromkeys(WATER_STEPS, "usual flow"),
}
NO_TIME_PASSES = ("order",)
WITHOUT_POWER = ("run", "weather", "switch_on")
ALWAYS = (
    "lowest_room_c",
    "out_of_comfort",
    "out_of_comfort_share",
    "stopped_share",
    "supply_off_k",
    "least_heat_share",
    "index_dp_bar",
    "plant_dp_bar",
    "peak_flow_share",
    "flow_rise_share",
    "own_control_share",
)
WATER = (
    "lost_share",
    "suction_bar",
    "suction_end_bar",
    "index_dp_end_bar",
    "dry_turning_s",
    "state_told_s",
    "pump_state_number",
)
FIGURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(STEPS, ALWAYS),
    **dict.fromkeys(WATER_STEPS, (*ALWAYS, *WATER)),
    "plain_writes": (*ALWAYS, "refused_share", "altered"),
    "stolen_keys": (*ALWAYS, "altered"),
    "order": (*ALWAYS, "ordered_share"),
    "switch_on": (*ALWAYS, "begun_share_in_a_minute"),
    "power_failure": (*ALWAYS, "begun_share_in_a_minute"),
    "mass_restore": (
        *ALWAYS, "restored_share", "restore_min", "worst_supply_off_k", "begun_share_in_a_minute", "altered",
        "old_keys_refused_share",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Expectation:
    """A figure of a step and the limit it must keep."""

    figure: str
    limit: Limit


@dataclass(frozen=True)
class Step:
    """One thing that happens; `values` are its own keys."""

    do: str
    because: str
    values: dict[str, Any]
    expect: tuple[Expectation, ...]


@dataclass(frozen=True)
class Run:
    """Stations of one firmware from power-on through its steps."""

    name: str
    firmware: str
    outdoor_temp_c: float
    powered: bool
    steps: tuple[Step, ...]
    suction: str = ""
    """Whether the plant's controller sees its suction pressure (WATCHED) and acts by it (PROTECTED)."""


@dataclass(frozen=True)
class Scenario:
    """The whole file; `name` is that of the file."""

    name: str
    title: str
    story: str
    facts: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    stations: int
    runs: tuple[Run, ...]


def names() -> list[str]:
    """Return the scenarios that come with the bench."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(name: str) -> Path:
    """Return the file of a scenario given by its name or its path. WrongUse for neither."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    if name in names():
        return FOLDER / f"{name}.yaml"
    raise WrongUse(
        f"{name}: no such scenario; nothing was started. "
        f"Known: {', '.join((*LONG_RUNS, *names()))}, or a file .yaml"
    )


def read(path: Path) -> Scenario:
    """Return the scenario of a file. BadFile, naming the line, for whatever is wrong with it."""
    reader = Reader(path)
    content = reader.check(reader.load(FORMAT), FILE, "the scenario", 1)
    facts = []
    for fact in content["facts"]:
        reader.check(fact, FACT, "a fact", content.lines["facts"])
        facts.append((fact["fact"], fact["source"]))
    runs = tuple(_run(reader, run, content.lines["runs"]) for run in content["runs"])
    twice = [run.name for run in runs]
    if len(set(twice)) != len(twice):
        raise reader.bad(content.lines["runs"], "two runs have one name. Give each its own")
    return Scenario(
        path.stem,
        content["title"],
        content["story"].strip(),
        tuple(facts),
        tuple(content.get("left_out", ())),
        int(content["stations"]),
        runs,
    )


def _run(reader: Reader, run: Any, line: int) -> Run:
    reader.check(run, RUN, "a run", line)
    steps = tuple(_step(reader, step, run.lines["steps"]) for step in run["steps"])
    if sum(len(step.expect) for step in steps) == 0:
        raise reader.bad(
            run.line, f"run {run['name']} expects nothing, so it could not fail. Add expect to a step"
        )
    suction = run.get("suction", "")
    for step, row in zip(steps, run["steps"], strict=True):
        if step.do in WATER_STEPS and not suction:
            raise reader.bad(
                row.lines["do"],
                f"{step.do} needs the pressure before the pump. "
                f"Give the run suction: {PROTECTED} or {WATCHED}",
            )
    powered = run.get("powered", "yes") == "yes"
    _refuse_without_power(reader, run, steps, powered)
    _refuse_without_a_step_before(reader, run, steps)
    return Run(run["name"], run["firmware"], float(run["outdoor_temp_c"]), powered, steps, suction)


def _refuse_without_power(reader: Reader, run: Mapped, steps: tuple[Step, ...], powered: bool) -> None:
    for step, row in zip(steps, run["steps"], strict=True):
        powered = powered or step.do == "switch_on"
        if not powered and step.do not in WITHOUT_POWER:
            raise reader.bad(
                row.lines["do"],
                f"{step.do} needs stations with power, and none has any yet. Put a step switch_on before it, "
                "or leave powered out of the run",
            )


def _refuse_without_a_step_before(reader: Reader, run: Mapped, steps: tuple[Step, ...]) -> None:
    """Refuse a step whose measure nothing has been recorded of: it would be judged against zero."""
    recorded = False
    for step, row in zip(steps, run["steps"], strict=True):
        if step.do in MEASURED_BEFORE and not recorded:
            raise reader.bad(
                row.lines["do"],
                f"{step.do} takes the {MEASURED_BEFORE[step.do]} from what was recorded before it, and "
                "nothing was. Put a step run first",
            )
        recorded = recorded or step.do not in NO_TIME_PASSES


def _step(reader: Reader, step: Any, line: int) -> Step:
    if not isinstance(step, Mapped) or "do" not in step:
        raise reader.bad(getattr(step, "line", line), f"a step has no do. Give it one of {', '.join(STEPS)}")
    do = step["do"]
    if not isinstance(do, str) or do not in STEPS:
        raise reader.bad(step.lines["do"], f"do is {do}. Give one of {', '.join(STEPS)}")
    reader.check(step, {**COMMON, **STEPS[do]}, f"step {do}", line)
    limits = acceptance().limits
    expect = []
    for row in step.get("expect", ()):
        reader.check(row, EXPECTATION, "an expectation", step.lines.get("expect", step.line))
        if row["figure"] not in FIGURES[do]:
            raise reader.bad(
                row.lines["figure"],
                f"{do} gives no figure {row['figure']}. It gives {', '.join(FIGURES[do])}",
            )
        if row["limit"] not in limits:
            raise reader.bad(
                row.lines["limit"], f"acceptance.yaml has no limit {row['limit']}. Known: {', '.join(limits)}"
            )
        expect.append(Expectation(row["figure"], limits[row["limit"]]))
    if do == "mass_restore" and step["over_min"] > step["within_min"]:
        raise reader.bad(
            step.lines["over_min"],
            f"over_min is {step['over_min']:g}: the last stations would be given back after within_min, "
            f"{step['within_min']:g}. Give no more than that",
        )
    values = {key: value for key, value in step.items() if key in STEPS[do]}
    return Step(do, step.get("because", ""), values, tuple(expect))
