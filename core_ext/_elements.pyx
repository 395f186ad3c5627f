# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Turns the columns that change from tick to tick into link coefficients, without allocating.

Each class holds the columns of one table and the slices of the solver's arrays they end in; `refresh` fills
the latter and returns the first row whose values have no meaning, or -1. It never decides what to do about
that row, and it allocates nothing.
"""

from libc.math cimport M_PI, isfinite, isnan, pow, sqrt
from libc.stdint cimport int8_t, int32_t

# below this drop a quadratic law is linear (Pa); a tenth of the certified tolerance of 1e-9 m
cdef double LINEAR_BELOW_PA = 1e-6
# drop for which a quadratic element's cold flow is chosen (Pa); only the number of steps depends on it
cdef double COLD_DROP_PA = 2e4
# kv and opening below this are shut: 1e-9 m3/h passes 0.3 mg/s at 1 bar
cdef double SHUT = 1e-9
# inherent rangeability of an equal-percentage valve: own estimate, the usual catalogue value
cdef double RANGEABILITY = 50.0
cdef double INFINITE = float("inf")


cdef inline void quadratic(double[:, ::1] par, double[::1] cold, Py_ssize_t e, double k) noexcept nogil:
    par[e, 0] = k
    par[e, 1] = sqrt(LINEAR_BELOW_PA / k)
    cold[e] = sqrt(COLD_DROP_PA / k)


cdef inline double kv_law(double kv, double density) noexcept nogil:
    # dp = 1e5 3600^2 m^2 / (1000 rho kv^2)
    return 1e5 * 3600.0 * 3600.0 / (1000.0 * density * kv * kv)


cdef class ConsumerLaws:
    """mode: 0 flow, 1 valve, 2 heat."""

    cdef Py_ssize_t at
    cdef double[:, ::1] par
    cdef double[::1] low
    cdef double[::1] high
    cdef double[::1] cold
    cdef int8_t[::1] is_open
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
        self, Py_ssize_t at, par, low, high, cold, is_open, mode, flow, kv, heat, supply, back, most,
        double density, double cp,
    ):
        self.at = at
        self.par = par
        self.low = low
        self.high = high
        self.cold = cold
        self.is_open = is_open
        self.mode = mode
        self.flow = flow
        self.kv = kv
        self.heat = heat
        self.supply = supply
        self.back = back
        self.most = most
        self.density = density
        self.cp = cp

    cpdef Py_ssize_t refresh(self) noexcept:
        cdef Py_ssize_t row, e
        cdef double m
        for row in range(self.mode.shape[0]):
            e = self.at + row
            self.high[e] = INFINITE
            if not isnan(self.most[row]):
                if self.most[row] < 0.0:
                    return row
                self.high[e] = self.most[row]
            self.is_open[e] = 1
            if self.mode[row] == 1:
                if not isfinite(self.kv[row]) or self.kv[row] < 0.0:
                    return row
                if self.kv[row] < SHUT or self.high[e] <= 0.0:
                    self.is_open[e] = 0
                    quadratic(self.par, self.cold, e, kv_law(1.0, self.density))
                else:
                    quadratic(self.par, self.cold, e, kv_law(self.kv[row], self.density))
                continue
            if self.mode[row] == 0:
                m = self.flow[row]
            else:
                if not self.supply[row] > self.back[row]:
                    return row
                m = self.heat[row] / (self.cp * (self.supply[row] - self.back[row]))
            if not isfinite(m):
                return row
            self.par[e, 0] = m if m < self.high[e] else self.high[e]
        return -1


cdef class ValveLaws:
    """code: 0 throttle, 1 check, 2 flow limit, 3 loss curve.

    loss_factor multiplies loss coefficients (1, or EPANET's rounding of it).
    """

    cdef Py_ssize_t at
    cdef double[:, ::1] par
    cdef double[::1] low
    cdef double[::1] high
    cdef double[::1] cold
    cdef int8_t[::1] is_open
    cdef const int8_t[::1] code
    cdef const int8_t[::1] percentage
    cdef const double[::1] kv
    cdef const double[::1] loss
    cdef const double[::1] diameter
    cdef const double[::1] opening
    cdef const double[::1] setting
    cdef double density
    cdef double loss_factor

    def __init__(
        self, Py_ssize_t at, par, low, high, cold, is_open, code, percentage, kv, loss, diameter,
        opening, setting, double density, double loss_factor,
    ):
        self.at = at
        self.par = par
        self.low = low
        self.high = high
        self.cold = cold
        self.is_open = is_open
        self.code = code
        self.percentage = percentage
        self.kv = kv
        self.loss = loss
        self.diameter = diameter
        self.opening = opening
        self.setting = setting
        self.density = density
        self.loss_factor = loss_factor

    cpdef Py_ssize_t refresh(self) noexcept:
        cdef Py_ssize_t row, e
        cdef double k, f, area
        for row in range(self.code.shape[0]):
            e = self.at + row
            f = self.opening[row]
            if not (f >= 0.0 and f <= 1.0):
                return row
            self.is_open[e] = f >= SHUT
            self.low[e] = 0.0 if self.code[row] == 1 else -INFINITE
            self.high[e] = INFINITE
            if self.code[row] == 2:
                if not (self.setting[row] >= 0.0 and isfinite(self.setting[row])):
                    return row
                self.high[e] = self.setting[row]
                if self.setting[row] <= 0.0:
                    self.is_open[e] = 0
            if self.code[row] >= 3:
                continue
            if isnan(self.kv[row]):
                if not (isfinite(self.loss[row]) and self.loss[row] >= 0.0):
                    return row
                area = M_PI * self.diameter[row] * self.diameter[row] / 4.0
                k = self.loss_factor * self.loss[row] / (2.0 * self.density * area * area)
            else:
                if not (isfinite(self.kv[row]) and self.kv[row] >= 0.0):
                    return row
                if self.kv[row] < SHUT:
                    self.is_open[e] = 0
                    continue
                k = kv_law(self.kv[row], self.density)
            if not self.is_open[e]:
                continue
            if self.percentage[row]:
                f = pow(RANGEABILITY, f - 1.0)
            k = k / (f * f)
            # a valve of no resistance would have no law: 1 Pa at 1 t/s is far below any tolerance
            quadratic(self.par, self.cold, e, k if k > 1e-6 else 1e-6)
        return -1


cdef class PumpLaws:
    """code: 0 fixed gain, 1 power law, 2 points. law: coefficients at speed 1, the last is the cold flow."""

    cdef Py_ssize_t at
    cdef double[:, ::1] par
    cdef double[::1] low
    cdef double[::1] high
    cdef double[::1] cold
    cdef int8_t[::1] is_open
    cdef const int8_t[::1] code
    cdef const double[:, ::1] law
    cdef const double[::1] speed
    cdef const double[::1] fixed

    def __init__(
        self, Py_ssize_t at, par, low, high, cold, is_open, code, law, speed, fixed,
    ):
        self.at = at
        self.par = par
        self.low = low
        self.high = high
        self.cold = cold
        self.is_open = is_open
        self.code = code
        self.law = law
        self.speed = speed
        self.fixed = fixed

    cpdef Py_ssize_t refresh(self) noexcept:
        cdef Py_ssize_t row, e
        cdef double w
        for row in range(self.code.shape[0]):
            e = self.at + row
            w = self.speed[row]
            if not (w >= 0.0 and isfinite(w)):
                return row
            self.is_open[e] = w > 0.0
            if self.code[row] == 0:
                if not isfinite(self.fixed[row]):
                    return row
                self.par[e, 0] = w * w * self.fixed[row]
                continue
            self.low[e] = 0.0
            self.cold[e] = w * self.law[row, 3]
            if w == 0.0:
                continue
            if self.code[row] == 1:
                self.par[e, 0] = w * w * self.law[row, 0]
                self.par[e, 1] = self.law[row, 1] * pow(w, 2.0 - self.law[row, 2])
                self.par[e, 2] = self.law[row, 2]
            else:
                self.par[e, 0] = self.law[row, 0]
                self.par[e, 1] = self.law[row, 1]
                self.par[e, 2] = w
                self.par[e, 3] = -1.0
        return -1


cdef class SourceLaws:
    """code: 0 dp, 1 mass flow, 2 both pressures. Nodes are in elimination order."""

    cdef Py_ssize_t at
    cdef double[:, ::1] par
    cdef const int8_t[::1] code
    cdef const double[::1] dp
    cdef const double[::1] flow
    cdef const double[::1] supply_pressure
    cdef const double[::1] return_pressure
    cdef const int32_t[::1] supply_node
    cdef const int32_t[::1] return_node
    cdef double[::1] pressure

    def __init__(
        self, Py_ssize_t at, par, code, dp, flow, supply_pressure, return_pressure, supply_node,
        return_node, pressure,
    ):
        self.at = at
        self.par = par
        self.code = code
        self.dp = dp
        self.flow = flow
        self.supply_pressure = supply_pressure
        self.return_pressure = return_pressure
        self.supply_node = supply_node
        self.return_node = return_node
        self.pressure = pressure

    cpdef Py_ssize_t refresh(self) noexcept:
        cdef Py_ssize_t row, e
        for row in range(self.code.shape[0]):
            e = self.at + row
            if self.code[row] == 0:
                if not isfinite(self.dp[row]):
                    return row
                self.par[e, 0] = self.dp[row]
            elif self.code[row] == 1:
                if not isfinite(self.flow[row]):
                    return row
                self.par[e, 0] = self.flow[row]
            else:
                if not isfinite(self.supply_pressure[row]):
                    return row
                self.pressure[self.supply_node[row]] = self.supply_pressure[row]
            if not isnan(self.return_pressure[row]):
                self.pressure[self.return_node[row]] = self.return_pressure[row]
            elif self.code[row] == 2:
                return row
        return -1


cdef class NodeValues:
    """Scatter node columns into elimination order; nodes without fixed pressure keep their solution."""

    cdef const int32_t[::1] place
    cdef double[::1] injection
    cdef double[::1] pressure
    cdef const double[::1] mass_injection
    cdef const double[::1] fixed_pressure

    def __init__(
        self, place, injection, pressure, mass_injection, fixed_pressure,
    ):
        self.place = place
        self.injection = injection
        self.pressure = pressure
        self.mass_injection = mass_injection
        self.fixed_pressure = fixed_pressure

    cpdef Py_ssize_t refresh(self) noexcept:
        cdef Py_ssize_t row
        for row in range(self.place.shape[0]):
            if not isfinite(self.mass_injection[row]):
                return row
            self.injection[self.place[row]] = self.mass_injection[row]
            if not isnan(self.fixed_pressure[row]):
                if not isfinite(self.fixed_pressure[row]):
                    return row
                self.pressure[self.place[row]] = self.fixed_pressure[row]
        return -1


cdef class OpenFlags:
    """Open flags of pipes."""

    cdef Py_ssize_t at
    cdef int8_t[::1] is_open
    cdef const int8_t[::1] column

    def __init__(
        self, Py_ssize_t at, is_open, column,
    ):
        self.at = at
        self.is_open = is_open
        self.column = column

    cpdef Py_ssize_t refresh(self) noexcept:
        cdef Py_ssize_t row
        for row in range(self.column.shape[0]):
            if self.column[row] != 0 and self.column[row] != 1:
                return row
            self.is_open[self.at + row] = self.column[row]
        return -1
