"""Reductions made of other ops: means, moments, norms, products and extremes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import ops
from ._backend import kernels
from .errors import ArgumentError, IndexRangeError, ShapeError
from .functional import squeeze
from .mode import is_tracing
from .op import Array, composite, op
from .ops import axes_of, axis_of, bad_dim, check_numbers, not_numeric, reductions
from .samples import bad, bools, floats, ints, sample


@composite("torch.mean", samples=reductions, errors=[bad_dim, *not_numeric])
def mean(
    x: Array, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> Any:
    """The mean over `dim`, or over everything."""
    return ops.sum(x, dim, keepdim) / _count(x, dim)


def _count(x: Any, dim: int | Sequence[int] | None) -> float:
    """How many elements a reduction over `dim` brings together."""
    axes = axes_of(dim, x.ndim) if x.ndim else ()
    return math.prod(float(x.shape[axis]) for axis in axes)


# -- extremes ------------------------------------------------------------------------


class Extreme(NamedTuple):
    """The values and the indices of a maximum or minimum over one dim."""

    values: Any
    indices: Any


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
    return _at(x, ops.argmax, dim, keepdim)


@composite("torch.min", samples=extremes, errors=[bad_dim])
def min(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest value; with `dim`, (values, indices), the first one of equals."""
    if dim is None:
        return ops.amin(x)
    return _at(x, ops.argmin, dim, keepdim)


@op(None, samples=[], registered=False)
def extreme(x: Array, find: Any, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """What stands where `find` finds it along a dim, and that place."""
    axis = axis_of(dim, x.ndim)
    places = find.forward(x, dim, True)
    values = kernels.gather(x, axis, places)
    if keepdim or not x.ndim:
        return values, places
    return np.squeeze(values, axis), np.squeeze(places, axis)


extreme.vjp(
    x=lambda gs, ys, x, find, dim, keepdim: ops.scatter_add(
        ops.zeros_like(x),
        dim,
        ops.restore(ys[1], x, dim, keepdim),
        ops.restore(gs[0], x, dim, keepdim),
    )
)


def _at(x: Any, find: Any, dim: int, keepdim: bool) -> Extreme:
    if is_tracing():  # in a step, the ops that can be fused
        indices = find(x, dim, True)
        values = ops.gather(x, dim, indices)
        if keepdim:
            return Extreme(values, indices)
        return Extreme(squeeze(values, dim), squeeze(indices, dim))
    values, places = extreme(x, find, dim, keepdim)
    return Extreme(values, ops.detach(places))


# -- moments -------------------------------------------------------------------------

spread = [
    sample(floats(3, 4)),
    sample(floats(3, 4), 1),
    sample(floats(2, 3, 4), dim=(0, -1), keepdim=True),
    sample(floats(3, 4), dim=0, correction=0),
    sample(floats(3, 4), correction=2, keepdim=True),
]
bad_spread = [
    bad_dim,
    *not_numeric,
    bad(floats(3), correction=None, error=ArgumentError, match="must be a number"),
]


@op(None, samples=[], floating=True, registered=False)
def variance(x: Array, axes: tuple[int, ...], keepdim: bool, freedom: float) -> Array:
    """var over axes counted from the front, in one pass: see kernels."""
    return kernels.variance(x, axes, keepdim, freedom)


def _variance_vjp(
    g: Any, y: Any, x: Any, axes: Any, keepdim: bool, freedom: float
) -> Any:
    distance = x - mean(x, axes, True)
    return distance * (ops.restore(g, x, axes, keepdim) * (2.0 / freedom))


variance.vjp(
    x=ops.in_one_pass(
        lambda g, y, x, axes, keepdim, freedom: kernels.variance_grad(
            g.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]),
            x,
            axes,
            freedom,
        ),
        _variance_vjp,
    )
)


@composite("torch.var", samples=spread, errors=bad_spread)
def var(
    x: Array,
    dim: int | Sequence[int] | None = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
) -> Any:
    """The variance over `dim`: the squared distances from the mean, added up and
    divided by their number less the correction.
    """
    check_numbers("var", correction=correction)
    freedom = float(_count(x, dim) - correction)
    freedom = freedom if freedom > 0 else 0.0
    if x.ndim and freedom and not is_tracing():  # in a step, the ops that can be fused
        return variance(x, axes_of(dim, x.ndim), keepdim, freedom)
    distance = x - mean(x, dim, True)
    return ops.sum(distance * distance, dim, keepdim) / freedom


@composite(
    "torch.std",
    # Of equal numbers it has a kink, where the gradient is 0.
    samples=[*spread, sample(floats(2, 3, low=1.0, high=1.0), 1, kink=True)],
    errors=bad_spread,
)
def std(
    x: Array,
    dim: int | Sequence[int] | None = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
) -> Any:
    """The standard deviation over `dim`: the square root of `var`."""
    return _power(var(x, dim, correction=correction, keepdim=keepdim), 0.5)


def _power(x: Any, p: float) -> Any:
    """x ** p of x >= 0, with a gradient of 0 at 0, where it may have none."""
    flat = ops.eq(x, 0)
    base = ops.where(flat, 1.0, x)
    power = ops.sqrt(base) if p == 0.5 else base**p
    return ops.where(flat, 0.0 if p > 0 else math.inf, power)


# -- norms and products --------------------------------------------------------------


@op(None, samples=[], floating=True, registered=False)
def length(x: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """The 2-norm over axes counted from the front, in one pass: see kernels."""
    return np.sqrt(kernels.variance(x, axes, keepdim, 1.0, False))


def _length_vjp(g: Any, y: Any, x: Any, axes: Any, keepdim: bool) -> Any:
    flat = ops.eq(y, 0)
    scale = ops.where(flat, 0.0, g / ops.where(flat, 1.0, y))
    return x * ops.restore(scale, x, axes, keepdim)


length.vjp(x=_length_vjp)


@composite(
    "torch.norm",
    samples=[
        sample(floats(3, 4)),
        sample(floats(2, 3, 4), dim=(0, -1), keepdim=True),
        # Of one number it is linear: the second derivative is what rounding leaves.
        sample(floats(), dim=0, kink=True),
        *(sample(floats(2, 3, 4), p, 1) for p in (1, 3, 1.5, 0.5, -1.0)),
        *(sample(floats(3, 4), p, dim=(0, 1)) for p in (math.inf, -math.inf)),
        sample(floats(3, 4, at=(0.0, 0.0)), 0, dim=-1),
        *(sample(floats(2, 2, low=0.0, high=0.0), p, 1, kink=True) for p in (2, 1, 3)),
        *(
            sample(floats(2, 3, at=(0.0, 1.0, -1.0)), p, 1, kink=True)
            for p in (1, 0.5, 1.5, math.inf)
        ),
    ],
    errors=[
        *not_numeric,
        bad(floats(2, 3), dim=2, error=IndexRangeError, match="dim 2 is out of range"),
        bad(floats(3), "nuc", error=ArgumentError, match="p must be a number"),
        bad(floats(0), math.inf, error=ShapeError, match="zero-size"),
    ],
)
def norm(
    x: Array,
    p: float = 2.0,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> Any:
    """The p-norm over `dim`, or of all elements: sum(|x| ** p) ** (1 / p).

    inf is the largest absolute value, -inf the smallest; 0 counts what isn't 0. Where
    the norm has no derivative, such as at 0, it gets the subgradient that PyTorch has.
    """
    check_numbers("norm", p=p)
    if p == 2 and x.ndim and x.dtype.kind == "f" and not is_tracing():
        return length(x, axes_of(dim, x.ndim), keepdim)
    size = ops.abs(x)
    if math.isinf(p):
        return (ops.amax if p > 0 else ops.amin)(size, dim, keepdim)
    if p == 0:
        return ops.sum(ops.sign(size), dim, keepdim)
    powers = x * x if p == 2 else _power(size, p)
    return _power(ops.sum(powers, dim, keepdim), 1 / p)


@composite(
    "torch.prod",
    samples=[
        sample(floats(3, 4)),
        sample(floats(2, 7, 3), 1),
        sample(floats(2, 5), -1, True),
        # Any number of zeros has a right derivative.
        sample(floats(5, at=(0.0,))),
        sample(floats(2, 4, at=(0.0, 0.0)), 1),
        sample(floats(4, at=(0.0, 0.0, 0.0))),
        sample(floats(), 0),
        sample(floats(3, 0), 1),
        sample(ints(3, 4, low=1), dim=0),
        sample(bools(3, 2), 1),
    ],
    errors=[bad_dim, *not_numeric],
)
def prod(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The product over one dim, or of all elements. Bools are multiplied as int64."""
    if x.dtype == np.bool_:
        x = ops.to(x, np.int64)
    if dim is None:
        keep = (1,) * x.ndim if keepdim else ()
        return ops.reshape(prod(ops.reshape(x, (-1,)), 0), keep)
    axis = axis_of(dim, x.ndim)
    if 0 in x.shape[axis : axis + 1]:
        return ops.sum(x, dim, keepdim) + 1  # of nothing: 1
    while x.ndim and x.shape[axis] > 1:  # by halves: no factor is divided by
        first, second, *rest = ops.split(x, x.shape[axis] // 2, axis)
        x = ops.cat([first * second, *rest], axis)
    return x if keepdim else squeeze(x, axis)
