"""The plain Python twin of `_kernels.pyx`: what each kernel computes, in numpy.

Read this one; the Cython file does the same in one pass, on large arrays with vector
instructions and without holding other threads up. Float32 results are those of float64,
rounded, where numpy's own float32 functions are off by more than 2 ulp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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
    """x, cut at low and high."""
    return np.asarray(np.clip(x, low, high))


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


def _shifted(x: Array, axes: Axes) -> tuple[Array, Array]:
    """e ** (x - max), which can't overflow, and the max."""
    if not x.size:
        return x, np.zeros((1,) * x.ndim, x.dtype)
    top = np.max(x, axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, x.dtype.type(0))
    return exp(np.asarray(x - top)), top


def logsumexp(x: Array, axes: Axes, keepdims: bool) -> Array:
    """log(sum(exp(x))), without overflow."""
    exps, top = _shifted(x, axes)
    total = np.log(np.sum(exps, axis=axes, keepdims=True)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axes))


def softmax(x: Array, axes: Axes) -> Array:
    """exp(x) / sum(exp(x)), without overflow."""
    exps, _ = _shifted(x, axes)
    return np.asarray(exps / np.sum(exps, axis=axes, keepdims=True))


def log_softmax(x: Array, axes: Axes) -> Array:
    """log(softmax(x)), accurate where the softmax is almost zero."""
    exps, top = _shifted(x, axes)
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


# -- the loss of labels that are not aligned -------------------------------------------

NEVER = -1e30
"""The logarithm of a probability of 0: finite, so that no difference of two is NaN."""


def label_paths(targets: Array, widths: Array, blank: int) -> tuple[Array, bool]:
    """int64 (N, 2 S + 1): the labels of each row, a blank before and after each.

    targets: (N, S), or the given ones of all rows, joined. And whether the blank is
    one of them.
    """
    given = np.arange(widths.max(initial=0)) < widths[:, None]
    labels = targets if targets.ndim == 1 else targets[:, : given.shape[1]][given]
    paths = np.full((len(widths), 2 * given.shape[1] + 1), blank)
    paths[:, 1::2][given] = labels
    return paths, bool(np.any(labels == blank))


def _places(emitted: Array, path: Array) -> Array:
    """(T + 1, 2 S + 1): of being at each place of the path before and after each step.

    As logarithms, like what each place emits, (T, 2 S + 1).
    """
    places = np.full((len(emitted) + 1, len(path)), NEVER)
    places[0, 0] = 0.0
    # Between two labels, only if they differ. A blank is equal to the one before it.
    skips = path[2:] != path[:-2]
    for t, row in enumerate(emitted):
        now = places[t].copy()
        now[1:] = np.logaddexp(now[1:], places[t, :-1])
        now[2:][skips] = np.logaddexp(now[2:], places[t, :-2])[skips]
        places[t + 1] = now + row
    return places


def _each_path(x: Array, paths: Array, lived: Array, widths: Array) -> Any:
    """Of each path: itself, what its places emit, `_places`, and the loss."""
    x = x.reshape(len(x), len(paths), -1)
    for i, (path, steps, width) in enumerate(zip(paths, lived, widths, strict=True)):
        path = path[: 2 * width + 1]
        emitted = np.maximum(x[:steps, i, path].astype(np.float64), NEVER)
        places = _places(emitted, path)
        # At the end stands the last blank, or the last label if there is one.
        yield path, emitted, places, -np.logaddexp.reduce(places[-1, -2:])


def ctc_loss(
    x: Array,
    paths: Array,
    lived: Array,
    widths: Array,
    reduction: str,
    zero_infinity: bool,
) -> Array:
    """Minus the log-probability of each path, of widths labels in lived steps.

    x: log-probabilities (T, N, C), or (T, C) of one path. "mean" divides each by its
    width before, "sum" and "mean" add them up.
    """
    losses = np.array([loss for *_, loss in _each_path(x, paths, lived, widths)])
    losses[losses > -NEVER / 2] = 0.0 if zero_infinity else np.inf
    if reduction == "none":
        return losses.astype(x.dtype).reshape(x.shape[1:-1])
    scale = np.maximum(widths, 1) * len(widths) if reduction == "mean" else 1
    return np.asarray(np.sum(losses / scale)).astype(x.dtype)


def ctc_loss_grad(
    g: Array, x: Array, paths: Array, lived: Array, widths: Array, reduction: str
) -> Array:
    """The cotangent of ctc_loss's x; 0 where a path is impossible.

    It is less the probability of emitting each class at each step, given the path.
    """
    dx = np.zeros((len(x), len(paths), x.shape[-1]))
    scale = np.maximum(widths, 1) * len(widths) if reduction == "mean" else 1
    shares = np.broadcast_to(g / scale, len(paths))
    each = enumerate(_each_path(x, paths, lived, widths))
    for i, (path, emitted, there, loss) in each:
        if loss > -NEVER / 2:
            continue
        back = _places(emitted[::-1, ::-1], path[::-1])[:0:-1, ::-1]
        # Both have what is emitted here.
        given = np.exp(there[1:] + back - emitted + loss)
        np.subtract.at(dx[: len(given), i].T, path, shares[i] * given.T)
    return dx.astype(x.dtype).reshape(x.shape)


# -- layer norm ------------------------------------------------------------------------


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array]:
    """x with mean 0 and variance 1 over the dims of weight, then weight and bias.

    And the mean and 1 / sqrt(variance + eps) of each of those rows, (rows, 2).
    """
    axes = tuple(range(-weight.ndim, 0))
    mean = np.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    moments = np.stack([mean.reshape(-1), scale.reshape(-1)], axis=1)
    return np.asarray(centred * scale * weight + bias), moments.astype(x.dtype)


def _standardised(x: Array, moments: Array, n: int) -> Array:
    """The rows of x by their moments, (rows, n)."""
    rows = x.reshape(len(moments), n)
    return np.asarray((rows - moments[:, :1]) * moments[:, 1:])


def layer_norm_grad_x(g: Array, x: Array, weight: Array, moments: Array) -> Array:
    """The cotangent of layer_norm's x."""
    z = _standardised(x, moments, weight.size)
    h = (g * weight).reshape(z.shape)
    of_sum = np.mean(h, axis=1, keepdims=True)
    of_dot = np.mean(h * z, axis=1, keepdims=True)
    return np.asarray((h - of_sum - z * of_dot) * moments[:, 1:]).reshape(x.shape)


def layer_norm_grad_weight(
    g: Array, x: Array, moments: Array, shape: tuple[int, ...]
) -> Array:
    """The cotangent of layer_norm's weight, which has this shape."""
    z = _standardised(x, moments, math.prod(shape))
    return np.asarray(np.sum(g.reshape(z.shape) * z, axis=0)).reshape(shape)


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


# -- optimisers ------------------------------------------------------------------------


def adam(
    value: Array,
    grad: Array,
    mean: Array,
    square: Array,
    most: Array | None,
    options: tuple[float, ...],
) -> Array:
    """The new value after a step of Adam; mean, square and most are updated.

    options: 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**t), sqrt(1 - beta2**t), eps,
    what the value is multiplied by before, the weight decay in g.
    """
    new_mean, old_square, new_square, step, root, eps, shrink, decay = options
    grad = grad + decay * value if decay else grad
    mean += new_mean * (grad - mean)
    square *= old_square
    square += new_square * grad * grad
    if most is not None:
        np.maximum(most, square, out=most)
        square = most
    return np.asarray(value * shrink - step * mean / (np.sqrt(square) / root + eps))


def sgd(
    value: Array, grad: Array, buffer: Array | None, options: tuple[float, ...]
) -> Array:
    """The new value after a step of gradient descent; the momentum's buffer is updated.

    options: lr, weight decay, momentum, 1 - dampening, whether nesterov, whether the
    buffer is the first.
    """
    lr, decay, momentum, keep, nesterov, first = options
    grad = grad + decay * value if decay else grad
    if buffer is not None:
        buffer[...] = grad if first else momentum * buffer + keep * grad
        grad = grad + momentum * buffer if nesterov else buffer
    return np.asarray(value - lr * grad)


def square_sum(x: Array) -> float:
    """The sum of the squares in float64, where no square of a float32 is too large."""
    flat = x.astype(np.float64).ravel("K")
    return float(flat.dot(flat))
