# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Turns the columns that change from tick to tick into link coefficients, without allocating.

Each function fills the slices of the solver's arrays that belong to its table and returns the first row
whose values have no meaning, or -1. It never decides what to do about that row.
"""

from libc.math cimport M_PI, fabs, isfinite, isnan, pow, sqrt
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


def refresh_consumers(
    Py_ssize_t at, double[:, ::1] par, double[::1] low, double[::1] high, double[::1] cold, int8_t[::1] is_open,
    const int8_t[::1] mode, const double[::1] flow, const double[::1] kv, const double[::1] heat,
    const double[::1] supply, const double[::1] back, const double[::1] most, double density, double cp,
):
    """mode: 0 flow, 1 valve, 2 heat."""
    cdef Py_ssize_t row, e
    cdef double m
    for row in range(mode.shape[0]):
        e = at + row
        high[e] = INFINITE
        if not isnan(most[row]):
            if most[row] < 0.0:
                return row
            high[e] = most[row]
        is_open[e] = 1
        if mode[row] == 1:
            if not isfinite(kv[row]) or kv[row] < 0.0:
                return row
            if kv[row] < SHUT or high[e] <= 0.0:
                is_open[e] = 0
                quadratic(par, cold, e, kv_law(1.0, density))
            else:
                quadratic(par, cold, e, kv_law(kv[row], density))
            continue
        if mode[row] == 0:
            m = flow[row]
        else:
            if not supply[row] > back[row]:
                return row
            m = heat[row] / (cp * (supply[row] - back[row]))
        if not isfinite(m):
            return row
        par[e, 0] = m if m < high[e] else high[e]
    return -1


def refresh_valves(
    Py_ssize_t at, double[:, ::1] par, double[::1] low, double[::1] high, double[::1] cold, int8_t[::1] is_open,
    const int8_t[::1] code, const int8_t[::1] percentage, const double[::1] kv, const double[::1] loss,
    const double[::1] diameter, const double[::1] opening, const double[::1] setting, double density,
    double loss_factor,
):
    """code: 0 throttle, 1 check, 2 flow limit, 3 loss curve, 4 throttle without any loss.

    loss_factor multiplies loss coefficients (1, or EPANET's rounding of it).
    """
    cdef Py_ssize_t row, e
    cdef double k, f, area
    for row in range(code.shape[0]):
        e = at + row
        f = opening[row]
        if not (f >= 0.0 and f <= 1.0):
            return row
        is_open[e] = f >= SHUT
        low[e] = 0.0 if code[row] == 1 else -INFINITE
        high[e] = INFINITE
        if code[row] == 2:
            if not (setting[row] >= 0.0 and isfinite(setting[row])):
                return row
            high[e] = setting[row]
            if setting[row] <= 0.0:
                is_open[e] = 0
        if code[row] >= 3:
            continue
        if isnan(kv[row]):
            if not (isfinite(loss[row]) and loss[row] >= 0.0):
                return row
            area = M_PI * diameter[row] * diameter[row] / 4.0
            k = loss_factor * loss[row] / (2.0 * density * area * area)
        else:
            if not (isfinite(kv[row]) and kv[row] >= 0.0):
                return row
            if kv[row] < SHUT:
                is_open[e] = 0
                continue
            k = kv_law(kv[row], density)
        if not is_open[e]:
            continue
        if percentage[row]:
            f = pow(RANGEABILITY, f - 1.0)
        k = k / (f * f)
        # a valve of no resistance at all would have no law: 1 Pa at 1 t/s, far below any tolerance
        quadratic(par, cold, e, k if k > 1e-6 else 1e-6)
    return -1


def refresh_pumps(
    Py_ssize_t at, double[:, ::1] par, double[::1] low, double[::1] high, double[::1] cold, int8_t[::1] is_open,
    const int8_t[::1] code, const double[:, ::1] law, const double[::1] speed, const double[::1] fixed,
):
    """code: 0 fixed gain, 1 power law, 2 points. law: the coefficients at speed 1, the last one the cold flow."""
    cdef Py_ssize_t row, e
    cdef double w
    for row in range(code.shape[0]):
        e = at + row
        w = speed[row]
        if not (w >= 0.0 and isfinite(w)):
            return row
        is_open[e] = w > 0.0
        if code[row] == 0:
            if not isfinite(fixed[row]):
                return row
            par[e, 0] = w * w * fixed[row]
            continue
        low[e] = 0.0
        cold[e] = w * law[row, 3]
        if w == 0.0:
            continue
        if code[row] == 1:
            par[e, 0] = w * w * law[row, 0]
            par[e, 1] = law[row, 1] * pow(w, 2.0 - law[row, 2])
            par[e, 2] = law[row, 2]
        else:
            par[e, 0] = law[row, 0]
            par[e, 1] = law[row, 1]
            par[e, 2] = w
            par[e, 3] = -1.0
    return -1


def refresh_sources(
    Py_ssize_t at, double[:, ::1] par, const int8_t[::1] code, const double[::1] dp, const double[::1] flow,
    const double[::1] supply_pressure, const double[::1] return_pressure, const int32_t[::1] supply_node,
    const int32_t[::1] return_node, double[::1] pressure,
):
    """code: 0 dp, 1 mass flow, 2 both pressures. Nodes are in elimination order."""
    cdef Py_ssize_t row, e
    for row in range(code.shape[0]):
        e = at + row
        if code[row] == 0:
            if not isfinite(dp[row]):
                return row
            par[e, 0] = dp[row]
        elif code[row] == 1:
            if not isfinite(flow[row]):
                return row
            par[e, 0] = flow[row]
        else:
            if not isfinite(supply_pressure[row]):
                return row
            pressure[supply_node[row]] = supply_pressure[row]
        if not isnan(return_pressure[row]):
            pressure[return_node[row]] = return_pressure[row]
        elif code[row] == 2:
            return row
    return -1


def refresh_nodes(
    const int32_t[::1] place, double[::1] injection, double[::1] pressure,
    const double[::1] mass_injection, const double[::1] fixed_pressure,
):
    """Scatter node columns into elimination order; nodes without fixed pressure keep their solution."""
    cdef Py_ssize_t row
    for row in range(place.shape[0]):
        if not isfinite(mass_injection[row]):
            return row
        injection[place[row]] = mass_injection[row]
        if not isnan(fixed_pressure[row]):
            if not isfinite(fixed_pressure[row]):
                return row
            pressure[place[row]] = fixed_pressure[row]
    return -1


def refresh_open(Py_ssize_t at, int8_t[::1] is_open, const int8_t[::1] column):
    """Open flags of pipes."""
    cdef Py_ssize_t row
    for row in range(column.shape[0]):
        if column[row] != 0 and column[row] != 1:
            return row
        is_open[at + row] = column[row]
    return -1
