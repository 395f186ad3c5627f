"""Bring a signed image or limit bundle into a controller: orders open and start it, FC 21 carries it.

It refuses to start what the controller has not verified, and to begin anew what only stopped: sent again, the
same image goes on behind the last whole file.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware.substation import registers

from .controller import REMEDIES, Controller
from .errors import ToolError
from .key_file import KeyFile
from .limits import LimitBundle
from .sign import Image

RECORDS = 10_000  # of one file: Modbus Application Protocol V1.1b3, 6.15
PIECE_BYTES = 240  # with all around it 252 on a serial line, where a frame has at most 256
OPEN, ACTIVATE, GO_BACK, OPEN_LIMITS = 1, 2, 4, 5
STUCK_AFTER_S = 30.0  # without a byte or a verdict; an RP2040 verifies in 3 s [estimate]
LOOK_AGAIN_S = 0.2

# What became of a failed update, by the name of its cause in registers.UPDATE_CAUSES.
CAUSES = {
    "malformed": "it is malformed. Make it again: toplovod sign, or toplovod limits sign",
    "signature": "the signature is not of the release key on this board (or its limits key)",
    "version": "its version does not rise above the one confirmed last, and a controller never goes back",
    "space": "there is no room for it in the flash",
    "content": "a file differs from what was signed; something on the way alters bytes",
    "flash": "its flash is full, or refuses to be written: docs/boards.md tells how many images a board has "
    "room for. Where there is room and it happens again, the flash chip is failing",
    "digest": "it is not what was ordered; another tool sends at the same time",
    "no_key": "the board has no key to verify it by. Give it one over USB: toplovod provision --release-key",
    "device": "these limits are for another controller",
    "settings": "the site refuses its settings",
}


@dataclass(frozen=True)
class Updated:
    """What was done."""

    address: str
    version: int
    sent_bytes: int
    kept_bytes: int
    activated: bool


def _command(controller: Controller, keys: KeyFile, number: int, what: str, **more: float | None) -> None:
    result = controller.order(keys, {**more, "update_command_number": float(number)}, 0)
    if not result.accepted:
        raise ToolError(
            "update_refused",
            f"{controller.address}: {what}: {result.result}. {REMEDIES.get(result.result, '')}".rstrip(),
        )


def update(
    controller: Controller,
    keys: KeyFile,
    image: Image | LimitBundle,
    *,
    activate: bool,
    progress: Callable[[int, int], None],
) -> Updated:
    """Send the image, wait until the controller has verified it, and start it where `activate` says so.

    progress(bytes that are there, bytes in all). Raises ToolError update_refused, update_failed, and what
    `Controller` raises.
    """
    digest = image.digest
    parts = {
        f"update_digest_{k + 1}_code": float(int.from_bytes(digest[4 * k : 4 * k + 4])) for k in range(4)
    }
    opening = OPEN if isinstance(image, Image) else OPEN_LIMITS
    _command(
        controller, keys, opening, "to open the update", update_size_b=float(len(image.content)), **parts
    )
    kept = 0
    sent = 0
    seen, seen_at = ("", -1), time.monotonic()
    while True:
        state = registers.UPDATE_STATES[controller.value("update_state_number")]
        at = controller.value("update_next_b")
        if state == "failed":
            cause = registers.UPDATE_CAUSES[controller.value("update_cause_number")]
            raise ToolError(
                "update_failed",
                f"{controller.address}: the controller gave the update up: {CAUSES.get(cause, cause)}. "
                "What ran runs on, as before.",
                changed=True,
            )
        if state == "ready":
            break
        if state == "none":
            raise ToolError(
                "update_lost",
                f"{controller.address}: the update is no longer open; the controller restarted, or somebody "
                "dropped it. Send it again and it goes on.",
                changed=True,
            )
        if (state, at) != seen:
            seen, seen_at = (state, at), time.monotonic()
        elif time.monotonic() - seen_at > STUCK_AFTER_S:
            raise ToolError(
                "update_stuck",
                f"{controller.address}: nothing has moved for {STUCK_AFTER_S:g} s at byte {at} ({state}). "
                "Nothing was started; send it again and it goes on. A gateway may refuse FC 21.",
                changed=True,
            )
        if state == "verifying":
            time.sleep(LOOK_AGAIN_S)
            continue
        if state == "files" and sent <= len(image.head):
            kept = at - len(image.head)
        progress(at, len(image.content))
        at -= at % 2  # records are words
        for _ in range(16):  # then look how far it is
            if at >= len(image.content):
                break
            piece = image.content[at : at + PIECE_BYTES]
            if controller.write_file_record(
                at // 2 // RECORDS + 1, at // 2 % RECORDS, piece + b"\0" * (len(piece) % 2)
            ):
                time.sleep(LOOK_AGAIN_S)
                break  # what it wants next is asked anew
            at += len(piece)
            sent += len(piece)
    progress(len(image.content), len(image.content))
    if activate:
        _command(controller, keys, ACTIVATE, "to start it")
    return Updated(str(controller.address), image.version, sent, kept, activate)


def go_back(controller: Controller, keys: KeyFile) -> None:
    """Order the program before to run again; ToolError update_refused."""
    _command(controller, keys, GO_BACK, "to go back")
