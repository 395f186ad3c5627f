"""What is wrong in the town right now, read from `latest`: conditions, before any delay.

It refuses to judge by a number that is not live: where a reading is stale or lost, the condition stays
what it was, neither raised nor cleared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from firmware.substation import registers

from ..latest import Latest, Link, Quality, Snapshot
from ..site import Site
from .records import Record

Key = tuple[str, str]  # kind, device or area id; "" for the site

MANUAL_MODE = 2
REFUSAL_COUNTERS = (
    "refused_function_count", "refused_malformed_count", "refused_mac_count", "refused_replay_count",
    "refused_late_count", "broadcast_count",
)  # fmt: skip
# kind: bit of alarm_bits. sensor_lost and low_dp are judged here, where the names and limits are.
BIT_KINDS = {
    "refused_writes": "refused_writes",
    "config_rejected": "config_rejected",
    "frost_protection": "frost_protection",
    "valve_not_following": "valve_not_following",
    "deficit_budget_spent": "deficit_budget_spent",
    "legionella_failed": "legionella_failed",
    "scald_limit": "scald_limit",
    "sensor_doubt": "sensor_doubt",
    "travel_budget": "travel_budget",
    "meter_lost": "meter_lost",
    "meter_doubt": "meter_doubt",
}
# the same of a pump station, whose low_dp is the whole town's
STATION_BIT_KINDS = {"plant_low_dp": "low_dp", "dry_run": "dry_run"}
READING_KINDS = frozenset(("low_dp", "lost_sensor", "manual", "water_lost", *BIT_KINDS, *STATION_BIT_KINDS))


class Conditions:
    """Reads all devices at once; remembers counters only, to notice that they rise."""

    def __init__(self, site: Site, records: Mapping[str, Record]) -> None:
        self._site = site
        self._records = records
        self._most_m3_h = {
            device.id: device.limits["contract_flow_limit_m3_h"]
            for device in site.devices
            if "contract_flow_limit_m3_h" in device.limits
        }
        self._counts: dict[str, int] = {}  # device: sum of refusals
        self._restarts: dict[str, int] = {}

    def read(self, latest: Latest, on: frozenset[Key]) -> tuple[dict[Key, dict[str, Any]], frozenset[Key]]:
        """Return what holds with its facts, and what cannot be judged now.

        `on` are the alarms that are on: a reading must pass its dead band to clear one.
        """
        holds: dict[Key, dict[str, Any]] = {}
        blind: set[Key] = set()
        for profile in registers.PROFILES:
            snapshot = latest.snapshot(profile)
            for row, device in enumerate(snapshot.device_ids):
                link = Link(int(snapshot.link[row]))
                if link is Link.lost:
                    age = float(snapshot.device_age_s[row])
                    holds["lost_communication", device] = {"age_s": round(age) if np.isfinite(age) else None}
                elif link is Link.wrong_device:
                    holds["wrong_device", device] = {}
                elif link is Link.unknown_map:
                    holds["unknown_map", device] = {}
                if link in (Link.lost, Link.wrong_device, Link.unknown_map):
                    blind |= {(kind, device) for kind in READING_KINDS}
            self._readings(snapshot, on, holds, blind)
            self._restarted(latest, snapshot, holds)
        self._water(latest, on, holds, blind)
        return holds, frozenset(blind)

    def _readings(
        self, snapshot: Snapshot, on: frozenset[Key], holds: dict[Key, dict[str, Any]], blind: set[Key]
    ) -> None:
        ids = snapshot.device_ids
        if not ids:
            return
        good = snapshot.quality == Quality.good
        failed = snapshot.quality == Quality.failed_sensor
        measured = np.array(
            [registers.BY_NAME[point].access == registers.MEASUREMENT for point in snapshot.points]
        )
        for row in np.flatnonzero((failed & measured[None, :]).any(axis=1)):
            names = [snapshot.points[c] for c in np.flatnonzero(failed[row] & measured)]
            holds["lost_sensor", ids[row]] = {"points": names}

        if "primary_dp_bar" in snapshot.points:
            column = snapshot.column("primary_dp_bar")
            record = self._records["low_dp"]
            values, live = snapshot.values[:, column], good[:, column]
            low = np.array([("low_dp", device) in on for device in ids])
            limit = record.limit + np.where(low, record.deadband, 0.0)
            for row in np.flatnonzero(live & (values < limit)):
                holds["low_dp", ids[row]] = {
                    "value_bar": round(float(values[row]), 3),
                    "limit_bar": record.limit,
                }
            blind |= {("low_dp", ids[row]) for row in np.flatnonzero(~live)}

        column = snapshot.column("control_mode_number")
        for row in np.flatnonzero(good[:, column] & (snapshot.values[:, column] == MANUAL_MODE)):
            holds["manual", ids[row]] = {}

        column = snapshot.column("alarm_bits")
        bits = np.where(good[:, column], snapshot.values[:, column], 0.0).astype(np.int64)
        station = snapshot.profile == registers.PUMP_STATION
        kinds = BIT_KINDS | STATION_BIT_KINDS if station else BIT_KINDS
        for kind, name in kinds.items():
            mask = 1 << registers.ALARM_BITS.index(name)
            for row in np.flatnonzero(bits & mask):
                holds[kind, ids[row]] = {}

        counters = [snapshot.column(name) for name in REFUSAL_COUNTERS]
        for index, device in enumerate(ids):
            if not good[index, counters].all():
                continue
            total = int(snapshot.values[index, counters].sum())
            before = self._counts.get(device)
            if before is not None and total > before:
                holds["refused_writes", device] = {"count": total - before}
            if ("refused_writes", device) in holds:
                holds["refused_writes", device].setdefault("total", total)
            self._counts[device] = total

    def _water(
        self, latest: Latest, on: frozenset[Key], holds: dict[Key, dict[str, Any]], blind: set[Key]
    ) -> None:
        """Compare what the plant sends out with what arrives at the houses.

        With several stations it says nothing: the flow of one may pass through another. A house that cannot
        be read is taken to draw as much as its contract allows, so that silence never looks like a leak.
        """
        stations, houses = latest.snapshot(registers.PUMP_STATION), latest.snapshot(registers.SUBSTATION)
        if len(stations.device_ids) != 1 or not houses.device_ids:
            return
        key = ("water_lost", stations.device_ids[0])
        column = stations.column("plant_flow_m3_h")
        sent = float(stations.values[0, column])
        column_at_house = houses.column("primary_flow_m3_h")
        seen = houses.quality[:, column_at_house] == Quality.good
        unseen = [self._most_m3_h.get(houses.device_ids[row]) for row in np.flatnonzero(~seen)]
        if stations.quality[0, column] != Quality.good or None in unseen or not seen.any():
            blind.add(key)
            return
        arrived = float(houses.values[seen, column_at_house].sum())
        missing = sent - arrived - sum(most for most in unseen if most is not None)
        record = self._records["water_lost"]
        limit = record.limit - (record.deadband if key in on else 0.0)
        if sent > 0.0 and missing > limit * sent:
            holds[key] = {"sent_m3_h": round(sent, 2), "missing_m3_h": round(missing, 2)}

    def _restarted(self, latest: Latest, snapshot: Snapshot, holds: dict[Key, dict[str, Any]]) -> None:
        for device in snapshot.device_ids:
            boots = latest.device(device).boots
            before = self._restarts.get(device)
            if boots is None:
                continue
            if before is not None and boots != before:
                holds["device_restarted", device] = {"boots": boots}
                self._counts.pop(device, None)  # counters begin anew with a boot
            self._restarts[device] = boots
