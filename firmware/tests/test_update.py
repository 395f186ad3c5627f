"""Signed images: what is taken in, what is refused, and what goes on after a cut."""

import hashlib
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.substation import incoming, registers
from firmware.substation import slots as slots_file
from firmware.substation import update as update_file
from firmware.substation.incoming import (
    BUSY,
    CONTENT,
    DIGEST,
    ELSEWHERE,
    FAILED,
    FILES_COME,
    MALFORMED,
    NO_CAUSE,
    NO_KEY,
    READY,
    REFUSED,
    SIGNATURE,
    SPACE,
    TAKEN,
    VERIFYING,
    VERSION,
)
from firmware.substation.persistence import Persistence
from firmware.substation.slots import FACTORY, SLOT_A, SLOT_B, Slots
from firmware.substation.update import Update

CONTEXT = update_file.CONTEXT
SPARE = update_file.SPARE_BYTES // 4096
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
FILES = {
    "boards/__init__.mpy": b"boards" * 10,
    "substation/app.mpy": bytes(range(256)) * 5,
    "substation/site.mpy": b"site",
}


def image(version=1, files=None, key=KEY, text=None):
    """An image made by hand, so that it may be wrong."""
    files = FILES if files is None else files
    if text is None:
        body = b"version %d\nmap 12345678\n" % version
        for path, content in files.items():
            body += b"%s %d %s\n" % (
                hashlib.sha256(content).hexdigest().encode(),
                len(content),
                path.encode(),
            )
        text = b"toplovod-image/1 %05d\n" % (23 + len(body)) + body
    head = text + key.sign(CONTEXT + hashlib.sha256(text).digest())
    return head + b"".join(files.values()), hashlib.sha256(head).digest()[:16]


@pytest.fixture
def device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Before:
    """How well the program before did, as `performance` has it."""

    worst_mk, faults, heated_at_raw = 1_500, 0, -500


def opened(content, digest, key=PUBLIC):
    return Update(Persistence(), key, len(content), digest)


def send(update, content, piece=240, begin=None):
    """Send everything the way the tool does; returns when the image is in or refused."""
    while update.next < len(content):
        answer = update.write(update.next, content[update.next : update.next + piece])
        while answer == BUSY or update.state == VERIFYING:
            if not update.step():
                break
            answer = TAKEN
        if update.state == FAILED:
            return update
    while update.step():
        pass
    return update


def program_in(slot):
    """The files of a program in a slot; its head is none."""
    return sorted(path.name for path in slot.rglob("*") if path.is_file() and path.name != "image.head")


@pytest.mark.parametrize("piece", [1, 7, 240, 100_000])
def test_a_signed_image_fills_the_slot_that_does_not_run(device, piece):
    content, digest = image(version=7)
    update = send(opened(content, digest), content, piece)
    assert update.state == READY
    slots = Slots(Persistence())
    assert slots.version == [0, 7, 0]
    assert slots_file.is_whole(SLOT_A, slots.head_digest[SLOT_A])
    for path, wanted in FILES.items():
        assert (device / "slot_a" / path).read_bytes() == wanted
    # the next one goes into the other slot once this one runs
    slots.begin_trial(SLOT_A, Before)
    slots.confirm()
    second, digest = image(version=8)
    assert send(opened(second, digest), second).slot == SLOT_B
    assert Slots(Persistence()).version == [0, 7, 8]


def test_no_program_is_written_before_the_signature_is_verified(device):
    content, digest = image(key=Ed25519PrivateKey.generate())
    update = send(opened(content, digest), content)
    assert (update.state, update.cause) == (FAILED, SIGNATURE)
    assert program_in(device / "slot_a") == []


@pytest.mark.parametrize(
    ("cause", "made"),
    [
        (MALFORMED, lambda: image(text=b"toplovod-image/2 00040\nversion 1\nmap 12345678\n")),
        (MALFORMED, lambda: image(text=b"toplovod-image/1 99999\nversion 1\nmap 12345678\n")),
        (MALFORMED, lambda: image(text=b"toplovod-image/1 -0001\nversion 1\nmap 12345678\n")),
        (MALFORMED, lambda: image(text=b"toplovod-image/1 00035\nverzion 1\n\n\n")),
        (MALFORMED, lambda: image(files={})),
        (MALFORMED, lambda: image(files={"main.py": b"x"})),
        (MALFORMED, lambda: image(files={"substation/../main.mpy": b"x"})),
        (MALFORMED, lambda: image(files={"state/boot.mpy": b"x"})),
        (MALFORMED, lambda: image(files={"substation/.mpy": b"x"})),
        (MALFORMED, lambda: image(files={"substation/site.json": b"x"})),
        (MALFORMED, lambda: image(files={"substation/a.mpy": b""})),
        (MALFORMED, lambda: image(files={"substation/f%d.mpy" % i: b"x" for i in range(97)})),
        (VERSION, lambda: image(version=0)),
        (VERSION, lambda: image(version=4)),
    ],
)  # fmt: skip
def test_an_image_that_may_not_be_is_refused_before_any_file(device, cause, made):
    slots = Slots(Persistence())
    slots.floor = 5 if cause == VERSION else 0
    slots.save()
    content, digest = made()
    update = send(opened(content, digest), content)
    assert (update.state, update.cause) == (FAILED, cause)
    assert program_in(device / "slot_a") == []
    assert update.write(update.next, b"more") == REFUSED


def test_another_image_than_was_ordered_is_refused(device):
    content, _ = image()
    _, other = image(version=2)
    update = send(opened(content, other), content)
    assert (update.state, update.cause) == (FAILED, DIGEST)


def test_a_board_without_a_release_key_takes_nothing(device):
    content, digest = image()
    update = opened(content, digest, key=None)
    assert (update.state, update.cause) == (FAILED, NO_KEY)
    assert update.write(0, content) == REFUSED


def test_a_file_that_differs_is_refused_and_the_others_are_kept(device):
    content, digest = image()
    update = send(opened(content, digest), content[:-2] + b"xx")
    assert (update.state, update.cause) == (FAILED, CONTENT)
    again = opened(content, digest)
    while again.step():
        pass
    # only the last file is wanted
    assert (again.state, again.next) == (FILES_COME, len(content) - 4)
    assert send(again, content).state == READY


def test_a_flipped_bit_anywhere_in_an_image_is_refused(device):
    content, digest = image()
    for at in range(0, len(content), 11):
        bad = content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]
        Slots(Persistence()).empty(SLOT_A)
        slots_file.remove_all("slot_a")
        assert send(opened(bad, digest), bad).state != READY


def test_pieces_that_come_twice_or_too_early_change_nothing(device):
    content, digest = image()
    update = opened(content, digest)
    assert update.write(0, content[:100]) == TAKEN
    assert update.write(0, content[:100]) == TAKEN
    assert update.next == 100
    assert update.write(200, content[200:300]) == ELSEWHERE
    assert update.write(50, content[50:150]) == TAKEN
    assert update.next == 150
    assert update.write(len(content) - 1, b"ab") == ELSEWHERE
    assert send(update, content).state == READY


def test_a_full_flash_is_told_before_a_file_is_written(device, monkeypatch):
    content, digest = image()
    small = os.statvfs_result((4096, 4096, 100, 8, 8, 0, 0, 0, 0, 255))
    monkeypatch.setattr(update_file.os, "statvfs", lambda path: small)
    update = send(opened(content, digest), content)
    assert (update.state, update.cause) == (FAILED, SPACE)


@pytest.mark.parametrize(("free", "cause"), [(SPARE + 8, SPACE), (SPARE + 9, NO_CAUSE)])
def test_every_file_takes_whole_blocks(device, monkeypatch, free, cause):
    """Nine files of a few bytes fill nine blocks of 4 KiB."""
    content, digest = image(files={f"substation/part_{k}.mpy": b"a few" for k in range(9)})
    stat = os.statvfs_result((4096, 4096, 352, free, free, 0, 0, 0, 0, 255))
    monkeypatch.setattr(update_file.os, "statvfs", lambda path: stat)
    assert send(opened(content, digest), content).cause == cause


def test_another_image_empties_the_slot_first(device):
    content, digest = image()
    send(opened(content, digest), content)
    second, digest = image(version=2, files={"substation/app.mpy": b"other"})
    update = opened(second, digest)
    assert Slots(Persistence()).version == [0, 0, 0]
    assert program_in(device / "slot_a") == []
    assert send(update, second).state == READY
    assert sorted(p.name for p in (device / "slot_a" / "substation").iterdir()) == ["app.mpy"]


def test_an_update_that_stopped_goes_on_behind_the_last_whole_file(device):
    content, digest = image()
    head = len(content) - sum(map(len, FILES.values()))
    for stop in range(head, len(content), 37):
        slots_file.remove_all("slot_a")
        Slots(Persistence()).empty(SLOT_A)
        update = opened(content, digest)
        while update.next < stop:
            update.write(update.next, content[update.next : min(update.next + 240, stop)])
            while update.step():
                pass
        update.close()
        again = opened(content, digest)
        while again.step():
            pass
        assert head <= again.next <= stop
        assert send(again, content).state == READY


def trial(version=2):
    content, digest = image(version=version)
    update = send(opened(content, digest), content)
    slots = Slots(Persistence())
    slots.begin_trial(update.slot, Before)
    return slots


def start(after_watchdog=False):
    return slots_file.choose(after_watchdog)


def test_an_image_on_trial_runs_until_it_has_died_three_times(device):
    trial()
    assert start(True) == ("slot_a", True)  # the reset that was ordered is no bite
    for _ in range(slots_file.TRIES - 1):
        assert start(True) == ("slot_a", True)
    assert start(True) == ("", False)
    assert (Slots(Persistence()).active, Slots(Persistence()).reason) == (FACTORY, slots_file.DIED)


def test_power_cuts_count_for_nothing(device):
    trial()
    for _ in range(30):
        assert start(False) == ("slot_a", True)
    assert Slots(Persistence()).deaths == 0


def ends(by):
    """The image that runs ends, by its own program or by the watchdog; the board starts again."""
    if by == "itself":
        Slots(Persistence()).died()
    return start(True)


@pytest.mark.parametrize("by", ["itself", "the watchdog"])
@pytest.mark.parametrize("proved", [False, True])
def test_an_image_that_ends_again_and_again_gives_way_however_long_it_ran_between(device, by, proved):
    """Whatever came over it, such as a setting it cannot bear: no house stays cold in a loop of resets."""
    slots = trial()
    start(True)
    if proved:
        slots = Slots(Persistence())
        slots.confirm()
    assert [ends(by)[0] for _ in range(3)] == ["slot_a", "slot_a", ""]
    assert Slots(Persistence()).reason == slots_file.DIED


def test_an_end_is_counted_once_though_the_rp2040_calls_it_a_bite_too(device):
    trial()
    start(True)
    Slots(Persistence()).died()
    start(True)
    assert Slots(Persistence()).deaths == 1


def test_single_ends_are_forgotten_after_a_long_life(device):
    confirmed()
    for _ in range(10):
        Slots(Persistence()).died()
        assert start(True) == ("slot_a", False)
        Slots(Persistence()).lived_long()
    assert Slots(Persistence()).deaths == 0


def test_what_happens_while_an_image_comes_in_is_kept(device):
    """A confirmation, and a count, between the opening and the last byte."""
    trial(version=5)
    start(True)
    content, digest = image(version=6)
    update = opened(content, digest)
    slots = Slots(Persistence())
    slots.confirm()
    Slots(Persistence()).died()
    assert send(update, content).state == READY
    slots = Slots(Persistence())
    assert (slots.state, slots.floor, slots.deaths) == (slots_file.CONFIRMED, 5, 1)
    slots.begin_trial(update.slot, Before)
    assert Slots(Persistence()).previous == SLOT_A


def test_s10_the_version_floor_rises_at_confirmation_and_not_before(device):
    slots = trial(version=9)
    assert slots.floor == 0
    older, digest = image(version=8)
    assert send(opened(older, digest), older).state == READY
    slots = Slots(Persistence())
    slots.confirm()
    assert Slots(Persistence()).floor == 9
    update = send(opened(older, digest), older)
    assert (update.state, update.cause) == (FAILED, VERSION)
    assert slots_file.choose(False) == ("slot_a", False)


def confirmed(version=3):
    slots = trial(version)
    slots.confirm()
    return slots


def test_a_damaged_image_gives_way_to_the_one_before(device):
    slots = trial(version=1)
    slots.confirm()
    content, digest = image(version=2)
    update = send(opened(content, digest), content)
    slots = Slots(Persistence())
    slots.begin_trial(update.slot, Before)
    assert slots_file.choose(False) == ("slot_b", True)
    (device / "slot_b" / "substation" / "site.mpy").write_bytes(b"sitf")
    assert slots_file.choose(False) == ("slot_a", False)
    assert Slots(Persistence()).reason == slots_file.DAMAGED
    (device / "slot_a" / "image.head").write_bytes(b"")
    assert slots_file.choose(False) == ("", False)


def test_a_record_from_nowhere_runs_the_factory_program(device):
    Persistence().save("slots", b"\x07" * slots_file.RECORD_BYTES)
    assert slots_file.choose(False) == ("", False)
    Persistence().save("slots", b"short")
    assert slots_file.choose(False) == ("", False)


def test_states_and_causes_are_named_in_the_map():
    names = ("none", "head_comes", "verifying", "files_come", "ready", "failed")
    assert len(registers.UPDATE_STATES) == incoming.FAILED + 1
    for number, (name, told) in enumerate(zip(names[1:], registers.UPDATE_STATES[1:], strict=True), 1):
        assert getattr(incoming, name.upper()) == number
        assert name.startswith(told)
    for number, name in enumerate(registers.UPDATE_CAUSES[1:], 1):
        assert getattr(incoming, name.upper()) == number
