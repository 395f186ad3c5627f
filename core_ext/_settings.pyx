# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""From pressures to valve settings in two passes over the consumers; it solves and allocates nothing."""

from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int32_t


def across(const int32_t[::1] first, const int32_t[::1] second, const double[::1] pressure,
           const double[::1] level, double[::1] out):
    """Pressure difference of pairs of nodes, with the level of their heights (empty in a flat network)."""
    cdef Py_ssize_t i
    for i in range(first.shape[0]):
        out[i] = pressure[first[i]] - pressure[second[i]]
    if level.shape[0]:
        for i in range(first.shape[0]):
            out[i] += level[i]


def most_lacking(const double[::1] dp, const double[::1] need, const double[::1] flow):
    """(row, Pa) of the consumer taking flow whose dp is furthest below its need; (-1, -inf) without any."""
    cdef Py_ssize_t i, worst = -1
    cdef double most = -INFINITY
    for i in range(dp.shape[0]):
        if flow[i] > 0.0 and need[i] - dp[i] > most:
            most = need[i] - dp[i]
            worst = i
    return worst, most


def valve_settings(const double[::1] dp, const double[::1] need, const double[::1] flow, double factor,
                   double least_pa, double[::1] kv, double[::1] margin):
    """kv = factor flow / sqrt(dp) and margin above the need; the first row left less than least_pa, or -1."""
    cdef Py_ssize_t i, starved = -1
    for i in range(dp.shape[0]):
        margin[i] = dp[i] - need[i]
        kv[i] = 0.0
        if flow[i] > 0.0:
            if dp[i] >= least_pa:
                kv[i] = factor * flow[i] / sqrt(dp[i])
            elif starved < 0:
                starved = i
    return starved
