"""Build the supervisor of one town from its parts, start them in order and stop them in reverse.

The composition root: the only place where field, historian, desk, alarms, coordinator and access meet.
It refuses to decide anything and to start half: when a part cannot start, those before it are closed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from .access import Access
from .alarms import Alarms
from .audit import Audit
from .clock import Clock, LockstepClock
from .coordinator import Coordinator
from .device_log import DeviceLogs
from .device_time import DeviceTime, OwnTime
from .errors import Unavailable
from .field import credentials
from .field.outbox import FieldOutbox
from .field.poller import LATENESS_BUCKETS_S, Counters, Poller
from .historian import Historian
from .latest import Latest, Link
from .setpoints import Desk
from .settings import DataFolder, Settings, StartRefused, raise_open_files
from .signer import KeyFile, Signer
from .site import Site
from .state import open_state

log = logging.getLogger(__name__)

SPARE_FILES = 256  # databases, log, listening socket, screens


class Station:
    """A running supervisor. Attributes are the parts; they exist after `start`."""

    site: Site
    clock: Clock
    settings: Settings
    latest: Latest
    poller: Poller
    outbox: FieldOutbox
    historian: Historian
    audit: Audit
    access: Access
    signer: Signer
    desk: Desk
    device_time: DeviceTime
    device_logs: DeviceLogs
    alarms: Alarms
    coordinator: Coordinator

    def __init__(self, site: Site, settings: Settings, clock: Clock) -> None:
        self.site = site
        self.settings = settings
        self.clock = clock
        self.keys_missing = ""
        """Why no order can be signed, for people; empty when keys are there."""
        self._folder = DataFolder(settings.data)
        self._closers: list[Callable[[], Awaitable[None] | None]] = []
        self._started_s = clock.monotonic()
        self.running = False

    async def start(self) -> None:
        """Lock the data folder, open the files, start the tasks. Raises Refusal; then nothing runs."""
        unassigned = [device.id for device in self.site.devices if not device.assigned]
        if unassigned:
            raise StartRefused(
                "no_address",
                f"{len(unassigned)} controllers have no address yet (port 0): {', '.join(unassigned[:3])}; "
                f"nothing was started. Fill them in, or try: toplovod demo",
            )
        raise_open_files(2 * len(self.site.devices) + SPARE_FILES)
        try:
            await self._open()
        except BaseException:
            await self.stop()
            raise
        self.running = True

    async def _open(self) -> None:
        settings, site, clock = self.settings, self.site, self.clock
        self._folder.lock()
        self._closers.append(self._folder.unlock)
        state = open_state(settings.data)
        self._closers.append(state.close)
        self.audit = Audit(settings.data, settings.witness_folder, clock)
        await self.audit.open()
        self._closers.append(self.audit.close)
        own_time = OwnTime(clock, self.audit.newest_utc())  # before this run writes rows of its own
        self.latest = Latest(site, clock)
        self.historian = Historian(
            settings.data / "history.sqlite",
            site,
            self.latest,
            clock,
            quota_bytes=settings.history_quota_bytes,
            min_free_bytes=settings.history_min_free_bytes,
        )
        self._closers.append(self.historian.close)
        behind_tls = any(device.tls for device in site.devices)
        tls = credentials.context(settings.data) if behind_tls else None
        self.poller = Poller(site, self.latest, clock, tls)
        self._closers.append(self.poller.close)
        self.outbox = FieldOutbox(self.poller, clock)
        self.access = Access(state, self.audit, site.areas)
        self.signer = Signer(self._keys(), site, state, self.audit, clock)
        self.desk = Desk(site, self.latest, state, self.signer, self.audit, self.access, self.outbox, clock)
        await self.desk.open()
        self.device_time = DeviceTime(site, self.latest, self.desk, clock, own_time)
        self.device_logs = DeviceLogs(
            site, self.latest, self.outbox, self.signer, self.audit, self.access, clock
        )
        self.alarms = Alarms(
            site,
            state,
            self.audit,
            self.access,
            clock,
            signals={
                "history_stopped": lambda: self.historian.state.message or None,
                "audit_stopped": lambda: self.audit.failure,
                "clock_doubtful": own_time.doubt,
            },
            device_signals={
                "log_broken": self.device_logs.broken,
                "no_time": self.device_time.without_time,
                "wrong_time": self.device_time.with_wrong_time,
            },
        )
        await self.alarms.open()
        self.coordinator = Coordinator(site, self.latest, self.desk, state, self.audit, self.access, clock)
        self._closers.append(self.coordinator.close)
        await self.coordinator.open()
        # tasks last: from here on something runs, and it ends before the files above are closed
        self._closers.append(clock.close)
        self.poller.start()
        clock.spawn("audit", self.audit.run())
        clock.spawn("desk", self.desk.run())
        clock.spawn("device time", self.device_time.run())
        clock.spawn("alarms", self.alarms.run(self.latest))
        clock.spawn("coordinator", self.coordinator.run())

    async def stop(self) -> None:
        """Stop the tasks, finish what is queued, close the files and give the folder back."""
        self.running = False
        while self._closers:
            close = self._closers.pop()
            try:
                outcome = close()
                if outcome is not None:
                    await outcome
            except Exception:
                log.exception("closing a part failed; the others are still closed")

    def _keys(self) -> KeyFile:
        path = self.settings.data / "keys.json"
        try:
            return KeyFile.load(path)
        except Unavailable as refusal:
            if refusal.code != "key_file_missing":
                raise StartRefused(refusal.code, refusal.message, exit_status=1) from refusal
            self.keys_missing = refusal.message
            log.warning("%s", refusal.message)
            return KeyFile(0, 1, {})

    # -- what others may know of it ----------------------------------------------------------------
    def health(self) -> dict[str, Any]:
        """Return a few facts without secrets: status is ok or degraded, `devices_live` counts link ok."""
        links = [self.latest.device(device.id).link for device in self.site.devices]
        history = self.historian.state
        failure = self.audit.failure
        fine = history.recording and failure is None and not self.keys_missing
        return {
            "status": "ok" if self.running and fine else "degraded",
            "site": self.site.name,
            "utc": self.clock.utc().isoformat(),
            "simulated": isinstance(self.clock, LockstepClock),
            "uptime_s": round(self.clock.monotonic() - self._started_s, 3),
            "devices": len(links),
            "devices_live": sum(link is Link.ok for link in links),
            "devices_lost": sum(link is Link.lost for link in links),
            "history": history.state,
            "history_dropped": history.dropped,
            "audit": "ok" if failure is None else failure,
            "orders": "ok" if not self.keys_missing else "no_keys",
        }

    def metrics(self) -> list[Metric]:
        """Return the counters of field and history for /metrics."""
        families: list[Metric] = []
        for name, text in (
            ("due", "Poll slots that passed"),
            ("ok", "Polls answered"),
            ("lost", "Polls without an answer"),
            ("missed", "Slots that passed while a poll was under way"),
            ("held", "Slots left out because the controller does not answer"),
            ("connects", "Connections opened"),
            ("orders", "Orders sent"),
            ("orders_in_doubt", "Orders without an answer"),
        ):
            family = CounterMetricFamily(f"toplovod_field_{name}", text, labels=["device"])
            for device in self.site.devices:
                family.add_metric([device.id], getattr(self.poller.counters(device.id), name))
            families.append(family)
        families.append(self._lateness())
        links = GaugeMetricFamily("toplovod_field_devices", "Controllers by link", labels=["link"])
        states = [self.latest.device(device.id).link for device in self.site.devices]
        for link in Link:
            links.add_metric([link.name], sum(state is link for state in states))
        history = self.historian.state
        families += [
            links,
            CounterMetricFamily("toplovod_history_samples", "Samples recorded", value=history.recorded),
            CounterMetricFamily("toplovod_history_dropped", "Samples left out", value=history.dropped),
            CounterMetricFamily("toplovod_history_chunks", "Hourly chunks written", value=history.chunks),
            GaugeMetricFamily(
                "toplovod_history_recording", "1 while history records", value=float(history.recording)
            ),
            GaugeMetricFamily(
                "toplovod_audit_available",
                "1 while orders can be audited",
                value=float(self.audit.failure is None),
            ),
        ]
        return families

    def totals(self) -> Counters:
        """Return the poll counters of all controllers together."""
        total = Counters()
        for device in self.site.devices:
            counters = self.poller.counters(device.id)
            for name in ("due", "ok", "lost", "missed", "held", "connects", "orders", "orders_in_doubt"):
                setattr(total, name, getattr(total, name) + getattr(counters, name))
            total.lateness_s += counters.lateness_s
            total.lateness_max_s = max(total.lateness_max_s, counters.lateness_max_s)
        return total

    def _lateness(self) -> Metric:
        family = HistogramMetricFamily("toplovod_field_lateness_seconds", "How late polls started")
        buckets = []
        below = 0
        for bound, count in zip(LATENESS_BUCKETS_S, self.poller.lateness_counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(below)))
        total = self.totals()
        family.add_metric([], buckets, sum_value=total.lateness_s)
        return family


@contextlib.asynccontextmanager
async def running(site: Site, settings: Settings, clock: Clock):  # type: ignore[no-untyped-def]
    """Start a station, yield it and stop it whatever happens."""
    station = Station(site, settings, clock)
    await station.start()
    try:
        yield station
    finally:
        await station.stop()
