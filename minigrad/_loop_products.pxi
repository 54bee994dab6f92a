# Of `_loop.pyx`: products with packed weights.

@cython.final
cdef class Packed:
    """A weight (K, N) as products read it, panel after panel of a few columns."""

    cdef readonly Py_ssize_t inner
    cdef readonly Py_ssize_t width
    cdef readonly object dtype
    cdef const minigrad_kernels *kernels
    cdef char *data

    def __dealloc__(self):
        free(self.data)

    cdef bint is_finite(self):
        cdef Py_ssize_t panel = self.kernels.panel
        cdef Py_ssize_t panels = (self.width + panel - 1) // panel
        cdef bint is_finite
        with nogil:
            is_finite = self.kernels.all_finite(
                self.data, 0, 1, panels * panel * self.inner
            )
        return is_finite


# What was packed of weights that can't change, by where they are and how they lie: of an
# LSTM on 32 steps of one row, with 32 units, packing took a tenth of the forward.
cdef enum:
    MOST_PACKED = 1048576  # bytes of one
    ALL_PACKED = 4194304  # and of all
cdef dict _kept = {}
cdef size_t _kept_bytes = 0


@cython.final
cdef class _Kept:
    cdef object owner  # a weak reference: what is at the same place later is another
    cdef Packed packed
    cdef Py_ssize_t column  # from column to column
    cdef size_t size  # bytes

    cdef bint fits(self, object owner, cnp.ndarray array, const minigrad_kernels *kernels):
        return (
            <object>PyWeakref_GetObject(self.owner) is owner
            and self.packed.kernels == kernels
            and self.packed.inner == cnp.PyArray_DIM(array, 0)
            and self.packed.width == cnp.PyArray_DIM(array, 1)
            and self.column == cnp.PyArray_STRIDE(array, 1)
        )


cdef object _fixed(cnp.ndarray array):
    """The array that owns the memory, if none of numpy's can write there; else None."""
    cdef object owner = array if array.base == NULL else <object>array.base
    if not isinstance(owner, cnp.ndarray) or cnp.PyArray_ISWRITEABLE(array):
        return None
    if cnp.PyArray_ISWRITEABLE(<cnp.ndarray>owner):
        return None
    return owner if cnp.PyArray_CHKFLAGS(<cnp.ndarray>owner, cnp.NPY_ARRAY_OWNDATA) else None


def pack(weight):
    global _kept_bytes
    cdef Packed packed
    cdef _Kept kept
    cdef cnp.ndarray array = weight
    cdef const minigrad_kernels *kernels = _kernels("pack", array.dtype)
    cdef size_t size
    if cnp.PyArray_NDIM(array) != 2:
        raise ShapeError(f"pack: a weight has two dimensions, not shape {weight.shape}")
    cdef object owner = _fixed(array)
    if owner is None:
        return _packed_now(array, kernels)
    cdef tuple key = (<size_t>cnp.PyArray_DATA(array), cnp.PyArray_STRIDE(array, 0))
    kept = _kept.get(key)
    if kept is not None and kept.fits(owner, array, kernels):
        return kept.packed
    packed = _packed_now(array, kernels)
    size = cnp.PyArray_NBYTES(array)
    kept = _kept.pop(key, None)  # looked up anew: other threads ran while it was packed
    if kept is not None:
        _kept_bytes -= kept.size
    if size <= MOST_PACKED:
        if _kept_bytes + size > ALL_PACKED:
            _kept.clear()
            _kept_bytes = 0
        kept = _Kept.__new__(_Kept)
        kept.owner = PyWeakref_NewRef(owner, None)
        kept.packed, kept.column = packed, cnp.PyArray_STRIDE(array, 1)
        kept.size = size
        _kept[key] = kept
        _kept_bytes += size
    return packed


cdef Packed _packed_now(cnp.ndarray array, const minigrad_kernels *kernels):
    cdef Packed packed = Packed.__new__(Packed)
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array), row, column, panels
    if array.strides[0] % item or array.strides[1] % item:
        array = np.ascontiguousarray(array)
    packed.kernels = kernels
    packed.dtype = array.dtype
    packed.inner, packed.width = array.shape[0], array.shape[1]
    row, column = array.strides[0] // item, array.strides[1] // item
    panels = (packed.width + kernels.panel - 1) // kernels.panel
    packed.data = <char *>_scratch(panels * kernels.panel * packed.inner * item)
    with nogil:
        kernels.pack(
            cnp.PyArray_DATA(array), row, column, packed.inner, packed.width, packed.data
        )
    return packed


@cython.final
cdef class _Product(_Job):
    cdef Packed packed
    cdef const char *x
    cdef char *out
    cdef Py_ssize_t rows, item
    cdef bint by_rows
    cdef int32_t *ones  # of x, or NULL

    def __dealloc__(self):
        free(self.ones)

    cdef double cost(self) noexcept nogil:
        """How many operations a number costs."""
        return MOVED if self.ones != NULL else 2.0 * self.packed.inner

    cdef Py_ssize_t some(self, Py_ssize_t width) noexcept nogil:
        """How many rows of so many columns to make between two breaths."""
        return <Py_ssize_t>(BREATH / (self.cost() * width + 1)) // 96 * 96 + 96

    cdef size_t scratch(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef Py_ssize_t rows = self.rows, width = last - first
        if self.by_rows:
            rows, width = last - first, self.packed.width
        return self.packed.kernels.product_scratch(
            min(self.some(width), rows), self.packed.inner
        )

    cdef void work(
        self, Py_ssize_t first, Py_ssize_t last, bint breathe, char *scratch
    ) noexcept nogil:
        cdef Py_ssize_t inner = self.packed.inner, width = self.packed.width
        cdef Py_ssize_t item = self.item, n, some
        cdef Py_ssize_t top = 0, rows = self.rows, left = first, right = last
        cdef minigrad_ahead nothing
        memset(&nothing, 0, sizeof(nothing))
        if self.by_rows:
            top, rows, left, right = first, last, 0, width
        some = self.some(right - left)
        while top < rows and not minigrad_raised(&self.stop):
            n = min(some, rows - top)
            if self.ones != NULL:
                self.packed.kernels.lookup(
                    self.ones + top, n, self.packed.data + left * inner * item, inner,
                    self.out + (top * width + left) * item, width, right - left,
                )
            else:
                self.packed.kernels.product(
                    self.x + top * inner * item, inner,
                    self.packed.data + left * inner * item,
                    self.out + (top * width + left) * item, width,
                    n, inner, right - left, 0, NULL, scratch, &nothing,
                )
            top += n
            if breathe and top < rows:
                self.breathe()


cdef struct Rows:
    char *data
    Py_ssize_t n, width, stride


cdef cnp.ndarray _rows(str name, object x, object dtype, Rows *rows):
    """x as (n, width), the columns beside each other: the array that holds it."""
    cdef cnp.ndarray flat
    cdef Py_ssize_t item, n_dims
    if not isinstance(x, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray>x) < 1:
        raise ArgumentError(f"{name}: rows must be an array (..., columns)")
    flat = x
    if flat.dtype is not dtype and flat.dtype != dtype:
        raise DTypeError(f"{name}: dtypes {x.dtype} and {dtype} must be the same")
    n_dims, item = cnp.PyArray_NDIM(flat), cnp.PyArray_ITEMSIZE(flat)
    rows.width = cnp.PyArray_DIM(flat, n_dims - 1)
    if cnp.PyArray_ISCARRAY_RO(flat):
        rows.n = cnp.PyArray_MultiplyList(cnp.PyArray_DIMS(flat), n_dims - 1)
        rows.stride = rows.width
    else:
        shape = x.shape
        flat = x.reshape(math.prod(shape[: n_dims - 1]), rows.width)
        if flat.strides[1] != item or flat.strides[0] % item:
            flat = np.ascontiguousarray(flat)
        rows.n, rows.stride = len(flat), flat.strides[0] // item
    rows.data = <char *>cnp.PyArray_DATA(flat)
    return flat


cdef inline Py_ssize_t _columns(cnp.ndarray rows):
    return cnp.PyArray_DIM(rows, cnp.PyArray_NDIM(rows) - 1)


def product(x, Packed packed, width):
    cdef _Product job
    cdef Rows rows
    cdef cnp.npy_intp dims[cnp.NPY_MAXDIMS]
    cdef int i, n_dims
    cdef cnp.ndarray array, out
    if (
        not isinstance(x, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray>x) < 1
        or _columns(x) != packed.inner
    ):
        raise ShapeError(
            f"product: rows {getattr(x, 'shape', x)} do not fit a weight "
            f"({packed.inner}, {packed.width})"
        )
    if width != packed.width:
        raise ShapeError(f"product: the weight has {packed.width} columns, not {width}")
    array = x if cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x) else np.ascontiguousarray(x)
    array = _rows("product", array, packed.dtype, &rows)
    n_dims = cnp.PyArray_NDIM(array)
    for i in range(n_dims - 1):
        dims[i] = cnp.PyArray_DIM(array, i)
    dims[n_dims - 1] = packed.width
    out = new(n_dims, dims, (<cnp.dtype>packed.dtype).num)
    if rows.n == 0 or packed.width == 0:
        return out
    job = _Product.__new__(_Product)
    job.packed = packed
    job.arrays = (array, out)
    job.rows = rows.n
    job.item = cnp.PyArray_ITEMSIZE(out)
    job.x = rows.data
    job.out = <char *>cnp.PyArray_DATA(out)
    job.ones = _ones(
        packed.kernels, job.x, packed.inner, job.rows, packed.inner, packed.width
    )
    if job.ones != NULL and not packed.is_finite():
        free(job.ones)
        job.ones = NULL
    job.by_rows = job.rows >= 24 * get_num_threads()
    work = job.cost() * job.rows * packed.width
    if job.by_rows:
        job.share(job.rows, work, 12)
    else:
        job.share(packed.width, work, packed.kernels.panel)
    return out
