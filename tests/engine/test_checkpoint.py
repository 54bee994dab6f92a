"""A scan that keeps its states now and then: the same bits, for less memory."""

from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import (
    EXACT,
    FLOAT64_RTOL,
    exact_error,
    relative_error,
)
from minigrad import _backend
from minigrad.errors import ArgumentError

N, M = 4, 3
both = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
each_direction = pytest.mark.parametrize("reverse", [False, True], ids=["on", "back"])
exactly = pytest.mark.skipif(_backend.PURE, reason="numpy's products promise less")


class Case(NamedTuple):
    """What a step reads: carries h and c, xs x, captured w, u, b and s."""

    h: mg.Tensor
    c: mg.Tensor
    x: mg.Tensor
    w: mg.Tensor
    u: mg.Tensor
    b: mg.Tensor
    s: mg.Tensor


def case(n_steps, batch, dtype=np.float64, wanted="hcxwubs", seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(batch, N), (batch, M), (n_steps, batch, 2), (N, N), (2, N), (N,), ()]
    return Case(
        *(
            mg.tensor(
                (rng.standard_normal(shape) / 2).astype(dtype),
                requires_grad=name in wanted,
            )
            for name, shape in zip(Case._fields, shapes, strict=True)
        )
    )


def run(case, own=None, **options):
    """(h, c, two sequences) of a step with a product, a gate and a slow average."""
    _, _, _, w, u, b, s = case

    def step(carry, x):
        h, c = carry
        z = (h @ w + x @ u + b).tanh()
        if own is not None:
            z = z * own
        c = c + s * (z[:, :M] - c)
        h = z * mg.cat([c, c[:, :1]], -1).sigmoid()
        return (h, c), (h, z * x[:, :1])

    (h, c), ys = mg.scan(step, (case.h, case.c), case.x, **options)
    return [h, c, *ys]


def slopes(case, outputs, present=(0, 1, 2, 3), others=()):
    """Gradients by what wants one, of the outputs that are present."""
    rng = np.random.default_rng(1)
    gs = [mg.tensor(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]
    leaves = [t for t in (*case, *others) if t.requires_grad]
    pairs = [(outputs[i], gs[i]) for i in present]
    ys, gs = zip(*pairs, strict=True)
    found = mg.grad(ys, leaves, gs, allow_unused=True)
    return [
        mg.zeros_like(t) if g is None else g for t, g in zip(leaves, found, strict=True)
    ]


def check(error, limit, case, own=None, present=(0, 1, 2, 3), **options):
    """Outputs and gradients with the options, held to those without a checkpoint."""
    found = []
    for more in (options, {**options, "checkpoint": None}):
        outputs = run(case, own, **more)
        others = () if own is None else (own,)
        found.append([*outputs, *slopes(case, outputs, present, others)])
    n = len(found[0])
    errors = [error(a.detach(), b.detach()) for a, b in zip(*found, strict=True)]
    assert max(errors) <= limit
    assert n == 4 + sum(t.requires_grad for t in (*case, own) if t is not None)


# -- bits ------------------------------------------------------------------------------


@exactly
@both
@each_direction
@pytest.mark.parametrize("n_steps", [1, 2, 90, 700])
@pytest.mark.parametrize("batch", [1, 3, 32, 300])
def test_the_bits_are_those_without(n_steps, batch, reverse, dtype):
    for steps in (1, 64, "sqrt", n_steps + 1):
        check(
            exact_error,
            EXACT,
            case(n_steps, batch, dtype),
            checkpoint=steps,
            reverse=reverse,
        )


@exactly
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, N), (N,)], ids=str)
def test_a_sum_goes_on_from_segment_to_segment(shape):
    """Whatever is captured: rows are added up to it over all steps."""
    v = mg.randn(*shape, dtype=mg.float64, requires_grad=True, generator=3)
    x = mg.randn(100, 8, N, dtype=mg.float64, generator=4)
    found = []
    for steps in (None, 32):
        end, ys = mg.scan(
            lambda h, x: ((h * v + x).tanh(), h * v),
            mg.zeros(8, N, dtype=mg.float64),
            x,
            checkpoint=steps,
        )
        found.append(mg.grad((ys * ys).sum() + end.sum(), v)[0])
    assert found[0].shape == shape
    assert np.array_equal(*found)


@exactly
@pytest.mark.parametrize("present", [(0,), (1,), (2,), (3,), (0, 3), (1, 2)], ids=str)
@pytest.mark.parametrize("wanted", ["hcxwubs", "x", "w", "hs", "cub"])
def test_some_cotangents_and_some_inputs(present, wanted):
    some = case(90, 20, wanted=wanted)
    for reverse in (False, True):
        check(exact_error, EXACT, some, present=present, checkpoint=12, reverse=reverse)


@exactly
@both
def test_a_layer_passes_it_on(dtype):
    layer = seq.LSTM(3, 5, 2, bidirectional=True, dtype=dtype, generator=0)
    x = mg.randn(100, 9, 3, dtype=dtype, generator=1)
    found = []
    for steps in (None, 30, "sqrt"):
        output, (h_n, c_n) = layer(x, checkpoint=steps)
        loss = (output * output).sum() + h_n.sum() + c_n.sum()
        found.append([output, h_n, c_n, *mg.grad(loss, [*layer.parameters()])])
    for other in found[1:]:
        assert all(
            exact_error(a.detach(), b.detach()) == EXACT
            for a, b in zip(other, found[0], strict=True)
        )


# -- tolerance -------------------------------------------------------------------------


@each_direction
@pytest.mark.parametrize("steps", [1, 7, "sqrt"])
def test_with_lengths_the_gradient_is_the_same_up_to_rounding(steps, reverse):
    lengths = [90, 0, 3, 64, 90, 1, 40]
    some = case(90, 7)
    check(
        relative_error,
        FLOAT64_RTOL,
        some,
        checkpoint=steps,
        reverse=reverse,
        lengths=lengths,
    )


@each_direction
@pytest.mark.parametrize("lengths", [None, [50, 7, 0]], ids=["all", "ragged"])
def test_what_is_captured_may_have_a_row_for_each_example(lengths, reverse):
    own = mg.randn(3, N, dtype=mg.float64, requires_grad=True, generator=3)
    check(
        relative_error,
        FLOAT64_RTOL,
        case(50, 3),
        own,
        checkpoint=1,
        reverse=reverse,
        lengths=lengths,
    )


@pytest.mark.parametrize("n_steps", [2, 130])
def test_a_gradient_of_a_gradient(n_steps):
    found = []
    for steps in (None, 1):
        some = case(n_steps, 3)
        y = sum((y * y).sum() for y in run(some, checkpoint=steps))
        first = mg.grad(y, some, create_graph=True)
        found.append([*first, *mg.grad(sum((g * g).sum() for g in first), some)])
    errors = [
        relative_error(a.detach(), b.detach()) for a, b in zip(*found, strict=True)
    ]
    assert max(errors) <= FLOAT64_RTOL


def test_finite_differences_agree():
    some = case(130, 2)  # two segments: 128 steps of 2 rows are summed together

    def ends(*tensors):
        return run(Case(*tensors), checkpoint=1)[0]

    def of(w, b, s):
        return ends(some.h, some.c, some.x, w, some.u, b, s)

    assert mg.gradcheck(of, [some.w, some.b, some.s])


def test_without_a_gradient_nothing_is_kept():
    with mg.no_grad():
        found = run(case(90, 3), checkpoint="sqrt")
    expected = run(case(90, 3, wanted=""))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not any(y.requires_grad for y in found)


# -- errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [0, -1, 2.0, "root", "", [2], True, np.ones(2)], ids=repr
)
@pytest.mark.parametrize("eager", [False, True], ids=["fused", "eager"])
def test_a_bad_value_is_named(bad, eager):
    def step(h, x):
        return (h.cumsum(1) if eager else h) + x, h

    match = r'checkpoint must be "sqrt" or a number of steps >= 1, not'
    with pytest.raises(ArgumentError, match=match):
        mg.scan(step, mg.zeros(2, 3), mg.ones(4, 2, 3), checkpoint=bad)


def test_a_step_that_is_not_fused_ignores_it():
    def step(h, x):
        return h.cumsum(1) * 0.1 + x, h

    x = mg.ones(4, 2, 3, requires_grad=True)
    for steps in (2, "sqrt"):
        end, _ = mg.scan(step, mg.zeros(2, 3), x, checkpoint=steps)
        expected, _ = mg.scan(step, mg.zeros(2, 3), x)
        assert np.array_equal(end.detach(), expected.detach())


# -- memory ----------------------------------------------------------------------------


def kept_bytes(n_steps, steps):
    """What a scan keeps for its gradient besides its inputs and its outputs."""
    outputs = run(case(n_steps, 32, np.float32), checkpoint=steps)
    node = outputs[0]._node
    assert all(y._node is node for y in outputs)
    return sum(a.nbytes for a in node.args[-1].saved)


def test_what_is_kept_grows_with_the_square_root():
    quarter, whole = (kept_bytes(n, "sqrt") for n in (5_000, 20_000))
    assert quarter < whole < 2.1 * quarter
    assert whole < kept_bytes(20_000, None) / 100


@pytest.mark.skipif(_backend.PURE, reason="the plain twin takes numpy's memory")
def test_between_forward_and_backward_only_the_outputs_stay():
    from minigrad import _memory

    some = case(20_000, 32, np.float32)
    used = []
    for steps in (None, "sqrt"):
        before = _memory.held()[0]
        outputs = run(some, checkpoint=steps)
        used.append(_memory.held()[0] - before)
        size = sum(y._data.nbytes for y in outputs)
        del outputs
        assert _memory.held()[0] == before
    plain, checkpointed = used
    assert checkpointed < 1.2 * size  # an array takes up to an eighth more
    assert plain > 1.5 * size
