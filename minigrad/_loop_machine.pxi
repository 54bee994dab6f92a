# Of `_loop.pyx`: a machine, which is code made ready to run.

cdef struct Instruction:
    minigrad_opcode run
    # Of the result and of three operands, in bytes: where the column is, how far it is
    # from row to row, from the rows of one block to the next and from tile to tile.
    int place[4]
    Py_ssize_t column[4]
    Py_ssize_t stride[4]
    Py_ssize_t advance[4]
    Py_ssize_t tile[4]

cdef struct Segment:
    Py_ssize_t width, tile
    int first, last

cdef struct Term:
    int left, weight
    Py_ssize_t column, inner

cdef struct Phase:
    bint rowwise
    int first, last  # of the segments or terms
    Py_ssize_t rows  # of a block
    int out
    Py_ssize_t column, width
    int added[3]  # the places of rows and two vectors that are added to a product, or -1
    Py_ssize_t added_column[3]
    int stream, last_stream  # of those that it reads or writes

@cython.final
cdef class Machine:
    """The code of a step, made ready to run."""

    cdef readonly object dtype
    cdef readonly list kinds
    cdef readonly list widths
    cdef readonly list kept
    cdef readonly list code
    cdef const minigrad_kernels *kernels
    cdef dict weights  # the sizes of each
    cdef int number  # of the dtype
    cdef Py_ssize_t item, n_buffers, n_places, n_phases, widest_inner
    cdef Instruction *instructions
    cdef Segment *segments
    cdef Term *terms
    cdef Phase *phases
    cdef int *streams
    cdef int *kind  # of each buffer
    cdef bint *keeps
    cdef bint *writes
    cdef Py_ssize_t *row  # its bytes
    cdef Py_ssize_t memory  # bytes that a thread has of its own, and where in them
    cdef Py_ssize_t *own  # are each place's
    cdef double work  # operations for a row of a step, roughly

    def __cinit__(self, dtype, kinds, widths, kept, code, n_registers):
        cdef Py_ssize_t i, j, rows, tile, item, n_streams = 0
        cdef const minigrad_named *named
        self.dtype = np.dtype(dtype)
        self.kernels = _kernels("Machine", self.dtype)
        self.number = self.dtype.num
        self.item = item = self.dtype.itemsize
        read = Reader(kinds, widths, kept, code, n_registers)
        self.kinds, self.widths, self.kept = read.kinds, read.widths, read.kept
        self.code, self.weights = read.code, read.weights
        self.n_buffers = len(read.kinds)
        self.n_places = self.n_buffers + read.n_registers
        self.n_phases = len(read.phases)
        self.instructions = <Instruction *>_zeros(len(read.instructions), sizeof(Instruction))
        self.segments = <Segment *>_zeros(len(read.segments), sizeof(Segment))
        self.terms = <Term *>_zeros(len(read.terms), sizeof(Term))
        self.phases = <Phase *>_zeros(self.n_phases, sizeof(Phase))
        self.streams = <int *>_zeros(self.n_phases * self.n_buffers, sizeof(int))
        self.kind = <int *>_zeros(self.n_buffers, sizeof(int))
        self.keeps = <bint *>_zeros(self.n_buffers, sizeof(bint))
        self.writes = <bint *>_zeros(self.n_buffers, sizeof(bint))
        self.row = <Py_ssize_t *>_zeros(self.n_buffers, sizeof(Py_ssize_t))
        self.own = <Py_ssize_t *>_zeros(self.n_places, sizeof(Py_ssize_t))
        for i in range(self.n_buffers):
            self.kind[i], self.keeps[i] = read.kinds[i], read.kept[i]
            self.writes[i] = i in read.written
            self.row[i] = read.widths[i] * item
        for i, term in enumerate(read.terms):
            self.terms[i].left, self.terms[i].weight = term[:2]
            self.terms[i].column, self.terms[i].inner = term[2] * item, term[3]
            self.widest_inner = max(self.widest_inner, self.terms[i].inner)
        for i, phase in enumerate(read.phases):
            rows = max(1, HAND // item // phase.hand) if phase.hand else 0
            self.phases[i].rowwise = phase.rowwise
            self.phases[i].first, self.phases[i].last = phase.first, phase.last
            self.phases[i].rows, self.phases[i].out = rows, phase.out
            self.phases[i].column, self.phases[i].width = phase.column * item, phase.width
            for j, (place, column) in enumerate(phase.added):
                self.phases[i].added[j] = place
                self.phases[i].added_column[j] = column * item
            self.phases[i].stream = n_streams
            for b in phase.streams:
                self.streams[n_streams] = b
                n_streams += 1
            self.phases[i].last_stream = n_streams
            if not phase.rowwise:
                terms = read.terms[phase.first:phase.last]
                self.work += 2.0 * phase.width * sum([term[3] for term in terms])
                continue
            for j in range(phase.first, phase.last):
                width, whole, begin, end = read.segments[j]
                tile = width if whole else min(<Py_ssize_t>width, TILE // item)
                self.segments[j] = Segment(width, tile, begin, end)
                self.work += 20.0 * width * (end - begin)
                for k in range(begin, end):
                    self._place(k, read.instructions[k], rows, tile)
        self.memory = _rounded(self.n_places * sizeof(char *))
        for i in range(self.n_places):
            rows, self.own[i] = self.own[i], self.memory
            self.memory += _rounded(rows)
        named = self.kernels.opcodes
        while named.name != NULL:
            for i, (opcode, _) in enumerate(read.instructions):
                if NAMES[opcode].encode() == named.name:
                    self.instructions[i].run = named.run
            named += 1
        assert all([self.instructions[i].run != NULL for i in range(len(read.instructions))])

    cdef int _place(
        self, Py_ssize_t at, tuple read, Py_ssize_t rows, Py_ssize_t tile
    ) except -1:
        """Fill in where an instruction of a segment finds its operands."""
        cdef Instruction *instruction = &self.instructions[at]
        cdef Py_ssize_t i, item = self.item
        name, places = NAMES[read[0]], read[1]
        for i in range(4):
            # A missing one is never used, but looked up like the others.
            place, column, width = places[i] or places[1]
            instruction.place[i] = place
            if place >= self.n_buffers:
                instruction.stride[i] = tile * item
                self.own[place] = max(self.own[place], rows * tile * item)
                continue
            instruction.column[i] = column * item
            one = i in ONE_COLUMN.get(name, ())
            instruction.tile[i] = 0 if one else item
            if self.kind[place] != VECTOR:
                instruction.stride[i] = self.row[place]
            if self.kind[place] == LOCAL:
                self.own[place] = max(self.own[place], rows * self.row[place])
            else:
                instruction.advance[i] = instruction.stride[i]
        return 0

    def __dealloc__(self):
        free(self.instructions)
        free(self.segments)
        free(self.terms)
        free(self.phases)
        free(self.streams)
        free(self.kind)
        free(self.keeps)
        free(self.writes)
        free(self.row)
        free(self.own)

    def run(self, arrays, weights, sizes, bint reverse):
        cdef _Run run = _Run.__new__(_Run)
        cdef Py_ssize_t parts
        run.machine = self
        run.reverse = reverse
        run.check(arrays, weights, sizes)
        if not run.most:
            return
        parts = _parts(run.most, run.total * self.work)
        run.start(shares(sizes, parts) if parts > 1 else [0, run.most])

    def prepare(self, arrays, weights, Py_ssize_t rows):
        cdef Steps steps = Steps.__new__(Steps)
        steps.run = _Run.__new__(_Run)
        steps.run.machine = self
        arrays, weights, sizes = tuple(arrays), tuple(weights), np.array([rows])
        steps.held = arrays, weights, sizes
        steps.run.check(arrays, weights, sizes)
        steps.scratch = <char *>_scratch(
            self.memory + self.kernels.product_scratch(rows, self.widest_inner)
        )
        steps.run.lay(steps.scratch, 0)
        return steps
