"""The whole application in one controller for weeks of virtual time: its heap, its loop and its tasks.

Two heating circuits, schedules, limiters, hot water, four Modbus masters, orders renewed as the supervisor
renews them. Run it as `python -m hil_tests.whole_application --days 30` (`make soak`). It refuses to pass a
run in which the live heap grows or falls to pieces after its first day, a task was begun again or the board
was reset.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from firmware.substation import order_frame, registers

from .acceptance import limit
from .bench.controller import Controller
from .bench.station import Bench

POINTS = registers.BY_NAME
PT = {"kind": "pt1000"}
WEEK = {"mon-fri": ["06:00-22:00"], "sat-sun": ["07:00-23:00"]}
SETTINGS: dict[str, Any] = {
    "heating_circuits": 2, "schedule": WEEK, "schedule2": WEEK, "room_influence_pct": 200,
    "contract_heat_limit_kw": 60, "return_difference_limit_k": 15, "dhw": "instantaneous",
    "inputs": {
        "secondary2_supply_temp_c": {"channel": 8, **PT},
        "secondary2_return_temp_c": {"channel": 9, **PT},
        "dhw_supply_temp_c": {"channel": 10, **PT},
        "dhw_flow_m3_h": {"channel": 11, "kind": "4-20ma", "span": 4},
    },
}  # fmt: skip
HEAP = "192k"
MASTERS = 4
POLL_S = 10
RENEW_S = 900
LEEWAY_B = limit("heap-growth")
GOAL_LIVE_B, GOAL_FREE_BLOCK_B = limit("live-heap-goal"), limit("free-block-goal")  # told and not judged


@dataclass
class Soak:
    """What a run came to. live_b and free_block_b: after a collection, at the end of every hour."""

    days: float
    live_b: list[int] = field(default_factory=list)
    free_block_b: list[int] = field(default_factory=list)
    polls: int = 0
    orders: int = 0
    loop_time_max_ms: int = 0
    resets: int = 0
    task_restarts: int = 0
    wall_s: float = 0.0

    @property
    def _settling(self) -> int:
        """Hours of the first day, or of the first half of a shorter run."""
        return min(24, max(1, len(self.live_b) // 2))

    @property
    def settled_b(self) -> int:
        """The most that was live while it settled."""
        return max(self.live_b[: self._settling])

    @property
    def whole_b(self) -> int:
        """The least that the largest free block was while it settled."""
        return min(self.free_block_b[: self._settling])

    @property
    def faults(self) -> list[str]:
        """Why the run did not pass; empty when it did."""
        found = []
        if max(self.live_b) > self.settled_b + LEEWAY_B:
            found.append(f"the heap grew from {self.settled_b} to {max(self.live_b)} B")
        if min(self.free_block_b) < self.whole_b - LEEWAY_B:
            found.append(f"the largest free block fell from {self.whole_b} to {min(self.free_block_b)} B")
        if self.resets > limit("resets"):
            found.append(f"the board was reset {self.resets} times")
        if self.task_restarts > limit("task-restarts"):
            found.append(f"{self.task_restarts} tasks were begun again")
        return found

    def figures(self) -> dict[str, Any]:
        """Return everything as it is printed with --json."""
        return {
            **asdict(self),
            "settled_b": self.settled_b,
            "largest_live_b": max(self.live_b),
            "smallest_free_block_b": min(self.free_block_b),
            "faults": self.faults,
        }


def soak(
    folder: Path, days: float, *, heap: str = HEAP, told: Callable[[Soak], None] = lambda _: None
) -> Soak:
    """Run the controller for days of virtual time, calling told every hour of it."""
    began = time.monotonic()
    result = Soak(days)
    house = POINTS["primary_supply_temp_c"].address
    with Bench(folder, heap=heap) as bench:
        bench.plant.outdoor_temp_c = -5.0
        (controller,) = bench.start([("house-01", "substation", SETTINGS)])
        bench.run_for(60)
        # the fourth is the one that orders
        others = [controller.connect() for _ in range(MASTERS - 1)]
        masters = [*others, controller.client()]
        for hour in range(max(1, round(24 * days))):
            for _ in range(3600 // RENEW_S):
                _renew(controller)
                result.orders += 1
                for _ in range(RENEW_S // POLL_S):
                    bench.run_for(POLL_S)
                    for master in masters:
                        master.read_input(POINTS["outdoor_temp_c"].address, 63)
                        master.read_input(house, 65)
                    result.polls += 2 * MASTERS
            # a front passes every day, so that valves move and heating rests
            bench.plant.outdoor_temp_c = -5.0 + 18.0 * (hour % 24 >= 12)
            result.live_b += bench.measure_heap()
            result.free_block_b.append(int(bench.fleet.free_block_b[0]))
            told(result)
        result.loop_time_max_ms = int(controller.read("loop_time_max_ms"))
        result.resets = len(bench.fleet.resets(controller.position))
        result.task_restarts = int(controller.read("task_restart_count"))
        for master in others:
            master.close()
    result.wall_s = round(time.monotonic() - began, 1)
    return result


def _renew(controller: Controller) -> None:
    words = controller.order_words({"secondary_supply_temp_sp_c": 50.0}, lease_s=2 * RENEW_S)
    receipt = controller.write_order(words)
    if receipt.result not in (order_frame.ACCEPTED, order_frame.REFUSED_BUDGET):
        raise RuntimeError(f"the order was not taken: {order_frame.RESULTS[receipt.result]}")


def main(arguments: list[str] | None = None) -> int:
    """Run the soak from the command line; 0 passed, 1 not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=float, default=30.0, help="virtual days")
    parser.add_argument("--heap", default=HEAP, help="of the firmware; the bench's own modules get theirs")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    given = parser.parse_args(arguments)
    began = time.monotonic()

    def told(so_far: Soak) -> None:
        hours = len(so_far.live_b)
        if (hours % 12 == 0 and sys.stderr.isatty()) or hours % 72 == 0:
            passed_s = time.monotonic() - began
            left_s = passed_s * (24 * given.days / hours - 1)
            print(
                f"day {hours / 24:.1f} of {given.days:g}: {so_far.live_b[-1]} B live, largest free block "
                f"{so_far.free_block_b[-1]} B; {left_s / 60:.0f} min left",
                file=sys.stderr,
            )

    with tempfile.TemporaryDirectory() as temporary:
        result = soak(Path(temporary), given.days, heap=given.heap, told=told)
    figures = result.figures()
    if given.json:
        print(json.dumps(figures))
    else:
        for name in (
            "days", "settled_b", "largest_live_b", "smallest_free_block_b", "polls", "orders",
            "loop_time_max_ms", "resets", "task_restarts", "wall_s",
        ):  # fmt: skip
            print(f"{name:24} {figures[name]}")
        goals = (("largest_live_b", "<=", GOAL_LIVE_B), ("smallest_free_block_b", ">=", GOAL_FREE_BLOCK_B))
        for name, sign, goal in goals:
            reached = figures[name] <= goal if sign == "<=" else figures[name] >= goal
            print(f"goal: {name} {sign} {goal:g}: {'reached' if reached else 'missed'}")
    for fault in result.faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
