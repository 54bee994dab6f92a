# A part of `_kernels.pyx`: losses of labels.

def label_loss(x, target, int64_t ignored, str reduction):
    if _kernels(x) == NULL or x.ndim > 2 or not x.size:
        return plain.label_loss(x, target, ignored, reduction)
    return _losses(_dense(x), _dense(target), ignored, reduction, False)


def label_pick(x, target, int64_t ignored, str reduction):
    if _kernels(x) == NULL or x.ndim > 2 or not x.size:
        return plain.label_pick(x, target, ignored, reduction)
    return _losses(_dense(x), _dense(target), ignored, reduction, True)


cdef object _losses(
    cnp.ndarray x, cnp.ndarray labels, int64_t ignored, str reduction, bint picked
):
    cdef const minigrad_array *kernels = _kernels(x)
    cdef Py_ssize_t n = x.shape[x.ndim - 1], rows = cnp.PyArray_SIZE(labels), count
    cdef const int64_t *at = <const int64_t *>labels.data
    cdef bint whole = reduction == "none", is_float = kernels == _floats
    cdef cnp.ndarray out
    out = _new(labels.ndim if whole else 0, labels.shape, cnp.PyArray_TYPE(x))
    with nogil:
        if not picked:
            kernels.label_loss(x.data, at, ignored, whole, out.data, rows, n)
        elif is_float:
            _pick[float](<float *>x.data, at, ignored, whole, <float *>out.data, rows, n)
        else:
            _pick[double](<double *>x.data, at, ignored, whole, <double *>out.data, rows, n)
    if reduction == "mean":
        count = _counted(labels, ignored)
        if is_float:
            (<float *>out.data)[0] /= <float>count
        else:
            (<double *>out.data)[0] /= <double>count
    return out


cdef void _pick(
    const real *x, const int64_t *labels, int64_t ignored, bint whole, real *y,
    Py_ssize_t rows, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t r
    cdef double total = 0.0
    cdef real loss
    for r in range(rows):
        loss = -x[r * n + labels[r]] if labels[r] != ignored else 0
        total += loss
        if whole:
            y[r] = loss
    if not whole:
        y[0] = <real>total


def label_loss_grad(g, x, target, int64_t ignored, str reduction):
    cdef const minigrad_array *kernels = _kernels(x)
    if kernels == NULL or x.ndim > 2 or not x.size:
        return plain.label_loss_grad(g, x, target, ignored, reduction)
    cdef cnp.ndarray a = _dense(x), labels = _dense(target), c = _dense(g), out = _like(a)
    cdef Py_ssize_t n = a.shape[a.ndim - 1], rows = cnp.PyArray_SIZE(labels)
    cdef Py_ssize_t step = reduction == "none"
    cdef double count = _counted(labels, ignored) if reduction == "mean" else 1.0
    with nogil:
        kernels.label_loss_grad(
            c.data, step, a.data, <int64_t *>labels.data, ignored, count, out.data, rows, n
        )
    return out


def label_pick_grad(g, x, target, int64_t ignored, str reduction):
    if _kernels(x) == NULL or x.ndim > 2 or not x.size:
        return plain.label_pick_grad(g, x, target, ignored, reduction)
    cdef cnp.ndarray labels = _dense(target), c = _dense(g), out = _like(_dense(x))
    cdef Py_ssize_t n = out.shape[out.ndim - 1]
    cdef Py_ssize_t step = reduction == "none", r
    cdef double count = _counted(labels, ignored) if reduction == "mean" else 1.0
    cdef const int64_t *at = <const int64_t *>labels.data
    memset(out.data, 0, cnp.PyArray_NBYTES(out))
    for r in range(cnp.PyArray_SIZE(labels)):
        if at[r] == ignored:
            continue
        if cnp.PyArray_TYPE(out) == cnp.NPY_FLOAT:
            (<float *>out.data)[r * n + at[r]] = -(<float *>c.data)[r * step] / <float>count
        else:
            (<double *>out.data)[r * n + at[r]] = -(<double *>c.data)[r * step] / count
    return out


cdef Py_ssize_t _counted(cnp.ndarray labels, int64_t ignored) noexcept:
    cdef Py_ssize_t i, count = 0
    cdef const int64_t *at = <const int64_t *>labels.data
    for i in range(cnp.PyArray_SIZE(labels)):
        count += at[i] != ignored
    return count


@cython.final
cdef class _LabelLoss(Quick):
    """Of (x, labels, ignored, reduction), with x (N, C)."""

    cdef bint picked

    def __init__(self, bint picked):
        self.picked = picked

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, labels
        cdef const int64_t *at
        cdef int64_t ignored
        cdef Py_ssize_t i
        if not _is_ready(<cnp.ndarray>raw[0]) or type(raw[2]) is not int:
            return None
        x, labels = raw[0], raw[1]
        if x.ndim != 2 or labels.ndim != 1 or labels.shape[0] != x.shape[0]:
            return None
        if cnp.PyArray_TYPE(labels) != cnp.NPY_INT64 or not cnp.PyArray_IS_C_CONTIGUOUS(labels):
            return None
        at, ignored = <const int64_t *>labels.data, raw[2]
        for i in range(labels.shape[0]):
            if at[i] != ignored and not 0 <= at[i] < x.shape[1]:
                return None
        return _losses(x, labels, ignored, raw[3], self.picked)
