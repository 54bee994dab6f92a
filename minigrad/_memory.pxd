# cython: language_level=3
cimport numpy as cnp

cdef cnp.ndarray new(int n, cnp.npy_intp *dims, int kind)
