# cython: language_level=3
"""Sums, differences, products and quotients of few numbers.

A ufunc takes 0.25 us for 16 numbers, these functions 0.07. They give what numpy gives, to
the bit, or None for what is numpy's: other dtypes than float32 and float64, arrays that
aren't contiguous, too many numbers, or a shape that isn't how the other shape ends.
"""

cimport cython
cimport numpy as cnp
from libc.string cimport memcmp

cnp.import_array()

cdef enum Kind:
    ADD
    SUB
    MUL
    DIV

ctypedef fused real:
    float
    double

cdef Py_ssize_t MOST = 2048  # numbers; numpy has wider vectors
cdef long long EXACT = 1 << 24  # up to here, an int is a float32


def add(x, y):
    return _few(ADD, x, y)


def sub(x, y):
    return _few(SUB, x, y)


def mul(x, y):
    return _few(MUL, x, y)


def div(x, y):
    return _few(DIV, x, y)


cdef object _few(Kind kind, object x, object y):
    cdef double number = 0.0
    cdef cnp.ndarray a, b, out
    if not isinstance(x, cnp.ndarray):
        if not _is_plain(x) or not isinstance(y, cnp.ndarray):
            return None
        number = x
        return _with_number(kind, <cnp.ndarray>y, number, True)
    if not isinstance(y, cnp.ndarray):
        if not _is_plain(y):
            return None
        number = y
        return _with_number(kind, <cnp.ndarray>x, number, False)
    a, b = <cnp.ndarray>x, <cnp.ndarray>y
    if not (_is_ready(a) and _is_ready(b)):
        return None
    if cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b):
        return None
    cdef int extra = cnp.PyArray_NDIM(a) - cnp.PyArray_NDIM(b)
    cdef cnp.ndarray large = a if extra >= 0 else b
    cdef cnp.ndarray small = b if extra >= 0 else a
    cdef int n_dims = cnp.PyArray_NDIM(small)
    if n_dims and memcmp(
        cnp.PyArray_DIMS(large) + (extra if extra >= 0 else -extra),
        cnp.PyArray_DIMS(small),
        n_dims * sizeof(cnp.npy_intp),
    ):
        return None
    out = cnp.PyArray_SimpleNew(
        cnp.PyArray_NDIM(large), cnp.PyArray_DIMS(large), cnp.PyArray_TYPE(large)
    )
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT:
        _run[float](
            kind,
            <float *>cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a),
            <float *>cnp.PyArray_DATA(b), cnp.PyArray_SIZE(b),
            <float *>cnp.PyArray_DATA(out),
        )
    else:
        _run[double](
            kind,
            <double *>cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a),
            <double *>cnp.PyArray_DATA(b), cnp.PyArray_SIZE(b),
            <double *>cnp.PyArray_DATA(out),
        )
    return out


cdef inline bint _is_plain(object number):
    if type(number) is float:
        return True
    return type(number) is int and -EXACT < number < EXACT


cdef inline bint _is_ready(cnp.ndarray a):
    cdef int type_ = cnp.PyArray_TYPE(a)
    return (
        (type_ == cnp.NPY_FLOAT or type_ == cnp.NPY_DOUBLE)
        and cnp.PyArray_IS_C_CONTIGUOUS(a)
        and cnp.PyArray_ISALIGNED(a)
        and cnp.PyArray_ISNOTSWAPPED(a)
        and 0 < cnp.PyArray_SIZE(a) <= MOST
    )


cdef object _with_number(Kind kind, cnp.ndarray a, double number, bint first):
    """A number and an array: the number takes the array's dtype."""
    cdef cnp.ndarray out
    cdef float narrow = <float>number
    if not _is_ready(a):
        return None
    out = cnp.PyArray_SimpleNew(
        cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a)
    )
    cdef Py_ssize_t n = cnp.PyArray_SIZE(a)
    cdef void *given = cnp.PyArray_DATA(a)
    cdef void *made = cnp.PyArray_DATA(out)
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT:
        if first:
            _run[float](kind, &narrow, 1, <float *>given, n, <float *>made)
        else:
            _run[float](kind, <float *>given, n, &narrow, 1, <float *>made)
    elif first:
        _run[double](kind, &number, 1, <double *>given, n, <double *>made)
    else:
        _run[double](kind, <double *>given, n, &number, 1, <double *>made)
    return out


@cython.cdivision(True)  # by 0, to infinity or NaN
cdef inline real _one(Kind kind, real x, real y) noexcept nogil:
    if kind == ADD:
        return x + y
    if kind == SUB:
        return x - y
    if kind == MUL:
        return x * y
    return x / y


cdef inline void _each(
    Kind kind,
    const real *x, Py_ssize_t n_x, const real *y, Py_ssize_t n_y, real *z,
) noexcept nogil:
    """Whichever has fewer numbers has them again and again."""
    cdef Py_ssize_t i, k
    if n_x == n_y:
        for i in range(n_x):
            z[i] = _one(kind, x[i], y[i])
    elif n_x > n_y:
        for k in range(n_x // n_y):
            for i in range(n_y):
                z[k * n_y + i] = _one(kind, x[k * n_y + i], y[i])
    else:
        for k in range(n_y // n_x):
            for i in range(n_x):
                z[k * n_x + i] = _one(kind, x[i], y[k * n_x + i])


cdef void _run(
    Kind kind,
    const real *x, Py_ssize_t n_x, const real *y, Py_ssize_t n_y, real *z,
) noexcept nogil:
    # A loop for each kind: the compiler leaves the question out of it.
    if kind == ADD:
        _each(ADD, x, n_x, y, n_y, z)
    elif kind == SUB:
        _each(SUB, x, n_x, y, n_y, z)
    elif kind == MUL:
        _each(MUL, x, n_x, y, n_y, z)
    else:
        _each(DIV, x, n_x, y, n_y, z)
