"""Memory that is used again: never while somebody looks at it, never too much of it."""

import functools
import gc
import mmap
import subprocess
import sys
import threading
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from minigrad import _backend, _routine_py
from minigrad.fused import frame as frames

if _backend.PURE:
    pytest.skip("the plain twin takes numpy's memory", allow_module_level=True)

from minigrad._memory import CHUNK, LEAST, empty, held

from minigrad import _routine

LARGE = (LEAST, 3)
HUGE = (3 << 20, 2)
each_shape = pytest.mark.parametrize("shape", [LARGE, HUGE], ids=["large", "huge"])


def base(array):
    """What holds the memory: numpy's array, or a block."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def is_ours(array):
    return not isinstance(base(array), np.ndarray)


def place(array):
    """Where the array's block is; where in the block it begins varies."""
    return array.ctypes.data // 4096


def is_same_block(array, at):
    return abs(place(array) - at) <= 1


def alone(test):
    """Run a test in a process of its own, in which nothing was ever in use."""

    @functools.wraps(test)
    def run():
        code = f"import {__name__} as here; here.{test.__name__}.__wrapped__()"
        root = Path(__file__).parents[2]
        subprocess.run([sys.executable, "-c", code], cwd=root, check=True)

    return run


# -- arrays ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?"])
@pytest.mark.parametrize(
    "shape",
    [LARGE, (LEAST,), (1, LEAST, 1), (2, 3, LEAST), (*(2,) * 7, LEAST), HUGE],
    ids=str,
)
def test_it_is_an_array_like_any_other(shape, dtype):
    array = empty(shape, np.dtype(dtype))
    assert type(array) is np.ndarray and is_ours(array)
    assert array.shape == shape and array.dtype == dtype
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
    assert array.strides == np.zeros(shape, dtype).strides
    assert array.ctypes.data % 64 == 0
    array[:] = 1
    assert array.sum() == array.size


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (3, 4), (0,), (0, LEAST), (LEAST, 0), (LEAST // 4 - 1,)],
    ids=str,
)
def test_small_ones_are_numpys(shape):
    before = held()
    array = empty(shape, np.float32)
    assert array.shape == shape and array.dtype == np.float32
    assert not is_ours(array) and held() == before


def test_so_are_those_of_many_dimensions():
    shape = (*(2,) * 8, LEAST)
    array = empty(shape, np.float32)
    assert array.shape == shape and not is_ours(array)


@pytest.mark.parametrize("size", [1 << 45, (1 << 60) - 1])
def test_too_much_is_a_memory_error_that_leaves_all_as_it_was(size):
    used = held()[0]
    with pytest.raises(MemoryError):
        empty((size,), np.float64)
    assert held()[0] == used
    again = empty(LARGE, np.float32)
    again[:] = 1
    assert again.sum() == again.size


# -- used again ------------------------------------------------------------------------


@each_shape
def test_a_block_is_used_again(shape):
    array = empty(shape, np.float32)
    at = place(array)
    for dtype in (np.float32, np.int32, np.float32):  # of a size, whatever is in it
        del array
        array = empty(shape, dtype)
        assert is_same_block(array, at)


@each_shape
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[5:7],
        lambda a: a.T,
        lambda a: a.reshape(-1)[::2][1:],
        lambda a: a.view(np.int32),
        np.asarray,
        memoryview,
    ],
    ids=["rows", "transposed", "strided", "as integers", "itself", "memoryview"],
)
def test_but_not_while_there_is_a_view_of_it(shape, view):
    array = empty(shape, np.float32)
    array[:] = 7
    at, looks = place(array), view(array)
    expected = np.array(looks)
    del array
    other = empty(shape, np.float32)
    other[:] = 8
    assert not is_same_block(other, at)
    assert np.array_equal(looks, expected)
    del looks
    assert is_same_block(empty(shape, np.float32), at)


def test_sizes_that_differ_a_little_find_the_same_block():
    array = empty((1000, 100), np.float32)
    at = place(array)
    del array
    assert is_same_block(empty((1010, 100), np.float32), at)


def test_neighbours_begin_at_other_places_of_a_page():
    arrays = [empty(LARGE, np.float32) for _ in range(16)]
    assert len({a.ctypes.data % 4096 for a in arrays}) > 8


# -- how much --------------------------------------------------------------------------


def test_what_is_used_and_what_waits_are_counted():
    used, waiting, _ = held()
    array = empty(LARGE, np.float32)
    now, _, most = held()
    assert array.nbytes <= now - used <= 1.25 * array.nbytes + 4096 and most >= now
    del array
    after, then, _ = held()
    assert after == used and then >= min(waiting, now - used)


def test_no_two_arrays_share_memory_and_little_more_is_held_than_was_ever_used():
    """Of random sizes and lives: each keeps what was written in it."""
    rng = np.random.default_rng(0)
    arrays, before = [], held()
    for step in range(2000):
        if len(arrays) > 12 or (arrays and rng.random() < 0.5):
            array = arrays.pop(rng.integers(len(arrays)))
            assert array[0] == array[-1] == array.max() == array.min()
        else:
            size = int(LEAST * 10 ** rng.uniform(0, 2))
            arrays.append(empty((size,), np.uint8))
            arrays[-1][:] = step % 251
        assert not too_much()
        assert sum(a.nbytes for a in arrays) <= held()[0] - before[0]
    del array
    arrays.clear()
    assert held()[0] == before[0]


@alone
def test_neighbours_that_are_freed_in_any_order_are_one_place():
    size = held()[1] + CHUNK  # which nothing has that waits
    whole = empty((3 * size + 3 * 4096,), np.bool_)
    at = place(whole)
    del whole
    for order in permutations(range(3)):
        arrays = [empty((size,), np.bool_) for _ in range(3)]
        assert is_same_block(arrays[0], at)
        for i in order:
            arrays[i] = None
        assert is_same_block(empty((3 * size,), np.bool_), at)


def too_much():
    used, waiting, most = held()
    return used + waiting > 1.25 * most + 2 * CHUNK


@alone
def test_what_waits_in_other_sizes_makes_room():
    """A size that nobody asks for again does not stay for ever."""
    first = empty((held()[2] + 8 * CHUNK,), np.bool_)
    size = first.nbytes
    del first
    assert held()[1] >= size
    second = empty((size * 5 // 4,), np.bool_)
    assert not too_much()
    del second


@alone
def test_but_not_if_a_part_of_it_is_used():
    whole = empty((held()[2] + 8 * CHUNK,), np.uint8)
    size = whole.nbytes
    del whole
    part = empty((size // 2,), np.uint8)
    part[:] = 7
    more = [empty((size * n,), np.uint8) for n in (1, 2)]
    assert (part == 7).all()
    del part, more
    assert not too_much()


@pytest.mark.parametrize("least", [CHUNK * 5 // 8, CHUNK * 3 // 2])
@pytest.mark.parametrize("small", [LEAST, 1 << 20])
def test_small_ones_that_are_kept_do_not_hold_on_to_large_ones(least, small):
    """Of a run whose sequences become longer, with a result of each that stays."""
    kept, before = [], held()
    for i in range(40):
        sequence = empty((least + i * CHUNK // 128,), np.uint8)
        kept.append(empty((small,), np.uint8))
        del sequence
    most = max(held()[2], before[0] + before[1])
    assert held()[0] + held()[1] < 1.25 * most + 4 * CHUNK


def test_the_table_of_what_waits_grows():
    """Every second one is kept, so that those freed aren't neighbours."""
    arrays = [empty((LEAST + 4096 * (i % 7),), np.bool_) for i in range(1200)]
    kept, used = arrays[1::2], held()[0]
    for i, array in enumerate(kept):
        array[:] = i % 2
    del arrays, array
    assert held()[0] < used
    found = [empty((LEAST + 4096 * (i % 7),), np.uint8) for i in range(600)]
    for array in found:
        array[:] = 2
    assert [int(a.sum()) for a in kept] == [i % 2 * a.size for i, a in enumerate(kept)]


STATM = Path("/proc/self/statm")


@pytest.mark.skipif(not STATM.exists(), reason="no /proc here")
@alone
def test_what_does_not_wait_is_given_back_to_the_system():
    """Each is too large for what the others leave."""
    size = held()[2] + 8 * CHUNK
    mapped = []
    for i in range(12):
        empty((size * (10 + i) // 10,), np.bool_)
        mapped.append(int(STATM.read_text().split()[0]) * mmap.PAGESIZE)
    assert mapped[-1] - mapped[0] < 3 * size


def test_arrays_in_a_cycle_are_given_back():
    gc.collect()
    used = held()[0]
    loop = [empty(LARGE, np.float32)]
    loop.append(loop)
    del loop
    gc.collect()
    assert held()[0] == used


def test_threads_get_memory_of_their_own():
    used = held()[0]
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        mine = []
        for i in range(300):
            array = empty((LEAST // 8 * int(rng.integers(1, 4)),), np.float64)
            array[:] = seed * 1000 + i
            mine.append((array, seed * 1000 + i))
            if len(mine) > 4:
                array, value = mine.pop(int(rng.integers(len(mine))))
                if (array != value).any():
                    wrong.append(value)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert held()[0] == used


# -- the arrays of a loop --------------------------------------------------------------


def uniform(reverse):
    return frames.uniform(4, 3, reverse)


def ragged(reverse):
    return frames.Ragged(np.array([2, 4, 1]), 4, reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("frame", [uniform, ragged], ids=["uniform", "ragged"])
def test_the_arrays_of_a_loop_are_those_of_the_plain_twin(frame, dtype, reverse):
    frame = frame(reverse)
    rng = np.random.default_rng(0)
    tensors = [
        *(rng.standard_normal((3, n)).astype(dtype) for n in (2, 5)),
        rng.standard_normal((*frame.lead, 4)).astype(dtype),
        rng.standard_normal((*frame.lead, 4)) > 0,
        rng.standard_normal((4, 3)).astype(dtype).T,
        np.array(2.0, dtype),
    ]
    arrays = [None, "number", *[None] * 12]
    given = [(2, 2), (3, 3), (4, 4), (5, 5)]
    made = [(6, True, 7), (7, False, 1 << 16), (8, True, 0)]
    carries, kept = ((9, 10), (11,)), (not frame.ragged, False)
    layout = None, arrays, given, made, carries, kept, (), ()
    (found, _), (expected, _) = (
        twin.bind(twin.Layout(*layout), tensors, frame)
        for twin in (_routine, _routine_py)
    )
    assert arrays == [None, "number", *[None] * 12]
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(b, np.ndarray):
            assert a is b
            continue
        assert (a.dtype, a.shape) == (b.dtype, b.shape) and a.flags.c_contiguous
        if i in (6, 7, 8):
            assert a.flags.writeable
        elif i in (9, 10) and kept[0]:  # of which only the first state is known
            assert np.array_equal(*(s[-1 if reverse else 0] for s in (a, b)))
        else:
            assert np.array_equal(a, b)
    assert found[9] is found[10] and found[2] is tensors[2]
