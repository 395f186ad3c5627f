# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What many resistance thermometers show: each follows the truth with its lag and errs in its own way.

Plain arithmetic without a function call, the same bits at every instruction level. The GIL is released.
Callers own and check the arrays, all of one shape; nothing is checked and nothing allocated here.
"""


def follow(double[:, ::1] shown_c, const double[:, ::1] truth_c, const double[:, ::1] share,
           const double[:, ::1] error_share, const double[:, ::1] offset_k, const double[:, ::1] gap,
           double r0, double a, double b, double c, double band_k, double band_share, double[:, ::1] ohm):
    """Move shown_c by its share towards the truth, and write the resistance of IEC 60751 to ohm.

    error_share: of the tolerance band (band_k + band_share |t|). gap: 0, or NaN for an open circuit.
    """
    cdef Py_ssize_t i, rows = shown_c.shape[0] * shown_c.shape[1]
    cdef double t, cold
    if rows == 0:
        return
    cdef double *state = &shown_c[0, 0]
    cdef double *out = &ohm[0, 0]
    cdef const double *true_ = &truth_c[0, 0]
    cdef const double *part = &share[0, 0]
    cdef const double *error = &error_share[0, 0]
    cdef const double *offset = &offset_k[0, 0]
    cdef const double *open_ = &gap[0, 0]
    with nogil:
        for i in range(rows):
            t = state[i] + (true_[i] - state[i]) * part[i]
            state[i] = t
            t = t + error[i] * (band_k + band_share * (t if t > 0.0 else -t)) + offset[i]
            cold = t if t < 0.0 else 0.0
            out[i] = r0 * (1.0 + t * (a + t * b) + c * (cold - 100.0) * (cold * cold * cold)) + open_[i]
