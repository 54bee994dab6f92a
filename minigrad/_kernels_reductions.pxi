# A part of `_kernels.pyx`: reductions, softmax and its kin.

cdef tuple _folded(cnp.ndarray x, tuple axes):
    """(outer, n, inner) of neighbouring axes, counted from the front; or None."""
    cdef Py_ssize_t outer = 1, n = 1, inner = 1, d
    cdef Py_ssize_t first, last
    if not axes or x.ndim == 0:
        return None
    first, last = axes[0], axes[len(axes) - 1]
    if last - first + 1 != len(axes):
        return None
    for d in range(x.ndim):
        if d < first:
            outer *= x.shape[d]
        elif d <= last:
            n *= x.shape[d]
        else:
            inner *= x.shape[d]
    return (outer, n, inner) if outer and n and inner else None


cdef object _reduced(cnp.ndarray x, tuple axes, bint keepdims, minigrad_reduction run):
    """The reduction of a dense array over neighbouring axes."""
    cdef cnp.npy_intp shape[64]
    cdef int n_dims = 0, d
    cdef cnp.ndarray out
    cdef Py_ssize_t outer, n, inner
    cdef Py_ssize_t first = axes[0], last = axes[len(axes) - 1]
    outer, n, inner = _folded(x, axes)
    for d in range(x.ndim):
        if first <= d <= last:
            if keepdims:
                shape[n_dims] = 1
                n_dims += 1
        else:
            shape[n_dims] = x.shape[d]
            n_dims += 1
    out = cnp.PyArray_EMPTY(n_dims, shape, cnp.PyArray_TYPE(x), 0)
    if outer * n * inner < RELEASE:
        run(x.data, out.data, outer, n, inner)
    else:
        with nogil:
            run(x.data, out.data, outer, n, inner)
    return out


def sum(x, tuple axes, bint keepdims):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.sum(x, axes, keepdims)
    return _reduced(_dense(x), axes, keepdims, kernels.sum)


def prod(x, tuple axes, bint keepdims):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.prod(x, axes, keepdims)
    return _reduced(_dense(x), axes, keepdims, kernels.prod)


def prod_grad(g, x, y, tuple axes):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.prod_grad(g, x, y, axes)
    cdef cnp.ndarray a = _dense(x), b = _dense(y), c = _dense(g), out = _like(a)
    cdef Py_ssize_t outer, n, inner
    outer, n, inner = _folded(a, axes)
    with nogil:
        kernels.prod_grad(c.data, a.data, b.data, out.data, outer, n, inner)
    return out


def amax(x, tuple axes, bint keepdims):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.amax(x, axes, keepdims)
    return _reduced(_dense(x), axes, keepdims, kernels.amax)


def amin(x, tuple axes, bint keepdims):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.amin(x, axes, keepdims)
    return _reduced(_dense(x), axes, keepdims, kernels.amin)


def logsumexp(x, tuple axes, bint keepdims):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.logsumexp(x, axes, keepdims)
    return _reduced(_dense(x), axes, keepdims, kernels.logsumexp)


cdef object _rows(object x, tuple axes, minigrad_reduction run):
    """Of the shape of x."""
    cdef cnp.ndarray a = _dense(x), out = _like(a)
    cdef Py_ssize_t outer, n, inner
    outer, n, inner = _folded(a, axes)
    if outer * n * inner < RELEASE:
        run(a.data, out.data, outer, n, inner)
    else:
        with nogil:
            run(a.data, out.data, outer, n, inner)
    return out


def softmax(x, tuple axes):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.softmax(x, axes)
    return _rows(x, axes, kernels.softmax)


def log_softmax(x, tuple axes):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.log_softmax(x, axes)
    return _rows(x, axes, kernels.log_softmax)


def cumsum(x, tuple axes):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or _folded(x, axes) is None:
        return plain.cumsum(x, axes)
    return _rows(x, axes, kernels.cumsum)


cdef object _gradient(object g, object y, tuple axes, minigrad_gradient run):
    cdef cnp.ndarray a = _dense(g), b = _dense(y), out = _like(a)
    cdef Py_ssize_t outer, n, inner
    outer, n, inner = _folded(a, axes)
    if outer * n * inner < RELEASE:
        run(a.data, b.data, out.data, outer, n, inner)
    else:
        with nogil:
            run(a.data, b.data, out.data, outer, n, inner)
    return out


def softmax_grad(g, y, tuple axes):
    cdef const minigrad_array *kernels = _kernels(g)
    if kernels == NULL or _folded(g, axes) is None:
        return plain.softmax_grad(g, y, axes)
    return _gradient(g, y, axes, kernels.softmax_grad)


def log_softmax_grad(g, y, tuple axes):
    cdef const minigrad_array *kernels = _kernels(g)
    if kernels == NULL or _folded(g, axes) is None:
        return plain.log_softmax_grad(g, y, axes)
    return _gradient(g, y, axes, kernels.log_softmax_grad)


def variance(x, tuple axes, bint keepdims, double freedom, bint centred=True):
    cdef const minigrad_array *kernels = _kernels(x)
    cdef Py_ssize_t rows, n
    cdef cnp.ndarray a, out
    if kernels == NULL or not _is_last(x, axes):
        return plain.variance(x, axes, keepdims, freedom, centred)
    a = _dense(x)
    rows, n, _ = _folded(a, axes)
    out = np.empty(_without(x.shape, len(axes), keepdims), a.dtype)
    with nogil:
        kernels.variance(a.data, out.data, rows, n, freedom, centred)
    return out


def variance_grad(g, x, tuple axes, double freedom):
    cdef const minigrad_array *kernels = _kernels(x)
    cdef Py_ssize_t rows, n
    cdef cnp.ndarray a, c, out
    if kernels == NULL or not _is_last(x, axes):
        return plain.variance_grad(g, x, axes, freedom)
    a, c = _dense(x), _dense(g)
    rows, n, _ = _folded(a, axes)
    out = _like(a)
    with nogil:
        kernels.variance_grad(c.data, a.data, out.data, rows, n, freedom)
    return out


cdef bint _is_last(x, tuple axes):
    """Whether they are the last axes, and there are numbers along them."""
    return bool(axes) and axes == tuple(range(x.ndim - len(axes), x.ndim)) and x.size > 0


cdef tuple _without(tuple shape, Py_ssize_t count, bint keepdims):
    """A shape after a reduction over so many of the last axes."""
    return shape[: len(shape) - count] + (1,) * count * keepdims


# -- the same, as an op calls them ------------------------------------------------------

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
        if n > 64 and not self.both:  # numpy's argmax looks once, not twice
            return None
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
                (<float *>out.data)[i] = sqrtf_of((<float *>out.data)[i])
            else:
                (<double *>out.data)[i] = sqrt_of((<double *>out.data)[i])
        return out


@cython.final
cdef class _SumTo(Quick):
    """Of (x, size), where size is how the shape of x ends."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x
        cdef Py_ssize_t lead, i
        cdef tuple size
        if not cnp.PyArray_Check(raw[0]) or not _is_ready(<cnp.ndarray>raw[0]):
            return None
        if type(raw[1]) is not tuple:
            return None
        x, size = raw
        lead = x.ndim - len(size)
        if lead <= 0:
            return None
        for i in range(len(size)):
            if type(size[i]) is not int or x.shape[lead + i] != size[i]:
                return None
        return _reduced(x, tuple(range(lead)), False, _kernels(x).sum)


# -- losses of labels ------------------------------------------------------------------


def label_loss(x, target, int64_t ignored, str reduction):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or x.ndim > 2 or not x.size:
        return plain.label_loss(x, target, ignored, reduction)
    cdef cnp.ndarray a = _dense(x), labels = _dense(target), out
    cdef Py_ssize_t n = a.shape[a.ndim - 1], rows = cnp.PyArray_SIZE(labels)
    cdef bint whole = reduction == "none"
    out = _new(labels.ndim if whole else 0, labels.shape, cnp.PyArray_TYPE(a))
    with nogil:
        kernels.label_loss(
            a.data, <int64_t *>labels.data, ignored, whole, out.data, rows, n
        )
    if reduction == "mean":
        return np.asarray(out / a.dtype.type(_counted(labels, ignored)))
    return out


def label_loss_grad(g, x, target, int64_t ignored, str reduction):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or x.ndim > 2 or not x.size:
        return plain.label_loss_grad(g, x, target, ignored, reduction)
    cdef cnp.ndarray a = _dense(x), labels = _dense(target), c = _dense(g), out = _like(a)
    cdef Py_ssize_t n = a.shape[a.ndim - 1], rows = cnp.PyArray_SIZE(labels)
    cdef Py_ssize_t step = reduction == "none"
    cdef double count = _counted(labels, ignored) if reduction == "mean" else 1.0
    with nogil:
        kernels.label_loss_grad(
            c.data, step, a.data, <int64_t *>labels.data, ignored, count, out.data, rows, n
        )
    return out


cdef double _counted(cnp.ndarray labels, int64_t ignored) noexcept:
    cdef Py_ssize_t i, count = 0
    cdef const int64_t *at = <const int64_t *>labels.data
    for i in range(cnp.PyArray_SIZE(labels)):
        count += at[i] != ignored
    return count
