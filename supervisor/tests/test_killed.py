"""kill -9 in the middle of everything: what was said to be done is done, the rest is found out."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from ..audit import verify
from ..orders import ENDED, HOLDING, UNKNOWN
from .modbus_server import Server
from .paper_controller import PaperController, write_keys

HOUSES = 12
KILLS = 5

_SUPERVISOR = """
import asyncio, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from argon2 import PasswordHasher
from supervisor.access import Access
from supervisor.audit import Audit
from supervisor.clock import WallClock
from supervisor.errors import Refusal
from supervisor.field.outbox import FieldOutbox
from supervisor.field.poller import Poller
from supervisor.latest import Latest, Link
from supervisor.setpoints import Desk
from supervisor.signer import KeyFile, Signer
from supervisor.site import Site
from supervisor.state import open_state

async def main():
    folder, first = Path(sys.argv[1]), float(sys.argv[3])
    clock = WallClock()
    site = Site.load(folder / "site.toml")
    state = open_state(folder / "data")
    audit = Audit(folder / "data", folder / "witness", clock)
    await audit.open()
    latest = Latest(site, clock)
    poller = Poller(site, latest, clock)
    outbox = FieldOutbox(poller, clock)
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    access = Access(state, audit, site.areas, hasher=cheap)
    if not access.users():
        await access.add_user("ana", "copper kettle window six", {"*": "operator"}, by="setup")
    signer = Signer(KeyFile.load(folder / "data" / "keys.json"), site, state, audit, clock)
    desk = Desk(site, latest, state, signer, audit, access, outbox, clock)
    await desk.open()
    for order in desk.orders():
        print("loaded", order.id, order.state, flush=True)
    print("opened", flush=True)
    poller.start()
    clock.spawn("desk", desk.run())

    async def work(device):
        value = first
        while True:
            value = 40.0 + (value + 0.01) % 40.0
            try:
                preview = desk.preview("ana", device, "secondary_supply_temp_sp_c", round(value, 2))
                order = await desk.execute("ana", preview.hash)
                print("executed", order.id, flush=True)
                order = await desk.settled(order.id)
                print("settled", order.id, order.state, flush=True)
            except Refusal:
                await asyncio.sleep(0.05)  # not polled yet, or somebody else's order: look again

    if first:
        await asyncio.gather(*(work(device.id) for device in site.substations))
    deadline = time.monotonic() + 60
    while any(order.state == "unknown" for order in desk.orders()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    for order in desk.orders():
        what = (order.id, order.device_id, order.raw, order.counter, order.state, order.code)
        print("final", *what, flush=True)
    await clock.close()
    poller.close()
    await audit.close()
    state.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_no_acknowledged_order_is_lost_by_kill_9_and_doubt_is_resolved(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    houses = [PaperController(f"house-{n:02d}", loop.time) for n in range(1, HOUSES + 1)]
    servers = [Server(house) for house in houses]
    lines = ['[site]\nname = "Town"\n[poll]\ncycle_s = 2.0\nfast_s = 1.0\n[[area]]\nid = "north"\n']
    for server, house in zip(servers, houses, strict=True):
        port = await server.start()
        lines.append(f'[[substation]]\nid = "{house.name}"\naddress = "127.0.0.1:{port}"\narea = "north"\n')
    (tmp_path / "site.toml").write_text("\n".join(lines))
    write_keys(tmp_path / "data" / "keys.json", houses)
    root = str(Path(__file__).parents[2])

    async def start(first: float) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", _SUPERVISOR, str(tmp_path), root, str(first), stdout=asyncio.subprocess.PIPE
        )

    executed: set[str] = set()
    settled: dict[str, str] = {}
    for kill in range(KILLS):
        process = await start(40.0 + kill)
        assert process.stdout is not None
        seen = 0
        async for raw in process.stdout:
            words = raw.decode().split()
            if not raw.endswith(b"\n"):
                break
            if words[0] == "loaded":
                # whatever was under way when the process died reads unknown, and nothing else changed
                before = settled.get(words[1])
                assert words[2] in (*HOLDING, *ENDED, UNKNOWN)
                assert before is None or (before == words[2]) or before in HOLDING, (before, words)
            elif words[0] == "executed":
                executed.add(words[1])
            elif words[0] == "settled":
                settled[words[1]] = words[2]
                seen += 1
                if seen == 40 + 17 * kill:
                    process.send_signal(signal.SIGKILL)
        await process.wait()

    process = await start(0.0)
    assert process.stdout is not None
    final: dict[str, list[str]] = {}
    async for raw in process.stdout:
        words = raw.decode().split()
        if words[0] == "final":
            final[words[1]] = words[2:]
    assert await process.wait() == 0

    assert len(settled) > 200
    assert executed <= set(final), "an order that was acknowledged is gone"
    assert not [row for row in final.values() if row[3] in (UNKNOWN, "executed", "sent")]
    # what the desk calls accepted is exactly what the controllers obeyed, each once
    obeyed = {
        (house.name, counter, round(value * 100))
        for house in houses
        for counter, _, value, _ in house.accepted
    }
    assert len(obeyed) == sum(len(house.accepted) for house in houses)
    told: dict[bool, set[tuple[str, int, int]]] = {True: set(), False: set()}
    for device, raw_value, counter, state, *code in final.values():
        if state in HOLDING or state == "released":
            told["superseded_in_doubt" in code].add((device, int(counter), int(raw_value)))
    assert told[False] <= obeyed
    assert obeyed <= told[False] | told[True]
    assert len(told[True]) <= HOUSES * KILLS
    for house in houses:
        counters = [counter for counter, *_ in house.accepted]
        assert counters == sorted(set(counters))
        assert house.refused_frames == 0
    verdict = verify(tmp_path / "data" / "audit.sqlite", tmp_path / "witness")
    assert verdict.sound, verdict.findings
    for server in servers:
        await server.stop()
