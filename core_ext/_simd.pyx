# cython: language_level=3
"""Asks the processor which instruction level it can run. It decides nothing; `simd` does."""

cdef extern from "_simd.h":
    int highest_level() nogil


def highest():
    """Return the number of the highest level this processor runs: 0 baseline, 1 AVX2, 2 AVX-512."""
    return highest_level()
