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


def pack(weight):
    cdef Packed packed = Packed.__new__(Packed)
    cdef cnp.ndarray array = weight
    cdef Py_ssize_t item, row, column, panels
    if weight.ndim != 2:
        raise ShapeError(f"pack: a weight has two dimensions, not shape {weight.shape}")
    packed.kernels = _kernels("pack", weight.dtype)
    item = array.dtype.itemsize
    if weight.strides[0] % item or weight.strides[1] % item:
        array = np.ascontiguousarray(weight)
    packed.dtype = array.dtype
    packed.inner, packed.width = weight.shape
    row, column = array.strides[0] // item, array.strides[1] // item
    panels = (packed.width + packed.kernels.panel - 1) // packed.kernels.panel
    packed.data = <char *>_scratch(panels * packed.kernels.panel * packed.inner * item)
    with nogil:
        packed.kernels.pack(
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

    cdef Py_ssize_t some(self, Py_ssize_t width) noexcept nogil:
        """How many rows of so many columns to make between two breaths."""
        return <Py_ssize_t>(BREATH / (2.0 * self.packed.inner * width + 1)) // 96 * 96 + 96

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
            self.packed.kernels.product(
                self.x + top * inner * item, inner,
                self.packed.data + left * inner * item,
                self.out + (top * width + left) * item, width,
                n, inner, right - left, 0, scratch, &nothing,
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
    if not isinstance(x, np.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray>x) < 1:
        raise ArgumentError(f"{name}: rows must be an array (..., columns)")
    flat = x
    if flat.dtype != dtype:
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


def product(x, Packed packed, width):
    cdef _Product job
    cdef Rows rows
    cdef cnp.npy_intp dims[cnp.NPY_MAXDIMS]
    cdef int i, n_dims
    cdef cnp.ndarray array, out
    if (
        not isinstance(x, np.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray>x) < 1
        or x.shape[x.ndim - 1] != packed.inner
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
    job.by_rows = job.rows >= 24 * get_num_threads()
    work = 2.0 * job.rows * packed.inner * packed.width
    if job.by_rows:
        job.share(job.rows, work, 12)
    else:
        job.share(packed.width, work, packed.kernels.panel)
    return out
