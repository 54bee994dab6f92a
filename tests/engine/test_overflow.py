"""Logits that overflowed: as probable as in PyTorch, whoever computes it."""

import itertools

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LOGITS = [np.inf, -np.inf, np.nan, 0.0]


@each_dtype
@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_what_overflowed_is_as_probable_as_in_pytorch(name, width, dtype):
    rows = np.array(list(itertools.product(LOGITS, repeat=3)), dtype)
    rows = np.resize(rows.T, (width, len(rows))).T
    for values, dim in ((rows, 1), (rows.T.copy(), 0)):
        t = torch.tensor(values, requires_grad=True)
        expected = getattr(torch, name)(t, dim)
        g = np.random.default_rng(0).random(expected.shape).astype(dtype)
        (slope,) = torch.autograd.grad(expected, t, torch.tensor(g))
        x = mg.tensor(values, requires_grad=True)
        for recorded in (False, True):
            y = getattr(mg, name)(x, dim)
            (found,) = mg.grad(y, x, mg.tensor(g), create_graph=recorded)
            limit = float32_limit(0.0)
            assert relative_error(y.detach(), expected.detach()) <= limit
            assert relative_error(found.detach(), slope) <= limit


@each_dtype
@pytest.mark.parametrize("label", [1, -100])
def test_the_loss_of_what_overflowed_is_pytorchs(label, dtype):
    rows = [(0, 1, 2), *itertools.product(LOGITS, repeat=3)]
    values, labels = np.array(rows, dtype), [2] + [label] * (len(rows) - 1)
    t = torch.tensor(values, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        t, torch.tensor(labels), reduction="none"
    )
    (slope,) = torch.autograd.grad(expected.sum(), t)
    x = mg.tensor(values, requires_grad=True)
    for recorded in (False, True):
        loss = mg.cross_entropy(x, mg.tensor(labels), reduction="none")
        (found,) = mg.grad(loss.sum(), x, create_graph=recorded)
        assert relative_error(loss.detach(), expected.detach()) <= float32_limit(0.0)
        assert relative_error(found.detach(), slope) <= float32_limit(0.0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_a_loop_takes_what_overflowed_as_the_ops_do(name):
    options = {"keepdim": True} if name == "logsumexp" else {}

    def step(h, x):
        return h, getattr(mg, name)(h + x, -1, **options)

    rows = np.array(list(itertools.product(LOGITS, repeat=3)))
    h, xs = mg.zeros(*rows.shape, dtype=mg.float64), mg.tensor(rows[None])
    assert mg.explain(step, h, xs)[0].reason is None
    found = mg.scan(step, h, xs)[1]
    with mg.eager_loops():
        expected = mg.scan(step, h, xs)[1]
    assert relative_error(found, expected) <= FLOAT64_RTOL
