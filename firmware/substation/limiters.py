"""What may reduce heat: flow, return and heat limits, difference of returns, the tariff's window.

`Limits` says what is allowed to the whole substation now; `ValveLimiter` turns that into the widest position
of one valve. It refuses to act on a sensor that is lost: heat comes before tariff.

Which limit wins is not a matter of order: the smallest position does. The return limit and the limit of the
difference are suspended while legionella are being killed, and a warmer return is allowed while
DHW takes heat [firmware.md R4, R9, R11].
"""

from .doubt import COLDER_MK
from .energy import heat_w
from .fixed_point import FULL_BP
from .heating_curve import line
from .pi_controller import PI
from .precedence import CAPACITY, DIFFERENCE, FLOW, HEAT, NO_LIMITER, RETURN
from .sensors import NO_PLACE

RETURN_BAND_MK = 60_000  # slower and softer than the supply controller it overrules [estimate]
RETURN_INTEGRAL_MS = 180_000
# Flow and heat follow the valve within a period, so the gain must stay far below one, whatever the house, its
# exchanger and the network's pressure. The error is therefore the travel that would put the limit right if
# what passes grew with the opening; one stroke of it moves the valve by a fifth. A valve of equal percentage
# is up to four times steeper.
TRAVEL_BAND_BP = 5 * FULL_BP
FLOW_INTEGRAL_MS = 30_000
LEAST_OPEN_BP = 500  # an opening below this tells nothing of the valve's slope [estimate]
MOST_TIMES = 8  # nor does it tell how far to go when next to nothing passes
CREEP_FOR_MS = 60_000  # so long may less than the least flow pass before the valve closes [estimate]
CREEP_RELEASE_BP = 500  # and so far must the controller want it open again [estimate]
OUTDOOR_UNKNOWN_MC = (
    -40_000
)  # the coldest: a line over the outdoors then allows what it allows at its cold end


class Limits:
    """The limits in force for the whole substation, in integers of fixed_point; None = there is none."""

    def __init__(self, bank, settings, sensors, influences):
        self._bank = bank
        self._value = sensors.value
        self._flow_at = sensors.place("primary_flow_m3_h")
        self._supply_at = sensors.place("primary_supply_temp_c")
        self._return_at = sensors.place("primary_return_temp_c")
        self._outdoor_at = sensors.place("outdoor_temp_c")
        self._flow_ask = influences["primary_flow_limit_sp_m3_h"]
        self._return_ask = influences["primary_return_limit_sp_c"]
        self.contract_l_h = settings.fixed("contract_flow_limit_m3_h")
        self._own_return_mc = settings.fixed("return_limit_temp_c")
        self._dhw_return_mc = settings.option("dhw_return_limit_temp_c")
        self._return_points = settings.points("return_limit_points")
        self._flow_points = settings.points("flow_limit_points")
        self._heat_points = settings.points("heat_limit_points")
        self.contract_w = settings.option("contract_heat_limit_kw")
        self.difference_mk = settings.option("return_difference_limit_k")
        self.least_flow_l_h = settings.option("primary_flow_minimum_m3_h")
        self._heat_point = bank.point("primary_heat_limit_effective_kw")
        self._window = None
        window_w = settings.option("capacity_heat_limit_kw")
        if window_w is not None:  # by itself the window's length, which has a default, is no function
            from .capacity import Window

            self._window = Window(bank, settings.fixed("capacity_window_s") * 1000, window_w)
        self._flow_point = bank.point("primary_flow_m3_h")
        self._flow_l_h = None
        self.meters = None  # heat meters, whose flow goes before the sensor's
        self.heat_now_w = self.heat_w = None
        self.heat_number = HEAT
        self.own_flow_l_h = self.flow_l_h = self.contract_l_h
        self.own_return_mc = self.return_mc = self.dhw_return_mc = self._own_return_mc
        self.contradicted = False  # return warmer than supply: sensors exchanged, or a pipe that stands
        self.suspended = False  # return limits off: legionella are being killed
        self.dhw_takes_ms = 0  # above 0: what comes back is DHW's as well, and tells nothing of heating's

    @property
    def away(self):
        """Whether somebody else's limit, or the way back from it, is in force."""
        return self._flow_ask.away or self._return_ask.away

    def step(self, now_s, dt_ms, spent, dhw_active):
        """Bring the limits up to date; before the valves are moved."""
        value = self._value
        outdoor_mc = value[self._outdoor_at]
        if outdoor_mc is None:
            outdoor_mc = OUTDOOR_UNKNOWN_MC
        flow_l_h = value[self._flow_at]
        if self.meters is not None:
            told_l_h = self.meters.flow_l_h()
            if told_l_h is not None:
                flow_l_h = told_l_h
            if self._flow_at == NO_PLACE:
                self._bank.put(self._flow_point, flow_l_h)
        self._flow_l_h = flow_l_h
        supply_mc = value[self._supply_at]
        return_mc = value[self._return_at]
        self.contradicted = (
            supply_mc is not None and return_mc is not None and supply_mc < return_mc - COLDER_MK
        )
        self.heat_now_w = heat_w(flow_l_h, supply_mc, return_mc)
        flow_l_h = self.contract_l_h
        if self._flow_points:
            flow_l_h = min(flow_l_h, line(self._flow_points, outdoor_mc))
        self.own_flow_l_h = flow_l_h
        self.flow_l_h = self._flow_ask.step(flow_l_h, now_s, dt_ms, spent)
        return_mc = self._own_return_mc
        if self._return_points:
            return_mc = line(self._return_points, outdoor_mc)
        self.own_return_mc = return_mc
        return_mc = self._return_ask.step(return_mc, now_s, dt_ms, spent)
        self.dhw_return_mc = self.own_return_mc
        if dhw_active and self._dhw_return_mc is not None:  # the higher limit rules [firmware.md R11]
            return_mc = max(return_mc, self._dhw_return_mc)
            self.dhw_return_mc = max(self.own_return_mc, self._dhw_return_mc)
        self.return_mc = return_mc
        limit_w = self.contract_w
        if self._heat_points:
            line_w = line(self._heat_points, outdoor_mc)
            limit_w = line_w if limit_w is None else min(limit_w, line_w)
        self.heat_number = HEAT
        if self._window is not None:
            allowed_w = self._window.step(self.heat_now_w, now_s, dt_ms)
            if allowed_w is not None and (limit_w is None or allowed_w < limit_w):
                limit_w = allowed_w
                self.heat_number = CAPACITY
        self.heat_w = limit_w
        self._bank.put(self._heat_point, limit_w)

    def tightened(self, number):
        """Say whether the limiter of this number bites because somebody else asked for it."""
        return (number == FLOW and self.flow_l_h < self.own_flow_l_h) or (
            number == RETURN and self.return_mc < self.own_return_mc
        )

    def flow_now_l_h(self):
        """Return the flow as of the last step, by meter or sensor; None = neither tells."""
        return self._flow_l_h

    def return_now_mc(self):
        """Return the network's return as measured; None = lost, or warmer than what comes in."""
        return None if self.contradicted else self._value[self._return_at]


class ValveLimiter:
    """The controllers that hold one valve back. number: what holds it now.

    valve: with position_bp. own: the device's own limits alone count, not what somebody asked for: no order
    reaches DHW (S5).
    """

    def __init__(self, limits, valve, own=False):
        self._limits = limits
        self._valve = valve
        self._own = own
        self._return_pi = PI(RETURN_BAND_MK, RETURN_INTEGRAL_MS)
        self._flow_pi = PI(TRAVEL_BAND_BP, FLOW_INTEGRAL_MS)
        self._heat_pi = PI(TRAVEL_BAND_BP, FLOW_INTEGRAL_MS)
        self._difference_pi = None
        if limits.difference_mk is not None:
            self._difference_pi = PI(RETURN_BAND_MK, RETURN_INTEGRAL_MS)
        self._creep_ms = 0
        self.standing = False  # what comes back has stood in exchanger and pipe, and tells nothing yet
        self.number = NO_LIMITER

    def off(self):
        """Nobody asks the limiters in this period."""
        self.number = NO_LIMITER

    def position(self, wanted_bp, secondary_return_mc, dt_ms):
        """Return the widest position allowed, at most wanted_bp, and set number."""
        limits = self._limits
        target_bp = wanted_bp
        number = NO_LIMITER
        return_mc = limits.return_now_mc()
        if return_mc is not None and not limits.suspended and not self.standing:
            room_mk = (limits.dhw_return_mc if self._own else limits.return_mc) - return_mc
            if room_mk < 0 and limits.dhw_takes_ms > 0 and not self._own:
                room_mk = 0  # heating is held as it was: that DHW sends warm water back does not shut it
            bp = self._limit(self._return_pi, room_mk, RETURN, wanted_bp, dt_ms)
            # A valve that lets nothing through does not make the return warm, and closed it would never find
            # out: a network pipe that stands, or DHW kept warm, would keep the house cold.
            bp = max(bp, LEAST_OPEN_BP)
            if bp < target_bp:
                target_bp = bp
                number = RETURN
            told = secondary_return_mc is not None and limits.dhw_takes_ms <= 0
            if told and self._difference_pi is not None:
                room_mk = limits.difference_mk - (return_mc - secondary_return_mc)
                bp = self._limit(self._difference_pi, room_mk, DIFFERENCE, wanted_bp, dt_ms)
                bp = max(bp, LEAST_OPEN_BP)
                if bp < target_bp:
                    target_bp = bp
                    number = DIFFERENCE
        flow_l_h = limits.flow_now_l_h()
        if flow_l_h is not None:
            limit_l_h = limits.own_flow_l_h if self._own else limits.flow_l_h
            bp = self._limit(self._flow_pi, self._travel_bp(limit_l_h, flow_l_h), FLOW, wanted_bp, dt_ms)
            if bp < target_bp:
                target_bp = bp
                number = FLOW
        heat_now_w = limits.heat_now_w
        if limits.heat_w is not None and heat_now_w is not None:
            bp = self._limit(
                self._heat_pi, self._travel_bp(limits.heat_w, heat_now_w), HEAT, wanted_bp, dt_ms
            )
            if bp < target_bp:
                target_bp = bp
                number = limits.heat_number
        self.number = number
        if limits.least_flow_l_h is not None and flow_l_h is not None:
            return self._no_creeping(target_bp, flow_l_h, number, dt_ms)
        return target_bp

    def _travel_bp(self, limit, now):
        """Return by how much the valve should open (below 0: close) for what passes to become the limit."""
        open_bp = max(LEAST_OPEN_BP, self._valve.position_bp)
        least = max(now, limit // MOST_TIMES, 1)
        # (limit - now) x open // least, by parts that stay small integers: 108 kW would leave them at once
        times = (limit - now) // least
        rest = limit - now - times * least
        hundreds = open_bp // 100
        more = rest * hundreds // least
        rest_bp = (rest * hundreds - more * least) * 100 + rest * (open_bp - hundreds * 100)
        return times * open_bp + more * 100 + rest_bp // least

    def _limit(self, limiter_pi, room, number, wanted_bp, dt_ms):
        """Return the position a limiter allows; one that has room and does not act only stands ready.

        One that begins to bite begins where the valve is wanted now: what it knew when it was last asked,
        before a reset, a lost sensor or a rest, would shut the valve at once.
        """
        acting = self.number
        if acting == CAPACITY:
            acting = HEAT
        if acting != number:
            limiter_pi.track(wanted_bp, 0)
            if room > 0:
                return FULL_BP
        return limiter_pi.step(room, dt_ms)

    def _no_creeping(self, target_bp, flow_l_h, number, dt_ms):
        """Close a valve that passes less than the meter can count; a limiter that bites goes before."""
        if self._creep_ms >= CREEP_FOR_MS:  # closed: until there is something to open for
            if target_bp < CREEP_RELEASE_BP and number == NO_LIMITER:
                return 0
            self._creep_ms = 0
        elif (
            number == NO_LIMITER
            and 0 < target_bp < CREEP_RELEASE_BP
            and flow_l_h < self._limits.least_flow_l_h
        ):
            self._creep_ms += dt_ms
        else:
            self._creep_ms = 0
        return target_bp
