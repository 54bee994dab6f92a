# A part of `_kernels.pyx`: the loss of labels that are not aligned.

cdef double NEVER = plain.NEVER


def label_paths(targets, widths, int64_t blank):
    cdef cnp.ndarray labels = _dense(targets), counts = _dense(widths), paths
    cdef const int64_t *label = <const int64_t *>labels.data
    cdef const int64_t *count = <const int64_t *>counts.data
    cdef cnp.npy_intp shape[2]
    cdef Py_ssize_t i, j, most = 0
    cdef bint is_among = False
    for i in range(counts.shape[0]):
        most = max(most, count[i])
    shape[0], shape[1] = counts.shape[0], 2 * most + 1
    paths = cnp.PyArray_EMPTY(2, shape, cnp.NPY_INT64, 0)
    cdef int64_t *path = <int64_t *>paths.data
    for i in range(shape[0]):
        for j in range(shape[1]):
            path[j] = blank
        for j in range(count[i]):
            path[2 * j + 1] = label[j]
            is_among |= label[j] == blank
        path += shape[1]
        label += labels.shape[1] if labels.ndim == 2 else count[i]
    return paths, is_among


def ctc_loss(x, paths, lived, widths, str reduction, bint zero_infinity):
    cdef cnp.ndarray a = _dense(x), p = _dense(paths), steps = _dense(lived)
    cdef cnp.ndarray counts = _dense(widths), row = np.empty(p.shape[1])
    cdef cnp.ndarray losses = np.empty(p.shape[0])
    cdef Py_ssize_t rows = p.shape[0], classes = a.shape[a.ndim - 1], i, n
    cdef double loss, total = 0.0
    cdef bint is_mean = reduction == "mean", narrow = _kernels(a) == _floats
    cdef double *places = <double *>row.data
    with nogil:
        for i in range(rows):
            n = 2 * (<int64_t *>counts.data)[i] + 1
            _places(
                a.data, narrow, i * classes, rows * classes,
                <int64_t *>p.data + i * p.shape[1], 1, n, (<int64_t *>steps.data)[i],
                places, 0,
            )
            loss = -_arrived(places, n)
            if loss > -NEVER / 2:
                loss = 0.0 if zero_infinity else INFINITY
            (<double *>losses.data)[i] = loss
            total += loss / (max(n // 2, 1) * rows) if is_mean else loss
    if reduction == "none":
        return losses.astype(a.dtype).reshape(x.shape[1:a.ndim - 1])
    return np.array(total, a.dtype)


def ctc_loss_grad(g, x, paths, lived, widths, str reduction):
    cdef cnp.ndarray a = _dense(x), p = _dense(paths), steps = _dense(lived)
    cdef cnp.ndarray counts = _dense(widths), c = _dense(g), out = np.zeros_like(a)
    cdef cnp.ndarray table = np.empty((2, a.shape[0] + 1, p.shape[1]))
    cdef Py_ssize_t rows = p.shape[0], classes = a.shape[a.ndim - 1], i, n
    cdef double share
    cdef double *there = <double *>table.data
    cdef double *back = there + (a.shape[0] + 1) * p.shape[1]
    cdef bint whole = reduction == "none", is_mean = reduction == "mean"
    cdef bint narrow = _kernels(a) == _floats
    with nogil:
        for i in range(rows):
            n = 2 * (<int64_t *>counts.data)[i] + 1
            share = _read(c.data, narrow, i if whole else 0)
            _shares(
                share / (max(n // 2, 1) * rows) if is_mean else share,
                a.data, narrow, i * classes, rows * classes,
                <int64_t *>p.data + i * p.shape[1], n, (<int64_t *>steps.data)[i],
                there, back, out.data,
            )
    return out


cdef inline double _read(const char *x, bint narrow, Py_ssize_t i) noexcept nogil:
    """A number of an array of floats, if it is narrow, or of doubles."""
    return (<float *>x)[i] if narrow else (<double *>x)[i]


cdef inline double _emitted(const char *x, bint narrow, Py_ssize_t i) noexcept nogil:
    cdef double y = _read(x, narrow, i)
    return NEVER if y < NEVER else y


cdef inline double _log_sum(double a, double b, double c) noexcept nogil:
    """log(e**a + e**b + e**c); a NaN stays, wherever it is."""
    cdef double most = a if a > b else b, least = b if a > b else a
    cdef double top = most if most > c else c, middle = c if most > c else most
    return top + log_of(1.0 + exp_of(least - top) + exp_of(middle - top))


cdef inline double _log_sum_2(double a, double b) noexcept nogil:
    cdef double most = a if a > b else b, least = b if a > b else a
    return most + log_of(1.0 + exp_of(least - most))


cdef inline double _arrived(const double *row, Py_ssize_t n) noexcept nogil:
    """Of being at the last blank, or at the last label if there is one."""
    return _log_sum_2(row[n - 1], row[n - 2]) if n > 1 else row[0]


cdef inline Py_ssize_t _first(Py_ssize_t n, Py_ssize_t left) noexcept nogil:
    """The first place from which the end can be reached in the steps that are left."""
    return max(n - 2 * left, 0)


cdef inline Py_ssize_t _last(Py_ssize_t n, Py_ssize_t t) noexcept nogil:
    """The last place that can be reached by step t."""
    return min(2 * t + 1, n - 1)


cdef void _places(
    const char *x, bint narrow, Py_ssize_t at, Py_ssize_t stride, const int64_t *path,
    Py_ssize_t turn, Py_ssize_t n, Py_ssize_t steps, double *row, Py_ssize_t kept
) noexcept nogil:
    """The log-probability of being at each of the n places of a path after each step.

    turn: 1, or -1 for a path from its end. kept: n for a row before and after each
    step, or 0 for one row. Only what _first and _last leave is computed.
    """
    cdef Py_ssize_t t, s, label
    cdef double *now
    cdef double blank, skipped
    for s in range(n + steps * kept):
        row[s] = NEVER
    row[0] = 0.0
    for t in range(steps):
        now = row + kept
        blank = _emitted(x, narrow, at + path[0])
        # From the last one: where one row is kept, those before are still as they were.
        for s in range(_last(n, t), _first(n, steps - t) - 1, -1):
            if s % 2 == 0:
                now[s] = (_log_sum_2(row[s], row[s - 1]) if s else row[0]) + blank
                continue
            label = path[s * turn]
            # Between two labels, only if they differ.
            skipped = row[s - 2] if s > 1 and label != path[(s - 2) * turn] else NEVER
            now[s] = _log_sum(row[s], row[s - 1], skipped)
            now[s] += _emitted(x, narrow, at + label)
        row = now
        at += stride


cdef void _shares(
    double g, const char *x, bint narrow, Py_ssize_t at, Py_ssize_t stride,
    const int64_t *path, Py_ssize_t n, Py_ssize_t steps, double *there, double *back,
    char *dx
) noexcept nogil:
    """Less g times the probability of being at each place, given the path, in dx."""
    cdef Py_ssize_t t, s, end = at + (steps - 1) * stride, i
    cdef double loss, share
    cdef double *behind = back + (steps + 1) * n - 1
    _places(x, narrow, at, stride, path, 1, n, steps, there, n)
    _places(x, narrow, end, -stride, path + n - 1, -1, n, steps, back, n)
    loss = -_arrived(there + steps * n, n)
    if loss > -NEVER / 2:
        return
    for t in range(steps):
        there += n
        for s in range(_first(n, steps - t), _last(n, t) + 1):
            i = at + path[s]
            # Both have what is emitted here.
            share = there[s] + behind[-s] - _emitted(x, narrow, i)
            share = g * exp_of(share + loss)
            if narrow:
                (<float *>dx)[i] -= <float>share
            else:
                (<double *>dx)[i] -= share
        at += stride
        behind -= n
