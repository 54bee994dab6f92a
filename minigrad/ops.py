"""THE table: one block an op. Forward on numpy arrays, VJPs in differentiable ops.

To add an op, write its block: nothing else in the engine changes. A VJP names its
arguments `g` (the cotangent), `y` (the output), then the forward's own; it may ignore
broadcasting. Composite operations, which need no VJP, stand in modules of their own:
`functional.py`, `reductions.py`, `losses.py`, `label_losses.py`, `einsum.py`, `ctc.py`.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from . import _backend
from ._backend import kernels
from .errors import (
    NUMPY_ERRORS,
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
)
from .one_pass import array_of, in_one_pass
from .op import Array, Arrays, Index, op
from .samples import bad, bools, floats, ints, sample

# -- what the blocks share ------------------------------------------------------------

unary = [sample(floats(3, 4)), sample(floats()), sample(floats(0, 3))]
positive = [sample(floats(3, 4, low=0.2, high=3.0)), sample(floats(low=0.5))]
pairs = [
    sample(floats(3, 4), floats(3, 4)),
    sample(floats(3, 1), floats(2, 1, 4)),
    sample(floats(3, 4), 1.5),
    sample(0.5, floats(4)),
    sample(floats(), floats(3)),
    sample(floats(0, 3), floats(3)),
]
unfit = [
    bad(floats(2, 3), floats(4), error=ShapeError, match="could not be broadcast"),
    bad(floats(2), "3", error=DTypeError, match="must be a Tensor"),
]
not_numeric = [bad("text", error=DTypeError, match="must be a Tensor")]
# Of a function of one float: all but its name in PyTorch and its samples.
elementary: dict[str, Any] = {
    "errors": not_numeric,
    **{"elementwise": True, "floating": True, "quick": True},
}
bad_dim = bad(floats(2, 3), dim=2, error=IndexRangeError, match="dim 2 is out of range")
reductions = [
    sample(floats(3, 4)),
    sample(floats(3, 4), dim=1),
    sample(floats(2, 3, 4), dim=(0, -1), keepdim=True),
    sample(floats(), dim=0),
    sample(floats(2, 3, 4), dim=-2, keepdim=True),
    sample(floats(3, 4), dim=()),
]
along_dim = [
    sample(floats(3, 4), dim=-1),
    sample(floats(2, 3, 4), dim=1),
    sample(floats(5), dim=0),
    # Far apart, but two at the top: of one alone, the gradient cancels to nothing.
    sample(floats(2, 3, low=-100.0, high=100.0, at=(100.0, 99.5)), dim=-1),
]


def axes_of(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dims of a reduction as non-negative numbers; all of them for None or ()."""
    if dim is None:
        return tuple(range(ndim))
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    axes = tuple(sorted(axis_of(d, ndim) for d in dims))
    if len(set(axes)) < len(axes):
        raise ValueError(f"a dim appears more than once in {tuple(dims)}")
    return axes or tuple(range(ndim))


def axis_of(dim: int, ndim: int) -> int:
    """`dim` counted from the front. A scalar has the dim 0 (and -1), as in PyTorch."""
    size = max(ndim, 1)
    # A bool is an int to Python, but here one in another's place, such as var(False).
    if isinstance(dim, bool) or not isinstance(dim, int | np.integer):
        raise TypeError(f"a dim must be an int, not {dim!r}")
    if not -size <= dim < size:
        raise np.exceptions.AxisError(int(dim), ndim)
    return int(dim) % size


def size_of(x: Any, dim: int) -> int:
    """The size of a dim, which a scalar does not have."""
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        raise ValueError("the tensor has no dimensions")
    size: int = x.shape[axis]
    return size


def flattened(x: Any) -> Any:
    """The rows of x: all its dims but the last made one. Any size may be 0."""
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def restore(g: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    """A reduction's cotangent, with the reduced dims back as ones."""
    if keepdim or x.ndim == 0:
        return g
    if dim is None:
        return reshape(g, (1,) * x.ndim)
    axes = axes_of(dim, x.ndim)
    return reshape(g, tuple([1 if i in axes else n for i, n in enumerate(x.shape)]))


def numpy_axes(x: Array, dim: Any) -> tuple[int, ...]:
    """The `axis` argument of a numpy reduction of x over `dim`."""
    axes = axes_of(dim, x.ndim)
    return axes if x.ndim else ()


def numpy_axis(x: Array, dim: int) -> tuple[int, ...]:
    """The same of one dim."""
    axis = axis_of(dim, x.ndim)
    return (axis,) if x.ndim else ()


def last_dim(dim: Any = None, **_: Any) -> bool:
    """Rowwise, if only the last dim is reduced."""
    return bool(dim == -1)


def check_numbers(name: str, **numbers: Any) -> None:
    """Refuse what is not a number, and name the argument."""
    for what, value in numbers.items():
        if not isinstance(value, int | float | np.number):
            raise ArgumentError(f"{name}: {what} must be a number, not {value!r}")


def is_float(value: Any) -> bool:
    """Whether a number is a float, or an array of floats."""
    return type(value) is float or (
        isinstance(value, np.ndarray) and value.dtype.kind == "f"
    )


# -- arithmetic ----------------------------------------------------------------------


@op("torch.add", samples=pairs, errors=unfit, elementwise=True, quick=True)
def add(x: Array, y: Array) -> Array:
    """x + y."""
    return np.add(x, y)


add.vjp(x=lambda g, z, x, y: g, y=lambda g, z, x, y: g)


@op("torch.sub", samples=pairs, errors=unfit, elementwise=True, quick=True)
def sub(x: Array, y: Array) -> Array:
    """x - y."""
    return np.subtract(x, y)


sub.vjp(x=lambda g, z, x, y: g, y=lambda g, z, x, y: -g)


@op("torch.mul", samples=pairs, errors=unfit, elementwise=True, quick=True)
def mul(x: Array, y: Array) -> Array:
    """x * y."""
    return np.multiply(x, y)


mul.vjp(x=lambda g, z, x, y: g * y, y=lambda g, z, x, y: g * x)


@op(
    "torch.div",
    samples=[
        sample(floats(3, 4), floats(3, 4, low=0.5)),
        sample(floats(3, 1), floats(2, 1, 4, low=-3.0, high=-0.5)),
        sample(1.0, floats(4, low=0.5)),
        sample(floats(4), 3.0),
    ],
    errors=unfit,
    elementwise=True,
    floating=True,
    quick=True,
)
def div(x: Array, y: Array) -> Array:
    """x / y."""
    return np.true_divide(x, y)


div.vjp(x=lambda g, z, x, y: g / y, y=lambda g, z, x, y: -g * (z / y))


@op("torch.neg", samples=unary, errors=not_numeric, elementwise=True, quick=True)
def neg(x: Array) -> Array:
    """-x."""
    return np.negative(x)


neg.vjp(x=lambda g, y, x: -g)


@op(
    "torch.pow",
    samples=[
        sample(floats(3, 4, low=0.3), floats(3, 4)),
        sample(floats(3, 1, low=0.3), floats(4)),
        sample(floats(3, 4), 3),
        sample(floats(3, 4), 2.0),
        sample(floats(4), 1),
        sample(2.0, floats(4)),
        sample(floats(4, low=0.5), -1.5),
        sample(floats(4, at=(0.0, 0.0)), 0, kink=True),
        sample(floats(4, at=(0.0, 0.0), low=0.5), floats(4, at=(0.0, 2.0)), kink=True),
    ],
    errors=unfit,
    elementwise=True,
    quick=True,
)
def pow(x: Array, y: Array) -> Array:
    """x ** y. Integers take no negative exponent, bools none."""
    kind = "f" if is_float(x) or is_float(y) else np.result_type(x, y).kind
    if kind == "b":
        raise DTypeError("pow: two bools have no power; make one of them int64")
    if kind == "i" and np.less(y, 0).any():
        raise ArgumentError(
            "pow: an integer to a negative power is no integer; make x a float tensor"
        )
    return np.power(x, y)


def _pow_vjp_x(g: Any, z: Any, x: Any, y: Any) -> Any:
    if isinstance(y, int | float):
        return g * (y * x ** (y - 1)) if y else zeros_like(g)
    return where(eq(y, 0), 0.0, g * (y * x ** (y - 1)))


def _pow_vjp_y(g: Any, z: Any, x: Any, y: Any) -> Any:
    base = x + zeros_like(y)  # a tensor, also if x is a number
    # 0, not 0 * log 0, where the base is zero and the exponent isn't negative.
    flat = logical_and(eq(base, 0), ge(y, 0))
    return where(flat, 0.0, g * (z * log(where(flat, 1.0, base))))


pow.vjp(x=_pow_vjp_x, y=_pow_vjp_y)


@op(
    "torch.abs",
    samples=[*unary, sample(floats(4, at=(0.0, -0.0)), kink=True)],
    errors=not_numeric,
    elementwise=True,
    quick=True,
)
def abs(x: Array) -> Array:
    """|x|."""
    return np.absolute(x)


abs.vjp(
    x=in_one_pass(lambda g, y, x: kernels.abs_grad(g, x), lambda g, y, x: g * sign(x))
)


@op(
    "torch.square",
    samples=[*unary, sample(floats(3, at=(0.0,)))],
    errors=not_numeric,
    elementwise=True,
    quick=True,
)
def square(x: Array) -> Array:
    """x * x; of bools as int64, as x ** 2."""
    return np.multiply(x, x, dtype=np.int64 if x.dtype == np.bool_ else None)


square.vjp(x=lambda g, y, x: g * (x + x))


@op(
    "torch.reciprocal",
    samples=[*positive, sample(floats(4, low=-3.0, high=-0.5))],
    **elementary,
)
def reciprocal(x: Array) -> Array:
    """1 / x."""
    return np.reciprocal(x)


reciprocal.vjp(x=lambda g, y, x: -(g * y) * y)


@op(
    "torch.sign",
    samples=[*unary, sample(floats(4, at=(0.0,)), kink=True)],
    errors=not_numeric,
    elementwise=True,
    quick=True,
)
def sign(x: Array) -> Array:
    """-1, 0 or 1; 0 of a NaN, as in PyTorch."""
    return x if x.dtype == np.bool_ else kernels.sign(x)


sign.vjp(x=lambda g, y, x: zeros_like(g))


# -- elementary functions ------------------------------------------------------------


@op("torch.exp", samples=unary, **elementary)
def exp(x: Array) -> Array:
    """e ** x."""
    return kernels.exp(x)


exp.vjp(x=lambda g, y, x: g * y)


@op("torch.expm1", samples=unary, **elementary)
def expm1(x: Array) -> Array:
    """e ** x - 1, accurate near 0."""
    return kernels.expm1(x)


expm1.vjp(x=lambda g, y, x: g * exp(x))


@op("torch.log", samples=positive, **elementary)
def log(x: Array) -> Array:
    """The natural logarithm."""
    return kernels.log(x)


log.vjp(x=lambda g, y, x: g / x)


@op(
    "torch.log1p",
    samples=[sample(floats(3, 4, low=-0.8, high=3.0)), sample(floats(low=-0.5))],
    **elementary,
)
def log1p(x: Array) -> Array:
    """log(1 + x), accurate near 0."""
    return kernels.log1p(x)


log1p.vjp(x=lambda g, y, x: g / (x + 1))


@op("torch.sqrt", samples=positive, **elementary)
def sqrt(x: Array) -> Array:
    """The square root."""
    return np.sqrt(x)


sqrt.vjp(x=lambda g, y, x: g / (2 * y))


@op("torch.rsqrt", samples=positive, **elementary)
def rsqrt(x: Array) -> Array:
    """1 / sqrt(x)."""
    return np.reciprocal(np.sqrt(x))


rsqrt.vjp(x=lambda g, y, x: -0.5 * g * (y * y * y))


@op("torch.sin", samples=unary, **elementary)
def sin(x: Array) -> Array:
    """The sine."""
    return kernels.sin(x)


sin.vjp(x=lambda g, y, x: g * cos(x))


@op("torch.cos", samples=unary, **elementary)
def cos(x: Array) -> Array:
    """The cosine."""
    return kernels.cos(x)


cos.vjp(x=lambda g, y, x: -g * sin(x))

saturating = [*unary, sample(floats(6, at=(100.0, -100.0, 40.0, -40.0)))]


@op("torch.tanh", samples=saturating, **elementary)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return kernels.tanh(x)


tanh.vjp(
    x=in_one_pass(
        lambda g, y, x: kernels.tanh_grad(g, y), lambda g, y, x: (g + g * y) * (1 - y)
    )
)


@op("torch.sigmoid", samples=saturating, **elementary)
def sigmoid(x: Array) -> Array:
    """1 / (1 + e ** -x)."""
    return kernels.sigmoid(x)


sigmoid.vjp(
    x=in_one_pass(
        lambda g, y, x: kernels.sigmoid_grad(g, y), lambda g, y, x: g * y * (1 - y)
    )
)


@op(
    "torch.relu",
    samples=[*unary, sample(floats(4, at=(0.0, -0.0)), kink=True)],
    errors=not_numeric,
    elementwise=True,
    quick=True,
)
def relu(x: Array) -> Array:
    """max(x, 0)."""
    return kernels.relu(x)


relu.vjp(
    x=in_one_pass(
        lambda g, y, x: kernels.relu_grad(g, y),
        lambda g, y, x: where(le(y, 0), 0.0, g),
    )
)


@op("torch.nn.functional.silu", samples=saturating, **elementary)
def silu(input: Array) -> Array:
    """input * sigmoid(input)."""
    return kernels.silu(input)


def _silu_vjp(g: Any, y: Any, input: Any) -> Any:
    gate = sigmoid(input)
    # sigmoid(-input), not 1 - gate: near -1.28, where the sum is 0, every bit counts.
    return g * (gate + input * (gate * sigmoid(-input)))


silu.vjp(input=in_one_pass(lambda g, y, input: kernels.silu_grad(g, input), _silu_vjp))


@op(
    "torch.nn.functional.softplus",
    samples=[
        *saturating,
        sample(floats(3, 4), 2.0),
        sample(floats(3, 4), 3.0, 1.0),
        sample(floats(4, at=(30.0, -30.0)), threshold=50.0),
    ],
    errors=[
        *not_numeric,
        bad(floats(3), beta="2", error=ArgumentError, match="beta must be a number"),
    ],
    elementwise=True,
    floating=True,
    quick=True,
)
def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * input)) / beta; input where beta * input > threshold."""
    check_numbers("softplus", beta=beta, threshold=threshold)
    return kernels.softplus(input, beta, threshold)


softplus.vjp(
    input=in_one_pass(
        lambda g, y, input, beta, threshold: kernels.softplus_grad(
            g, input, beta, threshold
        ),
        lambda g, y, input, beta, threshold: where(
            gt(input * beta, threshold), g, g * sigmoid(input * beta)
        ),
    )
)


@op(
    "torch.nn.functional.softsign",
    samples=[*saturating, sample(floats(4, at=(0.0,)), kink=True)],
    **elementary,
)
def softsign(input: Array) -> Array:
    """input / (1 + |input|)."""
    return input / (1 + np.abs(input))


# By itself: made of ops, the derivative far from 0 would be what cancellation leaves.
softsign.vjp(input=lambda g, y, input: g / (1 + abs(input)) ** 2)


@op(
    "torch.nn.functional.hardtanh",
    samples=[
        *unary,
        sample(floats(3, 4), -0.5, 1.5),
        sample(floats(4, at=(1.0, -1.0)), kink=True),
    ],
    errors=[
        *not_numeric,
        bad(floats(3), 1.0, -1.0, error=ArgumentError, match="can't be above max_val"),
        bad(floats(3), "a", error=ArgumentError, match="min_val must be a number"),
    ],
    elementwise=True,
)
def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """input, cut at `min_val` and `max_val`. The ends let no gradient pass.

    Of integers it is an integer: the ends are, too, without what is behind the point.
    """
    check_numbers("hardtanh", min_val=min_val, max_val=max_val)
    if min_val > max_val:
        raise ArgumentError(
            "hardtanh: min_val can't be above max_val; they are "
            f"{min_val} and {max_val}"
        )
    if input.dtype.kind != "f":
        return np.clip(input, int(min_val), int(max_val))
    return kernels.clip(input, float(min_val), float(max_val))


hardtanh.vjp(
    input=in_one_pass(
        lambda g, y, input, low, high: kernels.clip_grad(g, input, low, high),
        lambda g, y, input, low, high: where(
            logical_or(le(input, low), ge(input, high)), 0.0, g
        ),
    )
)


# -- choices -------------------------------------------------------------------------

ties = sample(floats(4, at=(1.0, -1.0)), floats(4, at=(1.0, -1.0)), kink=True)


@op(
    "torch.maximum",
    samples=[*pairs[:2], ties],
    errors=unfit,
    elementwise=True,
    quick=True,
)
def maximum(x: Array, y: Array) -> Array:
    """The larger of the two; equal ones share the gradient, beside a NaN it passes."""
    return np.maximum(x, y)


maximum.vjp(
    x=lambda g, z, x, y: where(eq(x, y), g / 2, where(lt(x, y), 0.0, g)),
    y=lambda g, z, x, y: where(eq(x, y), g / 2, where(lt(y, x), 0.0, g)),
)


@op(
    "torch.minimum",
    samples=[*pairs[:2], ties],
    errors=unfit,
    elementwise=True,
    quick=True,
)
def minimum(x: Array, y: Array) -> Array:
    """The smaller of the two; equal ones share the gradient, beside a NaN it passes."""
    return np.minimum(x, y)


minimum.vjp(
    x=lambda g, z, x, y: where(eq(x, y), g / 2, where(gt(x, y), 0.0, g)),
    y=lambda g, z, x, y: where(eq(x, y), g / 2, where(gt(y, x), 0.0, g)),
)


@op(
    "torch.where",
    samples=[
        sample(bools(3, 4), floats(3, 4), floats(3, 4)),
        sample(bools(3, 1), floats(4), floats(2, 1, 1)),
        sample(bools(4), floats(4), 0.0),
        sample(bools(4), 1.0, floats(4)),
    ],
    errors=[
        bad(bools(3), floats(2), floats(2), error=ShapeError, match="broadcast"),
        bad(floats(3), floats(3), floats(3), error=DTypeError, match="must be bool"),
    ],
    elementwise=True,
    quick=True,
)
def where(condition: Index, x: Array, y: Array) -> Array:
    """x where the condition holds, y elsewhere."""
    if condition.dtype != np.bool_:
        raise DTypeError(f"where: condition must be bool, not {condition.dtype}")
    return kernels.where(condition, x, y)


where.vjp(
    x=lambda g, z, condition, x, y: where(condition, g, 0.0),
    y=lambda g, z, condition, x, y: where(condition, 0.0, g),
)


@op(
    "torch.clamp",
    samples=[
        sample(floats(3, 4), -0.5, 0.7),
        sample(floats(3, 4), min=0.1),
        sample(floats(3, 4), max=0.1),
        sample(floats(4, at=(-0.5, 0.5)), -0.5, 0.5, kink=True),
        sample(floats(4, at=(-0.5, 0.5)), 0.5, -0.5, kink=True),
    ],
    errors=[
        bad(floats(3), error=ArgumentError, match="min, max or both"),
        bad(floats(3), max="a", error=ArgumentError, match="max must be a number"),
    ],
    elementwise=True,
    quick=True,
)
def clamp(x: Array, min: float | None = None, max: float | None = None) -> Array:
    """x, cut at `min` and `max`, which are numbers. The ends let gradients pass.

    With min above max it is max, and lets none pass.
    """
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both")
    given = {"min": min, "max": max}
    check_numbers("clamp", **{k: v for k, v in given.items() if v is not None})
    # numpy's scalars are cast like Python's, and a float bound makes integers float32.
    low, high = (b.item() if isinstance(b, np.number) else b for b in (min, max))
    if x.dtype.kind != "f" and (isinstance(low, float) or isinstance(high, float)):
        x = x.astype(np.float32)
    if x.dtype.kind != "f":
        return np.clip(x, low, high)
    return kernels.clip(
        x, -math.inf if low is None else low, math.inf if high is None else high
    )


clamp.vjp(
    x=lambda g, y, x, min, max: (
        zeros_like(g)
        if min is not None and max is not None and min > max
        else where(eq(x, y), g, 0.0)
    )
)


# -- comparisons and logic: no gradient ----------------------------------------------

compared = [*pairs[:4], sample(floats(4, at=(1.0,)), floats(4, at=(1.0,)))]


@op("torch.eq", samples=compared, errors=unfit, elementwise=True, quick=True)
def eq(x: Array, y: Array) -> Array:
    """x == y."""
    return np.equal(x, y)


@op("torch.ne", samples=compared, errors=unfit, elementwise=True, quick=True)
def ne(x: Array, y: Array) -> Array:
    """x != y."""
    return np.not_equal(x, y)


@op("torch.lt", samples=compared, errors=unfit, elementwise=True, quick=True)
def lt(x: Array, y: Array) -> Array:
    """x < y."""
    return np.less(x, y)


@op("torch.le", samples=compared, errors=unfit, elementwise=True, quick=True)
def le(x: Array, y: Array) -> Array:
    """x <= y."""
    return np.less_equal(x, y)


@op("torch.gt", samples=compared, errors=unfit, elementwise=True, quick=True)
def gt(x: Array, y: Array) -> Array:
    """x > y."""
    return np.greater(x, y)


@op("torch.ge", samples=compared, errors=unfit, elementwise=True, quick=True)
def ge(x: Array, y: Array) -> Array:
    """x >= y."""
    return np.greater_equal(x, y)


logical = [sample(bools(3, 4), bools(4)), sample(floats(4, at=(0.0,)), bools(4))]
unfit_bools = [bad(bools(3), bools(2), error=ShapeError, match="broadcast")]


@op(
    "torch.logical_and",
    samples=logical,
    errors=unfit_bools,
    elementwise=True,
    quick=True,
)
def logical_and(x: Index, y: Index) -> Array:
    """Both."""
    return np.logical_and(x, y)


@op(
    "torch.logical_or",
    samples=logical,
    errors=unfit_bools,
    elementwise=True,
    quick=True,
)
def logical_or(x: Index, y: Index) -> Array:
    """Either, or both."""
    return np.logical_or(x, y)


@op(
    "torch.logical_not",
    samples=[sample(bools(3))],
    errors=not_numeric,
    elementwise=True,
    quick=True,
)
def logical_not(x: Index) -> Array:
    """Not."""
    return np.logical_not(x)


@op(
    "torch.Tensor.detach",
    # Finite differences see what the gradient is told not to.
    samples=[sample(floats(3, 4), kink=True), sample(floats(), kink=True)],
    errors=not_numeric,
    elementwise=True,
)
def detach(x: Array) -> Array:
    """The same values with no history: gradients stop here."""
    return x


@op(
    "torch.clone",
    samples=unary,
    errors=not_numeric,
    elementwise=True,
)
def clone(x: Array) -> Array:
    """The same values, as a tensor of its own that gradients flow through."""
    return x  # never written to, so that two tensors may hold it


clone.vjp(x=lambda g, y, x: g)


@op("torch.zeros_like", samples=unary, errors=not_numeric, elementwise=True)
def zeros_like(x: Array) -> Array:
    """Zeros of the shape and dtype of x."""
    return np.zeros(x.shape, x.dtype)


# -- products ------------------------------------------------------------------------


@op(
    "torch.matmul",
    samples=[
        sample(floats(3, 4), floats(4, 5)),
        sample(floats(4, 4), floats(4, 4)),
        sample(floats(2, 3, 4), floats(4, 5)),
        sample(floats(4), floats(4)),
        sample(floats(3, 4), floats(4)),
        sample(floats(4), floats(4, 5)),
        sample(floats(2, 3, 4), floats(4)),
        sample(floats(4), floats(2, 4, 5)),
        sample(floats(2, 1, 3, 4), floats(5, 4, 2)),
        sample(floats(0, 4), floats(4, 5)),
        sample(floats(3, 0), floats(0, 5)),
    ],
    errors=[
        bad(floats(2, 3), floats(4, 5), error=ShapeError, match="inner sizes 3 and 4"),
        bad(floats(), floats(4), error=ShapeError, match="at least one dimension"),
        bad(bools(2, 2), bools(2, 2), error=DTypeError, match="make one int64"),
        bad(floats(2, 3, 4), floats(3, 4, 5), error=ShapeError, match="broadcast"),
    ],
    rowwise=True,
    quick=True,
)
def matmul(x: Array, y: Array) -> Array:
    """The matrix product, over the last two dims, as numpy's and PyTorch's `@`."""
    if not (x.ndim and y.ndim):
        raise ShapeError(
            "matmul: each factor must have at least one dimension; use mul"
        )
    if x.dtype.kind == y.dtype.kind == "b":
        raise DTypeError("matmul: two bools have no sum of products; make one int64")
    inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise ShapeError(
            f"matmul: {x.shape} @ {y.shape}: the inner sizes {x.shape[-1]} and {inner} "
            "differ; transpose one of the two?"
        )
    if x.ndim > 2 and y.ndim == 2:  # one large product instead of a batch of small ones
        rows = x.reshape(math.prod(x.shape[:-1]), inner)
        return _product(rows, y).reshape(*x.shape[:-1], y.shape[1])
    return _product(x, y) if x.ndim == y.ndim == 2 else np.matmul(x, y)


def _product(x: Array, y: Array) -> Array:
    """x (M, K) @ y (K, N); a large one by the loop's kernels.

    At M = K = N = 512 in float32, one thread, they took 1.3 ms, numpy 2.5 (its OpenBLAS
    knows no AVX-512 on that machine) and PyTorch 2.8; at 64, 7, 6 and 7 us.
    """
    if x.dtype.kind == "f" and x.size * y.shape[1] > 1 << 18:
        loop = _backend.loop
        if x.flags.f_contiguous and not x.flags.c_contiguous:
            return loop.gram(x.T, y)
        return loop.product(x, loop.pack(y), y.shape[1])
    return np.matmul(x, y)


def _matmul_vjp_x(g: Any, z: Any, x: Any, y: Any) -> Any:
    if y.ndim == 1:
        return unsqueeze_last(g) * y
    if x.ndim == 1:
        return matmul(y, unsqueeze_last(g))[..., 0]
    return matmul(g, flipped(y))


def _matmul_vjp_y(g: Any, z: Any, x: Any, y: Any) -> Any:
    if y.ndim == 1:
        return unsqueeze_last(g) * x
    if x.ndim == 1:
        return unsqueeze_last(x) * reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
    if (
        x.ndim > 2 and y.ndim == 2
    ):  # sums over the batch inside one product: no stack of gradients
        return matmul(flattened(x).T, flattened(g))
    return matmul(flipped(x), g)


def flipped(x: Any) -> Any:
    """x.mT; where nothing records it, without an op."""
    return x.mT if _backend.get_mode() else _backend.wrap(x._data.swapaxes(-1, -2))


def unsqueeze_last(x: Any) -> Any:
    """x as a column: a new last dim of size one."""
    return reshape(x, (*x.shape, 1))


matmul.vjp(x=_matmul_vjp_x, y=_matmul_vjp_y)


# -- reductions ----------------------------------------------------------------------


@op(
    "torch.sum",
    samples=reductions,
    errors=[bad_dim, *not_numeric],
    rowwise=last_dim,
    quick=True,
    shapes=("x",),
)
def sum(
    x: Array, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> Array:
    """The sum over `dim`, or over everything."""
    return kernels.sum(x, numpy_axes(x, dim), keepdim)


sum.vjp(x=lambda g, y, x, dim, keepdim: expand(restore(g, x, dim, keepdim), x.shape))


@op(
    "torch.amax",
    samples=[
        *reductions,
        sample(floats(3, 4, at=(2.0, 2.0)), dim=-1, kink=True),
        sample(floats(3, at=(2.0, 2.0)), kink=True),
    ],
    errors=[bad_dim, bad(floats(0, 3), error=ShapeError, match="zero-size")],
    rowwise=last_dim,
    quick=True,
)
def amax(
    x: Array, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> Array:
    """The largest value over `dim`; equal ones share the gradient."""
    return kernels.amax(x, numpy_axes(x, dim), keepdim)


@op(
    "torch.amin",
    samples=[*reductions, sample(floats(3, 4, at=(-2.0, -2.0)), dim=-1, kink=True)],
    errors=[bad_dim, bad(floats(0, 3), error=ShapeError, match="zero-size")],
    rowwise=last_dim,
    quick=True,
)
def amin(
    x: Array, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> Array:
    """The smallest value over `dim`; equal ones share the gradient."""
    return kernels.amin(x, numpy_axes(x, dim), keepdim)


def _extreme_vjp(g: Any, y: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    chosen = eq(x, restore(y, x, dim, keepdim))
    share = restore(g, x, dim, keepdim) / sum(chosen, axes_of(dim, x.ndim), True)
    # Of a NaN nothing is chosen: the share is infinite, and 0 times that a NaN.
    return where(chosen, share, share * 0.0)


amax.vjp(x=_extreme_vjp)
amin.vjp(x=_extreme_vjp)

places = [sample(floats(3, 4)), sample(floats(3, 4), dim=1), sample(floats(4), 0, True)]


def _place(find: Any, x: Array, dim: int | None, keepdim: bool) -> Array:
    # Asked to keep the dim, numpy takes twice as long.
    found = np.asarray(find(kernels.writeable(x), axis=dim))
    if not keepdim or not x.ndim:
        return found
    return np.expand_dims(found, tuple(range(x.ndim)) if dim is None else dim)


@op("torch.argmax", samples=places, errors=[bad_dim], rowwise=last_dim, quick=True)
def argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Where the largest value stands; the first one of equals."""
    return _place(np.argmax, x, dim, keepdim)


@op("torch.argmin", samples=places, errors=[bad_dim], rowwise=last_dim, quick=True)
def argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Where the smallest value stands; the first one of equals."""
    return _place(np.argmin, x, dim, keepdim)


@op(
    "torch.cumsum",
    samples=[
        sample(floats(3, 4), 1),
        sample(floats(2, 3, 4), dim=-2),
        sample(floats(5), -1),
        sample(floats(), 0),
        sample(floats(0, 3), 0),
    ],
    errors=[
        bad(floats(2, 3), 2, error=IndexRangeError, match="dim 2 is out of range"),
        bad(floats(2, 3), error=ArgumentError, match="missing a required argument"),
    ],
    rowwise=last_dim,
    quick=True,
    shapes=("x",),
)
def cumsum(x: Array, dim: int) -> Array:
    """The sums of the first one, two, ... elements along `dim`."""
    return kernels.cumsum(x, numpy_axis(x, dim))


cumsum.vjp(x=lambda g, y, x, dim: flip(cumsum(flip(g, (dim,)), dim), (dim,)))


@op(
    "torch.logsumexp",
    samples=[
        *along_dim,
        sample(floats(2, 3), dim=(0, 1)),
        sample(floats(2, 3), 0, True),
    ],
    errors=[bad_dim],
    floating=True,
    rowwise=last_dim,
    quick=True,
)
def logsumexp(x: Array, dim: int | Sequence[int], keepdim: bool = False) -> Array:
    """log(sum(exp(x))) over `dim`, without overflow."""
    return kernels.logsumexp(x, numpy_axes(x, dim), keepdim)


logsumexp.vjp(
    x=lambda g, y, x, dim, keepdim: (
        restore(g, x, dim, keepdim) * exp(x - restore(y, x, dim, keepdim))
    )
)


@op(
    "torch.softmax",
    samples=along_dim,
    errors=[bad_dim],
    floating=True,
    rowwise=last_dim,
    quick=True,
)
def softmax(x: Array, dim: int) -> Array:
    """exp(x) / sum(exp(x)) over `dim`, without overflow."""
    return kernels.softmax(x, numpy_axis(x, dim))


softmax.vjp(
    x=in_one_pass(
        lambda g, y, x, dim: kernels.softmax_grad(g, y, numpy_axes(y, dim)),
        lambda g, y, x, dim: (g - sum(g * y, dim, True)) * y,
    )
)


@op(
    "torch.log_softmax",
    samples=along_dim,
    errors=[bad_dim],
    floating=True,
    rowwise=last_dim,
    quick=True,
)
def log_softmax(x: Array, dim: int) -> Array:
    """log(softmax(x)) over `dim`, accurate where the softmax is almost zero."""
    return kernels.log_softmax(x, numpy_axis(x, dim))


log_softmax.vjp(
    x=in_one_pass(
        lambda g, y, x, dim: kernels.log_softmax_grad(g, y, numpy_axes(y, dim)),
        lambda g, y, x, dim: g - exp(y) * sum(g, dim, True),
    )
)


@op(None, samples=[], floating=True, registered=False)
def normalised_rows(
    x: Array, weight: Array, bias: Array, eps: float
) -> tuple[Array, Array]:
    """layer_norm over the dims of weight, and the moments of each row: see kernels."""
    return kernels.layer_norm(x, weight, bias, eps)


def _normalised_vjp_x(
    gs: Any, ys: Any, x: Any, weight: Any, bias: Any, eps: Any
) -> Any:
    axes = tuple(range(-weight.ndim, 0))
    n = float(weight.numel())
    centred = x - sum(x, axes, True) / n
    scale = 1.0 / sqrt(sum(centred * centred, axes, True) / n + eps)
    z, h = centred * scale, gs[0] * weight
    shared = sum(h, axes, True) / n + z * (sum(h * z, axes, True) / n)
    return (h - shared) * scale


def _normalised_vjp_weight(
    gs: Any, ys: Any, x: Any, weight: Any, bias: Any, eps: Any
) -> Any:
    return (
        gs[0] * normalised_rows(x, exp(zeros_like(weight)), zeros_like(weight), eps)[0]
    )


normalised_rows.vjp(
    x=in_one_pass(
        lambda gs, ys, x, weight, bias, eps: kernels.layer_norm_grad_x(
            array_of(gs[0]), x, weight, array_of(ys[1])
        ),
        _normalised_vjp_x,
    ),
    weight=in_one_pass(
        lambda gs, ys, x, weight, bias, eps: kernels.layer_norm_grad_weight(
            array_of(gs[0]), x, array_of(ys[1]), weight.shape
        ),
        _normalised_vjp_weight,
    ),
    bias=lambda gs, *_: gs[0],
)


@op(
    None,
    samples=[sample(floats(3, 4), 1e-5), sample(floats(2, 3, 5), 0.1)],
    errors=[bad(floats(), 1e-5, error=ShapeError, match="no dimensions")],
    floating=True,
    rowwise=True,
)
def standardize(x: Array, eps: float) -> tuple[Array, Array]:
    """Rows moved to mean 0 and scaled; and the scales, 1 / sqrt(variance + eps)."""
    if not x.ndim:
        raise ShapeError("standardize: a tensor with no dimensions has no rows")
    n = x.dtype.type(x.shape[-1])
    centred = x - np.sum(x, -1, keepdims=True) / n
    variance = np.sum(centred * centred, -1, keepdims=True) / n
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))
    return centred * scale, scale


@op(
    None,
    samples=[sample(floats(3, 4), floats(3, 4), floats(3, 1))],
    errors=[
        bad(
            floats(3, 4),
            floats(3, 5),
            floats(3, 1),
            error=ShapeError,
            match="broadcast",
        ),
        bad(
            floats(3, 4),
            floats(3, 4),
            floats(3, 4),
            error=ShapeError,
            match="one scale",
        ),
    ],
    floating=True,
    rowwise=True,
)
def standardize_grad(g: Array, y: Array, scale: Array) -> Array:
    """scale * (g - mean(g) - y * mean(g * y)), of rows: the adjoint of standardize."""
    if scale.shape[-1:] != (1,):
        raise ShapeError(f"standardize_grad: a row has one scale, not {scale.shape}")
    n = g.dtype.type(g.shape[-1])
    mean = np.sum(g, -1, keepdims=True) / n
    return scale * (g - mean - y * (np.sum(g * y, -1, keepdims=True) / n))


def _standardize_vjp(gs: Any, ys: Any, x: Array, eps: float) -> Any:
    (g, g_scale), (y, scale) = gs, ys
    ours = None if g is None else standardize_grad(g, y, scale)
    if g_scale is None:
        return ours
    rest = g_scale * scale * scale * y / -float(x.shape[-1])
    return rest if ours is None else ours + rest


standardize.vjp(x=_standardize_vjp)
standardize_grad.vjp(
    g=lambda h, z, g, y, scale: standardize_grad(h, y, scale),
    y=lambda h, z, g, y, scale: (
        (h * sum(g * y, -1, True) + g * sum(h * y, -1, True))
        * (scale / -float(g.shape[-1]))
    ),
    scale=lambda h, z, g, y, scale: sum(h * z, -1, True) / scale,
)


# -- shapes --------------------------------------------------------------------------


@op(
    "torch.reshape",
    samples=[
        sample(floats(3, 4), (2, 6)),
        sample(floats(3, 4), (-1,)),
        sample(floats(), (1, 1)),
        sample(floats(0, 3), (3, 0)),
    ],
    errors=[
        bad(floats(3, 4), (5, 2), error=ShapeError, match="cannot reshape"),
        bad(floats(4), (-1, -1), error=ShapeError, match="one unknown dimension"),
    ],
    quick=True,
    shapes=("x",),
)
def reshape(x: Array, shape: Sequence[int]) -> Array:
    """The same elements in row-major order; one size may be -1."""
    sizes = tuple(shape)
    y = x.reshape(sizes)
    if min(sizes, default=0) < -1:  # to numpy as good as -1
        raise ValueError("one size may be -1, no other below 0")
    return y


reshape.vjp(x=lambda g, y, x, shape: reshape(g, x.shape))


@op(
    "torch.permute",
    samples=[sample(floats(2, 3, 4), (2, 0, 1)), sample(floats(2, 3), (-1, 0))],
    errors=[
        bad(floats(2, 3), (0,), error=ShapeError, match="don't match"),
        bad(floats(2, 3), (0, 0), error=ShapeError, match="repeated"),
    ],
    quick=True,
    shapes=("x",),
)
def permute(x: Array, dims: Sequence[int]) -> Array:
    """The dims in another order."""
    return x.transpose(tuple(dims))


permute.vjp(
    x=lambda g, y, x, dims: permute(
        g, tuple(int(i) for i in np.argsort([d % x.ndim for d in dims]))
    )
)


@op(
    "torch.Tensor.expand",
    samples=[
        sample(floats(3, 1), (2, 3, 4)),
        sample(floats(3, 1), (-1, 4)),
        sample(floats(), (2,)),
    ],
    errors=[bad(floats(3), (2, 4), error=ShapeError, match="broadcast")],
    quick=True,
    shapes=("x",),
)
def expand(x: Array, size: Sequence[int]) -> Array:
    """x, repeated without a copy along dims of size one and new leading ones."""
    lead = len(size) - x.ndim
    full = [
        x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(size)
    ]
    return np.broadcast_to(x, full)


expand.vjp(x=lambda g, y, x, size: g)  # the engine undoes broadcasting for everybody


@op(
    "torch.Tensor.sum_to_size",
    samples=[sample(floats(2, 3, 4), (3, 1)), sample(floats(3, 4), (3, 4))],
    errors=[bad(floats(3, 4), (2, 4), error=ShapeError, match="broadcast")],
    quick=True,
    shapes=("x",),
)
def sum_to(x: Array, size: Sequence[int]) -> Array:
    """Undo broadcasting: the sum over every dim that an expand of `size` would add."""
    lead = x.ndim - len(size)
    pairs = list(zip(x.shape[max(lead, 0) :], size, strict=False))
    if lead < 0 or any(n not in (1, m) for m, n in pairs):
        raise ShapeError(f"sum_to: {tuple(size)} can't be broadcast to {x.shape}")
    axes = [i for i in range(lead) if x.shape[i] != 1]
    axes += [lead + i for i, (m, n) in enumerate(pairs) if n == 1 and m != 1]
    summed = np.add.reduce(x, axis=tuple(axes), keepdims=True) if axes else x
    return summed.reshape(tuple(size))


sum_to.vjp(x=lambda g, y, x, size: expand(g, x.shape))


@op(
    "torch.flip",
    samples=[sample(floats(3, 4), (0,)), sample(floats(2, 3, 4), (0, -1))],
    errors=[
        bad(floats(2, 3), (2,), error=IndexRangeError, match="dim 2 is out of range")
    ],
)
def flip(x: Array, dims: Sequence[int]) -> Array:
    """The order reversed along each of `dims`; of none, if there are none."""
    axes = numpy_axes(x, dims) if dims not in ((), []) else ()
    backwards, whole = slice(None, None, -1), slice(None)
    return x[tuple(backwards if i in axes else whole for i in range(x.ndim))]


flip.vjp(x=lambda g, y, x, dims: flip(g, dims))


@op(
    "torch.nn.functional.pad",
    samples=[
        sample(floats(2, 3), (1, 2)),
        sample(floats(2, 3), (0, 1, 2, 0), value=0.5),
        sample(floats(2, 3, 4), (-1, 2, 0, -2)),
        sample(floats(4), (-2, -1), "constant", 3.0),
        sample(floats(0, 3), (0, 0, 1, 1)),
        sample(floats(3), ()),
    ],
    errors=[
        bad(floats(3), (1,), error=ShapeError, match="a pair for each dim"),
        bad(floats(3), (1, 1, 1, 1), error=ShapeError, match="a pair for each dim"),
        bad(floats(3), (-2, -2), error=ShapeError, match="cuts more than"),
        bad(floats(3), (1, 1), "reflect", error=ArgumentError, match='"constant"'),
        bad(floats(3), (1, 1), value="0", error=ArgumentError, match="be a number"),
        bad(floats(3), (0.5, 1), error=ArgumentError, match="must be integers"),
        bad(floats(3), 1, error=ArgumentError, match="must be integers"),
    ],
)
def pad(
    input: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Array:
    """`value`, or 0, before and after dims of input; a negative number cuts.

    pad: (before, after) of the last dim, then of the last but one, ...
    """
    if mode != "constant":
        raise ArgumentError(f'pad: mode must be "constant", not {mode!r}')
    value = 0.0 if value is None else value
    check_numbers("pad", value=value)
    if not isinstance(pad, Sequence) or not all(
        isinstance(n, int | np.integer) for n in pad
    ):
        raise ArgumentError(f"pad: the sizes must be integers, not {pad!r}")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(
            f"pad: expected a pair for each dim from the last one on, {input.ndim} "
            f"at most; got {tuple(pad)}"
        )
    pairs = [(0, 0)] * (input.ndim - len(pad) // 2)
    pairs += reversed(list(zip(pad[::2], pad[1::2], strict=True)))
    sizes = list(zip(input.shape, pairs, strict=True))
    if any(n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in sizes):
        raise ShapeError(f"pad: {tuple(pad)} cuts more than {input.shape} has")
    check_whole("pad: value", np.asarray(value), input.dtype)
    out = np.full([n + a + b for n, (a, b) in sizes], value, input.dtype)
    inner = tuple(slice(max(a, 0), n + a + min(b, 0)) for n, (a, b) in sizes)
    out[inner] = input[tuple(slice(max(-a, 0), n + min(b, 0)) for n, (a, b) in sizes)]
    return out


pad.vjp(input=lambda g, y, input, pairs, *_: pad(g, tuple(-n for n in pairs)))


# -- joining and splitting -----------------------------------------------------------


@op(
    "torch.cat",
    samples=[
        sample([floats(2, 3), floats(4, 3)]),
        sample([floats(2, 3), floats(2, 3)]),
        sample([floats(2, 3), floats(2, 1), floats(2, 2)], dim=-1),
        sample([floats(2, 0), floats(2, 3)], dim=1),
    ],
    errors=[
        bad([floats(2, 3), floats(3, 2)], error=ShapeError, match="must match exactly"),
        bad([], error=ArgumentError, match="non-empty"),
    ],
    quick=True,
)
def cat(tensors: Arrays, dim: int = 0) -> Array:
    """The tensors one after the other along an existing dim."""
    return np.concatenate(tensors, axis=axis_of(dim, tensors[0].ndim))


def _cat_vjp(i: int, g: Any, y: Any, tensors: Any, dim: int) -> Any:
    axis = dim % y.ndim
    start = 0
    for tensor in tensors[:i]:
        start += tensor.shape[axis]
    piece = slice(start, start + tensors[i].shape[axis])
    return getitem(g, (*(slice(None),) * axis, piece))


cat.vjp(tensors=_cat_vjp)


@op(
    "torch.stack",
    samples=[
        sample([floats(2, 3), floats(2, 3)]),
        sample([floats(3), floats(3)], dim=-1),
    ],
    errors=[bad([floats(2), floats(3)], error=ShapeError, match="same shape")],
    quick=True,
)
def stack(tensors: Arrays, dim: int = 0) -> Array:
    """Tensors of one shape, side by side along a new dim."""
    return np.stack(tensors, axis=axis_of(dim, tensors[0].ndim + 1))


stack.vjp(
    tensors=lambda i, g, y, tensors, dim: getitem(
        g, (*(slice(None),) * (dim % g.ndim), i)
    )
)


def present(gs: Any, ys: Any) -> list[Any]:
    """The pieces' cotangents, zeros for a piece that nobody used.

    They are made of another piece's cotangent, if they can be: a fused loop need not
    keep a piece for its size.
    """
    given = max((g for g in gs if g is not None), key=lambda g: math.prod(g.shape))

    def zeros(y: Any) -> Any:
        if y.shape == given.shape:
            return zeros_like(given)
        if not math.prod(given.shape):
            return zeros_like(y)
        pairs = list(zip(given.shape, y.shape, strict=True))
        one = getitem(given, tuple(slice(None if a == b else 1) for a, b in pairs))
        return expand(zeros_like(one), tuple(-1 if a == b else b for a, b in pairs))

    return [zeros(y) if g is None else g for g, y in zip(gs, ys, strict=True)]


@op(
    "torch.unbind",
    samples=[sample(floats(3, 4)), sample(floats(2, 3), dim=-1)],
    errors=[bad_dim, bad(floats(), error=ShapeError, match="no dimensions")],
)
def unbind(x: Array, dim: int = 0) -> tuple[Array, ...]:
    """The slices along `dim`, which goes away."""
    return tuple(np.moveaxis(x, dim, 0)) if size_of(x, dim) else ()


unbind.vjp(x=lambda gs, ys, x, dim: stack(present(gs, ys), dim))


@op(
    "torch.split",
    samples=[
        sample(floats(5, 3), 2),
        sample(floats(2, 6), (1, 2, 3), dim=-1),
        sample(floats(4), 4),
    ],
    errors=[
        bad(floats(4), (1, 2), error=ShapeError, match="add up to 3"),
        bad(floats(4), 0, error=ArgumentError, match="positive"),
        bad(floats(2, 3), 1, 2, error=IndexRangeError, match="dim 2 is out of range"),
        bad(floats(), 1, error=ShapeError, match="no dimensions"),
    ],
)
def split(
    x: Array, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Array, ...]:
    """Pieces of one size (the last may be smaller), or of the sizes given."""
    n = size_of(x, dim)
    sizes = split_size_or_sections
    if isinstance(sizes, int | np.integer):
        if sizes < 1:
            raise ArgumentError(f"split: the size must be positive, not {sizes}")
        stops = [*range(sizes, n, sizes), n]
    else:
        stops = list(itertools.accumulate(map(operator.index, sizes)))
        if not stops or stops[-1] != n or min(sizes) < 0:
            total = stops[-1] if stops else 0
            raise ShapeError(
                f"split: sections {list(sizes)} add up to {total}; dim {dim} has {n}"
            )
    lead = (slice(None),) * axis_of(dim, x.ndim)
    return tuple(
        x[(*lead, slice(a, b))] for a, b in zip([0, *stops], stops, strict=False)
    )


split.vjp(
    x=lambda gs, ys, x, split_size_or_sections, dim: cat(present(gs, ys), dim),
)


# -- indexing ------------------------------------------------------------------------


@op(
    "operator.getitem",
    samples=[
        sample(floats(3, 4), (1,)),
        sample(floats(3, 4), (slice(None), slice(1, 4, 2))),
        sample(floats(3, 4), (..., None, -1)),
        sample(floats(4, 3), (np.array([0, 2, 0]),)),
        sample(floats(4, 3), (np.array([[0], [-1]]), np.array([1, 1]))),
        sample(floats(2, 2), (np.array([[True, False], [True, True]]),)),
    ],
    errors=[
        bad(floats(3), (3,), error=IndexRangeError, match="out of bounds"),
        bad(floats(3), (0, 0), error=IndexRangeError, match="too many indices"),
        bad(floats(3), ("a",), error=IndexRangeError, match="valid indices"),
    ],
    shapes=("x",),
)
def getitem(x: Array, index: Any) -> Array:
    """x[index], with everything numpy's indexing takes."""
    return x[index]


getitem.vjp(x=lambda g, y, x, index: put(g, index, x.shape))


@op(
    None,
    linear=True,
    samples=[
        sample(floats(4), (1,), (3, 4)),
        sample(floats(3, 2), (np.array([0, 2, 0]),), (4, 2)),
    ],
    errors=[bad(floats(2), (3,), (3,), error=IndexRangeError, match="out of bounds")],
)
def put(x: Array, index: Any, shape: Sequence[int]) -> Array:
    """Zeros of `shape` with x added at the index: the adjoint of getitem."""
    out = np.zeros(shape, x.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    # Anything else is one to numpy: a tuple or a range may name an element twice, too.
    plain = (int, np.integer, np.bool_, slice, EllipsisType, NoneType)
    arrays = [np.asarray(part) for part in parts if not isinstance(part, plain)]
    if all(array.dtype == np.bool_ for array in arrays):
        out[index] = x
    elif len(parts) == 1 and out.ndim and arrays[0].dtype.kind == "i":
        rows, width = arrays[0].astype(np.int64, copy=False), math.prod(shape[1:])
        check_range(rows, shape[0], "put", "index", low=-shape[0])
        places = np.where(rows < 0, rows + shape[0], rows).reshape(-1)
        source = np.broadcast_to(x, (*rows.shape, *shape[1:]))
        source = source.reshape(places.size, width)
        return kernels.add_rows(source, places, shape[0]).reshape(shape)
    else:
        np.add.at(out, index, x)  # an element may be named more than once
    return out


put.vjp(x=lambda g, y, x, index, shape: getitem(g, index))


@op(
    "torch.take",
    samples=[
        sample(floats(3, 4), ints(2, 5, low=-12, high=12)),
        sample(floats(5), np.array([1, 1, -4])),
        sample(floats(3, 4), ints(high=12)),
        sample(floats(), ints(2, high=1)),
        sample(floats(3), ints(0, 2)),
    ],
    errors=[
        bad(floats(2, 3), np.array([6]), error=IndexRangeError, match="index 6 is out"),
        bad(floats(2, 3), np.array([-7]), error=IndexRangeError, match="index -7 is"),
        bad(floats(2, 3), bools(2, 3), error=DTypeError, match="index must be int64"),
        bad(floats(2, 3), [0, 1], error=DTypeError, match="index must be a Tensor"),
    ],
)
def take(x: Array, index: Index) -> Array:
    """The elements of x, as if it had one dim, at index: of the shape of index."""
    if index.dtype != np.int64:
        raise DTypeError(f"take: index must be int64, not {index.dtype}")
    check_range(index, x.size, "take", "index", low=-x.size)
    return x.reshape(-1)[index]


def _take_vjp(g: Any, y: Any, x: Any, index: Any) -> Any:
    places = where(lt(index, 0), index + x.numel(), index)
    zeros = reshape(zeros_like(x), (-1,))
    return reshape(
        scatter_add(zeros, 0, reshape(places, (-1,)), reshape(g, (-1,))), x.shape
    )


take.vjp(x=_take_vjp)


def _checked_axis(x: Array, dim: int, index: Array, name: str) -> int:
    """The axis that gather and scatter_add mean; refuses an index that does not fit."""
    axis = axis_of(dim, x.ndim)
    if index.dtype != np.int64:
        raise DTypeError(f"{name}: index must be int64, not {index.dtype}")
    if index.ndim != x.ndim:
        raise ShapeError(
            f"{name}: index must have as many dims as x, {x.ndim}; it has {index.ndim}"
        )
    if any(
        i > n
        for d, (i, n) in enumerate(zip(index.shape, x.shape, strict=True))
        if d != axis
    ):
        raise ShapeError(
            f"{name}: index {index.shape} must not be larger than x {x.shape} "
            f"outside dim {dim}"
        )
    check_range(index, x.shape[axis] if x.ndim else 1, name, "index")
    return axis


def _corner(index: Array, axis: int) -> tuple[Any, ...]:
    """The part of a larger array that an index speaks of, all along its axis."""
    parts = [slice(None if d == axis else n) for d, n in enumerate(index.shape)]
    return (*parts, ...)  # else what has no dims would be a number, not an array


def check_range(index: Array, n: int, name: str, what: str, low: int = 0) -> None:
    """Refuse indices outside low..n-1, and name the first one."""
    if kernels.outside(index, low, n):
        value = index[(index < low) | (index >= n)].flat[0]
        raise IndexRangeError(
            f"{name}: {what} {value} is out of range: expected {low}..{n - 1}"
        )


@op(
    "torch.gather",
    samples=[
        sample(floats(3, 4), 1, ints(3, 2, high=4)),
        sample(floats(3, 4), 0, ints(2, 3, high=3)),
        sample(floats(5), -1, ints(7, high=5)),
    ],
    errors=[
        bad(floats(3), 0, np.array([3]), error=IndexRangeError, match="index 3 is out"),
        bad(
            floats(3), 0, np.array([-1]), error=IndexRangeError, match="index -1 is out"
        ),
        bad(floats(3), 0, ints(1, 1), error=ShapeError, match="as many dims as x"),
        bad(floats(3), 0, floats(1), error=DTypeError, match="index must be int64"),
        bad(floats(1, 3), 1, ints(2, 1), error=ShapeError, match="must not be larger"),
    ],
    quick=True,
)
def gather(x: Array, dim: int, index: Index) -> Array:
    """x at `index` along `dim`, position by position elsewhere."""
    axis = _checked_axis(x, dim, index, "gather")
    return kernels.gather(x[_corner(index, axis)], axis, index)


def _scattered(g: Array, x: Array, dim: int, index: Array) -> Array:
    axis = axis_of(dim, x.ndim)
    out = np.zeros(x.shape, x.dtype)
    kernels.scatter(out[_corner(index, axis)], axis, index, g)
    return out


gather.vjp(
    x=in_one_pass(
        lambda g, y, x, dim, index: _scattered(g, x, dim, index),
        lambda g, y, x, dim, index: scatter_add(zeros_like(x), dim, index, g),
    )
)


@op(
    "torch.scatter_add",
    samples=[
        sample(floats(3, 4), 1, ints(3, 2, high=4), floats(3, 2)),
        sample(floats(3, 4), 0, ints(2, 3, high=3), floats(2, 3)),
    ],
    errors=[
        bad(
            floats(3),
            0,
            np.array([3]),
            floats(1),
            error=IndexRangeError,
            match="index 3",
        ),
        bad(floats(3), 0, ints(2), floats(1), error=ShapeError, match="as index"),
    ],
    quick=True,
)
def scatter_add(x: Array, dim: int, index: Index, src: Array) -> Array:
    """x with src added at `index` along `dim`; indices may repeat. src is as index."""
    axis = _checked_axis(x, dim, index, "scatter_add")
    if src.shape != index.shape:
        raise ShapeError(
            f"scatter_add: src must have the same shape as index, {index.shape}; "
            f"it has {src.shape}"
        )
    out = np.array(x, order="C")
    kernels.scatter(out[_corner(index, axis)], axis, index, src)
    return out


scatter_add.vjp(
    x=lambda g, y, x, dim, index, src: g,
    src=lambda g, y, x, dim, index, src: gather(g, dim, index),
)


@op(
    "torch.nn.functional.embedding",
    samples=[
        sample(ints(3, 2, high=5), floats(5, 4)),
        # The padding row is not trained: its gradient is a convention, too.
        sample(ints(6, high=3), floats(3, 2), padding_idx=1, kink=True),
        sample(ints(high=5), floats(5, 4), padding_idx=-1, kink=True),
    ],
    errors=[
        bad(np.array([5]), floats(5, 2), error=IndexRangeError, match="index 5 is out"),
        bad(
            np.array([-1]), floats(5, 2), error=IndexRangeError, match="index -1 is out"
        ),
        bad(floats(2), floats(5, 2), error=DTypeError, match="must be int64"),
        bad(ints(2), floats(5), error=ShapeError, match=r"\(num_embeddings"),
    ],
    quick=True,
)
def embedding(input: Index, weight: Array, padding_idx: int | None = None) -> Array:
    """Rows of weight (V, D) at input (...): (..., D). The padding row isn't trained."""
    if input.dtype != np.int64:
        raise DTypeError(f"embedding: input must be int64, not {input.dtype}")
    if weight.ndim != 2:
        raise ShapeError(
            "embedding: weight must be (num_embeddings, embedding_dim); "
            f"it is {weight.shape}"
        )
    n = weight.shape[0]
    if padding_idx is not None and not -n <= padding_idx < n:
        raise IndexRangeError(
            f"embedding: padding_idx {padding_idx} is not in the {n} rows"
        )
    check_range(input, n, "embedding", "index")
    return weight[input]


embedding.vjp(
    weight=lambda g, y, input, weight, padding_idx: embedding_grad(
        g, input, weight.shape[0], padding_idx
    )
)


@op(
    None,
    linear=True,
    samples=[
        sample(floats(3, 2), ints(3), 4),
        sample(floats(2, 2, 3), ints(2, 2), 3, 1),
    ],
    errors=[bad(floats(3, 2), ints(2), 4, error=ShapeError, match="a row for each")],
    floating=True,
)
def embedding_grad(
    x: Array, index: Index, num_embeddings: int, padding_idx: int | None = None
) -> Array:
    """Zeros (V, D) with the rows of x added at index: the adjoint of embedding."""
    if x.shape[:-1] != index.shape:
        raise ShapeError(
            f"embedding_grad: x {x.shape} must have a row for each of index "
            f"{index.shape}"
        )
    check_range(index, operator.index(num_embeddings), "embedding_grad", "index")
    rows = x.reshape(index.size, x.shape[-1])
    out = kernels.add_rows(rows, index.reshape(-1), num_embeddings)
    if padding_idx is not None:
        out[operator.index(padding_idx)] = 0
    return out


def _embedding_grad_vjp(
    g: Any, y: Any, x: Any, index: Any, n: int, padding: Any
) -> Any:
    rows = embedding(index, g)
    if padding is None:
        return rows
    return where(unsqueeze_last(eq(index, padding % n)), 0.0, rows)


embedding_grad.vjp(x=_embedding_grad_vjp)


@op(
    "torch.nn.functional.one_hot",
    samples=[sample(ints(3, 2, high=4), 4), sample(ints(5, high=3))],
    errors=[
        bad(np.array([3]), 3, error=IndexRangeError, match="index 3 is out of range"),
        bad(np.array([-1]), 3, error=IndexRangeError, match="index -1 is out of range"),
        bad(floats(2), 3, error=DTypeError, match="must be int64"),
    ],
)
def one_hot(x: Index, num_classes: int = -1) -> Array:
    """int64 (..., num_classes): one at the index, zero elsewhere."""
    if x.dtype != np.int64:
        raise DTypeError(f"one_hot: x must be int64, not {x.dtype}")
    num_classes = operator.index(num_classes)
    if num_classes == -1:
        num_classes = int(x.max(initial=-1)) + 1
    check_range(x, num_classes, "one_hot", "index")
    out = np.zeros((x.size, num_classes), np.int64)
    out[np.arange(x.size), x.reshape(-1)] = 1
    return out.reshape(*x.shape, num_classes)


@op(
    "torch.Tensor.to",
    samples=[
        sample(floats(3), np.dtype(np.float64)),
        sample(floats(3), np.dtype(np.float32)),
    ],
    errors=[bad(floats(3), "float16", error=DTypeError, match="float32, float64")],
)
def to(x: Array, dtype: Any) -> Array:
    """x in another dtype: float32, float64, int64 or bool."""
    return x.astype(checked_dtype(dtype), copy=False)


to.vjp(x=lambda g, y, x, dtype: to(g, x.dtype))

DTYPES = tuple(np.dtype(t) for t in (np.float32, np.float64, np.int64, np.bool_))


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as one of the four that minigrad has."""
    try:
        found = np.dtype(dtype)
    except (*NUMPY_ERRORS, Warning):  # numpy deprecates some names
        found = None
    if dtype is None or found is None or found not in DTYPES:
        raise DTypeError(
            f"dtype must be float32, float64, int64 or bool, not {dtype!r}"
        )
    return found


def check_whole(name: str, values: Array, dtype: np.dtype[Any]) -> None:
    """Refuse floats that no int64 stands for, of which numpy makes any number."""
    if dtype == np.int64 and values.dtype.kind == "f":
        fits = (values >= -(2.0**63)) & (values < 2.0**63)
        if not fits.all():
            raise DTypeError(
                f"{name}: {values[~fits].flat[0]} is no int64; make it finite and "
                "smaller, or take a float dtype"
            )
