"""Ops at the edges: saturation, infinities and NaN, no elements, and nonsense."""

import itertools

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad.errors import DTypeError, MinigradError
from minigrad.op import OPS

SPECIAL = [0.0, -0.0, 1.0, 100.0, -100.0, np.inf, -np.inf, np.nan, 1e-30, -1e30]
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def outputs_of(result):
    return list(result) if isinstance(result, tuple) else [result]


def two_orders(ys, leaves):
    """The gradients of the sum of ys, and the gradients of their sum."""
    found = []
    for _ in range(2):
        ys = [y for y in ys if y.requires_grad]
        if not ys:
            break
        ones = [mg.ones_like(y) for y in ys]
        slopes = mg.grad(ys, leaves, ones, create_graph=True, allow_unused=True)
        ys = [g for g in slopes if g is not None]
        found += ys
    return found


# -- no warning, anywhere --------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("start", range(3))
@pytest.mark.parametrize(
    ("op", "sample"),
    [
        pytest.param(op, s, id=f"{name}-{number}")
        for name, op in OPS.items()
        for number, s in enumerate(op.samples)
    ],
)
def test_special_values_give_no_warning_and_keep_the_dtype(op, sample, start, dtype):
    values, leaves = itertools.cycle(SPECIAL[start:] + SPECIAL), []

    def special(value):
        if isinstance(value, list):
            return list(map(special, value))
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        drawn = np.array([next(values) for _ in range(value.size)], dtype)
        leaves.append(mg.tensor(drawn.reshape(value.shape), requires_grad=True))
        return leaves[-1]

    args, kwargs = sample.make(np.random.default_rng(0), dtype)
    named = {name: special(value) for name, value in kwargs.items()}
    ys = outputs_of(op.run(*map(special, args), **named))
    assert all(g.dtype == dtype for g in two_orders(ys, leaves))


@each_dtype
@pytest.mark.parametrize(
    "function",
    [
        mg.sigmoid,
        mg.tanh,
        mg.relu,
        lambda x: mg.softmax(x, -1),
        lambda x: mg.logsumexp(x, -1),
        lambda x: mg.log_softmax(x, -1),
        lambda x: mg.cross_entropy(x, np.array([0, 0])),
        lambda x: mg.cross_entropy(x, np.array([1, 1]), label_smoothing=0.1),
    ],
    ids=[
        "sigmoid",
        "tanh",
        "relu",
        "softmax",
        "logsumexp",
        "log_softmax",
        "cross_entropy",
        "cross_entropy, smoothed",
    ],
)
def test_at_a_hundred_values_and_slopes_are_finite(function, dtype):
    x = mg.tensor(np.array([[100, -100], [-100, 100]], dtype), requires_grad=True)
    y = function(x)
    for tensor in (y, *two_orders([y], [x])):
        assert np.all(np.isfinite(tensor.detach().numpy()))


def test_numpy_says_of_other_peoples_sums_what_it_did_before():
    x = mg.zeros(2, requires_grad=True)
    with np.errstate(all="raise"):
        (x.log() - x.log()).sum().backward()
        mg.tensor([1e300])
        with pytest.raises(MinigradError):
            x + mg.ones(3)
        with pytest.raises(FloatingPointError):
            np.divide(np.ones(1), 0)


def test_a_mask_hides_a_nan_in_the_value_and_the_gradient():
    x = mg.tensor([1.0, np.nan, -np.inf], requires_grad=True)
    y = (mg.where(np.array([True, False, False]), x, 0.0) ** 2).sum()
    y.backward()
    assert y.item() == 1.0 and x.grad.tolist() == [2.0, 0.0, 0.0]


# -- no elements -----------------------------------------------------------------------

NONE, ONE = np.zeros(0, np.int64), np.ones(1, np.int64)
EMPTY = {
    "add": (lambda x, y: x + y, [(0, 3), (3,)], (0, 3)),
    "div by a scalar": (lambda x, y: x / (1 + y * y), [(2, 0), ()], (2, 0)),
    "exp": (mg.exp, [(0,)], (0,)),
    "sigmoid": (mg.sigmoid, [(0, 2)], (0, 2)),
    "where": (lambda x, y: mg.where(x > 0, x, y), [(0,), (1,)], (0,)),
    "sum": (mg.sum, [(0, 3)], ()),
    "sum over none": (lambda x: x.sum(0), [(0, 3)], (3,)),
    "sum beside none": (lambda x: x.sum(1), [(0, 3)], (0,)),
    "amax beside none": (lambda x: x.amax(1), [(0, 3)], (0,)),
    "max beside none": (lambda x: x.max(1).values, [(0, 3)], (0,)),
    "softmax": (lambda x: x.softmax(-1), [(0, 3)], (0, 3)),
    "softmax over none": (lambda x: x.softmax(-1), [(3, 0)], (3, 0)),
    "log_softmax": (lambda x: x.log_softmax(-1), [(0, 3)], (0, 3)),
    "logsumexp": (lambda x: x.logsumexp(1), [(0, 3)], (0,)),
    "no rows @": (mg.matmul, [(0, 4), (4, 5)], (0, 5)),
    "@ no columns": (mg.matmul, [(3, 4), (4, 0)], (3, 0)),
    "nothing inside": (mg.matmul, [(3, 0), (0, 5)], (3, 5)),
    "nothing inside, batched": (mg.matmul, [(2, 3, 0), (0, 5)], (2, 3, 5)),
    "no batch": (mg.matmul, [(0, 3, 4), (4, 5)], (0, 3, 5)),
    "no columns, batched": (mg.matmul, [(2, 3, 4), (4, 0)], (2, 3, 0)),
    "batches of nothing": (mg.matmul, [(2, 3, 0), (2, 0, 5)], (2, 3, 5)),
    "dot": (mg.matmul, [(0,), (0,)], ()),
    "reshape": (lambda x: x.reshape(3, 0), [(0, 2)], (3, 0)),
    "permute": (lambda x: x.permute(1, 0), [(0, 2)], (2, 0)),
    "expand": (lambda x: x.expand(0, 3), [(1, 3)], (0, 3)),
    "flip": (lambda x: x.flip(0), [(0, 2)], (0, 2)),
    "cat": (lambda x, y: mg.cat([x, y]), [(0, 2), (1, 2)], (1, 2)),
    "stack": (lambda x, y: mg.stack([x, y]), [(0,), (0,)], (2, 0)),
    "split": (lambda x: x.split([0, 2])[0], [(2, 3)], (0, 3)),
    "getitem": (lambda x: x[1:1], [(2, 3)], (0, 3)),
    "getitem of no rows": (lambda x: x[NONE], [(2, 3)], (0, 3)),
    "gather": (lambda x: x.gather(0, NONE), [(3,)], (0,)),
    "scatter_add": (lambda x, y: x.scatter_add(0, NONE, y), [(3,), (0,)], (3,)),
    "embedding of none": (lambda x: mg.embedding(NONE, x), [(3, 2)], (0, 2)),
    "embedding without size": (lambda x: mg.embedding(ONE, x), [(3, 0)], (1, 0)),
    "mse_loss": (lambda x, y: mg.mse_loss(x, y, "sum"), [(0,), (0,)], ()),
    "nll_loss": (lambda x: mg.nll_loss(x, NONE, reduction="sum"), [(0, 3)], ()),
}


@pytest.mark.parametrize("name", EMPTY)
def test_no_elements(name):
    function, shapes, expected = EMPTY[name]
    leaves = [
        mg.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
        for shape in map(tuple, shapes)
    ]
    assert function(*leaves).shape == expected
    assert mg.gradcheck(function, leaves)
    assert mg.gradgradcheck(function, leaves)


def test_the_mean_of_nothing_is_nan_and_nothing_has_no_pieces():
    x = mg.zeros(0, 3, requires_grad=True)
    assert np.isnan(x.mean().item()) and np.isnan(mg.mse_loss(x, x).item())
    assert mg.unbind(x) == () and list(x) == []
    assert mg.logsumexp(x, 0).tolist() == [-np.inf] * 3


@pytest.mark.parametrize("reduce", [mg.amax, mg.amin, mg.argmax, mg.argmin, mg.max])
def test_nothing_has_no_extreme(reduce):
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        reduce(mg.zeros(0, 3))


# -- nonsense --------------------------------------------------------------------------

NONSENSE = {
    "None": None,
    "text": "text",
    "a float": 1.5,
    "a large int": 2**70,
    "minus 99": -99,
    "NaN": np.nan,
    "a complex": 1j,
    "an object": object(),
    "an empty tuple": (),
    "a tuple of text": ("a", "b"),
    "a nested list": [[1], [2]],
    "a dict": {},
    "a type": int,
    "an object array": np.array([None]),
    "a text array": np.array(["a"]),
    "a bool array": np.array([True]),
    "a float16 array": np.ones(2, np.float16),
    "a scalar tensor": mg.tensor(0.5),
    "an empty tensor": mg.zeros(0, 3),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("name", OPS)
def test_nonsense_is_refused_by_name_or_has_a_meaning(name, nonsense):
    """No AttributeError, no numpy message, no crash: neither forward nor backward."""
    args, kwargs = OPS[name].samples[0].make(np.random.default_rng(0), np.float32)
    tensors = [
        mg.tensor(a, requires_grad=a.dtype.kind == "f")
        if isinstance(a, np.ndarray)
        else a
        for a in args
    ]
    for place, parameter in enumerate(OPS[name].params):
        if place < len(args):
            call = [*tensors[:place], NONSENSE[nonsense], *tensors[place + 1 :]], kwargs
        else:
            call = tensors, {**kwargs, parameter: NONSENSE[nonsense]}
        try:
            ys = outputs_of(OPS[name].run(*call[0], **call[1]))
            for y in ys:
                assert isinstance(y, mg.Tensor)
                if y.requires_grad:
                    y.backward(mg.ones_like(y), retain_graph=True)
        except MinigradError:
            pass


def test_hardsigmoid_slopes_up_to_the_number_next_to_its_kink():
    # The sum of that number and 3 is 6.
    last = np.nextafter(np.float32(3), np.float32(0))
    x = mg.tensor(np.array([-3, -last, last, 3], np.float32), requires_grad=True)
    (slope,) = mg.grad(mg.hardsigmoid(x).sum(), x)
    assert (slope > 0).tolist() == [False, True, True, False]


def test_a_loss_of_one_logit_has_a_gradient():
    x = mg.tensor(0.5, mg.float64, requires_grad=True)
    loss = mg.binary_cross_entropy_with_logits(x, mg.tensor(1.0, mg.float64))
    (g,) = mg.grad(loss, x)
    assert relative_error(g, 1 / (1 + np.exp(-0.5)) - 1) <= FLOAT64_RTOL


@each_dtype
@pytest.mark.parametrize("n", [3, 40])
def test_clamp_ends_at_the_high_end_and_is_nan_where_an_end_is(dtype, n):
    x = np.linspace(-1, 3, n).astype(dtype)
    x[1] = np.nan
    for low, high in ((2.0, 1.0), (0.0, 1.0), (np.nan, 1.0), (0.0, np.nan)):
        expected = torch.tensor(x).clamp(low, high).numpy()
        found = mg.tensor(x).clamp(low, high).numpy()
        assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("scale", [1e25, 1e-30, 1.0])
@pytest.mark.parametrize("dim", [None, 1])
def test_std_of_numbers_whose_squares_float32_has_not(scale, dim):
    def run(x, std):
        y = std(x, dim)
        y.sum().backward()
        return np.asarray(y.detach()), np.asarray(x.grad)

    x = np.float32([[1, 2, 4], [3, 1, 1]]) * np.float32(scale)
    ours = run(mg.tensor(x, requires_grad=True), mg.std)
    theirs = run(torch.tensor(x, requires_grad=True), torch.std)
    wide = torch.tensor(x.astype(np.float64), requires_grad=True)
    for y, z, truth in zip(ours, theirs, run(wide, torch.std), strict=True):
        assert y.dtype == np.float32
        assert relative_error(y, truth) <= float32_limit(relative_error(z, truth))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x.sum((0, 0, 2)), "more than once"),
        (lambda x: x.mean((0, -3)), "more than once"),
        (lambda x: x.amax((1, 1)), "more than once"),
        (lambda x: x.logsumexp((0, 0)), "more than once"),
        (lambda x: x[0, 0, 0].sum(5), "out of range"),
        (lambda x: mg.softmax(x[0, 0, 0], 4), "out of range"),
        (lambda x: x[0, 0, 0].amax(2), "out of range"),
        (lambda x: mg.cumsum(x, (0, 1)), "must be an int"),
        (lambda x: mg.softmax(x, (0, 1)), "must be an int"),
        (lambda x: mg.log_softmax(x, (0, 1)), "must be an int"),
    ],
)
def test_dims_that_are_none_are_refused(call, message):
    with pytest.raises(MinigradError, match=message):
        call(mg.ones(2, 3, 4))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_nan_lets_the_gradient_of_an_extreme_of_two_pass_as_in_torch(name):
    pair = [np.array(v) for v in ([np.nan, 1.0, np.nan, 1.0], [1.0, np.nan, np.nan, 2])]

    def run(library, leaves):
        getattr(library, name)(*leaves).sum().backward()
        return np.array([np.asarray(leaf.grad) for leaf in leaves])

    ours = run(mg, [mg.tensor(v, requires_grad=True) for v in pair])
    theirs = run(torch, [torch.tensor(v, requires_grad=True) for v in pair])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["amax", "amin"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_the_gradient_of_an_extreme_that_is_nan_is_nan_as_in_torch(name, keepdim):
    x = np.array([[1.0, np.nan, 3.0], [3.0, 1.0, 3.0]])

    def run(library):
        leaf = library.tensor(x, requires_grad=True)
        getattr(library, name)(leaf, 1, keepdim).sum().backward()
        return np.asarray(leaf.grad)

    np.testing.assert_array_equal(run(mg), run(torch))


def test_a_flip_along_no_dim_is_none():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert mg.flip(x, []).tolist() == x.tolist()
    y = mg.flip(x, ())
    (y * mg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert y.tolist() == x.tolist() == x.grad.tolist()


def test_chunks_of_nothing_are_as_many_as_asked_for():
    x = mg.ones(2, 0)
    ours = [piece.shape for piece in mg.chunk(x, 4, 1)]
    assert ours == [tuple(p.shape) for p in torch.chunk(torch.ones(2, 0), 4, 1)]
    assert len(mg.chunk(x.to("int64"), 3, -1)) == 3


def test_the_sign_of_bools_is_themselves_as_in_torch():
    x = [True, False]
    assert mg.sign(mg.tensor(x)).tolist() == torch.sign(torch.tensor(x)).tolist() == x


def test_rand_never_gives_1():
    class Almost(np.random.Generator):
        def random(self, shape):
            return np.full(shape, 1 - 2.0**-53)

    assert mg.rand(3, generator=Almost(np.random.PCG64())).numpy().max() < 1


@pytest.mark.parametrize("name", ["cat", "stack"])
def test_a_dim_to_join_along_is_no_array(name):
    x = mg.ones(2, 2)
    with pytest.raises(DTypeError, match="a dim must be an int, not array"):
        getattr(mg, name)([x, x], np.array(0))
