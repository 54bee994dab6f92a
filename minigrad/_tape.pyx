# cython: language_level=3
"""The hot path: an op that is recorded, and the walk back over what was recorded.

`_tape_py.py` and `_tape_walk_py.py` are the same in plain Python, name for name: read
those first. The tests hold the two together.
"""

cimport cython
cimport numpy as cnp
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.contextvars cimport PyContextVar_Reset, PyContextVar_Set
from cpython.contextvars cimport get_value_no_default
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdlib cimport calloc, free, qsort, realloc

import contextvars

import numpy as np

from .errors import NUMPY_ERRORS, GraphError, MinigradError, kept_stand_in, translate
from ._keep import LARGE, plan
from ._tape_py import FROZEN
from ._tape_walk_py import WALKED

cnp.import_array()

cdef extern from *:
    """
    #ifndef MINIGRAD_CHECKED
    #define MINIGRAD_CHECKED 0
    #endif
    /* What each thread records: 0 nothing, 1 what has a gradient, 2 everything. */
    static _Thread_local int minigrad_mode = 1;
    /* Whether each thread has its ops watched: 0, or the watcher's own level. */
    static _Thread_local int minigrad_watching = 0;
    """
    int MINIGRAD_CHECKED
    int minigrad_mode
    int minigrad_watching

CHECKED = bool(MINIGRAD_CHECKED)

cdef long long _serial = 0, _walks = 0
cdef Py_ssize_t _large = LARGE
cdef PyTypeObject *_tensor_class = NULL
cdef object _watcher = None, _pull = None, _hooked = None, _sum_to = None
cdef object _refuse_kind = None
cdef object _is_operand = None
cdef tuple _no_args = ()
cdef tuple _zeros = tuple([(0,) * i for i in range(8)])  # slots, most of the time


# -- silence -------------------------------------------------------------------------
# Infinities and NaN are values, as in PyTorch, and numpy must not warn of them. Entering
# np.errstate costs 0.8 us an op, three times the op itself; setting the context variable
# behind it costs 0.1, and seeing that it is set 0.02. It is found by name: without it,
# np.errstate serves.

cdef object _quiet_var = None
cdef object _quiet_value = None


def _find_quiet():
    context = contextvars.copy_context()
    context.run(np.seterr, all="ignore")
    for var, value in context.items():
        if var.name == "numpy.ufunc.extobj":
            return var, value
    return None, None


_quiet_var, _quiet_value = _find_quiet()


cdef object _call(object forward, tuple raw):
    if _quiet_var is None:
        with np.errstate(all="ignore"):
            return forward(*raw)
    if get_value_no_default(_quiet_var) is _quiet_value:
        return forward(*raw)
    token = PyContextVar_Set(_quiet_var, _quiet_value)
    try:
        return forward(*raw)
    finally:
        PyContextVar_Reset(_quiet_var, token)


include "_tape_tensor.pxi"
include "_tape_record.pxi"
include "_tape_walk.pxi"
