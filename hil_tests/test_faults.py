"""Fault cases on the bench: proved active, and the house does what the catalogue expects.

A fixed choice of the 336, one of each group that runs in a few seconds; all of them: make faults.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from .bench.faults import power_faults, sensor_faults
from .bench.faults.both import both
from .bench.faults.case import ERROR, MET, Plan, run
from .bench.faults.checks import ALL_GOES_ON
from .bench.faults.injector import NotPossible
from .bench.faults.rig import POINTS, FaultRig, Ohms
from .bench.faults.trace import EVERY_S
from .bench.plant_version import plant_version
from .faults.catalogue import chosen
from .faults.pairs import chosen_pairs

SHARE = (
    "sensors.open/winter/severe", "hydraulics.dp-surge/transition/severe", "meter.no-answer/summer/severe",
    "serial.bit-flip/transition/severe", "tcp.pipelining/winter/severe", "memory.blocking/transition/severe",
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
