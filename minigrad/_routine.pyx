# cython: language_level=3
"""What is around a loop: its arrays, packed weights and results.

`_routine_py.py` is the same in plain numpy, name for name: read that first.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

import numpy as np

from ._memory cimport new
from ._loop import pack
from ._routine_py import ALL, BEFORE

cnp.import_array()

cdef enum:
    WHOLE, BEFORE_STEPS

assert (ALL, BEFORE) == (WHOLE, BEFORE_STEPS)


@cython.final
cdef class Layout:
    cdef readonly object machine
    cdef readonly list arrays
    cdef readonly tuple given, made, carries, kept, weights, outputs

    def __init__(
        self, machine, list arrays, given, made, carries, kept, weights, outputs
    ):
        self.machine = machine
        self.arrays = arrays
        self.given, self.made, self.carries = tuple(given), tuple(made), tuple(carries)
        self.kept, self.weights, self.outputs = tuple(kept), tuple(weights), tuple(outputs)


def run_loop(Layout layout, tensors, frame):
    cdef bint reverse = frame.reverse, ragged = frame.ragged
    cdef list arrays, weights, results = []
    cdef Py_ssize_t place, part, half = frame.half
    cdef bint keep, is_mask
    cdef tuple places
    arrays, weights = bind(layout, tensors, frame)
    layout.machine.run(arrays, weights, frame.sizes, reverse)
    for places, keep in zip(layout.carries, layout.kept):
        states = arrays[places[0]]
        if keep:
            results.append(_one(states, 0 if reverse else len(states) - 1))
        else:
            results.append(frame.last(states) if ragged else _part(states, half, 0))
    for place, part, is_mask in layout.outputs:
        array = arrays[place]
        if part != WHOLE:
            array = _part(array, (part == BEFORE_STEPS) == reverse, len(array) - 1)
        results.append(array.astype(bool) if is_mask else array)
    return tuple(results)


cpdef tuple bind(Layout layout, tensors, frame):
    cdef cnp.npy_intp dims[4]
    cdef cnp.npy_intp batch = frame.batch
    cdef Py_ssize_t place, which, k
    cdef int n
    cdef bint is_stream, reverse = frame.reverse
    cdef tuple lead = frame.lead
    cdef cnp.ndarray initial = tensors[0], states
    cdef object dtype = initial.dtype
    cdef int kind = cnp.PyArray_TYPE(initial)
    cdef list arrays = list(layout.arrays)
    for place, which in layout.given:
        arrays[place] = _rows(tensors[which], dtype)
    for place, is_stream, width in layout.made:
        if is_stream:
            n = len(lead)
            for k in range(n):
                dims[k] = lead[k]
        else:
            n = 1
            dims[0] = batch
        dims[n] = width
        arrays[place] = new(n + 1, dims, kind)
    for k in range(len(layout.carries)):
        initial = tensors[k]
        dims[0] = <cnp.npy_intp>frame.n_steps + 1 if layout.kept[k] else 2
        dims[1], dims[2] = cnp.PyArray_DIM(initial, 0), cnp.PyArray_DIM(initial, 1)
        states = new(3, dims, kind)
        if layout.kept[k]:
            _fill(states, initial, 1, dims[0] - 1 if reverse else 0)
        else:
            _fill(states, initial, 2)
        for place in layout.carries[k]:
            arrays[place] = states
    return arrays, [pack(tensors[k]) for k in layout.weights]


@cython.final
cdef class Chain:
    cdef cnp.ndarray x, output
    cdef list steps

    def __init__(self, x, steps, output):
        self.x, self.steps, self.output = x, list(steps), output

    def __call__(self, x):
        if (
            type(x) is not np.ndarray
            or not cnp.PyArray_SAMESHAPE(<cnp.ndarray>x, self.x)
            or (<cnp.ndarray>x).dtype != self.x.dtype
        ):
            return None
        cnp.PyArray_CopyInto(self.x, <cnp.ndarray>x)
        for step in self.steps:
            step()
        return cnp.PyArray_NewCopy(self.output, cnp.NPY_CORDER)


cdef object _rows(object array, object dtype):
    if (
        isinstance(array, cnp.ndarray)
        and cnp.PyArray_NDIM(<cnp.ndarray>array)
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>array)
        and (<cnp.ndarray>array).dtype == dtype
    ):
        return array
    return np.ascontiguousarray(array, dtype)


cdef int _fill(
    cnp.ndarray states, cnp.ndarray initial, Py_ssize_t n, Py_ssize_t first=0
) except -1:
    """The initial state into n of the states, from the first on."""
    cdef Py_ssize_t i, size = cnp.PyArray_STRIDE(states, 0)
    cdef bint alike = cnp.PyArray_TYPE(initial) == cnp.PyArray_TYPE(states)
    for i in range(first, first + n):
        if alike and cnp.PyArray_ISCARRAY_RO(initial):  # numpy takes 0.1 us to begin
            memcpy(<char *>cnp.PyArray_DATA(states) + i * size, cnp.PyArray_DATA(initial), size)
        else:
            cnp.PyArray_CopyInto(_part(states, i, 0), initial)
    return 0


cdef cnp.ndarray _one(cnp.ndarray states, Py_ssize_t t):
    """A copy of one of the states: a view would keep them all for as long as it lives."""
    cdef cnp.ndarray one = new(2, cnp.PyArray_DIMS(states) + 1, cnp.PyArray_TYPE(states))
    cdef Py_ssize_t size = cnp.PyArray_STRIDE(states, 0)
    memcpy(cnp.PyArray_DATA(one), <char *>cnp.PyArray_DATA(states) + t * size, size)
    return one


cdef cnp.ndarray _part(cnp.ndarray states, Py_ssize_t first, Py_ssize_t n):
    """Of the states (T, B, width), n from the first on; (B, width) if n is 0."""
    cdef cnp.ndarray view
    cdef cnp.npy_intp dims[3]
    cdef int skip = n == 0
    dims[0], dims[1], dims[2] = n, cnp.PyArray_DIM(states, 1), cnp.PyArray_DIM(states, 2)
    view = cnp.PyArray_SimpleNewFromData(
        3 - skip, dims + skip, cnp.PyArray_TYPE(states),
        <char *>cnp.PyArray_DATA(states) + first * cnp.PyArray_STRIDE(states, 0),
    )
    Py_INCREF(states)  # the view takes one
    cnp.PyArray_SetBaseObject(view, states)
    return view
