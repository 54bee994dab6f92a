# A part of `_kernels.pyx`: two arrays, or an array and a number; choices.

cdef long long EXACT = 1 << 24  # up to here, an int is a float32


@cython.final
cdef class _Pair(Quick):
    """Of arrays of one float dtype, one of them shaped as the other's last dims."""

    cdef minigrad_pair of_float
    cdef minigrad_pair of_double
    cdef bint is_test  # its results are bools

    def __init__(self, str name, bint is_test=False):
        self.of_float = _find_pair(_floats, name.encode())
        self.of_double = _find_pair(_doubles, name.encode())
        self.is_test = is_test

    cdef object run(self, tuple raw):
        cdef object x = raw[0], y = raw[1]
        cdef cnp.ndarray a, b, large, small
        cdef int extra
        if not cnp.PyArray_Check(x):
            return self.with_number(y, x, True)
        if not cnp.PyArray_Check(y):
            return self.with_number(x, y, False)
        a, b = <cnp.ndarray>x, <cnp.ndarray>y
        if not (_is_ready(a) and _is_ready(b) and cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(b)):
            return None
        extra = cnp.PyArray_NDIM(a) - cnp.PyArray_NDIM(b)
        large, small = (a, b) if extra >= 0 else (b, a)
        if memcmp(
            cnp.PyArray_DIMS(large) + (extra if extra >= 0 else -extra),
            cnp.PyArray_DIMS(small),
            cnp.PyArray_NDIM(small) * sizeof(cnp.npy_intp),
        ):
            return None
        return self.filled(
            large, a.data, cnp.PyArray_SIZE(a), b.data, cnp.PyArray_SIZE(b)
        )

    cdef object with_number(self, object array, object number, bint first):
        """The number takes the array's dtype."""
        cdef cnp.ndarray a
        cdef double wide
        cdef float narrow
        cdef void *at
        if not cnp.PyArray_Check(array) or not _is_ready(<cnp.ndarray>array):
            return None
        if type(number) is not float and not (
            type(number) is int and -EXACT < number < EXACT
        ):
            return None
        a = <cnp.ndarray>array
        wide = number
        narrow = <float>wide
        at = <void *>&narrow if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT else <void *>&wide
        if first:
            return self.filled(a, at, 1, a.data, cnp.PyArray_SIZE(a))
        return self.filled(a, a.data, cnp.PyArray_SIZE(a), at, 1)

    cdef object filled(
        self, cnp.ndarray like, const void *x, Py_ssize_t n_x, const void *y, Py_ssize_t n_y
    ):
        cdef minigrad_pair run = (
            self.of_float if cnp.PyArray_TYPE(like) == cnp.NPY_FLOAT else self.of_double
        )
        cdef cnp.ndarray out = _new(
            like.ndim, like.shape, cnp.NPY_BOOL if self.is_test else cnp.PyArray_TYPE(like)
        )
        if cnp.PyArray_SIZE(like) < RELEASE:
            run(x, n_x, y, n_y, out.data)
        else:
            with nogil:
                run(x, n_x, y, n_y, out.data)
        return out


ctypedef void (*ufunc_loop)(
    char **, cnp.npy_intp *, cnp.npy_intp *, void *
) noexcept nogil


@cython.final
cdef class _Power(Quick):
    """Of two arrays, or an array and a float: by numpy's own loop, without its call.

    Of 4 x 4 numbers, numpy.power takes 0.4 us, nine tenths of them around the loop.
    """

    cdef ufunc_loop of_float
    cdef ufunc_loop of_double
    cdef void *float_data
    cdef void *double_data

    def __init__(self):
        self.of_float = _inner_loop(np.power, cnp.NPY_FLOAT, &self.float_data)
        self.of_double = _inner_loop(np.power, cnp.NPY_DOUBLE, &self.double_data)

    cdef object run(self, tuple raw):
        cdef object array = raw[0] if cnp.PyArray_Check(raw[0]) else raw[1]
        cdef ufunc_loop run
        cdef cnp.ndarray like, out
        cdef double wide[2]
        cdef float narrow[2]
        cdef char *at[3]
        cdef cnp.npy_intp steps[3]
        cdef cnp.npy_intp n
        cdef bint is_float
        cdef void *data
        cdef int i
        if not cnp.PyArray_Check(array) or not _is_ready(<cnp.ndarray>array):
            return None
        like = array
        is_float = cnp.PyArray_TYPE(like) == cnp.NPY_FLOAT
        run = self.of_float if is_float else self.of_double
        data = self.float_data if is_float else self.double_data
        if run == NULL:
            return None
        for i in range(2):
            if cnp.PyArray_Check(raw[i]):
                if not _is_ready(<cnp.ndarray>raw[i]) or not _is_alike(<cnp.ndarray>raw[i], like):
                    return None
                at[i] = (<cnp.ndarray>raw[i]).data
                steps[i] = cnp.PyArray_ITEMSIZE(like)
                continue
            if type(raw[i]) is not float:
                return None
            wide[i] = raw[i]
            narrow[i] = <float>wide[i]
            at[i] = <char *>&narrow[i] if is_float else <char *>&wide[i]
            steps[i] = 0
        out = _like(like)
        at[2], steps[2] = out.data, cnp.PyArray_ITEMSIZE(like)
        n = cnp.PyArray_SIZE(like)
        if n < RELEASE:
            run(at, &n, steps, data)
        else:
            with nogil:
                run(at, &n, steps, data)
        return out


cdef ufunc_loop _inner_loop(cnp.ufunc function, char kind, void **data) noexcept:
    """The loop over arrays of this dtype, and its data; NULL if there is none."""
    cdef int i, k
    cdef bint fits
    for i in range(function.ntypes):
        fits = True
        for k in range(function.nargs):
            fits = fits and function.types[i * function.nargs + k] == kind
        if fits:
            data[0] = function.data[i]
            return <ufunc_loop><void *>function.functions[i]
    return NULL


cdef minigrad_pair _find_pair(const minigrad_array *kernels, const char *name) noexcept:
    cdef const minigrad_named_pair *entry = kernels.pairs
    while strcmp(entry.name, name):
        entry += 1
    return entry.run


cdef inline bint _is_ready(cnp.ndarray a) noexcept:
    """Whether it is a row-major array of floats, with at least one."""
    cdef int kind = cnp.PyArray_TYPE(a)
    return (
        (kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE)
        and cnp.PyArray_IS_C_CONTIGUOUS(a)
        and cnp.PyArray_ISALIGNED(a)
        and cnp.PyArray_ISNOTSWAPPED(a)
        and cnp.PyArray_SIZE(a) > 0
    )


cdef inline bint _is_alike(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Whether they have the same dtype and shape."""
    return cnp.PyArray_TYPE(x) == cnp.PyArray_TYPE(y) and cnp.PyArray_SAMESHAPE(x, y)


cdef enum Truth:
    AND
    OR
    NOT


@cython.final
cdef class _Logic(Quick):
    """Of arrays of bools, of one shape."""

    cdef Truth kind

    def __init__(self, Truth kind):
        self.kind = kind

    cdef object run(self, tuple raw):
        cdef cnp.ndarray x, y, out
        cdef const unsigned char *a
        cdef const unsigned char *b
        cdef unsigned char *to
        cdef object other = raw[0] if self.kind == NOT else raw[1]
        if not cnp.PyArray_Check(raw[0]) or not cnp.PyArray_Check(other):
            return None
        x, y = raw[0], other
        if cnp.PyArray_TYPE(x) != cnp.NPY_BOOL or not _is_alike(x, y):
            return None
        x, y = _dense(x), _dense(y)
        out = _new(x.ndim, x.shape, cnp.NPY_BOOL)
        a, b, to = <unsigned char *>x.data, <unsigned char *>y.data, <unsigned char *>out.data
        with nogil:
            _floats.logic(self.kind, a, b, to, cnp.PyArray_SIZE(x))
        return out


# -- choices -------------------------------------------------------------------------


def where(condition, x, y):
    cdef object chosen = _where(condition, x, y)
    return plain.where(condition, x, y) if chosen is None else chosen


@cython.final
cdef class _Where(Quick):
    cdef object run(self, tuple raw):
        return _where(raw[0], raw[1], raw[2])


cdef object _where(object condition, object x, object y):
    """None where numpy is needed."""
    cdef cnp.ndarray c, like, out
    cdef float floats[2]
    cdef double doubles[2]
    cdef const void *at[2]
    cdef Py_ssize_t step[2]
    cdef Py_ssize_t n, i
    cdef const minigrad_array *kernels = NULL
    cdef list given = [x, y]
    if not cnp.PyArray_Check(condition) or not (cnp.PyArray_Check(x) or cnp.PyArray_Check(y)):
        return None
    like = <cnp.ndarray>(x if cnp.PyArray_Check(x) else y)
    kernels = _kernels(like)
    if (
        kernels == NULL
        or cnp.PyArray_TYPE(<cnp.ndarray>condition) != cnp.NPY_BOOL
        or not cnp.PyArray_SAMESHAPE(like, <cnp.ndarray>condition)
    ):
        return None
    for i in range(2):
        step[i] = cnp.PyArray_Check(given[i])
        if step[i]:
            if not _is_alike(<cnp.ndarray>given[i], like):
                return None
            given[i] = _dense(given[i])
            at[i] = (<cnp.ndarray>given[i]).data
        elif type(given[i]) is float:
            doubles[i] = given[i]
            floats[i] = <float>doubles[i]
            at[i] = <void *>&floats[i] if kernels == _floats else <void *>&doubles[i]
        else:
            return None
    c = _dense(condition)
    out = _new(like.ndim, like.shape, cnp.PyArray_TYPE(like))
    n = cnp.PyArray_SIZE(c)
    if n < RELEASE:
        kernels.select(<char *>c.data, at[0], step[0], at[1], step[1], out.data, n)
    else:
        with nogil:
            kernels.select(<char *>c.data, at[0], step[0], at[1], step[1], out.data, n)
    return out
