"""A controller's order path with the clock in the test's hand: everything between mailbox and loop."""

from __future__ import annotations

from firmware.substation import leases, order_frame, registers, site
from firmware.substation.clock import Clock
from firmware.substation.commands import Commands, places
from firmware.substation.deficit import Deficit
from firmware.substation.keys import Keys
from firmware.substation.orders import Mailbox
from firmware.substation.refusals import Refusals
from firmware.substation.register_bank import RegisterBank
from firmware.substation.service_mode import ServiceMode
from firmware.substation.uptime import Uptime

from .memory_flash import MemoryFlash

ROOT_KEY = bytes(range(32))
DEVICE_ID = "0011223344556677"
BOARDS = ("emulated",)
MAP_HASH = registers.map_hash()
SOURCE = 0x0A000301

SITE = {
    "format": "toplovod-device/2",
    "device_id": DEVICE_ID,
    "profile": "substation",
    "name": "house-01",
    "board": "emulated",
    "modbus_port": 15020,
    "epochs": {"supervisor": 1, "standby": 1, "technician": 1, "utility": 1},
    "contract_flow_limit_m3_h": 2.0,
    "deficit_budget_kh": 20,
}


def settings_of(**changes):
    """Return the checked settings of SITE with these changes; a station gets no rows of a house."""
    content = {**SITE, **changes}
    if content["profile"] == "pump_station":
        content.pop("contract_flow_limit_m3_h")
    return site.Site(content, bytes(8), BOARDS, "emulated")


class UpdatingDouble:
    """Takes note of what it is told to do."""

    def __init__(self):
        self.told = []
        self.allowed = {1, 2, 3, 4, 5}

    def may(self, command):
        return command in self.allowed

    def open(self, size, digest, limits=False):
        self.told.append((size, digest, limits))

    def direct(self, command):
        self.told.append(command)


class OrderRig:
    """own: what the loop wants by itself, by setpoint name, in the integers of fixed_point."""

    def __init__(self, ticks, flash=None, nonce=b"\0\0\0\1aaaaaaaa", root_key=ROOT_KEY, **changes):
        self.ticks = ticks
        self.flash = flash or MemoryFlash()
        self.settings = settings_of(**changes)
        self.nonce = nonce
        profile = self.settings.profile
        self.bank = RegisterBank(profile)
        self.uptime = Uptime()
        self.service = ServiceMode(self.bank)
        self.refusals = Refusals(self.bank, self.flash, self.uptime, 1)
        self.influences = leases.build(self.bank, self.settings)
        self.deficit = None
        self.own = {"plant_dp_sp_bar": 1_500, "plant_supply_temp_sp_c": 90_000}
        if profile == "substation":
            self.deficit = Deficit(self.settings.deficit_budget_mkh, -15_000, 18_000, self.flash, self.bank)
            self.own = {
                "secondary_supply_temp_sp_c": 60_000,
                "primary_flow_limit_sp_m3_h": 2_000,
                "primary_return_limit_sp_c": 65_000,
                "curve_shift_sp_k": 0,
            }
        self.clock = Clock(self.uptime)
        self.updating = UpdatingDouble()
        self.commands = Commands(places(registers), self.clock, self.updating)
        self.keys = Keys(root_key, self.settings.epochs, self.flash, self.bank)
        self.device_id = self.settings.device_id
        identity = (self.device_id, MAP_HASH, nonce, self.settings.limits_hash, 0xF1F2F3F4)
        self.mailbox = Mailbox(
            self.bank, identity, self.keys, self.influences, self.deficit, self.service, self.refusals,
            self.uptime, bool(self.settings.mistakes), self.commands,
        )  # fmt: skip
        self.counter = [0, 0, 0, 0]
        self.step(0)

    def step(self, seconds, only_raise=False):
        """Let the loop's periods pass."""
        for _ in range(max(1, seconds // 2)):
            self.ticks.now_ms += 2_000 if seconds else 0
            now_s = self.uptime.advance()
            self.service.step(False, now_s)
            for name, influence in self.influences.items():
                influence.step(self.own[name], now_s, 2_000 if seconds else 0, only_raise)

    def frame(self, pairs, *, slot=0, epoch=1, counter=None, ahead_s=30, lease_s=1800, key=None, **other):
        """pairs: {setpoint name: engineering value}, or a tuple of (address, words)."""
        if counter is None:
            self.counter[slot] += 1
            counter = self.counter[slot]
        if isinstance(pairs, dict):
            rows = [(registers.BY_NAME[name], value) for name, value in pairs.items()]
            pairs = tuple(
                (row.address, registers.words_of_raw(row, registers.to_raw(row, value)))
                for row, value in rows
            )
        order = order_frame.Order(slot, epoch, counter, self.uptime.advance() + ahead_s, lease_s, pairs)
        key = key or order_frame.slot_key(ROOT_KEY, slot, epoch)
        return order_frame.encode_order(
            key, other.get("device_id", self.device_id), other.get("map_hash", MAP_HASH),
            other.get("nonce", self.nonce), order,
        )  # fmt: skip

    def take(self, frame):
        return self.mailbox.take(frame, SOURCE)

    def order(self, pairs, **how):
        """Send an order; return its receipt, or None when the frame was no order."""
        if not self.take(self.frame(pairs, **how)):
            return None
        return self.receipt(how.get("slot", 0), how.get("epoch", 1))

    def receipt(self, slot=0, epoch=1):
        block = bytearray(32)
        assert self.bank.read(4, registers.RECEIPTS + registers.RECEIPT_WORDS * slot, 16, block, 0)
        key = order_frame.slot_key(ROOT_KEY, slot, epoch)
        return order_frame.decode_receipt(key, self.device_id, self.nonce, bytes(block))

    def read(self, name):
        row = registers.BY_NAME[name]
        words = registers.words_of(row)
        out = bytearray(2 * words)
        assert self.bank.read(4 if row.space == registers.INPUT else 3, row.address, words, out, 0)
        raw = registers.raw_of_words(
            row, [int.from_bytes(out[2 * k : 2 * k + 2], "big") for k in range(words)]
        )
        return registers.from_raw(row, raw)
