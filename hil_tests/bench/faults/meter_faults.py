"""Faults of the heat meter and of the M-Bus, proved by the bytes that pass on the line.

They refuse to touch the controller: the meter, or the bytes between, are changed.
"""

from __future__ import annotations

import math

from .injector import Injector
from .lines import since
from .rig import FaultRig


class MeterFault(Injector):
    needs = frozenset({"clock.virtual", "plant", "bus.mbus"})

    def inject(self) -> None:
        self.begun_s = self.rig.now_s
        self.change()

    def change(self) -> None:
        raise NotImplementedError

    def asked(self) -> int:
        return len([1 for at_s, _ in self.rig.line.questions if at_s > self.begun_s])


class Silent(MeterFault):
    """The meter hears and does not answer."""

    def change(self) -> None:
        self.rig.slave.fault = "silent"

    def remove(self) -> None:
        self.rig.slave.fault = ""

    def prove(self) -> str:
        answered = len(since(self.rig.line.answers, self.begun_s + 4.0))
        return self.seen(
            self.asked() > 0 and answered == 0, f"{self.asked()} questions, {answered} bytes back"
        )


class CutLine(Silent):
    """Nothing passes either way."""

    def change(self) -> None:
        self.rig.line.spoil_question.append(_nothing)
        self.rig.line.spoil_answer.append(_nothing)

    def remove(self) -> None:
        self.rig.line.spoil_question.remove(_nothing)
        self.rig.line.spoil_answer.remove(_nothing)


def _nothing(_data: bytes) -> bytes:
    return b""


class Frozen(MeterFault):
    """Its display stands while it goes on counting; meanwhile the plant's water changes by `away_k`."""

    def __init__(self, rig: FaultRig, away_k: float) -> None:
        super().__init__(rig)
        self._away_k = away_k

    def change(self) -> None:
        self._energy_wh = self.rig.meter.true_energy_wh
        self.rig.meter.frozen = True
        self.rig.plant.unwired.heat_demand[-1] += self._away_k / 130.0

    def remove(self) -> None:
        self.rig.meter.frozen = False
        self.rig.plant.unwired.heat_demand[-1] -= self._away_k / 130.0

    def prove(self) -> str:
        """Compare the records of all telegrams since, without the access number that goes on."""
        stream = since(self.rig.line.meant, self.begun_s + 10.0)
        told = set()
        while (at := stream.find(b"\x68")) >= 0 and len(stream) >= at + 4:
            length = stream[at + 1]
            frame = stream[at : at + length + 6]
            if len(frame) < length + 6:
                break
            told.add(frame[19:-2])
            stream = stream[at + length + 6 :]
        flowed_wh = self.rig.meter.true_energy_wh - self._energy_wh
        return self.seen(
            len(told) == 1 and flowed_wh > 0.0,
            f"{len(told)} different set of records while {flowed_wh:.0f} Wh went by",
        )


class Replaced(MeterFault):
    """Its counters begin anew, or another meter stands there. A restart makes the controller take it."""

    def __init__(self, rig: FaultRig, number: int | None = None) -> None:
        super().__init__(rig)
        self._number = number

    def change(self) -> None:
        meter = self.rig.meter
        self._before = (meter.energy_wh, meter.header()[1:5])
        meter.energy_wh = 0.0
        meter.volume_m3 = 0.0
        if self._number is not None:
            meter.number = self._number

    def remove(self) -> None:
        self.rig.restart()

    def prove(self) -> str:
        meter = self.rig.meter
        number = meter.header()[1:5]
        sent = since(self.rig.line.meant, self.begun_s + 10.0)
        seen = number in sent and meter.energy_wh < self._before[0]
        return self.seen(
            seen and (number != self._before[1]) == (self._number is not None),
            f"number {number[::-1].hex()}, {meter.energy_wh:.0f} Wh after {self._before[0]:.0f} Wh",
        )


class LateAnswer(MeterFault):
    """Every answer of a meter comes so much later than it should."""

    def __init__(self, rig: FaultRig, late_s: float) -> None:
        super().__init__(rig)
        self._late_s = late_s
        self._waiting: list[tuple[float, bytes]] = []

    def change(self) -> None:
        self.rig.line.spoil_answer.append(self._keep)

    def remove(self) -> None:
        self.rig.line.spoil_answer.remove(self._keep)

    def _keep(self, data: bytes) -> bytes:
        self._waiting.append((self.rig.now_s + self._late_s, data))
        return b""

    def each_tick(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.rig.now_s:
            self.rig.line.put(self._waiting.pop(0)[1])

    def prove(self) -> str:
        first = next((at for at, _ in self.rig.line.meant if at > self.begun_s), math.nan)
        arrived = next(
            (at for at, _ in self.rig.line.answers if at > self.begun_s + 2.0 and at >= first), math.nan
        )
        return self.seen(
            arrived - first >= self._late_s - 2.0, f"sent at {first:g} s, there at {arrived:g} s"
        )


class OtherAddress(MeterFault):
    """The answer carries another meter's address."""

    def change(self) -> None:
        self.rig.slave.fault = "wrong address"

    def remove(self) -> None:
        self.rig.slave.fault = ""

    def prove(self) -> str:
        stream = since(self.rig.line.answers, self.begun_s + 10.0)
        at = stream.find(b"\x68")
        address = stream[at + 5] if at >= 0 and len(stream) > at + 5 else -1
        return self.seen(address not in (-1, self.rig.slave.address), f"address {address} in the answer")
