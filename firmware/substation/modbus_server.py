"""Modbus requests in, responses out: bytes only, no sockets and no serial line.

Reading is always plain: registers, counters, identification, refusals and events as file records. The one
thing that acts is an order frame written to its mailbox by FC 16 or FC 23, besides what `legacy` takes by
FC 6 or FC 16 where site.json sets that. It refuses all else:
exception 02 for a known function that would act or an address that is not mapped, 01 for a function it
lacks, 03 for a quantity, value or length that no request may have. A broadcast never acts.

Cases of a TCP frame, in the order they are told apart:
  less than a header, or less than its length field promises   wait for more
  length field not 2..254                                      the stream is lost: close
  protocol identifier not 0, or another unit                   no answer
  anything else                                                one answer
"""

HEADER = 7  # MBAP and unit
LONGEST = 260
RESPONSE_BYTES = 262  # a caller's buffer: an RTU response of 256 bytes begins at byte 6
CLOSE = -1
WAIT = 0

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3

UPTIME_END = 26  # the identity block holds the uptime, brought up to date before it is read
FILE_TYPE = 6  # the only reference type of FC 20 and FC 21
LONGEST_PDU = 253
RECORDS = 10_000  # of one file: Modbus Application Protocol V1.1b3, 6.15
DEVICE_FAILURE = 4
DEVICE_BUSY = 6
UPDATE_ANSWERS = (0, DEVICE_BUSY, ILLEGAL_ADDRESS, DEVICE_FAILURE)  # taken, busy, elsewhere, refused


class ModbusServer:
    """mailbox: takes the frame of an order. refusals: counts. diagnostics: counters and identity.

    records: answers read(file, record, count, out, at) -> bool for FC 20. updating: takes FC 21 while an
    update is open. Responses are written into the
    caller's buffer of RESPONSE_BYTES, the PDU always from byte HEADER on.
    """

    response_begins = 0  # where the bytes to send begin in the caller's buffer
    legacy = None  # takes plain writes of one master, where site.json names one
    drops_stale = False  # a length field tells how much is missing, however long it takes

    def __init__(self, bank, mailbox, refusals, unit, before_read, diagnostics, records, updating=None):
        from . import modbus_diagnostics
        from . import refusals as causes

        self._bank = bank
        self._mailbox = mailbox
        self._refusals = refusals
        self._unit = unit
        self._before_read = before_read  # brings the uptime register up to date
        self.diagnostics = diagnostics
        self._records = records
        self._updating = updating
        self._diagnostics_acting = modbus_diagnostics.ACTING
        self._function_cause = causes.FUNCTION
        self._malformed_cause = causes.MALFORMED
        self._broadcast_cause = causes.BROADCAST
        self._order_mailbox = bank.order_mailbox
        self._order_words = bank.order_words
        self.challenge_mailbox = bank.challenge_mailbox
        self._challenge_words = bank.challenge_words
        self._status_block = bank.status_block
        self._log_seal = bank.log_seal
        self._receipts = bank.receipts
        self._receipt_words = bank.receipt_words

    def frame_length(self, buffer, at, end):
        """Return the length of the whole frame at `at`, WAIT when it is not whole yet, CLOSE when lost."""
        have = end - at
        if have < 6:
            return WAIT
        length = (buffer[at + 4] << 8) | buffer[at + 5]
        if length < 2 or length > LONGEST - 6:
            return CLOSE
        return length + 6 if have >= length + 6 else WAIT

    def lost(self, source):
        """Count a stream in which no frame can be found any more; False: the connection is over."""
        self.diagnostics.broken += 1
        self._refusals.note(self._malformed_cause, source)
        return False

    def broadcast(self, source):
        """Count a frame to all units of a serial line: it is neither looked at nor answered."""
        self.diagnostics.own += 1
        self.diagnostics.unanswered += 1
        self._refusals.note(self._broadcast_cause, source)

    def answer(self, frame, at, length, out, source):
        """Write the response to the whole TCP frame at `at` into out; return its length, 0 for silence."""
        self.diagnostics.frames += 1
        if frame[at + 2] or frame[at + 3]:
            self._refusals.note(self._malformed_cause, source)
            return 0
        unit = frame[at + 6]
        if unit != self._unit and unit != 0 and unit != 255:
            return 0
        done = self.respond(frame, at + HEADER, length - HEADER, out, unit == 0, source)
        out[0] = frame[at]
        out[1] = frame[at + 1]
        out[2] = out[3] = 0
        out[4] = (done + 1) >> 8
        out[5] = (done + 1) & 0xFF
        out[6] = unit
        return HEADER + done

    def respond(self, frame, pdu, size, out, broadcast, source):
        """Write the response to the PDU of `size` bytes at `pdu`; return the length of the response PDU.

        broadcast: an order in it is refused and counted as such.
        """
        self.diagnostics.own += 1
        function = frame[pdu]
        if function == 4 or function == 3:
            done = self._read(frame, pdu, size, function, out)
        elif function == 16:
            done = self._write(frame, pdu, size, broadcast, out, source)
        elif function == 23:
            done = self._write_read(frame, pdu, size, broadcast, out, source)
        else:
            done = self._other(frame, pdu, size, function, broadcast, out, source)
        if done < 0:
            self.diagnostics.exceptions += 1
            out[7] = function | 0x80
            out[8] = -done
            return 2
        out[7] = function
        return done

    # Each of these returns the length of the response PDU, or minus the exception code.

    def _read(self, frame, pdu, size, function, out):
        if size != 5:
            return -ILLEGAL_VALUE
        count = (frame[pdu + 3] << 8) | frame[pdu + 4]
        if not 1 <= count <= 125:
            return -ILLEGAL_VALUE
        address = (frame[pdu + 1] << 8) | frame[pdu + 2]
        if address < UPTIME_END:
            self._before_read()
        if not self._bank.read(function, address, count, out, 9):
            return -ILLEGAL_ADDRESS
        out[8] = 2 * count
        return 2 + 2 * count

    def _refused_write(self, broadcast, source):
        self._refusals.note(self._broadcast_cause if broadcast else self._function_cause, source)
        return -ILLEGAL_ADDRESS

    def _plain_write(self, frame, pdu, values, address, count, broadcast, out, source):
        """Offer a write without a proof to legacy mode; what that leaves alone is refused as ever."""
        answer = -1
        if self.legacy is not None and not broadcast:
            answer = self.legacy.write(frame, pdu + values, address, count, source)
        if answer < 0:
            return self._refused_write(broadcast, source)
        if answer:
            return -answer
        out[8:12] = frame[pdu + 1 : pdu + 5]
        return 5

    def _no_request(self, source):
        self._refusals.note(self._malformed_cause, source)
        return -ILLEGAL_VALUE

    def _write(self, frame, pdu, size, broadcast, out, source):
        count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size >= 6 else 0
        if not 1 <= count <= 123 or frame[pdu + 5] != 2 * count or size != 6 + 2 * count:
            return self._no_request(source)
        address = (frame[pdu + 1] << 8) | frame[pdu + 2]
        if address != self._order_mailbox or count > self._order_words or broadcast:
            return self._plain_write(frame, pdu, 6, address, count, broadcast, out, source)
        if not self._mailbox.take(bytes(frame[pdu + 6 : pdu + 6 + 2 * count]), source):
            return -ILLEGAL_ADDRESS
        out[8:12] = frame[pdu + 1 : pdu + 5]
        return 5

    def _write_read(self, frame, pdu, size, broadcast, out, source):
        read_count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size >= 10 else 0
        count = (frame[pdu + 7] << 8) | frame[pdu + 8] if size >= 10 else 0
        if (
            not 1 <= read_count <= 125
            or not 1 <= count <= 121
            or frame[pdu + 9] != 2 * count
            or size != 10 + 2 * count
        ):
            return self._no_request(source)
        read_address = (frame[pdu + 1] << 8) | frame[pdu + 2]
        address = (frame[pdu + 5] << 8) | frame[pdu + 6]
        content = pdu + 10
        if address == self.challenge_mailbox and read_address in (self._status_block, self._log_seal):
            return self._status(frame, content, count, read_address, read_count, out)
        receipts_end = self._receipts + 4 * self._receipt_words
        if (
            address != self._order_mailbox
            or count > self._order_words
            or read_address < self._receipts
            or read_address + read_count > receipts_end
            or broadcast
        ):
            return self._refused_write(broadcast, source)
        if not self._mailbox.take(bytes(frame[content : content + 2 * count]), source):
            return -ILLEGAL_ADDRESS
        self._bank.read(4, read_address, read_count, out, 9)
        out[8] = 2 * read_count
        return 2 + 2 * read_count

    def _status(self, frame, content, count, read_address, read_count, out):
        """Answer a challenge. Nothing changes by it, so unit 0 may ask as well."""
        slot = (frame[content] << 8) | frame[content + 1]
        if count != self._challenge_words or slot > 3:
            return -ILLEGAL_VALUE
        prove = self._mailbox.seal if read_address == self._log_seal else self._mailbox.status
        block = prove(slot, bytes(frame[content + 2 : content + 10]))
        if read_count * 2 != len(block):
            return -ILLEGAL_ADDRESS
        out[8] = len(block)
        out[9 : 9 + len(block)] = block
        return 2 + len(block)

    def _other(self, frame, pdu, size, function, broadcast, out, source):
        """Answer what only reads; check the form of what would act, then refuse it."""
        if function == 1 or function == 2:  # the map has no coils and no discrete inputs
            count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size == 5 else 0
            return -ILLEGAL_ADDRESS if 1 <= count <= 2000 else -ILLEGAL_VALUE
        if function == 20:
            return self._read_records(frame, pdu, size, out)
        if function == 17:
            return self.diagnostics.server_id(size, out)
        if function == 43:
            return self.diagnostics.identify(frame, pdu, size, out)
        if function == 24:  # there is no queue in this device
            return -ILLEGAL_ADDRESS if size == 3 else -ILLEGAL_VALUE
        if function == 5:
            whole = size == 5 and frame[pdu + 3] in (0, 255) and frame[pdu + 4] == 0
        elif function == 6:
            whole = size == 5
            if whole:
                address = (frame[pdu + 1] << 8) | frame[pdu + 2]
                return self._plain_write(frame, pdu, 3, address, 1, broadcast, out, source)
        elif function == 22:
            whole = size == 7
        elif function == 15:
            count = (frame[pdu + 3] << 8) | frame[pdu + 4] if size >= 7 else 0
            whole = 1 <= count <= 1968 and frame[pdu + 5] == (count + 7) // 8 and size == 6 + frame[pdu + 5]
        elif function == 21:
            whole = self._whole_records(frame, pdu, size)
            if whole and not broadcast and self._updating is not None and self._updating.is_open:
                return self._write_records(frame, pdu, size, out, source)
        elif function == 8:
            if size < 3 or ((frame[pdu + 1] << 8) | frame[pdu + 2]) not in self._diagnostics_acting:
                return self.diagnostics.diagnose(frame, pdu, size, out)
            whole = size == 5
        else:
            return -ILLEGAL_FUNCTION
        return self._refused_write(broadcast, source) if whole else self._no_request(source)

    def _read_records(self, frame, pdu, size, out):
        """FC 20: any number of groups (type, file, record, count), each answered in turn."""
        if size < 9 or frame[pdu + 1] != size - 2 or (size - 2) % 7 or size > 247:
            return -ILLEGAL_VALUE
        at = 9
        for group in range(pdu + 2, pdu + size, 7):
            count = (frame[group + 5] << 8) | frame[group + 6]
            if at - 7 + 2 + 2 * count > LONGEST_PDU:
                return -ILLEGAL_VALUE
            file = (frame[group + 1] << 8) | frame[group + 2]
            record = (frame[group + 3] << 8) | frame[group + 4]
            if (
                frame[group] != FILE_TYPE
                or count == 0
                or not self._records.read(file, record, count, out, at + 2)
            ):
                return -ILLEGAL_ADDRESS
            out[at] = 1 + 2 * count
            out[at + 1] = FILE_TYPE
            at += 2 + 2 * count
        out[8] = at - 9
        return at - 7

    def _write_records(self, frame, pdu, size, out, source):
        """FC 21 inside an update: files of 10 000 records are the image, word after word."""
        at = pdu + 2
        while at < pdu + size:
            count = (frame[at + 5] << 8) | frame[at + 6]
            file = (frame[at + 1] << 8) | frame[at + 2]
            record = (frame[at + 3] << 8) | frame[at + 4]
            if frame[at] != FILE_TYPE or file == 0 or record >= RECORDS:
                return -ILLEGAL_ADDRESS
            place = 2 * ((file - 1) * RECORDS + record)
            answer = self._updating.write(place, memoryview(frame)[at + 7 : at + 7 + 2 * count])
            if answer:
                answer = UPDATE_ANSWERS[answer]
                if answer != DEVICE_BUSY:  # a master that comes while its head is verified is no stranger
                    self._refusals.note(self._malformed_cause, source)
                return -answer
            at += 7 + 2 * count
        out[8 : 7 + size] = frame[pdu + 1 : pdu + size]
        return size

    def _whole_records(self, frame, pdu, size):
        """Say whether an FC 21 is whole: groups (type, file, record, count, data) that fill it exactly."""
        if size < 11 or frame[pdu + 1] != size - 2:
            return False
        at = 2
        while at + 7 <= size:
            at += 7 + 2 * ((frame[pdu + at + 5] << 8) | frame[pdu + at + 6])
        return at == size
