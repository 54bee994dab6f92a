"""Parameter: a leaf that can be assigned."""

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
)

# -- Parameter -------------------------------------------------------------------------


def test_a_parameter_is_a_leaf_tensor_that_requires_grad():
    p = nn.Parameter([1.0, 2.0])
    assert isinstance(p, mg.Tensor)
    assert p.requires_grad and p.is_leaf and p.dtype == mg.float32
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert nn.Parameter([1.0], mg.float64).dtype == mg.float64
    assert not isinstance(p * 2, nn.Parameter)
    assert not isinstance(p.detach(), nn.Parameter)
    assert "Parameter" in repr(p)
    with pytest.raises(DTypeError):
        nn.Parameter([1, 2])


@pytest.mark.parametrize(
    "value",
    [
        np.array([3.0, 4.0], np.float32),
        np.array([3.0, 4.0], ">f4"),
        mg.tensor([3.0, 4.0]),
        torch.tensor([3.0, 4.0], requires_grad=True),
        [3.0, 4.0],
        (3, 4),
    ],
    ids=["array", "big-endian", "tensor", "torch", "list", "ints"],
)
def test_assign_takes_what_numpy_reads(value):
    p = nn.Parameter([1.0, 2.0])
    p.assign(value)
    assert p.tolist() == [3.0, 4.0]
    assert p.dtype == mg.float32 and p.dtype.isnative
    assert p.requires_grad and p.is_leaf


def test_assign_copies_and_leaves_old_values_and_graphs_alone():
    p = nn.Parameter(np.array([1.0, 2.0]))
    before, loss = p.detach(), (p * p).sum()
    array = np.array([5.0, 6.0])
    p.assign(array)
    array[:] = 0
    assert p.tolist() == [5.0, 6.0]
    assert before.tolist() == [1.0, 2.0]
    assert not p.detach().numpy().flags.writeable
    loss.backward()
    assert p.grad.tolist() == [2.0, 4.0]


def test_assigning_what_was_computed_from_it_takes_the_value_only():
    p = nn.Parameter(np.array([2.0]))
    p.assign(p * p)
    assert p.tolist() == [4.0] and p.is_leaf
    (p * 3).sum().backward()
    assert p.grad.tolist() == [3.0]


@pytest.mark.parametrize(
    "value, error, match",
    [
        (np.zeros(3, np.float32), ShapeError, r"\(2,\), got \(3,\)"),
        (np.float32(0), ShapeError, r"got \(\)"),
        (np.zeros((2, 1), np.float32), ShapeError, r"got \(2, 1\)"),
        (np.zeros(2), DTypeError, "float32, got float64"),
        (np.zeros(2, np.int64), DTypeError, "got int64"),
        (mg.zeros(2, dtype=mg.float64), DTypeError, "got float64"),
        ([1j, 2.0], DTypeError, "got complex128"),
        (["a", "b"], DTypeError, "got <U1"),
        ([None, 1.0], DTypeError, "got object"),
        ([[1.0], 2.0], ArgumentError, "expected an array"),
        (torch.zeros(2, dtype=torch.bfloat16), ArgumentError, "expected an array"),
    ],
)
def test_assign_refuses_what_does_not_fit(value, error, match):
    p = nn.Parameter([1.0, 2.0])
    with pytest.raises(error, match=match):
        p.assign(value)
    assert p.tolist() == [1.0, 2.0]


def test_what_is_too_large_for_float32_is_infinite_without_a_warning():
    weight = nn.Parameter([1.0, 2.0])
    weight.assign([1e300, 1.0])
    assert weight.tolist() == [np.inf, 1.0]
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.array([[1e300, 1.0]]), "bias": np.zeros(1)})
    assert layer.weight.tolist() == [[np.inf, 1.0]]
