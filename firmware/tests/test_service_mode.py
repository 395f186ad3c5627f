"""Service mode: a press opens it for fifteen minutes, and nothing else does."""

from firmware.substation.register_bank import RegisterBank
from firmware.substation.service_mode import ServiceMode


def test_a_press_opens_it_for_fifteen_minutes():
    service = ServiceMode(RegisterBank("substation"))
    service.step(False, 100)
    assert not service.active
    service.step(True, 102)
    assert service.active
    service.step(False, 102 + 899)
    assert service.active
    service.step(False, 102 + 900)
    assert not service.active


def test_a_stuck_button_does_not_keep_it_open():
    service = ServiceMode(RegisterBank("substation"))
    for now_s in range(0, 2000, 2):
        service.step(True, now_s)
    assert not service.active
