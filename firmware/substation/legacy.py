"""Legacy mode: plain writes to named setpoints by one master that knows no orders. Loaded where it is set.

Site.json names the setpoints and the master: whoever speaks on the serial line, or one IPv4 address. Nothing
proves who it is, so what it sets is shown as unauthenticated and gives way to every key. It is judged and
applied as an order is: limits, deficit budget, slew and expiry hold, and its lease is LASTS_S at most. It
refuses everybody else, every other register, and to be set over any network.
"""

from . import refusals as causes
from .event_log import REFUSED
from .order_frame import ACCEPTED, REFUSED_LIMIT, Order
from .orders import CAUSE_OF_RESULT, LEGACY

OTHERS = -1  # not a write that this mode is about
ILLEGAL_VALUE, BUSY = 3, 6


class Legacy:
    """mailbox: judges and applies. setting: (source, addresses, lease in s), as site_legacy gives it."""

    def __init__(self, mailbox, bank, influences, setting, refusals, uptime):
        self._mailbox = mailbox
        self._bank = bank
        self._source, self._addresses, self._lease_s = setting
        self._influences = [one for one in influences.values() if one.address in self._addresses]
        self._refusals = refusals
        self._uptime = uptime
        self._taken = 0
        self._count_point = bank.point("legacy_write_count")
        bank.put(bank.point("legacy_mode_number"), 1 if self._source == 1 else 2)

    def holds(self):
        """Return whether anything follows an unauthenticated value now."""
        for influence in self._influences:  # noqa: SIM110 - a generator would take heap in every step
            if influence.owner == LEGACY + 1:
                return True
        return False

    def write(self, frame, at, address, count, source):
        """Take count words at `at` of the frame as setpoints from address on, all or none.

        Return 0 when done, the exception code when they may not be set now, OTHERS for what is none of this.
        """
        if source != self._source:
            return OTHERS
        for place in range(address, address + count):
            if place not in self._addresses:
                return OTHERS
        pairs = [(address + i, ((frame[at + 2 * i] << 8) | frame[at + 2 * i + 1],)) for i in range(count)]
        order = Order(LEGACY, 0, 0, 0, self._lease_s, pairs)
        mailbox = self._mailbox
        result, detail = mailbox._judge(order)
        if result == ACCEPTED:
            mailbox._apply(order, self._uptime.advance(), source)
            self._taken += 1
            self._bank.put(self._count_point, self._taken)
            return 0
        cause = CAUSE_OF_RESULT.get(result, causes.RIGHT)
        self._refusals.note(cause, source)
        if mailbox.log is not None:
            mailbox.log.order(REFUSED, LEGACY, count, cause, detail, source)
        return ILLEGAL_VALUE if result == REFUSED_LIMIT else BUSY
