# cython: language_level=3
"""The hot path: an op that is recorded, and the walk back over what was recorded.

`_tape_py.py` is the same in plain Python, name for name: read that first. The tests
hold the two together.
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

from .errors import NUMPY_ERRORS, GraphError, MinigradError, translate
from ._tape_py import WALKED

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
cdef PyTypeObject *_tensor_class = NULL
cdef object _watcher = None, _pull = None, _hooked = None, _sum_to = None
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
    cdef long long walk  # the last walk that came by,
    cdef Py_ssize_t place  # and its number in that walk

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

    @property
    def shape(self):
        """The size of each dim."""
        return self._data.shape

    @property
    def dtype(self):
        """float32, float64, int64 or bool, as a numpy dtype."""
        return <object>cnp.PyArray_DESCR(<cnp.ndarray>self._data)

    @property
    def ndim(self):
        """The number of dims."""
        return cnp.PyArray_NDIM(<cnp.ndarray>self._data)

    @property
    def requires_grad(self):
        """Whether what is computed from it is recorded."""
        return self._node is not None

    def __add__(self, other):
        return _operate(_add, self, other, other)

    def __radd__(self, other):
        return _operate(_add, other, self, other)

    def __sub__(self, other):
        return _operate(_sub, self, other, other)

    def __rsub__(self, other):
        return _operate(_sub, other, self, other)

    def __mul__(self, other):
        return _operate(_mul, self, other, other)

    def __rmul__(self, other):
        return _operate(_mul, other, self, other)

    def __truediv__(self, other):
        return _operate(_truediv, self, other, other)

    def __rtruediv__(self, other):
        return _operate(_truediv, other, self, other)

    def __pow__(self, other, modulo):
        return _operate(_pow, self, other, other)

    def __rpow__(self, other, modulo):
        return _operate(_pow, other, self, other)

    def __matmul__(self, other):
        return _operate(_matmul, self, other, other)

    def __rmatmul__(self, other):
        return _operate(_matmul, other, self, other)

    def __and__(self, other):
        return _operate(_and, self, other, other)

    def __rand__(self, other):
        return _operate(_and, other, self, other)

    def __or__(self, other):
        return _operate(_or, self, other, other)

    def __ror__(self, other):
        return _operate(_or, other, self, other)

    def __eq__(self, other):
        return _operate(_eq, self, other, other)

    def __ne__(self, other):
        return _operate(_ne, self, other, other)

    def __lt__(self, other):
        return _operate(_lt, self, other, other)

    def __le__(self, other):
        return _operate(_le, self, other, other)

    def __gt__(self, other):
        return _operate(_gt, self, other, other)

    def __ge__(self, other):
        return _operate(_ge, self, other, other)

    __hash__ = object.__hash__


cdef object _add = None, _sub = None, _mul = None, _truediv = None, _pow = None
cdef object _matmul = None, _and = None, _or = None
cdef object _eq = None, _ne = None, _lt = None, _le = None, _gt = None, _ge = None


def set_operators(dict operators, is_operand):
    global _add, _sub, _mul, _truediv, _pow, _matmul, _and, _or, _is_operand
    global _eq, _ne, _lt, _le, _gt, _ge
    _add, _sub, _mul = operators["add"], operators["sub"], operators["mul"]
    _truediv, _pow = operators["truediv"], operators["pow"]
    _matmul, _and, _or = operators["matmul"], operators["and"], operators["or"]
    _eq, _ne, _lt = operators["eq"], operators["ne"], operators["lt"]
    _le, _gt, _ge = operators["le"], operators["gt"], operators["ge"]
    _is_operand = is_operand


cdef inline object _operate(object run, object x, object y, object other):
    if (
        not isinstance(other, TensorCore)
        and type(other) is not float
        and type(other) is not int
        and not _is_operand(other)
    ):
        return NotImplemented
    if isinstance(run, OpCore):
        return apply(<OpCore>run, (x, y))
    return run(x, y)


cdef class OpCore:
    cdef public str name
    cdef public object forward
    cdef public object small
    cdef public tuple positions
    cdef public tuple promoting
    cdef public tuple immediate
    cdef public bint variadic
    cdef public Py_ssize_t n_params
    cdef public Py_ssize_t n_args
    cdef public Py_ssize_t n_needed
    cdef public object star
    cdef public tuple defaults
    cdef public tuple sequences
    cdef public bint floating
    cdef public bint differentiable
    cdef public bint returns_tuple
    cdef public tuple names
    cdef public dict vjps
    cdef public object joint
    cdef bytes kinds  # of each argument, in bits

    def prepare(self):
        self.kinds = bytes(
            INPUT * (i in self.positions)
            + PROMOTING * (i in self.promoting or self.variadic)
            + IMMEDIATE * (i in self.immediate)
            for i in range(self.n_args)
        )

    def __call__(self, *args, **kwargs):
        cdef Py_ssize_t n = len(args)
        if not kwargs and not self.variadic and self.star is None:
            if n == self.n_args:
                return apply(self, args)
            if self.n_needed <= n < self.n_args:
                return apply(self, args + self.defaults[n:])
        return apply(self, self.bind(args, kwargs))

    def __get__(self, instance, owner):
        if instance is None:
            return self
        return _Method(self, instance)


cdef enum:
    INPUT = 1
    PROMOTING = 2
    IMMEDIATE = 4


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


def set_tensor_class(type cls):
    global _tensor_class
    Py_INCREF(cls)
    _tensor_class = <PyTypeObject *>cls


def set_tape(pull, hooked, sum_to):
    global _pull, _hooked, _sum_to
    _pull, _hooked, _sum_to = pull, hooked, sum_to


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
    cdef TensorCore tensor = _tensor_class.tp_new(<type>_tensor_class, <PyObject *>_no_args, NULL)
    cnp.PyArray_CLEARFLAGS(<cnp.ndarray>data, cnp.NPY_ARRAY_WRITEABLE)
    tensor._data = data
    tensor._node = node
    tensor._slot = slot
    return tensor


def signature(carries, xs, others):
    cdef long long facts[8 * 40]
    cdef Py_ssize_t n = 0, i, n_steps = -1
    cdef cnp.ndarray array
    if len(carries) + len(xs) + len(others) > 32:
        return None
    for group in (carries, xs, others):
        for tensor in group:
            if not isinstance(tensor, TensorCore):
                return None
            array = (<TensorCore>tensor)._data
            if cnp.PyArray_NDIM(array) > 6:
                return None
            facts[n] = 8 * cnp.PyArray_TYPE(array) + cnp.PyArray_NDIM(array)
            facts[n + 1] = (<TensorCore>tensor)._node is not None
            n += 2
            for i in range(group is xs, cnp.PyArray_NDIM(array)):
                facts[n] = cnp.PyArray_DIM(array, i)
                n += 1
            if group is xs:
                if cnp.PyArray_NDIM(array) == 0 or cnp.PyArray_DIM(array, 0) == 0:
                    return None
                if n_steps >= 0 and n_steps != cnp.PyArray_DIM(array, 0):
                    return None
                n_steps = cnp.PyArray_DIM(array, 0)
    return PyBytes_FromStringAndSize(<char *>facts, n * sizeof(long long))


cdef inline bint _is_float(object array):
    cdef int kind = cnp.PyArray_TYPE(<cnp.ndarray>array)
    return kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE


cdef inline void _put(tuple into, Py_ssize_t i, object value):
    """Fill a place of a new tuple."""
    Py_INCREF(value)
    PyTuple_SET_ITEM(into, i, value)


cdef inline Py_ssize_t _n_inputs(OpCore op, tuple args):
    """The number of array inputs among bound arguments."""
    if op.variadic:
        return PyTuple_GET_SIZE(args) - op.n_params
    return PyTuple_GET_SIZE(op.positions)


cdef inline Py_ssize_t _position(OpCore op, Py_ssize_t i):
    """Where the array input i stands among bound arguments."""
    return i if op.variadic else <Py_ssize_t><object>PyTuple_GET_ITEM(op.positions, i)


cpdef object apply(OpCore op, tuple args):
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
    cdef Py_ssize_t first_param = n - op.n_params if op.variadic else n
    cdef const unsigned char *kinds = op.kinds
    cdef bint tracked = False, agree = True
    cdef int what, kind = -1, now
    cdef TensorCore tensor
    cdef object value, result
    cdef tuple raw = PyTuple_New(n)
    for i in range(n):
        value = <object>PyTuple_GET_ITEM(args, i)
        what = kinds[0] if op.variadic else kinds[i]
        if i >= first_param or not what & INPUT:
            _put(raw, i, value)
        elif isinstance(value, TensorCore):
            tensor = <TensorCore>value
            _put(raw, i, tensor._data)
            tracked = tracked or tensor._node is not None
            if what & PROMOTING:
                now = cnp.PyArray_TYPE(<cnp.ndarray>tensor._data)
                agree = agree and (kind == -1 or kind == now) and (
                    now == cnp.NPY_FLOAT or now == cnp.NPY_DOUBLE
                )
                kind = now
        elif what & IMMEDIATE and type(value) in _NUMBERS:
            _put(raw, i, value)
        else:
            return _converted(op, args)
    if kind == -1 and op.promoting:  # numbers alone
        return _converted(op, args)
    if not agree:
        changed = list(raw)
        op.reconcile(changed)
        raw = tuple(changed)
    if op.small is not None:
        result = op.small(*raw)
        if result is not None:
            return _recorded(op, args, raw, tracked, result)
    try:
        if op.variadic:
            result = _call(op.forward, (raw[:first_param], *raw[first_param:]))
        else:
            result = _call(op.forward, raw)
    except MinigradError:
        raise
    except NUMPY_ERRORS as error:
        raise translate(op.name, raw, error) from error
    return _recorded(op, args, raw, tracked, result)


_NUMBERS = (float, int, bool)


cdef object _converted(OpCore op, tuple args):
    done, value = op.convert(args)
    return value if done else apply(op, value)


cdef object _recorded(OpCore op, tuple args, tuple raw, bint tracked, object result):
    cdef bint several = type(result) is tuple
    cdef tuple values
    cdef Node node = None
    cdef Py_ssize_t i
    if several:
        values = <tuple>result
        for value in values:
            if not isinstance(value, cnp.ndarray):
                values = tuple([np.asarray(v) for v in values])
                break
    elif isinstance(result, cnp.ndarray):
        values = (result,)
    else:
        values = (np.asarray(result),)
    if tracked and minigrad_mode and values and (
        minigrad_mode == 2
        or (op.differentiable and _is_float(<object>PyTuple_GET_ITEM(values, 0)))
    ):
        node = _node_of(op, args, raw, values)
    if minigrad_watching:
        _watcher(op, list(raw), values, node)
    if several:
        return tuple([wrap(v, node, i) for i, v in enumerate(values)])
    return wrap(<object>PyTuple_GET_ITEM(values, 0), node, 0)


cdef Node _node_of(OpCore op, tuple args, tuple raw, tuple values):
    cdef Py_ssize_t i, slot, n = _n_inputs(op, args), any_slot = 0
    cdef tuple parents = PyTuple_New(n), slots = None
    cdef Node node = Node.__new__(Node)
    cdef object value
    for i in range(n):
        value = <object>PyTuple_GET_ITEM(args, _position(op, i))
        if isinstance(value, TensorCore):
            _put(parents, i, (<TensorCore>value)._node)
            if (<TensorCore>value)._node is not None:
                any_slot |= (<TensorCore>value)._slot
        else:
            _put(parents, i, None)
    if any_slot or n >= 8:
        slots = PyTuple_New(n)
        for i in range(n):
            value = <object>PyTuple_GET_ITEM(args, _position(op, i))
            slot = 0
            if <object>PyTuple_GET_ITEM(parents, i) is not None:
                slot = (<TensorCore>value)._slot
            _put(slots, i, slot)
    else:
        slots = <tuple>PyTuple_GET_ITEM(_zeros, n)
    if op.sequences:  # the caller's list may change
        changed = list(raw)
        for i in op.sequences:
            if isinstance(changed[i], list):
                changed[i] = tuple(changed[i])
        raw = tuple(changed)
    _start(node)
    node.op = op
    node.args = raw
    node.parents = parents
    node.slots = slots
    node.values = values
    return node


# -- the walk back ---------------------------------------------------------------------
# The nodes are numbered, the newest first, and all that is known of them is kept by
# number: no set or dict is asked on the way. The numbers stand in the nodes only while
# no Python code can run, so that another thread may walk the same graph.


def walk(outputs, seeds, wanted, bint retain, bint recorded):
    global minigrad_mode, minigrad_watching
    cdef int before = minigrad_mode, watching = minigrad_watching
    cdef _Walk made = _Walk()
    made.recorded = recorded
    made.watched = watching == 2
    minigrad_mode = 2 if before == 2 else recorded
    minigrad_watching = min(watching, 1)
    try:
        return _call(made.run, (list(outputs), list(seeds), wanted, retain))
    finally:
        minigrad_mode = before
        minigrad_watching = watching


cdef enum:
    KEPT = 1  # asked for
    OWNED = 2  # an array that nobody else can hold


cdef struct Visit:
    PyObject *node  # owned
    long long serial
    Py_ssize_t first  # where its slots begin among the sums
    Py_ssize_t parents  # where its parents begin among the links
    bint useful  # whether its cotangent, or that of a node behind it, is asked for


cdef int _newest(const void *a, const void *b) noexcept nogil:
    cdef long long x = (<Visit *>a).serial, y = (<Visit *>b).serial
    return (x < y) - (x > y)


@cython.final
cdef class _Walk:
    cdef bint recorded
    cdef bint watched
    cdef Visit *visits
    cdef Py_ssize_t n_visits
    cdef Py_ssize_t room
    cdef Py_ssize_t *links  # the number of each parent, or -1
    cdef unsigned char *flags  # of each slot, in bits
    cdef list sums  # of each slot: None, a Tensor, or an array that is ours

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.n_visits):
            Py_DECREF(<object>self.visits[i].node)
        free(self.visits)
        free(self.links)
        free(self.flags)

    cdef int add_visit(self, Node node, long long number) except -1:
        cdef Visit *grown
        if node.walk == number:
            return 0
        if self.n_visits == self.room:
            self.room = max(64, 2 * self.room)
            grown = <Visit *>realloc(self.visits, self.room * sizeof(Visit))
            if grown == NULL:
                raise MemoryError
            self.visits = grown
        node.walk = number
        Py_INCREF(node)
        self.visits[self.n_visits].node = <PyObject *>node
        self.visits[self.n_visits].serial = node.serial
        self.visits[self.n_visits].useful = False
        self.n_visits += 1
        return 0

    cdef int number(self, list outputs, list ends) except -1:
        """Number what the outputs were computed from, and put numbers for the Tensors.

        ends: (node, slot) pairs, or None for all leaves. The number of an end that was
        not come by is None. Returns how many slots there are.
        """
        global _walks
        cdef Py_ssize_t i, j, n_slots = 0, n_links = 0, freed = 0
        cdef Node node, parent
        cdef TensorCore y
        cdef Visit *visit
        cdef bint in_order = True
        _walks += 1
        cdef long long number = _walks
        for i in range(len(outputs)):
            self.add_visit((<TensorCore>outputs[i])._node, number)
        i = 0
        while i < self.n_visits:
            node = <Node>self.visits[i].node
            n_links += PyTuple_GET_SIZE(node.parents)
            n_slots += max(PyTuple_GET_SIZE(node.values), 1)
            freed += node.op is not None and not PyTuple_GET_SIZE(node.args)
            for j in range(PyTuple_GET_SIZE(node.parents)):
                if <object>PyTuple_GET_ITEM(node.parents, j) is not None:
                    self.add_visit(<Node>PyTuple_GET_ITEM(node.parents, j), number)
            i += 1
        for i in range(1, self.n_visits):
            in_order = in_order and self.visits[i].serial < self.visits[i - 1].serial
        if not in_order:
            qsort(self.visits, self.n_visits, sizeof(Visit), _newest)
        self.links = <Py_ssize_t *>calloc(n_links + 1, sizeof(Py_ssize_t))
        self.flags = <unsigned char *>calloc(n_slots + 1, 1)
        if self.links == NULL or self.flags == NULL:
            raise MemoryError
        n_links = n_slots = 0
        for i in range(self.n_visits):
            visit = &self.visits[i]
            node = <Node>visit.node
            node.place = i
            visit.first = n_slots
            visit.parents = n_links
            n_slots += max(PyTuple_GET_SIZE(node.values), 1)
            n_links += PyTuple_GET_SIZE(node.parents)
        for i in range(self.n_visits):
            visit = &self.visits[i]
            node = <Node>visit.node
            for j in range(PyTuple_GET_SIZE(node.parents)):
                parent = <object>PyTuple_GET_ITEM(node.parents, j)
                self.links[visit.parents + j] = -1 if parent is None else parent.place
            visit.useful = ends is None
            if ends is None and node.op is None:
                self.flags[visit.first] |= KEPT
        if freed:
            self.refuse_walked(freed, ends, number)
        for i in range(len(outputs)):
            y = <TensorCore>outputs[i]
            outputs[i] = self.visits[y._node.place].first + y._slot
        if ends is not None:
            for i in range(len(ends)):
                node, j = ends[i]
                if node.walk != number:
                    ends[i] = None
                    continue
                visit = &self.visits[node.place]
                visit.useful = True
                ends[i] = visit.first + j
                self.flags[visit.first + j] |= KEPT
            for i in reversed(range(self.n_visits)):
                visit = &self.visits[i]
                node = <Node>visit.node
                for j in range(PyTuple_GET_SIZE(node.parents)):
                    if visit.useful:
                        break
                    parent = <object>PyTuple_GET_ITEM(node.parents, j)
                    visit.useful = parent is not None and self.visits[parent.place].useful
        return n_slots

    cdef int refuse_walked(self, Py_ssize_t freed, list ends, long long number) except -1:
        cdef Node end
        if freed == 1 and ends is not None and ends:
            end = ends[0][0]
            if (
                end.walk == number
                and end.op is not None
                and not end.args
                and all([node is end for node, _ in ends])
            ):
                return 0
        raise GraphError(WALKED)

    def run(self, list outputs, list seeds, wanted, bint retain):
        cdef list ends = None if wanted is None else list(wanted)
        cdef Py_ssize_t i
        cdef Node node
        cdef list gs
        self.sums = [None] * self.number(outputs, ends)
        for i in range(len(outputs)):
            self.add(outputs[i], seeds[i])
        for i in range(self.n_visits):
            node = <Node>self.visits[i].node
            gs = self.finished(node, &self.visits[i])
            if node.op is not None and self.passed(node, gs, &self.visits[i]):
                if not retain:
                    _free(node)
        if ends is not None:
            return [None if end is None else self.sums[end] for end in ends]
        found = []
        for i in range(self.n_visits):
            node = <Node>self.visits[i].node
            if node.op is None and self.sums[self.visits[i].first] is not None:
                found.append((node, self.sums[self.visits[i].first]))
        return found

    cdef int add(self, Py_ssize_t slot, object g) except -1:
        cdef object before = self.sums[slot]
        if before is None:
            self.sums[slot] = g
        elif self.recorded:
            self.sums[slot] = before + g
        elif self.flags[slot] & OWNED:
            np_add(before, (<TensorCore>g)._data, before)
        else:
            self.sums[slot] = np.asarray(
                np_add((<TensorCore>before)._data, (<TensorCore>g)._data)
            )
            self.flags[slot] |= OWNED
        return 0

    cdef list finished(self, Node node, Visit *visit):
        cdef Py_ssize_t i, slot
        cdef list gs = []
        cdef object g
        for i in range(max(PyTuple_GET_SIZE(node.values), 1)):
            slot = visit.first + i
            g = self.sums[slot]
            if self.flags[slot] & OWNED:
                g = wrap(g)
            if node.hooks and g is not None and visit.useful:
                g = _hooked(node, i, g, self.recorded)
            self.sums[slot] = g if self.flags[slot] & KEPT else None
            gs.append(g)
        return gs

    cdef bint passed(self, Node node, list gs, Visit *visit) except -1:
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(node.parents)
        cdef Py_ssize_t *links = self.links + visit.parents
        cdef bint any_needed = False, any_g = False
        for i in range(n):
            if links[i] >= 0 and not self.visits[links[i]].useful:
                links[i] = -1
            any_needed = any_needed or links[i] >= 0
        for g in gs:
            any_g = any_g or g is not None
        if not (any_needed and any_g):
            return False
        cdef OpCore op = <OpCore>node.op
        cdef tuple slots = node.slots
        if self.watched or op.joint is not None:
            needed = [links[i] >= 0 for i in range(n)]
            if op.joint is not None:
                found = op.joint(node, gs, needed, self.recorded)
            else:
                found = _pull(node, gs, needed, self.recorded, self.watched)
            for i, g in found:
                self.hand(links[i], slots, i, g)
        else:
            self.pull(op, node, gs, links, n)
        return True

    cdef int hand(self, Py_ssize_t place, tuple slots, Py_ssize_t i, object g) except -1:
        return self.add(self.visits[place].first + <Py_ssize_t>slots[i], g)

    cdef int pull(
        self, OpCore op, Node node, list gs, Py_ssize_t *links, Py_ssize_t n
    ) except -1:
        """What `tape.pull` does."""
        cdef tuple given = node.args, slots = node.slots, values = node.values
        cdef Py_ssize_t i, position, n_given = PyTuple_GET_SIZE(given)
        cdef tuple args = PyTuple_New(n_given + 2), ys = None
        cdef object y, g, vjp, result, value
        if op.returns_tuple:
            y = tuple(
                [wrap(v, node if self.recorded else None, i) for i, v in enumerate(values)]
            )
            g = tuple(gs)
        else:
            y = wrap(values[0], node if self.recorded else None, 0)
            g = gs[0]
        _put(args, 0, g)
        _put(args, 1, y)
        for i in range(n_given):
            _put(args, i + 2, given[i])
        for i in range(n):
            position = _position(op, i)
            value = given[position]
            if isinstance(value, cnp.ndarray):
                value = wrap(
                    value, node.parents[i] if self.recorded else None, slots[i]
                )
                Py_INCREF(value)
                Py_DECREF(<object>PyTuple_GET_ITEM(args, position + 2))
                PyTuple_SET_ITEM(args, position + 2, value)
        for i in range(n):
            if links[i] < 0:
                continue
            position = _position(op, i)
            vjp = op.vjps.get(op.names[0 if op.variadic else i])
            if vjp is None:
                continue
            if op.variadic:
                result = vjp(i, g, y, args[2:n + 2], *args[n + 2:])
            else:
                result = vjp(*args)
            value = given[position]
            if not _same_shape(result, value):
                result = _sum_to(result, value.shape)
            self.hand(links[i], slots, i, result)
        return 0


np_add = np.add


cdef inline bint _same_shape(object g, object array) except -1:
    if not isinstance(g, TensorCore):
        return g.shape == array.shape
    return cnp.PyArray_SAMESHAPE(<cnp.ndarray>(<TensorCore>g)._data, <cnp.ndarray>array)


cdef _free(Node node):
    node.args = node.parents = node.slots = _no_args
    node.values = (None,) * PyTuple_GET_SIZE(node.values)
