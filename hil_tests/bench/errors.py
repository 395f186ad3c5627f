"""What can go wrong on the bench, each with a stable code and a sentence for people."""

from __future__ import annotations


class BenchError(Exception):
    """The bench cannot go on. `code` is stable for scripts; the text says who, what, why and what now."""

    code = "bench.error"


class WrongUse(BenchError):
    """Asked for something the bench does not offer; nothing was started."""

    code = "bench.wrong_use"
    exit_status = 2


class PortTaken(BenchError):
    """A TCP port that was asked for is in use; nothing was started."""

    code = "bench.port_taken"
    exit_status = 2


class DeviceFailed(BenchError):
    """An emulated controller did not answer, ended, or keeps resetting."""

    code = "bench.device_failed"

    def __init__(self, device: str, what: str, console: str) -> None:
        tail = console.strip() or "(nothing)"
        super().__init__(f"{device}: {what}; the run stopped there. Last lines of its console:\n{tail}")
        self.device = device
        self.console = console


class BundleFailed(BenchError):
    """The firmware could not be compiled to bytecode."""

    code = "bench.bundle_failed"


class MemberFailed(BenchError):
    """A lockstep member broke the protocol or stayed silent beyond its deadline."""

    code = "bench.member_failed"


class ConditionNotMet(BenchError, AssertionError):
    """A condition did not come true within the virtual time a test gave it."""

    code = "bench.condition_not_met"


class ModbusSilent(BenchError):
    """A controller closed the connection or did not answer within the real-time deadline."""

    code = "bench.modbus_silent"


class ModbusException(BenchError):
    """A controller answered with an exception; `function` and `exception` are as on the wire."""

    code = "bench.modbus_exception"

    def __init__(self, function: int, exception: int) -> None:
        super().__init__(f"function {function} answered with exception {exception:02d}")
        self.function = function
        self.exception = exception
