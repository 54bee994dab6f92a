"""ctc_loss behind a log_softmax, beside torch's; and its derivatives of both orders."""

import itertools

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad import _kernels, _kernels_py, ctc, mode
from minigrad.errors import IndexRangeError

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


def test_no_sequences_have_no_lengths():
    scores, labels = mg.zeros(4, 0, 3), mg.zeros(0, 2, dtype=mg.int64)
    losses = mg.ctc_loss(scores, labels, [], [], reduction="none")
    assert losses.shape == (0,)


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int8, np.uint64])
def test_lengths_and_the_blank_are_integers_of_any_width(kind):
    x, lengths = mg.log_softmax(mg.Tensor(logits()[:, :2]), -1), ([6, 4], [3, 2])
    found = mg.ctc_loss(x, TARGETS[:2], *map(kind, lengths), blank=kind(0))
    assert found.item() == mg.ctc_loss(x, TARGETS[:2], *lengths).item()
    with pytest.raises(IndexRangeError, match="input_lengths 100 is out of range"):
        mg.ctc_loss(x, TARGETS[:2], *map(kind, ([6, 100], [3, 2])))


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


# -- in one pass -----------------------------------------------------------------------

WIDTHS = np.array([0, 3, 1, 3, 2, 0, 2])
STEPS = np.array([6, 6, 6, 4, 1, 0, 5])  # [2, 2, 2] in four, two in one: impossible


def checked(dtype, blank, n=7):
    """log_probs, and what ctc_loss makes of targets and lengths."""
    rng = np.random.default_rng(blank)
    x = rng.normal(0, 2, (6, n, C)).astype(dtype)
    x[2, 1:2, blank] = -np.inf
    targets = rng.choice([c for c in range(C) if c != blank], (n, 3))
    targets[n // 2] = targets[-1, :2] = 2
    paths = ctc._paths(targets, WIDTHS[:n], blank, C)
    return x, paths, STEPS[:n], WIDTHS[:n]


def value_and_gradient(function, x, *rest):
    leaf = mg.Tensor(x, requires_grad=True)
    loss = function(leaf, *rest)
    g = mg.Tensor(np.arange(1.0, 1 + loss.numel()).reshape(loss.shape), x.dtype)
    (dx,) = mg.grad(loss, leaf, g)
    return loss.detach().numpy(), dx.numpy()


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_pass_gives_what_the_ops_give(dtype, blank, reduction, zero_infinity):
    limit = FLOAT64_RTOL if dtype == np.float64 else float32_limit(0.0)
    for n in (7, 3, 1):  # all, or some that are possible
        x, *rest = checked(dtype, blank, n)
        rest += reduction, zero_infinity
        fast = value_and_gradient(ctc.aligned, x, *rest)
        wide = value_and_gradient(ctc._of_ops, x.astype(np.float64), *rest)
        assert np.isinf(fast[0]).any() == (n == 7 and not zero_infinity)
        for a, b in zip(fast, wide, strict=True):
            assert a.dtype == dtype and relative_error(a, b) <= limit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_both_twins_of_the_kernels_agree(reduction, dtype):
    limit = FLOAT64_RTOL if dtype == np.float64 else float32_limit(0.0)
    x, *rest = checked(dtype, 0)
    for given in ((x, *rest), (x[:, 1], *(a[1:2] for a in rest))):
        found = []
        for twin in (_kernels, _kernels_py):
            loss = twin.ctc_loss(*given, reduction, True)
            found.append((loss, twin.ctc_loss_grad(loss + 1, *given, reduction)))
        for a, b in zip(*found, strict=True):
            assert a.dtype == b.dtype == dtype and relative_error(a, b) <= limit


def test_both_twins_lay_the_same_paths():
    given = np.arange(3) < WIDTHS[:, None]
    targets = np.where(given, np.arange(21).reshape(7, 3) + 1, 0)
    for labels in (targets, targets[given]):
        for blank, is_among in ((0, False), (11, True), (25, False)):
            found = [
                twin.label_paths(labels, WIDTHS, blank)
                for twin in (_kernels, _kernels_py)
            ]
            assert np.array_equal(found[0][0], found[1][0])
            assert found[0][1] == found[1][1] == is_among


def test_what_is_beyond_a_length_does_not_count():
    x, *rest = checked(np.float64, 0)
    beyond = np.arange(6)[:, None] >= STEPS
    filled = np.where(beyond[:, :, None], np.nan, x)
    found, expected = (
        value_and_gradient(ctc.aligned, of, *rest, "sum", True) for of in (filled, x)
    )
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a, b)
    assert (found[1][beyond] == 0).all()


def test_a_number_that_is_none_stays_with_its_loss():
    x, *rest = checked(np.float64, 0)
    x[0, 2] = np.nan
    loss, dx = value_and_gradient(ctc.aligned, x, *rest, "none", True)
    assert np.isnan(loss).tolist() == [i == 2 for i in range(7)]
    assert np.isnan(dx).any((0, 2)).tolist() == [i == 2 for i in range(7)]


def test_a_trace_sees_ops_that_it_knows():
    x, *_ = checked(np.float64, 0)
    targets = mg.Tensor(TARGETS[:, :2])
    lengths = np.full(4, 6), np.full(4, 2)
    leaf = mg.Tensor(x[:, :4], requires_grad=True)
    with mode.trace_mode():
        traced = mg.ctc_loss(leaf, targets, *lengths)
    recorded = mg.ctc_loss(leaf, targets, *lengths)
    assert relative_error(traced.detach().numpy(), recorded.detach().numpy()) < 1e-12
    ops = [{n.op for n in mg.tape.reachable([y._node])} for y in (traced, recorded)]
    assert ctc.aligned not in ops[0] and ops[1] == {None, ctc.aligned}


def test_a_hook_is_called_once_in_a_recorded_walk():
    x, targets = mg.Tensor(logits(), requires_grad=True), TARGETS
    logp = mg.log_softmax(x, -1)
    seen = []
    logp.register_hook(seen.append)
    loss = mg.ctc_loss(logp, targets, np.full(4, 8), np.full(4, 3))
    mg.grad(loss, x, create_graph=True)
    assert len(seen) == 1
