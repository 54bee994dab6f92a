"""scan: a loop written by hand says what it means."""

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error

T, B, H = 4, 3, 2
RNG = np.random.default_rng(0)
XS = RNG.standard_normal((T, B, H))
OTHER = RNG.standard_normal((T, B, 1))
START = RNG.standard_normal((B, H))
W = mg.tensor(RNG.standard_normal((H, H)), requires_grad=True)


def leaf(array):
    return mg.tensor(array, requires_grad=True)


def plain(h, x):
    h = mg.tanh(h @ W + x)
    return h, h * x


def tuples(carry, x):
    (h, c), (a, b) = carry, x
    h = mg.tanh(h @ W + a * b)
    return (h, c * h + a), (h, c, a * h)


def rows_apart(carry, x):
    """Not the same for all rows of the batch: the reference has to be careful too."""
    (h,), y = carry, x * mg.tensor([[1.0], [2.0], [3.0]], mg.float64)
    return (h * 0.5 + y,), (y,)


class Named(NamedTuple):
    """A carry, or xs, or ys, whose items have names."""

    h: Any
    c: Any


def named(carry, x):
    h = mg.tanh(carry.h @ W + x.h * x.c)
    return Named(c=carry.c * h + x.h, h=h), Named(h, x.h * h)


SCALE = mg.tensor(RNG.standard_normal(()), requires_grad=True)


def scaled_twice(h, x):
    h = (h * SCALE + x).tanh() * SCALE
    return h, h


CASES = {
    "a scalar, twice": (scaled_twice, START, XS),
    "tensors": (plain, START, XS),
    "tuples": (tuples, (START, START + 1), (XS, OTHER)),
    "tuples with names": (named, Named(START, START + 1), Named(XS, OTHER)),
    "tuples of one": (rows_apart, (START,), XS),
    "no carry": (lambda c, x: ((), x.exp()), (), XS),
    "no ys": (lambda c, x: (c * x, ()), START, XS),
    "one step": (plain, START, XS[:1]),
}
LENGTHS = {
    "no lengths": None,
    "full": [T, T, T],
    "ragged": [1, T, 2],
    "some empty": [0, 3, 0],
    "all empty": [0, 0, 0],
}
each_case = pytest.mark.parametrize("case", CASES)
each_direction = pytest.mark.parametrize("reverse", [False, True], ids=["on", "back"])
each_length = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


def items(value):
    return value if isinstance(value, tuple) else (value,)


def like(value, parts):
    parts = list(parts)
    return tuple.__new__(type(value), parts) if isinstance(value, tuple) else parts[0]


def by_hand(step, carry, xs, lengths, reverse):
    """The same, row choice by row choice, with a mask of numbers for each step."""
    n_steps = items(xs)[0].shape[0]
    lengths = np.full(B, n_steps) if lengths is None else np.minimum(lengths, n_steps)
    ys = {}
    for t in sorted(range(n_steps), reverse=reverse):
        live = mg.tensor(np.asarray(t < lengths)[:, None].astype(np.float64))
        x = like(xs, [part[t] for part in items(xs)])
        new, y = step(carry, x)
        mixed = zip(items(new), items(carry), strict=True)
        carry = like(carry, [live * n + (1 - live) * o for n, o in mixed])
        ys[t] = [live * part for part in items(y)]
    columns = zip(*(ys[t] for t in range(n_steps)), strict=True)
    return carry, like(y, [mg.stack(list(column)) for column in columns])


def run(loop, case, lengths, reverse, leaves):
    step, carry, xs = CASES[case]
    if lengths is not None:
        lengths = np.minimum(lengths, items(xs)[0].shape[0])
    n = len(items(carry))
    end, ys = loop(
        step, like(carry, leaves[:n]), like(xs, leaves[n:]), lengths, reverse
    )
    assert type(end) is (type(carry) if isinstance(carry, tuple) else mg.Tensor)
    assert type(ys) is (type(xs) if case == "tuples with names" else type(ys))
    return (*items(end), *items(ys))


def leaves_of(case):
    _, carry, xs = CASES[case]
    return [leaf(array) for array in (*items(carry), *items(xs))]


# -- values and gradients --------------------------------------------------------------


@each_direction
@each_length
@each_case
def test_scan_is_the_loop_written_by_hand(case, lengths, reverse):
    results = []
    for loop in (mg.scan, by_hand):
        leaves = leaves_of(case)
        ys = run(loop, case, lengths, reverse, leaves)
        rng = np.random.default_rng(1)
        gs = [mg.tensor(rng.standard_normal(y.shape)) for y in ys]
        slopes = mg.grad(ys, [*leaves, W], gs, allow_unused=True)
        results.append([y.detach().numpy() for y in ys])
        results[-1] += [np.zeros(0) if g is None else g.numpy() for g in slopes]
    for found, expected in zip(*results, strict=True):
        assert relative_error(found, expected) <= FLOAT64_RTOL


@each_direction
@pytest.mark.parametrize("lengths", [None, LENGTHS["ragged"]], ids=["all", "ragged"])
@pytest.mark.parametrize("case", ["tensors", "tuples"])
def test_derivatives(case, lengths, reverse):
    def function(*leaves):
        return run(mg.scan, case, lengths, reverse, leaves)

    assert mg.gradcheck(function, leaves_of(case))
    assert mg.gradgradcheck(function, leaves_of(case))


def test_captured_tensors_get_gradients():
    w, start = leaf(W.detach().numpy()), leaf(START)
    xs = mg.tensor(XS)

    def function(w):
        end, _ = mg.scan(lambda h, x: (mg.tanh(h @ w + x), h), start.detach(), xs)
        return end

    assert mg.gradcheck(function, [w])


# -- lengths ---------------------------------------------------------------------------

RAGGED = [1, 4, 0]


@each_direction
def test_past_its_end_a_row_keeps_its_carry_and_its_ys_are_zero(reverse):
    end, ys = mg.scan(plain, mg.tensor(START), mg.tensor(XS), RAGGED, reverse)
    live = np.arange(T)[:, None] < RAGGED
    padded, end = ys.detach().numpy()[~live], end.detach().numpy()
    assert np.all(padded == 0) and not np.signbit(padded).any()
    assert np.array_equal(end[2], START[2])
    for row, n in enumerate(RAGGED[:2]):
        alone, _ = mg.scan(plain, mg.tensor(START), mg.tensor(XS[:n]), reverse=reverse)
        assert np.array_equal(end[row], alone.detach().numpy()[row])


@each_direction
@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e30])
def test_padding_is_never_looked_at(padding, reverse):
    live = np.arange(T)[:, None] < RAGGED
    found = []
    for fill in (padding, 0.0):
        x, h = leaf(np.where(live[..., None], XS, fill)), leaf(START)
        end, ys = mg.scan(plain, h, x, RAGGED, reverse)
        slopes = mg.grad(end.sum() + (ys * ys).sum(), [x, h, W])
        found.append([t.detach().numpy() for t in (end, ys, *slopes)])
        assert np.all(slopes[0].numpy()[~live] == 0)
    for padded, clean in zip(*found, strict=True):
        assert np.all(np.isfinite(padded)) and np.array_equal(padded, clean)


@pytest.mark.parametrize("dtype", [mg.int64, mg.bool, mg.float32, mg.float64], ids=str)
def test_lengths_do_not_change_a_dtype(dtype):
    ids = mg.tensor([[1, 2], [0, 1]], dtype)

    def step(carry, x):
        assert x.dtype == dtype
        return carry + 1, (x, x > 0)

    end, (ys, positive) = mg.scan(step, mg.zeros(2, dtype=mg.int64), ids, [2, 1])
    assert (end.dtype, ys.dtype, positive.dtype) == (mg.int64, dtype, mg.bool)
    assert end.tolist() == [2, 1]
    assert ys.tolist() == mg.tensor([[1, 2], [0, 0]], dtype).tolist()


@pytest.mark.parametrize(
    "kind",
    [list, tuple, np.array, mg.tensor, lambda n: np.array(n, np.uint8)],
    ids=["list", "tuple", "array", "tensor", "uint8"],
)
def test_lengths_may_be_any_integers(kind):
    given = kind([2, 0, 3])
    _, ys = mg.scan(plain, mg.tensor(START), mg.tensor(XS), given)
    assert np.array_equal(ys.detach().numpy().any((0, 2)), [True, False, True])


@pytest.mark.parametrize("lengths", [[], (), np.zeros(0, np.int64)], ids=repr)
def test_there_are_no_lengths_of_no_rows(lengths):
    _, ys = mg.scan(plain, mg.tensor(START[:0]), mg.tensor(XS[:, :0]), lengths)
    assert ys.shape == (T, 0, H)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, H), (H,), (B, 1)], ids=str)
@each_length
def test_a_captured_tensor_gets_a_gradient_of_its_shape(shape, lengths):
    v = leaf(np.random.default_rng(1).standard_normal(shape))
    found = []
    for eager in (False, True):
        with mg.eager_loops() if eager else nullcontext():
            end, ys = mg.scan(
                lambda h, x: ((h * v + x).tanh(), h * v), leaf(START), leaf(XS), lengths
            )
        found += mg.grad((ys * ys).sum() + end.sum(), v)
    assert found[0].shape == shape
    assert relative_error(*found) <= FLOAT64_RTOL


def test_a_step_may_cut_out_nothing():
    def step(h, x):
        h = mg.cat([h[:, 1:], x], -1)
        return h, h

    _, ys = mg.scan(step, mg.zeros(2, 1), mg.ones(3, 2, 1))
    assert ys.tolist() == [[[1.0]] * 2] * 3


MADE_OF_EACH_OTHER = {
    "a carry of the xs": lambda x, w: (x[0] * 2, x, w, w.T.detach()),
    "a carry that is the xs'": lambda x, w: (x[0], x, w, w.T.detach()),
    "weights of weights": lambda x, w: (x[0].detach(), x, w, w * w),
    "xs of weights": lambda x, w: (x[0].detach(), x @ w, w, w.T.detach()),
    "a carry of a scan": lambda x, w: (
        mg.scan(lambda h, y: ((h @ w + y).tanh(),) * 2, x[0], x)[0],
        *(x, w, w.T.detach()),
    ),
}


@pytest.mark.parametrize("checkpoint", [None, 2])
@pytest.mark.parametrize("make", MADE_OF_EACH_OTHER.values(), ids=MADE_OF_EACH_OTHER)
def test_what_it_takes_may_be_made_of_each_other(make, checkpoint):
    leaves = [leaf(XS), leaf(W.detach().numpy())]
    found = []
    for eager in (False, True):
        with mg.eager_loops() if eager else nullcontext():
            h, x, a, b = make(*leaves)
            end, ys = mg.scan(
                lambda h, x, a=a, b=b: ((h @ a + x @ b).tanh(),) * 2,
                *(h, x),
                checkpoint=checkpoint,
            )
            slopes = mg.grad((ys * ys).sum() + end.sum(), leaves, create_graph=True)
            curves = mg.grad(sum((s * s).sum() for s in slopes), leaves)
        found.append([*slopes, *curves])
    for actual, expected in zip(*found, strict=True):
        error = relative_error(actual.detach(), expected.detach())
        assert error <= FLOAT64_RTOL
