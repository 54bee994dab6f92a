"""Reductions made of other ops: means, moments, norms, products and extremes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import ops
from ._backend import TensorCore, kernels, wrap
from .composite import composite
from .errors import ArgumentError, DTypeError, IndexRangeError, ShapeError, describe
from .functional import squeeze
from .mode import is_tracing
from .one_pass import in_one_pass
from .op import Array, op
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
    return _at(x, ops.argmax, largest, dim, keepdim)


@composite("torch.min", samples=extremes, errors=[bad_dim])
def min(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest value; with `dim`, (values, indices), the first one of equals."""
    if dim is None:
        return ops.amin(x)
    return _at(x, ops.argmin, smallest, dim, keepdim)


def _found(find: Any, x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """What stands where `find` finds it along a dim, and that place."""
    axis = axis_of(dim, x.ndim)
    places = find.forward(x, dim, True)
    values = kernels.gather(x, axis, places)
    if keepdim or not x.ndim:
        return values, places
    return np.squeeze(values, axis), np.squeeze(places, axis)


@op(None, samples=[], registered=False, quick=True)
def largest(x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """The largest along a dim, and its place."""
    return _found(ops.argmax, x, dim, keepdim)


@op(None, samples=[], registered=False, quick=True)
def smallest(x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """The smallest along a dim, and its place."""
    return _found(ops.argmin, x, dim, keepdim)


def _extreme_vjp(gs: Any, ys: Any, x: Any, dim: int, keepdim: bool) -> Any:
    places = ops.restore(ys[1], x, dim, keepdim)
    share = ops.restore(gs[0], x, dim, keepdim)
    return ops.scatter_add(ops.zeros_like(x), dim, places, share)


largest.vjp(x=_extreme_vjp)
smallest.vjp(x=_extreme_vjp)


def _at(x: Any, find: Any, extreme: Any, dim: int, keepdim: bool) -> Extreme:
    if isinstance(dim, TensorCore):
        raise DTypeError(
            f"max and min take a dim, an int, not {describe(dim)}; of two tensors they "
            "are maximum() and minimum()"
        )
    if is_tracing():  # in a step, the ops that can be fused
        indices = find(x, dim, True)
        values = ops.gather(x, dim, indices)
        if keepdim:
            return Extreme(values, indices)
        return Extreme(squeeze(values, dim), squeeze(indices, dim))
    values, places = extreme(x, dim, keepdim)
    return Extreme(values, wrap(places._data))


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


def _freedom(x: Any, dim: Any, correction: float) -> float:
    """What the squared distances from the mean are divided by; not below 0."""
    freedom = float(_count(x, dim) - correction)
    return freedom if freedom > 0 else 0.0


@op(None, samples=[], floating=True, registered=False, quick=True)
def variance(
    x: Array, dim: int | Sequence[int] | None, keepdim: bool, correction: float
) -> Array:
    """var in one pass: see kernels."""
    freedom = _freedom(x, dim, correction)
    return kernels.variance(x, axes_of(dim, x.ndim), keepdim, freedom)


@op(None, samples=[], floating=True, registered=False, quick=True)
def deviation(
    x: Array, dim: int | Sequence[int] | None, keepdim: bool, correction: float
) -> Array:
    """std in one pass: see kernels."""
    y: Array = np.sqrt(variance.forward(x, dim, keepdim, correction))
    if y.dtype != np.float32 or _is_in_range(y):
        return y
    wide = variance.forward(x.astype(np.float64), dim, keepdim, correction)
    return np.asarray(np.sqrt(wide).astype(np.float32))


def _is_in_range(y: Array) -> bool:
    """Whether the squares of float32 numbers were neither infinite nor subnormal."""
    return bool(np.all((y > 1e-18) & (y < 1e19)))


def _spread_grad(g: Array, x: Array, dim: Any, correction: float) -> Array:
    axes = axes_of(dim, x.ndim)
    column = g.reshape([1 if i in axes else n for i, n in enumerate(x.shape)])
    return kernels.variance_grad(column, x, axes, _freedom(x, dim, correction))


def _spread_vjp(g: Any, x: Any, dim: Any, keepdim: bool, correction: float) -> Any:
    freedom = _freedom(x, dim, correction)
    scale = 2.0 / freedom if freedom else math.inf
    return (x - mean(x, dim, True)) * (ops.restore(g, x, dim, keepdim) * scale)


def _of_square(g: Any, y: Any) -> Any:
    """The cotangent of y * y from that of y; 0 where y is."""
    flat = ops.eq(y, 0)
    return ops.where(flat, 0.0, g / (2.0 * ops.where(flat, 1.0, y)))


variance.vjp(
    x=in_one_pass(
        lambda g, y, x, dim, _, correction: _spread_grad(g, x, dim, correction),
        lambda g, y, x, *params: _spread_vjp(g, x, *params),
    )
)
deviation.vjp(
    x=in_one_pass(
        lambda g, y, x, dim, _, correction: _spread_grad(
            np.where(y == 0, y, g / (2 * y)), x, dim, correction
        ),
        lambda g, y, x, *params: _spread_vjp(_of_square(g, y), x, *params),
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
    if not is_tracing() and x.ndim and 0 not in x.shape:
        return variance(x, dim, keepdim, correction)
    distance = x - mean(x, dim, True)
    squares = ops.sum(distance * distance, dim, keepdim)
    return squares / _freedom(x, dim, correction)


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
    check_numbers("std", correction=correction)
    if not is_tracing() and x.ndim and 0 not in x.shape:
        return deviation(x, dim, keepdim, correction)
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
        # A NaN isn't 0, and has no sign.
        return ops.sum(ops.where(ops.eq(size, 0), size, 1), dim, keepdim)
    powers = x * x if p == 2 else _power(size, p)
    return _power(ops.sum(powers, dim, keepdim), 1 / p)


@op(None, samples=[], registered=False, quick=True)
def _prod(x: Array, dim: int, keepdim: bool) -> Array:
    """prod over a dim in one pass: see kernels."""
    return kernels.prod(x, axes_of(dim, x.ndim), keepdim)


def _others(x: Any, axis: int) -> Any:
    """The product of all the others along the axis; no factor is divided by."""
    n = x.shape[axis]
    if n == 1:
        return ops.zeros_like(x) + 1.0
    first, second, *rest = ops.split(x, n // 2, axis)
    outer = _others(ops.cat([first * second, *rest], axis), axis)
    head, *tail = ops.split(outer, n // 2, axis)
    return ops.cat([head * second, head * first, *tail], axis)


_prod.vjp(
    x=in_one_pass(
        lambda g, y, x, dim, keepdim: kernels.prod_grad(g, x, y, (dim,)),
        lambda g, y, x, dim, keepdim: ops.restore(g, x, dim, keepdim) * _others(x, dim),
    )
)


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
    if x.ndim and not is_tracing():
        return _prod(x, axis, keepdim)
    while x.ndim and x.shape[axis] > 1:  # by halves, of ops that can be fused
        first, second, *rest = ops.split(x, x.shape[axis] // 2, axis)
        x = ops.cat([first * second, *rest], axis)
    return x if keepdim else squeeze(x, axis)
