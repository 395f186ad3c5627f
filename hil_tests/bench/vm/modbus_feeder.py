"""Feeds Modbus frames to the controller's own stack inside the VM, as fast as it answers. No sockets.

Arguments: device folder, file number to read batches from, file number to write answers to, the bundle's
manifest, which tells what private attributes are called. The whole application is put together as main.py
does it, then time stands still and nothing else runs. It refuses to judge: the answers and a digest of
everything an order may change go to the host after each batch.

    host -> VM   "<BxHI" kind (T, R, V or Q), records, bytes; then records of "<H" length and frame
                 V has no records: an update that is open verifies its head to the end
    VM -> host   "<I" length and the responses, one behind the other; digest (32 bytes); "<I" exceptions
                 that escaped
"""

import sys

sys.path[:] = [__file__.rsplit("/", 1)[0], ".frozen"]

import bench_link  # noqa: E402


class StandingLink:
    """A board whose clock stands at power-on, with nothing connected to its inputs."""

    socket = None
    serial = None
    now_ms = boot_ms = until_ms = first_tick = 0
    bite_ms = bench_link.FOREVER_MS
    reset_cause = 1
    device_id = bytes(8)
    entropy = bytes(32)

    def __init__(self):
        self.on_since = {}
        self.duty = {}

    def counts(self, channel):
        return 0

    def button_down(self):
        return False


bench_link.link = StandingLink()

import virtual_time  # noqa: E402

sys.modules["time"] = virtual_time

import gc  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import struct  # noqa: E402

import machine  # noqa: E402, F401
import seeded_os  # noqa: E402
import vfs  # noqa: E402

sys.modules["os"] = seeded_os
# 100 of the longest frames, no more: the VM looks for free heap behind what is taken, frame by frame
BATCH_BYTES = 26_300
ANSWER_BYTES = 26_300


def _of(thing, name):
    return getattr(thing, _names.get(name, name))


def _digest(bank, mailbox, blocks):
    """Return the digest of every holding register, lease, key epoch and order counter."""
    digest = hashlib.sha256()
    out = bytearray(250)
    for first, count in blocks:
        bank.read(3, first, count, out, 0)
        digest.update(out[: 2 * count])
    influences = _of(mailbox, "_by_address")
    for address in sorted(influences):
        influence = influences[address].__dict__
        for name in sorted(influence):
            if isinstance(influence[name], (int, bool, type(None))):
                digest.update(("%d %s %r\n" % (address, name, influence[name])).encode())
    state = (_of(mailbox, "_keys").floor, _of(mailbox, "_counter"), _of(mailbox, "_accepted"))
    digest.update(repr(state).encode())
    return digest.digest()


def _fill(file, buffer, size):
    view = memoryview(buffer)
    have = 0
    while have < size:
        got = file.readinto(view[have:size])
        if not got:
            raise SystemExit(0)
        have += got


def _feed_tcp(server, frame, at, end, out, answers, used):
    length = server.frame_length(frame, at, end)
    if length < 0:
        server.lost(0x7F000001)
    elif length:
        size = server.answer(frame, at, length, out, 0x7F000001)
        answers[used : used + size] = memoryview(out)[:size]
        return used + size
    return used


def _feed_rtu(rtu, frame, at, end, out, answers, used):
    length = rtu.frame_length(frame, at, end)
    if length < 0:
        rtu.lost(0x7F000001)
    elif length:
        size = rtu.answer(frame, at, length, out, 0x7F000001)
        first = rtu.response_begins
        answers[used : used + size] = memoryview(out)[first : first + size]
        return used + size
    return used


def _run(source, sink):
    import boards
    from substation import app

    controller = app.Controller(boards)
    tcp = _of(controller, "_tcp")
    framings = dict(zip(b"TR", (framing for _, framing in _of(tcp, "_ports"))))
    server = framings[ord("T")]
    bank, mailbox = _of(server, "_bank"), _of(server, "_mailbox")
    blocks = [(start, end - start) for start, end, _ in _of(bank, "_blocks")[3]]
    head = bytearray(8)
    batch = bytearray(BATCH_BYTES)
    answers = bytearray(ANSWER_BYTES)
    out = bytearray(len(_of(tcp, "_out")))  # as the sockets have it
    while True:
        _fill(source, head, 8)
        kind, records, size = struct.unpack("<BxHI", head)
        if kind == ord("Q"):
            return
        _fill(source, batch, size)
        if kind == ord("V"):
            updating = _of(server, "_updating")
            while _of(updating, "is_verifying"):
                _of(updating, "step")()
        framing = framings.get(kind)
        feed = _feed_tcp if kind == ord("T") else _feed_rtu
        at = used = escaped = 0
        for _ in range(records):
            length = batch[at] | batch[at + 1] << 8
            at += 2
            try:
                used = feed(framing, batch, at, at + length, out, answers, used)
            except Exception as error:
                sys.print_exception(error)
                escaped += 1
            at += length
        sink.write(struct.pack("<I", used))
        sink.write(answers, used)
        sink.write(_digest(bank, mailbox, blocks))
        sink.write(struct.pack("<I", escaped))
        gc.collect()


with open(sys.argv[4]) as _manifest:
    _names = json.load(_manifest)["names"]
_source = open(int(sys.argv[2]), "rb", buffering=0)
_sink = open(int(sys.argv[3]), "wb", buffering=0)
vfs.umount("/")
vfs.mount(vfs.VfsPosix(sys.argv[1]), "/")
seeded_os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
_run(_source, _sink)
