# cython: language_level=3
"""The time loop, compiled: products, and machines that run the code of a step.

`_loop_py.py` is the same in plain numpy, name for name: read that first. The kernels are
in `_simd.h`. What is here checks the arguments, so that no code and no array can lead a
kernel astray, and walks through the steps without the GIL: instruction sets and threads
in this file; products and sums, the machine, and its runs in those included at the end.
"""

cimport cython
cimport numpy as cnp
from cpython.weakref cimport PyWeakref_GetObject, PyWeakref_NewRef
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "<stdlib.h>":
    void *aligned_alloc(size_t alignment, size_t size) nogil

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # Cython's own raises at once

import math
import os

import numpy as np

from ._memory cimport new
from ._loop_code import Reader, need
from ._loop_py import (
    GRAM_ROWS, LOCAL, MOST_LEFTS, NAMES, ONE_COLUMN, READ, ROWS, STREAM, VECTOR, WRITE,
)
from .errors import ArgumentError, DTypeError, ShapeError

cnp.import_array()

cdef extern from *:
    """
    #ifndef MINIGRAD_CHECKED
    #define MINIGRAD_CHECKED 0
    #endif
    #include "_simd.h"
    #include "_threads.h"

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
        Py_ssize_t bursts
    ctypedef struct minigrad_added:
        const void *rows
        Py_ssize_t stride
        const void *first
        const void *second
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
            Py_ssize_t, Py_ssize_t, int, const minigrad_added *, void *, minigrad_ahead *
        ) noexcept nogil
        size_t (*gram_scratch)(Py_ssize_t, const minigrad_left *, int) noexcept nogil
        void (*gram)(
            const minigrad_left *, int, const void *, Py_ssize_t, Py_ssize_t, void *,
            Py_ssize_t, Py_ssize_t, int, void *, minigrad_ahead *
        ) noexcept nogil
        void (*sum_rows)(
            const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, void *
        ) noexcept nogil
        bint (*ones)(
            const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int32_t *
        ) noexcept nogil
        bint (*all_finite)(
            const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        void (*lookup)(
            const int32_t *, Py_ssize_t, const void *, Py_ssize_t, void *, Py_ssize_t,
            Py_ssize_t
        ) noexcept nogil
        void (*lookup_gram)(
            const int32_t *, Py_ssize_t, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
            Py_ssize_t, int, void *, Py_ssize_t, int32_t *, int32_t *
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
    void minigrad_divide(
        void (*)(void *, int, int) noexcept nogil, void *, int
    ) noexcept nogil
    void minigrad_fetch(minigrad_ahead *ahead) noexcept nogil
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
    # Rows, and columns of these, from which on it is looked whether they are one-hot.
    FEWEST = 8
    # And numbers of the weight: 2048 rows of 10 by 8 took twice as long to look up.
    SMALLEST = 1024
    # Streams that are fetched ahead, and how many bytes of each at most.
    SPANS = 64
    ENOUGH = 131072
    # Operations of one product or sum: what a thread must have to do before it pays, and
    # what is done between two looks for Ctrl-C, under 1 ms. 4 million take 40 us, where
    # a division costs 0.3 us, and 12 if threads sleep; with five times as many a small RNN
    # gains 44 % from a second thread, not 71 %.
    WORTHWHILE = 4_000_000
    BREATH = 200_000_000
    # What a number costs that is only moved, bound by memory, in operations of a product.
    MOVED = 40


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
    if dtype is FLOAT or dtype == FLOAT:
        return _floats
    if dtype is DOUBLE or dtype == DOUBLE:
        return _doubles
    raise DTypeError(f"{name}: the dtype must be float32 or float64, not {dtype}")


# -- threads -------------------------------------------------------------------------

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
    global _n_threads
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"set_num_threads: n must be a positive int, not {n!r}")
    _n_threads = min(n, 1024)


cdef inline Py_ssize_t _parts(Py_ssize_t n, double work) except -1:
    """Among how many threads to divide n things."""
    if work < 2.0 * WORTHWHILE:
        return 1
    return max(1, min(n, get_num_threads(), <Py_ssize_t>(work / WORTHWHILE)))


cdef class _Job:
    """Work in parts that know nothing of each other."""

    cdef int stop  # raised when no part needs to go on
    cdef bint no_memory, interrupted
    cdef Py_ssize_t *bounds
    cdef object arrays  # kept for as long as a thread may be at work on them

    def __dealloc__(self):
        free(self.bounds)

    cdef size_t scratch(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """How many bytes the work from first to last needs."""
        return 0

    cdef void work(
        self, Py_ssize_t first, Py_ssize_t last, bint breathe, char *scratch
    ) noexcept nogil:
        pass

    cdef int share(self, Py_ssize_t n, double work, Py_ssize_t unit) except -1:
        """Work on n things, cut in multiples of `unit` among the threads that pay."""
        cdef Py_ssize_t units = (n + unit - 1) // unit, parts = _parts(units, work)
        return self.start([*[i * units // parts * unit for i in range(parts)], n])

    cdef int start(self, list bounds) except -1:
        """Work from each bound to the next, each part in any thread."""
        cdef int i, parts = len(bounds) - 1
        self.bounds = <Py_ssize_t *>_zeros(parts + 1, sizeof(Py_ssize_t))
        for i in range(parts + 1):
            self.bounds[i] = bounds[i]
        with nogil:
            minigrad_divide(_part, <void *>self, parts)
        if self.no_memory:
            raise MemoryError
        return -1 if self.interrupted else 0  # the signal's handler has set the error

    cdef bint breathe(self) noexcept nogil:
        """Let Ctrl-C through, which only the main thread hears; whether to go on."""
        with gil:
            self.interrupted = PyErr_CheckSignals() < 0
        if self.interrupted:
            minigrad_raise(&self.stop)
        return not self.interrupted


cdef void _part(void *job, int part, int is_caller) noexcept nogil:
    cdef Py_ssize_t first = (<_Job>job).bounds[part], last = (<_Job>job).bounds[part + 1]
    cdef size_t size = (<_Job>job).scratch(first, last)
    cdef char *scratch = <char *>aligned_alloc(64, _rounded(size + 1))
    if scratch == NULL:
        (<_Job>job).no_memory = True
        minigrad_raise(&(<_Job>job).stop)
        return
    (<_Job>job).work(first, last, is_caller, scratch)
    free(scratch)


cdef inline Py_ssize_t _rounded(Py_ssize_t size) noexcept nogil:
    """A multiple of what a vector or a line of a cache may be."""
    return (size + 63) // 64 * 64


cdef void *_scratch(size_t size) except NULL:
    cdef void *memory = aligned_alloc(64, (size // 64 + 1) * 64)
    if memory == NULL:
        raise MemoryError
    return memory


cdef int32_t *_ones(
    const minigrad_kernels *kernels, const char *x, Py_ssize_t stride, Py_ssize_t rows,
    Py_ssize_t k, Py_ssize_t width,
) except? NULL:
    """Where the 1 of each row is, to be freed; NULL if they aren't all one-hot, or zeros.

    Or if looking rows of so many columns up does not pay.
    """
    cdef int32_t *ones
    cdef int32_t first
    cdef bint are_ones
    if rows < FEWEST or k < FEWEST or k > INT32_MAX or 1.0 * k * width < SMALLEST:
        return NULL
    if not kernels.ones(x, stride, 1, k, &first):
        return NULL
    ones = <int32_t *>_scratch(rows * sizeof(int32_t))
    with nogil:
        are_ones = kernels.ones(x, stride, rows, k, ones)
    if are_ones:
        return ones
    free(ones)
    return NULL


cdef void *_zeros(Py_ssize_t n, size_t size) except NULL:
    cdef void *memory = calloc(max(n, 1), size)
    if memory == NULL:
        raise MemoryError
    return memory


include "_loop_products.pxi"
include "_loop_sums.pxi"
include "_loop_machine.pxi"
include "_loop_run.pxi"
