# cython: language_level=3
"""The kernels that numpy does badly. `_ops_py.py` is the same in plain Python."""

cimport numpy as cnp
from libc.math cimport exp as libm_exp, fabs

import numpy as np

cnp.import_array()

cdef extern from *:
    """
    #ifndef MINIGRAD_CHECKED
    #define MINIGRAD_CHECKED 0
    #endif
    /* e**x in double, to about 1e-10: for float32 results. No branch and no call, so
       compilers vectorise a loop over it. |x| is cut at 200, far outside float32. */
    static inline double minigrad_exp(double x) {
        union { double d; long long i; } shifted, scaled;
        double n, r, p, cut = x < -200.0 ? -200.0 : (x > 200.0 ? 200.0 : x);
        shifted.d = cut * 1.4426950408889634 + 6755399441055744.0; /* 1.5 * 2**52 */
        n = shifted.d - 6755399441055744.0;
        r = cut - n * 0.6931471805599453;
        p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120
            + r * (1.0 / 720 + r * (1.0 / 5040 + r / 40320)))))));
        scaled.d = p;
        scaled.i += (long long)((unsigned long long)shifted.i << 52);
        return x == x ? scaled.d : x;
    }
    """
    int MINIGRAD_CHECKED
    double minigrad_exp(double x) noexcept nogil

CHECKED = bool(MINIGRAD_CHECKED)

ctypedef fused real:
    float
    double


def exp(x):
    cdef const float[::1] source
    cdef float[::1] target
    cdef Py_ssize_t i
    if x.dtype != np.float32:
        return np.asarray(np.exp(x))
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    source = flat
    target = out
    with nogil:
        for i in range(source.shape[0]):
            target[i] = <float>minigrad_exp(source[i])
    return out.reshape(x.shape)


def sigmoid(x):
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    if flat.dtype == np.float32:
        _sigmoid32(flat, out)
    else:
        _sigmoid64(flat, out)
    return out.reshape(x.shape)


cdef void _sigmoid32(const float[::1] x, float[::1] y):
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            y[i] = <float>(1.0 / (1.0 + minigrad_exp(-<double>x[i])))


cdef void _sigmoid64(const double[::1] x, double[::1] y):
    cdef Py_ssize_t i
    cdef double small, total, rough
    with nogil:
        for i in range(x.shape[0]):
            small = libm_exp(-fabs(x[i]))
            total = 1.0 + small
            rough = (1.0 if x[i] >= 0 else small) / total
            # Three roundings add up to 2.3 ulp: give back what the sum lost.
            y[i] = rough - rough * ((small - (total - 1.0)) / total)


def add_rows(rows, index, Py_ssize_t n):
    out = np.zeros((n, rows.shape[1]), rows.dtype)
    rows = np.ascontiguousarray(rows)
    index = np.ascontiguousarray(index)
    if rows.dtype == np.float32:
        _add_rows[float](rows, index, out)
    else:
        _add_rows[double](rows, index, out)
    return out


cdef void _add_rows(const real[:, ::1] rows, const long long[::1] index, real[:, ::1] out):
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(rows.shape[0]):
            for j in range(rows.shape[1]):
                out[index[i], j] += rows[i, j]
