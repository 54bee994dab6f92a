# cython: language_level=3
"""What numpy does badly, done in one pass: functions, reductions, indexing, Adam.

`_kernels_py.py` is the same in plain Python, name for name: read that first. The tests
hold the two together. From RELEASE elements on, other threads may run meanwhile.
"""

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport strcmp

import math
import os

import numpy as np

from . import _kernels_py as plain
from ._memory import empty

cnp.import_array()

cdef extern from "_array.h":
    int MINIGRAD_SETS
    ctypedef struct minigrad_set:
        const char *name
    const minigrad_set *minigrad_sets
    int minigrad_supported(int i) noexcept nogil
    ctypedef void (*minigrad_map)(
        const void *, const void *, void *, Py_ssize_t, double, double
    ) noexcept nogil
    ctypedef struct minigrad_named_map:
        const char *name
        minigrad_map run
    ctypedef void (*minigrad_reduction)(
        const void *, void *, Py_ssize_t, Py_ssize_t, Py_ssize_t
    ) noexcept nogil
    ctypedef void (*minigrad_gradient)(
        const void *, const void *, void *, Py_ssize_t, Py_ssize_t, Py_ssize_t
    ) noexcept nogil
    ctypedef struct minigrad_array:
        const minigrad_named_map *maps
        void (*select)(
            const char *, const void *, Py_ssize_t, const void *, Py_ssize_t, void *,
            Py_ssize_t
        ) noexcept nogil
        void (*bounds)(
            const int64_t *, Py_ssize_t, int64_t *, int64_t *
        ) noexcept nogil
        minigrad_reduction softmax
        minigrad_reduction log_softmax
        minigrad_reduction logsumexp
        minigrad_reduction sum
        minigrad_reduction amax
        minigrad_reduction amin
        minigrad_reduction cumsum
        minigrad_gradient softmax_grad
        minigrad_gradient log_softmax_grad
        void (*layer_norm)(
            const void *, const void *, const void *, void *, void *, Py_ssize_t,
            Py_ssize_t, double
        ) noexcept nogil
        void (*layer_norm_grad_x)(
            const void *, const void *, const void *, const void *, void *, Py_ssize_t,
            Py_ssize_t
        ) noexcept nogil
        void (*layer_norm_grad_weight)(
            const void *, const void *, const void *, void *, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        void (*adam)(
            const void *, const void *, void *, void *, void *, void *, Py_ssize_t,
            const double *
        ) noexcept nogil
    const minigrad_array *minigrad_arrays[][2]

ctypedef fused real:
    float
    double

cdef enum:
    RELEASE = 16384
    POOLED = 1048576  # bytes: from here on the system clears pages for an array

# -- which kernels -------------------------------------------------------------------

cdef const minigrad_array *_floats = NULL
cdef const minigrad_array *_doubles = NULL


def _choose():
    """The set that the loops use: see `_loop.pyx`, which refuses an unknown one."""
    global _floats, _doubles
    wanted = os.environ.get("MINIGRAD_SIMD")
    for i in range(MINIGRAD_SETS):
        fits = minigrad_supported(i) and _floats == NULL
        if fits and (not wanted or wanted == minigrad_sets[i].name.decode()):
            _floats, _doubles = minigrad_arrays[i][0], minigrad_arrays[i][1]
    if _floats == NULL:
        _floats, _doubles = minigrad_arrays[0][0], minigrad_arrays[0][1]


_choose()


cdef inline const minigrad_array *_kernels(cnp.ndarray x) noexcept:
    """Of the array's dtype; NULL if it has none."""
    cdef int kind = cnp.PyArray_TYPE(x)
    if kind == cnp.NPY_FLOAT:
        return _floats
    return _doubles if kind == cnp.NPY_DOUBLE else NULL


cdef inline cnp.ndarray _dense(object x):
    """x in row-major order; a numpy scalar as the array that it stands for."""
    return cnp.PyArray_GETCONTIGUOUS(x if cnp.PyArray_Check(x) else np.asarray(x))


cdef cnp.ndarray _like(cnp.ndarray x):
    """An array of any values, of the shape and dtype of a dense one."""
    if cnp.PyArray_NBYTES(x) >= POOLED:
        return empty((<object>x).shape, x.dtype)
    return cnp.PyArray_EMPTY(x.ndim, x.shape, cnp.PyArray_TYPE(x), 0)


# -- a pass over one array or two ----------------------------------------------------


cdef minigrad_map _find(const minigrad_array *kernels, const char *name) noexcept:
    cdef const minigrad_named_map *entry = kernels.maps
    while entry.name != NULL:
        if strcmp(entry.name, name) == 0:
            return entry.run
        entry += 1
    return NULL


@cython.final
cdef class _Map:
    """A function of one array, or a gradient: of a cotangent and what it belongs to.

    What it has no kernel for goes to its plain twin.
    """

    cdef minigrad_map of_float
    cdef minigrad_map of_double
    cdef object twin

    def __init__(self, str name):
        self.of_float = _find(_floats, name.encode())
        self.of_double = _find(_doubles, name.encode())
        self.twin = getattr(plain, name)

    def __call__(self, x, y=None, double low=0.0, double high=0.0):
        cdef cnp.ndarray a, b, out
        cdef minigrad_map run = NULL
        cdef Py_ssize_t n
        cdef int kind = -1
        if cnp.PyArray_Check(x):
            kind = cnp.PyArray_TYPE(<cnp.ndarray>x)
        if kind == cnp.NPY_FLOAT:
            run = self.of_float
        elif kind == cnp.NPY_DOUBLE:
            run = self.of_double
        if y is not None and run != NULL:
            if not _is_alike(<cnp.ndarray>x, <cnp.ndarray>y):
                run = NULL
        if run == NULL:
            return self.twin(x, low, high) if y is None else self.twin(x, y, low, high)
        a = _dense(x)
        b = a if y is None else _dense(y)
        out = _like(a)
        n = cnp.PyArray_SIZE(a)
        if n < RELEASE:
            run(a.data, b.data, out.data, n, low, high)
        else:
            with nogil:
                run(a.data, b.data, out.data, n, low, high)
        return out


exp = _Map("exp")
tanh = _Map("tanh")
sigmoid = _Map("sigmoid")
log = _Map("log")
log1p = _Map("log1p")
expm1 = _Map("expm1")
silu = _Map("silu")
sign = _Map("sign")
relu = _Map("relu")
relu_grad = _Map("relu_grad")
tanh_grad = _Map("tanh_grad")
sigmoid_grad = _Map("sigmoid_grad")
abs_grad = _Map("abs_grad")
_softplus = _Map("softplus")
_clip = _Map("clip")
clip_grad = _Map("clip_grad")
silu_grad = _Map("silu_grad")
softplus_grad = _Map("softplus_grad")


def softplus(x, double beta, double threshold):
    return _softplus(x, None, beta, threshold)


def clip(x, double low, double high):
    return _clip(x, None, low, high)


def where(condition, x, y):
    cdef cnp.ndarray c, like, out
    cdef float floats[2]
    cdef double doubles[2]
    cdef const void *at[2]
    cdef Py_ssize_t step[2]
    cdef Py_ssize_t n, i
    cdef const minigrad_array *kernels = NULL
    cdef list given = [x, y]
    like = <cnp.ndarray>(x if cnp.PyArray_Check(x) else y) if (
        cnp.PyArray_Check(x) or cnp.PyArray_Check(y)
    ) else None
    if like is not None:
        kernels = _kernels(like)
    if kernels == NULL or not cnp.PyArray_SAMESHAPE(like, <cnp.ndarray>condition):
        return plain.where(condition, x, y)
    for i in range(2):
        step[i] = cnp.PyArray_Check(given[i])
        if step[i]:
            if not _is_alike(<cnp.ndarray>given[i], like):
                return plain.where(condition, x, y)
            given[i] = _dense(given[i])
            at[i] = (<cnp.ndarray>given[i]).data
        elif type(given[i]) is float:
            doubles[i] = given[i]
            floats[i] = <float>doubles[i]
            at[i] = <void *>&floats[i] if kernels == _floats else <void *>&doubles[i]
        else:
            return plain.where(condition, x, y)
    c = _dense(condition)
    out = _like(_dense(like))
    n = cnp.PyArray_SIZE(c)
    if n < RELEASE:
        kernels.select(<char *>c.data, at[0], step[0], at[1], step[1], out.data, n)
    else:
        with nogil:
            kernels.select(<char *>c.data, at[0], step[0], at[1], step[1], out.data, n)
    return out


cdef inline bint _is_alike(cnp.ndarray x, cnp.ndarray y):
    """Whether they have the same dtype and shape."""
    return cnp.PyArray_TYPE(x) == cnp.PyArray_TYPE(y) and cnp.PyArray_SAMESHAPE(x, y)


# -- reductions ----------------------------------------------------------------------

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


# -- layer norm ----------------------------------------------------------------------


def layer_norm(x, weight, bias, double eps):
    cdef cnp.ndarray a = _dense(x), w = _dense(weight), b = _dense(bias), out = _like(a)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(w), rows = cnp.PyArray_SIZE(a) // n if n else 0
    cdef cnp.ndarray moments = np.empty((rows, 2), a.dtype)
    cdef const minigrad_array *kernels = _kernels(a)
    with nogil:
        kernels.layer_norm(a.data, w.data, b.data, out.data, moments.data, rows, n, eps)
    return out, moments


def layer_norm_grad_x(g, x, weight, moments):
    cdef cnp.ndarray a = _dense(g), b = _dense(x), w = _dense(weight), m = _dense(moments)
    cdef cnp.ndarray out = _like(a)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(w), rows = m.shape[0]
    cdef const minigrad_array *kernels = _kernels(a)
    with nogil:
        kernels.layer_norm_grad_x(a.data, b.data, w.data, m.data, out.data, rows, n)
    return out


def layer_norm_grad_weight(g, x, moments, tuple shape):
    cdef cnp.ndarray a = _dense(g), b = _dense(x), m = _dense(moments), sums
    cdef Py_ssize_t n = <Py_ssize_t>math.prod(shape), rows = m.shape[0]
    cdef Py_ssize_t i, blocks = (rows + 255) // 256, row = n * cnp.PyArray_ITEMSIZE(a)
    cdef Py_ssize_t pair = 2 * cnp.PyArray_ITEMSIZE(a)
    cdef const minigrad_array *kernels = _kernels(a)
    # A row of sums for each 256 rows: one long sum in float32 drifts.
    sums = np.zeros((blocks, n), a.dtype)
    with nogil:
        for i in range(blocks):
            kernels.layer_norm_grad_weight(
                a.data + i * 256 * row, b.data + i * 256 * row, m.data + i * 256 * pair,
                sums.data + i * row, min(<Py_ssize_t>256, rows - i * 256), n,
            )
    return sum(sums, (0,), False).reshape(shape)


# -- indexing ------------------------------------------------------------------------


def outside(index, int64_t low, int64_t high):
    cdef cnp.ndarray i = _dense(index)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(i)
    cdef int64_t least = high, most = low
    with nogil:
        _floats.bounds(<const int64_t *>i.data, n, &least, &most)
    return n > 0 and (least < low or most >= high)


def gather(x, Py_ssize_t axis, index):
    if _kernels(x) == NULL or not x.ndim:
        return plain.gather(x, axis, index)
    cdef cnp.ndarray a = _dense(x), i = _dense(index), out
    cdef Py_ssize_t outer, n, inner, count
    out = empty((<object>i).shape, a.dtype)
    outer, n, inner, count = _lanes(a, axis, i)
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT:
        _gather[float](<float *>a.data, <int64_t *>i.data, <float *>out.data, outer, n, inner, count)
    else:
        _gather[double](<double *>a.data, <int64_t *>i.data, <double *>out.data, outer, n, inner, count)
    return out


def scatter(out, Py_ssize_t axis, index, src):
    cdef cnp.ndarray o = <cnp.ndarray>out, i, s
    cdef Py_ssize_t outer, n, inner, count
    if _kernels(o) == NULL or not o.ndim or not cnp.PyArray_IS_C_CONTIGUOUS(o):
        plain.scatter(out, axis, index, src)
        return
    i, s = _dense(index), _dense(src)
    outer, n, inner, count = _lanes(o, axis, i)
    if cnp.PyArray_TYPE(o) == cnp.NPY_FLOAT:
        _scatter[float](<float *>o.data, <int64_t *>i.data, <float *>s.data, outer, n, inner, count)
    else:
        _scatter[double](<double *>o.data, <int64_t *>i.data, <double *>s.data, outer, n, inner, count)


cdef tuple _lanes(cnp.ndarray x, Py_ssize_t axis, cnp.ndarray index):
    """(outer, n, inner, how many of the index beside n)."""
    cdef Py_ssize_t outer = 1, inner = 1, d
    for d in range(x.ndim):
        if d < axis:
            outer *= x.shape[d]
        elif d > axis:
            inner *= x.shape[d]
    return outer, x.shape[axis], inner, index.shape[axis]


cdef void _gather(
    const real *x, const int64_t *index, real *out, Py_ssize_t outer, Py_ssize_t n,
    Py_ssize_t inner, Py_ssize_t count
) noexcept:
    cdef Py_ssize_t o, k, i
    with nogil:
        for o in range(outer):
            if inner == 1:
                for k in range(count):
                    out[k] = x[index[k]]
                out += count
                index += count
            else:
                for k in range(count):
                    for i in range(inner):
                        out[i] = x[index[i] * inner + i]
                    out += inner
                    index += inner
            x += n * inner


cdef void _scatter(
    real *out, const int64_t *index, const real *src, Py_ssize_t outer, Py_ssize_t n,
    Py_ssize_t inner, Py_ssize_t count
) noexcept:
    cdef Py_ssize_t o, k, i
    with nogil:
        for o in range(outer):
            if inner == 1:
                for k in range(count):
                    out[index[k]] += src[k]
                src += count
                index += count
            else:
                for k in range(count):
                    for i in range(inner):
                        out[index[i] * inner + i] += src[i]
                    src += inner
                    index += inner
            out += n * inner


def add_rows(rows, index, Py_ssize_t n):
    if _kernels(rows) == NULL:
        return plain.add_rows(rows, index, n)
    cdef cnp.ndarray r = _dense(rows), i = _dense(index), out
    out = np.zeros((n, rows.shape[1]), rows.dtype)
    if cnp.PyArray_TYPE(r) == cnp.NPY_FLOAT:
        _add_rows[float](<float *>r.data, <int64_t *>i.data, <float *>out.data, r.shape[0], r.shape[1])
    else:
        _add_rows[double](<double *>r.data, <int64_t *>i.data, <double *>out.data, r.shape[0], r.shape[1])
    return out


cdef void _add_rows(
    const real *rows, const int64_t *index, real *out, Py_ssize_t n, Py_ssize_t width
) noexcept:
    cdef Py_ssize_t i, j
    cdef real *to
    with nogil:
        for i in range(n):
            to = out + index[i] * width
            for j in range(width):
                to[j] += rows[i * width + j]


# -- optimisers ----------------------------------------------------------------------


def adam(value, grad, mean, square, most, tuple options):
    cdef cnp.ndarray p = _dense(value), g = _dense(grad), out = _like(p)
    cdef const minigrad_array *kernels = _kernels(p)
    cdef void *top = NULL
    cdef double numbers[8]
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(p)
    cdef cnp.ndarray average
    for average in (mean, square) if most is None else (mean, square, most):
        if not (cnp.PyArray_IS_C_CONTIGUOUS(average) and _is_alike(average, p)):
            return plain.adam(value, grad, mean, square, most, options)
    for i in range(8):
        numbers[i] = options[i]
    cdef void *m = (<cnp.ndarray>mean).data
    cdef void *v = (<cnp.ndarray>square).data
    if most is not None:
        top = (<cnp.ndarray>most).data
    if n < RELEASE:
        kernels.adam(p.data, g.data, m, v, top, out.data, n, numbers)
    else:
        with nogil:
            kernels.adam(p.data, g.data, m, v, top, out.data, n, numbers)
    return out
