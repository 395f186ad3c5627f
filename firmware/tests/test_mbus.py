"""The M-Bus master on a line whose other end a test holds: frames, repetitions, batteries, and noise."""

from __future__ import annotations

import random

import pytest

from firmware.substation import mbus
from firmware.substation import mbus_link as link
from firmware.substation import mbus_records as records

from .test_mbus_records import HEAD, VALUES, WHOLE

NKE = bytes.fromhex("10 40 07 47 16")
ASK = bytes.fromhex("10 7B 07 82 16")  # frame count bit set
ASK_AGAIN = bytes.fromhex("10 5B 07 62 16")
NUMBER = bytes.fromhex("78563412 FFFF FF FF")
SELECT = bytes.fromhex("68 0B 0B 68 73 FD 52 78563412 FFFFFFFF D2 16")
HOUR_LOOKS = 1_800


def long_frame(text, address=7, control=0x08):
    body = bytes((control, address)) + bytes.fromhex(text)
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))


ANSWER = long_frame(HEAD + WHOLE)


class Line:
    def __init__(self):
        self.sent = []
        self.waiting = b""

    def write(self, frame):
        self.sent.append(bytes(frame))

    def readinto(self, buffer):
        count = min(len(buffer), len(self.waiting))
        buffer[:count] = self.waiting[:count]
        self.waiting = self.waiting[count:]
        return count or None


class Rig:
    """meters: rows of (address, identity, interval in s, battery). answers: what the line says to a frame."""

    def __init__(self, ticks, meters=((7, None, 10, False),), answers=None):
        self.ticks = ticks
        self.line = Line()
        self.events = []
        self.answers = answers or {}
        self.master = mbus.Master(self.line, meters, self._told, self._failed)

    def _told(self, place, reading):
        self.events.append((place, dict(zip(VALUES, self._in_order(reading), strict=True))))

    @staticmethod
    def _in_order(reading):
        order = (
            records.ENERGY, records.VOLUME, records.FLOW, records.POWER, records.SUPPLY, records.RETURN,
            records.DIFFERENCE, records.NUMBER,
        )  # fmt: skip
        return [reading.value[quantity] for quantity in order]

    def _failed(self, place, cause):
        self.events.append((place, cause))

    def look(self, count=1):
        """Look so often, every 2 s; the line answers between two looks."""
        for _ in range(count):
            before = len(self.line.sent)
            self.master.look()
            for frame in self.line.sent[before:]:
                self.line.waiting += self.answers.get(frame, b"")
            self.ticks.now_ms += mbus.LOOK_MS

    def sent(self):
        frames, self.line.sent = self.line.sent, []
        return frames


TALKS = {NKE: b"\xe5", ASK: ANSWER, ASK_AGAIN: ANSWER}


def test_a_meter_is_reset_once_then_asked_with_a_toggling_bit(ticks):
    rig = Rig(ticks, answers=TALKS)
    rig.look(20)
    assert rig.sent() == [NKE, ASK, ASK_AGAIN, ASK, ASK_AGAIN]
    assert rig.events == [(0, VALUES)] * 4
    assert rig.master.meters[0].questions == 4


def test_the_answer_may_come_in_any_pieces(ticks):
    rig = Rig(ticks, answers={NKE: b"\xe5"})
    rig.look(2)
    for at in range(0, len(ANSWER), 12):
        rig.line.waiting += ANSWER[at : at + 12]
        rig.look()
    assert rig.events == [(0, VALUES)]


def test_a_silent_meter_is_asked_three_times_then_let_be_for_a_minute(ticks):
    rig = Rig(ticks)
    rig.look(4)
    assert rig.sent() == [NKE] * 3
    assert rig.events == [(0, link.SILENT)]
    rig.look(29)
    assert rig.sent() == []
    rig.look(8)
    assert rig.sent() == [NKE] * 3


def test_a_repetition_keeps_the_bit_and_a_meter_that_was_lost_is_reset_first(ticks):
    rig = Rig(ticks, answers={NKE: b"\xe5"})
    rig.look(5)
    assert rig.sent() == [NKE, ASK, ASK, ASK]
    assert rig.events == [(0, link.SILENT)]
    rig.answers = TALKS
    rig.look(33)
    assert rig.sent()[:2] == [NKE, ASK]
    assert rig.events[1] == (0, VALUES)


def test_one_lost_answer_is_asked_for_again_and_nobody_hears_of_it(ticks):
    rig = Rig(ticks, answers={NKE: b"\xe5"})
    rig.look(2)
    rig.answers = TALKS
    rig.look(2)
    assert rig.sent() == [NKE, ASK, ASK]
    assert rig.events == [(0, VALUES)]


BROKEN = [
    ("a checksum", ANSWER[:-2] + bytes((ANSWER[-2] ^ 1, 0x16)), link.CHECKSUM),
    ("no stop", ANSWER[:-1] + b"\x17", link.NO_STOP),
    ("two lengths", ANSWER[:1] + bytes((ANSWER[1] ^ 1,)) + ANSWER[2:], link.LENGTH),
    ("a length below three", bytes.fromhex("68 02 02 68 08 07 0F 16"), link.LENGTH),
    ("no second start", ANSWER[:3] + b"\x00" + ANSWER[4:], link.GARBLED),
    ("half an answer", ANSWER[: len(ANSWER) // 2], link.GARBLED),
    ("three bytes", b"\x68\x40\x40", link.GARBLED),
    ("an acknowledgement only", b"\xe5", link.GARBLED),
    ("another meter's answer", long_frame(HEAD + WHOLE, address=8), link.ADDRESS),
    ("another master's question", long_frame(HEAD + WHOLE, control=0x53), link.CONTROL),
    ("noise", bytes(range(1, 90)), link.GARBLED),
    ("zeros without an end", bytes(4_000), link.GARBLED),
    ("starts without an end", b"\x68" * 4_000, link.CHECKSUM),
]


@pytest.mark.parametrize(("answer", "cause"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_answer_is_no_reading(ticks, answer, cause):
    rig = Rig(ticks, answers={NKE: b"\xe5", ASK: answer})
    rig.look(40)
    assert rig.events[0] == (0, cause)
    assert set(rig.events) == {(0, cause)}
    rig.line.waiting = b""
    rig.answers = TALKS
    rig.look(80)
    assert rig.events[-1] == (0, VALUES)  # whatever was said before


def test_a_refused_telegram_is_not_asked_for_again(ticks):
    rig = Rig(ticks, answers={NKE: b"\xe5", ASK: long_frame("70 08")})
    rig.look(30)
    assert rig.sent() == [NKE, ASK]
    assert rig.events == [(0, records.APPLICATION_ERROR)]


@pytest.mark.parametrize("lead", [b"\x00", b"\xff\x00\x16", ASK, b"\xe5\x68\x68"])
def test_a_little_noise_or_an_echo_before_the_answer_is_passed_over(ticks, lead):
    rig = Rig(ticks, answers={NKE: b"\xe5", ASK: lead + ANSWER})
    rig.look(3)
    assert rig.events == [(0, VALUES)]


def test_somebody_who_never_stops_talking_is_cut_off(ticks):
    rig = Rig(ticks)
    for _ in range(30):
        rig.line.waiting += b"\x55"
        rig.look()
    assert rig.events == [(0, link.GARBLED)]
    assert rig.sent() == [NKE] * mbus.TRIES


def test_a_battery_meter_is_asked_once_an_hour_silent_or_not(ticks):
    rig = Rig(ticks, meters=((7, None, 3_600, True),), answers=TALKS)
    rig.look(mbus.FIRST_BATTERY_MS // mbus.LOOK_MS)
    assert rig.sent() == []
    rig.look(24 * HOUR_LOOKS)
    assert rig.master.meters[0].questions == 24
    rig.answers = {NKE: b"\xe5"}
    rig.look(24 * HOUR_LOOKS)
    assert rig.master.meters[0].questions == 24 + 24 * mbus.TRIES


def test_a_controller_that_restarts_over_and_over_asks_no_battery_meter(ticks):
    frames = []
    for _ in range(200):
        rig = Rig(ticks, meters=((7, None, 3_600, True),), answers=TALKS)
        rig.look(30)
        frames += rig.sent()
    assert frames == []


def test_five_meters_take_turns_and_a_silent_one_delays_the_others_little(ticks):
    meters = tuple((address, None, 10, False) for address in (7, 8, 9, 10, 11))
    answers = {}
    for address in (7, 8, 10, 11):
        answers[link.short_frame(link.SND_NKE, address)] = b"\xe5"
        for bit in (0, link.FCB):
            answers[link.short_frame(link.REQ_UD2 | bit, address)] = long_frame(HEAD + WHOLE, address)
    rig = Rig(ticks, meters=meters, answers=answers)
    rig.look(HOUR_LOOKS)
    counts = [sum(1 for event in rig.events if event == (place, VALUES)) for place in range(5)]
    assert counts[2] == 0
    del counts[2]
    assert min(counts) >= 3600 // 20
    assert max(counts) - min(counts) <= max(counts) // 50


SECOND = long_frame(HEAD + WHOLE[14:])


def test_values_told_in_two_telegrams_become_one_reading(ticks):
    first = long_frame(HEAD + WHOLE[:14] + "1F")
    rig = Rig(ticks, answers={NKE: b"\xe5", ASK: first, ASK_AGAIN: SECOND})
    rig.look(5)
    assert rig.events == [(0, VALUES)]
    assert rig.sent()[:3] == [NKE, ASK, ASK_AGAIN]


def test_further_telegrams_that_nobody_needs_are_not_asked_for(ticks):
    rig = Rig(ticks, answers={NKE: b"\xe5", ASK: long_frame(HEAD + WHOLE + "1F")})
    rig.look(9)
    assert rig.events == [(0, VALUES)] * 2
    assert rig.sent() == [NKE, ASK, NKE, ASK]  # back to the first telegram by a reset


def test_a_meter_that_always_has_more_is_left_after_four_telegrams(ticks):
    part = long_frame(HEAD + "02 3B 0100 1F")
    rig = Rig(ticks, answers={NKE: b"\xe5", ASK: part, ASK_AGAIN: part})
    rig.look(6)
    assert rig.sent() == [NKE, ASK, ASK_AGAIN, ASK, ASK_AGAIN]
    assert [event[1]["flow"] for event in rig.events] == [1]


NKE_FD = bytes.fromhex("10 40 FD 3D 16")
ASK_FD = bytes.fromhex("10 7B FD 78 16")


@pytest.mark.parametrize("still_selected", [b"\xe5", b""])
def test_a_meter_is_selected_by_its_number_every_time(ticks, still_selected):
    answer = long_frame(HEAD + WHOLE, address=0)  # a new meter still has address 0
    rig = Rig(ticks, ((0, NUMBER, 10, False),), {NKE_FD: still_selected, SELECT: b"\xe5", ASK_FD: answer})
    rig.look(9)
    assert rig.sent() == [NKE_FD, SELECT, ASK_FD] * 2
    assert rig.events == [(0, VALUES)] * 2


@pytest.mark.parametrize("noise", [b"", b"\x00\xff"])
@pytest.mark.parametrize(("address", "identity"), [(7, None), (0, NUMBER)])
def test_behind_a_converter_that_echoes_every_meter_is_read(ticks, address, identity, noise):
    """The echo of a selection is 17 bytes long, more than any noise."""
    answer = long_frame(HEAD + WHOLE, address=address)
    plain = {NKE: b"\xe5", NKE_FD: b"", SELECT: b"\xe5", ASK_FD: answer, ASK: answer, ASK_AGAIN: answer}
    echoes = {frame: frame + noise + said for frame, said in plain.items()}
    rig = Rig(ticks, ((address, identity, 10, False),), echoes)
    rig.look(8)
    assert set(map(str, rig.events)) == {str((0, VALUES))}


def test_an_echo_alone_is_no_acknowledgement(ticks):
    rig = Rig(ticks, ((0, NUMBER, 10, False),), {frame: frame for frame in (NKE_FD, SELECT)})
    rig.look(8)
    assert rig.events == [(0, link.GARBLED)]


def test_a_meter_that_is_not_there_is_selected_three_times(ticks):
    rig = Rig(ticks, ((0, NUMBER, 10, False),))
    rig.look(8)
    assert rig.sent() == [NKE_FD] + [SELECT] * 3
    assert rig.events == [(0, link.SILENT)]


@pytest.mark.parametrize(
    ("identity", "fits"),
    [
        ("78563412 2D2C 1B 0C", True), ("78563412 FFFF FF 0C", True), ("F8FF34FF FFFF FF FF", True),
        ("79563412 FFFF FF FF", False), ("78563412 2D2D 1B 0C", False), ("78563412 FFFF FF 04", False),
        ("F8FF35FF FFFF FF FF", False), ("8F563412 FFFF FF FF", False),
    ],
)  # fmt: skip
def test_only_the_selected_meter_is_believed(ticks, identity, fits):
    wanted = bytes.fromhex(identity)
    answers = {NKE_FD: b"\xe5", link.select_frame(wanted): b"\xe5", ASK_FD: ANSWER}
    rig = Rig(ticks, ((0, wanted, 10, False),), answers)
    rig.look(10)
    assert rig.events[0] == (0, VALUES if fits else link.ADDRESS)


def test_the_selection_frame_is_whole():
    assert link.select_frame(NUMBER) == SELECT


def test_a_selected_meter_that_shows_no_number_is_not_believed(ticks):
    answers = {NKE_FD: b"\xe5", SELECT: b"\xe5", ASK_FD: long_frame("78" + WHOLE)}
    rig = Rig(ticks, ((0, NUMBER, 10, False),), answers)
    rig.look(10)
    assert rig.events[0] == (0, link.ADDRESS)


def test_ticks_may_wrap(ticks):
    ticks.now_ms = (1 << 30) - 7_000
    rig = Rig(ticks, answers=TALKS)
    rig.look(20)
    assert rig.events == [(0, VALUES)] * 4


def test_20_000_bent_answers_leave_the_master_at_work(ticks):
    """Bent on the line and in length, a few bytes at a time: no exception, and only what is true is told."""
    draw = random.Random(13757)
    rig = Rig(ticks, answers={NKE: b"\xe5"})
    for _ in range(20_000):
        data = bytearray(ANSWER)
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(data))
            if draw.randrange(2):
                data[at] ^= 1 << draw.randrange(8)
            else:
                del data[at : at + draw.randrange(1, 30)]
            if not data:
                break
        rig.line.waiting += data[: draw.randrange(len(data) + 40)]
        rig.look()
    causes = {event[1] for event in rig.events if not isinstance(event[1], dict)}
    assert {link.SILENT, link.GARBLED, link.CHECKSUM, link.LENGTH, link.NO_STOP} & causes
    # the sum of the bytes finds one wrong bit, not two that outweigh each other
    wrong = sum(1 for event in rig.events if isinstance(event[1], dict) and event[1] != VALUES)
    print(len(rig.events), "readings,", wrong, "with an error that the checksum cannot see")
    assert wrong <= len(rig.events) // 100
    rig.line.waiting = b""
    rig.answers = TALKS
    rig.look(80)
    assert rig.events[-1] == (0, VALUES)
