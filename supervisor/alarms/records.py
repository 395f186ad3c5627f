"""The rationalisation record of every kind of alarm: the record is the configuration.

It refuses a kind without an action and a time to respond: what nobody has to do anything about is not an
alarm. Texts are keys of the screens' catalogue: `alarm.<kind>` what, `alarm.<kind>.action` what to do,
`alarm.<kind>.consequence` what happens otherwise.

Index differential pressure: alarm at 0.4 bar (reference/domain.md §4.2). Lost water: two meters of class 2
(EN 1434) may differ by 4 %, so that a tenth of the plant's flow is none of their errors. The target mix of
priorities is 5/15/80 % (EEMUA 191). Delays, times to respond and the other limits are own estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Refused

DEVICE, AREA, SITE = "device", "area", "site"


@dataclass(frozen=True)
class Record:
    """One kind of alarm. Times in seconds; `limit` in the unit of its measured value, 0 for none."""

    kind: str
    scope: str
    priority: int  # 1 urgent, 2 today, 3 when convenient
    on_delay_s: float
    off_delay_s: float
    respond_within_s: int
    limit: float = 0.0
    deadband: float = 0.0
    group: str = ""  # kind of the alarm that many of this kind in one area are children of

    @property
    def text_key(self) -> str:
        """Return the catalogue key of what has happened."""
        return f"alarm.{self.kind}"

    @property
    def action_key(self) -> str:
        """Return the catalogue key of what the operator does."""
        return f"alarm.{self.kind}.action"

    @property
    def consequence_key(self) -> str:
        """Return the catalogue key of what happens if nobody does."""
        return f"alarm.{self.kind}.consequence"


_HOUR = 3600
_ROWS = (
    Record("lost_communication", DEVICE, 2, 60.0, 20.0, 4 * _HOUR, group="area_lost"),
    Record("area_lost", AREA, 1, 0.0, 20.0, _HOUR // 2),
    Record("low_dp", DEVICE, 2, 120.0, 60.0, _HOUR // 2, limit=0.4, deadband=0.05, group="area_low_dp"),
    Record("area_low_dp", AREA, 1, 0.0, 60.0, _HOUR // 4),
    Record("lost_sensor", DEVICE, 2, 10.0, 30.0, 24 * _HOUR),
    Record("refused_writes", DEVICE, 1, 0.0, 900.0, _HOUR // 2),
    Record("wrong_device", DEVICE, 1, 0.0, 30.0, _HOUR),
    Record("unknown_map", DEVICE, 2, 0.0, 30.0, 24 * _HOUR),
    Record("device_restarted", DEVICE, 3, 0.0, 600.0, 24 * _HOUR),
    Record("manual", DEVICE, 3, 0.0, 30.0, 8 * _HOUR),
    Record("config_rejected", DEVICE, 2, 0.0, 30.0, 24 * _HOUR),
    Record("frost_protection", DEVICE, 1, 60.0, 300.0, _HOUR),
    Record("valve_not_following", DEVICE, 2, 60.0, 300.0, 24 * _HOUR),
    Record("deficit_budget_spent", DEVICE, 3, 0.0, 600.0, 24 * _HOUR),
    Record("legionella_failed", DEVICE, 2, 0.0, 60.0, 24 * _HOUR),
    Record("scald_limit", DEVICE, 2, 60.0, 300.0, _HOUR),
    Record("sensor_doubt", DEVICE, 3, 60.0, 300.0, 24 * _HOUR),
    Record("travel_budget", DEVICE, 3, 0.0, 3600.0, 24 * _HOUR),
    Record("meter_lost", DEVICE, 3, 600.0, 60.0, 24 * _HOUR),
    Record("meter_doubt", DEVICE, 3, 600.0, 600.0, 24 * _HOUR),
    # the clock is told within minutes: what lasts longer needs a person
    Record("no_time", DEVICE, 3, 600.0, 30.0, 24 * _HOUR, group="area_no_time"),
    Record("wrong_time", DEVICE, 3, 600.0, 30.0, 24 * _HOUR, group="area_no_time"),
    Record("area_no_time", AREA, 3, 600.0, 30.0, 24 * _HOUR),
    Record("log_broken", DEVICE, 1, 0.0, 0.0, _HOUR),
    Record("clock_doubtful", SITE, 2, 0.0, 30.0, 4 * _HOUR),
    Record("plant_low_dp", DEVICE, 1, 0.0, 60.0, _HOUR // 2),
    Record("dry_run", DEVICE, 1, 0.0, 60.0, _HOUR // 4),
    Record("water_lost", DEVICE, 1, 600.0, 600.0, _HOUR // 2, limit=0.1, deadband=0.03),
    Record("history_stopped", SITE, 2, 30.0, 30.0, _HOUR),
    Record("audit_stopped", SITE, 1, 0.0, 0.0, _HOUR // 2),
)
RECORDS: Mapping[str, Record] = {record.kind: record for record in _ROWS}


def records_of(settings: Mapping[str, Any]) -> dict[str, Record]:
    """Return the records with a site file's [alarms] applied.

    Keys: low_dp_bar, water_lost_pct, lost_communication_s, and <kind>_delay_s, <kind>_priority of every kind.
    Raises Refused (code site_alarms) naming all keys or values that cannot be used.
    """
    records = dict(RECORDS)
    mistakes = []
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            mistakes.append(f"{key} = {value!r} is not a number")
            continue
        kind, change = _change(key, float(value))
        if kind not in records:
            mistakes.append(f"{key} is not known")
        elif change is None:
            mistakes.append(f"{key} = {value} is out of range")
        else:
            records[kind] = replace(records[kind], **change)
    if mistakes:
        raise Refused(
            "site_alarms",
            f"[alarms] of the site file: {'; '.join(mistakes)}. Nothing was started. "
            "Keys: low_dp_bar, water_lost_pct, lost_communication_s, and _delay_s or _priority after one of "
            f"{', '.join(RECORDS)}.",
        )
    return records


def _change(key: str, value: float) -> tuple[str, dict[str, Any] | None]:
    if key == "low_dp_bar":
        return "low_dp", {"limit": value} if 0.05 <= value <= 5.0 else None
    if key == "water_lost_pct":
        return "water_lost", {"limit": value / 100.0} if 5.0 <= value <= 100.0 else None
    if key == "lost_communication_s":
        return "lost_communication", {"on_delay_s": value} if 0 <= value <= 3600 else None
    if key.endswith("_delay_s"):
        return key.removesuffix("_delay_s"), {"on_delay_s": value} if 0 <= value <= 3600 else None
    if key.endswith("_priority"):
        return key.removesuffix("_priority"), {"priority": int(value)} if value in (1, 2, 3) else None
    return "", None
