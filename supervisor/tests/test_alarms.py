"""Alarms: every state and event, groups, shelves, floods, crashes; fed through the real `latest`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware.substation import order_frame, registers

from ..access import Access
from ..alarms import ACKNOWLEDGED, NORMAL, RECORDS, RETURNED, SHELVED, UNACKNOWLEDGED, Alarm, Alarms, after
from ..alarms.records import records_of
from ..alarms.states import (
    ACKNOWLEDGE,
    CLEAR,
    EVENTS,
    RAISE,
    REANNUNCIATE,
    SHELVE,
    STATES,
    UNSHELVE_ACTIVE,
    UNSHELVE_NORMAL,
    Delay,
)
from ..audit import Audit
from ..clock import LockstepClock
from ..errors import Conflict, NotAllowed, NotFound, Refused
from ..field.blocks import BLOCKS
from ..field.identity import Identity
from ..latest import Latest
from ..site import Site
from ..state import open_state

EPOCH = datetime(2026, 1, 12, tzinfo=UTC)
HOUSES = 12


# -- the state machine alone ------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_state_and_event_is_defined(state: str, event: str) -> None:
    assert after(state, event) in STATES


def test_what_is_no_state_or_event_is_an_error() -> None:
    for state, event in (("x", RAISE), (NORMAL, "x")):
        with pytest.raises(ValueError):
            after(state, event)


class AlarmModel(RuleBasedStateMachine):
    """Any order of events: what a person has not noted never disappears, what is active always shows."""

    def __init__(self) -> None:
        super().__init__()
        self.state = NORMAL
        self.active = False
        self.owed = False  # raised and not yet noted by a person

    def go(self, event: str) -> None:
        self.state = after(self.state, event)

    @initialize()
    def begin(self) -> None:
        self.state, self.active, self.owed = NORMAL, False, False

    @rule()
    def raised(self) -> None:
        if not self.active and self.state != SHELVED:
            self.owed = True
        self.active = True
        self.go(RAISE)

    @rule()
    def cleared(self) -> None:
        self.active = False
        self.go(CLEAR)

    @rule()
    def acknowledged(self) -> None:
        if self.state in (UNACKNOWLEDGED, RETURNED):
            self.owed = False
        self.go(ACKNOWLEDGE)

    @rule()
    def shelved(self) -> None:
        self.owed = False
        self.go(SHELVE)

    @rule()
    def shelf_time_over(self) -> None:
        if self.state == SHELVED:
            self.owed = self.active
            self.go(UNSHELVE_ACTIVE if self.active else UNSHELVE_NORMAL)

    @rule()
    def outlived_its_cause(self) -> None:
        if self.state == ACKNOWLEDGED:
            self.owed = True
        self.go(REANNUNCIATE)

    @invariant()
    def nothing_owed_is_dropped(self) -> None:
        assert (self.state in (UNACKNOWLEDGED, RETURNED)) == self.owed

    @invariant()
    def active_shows(self) -> None:
        if self.state != SHELVED:
            assert (self.state in (UNACKNOWLEDGED, ACKNOWLEDGED)) == self.active


AlarmModel.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestAlarmModel = AlarmModel.TestCase


@given(
    on=st.floats(0, 50),
    off=st.floats(0, 50),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0.1, 20)), max_size=60),
)
@settings(deadline=None)
def test_a_delay_never_reacts_to_less_than_its_time(
    on: float, off: float, steps: list[tuple[bool, float]]
) -> None:
    delay, now, since, previous = Delay(on, off), 0.0, 0.0, False
    for raw, dt in steps:
        now += dt
        if raw != previous:
            since, previous = now, raw
        before = delay.active
        active = delay.feed(raw, now)
        if active != before:
            assert now - since >= (on if active else off) - 1e-9
            assert active == raw
        elif raw != active:
            assert now - since < (on if raw else off) + 1e-9


def test_every_record_is_rationalised() -> None:
    for kind, record in RECORDS.items():
        assert record.kind == kind
        assert record.respond_within_s > 0
        assert record.priority in (1, 2, 3)
        assert record.action_key == f"alarm.{kind}.action"
        assert not record.group or record.group in RECORDS
    assert RECORDS["low_dp"].limit == 0.4


def test_site_settings_are_applied_or_named() -> None:
    records = records_of(
        {"low_dp_bar": 0.5, "low_dp_delay_s": 30, "lost_communication_s": 90, "water_lost_pct": 20}
    )
    assert records["water_lost"].limit == 0.2
    assert (records["low_dp"].limit, records["low_dp"].on_delay_s) == (0.5, 30)
    assert records["lost_communication"].on_delay_s == 90
    with pytest.raises(Refused) as refusal:
        records_of({"low_dp_bra": 0.5, "manual_delay_s": "x", "low_dp_bar": 99, "water_lost_pct": 0.1})
    for word in ("low_dp_bra", "manual_delay_s", "99", "water_lost_pct"):
        assert word in refusal.value.message


# -- the whole, fed through latest ------------------------------------------------------------


class Control:
    """A site with HOUSES houses in two areas and a plant; readings are put into `latest` by hand."""

    def __init__(self, folder: Path, stations: tuple[str, ...] = ("plant",)) -> None:
        self.folder = folder
        lines = ['[site]\nname = "Town"\n', '[[area]]\nid = "north"\n', '[[area]]\nid = "south"\n']
        for number in range(HOUSES):
            area = "north" if number < HOUSES // 2 else "south"
            lines.append(
                f'[[substation]]\nid = "house-{number:02d}"\naddress = "127.0.0.1:0"\narea = "{area}"\n'
                + ("limits = { contract_flow_limit_m3_h = 0.8 }\n" if number else "")
            )
        for station in stations:
            lines.append(f'[[pump_station]]\nid = "{station}"\naddress = "127.0.0.1:0"\narea = "north"\n')
        (folder / "site.toml").write_text("\n".join(lines))
        self.site = Site.load(folder / "site.toml")
        self.clock = LockstepClock(EPOCH)
        self.latest = Latest(self.site, self.clock)
        self.values: dict[str, dict[str, float | None]] = {}
        self.boots: dict[str, int] = {}
        self.dead: set[str] = set()
        self.why: dict[str, str | None] = {"audit_stopped": None, "history_stopped": None}
        for device in self.site.devices:
            self.boots[device.id] = 1
            self.values[device.id] = {
                row.name: 0.0
                for row in registers.BY_PROFILE[device.profile]
                if row.space == registers.INPUT and row.address >= 40
            }
            if device.profile == registers.SUBSTATION:
                self.values[device.id]["primary_dp_bar"] = 0.8

    async def open(self) -> None:
        self.state = open_state(self.folder)
        self.audit = Audit(self.folder, self.folder / "witness", self.clock)
        await self.audit.open()
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.access = Access(self.state, self.audit, self.site.areas, hasher=hasher)
        if not self.access.users():
            for name, roles in (
                ("ana", {"north": "operator", "south": "viewer"}),
                ("bor", {"*": "operator"}),
                ("vid", {"*": "viewer"}),
            ):
                await self.access.add_user(name, "copper kettle window six", roles, by="setup")
        self.alarms = Alarms(
            self.site, self.state, self.audit, self.access, self.clock,
            signals={kind: partial(self.why.__getitem__, kind) for kind in self.why},
        )  # fmt: skip
        await self.alarms.open()

    async def close(self) -> None:
        await self.audit.close()
        self.state.close()

    def poll(self) -> None:
        for device in self.site.devices:
            if device.id in self.dead:
                self.latest.missed(device.id, "no answer")
                continue
            for block in ("status", "inputs"):
                words: list[int] = []
                for row in BLOCKS[device.profile][block].rows:
                    raw = registers.to_raw(row, self.values[device.id][row.name])
                    words.extend(registers.words_of_raw(row, raw))
                self.latest.store(device.id, block, words)
            boots = self.boots[device.id]
            self.latest.identified(
                device.id,
                Identity(
                    registers.IDENTITY_MAGIC, 1, registers.map_hash(), device.id.encode()[:8].ljust(8),
                    device.profile, boots, order_frame.boot_nonce(boots, bytes(8)), 100, 0, 0, 1,
                    (1, 1, 1, 1), 0.0,
                ),
            )  # fmt: skip
            self.latest.answered(device.id)

    async def run(self, seconds: float, step: float = 10.0) -> None:
        """Poll and evaluate every `step` seconds."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            await self.clock.advance(min(end, self.clock.monotonic() + step))
            self.poll()
            await self.alarms.evaluate(self.latest)

    def top(self) -> list[Alarm]:
        return [alarm for alarm in self.alarms.active() if not alarm.cause_id]

    def ids(self) -> dict[str, str]:
        return {alarm.id: alarm.state for alarm in self.top()}


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    control = Control(tmp_path)
    await control.open()
    await control.run(30)
    yield control
    await control.close()


async def test_a_quiet_town_has_no_alarm(control: Control) -> None:
    await control.run(3600, step=60)
    assert control.ids() == {}
    assert control.alarms.kpis()["new_day"] == 0


async def test_low_pressure_at_a_house_is_raised_noted_and_returns(control: Control) -> None:
    control.values["house-03"]["primary_dp_bar"] = 0.39
    await control.run(110)
    assert control.ids() == {}
    await control.run(30)
    (alarm,) = control.top()
    assert (alarm.id, alarm.state, alarm.area) == ("low_dp.house-03", UNACKNOWLEDGED, "north")
    assert alarm.values == {"value_bar": 0.39, "limit_bar": 0.4}
    assert alarm.respond_within_s == 1800
    noted = await control.alarms.acknowledge("ana", alarm.id)
    assert noted.state == ACKNOWLEDGED
    # inside the dead band it stays
    control.values["house-03"]["primary_dp_bar"] = 0.44
    await control.run(300)
    assert control.ids() == {"low_dp.house-03": ACKNOWLEDGED}
    control.values["house-03"]["primary_dp_bar"] = 0.5
    await control.run(90)
    assert control.ids() == {}


async def test_what_nobody_noted_stays_after_it_returned(control: Control) -> None:
    control.values["house-03"]["primary_dp_bar"] = 0.2
    await control.run(150)
    control.values["house-03"]["primary_dp_bar"] = 0.8
    await control.run(600)
    assert control.ids() == {"low_dp.house-03": RETURNED}
    await control.alarms.acknowledge("ana", "low_dp.house-03")
    assert control.ids() == {}
    with pytest.raises(NotFound):
        await control.alarms.acknowledge("ana", "low_dp.house-03")


async def test_silence_neither_raises_nor_clears_what_readings_tell(control: Control) -> None:
    control.values["house-03"]["primary_dp_bar"] = 0.2
    await control.run(150)
    control.dead.add("house-03")
    control.values["house-03"]["primary_dp_bar"] = 0.8
    await control.run(600)
    assert control.ids()["low_dp.house-03"] == UNACKNOWLEDGED
    assert control.ids()["lost_communication.house-03"] == UNACKNOWLEDGED
    control.dead.clear()
    await control.run(120)
    assert set(control.ids().values()) == {RETURNED}


async def test_rights_bind_to_the_area(control: Control) -> None:
    control.values["house-10"]["primary_dp_bar"] = 0.2  # south
    await control.run(150)
    for name in ("ana", "vid"):
        with pytest.raises(NotAllowed):
            await control.alarms.acknowledge(name, "low_dp.house-10")
        with pytest.raises(NotAllowed):
            await control.alarms.shelve(name, "low_dp.house-10", 30, "valve work")
    await control.alarms.acknowledge("bor", "low_dp.house-10")
    with pytest.raises(Conflict):
        await control.alarms.acknowledge("bor", "low_dp.house-10")


async def test_each_kind_is_raised_by_its_own_sign(control: Control) -> None:
    bits = {name: 1 << index for index, name in enumerate(registers.ALARM_BITS)}
    control.values["house-00"]["primary_return_temp_c"] = None
    control.values["house-01"]["refused_mac_count"] = 3
    control.values["house-02"]["control_mode_number"] = 2
    control.values["house-06"]["alarm_bits"] = bits["config_rejected"] | bits["valve_not_following"]
    control.values["house-07"]["alarm_bits"] = bits["frost_protection"] | bits["deficit_budget_spent"]
    control.values["house-08"]["alarm_bits"] = bits["refused_writes"] | bits["low_dp"]
    control.values["plant"]["alarm_bits"] = bits["low_dp"] | bits["dry_run"]
    control.values["house-04"]["alarm_bits"] = (
        bits["legionella_failed"] | bits["scald_limit"] | bits["sensor_doubt"]
    )
    control.values["house-05"]["alarm_bits"] = (
        bits["travel_budget"] | bits["meter_lost"] | bits["meter_doubt"]
    )
    control.boots["house-09"] = 2
    control.why["audit_stopped"] = "disk full"
    control.why["history_stopped"] = "disk full"
    await control.run(90)
    assert set(control.ids()) == {
        "lost_sensor.house-00", "refused_writes.house-01", "manual.house-02", "config_rejected.house-06",
        "valve_not_following.house-06", "frost_protection.house-07", "deficit_budget_spent.house-07",
        "refused_writes.house-08", "device_restarted.house-09", "audit_stopped", "history_stopped",
        "plant_low_dp.plant", "dry_run.plant", "legionella_failed.house-04", "scald_limit.house-04",
        "sensor_doubt.house-04", "travel_budget.house-05",
    }  # fmt: skip
    by_id = {alarm.id: alarm for alarm in control.top()}
    assert by_id["lost_sensor.house-00"].values == {"points": ["primary_return_temp_c"]}
    assert by_id["refused_writes.house-01"].values["count"] == 3
    assert by_id["refused_writes.house-01"].priority == 1
    assert by_id["audit_stopped"].values == {"why": "disk full"}
    # an alarm of the whole site is for any operator
    await control.alarms.acknowledge("ana", "audit_stopped")
    await control.run(600)  # a meter may be read seldom
    assert {"meter_lost.house-05", "meter_doubt.house-05"} <= set(control.ids())


def flows(control: Control, sent_m3_h: float, each_m3_h: float = 0.5) -> None:
    control.values["plant"]["plant_flow_m3_h"] = sent_m3_h
    for number in range(HOUSES):
        control.values[f"house-{number:02d}"]["primary_flow_m3_h"] = each_m3_h


async def test_water_that_arrives_nowhere_is_told(control: Control) -> None:
    flows(control, 6.6)  # 9 %: meters may say so
    await control.run(1800, step=60)
    assert control.ids() == {}
    flows(control, 7.0)
    await control.run(540)
    assert control.ids() == {}
    await control.run(120)
    (alarm,) = control.top()
    assert (alarm.id, alarm.state, alarm.priority) == ("water_lost.plant", UNACKNOWLEDGED, 1)
    assert alarm.values == {"sent_m3_h": 7.0, "missing_m3_h": 1.0}
    assert alarm.respond_within_s == 1800
    await control.alarms.acknowledge("ana", alarm.id)
    flows(control, 6.5)  # 7.7 %: inside the dead band it stays
    await control.run(1800, step=60)
    assert control.ids() == {"water_lost.plant": ACKNOWLEDGED}
    flows(control, 6.3)
    await control.run(700)
    assert control.ids() == {}


async def test_a_house_that_is_not_read_hides_a_leak_no_larger_than_its_contract(control: Control) -> None:
    control.dead.add("house-03")
    flows(control, 6.0)  # its own 0.5 m3/h are missing, 8 % of all, and 0.8 may be
    await control.run(1800, step=60)
    assert "water_lost.plant" not in control.ids()
    flows(control, 7.5)
    await control.run(700)
    assert control.ids()["water_lost.plant"] == UNACKNOWLEDGED
    assert {a.id: a for a in control.top()}["water_lost.plant"].values["missing_m3_h"] == 1.2
    control.dead.clear()
    control.dead.add("house-00")  # nobody knows its contract: neither raised nor cleared
    flows(control, 6.0)
    await control.run(1800, step=60)
    assert control.ids()["water_lost.plant"] == UNACKNOWLEDGED


async def test_of_several_stations_none_is_blamed_for_the_flow_of_another(tmp_path: Path) -> None:
    control = Control(tmp_path, stations=("plant", "booster"))
    await control.open()
    control.values["booster"]["plant_flow_m3_h"] = 9.0
    flows(control, 9.0)
    await control.run(1800, step=60)
    assert control.ids() == {}
    await control.close()


async def test_attacks_add_up_in_one_alarm(control: Control) -> None:
    for count in (5, 9, 20):
        control.values["house-01"]["refused_mac_count"] = count
        await control.run(60)
    (alarm,) = control.top()
    assert alarm.values["count"] == 20
    await control.run(1000, step=50)
    assert control.ids() == {"refused_writes.house-01": RETURNED}


async def test_the_loss_of_an_area_is_one_alarm_with_children(control: Control) -> None:
    lost = {f"house-{number:02d}" for number in range(HOUSES // 2, HOUSES)}
    control.dead |= lost
    await control.run(300)
    assert control.ids() == {"area_lost.south": UNACKNOWLEDGED}
    (cause,) = control.top()
    assert set(cause.children) == {f"lost_communication.{house}" for house in lost}
    assert cause.values["count"] == len(lost)
    assert control.alarms.kpis()["new_10_min"] == 1
    # noted together, and what outlives the cause is annunciated again
    await control.alarms.acknowledge("bor", cause.id)
    assert {alarm.state for alarm in control.alarms.active()} == {ACKNOWLEDGED}
    control.dead = {"house-11"}
    await control.run(120)
    assert control.ids() == {"lost_communication.house-11": UNACKNOWLEDGED}


async def test_children_that_return_with_an_unnoted_cause_stay_under_it(control: Control) -> None:
    control.dead |= {f"house-{number:02d}" for number in range(HOUSES // 2, HOUSES)}
    await control.run(300)
    control.dead.clear()
    await control.run(300)
    assert control.ids() == {"area_lost.south": RETURNED}
    await control.alarms.acknowledge("bor", "area_lost.south")
    assert control.alarms.active() == []


async def test_houses_named_before_the_area_fails_go_under_it(control: Control) -> None:
    control.dead |= {"house-06", "house-07"}
    await control.run(300)
    assert len(control.ids()) == 2
    control.dead |= {f"house-{number:02d}" for number in range(8, HOUSES)}
    await control.run(300)
    assert control.ids() == {"area_lost.south": UNACKNOWLEDGED}


async def test_shelving_takes_an_end_and_a_reason_and_ends_by_itself(control: Control) -> None:
    control.values["house-03"]["primary_dp_bar"] = 0.2
    control.values["house-04"]["primary_dp_bar"] = 0.2
    await control.run(150)
    for minutes, reason in ((0, "valve work"), (1441, "valve work"), (30, ""), (30, "  ")):
        with pytest.raises(Refused):
            await control.alarms.shelve("ana", "low_dp.house-03", minutes, reason)
    for house in ("house-03", "house-04"):
        await control.alarms.shelve("ana", f"low_dp.{house}", 30, "valve work")
    assert control.ids() == {}
    assert {alarm.state for alarm in control.alarms.active(shelved=True)} == {SHELVED}
    control.values["house-04"]["primary_dp_bar"] = 0.8
    await control.run(1700)
    assert control.ids() == {}
    await control.run(120)
    assert control.ids() == {"low_dp.house-03": UNACKNOWLEDGED}
    reasons = [row["reason"] for row in control.alarms.journal() if row["event"] == SHELVE]
    assert reasons == ["valve work", "valve work"]


async def test_a_shelf_can_be_emptied_early(control: Control) -> None:
    control.values["house-03"]["primary_dp_bar"] = 0.2
    await control.run(150)
    await control.alarms.shelve("ana", "low_dp.house-03", 60, "valve work")
    await control.alarms.unshelve("ana", "low_dp.house-03")
    assert control.ids() == {"low_dp.house-03": UNACKNOWLEDGED}


async def test_alarms_survive_a_restart_of_the_supervisor(control: Control) -> None:
    control.values["house-03"]["primary_dp_bar"] = 0.2
    control.values["house-04"]["primary_dp_bar"] = 0.2
    control.values["house-05"]["control_mode_number"] = 2
    await control.run(150)
    await control.alarms.acknowledge("ana", "low_dp.house-03")
    await control.alarms.shelve("ana", "manual.house-05", 60, "fitter on site")
    before = {alarm.id: alarm.as_dict() for alarm in control.alarms.active(shelved=True)}
    await control.close()
    await control.open()
    after_restart = {alarm.id: alarm.as_dict() for alarm in control.alarms.active(shelved=True)}
    assert after_restart == before
    await control.run(60)
    assert control.ids() == {"low_dp.house-03": ACKNOWLEDGED, "low_dp.house-04": UNACKNOWLEDGED}


async def test_a_chattering_reading_is_one_alarm(control: Control) -> None:
    for turn in range(60):
        control.values["house-03"]["primary_dp_bar"] = 0.39 if turn % 2 else 0.41
        await control.run(10)
    assert control.alarms.kpis()["new_day"] == 0
    control.values["house-03"]["primary_dp_bar"] = 0.3
    await control.run(130)
    for turn in range(60):
        control.values["house-03"]["primary_dp_bar"] = 0.39 if turn % 2 else 0.44
        await control.run(10)
    assert control.alarms.kpis()["new_day"] == 1


_KILLED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from supervisor.tests.test_alarms import Control

async def main():
    control = Control(Path(sys.argv[1]))
    await control.open()
    await control.run(30)
    turn = 0
    while True:
        for house in ("house-00", "house-01", "house-02", "house-06"):
            kind = f"manual.{house}"
            control.values[house]["control_mode_number"] = 2 * ((turn // 2) % 2)
        await control.run(40)
        for alarm in control.alarms.active():
            if alarm.state in ("unacknowledged", "returned"):
                noted = await control.alarms.acknowledge("bor", alarm.id)
                print(noted.id, noted.state, turn, flush=True)
        turn += 1

asyncio.run(main())
"""


def test_kill_9_loses_no_noted_transition(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path), root], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said: list[tuple[str, str]] = []
        for line in process.stdout:
            alarm, state, _ = line.split()
            said.append((alarm, state))
            if len(said) == 40:
                process.send_signal(signal.SIGKILL)
                break
        for line in process.stdout:
            if line.endswith("\n") and len(line.split()) == 3:
                said.append((line.split()[0], line.split()[1]))
    database = open_state(tmp_path)
    rows = database.read("SELECT alarm, after FROM alarm_journal WHERE event='acknowledge' ORDER BY number")
    kept = [(row["alarm"], row["after"]) for row in rows]
    database.close()
    assert len(said) >= 40
    assert kept[: len(said)] == said
