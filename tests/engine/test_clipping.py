"""Clipping gradients, beside torch.nn.utils."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    GraphError,
)


def agree(actual, expected):
    if isinstance(actual, mg.Tensor):
        actual = actual.detach().numpy()
    assert relative_error(actual, expected.detach().numpy()) <= FLOAT64_RTOL


# -- clipping --------------------------------------------------------------------------

GRADS = [np.array([[3.0, -4.0]]), np.array(2.0), np.array([0.5, -9.0, 1.0])]


def with_grads(grads=GRADS):
    ours = [nn.Parameter(np.zeros_like(g)) for g in grads]
    theirs = [
        torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads
    ]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = mg.tensor(g), torch.tensor(g)
    # One without a gradient, which is skipped.
    ours.append(nn.Parameter(np.zeros(2)))
    theirs.append(torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)))
    return ours, theirs


def grads_agree(ours, theirs):
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        agree(p.grad, q.grad)
    assert ours[-1].grad is None


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, math.inf, "inf"])
@pytest.mark.parametrize("max_norm", [0.0, 1.5, 10.0, 1e3])
def test_clip_grad_norm_is_torchs(norm_type, max_norm):
    ours, theirs = with_grads()
    norm = nn.utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert isinstance(norm, mg.Tensor) and norm.shape == ()
    assert norm.dtype == mg.float64 and not norm.requires_grad
    agree(norm, expected)
    grads_agree(ours, theirs)


@pytest.mark.parametrize("clip_value", [0.0, 1.0, 3.5, 100.0])
def test_clip_grad_value_is_torchs(clip_value):
    ours, theirs = with_grads()
    assert nn.utils.clip_grad_value_(iter(ours), clip_value) is None
    torch.nn.utils.clip_grad_value_(theirs, clip_value)
    grads_agree(ours, theirs)


def test_clipping_one_tensor_or_none_or_a_tensor_given_twice():
    (p, *_), (q, *_) = with_grads()
    agree(nn.clip_grad_norm_(p, 1.0), torch.nn.utils.clip_grad_norm_(q, 1.0))
    agree(p.grad, q.grad)
    nn.clip_grad_value_(p, 0.5)
    torch.nn.utils.clip_grad_value_(q, 0.5)
    agree(p.grad, q.grad)
    twice = nn.clip_grad_norm_([p, p], 1e9)
    assert twice.item() == nn.clip_grad_norm_(p, 1e9).item()
    assert nn.clip_grad_norm_([], 1.0).item() == 0.0
    assert nn.clip_grad_norm_([nn.Parameter([1.0])], 1.0).item() == 0.0


def test_clipping_replaces_the_gradient():
    (p, *_), _ = with_grads()
    grad = p.grad
    nn.clip_grad_norm_(p, 1.0)
    nn.clip_grad_value_(p, 0.1)
    assert grad.tolist() == GRADS[0].tolist()
    assert p.grad.tolist() != grad.tolist()


def test_clipping_keeps_each_gradients_dtype():
    narrow, wide = nn.Parameter([3.0]), nn.Parameter(np.array([4.0]))
    narrow.grad, wide.grad = mg.tensor([3.0]), mg.tensor(np.array([4.0]))
    assert nn.clip_grad_norm_(narrow, 10.0).dtype == mg.float32
    norm = nn.clip_grad_norm_([narrow, wide], 1.0)
    assert norm.dtype == mg.float64 and norm.item() == 5.0
    nn.clip_grad_value_([narrow, wide], 0.5)
    assert narrow.grad.dtype == mg.float32 and wide.grad.dtype == mg.float64


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("norm_type", [2.0, math.inf])
def test_a_norm_that_is_not_finite(bad, norm_type):
    ours, theirs = with_grads([np.array([1.0, 2.0]), np.array([bad, 0.0])])
    before = [p.grad for p in ours]
    with pytest.raises(ArgumentError, match="error_if_nonfinite"):
        nn.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    assert [p.grad for p in ours] == before
    norm = nn.clip_grad_norm_(ours, 1.0, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)
    assert np.array_equal(norm.numpy(), expected.numpy(), equal_nan=True)
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        assert np.array_equal(p.grad.numpy(), q.grad.numpy(), equal_nan=True)


def test_float32_gradients_whose_squares_overflow_are_still_clipped():
    p = nn.Parameter([0.0, 0.0])
    p.grad = mg.tensor([3e30, 4e30])
    assert math.isfinite(nn.clip_grad_norm_(p, 5.0).item())
    assert p.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_bad_limits(bad):
    ours, _ = with_grads()
    with pytest.raises(ArgumentError, match="max_norm"):
        nn.clip_grad_norm_(ours, bad)
    with pytest.raises(ArgumentError, match="norm_type"):
        nn.clip_grad_norm_(ours, 1.0, bad)
    with pytest.raises(ArgumentError, match="norm_type"):
        nn.clip_grad_norm_(ours, 1.0, 0)
    with pytest.raises(ArgumentError, match="clip_value"):
        nn.clip_grad_value_(ours, bad)


def test_a_frozen_parameter_has_no_gradient_to_clip():
    p = nn.Parameter([1.0], requires_grad=False)
    assert nn.clip_grad_norm_([p], 1.0).item() == 0.0
    with pytest.raises(GraphError):
        p.grad = mg.ones(1)


def test_a_limit_of_numpy_leaves_the_dtype():
    p = nn.Parameter([1.0, 2.0])
    (p * p).sum().backward()
    nn.clip_grad_value_([p], np.float64(0.5))
    assert p.grad.dtype == mg.float32 and p.grad.tolist() == [0.5, 0.5]
