# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What many resistance thermometers show: each follows the truth with its lag and errs in its own way.

Plain arithmetic without a function call, the same bits at every instruction level. The GIL is released.
Callers own and check the arrays, all of one shape but for share; nothing is checked, nothing allocated here.
"""


def follow(double[:, ::1] shown_c, const double[:, ::1] truth_c, const double[::1] share,
           const double[:, ::1] error_share, const double[:, ::1] offset_k,
           double r0, double a, double b, double c, double band_k, double band_share, double[:, ::1] ohm):
    """Move shown_c by its share towards the truth, and write the resistance of IEC 60751 to ohm.

    share: one for each column. error_share: of the tolerance band (band_k + band_share |t|). offset_k: NaN
    for an open circuit.
    """
    cdef Py_ssize_t i, k, at, rows = shown_c.shape[0], columns = shown_c.shape[1]
    cdef double t, cold
    if rows == 0 or columns == 0:
        return
    cdef double *state = &shown_c[0, 0]
    cdef double *out = &ohm[0, 0]
    cdef const double *true_ = &truth_c[0, 0]
    cdef const double *part = &share[0]
    cdef const double *error = &error_share[0, 0]
    cdef const double *offset = &offset_k[0, 0]
    with nogil:
        for i in range(rows):
            for k in range(columns):
                at = i * columns + k
                t = state[at] + (true_[at] - state[at]) * part[k]
                state[at] = t
                t = t + error[at] * (band_k + band_share * (t if t > 0.0 else -t)) + offset[at]
                cold = t if t < 0.0 else 0.0
                out[at] = r0 * (1.0 + t * (a + t * b) + c * (cold - 100.0) * (cold * cold * cold))
