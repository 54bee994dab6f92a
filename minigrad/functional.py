"""Operations made of other ops: they need no VJP. In the same table, as composites.

Reductions, losses and what takes a page of its own stand in modules beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import ops, rng
from ._backend import kernels, wrap
from .composite import composite
from .errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .mode import is_tracing
from .one_pass import in_one_pass
from .op import Array, op
from .ops import (
    axes_of,
    axis_of,
    check_numbers,
    not_numeric,
    unary,
)
from .samples import bad, bools, floats, ints, sample

# -- elementwise ---------------------------------------------------------------------


# Each in one pass; a trace is of ops that a loop knows.


@op(None, samples=[], floating=True, registered=False, quick=True)
def _leaky_relu(x: Array, slope: float) -> Array:
    return kernels.leaky_relu(x, slope)


_leaky_relu.vjp(
    x=in_one_pass(
        lambda g, y, x, slope: kernels.leaky_relu_grad(g, x, slope),
        lambda g, y, x, slope: ops.where(ops.gt(x, 0), g, g * slope),
    )
)


@op(None, samples=[], floating=True, registered=False, quick=True)
def _hardsigmoid(x: Array) -> Array:
    return kernels.hardsigmoid(x)


_hardsigmoid.vjp(
    x=in_one_pass(
        lambda g, y, x: kernels.hardsigmoid_grad(g, x),
        lambda g, y, x: ops.where(
            ops.logical_or(ops.le(x, -3), ops.ge(x, 3)), 0.0, g / 6.0
        ),
    )
)


@composite(
    "torch.nn.functional.leaky_relu",
    samples=[
        *unary,
        sample(floats(3, 4), 0.3),
        sample(floats(4, at=(0.0, -0.0)), kink=True),
    ],
    errors=[
        *not_numeric,
        bad(floats(3), "0", error=ArgumentError, match="must be a number"),
    ],
    elementwise=True,
)
def leaky_relu(input: Array, negative_slope: float = 0.01) -> Any:
    """input where it is positive, negative_slope * input elsewhere."""
    check_numbers("leaky_relu", negative_slope=negative_slope)
    if is_tracing():
        return ops.where(input > 0, input, input * negative_slope)
    return _leaky_relu(input, float(negative_slope))


@composite(
    "torch.nn.functional.hardsigmoid",
    samples=[
        sample(floats(3, 4, low=-5.0, high=5.0)),
        sample(floats()),
        sample(floats(4, at=(3.0, -3.0)), kink=True),
    ],
    errors=not_numeric,
    elementwise=True,
)
def hardsigmoid(input: Array) -> Any:
    """(input + 3) / 6, cut at 0 and 1."""
    if is_tracing():
        # Cut before the sum, which rounds some numbers next to 3 to the kink.
        return (ops.hardtanh(input, -3.0, 3.0) + 3.0) / 6.0
    return _hardsigmoid(input)


# -- shapes --------------------------------------------------------------------------


@composite(
    "torch.transpose",
    samples=[sample(floats(2, 3, 4), 0, 2), sample(floats(2, 3), -1, 0)],
    errors=[bad(floats(2, 3), 0, 2, error=IndexRangeError, match="dim 2 is out")],
)
def transpose(x: Array, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    a, b = axis_of(dim0, x.ndim), axis_of(dim1, x.ndim)
    dims = [*range(x.ndim)]
    if dims:
        dims[a], dims[b] = b, a
    return ops.permute(x, tuple(dims))


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
    if dim is None:
        return ops.reshape(x, tuple([n for n in x.shape if n != 1]))
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
    "torch.flatten",
    samples=[
        sample(floats(2, 3, 4)),
        sample(floats(2, 3, 4), 1),
        sample(floats(2, 3, 4, 2), 1, -2),
        sample(floats(2, 3), -1),
        sample(floats()),
        sample(floats(2, 0, 3), start_dim=1),
    ],
    errors=[
        bad(floats(2, 3), 2, error=IndexRangeError, match="dim 2 is out of range"),
        bad(floats(2, 3), 0, 2, error=IndexRangeError, match="dim 2 is out of range"),
        bad(floats(2, 3), 1, 0, error=ArgumentError, match="can't come after end_dim"),
        bad(floats(2, 3), 0.0, error=DTypeError, match="a dim must be an int"),
    ],
)
def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dims from `start_dim` to `end_dim` as one; without dims, (1,)."""
    first, last = axis_of(start_dim, x.ndim), axis_of(end_dim, x.ndim)
    if first > last:
        raise ArgumentError(
            f"flatten: start_dim {start_dim} can't come after end_dim {end_dim} of a "
            f"tensor of {x.ndim} dims; exchange them"
        )
    size = math.prod(x.shape[first : last + 1])
    return ops.reshape(x, (*x.shape[:first], size, *x.shape[last + 1 :]))


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
    """At most `chunks` pieces of one size; the last may be smaller.

    Of a dim of size 0 there are `chunks`, of size 0.
    """
    if chunks < 1:
        raise ArgumentError(f"chunk: expected at least one chunk, not {chunks}")
    n = ops.size_of(input, dim)
    return ops.split(input, -(-n // chunks) if n else (0,) * chunks, dim)


# -- regularisation ------------------------------------------------------------------


@composite(
    "torch.nn.functional.dropout",
    samples=[
        sample(floats(3, 4), 0.5, False),
        sample(floats(3, 4), 1.0),
        sample(floats(3, 4), 0.0),
        sample(floats(3, 4), 0.3, mask=bools(3, 4)),
    ],
    errors=[
        bad(floats(3), 1.5, error=ArgumentError, match="between 0 and 1"),
        bad(ints(3), 0.5, error=DTypeError, match="make input a float tensor"),
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

    Raises ArgumentError for p outside 0..1, DTypeError and ShapeError for a bad mask,
    DTypeError for integers and bools, unless all of them or none are kept.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must be between 0 and 1, not {p}")
    if not training or (p == 0.0 and mask is None):
        return ops.clone(input)
    if input.dtype.kind != "f" and 0.0 < p < 1.0:
        raise DTypeError(
            f"dropout: {input.dtype} can't be divided by 1 - p; make input a float "
            "tensor"
        )
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


# -- normalisation -------------------------------------------------------------------


@composite(
    "torch.nn.functional.layer_norm",
    samples=[
        sample(floats(3, 4), (4,)),
        sample(floats(3, 4), (4,), floats(4), floats(4)),
        sample(floats(2, 3, 4), (3, 4), weight=floats(3, 4), eps=0.1),
        # PyTorch's second derivative fails on a bias alone.
        sample(floats(2, 5, 4), (4,), bias=floats(4), kink=True),
        sample(floats(6), (6,), floats(6), floats(6)),
    ],
    errors=[
        bad(floats(3, 4), (3,), error=ShapeError, match="must end with"),
        bad(floats(4), (3, 4), error=ShapeError, match="must end with"),
        bad(floats(3, 4), (), error=ArgumentError, match="sizes of the last dims"),
        bad(floats(3, 4), 4, error=ArgumentError, match="sizes of the last dims"),
        bad(floats(3, 4), (4,), floats(3), error=ShapeError, match="weight must be"),
        bad(floats(3, 4), (4,), bias=floats(1), error=ShapeError, match="bias must be"),
        bad(floats(3, 4), (4,), eps="0", error=ArgumentError, match="eps must be a"),
    ],
)
def layer_norm(
    input: Array,
    normalized_shape: Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Any:
    """The last dims, moved to mean 0 and scaled to variance 1; then weight and bias.

    input: (..., *normalized_shape); weight and bias: normalized_shape, or nothing. eps
    is added to the variance.
    """
    if not isinstance(normalized_shape, Sequence) or not normalized_shape:
        raise ArgumentError(
            "layer_norm: normalized_shape must be the sizes of the last dims, such as "
            f"(5,), not {normalized_shape!r}"
        )
    check_numbers("layer_norm", eps=eps)
    shape = tuple(normalized_shape)
    if input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"layer_norm: input must end with the dims {shape}; it is {input.shape}"
        )
    for name, factor in (("weight", weight), ("bias", bias)):
        if factor is not None and factor.shape != shape:
            raise ShapeError(
                f"layer_norm: {name} must be {shape}; it is {factor.shape}"
            )
    if not is_tracing():  # a trace is of ops that a loop knows
        w = wrap(np.ones(shape, input.dtype)) if weight is None else weight
        b = wrap(np.zeros(shape, input.dtype)) if bias is None else bias
        return ops.normalised_rows(input, w, b, eps)[0]
    if len(shape) == 1:
        y, _ = ops.standardize(input, eps)
    else:
        rows = input.reshape((*input.shape[: -len(shape)], math.prod(shape)))
        y = ops.standardize(rows, eps)[0].reshape(input.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias
