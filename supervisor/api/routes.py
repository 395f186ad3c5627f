"""/api/v1: the supervisor's services as JSON.

A route translates and decides nothing: rights, limits and states are the desk's, the alarms' and the
coordinator's. It refuses writes without the CSRF header (see `security`).
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from firmware.substation import order_frame, registers

from ..clock import LockstepClock
from ..latest import Reading
from ..setpoints import LEASE_OWNERS
from ..site import Device
from .alarm_text import as_json as alarm_json
from .log_text import as_json as log_json
from .map_lines import map_lines
from .points import profiles
from .refusals import language_of
from .security import Reader, Writer, check_origin, client_of, give_cookie, take_cookie

router = APIRouter(prefix="/api/v1")

DeviceId = str


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Login(_Body):
    """Name and password of a person."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1024)


class PreviewOrder(_Body):
    """A setpoint to be previewed; value in the point's unit, lease in seconds."""

    substation: DeviceId = Field(max_length=64)
    point: str = Field(max_length=64)
    value: float = Field(allow_inf_nan=False)
    lease_s: int = Field(default=order_frame.LEASE_DEFAULT_S, ge=0, le=86_400)


class ExecuteOrder(_Body):
    """A preview to be carried out."""

    preview_hash: str = Field(max_length=64)
    reason: str = Field(default="", max_length=500)


class ApproveOrder(_Body):
    """A preview of somebody else to be agreed to."""

    preview_hash: str = Field(max_length=64)


class PointOfDevice(_Body):
    """A point to be given back or restored."""

    substation: DeviceId = Field(max_length=64)
    point: str = Field(max_length=64)
    reason: str = Field(default="", max_length=500)


class Mode(_Body):
    """How far the coordinator may go in an area."""

    mode: Literal["off", "advisory", "automatic"]


class Shelve(_Body):
    """Set an alarm aside for some minutes, with a reason."""

    minutes: float = Field(allow_inf_nan=False)
    reason: str = Field(max_length=500)


class Acknowledge(_Body):
    """A remark with an acknowledgement."""

    reason: str = Field(default="", max_length=500)


def station_of(request: Request) -> Any:
    """Return the running station."""
    return request.app.state.station


# -- people ------------------------------------------------------------------------------------------


@router.post("/login", tags=["people"])
async def login(request: Request, response: Response, body: Login) -> dict[str, Any]:
    """Open a session: sets the cookie and returns the CSRF token that writes must repeat."""
    check_origin(request)
    access = station_of(request).access
    session = await access.login(body.name, body.password, client_of(request))
    give_cookie(request, response, session)
    return {"user": access.user(session.user).as_dict(), "csrf": session.csrf, "ends_utc": session.ends_utc}


@router.post("/logout", tags=["people"])
async def logout(request: Request, response: Response, person: Writer) -> dict[str, Any]:
    """End this session."""
    await station_of(request).access.logout(person.token)
    take_cookie(response)
    return {"logged_out": person.name}


@router.get("/me", tags=["people"])
async def me(person: Reader) -> dict[str, Any]:
    """Return who is logged in, with roles by area."""
    return {
        "user": person.user.as_dict(),
        "csrf": person.session.csrf,
        "client": person.session.client,
        "ends_utc": person.session.ends_utc,
    }


# -- the town ------------------------------------------------------------------------------------------


@router.get("/site", tags=["town"])
async def site(request: Request, person: Reader) -> dict[str, Any]:
    """Return devices, areas, the register map's points and the lines of the map."""
    station = station_of(request)
    town = station.site
    return {
        "name": town.name,
        "timezone": town.timezone,
        "synthetic": town.synthetic,
        "simulated": isinstance(station.clock, LockstepClock),
        "areas": [{"id": area.id, "name": area.name} for area in town.areas],
        "devices": [_device(device) for device in town.devices],
        "profiles": profiles(),
        "lease_owners": LEASE_OWNERS,
        "alarm_bits": registers.ALARM_BITS,
        "meter_bits": registers.METER_BITS,
        "meters": registers.METERS,
        "least_dp_bar": station.alarms.least_dp_bar,
        "map": {"lines": await map_lines(town.network_path)},
    }


@router.get("/latest", tags=["town"])
async def latest(request: Request, person: Reader) -> dict[str, Any]:
    """Return the newest value of every point of every device."""
    station = station_of(request)
    return {
        "utc": station.clock.utc(),
        "version": station.latest.version,
        "devices": {
            device.id: {
                "link": station.latest.device(device.id).link.name,
                "points": {name: _reading(r) for name, r in station.latest.row(device.id).items()},
            }
            for device in station.site.devices
        },
    }


@router.get("/substations/{device_id}", tags=["town"])
async def substation(request: Request, device_id: DeviceId, person: Reader) -> dict[str, Any]:
    """Return one controller: readings, link, identity, clock, leases."""
    station = station_of(request)
    device = station.site.device(device_id)
    state = station.latest.device(device_id)
    return {
        **_device(device),
        "link": state.link.name,
        "error": state.error,
        "last_ok_utc": state.last_ok_utc,
        "last_ok_age_s": _finite(state.last_ok_age_s),
        "boots": state.boots,
        "uptime_s": state.uptime_s,
        "restarts_seen": state.restarts_seen,
        "points": {name: _reading(r) for name, r in station.latest.row(device_id).items()},
        "clock": station.device_time.of(device_id),
        "leases": [lease.as_dict() for lease in station.desk.leases(device_id)],
        "may_order": person.user.can("order", device.area),
    }


@router.get("/substations/{device_id}/log", tags=["town"])
async def device_log(
    request: Request,
    device_id: DeviceId,
    person: Reader,
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
) -> dict[str, Any]:
    """Read the controller's own event log now and return its newest records, the chain judged as a whole."""
    station = station_of(request)
    log = await station.device_logs.read(person.name, device_id)
    return log_json(log, language_of(request), station.site.device(device_id).profile, limit)


# -- orders ----------------------------------------------------------------------------------------------


@router.post("/orders/preview", tags=["orders"])
async def preview_order(request: Request, person: Writer, body: PreviewOrder) -> dict[str, Any]:
    """Show what an order would do; nothing is sent."""
    desk = station_of(request).desk
    preview = desk.preview(person.name, body.substation, body.point, body.value, body.lease_s)
    return dict(preview.as_dict())


@router.get("/previews", tags=["orders"])
async def previews(request: Request, person: Reader) -> dict[str, Any]:
    """Return the previews that take a second person, agreed to or not, until their orders are listed."""
    return {"previews": [preview.as_dict() for preview in station_of(request).desk.for_second_person()]}


@router.post("/orders/approve", tags=["orders"])
async def approve_order(request: Request, person: Writer, body: ApproveOrder) -> dict[str, Any]:
    """Agree, as the second person, to exactly this preview."""
    preview = await station_of(request).desk.approve(person.name, body.preview_hash)
    return dict(preview.as_dict())


@router.post("/orders/execute", status_code=202, tags=["orders"])
async def execute_order(request: Request, person: Writer, body: ExecuteOrder) -> dict[str, Any]:
    """Send what was previewed. 202, not 200: the controller has not confirmed it yet."""
    order = await station_of(request).desk.execute(person.name, body.preview_hash, body.reason)
    return dict(order.as_dict())


@router.post("/orders/release", status_code=202, tags=["orders"])
async def release_order(request: Request, person: Writer, body: PointOfDevice) -> dict[str, Any]:
    """Give a point back to the controller's own curve."""
    order = await station_of(request).desk.release(person.name, body.substation, body.point, body.reason)
    return dict(order.as_dict())


@router.post("/orders/restore", status_code=202, tags=["orders"])
async def restore_order(request: Request, person: Writer, body: PointOfDevice) -> dict[str, Any]:
    """Order again the value that was effective before the present one."""
    order = await station_of(request).desk.restore_last_good(
        person.name, body.substation, body.point, body.reason
    )
    return dict(order.as_dict())


@router.get("/orders", tags=["orders"])
async def orders(
    request: Request,
    person: Reader,
    substation: str | None = None,
    active: bool = False,
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
) -> dict[str, Any]:
    """Return orders, newest first."""
    station = station_of(request)
    if substation is not None:
        station.site.device(substation)
    found = station.desk.orders(substation, active_only=active)
    return {"orders": [order.as_dict() for order in found[:limit]], "total": len(found)}


@router.get("/orders/{order_id}", tags=["orders"])
async def order(request: Request, order_id: str, person: Reader) -> dict[str, Any]:
    """Return one order."""
    return dict(station_of(request).desk.order(order_id).as_dict())


# -- alarms ------------------------------------------------------------------------------------------------


@router.get("/alarms", tags=["alarms"])
async def alarms(request: Request, person: Reader, shelved: bool = False) -> dict[str, Any]:
    """Return the alarms in hand, with their texts in the language of the request, and the load."""
    language = language_of(request)
    station = station_of(request)
    found = station.alarms.active(shelved=shelved)
    return {
        "alarms": [alarm_json(alarm, language, station.site) for alarm in found],
        "kpis": station.alarms.kpis(),
    }


@router.post("/alarms/{alarm_id}/acknowledge", tags=["alarms"])
async def acknowledge(
    request: Request, alarm_id: str, person: Writer, body: Acknowledge | None = None
) -> dict[str, Any]:
    """Take note of an alarm and of those it caused."""
    station = station_of(request)
    alarm = await station.alarms.acknowledge(person.name, alarm_id, body.reason if body else "")
    return alarm_json(alarm, language_of(request), station.site)


@router.post("/alarms/{alarm_id}/shelve", tags=["alarms"])
async def shelve(request: Request, alarm_id: str, person: Writer, body: Shelve) -> dict[str, Any]:
    """Set an alarm aside for some minutes, with a reason; then it is judged anew."""
    station = station_of(request)
    alarm = await station.alarms.shelve(person.name, alarm_id, body.minutes, body.reason)
    return alarm_json(alarm, language_of(request), station.site)


@router.post("/alarms/{alarm_id}/unshelve", tags=["alarms"])
async def unshelve(request: Request, alarm_id: str, person: Writer) -> dict[str, Any]:
    """Take a shelved alarm back before its time."""
    station = station_of(request)
    alarm = await station.alarms.unshelve(person.name, alarm_id)
    return alarm_json(alarm, language_of(request), station.site)


# -- history, coordinator, audit ----------------------------------------------------------------------------


@router.get("/history/{device_id}/{point}", tags=["history"])
async def history(
    request: Request,
    device_id: DeviceId,
    point: str,
    person: Reader,
    start: datetime,
    end: datetime,
    points: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Response:
    """Return smallest, mean and largest value by time, thinned to at most `points`."""
    series = await station_of(request).historian.series(device_id, point, start, end, points)
    utc_s, low, mean, high = (column.tolist() for column in series)
    content = {"device": device_id, "point": point, "utc_s": utc_s, "min": low, "mean": mean, "max": high}
    return Response(json.dumps(content), media_type="application/json")


@router.get("/coordinator", tags=["coordinator"])
async def coordinator(request: Request, person: Reader) -> dict[str, Any]:
    """Return the mode of each area and what the coordinator wants, with its reasons."""
    station = station_of(request)
    return dict(station.coordinator.as_dict())


@router.put("/coordinator/areas/{area}", tags=["coordinator"])
async def set_mode(request: Request, area: str, person: Writer, body: Mode) -> dict[str, Any]:
    """Set how far the coordinator may go in an area."""
    station = station_of(request)
    await station.coordinator.set_mode(person.name, area, body.mode)
    return dict(station.coordinator.as_dict())


@router.get("/audit", tags=["audit"])
async def audit(
    request: Request,
    person: Reader,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
    device: str | None = None,
) -> dict[str, Any]:
    """Return rows of the audit in order."""
    station = station_of(request)
    rows = station.audit.rows(after, limit, device)
    return {
        "rows": [
            {
                "seq": row.seq,
                "utc": row.utc,
                "kind": row.kind,
                "actor": row.actor,
                "device": row.device,
                "about": row.about,
                "body": row.body,
                "hash": row.hash,
            }
            for row in rows
        ]
    }


# -- inside ---------------------------------------------------------------------------------------------


def _device(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "name": device.name,
        "profile": device.profile,
        "area": device.area,
        "priority": device.priority,
        "x_m": device.x_m,
        "y_m": device.y_m,
        "node": device.node,
        "address": device.address,
        "transport": device.transport,
        "limits": dict(device.limits),
        "deficit_budget_kh": device.deficit_budget_kh or None,
    }


def _reading(reading: Reading) -> dict[str, Any]:
    return {
        "value": reading.value,
        "quality": reading.quality.name,
        "age_s": _finite(reading.age_s),
        "utc": reading.utc,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
