# A part of `_tape.pyx`: the walk back.
#
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
            _check_kind(op, position, result, value)
            if not _same_shape(result, value):
                result = _sum_to(result, value.shape)
            self.hand(links[i], slots, i, result)
        return 0


np_add = np.add


cdef inline bint _same_shape(object g, object array) except -1:
    if not isinstance(g, TensorCore):
        return g.shape == array.shape
    return cnp.PyArray_SAMESHAPE(<cnp.ndarray>(<TensorCore>g)._data, <cnp.ndarray>array)


cdef inline int _check_kind(OpCore op, Py_ssize_t at, object g, object array) except -1:
    """Refuse a cotangent of another dtype: a kernel would read it as its own."""
    if isinstance(g, TensorCore) and _is_float(array):
        if cnp.PyArray_TYPE(<cnp.ndarray>(<TensorCore>g)._data) != cnp.PyArray_TYPE(
            <cnp.ndarray>array
        ):
            _refuse_kind(op, at, g.dtype, array.dtype)
    return 0


cdef _free(Node node):
    node.args = node.parents = node.slots = _no_args
    node.values = (None,) * PyTuple_GET_SIZE(node.values)
