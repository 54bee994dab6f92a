# cython: language_level=3
"""The hot path of recording an op.

`_ops_py.py` is the same in plain Python, name for name: read that first. The tests hold
the two together.
"""

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport PyContextVar_Set, PyContextVar_Reset

import contextvars

import numpy as np

from .errors import NUMPY_ERRORS, MinigradError, translate

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

cdef long long _serial = 0
cdef type _tensor_class = None
cdef object _watcher = None
cdef tuple _no_args = ()


# -- silence -------------------------------------------------------------------------
# Infinities and NaN are values, as in PyTorch, and numpy must not warn of them. Entering
# np.errstate costs 0.8 us an op, three times the op itself; setting the context variable
# behind it costs 0.05. It is found by name: without it, np.errstate serves.

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
    token = PyContextVar_Set(_quiet_var, _quiet_value)
    try:
        return forward(*raw)
    finally:
        PyContextVar_Reset(_quiet_var, token)


# -- recording -----------------------------------------------------------------------


@cython.final
@cython.freelist(64)
@cython.trashcan(True)  # a chain of a million nodes is freed without recursion
cdef class Node:
    cdef public object op
    cdef public tuple args
    cdef public tuple parents
    cdef public tuple slots
    cdef public tuple values
    cdef readonly long long serial
    cdef public object grad
    cdef public object hooks
    cdef public object where

    def __init__(self):
        _start(self)


cdef inline void _start(Node node):
    global _serial
    _serial += 1
    node.serial = _serial
    node.args = node.parents = node.slots = node.values = _no_args


cdef class TensorCore:
    cdef public object _data
    cdef public Node _node
    cdef public Py_ssize_t _slot

    def _replace(self, data):
        self._data = data


cdef class OpCore:
    cdef public str name
    cdef public object forward
    cdef public tuple positions
    cdef public tuple promoting
    cdef public tuple immediate
    cdef public bint variadic
    cdef public Py_ssize_t n_params
    cdef public Py_ssize_t n_args
    cdef public tuple defaults
    cdef public tuple sequences
    cdef public bint floating
    cdef public bint differentiable

    def __call__(self, *args, **kwargs):
        if not kwargs and len(args) == self.n_args and not self.variadic:
            return apply(self, args)
        return apply(self, self.bind(args, kwargs))

    def __get__(self, instance, owner):
        if instance is None:
            return self
        return _Method(self, instance)


@cython.final
@cython.freelist(16)
cdef class _Method:
    """An op that was looked up on a tensor."""

    cdef OpCore op
    cdef object instance

    def __init__(self, OpCore op, object instance):
        self.op = op
        self.instance = instance

    def __call__(self, *args, **kwargs):
        return self.op(self.instance, *args, **kwargs)


def set_tensor_class(cls):
    global _tensor_class
    _tensor_class = cls


def get_mode():
    return minigrad_mode


def set_mode(int mode):
    global minigrad_mode
    minigrad_mode = mode


def set_watcher(watch):
    global _watcher
    _watcher = watch


def get_watching():
    return minigrad_watching


def set_watching(int level):
    global minigrad_watching
    minigrad_watching = level


cpdef object wrap(object data, Node node=None, Py_ssize_t slot=0):
    cdef TensorCore tensor = _tensor_class.__new__(_tensor_class)
    cnp.PyArray_CLEARFLAGS(<cnp.ndarray>data, cnp.NPY_ARRAY_WRITEABLE)
    tensor._data = data
    tensor._node = node
    tensor._slot = slot
    return tensor


cdef inline bint _is_float(object array):
    cdef int kind = cnp.PyArray_TYPE(<cnp.ndarray>array)
    return kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE


cpdef object apply(OpCore op, tuple args):
    cdef Py_ssize_t n = len(args) - op.n_params if op.variadic else len(op.positions)
    cdef Py_ssize_t i, position
    cdef bint tracked = False, agree = True
    cdef TensorCore tensor
    cdef int kind = -1
    cdef object value, result
    cdef list raw = list(args), parents = [None] * n, slots = [0] * n
    for i in range(n):
        position = i if op.variadic else <Py_ssize_t>op.positions[i]
        value = args[position]
        if isinstance(value, TensorCore):
            tensor = <TensorCore>value
            raw[position] = tensor._data
            if tensor._node is not None:
                parents[i] = tensor._node
                slots[i] = tensor._slot
                tracked = True
            if op.variadic or position in op.promoting:
                agree = agree and _is_float(tensor._data) and (
                    kind == -1 or kind == cnp.PyArray_TYPE(<cnp.ndarray>tensor._data)
                )
                kind = cnp.PyArray_TYPE(<cnp.ndarray>tensor._data)
        elif type(value) not in _NUMBERS or position not in op.immediate:
            return _converted(op, args)
    if kind == -1 and op.promoting:  # numbers alone
        return _converted(op, args)
    if not agree:
        op.reconcile(raw)
    try:
        if op.variadic:
            result = _call(op.forward, (tuple(raw[:n]), *raw[n:]))
        else:
            result = _call(op.forward, tuple(raw))
    except MinigradError:
        raise
    except NUMPY_ERRORS as error:
        raise translate(op.name, raw, error) from error
    return _recorded(op, raw, parents, slots, tracked, result)


_NUMBERS = (float, int, bool)


cdef object _converted(OpCore op, tuple args):
    done, value = op.convert(args)
    return value if done else apply(op, value)


cdef object _recorded(
    OpCore op, list raw, list parents, list slots, bint tracked, object result
):
    cdef bint several = type(result) is tuple
    cdef tuple values
    cdef Node node = None
    cdef Py_ssize_t i
    if several:
        values = tuple([np.asarray(v) for v in <tuple>result])
    elif isinstance(result, cnp.ndarray):
        values = (result,)
    else:
        values = (np.asarray(result),)
    if tracked and minigrad_mode and values and (
        minigrad_mode == 2
        or (op.differentiable and _is_float(values[0]))
    ):
        for i in op.sequences:
            raw[i] = tuple(raw[i]) if isinstance(raw[i], list) else raw[i]
        node = Node.__new__(Node)
        _start(node)
        node.op = op
        node.args = tuple(raw)
        node.parents = tuple(parents)
        node.slots = tuple(slots)
        node.values = values
    if minigrad_watching:
        _watcher(op, raw, values, node)
    if several:
        return tuple([wrap(v, node, i) for i, v in enumerate(values)])
    return wrap(values[0], node, 0)
