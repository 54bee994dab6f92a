"""Losses of numbers and of logits, and how losses are reduced."""

from __future__ import annotations

import math
from typing import Any

from . import ops
from ._backend import kernels
from .composite import composite
from .errors import ArgumentError, ShapeError
from .mode import is_tracing
from .one_pass import in_one_pass
from .op import Array, op
from .reductions import mean
from .samples import bad, floats, ints, sample


def check_reduction(reduction: str, name: str) -> None:
    """Refuse what is no reduction of losses."""
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(
            f'{name}: reduction must be "mean", "sum" or "none", not {reduction!r}'
        )


def reduce_losses(losses: Any, reduction: str, factors: Any = None) -> Any:
    """The losses as they are, their sum, or their mean by the factors' sum."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses)
    return mean(losses) if factors is None else ops.sum(losses) / ops.sum(factors)


distances = [
    sample(floats(3, 4), floats(3, 4)),
    sample(floats(3, 4), floats(3, 4), reduction="sum"),
    sample(floats(3, 4), floats(3, 4), reduction="none"),
]
bad_distances = [
    bad(floats(3), floats(4), error=ShapeError, match="same shape"),
    bad(floats(3), floats(3), reduction="avg", error=ArgumentError, match="reduction"),
]


def _check_same_shape(input: Any, target: Any, name: str) -> None:
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: input and target must have the same shape; they are "
            f"{input.shape} and {target.shape}"
        )


@composite("torch.nn.functional.mse_loss", samples=distances, errors=bad_distances)
def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Any:
    """The squared difference, elementwise, summed or averaged. Shapes must be equal."""
    check_reduction(reduction, "mse_loss")
    _check_same_shape(input, target, "mse_loss")
    difference = input - target
    return reduce_losses(difference * difference, reduction)


@composite(
    "torch.nn.functional.l1_loss",
    samples=[
        *distances,
        sample(floats(4, at=(1.0,)), floats(4, at=(1.0,)), kink=True),
    ],
    errors=bad_distances,
)
def l1_loss(input: Array, target: Array, reduction: str = "mean") -> Any:
    """The absolute difference, elementwise, summed or averaged; equal shapes."""
    check_reduction(reduction, "l1_loss")
    _check_same_shape(input, target, "l1_loss")
    return reduce_losses(ops.abs(input - target), reduction)


@op(None, samples=[], floating=True, registered=False)
def logit_loss(input: Array, target: Array) -> Array:
    """binary_cross_entropy_with_logits of each number, in one pass: see kernels."""
    return kernels.logit_loss(input, target)


logit_loss.vjp(
    input=in_one_pass(
        lambda g, y, input, target: g * kernels.logit_loss_grad(input, target),
        lambda g, y, input, target: g * (ops.sigmoid(input) - target),
    ),
    target=lambda g, y, input, target: -(g * input),
)


@composite(
    "torch.nn.functional.binary_cross_entropy_with_logits",
    samples=[
        sample(floats(3, 4), floats(3, 4, low=0.0, high=1.0)),
        sample(floats(3), floats(3, low=0.0, high=1.0), reduction="none"),
        sample(floats(3, 4), floats(3, 4, low=0.0), weight=floats(4, low=0.2)),
        sample(
            floats(3, 4),
            floats(3, 4, low=0.0, high=1.0),
            weight=floats(3, 1, low=0.2),
            pos_weight=floats(4, low=0.2),
            reduction="sum",
        ),
        sample(
            floats(5, at=(100.0, -100.0, 100.0, -100.0)),
            floats(5, at=(1.0, 1.0, 0.0, 0.0), low=0.0, high=1.0),
        ),
    ],
    errors=[
        *bad_distances,
        bad(floats(3), ints(3), weight=floats(2), error=ShapeError, match="weight"),
        bad(floats(3), ints(3), pos_weight=floats(2), error=ShapeError, match="weight"),
        bad(floats(3), ints(3), weight=floats(2, 3), error=ShapeError, match="weight"),
    ],
)
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Any:
    """The cross entropy of sigmoid(input) and probabilities, without overflow.

    target: of the shape of input. weight: a factor for each loss, pos_weight: one for
    the positive part; both broadcast to input.
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(reduction, name)
    _check_same_shape(input, target, name)
    for factor in (weight, pos_weight):
        if factor is not None:
            _check_factor(name, factor, input.shape)
    if weight is None and pos_weight is None and not is_tracing():
        return reduce_losses(logit_loss(input, target), reduction)
    yes = ops.softplus(-input, threshold=math.inf)
    no = ops.softplus(input, threshold=math.inf)
    yes = yes if pos_weight is None else yes * pos_weight
    losses = target * yes + (1.0 - target) * no
    return reduce_losses(losses if weight is None else losses * weight, reduction)


def _check_factor(name: str, factor: Any, shape: tuple[int, ...]) -> None:
    sizes = zip(factor.shape[::-1], shape[::-1], strict=False)
    if len(factor.shape) > len(shape) or any(m not in (1, n) for m, n in sizes):
        raise ShapeError(
            f"{name}: a weight {factor.shape} can't be broadcast to input {shape}"
        )
