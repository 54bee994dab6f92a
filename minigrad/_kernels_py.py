"""The plain Python twin of `_kernels.pyx`: what each kernel computes, in numpy.

Read this one; the Cython file does the same in one pass, on large arrays with vector
instructions and without holding other threads up. Float32 results are those of float64,
rounded, where numpy's own float32 functions are off by more than 2 ulp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# As one module, which the compiled one is.
from ._kernels_ctc_py import NEVER as NEVER
from ._kernels_ctc_py import ctc_loss as ctc_loss
from ._kernels_ctc_py import ctc_loss_grad as ctc_loss_grad
from ._kernels_ctc_py import label_paths as label_paths
from ._kernels_training_py import adam as adam
from ._kernels_training_py import layer_norm as layer_norm
from ._kernels_training_py import layer_norm_grad_weight as layer_norm_grad_weight
from ._kernels_training_py import layer_norm_grad_x as layer_norm_grad_x
from ._kernels_training_py import sgd as sgd
from ._kernels_training_py import square_sum as square_sum

Array = np.ndarray[Any, Any]
Axes = tuple[int, ...]

QUICK: dict[str, Any] = {}
"""Kernels that `apply` asks before an op's forward, by the op's name: here none."""

# -- functions -----------------------------------------------------------------------


def _widely(function: np.ufunc, x: Array) -> Array:
    """The function computed in float64, the result in the dtype of x."""
    return np.asarray(function(x, dtype=np.float64)).astype(x.dtype, copy=False)


def exp(x: Array, *_: float) -> Array:
    """e**x; numpy's float32 exp is off by up to 2.5 ulp."""
    return _widely(np.exp, x)


def tanh(x: Array, *_: float) -> Array:
    """The hyperbolic tangent; numpy's float32 tanh is off by up to 1.36 ulp."""
    return _widely(np.tanh, x)


def sigmoid(x: Array, *_: float) -> Array:
    """1 / (1 + e**-x), without overflow, and accurate far below zero."""
    wide = x.astype(np.float64)
    small = np.exp(-np.abs(wide))
    total = 1.0 + small
    y = np.where(wide >= 0, 1.0, small) / total
    # In float64 three roundings add up to 2.3 ulp: give back what the sum lost.
    y = y - y * ((small - (total - 1.0)) / total)
    return np.asarray(y).astype(x.dtype)


def log(x: Array, *_: float) -> Array:
    """The natural logarithm; numpy's float32 log is off by up to 3.6 ulp."""
    return _widely(np.log, x)


def log1p(x: Array, *_: float) -> Array:
    """log(1 + x); numpy's float32 log1p is off by up to 1.93 ulp."""
    return _widely(np.log1p, x)


def expm1(x: Array, *_: float) -> Array:
    """e**x - 1; numpy's float32 expm1 is off by up to 2.6 ulp."""
    return _widely(np.expm1, x)


def sin(x: Array, *_: float) -> Array:
    """The sine; numpy's float32 sin is off by up to 1.45 ulp."""
    return _widely(np.sin, x)


def cos(x: Array, *_: float) -> Array:
    """The cosine; numpy's float32 cos is off by up to 1.48 ulp."""
    return _widely(np.cos, x)


E_TO_MINUS_37 = 8.533047625744066e-17  # the nearest double, to 0.006 ulp


def silu(x: Array, *_: float) -> Array:
    """x * sigmoid(x)."""
    rest = np.exp(-x, dtype=np.float64)
    total = 1 + rest
    y = x / total
    if x.dtype == np.float32:
        return np.asarray(y).astype(np.float32)
    # In float64 three roundings add up to 2.2 ulp: give back what 1 + rest lost.
    y = np.where(x < 0, y - y * ((1 - (total - rest)) / total), y)
    # Far below 0, e**x has lost digits that x * e**x has: a factor stands apart.
    return np.where(x < -700, x * np.exp(x + 37) * E_TO_MINUS_37, y)


def softplus(x: Array, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta * x)) / beta; x where beta * x > threshold."""
    z = np.multiply(x, beta, dtype=np.float64)
    soft = (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / beta
    return np.where(z > threshold, x, soft).astype(x.dtype)


def sign(x: Array, *_: float) -> Array:
    """-1, 0 or 1; 0 of a NaN, as in PyTorch."""
    return np.asarray(np.greater(x, 0).astype(x.dtype) - np.less(x, 0))


def relu(x: Array, *_: float) -> Array:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, 0))


def clip(x: Array, low: float, high: float) -> Array:
    """x, cut at low, and then at high."""
    return np.asarray(np.minimum(np.maximum(x, low), high))


def logit_loss(x: Array, target: Array, *_: float) -> Array:
    """The cross entropy of sigmoid(x) and a probability, without overflow."""
    wide, t = x.astype(np.float64), target.astype(np.float64)
    loss = np.where(wide > 0, wide * (1 - t), -wide * t)
    return np.asarray(loss + np.log1p(np.exp(-np.abs(wide)))).astype(x.dtype)


def logit_loss_grad(x: Array, target: Array, *_: float) -> Array:
    """The derivative of logit_loss by x."""
    return np.asarray(sigmoid(x) - target)


def leaky_relu(x: Array, slope: float) -> Array:
    """x where it is positive, slope * x elsewhere."""
    return np.where(x > 0, x, x * x.dtype.type(slope))


def hardsigmoid(x: Array, *_: float) -> Array:
    """(x + 3) / 6, cut at 0 and 1."""
    # Cut before the sum, which rounds some numbers next to 3 to the kink.
    return np.asarray((np.clip(x, -3.0, 3.0) + 3.0) / 6.0)


def where(condition: Array, x: Any, y: Any) -> Array:
    """x where the condition holds, y elsewhere."""
    return np.where(condition, x, y)


# -- their gradients: of the cotangent and the output, or the input x ------------------


def relu_grad(g: Array, y: Array, *_: float) -> Array:
    """The cotangent where y is above 0."""
    return np.where(np.less_equal(y, 0), g.dtype.type(0), g)


def tanh_grad(g: Array, y: Array, *_: float) -> Array:
    """g (1 - y**2)."""
    return np.asarray((g + g * y) * (1 - y))


def sigmoid_grad(g: Array, y: Array, *_: float) -> Array:
    """g y (1 - y)."""
    return np.asarray(g * y * (1 - y))


def abs_grad(g: Array, x: Array, *_: float) -> Array:
    """g with the sign of x."""
    return np.asarray(g * sign(x))


def silu_grad(g: Array, x: Array, *_: float) -> Array:
    """g times the derivative of silu."""
    gate = sigmoid(x)
    # sigmoid(-x), not 1 - gate: near -1.28, where the sum is 0, every bit counts.
    return np.asarray(g * (gate + x * (gate * sigmoid(-x))))


def softplus_grad(g: Array, x: Array, beta: float, threshold: float) -> Array:
    """The cotangent times sigmoid(beta x), or 1 above the threshold."""
    z = x * beta
    return np.where(z > threshold, g, g * sigmoid(z))


def clip_grad(g: Array, x: Array, low: float, high: float) -> Array:
    """The cotangent where x is between low and high."""
    return np.where(
        np.less_equal(x, low) | np.greater_equal(x, high), g.dtype.type(0), g
    )


def leaky_relu_grad(g: Array, x: Array, slope: float) -> Array:
    """The cotangent where x is positive, slope times it elsewhere."""
    return np.where(x > 0, g, g * g.dtype.type(slope))


def hardsigmoid_grad(g: Array, x: Array, *_: float) -> Array:
    """A sixth of the cotangent where x is between -3 and 3."""
    return np.where(np.less_equal(x, -3) | np.greater_equal(x, 3), g * 0, g / 6)


# -- reductions over axes, counted from the front, in order ----------------------------


def sum(x: Array, axes: Axes, keepdims: bool) -> Array:
    """The sum."""
    return np.asarray(np.sum(x, axis=axes, keepdims=keepdims))


def prod(x: Array, axes: Axes, keepdims: bool) -> Array:
    """The product."""
    return np.asarray(np.prod(x, axis=axes, keepdims=keepdims))


def prod_grad(g: Array, x: Array, y: Array, axes: Axes) -> Array:
    """The cotangent of prod's x over one axis: that of its result by all other factors.

    Those before times those behind: no factor is divided by, as it may be 0.
    """
    (axis,) = axes or (0,)
    before = np.moveaxis(np.ones_like(np.atleast_1d(x)), axis, 0)
    behind = np.ones_like(before)
    factors = np.moveaxis(np.atleast_1d(x), axis, 0)
    np.cumprod(factors[:-1], axis=0, out=before[1:])
    np.cumprod(factors[:0:-1], axis=0, out=behind[1:])
    others = np.moveaxis(before * behind[::-1], 0, axis).reshape(x.shape)
    column = [1 if i in axes else n for i, n in enumerate(x.shape)]
    return np.asarray(others * np.reshape(g, column))


def amax(x: Array, axes: Axes, keepdims: bool) -> Array:
    """The largest."""
    return np.asarray(np.max(x, axis=axes, keepdims=keepdims))


def amin(x: Array, axes: Axes, keepdims: bool) -> Array:
    """The smallest."""
    return np.asarray(np.min(x, axis=axes, keepdims=keepdims))


def cumsum(x: Array, axes: Axes) -> Array:
    """The sums of the first one, two, ...; a long one in float32 drifts."""
    wide = np.float64 if x.dtype == np.float32 else None
    (axis,) = axes or (0,)
    total = np.cumsum(np.atleast_1d(x), axis=axis, dtype=wide).reshape(x.shape)
    return np.asarray(total.astype(np.float32) if wide else total)


def _shifted(x: Array, axes: Axes, finite: bool) -> tuple[Array, Array]:
    """e ** (x - max), and the max: 0 for it, if it is to be finite and is not."""
    if not x.size:
        return x, np.zeros((1,) * x.ndim, x.dtype)
    top = np.max(x, axis=axes, keepdims=True)
    if finite:
        top = np.where(np.isfinite(top), top, x.dtype.type(0))
    return exp(np.asarray(x - top)), top


def logsumexp(x: Array, axes: Axes, keepdims: bool) -> Array:
    """log(sum(exp(x))), without overflow."""
    exps, top = _shifted(x, axes, True)
    total = np.log(np.sum(exps, axis=axes, keepdims=True)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axes))


def softmax(x: Array, axes: Axes) -> Array:
    """exp(x) / sum(exp(x)), without overflow."""
    exps, _ = _shifted(x, axes, False)
    return np.asarray(exps / np.sum(exps, axis=axes, keepdims=True))


def log_softmax(x: Array, axes: Axes) -> Array:
    """log(softmax(x)), accurate where the softmax is almost zero."""
    exps, top = _shifted(x, axes, False)
    return np.asarray(x - top - np.log(np.sum(exps, axis=axes, keepdims=True)))


def softmax_grad(g: Array, y: Array, axes: Axes) -> Array:
    """The cotangent of softmax's input, from its output."""
    return np.asarray((g - np.sum(g * y, axis=axes, keepdims=True)) * y)


def log_softmax_grad(g: Array, y: Array, axes: Axes) -> Array:
    """The cotangent of log_softmax's input, from its output."""
    return np.asarray(g - exp(y) * np.sum(g, axis=axes, keepdims=True))


def variance(
    x: Array, axes: Axes, keepdims: bool, freedom: float, centred: bool = True
) -> Array:
    """The sum of the squared distances from the mean, or from 0, over `freedom`."""
    distance = x - np.mean(x, axis=axes, keepdims=True) if centred else x
    squares = np.sum(distance * distance, axis=axes, keepdims=keepdims)
    return np.asarray(squares / x.dtype.type(freedom))


def variance_grad(g: Array, x: Array, axes: Axes, freedom: float) -> Array:
    """The cotangent of variance's x; that of its result is given with its dims kept."""
    distance = x - np.mean(x, axis=axes, keepdims=True)
    return np.asarray(distance * (g * x.dtype.type(2.0) / x.dtype.type(freedom)))


def writeable(x: Array) -> Array:
    """An array of the same numbers: numpy's argmax copies one that is read-only."""
    return x


# -- losses of labels, along dim 1 of x, or its only one -------------------------------


def label_loss(x: Array, target: Array, ignored: int, reduction: str) -> Array:
    """-log_softmax(x) at each label, as label_pick has it."""
    return label_pick(log_softmax(x, (min(x.ndim - 1, 1),)), target, ignored, reduction)


def label_pick(x: Array, target: Array, ignored: int, reduction: str) -> Array:
    """-x at each label; 0 where it is to be ignored.

    "mean" divides the sum by how many are not ignored.
    """
    axis = min(x.ndim - 1, 1)
    counted = target != ignored
    safe = np.expand_dims(np.where(counted, target, 0), axis)
    picked = np.take_along_axis(x, safe, axis).reshape(target.shape)
    losses = np.where(counted, -picked, x.dtype.type(0))
    if reduction == "none":
        return np.asarray(losses)
    total = np.sum(losses)
    return np.asarray(
        total / x.dtype.type(counted.sum()) if reduction == "mean" else total
    )


def _share(g: Array, x: Array, counted: Array, reduction: str) -> Array:
    """Each label's part of the cotangent, beside x; 0 where it is to be ignored."""
    share = g / x.dtype.type(counted.sum()) if reduction == "mean" else g
    share = np.where(counted, share, x.dtype.type(0))
    return np.expand_dims(share, min(x.ndim - 1, 1))


def label_loss_grad(
    g: Array, x: Array, target: Array, ignored: int, reduction: str
) -> Array:
    """The cotangent of label_loss's x."""
    share = _share(g, x, target != ignored, reduction)
    at_labels = label_pick_grad(g, x, target, ignored, reduction)
    return np.asarray(softmax(x, (min(x.ndim - 1, 1),)) * share + at_labels)


def label_pick_grad(
    g: Array, x: Array, target: Array, ignored: int, reduction: str
) -> Array:
    """The cotangent of label_pick's x."""
    axis = min(x.ndim - 1, 1)
    counted = target != ignored
    dx = np.zeros_like(x)
    safe = np.expand_dims(np.where(counted, target, 0), axis)
    np.put_along_axis(dx, safe, -_share(g, x, counted, reduction), axis)
    return dx


# -- indexing --------------------------------------------------------------------------


def outside(index: Array, low: int, high: int) -> bool:
    """Whether any index is outside low..high-1."""
    return bool(((index < low) | (index >= high)).any())


def gather(x: Array, axis: int, index: Array) -> Array:
    """x at index along the axis; they have the same shape elsewhere."""
    return np.take_along_axis(x, index, axis) if x.ndim else x[()]


def scatter(out: Array, axis: int, index: Array, src: Array) -> None:
    """Add src to out, at index along the axis; the same shape elsewhere."""
    grid: list[Any] = list(np.indices(index.shape, sparse=True))
    if grid:
        grid[axis] = index
    np.add.at(out, tuple(grid), src)


def add_rows(rows: Array, index: Array, n: int) -> Array:
    """(n, D) zeros, with rows (N, D) added at index (N,), each in 0..n-1."""
    out = np.zeros((n, rows.shape[1]), rows.dtype)
    np.add.at(out, index, rows)
    return out
