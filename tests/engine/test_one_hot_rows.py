"""Rows that are one-hot are looked up: the bits are those of multiplying."""

import signal

import numpy as np
import pytest

from minigrad import _loop

DTYPES = [np.float32, np.float64]
SIZES = [
    (8, 8, 1),  # too small to pay; the others are looked up
    (8, 1024, 1),
    (9, 33, 37),
    (40, 8, 140),
    (257, 65, 129),
    (300, 300, 33),
    (700, 9, 1100),
]


@pytest.fixture(autouse=True, params=[1, 3])
def threads(request):
    n = _loop.get_num_threads()
    _loop.set_num_threads(request.param)
    yield
    _loop.set_num_threads(n)


def one_hot(rows, k, dtype, seed=0):
    """Every fifth row is zeros."""
    numbers = np.random.default_rng(seed).integers(0, k, rows)
    x = np.zeros((rows, k), dtype)
    x[np.arange(rows), numbers] = 1
    x[::5] = 0
    x[1, x[1] == 0] = -0.0
    return x


def draw(*shape, dtype, seed=1):
    """With zeros of both signs, and numbers that cancel each other."""
    found = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return np.where(abs(found) < 0.3, np.copysign(0, found).astype(dtype), found)


def multiplied(x, weight):
    """x @ weight: one row more, which is not one-hot, and all are multiplied."""
    more = np.concatenate([x, np.full((1, x.shape[1]), 2, x.dtype)])
    return _loop.product(more, _loop.pack(weight), weight.shape[1])[:-1]


def summed(x, y, total, out=None, **how):
    """The sums of x and y: one column more, and all are multiplied."""
    more = np.concatenate([x, np.full((len(x), 1), 2, x.dtype)], 1)
    if out is not None:
        wider = np.zeros((len(out[0]) + 1, y.shape[1]), y.dtype)
        wider[:-1] = out[0]
        out = (wider, *(o.copy() for o in out[1:]))
    gram, *rest = _loop.sums((more, y), total, out, **how)
    return [gram[:-1].copy(), *rest]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        # NaN has a sign, and bits that say where it was made.
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        assert np.nan_to_num(a, nan=7).tobytes() == np.nan_to_num(b, nan=7).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_product(size, dtype):
    rows, k, n = size
    x, weight = one_hot(rows, k, dtype), draw(k, n, dtype=dtype)
    found = _loop.product(x, _loop.pack(weight), n)
    assert_same([found], [multiplied(x, weight)])
    np.testing.assert_array_equal(found, x @ weight)
    found = _loop.product(x, _loop.pack(np.asfortranarray(weight)), n)
    assert_same([found], [multiplied(x, weight)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("total", [False, True])
def test_sums(size, dtype, total):
    rows, k, n = size
    x, y = one_hot(rows, k, dtype), draw(rows, n, dtype=dtype)
    for how in ({}, {"block": 24, "ascending": True}):
        expected = summed(x, y, total, **how)
        assert_same(_loop.sums((x, y), total, **how), expected)
        out = [draw(k, n, dtype=dtype, seed=2) + 1]
        out += [draw(n, dtype=dtype, seed=3)] * total
        expected = summed(x, y, total, tuple(out), **how)
        assert_same(_loop.sums((x, y), total, tuple(out), **how), expected)
        assert_same(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_beside_those_of_other_rows(dtype):
    y = draw(600, 140, dtype=dtype)
    lefts = [
        draw(600, 50, dtype=dtype, seed=2),
        one_hot(600, 65, dtype),
        one_hot(600, 30, dtype, 1),
        draw(600, 7, dtype=dtype, seed=3),
    ]
    apart = [summed(x, y, True) for x in lefts]
    for order in ([0, 1, 2, 3], [1, 0], [3, 2], [1, 2]):
        found = _loop.sums((*(lefts[i] for i in order), y), True)
        assert_same(found, [*(apart[i][0] for i in order), apart[0][1]])
    columns = np.concatenate(lefts, 1)
    views = [columns[:, 50:115], columns[:, 115:145]]
    assert_same(
        _loop.sums((*views, y[:, 3:130]), False),
        [apart[1][0][:, 3:130], apart[2][0][:, 3:130]],
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_goes_where_a_product_takes_it(value, dtype):
    x, weight = one_hot(300, 20, dtype), draw(20, 70, dtype=dtype)
    weight[3, 5], weight[19, 69] = value, value
    with np.errstate(all="ignore"):
        assert_same([_loop.product(x, _loop.pack(weight), 70)], [multiplied(x, weight)])
        for row in (0, 4, 299):  # 0 is a row of zeros
            y = draw(300, 70, dtype=dtype)
            y[row, 1] = value
            expected = summed(x, y, True)
            assert np.isnan(expected[0][:, 1]).sum() >= 19
            assert_same(_loop.sums((x, y), True), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_are_not_quite_one_hot_are_multiplied(dtype):
    weight, y = draw(20, 60, dtype=dtype), draw(50, 60, dtype=dtype)
    for row, column, value in [
        (0, 3, 2),
        (49, 19, -1),
        (30, 0, np.nan),
        (30, 5, 1e-30),
    ]:
        x = one_hot(50, 20, dtype)
        x[row, column] = value
        np.testing.assert_array_equal(
            _loop.product(x, _loop.pack(weight), 60), multiplied(x, weight)
        )
        assert_same(_loop.sums((x, y), False), summed(x, y, False))
    x = one_hot(50, 20, dtype)
    x[7] = 0
    x[7, [4, 11]] = 1
    assert_same([_loop.product(x, _loop.pack(weight), 60)], [multiplied(x, weight)])
    assert_same(_loop.sums((x, y), False), summed(x, y, False))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers here")
def test_signals_are_heard_during_a_long_product():
    _loop.set_num_threads(1)
    x, weight = one_hot(60_000, 8, np.float32), draw(8, 1024, dtype=np.float32)
    packed, heard = _loop.pack(weight), []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
        heard.clear()
        found, n = _loop.product(x, packed, 1024), len(heard)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert n > 8  # those that came before it and after it are one or two
    np.testing.assert_array_equal(found[-100:], x[-100:] @ weight)
