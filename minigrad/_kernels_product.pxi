# A part of `_kernels.pyx`: products of few numbers.

cdef enum:
    FEW = 16384  # multiplications: from there on BLAS is quicker
    SOME = 262144  # and from here on the kernels of the loop: see `_product` in ops.py


@cython.final
cdef class _FewProduct(Quick):
    """Of rows and a matrix."""

    cdef object run(self, tuple raw):
        if not cnp.PyArray_Check(raw[0]) or not cnp.PyArray_Check(raw[1]):
            return None
        return _few_rows(raw[0], raw[1])


@cython.final
cdef class _FewLinear(Quick):
    """Of rows, a weight (N, K) and a bias (N,)."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray weight, bias, out
        cdef Py_ssize_t n
        if not cnp.PyArray_Check(raw[0]):
            return None
        weight, bias = raw[1], raw[2]
        n = bias.shape[0] if bias.ndim == 1 else -1
        if weight.ndim != 2 or weight.shape[0] != n or not _is_ready(bias):
            return None
        if cnp.PyArray_TYPE(bias) != cnp.PyArray_TYPE(weight):
            return None
        found = _few_rows(raw[0], cnp.PyArray_Transpose(weight, NULL))
        if found is None:
            return None
        out = found
        if cnp.PyArray_TYPE(out) == cnp.NPY_FLOAT:
            _add_row(<float *>out.data, <float *>bias.data, cnp.PyArray_SIZE(out), n)
        else:
            _add_row(<double *>out.data, <double *>bias.data, cnp.PyArray_SIZE(out), n)
        return out


cdef void _add_row(real *rows, const real *row, Py_ssize_t size, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i, j
    for i in range(0, size, n):
        for j in range(n):
            rows[i + j] += row[j]


cdef object _few_rows(cnp.ndarray x, cnp.ndarray y):
    """The product of x (..., K) and y (K, N); None if it is not one of few numbers."""
    cdef cnp.npy_intp flat[2]
    cdef cnp.npy_intp sizes[32]
    cdef cnp.PyArray_Dims dims
    cdef int i, n = x.ndim
    if n == 2:
        return _few_product(x, y)
    if not 2 < n <= 32 or y.ndim != 2 or not cnp.PyArray_IS_C_CONTIGUOUS(x):
        return None
    flat[0], flat[1] = 1, x.shape[n - 1]
    for i in range(n - 1):
        sizes[i] = x.shape[i]
        flat[0] *= sizes[i]
    sizes[n - 1] = y.shape[1]
    dims.ptr, dims.len = flat, 2
    found = _few_product(cnp.PyArray_Newshape(x, &dims, cnp.NPY_CORDER), y)
    if found is None:
        return None
    dims.ptr, dims.len = sizes, n
    return cnp.PyArray_Newshape(<cnp.ndarray>found, &dims, cnp.NPY_CORDER)


cdef object _few_product(cnp.ndarray x, cnp.ndarray y):
    """The product of two matrices; None if it is not one of few numbers."""
    cdef cnp.ndarray out
    cdef Py_ssize_t steps[4]
    cdef Py_ssize_t m, k, n, item, i
    cdef cnp.npy_intp shape[2]
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
    # Numbers that stand apart on both sides, which BLAS copies first.
    if m > 8 and steps[3] != 1:
        return cnp.PyArray_MatrixProduct(x, y)
    shape[0], shape[1] = m, n
    out = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(x), 0)
    _kernels(x).few_product(x.data, steps, y.data, steps + 2, out.data, m, k, n)
    return out
