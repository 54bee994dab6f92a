"""Parameter: a leaf that can be assigned."""

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    GraphError,
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


def test_data_that_would_change_nothing_is_refused():
    p = nn.Parameter([1.0, 2.0])
    with pytest.raises(GraphError, match=r"new ones with assign\(\.\.\.\)"):
        p.data = mg.zeros(2)
    assert p.tolist() == [1.0, 2.0] and not hasattr(p, "data")
    p.decays = False
    assert not p.decays


def test_what_is_too_large_for_float32_is_infinite_without_a_warning():
    weight = nn.Parameter([1.0, 2.0])
    weight.assign([1e300, 1.0])
    assert weight.tolist() == [np.inf, 1.0]
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.array([[1e300, 1.0]]), "bias": np.zeros(1)})
    assert layer.weight.tolist() == [[np.inf, 1.0]]


def test_in_place_arithmetic_on_a_frozen_parameter_is_refused():
    teacher = nn.Parameter([1.0, 2.0], requires_grad=False)
    with pytest.raises(GraphError, match=r"frozen Parameter.*assign\(\) of a Param"):
        teacher *= 0.9
    assert teacher.tolist() == [1.0, 2.0]
    teacher.assign(teacher * 0.5)
    assert teacher.tolist() == [0.5, 1.0]


# -- frozen, as PyTorch freezes --------------------------------------------------------


def both(case):
    """What a case finds with minigrad's parameters, and with PyTorch's."""
    yield case(mg, lambda *values: nn.Parameter(np.array(values)))
    yield case(torch, lambda *values: torch.nn.Parameter(torch.tensor(values).double()))


def listed(grad):
    return None if grad is None else grad.tolist()


def frozen_after_a_pass(lib, parameter):
    p, clipped = parameter(2.0, 3.0), parameter(3.0, 4.0)
    found = []
    for x in (p, clipped):
        (x * x).sum().backward()
        x.requires_grad_(False)
        found.append(listed(x.grad))
    lib.nn.utils.clip_grad_value_([clipped], 1.0)
    found.append(listed(clipped.grad))
    p.requires_grad_(True)
    (p * p).sum().backward()
    return [*found, listed(p.grad)]


def frozen_between_a_loss_and_its_pass(lib, parameter):
    p, q = parameter(2.0, 3.0), parameter(1.0, 1.0)
    loss = (p * p * q).sum()
    p.requires_grad_(False)
    loss.backward(retain_graph=True)
    found = [listed(p.grad), listed(q.grad)]
    p.requires_grad_(True)
    loss.backward()
    return [*found, listed(p.grad), listed(q.grad)]


def a_hook_of_a_frozen_one(lib, parameter):
    p = parameter(2.0, 3.0)
    p.register_hook(lambda g: 10 * g)
    p.requires_grad_(False)
    p.requires_grad_(True)
    (p * p).sum().backward()
    return listed(p.grad)


def two_that_play_against_each_other(lib, parameter):
    judge, forger = parameter(1.0, 2.0), parameter(0.5, 0.5)
    steps = lib.optim.SGD([judge], lr=0.5)
    loss = (judge * 3).sum()
    judge.requires_grad_(False)
    (forger * judge).sum().backward()
    judge.requires_grad_(True)
    loss.backward()
    steps.step()
    return judge.tolist(), listed(forger.grad)


def cleared_while_frozen(lib, parameter):
    p, q = parameter(2.0, 3.0), parameter(1.0, 1.0)
    steps = lib.optim.SGD([p, q], lr=0.5)
    (p * p * q).sum().backward()
    p.requires_grad_(False)
    steps.zero_grad(set_to_none=False)
    found = [listed(p.grad)]
    steps.zero_grad()
    p.requires_grad_(True)
    return [*found, listed(p.grad)]


@pytest.mark.parametrize(
    "case",
    [
        frozen_after_a_pass,
        frozen_between_a_loss_and_its_pass,
        a_hook_of_a_frozen_one,
        two_that_play_against_each_other,
        cleared_while_frozen,
    ],
)
def test_what_is_frozen_for_a_while_keeps_what_it_had(case):
    ours, theirs = both(case)
    assert ours == theirs


def test_a_frozen_parameter_with_a_gradient_is_cast_with_it():
    layer = nn.Linear(2, 1, generator=0)
    layer(mg.ones(1, 2)).sum().backward()
    layer.requires_grad_(False).double().requires_grad_()
    assert layer.weight.grad.dtype == mg.float64
    layer(mg.ones(1, 2, dtype=mg.float64)).sum().backward()
    assert layer.weight.grad.tolist() == [[2.0, 2.0]]


def test_what_is_initialised_again_begins_with_no_gradient():
    p = nn.Parameter(np.array([2.0, 3.0]))
    (p * p).sum().backward()
    p.requires_grad_(False)
    p.__init__(np.zeros(3), requires_grad=False)
    assert p.shape == (3,) and p.grad is None
