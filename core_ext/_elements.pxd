# What fills in coefficients, for loops over scenarios that hold no GIL.
cpdef enum:
    FINE = -1
    RELAY = -2
    NOT_FILLED = -3


cdef class Laws:
    cdef Py_ssize_t fill(self) noexcept nogil
