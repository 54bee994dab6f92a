"""What was packed of a weight is kept while nobody can write there, and no longer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from minigrad._loop import pack, product

import minigrad as mg
import seq
from conformance.policy import EXACT, exact_error

MB = 1 << 20


def fixed(*shape, seed=0, dtype=np.float32):
    """An array that can't be written to."""
    array = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    array.flags.writeable = False
    return array


def test_a_weight_that_cannot_change_is_packed_once():
    w = fixed(40, 30)
    packed, turned = pack(w), pack(w.T)
    assert pack(w) is packed and pack(w[:]) is packed and pack(w.T) is turned
    assert (packed.inner, packed.width) == (turned.width, turned.inner) == (40, 30)


def test_what_lies_otherwise_at_the_same_place_is_another():
    w, wide = fixed(40, 30), fixed(40, 30, dtype=np.float64)
    seen = w.view(np.int32).view(np.float32)
    for kept, part in (
        (w, w[:20]),
        (w, w[:, :20]),
        (w[:20], w[::2]),
        (w[:, :15], w[:, ::2]),
        (seen[:, :15], seen[:, ::2]),
        (wide, wide.view(np.float32)[:, ::2]),
    ):
        pack(kept)
        x = fixed(5, len(part), seed=1, dtype=part.dtype)
        expected = product(x, pack(part.copy()), part.shape[1])
        assert exact_error(product(x, pack(part), part.shape[1]), expected) == EXACT


def foreign(flat_is_writeable=True):
    flat = np.frombuffer(bytearray(fixed(4, 4).tobytes()), np.float32)
    flat.flags.writeable = flat_is_writeable
    array = flat.reshape(4, 4)
    array.flags.writeable = False
    return array


def seen():
    array = np.ones((4, 4), np.float32)
    view = array.view()
    view.flags.writeable = False
    return view


@pytest.mark.parametrize(
    "make",
    [lambda: np.ones((4, 4), "f4"), foreign, lambda: foreign(False), seen],
)
def test_what_somebody_may_write_to_is_packed_anew(make):
    array = make()
    assert pack(array) is not pack(array)


def test_another_weight_at_the_same_place_is_another():
    x = fixed(3, 50)
    for i in range(50):
        w = fixed(50, 20, seed=i)
        expected = product(x, pack(w.copy()), 20)
        assert exact_error(product(x, pack(w), 20), expected) == EXACT
        del w


def forgotten(weight):
    """How many weights of a MB are packed until this one's packing has gone."""
    packed = pack(weight)
    others = []
    while pack(weight) is packed and len(others) < 9:
        others.append(fixed(500, 500))
        pack(others[-1])
    return len(others)


def test_little_is_kept():
    large = fixed(600, 500)
    assert large.nbytes > MB and pack(large) is not pack(large)
    assert forgotten(fixed(500, 500)) <= 4


def test_what_takes_the_place_of_another_counts_for_it():
    keep, w = fixed(400, 400), fixed(500, 500)
    forgotten(keep)
    packed = pack(keep)
    for columns in range(400, 440):
        pack(w[:, :columns])
    assert pack(keep) is packed


def test_threads_may_pack_the_same_weights():
    weights = [fixed(500, 500, seed=i) for i in range(6)]

    def run(columns):
        for i in range(50):
            for w in weights:  # more than are kept: they push each other out
                assert pack(w[:, : columns + i % 2]).width == columns + i % 2
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(run, range(400, 440, 10)))


def test_a_layer_reads_the_weights_that_it_has():
    layer = seq.LSTM(3, 4, generator=0)
    x = mg.randn(5, 6, 3, generator=1)
    with mg.no_grad():
        before = layer(x)[0]
        layer.load_state_dict(seq.LSTM(3, 4, generator=2).state_dict())
        found = layer(x)[0]
        expected = seq.LSTM(3, 4, generator=2)(x)[0]
    assert exact_error(found, expected) == EXACT != exact_error(found, before)
