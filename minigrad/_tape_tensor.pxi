# A part of `_tape.pyx`: nodes, tensors and their operators.

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
    cdef public bint stand_in
    cdef public bint frozen
    cdef long long walk  # the last walk that came by,
    cdef Py_ssize_t place  # and its number in that walk

    def __init__(self):
        _start(self)


cdef inline void _start(Node node):
    global _serial
    _serial += 1
    node.serial = _serial
    node.args = node.parents = node.slots = node.values = _no_args


cdef object _no_numbers = np.zeros(0, np.float32)


cdef class TensorCore:
    cdef public object _data
    cdef public Node _node
    cdef public Py_ssize_t _slot
    cdef public Node _frozen

    def __cinit__(self):
        self._data = _no_numbers  # a class that forgets its base's __init__ has an array, too

    def _replace(self, data):
        cnp.PyArray_CLEARFLAGS(<cnp.ndarray?>data, cnp.NPY_ARRAY_WRITEABLE)
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
        if self._node is not None and self._node.stand_in:
            self._refuse("requires_grad")
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    @property
    def grad(self):
        """The gradient that backward() accumulated in a leaf."""
        cdef Node node = self._frozen if self._node is None else self._node
        if node is not None and node.stand_in:
            self._refuse("grad")
        return None if node is None or node.op is not None else node.grad

    @grad.setter
    def grad(self, value):
        cdef Node node = self._frozen if self._node is None else self._node
        if value is not None or (node is not None and node.op is not None):
            self._check_grad(value)
        if node is not None:
            node.grad = value

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
        if modulo is not None:
            return NotImplemented
        return _operate(_pow, self, other, other)

    def __rpow__(self, other, modulo):
        if modulo is not None:
            return NotImplemented
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
