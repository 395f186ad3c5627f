"""Every minute: find the index consumer, hold its pressure by the pump station, and curb who takes too much.

It refuses to act on one unconfirmed reading, on a reading the rest of the network contradicts, on a point a
person holds, and in an area where nobody switched it to automatic. It sends nothing itself: it asks the
desk, and says with every wish what it saw, what it wants, why, and what it expects.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core_ext import BadNetwork, Network, NotConverged

from ..access import Access
from ..audit import Audit
from ..clock import PRIORITY_COORDINATOR, Clock
from ..database import Connection, Database
from ..errors import Refusal, Refused
from ..field.units import unit_of
from ..latest import Latest
from ..orders import FAILED, REFUSED, UNKNOWN
from ..setpoints import Desk, Wanted
from ..site import LEASE_OF, Device, Site
from .confirmation import Confirmation
from .pressure import DEAD_BAND_BAR, INDEX_DP_SP_BAR, next_dp
from .town_model import Shares, TownModel

log = logging.getLogger(__name__)

OFF, ADVISORY, AUTOMATIC = "off", "advisory", "automatic"
MODES = (OFF, ADVISORY, AUTOMATIC)

PERIOD_S = 60.0
DP_POINT = "plant_dp_sp_bar"
FLOW_POINT = "primary_flow_limit_sp_m3_h"
FROZEN_S = 4 * 3600.0  # how long the last good wish is repeated without fresh evidence (design.md V5)
LEASE_S = 1800

# A measured pressure contradicts the network when it is further from the solve than this, after the
# median difference of all houses is taken off (own estimates: 1.5 % of 10 bar sensors on either side).
CONTRADICTION_BAR = 0.20
CONTRADICTION_SHARE = 0.20  # of the pressure lost between plant and house
LIARS_MOST = 0.20  # with more contradictions than this the model is wrong, not the houses

OVER_SHARE = 1.25  # a house takes too much above this multiple of its share (own estimate)
LIMIT_AT = 1.10  # and is then limited to this multiple: never below what the weather asks for
OVER_TIMES = 2  # evaluations in a row
PRESSES = 0.95  # a house whose flow is above this share of its limit would take more
FREE_TIMES = 5  # evaluations without pressing until the limit is no longer renewed


@dataclass
class Explanation:
    """One thing the coordinator wants, or would want, of one point.

    `why` is a catalogue key (`coordinator.why.<why>`), `numbers` what it rests on, `expected` what should
    follow. `state`: ordered, advised, held (a person has the point), or none (nothing to change).
    """

    area: str
    device_id: str
    point: str
    wanted: float
    present: float | None
    why: str
    numbers: dict[str, Any]
    expected: dict[str, Any]
    state: str
    utc: datetime
    held_by: str = ""
    order_id: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "area": self.area,
            "device_id": self.device_id,
            "point": self.point,
            "unit": unit_of(self.point),
            "wanted": self.wanted,
            "present": self.present,
            "why": self.why,
            "why_key": f"coordinator.why.{self.why}",
            "numbers": self.numbers,
            "expected": self.expected,
            "state": self.state,
            "held_by": self.held_by,
            "order_id": self.order_id,
            "problem": self.problem,
            "utc": self.utc.isoformat(),
        }


@dataclass
class Picture:
    """What the last evaluation saw. Pressures in bar."""

    utc: datetime | None = None
    index_device: str = ""
    index_dp_bar: float | None = None
    setpoint_bar: float = INDEX_DP_SP_BAR
    plant_dp_bar: float | None = None
    outdoor_temp_c: float | None = None
    confirmed: int = 0
    of: int = 0
    contradicted: tuple[str, ...] = ()
    model: str = "none"  # ok, none, disagrees, failed
    shares: Shares | None = None
    short: bool = False
    frozen_since: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        margin = None if self.index_dp_bar is None else round(self.index_dp_bar - self.setpoint_bar, 3)
        shares = self.shares
        return {
            "evaluated_utc": self.utc.isoformat() if self.utc else None,
            "index": {
                "device_id": self.index_device,
                "dp_bar": self.index_dp_bar,
                "setpoint_bar": self.setpoint_bar,
                "margin_bar": margin,
                "plant_dp_bar": self.plant_dp_bar,
                "confirmed": self.confirmed,
                "of": self.of,
                "contradicted": list(self.contradicted),
                "model": self.model,
                "short": self.short,
                "frozen_since_utc": self.frozen_since.isoformat() if self.frozen_since else None,
            },
            "outdoor_temp_c": self.outdoor_temp_c,
            "balance": None
            if shares is None
            else {
                "feasible": shares.feasible,
                "obstacles": list(shares.obstacles),
                "source_dp_bar": round(shares.source_dp_bar, 3),
                "index_device_id": shares.index_device,
                "pump_power_kw": round(shares.pump_power_kw, 3),
            },
        }


@dataclass
class _Over:
    times: int = 0  # evaluations in a row in which the house took too much
    limit: float = 0.0  # m3/h, 0 while it is free
    free: int = 0  # evaluations in a row in which it did not press against the limit


class Coordinator:
    """The coordinator of a site, on the event loop; solving runs in a thread and is awaited."""

    def __init__(
        self,
        site: Site,
        latest: Latest,
        desk: Desk,
        state: Database,
        audit: Audit,
        access: Access,
        clock: Clock,
        *,
        network: Network | None = None,
    ) -> None:
        self._site = site
        self._latest = latest
        self._desk = desk
        self._state = state
        self._audit = audit
        self._access = access
        self._clock = clock
        settings = settings_of(site.coordinator)
        self._sp_bar: float = settings["index_dp_sp_bar"]
        self._default_mode: str = settings["mode"]
        self._modes: dict[str, tuple[str, str, datetime | None]] = {
            area.id: (self._default_mode, "", None) for area in site.areas
        }
        self._network = network
        self.model: TownModel | None = None
        self.model_problem = ""
        points = {device.id: ("primary_dp_bar", "primary_flow_m3_h") for device in site.substations}
        stations = {device.id: ("plant_dp_bar",) for device in site.stations}
        self._confirmation = Confirmation(latest, {**points, **stations}, clock.monotonic)
        self._within_s = 4.0 * site.polling.cycle_s
        self.picture = Picture(setpoint_bar=self._sp_bar)
        self._explanations: list[Explanation] = []
        self._over: dict[str, _Over] = {}
        self._last_good_s: dict[str, float] = {}
        self._last_dp: dict[str, float] = {}

    async def open(self) -> None:
        """Load modes and the network; a network that cannot be used switches the model off, and says why."""
        for row in self._state.read("SELECT * FROM modes"):
            if row["area"] in self._modes and row["mode"] in MODES:
                since = datetime.fromisoformat(row["since"])
                self._modes[row["area"]] = (row["mode"], row["user"], since)
        try:
            net = self._network
            if net is None and self._site.network_path is not None:
                net = await asyncio.to_thread(Network.read, self._site.network_path)
            if net is not None:
                design = self._site.design_outdoor_temp_c
                outdoor = -12.0 if design is None else design
                self.model = await asyncio.to_thread(TownModel, net, self._site.substations, outdoor)
            else:
                self.model_problem = "the site file names no network"
        except (BadNetwork, Refused, OSError, ValueError) as error:
            self.model_problem = str(error)
            log.warning("the coordinator works without a network model: %s", error)

    async def run(self) -> None:
        """Evaluate every minute."""
        due = self._clock.monotonic() + PERIOD_S
        while True:
            await self._clock.sleep_until(due, PRIORITY_COORDINATOR)
            await self.step()
            due = max(due + PERIOD_S, self._clock.monotonic())

    def close(self) -> None:
        """Stop listening to polls."""
        self._confirmation.close()

    # -- modes --------------------------------------------------------------------------------

    def modes(self) -> dict[str, str]:
        """Return the mode of every area."""
        return {area: mode for area, (mode, _, _) in self._modes.items()}

    async def set_mode(self, user: str, area: str, mode: str, reason: str = "") -> str:
        """Set how far the coordinator may go in an area; leaving automatic gives its points back.

        Raises NotFound, NotAllowed, Refused, or Unavailable when it cannot be put on record.
        """
        self._site.area(area)
        self._access.check(user, "coordinator_mode", area)
        if mode not in MODES:
            raise Refused("unknown_mode", f"{mode!r} is none of {', '.join(MODES)}; nothing was changed.")
        before = self._modes[area][0]
        await self._audit.note(
            {"actor": user, "device": "", "what": "coordinator_mode", "area": area, "mode": mode,
             "before": before, "reason": reason[:500]}
        )  # fmt: skip
        utc = self._clock.utc()

        def job(connection: Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO modes VALUES (?,?,?,?)", (area, mode, user, utc.isoformat())
            )

        await self._state.write(job)
        self._modes[area] = (mode, user, utc)
        if before == AUTOMATIC and mode != AUTOMATIC:
            await self._desk.coordinator_releases(area)
        return mode

    # -- readers ------------------------------------------------------------------------------

    def explanations(self) -> list[Explanation]:
        """Return what the last evaluation wanted, and why."""
        return list(self._explanations)

    def as_dict(self) -> dict[str, Any]:
        """Return modes, what was seen and every explanation as JSON values."""
        return {
            "modes": {
                area: {"mode": mode, "user": user, "since_utc": since.isoformat() if since else None}
                for area, (mode, user, since) in self._modes.items()
            },
            "model_problem": self.model_problem,
            **self.picture.as_dict(),
            "explanations": [explanation.as_dict() for explanation in self._explanations],
        }

    # -- one evaluation -----------------------------------------------------------------------

    async def step(self) -> list[Explanation]:
        """Look at the town once and bring the wishes of automatic areas to the desk."""
        utc = self._clock.utc()
        if all(mode == OFF for mode, _, _ in self._modes.values()):
            self._explanations = []
            self.picture = Picture(utc=utc, setpoint_bar=self._sp_bar)
            return []
        picture, flow = await self._look(utc)
        self.picture = picture
        found = [*self._pressure(picture), *self._limits(picture, flow)]
        self._explanations = [explanation for explanation in found if self._modes[explanation.area][0] != OFF]
        await self._bring()
        return self.explanations()

    async def _look(self, utc: datetime) -> tuple[Picture, dict[str, float]]:
        houses = [device.id for device in self._site.substations]
        dp = self._confirmation.all(houses, "primary_dp_bar", within_s=self._within_s)
        flow = self._confirmation.all(houses, "primary_flow_m3_h", within_s=self._within_s)
        plant = [
            reading.value
            for station in self._site.stations
            if (reading := self._confirmation.of(station.id, "plant_dp_bar", within_s=self._within_s))
        ]
        picture = Picture(
            utc=utc,
            setpoint_bar=self._sp_bar,
            plant_dp_bar=round(plant[0], 3) if plant else None,
            outdoor_temp_c=self._outdoor(),
            of=len(houses),
            frozen_since=self.picture.frozen_since,
        )
        await self._judge(picture, dp, flow)
        trusted = {device: value for device, value in dp.items() if device not in picture.contradicted}
        picture.confirmed = len(trusted)
        if trusted:
            picture.index_device = min(trusted, key=lambda device: (trusted[device], device))
            picture.index_dp_bar = round(trusted[picture.index_device], 3)
            picture.short = picture.index_dp_bar < self._sp_bar - DEAD_BAND_BAR
        await self._share(picture)
        return picture, flow

    async def _judge(self, picture: Picture, dp: Mapping[str, float], flow: Mapping[str, float]) -> None:
        """Disqualify pressures that the rest of the network contradicts."""
        if self.model is None or picture.plant_dp_bar is None or not dp:
            return
        load = self.model.load(picture.outdoor_temp_c if picture.outdoor_temp_c is not None else 0.0)
        try:
            expected = await asyncio.to_thread(
                self.model.expected_dp_bar, picture.plant_dp_bar, dict(flow), load
            )
        except (NotConverged, BadNetwork) as error:
            picture.model = "failed"
            log.warning("the network could not be solved: %s", error)
            return
        compared = {device: dp[device] - expected[device] for device in dp if device in expected}
        if len(compared) < 3:
            return
        common = statistics.median(compared.values())  # one plant sensor's error is everybody's
        contradicted = [
            device
            for device, difference in compared.items()
            if abs(difference - common)
            > CONTRADICTION_BAR + CONTRADICTION_SHARE * max(0.0, picture.plant_dp_bar - expected[device])
        ]
        if len(contradicted) > max(1, LIARS_MOST * len(compared)):
            picture.model = "disagrees"
            return
        picture.model = "ok"
        picture.contradicted = tuple(sorted(contradicted))

    async def _share(self, picture: Picture) -> None:
        if self.model is None or picture.outdoor_temp_c is None:
            return
        supply: dict[str, float] = {}
        for device in self._site.substations:
            reading = self._latest.point(device.id, "primary_supply_temp_c")
            if reading.value is not None and reading.quality.live:
                supply[device.id] = reading.value
        highest = max((s.setpoint_range(DP_POINT)[1] for s in self._site.stations), default=10.0)
        try:
            picture.shares = await asyncio.to_thread(
                self.model.shares,
                self.model.load(picture.outdoor_temp_c),
                supply,
                min_dp_bar=self._sp_bar,
                max_source_dp_bar=highest,
            )
        except (NotConverged, BadNetwork) as error:
            log.warning("the network could not be balanced: %s", error)

    def _outdoor(self) -> float | None:
        """Return the median outdoor temperature of all good sensors: one in the sun moves nothing."""
        values = [
            reading.value
            for device in self._site.devices
            if (reading := self._latest.point(device.id, "outdoor_temp_c")).value is not None
            and reading.quality.live
        ]
        return round(statistics.median(v for v in values if v is not None), 2) if values else None

    # -- wishes -------------------------------------------------------------------------------

    def _pressure(self, picture: Picture) -> list[Explanation]:
        found = []
        for station in self._site.stations:
            explanation = self._pressure_of(station, picture)
            if explanation is not None:
                found.append(explanation)
        return found

    def _pressure_of(self, station: Device, picture: Picture) -> Explanation | None:
        now = self._clock.monotonic()
        low, high = station.setpoint_range(DP_POINT)
        present = self._present(station.id, DP_POINT)
        numbers: dict[str, Any] = {
            "index_device": picture.index_device,
            "index_dp_bar": picture.index_dp_bar,
            "setpoint_bar": self._sp_bar,
            "plant_dp_bar": picture.plant_dp_bar,
            "confirmed": picture.confirmed,
            "of": picture.of,
            "contradicted": list(picture.contradicted),
        }
        if picture.shares is not None:
            numbers["balance_dp_bar"] = round(picture.shares.source_dp_bar, 3)
        if picture.index_dp_bar is None or present is None or picture.model == "disagrees":
            # no evidence: repeat the last good wish for a while, then let the station go its own way
            last = self._last_dp.get(station.id)
            since = self._last_good_s.get(station.id)
            if last is None or since is None or now - since > FROZEN_S:
                return None
            if picture.frozen_since is None:
                picture.frozen_since = picture.utc
            numbers["frozen_s"] = round(now - since)
            return self._explain(station, DP_POINT, last, present, "frozen", numbers, {}, picture)
        step = next_dp(picture.index_dp_bar, present, low, high, self._sp_bar)
        picture.frozen_since = None
        self._last_good_s[station.id], self._last_dp[station.id] = now, step.value_bar
        change = round(step.value_bar - present, 3)
        expected = {
            "index_dp_bar": round(picture.index_dp_bar + change, 3),
            "margin_bar": round(picture.index_dp_bar + change - self._sp_bar, 3),
        }
        flow = self._latest.point(station.id, "plant_flow_m3_h")
        if flow.value is not None and flow.quality.live:
            expected["hydraulic_power_change_kw"] = round(change * flow.value / 36.0, 3)
        return self._explain(station, DP_POINT, step.value_bar, present, step.why, numbers, expected, picture)

    def _limits(self, picture: Picture, flow: Mapping[str, float]) -> list[Explanation]:
        shares = picture.shares
        found: list[Explanation] = []
        if shares is None:
            return found
        for device in self._site.substations:
            share, taken = shares.flow_m3_h.get(device.id), flow.get(device.id)
            if share is None:
                continue
            over = self._over.setdefault(device.id, _Over())
            if taken is None:
                over.times = 0
                continue  # unconfirmed: an order in force runs out by itself
            # once limited, a house stays so while it presses against the limit: freeing it at the first
            # sight of pressure would only bring the shortage back
            if over.limit:
                over.free = over.free + 1 if taken < PRESSES * over.limit else 0
                if over.free >= FREE_TIMES:
                    over.limit, over.times, over.free = 0.0, 0, 0
            else:
                over.times = over.times + 1 if picture.short and taken > OVER_SHARE * share else 0
                if over.times >= OVER_TIMES:
                    over.limit = self._limit_for(device, share)
            if not over.limit:
                continue
            over.limit = self._limit_for(device, share)
            numbers = {
                "flow_m3_h": round(taken, 3),
                "share_m3_h": round(share, 3),
                "outdoor_temp_c": picture.outdoor_temp_c,
                "index_device": picture.index_device,
                "index_dp_bar": picture.index_dp_bar,
                "setpoint_bar": self._sp_bar,
                "delivered": round(shares.delivered[device.id], 3),
            }
            expected = {"flow_m3_h": round(min(taken, over.limit), 3)}
            present = self._present(device.id, FLOW_POINT)
            found.append(
                self._explain(
                    device, FLOW_POINT, over.limit, present, "over_share", numbers, expected, picture
                )
            )
        return found

    def _limit_for(self, device: Device, share: float) -> float:
        low, high = device.setpoint_range(FLOW_POINT)
        return round(min(high, max(low, LIMIT_AT * share)), 2)

    def _present(self, device_id: str, point: str) -> float | None:
        """Return what is asked for at a point now: our own order in force, else the value in effect."""
        for order in self._desk.orders(device_id, active_only=True):
            if order.point == point and not order.release:
                return order.value
        reading = self._latest.point(device_id, LEASE_OF[point].effective)
        return reading.value if reading.quality.live else None

    def _explain(
        self,
        device: Device,
        point: str,
        wanted: float,
        present: float | None,
        why: str,
        numbers: dict[str, Any],
        expected: dict[str, Any],
        picture: Picture,
    ) -> Explanation:
        held_by = self._desk.held_by(device.id, point)
        state = "held" if held_by else "advised"
        assert picture.utc is not None
        return Explanation(
            device.area,
            device.id,
            point,
            wanted,
            present,
            why,
            numbers,
            expected,
            state,
            picture.utc,
            held_by,
        )

    async def _bring(self) -> None:
        """Let the desk order what automatic areas want; a refusal is told beside its wish."""
        for area, (mode, _, _) in self._modes.items():
            if mode != AUTOMATIC:
                continue
            wishes = [e for e in self._explanations if e.area == area and e.state != "held"]
            wanted = [Wanted(w.device_id, w.point, w.wanted, LEASE_S, _reason(w)) for w in wishes]
            try:
                orders = await self._desk.coordinate(area, wanted)
            except Refusal as refusal:
                for wish in wishes:
                    wish.problem = refusal.message
                continue
            by_point = {(order.device_id, order.point): order for order in orders}
            for wish in wishes:
                order = by_point.get((wish.device_id, wish.point))
                if order is None:
                    continue
                wish.state, wish.order_id = "ordered", order.id
                if order.state in (REFUSED, FAILED, UNKNOWN):
                    wish.problem = order.message


def _reason(wish: Explanation) -> str:
    return f"{wish.why}: " + ", ".join(f"{key} {value}" for key, value in wish.numbers.items())


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the site file's [coordinator] with defaults. Raises Refused naming what cannot be used."""
    settings: dict[str, Any] = {"index_dp_sp_bar": INDEX_DP_SP_BAR, "mode": ADVISORY}
    mistakes = [f"{key} is not known" for key in given if key not in settings]
    value = given.get("index_dp_sp_bar", INDEX_DP_SP_BAR)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.2 <= value <= 3.0:
        mistakes.append(f"index_dp_sp_bar = {value!r} is not a number from 0.2 to 3")
    if given.get("mode", ADVISORY) not in MODES:
        mistakes.append(f"mode = {given.get('mode')!r} is none of {', '.join(MODES)}")
    if mistakes:
        raise Refused(
            "site_coordinator",
            f"[coordinator] of the site file: {'; '.join(mistakes)}. Nothing was started.",
        )
    return settings | dict(given)


__all__ = ["ADVISORY", "AUTOMATIC", "MODES", "OFF", "Coordinator", "Explanation", "Picture"]
