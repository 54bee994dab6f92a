"""Operations made of other ops: they need no VJP. In the same table, as composites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import ops, rng
from .errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .op import Array, Index, composite
from .ops import axes_of, axis_of, bad_dim, not_numeric, reductions
from .samples import bad, bools, floats, ints, sample


class Extreme(NamedTuple):
    """The values and the indices of a maximum or minimum over one dim."""

    values: Any
    indices: Any


# -- reductions ----------------------------------------------------------------------


@composite("torch.mean", samples=reductions, errors=[bad_dim, *not_numeric])
def mean(
    x: Array, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> Any:
    """The mean over `dim`, or over everything."""
    axes = axes_of(dim, x.ndim) if x.ndim else ()
    return ops.sum(x, dim, keepdim) / math.prod(float(x.shape[axis]) for axis in axes)


extremes = [
    sample(floats(3, 4)),
    sample(floats(3, 4), 1),
    sample(floats(2, 3, 4), dim=0, keepdim=True),
    sample(floats(3, 4, at=(2.0, 2.0)), 1, kink=True),
]


@composite("torch.max", samples=extremes, errors=[bad_dim])
def max(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest value; with `dim`, (values, indices), the first one of equals."""
    if dim is None:
        return ops.amax(x)
    return _at(x, ops.argmax(x, dim, True), dim, keepdim)


@composite("torch.min", samples=extremes, errors=[bad_dim])
def min(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest value; with `dim`, (values, indices), the first one of equals."""
    if dim is None:
        return ops.amin(x)
    return _at(x, ops.argmin(x, dim, True), dim, keepdim)


def _at(x: Any, indices: Any, dim: int, keepdim: bool) -> Extreme:
    values = ops.gather(x, dim, indices)
    if keepdim:
        return Extreme(values, indices)
    return Extreme(squeeze(values, dim), squeeze(indices, dim))


# -- shapes --------------------------------------------------------------------------


@composite(
    "torch.transpose",
    samples=[sample(floats(2, 3, 4), 0, 2), sample(floats(2, 3), -1, 0)],
    errors=[bad(floats(2, 3), 0, 2, error=IndexRangeError, match="dim 2 is out")],
)
def transpose(x: Array, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    a, b = axis_of(dim0, x.ndim), axis_of(dim1, x.ndim)
    exchanged = {a: b, b: a}
    return ops.permute(x, tuple(exchanged.get(d, d) for d in range(x.ndim)))


@composite(
    "torch.squeeze",
    samples=[
        sample(floats(1, 3, 1)),
        sample(floats(1, 3, 1), 0),
        sample(floats(1, 3, 1), 1),
        sample(floats(1, 3, 1), (0, -1)),
    ],
    errors=[bad(floats(2, 3), 2, error=IndexRangeError, match="dim 2 is out")],
)
def squeeze(x: Array, dim: int | Sequence[int] | None = None) -> Any:
    """Without the dims of size one: all of them, or those among `dim`."""
    axes = () if dim == () else axes_of(dim, x.ndim)
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes or n != 1)
    return ops.reshape(x, shape)


@composite(
    "torch.unsqueeze",
    samples=[sample(floats(2, 3), 0), sample(floats(2, 3), -1), sample(floats(), 0)],
    errors=[bad(floats(2, 3), 3, error=IndexRangeError, match="dim 3 is out")],
)
def unsqueeze(x: Array, dim: int) -> Any:
    """A new dim of size one at `dim`."""
    axis = axis_of(dim, x.ndim + 1)
    return ops.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@composite(
    "torch.chunk",
    samples=[
        sample(floats(8, 2), 4),
        sample(floats(2, 7), 3, -1),
        sample(floats(2, 3), 5, 1),
    ],
    errors=[
        bad(floats(4), 0, error=ArgumentError, match="at least one chunk"),
        bad(floats(2, 3), 2, 2, error=IndexRangeError, match="dim 2 is out"),
    ],
)
def chunk(input: Array, chunks: int, dim: int = 0) -> Any:
    """At most `chunks` pieces of one size; the last may be smaller."""
    if chunks < 1:
        raise ArgumentError(f"chunk: expected at least one chunk, not {chunks}")
    n = ops.size_of(input, dim)
    return ops.split(input, -(-n // chunks) or 1, dim)


# -- regularisation ------------------------------------------------------------------


@composite(
    "torch.nn.functional.dropout",
    samples=[
        sample(floats(3, 4), 0.5, False),
        sample(floats(3, 4), 1.0),
        sample(floats(3, 4), 0.0),
    ],
    errors=[
        bad(floats(3), 1.5, error=ArgumentError, match="between 0 and 1"),
        bad(floats(3), 0.5, mask=floats(3), error=DTypeError, match="must be bool"),
        bad(floats(3), 0.5, mask=bools(4), error=ShapeError, match="shape"),
    ],
)
def dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    mask: Any = None,
    generator: Any = None,
) -> Any:
    """input * mask / (1 - p). The mask is data: True keeps; drawn if not given.

    Raises ArgumentError for p outside 0..1, DTypeError and ShapeError for a bad mask.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must be between 0 and 1, not {p}")
    if not training:
        return input * 1.0
    if mask is None:
        mask = rng.generator(generator).random(input.shape) >= p
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise DTypeError(f"dropout: mask must be bool (True keeps), not {mask.dtype}")
    if mask.shape != input.shape:
        raise ShapeError(
            f"dropout: mask must have the shape of input, {input.shape}; "
            f"it is {mask.shape}"
        )
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    return input * (mask * scale).astype(input.dtype)


# -- losses --------------------------------------------------------------------------

labels = np.array([1, 0, 3, 1])
some_ignored = np.array([1, -100, 3, -100])
class_weights = np.array([0.5, 2.0, 1.0, 0.25], np.float64)

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
    _check_reduction(reduction, "nll_loss")
    axis, index = _class_axis(input, target, "nll_loss")
    counted, safe = _safe_labels(index, input.shape[axis], ignore_index, "nll_loss")
    factors = _label_weights(input, weight, axis, counted, safe, "nll_loss")
    picked = squeeze(ops.gather(input, axis, np.expand_dims(safe, axis)), axis)
    # `where`, not a product: an ignored position may hold -inf.
    losses = ops.where(counted, -picked, 0.0) * factors
    return _reduce(losses, reduction, factors)


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
    or probabilities of the shape and dtype of input. label_smoothing mixes that much of
    the uniform distribution into the target.
    """
    _check_reduction(reduction, "cross_entropy")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            "cross_entropy: label_smoothing must be between 0 and 1, "
            f"not {label_smoothing}"
        )
    axis = 0 if input.ndim == 1 else 1
    logp = ops.log_softmax(input, axis)
    if target.dtype.kind == "f":
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
    uniform = _reduce(uniform, reduction, factors) / float(input.shape[axis])
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
        target = target * _along(weight, logp, axis)
    losses = -ops.sum(logp * target, axis)
    return _reduce(losses, reduction)


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
    safe = np.where(counted, index, 0)
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
    if weight.shape != (input.shape[axis],):
        raise ShapeError(
            f"{name}: weight must be ({input.shape[axis]},), one for each class; "
            f"it is {weight.shape}"
        )
    return ops.where(counted, ops.getitem(weight, (safe,)), 0.0)


def _check_reduction(reduction: str, name: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(
            f'{name}: reduction must be "mean", "sum" or "none", not {reduction!r}'
        )


def _reduce(losses: Any, reduction: str, factors: Any = None) -> Any:
    """The losses as they are, their sum, or their mean by the factors' sum."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses)
    return mean(losses) if factors is None else ops.sum(losses) / ops.sum(factors)


@composite(
    "torch.nn.functional.mse_loss",
    samples=[
        sample(floats(3, 4), floats(3, 4)),
        sample(floats(3, 4), floats(3, 4), reduction="sum"),
        sample(floats(3, 4), floats(3, 4), reduction="none"),
    ],
    errors=[
        bad(floats(3), floats(4), error=ShapeError, match="same shape"),
        bad(
            floats(3),
            floats(3),
            reduction="avg",
            error=ArgumentError,
            match="reduction",
        ),
    ],
)
def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Any:
    """The squared difference, elementwise, summed or averaged. Shapes must be equal."""
    _check_reduction(reduction, "mse_loss")
    if input.shape != target.shape:
        raise ShapeError(
            "mse_loss: input and target must have the same shape; they are "
            f"{input.shape} and {target.shape}"
        )
    difference = input - target
    return _reduce(difference * difference, reduction)
