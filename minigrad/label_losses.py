"""Losses of labels: the class that each example is of, or how likely each class is."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from . import ops
from ._backend import kernels
from .composite import composite
from .errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .functional import squeeze, unsqueeze
from .losses import check_reduction, reduce_losses
from .one_pass import array_of, in_one_pass
from .op import Array, Index, op
from .samples import bad, floats, ints, sample

labels = np.array([1, 0, 3, 1])
some_ignored = np.array([1, -100, 3, -100])

nll_samples = [
    sample(floats(4, 4), labels),
    sample(floats(4, 4), some_ignored, reduction="sum"),
    sample(floats(4, 4), some_ignored, reduction="none"),
    sample(floats(4, 4), labels, weight=floats(4, low=0.2)),
    sample(floats(4, 4), labels, weight=floats(4, low=0.2), ignore_index=1),
    sample(floats(2, 3, 5), ints(2, 5)),
    sample(floats(3), np.array(2)),
]
bad_targets = [
    bad(floats(4, 4), np.array([0, 1, 4, 0]), error=IndexRangeError, match="label 4"),
    bad(floats(4, 4), np.array([0, 1, -1, 0]), error=IndexRangeError, match="label -1"),
    bad(floats(4, 4), ints(3), error=ShapeError, match="target"),
    bad(floats(4, 4), labels, reduction="avg", error=ArgumentError, match="reduction"),
    bad(floats(4, 4), labels, weight=floats(3), error=ShapeError, match="weight"),
]


@composite(
    "torch.nn.functional.nll_loss",
    samples=nll_samples,
    errors=[
        *bad_targets,
        bad(floats(4, 4), floats(4), error=DTypeError, match="must be int64"),
    ],
)
def nll_loss(
    input: Array,
    target: Index,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood of labels under log-probabilities.

    input: (N, C), (C,) or (N, C, d1, ...); target: int64 (N,), () or (N, d1, ...).
    weight: (C,), a factor for each class. reduction: "mean" (over the weights of the
    labels that count), "sum" or "none".
    """
    check_reduction(reduction, "nll_loss")
    if weight is None:
        return label_pick(input, target, operator.index(ignore_index), reduction)
    axis, index = _class_axis(input, target, "nll_loss")
    counted, safe = _safe_labels(index, input.shape[axis], ignore_index, "nll_loss")
    factors = _label_weights(input, weight, axis, counted, safe, "nll_loss")
    picked = squeeze(ops.gather(input, axis, np.expand_dims(safe, axis)), axis)
    # `where`, not a product: an ignored position may hold -inf.
    losses = ops.where(counted, -picked, 0.0) * factors
    return reduce_losses(losses, reduction, factors)


# Of labels that all count alike, in one pass: see kernels.


@op(None, samples=[], floating=True, registered=False, quick=True)
def label_pick(input: Array, target: Index, ignore_index: int, reduction: str) -> Array:
    """nll_loss without weights."""
    index = _checked_labels(input, target, ignore_index, "nll_loss")
    return kernels.label_pick(input, index, ignore_index, reduction)


@op(None, samples=[], floating=True, registered=False, quick=True)
def label_loss(input: Array, target: Index, ignore_index: int, reduction: str) -> Array:
    """cross_entropy without weights."""
    index = _checked_labels(input, target, ignore_index, "cross_entropy")
    return kernels.label_loss(input, index, ignore_index, reduction)


def _checked_labels(input: Any, target: Any, ignore_index: int, name: str) -> Any:
    axis, index = _class_axis(input, target, name)
    if kernels.outside(index, 0, input.shape[axis]):
        _safe_labels(index, input.shape[axis], ignore_index, name)
    return index


def _share(g: Any, input: Any, target: Any, ignored: int, reduction: str) -> Any:
    """Where each label stands, and its part of the cotangent: (dim, index, share)."""
    axis = min(input.ndim - 1, 1)
    counted = ops.ne(target, ignored)
    if reduction == "mean":
        g = g / float(np.count_nonzero(array_of(counted)))
    share = unsqueeze(ops.where(counted, g, 0.0), axis)
    return axis, unsqueeze(ops.where(counted, target, 0), axis), share


def _label_pick_vjp(g: Any, y: Any, input: Any, *params: Any) -> Any:
    axis, index, share = _share(g, input, *params)
    return ops.scatter_add(ops.zeros_like(input), axis, index, -share)


def _label_loss_vjp(g: Any, y: Any, input: Any, *params: Any) -> Any:
    axis, index, share = _share(g, input, *params)
    return ops.scatter_add(ops.softmax(input, axis) * share, axis, index, -share)


label_pick.vjp(
    input=in_one_pass(
        lambda g, y, input, target, ignored, reduction: kernels.label_pick_grad(
            g, input, target, ignored, reduction
        ),
        _label_pick_vjp,
    )
)
label_loss.vjp(
    input=in_one_pass(
        lambda g, y, input, target, ignored, reduction: kernels.label_loss_grad(
            g, input, target, ignored, reduction
        ),
        _label_loss_vjp,
    )
)


@composite(
    "torch.nn.functional.cross_entropy",
    samples=[
        *nll_samples,
        sample(floats(4, 4), labels, label_smoothing=0.2),
        sample(
            floats(4, 4), some_ignored, weight=floats(4, low=0.2), label_smoothing=0.2
        ),
        sample(floats(4, 4), some_ignored, label_smoothing=0.1, reduction="sum"),
        sample(floats(4, 4), some_ignored, label_smoothing=0.1, reduction="none"),
        sample(floats(4, 3), floats(4, 3, low=0.1)),
        sample(
            floats(4, 3),
            floats(4, 3, low=0.1),
            weight=floats(3, low=0.2),
            label_smoothing=0.3,
        ),
        sample(floats(2, 3, 5), floats(2, 3, 5, low=0.1), reduction="none"),
        sample(floats(3), floats(3, low=0.1), reduction="sum"),
        # Saturated, the second derivative is what cancellation leaves of it.
        sample(floats(4, 4, low=-100.0, high=100.0), labels, kink=True),
    ],
    errors=[
        *bad_targets,
        bad(floats(4, 4), floats(4), error=ShapeError, match="probabilities"),
        bad(
            floats(4, 3),
            floats(4, 3, low=0.1),
            weight=floats(1),
            error=ShapeError,
            match="weight must be",
        ),
        bad(
            floats(4, 3),
            floats(4, 3, low=0.1),
            ignore_index=0,
            error=ArgumentError,
            match="is for labels",
        ),
        bad(
            floats(4, 4),
            labels,
            label_smoothing=1.5,
            error=ArgumentError,
            match="0 and 1",
        ),
    ],
)
def cross_entropy(
    input: Array,
    target: Array | Index,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The cross entropy of logits: nll_loss of their log_softmax.

    input: logits (N, C), (C,) or (N, C, d1, ...). target: int64 labels as in nll_loss,
    or probabilities of the shape and dtype of input, of which none can be ignored.
    label_smoothing mixes that much of the uniform distribution into the target.
    """
    check_reduction(reduction, "cross_entropy")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            "cross_entropy: label_smoothing must be between 0 and 1, "
            f"not {label_smoothing}"
        )
    if weight is None and target.dtype.kind != "f" and not label_smoothing:
        return label_loss(input, target, operator.index(ignore_index), reduction)
    axis = 0 if input.ndim == 1 else 1
    logp = ops.log_softmax(input, axis)
    if target.dtype.kind == "f":
        if ignore_index >= 0:
            raise ArgumentError(
                f"cross_entropy: ignore_index={ignore_index} is for labels, and the "
                "target holds probabilities; leave it out, or make the target int64"
            )
        return _soft_cross_entropy(
            logp, target, weight, axis, reduction, label_smoothing
        )
    loss = nll_loss(logp, target, weight, ignore_index, reduction)
    if label_smoothing == 0.0:
        return loss
    _, index = _class_axis(input, target, "cross_entropy")
    counted, safe = _safe_labels(
        index, input.shape[axis], ignore_index, "cross_entropy"
    )
    factors = _label_weights(input, weight, axis, counted, safe, "cross_entropy")
    shares = logp if weight is None else logp * _along(weight, logp, axis)
    uniform = ops.where(counted, -ops.sum(shares, axis), 0.0)
    uniform = reduce_losses(uniform, reduction, factors) / float(input.shape[axis])
    return (1.0 - label_smoothing) * loss + label_smoothing * uniform


def _soft_cross_entropy(
    logp: Any, target: Any, weight: Any, axis: int, reduction: str, smoothing: float
) -> Any:
    if target.shape != logp.shape:
        raise ShapeError(
            f"cross_entropy: probabilities must have the shape of input, {logp.shape}; "
            f"target is {target.shape}. For labels, make it int64"
        )
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / logp.shape[axis]
    if weight is not None:
        _check_weight(weight, logp.shape[axis], "cross_entropy")
        target = target * _along(weight, logp, axis)
    losses = -ops.sum(logp * target, axis)
    return reduce_losses(losses, reduction)


def _class_axis(input: Any, target: Any, name: str) -> tuple[int, Any]:
    """The dim of the classes, and the labels as a numpy array of the right shape."""
    if input.ndim == 0:
        raise ShapeError(f"{name}: input must be (C,), (N, C) or (N, C, d1, ...)")
    axis = 0 if input.ndim == 1 else 1
    index = np.asarray(target)
    if index.dtype != np.int64:
        raise DTypeError(f"{name}: labels must be int64, not {index.dtype}")
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if index.shape != expected:
        raise ShapeError(
            f"{name}: target must be {expected} for input {input.shape}; "
            f"it is {index.shape}"
        )
    return axis, index


def _safe_labels(index: Any, n: int, ignore: int, name: str) -> tuple[Any, Any]:
    """Which labels count, and labels that can be looked up everywhere."""
    counted = np.asarray(index != ignore)
    safe = index if counted.all() else np.where(counted, index, 0)
    ops.check_range(safe, n, name, "label")
    return counted, safe


def _along(weight: Any, input: Any, axis: int) -> Any:
    """A weight (C,) in a shape that broadcasts along the class dim."""
    shape = [1] * input.ndim
    shape[axis] = -1
    return ops.reshape(weight, tuple(shape))


def _label_weights(
    input: Any, weight: Any, axis: int, counted: Any, safe: Any, name: str
) -> Any:
    """The factor of each label: its class's weight, 0 where it doesn't count."""
    if weight is None:
        return np.asarray(counted.astype(input.dtype))
    _check_weight(weight, input.shape[axis], name)
    return ops.where(counted, ops.getitem(weight, (safe,)), 0.0)


def _check_weight(weight: Any, classes: int, name: str) -> None:
    if weight.shape != (classes,):
        raise ShapeError(
            f"{name}: weight must be ({classes},), one for each class; "
            f"it is {weight.shape}"
        )
