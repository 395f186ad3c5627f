"""Updates as the controller directs them: what an order may do when, and what ends by itself."""

import pytest

from firmware.substation.commands import ACTIVATE, DROP, GO_BACK, OPEN
from firmware.substation.incoming import ELSEWHERE, HEAD_COMES, REFUSED
from firmware.substation.persistence import Persistence
from firmware.substation.register_bank import RegisterBank
from firmware.substation.slots import CONFIRMED, LONG_LIFE_S, PROVISIONAL, Slots
from firmware.substation.updating import OPEN_FOR_S, OPENS, OPENS_EVERY_S, RESET_AFTER_S, Updating

PERIOD_S = 2


class Rig:
    """Updating with a record and a folder of its own; resets are counted."""

    def __init__(self, running="", state=CONFIRMED, deaths=0):
        slots = Slots(Persistence())
        if running:
            slots.active, slots.state, slots.deaths = 1, state, deaths
            slots.save()
        self.bank = RegisterBank("substation")
        self.resets = 0
        self.now_s = 0
        self.updating = Updating(self.bank, Persistence(), running, self._restart, True)

    def _restart(self):
        self.resets += 1

    def read(self, name):
        return self.bank.raw(self.bank.point(name))

    def run(self, seconds):
        for _ in range(0, seconds, PERIOD_S):
            self.now_s += PERIOD_S
            self.updating.control(self.now_s, PERIOD_S)

    def may(self):
        return [number for number in (OPEN, ACTIVATE, DROP, GO_BACK) if self.updating.may(number)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.pub").write_bytes(bytes(32))


def test_the_program_over_usb_can_only_be_updated():
    assert Rig().may() == [OPEN]


def test_s10_there_is_no_way_back_by_order_once_it_is_confirmed():
    assert Rig("slot_a", CONFIRMED).may() == [OPEN]
    assert Rig("slot_a", PROVISIONAL).may() == [GO_BACK]  # an update would empty the way back


def test_an_update_that_nobody_feeds_closes_by_itself():
    rig = Rig()
    rig.updating.open(5_000, bytes(16))
    assert rig.read("update_state_number") == HEAD_COMES
    assert rig.may() == [OPEN, DROP]
    rig.run(OPEN_FOR_S - 60)
    rig.updating.write(0, b"toplovod")
    rig.run(OPEN_FOR_S - 60)
    assert rig.updating.is_open
    rig.run(120)
    assert not rig.updating.is_open
    assert rig.read("update_state_number") == 0
    assert rig.updating.write(8, b"-image/1") == REFUSED


def test_going_back_restarts_after_the_receipt_is_out():
    rig = Rig("slot_a", PROVISIONAL)
    rig.updating.direct(GO_BACK)
    assert rig.may() == []
    rig.run(RESET_AFTER_S - 1)
    assert rig.resets == 0
    rig.run(2 * RESET_AFTER_S)
    assert rig.resets >= 1
    assert Slots(Persistence()).active == 0


def test_an_end_is_counted_and_forgotten_after_a_long_life():
    rig = Rig("slot_a", CONFIRMED)
    rig.updating.died()
    assert Slots(Persistence()).deaths == 1
    again = Rig("slot_a", CONFIRMED, deaths=1)
    again.run(LONG_LIFE_S - 2)
    assert Slots(Persistence()).deaths == 1
    again.run(4)
    assert Slots(Persistence()).deaths == 0
    usb = Rig()
    usb.updating.died()
    assert Slots(Persistence()).deaths == 0


def test_a_flash_that_refuses_changes_nothing(folder, monkeypatch):
    rig = Rig("slot_a", PROVISIONAL)
    monkeypatch.setattr(Persistence, "save", lambda self, name, payload: False)
    rig.updating.direct(GO_BACK)
    rig.run(10 * RESET_AFTER_S)
    assert rig.resets == 0
    assert rig.read("image_slot_number") == 1


def test_s9_no_key_can_open_updates_until_the_flash_is_worn(monkeypatch):
    rig = Rig()
    opened = 0
    for _ in range(86_400 // PERIOD_S):
        rig.run(PERIOD_S)
        while rig.updating.may(OPEN):
            rig.updating.open(5_000, bytes(16))
            opened += 1
    assert opened <= OPENS + 86_400 // OPENS_EVERY_S


def test_what_brings_nothing_new_keeps_no_update_open():
    rig = Rig()
    rig.updating.open(5_000, bytes(16))
    for _ in range(3):
        rig.run(OPEN_FOR_S // 3)
        assert rig.updating.write(4_000, b"xx") == ELSEWHERE
    rig.run(60)
    assert not rig.updating.is_open
