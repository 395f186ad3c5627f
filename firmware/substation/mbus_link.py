"""Frames of the M-Bus link layer (EN 13757-2): what a master sends, and what counts as a whole answer.

It refuses to repair: an answer is taken only when start, both lengths, checksum and stop hold. A few bytes of
noise before it are passed over, because the line rings when a meter begins to send.
"""

ACK = 0xE5
SHORT_START, LONG_START, STOP = 0x10, 0x68, 0x16
SND_NKE, SND_UD, REQ_UD2 = 0x40, 0x53, 0x5B
FCB = 0x20  # in REQ_UD2: toggled after each good answer, kept for a repetition
RSP_UD, RSP_UD_MASK = 0x08, 0xCF  # but for ACD and DFC, which a heat meter need not care for
SELECTED = 0xFD  # the address of whichever meter was selected by its number
CI_SELECT = 0x52
IDENTITY_BYTES = 8  # number, manufacturer, version, medium

LONGEST_B = 261  # 68 L L 68, 255 bytes, checksum, stop
NOISE_B = 3  # before an answer, because the line rings
LEAD_B = 5 + NOISE_B  # the same behind an echo of our own question
SHORTEST_LENGTH = 3  # control, address, control information

# What came instead of a whole answer. PARTIAL asks for more bytes.
OK, PARTIAL, SILENT, GARBLED, LENGTH, CHECKSUM, NO_STOP, ADDRESS, CONTROL = range(9)


def short_frame(control, address):
    """Return the five bytes of a frame without data."""
    return bytes((SHORT_START, control, address, (control + address) & 0xFF, STOP))


def select_frame(identity):
    """Return the frame that selects a meter by its eight bytes; 0xF digits and 0xFF bytes match any."""
    body = bytes((SND_UD | FCB, SELECTED, CI_SELECT)) + identity
    length = len(body)
    return bytes((LONG_START, length, length, LONG_START)) + body + bytes((sum(body) & 0xFF, STOP))


def acknowledged(buffer, have, sent):
    """Judge the first have bytes as an answer to the frame sent, which may echo: OK, SILENT or GARBLED."""
    if have == 0:
        return SILENT
    return OK if have <= len(sent) + NOISE_B + 1 and buffer[have - 1] == ACK else GARBLED


def find_answer(buffer, have):
    """Return (OK or what is wrong, place of the control field, place after the last user byte).

    At most LEAD_B places are tried, so the work is bounded whatever the bytes.
    """
    cause = GARBLED if have >= LEAD_B + 4 else PARTIAL if have else SILENT
    for at in range(min(have, LEAD_B + 1)):
        if buffer[at] != LONG_START:
            continue
        if at + 4 > have:
            return (PARTIAL, 0, 0)
        length = buffer[at + 1]
        if buffer[at + 3] != LONG_START:
            continue
        if length != buffer[at + 2] or length < SHORTEST_LENGTH:
            cause = LENGTH
            continue
        end = at + 4 + length
        if end + 2 > have:
            return (PARTIAL, 0, 0)
        total = 0
        for i in range(at + 4, end):
            total += buffer[i]
        if total & 0xFF != buffer[end]:
            cause = CHECKSUM
        elif buffer[end + 1] != STOP:
            cause = NO_STOP
        elif buffer[at + 4] & RSP_UD_MASK != RSP_UD:
            cause = CONTROL
        else:
            return (OK, at + 4, end)
    return (cause, 0, 0)
