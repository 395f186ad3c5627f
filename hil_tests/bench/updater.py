"""Sends an image into a controller as a tool would: orders open and start it, FC 21 carries it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

from firmware.substation import order_frame

from .controller import Controller
from .errors import ModbusException

WRITE_FILE_RECORD = 21
RECORDS = 10_000  # of one file: Modbus Application Protocol V1.1b3, 6.15
PIECE_BYTES = 240
SIGNATURE_BYTES = 64
BUSY = 6
OPEN, ACTIVATE, DROP, GO_BACK, OPEN_LIMITS = range(1, 6)
CLOSED, HEAD_COMES, VERIFYING, FILES_COME, READY, FAILED = range(6)  # update_state_number


def head_of(image: bytes) -> bytes:
    """The text of an image and the signature over it."""
    return image[: int(image.split(b" ", 2)[1][:5]) + SIGNATURE_BYTES]


def command(controller: Controller, number: int, **more: float) -> Any:
    """Order a command; return the receipt."""
    return controller.write_order(
        controller.order_words({**more, "update_command_number": number}, lease_s=0)
    )


def opening_of(image: bytes) -> dict[str, int]:
    """The size and digest, by register name, that an order opens this image or limit bundle by."""
    digest = hashlib.sha256(head_of(image)).digest()
    words = {f"update_digest_{k + 1}_code": int.from_bytes(digest[4 * k : 4 * k + 4]) for k in range(4)}
    return {"update_size_b": len(image), **words}


def open_update(controller: Controller, image: bytes, opening: int = OPEN) -> Any:
    """Order that this image, or limit bundle, be taken in; return the receipt."""
    return command(controller, opening, **opening_of(image))


def write_piece(controller: Controller, at: int, piece: bytes) -> None:
    """Send one piece; ModbusException where it is not taken."""
    padded = piece + b"\0" * (len(piece) % 2)
    file, record = divmod(at // 2, RECORDS)
    group = struct.pack(">BHHH", 6, file + 1, record, len(padded) // 2) + padded
    controller.client().request(struct.pack(">BB", WRITE_FILE_RECORD, len(group)) + group)


def send(
    controller: Controller, image: bytes, wait: Callable[[float], None], stop_at: int | None = None
) -> int:
    """Send the image from where the controller wants it; return its update_state_number at the end.

    wait(seconds) lets time pass while the signature is verified. stop_at: send no byte from there on.
    """
    end = len(image) if stop_at is None else stop_at
    while True:
        state = int(controller.read("update_state_number"))
        at = int(controller.read("update_next_b"))
        if state == VERIFYING:
            wait(1.0)
            continue
        if state in (READY, FAILED) or at >= end:
            return state
        piece = image[at : min(at + PIECE_BYTES, end)]
        if at % 2:  # records are words: begin one byte earlier, it is there already
            at, piece = at - 1, image[at - 1 : min(at - 1 + PIECE_BYTES, end)]
        try:
            write_piece(controller, at, piece)
        except ModbusException as refusal:
            if refusal.exception != BUSY:
                return int(controller.read("update_state_number"))
            wait(1.0)


def update(controller: Controller, image: bytes, wait: Callable[[float], None], opening: int = OPEN) -> None:
    """Take the image, or limit bundle, in and start it on trial; AssertionError where a step is refused."""
    assert open_update(controller, image, opening).result == order_frame.ACCEPTED
    state = send(controller, image, wait)
    assert state == READY, (state, controller.read("update_cause_number"))
    assert command(controller, ACTIVATE).result == order_frame.ACCEPTED
