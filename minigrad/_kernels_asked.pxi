# A part of `_kernels.pyx`: reductions, as an op asks for them.

cdef minigrad_reduction _reduction(const minigrad_array *kernels, str name) except NULL:
    if name == "sum":
        return kernels.sum
    if name == "prod":
        return kernels.prod
    if name == "amax":
        return kernels.amax
    if name == "amin":
        return kernels.amin
    if name == "logsumexp":
        return kernels.logsumexp
    if name == "softmax":
        return kernels.softmax
    if name == "log_softmax":
        return kernels.log_softmax
    if name == "cumsum":
        return kernels.cumsum
    raise KeyError(name)


cdef Py_ssize_t _axis(object dim, Py_ssize_t n_dims):
    """The dim counted from the front; -1 if it is anything but an int in range."""
    if type(dim) is not int or not -n_dims <= dim < n_dims:
        return -1
    return <Py_ssize_t>dim + (n_dims if dim < 0 else 0)


@cython.final
cdef class _Reduction(Quick):
    """Of (x, dim, keepdim), or of (x, dim) where the result is shaped as x.

    One dim, or None for all.
    """

    cdef minigrad_reduction of_float
    cdef minigrad_reduction of_double

    def __init__(self, str name):
        self.of_float = _reduction(_floats, name)
        self.of_double = _reduction(_doubles, name)

    cdef object run(self, tuple raw):
        cdef object x = raw[0], dim = raw[1]
        cdef Py_ssize_t axis, n
        cdef tuple axes
        cdef minigrad_reduction run
        if not cnp.PyArray_Check(x) or not _is_ready(<cnp.ndarray>x):
            return None
        if len(raw) == 3 and type(raw[2]) is not bool:
            return None
        n = cnp.PyArray_NDIM(<cnp.ndarray>x)
        if n == 0:
            return None
        axis = _axis(dim, n)
        if axis >= 0:
            axes = (axis,)
        elif dim is None and len(raw) == 3:
            axes = tuple(range(n))
        else:
            return None
        run = self.of_float if cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.NPY_FLOAT else self.of_double
        if len(raw) == 2:
            return _rows(x, axes, run)
        return _reduced(<cnp.ndarray>x, axes, raw[2], run)


def writeable(x):
    cdef cnp.ndarray a = x, view
    if not cnp.PyArray_IS_C_CONTIGUOUS(a):
        return x
    view = cnp.PyArray_SimpleNewFromData(a.ndim, a.shape, cnp.PyArray_TYPE(a), a.data)
    cnp.set_array_base(view, a)
    return view


@cython.final
cdef class _Place(Quick):
    """Of (x, dim, keepdim), along the last dim; `both`: the extremes, and their places."""

    cdef minigrad_reduction of_float
    cdef minigrad_reduction of_double
    cdef bint both

    def __init__(self, str name, bint both=False):
        self.of_float = _reduction(_floats, name)
        self.of_double = _reduction(_doubles, name)
        self.both = both

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, best, places
        cdef Py_ssize_t rows, n
        cdef const minigrad_array *kernels
        cdef minigrad_reduction run
        cdef cnp.npy_intp shape[32]
        cdef int n_dims, d
        if not cnp.PyArray_Check(raw[0]) or not _is_ready(<cnp.ndarray>raw[0]):
            return None
        x = raw[0]
        if x.ndim == 0 or x.ndim > 32 or _axis(raw[1], x.ndim) != x.ndim - 1:
            return None
        if type(raw[2]) is not bool:
            return None
        kernels = _kernels(x)
        run = self.of_float if kernels == _floats else self.of_double
        n_dims = x.ndim - 1
        n = x.shape[n_dims]
        rows = cnp.PyArray_SIZE(x) // n
        if not self.both and not raw[2] and rows * n > 256:
            # numpy's looks once, not twice; but it copies what can't be written to.
            x = cnp.PyArray_SimpleNewFromData(
                x.ndim, x.shape, cnp.PyArray_TYPE(x), x.data
            )
            if self.of_float == _floats.amax:
                return minigrad_argmax(x, n_dims, NULL)
            return minigrad_argmin(x, n_dims, NULL)
        for d in range(n_dims):
            shape[d] = x.shape[d]
        shape[n_dims] = 1
        best = cnp.PyArray_EMPTY(n_dims + raw[2], shape, cnp.PyArray_TYPE(x), 0)
        places = cnp.PyArray_EMPTY(n_dims + raw[2], shape, cnp.NPY_INT64, 0)
        if rows * n < RELEASE:
            run(x.data, best.data, rows, n, 1)
            kernels.places(x.data, best.data, <int64_t *>places.data, rows, n)
        else:
            with nogil:
                run(x.data, best.data, rows, n, 1)
                kernels.places(x.data, best.data, <int64_t *>places.data, rows, n)
        return (best, places) if self.both else places


@cython.final
cdef class _Variance(Quick):
    """Of (x, dim, keepdim, correction), along the last dim or all; or of its root."""

    cdef bint root

    def __init__(self, bint root=False):
        self.root = root

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, out
        cdef const minigrad_array *kernels
        cdef Py_ssize_t rows, n, i
        cdef double freedom
        cdef int n_dims
        if not cnp.PyArray_Check(raw[0]) or not _is_ready(<cnp.ndarray>raw[0]):
            return None
        x = raw[0]
        if raw[2] is not False or x.ndim == 0 or type(raw[3]) not in (int, float):
            return None
        if raw[1] is not None and _axis(raw[1], x.ndim) != x.ndim - 1:
            return None
        n_dims = 0 if raw[1] is None else x.ndim - 1
        n = cnp.PyArray_SIZE(x) if raw[1] is None else x.shape[n_dims]
        freedom = <double>n - raw[3]
        if freedom <= 0:
            return None
        rows = cnp.PyArray_SIZE(x) // n
        kernels = _kernels(x)
        out = cnp.PyArray_EMPTY(n_dims, x.shape, cnp.PyArray_TYPE(x), 0)
        if rows * n < RELEASE:
            kernels.variance(x.data, out.data, rows, n, freedom, True)
        else:
            with nogil:
                kernels.variance(x.data, out.data, rows, n, freedom, True)
        if not self.root:
            return out
        for i in range(rows):
            if kernels == _floats:
                if not 1e-36 < (<float *>out.data)[i] < 1e38:
                    return None  # squares too large or too small for float32
                (<float *>out.data)[i] = sqrtf_of((<float *>out.data)[i])
            else:
                (<double *>out.data)[i] = sqrt_of((<double *>out.data)[i])
        return out


@cython.final
cdef class _SumTo(Quick):
    """Of (x, size), where neighbouring dims are added up, and become 1 or go away."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, out
        cdef const minigrad_array *kernels
        cdef cnp.npy_intp shape[32]
        cdef Py_ssize_t lead, i, outer = 1, n = 1, inner = 1
        cdef tuple size
        if not cnp.PyArray_Check(raw[0]) or not _is_ready(<cnp.ndarray>raw[0]):
            return None
        if type(raw[1]) is not tuple or len(raw[1]) > 32:
            return None
        x, size = raw
        lead = x.ndim - len(size)
        if lead < 0:
            return None
        for i in range(lead):
            n *= x.shape[i]
        for i in range(len(size)):
            if type(size[i]) is not int:
                return None
            shape[i] = size[i]
            if x.shape[lead + i] == shape[i]:
                if n == 1:
                    outer *= shape[i]
                else:
                    inner *= shape[i]
            elif shape[i] == 1 and inner == 1:
                n *= x.shape[lead + i]
            else:
                return None
        if n == 1:
            return None
        out = cnp.PyArray_EMPTY(len(size), shape, cnp.PyArray_TYPE(x), 0)
        kernels = _kernels(x)
        if outer * n * inner < RELEASE:
            kernels.sum(x.data, out.data, outer, n, inner)
        else:
            with nogil:
                kernels.sum(x.data, out.data, outer, n, inner)
        return out
