# A part of `_kernels.pyx`: a pass over one array or two.

cdef minigrad_map _find_map(const minigrad_array *kernels, const char *name) noexcept:
    cdef const minigrad_named_map *entry = kernels.maps
    while entry.name != NULL:
        if strcmp(entry.name, name) == 0:
            return entry.run
        entry += 1
    return NULL


@cython.final
cdef class _Map(Quick):
    """A function of one array, or a gradient: of a cotangent and what it belongs to.

    What it has no kernel for goes to its plain twin.
    """

    cdef minigrad_map of_float
    cdef minigrad_map of_double
    cdef object twin

    def __init__(self, str name):
        self.of_float = _find_map(_floats, name.encode())
        self.of_double = _find_map(_doubles, name.encode())
        self.twin = getattr(plain, name, None)

    cdef minigrad_map of(self, object x) noexcept:
        cdef int kind = -1
        if cnp.PyArray_Check(x):
            kind = cnp.PyArray_TYPE(<cnp.ndarray>x)
        if kind == cnp.NPY_FLOAT:
            return self.of_float
        return self.of_double if kind == cnp.NPY_DOUBLE else NULL

    cdef object run(self, tuple raw):
        cdef object x = raw[0]
        cdef minigrad_map run = self.of(x)
        cdef double low = 0.0, high = 0.0
        if len(raw) > 1:
            if type(raw[1]) is not float:
                return None
            low = raw[1]
        if len(raw) > 2:
            if type(raw[2]) is not float:
                return None
            high = raw[2]
        if run == NULL:
            return None
        return _mapped(run, x, x, low, high)

    def __call__(self, x, y=None, double low=0.0, double high=0.0):
        cdef minigrad_map run = self.of(x)
        if y is None:
            if run == NULL:
                return self.twin(x, low, high)
            return _mapped(run, x, x, low, high)
        if run == NULL or not _is_alike(<cnp.ndarray>x, <cnp.ndarray>y):
            return self.twin(x, y, low, high)
        return _mapped(run, x, y, low, high)


cdef enum:
    SPREAD = 1024  # numbers of a buffer that stands for one number, repeated


cdef bint _is_one(cnp.ndarray x) noexcept:
    """Whether it is one number, seen many times."""
    cdef int d
    for d in range(x.ndim):
        if x.strides[d] != 0 and x.shape[d] != 1:
            return False
    return True


cdef cnp.ndarray _of_one(minigrad_map run, cnp.ndarray x, object y, double low, double high):
    """`_mapped` of one number seen many times, without a copy of all of them."""
    cdef cnp.ndarray b = _dense(y), out = _like(b), buffer
    cdef Py_ssize_t n = cnp.PyArray_SIZE(b), item = cnp.PyArray_ITEMSIZE(b), start = 0
    buffer = np.full(SPREAD, x.item(0), x.dtype)
    with nogil:
        while start < n:
            run(
                buffer.data, b.data + start * item, out.data + start * item,
                min(<Py_ssize_t>SPREAD, n - start), low, high,
            )
            start += SPREAD
    return out


cdef cnp.ndarray _mapped(minigrad_map run, object x, object y, double low, double high):
    if y is not x and cnp.PyArray_SIZE(<cnp.ndarray>x) > SPREAD and _is_one(<cnp.ndarray>x):
        return _of_one(run, <cnp.ndarray>x, y, low, high)
    cdef cnp.ndarray a = _dense(x), b = a if y is x else _dense(y), out = _like(a)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(a)
    if n < RELEASE:
        run(a.data, b.data, out.data, n, low, high)
    else:
        with nogil:
            run(a.data, b.data, out.data, n, low, high)
    return out


exp = _Map("exp")
tanh = _Map("tanh")
sigmoid = _Map("sigmoid")
log = _Map("log")
log1p = _Map("log1p")
expm1 = _Map("expm1")
sin = _Map("sin")
cos = _Map("cos")
silu = _Map("silu")
sign = _Map("sign")
relu = _Map("relu")
relu_grad = _Map("relu_grad")
tanh_grad = _Map("tanh_grad")
sigmoid_grad = _Map("sigmoid_grad")
abs_grad = _Map("abs_grad")
_softplus = _Map("softplus")
_clip = _Map("clip")
clip_grad = _Map("clip_grad")
silu_grad = _Map("silu_grad")
softplus_grad = _Map("softplus_grad")
logit_loss = _Map("logit_loss")
logit_loss_grad = _Map("logit_loss_grad")
_leaky_relu = _Map("leaky_relu")
_leaky_relu_grad = _Map("leaky_relu_grad")
hardsigmoid = _Map("hardsigmoid")
hardsigmoid_grad = _Map("hardsigmoid_grad")


def softplus(x, double beta, double threshold):
    return _softplus(x, None, beta, threshold)


def clip(x, double low, double high):
    return _clip(x, None, low, high)


def leaky_relu(x, double slope):
    return _leaky_relu(x, None, slope)


def leaky_relu_grad(g, x, double slope):
    return _leaky_relu_grad(g, x, slope)
