# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Numeric phase of the hydraulic solver: Newton on the content function with a static factorisation.

Every link has a pressure drop h(m) that never falls with its flow, so flows that balance at the nodes and
minimise the content sum(integral h dm) solve the network. Newton eliminates to a weighted graph Laplacian
of the unknown pressures. It is factorised without a single subtraction (off-diagonal magnitudes and row
excess are kept instead of the diagonal), so conductances may span thirty decades and the pivot of a part
without pressure reference is exactly zero. It allocates nothing while solving, holds no GIL and never
looks at names, units of files or tables.
"""

import numpy as np

from libc.math cimport fabs, log, pow, sqrt
from libc.stdint cimport int8_t, int32_t, int64_t
from libc.string cimport memset

cdef enum:
    PIPE = 0  # Darcy-Weisbach: Re per flow, friction, minor loss, roughness / 3.7 D, (unused), f at Re 64
    QUADRATIC = 1  # coefficient, flow below which it is linear
    FIXED = 2  # pressure gain
    POWER = 3  # shut-off gain, coefficient, exponent: gain = p0 - p1 m^p2
    CURVE = 4  # first point, number of points, speed, +1 loss or -1 gain
    HAZEN = 5  # coefficient, exponent, minor loss, flow below which it is linear
    IMPOSED = 6  # flow
    PINNED = 7  # a source that fixes both its pressures: its flow is what its nodes need

cdef enum:
    FREE = 0
    AT_HIGH = 1
    AT_LOW = -1

cdef enum:
    SWAMEE_JAIN = 0
    COLEBROOK = 1
    SWAMEE_JAIN_EVERYWHERE = 2
    NIKURADSE = 3

cdef double LN10 = 2.302585092994045684
# slope floor of the matrix, Pa/(kg/s): only the speed of convergence depends on it, never the solution
cdef double LEAST_SLOPE = 1e-6
# slope of a link at its limit in the matrix, Pa/(kg/s); it only damps the pressure of parts that nothing else
# holds, no flow comes of it
cdef double LIMIT_SLOPE = 1e15
cdef double RE_LAMINAR = 2000.0
cdef double RE_TURBULENT = 4000.0
cdef double RE_LINEAR = 64.0  # Swamee-Jain at every Re is not monotone below about Re 20; linear below this


cdef inline double swamee_jain(double re, double rough, double* slope) noexcept nogil:
    cdef double y = 5.74 * pow(re, -0.9)
    cdef double inside = rough + y
    cdef double x = -2.0 / LN10 * log(inside)
    cdef double f = 1.0 / (x * x)
    slope[0] = -3.6 / LN10 * f * y / (inside * x * re)
    return f


cdef inline double colebrook(double re, double rough, double* slope) noexcept nogil:
    # x = 1/sqrt(f); Newton on x + 2/ln10 ln(rough + b x) = 0 from Swamee-Jain: three steps reach rounding
    cdef double a = 2.0 / LN10
    cdef double b = 2.51 / re
    cdef double unused, x, step, inside
    cdef int _trial
    x = 1.0 / sqrt(swamee_jain(re, rough, &unused))
    for _trial in range(8):
        inside = rough + b * x
        step = (x + a * log(inside)) / (1.0 + a * b / inside)
        x -= step
        if fabs(step) < 1e-15 * x:
            break
    inside = rough + b * x
    # dx/dRe from the implicit equation, then df = -2 x^-3 dx
    slope[0] = -2.0 / (x * x * x) * (a * b * x / (re * inside)) / (1.0 + a * b / inside)
    return 1.0 / (x * x)


cdef inline double friction(int form, double re, double rough, double* slope) noexcept nogil:
    """Darcy friction factor above the laminar range, and its derivative by Re."""
    cdef double end, end_slope, t, a, b, c
    if form == NIKURADSE:
        t = -2.0 / LN10 * log(rough)
        slope[0] = -64.0 / (re * re)
        return 64.0 / re + 1.0 / (t * t)
    if form == SWAMEE_JAIN_EVERYWHERE:
        return swamee_jain(re, rough, slope)
    if re >= RE_TURBULENT:
        return colebrook(re, rough, slope) if form == COLEBROOK else swamee_jain(re, rough, slope)
    # the cubic in t = Re/2000 - 1 that leaves 64/Re and meets the turbulent formula, values and slopes
    if form == COLEBROOK:
        end = colebrook(RE_TURBULENT, rough, &end_slope)
    else:
        end = swamee_jain(RE_TURBULENT, rough, &end_slope)
    end_slope *= RE_LAMINAR
    t = re / RE_LAMINAR - 1.0
    a = 0.032
    b = -0.032
    c = 3.0 * (end - a) - 2.0 * b - end_slope
    end = end_slope + b - 2.0 * (end - a)
    slope[0] = (b + t * (2.0 * c + t * 3.0 * end)) / RE_LAMINAR
    return a + t * (b + t * (c + t * end))


cdef class Newton:
    """One network's numeric state. Arrays are shared with the caller, who fills them between runs.

    `kind`, ends and pattern are fixed; `par`, `offset`, `low`, `high`, `open`, `injection`, `cold` and the
    tail of `pressure` (fixed nodes) may change before any `run`. Nodes are in elimination order, the fixed
    ones last. `run` returns 0 when it converged.
    """

    cdef readonly object arrays
    cdef readonly int32_t unknowns, nodes, links
    cdef readonly int iterations
    cdef readonly double residual_pressure_pa, residual_mass_kg_s
    cdef readonly bint limited, robust, warm
    cdef readonly int32_t unreferenced
    cdef int form
    cdef int running
    cdef bint labelled
    cdef int8_t[::1] kind, open, act, seen, state, known, known_out, dead
    cdef int32_t[::1] first, second, position, rows, target, root, order, pinned
    cdef int64_t[::1] start
    cdef double[:, ::1] par
    cdef double[::1] offset, low, high, injection, inflow, cold, flow, pressure
    cdef double[::1] conductance, error, step, entry, excess, pivot, rhs, residual, curve_flow, curve_dp, sums
    cdef double[::1] flow_out, pressure_out, inflow_out

    def __init__(self, int form, kind, first, second, position, start, rows, target, int32_t nodes,
                 order, curve_flow, curve_dp):
        self.form = form
        self.kind = kind
        self.first = first
        self.second = second
        self.position = position
        self.start = start
        self.rows = rows
        self.target = target
        self.order = order
        self.nodes = nodes
        self.unknowns = <int32_t> (len(start) - 1)
        self.links = <int32_t> len(kind)
        self.curve_flow = curve_flow
        self.curve_dp = curve_dp
        links, n, u = self.links, nodes, self.unknowns
        a = {
            "par": np.zeros((links, 6)), "offset": np.zeros(links), "low": np.full(links, -np.inf),
            "high": np.full(links, np.inf), "open": np.ones(links, np.int8), "cold": np.zeros(links),
            "flow": np.zeros(links), "state": np.zeros(links, np.int8), "injection": np.zeros(n),
            "pressure": np.zeros(n), "known": np.ones(n, np.int8), "root": np.zeros(n, np.int32),
            "flow_out": np.zeros(links), "pressure_out": np.zeros(n), "inflow_out": np.zeros(n),
            "known_out": np.ones(n, np.int8), "act": np.ones(links, np.int8),
            "inflow": np.zeros(n),
        }
        self.arrays = a
        self.par = a["par"]
        self.offset = a["offset"]
        self.low = a["low"]
        self.high = a["high"]
        self.open = a["open"]
        self.cold = a["cold"]
        self.flow = a["flow"]
        self.state = a["state"]
        self.injection = a["injection"]
        self.pressure = a["pressure"]
        self.known = a["known"]
        self.root = a["root"]
        self.flow_out = a["flow_out"]
        self.pressure_out = a["pressure_out"]
        self.inflow_out = a["inflow_out"]
        self.known_out = a["known_out"]
        self.act = a["act"]
        self.seen = np.full(links, -1, np.int8)
        self.dead = np.zeros(n, np.int8)
        self.inflow = a["inflow"]
        self.sums = np.zeros(2 * n)
        self.conductance = np.zeros(links)
        self.error = np.zeros(links)
        self.step = np.zeros(links)
        self.entry = np.zeros(max(len(rows), 1))
        self.excess = np.zeros(max(u, 1))
        self.pivot = np.zeros(max(u, 1))
        self.rhs = np.zeros(max(n, 1))
        self.residual = np.zeros(max(n, 1))
        self.pinned = np.flatnonzero(np.asarray(kind) == PINNED).astype(np.int32)
        self.running = 0
        self.labelled = False
        self.warm = False

    # -- element laws ---------------------------------------------------------------------

    cdef inline double drop(self, Py_ssize_t e, double m, double* slope) noexcept nogil:
        """Pressure drop of link e at flow m, and its derivative (never negative)."""
        cdef double am = fabs(m), re, f, df, r, s, gain
        cdef double* p = &self.par[e, 0]
        cdef int kind = self.kind[e]
        cdef int32_t i, j, k
        if kind == PIPE:
            re = p[0] * am
            if self.form <= COLEBROOK and re <= RE_LAMINAR:
                r = 64.0 * p[1] / p[0]
                slope[0] = r + 2.0 * p[2] * am
                return m * (r + p[2] * am)
            if self.form == SWAMEE_JAIN_EVERYWHERE and re <= RE_LINEAR:
                r = RE_LINEAR * p[5] * p[1] / p[0]
                slope[0] = r + 2.0 * p[2] * am
                return m * (r + p[2] * am)
            if self.form == NIKURADSE:
                f = p[5]
                r = 64.0 * p[1] / p[0]
                s = f * p[1] + p[2]
                slope[0] = r + 2.0 * s * am
                return m * (r + s * am)
            f = friction(self.form, re, p[3], &df)
            r = (f * p[1] + p[2]) * am
            slope[0] = 2.0 * r + df * p[0] * p[1] * am * am
            return r * m
        if kind == QUADRATIC:
            if am < p[1]:
                slope[0] = p[0] * p[1]
                return p[0] * p[1] * m
            slope[0] = 2.0 * p[0] * am
            return p[0] * am * m
        if kind == FIXED:
            slope[0] = 0.0
            return -p[0]
        if kind == POWER:
            if am <= 0.0:
                slope[0] = p[1] if p[2] == 1.0 else 0.0
                return -p[0]
            r = p[1] * pow(am, p[2] - 1.0)
            slope[0] = p[2] * r
            return r * m - p[0]
        if kind == CURVE:
            # segment of the curve around |m| / speed, the outer ones extended
            s = p[2]
            r = am / s
            i = <int32_t> p[0]
            j = i + <int32_t> p[1] - 1
            while j - i > 1:
                k = (i + j) // 2
                if self.curve_flow[k] < r:
                    i = k
                else:
                    j = k
            df = (self.curve_dp[j] - self.curve_dp[i]) / (self.curve_flow[j] - self.curve_flow[i])
            gain = self.curve_dp[i] + df * (r - self.curve_flow[i])
            if p[3] < 0.0:
                slope[0] = -df * s
                # a pump is only asked for m >= 0; the mirrored branch keeps the law monotone
                return -s * s * gain if m >= 0.0 else -s * s * self.gain_at_zero(p) + df * s * am
            slope[0] = df * s
            return s * s * gain if m > 0.0 else -s * s * gain if m < 0.0 else 0.0
        if kind == HAZEN:
            if am < p[3]:
                r = p[0] * pow(p[3], p[1] - 1.0)
                slope[0] = r + 2.0 * p[2] * am
                return m * (r + p[2] * am)
            r = p[0] * pow(am, p[1] - 1.0)
            slope[0] = p[1] * r + 2.0 * p[2] * am
            return m * (r + p[2] * am)
        slope[0] = 0.0
        return 0.0

    cdef inline double gain_at_zero(self, double* p) noexcept nogil:
        cdef int32_t i = <int32_t> p[0]
        cdef double df = (self.curve_dp[i + 1] - self.curve_dp[i]) / (
            self.curve_flow[i + 1] - self.curve_flow[i])
        return self.curve_dp[i] - df * self.curve_flow[i]

    cdef inline double penalised(self, Py_ssize_t e, double m, double wall, double* slope) noexcept nogil:
        """The drop with its limits as walls of finite slope; the exact law for wall = 0."""
        cdef double edge
        if wall > 0.0 and (m > self.high[e] or m < self.low[e]):
            edge = self.high[e] if m > self.high[e] else self.low[e]
            edge = self.drop(e, edge, slope) + wall * (m - edge)
            slope[0] = wall
            return edge
        return self.drop(e, m, slope)

    def drops(self, flow):
        """Pressure drop and its derivative of every link at the given flows (new arrays; for tests)."""
        cdef double[::1] m = np.ascontiguousarray(flow, np.float64)
        h_np, g_np = np.zeros(self.links), np.zeros(self.links)
        cdef double[::1] h = h_np, g = g_np
        cdef Py_ssize_t e
        for e in range(self.links):
            h[e] = self.drop(e, m[e], &g[e])
        return h_np, g_np

    # -- parts of the network -------------------------------------------------------------

    cdef int32_t find(self, int32_t i) noexcept nogil:
        while self.root[i] != i:
            self.root[i] = self.root[self.root[i]]
            i = self.root[i]
        return i

    cdef void label(self, bint skip_limited, int8_t[::1] known) noexcept nogil:
        """Give every node the root of its connected part, and mark the parts that hold a fixed pressure."""
        cdef Py_ssize_t e
        cdef int32_t i, a, b
        for i in range(self.nodes):
            self.root[i] = i
        for e in range(self.links):
            if not self.open[e] or self.kind[e] >= IMPOSED:
                continue
            if skip_limited and self.state[e] != FREE:
                continue
            a = self.find(self.first[e])
            b = self.find(self.second[e])
            # the larger index wins: fixed nodes are last, so a part's root is fixed if any of it is
            if a < b:
                self.root[a] = b
            else:
                self.root[b] = a
        for i in range(self.nodes):
            known[i] = self.find(i) >= self.unknowns

    cdef void connect(self) noexcept nogil:
        """Find the parts without pressure reference; silence those whose imposed flows cannot balance."""
        cdef Py_ssize_t e
        cdef int32_t i, a, b
        cdef bint again, same = self.labelled
        for e in range(self.links):
            if self.seen[e] != self.open[e]:
                same = False
                # a link that opens again starts from its cold flow, not from zero
                if self.open[e] and self.seen[e] == 0:
                    self.flow[e] = self.cold[e]
                    self.state[e] = FREE
                self.seen[e] = self.open[e]
        if not same:
            self.labelled = True
            self.label(False, self.known)
            self.unreferenced = 0
            for i in range(self.nodes):
                if not self.known[i]:
                    self.unreferenced += 1
        for e in range(self.links):
            self.act[e] = self.open[e] and self.kind[e] != PINNED
        for i in range(self.nodes):
            self.inflow[i] = self.injection[i]
        if self.unreferenced == 0:
            return
        self.label(False, self.known)
        for i in range(self.nodes):
            self.dead[i] = 0
        again = True
        while again:
            again = False
            for i in range(2 * self.nodes):
                self.sums[i] = 0.0
            for i in range(self.nodes):
                a = self.find(i)
                self.sums[2 * a] += self.inflow[i]
                self.sums[2 * a + 1] += fabs(self.inflow[i])
            for e in range(self.links):
                if self.kind[e] == IMPOSED and self.act[e]:
                    a = self.find(self.first[e])
                    b = self.find(self.second[e])
                    self.sums[2 * a] -= self.par[e, 0]
                    self.sums[2 * b] += self.par[e, 0]
                    self.sums[2 * a + 1] += fabs(self.par[e, 0])
                    self.sums[2 * b + 1] += fabs(self.par[e, 0])
            for i in range(self.nodes):
                if self.root[i] == i and not self.known[i] and not self.dead[i]:
                    if fabs(self.sums[2 * i]) > 1e-9 * self.sums[2 * i + 1]:
                        self.dead[i] = 1
                        again = True
            if again:
                for i in range(self.nodes):
                    if self.dead[self.find(i)]:
                        self.inflow[i] = 0.0
                for e in range(self.links):
                    if self.kind[e] == IMPOSED and self.act[e]:
                        if self.dead[self.find(self.first[e])] or self.dead[self.find(self.second[e])]:
                            self.act[e] = 0

    # -- one Newton step ------------------------------------------------------------------

    cdef double evaluate(self, double wall, double* slope_along) noexcept nogil:
        """Drops, conductances and errors at the present flows and pressures; returns the largest error.

        slope_along gets the derivative of the content along the last step.
        """
        cdef Py_ssize_t e
        cdef double worst = 0.0, h, g, x, along = 0.0
        cdef int8_t state
        for e in range(self.links):
            if not self.act[e]:
                self.flow[e] = 0.0
                self.conductance[e] = 0.0
                self.error[e] = 0.0
                continue
            if self.kind[e] == IMPOSED:
                self.flow[e] = self.par[e, 0]
                self.conductance[e] = 0.0
                self.error[e] = 0.0
                continue
            x = self.pressure[self.first[e]] - self.pressure[self.second[e]] - self.offset[e]
            state = self.state[e]
            if state != FREE:
                self.flow[e] = self.high[e] if state == AT_HIGH else self.low[e]
                h = self.drop(e, self.flow[e], &g)
                x -= h
                self.conductance[e] = 1.0 / LIMIT_SLOPE
                self.error[e] = x
                if state == AT_HIGH:
                    x = -x
                if x > worst:
                    worst = x
                continue
            h = self.penalised(e, self.flow[e], wall, &g)
            x -= h
            self.error[e] = x
            self.conductance[e] = 1.0 / (g if g > LEAST_SLOPE else LEAST_SLOPE)
            along -= self.step[e] * x
            x = fabs(x)
            if not x <= worst:
                worst = x
        slope_along[0] = along
        return worst

    cdef double slope_at(self, double back, double wall) noexcept nogil:
        """Derivative of the content along the last step, `back` (0..1) steps before its end."""
        cdef Py_ssize_t e
        cdef double along = 0.0, g
        for e in range(self.links):
            if self.step[e] != 0.0:
                along -= self.step[e] * (
                    self.pressure[self.first[e]] - self.pressure[self.second[e]] - self.offset[e]
                    - self.penalised(e, self.flow[e] - back * self.step[e], wall, &g))
        return along

    cdef void shorten(self, double slope0, double slope1, double wall, bint strict) noexcept nogil:
        """Step back to where the content stops falling along the last step (it is convex)."""
        cdef double a = 0.0, b = 1.0, fa = slope0, fb = slope1, x = 1.0, fx, top
        cdef int trial, side = 0
        cdef Py_ssize_t e
        top = 0.0 if strict else -0.1 * slope0
        for trial in range(60):
            x = (a * fb - b * fa) / (fb - fa)
            if not (x > a and x < b) or trial % 8 == 7:
                x = 0.5 * (a + b)
            fx = self.slope_at(1.0 - x, wall)
            if fx <= top and fx >= 0.5 * slope0:
                break
            if fx > 0.0:
                b = x
                fb = fx
                if side == 1:
                    fa *= 0.5
                side = 1
            else:
                a = x
                fa = fx
                if side == -1:
                    fb *= 0.5
                side = -1
        for e in range(self.links):
            if self.step[e] != 0.0:
                self.flow[e] -= (1.0 - x) * self.step[e]

    cdef double balance(self) noexcept nogil:
        """Mass residual of every node; returns the largest of the unknown ones."""
        cdef Py_ssize_t e
        cdef int32_t i
        cdef double worst = 0.0
        for i in range(self.nodes):
            self.residual[i] = self.inflow[i]
        for e in range(self.links):
            self.residual[self.first[e]] -= self.flow[e]
            self.residual[self.second[e]] += self.flow[e]
        for i in range(self.unknowns):
            if not fabs(self.residual[i]) <= worst:
                worst = fabs(self.residual[i])
        return worst

    cdef void factor_and_solve(self) noexcept nogil:
        """Change of the unknown pressures into rhs, from conductance, error and residual."""
        cdef Py_ssize_t e
        cdef int32_t i, j, k, u = self.unknowns
        cdef int64_t a, b, at, end, product = 0
        cdef double y, t, inverse, sum_, w, s, ex
        memset(&self.entry[0], 0, self.entry.shape[0] * sizeof(double))
        memset(&self.excess[0], 0, self.excess.shape[0] * sizeof(double))
        for i in range(u):
            self.rhs[i] = self.residual[i]
        for i in range(u, self.nodes):
            self.rhs[i] = 0.0
        for e in range(self.links):
            y = self.conductance[e]
            if y == 0.0:
                continue
            i = self.first[e]
            j = self.second[e]
            if self.state[e] == FREE:
                t = y * self.error[e]
                self.rhs[i] -= t
                self.rhs[j] += t
            if self.position[e] >= 0:
                self.entry[self.position[e]] += y
            elif i < u:
                self.excess[i] += y
            elif j < u:
                self.excess[j] += y
        # invariant: entry holds the magnitudes of the couplings among the nodes not yet eliminated, excess
        # what each of them is coupled to fixed pressures with; both only ever grow by non-negative terms
        for k in range(u):
            at = self.start[k]
            end = self.start[k + 1]
            ex = self.excess[k]
            sum_ = ex
            for a in range(at, end):
                sum_ += self.entry[a]
            inverse = 1.0 / sum_ if sum_ > 0.0 else 0.0
            self.pivot[k] = inverse
            t = self.rhs[k]
            for a in range(at, end):
                w = self.entry[a]
                s = w * inverse
                i = self.rows[a]
                self.excess[i] += s * ex
                self.rhs[i] += s * t
                for b in range(a + 1, end):
                    self.entry[self.target[product]] += s * self.entry[b]
                    product += 1
                self.entry[a] = s
        for i in range(u, self.nodes):
            self.rhs[i] = 0.0
        for k in range(u - 1, -1, -1):
            t = self.rhs[k] * self.pivot[k]
            for a in range(self.start[k], self.start[k + 1]):
                t += self.entry[a] * self.rhs[self.rows[a]]
            self.rhs[k] = t

    cdef bint advance(self, double slack, double* slope) noexcept nogil:
        """Take the step; True when no link left a limit. slope gets the content's slope at its start."""
        cdef Py_ssize_t e
        cdef int32_t i
        cdef double d, x, s = 0.0
        cdef bint smooth = True
        for e in range(self.links):
            if self.conductance[e] == 0.0:
                self.step[e] = 0.0
                continue
            x = self.error[e] + (self.rhs[self.first[e]] - self.rhs[self.second[e]])
            if self.state[e] == FREE:
                d = self.conductance[e] * x
                self.step[e] = d
                s -= d * x
                self.flow[e] += d
                continue
            self.step[e] = 0.0
            if self.state[e] == AT_HIGH:
                if x < -slack:
                    self.state[e] = FREE
                    smooth = False
            elif x > slack:
                self.state[e] = FREE
                smooth = False
                # a law flat at its limit would throw the next step far beyond: start from the flow that fits
                if self.kind[e] == QUADRATIC and self.par[e, 0] > 0.0:
                    self.flow[e] = self.low[e] + sqrt(x / self.par[e, 0])
                elif self.kind[e] == POWER and self.par[e, 1] > 0.0:
                    self.flow[e] = pow(x / self.par[e, 1], 1.0 / self.par[e, 2])
                if self.flow[e] > self.high[e]:
                    self.flow[e] = self.high[e]
        for i in range(self.unknowns):
            self.pressure[i] += self.rhs[i]
        slope[0] = s
        return smooth

    cdef bint clip(self) noexcept nogil:
        """Links beyond a limit stop at it; True when there was none."""
        cdef Py_ssize_t e
        cdef bint none = True
        for e in range(self.links):
            if self.state[e] == FREE and self.act[e] and self.kind[e] < IMPOSED:
                if self.flow[e] > self.high[e]:
                    self.flow[e] = self.high[e]
                    self.state[e] = AT_HIGH
                    none = False
                elif self.flow[e] < self.low[e]:
                    self.flow[e] = self.low[e]
                    self.state[e] = AT_LOW
                    none = False
        return none

    cdef double highest_pressure(self) noexcept nogil:
        cdef int32_t i
        cdef double highest = 0.0
        for i in range(self.nodes):
            if fabs(self.pressure[i]) > highest:
                highest = fabs(self.pressure[i])
        return highest

    cdef int loop(self, int most, double tol_pa, double tol_kg_s, double wall) noexcept nogil:
        """Newton steps until both residuals are small: 0, or 1 after `most` steps, or 2 on overflow.

        wall = 0 treats limits as an active set; wall > 0 treats them as penalties, where the line search on
        the convex content makes it converge from anywhere.
        """
        cdef int trial
        cdef double slope0 = 0.0, slope1, error, mass
        cdef bint smooth = False, balanced = False
        memset(&self.step[0], 0, self.step.shape[0] * sizeof(double))
        for trial in range(most + 1):
            error = self.evaluate(wall, &slope1)
            if smooth and balanced and error > tol_pa and slope1 > -0.1 * slope0 and slope1 > 0.0:
                self.shorten(slope0, slope1, wall, trial > 20)
                error = self.evaluate(wall, &slope1)
            mass = self.balance()
            self.residual_pressure_pa = error
            self.residual_mass_kg_s = mass
            if error <= tol_pa and mass <= tol_kg_s:
                return 0
            # beyond some 10^9 Pa rounding alone is more than the tolerance
            if trial > 12 and mass <= tol_kg_s and error <= 4e-15 * self.highest_pressure():
                return 0
            if not (error < 1e300 and mass < 1e300):
                return 2
            if trial == most:
                break
            # only between balanced flows is the content a merit function
            balanced = mass <= tol_kg_s
            self.factor_and_solve()
            smooth = self.advance(0.5 * tol_pa, &slope0)
            if self.limited and wall == 0.0 and not self.clip():
                smooth = False
            self.iterations += 1
        return 1

    cdef int solve_network(self, bint warm, double tol_pa, double tol_kg_s, int most) noexcept nogil:
        cdef Py_ssize_t e
        cdef int32_t i
        cdef int status
        self.iterations = 0
        self.robust = False
        if not (warm and self.warm):
            for e in range(self.links):
                self.flow[e] = self.cold[e]
                self.state[e] = FREE
                self.seen[e] = -1
            for i in range(self.unknowns):
                self.pressure[i] = 0.0
        self.connect()
        self.limited = False
        for e in range(self.links):
            if self.state[e] == AT_HIGH and self.high[e] > 1e300:
                self.state[e] = FREE
            if self.state[e] == AT_LOW and self.low[e] < -1e300:
                self.state[e] = FREE
            if self.high[e] < 1e300 or self.low[e] > -1e300:
                self.limited = True
        if self.limited:
            self.clip()
        status = self.loop(30 if self.limited else most, tol_pa, tol_kg_s, 0.0)
        if status != 0 and self.limited:
            status = self.solve_penalised(tol_pa, tol_kg_s, most)
        self.warm = status == 0
        return status

    cdef int solve_penalised(self, double tol_pa, double tol_kg_s, int most) noexcept nogil:
        """From cold, with limits as soft walls that are made harder step by step; then the exact limits."""
        cdef Py_ssize_t e
        cdef int32_t i
        cdef int status
        cdef double wall = 1e5
        self.robust = True
        for e in range(self.links):
            self.flow[e] = self.cold[e]
            self.state[e] = FREE
        for i in range(self.unknowns):
            self.pressure[i] = 0.0
        while wall < 1e14:
            status = self.loop(most, 1e2 * tol_pa, 1e2 * tol_kg_s, wall)
            if status == 2:
                break
            wall *= 30.0
        self.clip()
        return self.loop(most, tol_pa, tol_kg_s, 0.0)

    cdef void publish(self) noexcept nogil:
        """Copy the solution out in the caller's node order, with 0.0 where the pressure is unknown."""
        cdef Py_ssize_t e
        cdef int32_t i, k, q, supply, count
        cdef double need
        cdef bint any_limit = False
        for e in range(self.links):
            self.flow_out[e] = self.flow[e]
            if self.state[e] != FREE and self.act[e]:
                any_limit = True
        if any_limit:
            self.label(True, self.known)
            for i in range(self.nodes):
                self.known_out[self.order[i]] = self.known[i]
            self.label(False, self.known)
        else:
            for i in range(self.nodes):
                self.known_out[self.order[i]] = self.known[i]
        for i in range(self.nodes):
            k = self.order[i]
            self.pressure_out[k] = self.pressure[i] if self.known_out[k] else 0.0
            self.inflow_out[k] = self.inflow[i] if i < self.unknowns else self.inflow[i] - self.residual[i]
        # a pinned source carries what leaves its supply node, shared evenly among those at the same node
        for q in range(self.pinned.shape[0]):
            e = self.pinned[q]
            supply = self.second[e]
            count = 0
            for k in range(self.pinned.shape[0]):
                if self.second[self.pinned[k]] == supply and self.open[self.pinned[k]]:
                    count += 1
            need = self.inflow[supply] - self.residual[supply] - self.injection[supply]
            self.flow_out[e] = need / count if self.open[e] and count else 0.0
        for q in range(self.pinned.shape[0]):
            e = self.pinned[q]
            self.inflow_out[self.order[self.second[e]]] -= self.flow_out[e]
            self.inflow_out[self.order[self.first[e]]] += self.flow_out[e]

    def claim(self):
        """Take the solver for one caller; False when another holds it."""
        if self.running:
            return False
        self.running = 1
        return True

    def release(self):
        self.running = 0

    def forget(self):
        """Make the next run start cold."""
        self.warm = False

    def run(self, bint warm, double tol_pa, double tol_kg_s, int most):
        """Solve with the present arrays; 0 converged, 1 too many steps, 2 overflow. Releases the GIL."""
        cdef int status
        with nogil:
            status = self.solve_network(warm, tol_pa, tol_kg_s, most)
            if status == 0:
                self.publish()
        return status

    def run_penalised(self, double tol_pa, double tol_kg_s, int most):
        """Like a cold `run`, but by way of the penalties `run` only falls back on."""
        cdef int status
        with nogil:
            self.solve_network(False, tol_pa, tol_kg_s, 0)
            self.iterations = 0
            status = self.solve_penalised(tol_pa, tol_kg_s, most)
            if status == 0:
                self.publish()
        return status
