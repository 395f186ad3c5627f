"""One controller as the outside world sees it: readings by register name, orders signed with a key.

It speaks Modbus and the order frame and knows nothing of the VM behind it, so a story told with it can
be told to a real board. It refuses nothing: a test must be able to send what the product never would.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from firmware.substation import order_frame, registers

from .modbus import ModbusTcp, Noted, not_noted
from .provisioning import Device


@dataclass(frozen=True)
class Identity:
    """What an order must name to be accepted; read afresh, as it changes at every boot."""

    device_id: bytes
    map_hash: int
    boot_nonce: bytes
    boot_count: int
    uptime_s: int


class Controller:
    """A provisioned controller under power. Temperatures degC, pressures bar, as the register names say.

    noted: is told every byte of its connections, for instance the clock's `note_bus`.
    """

    def __init__(self, device: Device, position: int, noted: Noted = not_noted) -> None:
        self._noted = noted
        self.device = device
        self.position = position
        """Row of this controller in the fleet and in the plant's arrays."""
        self._client: ModbusTcp | None = None
        self._counters: dict[tuple[int, bytes], int] = {}

    @property
    def name(self) -> str:
        return self.device.name

    def client(self) -> ModbusTcp:
        """Return the standing connection, opened at first need."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def connect(self) -> ModbusTcp:
        """Return a connection of its own, which the caller closes."""
        return ModbusTcp(self.device.host, self.device.port, self.device.unit, noted=self._noted)

    def disconnect(self) -> None:
        """Drop the standing connection, for instance after a power cut."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def read(self, name: str) -> Any:
        """Return a register's value, or None for "no valid reading". KeyError for a name the map lacks."""
        register = registers.BY_NAME[name]
        client = self.client()
        read = client.read_holding if register.space == registers.HOLDING else client.read_input
        words = read(register.address, registers.words_of(register))
        return registers.from_raw(register, registers.raw_of_words(register, words))

    def read_all(self, access: str | None = None) -> dict[str, Any]:
        """Return every register of the profile, or those of one access class, by name."""
        return {
            register.name: self.read(register.name)
            for register in registers.BY_PROFILE[self.device.profile]
            if access is None or register.access == access
        }

    def identity(self) -> Identity:
        """Read the identity block."""
        words = self.client().read_input(0, registers.IDENTITY_WORDS)
        block = struct.pack(f">{len(words)}H", *words)
        return Identity(
            device_id=block[8:16],
            map_hash=int.from_bytes(block[4:8], "big"),
            boot_nonce=block[18:30],
            boot_count=int.from_bytes(block[18:22], "big"),
            uptime_s=int.from_bytes(block[30:34], "big"),
        )

    def next_counter(self, slot: int, boot_nonce: bytes) -> int:
        key = (slot, boot_nonce)
        self._counters[key] = self._counters.get(key, 0) + 1
        return self._counters[key]

    def order_words(
        self,
        values: dict[str, float],
        *,
        lease_s: int = order_frame.LEASE_DEFAULT_S,
        slot: int = order_frame.SUPERVISOR,
        epoch: int | None = None,
        key: bytes | None = None,
        identity: Identity | None = None,
        counter: int | None = None,
        not_after_s: int | None = None,
    ) -> tuple[int, ...]:
        """Return the words of an order frame that sets `values`; every part can be given, to be wrong."""
        who = self.identity() if identity is None else identity
        epoch = self.device.key_epoch if epoch is None else epoch
        order = order_frame.Order(
            slot,
            epoch,
            self.next_counter(slot, who.boot_nonce) if counter is None else counter,
            who.uptime_s + order_frame.NOT_AFTER_AHEAD_S // 2 if not_after_s is None else not_after_s,
            lease_s,
            tuple(_pair(name, value) for name, value in values.items()),
        )
        frame = order_frame.encode_order(
            self.device.slot_key(slot, epoch) if key is None else key,
            who.device_id,
            who.map_hash,
            who.boot_nonce,
            order,
        )
        return struct.unpack(f">{len(frame) // 2}H", frame)

    def write_order(self, words: tuple[int, ...], slot: int = order_frame.SUPERVISOR) -> Any:
        """Write an order frame; return the slot's Receipt, its MAC checked with the key of the order's epoch.

        ModbusException if refused.
        """
        read = self.client().read_write(
            registers.RECEIPTS + registers.RECEIPT_WORDS * slot,
            registers.RECEIPT_WORDS,
            registers.ORDER_MAILBOX,
            words,
        )
        return order_frame.decode_receipt(
            self.device.slot_key(slot, words[1]),
            self.device.device_id,
            self.identity().boot_nonce,
            struct.pack(f">{len(read)}H", *read),
        )

    def order(self, *, lease_s: int = order_frame.LEASE_DEFAULT_S, slot: int = order_frame.SUPERVISOR,
              **values: float) -> Any:  # fmt: skip
        """Order setpoints by register name and return the Receipt; see order_frame.RESULTS."""
        return self.write_order(self.order_words(values, lease_s=lease_s, slot=slot), slot)

    def release(self, *names: str, slot: int = order_frame.SUPERVISOR) -> Any:
        """Give the named setpoints back to the controller's own curve and return the Receipt."""
        values = {name: float(registers.BY_NAME[name].low) for name in names}
        return self.write_order(self.order_words(values, lease_s=0, slot=slot), slot)


def _pair(name: str, value: float) -> tuple[int, tuple[int, ...]]:
    register = registers.BY_NAME[name]
    words: tuple[int, ...] = registers.words_of_raw(register, registers.to_raw(register, value))
    return register.address, words
