# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Plug flow of heat through pipes and perfect mixing in nodes, one step at a time, without the GIL.

Each pipe is a row of parcels from its first-named node to the second, each with a mass, a mean temperature
and the rise of a straight profile within it; water enters at one end and leaves at the other, so a reversal
only swaps the ends. Callers go through core_ext.thermal, which checks shapes, units and ranges; nothing is
checked here. Masses are effective ones: the pipe wall rides along as water of the same heat capacity. Nothing
is allocated in a step.
"""

from libc.math cimport exp, fabs

import numpy as np

cdef double _MASS_EPS = 1e-12  # parcels below this share of a pipe are dropped into their neighbour
cdef double _FLOW_EPS = 1e-12  # kg/s below which a pipe counts as standing


cdef inline double _decay(double x) noexcept nogil:
    """exp(-x), x >= 0; the series errs below 1e-15 where it is used."""
    if x < 1e-3:
        return 1.0 - x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)))
    return exp(-x)


cdef inline double _mean_decay(double x) noexcept nogil:
    """Mean of exp(-s) for s in 0..x."""
    if x < 1e-3:
        return 1.0 - x * (0.5 - x * (1.0 / 6.0 - x * (1.0 / 24.0 - x / 120.0)))
    return (1.0 - exp(-x)) / x


cdef inline double _skewed_decay(double x) noexcept nogil:
    """Mean of (y - 1/2) exp(-x y) for y in 0..1: how much less a profile's far end has left to give."""
    if x < 1e-3:
        return -x * (1.0 / 12.0 - x * (1.0 / 24.0 - x / 80.0))
    return (1.0 - exp(-x) * (1.0 + x)) / (x * x) - 0.5 * _mean_decay(x)


cdef class Transport:
    """Parcels of every pipe and the order in which nodes are visited. Arrays are shared with the caller."""

    cdef readonly Py_ssize_t nodes, pipes, capacity
    cdef readonly double loss_kg_k, entered_kg_k, left_kg_k
    cdef readonly double merge_k
    cdef double _dt
    cdef int _order_known, _busy
    cdef const int[::1] _from, _to, _slot_start, _slot_pipe
    cdef const double[::1] _pipe_mass, _rate
    cdef double _fit_temp, _fit_rise, _fit_error
    cdef double[:, ::1] _mass, _temp, _rise
    cdef int[::1] _head, _count, _sign, _order, _waiting, _done
    cdef double[::1] _out_kg_k, _gone, _left, _used_temp, _carry, _node_temp

    def __init__(self, const int[::1] from_node, const int[::1] to_node, const int[::1] slot_start,
                 const int[::1] slot_pipe, const double[::1] pipe_mass_kg, const double[::1] rate_per_s,
                 const double[::1] initial_temp_c, double[::1] node_temp_c, Py_ssize_t capacity,
                 double merge_k):
        self.pipes = from_node.shape[0]
        self.nodes = node_temp_c.shape[0]
        self.capacity = capacity
        self.merge_k = merge_k
        self._from, self._to = from_node, to_node
        self._slot_start, self._slot_pipe = slot_start, slot_pipe
        self._pipe_mass, self._rate = pipe_mass_kg, rate_per_s
        self._mass = np.zeros((self.pipes, capacity))
        self._temp = np.zeros((self.pipes, capacity))
        self._rise = np.zeros((self.pipes, capacity))
        self._head = np.zeros(self.pipes, dtype=np.intc)
        self._count = np.zeros(self.pipes, dtype=np.intc)
        self._sign = np.zeros(self.pipes, dtype=np.intc)
        self._order = np.zeros(self.nodes, dtype=np.intc)
        self._waiting = np.zeros(self.nodes, dtype=np.intc)
        self._done = np.zeros(self.pipes, dtype=np.intc)
        self._out_kg_k = np.zeros(self.pipes)
        self._gone = np.zeros(self.pipes)
        self._left = np.zeros(self.pipes)
        self._used_temp = np.zeros(self.pipes)
        self._carry = np.zeros(self.nodes)
        self._node_temp = node_temp_c
        self._order_known = 0
        self._busy = 0
        cdef Py_ssize_t p
        for p in range(self.pipes):
            if pipe_mass_kg[p] > 0.0:
                self._mass[p, 0] = pipe_mass_kg[p]
                self._temp[p, 0] = initial_temp_c[p]
                self._count[p] = 1

    def step(self, double dt_s, const double[::1] flow_kg_s, const double[::1] inflow_temp_c,
             const double[::1] ground_temp_c):
        """Advance by dt_s. Temperatures of nodes are written into the array given at construction."""
        with nogil:
            self._step(dt_s, flow_kg_s, inflow_temp_c, ground_temp_c)

    def claim(self):
        """Take the transport for one thread; False while another one has it."""
        if self._busy:
            return False
        self._busy = 1
        return True

    def release(self):
        """Give it back."""
        self._busy = 0

    def stored_kg_k(self):
        """Sum of mass times temperature over every parcel, kg degC, with what loops still owe."""
        cdef Py_ssize_t p, i, slot
        cdef double total = 0.0
        with nogil:
            for p in range(self.pipes):
                for i in range(self._count[p]):
                    slot = self._slot(p, i)
                    total += self._mass[p, slot] * self._temp[p, slot]
            for p in range(self.nodes):
                total += self._carry[p]
        return total

    def mean_temps(self, double[::1] out):
        """Write each pipe's mean temperature; a pipe without volume takes that of its first-named node."""
        cdef Py_ssize_t p, i, slot
        cdef double mass, heat
        with nogil:
            for p in range(self.pipes):
                mass = 0.0
                heat = 0.0
                for i in range(self._count[p]):
                    slot = self._slot(p, i)
                    mass += self._mass[p, slot]
                    heat += self._mass[p, slot] * self._temp[p, slot]
                out[p] = heat / mass if mass > 0.0 else self._node_temp[self._from[p]]

    def parcels(self, Py_ssize_t pipe):
        """Masses and temperatures of one pipe from its first-named end to the second (a copy)."""
        count = self._count[pipe]
        slots = [self._slot(pipe, i) for i in range(count)]
        masses = np.array([self._mass[pipe, s] for s in slots])
        return masses, np.array([self._temp[pipe, s] for s in slots])

    cdef inline Py_ssize_t _slot(self, Py_ssize_t p, Py_ssize_t i) noexcept nogil:
        cdef Py_ssize_t slot = self._head[p] + i
        return slot - self.capacity if slot >= self.capacity else slot

    cdef void _step(self, double dt, const double[::1] flow, const double[::1] inflow_temp,
                    const double[::1] ground) noexcept nogil:
        cdef Py_ssize_t n, s, k, p, other
        cdef int sign, changed = 0
        cdef double heat, mass, leaving, external, temp, moved
        for p in range(self.pipes):
            sign = 0 if fabs(flow[p]) < _FLOW_EPS else (1 if flow[p] > 0.0 else -1)
            if sign != self._sign[p]:
                self._sign[p] = sign
                changed = 1
            self._done[p] = 0
        if changed or not self._order_known:
            self._sort_nodes()
        self.loss_kg_k = 0.0
        self.entered_kg_k = 0.0
        self.left_kg_k = 0.0
        # Invariant: when a node is visited, every pipe flowing into it has delivered what leaves it now.
        # In a loop of flow a pipe holding more than it moves delivers without knowing its inlet and is filled
        # later; one that holds less is filled with the feeding node's last temperature, and the difference is
        # paid by that node in fifths from this step on, so no energy is lost and nothing swings.
        for k in range(self.nodes):
            n = self._order[k]
            heat = 0.0
            mass = 0.0
            leaving = 0.0
            for s in range(self._slot_start[n], self._slot_start[n + 1]):
                p = self._slot_pipe[s]
                if self._sign[p] == 0:
                    continue
                moved = fabs(flow[p]) * dt
                if (self._sign[p] > 0) == (self._to[p] == n):
                    if self._done[p] == 0:
                        self._leave(p, moved, dt, ground[p])
                        self._done[p] = 1
                        if self._left[p] > 0.0:
                            other = self._from[p] if self._to[p] == n else self._to[p]
                            self._used_temp[p] = self._node_temp[other]
                            self._fill(p, moved, self._used_temp[p], dt, ground[p])
                            self._done[p] = 2
                    heat += self._out_kg_k[p]
                    mass += moved
                else:
                    leaving += moved
            external = leaving - mass
            if external > 0.0:
                # rounding of the flows may ask for water where none enters: it takes the node's own
                temp = inflow_temp[n]
                if temp != temp:
                    temp = heat / mass if mass > 0.0 else self._node_temp[n]
                heat += external * temp
                self.entered_kg_k += external * temp
                mass = leaving
            if mass > 0.0:
                if self._carry[n] != 0.0:
                    heat += 0.2 * self._carry[n]
                    self._carry[n] *= 0.8
                temp = heat / mass
                self._node_temp[n] = temp
                if external < 0.0:
                    self.left_kg_k -= external * temp
            else:
                temp = self._node_temp[n]
            for s in range(self._slot_start[n], self._slot_start[n + 1]):
                p = self._slot_pipe[s]
                if self._sign[p] == 0 or (self._sign[p] > 0) == (self._to[p] == n):
                    continue
                moved = fabs(flow[p]) * dt
                if self._done[p] == 2:
                    self._carry[n] += moved * (temp - self._used_temp[p])
                else:
                    if self._done[p] == 0:
                        self._leave(p, moved, dt, ground[p])
                        self._done[p] = 1
                    self._fill(p, moved, temp, dt, ground[p])
        for p in range(self.pipes):
            if self._sign[p] == 0:
                self._cool(p, _decay(self._rate[p] * dt), ground[p])
        self._name_standing_nodes()

    cdef void _name_standing_nodes(self) noexcept nogil:
        """A node nothing flows through shows the mean of the pipe ends around it."""
        cdef Py_ssize_t n, s, p, i
        cdef double total
        cdef int ends, standing
        for n in range(self.nodes):
            total = 0.0
            ends = 0
            standing = 1
            for s in range(self._slot_start[n], self._slot_start[n + 1]):
                p = self._slot_pipe[s]
                if self._sign[p] != 0:
                    standing = 0
                    break
                if self._count[p] > 0:
                    if self._from[p] == n:
                        i = self._head[p]
                        total += self._temp[p, i] - 0.5 * self._rise[p, i]
                    else:
                        i = self._slot(p, self._count[p] - 1)
                        total += self._temp[p, i] + 0.5 * self._rise[p, i]
                    ends += 1
            if standing and ends > 0:
                self._node_temp[n] = total / ends

    cdef void _sort_nodes(self) noexcept nogil:
        """Order nodes so that water flows from earlier to later ones.

        A loop of flow is opened at the node whose unsorted inlets hold the most water.
        """
        cdef Py_ssize_t n, s, p, done = 0, tail = 0, best, other
        cdef double least, most
        for n in range(self.nodes):
            self._waiting[n] = 0
        for p in range(self.pipes):
            if self._sign[p] != 0:
                self._waiting[self._to[p] if self._sign[p] > 0 else self._from[p]] += 1
        for n in range(self.nodes):
            if self._waiting[n] == 0:
                self._order[tail] = <int> n
                self._waiting[n] = -1
                tail += 1
        while tail < self.nodes or done < tail:
            if done == tail:
                best = -1
                most = -1.0
                for n in range(self.nodes):
                    if self._waiting[n] < 0:
                        continue
                    least = 1e300
                    for s in range(self._slot_start[n], self._slot_start[n + 1]):
                        p = self._slot_pipe[s]
                        if self._sign[p] == 0 or (self._sign[p] > 0) != (self._to[p] == n):
                            continue
                        other = self._from[p] if self._to[p] == n else self._to[p]
                        if self._waiting[other] >= 0 and self._pipe_mass[p] < least:
                            least = self._pipe_mass[p]
                    if least > most:
                        most = least
                        best = n
                self._order[tail] = <int> best
                self._waiting[best] = -1
                tail += 1
            n = self._order[done]
            done += 1
            for s in range(self._slot_start[n], self._slot_start[n + 1]):
                p = self._slot_pipe[s]
                if self._sign[p] == 0 or (self._sign[p] > 0) == (self._to[p] == n):
                    continue
                other = self._to[p] if self._from[p] == n else self._from[p]
                if self._waiting[other] > 0:
                    self._waiting[other] -= 1
                    if self._waiting[other] == 0:
                        self._order[tail] = <int> other
                        self._waiting[other] = -1
                        tail += 1
        self._order_known = 1

    cdef void _cool(self, Py_ssize_t p, double factor, double ground) noexcept nogil:
        cdef Py_ssize_t i, slot
        cdef double before, after
        for i in range(self._count[p]):
            slot = self._slot(p, i)
            before = self._temp[p, slot]
            after = ground + (before - ground) * factor
            self._temp[p, slot] = after
            self._rise[p, slot] *= factor
            self.loss_kg_k += self._mass[p, slot] * (before - after)

    cdef void _leave(self, Py_ssize_t p, double moved, double dt, double ground) noexcept nogil:
        """Take up to `moved` kg from the downstream end and cool the rest for the whole step.

        Parcels go in order of distance from the outlet, each cooled for its time to get there. What is
        missing to `moved` is left to _fill, as water that enters and leaves in the same step.
        """
        cdef double per_kg = self._rate[p] * dt / moved
        cdef double total = self._pipe_mass[p]
        cdef double out = 0.0, left = moved, gone = 0.0, mass, take, share, before, after, rise, x
        cdef Py_ssize_t slot
        cdef int forward = self._sign[p] > 0
        while left > 0.0 and self._count[p] > 0:
            slot = self._slot(p, self._count[p] - 1) if forward else self._head[p]
            mass = self._mass[p, slot]
            rise = self._rise[p, slot] if forward else -self._rise[p, slot]  # towards the outlet
            # a crumb too small to keep goes out with the rest and keeps its energy
            take = mass if mass <= left + _MASS_EPS * total else left
            share = take / mass
            before = self._temp[p, slot] + 0.5 * rise * (1.0 - share)
            x = per_kg * take
            # the outlet side leaves first and cools least: the profile enters beside its mean
            after = ground + _decay(per_kg * gone) * (
                (before - ground) * _mean_decay(x) - rise * share * _skewed_decay(x))
            out += take * after
            self.loss_kg_k += take * (before - after)
            gone += take
            left -= take
            if share < 1.0:
                self._mass[p, slot] = mass - take
                self._temp[p, slot] -= 0.5 * rise * share
                self._rise[p, slot] *= 1.0 - share
            else:
                self._count[p] -= 1
                if not forward:
                    self._head[p] = 0 if self._head[p] + 1 == self.capacity else self._head[p] + 1
        if self._count[p] > 0:
            self._cool(p, _decay(self._rate[p] * dt), ground)
        self._out_kg_k[p] = out
        self._gone[p] = gone
        self._left[p] = left

    cdef void _fill(self, Py_ssize_t p, double moved, double temp_in, double dt,
                    double ground) noexcept nogil:
        """Let water of one temperature enter at the upstream end in place of what _leave took."""
        cdef double per_kg = self._rate[p] * dt / moved
        cdef double entering = self._gone[p], left = self._left[p], after, x
        cdef int forward = self._sign[p] > 0
        if left > 0.0:
            # enters and leaves in this step: spends the share total/moved of it in the pipe
            after = ground + (temp_in - ground) * _decay(per_kg * self._pipe_mass[p])
            self._out_kg_k[p] += left * after
            self.loss_kg_k += left * (temp_in - after)
        else:
            # crumbs that left early made the outflow up to 1e-12 of a pipe heavier than `moved`
            self._out_kg_k[p] += left * temp_in
        if entering > 0.0:
            x = per_kg * entering
            after = ground + (temp_in - ground) * _mean_decay(x)
            self.loss_kg_k += entering * (temp_in - after)
            # warmest at the inlet, where it has just come in
            x = (temp_in - ground) * (1.0 - _decay(x))
            self._enter(p, forward, entering, after, -x if forward else x)

    cdef void _enter(self, Py_ssize_t p, int forward, double mass, double temp,
                     double rise) noexcept nogil:
        cdef Py_ssize_t slot
        if self._count[p] > 0:
            slot = self._head[p] if forward else self._slot(p, self._count[p] - 1)
            if forward:
                self._fit(mass, temp, rise, self._mass[p, slot], self._temp[p, slot], self._rise[p, slot])
            else:
                self._fit(self._mass[p, slot], self._temp[p, slot], self._rise[p, slot], mass, temp, rise)
            if self._fit_error <= self.merge_k:
                self._mass[p, slot] += mass
                self._temp[p, slot] = self._fit_temp
                self._rise[p, slot] = self._fit_rise
                return
            if self._count[p] == self.capacity:
                self._merge_closest(p)
        if forward:
            self._head[p] = <int> (self.capacity - 1 if self._head[p] == 0 else self._head[p] - 1)
            slot = self._head[p]
        else:
            slot = self._slot(p, self._count[p])
        self._mass[p, slot] = mass
        self._temp[p, slot] = temp
        self._rise[p, slot] = rise
        self._count[p] += 1

    cdef inline void _fit(self, double m1, double t1, double r1,
                          double m2, double t2, double r2) noexcept nogil:
        """One straight profile for two neighbours, of equal energy and first moment; its largest error."""
        cdef double f1 = m1 / (m1 + m2)
        cdef double f2 = 1.0 - f1
        cdef double mean = f1 * t1 + f2 * t2
        cdef double rise = 6.0 * f1 * f2 * (t2 - t1) + f1 * f1 * r1 + f2 * f2 * r2
        cdef double joint = mean + rise * (f1 - 0.5)
        cdef double error = fabs(t1 - 0.5 * r1 - mean + 0.5 * rise), other
        other = fabs(t1 + 0.5 * r1 - joint)
        error = other if other > error else error
        other = fabs(t2 - 0.5 * r2 - joint)
        error = other if other > error else error
        other = fabs(t2 + 0.5 * r2 - mean - 0.5 * rise)
        error = other if other > error else error
        self._fit_temp = mean
        self._fit_rise = rise
        self._fit_error = error

    cdef void _merge_closest(self, Py_ssize_t p) noexcept nogil:
        """Join the two neighbours that lie closest to one straight profile, to make room for one parcel."""
        cdef Py_ssize_t i, best = 0, a, b
        cdef double cost, least = -1.0
        for i in range(self._count[p] - 1):
            a = self._slot(p, i)
            b = self._slot(p, i + 1)
            self._fit(self._mass[p, a], self._temp[p, a], self._rise[p, a],
                      self._mass[p, b], self._temp[p, b], self._rise[p, b])
            cost = self._fit_error * (self._mass[p, a] + self._mass[p, b])
            if least < 0.0 or cost < least:
                least = cost
                best = i
        a = self._slot(p, best)
        b = self._slot(p, best + 1)
        self._fit(self._mass[p, a], self._temp[p, a], self._rise[p, a],
                  self._mass[p, b], self._temp[p, b], self._rise[p, b])
        self._mass[p, a] += self._mass[p, b]
        self._temp[p, a] = self._fit_temp
        self._rise[p, a] = self._fit_rise
        for i in range(best + 1, self._count[p] - 1):
            a = self._slot(p, i)
            b = self._slot(p, i + 1)
            self._mass[p, a] = self._mass[p, b]
            self._temp[p, a] = self._temp[p, b]
            self._rise[p, a] = self._rise[p, b]
        self._count[p] -= 1
