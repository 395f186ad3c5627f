"""Modbus requests in, responses out: bytes only, no sockets.

Reads (FC 3, 4) are answered from the register bank. The one thing that acts is an order frame
written to its mailbox by FC 16 or FC 23. It refuses all else: exception 02 for a known function that
would act or an address that is not mapped, 01 for a function it lacks, 03 for a quantity or length
that no request may have. Unit 0 is broadcast on a serial line, so an order under it never acts.

Cases of a frame, in the order they are told apart:
  less than a header, or less than its length field promises   wait for more
  length field not 2..254                                      the stream is lost: close
  protocol identifier not 0, or another unit                   no answer
  anything else                                                one answer
"""

HEADER = 7  # MBAP and unit
LONGEST = 260
CLOSE = -1
WAIT = 0

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3

# Known functions that would act on what we do not let be acted on, and the lengths their PDU may have.
_ACTING_FIXED = {5: 5, 6: 5, 22: 7}
_DIAGNOSTIC_ACTING = (1, 4, 10)  # FC 8: restart, force listen only, clear counters


class ModbusServer:
    """mailbox: takes the frame of an order. refusals: counts. answer() writes into the caller's buffer."""

    def __init__(self, bank, mailbox, refusals, unit, before_read):
        from . import refusals as causes

        self._bank = bank
        self._mailbox = mailbox
        self._refusals = refusals
        self._unit = unit
        self._before_read = before_read  # brings the uptime register up to date
        self._function_cause = causes.FUNCTION
        self._malformed_cause = causes.MALFORMED
        self._broadcast_cause = causes.BROADCAST
        self._order_mailbox = bank.order_mailbox
        self._order_words = bank.order_words
        self._challenge_mailbox = bank.challenge_mailbox
        self._challenge_words = bank.challenge_words
        self._status_block = bank.status_block
        self._receipts = bank.receipts
        self._receipt_words = bank.receipt_words
        self.served = 0

    def frame_length(self, buffer, at, end):
        """Return the length of the whole frame at `at`, WAIT when it is not whole yet, CLOSE when lost."""
        have = end - at
        if have < 6:
            return WAIT
        length = (buffer[at + 4] << 8) | buffer[at + 5]
        if length < 2 or length > LONGEST - 6:
            return CLOSE
        return length + 6 if have >= length + 6 else WAIT

    def malformed(self, source):
        """Count a stream that was lost."""
        self._refusals.note(self._malformed_cause, source)

    def answer(self, frame, at, length, out, source):
        """Write the response to the whole frame at `at` into out; return its length, 0 for silence."""
        if frame[at + 2] or frame[at + 3]:
            self._refusals.note(self._malformed_cause, source)
            return 0
        unit = frame[at + 6]
        if unit != self._unit and unit != 0 and unit != 255:
            return 0
        self.served += 1
        pdu = at + HEADER
        size = length - HEADER
        function = frame[pdu]
        if function == 3 or function == 4:
            done = self._read(frame, pdu, size, function, out)
        elif function == 16:
            done = self._write(frame, pdu, size, unit, out, source)
        elif function == 23:
            done = self._write_read(frame, pdu, size, unit, out, source)
        else:
            done = self._refuse_function(frame, pdu, size, function, unit, source)
        if done < 0:
            out[7] = function | 0x80
            out[8] = -done
            done = 2
        else:
            out[7] = function
        out[0] = frame[at]
        out[1] = frame[at + 1]
        out[2] = out[3] = 0
        out[4] = (done + 1) >> 8
        out[5] = (done + 1) & 0xFF
        out[6] = unit
        return HEADER + done

    # Each of these returns the length of the response PDU, or minus the exception code.

    def _read(self, frame, pdu, size, function, out):
        if size != 5:
            return -ILLEGAL_VALUE
        count = (frame[pdu + 3] << 8) | frame[pdu + 4]
        if not 1 <= count <= 125:
            return -ILLEGAL_VALUE
        address = (frame[pdu + 1] << 8) | frame[pdu + 2]
        if address < 26:
            self._before_read()
        if not self._bank.read(function, address, count, out, 9):
            return -ILLEGAL_ADDRESS
        out[8] = 2 * count
        return 2 + 2 * count

    def _refused_write(self, unit, source):
        self._refusals.note(self._broadcast_cause if unit == 0 else self._function_cause, source)
        return -ILLEGAL_ADDRESS

    def _write(self, frame, pdu, size, unit, out, source):
        count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size >= 6 else 0
        if not 1 <= count <= 123 or frame[pdu + 5] != 2 * count or size != 6 + 2 * count:
            self._refusals.note(self._malformed_cause, source)
            return -ILLEGAL_VALUE
        address = (frame[pdu + 1] << 8) | frame[pdu + 2]
        if address != self._order_mailbox or count > self._order_words or unit == 0:
            return self._refused_write(unit, source)
        if not self._mailbox.take(bytes(frame[pdu + 6 : pdu + 6 + 2 * count]), source):
            return -ILLEGAL_ADDRESS
        out[8:12] = frame[pdu + 1 : pdu + 5]
        return 5

    def _write_read(self, frame, pdu, size, unit, out, source):
        read_count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size >= 10 else 0
        count = (frame[pdu + 7] << 8) | frame[pdu + 8] if size >= 10 else 0
        if (
            not 1 <= read_count <= 125
            or not 1 <= count <= 121
            or frame[pdu + 9] != 2 * count
            or size != 10 + 2 * count
        ):
            self._refusals.note(self._malformed_cause, source)
            return -ILLEGAL_VALUE
        read_address = (frame[pdu + 1] << 8) | frame[pdu + 2]
        address = (frame[pdu + 5] << 8) | frame[pdu + 6]
        content = pdu + 10
        if address == self._challenge_mailbox and read_address == self._status_block:
            return self._status(frame, content, count, read_count, out)
        receipts_end = self._receipts + 4 * self._receipt_words
        if (
            address != self._order_mailbox
            or count > self._order_words
            or read_address < self._receipts
            or read_address + read_count > receipts_end
            or unit == 0
        ):
            return self._refused_write(unit, source)
        if not self._mailbox.take(bytes(frame[content : content + 2 * count]), source):
            return -ILLEGAL_ADDRESS
        self._bank.read(4, read_address, read_count, out, 9)
        out[8] = 2 * read_count
        return 2 + 2 * read_count

    def _status(self, frame, content, count, read_count, out):
        """Answer a challenge. Nothing changes by it, so unit 0 may ask as well."""
        slot = (frame[content] << 8) | frame[content + 1]
        if count != self._challenge_words or slot > 3:
            return -ILLEGAL_VALUE
        block = self._mailbox.status(slot, bytes(frame[content + 2 : content + 10]))
        if read_count * 2 != len(block):
            return -ILLEGAL_ADDRESS
        out[8] = len(block)
        out[9 : 9 + len(block)] = block
        return 2 + len(block)

    def _refuse_function(self, frame, pdu, size, function, unit, source):
        acts = False
        if function == 1 or function == 2:  # the map has no coils and no discrete inputs
            count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size == 5 else 0
            return -ILLEGAL_ADDRESS if 1 <= count <= 2000 else -ILLEGAL_VALUE
        if function in _ACTING_FIXED:
            acts = True
            whole = size == _ACTING_FIXED[function]
        elif function == 15:
            acts = True
            count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size >= 7 else 0
            whole = 1 <= count <= 1968 and frame[pdu + 5] == (count + 7) // 8 and size == 6 + frame[pdu + 5]
        elif function == 21:
            acts = True
            whole = size >= 9 and frame[pdu + 1] == size - 2
        elif function == 8 and size >= 3 and ((frame[pdu + 1] << 8) | frame[pdu + 2]) in _DIAGNOSTIC_ACTING:
            acts = True
            whole = size == 5
        if not acts:
            return -ILLEGAL_FUNCTION
        if not whole:
            self._refusals.note(self._malformed_cause, source)
            return -ILLEGAL_VALUE
        return self._refused_write(unit, source)
