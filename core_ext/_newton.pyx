# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Numeric phase of the hydraulic solver: owns the arrays of _net.h and runs _newton.h on them.

While it solves it allocates nothing (but the line search, when it is first needed) and holds no GIL. It never
looks at names, units of files or tables.
"""

import numpy as np

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int8_t, int32_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memset

cdef extern from "_newton.h":
    enum:
        IMPOSED
        CONVERGED
        TOO_MANY_STEPS
        OVERFLOWED
        NO_MEMORY
    int newton_solve(Net* n, int warm, double tol_pa, double tol_kg_s, double flow_tol, int most,
                     int penalised) noexcept nogil
    void newton_publish(Net* n, double* flow, double* pressure, double* inflow, int8_t* known) noexcept nogil
    void newton_laws(Net* n, const double* flow, double* drop, double* slope) noexcept nogil
    double newton_pipe_drop(int form, double m, const double* p) noexcept nogil
    void newton_factor(Net* n) noexcept nogil
    void newton_take_state(Net* to, const Net* source) noexcept nogil
    void newton_marks(const Net* n, unsigned char* marks) noexcept nogil
    void newton_conductances(const Net* n, double* conductance) noexcept nogil
    void newton_respond(const Net* n, const double* injection, double* change, int count,
                        double* x) noexcept nogil
    int state_of(const Net* n, int32_t e) noexcept nogil
    int lanes_open(Net* n) noexcept nogil
    void lanes_free(Net* n) noexcept nogil
    int lanes_take(Net* n, int lane) noexcept nogil
    void lanes_begin(Net* n, const Net* base) noexcept nogil
    unsigned lanes_step(Net* n, int step, int cold) noexcept nogil
    int lanes_finish(Net* n, int lane, int steps, double tol_pa, double tol_kg_s, double flow_tol,
                     int most) noexcept nogil
    const int column_bytes "sizeof(Column)"
    const int other_bytes "sizeof(Other)"
    const int regulator_bytes "sizeof(Regulator)"

OTHER = np.dtype(
    {
        "names": ["p", "low", "high", "kind", "direction", "state"],
        "formats": [("<f8", (6,)), "<f8", "<f8", "i1", "i1", "i1"],
        "offsets": [0, 48, 56, 64, 65, 66],
        "itemsize": other_bytes,
    }
)
REGULATOR = np.dtype(
    {
        "names": ["link", "place_a", "place_b", "weight_a", "weight_b", "setting_pa", "wanted", "state"],
        "formats": ["<i4", "<i4", "<i4", "<f8", "<f8", "<f8", "i1", "i1"],
        "offsets": [0, 4, 8, 16, 24, 32, 40, 41],
        "itemsize": regulator_bytes,
    }
)
COLUMN = np.dtype([(name, "<f8") for name in ("excess", "rhs", "pressure", "injection")])
FLOAT = np.dtype(np.float64)


def pipe_drop(int form, double flow, coefficients):
    """Pressure drop of a pipe with the given four coefficients."""
    cdef double[::1] p = np.ascontiguousarray(coefficients, np.float64)
    return newton_pipe_drop(form, flow, &p[0])


def aligned(count, dtype):
    """Zeros on a boundary of 64 bytes, so that no vector straddles two cache lines."""
    size = max(count, 1) * dtype.itemsize
    room = np.zeros(size + 64, np.uint8)
    begin = (64 - <uintptr_t> address(room) % 64) % 64
    return room[begin:begin + size].view(dtype)[:count]


cdef void* address(object array) except *:
    # an array's own attribute for this builds objects: fifty of them were a tenth of a small network's
    # set-up. The array outlives its pointer here, so the buffer need not be held
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)
    return view.buf


cdef class Newton:
    """One network's numeric state; the layout is shared and never written to.

    `arrays` are shared with the caller, who fills them between runs: pipe (blocks of 4 x 8), quad, limited,
    other (records), imposed (by row of imposed links), injection and level_pa (by place), cold (by slot),
    open (by link), column (by place). `run` returns 0 when it converged.
    """

    def __init__(self, layout, int form, int level, kind, imposed, pinned, curve_flow, curve_dp, level_pa):
        cdef Net* n = &self.net
        memset(n, 0, sizeof(Net))
        begin = layout.begin
        n.groups = layout.groups
        n.alias_group = layout.groups - layout.alias_groups
        n.places = layout.places
        n.fixed_at = layout.fixed_at
        n.trash_at = layout.trash_at
        n.links = layout.links
        n.nodes = layout.nodes
        n.entries = layout.entries + 8
        n.widest = layout.widest
        n.quad_at, n.limited_at, n.other_at, n.peeled_pipe_at = begin[1:5]
        n.peeled_other_at, n.blocks = begin[5:7]
        n.peeled_pipe_shift = n.peeled_pipe_at - n.quad_at
        n.slots = 8 * n.blocks
        n.peeled = len(layout.peel_place)
        n.imposed_links = len(imposed)
        n.pinned_links = len(pinned)
        n.aliases = len(layout.alias_place)
        n.form = form
        n.level = level
        pipes = n.quad_at + n.peeled_other_at - n.peeled_pipe_at
        quads = n.limited_at - n.quad_at
        limits = n.other_at - n.limited_at
        others = n.peeled_pipe_at - n.other_at + n.blocks - n.peeled_other_at
        slot = layout.slot
        if len(imposed):
            slot = slot.copy()
            slot[imposed] = ~np.arange(len(imposed), dtype=np.int32)
        a = {
            "pipe": aligned(32 * pipes, FLOAT), "quad": aligned(16 * quads, FLOAT),
            "limited": aligned(32 * limits, FLOAT), "other": aligned(8 * others, OTHER),
            "imposed": np.zeros(max(len(imposed), 1)), "injection": np.zeros(n.places),
            "cold": np.zeros(n.slots + 1, np.float32), "open": np.ones(max(n.links, 1), np.int8),
            "column": aligned(n.places, COLUMN), "w": aligned(n.slots, FLOAT), "y": aligned(n.slots, FLOAT),
            "q": aligned(n.slots, FLOAT), "act": np.zeros(max(n.links, 1), np.int8), "slot": slot,
            "known": np.ones(n.places, np.int8), "inflow": np.zeros(n.places),
        }
        own = {
            "entry": aligned(n.entries, FLOAT), "scratch": aligned(16 * max(n.widest, 1), FLOAT),
            "mask": np.zeros(n.blocks + 1, np.uint8),
            "at_limit": np.zeros(2 * limits + 1, np.uint8),
            "stale": np.ones(n.peeled_other_at - n.peeled_pipe_at + 1, np.uint8),
            "seen": np.full(max(n.links, 1), -1, np.int8),
            "dead": np.zeros(n.places, np.int8), "root": np.zeros(n.places, np.int32),
            "sums": np.zeros(2 * n.places), "given_pa": np.zeros(n.places - n.fixed_at),
            "kind": np.ascontiguousarray(kind, np.int8),
            "imposed_link": np.ascontiguousarray(imposed, np.int32),
            "pinned": np.ascontiguousarray(pinned, np.int32),
        }
        # laws that divide by a coefficient must find none in an empty lane: a pipe of Re 1 at 1 kg/s
        a["pipe"][:] = 1.0
        a["quad"][:] = 1.0
        a["limited"].reshape(-1, 4, 8)[:] = np.array([1.0, 1.0, -np.inf, np.inf])[:, None]
        a["other"]["low"] = -np.inf
        a["other"]["high"] = np.inf
        a["other"]["direction"] = 1
        self.arrays = a
        self.kept = (own, layout, curve_flow, curve_dp, level_pa)
        n.group = <const Group*> address(layout.group)
        n.row = <const int32_t*> address(layout.row)
        n.link = <const int32_t*> address(layout.link)
        n.target = <const int32_t*> address(layout.target)
        n.first = <const int32_t*> address(layout.first)
        n.second = <const int32_t*> address(layout.second)
        n.place = <const int32_t*> address(layout.place)
        n.node_of = <const int32_t*> address(layout.node_of)
        n.peel_place = <const int32_t*> address(layout.peel_place)
        n.peel_parent = <const int32_t*> address(layout.peel_parent)
        n.peel_slot = <const int32_t*> address(layout.peel_slot)
        n.alias_place = <const int32_t*> address(layout.alias_place)
        n.alias_of = <const int32_t*> address(layout.alias_of)
        n.slot = <const int32_t*> address(slot)
        n.kind = <const int8_t*> address(own["kind"])
        n.pinned = <const int32_t*> address(own["pinned"])
        n.imposed_link = <const int32_t*> address(own["imposed_link"])
        n.curve_flow = <const double*> address(curve_flow)
        n.curve_dp = <const double*> address(curve_dp)
        if level_pa is not None:
            n.level_pa = <const double*> address(level_pa)
        n.pipe = <double*> address(a["pipe"])
        n.quad = <double*> address(a["quad"])
        n.limited = <double*> address(a["limited"])
        n.other = <Other*> address(a["other"])
        n.imposed = <double*> address(a["imposed"])
        n.injection = <double*> address(a["injection"])
        n.cold = <float*> address(a["cold"])
        n.open = <int8_t*> address(a["open"])
        n.act = <int8_t*> address(a["act"])
        n.column = <Column*> address(a["column"])
        n.w = <double*> address(a["w"])
        n.y = <double*> address(a["y"])
        n.q = <double*> address(a["q"])
        n.entry = <double*> address(own["entry"])
        n.scratch = <double*> address(own["scratch"])
        n.inflow = <double*> address(a["inflow"])
        n.given_pa = <double*> address(own["given_pa"])
        n.mask = <unsigned char*> address(own["mask"])
        n.at_limit = <unsigned char*> address(own["at_limit"])
        n.stale = <unsigned char*> address(own["stale"])
        n.seen = <int8_t*> address(own["seen"])
        n.known = <int8_t*> address(a["known"])
        n.dead = <int8_t*> address(own["dead"])
        n.root = <int32_t*> address(own["root"])
        n.sums = <double*> address(own["sums"])

    def __dealloc__(self):
        free(self.net.saved)
        free(self.net.border)
        lanes_free(&self.net)

    @property
    def iterations(self):
        return self.net.iterations

    @property
    def residual_pressure_pa(self):
        return self.net.residual_pressure_pa

    @property
    def residual_mass_kg_s(self):
        return self.net.residual_mass_kg_s

    def outcome(self):
        """Of the last run: steps, largest residual of pressure (Pa) and of mass (kg/s)."""
        return self.net.iterations, self.net.residual_pressure_pa, self.net.residual_mass_kg_s

    @property
    def solved(self):
        """Whether the arrays hold a solution."""
        return bool(self.net.warm)

    def flows(self):
        """Flow of every link in the last solution (new array); 0 for sources that fix both pressures."""
        slot, q = self.arrays["slot"], self.arrays["q"]
        out = np.zeros(self.net.links)
        coupled = self.kept[0]["kind"][:self.net.links] < IMPOSED
        code = slot[coupled]
        out[coupled] = np.where(code & 1, -q[code >> 1], q[code >> 1])
        imposed = self.kept[0]["imposed_link"]
        out[imposed] = self.arrays["imposed"][:len(imposed)] * (self.arrays["act"][imposed] != 0)
        return out

    @property
    def limited(self):
        """Whether any open link has a limit."""
        return bool(self.net.limited_now)

    @property
    def robust(self):
        """Whether the last run needed penalties."""
        return bool(self.net.robust)

    @property
    def careful(self):
        """Whether the last run needed the line search."""
        return bool(self.net.careful)

    @property
    def unreferenced(self):
        """How many nodes have no pressure reference."""
        return self.net.unreferenced

    def set_regulators(self, regulators):
        """Give the records of the regulators (kept, not copied)."""
        self.arrays["regulator"] = regulators
        self.net.regulators = <int32_t> len(regulators)
        self.net.regulator = <Regulator*> address(regulators)

    def set_offset(self, offset):
        """Give pressure offsets by slot (kept, not copied); None for none."""
        self.arrays["offset"] = offset
        self.net.evaluated = 0
        self.net.offset = NULL if offset is None else <double*> address(offset)

    def forget(self):
        """Make the next run start cold."""
        self.net.warm = 0

    def states(self):
        """State of every link at its limits (new array): 1 at its upper, -1 at its lower, 0 free."""
        out_np = np.zeros(self.net.links, np.int8)
        cdef int8_t[::1] out = out_np
        cdef int32_t e
        for e in range(self.net.links):
            out[e] = state_of(&self.net, e)
        return out_np

    def marks(self):
        """Of every link (new array): 1 held at a limit, 2 acting, 4 regulating or shut by that, 8 open."""
        out_np = np.zeros(self.net.links, np.uint8)
        cdef unsigned char[::1] out = out_np
        if self.net.links:
            newton_marks(&self.net, &out[0])
        return out_np

    def limits(self):
        """Lowest and highest flow of every link in its own direction (new arrays)."""
        low_np, high_np = np.empty(self.net.links), np.empty(self.net.links)
        cdef double[::1] low = low_np, high = high_np
        cdef int32_t e
        for e in range(self.net.links):
            get_limits(&self.net, e, &low[e], &high[e])
        return low_np, high_np

    def run(self, bint warm, double tol_pa, double tol_kg_s, double flow_tol, int most, bint penalised,
            double[::1] flow, double[::1] pressure, double[::1] inflow, int8_t[::1] known):
        """Solve with the present arrays and publish into the given ones: 0 converged, 1 too many steps,
        2 overflow, 3 no memory, 4 regulators found no states. Releases the GIL; penalised goes straight to
        what is else the last resort.
        """
        cdef int status
        with nogil:
            status = self.solve_into(
                warm, tol_pa, tol_kg_s, flow_tol, most, penalised, flow, pressure, inflow, known
            )
        return status

    cdef int solve_into(
        self, bint warm, double tol_pa, double tol_kg_s, double flow_tol, int most, bint penalised,
        double[::1] flow, double[::1] pressure, double[::1] inflow, int8_t[::1] known,
    ) noexcept nogil:
        """As run, for loops without the GIL."""
        cdef Net* n = &self.net
        cdef int status = newton_solve(n, warm, tol_pa, tol_kg_s, flow_tol, most, penalised)
        if status == CONVERGED:
            newton_publish(n, &flow[0] if n.links else NULL, &pressure[0] if n.nodes else NULL,
                           &inflow[0] if n.nodes else NULL, &known[0] if n.nodes else NULL)
        return status

    def begin_at(self, Newton source):
        """Begin the next run where another kernel of the same layout stands; fill in again what differs."""
        self.take_state(source)

    cdef void take_state(self, Newton source) noexcept nogil:
        """Begin where another kernel of the same layout stands."""
        newton_take_state(&self.net, &source.net)

    cdef bint open_lanes(self) noexcept nogil:
        """Make room for scenarios that have open what is open now; False when lanes are not for this one."""
        return lanes_open(&self.net) != 0

    cdef bint take_lane(self, int lane) noexcept nogil:
        """Put the scenario filled in into a lane; False when it must be solved alone."""
        return lanes_take(&self.net, lane) != 0

    cdef void begin_lanes(self, Newton source) noexcept nogil:
        """Begin all lanes where another kernel of the same layout stands, or cold."""
        if source is None:
            lanes_begin(&self.net, NULL)
        else:
            lanes_begin(&self.net, &source.net)

    cdef unsigned step_lanes(self, int step, bint cold) noexcept nogil:
        """One Newton step; the lanes that have settled, as bits."""
        return lanes_step(&self.net, step, cold)

    cdef unsigned spoiled_lanes(self) noexcept nogil:
        """Lanes that cannot be gone on with, as bits."""
        return self.net.lanes.spoiled

    cdef int finish_lane(
        self, int lane, int steps, double tol_pa, double tol_kg_s, double flow_tol, int most,
        double[::1] flow, double[::1] pressure, double[::1] inflow, int8_t[::1] known,
    ) noexcept nogil:
        """As solve_into, from where a lane has come."""
        cdef Net* n = &self.net
        cdef int status = lanes_finish(n, lane, steps, tol_pa, tol_kg_s, flow_tol, most)
        if status == CONVERGED:
            newton_publish(n, &flow[0] if n.links else NULL, &pressure[0] if n.nodes else NULL,
                           &inflow[0] if n.nodes else NULL, &known[0] if n.nodes else NULL)
        return status

    cdef void mark(self, unsigned char[::1] out) noexcept nogil:
        """As marks, into a given array."""
        if self.net.links:
            newton_marks(&self.net, &out[0])

    def linearise(self):
        """Factorise the matrix at the last solution; return the conductance of every link (new array).

        `respond` may be called until the next run.
        """
        out_np = np.zeros(self.net.links)
        cdef double[::1] out = out_np
        cdef Net* n = &self.net
        if n.links:
            with nogil:
                newton_factor(n)
                newton_conductances(n, &out[0])
        return out_np

    def respond(self, injection):
        """Changes of pressure, (nodes, k), for changes of injection, (nodes, k)."""
        given = np.ascontiguousarray(injection, np.float64)
        out = np.zeros_like(given)
        room_np = np.empty(8 * self.net.places)
        cdef double[:, ::1] part, change
        cdef double[::1] room = room_np
        cdef Net* n = &self.net
        for begin in range(0, given.shape[1], 8):
            part_np = np.ascontiguousarray(given[:, begin:begin + 8])
            change_np = np.zeros_like(part_np)
            part, change = part_np, change_np
            if n.nodes:
                with nogil:
                    newton_respond(n, &part[0, 0], &change[0, 0], <int> part.shape[1], &room[0])
            out[:, begin:begin + 8] = change_np
        return out

    def drops(self, flow):
        """Pressure drop and its derivative of every link at the given flows (new arrays; for tests).

        Forgets the last solution.
        """
        cdef double[::1] m = np.ascontiguousarray(flow, np.float64)
        h_np, g_np = np.zeros(self.net.links), np.zeros(self.net.links)
        cdef double[::1] h = h_np, g = g_np
        self.net.warm = 0
        # masks are set by the first solve; laws do not look at limits
        newton_laws(&self.net, &m[0], &h[0], &g[0])
        return h_np, g_np
