# A part of `_kernels.pyx`: gather, scatter and rows by index.

def outside(index, int64_t low, int64_t high):
    cdef cnp.ndarray i = _dense(index)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(i)
    cdef int64_t least = high, most = low
    with nogil:
        _floats.bounds(<const int64_t *>i.data, n, &least, &most)
    return n > 0 and (least < low or most >= high)


def gather(x, Py_ssize_t axis, index):
    """None if an index is out of range."""
    if _kernels(x) == NULL or not x.ndim:
        return plain.gather(x, axis, index)
    cdef cnp.ndarray a = _dense(x), i = _dense(index), out
    cdef Py_ssize_t outer, n, inner, count
    cdef bint inside
    out = _new(i.ndim, i.shape, cnp.PyArray_TYPE(a))
    outer, n, inner, count = _lanes(a, axis, i)
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT:
        inside = _gather[float](<float *>a.data, <int64_t *>i.data, <float *>out.data, outer, n, inner, count)
    else:
        inside = _gather[double](<double *>a.data, <int64_t *>i.data, <double *>out.data, outer, n, inner, count)
    return out if inside else None


def scatter(out, Py_ssize_t axis, index, src):
    cdef cnp.ndarray o = <cnp.ndarray?>out, i, s
    cdef Py_ssize_t outer, n, inner, count
    if _kernels(o) == NULL or not o.ndim or not cnp.PyArray_IS_C_CONTIGUOUS(o):
        plain.scatter(out, axis, index, src)
        return
    i, s = _dense(index), _dense(src)
    outer, n, inner, count = _lanes(o, axis, i)
    if cnp.PyArray_TYPE(o) == cnp.NPY_FLOAT:
        _scatter[float](<float *>o.data, <int64_t *>i.data, <float *>s.data, outer, n, inner, count)
    else:
        _scatter[double](<double *>o.data, <int64_t *>i.data, <double *>s.data, outer, n, inner, count)


cdef tuple _lanes(cnp.ndarray x, Py_ssize_t axis, cnp.ndarray index):
    """(outer, n, inner, how many of the index beside n)."""
    cdef Py_ssize_t outer = 1, inner = 1, d
    for d in range(x.ndim):
        if d < axis:
            outer *= x.shape[d]
        elif d > axis:
            inner *= x.shape[d]
    return outer, x.shape[axis], inner, index.shape[axis]


cdef bint _gather(
    const real *x, const int64_t *index, real *out, Py_ssize_t outer, Py_ssize_t n,
    Py_ssize_t inner, Py_ssize_t count
) noexcept:
    """Whether each index is from 0 to n - 1; if not, what is in out means nothing.

    They are looked at a few rows before they are used, while they are in the nearest
    cache: 512 by 512 took 137 us with all of them looked at first, now 118. Four at a time:
    one at a time took 124 or 184 us, by where the linker had put the five instructions.
    """
    cdef Py_ssize_t o, k, i, width = count * inner, rows = 1024 // max(width, 1) + 1
    cdef Py_ssize_t whole = count // 4 * 4
    cdef int64_t least = n, most = -1
    with nogil:
        for o in range(outer):
            if o % rows == 0:
                _floats.bounds(index, min(rows, outer - o) * width, &least, &most)
                if least < 0 or most >= n:
                    return False
            if inner == 1:
                for k in range(0, whole, 4):
                    out[k] = x[index[k]]
                    out[k + 1] = x[index[k + 1]]
                    out[k + 2] = x[index[k + 2]]
                    out[k + 3] = x[index[k + 3]]
                for k in range(whole, count):
                    out[k] = x[index[k]]
                out += count
                index += count
            else:
                for k in range(count):
                    for i in range(inner):
                        out[i] = x[index[i] * inner + i]
                    out += inner
                    index += inner
            x += n * inner
    return True


cdef void _scatter(
    real *out, const int64_t *index, const real *src, Py_ssize_t outer, Py_ssize_t n,
    Py_ssize_t inner, Py_ssize_t count
) noexcept:
    cdef Py_ssize_t o, k, i
    with nogil:
        for o in range(outer):
            if inner == 1:
                for k in range(count):
                    out[index[k]] += src[k]
                src += count
                index += count
            else:
                for k in range(count):
                    for i in range(inner):
                        out[index[i] * inner + i] += src[i]
                    src += inner
                    index += inner
            out += n * inner


def add_rows(rows, index, Py_ssize_t n):
    if _kernels(rows) == NULL:
        return plain.add_rows(rows, index, n)
    cdef cnp.ndarray r = _dense(rows), i = _dense(index), out
    out = np.zeros((n, rows.shape[1]), rows.dtype)
    if cnp.PyArray_TYPE(r) == cnp.NPY_FLOAT:
        _add_rows[float](<float *>r.data, <int64_t *>i.data, <float *>out.data, r.shape[0], r.shape[1])
    else:
        _add_rows[double](<double *>r.data, <int64_t *>i.data, <double *>out.data, r.shape[0], r.shape[1])
    return out


cdef void _add_rows(
    const real *rows, const int64_t *index, real *out, Py_ssize_t n, Py_ssize_t width
) noexcept:
    cdef Py_ssize_t i, j
    cdef real *to
    with nogil:
        for i in range(n):
            to = out + index[i] * width
            for j in range(width):
                to[j] += rows[i * width + j]


# -- the same, as an op calls them ------------------------------------------------------


cdef bint _is_inside(cnp.ndarray index, Py_ssize_t n):
    """Whether it is a row-major array of int64, each of them from 0 to n - 1."""
    cdef int64_t least = n, most = -1
    if cnp.PyArray_TYPE(index) != cnp.NPY_INT64 or not cnp.PyArray_IS_C_CONTIGUOUS(index):
        return False
    _floats.bounds(<const int64_t *>index.data, cnp.PyArray_SIZE(index), &least, &most)
    return least >= 0 and most < n


@cython.final
cdef class _Gather(Quick):
    """Of (x, dim, index), of the same shape outside the dim."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, index
        cdef Py_ssize_t axis, d
        if not cnp.PyArray_Check(raw[0]) or not _is_ready(<cnp.ndarray>raw[0]):
            return None
        x, index = raw[0], raw[2]
        axis = _axis(raw[1], x.ndim)
        if axis < 0 or index.ndim != x.ndim or cnp.PyArray_TYPE(index) != cnp.NPY_INT64:
            return None
        for d in range(x.ndim):
            if d != axis and x.shape[d] != index.shape[d]:
                return None
        return gather(x, axis, index)


@cython.final
cdef class _ScatterAdd(Quick):
    """Of (x, dim, index, src), of the same shape outside the dim."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, index, src, out
        cdef Py_ssize_t axis, d
        if not _is_ready(<cnp.ndarray>raw[0]):
            return None
        x, index, src = raw[0], raw[2], raw[3]
        axis = _axis(raw[1], x.ndim)
        if axis < 0 or index.ndim != x.ndim or not _is_inside(index, x.shape[axis]):
            return None
        if not cnp.PyArray_SAMESHAPE(index, src):
            return None
        for d in range(x.ndim):
            if d != axis and x.shape[d] != index.shape[d]:
                return None
        out = _like(x)
        memcpy(out.data, x.data, cnp.PyArray_NBYTES(x))
        scatter(out, axis, index, src)
        return out


@cython.final
cdef class _Embedding(Quick):
    """Of (index, weight, padding_idx)."""

    cdef object run(self, tuple raw):
        cdef cnp.ndarray index, weight, out
        cdef Py_ssize_t n, width, i, count, d
        cdef cnp.npy_intp shape[32]
        cdef const int64_t *at
        if not _is_ready(<cnp.ndarray>raw[1]):
            return None
        index, weight = raw[0], raw[1]
        if raw[2] is not None and _axis(raw[2], weight.shape[0]) < 0:
            return None  # a padding row that there is not: an error
        if weight.ndim != 2 or index.ndim > 31 or not _is_inside(index, weight.shape[0]):
            return None
        for d in range(index.ndim):
            shape[d] = index.shape[d]
        shape[index.ndim] = weight.shape[1]
        out = _new(index.ndim + 1, shape, cnp.PyArray_TYPE(weight))
        width, count = weight.shape[1] * cnp.PyArray_ITEMSIZE(weight), cnp.PyArray_SIZE(index)
        at = <const int64_t *>index.data
        with nogil:
            for i in range(count):
                memcpy(out.data + i * width, weight.data + at[i] * width, width)
        return out


@cython.final
cdef class _Cat(Quick):
    """Of arrays, and the dim; `stacks`: one that they don't have yet."""

    cdef bint stacks

    def __init__(self, bint stacks):
        self.stacks = stacks

    cdef object run(self, tuple raw):
        cdef Py_ssize_t n = len(raw) - 1, outer = 1, inner = 1, axis, d, i, o, whole, part
        cdef cnp.ndarray first, other, out
        cdef cnp.npy_intp shape[32]
        cdef char *to
        cdef char *at
        if not cnp.PyArray_Check(raw[0]):
            return None
        first = raw[0]
        axis = _axis(raw[n], first.ndim + self.stacks)
        if axis < 0 or first.ndim > 30 or _kernels(first) == NULL:
            return None
        for d in range(first.ndim):
            if d < axis:
                shape[d] = first.shape[d]
                outer *= first.shape[d]
            elif d > axis or self.stacks:
                shape[d + self.stacks] = first.shape[d]
                inner *= first.shape[d]
        shape[axis] = n if self.stacks else 0
        for i in range(n):
            other = raw[i]
            if other.ndim != first.ndim or cnp.PyArray_TYPE(other) != cnp.PyArray_TYPE(first):
                return None
            for d in range(first.ndim):
                if (d != axis or self.stacks) and other.shape[d] != first.shape[d]:
                    return None
            if not self.stacks:
                shape[axis] += other.shape[axis]
        out = _new(first.ndim + self.stacks, shape, cnp.PyArray_TYPE(first))
        inner *= cnp.PyArray_ITEMSIZE(first)
        whole = shape[axis] * inner
        to = out.data
        for i in range(n):
            other = _dense(raw[i])
            part, at = inner if self.stacks else other.shape[axis] * inner, other.data
            if outer * part < RELEASE:
                for o in range(outer):
                    memcpy(to + o * whole, at + o * part, part)
            else:
                with nogil:
                    for o in range(outer):
                        memcpy(to + o * whole, at + o * part, part)
            to += part
        return out
