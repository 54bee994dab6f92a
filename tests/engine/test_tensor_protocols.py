"""Tensor as Python, numpy, pickle and PyTorch meet it."""

import copy
import operator
import pickle

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    GraphError,
    IndexRangeError,
    ShapeError,
)

# -- what it is ------------------------------------------------------------------------


def test_attributes():
    x = mg.ones(2, 3)
    assert (x.shape, x.ndim, x.dim(), x.numel()) == ((2, 3), 2, 2, 6)
    assert (x.size(), x.size(0), x.size(-1)) == ((2, 3), 2, 3)
    assert x.T.shape == x.mT.shape == (3, 2)
    assert mg.ones(2, 3, 4).T.shape == (4, 3, 2)
    assert mg.ones(2, 3, 4).mT.shape == (2, 4, 3)
    assert mg.tensor(1.0).T.shape == ()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mg.ones(2).size(1), IndexRangeError, "dim 1 is out of range"),
        (lambda: mg.tensor(1.0).size(0), ShapeError, "no dimensions"),
        (lambda: mg.ones(2).size("a"), DTypeError, "must be an int"),
        (lambda: mg.ones(2).mT, IndexRangeError, "dim -2 is out of range"),
        (lambda: mg.ones(2).item(), ArgumentError, "one element"),
        (lambda: bool(mg.ones(2)), ArgumentError, "one element"),
        (lambda: bool(mg.ones(0)), ArgumentError, "one element"),
        (lambda: float(mg.ones(2)), ArgumentError, "one element"),
        (lambda: int(mg.ones(2)), ArgumentError, "one element"),
        (lambda: range(mg.tensor(1.0)), DTypeError, "only int64"),
        (lambda: len(mg.tensor(1.0)), DTypeError, "no dimensions"),
        (lambda: iter(mg.tensor(1.0)), DTypeError, "no dimensions"),
        (lambda: mg.ones(2).view(3), ShapeError, "cannot reshape"),
        (lambda: mg.ones(2).no_such_thing, AttributeError, "no_such_thing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_questions_without_an_answer(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_numbers_out_of_a_tensor():
    assert mg.tensor([[2.5]]).item() == 2.5
    assert type(mg.tensor(2).item()) is int and type(mg.tensor(True).item()) is bool
    assert (float(mg.tensor([2.5])), int(mg.tensor(2.5)), bool(mg.tensor(0.0))) == (
        2.5,
        2,
        False,
    )
    assert list(range(mg.tensor(2))) == [0, 1]
    assert mg.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


def test_iteration_goes_over_the_first_dim_and_is_differentiable():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    assert len(x) == 2
    (first * 2 + second).sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]
    assert list(mg.zeros(0, 3, requires_grad=True)) == []


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: mg.tensor(1.5), "tensor(1.5)"),
        (lambda: mg.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: mg.tensor([1, 2]), "tensor([1, 2])"),
        (lambda: mg.tensor([True]), "tensor([ True])"),
        (lambda: mg.zeros(0, 2), "tensor([], dtype=float32)"),
        (lambda: mg.ones(1, dtype=mg.float64), "tensor([1.], dtype=float64)"),
        (lambda: mg.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: mg.ones(1, requires_grad=True) * 2, "tensor([2.], grad_fn=mul)"),
        (lambda: mg.ones(2, 2), "tensor([[1., 1.],\n        [1., 1.]])"),
        (
            lambda: nn.Parameter([1.0]),
            "Parameter containing:\ntensor([1.], requires_grad=True)",
        ),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_what_has_no_dims_is_formatted_as_its_number():
    loss = mg.tensor(1.25, requires_grad=True)
    assert f"{loss:.1f} {loss} {mg.tensor(7):04d}" == "1.2 1.25 0007"
    assert f"{mg.ones(1)}" == "tensor([1.])"
    with pytest.raises(TypeError, match="format"):
        f"{mg.ones(2):.2f}"


def test_a_tensor_is_a_key_and_is_compared_by_element():
    x, y = mg.ones(2), mg.ones(2)
    assert {x: 1}[x] == 1 and y not in {x: 1}
    assert (x == y).tolist() == [True, True]
    assert operator.eq(x, None) is False and operator.ne(x, "text") is True


# -- numpy -----------------------------------------------------------------------------


def test_numpy_shares_the_values():
    x = mg.ones(2)
    assert np.shares_memory(x.numpy(), x.numpy())
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.array(x) is not x.numpy() and np.array(x).flags.writeable
    assert np.asarray(x, np.float64).dtype == np.float64


@pytest.mark.parametrize(
    "read", [mg.Tensor.numpy, np.asarray], ids=["numpy", "asarray"]
)
def test_numpy_of_what_is_trained_raises(read):
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match=r"detach\(\)\.numpy\(\)"):
        read(x)
    assert x.detach().numpy().tolist() == [1.0, 1.0]


# -- copies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize(
    "x",
    [
        mg.tensor([1.0, 2.0]),
        mg.tensor([[1.0], [2.0]], mg.float64, requires_grad=True).requires_grad_(),
        mg.tensor([1, 2]),
        mg.tensor(True),
        mg.zeros(0, 3),
        mg.tensor([[1.0, 2.0]]).T,
        nn.Parameter([1.0, 2.0]),
        nn.Parameter([1.0, 2.0], requires_grad=False),
    ],
    ids=repr,
)
def test_a_leaf_is_copied_with_all_that_it_is(x, again):
    y = again(x)
    assert y is not x and type(y) is type(x)
    assert (y.dtype, y.shape, y.requires_grad) == (x.dtype, x.shape, x.requires_grad)
    assert np.array_equal(y.detach().numpy(), x.detach().numpy())
    assert not np.shares_memory(y.detach().numpy(), x.detach().numpy())


def test_a_copy_is_trained_by_itself():
    p = nn.Parameter([1.0])
    q = copy.deepcopy(p)
    (q * 3).sum().backward()
    q.assign([5.0])
    assert p.grad is None and p.tolist() == [1.0]


def test_what_is_shared_stays_shared():
    p = nn.Parameter([1.0])
    for first, second in (copy.deepcopy([p, p]), pickle.loads(pickle.dumps((p, p)))):
        assert first is second is not p


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_output_with_a_history_is_not_copied(again):
    with pytest.raises(GraphError, match="detach"):
        again(mg.ones(2, requires_grad=True) * 2)


@pytest.mark.parametrize("name", ["tanh", "softmax", "cat", "mean"])
def test_an_op_is_copied_as_a_function_is(name):
    op = getattr(mg, name)
    assert copy.deepcopy(op) is op
    assert pickle.loads(pickle.dumps(op)) is op


# -- PyTorch ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_copies_from_a_tensor(dtype):
    target = torch.zeros(2, dtype=getattr(torch, dtype))
    source = mg.tensor([1.0, 2.5])
    target.copy_(source)
    assert target.tolist() == [1.0, 2.5]
    target[0] = 7.0
    assert source.tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    "call",
    [
        lambda t, x: torch.add(t, x),
        lambda t, x: t + x,
        lambda t, x: x + t,
        lambda t, x: torch.tanh(x),
        lambda t, x: x.copy_(t),
    ],
    ids=["torch.add", "torch on the left", "torch on the right", "tanh", "into ours"],
)
def test_torch_does_nothing_else_with_it(call):
    from minigrad.op import HANDLERS

    handler = HANDLERS.pop(torch.Tensor, None)
    try:
        with pytest.raises((TypeError, AttributeError)):
            call(torch.ones(2), mg.ones(2))
    finally:
        if handler:
            HANDLERS[torch.Tensor] = handler


class Other:
    """A type of somebody else's, which knows what to do with a tensor."""

    def __radd__(self, other):
        return "other + tensor"

    def __eq__(self, other):
        return "equal"

    __hash__ = None


def test_another_type_gets_its_turn():
    assert mg.ones(2) + Other() == "other + tensor"
    assert (mg.ones(2) == Other()) == "equal"


@pytest.mark.parametrize("operate", [operator.add, operator.matmul, operator.lt])
def test_a_type_that_nobody_knows_is_a_type_error(operate):
    with pytest.raises(TypeError):
        operate(mg.ones(2), object())


@pytest.mark.parametrize(
    "read", [mg.Tensor.numpy, np.asarray], ids=["numpy", "asarray"]
)
def test_what_numpy_gives_cannot_change_the_tensor(read):
    parameter = nn.Parameter(np.ones(6, np.float32))
    array = read(parameter.detach())
    array.shape = (2, 3)
    assert parameter.shape == (6,)
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_a_class_that_forgets_the_init_of_its_base_crashes_nothing():
    class Forgetful(mg.Tensor):
        def __init__(self, *values):
            pass

    x = Forgetful(1.0)
    assert x.shape == (0,) and x.dtype == mg.float32 and (x + 1).shape == (0,)


# -- dtypes ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
@pytest.mark.parametrize("cast", ["to", "by name"])
def test_a_leaf_of_the_dtype_is_that_leaf(dtype, cast):
    """As in torch: what is made of it gives its gradient to the tensor at hand."""
    x = mg.tensor([1.0, 2.0], dtype, requires_grad=True)
    names = {mg.float32: "float", mg.float64: "double"}
    y = x.to(dtype) if cast == "to" else getattr(x, names[dtype])()
    (y * y).sum().backward()
    assert y is x
    assert y.grad.tolist() == [2.0, 4.0]
    with mg.no_grad():
        assert x.to(dtype).requires_grad
    assert mg.tensor([1, 2]).to("int64").dtype == np.int64
