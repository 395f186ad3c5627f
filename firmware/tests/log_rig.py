"""An event log in a folder, with the clock in the test's hand, and a second reading of its format."""

import hashlib
import struct
from types import SimpleNamespace

from firmware.substation.clock import Clock
from firmware.substation.log_opening import open_log
from firmware.substation.uptime import Uptime

DEVICE_ID = bytes.fromhex("0011223344556677")
GENESIS = hashlib.sha256(b"toplovod log 1" + DEVICE_ID).digest()
FIELDS = ("sequence", "uptime_s", "unix_s", "kind", "who", "what", "value", "source")
FIRST_FILE = 101
FILE_WORDS = 10_000


class LogRig:
    """One boot; `again()` is the next, at uptime 0, behind a power cut or a restart."""

    def __init__(self, ticks, folder, boot=1, rescued=False):
        self.ticks = ticks
        self.folder = folder
        self.boot = boot
        ticks.now_ms = 0
        self.uptime = Uptime()
        self.clock = Clock(self.uptime)
        parts = SimpleNamespace(
            uptime=self.uptime, clock=self.clock, refusals=None,
            settings=SimpleNamespace(device_id=DEVICE_ID, limits_hash=0x11223344),
            board=SimpleNamespace(reset_cause=1), boots=SimpleNamespace(count=boot, rescued=rescued),
        )  # fmt: skip
        self.log = open_log(parts, str(folder), 0xF1F2F3F4)

    def again(self, **how):
        return LogRig(self.ticks, self.folder, self.boot + 1, **how)

    def pass_time(self, seconds, step_s=2):
        """Let the monitor's rounds pass."""
        for _ in range(0, seconds, step_s):
            self.ticks.now_ms += step_s * 1000
            self.log.save_when_due(self.uptime.advance())

    def read(self, word, count):
        """Read as FC 20 does, None where it is refused."""
        out = bytearray(2 * count + 3)
        if not self.log.read(FIRST_FILE + word // FILE_WORDS, word % FILE_WORDS, count, out, 3):
            return None
        return bytes(out[3:])

    def records(self):
        """Return every record as a dictionary, its chain verified from the seal's base to its head."""
        seal = self.log.seal(0, None, DEVICE_ID, bytes(8))
        oldest, behind = struct.unpack(">II", seal[14:22])
        chain, head = seal[30:62], seal[62:94]
        found = []
        for number in range(behind - oldest):
            record = self.read(16 * number, 16)
            chain = hashlib.sha256(chain + record[:24]).digest()
            assert record[24:] == chain[:8], number
            found.append(dict(zip(FIELDS, struct.unpack(">IIIBBHII", record[:24]), strict=True)))
            assert found[-1]["sequence"] == oldest + number
        assert chain == head
        assert self.read(16 * (behind - oldest), 1) is None
        return found

    def kinds(self):
        return [record["kind"] for record in self.records()]
