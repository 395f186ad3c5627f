"""Clients that come, talk, break off and go, as hypothesis thinks them up: every byte is foreseen after each.

What they may do stands in `modbus_machines`; a wrong oracle beside a right controller is found out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase

from .bench.modbus_crowd import Tally
from .bench.modbus_oracle import Oracle, Refused
from .tests.modbus_machines import CROWDS, STANDING, AmongClients, WithoutSockets, explore, of


@pytest.mark.slow
def test_s7_whatever_clients_do_over_the_wire_is_foreseen(firmware_bundle: Path) -> None:
    machine = of(AmongClients, firmware_bundle)
    explore(machine, CROWDS)
    print(machine.tally)
    assert machine.tally.acted and machine.tally.refused and machine.tally.restarts
    assert machine.tally.pushed_out and machine.tally.leases_ended


@pytest.mark.slow
def test_s7_whatever_clients_say_without_sockets_is_foreseen(firmware_bundle: Path) -> None:
    machine = of(WithoutSockets, firmware_bundle)
    explore(machine, STANDING, 100)
    print(machine.tally)
    assert machine.tally.acted and machine.tally.restarts


# The machine can fail: an oracle that is wrong in one point is found out.


class TakesReplays(Oracle):
    def _no_order(self, frame: bytes) -> str | None:
        cause = super()._no_order(frame)
        return None if cause == "replay" else cause


class HasAnotherException(Oracle):
    def _answer(self, request: bytes, source: int, broadcast: bool) -> bytes:
        try:
            return super()._answer(request, source, broadcast)
        except Refused as refused:
            raise Refused(3 if request[0] == 24 else refused.code) from None


class ForgetsToCount(Oracle):
    def rtu(self, between: bytes) -> bytes:
        broken = self.device.broken
        answer = super().rtu(between)
        self.device.broken = broken
        return answer


class KnowsNoRestart(Oracle):
    """It takes an order for a boot that is over."""

    def _no_order(self, frame: bytes) -> str | None:
        cause = super()._no_order(frame)
        earlier = self.device.boot > 1 and cause == "mac" and len(frame) == 40 and frame[-16:] != bytes(16)
        return None if earlier else cause


@pytest.mark.parametrize(
    ("machine", "wrong"),
    [
        (WithoutSockets, TakesReplays),
        (WithoutSockets, HasAnotherException),
        (AmongClients, ForgetsToCount),
        (WithoutSockets, KnowsNoRestart),
    ],
)
@pytest.mark.slow
def test_an_oracle_that_is_wrong_in_one_point_is_found_out(
    firmware_bundle: Path, machine: type[Any], wrong: type[Oracle]
) -> None:
    with pytest.raises(AssertionError):
        explore(of(machine, firmware_bundle, wrong), CROWDS, 100, phases=[Phase.generate])


def test_a_run_is_the_same_every_time(firmware_bundle: Path) -> None:
    def digests() -> list[str]:
        found: list[str] = []

        class Run(AmongClients):
            firmware = firmware_bundle
            tally = Tally()

            def teardown(self) -> None:
                found.append(self.crowd.bench.sha256)
                super().teardown()

        explore(Run, 2, 20)
        return found

    first = digests()
    assert len(first) == 2
    assert first == digests()
