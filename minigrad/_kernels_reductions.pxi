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
