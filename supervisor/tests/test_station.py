"""A whole station against emulated controllers with the shipped firmware: polls, orders, history, health."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from firmware.substation import order_frame, registers

from ..clock import WallClock
from ..field.errors import FieldRefused
from ..field.identity import OUR_MAP_HASH, Identity
from ..latest import Link, Quality
from ..settings import Settings, StartRefused
from ..site import Site
from ..station import Station

POINT = "curve_shift_sp_k"


@dataclass
class Emulated:
    address: str
    device_id: str
    key: bytes
    profile: str


@pytest.fixture(scope="module")
def controllers() -> Iterator[list[Emulated]]:
    """Two substations: real MicroPython, the shipped bundle, a small plant each."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "emulate", "--count", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    found = []
    for _ in range(2):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        facts = json.loads(line)
        key_file = json.loads(Path(facts["key_file"]).read_text())
        key = bytes.fromhex(key_file["devices"][facts["device_id"]])
        found.append(Emulated(facts["address"], facts["device_id"], key, facts["profile"]))
    yield found
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def site_file(folder: Path, controllers: list[Emulated]) -> Path:
    text = '[site]\nname = "Test town"\n[poll]\ncycle_s = 2.0\nfast_s = 1.0\n[[area]]\nid = "north"\n'
    for number, controller in enumerate(controllers, 1):
        text += (
            f'\n[[substation]]\nid = "house-{number:02d}"\narea = "north"\naddress = "{controller.address}"\n'
            f'device_id = "{controller.device_id}"\n'
        )
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


def order(controller: Emulated, identity: Identity, value_k: float, counter: int, key: bytes) -> list[int]:
    row = registers.BY_NAME[POINT]
    words = registers.words_of_raw(row, registers.to_raw(row, value_k))
    frame = order_frame.encode_order(
        key,
        bytes.fromhex(controller.device_id),
        OUR_MAP_HASH,
        identity.boot_nonce,
        order_frame.Order(
            order_frame.SUPERVISOR, 1, counter, identity.uptime_s + 30, 600, ((row.address, words),)
        ),
    )
    return [int.from_bytes(frame[k : k + 2], "big") for k in range(0, len(frame), 2)]


async def test_a_station_reads_orders_and_records_real_controllers(
    tmp_path: Path, controllers: list[Emulated]
) -> None:
    clock = WallClock(on_death=lambda name, error: pytest.fail(f"{name}: {error}"))
    site = Site.load(site_file(tmp_path, controllers))
    station = Station(site, Settings(tmp_path / "data", history_min_free_bytes=0), clock)
    await station.start()
    try:
        await until(lambda: station.health()["devices_live"] == 2)
        house = controllers[0]
        state = station.latest.device("house-01")
        assert state.link is Link.ok
        assert state.identity is not None and state.identity.device_id_hex == house.device_id
        supply = station.latest.point("house-01", "primary_supply_temp_c")
        assert supply.quality is Quality.good and supply.value is not None and 20 < supply.value < 130

        identity = await station.outbox.identity("house-01")
        frame = order(house, identity, -2.0, 1, house.key)
        receipt = await station.outbox.send("house-01", frame, order_frame.SUPERVISOR)
        told = order_frame.decode_receipt(
            house.key, bytes.fromhex(house.device_id), identity.boot_nonce, receipt.block
        )
        assert (told.result, told.counter) == (order_frame.ACCEPTED, 1)
        await until(lambda: station.latest.point("house-01", POINT).value == pytest.approx(-2.0))
        # Setpoint and owner are read one after the other: an order may land between the two reads.
        lease = "curve_shift_lease_number"
        await until(lambda: station.latest.point("house-01", lease).value == order_frame.SUPERVISOR + 1)

        challenge = secrets.token_bytes(8)
        block = await station.outbox.status("house-01", order_frame.SUPERVISOR, challenge)
        status = order_frame.decode_status(house.key, bytes.fromhex(house.device_id), challenge, block.block)
        assert status.map_hash == OUR_MAP_HASH

        with pytest.raises(FieldRefused) as refused:  # another house's key
            await station.outbox.send("house-01", order(house, identity, -3.0, 2, controllers[1].key), 0)
        assert refused.value.exception_code == 2
        with pytest.raises(FieldRefused):  # a replay
            await station.outbox.send("house-01", frame, 0)

        await station.historian.flush()
        assert station.historian.state.recorded >= 2
        assert station.health()["status"] == "degraded"  # no keys.json: orders cannot be signed here
        assert station.health()["orders"] == "no_keys"

        class Counters(Collector):
            def collect(self) -> list[Metric]:
                return station.metrics()

        registry = CollectorRegistry()
        registry.register(Counters())
        text = generate_latest(registry).decode()
        assert 'toplovod_field_devices{link="ok"} 2.0' in text
        assert 'toplovod_field_orders_total{device="house-01"} 3.0' in text
        assert 'toplovod_field_lateness_seconds_bucket{le="+Inf"}' in text
    finally:
        await station.stop()
    assert (tmp_path / "data" / "lock").exists()
    again = Station(site, Settings(tmp_path / "data"), WallClock())  # the folder was given back
    await again.start()
    await again.stop()


async def test_two_servers_do_not_share_a_data_folder(tmp_path: Path, controllers: list[Emulated]) -> None:
    site = Site.load(site_file(tmp_path, controllers))
    settings = Settings(tmp_path / "data", history_min_free_bytes=0)
    first = Station(site, settings, WallClock())
    await first.start()
    try:
        with pytest.raises(StartRefused, match=f"process {os.getpid()}") as caught:
            await Station(site, settings, WallClock()).start()
        assert caught.value.code == "data_folder_locked" and caught.value.exit_status == 2
    finally:
        await first.stop()


@pytest.fixture
def exposed_keys(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    keys = tmp_path / "data" / "keys.json"
    keys.write_text("{}")
    keys.chmod(0o644)
    return keys


async def test_a_key_file_that_others_can_read_stops_the_start(
    tmp_path: Path, controllers: list[Emulated], exposed_keys: Path
) -> None:
    site = Site.load(site_file(tmp_path, controllers))
    station = Station(site, Settings(tmp_path / "data", history_min_free_bytes=0), WallClock())
    with pytest.raises(StartRefused, match="chmod 600"):
        await station.start()
    await asyncio.to_thread(exposed_keys.unlink)
    await station.start()  # the failed start left nothing locked or open
    await station.stop()
