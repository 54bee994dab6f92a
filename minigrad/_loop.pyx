# cython: language_level=3
"""The time loop, compiled: products, and machines that run the code of a step.

`_loop_py.py` is the same in plain numpy, name for name: read that first. The kernels are
in `_simd.h`. What is here checks the arguments, so that no code and no array can lead a
kernel astray, and walks through the steps without the GIL.
"""

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport PTRDIFF_MAX, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "<stdlib.h>":
    void *aligned_alloc(size_t alignment, size_t size)

import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from ._memory cimport new
from ._loop_py import (
    ALONG, GRAM_ROWS, LOCAL, MOST_LEFTS, NAMES, ONE_COLUMN, OPCODES, PRODUCT, READ, ROWS, ROWWISE,
    STREAM, VECTOR, WRITE,
)
from .errors import ArgumentError, DTypeError, ShapeError

cnp.import_array()

cdef extern from *:
    """
    #ifndef MINIGRAD_CHECKED
    #define MINIGRAD_CHECKED 0
    #endif
    #include "_simd.h"

    /* A flag that one thread raises for others. */
    static inline int minigrad_raised(const int *flag)
    {
        return __atomic_load_n(flag, __ATOMIC_RELAXED);
    }
    static inline void minigrad_raise(int *flag)
    {
        __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
    }
    """
    int MINIGRAD_CHECKED
    int MINIGRAD_SETS
    ctypedef void (*minigrad_opcode)(
        char **, const Py_ssize_t *, Py_ssize_t, Py_ssize_t
    ) noexcept nogil
    ctypedef struct minigrad_named:
        const char *name
        minigrad_opcode run
    ctypedef struct minigrad_span:
        pass
    ctypedef struct minigrad_ahead:
        minigrad_span *span
        minigrad_span *end
        Py_ssize_t lines
    ctypedef struct minigrad_left:
        const char *x
        Py_ssize_t stride, k
        char *out
    ctypedef struct minigrad_kernels:
        Py_ssize_t panel
        void (*pack)(
            const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *
        ) noexcept nogil
        size_t (*product_scratch)(Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*product)(
            const void *, Py_ssize_t, const void *, void *, Py_ssize_t, Py_ssize_t,
            Py_ssize_t, Py_ssize_t, int, void *, minigrad_ahead *
        ) noexcept nogil
        size_t (*gram_scratch)(Py_ssize_t, const minigrad_left *, int) noexcept nogil
        void (*gram)(
            const minigrad_left *, int, const void *, Py_ssize_t, Py_ssize_t, void *,
            Py_ssize_t, Py_ssize_t, int, void *, minigrad_ahead *
        ) noexcept nogil
        void (*sum_rows)(
            const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, void *
        ) noexcept nogil
        const minigrad_named *opcodes
    ctypedef struct minigrad_set:
        const char *name
        const minigrad_kernels *of_float
        const minigrad_kernels *of_double
    const minigrad_set *minigrad_sets
    int minigrad_supported(int i) noexcept nogil
    int minigrad_raised(const int *flag) noexcept nogil
    void minigrad_raise(int *flag) noexcept nogil
    void minigrad_fetch(minigrad_ahead *ahead, Py_ssize_t lines) noexcept nogil
    void minigrad_add(
        minigrad_ahead *, const minigrad_span *, const void *, Py_ssize_t, Py_ssize_t,
        Py_ssize_t
    ) noexcept nogil

CHECKED = bool(MINIGRAD_CHECKED)

cdef enum:
    # The rows of a sum that share an accumulator, counted from the last row.
    BLOCK = 256
    # Bytes of a tile: some thirty registers fit the nearest cache.
    TILE = 2048
    # Bytes of a block of rows in registers and local buffers.
    HAND = 16384
    # Products that are summed together, at most.
    LEFTS = 16
    # Streams that are fetched ahead, and how many bytes of each at most.
    SPANS = 64
    ENOUGH = 65536
    # Operations of one product or sum: what a thread must have to do before its start
    # (20 us) pays, and what is done between two looks for Ctrl-C, under 1 ms.
    WORTHWHILE = 40_000_000
    BREATH = 200_000_000


cdef enum:
    ROWS_KIND, VECTOR_KIND, STREAM_KIND, LOCAL_KIND, READ_KIND, WRITE_KIND

assert (GRAM_ROWS, MOST_LEFTS) == (BLOCK, LEFTS)
assert (ROWS, VECTOR, STREAM, LOCAL, READ, WRITE) == (
    ROWS_KIND, VECTOR_KIND, STREAM_KIND, LOCAL_KIND, READ_KIND, WRITE_KIND
)


# -- instruction sets ----------------------------------------------------------------

SIMD_SUPPORTED = tuple([
    minigrad_sets[i].name.decode() for i in range(MINIGRAD_SETS) if minigrad_supported(i)
])


def _chosen():
    name = os.environ.get("MINIGRAD_SIMD") or SIMD_SUPPORTED[0]
    if name not in SIMD_SUPPORTED:
        raise ImportError(
            f"MINIGRAD_SIMD is {name!r}, but this machine has {', '.join(SIMD_SUPPORTED)}"
        )
    return name


SIMD = _chosen()

cdef const minigrad_kernels *_floats
cdef const minigrad_kernels *_doubles

for _i in range(MINIGRAD_SETS):
    if minigrad_sets[<int>_i].name.decode() == SIMD:
        _floats = minigrad_sets[<int>_i].of_float
        _doubles = minigrad_sets[<int>_i].of_double


cdef object FLOAT = np.dtype(np.float32), DOUBLE = np.dtype(np.float64)


cdef const minigrad_kernels *_kernels(str name, object dtype) except NULL:
    if dtype == FLOAT:
        return _floats
    if dtype == DOUBLE:
        return _doubles
    raise DTypeError(f"{name}: the dtype must be float32 or float64, not {dtype}")


# -- threads -------------------------------------------------------------------------

_lock = threading.Lock()
_pool = None
cdef int _n_threads = 0


cpdef Py_ssize_t get_num_threads() except -1:
    global _n_threads
    if not _n_threads:
        try:
            _n_threads = len(os.sched_getaffinity(0))
        except AttributeError:  # not on macOS
            _n_threads = os.cpu_count() or 1
    return _n_threads


def set_num_threads(n):
    global _n_threads, _pool
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"set_num_threads: n must be a positive int, not {n!r}")
    with _lock:
        _n_threads = min(n, 1024)
        if _pool is not None:
            _pool.shutdown(wait=False)
            _pool = None


def _forget_pool():
    """In a child process, whose threads are gone."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _submit(*call):
    """The call's future, or None where no thread can be had."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), "minigrad")
        try:
            return _pool.submit(*call)
        except RuntimeError:
            return None


cdef inline Py_ssize_t _parts(Py_ssize_t n, double work) except -1:
    """Among how many threads to divide n things."""
    if work < 2.0 * WORTHWHILE:
        return 1
    return max(1, min(n, get_num_threads(), <Py_ssize_t>(work / WORTHWHILE)))


cdef class _Job:
    """Work in parts that know nothing of each other."""

    cdef int stop
    cdef object arrays  # kept for as long as a thread may be at work on them

    cdef int work(self, Py_ssize_t first, Py_ssize_t last, bint breathe) except -1:
        return 0

    def _work(self, first, last):
        self.work(first, last, False)

    cdef int share(self, Py_ssize_t n, double work, Py_ssize_t unit) except -1:
        """Work on n things, cut in multiples of `unit` among the threads that pay."""
        cdef Py_ssize_t units = (n + unit - 1) // unit, parts = _parts(units, work)
        if parts == 1:
            return self.work(0, n, True)
        return self.start([*[i * units // parts * unit for i in range(parts)], n])

    cdef int start(self, list bounds) except -1:
        """Work from each bound to the next: the first part in this thread."""
        parts = list(zip(bounds, bounds[1:], strict=False))
        futures = []
        try:
            for part in parts[1:]:
                futures.append(_submit(self._work, *part))
            self.work(bounds[0], bounds[1], True)
            for part, future in zip(parts[1:], futures, strict=True):
                if future is None:
                    self.work(part[0], part[1], True)
                else:
                    future.result()
        finally:
            # After an error or Ctrl-C, too, nobody leaves before the others.
            minigrad_raise(&self.stop)
            _join([future for future in futures if future is not None])
        return 0

    cdef int breathe(self) except -1 nogil:
        """Let Ctrl-C through, which only the main thread hears."""
        with gil:
            PyErr_CheckSignals()
        return 0


def _join(futures):
    interrupt = None
    while True:
        try:
            wait(futures)
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


cdef inline Py_ssize_t _rounded(Py_ssize_t size) noexcept nogil:
    """A multiple of what a vector or a line of a cache may be."""
    return (size + 63) // 64 * 64


cdef void *_scratch(size_t size) except NULL:
    cdef void *memory = aligned_alloc(64, (size // 64 + 1) * 64)
    if memory == NULL:
        raise MemoryError
    return memory


# -- products ------------------------------------------------------------------------


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

    cdef int work(self, Py_ssize_t first, Py_ssize_t last, bint breathe) except -1:
        cdef Packed packed = self.packed
        cdef const minigrad_kernels *kernels = packed.kernels
        cdef Py_ssize_t inner = packed.inner, width = packed.width, item = self.item
        cdef Py_ssize_t top = 0, rows = self.rows, left = first, right = last, n, some
        cdef void *scratch
        cdef minigrad_ahead nothing
        memset(&nothing, 0, sizeof(nothing))
        if self.by_rows:
            top, rows, left, right = first, last, 0, width
        some = <Py_ssize_t>(BREATH / (2.0 * inner * (right - left) + 1)) // 96 * 96 + 96
        scratch = _scratch(kernels.product_scratch(min(some, rows - top), inner))
        try:
            with nogil:
                while top < rows and not minigrad_raised(&self.stop):
                    n = min(some, rows - top)
                    kernels.product(
                        self.x + top * inner * item, inner,
                        packed.data + left * inner * item,
                        self.out + (top * width + left) * item, width,
                        n, inner, right - left, 0, scratch, &nothing,
                    )
                    top += n
                    if breathe and top < rows:
                        self.breathe()
        finally:
            free(scratch)
        return 0


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
    out = new(n_dims, dims, packed.dtype)
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

    cdef char *into(
        self, str name, list results, object out, int n_dims, Py_ssize_t k, dtype
    ) except? NULL:
        """Where to add, or a new array to write: (k, n), or (n,)."""
        cdef cnp.npy_intp dims[2]
        dims[0], dims[n_dims - 1] = k, self.n
        if out is None:
            out = new(n_dims, dims, dtype)
        elif (
            not isinstance(out, np.ndarray)
            or out.shape != (k, self.n)[2 - n_dims:] or out.dtype != dtype
            or not (out.flags.c_contiguous and out.flags.writeable)
        ):
            shape = (k, self.n)[2 - n_dims:]
            raise ArgumentError(f"{name}: out must be a writable, C-contiguous {dtype}{shape}")
        results.append(out)
        return <char *>cnp.PyArray_DATA(<cnp.ndarray>out)

    cdef int some(self, Py_ssize_t top, Py_ssize_t bottom, Py_ssize_t start, Py_ssize_t left,
                  minigrad_left *found) noexcept nogil:
        """The columns top to bottom of all x beside each other, and how many x those are."""
        cdef int i, n = 0
        cdef Py_ssize_t first = 0, low, high
        cdef minigrad_left *one
        for i in range(self.n_lefts):
            one = &self.lefts[i]
            low, high = max(top - first, 0), min(bottom - first, one.k)
            first += one.k
            if low < high:
                found[n].x = one.x + (start * one.stride + low) * self.item
                found[n].stride, found[n].k = one.stride, high - low
                found[n].out = one.out + (low * self.n + left) * self.item
                n += 1
        return n

    cdef int work(self, Py_ssize_t first, Py_ssize_t last, bint breathe) except -1:
        cdef Py_ssize_t left = first, right = last, top = 0, bottom = self.k
        cdef Py_ssize_t done = 0, size, start, begin, other
        cdef Py_ssize_t item = self.item, rows = self.rows
        cdef bint add = self.add
        cdef int i, n
        cdef char *total = self.total + left * item if self.total else NULL
        cdef void *scratch
        cdef minigrad_left lefts[LEFTS]
        cdef minigrad_span spans[SPANS]
        cdef minigrad_ahead ahead
        if self.by_k:
            top, bottom, left, right = first, last, 0, self.n
            total = NULL if top else self.total
        n = self.some(top, bottom, 0, left, lefts)
        scratch = _scratch(self.kernels.gram_scratch(min(rows, self.block), lefts, n))
        try:
            with nogil:
                # In whole blocks from one end: what comes of them is what comes of them
                # alone, and the other rows can be added later.
                while (done < rows or not add) and not minigrad_raised(&self.stop):
                    size = min(self.block, rows - done)
                    start = done if self.ascending else rows - done - size
                    if n:
                        # Then the rows beside these, on one or the other side.
                        other = min(size, rows - done - size)
                        begin = start + size if self.ascending else start - other
                        self.some(top, bottom, begin, left, lefts)
                        ahead.span = ahead.end = spans
                        ahead.lines = 0
                        for i in range(n):
                            minigrad_add(
                                &ahead, spans + SPANS, lefts[i].x, lefts[i].k * item,
                                lefts[i].stride * item, other,
                            )
                        self.some(top, bottom, start, left, lefts)
                        self.kernels.gram(
                            lefts, n, self.y + (start * self.stride + left) * item,
                            self.stride, self.n, total, size, right - left, add, scratch,
                            &ahead,
                        )
                    else:
                        self.kernels.sum_rows(
                            self.y + (start * self.stride + left) * item, self.stride,
                            size, right - left, add, total,
                        )
                    done += size
                    add = True
                    if breathe and done < rows:
                        self.breathe()
        finally:
            free(scratch)
        return 0


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
    if not isinstance(y, np.ndarray):
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
    if total:
        job.total = job.into(name, results, outs and outs[n], 1, 0, dtype)
    job.n_lefts = n
    job.arrays = (held, results)
    if job.n == 0:
        return tuple(results)
    if job.k == 0:
        # Bound by memory: a number costs about as much as forty operations of a product.
        if total:
            job.share(job.n, 40.0 * job.rows * job.n, 64)
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


# -- machines ------------------------------------------------------------------------

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
    int stream, last_stream  # of those that it reads or writes

BINARY = "add sub mul div pow maximum minimum eq ne lt le gt ge logical_and logical_or"
ARITIES = {
    **dict.fromkeys(OPCODES, 1),
    **dict.fromkeys([*BINARY.split(), "mulrest", "rstd", "standardize"], 2),
    **dict.fromkeys(["where", "muladd", "add3", "standardize_grad"], 3),
}


def _need(holds, message):
    if not holds:
        raise ArgumentError(f"Machine: {message}")


class _Reader:
    """The phases, segments, instructions and terms of a code, all of them checked."""

    def __init__(self, kinds, widths, kept, code, n_registers):
        self.kinds = [int(kind) for kind in kinds]
        self.widths = [int(width) for width in widths]
        self.kept = [bool(k) for k in kept]
        self.n_registers = int(n_registers)
        n = len(self.kinds)
        _need(
            len(self.widths) == len(self.kept) == n,
            f"{n} kinds, {len(self.widths)} widths and {len(self.kept)} of kept",
        )
        _need(all(ROWS <= kind <= WRITE for kind in self.kinds), f"kinds {self.kinds}")
        _need(all(0 <= w < 2**31 for w in self.widths), f"widths {self.widths}")
        _need(0 <= self.n_registers < 2**16, f"{self.n_registers} registers")
        self.code = [int(number) for number in code]
        self.at = 0
        self.phases, self.segments, self.instructions, self.terms = [], [], [], []
        self.written = set()
        self.weights = {}
        while self.at < len(self.code):
            kind, = self.take(1)
            _need(kind in (PRODUCT, ROWWISE), f"there is no phase {kind}")
            self.product() if kind == PRODUCT else self.rowwise()

    def take(self, n):
        _need(0 <= n <= len(self.code) - self.at, "the code ends too early")
        self.at += n
        return self.code[self.at - n : self.at]

    def buffer(self, place, column, width, writes):
        """Check that columns of a buffer are there, and may be written."""
        _need(0 <= place < len(self.kinds), f"there is no buffer {place}")
        end = self.widths[place]
        _need(
            0 <= column and 1 <= width and column + width <= end,
            f"columns {column} to {column + width} of buffer {place}, which has {end}",
        )
        if writes:
            kind = self.kinds[place]
            _need(kind not in (VECTOR, READ), f"buffer {place} can't be written")
            self.written.add(place)

    def product(self):
        out, column, width, n = self.take(4)
        _need(n >= 1, "a product of nothing")
        self.buffer(out, column, width, True)
        first = len(self.terms)
        for _ in range(n):
            left, start, inner, weight = self.take(4)
            self.buffer(left, start, inner, False)
            _need(
                left != out or start + inner <= column or column + width <= start,
                f"a product writes the columns of buffer {out} that it reads",
            )
            _need(
                LOCAL not in (self.kinds[out], self.kinds[left]),
                "a local buffer lives within a phase of rows: a product can't use it",
            )
            _need(0 <= weight, f"there is no weight {weight}")
            _need(
                self.weights.setdefault(weight, (inner, width)) == (inner, width),
                f"weight {weight} of two sizes",
            )
            self.terms.append((left, weight, start, inner))
        self.phases.append((False, first, len(self.terms), 0, out, column, width, []))

    def rowwise(self):
        n, = self.take(1)
        _need(n >= 0, f"a phase of {n} segments")
        first = len(self.segments)
        self.local = set()  # (buffer, column) of what this phase has written
        self.streams, self.used = set(), set()
        for _ in range(n):
            self.segment()
        widest = max((s[0] for s in self.segments[first:]), default=1)
        # Of a row: the widest register, and what is at hand of it.
        hand = sum(self.widths[b] for b in {b for b, _ in self.local})
        hand += widest * len(self.used)
        streams = sorted(self.streams)
        self.phases.append(
            (True, first, len(self.segments), max(hand, widest), 0, 0, 0, streams)
        )

    def segment(self):
        width, n = self.take(2)
        _need(width >= 1, f"a segment of width {width}")
        _need(n >= 0, f"a segment of {n} instructions")
        first = len(self.instructions)
        self.registers = {}  # the width of each that has a value
        self.writes, self.reads, whole = [], [], False
        for _ in range(n):
            opcode, *operands = self.take(9)
            _need(0 <= opcode < len(NAMES), f"there is no opcode {opcode}")
            name = NAMES[opcode]
            whole = whole or name in ALONG
            places, earlier = [None] * 4, len(self.reads)
            for i in (1, 2, 3, 0):  # the result may take the place of an operand
                one = i in ONE_COLUMN.get(name, ())
                places[i] = self.place(
                    name, operands[2 * i], operands[2 * i + 1], i, 1 if one else width
                )
            self.apart(name, places[0], self.reads[earlier:])
            self.instructions.append((opcode, places))
        # Columns by tiles, unless a tile would read or lose what another writes.
        whole = whole or any(
            place == other and c < d + v and d < c + w and (c, w) != (d, v)
            for place, c, w in self.writes
            for other, d, v in self.writes + self.reads
        )
        self.segments.append((width, whole, first, len(self.instructions)))

    def apart(self, name, result, reads):
        """Check that a result takes the columns of an operand, or others."""
        place, column, width = result
        for other, start, size in reads:
            _need(
                other != place or width != size or start == column
                or start + size <= column or column + width <= start,
                f"{name} writes part of what it reads",
            )

    def place(self, name, place, column, i, width):
        """A place of an instruction, the i-th: (place, column, its width), or None."""
        if i > ARITIES[name]:
            _need(place == -1, f"{name} has no operand {i}")
            return None
        if place >= 0:
            self.buffer(place, column, width, not i)
            columns = {(place, c) for c in range(column, column + width)}
            if self.kinds[place] == STREAM:
                self.streams.add(place)
            if i:
                self.reads.append((place, column, width))
                _need(
                    self.kinds[place] != LOCAL or columns <= self.local,
                    f"{name} reads of the local buffer {place} what its phase "
                    "hasn't written",
                )
                return place, column, width
            self.writes.append((place, column, width))
            if self.kinds[place] == LOCAL:
                self.local |= columns
            return place, column, width
        register = -2 - place
        _need(0 <= register < self.n_registers, f"{name}: there is no register {register}")
        if i:
            found = self.registers.get(register)
            _need(found is not None, f"{name} reads register {register} before it is set")
            _need(found == width, f"{name} reads {width} columns of register {register}, "
                  f"which has {found}")
        else:
            self.registers[register] = width
            self.used.add(register)
        return len(self.kinds) + register, 0, width


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
        read = _Reader(kinds, widths, kept, code, n_registers)
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
            rowwise, first, last, hand, out, column, width, streams = phase
            rows = max(1, HAND // item // hand) if hand else 0
            self.phases[i] = Phase(
                rowwise, first, last, rows, out, column * item, width,
                n_streams, n_streams + len(streams),
            )
            for b in streams:
                self.streams[n_streams] = b
                n_streams += 1
            if not rowwise:
                self.work += 2.0 * width * sum([t[3] for t in read.terms[first:last]])
                continue
            for j in range(first, last):
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
        if parts == 1:
            run.work(0, run.most, True)
        else:
            run.start(run.shares(parts))

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


cdef void *_zeros(Py_ssize_t n, size_t size) except NULL:
    cdef void *memory = calloc(max(n, 1), size)
    if memory == NULL:
        raise MemoryError
    return memory


@cython.final
cdef class _Run(_Job):
    """A run of a machine on arrays; its parts are ranges of rows."""

    cdef Machine machine
    cdef bint reverse
    cdef Py_ssize_t n_steps, most, total
    cdef int turn  # which half of a carry is read first
    cdef const int64_t *sizes
    cdef int64_t *starts
    cdef char **data
    cdef Py_ssize_t *half  # the rows of half a carry
    cdef char **weights

    def __dealloc__(self):
        free(self.starts)
        free(self.data)
        free(self.half)
        free(self.weights)

    cdef int check(self, object arrays, object weights, object sizes) except -1:
        cdef Machine machine = self.machine
        cdef Py_ssize_t i, t, row, n
        cdef int kind
        cdef bint same = True, fits
        cdef cnp.ndarray array
        cdef Packed packed
        arrays, weights = tuple(arrays), tuple(weights)
        if (
            not isinstance(sizes, np.ndarray) or sizes.ndim != 1
            or not cnp.PyArray_EquivTypenums(
                cnp.PyArray_TYPE(<cnp.ndarray>sizes), cnp.NPY_INT64
            )
            or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>sizes)
        ):
            raise ArgumentError("Machine: sizes must be a C-contiguous int64 array (T,)")
        self.arrays = (arrays, weights, sizes)
        self.n_steps = len(sizes)
        self.sizes = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>sizes)
        self.starts = <int64_t *>_zeros(self.n_steps, sizeof(int64_t))
        for t in range(self.n_steps):
            n = self.sizes[t]
            if n < 0:
                raise ArgumentError(f"Machine: step {t} has {n} rows")
            self.starts[t] = self.total
            self.total += n
            self.most = max(self.most, n)
            same = same and n == self.sizes[0]
        if len(arrays) != machine.n_buffers:
            raise ArgumentError(
                f"Machine: {machine.n_buffers} buffers, {len(arrays)} arrays"
            )
        self.data = <char **>_zeros(machine.n_buffers, sizeof(char *))
        self.half = <Py_ssize_t *>_zeros(machine.n_buffers, sizeof(Py_ssize_t))
        for i in range(machine.n_buffers):
            kind, row = machine.kind[i], machine.row[i] // machine.item
            if kind == LOCAL_KIND:
                _need(arrays[i] is None, f"buffer {i} is local, and needs no array")
                continue
            if (
                not isinstance(arrays[i], np.ndarray)
                or cnp.PyArray_TYPE(<cnp.ndarray>arrays[i]) != machine.number
                or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>arrays[i])
            ):
                raise ArgumentError(
                    f"Machine: buffer {i} must be a C-contiguous {machine.dtype} array"
                )
            array = arrays[i]
            if machine.writes[i] and not cnp.PyArray_ISWRITEABLE(array):
                raise ArgumentError(f"Machine: the code writes buffer {i}, a read-only array")
            self.data[i] = <char *>cnp.PyArray_DATA(array)
            n = cnp.PyArray_SIZE(array)
            if row == 0:
                continue
            if kind == VECTOR_KIND:
                fits = n == row
            elif kind == STREAM_KIND:
                fits = n == self.total * row
            elif kind == ROWS_KIND:
                fits = n % row == 0 and n >= self.most * row
            elif machine.keeps[i]:
                fits = same and n == (self.n_steps + 1) * self.most * row
            else:
                self.half[i] = n // row // 2
                fits = n == 2 * self.half[i] * row and self.half[i] >= self.most
            if not fits:
                expected = [
                    f"at least {self.most} rows",
                    "one row",
                    f"{self.total} rows",
                    "no row",
                    *[f"{self.n_steps + 1} times {self.most} rows, as many at each step"
                      if machine.keeps[i] else f"two halves of at least {self.most} rows"] * 2,
                ][kind]
                raise ArgumentError(
                    f"Machine: buffer {i} must have {expected} of {row} columns, not the "
                    f"shape {arrays[i].shape}"
                )
        self.weights = <char **>_zeros(len(weights), sizeof(char *))
        for i, (inner, width) in machine.weights.items():
            if i >= len(weights) or not isinstance(weights[i], Packed):
                raise ArgumentError(f"Machine: there is no packed weight {i}")
            packed = weights[i]
            if packed.kernels != machine.kernels or (
                (packed.inner, packed.width) != (inner, width)
            ):
                raise ArgumentError(
                    f"Machine: weight {i} must be {machine.dtype} ({inner}, {width}), not "
                    f"{packed.dtype} ({packed.inner}, {packed.width})"
                )
            self.weights[i] = packed.data
        return 0

    cdef list shares(self, Py_ssize_t parts):
        """Cut the rows so that each thread has as many steps of rows to run."""
        sizes = self.arrays[2]
        ends = np.bincount(sizes, minlength=self.most + 1)
        # A row runs in the steps that have more rows than stand before it.
        before = np.cumsum(self.n_steps - np.cumsum(ends)[: self.most])
        cuts = [before[self.most - 1] * i / parts for i in range(1, parts)]
        return sorted({0, *np.searchsorted(before, cuts).tolist(), self.most})

    cdef int work(self, Py_ssize_t first, Py_ssize_t last, bint breathe) except -1:
        cdef Machine machine = self.machine
        cdef size_t scratch = machine.kernels.product_scratch(
            last - first, machine.widest_inner
        )
        # The places of all, then what this thread has of its own, then a product's.
        cdef char *memory = <char *>_scratch(machine.memory + scratch)
        self.lay(memory, first)
        try:
            with nogil:
                self.steps(
                    machine, first, last, breathe, <char **>memory, memory + machine.memory
                )
        finally:
            free(memory)
        return 0

    cdef void lay(self, char *memory, Py_ssize_t first) noexcept:
        """Write where each place is, from that row on, into the memory of a thread."""
        cdef Machine machine = self.machine
        cdef char **at = <char **>memory
        cdef Py_ssize_t i
        memset(memory, 0, machine.memory)
        for i in range(machine.n_places):
            if i >= machine.n_buffers or machine.kind[i] == LOCAL_KIND:
                at[i] = memory + machine.own[i]
            elif machine.kind[i] == ROWS_KIND:
                at[i] = self.data[i] + first * machine.row[i]
            else:
                at[i] = self.data[i]

    cdef void look_ahead(
        self, Machine machine, minigrad_ahead *ahead, minigrad_span *spans, Py_ssize_t p,
        Py_ssize_t i, Py_ssize_t first, Py_ssize_t last,
    ) noexcept nogil:
        """The streams from phase p to the next product, in this step or the one after."""
        cdef Phase *phase
        cdef Py_ssize_t s, t, b, rows, size
        ahead.span = ahead.end = spans
        ahead.lines = 0
        while True:
            p += 1
            if p == machine.n_phases:
                p, i = 0, i + 1
            phase = &machine.phases[p]
            if not phase.rowwise or i == self.n_steps:
                return
            t = self.n_steps - 1 - i if self.reverse else i
            rows = max(0, min(<Py_ssize_t>self.sizes[t], last) - first)
            for s in range(phase.stream, phase.last_stream):
                b = machine.streams[s]
                size = min(rows * machine.row[b], ENOUGH)
                minigrad_add(
                    ahead, spans + SPANS,
                    self.data[b] + (self.starts[t] + first) * machine.row[b], size, 0, 1,
                )

    cdef int steps(
        self, Machine machine, Py_ssize_t first, Py_ssize_t last, bint breathe, char **at,
        char *scratch,
    ) except -1 nogil:
        """Run these rows through all steps."""
        cdef Py_ssize_t i, b, t, n, p, row
        cdef int kind
        cdef double done = 0
        cdef Phase *phase
        cdef minigrad_span spans[SPANS]
        cdef minigrad_ahead ahead
        for i in range(self.n_steps):
            t = self.n_steps - 1 - i if self.reverse else i
            n = min(<Py_ssize_t>self.sizes[t], last) - first
            if n <= 0:
                continue
            for b in range(machine.n_buffers):
                kind = machine.kind[b]
                if kind == STREAM_KIND:
                    row = self.starts[t]
                elif kind < READ_KIND:
                    continue
                elif machine.keeps[b]:
                    row = (t + (self.reverse == (kind == READ_KIND))) * <Py_ssize_t>self.sizes[t]
                else:
                    row = ((i + self.turn + (kind == WRITE_KIND)) & 1) * self.half[b]
                at[b] = self.data[b] + (row + first) * machine.row[b]
            for p in range(machine.n_phases):
                phase = &machine.phases[p]
                if phase.rowwise:
                    _rowwise(machine, phase, at, n)
                else:
                    if n >= 4:  # else a product has no tiles to look ahead in
                        self.look_ahead(machine, &ahead, spans, p, i, first, last)
                    _product(machine, phase, self.weights, at, n, scratch, &ahead)
            if minigrad_raised(&self.stop):
                break
            done += n * machine.work
            if done > BREATH and breathe:
                done = 0
                self.breathe()
        return 0


@cython.final
cdef class Steps:
    """A machine on arrays for one step; each call of step() runs it again."""

    cdef _Run run
    cdef tuple held  # what the run points into
    cdef char *scratch

    def __dealloc__(self):
        free(self.scratch)

    @property
    def turn(self):
        return self.run.turn

    def step(self):
        cdef _Run run = self.run
        cdef Machine machine = run.machine
        with nogil:
            run.steps(
                machine, 0, run.most, False, <char **>self.scratch,
                self.scratch + machine.memory,
            )
        run.turn ^= 1


cdef void _product(
    Machine machine, Phase *phase, char **weights, char **at, Py_ssize_t n, char *scratch,
    minigrad_ahead *ahead,
) noexcept nogil:
    cdef Term *term
    cdef int i
    cdef Py_ssize_t item = machine.item, stride
    for i in range(phase.first, phase.last):
        term = &machine.terms[i]
        stride = machine.row[term.left] // item
        if machine.kind[term.left] == VECTOR_KIND:
            stride = 0
        machine.kernels.product(
            at[term.left] + term.column, stride, weights[term.weight],
            at[phase.out] + phase.column, machine.row[phase.out] // item,
            n, term.inner, phase.width, i > phase.first, scratch, ahead,
        )


cdef void _rowwise(
    Machine machine, Phase *phase, char **at, Py_ssize_t n
) noexcept nogil:
    cdef Instruction *instruction
    cdef Segment *segment
    cdef Py_ssize_t top = 0, rows, column
    cdef int s, k, j
    cdef char *where[4]
    cdef minigrad_span span
    cdef minigrad_ahead ahead
    while top < n:
        rows = min(phase.rows, n - top)
        # What no step has seen comes from afar, and the next rows of a column are too far
        # from these for the machine to guess them.
        for s in range(phase.stream, phase.last_stream):
            j = machine.streams[s]
            ahead.span = ahead.end = &span
            minigrad_add(
                &ahead, &span + 1, at[j] + (top + rows) * machine.row[j],
                min(rows, n - top - rows) * machine.row[j], 0, 1,
            )
            minigrad_fetch(&ahead, PTRDIFF_MAX)
        for s in range(phase.first, phase.last):
            segment = &machine.segments[s]
            column = 0
            while column < segment.width:
                for k in range(segment.first, segment.last):
                    instruction = &machine.instructions[k]
                    for j in range(4):
                        where[j] = (
                            at[instruction.place[j]] + instruction.column[j]
                            + top * instruction.advance[j]
                            + column * instruction.tile[j]
                        )
                    instruction.run(
                        where, instruction.stride, rows,
                        min(segment.tile, segment.width - column),
                    )
                column += segment.tile
        top += rows
