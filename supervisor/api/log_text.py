"""Say the records of a controller's own event log in the language of the request.

It refuses to judge a record: what the controller wrote is shown, also where the chain does not hold.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

from firmware.substation import registers

from ..device_log import DeviceLog
from ..field.event_log import SERIAL_LINE, WHO, Record, setpoint
from ..field.units import unit_of
from ..hmi import catalogue
from .points import decimals_of


def as_json(log: DeviceLog, language: str, profile: str, limit: int) -> dict[str, Any]:
    """Return the verdict on the whole log and its newest records, newest first."""
    seal = log.seal
    broken = None
    if log.fault is not None:
        broken = catalogue.text(language, f"log.fault.{log.fault[0]}", at=log.fault[1])
    limits: dict[int, bool] = {}
    before = None
    for record in log.records:
        if record.kind == "program" and record.source:
            limits[record.sequence] = before not in (None, record.source)
            before = record.source
    newest = log.records[: -limit - 1 : -1]
    return {
        "device": log.device_id,
        "read_utc": log.read_utc,
        "whole": log.whole,
        "genuine": seal.genuine,
        "broken": broken,
        "oldest": seal.oldest,
        "next": seal.next,
        "lost": seal.lost,
        "head": seal.head.hex(),
        "records": [
            {
                "sequence": record.sequence,
                "boot": record.boot,
                "uptime_s": record.uptime_s,
                "unix_s": record.unix_s or None,
                "kind": record.kind,
                "who": who(record, language),
                "text": words_of(record, language, profile, limits.get(record.sequence, False)),
                "in_flash": record.in_flash,
            }
            for record in newest
        ],
    }


def who(record: Record, language: str) -> str:
    """Return whose doing it was, with the address it came from."""
    if record.who in ("device", "button", "nobody"):
        name = catalogue.text(language, f"log.who.{record.who}")
    elif record.who in WHO:
        name = catalogue.text(language, f"value.lease_owner.{WHO.index(record.who)}")
    else:
        name = record.who
    if not record.sent:
        return name
    serial = record.source == SERIAL_LINE
    return f"{name} · {catalogue.text(language, 'log.serial_line') if serial else IPv4Address(record.source)}"


def words_of(record: Record, language: str, profile: str, limits_changed: bool = False) -> str:
    """Return what a record tells, as a person says it; a number that nobody knows is shown as it is."""

    def t(key: str, **values: Any) -> str:
        return catalogue.text(language, key, **values)

    def named(start: str, number: int) -> str:
        key = f"{start}.{number}"
        return t(key) if key in catalogue.strings(language) else str(number)

    kind, what, value = record.kind, record.what, record.value
    others = t("log.others", count=record.others) if record.others else ""
    if kind == "boot":
        rescued = t("log.rescued") if what & 0x100 else ""
        cause = named("log.reset", what & 0xFF)
        return t("log.boot", value=value, cause=cause, firmware=f"{record.source:08x}") + rescued
    if kind == "program":
        text = t("log.version", value=value) if value else t("log.over_usb")
        text += f", {named('log.image', what & 0xFF)}"
        text += f"; {named('log.given_up', what >> 8)}" if what >> 8 else ""
        if record.source:
            text += t("log.limits_changed" if limits_changed else "log.limits", code=f"{record.source:08x}")
        return text
    if kind in ("order", "lease_ended"):
        return t(f"log.{kind}", point=_point(language, profile, what, value)) + others
    if kind == "release":
        return t("log.release", point=_point(language, profile, what, None)) + others
    if kind == "refused":
        cause = named("value.last_refusal_number", what)
        if not record.slot:
            return t("log.refused_stranger", cause=cause, count=value)
        point = f" ({_point(language, profile, value, None)})" if value else ""
        return t("log.refused", cause=cause) + point
    if kind in ("alarm_on", "alarm_off"):
        name = registers.ALARM_BITS[what] if what < len(registers.ALARM_BITS) else ""
        return t(f"log.{kind}", alarm=t(f"bit.{name}") if name else what)
    if kind == "service":
        return t("log.service_on" if what else "log.service_off")
    if kind in ("epoch", "more", "lost"):
        return t(f"log.{kind}", value=value)
    if kind == "update":
        return named("log.update", what) + (t("log.digest", code=f"{value:08x}") if value else "")
    if kind == "time":
        return t("log.time_set", before=_utc(value)) if value else t("log.time_first")
    if kind in ("task", "died"):
        error = struct.pack(">II", value, record.source).rstrip(b"\0").decode("ascii", "replace")
        return t(f"log.{kind}", task=named("log.tasks", what), error=error)
    return t("log.other", kind=kind, what=what, value=value, source=record.source)


def _point(language: str, profile: str, address: int, value: int | None) -> str:
    row, shown = setpoint(profile, address, value)
    if row is None:
        return catalogue.text(language, "log.register", address=address)
    key = f"point.{row.name}"
    name = catalogue.text(language, key) if key in catalogue.strings(language) else str(row.name)
    if shown is None:
        return name
    number = f"{shown:.{decimals_of(row)}f}"
    if language == "sl":
        number = number.replace(".", ",")
    return f"{name} = {number} {unit_of(row.name)}".rstrip()


def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
