"""Connectionist temporal classification: the loss of labels that are not aligned.

Alex Graves et al., "Connectionist Temporal Classification" (2006), equations 6 to 8, in
logarithms. Only the forward recursion stands here, made of ops; the backward one is its
gradient. Where no trace needs to see them, both are kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import ops
from ._backend import kernels
from ._kernels_ctc_py import NEVER
from .composite import composite
from .errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .losses import check_reduction, reduce_losses
from .mode import is_tracing
from .one_pass import in_one_pass
from .op import Array, Index, op
from .samples import bad, floats, ints, sample
from .tape import grad
from .tensor import Tensor

steps, sizes = np.array([7, 5, 6]), np.array([3, 0, 2])
padded = np.array([[1, 1, 2], [3, 3, 3], [2, 4, 4]])
joined = np.array([1, 1, 2, 2, 4])
batch = (floats(7, 3, 5), padded, steps, sizes)


@composite(
    "torch.nn.functional.ctc_loss",
    # Marked as kinks, since PyTorch has no second derivative of it.
    samples=[
        sample(*batch, kink=True),
        sample(floats(7, 3, 5), joined, steps, sizes, reduction="sum", kink=True),
        sample(floats(7, 3, 5), ints(3, 3, high=4), steps, sizes, 4, "none", kink=True),
        sample(
            floats(7, 5), ints(3, low=1, high=5), np.array(7), np.array(3), kink=True
        ),
        sample(
            floats(3, 2, 4),
            np.array([[1, 1, 1], [1, 2, 1]]),
            np.array([3, 3]),
            np.array([3, 3]),
            zero_infinity=True,
            kink=True,
        ),
    ],
    errors=[
        bad(floats(7), padded, steps, sizes, error=ShapeError, match=r"\(T, N, C\)"),
        bad(ints(7, 3, 5), *batch[1:], error=DTypeError, match="log_probs must be"),
        bad(*batch, 5, error=IndexRangeError, match="blank 5 is out of range"),
        bad(*batch, None, error=ArgumentError, match="blank must be an integer"),
        bad(*batch, reduction="avg", error=ArgumentError, match="reduction"),
        bad(
            *batch[:2], np.array([8, 5, 6]), sizes, error=IndexRangeError, match="0..7"
        ),
        bad(*batch[:3], np.array([4, 0, 2]), error=IndexRangeError, match="0..3"),
        bad(*batch[:2], steps[:2], sizes, error=ShapeError, match="one for each"),
        bad(*batch[:2], steps * 0.5, sizes, error=DTypeError, match="be integers"),
        bad(floats(7, 3, 5), joined[1:], *batch[2:], error=ShapeError, match="add up"),
        bad(floats(7, 3, 5), padded[:2], *batch[2:], error=ShapeError, match="targets"),
        bad(floats(7, 3, 5), padded * 0.5, *batch[2:], error=DTypeError, match="int64"),
        bad(floats(7, 3, 4), *batch[1:], error=IndexRangeError, match="label 4 is out"),
        bad(*batch, 2, error=ArgumentError, match="the blank, 2, is among the targets"),
    ],
)
def ctc_loss(
    log_probs: Array,
    targets: Index,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Minus the log-probability of the targets, over all their alignments.

    log_probs: (T, N, C), or (T, C) without a batch: the log_softmax of logits.
    targets: int64 labels other than the blank, (N, S), or (sum of target_lengths,) one
    after the other. input_lengths: N integers in 0..T; target_lengths: N in 0..S.
    reduction: "mean" (of each loss by its target's length), "sum" or "none".
    zero_infinity: 0 for the infinite loss of targets that are too long for their input.
    The gradient is 0 there; PyTorch's is NaN if the loss stays infinite.

    The gradient by log_probs is the derivative. PyTorch's has that of the log_softmax
    in it, which changes nothing behind a log_softmax.

    Raises ShapeError, DTypeError, IndexRangeError or ArgumentError.
    """
    check_reduction(reduction, "ctc_loss")
    if log_probs.ndim not in (2, 3):
        raise ShapeError(
            "ctc_loss: log_probs must be (T, N, C), or (T, C) without a batch; "
            f"it is {log_probs.shape}"
        )
    if log_probs.dtype.kind != "f":
        raise DTypeError(f"ctc_loss: log_probs must be floats, not {log_probs.dtype}")
    n_steps, *rows, classes = log_probs.shape
    n = math.prod(rows)
    if not isinstance(blank, int | np.integer):
        raise ArgumentError(f"ctc_loss: blank must be an integer, not {blank!r}")
    ops.check_range(np.asarray(int(blank)), classes, "ctc_loss", "blank")
    labels = np.asarray(targets)
    lived = _lengths("input_lengths", input_lengths, n, n_steps)
    widths = _lengths("target_lengths", target_lengths, n, labels.shape[-1])
    paths = _paths(labels, widths, blank, classes)
    of = _of_ops if is_tracing() or not n else aligned
    return of(log_probs, paths, lived, widths, reduction, zero_infinity)


@op(None, samples=[], registered=False)
def aligned(
    log_probs: Array,
    paths: Any,
    lived: Any,
    widths: Any,
    reduction: str,
    zero_infinity: bool,
) -> Array:
    """ctc_loss of paths and lengths that were checked."""
    return kernels.ctc_loss(log_probs, paths, lived, widths, reduction, zero_infinity)


def _aligned_vjp(g: Any, y: Any, log_probs: Any, *params: Any) -> Any:
    # Of its own node: what hooks log_probs has belongs to the walk that asks.
    own = ops.reshape(log_probs, log_probs.shape)
    return grad(_of_ops(own, *params), own, g, create_graph=True)[0]


aligned.vjp(
    log_probs=in_one_pass(
        lambda g, y, log_probs, paths, lived, widths, reduction, _: (
            kernels.ctc_loss_grad(g, log_probs, paths, lived, widths, reduction)
        ),
        _aligned_vjp,
    )
)


def _of_ops(
    log_probs: Any,
    paths: Any,
    lived: Any,
    widths: Any,
    reduction: str,
    zero_infinity: bool,
) -> Any:
    """What aligned gives, made of ops that a trace and a second derivative see."""
    n_steps, *rows, classes = log_probs.shape
    steps = ops.reshape(log_probs, (n_steps, len(paths), classes))
    losses = _losses(steps, paths, lived, widths)
    never = losses > -NEVER / 2
    losses = ops.where(never, 0.0 if zero_infinity else math.inf, losses)
    if reduction == "mean":
        losses = losses / np.maximum(widths, 1)
    return reduce_losses(ops.reshape(losses, tuple(rows)), reduction)


def _lengths(name: str, values: Any, n: int, most: int) -> np.ndarray[Any, Any]:
    """The lengths as int64 (n,), each in 0..most, or a named error."""
    array = np.atleast_1d(np.asarray(values))
    # A list without numbers is no list of floats, though numpy takes it for one.
    if array.dtype.kind not in "iu" and (array.size or hasattr(values, "dtype")):
        raise DTypeError(f"ctc_loss: {name} must be integers, not {array.dtype}")
    if array.shape != (n,):
        raise ShapeError(
            f"ctc_loss: {name} must be ({n},), one for each sequence; "
            f"it is {array.shape}"
        )
    array = array.astype(np.int64)  # which the check reads, whatever it is given
    ops.check_range(array, most + 1, "ctc_loss", name)
    return array


def _paths(targets: Any, widths: Any, blank: int, classes: int) -> Any:
    """int64 (N, 2 S + 1): the labels of each row, a blank before and after each."""
    if targets.dtype != np.int64:
        raise DTypeError(f"ctc_loss: targets must be int64, not {targets.dtype}")
    joined = targets.ndim == 1 and len(targets) == widths.sum()
    if not joined and (targets.ndim != 2 or len(targets) != len(widths)):
        raise ShapeError(
            f"ctc_loss: targets must be ({len(widths)}, S), or ({widths.sum()},), as "
            f"target_lengths add up to that; it is {targets.shape}"
        )
    paths, is_among = kernels.label_paths(targets, widths, blank)
    ops.check_range(paths, classes, "ctc_loss", "label")
    if is_among:
        raise ArgumentError(f"ctc_loss: the blank, {blank}, is among the targets")
    return paths


def _losses(log_probs: Any, paths: Any, lived: Any, widths: Any) -> Any:
    """(N,): minus the logarithm of the probability of each path; -NEVER for none."""
    skips = np.zeros(paths.shape, np.bool_)
    # Between two labels, only if they differ. A blank is equal to the one before it.
    skips[:, 2:] = paths[:, 2:] != paths[:, :-2]
    may_skip = Tensor(skips)

    def step(alpha: Any, emitted: Any) -> tuple[Any, tuple[()]]:
        """alpha (N, 2 S + 1): the log-probability of being at each place by now."""
        before = ops.pad(alpha, (2, 0), value=NEVER)
        skipped = ops.where(may_skip, before[:, :-2], NEVER)
        ways = ops.stack([alpha, before[:, 1:-1], skipped], -1)
        return ops.logsumexp(ways, -1) + emitted, ()

    from .loops import scan  # when it is used, as `minigrad` imports it itself

    start = np.full(paths.shape, NEVER, log_probs.dtype)
    start[:, 0] = 0.0
    index = np.broadcast_to(paths, (len(log_probs), *paths.shape))
    emitted = ops.clamp(ops.gather(log_probs, 2, index), NEVER)
    alpha, _ = scan(step, Tensor(start), emitted, lengths=lived)
    # At the end stands the last blank, or the last label if there is one.
    ends = np.stack([2 * widths, np.maximum(2 * widths - 1, 0)], axis=1)
    last = ops.gather(alpha, 1, ends)
    exists = np.stack([widths >= 0, widths > 0], axis=1)
    return -ops.logsumexp(ops.where(exists, last, NEVER), 1)
