"""Faults of the three-point actuator that is in use at the operating point, in the plant.

The proof compares how long the relays were on with how the stem moved.
"""

from __future__ import annotations

import math
from typing import Any

from .injector import Injector
from .rig import TICK_S, FaultRig

LEAST_LEAK_M3_H = 0.001  # kv; of a sound valve the flow tells the stem's kv to a tenth of that
FREE = 0.02  # of the stroke: nearer to an end the stem may rest while the motor runs


class ActuatorFault(Injector):
    """Notes in every tick what the relays asked of the actuator and what its stem did."""

    def __init__(self, rig: FaultRig) -> None:
        super().__init__(rig)
        self.row = 0 if rig.heating_point else 1
        self.opened_s = self.closed_s = 0.0
        self.rose = self.fell = 0.0
        self.against = 0.0
        """Stem movement against what the relays asked in the same tick."""
        self.play = 0.0
        """The most that the motor stood away from the stem, strokes."""
        self.free_asked = self.free_moved = 0.0
        """Strokes asked for and done away from both ends, where a motor may run in vain."""
        self._relays = (0.0, 0.0)
        self._before = 0.0
        self._kept: dict[str, Any] = {}

    @property
    def valves(self) -> Any:
        return self.rig.valves

    @property
    def position(self) -> float:
        return float(self.valves.position[0])

    def put(self, **values: float | bool) -> None:
        """Change the actuator's properties, noting what they were."""
        for name, value in values.items():
            array = getattr(self.valves, name)
            self._kept.setdefault(name, array[0])
            array[0] = value

    def inject(self) -> None:
        self._before = self.position
        self.change()

    def remove(self) -> None:
        for name, value in self._kept.items():
            getattr(self.valves, name)[0] = value

    def change(self) -> None:
        raise NotImplementedError

    def each_tick(self) -> None:
        """What the relays did in one tick acts on the stem in the next one."""
        opened, closed = self._relays
        self._relays = (float(self.rig.relays_s[self.row][0]), float(self.rig.relays_s[self.row][1]))
        moved = self.position - self._before
        if all(FREE < at < 1.0 - FREE for at in (self.position, self._before)):
            self.free_asked += (opened + closed) / self.stroke_s
            self.free_moved += abs(moved)
        self._before = self.position
        self.opened_s += opened
        self.closed_s += closed
        self.rose += max(moved, 0.0)
        self.fell += max(-moved, 0.0)
        spring = not self.rig.heating_point and self.rig.tap.thermostat_open
        if moved * (opened - closed) < 0.0 and not spring:
            self.against += abs(moved)
        self.play = max(self.play, abs(float(self.valves.motor[0]) - self.position))

    @property
    def asked(self) -> float:
        """Strokes that the relays asked for, both ways."""
        return (self.opened_s + self.closed_s) / self.stroke_s

    @property
    def stroke_s(self) -> float:
        """What the actuator's label says."""
        return float(self._kept.get("stroke_s", self.valves.stroke_s[0]))

    @property
    def moved(self) -> float:
        return self.rose + self.fell


class StuckStem(ActuatorFault):
    """`at`: jammed where it stands with None, else found there."""

    def __init__(self, rig: FaultRig, at: float | None = None) -> None:
        super().__init__(rig)
        self._at = at

    def change(self) -> None:
        if self._at is not None:
            self.valves.position[0] = self._at
            self._before = self._at
        self.put(stuck=True)

    def prove(self) -> str:
        return self.seen(
            self.asked > 0.02 and self.moved < 1e-9,
            f"relays asked for {self.asked:.2f} strokes, the stem moved {self.moved:.2f}",
        )


class Reversed(ActuatorFault):
    """restart: the controller loses its power as well, and looks for the end stop the wrong way."""

    def __init__(self, rig: FaultRig, *, restart: bool = False) -> None:
        super().__init__(rig)
        self._restart = restart

    def change(self) -> None:
        self.put(direction=-1.0)
        if self._restart:
            self.rig.bench.cut(self.rig.controller)
            self.rig.bench.power(self.rig.controller)

    def prove(self) -> str:
        net_s, net = self.opened_s - self.closed_s, self.rose - self.fell
        return self.seen(
            self.against > 0.02
            or (abs(net_s) > 1.0 and abs(net) > 0.005 and net_s * net < 0.0)
            or (self.closed_s > 10.0 and self.position > 0.9)
            or (self.opened_s > 10.0 and self.position < 0.1),
            f"relays {net_s:+.0f} s towards open, the stem moved {net:+.2f} to "
            f"{self.position:.2f}, {self.against:.2f} strokes against them",
        )


class Slower(ActuatorFault):
    def __init__(self, rig: FaultRig, times: float) -> None:
        super().__init__(rig)
        self._times = times

    def change(self) -> None:
        self.put(stroke_s=float(self.valves.stroke_s[0]) * self._times)

    def prove(self) -> str:
        share = self.free_moved / self.free_asked if self.free_asked else 1.0
        return self.seen(
            self.free_asked > 0.03 and share < 0.5 + 0.5 / self._times,
            f"between its ends the stem did {self.free_moved:.2f} of {self.free_asked:.2f} strokes",
        )


class Slipping(Slower):
    """Each movement loses a share between motor and spindle."""

    def change(self) -> None:
        self.put(slip=1.0 - 1.0 / self._times)


class Play(ActuatorFault):
    def __init__(self, rig: FaultRig, times: float) -> None:
        super().__init__(rig)
        self._times = times

    def change(self) -> None:
        # the play may be small or none at this plant: five times at least one per cent [estimate]
        self.put(backlash=max(float(self.valves.backlash[0]), 0.01) * self._times)

    def prove(self) -> str:
        return self.seen(
            self.play > 0.015,
            f"the motor stood {self.play:.1%} of the stroke away from the stem",
        )


class Leaking(ActuatorFault):
    """It shows by the flow that the stem's position does not explain, the more the further it is shut."""

    def __init__(self, rig: FaultRig, share: float) -> None:
        super().__init__(rig)
        self._share = share
        self._most = (0.0, 0.0, 0.0)
        """Stem position, kv by the flow and tight kv, m3/h, where they were furthest apart."""

    def change(self) -> None:
        self._tight = self._kv_of_the_stem()
        self._beside = self._resistance() - self._tight**-2.0
        self.put(leakage=self._share)

    def _kv_of_the_stem(self) -> float:
        return float(self.valves.kv_m3_h()[0])

    def _resistance(self) -> float:
        """Pressure over the flow squared: valve and exchanger in series, bar h2/m6; infinite without flow."""
        rig = self.rig
        flow = float(rig.plant.primary_flow_kg_s[0]) if rig.heating_point else rig.tap.primary_kg_s
        flow_m3_h = flow * 3600.0 / rig.tap.density
        bar = float(rig.plant.primary_dp_pa[0]) / 1e5 * 1000.0 / rig.tap.density
        return bar / flow_m3_h**2 if flow_m3_h > 0.0 else math.inf

    def each_tick(self) -> None:
        super().each_tick()
        stem = self._resistance() - self._beside
        if not (stem > 0.0 and math.isfinite(self._beside)):  # no flow when it came: nothing to compare with
            return
        through, tight = stem**-0.5, self._tight_kv()
        if through - tight > self._most[1] - self._most[2]:
            self._most = (self.position, through, tight)

    def _tight_kv(self) -> float:
        """What a sound valve lets through where the stem stands: asked of one that is."""
        sound, here = self._kept["leakage"], float(self.valves.leakage[0])
        self.valves.leakage[0] = sound
        try:
            return self._kv_of_the_stem()
        finally:
            self.valves.leakage[0] = here

    def prove(self) -> str:
        at, through, tight = self._most
        wanted = (self._share - float(self._kept["leakage"])) * (float(self.valves.kvs_m3_h[0]) - tight)
        return self.seen(
            through - tight > max(0.5 * wanted, LEAST_LEAK_M3_H),
            f"by the flow a kv of {through:.3f} m3/h with the stem at {at:.0%}, where {tight:.3f} is tight",
        )


class EndSwitchLost(ActuatorFault):
    """The motor runs on beyond its ends into a spring, and has to come back all the way."""

    def __init__(self, rig: FaultRig, share: float) -> None:
        super().__init__(rig)
        self._share = share
        self._most = 0.0

    def change(self) -> None:
        self.put(overrun=self._share)
        if self.rig.heating_point:  # a valve that controls meets no end; one that starts looks for it
            self.rig.restart()

    def remove(self) -> None:
        super().remove()
        self.valves.motor.clip(0.0, 1.0, out=self.valves.motor)

    def each_tick(self) -> None:
        super().each_tick()
        motor = float(self.valves.motor[0])
        self._most = max(self._most, -motor, motor - 1.0)

    def prove(self) -> str:
        return self.seen(self._most > 0.01, f"the motor ran {self._most:.1%} beyond its end")


class RelayWelded(Injector):
    """One contact of the actuator's relays stays closed; with both closed the motor stands."""

    def __init__(self, rig: FaultRig, *, opens: bool) -> None:
        super().__init__(rig)
        self._opens = opens
        self._was = 0.0
        self._asked = self._most_asked = 0.0
        self._run = 0.0

    def inject(self) -> None:
        self._was = float(self.rig.valves.motor[0])
        self.rig.relay_faults[self.rig.heating_point].append(self._weld)

    def remove(self) -> None:
        self.rig.relay_faults[self.rig.heating_point].remove(self._weld)

    def _weld(self, opened_s: float, closed_s: float) -> tuple[float, float]:
        return (TICK_S, closed_s) if self._opens else (opened_s, TICK_S)

    def each_tick(self) -> None:
        opened, closed = (float(s) for s in self.rig.relays_s[0 if self.rig.heating_point else 1])
        self._asked += (opened - closed) * (1.0 if self._opens else -1.0) / float(self.rig.valves.stroke_s[0])
        self._most_asked = max(self._most_asked, self._asked)
        here = float(self.rig.valves.motor[0])
        self._run = (here - self._was) * (1.0 if self._opens else -1.0)

    def prove(self) -> str:
        at_end = float(self.rig.valves.motor[0]) in (0.0, 1.0)
        back = self._most_asked - self._asked  # asked for away from the end since it was driven there
        way = "open" if self._opens else "closed"
        return self.seen(
            self._run > self._asked + 0.02 or (at_end and back > 0.1),
            f"{self._run:+.2f} strokes towards {way}, asked for were {self._asked:+.2f}"
            + (f", {back:.2f} of them back" if back > 0.1 and self._run <= self._asked + 0.02 else ""),
        )
