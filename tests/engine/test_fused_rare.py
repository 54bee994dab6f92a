"""Steps that few write: the fused loop, or none, is the loop of single ops."""

from contextlib import nullcontext

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error

from .fused_steps import pull, together

T, N = 4, 3
each_batch = pytest.mark.parametrize("batch", [1, 2, 5])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def agree(step, batch, lengths=None, present=None, second=False, frozen=()):
    """Values and gradients of a scan of step(carry, x, w, own), both ways.

    w: a weight; own: a row for each example; frozen: which of all get no gradient.
    Returns what `explain` says.
    """
    arrays = draw(batch, N), draw(T, batch, N, seed=1), draw(N, N, seed=2)
    arrays += (draw(batch, N, seed=3),)
    results = []
    for loops in (nullcontext, mg.eager_loops):
        leaves = [
            mg.tensor(a, requires_grad=i not in frozen) for i, a in enumerate(arrays)
        ]
        h, x, w, own = leaves
        with loops():
            h_n, ys = mg.scan(
                lambda h, x, w=w, own=own: step(h, x, w, own), h, x, lengths=lengths
            )
        slopes = pull([h_n, ys], leaves, present, create_graph=second)
        bends = pull(slopes, leaves, seed=2) if second else []
        results.append(together([h_n, ys, *slopes, *bends]))
    assert relative_error(*results) <= FLOAT64_RTOL
    h, x, w, own = map(mg.tensor, arrays)
    return mg.explain(lambda h, x: step(h, x, w, own), h, x)[0]


@each_batch
def test_a_product_whose_gradient_is_zero(batch):
    def step(h, x, w, own):
        return mg.tanh(mg.sign(h) @ w + x), h

    assert agree(step, batch).reason is None


@each_batch
def test_a_row_for_each_example_may_be_the_carry(batch):
    def step(h, x, w, own):
        return own * 2, mg.tanh(x + h @ w)

    agree(step, batch)


def test_a_step_may_check_that_there_is_a_row_for_each_example():
    def step(h, x, w, own):
        assert own.shape == h.shape
        return mg.tanh(h + x @ w) * own, h

    for batch in (1, 2, 5):
        agree(step, batch)


def test_an_error_speaks_of_the_examples_that_there_are():
    def step(h, x):
        return h[:, 1:], x

    with pytest.raises(mg.errors.ShapeError, match=r"float32\(1, 3\), but.*\(1, 2\)"):
        mg.scan(step, mg.zeros(1, 3), mg.zeros(4, 1, 3))


@each_batch
@pytest.mark.parametrize("lengths", [None, [3, 0, 4, 1, 2]], ids=["all", "ragged"])
@pytest.mark.parametrize("other", ["carry", "x", "itself"])
def test_a_row_for_each_example_beside_others(other, lengths, batch):
    def step(h, x, w, own):
        part = {"carry": h, "x": x, "itself": own}[other]
        both = mg.cat([own[:, :1], part[:, 1:], own, x], -1)
        return mg.tanh(both[:, :N] @ w + h), both

    assert agree(step, batch, lengths and lengths[:batch]).reason is None


def test_second_derivatives_of_a_mask_as_numbers():
    def step(h, x, w, own):
        z = (h < -0.3) * h
        return z + z, x

    assert agree(step, 3, second=True).reason is None


@pytest.mark.parametrize("present", [(True, False), (False, True)], ids=str)
@pytest.mark.parametrize("size", [3, 2], ids=["alike", "of two sizes"])
def test_a_part_of_a_product_that_nobody_asks_about(size, present):
    def step(h, x, w, own):
        return x - h @ w.T, h @ w[:, :size] + x[:, :size]

    assert agree(step, 3, present=present, frozen=[2]).reason is None


@pytest.mark.parametrize("number", [False, True], ids=["mask", "another"])
def test_nothing_is_asked_of_what_no_gradient_passes(number):
    limit = mg.tensor(0.02, requires_grad=True)

    def step(h, x):
        return h, mg.where(limit > 0, h - h, -h).tanh() + (x if number else 0)

    h, x = mg.randn(2, 3, generator=0), mg.randn(4, 2, 3, generator=1)
    _, ys = mg.scan(step, h, x)
    assert not ys.requires_grad
    _, ys = mg.scan(step, h.requires_grad_(), x)
    assert mg.grad(ys.sum(), limit, allow_unused=True) == (None,)


INTEGERS = {
    "an integer": lambda w: w * mg.tensor([1, 2, 3]),
    "a number of": lambda w: w / (w > 0).sum(),
    "amax": lambda w: w - w.amax(0),
    "a function of a mask": lambda w: w * mg.exp(mg.tensor([True, False, True])),
    "a choice": lambda w: mg.where(w > 0, w, mg.tensor([1, 2, 3])),
    "beside": lambda w: mg.cat([w[:1], mg.tensor([2, 3])], 0) * w,
}


@pytest.mark.parametrize("made", INTEGERS.values(), ids=INTEGERS)
def test_integers_beside_floats_are_those_floats(made):
    h, x = mg.zeros(2, 3), mg.randn(4, 2, 3, generator=1)
    found = []
    for loops in (nullcontext, nullcontext, mg.eager_loops):
        w = mg.randn(3, generator=2, requires_grad=True)
        with loops():
            _, ys = mg.scan(lambda h, x, w=w: (h + x, mg.tanh(h) + made(w) * x), h, x)
        (slope,) = mg.grad((ys * ys).sum(), w)
        assert ys.dtype == slope.dtype == np.float32
        found.append(together([ys, slope]))
    assert relative_error(found[0], found[2]) <= 1e-6
    assert relative_error(found[1], found[2]) <= 1e-6


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "by single ops"])
def test_a_scan_with_lengths_in_a_step_of_another(fused):
    lengths = [2, 0]

    def inner(h, x):
        return mg.tanh(h + x) if fused else mg.tanh(h + x).cumsum(1), h

    def outer(h, x):
        h_n, hs = mg.scan(inner, h, mg.stack([x, 2 * x]), lengths=lengths)
        return h_n * 0.5, hs.sum(0)

    h, x = mg.randn(2, 3, generator=0), mg.randn(4, 2, 3, generator=1)
    h.requires_grad_()
    found = []
    for loops in (nullcontext, mg.eager_loops):
        with loops():
            outputs = mg.scan(outer, h, x)
        found.append(together([*outputs, *pull(outputs, [h])]))
    assert relative_error(*found) <= 1e-6


AGAIN = {
    "lerp": lambda h, u, x: u + (h - u) * 0.3,
    "a rest": lambda h, u, x: x * (1 - h) + x,
    "a sum of products": lambda h, u, x: h * u + x * h,
    "read twice": lambda h, u, x: h * u + x + h * u * x,
}
COMPARED = {
    "clamp": lambda v: mg.clamp(v, -0.4, 0.6),
    "amax": lambda v: v - mg.amax(v, -1, True),
    "where it is largest": lambda v: mg.where(v >= mg.amax(v, -1, True), v * 2, v),
}


@each_batch
@pytest.mark.parametrize("compared", COMPARED.values(), ids=COMPARED)
@pytest.mark.parametrize("made", AGAIN.values(), ids=AGAIN)
@pytest.mark.parametrize("still", [False, True], ids=["moves", "still"])
def test_what_the_backward_makes_again_has_the_bits_that_it_had(
    made, compared, still, batch
):
    def step(h, x, w, own):
        u = mg.tanh(h @ w)
        y = compared(made(h, u, x))
        return h if still else mg.tanh(y @ w + x), y

    for second in (False, True):
        assert agree(step, batch, second=second).reason is None


@each_batch
@pytest.mark.parametrize("compared", COMPARED.values(), ids=COMPARED)
def test_so_it_has_if_something_else_read_a_part_of_it(compared, batch):
    def step(h, x, w, own):
        part = h * mg.tanh(h @ w)
        return mg.tanh(part), compared(part + x)

    assert agree(step, batch).reason is None


class Unknown:
    """What a step may have changed unseen: no plan of it is kept."""


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "made anew"])
@pytest.mark.parametrize("how", [{}, {"lengths": [3, 1]}, {"checkpoint": 1}], ids=str)
def test_a_mask_that_a_step_returns_needs_no_gradient(how, kept):
    other = None if kept else Unknown()

    def step(h, x):
        return mg.tanh(h + x), (h > x, other)[0]

    h, x = mg.randn(2, 3, generator=0), mg.randn(4, 2, 3, generator=1)
    h.requires_grad_(), x.requires_grad_()
    found = []
    for loops in (nullcontext, mg.eager_loops):
        with loops():
            h_n, mask = mg.scan(step, h, x, **how)
        assert mask.dtype == bool
        assert not mask.requires_grad
        loss = mg.sum(h_n * h_n) + mg.sum(mask * x * x)
        gh, gx = mg.grad(loss, [h, x], create_graph=True)
        found.append(together([gh, gx, *mg.grad(mg.sum(gh * gx.sum(0)), [h, x])]))
    assert relative_error(*found) <= 1e-5


@pytest.mark.parametrize("first", [0.0, -0.0])
def test_zeros_of_both_signs(first):
    def step(h, x):
        return h * 0.5, (1 / (h * first), 1 / (h * -first))

    h, x = mg.tensor([[1.0, -1.0]]), mg.zeros(1, 1, 2)
    with np.errstate(divide="ignore"):
        fused = mg.scan(step, h, x)[1]
        with mg.eager_loops():
            alone = mg.scan(step, h, x)[1]
    assert [y.tolist() for y in fused] == [y.tolist() for y in alone]


@pytest.mark.parametrize("lengths", [None, [4, 2, 0]], ids=["full", "ragged"])
@pytest.mark.parametrize("checkpoint", [None, 2])
@pytest.mark.parametrize("learned", [(), ("w",), ("x",), ("h",), ("h", "w")])
def test_what_depends_on_no_leaf_asks_for_no_gradient(lengths, checkpoint, learned):
    """As in the loop of single ops: a state that no gradient reaches."""
    leaves = {"h": mg.randn(3, 2), "x": mg.randn(4, 3, 2), "w": mg.randn(2, 2)}
    for name in learned:
        leaves[name].requires_grad_()
    h, x, w = leaves.values()

    def step(carry, x):
        state, count, stopped = carry
        new = mg.tanh(state @ w + x)
        after = new, count + 1, new.detach()
        return after, (new, count * 2, stopped, new + count, x[:, :1], mg.sign(new))

    def asked():
        initial = h, mg.zeros(3, 2), mg.zeros(3, 2)
        last, ys = mg.scan(step, initial, x, lengths=lengths, checkpoint=checkpoint)
        return [t.requires_grad for t in (*last, *ys)]

    with mg.eager_loops():
        expected = asked()
    assert [asked() for _ in range(3)] == [expected] * 3
