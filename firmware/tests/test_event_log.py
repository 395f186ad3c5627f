"""The event log: a chain of whole records whatever happens, worn by nobody and filled by no stranger."""

import builtins
import os
import struct

import pytest

from firmware.substation import alarms, event_log, order_frame, registers
from firmware.substation import refusals as causes
from firmware.substation.event_log import (
    ALARM_OFF,
    ALARM_ON,
    BOOT,
    DIED,
    EPOCH,
    LEASE_ENDED,
    LOST,
    MORE,
    ORDER,
    PROGRAM,
    REFUSED,
    RELEASE,
    SERVICE,
    TASK,
    TIME,
    UPDATE,
)  # fmt: skip
from firmware.substation.log_segments import SEGMENT_RECORDS, SEGMENTS

from .log_rig import DEVICE_ID, GENESIS, LogRig
from .order_rig import ROOT_KEY, SOURCE, OrderRig

DAY_S = 86_400
ATTACKER = 0x0A000302


@pytest.fixture
def rig(ticks, tmp_path):
    return LogRig(ticks, tmp_path)


@pytest.fixture
def writes(monkeypatch):
    """Every opening of a file for writing, by name; `writes.broken` makes each fail."""

    class Writes(list):
        broken = False

    seen = Writes()
    real = builtins.open

    def opening(path, mode="r", *more, **options):
        if "w" in mode or "a" in mode:
            if seen.broken:
                raise OSError(28, "no room")
            seen.append(os.path.basename(path))
        return real(path, mode, *more, **options)

    monkeypatch.setattr(builtins, "open", opening)
    return seen


# -- what is kept -------------------------------------------------------------------------------------


def test_a_log_begins_with_the_boot_and_goes_on_behind_what_is_kept(rig):
    rig.log.program(0, 7, 0)
    first = rig.records()
    assert [r["kind"] for r in first] == [BOOT, PROGRAM]
    assert (first[0]["value"], first[0]["source"], first[0]["what"]) == (1, 0xF1F2F3F4, 1)
    assert (first[1]["value"], first[1]["source"]) == (7, 0x11223344)
    rig.pass_time(62)
    again = rig.again(rescued=True)
    assert again.records()[:2] == first
    assert again.records()[2]["what"] == 0x101
    assert again.records()[2]["sequence"] == 2


def test_another_devices_log_is_not_taken_for_this_ones(rig):
    rig.pass_time(62)
    assert (rig.folder / "log.0").read_bytes()[8:40] == GENESIS


@pytest.mark.parametrize("kept", [1, 5, SEGMENT_RECORDS])
def test_s9_a_torn_or_altered_end_costs_that_record_alone(ticks, tmp_path, kept):
    rig = LogRig(ticks, tmp_path)
    for number in range(kept - 1):
        rig.log.note(ORDER, 1, 100, number)
        if number % 20 == 0:
            rig.pass_time(3_600, 60)
    rig.pass_time(7_200, 60)
    whole = rig.records()
    file = tmp_path / "log.0"
    content = file.read_bytes()
    assert len(content) == 64 + 32 * kept
    for broken in (
        *(content[:-cut] for cut in (1, 8, 31)),
        content[:-40] + bytes((content[-40] ^ 1,)) + content[-39:] if kept > 1 else content[:-1],
        content[:-1] + bytes((content[-1] ^ 1,)),
        content + b"\xff" * 17,
    ):
        for left in tmp_path.iterdir():
            left.unlink()
        file.write_bytes(broken)
        again = rig.again()
        found = again.records()
        good = len(found) - 1  # and its own boot
        assert found[:good] == whole[:good]
        assert kept - 2 <= good <= kept
        again.pass_time(62)
        last = again.again()
        assert last.records()[: good + 1] == found
        assert last.log._segments.firsts == [0, good] if good else [0]


def test_the_oldest_file_is_dropped_whole_and_the_chain_goes_on(rig):
    wanted = SEGMENTS * SEGMENT_RECORDS + 200
    for number in range(wanted):
        rig.log.note(ORDER, 1, 100, number)
        if number % 20 == 19:
            rig.pass_time(3_600, 600)
    rig.pass_time(3_600, 600)
    found = rig.records()
    assert len(found) >= (SEGMENTS - 1) * SEGMENT_RECORDS
    assert found[0]["sequence"] % SEGMENT_RECORDS == 0 and found[-1]["value"] == wanted - 1
    assert sorted(os.listdir(rig.folder)) == ["log.%d" % k for k in range(SEGMENTS)]
    assert {os.stat(rig.folder / name).st_size for name in os.listdir(rig.folder)} >= {4096}
    assert rig.again().records()[:-1] == found


def test_files_before_a_gap_prove_nothing_and_are_passed_over(rig):
    for number in range(3 * SEGMENT_RECORDS):
        rig.log.note(ORDER, 1, 100, number)
        if number % 20 == 19:
            rig.pass_time(3_600, 600)
    rig.pass_time(3_600, 600)
    (rig.folder / "log.1").write_bytes(b"\0" * 4096)
    found = rig.again().records()
    assert found[0]["sequence"] == 2 * SEGMENT_RECORDS


def test_s9_whatever_is_told_the_flash_is_written_so_often_a_day_and_no_oftener(rig, writes):
    for second in range(0, DAY_S, 2):
        rig.log.watch(second, (second // 2 % 2) << alarms.SCALD_LIMIT, second % 4 == 0, ())
        rig.log.note(EPOCH, 1, 0, second, 0, True)
        rig.pass_time(2)
    files = event_log.MOST_KEPT * event_log.PENDING // SEGMENT_RECORDS + 1  # each begun by a write of its own
    assert 40 <= len(writes) <= event_log.MOST_KEPT + files
    assert LOST in rig.kinds()  # and it says that it could not tell everything


def test_what_is_slow_is_kept_once_an_hour_and_what_is_urgent_in_the_next_round(rig, writes):
    rig.pass_time(3_700)
    before = len(writes)
    for _ in range(12):
        rig.log.note(ORDER, 1, 100, 1)
        rig.pass_time(300)
    assert len(writes) - before <= 2
    before = len(writes)
    rig.log.note(EPOCH, 1, 0, 2, 0, True)
    rig.pass_time(2)
    assert len(writes) == before + 1


def test_a_board_that_does_nothing_but_restart_writes_nothing(rig, writes):
    for _ in range(50):
        rig.pass_time(event_log.YOUNG_S - 2)
        rig = rig.again()
    assert writes == []
    rig.pass_time(event_log.YOUNG_S + 2)
    assert rig.records()[0]["value"] == 51  # the count tells how often


def test_a_crash_loop_is_kept_once(rig, writes):
    for _ in range(50):
        rig.pass_time(10)
        rig.log.died(ValueError("any"))
        rig = rig.again(rescued=True)
    assert len(writes) == 1
    told = rig.records()[1]
    assert (told["kind"], struct.pack(">II", told["value"], told["source"])) == (DIED, b"ValueErr")


def test_s9_a_flash_that_refuses_costs_the_log_and_nothing_else(rig, writes):
    rig.pass_time(62)
    writes.broken = True
    for number in range(100):
        rig.log.note(ORDER, 1, 100, number, 0, True)
        rig.pass_time(600, 60)
    writes.broken = False
    rig.pass_time(7_200, 60)
    rig.log.note(ORDER, 1, 100, 100)
    rig.pass_time(7_200, 60)
    kept = rig.again().records()[:-1]
    lost = next(r["value"] for r in kept if r["kind"] == LOST)
    assert sum(r["kind"] == ORDER for r in kept) + lost == 101
    assert kept[-1]["value"] == 100


def test_a_full_disk_in_the_middle_of_an_append_loses_nothing_that_was_kept(rig, monkeypatch):
    rig.pass_time(62)
    rig.log.note(ORDER, 1, 100, 1, 0, True)
    real = builtins.open

    class Half:
        def __init__(self, path, mode):
            self._file = real(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, content):
            self._file.write(bytes(content)[: len(content) // 2])
            self._file.flush()
            raise OSError(28, "no room")

    monkeypatch.setattr(
        builtins, "open", lambda path, mode="r": Half(path, mode) if "a" in mode else real(path, mode)
    )
    rig.pass_time(4)
    monkeypatch.setattr(builtins, "open", real)
    rig.pass_time(7_200, 60)
    assert [r["kind"] for r in rig.again().records()] == [BOOT, ORDER, BOOT]
    assert rig.log._segments.firsts == [0, 1]


def test_a_flash_that_cannot_be_read_stops_no_boot(rig, monkeypatch):
    for number in range(20):
        rig.log.note(ORDER, 1, 100, number)
    rig.pass_time(3_700, 100)
    real = builtins.open

    class Dying:
        """Gives the header, and of the records five."""

        def __init__(self, path):
            self._file = real(path, "rb")
            self._reads = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def seek(self, at):
            self._file.seek(at)

        def read(self, size):
            self._reads += 1
            if self._reads > 5:
                raise OSError(5, "input/output")
            return self._file.read(size)

    monkeypatch.setattr(
        builtins, "open", lambda path, mode="r": Dying(path) if mode == "rb" else real(path, mode)
    )
    again = rig.again()
    monkeypatch.setattr(builtins, "open", real)
    again.pass_time(62)
    assert again.log._segments.firsts == [0, 5]
    assert [r["kind"] for r in again.records()] == [BOOT, ORDER, ORDER, ORDER, ORDER, BOOT]


# -- who may fill it ------------------------------------------------------------------------------------


def test_s9_strangers_never_turn_the_log_over(rig, writes):
    """A month of every attack there is, from everywhere: the evidence stays, and little is written."""
    rig.log.note(EPOCH, 1, 0, 2, 0, True)
    rig.pass_time(62)
    kept, before = len(rig.records()), len(writes)
    for round_ in range(30 * 24):
        for cause in (1, 2, 3, 4, 5, 12, 13, 14):
            for _ in range(10):
                rig.log.stranger(cause, ATTACKER + round_, round_)
        rig.pass_time(3_600, 600)
    told = rig.records()[kept:]
    assert {(r["kind"], r["who"]) for r in told} == {(REFUSED, 0)}
    assert len(told) == 8 * event_log.STRANGERS <= SEGMENT_RECORDS // 4
    assert len(writes) - before <= len(told)
    again = rig.again()
    for cause in (1, 2, 3, 4, 5, 12, 13, 14):
        again.log.stranger(cause, ATTACKER, 1)  # a restart gives nothing back
    again.pass_time(3_700, 60)
    assert again.kinds()[kept + len(told) :] == [BOOT]


def test_a_new_file_has_room_for_the_next_attack(rig):
    rig.log.stranger(causes.MAC, ATTACKER, 1)
    rig.pass_time(7_200, 60)
    rig.log.stranger(causes.MAC, ATTACKER, 2)
    rig.pass_time(7_200, 60)
    rig.log.stranger(causes.MAC, ATTACKER, 3)
    for number in range(SEGMENT_RECORDS):
        rig.log.note(ORDER, 1, 100, number)
        if number % 20 == 19:
            rig.pass_time(3_600, 600)
    rig.pass_time(3_600, 600)
    rig.log.stranger(causes.MAC, ATTACKER, 4)
    assert [r["value"] for r in rig.records() if r["kind"] == REFUSED] == [1, 2, 4]


def test_a_flapping_alarm_is_told_now_and_then_and_as_it_is(rig):
    on = 1 << alarms.LOW_DP
    for second in range(0, DAY_S, 2):
        rig.log.watch(rig.uptime.advance(), on if second // 20 % 2 else 0, False, ())
        rig.pass_time(2)
    told = [r for r in rig.records() if r["kind"] in (ALARM_ON, ALARM_OFF)]
    assert 60 <= len(told) <= event_log.BURST + DAY_S // event_log.EVERY_S
    assert [r["kind"] for r in told[:2]] == [ALARM_ON, ALARM_OFF]
    rig.pass_time(3_600)
    rig.log.watch(rig.uptime.advance(), 0, False, ())
    rig.pass_time(3_600)
    rig.log.watch(rig.uptime.advance(), 0, False, ())
    assert [r["kind"] for r in rig.records() if r["kind"] in (ALARM_ON, ALARM_OFF)][-1] == ALARM_OFF


def test_alarms_that_concern_safety_are_kept_at_once(rig, writes):
    names = ("manual", "watchdog_reset", "config_rejected", "frost_protection", "valve_not_following",
             "legionella_failed", "scald_limit", "dry_run")  # fmt: skip
    assert sum(1 << registers.ALARM_BITS.index(name) for name in names) == event_log.SAFETY
    rig.pass_time(62)
    before = len(writes)
    rig.log.watch(100, 1 << alarms.LOW_DP, False, ())
    rig.pass_time(2)
    assert len(writes) == before
    rig.log.watch(102, 1 << alarms.LOW_DP | 1 << alarms.FROST_PROTECTION, False, ())
    rig.pass_time(2)
    assert len(writes) == before + 1


def test_the_alarm_of_refused_writes_is_told_by_its_cause_alone(rig):
    rig.log.watch(1, 1 << alarms.REFUSED_WRITES, False, ())
    assert rig.kinds() == [BOOT]
    assert event_log.REFUSED_WRITES == 1 << alarms.REFUSED_WRITES


# -- what is told ---------------------------------------------------------------------------------------


@pytest.fixture
def house(ticks, tmp_path):
    """Orders, refusals and commands that tell a log."""
    rig = OrderRig(ticks)
    told = LogRig(ticks, tmp_path)
    told.log._uptime = told.uptime = rig.uptime
    told.log._clock = rig.clock
    told.log._refusals = rig.refusals
    rig.mailbox.log = rig.commands.log = rig.refusals.log = told.log
    rig.told = lambda: [(r["kind"], r["who"], r["what"], r["value"], r["source"]) for r in told.records()[1:]]
    rig.log = told.log
    return rig


def test_an_order_is_told_and_its_renewal_is_not(house):
    point = registers.BY_NAME["curve_shift_sp_k"].address
    for _ in range(3):
        house.order({"curve_shift_sp_k": -2.0, "primary_return_limit_sp_c": 50.0})
        house.step(900)
    assert house.told() == [(ORDER, 1 | 1 << 4, point, 0x10000 - 200, SOURCE)]
    house.order({"curve_shift_sp_k": -3.0})
    house.order({"curve_shift_sp_k": 0.0}, lease_s=0)
    house.order({"curve_shift_sp_k": 0.0}, lease_s=0)
    assert [told[:4] for told in house.told()[1:]] == [
        (ORDER, 1, point, 0x10000 - 300), (RELEASE, 1, point, 0),
    ]  # fmt: skip


def test_a_lease_that_runs_out_is_told_with_its_owner(house):
    house.order({"curve_shift_sp_k": -2.0}, lease_s=300)
    influences = tuple(house.influences.values())
    for _ in range(600):
        house.step(2)
        house.log.watch(house.uptime.advance(), 0, False, influences)
    assert [told[:3] for told in house.told()[1:]] == [
        (LEASE_ENDED, 1, registers.BY_NAME["curve_shift_sp_k"].address)
    ]
    assert house.told()[1][3] & 0xFFFF == 0x10000 - 200


def test_an_authentic_refusal_is_told_with_who_and_why(house):
    house.order({"curve_shift_sp_k": -15.0}, slot=order_frame.TECHNICIAN)
    house.order({"secondary_supply_temp_sp_c": 90.0})
    assert house.told() == [
        (REFUSED, 3, causes.RIGHT, 0, SOURCE),
        (REFUSED, 1, causes.LIMIT, registers.BY_NAME["secondary_supply_temp_sp_c"].address, SOURCE),
    ]


def test_s9_who_holds_a_key_is_coalesced_as_well(house):
    for number in range(200):
        house.order({"curve_shift_sp_k": -1.0 - number % 3})
    assert len(house.told()) == event_log.BURST
    house.ticks.now_ms += 3_600_000
    house.log.save_when_due(house.uptime.advance())
    assert house.told()[-1] == (MORE, 1, 0, 200 - event_log.BURST, 0)


def test_a_stranger_is_told_with_cause_and_source_and_counted_beyond(house):
    for _ in range(100):
        assert house.order({"curve_shift_sp_k": -1.0}, key=bytes(32)) is None
    assert house.told() == [(REFUSED, 0, causes.MAC, 1, SOURCE)]
    assert house.read("refused_mac_count") == 100


def test_a_later_epoch_is_told(house):
    house.order({"curve_shift_sp_k": -1.0}, epoch=3)
    assert house.told()[0] == (EPOCH, 1, 0, 3, SOURCE)


def test_the_time_is_told_when_it_was_unknown_or_wrong(house):
    row = registers.BY_NAME["unix_time_set_s"]
    for off_s in (0, 30, 90):
        at_s = (house.clock.unix_s() or 1_800_000_000) + off_s
        house.order(((row.address, (at_s >> 16, at_s & 0xFFFF)),))
        house.step(86_400)  # or the next is refused
    wrong_s = 1_800_000_000 + 2 * 86_400 + 30
    assert [told[:4] for told in house.told()] == [(TIME, 1, 0, 0), (TIME, 1, 0, wrong_s)]


def test_an_update_is_told_with_its_digest(house):
    names = ("update_size_b", "update_digest_1_code", "update_digest_2_code", "update_digest_3_code",
             "update_digest_4_code")  # fmt: skip
    house.order({**{name: 0x01020304 for name in names}, "update_command_number": 1})
    house.order({"update_command_number": 2})
    assert [told[:4] for told in house.told()] == [(UPDATE, 1, 1, 0x01020304), (UPDATE, 1, 2, 0)]


def test_button_program_and_tasks_are_told(rig):
    rig.log.watch(2, 0, True, ())
    rig.log.watch(4, 0, True, ())
    rig.log.watch(6, 0, False, ())
    rig.log.program(1, 5, 0)
    rig.log.program(1, 5, 0)
    rig.log.program(0, 5, 0)
    rig.log.task(1, KeyError())
    found = rig.records()[1:]
    assert [(r["kind"], r["who"], r["what"]) for r in found] == [
        (SERVICE, 6, 1), (SERVICE, 6, 0), (PROGRAM, 0, 1), (PROGRAM, 0, 0), (TASK, 0, 1),
    ]  # fmt: skip


# -- what is read ---------------------------------------------------------------------------------------


def test_records_are_words_of_files_in_flash_and_in_the_heap_alike(rig):
    for number in range(2 * SEGMENT_RECORDS + 7):
        rig.log.note(ORDER, 1, 100, number)
        if number % 20 == 19:
            rig.pass_time(3_600, 600)
    whole = b"".join(rig.read(16 * k, 16) for k in range(len(rig.records())))
    assert rig.log._count > 0
    for word in range(0, len(whole) // 2 - 120, 37):
        assert rig.read(word, 120) == whole[2 * word : 2 * word + 240]
    assert rig.read(len(whole) // 2 - 1, 2) is None
    assert rig.log.read(102, 0, 1, bytearray(9), 3) is False


def test_a_file_of_the_log_ends_where_modbus_lets_it(rig):
    for number in range(700):
        rig.log.note(ORDER, 1, 100, number)
        if number % 20 == 19:
            rig.pass_time(3_600, 600)
    assert rig.read(9_999, 1) is not None
    assert rig.log.read(101, 9_999, 2, bytearray(9), 3) is False
    assert rig.read(10_000, 16)[:4] == (625).to_bytes(4, "big")


def test_a_damaged_file_is_refused_not_made_up(rig):
    rig.pass_time(62)
    (rig.folder / "log.0").write_bytes(b"")
    assert rig.read(0, 16) is None
    (rig.folder / "log.0").unlink()
    assert rig.read(0, 16) is None


def test_the_seal_proves_the_head_to_who_asked(house):
    house.order({"curve_shift_sp_k": -2.0})
    block = house.mailbox.seal(0, b"challeng")
    assert len(block) == 2 * registers.LOG_SEAL_WORDS
    key = order_frame.slot_key(ROOT_KEY, 0, 1)
    mac = order_frame.hmac_sha256(key, b"TVL1" + DEVICE_ID + block[:-16])[:16]
    assert block[-16:] == mac and block[2:10] == b"challeng"
    assert struct.unpack(">5I", block[10:30])[1:] == (0, 2, 0, 0)
    assert block[30:62] == GENESIS


def test_without_a_root_key_the_seal_verifies_for_nobody(ticks, tmp_path):
    rig = OrderRig(ticks, root_key=None)
    rig.mailbox.log = LogRig(ticks, tmp_path).log
    assert rig.mailbox.seal(0, b"challeng")[-16:] == bytes(16)
