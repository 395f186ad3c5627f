"""Valves that do not follow: where they are told to stand against what flow and temperatures answer.

Time speaks against a valve: closed or all but, and water flows; closed, and the circuit stays hot; open, and
nothing flows; opened further, and no more flows. A valve at a stop that the temperature contradicts is driven
there once more, again and again: a reversed motor or a welded relay has left it elsewhere, and after the
repair nobody else would find out. A motor much slower than told is driven on in the same way while a tap
stays cold, and back as far afterwards. It refuses to judge a house that cannot be given what it wants
(pressure or network water missing), a valve put by hand or whose end stop was never seen, and flow that may
be another valve's.
"""

from .fixed_point import FULL_BP
from .heating_circuit import of_circuit

LEAK_FOR_MS = 300_000
HOT_FOR_MS = 600_000
STILL_FOR_MS = 180_000  # flow answers within seconds, and can be looked at between two draw-offs only
AGAIN_MS = 600_000  # so often a valve is driven to its stop once more: six starts an hour at most
LEAK_AGAIN_MS = 150_000
AGAIN_TIMES = 4  # what so many tries have not mended is tried ever more rarely, or a motor would run for ever
AGAIN_MOST_MS = 3_600_000
SHORT_MS = 10_000  # a tap stays so long cold with its valve open: it is driven on, once a draw [estimate]
NEAR_MK = 2_000  # the supply is where it is wanted: the bench's own band
STEADY_MK = 1_000
COLD_MK = 3_000  # beyond what class B sensors and a dead band leave [estimate]
CARRIED_MK = 3_000  # supply above return: heat still comes; two class B sensors differ by 1 K [estimate]
DHW_NEAR_MK = 5_000  # VDI 6003 level I [hil.md A1]
PRIMARY_ABOVE_MK = 5_000  # so much warmer the network must be than what is wanted [estimate]
LOW_DP_MBAR = 300  # the least that keeps a valve in command [domain.md: 0.3-0.5 bar at the critical consumer]
LEAK_L_H = 50
LEAK_SHARE = 20  # of the contract flow
AJAR_BP = 500  # as an exchanger is kept warm
AJAR_SHARE = 5  # of the contract flow: valves so far open pass a tenth of theirs at most [estimate]
BETTER_TIMES = 4  # once told, a valve that follows is believed so much sooner [estimate]
STILL_L_H = 6  # below what the smallest meters count [estimate]
OPEN_BP = 2_000  # play and a slow motor leave nothing of less [estimate]
FURTHER_BP = 2_500  # so far opened, a linear valve beside its exchanger passes a sixth more [estimate]
TAP_L_H = 60


class Suspicion:
    """Time that speaks against a valve. told: for_ms of it, until a quarter as much has spoken for it."""

    def __init__(self, for_ms):
        self._for_ms = for_ms
        self._ms = 0
        self.told = False

    def step(self, against, dt_ms):
        """against: whether this period speaks against the valve; None = nothing can be judged in it."""
        if against is None:
            return
        if against:
            self._ms = min(self._ms + dt_ms, self._for_ms)
            if self._ms == self._for_ms:
                self.told = True
        else:
            self._ms = max(self._ms - (BETTER_TIMES * dt_ms if self.told else dt_ms), 0)
            if not self._ms:
                self.told = False


def again_ms(base_ms, tries):
    """Return how long to wait before the next try."""
    while tries >= AGAIN_TIMES and base_ms < AGAIN_MOST_MS:
        base_ms *= 2
        tries -= 1
    return min(base_ms, AGAIN_MOST_MS)


class CircuitValve:
    """The valve of a heating circuit. others: the valves whose flow the house's flow holds as well."""

    def __init__(self, sensors, circuit, number, others):
        self._value = sensors.value
        self._return_at = sensors.place(of_circuit("secondary_return_temp_c", number))
        self._circuit = circuit
        self._others = others
        self._hot = Suspicion(HOT_FOR_MS)
        self._still = Suspicion(STILL_FOR_MS)
        self._wrong_ms = self._tries = 0
        self.hot = False  # closed and hot now: what flows is this valve's
        self._steady_bp = FULL_BP  # where the supply was right, and what flowed there
        self._steady_l_h = self._steady_mbar = 0

    @property
    def told(self):
        return self._hot.told or self._still.told

    def step(self, flow_l_h, dp_mbar, primary_mc, dt_ms):
        """flow_l_h: of the house. dp_mbar: None where it is unknown or too low for any judgement."""
        circuit = self._circuit
        valve = circuit.valve
        supply_mc = circuit.supply_mc
        if supply_mc is None or not valve.synced or circuit.manual_bp is not None or not circuit.pump.on:
            self._wrong_ms = 0
            self.hot = False
            return
        missing_mk = circuit.setpoint_mc - supply_mc
        near = -NEAR_MK <= missing_mk <= NEAR_MK
        position_bp = valve.position_bp
        hot = still = wrong = None  # between its stops nothing is wrong and nothing right
        if near:
            hot = still = wrong = False
            self._tries = 0
        elif position_bp == 0:
            return_mc = self._value[self._return_at]
            if return_mc is not None:
                # a closed valve lets the supply fall to the return within minutes, however warm the house is
                hot = wrong = missing_mk < -NEAR_MK and supply_mc - return_mc > CARRIED_MK
        if primary_mc is not None and primary_mc - circuit.setpoint_mc > PRIMARY_ABOVE_MK:
            if missing_mk > COLD_MK:
                if position_bp == FULL_BP:
                    wrong = True
                if dp_mbar is not None and flow_l_h is not None:
                    still = self._nothing_more(position_bp, flow_l_h, dp_mbar)
            elif -STEADY_MK < missing_mk < STEADY_MK and flow_l_h is not None and self._alone():
                self._steady_bp, self._steady_l_h, self._steady_mbar = position_bp, flow_l_h, dp_mbar or 0
        self.hot = bool(hot)
        self._hot.step(hot, dt_ms)
        self._still.step(still, dt_ms)
        if wrong is not None:  # a limiter that bites between two draw-offs would else begin the time anew
            self._wrong_ms = self._wrong_ms + dt_ms if wrong else 0
        if self._wrong_ms >= again_ms(AGAIN_MS, self._tries):
            self._wrong_ms = 0
            self._tries += 1
            valve.reassure()

    def _alone(self):
        for valve in self._others:  # noqa: SIM110  a generator would be allocated in every step
            if valve.position_bp or not valve.synced:
                return False
        return True

    def _nothing_more(self, position_bp, flow_l_h, dp_mbar):
        """Whether an opening valve passes nothing, or no more than before it opened; None = cannot tell."""
        if position_bp >= OPEN_BP and flow_l_h <= STILL_L_H:
            return True
        steady_l_h = self._steady_l_h
        if position_bp < self._steady_bp + FURTHER_BP or steady_l_h < 4 * STILL_L_H or not self._alone():
            return None
        # less than before is dirt or air: that the valve has not made
        return (
            7 * steady_l_h <= 10 * flow_l_h <= 11 * steady_l_h
            and 9 * self._steady_mbar <= 10 * dp_mbar <= 11 * self._steady_mbar
        )


class Following:
    """All valves of a substation. step() says whether one of them does not follow."""

    def __init__(self, limits, sensors, circuits, dhw, valves):
        self._limits = limits
        self._value = sensors.value
        self._primary_at = sensors.place("primary_supply_temp_c")
        self._drawn_at = sensors.place("dhw_flow_m3_h")
        self._dp_at = sensors.place("primary_dp_bar")
        self._dhw = dhw
        self._valves = valves
        self._circuits = [
            CircuitValve(
                sensors, circuits[i], i, [valve for valve in valves if valve is not circuits[i].valve]
            )
            for i in range(len(circuits))
        ]
        self._leak = Suspicion(LEAK_FOR_MS)
        self._tap = Suspicion(STILL_FOR_MS)
        self._leak_ms = self._leak_tries = 0
        self._short_ms = 0
        self._driven_on = False  # beyond where the hot water's valve is taken to stand

    def step(self, dt_ms):
        """Judge one period; return whether it is to be told."""
        flow_l_h = self._limits.flow_now_l_h()
        dp_mbar = self._value[self._dp_at]
        primary_mc = self._value[self._primary_at]
        if dp_mbar is not None and dp_mbar <= LOW_DP_MBAR:  # whatever is open, nothing more can come
            dp_mbar = primary_mc = None
        told = elsewhere = False
        for circuit in self._circuits:
            circuit.step(flow_l_h, dp_mbar, primary_mc, dt_ms)
            told = told or circuit.told
            elsewhere = elsewhere or circuit.hot
        # a leak seen through a circuit that knows its fault would stay told until all valves close again
        leak = None if elsewhere else self._leaks(flow_l_h)
        self._leak.step(leak, dt_ms)
        if not self._leak.told:
            self._leak_tries = 0
        if leak is not None:  # draw-offs would otherwise begin the time anew, again and again
            self._leak_ms = self._leak_ms + dt_ms if leak else 0
            if self._leak_ms >= again_ms(LEAK_AGAIN_MS, self._leak_tries):
                self._leak_ms = 0
                self._leak_tries += 1
                for valve in self._valves:
                    valve.reassure()
        told = told or self._leak.told
        if self._dhw is not None:
            self._tap.step(self._tap_astray(flow_l_h, dp_mbar, primary_mc), dt_ms)
            self._drive_on(dp_mbar, primary_mc, dt_ms)
            told = told or self._tap.told
        return told

    def _leaks(self, flow_l_h):
        """Whether all are closed for sure, or all but, yet more flows than that can pass."""
        if flow_l_h is None:
            return None
        share = LEAK_SHARE
        for valve in self._valves:
            position_bp = valve.position_bp
            if position_bp > AJAR_BP or not valve.synced:
                return None
            if position_bp:
                share = AJAR_SHARE
        return flow_l_h > max(LEAK_L_H, self._limits.contract_l_h // share)

    def _drive_on(self, dp_mbar, primary_mc, dt_ms):
        """Open on while a tap stays cold behind an open valve, and close as much longer afterwards."""
        dhw = self._dhw
        valve = dhw.valve
        if self._driven_on:
            if valve.position_bp == 0:
                self._driven_on = False
                valve.reassure()
            return
        supply_mc = dhw.supply_mc
        short = (
            dhw.active and valve.synced and valve.position_bp == FULL_BP and dhw.manual_bp is None
            and supply_mc is not None and dhw.setpoint_mc() - supply_mc > DHW_NEAR_MK
            and dp_mbar is not None and primary_mc is not None
            and primary_mc - dhw.setpoint_mc() > PRIMARY_ABOVE_MK
        )  # fmt: skip
        self._short_ms = self._short_ms + dt_ms if short else 0
        if self._short_ms >= SHORT_MS:
            self._short_ms = 0
            self._driven_on = True
            valve.reassure()

    def _tap_astray(self, flow_l_h, dp_mbar, primary_mc):
        """Whether hot water is drawn cold and nothing flows, or stays hot with its valve closed."""
        dhw = self._dhw
        supply_mc = dhw.supply_mc
        valve = dhw.valve
        if supply_mc is None or dhw.manual_bp is not None or not valve.synced:
            return None
        missing_mk = dhw.setpoint_mc() - supply_mc
        position_bp = valve.position_bp
        if position_bp == 0:
            drawn_l_h = self._value[self._drawn_at]
            if drawn_l_h is None or drawn_l_h < TAP_L_H or missing_mk >= -DHW_NEAR_MK:
                return None
            return True
        if not dhw.active:
            return None
        if -DHW_NEAR_MK <= missing_mk <= DHW_NEAR_MK:
            return False
        if (
            missing_mk < 0
            or position_bp < OPEN_BP
            or flow_l_h is None
            or dp_mbar is None
            or primary_mc is None
            or primary_mc - dhw.setpoint_mc() < PRIMARY_ABOVE_MK
        ):
            return None
        return flow_l_h <= STILL_L_H
