# Of `_loop.pyx`: a machine's runs, and single steps.

def shares(sizes, Py_ssize_t parts):
    """Cut the rows, of which so many run at each step, into parts with as many to run.

    Where the parts begin, and the last one ends.
    """
    cdef Py_ssize_t most = sizes.max()
    ended = np.cumsum(np.bincount(sizes, minlength=most + 1))[:most]
    run = np.cumsum(len(sizes) - ended)  # up to each row, with it
    cuts = np.searchsorted(run, [run[most - 1] * i / parts for i in range(1, parts)]) + 1
    return sorted({0, *cuts.tolist(), most})


@cython.final
cdef class _Run(_Job):
    """A run of a machine on arrays; its parts are ranges of rows."""

    cdef Machine machine
    cdef bint reverse
    cdef Py_ssize_t n_steps, most, total
    cdef int turn  # which half of a carry is read first
    cdef const int64_t *sizes
    cdef int64_t *starts
    cdef char **data  # which the rest of this is allocated with
    cdef char **weights
    cdef Py_ssize_t *half  # the rows of half a carry

    def __dealloc__(self):
        free(self.data)

    cdef int check(self, object arrays, object weights, object sizes) except -1:
        cdef Machine machine = self.machine
        cdef Py_ssize_t i, t, row, n
        cdef int kind
        cdef bint same = True, fits
        cdef cnp.ndarray array
        cdef Packed packed
        arrays, weights = tuple(arrays), tuple(weights)
        if (
            not isinstance(sizes, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray>sizes) != 1
            or not cnp.PyArray_EquivTypenums(
                cnp.PyArray_TYPE(<cnp.ndarray>sizes), cnp.NPY_INT64
            )
            or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>sizes)
        ):
            raise ArgumentError("Machine: sizes must be a C-contiguous int64 array (T,)")
        self.arrays = (arrays, weights, sizes)
        self.n_steps = cnp.PyArray_DIM(<cnp.ndarray>sizes, 0)
        self.sizes = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>sizes)
        self.data = <char **>_zeros(
            2 * machine.n_buffers + len(weights) + self.n_steps, sizeof(int64_t)
        )
        self.weights = self.data + machine.n_buffers
        self.half = <Py_ssize_t *>(self.weights + len(weights))
        self.starts = <int64_t *>(self.half + machine.n_buffers)
        for t in range(self.n_steps):
            n = self.sizes[t]
            if n < 0:
                raise ArgumentError(f"Machine: step {t} has {n} rows")
            self.starts[t] = self.total
            self.total += n
            self.most = max(self.most, n)
            same = same and n == self.sizes[0]
        if len(arrays) != machine.n_buffers:
            raise ArgumentError(
                f"Machine: {machine.n_buffers} buffers, {len(arrays)} arrays"
            )
        for i in range(machine.n_buffers):
            kind, row = machine.kind[i], machine.row[i] // machine.item
            if kind == LOCAL_KIND:
                need(arrays[i] is None, f"buffer {i} is local, and needs no array")
                continue
            if (
                not isinstance(arrays[i], cnp.ndarray)
                or cnp.PyArray_TYPE(<cnp.ndarray>arrays[i]) != machine.number
                or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>arrays[i])
            ):
                raise ArgumentError(
                    f"Machine: buffer {i} must be a C-contiguous {machine.dtype} array"
                )
            array = arrays[i]
            if machine.writes[i] and not cnp.PyArray_ISWRITEABLE(array):
                raise ArgumentError(f"Machine: the code writes buffer {i}, a read-only array")
            self.data[i] = <char *>cnp.PyArray_DATA(array)
            n = cnp.PyArray_SIZE(array)
            if row == 0:
                continue
            if kind == VECTOR_KIND:
                fits = n == row
            elif kind == STREAM_KIND:
                fits = n == self.total * row
            elif kind == ROWS_KIND:
                fits = n % row == 0 and n >= self.most * row
            elif machine.keeps[i]:
                fits = same and n == (self.n_steps + 1) * self.most * row
            else:
                self.half[i] = n // row // 2
                fits = n == 2 * self.half[i] * row and self.half[i] >= self.most
            if not fits:
                expected = [
                    f"at least {self.most} rows",
                    "one row",
                    f"{self.total} rows",
                    "no row",
                    *[f"{self.n_steps + 1} times {self.most} rows, as many at each step"
                      if machine.keeps[i] else f"two halves of at least {self.most} rows"] * 2,
                ][kind]
                raise ArgumentError(
                    f"Machine: buffer {i} must have {expected} of {row} columns, not the "
                    f"shape {arrays[i].shape}"
                )
        for i, (inner, width) in machine.weights.items():
            if i >= len(weights) or not isinstance(weights[i], Packed):
                raise ArgumentError(f"Machine: there is no packed weight {i}")
            packed = weights[i]
            if packed.kernels != machine.kernels or (
                (packed.inner, packed.width) != (inner, width)
            ):
                raise ArgumentError(
                    f"Machine: weight {i} must be {machine.dtype} ({inner}, {width}), not "
                    f"{packed.dtype} ({packed.inner}, {packed.width})"
                )
            self.weights[i] = packed.data
        return 0

    cdef size_t scratch(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        # The places of all, then what this thread has of its own, then a product's.
        return self.machine.memory + self.machine.kernels.product_scratch(
            last - first, self.machine.widest_inner
        )

    cdef void work(
        self, Py_ssize_t first, Py_ssize_t last, bint breathe, char *scratch
    ) noexcept nogil:
        self.lay(scratch, first)
        self.steps(
            self.machine, first, last, breathe, <char **>scratch,
            scratch + self.machine.memory,
        )

    cdef void lay(self, char *memory, Py_ssize_t first) noexcept nogil:
        """Write where each place is, from that row on, into the memory of a thread."""
        cdef char **at = <char **>memory
        cdef Py_ssize_t i
        memset(memory, 0, self.machine.memory)
        for i in range(self.machine.n_places):
            if i >= self.machine.n_buffers or self.machine.kind[i] == LOCAL_KIND:
                at[i] = memory + self.machine.own[i]
            elif self.machine.kind[i] == ROWS_KIND:
                at[i] = self.data[i] + first * self.machine.row[i]
            else:
                at[i] = self.data[i]

    cdef void look_ahead(
        self, Machine machine, minigrad_ahead *ahead, minigrad_span *spans, Py_ssize_t p,
        Py_ssize_t i, Py_ssize_t first, Py_ssize_t last,
    ) noexcept nogil:
        """The streams after phase p, up to the next product and with it, a step further on."""
        cdef Phase *phase
        cdef Py_ssize_t s, t, b, rows, size
        ahead.span = ahead.end = spans
        ahead.bursts = 0
        while True:
            p += 1
            if p == machine.n_phases:
                p, i = 0, i + 1
            phase = &machine.phases[p]
            if i == self.n_steps:
                return
            t = self.n_steps - 1 - i if self.reverse else i
            rows = max(0, min(<Py_ssize_t>self.sizes[t], last) - first)
            for s in range(phase.stream, phase.last_stream):
                b = machine.streams[s]
                size = min(rows * machine.row[b], ENOUGH)
                minigrad_add(
                    ahead, spans + SPANS,
                    self.data[b] + (self.starts[t] + first) * machine.row[b], size, 0, 1,
                )
            if not phase.rowwise:
                return

    cdef void steps(
        self, Machine machine, Py_ssize_t first, Py_ssize_t last, bint breathe, char **at,
        char *scratch,
    ) noexcept nogil:
        """Run these rows through all steps."""
        cdef Py_ssize_t i, b, t, n, p, row
        cdef int kind
        cdef double done = 0
        cdef Phase *phase
        cdef minigrad_span spans[SPANS]
        cdef minigrad_ahead ahead
        for i in range(self.n_steps):
            t = self.n_steps - 1 - i if self.reverse else i
            n = min(<Py_ssize_t>self.sizes[t], last) - first
            if n <= 0:
                continue
            for b in range(machine.n_buffers):
                kind = machine.kind[b]
                if kind == STREAM_KIND:
                    row = self.starts[t]
                elif kind < READ_KIND:
                    continue
                elif machine.keeps[b]:
                    row = (t + (self.reverse == (kind == READ_KIND))) * <Py_ssize_t>self.sizes[t]
                else:
                    row = ((i + self.turn + (kind == WRITE_KIND)) & 1) * self.half[b]
                at[b] = self.data[b] + (row + first) * machine.row[b]
            for p in range(machine.n_phases):
                phase = &machine.phases[p]
                if phase.rowwise:
                    _rowwise(machine, phase, at, n)
                else:
                    if n >= 4:  # else a product has no tiles to look ahead in
                        self.look_ahead(machine, &ahead, spans, p, i, first, last)
                    _product(machine, phase, self.weights, at, n, scratch, &ahead)
            if minigrad_raised(&self.stop):
                break
            done += n * machine.work
            if done > BREATH and breathe:
                done = 0
                self.breathe()


@cython.final
cdef class Steps:
    """A machine on arrays for one step; each call of step() runs it again."""

    cdef _Run run
    cdef tuple held  # what the run points into
    cdef char *scratch

    def __dealloc__(self):
        free(self.scratch)

    @property
    def turn(self):
        return self.run.turn

    def step(self):
        cdef _Run run = self.run
        cdef Machine machine = run.machine
        with nogil:
            run.steps(
                machine, 0, run.most, False, <char **>self.scratch,
                self.scratch + machine.memory,
            )
        run.turn ^= 1


cdef void _product(
    Machine machine, Phase *phase, char **weights, char **at, Py_ssize_t n, char *scratch,
    minigrad_ahead *ahead,
) noexcept nogil:
    cdef Term *term
    cdef int i
    cdef Py_ssize_t item = machine.item, stride
    cdef const char *more[3]
    cdef minigrad_added added
    cdef bint is_added = False
    for i in range(3):
        more[i] = NULL
        if phase.added[i] >= 0:
            more[i] = at[phase.added[i]] + phase.added_column[i]
            is_added = True
    if is_added:
        added = minigrad_added(
            more[0], machine.row[max(phase.added[0], 0)] // item, more[1], more[2]
        )
    for i in range(phase.first, phase.last):
        term = &machine.terms[i]
        stride = machine.row[term.left] // item
        if machine.kind[term.left] == VECTOR_KIND:
            stride = 0
        machine.kernels.product(
            at[term.left] + term.column, stride, weights[term.weight],
            at[phase.out] + phase.column, machine.row[phase.out] // item,
            n, term.inner, phase.width, i > phase.first,
            &added if is_added and i + 1 == phase.last else NULL, scratch, ahead,
        )


cdef void _rowwise(
    Machine machine, Phase *phase, char **at, Py_ssize_t n
) noexcept nogil:
    cdef Instruction *instruction
    cdef Segment *segment
    cdef Py_ssize_t top = 0, rows, column
    cdef int s, k, j
    cdef char *where[4]
    cdef minigrad_span span
    cdef minigrad_ahead ahead
    while top < n:
        rows = min(phase.rows, n - top)
        # What no step has seen comes from afar, and the next rows of a column are too far
        # from these for the machine to guess them. Where there are products, these have
        # looked ahead.
        if machine.n_phases == 1:
            for s in range(phase.stream, phase.last_stream):
                j = machine.streams[s]
                ahead.span = ahead.end = &span
                minigrad_add(
                    &ahead, &span + 1, at[j] + (top + rows) * machine.row[j],
                    min(rows, n - top - rows) * machine.row[j], 0, 1,
                )
                while ahead.span < ahead.end:
                    minigrad_fetch(&ahead)
        for s in range(phase.first, phase.last):
            segment = &machine.segments[s]
            column = 0
            while column < segment.width:
                for k in range(segment.first, segment.last):
                    instruction = &machine.instructions[k]
                    for j in range(4):
                        where[j] = at[instruction.place[j]] + instruction.column[j]
                    if top or column:  # else 4 % of an LSTM's step, of 32 units and one row
                        for j in range(4):
                            where[j] += (
                                top * instruction.advance[j] + column * instruction.tile[j]
                            )
                    instruction.run(
                        where, instruction.stride, rows,
                        min(segment.tile, segment.width - column),
                    )
                column += segment.tile
        top += rows
