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

    ctypedef struct Pipes:
        int32_t pipes, padded, nodes, capacity, level, sorted, ground_still
        double merge_k, dt, loss, entered, left
        const int32_t *from_ "from"
        const int32_t *to
        const int32_t *slot_start
        const int32_t *slot_pipe
        const double *plug_kg
        const double *wall_kg
        const double *share
        const double *rate
        const double *held_kg
        double *node_temp
        double *inflow
        double *flow
        double *moved
        double *gone
        double *part
        double *filled
        double *pass_in
        double *pass_old
        double *take_in
        double *take_old
        double *clock_step
        double *keep
        double *half
        double *through
        double *fresh
        double *energy
        double *tag
        double *rise
        double *x_in
        double *x_out
        double *clock
        double *w_in
        double *w_out
        double *base
        double *base_next
        double *squeezed_k
        int64_t *ringed
        int32_t *head
        int32_t *count
        Parcel *ring
        double *delivered
        double *retained
        double *offset
        double *gain
        double *fed
        int32_t *up
        int32_t *down
        int32_t *order
        int32_t *waiting
        int32_t *in_start
        int32_t *in_pipe
        int32_t *in_node
        int32_t *in_cut
        int32_t *standing
        int32_t *back
        int8_t *sign
        int8_t *turned
        double *in_kg
        int8_t *kind
        double *enters_kg
        double *leaves_kg
        double *inverse
        double *work
        double *cut
        double *system
        double *answer

    const int MOST_CUTS
    int32_t transport_step(Pipes *n, double dt, const double *flow, const double *inflow,
                           const double *given, const double *ground)
    double mean_excess(double tag, double rise, double x_in, double x_out, double now)
    Parcel *ring_at(const Pipes *n, int32_t p, int32_t i)


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

        excess = np.asarray(initial_temp_c) - np.asarray(ground_temp_c)
        n.plug_kg = self._column(plug_kg)
        n.wall_kg = self._column(wall_kg)
        n.share = self._column(share, 1.0)
        n.rate = self._column(rate_per_s)
        n.held_kg = self._column(np.asarray(plug_kg) + 2.0 * np.asarray(wall_kg))
        n.energy = self._column(np.asarray(plug_kg) * excess)
        n.flow = self._column(None)
        n.moved = self._column(None)
        n.gone, n.part, n.filled = self._column(None), self._column(None), self._column(None)
        n.pass_in, n.pass_old = self._column(None), self._column(None)
        n.take_in, n.take_old = self._column(None), self._column(None)
        n.clock_step, n.keep, n.half = self._column(None), self._column(None), self._column(None)
        n.through, n.fresh = self._column(None), self._column(None)
        n.tag, n.rise = self._column(excess), self._column(None)
        n.x_in, n.x_out, n.clock = self._column(None), self._column(None), self._column(None)
        n.w_in, n.w_out = self._column(excess), self._column(excess)
        n.base, n.base_next = self._column(ground_temp_c), self._column(None)
        n.squeezed_k = self._column(None)
        n.delivered, n.retained = self._column(None), self._column(None)
        n.offset, n.gain, n.fed = self._column(None), self._column(None), self._column(None)
        n.ringed = <int64_t*> self._zeros(padded, np.int64)
        n.head = <int32_t*> self._zeros(padded, np.int32)
        n.count = <int32_t*> self._zeros(padded, np.int32)
        n.ring = <Parcel*> self._zeros(pipes * capacity * 5, np.float64)
        n.up = <int32_t*> self._zeros(pipes, np.int32, from_node)
        n.down = <int32_t*> self._zeros(pipes, np.int32, to_node)
        n.order = <int32_t*> self._zeros(nodes, np.int32)
        n.waiting = <int32_t*> self._zeros(nodes, np.int32)
        n.in_start = <int32_t*> self._zeros(nodes + 1, np.int32)
        n.in_pipe = <int32_t*> self._zeros(pipes, np.int32)
        n.in_node = <int32_t*> self._zeros(pipes, np.int32)
        n.in_cut = <int32_t*> self._zeros(pipes, np.int32)
        n.standing = <int32_t*> self._zeros(nodes, np.int32)
        n.back = <int32_t*> self._zeros(pipes, np.int32)
        n.sign = <int8_t*> self._zeros(pipes, np.int8)
        n.turned = <int8_t*> self._zeros(pipes, np.int8)
        n.in_kg = <double*> self._zeros(nodes, np.float64)
        n.kind = <int8_t*> self._zeros(nodes, np.int8)
        n.enters_kg = <double*> self._zeros(nodes, np.float64)
        n.leaves_kg = <double*> self._zeros(nodes, np.float64)
        n.inverse = <double*> self._zeros(nodes, np.float64)
        n.work = <double*> self._zeros(nodes, np.float64)
        n.cut = <double*> self._zeros(pipes, np.float64)
        n.system = <double*> self._zeros(MOST_CUTS * MOST_CUTS, np.float64)
        n.answer = <double*> self._zeros(MOST_CUTS, np.float64)

    cdef void* _zeros(self, Py_ssize_t count, kind, values=None):
        """An array of the kernel's own, at least one element long, zero beyond the values."""
        array = np.zeros(max(count, 1), kind)
        if values is not None:
            array[:len(values)] = values
        self.kept.append(array)
        return address(array)

    cdef double* _column(self, values, double pad=0.0):
        array = np.full(max(self.n.padded, 1), pad)
        array[:self.pipes] = 0.0 if values is None else values
        self.kept.append(array)
        return <double*> address(array)

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
        cdef Py_ssize_t p
        cdef double total = 0.0
        cdef Pipes *n = &self.n
        with nogil:
            for p in range(n.pipes):
                total += n.energy[p] + n.wall_kg[p] * (n.w_in[p] + n.w_out[p]) + n.held_kg[p] * n.base[p]
        return total

    def mean_temps(self, double[::1] out):
        """Write each pipe's mean temperature; a pipe without volume takes that of its first-named node."""
        cdef Py_ssize_t p
        cdef Pipes *n = &self.n
        cdef double heat
        with nogil:
            for p in range(n.pipes):
                if n.held_kg[p] > 0.0:
                    heat = n.energy[p] + n.wall_kg[p] * (n.w_in[p] + n.w_out[p])
                    out[p] = n.base[p] + heat / n.held_kg[p]
                else:
                    out[p] = n.node_temp[n.from_[p]]

    def parcels(self, Py_ssize_t pipe):
        """Masses and mean temperatures in one pipe from its first-named end to the second (a copy)."""
        cdef Pipes *n = &self.n
        cdef int32_t p = <int32_t> pipe
        cdef double now = n.clock[p], base = n.base[p]
        cdef Parcel c
        rows = []  # from the outlet to the inlet
        if n.wall_kg[p] > 0.0:
            rows.append((n.wall_kg[p], base + n.w_out[p]))
        if n.ringed[p]:
            for i in range(n.count[p]):
                c = ring_at(n, p, i)[0]
                rows.append((c.mass, base + mean_excess(c.tag, c.rise, c.x_in, c.x_out, now)))
        elif n.plug_kg[p] > 0.0:
            rows.append(
                (n.plug_kg[p], base + mean_excess(n.tag[p], n.rise[p], n.x_in[p], n.x_out[p], now)))
        if n.wall_kg[p] > 0.0:
            rows.append((n.wall_kg[p], base + n.w_in[p]))
        if not n.turned[p]:
            rows.reverse()
        return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
