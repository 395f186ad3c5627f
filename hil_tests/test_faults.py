"""Fault cases on the bench: proved active, and the house does what the catalogue expects.

A fixed choice of the 336, one of each group that runs in a few seconds; all of them: make faults.
"""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from .bench.faults import mischief_faults, power_faults, sensor_faults, tcp_faults
from .bench.faults.both import both
from .bench.faults.case import ERROR, MET, NOT_MET, Plan, run
from .bench.faults.checks import ALL_GOES_ON, Check
from .bench.faults.injector import Injector, NotPossible, NotProven
from .bench.faults.rig import POINTS, FaultRig, Ohms
from .bench.faults.trace import EVERY_S
from .bench.plant_version import plant_version
from .faults.catalogue import chosen
from .faults.pairs import chosen_pairs

SHARE = (
    "sensors.open/winter/severe", "hydraulics.dp-surge/transition/severe", "meter.no-answer/summer/severe",
    "serial.bit-flip/transition/severe", "tcp.pipelining/winter/severe", "memory.blocking/transition/severe",
    "power.bit-rot/winter/severe", "power.while-moving/winter/mild", "memory.heap-exhaustion/winter/severe",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARE)
def test_a_case_is_proved_and_met(name: str, tmp_path: Path, firmware_bundle: Path) -> None:
    (case,) = chosen([name])
    result = run(
        name, case.type.plan(case.point, case.severe), case.point, tmp_path / "case", firmware_bundle
    )
    assert result.verdict == MET, result
    assert result.proven_s is not None and result.mended_s is not None and result.recovered_s is not None
    assert 0.0 <= result.proven_s <= result.mended_s
    times = [row[0] for row in result.trace]
    ended_s = result.mended_s + result.recovered_s
    assert times[0] == 0.0 and all(a < b for a, b in pairwise(times)) and ended_s - times[-1] < 2.0 * EVERY_S
    assert len(bytes.fromhex(result.device_id)) == 8 and result.plant_version == plant_version()


class Asleep(sensor_faults.Offset):
    """An injector that does nothing."""

    def change(self, ohm: Ohms) -> None:
        pass


PAIR = "hydraulics.dp-surge+tcp.pipelining"


@pytest.mark.slow
def test_two_faults_at_once_are_both_proved_and_survived(tmp_path: Path, firmware_bundle: Path) -> None:
    """One of the 1 540 pairs; all of them: make fault-pairs."""
    (pair,) = chosen_pairs([PAIR])
    result = run(pair.name, pair.plan(), pair.point, tmp_path / "case", firmware_bundle)
    assert result.verdict == MET, result
    assert "bar at the house" in result.proof and "requests in a segment" in result.proof


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seen"),
    [
        # an open sensor is not noisy to anybody before it is mended
        ("sensors.open+sensors.noise", r"no current flows; behind it, seen once it was mended: sigma \d"),
        # the first leaves no alarm, the second one that tells of it
        ("sensors.drift+memory.blocking", r"K after .*stands"),
        # one takes the power, the other has its connection then
        ("tcp.pipelining+power.brown-out", r"answers to \[.*boots"),
        # where no water flows nothing can be compared
        ("hydraulics.pump-trip+hydraulics.low-flow", r"seen once it was mended and this came anew: \d+% of"),
        # two on one sensor: less than no resistance is none
        ("sensors.short+sensors.slow", r"no voltage .*the pipe went"),
    ],
)
def test_two_faults_of_which_one_changes_what_is_seen_of_the_other(
    name: str, seen: str, tmp_path: Path, firmware_bundle: Path
) -> None:
    (pair,) = chosen_pairs([name])
    result = run(pair.name, pair.plan(), pair.point, tmp_path / "case", firmware_bundle)
    assert result.verdict == MET, result
    assert re.search(seen, result.proof), result.proof


@pytest.mark.slow
def test_a_pair_of_which_one_fault_is_not_there_is_an_error(tmp_path: Path, firmware_bundle: Path) -> None:
    there = Plan(lambda rig: sensor_faults.Open(rig, 0))
    absent = Plan(lambda rig: Asleep(rig, 1, 5.0), show_s=10.0)
    result = run("half", both(there, absent), "transition", tmp_path / "case", firmware_bundle)
    assert result.verdict == ERROR
    assert re.match(r"not proven: Asleep: [+-]0\.0\d K at the terminals", result.why), result.why


@pytest.mark.slow
def test_a_fault_that_is_not_there_is_an_error_and_no_verdict(tmp_path: Path, firmware_bundle: Path) -> None:
    plan = Plan(lambda rig: Asleep(rig, 0, 5.0), holds=ALL_GOES_ON, span_s=10.0)
    result = run("asleep", plan, "transition", tmp_path / "case", firmware_bundle)
    assert result.verdict == ERROR
    assert re.match(r"not proven: Asleep: [+-]0\.0\d K at the terminals", result.why), result.why


@pytest.mark.slow
def test_what_must_hold_holds_at_every_look(tmp_path: Path, firmware_bundle: Path) -> None:
    """A tenth of the span was let pass here once, and nobody was told."""
    looks = itertools.count()
    plan = Plan(
        lambda rig: sensor_faults.Offset(rig, 0, 5.0),
        holds=Check("so but once", lambda rig: next(looks) != 11),
        span_s=60.0,
    )
    result = run("once", plan, "summer", tmp_path / "case", firmware_bundle)
    assert (result.verdict, result.why) == (NOT_MET, "not so for 2 s: so but once")


@pytest.mark.slow
def test_what_comes_after_its_time_is_not_met(tmp_path: Path, firmware_bundle: Path) -> None:
    """The first look comes with the proof, and may be late already."""
    always = Check("whatever", lambda rig: True)
    plan = Plan(
        lambda rig: sensor_faults.Offset(rig, 0, 5.0),
        always, 10.0, always, 12.0, prove_s=14.0, span_s=20.0,
    )  # fmt: skip
    result = run("late", plan, "summer", tmp_path / "case", firmware_bundle)
    assert result.verdict == NOT_MET and (result.detected_s, result.reacted_s) == (14.0, 14.0)
    assert result.why == "not noticed within 10 s: whatever; not done within 12 s: whatever"


class HeapLeft(mischief_faults.HeapTaken):
    """Asks the board for nothing, or for the other severity's share of the heap."""

    def __init__(self, rig: FaultRig, bits: int) -> None:
        super().__init__(rig, severe=True)
        self._bits = bits


class NothingShredded(mischief_faults.HeapShredded):
    def __init__(self, rig: FaultRig) -> None:
        super().__init__(rig)
        self._bits = 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda rig: HeapLeft(rig, 0), r"[67]\d{4} B"),
        (lambda rig: HeapLeft(rig, mischief_faults.HOG), r"6\d{3} B"),
        (NothingShredded, r"[67]\d{4} B"),
    ],
)
def test_a_heap_that_is_not_taken_as_said_is_an_error(
    make: Callable[[FaultRig], mischief_faults.Mischief], left: str, tmp_path: Path, firmware_bundle: Path
) -> None:
    plan = Plan(make, holds=ALL_GOES_ON, span_s=10.0, show_s=8.0, wiring={"mischief": True})
    result = run("heap", plan, "summer", tmp_path / "case", firmware_bundle)
    assert result.verdict == ERROR
    assert re.match(rf"not proven: \w+: {left} of the heap are (left|free), \d+ B", result.why), result.why


@pytest.mark.slow
def test_a_counter_that_does_not_wrap_is_an_error(tmp_path: Path, firmware_bundle: Path) -> None:
    (case,) = chosen(["time.tick-wrap/summer/mild"])
    plan = case.type.plan(case.point, case.severe)
    plan.wiring = {**plan.wiring, "first_tick": 0}
    plan.show_s = 10.0
    result = run(case.name, plan, case.point, tmp_path / "case", firmware_bundle)
    assert result.verdict == ERROR
    assert re.match(r"not proven: TickWrap: its ticks from \d{7} to \d{7}, past 1073741824", result.why), (
        result
    )


class NewerOnly(power_faults.Torn):
    """Damages nothing: the newest records are taken, as a firmware would that believes every record."""

    def damaged(self, content: bytes) -> bytes:
        return content

    def prove(self) -> str:
        return "records as they were"


@pytest.mark.slow
def test_a_controller_that_takes_the_newest_records_is_not_met(tmp_path: Path, firmware_bundle: Path) -> None:
    (case,) = chosen(["power.torn-page/winter/mild"])
    plan = case.type.plan(case.point, case.severe)
    plan.inject = lambda rig: NewerOnly(rig, scrambled=False)
    result = run(case.name, plan, case.point, tmp_path / "case", firmware_bundle)
    assert result.verdict == NOT_MET
    told = "not noticed within 10 s: boots and heat are counted on from the generation before"
    assert result.why == told, result.why


class CutAtRest(power_faults.CutWhileMoving):
    """Cuts where the tick ends, as if that were enough."""

    def inject(self) -> None:
        super().inject()
        self.rig.clock.step()
        self.rig.restart()


@pytest.mark.slow
def test_a_cut_after_the_relay_is_no_cut_while_moving(tmp_path: Path, firmware_bundle: Path) -> None:
    plan = Plan(lambda rig: CutAtRest(rig, resets=False), holds=ALL_GOES_ON, span_s=10.0, show_s=4.0)
    result = run("late", plan, "summer", tmp_path / "case", firmware_bundle)
    assert result.verdict == ERROR
    assert re.search(r"gone at \d+ ms, 2 boot since", result.why), result.why


def test_power_cuts_on_a_chip_speak_the_words_of_the_bundle(tmp_path: Path, firmware_bundle: Path) -> None:
    """The shortest of its stories; the catalogue's take minutes."""
    with (
        FaultRig(tmp_path, firmware_bundle, POINTS["summer"]) as rig,
        power_faults.ChipCuts(rig, "migration") as cuts,
    ):
        assert re.match(r"migration: operations \d+ cuts \d+", cuts.prove())
        assert cuts.whole()


def test_a_target_that_cannot_do_it_is_told(tmp_path: Path, firmware_bundle: Path) -> None:
    with FaultRig(tmp_path, firmware_bundle, POINTS["summer"]) as rig:
        rig.capabilities = frozenset({"bus.tcp"})
        rig.target = "board:/dev/ttyACM0"
        with pytest.raises(
            NotPossible, match=r"Open: board:/dev/ttyACM0 has no clock.virtual, plant; nothing"
        ):
            sensor_faults.Open(rig, 0)
        assert rig.terminal_faults == []


class Unheard(tcp_faults.Crowd):
    """A crowd that believes it has come, and has not: it counts what the kernel does not know."""

    def each_tick(self) -> None:
        while len(self.open) < self._most:
            self.open.append(socket.socket())


class Talking(tcp_faults.Vanished):
    """Clients that are to say nothing, and ask."""

    def greet(self, link: socket.socket) -> None:
        link.sendall(tcp_faults.frame(1))


class Whole(tcp_faults.Loris):
    """A slow client whose bytes come to a whole request each time."""

    def each_tick(self) -> None:
        super().each_tick()
        for link in self.open:
            link.sendall(tcp_faults.LONG[self.sent_of[link] :])
            self.sent_of[link] = len(tcp_faults.LONG) - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda rig: Unheard(rig, 6, 6), lambda rig: Talking(rig, 2, 2), lambda rig: Whole(rig, 1)]
)
def test_connections_are_proved_by_the_kernel_and_not_by_who_made_them(
    make: Callable[[FaultRig], Injector], tmp_path: Path, firmware_bundle: Path
) -> None:
    with FaultRig(tmp_path, firmware_bundle, POINTS["summer"]) as rig, make(rig) as fault:
        rig.bench.run_for(6.0)
        with pytest.raises(NotProven, match="in the kernel's table"):
            fault.prove()
