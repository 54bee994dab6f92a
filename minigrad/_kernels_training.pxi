# A part of `_kernels.pyx`: layer norm, steps of optimisers, the norm of gradients.

def layer_norm(x, weight, bias, double eps):
    cdef cnp.ndarray a = _dense(x), w = _dense(weight), b = _dense(bias), out = _like(a)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(w), rows = cnp.PyArray_SIZE(a) // n if n else 0
    cdef cnp.ndarray moments = np.empty((rows, 2), a.dtype)
    cdef const minigrad_array *kernels = _kernels(a)
    with nogil:
        kernels.layer_norm(a.data, w.data, b.data, out.data, moments.data, rows, n, eps)
    return out, moments


def layer_norm_grad_x(g, x, weight, moments):
    cdef cnp.ndarray a = _dense(g), b = _dense(x), w = _dense(weight), m = _dense(moments)
    cdef cnp.ndarray out = _like(a)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(w), rows = m.shape[0]
    cdef const minigrad_array *kernels = _kernels(a)
    with nogil:
        kernels.layer_norm_grad_x(a.data, b.data, w.data, m.data, out.data, rows, n)
    return out


def layer_norm_grad_weight(g, x, moments, tuple shape):
    cdef cnp.ndarray a = _dense(g), b = _dense(x), m = _dense(moments), sums
    cdef Py_ssize_t n = <Py_ssize_t>math.prod(shape), rows = m.shape[0]
    cdef Py_ssize_t i, blocks = (rows + 255) // 256, row = n * cnp.PyArray_ITEMSIZE(a)
    cdef Py_ssize_t pair = 2 * cnp.PyArray_ITEMSIZE(a)
    cdef const minigrad_array *kernels = _kernels(a)
    # A row of sums for each 256 rows: one long sum in float32 drifts.
    sums = np.zeros((blocks, n), a.dtype)
    with nogil:
        for i in range(blocks):
            kernels.layer_norm_grad_weight(
                a.data + i * 256 * row, b.data + i * 256 * row, m.data + i * 256 * pair,
                sums.data + i * row, min(<Py_ssize_t>256, rows - i * 256), n,
            )
    return sum(sums, (0,), False).reshape(shape)


def adam(value, grad, mean, square, most, tuple options):
    cdef cnp.ndarray p = _dense(value), g = _dense(grad), out = _like(p)
    cdef const minigrad_array *kernels = _kernels(p)
    cdef void *top = NULL
    cdef double numbers[8]
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(p)
    cdef cnp.ndarray average
    for average in (mean, square) if most is None else (mean, square, most):
        if not (cnp.PyArray_IS_C_CONTIGUOUS(average) and _is_alike(average, p)):
            return plain.adam(value, grad, mean, square, most, options)
    for i in range(8):
        numbers[i] = options[i]
    cdef void *m = (<cnp.ndarray>mean).data
    cdef void *v = (<cnp.ndarray>square).data
    if most is not None:
        top = (<cnp.ndarray>most).data
    if n < RELEASE:
        kernels.adam(p.data, g.data, m, v, top, out.data, n, numbers)
    else:
        with nogil:
            kernels.adam(p.data, g.data, m, v, top, out.data, n, numbers)
    return out


def sgd(value, grad, buffer, tuple options):
    cdef cnp.ndarray p = _dense(value), g = _dense(grad), out = _like(p)
    cdef const minigrad_array *kernels = _kernels(p)
    cdef void *b = NULL
    cdef double numbers[6]
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(p)
    if buffer is not None:
        if not (cnp.PyArray_IS_C_CONTIGUOUS(buffer) and _is_alike(buffer, p)):
            return plain.sgd(value, grad, buffer, options)
        b = (<cnp.ndarray>buffer).data
    for i in range(6):
        numbers[i] = options[i]
    if n < RELEASE:
        kernels.sgd(p.data, g.data, b, out.data, n, numbers)
    else:
        with nogil:
            kernels.sgd(p.data, g.data, b, out.data, n, numbers)
    return out


def square_sum(x):
    cdef cnp.ndarray a = x
    cdef const minigrad_array *kernels = _kernels(a)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(a)
    cdef double found
    if kernels == NULL:
        return plain.square_sum(x)
    if not (cnp.PyArray_IS_C_CONTIGUOUS(a) or cnp.PyArray_IS_F_CONTIGUOUS(a)):
        a = _dense(a)
    if n < RELEASE:
        return kernels.square_sum(a.data, n)
    with nogil:
        found = kernels.square_sum(a.data, n)
    return found
