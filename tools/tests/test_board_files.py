"""The file system that is filled for the report holds what the firmware keeps, and says where it ended."""

import ast
import runpy
import struct

import pytest

from ..board_files import BLOCK_B, RECORDS, SEGMENT_B, SEGMENTS, copies_that_fit, fill, spare_b
from ..board_report import board_facts
from ..build import Bundle, build_bundle, firmware_folder
from ..flash import SPARE_B

SUBSTATION = firmware_folder() / "substation"
ESP32 = board_facts()["olimex_esp32_poe"]


def numbers(file: str) -> dict[str, object]:
    """Return the plain values at the top of a firmware module."""
    found: dict[str, object] = {}
    for node in ast.parse((SUBSTATION / file).read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found[getattr(node.targets[0], "id", "")] = node.value.value
    return found


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return build_bundle()


def test_every_record_of_the_firmware_is_written_at_its_length() -> None:
    kept: dict[str, int] = {}
    for file in sorted(SUBSTATION.glob("*.py")):
        found = numbers(file.name)
        if "RECORD" in found:
            kept[str(found["RECORD"])] = int(str(found.get("RECORD_BYTES", 0)))
    room = int(str(numbers("room.py")["RECORD_BYTES"]))
    kept |= {"room_curve": room, "room2_curve": room}
    refusals = numbers("refusals.py")
    kept["refusals"] = int(str(refusals["ENTRIES"])) * struct.calcsize(str(refusals["ENTRY"]))
    kept["deficit"] = struct.calcsize(str(numbers("deficit.py")["FORMAT"]))
    boots = numbers("boots.py")
    kept[str(boots["TIME_RECORD"])] = int(str(boots["TIME_BYTES"]))
    kept["epochs"] = 8  # two bytes for each of four slots
    assert kept == RECORDS


def test_the_event_log_is_as_long_as_the_firmware_lets_it_grow() -> None:
    log = runpy.run_path(str(SUBSTATION / "log_segments.py"))
    longest_b = log["HEADER_BYTES"] + log["SEGMENT_RECORDS"] * log["RECORD_BYTES"]
    assert (log["SEGMENTS"], longest_b) == (SEGMENTS, SEGMENT_B)


def test_the_esp32_has_room_for_one_slot_and_the_second_is_refused(bundle: Bundle) -> None:
    blocks = ESP32.files_b // BLOCK_B
    assert copies_that_fit(bundle, ESP32.chip, ESP32.files_b) == 2
    third = fill(bundle, ESP32.chip, blocks, 3)
    assert third.stopped is not None and third.stopped.startswith("slot_b: the controller refuses it")


@pytest.mark.parametrize("blocks", range(245, 300, 9))
def test_no_update_that_the_controller_takes_fills_its_file_system(bundle: Bundle, blocks: int) -> None:
    """The last block of every file is half empty, so bytes are no measure."""
    stopped = fill(bundle, ESP32.chip, blocks, 3).stopped
    assert stopped is None or stopped.startswith("slot_b: the controller refuses it")


def test_one_update_leaves_the_cable_room_to_flash_by(bundle: Bundle) -> None:
    filled = fill(bundle, ESP32.chip, ESP32.files_b // BLOCK_B, 2)
    assert filled.stopped is None
    assert ESP32.files_b - filled.used_blocks * BLOCK_B > SPARE_B > spare_b()
