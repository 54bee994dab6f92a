"""numpy and DLPack: what works on both sides, and what is refused."""

import operator

import numpy as np
import pytest
import torch

import minigrad as mg
import seq
from minigrad.errors import DTypeError, GraphError

OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.matmul,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
VALUES = np.array([1.0, 2.0, 3.0], np.float32)


def trained(values=VALUES):
    return mg.tensor(values, requires_grad=True)


# -- operators -------------------------------------------------------------------------


CALLS = [
    (run, other)
    for run in OPERATORS
    for other in (VALUES[::-1], np.float32(2), np.float64(2), np.int64(2), 2.0)
    if run is not operator.matmul or np.ndim(other)
]


@pytest.mark.parametrize(("run", "other"), CALLS)
def test_an_operator_gives_a_tensor_whatever_stands_on_the_left(run, other):
    for left, right in ((other, trained()), (trained(), other)):
        found = run(left, right)
        plain = [np.asarray(x.detach() if x is not other else x) for x in (left, right)]
        assert type(found) is mg.Tensor and found.dtype in (mg.float32, mg.bool)
        assert np.allclose(found.detach(), run(*plain))


def test_masks_meet_on_both_sides():
    mask, other = mg.tensor([True, False]), np.array([True, True])
    assert (other & mask).tolist() == (mask & other).tolist() == [True, False]
    assert (other | mask).tolist() == [True, True]
    with pytest.raises(DTypeError, match="take bool tensors"):
        np.array([1, 2]) & mg.tensor([1, 2])


@pytest.mark.parametrize("run", [operator.mul, np.multiply])
def test_an_array_times_a_tensor_has_a_gradient(run):
    x = trained()
    run(VALUES, x).sum().backward()
    assert x.grad.tolist() == VALUES.tolist()


def test_two_float_dtypes_do_not_mix():
    with pytest.raises(DTypeError, match="do not mix"):
        VALUES.astype(np.float64) * trained()


# -- numpy's own functions -------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda x: np.exp(x), r"np\.exp .* minigrad\.exp\(\.\.\.\)"),
        (lambda x: np.absolute(x), r"minigrad\.abs"),
        (lambda x: np.maximum(x, 0), r"minigrad\.maximum"),
        (lambda x: np.sum(x), r"np\.sum .* minigrad\.sum"),
        (lambda x: np.concatenate([VALUES, x]), r"minigrad\.cat"),
        (lambda x: np.where(VALUES > 1, x, 0), r"minigrad\.where"),
        (lambda x: np.full_like(VALUES, fill_value=x), r"detach\(\)\.numpy\(\)"),
        (lambda x: np.hypot(x, x), r"use numpy on tensor\.detach"),
        (lambda x: np.add.reduce(x), r"np\.add\.reduce"),
        (lambda x: np.add(VALUES, x, where=VALUES > 1), r"minigrad\.add"),
        (lambda x: operator.iadd(VALUES.copy(), x), r"np\.add .* minigrad\.add"),
        (lambda x: np.exp(VALUES, out=x), "can't be written to"),
    ],
)
def test_numpy_is_refused_where_a_gradient_would_be_lost(call, instead):
    with pytest.raises(GraphError, match=instead):
        call(trained())


def test_numpy_reads_a_tensor_that_nothing_is_asked_of():
    x = mg.tensor(VALUES)
    for found, expected in [
        (np.exp(x), np.exp(VALUES)),
        (np.sum(x, axis=0), VALUES.sum()),
        (np.concatenate([x, VALUES]), np.concatenate([VALUES, VALUES])),
        (np.add.reduce(x), VALUES.sum()),
        (np.add(x, x, dtype=np.float64), VALUES + VALUES),
    ]:
        assert not isinstance(found, mg.Tensor)
        assert np.array_equal(found, expected)


def test_a_shape_can_be_asked_for():
    x = trained()
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((3,), 1, 3)
    assert np.zeros_like(x).tolist() == [0.0, 0.0, 0.0]


def test_a_trace_is_not_looked_into():
    with pytest.raises(GraphError):
        mg.trace(lambda x: x * np.exp(x), mg.tensor(VALUES))


# -- DLPack ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_torch_reads_a_tensor_without_a_copy(dtype):
    x = mg.tensor(np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype))
    for tensor in (x, x.T, x[:, 1:]):
        found = torch.from_dlpack(tensor)
        assert found.data_ptr() == tensor.numpy().ctypes.data
        assert found.tolist() == tensor.tolist()
        assert np.shares_memory(np.from_dlpack(tensor), tensor.numpy())
        assert not np.from_dlpack(tensor).flags.writeable


def test_what_is_trained_is_not_exported():
    with pytest.raises(GraphError, match="detach"):
        torch.from_dlpack(trained())


@pytest.mark.parametrize("source", [torch.arange(6.0).reshape(2, 3).T, VALUES[::2]])
def test_from_dlpack_shares_memory_unless_a_copy_is_asked_for(source):
    shared, copied = mg.from_dlpack(source), mg.from_dlpack(source, copy=True)
    memory = np.from_dlpack(source)
    assert np.shares_memory(shared.numpy(), memory)
    assert not np.shares_memory(copied.numpy(), memory)
    assert not np.shares_memory(mg.Tensor(source).numpy(), memory)
    for x in (shared, copied):
        assert not x.numpy().flags.writeable
        assert (x.requires_grad_() * 2).tolist() == (memory * 2).tolist()


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ([1.0, 2.0], DTypeError, "must have __dlpack__"),
        (torch.ones(2, requires_grad=True), GraphError, r"detach\(\) it"),
        (torch.ones(2, dtype=torch.float16), DTypeError, "not float16"),
        (torch.ones(2, dtype=torch.bfloat16), DTypeError, "from_dlpack"),
        (torch.ones(2, device="meta"), DTypeError, "from_dlpack"),
    ],
)
def test_what_from_dlpack_refuses(source, error, match):
    with pytest.raises(error, match=match):
        mg.from_dlpack(source)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mg.tanh(x),
        lambda x: mg.scan(lambda h, x: (h, x), x, mg.ones(3, 1)),
        lambda x: seq.GRU(1, 1)(x),
    ],
    ids=["an op", "scan", "a layer"],
)
def test_torchs_tensor_is_named_as_torchs(call):
    with pytest.raises(DTypeError, match=r"must be a Tensor.* torch\.Tensor"):
        call(torch.ones(3, 1))
