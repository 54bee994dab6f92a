# Of `_loop.pyx`: sums over rows, of products and of the rows themselves.

@cython.final
cdef class _Sum(_Job):
    """Of rows of y, and of their products with rows of some x."""

    cdef const minigrad_kernels *kernels
    cdef minigrad_left lefts[LEFTS]
    cdef int n_lefts
    cdef const char *y
    cdef char *total  # or NULL
    cdef Py_ssize_t rows, stride, k, n, item, block
    cdef bint add, by_k, ascending
    cdef int32_t *ones[LEFTS]  # of the x that are one-hot, NULL for the others
    cdef Py_ssize_t widest  # of these

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_lefts):
            free(self.ones[i])

    cdef char *into(
        self, str name, list results, object out, int n_dims, Py_ssize_t k, dtype
    ) except? NULL:
        """Where to add, or a new array to write: (k, n), or (n,)."""
        cdef cnp.npy_intp dims[2]
        dims[0], dims[n_dims - 1] = k, self.n
        if out is None:
            out = new(n_dims, dims, (<cnp.dtype>dtype).num)
        elif (
            not isinstance(out, cnp.ndarray)
            or out.shape != (k, self.n)[2 - n_dims:] or out.dtype != dtype
            or not (out.flags.c_contiguous and out.flags.writeable)
        ):
            shape = (k, self.n)[2 - n_dims:]
            raise ArgumentError(f"{name}: out must be a writable, C-contiguous {dtype}{shape}")
        results.append(out)
        return <char *>cnp.PyArray_DATA(<cnp.ndarray>out)

    cdef int some(self, Py_ssize_t top, Py_ssize_t bottom, Py_ssize_t start, Py_ssize_t left,
                  bint picks, minigrad_left *found) noexcept nogil:
        """The columns top to bottom of all x beside each other, and how many x those are.

        picks: but for those x that are one-hot.
        """
        cdef int i, n = 0
        cdef Py_ssize_t first = 0, low, high
        cdef minigrad_left *one
        for i in range(self.n_lefts):
            one = &self.lefts[i]
            low, high = max(top - first, 0), min(bottom - first, one.k)
            first += one.k
            if low < high and not (picks and self.ones[i] != NULL):
                found[n].x = one.x + (start * one.stride + low) * self.item
                found[n].stride, found[n].k = one.stride, high - low
                found[n].out = one.out + (low * self.n + left) * self.item
                n += 1
        return n

    cdef size_t scratch(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef minigrad_left lefts[LEFTS]
        cdef Py_ssize_t top = first if self.by_k else 0
        cdef Py_ssize_t bottom = last if self.by_k else self.k
        cdef int n = self.some(top, bottom, 0, 0, False, lefts)
        cdef size_t size = self.kernels.gram_scratch(min(self.rows, self.block), lefts, n)
        return max(size, (BLOCK + self.widest) * sizeof(int32_t))

    cdef void look_up(
        self, Py_ssize_t top, Py_ssize_t bottom, Py_ssize_t start, Py_ssize_t size,
        Py_ssize_t left, Py_ssize_t right, bint add, char *scratch
    ) noexcept nogil:
        """Sum a block of rows of y for the columns top to bottom of x that are one-hot."""
        cdef int32_t *after = <int32_t *>scratch
        cdef Py_ssize_t first = 0
        cdef int i
        for i in range(self.n_lefts):
            if self.ones[i] != NULL:
                self.kernels.lookup_gram(
                    self.ones[i] + start, size,
                    self.y + (start * self.stride + left) * self.item, self.stride,
                    right - left, max(top - first, 0), min(bottom - first, self.lefts[i].k),
                    add, self.lefts[i].out + left * self.item, self.n, after, after + BLOCK,
                )
            first += self.lefts[i].k

    cdef void work(
        self, Py_ssize_t first, Py_ssize_t last, bint breathe, char *scratch
    ) noexcept nogil:
        cdef Py_ssize_t left = first, right = last, top = 0, bottom = self.k
        cdef Py_ssize_t done = 0, size, start, begin, other
        cdef Py_ssize_t item = self.item, rows = self.rows
        cdef bint add = self.add, picks
        cdef int i, n
        cdef char *total = self.total + left * item if self.total else NULL
        cdef minigrad_left lefts[LEFTS]
        cdef minigrad_span spans[SPANS]
        cdef minigrad_ahead ahead
        if self.by_k:
            top, bottom, left, right = first, last, 0, self.n
            total = NULL if top else self.total
        # In whole blocks from one end: what comes of them is what comes of them alone, and
        # the other rows can be added later.
        while (done < rows or not add) and not minigrad_raised(&self.stop):
            size = min(self.block, rows - done)
            start = done if self.ascending else rows - done - size
            # Then the rows beside these, on one or the other side.
            other = min(size, rows - done - size)
            begin = start + size if self.ascending else start - other
            picks = self.widest and self.kernels.all_finite(
                self.y + (start * self.stride + left) * item, self.stride, size, right - left
            )
            if picks:
                self.look_up(top, bottom, start, size, left, right, add, scratch)
            n = self.some(top, bottom, begin, left, picks, lefts)
            if n:
                ahead.span = ahead.end = spans
                ahead.bursts = 0
                for i in range(n):
                    minigrad_add(
                        &ahead, spans + SPANS, lefts[i].x, lefts[i].k * item,
                        lefts[i].stride * item, other,
                    )
                self.some(top, bottom, start, left, picks, lefts)
                self.kernels.gram(
                    lefts, n, self.y + (start * self.stride + left) * item, self.stride,
                    self.n, total, size, right - left, add, scratch, &ahead,
                )
            elif total != NULL:
                self.kernels.sum_rows(
                    self.y + (start * self.stride + left) * item, self.stride, size,
                    right - left, add, total,
                )
            done += size
            add = True
            if breathe and done < rows:
                self.breathe()


cdef tuple _sums(
    str name, tuple rows, bint total, tuple outs, Py_ssize_t block, bint ascending
):
    cdef _Sum job = _Sum.__new__(_Sum)
    cdef Rows found
    cdef int i, n = len(rows) - 1
    cdef list held = [], results = []
    cdef double work
    if not 1 <= block <= BLOCK:
        raise ArgumentError(f"{name}: block must be 1..{BLOCK} rows, not {block}")
    if not 0 <= n <= LEFTS:
        raise ArgumentError(f"{name}: 1 to {LEFTS + 1} arrays of rows, not {n + 1}")
    y = rows[n]
    if not isinstance(y, cnp.ndarray):
        raise ArgumentError(f"{name}: rows must be an array (..., columns)")
    dtype = y.dtype
    job.kernels = _kernels(name, dtype)
    job.block, job.ascending, job.add = block, ascending, outs is not None
    if outs is not None and len(outs) != n + total:
        raise ArgumentError(f"{name}: {n + total} sums, but {len(outs)} to add to")
    held.append(_rows(name, y, dtype, &found))
    job.rows, job.n, job.y, job.stride = found.n, found.width, found.data, found.stride
    job.item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>y)
    for i in range(n):
        held.append(_rows(name, rows[i], dtype, &found))
        if found.n != job.rows:
            raise ShapeError(f"{name}: {found.n} rows and {job.rows} rows")
        job.lefts[i] = minigrad_left(
            found.data, found.stride, found.width,
            job.into(name, results, outs and outs[i], 2, found.width, dtype),
        )
        job.k += found.width
        job.n_lefts = i + 1
        job.ones[i] = _ones(
            job.kernels, found.data, found.stride, found.n, found.width, job.n
        )
        if job.ones[i] != NULL:
            job.widest = max(job.widest, found.width)
    if total:
        job.total = job.into(name, results, outs and outs[n], 1, 0, dtype)
    job.arrays = (held, results)
    if job.n == 0:
        return tuple(results)
    if job.k == 0:
        if total:
            job.share(job.n, 1.0 * MOVED * job.rows * job.n, 64)
        return tuple(results)
    job.by_k = job.k > job.n
    work = 2.0 * job.rows * job.k * job.n
    if job.by_k:
        job.share(job.k, work, 12)
    else:
        job.share(job.n, work, job.kernels.panel)
    return tuple(results)


def sums(rows, bint total, outs=None, Py_ssize_t block=BLOCK, bint ascending=False):
    return _sums(
        "sums", tuple(rows), total, None if outs is None else tuple(outs), block, ascending
    )


def gram(x, y, out=None, Py_ssize_t block=BLOCK, bint ascending=False):
    return _sums(
        "gram", (x, y), False, None if out is None else (out,), block, ascending
    )[0]


def sum_rows(x, out=None, Py_ssize_t block=BLOCK, bint ascending=False):
    return _sums(
        "sum_rows", (x,), True, None if out is None else (out,), block, ascending
    )[0]
