# A part of `_tape.pyx`: an op that is called, and recorded.

cdef class Quick:
    cdef object run(self, tuple raw):
        return None


def ask(OpCore op, tuple raw):
    """What the op's kernel gives before its forward is called, or None; for tests."""
    return op.quick.run(raw)


cdef class OpCore:
    cdef public str name
    cdef public object forward
    cdef public Quick quick
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
    cdef public tuple params
    cdef public tuple shapes
    cdef dict plans  # what a node need not keep, for
    cdef object planned  # these vjps
    cdef bytes kinds  # of each argument, in bits

    def prepare(self):
        self.kinds = bytes(
            INPUT * (i in self.positions)
            + PROMOTING * (i in self.promoting or self.variadic)
            + IMMEDIATE * (i in self.immediate)
            for i in range(self.n_args)
        )

    def of_arrays(self, *raw):
        if self.quick is not None:
            result = self.quick.run(raw)
            if result is not None:
                return result
        return self.forward(*raw)

    def __call__(self, *args, **kwargs):
        cdef Py_ssize_t n = len(args)
        if not kwargs and not self.variadic and self.star is None:
            if n == self.n_args:
                return apply(self, args)
            if self.n_needed <= n < self.n_args:
                return apply(self, args + self.defaults[n:])
        if not kwargs and self.variadic and self.n_needed <= n <= self.n_args:
            if type(args[0]) is list and args[0]:
                return apply(self, (*args[0], *args[1:], *self.defaults[n:]))
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


def set_tape(pull, hooked, sum_to, refuse_kind):
    global _pull, _hooked, _sum_to, _refuse_kind
    _pull, _hooked, _sum_to, _refuse_kind = pull, hooked, sum_to, refuse_kind


def get_mode():
    return minigrad_mode


def set_mode(int mode):
    global minigrad_mode
    minigrad_mode = mode


cdef class ModeCore:
    cdef readonly int mode
    cdef list before

    def __init__(self, int mode):
        self.mode, self.before = mode, []

    def __enter__(self):
        global minigrad_mode
        if minigrad_mode == 2 and not self.mode:
            raise GraphError(FROZEN)
        self.before.append(minigrad_mode)
        if minigrad_mode != 2:
            minigrad_mode = self.mode

    def __exit__(self, *_):
        global minigrad_mode
        minigrad_mode = self.before.pop()


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
    cnp.PyArray_CLEARFLAGS(<cnp.ndarray?>data, cnp.NPY_ARRAY_WRITEABLE)
    tensor._data = data
    tensor._node = node
    tensor._slot = slot
    return tensor


cdef enum:
    MOST = 128  # tensors that have a signature


def signature(carries, xs, fixed):
    cdef long long facts[1 + 9 * MOST]
    cdef Py_ssize_t n = 0, i, n_steps = -1
    cdef cnp.ndarray array
    cdef Node node
    if minigrad_mode == 2 or minigrad_watching or len(carries) + len(xs) + len(fixed) > MOST:
        return None
    facts[n] = minigrad_mode
    n += 1
    for group in (carries, xs, fixed):
        for tensor in group:
            if not isinstance(tensor, TensorCore):
                return None
            array = (<TensorCore>tensor)._data
            node = (<TensorCore>tensor)._node
            if cnp.PyArray_NDIM(array) > 6 or node is not None and node.stand_in:
                return None
            if group is fixed and type(tensor) is not <object>_tensor_class:
                if getattr(tensor, "__dict__", None):  # in it 0.5 us less than around it
                    return None
            facts[n] = 8 * cnp.PyArray_TYPE(array) + cnp.PyArray_NDIM(array)
            facts[n + 1] = node is not None
            facts[n + 2] = <long long><void *>tensor if group is fixed else 0
            n += 3
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
    cdef bint tracked = False, stand_in = False, agree = True, to_float = op.floating
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
            if tensor._node is not None:
                tracked = True
                stand_in = stand_in or tensor._node.stand_in
            if what & PROMOTING:
                now = cnp.PyArray_TYPE(<cnp.ndarray>tensor._data)
                agree = agree and (kind == -1 or kind == now)
                kind = now
        elif what & IMMEDIATE and type(value) in _NUMBERS:
            _put(raw, i, value)
            to_float = to_float or type(value) is float
        else:
            return _converted(op, args)
    if stand_in and minigrad_mode != 2:
        raise kept_stand_in(op.name)
    if kind == -1 and op.promoting:  # numbers alone
        return _converted(op, args)
    if not agree or to_float and kind not in (-1, cnp.NPY_FLOAT, cnp.NPY_DOUBLE):
        changed = list(raw)
        op.reconcile(changed)
        raw = tuple(changed)
    try:
        result = None if op.quick is None else op.quick.run(raw)
        if result is not None:
            pass
        elif op.variadic:
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


cdef tuple _let_go(OpCore op, tuple raw, tuple parents, tuple values):
    """`_keep.let_go`; what it finds out is kept with the op: it took 2 us of 38."""
    cdef Py_ssize_t code = 0
    cdef object parent
    cdef tuple found, empty
    cdef list kept
    if op.variadic or op.joint is not None or op.returns_tuple:
        return raw, values
    for parent in parents:
        code = 3 * code + (0 if parent is None else 1 + ((<Node>parent).op is not None))
    if op.planned is not op.vjps:
        op.plans, op.planned = {}, op.vjps
    found = op.plans.get(code)
    if found is None:
        made = tuple([None if p is None else (<Node>p).op is not None for p in parents])
        found = op.plans[code] = plan(op, tuple(op.vjps.values()), made)
    empty = found[0]
    if empty:
        kept = list(raw)
        for position in empty:
            kept[position] = _hollow(kept[position])
        raw = tuple(kept)
    if not found[1]:
        values = (_hollow(values[0]),)
    return raw, values


cdef object _hollow(cnp.ndarray like):
    """`_keep.hollow` of its shape and dtype."""
    cdef cnp.npy_intp strides[64]
    cdef int d
    for d in range(cnp.PyArray_NDIM(like)):
        strides[d] = 0
    return cnp.PyArray_New(
        cnp.ndarray, cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like),
        cnp.PyArray_TYPE(like), strides, <void *>_nothing, 0, 0, None,
    )


cdef double _nothing[1]
_nothing[0] = 0.0


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
                node.stand_in = node.stand_in or (<TensorCore>value)._node.stand_in
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
    if (
        minigrad_mode == 1
        and cnp.PyArray_NBYTES(<cnp.ndarray>PyTuple_GET_ITEM(values, 0)) >= _large
        # A view would hold on to nothing less.
        and not isinstance(
            cnp.get_array_base(<cnp.ndarray>PyTuple_GET_ITEM(values, 0)), cnp.ndarray
        )
    ):
        raw, values = _let_go(op, raw, parents, values)
    _start(node)
    node.op = op
    node.args = raw
    node.parents = parents
    node.slots = slots
    node.values = values
    return node
