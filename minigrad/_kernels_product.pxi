# A part of `_kernels.pyx`: products of few numbers.

cdef enum:
    FEW = 16384  # multiplications: from there on BLAS is quicker
    SOME = 262144  # and from here on the kernels of the loop: see `_product` in ops.py


@cython.final
cdef class _FewProduct(Quick):
    """Of two matrices."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, y, out
        cdef Py_ssize_t steps[4]
        cdef Py_ssize_t m, k, n, item, i
        cdef cnp.npy_intp shape[2]
        if not cnp.PyArray_Check(raw[0]) or not cnp.PyArray_Check(raw[1]):
            return None
        x, y = raw
        if x.ndim != 2 or y.ndim != 2 or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(y):
            return None
        m, k, n = x.shape[0], x.shape[1], y.shape[1]
        if k != y.shape[0] or not 0 < m * k * n <= SOME or _kernels(x) == NULL:
            return None
        if m * k * n > FEW:
            return cnp.PyArray_MatrixProduct(x, y)  # a sixth less than numpy.matmul at 64
        item = cnp.PyArray_ITEMSIZE(x)
        for i in range(2):
            steps[i], steps[2 + i] = x.strides[i], y.strides[i]
        # A single row or column stands beside nothing.
        steps[1] = item if k == 1 else steps[1]
        steps[3] = item if n == 1 else steps[3]
        for i in range(4):
            if steps[i] % item:
                return None
            steps[i] //= item
        # Otherwise numbers stand apart on both sides, and BLAS copies them first.
        if m > 8 and steps[3] != 1:
            return None
        shape[0], shape[1] = m, n
        out = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(x), 0)
        _kernels(x).few_product(x.data, steps, y.data, steps + 2, out.data, m, k, n)
        return out
