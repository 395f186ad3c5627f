"""What a test may do to a controller, whatever it is: an emulated VM, an emulated board, a real one.

Each protocol is one hand of the bench. A verb that a target cannot do raises NotOnThisTarget and has done
nothing; a test that needs it says so by `needs(capability)` and is then skipped by that name. This module
refuses to know any target: they lie beside it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from .controller import Controller
from .errors import BenchError, WrongUse
from .modbus import ModbusTcp
from .modbus_rtu import ModbusRtu
from .relay import Relay
from .slow_wire import Conditions, SlowWire

# What a target may be able to do. Everything that `needs` can name stands here.
CAPABILITIES = {
    "clock.virtual": "time passes only when the test lets it pass",
    "clock.wall": "time is the world's",
    "power.prepare": "switched off with its flash whole and in reach, before anything runs",
    "power.cut": "the plug can be pulled",
    "power.off": "can be switched off while it is idle",
    "power.brownout": "the supply can be gone for some milliseconds",
    "power.voltage": "the supply can be lowered to a voltage that is not 0",
    "console.read": "what the controller prints can be read",
    "console.exec": "a program can be run in its REPL",
    "bus.tcp": "Modbus TCP",
    "bus.rtu": "Modbus RTU on a serial line",
    "bus.proxy": "a wire between client and controller that can keep a frame to itself",
    "bus.slow": "a wire whose bytes wait for virtual time: latency, stalls, cuts, by a seed",
    "bus.raw": "bytes that are no Modbus",
    "bus.sniff": "every frame on the wire can be looked at",
    "io.sensors": "the resistances and currents at its terminals can be set",
    "io.button": "the service button can be pressed",
    "io.relays": "its relays can be looked at",
    "orders": "the bench has a key, so an order can be signed",
    "plant": "a plant in closed loop",
    "entropy.seeded": "the same seed gives the same run",
    "heap.measured": "its live heap can be measured",
}


class NotOnThisTarget(BenchError):
    """A verb was called that this target cannot do; nothing was done."""

    code = "bench.not_on_this_target"

    def __init__(self, target: str, capability: str, remedy: str = "") -> None:
        super().__init__(
            f"{target} cannot do {capability} ({CAPABILITIES[capability]}); nothing was done. "
            + (remedy or f'Mark the test with needs("{capability}"), and it is skipped here by that name')
        )
        self.capability = capability


class BoardMissing(BenchError):
    """There is no board where the bench file, or the command line, says it is."""

    code = "bench.board_missing"
    exit_status = 3


class PortInUse(BenchError):
    """Another program holds the board's serial port, or another bench the board; no test was run."""

    code = "bench.port_in_use"
    exit_status = 3


class BoardSilent(BenchError):
    """Something is there, and does not answer like a board within its deadline."""

    code = "bench.board_silent"
    exit_status = 3


class WrongFirmware(BenchError):
    """The board runs something else than the bench was told; no test was run on it."""

    code = "bench.wrong_firmware"


class Clock(Protocol):
    """The time that a test goes by, in seconds. `mode` is "virtual" (lockstep) or "wall"."""

    mode: str

    def now_s(self) -> float:
        """Return the seconds since the target was opened. Never runs back."""

    def advance(self, seconds: float) -> None:
        """Let that much time pass: at once in virtual time (in whole ticks), by waiting on the wall.

        WrongUse for less than none: it never runs back.
        """

    def run_until(self, condition: Callable[[], bool], within_s: float) -> None:
        """Let time pass until the condition holds. ConditionNotMet after `within_s` seconds."""


def forwards(seconds: float) -> float:
    """Return a span of time as it is. WrongUse for one that is negative or no number."""
    if not seconds >= 0.0:
        raise WrongUse(f"a span of {seconds:g} s cannot pass; nothing was done")
    return seconds


class Power(Protocol):
    """The supply of one controller."""

    def prepare(self) -> None:
        """Lie ready without power: nothing runs. BenchError while it is under power."""

    def on(self) -> None:
        """Give it power and wait until it answers. Nothing where it has power. BoardSilent."""

    def cut(self) -> None:
        """Pull the plug, now, whatever it is doing."""

    def off(self) -> None:
        """Switch it off while it is idle."""

    def brownout(self, ms: int, volts: float = 0.0) -> None:
        """Let the supply fall to `volts` for at least `ms` milliseconds; return once it answers.

        NotOnThisTarget where volts is not 0 and the supply knows only on and off. WrongUse for ms below 0.
        """


class Console(Protocol):
    """What the controller prints, and its REPL. `run_id` names this test's run, no other."""

    run_id: str

    def read_until(self, text: str, within_s: float) -> str:
        """Return what was printed up to and with `text`; ConditionNotMet, quoting the rest, after within_s.

        Only what was printed since this test began, and what no call before has returned: what another
        test left on the line is never taken for this one's.
        """

    def exec(self, program: str) -> str:
        """Stop the controller's program, run this one instead, and return what it printed.

        BenchError with the traceback where it raises. The controller does nothing afterwards until it is
        switched off and on, or `restart` is called.
        """

    def restart(self) -> None:
        """Reset it by its REPL and wait until it answers."""


class Bus(Protocol):
    """Every way to its Modbus. What is returned is closed by the target, at the latest with it."""

    def tcp(self) -> ModbusTcp:
        """Return a Modbus TCP connection of its own. BoardMissing, ModbusSilent."""

    def rtu(self) -> ModbusRtu:
        """Return a client on its serial line."""

    def proxy(self) -> Relay:
        """Return a wire whose `address` a client can use, and which can keep an order or an answer."""

    def slow(self, conditions: Conditions, seed: int = 1) -> SlowWire:
        """Return a wire whose `address` a client can use, and whose bytes take their virtual time."""

    def raw(self) -> socket.socket:
        """Return a connected socket; what is sent is nobody's business. Its timeout is 10 s."""

    def sniff(self) -> Relay:
        """Return a wire that keeps every frame, as (">" or "<", bytes), in `frames`."""


class IO(Protocol):
    """The terminals of one controller. What is set stays until it is set again or `restore` is called."""

    def set_resistance(self, channel: int, ohm: float) -> None:
        """Put a resistance on inputs 0 to 5. inf is an open circuit, 0 a short one."""

    def set_current(self, channel: int, ma: float) -> None:
        """Put a loop current on inputs 6 and 7, mA. 0 is a cut loop."""

    def press_button(self, down: bool = True) -> None:
        """Hold the service button, or let it go."""

    def relays(self) -> frozenset[str]:
        """Return which of open, close and pump are on; in virtual time, which were during the last tick."""

    def restore(self) -> None:
        """Give the terminals back to what is wired there, and let go of the button."""


class Target(Protocol):
    """One controller and the hands of the bench around it."""

    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> frozenset[str]: ...
    @property
    def power(self) -> Power: ...
    @property
    def console(self) -> Console: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def io(self) -> IO: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def controller(self) -> Controller: ...

    def describe(self) -> dict[str, Any]:
        """Return what a run record says of it; see `run_record`."""

    def begin(self, run_id: str) -> None:
        """Get ready for a test: under power, terminals restored, console at its end."""

    def close(self) -> None:
        """End everything that was started and let go of everything that was held."""
