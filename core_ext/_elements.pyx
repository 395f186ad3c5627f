# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Turns the columns that change from tick to tick into link coefficients, without allocating.

Each class holds the columns of one table and the kernel they end in; `refresh` fills its coefficients and
returns the first row whose values have no meaning, or FINE, or RELAY when a link now has a limit that the
kernel was not laid out for. It never decides what to do about either, and it allocates nothing.
"""

from libc.math cimport M_PI, fmax, isfinite, isnan, pow, sqrt
from libc.stdint cimport int8_t, int32_t

from ._newton cimport (
    Net, Newton, forget_laws, has_quadratic, put_cold, put_limits, put_other, put_pressure, put_quadratic,
)

# below this drop a quadratic law is linear (Pa); a tenth of the certified tolerance of 1e-9 m
cdef double LINEAR_BELOW_PA = 1e-6
# drop for which a quadratic element's cold flow is chosen (Pa); only the number of steps depends on it
cdef double COLD_DROP_PA = 2e5
# kv and opening below this are shut: 1e-9 m3/h passes 0.3 mg/s at 1 bar
cdef double SHUT = 1e-9
# inherent rangeability of an equal-percentage valve: own estimate, the usual catalogue value
cdef double PERCENTAGE_RANGE = 50.0
# a valve of no resistance would have no law: 1 Pa at 1 t/s is far below any tolerance, Pa/(kg/s)2
cdef double LEAST_RESISTANCE = 1e-6
# with EPANET's constants less, as EPANET knows no resistance of a check valve beside its pipe's
cdef double LEAST_CHECK_RESISTANCE = 1e-8
# flow up to which a linear law is linear (kg/s)
cdef double ALWAYS = 1e9
cdef double INFINITE = float("inf")


RANGEABILITY = PERCENTAGE_RANGE


cdef inline void quadratic(Net* net, int32_t e, double k) noexcept nogil:
    put_quadratic(net, e, k, sqrt(LINEAR_BELOW_PA / k), sqrt(COLD_DROP_PA / k))


cdef inline double kv_law(double kv, double density) noexcept nogil:
    # dp = 1e5 3600^2 m^2 / (1000 rho kv^2)
    return 1e5 * 3600.0 * 3600.0 / (1000.0 * density * kv * kv)


cdef class Laws:
    """Coefficients of one table."""

    cdef Py_ssize_t fill(self) noexcept nogil:
        return FINE

    def refresh(self):
        """Fill the coefficients; the first bad row, FINE or RELAY."""
        return self.fill()


cdef class ConsumerLaws(Laws):
    """mode: 0 flow, 1 valve, 2 heat."""

    cdef Py_ssize_t at
    cdef Newton kernel
    cdef const int8_t[::1] mode
    cdef const double[::1] flow
    cdef const double[::1] kv
    cdef const double[::1] heat
    cdef const double[::1] supply
    cdef const double[::1] back
    cdef const double[::1] most
    cdef double density
    cdef double cp

    def __init__(
        self, Py_ssize_t at, Newton kernel, mode, flow, kv, heat, supply, back, most,
        double density, double cp,
    ):
        self.at = at
        self.kernel = kernel
        self.mode = mode
        self.flow = flow
        self.kv = kv
        self.heat = heat
        self.supply = supply
        self.back = back
        self.most = most
        self.density = density
        self.cp = cp

    cdef Py_ssize_t fill(self) noexcept nogil:
        if self.mode.shape[0] == 0:
            return FINE
        # plain pointers: what they point to is read again after every store, the views themselves need not be
        cdef const int8_t* mode = &self.mode[0]
        cdef const double* flow = &self.flow[0]
        cdef const double* kv = &self.kv[0]
        cdef const double* limit = &self.most[0]
        cdef Net* net = &self.kernel.net
        cdef double density = self.density
        # drop = k m^2 with k = law/kv^2, so the roots of what is divided by k are multiples of kv
        cdef double law = kv_law(1.0, density)
        cdef double linear_below = sqrt(LINEAR_BELOW_PA / law), cold = sqrt(COLD_DROP_PA / law)
        cdef Py_ssize_t row, rows = self.mode.shape[0]
        cdef int32_t e
        cdef double m, most, k
        for row in range(rows):
            e = <int32_t> (self.at + row)
            most = INFINITE
            if not isnan(limit[row]):
                if limit[row] < 0.0:
                    return row
                most = limit[row]
            net.open[e] = 1
            if mode[row] == 1:
                if not isfinite(kv[row]) or kv[row] < 0.0:
                    return row
                if kv[row] < SHUT or most <= 0.0:
                    net.open[e] = 0
                    put_quadratic(net, e, law, linear_below, cold)
                    continue
                k = kv_law(kv[row], density)
                # from one tick to the next most stay: a link's coefficients lie in three places
                if has_quadratic(net, e, k, -INFINITE, most):
                    continue
                put_quadratic(net, e, k, linear_below * kv[row], cold * kv[row])
                if not put_limits(net, e, -INFINITE, most):
                    return RELAY
                continue
            if mode[row] == 0:
                m = flow[row]
            else:
                if not self.supply[row] > self.back[row]:
                    return row
                m = self.heat[row] / (self.cp * (self.supply[row] - self.back[row]))
            if not isfinite(m):
                return row
            net.imposed[~net.slot[e]] = m if m < most else most
        return FINE


cdef class ValveLaws(Laws):
    """code: 0 throttle, 1 check, 2 flow limit, 3 loss curve, 4 regulator of a pressure.

    loss_factor multiplies loss coefficients (1, or EPANET's rounding of it). open_slope is the slope of the
    linear law that EPANET has for an open valve without loss, Pa s/kg; 0 where its rules are not followed.
    """

    cdef Py_ssize_t at
    cdef Newton kernel
    cdef const int8_t[::1] code
    cdef const int8_t[::1] percentage
    cdef const double[::1] kv
    cdef const double[::1] loss
    cdef const double[::1] diameter
    cdef const double[::1] opening
    cdef const double[::1] setting
    cdef double density
    cdef double loss_factor
    cdef double open_slope

    def __init__(
        self, Py_ssize_t at, Newton kernel, code, percentage, kv, loss, diameter,
        opening, setting, double density, double loss_factor, double open_slope,
    ):
        self.at = at
        self.kernel = kernel
        self.code = code
        self.percentage = percentage
        self.kv = kv
        self.loss = loss
        self.diameter = diameter
        self.opening = opening
        self.setting = setting
        self.density = density
        self.loss_factor = loss_factor
        self.open_slope = open_slope

    cdef Py_ssize_t fill(self) noexcept nogil:
        cdef Py_ssize_t row
        cdef int32_t e
        cdef double k, f, area, high
        cdef Net* net = &self.kernel.net
        for row in range(self.code.shape[0]):
            e = <int32_t> (self.at + row)
            f = self.opening[row]
            if not (f >= 0.0 and f <= 1.0):
                return row
            # a regulator is opened and shut by the kernel, within what its opening allows
            if self.code[row] != 4:
                net.open[e] = f >= SHUT
            high = INFINITE
            if self.code[row] == 2:
                if not (self.setting[row] >= 0.0 and isfinite(self.setting[row])):
                    return row
                high = self.setting[row]
                if self.setting[row] <= 0.0:
                    net.open[e] = 0
            if self.code[row] == 3:
                continue
            if self.code[row] == 4 and isnan(self.kv[row]) and not self.loss[row] > 0.0:
                k = 0.0
            elif isnan(self.kv[row]):
                if not (isfinite(self.loss[row]) and self.loss[row] >= 0.0):
                    return row
                area = M_PI * self.diameter[row] * self.diameter[row] / 4.0
                k = self.loss_factor * self.loss[row] / (2.0 * self.density * area * area)
            else:
                if not (isfinite(self.kv[row]) and self.kv[row] >= 0.0):
                    return row
                if self.kv[row] < SHUT:
                    if self.code[row] == 4:
                        return row
                    net.open[e] = 0
                    continue
                k = kv_law(self.kv[row], self.density)
            if f < SHUT:
                continue
            if self.percentage[row]:
                f = pow(PERCENTAGE_RANGE, f - 1.0)
            k = k / (f * f)
            if self.open_slope > 0.0 and self.code[row] == 1:
                quadratic(net, e, fmax(k, LEAST_CHECK_RESISTANCE))
            elif self.open_slope > 0.0 and k == 0.0:
                put_quadratic(net, e, self.open_slope / ALWAYS, ALWAYS, sqrt(COLD_DROP_PA / LEAST_RESISTANCE))
            else:
                quadratic(net, e, fmax(k, LEAST_RESISTANCE))
            if self.code[row] == 4:
                continue
            if not put_limits(net, e, 0.0 if self.code[row] == 1 else -INFINITE, high):
                return RELAY
        return FINE


cdef class PumpLaws(Laws):
    """code: 0 fixed gain, 1 power law, 2 points. law: coefficients at speed 1, the last is the cold flow."""

    cdef Py_ssize_t at
    cdef Newton kernel
    cdef const int8_t[::1] code
    cdef const double[:, ::1] law
    cdef const double[::1] speed
    cdef const double[::1] fixed

    def __init__(
        self, Py_ssize_t at, Newton kernel, code, law, speed, fixed,
    ):
        self.at = at
        self.kernel = kernel
        self.code = code
        self.law = law
        self.speed = speed
        self.fixed = fixed

    cdef Py_ssize_t fill(self) noexcept nogil:
        cdef Py_ssize_t row
        cdef int32_t e
        cdef double w
        cdef Net* net = &self.kernel.net
        for row in range(self.code.shape[0]):
            e = <int32_t> (self.at + row)
            w = self.speed[row]
            if not (w >= 0.0 and isfinite(w)):
                return row
            net.open[e] = w > 0.0
            if self.code[row] == 0:
                if not isfinite(self.fixed[row]):
                    return row
                put_other(net, e, 0, w * w * self.fixed[row])
                continue
            put_limits(net, e, 0.0, INFINITE)
            put_cold(net, e, w * self.law[row, 3])
            if w == 0.0:
                continue
            if self.code[row] == 1:
                put_other(net, e, 0, w * w * self.law[row, 0])
                put_other(net, e, 1, self.law[row, 1] * pow(w, 2.0 - self.law[row, 2]))
                put_other(net, e, 2, self.law[row, 2])
            else:
                put_other(net, e, 0, self.law[row, 0])
                put_other(net, e, 1, self.law[row, 1])
                put_other(net, e, 2, w)
                put_other(net, e, 3, -1.0)
        return FINE


cdef class SourceLaws(Laws):
    """code: 0 dp, 1 mass flow, 2 both pressures. Nodes are places of the kernel."""

    cdef Py_ssize_t at
    cdef Newton kernel
    cdef const int8_t[::1] code
    cdef const double[::1] dp
    cdef const double[::1] flow
    cdef const double[::1] supply_pressure
    cdef const double[::1] return_pressure
    cdef const int32_t[::1] supply_place
    cdef const int32_t[::1] return_place

    def __init__(
        self, Py_ssize_t at, Newton kernel, code, dp, flow, supply_pressure, return_pressure, supply_place,
        return_place,
    ):
        self.at = at
        self.kernel = kernel
        self.code = code
        self.dp = dp
        self.flow = flow
        self.supply_pressure = supply_pressure
        self.return_pressure = return_pressure
        self.supply_place = supply_place
        self.return_place = return_place

    cdef Py_ssize_t fill(self) noexcept nogil:
        cdef Py_ssize_t row
        cdef int32_t e
        cdef Net* net = &self.kernel.net
        for row in range(self.code.shape[0]):
            e = <int32_t> (self.at + row)
            if self.code[row] == 0:
                if not isfinite(self.dp[row]):
                    return row
                put_other(net, e, 0, self.dp[row])
            elif self.code[row] == 1:
                if not isfinite(self.flow[row]):
                    return row
                net.imposed[~net.slot[e]] = self.flow[row]
            else:
                if not isfinite(self.supply_pressure[row]):
                    return row
                put_pressure(net, self.supply_place[row], self.supply_pressure[row])
            if not isnan(self.return_pressure[row]):
                put_pressure(net, self.return_place[row], self.return_pressure[row])
            elif self.code[row] == 2:
                return row
        return FINE


cdef class NodeValues(Laws):
    """Scatter node columns to their places; nodes without fixed pressure keep their solution."""

    cdef const int32_t[::1] place
    cdef Newton kernel
    cdef const double[::1] mass_injection
    cdef const double[::1] fixed_pressure

    def __init__(self, place, Newton kernel, mass_injection, fixed_pressure):
        self.place = place
        self.kernel = kernel
        self.mass_injection = mass_injection
        self.fixed_pressure = fixed_pressure

    cdef Py_ssize_t fill(self) noexcept nogil:
        cdef Py_ssize_t row
        cdef Net* net = &self.kernel.net
        for row in range(self.place.shape[0]):
            if not isfinite(self.mass_injection[row]):
                return row
            net.injection[self.place[row]] = self.mass_injection[row]
            if not isnan(self.fixed_pressure[row]):
                if not isfinite(self.fixed_pressure[row]):
                    return row
                put_pressure(net, self.place[row], self.fixed_pressure[row])
        return FINE


cdef class OpenFlags(Laws):
    """Open flags of pipes."""

    cdef Py_ssize_t at
    cdef Newton kernel
    cdef const int8_t[::1] column

    def __init__(self, Py_ssize_t at, Newton kernel, column):
        self.at = at
        self.kernel = kernel
        self.column = column

    cdef Py_ssize_t fill(self) noexcept nogil:
        cdef Py_ssize_t row
        cdef Net* net = &self.kernel.net
        for row in range(self.column.shape[0]):
            if self.column[row] != 0 and self.column[row] != 1:
                return row
            net.open[self.at + row] = self.column[row]
        return FINE


cdef class Ticker:
    """A control tick in one call: fill the coefficients of some tables, then solve from the last solution.

    laws: of the tables whose columns may have changed. The other arrays are what the solution is written to,
    kept and not copied: flow by link; pressure, inflow and known by node.
    """

    cdef Newton kernel
    cdef tuple laws
    cdef double[::1] flow
    cdef double[::1] pressure
    cdef double[::1] inflow
    cdef int8_t[::1] known

    def __init__(self, Newton kernel, tuple laws, flow, pressure, inflow, known):
        self.kernel = kernel
        self.laws = laws
        self.flow = flow
        self.pressure = pressure
        self.inflow = inflow
        self.known = known

    def run(self, double tol_pa, double tol_kg_s, double flow_tol, int most):
        """Status of the solve, as Newton.run has it; NOT_FILLED, and nothing solved, where a table's values
        have no meaning or do not fit the layout: its own refresh then says which. Releases the GIL.
        """
        cdef Laws laws
        cdef Newton kernel = self.kernel
        cdef int status
        for laws in self.laws:
            if laws.fill() != FINE:
                return NOT_FILLED
        with nogil:
            status = kernel.solve_into(
                True, tol_pa, tol_kg_s, flow_tol, most, False,
                self.flow, self.pressure, self.inflow, self.known,
            )
        return status


def put_pipes(Py_ssize_t at, Newton kernel, const double[:, ::1] coefficients, const double[::1] cold):
    """Put the four coefficients (pipes, 4) and first flows of pipes, whose links begin at `at`."""
    cdef Py_ssize_t row, field
    cdef int32_t slot, block
    cdef double* target
    cdef Net* net = &kernel.net
    forget_laws(net)
    for row in range(cold.shape[0]):
        put_cold(net, <int32_t> (at + row), cold[row])
        slot = net.slot[at + row] >> 1
        block = slot >> 3
        if block >= net.peeled_pipe_at:
            block -= net.peeled_pipe_shift
        target = net.pipe + 32 * <Py_ssize_t> block + (slot & 7)
        for field in range(4):
            target[8 * field] = coefficients[row, field]
