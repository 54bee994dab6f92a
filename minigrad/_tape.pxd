cdef class Quick:
    """What an op's forward gives, without a call of Python's; the kernels fill it in."""

    cdef object run(self, tuple raw)
