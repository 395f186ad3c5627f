# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Steps of many substations and houses at once, each over a range of houses and without the GIL.

The work is done in _substations.h; this class holds a matrix that is its caller's. Callers go through
core_ext.substations, which makes the matrix and checks what may be wrong; nothing is checked here.
"""

from libc.stdint cimport int32_t, int64_t

cdef extern from "_substations.h" nogil:
    ctypedef struct Houses:
        double *columns
        int64_t padded
        int32_t level
        double cp_j_kgk, flow_exponent, radiator_exponent, least_share, primary_pull, secondary_pull
        double overshoot, least_flow_kg_s

    const int COLUMN_COUNT
    const char *column_names[]
    void houses_move(const Houses *h, int64_t begin, int64_t end)
    void houses_exchange(const Houses *h, double dt, int64_t begin, int64_t end)
    int64_t houses_pump(const Houses *h, double dt, int64_t begin, int64_t end)
    void houses_heat(const Houses *h, double dt, double outdoor_c, int64_t begin, int64_t end)


def columns():
    """Return the names of the matrix's rows, in their order."""
    return tuple(column_names[i].decode() for i in range(COLUMN_COUNT))


cdef class Kernel:
    """Steps of the houses in `matrix`; ranges begin and end at whole groups of eight."""

    cdef Houses h
    cdef object kept

    def __init__(self, double[:, ::1] matrix, int level, double cp_j_kgk, double flow_exponent,
                 double radiator_exponent, double least_share, double primary_pull, double secondary_pull,
                 double overshoot, double least_flow_kg_s):
        self.kept = matrix
        self.h.columns = &matrix[0, 0]
        self.h.padded = matrix.shape[1]
        self.h.level = level
        self.h.cp_j_kgk, self.h.flow_exponent = cp_j_kgk, flow_exponent
        self.h.radiator_exponent, self.h.least_share = radiator_exponent, least_share
        self.h.primary_pull, self.h.secondary_pull = primary_pull, secondary_pull
        self.h.overshoot, self.h.least_flow_kg_s = overshoot, least_flow_kg_s

    def move(self, int64_t begin, int64_t end):
        """Run the actuators; kv of valve and exchanger in series lies in its row."""
        with nogil:
            houses_move(&self.h, begin, end)

    def exchange(self, double dt_s, int64_t begin, int64_t end):
        """Advance exchangers alone, with the secondary flows and inlets of their rows."""
        with nogil:
            houses_exchange(&self.h, dt_s, begin, end)

    def pump(self, double dt_s, int64_t begin, int64_t end):
        """Write the circuits' flows; return the first house with too long a step for its radiators, or -1."""
        cdef int64_t bad
        with nogil:
            bad = houses_pump(&self.h, dt_s, begin, end)
        return bad

    def heat(self, double dt_s, double outdoor_c, int64_t begin, int64_t end):
        """Advance exchangers, radiators and rooms with the circuits' flows of `pump`."""
        with nogil:
            houses_heat(&self.h, dt_s, outdoor_c, begin, end)
