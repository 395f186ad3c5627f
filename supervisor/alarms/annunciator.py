"""Keep the town's alarms: delays, states, groups, shelves, and every transition on disk.

It refuses to drop an alarm, to flood (many of one kind in one area are one alarm with children), to
tell a person that something is noted before it is on disk, and to shelve without an end and a reason.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from firmware.substation import registers

from ..access import EVERYWHERE, Access
from ..audit import Audit
from ..clock import PRIORITY_ALARMS, Clock
from ..database import Connection, Database
from ..errors import Conflict, NotFound, Refused, Unavailable
from ..latest import Latest
from ..site import Site
from .conditions import Conditions, Key
from .records import AREA, DEVICE, Record, records_of
from .states import (
    ACKNOWLEDGE,
    ACKNOWLEDGED,
    CLEAR,
    NORMAL,
    RAISE,
    REANNUNCIATE,
    RETURNED,
    SHELVE,
    SHELVED,
    UNACKNOWLEDGED,
    UNSHELVE_ACTIVE,
    UNSHELVE_NORMAL,
    Delay,
    after,
)

PERIOD_S = 2.0
GROUP_AT_LEAST = 3  # fewer devices are named one by one (own estimate)
GROUP_SHARE = 0.5  # of the area's devices (own estimate); the group ends below half of that
SHELVE_MAX_MIN = 24 * 60  # a day; longer is maintenance and belongs into the site file (own estimate)
FLOOD_PER_10_MIN = 10  # EEMUA 191
STALE_S = 86400.0

Signal = Callable[[], str | None]
DeviceSignal = Callable[[], Mapping[str, dict[str, Any]]]  # facts by device; what cannot be judged stays in


@dataclass
class Alarm:
    """One alarm. `values` are the facts its text names; `device_id` is a device, an area or empty (site)."""

    id: str
    kind: str
    device_id: str
    area: str
    priority: int
    state: str
    since_utc: datetime
    changed_utc: datetime
    text_key: str
    action_key: str
    consequence_key: str
    respond_within_s: int
    values: dict[str, Any] = field(default_factory=dict)
    cause_id: str = ""
    children: tuple[str, ...] = ()
    shelved_until_utc: datetime | None = None
    shelved_by: str = ""
    shelve_reason: str = ""

    @property
    def needs_acknowledgement(self) -> bool:
        """Say whether a person still has to take note; children are noted with their cause."""
        return self.state in (UNACKNOWLEDGED, RETURNED) and not self.cause_id

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "device_id": self.device_id,
            "area": self.area,
            "priority": self.priority,
            "state": self.state,
            "since_utc": self.since_utc.isoformat(),
            "changed_utc": self.changed_utc.isoformat(),
            "text_key": self.text_key,
            "action_key": self.action_key,
            "consequence_key": self.consequence_key,
            "respond_within_s": self.respond_within_s,
            "values": self.values,
            "cause_id": self.cause_id,
            "children": list(self.children),
            "shelved_until_utc": self.shelved_until_utc.isoformat() if self.shelved_until_utc else None,
            "shelved_by": self.shelved_by,
            "shelve_reason": self.shelve_reason,
        }


@dataclass(frozen=True)
class _Move:
    """A transition about to be kept."""

    alarm: Alarm
    event: str
    before: str
    user: str = ""
    reason: str = ""


class Alarms:
    """The alarms of a site. `signals` give, by kind, why something of the supervisor itself has stopped.

    `device_signals` give, by kind, the devices at which something holds that no single reading tells.
    """

    def __init__(
        self,
        site: Site,
        state: Database,
        audit: Audit,
        access: Access,
        clock: Clock,
        *,
        signals: Mapping[str, Signal] | None = None,
        device_signals: Mapping[str, DeviceSignal] | None = None,
    ) -> None:
        self._site = site
        self._state = state
        self._audit = audit
        self._access = access
        self._clock = clock
        self._signals = dict(signals or {})
        self._device_signals = dict(device_signals or {})
        self.records: dict[str, Record] = records_of(site.alarms)
        self._conditions = Conditions(site, self.records)
        self._areas = {device.id: device.area for device in site.devices}
        self._sizes: dict[str, int] = {}
        for device in site.devices:
            self._sizes[device.area] = self._sizes.get(device.area, 0) + 1
        self._alarms: dict[str, Alarm] = {}
        self._delays: dict[Key, Delay] = {}
        self._annunciated: deque[tuple[datetime, str]] = deque(maxlen=10_000)
        self.version = 0
        """Rises with every transition."""

    @property
    def least_dp_bar(self) -> float:
        """Return the differential pressure at a house, in bar, below which low_dp holds."""
        return self.records["low_dp"].limit

    # -- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Load the alarms in hand; nothing that was on disk is forgotten."""
        for row in self._state.read("SELECT * FROM alarms WHERE state<>?", (NORMAL,)):
            record = self.records.get(row["kind"])
            if record is None:
                continue  # a kind that this version no longer has; its journal stays
            until = row["shelved_until"]
            alarm = self._new(record, row["device"], row["state"], datetime.fromisoformat(row["since"]))
            alarm.changed_utc = datetime.fromisoformat(row["changed"])
            alarm.values = json.loads(row["facts"])
            alarm.cause_id = row["cause"]
            alarm.shelved_until_utc = datetime.fromisoformat(until) if until else None
            alarm.shelved_by, alarm.shelve_reason = row["shelved_by"], row["shelve_reason"]
            self._alarms[alarm.id] = alarm
            # what was active stays so until its off-delay has passed with good readings
            active = alarm.state in (UNACKNOWLEDGED, ACKNOWLEDGED)
            key = (alarm.kind, alarm.device_id)
            self._delays[key] = Delay(record.on_delay_s, record.off_delay_s, active=active)
        self._link_children()

    async def run(self, latest: Latest) -> None:
        """Evaluate every control period."""
        due = self._clock.monotonic()
        while True:
            await self.evaluate(latest)
            due = max(due + PERIOD_S, self._clock.monotonic())
            await self._clock.sleep_until(due, PRIORITY_ALARMS)

    async def evaluate(self, latest: Latest) -> list[Alarm]:
        """Read the conditions once; returns the alarms that changed, all of them on disk."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        on = frozenset(key for key, delay in self._delays.items() if delay.active)
        holds, blind = self._conditions.read(latest, on)
        for kind, signal in self._signals.items():
            why = signal()
            if why:
                holds[kind, ""] = {"why": why}
        for kind, told in self._device_signals.items():
            holds |= {(kind, device): dict(facts) for device, facts in told().items()}
        groups = self._groups(holds, blind)
        holds.update(groups)

        moves: list[_Move] = []
        for key in list(dict.fromkeys([*holds, *self._delays])):
            if key not in holds and key in blind:
                continue
            record = self.records[key[0]]
            delay = self._delays.get(key)
            if delay is None:
                delay = self._delays[key] = Delay(record.on_delay_s, record.off_delay_s)
            before = delay.active
            active = delay.feed(key in holds, now)
            self._move(record, key, before, active, holds.get(key), utc, moves)
            if delay.resting and self._id(*key) not in self._alarms:
                del self._delays[key]
        self._unshelve(utc, moves)
        self._regroup(utc, moves)
        await self._keep(moves)
        return [move.alarm for move in moves]

    def _move(
        self,
        record: Record,
        key: Key,
        before: bool,
        active: bool,
        facts: dict[str, Any] | None,
        utc: datetime,
        moves: list[_Move],
    ) -> None:
        alarm = self._alarms.get(self._id(*key))
        if alarm is None:
            if not active:
                return
            alarm = self._new(record, key[1], NORMAL, utc)
            self._alarms[alarm.id] = alarm
        if facts is not None and active:
            alarm.values = _merge(alarm.values, facts) if alarm.state != NORMAL else facts
        event = RAISE if active else CLEAR
        if before != active or alarm.state == NORMAL:
            self._go(alarm, event, utc, moves)

    def _go(
        self, alarm: Alarm, event: str, utc: datetime, moves: list[_Move], user: str = "", reason: str = ""
    ) -> None:
        state = after(alarm.state, event)
        if state == alarm.state:
            return
        if state == UNACKNOWLEDGED and alarm.state in (NORMAL, RETURNED):
            alarm.since_utc = utc
        moves.append(_Move(alarm, event, alarm.state, user, reason))
        alarm.state, alarm.changed_utc = state, utc

    # -- groups -------------------------------------------------------------------------------

    def _groups(
        self, holds: Mapping[Key, dict[str, Any]], blind: frozenset[Key]
    ) -> dict[Key, dict[str, Any]]:
        """Return the area conditions: many of one kind in one area, counted before any delay."""
        # a device that went silent while its condition held still counts: silence heals nothing
        unseen = {key for key in blind if (delay := self._delays.get(key)) is not None and delay.active}
        found: dict[Key, dict[str, Any]] = {}
        counts: dict[Key, int] = {}
        for kind, device in dict.fromkeys([*holds, *sorted(unseen)]):
            group = self.records[kind].group
            if group:
                key = (group, self._areas[device])
                counts[key] = counts.get(key, 0) + 1
        for (group, area), count in counts.items():
            least = max(GROUP_AT_LEAST, GROUP_SHARE * self._sizes[area])
            delay = self._delays.get((group, area))
            if delay is not None and delay.active:
                least /= 2  # once grouped, it stays a group while it heals
            if count >= least:
                found[group, area] = {"count": count, "of": self._sizes[area]}
        return found

    def _regroup(self, utc: datetime, moves: list[_Move]) -> None:
        """Put children under their cause; what outlives it is annunciated again."""
        for alarm in list(self._alarms.values()):
            group = self.records[alarm.kind].group
            if not group:
                continue
            cause = self._alarms.get(self._id(group, alarm.area))
            living = cause is not None and cause.state in (UNACKNOWLEDGED, ACKNOWLEDGED, SHELVED)
            # what has returned together with its cause is noted together with it
            over = cause is not None and cause.state == RETURNED and alarm.state == RETURNED
            if living and cause is not None and not alarm.cause_id and alarm.state != SHELVED:
                alarm.cause_id = cause.id
                moves.append(_Move(alarm, "grouped", alarm.state))
            elif alarm.cause_id and not living and not over:
                alarm.cause_id = ""
                if alarm.state == ACKNOWLEDGED:
                    self._go(alarm, REANNUNCIATE, utc, moves)
                else:
                    moves.append(_Move(alarm, "ungrouped", alarm.state))
        self._link_children()

    def _link_children(self) -> None:
        children: dict[str, list[str]] = {}
        for alarm in self._alarms.values():
            if alarm.cause_id and alarm.state != NORMAL:
                children.setdefault(alarm.cause_id, []).append(alarm.id)
        for alarm in self._alarms.values():
            alarm.children = tuple(sorted(children.get(alarm.id, ())))

    # -- people -------------------------------------------------------------------------------

    async def acknowledge(self, user: str, alarm_id: str, reason: str = "") -> Alarm:
        """Take note of an alarm and of its children; returns once that is on disk.

        Raises NotFound, NotAllowed, or Conflict where there is nothing to take note of.
        """
        alarm = self._find(alarm_id)
        self._check(user, "acknowledge", alarm)
        if alarm.state not in (UNACKNOWLEDGED, RETURNED):
            raise Conflict(
                "nothing_to_acknowledge", f"{alarm_id} is {alarm.state} already; nothing was changed."
            )
        utc = self._clock.utc()
        moves: list[_Move] = []
        for one in (alarm, *(self._alarms[child] for child in alarm.children)):
            self._go(one, ACKNOWLEDGE, utc, moves, user, reason[:500])
        await self._keep(moves)
        await self._note(user, alarm, "acknowledged", reason)
        return alarm

    async def shelve(self, user: str, alarm_id: str, minutes: float, reason: str) -> Alarm:
        """Set an alarm aside until `minutes` from now; then it is judged anew.

        Raises Refused without a reason or with an end more than a day away.
        """
        alarm = self._find(alarm_id)
        self._check(user, "shelve", alarm)
        if not 1 <= minutes <= SHELVE_MAX_MIN:
            raise Refused(
                "shelve_end",
                f"An alarm is shelved for 1 to {SHELVE_MAX_MIN} minutes; nothing was changed.",
            )
        if len(reason.strip()) < 3:
            raise Refused("shelve_reason", "Shelving an alarm needs a reason; nothing was changed.")
        utc = self._clock.utc()
        alarm.shelved_until_utc = utc + timedelta(minutes=minutes)
        alarm.shelved_by, alarm.shelve_reason = user, reason[:500]
        moves: list[_Move] = []
        if alarm.state == SHELVED:
            moves.append(_Move(alarm, SHELVE, SHELVED, user, reason[:500]))
        self._go(alarm, SHELVE, utc, moves, user, reason[:500])
        await self._keep(moves)
        await self._note(user, alarm, "shelved", reason)
        return alarm

    async def unshelve(self, user: str, alarm_id: str) -> Alarm:
        """Take a shelved alarm back before its time."""
        alarm = self._find(alarm_id)
        self._check(user, "shelve", alarm)
        if alarm.state != SHELVED:
            raise Conflict("not_shelved", f"{alarm_id} is not shelved; nothing was changed.")
        alarm.shelved_until_utc = self._clock.utc()
        moves: list[_Move] = []
        self._unshelve(self._clock.utc(), moves, user)
        await self._keep(moves)
        await self._note(user, alarm, "unshelved", "")
        return alarm

    def _unshelve(self, utc: datetime, moves: list[_Move], user: str = "") -> None:
        for alarm in list(self._alarms.values()):
            if alarm.state == SHELVED and (alarm.shelved_until_utc is None or utc >= alarm.shelved_until_utc):
                delay = self._delays.get((alarm.kind, alarm.device_id))
                active = delay is not None and delay.active
                self._go(alarm, UNSHELVE_ACTIVE if active else UNSHELVE_NORMAL, utc, moves, user)
                alarm.shelved_until_utc, alarm.shelved_by, alarm.shelve_reason = None, "", ""

    async def _note(self, user: str, alarm: Alarm, what: str, reason: str) -> None:
        # the alarm journal has it already; a full audit disk must not keep a person from taking note
        with contextlib.suppress(Unavailable):
            await self._audit.note(
                {
                    "actor": user,
                    "device": alarm.device_id,
                    "what": what,
                    "alarm": alarm.id,
                    "reason": reason[:500],
                }
            )

    # -- readers ------------------------------------------------------------------------------

    def active(self, *, shelved: bool = False) -> list[Alarm]:
        """Return the alarms in hand, most urgent first; children stand with their `cause_id`."""
        states = (UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED) + ((SHELVED,) if shelved else ())
        found = [alarm for alarm in self._alarms.values() if alarm.state in states]
        return sorted(
            found,
            key=lambda a: (a.state == ACKNOWLEDGED, a.priority, -a.since_utc.timestamp(), a.id),
        )

    def alarm(self, alarm_id: str) -> Alarm:
        """Return one alarm in hand. Raises NotFound."""
        return self._find(alarm_id)

    def journal(self, limit: int = 200) -> list[dict[str, Any]]:
        """Return the newest transitions, newest first."""
        rows = self._state.read("SELECT * FROM alarm_journal ORDER BY number DESC LIMIT ?", (limit,))
        return [dict(row) for row in rows]

    def kpis(self) -> dict[str, Any]:
        """Return the load on the operator by EEMUA 191: new alarms, flood, stale ones, worst kinds."""
        utc = self._clock.utc()

        def within(seconds: float) -> list[str]:
            return [alarm for when, alarm in self._annunciated if (utc - when).total_seconds() <= seconds]

        day = within(86400.0)
        worst = sorted({alarm: day.count(alarm) for alarm in set(day)}.items(), key=lambda item: -item[1])
        return {
            "new_10_min": len(within(600.0)),
            "new_hour": len(within(3600.0)),
            "new_day": len(day),
            "flood": len(within(600.0)) >= FLOOD_PER_10_MIN,
            "stale": sum(
                1
                for alarm in self._alarms.values()
                if alarm.state in (UNACKNOWLEDGED, ACKNOWLEDGED)
                and (utc - alarm.since_utc).total_seconds() > STALE_S
            ),
            "shelved": sum(1 for alarm in self._alarms.values() if alarm.state == SHELVED),
            "bad_actors": [{"alarm": alarm, "count": count} for alarm, count in worst[:10]],
        }

    # -- small parts --------------------------------------------------------------------------

    async def _keep(self, moves: list[_Move]) -> None:
        """Put transitions on disk, then show them; a failing disk does not hide an alarm."""
        if not moves:
            return
        rows = [
            (
                a.id, a.kind, a.device_id, a.state, a.since_utc.isoformat(), a.changed_utc.isoformat(),
                json.dumps(a.values), a.cause_id,
                a.shelved_until_utc.isoformat() if a.shelved_until_utc else "", a.shelved_by, a.shelve_reason,
            )
            for a in {move.alarm.id: move.alarm for move in moves}.values()
        ]  # fmt: skip
        utc = self._clock.utc().isoformat()
        journal = [(utc, m.alarm.id, m.event, m.before, m.alarm.state, m.user, m.reason) for m in moves]

        def job(connection: Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO alarms VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
            connection.executemany(
                "INSERT INTO alarm_journal (utc, alarm, event, before, after, user, reason)"
                " VALUES (?,?,?,?,?,?,?)",
                journal,
            )

        person = any(move.user for move in moves)
        try:
            await self._state.write(job)
        except Unavailable:
            # the condition is real and must be seen; what a person did must not look kept when it is not
            if person:
                for move in reversed(moves):
                    move.alarm.state = move.before
                raise
        for move in moves:
            alarm = move.alarm
            if move.event in (RAISE, REANNUNCIATE, UNSHELVE_ACTIVE) and not alarm.cause_id:
                self._annunciated.append((self._clock.utc(), alarm.id))
            if alarm.state == NORMAL:
                self._alarms.pop(alarm.id, None)
        self._link_children()
        self.version += 1

    def _new(self, record: Record, device: str, state: str, utc: datetime) -> Alarm:
        priority = record.priority
        area = device if record.scope == AREA else self._areas.get(device, "")
        if record.scope == DEVICE and record.kind == "lost_communication" and self._is_plant(device):
            priority = 1  # without its plant the town has no eyes on the pressure
        return Alarm(
            self._id(record.kind, device), record.kind, device, area, priority, state, utc, utc,
            record.text_key, record.action_key, record.consequence_key, record.respond_within_s,
        )  # fmt: skip

    def _is_plant(self, device: str) -> bool:
        return any(
            station.id == device and station.profile == registers.PUMP_STATION
            for station in self._site.stations
        )

    def _id(self, kind: str, device: str) -> str:
        return f"{kind}.{device}" if device else kind

    def _find(self, alarm_id: str) -> Alarm:
        alarm = self._alarms.get(alarm_id)
        if alarm is None:
            raise NotFound("unknown_alarm", f"There is no alarm {alarm_id!r} in hand; nothing was changed.")
        return alarm

    def _check(self, user: str, action: str, alarm: Alarm) -> None:
        """Raise NotAllowed; an alarm of the whole site is for whoever may act in any area of it."""
        person = self._access.user(user)
        if not alarm.area and any(person.can(action, area.id) for area in self._site.areas):
            return
        self._access.check(user, action, alarm.area or EVERYWHERE)


def _merge(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the newest facts; counts of attacks add up while the alarm is in hand."""
    merged = {**before, **now}
    if "count" in before and "count" in now and "of" not in now:
        merged["count"] = before["count"] + now["count"]
    return merged
