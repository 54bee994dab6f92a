# cython: language_level=3
"""Large arrays whose memory is used again: for the sequences that a loop writes.

A training step allocates and frees tens of megabytes. From the system they come as
pages to be cleared, one fault each 4 KB. Without that, and with arrays that begin at
different places of a page, the backward of an LSTM at (T,B,I,H) = (50,32,64,128) took
4.0 ms instead of 4.8; at (100,64,256,512) the gain was lost in the noise. What is freed
here waits for the next array of its size instead, as long as no more is held than was in
use at once before. `_memory_py.py` is the plain twin.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free
from libc.string cimport memmove

import numpy as np

cnp.import_array()

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #define minigrad_huge(p, n) madvise(p, n, MADV_HUGEPAGE)
    #else
    #define minigrad_huge(p, n) (void)0
    #endif
    """
    void *aligned_alloc(size_t alignment, size_t size)
    void minigrad_huge(void *memory, size_t size)

cdef size_t _least = 1 << 16  # bytes: below, the C library is quick enough
LEAST = _least
cdef size_t HUGE = 1 << 22  # from here on, pages of 2 MB are worth asking for

cdef struct Memory:
    size_t size
    void *data


# What waits, the newest last. Not in a dict: where an op streams through the cache, every
# line that its call looks at comes from further away, and a table of C looks at few.
cdef enum:
    MOST_BLOCKS = 256
cdef Memory _waiting[MOST_BLOCKS]
cdef int _n_waiting = 0
# Arrays that begin at the same place of a page share the sets of the cache, where the
# ten sequences of a loop then throw each other out.
cdef size_t SHIFTS = 4096
cdef size_t _turn = 0
cdef size_t _used = 0, _held = 0, _most = 0


@cython.final
cdef class Block:
    """Memory of an array, given back when the last view of it is gone."""

    cdef void *data
    cdef size_t size
    cdef size_t shift

    def __dealloc__(self):
        global _used, _held, _n_waiting
        if self.data == NULL:  # there was no memory
            return
        _used -= self.size
        if _n_waiting < MOST_BLOCKS and _used + _held + self.size <= _most:
            _held += self.size
            _waiting[_n_waiting] = Memory(self.size, self.data)
            _n_waiting += 1
        else:
            free(self.data)


cdef void *_found(size_t size) noexcept:
    """What waits with this size, which it no longer does; or NULL."""
    global _held
    cdef int i
    cdef void *data
    for i in range(_n_waiting - 1, -1, -1):
        if _waiting[i].size == size:
            data = _waiting[i].data
            _held -= size
            _forget(i)
            return data
    return NULL


cdef void _forget(int i) noexcept:
    """Take the i-th that waits out of the table."""
    global _n_waiting
    _n_waiting -= 1
    memmove(&_waiting[i], &_waiting[i + 1], (_n_waiting - i) * sizeof(Memory))


cdef size_t _rounded(size_t size):
    """Up to an eighth more, so that lengths that vary a little find the same blocks."""
    cdef size_t step = LEAST // 8
    while step <= size // 16:  # a product with 16 might not fit
        step *= 2
    return (size + step - 1) // step * step


cdef void _make_room(size_t size) noexcept:
    """Free what waits, the oldest first, until no more is held than was ever in use."""
    global _held
    while _n_waiting and _used + size + _held > _most:
        free(_waiting[0].data)
        _held -= _waiting[0].size
        _forget(0)


def empty(shape, dtype):
    """An array of any values, C-contiguous."""
    cdef cnp.npy_intp dims[8]
    cdef int i, n = len(shape)
    cdef object kind = np.dtype(dtype)
    if n > 8:
        return np.empty(shape, kind)
    for i in range(n):
        dims[i] = shape[i]
    return new(n, dims, kind.num)


cdef cnp.ndarray new(int n, cnp.npy_intp *dims, int kind):
    """An array of any values, of a dtype of numpy's by its number."""
    global _used, _most, _turn
    cdef Block block
    cdef cnp.ndarray array
    cdef size_t size = cnp.PyArray_DescrFromType(kind).itemsize
    cdef int i
    for i in range(n):
        size *= <size_t>dims[i]
    if size < _least:
        return cnp.PyArray_SimpleNew(n, dims, kind)
    size += SHIFTS
    cdef size_t huge = size // (HUGE // 2) * (HUGE // 2)
    size = _rounded(size)
    block = Block.__new__(Block)
    block.data = _found(size)
    if block.data == NULL:
        _make_room(size)
        block.data = aligned_alloc(HUGE // 2 if size >= HUGE else 64, _whole(size))
        if block.data == NULL:
            raise MemoryError(f"no memory for an array of {size} bytes")
        if size >= HUGE:
            # Not the rest: it would be a large page that is little used.
            minigrad_huge(block.data, huge)
    block.size = size
    _turn += 1
    block.shift = _turn % 16 * 256
    _used += size
    _most = max(_most, _used)
    array = cnp.PyArray_SimpleNewFromData(n, dims, kind, <char *>block.data + block.shift)
    Py_INCREF(block)  # the array takes one
    cnp.PyArray_SetBaseObject(array, block)
    return array


cdef size_t _whole(size_t size):
    """A multiple of the alignment, as aligned_alloc needs."""
    cdef size_t unit = HUGE // 2 if size >= HUGE else 64
    return (size + unit - 1) // unit * unit


def held():
    """Bytes that are used by arrays, that wait, and the most that were ever used."""
    return _used, _held, _most
