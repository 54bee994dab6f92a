# cython: language_level=3
"""Large arrays whose memory is used again: for the sequences that a loop writes.

A training step allocates and frees tens of megabytes. From the system they come as
pages to be cleared, one fault each 4 KB. Without that, and with arrays that begin at
different places of a page, the backward of an LSTM at (T,B,I,H) = (50,32,64,128) took
4.0 ms instead of 4.8; at (100,64,256,512) the gain was lost in the noise.

Here blocks are cut from chunks of large pages, and what is freed of a chunk waits for the
next arrays, of other sizes, too. A GRU at (50,32,64,128), whose sequences are of 0.8 MB
and 2.5, takes 5 % less than with pages of 4 KB, and an LSTM at (64,32,128,128) 2 to 3.
`_memory_py.py` is the plain twin.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free, realloc
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
cdef size_t PAGE = 4096, HUGE = 1 << 21  # bytes of pages
# What the system is asked for at once, for up to a quarter of it; more gets a chunk of its
# own. Pages that nobody writes are not there.
cdef size_t _chunk = 1 << 25
CHUNK = _chunk

cdef struct Range:
    char *at
    size_t size
    char *chunk  # of which it is a part, and how large that is
    size_t whole
    bint shared  # whether that was asked for by a small array


# What waits, by address. Not in a list: where an op streams through the cache, every line
# that its call looks at comes from further away, and a table of C looks at few.
cdef Range *_waiting = NULL
cdef Py_ssize_t _n_waiting = 0, _places = 0
# Arrays that begin at the same place of a page share the sets of the cache, where the
# ten sequences of a loop then throw each other out.
cdef size_t _turn = 0
cdef size_t _used = 0, _held = 0, _most = 0


@cython.final
cdef class Block:
    """Memory of an array, given back when the last view of it is gone."""

    cdef Range range

    def __dealloc__(self):
        global _used
        cdef Py_ssize_t i
        if self.range.at == NULL:  # there was no memory
            return
        _used -= self.range.size
        i = _wait(self.range)
        if i >= 0:
            _release(i, 0)


cdef Py_ssize_t _wait(Range one) noexcept:
    """Let it wait, as one with its neighbours: its index, or -1 if the table can't grow."""
    global _held, _n_waiting
    cdef Py_ssize_t i = 0
    if not _has_place():
        return -1
    while i < _n_waiting and _waiting[i].at < one.at:
        i += 1
    _held += one.size
    if i < _n_waiting and _follows(one, _waiting[i]):
        one.size += _waiting[i].size
        _forget(i)
    if i and _follows(_waiting[i - 1], one):
        i -= 1
        _waiting[i].size += one.size
    else:
        memmove(&_waiting[i + 1], &_waiting[i], (_n_waiting - i) * sizeof(Range))
        _waiting[i] = one
        _n_waiting += 1
    return i


cdef bint _has_place() noexcept:
    """Whether the table has one more, or grows."""
    global _waiting, _places
    cdef Range *more
    if _n_waiting < _places:
        return True
    more = <Range *>realloc(_waiting, (2 * _places + 64) * sizeof(Range))
    if more == NULL:
        return False
    _waiting, _places = more, 2 * _places + 64
    return True


cdef bint _follows(Range one, Range other) noexcept:
    return one.at + one.size == other.at and one.chunk == other.chunk


cdef void _forget(Py_ssize_t i) noexcept:
    """Take the i-th that waits out of the table."""
    global _n_waiting
    _n_waiting -= 1
    memmove(&_waiting[i], &_waiting[i + 1], (_n_waiting - i) * sizeof(Range))


cdef void _release(Py_ssize_t i, size_t size) noexcept:
    """Give back what waits there if it is a chunk, and too much is held.

    That is more than was ever in use, a quarter besides, as arrays of many sizes never
    fill it, and a chunk. size: what will be used soon.
    """
    global _held
    cdef Range one = _waiting[i]
    cdef size_t most = max(_most, _used + size)
    if one.size == one.whole and _used + size + _held > most + most // 4 + _chunk:
        free(one.chunk)
        _held -= one.size
        _forget(i)


cdef bint _take(size_t size, Range *taken) noexcept:
    """Cut so much from the smallest that waits and has it; whether there is one.

    What a large array leaves is not for small ones: one that is kept would hold on to
    all of it, where a little larger one finds no place and asks for more.
    """
    global _held
    cdef Py_ssize_t i, best = -1
    for i in range(_n_waiting):
        if _waiting[i].size >= size and (
            _waiting[i].shared or size >= _waiting[i].whole // 8
        ):
            if best < 0 or _waiting[i].size < _waiting[best].size:
                best = i
    if best < 0:
        return False
    taken[0] = _waiting[best]
    taken.size = size
    _held -= size
    _waiting[best].at += size
    _waiting[best].size -= size
    if _waiting[best].size == 0:
        _forget(best)
    return True


cdef bint _ask(size_t size) noexcept:
    """Get a chunk that has so much from the system, and let it wait; whether there is one."""
    cdef bint shared = size <= _chunk // 4
    cdef size_t whole = _chunk if shared else (size + HUGE - 1) // HUGE * HUGE
    cdef Py_ssize_t i
    cdef char *chunk
    for i in range(_n_waiting - 1, -1, -1):
        _release(i, size)
    chunk = <char *>aligned_alloc(HUGE, whole)
    if chunk == NULL:
        return False
    minigrad_huge(chunk, whole)
    if _wait(Range(chunk, whole, chunk, whole, shared)) < 0:
        free(chunk)
        return False
    return True


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
    size = (size + 2 * PAGE - 1) // PAGE * PAGE  # one more, for where the array begins
    block = Block.__new__(Block)
    if not _take(size, &block.range) and not (_ask(size) and _take(size, &block.range)):
        raise MemoryError(f"no memory for an array of {size} bytes")
    _turn += 1
    _used += size
    _most = max(_most, _used)
    array = cnp.PyArray_SimpleNewFromData(
        n, dims, kind, block.range.at + _turn % 16 * (PAGE // 16)
    )
    Py_INCREF(block)  # the array takes one
    cnp.PyArray_SetBaseObject(array, block)
    return array


def held():
    """Bytes that are used by arrays, that wait, and the most that were ever used."""
    return _used, _held, _most
