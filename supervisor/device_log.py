"""Read a controller's own event log when somebody asks, and prove its chain and its origin.

It refuses to poll logs, to read one twice at once, to show a log whose chain breaks as if it were whole, and
to call it genuine without a key. What is wrong with one is an alarm until a later reading finds it whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .access import Access
from .audit import Audit
from .clock import Clock
from .errors import Conflict, Unavailable
from .field.event_log import Record, Seal, chain_fault, decode, pieces, split
from .field.outbox import FieldOutbox
from .latest import Latest
from .signer import Signer
from .site import Site

TRIES = 3  # the oldest file may be dropped while it is read


@dataclass(frozen=True)
class DeviceLog:
    """A log as read; `fault` is what is wrong with its chain and at which record, None for nothing."""

    device_id: str
    read_utc: datetime
    seal: Seal
    records: list[Record]
    fault: tuple[str, int] | None

    @property
    def whole(self) -> bool:
        """Say whether nothing is known against it; `seal.genuine` tells whether that is proved."""
        return self.fault is None and self.seal.genuine is not False


class DeviceLogs:
    """The logs of a site, read one by one."""

    def __init__(
        self,
        site: Site,
        latest: Latest,
        outbox: FieldOutbox,
        signer: Signer,
        audit: Audit,
        access: Access,
        clock: Clock,
    ) -> None:
        self._site = site
        self._latest = latest
        self._outbox = outbox
        self._signer = signer
        self._audit = audit
        self._access = access
        self._clock = clock
        self._reading: set[str] = set()
        self._asked = 0
        self._broken: dict[str, dict[str, Any]] = {}

    def broken(self) -> Mapping[str, dict[str, Any]]:
        """Return the controllers whose log did not hold when it was last read."""
        return self._broken

    async def read(self, user: str, device_id: str) -> DeviceLog:
        """Read a whole log; it is in the audit who did and what was found.

        Raises NotFound, NotAllowed, Conflict (log_under_way, log_moved) and what the outbox raises; nothing
        is changed at the controller.
        """
        device = self._site.device(device_id)
        self._access.check(user, "device_log", device.area)
        if device_id in self._reading:
            raise Conflict(
                "log_under_way", f"{device_id}: its log is being read already; nothing was changed."
            )
        self._reading.add(device_id)
        try:
            log = await self._read(device_id)
        finally:
            self._reading.discard(device_id)
        if log.whole:
            self._broken.pop(device_id, None)
        else:
            self._broken[device_id] = {"at": log.fault[1] if log.fault else None}
        row = {"records": len(log.records), "whole": log.whole, "head": log.seal.head.hex()}
        with contextlib.suppress(Unavailable):  # shown as audit_stopped; a log may be wanted just then
            await self._audit.note({"actor": user, "device": device_id, "what": "device_log", **row})
        return log

    async def _read(self, device_id: str) -> DeviceLog:
        for _ in range(TRIES):
            controller, seal = await self._seal(device_id)
            records: list[bytes] = []
            for piece in pieces(seal):
                records += split(await self._outbox.log_piece(device_id, *piece))
            again, after = await self._seal(device_id)
            if (again, after.oldest) == (controller, seal.oldest):
                break
        else:
            raise Conflict(
                "log_moved",
                f"{device_id}: its oldest records were dropped while they were read, {TRIES} times; nothing "
                "was changed. Read it again.",
            )
        fault = chain_fault(seal, records, bytes.fromhex(controller))
        return DeviceLog(device_id, self._clock.utc(), seal, decode(records, seal.kept), fault)

    async def _seal(self, device_id: str) -> tuple[str, Seal]:
        identity = await self._outbox.identity(device_id)
        controller = identity.device_id_hex
        self._asked += 1
        label = f"log {identity.boot_nonce.hex()} {self._clock.utc().isoformat()} {self._asked}"
        challenge = self._signer.challenge(controller, label)
        words = await self._outbox.log_seal(device_id, self._signer.slot, challenge)
        return controller, self._signer.read_seal(controller, challenge, words)
