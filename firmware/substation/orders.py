"""The order mailbox: decides whether a frame is an order, whether it may, and tells what became of it.

All pairs of an order apply, or none. It refuses, in this order: what is no frame (malformed), an
epoch that is revoked, a MAC that is not of this key, device, map and boot, a counter that was used or
jumps, a time that is past or too far ahead. Such frames get exception 02 and change no receipt. An
order that is authentic and in time is answered; its receipt says `accepted` or names the refusal.
A counter is used up by any authentic frame, whatever became of it: nothing can be kept for later.

Rights: supervisor and standby may set every point, and take over from each other. The technician may
as well, while the service mode lasts, and outranks them. The utility may limit flow and shift the
curve of a substation, and never displaces another's lease. An order carries setpoints or commands (see
`commands`), never both.
"""

from . import refusals as causes
from .event_log import EPOCH, ORDER, REFUSED, RELEASE
from .order_frame import (
    ACCEPTED,
    COUNTER_JUMP,
    LEASE_MAX_S,
    LEASE_MIN_S,
    NONE,
    NOT_AFTER_AHEAD_S,
    REFUSED_BUDGET,
    REFUSED_LEASE,
    REFUSED_LIMIT,
    REFUSED_REGISTER,
    REFUSED_RIGHT,
    REFUSED_STATE,
    SLOTS,
    STANDBY,
    SUPERVISOR,
    TECHNICIAN,
    UTILITY,
    BadFrame,
    Receipt,
    Status,
    decode_order,
    encode_receipt,
    encode_status,
    order_verifies,
)

LEGACY = 4  # behind the key slots: who writes without a proof where `legacy` lets it; gives way to every key
RANK = {SUPERVISOR: 2, STANDBY: 2, TECHNICIAN: 3, UTILITY: 1, LEGACY: 0}
UTILITY_POINTS = ("primary_flow_limit_sp_m3_h", "curve_shift_sp_k")

CAUSE_OF_RESULT = {
    REFUSED_LIMIT: causes.LIMIT,
    REFUSED_RIGHT: causes.RIGHT,
    REFUSED_BUDGET: causes.BUDGET,
    REFUSED_STATE: causes.STATE,
    REFUSED_REGISTER: causes.REGISTER,
    REFUSED_LEASE: causes.LEASE,
}


class Mailbox:
    """identity: (device id, map hash, boot nonce, limits hash, firmware hash) of this boot."""

    log = None  # the event log

    def __init__(
        self, bank, identity, keys, influences, deficit, service, refusals, uptime, safe_start, commands
    ):
        self._bank = bank
        self._device_id, self._map_hash, self._nonce, self._limits_hash, self._firmware_hash = identity
        self._keys = keys
        self._by_address = {influence.address: influence for influence in influences.values()}
        self._utility_addresses = [influences[name].address for name in UTILITY_POINTS if name in influences]
        self._deficit = deficit
        self._service = service
        self._refusals = refusals
        self._uptime = uptime
        self._safe_start = safe_start
        self._commands = commands
        self._counter = [0] * len(SLOTS)
        self._accepted = 0
        self._accepted_point = bank.point("accepted_order_count")
        self._mode_point = bank.point("control_mode_number")
        self._fault_point = bank.point("sensor_fault_bits")
        self._alarm_point = bank.point("alarm_bits")
        for slot in range(len(SLOTS)):
            key = keys.current(slot)
            if key is not None:
                self._file_receipt(key, Receipt(slot, 0, NONE, 0, uptime.advance(), 0))

    def _file_receipt(self, key, receipt):
        block = encode_receipt(key, self._device_id, self._nonce, receipt)
        self._bank.put_receipt(receipt.slot, block)

    def _words_at(self, address):
        influence = self._by_address.get(address)
        return influence.words if influence is not None else self._commands.words(address)

    def take(self, frame, source):
        """Judge the frame written by source. False: no order, nothing changed but a counter of refusals."""
        try:
            order = decode_order(frame, self._words_at)
        except BadFrame:
            return self._reject(causes.MALFORMED, source)
        slot = order.slot
        key = self._keys.at_epoch(slot, order.epoch)
        if key is None:
            return self._reject(causes.EPOCH, source)
        if not order_verifies(key, self._device_id, self._map_hash, self._nonce, frame):
            return self._reject(causes.MAC, source)
        before = self._keys.floor[slot]
        if not self._keys.proven(slot, order.epoch, key):
            return self._reject(causes.EPOCH, source)
        if order.epoch != before:
            # a new owner, who cannot know what the old one counted, and the old key is worth nothing
            self._counter[slot] = 0
            self._commands.clock.free = True
            self._file_receipt(key, Receipt(slot, 0, NONE, 0, self._uptime.advance(), 0))
            if self.log is not None:
                self.log.note(EPOCH, slot + 1, 0, order.epoch, source, True)
        if not self._counter[slot] < order.counter <= self._counter[slot] + COUNTER_JUMP:
            return self._reject(causes.REPLAY, source)
        self._counter[slot] = order.counter
        now_s = self._uptime.advance()
        if not now_s <= order.not_after_s <= now_s + NOT_AFTER_AHEAD_S:
            return self._reject(causes.LATE, source)
        result, detail = self._judge(order)
        if result == ACCEPTED:
            self._apply(order, now_s, source)
            # taken, and the lease runs, but an actuator is by hand: the receipt names the command it is by
            detail = self._commands.overruled_at
            self._accepted += 1
            self._bank.put(self._accepted_point, self._accepted)
        else:
            cause = CAUSE_OF_RESULT[result]
            self._refusals.note(cause, source)
            if self.log is not None:
                self.log.order(REFUSED, slot, len(order.pairs), cause, detail, source)
        self._file_receipt(key, Receipt(slot, order.counter, result, detail, now_s, order.lease_s))
        return True

    def _reject(self, cause, source):
        self._refusals.note(cause, source)
        return False

    def _is_command(self, order):
        return bool(order.pairs) and order.pairs[0][0] not in self._by_address

    def _judge(self, order):
        """Return (result, register address or 0) without changing anything."""
        if order.slot == TECHNICIAN and not self._service.active:
            return REFUSED_RIGHT, 0
        if self._is_command(order):
            return self._commands.judge(order)
        if self._safe_start:
            return REFUSED_STATE, 0
        if order.lease_s and not LEASE_MIN_S <= order.lease_s <= LEASE_MAX_S:
            return REFUSED_LEASE, 0
        seen = set()
        for address, words in order.pairs:
            influence = self._by_address.get(address)
            if influence is None or address in seen:
                return REFUSED_REGISTER, address
            seen.add(address)
            if order.slot == UTILITY and address not in self._utility_addresses:
                return REFUSED_RIGHT, address
            if influence.owner and RANK[influence.owner - 1] > RANK[order.slot]:
                return REFUSED_LEASE, address
            if order.lease_s:
                value = self._value(influence, words)
                if not influence.low <= value <= influence.high:
                    return REFUSED_LIMIT, address
                if self._deficit is not None and self._deficit.spent and influence.lowers(value):
                    return REFUSED_BUDGET, address
        return ACCEPTED, 0

    def _value(self, influence, words):
        raw = words[0] if len(words) == 1 else (words[0] << 16) | words[1]
        bits = 16 * len(words)
        if influence.signed and raw >> (bits - 1):
            raw -= 1 << bits
        return raw * influence.step_size

    def _apply(self, order, now_s, source):
        if self._is_command(order):
            self._commands.apply(order.pairs, order.slot, source)
            return
        news = False  # a lease renewed as it stands is none
        for address, words in order.pairs:
            influence = self._by_address[address]
            if order.lease_s:
                value = self._value(influence, words)
                news = news or influence.owner != order.slot + 1 or influence.value != value
                influence.grant(order.slot + 1, value, now_s + order.lease_s)
            else:
                news = news or influence.owner
                influence.release()
        if news and self.log is not None:
            address, words = order.pairs[0]
            self.log.order(
                ORDER if order.lease_s else RELEASE, order.slot, len(order.pairs), address,
                words[0] if len(words) == 1 else (words[0] << 16) | words[1], source,
            )  # fmt: skip

    def seal(self, slot, challenge):
        """Return the bytes that prove the event log to who asked; empty without a log."""
        if self.log is None:
            return b""
        return self.log.seal(slot, self._keys.current(slot), self._device_id, challenge)

    def status(self, slot, challenge):
        """Return the bytes of the status block for a challenge; empty when there is no key to sign it."""
        key = self._keys.current(slot)
        if key is None:
            return b""
        return encode_status(
            key,
            self._device_id,
            Status(
                slot,
                challenge,
                self._uptime.advance(),
                self._map_hash,
                self._limits_hash,
                self._firmware_hash,
                self._nonce,
                self._bank.raw(self._mode_point),
                self._bank.raw(self._fault_point),
                self._bank.raw(self._alarm_point),
                self._bank.status_words(),
            ),
        )
