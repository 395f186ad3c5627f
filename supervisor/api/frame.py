"""Put one tick of live values into one binary frame, version 1, for the screens.

Refuses to know stations, sockets or sessions: arrays in, bytes out, so that every client with the same
subscription can be sent the same bytes. `static/js/frame.js` is the other half;
a test runs both on one frame.

Little-endian. Header, 40 bytes: 2 s magic "TV", u8 version, u8 flags (1 = simulated time), u32 sequence,
f64 utc in s, f32 simulated seconds per second of wall time, u32 alarms version, u32 orders version,
u16 subscription, u16 blocks, u16 unacknowledged alarms, u16 active alarms of priority 1, 2 and 3.
Then each block: u8 profile (1 substation, 2 pump station), u8 zero, u16 devices, u16 points, u16 zero,
f32 values (devices x points, NaN = no reading), f32 age in s (devices), u8 quality (devices x points),
u8 link (devices), zeros up to a multiple of four. Quality and link are the numbers of `latest`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAGIC = b"TV"
VERSION = 1
FLAG_SIMULATED = 1

HEADER = struct.Struct("<2sBBIdfIIHHHHHH")
BLOCK = struct.Struct("<BBHHH")


@dataclass(frozen=True)
class Head:
    """What every screen shows whatever its page: time, alarms in hand, versions of the lists."""

    sequence: int
    utc_s: float
    simulated: bool
    speed: float
    alarms_version: int
    orders_version: int
    unacknowledged: int
    active: tuple[int, int, int]


@dataclass(frozen=True)
class Block:
    """Values of some points of all subscribed devices of one profile, rows = devices."""

    profile: int
    values: NDArray[np.float32]
    age_s: NDArray[np.float32]
    quality: NDArray[np.uint8]
    link: NDArray[np.uint8]


def encode(head: Head, subscription: int, blocks: Sequence[Block]) -> bytes:
    """Return the frame; ValueError where the arrays of a block do not fit together."""
    parts = [
        HEADER.pack(
            MAGIC,
            VERSION,
            FLAG_SIMULATED if head.simulated else 0,
            head.sequence & 0xFFFFFFFF,
            head.utc_s,
            head.speed,
            head.alarms_version & 0xFFFFFFFF,
            head.orders_version & 0xFFFFFFFF,
            subscription & 0xFFFF,
            len(blocks),
            min(head.unacknowledged, 0xFFFF),
            *(min(count, 0xFFFF) for count in head.active),
        )
    ]
    for block in blocks:
        devices, points = block.values.shape
        if block.quality.shape != (devices, points) or not (len(block.age_s) == len(block.link) == devices):
            raise ValueError(
                f"block of {devices} devices and {points} points has quality {block.quality.shape}, "
                f"{len(block.age_s)} ages and {len(block.link)} links"
            )
        body = (
            BLOCK.pack(block.profile, 0, devices, points, 0)
            + block.values.astype("<f4").tobytes()
            + block.age_s.astype("<f4").tobytes()
            + block.quality.astype("u1").tobytes()
            + block.link.astype("u1").tobytes()
        )
        parts.append(body + bytes(-len(body) % 4))
    return b"".join(parts)
