"""What the wire does to bytes: late, in order, whole, and the same for one seed."""

from __future__ import annotations

import random
import struct

import pytest

from ..bench.errors import ModbusSilent
from ..bench.modbus import ModbusTcp
from ..bench.slow_wire import FIRST_TIMEOUT_S, Conditions, Gateway, Way

SEGMENTS = 2_000
BAD = Conditions(latency_s=0.1, jitter_s=0.1, loss=0.2)


def arrivals(conditions: Conditions, seed: int, size: int = 100) -> list[float]:
    """Return when so many segments arrive that are sent one a minute, after each was sent."""
    way, found = Way(conditions, random.Random(seed)), []
    for number in range(SEGMENTS):
        way.send(bytes(size), 60.0 * number)
        found.append(way.waiting.pop().due_s - 60.0 * number)
    return found


def test_a_lost_segment_is_a_stall_of_the_timeout_and_its_doubles():
    late = [seconds for seconds in arrivals(BAD, 1) if seconds > 0.2]
    once = [seconds for seconds in late if seconds <= FIRST_TIMEOUT_S + 0.2]
    assert 0.17 * SEGMENTS < len(late) < 0.23 * SEGMENTS
    assert all(seconds >= FIRST_TIMEOUT_S + 0.1 for seconds in once)
    assert min(seconds for seconds in late if seconds not in once) >= 3 * FIRST_TIMEOUT_S + 0.1
    assert arrivals(BAD, 1) == arrivals(BAD, 1) != arrivals(BAD, 2)


def test_nothing_overtakes():
    way = Way(BAD, random.Random(1))
    for number in range(SEGMENTS):
        way.send(number.to_bytes(2, "big"), number / 1000)
    assert [segment.data for segment in way.waiting] == [n.to_bytes(2, "big") for n in range(SEGMENTS)]
    dues = [segment.due_s for segment in way.waiting]
    assert dues == sorted(dues)


def test_after_a_cut_everything_waits_for_the_first_retransmission_that_gets_through():
    way = Way(Conditions(latency_s=0.5), random.Random(1))
    way.send(b"a", 10.0)
    way.send(b"b", 11.0)
    way.mended(20.0)  # sent again after 1, 2, 4 and 8 s more
    assert [segment.due_s for segment in way.waiting] == [25.5, 25.5]


def frames(numbers: range) -> list[bytes]:
    return [struct.pack(">HHHBB", number, 0, 2, 1, 7) for number in numbers]


def test_a_gateway_passes_whole_frames_twice_or_behind_the_next():
    sent = frames(range(8))
    twice = Gateway(Conditions(gateway_repeats=1.0), random.Random(1))
    assert twice.passed(sent[0] + sent[1][:5], 0.0) == 2 * sent[0]
    assert twice.passed(sent[1][5:], 0.0) == 2 * sent[1]
    swapped = Gateway(Conditions(gateway_swaps=1.0), random.Random(1))
    assert swapped.passed(b"".join(sent[:3]), 0.0) == sent[1] + sent[0]
    assert swapped.overdue(0.5) == b""
    assert swapped.overdue(1.0) == sent[2]  # nothing came that it could be passed behind


@pytest.mark.needs("bus.slow")
def test_over_a_bad_line_every_byte_comes_through(target):
    client = target.bus.slow(Conditions(0.2, 0.5, loss=0.3, bandwidth_bit_s=9600.0)).client(patience_s=600.0)
    echoes = [b"\x08\0\0" + bytes([number]) * 240 for number in range(20)]
    for echo in echoes:
        client.send(client.frame(echo))
    came = b"".join(client.receive(7 + len(echo))[7:] for echo in echoes)
    assert came == b"".join(echoes)


@pytest.mark.needs("bus.slow")
def test_who_connects_while_the_controller_is_off_is_reset(target):
    wire = target.bus.slow(Conditions(latency_s=0.5))
    target.power.cut()
    client = wire.client()
    with pytest.raises(ModbusSilent):
        client.exchange(b"\x11")
    assert client.ended()
    target.power.on()
    with ModbusTcp("127.0.0.1", target.controller.device.port) as direct:
        assert wire.client().exchange(b"\x11") == direct.exchange(b"\x11")
