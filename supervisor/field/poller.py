"""Read every controller at its own moment of the cycle, and never let a dead one delay a living one.

Each controller has a task and a phase derived from its id, so that a town of thousands is read evenly
(V10). A missed slot is counted and left out: this module refuses to catch up in bursts, to read more
than the identity of a controller whose register map it does not have, and to write anything at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import ssl
from dataclasses import dataclass, field

from firmware.substation import registers

from ..clock import PRIORITY_FIELD, Clock
from ..latest import Latest, Link
from ..site import Device, Site
from . import credentials
from .blocks import BLOCKS, FUNCTIONS, METERS, VALUE_BLOCKS, Stretch, stretches
from .errors import DeviceLost, FieldRefused, FieldTimeout, UnknownMap
from .identity import OUR_MAP_HASH, Identity, decode_identity
from .line import FACEPLATE, POLL, WRITE, Answer, Line, LineDown, LineError, LineRefused

log = logging.getLogger(__name__)

ANSWER_S = 3.0  # and never more than half a cycle
CONNECTS_PER_S = 200.0  # reference/supervisor.md §3.1: a TLS handshake costs 1.1 ms of CPU
IDENTITY_S = 60.0  # a restart behind a gateway breaks no connection: only uptime and nonce tell
BACK_OFF_MAX_S = 60.0  # own choice: a controller that comes back is seen within about a minute
BESIDE_MODES = (2, 5)  # control_mode_number: manual, an unauthenticated value
LATENESS_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, math.inf)


@dataclass
class Counters:
    """What happened to one controller's polls since the start; due = ok + lost + missed + held."""

    due: int = 0
    ok: int = 0
    lost: int = 0
    missed: int = 0
    """Slots that passed while an earlier poll was still under way."""
    held: int = 0
    """Slots left out by the breaker because the controller does not answer."""
    lateness_s: float = 0.0
    lateness_max_s: float = 0.0
    connects: int = 0
    orders: int = 0
    orders_in_doubt: int = 0


def phase(device_id: str) -> float:
    """Return the controller's own share of a cycle, 0 <= share < 1, the same in every run."""
    return int.from_bytes(hashlib.sha256(device_id.encode()).digest()[:6], "big") / 2**48


def back_off_s(device_id: str, failures: int, cycle_s: float) -> float:
    """Return how long to leave a controller alone after that many failures in a row, in seconds.

    The first failure costs nothing but the slot; then the pause doubles up to BACK_OFF_MAX_S, spread by
    a quarter either way so that a town that lost its power is not asked in step.
    """
    if failures <= 1:
        return 0.0
    pause: float = min(cycle_s * 2.0 ** min(failures - 2, 16), max(BACK_OFF_MAX_S, cycle_s))
    return pause * (0.75 + 0.5 * phase(f"{device_id}/{failures}"))


class ConnectLimiter:
    """Spaces new connections of the whole site evenly."""

    def __init__(self, clock: Clock, per_s: float = CONNECTS_PER_S) -> None:
        self._clock = clock
        self._gap_s = 1.0 / per_s
        self._free_s = -math.inf

    async def turn(self) -> None:
        """Wait until one more connection may be opened."""
        now = self._clock.monotonic()
        due = max(now, self._free_s)
        self._free_s = due + self._gap_s
        if due > now:
            await self._clock.sleep_until(due, PRIORITY_FIELD)


@dataclass
class _Contact:
    """One controller at the end of a line."""

    device: Device
    line: Line
    phase: float
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    refresh: bool = False
    beside: bool = False
    """Something acts there beside orders, as of its last status."""
    generation: int = -1
    identity: Identity | None = None
    refusal: Link | None = None
    refusal_text: str = ""
    failures: int = 0
    retry_at: float = -math.inf
    normal_at: float = -math.inf
    slow_at: float = -math.inf
    identity_at: float = -math.inf
    watched_until: float = -math.inf
    counters: Counters = field(default_factory=Counters)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


class Poller:
    """Polls a site; also the owner of the lines, which the outbox borrows."""

    def __init__(self, site: Site, latest: Latest, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        """tls: for the controllers that the site has behind TLS; without one they are not reached."""
        self._site = site
        self._latest = latest
        self._clock = clock
        self._limiter = ConnectLimiter(clock)
        self._lines: dict[tuple[str, str], Line] = {}
        answer_s = min(ANSWER_S, site.polling.cycle_s / 2)
        self._contacts: dict[str, _Contact] = {}
        for device in site.devices:
            line = self._lines.setdefault(
                (device.transport, device.address),
                Line(
                    device.transport, device.host, device.port, baudrate=device.baudrate,
                    parity=device.parity, answer_s=answer_s,
                    tls=(tls or credentials.nobody()) if device.tls else None,
                ),
            )  # fmt: skip
            self._contacts[device.id] = _Contact(device, line, phase(device.id))
        self.lateness_counts = [0] * len(LATENESS_BUCKETS_S)
        """Polls by lateness, in LATENESS_BUCKETS_S (upper bounds in seconds)."""

    def start(self) -> None:
        """Start one task per controller; each waits for its own phase first."""
        for contact in self._contacts.values():
            self._clock.spawn(f"poll {contact.device.id}", self._run(contact))

    def close(self) -> None:
        """Drop all connections."""
        for line in self._lines.values():
            line.close()

    def watch(self, device_id: str, seconds: float = 30.0) -> None:
        """Read this controller in the fast tier for a while: somebody has its faceplate open."""
        contact = self._contact(device_id)
        was_fast = self._period(contact) < self._site.polling.cycle_s
        contact.watched_until = max(contact.watched_until, self._clock.monotonic() + seconds)
        if not was_fast:
            contact.nudge.set()

    def refresh(self, device_id: str) -> None:
        """Read setpoints and inputs once, now: an order has just been answered."""
        contact = self._contact(device_id)
        contact.refresh = True
        contact.nudge.set()

    def counters(self, device_id: str) -> Counters:
        """Return the running counters of a controller."""
        return self._contact(device_id).counters

    def line(self, device_id: str) -> Line:
        """Return the line the controller is on."""
        return self._contact(device_id).line

    def profile(self, device_id: str) -> str:
        """Return the controller's profile as the site file has it."""
        return self._contact(device_id).device.profile

    def bus_sha256(self) -> str:
        """Return a digest of every request and answer so far, device by device in the order of the site."""
        whole = hashlib.sha256()
        for contact in self._contacts.values():
            whole.update(contact.digest.digest())
        return whole.hexdigest()

    # -- for the outbox ----------------------------------------------------------------------------
    async def identify(self, device_id: str, priority: int = WRITE) -> Identity:
        """Read the identity block now. Raises DeviceLost, FieldTimeout, FieldRefused."""
        contact = self._contact(device_id)
        try:
            await self._connect(contact, priority)
            return await self._identify(contact, priority)
        except LineError as error:
            raise self._refusal(contact, error, written=False) from error

    async def exchange(
        self, device_id: str, write_address: int, words: tuple[int, ...], read_address: int, read_count: int
    ) -> Answer:
        """Write and read in one FC23, to a controller whose map and identity are known.

        Raises DeviceLost, FieldTimeout, FieldRefused, UnknownMap.
        """
        contact = self._contact(device_id)
        try:
            await self._connect(contact, WRITE)
            if contact.identity is None or contact.generation != contact.line.generation or contact.refusal:
                await self._identify(contact, WRITE)
        except LineError as error:
            raise self._refusal(contact, error, written=False) from error
        if contact.refusal is not None:
            raise UnknownMap(f"{device_id}: {contact.refusal_text}; nothing was sent.")
        try:
            answer = await contact.line.write_and_read(
                contact.device.unit, write_address, words, read_address, read_count, WRITE
            )
        except LineError as error:
            self._record(contact, error)
            raise self._refusal(contact, error, written=True) from error
        contact.digest.update(answer.transcript)
        return answer

    async def read_input(self, device_id: str, address: int, count: int) -> Answer:
        """Read input registers outside the tiers, at a write's priority. Raises as identify does."""
        contact = self._contact(device_id)
        try:
            await self._connect(contact, WRITE)
            answer = await contact.line.read(contact.device.unit, registers.INPUT, address, count, WRITE)
        except LineError as error:
            raise self._refusal(contact, error, written=False) from error
        contact.digest.update(answer.transcript)
        return answer

    async def read_file(self, device_id: str, file: int, first: int, count: int) -> Answer:
        """Read registers of a file, in turn with the polls. Raises as identify does."""
        contact = self._contact(device_id)
        try:
            await self._connect(contact, POLL)
            answer = await contact.line.read_file(contact.device.unit, file, first, count, POLL)
        except LineError as error:
            raise self._refusal(contact, error, written=False) from error
        contact.digest.update(answer.transcript)
        return answer

    # -- the task of one controller ----------------------------------------------------------------
    async def _run(self, contact: _Contact) -> None:
        last = self._clock.monotonic()
        while True:
            period = self._period(contact)
            due = self._next_slot(contact, last, period)
            overdue = math.floor((self._clock.monotonic() - due) / period)
            if overdue > 0:  # these slots passed while a poll was under way
                contact.counters.due += overdue
                contact.counters.missed += overdue
                last = due + (overdue - 1) * period
                continue
            if await self._clock.wait(contact.nudge, due):
                contact.nudge.clear()
                if contact.refresh:
                    contact.refresh = False
                    await self._attempt(contact, ("setpoints", "inputs", "status"), FACEPLATE)
                last = max(last, min(self._clock.monotonic(), due - period / 1e6))
                continue
            last = due
            contact.counters.due += 1
            now = self._clock.monotonic()
            if now < contact.retry_at:
                contact.counters.held += 1
                continue
            self._note_lateness(contact, now - due)
            watched = contact.watched_until > now
            if await self._attempt(contact, self._tiers(contact, now), FACEPLATE if watched else POLL):
                contact.counters.ok += 1
            else:
                contact.counters.lost += 1

    def _period(self, contact: _Contact) -> float:
        polling = self._site.polling
        fast = (
            contact.device.profile == registers.PUMP_STATION
            or contact.watched_until > self._clock.monotonic()
        )
        return polling.fast_s if fast and not contact.failures else polling.cycle_s

    def _next_slot(self, contact: _Contact, after: float, period: float) -> float:
        offset = contact.phase * period
        slot = offset + (math.floor((after - offset) / period) + 1) * period
        return slot if slot > after else slot + period

    def _tiers(self, contact: _Contact, now: float) -> tuple[str, ...]:
        polling = self._site.polling
        slack = self._period(contact) / 2  # the wall clock wakes a little late, not always by the same
        blocks: tuple[str, ...] = ("inputs", FUNCTIONS)
        if now - contact.normal_at >= polling.cycle_s - slack:
            blocks = ("clock", "status", "inputs", FUNCTIONS)  # neighbours: one read
            if contact.watched_until > now and METERS in BLOCKS[contact.device.profile]:
                blocks = (*blocks, METERS)  # else they are read in the slow tier
        if now - contact.slow_at >= polling.slow_s - slack:
            blocks = VALUE_BLOCKS[contact.device.profile]
        return blocks

    async def _attempt(self, contact: _Contact, blocks: tuple[str, ...], priority: int) -> bool:
        """Read the blocks; True when all of them came."""
        now = self._clock.monotonic()
        try:
            if not contact.line.connected:
                await self._limiter.turn()
                await self._connect(contact, priority)
            fresh = contact.generation != contact.line.generation
            if fresh or contact.refusal is not None or now - contact.identity_at >= IDENTITY_S:
                before = contact.identity
                identity = await self._identify(contact, priority)
                if contact.refusal is None and (
                    fresh or before is None or before.boot_nonce != identity.boot_nonce
                ):
                    blocks = VALUE_BLOCKS[contact.device.profile]
            if contact.refusal is None:
                for stretch in stretches(contact.device.profile, blocks):
                    await self._read(contact, stretch, priority)
                if "status" in blocks:
                    contact.normal_at = now
                    await self._look_beside(contact, "beside" in blocks, priority)
                if "config" in blocks:
                    contact.slow_at = now
        except LineError as error:
            self._record(contact, error)
            self._failed(contact, error)
            return False
        if contact.failures:
            log.info("%s answers again after %d lost polls", contact.device.id, contact.failures)
        contact.failures = 0
        contact.retry_at = -math.inf
        self._latest.answered(contact.device.id, contact.refusal, contact.refusal_text)
        return True

    async def _look_beside(self, contact: _Contact, done: bool, priority: int) -> None:
        """Read what acts beside orders while it does, and once more when it has ended."""
        mode = self._latest.point(contact.device.id, "control_mode_number").value
        acts = mode in BESIDE_MODES
        if (acts or contact.beside) and not done:
            for stretch in stretches(contact.device.profile, ("beside",)):
                await self._read(contact, stretch, priority)
        contact.beside = acts

    async def _connect(self, contact: _Contact, priority: int) -> None:
        if not contact.line.connected:
            contact.counters.connects += 1
            await contact.line.connect(priority)

    async def _read(self, contact: _Contact, stretch: Stretch, priority: int) -> None:
        answer = await contact.line.read(
            contact.device.unit, stretch.space, stretch.address, stretch.count, priority
        )
        contact.digest.update(answer.transcript)
        for name, first, count in stretch.parts:
            self._latest.store(contact.device.id, name, answer.words[first : first + count])

    async def _identify(self, contact: _Contact, priority: int) -> Identity:
        block = BLOCKS[contact.device.profile]["identity"]
        generation = contact.line.generation
        answer = await contact.line.read(
            contact.device.unit, block.space, block.address, block.count, priority
        )
        contact.digest.update(answer.transcript)
        now = self._clock.monotonic()
        identity = decode_identity(answer.words, now)
        contact.identity = identity
        contact.identity_at = now
        contact.generation = generation
        contact.refusal, contact.refusal_text = _judge(contact.device, identity)
        self._latest.identified(contact.device.id, identity)
        return identity

    def _failed(self, contact: _Contact, error: LineError) -> None:
        contact.failures += 1
        pause = back_off_s(contact.device.id, contact.failures, self._site.polling.cycle_s)
        contact.retry_at = self._clock.monotonic() + pause - 1e-6 if pause else -math.inf
        if contact.failures == 1:
            log.warning("%s: %s", contact.device.id, error)
        self._latest.missed(contact.device.id, str(error))

    def _record(self, contact: _Contact, error: LineError) -> None:
        transcript = error.transcript if isinstance(error, LineRefused) else type(error).__name__.encode()
        contact.digest.update(transcript)

    def _note_lateness(self, contact: _Contact, lateness_s: float) -> None:
        lateness_s = max(0.0, lateness_s)
        contact.counters.lateness_s += lateness_s
        contact.counters.lateness_max_s = max(contact.counters.lateness_max_s, lateness_s)
        for index, bound in enumerate(LATENESS_BUCKETS_S):
            if lateness_s <= bound:
                self.lateness_counts[index] += 1
                return

    def _contact(self, device_id: str) -> _Contact:
        self._site.device(device_id)  # raises NotFound
        return self._contacts[device_id]

    def _refusal(
        self, contact: _Contact, error: LineError, *, written: bool
    ) -> DeviceLost | FieldTimeout | FieldRefused:
        device = contact.device
        where = f"{device.id} at {device.address} unit {device.unit}"
        check = f"Check its power and bus, then: toplovod read {device.address}"
        if isinstance(error, LineRefused):
            return FieldRefused(
                f"{where}: {error}; nothing was changed there.", exception_code=error.exception_code
            )
        if isinstance(error, LineDown) and not error.sent:
            return DeviceLost(f"{where}: {error}; nothing was sent. {check}")
        if written and error.sent:
            contact.counters.orders_in_doubt += 1
            return FieldTimeout(
                f"{where}: {error}; the order was sent and may be in force. Its lease and effective value "
                f"will tell at the next poll.",
                in_doubt=True,
            )
        return FieldTimeout(f"{where}: {error}; no order was sent. {check}", in_doubt=False)


def _judge(device: Device, identity: Identity) -> tuple[Link | None, str]:
    """Say why no more than the identity of this controller may be read, or (None, "")."""
    if identity.magic != registers.IDENTITY_MAGIC:
        return Link.unknown_map, (
            f"what answers at {device.address} is no Toplovod controller (identity {identity.magic:#06x}); "
            f"check the address"
        )
    if not identity.known_map:
        return Link.unknown_map, (
            f"serves register map version {identity.map_version} ({identity.map_hash:08x}), known here is "
            f"{OUR_MAP_HASH:08x}; only its identity is read. Update the controller or this supervisor"
        )
    if device.device_id and identity.device_id_hex != device.device_id:
        return Link.wrong_device, (
            f"device {identity.device_id_hex} answers at {device.address}, the site file names "
            f"{device.device_id}; check wiring and addresses, or correct device_id"
        )
    if identity.profile != device.profile:
        return Link.wrong_device, (
            f"a {identity.profile} answers at {device.address}, the site file names a {device.profile}; "
            f"check wiring and addresses"
        )
    return None, ""
