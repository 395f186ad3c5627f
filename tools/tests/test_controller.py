"""What is said, and above all what is not asked, of a controller that this release does not know."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.file_message import FileRecord, WriteFileRecordRequest

from firmware.substation import registers
from tools.controller import FRAME_BYTES, Address, SerialAddress
from tools.errors import WRONG_USE, ToolError
from tools.key_file import KeyFile
from tools.update import PIECE_BYTES

from .processes import toplovod

DEVICE = "0011223344556677"


def identity(**changed: int) -> list[int]:
    """Return the words of an identity block, of our own map where nothing is changed."""
    value = {
        "identity_magic_code": registers.IDENTITY_MAGIC,
        "map_version_number": registers.MAP_VERSION,
        "map_hash_code": registers.map_hash(),
        "device_id_high_code": 0x00112233,
        "device_id_low_code": 0x44556677,
        "profile_number": 1,
        **changed,
    }
    words = [0] * registers.IDENTITY_WORDS
    for row in registers.BY_PROFILE[registers.SUBSTATION]:
        if row.space == registers.INPUT and row.address < registers.IDENTITY_WORDS and row.name in value:
            words[row.address : row.address + registers.words_of(row)] = registers.words_of_raw(
                row, value[row.name]
            )
    return words


@contextmanager
def stranger(words: list[int]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve an identity block and nothing else; yields the address and every PDU that was asked."""
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                while header := line.recv(7, socket.MSG_WAITALL):
                    number, _, length, unit = struct.unpack(">HHHB", header)
                    pdu = line.recv(length - 1, socket.MSG_WAITALL)
                    asked.append(pdu)
                    answer = bytes([pdu[0] | 0x80, 2])
                    if pdu == struct.pack(">BHH", 4, 0, len(words)):
                        answer = struct.pack(f">BB{len(words)}H", 4, 2 * len(words), *words)
                    line.sendall(struct.pack(">HHHB", number, 0, len(answer) + 1, unit) + answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (identity(map_hash_code=0xDEADBEEF), "unknown_map"),
        (identity(profile_number=7), "unknown_profile"),
        (identity(identity_magic_code=0x1234), "not_ours"),
    ],
)
def test_only_the_identity_is_asked_and_nothing_is_written(tmp_path, words, code):
    keys = tmp_path / "keys.json"
    KeyFile(0, 1, {DEVICE: bytes(32)}).write(keys)
    with stranger(words) as (address, asked):
        for command in (
            ("read", address),
            ("commission", address, "--record", tmp_path / "record.json"),
            ("order", address, "curve_shift_sp_k=1", "--keys", keys),
        ):
            said = toplovod(*command, "--json")
            assert (said.status, said.json["code"], said.json["changed"]) == (1, code, False)
    assert set(asked) == {struct.pack(">BHH", 4, 0, registers.IDENTITY_WORDS)}
    assert not (tmp_path / "record.json").exists()


def test_an_unknown_profile_is_not_blamed_on_the_map():
    with stranger(identity(profile_number=7)) as (address, _):
        message = toplovod("read", address, "--json").json["message"]
    assert "profile 7" in message and f"{registers.map_hash():08x}" not in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("serial:/dev/ttyUSB0", SerialAddress("/dev/ttyUSB0", 19_200, "even", 1)),
        ("serial:/dev/ttyUSB0,baud=9600,parity=odd", SerialAddress("/dev/ttyUSB0", 9_600, "odd", 1)),
        ("serial:COM3,parity=none", SerialAddress("COM3", 19_200, "none", 2)),
        ("serial:COM3,parity=none,stop=1", SerialAddress("COM3", 19_200, "none", 1)),
    ],
)
def test_a_serial_line_is_an_address(text: str, line: SerialAddress) -> None:
    assert Address.parse(text) == line
    assert Address.parse(str(line)) == line


@pytest.mark.parametrize(
    "text",
    [
        "serial:", "serial:,baud=9600", "serial:/dev/x,baud=7", "serial:/dev/x,baud",
        "serial:/dev/x,speed=9600",
        "serial:/dev/x,parity=mark", "serial:/dev/x,stop=3", "serial:/dev/x,baud=9600,baud=19200",
    ],
)  # fmt: skip
def test_a_serial_line_that_cannot_be_meant_is_not_opened(text: str) -> None:
    with pytest.raises(ToolError, match="nothing was sent") as refused:
        Address.parse(text)
    assert (refused.value.code, refused.value.exit_status) == ("bad_address", WRONG_USE)


def test_a_serial_line_that_is_none_is_unreachable(tmp_path: Path) -> None:
    for port, why in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / "file", "no serial line"),
    ):
        (tmp_path / "file").touch()
        said = toplovod("read", f"serial:{port}", "--json")
        assert (said.status, said.json["code"], said.json["changed"]) == (3, "unreachable", False)
        assert why in said.json["message"] and "rtu_baud" in said.json["message"]


def test_the_longest_piece_of_an_update_fits_a_frame_of_the_serial_line() -> None:
    piece = FileRecord(file_number=1, record_number=0, record_data=bytes(PIECE_BYTES))
    pdu = WriteFileRecordRequest([piece])
    assert len(FramerRTU(DecodePDU(True)).buildFrame(pdu)) <= FRAME_BYTES
