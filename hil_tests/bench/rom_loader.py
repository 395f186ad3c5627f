"""The ESP32's ROM loader on a serial line: a pty that stock esptool takes for a chip in download mode.

What the chip does with a cable and BUT1 held: SLIP frames, and flash that is erased by sectors and written
to one way only. It stands for the Olimex ESP32-POE: an ESP32-D0WD-V3 with 4 MB of flash, kept in a file.
Facts: Espressif's page of the serial protocol, the ESP32's reference manual, and what esptool says over the
line. Every frame gets one answer; what is wrong gets an error answer and changes nothing.

It refuses the stub (esptool needs --no-stub, so no erase-flash) and has no DTR and RTS (--before no-reset
--after no-reset). A command to leave the loader ends it: what follows is not answered until it is started
anew, as with a chip whose program runs.

`python -m hil_tests.bench.rom_loader --flash IMAGE` prints one JSON line with the port and serves until it is
killed; killing it is the power cut.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import operator
import os
import pty
import select
import signal
import struct
import tty
import zlib
from pathlib import Path
from typing import NoReturn

from .errors import WrongUse
from .nor_flash import SECTOR_B, FlashChip

FLASH_B = 4 * 1024 * 1024  # W25Q32 of the ESP32-WROOM-32E-N4 on the board [K]
FLASH_ID = 0xEF | 0x40 << 8 | 0x16 << 16  # its answer to the command 0x9F
MAC = bytes.fromhex("7c9ebd001122")
CRYSTAL_HZ = 40_000_000
BAUD = 115_200

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
REQUEST, RESPONSE = 0, 1
HEADER = struct.Struct("<BBHI")  # direction, command, bytes of data, checksum or value
BLOCK = struct.Struct("<4I")  # of a data command: bytes, sequence number, two zeros
STATUS = struct.Struct("<BBH")  # status, error, reserved
LONGEST_B = 64 * 1024  # of a frame; its length field has 16 bits
CHECKSUM_SEED = 0xEF

(FLASH_BEGIN, FLASH_DATA, FLASH_END) = (0x02, 0x03, 0x04)
(SYNC, WRITE_REG, READ_REG) = (0x08, 0x09, 0x0A)
(SPI_SET_PARAMS, SPI_ATTACH, READ_FLASH, CHANGE_BAUDRATE) = (0x0B, 0x0D, 0x0E, 0x0F)
(FLASH_DEFL_BEGIN, FLASH_DEFL_DATA, FLASH_DEFL_END, SPI_FLASH_MD5) = (0x10, 0x11, 0x12, 0x13)

SYNC_DATA = b"\x07\x07\x12\x20" + 32 * b"\x55"
SYNC_VALUE = 0x20120707  # the ROM's; the stub's is 0, and so esptool tells them apart
SYNC_ANSWERS = 8
READ_B = 64  # the ROM reads no more of the flash at once

# the protocol's errors
INVALID, FAILED, CHECKSUM, WRITE_ERROR, READ_TOO_LONG, DEFLATE = 0x05, 0x06, 0x07, 0x08, 0x0A, 0x0B

# registers that esptool looks at
DATE_OF_ROM, CHIP_MAGIC = 0x4000_1000, 0x00F0_1D83  # an ESP32 has this word there
EFUSES = 0x3FF5_A000
APB_DATE = 0x3FF6_607C
UART_DIVIDER = 0x3FF4_0014
SPI = 0x3FF4_2000
SPI_COMMAND, SPI_USER2, SPI_ANSWER_BITS, SPI_W0 = SPI, SPI + 0x24, SPI + 0x2C, SPI + 0x80
SPI_GO = 1 << 18
READ_ID = 0x9F


class Refused(Exception):
    """A frame that gets an error answer; args[0] is the protocol's number for it."""


def _crc8(data: bytes) -> int:
    """Return the checksum that lies beside the MAC address in the eFuses: Maxim's."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


def efuses(mac: bytes) -> dict[int, int]:
    """Return the words that tell the MAC address and an ESP32-D0WD-V3 of revision 3.1."""
    return {
        EFUSES + 4: int.from_bytes(mac[2:], "big"),
        EFUSES + 8: int.from_bytes(mac[:2], "big") | _crc8(mac) << 16,
        EFUSES + 12: 1 << 15 | 1 << 9,  # revision at least 1; package ESP32-D0WD
        EFUSES + 20: 1 << 20 | 1 << 24,  # at least 2; minor revision 1
        APB_DATE: 1 << 31,  # 3
    }


class _Download:
    """A download between its BEGIN and its last block."""

    def __init__(self, size_b: int, blocks: int, block_b: int, at: int, deflated: bool) -> None:
        self.left_b, self.blocks, self.block_b, self.at = size_b, blocks, block_b, at
        self.inflator = zlib.decompressobj() if deflated else None
        self.next = 0

    def content(self, data: bytes) -> bytes:
        """Return what the block puts into the flash; the next block begins behind it."""
        if self.inflator is None:
            return data
        try:
            # from a copy: a refused block leaves the stream where it was, and may come again
            inflator = self.inflator.copy()
            content = inflator.decompress(data, self.left_b + 1)
        except zlib.error as error:
            raise Refused(DEFLATE) from error
        if len(content) > self.left_b or inflator.unused_data:
            raise Refused(DEFLATE)
        self.inflator = inflator
        return content


class RomLoader:
    """The loader without its line: `feed` takes what the host sends and returns what the chip answers."""

    def __init__(self, flash: FlashChip, mac: bytes = MAC) -> None:
        self._flash = flash
        self._frame = bytearray()
        self._within = self._escaped = self._broken = False
        self._attached = False
        self._download: _Download | None = None
        self._registers = {DATE_OF_ROM: CHIP_MAGIC, **efuses(mac)}
        self.baud = BAUD
        self.left = False
        """Whether it was told to start the program: it answers nothing any more."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the line; what stands outside a frame is noise, as of a plug."""
        answers = bytearray()
        for byte in data:
            if self.left:
                break
            if byte == END:
                if self._frame or self._broken:
                    answers += self._answers(bytes(self._frame), self._broken or self._escaped)
                    self._within = False
                else:
                    self._within = True  # also the second of two: then it begins here
                self._frame.clear()
                self._escaped = self._broken = False
            elif self._within:
                self._take(byte)
        return bytes(answers)

    def _take(self, byte: int) -> None:
        if self._escaped:
            self._escaped = False
            if byte not in (ESCAPED_END, ESCAPED_ESCAPE):
                self._broken = True
            byte = END if byte == ESCAPED_END else ESCAPE
        elif byte == ESCAPE:
            self._escaped = True
            return
        if len(self._frame) < LONGEST_B + HEADER.size:
            self._frame.append(byte)
        else:
            self._broken = True

    def _answers(self, frame: bytes, broken: bool) -> bytes:
        command = frame[1] if len(frame) > 1 else 0
        value, data, error = 0, b"", 0
        try:
            if broken or len(frame) < HEADER.size:
                raise Refused(INVALID)
            direction, _, count, checksum = HEADER.unpack_from(frame)
            content = frame[HEADER.size :]
            if direction != REQUEST or count != len(content):
                raise Refused(INVALID)
            value, data = self._obey(command, content, checksum)
        except Refused as refused:
            error = refused.args[0]
        body = data + STATUS.pack(bool(error), error, 0)
        answer = framed(HEADER.pack(RESPONSE, command, len(body), value) + body)
        return answer * (SYNC_ANSWERS if command == SYNC and not error else 1)

    def _obey(self, command: int, content: bytes, checksum: int) -> tuple[int, bytes]:
        """Return the value and the data of the answer, or raise Refused and leave all as it was."""
        if command == SYNC:
            if content != SYNC_DATA:
                raise Refused(INVALID)
            self._download = None
            return SYNC_VALUE, b""
        if command in (FLASH_DATA, FLASH_DEFL_DATA):
            self._write(content, checksum, deflated=command == FLASH_DEFL_DATA)
        elif command in (FLASH_BEGIN, FLASH_DEFL_BEGIN):
            self._begin(_words(content, 4), deflated=command == FLASH_DEFL_BEGIN)
        elif command in (FLASH_END, FLASH_DEFL_END):
            (stay,) = _words(content, 1)
            if self._download is not None and self._download.next < self._download.blocks:
                raise Refused(FAILED)
            self._download = None
            self.left = not stay
        elif command == READ_REG:
            return self._read_register(*_words(content, 1)), b""
        elif command == WRITE_REG:
            address, word, mask, _ = _words(content, 4)
            self._write_register(address, word & mask | self._registers.get(address, 0) & ~mask)
        elif command == SPI_ATTACH:
            _words(content, 2)
            self._attached = True
        elif command == SPI_SET_PARAMS:
            if _words(content, 6)[1] > self._flash.size_b:
                raise Refused(FAILED)
        elif command == CHANGE_BAUDRATE:
            new, _ = _words(content, 2)
            if not 0 < new <= 5_000_000:
                raise Refused(INVALID)
            self.baud = new
        elif command == SPI_FLASH_MD5:
            at, count, _, _ = _words(content, 4)
            self._check_range(at, count)
            return 0, hashlib.md5(self._flash.read(at, count), usedforsecurity=False).hexdigest().encode()
        elif command == READ_FLASH:
            at, count = _words(content, 2)
            if count > READ_B:
                raise Refused(READ_TOO_LONG)
            self._check_range(at, count)
            return 0, self._flash.read(at, count).ljust(READ_B, b"\xff")
        else:  # the stub's commands, loading into the RAM, and what does not exist
            raise Refused(INVALID)
        return 0, b""

    def _check_range(self, at: int, count: int) -> None:
        if not self._attached or at + count > self._flash.size_b:
            raise Refused(FAILED)

    def _begin(self, words: tuple[int, ...], *, deflated: bool) -> None:
        size_b, blocks, block_b, at = words
        self._check_range(at, size_b)
        if at % SECTOR_B or not 0 < block_b <= LONGEST_B - BLOCK.size:
            raise Refused(INVALID)
        self._flash.erase(at, size_b)
        self._download = _Download(size_b, blocks, block_b, at, deflated)

    def _write(self, content: bytes, checksum: int, *, deflated: bool) -> None:
        download = self._download
        if len(content) < BLOCK.size:
            raise Refused(INVALID)
        count, number, _, _ = BLOCK.unpack_from(content)
        data = content[BLOCK.size :]
        if count != len(data):
            raise Refused(INVALID)
        if functools.reduce(operator.xor, data, CHECKSUM_SEED) != checksum:
            raise Refused(CHECKSUM)
        if download is None or (download.inflator is not None) is not deflated:
            raise Refused(FAILED)
        if number != download.next or number >= download.blocks or count > download.block_b:
            raise Refused(INVALID)
        into_flash = download.content(data)
        self._check_range(download.at, len(into_flash))
        if not self._flash.program(download.at, into_flash):
            raise Refused(WRITE_ERROR)
        download.at += len(into_flash)
        download.left_b -= len(into_flash)
        download.next += 1

    def _read_register(self, address: int) -> int:
        if address % 4:
            raise Refused(INVALID)
        if address == UART_DIVIDER:  # from which esptool works out the crystal
            return round(CRYSTAL_HZ / self.baud)
        return self._registers.get(address, 0)

    def _write_register(self, address: int, word: int) -> None:
        if address % 4 or address == DATE_OF_ROM:
            raise Refused(INVALID)
        if address == SPI_COMMAND and word & SPI_GO:  # done at once: the bit reads 0 again
            word &= ~SPI_GO
            bits = (self._registers.get(SPI_ANSWER_BITS, 0) & 0x1FF) + 1
            answer = FLASH_ID if self._registers.get(SPI_USER2, 0) & 0xFF == READ_ID else 0
            self._registers[SPI_W0] = answer & (1 << min(bits, 32)) - 1
        self._registers[address] = word


def framed(packet: bytes) -> bytes:
    """Return the packet as a SLIP frame."""
    escaped = packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + escaped + b"\xc0"


def _words(content: bytes, count: int) -> tuple[int, ...]:
    if len(content) != 4 * count:
        raise Refused(INVALID)
    return struct.unpack(f"<{count}I", content)


class LoaderLine:
    """The pty; `port` is the path that esptool opens."""

    def __init__(self, loader: RomLoader) -> None:
        self._loader = loader
        self._line, slave = pty.openpty()
        self._slave = slave  # kept open, so that the line outlives its hosts
        tty.setraw(slave)
        self.port = os.ttyname(slave)

    def serve(self, owner: int | None = None) -> NoReturn:
        """Answer for ever. owner: a file number; at its end the loader ends too."""
        owned = [] if owner is None else [owner]
        while True:
            ready, _, _ = select.select([self._line, *owned], [], [])
            if owner in ready and not os.read(owner, 16):
                raise SystemExit(0)
            if self._line in ready:
                answer = self._loader.feed(os.read(self._line, 4096))
                while answer:
                    answer = answer[os.write(self._line, answer) :]


def _stop(number: int, frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Serve one chip until killed."""
    parser = argparse.ArgumentParser(prog="python -m hil_tests.bench.rom_loader", description=__doc__)
    parser.add_argument("--flash", type=Path, required=True, help="flash of 4 MB; made when missing")
    parser.add_argument("--mac", type=bytes.fromhex, default=MAC, help="12 hexadecimal digits")
    parser.add_argument("--owned", action="store_true", help="end when the standard input ends")
    wanted = parser.parse_args()
    try:
        chip = FlashChip(wanted.flash, FLASH_B)
    except (WrongUse, OSError) as error:
        parser.error(str(error))
    line = LoaderLine(RomLoader(chip, wanted.mac))
    signal.signal(signal.SIGTERM, _stop)
    print(json.dumps({"port": line.port, "flash": str(wanted.flash.resolve())}), flush=True)
    try:
        line.serve(0 if wanted.owned else None)
    finally:
        chip.close()


if __name__ == "__main__":
    main()
