# The state of one network's kernel, for the kernels that fill in its coefficients.
from libc.stdint cimport int8_t, int32_t

cdef extern from "_lanes.h":
    ctypedef struct Lanes:
        unsigned char spoiled

cdef extern from "_net.h":
    ctypedef struct Column:
        double excess, rhs, pressure, injection
    ctypedef struct Group:
        pass
    ctypedef struct Other:
        pass
    ctypedef struct Regulator:
        int32_t link, place_a, place_b
        double weight_a, weight_b, setting_pa
        int8_t wanted, state
    ctypedef struct Net:
        int32_t groups, alias_group, places, fixed_at, trash_at, links, nodes, slots, entries, widest
        int32_t quad_at, limited_at, other_at, peeled_pipe_at, peeled_pipe_shift, peeled_other_at, blocks
        int32_t peeled, imposed_links, pinned_links, aliases, regulators, active_regulators
        int form, level
        const Group* group
        const int32_t* row
        const int32_t* link
        const int32_t* target
        const int32_t* slot
        const int32_t* first
        const int32_t* second
        const int32_t* place
        const int32_t* node_of
        const int32_t* peel_place
        const int32_t* peel_parent
        const int32_t* peel_slot
        const int8_t* kind
        const int32_t* pinned
        const int32_t* imposed_link
        const int32_t* alias_place
        const int32_t* alias_of
        const double* curve_flow
        const double* curve_dp
        const double* level_pa
        double* pipe
        double* quad
        double* limited
        double* imposed
        double* injection
        double* offset
        double* given_pa
        float* cold
        Other* other
        Regulator* regulator
        int8_t* open
        Column* column
        double* w
        double* y
        double* q
        double* entry
        double* scratch
        double* saved
        double* border
        double* inflow
        unsigned char* mask
        unsigned char* at_limit
        unsigned char* stale
        int8_t* act
        int8_t* seen
        int8_t* known
        int8_t* dead
        int32_t* root
        double* sums
        int labelled, warm, limited_now, robust, careful, evaluated
        int32_t unreferenced
        int iterations
        double residual_pressure_pa, residual_mass_kg_s
        Lanes* lanes
    void forget_laws(Net* n) noexcept nogil
    void put_quadratic(Net* n, int32_t e, double k, double linear_below, double cold) noexcept nogil
    int has_quadratic(const Net* n, int32_t e, double k, double low, double high) noexcept nogil
    void put_other(Net* n, int32_t e, int field, double value) noexcept nogil
    void put_cold(Net* n, int32_t e, double cold) noexcept nogil
    int put_limits(Net* n, int32_t e, double low, double high) noexcept nogil
    void get_limits(const Net* n, int32_t e, double* low, double* high) noexcept nogil
    void put_pressure(Net* n, int32_t place, double pressure_pa) noexcept nogil


cdef class Newton:
    cdef Net net
    cdef readonly dict arrays
    cdef object kept
    cdef int solve_into(self, bint warm, double tol_pa, double tol_kg_s, double flow_tol, int most,
                        bint penalised, double[::1] flow, double[::1] pressure, double[::1] inflow,
                        int8_t[::1] known) noexcept nogil
    cdef void take_state(self, Newton source) noexcept nogil
    cdef bint open_lanes(self) noexcept nogil
    cdef bint take_lane(self, int lane) noexcept nogil
    cdef void begin_lanes(self, Newton source) noexcept nogil
    cdef unsigned step_lanes(self, int step, bint cold) noexcept nogil
    cdef unsigned spoiled_lanes(self) noexcept nogil
    cdef int finish_lane(self, int lane, int steps, double tol_pa, double tol_kg_s, double flow_tol,
                         int most, double[::1] flow, double[::1] pressure, double[::1] inflow,
                         int8_t[::1] known) noexcept nogil
    cdef void mark(self, unsigned char[::1] out) noexcept nogil
