"""Say an alarm in words: its text and its action in the language of the request, with its facts filled in.

It refuses to judge: what is an alarm, how urgent and until when is the record's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..alarms import ACKNOWLEDGED, Alarm
from ..hmi import catalogue
from ..site import Site


def as_json(alarm: Alarm, language: str, site: Site) -> dict[str, Any]:
    """Return an alarm as the screens take it; times in seconds of UTC."""
    facts = _facts(alarm.values, language)
    return {
        "id": alarm.id,
        "kind": alarm.kind,
        "device": alarm.device_id,
        "where": where(alarm, language, site),
        "area": alarm.area,
        "priority": alarm.priority,
        "state": alarm.state,
        "unacknowledged": alarm.needs_acknowledgement,
        "active": alarm.state in ("unacknowledged", ACKNOWLEDGED),
        "since_s": alarm.since_utc.timestamp(),
        "changed_s": alarm.changed_utc.timestamp(),
        "text": catalogue.text(language, alarm.text_key, **facts),
        "action": catalogue.text(language, alarm.action_key, **facts),
        "consequence": catalogue.text(language, alarm.consequence_key, **facts),
        "respond_within_s": alarm.respond_within_s,
        "cause_id": alarm.cause_id or None,
        "children": list(alarm.children),
        "values": alarm.values,
        "shelved_until_s": alarm.shelved_until_utc.timestamp() if alarm.shelved_until_utc else None,
        "shelved_by": alarm.shelved_by,
        "shelve_reason": alarm.shelve_reason,
    }


def where(alarm: Alarm, language: str, site: Site) -> str:
    """Return the name people know the place by: a house, an area, or the supervisor itself."""
    for device in site.devices:
        if device.id == alarm.device_id:
            return device.name
    for area in site.areas:
        if area.id == alarm.device_id:
            return catalogue.text(language, "alarms.area", name=area.name)
    return catalogue.text(language, "alarms.supervisor")


def _facts(values: Mapping[str, Any], language: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, list | tuple):
            said[name] = ", ".join(catalogue.text(language, f"point.{point}") for point in value)
        elif isinstance(value, float):
            text = f"{value:.2f}"
            said[name] = text.replace(".", ",") if language == "sl" else text
        else:
            said[name] = "–" if value is None else str(value)
    return said
