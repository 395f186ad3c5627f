# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Solves scenarios without the GIL, eight side by side in the lanes of _lanes.h, so that threads share cores.

One `Scenarios` belongs to one thread and one kernel of its own. Every scenario begins at the same solution,
whoever solved before it, so that results do not depend on how the work is shared out. It checks nothing but
what the coefficient kernels check, and names nothing: rows and scenarios are numbers.
"""

import numpy as np

from libc.stdint cimport int8_t, int32_t
from libc.string cimport memcpy

from ._elements cimport FINE, Laws
from ._newton cimport Newton

cdef enum:
    MOST = 32
    MOST_STEPS = 15

# beside what the kernel returns: values without a meaning, or a limit that it was not laid out for
cpdef enum:
    BAD_ROW = 100
    NEEDS_LAYOUT = 101

cpdef enum:
    LANES = 8  # scenarios side by side


cdef class Scenarios:
    """columns: (destination, stack) pairs: a column the laws read, float64 or int8, and what it becomes in
    each scenario, (scenarios, rows). laws: of the tables these columns belong to. base: a kernel that holds a
    solution of the same layout, None to begin cold. single: (destination, laws, rows, values) of one more
    value changed in each scenario and put back after it, in turn of its own destination; None for none.
    lanes: whether scenarios that have open what the kernel has open now may go side by side; in_lanes counts
    those that did.
    """

    cdef Newton kernel, base
    cdef Laws law0, law1, law2, law3, law4, law5
    cdef int laws, columns
    cdef bint lanes
    cdef readonly Py_ssize_t in_lanes
    cdef double old
    cdef object kept
    cdef double* wide[MOST]
    cdef int8_t* narrow[MOST]
    cdef const double* stack[MOST]
    cdef Py_ssize_t rows[MOST]
    cdef double* single_wide
    cdef int8_t* single_narrow
    cdef Laws single_law
    cdef const int32_t[::1] single_row
    cdef const double[::1] single_value

    def __init__(self, Newton kernel, Newton base, columns, laws, single=None, bint lanes=True):
        cdef const double[:, ::1] stack
        cdef double[::1] wide
        cdef int8_t[::1] narrow
        if len(columns) > MOST or len(laws) > 6:
            raise ValueError("too many columns change at once")
        self.kernel, self.base = kernel, base
        self.kept = (tuple(columns), single)
        self.columns, self.laws = len(columns), len(laws)
        padded = [*laws, *[Laws()] * (6 - len(laws))]
        self.law0, self.law1, self.law2, self.law3, self.law4, self.law5 = padded
        for i, (column, values) in enumerate(columns):
            self.rows[i] = len(column)
            self.wide[i] = NULL
            self.narrow[i] = NULL
            self.stack[i] = NULL
            if not len(column):
                continue
            stack = values
            self.stack[i] = &stack[0, 0] if len(values) else NULL
            if column.dtype == np.int8:
                narrow = column
                self.narrow[i] = &narrow[0]
            else:
                wide = column
                self.wide[i] = &wide[0]
        self.single_wide = NULL
        self.single_narrow = NULL
        self.single_law = None
        if single is not None:
            column, self.single_law, self.single_row, self.single_value = single
            if column.dtype == np.int8:
                narrow = column
                self.single_narrow = &narrow[0]
            else:
                wide = column
                self.single_wide = &wide[0]
        # one value changed and put back is mostly one that shuts something: each its own topology
        self.lanes = lanes and single is None and kernel.open_lanes()

    cdef Py_ssize_t fill(self) noexcept nogil:
        """Fill the coefficients of all tables that change; the first complaint."""
        cdef Py_ssize_t bad = FINE
        if self.laws > 0:
            bad = self.law0.fill()
        if bad == FINE and self.laws > 1:
            bad = self.law1.fill()
        if bad == FINE and self.laws > 2:
            bad = self.law2.fill()
        if bad == FINE and self.laws > 3:
            bad = self.law3.fill()
        if bad == FINE and self.laws > 4:
            bad = self.law4.fill()
        if bad == FINE and self.laws > 5:
            bad = self.law5.fill()
        return bad

    cdef void put(self, Py_ssize_t scenario) noexcept nogil:
        """Copy the scenario's columns to where the laws read them."""
        cdef Py_ssize_t row
        cdef const double* source
        for i in range(self.columns):
            source = self.stack[i] + scenario * self.rows[i]
            if self.narrow[i] != NULL:
                for row in range(self.rows[i]):
                    self.narrow[i][row] = <int8_t> source[row]
            elif self.wide[i] != NULL:
                memcpy(self.wide[i], source, <size_t> self.rows[i] * sizeof(double))

    cdef double swap(self, Py_ssize_t row, double value) noexcept nogil:
        """Write one value of the single column and return what stood there."""
        cdef double old
        if self.single_narrow != NULL:
            old = self.single_narrow[row]
            self.single_narrow[row] = <int8_t> value
        else:
            old = self.single_wide[row]
            self.single_wide[row] = value
        return old

    cdef Py_ssize_t prepare(self, Py_ssize_t i) noexcept nogil:
        """Fill in scenario i, single value and all; the first complaint."""
        cdef Py_ssize_t bad
        self.put(i)
        if self.single_law is not None:
            self.old = self.swap(self.single_row[i], self.single_value[i])
            bad = self.single_law.fill()
            if bad != FINE:
                return bad
        return self.fill()

    cdef void begin_alone(self) noexcept nogil:
        """Set the kernel to where every scenario begins."""
        if self.base is not None:
            self.kernel.take_state(self.base)
        else:
            self.kernel.net.warm = 0

    def run(
        self, Py_ssize_t begin, Py_ssize_t end, double tol_pa, double tol_kg_s, double flow_tol, int most,
        double[:, ::1] flow, double[:, ::1] pressure, double[:, ::1] inflow, int8_t[:, ::1] known,
        unsigned char[:, ::1] marks, int32_t[::1] status, int32_t[::1] iterations, int8_t[::1] robust,
        double[:, ::1] residual, Py_ssize_t at,
    ):
        """Solve scenarios begin to end; scenario i goes to row i - at of every array but the stacks.

        status: what the kernel returned, BAD_ROW or NEEDS_LAYOUT; robust: whether it needed penalties;
        residual: pressure and mass. marks are written only where a limit, a regulator or a lost reference
        makes them interesting; else they stay.
        """
        cdef Py_ssize_t i = begin, row, bad
        cdef Py_ssize_t alone[LANES]
        cdef Py_ssize_t side[LANES]
        cdef int together, apart, lane, step
        cdef unsigned pending, settled
        with nogil:
            while i < end:
                together = apart = 0
                # as many as there are lanes, in lanes or alone
                while i < end and together < LANES and apart < LANES:
                    if not self.lanes:
                        alone[apart] = i
                        apart += 1
                        i += 1
                        continue
                    bad = self.prepare(i)
                    if bad != FINE:
                        status[i - at] = BAD_ROW if bad >= 0 else NEEDS_LAYOUT
                        iterations[i - at] = 0
                    elif self.kernel.take_lane(together):
                        side[together] = i
                        together += 1
                    else:
                        alone[apart] = i
                        apart += 1
                    i += 1
                pending = (1u << together) - 1
                if pending:
                    self.kernel.begin_lanes(self.base)
                step = 0
                while pending and step < MOST_STEPS:
                    settled = self.kernel.step_lanes(step, self.base is None) & pending
                    step += 1
                    for lane in range(together):
                        if settled >> lane & 1:
                            self.in_lanes += 1
                            row = side[lane] - at
                            status[row] = self.kernel.finish_lane(
                                lane, step, tol_pa, tol_kg_s, flow_tol, most,
                                flow[row], pressure[row], inflow[row], known[row],
                            )
                            self.note(row, marks, status, iterations, robust, residual)
                    pending &= ~settled
                    if not pending & ~self.kernel.spoiled_lanes():
                        break
                for lane in range(together + apart):
                    if lane < together and not pending >> lane & 1:
                        continue
                    bad = side[lane] if lane < together else alone[lane - together]
                    row = bad - at
                    self.begin_alone()
                    bad = self.prepare(bad)
                    if bad != FINE:
                        status[row] = BAD_ROW if bad >= 0 else NEEDS_LAYOUT
                        iterations[row] = 0
                    else:
                        status[row] = self.kernel.solve_into(
                            self.base is not None, tol_pa, tol_kg_s, flow_tol, most, False,
                            flow[row], pressure[row], inflow[row], known[row],
                        )
                        self.note(row, marks, status, iterations, robust, residual)
                    if self.single_law is not None:
                        self.swap(self.single_row[row + at], self.old)
                        self.single_law.fill()

    cdef void note(
        self, Py_ssize_t row, unsigned char[:, ::1] marks, int32_t[::1] status, int32_t[::1] iterations,
        int8_t[::1] robust, double[:, ::1] residual,
    ) noexcept nogil:
        """Write down how the kernel's last solve ended."""
        iterations[row] = self.kernel.net.iterations
        robust[row] = self.kernel.net.robust != 0
        residual[row, 0] = self.kernel.net.residual_pressure_pa
        residual[row, 1] = self.kernel.net.residual_mass_kg_s
        if (status[row] or self.kernel.net.limited_now or self.kernel.net.unreferenced
                or self.kernel.net.regulators):
            self.kernel.mark(marks[row])
