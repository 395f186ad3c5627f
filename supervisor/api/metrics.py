"""/healthz for whoever restarts the process, /metrics for whoever draws curves of it.

Both hold no secret and change nothing. /metrics answers this machine without a login and others only with
one, so that a town's plan of controllers is not read by passers-by.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from .live import in_hand
from .security import client_of, person_of

router = APIRouter(include_in_schema=False)


class _Collector(Collector):
    def __init__(self, state: Any, lag_s: float) -> None:
        self._state = state
        self._lag_s = lag_s

    def collect(self) -> Iterable[Metric]:
        """Yield what the station and the screens count."""
        station, ticker = self._state.station, self._state.ticker
        yield from station.metrics()
        alarms = in_hand(station)
        active = GaugeMetricFamily("toplovod_alarms_active", "Alarms in hand", labels=["priority"])
        for priority, count in enumerate(alarms.active, 1):
            active.add_metric([str(priority)], count)
        yield active
        yield GaugeMetricFamily(
            "toplovod_alarms_unacknowledged", "Alarms nobody took note of", alarms.unacknowledged
        )
        orders = GaugeMetricFamily("toplovod_orders", "Active orders by state", labels=["state"])
        states: dict[str, int] = {}
        for order in station.desk.orders(active_only=True):
            states[order.state] = states.get(order.state, 0) + 1
        for state, count in sorted(states.items()):
            orders.add_metric([state], count)
        yield orders
        yield GaugeMetricFamily("toplovod_screens", "Screens with a live socket", ticker.clients)
        yield CounterMetricFamily("toplovod_screen_frames", "Frames sent to screens", ticker.frames_sent)
        yield GaugeMetricFamily("toplovod_loop_lag_seconds", "How late the event loop is now", self._lag_s)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return counters in Prometheus' text form."""
    if not _is_this_machine(client_of(request)):
        person_of(request)
    before = time.perf_counter()
    await asyncio.sleep(0)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(request.app.state, time.perf_counter() - before))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    """Return 200 while the supervisor works, degraded or not; 503 when it is not running."""
    health = request.app.state.station.health()
    running = bool(request.app.state.station.running)
    return JSONResponse(health, 200 if running else 503)


def _is_this_machine(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
