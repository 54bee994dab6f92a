"""What a user of PyTorch tries first: it is there, and does what it does there."""

import itertools
import math

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT32_FLOOR, relative_error
from conformance.reference.twins import find_twin, to_torch
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from minigrad.op import OPS

F32, F64, I64, BOOL = mg.float32, mg.float64, mg.int64, mg.bool


# -- clone -----------------------------------------------------------------------------


def test_a_clone_is_a_tensor_of_its_own_that_gradients_flow_through():
    p = nn.Parameter([1.0, 2.0])
    copy = p.clone()
    assert copy is not p and type(copy) is mg.Tensor and not copy.is_leaf
    (copy * copy).sum().backward()
    assert p.grad.tolist() == [2.0, 4.0] and copy.grad is None
    p.assign([5.0, 6.0])
    assert copy.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [F32, F64, I64, BOOL], ids=str)
def test_a_clone_has_the_dtype_and_no_history_if_there_is_none(dtype):
    x = mg.ones(2, 3, dtype=dtype)
    assert mg.clone(x).dtype == dtype and mg.clone(x).tolist() == x.tolist()
    assert mg.clone(x).is_leaf and mg.clone(np.ones(2)).dtype == F64


def test_a_step_with_a_clone_is_fused():
    (found,) = mg.explain(
        lambda h, x: (h.clone() + x, h), mg.ones(2, 3), mg.ones(5, 2, 3)
    )
    assert found.reason is None


# -- flatten ---------------------------------------------------------------------------

ENDS = [*range(-4, 4)]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 0, 3)], ids=str)
def test_flatten_takes_and_refuses_the_dims_that_torch_does(shape):
    ours, theirs = mg.ones(*shape), torch.ones(shape)
    assert ours.flatten().shape == tuple(theirs.flatten().shape)
    for start, end in itertools.product(ENDS, ENDS):
        try:
            expected = torch.flatten(theirs, start, end)
        except (RuntimeError, IndexError) as error:
            ours_error = ArgumentError if "start_dim" in str(error) else IndexRangeError
            with pytest.raises(ours_error, match="flatten"):
                ours.flatten(start, end)
        else:
            found = mg.flatten(ours, start_dim=start, end_dim=end)
            assert found.shape == tuple(expected.shape)


def test_flatten_says_what_is_wrong_with_its_dims():
    with pytest.raises(ArgumentError, match="start_dim 2 can't come after end_dim 0"):
        mg.ones(2, 3, 4).flatten(2, 0)
    with pytest.raises(IndexRangeError, match=r"dim 3 is out of range: -3\.\.2"):
        mg.ones(2, 3, 4).flatten(0, 3)
    with pytest.raises(DTypeError, match="must be an int, not '0'"):
        mg.ones(2, 3).flatten("0")


# -- names of arguments ----------------------------------------------------------------

ALONG = [
    *("sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "max", "min", "var"),
    *("std", "cumsum", "logsumexp", "softmax", "log_softmax", "unbind", "squeeze"),
    "unsqueeze",
]
KEEPING = [*ALONG[: ALONG.index("cumsum")], "logsumexp"]


def shapes(result):
    return [tuple(y.shape) for y in (result if isinstance(result, tuple) else [result])]


@pytest.mark.parametrize("name", ALONG)
def test_axis_is_dim(name):
    x, y = mg.ones(2, 3), torch.ones(2, 3)
    expected = shapes(getattr(torch, name)(y, axis=1))
    for found in (getattr(mg, name)(x, axis=1), getattr(x, name)(axis=1)):
        assert shapes(found) == expected == shapes(getattr(mg, name)(x, dim=1))


@pytest.mark.parametrize("name", KEEPING)
def test_keepdims_is_keepdim(name):
    x, y = mg.ones(2, 3), torch.ones(2, 3)
    expected = shapes(getattr(torch, name)(y, axis=1, keepdims=True))
    assert shapes(getattr(x, name)(axis=1, keepdims=True)) == expected
    assert shapes(getattr(x, name)(1, keepdims=True)) == expected


def test_other_names_are_known_wherever_the_argument_is():
    x, index = mg.ones(2, 3), mg.zeros(2, 1, dtype=I64)
    assert mg.cat([x, x], axis=1).shape == mg.chunk(mg.ones(2, 12), 2, axis=1)[0].shape
    assert mg.stack([x, x], axis=-1).shape == (2, 3, 2)
    assert mg.gather(input=x, axis=1, index=index).shape == (2, 1)
    assert mg.norm(x, axis=1, keepdims=True).shape == (2, 1)
    assert mg.sub(input=x, other=2 * x).tolist() == (-x).tolist()
    assert x.maximum(other=np.float32([[2.0]])).tolist() == (2 * x).tolist()
    assert mg.flatten(input=x).shape == (6,) and mg.silu(input=x).shape == (2, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, lib: x.reshape(shape=(3, 2)),
        lambda x, lib: lib.reshape(input=x, shape=(3, 2)),
        lambda x, lib: x.view(size=(3, 2)),
        lambda x, lib: x.permute(dims=(1, 0)),
        lambda x, lib: x.expand(size=(4, 2, 3)),
        lambda x, lib: x.flip(dims=(0, 1)),
        lambda x, lib: x.transpose(dim0=0, dim1=1),
        lambda x, lib: x.pow(exponent=2),
        lambda x, lib: x.split(split_size=1, dim=1),
        lambda x, lib: lib.split(tensor=x, split_size_or_sections=1),
        lambda x, lib: x.flatten(start_dim=0, end_dim=1),
        lambda x, lib: x.size(dim=1) * x,
        lambda x, lib: lib.zeros(size=(2, 3)) + lib.ones(size=[2, 3]),
        lambda x, lib: 0 * (lib.rand(size=(2,)).sum() + lib.randn(size=()).sum()),
        lambda x, lib: lib.full(size=(2,), fill_value=0.5),
        lambda x, lib: lib.full((2,), 3),
        lambda x, lib: lib.full((2,), True),
    ],
)
def test_arguments_have_their_names(call):
    ours = call(mg.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]), mg)
    theirs = call(torch.arange(6.0).reshape(2, 3), torch)
    pairs = zip(ours, theirs, strict=True) if type(ours) is tuple else [(ours, theirs)]
    for x, y in pairs:
        assert x.tolist() == y.tolist()
        assert str(x.dtype) == str(y.dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda x: x.reshape(6, shape=(6,)), "multiple values for argument 'shape'"),
        (
            lambda x: x.permute(1, 0, dims=(1, 0)),
            "multiple values.*'dims'",
        ),
        (lambda x: x.flip(axes=0), "flip: missing a required argument: 'dims'"),
        (lambda x: x.expand((4, 2, 3), shape=1), "expand: got an unexpected.*'shape'"),
        (
            lambda x: mg.zeros(2, size=(2,)),
            r"size is given twice, as \(2,\) and",
        ),
        (lambda x: x.sum(dim=1, axis=1), "sum: of dim and axis two are one; give one"),
        (lambda x: x.mean(axis=1, dim=1), "mean: of axis and dim two are one"),
        (lambda x: x.sum(1, axis=1), "multiple values for argument 'dim'"),
        (lambda x: x.cumsum(1, keepdims=True), "cumsum: got an unexpected.*keepdims"),
        (lambda x: x.tanh(axis=1), "tanh: got an unexpected.*'axis'; it is tanh"),
        (lambda x: mg.silu(x=x), "silu: missing a required argument: 'input'"),
    ],
)
def test_an_argument_has_one_name_at_a_time(call, match):
    with pytest.raises(ArgumentError, match=match):
        call(mg.ones(2, 3))


# -- integers and bools ----------------------------------------------------------------

WHOLE = {
    "bools": np.array([[True, False, True], [False, False, True]]),
    "integers": np.array([[2, 0, -3], [1, 5, -1]]),
}
ONE = [n for n, op in OPS.items() if op.positions == (0,) and op.n_needed == 1]
TWO = [n for n, op in OPS.items() if op.elementwise and len(op.positions) == 2]
PARAMS = {
    "clamp": [{"min": 0}, {"max": 1, "min": 2}, {"min": 0.5}, {"max": 1}],
    "hardtanh": [{"min_val": -2.9, "max_val": 1.5}, {"min_val": 1, "max_val": 1}],
    "dropout": [{"training": False}, {"p": 0.0}, {"p": 1.0}],
}


def check_alike(name, *args, **params):
    """The op's dtype and values are its twin's, if that has any."""
    try:
        twin = find_twin(OPS[name])
        expected = twin(*map(to_torch, args), **params)
    except (LookupError, RuntimeError, TypeError, NotImplementedError):
        return
    found = OPS[name].run(*map(operand, args), **params)
    pairs = [(found, expected)]
    if isinstance(found, tuple):
        pairs = list(zip(found, expected, strict=True))
    for ours, theirs in pairs:
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
        assert relative_error(ours.numpy(), theirs.numpy()) <= FLOAT32_FLOOR


def operand(value):
    return mg.tensor(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("name", ONE)
def test_a_function_of_whole_numbers_has_torchs_dtype(name, kind):
    for params in PARAMS.get(name, [{}]):
        check_alike(name, WHOLE[kind], **params)
        check_alike(name, WHOLE[kind][0, :1].reshape(()), **params)


OTHERS = [*WHOLE.values(), np.float32([[0.5], [2.0]]), True, 2, 2.5]


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("name", TWO)
def test_operands_of_whole_numbers_have_torchs_dtype(name, kind):
    for other in OTHERS:
        if name == "pow" and not isinstance(other, int | float):
            continue  # PyTorch calls 1 / 2 of integers 0
        if name == "pow" and kind == "bools" and other is True:
            continue  # which PyTorch takes for 1, though it refuses a tensor
        check_alike(name, WHOLE[kind], other)


def test_what_has_no_value_as_a_whole_number_is_refused():
    mask = mg.tensor(WHOLE["bools"])
    for call in (lambda: mask @ mask.T, lambda: mg.einsum("ij,kj->ik", mask, mask)):
        with pytest.raises(DTypeError, match="make one int64"):
            call()
    for dtype in (I64, BOOL):
        with pytest.raises(DTypeError, match="make input a float tensor"):
            mg.dropout(mg.ones(3, dtype=dtype), 0.3)


# -- bounds that leave nothing between them --------------------------------------------

BOUNDS = [None, -np.inf, -1.0, 0, 0.5, 1.0, np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [*itertools.product(BOUNDS, BOUNDS)][1:])
def test_clamp_and_its_gradient_are_torchs(low, high, dtype):
    values = np.array([-np.inf, -2, -1, 0, 0.5, 0.75, 1, 3, np.inf, np.nan], dtype)

    def run(library):
        x = library.tensor(values, requires_grad=True)
        y = library.clamp(x, low, high)
        y.sum().backward()
        return np.asarray(y.detach()), np.asarray(x.grad)

    for ours, theirs in zip(run(mg), run(torch), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_fused_clamp_lets_no_gradient_pass_either():
    x = mg.tensor([[[-0.5, 0.5, 0.0]]], requires_grad=True)
    _, y = mg.scan(lambda h, x: (h, x.clamp(0.5, -0.5)), mg.zeros(1, 3), x)
    y.sum().backward()
    assert y.tolist() == [[[-0.5] * 3]] and x.grad.tolist() == [[[0.0] * 3]]


# -- dims and sizes that are none ------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.var(False),  # PyTorch's unbiased=False, not the dim 0
        lambda x: x.std(True),
        lambda x: x.sum(False),
        lambda x: x.amax((False, True)),
        lambda x: x.softmax(True),
        lambda x: mg.max(x, False),
    ],
)
def test_a_bool_is_no_dim(call):
    with pytest.raises(DTypeError, match=r"an int, not (Tru|Fals)e"):
        call(mg.ones(2, 3))


@pytest.mark.parametrize("shape", [(-2,), (2, -3), (-6, 1)], ids=str)
def test_a_size_below_minus_one_is_refused(shape):
    with pytest.raises(ShapeError, match="one size may be -1, no other below 0"):
        mg.ones(2, 3).reshape(shape)


# -- what is no number, and what is too large for an integer ---------------------------


def test_a_nan_is_not_zero_and_counts_in_the_norm_of_order_zero():
    values = np.array([[np.nan, 0.0, -0.0], [np.inf, 2.0, 0.0]])
    x, t = mg.tensor(values, requires_grad=True), torch.tensor(values)
    expected = torch.norm(t, 0, dim=1)
    assert mg.norm(x, 0, dim=1).tolist() == expected.tolist() == [1.0, 2.0]
    assert mg.norm(x, 0).item() == 3.0
    mg.norm(x, 0).backward()
    assert not x.grad.numpy()[1, 1:].any()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, 2.0**63])
def test_what_no_integer_is_makes_none(value):
    for call in (
        lambda: mg.tensor([0.0, value], dtype=I64),
        lambda: mg.tensor(value, dtype=I64),
        lambda: mg.full((2,), value, dtype=I64),
        lambda: mg.pad(mg.ones(2, dtype=I64), (1, 0), value=value),
    ):
        with pytest.raises(DTypeError, match="is no int64"):
            call()
    assert mg.full((1,), value, dtype=BOOL).tolist() == [True]
    assert mg.tensor([-(2.0**63), 1.7], dtype=I64).tolist() == [-(2**63), 1]
