"""ctc_loss behind a log_softmax, beside torch's; and its derivatives of both orders."""

import itertools

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error

T, N, C = 8, 4, 5
TARGETS = np.array([[1, 1, 2], [3, 4, 3], [2, 2, 2], [4, 1, 3]])
CASES = {
    "full": (8, 8, 8, 8, 3, 3, 3, 3),
    "shorter inputs": (8, 3, 5, 7, 3, 1, 2, 3),
    "empty targets": (8, 1, 5, 8, 0, 0, 3, 0),
    "as long as can be": (4, 3, 5, 3, 3, 3, 3, 3),
    "no input, no target": (0, 8, 0, 8, 0, 3, 0, 3),
}


def lengths_of(case):
    return np.array(case[:N]), np.array(case[N:])


def logits(seed=0):
    return np.random.default_rng(seed).normal(size=(T, N, C))


def joined(targets, sizes):
    return np.concatenate([row[:n] for row, n in zip(targets, sizes, strict=True)])


def both(x, targets, steps, sizes, **options):
    """Value and gradient by the logits: minigrad's, then torch's."""
    found = []
    for tensor, of in ((mg.Tensor, mg), (torch.tensor, torch.nn.functional)):
        leaf = tensor(x, requires_grad=True)
        rest = (tensor(targets), tensor(steps), tensor(sizes))
        loss = of.ctc_loss(of.log_softmax(leaf, -1), *rest, **options)
        (loss * tensor(np.arange(1.0, 1 + loss.numel()))).sum().backward()
        found.append((loss.detach().numpy(), leaf.grad.numpy()))
    return found


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_torchs(case, reduction):
    steps, sizes = lengths_of(CASES[case])
    for targets in (TARGETS, joined(TARGETS, sizes)):
        mine, theirs = both(logits(), targets, steps, sizes, reduction=reduction)
        assert np.isfinite(theirs[0]).all()
        for a, b in zip(mine, theirs, strict=True):
            assert relative_error(a, b) <= FLOAT64_RTOL


@pytest.mark.parametrize("steps, sizes", [((6, 4), (3, 3)), ((2, 6), (3, 2))])
def test_targets_that_do_not_fit(steps, sizes):
    # [2, 2, 2] needs a blank between each two: five steps, not four.
    targets, x = TARGETS[[0, 2]], logits()[:, :2]
    arguments = (targets, np.array(steps), np.array(sizes))
    loss = mg.ctc_loss(mg.log_softmax(mg.Tensor(x), -1), *arguments, reduction="none")
    expected = torch.nn.functional.ctc_loss(
        torch.tensor(x).log_softmax(-1), *map(torch.tensor, arguments), reduction="none"
    )
    infinite = np.isinf(expected.numpy())
    assert infinite.sum() == 1
    assert relative_error(loss.numpy(), expected.numpy()) <= FLOAT64_RTOL
    mine, theirs = both(x, *arguments, reduction="none", zero_infinity=True)
    assert (mine[0][infinite] == 0).all()
    assert (mine[1][:, infinite] == 0).all()
    for a, b in zip(mine, theirs, strict=True):
        assert relative_error(a, b) <= FLOAT64_RTOL


def test_an_infinite_loss_leaves_the_other_gradients_alone():
    arguments = (TARGETS[[0, 2]], np.array([6, 4]), np.array([3, 3]))
    x = mg.Tensor(logits()[:, :2], requires_grad=True)
    losses = mg.ctc_loss(mg.log_softmax(x, -1), *arguments, reduction="none")
    losses.sum().backward()
    alone = mg.Tensor(logits()[:, :1], requires_grad=True)
    first = [a[:1] for a in arguments]
    mg.ctc_loss(mg.log_softmax(alone, -1), *first, reduction="sum").backward()
    assert relative_error(x.grad[:, :1].numpy(), alone.grad.numpy()) <= FLOAT64_RTOL
    assert (x.grad[:, 1].numpy() == 0).all()


def test_a_probability_of_zero():
    x = np.log(np.full((3, 1, 3), 1 / 3))
    x[1, 0, 1] = -np.inf
    log_probs = mg.Tensor(x, requires_grad=True)
    arguments = (np.array([[1, 2]]), np.array([3]), np.array([2]))
    loss = mg.ctc_loss(log_probs, *arguments, reduction="sum")
    # Of 112, 122, -12, 1-2 and 12-, three have no 1 in the middle.
    assert relative_error(loss.detach().numpy(), -np.log(3 / 27)) <= FLOAT64_RTOL
    loss.backward()
    assert np.isfinite(log_probs.grad.numpy()).all()


@pytest.mark.parametrize("blank", [0, 2])
def test_the_probability_is_that_of_all_alignments(blank):
    """Every path of labels, merged as the paper merges it, added up."""
    steps, target = 4, [1, 1] if blank == 0 else [1, 0]
    logp = mg.log_softmax(mg.Tensor(logits()[:steps, 0, :3]), -1)
    p = np.exp(logp.numpy())
    total = 0.0
    for path in itertools.product(range(3), repeat=steps):
        merged = [label for label, _ in itertools.groupby(path) if label != blank]
        if merged == target:
            total += np.prod(p[np.arange(steps), path])
    loss = mg.ctc_loss(logp, np.array(target), steps, 2, blank=blank, reduction="sum")
    assert relative_error(loss.numpy(), -np.log(total)) <= FLOAT64_RTOL


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_derivatives_of_both_orders(reduction):
    """By log_probs that nothing has normalised."""
    x = mg.Tensor(logits()[:4, :2, :3], requires_grad=True)
    arguments = (np.array([[1, 1], [2, 0]]), np.array([4, 3]), np.array([2, 1]))

    def loss(x):
        return mg.ctc_loss(x, *arguments, reduction=reduction)

    assert mg.gradcheck(loss, [x])
    assert mg.gradgradcheck(loss, [x])


def test_long_inputs_do_not_underflow():
    x = np.random.default_rng(1).normal(size=(400, 1, C)).astype(np.float32)
    mine, theirs = both(x.astype(np.float64), TARGETS[:1], np.array([400]), [3])
    assert relative_error(mine[0], theirs[0]) <= FLOAT64_RTOL
    narrow = mg.ctc_loss(
        mg.log_softmax(mg.Tensor(x), -1), TARGETS[:1], np.array([400]), np.array([3])
    )
    assert np.isfinite(narrow.numpy())
