"""What hypothesis lets clients do to a controller, and how a run of it is the same every time.

Over real sockets and the serial line in lockstep (`AmongClients`), and inside the VM without sockets, where
many more frames fit (`WithoutSockets`). Every byte is foreseen after each move. It refuses to leave a failure
as it was found: hypothesis shrinks it to the fewest moves that show it.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from firmware.substation import registers

from ..bench.modbus_cases import cases
from ..bench.modbus_crowd import (
    BUDGET_KH,
    LEASES,
    LONGEST_DELAY_S,
    STEP_S,
    Crowd,
    Guest,
    OrderPlan,
    Tally,
    everything,
)
from ..bench.modbus_fuzz import EDGES, Feeder, FrameMaker, framed, state_of, verdict
from ..bench.modbus_oracle import Device, Oracle, crc16, reads_event_log
from ..bench.provisioning import Device as Provisioned
from ..bench.provisioning import Ports, provision

CROWDS = int(os.environ.get("TOPLOVOD_FUZZ_CROWDS", "10"))  # examples over the wire
STANDING = int(os.environ.get("TOPLOVOD_FUZZ_STANDING", "10"))  # examples without sockets
SEED = int(os.environ.get("TOPLOVOD_FUZZ_SEED", "1"))
REVISION = "0.1"
MOVES = 50
UNIT = 1
READ = bytes.fromhex("04 0028 0003")


def fixed(examples: int, moves: int = MOVES, **more: Any) -> settings:
    """Settings under which a run is the same every time."""
    return settings(
        max_examples=examples, stateful_step_count=moves, derandomize=True, database=None, deadline=None,
        print_blob=False, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck), **more,
    )  # fmt: skip


def explore(machine: type[Any], examples: int, moves: int = MOVES, **more: Any) -> None:
    """Run the machine, its draws by SEED alone.

    Hypothesis would draw now and then from the constants of every module of ours that happens to be imported,
    so another choice of tests would be another run.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers, "_get_local_constants", Constants)
        providers.CONSTANTS_CACHE.cache.clear()
        run_state_machine_as_test(seed(SEED)(machine), settings=fixed(examples, moves, **more))
    providers.CONSTANTS_CACHE.cache.clear()


# what is said

# every function as often as any other, those that the controller lacks together
KNOWN = (3, 4, 1, 2, 5, 6, 8, 15, 16, 17, 20, 21, 22, 23, 24, 43)
BY_FUNCTION = [[pdu for _, pdu in cases() if pdu[0] == function] for function in KNOWN]
BY_FUNCTION.append([pdu for _, pdu in cases() if pdu[0] not in KNOWN])


@st.composite
def requests_of(draw: st.DrawFn, group: int) -> bytes:
    return BY_FUNCTION[group][draw(st.integers(0, len(BY_FUNCTION[group]) - 1))]


whole_pdus = st.one_of([requests_of(group) for group in range(len(BY_FUNCTION))])


@st.composite
def bent_pdus(draw: st.DrawFn) -> bytes:
    """A request that is almost right."""
    bent = bytearray(draw(whole_pdus))
    how = draw(st.sampled_from(("bits", "edge", "cut", "longer", "function")))
    if how == "bits":
        for bit in draw(st.lists(st.integers(0, 8 * len(bent) - 1), min_size=1, max_size=3)):
            bent[bit // 8] ^= 1 << bit % 8
    elif how == "edge" and len(bent) > 2:
        at = 1 + 2 * draw(st.integers(0, (len(bent) - 1) // 2 - 1))
        bent[at : at + 2] = draw(st.sampled_from(EDGES)).to_bytes(2, "big")
    elif how == "cut":
        del bent[draw(st.integers(1, len(bent))) :]
    elif how == "longer":
        bent += draw(st.binary(min_size=1, max_size=8))
    else:
        bent[0] = draw(st.integers(0, 255))
    return READ if reads_event_log(bytes(bent[:253])) else bytes(bent[:253])


pdus = whole_pdus | bent_pdus()


@st.composite
def tcp_frames(draw: st.DrawFn) -> bytes:
    """A frame with its header, which is wrong now and then."""
    pdu = draw(pdus)
    wrong = draw(st.sampled_from(("", "", "", "", "protocol", "length", "unit")))
    protocol = draw(st.integers(1, 65535)) if wrong == "protocol" else 0
    length = draw(st.sampled_from(EDGES)) if wrong == "length" else len(pdu) + 1
    unit = draw(st.sampled_from((0, 2, 255))) if wrong == "unit" else UNIT
    return struct.pack(">HHHB", draw(st.integers(0, 65535)), protocol, length, unit) + pdu


@st.composite
def rtu_frames(draw: st.DrawFn) -> bytes:
    """A frame with its CRC, broken or for others now and then."""
    wrong = draw(st.sampled_from(("", "", "", "", "bit", "cut", "unit", "noise")))
    if wrong == "noise":
        return draw(st.binary(min_size=1, max_size=40))
    frame = rtu(draw(pdus), draw(st.sampled_from((0, 2, 247))) if wrong == "unit" else UNIT)
    if wrong == "cut":
        return frame[: draw(st.integers(1, len(frame) - 1))]
    if wrong == "bit":
        frame = flipped(frame, draw(st.integers(0, 8 * len(frame) - 1)))
    return frame


@st.composite
def in_two(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """A frame cut somewhere, often where its length is not told yet."""
    frame = draw(frames)
    cut = draw(st.integers(1, 8) | st.integers(1, 259)) % len(frame)
    return (frame[:cut], frame[cut:]) if cut else (frame, b"")


def flipped(data: bytes, bit: int) -> bytes:
    at = bit // 8 % len(data)
    return data[:at] + bytes((data[at] ^ 1 << bit % 8,)) + data[at + 1 :]


def rtu(pdu: bytes, unit: int = UNIT) -> bytes:
    return bytes((unit,)) + pdu + crc16(bytes((unit,)) + pdu)


@st.composite
def honest_plans(draw: st.DrawFn) -> OrderPlan:
    """An order of one or two values inside their limits, by a slot that may, or its release."""
    leases = draw(st.lists(st.sampled_from(LEASES), min_size=1, max_size=2, unique=True))
    pairs = [(registers.BY_NAME[lease.setpoint].address, inside(draw, lease.setpoint)) for lease in leases]
    return OrderPlan(
        pairs, slot=draw(st.sampled_from((0, 0, 1))), function=draw(st.sampled_from((23, 16))),
        lease_s=draw(st.sampled_from((1800, 300, 3600, 0))),
    )  # fmt: skip


INSIDE = {
    "secondary_supply_temp_sp_c": (2000, 6500),
    "primary_flow_limit_sp_m3_h": (0, 480),
    "primary_return_limit_sp_c": (0, 5000),
    "curve_shift_sp_k": (-1500, 1500),
}


def inside(draw: st.DrawFn, name: str) -> int:
    return draw(st.integers(*INSIDE[name]))


@st.composite
def plans(draw: st.DrawFn) -> OrderPlan:
    """An authentic order that may be refused for anything."""
    plan = draw(honest_plans())
    wrong = draw(st.sampled_from(("slot", "counter", "late", "lease", "value", "register", "epoch", "twice")))
    if wrong == "slot":
        return replace(plan, slot=draw(st.integers(0, 3)))
    if wrong == "counter":
        return replace(plan, counter_ahead=draw(st.sampled_from((0, -1, 65_536, 65_537))))
    if wrong == "late":
        return replace(plan, not_after_ahead_s=draw(st.sampled_from((-1, 0, 60, 61, 100_000))))
    if wrong == "lease":
        return replace(plan, lease_s=draw(st.sampled_from((1, 299, 300, 3600, 3601, 65_535))))
    if wrong == "value":
        pairs = [(address, draw(st.integers(0, 65_535))) for address, _ in plan.pairs]
        return replace(plan, pairs=pairs)
    if wrong == "register":
        foreign = draw(st.sampled_from((0, 99, 305, 4000, 65_535)))
        return replace(plan, pairs=draw(st.permutations([*plan.pairs, (foreign, 1)])))
    if wrong == "epoch":
        return replace(plan, epoch_ahead=draw(st.sampled_from((-1, 17))))
    return replace(plan, pairs=[*plan.pairs, *plan.pairs])


numbers = st.integers(0, 63)
kinds = st.sampled_from((b"T", b"R"))
ways = st.sampled_from(("tcp", "rtu over tcp", "serial"))


class AmongClients(RuleBasedStateMachine):
    """One controller over real sockets and a serial line, in lockstep."""

    firmware: Path
    tally = Tally()
    oracle: type[Oracle] = Oracle
    site: Mapping[str, Any] = {}

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="toplovod-crowd-")
        self.crowd = Crowd(
            Path(self._folder.name), self.firmware, REVISION, oracle=self.oracle, tally=self.tally,
            site=self.site,
        )  # fmt: skip

    def teardown(self) -> None:
        self.crowd.close()
        self._folder.cleanup()

    @property
    def device(self) -> Device:
        return self.crowd.device

    def guest(self, number: int, *, is_rtu: bool = False) -> Guest:
        """Return one of the clients of that kind; a new one where there is none."""
        alike = [guest for guest in self.crowd.guests if guest.rtu == is_rtu]
        return alike[number % len(alike)] if alike else self.crowd.come(rtu=is_rtu)

    def put(self, way: str, number: int, pdu: bytes) -> None:
        """Send a request by that way; behind what a client has begun it is whatever it comes to."""
        if way == "serial":
            self.crowd.serial([(rtu(pdu), 0)])
        elif way == "tcp":
            self.crowd.say(self.guest(number), framed(b"T", pdu, self.device))
        else:
            self.crowd.say(self.guest(number, is_rtu=True), rtu(pdu))

    # clients

    @rule(is_rtu=st.booleans())
    def comes(self, is_rtu: bool) -> None:
        self.crowd.come(rtu=is_rtu)

    @rule(count=st.integers(2, 6))
    def several_come_and_talk(self, count: int) -> None:
        for _ in range(count):
            self.crowd.say(self.crowd.come(), framed(b"T", READ, self.device))

    @precondition(lambda self: self.crowd.guests)
    @rule(number=numbers, reset=st.booleans())
    def goes(self, number: int, reset: bool) -> None:
        self.crowd.leave(self.crowd.guests[number % len(self.crowd.guests)], reset=reset)

    @rule(number=numbers, pieces=in_two(tcp_frames()))
    def resets_in_mid_frame(self, number: int, pieces: tuple[bytes, bytes]) -> None:
        guest = self.guest(number)
        self.crowd.say(guest, pieces[0])
        if guest in self.crowd.guests:
            self.crowd.leave(guest, reset=True)

    # requests

    @rule(way=ways, number=numbers, pdu=whole_pdus)
    def asks(self, way: str, number: int, pdu: bytes) -> None:
        self.put(way, number, pdu)

    @rule(number=numbers, frame=tcp_frames())
    def says_over_tcp(self, number: int, frame: bytes) -> None:
        self.crowd.say(self.guest(number), frame)

    @rule(number=numbers, frame=rtu_frames())
    def says_rtu_over_tcp(self, number: int, frame: bytes) -> None:
        self.crowd.say(self.guest(number, is_rtu=True), frame)

    @rule(number=numbers, pieces=in_two(tcp_frames()) | in_two(rtu_frames()), is_rtu=st.booleans())
    def begins_a_frame(self, number: int, pieces: tuple[bytes, bytes], is_rtu: bool) -> None:
        """Whatever the client says next, and whenever, is taken for its rest."""
        guest = self.guest(number, is_rtu=is_rtu)
        self.crowd.say(guest, pieces[0])
        guest.to_say = pieces[1]

    @precondition(lambda self: any(guest.to_say for guest in self.crowd.guests))
    @rule(number=numbers, share_pct=st.sampled_from((100, 100, 50, 10)))
    def goes_on_with_a_frame(self, number: int, share_pct: int) -> None:
        begun = [guest for guest in self.crowd.guests if guest.to_say]
        guest = begun[number % len(begun)]
        size = -(-len(guest.to_say) * share_pct // 100)
        piece, guest.to_say = guest.to_say[:size], guest.to_say[size:]
        self.crowd.say(guest, piece)

    @rule(
        number=numbers, pdu=whole_pdus, cut=st.integers(1, 7), ticks=st.integers(0, 2), is_rtu=st.booleans()
    )
    def pauses_in_mid_frame(self, number: int, pdu: bytes, cut: int, ticks: int, is_rtu: bool) -> None:
        """A TCP frame's rest may take its time; where that of an RTU frame is late, both are dropped."""
        guest = self.guest(number, is_rtu=is_rtu)
        frame = rtu(pdu) if is_rtu else framed(b"T", pdu, self.device)
        cut = min(cut, len(frame) - 1)
        self.crowd.say(guest, frame[:cut])
        self.crowd.pass_ticks(ticks)
        if guest in self.crowd.guests:
            self.crowd.say(guest, frame[cut:])

    @rule(number=numbers, frames=st.lists(tcp_frames(), min_size=2, max_size=6))
    def pipelines(self, number: int, frames: list[bytes]) -> None:
        self.crowd.say(self.guest(number), b"".join(frames))

    @rule(number=numbers, frames=st.lists(rtu_frames(), min_size=2, max_size=3))
    def pipelines_rtu(self, number: int, frames: list[bytes]) -> None:
        self.crowd.say(self.guest(number, is_rtu=True), b"".join(frames))

    # the serial line

    @rule(frame=rtu_frames())
    def says_on_the_line(self, frame: bytes) -> None:
        self.crowd.serial([(frame, 0)])

    @rule(pieces=in_two(rtu_frames()), silence_ms=st.sampled_from((0, 2, 50)))
    def says_in_two_pieces_on_the_line(self, pieces: tuple[bytes, bytes], silence_ms: int) -> None:
        self.crowd.serial([(pieces[0], silence_ms), (pieces[1], 0)])

    @rule(pdu_1=whole_pdus, pdu_2=whole_pdus, silence_ms=st.sampled_from((0, 2, 50)))
    def says_twice_on_the_line(self, pdu_1: bytes, pdu_2: bytes, silence_ms: int) -> None:
        self.crowd.serial([(rtu(pdu_1)[:250], silence_ms), (rtu(pdu_2)[:250], 0)])

    # orders

    @rule(way=ways, number=numbers, plan=honest_plans())
    def orders(self, way: str, number: int, plan: OrderPlan) -> None:
        self.put(way, number, self.made(plan))

    @rule(way=ways, number=numbers, plan=plans())
    def orders_in_vain(self, way: str, number: int, plan: OrderPlan) -> None:
        self.put(way, number, self.made(plan))

    @rule(way=ways, number=numbers, plan=honest_plans(), bit=st.integers(0, 511))
    def bends_an_order(self, way: str, number: int, plan: OrderPlan, bit: int) -> None:
        self.put(way, number, flipped(self.made(plan), bit))

    @precondition(lambda self: self.crowd.orders)
    @rule(way=ways, number=numbers, which=numbers)
    def repeats_an_order(self, way: str, number: int, which: int) -> None:
        """Of this boot or of one that is over."""
        pdu, _ = self.crowd.orders[which % len(self.crowd.orders)]
        self.put(way, number, pdu)

    @rule(plan=honest_plans())
    def orders_all(self, plan: OrderPlan) -> None:
        self.crowd.serial([(rtu(self.made(plan), unit=0), 0)])

    def made(self, plan: OrderPlan) -> bytes:
        pdu = plan.pdu(self.device, self.crowd.provisioned)
        self.crowd.orders.append((pdu, self.device.boot))
        return pdu

    # time and power

    @rule(ticks=st.integers(1, 60))
    def time_passes(self, ticks: int) -> None:
        self.crowd.pass_ticks(ticks)

    @rule(plan=honest_plans())
    def orders_and_never_renews(self, plan: OrderPlan) -> None:
        """The shortest lease, and as long as it can be held behind its end."""
        pdu = self.made(replace(plan, lease_s=300))
        self.crowd.say(self.crowd.come(), framed(b"T", pdu, self.device))
        self.crowd.let_stand(300 + LONGEST_DELAY_S + STEP_S)

    @precondition(lambda self: self.crowd.orders)
    @rule(off_ticks=st.integers(0, 5))
    def power_fails(self, off_ticks: int) -> None:
        self.crowd.restart(off_ticks)

    @invariant()
    def all_is_as_foreseen(self) -> None:
        self.crowd.look()


class WithoutSockets(RuleBasedStateMachine):
    """The controller's stack inside its VM, fed frame by frame; its clock stands, and restarts are rare."""

    firmware: Path
    tally = Tally()
    oracle: type[Oracle] = Oracle
    site: Mapping[str, Any] = {}

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="toplovod-feeder-")
        self._ports = Ports()
        folder = Path(self._folder.name)
        self.provisioned: Provisioned = provision(
            folder, self.firmware, "fuzzed", "substation", self._ports.take(), seed=1,
            settings={"rtu_tcp_port": self._ports.take(), "deficit_budget_kh": BUDGET_KH, **self.site},
        )  # fmt: skip
        self._console = folder / "console"
        self.made: list[bytes] = []
        self.prepare(self.provisioned.board.flash)
        self.feeder = self.started()

    def prepare(self, flash: Path) -> None:
        """Put more into the flash before the first start."""

    def started(self) -> Feeder:
        self.tally.crowds += 1
        feeder = Feeder(self.provisioned, self._console, bundle=self.firmware)
        self.device = state_of(self.provisioned, "emulated", REVISION, feeder.ask_pdu)
        self.judge = self.oracle(self.device)
        _, self._digest, _ = feeder.ask(b"T", [])
        return feeder

    def teardown(self) -> None:
        with self.feeder:
            self.tally.acted += self.device.acted
        self._ports.close()
        self._folder.cleanup()

    def feed(self, kind: bytes, frames: list[bytes]) -> None:
        """Every answer is the foreseen one; only an authentic order changes what orders may change."""
        counters, acted = list(self.device.order_counter), self.device.acted
        expected = [verdict(self.judge, kind, frame) for frame in frames]
        got, digest, escaped = self.feeder.ask(kind, frames)
        self.tally.frames += len(frames)
        assert got == b"".join(expected), f"expected {b''.join(expected).hex()}, got {got.hex()}"
        assert escaped == 0, self._console.read_text()[-2000:]
        must = counters != self.device.order_counter
        # a plain write that is permitted may say what was said before
        may = must or acted != self.device.acted
        assert may or digest == self._digest, "what only orders move moved"
        assert not must or digest != self._digest, "no order moved"
        self._digest = digest

    @rule(kind=kinds, chosen=st.lists(pdus, min_size=1, max_size=8))
    def asks(self, kind: bytes, chosen: list[bytes]) -> None:
        self.feed(kind, [framed(kind, pdu, self.device) for pdu in chosen])

    @rule(frames=st.lists(tcp_frames(), min_size=1, max_size=8))
    def says_over_tcp(self, frames: list[bytes]) -> None:
        self.feed(b"T", frames)

    @rule(frames=st.lists(rtu_frames(), min_size=1, max_size=8))
    def says_rtu(self, frames: list[bytes]) -> None:
        self.feed(b"R", frames)

    @rule(kind=kinds, count=st.integers(1, 100), number=st.integers(0, 2**16))
    def bends_many(self, kind: bytes, count: int, number: int) -> None:
        maker = FrameMaker(number)
        self.feed(kind, [maker.tcp() if kind == b"T" else maker.rtu(UNIT) for _ in range(count)])

    @rule(kind=kinds, plan=honest_plans() | plans())
    def orders(self, kind: bytes, plan: OrderPlan) -> None:
        self.made.append(plan.pdu(self.device, self.provisioned))
        self.feed(kind, [framed(kind, self.made[-1], self.device)])

    @rule(kind=kinds, plan=honest_plans(), bit=st.integers(0, 511))
    def bends_an_order(self, kind: bytes, plan: OrderPlan, bit: int) -> None:
        self.made.append(plan.pdu(self.device, self.provisioned))
        self.feed(kind, [framed(kind, flipped(self.made[-1], bit), self.device)])

    @precondition(lambda self: self.made)
    @rule(kind=kinds, which=numbers)
    def repeats_an_order(self, kind: bytes, which: int) -> None:
        self.feed(kind, [framed(kind, self.made[which % len(self.made)], self.device)])

    @precondition(lambda self: self.device.acted)
    @rule()
    def starts_anew(self) -> None:
        """The plug is pulled: what was ordered is over, and those orders are worth nothing any more."""
        self.start_anew()

    def start_anew(self) -> None:
        boot, self.tally.acted = self.device.boot, self.tally.acted + self.device.acted
        self.tally.restarts += 1
        with self.feeder:
            pass
        self.feeder = self.started()
        assert self.device.boot == boot + 1
        assert self.device.get("secondary_supply_temp_lease_number") == 0

    @invariant()
    def all_is_as_foreseen(self) -> None:
        self.feed(b"T", [framed(b"T", pdu, self.device) for pdu in everything(self.device)])


def of(machine: type[Any], firmware: Path, wrong: type[Oracle] = Oracle) -> type[Any]:
    """Return the machine for that firmware and oracle, with a tally of its own."""
    return type(machine.__name__, (machine,), {"firmware": firmware, "oracle": wrong, "tally": Tally()})
