"""Members of the clock: they join by name, move with every tick, and may go and come back."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ..bench.board_io import BoardInputs, BoardOutputs
from ..bench.electronics import BRIDGED, adc_counts
from ..bench.errors import ConditionNotMet, MemberFailed
from ..bench.fleet import Fleet
from ..bench.lockstep import Lockstep


class Nothing:
    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        return self.sense()

    def sense(self) -> BoardInputs:
        return BoardInputs.unconnected(0)


class Peer:
    """The other side: a member that answers in a thread of its own."""

    def __init__(self, address: tuple[str, int], answers: int = 1_000, **reply: Any) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        self.lines = self.socket.makefile("r")
        self.say({"member": "supervisor"})
        self.seen: list[int] = []
        self.greeting: dict[str, Any] = {}
        self.reply = reply
        self.answers = answers
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def say(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def serve(self) -> None:
        for line in self.lines:
            message = json.loads(line)
            if "advance_ms" not in message:
                self.greeting = message
                continue
            if len(self.seen) == self.answers:
                break
            self.seen.append(message["advance_ms"])
            self.say({"done_ms": message["advance_ms"], **self.reply})
        self.lines.close()
        self.socket.close()


@pytest.fixture
def clock() -> Iterator[Lockstep]:
    with Lockstep(Nothing(), Fleet([]), member_deadline_s=5.0) as clock:
        yield clock


def joined(clock: Lockstep, **options: Any) -> Peer:
    peer = Peer(clock.open_door(), **options)
    assert clock.wait_for_member("supervisor", 10.0, lambda: True)
    return peer


def test_a_member_moves_with_every_tick(clock: Lockstep) -> None:
    peer = joined(clock)
    clock.run_for(10)
    clock.close()
    peer.thread.join(10)
    assert peer.greeting == {"epoch_utc": "2026-01-12T00:00:00Z", "now_ms": 0}
    assert peer.seen == [2_000, 4_000, 6_000, 8_000, 10_000]


def test_a_member_that_goes_is_dropped_and_may_come_back(clock: Lockstep) -> None:
    first = joined(clock, answers=2)
    clock.run_for(6)  # the third advance finds it gone
    first.thread.join(10)
    clock.run_for(4)
    assert clock.members == []
    second = joined(clock)
    clock.run_for(2)
    clock.close()
    second.thread.join(10)
    assert second.greeting["now_ms"] == 10_000
    assert second.seen == [12_000]


def test_the_bus_digest_of_a_member_is_part_of_the_digest() -> None:
    digests = []
    for bus in ("aa", "aa", "bb"):
        with Lockstep(Nothing(), Fleet([]), member_deadline_s=5.0) as clock:
            peer = joined(clock, bus_sha256=bus)
            clock.run_for(4)
            digests.append(clock.sha256)
        peer.thread.join(10)
    assert digests[0] == digests[1] != digests[2]


def test_a_wrong_answer_stops_the_run(clock: Lockstep) -> None:
    peer = joined(clock, done_ms=1)
    with pytest.raises(MemberFailed, match="supervisor: answered"):
        clock.run_for(2)
    clock.close()
    peer.thread.join(10)


def test_a_silent_member_stops_the_run_by_name() -> None:
    clock = Lockstep(Nothing(), Fleet([]), member_deadline_s=0.5)
    with clock, socket.create_connection(clock.open_door()) as line:
        line.sendall(b'{"member":"supervisor"}\n')
        assert clock.wait_for_member("supervisor", 10.0, lambda: True)
        with pytest.raises(MemberFailed, match=r"supervisor: not done with 2000 ms"):
            clock.step()


def test_a_member_that_was_killed_between_two_ticks_does_not_pass_for_the_one_that_comes(
    clock: Lockstep,
) -> None:
    with socket.create_connection(clock.open_door()) as killed:
        killed.sendall(b'{"member":"supervisor"}\n')
        assert clock.wait_for_member("supervisor", 10.0, lambda: True)
    assert not clock.wait_for_member("supervisor", 10.0, lambda: False)  # the one that was is not waited for
    second = joined(clock)
    clock.run_for(2)
    clock.close()
    second.thread.join(10)
    assert second.seen == [2_000]


@pytest.mark.parametrize("junk", [b"hello\n", b"[]\n", b'{"member":""}\n', b"\xff" * 70_000])
def test_junk_at_the_door_is_not_let_in(clock: Lockstep, junk: bytes) -> None:
    with socket.create_connection(clock.open_door()) as line:
        line.sendall(junk)
        line.shutdown(socket.SHUT_WR)
        clock.run_for(4)
    assert clock.members == []


def test_a_condition_that_never_comes_true_ends_at_its_virtual_deadline(clock: Lockstep) -> None:
    with pytest.raises(ConditionNotMet, match="60 s of virtual time"):
        clock.run_until(lambda: False, within_s=60)
    assert clock.now_ms == 60_000


def test_the_converters_see_opens_shorts_and_lost_loops() -> None:
    inputs = BoardInputs.unconnected(1)
    inputs.resistance_ohm[0] = [np.nan, 0.0, 1000.0, 1385.055, 1500.0, 803.063]
    inputs.current_ma[0] = [4.0, np.nan]
    counts = adc_counts(inputs)[0].tolist()
    assert counts[:8] == [
        65535,
        0,
        round(65535 * 1000.0 / 2500.0),
        round(65535 * 1385.055 / 2885.055),
        round(65535 / 2),
        round(65535 * 803.063 / 2303.063),
        round(65535 * 0.6 / 3.3),
        0,
    ]
    assert counts[8:] == [counts[channel] for channel in BRIDGED]  # terminals that nothing of its own drives
