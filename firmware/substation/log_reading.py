"""What of the event log is read over Modbus: its records and its seal. Loaded when somebody asks.

It refuses to keep a file open, and to make up what the flash does not give back.
"""

from .log_segments import RECORD_BYTES
from .order_frame import FRAME_VERSION, MAC_BYTES, hmac_sha256

FILE = 101  # of FC 20, and the next: 625 records each
FILE_BYTES = 20_000
SEAL_MAGIC = b"TVL1"


def oldest(segments):
    """Return the sequence number of the first record that is there."""
    return segments.firsts[0] if segments.firsts else segments.next


def read(segments, waiting, count_waiting, file, record, count, out, at):
    """Copy count registers of a file of FC 20 into out; False where there are none.

    waiting: the bytes of the records that are not in flash yet.
    """
    first = oldest(segments)
    place = FILE_BYTES * (file - FILE) + 2 * record
    end = place + 2 * count
    if record + count > FILE_BYTES // 2 or end > RECORD_BYTES * (segments.next + count_waiting - first):
        return False
    view = memoryview(out)
    try:
        while place < end:
            sequence = first + place // RECORD_BYTES
            if sequence < segments.next:
                done = segments.read(sequence, place % RECORD_BYTES, view[at : at + end - place])
                if not done:
                    return False
            else:
                done = end - place
                begin = place - RECORD_BYTES * (segments.next - first)
                view[at : at + done] = waiting[begin : begin + done]
            place += done
            at += done
    except OSError as error:
        print("event log: not read (%s)" % error)
        return False
    return True


def seal(segments, head, count_waiting, lost, uptime_s, slot, key, device_id, challenge):
    """Return the block that proves the log to who asked. key: None where there is none: then zeros."""
    body = bytes((FRAME_VERSION, slot)) + challenge
    for number in (
        uptime_s, oldest(segments), segments.next + count_waiting, segments.next, lost
    ):  # fmt: skip
        body += number.to_bytes(4, "big")
    body += segments.base + head
    if key is None:
        return body + bytes(MAC_BYTES)
    return body + hmac_sha256(key, SEAL_MAGIC + device_id + body)[:MAC_BYTES]
