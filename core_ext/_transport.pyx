# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Plug flow of heat through pipes, wall nodes at their ends and perfect mixing in nodes, without the GIL.

The work is done in _transport.h; this class owns its arrays. Callers go through core_ext.thermal, which
checks shapes, units and ranges; nothing is checked here. Masses are effective ones: wall capacity counts as
water of the same heat capacity. Nothing is allocated in a step.
"""

import numpy as np

from libc.stdint cimport int8_t, int32_t, int64_t, uintptr_t

cdef extern from "_transport.h" nogil:
    ctypedef struct Parcel:
        double mass, tag, rise, x_in, x_out

    ctypedef struct Eight:
        double *tag
        double *rise
        double *x_in
        double *x_out
        double *clock
        double *w_in
        double *w_out
        double *energy
        double *base
        int64_t *ringed
        double *wall_kg
        double *plug_kg

    ctypedef struct EightGiven:
        double *share
        double *rate
        double *held_kg

    ctypedef struct Mix:
        double inverse

    ctypedef struct Pipes:
        int32_t pipes, padded, nodes, capacity, level, sorted, ground_still
        double merge_k, dt, loss, entered, left
        const int32_t *from_ "from"
        const int32_t *to
        const int32_t *slot_start
        const int32_t *slot_pipe
        double *node_temp
        double *inflow
        double *flow
        double *squeezed_k
        int32_t *head
        int32_t *count
        int32_t *place
        int32_t *up
        int32_t *down
        int8_t *sign
        int8_t *turned
        Parcel *ring
        Eight *eight
        EightGiven *eight_given
        int32_t *pipe
        int32_t *up_at
        double *base_next
        double *offset
        double *gain
        double *delivered
        double *retained
        double *fed
        int32_t *order
        int32_t *waiting
        int32_t *in_start
        int32_t *in_place
        int32_t *in_up
        int32_t *in_cut
        int32_t *standing
        int32_t *back
        Mix *mix
        double *temp
        double *enters_kg
        double *leaves_kg
        double *cut
        double *system
        double *answer
        double *moving

    const int MOST_CUTS
    int32_t transport_step(Pipes *n, double dt, const double *flow, const double *inflow,
                           const double *given, const double *ground)
    double mean_excess(double tag, double rise, double x_in, double x_out, double now)
    Parcel *ring_at(const Pipes *n, int32_t p, int32_t i)


cdef double held_heat(const Pipes *n, Py_ssize_t s) noexcept nogil:
    """Heat in the pipe at place s and its wall, above its ground, kg K."""
    cdef const Eight *e = n.eight + s // 8
    cdef int lane = s % 8
    return e.energy[lane] + e.wall_kg[lane] * (e.w_in[lane] + e.w_out[lane])


cdef void* address(object array):
    return <void*> <uintptr_t> array.ctypes.data


cdef class Transport:
    """The state of every pipe and the order in which nodes are visited. node_temp_c and inflow_temp_c are
    shared with the caller.

    Arrays by pipe: plug_kg rides with the water, wall_kg sits in each of two nodes at the ends and takes part
    in the share of the water that passes; rate_per_s is that of cooling. slot_start and slot_pipe list the
    pipes at each node.
    """

    cdef Pipes n
    cdef list kept
    cdef int busy
    cdef readonly Py_ssize_t pipes, nodes

    def __init__(self, const int32_t[::1] from_node, const int32_t[::1] to_node,
                 const int32_t[::1] slot_start, const int32_t[::1] slot_pipe, plug_kg, wall_kg, share,
                 rate_per_s, initial_temp_c, ground_temp_c, double[::1] node_temp_c,
                 double[::1] inflow_temp_c, int capacity,
                 double merge_k, int level):
        cdef Pipes *n = &self.n
        cdef Py_ssize_t pipes = len(from_node), nodes = len(node_temp_c), padded = (pipes + 7) // 8 * 8
        self.pipes, self.nodes = pipes, nodes
        self.kept = [from_node, to_node, slot_start, slot_pipe, node_temp_c, inflow_temp_c]
        n.pipes, n.nodes, n.padded = <int32_t> pipes, <int32_t> nodes, <int32_t> padded
        n.capacity, n.level, n.merge_k = capacity, level, merge_k
        n.dt = 0.0
        n.sorted = 0
        n.ground_still = 1
        n.from_ = <int32_t*> address(np.asarray(from_node))
        n.to = <int32_t*> address(np.asarray(to_node))
        n.slot_start = <int32_t*> address(np.asarray(slot_start))
        n.slot_pipe = <int32_t*> address(np.asarray(slot_pipe))
        n.node_temp = <double*> address(np.asarray(node_temp_c))
        n.inflow = <double*> address(np.asarray(inflow_temp_c))

        n.eight = <Eight*> self._lines(padded // 8 * sizeof(Eight))
        n.eight_given = <EightGiven*> self._lines(padded // 8 * sizeof(EightGiven))
        n.offset = <double*> self._lines(padded * 8)
        n.gain = <double*> self._lines(padded * 8)
        n.mix = <Mix*> self._lines(nodes * sizeof(Mix))
        n.flow = <double*> self._zeros(pipes, np.float64)
        n.squeezed_k = <double*> self._zeros(pipes, np.float64)
        n.base_next = <double*> self._zeros(pipes, np.float64)
        n.delivered = <double*> self._lines(padded * 8)
        n.retained = <double*> self._lines(padded * 8)
        n.fed = <double*> self._lines(padded * 8)
        n.head = <int32_t*> self._zeros(pipes, np.int32)
        n.count = <int32_t*> self._zeros(pipes, np.int32)
        n.ring = <Parcel*> self._zeros(pipes * capacity * 5, np.float64)
        n.place = <int32_t*> self._zeros(pipes, np.int32, np.arange(pipes))
        n.pipe = <int32_t*> self._zeros(pipes, np.int32, np.arange(pipes))
        n.up_at = <int32_t*> self._zeros(padded, np.int32)
        n.up = <int32_t*> self._zeros(pipes, np.int32, from_node)
        n.down = <int32_t*> self._zeros(pipes, np.int32, to_node)
        n.order = <int32_t*> self._zeros(nodes, np.int32)
        n.waiting = <int32_t*> self._zeros(nodes, np.int32)
        n.in_start = <int32_t*> self._zeros(nodes + 1, np.int32)
        n.in_place = <int32_t*> self._zeros(pipes, np.int32)
        n.in_up = <int32_t*> self._zeros(pipes, np.int32)
        n.in_cut = <int32_t*> self._zeros(pipes, np.int32)
        n.standing = <int32_t*> self._zeros(nodes, np.int32)
        n.back = <int32_t*> self._zeros(pipes, np.int32)
        n.sign = <int8_t*> self._zeros(pipes, np.int8)
        n.turned = <int8_t*> self._zeros(pipes, np.int8)
        n.temp = <double*> self._lines((nodes + 7) * 8)
        n.enters_kg = <double*> self._lines((nodes + 7) * 8)
        n.leaves_kg = <double*> self._lines((nodes + 7) * 8)
        n.cut = <double*> self._zeros(pipes, np.float64)
        n.moving = <double*> self._zeros(pipes, np.float64)
        n.system = <double*> self._zeros(MOST_CUTS * MOST_CUTS, np.float64)
        n.answer = <double*> self._zeros(MOST_CUTS, np.float64)
        self._fill(np.asarray(plug_kg), np.asarray(wall_kg), np.asarray(share), np.asarray(rate_per_s),
                   np.asarray(initial_temp_c), np.asarray(ground_temp_c))

    cdef void _fill(self, const double[::1] plug_kg, const double[::1] wall_kg, const double[::1] share,
                    const double[::1] rate, const double[::1] initial, const double[::1] ground):
        """Everything by place, which is the row of the pipe until flows are known."""
        cdef Py_ssize_t p
        cdef int lane
        cdef double excess
        cdef Eight *e
        cdef EightGiven *g
        for p in range(self.n.padded):
            e, g, lane = self.n.eight + p // 8, self.n.eight_given + p // 8, p % 8
            if p >= self.pipes:
                g.share[lane] = 1.0
                continue
            excess = initial[p] - ground[p]
            e.plug_kg[lane], e.wall_kg[lane] = plug_kg[p], wall_kg[p]
            e.tag[lane] = e.w_in[lane] = e.w_out[lane] = excess
            e.energy[lane] = plug_kg[p] * excess
            e.base[lane] = ground[p]
            g.share[lane], g.rate[lane] = share[p], rate[p]
            g.held_kg[lane] = plug_kg[p] + 2.0 * wall_kg[p]

    cdef void* _zeros(self, Py_ssize_t count, kind, values=None):
        """An array of the kernel's own, at least one element long, zero beyond the values."""
        array = np.zeros(max(count, 1), kind)
        if values is not None:
            array[:len(values)] = values
        self.kept.append(array)
        return address(array)

    cdef void* _lines(self, size_t size):
        """Zeroed memory that begins with a cache line: no eight of a column lie in two."""
        cdef uintptr_t first = <uintptr_t> self._zeros(size + 64, np.int8)
        return <void*> ((first + 63) // 64 * 64)

    def step(self, double dt_s, const double[::1] flow_kg_s, const double[::1] inflow_temp_c,
             const double[::1] inflow_kg_s, const double[::1] ground_temp_c, bint new_ground):
        """Advance by dt_s. Temperatures of nodes are written into the array given at construction.

        inflow_temp_c: None keeps the last. inflow_kg_s: None = what the pipes miss. Returns -1; or the first
        pipe whose flow is not finite; or -2 for an inflow that is infinite. Then nothing has changed.
        """
        cdef int32_t bad
        cdef const double *inflow = NULL
        cdef const double *given = NULL
        if self.pipes == 0:
            return -1
        if inflow_temp_c is not None:
            inflow = &inflow_temp_c[0]
        if inflow_kg_s is not None:
            given = &inflow_kg_s[0]
        if new_ground:
            self.n.ground_still = 0
        with nogil:
            bad = transport_step(&self.n, dt_s, &flow_kg_s[0], inflow, given, &ground_temp_c[0])
        return bad

    def claim(self):
        """Take the transport for one thread; False while another one has it."""
        if self.busy:
            return False
        self.busy = 1
        return True

    def release(self):
        """Give it back."""
        self.busy = 0

    @property
    def loss_kg_k(self):
        """Heat given to the ground in the last step, kg K."""
        return self.n.loss

    @property
    def entered_kg_k(self):
        """Heat of the water that entered from outside in the last step, counted from 0 degC, kg K."""
        return self.n.entered

    @property
    def left_kg_k(self):
        """Heat of the water that left in the last step, counted from 0 degC, kg K."""
        return self.n.left

    def stored_kg_k(self):
        """Heat in all pipes with their walls, kg degC."""
        cdef Py_ssize_t s
        cdef double total = 0.0
        cdef Pipes *n = &self.n
        with nogil:
            for s in range(n.pipes):
                total += held_heat(n, s) + n.eight_given[s // 8].held_kg[s % 8] * n.eight[s // 8].base[s % 8]
        return total

    def mean_temps(self, double[::1] out):
        """Write each pipe's mean temperature; a pipe without volume takes that of its first-named node."""
        cdef Py_ssize_t p, s
        cdef Pipes *n = &self.n
        cdef double held
        with nogil:
            for p in range(n.pipes):
                s = n.place[p]
                held = n.eight_given[s // 8].held_kg[s % 8]
                if held > 0.0:
                    out[p] = n.eight[s // 8].base[s % 8] + held_heat(n, s) / held
                else:
                    out[p] = n.node_temp[n.from_[p]]

    def parcels(self, Py_ssize_t pipe):
        """Masses and mean temperatures in one pipe from its first-named end to the second (a copy)."""
        cdef Pipes *n = &self.n
        cdef int32_t p = <int32_t> pipe, s = n.place[p]
        cdef Eight *e = n.eight + s // 8
        cdef int lane = s % 8
        cdef double now = e.clock[lane], base = e.base[lane]
        cdef Parcel c
        rows = []  # from the outlet to the inlet
        if e.wall_kg[lane] > 0.0:
            rows.append((e.wall_kg[lane], base + e.w_out[lane]))
        if e.ringed[lane]:
            for i in range(n.count[p]):
                c = ring_at(n, p, i)[0]
                rows.append((c.mass, base + mean_excess(c.tag, c.rise, c.x_in, c.x_out, now)))
        elif e.plug_kg[lane] > 0.0:
            rows.append(
                (e.plug_kg[lane],
                 base + mean_excess(e.tag[lane], e.rise[lane], e.x_in[lane], e.x_out[lane], now)))
        if e.wall_kg[lane] > 0.0:
            rows.append((e.wall_kg[lane], base + e.w_in[lane]))
        if not n.turned[p]:
            rows.reverse()
        return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
