"""Refusals: counted by cause, coalesced by source, and a flooder neither wears flash nor hides others."""

import pytest

from firmware.substation import event_log
from firmware.substation import refusals as causes
from firmware.substation.refusals import Refusals
from firmware.substation.register_bank import RegisterBank
from firmware.substation.uptime import Uptime

from .memory_flash import MemoryFlash
from .order_rig import OrderRig

VICTIM = 0x0A000301
FLOODER = 0x0A000302


@pytest.fixture
def flash():
    return MemoryFlash()


@pytest.fixture
def log(ticks, flash):
    return Refusals(RegisterBank("substation"), flash, Uptime(), 7)


def test_every_cause_has_a_counter(ticks):
    rig = OrderRig(ticks)
    expected = {
        causes.FUNCTION: "refused_function_count",
        causes.MALFORMED: "refused_malformed_count",
        causes.MAC: "refused_mac_count",
        causes.EPOCH: "refused_mac_count",
        causes.MAP: "refused_mac_count",
        causes.TLS: "refused_mac_count",
        causes.REPLAY: "refused_replay_count",
        causes.LATE: "refused_late_count",
        causes.BROADCAST: "broadcast_count",
        causes.LIMIT: "refused_order_count",
        causes.RIGHT: "refused_order_count",
        causes.BUDGET: "refused_order_count",
        causes.STATE: "refused_order_count",
        causes.REGISTER: "refused_order_count",
        causes.LEASE: "refused_order_count",
    }
    assert set(expected) == set(range(1, causes.CAUSES))
    assert event_log.CAUSES == causes.CAUSES
    for cause, name in expected.items():
        before = rig.read(name)
        rig.refusals.note(cause, VICTIM)
        assert rig.read(name) == before + 1
        assert rig.read("last_refusal_number") == cause
    assert rig.read("last_refusal_source_code") == VICTIM


def test_s9_a_flooder_fills_one_entry(log):
    log.note(causes.MAC, VICTIM)
    for _ in range(10_000):
        log.note(causes.FUNCTION, FLOODER)
    assert [(e[0], e[1], e[3]) for e in log.entries] == [
        (VICTIM, causes.MAC, 1),
        (FLOODER, causes.FUNCTION, 10_000),
    ]


def test_s9_many_sources_evict_no_evidence(log):
    log.note(causes.MAC, VICTIM)
    for source in range(1, 2_000):
        log.note(causes.FUNCTION, source)
    assert len(log.entries) == causes.ENTRIES
    assert log.entries[0][0] == VICTIM
    assert log.entries[-1][0] == 0  # the rest share one entry
    assert sum(e[3] for e in log.entries) == 2_000


def test_s9_a_flood_writes_flash_once_an_hour(log, flash):
    for second in range(0, 24 * 3600, 60):
        log.note(causes.FUNCTION, FLOODER)
        log.save_when_due(second)
    assert flash.saves <= 24


def test_nothing_refused_writes_nothing(log, flash):
    log.save_when_due(10_000)
    assert flash.saves == 0


def test_evidence_survives_a_restart(log, flash, ticks):
    log.note(causes.MAC, VICTIM)
    log.save_when_due(3600)
    again = Refusals(RegisterBank("substation"), flash, Uptime(), 8)
    assert [(e[0], e[1], e[2], e[3]) for e in again.entries] == [(VICTIM, causes.MAC, 7, 1)]
    again.note(causes.MAC, VICTIM)
    assert len(again.entries) == 2  # the new boot's is told apart


def test_an_order_refused_is_no_attack(log):
    log.note(causes.LIMIT, VICTIM)
    assert not log.recent(0)
    log.note(causes.REPLAY, VICTIM)
    assert log.recent(0)
    assert log.recent(3600)
    assert not log.recent(3601)


def test_a_shared_entry_names_no_cause_once_it_has_several(log):
    for address in range(1, causes.ENTRIES + 5):
        log.note(causes.FUNCTION, address)
    shared = log.entries[-1]
    assert shared[:2] == [0, causes.FUNCTION]
    log.note(causes.MAC, FLOODER)
    assert shared[:2] == [0, causes.NONE]
    assert [entry for entry in log.entries if entry[0] == FLOODER or entry[1] == causes.MAC] == []
    assert sum(entry[3] for entry in log.entries) == causes.ENTRIES + 5


def test_what_is_shared_is_nobodys_though_an_earlier_boot_has_made_room(ticks, flash):
    earlier = Refusals(RegisterBank("substation"), flash, Uptime(), 6)
    for address in range(1, causes.ENTRIES + 5):
        earlier.note(causes.FUNCTION, address)
    earlier.save_when_due(10_000)
    log = Refusals(RegisterBank("substation"), flash, Uptime(), 7)
    for address in range(101, 101 + causes.ENTRIES):
        log.note(causes.FUNCTION, address)
    for _ in range(100):
        log.note(causes.MAC, FLOODER)
    assert all(entry[3] == 1 for entry in log.entries if entry[0])
