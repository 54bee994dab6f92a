# cython: language_level=3
"""What numpy does badly, done in one pass: functions, reductions, indexing, training.

`_kernels_py.py` is the same in plain Python, name for name: read that first. The tests
hold the two together. From RELEASE elements on, other threads may run meanwhile.
"""

cimport cython
cimport numpy as cnp
from libc.math cimport INFINITY, exp as exp_of, log as log_of
from libc.math cimport sqrt as sqrt_of, sqrtf as sqrtf_of
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy, memset, strcmp

from ._tape cimport Quick

import math
import os

import numpy as np

from . import _kernels_py as plain
from ._memory cimport new

cnp.import_array()

cdef extern from "_transpose.h":
    void minigrad_turn_float(
        const float *, Py_ssize_t, float *, Py_ssize_t
    ) noexcept nogil
    void minigrad_turn_double(
        const double *, Py_ssize_t, double *, Py_ssize_t
    ) noexcept nogil

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
    ctypedef void (*minigrad_pair)(
        const void *, Py_ssize_t, const void *, Py_ssize_t, void *
    ) noexcept nogil
    ctypedef struct minigrad_named_pair:
        const char *name
        minigrad_pair run
    ctypedef void (*minigrad_reduction)(
        const void *, void *, Py_ssize_t, Py_ssize_t, Py_ssize_t
    ) noexcept nogil
    ctypedef void (*minigrad_gradient)(
        const void *, const void *, void *, Py_ssize_t, Py_ssize_t, Py_ssize_t
    ) noexcept nogil
    ctypedef struct minigrad_array:
        const minigrad_named_map *maps
        const minigrad_named_pair *pairs
        void (*select)(
            const char *, const void *, Py_ssize_t, const void *, Py_ssize_t, void *,
            Py_ssize_t
        ) noexcept nogil
        void (*logic)(
            int, const unsigned char *, const unsigned char *, unsigned char *, Py_ssize_t
        ) noexcept nogil
        void (*bounds)(
            const int64_t *, Py_ssize_t, int64_t *, int64_t *
        ) noexcept nogil
        minigrad_reduction softmax
        minigrad_reduction log_softmax
        minigrad_reduction logsumexp
        minigrad_reduction sum
        minigrad_reduction prod
        minigrad_reduction amax
        minigrad_reduction amin
        minigrad_reduction cumsum
        minigrad_gradient softmax_grad
        minigrad_gradient log_softmax_grad
        void (*prod_grad)(
            const void *, const void *, const void *, void *, Py_ssize_t, Py_ssize_t,
            Py_ssize_t
        ) noexcept nogil
        void (*places)(
            const void *, const void *, int64_t *, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        void (*variance)(
            const void *, void *, Py_ssize_t, Py_ssize_t, double, int
        ) noexcept nogil
        void (*variance_grad)(
            const void *, const void *, void *, Py_ssize_t, Py_ssize_t, double
        ) noexcept nogil
        void (*label_loss)(
            const void *, const int64_t *, int64_t, int, void *, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        void (*label_loss_grad)(
            const void *, Py_ssize_t, const void *, const int64_t *, int64_t, double,
            void *, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        void (*few_product)(
            const void *, const Py_ssize_t *, const void *, const Py_ssize_t *, void *,
            Py_ssize_t, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
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
        void (*sgd)(
            const void *, const void *, void *, void *, Py_ssize_t, const double *
        ) noexcept nogil
        double (*square_sum)(const void *, Py_ssize_t) noexcept nogil
    const minigrad_array *minigrad_arrays[][2]

cdef extern from "numpy/arrayobject.h":
    object minigrad_argmax "PyArray_ArgMax"(cnp.ndarray, int, void *)
    object minigrad_argmin "PyArray_ArgMin"(cnp.ndarray, int, void *)

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
    cdef cnp.ndarray a = x if cnp.PyArray_Check(x) else np.asarray(x)
    if cnp.PyArray_IS_C_CONTIGUOUS(a):
        return a
    if a.ndim == 2 and cnp.PyArray_IS_F_CONTIGUOUS(a) and _kernels(a) != NULL:
        return _turned(a)
    return cnp.PyArray_GETCONTIGUOUS(a)


cdef cnp.ndarray _turned(cnp.ndarray x):
    """A transposed matrix in row-major order.

    A gradient of a layer's weight is one. 512x128 takes 12 us, and numpy's copy 140.
    """
    cdef cnp.ndarray out = _new(2, x.shape, cnp.PyArray_TYPE(x))
    cdef bint is_float = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT
    if cnp.PyArray_SIZE(x) < RELEASE:
        _turn(is_float, x.data, out.data, x.shape[0], x.shape[1])
    else:
        with nogil:
            _turn(is_float, x.data, out.data, x.shape[0], x.shape[1])
    return out


cdef inline void _turn(
    bint is_float, const void *x, void *out, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    if is_float:
        _turn_blocks[float](<const float *>x, <float *>out, n, m)
    else:
        _turn_blocks[double](<const double *>x, <double *>out, n, m)


cdef void _turn_blocks(
    const real *x, real *out, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    """out (n, m) by rows, from x by columns, of which a line of the cache is used up."""
    cdef Py_ssize_t top, left, i, row, column
    for top in range(0, n, 16):
        for left in range(0, m, 4):
            for i in range(top, min(top + 16, n), 4):
                if i + 4 > n or left + 4 > m:
                    for row in range(i, min(i + 4, n)):
                        for column in range(left, min(left + 4, m)):
                            out[row * m + column] = x[column * n + row]
                elif real is float:
                    minigrad_turn_float(x + left * n + i, n, out + i * m + left, m)
                else:
                    minigrad_turn_double(x + left * n + i, n, out + i * m + left, m)


cdef cnp.ndarray _new(int n_dims, cnp.npy_intp *shape, int kind):
    """An array of any values."""
    cdef cnp.npy_intp bytes_ = 4
    cdef int d
    if kind != cnp.NPY_FLOAT:
        bytes_ = 8 if kind == cnp.NPY_DOUBLE else 1
    for d in range(n_dims):
        bytes_ *= shape[d]
    if bytes_ >= POOLED:
        return new(n_dims, shape, kind)
    return cnp.PyArray_EMPTY(n_dims, shape, kind, 0)


cdef cnp.ndarray _like(cnp.ndarray x):
    """An array of any values, of the shape and dtype of a dense one."""
    return _new(x.ndim, x.shape, cnp.PyArray_TYPE(x))


include "_kernels_elementwise.pxi"
include "_kernels_pairs.pxi"
include "_kernels_reductions.pxi"
include "_kernels_asked.pxi"
include "_kernels_losses.pxi"
include "_kernels_ctc.pxi"
include "_kernels_views.pxi"
include "_kernels_product.pxi"
include "_kernels_training.pxi"
include "_kernels_indexing.pxi"


# -- what an op's forward gives, by its name ------------------------------------------

QUICK = {
    **{name: _Pair(name) for name in ("add", "sub", "mul", "div", "maximum", "minimum")},
    **{name: _Pair(name, True) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{
        name: _Map(name)
        for name in (
            "neg", "abs", "sign", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos",
            "sigmoid", "relu", "silu", "softsign", "tanh", "square", "reciprocal", "rsqrt",
        )
    },
    **{
        name: _Reduction(name)
        for name in (
            "sum", "prod", "amax", "amin", "logsumexp", "softmax", "log_softmax", "cumsum",
        )
    },
    "pow": _Power(),
    "clamp": _Map("clip"),
    "logical_and": _Logic(AND),
    "logical_or": _Logic(OR),
    "logical_not": _Logic(NOT),
    "softplus": _Map("softplus"),
    **{name: _Map(name) for name in ("leaky_relu", "hardsigmoid")},
    "argmax": _Place("amax"),
    "argmin": _Place("amin"),
    "largest": _Place("amax", True),
    "smallest": _Place("amin", True),
    "variance": _Variance(),
    "deviation": _Variance(True),
    "where": _Where(),
    "sum_to": _SumTo(),
    "matmul": _FewProduct(),
    "linear": _FewLinear(),
    "reshape": _Reshape(),
    "permute": _Permute(),
    "expand": _Expand(),
    "label_loss": _LabelLoss(False),
    "label_pick": _LabelLoss(True),
    "cat": _Cat(False),
    "stack": _Cat(True),
    "gather": _Gather(),
    "scatter_add": _ScatterAdd(),
    "embedding": _Embedding(),
}
