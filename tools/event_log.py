"""Read a controller's event log, prove its chain and its origin, and put each record into words.

It refuses to call a log whole that it has not gone through from its oldest record to the head that the seal
names, and to call it genuine without a key: a chain alone shows damage, not who wrote it.

The layout of a record, the chain and the seal: docs/modbus.md.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

from firmware.substation import registers
from supervisor.field.event_log import (
    BEGINNING,
    FOLLOWS,
    HEAD,
    NUMBER,
    SERIAL_LINE,
    Record,
    Seal,
    chain_fault,
    decode,
    decode_seal,
    pieces,
    split,
)
from supervisor.field.units import unit_of

from .controller import Controller, engineering_value
from .errors import ToolError
from .key_file import KeyFile

TRIES = 3  # the oldest file may be dropped while it is read

FAULTS = {
    BEGINNING: "it does not begin as a log of this device does",
    FOLLOWS: "record {at} does not follow from the one before",
    NUMBER: "record {at} says it is another",
    HEAD: "the last record is not the one that the controller names",
}
RESET_CAUSES = ("unknown", "power on", "hard reset", "watchdog", "deep sleep", "soft reset")
IMAGE_STATES = ("confirmed", "on trial", "provisional", "confirmed")
GIVEN_UP = ("", "was damaged", "ended by itself", "controlled worse", "was ordered back")
UPDATE_COMMANDS = ("", "opened", "started", "dropped", "ordered back", "of limits opened")
TASKS = ("Modbus", "serial line", "signature check")


@dataclass(frozen=True)
class Event:
    """One record. boot: the start it belongs to, None where that was dropped with older records."""

    sequence: int
    boot: int | None
    uptime_s: int
    time: str | None
    kind: str
    who: str
    source: str | None
    text: str
    in_flash: bool


@dataclass(frozen=True)
class Log:
    """broken: what is wrong with the chain, "" for nothing."""

    address: str
    device_id: str
    seal: Seal
    events: list[Event]
    broken: str

    @property
    def whole(self) -> bool:
        return not self.broken and self.seal.genuine is not False

    def as_json(self, since: int) -> dict[str, Any]:
        seal = self.seal
        return {
            "address": self.address, "device_id": self.device_id, "whole": self.whole,
            "broken": self.broken or None, "genuine": seal.genuine, "oldest": seal.oldest, "next": seal.next,
            "in_flash": seal.kept - seal.oldest, "lost": seal.lost, "head": seal.head.hex(),
            "records": [asdict(event) for event in self.events if event.sequence >= since],
        }  # fmt: skip


def read_log(controller: Controller, keys: KeyFile | None) -> Log:
    """Read the whole log. ToolError no_log, log_moved, and what `Controller` raises."""
    identity = controller.known_identity()
    for _ in range(TRIES):
        seal = _seal(controller, keys)
        records: list[bytes] = []
        for file, first, count in pieces(seal):
            records += split(controller.read_file_record(file, first, count))
        if _seal(controller, None).oldest == seal.oldest:
            break
    else:
        raise ToolError(
            "log_moved",
            f"{controller.address}: its oldest records were dropped {TRIES} times while they were read; "
            "nothing was changed. Read it again.",
        )
    fault = chain_fault(seal, records, identity.device_id)
    broken = FAULTS[fault[0]].format(at=fault[1]) if fault else ""
    return Log(
        str(controller.address), identity.device_id_hex, seal, _events(records, seal.kept, identity.profile),
        broken,
    )  # fmt: skip


def _seal(controller: Controller, keys: KeyFile | None) -> Seal:
    identity = controller.known_identity()
    slot = keys.slot if keys else 0
    challenge = os.urandom(8)
    block = controller.challenge(slot, challenge, registers.LOG_SEAL, registers.LOG_SEAL_WORDS)
    key = keys.key_for(identity.device_id_hex) if keys else None
    return decode_seal(block, identity.device_id, key, slot, challenge)


def _events(records: Sequence[bytes], kept: int, profile: str) -> list[Event]:
    """Return the records in words."""
    events: list[Event] = []
    limits: int | None = None
    for record in decode(records, kept):
        text = words_of(record.kind, record.slot, record.what, record.value, record.source, profile)
        if record.kind == "program" and record.source:
            changed = limits not in (None, record.source)
            text += f", limits {record.source:08x}" + (" (changed)" if changed else "")
            limits = record.source
        events.append(
            Event(
                record.sequence, record.boot, record.uptime_s, _time(record), record.kind, record.who,
                _source(record), text, record.in_flash,
            )
        )  # fmt: skip
    return events


def _time(record: Record) -> str | None:
    if not record.unix_s:
        return None
    return datetime.fromtimestamp(record.unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _source(record: Record) -> str | None:
    if not record.sent:
        return None
    return "serial line" if record.source == SERIAL_LINE else str(IPv4Address(record.source))


def _setpoint(profile: str, address: int, value: int | None) -> str:
    """Return a point by its name, with its value where there is one."""
    for row in registers.BY_PROFILE[profile]:
        if row.space == registers.HOLDING and row.address == address:
            if value is None:
                return str(row.name)
            words = registers.words_of(row)
            raw = registers.raw_of_words(
                row, (value & 0xFFFF,) if words == 1 else (value >> 16, value & 0xFFFF)
            )
            shown = engineering_value(row, raw)
            return f"{row.name} = {shown:g} {unit_of(row.name)}".rstrip()
    return f"register {address}"


def _named(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def words_of(name: str, who: int, what: int, value: int, source: int, profile: str) -> str:
    """Return what a record tells, as a person says it."""
    others = f" and {who >> 4} more" if who >> 4 else ""
    if name == "boot":
        rescued = ", rescued by the watchdog or from a dead control task" if what & 0x100 else ""
        return f"start {value} after {_named(RESET_CAUSES, what & 0xFF)}{rescued}, firmware {source:08x}"
    if name == "program":
        version = f"version {value}" if value else "the program over USB"
        before = _named(GIVEN_UP, what >> 8)
        return f"{version}, {_named(IMAGE_STATES, what & 0xFF)}" + (
            f"; the one before it {before}" if before else ""
        )  # fmt: skip
    if name == "order":
        return f"ordered {_setpoint(profile, what, value)}{others}"
    if name == "release":
        return f"released {_setpoint(profile, what, None)}{others}"
    if name == "more":
        return f"{value} more orders, not told one by one"
    if name == "lease_ended":
        return f"the lease on {_setpoint(profile, what, value)} ran out"
    if name == "refused":
        cause = _named(registers.REFUSALS, what)
        if who:
            return f"refused: {cause}" + (f" ({_setpoint(profile, value, None)})" if value else "")
        return f"refused, no order: {cause}, {value} since the start"
    if name in ("alarm_on", "alarm_off"):
        return f"alarm {_named(registers.ALARM_BITS, what)} {'came' if name == 'alarm_on' else 'went'}"
    if name == "service":
        return f"service mode {'began' if what else 'ended'}"
    if name == "epoch":
        return f"keys below epoch {value} are shut out"
    if name == "update":
        return f"update {_named(UPDATE_COMMANDS, what)}" + (f", digest {value:08x}" if value else "")
    if name == "time":
        if not value:
            return "the time was told, which was not known"
        return f"the time was set, before it was {datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if name in ("task", "died"):
        error = struct.pack(">II", value, source).rstrip(b"\0").decode("ascii", "replace")
        if name == "died":
            return f"the control task ended by {error}; the board was reset"
        return f"{_named(TASKS, what)} ended by {error} and was begun again"
    if name == "lost":
        return f"{value} records did not fit and are lost"
    return f"what {what}, value {value}, source {source}"


def named(event: Event) -> tuple[str, ...]:
    """Return the columns of an event for a table: number, when, who, what."""
    hours, rest = divmod(event.uptime_s, 3600)
    up = f"start {'?' if event.boot is None else event.boot} + {hours}:{rest // 60:02d}:{rest % 60:02d}"
    who = event.who if event.source is None else f"{event.who} {event.source}"
    return (f"{event.sequence}{'' if event.in_flash else '*'}", event.time or up, who, event.text)
